"""What every strategy owes: it ends, repeats, keeps to its pods, gives the traffic back, and says why.

Six ways to release one of five revisions: a good one, one that errs, one that is slow, one that sells less, one that
leaks. What is asked is the same of all of them.
"""

import itertools
import math

import numpy as np
import pytest
from planekit import Played, differences
from planeunder import KERNEL
from worldkit import Play, Scenario, Tree, conservation, play, pods_now, scenario

from zdsim.cluster.journal import EntryKind
from zdsim.run import simulate
from zdsim.run.plane_config import longest_request_s

REVISIONS: dict[str, Tree | None] = {
    "good": None,
    "errors": {"error_rate": 0.4},
    "slow": {"slow_factor": 10},
    "business": {"conversion_factor": 0.1},
    "leak": {"leak_per_request": "2Mi"},
}
WATCH: Tree = {
    "interval": "3s",
    "window": "6s",
    "min_requests": 5,
    "inconclusive_limit": -1,
    "metrics": [
        {"metric": "error_rate", "max": "10%"},
        {"metric": "p95", "max": "500ms"},
        {"metric": "conversion", "min_ratio": 0.5},
        {"metric": "restarts", "max": 0},
    ],
}
ALERT: Tree = {"window": "4s", "interval": "2s", "consecutive": 2, "min_requests": 5, "p99": "500ms"}
OPERATOR: Tree = {"operator": {"alert": ALERT, "reaction": "3s"}}
EXPERIMENT: Tree = {"experiment": {"duration": "8s", "replicas": 2, "analysis": WATCH}}
STRATEGIES: dict[str, Tree] = {
    "rolling": {"kind": "rolling", "max_surge": 1, "max_unavailable": 1},
    "recreate": {"kind": "recreate"},
    "canary": {
        "kind": "canary", "weights": [0.25, 0.5, 1], "hold": "7s", "analysis": WATCH, "scale_down_delay": "2s",
        "abort_scale_down": "3s",
    },
    "canary of replicas": {
        "kind": "canary", "split": "replicas", "weights": [0.25, 0.5], "hold": "7s", "analysis": WATCH,
        "max_surge": 1, "max_unavailable": 1,
    },
    "blue-green": {
        "kind": "blue_green", "smoke": {"requests": 1, "duration": "1s"}, "confidence": "12s", "keep_old": "14s",
        "abort_scale_down": "3s", "analysis": {"post": WATCH | {"count": 3}},
    },
    "experiment": {
        "kind": "canary", "steps": [EXPERIMENT, {"weight": "50%", "hold": "4s"}], "analysis": None,
        "scale_down_delay": "2s",
    },
}  # fmt: skip
N = 4
ROUTER_LAG_S = 0.5
EVERY = [pytest.param(s, b, id=f"{s}-{b}") for s in STRATEGIES for b in REVISIONS]


def released(strategy: str, revision: str, seed: int = 1, *, plane: str = "kernel") -> Play:
    return play(told(strategy, revision), seed, plane=plane)


def told(strategy: str, revision: str) -> Scenario:
    human = strategy in ("rolling", "recreate")
    return scenario(
        service={"deployment": {"resources": {"limits": {"memory": "256Mi"}}}},
        process={"workers": 32},
        traffic={
            "open": {"rate": "60/s"},
            "classes": [{"name": "a", "work": {"kind": "exponential", "mean": "50ms"}, "conversion": "40%"}],
        },
        client={"request_timeout": "3s"},
        router={"lag": f"{ROUTER_LAG_S}s"},
        release={"strategy": STRATEGIES[strategy], "bug": REVISIONS[revision], "rollback": OPERATOR if human else None},
        run={"duration": "70s"},
    )


@pytest.mark.parametrize(("strategy", "revision"), EVERY)
def test_contract(strategy: str, revision: str) -> None:
    """Ends by itself on one side; never more pods than promised; its books add up; its reasons are told."""
    played = released(strategy, revision)
    world, end_s = played.world, 70.0
    assert conservation(played.counts) == []
    # It ends, and on the side that was decided.
    from_s = 5.0 if world.stage.decided_s is None else world.stage.decided_s
    assert world.story.completed_after(from_s, world.engine.wanted) is not None, "the rollout never ended"
    assert world.engine.settled or revision == "leak"  # pods that are killed now and then come and go
    left = {life.revision for life in played.pods if life.deleted_s is None}
    aborted = world.stage.decided_s is not None
    assert left == ({0} if aborted else {1})
    assert sum(life.deleted_s is None for life in played.pods) == N
    if revision == "good":
        assert not aborted
    # Its surge, but for the milliseconds in which one worker is ahead of another.
    steps = [*pods_now(played.pods, end_s), (math.inf, 0, 0)]
    most = {"rolling": N + 1, "recreate": N, "canary of replicas": N + 1, "experiment": 2 * N + 4}.get(strategy, 2 * N)
    above = [(t, n) for (t, n, _), (after, _, _) in itertools.pairwise(steps) if n > most and after - t > 0.05]
    assert above == []
    # Every change of size or weight has its reason, every decision its sentence.
    for entry in played.entries(EntryKind.ROLLOUT_STEP):
        assert entry.reason
        assert entry.message or not entry.data, entry
    if aborted:
        assert any(e.reason == "Decided" and e.message for e in played.entries(EntryKind.ROLLBACK))


@pytest.mark.parametrize("revision", ["errors", "slow"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_traffic_comes_back(strategy: str, revision: str) -> None:
    """Where something looks at the harm, it ends in a rollback; afterwards nobody is sent to the new revision.

    With a router: after its lag and two endpoint syncs. Without one: not after the old pods are back.
    """
    played = released(strategy, revision)
    decided_s = played.world.stage.decided_s
    assert decided_s is not None, "nothing noticed"
    last_s = float(np.nanmax(played.counts.last_routed[1:]))  # an experiment has rows of its own
    if strategy in ("canary", "blue-green"):
        assert last_s <= decided_s + ROUTER_LAG_S + 2.5
    else:
        back_s = played.world.story.completed_after(decided_s, "v1")
        assert back_s is not None
        assert last_s <= back_s + ROUTER_LAG_S + 2.5
    assert decided_s + 3.0 < 70.0 - longest_request_s(played.scenario)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_repeats(strategy: str) -> None:
    one, two = (simulate(told(strategy, "errors"), 5) for _ in range(2))
    assert one.digest == two.digest
    assert one.events == two.events
    assert one.rollback == two.rollback


@pytest.mark.skipif(KERNEL is None, reason="no compiled plane here")
@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "revision"), EVERY)
def test_planes_agree_on_strategies(strategy: str, revision: str) -> None:
    one, two = (released(strategy, revision, 3, plane=plane) for plane in ("kernel", "reference"))
    assert differences(*(Played(p.counts, [], [], [], []) for p in (one, two))) == []
    assert one.world.journal.entries == two.world.journal.entries
    assert one.pods == two.pods
