"""Small situations worked out by hand from MODEL.md; every plane must find the same times.

All durations are binary fractions, so the times are exact.
"""

from typing import Any

import numpy as np
import pytest
from planekit import ALL_RETRIABLE, Call, Played, Script, config, play, serving
from planeunder import PLANES, MakePlane

from zdsim.plane.config import PlaneConfig
from zdsim.plane.laws import constant
from zdsim.plane.protocol import Signal
from zdsim.plane.vocabulary import (
    USER_ACTIVE,
    USER_EXPOSED,
    USER_HARMED,
    Algorithm,
    Cause,
    Outcome,
    ProbeAnswer,
    ProbeDepth,
    RouterMode,
    SignalKind,
)

pytestmark = pytest.mark.parametrize("make", PLANES)

OK, REFUSED, RESET, TIMEOUT = Outcome.OK, Outcome.REFUSED, Outcome.RESET, Outcome.TIMEOUT


def one_by_one(work_s: float, times_s: list[float], **overrides: Any) -> PlaneConfig:
    """Requests at `times_s` that need `work_s`, pods with one worker, round robin, no patience limit in sight."""
    basic = {"workers": 1, "algorithm": Algorithm.ROUND_ROBIN, "duration_s": 10.0, "n_users": 1}
    return config(times_s=times_s, work=(constant(work_s),), **(basic | overrides))


def run(make: MakePlane, made: PlaneConfig, calls: list[Call], until: float = 30.0) -> Played:
    return play(make(made), Script(tuple(calls)), until)


def ends(played: Played) -> list[tuple[int, float, Outcome, Cause, int]]:
    """Request, end, outcome, cause, attempts, in order of end."""
    return [
        (int(row["id"]), float(row["end_s"]), Outcome(row["outcome"]), Cause(row["cause"]), int(row["attempts"]))
        for row in played.record.log
    ]


def pods(played: Played) -> list[int]:
    """Pod of each request, by number."""
    log = played.record.log
    return [int(pod) for pod in log["pod"][np.argsort(log["id"])]]


# --- workers and queue ----------------------------------------------------------------------------------------
def test_one_worker_serves_first_come_first_served(make: MakePlane) -> None:
    made = one_by_one(0.25, [0.0, 0.0, 0.0])
    played = run(make, made, serving([0], made))
    assert ends(played) == [(k, 0.25 * (k + 1), OK, Cause.NONE, 1) for k in range(3)]
    assert played.record.latency_sum.sum() == 0.25 + 0.5 + 0.75


def test_a_full_waiting_room_turns_away(make: MakePlane) -> None:
    made = one_by_one(0.25, [0.0, 0.0, 0.0], queue=1)
    played = run(make, made, serving([0], made))
    assert ends(played)[0] == (2, 0.0, Outcome.OVERFLOW, Cause.OVERLOAD, 1)


@pytest.mark.parametrize(
    ("call", "cause"),
    [
        (Call(0.0, "set_pod_factor", (0, 4.0)), Cause.SLOW_POD),
        (Call(0.0, "set_service_factor", (0, 4.0)), Cause.SLOW_REVISION),
        (Call(0.0, "hang", (0,)), Cause.HUNG),
        (Call(0.0, "set_error_rate", (0, 0, 1.0)), Cause.OVERLOAD),
    ],
)
def test_an_overflow_has_the_cause_of_the_strain(make: MakePlane, call: Call, cause: Cause) -> None:
    made = one_by_one(0.25, [0.0, 0.0, 0.0], queue=1)
    played = run(make, made, [*serving([0], made), call])
    assert ends(played)[0][2:4] == (Outcome.OVERFLOW, cause)


def test_a_cold_process_is_slow(make: MakePlane) -> None:
    """Factor 3 at age 0, 2 at 1 s, 1 at 2 s, linear between: ages 0, 0.5, 4."""
    made = one_by_one(0.125, [0.0, 0.5, 4.0], warm_factor=np.array([3.0, 2.0]))
    played = run(make, made, serving([0], made))
    assert [end for _, end, *_ in ends(played)] == [0.375, 0.5 + 0.3125, 4.125]


