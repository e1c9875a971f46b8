"""How do tests play whole worlds? Small scenarios from a few words, random ones, and what came of a play.

`scenario` merges sections into a small service with quick starts; `draw_world` draws any kind of release, fault and
bug; `play` leaves the world itself, too, with a row for every request.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from planedraws import Dice
from planeunder import KERNEL

from zdsim.cluster.journal import EntryKind
from zdsim.plane.config import PlaneRecord
from zdsim.plane.vocabulary import Outcome
from zdsim.record import PodLife
from zdsim.reference import ReferencePlane
from zdsim.run.plane_config import longest_request_s, plane_config
from zdsim.run.world import World, lead_s
from zdsim.scenario.model import Scenario

Tree = dict[str, Any]

#: Four pods that are up after a second and gone after two; 40 requests a second of 50 ms.
SMALL: Tree = {
    "service": {
        "deployment": {
            "name": "web",
            "replicas": 4,
            "readinessProbe": {"periodSeconds": 1},
            "preStop": {"sleep": {"seconds": 2}},
            "terminationGracePeriodSeconds": 10,
        }
    },
    "process": {"startup": "1s"},
    "traffic": {"open": {"rate": "40/s"}, "users": {"population": 500}},
    "release": {"at": "5s"},
    "run": {"duration": "40s", "window": "1s"},
    "analysis": {"scrape": {"interval": "1s"}},
}


def merged(tree: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """`tree` with the entries of `over`, section by section; None takes an entry's place as it is."""
    out = dict(tree)
    for key, value in over.items():
        known = out.get(key)
        out[key] = merged(known, value) if isinstance(value, Mapping) and isinstance(known, Mapping) else value
    return out


def scenario(**sections: Any) -> Scenario:
    """The small service with other words in some sections."""
    return Scenario.model_validate(merged(SMALL, sections))


def deployed(**fields: Any) -> Tree:
    """The `service` section with other words of the Deployment."""
    return {"deployment": fields}


@dataclass(frozen=True, slots=True)
class Play:
    """A world that has been played to its end."""

    scenario: Scenario
    world: World
    counts: PlaneRecord

    @property
    def pods(self) -> tuple[PodLife, ...]:
        """Lives of all pods, to the end of the clock."""
        return self.world.story.pods(self.world.clock.now)

    @property
    def lost(self) -> int:
        """Requests without an answer that their users wanted."""
        return self.counts.ended - self.ended(Outcome.OK)

    def ended(self, *outcomes: Outcome) -> int:
        """Requests that ended so."""
        return int(sum(self.counts.counts[..., o].sum() for o in outcomes))

    def entries(self, kind: EntryKind, reason: str | None = None) -> list[Any]:
        """Lines of the journal from the release on."""
        return [e for e in self.world.journal.of_kind(kind) if reason in (None, e.reason) and e.time >= 0.0]

    def ends(self, reason: str | None = None) -> list[Any]:
        """Ends of containers that had begun to serve."""
        return self.entries(EntryKind.CONTAINER_ENDED, reason)


def play(
    what: Scenario,
    seed: int = 1,
    *,
    plane: str = "kernel",
    quiet: bool = False,
    stops: Sequence[float] = (),
    log: bool = True,
) -> Play:
    """Play a scenario to the answer of its last request.

    Args:
        plane: "kernel" (where there is none: the reference) or "reference".
        quiet: without release and faults.
        stops: times at which the clock is stopped and goes on.
    """
    make = KERNEL if plane == "kernel" and KERNEL is not None else ReferencePlane
    config = plane_config(what, seed, start_s=-lead_s(what), quiet=quiet, log_requests=log)
    world = World(what, config, make(config), seed, quiet=quiet)
    last = what.run.duration_s + longest_request_s(what) + 1.0
    for stop in sorted({t for t in stops if config.start_s < t < last}):
        world.clock.run(until=stop)
    world.clock.run(until=last)
    return Play(what, world, world.plane.record())


def pods_now(lives: Sequence[PodLife], until_s: float) -> Iterator[tuple[float, int, int]]:
    """(time, pods not being deleted, pods that exist) after each change from time 0 to `until_s`."""
    changes = [(life.created_s, 1, 1) for life in lives]
    changes += [(life.deleted_s, -1, 0) for life in lives if life.deleted_s is not None]
    changes += [(life.gone_s, 0, -1) for life in lives if life.gone_s is not None]
    kept = whole = 0
    for t, a, b in sorted(changes):
        kept, whole = kept + a, whole + b
        if 0.0 <= t <= until_s:
            yield t, kept, whole


