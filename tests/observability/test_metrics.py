"""What a scrape says: what was counted in all processes, and how things are now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.domain.analysis import Analysis, FacePart, TextPart
from service.domain.fusion import Fusion
from service.domain.sentiment import NO_EVIDENCE
from service.observability import metrics
from service.observability.readings import Disk, Readings, Waiting

READINGS = Readings(
    ready=False,
    dependencies={"text": True, "face": False},
    disks={"state": Disk(3, 10)},
    jobs=Waiting(queued=4, running=1, workers=2, oldest_seconds=7.5),
)


def sample(scrape: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", scrape, re.MULTILINE)
    assert found, f"{name} is not in the scrape"
    return float(found[1])


@pytest.fixture(params=["one process", "many"])
def processes(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many":
        monkeypatch.setenv(metrics.MULTIPROCESS_FOLDER, str(tmp_path))
    else:
        monkeypatch.delenv(metrics.MULTIPROCESS_FOLDER, raising=False)


@pytest.mark.usefixtures("processes")
def test_a_scrape_says_how_things_are_now():
    scrape = metrics.scrape(READINGS).decode()
    assert sample(scrape, "service_ready") == 0
    assert sample(scrape, 'dependency_healthy{dependency="text"}') == 1
    assert sample(scrape, 'dependency_healthy{dependency="face"}') == 0
    assert sample(scrape, 'disk_free_bytes{disk="state"}') == 3
    assert sample(scrape, 'queue_depth{queue="jobs"}') == 4
    assert sample(scrape, 'queue_oldest_seconds{queue="jobs"}') == 7.5
    assert sample(scrape, "job_workers") == 2 and sample(scrape, "jobs_running") == 1
    assert 0 < sample(scrape, "memory_working_set_bytes") < sample(scrape, "memory_limit_bytes")
    assert sample(scrape, "cpu_seconds_total") > 0


@pytest.mark.usefixtures("processes")
def test_what_cannot_be_told_is_left_out():
    scrape = metrics.scrape(Readings()).decode()
    for name in ("service_ready", "dependency_healthy{", "disk_free_bytes{", "queue_oldest_seconds", "job_workers"):
        assert re.search(rf"^{name}", scrape, re.MULTILINE) is None


def analysis(kind: str, conflict: float, **modalities: object) -> Analysis:
    fusion = Fusion("log_linear_pool", {}, {}, {}, conflict, {})
    return Analysis("1", "now", kind, NO_EVIDENCE, {}, modalities, fusion)  # type: ignore[arg-type]


def test_only_an_answer_of_several_modalities_counts_as_agreement_or_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(metrics.MULTIPROCESS_FOLDER, raising=False)
    text, face = TextPart(NO_EVIDENCE, {}, "", "given"), FacePart(NO_EVIDENCE, {})
    metrics.predicted(analysis("multimodal", 0.7, text=text, face=face))
    before = metrics.scrape().decode()
    metrics.predicted(analysis("text", 0.0, text=text))
    metrics.predicted(analysis("multimodal", 0.7, text=text, face=face))
    after = metrics.scrape().decode()
    count = 'fusion_conflict_count{kind="multimodal"}'
    assert sample(after, count) == sample(before, count) + 1
    assert 'fusion_conflict_count{kind="text"}' not in after
