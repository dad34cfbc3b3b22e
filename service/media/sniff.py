"""What a file is, by its first bytes alone; names and content types are only what the sender says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["image", "audio", "video", "container", "text", "unknown"]

HEAD_BYTES = 4096
"""What `sniff` wants to see of a file."""

PICTURES = "JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF"
RECORDINGS = "WAV, MP3, M4A, Ogg, FLAC, WebM, MP4, MOV, AVI or MKV"
"""What is accepted, as sentences name it."""

_MIN_TEXT_BYTES = 8
_TS_PACKET_BYTES = 188


@dataclass(frozen=True)
class Format:
    """`container` may hold sound, pictures or both; `unknown` with a `name` is recognisably something else (ZIP, PDF).

    `reader` is what Pillow (images) or FFmpeg (the rest) calls the one format that is tried; None means unreadable.
    """

    kind: Kind
    name: str
    reader: str | None = None


UNKNOWN = Format("unknown", "unknown data")
TEXT = Format("text", "plain text")

_MATROSKA = Format("container", "Matroska/WebM", "matroska")
_MP4 = Format("container", "MP4", "mov")
_MP3 = Format("audio", "MP3", "mp3")

_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", Format("image", "JPEG", "JPEG")),
    (b"\x89PNG\r\n\x1a\n", Format("image", "PNG", "PNG")),
    (b"GIF87a", Format("image", "GIF", "GIF")),
    (b"GIF89a", Format("image", "GIF", "GIF")),
    (b"II*\x00", Format("image", "TIFF", "TIFF")),
    (b"MM\x00*", Format("image", "TIFF", "TIFF")),
    (b"\x1aE\xdf\xa3", _MATROSKA),
    (b"OggS", Format("container", "Ogg", "ogg")),
    (b"fLaC", Format("audio", "FLAC", "flac")),
    (b"ID3", _MP3),
    (b"FLV\x01", Format("container", "Flash video", "flv")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Format("container", "Windows Media", "asf")),
    (b"\x00\x00\x01\xba", Format("container", "MPEG", "mpeg")),
    (b"#!AMR", Format("audio", "AMR", "amr")),
    (b"caff\x00\x01", Format("audio", "CAF", "caf")),
    (b".snd", Format("audio", "AU", "au")),
    (b"\x00\x00\x01\x00", Format("image", "icon")),
    (b"\xff\x0a", Format("image", "JPEG XL")),
    (b"\x00\x00\x00\x0cJXL ", Format("image", "JPEG XL")),
    (b"8BPS", Format("image", "Photoshop")),
    (b"PK\x03\x04", Format("unknown", "ZIP")),
    (b"PK\x05\x06", Format("unknown", "ZIP")),
    (b"%PDF-", Format("unknown", "PDF")),
    (b"\x1f\x8b", Format("unknown", "gzip")),
    (b"7z\xbc\xaf\x27\x1c", Format("unknown", "7-Zip")),
    (b"Rar!\x1a\x07", Format("unknown", "RAR")),
    (b"\x7fELF", Format("unknown", "ELF program")),
    (b"SQLite format 3\x00", Format("unknown", "SQLite")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Format("unknown", "Microsoft Office")),
)

_RIFF: dict[bytes, Format] = {
    b"WAVE": Format("audio", "WAV", "wav"),
    b"AVI ": Format("container", "AVI", "avi"),
    b"WEBP": Format("image", "WebP", "WEBP"),
}

_BRANDS: dict[bytes, Format] = {
    b"avif": Format("image", "AVIF", "AVIF"),
    b"avis": Format("image", "AVIF", "AVIF"),
    b"heic": Format("image", "HEIC"),
    b"heix": Format("image", "HEIC"),
    b"hevc": Format("image", "HEIC"),
    b"mif1": Format("image", "HEIC"),
    b"qt  ": Format("container", "QuickTime", "mov"),
    b"M4A ": Format("container", "M4A", "mov"),
    b"M4B ": Format("container", "M4A", "mov"),
}

_MOV_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip")
"""First atoms of QuickTime files older than `ftyp`."""


def sniff(head: bytes) -> Format:
    """The format of a file that starts with `head`, of which `HEAD_BYTES` are plenty."""
    for signature, format in _SIGNATURES:
        if head.startswith(signature):
            return format
    return _sniff_parts(head) or _sniff_frames(head) or _sniff_text(head) or UNKNOWN


def _sniff_parts(head: bytes) -> Format | None:
    """Formats whose name stands behind a length."""
    mark, name = head[4:8], head[8:12]
    if head[:4] in (b"RIFF", b"RF64"):
        return _RIFF.get(name)
    if head[:4] == b"FORM" and name in (b"AIFF", b"AIFC"):
        return Format("audio", "AIFF", "aiff")
    if mark == b"ftyp":
        return _sniff_brands(head)
    if mark in _MOV_ATOMS:
        return Format("container", "QuickTime", "mov")
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return Format("image", "BMP", "BMP")
    return None


def _sniff_brands(head: bytes) -> Format:
    """ISO base media: the major brand, or for the generic `mif1` the first compatible one that says more."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[start : start + 4] for start in range(16, size - 3, 4))]
    if brands[0] == b"mif1":
        brands.sort(key=lambda brand: brand not in (b"avif", b"avis"))
    return _BRANDS.get(brands[0], _MP4)


def _sniff_frames(head: bytes) -> Format | None:
    """Formats that start with a frame and no name: MPEG audio, AAC in ADTS, transport streams."""
    if len(head) > _TS_PACKET_BYTES and head[0] == head[_TS_PACKET_BYTES] == 0x47:
        return Format("container", "MPEG transport stream", "mpegts")
    if len(head) < 4 or head[0] != 0xFF:
        return None
    if head[1] & 0xF6 == 0xF0:
        return Format("audio", "AAC", "aac")
    layer, bit_rate, sample_rate = head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    # Layers III and II; what would be layer I is the byte order mark of UTF-16.
    if head[1] & 0xE0 == 0xE0 and layer in (1, 2) and bit_rate not in (0, 15) and sample_rate != 3:
        return _MP3
    return None


def _sniff_text(head: bytes) -> Format | None:
    if len(head) < _MIN_TEXT_BYTES:
        return None
    text = _decode(head)
    if text is None or any(ord(letter) < 32 and letter not in "\t\n\r\f\x1b" for letter in text):
        return None
    start = text.lstrip("\ufeff \t\r\n")[:64].lower()
    if start.startswith(("<!doctype html", "<html")):
        return Format("text", "HTML")
    if start.startswith("<svg"):
        return Format("text", "SVG")
    return TEXT


def _decode(head: bytes) -> str | None:
    """`head` as text; a character that the cut at its end splits is no objection."""
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    try:
        return head.decode(encoding)
    except UnicodeDecodeError as error:
        return head[: error.start].decode(encoding) if len(head) - error.start < 4 else None
