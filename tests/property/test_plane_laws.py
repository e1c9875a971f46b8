"""Laws of the request plane: whatever happens, these hold, for each plane (MODEL.md, "The life of a request")."""

import heapq
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planedraws import DURATION_S, scenarios
from planekit import Call, Played, Script, config, differences, exponential, lognormal, play, serving
from planeunder import PLANES, MakePlane, examples

from zdsim.plane.config import NEVER, PlaneConfig
from zdsim.plane.histogram import bucket
from zdsim.plane.laws import LawTable, constant
from zdsim.plane.traffic import Arrivals
from zdsim.plane.vocabulary import (
    USER_ACTIVE,
    USER_EXPOSED,
    USER_HARMED,
    Algorithm,
    Cause,
    Outcome,
    RouterMode,
    SignalKind,
)

UNTIL_S = 60.0  # long after the last request and call

pytestmark = pytest.mark.parametrize("make", PLANES)


@examples(25)
@given(scenario=scenarios())
def test_the_books_balance(make: MakePlane, scenario: tuple[PlaneConfig, Script]) -> None:
    """Every request ends exactly once or is open; windows, causes, users and rows tell the same."""
    made, script = scenario
    plane = make(made)
    played = play(plane, script, UNTIL_S)
    record, log = played.record, played.record.log
    assert record.started == record.ended + plane.open_requests
    assert log.size == record.ended == np.unique(log["id"]).size
    _windows_are_the_log(made, played)
    _causes_are_the_log(made, played)
    _users_are_the_log(made, played)
    ok = log[log["outcome"] == Outcome.OK]
    assert np.array_equal(record.pod_served, np.bincount(ok["pod"], minlength=len(played.pods)))
    assert record.attempts >= int(log["attempts"].sum())
    assert record.db_peak >= record.db_connections >= 0


@examples(25)
@given(scenario=scenarios())
def test_every_row_is_possible(make: MakePlane, scenario: tuple[PlaneConfig, Script]) -> None:
    """Nothing takes negative time, too many attempts, or an answer from a process that was not there."""
    made, script = scenario
    played = play(make(made), script, UNTIL_S)
    log = played.record.log
    assert (log["end_s"] >= log["start_s"]).all()
    assert (np.diff(log["end_s"]) >= 0.0).all()
    assert ((log["attempts"] >= 1) & (log["attempts"] <= made.max_attempts)).all()
    no_pod = log["pod"] < 0
    assert np.array_equal(no_pod, log["outcome"] == Outcome.NO_ENDPOINT)
    assert np.array_equal(no_pod, log["revision"] == made.n_revisions)
    assert np.array_equal(log["cause"] == Cause.NONE, log["outcome"] == Outcome.OK)
    answered = np.isin(log["outcome"], [Outcome.OK, Outcome.APP_ERROR, Outcome.DB_ERROR])
    for row in log[answered]:
        lives = played.pods[row["pod"]].lives
        assert any(begin <= row["end_s"] <= end for begin, end in lives), f"{row} was answered by nobody: {lives}"
    for _, loads, open_requests in played.loads:
        assert min(loads, default=0) >= 0
        assert open_requests >= 0


@examples(25)
@given(scenario=scenarios())
def test_everything_comes_to_rest(make: MakePlane, scenario: tuple[PlaneConfig, Script]) -> None:
    """Where no process hung for ever and no database stays closed, nobody waits in the end and no worker is busy."""
    made, script = scenario
    plane = make(made)
    calls = [*script.calls, Call(40.0, "set_db_max_connections", (100,))]
    calls += [Call(41.0, "end_process", (row, Cause.CRASHED)) for row in range(4)]
    played = play(plane, replace(script, calls=tuple(calls)), UNTIL_S)
    assert plane.open_requests == 0
    assert [plane.load(row) for row in range(len(played.pods))] == [0] * len(played.pods)
    assert played.record.db_connections == 0


