"""How many pods ran, and for how long?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from zdsim.plane.config import FloatArray, IntArray
from zdsim.record import PodLife, Span


def levels(spans: Iterable[Span], times_s: FloatArray) -> IntArray:
    """How many spans cover each instant.

    Args:
        spans: (from, to) in seconds; `from` belongs to the span, `to` does not.
        times_s: instants, any shape.

    Returns:
        Spans, shape of `times_s`.
    """
    pairs = np.array(list(spans), dtype=np.float64).reshape(-1, 2)
    begun = np.searchsorted(np.sort(pairs[:, 0]), times_s, side="right")
    over = np.searchsorted(np.sort(pairs[:, 1]), times_s, side="right")
    out: IntArray = np.asarray(begun - over, dtype=np.int64)
    return out


def pod_seconds(pods: Sequence[PodLife], duration_s: float) -> float:
    """Time that pods existed, summed: from creation until the object was gone, within the run.

    Args:
        duration_s: of the run, seconds. A service may have been started before the run began (at negative times).

    Returns:
        Pod-seconds: what a bill by the second would count.
    """
    return sum(end - begin for begin, end in (existence(pod, duration_s) for pod in pods))


def existence(pod: PodLife, duration_s: float) -> Span:
    """From a pod's creation until it was gone, seconds, as far as it lies within the run."""
    return within((pod.created_s, duration_s if pod.gone_s is None else pod.gone_s), duration_s)


def within(span: Span, duration_s: float) -> Span:
    """The part of a span that lies within the run; empty (both ends equal) where none does."""
    begin = min(max(span[0], 0.0), duration_s)
    return begin, max(begin, min(span[1], duration_s))
