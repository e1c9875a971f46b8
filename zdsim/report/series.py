"""Which curves does a figure of a run show?

Arrays over time, cut to as many slices as a picture can carry. Nothing here draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zdsim.measure import latency, pods, requests
from zdsim.plane.config import FloatArray, IntArray
from zdsim.record import PodLife, RunRecord, Span

MAX_SLICES = 240


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """Windows put together, n slices of a run."""

    edges_s: FloatArray  # (n + 1,)
    dropped: IntArray  # (n, O), requests
    routed_per_s: FloatArray  # (n, R), attempts a second
    latency_s: FloatArray  # (n, 3), p50, p95, p99; NaN where nothing was answered
    asked: int  # requests in the whole run

    @property
    def width_s(self) -> float:
        """Of a slice; the last one may be shorter."""
        return float(self.edges_s[1] - self.edges_s[0])


def slices(record: RunRecord, *, at_most: int = MAX_SLICES) -> Slices:
    """The windows of a run, `at_most` so many: neighbours are put together where there are more."""
    counts, routed, buckets = record.counts.counts, record.counts.routed, record.counts.latency
    n_windows = counts.shape[0]
    step = max(1, -(-n_windows // at_most))
    first = np.arange(0, n_windows, step)
    edges: FloatArray = np.append(first, n_windows) * record.window_s
    # The last window takes what happens after the horizon; a picture ends with the run.
    edges[-1] = max(min(edges[-1], record.duration_s), edges[-2] + 1e-9)
    merged = np.array([buckets[a : a + step].sum(axis=(0, 1), dtype=np.int64) for a in first])
    return Slices(
        edges_s=edges,
        dropped=np.add.reduceat(requests.dropped_by_window(counts), first, axis=0),
        routed_per_s=np.add.reduceat(routed[:, :-1], first, axis=0) / np.diff(edges)[:, None],
        latency_s=latency.percentiles_s(merged),
        asked=int(counts.sum()),
    )


@dataclass(frozen=True, slots=True, eq=False)
class PodLevels:
    """Pods of each revision in each state; a level holds from its time until the next one."""

    times_s: FloatArray  # (n,), ascending, the last is the run's end
    ready: IntArray  # (R, n)
    waiting: IntArray  # (R, n), starting or unready
    terminating: IntArray  # (R, n)


def pod_levels(lives: Sequence[PodLife], n_revisions: int, duration_s: float) -> PodLevels:
    """How many pods of each revision were ready, not ready (starting or unready) and terminating."""
    here: list[list[Span]] = [[] for _ in range(n_revisions)]
    ready: list[list[Span]] = [[] for _ in range(n_revisions)]
    ending: list[list[Span]] = [[] for _ in range(n_revisions)]
    for pod in lives:
        _add(here[pod.revision], pods.existence(pod, duration_s))
        for span in pod.ready:
            _add(ready[pod.revision], pods.within(span, duration_s))
        if pod.deleted_s is not None:
            _add(ending[pod.revision], pods.within((pod.deleted_s, pods.existence(pod, duration_s)[1]), duration_s))
    edges = {t for group in (*here, *ready, *ending) for span in group for t in span}
    times: FloatArray = np.array(sorted(edges | {0.0, duration_s}), dtype=np.float64)
    # The level at the very end is the one just before it: spans cut at the run's end still count.
    asked = times.copy()
    asked[-1] = np.nextafter(duration_s, 0.0)
    ready_n = _levels(ready, asked)
    ending_n = _levels(ending, asked)
    waiting_n: IntArray = np.maximum(_levels(here, asked) - ready_n - ending_n, 0)
    return PodLevels(times, ready_n, waiting_n, ending_n)


def _levels(groups: Sequence[Sequence[Span]], times_s: FloatArray) -> IntArray:
    return np.array([pods.levels(group, times_s) for group in groups], dtype=np.int64).reshape(-1, times_s.size)


def _add(group: list[Span], span: Span) -> None:
    if span[1] > span[0]:
        group.append(span)