# --- patience -------------------------------------------------------------------------------------------------
def test_an_answer_in_the_last_instant_counts(make: MakePlane) -> None:
    made = one_by_one(0.25, [0.0, 0.0], request_timeout_s=0.25)
    assert ends(run(make, made, serving([0], made))) == [
        (0, 0.25, OK, Cause.NONE, 1),
        (1, 0.25, TIMEOUT, Cause.OVERLOAD, 1),
    ]


@pytest.mark.parametrize(("cancel", "end"), [(False, 2.0), (True, 1.5)])
def test_work_for_nobody(make: MakePlane, cancel: bool, end: float) -> None:
    """The server finishes what its client has given up, unless it notices."""
    made = one_by_one(1.0, [0.0, 0.25], request_timeout_s=2.0, cancel_on_disconnect=cancel)
    first = one_by_one(1.0, [0.0, 0.25], request_timeout_s=0.5, cancel_on_disconnect=cancel)
    assert [it[1:3] for it in ends(run(make, first, serving([0], first)))] == [(0.5, TIMEOUT), (0.75, TIMEOUT)]
    assert [it[1] for it in ends(run(make, made, serving([0], made)))] == [1.0, 2.0]
    plane = make(first)
    player = Script((*serving([0], first), Call(end - 0.125, "set_closing", (0,), (("closing", False),))))
    play(plane, player, end - 0.0625)
    assert plane.load(0) == (0 if cancel else 1)


def test_a_hung_process_lets_everybody_wait(make: MakePlane) -> None:
    made = one_by_one(0.25, [0.0, 0.5], request_timeout_s=1.0)
    calls = [*serving([0], made), Call(0.125, "hang", (0,)), Call(1.25, "end_process", (0, Cause.LIVENESS_KILLED))]
    played = run(make, made, calls)
    assert ends(played) == [(0, 1.0, TIMEOUT, Cause.HUNG, 1), (1, 1.25, RESET, Cause.LIVENESS_KILLED, 1)]
    assert played.answers[-1] == (1.25, "end_process", 1)


# --- connecting -----------------------------------------------------------------------------------------------
def test_nothing_listens_yet(make: MakePlane) -> None:
    """Refused while starting; tried again after 0.5 s, when the process is there."""
    made = one_by_one(0.25, [0.0], backoff_s=np.array([0.5]), retriable=ALL_RETRIABLE)
    calls = [*serving([0], made)]
    calls = [call if call.name != "start_process" else Call(0.375, "start_process", (0,)) for call in calls]
    assert ends(run(make, made, calls)) == [(0, 0.75, OK, Cause.NONE, 2)]
    once = one_by_one(0.25, [0.0])
    assert ends(run(make, once, calls)) == [(0, 0.0, REFUSED, Cause.STARTING, 1)]


def test_the_dead_cost_the_connect_timeout(make: MakePlane) -> None:
    made = one_by_one(0.25, [1.0], connect_timeout_s=0.5)
    calls = serving([0], made)
    calls += [Call(0.5, "end_process", (0, Cause.CRASHED)), Call(0.75, "remove_network", (0,))]
    calls += [Call(0.25, "mark_removed", (0,))]
    played = run(make, made, calls)
    assert ends(played) == [(0, 1.5, Outcome.UNREACHABLE, Cause.CRASHED, 1)]
    assert played.record.lost["stale_s"].tolist() == [0.75]
    assert played.record.stale_sum[Cause.CRASHED] == 0.75


