"""What Chromium's fake microphone hears and its fake camera sees: the page's own examples."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image

from ui.app import EXAMPLES

WIDTH, HEIGHT, FRAMES_PER_SECOND = 640, 480, 20
SAMPLE_RATE = 48_000


def microphone_file(folder: Path) -> Path:
    """The example speech as a WAV file; Chromium plays it again and again."""
    path = folder / "microphone.wav"
    with av.open(str(EXAMPLES / "inaugural.ogg")) as spoken, av.open(str(path), "w") as written:
        stream = written.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        for frame in spoken.decode(audio=0):
            for resampled in resampler.resample(frame):
                written.mux(stream.encode(resampled))
        written.mux(stream.encode(None))
    return path


def camera_file(folder: Path) -> Path:
    """The example portrait before a plain wall, as uncompressed video (YUV4MPEG2)."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), (150, 160, 170))
    portrait = Image.open(EXAMPLES / "portrait.jpg").resize((HEIGHT, HEIGHT))
    picture.paste(portrait, ((WIDTH - HEIGHT) // 2, 0))
    frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24").reformat(format="yuv420p")
    planes = frame.to_ndarray().tobytes()
    path = folder / "camera.y4m"
    with path.open("wb") as video:
        video.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FRAMES_PER_SECOND}:1 Ip A1:1 C420jpeg\n".encode())
        for _ in range(FRAMES_PER_SECOND):
            video.write(b"FRAME\n" + planes)
    return path
