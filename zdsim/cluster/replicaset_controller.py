"""How does a ReplicaSet keep its number of pods, seeing the cluster late and calling the API at a limited rate?

Acts on what its informers have heard; between an action and the watch events that confirm it the set does not act again
(expectations). Counts per set are kept up with each event: a sync costs nothing per pod unless pods are deleted.

A controller has heard of its own write when the answer comes: watch event and answer leave the API server together, and
in the recordings (r10_100_0) the ReplicaSet controller needs the least possible number of calls, with no conflicts with
itself. One simplification: the availability of pods is counted when the sync begins,
not after its creations were answered.

Source: pkg/controller/replicaset/replica_set.go (syncReplicaSet, manageReplicas), pkg/controller/controller_utils.go
(UIDTrackingControllerExpectations).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import floor
from typing import Final

from zdsim.cluster.api import (
    Api,
    ChangeKind,
    ConflictError,
    ForbiddenError,
    GoneError,
    Pod,
    PodChange,
    PodState,
    ReplicaSet,
    ReplicaSetChange,
    ReplicaSetState,
)
from zdsim.cluster.journal import EntryKind, Journal
from zdsim.cluster.latency import Law
from zdsim.cluster.replicaset import VictimView, create_batches, pods_to_delete, ranks_by_node, size_change
from zdsim.cluster.workqueue import Client, ClientLimits, Process, WorkQueue

__all__ = ["PodReason", "ReplicaSetController"]

EXPECTATIONS_TIMEOUT_S: Final = 300.0
WHO: Final = "replicaset-controller"


class PodReason(StrEnum):
    """Why a ReplicaSet created or deleted a pod, or could not."""

    TOO_FEW = "TooFewPods"
    TOO_MANY = "TooManyPods"
    FAILED_CREATE = "FailedCreate"


@dataclass(slots=True)
class _Seen:
    """What the controller's informers know of one ReplicaSet and its pods."""

    obj: ReplicaSet
    state: ReplicaSetState
    active: dict[str, tuple[Pod, PodState]] = field(default_factory=dict)
    terminating: set[str] = field(default_factory=set)
    ready: set[str] = field(default_factory=set)  # active and ready
    soaking: dict[str, float] = field(default_factory=dict)  # of those: whole second of Ready, while not yet available

    def put(self, pod: Pod, state: PodState) -> None:
        self.drop(pod.name)
        if state.active:
            self.active[pod.name] = (pod, state)
            if state.ready:
                self.ready.add(pod.name)
                self.soaking[pod.name] = state.ready_transition_whole_s or 0.0
        elif state.terminating:
            self.terminating.add(pod.name)

    def drop(self, name: str) -> None:
        self.active.pop(name, None)
        self.ready.discard(name)
        self.soaking.pop(name, None)
        self.terminating.discard(name)

    def start_soaking_again(self) -> None:
        """`min_ready_s` changed: all ready pods have to be looked at."""
        self.soaking = {name: self.active[name][1].ready_transition_whole_s or 0.0 for name in sorted(self.ready)}

    def available(self, now: float) -> int:
        """Ready pods that have soaked."""
        min_ready_s = self.state.min_ready_s
        done = [name for name, since in self.soaking.items() if min_ready_s == 0 or since + min_ready_s <= now]
        for name in done:
            del self.soaking[name]
        return len(self.ready) - len(self.soaking)

    def next_check(self, now: float) -> float | None:
        """Seconds until the next soaking pod becomes available."""
        first = min(self.soaking.values(), default=None)
        return None if first is None else first + self.state.min_ready_s - now


@dataclass(slots=True)
class _Expectations:
    """What has been done and not yet been seen."""

    creations: int = 0
    deletions: set[str] = field(default_factory=set)
    since_s: float = 0.0

    def satisfied(self, now: float) -> bool:
        return (self.creations <= 0 and not self.deletions) or now - self.since_s > EXPECTATIONS_TIMEOUT_S


