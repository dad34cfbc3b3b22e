"""Make the example media: `python -m ui.examples.make --portrait astronaut.jpg --speech jfk.ogg`.

Both sources are in the public domain: NASA's portrait of Eileen Collins (`skimage.data.astronaut()` of scikit-image has
it) and the inaugural address of John F. Kennedy, 1961 (`tests/data/jfk.flac` of SYSTRAN/faster-whisper has this
sentence). Where the folder `samples` of the training data is present, they are found there.
"""

from __future__ import annotations

import argparse
import math
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from PIL import Image, ImageDraw, ImageFilter

HERE = Path(__file__).parent
SAMPLES = Path(os.environ.get("SENTIMENT_DATA", HERE.parents[2] / "shared" / "data")) / "samples"

PORTRAIT_SIDE = 320
VIDEO_SIDE = 256
FRAMES_PER_SECOND = 12
DUNES_SECONDS, SPEECH_SECONDS, VIDEO_SECONDS = 1.5, 6.8, 7.0  # the speech ends first, whatever its codec appends


def main() -> None:
    """Write the four files beside this script."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--portrait", type=Path, default=SAMPLES / "image" / "astronaut.jpg")
    options.add_argument("--speech", type=Path, default=SAMPLES / "audio" / "jfk_16k_s16.wav")
    chosen = options.parse_args()
    face, nobody = portrait(chosen.portrait), dunes(320, 240)
    face.save(HERE / "portrait.jpg", quality=82, optimize=True)
    nobody.save(HERE / "dunes.jpg", quality=80, optimize=True)
    transcode(chosen.speech, HERE / "inaugural.ogg", "libopus", 48_000, 20_000)
    film(face, nobody, chosen.speech, HERE / "portrait_speaks.mp4")
    for path in sorted(HERE.glob("*.*")):
        print(f"{path.stat().st_size:8} {path.name}")


def portrait(source: Path) -> Image.Image:
    """Head and shoulders out of the square original."""
    whole = Image.open(source).convert("RGB")
    side = whole.width
    cut = whole.crop((int(0.14 * side), 0, int(0.77 * side), int(0.63 * side)))
    return cut.resize((PORTRAIT_SIDE, PORTRAIT_SIDE), Image.Resampling.LANCZOS)


def dunes(width: int, height: int) -> Image.Image:
    """A drawn evening: sky, sun, three dunes, nobody."""
    sky = np.linspace((250, 214, 165), (214, 120, 92), height)[:, None, :].repeat(width, axis=1)
    picture = Image.fromarray(sky.astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((0.62 * width, 0.3 * height, 0.78 * width, 0.3 * height + 0.16 * width), fill=(255, 240, 205))
    for level, colour in ((0.62, (176, 98, 78)), (0.72, (128, 70, 66)), (0.84, (82, 48, 54))):
        crest = [(x, height * (level + 0.05 * math.sin(x / width * 5 + level * 20))) for x in range(width + 1)]
        pen.polygon([(0, height), *crest, (width, height)], fill=colour)
    return picture.filter(ImageFilter.GaussianBlur(0.7))


def transcode(source: Path, target: Path, codec: str, sample_rate: int, bit_rate: int) -> None:
    """The speech, mono, in another codec."""
    with av.open(str(source)) as spoken, av.open(str(target), "w") as written:
        stream = written.add_stream(codec, rate=sample_rate, layout="mono")
        stream.bit_rate = bit_rate
        _speak(spoken, written, stream, math.inf)


def film(face: Image.Image, nobody: Image.Image, speech: Path, target: Path) -> None:
    """First the dunes, then the portrait, slowly coming nearer, while the speech is heard."""
    with av.open(str(speech)) as spoken, av.open(str(target), "w", options={"movflags": "faststart"}) as written:
        seen = written.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "27", "preset": "veryslow"})
        seen.width = seen.height = VIDEO_SIDE
        seen.pix_fmt = "yuv420p"
        heard = written.add_stream("aac", rate=16_000, layout="mono")
        heard.bit_rate = 32_000
        for index in range(int(VIDEO_SECONDS * FRAMES_PER_SECOND)):
            frame = av.VideoFrame.from_image(_view(face, nobody, index / FRAMES_PER_SECOND))
            frame.pts, frame.time_base = index, Fraction(1, FRAMES_PER_SECOND)
            written.mux(seen.encode(frame))
        written.mux(seen.encode(None))
        _speak(spoken, written, heard, SPEECH_SECONDS)


def _view(face: Image.Image, nobody: Image.Image, seconds: float) -> Image.Image:
    size = (VIDEO_SIDE, VIDEO_SIDE)
    if seconds < DUNES_SECONDS:
        return nobody.crop((40, 0, 280, 240)).resize(size, Image.Resampling.LANCZOS)
    margin = 0.01 * (seconds - DUNES_SECONDS) * face.width
    near = (margin, margin, face.width - margin, face.height - margin)
    return face.resize(size, Image.Resampling.LANCZOS, box=near)


def _speak(
    spoken: InputContainer,
    written: OutputContainer,
    stream: av.AudioStream,
    seconds: float,
) -> None:
    """Encode the first audio stream of `spoken`, up to `seconds`."""
    resampler = av.AudioResampler(format=stream.format or "fltp", layout="mono", rate=stream.rate)
    for frame in spoken.decode(audio=0):
        if frame.time is not None and frame.time >= seconds:
            break
        for resampled in resampler.resample(frame):
            written.mux(stream.encode(resampled))
    written.mux(stream.encode(None))


if __name__ == "__main__":
    main()
