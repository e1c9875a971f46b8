"""Does a Flagger metric check pass for this value?

No value counts as a failed check, NaN too: silence rolls an idle service back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

__all__ = [
    "REQUEST_DURATION",
    "REQUEST_SUCCESS_RATE",
    "WEBHOOK_TIMEOUT_S",
    "Answer",
    "CheckReason",
    "MetricCheck",
    "MetricOutcome",
    "WebhookType",
    "check_metric",
    "check_metrics",
    "query_value",
    "request_success_rate",
    "webhook_succeeded",
]

REQUEST_SUCCESS_RATE: Final = "request-success-rate"
REQUEST_DURATION: Final = "request-duration"
METRIC_INTERVAL_S: Final = 60.0  # over which a metric is taken when it names no interval
WEBHOOK_TIMEOUT_S: Final = 10.0

Answer: TypeAlias = float | Sequence[float] | Sequence[Sequence[float]] | None
"""A number, a vector, a matrix (range query), or nothing."""


class WebhookType(StrEnum):
    """When a webhook is called; one without a type is a rollout hook."""

    CONFIRM_ROLLOUT = "confirm-rollout"
    PRE_ROLLOUT = "pre-rollout"
    ROLLOUT = "rollout"
    CONFIRM_TRAFFIC_INCREASE = "confirm-traffic-increase"
    CONFIRM_PROMOTION = "confirm-promotion"
    POST_ROLLOUT = "post-rollout"
    ROLLBACK = "rollback"
    EVENT = "event"

    @property
    def only_holds(self) -> bool:
        """Whether a refusal holds the rollout without counting as a failed check."""
        return self in (
            WebhookType.CONFIRM_ROLLOUT,
            WebhookType.CONFIRM_TRAFFIC_INCREASE,
            WebhookType.CONFIRM_PROMOTION,
        )


class CheckReason(StrEnum):
    """Why a metric check passed or failed."""

    WITHIN = "within its limits"
    BELOW = "below its limit"
    ABOVE = "above its limit"
    NO_VALUES = "no values found"
    QUERY_FAILED = "query failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricCheck:
    """A metric of the analysis. Success rate in percent, duration in milliseconds, others in their own unit.

    `minimum` and `maximum` are the thresholdRange; without both, the older `threshold` counts.
    """

    name: str
    minimum: float | None = None
    maximum: float | None = None
    threshold: float = 0.0
    has_range: bool | None = None  # None: it has one when either side is given

    @property
    def uses_range(self) -> bool:
        """Whether thresholdRange is given, be it empty."""
        return (self.minimum, self.maximum) != (None, None) if self.has_range is None else self.has_range


@dataclass(frozen=True, slots=True)
class MetricOutcome:
    """Whether a check passed, of which metric, the value seen (None without one) and why."""

    passed: bool
    name: str
    value: float | None
    reason: CheckReason


def check_metric(metric: MetricCheck, answer: Answer) -> MetricOutcome:
    """One metric check; pkg/controller/scheduler_metrics.go: runBuiltinMetricChecks, runMetricChecks.

    Durations are compared in whole milliseconds, the value as well as its limits.

    >>> check_metric(MetricCheck(name="request-success-rate", minimum=99), 98.9).passed
    False
    """
    try:
        value = query_value(answer)
    except ValueError:
        return MetricOutcome(False, metric.name, None, CheckReason.QUERY_FAILED)
    if value is None:
        return MetricOutcome(False, metric.name, None, CheckReason.NO_VALUES)
    low, high = metric.minimum, metric.maximum
    if not metric.uses_range:
        is_rate = metric.name == REQUEST_SUCCESS_RATE
        low, high = (metric.threshold, None) if is_rate else (None, metric.threshold)
    if metric.name == REQUEST_DURATION:
        value = _whole_ms(value)
        low = low if low is None else _whole_ms(low)
        high = high if high is None else _whole_ms(high)
    if low is not None and value < low:
        return MetricOutcome(False, metric.name, value, CheckReason.BELOW)
    if high is not None and value > high:
        return MetricOutcome(False, metric.name, value, CheckReason.ABOVE)
    return MetricOutcome(True, metric.name, value, CheckReason.WITHIN)


def check_metrics(metrics: Iterable[tuple[MetricCheck, Answer]]) -> MetricOutcome | None:
    """The first check that fails, built-in ones before the others; None when all pass (scheduler.go: runAnalysis)."""
    ordered = sorted(metrics, key=lambda pair: pair[0].name not in (REQUEST_SUCCESS_RATE, REQUEST_DURATION))
    outcomes = (check_metric(metric, answer) for metric, answer in ordered)
    return next((outcome for outcome in outcomes if not outcome.passed), None)


def query_value(answer: Answer) -> float | None:
    """The number in a provider's answer: of several, the last. None for nothing or NaN.

    Raises:
        ValueError: a matrix (the answer to a range query).

    Source:
        pkg/metrics/providers/prometheus.go: RunQuery.
    """
    if answer is None:
        return None
    if not isinstance(answer, Sequence):
        return None if math.isnan(answer) else float(answer)
    value: float | None = None
    for item in answer:
        if isinstance(item, Sequence):
            raise ValueError("a range query gives a matrix; ask for one value")
        value = float(item)
    return None if value is None or math.isnan(value) else value


def request_success_rate(*, good_per_s: float, all_per_s: float) -> float | None:
    """Percent of requests not answered by 5xx; None without any (pkg/metrics/observers: GetRequestSuccessRate)."""
    if not all_per_s > 0:
        return None
    return 100.0 * good_per_s / all_per_s


def webhook_succeeded(status_code: int | None) -> bool:
    """Whether a webhook agreed; None is a timeout or no connection (pkg/controller/webhook.go: callWebhook)."""
    return status_code is not None and status_code <= 202


def _whole_ms(value: float) -> float:
    return float(math.trunc(value)) if math.isfinite(value) else value
