"""A voice: where somebody speaks, how it sounds, and what is said; in memory that does not grow with the recording."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from service.domain.analysis import Media, Notice, SpeechPart, SpeechSegment, TextPart, Transcript
from service.domain.explanation import Piece
from service.domain.fusion import Opinion
from service.domain.leaving_out import Vote, without_each
from service.domain.sentiment import NO_EVIDENCE, verdict
from service.domain.timeline import Moment, average
from service.features.speech import (
    SAMPLE_RATE,
    DetectorState,
    Samples,
    Segment,
    SignalQuality,
    SpeechDetector,
    StoredSamples,
    VoiceActivity,
    signal_quality,
    windows,
)
from service.media.stream import Samples as Chunk
from service.pipelines import text
from service.pipelines.found import Found
from service.runners import Models, TranscriptUnavailable
from service.runners.transcript import mean_confidence

PASSAGE_SECONDS = 28.0
"""Speech is put into words in passages of up to this: the transcriber hears 30 s at once, whatever it is given."""

PAUSE_SECONDS = 3.0
"""A longer pause ends the passage."""

CONTEXT_SECONDS = VoiceActivity().max_speech_seconds + 2.0
"""So much of the recording is kept, enough to hold the longest segment that may still be open."""

CLIPPED_FRACTION = 0.005


@dataclass
class Tape:
    """The last `CONTEXT_SECONDS` of a recording, addressed by its own time."""

    samples: StoredSamples
    start: int = 0

    def record(self, samples: Samples) -> None:
        """Append, and forget what is too old."""
        joined = np.concatenate([self.samples, samples])
        surplus = max(0, len(joined) - max(round(CONTEXT_SECONDS * SAMPLE_RATE), len(samples)))
        self.samples, self.start = joined[surplus:], self.start + surplus

    def cut(self, start_seconds: float, end_seconds: float) -> Samples:
        """What was recorded between two times."""
        first, last = (round(seconds * SAMPLE_RATE) - self.start for seconds in (start_seconds, end_seconds))
        return self.samples[max(first, 0) : max(last, 0)]

    def here(self, segment: Segment) -> Segment:
        """A segment in the time of `samples`."""
        offset = self.start / SAMPLE_RATE
        return replace(segment, start_seconds=segment.start_seconds - offset, end_seconds=segment.end_seconds - offset)


@dataclass
class Passage:
    """Speech without a long pause, to be put into words."""

    start: float
    end: float
    samples: StoredSamples


@dataclass
class Heard:
    """What a listener has written down: some hundred bytes for each second of speech."""

    segments: list[SpeechSegment] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    qualities: list[SignalQuality] = field(default_factory=list)
    transcripts: list[Transcript] = field(default_factory=list)

    @property
    def lengths(self) -> tuple[int, int, int, int]:
        """How much of each is written down."""
        return len(self.segments), len(self.moments), len(self.qualities), len(self.transcripts)

    def since(self, lengths: tuple[int, int, int, int]) -> Heard:
        """What has been added since these were its `lengths`."""
        segments, moments, qualities, transcripts = lengths
        return Heard(
            self.segments[segments:],
            self.moments[moments:],
            self.qualities[qualities:],
            self.transcripts[transcripts:],
        )

    def add(self, news: Heard) -> None:
        """Write more down."""
        self.segments += news.segments
        self.moments += news.moments
        self.qualities += news.qualities
        self.transcripts += news.transcripts


@dataclass(frozen=True)
class Ear:
    """What a listener has in mind beside what it has written down; it does not grow with the recording."""

    detector: DetectorState
    tape: Tape
    passage: Passage | None
    heard_samples: int
    unavailable: Notice | None


class Listener:
    """Hears a recording chunk by chunk and says how it sounds and what was said."""

    def __init__(self, models: Models, language: str, transcribe: bool, *, explain: bool = False) -> None:
        """`explain` adds to what is found what the voice says without each of its segments."""
        self._models = models
        self._explain = explain
        self._language = language
        self._transcribe = transcribe
        self._unavailable = _untranscribed(models, language) if transcribe else None
        self._detector = SpeechDetector()
        self._tape = Tape(np.zeros(0, np.float32))
        self._passage: Passage | None = None
        self._writing: asyncio.Task[Transcript] | None = None
        self._heard_samples = 0
        self.heard = Heard()

    @property
    def seconds(self) -> float:
        """How far it has heard."""
        return self._heard_samples / SAMPLE_RATE

    async def pause(self) -> Ear:
        """What it has in mind, once nothing is being written; it can go on as before, or another with `resume`."""
        await self._collect()
        return Ear(self._detector.state(), self._tape, self._passage, self._heard_samples, self._unavailable)

    def resume(self, ear: Ear, heard: Heard) -> None:
        """Go on where another listener paused."""
        self._detector.resume(ear.detector)
        self._tape, self._passage = ear.tape, ear.passage
        self._heard_samples, self._unavailable = ear.heard_samples, ear.unavailable
        self.heard = heard

    async def feed(self, chunk: Chunk) -> None:
        """Hear some seconds more."""
        segments = await asyncio.to_thread(self._detector.push, chunk.samples)
        for piece in np.array_split(chunk.samples, max(1, len(chunk.samples) // SAMPLE_RATE)):
            self._tape.record(piece)
        self._heard_samples += len(chunk.samples)
        for segment in segments:
            await self._hear(segment)

    async def finish(self) -> Found:
        """What the whole recording says. Raises what the models raise."""
        for segment in await asyncio.to_thread(self._detector.finish):
            await self._hear(segment)
        await self._end_passage()
        await self._collect()
        found = self._sounds()
        return await self._words(found) if self._transcribe else found

    async def now(self) -> Moment | None:
        """How the voice sounds in the last window of speech that has not ended yet; it does not enter the verdict."""
        since = self._detector.open_since
        if since is None:
            return None
        window_seconds = self._models.info["speech"].settings.get("window_seconds", 4.0)
        spoken = Segment(max(since, self.seconds - window_seconds), self.seconds, 1.0)
        samples = self._tape.cut(spoken.start_seconds, spoken.end_seconds)[: round(window_seconds * SAMPLE_RATE)]
        (said,) = await self._models.speech([samples])
        quality = signal_quality(self._tape.samples, [self._tape.here(spoken)])
        return Moment(spoken.start_seconds, spoken.end_seconds, said, quality.score)

    async def take_down(self) -> None:
        """End a passage once the pause behind it is long enough, and note words that are ready; waits for none."""
        silent = self._detector.judged_seconds - VoiceActivity().padding_seconds
        if self._writing is not None and not self._writing.done():
            return
        if self._passage and self._detector.open_since is None and silent - self._passage.end > PAUSE_SECONDS:
            await self._end_passage()
        elif self._writing is not None:
            await self._collect()

    def cancel(self) -> None:
        """Stop writing; what is written is lost."""
        if self._writing:
            self._writing.cancel()

    async def _hear(self, segment: Segment) -> None:
        settings = self._models.info["speech"].settings
        local = self._tape.here(segment)
        cut = windows(
            self._tape.samples, [local], settings.get("window_seconds", 4.0), settings.get("hop_seconds", 2.0)
        )
        said = await self._models.speech([window.samples[: window.valid_samples] for window in cut])
        quality = signal_quality(self._tape.samples, [local])
        offset = segment.start_seconds - local.start_seconds
        moments = [
            Moment(window.start_seconds + offset, window.end_seconds + offset, prediction, quality.score)
            for window, prediction in zip(cut, said, strict=True)
        ]
        self.heard.moments += moments
        self.heard.qualities.append(quality)
        self.heard.segments.append(_segment(segment, moments, quality.score))
        if self._transcribe and self._unavailable is None:
            await self._write(segment)

    async def _write(self, segment: Segment) -> None:
        """Add a segment to the passage, or begin a new one."""
        passage = self._passage
        if passage and (
            segment.start_seconds - passage.end > PAUSE_SECONDS or segment.end_seconds - passage.start > PASSAGE_SECONDS
        ):
            await self._end_passage()
            passage = None
        if passage is None:
            samples = self._tape.cut(segment.start_seconds, segment.end_seconds)
            self._passage = Passage(segment.start_seconds, segment.end_seconds, samples)
            return
        more = self._tape.cut(passage.end, segment.end_seconds)
        self._passage = Passage(passage.start, segment.end_seconds, np.concatenate([passage.samples, more]))

    async def _end_passage(self) -> None:
        passage, self._passage = self._passage, None
        await self._collect()
        if passage is not None:
            self._writing = asyncio.create_task(self._put_into_words(passage))

    async def _put_into_words(self, passage: Passage) -> Transcript:
        transcript = await self._models.transcribe(passage.samples, self._language)
        moved = tuple(
            replace(s, start=s.start + passage.start, end=min(s.end + passage.start, passage.end))
            for s in transcript.segments
        )
        return replace(transcript, segments=moved)

    async def _collect(self) -> None:
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            self.heard.transcripts.append(await writing)
        except TranscriptUnavailable as unavailable:
            self._unavailable = Notice("transcript_unavailable", str(unavailable))

    def _sounds(self) -> Found:
        media = Media(seconds=self.seconds)
        opinion = average(self.heard.moments)
        if opinion is None:
            notice = Notice("no_speech", f"Nobody speaks in the {media.seconds:.1f} s that were heard.")
            return Found(speech=SpeechPart(NO_EVIDENCE, {}, 0.0), media=media, notices=(notice,))
        prediction = opinion.prediction
        return Found(
            opinions={"speech": replace(opinion, reliability=self._models.info["speech"].reliability)},
            speech=SpeechPart(
                sentiment=verdict(prediction.probabilities),
                emotions=prediction.emotions,
                speech_seconds=sum(segment.end - segment.start for segment in self.heard.segments),
                segments=tuple(self.heard.segments),
            ),
            moments={"speech": self.heard.moments},
            pieces=_pieces(self.heard, self._models.info["speech"].reliability) if self._explain else (),
            media=media,
            models=("speech",),
            notices=_quality_notices(self.heard.qualities),
        )

    async def _words(self, found: Found) -> Found:
        if self._unavailable is not None:
            return replace(found, notices=(*found.notices, self._unavailable))
        segments = tuple(segment for transcript in self.heard.transcripts for segment in transcript.segments)
        if not segments:
            return found
        transcript = Transcript(
            text=" ".join(segment.text.strip() for segment in segments),
            language=self.heard.transcripts[0].language,
            confidence=mean_confidence(segments),
            segments=segments,
        )
        return await with_words(found, transcript, self._models)


async def with_words(found: Found, transcript: Transcript, models: Models) -> Found:
    """The same with the transcript, and with what its words say."""
    whole, *parts = await text.predict([transcript.text, *(s.text for s in transcript.segments)], models)
    found = replace(found, transcript=transcript, models=(*found.models, "transcript"))
    if whole is None:
        return found
    moments = [
        Moment(segment.start, segment.end, prediction, segment.confidence)
        for segment, prediction in zip(transcript.segments, parts, strict=True)
        if prediction is not None
    ]
    return replace(
        found,
        opinions={**found.opinions, "text": Opinion(whole, transcript.confidence, models.info["text"].reliability)},
        text=TextPart(verdict(whole.probabilities), whole.emotions, transcript.text, "transcript"),
        moments={**found.moments, "text": moments},
        models=(*found.models, "text"),
    )


def without_doubtful_words(found: Found, min_confidence: float) -> Found:
    """Keep words that were hardly understood out of the verdict: the transcript stays, its text part abstains."""
    if found.transcript is None or found.text is None or found.transcript.confidence >= min_confidence:
        return found
    detail = f"The words were understood with a confidence of {found.transcript.confidence:.2f}; they do not count."
    return replace(
        found,
        opinions={name: opinion for name, opinion in found.opinions.items() if name != "text"},
        moments={name: moments for name, moments in found.moments.items() if name != "text"},
        text=replace(found.text, sentiment=NO_EVIDENCE, emotions={}),
        notices=(*found.notices, Notice("transcript_uncertain", detail)),
    )


def _untranscribed(models: Models, language: str) -> Notice | None:
    """Why nothing can be put into words in this language, if so."""
    spoken = models.info["transcript"].languages if "transcript" in models.info else ()
    if not spoken or language.lower().split("-")[0] in spoken:
        return None
    return Notice("language_unsupported", f"Speech is put into words only in {', '.join(spoken)}; the voice was heard.")


def _segment(segment: Segment, moments: Sequence[Moment], quality: float) -> SpeechSegment:
    opinion = average(moments)
    assert opinion is not None  # a segment has at least one window
    return SpeechSegment(
        start=segment.start_seconds,
        end=segment.end_seconds,
        sentiment=verdict(opinion.prediction.probabilities),
        emotions=opinion.prediction.emotions,
        quality=quality,
    )


def _pieces(heard: Heard, reliability: float) -> tuple[Piece, ...]:
    """What the voice says without each of its segments."""
    starts = [segment.start for segment in heard.segments]
    groups: list[list[Vote]] = [[] for _ in starts]
    for moment in heard.moments:
        groups[max(bisect_right(starts, (moment.start + moment.end) / 2) - 1, 0)].append(Vote.of(moment))
    return tuple(
        Piece("segment", "speech", without, seconds=(segment.start, segment.end))
        for segment, without in zip(heard.segments, without_each(groups, reliability), strict=True)
    )


def _quality_notices(qualities: Sequence[SignalQuality]) -> tuple[Notice, ...]:
    notices = []
    if np.mean([quality.clipped_fraction for quality in qualities]) > CLIPPED_FRACTION:
        notices.append(Notice("clipped", "The recording is clipped: it was made too loud."))
    if np.mean([quality.score for quality in qualities]) < 0.3:
        notices.append(Notice("low_quality", "The voice is hard to hear: it is very quiet or close to the noise."))
    return tuple(notices)
