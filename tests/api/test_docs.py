from __future__ import annotations

import re

import pytest

from service.api.problems import PROBLEMS

ELSEWHERE = re.compile(r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//|url\(|@import|https?://""")


async def test_both_addresses_give_the_same_document(app, client):
    answers = [await client.get(path) for path in ("/docs.json", "/openapi.json")]
    assert answers[0].content == answers[1].content
    assert answers[0].json() == app.openapi()


async def test_the_document_is_not_sent_again_to_who_has_it(client):
    etag = (await client.get("/docs.json")).headers["etag"]
    assert (await client.get("/docs.json", headers={"If-None-Match": etag})).status_code == 304


@pytest.mark.parametrize("path", ["/", "/docs", "/problems/too_large"])
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


async def test_a_problem_that_does_not_exist_is_a_problem(client):
    found = (await client.get("/problems/boredom")).json()
    assert found["code"] == "not_found"
    assert "too_large" in found["detail"]


async def test_the_path_is_not_written_into_a_page(client):
    page = await client.get("/problems/<script>alert(1)</script>", headers={"Accept": "text/html"})
    assert page.headers["content-type"] == "application/problem+json"
