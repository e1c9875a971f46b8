"""Run the recorded pods again: five bare pods on one node, no traffic, and note what happened to each.

Names and zero are those of the recordings: times are relative to the creation of the pod.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zdsim.cluster.api import Api, Pod, PodTemplate, ReplicaSet, ReplicaSetState
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.journal import Entry, EntryKind, Journal
from zdsim.cluster.kubelet import Kubelet
from zdsim.cluster.latency import measured_hop
from zdsim.cluster.node import NodeLaws, NodeSettings
from zdsim.cluster.pod import PodSpec

RECORDED = Path(__file__).parent / "recorded" / "node"


def recording(scenario: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((RECORDED / f"{scenario}.json").read_text(encoding="utf-8"))
    return loaded


@dataclass(slots=True)
class Story:
    """One pod: (time, what) relative to its creation; `status` rows are (time, phase, ready, restarts)."""

    status: list[tuple[float, str, bool, int]] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    ends: list[tuple[float, int]] = field(default_factory=list)
    deleted: float | None = None
    gone: float | None = None

    @property
    def running(self) -> float:
        """When the phase Running was seen first."""
        return next(t for t, phase, _, _ in self.status if phase == "Running")

    def ready(self) -> list[tuple[float, bool]]:
        """Changes of the Ready condition."""
        changes, last = [], False
        for t, _, ready, _ in self.status:
            if ready != last:
                changes.append((t, ready))
                last = ready
        return changes


def recorded_stories(scenario: str) -> list[Story]:
    """The recorded pods, told the same way."""
    stories = []
    for run in recording(scenario)["runs"]:
        story = Story()
        for t, phase, ready, _, restarts, *_ in run["status"]:
            story.status.append((t, phase, bool(ready), restarts))
        story.starts = [t for t, what, _ in run["runtime_events"] if what == "start"]
        story.ends = [(t, code) for t, what, code in run["runtime_events"] if what == "exit"]
        story.gone = run.get("gone")
        story.deleted = run.get("delete_requested")
        stories.append(story)
    return stories


@dataclass(slots=True)
class Lab:
    clock: SharedClock
    api: Api
    journal: Journal
    kubelet: Kubelet
    replicaset: ReplicaSet
    stories: dict[str, Story] = field(default_factory=dict)
    born: dict[str, float] = field(default_factory=dict)

    @classmethod
    def make(cls, spec: PodSpec, *, seed: int, grace_s: float = 30.0, settings: NodeSettings | None = None) -> "Lab":
        clock = SharedClock()
        api, journal = Api(clock, watch_delay=measured_hop(seed)), Journal()
        kubelet = Kubelet(
            clock, api, journal, plane=None, nodes=["node"], laws=NodeLaws.measured(seed), settings=settings
        )
        template = PodTemplate("v1", grace_s=grace_s, spec=spec)
        lab = cls(clock, api, journal, kubelet, ReplicaSet("bare", 0, template, "bare", 0.0, ReplicaSetState(0)))
        api.watch_pods(lab._hear, who="recorder")
        journal.listen(lab._note)
        return lab

    def create(self) -> Pod:
        pod = self.api.create_pod(self.replicaset)
        self.born[pod.name], self.stories[pod.name] = self.clock.now, Story()
        self.api.bind_pod(pod, "node")
        return pod

    def _hear(self, change: Any) -> None:
        name, t = change.obj.name, self.clock.now
        state, story = change.state, self.stories[name]
        if state.gone_s is not None:
            story.gone = t - self.born[name]
        else:
            story.status.append((t - self.born[name], state.phase.value, state.ready, state.restarts))

    def _note(self, entry: Entry) -> None:
        name = entry.subject
        t = entry.time - self.born[name]
        if entry.kind is EntryKind.CONTAINER_STARTED and entry.reason == "started":
            self.stories[name].starts.append(t)
        elif entry.kind is EntryKind.CONTAINER_ENDED:
            code = entry.data["exit_code"]
            assert isinstance(code, int)
            self.stories[name].ends.append((t, code))


def play(
    spec: PodSpec,
    *,
    until: float,
    seed: int,
    n: int = 5,
    spacing_s: float = 0.7,
    first_s: float = 100.0,
    grace_s: float = 30.0,
    delete_after_s: float | None = None,
    settings: NodeSettings | None = None,
) -> list[Story]:
    """`n` pods created `spacing_s` apart; each deleted after `delete_after_s`. All stories run to `until` at least."""
    lab = Lab.make(spec, seed=seed, grace_s=grace_s, settings=settings)

    def bear() -> None:
        pod = lab.create()
        if delete_after_s is not None:
            lab.stories[pod.name].deleted = delete_after_s
            lab.clock.call_in(delete_after_s, lambda: lab.api.delete_pod(pod))

    for k in range(n):
        lab.clock.call_at(first_s + k * spacing_s, bear)
    lab.clock.run(until=first_s + n * spacing_s + until)
    return list(lab.stories.values())


__all__ = ["Lab", "Story", "play", "recorded_stories", "recording"]
