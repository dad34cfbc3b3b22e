"""What is said over `/v1/stream`, both ways; the OpenAPI document lists it under `components/schemas`.

The service's events are dataclasses of the pipelines wrapped in what only the API knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from starlette.datastructures import QueryParams

from service.api.options import options_from_json
from service.api.problems import FieldError, Problem, invalid_fields
from service.api.schemas import DOCUMENTED
from service.domain.analysis import Analysis
from service.domain.labels import Modality
from service.media.pcm import MAX_RATE, MIN_RATE, SAMPLE_RATE
from service.pipelines.live import Result, Start, Words

CLIENT = ConfigDict(use_attribute_docstrings=True, extra="forbid")

PICTURE, SOUND = 1, 2
"""The first byte of a binary frame says what follows."""

TIMESTAMP_BYTES = 8


@dataclass(frozen=True)
class StreamStart:
    """The first message. Beside these members it takes the options of every route; `transcribe` is `never` here unless
    it is asked for."""

    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True, extra="allow")

    type: Literal["start"]
    modalities: Annotated[list[Modality], Field(min_length=1)]
    """What will be sent: `face` for pictures, `speech` for sound, `text` for texts. Texts may always be sent."""
    sample_rate: Annotated[int, Field(ge=MIN_RATE, le=MAX_RATE)] = SAMPLE_RATE
    """Samples a second of the sound."""
    timestamps: bool = False
    """Whether each binary frame has, behind its first byte, 8 bytes: when it was captured, in milliseconds of a clock
    of the sender's own, big-endian. For sound that is the time of its first sample."""


@dataclass(frozen=True)
class StreamText:
    """A text, judged as `/v1/text` does. Texts stand for the words of the voice: a transcript then does not count."""

    __pydantic_config__ = CLIENT

    type: Literal["text"]
    text: str
    captured: Annotated[int, Field(ge=0)] | None = None
    """When, in milliseconds of the sender's clock."""


@dataclass(frozen=True)
class StreamStop:
    """The last message: the service finishes what it has, sends `summary` and closes with 1000."""

    __pydantic_config__ = CLIENT

    type: Literal["stop"]


@dataclass(frozen=True)
class StreamLimits:
    """What a stream may do; more closes it with an `error`."""

    __pydantic_config__ = DOCUMENTED

    frames_per_second: float
    """Frames and texts, averaged over 2 seconds."""
    frame_bytes: int
    pictures_per_second: float
    """So many pictures are looked at; of more, the newest."""
    text_characters: int
    """Of all texts together."""
    idle_seconds: float
    """A stream that sends nothing so long is closed."""
    total_seconds: float


@dataclass(frozen=True)
class StreamReady:
    """The service listens."""

    __pydantic_config__ = DOCUMENTED

    request_id: str
    limits: StreamLimits
    models: Mapping[str, str]
    """Which models will answer, as name@version."""
    type: Literal["ready"] = "ready"


@dataclass(frozen=True)
class StreamWarning:
    """Something of the stream is lost or uncertain, and it goes on."""

    __pydantic_config__ = DOCUMENTED

    code: str
    """The code of a warning or, where a frame was lost, of a problem."""
    detail: str
    type: Literal["warning"] = "warning"


@dataclass(frozen=True)
class StreamSummary:
    """The whole stream as one answer, as a file with the same content would have got."""

    __pydantic_config__ = DOCUMENTED

    analysis: Analysis
    dropped: int
    """Pictures that gave way to newer ones."""
    type: Literal["summary"] = "summary"


@dataclass(frozen=True)
class StreamError:
    """Why the service closes the stream. The code of the close is 4000 plus the problem's status. Where time is up,
    there is more sound or text than a stream may have, or the service stops, a `summary` follows."""

    __pydantic_config__ = DOCUMENTED

    problem: Problem
    type: Literal["error"] = "error"


ClientMessage = Annotated[StreamStart | StreamText | StreamStop, Field(discriminator="type")]
ServiceMessage = StreamReady | Result | Words | StreamWarning | StreamSummary | StreamError

_CLIENT = TypeAdapter(ClientMessage)
_OWN = {"type", "modalities", "sample_rate", "timestamps"}
_TOLD = (StreamReady, Result, Words, StreamWarning, StreamSummary, StreamError)
_HEARD = (StreamStart, StreamText, StreamStop)

Result.__pydantic_config__ = DOCUMENTED  # type: ignore[attr-defined]
Words.__pydantic_config__ = DOCUMENTED  # type: ignore[attr-defined]


def read_message(body: Mapping[str, Any]) -> StreamStart | StreamText | StreamStop:
    """A message of the client. Raises `invalid_input`."""
    try:
        return _CLIENT.validate_json(
            orjson.dumps(body), strict=True
        )  # strict Python values would have to be dataclasses
    except ValidationError as error:
        raise invalid_fields([_field(found) for found in error.errors(include_url=False)]) from error


def start_of(message: StreamStart, body: Mapping[str, Any]) -> Start:
    """What a `start` asks for. Raises `invalid_input`."""
    options = {"transcribe": "never", **{name: value for name, value in body.items() if name not in _OWN}}
    return Start(
        modalities=frozenset(message.modalities),
        options=options_from_json(options, QueryParams()),
        sample_rate=message.sample_rate,
        timestamps=message.timestamps,
    )


def message_schemas() -> dict[str, Any]:
    """The JSON Schema of every message and of what it holds, by name, for the OpenAPI document."""
    found: dict[str, Any] = {}
    for kinds, mode in ((_HEARD, "validation"), (_TOLD, "serialization")):
        for kind in kinds:
            schema = TypeAdapter(kind).json_schema(ref_template="#/components/schemas/{model}", mode=mode)  # type: ignore[arg-type]
            found |= schema.pop("$defs", {})
            found[_name(kind)] = schema
    return found


def message_names() -> tuple[list[str], list[str]]:
    """The names of the schemas: what a client says, what the service says."""
    return [_name(kind) for kind in _HEARD], [_name(kind) for kind in _TOLD]


def _name(kind: type) -> str:
    return {Result: "StreamResult", Words: "StreamTranscript"}.get(kind, kind.__name__)


def _field(found: Any) -> FieldError:
    place = found["loc"][1:] or ("type",)  # the first part of the place is the message's type
    return {"pointer": "".join(f"/{part}" for part in place), "detail": f"{found['msg']}."}
