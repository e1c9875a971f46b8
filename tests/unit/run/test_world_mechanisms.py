"""Each mechanism of a rollout, alone, in a small world: what it loses, and what helps.

Pairs of worlds differ in one word and share their seed, so they meet the same requests.
"""

import itertools
from typing import Any

import pytest
from worldkit import Play, deployed, play, pods_now, scenario

from zdsim.cluster.journal import EntryKind
from zdsim.plane.vocabulary import Cause, Outcome

SEEDS = (1, 2)
NO_HOOK: dict[str, Any] = deployed(preStop=None)


def losses(seed: int, **sections: Any) -> int:
    return play(scenario(**sections), seed, log=False).lost


def drops(played: Play) -> int:
    """Requests that met a pod on its way out (not slow, not wrong answers)."""
    return played.ended(Outcome.REFUSED, Outcome.UNREACHABLE, Outcome.RESET)


# --- termination ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_longer_pause_before_sigterm_never_drops_more(seed: int) -> None:
    """Without kept connections every second of preStop is one in which the routers can learn."""
    slow = {"lag": {"kind": "exponential", "mean": "1s"}}
    dropped = []
    for pause_s in (0, 1, 3, 6):
        service = deployed(preStop={"sleep": {"seconds": pause_s}} if pause_s else None)
        dropped.append(drops(play(scenario(service=service, router=slow), seed, log=False)))
    assert dropped == sorted(dropped, reverse=True)
    assert dropped[0] > 20 * (1 + dropped[-1])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_shorter_grace_period_never_kills_less(seed: int) -> None:
    """Requests of 3 s on average against 20, 6 and 2 s of grace: exit code 137 and cut-off requests grow."""
    classes = [{"name": "long", "work": {"kind": "exponential", "mean": "3s"}}]
    killed, cut = [], []
    for grace_s in (20, 6, 2):
        played = play(
            scenario(
                service=deployed(terminationGracePeriodSeconds=grace_s, preStop=None),
                traffic={"open": {"rate": "15/s"}, "classes": classes},
                process={"workers": 64},
                client={"request_timeout": "60s"},
            ),
            seed,
        )
        killed.append(len(played.ends("killed")))
        cut.append(int(played.counts.causes[Outcome.RESET, Cause.KILLED_AT_GRACE_END]))
        assert all(end.data["exit_code"] == 137 for end in played.ends("killed"))
    assert killed == sorted(killed)
    assert cut == sorted(cut)
    assert cut[0] < cut[-1]


@pytest.mark.parametrize("seed", SEEDS)
def test_exiting_loses_at_least_what_draining_loses(seed: int) -> None:
    lost = {kind: play(scenario(service=NO_HOOK, process={"on_sigterm": kind}), seed) for kind in ("drain", "exit")}
    assert lost["exit"].lost > lost["drain"].lost
    assert lost["exit"].counts.causes[Outcome.RESET, Cause.EXITED_AT_SIGTERM] > 0
    assert lost["drain"].ended(Outcome.RESET) == 0


@pytest.mark.parametrize(
    ("process", "codes"),
    [
        ({"on_sigterm": "drain"}, {0}),
        ({"on_sigterm": "exit"}, {143}),
        ({"on_sigterm": "ignore"}, {137}),
        ({"pid1_forwards": False}, {137}),
        ({"on_sigterm": {"lame_duck": "1s"}}, {0}),
    ],
    ids=lambda value: str(value),
)
def test_exit_codes_and_what_was_cut_off(process: dict[str, Any], codes: set[int]) -> None:
    """0 after draining, 143 at SIGTERM, 137 at SIGKILL; what the ends cut off is what clients saw reset."""
    played = play(scenario(service=NO_HOOK, process=process))
    ends = played.ends()
    assert {end.data["exit_code"] for end in ends} == codes
    assert len(ends) == 4
    assert sum(end.data["cut_off"] or 0 for end in ends) == played.ended(Outcome.RESET)


def test_ignoring_sigterm_takes_the_whole_grace_period() -> None:
    """Ten seconds from deletion to SIGKILL, the preStop pause included; draining takes the pause and an instant."""
    taken = {}
    for kind in ("ignore", "drain"):
        played = play(scenario(process={"on_sigterm": kind}))
        deleted = {life.name: life.deleted_s for life in played.pods if life.deleted_s is not None}
        taken[kind] = [end.time - deleted[end.subject] for end in played.ends()]
    assert min(taken["ignore"]) >= 10.0
    assert max(taken["ignore"]) < 10.2
    assert min(taken["drain"]) >= 2.0
    assert max(taken["drain"]) < 3.0


