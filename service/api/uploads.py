"""Multipart forms, read while they stream in: files go to private temporary files, fields stay in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import orjson
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from service.api.options import OPTION_NAMES
from service.api.problems import ProblemError, invalid

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_OPTION_BYTES = 4096
MAX_PARTS = 64
ROOM_EVERY_BYTES = 16_000_000
"""After so much more has come it is looked whether there is room for the next."""


@dataclass(frozen=True)
class FormRules:
    """Which parts a form may have: files, and text fields with the most bytes that each may have."""

    files: tuple[str, ...]
    texts: dict[str, int] = field(default_factory=dict)
    digested: bool = False
    """Whether a digest of all parts is wanted, taken while they stream in."""

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.files, *self.texts, *OPTION_NAMES)


@dataclass
class Form:
    """What a form held. `folder` holds its files, and nothing else; `suffixes` are what their names end in (`.csv`)."""

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    suffixes: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    options: dict[str, list[str]] = field(default_factory=dict)

    def digest(self, options: Mapping[str, Any]) -> str:
        """A digest of files, texts and these options, whatever order they came in. The form must be `digested`."""
        rest = {"texts": self.texts, "suffixes": self.suffixes, "digests": self.digests, "options": options}
        return sha256(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)).hexdigest()


class RequestFolders(Protocol):
    """Where files of requests go."""

    def request(self) -> AbstractContextManager[Path]:
        """A folder for the files of one request; gone afterwards, unless it was moved away."""
        ...


@asynccontextmanager
async def receive_form(
    request: Request, rules: FormRules, folder: RequestFolders, check_room: Callable[[], None] = lambda: None
) -> AsyncIterator[Form]:
    """The form of a request; its files are gone afterwards.

    `check_room` is asked now and then while they come in, for what a client says of their length may be missing, and
    several come at once. Raises what it raises, `unsupported_media`, `malformed_multipart`, `invalid_input` and
    `too_long`.
    """
    boundary = _boundary(request)
    with folder.request() as path:
        reader = _FormReader(rules, path)
        try:
            await _feed(reader, boundary, request, check_room)
        finally:
            reader.close()
        yield reader.form


def _boundary(request: Request) -> bytes:
    media_type, parameters = parse_options_header(request.headers.get("content-type", ""))
    if media_type != b"multipart/form-data":
        raise ProblemError("unsupported_media", "Send a form: the content type must be multipart/form-data.")
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise ProblemError("malformed_multipart", "The content type names no boundary.")
    return boundary


async def _feed(reader: _FormReader, boundary: bytes, request: Request, check_room: Callable[[], None]) -> None:
    unlooked = 0
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
            unlooked += len(chunk)
            if unlooked >= ROOM_EVERY_BYTES:
                await asyncio.to_thread(check_room)
                unlooked = 0
        parser.finalize()
    except FormParserError as error:
        raise ProblemError("malformed_multipart", f"The form cannot be read: {error}.") from error
    if not reader.finished:
        raise ProblemError("malformed_multipart", "The form ends before its closing boundary.")


class _FormReader:
    """Gathers the parser's events into a `Form`."""

    def __init__(self, rules: FormRules, folder: Path) -> None:
        self.form = Form(folder)
        self._hash: Any = None
        self.finished = False
        self._rules = rules
        self._folder = folder
        self._parts = 0
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._name = ""
        self._unchosen = False
        self._file: BinaryIO | None = None
        self._value = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header_name,
            "on_header_value": self._add_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_content,
            "on_part_data": self._add_content,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise ProblemError("invalid_input", f"The form has more than {MAX_PARTS} parts.")
        self._disposition = b""
        self._value.clear()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _begin_content(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        if not parameters.get(b"name"):
            raise ProblemError("malformed_multipart", "A part of the form has no name.")
        self._name = parameters[b"name"].decode("utf-8", "replace")[:100]
        self._check_name()
        # The file's own name is never used: it may be a path. Of texts alone its end says which of them are meant.
        self._unchosen = parameters.get(b"filename") == b""
        if self._name in self._rules.files:
            self.form.suffixes[self._name] = _suffix(parameters.get(b"filename", b""))
            self._file = (self._folder / self._name).open("xb")
            self._hash = sha256() if self._rules.digested else None

    def _check_name(self) -> None:
        if self._name not in self._rules.names:
            known = ", ".join(self._rules.names)
            raise invalid(f"/{self._name}", f"No field of this form has this name; these exist: {known}.")
        if self._name in self.form.files or self._name in self.form.texts:
            raise invalid(f"/{self._name}", "This field was given more than once.")

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])  # to the page cache: too short a wait to be worth a thread
            if self._hash is not None:
                self._hash.update(data[start:end])
            return
        limit = self._rules.texts.get(self._name, MAX_OPTION_BYTES)
        if len(self._value) + end - start > limit:
            if self._name in self._rules.texts:
                raise ProblemError("too_long", f"The field {self._name!r} has more than {limit} bytes.")
            raise invalid(f"/{self._name}", f"This option has more than {limit} bytes.")
        self._value += data[start:end]

    def _end_part(self) -> None:
        if self._file is not None:
            self._end_file(self._file)
            return
        try:
            text = self._value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise invalid(f"/{self._name}", "This field is not text in UTF-8.") from error
        if self._name in self._rules.texts:
            self.form.texts[self._name] = text
        else:
            self.form.options.setdefault(self._name, []).append(text)

    def _end_file(self, file: BinaryIO) -> None:
        path = self._folder / self._name
        empty = file.tell() == 0
        self.close()
        if empty and self._unchosen:  # what browsers send for a file input in which nothing was chosen
            path.unlink()
            return
        self.form.files[self._name] = path
        if self._hash is not None:
            self.form.digests[self._name] = self._hash.hexdigest()

    def _end(self) -> None:
        self.finished = True


def _suffix(name: bytes) -> str:
    """What the name of a file ends in; short and harmless, or empty."""
    suffix = PurePosixPath(name.decode("utf-8", "replace").replace("\\", "/")).suffix.lower()
    return suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= 8 else ""
