"""Every request that the service knows, as a value: what is sent, and how its answer is read. Nothing is sent here."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import IO, Any, Generic, Literal, TypeGuard, TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError
from typing_extensions import TypedDict, Unpack

from ui import answers, problems
from ui.answers import Analysis, Health, Job, Model, Receipt, Use
from ui.client.sending import WORDS, Count, Counted, Upload, rewinds
from ui.problems import Problem, UnexpectedAnswer

T = TypeVar("T")

JSON_LINES = "application/x-ndjson"
TABLES = {"json": "application/json", "csv": "text/csv", "jsonl": JSON_LINES}
"""What the result of a job of texts can be had as, by the end of a file's name."""
EXPORTS = {"json": "application/json", "csv": "text/csv"}
"""What the history can be had as."""


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
    """One request, and how its answer is read: its JSON, or where it has none (204) its headers.

    `repeatable`: sending it twice does no more than sending it once.
    """

    method: str
    path: str
    read: Callable[[Any], T]
    json: Mapping[str, Any] | None = None
    form: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Upload] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    expected: tuple[int, ...] = (200,)
    repeatable: bool = True
    count: Count | None = None

    @property
    def again_is_safe(self) -> bool:
        """Whether it may be sent again although it may have arrived."""
        return self.repeatable and self.rewinds

    @property
    def rewinds(self) -> bool:
        """Whether all of its files can be read again."""
        return all(rewinds(file) for file in self.files.values())


def text(text: str, **options: Unpack[Options]) -> Call[Analysis]:
    """What a text says."""
    return Call("POST", "/v1/text", answers.analysis, json={"text": text, **_as_json(options)}, **_once(options))


def texts(texts: Sequence[str], **options: Unpack[Options]) -> Call[list[Analysis | Problem]]:
    """What each of many texts says, in order; a Problem where one could not be answered."""
    return Call("POST", "/v1/text", _results, json={"texts": list(texts), **_as_json(options)}, **_once(options))


def audio(audio: Upload, *, progress: Count | None = None, **options: Unpack[Options]) -> Call[Analysis]:
    """What a recording says: voice, transcript and words."""
    return _file("/v1/audio", audio, progress, options)


def image(image: Upload, *, progress: Count | None = None, **options: Unpack[Options]) -> Call[Analysis]:
    """What the faces in a picture say."""
    return _file("/v1/image", image, progress, options)


def video(video: Upload, *, progress: Count | None = None, **options: Unpack[Options]) -> Call[Analysis]:
    """What a video says: faces, voice, words, and all of it over time."""
    return _file("/v1/video", video, progress, options)


def analyze(
    *,
    text: str | None = None,
    audio: Upload | None = None,
    image: Upload | None = None,
    video: Upload | None = None,
    progress: Count | None = None,
    **options: Unpack[Options],
) -> Call[Analysis]:
    """One fused verdict over whatever is given."""
    files = _given(text=text, audio=audio, image=image, video=video)
    return Call(
        "POST", "/v1/analyze", answers.analysis, form=_as_form(options), files=files, count=progress, **_once(options)
    )


def models() -> Call[tuple[Model, ...]]:
    """The models that answer."""
    return Call("GET", "/v1/models", answers.models)


def use() -> Call[Use]:
    """What the service may be used for, as its operator declared."""
    return Call("GET", "/v1/models", answers.use)


def health() -> Call[Health]:
    """How the service is, also when it is unhealthy."""
    return Call("GET", "/health", answers.health, expected=(200, 503))


def document() -> Call[dict[str, Any]]:
    """The OpenAPI document of the service, which also says whether it asks for credentials."""
    return Call("GET", "/docs.json", dict)


def submit(
    *,
    text: str | None = None,
    audio: Upload | None = None,
    image: Upload | None = None,
    video: Upload | None = None,
    file: Upload | None = None,
    column: str | None = None,
    idempotency_key: str | None = None,
    progress: Count | None = None,
    **options: Unpack[Options],
) -> Call[Job]:
    """Have it worked on while you do something else: long media, or a `file` of texts (CSV, TSV, JSON Lines, plain).

    `column` is the one with the texts. With the same `idempotency_key` (by default one of its own) a job is made once,
    however often this is sent.
    """
    form = _as_form(options) | ({"column": column} if column else {})
    return Call(
        "POST",
        "/v1/jobs",
        answers.job,
        form=form,
        files=_given(text=text, audio=audio, image=image, video=video, file=file),
        headers={"Idempotency-Key": idempotency_key or uuid.uuid4().hex},
        expected=(200, 202),
        count=progress,
    )


def job(job: Job | str) -> Call[Job]:
    """How far a job is."""
    return Call("GET", path_of(job), answers.job)


def cancel(job: Job | str) -> Call[None]:
    """Stop a job and have its media and its result removed."""
    return Call("DELETE", path_of(job), _nothing, expected=(204,))


def events(job: Job | str, last_id: str | None) -> Call[None]:
    """What happens to a job, from after the event `last_id` on."""
    resumed = {"Last-Event-ID": last_id} if last_id else {}
    return Call("GET", f"{path_of(job)}/events", _nothing, headers={"Accept": "text/event-stream", **resumed})


