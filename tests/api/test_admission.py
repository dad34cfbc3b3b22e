from __future__ import annotations

from contextlib import ExitStack

import pytest

from service.api.admission import CALM_SECONDS, RUSH_SECONDS, AdmissionControl
from service.api.problems import ProblemError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fill(control: AdmissionControl, places: ExitStack) -> int:
    """Take places until one is refused; how many there were."""
    taken = 0
    while True:
        try:
            places.enter_context(control)
        except ProblemError as error:
            assert error.kind.code == "overloaded"
            return taken
        taken += 1


def test_a_rush_is_taken_in_up_to_the_most():
    with ExitStack() as places:
        assert fill(AdmissionControl(4, 10, Clock()), places) == 10


def test_a_queue_that_stays_is_held_to_the_steady_number():
    clock = Clock()
    control = AdmissionControl(4, 10, clock)
    with ExitStack() as places:
        fill(control, places)
        while clock.now <= RUSH_SECONDS:  # somebody comes again and again
            clock.now += CALM_SECONDS / 2
            assert fill(control, places) == 0
        for _ in range(20):  # and many leave at once
            clock.now += CALM_SECONDS / 2
            control.open -= 7
            assert fill(control, places) == 1
            control.open += 6


def test_after_a_calm_while_there_may_be_another_rush():
    clock = Clock()
    control = AdmissionControl(4, 10, clock)
    with ExitStack() as places:
        fill(control, places)
    clock.now = 2 * CALM_SECONDS
    with ExitStack() as places:
        assert fill(control, places) == 10


def test_a_place_is_given_back_whatever_happens():
    control = AdmissionControl(1, 1)
    with pytest.raises(ZeroDivisionError), control:
        _ = 1 / 0
    assert control.open == 0
