"""One session: who sees, hears and reads in it, and what all of that comes to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from service.domain.analysis import Analysis, Face, Kind, Media
from service.domain.fusion import Fused, fuse
from service.domain.labels import Modality
from service.domain.sentiment import Sentiment, verdict
from service.domain.timeline import Moment
from service.features.speech import SAMPLE_RATE
from service.media import MediaError, TooLarge
from service.pipelines.analyze import answer, joined, rule_of
from service.pipelines.explain import explained
from service.pipelines.found import Found, Stopwatch
from service.pipelines.live.clock import Clock, Frame
from service.pipelines.live.ears import STEP_SECONDS, Ears
from service.pipelines.live.events import Result, Tell, Trouble, Words
from service.pipelines.live.eyes import Eyes
from service.pipelines.live.recent import Recent
from service.pipelines.live.start import Start
from service.pipelines.live.texts import Texts
from service.pipelines.media import Tools, both
from service.pipelines.text import predict
from service.runners import RunnerError


class Session:
    """One live session. Run `watch`, `listen` and `read` beside whoever feeds it; then `finish`, and always `close`."""

    def __init__(self, start: Start, tools: Tools, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        """`tell` takes what the session says; while it waits, newer pictures replace older ones."""
        self._start, self._tools, self._tell, self._now = start, tools, tell, clock
        settings = tools.settings
        self._clock, self._recent, self._stopwatch = Clock(start.timestamps), Recent(), Stopwatch()
        self._sequence = 0
        self._ended = False
        self._eyes = Eyes(tools, explain=start.options.explain)
        self._ears = Ears(start, tools)
        self._texts = Texts(tools.models, settings.stream_text_characters)
        self._reliability: dict[Modality, float] = {
            name: tools.models.info[name].reliability for name in ("text", "speech", "face")
        }
        self._rule = rule_of(start.options, tools)

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
        """A text came. Raises `TooLarge` when all texts together are too long."""
        self._clock.place(frame)
        await self._texts.put(text, frame)

    async def end_input(self) -> None:
        """Nothing more will come; `watch`, `listen` and `read` end when they are through."""
        if not self._ended:
            self._ended = True
            self._eyes.close()
            self._ears.close()
            await self._texts.close()

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
        async for text, frame in self._texts.each():
            at = self._clock.place(frame)
            with self._stopwatch("text"):
                read = await self._texts.look(text, at)
            self._recent.add("text", read.moments, at)
            await self._say("text", frame, at)

    async def finish(self) -> Analysis:
        """The whole as one answer, once `watch`, `listen` and `read` have ended. Raises `RunnerError`."""
        with self._stopwatch("total"):
            found = await self._whole()
            if self._start.options.explain:
                found = await explained(found, self._rule, self._tools.models)
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
        if not self._texts.read:
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
        given = await self._texts.finish(self._start.options)
        if given.text is not None:
            heard = _without_words(heard)
        found = both(seen, heard) if "speech" in self._start.modalities else seen
        return joined([found, given])

    def _kind(self) -> Kind:
        """As for files: what was sent, and `multimodal` for texts beside something else."""
        seen, heard = self._eyes.seen > 0, self._ears.seconds > 0
        if self._texts.read:
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
