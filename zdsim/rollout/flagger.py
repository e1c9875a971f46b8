"""What does Flagger do in one tick?

Flagger looks at a canary once per interval and does one thing. `advance_canary` is that look: from the spec, what the
last tick left and what is seen now, to new weights, a phase, what to do, and why. Nothing happens between ticks.

The target Deployment is the canary; a copy of it, the primary, serves. Promotion copies the spec to the primary, which
then rolls under its own Deployment strategy.

Source: flagger v1.44.0, pkg/controller/scheduler.go. The steps below are in its order: the first that applies ends
the tick.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from zdsim.rollout.flagger_spec import (
    KUBERNETES_PROVIDER,
    TOTAL_WEIGHT,
    CanarySpec,
    Readiness,
    Strategy,
    max_weight,
    next_step_weight,
    strategy,
)

__all__ = [
    "Action",
    "CanaryPhase",
    "CanaryStatus",
    "Reason",
    "Routes",
    "Seen",
    "Tick",
    "advance_canary",
    "runs_analysis",
    "should_advance",
]


class CanaryPhase(StrEnum):
    """Where a canary stands."""

    INITIALIZING = "Initializing"
    INITIALIZED = "Initialized"
    WAITING = "Waiting"  # for confirm-rollout
    PROGRESSING = "Progressing"
    WAITING_PROMOTION = "WaitingPromotion"  # for confirm-promotion
    PROMOTING = "Promoting"
    FINALISING = "Finalising"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def resting(self) -> bool:
        """Whether nothing happens until the target changes."""
        return self in (CanaryPhase.INITIALIZED, CanaryPhase.SUCCEEDED, CanaryPhase.FAILED)


class Action(StrEnum):
    """What the controller does to the cluster in a tick, in the order given."""

    SET_ROUTES = "set routes"
    SCALE_CANARY_UP = "scale canary up"
    SCALE_CANARY_TO_ZERO = "scale canary to zero"
    COPY_SPEC_TO_PRIMARY = "copy spec to primary"
    RUN_POST_ROLLOUT_HOOKS = "run post-rollout hooks"


class Reason(StrEnum):
    """Why a tick did what it did."""

    SUSPENDED = "Suspended"
    PRIMARY_NOT_READY = "PrimaryNotReady"
    INITIALIZED = "InitializationDone"
    NO_CHANGE = "NoChange"
    PRIMARY_STUCK = "PrimaryProgressDeadlineExceeded"
    PROMOTION_FAILED = "PromotionFailed"
    ROLLOUT_NOT_CONFIRMED = "WaitingForApproval"
    NEW_REVISION = "NewRevisionDetected"
    REVISION_CHANGED = "NewRevisionRestartsAnalysis"
    CANARY_NOT_READY = "CanaryNotReady"
    CANARY_STUCK = "CanaryProgressDeadlineExceeded"
    ANALYSIS_SKIPPED = "AnalysisSkipped"
    ROLLBACK_ASKED = "RollbackWebhook"
    ROUTING_TO_PRIMARY = "RoutingToPrimary"
    PROMOTION_FINISHED = "PromotionFinished"
    THRESHOLD_REACHED = "FailedChecksThresholdReached"
    PRE_ROLLOUT_FAILED = "PreRolloutHookFailed"
    CHECK_FAILED = "CheckFailed"
    TRAFFIC_INCREASE_NOT_CONFIRMED = "WaitingForTrafficIncreaseApproval"
    NO_STEP = "NoStepWeight"
    MIRRORING = "Mirroring"
    WEIGHT_ADVANCED = "WeightAdvanced"
    ITERATION_ADVANCED = "IterationAdvanced"
    PROMOTION_NOT_CONFIRMED = "WaitingForPromotionApproval"
    ROUTING_TO_CANARY = "RoutingToCanary"
    COPYING_SPEC = "CopyingSpecToPrimary"


@dataclass(frozen=True, slots=True)
class Routes:
    """Percent of traffic to each, and whether requests are copied to the canary."""

    primary: int = TOTAL_WEIGHT
    canary: int = 0
    mirrored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStatus:
    """What the last tick left. `routes` is what the router holds."""

    phase: CanaryPhase = CanaryPhase.INITIALIZED
    routes: Routes = Routes()
    failed_checks: int = 0
    iterations: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a tick finds. Hooks that do not exist agree; a rollback hook that does not exist asks for nothing.

    `target_changed` compares with the spec last applied: once a change was detected it is False again until the next.
    """

    target_changed: bool = False
    primary: Readiness = Readiness.READY
    canary: Readiness = Readiness.READY
    suspended: bool = False
    confirm_rollout: bool = True
    confirm_traffic_increase: bool = True
    confirm_promotion: bool = True
    pre_rollout_ok: bool = True
    rollout_ok: bool = True  # rollout hooks
    metrics_ok: bool = True  # see flagger_metrics.check_metrics
    rollback_asked: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """The outcome: `status` is what the next tick starts from."""

    status: CanaryStatus
    actions: tuple[Action, ...]
    reasons: tuple[Reason, ...]

    @property
    def weights(self) -> tuple[int, int]:
        """Percent to primary and canary."""
        return self.status.routes.primary, self.status.routes.canary

    @property
    def phase(self) -> CanaryPhase:
        """The phase after this tick."""
        return self.status.phase


