"""Which instances nginx sends requests to."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from deployment.release.plan import Front, ReleaseFailed, run

_BLOCK = re.compile(r"(upstream service \{\n)(.*?)(^\})", re.DOTALL | re.MULTILINE)
_SERVER = re.compile(r"^ *server +([^ ;]+).*;.*\n", re.MULTILINE)


def served(front: Front) -> tuple[str, ...]:
    """The hosts that get requests now. Raises `ReleaseFailed`."""
    return tuple(_SERVER.findall(_block(front.upstreams.read_text())))


def point(front: Front, hosts: Collection[str], version: str) -> None:
    """Send requests to these hosts alone; the file is as it was if nginx does not take it. Raises `ReleaseFailed`."""
    before = front.upstreams.read_text()
    _write(front.upstreams, pointed(before, hosts))
    try:
        run(front.check, version)
        run(front.reload, version)
    except ReleaseFailed:
        _write(front.upstreams, before)
        raise


def pointed(text: str, hosts: Collection[str]) -> str:
    """The file with these hosts in its upstream `service`."""
    servers = "".join(f"    server {host} max_fails=3 fail_timeout=30s;\n" for host in hosts)
    place = _SERVER.search(_block(text))
    if place is None:
        raise ReleaseFailed("The upstream `service` has no server.")
    rest = _SERVER.sub("", _block(text))
    block = rest[: place.start()] + servers + rest[place.start() :]
    return _BLOCK.sub(lambda found: found[1] + block + found[3], text)


def _block(text: str) -> str:
    found = _BLOCK.search(text)
    if found is None:
        raise ReleaseFailed("There is no upstream `service` in the file of upstreams.")
    return found[2]


def _write(path: Path, text: str) -> None:
    """In one step: nginx may read at any time."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)
