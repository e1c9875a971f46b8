"""How many requests were answered, how many were lost, how and why?

Counts are those of `PlaneRecord.counts`: by window of the end, revision of the last attempt's pod (or none), class and
outcome. A *dropped* request is one whose last attempt failed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zdsim.plane.config import FloatArray, IntArray
from zdsim.plane.vocabulary import Cause, Outcome


def totals(counts: IntArray) -> tuple[int, int]:
    """Requests that ended, and how many of them were answered.

    Args:
        counts: requests, shape (W, R + 1, C, O).

    Returns:
        (total, ok), requests.
    """
    by_outcome = counts.sum(axis=(0, 1, 2))
    return int(by_outcome.sum()), int(by_outcome[Outcome.OK])


def mixed_version_s(counts: IntArray, window_s: float) -> float:
    """Time during which two revisions or more answered requests, whatever the strategy promised.

    Counted in whole windows, so that a request still in flight on the old side, or a kept-alive connection that holds
    on to it, shows. Pods that are ready and asked by nobody (a preview) do not count.

    Args:
        counts: requests, shape (W, R + 1, C, O).
        window_s: width of a window, seconds.

    Returns:
        Seconds.
    """
    answering = counts[:, :-1].sum(axis=(2, 3)) > 0
    return float((answering.sum(axis=1) >= 2).sum()) * window_s


def by_reason(counts: IntArray) -> dict[str, int]:
    """Dropped requests by the outcome of their last attempt.

    Args:
        counts: requests, shape (W, R + 1, C, O).

    Returns:
        Every outcome but `ok`, in lower case -> requests. Zeros are counts, not gaps.
    """
    by_outcome = counts.sum(axis=(0, 1, 2))
    return {outcome.name.lower(): int(by_outcome[outcome]) for outcome in Outcome if outcome is not Outcome.OK}


def by_cause(causes: IntArray) -> dict[str, int]:
    """Dropped requests by cause.

    Args:
        causes: requests, shape (O, N_CAUSES).

    Returns:
        Every cause but `none`, in lower case -> requests.
    """
    by = causes.sum(axis=0)
    return {cause.name.lower(): int(by[cause]) for cause in Cause if cause is not Cause.NONE}


def dropped_by_window(counts: IntArray) -> IntArray:
    """Dropped requests of each window by outcome.

    Args:
        counts: requests, shape (W, R + 1, C, O).

    Returns:
        Requests, shape (W, O); the column of `ok` is zero.
    """
    out: IntArray = counts.sum(axis=(1, 2))
    out[:, Outcome.OK] = 0
    return out


def revenue_lost(
    counts: IntArray, revenue_per_request: Sequence[float], conversion_left: Sequence[float] = ()
) -> float | None:
    """Revenue that the dropped requests would have brought, and orders that a revision's answers put off.

    Args:
        counts: requests, shape (W, R + 1, C, O).
        revenue_per_request: expected revenue of a request of each class, shape (C,), any currency.
        conversion_left: share of the usual orders that an answer of each revision brings, shape (R,); none given: all.
            More than usual is no loss, and no gain either.

    Returns:
        Same currency. None where no class has revenue: the scenario does not say what a request is worth.
    """
    worth: FloatArray = np.asarray(revenue_per_request, dtype=np.float64)
    if not np.any(worth > 0.0):
        return None
    by_class = counts.sum(axis=(0, 1))
    dropped = by_class.sum(axis=1) - by_class[:, Outcome.OK]
    lost = float(dropped @ worth)
    if conversion_left:
        answered = counts[:, : len(conversion_left), :, Outcome.OK].sum(axis=0)
        lost += float(np.maximum(0.0, 1.0 - np.asarray(conversion_left)) @ (answered @ worth))
    return lost