def test_a_router_of_requests_tries_another_pod(make: MakePlane) -> None:
    """Round robin meets the dead pod first, the live one after the connect timeout; both count as routed."""
    made = one_by_one(0.25, [1.0], connect_timeout_s=0.5, retry_on_connect=1, mode=RouterMode.REQUEST)
    calls = serving([0, 0], made)
    calls += [Call(0.5, "end_process", (0, Cause.CRASHED)), Call(0.75, "remove_network", (0,))]
    played = run(make, made, calls)
    assert ends(played) == [(0, 1.75, OK, Cause.NONE, 1)]
    assert pods(played) == [1]
    assert played.record.routed.sum() == 2


def test_nobody_to_choose(make: MakePlane) -> None:
    made = one_by_one(0.25, [1.0])
    played = run(make, made, [*serving([0], made), Call(0.5, "set_view", (0, ()))])
    assert ends(played) == [(0, 1.0, Outcome.NO_ENDPOINT, Cause.NO_READY_POD, 1)]
    assert pods(played) == [-1]
    assert played.record.counts[1, 1, 0, Outcome.NO_ENDPOINT] == 1


def test_another_try_keeps_the_revision(make: MakePlane) -> None:
    """The weights change while the router waits for a dead pod; the attempt's revision was drawn before."""
    made = one_by_one(0.25, [1.0], n_revisions=2, connect_timeout_s=0.5, retry_on_connect=1, mode=RouterMode.REQUEST)
    dead = [Call(0.5, "end_process", (0, Cause.CRASHED)), Call(0.75, "remove_network", (0,))]
    turned = Call(1.25, "set_weights", ((0.0, 1.0),))
    calls = [*serving([0, 1], made), Call(0.0, "set_weights", ((1.0, 0.0),)), *dead, turned]
    assert ends(run(make, made, calls)) == [(0, 2.0, Outcome.UNREACHABLE, Cause.CRASHED, 1)]
    # Without weights at its start it belongs to no revision: the next of the whole view.
    dead += [Call(0.5, "end_process", (1, Cause.CRASHED)), Call(0.75, "remove_network", (1,))]
    calls = [*serving([0, 0, 1], made), *dead, turned]
    assert ends(run(make, made, calls)) == [(0, 2.0, Outcome.UNREACHABLE, Cause.CRASHED, 1)]


# --- kept connections -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("second", "outcome", "cause"),
    [
        (0.7, OK, Cause.NONE),  # alive
        (0.75, RESET, Cause.KEEP_ALIVE_RACE),  # the server has closed it, the client does not know yet
        (0.8, RESET, Cause.KEEP_ALIVE_RACE),
        (0.875, OK, Cause.NONE),  # the client knows: a new one
    ],
)
def test_the_server_closes_an_idle_connection(make: MakePlane, second: float, outcome: Outcome, cause: Cause) -> None:
    """Last used at 0.25, closed at 0.75, known to the client at 0.875."""
    made = one_by_one(0.25, [0.0, second], pool=1, server_idle_s=0.5, close_notice_s=0.125)
    assert ends(run(make, made, serving([0], made)))[1][2:4] == (outcome, cause)


def test_a_kept_connection_stays_with_its_pod(make: MakePlane) -> None:
    """By connection: round robin is asked once. By request: each time."""
    for mode, expected in ((RouterMode.CONNECTION, [0, 0, 0]), (RouterMode.REQUEST, [0, 1, 0])):
        made = one_by_one(0.25, [0.0, 1.0, 2.0], pool=1, mode=mode)
        assert pods(run(make, made, serving([0, 0], made))) == expected


@pytest.mark.parametrize(("closing", "expected"), [(False, [0, 0]), (True, [0, 1])])
def test_connection_close(make: MakePlane, closing: bool, expected: list[int]) -> None:
    made = one_by_one(0.25, [0.0, 1.0], pool=1)
    calls = [*serving([0, 0], made), Call(0.0, "set_closing", (0,), (("closing", closing),))]
    assert pods(run(make, made, calls)) == expected


