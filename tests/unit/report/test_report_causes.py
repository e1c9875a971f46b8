"""Every cause has its sentence; the numbers in it are the record's."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_record import rolling_record, silent_record

from zdsim.plane.vocabulary import Cause, Outcome
from zdsim.report.causes import Facts, explain, story


@pytest.mark.parametrize("cause", list(Cause))
@pytest.mark.parametrize(
    "facts",
    [Facts(1), Facts(1204), Facts(5, cut=5), Facts(5, cut=2), Facts(5, 2, 0.48, 1.1), Facts(1, 0, 0.48, 0.48)],
)
def test_every_cause_has_a_whole_sentence(cause: Cause, facts: Facts) -> None:
    """It continues "1,204 requests (68 %) ..." and ends; everything is ASCII, so that every terminal can show it."""
    what, fix = story(cause, facts)
    assert what.isascii()
    assert fix.isascii()
    assert what.endswith(".")
    assert what[0].islower()
    assert fix.endswith(".")
    assert ".." not in what + fix
    assert "  " not in what + fix


@pytest.mark.parametrize("cause", list(Cause))
def test_one_request_is_not_many(cause: Cause) -> None:
    what, _ = story(cause, Facts(1))
    assert not what.startswith("were")
    assert " their " not in what


def test_all_causes_are_told_apart() -> None:
    assert len({story(cause, Facts(2))[0] for cause in Cause}) == len(Cause)


def test_a_stale_view_is_told_with_its_numbers_and_the_sleep_that_outlasts_it() -> None:
    what, fix = story(Cause.DRAINING, Facts(1204, 0, 0.48, 1.1))
    assert "0.48 s" in what
    assert "1.1 s at most" in what
    assert fix == "A preStop sleep longer than 1.1 s removes them."


def test_what_was_cut_off_is_told_apart_from_what_came_too_late() -> None:
    assert "cut off before the answer" in story(Cause.KILLED_AT_GRACE_END, Facts(5, cut=5))[0]
    assert ": 2 cut off before the answer, 3 sent to it afterwards" in story(Cause.CRASHED, Facts(5, cut=2))[0]


def test_the_most_frequent_cause_comes_first_and_shares_sum_to_one() -> None:
    record = rolling_record(n_windows=300)
    found = explain(record.counts)
    assert [why.count for why in found] == sorted((why.count for why in found), reverse=True)
    assert sum(why.share for why in found) == pytest.approx(1.0)
    assert found[0].cause is Cause.DRAINING
    assert found[0].sentence.startswith(f"{found[0].count:,} requests (")


def test_nothing_dropped_needs_no_cause() -> None:
    assert explain(silent_record().counts) == []


def test_all_causes_at_once() -> None:
    record = silent_record().counts
    causes = np.ones_like(record.causes)
    causes[Outcome.OK] = 0
    assert len(explain(replace(record, causes=causes))) == len(Cause)
