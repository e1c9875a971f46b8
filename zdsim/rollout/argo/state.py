"""What does one pass of the controller read, and what does it leave behind?

A pass reads the spec, the `RolloutStatus` it wrote last, and what it has `Seen` of sets, services, runs and router. It
leaves a `Pass`: what to write, in order, the next status, and when to look again. Templates are hashes ("" = none).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from zdsim.rollout.argo.spec import CanaryStep, ExperimentTemplate, SetHeaderRoute, SetMirrorRoute

__all__ = [
    "CurrentRuns",
    "ExperimentStart",
    "ExperimentView",
    "Pass",
    "PauseCondition",
    "PauseReason",
    "PluginPhase",
    "ProgressReason",
    "Progressing",
    "Reason",
    "ReplicaSetView",
    "Resize",
    "RolloutPhase",
    "RolloutStatus",
    "RunKind",
    "RunPhase",
    "RunStart",
    "RunView",
    "Seen",
    "ServiceRole",
    "Weights",
]


class RunPhase(StrEnum):
    """Phase of an AnalysisRun or Experiment."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    ERROR = "Error"
    INCONCLUSIVE = "Inconclusive"

    @property
    def completed(self) -> bool:
        return self not in (RunPhase.PENDING, RunPhase.RUNNING)


class PluginPhase(StrEnum):
    """What a step plugin last answered."""

    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    ERROR = "Error"


class RunKind(StrEnum):
    """What an AnalysisRun is for."""

    STEP = "step"
    BACKGROUND = "background"
    PRE_PROMOTION = "pre"
    POST_PROMOTION = "post"


class PauseReason(StrEnum):
    """Why the controller paused."""

    CANARY_PAUSE_STEP = "CanaryPauseStep"
    BLUE_GREEN_PAUSE = "BlueGreenPause"
    INCONCLUSIVE_ANALYSIS = "InconclusiveAnalysisRun"


class ServiceRole(StrEnum):
    """A service whose selector the controller sets."""

    ACTIVE = "active"
    PREVIEW = "preview"
    STABLE = "stable"
    CANARY = "canary"


