"""What does a judge say?

One of three things, with the reason and the numbers it rests on. Nothing seen, or too little seen, is *inconclusive*:
no judge calls a silent revision healthy (issues such as argo-rollouts#1905 come from reading an empty query as a
verdict).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Health(StrEnum):
    """Unhealthy stops a rollout, healthy lets it go on, inconclusive leaves it where it is."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    INCONCLUSIVE = "inconclusive"


class Why(StrEnum):
    """The reason of a verdict."""

    NO_DATA = "no_data"  # no request, or no sample, of the new revision
    NO_BASELINE = "no_baseline"  # nothing of the stable revision to compare with
    TOO_FEW_REQUESTS = "too_few_requests"
    TOO_FEW_EVENTS = "too_few_events"  # a ratio of tiny counts is noise
    TOO_FEW_SAMPLES = "too_few_samples"
    WITHIN_LIMIT = "within_limit"
    ABOVE_LIMIT = "above_limit"
    BELOW_LIMIT = "below_limit"  # a metric that must not fall (conversion, throughput) fell
    NO_DIFFERENCE = "no_difference"  # a fixed-sample test of the asked size did not reject
    WORSE = "worse"  # a test rejected "no worse than stable"
    STILL_LOOKING = "still_looking"  # a sequential test that has not decided yet
    SHOWN_HARMLESS = "shown_harmless"  # a sequential test decided, or its interval excludes the margin
    SCORE_PASS = "score_pass"
    SCORE_MARGINAL = "score_marginal"
    SCORE_FAIL = "score_fail"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A health, why, and the numbers behind it (units by name: `..._s`, `..._share`; NaN does not exist)."""

    health: Health
    why: Why
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def stops(self) -> bool:
        """Must the rollout be aborted?"""
        return self.health is Health.UNHEALTHY


class Direction(StrEnum):
    """Which change of a metric is bad; Kayenta's names."""

    INCREASE = "increase"
    DECREASE = "decrease"
    EITHER = "either"
