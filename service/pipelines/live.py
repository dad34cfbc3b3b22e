"""A live session: pictures, sound and texts come in as they happen, verdicts over the last seconds go out, and in the
end one `Analysis` of the whole, by the same steps as for a file."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from service.domain.analysis import Analysis, Face, Kind, Media, Notice, TranscriptSegment
from service.domain.fusion import Fused, Opinion, fuse
from service.domain.labels import Modality
from service.domain.sentiment import Sentiment, verdict
from service.domain.timeline import Moment, average
from service.features.speech import SAMPLE_RATE, Samples
from service.media import MediaError, TooLarge, Undecodable
from service.media.decoder import LivePictures, Picture
from service.media.pcm import Pcm
from service.media.stream import Samples as Chunk
from service.pipelines import Options
from service.pipelines.analyze import answer, joined, rule_of
from service.pipelines.face import Sighting, Watcher, see
from service.pipelines.found import Found, Stopwatch
from service.pipelines.media import Tools, both
from service.pipelines.speech import Listener, without_doubtful_words
from service.pipelines.text import predict, read_text
from service.runners import RunnerError

ROLLING_SECONDS = 5.0
"""A result speaks of so much of what happened last."""

STEP_SECONDS = 2.0
"""Sound is heard in steps of this length, as it is when a file is decoded: hence the same numbers."""

BACKLOG_SECONDS = 30.0
"""So much sound may wait; then whoever sends it waits."""

MAX_GAP_SECONDS = 60.0
MIN_GAP_SECONDS = 0.1
"""Between these, missing sound becomes silence; less is jitter, more a broken clock (as in `media.audio`)."""

MAX_REFUSED = 20
"""So many pictures in a row that cannot be read are no accident."""


@dataclass(frozen=True)
class Start:
    """What is asked of a session."""

    modalities: frozenset[Modality]
    options: Options
    sample_rate: int = SAMPLE_RATE
    timestamps: bool = False


@dataclass(frozen=True)
class Result:
    """What one picture, some seconds of sound or one text say, fused with what else happened last."""

    sequence: int
    source: Modality
    """What came in."""
    time: float
    """When it was, in seconds of the session."""
    latency: float
    """Seconds from its capture, or without timestamps from its arrival, until this result was ready."""
    captured: int | None
    """The timestamp that came with it."""
    sentiment: Sentiment
    """Fused over the last seconds."""
    emotions: Mapping[str, float]
    modalities: Mapping[Modality, Sentiment]
    """What each modality said in the last seconds; only those that said something."""
    contributions: Mapping[Modality, float]
    """Each modality's share of the fused evidence; they add up to 1."""
    faces: tuple[Face, ...]
    """The faces of the picture, with the numbers of their tracks; empty for sound and texts."""
    dropped: int
    """Pictures of this session that gave way to newer ones, so far."""
    type: Literal["result"] = "result"


@dataclass(frozen=True)
class Words:
    """What was said in a stretch of speech."""

    language: str
    segments: tuple[TranscriptSegment, ...]
    type: Literal["transcript"] = "transcript"


@dataclass(frozen=True)
class Trouble:
    """Something of the session is lost, and the session goes on; `error` says what."""

    error: Exception


Event = Result | Words | Trouble
Tell = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True)
class Frame:
    """Something that was captured: its bytes, when by the sender's clock (ms), and when it came (monotonic seconds)."""

    data: bytes
    captured: int | None
    arrived: float


