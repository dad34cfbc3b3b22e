"""A typed client of the service, to be used with or without the user interface.

>>> from ui.client import Client
>>> with Client("http://127.0.0.1:8000") as client:
...     client.text("I love it").sentiment.label
'positive'

`AsyncClient` has the same methods to await. Files are paths, bytes or open binary files. Every failure is a
`ServiceError`: `Problem` (the service's own word), `Unreachable`, `TookTooLong` or `UnexpectedAnswer`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, Literal, TypeGuard, TypeVar

import httpx
from pydantic import ValidationError
from typing_extensions import Self, TypedDict, Unpack

from ui import answers, problems
from ui.answers import Analysis, Health, Model
from ui.problems import Problem, ServiceError, TookTooLong, UnexpectedAnswer, Unreachable

__all__ = [
    "Analysis",
    "AsyncClient",
    "Client",
    "Health",
    "Model",
    "Options",
    "Problem",
    "ServiceError",
    "TookTooLong",
    "UnexpectedAnswer",
    "Unreachable",
    "Upload",
]

DEFAULT_URL = "http://127.0.0.1:8000"
CONNECT_SECONDS = 5.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")

Upload = str | os.PathLike[str] | bytes | IO[bytes]
"""A path, the bytes themselves, or an open binary file."""

T = TypeVar("T")

_WORDS = "text"
"""The part of a multipart form that is not a file."""


class Options(TypedDict, total=False):
    """What can be asked of every analysis; what is left out is the service's default."""

    language: str
    explain: bool
    transcribe: Literal["auto", "never"]
    aspects: Sequence[str]
    detail: Literal["summary", "full"]
    store: bool
    min_confidence: float
    coverage: float


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and how its answer is read."""

    method: str
    path: str
    read: Callable[[Any], T]
    json: Mapping[str, Any] | None = None
    form: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Upload] = field(default_factory=dict)
    expected: tuple[int, ...] = (200,)


class Client:
    """Asks the service and waits for its answer. Close it, or use it in a `with`."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 300.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(transport=transport, **_settings(base_url, api_key, timeout_seconds))

    def text(self, text: str, **options: Unpack[Options]) -> Analysis:
        """What a text says."""
        return self._send(_text(text, options))

    def texts(self, texts: Sequence[str], **options: Unpack[Options]) -> list[Analysis | Problem]:
        """What each of many texts says, in order; a Problem where one could not be answered."""
        return self._send(_texts(texts, options))

    def audio(self, audio: Upload, **options: Unpack[Options]) -> Analysis:
        """What a recording says: voice, transcript and words."""
        return self._send(_file("/v1/audio", audio, options))

    def image(self, image: Upload, **options: Unpack[Options]) -> Analysis:
        """What the faces in a picture say."""
        return self._send(_file("/v1/image", image, options))

    def video(self, video: Upload, **options: Unpack[Options]) -> Analysis:
        """What a video says: faces, voice, words, and all of it over time."""
        return self._send(_file("/v1/video", video, options))

    def analyze(
        self,
        *,
        text: str | None = None,
        audio: Upload | None = None,
        image: Upload | None = None,
        video: Upload | None = None,
        **options: Unpack[Options],
    ) -> Analysis:
        """One fused verdict over whatever is given."""
        return self._send(_together(text, audio, image, video, options))

    def models(self) -> tuple[Model, ...]:
        """The models that answer."""
        return self._send(_MODELS)

    def health(self) -> Health:
        """How the service is, also when it is unhealthy."""
        return self._send(_HEALTH)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _send(self, call: Call[T]) -> T:
        with _opened(call.files) as files, _failures(self._http):
            response = self._http.request(call.method, call.path, json=call.json, data=call.form or None, files=files)
        return _answer(call, response)


