"""Clients of the really started service."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.serving import RunningService

Send = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def http(service: RunningService) -> Iterator[httpx.Client]:
    """A client of the service."""
    with httpx.Client(base_url=service.address, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def send(http: httpx.Client, service: RunningService) -> Send:
    """Sends files by their field names to a route, and looks that the service keeps none of them."""

    def post(route: str, form: dict[str, str] | None = None, **files: Path | bytes) -> httpx.Response:
        contents = {name: _part(name, file) for name, file in files.items()}
        response = http.post(route, files=contents, data=form or {})
        assert response.headers["x-request-id"]
        assert service.kept_files() == []
        return response

    return post


def _part(name: str, file: Path | bytes) -> tuple[str, bytes]:
    return (f"{name}.mp4", file) if isinstance(file, bytes) else (file.name, file.read_bytes())


def problem(response: httpx.Response, code: str) -> dict:
    """The Problem of an answer, once it is one and has this code."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    body = response.json()
    assert body["code"] == code, body
    assert body["status"] == response.status_code
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["type"] == f"/problems/{code}"
    assert "\n" not in body["detail"] and len(body["detail"]) < 300
    return body


def picture() -> bytes:
    """A small picture of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), (90, 120, 60)).save(stream, "PNG")
    return stream.getvalue()
