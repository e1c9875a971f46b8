"""What would Prometheus have shown of each revision?

A gate does not see requests; it sees counters scraped now and then, turned into rates over a range, and read late. From
the windows of a run this module makes those counters by revision and asks them what PromQL would: `rate()` and
`increase()` with their extrapolation to the edges of the range, `histogram_quantile()` with its interpolation, instant
values that go stale after five minutes.

Counters are sums over a revision's pods (`sum by (revision)`), so a restarting pod does not reset them. A series begins
at the first scrape at which its revision has counted anything, or where `up` says it runs, and has no samples while it
does not run. Requests that no pod ended (the last index of the revision axis) belong to no revision.

Source: prometheus/prometheus, promql/functions.go (extrapolatedRate) and promql/quantile.go (bucketQuantile),
version 3, whose ranges are open on the left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from zdsim.plane import histogram
from zdsim.plane.config import BoolArray, FloatArray, IntArray, PlaneRecord
from zdsim.plane.luck import raw_array, stream_key, unit_array
from zdsim.plane.vocabulary import Outcome

LOOKBACK_S: Final = 300.0
#: Upper bounds of the client libraries' default buckets, seconds.
DEFAULT_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
NAN: Final = math.nan

Counted = NDArray[np.int64] | NDArray[np.float64] | NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Scrape:
    """How metrics are collected and read.

    Attributes:
        interval_s: between scrapes.
        offset_s: time of the first scrape.
        range_s: what `rate(...[range])` looks back over; Prometheus needs two samples in it.
        lookback_s: age at which an instant value is stale.
        buckets: upper bounds of the latency histogram, seconds, rising, without +Inf; None: quantiles from the
            simulator's own fine histogram, as if the service exported one.
    """

    interval_s: float = 15.0
    offset_s: float = 0.0
    range_s: float = 60.0
    lookback_s: float = LOOKBACK_S
    buckets: tuple[float, ...] | None = DEFAULT_BUCKETS

    def __post_init__(self) -> None:
        if self.interval_s <= 0.0 or self.range_s <= 0.0 or self.lookback_s <= 0.0 or self.offset_s < 0.0:
            raise ValueError("scrape interval, range and lookback must be above 0, the offset not below it")
        if self.buckets is not None and (not self.buckets or list(self.buckets) != sorted(set(self.buckets))):
            raise ValueError(f"bucket bounds must rise; got {self.buckets}")


def extrapolated_rate(
    times_s: ArrayLike, values: ArrayLike, at_s: float, range_s: float, *, counter: bool = True, per_second: bool = True
) -> float:
    """PromQL's `rate` (defaults), `increase` (`per_second=False`) and `delta` (`counter=False` too).

    Args:
        times_s, values: samples of one series, shape (n,), times rising; NaN values are no samples.
        at_s, range_s: the range is (at - range, at].

    Returns:
        NaN with fewer than two samples in the range.

    >>> extrapolated_rate([0, 15, 30, 45, 60], [0, 15, 30, 45, 60], 60, 60)
    1.0
    """
    t, v = np.asarray(times_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    start = at_s - range_s
    kept = (t > start) & (t <= at_s) & ~np.isnan(v)
    t, v = t[kept], v[kept]
    if t.size < 2:
        return NAN
    grown = float(v[-1] - v[0])
    if counter:
        before, after = v[:-1], v[1:]
        grown += float(before[after < before].sum())  # a counter that fell began again at 0
    covered = float(t[-1] - t[0])
    spacing = covered / (t.size - 1)
    to_start, to_end = float(t[0]) - start, at_s - float(t[-1])
    if to_start >= 1.1 * spacing:  # the series began inside the range: half a step before its first sample
        to_start = spacing / 2.0
    if counter and grown > 0.0 and v[0] >= 0.0:
        to_start = min(to_start, covered * float(v[0]) / grown)  # not to where the counter would be negative
    if to_end >= 1.1 * spacing:
        to_end = spacing / 2.0
    total = grown * (covered + to_start + to_end) / covered
    return total / range_s if per_second else total


def extrapolated_rates(times_s: FloatArray, values: FloatArray, at_s: float, range_s: float) -> FloatArray:
    """`extrapolated_rate` of many counters that were scraped together, such as the buckets of a histogram.

    Args:
        values: shape (n, series); a scrape has all of the series or none of them (NaN).

    Returns:
        Per second, shape (series,); the same numbers as one by one.
    """
    start = at_s - range_s
    kept = (times_s > start) & (times_s <= at_s) & ~np.isnan(values).any(axis=1)
    t, v = times_s[kept], values[kept]
    out: FloatArray = np.full(values.shape[1], np.nan)
    if t.size < 2:
        return out
    before, after = v[:-1], v[1:]
    grown = (v[-1] - v[0]) + np.where(after < before, before, 0.0).sum(axis=0)
    covered = float(t[-1] - t[0])
    spacing = covered / (t.size - 1)
    to_start, to_end = float(t[0]) - start, at_s - float(t[-1])
    if to_start >= 1.1 * spacing:
        to_start = spacing / 2.0
    if to_end >= 1.1 * spacing:
        to_end = spacing / 2.0
    bounded = (grown > 0.0) & (v[0] >= 0.0)
    to_zero = np.divide(covered * v[0], grown, out=np.full(grown.shape, np.inf), where=bounded)
    out = grown * (covered + np.minimum(to_start, to_zero) + to_end) / covered / range_s
    return out


def instant(times_s: ArrayLike, values: ArrayLike, at_s: float, *, lookback_s: float = LOOKBACK_S) -> float:
    """Newest sample not older than the lookback; NaN if there is none."""
    t, v = np.asarray(times_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    kept = np.flatnonzero((t > at_s - lookback_s) & (t <= at_s) & ~np.isnan(v))
    return float(v[kept[-1]]) if kept.size else NAN


def histogram_quantile(q: float, upper_bounds: Sequence[float], cumulative: ArrayLike) -> float:
    """PromQL's quantile of a classic histogram: linear inside a bucket, never above the last finite bound.

    Args:
        q: 0 to 1; below it -inf, above it +inf.
        upper_bounds: rising, the last one +inf.
        cumulative: count (or rate) of values at or below each bound, same length.

    Returns:
        NaN without observations, with fewer than two buckets, or if the last bound is finite.

    >>> histogram_quantile(0.5, [0.1, 0.2, math.inf], [0, 10, 10])
    0.15000000000000002
    """
    counts = np.maximum.accumulate(np.asarray(cumulative, dtype=np.float64))
    if math.isnan(q) or len(upper_bounds) < 2 or upper_bounds[-1] != math.inf or not counts[-1] > 0.0:
        return NAN
    if q < 0.0 or q > 1.0:
        return -math.inf if q < 0.0 else math.inf
    rank = q * float(counts[-1])
    b = int(np.searchsorted(counts[:-1], rank, side="left"))
    if b == len(counts) - 1:
        return float(upper_bounds[-2])
    if b == 0 and upper_bounds[0] <= 0.0:
        return float(upper_bounds[0])
    low, below = (float(upper_bounds[b - 1]), float(counts[b - 1])) if b else (0.0, 0.0)
    return low + (float(upper_bounds[b]) - low) * (rank - below) / (float(counts[b]) - below)


def draw_orders(answered: IntArray, conversion: ArrayLike, *, seed: int) -> IntArray:
    """Orders placed in each window: binomial from the answered requests.

    Drawn by window and revision from the stream "observe/orders", as a quantile of one uniform number: two strategies
    under one seed meet the same luck, and a business bug shows against the same noise.

    Args:
        answered: requests, shape (W, R + 1).
        conversion: probability that an answered request becomes an order, by revision, shape (R,) or (R + 1,).

    Returns:
        Orders, shape (W, R + 1); none without a revision.
    """
    windows, revisions = answered.shape
    share = np.zeros(revisions)
    given = np.asarray(conversion, dtype=np.float64)
    share[: given.size] = given
    if ((share < 0.0) | (share > 1.0)).any():
        raise ValueError(f"conversion must lie between 0 and 1; got {given.tolist()}")
    key = stream_key(seed, "observe/orders")
    who = np.arange(windows, dtype=np.uint64)
    u = np.stack([unit_array(raw_array(key, who, which)) for which in range(revisions)], axis=1)
    drawn = binom.ppf(u, answered, share)
    return np.nan_to_num(drawn, nan=0.0).clip(0.0).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Extras:
    """What a request plane does not count, or not yet; each is optional.

    Attributes:
        up: (W, R), does the revision have a live pod in the window? None: from its first count to the end.
        restarts: (W, R), container restarts begun in the window.
        memory: (W, R), bytes at the end of the window.
        service_sum: (W, R + 1), seconds of work begun: its rate is CPU cores.
        query_count, query_sum: (W, R + 1), database queries begun, and their seconds: the rates are queries per second
            and connections busy.
        bytes_per_request: network traffic of one answered request.
        conversion: (R,), orders an answered request; order_value: revenue of one order.
    """

    up: BoolArray | None = None
    restarts: IntArray | None = None
    memory: FloatArray | None = None
    service_sum: FloatArray | None = None
    query_count: IntArray | None = None
    query_sum: FloatArray | None = None
    bytes_per_request: float | None = None
    conversion: FloatArray | None = None
    order_value: float = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One revision at one moment; NaN where Prometheus would return nothing."""

    at_s: float
    throughput: float  # requests per second
    error_rate: float  # failed share; NaN without a request in the range
    p50_s: float
    p95_s: float
    p99_s: float
    requests: float  # increase over the range
    failures: float
    conversion_rate: float  # orders an answered request
    orders_per_min: float
    revenue_per_min: float
    restarts: float  # increase over the range
    cpu_cores: float
    memory_bytes: float
    network_bytes_per_s: float
    db_queries_per_s: float
    db_busy_connections: float


