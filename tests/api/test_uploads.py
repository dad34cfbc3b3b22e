from __future__ import annotations

from pathlib import Path

import pytest
from starlette.requests import Request

from service.api.problems import ProblemError
from service.api.temp_folder import TempFolder
from service.api.uploads import FormRules, receive_form
from service.jobs import NoSpace

RULES = FormRules(files=("audio", "image"), texts={"text": 40})
BOUNDARY = "limes"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    suffix = f'; filename="{filename}"' if filename is not None else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{suffix}\r\n\r\n'.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def request(body: bytes, content_type: str = f"multipart/form-data; boundary={BOUNDARY}", step: int = 7) -> Request:
    """A request whose body comes in pieces of `step` bytes."""
    pieces = [body[start : start + step] for start in range(0, len(body), step)] or [b""]

    async def receive():
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    return Request({"type": "http", "headers": [(b"content-type", content_type.encode())]}, receive)


@pytest.fixture
def folder(tmp_path: Path) -> TempFolder:
    opened = TempFolder(tmp_path / "uploads")
    opened.open()
    return opened


async def refused(body: bytes, folder: TempFolder, **options) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        async with receive_form(request(body, **options), RULES, folder):
            pass
    assert list(folder.path.iterdir()) == []
    return caught.value


async def test_files_and_fields_arrive_whole_however_they_are_cut(folder):
    body = part("audio", b"\r\n--not the end" * 9, "a.wav") + part("text", "schön".encode()) + END
    for step in (1, 2, 13, len(body)):
        async with receive_form(request(body, step=step), RULES, folder) as form:
            assert form.files["audio"].read_bytes() == b"\r\n--not the end" * 9
            assert form.texts == {"text": "schön"}
        assert list(folder.path.iterdir()) == []


async def test_options_may_be_repeated_to_make_a_list(folder):
    body = part("aspects", b"food") + part("aspects", b"wine") + part("detail", b"full") + END
    async with receive_form(request(body), RULES, folder) as form:
        assert form.options == {"aspects": ["food", "wine"], "detail": ["full"]}


async def test_the_name_of_a_file_is_never_a_path(folder):
    body = part("audio", b"x", "../../../../etc/passwd") + END
    async with receive_form(request(body), RULES, folder) as form:
        assert form.files["audio"].parent.parent == folder.path
        assert form.files["audio"].name == "audio"


async def test_a_file_input_in_which_nothing_was_chosen_counts_as_absent(folder):
    async with receive_form(request(part("audio", b"", "") + END), RULES, folder) as form:
        assert form.files == {}


async def test_an_empty_file_is_a_file(folder):
    async with receive_form(request(part("audio", b"", "a.wav") + END), RULES, folder) as form:
        assert form.files["audio"].read_bytes() == b""


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (part("video", b"x") + END, "invalid_input", "/video"),
        (part("audio", b"x") + part("audio", b"y") + END, "invalid_input", "/audio"),
        (part("text", b"x") + part("text", b"y") + END, "invalid_input", "/text"),
        (part("text", b"\xff\xfe") + END, "invalid_input", "/text"),
        (part("text", b"x" * 41) + END, "too_long", None),
        (part("language", b"x" * 5000) + END, "invalid_input", "/language"),
        (part("aspects", b"x") * 65 + END, "invalid_input", None),
        (part("audio", b"x"), "malformed_multipart", None),
        (b"no boundary at all", "malformed_multipart", None),
        (b"", "malformed_multipart", None),
        (part("", b"x") + END, "malformed_multipart", None),
    ],
)
async def test_a_wrong_form_is_refused_and_leaves_nothing(body, code, pointer, folder):
    problem = await refused(body, folder)
    assert problem.kind.code == code
    if pointer:
        assert (problem.errors or [])[0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("application/json", "unsupported_media"),
        ("application/vnd.bentoml+pickle", "unsupported_media"),
        ("", "unsupported_media"),
        ("multipart/form-data", "malformed_multipart"),
        (f"multipart/form-data; boundary={'x' * 500}", "malformed_multipart"),
    ],
)
async def test_what_is_no_form_is_refused(content_type, code, folder):
    assert (await refused(END, folder, content_type=content_type)).kind.code == code


async def test_a_body_that_fills_the_disk_is_given_up_before_it_is_all_there(folder, monkeypatch):
    """A client need not say how much it will send, and others send too."""
    monkeypatch.setattr("service.api.uploads.ROOM_EVERY_BYTES", 1_000)
    looked: list[int] = []

    def check_room() -> None:
        written = sum(path.stat().st_size for path in folder.path.rglob("audio"))
        looked.append(written)
        if written > 3_000:
            raise NoSpace("The disk of the jobs is nearly full; try again later.")

    body = part("audio", b"x" * 100_000, "a.wav") + END
    with pytest.raises(NoSpace):
        async with receive_form(request(body, step=500), RULES, folder, check_room):
            raise AssertionError("it was taken in")
    assert len(looked) in (3, 4, 5)
    assert not any(path.is_file() for path in folder.path.rglob("audio"))
