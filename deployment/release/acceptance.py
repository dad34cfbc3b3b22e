"""What a user would try first: `python -m deployment.release.acceptance ADDRESS [--key KEY]`, of a running service.

Every line is something that people rely on, in their words; the media are the examples of the page.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ui.client import Client, Problem, ServiceError

EXAMPLES = Path(__file__).parents[2] / "ui" / "examples"


class NotAccepted(AssertionError):
    """What was seen instead, in a few words."""


@dataclass(frozen=True)
class Wish:
    """One thing that a user expects."""

    said: str
    come_true: Callable[[Client], None]


def _reads(text: str, label: str) -> Callable[[Client], None]:
    def ask(client: Client) -> None:
        said = client.text(text).sentiment
        _expect(said.label == label, f"{said.label}, {said.confidence:.2f}")

    return ask


def _smile(client: Client) -> None:
    said = client.image(EXAMPLES / "portrait.jpg")
    part = said.modalities.face
    _expect(part is not None and len(part.faces) == 1, "not one face")
    _expect(said.sentiment.label == "positive", f"{said.sentiment.label}")


def _landscape(client: Client) -> None:
    said = client.image(EXAMPLES / "dunes.jpg").sentiment
    _expect(said.abstained and said.reason == "no_evidence", f"{said.label}, {said.reason}")


def _speech(client: Client) -> None:
    said = client.audio(EXAMPLES / "inaugural.ogg")
    words = said.transcript.text.lower() if said.transcript else ""
    _expect("country" in words, words[:80] or "no words")
    _expect(said.modalities.speech is not None, "no voice")


def _video(client: Client) -> None:
    said = client.video(EXAMPLES / "portrait_speaks.mp4")
    _expect({"face", "speech"} <= set(said.fusion.contributions), f"{sorted(said.fusion.contributions)}")
    _expect(abs(sum(said.fusion.contributions.values()) - 1) < 0.01, "contributions that don't add up")
    _expect(len(said.timeline) > 1, "no timeline")


def _why(client: Client) -> None:
    said = client.text("The food was great, but the waiter was rude.", explain=True).explanation
    weights = {word.text: word.weight for word in said.words} if said else {}
    _expect(weights.get("rude", 0) < 0 < weights.get("great", 0), f"{weights}")


def _nonsense(client: Client) -> None:
    try:
        client.image(Path(__file__))
    except Problem as problem:
        _expect(problem.code == "unsupported_media", problem.code)
    else:
        raise NotAccepted("a program passed for a picture")


def _nothing_kept(client: Client) -> None:
    before = sum(1 for _ in client.history.list())
    client.text("Nobody needs to know this.")
    _expect(sum(1 for _ in client.history.list()) == before, "it was kept")


WISHES = (
    Wish("'I love it' is positive", _reads("I love it", "positive")),
    Wish("'I hate it' is negative", _reads("I hate it", "negative")),
    Wish("'The meeting is at noon' is neutral", _reads("The meeting is at noon", "neutral")),
    Wish("a smile is positive, and its face is found", _smile),
    Wish("a landscape is answered with: I don't know", _landscape),
    Wish("a speech is heard and put into words", _speech),
    Wish("a video is judged by face and voice together, over time", _video),
    Wish("it says which words moved the verdict", _why),
    Wish("what is no picture is refused in one sentence", _nonsense),
    Wish("nothing is kept unless one asks", _nothing_kept),
)


def accept(client: Client, say: Callable[[str], None] = print) -> int:
    """Try every wish; how many did not come true."""
    failed = 0
    for wish in WISHES:
        try:
            wish.come_true(client)
        except (NotAccepted, ServiceError) as error:
            failed += 1
            say(f"FAILED  {wish.said}: {error}")
        else:
            say(f"ok      {wish.said}")
    return failed


def _expect(true: bool, instead: str) -> None:
    if not true:
        raise NotAccepted(instead)


def main(words: list[str] | None = None) -> int:
    """The command line; 0 if every wish came true."""
    parser = argparse.ArgumentParser(prog="python -m deployment.release.acceptance")
    parser.add_argument("address")
    parser.add_argument("--key", default=os.environ.get("SENTIMENT_API_KEY"), help="API key or token")
    given = parser.parse_args(words)
    with Client(given.address, api_key=given.key) as client:
        return 1 if accept(client) else 0


if __name__ == "__main__":
    sys.exit(main())
