"""What does one pass know and collect while it goes through its stages?

The stages of `canary_pass` and `bluegreen_pass` read what was seen when the pass began, and collect writes here. Only
what upstream changes in place is seen again in the same pass: selectors, weights, pauses, an abort.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from zdsim.rollout.argo.conditions import (
    calculate_rollout_conditions,
    calculate_rollout_phase,
    next_progress_check,
)
from zdsim.rollout.argo.lifecycle import (
    abort_scale_down_delay,
    deadline_after_abort,
    is_fast_rollback,
    is_rollback_within_window,
    should_delay_scale_down_on_abort,
)
from zdsim.rollout.argo.spec import RESYNC_S, BlueGreenStrategy, RolloutSpec, SetHeaderRoute, SetMirrorRoute
from zdsim.rollout.argo.state import (
    CurrentRuns,
    ExperimentStart,
    Pass,
    PauseCondition,
    PauseReason,
    Progressing,
    ProgressReason,
    Reason,
    ReplicaSetView,
    Resize,
    RolloutStatus,
    RunKind,
    RunPhase,
    RunStart,
    RunView,
    Seen,
    ServiceRole,
    Weights,
)
from zdsim.rollout.argo.steps import current_canary_step, is_indefinite_step

__all__ = ["TIMER_SLACK_S", "Work"]

TIMER_SLACK_S = 1e-3
"""A timer fires this much late, as real ones do: pauses end strictly after their time."""


@dataclass(slots=True)
class Work:
    """One pass. `before` is the status it began with (pauses and resumes noted), `was` the one last written."""

    spec: RolloutSpec
    was: RolloutStatus
    before: RolloutStatus
    seen: Seen
    now: float
    new: ReplicaSetView | None = None
    stable: ReplicaSetView | None = None
    others: tuple[ReplicaSetView, ...] = ()
    create: str | None = None
    services: dict[ServiceRole, str] = field(default_factory=dict)
    switched: dict[ServiceRole, str] = field(default_factory=dict)
    deadlines: dict[str, float | None] = field(default_factory=dict)
    resizes: list[Resize] = field(default_factory=list)
    weights: Weights | None = None
    weight: int | None = None
    reset_weight_first: bool = False
    set_route: SetHeaderRoute | SetMirrorRoute | None = None
    remove_routes: bool = False
    runs: CurrentRuns = field(default_factory=CurrentRuns)
    start_runs: list[RunStart] = field(default_factory=list)
    terminate_runs: list[str] = field(default_factory=list)
    experiment: str | None = None
    start_experiments: list[ExperimentStart] = field(default_factory=list)
    terminate_experiments: list[str] = field(default_factory=list)
    call_plugin: str | None = None
    added_pauses: list[PauseReason] = field(default_factory=list)
    removed_pauses: set[PauseReason] = field(default_factory=set)
    clear_pauses: bool = False
    abort_message: str | None = None
    remove_abort: bool = False
    reasons: list[Reason] = field(default_factory=list)
    timers: list[float] = field(default_factory=list)

    @classmethod
    def begin(cls, spec: RolloutSpec, was: RolloutStatus, before: RolloutStatus, seen: Seen, now: float) -> Work:
        """Find the new, stable and other sets (`newRolloutContext`)."""
        new = _oldest(view for view in seen.sets if view.template == spec.template and not view.experiment)
        stable = None
        if before.stable:
            stable = new if new is not None and new.template == before.stable else None
            if stable is None:
                stable = _oldest(view for view in seen.sets if view.template == before.stable and not view.experiment)
        known = {view.name for view in (new, stable) if view is not None}
        return cls(
            spec,
            was,
            before,
            seen,
            now,
            new=new,
            stable=stable,
            others=tuple(view for view in seen.sets if view.name not in known and not view.experiment),
            services=dict(seen.services),
            weights=before.weights,
            runs=before.runs,
            experiment=before.experiment,
        )

    # -- sets

    def adopt_current(self) -> None:
        """While only sizes are set, the set last seen as wanted stands in for a new one that does not exist yet."""
        before = self.before
        if self.new is not None or before.current in ("", before.stable):
            return
        self.new = _oldest(view for view in self.others if view.template == before.current)
        self.others = tuple(view for view in self.others if view is not self.new)

    def ensure_new(self) -> ReplicaSetView:
        """The new set, created with 0 pods if it does not exist (`getAllReplicaSetsAndSyncRevision`)."""
        if self.new is None:
            revision = 1 + max((view.revision for view in self.seen.sets), default=0)
            self.new = ReplicaSetView(
                self.spec.set_name(self.spec.template),
                self.spec.template,
                created_s=self.now,
                desired=self.spec.replicas,
                revision=revision,
            )
            if self.before.stable == self.spec.template:  # its set was deleted meanwhile
                self.stable = self.new
            self.create = self.spec.template
            self.reasons.append(Reason.CREATED_NEW)
            self.before = replace(self.before, progressing=Progressing(ProgressReason.NEW_SET, self.now))
        elif self.before.progressing is None:
            self.before = replace(self.before, progressing=Progressing(ProgressReason.FOUND_NEW_SET, self.now))
        return self.new

    def resize(self, view: ReplicaSetView, size: int, reason: Reason) -> bool:
        """Write a size if it or the desired annotation differs; True if the size did (`scaleReplicaSet`)."""
        if view.spec == size and view.desired in (None, self.spec.replicas):
            return False
        scaled = view.spec != size
        self.resizes.append(Resize(view.name, size, reason if scaled else Reason.ANNOTATED))
        if scaled:
            self.reasons.append(reason)
        if size == 0 and view.has_deadline and not self.delays_end_of_new:
            self.deadlines[view.name] = None
        return scaled

    @property
    def all_sets(self) -> tuple[ReplicaSetView, ...]:
        """Sets as seen; one created in this pass is not among them."""
        return tuple(view for view in self.seen.sets if not view.experiment)

    def referenced(self, view: ReplicaSetView) -> bool:
        """Status, router or a service still points at the set (`isReplicaSetReferenced`)."""
        before = self.before
        known = {before.stable, before.current, before.active_selector, before.preview_selector}
        if before.weights is not None:
            known |= {before.weights.canary_template, before.weights.stable_template}
        return view.template != "" and view.template in known | set(self.seen.services.values())

    @property
    def within_window(self) -> bool:
        return is_rollback_within_window(self.new, self.stable, self.all_sets, self.spec.rollback_window_revisions)

    @property
    def fast_rollback(self) -> bool:
        return is_fast_rollback(
            self.new,
            self.stable,
            self.all_sets,
            revisions=self.spec.rollback_window_revisions,
            blue_green=isinstance(self.spec.strategy, BlueGreenStrategy),
        )

    @property
    def delays_end_of_new(self) -> bool:
        """The aborted new set keeps its pods for a while. The stable set, if that is what is wanted, just stays."""
        if self.stable is None or self.new is None or self.stable.name == self.new.name:
            return False
        return should_delay_scale_down_on_abort(self.spec.strategy, aborted=self.aborted, has_stable=True)

    def remove_scale_down_deadlines(self) -> None:
        """New and stable sets wait for no end, except an aborted new one (`removeScaleDownDeadlines`)."""
        views = [self.stable]
        if not self.delays_end_of_new:
            views.append(self.new)
        for view in views:
            if view is not None and view.has_deadline:
                self.deadlines[view.name] = None

    def reconcile_new_set(self, wanted: int) -> bool:
        """Size of the new set, or its delayed end after an abort (`reconcileNewReplicaSet`); True if scaled."""
        new = self.new
        if new is None:
            return False
        delay_s = abort_scale_down_delay(self.spec.strategy)
        if self.delays_end_of_new and delay_s is not None:
            assert self.stable is not None
            end = deadline_after_abort(
                new,
                now=self.now,
                wanted=wanted,
                delay_s=delay_s,
                stable_available=self.stable.available,
                replicas=self.spec.replicas,
            )
            if end.requeue_s is not None:
                self.timers.append(end.requeue_s)
            if end.set_deadline_s is not None:
                self.deadlines[new.name] = end.set_deadline_s
                self.reasons.append(Reason.DEADLINE_SET)
            if end.size is None:
                return False
            return self.resize(new, end.size, Reason.DEADLINE_PASSED if end.size == 0 else Reason.SCALED_NEW)
        return self.resize(new, wanted, Reason.SCALED_NEW)

    # -- services

    def switch(self, role: ServiceRole, template: str) -> None:
        """Point a service at a template, if it exists and does not yet."""
        if role in self.services and self.services[role] != template:
            self.services[role] = self.switched[role] = template

    # -- pauses and aborts

    @property
    def aborted(self) -> bool:
        """By now (`IsAborted`)."""
        return not self.remove_abort and (self.abort_message is not None or self.before.abort)

    def add_pause(self, reason: PauseReason) -> None:
        self.added_pauses.append(reason)
        self.reasons.append(Reason.INCONCLUSIVE if reason is PauseReason.INCONCLUSIVE_ANALYSIS else Reason.PAUSED)

    def add_abort(self, message: str) -> None:
        if not self.aborted:
            self.reasons.append(Reason.ABORTED)
        self.abort_message = message

    def set_pause_or_abort(self, run: RunView | None) -> None:
        """What a finished run does to the rollout (`setPauseOrAbort`)."""
        if run is None:
            return
        if run.phase is RunPhase.INCONCLUSIVE:
            self.add_pause(PauseReason.INCONCLUSIVE_ANALYSIS)
        elif run.phase in (RunPhase.FAILED, RunPhase.ERROR):
            self.add_abort(run.message or f"analysis {run.name}: {run.phase}")

    def _with_pauses(self, status: RolloutStatus) -> RolloutStatus:
        """Pauses and abort of the next status (`CalculatePauseStatus`)."""
        before = self.before
        if self.aborted:
            at = self.now if before.aborted_at_s is None else before.aborted_at_s
            return replace(status, abort=True, aborted_at_s=at, pauses=(), controller_pause=False)
        status = replace(status, abort=False, aborted_at_s=None, pauses=(), controller_pause=False)
        if self.clear_pauses:
            return status
        pauses = [condition for condition in before.pauses if condition.reason not in self.removed_pauses]
        added = False
        for reason in dict.fromkeys(self.added_pauses):
            if before.pause(reason) is None:
                pauses.append(PauseCondition(reason, self.now))
                added = True
        if not pauses:
            return status
        return replace(status, pauses=tuple(pauses), controller_pause=before.controller_pause or added)

    # -- analysis runs

    def run(self, name: str | None) -> RunView | None:
        """A run by its name; one that was not heard of yet is pending."""
        return None if name is None else self.seen.runs.get(name, RunView(name))

    def start_run(self, kind: RunKind, templates: tuple[str, ...], step_index: int | None = None) -> str:
        """Create a run under a free name."""
        infix = kind.value if step_index is None else f"{kind.value}{step_index}"
        name = base = f"{self.spec.name}-{self.spec.template}-{infix}"
        n_tries = 1
        while name in self.seen.runs:
            n_tries += 1
            name = f"{base}.{n_tries}"
        self.start_runs.append(RunStart(name, kind, templates, step_index))
        self.reasons.append(Reason.RUN_STARTED)
        return name

    def terminate(self, names: Iterable[str | None]) -> None:
        """Stop those runs that are still going (`cancelAnalysisRuns`)."""
        for name in names:
            run = self.run(name)
            if run is None or run.phase.completed or run.terminating or run.name in self.terminate_runs:
                continue
            self.terminate_runs.append(run.name)
            self.reasons.append(Reason.RUN_TERMINATED)

    def terminate_others(self) -> None:
        """Stop runs that are not current any more."""
        current = {self.runs.step, self.runs.background, self.runs.pre, self.runs.post}
        self.terminate(name for name in self.seen.runs if name not in current)

    # -- the end

    def base_status(self) -> RolloutStatus:
        """The next status before the strategy has its say (`calculateBaseStatus`)."""
        sets = self.all_sets
        return replace(
            self.before,
            current=self.spec.template,
            steps=self.spec.steps,
            replicas=sum(view.replicas for view in sets),
            updated=0 if self.new is None else self.new.replicas,
            ready=sum(view.ready for view in sets),
            available=sum(view.available for view in sets),
            weights=self.weights,
            runs=self.runs,
            experiment=self.experiment,
        )

    def finish(self, status: RolloutStatus) -> Pass:
        """Conditions, pauses and phase of the next status (`calculateRolloutConditions`, `persistRolloutStatus`)."""
        step, _ = current_canary_step(self.spec.steps, self.before.step_index)
        indefinite = is_indefinite_step(step)
        status, stuck = calculate_rollout_conditions(
            self.spec,
            self.before,
            status,
            aborted=self.aborted,
            abort_message=self.abort_message or "",
            indefinite_step=indefinite,
            deadline_pending=any(view.has_deadline for view in self.others),
            now=self.now,
        )
        if status.progressing is not None and status.progressing.reason is ProgressReason.TIMED_OUT:
            self.reasons.append(Reason.DEADLINE_EXCEEDED)
        if stuck:
            self.add_abort(status.progressing.message if status.progressing is not None else "")
        return self.close(self._with_pauses(status), indefinite_step=indefinite)

    def close(self, status: RolloutStatus, *, indefinite_step: bool = False) -> Pass:
        """The pass with its phase and the next time to look."""
        post = self.run(status.runs.post)
        phase, message = calculate_rollout_phase(self.spec, status, post_promotion=None if post is None else post.phase)
        status = replace(status, phase=phase, message=message)
        check_s = next_progress_check(self.spec, self.before, status, indefinite_step=indefinite_step, now=self.now)
        services = {role: to for role, to in self.switched.items() if self.seen.services.get(role) != to}
        if services:
            self.reasons.append(Reason.SERVICE_SWITCHED)
        timers = [RESYNC_S, *(timer + TIMER_SLACK_S for timer in self.timers)]
        if check_s is not None:
            timers.append(check_s)
        return Pass(
            status,
            create=self.create,
            weight=self.weight,
            experiment_weights=() if self.weights is None else self.weights.additional,
            reset_weight_first=self.reset_weight_first,
            services=services,
            deadlines=self.deadlines,
            resizes=tuple(self.resizes),
            start_runs=tuple(self.start_runs),
            terminate_runs=tuple(self.terminate_runs),
            start_experiments=tuple(self.start_experiments),
            terminate_experiments=tuple(self.terminate_experiments),
            set_route=self.set_route,
            remove_routes=self.remove_routes,
            call_plugin=self.call_plugin,
            requeue_after_s=min(timers),
            reasons=tuple(dict.fromkeys(self.reasons)),
        )


def _oldest(views: Iterable[ReplicaSetView]) -> ReplicaSetView | None:
    return min(views, key=lambda view: (view.created_s, view.name), default=None)
