"""Bad input made by script: what people send by mistake, and what hostile ones send on purpose.

    python -m tests.fuzz.corpus    # lists the cases

Every case is one whole request and what may be answered. Nothing is kept on disk; large bodies are made when sent.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from tests.fuzz.seeds import FILMS, PICTURES, healthy
from tests.media.recordings import wav

Must = Literal["refuse", "either", "answer"]
"""`refuse`: only a Problem will do. `either`: there may be something left to read. `answer`: it is harmless."""

BOUNDARY = "limit-of-a-part"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
HUNDRED_MEGABYTES = 100_000_000


@dataclass(frozen=True)
class Case:
    """One request: POST `body` to `path`."""

    name: str
    path: str
    content_type: str
    body: Callable[[], bytes]
    must: Must
    heavy: bool = False
    """Takes much memory or time to send: left out of the short form."""


def cases() -> list[Case]:
    """All of them, in the same order each time; names are unique."""
    found = [
        *_damaged(),
        *_of_a_wrong_kind(),
        *_polyglots(),
        *_picture_bombs(),
        *_sounds_with_false_headers(),
        *_absurd_films(),
        *_emptiness(),
        *_names(),
        *_json(),
        *_forms(),
    ]
    assert len({case.name for case in found}) == len(found)
    return found


def short(count: int = 60) -> list[Case]:
    """About `count` of them: of each sort, the first word of the name, evenly."""
    light = [case for case in cases() if not case.heavy]
    sorts: dict[str, list[Case]] = {}
    for case in light:
        sorts.setdefault(case.name.split()[0], []).append(case)
    share = max(2, count // len(sorts))
    return [case for sort in sorts.values() for case in sort[:: max(1, len(sort) // share)][:share]]


def route_of(name: str) -> str:
    """Where a seed belongs."""
    if name in FILMS:
        return "/v1/video"
    return "/v1/audio" if name.startswith("voice") else "/v1/image"


def form(content: bytes, disposition: bytes = b'form-data; name="file"; filename="a.bin"') -> bytes:
    """A multipart form of one part."""
    limit = f"--{BOUNDARY}".encode()
    return limit + b"\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + content + b"\r\n" + limit + b"--\r\n"


def _file(name: str, path: str, content: bytes, must: Must = "either") -> Case:
    return Case(name, path, FORM, lambda: form(content), must)


def _damaged() -> Iterator[Case]:
    """Healthy files cut off and flipped; some can still be read in part, and then may be."""
    chance = random.Random(1)
    for name, data in healthy().items():
        route = route_of(name)
        for percent in (5, 40, 75, 98):
            yield _file(f"truncated {name} at {percent} %", route, data[: len(data) * percent // 100])
        for bits, where in ((8, min(len(data), 64)), (max(8, len(data) // 200), len(data))):
            flipped = bytearray(data)
            for _ in range(bits):
                flipped[chance.randrange(where)] ^= 1 << chance.randrange(8)
            yield _file(f"flipped {bits} bits of {name} in its first {where}", route, bytes(flipped))
        yield _file(f"headless {name}", route, data[16:])


def _of_a_wrong_kind() -> Iterator[Case]:
    """Good files sent to a route of another kind."""
    for name in (*PICTURES, "animated.gif"):
        for route in ("/v1/audio", "/v1/video"):
            yield _file(f"wrong kind {name} to {route}", route, healthy()[name], "refuse")
    for name in ("voice.wav", "voice.mp3", "voice.flac", *FILMS):
        yield _file(f"wrong kind {name} to /v1/image", "/v1/image", healthy()[name], "refuse")
    others = {
        "a text": b"Dear diary, this is only a text. " * 40,
        "HTML": b"<!doctype html><html><body>hello</body></html>",
        "an SVG that loads a file": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "a playlist": b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
        "a list to join": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "a session description": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 1 RTP/AVP 0\n",
        "a ZIP": b"PK\x03\x04" + bytes(60),
        "a PDF": b"%PDF-1.7\n" + bytes(60),
        "a program": b"\x7fELF" + bytes(60),
        "a pickle": b"cos\nsystem\n(S'true'\ntR." + bytes(8),
        "a database": b"SQLite format 3\x00" + bytes(90),
        "gzip": b"\x1f\x8b\x08" + bytes(60),
    }
    for name, data in others.items():
        for route in ("/v1/audio", "/v1/image", "/v1/video"):
            yield _file(f"wrong thing {name} to {route}", route, data, "refuse")


def _polyglots() -> Iterator[Case]:
    """Files that are two things: what the first bytes say counts."""
    picture, png, sound = healthy()["baseline.jpg"], healthy()["plain.png"], healthy()["voice.wav"]
    archive = b"PK\x03\x04" + bytes(26) + b"PK\x05\x06" + bytes(18)
    script = b"<script>alert(1)</script>"
    yield _file("polyglot JPEG and ZIP", "/v1/image", picture + archive, "answer")
    yield _file("polyglot PNG and ZIP", "/v1/image", png + archive, "answer")
    yield _file("polyglot GIF and script", "/v1/image", healthy()["plain.gif"] + script, "answer")
    yield _file("polyglot PNG and JPEG", "/v1/image", png + picture, "answer")
    yield _file("polyglot PDF and JPEG", "/v1/image", b"%PDF-1.4\n" + picture, "refuse")
    yield _file("polyglot ZIP and PNG", "/v1/image", archive + png, "refuse")
    yield _file("polyglot program and WAV", "/v1/audio", b"\x7fELF" + sound, "refuse")
    yield _file("polyglot GIF comment and script", "/v1/image", b"GIF89a/*" + script + b"*/=1;" + bytes(40))
    yield _file("polyglot WAV and MP3", "/v1/audio", sound + healthy()["voice.mp3"])
    yield _file("polyglot MP4 and HTML", "/v1/video", healthy()["film.h264.mp4"] + b"<html>" + script)
    yield _file("polyglot RIFF of WAVE with pictures", "/v1/audio", sound[:12] + healthy()["lossy.webp"][12:])
    yield _file("polyglot Ogg in Matroska", "/v1/audio", healthy()["film.mkv"][:64] + healthy()["voice.opus.ogg"])


def png(width: int, height: int, pixels: bytes = b"", *extra: bytes, colour: int = 2) -> bytes:
    """A PNG of these chunks, with right checksums."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = (head, *extra, b"IDAT" + pixels, b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def _picture_bombs() -> Iterator[Case]:
    """Small files that promise or unpack to far more."""
    swollen = zlib.compress(b"\0" * 60_000_000, 9)
    rows = zlib.compress(b"\0" * (64 * 3 + 1) * 64)
    for width, height in ((20_000, 20_000), (65_535, 65_535), (2**31 - 1, 2**31 - 1), (0, 0), (1, 2**31 - 1)):
        yield _file(f"bomb PNG of {width} x {height}", "/v1/image", png(width, height, rows), "refuse")
    yield _file("bomb PNG with 60 MB behind its pixels", "/v1/image", png(64, 64, swollen))
    yield _file("bomb PNG with a comment of 60 MB", "/v1/image", png(64, 64, rows, b"zTXtc\0\0" + swollen))
    yield _file("bomb PNG with a profile of 60 MB", "/v1/image", png(64, 64, rows, b"iCCPp\0\0" + swollen))
    yield _file("bomb PNG of 3,000 comments", "/v1/image", png(64, 64, rows, *([b"tEXtk\0v"] * 3_000)))
    yield Case("bomb PNG of 49 million pixels", "/v1/image", FORM, lambda: form(_flat_png(7_000)), "answer", heavy=True)
    picture = bytearray(healthy()["baseline.jpg"])
    place = picture.index(b"\xff\xc0")
    picture[place + 5 : place + 9] = b"\xff\xff\xff\xff"
    yield _file("bomb JPEG of 65,535 x 65,535", "/v1/image", bytes(picture), "refuse")
    picture[place + 5 : place + 9] = b"\0\0\0\0"
    yield _file("bomb JPEG of 0 x 0", "/v1/image", bytes(picture), "refuse")
    yield _file("bomb JPEG of 2,000 empty scans", "/v1/image", _scans(2_000))
    gif = bytearray(healthy()["plain.gif"])
    gif[6:10] = b"\xff\xff\xff\xff"
    yield _file("bomb GIF of 65,535 x 65,535", "/v1/image", bytes(gif), "refuse")
    yield _file("bomb GIF of 20,000 frames", "/v1/image", _many_frames(20_000))
    bmp = bytearray(healthy()["plain.bmp"])
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    yield _file("bomb BMP of 60,000 x 60,000", "/v1/image", bytes(bmp), "refuse")
    bmp[18:26] = struct.pack("<ii", -5, -(2**31))
    yield _file("bomb BMP of negative size", "/v1/image", bytes(bmp), "refuse")
    tiff = healthy()["lzw.tiff"]
    yield _file("bomb TIFF whose directory points at itself", "/v1/image", _endless_tiff(tiff))
    yield _file(
        "bomb TIFF of 2 billion strips", "/v1/image", b"II*\0\x08\0\0\0" + _tiff_entry(273, 2**31 - 1), "refuse"
    )
    webp = bytearray(healthy()["lossless.webp"])
    webp[21:25] = (0x3FFF | 0x3FFF << 14).to_bytes(4, "little")
    yield _file("bomb WebP of 16,384 x 16,384", "/v1/image", bytes(webp), "refuse")
    avif = bytearray(healthy()["still.avif"])
    place = avif.index(b"ispe")
    avif[place + 8 : place + 16] = struct.pack(">II", 65_535, 65_535)
    yield _file("bomb AVIF of 65,535 x 65,535", "/v1/image", bytes(avif), "refuse")