def test_a_drain_crosses_a_request_on_a_kept_connection(make: MakePlane) -> None:
    made = one_by_one(0.25, [0.0, 1.0], pool=1, close_notice_s=0.25)
    played = run(make, made, [*serving([0], made), Call(0.875, "stop_accepting", (0,))])
    assert ends(played)[1] == (1, 1.0, RESET, Cause.EXITED_AT_SIGTERM, 1)


def test_idle_time_and_drain_end_together(make: MakePlane) -> None:
    """Closed at 0.75 for both reasons: the drain is the cause."""
    made = one_by_one(0.25, [0.0, 0.8], pool=1, server_idle_s=0.5, close_notice_s=0.125)
    played = run(make, made, [*serving([0], made), Call(0.75, "stop_accepting", (0,))])
    assert ends(played)[1] == (1, 0.8, RESET, Cause.EXITED_AT_SIGTERM, 1)


def test_connections_close_when_the_drain_begins_not_when_it_ends(make: MakePlane) -> None:
    """Two idle connections; one works until 1.25, the other was closed at 1.0625 and its client knows at 1.1875."""
    made = one_by_one(0.25, [0.0, 0.0, 1.0, 1.3125], pool=2, workers=2, close_notice_s=0.125)
    played = run(make, made, [*serving([0], made), Call(1.0625, "stop_accepting", (0,))])
    assert played.signals == [Signal(1.25, SignalKind.IDLE, pod=0, ref=0)]
    assert ends(played)[-1] == (3, 1.3125, REFUSED, Cause.EXITED_AT_SIGTERM, 1)


# --- the end of a process -------------------------------------------------------------------------------------
def test_a_drain_answers_what_it_has_and_says_so(make: MakePlane) -> None:
    made = one_by_one(0.5, [0.0, 0.0, 0.5])
    played = run(make, made, [*serving([0], made), Call(0.25, "stop_accepting", (0,))])
    assert ends(played) == [
        (0, 0.5, OK, Cause.NONE, 1),
        (2, 0.5, REFUSED, Cause.DRAINING, 1),
        (1, 1.0, OK, Cause.NONE, 1),
    ]
    assert played.signals == [Signal(1.0, SignalKind.IDLE, pod=0, ref=0)]
    assert (0.25, "stop_accepting", False) in played.answers


def test_resumable_work_goes_on_elsewhere(make: MakePlane) -> None:
    """A quarter is done when the pod is killed; the rest takes the other three."""
    for resumable, end in ((True, 1.0), (False, 1.25)):
        made = one_by_one(1.0, [0.0], resumable=np.array([resumable]), backoff_s=np.zeros(1), retriable=ALL_RETRIABLE)
        calls = [*serving([0, 0], made), Call(0.25, "end_process", (0, Cause.POD_KILLED))]
        played = run(make, made, calls)
        assert ends(played) == [(0, end, OK, Cause.NONE, 2)]


def test_an_attempt_does_the_work_that_was_left_when_it_began(make: MakePlane) -> None:
    """Request 1 waits behind request 0 on pod 0, is given up, and killed on pod 1 when a quarter is done; what still
    waits on pod 0 knows nothing of that and takes 1 s, as all four attempts."""
    patience = {"request_timeout_s": 0.5, "backoff_s": np.zeros(1), "retriable": ALL_RETRIABLE}
    made = one_by_one(1.0, [0.0, 0.0625], resumable=np.array([True]), **patience)
    calls = [*serving([0, 0, 0], made), Call(0.0, "set_view", (0, (0,))), Call(0.25, "set_view", (0, (2,)))]
    calls += [Call(0.53125, "set_view", (0, (1,))), Call(0.8125, "end_process", (1, Cause.POD_KILLED))]
    played = run(make, made, calls)
    assert ends(played) == [(1, 0.8125, RESET, Cause.POD_KILLED, 2), (0, 1.0, TIMEOUT, Cause.OVERLOAD, 2)]
    assert played.record.service_sum.sum() == 4.0


