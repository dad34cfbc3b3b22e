"""Real media in, real answers out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.deployment.conformance.check import answered, check, must
from tests.deployment.conformance.target import EXAMPLES, Target

GLAD = "I love this, what a wonderful day!"
SAD = "This is terrible, I hate it."
AT_ONCE = 16


@check("text")
def a_text_is_judged(target: Target) -> None:
    """What is glad is positive, what is sad negative."""
    for text, label in ((GLAD, "positive"), (SAD, "negative")):
        _labelled(answered(target.http.post("/v1/text", json={"text": text})), label)


@check("text")
def several_texts_are_answered_in_order(target: Target) -> None:
    """Each in its place, and all parts add up."""
    results = answered(target.http.post("/v1/text", json={"texts": [GLAD, SAD, GLAD]}))["results"]
    labels = [result["sentiment"]["label"] for result in results]
    must(labels == ["positive", "negative", "positive"], f"labels {labels}")
    for result in results:
        total = sum(result["sentiment"]["probabilities"].values())
        must(abs(total - 1) < 1e-6, f"probabilities add up to {total}")


@check("text")
def texts_sent_at_once_are_all_answered(target: Target) -> None:
    """Nobody's answer is another's."""
    texts = [GLAD if index % 2 else SAD for index in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        responses = list(pool.map(lambda text: target.http.post("/v1/text", json={"text": text}), texts))
    for text, response in zip(texts, responses, strict=True):
        _labelled(answered(response), "positive" if text == GLAD else "negative")


@check("image")
def a_face_is_found_and_judged(target: Target) -> None:
    """The portrait smiles; the dunes have nobody."""
    analysis = answered(target.send("/v1/image", "portrait.jpg"))
    _labelled(analysis, "positive")
    must(len(analysis["modalities"]["face"]["faces"]) == 1, "not one face")
    nobody = answered(target.send("/v1/image", "dunes.jpg"))
    must(nobody["sentiment"]["abstained"], "dunes were judged")
    must("no_face" in _warnings(nobody), f"warnings {_warnings(nobody)}")


@check("audio")
def a_voice_is_heard_and_transcribed(target: Target) -> None:
    """The words of the recording are in the answer."""
    analysis = answered(target.send("/v1/audio", "inaugural.ogg"))
    must("country" in analysis["transcript"]["text"].lower(), f"transcript {analysis['transcript']['text']!r}")
    must("speech" in analysis["modalities"], "the voice was not judged")


@check("video")
def a_video_has_face_voice_words_and_a_timeline(target: Target) -> None:
    """All that the video has, over its time."""
    analysis = answered(target.send("/v1/video", "portrait_speaks.mp4"))
    must({"face", "speech", "text"} <= set(analysis["modalities"]), f"modalities {list(analysis['modalities'])}")
    ends = [piece["end"] for piece in analysis["timeline"]]
    must(ends and ends == sorted(ends), f"timeline {ends}")
    must(abs(ends[-1] - analysis["media"]["seconds"]) < 2, "the timeline does not cover the video")


@check("text", "image")
def words_and_a_face_become_one_verdict(target: Target) -> None:
    """Both contribute, and their parts add up to 1."""
    picture = ("portrait.jpg", (EXAMPLES / "portrait.jpg").read_bytes())
    analysis = answered(target.http.post("/v1/analyze", data={"text": GLAD}, files={"image": picture}))
    _labelled(analysis, "positive")
    parts = analysis["fusion"]["contributions"]
    must(set(parts) == {"text", "face"}, f"contributions {parts}")
    must(abs(sum(parts.values()) - 1) < 1e-6, f"contributions add up to {sum(parts.values())}")


def _labelled(analysis: dict[str, Any], label: str) -> None:
    found = analysis["sentiment"]["label"]
    must(found == label, f"{found} instead of {label}")


def _warnings(analysis: dict[str, Any]) -> list[str]:
    return [warning["code"] for warning in analysis["warnings"]]