def conservation(counts: PlaneRecord) -> list[str]:
    """Which laws of bookkeeping does a finished record break?"""
    broken = []
    total = int(counts.counts.sum())
    ok = int(counts.counts[..., Outcome.OK].sum())
    if not counts.started == counts.ended == total:
        broken.append(f"{counts.started} started, {counts.ended} ended, {total} counted")
    if counts.counts[..., 1:].sum(axis=(0, 1, 2)).tolist() != counts.causes[1:].sum(axis=1).tolist():
        broken.append("lost requests and their causes differ")
    if counts.causes[Outcome.OK].any():
        broken.append("an answer has a cause of failure")
    if int(counts.latency.sum()) != ok:
        broken.append(f"{int(counts.latency.sum())} latencies of {ok} answers")
    if int(counts.routed.sum()) != counts.attempts or counts.attempts < counts.started:
        # What met no pod was routed nowhere, and a router's own further try counts as another routed one.
        met_none = int(counts.counts[:, -1].sum())
        if int(counts.routed.sum()) + met_none < counts.started:
            broken.append(f"{int(counts.routed.sum())} routed, {counts.attempts} attempts, {counts.started} requests")
    if counts.pod_served.sum() != ok:
        broken.append(f"pods answered {int(counts.pod_served.sum())} attempts well, {ok} requests")
    if (counts.stale_count > counts.causes.sum(axis=0)).any():
        broken.append("more stale losses than losses")
    for name in ("counts", "latency", "latency_sum", "routed", "causes", "stale_sum", "stale_max", "stale_count",
                 "pod_served", "service_sum", "query_count", "query_sum", "mirrored"):  # fmt: skip
        values = getattr(counts, name)
        if (np.asarray(values) < 0).any() or not np.isfinite(np.asarray(values, dtype=np.float64)).all():
            broken.append(f"{name} has a negative or missing number")
    return broken


def served_outside(played: Play) -> list[str]:
    """Requests answered by a pod at a time when none of its processes listened, or that a pod not yet made met.

    A draining process answers what it holds until it ends; spans of listening last until then.
    """
    lives = {life.row: life for life in played.pods if life.row >= 0}
    broken = []
    for row in played.counts.log:
        if row["pod"] < 0:
            continue
        life = lives[int(row["pod"])]
        end = float(row["end_s"])
        if life.revision != row["revision"] or end < life.created_s:
            broken.append(f"request {row['id']} met {life.name} at {end}, created at {life.created_s}")
        answered = row["outcome"] in (Outcome.OK, Outcome.APP_ERROR, Outcome.DB_ERROR)
        if answered and not any(a <= end <= b for a, b in life.listening):
            broken.append(f"request {row['id']} answered by {life.name} at {end}, which listened {life.listening}")
    return broken


# --- random worlds ----------------------------------------------------------------------------------------------------


def _bug(dice: Dice) -> Tree | None:
    kind = dice.whole(0, 11)
    bugs: list[Tree | None] = [
        None,
        None,
        {"error_rate": 0.3},
        {"error_rate": 0.5, "error_after": "3s"},
        {"slow_factor": 10},
        {"n_plus_one": 10},
        {"crash_after": "4s"},
        {"deadlock_after": {"kind": "exponential", "mean": "5s"}},
        {"never_ready": True},
        {"slow_start": 4, "error_rate": 1},
        {"leak_per_request": "4Mi"},
        {"conversion_factor": 0.2},
    ]
    return bugs[kind]


def _analysis(dice: Dice) -> Tree:
    checks = [
        {"metric": "error_rate", "max": "5%"},
        {"metric": "p99", "max_ratio": 3},
        {"metric": "error_rate", "judge": dice.one(["two_proportion", "sprt", "msprt", "confidence_sequence"])},
        {"metric": "p95", "judge": "mann_whitney"},
        {"metric": "conversion", "min_ratio": 0.5},
        {"metric": "memory", "max_slope": "64Mi"},
        {"metric": "restarts", "max": 0},
    ]
    return {
        "interval": dice.one(["2s", "5s", "1s"]),
        "window": dice.one(["5s", "2s", "10s"]),
        "count": dice.whole(2, 4),
        "failure_limit": dice.whole(0, 1),
        "inconclusive_limit": dice.one([-1, 0]),
        "min_requests": dice.one([5, 0, 50]),
        "metrics": [dice.one(checks) for _ in range(dice.whole(1, 3))],
        "score": dice.one([None, None, {"pass": 80, "marginal": 40}]),
    }


