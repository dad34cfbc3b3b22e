"""Leaving one group out gives what the others give by themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.leaving_out import Vote, without_each
from service.domain.sentiment import Prediction, normalised
from service.domain.timeline import Moment, average

moments = st.builds(
    lambda start, length, quality, parts: Moment(start, start + length, Prediction(normalised(parts)), quality),
    st.floats(0, 1e4),
    st.sampled_from([0.0, 0.5, 4.0]),
    st.floats(0, 1),
    st.tuples(*[st.floats(0.01, 1)] * 3),
)


@given(st.lists(st.lists(moments, max_size=4), min_size=1, max_size=6))
def test_it_is_the_average_of_all_other_moments(groups: list[list[Moment]]) -> None:
    left_out = without_each([[Vote.of(moment) for moment in group] for group in groups], 0.7)
    for place, found in enumerate(left_out):
        others = average(moment for other in groups[:place] + groups[place + 1 :] for moment in other)
        if others is None:
            assert found is None
            continue
        assert found is not None
        assert found.prediction.probabilities == pytest.approx(others.prediction.probabilities)
        assert found.quality == pytest.approx(others.quality)
        assert found.reliability == 0.7


def test_no_groups_give_nothing() -> None:
    assert without_each([], 1.0) == []
