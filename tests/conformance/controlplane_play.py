"""Play a recorded control-plane scenario with zdsim's controllers and a kubelet as simple as the recorder's.

`play(recording, seed, ...)` repeats what the recorder did; `Trace` holds the same figures for both, so that they can
be compared. Not played: scenarios with node capacity, late nodes, drains and disruption budgets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zdsim.cluster.api import (
    Api,
    ChangeKind,
    ConditionType,
    DeploymentChange,
    DeploymentSpec,
    Pod,
    PodChange,
    PodPhase,
    PodTemplate,
    ReplicaSetChange,
    StrategyKind,
)
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.latency import Law, Quantiles, measured_hop, measured_write
from zdsim.cluster.workqueue import ClientLimits
from zdsim.plane import luck
from zdsim.rollout.control_plane import start_control_plane

RECORDED = Path(__file__).parent / "recorded"
NOT_PLAYED = ("capacity_r04_s1_u0_node4_then_node", "drain_pdb_r04_min3")
LIMITS = {"controlplane": ClientLimits(20.0, 30), "controlplane_hiqps": ClientLimits(1000.0, 2000)}

# Round trips of the recorder's own (Python) calls: (probability, seconds); the lower end is the median GET.
PATCH_ROUND_TRIP = ((0.0, 0.00128), (0.5, 0.00551), (0.95, 0.03558), (1.0, 0.1245))
DELETE_ROUND_TRIP = ((0.0, 0.00128), (0.5, 0.00587), (0.95, 0.02221), (1.0, 0.1193))


@dataclass
class Trace:
    """What both the recording and the simulation tell. Times in seconds from the first rollout action."""

    sizes: list[tuple[str, int]] = field(default_factory=list)  # (template, size) in order of change
    size_times: list[float] = field(default_factory=list)
    complete_s: float | None = None  # complete and every old pod gone
    lowest_available: int | None = None  # of status.availableReplicas
    most_pods: int = 0  # at once, terminating ones too
    deadline_s: float | None = None  # ProgressDeadlineExceeded seen
    reasons: list[str] = field(default_factory=list)  # of condition Progressing, in order

    @property
    def sequence(self) -> str:
        return " ".join(f"{name}={size}" for name, size in self.sizes)


def recordings(folder: str) -> dict[str, list[dict[str, Any]]]:
    """Recordings by scenario, all repetitions."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((RECORDED / folder).glob("*.json")):
        recording = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(recording["scenario"], []).append(recording)
    return found


def recorded_trace(recording: dict[str, Any]) -> Trace:
    """The figures of a recording."""
    trace = Trace()
    size: dict[str, int | None] = {}
    for time, name, spec, *_ in recording["rs"]:
        if size.get(name) != spec and time >= 0.0 and spec is not None:
            trace.sizes.append((name, spec))
            trace.size_times.append(time)
        size[name] = spec
    available = None
    for row in recording["deployment"]:
        if row[0] < 0.0:
            available = row[7]
            continue
        if trace.lowest_available is None:
            trace.lowest_available = available
        trace.lowest_available = min(trace.lowest_available or 0, row[7])
        if len(row) > 9 and "Progressing" in row[9]:
            reason = row[9]["Progressing"][1]
            if not trace.reasons or trace.reasons[-1] != reason:
                trace.reasons.append(reason)
            if reason == "ProgressDeadlineExceeded" and trace.deadline_s is None:
                trace.deadline_s = row[0]
    trace.complete_s = recording["actions"][-1][0]
    moves = [(pod["created"], 1) for pod in recording["pods"].values()]
    moves += [(pod["gone"], -1) for pod in recording["pods"].values() if "gone" in pod]
    trace.most_pods = _most([(max(time, 0.0), step) for time, step in moves])
    return trace


def _most(moves: list[tuple[float, int]]) -> int:
    most = now = 0
    for _, step in sorted(moves):
        now += step
        most = max(most, now)
    return most


