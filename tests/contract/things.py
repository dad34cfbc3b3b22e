"""What there is to be found in a service: jobs that are over, that run and that wait, and analyses that were kept.

Identifiers made up from a document name nothing, so that all routes with one would answer 404 alone.
"""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.contract.conftest import picture
from tests.jobs_running import ended, running_worker, until
from tests.serving import CHECKOUT

RECORDINGS: dict[str, Callable[[], bytes]] = {
    "/v1/audio": lambda: tone(1.0),
    "/v1/video": (CHECKOUT / "ui" / "examples" / "portrait_speaks.mp4").read_bytes,
}
"""What is a recording is not found by chance either."""
MANY_ROWS = 50_000
"""More than a worker reads before it is looked at again."""


@dataclass
class Things:
    """Identifiers, by what they name, and how more are made."""

    client: httpx.Client
    over: list[str]
    """Jobs: texts and a picture that are done, and a file that could not be read."""
    unfinished: list[str]
    """A job whose worker has died in the middle of it, and one that waits."""
    kept: list[str]
    """Analyses."""
    turn: int = 0

    def put_into(self, case: Any) -> None:
        """Have every second request to a route with an identifier or a cursor name something that there is.

        What is to be deleted is made first: the rest is there for others.
        """
        self.turn += 1
        if self.turn % 2:
            return
        if isinstance(case.body, dict) and isinstance(case.body.get("file"), bytes) and case.path in RECORDINGS:
            case.body["file"] = RECORDINGS[case.path]()
        if "identifier" in case.path_parameters:
            case.path_parameters["identifier"] = self._identifier(case.path, case.method)
        elif "cursor" in case.query:
            case.query["cursor"] = self._page(case.path, limit=1)["next"]

    def _identifier(self, path: str, method: str) -> str:
        jobs = path.startswith("/v1/jobs")
        if method.upper() == "DELETE":
            return wait(self.client) if jobs else keep(self.client)
        found = self._jobs(path) if jobs else self.kept
        return found[self.turn // 2 % len(found)]

    def _jobs(self, path: str) -> list[str]:
        """Events of a job that is not over go on."""
        return self.over if path.endswith("/events") else [*self.over, *self.unfinished]

    def _page(self, path: str, limit: int) -> Any:
        return self.client.get(path, params={"limit": limit}).raise_for_status().json()


def tone(seconds: float) -> bytes:
    """A hum, as a WAV file."""
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"".join(struct.pack("<h", 900 * (n // 40 % 2)) for n in range(int(16_000 * seconds))))
    return written.getvalue()


def wait(client: httpx.Client, content: bytes = b"I love it\nI hate it\n") -> str:
    """A job of texts that waits; its identifier."""
    return _job(client, file=("texts.txt", content))


def keep(client: httpx.Client) -> str:
    """An analysis that was kept; its identifier."""
    answer = client.post("/v1/text", json={"text": "I love it", "store": True}).raise_for_status()
    return answer.json()["id"]


def _job(client: httpx.Client, **files: Any) -> str:
    return client.post("/v1/jobs", files=files).raise_for_status().json()["id"]


@contextmanager
def things_in(client: httpx.Client, folder: Path, **settings: object) -> Iterator[Things]:
    """Make them, in the service of this folder and client; in the end nothing of them is left."""
    shared = {
        "state_folder": folder / "state",
        "temp_folder": folder / "uploads",
        "transcript_model": "off",
        **settings,
    }
    with running_worker(folder, **shared) as worker:
        over = [wait(client), _job(client, image=("a.png", picture())), _job(client, image=("a.png", b"\x89PNG torn"))]
        states = [ended(client, job)["state"] for job in over]
        assert states == ["done", "done", "failed"], states
        running = wait(client, b"I love it and I hate it and I do not know\n" * MANY_ROWS)
        until(lambda: client.get(f"/v1/jobs/{running}").json()["state"] == "running")
        worker.kill()
    yield Things(client, over, [running, wait(client)], [keep(client) for _ in range(3)])
    remove_all(client)


def remove_all(client: httpx.Client) -> None:
    """Delete the history and every job of the caller; a job that is called off is listed until it is deleted again."""
    client.delete("/v1/history").raise_for_status()
    while jobs := client.get("/v1/jobs", params={"limit": 100}).raise_for_status().json()["jobs"]:
        for job in jobs:
            client.delete(f"/v1/jobs/{job['id']}")
