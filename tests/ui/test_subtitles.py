"""Subtitles: each stretch of speech with the verdict over its time, in forms that players read."""

from __future__ import annotations

from typing import Any

from tests.ui import answers_made_up as made_up
from ui import answers
from ui.answers import Analysis
from ui.client.command.subtitles import cues, srt, vtt

UNDECIDED = made_up.sentiment(0.35, 0.25, 0.4, "low_confidence")


def analysis(points: list[dict[str, Any]], *segments: tuple[float, float, str], **more: Any) -> Analysis:
    said = [{"start": start, "end": end, "text": text} for start, end, text in segments]
    transcript = {"text": "", "segments": said} if segments else None
    return answers.analysis(made_up.analysis("video", timeline=points, transcript=transcript, **more))


def verdicts(one: Analysis) -> list[str]:
    return [cue.verdict for cue in cues(one)]


def test_seconds_weigh_by_how_much_of_them_is_spoken_over() -> None:
    points = [made_up.point(0, made_up.CROSS), made_up.point(1, made_up.HAPPY)]
    spoken = analysis(points, (0.0, 1.2, "No"), (0.9, 2.0, "Yes"))
    assert verdicts(spoken) == ["[negative 66 %]", "[positive 74 %]"]


def test_what_is_mostly_undecided_is_said_to_be() -> None:
    points = [made_up.point(0, UNDECIDED), made_up.point(1, UNDECIDED), made_up.point(2, made_up.HAPPY)]
    assert verdicts(analysis(points, (0.0, 3.0, "Hm"), (2.0, 3.0, "Yes"))) == ["[undecided]", "[positive 81 %]"]


def test_where_there_is_nothing_to_go_on_the_words_stand_alone() -> None:
    silent = analysis([made_up.point(0, made_up.NOTHING)], (0.0, 1.0, "Words"))
    assert srt(silent) == "1\n00:00:00,000 --> 00:00:01,000\nWords\n"


def test_without_words_each_stretch_of_one_verdict_is_a_cue() -> None:
    seen = [made_up.HAPPY, made_up.HAPPY, made_up.NOTHING, made_up.CROSS]
    mute = analysis([made_up.point(start, one) for start, one in enumerate(seen)])
    assert [(cue.start, cue.end, cue.verdict) for cue in cues(mute)] == [
        (0, 2, "[positive 81 %]"),
        (3, 4, "[negative 78 %]"),
    ]


def test_the_emotion_is_that_of_its_moment_where_voices_or_faces_tell_it() -> None:
    segments = [
        {"start": 0, "end": 1, "sentiment": made_up.CROSS, "emotions": {"angry": 0.8, "happy": 0.2}},
        {"start": 1, "end": 2, "sentiment": made_up.HAPPY, "emotions": {"angry": 0.1, "happy": 0.9}},
    ]
    heard = {"speech": {**made_up.speech(2.0), "segments": segments}}
    points = [made_up.point(0, made_up.CROSS), made_up.point(1, made_up.HAPPY)]
    spoken = analysis(points, (0.0, 1.0, "No"), (1.0, 2.0, "Yes"), modalities=heard, emotions={"sad": 1.0})
    assert verdicts(spoken) == ["[negative 78 %, angry]", "[positive 81 %, happy]"]


def test_words_cannot_break_out_of_their_cue() -> None:
    spoken = analysis(
        [made_up.point(0, made_up.HAPPY)], (0.0, 1.0, "a\n\n2\n00:00:09.000 --> 00:00:10.000\n<b>x</b> & y")
    )
    assert vtt(spoken).count("-->") == 1
    assert "&lt;b&gt;x&lt;/b&gt; &amp; y" in vtt(spoken)
    assert srt(spoken).count("\n\n") == 0


def test_hours_are_counted_and_milliseconds_do_not_overflow() -> None:
    late = analysis([made_up.point(0, made_up.HAPPY)], (3599.9996, 7325.5, "Late"))
    assert srt(late).splitlines()[1] == "01:00:00,000 --> 02:02:05,500"
    assert vtt(late).splitlines()[2] == "01:00:00.000 --> 02:02:05.500"