@dataclass(frozen=True, slots=True, eq=False)
class Metrics:
    """Scraped counters of one run: samples at `times_s`, shape (S,), NaN where a series has none.

    `counters` maps a name to shape (S, R); `buckets` are cumulative counts by upper bound, shape (S, R, bounds).
    """

    scrape: Scrape
    times_s: FloatArray
    counters: dict[str, FloatArray]
    gauges: dict[str, FloatArray]
    bounds: tuple[float, ...]
    buckets: FloatArray

    def rate(self, name: str, revision: int, at_s: float) -> float:
        """`rate(name{revision}[range])`; NaN if the metric is not exported."""
        return self._over_range(name, revision, at_s, per_second=True)

    def increase(self, name: str, revision: int, at_s: float) -> float:
        """`increase(name{revision}[range])`."""
        return self._over_range(name, revision, at_s, per_second=False)

    def quantile_s(self, q: float, revision: int, at_s: float) -> float:
        """`histogram_quantile(q, rate(latency_bucket{revision}[range]))`, seconds."""
        return self._quantiles_s((q,), revision, at_s)[0]

    def _quantiles_s(self, qs: Sequence[float], revision: int, at_s: float) -> list[float]:
        rows = self._rows(at_s)
        rates = extrapolated_rates(self.times_s[rows], self.buckets[rows, revision], at_s, self.scrape.range_s)
        if math.isnan(rates[-1]):
            return [NAN for _ in qs]
        return [histogram_quantile(q, self.bounds, rates) for q in qs]

    def at(self, at_s: float, revision: int) -> Seen:
        """Everything a gate could read of a revision at one moment."""
        rate, increase = self.rate, self.increase
        requests, failures = increase("requests", revision, at_s), increase("failures", revision, at_s)
        answered = requests - failures
        orders = increase("orders", revision, at_s)
        quantiles = self._quantiles_s((0.5, 0.95, 0.99), revision, at_s)
        memory = self.gauges.get("memory")
        return Seen(
            at_s=at_s,
            throughput=rate("requests", revision, at_s),
            error_rate=_over(failures, requests),
            p50_s=quantiles[0],
            p95_s=quantiles[1],
            p99_s=quantiles[2],
            requests=requests,
            failures=failures,
            conversion_rate=_over(orders, answered),
            orders_per_min=60.0 * rate("orders", revision, at_s),
            revenue_per_min=60.0 * rate("revenue", revision, at_s),
            restarts=increase("restarts", revision, at_s),
            cpu_cores=rate("service_sum", revision, at_s),
            memory_bytes=NAN
            if memory is None
            else instant(self.times_s, memory[:, revision], at_s, lookback_s=self.scrape.lookback_s),
            network_bytes_per_s=rate("network_bytes", revision, at_s),
            db_queries_per_s=rate("query_count", revision, at_s),
            db_busy_connections=rate("query_sum", revision, at_s),
        )

    def series(self, revision: int, from_s: float, to_s: float, step_s: float) -> tuple[Seen, ...]:
        """`at` every `step_s` from `from_s` (without it) to `to_s`: what Kayenta or a dashboard compares."""
        n = math.floor((to_s - from_s) / step_s + 1e-9)
        return tuple(self.at(from_s + (i + 1) * step_s, revision) for i in range(n))

    def _over_range(self, name: str, revision: int, at_s: float, *, per_second: bool) -> float:
        counter = self.counters.get(name)
        if counter is None:
            return NAN
        rows = self._rows(at_s)
        return extrapolated_rate(
            self.times_s[rows], counter[rows, revision], at_s, self.scrape.range_s, per_second=per_second
        )

    def _rows(self, at_s: float) -> slice:
        """Only the samples of the range: a long run is not searched for each look."""
        low, high = np.searchsorted(self.times_s, [at_s - self.scrape.range_s, at_s], side="right")
        return slice(int(low), int(high))


