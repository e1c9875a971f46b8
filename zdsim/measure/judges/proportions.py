"""Does the new revision fail more often than the stable one, tested once or step by step?

The pooled two-proportion z-test, valid for one look at a size fixed before, and Wald's sequential probability ratio
test between two error rates, which may look after every request. All functions take arrays as well as numbers: many
simulated canaries at once.

Source: Fleiss, Levin and Paik (2003), Statistical Methods for Rates and Proportions, ch. 3-4; Wald (1945), "Sequential
tests of statistical hypotheses".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from zdsim.plane.config import FloatArray


class Sided(StrEnum):
    ONE = "one"  # is the new revision worse?
    TWO = "two"  # is it different?


def two_proportion_z(new_events: ArrayLike, new_total: ArrayLike, events: ArrayLike, total: ArrayLike) -> FloatArray:
    """Pooled z of "new share minus stable share".

    Args:
        new_events, new_total: failures and requests of the new revision.
        events, total: of the stable revision. All of one broadcast shape.

    Returns:
        That shape. 0 where both shares are 0 or both 1; NaN where one side has no request.
    """
    x1, n1, x0, n0 = (np.asarray(a, dtype=np.float64) for a in (new_events, new_total, events, total))
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (x1 + x0) / (n1 + n0)
        error = np.sqrt(pooled * (1.0 - pooled) * (1.0 / n1 + 1.0 / n0))
        z = (x1 / n1 - x0 / n0) / error
    out: FloatArray = np.where((n1 > 0) & (n0 > 0), np.where(error > 0, z, 0.0), np.nan)
    return out


def two_proportion_p(
    new_events: ArrayLike, new_total: ArrayLike, events: ArrayLike, total: ArrayLike, *, sided: Sided = Sided.ONE
) -> FloatArray:
    """p-value of `two_proportion_z`; NaN where one side has no request.

    >>> float(two_proportion_p(20, 1000, 10, 1000).round(4))
    0.0329
    """
    z = two_proportion_z(new_events, new_total, events, total)
    p: FloatArray = ndtr(-z) if sided is Sided.ONE else 2.0 * ndtr(-np.abs(z))
    return p


def critical_z(alpha: float, sided: Sided = Sided.ONE) -> float:
    """The z that is reached by chance with probability `alpha`."""
    return float(-ndtri(alpha if sided is Sided.ONE else alpha / 2.0))


def required_requests(
    p0: float, p1: float, *, stable_per_new: float, alpha: float = 0.05, power: float = 0.8, sided: Sided = Sided.ONE
) -> float:
    """Requests the new revision must have answered to show that it fails with `p1` and not with `p0`.

    Args:
        p0, p1: error rates of stable and new, different, in (0, 1).
        stable_per_new: requests of stable for each of the new revision: 19 at a weight of 5 %.

    Returns:
        Requests of the new revision; not rounded.

    Source:
        Fleiss, Levin and Paik (2003), eq. 4.14, without continuity correction.

    >>> math.ceil(required_requests(0.001, 0.002, stable_per_new=19))
    8603
    """
    if p0 == p1:
        raise ValueError("two equal error rates can never be told apart")
    k = stable_per_new
    mean = (p1 + k * p0) / (1.0 + k)
    under_null = math.sqrt(mean * (1.0 - mean) * (1.0 + 1.0 / k))
    under_truth = math.sqrt(p1 * (1.0 - p1) + p0 * (1.0 - p0) / k)
    reach = critical_z(alpha, sided) * under_null + float(ndtri(power)) * under_truth
    return (reach / (p1 - p0)) ** 2


def power_two_proportion(
    n: float, p0: float, p1: float, *, stable_per_new: float, alpha: float = 0.05, sided: Sided = Sided.ONE
) -> float:
    """Probability that one test at `n` requests of the new revision rejects (normal approximation)."""
    k = stable_per_new
    mean = (p1 + k * p0) / (1.0 + k)
    under_null = math.sqrt(mean * (1.0 - mean) * (1.0 + 1.0 / k) / n)
    under_truth = math.sqrt((p1 * (1.0 - p1) + p0 * (1.0 - p0) / k) / n)
    z = critical_z(alpha, sided)
    found = float(ndtr((p1 - p0 - z * under_null) / under_truth))
    return found if sided is Sided.ONE else found + float(ndtr((-(p1 - p0) - z * under_null) / under_truth))


def requests_to_see_one(p: float, *, confidence: float = 0.95) -> float:
    """Requests until at least one failure of rate `p` is seen with that probability.

    >>> round(requests_to_see_one(0.01))
    298
    """
    return math.log1p(-confidence) / math.log1p(-p)


class SprtState(StrEnum):
    CONTINUE = "continue"
    ACCEPT_NULL = "accept_null"  # the error rate is p0
    REJECT_NULL = "reject_null"  # the error rate is p1


class ExpectedRequests(NamedTuple):
    """Requests until the test stops, if the null or the alternative holds."""

    if_null: float
    if_alternative: float


@dataclass(frozen=True, slots=True)
class Sprt:
    """Wald's test of error rate `p0` against `p1` > `p0`, false alarms at most about `alpha`, misses about `beta`."""

    p0: float
    p1: float
    alpha: float = 0.05
    beta: float = 0.2

    def __post_init__(self) -> None:
        if not 0.0 < self.p0 < self.p1 < 1.0:
            raise ValueError(f"need 0 < p0 < p1 < 1; got p0 = {self.p0}, p1 = {self.p1}")
        if not (0.0 < self.alpha < 1.0 and 0.0 < self.beta < 1.0 and self.alpha + self.beta < 1.0):
            raise ValueError(f"need alpha, beta in (0, 1) with a sum below 1; got {self.alpha}, {self.beta}")

    @property
    def upper(self) -> float:
        """Log likelihood ratio at which the null is rejected."""
        return math.log((1.0 - self.beta) / self.alpha)

    @property
    def lower(self) -> float:
        """Log likelihood ratio at which it is accepted."""
        return math.log(self.beta / (1.0 - self.alpha))

    def log_ratio(self, events: ArrayLike, total: ArrayLike) -> FloatArray:
        """Log likelihood ratio after `events` failures in `total` requests; any shape."""
        x, n = np.asarray(events, dtype=np.float64), np.asarray(total, dtype=np.float64)
        out: FloatArray = x * math.log(self.p1 / self.p0) + (n - x) * math.log((1.0 - self.p1) / (1.0 - self.p0))
        return out

    def state(self, events: int, total: int) -> SprtState:
        """Where the test stands. The caller keeps the first state that is not CONTINUE: it is final."""
        ratio = float(self.log_ratio(events, total))
        if ratio >= self.upper:
            return SprtState.REJECT_NULL
        return SprtState.ACCEPT_NULL if ratio <= self.lower else SprtState.CONTINUE

    def mean_increment(self, p: float) -> float:
        """Expected growth of the log ratio a request, if requests fail with probability `p`."""
        return p * math.log(self.p1 / self.p0) + (1.0 - p) * math.log((1.0 - self.p1) / (1.0 - self.p0))

    def expected_requests(self) -> ExpectedRequests:
        """Wald's approximation; a little low, because it leaves out the overshoot."""
        a, b = self.alpha, self.beta
        return ExpectedRequests(
            ((1.0 - a) * self.lower + a * self.upper) / self.mean_increment(self.p0),
            (b * self.lower + (1.0 - b) * self.upper) / self.mean_increment(self.p1),
        )
