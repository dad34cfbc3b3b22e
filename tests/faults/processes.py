"""Who is who among the processes of a running service."""

from __future__ import annotations

import psutil

from tests.serving import RunningService

GATEWAY = "multimodal_sentiment"


def workers(running: RunningService, service: str) -> list[psutil.Process]:
    """The processes that do a service's work; each is the child of its keeper, which was started the same way."""
    return [one for one in _alive(running) if _serves(one, service) and _serves(_parent(one), service)]


def keepers(running: RunningService, service: str) -> list[psutil.Process]:
    """The processes that keep those."""
    return [one for one in _alive(running) if _serves(one, service) and not _serves(_parent(one), service)]


def nurseries(running: RunningService) -> list[psutil.Process]:
    """The processes that fork decoders."""
    return [one for one in _alive(running) if "service.media.nursery" in _command(one)]


def pids(processes: list[psutil.Process]) -> set[int]:
    """Their numbers."""
    return {one.pid for one in processes}


def _alive(running: RunningService) -> list[psutil.Process]:
    return [one for one in running.family() if _command(one)]


def _serves(process: psutil.Process | None, service: str) -> bool:
    return process is not None and f"--service-name {service}" in _command(process)


def _parent(process: psutil.Process) -> psutil.Process | None:
    try:
        return process.parent()
    except psutil.NoSuchProcess:
        return None


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""
