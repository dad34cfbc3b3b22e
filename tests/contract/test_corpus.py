"""A tenth of the corpus of bad input; all of it is `make bad-input`."""

from __future__ import annotations

import pytest

from tests.fuzz.bad_input import leftovers, send_all
from tests.fuzz.corpus import cases, short


def test_the_corpus_has_every_sort_and_enough_of_it():
    sorts = {case.name.split()[0] for case in cases()}
    assert len(cases()) >= 300
    assert sorts == {case.name.split()[0] for case in short()}
    assert {"truncated", "flipped", "polyglot", "bomb", "sound", "film", "empty", "name", "json", "form"} <= sorts


@pytest.mark.server
async def test_whatever_is_sent_is_answered_and_so_is_the_good_request_beside_it(service):
    since = service.log.stat().st_size
    outcome = await send_all(service.address, short(), service.family())
    assert outcome.wrong == []
    assert leftovers(service, since) == []
    assert outcome.statuses["200"] and sum(outcome.statuses.values()) == len(short())