_UNDER_WAY = (
    CanaryPhase.PROGRESSING,
    CanaryPhase.WAITING_PROMOTION,
    CanaryPhase.PROMOTING,
    CanaryPhase.FINALISING,
)
_ANALYSED = (CanaryPhase.PROGRESSING, CanaryPhase.WAITING_PROMOTION)


def advance_canary(spec: CanarySpec, status: CanaryStatus, seen: Seen) -> Tick:
    """One tick; pkg/controller/scheduler.go: advanceCanary.

    A failed check is never forgotten: `failed_checks` only grows until a rollback or a new revision, and the rollback
    comes one tick after the threshold is reached.
    """
    if seen.suspended:
        return _stay(status, Reason.SUSPENDED)
    if status.phase is CanaryPhase.INITIALIZING:
        return _initialize(spec, status, seen)
    if not should_advance(status, seen):
        return _stay(status, Reason.NO_CHANGE)
    if not spec.skip_analysis and seen.primary is not Readiness.READY:
        if seen.primary is Readiness.WAITING:
            return _stay(status, Reason.PRIMARY_NOT_READY)
        if status.phase in (CanaryPhase.PROMOTING, CanaryPhase.FINALISING):
            return _fail_promotion(spec, status)
        return _rollback(spec, status, Reason.PRIMARY_STUCK)
    if status.phase not in _UNDER_WAY:
        return _start(status, seen)
    if status.phase in _ANALYSED and seen.target_changed:
        fresh = CanaryStatus(phase=CanaryPhase.PROGRESSING, routes=_routed(spec, status, Routes()))
        return Tick(fresh, (Action.SET_ROUTES,), (Reason.REVISION_CHANGED,))
    if seen.canary is Readiness.WAITING:
        return _stay(status, Reason.CANARY_NOT_READY)
    if seen.canary is Readiness.STUCK:
        return _rollback(spec, status, Reason.CANARY_STUCK)
    if spec.skip_analysis:
        return _skip_analysis(spec, status)
    if status.phase in _ANALYSED and seen.rollback_asked:
        return _rollback(spec, status, Reason.ROLLBACK_ASKED)
    if status.phase is CanaryPhase.PROMOTING:
        return _shift_to_primary(spec, status)
    if status.phase is CanaryPhase.FINALISING:
        done = _in_phase(spec, status, CanaryPhase.SUCCEEDED)
        actions = (Action.SCALE_CANARY_TO_ZERO, Action.RUN_POST_ROLLOUT_HOOKS)
        return Tick(done, actions, (Reason.PROMOTION_FINISHED,))
    if status.failed_checks >= spec.analysis_threshold:
        return _rollback(spec, status, Reason.THRESHOLD_REACHED)
    failure = _failed_check(spec, status, seen)
    if failure is not None:
        return _stay(replace(status, failed_checks=status.failed_checks + 1), failure)
    match strategy(spec):
        case Strategy.AB:
            return _run_ab(spec, status, seen)
        case Strategy.BLUE_GREEN:
            return _run_blue_green(spec, status, seen)
        case Strategy.PROGRESSIVE:
            return _run_canary(spec, status, seen)
        case _ as other:
            assert_never(other)


def should_advance(status: CanaryStatus, seen: Seen) -> bool:
    """Whether there is anything to do; pkg/controller/scheduler.go: shouldAdvance."""
    return not status.phase.resting or seen.target_changed


def runs_analysis(spec: CanarySpec, status: CanaryStatus) -> bool:
    """Whether a tick from here asks rollout hooks and metrics, if it gets that far.

    The first tick of a trial has no traffic to look at and asks the pre-rollout hooks instead.
    """
    if status.phase not in _ANALYSED or spec.skip_analysis:
        return False
    mirroring = spec.mirror and status.routes.mirrored
    return status.routes.canary != 0 or status.iterations != 0 or mirroring


