"""The files of `deployment/monitoring`, without running anything but Prometheus's own checks."""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment.facts import facts
from service.observability import metrics
from service.observability.readings import Disk, Readings, Waiting
from service.settings import Settings
from tests.deployment.conftest import Program, run
from tests.deployment.promql import grouped, selectors

FOLDER = Path(__file__).parents[2] / "deployment" / "monitoring"
RULES, TESTS = FOLDER / "rules", FOLDER / "rules" / "tests"
ADDED = frozenset({"job", "instance"})
"""Labels that Prometheus adds to what it scrapes."""
NEVER, ALWAYS = "vector(0) > 1", "vector(1)"


@cache
def rules_of() -> list[dict[str, Any]]:
    """Every rule."""
    files = [yaml.safe_load(file.read_text()) for file in sorted(RULES.glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules_of() if "alert" in rule}


@cache
def exported() -> dict[str, frozenset[str]]:
    """The series that the service can export, and their labels."""
    found: dict[str, set[str]] = {"up": set()}
    for metric in vars(metrics).values():
        for family in metric.describe() if hasattr(metric, "_labelnames") else ():
            counted = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
            for ending in counted:
                extra = {"le"} if ending == "_bucket" else set()
                found[family.name + ending] = {*metric._labelnames, *extra}
    now = Readings(True, {"text": True}, {"state": Disk(1, 2)}, Waiting(0, 0, 0, 0.0))
    for family in now.collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return {name: frozenset(labels) for name, labels in found.items()}


def unknown_in(expression: str, recorded: frozenset[str]) -> list[str]:
    """What an expression asks for that nobody exports or records."""
    known, found, labels = exported(), [], set(ADDED)
    for one in selectors(expression):
        if ":" in one.name:
            found += [] if one.name in recorded else [f"{one.name} is not recorded"]
            labels |= {name for every in known.values() for name in every}
        elif one.name not in known:
            found.append(f"{one.name} is not exported")
        else:
            labels |= known[one.name]
            found += [f"{one.name} has no label {name}" for name in one.labels - known[one.name] - ADDED]
    return found + [f"nothing here has the label {name}" for name in grouped(expression) - labels]


def recorded() -> frozenset[str]:
    return frozenset(rule["record"] for rule in rules_of() if "record" in rule)


def base_metrics(expression: str) -> set[str]:
    """The exported series that an expression stands on, through recording rules."""
    by_name = {rule["record"]: rule["expr"] for rule in rules_of() if "record" in rule}
    found: set[str] = set()
    for one in selectors(expression):
        found |= base_metrics(by_name[one.name]) if one.name in by_name else {one.name}
    return found


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the folder, to break."""
    return Path(shutil.copytree(FOLDER, tmp_path / "monitoring"))


def broken(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def mutated(folder: Path, expression: str) -> None:
    """Give every alert this expression, at once, without a delay."""
    file = folder / "rules" / "alerts.yml"
    content = yaml.safe_load(file.read_text())
    for group in content["groups"]:
        for rule in group["rules"]:
            rule.update({"expr": expression, "for": "0s"})
    file.write_text(yaml.safe_dump(content))


def test_prometheus_takes_its_configuration_and_not_a_misspelt_one(program: Program, copy: Path):
    promtool = program("promtool")
    assert run(promtool, "check", "config", FOLDER / "prometheus.yml").returncode == 0
    broken(copy / "prometheus.yml", "scrape_interval", "scrape_intervall")
    assert run(promtool, "check", "config", copy / "prometheus.yml").returncode != 0


def test_alertmanager_takes_its_configuration_and_not_one_without_a_receiver(program: Program, copy: Path):
    amtool = program("amtool")
    assert run(amtool, "check-config", FOLDER / "alertmanager.yml").returncode == 0
    broken(copy / "alertmanager.yml", "name: pages", "name: nobody")
    assert run(amtool, "check-config", copy / "alertmanager.yml").returncode != 0


def test_a_page_goes_to_the_pager_and_a_ticket_does_not(program: Program):
    amtool, file = program("amtool"), FOLDER / "alertmanager.yml"

    def receiver(severity: str) -> str:
        return run(amtool, "config", "routes", "test", f"--config.file={file}", f"severity={severity}").stdout.strip()

    assert (receiver("page"), receiver("ticket")) == ("pages", "tickets")


def test_rules_pass_prometheus_s_linter_and_a_broken_one_does_not(program: Program, copy: Path):
    promtool = program("promtool")
    lint = (promtool, "check", "rules", "--lint=all", "--lint-fatal")
    assert run(*lint, *RULES.glob("*.yml")).returncode == 0
    broken(copy / "rules" / "alerts.yml", "up{", "up{{")
    assert run(*lint, *(copy / "rules").glob("*.yml")).returncode != 0


def test_each_rule_asks_for_what_is_exported():
    found = {rule.get("alert", rule.get("record")): unknown_in(rule["expr"], recorded()) for rule in rules_of()}
    assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.parametrize(
    "expression",
    [
        'sum(rate(http_request_total{job="multimodal-sentiment"}[5m]))',
        'http_requests_total{route="/v1/text"}',
        "sum by (model) (model_failures_total)",
        "job:errors:ratio_rate7m > 0",
    ],
)
def test_a_misspelt_metric_or_label_is_found(expression: str):
    assert unknown_in(expression, recorded())


def test_each_rule_asks_for_the_service_or_its_worker_alone():
    for rule in rules_of():
        bare = [one for one in selectors(rule["expr"]) if ":" not in one.name and "job" not in one.labels]
        # What is divided by takes its labels from what is divided.
        assert {one.name for one in bare} <= {"memory_limit_bytes", "cpu_limit_cores", "disk_size_bytes"}, rule


def test_alerts_hold_the_service_to_its_targets():
    targets, found = facts()["targets"], alerts()
    assert f"> {targets['latency_p95_seconds']:g}\n" in found["LatencyHigh"]["expr"]
    assert f"> {targets['error_ratio']:g} and" in found["ErrorsHigh"]["expr"]
    assert f"> 14.4 * {1 - targets['availability']:.3f}" in found["AvailabilityBurnsWithinHours"]["expr"]
    assert found["MemoryHigh"]["expr"].endswith(f"> {targets['memory_ratio']:g}")
    assert found["CpuHigh"]["expr"].endswith(f"> {targets['cpu_ratio']:g}")
    assert targets["latency_p95_seconds"] in metrics._SECONDS  # counted, not guessed between two bounds


def test_alerts_know_the_limits_of_the_settings():
    defaults = Settings.model_fields
    disagreement = next(rule["expr"] for rule in rules_of() if rule.get("record") == "job:disagreement:ratio_rate1h")
    assert f'le="{defaults["max_conflict"].default}"' in disagreement
    assert f"> {0.8 * defaults['max_queued_jobs'].default:g}" in alerts()["JobQueueNearlyFull"]["expr"]


def test_scrape_targets_have_the_ports_of_the_facts():
    jobs = {job["job_name"]: job for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]}
    service, worker = jobs["multimodal-sentiment"], jobs["multimodal-sentiment-worker"]
    assert service["dns_sd_configs"][0]["port"] == facts()["service"]["port"]
    assert service["metrics_path"] == facts()["service"]["metrics"]
    assert worker["dns_sd_configs"][0]["port"] == facts()["worker"]["metrics_port"]


def test_scrape_targets_are_the_names_that_compose_gives():
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    names = {name for job in jobs for found in job.get("dns_sd_configs", ()) for name in found["names"]}
    for file in ("docker-compose.yml", "docker-compose.prod.yml"):
        services = yaml.safe_load((FOLDER.parent / "compose" / file).read_text())["services"]
        assert names == {"service", "worker"} <= set(services)
        port = services["worker"]["environment"]["SENTIMENT_WORKER_METRICS_PORT"]
        assert port == str(facts()["worker"]["metrics_port"])


def test_alerts_go_to_the_alertmanager_that_compose_starts_with_these_routes():
    (manager,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["alerting"]["alertmanagers"]
    ((name, _, port),) = [target.partition(":") for one in manager["static_configs"] for target in one["targets"]]
    services = yaml.safe_load((FOLDER.parent / "compose" / "docker-compose.yml").read_text())["services"]
    assert services[name]["ports"][0].endswith(f":{port}")
    assert "../monitoring/alertmanager.yml:/etc/alertmanager/alertmanager.yml:ro" in services[name]["volumes"]
    assert set(services[name]["networks"]) & set(services["prometheus"]["networks"])


@pytest.mark.parametrize("file", sorted(TESTS.glob("*.yml")), ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_not_when_all_is_within_bounds(program: Program, file: Path):
    done = run(program("promtool"), "test", "rules", file.name, cwd=TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_each_alert_that_never_fires_is_missed(program: Program, copy: Path):
    mutated(copy, NEVER)
    assert set(alerts()) - alerts_named(program, copy, "exp") == set()


@pytest.mark.long
def test_each_alert_that_always_fires_is_noticed(program: Program, copy: Path):
    mutated(copy, ALWAYS)
    assert set(alerts()) - alerts_named(program, copy, "got") == set()


def alerts_named(program: Program, folder: Path, which: str) -> set[str]:
    """The alerts that failing tests expected (`exp`) or got."""
    files = sorted(file.name for file in TESTS.glob("*.yml"))
    done = run(program("promtool"), "test", "rules", *files, cwd=folder / "rules" / "tests")
    assert done.returncode != 0
    lines = re.findall(rf"^\s*{which}:(.*(?:\n\s+{{.*)*)", done.stdout + done.stderr, re.MULTILINE)
    return set(re.findall(r'alertname="(\w+)"', "\n".join(lines)))


def test_the_healthy_service_of_the_tests_exports_all_that_alerts_look_at():
    healthy = yaml.safe_load((TESTS / "alerts.yml").read_text())["tests"][0]
    present = {selectors(series["series"])[0].name for series in healthy["input_series"]}
    assert {name for rule in alerts().values() for name in base_metrics(rule["expr"])} - present == set()


def anchors(runbook: str) -> list[str]:
    return [heading.lower() for heading in re.findall(r"^## (\w+)$", runbook, re.MULTILINE)]


def test_each_alert_leads_to_its_lines_in_the_runbook_and_no_line_to_none():
    linked = [rule["annotations"]["runbook_url"].partition("#")[2] for rule in alerts().values()]
    assert linked == [name.lower() for name in alerts()]
    assert linked == anchors((FOLDER / "runbook.md").read_text())


def test_each_alert_says_how_bad_it_is_and_what_it_means():
    for rule in alerts().values():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["labels"]["service"] == "multimodal-sentiment"
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