def test_deaf_processes_are_those_told_while_the_fault_lasts() -> None:
    """ignore_sigterm for two seconds from the release: pods told later drain."""
    slow = deployed(strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}, preStop=None)
    fault = {"kind": "ignore_sigterm", "at": "5s", "duration": "4s"}
    played = play(scenario(service=slow, faults=[fault], run={"duration": "60s"}))
    told = {end.subject: end for end in played.ends()}
    deleted = {life.name: life.deleted_s for life in played.pods if life.deleted_s is not None}
    assert {end.reason for end in told.values()} == {"killed", "drained"}
    for name, end in told.items():
        assert (end.reason == "killed") == (deleted[name] < 9.0), (name, deleted[name], end)


# --- readiness, budgets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_readiness_probe_never_hurts_a_slow_start(seed: int) -> None:
    lost = [
        losses(seed, service=deployed(readinessProbe=probe), process={"startup": "4s"})
        for probe in ({"periodSeconds": 1}, None)
    ]
    assert lost[0] == 0
    assert lost[1] > 40


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("surge", "unavailable"), [(1, 0), ("25%", "25%"), ("100%", 0), (0, 2), (3, 1)])
def test_budgets_of_a_rolling_update(seed: int, surge: int | str, unavailable: int | str) -> None:
    """Never more than N + S pods that are not being deleted, never fewer than N - U available.

    The ReplicaSets are resized at one instant, each by its own worker: for some milliseconds a new pod may exist before
    the old one that pays for it is deleted.
    """
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    what = scenario(service=deployed(strategy={"rollingUpdate": rolling}))
    played = play(what, seed)
    budget = what.deployment.strategy.rolling
    facts = played.world.story.rollout(5.0, None, "", 40.0)
    assert facts.min_available is not None
    assert facts.min_available >= 4 - budget.unavailable(4)
    steps = [(t, n) for t, n, _ in pods_now(played.pods, 40.0)]
    most = 4 + budget.surge(4)
    assert max(n for _, n in steps) >= most
    above = [after - t for (t, n), (after, _) in itertools.pairwise(steps) if n > most]
    assert max(above, default=0.0) < 0.05
    ready = [sum(a <= t < b for life in played.pods for a, b in life.ready) for t in [0.1 * k for k in range(51, 400)]]
    assert min(ready) >= 4 - budget.unavailable(4)


def test_recreate_has_a_gap() -> None:
    """Nobody serves between the last old process's end and the first new one's ready, and no new pod is made before."""
    played = play(scenario(service={"deployment": {"strategy": {"type": "Recreate"}}}))
    old = [life for life in played.pods if life.revision == 0]
    new = [life for life in played.pods if life.revision == 1]
    ended = max(life.listening[-1][1] for life in old)
    assert min(life.created_s for life in new) >= ended
    gap_s = min(life.ready[0][0] for life in new) - ended
    assert 1.0 <= gap_s < 4.0
    assert played.ended(Outcome.NO_ENDPOINT) > 0
    assert played.world.story.rollout(5.0, None, "", 40.0).min_available == 0


# --- what people do ---------------------------------------------------------------------------------------------------