def _initialize(spec: CanarySpec, status: CanaryStatus, seen: Seen) -> Tick:
    """The primary is created; once it is ready it serves and the canary goes to zero (pkg/canary: Initialize)."""
    if not spec.skip_analysis and seen.primary is not Readiness.READY:
        if seen.primary is Readiness.STUCK:
            return _rollback(spec, status, Reason.PRIMARY_STUCK)
        return _stay(status, Reason.PRIMARY_NOT_READY)
    done = CanaryStatus(phase=CanaryPhase.INITIALIZED)
    return Tick(done, (Action.SET_ROUTES, Action.SCALE_CANARY_TO_ZERO), (Reason.INITIALIZED,))


def _start(status: CanaryStatus, seen: Seen) -> Tick:
    """A new revision: ask whether it may start, and scale the canary up (scheduler.go: checkCanaryStatus)."""
    fresh = CanaryStatus(phase=CanaryPhase.PROGRESSING, routes=status.routes)
    if not seen.confirm_rollout:
        return _stay(replace(fresh, phase=CanaryPhase.WAITING), Reason.ROLLOUT_NOT_CONFIRMED)
    return Tick(fresh, (Action.SCALE_CANARY_UP,), (Reason.NEW_REVISION,))


def _failed_check(spec: CanarySpec, status: CanaryStatus, seen: Seen) -> Reason | None:
    if not runs_analysis(spec, status):
        return None if seen.pre_rollout_ok else Reason.PRE_ROLLOUT_FAILED
    return None if seen.rollout_ok and seen.metrics_ok else Reason.CHECK_FAILED


def _skip_analysis(spec: CanarySpec, status: CanaryStatus) -> Tick:
    """Copy the spec at once (scheduler.go: shouldSkipAnalysis)."""
    done = _in_phase(spec, replace(status, routes=_routed(spec, status, Routes())), CanaryPhase.SUCCEEDED)
    actions = (Action.SET_ROUTES, Action.COPY_SPEC_TO_PRIMARY, Action.SCALE_CANARY_TO_ZERO)
    return Tick(done, actions, (Reason.ANALYSIS_SKIPPED,))


def _run_canary(spec: CanarySpec, status: CanaryStatus, seen: Seen) -> Tick:
    """More traffic, or promotion from maxWeight on (scheduler.go: runCanary)."""
    routes = status.routes
    step = next_step_weight(spec, routes.canary)
    if step <= 0:
        return _stay(status, Reason.NO_STEP)
    asked = not routes.mirrored and status.phase is not CanaryPhase.WAITING_PROMOTION
    if asked and not seen.confirm_traffic_increase:
        return _stay(status, Reason.TRAFFIC_INCREASE_NOT_CONFIRMED)
    if routes.canary >= max_weight(spec):
        return _promote(spec, status, seen)
    reason = Reason.WEIGHT_ADVANCED
    if spec.mirror and routes.canary == 0 and not routes.mirrored:
        new, reason = Routes(TOTAL_WEIGHT, 0, mirrored=True), Reason.MIRRORING
    elif spec.mirror and routes.canary == 0:
        new = Routes(TOTAL_WEIGHT - step, step)
    else:
        primary = max(0, routes.primary - step)
        new = Routes(primary, min(TOTAL_WEIGHT, routes.canary + step), routes.mirrored)
    return Tick(replace(status, routes=new), (Action.SET_ROUTES,), (reason,))


def _run_ab(spec: CanarySpec, status: CanaryStatus, seen: Seen) -> Tick:
    """Matched users on the canary for all iterations (scheduler.go: runAB)."""
    if status.iterations < spec.iterations:
        on_canary = _routed(spec, status, Routes(0, TOTAL_WEIGHT))
        advanced = replace(status, routes=on_canary, iterations=status.iterations + 1)
        return Tick(advanced, (Action.SET_ROUTES,), (Reason.ITERATION_ADVANCED,))
    return _promote(spec, status, seen)


