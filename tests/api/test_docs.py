from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.api.problem_pages import markdown
from service.api.problems import PROBLEMS
from service.settings import Settings

ELSEWHERE = re.compile(r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//|url\(|@import|https?://""")


async def test_both_addresses_give_the_same_document(app, client):
    answers = [await client.get(path) for path in ("/docs.json", "/openapi.json")]
    assert answers[0].content == answers[1].content
    assert answers[0].json() == app.openapi()


async def test_the_document_is_not_sent_again_to_who_has_it(client):
    etag = (await client.get("/docs.json")).headers["etag"]
    assert (await client.get("/docs.json", headers={"If-None-Match": etag})).status_code == 304


@pytest.mark.parametrize("path", ["/", "/docs", "/problems", "/problems/too_large"])
async def test_a_page_loads_nothing_from_elsewhere(client, path):
    page = await client.get(path, headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert not ELSEWHERE.search(page.text.replace("http://test", ""))


@pytest.mark.parametrize("code", PROBLEMS)
async def test_every_problem_has_a_page_for_people_and_one_for_programs(client, code):
    page = await client.get(f"/problems/{code}", headers={"Accept": "text/html"})
    assert PROBLEMS[code].title in page.text
    data = (await client.get(f"/problems/{code}")).json()
    assert (data["code"], data["status"], data["remedy"]) == (code, PROBLEMS[code].status, PROBLEMS[code].remedy)


async def test_a_problem_tells_the_limits_that_are_in_force(client, settings):
    limits = {limit["setting"]: limit for limit in (await client.get("/problems/too_large")).json()["limits"]}
    body = limits["SENTIMENT_MAX_BODY_BYTES"]
    assert (body["value"], body["unit"]) == (settings.max_body_bytes, "bytes")
    page = await client.get("/problems/too_large", headers={"Accept": "text/html"})
    assert "200,000 bytes (SENTIMENT_MAX_BODY_BYTES)" in page.text


async def test_the_catalogue_lists_every_problem_for_people_and_for_programs(client):
    listed = (await client.get("/problems")).json()["problems"]
    assert [problem["code"] for problem in listed] == list(PROBLEMS)
    page = (await client.get("/problems", headers={"Accept": "text/html"})).text
    assert all(f'href="/problems/{code}"' in page for code in PROBLEMS)


def test_the_documentation_is_what_the_code_says():
    written = (Path(__file__).parents[2] / "docs" / "problems.md").read_text()
    assert written == markdown(Settings.model_construct())


async def test_a_problem_that_does_not_exist_is_a_problem(client):
    found = (await client.get("/problems/boredom")).json()
    assert found["code"] == "not_found"
    assert "/problems lists" in found["detail"]


async def test_the_path_is_not_written_into_a_page(client):
    page = await client.get("/problems/<script>alert(1)</script>", headers={"Accept": "text/html"})
    assert page.headers["content-type"] == "application/problem+json"
