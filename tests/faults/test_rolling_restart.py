"""Two instances behind a real nginx are replaced one after the other under load: nobody notices."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.faults.light_load import Record, eventually, light_load, requests
from tests.serving import RunningService, free_port, running_service

pytestmark = pytest.mark.server

CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_max_body_size 100m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream instances {{
        server 127.0.0.1:{first} max_fails=0;
        server 127.0.0.1:{second} max_fails=0;
        keepalive 16;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://instances;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            # An analysis changes nothing, so it may be asked for again, of the other instance.
            proxy_next_upstream error timeout http_503 non_idempotent;
            proxy_read_timeout 300s;
        }}
    }}
}}
"""


@contextmanager
def running_nginx(folder: Path, first: int, second: int) -> Iterator[str]:
    """Its address. Skips where there is none."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
    if program is None:
        pytest.skip("There is no nginx; install Debian's package `nginx-light`.")
    port = free_port()
    file = folder / "nginx.conf"
    # As root its workers would become another user, who may not write here.
    user = "user root;" if os.getuid() == 0 else ""
    file.write_text(CONFIGURATION.format(folder=folder, first=first, second=second, port=port, user=user))
    process = subprocess.Popen((program, "-p", str(folder), "-c", str(file)), stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def instance(folder: Path, port: int) -> Iterator[RunningService]:
    """One of the two; each has a folder of its own for each life."""
    own = folder / f"{port}-{time.monotonic_ns()}"
    own.mkdir(parents=True)
    with running_service(own, port=port, state_folder=own / "state", transcript_model="off") as running:
        yield running


async def test_two_instances_are_replaced_under_load_and_no_request_fails(tmp_path: Path, samples: Path):
    first, second = free_port(), free_port()
    with ExitStack() as house:
        address = house.enter_context(running_nginx(tmp_path, first, second))
        instances = {port: house.enter_context(instance(tmp_path, port)) for port in (first, second)}
        assert httpx.get(f"{address}/readyz", timeout=60).status_code == 200
        async with light_load(address, requests(samples), pause_seconds=0.1) as load:
            await _more(load)
            for port, running in instances.items():
                running.process.terminate()
                await eventually(lambda process=running.process: process.poll() is not None)
                await asyncio.to_thread(house.enter_context, instance(tmp_path, port))
                await _more(load)
        assert set(load.codes()) == {""}
        assert load.wrong() == []


async def _more(load: Record) -> None:
    """Wait for some more answers."""
    enough = len(load.answers) + 20
    await eventually(lambda: len(load.answers) > enough)