class FakeKubelet:
    """Runs, readies and ends pods after fixed times, as the recorder's did.

    Each call it makes has the recorded round trip; it hears of pods as any watcher does.
    """

    def __init__(self, api: Api, delays: dict[str, dict[str, Any]], patch: Law, delete: Law) -> None:
        self.api = api
        self.clock = api.clock
        self.delays = delays
        self.patch = patch
        self.delete = delete
        self.ending: set[str] = set()
        self.starting: set[str] = set()
        api.watch_pods(self.hear, who="kubelet")

    def of(self, pod: Pod, what: str) -> float | None:
        table = self.delays.get(pod.template.name, self.delays.get("*", {}))
        value = table[what]
        return value[pod.ordinal % len(value)] if isinstance(value, list) else value

    def hear(self, change: PodChange) -> None:
        pod, state = change.obj, change.state
        if change.kind is ChangeKind.DELETED:
            return
        if state.deletion_s is not None and pod.name not in self.ending:
            self.ending.add(pod.name)
            self.later(self.of(pod, "term") or 0.0, pod, "kill", lambda: self.api.remove_pod(pod))
        elif state.node is not None and pod.name not in self.starting:
            self.starting.add(pod.name)
            self.later(self.of(pod, "start") or 0.0, pod, "run", lambda: self.run(pod))

    def later(self, delay: float, pod: Pod, what: str, act: Any) -> None:
        call = self.delete if what == "kill" else self.patch
        self.clock.call_in(delay + call(f"write/kubelet/{pod.name}/{what}", 0), act)

    def run(self, pod: Pod) -> None:
        if pod.state.gone_s is not None or pod.state.deletion_s is not None:
            return
        self.api.set_pod(pod, phase=PodPhase.RUNNING, has_ip=True, running_s=self.clock.now)
        ready = self.of(pod, "ready")
        if ready is not None:
            self.later(ready, pod, "ready", lambda: self.set_ready(pod, True))

    def set_ready(self, pod: Pod, ready: bool) -> None:
        if pod.state.gone_s is None and pod.state.deletion_s is None:
            self.api.set_pod(pod, ready=ready)