class RolloutPhase(StrEnum):
    """status.phase."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"


class ProgressReason(StrEnum):
    """Reason of the Progressing condition."""

    NEW_SET = "NewReplicaSetCreated"
    FOUND_NEW_SET = "FoundNewReplicaSet"
    UPDATED = "ReplicaSetUpdated"
    NOT_AVAILABLE = "ReplicaSetNotAvailable"
    AVAILABLE = "NewReplicaSetAvailable"
    PAUSED = "RolloutPaused"
    RESUMED = "RolloutResumed"
    RETRY = "RolloutRetry"
    ABORTED = "RolloutAborted"
    TIMED_OUT = "ProgressDeadlineExceeded"


class Reason(StrEnum):
    """What a pass did or waited for, for the journal."""

    INVALID_SPEC = "InvalidSpec"
    SCALING_EVENT = "ScalingEvent"  # spec.replicas changed: sizes only
    UPDATE_DETECTED = "UpdateDetected"  # template or steps changed: status reset
    ROLLBACK_TO_STABLE = "RollbackToStable"
    ROLLBACK_WITHIN_WINDOW = "RollbackWithinWindow"
    CREATED_NEW = "CreatedNew"
    WEIGHT_ROLLBACK_TO_STABLE = "WeightDynamicRollback"
    WEIGHT_PROMOTED = "WeightFullyPromoted"
    WEIGHT_ABORTED = "WeightAborted"
    WEIGHT_NO_CANARY_PODS = "WeightNoCanaryPods"
    WEIGHT_PROMOTE_FULL = "WeightPromoteFull"
    WEIGHT_BEFORE_STEP = "WeightHeldBeforeStep"  # pods for the step are not there yet
    WEIGHT_OF_STEP = "WeightOfStep"
    WEIGHT_LEFT_ALONE = "WeightLeftAlone"  # stable could not carry its share
    ROUTE_SET = "RouteSet"
    ROUTES_REMOVED = "RoutesRemoved"
    SERVICE_SWITCHED = "ServiceSwitched"
    SERVICE_SWITCH_DELAYED = "ServiceSwitchDelayed"
    ACTIVE_NOT_SATURATED = "ActiveNotSaturated"  # no switch, not even back on abort
    RUN_STARTED = "AnalysisRunStarted"
    RUN_TERMINATED = "AnalysisRunTerminated"
    EXPERIMENT_STARTED = "ExperimentStarted"
    EXPERIMENT_TERMINATED = "ExperimentTerminated"
    SCALED_STABLE = "ScaledStable"
    SCALED_NEW = "ScaledNew"
    SCALED_OLD = "ScaledOld"
    CLEANED_UP_UNHEALTHY = "CleanedUpUnhealthy"
    ANNOTATED = "AnnotatedDesired"  # the size stays, the desired count is noted
    DEADLINE_SET = "ScaleDownDeadlineSet"
    DEADLINE_HOLDS = "ScaleDownDeadlineHolds"
    DEADLINE_PASSED = "ScaleDownDeadlinePassed"
    HALTED = "Halted"  # by the user or an inconclusive run
    WAITING_FOR_PODS = "WaitingForPods"
    WAITING_FOR_ANALYSIS = "WaitingForAnalysis"
    PAUSED = "PausedByStep"
    WAITING_IN_PAUSE = "WaitingInPause"
    INCONCLUSIVE = "AnalysisInconclusive"
    STEP_COMPLETED = "StepCompleted"
    CHECK_POINT = "PreviewCheckPoint"
    PROMOTED = "Promoted"
    ABORTED = "Aborted"
    DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"


@dataclass(frozen=True, slots=True)
class ReplicaSetView:
    """One ReplicaSet as last heard of.

    Args:
        template: hash of its pods' template.
        spec, replicas, ready, available: asked for, existing, ready, available pods.
        desired: annotation desired-replicas, None = missing.
        scale_down_at_s: annotation scale-down-deadline, None = missing, NaN = not readable.
        experiment: it belongs to an experiment.
    """

    name: str
    template: str = ""
    created_s: float = 0.0
    spec: int = 0
    replicas: int = 0
    ready: int = 0
    available: int = 0
    desired: int | None = None
    scale_down_at_s: float | None = None
    revision: int = 0
    experiment: bool = False

    @property
    def has_deadline(self) -> bool:
        return self.scale_down_at_s is not None

    def deadline_holds(self, now: float) -> bool:
        """A readable deadline is still to come. One that cannot be read has passed."""
        at = self.scale_down_at_s
        return at is not None and not math.isnan(at) and at > now


@dataclass(frozen=True, slots=True)
class Weights:
    """status.canary.weights: what the router was last told; `verified` None = it does not tell."""

    canary: int
    stable: int
    canary_template: str = ""
    stable_template: str = ""
    additional: tuple[tuple[str, int], ...] = ()
    verified: bool | None = None


@dataclass(frozen=True, slots=True)
class PauseCondition:
    reason: PauseReason
    start_s: float


@dataclass(frozen=True, slots=True)
class Progressing:
    """The Progressing condition; `updated_s` is when it last changed or progress was last seen."""

    reason: ProgressReason
    updated_s: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class CurrentRuns:
    """Names of the runs that count now."""

    step: str | None = None
    background: str | None = None
    pre: str | None = None
    post: str | None = None


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """Rollout status as the controller writes it, and as humans edit it (`steps.promote` and its like).

    `current` is the template last seen as wanted, `steps` the steps it was seen with; `step_index` None = not begun or
    no steps. `controller_pause` outlives the conditions by one pass: that is how a resume is noticed.
    """

    current: str = ""
    stable: str = ""
    steps: tuple[CanaryStep, ...] | None = None
    step_index: int | None = None
    abort: bool = False
    aborted_at_s: float | None = None
    promote_full: bool = False
    controller_pause: bool = False
    pauses: tuple[PauseCondition, ...] = ()
    weights: Weights | None = None
    active_selector: str = ""
    preview_selector: str = ""
    scale_up_preview_check_point: bool = False
    runs: CurrentRuns = CurrentRuns()
    experiment: str | None = None
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    progressing: Progressing | None = None
    healthy: bool | None = None  # None = never was
    phase: RolloutPhase = RolloutPhase.PROGRESSING
    message: str = ""

    def pause(self, reason: PauseReason) -> PauseCondition | None:
        """The condition of this reason (`getPauseCondition`)."""
        return next((condition for condition in self.pauses if condition.reason is reason), None)

    @property
    def fully_promoted(self) -> bool:
        """`IsFullyPromoted`: stable is what is wanted."""
        return self.stable == self.current


@dataclass(frozen=True, slots=True)
class RunView:
    """An AnalysisRun as last heard of."""

    name: str
    phase: RunPhase = RunPhase.PENDING
    message: str = ""
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class ExperimentView:
    """An Experiment as last heard of."""

    name: str
    phase: RunPhase = RunPhase.PENDING
    message: str = ""
    terminating: bool = False
    templates: tuple[str, ...] = ()  # those with a service, in order


@dataclass(frozen=True, slots=True)
class Seen:
    """What the controller has heard when a pass begins.

    Args:
        sets: all sets of the rollout.
        services: selector of each service, "" = never set. A role that is missing does not exist.
        runs, experiments: by name, finished ones too. One that is missing here but named in the status is pending.
        weight_verified: the router confirmed the last weight; None = it does not tell.
        targets_verified: load balancer targets of the switched service are registered; None = not checked.
        plugin: answer of the current step's plugin; None = not asked yet.
    """

    sets: tuple[ReplicaSetView, ...] = ()
    services: Mapping[ServiceRole, str] = field(default_factory=dict)
    runs: Mapping[str, RunView] = field(default_factory=dict)
    experiments: Mapping[str, ExperimentView] = field(default_factory=dict)
    weight_verified: bool | None = None
    targets_verified: bool | None = None
    plugin: PluginPhase | None = None
    plugin_message: str = ""


@dataclass(frozen=True, slots=True)
class Resize:
    """Write `size` to the set `name`, and the wanted replicas as its desired annotation."""

    name: str
    size: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class RunStart:
    """Create an AnalysisRun of `templates`."""

    name: str
    kind: RunKind
    templates: tuple[str, ...]
    step_index: int | None = None


@dataclass(frozen=True, slots=True)
class ExperimentStart:
    """Create an Experiment: bring up its templates (see `experiment`)."""

    name: str
    step_index: int
    templates: tuple[ExperimentTemplate, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass writes. Nothing set = nothing to do but the status.

    Args:
        create: template of a set to create with 0 pods, named `spec.set_name(create)`.
        weight: canary weight for the router, with `experiment_weights`; None = leave it alone.
        reset_weight_first: take all weight from the canary before the router learns which sets are meant.
        services: selectors to write.
        deadlines: scale-down deadlines to write, None = remove it.
        resizes: sizes to write, in order.
        set_route: the managed route of the current step; `remove_routes` drops all managed routes.
        call_plugin: ask the plugin of the current step.
        requeue_after_s: look again then, at the latest.
    """

    status: RolloutStatus
    create: str | None = None
    weight: int | None = None
    experiment_weights: tuple[tuple[str, int], ...] = ()
    reset_weight_first: bool = False
    services: Mapping[ServiceRole, str] = field(default_factory=dict)
    deadlines: Mapping[str, float | None] = field(default_factory=dict)
    resizes: tuple[Resize, ...] = ()
    start_runs: tuple[RunStart, ...] = ()
    terminate_runs: tuple[str, ...] = ()
    start_experiments: tuple[ExperimentStart, ...] = ()
    terminate_experiments: tuple[str, ...] = ()
    set_route: SetHeaderRoute | SetMirrorRoute | None = None
    remove_routes: bool = False
    call_plugin: str | None = None
    requeue_after_s: float | None = None
    reasons: tuple[Reason, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Last size written to each set."""
        return {resize.name: resize.size for resize in self.resizes}