def test_only_what_may_be_repeated_is_repeated(make: MakePlane) -> None:
    """Not idempotent: a reset is final, a refusal is not (nothing was sent)."""
    careful = {"idempotent": np.array([False]), "backoff_s": np.zeros(1), "retriable": ALL_RETRIABLE}
    made = one_by_one(1.0, [0.0, 0.5], **careful)
    calls = [*serving([0, 0], made), Call(0.25, "end_process", (0, Cause.POD_KILLED))]
    calls += [Call(0.25, "set_view", (0, (0, 1)))]
    played = run(make, made, calls)
    assert ends(played) == [(0, 0.25, RESET, Cause.POD_KILLED, 1), (1, 1.5, OK, Cause.NONE, 1)]
    made = one_by_one(1.0, [0.5], **careful)
    assert ends(run(make, made, calls)) == [(0, 1.5, OK, Cause.NONE, 2)]


def test_a_budget_of_retries(make: MakePlane) -> None:
    """Two tokens at first, a quarter earned by each request: of four lost, the first two pay for a second try."""
    made = one_by_one(
        0.25, [0.0] * 4, backoff_s=np.zeros(1), retriable=ALL_RETRIABLE, retry_budget=0.0, retry_burst=2.0
    )
    played = run(make, made, serving([], made))
    assert sorted(attempts for *_, attempts in ends(played)) == [1, 1, 2, 2]
    assert played.record.attempts == 6


def test_a_memory_limit(make: MakePlane) -> None:
    made = one_by_one(0.25, [0.0, 0.5, 1.0])
    calls = [call for call in serving([0], made) if call.name != "start_process"]
    calls.append(Call(0.0, "start_process", (0,), (("memory_requests", 2),)))
    played = run(make, made, calls)
    assert played.signals == [Signal(0.5, SignalKind.MEMORY, pod=0, ref=0)]
    assert ends(played)[1] == (1, 0.5, RESET, Cause.OOM_KILLED, 1)
    assert ends(played)[2][2] is OK


# --- choosing -------------------------------------------------------------------------------------------------
def test_round_robin_goes_round(make: MakePlane) -> None:
    made = one_by_one(0.25, [0.0, 1.0, 2.0, 3.0])
    assert pods(run(make, made, serving([0, 0, 0], made))) == [0, 1, 2, 0]


def test_least_request_avoids_the_busy(make: MakePlane) -> None:
    """Pod 0 keeps the first for long; from then on the others take turns."""
    made = one_by_one(0.25, [0.0, 1.0, 2.0, 3.0], algorithm=Algorithm.LEAST_REQUEST)
    calls = [*serving([0, 0, 0], made), Call(0.0, "set_pod_factor", (0, 64.0))]
    assert pods(run(make, made, calls)) == [0, 1, 2, 1]


def test_weights_split_the_revisions_and_users_stick(make: MakePlane) -> None:
    base = config(rate=500.0, n_revisions=2, n_users=200, sticky=True, workers=1000)
    calls = [*serving([0, 1, 1], base), Call(0.0, "set_weights", ((0.75, 0.25),))]
    log = run(make, base, calls).record.log
    share = (log["revision"] == 1).mean()
    assert 0.1 < share < 0.45  # few users do most of the work
    for user in set(log["user"]):
        assert len(set(log["revision"][log["user"] == user])) == 1
    free = config(rate=500.0, n_revisions=2, workers=1000)
    share = (run(make, free, calls).record.log["revision"] == 1).mean()
    assert share == pytest.approx(0.25, abs=4.0 * np.sqrt(0.25 * 0.75 / 1000))


