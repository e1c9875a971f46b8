"""How long did answered requests take: before, during and after the rollout, and on each revision?

Latency histograms are those of `PlaneRecord.latency`; a bucket stands for its middle, within 0.8 % of the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from zdsim.plane import histogram
from zdsim.plane.config import FloatArray, IntArray

PERCENTILES = (50, 95, 99)


class Phase(StrEnum):
    """Which part of a run a window belongs to."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


def percentiles_s(buckets: NDArray[np.integer], percents: Sequence[float] = PERCENTILES) -> FloatArray:
    """Nearest-rank percentiles of latency histograms.

    Args:
        buckets: answered requests by bucket, shape (..., B).
        percents: each above 0 and at most 100.

    Returns:
        Seconds, shape (..., len(percents)). NaN where a histogram is empty.

    Raises:
        ValueError: a percent is out of range.

    Source:
        Hyndman and Fan (1996), "Sample quantiles in statistical packages", definition 1: the smallest value that at
        least that share of the sample does not exceed.
    """
    if not all(0.0 < percent <= 100.0 for percent in percents):
        raise ValueError(f"percents must lie above 0 and at most at 100; got {tuple(percents)}")
    middles = histogram.middles_s()
    cumulative: IntArray = np.cumsum(buckets, axis=-1, dtype=np.int64)
    n = cumulative[..., -1]
    out: FloatArray = np.full((*n.shape, len(percents)), np.nan)
    for i, percent in enumerate(percents):
        rank = np.maximum(np.ceil(n * (percent / 100.0) - 1e-9), 1.0)
        index = (cumulative < rank[..., None]).sum(axis=-1)
        out[..., i] = np.where(n > 0, middles[np.minimum(index, middles.size - 1)], np.nan)
    return out


def mean_s(buckets: NDArray[np.integer], sums_s: FloatArray) -> float:
    """Mean latency of the answered requests of some histograms.

    Args:
        buckets: answered requests by bucket, shape (..., B).
        sums_s: their summed latency, seconds, shape (...).

    Returns:
        Seconds; NaN without a request. Exact, not from bucket middles.
    """
    n = int(buckets.sum(dtype=np.int64))
    return float(sums_s.sum()) / n if n else float("nan")


def phase_masks(
    n_windows: int, window_s: float, start_s: float | None, end_s: float | None
) -> dict[Phase, NDArray[np.bool_]]:
    """Which windows lie before, during and after a rollout.

    Args:
        n_windows, window_s: windows of the run; window w covers w * window_s <= t < (w + 1) * window_s.
        start_s, end_s: of the rollout, seconds. No start: no release, and the whole run is *before*. No end: it
            lasted until the run's end, and nothing is *after*.

    Returns:
        Masks of shape (n_windows,), each window in exactly one. A window that the rollout touches is *during*.
    """
    begin = np.arange(n_windows) * window_s
    slack = 1e-9 * max(window_s, 1.0)  # a start on a window's edge must not claim the window before it
    before = np.ones(n_windows, dtype=np.bool_) if start_s is None else begin + window_s <= start_s + slack
    after = np.zeros(n_windows, dtype=np.bool_) if start_s is None or end_s is None else begin >= end_s - slack
    after &= ~before
    return {Phase.BEFORE: before, Phase.DURING: ~(before | after), Phase.AFTER: after}