def _run_blue_green(spec: CanarySpec, status: CanaryStatus, seen: Seen) -> Tick:
    """Iterations without traffic, then all of it, then promotion (scheduler.go: runBlueGreen)."""
    advanced = replace(status, iterations=status.iterations + 1)
    if status.iterations < spec.effective_iterations:
        if spec.mirror and not status.routes.mirrored and spec.provider != KUBERNETES_PROVIDER:
            mirroring = replace(advanced, routes=Routes(TOTAL_WEIGHT, 0, mirrored=True))
            return Tick(mirroring, (Action.SET_ROUTES,), (Reason.MIRRORING, Reason.ITERATION_ADVANCED))
        return _stay(advanced, Reason.ITERATION_ADVANCED)
    if status.iterations > spec.effective_iterations:
        return _promote(spec, status, seen)
    if not seen.confirm_promotion:
        return _wait_for_promotion(spec, status)
    if spec.provider == KUBERNETES_PROVIDER:
        return _stay(advanced, Reason.ITERATION_ADVANCED)
    switched = replace(advanced, routes=Routes(0, TOTAL_WEIGHT))
    return Tick(switched, (Action.SET_ROUTES,), (Reason.ROUTING_TO_CANARY,))


def _promote(spec: CanarySpec, status: CanaryStatus, seen: Seen) -> Tick:
    if not seen.confirm_promotion:
        return _wait_for_promotion(spec, status)
    promoting = _in_phase(spec, status, CanaryPhase.PROMOTING)
    return Tick(promoting, (Action.COPY_SPEC_TO_PRIMARY,), (Reason.COPYING_SPEC,))


def _wait_for_promotion(spec: CanarySpec, status: CanaryStatus) -> Tick:
    """Hold, and go one iteration back: the gate is asked again after that one (scheduler_hooks.go, status.go)."""
    return _stay(_in_phase(spec, status, CanaryPhase.WAITING_PROMOTION), Reason.PROMOTION_NOT_CONFIRMED)


def _shift_to_primary(spec: CanarySpec, status: CanaryStatus) -> Tick:
    """Traffic back to the promoted primary, at once or step by step (scheduler.go: runPromotionTrafficShift)."""
    if spec.provider == KUBERNETES_PROVIDER:
        return _stay(_in_phase(spec, status, CanaryPhase.FINALISING), Reason.ROUTING_TO_PRIMARY)
    back = Routes()
    if spec.step_weight_promotion > 0:
        if status.routes.canary == 0:
            return _stay(status, Reason.ROUTING_TO_PRIMARY)
        primary = min(TOTAL_WEIGHT, status.routes.primary + spec.step_weight_promotion)
        back = Routes(primary, max(0, status.routes.canary - spec.step_weight_promotion))
    shifted = replace(status, routes=back)
    if back.primary == TOTAL_WEIGHT:
        shifted = _in_phase(spec, shifted, CanaryPhase.FINALISING)
    return Tick(shifted, (Action.SET_ROUTES,), (Reason.ROUTING_TO_PRIMARY,))


def _rollback(spec: CanarySpec, status: CanaryStatus, *reasons: Reason) -> Tick:
    """All traffic to the primary, no canary, Failed (scheduler.go: rollback)."""
    failed = CanaryStatus(phase=CanaryPhase.FAILED, routes=_routed(spec, status, Routes()))
    actions = (Action.SET_ROUTES, Action.SCALE_CANARY_TO_ZERO, Action.RUN_POST_ROLLOUT_HOOKS)
    return Tick(failed, actions, reasons)


def _fail_promotion(spec: CanarySpec, status: CanaryStatus) -> Tick:
    """The primary does not take the new spec: the canary, which works, keeps all traffic (handleFailedPromotion)."""
    on_canary = _routed(spec, status, Routes(0, TOTAL_WEIGHT))
    failed = CanaryStatus(phase=CanaryPhase.FAILED, routes=on_canary)
    return Tick(failed, (Action.SET_ROUTES,), (Reason.PRIMARY_STUCK, Reason.PROMOTION_FAILED))


def _routed(spec: CanarySpec, status: CanaryStatus, routes: Routes) -> Routes:
    """`routes`, unless nobody can shift traffic: the kubernetes provider leaves it on the primary."""
    return status.routes if spec.provider == KUBERNETES_PROVIDER else routes


def _in_phase(spec: CanarySpec, status: CanaryStatus, phase: CanaryPhase) -> CanaryStatus:
    """The status as upstream writes a phase; pkg/canary/status.go: setStatusPhase."""
    iterations = status.iterations
    if phase is CanaryPhase.WAITING_PROMOTION:
        iterations = spec.effective_iterations - 1
    elif phase not in (CanaryPhase.PROGRESSING, CanaryPhase.WAITING):
        iterations = 0
    return replace(status, phase=phase, iterations=iterations)


def _stay(status: CanaryStatus, reason: Reason) -> Tick:
    return Tick(status, (), (reason,))
