"""The page that says what held."""

from __future__ import annotations

from tests.faults.record import Outcome, page


def test_the_page_tells_what_held_failed_and_was_not_tried():
    outcomes = {
        "tests/faults/test_a.py::test_nothing_is_lost": Outcome("held", 2.4),
        "tests/faults/test_b.py::test_it_comes_back[x]": Outcome("FAILED", 1.0),
        "tests/faults/test_b.py::test_a_full_disk": Outcome("not tried", 0.0, "Skipped: root alone."),
    }
    text = page(outcomes, short=True)
    assert "- 1 of 3 promises held" in text
    assert "| nothing is lost (test_a.py) | held | 2 s |" in text
    assert "| it comes back[x] (test_b.py) | FAILED | 1 s |" in text
    assert "| a full disk (test_b.py) | not tried (root alone.) | 0 s |" in text
