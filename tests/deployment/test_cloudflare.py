"""`deployment/cloudflare`, and what the service and the page really say of how long an answer may be kept."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from service.api import application
from service.api.edge import Edge
from service.api.problems import PROBLEMS
from service.settings import Settings
from tests.deployment.conftest import Program, run
from tests.serving import CHECKOUT, free_port
from tests.ui.page_running import RunningPage, running_page

FOLDER = CHECKOUT / "deployment" / "cloudflare"
YEAR = "public, max-age=31536000, immutable"

TEXT, NUMBER, FLAG = str, (int, str), bool
RULE: dict[str, Any] = {
    "ref": TEXT,
    "description": TEXT,
    "expression": TEXT,
    "action": TEXT,
    "ratelimit": {
        "characteristics": [TEXT],
        "period": NUMBER,
        "requests_per_period": NUMBER,
        "mitigation_timeout": NUMBER,
    },
    "action_parameters": {
        "id": TEXT,
        "cache": FLAG,
        "browser_ttl": {"mode": TEXT},
        "edge_ttl": {
            "mode": TEXT,
            "default": NUMBER,
            "status_code_ttl": [{"status_code_range": {"from": NUMBER, "to": NUMBER}, "value": NUMBER}],
        },
        "cache_key": {"custom_key": {"query_string": {"exclude": {"all": FLAG}}}},
        "headers": {"*": {"operation": TEXT}},
        "response": {"status_code": NUMBER, "content_type": TEXT, "content": TEXT},
    },
}
"""The part of the provider's `cloudflare_ruleset` (version 5) that is used, from its documentation."""
KNOWN: dict[str, Any] = {
    "cloudflare_ruleset": {
        "zone_id": TEXT,
        "name": TEXT,
        "description": TEXT,
        "kind": TEXT,
        "phase": TEXT,
        "rules": [RULE],
    },
    "cloudflare_dns_record": {
        "zone_id": TEXT,
        "name": TEXT,
        "type": TEXT,
        "content": TEXT,
        "proxied": FLAG,
        "ttl": NUMBER,
    },
    "cloudflare_zone_setting": {"zone_id": TEXT, "setting_id": TEXT, "value": TEXT, "for_each": {"*": TEXT}},
}
ACTIONS = {
    "http_request_cache_settings": {"set_cache_settings"},
    "http_response_headers_transform": {"rewrite"},
    "http_request_firewall_managed": {"execute"},
    "http_request_firewall_custom": {"block"},
    "http_ratelimit": {"block"},
}


def strangers(found: Any, known: Any, where: str = "") -> Iterator[str]:
    """What the documentation does not know, or knows in another shape."""
    if isinstance(known, list):
        if not isinstance(found, list):
            yield f"{where} is no list"
            return
        for number, one in enumerate(found):
            yield from strangers(one, known[0], f"{where}[{number}]")
    elif isinstance(known, dict):
        if not isinstance(found, dict):
            yield f"{where} is no object"
            return
        for name, one in found.items():
            if name in known or "*" in known:
                yield from strangers(one, known.get(name, known.get("*")), f"{where}.{name}")
            elif name != "__is_block__":
                yield f"{where}.{name}"
    elif not isinstance(found, known):
        yield f"{where} is {found!r}"


def parsed(program: Program, text: str, folder: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """Kind, name and content of each resource."""
    (folder / "main.tf").write_text(text)
    answer = run(program("hcl2tojson"), "--strip-string-quotes", folder / "main.tf")
    if answer.returncode:
        raise ValueError(answer.stderr)
    return [
        (kind, name, content)
        for one in json.loads(answer.stdout)["resource"]
        for kind, named in one.items()
        for name, content in named.items()
    ]


def faults(resources: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
    """What is wrong with the names, phases and actions of resources."""
    found = []
    for kind, name, content in resources:
        found += strangers(content, KNOWN[kind], name) if kind in KNOWN else [kind]
        phase = str(content.get("phase"))
        if kind == "cloudflare_ruleset" and {rule["action"] for rule in content["rules"]} != ACTIONS.get(phase):
            found.append(f"{name}: {phase}")
    return found


@pytest.fixture(scope="module")
def text() -> str:
    return (FOLDER / "main.tf").read_text()


def test_each_name_is_one_that_the_provider_knows(program: Program, text: str, tmp_path: Path) -> None:
    resources = parsed(program, text, tmp_path)
    assert len(resources) == 7
    assert faults(resources) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("edge_ttl ", "edge_tll "),
        ('mode = "respect_origin"', 'modes = "respect_origin"'),
        ("requests_per_period", "request_per_period"),
        ("http_request_cache_settings", "http_request_cache_setting"),
        ("cache = false", 'cache = "no"'),
        ("cloudflare_dns_record", "cloudflare_record"),
    ],
)
def test_a_misspelt_name_is_found(program: Program, text: str, tmp_path: Path, right: str, wrong: str) -> None:
    assert right in text
    assert faults(parsed(program, text.replace(right, wrong), tmp_path))


