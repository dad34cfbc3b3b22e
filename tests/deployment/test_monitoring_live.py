"""A real Prometheus scrapes the real service, and its alert reaches a receiver through a real Alertmanager."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deployment.conftest import Program
from tests.deployment.test_dashboards import FILES, expanded, expressions
from tests.deployment.test_monitoring import FOLDER, exported, rules_of
from tests.jobs_running import ended, running_worker, until
from tests.serving import RunningService, free_port, running_service

pytestmark = pytest.mark.server

NOT_SEEN = frozenset(
    {
        "model_failures_total",  # a model would have to fail
        "auth_failures_total",  # nobody is asked for a key here
        "fusion_conflict_bucket",  # needs a recording of several modalities
        "fusion_conflict_count",
        "fusion_conflict_sum",
        "media_decode_seconds_bucket",
        "media_decode_seconds_count",
        "media_decode_seconds_sum",
        "stream_latency_seconds_bucket",
        "stream_latency_seconds_count",
        "stream_latency_seconds_sum",
        "stream_pictures_total",
    }
)
"""What so few requests don't make a service export."""


@dataclass
class Receiver:
    """What Alertmanager sends alerts to; `got` are the alerts by path."""

    server: ThreadingHTTPServer
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def heard(self, path: str, name: str, status: str) -> list[dict[str, Any]]:
        """The alerts of this name and status that came to a path."""
        return [a for p, a in self.got if (p, a["labels"]["alertname"], a["status"]) == (path, name, status)]


@contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            here.got += [(self.path, alert) for alert in body["alerts"]]
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Receiver(server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Monitored:
    """The service, its Prometheus, and who hears of alerts."""

    service: RunningService
    folder: Path
    worker_port: int
    prometheus: httpx.Client
    receiver: Receiver

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers. Raises `httpx.HTTPStatusError` if it does not understand."""
        answer = self.prometheus.get("/api/v1/query", params={"query": expression}).raise_for_status()
        return answer.json()["data"]["result"]


def quickened(folder: Path, service: RunningService, worker: int, manager: int, hooks: int) -> None:
    """The public files with targets on this machine, and the alert that is expected in seconds instead of minutes."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    targets = {
        "multimodal-sentiment": service.address.removeprefix("http://"),
        "multimodal-sentiment-worker": f"127.0.0.1:{worker}",
    }
    jobs = [job for job in config["scrape_configs"] if job["job_name"] in targets]
    for job in jobs:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    config["scrape_configs"] = jobs
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{manager}"]
    (folder / "rules").mkdir()
    for file in (FOLDER / "rules").glob("*.yml"):
        soon = re.sub(r"(alert: WorkerGone\n.*?\n +for: )\S+", r"\g<1>1s", file.read_text(), flags=re.DOTALL)
        (folder / "rules" / file.name).write_text(soon)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    routes = (FOLDER / "alertmanager.yml").read_text()
    routes = re.sub(r"(group_wait|group_interval): \S+", r"\1: 1s", routes)
    routes = routes.replace("http://pager.example.org/alerts", f"http://127.0.0.1:{hooks}/pages")
    routes = routes.replace("http://tickets.example.org/alerts", f"http://127.0.0.1:{hooks}/tickets")
    (folder / "alertmanager.yml").write_text(routes)


