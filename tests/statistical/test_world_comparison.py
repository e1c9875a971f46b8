"""The same bug under four strategies: requests that fail, against the table of the design.

Source: the design's golden comparison. 100 requests a second, ten pods that need 20 s to start, a bug that fails a
fifth of the new revision's requests, noticed at the first check 60 s after the first of them could fail, and (but for
rolling and recreate) 5 s until a router follows. The table leaves out what a cluster adds: probes, the API, one
endpoint change a second. Each test names what it adds and why.
"""

from typing import Any

import numpy as np
import pytest
from worldkit import Play, Tree, deployed, merged, play, scenario

from zdsim.plane.vocabulary import USER_ACTIVE, USER_EXPOSED, Outcome

pytestmark = pytest.mark.slow

SEEDS = range(10)
RATE = 100.0
PODS = 10
AT_S = 10.0
CHECK_S = 60.0
START_S = 20.0

SERVICE: Tree = {
    "deployment": {
        "name": "web",
        "replicas": PODS,
        "strategy": {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}},
        "readinessProbe": {"periodSeconds": 1},
        "preStop": {"sleep": {"seconds": 10}},
        "terminationGracePeriodSeconds": 30,
    }
}
CHECK: Tree = {
    "interval": f"{CHECK_S}s",
    "window": f"{CHECK_S}s",
    "initial_delay": f"{CHECK_S}s",
    "min_requests": 10,
    "metrics": [{"metric": "error_rate", "max": "1%"}],
}


def played(strategy: Tree, seed: int, **more: Any) -> Play:
    """One world of the comparison; requests take 10 ms, so nothing but the release loses any."""
    release = {"at": f"{AT_S}s", "bug": {"error_rate": 0.2}, "strategy": strategy} | more.pop("release", {})
    sections: Tree = {
        "service": SERVICE,
        "process": {"startup": f"{START_S}s"},
        "traffic": {
            "open": {"rate": f"{RATE}/s"},
            "users": {"population": 100_000, "zipf": 0},
            "classes": more.pop("classes", [{"name": "a", "work": "10ms"}]),
        },
        "release": release,
        "run": {"duration": "240s"},
    }
    what = scenario(**sections | more)
    return play(what, seed, log=False)


def by_bug(one: Play) -> int:
    return one.ended(Outcome.APP_ERROR)


def by_downtime(one: Play) -> int:
    return one.lost - by_bug(one)


def agrees(values: list[int], low: float, high: float) -> None:
    """The mean lies in [low, high] but for three standard errors."""
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    mean = float(np.mean(values))
    assert low - 3.0 * error <= mean <= high + 3.0 * error, (
        f"{mean:.1f} +- {error:.1f}, expected {low:.1f} to {high:.1f}"
    )


@pytest.mark.parametrize(("weight", "pods"), [(0.05, 1), (0.01, 1)])
def test_canary(weight: float, pods: int) -> None:
    """65 and 13 failures: rate x weight x 60 s and 5 s of lag x a fifth; nobody else is hurt.

    The canary's weight comes 5 s after it was written and goes 5 s after the abort, so the harm lasts from the lag to
    the check and the lag again: the check's 60 s. The table counts the second lag only. The check is a step after the
    weight, so that its minute begins when the weight is written.
    """
    steps = [{"weight": weight, "hold": "0s"}, {"analysis": CHECK | {"count": 1}}]
    strategy = {"kind": "canary", "steps": steps, "analysis": None, "min_pods": pods, "abort_scale_down": "60s"}
    runs = [played(strategy, seed, router={"lag": "5s", "mode": "request"}) for seed in SEEDS]
    agrees([by_bug(one) for one in runs], RATE * weight * 60.0 * 0.2, RATE * weight * 65.0 * 0.2)
    assert [by_downtime(one) for one in runs] == [0] * len(runs)
    routed = [int(one.counts.routed[:, 1].sum()) for one in runs]
    agrees(routed, RATE * weight * 60.0, RATE * weight * 65.0)
    for one in runs:
        flags = one.counts.users
        exposed = ((flags & USER_EXPOSED) > 0).sum() / ((flags & USER_ACTIVE) > 0).sum()
        assert exposed <= 1.1 * weight * 65.0 / 240.0 + 0.01