def result(job: Job | str) -> Call[Analysis]:
    """What a job over media or a text came to."""
    return Call("GET", f"{path_of(job)}/result", answers.analysis, headers={"Accept": TABLES["json"]})


def result_as(job: Job | str, kind: str) -> Call[None]:
    """A job's result as a document; `kind` is one of `TABLES`."""
    return Call("GET", f"{path_of(job)}/result", _nothing, headers={"Accept": TABLES[kind]})


def kept(id: str) -> Call[Analysis]:
    """One analysis that was kept."""
    return Call("GET", f"/v1/history/{_segment(id)}", answers.analysis)


def forget(id: str) -> Call[Receipt]:
    """Delete one analysis that was kept."""
    return Call("DELETE", f"/v1/history/{_segment(id)}", _receipt, expected=(204,))


def forget_all() -> Call[Receipt]:
    """Delete every analysis that was kept."""
    return Call("DELETE", "/v1/history", _receipt, expected=(204,))


def exported(kind: str, **filters: Any) -> Call[None]:
    """Everything that was kept, as one document of a `kind`: csv or json."""
    return Call("GET", "/v1/history/export", _nothing, query={"format": kind, **_set(filters)})


def page(path: str, read: Callable[[Any], T], **query: Any) -> Call[T]:
    """A page of a list."""
    return Call("GET", path, read, query=_set(query))


def answer(call: Call[T], response: httpx.Response) -> T:
    """The answer as a value; raises `Problem` or `UnexpectedAnswer`."""
    empty = response.status_code == httpx.codes.NO_CONTENT and response.status_code in call.expected
    body = response.headers if empty else _json(response)
    if response.status_code not in call.expected or _is_problem(response):
        raise refusal(response, body)
    try:
        return call.read(body)
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise UnexpectedAnswer("The service answered in a form that this client does not understand.") from error


def refusal(response: httpx.Response, body: Any) -> Problem | UnexpectedAnswer:
    """Why the service did not do what it was asked."""
    if isinstance(body, dict):
        return problems.from_body(body, response.status_code, response.headers.get("retry-after"))
    return UnexpectedAnswer(f"{response.url.host} answered {response.status_code} without a reason.")


def check(call: Call[Any], response: httpx.Response) -> None:
    """Look at an answer that is to be streamed. Raises `Problem` or `UnexpectedAnswer`."""
    if response.status_code not in call.expected or _is_problem(response):
        raise refusal(response, _json(response))


def path_of(job: Job | str) -> str:
    """Where a job stands."""
    return f"/v1/jobs/{_segment(job.id if isinstance(job, Job) else job)}"


def kind_of_target(target: str | os.PathLike[str] | IO[bytes], kinds: Mapping[str, str] = TABLES) -> str:
    """The kind of document that a file's name ends in; a `ValueError` for one that there is not."""
    kind = PurePath(target).suffix.lower().removeprefix(".") if isinstance(target, (str, os.PathLike)) else ""
    if kind not in kinds:
        raise ValueError(f"Say which kind it is to be, or let the file's name end in one of: {', '.join(kinds)}.")
    return kind


def request(http: httpx.Client | httpx.AsyncClient, call: Call[Any], files: dict[str, Any] | None) -> httpx.Request:
    """The request of a call, whose files are open."""
    made = http.build_request(
        call.method,
        call.path,
        params=call.query or None,
        json=call.json,
        data=call.form or None,
        files=files,
        headers=call.headers,
    )
    total = made.headers.get("content-length")
    if call.count is not None and total is not None:
        made.stream = Counted(made.stream, int(total), call.count)
    return made


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise UnexpectedAnswer(f"{response.url.host} answered {response.status_code} without JSON.") from error


def _is_problem(response: httpx.Response) -> bool:
    return response.headers.get("content-type", "").startswith("application/problem+json")


def _segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def _file(path: str, file: Upload, count: Count | None, options: Options) -> Call[Analysis]:
    return Call(
        "POST",
        path,
        answers.analysis,
        form=_as_form(options),
        files={"file": file},
        count=count,
        **_once(options),
    )


def _given(text: str | None, **files: Upload | None) -> dict[str, Upload]:
    """The text goes as a part of its own too: without a file httpx would send a URL-encoded form."""
    given = {WORDS: None if text is None else text.encode(), **files}
    return {name: file for name, file in given.items() if file is not None}


def _once(options: Options) -> dict[str, Any]:
    """What is kept in the history would be kept twice."""
    return {"repeatable": not options.get("store", False)}


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


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _nothing(_body: Any) -> None:
    return None


def _receipt(headers: Mapping[str, str]) -> Receipt:
    return answers.receipt(headers.get("deletion-receipt", ""))


def analysis_or_problem(body: Mapping[str, Any]) -> Analysis | Problem:
    """One item of many."""
    return answers.analysis(body) if "sentiment" in body else problems.from_body(body, 500)


def _results(body: Mapping[str, Any]) -> list[Analysis | Problem]:
    return [analysis_or_problem(item) for item in body["results"]]