class AsyncClient:
    """`Client` for asyncio. Close it with `await client.aclose()`, or use it in an `async with`."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 300.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(transport=transport, **_settings(base_url, api_key, timeout_seconds))

    async def text(self, text: str, **options: Unpack[Options]) -> Analysis:
        """What a text says."""
        return await self._send(_text(text, options))

    async def texts(self, texts: Sequence[str], **options: Unpack[Options]) -> list[Analysis | Problem]:
        """What each of many texts says, in order; a Problem where one could not be answered."""
        return await self._send(_texts(texts, options))

    async def audio(self, audio: Upload, **options: Unpack[Options]) -> Analysis:
        """What a recording says: voice, transcript and words."""
        return await self._send(_file("/v1/audio", audio, options))

    async def image(self, image: Upload, **options: Unpack[Options]) -> Analysis:
        """What the faces in a picture say."""
        return await self._send(_file("/v1/image", image, options))

    async def video(self, video: Upload, **options: Unpack[Options]) -> Analysis:
        """What a video says: faces, voice, words, and all of it over time."""
        return await self._send(_file("/v1/video", video, options))

    async def analyze(
        self,
        *,
        text: str | None = None,
        audio: Upload | None = None,
        image: Upload | None = None,
        video: Upload | None = None,
        **options: Unpack[Options],
    ) -> Analysis:
        """One fused verdict over whatever is given."""
        return await self._send(_together(text, audio, image, video, options))

    async def models(self) -> tuple[Model, ...]:
        """The models that answer."""
        return await self._send(_MODELS)

    async def health(self) -> Health:
        """How the service is, also when it is unhealthy."""
        return await self._send(_HEALTH)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _send(self, call: Call[T]) -> T:
        with _opened(call.files) as files, _failures(self._http):
            response = await self._http.request(
                call.method, call.path, json=call.json, data=call.form or None, files=files
            )
        return _answer(call, response)


def _settings(base_url: str, api_key: str | None, timeout_seconds: float) -> dict[str, Any]:
    """What both clients of httpx are made with; a proxy of the environment can't reach this machine's loopback."""
    return {
        "trust_env": httpx.URL(base_url).host not in LOOPBACK,
        "base_url": base_url,
        "headers": {"Authorization": f"Bearer {api_key}"} if api_key else {},
        "timeout": httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
    }


_MODELS = Call("GET", "/v1/models", answers.models)
_HEALTH = Call("GET", "/health", answers.health, expected=(200, 503))


def _text(text: str, options: Options) -> Call[Analysis]:
    return Call("POST", "/v1/text", answers.analysis, json={"text": text, **_as_json(options)})


def _texts(texts: Sequence[str], options: Options) -> Call[list[Analysis | Problem]]:
    return Call("POST", "/v1/text", _results, json={"texts": list(texts), **_as_json(options)})


def _file(path: str, file: Upload, options: Options) -> Call[Analysis]:
    return Call("POST", path, answers.analysis, form=_as_form(options), files={"file": file})


def _together(
    text: str | None, audio: Upload | None, image: Upload | None, video: Upload | None, options: Options
) -> Call[Analysis]:
    """The text goes as a part of its own too: without a file httpx would send a URL-encoded form."""
    words = None if text is None else text.encode()
    given = {_WORDS: words, "audio": audio, "image": image, "video": video}
    files = {name: file for name, file in given.items() if file is not None}
    return Call("POST", "/v1/analyze", answers.analysis, form=_as_form(options), files=files)


def _as_json(options: Options) -> dict[str, Any]:
    return {name: list(value) if _is_list(value) else value for name, value in options.items()}


def _as_form(options: Options) -> dict[str, Any]:
    """Booleans as `true` and `false`; a list becomes repeated fields."""
    return {
        name: [str(item) for item in value] if _is_list(value) else _field(value) for name, value in options.items()
    }


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _field(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _results(body: Mapping[str, Any]) -> list[Analysis | Problem]:
    return [
        problems.from_body(item, 500) if "sentiment" not in item else answers.analysis(item) for item in body["results"]
    ]


@contextmanager
def _opened(files: Mapping[str, Upload]) -> Iterator[dict[str, Any] | None]:
    """The files as httpx wants them, open while the request runs."""
    with ExitStack() as stack:
        parts: dict[str, Any] = {}
        for name, file in files.items():
            if isinstance(file, (str, os.PathLike)):
                path = Path(file)
                parts[name] = (path.name, stack.enter_context(path.open("rb")))
            elif name == _WORDS:
                parts[name] = (None, file)  # no file name: a field, not a file
            else:
                parts[name] = (name, file)
        yield parts or None


@contextmanager
def _failures(http: httpx.Client | httpx.AsyncClient) -> Iterator[None]:
    """Transport errors of httpx as ours."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise Unreachable(f"The service at {http.base_url} does not answer: is it running?") from error
    except httpx.TimeoutException as error:
        limit = http.timeout.read or 0.0
        raise TookTooLong(f"The service did not answer within {limit:.0f} seconds; try something shorter.") from error
    except httpx.ConnectError as error:
        raise Unreachable(f"The service at {http.base_url} is not reachable: is it running?") from error
    except httpx.TransportError as error:
        raise Unreachable("The connection to the service broke off; please try again.") from error


def _answer(call: Call[T], response: httpx.Response) -> T:
    """The answer as a value; raises `Problem` or `UnexpectedAnswer`."""
    try:
        body = response.json()
    except ValueError as error:
        raise UnexpectedAnswer(f"{response.url.host} answered {response.status_code} without JSON.") from error
    if response.status_code not in call.expected or _is_problem(response):
        if not isinstance(body, dict):
            raise UnexpectedAnswer(f"{response.url.host} answered {response.status_code} without a reason.")
        raise problems.from_body(body, response.status_code, response.headers.get("retry-after"))
    try:
        return call.read(body)
    except (ValidationError, KeyError, TypeError) as error:
        raise UnexpectedAnswer("The service answered in a form that this client does not understand.") from error


def _is_problem(response: httpx.Response) -> bool:
    return response.headers.get("content-type", "").startswith("application/problem+json")
