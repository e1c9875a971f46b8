"""How does the Argo Rollouts controller act: what wakes it, and what does it touch?

A pass (`argo.decide.reconcile`) is taken as instantaneous: it reads, writes at once, and what it wrote wakes the next
one, until a pass writes nothing new. Between passes it sleeps until a ReplicaSet's status, an analysis run, a human or
its own timer calls. Whatever is not a ReplicaSet (router, services, analysis) is behind `Ports`.

Source: rollout/controller.go (`syncHandler`), utils/controller/controller.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from zdsim.cluster.api import Api, PodTemplate, ReplicaSet, ReplicaSetChange, ReplicaSetState
from zdsim.cluster.journal import EntryKind, Journal
from zdsim.rollout.argo import steps
from zdsim.rollout.argo.decide import reconcile
from zdsim.rollout.argo.spec import RolloutSpec, SetHeaderRoute, SetMirrorRoute
from zdsim.rollout.argo.state import (
    ExperimentStart,
    ExperimentView,
    Pass,
    Reason,
    ReplicaSetView,
    RolloutPhase,
    RolloutStatus,
    RunStart,
    RunView,
    Seen,
    ServiceRole,
)

__all__ = ["Ports", "RolloutController"]

WHO: Final = "rollouts-controller"
MAX_PASSES: Final = 100  # in a row without time going by: a pass that always writes something new is a bug

#: Told in the journal only when they are new: a controller waits in many passes.
_QUIET: Final = frozenset(
    {
        Reason.HALTED,
        Reason.WAITING_FOR_PODS,
        Reason.WAITING_FOR_ANALYSIS,
        Reason.WAITING_IN_PAUSE,
        Reason.WEIGHT_LEFT_ALONE,
        Reason.WEIGHT_BEFORE_STEP,
        Reason.WEIGHT_OF_STEP,
        Reason.WEIGHT_PROMOTED,
        Reason.WEIGHT_ABORTED,
        Reason.WEIGHT_NO_CANARY_PODS,
        Reason.SERVICE_SWITCH_DELAYED,
        Reason.DEADLINE_HOLDS,
        Reason.ANNOTATED,
    }
)


class Ports(Protocol):
    """What the controller reaches beside ReplicaSets."""

    def set_weight(self, canary: int, status: RolloutStatus) -> None:
        """Tell the router the canary's weight (of the strategy's maximum)."""

    def set_service(self, role: ServiceRole, template: str) -> None:
        """Point a service at the pods of a template."""

    def set_route(self, route: SetHeaderRoute | SetMirrorRoute | None) -> None:
        """Write a managed route; None removes all."""

    def start_run(self, run: RunStart) -> None: ...

    def terminate_run(self, name: str) -> None: ...

    def start_experiment(self, experiment: ExperimentStart) -> None: ...

    def terminate_experiment(self, name: str) -> None: ...

    def status_changed(self, status: RolloutStatus) -> None:
        """A new status was written."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    spec: RolloutSpec
    template: PodTemplate