def _strategy(dice: Dice) -> Tree | None:
    kind = dice.whole(0, 7)
    watched = dice.one([None, _analysis(dice)])
    if kind == 0:
        return None
    if kind == 1:
        surge, unavailable = dice.one([(1, 0), (0, 1), ("25%", "25%"), ("100%", 0), (2, 1)])
        return {"kind": "rolling", "max_surge": surge, "max_unavailable": unavailable}
    if kind == 2:
        return {"kind": "recreate"}
    if kind == 3:
        return {"kind": "canary", "split": "replicas", "weights": [0.25, 0.5, 1], "hold": "3s", "analysis": watched}
    if kind == 4:
        return {
            "kind": "canary",
            "weights": dice.one([[0.05, 0.5], [0.2, 1], [0.01]]),
            "hold": dice.one(["4s", "1s"]),
            "sticky": dice.one(["none", "user", "cookie", "cookie_both"]),
            "match": dice.one([None, None, {"share": "20%"}]),
            "mirror": dice.one([None, None, {"share": "50%", "hold": "3s"}]),
            "dynamic_stable_scale": dice.flag(),
            "abort_scale_down": dice.one(["3s", None]),
            "scale_down_delay": "2s",
            "min_pods": dice.whole(1, 2),
            "analysis": watched,
        }
    if kind == 5:
        steps: list[Tree] = [
            {"experiment": {"duration": dice.one(["6s", None]), "replicas": 1, "analysis": _analysis(dice)}},
            {"weight": "50%", "hold": "3s"},
        ]
        return {"kind": "canary", "steps": steps, "hold": "2s", "analysis": None, "scale_down_delay": "1s"}
    if kind == 6:
        manual: list[Tree] = [
            {"scale": {"replicas": 2}},
            {"weight": "10%"},
            {"pause": True},
            {"analysis": _analysis(dice)},
        ]
        return {"kind": "canary", "steps": manual, "hold": "2s", "analysis": None}
    return {
        "kind": "blue_green",
        "preview_replicas": dice.one([None, 1]),
        "smoke": dice.one([None, {"requests": 5, "duration": "2s", "pass_probability": 0.9}]),
        "promotion": dice.one(["automatic", "manual", {"after": "3s"}]),
        "keep_old": dice.one(["5s", "0s", None]),
        "confidence": dice.one(["0s", "6s"]),
        "abort_scale_down": dice.one(["3s", None]),
        "analysis": {"pre": None, "post": dice.one([None, _analysis(dice)])},
    }


def _fault(dice: Dice, database: bool) -> Tree:
    at, lasts = f"{dice.whole(0, 24)}s", f"{dice.whole(1, 12)}s"
    whom = {
        "revision": dice.one(["any", "old", "new"]),
        **dice.one([{"mode": "one"}, {"mode": "all"}, {"mode": "fixed", "value": 2},
                    {"mode": "fixed-percent", "value": 50}]),
    }  # fmt: skip
    kinds: list[Tree] = [
        {"kind": "pod_kill", "grace": dice.one([None, "0s", "3s"]), **whom},
        {"kind": "slow_node", "factor": 8, "duration": lasts, **whom},
        {"kind": "traffic_spike", "factor": dice.one([2, 0, 3]), "duration": lasts},
        {"kind": "endpoint_lag", "lag": dice.one(["3s", {"kind": "exponential", "mean": "2s"}]), "duration": lasts},
        {"kind": "ignore_sigterm", "revision": dice.one(["any", "old", "new"]), "duration": lasts},
    ]
    if database:
        kinds += [
            {"kind": "database_down", "duration": lasts},
            {"kind": "database_slow", "factor": 20, "duration": lasts},
            {"kind": "connection_limit", "max_connections": dice.whole(0, 5), "duration": lasts},
        ]
    return {"at": at, **dice.one(kinds)}


def _release(dice: Dice, end_s: int) -> Tree:
    release: Tree = {"at": "3s", "bug": _bug(dice), "strategy": _strategy(dice)}
    action = dice.whole(0, 11)
    early, late = dice.whole(4, 9), dice.whole(10, end_s - 5)
    if action == 1:
        release |= {"pause_at": f"{early}s", "resume_at": f"{late}s"}
    elif action == 2:
        release["undo_at"] = f"{late}s"
    elif action == 3:
        release["scale"] = [{"at": f"{early}s", "replicas": dice.whole(1, 7)}]
    elif action in (4, 5):
        release["then"] = [{"at": f"{late}s", "bug": _bug(dice)}]
    elif action in (6, 7):
        alert = {"window": "4s", "interval": "2s", "consecutive": 1 + dice.whole(0, 1), "min_requests": 5}
        release["rollback"] = {"operator": {"alert": alert, "reaction": dice.one(["2s", "6s"])}}
    elif action == 8:
        release["abort_at"] = f"{late}s"
        release["retry_at"] = dice.one([[], [f"{late + 3}s"]])
    elif action == 9:
        release["deployment"] = {"replicas": dice.whole(2, 6)}
    elif action == 10:
        release["template_changed"] = False
    if isinstance(release["strategy"], dict) and release["strategy"]["kind"] in ("canary", "blue_green"):
        if dice.flag():
            release["promote_at"] = [f"{early}s", f"{late}s"]
        elif dice.flag():
            release["promote_full_at"] = f"{late}s"
    return release


