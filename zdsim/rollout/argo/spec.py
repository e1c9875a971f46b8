"""What does a Rollout ask for, as the controller reads it?

Defaults are upstream's (utils/defaults/defaults.go). A field that upstream tells apart from its default is None when
unset: an unset `abort_scale_down_delay_s` is 30 s, 0 means never.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from zdsim.rollout.deployment import resolve_fenceposts

__all__ = [
    "DEFAULT_ABORT_SCALE_DOWN_DELAY_S",
    "DEFAULT_SCALE_DOWN_DELAY_S",
    "MAX_WEIGHT",
    "RESYNC_S",
    "VERIFY_RETRY_S",
    "Analysis",
    "BackgroundAnalysis",
    "BlueGreenStrategy",
    "CanaryStep",
    "CanaryStrategy",
    "Experiment",
    "ExperimentAnalysis",
    "ExperimentTemplate",
    "HeaderMatch",
    "Pause",
    "Plugin",
    "ReplicaProgressThreshold",
    "RolloutSpec",
    "RouterKind",
    "SetCanaryScale",
    "SetHeaderRoute",
    "SetMirrorRoute",
    "SetWeight",
    "SpecRef",
    "ThresholdKind",
    "TrafficRouting",
    "max_surge",
    "max_unavailable",
    "parse_duration",
]

MAX_WEIGHT: Final = 100
DEFAULT_SCALE_DOWN_DELAY_S: Final = 30.0
DEFAULT_ABORT_SCALE_DOWN_DELAY_S: Final = 30.0
VERIFY_RETRY_S: Final = 10.0  # until a router is asked again whether it took a weight
RESYNC_S: Final = 900.0  # every rollout is looked at least this often


class RouterKind(StrEnum):
    """Who splits the traffic. Only some can do header routes, mirrors, or weights other than percent."""

    ISTIO = "istio"
    ALB = "alb"
    NGINX = "nginx"
    SMI = "smi"
    APISIX = "apisix"
    TRAEFIK = "traefik"
    AMBASSADOR = "ambassador"
    APP_MESH = "appMesh"
    PLUGIN = "plugins"


class ThresholdKind(StrEnum):
    """What a replica progress threshold counts."""

    PERCENTAGE = "Percentage"
    POD = "Pod"


class SpecRef(StrEnum):
    """Whose pod template an experiment template takes."""

    STABLE = "stable"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """One header condition; exactly one of the three texts is set."""

    name: str
    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None


@dataclass(frozen=True, slots=True)
class SetWeight:
    """Target weight until the next of its kind."""

    weight: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop for `duration` (seconds, or text such as "5m"), or until a human resumes (None)."""

    duration: int | str | None = None

    @property
    def duration_s(self) -> float | None:
        """Seconds; None = until resumed; -1 = not readable, which `validate` rejects (`DurationSeconds`)."""
        if self.duration is None:
            return None
        seconds = parse_duration(self.duration)
        return -1.0 if seconds is None else seconds


@dataclass(frozen=True, slots=True)
class SetCanaryScale:
    """Canary pods apart from the weight: `replicas`, or those of `weight`, or back to normal."""

    replicas: int | None = None
    weight: int | None = None
    match_traffic_weight: bool = False


@dataclass(frozen=True, slots=True)
class Analysis:
    """One AnalysisRun of these templates that must succeed."""

    templates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExperimentTemplate:
    """Pods of an experiment; `weight` is their share of the traffic, with a router."""

    name: str
    spec_ref: SpecRef = SpecRef.CANARY
    replicas: int = 1
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class ExperimentAnalysis:
    """An AnalysisRun of an experiment."""

    name: str
    template: str = ""
    required_for_completion: bool = False


@dataclass(frozen=True, slots=True)
class Experiment:
    """An Experiment that must succeed."""

    templates: tuple[ExperimentTemplate, ...] = ()
    duration: int | str | None = None
    analyses: tuple[ExperimentAnalysis, ...] = ()

    @property
    def duration_s(self) -> float | None:
        return None if self.duration is None else parse_duration(self.duration)


@dataclass(frozen=True, slots=True)
class SetHeaderRoute:
    """Requests with these headers go to the canary; no match removes the route."""

    name: str
    match: tuple[HeaderMatch, ...] = ()


@dataclass(frozen=True, slots=True)
class SetMirrorRoute:
    """A copy of `percentage` of the matching requests goes to the canary; no match removes the route."""

    name: str
    percentage: int | None = None
    match: tuple[HeaderMatch, ...] = ()


@dataclass(frozen=True, slots=True)
class Plugin:
    """A step plugin, asked until it is done."""

    name: str


CanaryStep: TypeAlias = (
    SetWeight | Pause | SetCanaryScale | Analysis | Experiment | SetHeaderRoute | SetMirrorRoute | Plugin
)