def test_a_matched_segment_goes_to_its_revision(make: MakePlane) -> None:
    """Whatever the weights say, half of the users, always the same, with requests of the first class only."""
    made = config(rate=400.0, n_revisions=2, n_users=400, shares=[0.5, 0.5], work=[constant(0.0)] * 2, workers=1000)
    calls = [*serving([0, 1], made), Call(0.0, "set_weights", ((1.0, 0.0),))]
    log = run(make, made, [*calls, Call(0.0, "set_match", (1, 0.5, (True, False)))]).record.log
    first = log[log["klass"] == 0]
    assert (log["revision"][log["klass"] == 1] == 0).all()
    by_user = {user: set(first["revision"][first["user"] == user]) for user in set(first["user"])}
    assert all(len(seen) == 1 for seen in by_user.values())
    share = np.mean([seen == {1} for seen in by_user.values()])
    assert share == pytest.approx(0.5, abs=4.0 * 0.5 / np.sqrt(len(by_user)))


def test_a_cookie_keeps_a_user_where_it_was(make: MakePlane) -> None:
    """Once on the new revision, always there while it has any weight; forgotten when the cookie is set anew."""
    made = one_by_one(0.25, [0.0, 1.0, 2.0, 3.0, 4.0], n_revisions=2)
    weights = [(0.0, (0.0, 1.0)), (0.5, (1.0 - 1e-9, 1e-9)), (1.5, (1.0, 0.0)), (2.5, (1.0 - 1e-9, 1e-9))]
    calls = [*serving([0, 1], made), Call(0.0, "set_cookie", (1,)), Call(3.5, "set_cookie", (1,))]
    calls += [Call(t, "set_weights", (split,)) for t, split in weights]
    assert pods(run(make, made, calls)) == [1, 1, 0, 1, 0]


def test_a_mirror_loads_its_pods_and_tells_nobody(make: MakePlane) -> None:
    """The copy takes the new pod's only worker at 0; the request that is sent there at 0.25 waits for it until 1."""
    made = one_by_one(1.0, [0.0, 0.25], n_revisions=2, mirrors=True)
    calls = [*serving([0, 1], made), Call(0.0, "set_weights", ((1.0, 0.0),)), Call(0.0, "set_mirror", (1, 1.0))]
    calls += [Call(0.125, "set_weights", ((0.0, 1.0),)), Call(0.125, "set_mirror", (-1, 1.0))]
    played = run(make, made, calls)
    assert [it[1] for it in ends(played)] == [1.0, 2.0]
    assert played.record.mirrored[1, 1, OK] == played.record.mirrored.sum() == played.record.mirror_latency.sum() == 1
    assert played.record.started == played.record.attempts == played.record.routed.sum() == 2
    assert played.record.pod_served.tolist() == [1, 1]
    assert played.record.service_sum.sum() == 3.0


def test_a_mirror_meets_what_others_meet(make: MakePlane) -> None:
    """Refused by a pod that starts; lost with a pod that dies, without counting among its victims."""
    made = one_by_one(1.0, [0.0, 1.0], n_revisions=2)
    calls = [call for call in serving([0, 1], made) if call.name != "start_process"]
    calls += [Call(0.0, "start_process", (0,)), Call(0.5, "start_process", (1,)), Call(0.0, "set_mirror", (1, 1.0))]
    calls += [Call(0.0, "set_weights", ((1.0, 0.0),)), Call(1.5, "end_process", (1, Cause.CRASHED))]
    played = run(make, made, calls)
    assert [it[1:3] for it in ends(played)] == [(1.0, OK), (2.0, OK)]
    assert played.record.mirrored[0, 1, REFUSED] == played.record.mirrored[1, 1, RESET] == 1
    assert played.record.mirrored.sum() == 2
    assert played.answers[-1] == (1.5, "end_process", 0)


def test_exposed_and_harmed_users(make: MakePlane) -> None:
    made = one_by_one(0.25, [0.0, 1.0], n_revisions=2, errors=0.0)
    calls = [*serving([0, 1], made), Call(0.0, "set_error_rate", (1, 0, 1.0))]
    played = run(make, made, calls)
    assert ends(played)[1] == (1, 1.25, Outcome.APP_ERROR, Cause.BAD_REVISION, 1)
    assert played.record.users.tolist() == [USER_ACTIVE | USER_EXPOSED | USER_HARMED]