def observe(
    record: PlaneRecord,
    window_s: float,
    *,
    scrape: Scrape | None = None,
    extras: Extras | None = None,
    seed: int = 0,
    from_s: float = 0.0,
    until_s: float | None = None,
) -> Metrics:
    """Scrape a run, or what a plane that still plays has counted so far.

    Args:
        record: of a plane; `counts` (W, R + 1, C, O) and `latency` (W, R + 1, B) are read.
        window_s: width of its windows; what happened in a window is visible to scrapes at or after its end.
        seed: of the run, for the orders.
        from_s, until_s: scrapes outside are left out (counters still count from the beginning); a gate that looks
            back one range need not pay for the whole run. None: to the end.
    """
    scrape, extras = scrape or Scrape(), extras or Extras()
    n_windows, with_none = record.counts.shape[:2]
    revisions = with_none - 1
    ends = (np.arange(n_windows) + 1) * window_s
    last_s = n_windows * window_s if until_s is None else min(until_s, n_windows * window_s)
    n_scrapes = max(math.floor((last_s - scrape.offset_s) / scrape.interval_s + 1e-9) + 1, 0)
    times = scrape.offset_s + np.arange(n_scrapes) * scrape.interval_s
    times = times[times >= from_s]
    done = np.searchsorted(ends, times + 1e-9, side="right")  # windows ended by each scrape

    by_outcome = record.counts.sum(axis=2)[:, :revisions]
    total, answered = by_outcome.sum(axis=2), by_outcome[:, :, Outcome.OK]
    per_window: dict[str, Counted] = {"requests": total, "failures": total - answered}
    per_window |= _optional(extras, answered, revisions, seed)
    here = _running(extras.up, total, done)
    counters = {name: _scraped(values, done, here) for name, values in per_window.items()}
    gauges = {} if extras.memory is None else {"memory": _gauge(extras.memory[:, :revisions], done, here)}
    bounds = _bounds(scrape)
    buckets = _buckets(record.latency[:, :revisions], bounds, done)
    return Metrics(scrape, times, counters, gauges, bounds, np.where(here[:, :, None], buckets, np.nan))


