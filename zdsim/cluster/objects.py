"""What do the API objects look like?

An object has an identity that never changes and a frozen `state` that is replaced at each change, with `state.version`
counting up (a resourceVersion). Only `Api` replaces states.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import floor
from typing import Any


class PodPhase(StrEnum):
    """Kubernetes' pod phase."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"

    @property
    def terminal(self) -> bool:
        """Nothing of the pod runs or will run again."""
        return self in (PodPhase.SUCCEEDED, PodPhase.FAILED)


class StrategyKind(StrEnum):
    """Deployment.spec.strategy.type."""

    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"


class ConditionType(StrEnum):
    """Deployment condition types."""

    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    REPLICA_FAILURE = "ReplicaFailure"


class Truth(StrEnum):
    """Status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a Deployment; times in whole seconds once stored."""

    type: ConditionType
    status: Truth
    reason: str
    last_update_s: float
    last_transition_s: float


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """What a pod of one revision looks like.

    Two templates are the same exactly if their `name`s are. `revision` is the index of the revision in the request
    plane; `spec` is whatever the kubelet needs (containers, probes, laws), not looked at here.
    """

    name: str
    revision: int = field(default=0, compare=False)
    grace_s: float = field(default=30.0, compare=False)
    spec: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod as stored at one version. Times in seconds, None = not yet."""

    version: int = 1
    node: str | None = None
    scheduled_s: float | None = None
    running_s: float | None = None
    phase: PodPhase = PodPhase.PENDING
    ready: bool = False
    ready_transition_s: float | None = None  # when `ready` last changed, exactly
    has_ip: bool = False
    deletion_s: float | None = None
    grace_s: float | None = None  # set with deletion_s
    restarts: int = 0
    deletion_cost: int = 0
    gone_s: float | None = None

    @property
    def ready_transition_whole_s(self) -> float | None:
        """The transition time as the API stores it: whole seconds, rounded down."""
        return None if self.ready_transition_s is None else float(floor(self.ready_transition_s))

    @property
    def active(self) -> bool:
        """Counts towards its ReplicaSet's size: not marked for deletion and not terminal."""
        return self.deletion_s is None and not self.phase.terminal

    @property
    def terminating(self) -> bool:
        """Marked for deletion and not terminal yet."""
        return self.deletion_s is not None and not self.phase.terminal


@dataclass(eq=False, slots=True)
class Pod:
    """One pod object. `ordinal` counts the pods of its revision in order of creation."""

    name: str
    uid: int
    ordinal: int
    template: PodTemplate
    replicaset: str
    deployment: str
    created_s: float
    state: PodState
    plane_row: int | None = None  # row in the request plane; the kubelet's business
    kubelet: Any = None  # free for the kubelet's own state

    @property
    def revision(self) -> int:
        """Index of its revision in the request plane."""
        return self.template.revision

    @property
    def created_whole_s(self) -> float:
        """Creation time as the API stores it."""
        return float(floor(self.created_s))


@dataclass(frozen=True, slots=True)
class ReplicaSetState:
    """A ReplicaSet as stored at one version: spec, annotations, then status."""

    spec: int
    min_ready_s: int = 0
    desired: int | None = None  # annotation deployment.kubernetes.io/desired-replicas
    max: int | None = None  # annotation deployment.kubernetes.io/max-replicas
    revision: int = 0  # annotation deployment.kubernetes.io/revision
    generation: int = 1
    observed_generation: int = 0
    replicas: int = 0
    ready: int = 0
    available: int = 0
    terminating: int | None = None
    failure: str | None = None  # reason of condition ReplicaFailure
    version: int = 1


@dataclass(eq=False, slots=True)
class ReplicaSet:
    """One ReplicaSet object of a Deployment."""

    name: str
    uid: int
    template: PodTemplate
    deployment: str
    created_s: float
    state: ReplicaSetState


@dataclass(frozen=True, slots=True)
class DeploymentSpec:
    """Deployment.spec with Kubernetes' defaults. None for the last two: no deadline, keep all history."""

    template: PodTemplate
    replicas: int = 1
    strategy: StrategyKind = StrategyKind.ROLLING_UPDATE
    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"
    min_ready_s: int = 0
    progress_deadline_s: int | None = 600
    history_limit: int | None = 10
    paused: bool = False


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """Deployment.status."""

    observed_generation: int = 0
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    unavailable: int = 0
    terminating: int | None = None
    conditions: tuple[Condition, ...] = ()

    def condition(self, kind: ConditionType) -> Condition | None:
        """The condition of this type, if there is one."""
        return next((c for c in self.conditions if c.type is kind), None)


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """A Deployment as stored at one version."""

    spec: DeploymentSpec
    status: DeploymentStatus = DeploymentStatus()
    generation: int = 1
    revision: int = 0  # annotation deployment.kubernetes.io/revision; 0 = none yet
    version: int = 1


@dataclass(eq=False, slots=True)
class Deployment:
    """One Deployment object."""

    name: str
    created_s: float
    state: DeploymentState