@dataclass
class Clock:
    """Lays what comes in on the session's time, which begins with the capture of what comes first."""

    timestamps: bool
    origin: float | None = None
    _ahead: float = float("inf")
    """How far arrival was behind capture at the least: the difference of the two clocks and the fastest way."""

    def place(self, frame: Frame, lasted: float = 0.0) -> float:
        """When a frame began, in seconds of the session; `lasted` is its own length."""
        if frame.captured is not None:
            self._ahead = min(self._ahead, frame.arrived - frame.captured / 1000 - lasted)
        elif self.timestamps and self._ahead == float("inf"):
            return 0.0  # a text before anything else: the sender's clock is not known yet
        begun = self._captured(frame, lasted)
        if self.origin is None:
            self.origin = begun
        return max(0.0, begun - self.origin)

    def latency(self, frame: Frame, now: float, lasted: float = 0.0) -> float:
        """Seconds from the end of a frame's capture until now."""
        since = frame.arrived if frame.captured is None else frame.captured / 1000 + lasted + self._ahead
        return max(0.0, now - since)

    def _captured(self, frame: Frame, lasted: float) -> float:
        """When a frame began, by the clock that this session goes by: the sender's if it tells, else ours."""
        if frame.captured is not None:
            return frame.captured / 1000
        return frame.arrived - lasted - (self._ahead if self.timestamps else 0.0)


@dataclass
class Recent:
    """What each modality said in the last seconds."""

    moments: dict[Modality, deque[Moment]] = field(default_factory=dict)
    now: float = 0.0
    speaking: Moment | None = None
    """The voice in speech that has not ended yet."""

    def add(self, modality: Modality, moments: Sequence[Moment], now: float) -> None:
        """Take in what was said until `now`, and forget what is too old."""
        self.now = max(self.now, now)
        self.moments.setdefault(modality, deque()).extend(moments)
        for kept in self.moments.values():
            while kept and max(kept[0].end, kept[0].start) < self.now - ROLLING_SECONDS:
                kept.popleft()

    def opinions(self, reliability: Mapping[Modality, float]) -> dict[Modality, Opinion]:
        """One opinion a modality over the last seconds."""
        found: dict[Modality, Opinion] = {}
        for modality, share in reliability.items():
            said = list(self.moments.get(modality, ()))
            if modality == "speech" and self.speaking is not None:
                said.append(self.speaking)
            opinion = average(said, self.now - ROLLING_SECONDS, self.now + 1.0)
            if opinion is not None:
                found[modality] = replace(opinion, reliability=share)
        return found


