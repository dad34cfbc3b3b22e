"""What goes on for longer than a request: streams, jobs, and what is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from websockets.sync.client import connect

from tests.deployment.conformance.check import answered, check, must, refused
from tests.deployment.conformance.target import EXAMPLES, PATIENCE_SECONDS, Target

TEXTS = ("I love it", "I hate it", "What a wonderful day")
ENDED = ("done", "failed", "cancelled")


@check("stream")
def a_stream_is_answered_while_it_runs(target: Target) -> None:
    """A picture and a text by WebSocket are answered, then summed up."""
    address = f"ws{target.address.removeprefix('http')}/v1/stream"
    context = target.tls if target.secure else None
    with connect(address, ssl=context, additional_headers=dict(target.headers), open_timeout=30) as socket:
        socket.send(json.dumps({"type": "start", "modalities": ["face"]}))
        socket.send(b"\x01" + (EXAMPLES / "portrait.jpg").read_bytes())
        socket.send(json.dumps({"type": "text", "text": "I love this"}))
        socket.send(json.dumps({"type": "stop"}))
        events = [json.loads(message) for message in _messages(socket)]
    kinds = [event["type"] for event in events]
    must(kinds[0] == "ready" and kinds[-1] == "summary", f"events {kinds}")
    must("result" in kinds, f"no result among {kinds}")
    label = events[-1]["analysis"]["sentiment"]["label"]
    must(label == "positive", f"the summary says {label}")


@check("jobs")
def a_job_is_done_and_fetched_and_forgotten(target: Target) -> None:
    """A file of texts becomes a job, a worker does it, its result is fetched, and then nothing of it is left."""
    content = "".join(f"{text}\n" for text in TEXTS).encode()
    accepted = target.http.post("/v1/jobs", files={"file": ("texts.txt", content)})
    job = answered(accepted, 202)
    path = f"/v1/jobs/{job['id']}"
    must(accepted.headers.get("location", "").endswith(path), f"Location: {accepted.headers.get('location')}")
    events = list(_events(target, f"{path}/events"))
    must(events and events[-1] == "done", f"events {events}")
    mine = [one["id"] for one in answered(target.http.get("/v1/jobs"))["jobs"]]
    must(job["id"] in mine, "the job is not in the list")
    must(_ended(target, path)["state"] == "done", "the job did not end well")
    results = answered(target.http.get(f"{path}/result"))["results"]
    labels = [result["sentiment"]["label"] for result in results]
    must(labels == ["positive", "negative", "positive"], f"labels {labels}")
    must(target.http.delete(path).status_code == 204, "it could not be removed")
    refused(target.http.get(path), 404, "not_found")


@check("history", "text")
def an_analysis_is_kept_found_exported_and_forgotten(target: Target) -> None:
    """What a caller asked to keep is there as it was answered, until it is told to go."""
    kept = answered(target.http.post("/v1/text", json={"text": TEXTS[0], "store": True}))
    path = f"/v1/history/{kept['id']}"
    must(answered(target.http.get(path)) == kept, "what is kept is not what was answered")
    listed = [one["id"] for one in answered(target.http.get("/v1/history"))["items"]]
    must(kept["id"] in listed, "it is not in the list")
    exported = [one["id"] for one in answered(target.http.get("/v1/history/export"))]
    must(kept["id"] in exported, "it is not in the export")
    removed = target.http.delete(path)
    must(removed.status_code == 204, f"it could not be removed: {removed.status_code}")
    must("removed=1" in removed.headers.get("deletion-receipt", ""), "nothing says that it was removed")
    refused(target.http.get(path), 404, "not_found")


def _messages(socket: Any) -> Iterator[str]:
    """All that comes until the other side closes."""
    yield from socket


def _events(target: Target, path: str) -> Iterator[str]:
    """The names of server-sent events until the last."""
    with target.http.stream("GET", path, headers={"Accept": "text/event-stream"}) as response:
        must(response.status_code == 200, f"{path}: {response.status_code}")
        for line in response.iter_lines():
            if line.startswith("event:"):
                name = line.removeprefix("event:").strip()
                yield name
                if name in ENDED:
                    return


def _ended(target: Target, path: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        job = answered(target.http.get(path))
        if job["state"] in ENDED or time.monotonic() > deadline:
            return job
        time.sleep(0.2)
