"""A file is what its first bytes say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.media.sniff import HEAD_BYTES, Format, sniff

_SAMPLES = {
    "image/astronaut.jpg": ("image", "JPEG"),
    "image/astronaut_cmyk.jpg": ("image", "JPEG"),
    "image/astronaut_16bit.png": ("image", "PNG"),
    "image/bomb_400mp.png": ("image", "PNG"),
    "image/animated.gif": ("image", "GIF"),
    "image/astronaut.bmp": ("image", "BMP"),
    "image/astronaut.tiff": ("image", "TIFF"),
    "image/astronaut.webp": ("image", "WebP"),
    "image/astronaut.avif": ("image", "AVIF"),
    "image/not_an_image.jpg": ("text", "plain text"),
    "audio/jfk_8k_u8.wav": ("audio", "WAV"),
    "audio/jfk.mp3": ("audio", "MP3"),
    "audio/music_synth.mp3": ("audio", "MP3"),
    "audio/jfk.ogg": ("container", "Ogg"),
    "audio/jfk.m4a": ("container", "M4A"),
    "audio/jfk.webm": ("container", "Matroska/WebM"),
    "audio/silence.flac": ("audio", "FLAC"),
    "video/mjpeg.avi": ("container", "AVI"),
    "video/face_in_the_middle.mkv": ("container", "Matroska/WebM"),
    "video/phone_portrait_rotated.mov": ("container", "QuickTime"),
    "video/truncated.mp4": ("container", "MP4"),
}

_HEADS = {
    b"PK\x03\x04" + bytes(30): ("unknown", "ZIP"),
    b"%PDF-1.7 and so on": ("unknown", "PDF"),
    b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic": ("image", "HEIC"),
    b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf": ("image", "AVIF"),
    b"<!DOCTYPE html><title>Moved</title>": ("text", "HTML"),
    b"\n <svg xmlns='http://www.w3.org/2000/svg'/>": ("text", "SVG"),
    "größer als zuvor".encode(): ("text", "plain text"),
    "größer als zuvor".encode("utf-16"): ("text", "plain text"),
    b"RIFF\x24\x00\x00\x00WAVEfmt ": ("audio", "WAV"),
    b"\xff\xfb\x90\x64" + bytes(60): ("audio", "MP3"),
    b"\xff\xf1\x50\x80" + bytes(60): ("audio", "AAC"),
    (b"\x47" + bytes(187)) * 3: ("container", "MPEG transport stream"),
    b"\x00\x01\x02\x03" * 8: ("unknown", "unknown data"),
    b"RIFF": ("unknown", "unknown data"),
    b"": ("unknown", "unknown data"),
}


@pytest.mark.parametrize("name", _SAMPLES)
def test_a_sample_is_known_by_its_bytes(samples: Path, name: str) -> None:
    with (samples / name).open("rb") as file:
        found = sniff(file.read(HEAD_BYTES))
    assert (found.kind, found.name) == _SAMPLES[name]


@pytest.mark.parametrize(("head", "expected"), _HEADS.items(), ids=[name for _, name in _HEADS.values()])
def test_a_head_is_known_by_its_bytes(head: bytes, expected: tuple[str, str]) -> None:
    found = sniff(head)
    assert (found.kind, found.name) == expected


@pytest.mark.parametrize("cut", range(1, 4))
def test_text_whose_last_letter_is_cut_in_two_is_still_text(cut: int) -> None:
    assert sniff(("word " * 10 + "\U0001f600").encode()[:-cut]).kind == "text"


def test_what_cannot_be_read_has_no_reader() -> None:
    assert sniff(b"8BPS" + bytes(20)).reader is None
    assert sniff(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic").reader is None


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_have_a_format(head: bytes) -> None:
    assert isinstance(sniff(head), Format)