@examples(25)
@given(scenario=scenarios(), cuts=st.lists(st.floats(0.0, DURATION_S + 2.0), max_size=12))
def test_slicing_time_changes_nothing(make: MakePlane, scenario: tuple[PlaneConfig, Script], cuts: list[float]) -> None:
    """Advancing in slices, as control events make us do, equals advancing at once."""
    made, script = scenario
    grid = [tick / 16.0 for tick in range(0, 64, 3)]
    whole = play(make(made), script, UNTIL_S)
    sliced = play(make(made), script, UNTIL_S, cuts=[*cuts, *grid])
    assert differences(whole, sliced) == []


@examples(20)
@given(scenario=scenarios())
def test_the_same_again(make: MakePlane, scenario: tuple[PlaneConfig, Script]) -> None:
    made, script = scenario
    assert differences(play(make(made), script, UNTIL_S), play(make(made), script, UNTIL_S)) == []


@examples(25)
@given(scenario=scenarios())
def test_signals_are_true(make: MakePlane, scenario: tuple[PlaneConfig, Script]) -> None:
    """A drain that is not over at once is told by IDLE, once a process; a probe is answered at most once."""
    made, script = scenario
    played = play(make(made), script, UNTIL_S)
    times = [signal.time for signal in played.signals]
    assert times == sorted(times)
    idle = Counter(signal.pod for signal in played.signals if signal.kind is SignalKind.IDLE)
    for row, n in idle.items():
        assert n <= len(played.pods[row].lives)
    pending = sum(name == "probe" and answer == 3 for _, name, answer in played.answers)
    answered = sum(signal.kind is SignalKind.PROBE_DONE for signal in played.signals)
    assert answered <= pending


@pytest.mark.parametrize("mode", RouterMode)
@pytest.mark.parametrize("algorithm", [Algorithm.RANDOM, Algorithm.POWER_OF_TWO])
def test_luck_belongs_to_the_request(make: MakePlane, mode: RouterMode, algorithm: Algorithm) -> None:
    """Where nobody waits for anybody, other senders leave every open request exactly as it was."""
    alone = config(
        rate=80.0,
        n_revisions=2,
        errors=0.1,
        queries=2,
        query=exponential(0.01),
        backoff_s=np.array([0.05, 0.1]),
        retriable=np.ones(len(Outcome), dtype=np.bool_),
        mode=mode,
        algorithm=Algorithm.RANDOM,
        n_proxies=2,
        workers=1000,
        db_pool=1000,
        request_timeout_s=0.06,
    )
    crowd = replace(alone, n_closed=3, algorithm=algorithm if algorithm is Algorithm.RANDOM else alone.algorithm)
    script = Script((*serving([0, 0, 1], alone), Call(0.5, "set_weights", ((0.5, 0.5),))))
    by_itself = play(make(alone), script, UNTIL_S).record.log
    among_others = play(make(crowd), script, UNTIL_S).record.log
    among_others = among_others[among_others["id"] < 1 << 50]
    assert among_others.tobytes() == by_itself.tobytes()
    assert len(set(by_itself["outcome"])) > 1


def test_a_mirror_is_unheard(make: MakePlane) -> None:
    """Where nobody waits for anybody, copies change nothing for those who are copied."""
    made = config(rate=80.0, n_revisions=2, errors=0.1, workers=1000, pool=4)
    calls = [*serving([0, 0, 1], made), Call(0.0, "set_weights", ((1.0, 0.0),))]
    alone = play(make(made), Script(tuple(calls)), UNTIL_S).record
    copied = play(make(made), Script((*calls, Call(0.5, "set_mirror", (1, 0.5)))), UNTIL_S).record
    assert copied.mirrored.sum() > 30
    assert copied.mirrored[:, 1].sum() == copied.mirrored.sum()
    for name in ("counts", "users", "routed", "causes", "pod_served"):
        assert np.array_equal(getattr(alone, name), getattr(copied, name)), name
    assert alone.log.tobytes() == copied.log.tobytes()