def draw_world(dice: Dice) -> Scenario:
    """A world of 30 simulated seconds and at most some 2,000 requests."""
    end_s = 30
    database = dice.flag()
    replicas = dice.whole(1, 4)
    deployment: Tree = {
        "name": "web",
        "replicas": replicas,
        "minReadySeconds": dice.one([0, 2]),
        "progressDeadlineSeconds": dice.one([600, 8]),
        "terminationGracePeriodSeconds": dice.one([6, 2, 0]),
        "readinessProbe": dice.one([{"periodSeconds": 1}, {"periodSeconds": 1}, None]),
        "livenessProbe": dice.one([None, {"periodSeconds": 1, "failureThreshold": 2}]),
        "startupProbe": dice.one([None, None, {"periodSeconds": 1, "failureThreshold": 3}]),
        "strategy": dice.one([{}, {}, {"type": "Recreate"}]),
        "resources": dice.one([{}, {"limits": {"memory": "256Mi"}}]),
    }
    if deployment["terminationGracePeriodSeconds"] >= 2 and dice.flag():
        deployment["preStop"] = {"sleep": {"seconds": dice.whole(0, 2)}}
    kind = dice.one(["drain", "exit", "ignore", {"lame_duck": "2s"}])
    spread = {"kind": "lognormal", "mean": "60ms", "p99": "300ms"}
    classes: list[Tree] = [
        {"name": "read", "share": 0.75, "work": spread, "conversion": "5%", "revenue": 3},
        {"name": "write", "share": 0.25, "work": "100ms", "idempotent": False, "resumable": dice.flag()},
    ]
    for one in classes if database else ():
        one |= {"queries": dice.whole(0, 2), "query_time": {"kind": "exponential", "mean": "10ms"}}
    return Scenario.model_validate(
        {
            "name": "drawn",
            "service": {"deployment": deployment},
            "process": {
                "startup": dice.one(["1s", {"kind": "lognormal", "mean": "1.5s", "p99": "4s"}, "0s"]),
                "ready_delay": dice.one(["0s", "1s"]),
                "workers": dice.one([4, 16, 2]),
                "queue": dice.one([100, 3]),
                "warm_up": dice.one([{}, {"duration": "3s", "factor": 4}]),
                "on_sigterm": kind,
                "pid1_forwards": dice.one([True, True, False]),
                "close_on_drain": dice.flag(),
                "cancel_on_disconnect": dice.flag(),
                "probe_lane": dice.one(["own", "shared"]),
                "readiness_depth": dice.one(["process", "dependencies", "warm"]),
                "liveness_depth": dice.one(["process", "process", "dependencies"]),
                "error_rate": dice.one([0, 0.02]),
            },
            "database": {"pool": 4, "max_connections": 20, "slots": 4, "pool_timeout": "1s"} if database else None,
            "traffic": {
                "open": {"rate": dice.one([40, 20, 60]), **dice.one([{}, {"arrivals": "bursty", "dispersion": 4}])},
                "closed": dice.one([None, None, {"users": 3, "think": "200ms"}]),
                "users": {"population": 200},
                "classes": classes,
            },
            "client": {
                "request_timeout": dice.one(["2s", "500ms"]),
                "connect_timeout": "300ms",
                "attempts": dice.one([1, 3]),
                "retry_budget": dice.one([0.2, None]),
                "keep_alive": dice.one([{}, {"pool": 5}, {"pool": 5, "idle_timeout": "1s"}]),
            },
            "router": {
                "algorithm": dice.one(["random", "round_robin", "least_request", "power_of_two"]),
                "proxies": dice.whole(1, 3),
                "retry_on_connect": dice.whole(0, 1),
                "lag": dice.one([{"kind": "lognormal", "median": "3ms", "p99": "40ms"}, "0s", "2s",
                                 {"kind": "exponential", "mean": "1s"}]),
                **dice.one([{}, {"mode": "request"}]),
            },
            "release": dice.one([_release(dice, end_s)] * 5 + [None]),
            "faults": [_fault(dice, database) for _ in range(dice.whole(0, 3))],
            "analysis": {"scrape": {"interval": "1s"}},
            "run": {"duration": f"{end_s}s", "window": "1s"},
        }
    )  # fmt: skip


def drawn(number: int) -> Scenario:
    """The random world number `number`."""
    return draw_world(Dice(random.Random(number).randrange))


def worlds() -> SearchStrategy[Scenario]:
    """Worlds by number: every option is as likely."""
    return st.integers(0, (1 << 32) - 1).map(drawn)
