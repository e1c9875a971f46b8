"""How does the Deployment controller act: what wakes it, in which order does it write, what happens when a write fails?

One sync per deployment at a time, on what the informers have heard when it begins. Its writes follow one another, each
throttled and delayed, each based on the version seen: where a set or the deployment has moved on meanwhile the write
conflicts and the sync is tried again, or, for old sets, given up until the next event, as upstream does. The second
status write of a sync always conflicts, because upstream does not take over the version of the first. Its informers
have heard of a write of its own when the answer comes (see `replicaset_controller`).

Source: pkg/controller/deployment/{deployment_controller,sync,rolling,recreate,progress}.go.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from simpy.events import Event

from zdsim.cluster.api import (
    Api,
    ChangeKind,
    Condition,
    ConditionType,
    ConflictError,
    Deployment,
    DeploymentChange,
    DeploymentState,
    DeploymentStatus,
    PodChange,
    ReplicaSet,
    ReplicaSetChange,
    ReplicaSetState,
    StrategyKind,
    Truth,
)
from zdsim.cluster.journal import EntryKind, Journal
from zdsim.cluster.latency import Law
from zdsim.cluster.workqueue import Client, ClientLimits, Process, WorkQueue
from zdsim.rollout import deployment as rules
from zdsim.rollout import history, progress, scaling
from zdsim.rollout.deployment import Decision, Reason, ReplicaSetView, Resize
from zdsim.rollout.progress import ConditionReason

__all__ = ["DeploymentController", "view_of"]

WHO: Final = "deployment-controller"


def view_of(replicaset: ReplicaSet, state: ReplicaSetState) -> ReplicaSetView:
    """The numbers of a ReplicaSet at one version."""
    return ReplicaSetView(
        name=replicaset.name,
        spec=state.spec,
        replicas=state.replicas,
        ready=state.ready,
        available=state.available,
        created_s=replicaset.created_s,
        template=replicaset.template.name,
        desired=state.desired,
        max_replicas=state.max,
        revision=state.revision,
        terminating=state.terminating,
        failure=state.failure,
        observed=state.generation <= state.observed_generation,
        synced=state.observed_generation > 0,
    )


@dataclass(slots=True)
class _Seen:
    """What the informers know of one deployment."""

    obj: Deployment
    state: DeploymentState
    sets: dict[str, tuple[ReplicaSet, ReplicaSetState]] = field(default_factory=dict)
    pods: dict[str, str] = field(default_factory=dict)  # Recreate only: pod -> its set
    ended: set[str] = field(default_factory=set)  # those of them in a terminal phase
    last_reason: Reason | None = None  # of the last decision, to note changes only


@dataclass(slots=True)
class _Sync:
    """One sync's copy of what was seen; writes bring it up to date where upstream's copy is."""

    name: str
    state: DeploymentState  # spec and version as seen; status with what this sync has noted itself
    objects: dict[str, ReplicaSet]
    seen: dict[str, ReplicaSetState]  # what the informers said
    states: dict[str, ReplicaSetState]  # latest version known to this sync, for writes
    views: dict[str, ReplicaSetView]  # as seen, for decisions and status
    new: ReplicaSetView | None = None

    @property
    def old(self) -> list[ReplicaSetView]:
        return [view for view in self.views.values() if self.new is None or view.name != self.new.name]

    @property
    def surge(self) -> int:
        spec = self.state.spec
        return rules.max_surge(spec.replicas, spec.max_surge, spec.max_unavailable, strategy=spec.strategy)


class DeploymentController:
    """kube-controller-manager's Deployment controller.

    Args:
        write_delay: seconds of an API call, by ("write/deployment-controller/<object>", number of the call).
        limits: of its client.
    """

    def __init__(
        self,
        api: Api,
        *,
        write_delay: Law,
        limits: ClientLimits | None = None,
        journal: Journal | None = None,
        workers: int = 5,
    ) -> None:
        self._api = api
        self._clock = api.clock
        self._client = Client(api.clock, WHO, write_delay=write_delay, limits=limits or ClientLimits())
        self._journal = journal
        self._queue = WorkQueue(api.clock, self._sync, workers=workers)
        self._seen: dict[str, _Seen] = {}
        api.watch_deployments(self._hear_deployment, who=WHO)
        api.watch_replicasets(self._hear_replicaset, who=WHO)
        api.watch_pods(self._hear_pod, who=WHO, where=self._matters)

    # -- informers

    def _hear_deployment(self, change: DeploymentChange) -> None:
        name = change.obj.name
        if name in self._seen:
            self._learn(name, change.state)
        else:
            self._seen[name] = _Seen(change.obj, change.state)
        self._queue.add(name)

    def _hear_replicaset(self, change: ReplicaSetChange) -> None:
        seen = self._seen.get(change.obj.deployment)
        if seen is None:
            return
        if change.kind is ChangeKind.DELETED:
            seen.sets.pop(change.obj.name, None)
        else:
            self._learn_set(change.obj, change.state)
        self._queue.add(change.obj.deployment)

    def _learn(self, name: str, state: DeploymentState) -> None:
        """Take over a newer state of a deployment, heard or answered."""
        seen = self._seen[name]
        if state.version > seen.state.version:
            seen.state = state

    def _learn_set(self, replicaset: ReplicaSet, state: ReplicaSetState) -> None:
        """Take over a newer state of a set, heard or answered."""
        sets = self._seen[replicaset.deployment].sets
        known = sets.get(replicaset.name)
        if known is None or state.version > known[1].version:
            sets[replicaset.name] = (replicaset, state)

    def _matters(self, change: PodChange) -> bool:
        """Pods are looked at for Recreate only."""
        deployment = self._api.deployments.get(change.obj.deployment)
        return deployment is not None and deployment.state.spec.strategy is StrategyKind.RECREATE

    def _hear_pod(self, change: PodChange) -> None:
        pod = change.obj
        seen = self._seen.get(pod.deployment)
        if seen is None:
            return
        if change.kind is not ChangeKind.DELETED:
            seen.pods[pod.name] = pod.replicaset
            if change.state.phase.terminal:
                seen.ended.add(pod.name)
            return
        seen.pods.pop(pod.name, None)
        seen.ended.discard(pod.name)
        if not seen.pods:  # terminal ones count too (`deletePod`), though they would not hold up a sync
            self._queue.add(pod.deployment)

    # -- sync

    def _sync(self, name: str) -> Process:
        seen = self._seen.get(name)
        if seen is None:
            return
        states = {key: state for key, (_, state) in seen.sets.items()}
        run = _Sync(
            name,
            seen.state,
            objects={key: obj for key, (obj, _) in seen.sets.items()},
            seen=states,
            states=dict(states),
            views={key: view_of(obj, state) for key, (obj, state) in seen.sets.items()},
        )
        yield from self._note_pause(run)
        spec = run.state.spec
        if spec.paused:
            yield from self._scale(run, seen)
            return
        yield from self._find_new(run)
        if scaling.is_scaling_event(run.views.values(), spec.replicas):
            yield from self._scale(run, seen)
        elif spec.strategy is StrategyKind.ROLLING_UPDATE:
            yield from self._roll(run, seen)
        else:
            yield from self._recreate(run, seen)

    def _roll(self, run: _Sync, seen: _Seen) -> Process:
        spec = run.state.spec
        yield from self._find_new(run)
        decision = rules.rolling_step(
            run.new, run.old, replicas=spec.replicas, surge=spec.max_surge, unavailable=spec.max_unavailable
        )
        self._note_decision(run, seen, decision)
        if decision.create is not None:
            yield from self._create_new(run, decision.create)
        wrote = yield from self._shrink_or_grow(run, decision)
        if not wrote:
            yield from self._clean_up_if_complete(run)
        yield from self._write_rollout_status(run)

    def _shrink_or_grow(self, run: _Sync, decision: Decision) -> Generator[Event, Any, bool]:
        """Write the sizes; a conflict on an old set ends the step without an error (`reconcileOldReplicaSets`)."""
        for resize in decision.resizes:
            old = run.new is None or resize.name != run.new.name
            try:
                yield from self._resize(run, resize)
            except ConflictError:
                if not old:
                    raise
                return False
        return bool(decision.resizes)

    def _recreate(self, run: _Sync, seen: _Seen) -> Process:
        spec = run.state.spec
        yield from self._find_new(run)
        new_name = None if run.new is None else run.new.name
        decision = rules.recreate_step(
            run.new,
            run.old,
            replicas=spec.replicas,
            old_pods_running=any(owner != new_name and pod not in seen.ended for pod, owner in seen.pods.items()),
        )
        self._note_decision(run, seen, decision)
        if decision.create is not None:
            yield from self._create_new(run, decision.create)
        for resize in decision.resizes:
            yield from self._resize(run, resize)
        if decision.reason in (Reason.OLD_GONE, Reason.CREATED_NEW, Reason.SCALED_UP_NEW, Reason.SCALED_DOWN_NEW):
            yield from self._clean_up_if_complete(run)
        yield from self._write_rollout_status(run)

    def _scale(self, run: _Sync, seen: _Seen) -> Process:
        """`sync`: sizes by share, history while paused, status without a look at progress."""
        spec, status = run.state.spec, run.state.status
        yield from self._find_new(run)
        decision = scaling.scale(
            run.new,
            run.old,
            replicas=spec.replicas,
            surge=spec.max_surge,
            unavailable=spec.max_unavailable,
            strategy=spec.strategy,
            status_replicas=status.replicas,
        )
        self._note_decision(run, seen, decision)
        for resize in decision.resizes:
            yield from self._resize(run, resize)
        if spec.paused:
            yield from self._clean_up(run)
        after = self._status(run)
        if after != status:
            yield from self._write_status(run, after)

    # -- the parts of a sync

    def _note_pause(self, run: _Sync) -> Process:
        spec, status = run.state.spec, run.state.status
        conditions = progress.paused_condition(
            status, paused=spec.paused, deadline_s=spec.progress_deadline_s, now=self._clock.now
        )
        if conditions is not None:
            yield from self._write_status(run, replace(status, conditions=conditions))

    def _find_new(self, run: _Sync) -> Process:
        """Find the set of the wanted template and bring its revision and minReadySeconds up to date.

        Upstream looks anew, in what the informers said, each time; so a set updated twice in one sync conflicts.
        """
        spec = run.state.spec
        found = rules.find_new_replica_set(run.views.values(), spec.template.name)
        run.new = found
        if found is None:
            return
        state = run.states[found.name] = run.seen[found.name]
        revision = max(found.revision, history.next_revision(run.old))
        if revision != found.revision or state.min_ready_s != spec.min_ready_s:
            yield self._client.call(found.name)
            state = self._api.update_replicaset(
                run.objects[found.name], version=state.version, revision=revision, min_ready_s=spec.min_ready_s
            )
            run.states[found.name] = state
            run.new = view_of(run.objects[found.name], state)
            self._learn_set(run.objects[found.name], state)
            return
        status = run.state.status
        conditions = status.conditions
        has_deadline = progress.has_progress_deadline(spec.progress_deadline_s)
        if has_deadline and status.condition(ConditionType.PROGRESSING) is None:
            conditions = self._with_progressing(conditions, ConditionReason.FOUND_NEW_RS)
        if run.state.revision != found.revision or conditions != status.conditions:
            yield from self._write_status(run, replace(status, conditions=conditions), revision=found.revision)

    def _create_new(self, run: _Sync, size: int) -> Process:
        spec = run.state.spec
        revision = history.next_revision(run.views.values())
        yield self._client.call(run.name)
        replicaset = self._api.create_replicaset(
            run.name,
            spec.template,
            ReplicaSetState(
                spec=size,
                min_ready_s=spec.min_ready_s,
                desired=spec.replicas,
                max=spec.replicas + run.surge,
                revision=revision,
            ),
        )
        if size > 0:
            self._client.record_event(run.name)
        self._note_size(replicaset.name, Reason.CREATED_NEW, before=None, size=size)
        self._learn_set(replicaset, replicaset.state)
        run.objects[replicaset.name] = replicaset
        run.states[replicaset.name] = replicaset.state
        run.new = run.views[replicaset.name] = view_of(replicaset, replicaset.state)
        conditions = run.state.status.conditions
        if progress.has_progress_deadline(spec.progress_deadline_s):
            conditions = self._with_progressing(conditions, ConditionReason.NEW_RS_CREATED)
        yield from self._write_status(run, replace(run.state.status, conditions=conditions), revision=revision)

    def _resize(self, run: _Sync, resize: Resize) -> Process:
        """Write size and annotations, if one of them is new (`scaleReplicaSet`)."""
        state = run.states[resize.name]
        desired = run.state.spec.replicas
        if (state.spec, state.desired, state.max) == (resize.size, desired, desired + run.surge):
            return
        yield self._client.call(resize.name)
        run.states[resize.name] = self._api.update_replicaset(
            run.objects[resize.name],
            version=state.version,
            spec=resize.size,
            desired=desired,
            max=desired + run.surge,
        )
        self._learn_set(run.objects[resize.name], run.states[resize.name])
        if resize.size != state.spec:
            self._client.record_event(run.name)
            self._note_size(resize.name, resize.reason, before=state.spec, size=resize.size)

    def _clean_up_if_complete(self, run: _Sync) -> Process:
        if progress.deployment_complete(
            run.state.status, replicas=run.state.spec.replicas, generation=run.state.generation
        ):
            yield from self._clean_up(run)

    def _clean_up(self, run: _Sync) -> Process:
        for name in history.sets_to_delete(run.old, run.state.spec.history_limit):
            yield self._client.call(name)
            if name in self._api.replicasets:
                self._api.delete_replicaset(run.objects[name])

    def _status(self, run: _Sync) -> DeploymentStatus:
        spec = run.state.spec
        return progress.calculate_status(
            self._all(run),
            run.new,
            before=run.state.status,
            generation=run.state.generation,
            replicas=spec.replicas,
            surge=spec.max_surge,
            unavailable=spec.max_unavailable,
            strategy=spec.strategy,
            now=self._clock.now,
        )

    def _write_rollout_status(self, run: _Sync) -> Process:
        spec, status, now = run.state.spec, run.state.status, self._clock.now
        after = progress.sync_rollout_status(
            status,
            self._status(run),
            self._all(run),
            run.new,
            replicas=spec.replicas,
            generation=run.state.generation,
            deadline_s=spec.progress_deadline_s,
            now=now,
        )
        if after != status:
            yield from self._write_status(run, after)
            return
        wait = progress.next_progress_check(
            status,
            after,
            replicas=spec.replicas,
            generation=run.state.generation,
            deadline_s=spec.progress_deadline_s,
            now=now,
        )
        if wait is not None:
            if wait > 0.0:
                self._queue.add_after(run.name, wait)
            else:
                self._queue.add_rate_limited(run.name)

    def _write_status(self, run: _Sync, status: DeploymentStatus, revision: int | None = None) -> Process:
        """Write, based on the version seen when the sync began; its own view takes over the content only."""
        before = run.state
        yield self._client.call(run.name)
        stored = self._api.update_deployment_status(run.name, status, version=before.version, revision=revision)
        self._learn(run.name, stored)
        self._note_conditions(run.name, before.status.conditions, status.conditions)
        run.state = replace(before, status=status, revision=before.revision if revision is None else revision)

    @staticmethod
    def _all(run: _Sync) -> list[ReplicaSetView]:
        return [*run.old, *([] if run.new is None else [run.new])]

    def _with_progressing(self, conditions: tuple[Condition, ...], reason: ConditionReason) -> tuple[Condition, ...]:
        now = self._clock.now
        return progress.set_condition(conditions, Condition(ConditionType.PROGRESSING, Truth.TRUE, reason, now, now))

    # -- journal

    def _note_decision(self, run: _Sync, seen: _Seen, decision: Decision) -> None:
        changed = decision.reason is not seen.last_reason
        seen.last_reason = decision.reason
        if changed and self._journal is not None and not decision.resizes and decision.create is None:
            self._journal.write(self._clock.now, EntryKind.ROLLOUT_STEP, run.name, decision.reason)

    def _note_size(self, subject: str, reason: Reason, *, before: int | None, size: int) -> None:
        if self._journal is not None:
            message = f"{'created' if before is None else before} -> {size}"
            self._journal.write(
                self._clock.now, EntryKind.ROLLOUT_STEP, subject, reason, message, before=before, size=size
            )

    def _note_conditions(self, name: str, before: Iterable[Condition], after: Iterable[Condition]) -> None:
        if self._journal is None:
            return
        known = {condition.type: (condition.status, condition.reason) for condition in before}
        for condition in after:
            if known.get(condition.type) != (condition.status, condition.reason):
                self._journal.write(
                    self._clock.now,
                    EntryKind.CONDITION,
                    name,
                    condition.reason,
                    f"{condition.type} {condition.status}",
                    type=condition.type.value,
                    status=condition.status.value,
                )