@examples(25)
@given(
    seed=st.integers(0, 1 << 30),
    workers=st.integers(1, 6),
    kind=st.sampled_from([Arrivals.POISSON, Arrivals.BURSTY, Arrivals.DETERMINISTIC]),
    work=st.sampled_from([exponential(0.05), lognormal(0.03, 1.5), constant(0.05)]),
)
def test_one_pod_is_a_queue_with_many_servers(
    make: MakePlane, seed: int, workers: int, kind: Arrivals, work: LawTable
) -> None:
    """Kiefer and Wolfowitz (1955): whoever comes next starts when the first server is free; to the last bit."""
    made = config(
        seed=seed, rate=60.0, duration_s=4.0, arrivals=kind, work=(work,), workers=workers, request_timeout_s=NEVER
    )
    log = play(make(made), Script(tuple(serving([0], made))), UNTIL_S).record.log
    free = [0.0] * workers
    ends = {}
    for number, arrival in enumerate(made.traffic.chunks().take()):
        start = max(float(arrival["t"]), heapq.heappop(free))
        ends[number] = start + float(arrival["work_s"])
        heapq.heappush(free, ends[number])
    assert dict(zip(log["id"].tolist(), log["end_s"].tolist(), strict=True)) == ends


def test_a_later_request_changes_no_earlier_one(make: MakePlane) -> None:
    """Causality: what ended before a further arrival is as if there were none."""
    times = [k / 40.0 for k in range(80)]
    few, many = config(times_s=times, workers=1), config(times_s=[*times, *[2.0] * 50], workers=1)
    script = Script(tuple(serving([0, 0], few)))
    before, after = (play(make(it), script, UNTIL_S).record.log for it in (few, many))
    ended = int((before["end_s"] < 2.0).sum())
    assert ended > 40
    assert before[:ended].tobytes() == after[:ended].tobytes()


def _windows_are_the_log(made: PlaneConfig, played: Played) -> None:
    counts = np.zeros_like(played.record.counts)
    latency, latency_sum = np.zeros_like(played.record.latency), np.zeros_like(played.record.latency_sum)
    for row in played.record.log:
        window = min(int(row["end_s"] / made.window_s), made.n_windows - 1)
        counts[window, row["revision"], row["klass"], row["outcome"]] += 1
        if row["outcome"] == Outcome.OK:
            took = float(row["end_s"]) - float(row["start_s"])
            latency[window, row["revision"], bucket(took)] += 1
            latency_sum[window, row["revision"]] += took
    assert np.array_equal(played.record.counts, counts)
    assert np.array_equal(played.record.latency, latency)
    assert np.array_equal(played.record.latency_sum, latency_sum)


def _causes_are_the_log(made: PlaneConfig, played: Played) -> None:
    record, log = played.record, played.record.log
    bad = log[log["outcome"] != Outcome.OK]
    causes = np.zeros_like(record.causes)
    np.add.at(causes, (bad["outcome"], bad["cause"]), 1)
    assert np.array_equal(record.causes, causes)
    assert record.lost.tobytes() == bad[: made.lost_rows].tobytes()
    stale = bad[~np.isnan(bad["stale_s"])]
    assert np.array_equal(record.stale_count, np.bincount(stale["cause"], minlength=len(Cause)))
    assert (stale["stale_s"] >= 0.0).all()
    assert record.stale_max.max() == max(stale["stale_s"], default=0.0)


def _users_are_the_log(made: PlaneConfig, played: Played) -> None:
    users, log = played.record.users, played.record.log
    assert set(np.flatnonzero(users & USER_ACTIVE)) >= set(log["user"])
    if played.record.started == played.record.ended:
        assert set(np.flatnonzero(users & USER_ACTIVE)) == set(log["user"])
    assert set(np.flatnonzero(users & USER_HARMED)) == set(log["user"][log["outcome"] != Outcome.OK])
    exposing = np.append(made.exposing, False)
    answered = np.isin(log["outcome"], [Outcome.OK, Outcome.APP_ERROR, Outcome.DB_ERROR])
    assert set(np.flatnonzero(users & USER_EXPOSED)) >= set(log["user"][answered & exposing[log["revision"]]])
    if made.request_timeout_s == NEVER and not made.exposing.any():
        assert not (users & USER_EXPOSED).any()
