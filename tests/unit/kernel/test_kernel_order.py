"""Heap, timers and queues hand out what they hold in the order of MODEL.md 2."""

import numba
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from planekit import config

from zdsim.kernel import KernelPlane
from zdsim.kernel.heap import close_hole, push
from zdsim.kernel.layout import FIRST_POD_QUEUE, NONE, attempt, chain, event, queue
from zdsim.kernel.queues import enqueue, first, leave
from zdsim.kernel.timers import arm, disarm, earliest
from zdsim.plane.vocabulary import Rank

TABLES = KernelPlane(config(), rows=64)
TABLES._grow("events", 256)
WORLD = TABLES._world
TIMEOUTS = [Rank.POOL_TIMEOUT, Rank.STATEMENT_TIMEOUT, Rank.CONNECT_TIMEOUT, Rank.REQUEST_TIMEOUT]


@numba.njit
def _play_heap(world, take, times, keys, out):  # type: ignore[no-untyped-def]
    """Push everything; before each push take the first if `take`. Then take the rest."""
    w = world[0]
    n = 0
    for i in range(times.size):
        if take[i] and w["n_events"] > 0:
            out[n] = event(w, 0)["slot"]
            n += 1
            w["hole"] = 1
        push(w, times[i], keys[i], np.int64(i))
    while w["n_events"] > 0:
        out[n] = event(w, 0)["slot"]
        n += 1
        w["hole"] = 1
        close_hole(w)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 1 << 61)), min_size=1, max_size=60))
def test_heap(items: list[tuple[bool, int, int]]) -> None:
    take = np.array([it[0] for it in items])
    times = np.array([it[1] for it in items], dtype=np.float64)
    keys = np.array([it[2] for it in items], dtype=np.int64)
    out = np.full(len(items), -1, dtype=np.int64)
    _play_heap(WORLD, take, times, keys, out)

    order = [(times[i], int(keys[i])) for i in out]
    assert sorted(out) == list(range(len(items)))
    expected: list[tuple[float, int]] = []
    held: list[tuple[float, int]] = []
    for i in range(len(items)):
        if take[i] and held:
            expected.append(held.pop(0))
        held = sorted([*held, (times[i], int(keys[i]))])
    assert order == expected + held


@numba.njit
def _play_timers(world, ranks, times, keys, cancelled, out):  # type: ignore[no-untyped-def]
    w = world[0]
    w["timer_t"] = np.inf
    for i in range(times.size):
        attempt(w, i)["key"] = keys[i]
        arm(w, np.int64(ranks[i]), np.int64(2 * i), times[i])
    for i in range(times.size):
        if cancelled[i]:
            disarm(w, np.int64(2 * i))
            disarm(w, np.int64(2 * i))  # once more is no harm
    n = 0
    while True:
        rank = earliest(w)
        if rank == NONE:
            return n
        row = chain(w, rank)["head"]
        disarm(w, row)
        out[n] = row >> 1
        n += 1


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(TIMEOUTS), st.integers(0, 2), st.booleans()), max_size=40),
    st.permutations(list(range(40))),
)
def test_timers_ring_by_time_rank_and_attempt(items: list[tuple[Rank, int, bool]], keys: list[int]) -> None:
    """Each kind is armed in order of time, as constant delays are; attempts come in any order."""
    times = np.cumsum([it[1] for it in items], dtype=np.float64)
    ranks = np.array([it[0] for it in items], dtype=np.int64)
    cancelled = np.array([it[2] for it in items], dtype=np.bool_)
    out = np.zeros(len(items), dtype=np.int64)
    n = _play_timers(WORLD, ranks, times, np.array(keys[: len(items)], dtype=np.int64), cancelled, out)
    wanted = sorted((times[i], ranks[i], keys[i], i) for i in range(len(items)) if not cancelled[i])
    assert list(out[:n]) == [it[-1] for it in wanted]


@numba.njit
def _play_queue(world, n, leavers, out):  # type: ignore[no-untyped-def]
    w = world[0]
    number = np.int64(FIRST_POD_QUEUE)
    for i in range(n):
        enqueue(w, number, np.int64(i))
    for slot in leavers:
        leave(w, number, slot)
    n = 0
    while queue(w, number)["n"] > 0:
        out[n] = first(w, number)
        n += 1
    return n


@settings(deadline=None)
@given(st.integers(0, 30), st.data())
def test_queue_is_first_in_first_out_and_may_be_left(n: int, data: st.DataObject) -> None:
    leavers = data.draw(st.lists(st.sampled_from(range(n)), unique=True)) if n else []
    out = np.zeros(n, dtype=np.int64)
    m = _play_queue(WORLD, n, np.array(leavers, dtype=np.int64), out)
    assert list(out[:m]) == [i for i in range(n) if i not in leavers]
