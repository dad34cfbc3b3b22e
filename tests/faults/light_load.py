"""A light, steady load of every kind of request, which remembers what became of each."""

from __future__ import annotations

import asyncio
import io
import time
import wave
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.alike import differences

TEXTS = ("I love it", "I hate it", "The meeting is at nine", "What a wonderful, wonderful day")
TIMEOUT_SECONDS = 180.0


@dataclass(frozen=True)
class Answer:
    """What became of one request: `code` is empty for an answer, a Problem's code, or how the connection failed."""

    kind: str
    began: float
    seconds: float
    code: str
    right: bool
    retry_after: bool


@dataclass
class Record:
    """All answers so far."""

    answers: list[Answer] = field(default_factory=list)

    def codes(self, kind: str | None = None, since: float = 0.0) -> Counter[str]:
        """How often each code came."""
        return Counter(one.code for one in self.answers if one.began >= since and kind in (None, one.kind))

    def wrong(self) -> list[Answer]:
        """Answers that said something else than they do in quiet times."""
        return [one for one in self.answers if not one.code and not one.right]

    def impolite(self) -> list[Answer]:
        """Problems with 503 that do not say when to come again."""
        return [one for one in self.answers if one.code and not one.retry_after]


@dataclass(frozen=True)
class Request:
    """A request that can be sent again and again; `make` gives its form, `essence` what is always the same."""

    kind: str
    route: str
    make: Callable[[], dict[str, Any]]
    essence: Callable[[dict[str, Any]], Any]


def requests(samples: Path) -> list[Request]:
    """Texts, a portrait and two seconds of a voice."""
    wanted = [Request(f"text {text!r}", "/v1/text", _json(text), _verdict) for text in TEXTS]
    picture = (samples / "image" / "portrait_smile.jpg").read_bytes()
    wanted.append(Request("image", "/v1/image", _upload("portrait.jpg", picture), _verdict))
    wanted.append(
        Request("audio", "/v1/audio", _upload("voice.wav", _beginning(samples / "audio/jfk_8k_u8.wav")), _verdict)
    )
    return wanted


@asynccontextmanager
async def light_load(address: str, wanted: list[Request], pause_seconds: float = 0.02) -> AsyncIterator[Record]:
    """Send each request again as soon as it was answered and a pause is over, for as long as the block runs."""
    record, stop = Record(), asyncio.Event()
    limits = httpx.Limits(keepalive_expiry=30)
    async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT_SECONDS, limits=limits) as client:
        known = {one.kind: await _reference(client, one) for one in wanted}
        senders = [asyncio.create_task(_send(client, one, known, record, (stop, pause_seconds))) for one in wanted]
        try:
            yield record
        finally:
            stop.set()
            await asyncio.gather(*senders)


async def eventually(condition: Callable[[], Any], seconds: float = 180.0) -> None:
    """Wait until something is true; a bound that a slow machine keeps."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if await result if asyncio.iscoroutine(result) else result:
            return
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        await asyncio.sleep(0.1)


async def _send(
    client: httpx.AsyncClient,
    wanted: Request,
    known: dict[str, Any],
    record: Record,
    until: tuple[asyncio.Event, float],
) -> None:
    stop, pause = until
    while not stop.is_set():
        record.answers.append(await _ask(client, wanted, known[wanted.kind]))
        await asyncio.sleep(pause)


async def _ask(client: httpx.AsyncClient, wanted: Request, known: Any) -> Answer:
    began = time.monotonic()
    try:
        response = await client.post(wanted.route, **wanted.make())
    except httpx.TransportError as error:
        return Answer(wanted.kind, began, time.monotonic() - began, type(error).__name__, False, False)
    seconds, body = time.monotonic() - began, response.json()
    if response.status_code != httpx.codes.OK:
        return Answer(wanted.kind, began, seconds, body["code"], False, "retry-after" in response.headers)
    return Answer(wanted.kind, began, seconds, "", not differences(wanted.essence(body), known), False)


async def _reference(client: httpx.AsyncClient, wanted: Request) -> Any:
    response = await client.post(wanted.route, **wanted.make())
    response.raise_for_status()
    return wanted.essence(response.json())


def _verdict(body: dict[str, Any]) -> Any:
    return body["sentiment"]["label"], body["sentiment"]["probabilities"]


def _json(text: str) -> Callable[[], dict[str, Any]]:
    return lambda: {"json": {"text": text}}


def _upload(name: str, content: bytes) -> Callable[[], dict[str, Any]]:
    return lambda: {"files": {"file": (name, content)}}


def _beginning(recording: Path, seconds: int = 2) -> bytes:
    """The first seconds of a WAV file, as one."""
    shorter = io.BytesIO()
    with wave.open(str(recording)) as whole, wave.open(shorter, "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(seconds * whole.getframerate()))
    return shorter.getvalue()


def summary(record: Record) -> Iterator[str]:
    """One line a kind of request: how many came back how, and how long the slowest took."""
    for kind in sorted({one.kind for one in record.answers}):
        ours = sorted(one.seconds for one in record.answers if one.kind == kind)
        counts = ", ".join(f"{count} {code or 'answered'}" for code, count in record.codes(kind).items())
        yield f"{kind:36} {counts}; p95 {1000 * ours[int(0.95 * len(ours))]:.0f} ms, slowest {1000 * ours[-1]:.0f} ms"
