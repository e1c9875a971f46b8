"""The grace period, as tables from kubernetes-semantics 4.1 and facts 1 and 20 of section 6."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.cluster.termination import (
    KillPlan,
    OnSigterm,
    accepted_grace_s,
    effective_grace_s,
    exit_code,
    kill_plan,
    node_grace_s,
    shortened_grace_s,
    shortened_plan,
    timeline,
)

DRAIN, EXIT, LAME, IGNORE = OnSigterm.DRAIN, OnSigterm.EXIT, OnSigterm.LAME_DUCK, OnSigterm.IGNORE


@pytest.mark.parametrize(
    ("grace_s", "prestop_s", "sigterm", "sigkill"),
    [
        (30, None, 0, 30),
        (30, 5, 5, 30),
        (30, 40, 30, 32),  # an over-long hook leaves 2 s
        (30, 29.5, 29.5, 31.5),
        (10, 4, 4, 10),
        (10, 4.9, 4.9, 10.9),  # part-seconds of the hook are free
        (3, 10, 3, 5),  # recorded: SIGTERM at 3.0-3.6, SIGKILL 2.0 s later
        (1, None, 0, 2),
        (5, None, 0, 5),
        (0, 5, 0, 2),  # no time for a hook
        (1, 5, 1, 3),
    ],
)
def test_hook_and_signal_share_one_clock(
    grace_s: float, prestop_s: float | None, sigterm: float, sigkill: float
) -> None:
    plan = kill_plan(0.0, grace_s, prestop_s)
    assert (plan.sigterm_at, plan.sigkill_at) == pytest.approx((sigterm, sigkill))


@given(st.floats(1.0, 3600.0), st.none() | st.floats(0.0, 7200.0))
def test_sigkill_comes_within_two_seconds_of_the_grace_period(grace_s: float, prestop_s: float | None) -> None:
    plan = kill_plan(0.0, grace_s, prestop_s)
    assert plan.sigkill_at - plan.sigterm_at + 1e-9 >= 2.0
    assert max(2.0, grace_s) - 1e-9 <= plan.sigkill_at <= grace_s + 2.0 + 1e-9


@pytest.mark.parametrize(
    ("behaviour", "needs_s", "exit_at", "code"),
    [
        (DRAIN, 3.0, 3.0, 0),
        (DRAIN, 31.0, 30.0, 137),
        (EXIT, 3.0, 0.0, 143),
        (LAME, 3.0, 13.0, 0),
        (LAME, 25.0, 30.0, 137),
        (IGNORE, 0.0, 30.0, 137),
    ],
)
def test_exit_code_by_behaviour(behaviour: OnSigterm, needs_s: float, exit_at: float, code: int) -> None:
    end = timeline(behaviour=behaviour, needs_s=needs_s, lame_duck_s=10.0, handled=False)
    assert (end.exit_at, end.exit_code) == (exit_at, code)


def test_a_shell_as_pid_1_takes_the_whole_grace_period() -> None:
    """Recorded elsewhere: 30.1 s and 137 against 0.1 s and 0 for a shell that traps the signal."""
    assert (timeline(behaviour=IGNORE).exit_at, timeline(behaviour=IGNORE).exit_code) == (30.0, 137)
    assert (timeline(behaviour=EXIT).exit_at, timeline(behaviour=EXIT).exit_code) == (0.0, 0)


def test_exit_codes() -> None:
    assert exit_code(EXIT, in_time=True, handled=False) == 143
    assert exit_code(EXIT, in_time=True) == 0
    assert {exit_code(b, in_time=False) for b in OnSigterm} == {137}


def test_the_timeline_of_an_ordinary_delete() -> None:
    end = timeline(10.0, grace_s=30.0, prestop_s=5.0, needs_s=1.0, watch_s=0.1, removal_s=1.0)
    assert (end.t0, end.t1, end.t2, end.t3) == pytest.approx((10.0, 10.1, 10.1, 15.1))
    assert (end.t4, end.exit_at, end.t5) == pytest.approx((40.1, 16.1, 17.1))


def test_a_forced_delete_removes_the_object_at_once_and_the_node_still_kills() -> None:
    end = timeline(0.0, grace_s=0.0, behaviour=IGNORE, removal_s=1.0)
    assert (end.t5, end.t3, end.exit_at, end.exit_code) == (0.0, 0.0, 2.0, 137)
    assert timeline(0.0, grace_s=0.0, prestop_s=10.0, behaviour=IGNORE).exit_at == 3.0
    assert node_grace_s(0.0) == 1.0


def test_which_grace_period_counts() -> None:
    assert effective_grace_s() == 30.0
    assert effective_grace_s(spec_s=60.0) == 60.0
    assert effective_grace_s(spec_s=60.0, requested_s=5.0) == 5.0
    assert effective_grace_s(spec_s=60.0, probe_s=7.0) == 7.0
    assert accepted_grace_s(30.0, scheduled=False, terminal=False) == 0.0
    assert accepted_grace_s(30.0, scheduled=True, terminal=True) == 0.0
    assert accepted_grace_s(30.0, scheduled=True, terminal=False) == 30.0
    assert shortened_grace_s(30.0, 60.0) == 30.0
    assert shortened_grace_s(30.0, 5.0) == 5.0


@pytest.mark.parametrize(
    ("prestop_s", "seen_s", "grace_s", "sigterm", "sigkill"),
    [
        (None, 5.0, 3.0, 0.0, 8.0),
        (None, 29.0, 10.0, 0.0, 30.0),  # never later than it would have been
        (None, 5.0, 0.0, 0.0, 7.0),
        (20.0, 5.0, 4.0, 9.0, 11.0),  # the hook may use the new period, 2 s are left after it
        (20.0, 25.0, 1.0, 20.0, 27.0),
    ],
)
def test_a_second_delete_can_only_shorten(
    prestop_s: float | None, seen_s: float, grace_s: float, sigterm: float, sigkill: float
) -> None:
    plan = shortened_plan(kill_plan(0.0, 30.0, prestop_s), seen_s, grace_s)
    assert (plan.sigterm_at, plan.sigkill_at) == (sigterm, sigkill)


@given(st.floats(2.0, 100.0), st.none() | st.floats(0.0, 100.0), st.floats(0.0, 100.0), st.floats(0.0, 100.0))
def test_shortening_never_delays(grace_s: float, prestop_s: float | None, seen_s: float, second_s: float) -> None:
    before = kill_plan(0.0, grace_s, prestop_s)
    after: KillPlan = shortened_plan(before, seen_s, second_s)
    assert after.sigterm_at <= before.sigterm_at
    assert after.sigkill_at <= before.sigkill_at
