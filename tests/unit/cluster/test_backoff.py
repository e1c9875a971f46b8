"""CrashLoopBackOff, as tables from kubernetes-semantics 3.5."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.cluster.backoff import (
    BackOff,
    Limits,
    Wake,
    crash_loop_delays_s,
    crash_loop_limits,
    do_back_off,
    restart_delays_s,
    wake_after_s,
)


def test_a_container_that_ends_by_itself() -> None:
    assert restart_delays_s(9) == [0, 10, 20, 40, 80, 160, 300, 300, 300]


@pytest.mark.parametrize(
    ("max_period_s", "reduced", "limits"),
    [
        (None, False, Limits(10, 300)),
        (60, False, Limits(10, 60)),
        (5, False, Limits(5, 5)),
        (None, True, Limits(1, 60)),
        (1, False, Limits(1, 1)),
    ],
)
def test_limits_of_the_cap_settings(max_period_s: float | None, reduced: bool, limits: Limits) -> None:
    assert crash_loop_limits(max_period_s, reduced_decay=reduced) == limits


def test_a_cap_beyond_the_default_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 300"):
        crash_loop_limits(301)


def test_a_lower_cap_flattens_the_ladder() -> None:
    assert restart_delays_s(5, Limits(10, 30)) == [0, 10, 20, 30, 30]
    assert restart_delays_s(8, Limits(1, 60)) == [0, 1, 2, 4, 8, 16, 32, 60]


def test_no_entry_is_made_without_an_earlier_instance() -> None:
    backoff = BackOff()
    assert do_back_off(backoff, "pod", None, now=5.0) == 0.0
    assert backoff.entries == {}


def test_the_check_counts_from_the_end_of_the_instance() -> None:
    backoff = BackOff()
    assert do_back_off(backoff, "pod", finished_at=0.0, now=1.0) == 0.0  # entry 10
    assert do_back_off(backoff, "pod", finished_at=2.0, now=5.0) == 7.0
    assert do_back_off(backoff, "pod", finished_at=2.0, now=12.0) == 0.0
    assert backoff.get_s("pod") == 20.0


def test_an_instance_that_ran_beyond_two_caps_starts_afresh() -> None:
    backoff = BackOff()
    for finished_at in (0.0, 20.0, 60.0):
        do_back_off(backoff, "pod", finished_at, now=finished_at + 20.0)
    assert backoff.get_s("pod") == 40.0
    assert do_back_off(backoff, "pod", finished_at=680.0, now=680.0) > 0.0  # 600 s after the entry: still counts
    assert do_back_off(backoff, "pod", finished_at=680.1, now=680.1) == 0.0
    assert backoff.get_s("pod") == 10.0


def test_two_restarts_of_a_killed_container_are_free() -> None:
    """The snapshot of the sync that kills shows the instance before: kills every 14 s, as recorded in live_*."""
    backoff, waits, before = BackOff(), [], None
    for killed_at in (14.0, 28.0, 42.0, 56.0):
        waits.append(do_back_off(backoff, "pod", before, now=killed_at))
        before = killed_at
    assert waits == [0.0, 0.0, 0.0, 6.0]  # 20 s after the one before; once caught, from its own end
    assert do_back_off(backoff, "pod", before, now=56.5) == 19.5


def test_the_sweep_forgets_an_entry_even_while_a_container_waits() -> None:
    """An instance that ran over 300 s and waits at the 300 s level restarts early, back at the bottom."""
    delays = crash_loop_delays_s([1.0] * 8 + [350.0, 1.0])
    assert delays[6:8] == [300.0, 300.0]
    assert delays[8] == pytest.approx(600.0 - 350.0)
    assert delays[9] == 10.0


def test_the_sweep_keeps_what_is_young() -> None:
    backoff = BackOff()
    backoff.next("pod", 0.0, now=0.0)
    backoff.sweep(600.0)
    assert backoff.get_s("pod") == 10.0
    backoff.sweep(600.1)
    assert backoff.get_s("pod") == 0.0


@pytest.mark.parametrize(
    ("rule", "remaining_s", "least", "most"),
    [
        (Wake.PERIODIC, 3.0, 10.0, 15.0),
        (Wake.PERIODIC, 300.0, 10.0, 15.0),
        (Wake.REMAINING, 20.0, 20.0, 30.0),
        (Wake.REMAINING, 300.0, 60.0, 90.0),
    ],
)
def test_wake_up_slack(rule: Wake, remaining_s: float, least: float, most: float) -> None:
    assert wake_after_s(rule, remaining_s, 0.0) == least
    assert wake_after_s(rule, remaining_s, 1.0) == most


@given(st.lists(st.floats(0.0, 2000.0), max_size=20), st.sampled_from([Limits(), Limits(1, 60), Limits(5, 5)]))
def test_no_delay_exceeds_the_cap_and_the_first_is_free(runs_s: list[float], limits: Limits) -> None:
    delays = crash_loop_delays_s(runs_s, limits)
    assert all(0.0 <= delay <= limits.cap_s + 1e-9 for delay in delays)
    assert delays[:1] in ([], [0.0])
