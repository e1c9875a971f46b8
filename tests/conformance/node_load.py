"""Release the recorded Deployments again, under the recorded load, and count what failed.

The recorder: one Deployment behind a ClusterIP Service on one node, one client in front of that node's kube-proxy that
sends at an even pace and never retries; a new template two seconds after the load began, five times in a row.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from zdsim.cluster.endpoint_controller import KubeProxy
from zdsim.cluster.journal import EntryKind
from zdsim.plane.config import PlaneConfig
from zdsim.plane.protocol import DataPlane
from zdsim.plane.vocabulary import Outcome
from zdsim.run import choose_plane, simulate
from zdsim.run.plane_config import plane_config
from zdsim.run.world import World, lead_s
from zdsim.scenario.model import Scenario

RECORDED: Final = Path(__file__).parent / "recorded"
LOAD_LEAD_S: Final = 2.0  # the load begins so long before the release
KINDS: Final = ("refused", "unreachable", "reset", "timeout", "other", "total")

#: How the recorder's client names a failure: (error, phase) -> kind. A kube-proxy without endpoints rejects, which a
#: client sees as a refused connection; the end of a process is an EOF or, with bytes unread, a reset.
CLIENT_WORDS: Final = {
    ("refused", "connect"): "refused",
    ("timeout", "connect"): "unreachable",
    ("hostunreach", "connect"): "unreachable",
    ("eof", "read"): "reset",
    ("reset", "read"): "reset",
    ("timeout", "read"): "timeout",
}
OUR_WORDS: Final = {
    Outcome.REFUSED: "refused",
    Outcome.NO_ENDPOINT: "refused",
    Outcome.UNREACHABLE: "unreachable",
    Outcome.RESET: "reset",
    Outcome.TIMEOUT: "timeout",
    Outcome.OVERFLOW: "other",
    Outcome.APP_ERROR: "other",
    Outcome.DB_ERROR: "other",
}

Counts = dict[str, int]


# --- the recording ----------------------------------------------------------------------------------------------------


def names() -> list[str]:
    """The recorded scenarios."""
    return sorted(path.stem for path in (RECORDED / "node").glob("load_*.json"))


@cache
def recording(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((RECORDED / "node" / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def latencies() -> dict[str, dict[str, float]]:
    """Quantiles of 690 recorded pods, by name."""
    text = (RECORDED / "summary_node_latencies.json").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, float]] = json.loads(text)["latencies_s"]
    return loaded


def recorded_counts(name: str, *, strays: bool = True) -> list[Counts]:
    """Failures by kind of each recorded rollout, and their total; without `strays` as `is_stray` tells them."""
    counts = []
    for run in recording(name)["runs"]:
        found = dict.fromkeys(KINDS, 0)
        for row in run["fails"]:
            if strays or not is_stray(run, row):
                found[CLIENT_WORDS[row[1], row[2]]] += 1
        found["total"] = sum(found.values())
        assert not strays or found["total"] == run["failed"], f"{name} rep {run['rep']}: the rows are not all failures"
        counts.append(found)
    return counts


def is_stray(run: dict[str, Any], row: list[Any]) -> bool:
    """Was this connection sent to a dead address while no kube-proxy rule held one?

    Before the first old process has ended, or after the first sync that began when the last old pod had left the ready
    endpoints, no rule names a dead pod. The recorder's connections that went to one all the same met what the kernel
    remembered: an unanswered SYN leaves its translation behind for two minutes, and a client that comes back to the
    same source port within that time is sent where the earlier one went.
    """
    if CLIENT_WORDS[row[1], row[2]] != "unreachable":
        return False
    old = [pod for name, pod in run["pods"].items() if name.startswith("old")]
    first_end = min(pod.get("exit", pod["gone"]) for pod in old)
    last_left = max(t for t, change in run["endpoints"] for letters in change.values() if letters and "t" in letters)
    known_at = first_sync(run, last_left)
    return bool(row[0] < first_end or (known_at is not None and row[0] > known_at))


def first_sync(run: dict[str, Any], change_s: float) -> float | None:
    """End of the first recorded sync that began after a change of endpoints was seen; None: it was not recorded.

    What was seen after a sync's beginning, by a millisecond even, was never served before the next one.
    """
    ends = [end for end, took in run["kube_proxy_syncs"] if end - float(took.rstrip("ms")) / 1000 >= change_s]
    return min(ends, default=None)


# --- ours -------------------------------------------------------------------------------------------------------------


@cache
def scenario_of(name: str) -> Scenario:
    """The recorded situation in our words."""
    whole = recording(name)
    said, env = whole["params"], whole["params"]["env"]
    sent = {run["sent"] for run in whole["runs"]}
    assert len(sent) == 1, f"{name}: the repetitions differ in length"
    deployment: dict[str, Any] = {
        "name": "web",
        "replicas": said["replicas"],
        "terminationGracePeriodSeconds": said["grace"],
        "strategy": {"type": "Recreate"}
        if said.get("strategy") == "Recreate"
        else {"rollingUpdate": {"maxSurge": said["su"], "maxUnavailable": said["un"]}},
        **said["probes"],
    }
    if said["prestop"] is not None:
        deployment["preStop"] = said["prestop"]
    return Scenario.model_validate(
        {
            "name": name.replace("_", "-"),
            "service": {"deployment": deployment},
            "process": {
                "startup": f"{env.get('START_DELAY', 0)}s",
                "ready_delay": f"{env.get('READY_DELAY', 0)}s",
                "on_sigterm": _on_sigterm(env["ON_TERM"]),
                "workers": 1000,  # the server takes whatever comes
                "keepalive_idle": None,
            },
            "traffic": {
                "open": {"rate": said["rate"], "arrivals": "deterministic"},
                "classes": [{"name": "request", "work": {"kind": "empirical", "values": _work(whole)}}],
                "users": {"population": 1},
            },
            "client": {
                "connect_timeout": f"{said['timeout']}s",
                "request_timeout": f"{said['timeout']}s",
                "attempts": 1,
                "keep_alive": {"pool": 1000 if said["ka"] else 0, "idle_timeout": "1h"},
            },
            "router": {"proxies": 1},
            "cluster": {"report_terminating": False},  # recorded before Kubernetes 1.35
            "release": {"at": f"{LOAD_LEAD_S}s"},
            "run": {"duration": f"{sent.pop() / said['rate']}s", "baseline": False},
        }
    )


def _on_sigterm(word: str) -> Any:
    kind, _, seconds = word.partition(":")
    return {"lame_duck": f"{seconds}s"} if kind == "lame" else kind


def _work(whole: dict[str, Any]) -> list[float]:
    """Seconds from request to answer as the recorded client saw them, straight between their quantiles.

    Never less than the server's own timer, `service_ms`.
    """
    quantiles = [0.0, 0.5, 0.95, 0.99, 1.0]
    at = np.linspace(0.0, 1.0, 101)
    runs = []
    for run in whole["runs"]:
        seen = run["latency_ok_s"]
        values = [whole["params"]["service_ms"] / 1000, seen["p50"], seen["p95"], seen["p99"], seen["max"]]
        runs.append(np.interp(at, quantiles, values))
    return [round(float(x), 5) for x in np.mean(runs, axis=0)]


def our_counts(name: str, seed: int) -> Counts:
    """Failures by kind of one of our rollouts, and their total."""
    by_outcome = simulate(scenario_of(name), seed, plane="kernel").counts.counts.sum(axis=(0, 1, 2))
    found = dict.fromkeys(KINDS, 0)
    for outcome, kind in OUR_WORDS.items():
        found[kind] += int(by_outcome[outcome])
    return {**found, "total": sum(found.values())}


class WatchedWorld(World):
    """A world that notes every view its only proxy programs."""

    def __init__(self, scenario: Scenario, config: PlaneConfig, plane: DataPlane, seed: int) -> None:
        self.views: list[tuple[float, frozenset[str]]] = []
        super().__init__(scenario, config, plane, seed)

    def _viewed(self, proxy: KubeProxy) -> None:
        super()._viewed(proxy)
        self.views.append((self.clock.now, frozenset(pod.name for pod in proxy.view)))


@dataclass(slots=True)
class Times:
    """What happened to one pod, and when; None: not (in this run)."""

    revision: int
    created: float
    deleted: float | None
    gone: float | None
    ready: float | None
    started: float | None = None
    listening: float | None = None
    ended: float | None = None
    probe_ok: float | None = None  # first
    running: float | None = None
    endpoints: dict[str, float] = field(default_factory=dict)  # letters -> first written
    ruled: dict[str, float] = field(default_factory=dict)  # letters -> end of the first sync that knew


def our_times(name: str, seed: int) -> Iterator[Times]:
    """The pods of one of our rollouts, from the release on."""
    scenario = scenario_of(name)
    config = plane_config(scenario, seed, start_s=-lead_s(scenario))
    world = WatchedWorld(scenario, config, choose_plane("kernel")[2](config), seed)
    world.clock.run(until=scenario.run.duration_s)
    pods = {
        life.name: Times(
            life.revision, life.created_s, life.deleted_s, life.gone_s, life.ready[0][0] if life.ready else None
        )
        for life in world.story.pods(np.inf)
    }
    for entry in world.journal.entries:
        pod, t = pods.get(entry.subject), entry.time
        if pod is None:
            continue
        if entry.kind is EntryKind.CONTAINER_STARTED and entry.reason == "started":
            pod.started = t
        elif entry.kind is EntryKind.CONTAINER_STARTED:
            pod.listening = t
        elif entry.kind is EntryKind.CONTAINER_ENDED:
            pod.ended = t
        elif entry.kind is EntryKind.PROBE and entry.reason == "success" and pod.probe_ok is None:
            pod.probe_ok = t
        elif entry.kind is EntryKind.ENDPOINTS:
            pod.endpoints.setdefault(entry.reason, t)
    for pod_name, pod in pods.items():
        alive = world.control.api.pods.get(pod_name)
        pod.running = None if alive is None else alive.state.running_s
        for letters, written in pod.endpoints.items():
            known = (t for t, view in world.views if t > written and (pod_name in view) == (letters == "rs-"))
            pod.ruled |= {letters: min(known, default=np.inf)}
    yield from pods.values()
