"""What does a run leave behind?

Plain data: nothing here decides, measures or draws. ``zdsim.run`` fills a `RunRecord`; ``zdsim.measure`` turns it
into numbers, ``zdsim.report`` into pictures and files. Times are seconds since the run began.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from zdsim.plane.config import PlaneRecord


class EventKind(StrEnum):
    """What sort of thing happened, for filters and for the marks on a figure."""

    RELEASE = "release"  # somebody changed what should run: new template, undo, pause, resume, scale
    ROLLOUT = "rollout"  # a controller's decision, with its reason
    CONDITION = "condition"  # a condition of the Deployment changed
    POD = "pod"  # created, scheduled, running, ready, unready, deleted, gone
    CONTAINER = "container"  # a process started or ended, with its exit code and what it cut off
    FAULT = "fault"  # an injected fault begins or ends
    ALERT = "alert"  # a rule fires or clears
    ROLLBACK = "rollback"  # onset, detected, decided, diverted, restored


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the story."""

    time_s: float
    kind: EventKind
    subject: str  # "pod/web-2-7", "deployment/web", "fault/database_down", ...
    reason: str  # CamelCase word as Kubernetes would write it: "ScalingReplicaSet", "BackOff", ...
    message: str  # one sentence
    data: Mapping[str, Any] = field(default_factory=dict)  # JSON-able


Span = tuple[float, float]  # from, to (seconds); `to` is the run's end where it never ended


@dataclass(frozen=True, slots=True)
class PodLife:
    """One pod from creation to removal."""

    name: str
    row: int  # in the request plane
    revision: int  # index
    created_s: float
    listening: tuple[Span, ...]  # a process accepts connections
    ready: tuple[Span, ...]  # Ready condition True and the pod not being deleted: what routers may choose
    deleted_s: float | None  # deletionTimestamp set
    gone_s: float | None  # object removed
    restarts: int


@dataclass(frozen=True, slots=True)
class RollbackStages:
    """When each stage of a rollback was reached; None where it never came."""

    onset_s: float | None = None  # the bad revision could first harm
    detected_s: float | None = None  # first failing verdict
    decided_s: float | None = None  # abort
    diverted_s: float | None = None  # last request routed to it
    restored_s: float | None = None  # stable back at full strength


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """What the controllers say about the rollout."""

    start_s: float | None  # the template changed; None: no release in this run
    end_s: float | None  # complete (or rolled back completely); None: not within the run
    outcome: str  # "complete", "rolled back", "stuck", "progressing", "none"
    min_available: int | None  # fewest available pods from start to end (or the run's end)
    max_pods: int | None  # most pods at once, terminating ones included


@dataclass(frozen=True, slots=True, eq=False)
class RunRecord:
    """Everything a run leaves behind."""

    name: str
    strategy: str  # "RollingUpdate" or "Recreate"
    seed: int
    plane: str  # "kernel" or "reference"
    plane_reason: str  # why that one
    scenario: Mapping[str, Any]  # JSON-able, as validated: enough to run it again
    versions: Mapping[str, str]
    digest: str
    duration_s: float
    window_s: float
    replicas: int  # desired at the beginning
    revisions: tuple[str, ...]  # names by index; 0 is the stable one
    bad_revisions: tuple[int, ...]  # those released with a bug
    classes: tuple[str, ...]
    revenue_per_request: tuple[float, ...]  # by class: conversion probability x revenue
    counts: PlaneRecord
    baseline: PlaneRecord | None  # same seed, no release, no fault; None if it was not asked for
    events: tuple[Event, ...]
    pods: tuple[PodLife, ...]
    rollback: RollbackStages
    rollout: RolloutFacts
    assumed: tuple[str, ...]
    notices: tuple[str, ...]
    conversion_left: tuple[float, ...] = ()  # by revision: share of the usual orders an answer brings; absent: all
    wall_s: float = 0.0  # time the simulation took; never part of the digest
