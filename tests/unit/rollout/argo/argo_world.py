"""An idealised cluster to drive `reconcile` with: pods become available after a delay, writes arrive at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from zdsim.rollout.argo.decide import reconcile
from zdsim.rollout.argo.spec import RolloutSpec
from zdsim.rollout.argo.state import (
    Pass,
    Reason,
    ReplicaSetView,
    RolloutPhase,
    RolloutStatus,
    RunKind,
    RunPhase,
    RunView,
    Seen,
    ServiceRole,
)

MAX_PASSES = 60  # at one instant


@dataclass
class World:
    """One rollout and its pods. `start_s` after its birth a pod is available, unless its template is broken."""

    spec: RolloutSpec
    start_s: float = 10.0
    now: float = 0.0
    status: RolloutStatus = field(default_factory=RolloutStatus)
    services: dict[ServiceRole, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    outcome: dict[RunKind, tuple[RunPhase, float]] = field(default_factory=dict)
    weight: int = 0
    sets: dict[str, ReplicaSetView] = field(default_factory=dict)
    pods: dict[str, list[float]] = field(default_factory=dict)
    runs: dict[str, RunView] = field(default_factory=dict)
    ends: dict[str, tuple[float, RunPhase]] = field(default_factory=dict)
    passes: list[tuple[float, Pass]] = field(default_factory=list)
    trail: list[tuple[float, dict[str, int]]] = field(default_factory=list)  # sizes by template after each pass
    wake: float = 0.0

    def view(self, template: str) -> ReplicaSetView:
        return self._seen_set(self.spec.set_name(template))

    def size(self, template: str) -> int:
        name = self.spec.set_name(template)
        return self.sets[name].spec if name in self.sets else 0

    def reasons(self) -> list[Reason]:
        return [reason for _, one in self.passes for reason in one.reasons]

    def _seen_set(self, name: str) -> ReplicaSetView:
        view = self.sets[name]
        available = 0
        if view.template not in self.broken:
            available = sum(born + self.start_s <= self.now for born in self.pods[name])
        return replace(view, replicas=len(self.pods[name]), ready=available, available=available)

    def _seen(self) -> Seen:
        for name, (at, phase) in list(self.ends.items()):
            if at <= self.now:
                self.runs[name] = replace(self.runs[name], phase=phase)
                del self.ends[name]
        return Seen(tuple(self._seen_set(name) for name in self.sets), dict(self.services), dict(self.runs))

    def act(self, human: Callable[[RolloutStatus], RolloutStatus]) -> None:
        self.status = human(self.status)
        self.settle()

    def update(self, spec: RolloutSpec) -> None:
        self.spec = spec
        self.settle()

    def settle(self) -> None:
        """Pass after pass until nothing is written any more."""
        for _ in range(MAX_PASSES):
            done = reconcile(self.spec, self.status, self._seen(), self.now)
            self.passes.append((self.now, done))
            changed = self._apply(done)
            self.trail.append((self.now, {view.template: view.spec for view in self.sets.values()}))
            if not changed:
                assert done.requeue_after_s is not None
                self.wake = self.now + done.requeue_after_s
                return
        raise AssertionError(f"no rest at {self.now}: {self.reasons()[-20:]}")

    def _apply(self, done: Pass) -> bool:
        changed = done.status != self.status
        self.status = done.status
        if done.create is not None:
            name = self.spec.set_name(done.create)
            revision = 1 + max((view.revision for view in self.sets.values()), default=0)
            desired = self.spec.replicas
            self.sets[name] = ReplicaSetView(name, done.create, self.now, desired=desired, revision=revision)
            self.pods[name] = []
            changed = True
        for resize in done.resizes:
            view = self.sets[resize.name]
            changed |= (view.spec, view.desired) != (resize.size, self.spec.replicas)
            self.sets[resize.name] = replace(view, spec=resize.size, desired=self.spec.replicas)
            pods = sorted(self.pods[resize.name])[: resize.size]  # the youngest go first
            self.pods[resize.name] = pods + [self.now] * (resize.size - len(pods))
        for name, at in done.deadlines.items():
            changed |= self.sets[name].scale_down_at_s != at
            self.sets[name] = replace(self.sets[name], scale_down_at_s=at)
        for role, template in done.services.items():
            changed |= self.services[role] != template
            self.services[role] = template
        if done.weight is not None:
            changed |= self.weight != done.weight
            self.weight = done.weight
        for start in done.start_runs:
            assert start.name not in self.runs
            self.runs[start.name] = RunView(start.name, RunPhase.RUNNING)
            phase, after_s = self.outcome.get(start.kind, (RunPhase.SUCCESSFUL, 5.0))
            self.ends[start.name] = (self.now + after_s, phase)
            changed = True
        for name in done.terminate_runs:
            self.runs[name] = replace(self.runs[name], phase=RunPhase.SUCCESSFUL, terminating=True)
            self.ends.pop(name, None)
            changed = True
        return changed

    def run(self, until: float) -> None:
        """Go on from event to event: a pod becomes available, a run ends, a timer fires."""
        while True:
            events = [self.wake]
            for name, births in self.pods.items():
                if self.sets[name].template not in self.broken:
                    events += [born + self.start_s for born in births]
            events += [at for at, _ in self.ends.values()]
            at = min((event for event in events if event > self.now), default=until)
            if at > until:
                self.now = until
                return
            self.now = at
            self.settle()

    def deploy_first(self) -> None:
        """The first revision, whole and stable."""
        self.settle()
        self.run(self.now + 100.0)
        assert self.status.phase is RolloutPhase.HEALTHY, self.status