def test_a_broken_file_does_not_parse(program: Program, text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(program, text.replace("rules = [", "rules = [[", 1), tmp_path)


def test_terraform_has_nothing_to_tidy(text: str, tmp_path: Path) -> None:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not here")
    assert run("terraform", "fmt", "-check", FOLDER).returncode == 0
    (tmp_path / "main.tf").write_text(text.replace("zone_id = ", "zone_id= "))
    assert run("terraform", "fmt", "-check", tmp_path).returncode != 0


def test_nothing_is_kept_but_hashed_files_and_the_description(program: Program, text: str, tmp_path: Path) -> None:
    holds_what_may_be_kept(text, parsed(program, text, tmp_path))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('starts_with(http.request.uri.path, \\"/assets/\\")', 'starts_with(http.request.uri.path, \\"/\\")'),
        ('\\"/docs.json\\"', '\\"/v1/models\\"'),
        ("cache = false", "cache = true"),
        ('mode = "respect_origin"', 'mode = "override_origin"'),
        ("value = -1", "value = 60"),
    ],
)
def test_keeping_more_is_noticed(program: Program, text: str, tmp_path: Path, right: str, wrong: str) -> None:
    assert right in text
    more = text.replace(right, wrong, 1)
    with pytest.raises(AssertionError):
        holds_what_may_be_kept(more, parsed(program, more, tmp_path))


def holds_what_may_be_kept(text: str, found: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Raises `AssertionError` if the edge would keep anything but hashed files and the pages of the description."""
    resources = {name: content for _, name, content in found}
    first, *kept = resources["cache"]["rules"]
    assert first["expression"] == "(${local.here})"
    assert first["action_parameters"] == {"cache": False}
    assert [re.findall(r"local\.(\w+)", rule["expression"]) for rule in kept] == [["here", "hashed"], ["here", "pages"]]
    assert 'hashed = "starts_with(http.request.uri.path, \\"/assets/\\")"' in text
    pages = re.findall(r'pages  = "http.request.uri.path in \{(.*)\}"', text)
    assert re.findall(r'\\"(\S+)\\"', pages[0]) == ["/docs", "/docs.json", "/openapi.json"]
    assert kept[0]["action_parameters"]["edge_ttl"] == {"mode": "respect_origin"}
    (errors,) = kept[1]["action_parameters"]["edge_ttl"]["status_code_ttl"]
    assert errors == {"status_code_range": {"from": 400, "to": 599}, "value": -1}


def test_the_problems_are_those_of_the_service(text: str) -> None:
    told = re.findall(r'title  = "(.*)"\n\s+status = (\d+)\n\s+detail = ".*"\n\s+code   = "(.*)"', text)
    assert [code for _, _, code in told] == ["not_found", "method_not_allowed", "rate_limited"]
    for title, status, code in told:
        assert (PROBLEMS[code].title, PROBLEMS[code].status) == (title, int(status))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service's application at an address, without models: what it says of keeping needs none."""
    folder = tmp_path_factory.mktemp("service")
    settings = Settings(temp_folder=folder / "uploads", state_folder=folder / "state", max_text_characters=100)
    app = application.build(settings)
    app.state.backend.folder.open()
    port = free_port()
    edge = Edge(application.routes(app), app, settings)
    server = uvicorn.Server(uvicorn.Config(edge, port=port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def page(service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPage]:
    with running_page(service, tmp_path_factory.mktemp("ui")) as running:
        yield running


ANSWERS = ("/v1/models", "/v1/models/nobody/calibration", "/v1/jobs/nobody", "/problems/internal", "/health", "/docs")


@pytest.mark.parametrize("path", [*ANSWERS, "/docs.json", "/", "/absent"])
def test_the_service_lets_nobody_keep_an_answer(service: str, path: str) -> None:
    assert httpx.get(service + path).headers["cache-control"] == "no-store"


def test_a_kept_page_is_the_same_for_everybody_but_for_the_headers_that_are_removed(service: str, text: str) -> None:
    removed = {name.lower() for name in re.findall(r'"([\w-]+)"\s+= \{ operation = "remove" \}', text)}
    for path in ("/docs", "/docs.json", "/openapi.json"):
        one, other = (httpx.get(service + path, headers={"Accept": accept}) for accept in ("text/html", "*/*"))
        assert one.content == other.content
        differ = {name for name in one.headers if one.headers[name] != other.headers.get(name)}
        assert differ <= removed | {"date"}
        assert "set-cookie" not in one.headers and "vary" not in one.headers


def test_the_page_lets_its_hashed_files_be_kept_and_nothing_else(page: RunningPage) -> None:
    files = hashed(page)
    kept = {httpx.get(page.address + path).headers["cache-control"] for path in files}
    assert (len(files) >= 2, kept) == (True, {YEAR})
    for path in ("/", "/config", "/theme.css", "/gradio_api/info", "/assets/absent-12345678.js"):
        assert httpx.get(page.address + path).headers["cache-control"] == "no-store"


def hashed(page: RunningPage) -> list[str]:
    """The files of the page's first lines."""
    return re.findall(r'(?:href|src)="\.(/assets/[^"]+)"', httpx.get(page.address).text)


@contextmanager
def cloudflare(modules: Path, origin: str) -> Iterator[str]:
    """Cloudflare's cache before an origin."""
    script = Path(__file__).parent / "edge.mjs"
    words = ["node", str(script), str(modules), origin]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()


def test_the_edge_keeps_hashed_files(program: Program, page: RunningPage) -> None:
    with cloudflare(program("miniflare"), page.address) as edge:
        for path in hashed(page):
            assert [httpx.get(edge + path).headers["x-edge"] for _ in range(2)] == ["MISS", "HIT"]
        for path in ("/", "/config", "/theme.css"):
            assert [httpx.get(edge + path).headers["x-edge"] for _ in range(2)] == ["MISS", "MISS"]


def test_the_edge_keeps_no_answer(program: Program, service: str) -> None:
    with cloudflare(program("miniflare"), service) as edge:
        for path in ANSWERS:
            assert [httpx.get(edge + path).headers["x-edge"] for _ in range(2)] == ["MISS", "MISS"], path
