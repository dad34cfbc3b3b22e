"""Grafana's dashboards: generated as committed, of Grafana's types, and asking for what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment.conftest import Program, run
from tests.deployment.test_monitoring import recorded, unknown_in

CHECKOUT = Path(__file__).parents[2]
GRAFANA = CHECKOUT / "deployment" / "monitoring" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
TYPES = Path(__file__).with_name("dashboards.ts")
COMPILE = ("--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler")


def charts(file: Path) -> Iterator[dict[str, Any]]:
    """The panels of a dashboard that show something."""
    for panel in json.loads(file.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel


def expressions(file: Path) -> list[str]:
    """What a dashboard asks Prometheus for."""
    return [target["expr"] for panel in charts(file) for target in panel["targets"]]


def expanded(expression: str, interval: str = "1m") -> str:
    """As Grafana sends it."""
    return expression.replace("$__rate_interval", interval)


def test_there_are_three():
    assert [file.stem.rpartition("-")[2] for file in FILES] == ["jobs", "models", "service"]


def test_dashboards_are_what_their_python_makes(program: Program, tmp_path: Path):
    python = program("grafana-foundation-sdk")
    made = run(python, "-m", "deployment.monitoring.grafana.make", tmp_path, cwd=CHECKOUT)
    assert made.returncode == 0, made.stderr
    assert {file.name: file.read_text() for file in FILES} == {
        file.name: file.read_text() for file in tmp_path.iterdir()
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_panel_asks_for_what_is_exported(file: Path):
    found = {one: unknown_in(expanded(one), recorded()) for one in expressions(file)}
    assert found and {one: problems for one, problems in found.items() if problems} == {}


def checked(promtool: Path, folder: Path, wanted: list[str]) -> int:
    """The exit code of Prometheus's check of expressions, as recording rules."""
    rules = [{"record": f"panel:{turn}", "expr": expanded(one)} for turn, one in enumerate(wanted)]
    file = folder / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    return run(promtool, "check", "rules", file).returncode


def test_prometheus_parses_each_expression_and_not_a_broken_one(program: Program, tmp_path: Path):
    promtool = program("promtool")
    every = [one for file in FILES for one in expressions(file)]
    assert checked(promtool, tmp_path, every) == 0
    assert checked(promtool, tmp_path, [*every, "sum by (job (up)"]) != 0


def compiled(program: Program, folder: Path, dashboards: dict[str, str]) -> str:
    """What TypeScript says of dashboards as values of Grafana's types."""
    tsc = program("grafana-schema") / "typescript" / "bin" / "tsc"
    (folder / "node_modules").symlink_to(program("grafana-schema"))
    (folder / "dashboards.ts").write_text(TYPES.read_text())
    for name, content in dashboards.items():
        typed = f"import type {{ Written }} from './dashboards';\nexport const board: Written = {content};"
        (folder / f"{name}.ts").write_text(typed)
    return run("node", tsc, *COMPILE, *(f"{name}.ts" for name in dashboards), cwd=folder).stdout


def test_dashboards_are_of_grafana_s_types(program: Program, tmp_path: Path):
    assert compiled(program, tmp_path, {file.stem: file.read_text() for file in FILES}) == ""


def test_dashboards_of_other_types_are_refused(program: Program, tmp_path: Path):
    content = FILES[0].read_text()
    changes = {
        "a_type": ('"editable": false', '"editable": "no"'),
        "a_key": ('"graphTooltip"', '"graphTooltips"'),
        "a_choice": ('"absolute"', '"absolutely"'),
    }
    assert all(old in content for old, _ in changes.values())
    said = compiled(program, tmp_path, {name: content.replace(*change) for name, change in changes.items()})
    assert {name for name in changes if f"{name}.ts(" in said} == set(changes)


def test_panels_do_not_lie_on_each_other_and_have_a_title():
    for file in FILES:
        places = set()
        for panel in charts(file):
            assert panel["title"]
            grid = panel["gridPos"]
            columns = range(grid["x"], grid["x"] + grid["w"])
            cells = set(product(columns, range(grid["y"], grid["y"] + grid["h"])))
            assert not cells & places and max(columns) < 24
            places |= cells


def test_provisioning_leads_to_the_dashboards_source():
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    variables = [json.loads(file.read_text())["templating"]["list"][0] for file in FILES]
    assert {variable["query"] for variable in variables} == {source["type"]}
    assert {panel["datasource"]["uid"] for file in FILES for panel in charts(file)} == {"${source}"}
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/files.yml").read_text())["providers"]
    assert re.fullmatch(r"/[\w/]+", provider["options"]["path"])
