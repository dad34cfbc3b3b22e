"""What a caller hears where no worker is, or who takes too long to say what he wants: the Problem of the contract, from
the first bytes of a request alone."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import unquote

from service.api.edge import request_id_of
from service.api.problems import ProblemError
from service.porter import Answer, Reason

_BODY_HEADERS = (b"content-length", b"transfer-encoding")


def answer_to(request: bytes, why: Reason) -> Answer:
    """The answer to a request that begins with these bytes, as far as they can be read."""
    method, path, headers = _read(request)
    request_id = request_id_of({"type": "http", "headers": list(headers.items())})
    response = ProblemError(why.code, why.detail).response(path, request_id)
    own = [(b"x-request-id", request_id.encode()), (b"cache-control", b"no-store"), (b"connection", b"close")]
    lines = [b": ".join(pair) for pair in (*response.raw_headers, *own)]
    body = b"" if method == b"HEAD" else bytes(response.body)
    status = f"HTTP/1.1 {response.status_code} {HTTPStatus(response.status_code).phrase}".encode()
    return Answer(b"\r\n".join([status, *lines, b"", body]), any(name in headers for name in _BODY_HEADERS))


def _read(request: bytes) -> tuple[bytes, str, Mapping[bytes, bytes]]:
    """Method, path and headers."""
    first, *lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")
    method, _, rest = first.partition(b" ")
    path = unquote(rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1"))
    pairs = (line.partition(b":") for line in lines)
    return method, path, {name.strip().lower(): value.strip() for name, _, value in pairs}