# --- database -------------------------------------------------------------------------------------------------
def test_queries_follow_the_work(make: MakePlane) -> None:
    made = one_by_one(0.25, [0.0], queries=2, query=constant(0.125))
    played = run(make, made, serving([0], made))
    assert ends(played) == [(0, 0.5, OK, Cause.NONE, 1)]
    assert played.record.db_peak == 1
    assert played.record.query_count.sum() == 2
    assert played.record.query_sum.sum() == 0.25


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"db_pool": 1}, [(0.75, OK, Cause.NONE), (1.25, OK, Cause.NONE)]),
        ({"db_slots": 1}, [(0.75, OK, Cause.NONE), (1.25, OK, Cause.NONE)]),
        ({"db_max_connections": 1}, [(0.75, OK, Cause.NONE), (1.25, OK, Cause.NONE)]),
        (
            {"db_pool": 1, "db_pool_timeout_s": 0.25},
            [(0.5, Outcome.DB_ERROR, Cause.DB_POOL), (0.75, OK, Cause.NONE)],
        ),
        (
            {"db_max_connections": 1, "db_pool_timeout_s": 0.25},
            [(0.5, Outcome.DB_ERROR, Cause.DB_CONNECTIONS), (0.75, OK, Cause.NONE)],
        ),
        (
            {"db_statement_timeout_s": 0.25},
            [(0.5, Outcome.DB_ERROR, Cause.DB_SLOW), (0.5, Outcome.DB_ERROR, Cause.DB_SLOW)],
        ),
        (
            {"db_slots": 1, "db_statement_timeout_s": 0.5},
            [(0.75, OK, Cause.NONE), (0.75, Outcome.DB_ERROR, Cause.DB_SLOW)],
        ),
    ],
)
def test_scarce_database(make: MakePlane, limits: dict[str, Any], expected: list[tuple[float, Outcome, Cause]]) -> None:
    """Two requests reach their one query, of 0.5 s, at 0.25 s."""
    made = one_by_one(0.25, [0.0, 0.0], queries=1, query=constant(0.5), workers=2, **limits)
    assert [it[1:4] for it in ends(run(make, made, serving([0], made)))] == expected


def test_a_connection_given_back_goes_to_the_pod_that_waits(make: MakePlane) -> None:
    """One connection for two pods: pod 1 gets it when pod 0 drains, at the end of its query."""
    made = one_by_one(0.25, [0.0, 0.0], queries=1, query=constant(0.5), db_max_connections=1)
    calls = serving([0, 0], made)
    stuck = run(make, made, calls)
    assert [it[1] for it in ends(stuck)] == [0.75, 10.0]
    freed = run(make, made, [*calls, Call(0.5, "stop_accepting", (0,))])
    assert [it[1] for it in ends(freed)] == [0.75, 1.25]


def test_a_database_that_goes_down_fails_what_it_runs(make: MakePlane) -> None:
    made = one_by_one(0.25, [0.0, 0.5, 1.0], queries=1, query=constant(0.5))
    played = run(make, made, [*serving([0], made), Call(0.375, "db_down"), Call(1.0, "db_up")])
    down = (Outcome.DB_ERROR, Cause.DB_DOWN, 1)
    assert ends(played) == [(0, 0.375, *down), (1, 0.75, *down), (2, 1.75, OK, Cause.NONE, 1)]


def test_a_hung_process_keeps_its_connection_but_not_the_slot(make: MakePlane) -> None:
    made = one_by_one(0.25, [0.0, 0.0], queries=1, query=constant(0.5), db_slots=1)
    played = run(make, made, [*serving([0, 0], made), Call(0.5, "hang", (0,))])
    assert ends(played) == [(1, 1.25, OK, Cause.NONE, 1), (0, 10.0, TIMEOUT, Cause.HUNG, 1)]
    assert played.record.db_connections == 2