def test_blue_green() -> None:
    """1,300 failures: everybody for 60 s until the check and 5 s until the router is back.

    Its smoke test does not catch the bug. The switch itself takes the lag too, so everybody meets the bug for 60 s from
    5 s after the switch on: between 60 and 65 s.
    """
    strategy = {
        "kind": "blue_green",
        "smoke": None,
        "keep_old": "200s",
        "confidence": "150s",
        "abort_scale_down": "60s",
        "analysis": {"post": CHECK | {"count": 2}},
    }
    runs = [played(strategy, seed, router={"lag": "5s"}) for seed in SEEDS]
    agrees([by_bug(one) for one in runs], RATE * 60.0 * 0.2, RATE * 65.5 * 0.2)
    assert [by_downtime(one) for one in runs] == [0] * len(runs)


def operator(reaction_s: float) -> Tree:
    """Looks every second; 60 s from the first failure is the alert's doing, so the reaction makes up the rest."""
    alert = {"window": "5s", "interval": "5s", "consecutive": 1, "min_requests": 5, "error_rate": 0.01,
             "ratio": None, "p99": None}  # fmt: skip
    return {"operator": {"alert": alert, "reaction": f"{reaction_s}s"}}


def expected_rolling(one: Play) -> float:
    """Failures expected from the pods' own spans: rate x share of ready pods that are new x a fifth, by instant."""
    step = 0.05
    t = np.arange(0.0, 240.0, step)
    old, new = np.zeros_like(t), np.zeros_like(t)
    for life in one.pods:
        for a, b in life.ready:
            (old if life.revision == 0 else new)[(t >= a) & (t < b)] += 1
    return float((RATE * 0.2 * step * new / (old + new)).sum())


@pytest.mark.parametrize(("reaction_s", "low", "high"), [(42.0, 1200.0, 1350.0), (35.0, 770.0, 830.0)])
def test_rolling(reaction_s: float, low: float, high: float) -> None:
    """1,200 failures: share of new 1/3, 2/3, 1 in waves of a start-up, undone when all are new; the undo mirrors it.

    The table's wave is the 20 s of the start; a wave of a cluster is 1 to 2 s longer (creation, the probe's second,
    status and endpoints), and the undo here comes 3 s into the time when all are new: an eighth more. And so the
    third wave is not done 60 s after the release: an undo at exactly that time meets 6 new pods of 9, has no wave of
    all new to wait for, and costs 800.
    """
    found, expected = [], []
    for seed in SEEDS:
        one = played({"kind": "rolling"}, seed, release={"rollback": operator(reaction_s)})
        found.append(by_bug(one) - expected_rolling(one))
        expected.append(expected_rolling(one))
        assert by_downtime(one) == 0
        assert one.world.stage.decided_s == pytest.approx(AT_S + 25.0 + reaction_s, abs=0.01)
    agrees([round(x) for x in found], -25.0, 25.0)
    assert low <= float(np.mean(expected)) <= high, expected


def test_recreate() -> None:
    """1,200 failures by the bug, 6,000 by downtime: two gaps of 10 s stopping and 20 s starting, and 60 s between.

    What makes a pod stop for 10 s without serving is a request of 10 s in each pod (2 % of them); the last of ten pods
    to be done has one that began up to a second or so before. To that and the 20 s of the start a cluster adds
    scheduling, sandbox and container start, and up to a second of probing: 29 to 33 s in all.
    """
    classes = [{"name": "a", "share": 0.98, "work": "10ms"}, {"name": "long", "share": 0.02, "work": "10s"}]
    bug, down, gaps = [], [], []
    for seed in SEEDS:
        one = played(
            {"kind": "recreate"},
            seed,
            release={"rollback": operator(57.0)},
            service=merged(SERVICE, deployed(preStop=None)),
            process={"startup": f"{START_S}s", "workers": 100},
            client={"request_timeout": "30s"},
            classes=classes,
        )
        decided = one.world.stage.decided_s
        assert decided is not None
        new = [life for life in one.pods if life.revision == 1]
        again = [life for life in one.pods if life.revision == 0 and life.created_s > AT_S]
        first_s, back_s = (min(life.ready[0][0] for life in some) for some in (new, again))
        bug.append(round(by_bug(one) - RATE * 0.2 * (decided - first_s)))
        down.append(round(by_downtime(one) - RATE * (first_s - AT_S + back_s - decided)))
        gaps += [first_s - AT_S, back_s - decided]
        assert 55.0 <= decided - first_s <= 65.0
    agrees(bug, -30.0, 30.0)
    agrees(down, -60.0, 60.0)
    assert 29.0 <= min(gaps) <= max(gaps) <= 33.0, gaps
