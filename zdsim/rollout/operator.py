"""When does somebody notice that the release is bad, and what do they do about it?

The operator's alert rule is a function of counts; the process only waits, looks and acts. Analysis proper (canaries,
sequential tests) lives elsewhere: this is the person with a dashboard, an alert and `kubectl rollout undo`.

The rule is the project's seed rule: a window is bad when the new revision's error rate is at least `ratio` times the
old one's, or above `error_rate`, or its p99 latency is above `p99_s`. The ratio needs an old error rate above zero:
twice nothing is no evidence. Fewer requests than `min_requests` are no evidence either: inconclusive, never healthy.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

import numpy as np
import simpy
from numpy.typing import NDArray

from zdsim.measure.latency import percentiles_s
from zdsim.plane.config import PlaneRecord
from zdsim.plane.vocabulary import Outcome


class Verdict(StrEnum):
    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"
    INCONCLUSIVE = "Inconclusive"


class AlertReason(StrEnum):
    WITHIN_LIMITS = "WithinLimits"
    TOO_FEW_REQUESTS = "TooFewRequests"
    ERROR_RATIO = "ErrorRatio"
    ERROR_RATE = "ErrorRate"
    LATENCY = "Latency"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """Limits of the alert.

    Attributes:
        window_s: how far back each look reaches, seconds.
        interval_s: time between looks, seconds.
        ratio: new error rate over old error rate; None = not looked at.
        error_rate: share of the new revision's requests; None = not looked at.
        p99_s: of the new revision's successful requests, seconds; None = not looked at.
        consecutive: unhealthy looks in a row until the alert fires.
        min_requests: of the new revision (and of the old one, for the ratio) in a window.
    """

    window_s: float = 60.0
    interval_s: float = 15.0
    ratio: float | None = 2.0
    error_rate: float | None = 0.01
    p99_s: float | None = 0.5
    consecutive: int = 2
    min_requests: int = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look shows: requests that ended in the window, by the revision that was to serve them."""

    requests_new: int
    failed_new: int
    requests_old: int
    failed_old: int
    p99_new_s: float | None  # None without a successful request


def judge(rule: AlertRule, seen: Seen) -> tuple[Verdict, AlertReason]:
    """The verdict on one window, with its reason; see the module's docstring."""
    if seen.requests_new < rule.min_requests or seen.requests_new == 0:
        return Verdict.INCONCLUSIVE, AlertReason.TOO_FEW_REQUESTS
    rate_new = seen.failed_new / seen.requests_new
    if rule.error_rate is not None and rate_new > rule.error_rate:
        return Verdict.UNHEALTHY, AlertReason.ERROR_RATE
    if rule.ratio is not None and seen.requests_old >= max(rule.min_requests, 1):
        rate_old = seen.failed_old / seen.requests_old
        if rate_old > 0.0 and rate_new >= rule.ratio * rate_old:
            return Verdict.UNHEALTHY, AlertReason.ERROR_RATIO
    if rule.p99_s is not None and seen.p99_new_s is not None and seen.p99_new_s > rule.p99_s:
        return Verdict.UNHEALTHY, AlertReason.LATENCY
    return Verdict.HEALTHY, AlertReason.WITHIN_LIMITS


def look(record: PlaneRecord, *, now: float, window_s: float, width_s: float, new: NDArray[np.bool_]) -> Seen:
    """Read the whole windows of the record that lie within the last `window_s` seconds.

    Args:
        record: the plane's counts so far.
        now: seconds.
        window_s: how far back to look, seconds.
        width_s: width of the record's windows, seconds.
        new: which revisions are the new ones, shape (R,).
    """
    last = int(now / width_s + 1e-9)  # windows before this one are over
    first = max(0, last - max(1, round(window_s / width_s)))
    rows = slice(first, last)
    counts = record.counts[rows, : new.size].sum(axis=(0, 2))  # (R, O)
    of_new, of_old = counts[new].sum(axis=0), counts[~new].sum(axis=0)
    latency = record.latency[rows, : new.size].sum(axis=0)[new].sum(axis=0)
    p99_s = float(percentiles_s(latency, (99,))[0])
    return Seen(
        requests_new=int(of_new.sum()),
        failed_new=int(of_new.sum() - of_new[Outcome.OK]),
        requests_old=int(of_old.sum()),
        failed_old=int(of_old.sum() - of_old[Outcome.OK]),
        p99_new_s=None if np.isnan(p99_s) else p99_s,
    )


@dataclass(frozen=True, slots=True)
class Operator:
    """What the operator can see and do."""

    rule: AlertRule
    reaction_s: float  # from the alert to the undo; drawn before the run
    look: Callable[[float], Seen]  # at a time
    undo: Callable[[], None]
    tell: Callable[[str, str, str], None]  # stage ("detected", "alert", "decided", "cleared"), reason, sentence


def watch(env: simpy.Environment, operator: Operator) -> Generator[simpy.Event, Any, None]:
    """The operator's story: look, look again, be alerted, react, undo. Ends with the undo."""
    rule = operator.rule
    bad = 0
    while bad < rule.consecutive:
        yield env.timeout(rule.interval_s)
        seen = operator.look(env.now)
        verdict, reason = judge(rule, seen)
        match verdict:
            case Verdict.UNHEALTHY:
                bad += 1
                if bad == 1:
                    operator.tell("detected", reason, describe(rule, seen, reason))
            case Verdict.HEALTHY:
                if bad:
                    operator.tell("cleared", reason, describe(rule, seen, reason))
                bad = 0
            case Verdict.INCONCLUSIVE:
                pass  # silence neither raises nor clears an alert
            case _:
                assert_never(verdict)
    operator.tell("alert", reason, f"{rule.consecutive} unhealthy windows in a row: {describe(rule, seen, reason)}")
    yield env.timeout(operator.reaction_s)
    operator.tell("decided", "Undo", f"the operator rolls back {operator.reaction_s:.0f} s after the alert")
    operator.undo()


def describe(rule: AlertRule, seen: Seen, reason: AlertReason) -> str:
    """What the look showed, as a sentence."""
    rate = seen.failed_new / seen.requests_new if seen.requests_new else 0.0
    match reason:
        case AlertReason.ERROR_RATE:
            return (
                f"{rate:.2%} of {seen.requests_new} requests to the new revision failed (limit {rule.error_rate:.2%})"
            )
        case AlertReason.ERROR_RATIO:
            old = seen.failed_old / seen.requests_old
            return (
                f"the new revision fails {rate:.2%} of its requests, the old one {old:.2%} (limit {rule.ratio:g} times)"
            )
        case AlertReason.LATENCY:
            assert seen.p99_new_s is not None
            assert rule.p99_s is not None
            return f"p99 of the new revision is {seen.p99_new_s * 1e3:.0f} ms (limit {rule.p99_s * 1e3:.0f} ms)"
        case AlertReason.TOO_FEW_REQUESTS:
            return (
                f"{seen.requests_new} requests to the new revision are too few to judge (at least {rule.min_requests})"
            )
        case AlertReason.WITHIN_LIMITS:
            return f"{rate:.2%} of {seen.requests_new} requests to the new revision failed: within the limits"
        case _:
            assert_never(reason)