@dataclass(frozen=True, slots=True)
class TrafficRouting:
    """The router in front of canary and stable.

    `max_weight` counts as 100 unless the router is NGINX or a plugin. `verifies` = the router tells whether it took a
    weight (ALB, some plugins).
    """

    router: RouterKind = RouterKind.ISTIO
    managed_routes: tuple[str, ...] = ()
    max_weight: int | None = None
    verifies: bool = False


@dataclass(frozen=True, slots=True)
class ReplicaProgressThreshold:
    """So many available canary pods are enough to go on; a negative `value` means no threshold."""

    kind: ThresholdKind
    value: float


@dataclass(frozen=True, slots=True)
class BackgroundAnalysis:
    """An AnalysisRun that goes on beside the steps, from `starting_step`."""

    templates: tuple[str, ...] = ()
    starting_step: int = 0


@dataclass(frozen=True, slots=True)
class CanaryStrategy:
    """spec.strategy.canary. Surge and unavailable are pods, or a percentage as text."""

    steps: tuple[CanaryStep, ...] = ()
    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"
    traffic_routing: TrafficRouting | None = None
    canary_service: str = ""
    stable_service: str = ""
    dynamic_stable_scale: bool = False
    abort_scale_down_delay_s: float | None = None
    scale_down_delay_s: float | None = None
    scale_down_delay_revision_limit: int | None = None
    min_pods_per_replica_set: int | None = None
    replica_progress_threshold: ReplicaProgressThreshold | None = None
    analysis: BackgroundAnalysis | None = None

    @property
    def max_weight(self) -> int:
        """Largest weight a router knows (`MaxTrafficWeight`)."""
        routing = self.traffic_routing
        if routing is None or routing.max_weight is None:
            return MAX_WEIGHT
        if routing.router in (RouterKind.NGINX, RouterKind.PLUGIN):
            return routing.max_weight
        return MAX_WEIGHT


@dataclass(frozen=True, slots=True)
class BlueGreenStrategy:
    """spec.strategy.blueGreen. `pre_promotion` and `post_promotion` are analysis templates, None = no analysis."""

    active_service: str = "active"
    preview_service: str = ""
    auto_promotion_enabled: bool | None = None
    auto_promotion_s: float = 0.0
    preview_replica_count: int | None = None
    pre_promotion: tuple[str, ...] | None = None
    post_promotion: tuple[str, ...] | None = None
    scale_down_delay_s: float | None = None
    scale_down_delay_revision_limit: int | None = None
    abort_scale_down_delay_s: float | None = None


@dataclass(frozen=True, slots=True)
class RolloutSpec:
    """A Rollout. `template` is the hash of its pod template, `name` the prefix of its sets."""

    strategy: CanaryStrategy | BlueGreenStrategy
    template: str = ""
    name: str = "rollout"
    replicas: int = 1
    min_ready_s: float = 0.0
    progress_deadline_s: float = 600.0
    progress_deadline_abort: bool = False
    paused: bool = False
    rollback_window_revisions: int | None = None
    revision_history_limit: int = 10

    @property
    def steps(self) -> tuple[CanaryStep, ...]:
        """Canary steps; none for blue-green."""
        return self.strategy.steps if isinstance(self.strategy, CanaryStrategy) else ()

    def set_name(self, template: str) -> str:
        """Name of the set of a pod template."""
        return f"{self.name}-{template}"


_GO_UNIT_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_GO_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|h|m|s)")


def parse_duration(text: int | str) -> float | None:
    """Whole seconds of 30, "30", "30s", "5m", "1h30m" or "1.5h"; None if it is none of these (`DurationSeconds`).

    Go durations are cut to whole seconds, as the controller does.

    >>> parse_duration("1h30m"), parse_duration(10), parse_duration("-5"), parse_duration("2 min")
    (5400.0, 10.0, -5.0, None)
    """
    if isinstance(text, int):
        return float(text)
    sign = -1.0 if text.startswith("-") else 1.0
    body = text[1:] if text[:1] in ("-", "+") else text
    if body.isascii() and body.isdecimal():
        return sign * float(int(body))
    parts = _GO_PART.findall(body)
    if not parts or "".join(number + unit for number, unit in parts) != body:
        return None
    return sign * float(math.floor(sum(float(number) * _GO_UNIT_S[unit] for number, unit in parts) + 1e-9))


def max_surge(replicas: int, surge: int | str = "25%", unavailable: int | str = "25%") -> int:
    """Pods beyond `replicas` in a basic canary, rounded up (utils/replicaset: MaxSurge).

    >>> max_surge(3), max_surge(10, 0)
    (1, 0)
    """
    return resolve_fenceposts(surge, unavailable, replicas)[0]


def max_unavailable(replicas: int, surge: int | str = "25%", unavailable: int | str = "25%") -> int:
    """Pods that may be missing, rounded down (utils/replicaset: MaxUnavailable).

    1 if that leaves neither room (S = U = 0); at most `replicas`.

    >>> max_unavailable(10), max_unavailable(3, 0), max_unavailable(0)
    (2, 1, 0)
    """
    if replicas == 0:
        return 0
    return min(resolve_fenceposts(surge, unavailable, replicas)[1], replicas)
