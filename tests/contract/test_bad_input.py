from __future__ import annotations

import struct
import zlib

import pytest

from tests.contract.conftest import picture, problem

pytestmark = pytest.mark.server

FILE_ROUTES = ("/v1/audio", "/v1/image", "/v1/video")


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A PNG of 20,000 x 20,000 pixels of one colour: a megabyte that would be over a gigabyte decoded."""
    side = 20_000
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(b"\0" * (side * 3 + 1)) for _ in range(side)) + packer.flush()
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), b"IDAT" + rows, b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


@pytest.mark.parametrize("route", FILE_ROUTES)
def test_a_text_named_as_a_video_is_told_what_it_is(send, route):
    found = problem(send(route, file=b"Dear diary, this is only a text. " * 20), "unsupported_media")
    assert "text" in found["detail"]


@pytest.mark.parametrize("route", FILE_ROUTES)
def test_an_empty_file_cannot_be_read(send, route):
    problem(send(route, file=b""), "undecodable")


@pytest.mark.parametrize("route", FILE_ROUTES)
def test_one_byte_cannot_be_read(send, route):
    response = send(route, file=b"R")
    assert response.json()["code"] in ("undecodable", "unsupported_media")


def test_a_truncated_mp4_cannot_be_read(send, samples):
    problem(send("/v1/video", file=samples / "video/truncated.mp4"), "undecodable")


def test_the_beginning_of_an_mp4_cannot_be_read(send, samples):
    problem(send("/v1/video", file=(samples / "video/portrait_with_speech.mp4").read_bytes()[:2000]), "undecodable")


def test_an_enormous_picture_is_refused_by_its_size(send, bomb):
    found = problem(send("/v1/image", file=bomb), "too_large")
    assert "50 million pixels" in found["detail"]


def test_a_picture_is_no_recording_and_a_recording_no_picture(send, samples):
    problem(send("/v1/audio", file=picture()), "unsupported_media")
    problem(send("/v1/video", file=picture()), "unsupported_media")
    problem(send("/v1/image", file=samples / "audio/jfk.mp3"), "unsupported_media")


def test_a_missing_file_is_pointed_at(http):
    found = problem(http.post("/v1/image", files={"explain": (None, "true")}), "invalid_input")
    assert found["errors"][0]["pointer"] == "/file"


def test_an_unknown_field_is_pointed_at(send):
    found = problem(send("/v1/image", {"shout": "yes"}, file=picture()), "invalid_input")
    assert found["errors"][0]["pointer"] == "/shout"


def test_a_wrong_option_is_pointed_at(send):
    found = problem(send("/v1/image", {"detail": "all"}, file=picture()), "invalid_input")
    assert found["errors"][0]["pointer"] == "/detail"


def test_a_file_that_is_given_twice_is_refused(http):
    files = [("file", ("a.png", picture())), ("file", ("b.png", picture()))]
    problem(http.post("/v1/image", files=files), "invalid_input")


def test_nothing_at_all_is_refused(http):
    problem(http.post("/v1/analyze", files={"explain": (None, "true")}), "invalid_input")


def test_a_form_that_ends_early_is_malformed(http):
    headers = {"content-type": "multipart/form-data; boundary=limes"}
    body = b'--limes\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
    problem(http.post("/v1/image", content=body, headers=headers), "malformed_multipart")


@pytest.mark.parametrize("kind", ["application/json", "image/png", "application/octet-stream"])
def test_a_bare_file_is_not_a_form(http, kind):
    problem(http.post("/v1/image", content=picture(), headers={"content-type": kind}), "unsupported_media")


def test_one_bad_file_among_good_ones_is_told(send, samples):
    problem(send("/v1/analyze", {"text": "I love it"}, image=b"not a picture at all, no"), "unsupported_media")


def test_what_follows_a_hostile_file_is_answered(send, http, bomb):
    send("/v1/image", file=bomb)
    send("/v1/video", file=b"\0\0\0\x18ftypmp42" + b"\xff" * 4000)
    assert send("/v1/image", file=picture()).status_code == 200
    assert http.post("/v1/text", json={"text": "I love it"}).status_code == 200
