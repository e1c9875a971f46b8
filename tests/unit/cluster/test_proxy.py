"""The pace of kube-proxy, as tables from kubernetes-semantics 4.2."""

import itertools
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.cluster.proxy import Pace, SyncRunner, next_sync_s, programmed_at

CHANGES = st.lists(st.floats(0.0, 100.0), min_size=1, max_size=30).map(sorted)


@pytest.mark.parametrize(
    ("wanted_at", "last_end", "min_sync_s", "begins"),
    [(5.0, -inf, 1.0, 5.0), (5.0, 3.0, 1.0, 5.0), (5.0, 4.5, 1.0, 5.5), (5.0, 4.9, 0.0, 5.0)],
)
def test_not_sooner_than_the_minimum_after_the_end_of_the_last(
    wanted_at: float, last_end: float, min_sync_s: float, begins: float
) -> None:
    assert next_sync_s(wanted_at, last_end, min_sync_s) == begins


def test_changes_coalesce() -> None:
    assert programmed_at([0.0, 0.5, 0.9, 1.5]) == [0.0, 1.0, 1.0, 2.0]
    assert programmed_at([0.0, 0.1], sync_s=0.5) == [0.5, 2.0]  # the pause counts from the end of a sync
    assert programmed_at([0.0, 0.1], pace=Pace(min_sync_s=0.0)) == [0.0, 0.1]


@given(CHANGES, st.floats(0.0, 2.0), st.floats(0.0, 5.0))
def test_every_change_is_programmed_within_two_syncs_and_a_pause(
    changes: list[float], sync_s: float, min_sync_s: float
) -> None:
    ends = programmed_at(changes, sync_s, Pace(min_sync_s=min_sync_s))
    assert ends == sorted(ends)
    for at, end in zip(changes, ends, strict=True):
        assert at + sync_s - 1e-9 <= end <= at + 2 * sync_s + min_sync_s + 1e-9
    distinct = sorted(set(ends))
    assert all(b - a >= min_sync_s - 1e-9 for a, b in itertools.pairwise(distinct))


def test_the_runner_keeps_the_same_pace_and_retries() -> None:
    runner = SyncRunner()
    assert runner.next_at == inf
    runner.asked(0.0)
    assert runner.next_at == 0.0
    runner.began(0.0)
    runner.asked(0.05)
    assert runner.next_at == inf
    runner.ended(0.1)
    assert runner.next_at == pytest.approx(1.1)
    runner.began(1.1)
    runner.ended(1.2, failed=True)
    assert runner.next_at == pytest.approx(31.2)


@given(CHANGES, st.floats(0.0, 2.0))
def test_runner_and_table_agree(changes: list[float], sync_s: float) -> None:
    runner, waiting = SyncRunner(), 0
    pending = list(changes)
    done_at = inf
    programmed: list[float] = []
    while pending or waiting or done_at < inf:
        now = min(pending[0] if pending else inf, runner.next_at, done_at)
        if done_at == now:
            runner.ended(now)
            done_at = inf
        elif pending and pending[0] == now:
            runner.asked(pending.pop(0))
            waiting += 1
        else:
            runner.began(now)
            done_at = now + sync_s
            programmed += [done_at] * waiting
            waiting = 0
    assert programmed == pytest.approx(programmed_at(changes, sync_s))
