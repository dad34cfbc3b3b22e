"""What one process saw of the clock, those that come after it know."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from service.clock import JUMP_SECONDS, MAX_BOOTS, RESPITE_SECONDS, ClockMemory, Standing, WallClock

DAY = 86_400.0


class Machine:
    """Two clocks of one boot, and processes that look at them."""

    def __init__(self, file: Path, boot: str = "one") -> None:
        self.file = file
        self.boot = boot
        self.wall = 1_000_000.0
        self.steady = 1000.0

    def process(self) -> WallClock:
        """A new one."""
        return WallClock(lambda: self.wall, lambda: self.steady, ClockMemory(self.file, self.boot))

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "clock.json")


def test_a_process_that_begins_after_a_jump_holds_back(machine: Machine):
    assert not machine.process().jumped()
    machine.wall += 40 * DAY
    assert machine.process().jumped()


def test_the_respite_is_counted_from_the_jump_and_not_from_the_start_of_each_process(machine: Machine):
    assert not machine.process().jumped()
    machine.wall += 40 * DAY
    assert machine.process().jumped()
    machine.wait(0.9 * RESPITE_SECONDS)
    assert machine.process().jumped()
    machine.wait(0.2 * RESPITE_SECONDS)
    assert not machine.process().jumped()


def test_a_jump_that_an_old_process_saw_is_known_to_a_new_one(machine: Machine):
    old = machine.process()
    assert not old.jumped()
    machine.wall -= 40 * DAY
    assert old.jumped()
    assert machine.process().jumped()


def test_a_clock_that_is_led_slowly_never_jumps(machine: Machine):
    for _ in range(100):
        machine.wait(DAY)
        machine.wall += JUMP_SECONDS / 15
        assert not machine.process().jumped()


def test_another_boot_has_another_steady_clock(machine: Machine):
    assert not machine.process().jumped()
    machine.boot, machine.steady = "two", 5.0
    assert not machine.process().jumped()


def test_a_memory_of_what_is_still_to_come_is_not_of_this_boot(machine: Machine):
    ClockMemory(machine.file, "one").write(Standing(0.0, jumped=machine.steady + 1))
    assert not machine.process().jumped()


def test_of_many_machines_the_latest_are_remembered(tmp_path: Path):
    file = tmp_path / "clock.json"
    for number in range(MAX_BOOTS + 4):
        ClockMemory(file, f"boot {number}").write(Standing(float(number)))
    assert ClockMemory(file, "boot 3").read() is None
    assert ClockMemory(file, "boot 4").read() == Standing(4.0)
    assert [path.name for path in tmp_path.iterdir()] == ["clock.json"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"[]", b'{"one": 3}', b'{"one": {"offset": "x", "jumped": null}}'])
def test_a_damaged_memory_is_written_anew(machine: Machine, content: bytes):
    machine.file.write_bytes(content)
    assert not machine.process().jumped()
    assert ClockMemory(machine.file, "one").read() == Standing(machine.wall - machine.steady)


def test_where_nothing_is_kept_nothing_is_made(machine: Machine, tmp_path: Path):
    machine.file = tmp_path / "not" / "made" / "clock.json"
    assert not machine.process().jumped()
    assert list(tmp_path.iterdir()) == []
