"""What tests of several parts share: sample files, and the real service on a free port."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.databases import database_url, postgres  # noqa: F401  (fixtures)
from tests.serving import RunningService, running_service

CHECKOUT = Path(__file__).parents[1]

# The same examples in every run, however long a busy machine takes for each: what fails, fails again.
hypothesis.settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("steady")


def samples_folder() -> Path:
    """Where the sample files are, if they are."""
    return Path(os.environ.get("SENTIMENT_DATA", CHECKOUT.parent / "shared" / "data")) / "samples"


@pytest.fixture(scope="session")
def samples() -> Path:
    """Real files in the formats that people upload; each folder has an `index.tsv`."""
    folder = samples_folder()
    if not folder.is_dir():
        pytest.skip(f"There are no sample files at {folder}; set SENTIMENT_DATA to the folder that holds `samples`.")
    return folder


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """The real service, started once for all tests that speak HTTP to it."""
    with running_service(tmp_path_factory.mktemp("service")) as running:
        yield running