def play(recording: dict[str, Any], seed: int, *, limits: ClientLimits, lead_s: float = 60.0) -> Trace:
    """Do what the recorder did and trace it.

    The recorder waited to see the first available pod of v2 before it paused, scaled or undid, so its later actions
    follow that moment here too, by the time recorded between them; without such a pod they keep their recorded times.
    The rollout begins `lead_s` plus a part of a second (by `seed`) after the deployment was created: client buckets are
    full, as they were for the recorder between scenarios.
    """
    phase = luck.unit(luck.raw(luck.stream_key(seed, "phase"), 0, 0))
    clock = SharedClock()
    plane = start_control_plane(
        clock,
        watch_delay=measured_hop(seed),
        write_delay=measured_write(seed),
        limits=limits,
        report_terminating=False,  # recorded with 1.34
    )
    api, params = plane.api, recording["params"]
    templates = {name: PodTemplate(name, grace_s=30.0) for name in ("v1", "v2", "v3")}
    patch, delete = Quantiles(PATCH_ROUND_TRIP, seed), Quantiles(DELETE_ROUND_TRIP, seed)
    kubelet = FakeKubelet(api, params["delays"], patch, delete)
    created = next(time for time, what in recording["actions"] if what.startswith("create "))
    zero = lead_s + phase
    trace = Trace()
    _watch(api, trace, zero)

    def start() -> None:
        api.create_deployment(
            "app",
            DeploymentSpec(
                templates["v1"],
                replicas=params["replicas"],
                strategy=StrategyKind(params.get("strategy", "RollingUpdate")),
                max_surge=params["maxSurge"] if params["maxSurge"] is not None else "25%",
                max_unavailable=params["maxUnavailable"] if params["maxUnavailable"] is not None else "25%",
                min_ready_s=params.get("minReadySeconds", 0),
                progress_deadline_s=params.get("progressDeadlineSeconds", 600),
            ),
        )

    def act(what: str) -> None:
        match what.split():
            case ["set", "template", name]:
                api.set_template("app", templates[name])
            case ["undo:", "template", "back", "to", name]:
                api.set_template("app", templates[name])
            case ["scale", size]:
                api.scale("app", int(size))
            case ["pause"]:
                api.pause("app")
            case ["resume"]:
                api.resume("app")
            case [("unready" | "ready") as verb, pod]:
                version, index = pod.split("-")
                kubelet.set_ready(api.pods[f"app-{version}-{index}"], verb == "ready")
            case _:
                raise AssertionError(f"unknown action {what!r}")

    clock.call_at(zero + created, start)
    actions = [(time, what) for time, what in recording["actions"] if time >= 0.0 and what != "complete seen"]
    anchor = next((row[0] for row in recording["rs"] if row[1] == "v2" and row[5] > 0), None)

    def follow(now: float, recorded: float, todo: list[tuple[float, str]]) -> None:
        for time, what in todo:
            # The recorder noted the time before its call.
            due = now + time - recorded + patch("write/recorder", round(time * 1000))
            clock.call_at(due, lambda what=what: act(what))  # type: ignore[misc]

    follow(zero, 0.0, actions if anchor is None else actions[:1])
    if anchor is not None:

        def first_available(change: ReplicaSetChange) -> None:
            nonlocal anchor
            if anchor is not None and change.obj.template.name == "v2" and change.state.available > 0:
                follow(clock.now, anchor, actions[1:])
                anchor = None

        api.watch_replicasets(first_available, who="recorder/actions")
    clock.run(until=zero + actions[-1][0] + 1.0)
    while clock.now < zero + 120.0 and not _complete(api):
        clock.run(until=clock.now + 0.02)
    if _complete(api):
        trace.complete_s = clock.now - zero
        clock.run(until=clock.now + 0.5)  # for the last watch events
    return trace


def _watch(api: Api, trace: Trace, zero: float) -> None:
    size: dict[str, int] = {}
    pods: set[str] = set()

    def hear_set(change: ReplicaSetChange) -> None:
        name = change.obj.template.name
        if size.get(name) != change.state.spec and api.clock.now >= zero:
            trace.sizes.append((name, change.state.spec))
            trace.size_times.append(api.clock.now - zero)
        size[name] = change.state.spec

    def hear_pod(change: PodChange) -> None:
        if change.kind is ChangeKind.DELETED:
            pods.discard(change.obj.name)
        else:
            pods.add(change.obj.name)
        if api.clock.now >= zero:
            trace.most_pods = max(trace.most_pods, len(pods))

    def hear_deployment(change: DeploymentChange) -> None:
        if api.clock.now < zero or change.state is None:
            return
        status = change.state.status
        lowest = trace.lowest_available
        trace.lowest_available = status.available if lowest is None else min(lowest, status.available)
        condition = status.condition(ConditionType.PROGRESSING)
        if condition is not None and (not trace.reasons or trace.reasons[-1] != condition.reason):
            trace.reasons.append(str(condition.reason))
            if condition.reason == "ProgressDeadlineExceeded" and trace.deadline_s is None:
                trace.deadline_s = api.clock.now - zero

    api.watch_replicasets(hear_set, who="recorder")
    api.watch_pods(hear_pod, who="recorder")
    api.watch_deployments(hear_deployment, who="recorder")


def _complete(api: Api) -> bool:
    state = api.deployments["app"].state
    status, wanted = state.status, state.spec.replicas
    return (
        status.observed_generation >= state.generation
        and status.updated == status.replicas == status.available == wanted
        and all(pod.template == state.spec.template for pod in api.pods.values())
    )
