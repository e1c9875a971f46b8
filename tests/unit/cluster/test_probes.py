"""Ticks of a probe worker, as tables from kubernetes-semantics 3.3 and 3.4."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.cluster.probes import (
    Call,
    ProbeKind,
    ProbeSpec,
    Result,
    Seen,
    WorkerState,
    begin_tick,
    do_probe,
    end_tick,
    is_settled,
    ready_bounds_s,
    skip_ticks,
    startup_allowance_s,
    unready_bounds_s,
)

R, L, S = ProbeKind.READINESS, ProbeKind.LIVENESS, ProbeKind.STARTUP
OK, FAIL, ERROR = Call.SUCCESS, Call.FAILURE, Call.ERROR
UP = Seen(container="a", running=True)
SETTINGS = st.builds(
    ProbeSpec, success_threshold=st.integers(1, 4), failure_threshold=st.integers(1, 4), period_s=st.integers(1, 20)
)


def verdicts(kind: ProbeKind, spec: ProbeSpec, calls: list[Call], seen: Seen = UP) -> list[Result | None]:
    """Cached result after each tick."""
    state, cached = WorkerState(), []
    for call in calls:
        state = do_probe(kind, spec, state, seen, now=1000.0, call=call).state
        cached.append(state.cache)
    return cached


def test_defaults_are_those_of_the_api_server() -> None:
    spec = ProbeSpec()
    assert (spec.initial_delay_s, spec.period_s, spec.timeout_s) == (0.0, 10.0, 1.0)
    assert (spec.success_threshold, spec.failure_threshold, spec.grace_s) == (1, 3, None)


@pytest.mark.parametrize(
    ("kind", "spec", "n_problems"),
    [
        (R, ProbeSpec(), 0),
        (R, ProbeSpec(success_threshold=3), 0),
        (L, ProbeSpec(success_threshold=2), 1),
        (S, ProbeSpec(success_threshold=2), 1),
        (L, ProbeSpec(grace_s=5.0), 0),
        (R, ProbeSpec(grace_s=5.0), 1),
        (S, ProbeSpec(grace_s=0.0), 1),
        (R, ProbeSpec(initial_delay_s=-1, period_s=0, timeout_s=0, success_threshold=0, failure_threshold=0), 5),
    ],
)
def test_limits(kind: ProbeKind, spec: ProbeSpec, n_problems: int) -> None:
    assert len(spec.problems(kind)) == n_problems


@pytest.mark.parametrize(
    ("kind", "first"), [(R, Result.FAILURE), (L, Result.SUCCESS), (S, Result.UNKNOWN)], ids=["ready", "live", "startup"]
)
def test_a_new_container_begins_with_the_initial_value(kind: ProbeKind, first: Result) -> None:
    tick = begin_tick(kind, ProbeSpec(), WorkerState(), UP, now=0.0)
    assert tick.state.cache is first
    assert tick.updates == (first,)


@pytest.mark.parametrize(
    ("seen", "kind", "probe", "ends"),
    [
        (Seen(container=None, running=False), R, False, False),
        (Seen(container="a", running=True), R, True, False),
        (Seen(container="a", running=True, terminal=True), R, False, True),
        (Seen(container="a", running=False), R, False, False),
        (Seen(container="a", running=False, will_restart=False), R, False, True),
        (Seen(container="a", running=True, deleting=True), R, True, False),
        (Seen(container="a", running=True, deleting=True), L, False, True),
        (Seen(container="a", running=True, deleting=True), S, False, True),
        (Seen(container="a", running=True, started=False), R, False, False),
        (Seen(container="a", running=True, started=False), L, False, False),
        (Seen(container="a", running=True, started=False), S, True, False),
        (Seen(container="a", running=True, started=True), S, False, False),
    ],
)
def test_who_is_probed(seen: Seen, kind: ProbeKind, probe: bool, ends: bool) -> None:
    tick = begin_tick(kind, ProbeSpec(), WorkerState(), seen, now=1000.0)
    assert (tick.probe, tick.ends) == (probe, ends)


def test_deletion_counts_as_success_for_liveness_so_that_nothing_kills_a_draining_container() -> None:
    failed = WorkerState(container="a", cache=Result.FAILURE)
    tick = begin_tick(L, ProbeSpec(), failed, Seen(container="a", running=True, deleting=True), now=0.0)
    assert tick.updates == (Result.SUCCESS,)


@pytest.mark.parametrize(
    ("started_at", "delay", "now", "probe"),
    [
        (10.0, 5, 14.99, False),
        (10.0, 5, 15.0, True),
        (10.9, 5, 15.0, True),  # the start is kept as 10: 0.9 s early
        (10.9, 5, 14.95, False),
        (10.2, 0, 10.2, True),
    ],
)
def test_the_initial_delay_counts_whole_seconds(started_at: float, delay: float, now: float, probe: bool) -> None:
    seen = Seen(container="a", running=True, started_at=started_at)
    assert begin_tick(R, ProbeSpec(initial_delay_s=delay), WorkerState(), seen, now).probe is probe


def test_thresholds() -> None:
    no, yes = Result.FAILURE, Result.SUCCESS
    spec = ProbeSpec(success_threshold=2, failure_threshold=3)
    assert verdicts(R, spec, [OK, OK, FAIL, FAIL, FAIL, OK, OK]) == [no, yes, yes, yes, no, no, yes]
    assert verdicts(R, spec, [OK, OK, FAIL, FAIL, OK, FAIL, FAIL]) == [no, yes, yes, yes, yes, yes, yes]
    assert verdicts(R, spec, [OK, ERROR, OK]) == [no, no, yes]  # a prober's own error moves no counter
    assert verdicts(L, ProbeSpec(), [OK, FAIL, FAIL, FAIL]) == [yes, yes, yes, no]


def test_run_lengths_outlive_a_restart_except_through_hold() -> None:
    spec = ProbeSpec(success_threshold=3)
    state = WorkerState()
    for _ in range(5):
        state = do_probe(R, spec, state, UP, 0.0, OK).state
    again = do_probe(R, spec, state, Seen(container="b", running=True), 0.0, OK)
    assert again.updates == (Result.FAILURE, Result.SUCCESS)  # ready on its first success

    state = WorkerState()
    for _ in range(3):
        state = do_probe(L, ProbeSpec(), state, UP, 0.0, FAIL).state
    assert state.hold
    assert not begin_tick(L, ProbeSpec(), state, UP, 0.0).probe
    again = do_probe(L, ProbeSpec(), state, Seen(container="b", running=True), 0.0, FAIL)
    assert again.state.cache is Result.SUCCESS
    assert again.state.run == 1


def test_a_decided_startup_probe_rests() -> None:
    seen = Seen(container="a", running=True, started=False)
    for calls, result in (([FAIL, OK], Result.SUCCESS), ([FAIL] * 3, Result.FAILURE)):
        state = WorkerState()
        for call in calls:
            state = do_probe(S, ProbeSpec(), state, seen, 0.0, call).state
        assert (state.cache, state.hold, state.run) == (result, True, 0)


def test_a_container_that_is_not_running_is_a_failure() -> None:
    state = do_probe(R, ProbeSpec(), WorkerState(), UP, 0.0, OK).state
    tick = begin_tick(R, ProbeSpec(), state, Seen(container="a", running=False), 0.0)
    assert tick.updates == (Result.FAILURE,)
    assert not tick.probe


def test_bounds() -> None:
    spec = ProbeSpec(period_s=10, timeout_s=1, success_threshold=2, failure_threshold=3)
    assert ready_bounds_s(spec) == (10.0, 21.0)
    assert unready_bounds_s(spec) == (20.0, 31.0)
    assert startup_allowance_s(ProbeSpec(initial_delay_s=5, period_s=2, failure_threshold=30)) == 65.0


def test_a_call_that_is_due_needs_a_result() -> None:
    with pytest.raises(ValueError, match="its result is needed"):
        do_probe(R, ProbeSpec(), WorkerState(), UP, 0.0)


@given(SETTINGS, st.lists(st.sampled_from([OK, FAIL]), max_size=30))
def test_the_verdict_is_the_last_long_enough_run(spec: ProbeSpec, calls: list[Call]) -> None:
    expected, run, last = Result.FAILURE, 0, None
    state = begin_tick(R, spec, WorkerState(), UP, 0.0).state
    for call in calls:
        run, last = (run + 1 if call is last else 1), call
        if run >= (spec.success_threshold if call is OK else spec.failure_threshold):
            expected = Result.SUCCESS if call is OK else Result.FAILURE
        state = end_tick(R, spec, state, call).state
        assert state.cache is expected


@given(SETTINGS, st.lists(st.sampled_from([OK, FAIL]), min_size=1, max_size=20), st.integers(1, 50))
def test_skipping_ticks_of_a_settled_worker_is_ticking(spec: ProbeSpec, calls: list[Call], n: int) -> None:
    state = begin_tick(R, spec, WorkerState(), UP, 0.0).state
    for call in calls:
        state = end_tick(R, spec, state, call).state
    if is_settled(R, spec, state, calls[-1]):
        ticked = state
        for _ in range(n):
            tick = do_probe(R, spec, ticked, UP, 0.0, calls[-1])
            assert tick.updates == ()
            ticked = tick.state
        assert skip_ticks(state, n) == ticked