def _flat_png(side: int) -> bytes:
    return png(side, side, zlib.compress(b"\0" * (side * 3 + 1) * side, 1))


def _scans(count: int) -> bytes:
    """A progressive JPEG with many more scans than it needs."""
    picture = healthy()["progressive.jpg"]
    last = picture.rindex(b"\xff\xda")
    return picture[:-2] + picture[last:-2] * count + b"\xff\xd9"


def _many_frames(count: int) -> bytes:
    stream = io.BytesIO()
    Image.new("P", (2, 2)).save(stream, "GIF")
    gif = stream.getvalue()
    start = gif.index(b",", 13)
    return gif[:-1] + gif[start:-1] * count + b";"


def _tiff_entry(tag: int, count: int) -> bytes:
    return struct.pack("<HHHII", 1, tag, 4, count, 8) + bytes(4)


def _endless_tiff(tiff: bytes) -> bytes:
    order = "<" if tiff[:2] == b"II" else ">"
    (first,) = struct.unpack(order + "I", tiff[4:8])
    (entries,) = struct.unpack(order + "H", tiff[first : first + 2])
    end = first + 2 + 12 * entries
    return tiff[:end] + struct.pack(order + "I", first) + tiff[end + 4 :]


def _sounds_with_false_headers() -> Iterator[Case]:
    """Headers that lie about what follows, and samples that are no numbers."""
    tone = (8_000 * np.sin(np.arange(16_000) / 10)).astype(np.int16)
    for name, claimed in (("4 GB", 2**32 - 1), ("nothing", 0), ("half", tone.nbytes // 2), ("double", 2 * tone.nbytes)):
        yield _file(f"sound WAV that claims {name}", "/v1/audio", wav(tone, data_bytes=claimed))
    fields = {
        "no channels": ("<H", 22, 0),
        "65,535 channels": ("<H", 22, 65_535),
        "a rate of 0": ("<I", 24, 0),
        "a rate of 1": ("<I", 24, 1),
        "a rate of 4 GHz": ("<I", 24, 2**32 - 1),
        "blocks of 0 bytes": ("<H", 32, 0),
        "0 bits": ("<H", 34, 0),
        "64 bits": ("<H", 34, 64),
        "an unknown coding": ("<H", 20, 0xBEEF),
        "a GSM coding": ("<H", 20, 0x31),
        "a form of 2 GB": ("<I", 16, 2**31 - 1),
    }
    for name, (kind, place, value) in fields.items():
        data = bytearray(wav(tone))
        struct.pack_into(kind, data, place, value)
        yield _file(f"sound WAV with {name}", "/v1/audio", bytes(data))
    for name, value in (("NaN", np.nan), ("infinity", np.inf), ("3e38", 3e38), ("denormals", 1e-40)):
        samples = np.full(16_000, value, np.float32)
        yield _file(f"sound of {name}", "/v1/audio", wav(samples), "answer")
        samples[::3] = 0.1
        yield _file(f"sound with some {name}", "/v1/audio", wav(samples), "answer")
    yield _file("sound WAV of one sample", "/v1/audio", wav(tone[:1]))
    yield _file("sound WAV of no sample", "/v1/audio", wav(tone[:0]))
    yield Case("sound of 20 minutes", "/v1/audio", FORM, lambda: form(_silence(1_200)), "refuse", heavy=True)
    yield _file("sound WAV at 1 Hz that lasts a day", "/v1/audio", wav(np.zeros(86_400, np.int16), 1), "refuse")
    flac = bytearray(healthy()["voice.flac"])
    flac[21:26] = b"\xff" * 5
    yield _file("sound FLAC of 2**36 samples", "/v1/audio", bytes(flac))
    yield _file("sound MP3 with a tag of 256 MB", "/v1/audio", b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + healthy()["voice.mp3"])
    yield _file("sound MP3 of sync words", "/v1/audio", b"\xff\xfb\x90\x44" * 20_000)
    yield _file("sound AAC of frames without length", "/v1/audio", b"\xff\xf1\x50\x80\x00\x1f\xfc" * 5_000)
    yield _file("sound Ogg of empty pages", "/v1/audio", (b"OggS\0\x02" + bytes(20) + b"\0") * 5_000)
    yield _file("sound AMR of noise", "/v1/audio", b"#!AMR\n" + random.Random(2).randbytes(20_000))
    yield _file("sound CAF with a chunk of negative size", "/v1/audio", b"caff\0\x01\0\0desc" + b"\xff" * 8 + bytes(64))
    yield _file("sound AU that starts behind its end", "/v1/audio", b".snd" + b"\x7f\xff\xff\xff" + bytes(40))
    aiff = bytearray(healthy()["voice.aiff"])
    place = aiff.index(b"COMM") + 16
    aiff[place : place + 10] = b"\x7f\xff" + b"\xff" * 8
    yield _file("sound AIFF with a rate that is no number", "/v1/audio", bytes(aiff))


def _silence(seconds: int) -> bytes:
    return wav(np.zeros(8_000 * seconds, np.int16), 8_000)


def _absurd_films() -> Iterator[Case]:
    """Sizes, durations and trees that no film has."""
    film = healthy()["film.h264.mp4"]
    yield _file("film of 65,535 x 65,535 in its track", "/v1/video", _patched(film, b"avc1", 28, b"\xff" * 4))
    yield _file("film with a track of no size", "/v1/video", _patched(film, b"avc1", 28, bytes(4)))
    yield _file("film that lasts 2**32 ticks", "/v1/video", _patched(film, b"mvhd", 20, b"\xff" * 4))
    yield _file("film at a time base of 0", "/v1/video", _patched(film, b"mdhd", 16, bytes(4)))
    yield _file("film at a time base of 1", "/v1/video", _patched(film, b"mdhd", 16, b"\0\0\0\x01"))
    for table in (b"stsz", b"stco", b"stts", b"stsc"):
        place = 12 if table == b"stsz" else 8
        yield _file(
            f"film with {table.decode()} of 2**32 entries", "/v1/video", _patched(film, table, place, b"\xff" * 4)
        )
    for size in (0, 1, 7, 2**32 - 1):
        place = film.index(b"moov") - 4
        yield _file(
            f"film with an index of {size} bytes",
            "/v1/video",
            film[:place] + struct.pack(">I", size) + film[place + 4 :],
        )
    nested = b""
    for _ in range(4_000):
        nested = struct.pack(">I", len(nested) + 8) + b"moov" + nested
    yield _file("film of 4,000 nested atoms", "/v1/video", film[:32] + nested, "refuse")
    yield _file("film of 50,000 empty atoms", "/v1/video", film[:32] + b"\0\0\0\x08free" * 50_000, "refuse")
    link = b"file:///etc/passwd\0"
    data = struct.pack(">I", 12 + len(link)) + b"url \0\0\0\0" + link
    yield _file("film that names another file", "/v1/video", _patched(film, b"url ", 0, data[4:]))
    webm = healthy()["film.vp8.webm"]
    yield _file(
        "film WebM of endless clusters", "/v1/video", webm.replace(b"\x1f\x43\xb6\x75", b"\x1f\x43\xb6\x75\x01")
    )
    yield _file(
        "film Matroska of nested elements",
        "/v1/video",
        webm[:48] + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" * 3_000,
    )
    avi = bytearray(healthy()["film.avi"])
    place = avi.index(b"avih") + 8
    avi[place : place + 4] = bytes(4)
    avi[place + 32 : place + 40] = struct.pack("<II", 2**31 - 1, 2**31 - 1)
    yield _file("film AVI of 2**31 x 2**31", "/v1/video", bytes(avi))
    yield _file(
        "film of noise in packets", "/v1/video", b"".join(b"\x47" + random.Random(n).randbytes(187) for n in range(200))
    )
    yield _file("film that is all audio", "/v1/video", healthy()["voice.m4a"], "answer")
    large = bytearray(healthy()["film.mkv"])
    for tag in (b"\xb0\x81", b"\xba\x81"):
        if tag in large:
            large[large.index(tag) + 2] = 0xFF
    yield _file("film Matroska of another size than its pictures", "/v1/video", bytes(large))


def _patched(data: bytes, atom: bytes, place: int, value: bytes) -> bytes:
    """`data` with `value` at `place` behind the name of its first `atom`; unchanged at its end if there is none."""
    start = data.find(atom)
    if start < 0:
        return data + value
    start += len(atom) + place - 4 if place >= 4 else len(atom) + place
    return data[:start] + value + data[start + len(value) :]


def _emptiness() -> Iterator[Case]:
    """Nothing, and much of it."""
    for route in ("/v1/audio", "/v1/image", "/v1/video"):
        for count in (0, 1, 7, 4096, 1_000_000):
            yield _file(f"empty {count} zero bytes to {route}", route, bytes(count), "refuse")
        yield Case(
            f"empty 100 MB of zeros to {route}",
            route,
            FORM,
            lambda: form(bytes(HUNDRED_MEGABYTES - 1_000)),
            "refuse",
            heavy=True,
        )
    yield Case(
        "empty more than 100 MB of zeros",
        "/v1/video",
        FORM,
        lambda: form(bytes(HUNDRED_MEGABYTES)),
        "refuse",
        heavy=True,
    )
    starts = {
        "/v1/image": b"\x89PNG\r\n\x1a\n",
        "/v1/audio": b"RIFF\xff\xff\xff\xffWAVEfmt ",
        "/v1/video": b"\x1aE\xdf\xa3",
    }
    for route, start in starts.items():
        yield _file(f"empty a beginning and a megabyte of zeros to {route}", route, start + bytes(1_000_000), "refuse")


def _names() -> Iterator[Case]:
    """Names that are paths, commands or far too long; what is in the file counts."""
    names = (
        b"../../../../etc/passwd",
        b"/etc/passwd",
        b"..\\..\\windows\\system32\\config",
        b"C:\\boot.ini",
        b"file\0.png",
        b"a.png\r\nX-Evil: 1",
        b"$(touch /tmp/evil).png",
        b"`id`.png",
        b"a;b|c&d.png",
        b"%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        b"CON",
        b".",
        b"..",
        b"~root",
        "\u202egnp.exe".encode(),
        b"\xff\xfe\xfd.png",
        b"x" * 3_000 + b".png",
        b'quo"te.png',
        b"file:///etc/passwd",
        b"http://127.0.0.1/x.png",
    )
    good = healthy()["plain.png"]
    for number, name in enumerate(names):
        disposition = b'form-data; name="file"; filename="' + name + b'"'
        must: Must = "either" if b"\r\n" in name or b'"' in name or len(name) > 1_000 or b"\0" in name else "answer"
        yield Case(f"name {number} {name[:24]!r}", "/v1/image", FORM, lambda d=disposition: form(good, d), must)
    encoded = b"form-data; name=\"file\"; filename*=UTF-8''..%2F..%2Fevil.png"
    yield Case("name encoded by RFC 5987", "/v1/image", FORM, lambda: form(good, encoded), "answer")


def _json() -> Iterator[Case]:
    """Bodies of `/v1/text` that are no JSON, or not the JSON that is asked for."""
    bodies: dict[str, tuple[bytes, Must]] = {
        "nothing": (b"", "refuse"),
        "a space": (b" ", "refuse"),
        "cut off": (b'{"text": "I lo', "refuse"),
        "100,000 open brackets": (b"[" * 100_000, "refuse"),
        "nested 100,000 deep": (b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "refuse"),
        "objects nested 50,000 deep": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "refuse"),
        "NaN": (b'{"text": NaN}', "refuse"),
        "Infinity as a threshold": (b'{"text": "x", "min_confidence": Infinity}', "refuse"),
        "1e999 as a threshold": (b'{"text": "x", "min_confidence": 1e999}', "refuse"),
        "a number of 100,000 digits": (b'{"text": "x", "min_confidence": ' + b"1" * 100_000 + b"}", "refuse"),
        "half a surrogate pair": (b'{"text": "\\ud83d"}', "refuse"),
        "invalid UTF-8": (b'{"text": "\xff\xfe"}', "refuse"),
        "overlong UTF-8": (b'{"text": "\xc0\xaf"}', "refuse"),
        "a surrogate in UTF-8": (b'{"text": "\xed\xa0\x80"}', "refuse"),
        "UTF-16": ('{"text": "hello"}'.encode("utf-16"), "refuse"),
        "a byte order mark": (b'\xef\xbb\xbf{"text": "hello"}', "either"),
        "a comment": (b'{"text": "x" /* no */}', "refuse"),
        "single quotes": (b"{'text': 'x'}", "refuse"),
        "two values": (b'{"text": "x"} {"text": "y"}', "refuse"),
        "null": (b"null", "refuse"),
        "a list": (b'["I love it"]', "refuse"),
        "a string": (b'"I love it"', "refuse"),
        "a number": (b"42", "refuse"),
        "a text that is a number": (b'{"text": 42}', "refuse"),
        "a text that is null": (b'{"text": null}', "refuse"),
        "a text that is a list": (b'{"text": ["a"]}', "refuse"),
        "no texts": (b'{"texts": []}', "refuse"),
        "texts that are numbers": (b'{"texts": [1, 2]}', "refuse"),
        "texts that are nested": (b'{"texts": [["a"]]}', "refuse"),
        "257 texts": (json.dumps({"texts": ["a"] * 257}).encode(), "refuse"),
        "text and texts": (b'{"text": "a", "texts": ["b"]}', "refuse"),
        "an unknown field": (b'{"text": "a", "shout": true}', "refuse"),
        "__proto__": (b'{"text": "a", "__proto__": {}}', "refuse"),
        "a field twice": (b'{"text": "a", "text": "b"}', "either"),
        "a wrong language": (b'{"text": "a", "language": "x-klingon"}', "refuse"),
        "a language of 1 MB": (json.dumps({"text": "a", "language": "e" * 1_000_000}).encode(), "refuse"),
        "a threshold of 2": (b'{"text": "a", "min_confidence": 2}', "refuse"),
        "a threshold below 0": (b'{"text": "a", "min_confidence": -0.1}', "refuse"),
        "a threshold of true": (b'{"text": "a", "min_confidence": true}', "refuse"),
        "explain as a word": (b'{"text": "a", "explain": "yes please"}', "refuse"),
        "aspects as a number": (b'{"text": "a", "aspects": 7}', "refuse"),
        "10,000 aspects": (json.dumps({"text": "a", "aspects": ["b"] * 10_000}).encode(), "refuse"),
        "20,001 characters": (json.dumps({"text": "a" * 20_001}).encode(), "refuse"),
        "20,000 emoji": (json.dumps({"text": "😀" * 20_000}).encode(), "answer"),
        "20,000 characters without a space": (json.dumps({"text": "a" * 20_000}).encode(), "answer"),
        "20,000 combining marks": (json.dumps({"text": "e" + "\u0301" * 19_999}).encode(), "answer"),
        "right-to-left marks": (json.dumps({"text": "\u202e\u2066 I love it \u2069"}).encode(), "answer"),
        "zero bytes in a text": (b'{"text": "a\\u0000b"}', "answer"),
        "an empty text": (b'{"text": ""}', "answer"),
        "spaces alone": (b'{"text": "   \\n\\t "}', "answer"),
        "non-characters": (b'{"text": "\\uffff\\ufffe"}', "answer"),
    }
    for name, (body, must) in bodies.items():
        yield Case(f"json {name}", "/v1/text", "application/json", lambda body=body: body, must)
    for kind in ("text/plain", "application/xml", "application/vnd.bentoml+pickle", "multipart/form-data"):
        yield Case(f"json sent as {kind}", "/v1/text", kind, lambda: b'{"text": "I love it"}', "refuse")


def _forms() -> Iterator[Case]:
    """Forms that are none."""
    good, limit = healthy()["plain.png"], f"--{BOUNDARY}".encode()
    part = b'\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    whole = form(good)
    bodies: dict[str, tuple[str, bytes, Must]] = {
        "nothing": (FORM, b"", "refuse"),
        "the end alone": (FORM, limit + b"--\r\n", "refuse"),
        "without its end": (FORM, whole[: -len(limit) - 6], "refuse"),
        "with another boundary": ("multipart/form-data; boundary=other", whole, "refuse"),
        "without a boundary": ("multipart/form-data", whole, "refuse"),
        "with an empty boundary": ("multipart/form-data; boundary=", whole, "refuse"),
        "with a boundary of 4,000 bytes": (f"multipart/form-data; boundary={'b' * 4_000}", whole, "refuse"),
        "mixed": (f"multipart/mixed; boundary={BOUNDARY}", whole, "refuse"),
        "URL-encoded": ("application/x-www-form-urlencoded", b"file=a", "refuse"),
        "a bare picture": ("image/png", good, "refuse"),
        "a part without a name": (FORM, form(good, b"form-data"), "refuse"),
        "a part without headers": (FORM, limit + b"\r\n\r\n" + good + b"\r\n" + limit + b"--\r\n", "refuse"),
        "an unknown file": (FORM, form(good, b'form-data; name="evil"; filename="a"'), "refuse"),
        "the file twice": (FORM, whole.replace(limit + b"--\r\n", whole), "refuse"),
        "1,000 parts": (FORM, (limit + part + b"a\r\n") * 1_000 + limit + b"--\r\n", "refuse"),
        "a header of 1 MB": (FORM, limit + b"\r\nX-Long: " + b"x" * 1_000_000 + part + good, "refuse"),
        "10,000 headers": (FORM, limit + b"\r\nX-H: 1" * 10_000 + part + good + b"\r\n" + limit + b"--\r\n", "either"),
        "line feeds alone": (FORM, whole.replace(b"\r\n", b"\n"), "refuse"),
        "an option of 1 MB": (FORM, form(b"x" * 1_000_000, b'form-data; name="language"'), "refuse"),
        "an option in invalid UTF-8": (FORM, form(b"\xff\xfe", b'form-data; name="language"'), "refuse"),
        "a nested form": (FORM, form(whole, b'form-data; name="file"; filename="a"'), "refuse"),
        "garbage before it": (FORM, b"garbage\r\n" + whole, "either"),
        "garbage behind it": (FORM, whole + b"garbage", "either"),
    }
    for name, (kind, body, must) in bodies.items():
        yield Case(f"form {name}", "/v1/image", kind, lambda body=body: body, must)
    text = form(b"\xff\xfe\xfd", b'form-data; name="text"')
    yield Case("form a text in invalid UTF-8", "/v1/analyze", FORM, lambda: text, "refuse")
    yield Case("form of nothing", "/v1/analyze", FORM, lambda: limit + b"--\r\n", "refuse")
    long = form(b"a" * 90_000, b'form-data; name="text"')
    yield Case("form a text of 90,000 characters", "/v1/analyze", FORM, lambda: long, "refuse")


if __name__ == "__main__":
    for case in cases():
        print(f"{case.must:8} {case.path:12} {case.name}")
    print(f"{len(cases())} cases, {len(short())} in the short form")
