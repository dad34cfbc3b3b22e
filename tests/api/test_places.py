from __future__ import annotations

from contextlib import ExitStack

import pytest

from service.access.configured import share_of
from service.api.places import Places
from service.api.problems import ProblemError
from service.settings import Settings


def refusal(places: Places, client: str) -> str:
    with pytest.raises(ProblemError) as refused, places.of(client):
        pass
    return refused.value.kind.code


def test_one_client_has_its_share_and_leaves_the_rest_to_others():
    places = Places("streams are open", 4, 0.5)
    with ExitStack() as taken:
        taken.enter_context(places.of("greedy"))
        taken.enter_context(places.of("greedy"))
        assert refusal(places, "greedy") == "rate_limited"
        taken.enter_context(places.of("modest"))
        taken.enter_context(places.of("another"))
        assert refusal(places, "latecomer") == "overloaded"
        assert places.taken == 4
    assert places.taken == 0


def test_a_place_is_free_again_however_its_work_ends():
    places = Places("streams are open", 1, 1.0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), places.of("someone"):
            raise ZeroDivisionError
    assert places.taken == 0


def test_a_share_is_never_nothing():
    with Places("streams are open", 1, 0.1).of("someone"):
        pass


def test_on_loopback_where_all_clients_are_one_machine_one_may_have_all():
    assert share_of(Settings()) == 1.0
    assert share_of(Settings(host="0.0.0.0")) == 0.5
    assert share_of(Settings(client_share=0.2)) == 0.2
