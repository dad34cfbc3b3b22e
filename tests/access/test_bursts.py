from __future__ import annotations

from service.access.bursts import BURST, MAX_CLIENTS, WINDOW_SECONDS, Bursts


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_many_refusals_of_one_kind_are_a_burst_and_twice_as_many_are_two():
    bursts = Bursts(Clock())
    assert sum(bursts.note("a", 401) for _ in range(2 * BURST)) == 2


def test_as_many_over_a_longer_time_are_none():
    clock = Clock()
    bursts = Bursts(clock)
    for _ in range(3 * BURST):
        clock.seconds += WINDOW_SECONDS / (BURST - 2)
        assert not bursts.note("a", 422)


def test_clients_and_kinds_are_told_apart():
    bursts = Bursts(Clock())
    for turn in range(BURST - 1):
        assert not any([bursts.note("a", 401), bursts.note("a", 413), bursts.note("b", 401)]), turn
    assert bursts.note("b", 401)


def test_the_memory_of_clients_is_bounded():
    bursts = Bursts(Clock())
    for number in range(3 * MAX_CLIENTS):
        bursts.note(str(number), 401)
    assert len(bursts._seen) == MAX_CLIENTS
