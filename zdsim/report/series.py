"""Which curves does a figure of a run show?

Arrays over time, cut to as many slices as a picture can carry. Nothing here draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zdsim.measure import latency, pods, requests, rollback
from zdsim.plane.config import FloatArray, IntArray
from zdsim.record import EventKind, PodLife, RunRecord, Span

MAX_SLICES = 240

#: Events with a name in a figure; pods and containers only leave marks, stages of a rollback have their own place.
NAMED = (EventKind.RELEASE, EventKind.FAULT, EventKind.ALERT)


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


def slices(record: RunRecord, span: Span | None = None, *, at_most: int = MAX_SLICES) -> Slices:
    """The windows of a run, `at_most` so many: neighbours are put together where there are more.

    Args:
        span: only windows that touch it; None: the whole run. What ends after the run (answers to its last requests)
            belongs to the run's last slice.
    """
    begin_s, end_s = (0.0, record.duration_s) if span is None else span
    width_s = record.window_s
    n_windows = min(record.counts.counts.shape[0], max(1, math.ceil(record.duration_s / width_s - 1e-9)))
    low = min(max(0, math.floor(begin_s / width_s + 1e-9)), n_windows - 1)
    high = min(max(low + 1, math.ceil(end_s / width_s - 1e-9)), n_windows)
    stop = record.counts.counts.shape[0] if high == n_windows else high
    step = max(1, -(-(high - low) // at_most))
    first = np.arange(low, high, step)
    parts = [slice(a, b) for a, b in zip(first, [*first[1:], stop], strict=True)]
    edges: FloatArray = np.append(first, high) * width_s
    edges[-1] = max(min(edges[-1], record.duration_s), edges[-2] + 1e-9)
    dropped = requests.dropped_by_window(record.counts.counts)
    routed = record.counts.routed[:, :-1]
    merged = np.array([record.counts.latency[part].sum(axis=(0, 1), dtype=np.int64) for part in parts])
    return Slices(
        edges_s=edges,
        dropped=np.array([dropped[part].sum(axis=0) for part in parts]),
        routed_per_s=np.array([routed[part].sum(axis=0) for part in parts]) / np.diff(edges)[:, None],
        latency_s=latency.percentiles_s(merged),
        asked=int(record.counts.counts.sum()),
    )


def focus(record: RunRecord, *, most: float = 0.6) -> Span:
    """The part of a run worth a look: where something happens and as much again around it.

    The whole run where that is more than the share `most` of it, or where nothing happens at all.
    """
    duration_s = record.duration_s
    dropped = requests.dropped_by_window(record.counts.counts).sum(axis=1)
    busy = np.flatnonzero(dropped > 0.05 * dropped.max(initial=0))  # not the odd error that there always is
    times = [record.rollout.start_s, record.rollout.end_s]
    times += [float(busy[0] * record.window_s), float((busy[-1] + 1) * record.window_s)] if busy.size else []
    for pod in record.pods:
        times += [pod.created_s, pod.deleted_s, pod.gone_s]
    times += [event.time_s for event in record.events if event.kind in NAMED]
    times += rollback.stage_times(record.rollback).values()
    within = [t for t in times if t is not None and 0.0 < t < duration_s]
    if not within:
        return 0.0, duration_s
    low, high = min(within), max(within)
    around = max(0.6 * (high - low), 5.0 * record.window_s)
    low, high = max(0.0, low - around), min(duration_s, high + around)
    return (low, high) if high - low <= most * duration_s else (0.0, duration_s)


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
