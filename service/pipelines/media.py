"""Files: which of their streams go to whom, while they are decoded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from service.domain.analysis import Media, Notice
from service.media.decoder import Decoder
from service.media.stream import Frames, MediaStream, Samples
from service.pipelines import Options
from service.pipelines.checkpoint import Bookmark, Notebook
from service.pipelines.face import Watcher, read_picture
from service.pipelines.found import Found, Stopwatch
from service.pipelines.speech import Listener, without_doubtful_words
from service.runners import Models
from service.settings import Settings

Item = TypeVar("Item")


@dataclass(frozen=True)
class Tools:
    """What pipelines work with."""

    models: Models
    decoder: Decoder
    settings: Settings


class Lane(Generic[Item]):
    """Hands chunks to one consumer, which works on one while the next is decoded."""

    def __init__(self, feed: Callable[[Item], Awaitable[None]]) -> None:
        self._feed = feed
        self._busy: asyncio.Future[None] | None = None

    async def put(self, item: Item) -> None:
        """Wait until the chunk before is done. Raises what its consumer raised."""
        await self.drain()
        self._busy = asyncio.ensure_future(self._feed(item))

    async def drain(self) -> None:
        """Wait until nothing is being worked on."""
        busy, self._busy = self._busy, None
        if busy is not None:
            await busy

    def cancel(self) -> None:
        """Give up what is being worked on."""
        if self._busy is not None:
            self._busy.cancel()


async def read_image(path: Path, options: Options, tools: Tools, watch: Stopwatch) -> Found:
    """The faces of a picture. Raises `MediaError` and `RunnerError`."""
    with watch("decode"):
        picture = await tools.decoder.picture(path)
    with watch("face"):
        good = tools.settings.min_face_quality
        return await read_picture(picture, good, tools.models, explain=options.explain)


async def read_audio(
    path: Path, options: Options, tools: Tools, watch: Stopwatch, *, words: bool, notebook: Notebook | None = None
) -> Found:
    """The voice of a recording, and its words. Raises `MediaError`, `RunnerError` and what the notebook raises."""
    settings = tools.settings
    listener = Listener(tools.models, options.language, words, explain=options.explain)
    bookmark = Bookmark(notebook, listener, None) if notebook else None
    stream = tools.decoder.stream(
        path,
        audio=True,
        video=False,
        max_seconds=settings.max_audio_seconds,
        frames_per_second=1.0,
        start_seconds=bookmark.start_seconds if bookmark else 0.0,
    )
    async with stream as media:
        if notebook:
            notebook.begin(media.info.about_seconds)
        found = await _listen(media, listener, None, watch, bookmark)
    found = _cut_short(found if media.info.has_audio else _NO_AUDIO, media)
    return without_doubtful_words(found, settings.min_transcript_confidence)


async def read_video(
    path: Path,
    options: Options,
    tools: Tools,
    watch: Stopwatch,
    *,
    sound: bool,
    words: bool,
    notebook: Notebook | None = None,
) -> Found:
    """Faces, voice and words of a video. Raises `MediaError`, `RunnerError` and what the notebook raises."""
    settings = tools.settings
    rate = settings.frames_per_second
    listener = Listener(tools.models, options.language, words, explain=options.explain)
    watcher = Watcher(tools.models, 1 / rate, options.explain)
    bookmark = Bookmark(notebook, listener, watcher) if notebook else None
    stream = tools.decoder.stream(
        path,
        audio=sound,
        video=True,
        max_seconds=settings.max_video_seconds,
        frames_per_second=rate,
        start_seconds=bookmark.start_seconds if bookmark else 0.0,
    )
    async with stream as media:
        watcher.width = media.info.width or 1
        if notebook:
            notebook.begin(media.info.about_seconds)
        heard = await _listen(media, listener, watcher, watch, bookmark)
    facts = Media(media.summary.seconds, media.info.width, media.info.height, watcher.frames_read)
    seen = watcher.finish(settings.min_face_quality, facts)
    if not media.info.has_video:
        seen = Found(media=facts, notices=(Notice("no_video", "The file has no picture track; its sound was used."),))
    if sound:
        heard = heard if media.info.has_audio else _NO_AUDIO
        seen = both(seen, without_doubtful_words(heard, settings.min_transcript_confidence))
    return _cut_short(seen, media)


async def _listen(
    media: MediaStream, listener: Listener, watcher: Watcher | None, watch: Stopwatch, bookmark: Bookmark | None
) -> Found:
    """Send each chunk down its lane until the file ends; what was heard."""
    ears: Lane[Samples] = Lane(listener.feed)
    eyes: Lane[Frames] = Lane(watcher.feed) if watcher else Lane(_ignore)
    watch.add(bookmark.timings if bookmark else {})
    try:
        chunks = aiter(media)
        while True:
            with watch("decode"):
                chunk = await anext(chunks, None)
            if chunk is None:
                break
            if bookmark and (chunk := bookmark.unread(chunk)) is None:
                continue
            with watch("speech" if isinstance(chunk, Samples) else "face"):
                await (ears.put(chunk) if isinstance(chunk, Samples) else eyes.put(chunk))
            if bookmark and bookmark.is_due:
                await _drain(ears, eyes, watch)
                await bookmark.keep(watch.seconds)
        await _drain(ears, eyes, watch)
        if bookmark and bookmark.has_news:
            await bookmark.keep(watch.seconds)
        with watch("speech"):
            return await listener.finish()
    finally:
        for lane in (ears, eyes, listener):
            lane.cancel()


async def _drain(ears: Lane[Samples], eyes: Lane[Frames], watch: Stopwatch) -> None:
    with watch("face"):
        await eyes.drain()
    with watch("speech"):
        await ears.drain()


async def _ignore(_: Frames) -> None:
    """Nobody watches."""


_NO_AUDIO = Found(notices=(Notice("no_audio", "The file has no audio track."),))


def _cut_short(found: Found, media: MediaStream) -> Found:
    if not media.summary.truncated:
        return found
    detail = f"The file breaks off; the {media.summary.seconds:.1f} s that could be read were used."
    return replace(found, notices=(*found.notices, Notice("truncated", detail)))


def both(seen: Found, heard: Found) -> Found:
    """What was seen and what was heard of one video."""
    return replace(
        heard,
        opinions={**heard.opinions, **seen.opinions},
        face=seen.face,
        pieces=(*heard.pieces, *seen.pieces),
        views=seen.views,
        moments={**heard.moments, **seen.moments},
        media=seen.media,
        models=(*heard.models, *seen.models),
        notices=(*heard.notices, *seen.notices),
    )