class ReplicaSetController:
    """kube-controller-manager's ReplicaSet controller.

    Args:
        write_delay: seconds of an API call, by ("write/replicaset-controller/<object>", number of the call).
        limits: of the client, shared by all ReplicaSets.
        report_terminating: status tells terminating pods (on by default since Kubernetes 1.35); costs writes.
    """

    def __init__(
        self,
        api: Api,
        *,
        write_delay: Law,
        limits: ClientLimits | None = None,
        journal: Journal | None = None,
        report_terminating: bool = True,
        workers: int = 5,
    ) -> None:
        self._api = api
        self._clock = api.clock
        self._client = Client(api.clock, WHO, write_delay=write_delay, limits=limits or ClientLimits())
        self._journal = journal
        self._report_terminating = report_terminating
        self._queue = WorkQueue(api.clock, self._sync, workers=workers, max_retries=None)
        self._sets: dict[str, _Seen] = {}
        self._expected: dict[str, _Expectations] = {}
        api.watch_replicasets(self._hear_replicaset, who=WHO)
        api.watch_pods(self._hear_pod, who=WHO)

    # -- informers

    def _hear_replicaset(self, change: ReplicaSetChange) -> None:
        name = change.obj.name
        if change.kind is ChangeKind.DELETED:
            self._sets.pop(name, None)
            self._expected.pop(name, None)
            return
        seen = self._sets.get(name)
        if seen is None:
            self._sets[name] = _Seen(change.obj, change.state)
        else:
            self._learn(seen, change.state)
        self._queue.add(name)

    @staticmethod
    def _learn(seen: _Seen, state: ReplicaSetState) -> None:
        """Take over a newer state, heard or answered."""
        if state.version > seen.state.version:
            soak_anew = seen.state.min_ready_s != state.min_ready_s
            seen.state = state
            if soak_anew:
                seen.start_soaking_again()

    def _hear_pod(self, change: PodChange) -> None:
        pod, state = change.obj, change.state
        seen = self._sets.get(pod.replicaset)
        if seen is None:
            return
        expected = self._expected.get(pod.replicaset)
        if change.kind is ChangeKind.DELETED:
            seen.drop(pod.name)
        else:
            seen.put(pod, state)
        if expected is not None:
            if change.kind is ChangeKind.DELETED or state.deletion_s is not None:
                expected.deletions.discard(pod.name)
            elif change.kind is ChangeKind.ADDED:
                expected.creations -= 1
        self._queue.add(pod.replicaset)

    # -- sync

    def _sync(self, name: str) -> Process:
        seen = self._sets.get(name)
        if seen is None:
            return
        state = seen.state
        expected = self._expected.get(name)
        n_active, n_ready, n_terminating = len(seen.active), len(seen.ready), len(seen.terminating)
        n_available = seen.available(self._clock.now)

        failures: list[str] = []
        if expected is None or expected.satisfied(self._clock.now):
            change = size_change(n_active, state.spec)
            if change > 0:
                yield from self._create(seen, change, failures)
            elif change < 0:
                yield from self._delete(seen, -change)

        after: dict[str, int | PodReason | None] = {
            "replicas": n_active,
            "ready": n_ready,
            "available": n_available,
            "terminating": n_terminating if self._report_terminating else None,
            "failure": PodReason.FAILED_CREATE if failures else None,
            "observed_generation": state.generation,
        }
        if any(getattr(state, key) != value for key, value in after.items()):
            yield from self._write_status(seen, state.version, after)
        if failures:
            raise ForbiddenError(failures[0])
        wait = seen.next_check(self._clock.now)
        if wait is not None:
            self._queue.add_after(name, wait)

    def _write_status(self, seen: _Seen, version: int, after: dict[str, int | PodReason | None]) -> Process:
        """Try, and once more on top of whatever is stored (updateReplicaSetStatus)."""
        replicaset = seen.obj
        yield self._client.call(replicaset.name)
        try:
            state = self._api.update_replicaset_status(replicaset, version=version, **after)
        except ConflictError:
            yield self._client.call(replicaset.name)  # GET
            version = replicaset.state.version
            yield self._client.call(replicaset.name)
            state = self._api.update_replicaset_status(replicaset, version=version, **after)
        self._learn(seen, state)

    def _create(self, seen: _Seen, n: int, failures: list[str]) -> Process:
        """Create `n` pods in batches, up to the first batch with a failure, which is added to `failures`."""
        name = seen.obj.name
        expected = self._expected[name] = _Expectations(creations=n, since_s=self._clock.now)
        for size in create_batches(n):
            n -= size
            waits = [self._client.wait(f"{name}/create") for _ in range(size)]
            for wait in waits:
                self._clock.call_in(wait, lambda: self._create_one(seen.obj, expected, failures))
            yield self._clock.timeout(max(waits))
            if failures:
                expected.creations -= n  # those not tried
                return

    def _create_one(self, replicaset: ReplicaSet, expected: _Expectations, failures: list[str]) -> None:
        try:
            pod = self._api.create_pod(replicaset)
        except ForbiddenError as refused:
            expected.creations -= 1
            failures.append(str(refused))
            self._client.record_event(replicaset.name)
            self._note(replicaset.name, PodReason.FAILED_CREATE, message=str(refused))
            return
        self._client.record_event(replicaset.name)
        self._note(pod.name, PodReason.TOO_FEW)

    def _delete(self, seen: _Seen, n: int) -> Process:
        """Delete `n` pods, all calls in parallel."""
        victims = [pod for pod, _ in self._victims(seen, n)]
        name = seen.obj.name
        expected = self._expected[name] = _Expectations(
            deletions={pod.name for pod in victims}, since_s=self._clock.now
        )
        waits = [self._client.wait(pod.name) for pod in victims]
        for pod, wait in zip(victims, waits, strict=True):
            self._clock.call_in(wait, lambda pod=pod: self._delete_one(seen.obj, pod, expected))  # type: ignore[misc]
        yield self._clock.timeout(max(waits))

    def _delete_one(self, replicaset: ReplicaSet, pod: Pod, expected: _Expectations) -> None:
        try:
            self._api.delete_pod(pod)
        except GoneError:
            expected.deletions.discard(pod.name)
            return
        self._client.record_event(replicaset.name)
        self._note(pod.name, PodReason.TOO_MANY)

    def _victims(self, seen: _Seen, n: int) -> list[tuple[Pod, PodState]]:
        pods = list(seen.active.values())
        if n >= len(pods):
            return pods
        related = [
            state.node
            for other in self._sets.values()
            if other.obj.deployment == seen.obj.deployment
            for _, state in other.active.values()
        ]
        ranks = ranks_by_node([state.node for _, state in pods], related)
        views = [_victim_view(pod, state, rank) for (pod, state), rank in zip(pods, ranks, strict=True)]
        return [pods[i] for i in pods_to_delete(views, n, self._clock.now)]

    def _note(self, subject: str, reason: PodReason, message: str = "") -> None:
        if self._journal is not None:
            self._journal.write(self._clock.now, EntryKind.POD, subject, reason, message)


def _victim_view(pod: Pod, state: PodState, rank: int) -> VictimView:
    return VictimView(
        uid=pod.uid,
        node=state.node,
        phase=state.phase,
        ready=state.ready,
        deletion_cost=state.deletion_cost,
        rank=rank,
        ready_s=state.ready_transition_whole_s,
        restarts=state.restarts,
        created_s=float(floor(pod.created_s)),
    )
