"""Nothing that is sent stays: the disk is watched while requests run, and searched afterwards."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.jobs_running import until
from tests.privacy.disk import AVAILABLE, Watch, holding
from tests.serving import CHECKOUT, RunningService, running_service

pytestmark = [pytest.mark.server, pytest.mark.skipif(not AVAILABLE, reason="Only Linux tells what happens on a disk.")]

TEXT, NAME, BYTES = "zebra-in-the-text-90210", "zebra-in-a-name-90210", "zebra-in-a-file-90210"
MARKS = (TEXT, NAME, BYTES)
EXAMPLES = CHECKOUT / "ui" / "examples"


@dataclass
class House:
    """A service whose home, temporary and state folders are its own, and nobody else's."""

    folder: Path
    service: RunningService

    @property
    def watched(self) -> list[Path]:
        """Everywhere that it could write without being told to."""
        return [self.folder, CHECKOUT / "service", CHECKOUT / "models" / "weights"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch:
        for variable, name in (
            ("TMPDIR", "tmp"),
            ("HOME", "home"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CACHE_HOME", "c"),
        ):
            (folder / name).mkdir()
            patch.setenv(variable, str(folder / name))
        with running_service(folder, state_folder=folder / "state" / "sentiment", log_level="debug") as running:
            yield House(folder, running)


def marked(file: Path) -> bytes:
    """A good file with a mark behind its end."""
    return file.read_bytes() + BYTES.encode()


def requests(client: httpx.Client) -> list[httpx.Response]:
    """Every route, with good and with bad content."""
    picture, sound, film = (EXAMPLES / name for name in ("portrait.jpg", "inaugural.ogg", "portrait_speaks.mp4"))
    name = f"{NAME}.bin"
    return [
        client.post("/v1/text", json={"text": f"I love it, {TEXT}", "explain": True}),
        client.post("/v1/text", json={"texts": [TEXT, TEXT], "aspects": [TEXT]}),
        client.post("/v1/text", json={"text": TEXT, "language": TEXT}),
        client.post("/v1/text", content=f'{{"text": "{TEXT}'.encode(), headers={"Content-Type": "application/json"}),
        client.post(f"/v1/text?{TEXT}={TEXT}", json={"text": TEXT}, headers={"User-Agent": TEXT}),
        client.post("/v1/image", files={"file": (name, marked(picture))}),
        client.post("/v1/image", files={"file": (name, BYTES.encode() * 100)}),
        client.post("/v1/image", files={"file": (name, marked(picture)[:2_000] + BYTES.encode())}),
        client.post("/v1/image", files={TEXT: (name, b"x")}),
        client.post("/v1/audio", files={"file": (name, marked(sound))}),
        client.post("/v1/video", files={"file": (name, marked(film))}),
        client.post("/v1/analyze", files={"text": (None, TEXT), "image": (name, marked(picture))}),
        client.get(f"/{TEXT}"),
        client.get(f"/problems/{TEXT}"),
    ]


def test_nothing_is_stored_by_default(house):
    with Watch(house.watched) as watch, httpx.Client(base_url=house.service.address, timeout=120) as client:
        answers = requests(client)
        transcript = answers[9].json()["transcript"]["text"]
    assert [answer.status_code for answer in answers].count(200) >= 6
    assert len(transcript) > 40

    uploads = house.service.temp_folder
    others = {path for path in watch.seen if not path.is_relative_to(uploads) and path != house.service.log}
    assert {path for path in others if not is_harmless(path)} == set()
    assert any(path.is_relative_to(uploads) for path in watch.seen), "the watch saw uploads come"
    assert house.service.kept_files() == []
    for folder in (house.folder, Path("/dev/shm")):
        assert holding(folder, *MARKS, transcript, transcript[:40]) == []


def is_harmless(path: Path) -> bool:
    """Counters of metrics, which workers serve, the empty folders of BentoML's client, and compiled modules."""
    metrics = "prometheus" in str(path) and (path.suffix == ".db" or path.name.startswith("serving-"))
    client = path.name.startswith("bentoml-client-") and not (path.is_dir() and any(path.iterdir()))
    return metrics or client or "__pycache__" in path.parts


def test_uploads_are_readable_by_nobody_else_while_they_are_here(house):
    with half_sent(house.service):
        (file,) = until(house.service.kept_files)
        assert file.parent.stat().st_mode & 0o077 == 0
    assert until(lambda: not house.service.kept_files())


def test_the_folder_is_empty_again_after_a_client_went_away(house):
    content = (EXAMPLES / "portrait_speaks.mp4").read_bytes()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: impatient(house.service, content, number), range(4)))
    assert until(lambda: not house.service.kept_files())


@contextmanager
def half_sent(service: RunningService) -> Iterator[None]:
    """An upload of which the second half does not come."""
    with socket.create_connection(("127.0.0.1", httpx.URL(service.address).port), timeout=60) as connection:
        head = b"POST /v1/video HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=limes\r\n"
        part = b'--limes\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + BYTES.encode() * 5_000
        connection.sendall(head + b"Content-Length: 900000\r\n\r\n" + part)
        yield


def impatient(service: RunningService, content: bytes, number: int) -> None:
    """Ask for a video and hang up while it is worked on."""
    identifier = f"impatient-{number}"
    request = httpx.Request("POST", f"{service.address}/v1/video", files={"file": content})
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    head = "\r\n".join(["POST /v1/video HTTP/1.1", f"X-Request-ID: {identifier}", *lines, "", ""])
    with socket.create_connection(("127.0.0.1", request.url.port), timeout=60) as connection:
        connection.sendall(head.encode() + request.read())
        until(service.kept_files)
    assert until(lambda: access_of(service, identifier))[0]["status"] == 499


def access_of(service: RunningService, identifier: str) -> list[dict]:
    """What the access log says of a request; nothing while it is answered."""
    lines = [line for line in service.log.read_text().splitlines() if f'"{identifier}"' in line and line[-1] == "}"]
    return [line for line in map(json.loads, lines) if line["logger"] == "service.access"]


def test_the_access_log_has_its_fields_and_no_others(house):
    lines = [json.loads(line) for line in house.service.log.read_text().splitlines() if line.startswith("{")]
    access = [line for line in lines if line["logger"] == "service.access"]
    assert access
    allowed = {"time", "level", "logger", "message", "endpoint", "status", "caller", "method", "request_id"}
    for line in access:
        assert set(line) <= allowed | {"milliseconds", "bytes_in", "bytes_out", "trace_id", "span_id"}
    assert os.sep not in "".join(line["request_id"] for line in access)


def test_what_a_killed_service_left_is_wiped_when_it_starts_again(house):
    """The last test of this service: afterwards there is none."""
    running = house.service
    with half_sent(running):
        (left,) = until(running.kept_files)
        family = running.family()
        for process in reversed(family):
            process.kill()
        running.process.wait()
        psutil.wait_procs(family, timeout=60)
    assert left.exists(), "nobody could wipe it"
    with running_service(house.folder) as again:
        assert not left.exists()
        assert holding(again.temp_folder, BYTES) == []