def _optional(extras: Extras, answered: IntArray, revisions: int, seed: int) -> dict[str, Counted]:
    found: dict[str, Counted] = {}
    for name in ("restarts", "service_sum", "query_count", "query_sum"):
        values = getattr(extras, name)
        if values is not None and values.size:
            found[name] = np.asarray(values[:, :revisions], dtype=np.float64)
    if extras.bytes_per_request is not None:
        found["network_bytes"] = answered * extras.bytes_per_request
    if extras.conversion is not None:
        orders = draw_orders(answered, extras.conversion, seed=seed)
        found["orders"], found["revenue"] = orders, orders * extras.order_value
    return found


def _running(up: BoolArray | None, total: IntArray, done: IntArray) -> BoolArray:
    """(S, R): does the series have a sample at each scrape?"""
    shown = np.asarray(up, dtype=np.bool_) if up is not None else np.cumsum(total, axis=0) > 0
    before = np.zeros((1, shown.shape[1]), dtype=np.bool_) if up is None else shown[:1]
    out: BoolArray = np.concatenate([before, shown])[done]
    return out


def _scraped(per_window: Counted, done: IntArray, here: BoolArray) -> FloatArray:
    """Counter samples (S, R) from counts by window (W, R)."""
    so_far = np.zeros((per_window.shape[0] + 1, per_window.shape[1]))
    np.cumsum(per_window.astype(np.float64), axis=0, out=so_far[1:])
    out: FloatArray = np.where(here, so_far[done], np.nan)
    return out


def _gauge(per_window: FloatArray, done: IntArray, here: BoolArray) -> FloatArray:
    padded = np.concatenate([np.full((1, per_window.shape[1]), np.nan), per_window])
    out: FloatArray = np.where(here, padded[done], np.nan)
    return out


def _bounds(scrape: Scrape) -> tuple[float, ...]:
    if scrape.buckets is not None:
        return (*scrape.buckets, math.inf)
    middles = histogram.middles_s()
    return (*((middles[:-1] + middles[1:]) / 2.0).tolist(), math.inf)


def _buckets(fine: NDArray[np.integer], bounds: tuple[float, ...], done: IntArray) -> FloatArray:
    """Answered requests at or below each bound by each scrape, shape (S, R, bounds)."""
    upto = np.searchsorted(histogram.middles_s(), bounds, side="right")
    out = np.zeros((done.size, fine.shape[1], len(bounds)))
    so_far: IntArray = np.zeros(fine.shape[1:], dtype=np.int64)
    read = 0
    for i, end in enumerate(done.tolist()):
        so_far = so_far + fine[read:end].sum(axis=0, dtype=np.int64)
        read = end
        running = np.concatenate([np.zeros((fine.shape[1], 1)), np.cumsum(so_far, axis=1)], axis=1)
        out[i] = running[:, upto]
    return out


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else NAN
