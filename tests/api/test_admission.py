from __future__ import annotations

from contextlib import ExitStack

import pytest

from service.api.admission import CALM_SECONDS, Admission
from service.api.problems import ProblemError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fill(admission: Admission, places: ExitStack) -> int:
    """Take places until one is refused; how many there were."""
    taken = 0
    while True:
        try:
            places.enter_context(admission)
        except ProblemError as error:
            assert error.kind.code == "overloaded"
            return taken
        taken += 1


def test_a_rush_is_taken_in_up_to_the_most():
    with ExitStack() as places:
        assert fill(Admission(4, 10, Clock()), places) == 10


def test_a_queue_that_stays_is_held_to_the_steady_number():
    clock = Clock()
    admission = Admission(4, 10, clock)
    with ExitStack() as places:
        fill(admission, places)
        for _ in range(20):  # somebody comes again and again, and many leave at once
            clock.now += CALM_SECONDS / 2
            admission.open -= 7
            assert fill(admission, places) == 1
            admission.open += 6


def test_after_a_calm_while_there_may_be_another_rush():
    clock = Clock()
    admission = Admission(4, 10, clock)
    with ExitStack() as places:
        fill(admission, places)
    clock.now = 2 * CALM_SECONDS
    with ExitStack() as places:
        assert fill(admission, places) == 10


def test_a_place_is_given_back_whatever_happens():
    admission = Admission(1, 1)
    with pytest.raises(ZeroDivisionError), admission:
        _ = 1 / 0
    assert admission.open == 0
