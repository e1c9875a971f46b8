"""What does a Flagger Canary ask for, and how long will it take if nothing fails?

Defaults are upstream's (pkg/apis/flagger/v1beta1/canary.go). Times in seconds, weights in percent of traffic.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

__all__ = [
    "KUBERNETES_ITERATIONS",
    "KUBERNETES_PROVIDER",
    "TOTAL_WEIGHT",
    "CanarySpec",
    "Readiness",
    "Strategy",
    "analysis_interval_s",
    "documented_promotion_time_s",
    "documented_rollback_time_s",
    "is_deployment_ready",
    "last_weight",
    "max_weight",
    "next_step_weight",
    "strategy",
    "ticks_to_rollback",
    "ticks_to_succeed",
    "weights",
]

TOTAL_WEIGHT: Final = 100
KUBERNETES_PROVIDER: Final = "kubernetes"
KUBERNETES_ITERATIONS: Final = 10  # iterations of that provider when none are given
_DEFAULT_INTERVAL_S: Final = 60.0
_LEAST_INTERVAL_S: Final = 10.0


class Strategy(StrEnum):
    """How a change is tried out."""

    AB = "A/B"
    BLUE_GREEN = "blue/green"
    PROGRESSIVE = "progressive"


class Readiness(StrEnum):
    """What Flagger reads from a Deployment: go on, wait for it, or give up on it."""

    READY = "ready"
    WAITING = "waiting"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySpec:
    """The analysis section of a Canary. 0, empty or None is an absent field.

    `match` says whether the analysis has match conditions (A/B testing). `provider` matters only where it is
    `kubernetes`, which can shift no traffic.
    """

    interval_s: float | None = None
    threshold: int = 0
    max_weight: int = 0
    step_weight: int = 0
    step_weights: tuple[int, ...] = ()
    step_weight_promotion: int = 0
    iterations: int = 0
    match: bool = False
    mirror: bool = False
    skip_analysis: bool = False
    provider: str = "istio"
    progress_deadline_s: float = 600.0
    primary_ready_threshold: int = 100
    canary_ready_threshold: int = 100

    @property
    def analysis_threshold(self) -> int:
        """Failed checks that roll back (GetAnalysisThreshold)."""
        return self.threshold if self.threshold > 0 else 1

    @property
    def effective_iterations(self) -> int:
        """Iterations, with the default of the kubernetes provider."""
        if self.provider == KUBERNETES_PROVIDER and self.iterations < 1:
            return KUBERNETES_ITERATIONS
        return self.iterations


def analysis_interval_s(interval_s: float | None) -> float:
    """Seconds between ticks: 60 when absent, never below 10 (v1beta1 canary.go: GetAnalysisInterval)."""
    if interval_s is None:
        return _DEFAULT_INTERVAL_S
    return max(interval_s, _LEAST_INTERVAL_S)


def strategy(spec: CanarySpec) -> Strategy:
    """The strategy of a Canary; pkg/controller/scheduler.go: advanceCanary, its end."""
    if spec.provider == KUBERNETES_PROVIDER:
        return Strategy.BLUE_GREEN
    if spec.match and spec.iterations > 0:
        return Strategy.AB
    return Strategy.BLUE_GREEN if spec.iterations > 0 else Strategy.PROGRESSIVE


def max_weight(spec: CanarySpec) -> int:
    """The weight at which a canary is promoted; pkg/controller/scheduler.go: maxWeight.

    It stops the next step, it does not cap it: 20 by 20 up to 50 is 20, 40, 60.
    """
    if spec.step_weights:
        return min(TOTAL_WEIGHT, spec.step_weights[-1])
    return spec.max_weight if spec.max_weight > 0 else TOTAL_WEIGHT


def next_step_weight(spec: CanarySpec, canary_weight: int) -> int:
    """What is added to this weight; pkg/controller/scheduler.go: nextStepWeight.

    >>> spec = CanarySpec(step_weights=(1, 10, 80))
    >>> [next_step_weight(spec, weight) for weight in (0, 1, 10, 80, 100)]
    [1, 9, 70, 20, 1]
    """
    if spec.step_weight > 0 or not spec.step_weights:
        return spec.step_weight
    room = TOTAL_WEIGHT - canary_weight
    if room == 0:
        return 1
    if canary_weight == 0:
        return min(room, spec.step_weights[0])
    for weight, following in zip(spec.step_weights, spec.step_weights[1:], strict=False):
        if weight == canary_weight:
            return min(room, following - canary_weight)
    return room


def weights(spec: CanarySpec) -> tuple[int, ...]:
    """The canary weights of a progressive rollout without a failure, in order. Empty when it can never advance."""
    passed: list[int] = []
    weight = 0
    while weight < min(max_weight(spec), TOTAL_WEIGHT):
        step = next_step_weight(spec, weight)
        if step <= 0:
            break
        weight = min(TOTAL_WEIGHT, weight + step)
        passed.append(weight)
    return tuple(passed)


def last_weight(spec: CanarySpec) -> int:
    """The canary weight when the promotion begins; 0 where no traffic is shifted."""
    match strategy(spec):
        case Strategy.PROGRESSIVE:
            return max(weights(spec), default=0)
        case Strategy.AB:
            return TOTAL_WEIGHT
        case Strategy.BLUE_GREEN:
            return 0 if spec.provider == KUBERNETES_PROVIDER else TOTAL_WEIGHT
        case _ as other:
            assert_never(other)


def ticks_to_succeed(spec: CanarySpec) -> int | None:
    """Ticks from the one that detects a change (tick 0) to the one that succeeds, when nothing fails or waits.

    Returns:
        None when a progressive rollout has no step and so never ends.

    Source:
        pkg/controller/scheduler.go: advanceCanary, counted. The documentation says interval * max / step.

    >>> ticks_to_succeed(CanarySpec(step_weight=20, max_weight=50))
    6
    """
    if spec.skip_analysis:
        return 1
    match strategy(spec):
        case Strategy.PROGRESSIVE:
            steps = weights(spec)
            if not steps or steps[-1] < max_weight(spec):
                return None
            ticks = len(steps) + 3 + spec.mirror
        case Strategy.AB:
            ticks = spec.iterations + 3
        case Strategy.BLUE_GREEN:
            ticks = spec.effective_iterations + 4
        case _ as other:
            assert_never(other)
    if spec.step_weight_promotion > 0 and last_weight(spec) > 0:
        ticks += math.ceil(last_weight(spec) / spec.step_weight_promotion) - 1
    return ticks


def ticks_to_rollback(spec: CanarySpec) -> int:
    """Ticks that fail one after another, and the one that then rolls back."""
    return spec.analysis_threshold + 1


def documented_promotion_time_s(spec: CanarySpec) -> float:
    """Time to promote as Flagger's documentation has it: interval * maxWeight / stepWeight; NaN without a step.

    The real one is `ticks_to_succeed` intervals: it also counts detection, promotion and clean-up.
    """
    if spec.step_weight <= 0:
        return math.nan
    return analysis_interval_s(spec.interval_s) * max_weight(spec) / spec.step_weight


def documented_rollback_time_s(spec: CanarySpec) -> float:
    """Time to roll back as the documentation has it: interval * threshold; the real one is one interval longer."""
    return analysis_interval_s(spec.interval_s) * spec.analysis_threshold


def is_deployment_ready(
    *,
    spec_replicas: int,
    updated: int,
    replicas: int,
    available: int,
    generation_observed: bool = True,
    progress_deadline_exceeded: bool = False,
    unavailable_for_s: float | None = None,
    progress_deadline_s: float = 600.0,
    ready_threshold: int = 100,
) -> Readiness:
    """Whether Flagger may go on with a Deployment in this state.

    Args:
        spec_replicas, updated, replicas, available: pods wanted, of the new template, in all, and available.
        unavailable_for_s: how long its condition Available has been False (MinimumReplicasUnavailable), or None.
        ready_threshold: percent of the updated pods that must be available.

    Source:
        pkg/canary/deployment_ready.go: isDeploymentReady.
    """
    if not generation_observed:
        return Readiness.WAITING
    if progress_deadline_exceeded:
        return Readiness.STUCK
    needed = _single(updated * _single(ready_threshold / 100))
    if updated >= spec_replicas and replicas <= updated and available >= math.trunc(needed):
        return Readiness.READY
    if unavailable_for_s is not None and unavailable_for_s > progress_deadline_s:
        return Readiness.STUCK
    return Readiness.WAITING


def _single(number: float) -> float:
    """Rounded as upstream's float32: cut to whole pods afterwards, it may differ by one from exact arithmetic."""
    return float(struct.unpack("f", struct.pack("f", number))[0])
