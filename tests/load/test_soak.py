"""A few seconds of what `make soak` does for half an hour; how fast it was is not judged here."""

from __future__ import annotations

import pytest

from tests.load.http_load import Result
from tests.load.soak import MIX, Run, Sample, page, running_house, soak, took, verdicts
from tests.load.visits import Visits


@pytest.mark.server
async def test_mixed_traffic_is_answered_and_after_too_much_of_it_all_is_well_again(tmp_path):
    limits = {"steady_text_requests": 64, "max_text_requests": 64, "transcript_model": "off"}
    mix = {"text": 0.7, "picture": 0.2, "kept": 0.05, "history": 0.05}
    visits = Visits(job_every=2.0, job_rows=20, stream_every=3.0, stream_seconds=2.5)
    with running_house(tmp_path, **limits) as house:
        run = await soak(house, steady_seconds=4, over_seconds=3, mix=mix, visits=visits)
    for kind in ("picture", "history", "job", "stream"):
        assert run.steady[kind].errors == 0 and run.steady[kind].statuses[200] > 0, (kind, run.steady[kind].statuses)
    assert run.steady["text"].statuses[200] > 0
    assert set(run.steady["kept"].statuses) <= {200, 503}  # more may come at once than the few places that there are
    assert took(run.over, 200) and took(run.over, 503)
    assert run.over.broken == 0 and set(run.over.statuses) <= {200, 429, 503}
    assert run.after.statuses[200] > 0 and run.after.broken == 0
    assert run.samples[0].bytes > 100_000_000 and run.samples[0].descriptors > 50
    assert all(verdict.promise in page(run) for verdict in verdicts(run))


def made_up(*, over_seconds: float = 0.1, last_bytes: int = 1_000, status: int = 200) -> Run:
    """A run as a calm service gives it, but for what is said."""
    calm = Result(10.0, [0.08] * 1_000, {200: 1_000}, [(number / 100, 0.08, 200) for number in range(1_000)])
    over = Result(5.0, [over_seconds], {200: 1, 503: 1}, [(0.0, over_seconds, 200), (0.0, 0.01, 503)])
    texts = Result(10.0, [0.08] * 1_000, {status: 1_000}, [(number / 100, 0.08, status) for number in range(1_000)])
    sizes = [1_000, 1_000, 1_000, 1_000, last_bytes, last_bytes]
    samples = [Sample(float(number), size, 100) for number, size in enumerate(sizes)]
    return Run(dict.fromkeys(MIX, 1.0), {**dict.fromkeys(MIX, calm), "text": texts}, samples, over, calm, 10.0, 5.0)


def broken(run: Run) -> list[str]:
    return [verdict.promise.split()[0] for verdict in verdicts(run) if not verdict.kept]


def test_a_calm_run_keeps_every_promise():
    assert broken(made_up()) == []


def test_memory_that_grows_errors_and_slow_answers_break_theirs():
    assert broken(made_up(last_bytes=1_030)) == ["memory:"]
    assert "errors" in broken(made_up(status=500))
    assert broken(made_up(over_seconds=0.3)) == ["at"]