@contextmanager
def started(ready: str, *command: object) -> Iterator[None]:
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: process.poll() is not None or _answers(ready), 30)
        assert process.poll() is None, f"{command[0]} ended"
        yield
    finally:
        process.terminate()
        process.wait(20)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def monitored(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """The service and what watches it; there is no worker."""
    prometheus, alertmanager = program("prometheus"), program("prometheus-alertmanager")
    folder = tmp_path_factory.mktemp("monitored")
    web, manager, worker = free_port(), free_port(), free_port()
    settings = {"min_free_bytes": 0, "rate_limit": "off"}
    with ExitStack() as stack:
        hooks = stack.enter_context(receiver())
        service = stack.enter_context(running_service(folder, **settings))
        (folder / "watch").mkdir()
        quickened(folder / "watch", service, worker, manager, hooks.server.server_port)
        stack.enter_context(
            started(
                f"http://127.0.0.1:{manager}/-/ready",
                alertmanager,
                f"--config.file={folder / 'watch' / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address=127.0.0.1:{manager}",
                "--cluster.listen-address=",
            )
        )
        stack.enter_context(
            started(
                f"http://127.0.0.1:{web}/-/ready",
                prometheus,
                f"--config.file={folder / 'watch' / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{web}",
            )
        )
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{web}", timeout=30))
        yield Monitored(service, folder, worker, client, hooks)


@dataclass(frozen=True)
class Outcome:
    """What was heard of a job that came when there was no worker, and how it ended once there was one."""

    page: dict[str, Any]
    tickets: int
    state: str
    resolved: bool


def some_requests(http: httpx.Client) -> None:
    """A bit of everything that counts without a job."""
    for _ in range(3):
        http.post("/v1/text", json={"text": "What a wonderful day it has been"}).raise_for_status()
    http.post("/v1/text", json={"text": "?", "store": True}).raise_for_status()
    for _ in range(20):  # a burst, which is an anomaly
        assert http.post("/v1/image", files={"file": ("a.png", b"no picture")}).status_code == 415


@pytest.fixture(scope="module")
def outcome(monitored: Monitored) -> Outcome:
    """Of some requests, a job, the page that follows, and the worker that follows that."""
    heard = monitored.receiver.heard
    settings = {
        "state_folder": monitored.folder / "state",
        "min_free_bytes": 0,
        "worker_metrics_port": monitored.worker_port,
    }
    with httpx.Client(base_url=monitored.service.address, timeout=30) as http:
        some_requests(http)
        file = {"file": ("a.txt", b"What a wonderful day\n")}
        job = http.post("/v1/jobs", files=file).raise_for_status().json()["id"]
        page = until(lambda: heard("/pages", "WorkerGone", "firing"))[0]
        with running_worker(monitored.folder, **settings):
            state = ended(http, job)["state"]
            resolved = until(lambda: heard("/pages", "WorkerGone", "resolved"))
            until(lambda: monitored.query('job_duration_seconds_count{state="done"} > 0'))
            until(lambda: monitored.query('memory_limit_bytes{job="multimodal-sentiment-worker"}'))
    return Outcome(page, len(heard("/tickets", "WorkerGone", "firing")), state, bool(resolved))


def test_a_job_without_a_worker_wakes_somebody_until_a_worker_comes(outcome: Outcome):
    assert outcome.page["labels"]["severity"] == "page"
    assert outcome.page["annotations"]["runbook_url"].endswith("#workergone")
    assert outcome.tickets == 0
    assert outcome.state == "done" and outcome.resolved


@pytest.mark.usefixtures("outcome")
def test_every_series_and_label_is_in_the_real_scrape(monitored: Monitored):
    found: dict[str, set[str]] = {}
    for series in monitored.prometheus.get("/api/v1/series", params={"match[]": '{job=~".+"}'}).json()["data"]:
        found.setdefault(series["__name__"], set()).update(series)
    wanted = {name: labels for name, labels in exported().items() if name not in NOT_SEEN}
    assert {
        name: labels - found.get(name, set()) for name, labels in wanted.items() if labels - found.get(name, set())
    } == {}
    assert set(wanted) - set(found) == set()
    assert set(exported()) >= NOT_SEEN and not NOT_SEEN & set(found)


def test_every_rule_is_evaluated_without_an_error(monitored: Monitored):
    groups = until(lambda: _evaluated(monitored))
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(rules_of())
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []


def _evaluated(monitored: Monitored) -> list[dict[str, Any]] | None:
    groups = monitored.prometheus.get("/api/v1/rules").raise_for_status().json()["data"]["groups"]
    return groups if all(rule["health"] != "unknown" for group in groups for rule in group["rules"]) else None


@pytest.mark.usefixtures("outcome")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_prometheus_answers_every_question_of_a_dashboard(monitored: Monitored, file: Path):
    answered = [one for one in expressions(file) if monitored.query(expanded(one))]
    assert answered
    with pytest.raises(httpx.HTTPStatusError):
        monitored.query(expanded(answered[0]) + ")")
