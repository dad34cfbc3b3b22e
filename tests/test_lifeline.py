"""Processes see who is there, and take nobody who only looks for somebody who is there."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest

from service.lifeline import Presence


def test_who_is_present_is_seen_until_the_last_one_leaves(tmp_path: Path):
    one, other, looking = (Presence(tmp_path / "gateways") for _ in range(3))
    assert not looking.anybody()
    one.enter()
    other.enter()
    one.leave()
    assert looking.anybody()
    other.leave()
    assert not looking.anybody()


def test_two_that_look_in_the_same_instant_do_not_take_each_other_for_present(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The first is held up while it has the lock, until the second has either answered or asked for its turn."""
    found: list[bool] = []
    second = threading.Thread(target=lambda: found.append(Presence(tmp_path / "gateways").anybody()))
    asked = threading.Event()
    real = fcntl.flock

    def flock(descriptor: int, how: int) -> None:
        if threading.current_thread() is second:
            asked.set()
        real(descriptor, how)
        if how & fcntl.LOCK_NB and threading.current_thread() is not second:
            second.start()
            assert asked.wait(30)
            second.join(0.2)  # one that does not wait for its turn has answered by now

    monkeypatch.setattr(fcntl, "flock", flock)
    found.append(Presence(tmp_path / "gateways").anybody())
    second.join(30)
    assert found == [False, False]