class Session:
    """One live session. Run `watch`, `listen` and `read` beside whoever feeds it; then `finish`, and always `close`."""

    def __init__(self, start: Start, tools: Tools, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        """`tell` takes what the session says; while it waits, newer pictures replace older ones."""
        self._start, self._tools, self._tell, self._now = start, tools, tell, clock
        settings = tools.settings
        self._clock, self._recent, self._stopwatch = Clock(start.timestamps), Recent(), Stopwatch()
        self._sequence = 0
        self._ended = False
        self._eyes = Eyes(tools)
        self._ears = Ears(start, tools)
        self._texts: asyncio.Queue[tuple[str, Frame] | None] = asyncio.Queue(maxsize=4)
        self._read: list[tuple[str, float]] = []
        self._reliability: dict[Modality, float] = {
            name: tools.models.info[name].reliability for name in ("text", "speech", "face")
        }
        self._rule = rule_of(start.options, settings)

    @property
    def dropped(self) -> int:
        """Pictures that gave way to newer ones."""
        return self._eyes.dropped

    def picture(self, frame: Frame) -> None:
        """A picture came; it replaces the one that waits. Raises `TooLarge` past the end of the session's time."""
        self._check(self._clock.place(frame))
        self._eyes.show(frame)

    async def sound(self, frame: Frame) -> None:
        """Sound came; waits while too much is waiting. Raises `TooLarge` past the end of the session's time."""
        lasted = len(frame.data) / 2 / self._start.sample_rate
        begun = self._clock.place(frame, lasted)
        self._check(max(begun, self._ears.seconds) + lasted)
        await self._ears.play(frame, begun)

    async def text(self, text: str, frame: Frame) -> None:
        """A text came."""
        self._clock.place(frame)
        await self._texts.put((text, frame))

    async def end_input(self) -> None:
        """Nothing more will come; `watch`, `listen` and `read` end when they are through."""
        if not self._ended:
            self._ended = True
            self._eyes.close()
            self._ears.close()
            await self._texts.put(None)

    async def watch(self) -> None:
        """Look at picture after picture, always the newest. Raises what cannot be overcome."""
        async for frame in self._eyes.frames():
            try:
                with self._stopwatch("face"):
                    sightings = await self._eyes.look(frame)
            except (MediaError, RunnerError) as error:
                self._eyes.forgive(error)
                await self._tell(Trouble(error))
                continue
            at = self._clock.place(frame)
            faces = self._eyes.follow(at, sightings)
            good = self._tools.settings.min_face_quality
            held = self._eyes.frame_seconds
            moments = [Moment(at, at + held, s.prediction, s.quality) for s in sightings if s.quality >= good]
            self._recent.add("face", moments, at)
            await self._say("face", frame, at, faces=faces)

    async def listen(self) -> None:
        """Hear step after step. Raises `RunnerError`."""
        async for step in self._ears.steps():
            with self._stopwatch("speech"):
                heard = await self._ears.hear(step)
            self._recent.speaking = heard.speaking
            now = step.chunk.start + len(step.chunk.samples) / SAMPLE_RATE
            self._recent.add("speech", heard.moments, now)
            for words in heard.words:
                await self._told(words, now)
            await self._say("speech", step.last, now, lasted=len(step.last.data) / 2 / self._start.sample_rate)

    async def read(self) -> None:
        """Read text after text. Raises `RunnerError`."""
        while (given := await self._texts.get()) is not None:
            text, frame = given
            at = self._clock.place(frame)
            with self._stopwatch("text"):
                (prediction,) = await predict([text], self._tools.models)
            self._read.append((text, at))
            self._recent.add("text", [Moment(at, at, prediction)] if prediction else [], at)
            await self._say("text", frame, at)

    async def finish(self) -> Analysis:
        """The whole as one answer, once `watch`, `listen` and `read` have ended. Raises `RunnerError`."""
        with self._stopwatch("total"):
            found = await self._whole()
        return answer(self._kind(), found, self._start.options, self._tools, self._stopwatch)

    async def close(self) -> None:
        """Let go of everything at once."""
        self._ears.cancel()
        await self._eyes.end()

    def _check(self, seconds: float) -> None:
        limit = self._tools.settings.stream_total_seconds
        if seconds > limit + STEP_SECONDS:
            raise TooLarge(f"The stream is longer than {limit:g} seconds, which is the limit; start another.")

    async def _told(self, words: Words, now: float) -> None:
        """Words of the voice: they count like texts, unless texts were sent, which stand for the words."""
        await self._tell(words)
        said = await predict([segment.text for segment in words.segments], self._tools.models)
        if not self._read:
            moments = [
                Moment(segment.start, segment.end, prediction, segment.confidence)
                for segment, prediction in zip(words.segments, said, strict=True)
                if prediction is not None
            ]
            self._recent.add("text", moments, now)

    async def _say(
        self, source: Modality, frame: Frame, at: float, *, lasted: float = 0.0, faces: tuple[Face, ...] = ()
    ) -> None:
        fused = self._fuse()
        self._sequence += 1
        await self._tell(
            Result(
                sequence=self._sequence,
                source=source,
                time=round(at, 3),
                latency=round(self._clock.latency(frame, self._now(), lasted), 4),
                captured=frame.captured,
                sentiment=fused[0].sentiment,
                emotions=fused[0].emotions,
                modalities=fused[1],
                contributions=fused[0].fusion.contributions,
                faces=faces,
                dropped=self.dropped,
            )
        )

    def _fuse(self) -> tuple[Fused, dict[Modality, Sentiment]]:
        opinions = self._recent.opinions(self._reliability)
        return fuse(opinions, self._rule), {
            name: verdict(opinion.prediction.probabilities) for name, opinion in opinions.items()
        }

    async def _whole(self) -> Found:
        heard = await self._ears.finish()
        for words in self._ears.words():
            await self._tell(words)
        seconds = max(heard.media.seconds or 0.0 if heard.media else 0.0, self._eyes.seconds)
        media = Found(media=Media(seconds=seconds)) if "speech" in self._start.modalities else Found()
        seen = self._eyes.finish(seconds) if "face" in self._start.modalities else media
        given = await self._given()
        if given.text is not None:
            heard = _without_words(heard)
        found = both(seen, heard) if "speech" in self._start.modalities else seen
        return joined([found, given])

    async def _given(self) -> Found:
        """All texts as one, and when each came."""
        if not self._read:
            return Found()
        models = self._tools.models
        found = await read_text("\n".join(text for text, _ in self._read), self._start.options, models)
        said = await predict([text for text, _ in self._read], models)
        moments = [
            Moment(at, at, prediction) for (_, at), prediction in zip(self._read, said, strict=True) if prediction
        ]
        return replace(found, moments={"text": moments} if found.opinions else {})

    def _kind(self) -> Kind:
        """As for files: what was sent, and `multimodal` for texts beside something else."""
        seen, heard = self._eyes.seen > 0, self._ears.seconds > 0
        if self._read:
            return "multimodal" if seen or heard else "text"
        if seen or "face" in self._start.modalities:
            return "video"
        return "audio" if heard or "speech" in self._start.modalities else "text"


def _without_words(heard: Found) -> Found:
    """The voice alone: texts that were sent stand for its words, as with a file; the transcript stays."""
    return replace(
        heard,
        text=None,
        opinions={name: opinion for name, opinion in heard.opinions.items() if name != "text"},
        moments={name: moments for name, moments in heard.moments.items() if name != "text"},
        models=tuple(name for name in heard.models if name != "text"),
    )


class Eyes:
    """The newest picture, and the faces so far."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self.frame_seconds = 1 / tools.settings.frames_per_second
        self._pictures: LivePictures = tools.decoder.live_pictures()
        self._watcher = Watcher(tools.models, self.frame_seconds)
        self._waiting: Frame | None = None
        self._news = asyncio.Event()
        self._closed = False
        self._refused = 0
        self._size: tuple[int, int] | None = None
        self.dropped = 0
        self.seen = 0
        self.seconds = 0.0

    def show(self, frame: Frame) -> None:
        """Put a picture in the place of the one that waits."""
        if self._waiting is not None:
            self.dropped += 1
        self._waiting = frame
        self._news.set()

    def close(self) -> None:
        """No picture will come any more; one that waits is still looked at."""
        self._closed = True
        self._news.set()

    async def frames(self) -> AsyncIterator[Frame]:
        """The newest picture each time, no sooner than the pace allows; ends after `close`."""
        pace = 1 / self._tools.settings.stream_pictures_per_second
        while True:
            await self._news.wait()
            frame, self._waiting = self._waiting, None
            if not self._closed:
                self._news.clear()
            if frame is None:
                return
            started = time.monotonic()
            yield frame
            if not self._closed:
                await asyncio.sleep(max(0.0, started + pace - time.monotonic()))

    async def look(self, frame: Frame) -> list[Sighting]:
        """The faces of a picture, largest first. Raises `MediaError` and `RunnerError`."""
        picture: Picture = await self._pictures.decode(frame.data)
        self._size = (picture.width, picture.height)
        (sightings,) = await see([picture.pixels], [picture.scale], self._tools.models)
        self._refused = 0
        return sightings

    def follow(self, at: float, sightings: Sequence[Sighting]) -> tuple[Face, ...]:
        """Take the faces in; as they are in this picture, each with its track's number."""
        self.seen += 1
        self.seconds = max(self.seconds, at + self.frame_seconds)
        return tuple(
            Face(
                box=sighting.box,
                score=sighting.score,
                quality=sighting.quality,
                sentiment=verdict(sighting.prediction.probabilities),
                emotions=sighting.prediction.emotions,
                track=track,
                start=at,
                end=at + self.frame_seconds,
            )
            for sighting, track in zip(sightings, self._watcher.follow(at, sightings), strict=True)
        )

    def forgive(self, error: MediaError | RunnerError) -> None:
        """A picture is lost. Raises `Undecodable` when too many in a row cannot be read."""
        self._refused += isinstance(error, MediaError)
        if self._refused >= MAX_REFUSED:
            raise Undecodable(f"{MAX_REFUSED} pictures in a row could not be read; the last: {error}") from error

    def finish(self, seconds: float) -> Found:
        """What all faces said."""
        width, height = self._size or (None, None)
        media = Media(seconds, width, height, self.seen)
        if not self.seen:
            return Found(media=media, notices=(Notice("no_video", "No picture was sent."),))
        return self._watcher.finish(self._tools.settings.min_face_quality, media)

    async def end(self) -> None:
        """End the decoding process."""
        await self._pictures.close()


@dataclass(frozen=True)
class Step:
    """Sound to be heard at once, and the frame that it ended in."""

    chunk: Chunk
    last: Frame


@dataclass(frozen=True)
class Heard:
    """What one step brought: moments of speech that ended, the voice in speech that goes on, words."""

    moments: Sequence[Moment]
    speaking: Moment | None
    words: Sequence[Words]


class Ears:
    """Sound that waits, gathered into steps, and what was heard so far."""

    def __init__(self, start: Start, tools: Tools) -> None:
        self._settings = tools.settings
        self._language = start.options.language
        self._listener = Listener(tools.models, self._language, start.options.transcribe == "auto")
        self._pcm = Pcm(start.sample_rate)
        self._timestamps = start.timestamps
        self._gathered: list[Samples] = []
        self._count = 0
        self._received = 0
        self._told = 0
        self._steps: deque[Step] = deque()
        self._last: Frame | None = None
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._closed = False

    @property
    def seconds(self) -> float:
        """How far the sound reaches that has come."""
        return self._received / SAMPLE_RATE

    async def play(self, frame: Frame, begun: float) -> None:
        """Take sound in that began at this time; waits while too much is waiting."""
        self._last = frame
        self._fill_gap(begun)
        self._gather(self._pcm.add(frame.data))
        while len(self._steps) * STEP_SECONDS > BACKLOG_SECONDS:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """No sound will come any more."""
        self._gather(self._pcm.finish())
        if self._count and self._last is not None:
            self._step(self._count)
        self._closed = True
        self._news.set()

    async def steps(self) -> AsyncIterator[Step]:
        """Step after step; ends after `close`."""
        while True:
            await self._news.wait()
            if not self._steps:
                return
            step = self._steps.popleft()
            if not self._steps and not self._closed:
                self._news.clear()
            self._room.set()
            yield step

    async def hear(self, step: Step) -> Heard:
        """Hear one step. Raises `RunnerError`."""
        listener = self._listener
        moments = len(listener.heard.moments)
        await listener.feed(step.chunk)
        await listener.take_down()
        return Heard(listener.heard.moments[moments:], await listener.now(), self.words())

    def words(self) -> list[Words]:
        """What was put into words since this was asked last."""
        new = self._listener.heard.transcripts[self._told :]
        self._told += len(new)
        return [Words(one.language, one.segments) for one in new if one.segments]

    async def finish(self) -> Found:
        """What the whole sound says. Raises `RunnerError`."""
        if not self._received:
            return Found(notices=(Notice("no_audio", "No sound was sent."),))
        return without_doubtful_words(await self._listener.finish(), self._settings.min_transcript_confidence)

    def cancel(self) -> None:
        """Give up what is being put into words."""
        self._listener.cancel()

    def _fill_gap(self, begun: float) -> None:
        """Silence for what is missing, by the sender's clock; without one, sound is as long as its samples."""
        gap = begun - self.seconds
        known = self._timestamps or not self._received
        if known and MIN_GAP_SECONDS < gap < MAX_GAP_SECONDS:
            self._gather(np.zeros(round(gap * SAMPLE_RATE), np.float32))

    def _gather(self, samples: Samples) -> None:
        self._gathered.append(samples)
        self._count += len(samples)
        self._received += len(samples)
        whole = round(STEP_SECONDS * SAMPLE_RATE)
        while self._count >= whole and self._last is not None:
            self._step(whole)

    def _step(self, size: int) -> None:
        samples = np.concatenate(self._gathered)
        start = (self._received - self._count) / SAMPLE_RATE
        assert self._last is not None  # whoever gathers has played
        self._steps.append(Step(Chunk(start, samples[:size]), self._last))
        self._gathered, self._count = [samples[size:]], self._count - size
        self._news.set()
