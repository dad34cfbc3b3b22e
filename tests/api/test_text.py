from __future__ import annotations

from contextlib import ExitStack

import httpx
import pytest

from service.api.backend import LARGE_BODIES

JSON = {"content-type": "application/json"}


async def refused(client: httpx.AsyncClient, content: bytes | str, **headers: str) -> dict:
    response = await client.post("/v1/text", content=content, headers={**JSON, **headers})
    assert response.headers["content-type"] == "application/problem+json"
    assert response.status_code == response.json()["status"]
    return response.json()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"text": "a"',
        b'{"text": NaN}',
        b'{"text": "\xff\xfe"}',
        b'{"text": "\\ud800"}',
        b"[" * 5000,
        b'{"text": "a"} {}',
        b'\xef\xbb\xbf{"text": "a"}',
        "{'text': 'a'}",
    ],
)
async def test_what_is_not_json_is_malformed(client, content):
    assert (await refused(client, content))["code"] == "malformed_json"


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        ("[]", ""),
        ('"text"', ""),
        ("{}", ""),
        ('{"text": "a", "texts": ["b"]}', ""),
        ('{"text": null}', ""),
        ('{"text": 3}', "/text"),
        ('{"text": ["a"]}', "/text"),
        ('{"texts": "a"}', "/texts"),
        ('{"texts": []}', "/texts"),
        ('{"texts": ["a", 3]}', "/texts/1"),
        ('{"text": "a", "lang": "en"}', "/lang"),
        ('{"text": "a", "explain": "true"}', "/explain"),
    ],
)
async def test_a_wrong_field_is_pointed_at(app, client, content, pointer):
    app.state.backend.tools = object()
    found = await refused(client, content)
    assert found["code"] == "invalid_input"
    assert found["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/vnd.bentoml+pickle"]
)
async def test_only_json_is_taken(client, kind):
    found = await refused(client, b"{}", **{"content-type": kind})
    assert (found["status"], found["code"]) == (415, "unsupported_media")


async def test_a_text_that_is_too_long_is_told_the_limit(app, client):
    app.state.backend.tools = object()
    response = await client.post("/v1/text", json={"text": "😀" * 101})
    assert response.json()["code"] == "too_long"
    assert "101 characters; at most 100" in response.json()["detail"]


async def test_too_many_texts_are_told_the_limit(app, client):
    app.state.backend.tools = object()
    response = await client.post("/v1/text", json={"texts": ["a"] * 5})
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert "at most 4" in response.json()["detail"]


async def test_before_the_models_are_loaded_it_says_when_to_come_back(client):
    response = await client.post("/v1/text", json={"text": "a"})
    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    assert response.headers["retry-after"] == "2"


async def test_get_is_not_a_method_of_a_question(client):
    response = await client.get("/v1/text")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["code"] == "method_not_allowed"


async def test_more_requests_than_are_worked_on_at_once_are_told_to_come_again(app, client, settings):
    app.state.backend.texts.open = settings.max_text_requests
    app.state.backend.tools = object()  # nobody gets as far as the models
    refused = await client.post("/v1/text", json={"text": "I love it"})
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert app.state.backend.texts.open == settings.max_text_requests


async def test_a_body_larger_than_all_texts_that_are_taken_is_not_read(client, settings):
    """4 texts of 100 characters, however they are written, and room for the rest."""
    content = b'{"text": "' + b" " * 110_000 + b'"}'
    assert len(content) < settings.max_body_bytes
    assert (await refused(client, content))["code"] == "too_large"

    async def pieces():
        for start in range(0, len(content), 10_000):
            yield content[start : start + 10_000]

    unannounced = await client.post("/v1/text", content=pieces(), headers=JSON)
    assert (unannounced.status_code, unannounced.json()["code"]) == (413, "too_large")
    # As many texts as may come, as long as they may be, of characters that JSON writes as six bytes: not too large.
    assert (await client.post("/v1/text", json={"texts": ["\u0416" * 100] * 4})).json()["code"] == "not_ready"


async def test_large_bodies_are_taken_in_few_at_once_and_small_ones_beside_them(app, client, monkeypatch):
    monkeypatch.setattr("service.api.text.LARGE_BYTES", 1_000)
    with ExitStack() as taken:
        for _ in range(LARGE_BODIES):
            taken.enter_context(app.state.backend.large_bodies.of("somebody"))
        large = await client.post("/v1/text", json={"texts": ["a" * 100] * 30})
        assert (large.status_code, large.json()["code"]) == (503, "overloaded")

        async def pieces():
            yield b'{"text": "a"}'

        unannounced = await client.post("/v1/text", content=pieces(), headers=JSON)
        assert unannounced.json()["code"] == "overloaded"
        assert (await client.post("/v1/text", json={"text": "a"})).json()["code"] == "not_ready"
    assert (await client.post("/v1/text", json={"texts": ["a" * 100] * 30})).json()["code"] == "not_ready"