class RolloutController:
    """Plays one Rollout.

    Args:
        spec: as applied; `spec.template` names `template`.
        services: roles that exist; a role that is missing is not used by the strategy.
    """

    def __init__(
        self,
        api: Api,
        journal: Journal,
        ports: Ports,
        *,
        spec: RolloutSpec,
        template: PodTemplate,
        services: tuple[ServiceRole, ...],
    ) -> None:
        assert spec.template == template.name, f"{spec.template} is not {template.name}"
        self.status = RolloutStatus()
        self.runs: dict[str, RunView] = {}
        self.experiments: dict[str, ExperimentView] = {}
        self._api, self._clock, self._journal, self._ports = api, api.clock, journal, ports
        self._spec = spec
        self._templates: dict[str, PodTemplate] = {template.name: template}
        self._services = dict.fromkeys(services, "")
        self._deadlines: dict[str, float] = {}
        self._experiment_sets: set[str] = set()
        self._told: frozenset[Reason] = frozenset()
        self._last_weight: int | None = None
        self._last_extra: tuple[tuple[str, int], ...] = ()
        self._timer = 0
        self._asked = False
        api.watch_replicasets(self._heard, who=WHO, where=lambda change: change.obj.deployment == spec.name)
        self._ask()

    # --- what others do to it -------------------------------------------------------------------------------------

    @property
    def spec(self) -> RolloutSpec:
        """What is asked for."""
        return self._spec

    def apply(self, spec: RolloutSpec, template: PodTemplate) -> None:
        """Somebody applies another spec (a new template, other steps, another size)."""
        self._templates[template.name] = template
        self._spec = spec
        self._ask()

    def scale(self, replicas: int) -> None:
        """`kubectl scale`."""
        self._spec = replace(self._spec, replicas=replicas)
        self._ask()

    def set_paused(self, *, paused: bool) -> None:
        """spec.paused."""
        self._spec = replace(self._spec, paused=paused)
        self._ask()

    def promote(self) -> None:
        """`kubectl argo rollouts promote`."""
        self._edit(steps.promote(self.status, len(self._spec.steps)))

    def promote_full(self) -> None:
        """`kubectl argo rollouts promote --full`."""
        self._edit(steps.promote_full(self.status))

    def abort(self) -> None:
        """`kubectl argo rollouts abort`."""
        self._edit(steps.abort(self.status))

    def retry(self) -> None:
        """`kubectl argo rollouts retry rollout`."""
        self._edit(steps.retry(self.status))

    def undo(self) -> str:
        """`kubectl argo rollouts undo`: ask for the stable template again. Returns its name."""
        stable = self.status.stable
        self.apply(replace(self._spec, template=stable), self._templates[stable])
        return stable

    def run_changed(self, run: RunView) -> None:
        """An analysis run has another phase."""
        self.runs[run.name] = run
        self._ask()

    def experiment_changed(self, experiment: ExperimentView) -> None:
        """An experiment has another phase."""
        self.experiments[experiment.name] = experiment
        self._ask()

    def mark_experiment_set(self, name: str) -> None:
        """A set belongs to an experiment: it is neither stable nor new."""
        self._experiment_sets.add(name)

    # --- passes ---------------------------------------------------------------------------------------------------

    def _edit(self, status: RolloutStatus) -> None:
        self.status = status
        self._ask()

    def _heard(self, _: ReplicaSetChange) -> None:
        self._ask()

    def _ask(self) -> None:
        """A pass is wanted; several wishes at one instant make one."""
        if not self._asked:
            self._asked = True
            self._clock.call_in(0.0, self._passes)

    def _passes(self) -> None:
        self._asked = False
        for _ in range(MAX_PASSES):
            done = reconcile(self._spec, self.status, self._seen(), self._clock.now)
            if not self._carry_out(done):
                break
        else:
            raise AssertionError(f"{self._spec.name}: {MAX_PASSES} passes without rest at {self._clock.now}: {done}")
        self._timer += 1
        timer = self._timer
        if done.requeue_after_s is not None:
            self._clock.call_in(max(done.requeue_after_s, 0.001), lambda: self._timed(timer))

    def _timed(self, timer: int) -> None:
        if timer == self._timer:
            self._ask()

    def _seen(self) -> Seen:
        return Seen(
            sets=tuple(self._view(one) for one in self._sets.values()),
            services=dict(self._services),
            runs=self.runs,
            experiments=self.experiments,
        )

    @property
    def _sets(self) -> Mapping[str, ReplicaSet]:
        return {name: one for name, one in self._api.replicasets.items() if one.deployment == self._spec.name}

    def _view(self, one: ReplicaSet) -> ReplicaSetView:
        state = one.state
        return ReplicaSetView(
            name=one.name,
            template=one.template.name,
            created_s=one.created_s,
            spec=state.spec,
            replicas=state.replicas,
            ready=state.ready,
            available=state.available,
            desired=state.desired,
            scale_down_at_s=self._deadlines.get(one.name),
            revision=state.revision,
            experiment=one.name in self._experiment_sets,
        )

    def _carry_out(self, done: Pass) -> bool:
        """Write what the pass wants; True if anything of it was new."""
        wrote = False
        if done.create is not None:
            self._create(done.create)
            wrote = True
        for role, template in done.services.items():
            if self._services.get(role) != template:
                self._services[role] = template
                self._ports.set_service(role, template)
                wrote = True
        if done.reset_weight_first and self._last_weight:
            self._last_weight, self._last_extra = 0, ()
            self._ports.set_weight(0, self.status)  # before the router hears which sets are meant
        extra = () if done.status.weights is None else done.status.weights.additional  # of an experiment's templates
        if done.weight is not None and (done.weight, extra) != (self._last_weight, self._last_extra):
            self._last_weight, self._last_extra = done.weight, extra
            self._ports.set_weight(done.weight, done.status)
        for name, deadline in done.deadlines.items():
            wrote |= self._set_deadline(name, deadline)
        for resize in done.resizes:
            wrote |= self._resize(resize.name, resize.size, resize.reason)
        for run in done.start_runs:
            self.runs[run.name] = RunView(run.name)
            self._ports.start_run(run)
            wrote = True
        for name in done.terminate_runs:
            self.runs[name] = replace(self.runs[name], terminating=True)
            self._ports.terminate_run(name)
            wrote = True
        for experiment in done.start_experiments:
            self.experiments[experiment.name] = ExperimentView(experiment.name)
            self._ports.start_experiment(experiment)
            wrote = True
        for name in done.terminate_experiments:
            self.experiments[name] = replace(self.experiments[name], terminating=True)
            self._ports.terminate_experiment(name)
            wrote = True
        if done.set_route is not None or done.remove_routes:
            self._ports.set_route(done.set_route)
        self._tell(done.reasons)
        if done.status != self.status:
            before, self.status = self.status, done.status
            self._note_phase(before, done.status)
            self._ports.status_changed(done.status)
            wrote = True
        return wrote

    def _create(self, template: str) -> None:
        sets = self._sets
        revision = 1 + max((one.state.revision for one in sets.values()), default=0)
        state = ReplicaSetState(
            spec=0, min_ready_s=int(self._spec.min_ready_s), desired=self._spec.replicas, revision=revision
        )
        one = self._api.create_replicaset(self._spec.name, self._templates[template], state)
        self._step(one.name, Reason.CREATED_NEW, "created with 0 pods")

    def _resize(self, name: str, size: int, reason: Reason) -> bool:
        one = self._api.replicasets[name]
        before = one.state
        after = self._api.update_replicaset(one, version=None, spec=size, desired=self._spec.replicas)
        if after.spec != before.spec:
            self._step(name, reason, f"{before.spec} -> {after.spec}", before=before.spec, size=after.spec)
        return after is not before

    def _set_deadline(self, name: str, deadline: float | None) -> bool:
        if self._deadlines.get(name) == deadline:
            return False
        if deadline is None:
            del self._deadlines[name]
        else:
            self._deadlines[name] = deadline
        return True

    # --- the journal ----------------------------------------------------------------------------------------------

    def _tell(self, reasons: tuple[Reason, ...]) -> None:
        now = frozenset(reasons)
        for reason in reasons:
            if reason in _QUIET and reason in self._told:
                continue
            if reason in (Reason.SCALED_NEW, Reason.SCALED_STABLE, Reason.SCALED_OLD, Reason.CREATED_NEW):
                continue  # told with their sizes
            self._step(self._spec.name, reason, _words(reason))
        self._told = now

    def _note_phase(self, before: RolloutStatus, after: RolloutStatus) -> None:
        if (before.phase, before.message) != (after.phase, after.message):
            message = f"{after.phase}: {after.message}" if after.message else str(after.phase)
            self._journal.write(self._clock.now, EntryKind.CONDITION, self._spec.name, after.phase, message)

    def _step(self, subject: str, reason: Reason, message: str, **data: int) -> None:
        self._journal.write(self._clock.now, EntryKind.ROLLOUT_STEP, subject, reason, message, **data)

    @property
    def settled(self) -> bool:
        """Healthy, and what is asked for is stable and all there."""
        status, spec = self.status, self._spec
        stable = status.phase is RolloutPhase.HEALTHY and status.stable == spec.template
        return stable and status.available >= spec.replicas


def _words(reason: Reason) -> str:
    """A CamelCase reason as words."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in reason.value).strip()