def test_a_hung_process_waits_without_end(make: MakePlane) -> None:
    """Neither pool nor statement timeout is noticed in a process that hangs; its clients' patience is their own."""
    limits = {"db_pool_timeout_s": 0.25, "db_statement_timeout_s": 0.375}
    made = one_by_one(0.25, [0.0] * 3, queries=1, query=constant(1.0), workers=3, db_pool=2, db_slots=1, **limits)
    played = run(make, made, [*serving([0], made), Call(0.375, "hang", (0,))])
    assert [it[1:4] for it in ends(played)] == [(10.0, TIMEOUT, Cause.HUNG)] * 3


def test_an_eager_pool_opens_what_the_server_gives(make: MakePlane) -> None:
    made = one_by_one(0.25, [], queries=1, db_pool=3, db_eager=True, db_max_connections=5)
    played = run(make, made, serving([0, 0, 0], made))
    assert played.record.db_connections == 5


# --- probes ---------------------------------------------------------------------------------------------------
def test_a_probe_beside_the_queue(make: MakePlane) -> None:
    made = one_by_one(0.25, [], warm_age_s=2.0, queries=1)
    own = (("shared", False),)
    calls = [call if call.name != "start_process" else Call(1.0, *_start) for call in serving([0], made)]
    calls += [Call(0.5, "probe", (0, ProbeDepth.PROCESS), own), Call(1.5, "probe", (0, ProbeDepth.PROCESS), own)]
    calls += [Call(2.5, "probe", (0, ProbeDepth.WARM), own), Call(3.0, "probe", (0, ProbeDepth.WARM), own)]
    calls += [Call(4.0, "probe", (0, ProbeDepth.DEPENDENCIES), own), Call(5.0, "db_down")]
    calls += [Call(5.5, "probe", (0, ProbeDepth.DEPENDENCIES), own), Call(6.0, "hang", (0,))]
    calls += [Call(7.0, "probe", (0, ProbeDepth.PROCESS), own)]
    answers = [answer for _, name, answer in run(make, made, calls).answers if name == "probe"]
    assert answers == [
        ProbeAnswer.FAIL,
        ProbeAnswer.OK,
        ProbeAnswer.FAIL,
        ProbeAnswer.OK,
        ProbeAnswer.OK,
        ProbeAnswer.FAIL,
        ProbeAnswer.NO_ANSWER,
    ]


_start = ("start_process", (0,))


def test_a_probe_behind_the_queue(make: MakePlane) -> None:
    """It waits for the worker, takes its own time, and dies with the process."""
    made = one_by_one(0.5, [0.0], probe_work_s=0.125)
    asked = [
        Call(t, "probe", (0, ProbeDepth.PROCESS), (("shared", True), ("ref", ref))) for t, ref in ((0.25, 7), (2.0, 8))
    ]
    played = run(make, made, [*serving([0], made), *asked, Call(2.0625, "end_process", (0, Cause.CRASHED))])
    assert [answer for _, name, answer in played.answers if name == "probe"] == [ProbeAnswer.PENDING] * 2
    assert played.signals == [
        Signal(0.625, SignalKind.PROBE_DONE, pod=0, ref=7, ok=True),
        Signal(2.0625, SignalKind.PROBE_DONE, pod=0, ref=8, ok=False),
    ]


# --- closed users ---------------------------------------------------------------------------------------------
def test_closed_users_think_between_requests(make: MakePlane) -> None:
    """Think 1 s, be served 0.25 s, and so on; none begins at or after 4 s."""
    made = one_by_one(0.25, [], think=constant(1.0), n_closed=1, duration_s=4.0)
    played = run(make, made, serving([0], made))
    assert [it[1] for it in ends(played)] == [1.25, 2.5, 3.75]
    assert played.record.started == 3