def test_a_paused_rollout_holds() -> None:
    """Between pause and resume no set changes its size; after it the rollout goes through."""
    slow = deployed(strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    played = play(scenario(service=slow, release={"pause_at": "7s", "resume_at": "20s"}))
    resized = [
        e.time for e in played.entries(EntryKind.ROLLOUT_STEP) if "size" in e.data or e.reason.startswith("Scal")
    ]
    assert [t for t in resized if 7.2 < t < 20.0] == []
    assert any(t < 7.2 for t in resized)
    assert any(t > 20.0 for t in resized)
    done = played.world.story.completed_after(5.0, "v2")
    assert done is not None
    assert done > 20.0


def test_a_rollover_takes_the_new_pods_away_too() -> None:
    """A third template while the second is half out: v2 never completes, v3 does, and its pods are its own."""
    slow = deployed(strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    played = play(scenario(service=slow, release={"then": [{"at": "9s"}]}, run={"duration": "60s"}))
    story = played.world.story
    assert story.completed_after(5.0, "v2") is None
    assert story.completed_after(9.0, "v3") is not None
    left = [life.revision for life in played.pods if life.deleted_s is None]
    assert left == [2] * 4
    assert played.lost == 0


def test_scaling_in_mid_rollout_ends_at_the_new_size() -> None:
    played = play(scenario(release={"scale": [{"at": "7s", "replicas": 7}]}))
    assert sum(life.deleted_s is None for life in played.pods) == 7
    assert {life.revision for life in played.pods if life.deleted_s is None} == {1}


BAD = {"error_rate": 0.4}
ALERT = {"window": "4s", "interval": "2s", "consecutive": 2, "min_requests": 10}


def test_stages_of_a_rollback_come_in_order() -> None:
    """Onset, detection, decision, diversion, restoration; the undo comes a reaction after the alert."""
    operator = {"operator": {"alert": ALERT, "reaction": "3s"}}
    played = play(scenario(release={"bug": BAD, "rollback": operator}, run={"duration": "60s"}))
    stage, story = played.world.stage, played.world.story
    onset = played.world.onset_s(1)
    assert onset is not None
    assert stage.detected_s is not None
    assert stage.decided_s is not None
    restored = story.completed_after(stage.decided_s, "v1")
    assert restored is not None
    assert onset <= stage.detected_s <= stage.decided_s <= restored
    alert = played.entries(EntryKind.ALERT, "Alert")[-1]
    assert stage.decided_s == pytest.approx(alert.time + 3.0)
    assert played.counts.last_routed[1] <= restored + 2.0
    assert {life.revision for life in played.pods if life.deleted_s is None} == {0}


def test_nobody_rolls_back_unless_asked() -> None:
    played = play(scenario(release={"bug": BAD, "rollback": "none"}))
    assert played.world.stage.decided_s is None
    assert {life.revision for life in played.pods if life.deleted_s is None} == {1}


def test_a_good_release_is_not_undone() -> None:
    operator = {"operator": {"alert": ALERT, "reaction": "3s"}}
    assert play(scenario(release={"rollback": operator})).world.stage.decided_s is None


# --- bugs and faults --------------------------------------------------------------------------------------------------


def test_a_leak_ends_in_exit_code_137() -> None:
    """128 Mi of room at 4 Mi a request: 32 requests, three seconds a pod; OOMs of the new revision only."""
    service = deployed(resources={"limits": {"memory": "256Mi"}})
    played = play(scenario(service=service, release={"bug": {"leak_per_request": "4Mi"}}))
    ooms = played.ends("oom_killed")
    assert ooms
    assert {end.data["exit_code"] for end in ooms} == {137}
    revisions = {life.name: life.revision for life in played.pods}
    assert {revisions[end.subject] for end in ooms} == {1}
    cut = sum(end.data["cut_off"] or 0 for end in ooms)
    assert cut == played.counts.causes[Outcome.RESET, Cause.OOM_KILLED]
    assert sum(life.restarts for life in played.pods) > 0


DATABASE: dict[str, Any] = {
    "database": {"pool": 4, "max_connections": 50, "slots": 16, "pool_timeout": "1s"},
    "traffic": {"classes": [{"name": "a", "work": "20ms", "queries": 2, "query_time": "5ms"}]},
    "release": None,
}
LIVENESS = deployed(livenessProbe={"periodSeconds": 1, "failureThreshold": 2})


def test_liveness_that_asks_the_database_restarts_the_fleet() -> None:
    """An outage of 6 s: split probes restart nobody, a liveness probe on the database everybody, and longer."""
    down = [{"kind": "database_down", "at": "10s", "duration": "6s"}]
    runs = {
        depth: play(scenario(service=LIVENESS, process={"liveness_depth": depth}, faults=down, **DATABASE))
        for depth in ("process", "dependencies")
    }
    restarts = {depth: [life.restarts for life in played.pods] for depth, played in runs.items()}
    assert restarts["process"] == [0, 0, 0, 0]
    assert min(restarts["dependencies"]) >= 1
    assert runs["dependencies"].lost > runs["process"].lost
    assert runs["process"].ended(Outcome.DB_ERROR) == runs["process"].lost


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"kind": "database_down"}, Outcome.DB_ERROR),
        ({"kind": "database_slow", "factor": 2000}, Outcome.DB_ERROR),
        ({"kind": "connection_limit", "max_connections": 0}, Outcome.DB_ERROR),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_database_fault_is_felt_while_it_lasts(fault: dict[str, Any], outcome: Outcome) -> None:
    """Errors only from its begin on; none some seconds after its end."""
    lazy = {**DATABASE, "database": {**DATABASE["database"], "pool": 1}, "client": {"request_timeout": "3s"}}
    played = play(scenario(faults=[{"at": "10s", "duration": "8s", **fault}], **lazy))
    by_window = played.counts.counts[..., 1:].sum(axis=(1, 2, 3))
    assert by_window[:10].sum() == 0
    if fault["kind"] != "connection_limit":  # connections that are open stay; nothing is lost
        assert played.counts.counts[10:22, ..., outcome].sum() > 0
    assert by_window[25:].sum() == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_slow_routers_lose_more_on_removed_pods(seed: int) -> None:
    """endpoint_lag: every further loss is one on a pod that was already removed."""
    late = [{"kind": "endpoint_lag", "at": "0s", "duration": "39s", "lag": "3s"}]
    usual, slow = (play(scenario(service=NO_HOOK, faults=faults), seed) for faults in ([], late))
    assert slow.counts.stale_count.sum() > usual.counts.stale_count.sum()
    assert slow.counts.stale_max.max() > 2.0
    assert slow.counts.stale_max.max() < 5.0


