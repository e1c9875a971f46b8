"""What does the API server know, and when does each component hear of it?

A watcher is told of every change of one kind of object after a delay, in order, and gets the state as it was then: what
a controller acts on is what it has *heard*, never what is. A write that names the version it was based on fails with
`ConflictError` when the object has moved on, as with a stale resourceVersion. The objects themselves: `objects`.

Rejected: controllers that read the truth. Kubernetes' rollouts dip below their promise exactly when a status is stale
(an undo shortly after a shrink), and its stale-status guard has no meaning without staleness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import floor
from typing import Any, Final, Generic, TypeAlias, TypeVar

from zdsim.cluster.clock import SharedClock
from zdsim.cluster.latency import Law, constant
from zdsim.cluster.objects import (
    Condition,
    ConditionType,
    Deployment,
    DeploymentSpec,
    DeploymentState,
    DeploymentStatus,
    Pod,
    PodPhase,
    PodState,
    PodTemplate,
    ReplicaSet,
    ReplicaSetState,
    StrategyKind,
    Truth,
)
from zdsim.plane import luck

__all__ = [
    "Api",
    "Change",
    "ChangeKind",
    "Condition",
    "ConditionType",
    "ConflictError",
    "Deployment",
    "DeploymentChange",
    "DeploymentSpec",
    "DeploymentState",
    "DeploymentStatus",
    "ForbiddenError",
    "GoneError",
    "Pod",
    "PodChange",
    "PodPhase",
    "PodState",
    "PodTemplate",
    "ReplicaSet",
    "ReplicaSetChange",
    "ReplicaSetState",
    "StrategyKind",
    "Truth",
]


class ConflictError(Exception):
    """The object has changed since the version this write was based on."""


class GoneError(Exception):
    """The object does not exist (any more)."""


class ForbiddenError(Exception):
    """The API server refuses to create the object (a quota is used up)."""


Obj = TypeVar("Obj", Pod, ReplicaSet, Deployment)
State = TypeVar("State", PodState, ReplicaSetState, DeploymentState)


class ChangeKind(StrEnum):
    """What a watch event tells."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change(Generic[Obj, State]):
    """One change of one object, as told to watchers. `state` is the state after it, `before` the one it replaced."""

    kind: ChangeKind
    obj: Obj
    state: State
    before: State | None
    time: float  # when it was stored; watchers hear later


PodChange: TypeAlias = Change[Pod, PodState]
ReplicaSetChange: TypeAlias = Change[ReplicaSet, ReplicaSetState]
DeploymentChange: TypeAlias = Change[Deployment, DeploymentState]


class _Watchers(Generic[Obj, State]):
    """Those who watch one kind of object."""

    def __init__(self, clock: SharedClock, delay: Law) -> None:
        self._clock = clock
        self._delay = delay
        self._watchers: list[_Watcher[Obj, State]] = []

    def add(
        self,
        who: str,
        handler: Callable[[Change[Obj, State]], None],
        where: Callable[[Change[Obj, State]], bool] | None,
    ) -> None:
        self._watchers.append(_Watcher(who, handler, where))

    def tell(self, change: Change[Obj, State]) -> None:
        now = self._clock.now
        for watcher in self._watchers:
            if watcher.where is not None and not watcher.where(change):
                continue
            heard = now + self._delay(f"watch/{watcher.who}/{change.obj.name}", change.state.version)
            # A watch is one stream: a late event holds up those behind it.
            watcher.last_heard_s = max(heard, watcher.last_heard_s)
            self._clock.call_at(watcher.last_heard_s, _Delivery(watcher.handler, change))


@dataclass(slots=True)
class _Watcher(Generic[Obj, State]):
    who: str
    handler: Callable[[Change[Obj, State]], None]
    where: Callable[[Change[Obj, State]], bool] | None
    last_heard_s: float = float("-inf")


@dataclass(frozen=True, slots=True)
class _Delivery(Generic[Obj, State]):
    handler: Callable[[Change[Obj, State]], None]
    change: Change[Obj, State]

    def __call__(self) -> None:
        self.handler(self.change)


_POD_FIELDS: Final = frozenset(PodState.__dataclass_fields__) - {"version"}


