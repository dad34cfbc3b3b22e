"""Reasons: each piece against the verdict without it, and only the strongest."""

from __future__ import annotations

import pytest

from service.domain.explanation import FAINTEST_WORD, MOST_OF_A_KIND, Piece, Reason, reasons, strongest
from service.domain.fusion import FusionRule, Opinion, decide
from service.domain.labels import Modality
from service.domain.sentiment import NO_EVIDENCE, Prediction

GLAD, CROSS, CALM = Prediction((0.05, 0.15, 0.8)), Prediction((0.7, 0.2, 0.1)), Prediction((0.1, 0.8, 0.1))
RULE = FusionRule(min_confidence=0.4, max_conflict=0.9)


def test_each_reason_holds_the_verdict_by_the_same_rule_over_what_is_left() -> None:
    opinions: dict[Modality, Opinion] = {"text": Opinion(GLAD, 0.9, 0.7), "face": Opinion(CROSS, 0.6, 0.8)}
    left = Opinion(CALM, 0.5, 0.8)
    (reason,) = reasons([Piece("face", "face", left, box=(1, 2, 3, 4), track=2)], opinions, RULE)
    assert reason.without == decide({**opinions, "face": left}, RULE)
    assert reason.weight == decide(opinions, RULE).valence - reason.without.valence
    assert (reason.box, reason.track) == ((1, 2, 3, 4), 2)


def test_a_modality_of_one_piece_is_gone_without_it() -> None:
    opinions: dict[Modality, Opinion] = {"text": Opinion(GLAD), "speech": Opinion(CROSS)}
    (reason,) = reasons([Piece("segment", "speech", None, seconds=(0.5, 2.0))], opinions, RULE)
    assert reason.without == decide({"text": opinions["text"]}, RULE)


def test_nothing_is_left_without_the_only_piece() -> None:
    (reason,) = reasons([Piece("face", "face", None, box=(0, 0, 9, 9))], {"face": Opinion(GLAD)}, RULE)
    assert reason.without == NO_EVIDENCE
    assert reason.weight == pytest.approx(0.75)


def test_what_moves_the_verdict_furthest_comes_first_whichever_way() -> None:
    said = {"little": Prediction((0.05, 0.17, 0.78)), "much": CROSS, "up": Prediction((0.0, 0.0, 1.0))}
    pieces = [Piece("sentence", "text", Opinion(left), text=name, span=(0, 1)) for name, left in said.items()]
    found = reasons(pieces, {"text": Opinion(GLAD)}, RULE)
    assert [reason.text for reason in found] == ["much", "up", "little"]
    assert found[0].weight > 0 > found[1].weight


def test_each_kind_is_cut_apart_and_faint_words_are_no_reasons() -> None:
    def of(kind, weight: float) -> Reason:
        return Reason(kind, "text", weight, NO_EVIDENCE)

    words = [of("word", 0.5)] * (MOST_OF_A_KIND + 3) + [of("word", FAINTEST_WORD / 2)]
    kept = strongest([*words, of("segment", 0.0), of("face", 0.001)])
    assert [reason.kind for reason in kept] == ["word"] * MOST_OF_A_KIND + ["segment", "face"]
    assert strongest([of("word", FAINTEST_WORD / 2)]) == ()