def test_killed_pods_come_back() -> None:
    """`pod_kill` of two pods: two are deleted, two made; by force they are gone at once and reset what they held."""
    kill = {"kind": "pod_kill", "at": "10s", "mode": "fixed", "value": 2}
    busy = {"open": {"rate": "200/s"}}
    gentle, forced = (
        play(scenario(release=None, faults=[kill | more], traffic=busy)) for more in ({}, {"grace": "0s"})
    )
    for played in (gentle, forced):
        assert sum(life.deleted_s == pytest.approx(10.0, abs=0.1) for life in played.pods if life.deleted_s) == 2
        assert sum(life.deleted_s is None for life in played.pods) == 4
    assert gentle.lost == 0
    assert forced.lost > 0


def test_a_slow_node_slows_its_pods_while_it_lasts() -> None:
    slow = [{"kind": "slow_node", "at": "10s", "duration": "10s", "factor": 5, "mode": "all"}]
    work = {"classes": [{"name": "a", "work": "40ms"}]}
    played = play(scenario(release=None, faults=slow, traffic=work))
    mean = played.counts.latency_sum[:, 0] / played.counts.counts[:, 0, :, Outcome.OK].sum(axis=1).clip(1)
    assert mean[1:10].max() == pytest.approx(0.04)
    assert mean[11:19].min() == pytest.approx(0.2)
    assert mean[21:39].max() == pytest.approx(0.04)


def test_a_spike_multiplies_the_traffic_while_it_lasts() -> None:
    """Triple the rate for ten seconds: within four standard deviations, and the rest as without."""
    spike = [{"kind": "traffic_spike", "at": "10s", "duration": "10s", "factor": 3}]
    played = play(scenario(release=None, faults=spike))
    starts = played.counts.log["start_s"]
    inside = int(((starts >= 10.0) & (starts < 20.0)).sum())
    assert abs(inside - 1200) < 4 * 1200**0.5
    assert abs((starts < 10.0).sum() - 400) < 4 * 400**0.5


def test_the_last_weight_wins() -> None:
    """Weights that overtake each other on their way to the router: what was written last is followed in the end."""
    canary = {"kind": "canary", "weights": [0.2, 0.4, 0.6, 0.8, 1], "hold": "1s", "analysis": None}
    lag = {"kind": "uniform", "low": "0s", "high": "5s"}
    for seed in range(6):
        played = play(scenario(release={"strategy": canary}, router={"lag": lag}, run={"duration": "60s"}), seed)
        assert played.counts.routed[30:60, 0].sum() == 0
        assert played.counts.routed[30:60, 1].sum() > 1000


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("database_slow", {"factor": 10}),
        ("database_down", {}),
        ("slow_node", {"factor": 5, "mode": "all"}),
    ],
)
def test_overlapping_faults_last_until_the_last_one_ends(kind: str, more: dict[str, Any]) -> None:
    """The end of one fault does not end another of its kind."""
    both = [{"kind": kind, "at": at, "duration": lasts, **more} for at, lasts in (("8s", "10s"), ("10s", "20s"))]
    played = play(scenario(faults=both, **DATABASE))
    ok = played.counts.counts[:, 0, :, Outcome.OK].sum(axis=1)
    mean = played.counts.latency_sum[:, 0] / ok.clip(1)
    lost = played.counts.counts[..., 1:].sum(axis=(1, 2, 3))
    in_first, in_second, after = slice(11, 17), slice(20, 28), slice(32, 39)
    if kind == "database_down":
        assert lost[in_first].min() > 0
        assert lost[in_second].min() > 0
        assert lost[after].sum() == 0
    else:
        assert mean[in_first].min() > 9 * mean[after].max(), "factors multiply"
        assert mean[in_second].min() > 3 * mean[after].max()