class Api:
    """Owner of all API objects.

    Args:
        clock: whose time it is.
        watch_delay: seconds from a change to its being heard, by ("watch/<who>/<object>", version of the object).
    """

    def __init__(self, clock: SharedClock, *, watch_delay: Law | None = None) -> None:
        delay = watch_delay if watch_delay is not None else constant(0.0)
        self.clock = clock
        self.pod_quota: int | None = None  # most pod objects that are not terminal; None = no ResourceQuota
        self.pods: dict[str, Pod] = {}  # by name, without those that are gone
        self.replicasets: dict[str, ReplicaSet] = {}
        self.deployments: dict[str, Deployment] = {}
        self._ordinals: dict[str, int] = {}  # pods created so far, by ReplicaSet name
        self._pod_watchers = _Watchers[Pod, PodState](clock, delay)
        self._replicaset_watchers = _Watchers[ReplicaSet, ReplicaSetState](clock, delay)
        self._deployment_watchers = _Watchers[Deployment, DeploymentState](clock, delay)

    # -- watching

    def watch_pods(
        self, handler: Callable[[PodChange], None], *, who: str, where: Callable[[PodChange], bool] | None = None
    ) -> None:
        """Tell `handler` of every later change of a pod (for which `where` holds, asked when it is stored)."""
        self._pod_watchers.add(who, handler, where)

    def watch_replicasets(
        self,
        handler: Callable[[ReplicaSetChange], None],
        *,
        who: str,
        where: Callable[[ReplicaSetChange], bool] | None = None,
    ) -> None:
        """Tell `handler` of every later change of a ReplicaSet."""
        self._replicaset_watchers.add(who, handler, where)

    def watch_deployments(
        self,
        handler: Callable[[DeploymentChange], None],
        *,
        who: str,
        where: Callable[[DeploymentChange], bool] | None = None,
    ) -> None:
        """Tell `handler` of every later change of a Deployment."""
        self._deployment_watchers.add(who, handler, where)

    # -- pods

    def create_pod(self, replicaset: ReplicaSet) -> Pod:
        """A new pod of `replicaset`, pending and without a node.

        Raises:
            ForbiddenError: `pod_quota` is used up.
        """
        if self.pod_quota is not None:
            used = sum(not pod.state.phase.terminal for pod in self.pods.values())
            if used >= self.pod_quota:
                raise ForbiddenError(f"{replicaset.name}: {used} of {self.pod_quota} pods")
        template = replicaset.template
        ordinal = self._ordinals.get(replicaset.name, 0)
        self._ordinals[replicaset.name] = ordinal + 1
        name = f"{replicaset.name}-{ordinal}"
        pod = Pod(
            name=name,
            uid=luck.stream_key(0, name),  # unrelated to age, as real UIDs are: the victim order falls back on it
            ordinal=ordinal,
            template=template,
            replicaset=replicaset.name,
            deployment=replicaset.deployment,
            created_s=self.clock.now,
            state=PodState(),
        )
        assert name not in self.pods, f"pod {name} exists"
        self.pods[name] = pod
        self._pod_watchers.tell(Change(ChangeKind.ADDED, pod, pod.state, None, self.clock.now))
        return pod

    def set_pod(self, pod: Pod, **changes: Any) -> PodState:
        """Change fields of `pod.state`; `ready_transition_s` follows `ready` unless given. No-op if nothing changes.

        Raises:
            GoneError: the pod object does not exist any more.
        """
        before = pod.state
        if before.gone_s is not None:
            raise GoneError(pod.name)
        assert _POD_FIELDS.issuperset(changes), f"not fields of a pod: {changes.keys() - _POD_FIELDS}"
        if changes.get("ready", before.ready) != before.ready:
            changes.setdefault("ready_transition_s", self.clock.now)
        if all(getattr(before, name) == value for name, value in changes.items()):
            return before
        pod.state = replace(before, version=before.version + 1, **changes)
        self._pod_watchers.tell(Change(ChangeKind.MODIFIED, pod, pod.state, before, self.clock.now))
        return pod.state

    def bind_pod(self, pod: Pod, node: str) -> PodState:
        """Give the pod to a node's kubelet."""
        return self.set_pod(pod, node=node, scheduled_s=self.clock.now)

    def delete_pod(self, pod: Pod, grace_s: float | None = None) -> None:
        """Ask for the end of `pod`; its kubelet takes it from there.

        Args:
            grace_s: None = the template's. A second delete can only shorten it. Not yet scheduled or terminal pods,
                and grace 0 (force), lose the object at once.

        Source: pkg/registry/core/pod/strategy.go, CheckGracefulDelete.
        """
        state = pod.state
        if state.gone_s is not None:
            raise GoneError(pod.name)
        grace = pod.template.grace_s if grace_s is None else grace_s
        if state.node is None or state.phase.terminal:
            grace = 0.0
        if state.grace_s is not None:
            grace = min(grace, state.grace_s)
        if grace <= 0.0:
            self.set_pod(pod, deletion_s=self.clock.now if state.deletion_s is None else state.deletion_s, grace_s=0.0)
            self.remove_pod(pod)
        else:
            self.set_pod(
                pod, deletion_s=self.clock.now if state.deletion_s is None else state.deletion_s, grace_s=grace
            )

    def remove_pod(self, pod: Pod) -> None:
        """The object is gone: the kubelet's last word, or a forced deletion. A second call does nothing."""
        before = pod.state
        if before.gone_s is not None:
            return
        pod.state = replace(before, version=before.version + 1, gone_s=self.clock.now)
        del self.pods[pod.name]
        self._pod_watchers.tell(Change(ChangeKind.DELETED, pod, pod.state, before, self.clock.now))

    # -- ReplicaSets

    def create_replicaset(self, deployment: str, template: PodTemplate, state: ReplicaSetState) -> ReplicaSet:
        """A new ReplicaSet of `deployment`; its name is the deployment's with the template's.

        Raises:
            ConflictError: there is one of that name.
        """
        name = f"{deployment}-{template.name}"
        if name in self.replicasets:
            raise ConflictError(name)
        replicaset = ReplicaSet(name, luck.stream_key(0, name), template, deployment, self.clock.now, state)
        self.replicasets[name] = replicaset
        self._replicaset_watchers.tell(Change(ChangeKind.ADDED, replicaset, state, None, self.clock.now))
        return replicaset

    def update_replicaset(self, replicaset: ReplicaSet, *, version: int | None, **changes: Any) -> ReplicaSetState:
        """Change spec or annotations, based on `version` (None: whatever is stored).

        Raises:
            ConflictError: `version` is not the stored one.
            GoneError: the object does not exist any more.
        """
        return self._update_replicaset(replicaset, version, changes)

    def update_replicaset_status(
        self, replicaset: ReplicaSet, *, version: int | None, **changes: Any
    ) -> ReplicaSetState:
        """Change status fields, based on `version`; raises as `update_replicaset`."""
        return self._update_replicaset(replicaset, version, changes)

    def delete_replicaset(self, replicaset: ReplicaSet) -> None:
        """Delete an (empty) ReplicaSet object."""
        if self.replicasets.pop(replicaset.name, None) is None:
            raise GoneError(replicaset.name)
        before = replicaset.state
        replicaset.state = replace(before, version=before.version + 1)
        self._replicaset_watchers.tell(Change(ChangeKind.DELETED, replicaset, replicaset.state, before, self.clock.now))

    def _update_replicaset(
        self, replicaset: ReplicaSet, version: int | None, changes: Mapping[str, Any]
    ) -> ReplicaSetState:
        if replicaset.name not in self.replicasets:
            raise GoneError(replicaset.name)
        before = replicaset.state
        if version is not None and version != before.version:
            raise ConflictError(replicaset.name)
        after = replace(before, **changes)
        if after == before:
            return before
        new_spec = after.spec != before.spec or after.min_ready_s != before.min_ready_s
        after = replace(after, version=before.version + 1, generation=before.generation + new_spec)
        replicaset.state = after
        self._replicaset_watchers.tell(Change(ChangeKind.MODIFIED, replicaset, after, before, self.clock.now))
        return after

    # -- Deployments

    def create_deployment(self, name: str, spec: DeploymentSpec) -> Deployment:
        """A new Deployment; its controller will create the pods."""
        assert name not in self.deployments, f"deployment {name} exists"
        deployment = Deployment(name, self.clock.now, DeploymentState(spec))
        self.deployments[name] = deployment
        self._deployment_watchers.tell(Change(ChangeKind.ADDED, deployment, deployment.state, None, self.clock.now))
        return deployment

    def patch_deployment(self, name: str, **changes: Any) -> DeploymentState:
        """Change fields of the spec (template, replicas, paused, ...), as a client does, without a version."""
        deployment = self._deployment(name)
        spec = replace(deployment.state.spec, **changes)
        if spec == deployment.state.spec:
            return deployment.state
        return self._store(deployment, replace(deployment.state, spec=spec, generation=deployment.state.generation + 1))

    def set_template(self, name: str, template: PodTemplate) -> DeploymentState:
        """Start a rollout of `template` (also the way back: the template of an earlier revision)."""
        return self.patch_deployment(name, template=template)

    def scale(self, name: str, replicas: int) -> DeploymentState:
        """Ask for another size."""
        return self.patch_deployment(name, replicas=replicas)

    def pause(self, name: str) -> DeploymentState:
        """Stop rollout steps; scaling and pod replacement go on."""
        return self.patch_deployment(name, paused=True)

    def resume(self, name: str) -> DeploymentState:
        """Take up rollout steps again."""
        return self.patch_deployment(name, paused=False)

    def update_deployment_status(
        self, name: str, status: DeploymentStatus, *, version: int | None, revision: int | None = None
    ) -> DeploymentState:
        """Store a status (and the revision annotation), based on `version`. Condition times are cut to whole seconds.

        Raises:
            ConflictError: `version` is not the stored one.
        """
        deployment = self._deployment(name)
        state = deployment.state
        if version is not None and version != state.version:
            raise ConflictError(name)
        stored = tuple(
            replace(c, last_update_s=float(floor(c.last_update_s)), last_transition_s=float(floor(c.last_transition_s)))
            for c in status.conditions
        )
        after = replace(
            state, status=replace(status, conditions=stored), revision=state.revision if revision is None else revision
        )
        return state if after == state else self._store(deployment, after)

    def _deployment(self, name: str) -> Deployment:
        if name not in self.deployments:
            raise GoneError(name)
        return self.deployments[name]

    def _store(self, deployment: Deployment, after: DeploymentState) -> DeploymentState:
        before = deployment.state
        after = replace(after, version=before.version + 1)
        deployment.state = after
        self._deployment_watchers.tell(Change(ChangeKind.MODIFIED, deployment, after, before, self.clock.now))
        return after
