"""What a new version must pass before, and after, it gets requests."""

from __future__ import annotations

import time
from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

from deployment.release.plan import Gates, Instance, ReleaseFailed

LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 10.0
_JSON = {"Content-Type": "application/json"}


def wait_until_ready(instance: Instance, gates: Gates) -> None:
    """Raises `ReleaseFailed` if it is not ready in time."""
    deadline = time.monotonic() + gates.ready_seconds
    while not _is_ready(instance):
        if time.monotonic() > deadline:
            raise ReleaseFailed(f"{instance.name} was not ready within {gates.ready_seconds:g} s.")
        time.sleep(LOOK_SECONDS)


def wait_until_gone(instance: Instance, gates: Gates) -> None:
    """Until nobody answers there any more, or the new one would be taken for the old. Raises `ReleaseFailed`."""
    deadline = time.monotonic() + gates.ready_seconds
    while _answers(instance):
        if time.monotonic() > deadline:
            raise ReleaseFailed(f"{instance.name} still answers {gates.ready_seconds:g} s after it was told to stop.")
        time.sleep(LOOK_SECONDS)


def smoke(address: str) -> None:
    """One text is read rightly, and what is no text is refused. Raises `ReleaseFailed`."""
    try:
        answer = httpx.post(f"{address}/v1/text", json={"text": "I love it"}, timeout=PATIENCE_SECONDS)
        refusal = httpx.post(f"{address}/v1/text", content=b"{", headers=_JSON, timeout=PATIENCE_SECONDS)
    except httpx.TransportError as error:
        raise ReleaseFailed(f"{address} does not answer: {error}.") from error
    if answer.status_code != httpx.codes.OK or answer.json()["sentiment"]["label"] != "positive":
        raise ReleaseFailed(f"{address} answers `I love it` with {answer.status_code}: {answer.text[:200]}")
    if refusal.status_code != httpx.codes.BAD_REQUEST:
        raise ReleaseFailed(f"{address} answers half a document with {refusal.status_code}, not 400.")


def watch(instance: Instance, gates: Gates) -> None:
    """Stay until it has served for long enough. Raises `ReleaseFailed` as soon as it fails more than it may."""
    before, deadline = counts(instance), time.monotonic() + gates.watch_seconds
    while time.monotonic() < deadline:
        time.sleep(min(LOOK_SECONDS, gates.watch_seconds))
        if not _is_ready(instance):
            raise ReleaseFailed(f"{instance.name} is no longer ready.")
        now = counts(instance)
        failed, all_of_them = (now[key] - before[key] for key in ("failed", "all"))
        if failed and failed > gates.max_error_ratio * all_of_them:
            raise ReleaseFailed(f"{instance.name} failed {failed:g} of {all_of_them:g} requests.")


def counts(instance: Instance) -> Mapping[str, float]:
    """Its requests so far, and those that it failed. Raises `ReleaseFailed` where it does not say."""
    found = {"all": 0.0, "failed": 0.0}
    try:
        scraped = httpx.get(f"{instance.address}/metrics", timeout=PATIENCE_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        raise ReleaseFailed(f"{instance.name} does not tell how it does: {error}.") from error
    for family in text_string_to_metric_families(scraped.text):
        for sample in family.samples:
            if sample.name == "http_requests_total" and not sample.labels["endpoint"].endswith("readyz"):
                found["all"] += sample.value
                found["failed"] += sample.value if sample.labels["status"].startswith("5") else 0.0
    return found


def _answers(instance: Instance) -> bool:
    try:
        httpx.get(f"{instance.address}/livez", timeout=PATIENCE_SECONDS)
    except httpx.TransportError:
        return False
    return True


def _is_ready(instance: Instance) -> bool:
    try:
        return httpx.get(f"{instance.address}/readyz", timeout=PATIENCE_SECONDS).is_success
    except httpx.TransportError:
        return False
