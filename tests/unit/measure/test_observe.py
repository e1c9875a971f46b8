"""Metrics as Prometheus would show them: its rules by hand-made series, and laws over runs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.measure.observe import (
    Extras,
    Scrape,
    draw_orders,
    extrapolated_rate,
    histogram_quantile,
    instant,
    observe,
)
from zdsim.plane import histogram
from zdsim.plane.config import PlaneRecord
from zdsim.plane.vocabulary import N_CAUSES, N_OUTCOMES, Outcome

INF = math.inf


def record(windows: int, ok: list[int], failed: list[int], latency_s: float = 0.05, begin: int = 0) -> PlaneRecord:
    """`ok[r]` answered and `failed[r]` lost requests of revision r in each window from `begin`."""
    revisions = len(ok)
    counts = np.zeros((windows, revisions + 1, 1, N_OUTCOMES), dtype=np.int64)
    latency = np.zeros((windows, revisions + 1, histogram.N_BUCKETS), dtype=np.int32)
    for r in range(revisions):
        first = begin if r else 0
        counts[first:, r, 0, Outcome.OK] = ok[r]
        counts[first:, r, 0, Outcome.TIMEOUT] = failed[r]
        latency[first:, r, histogram.bucket(latency_s)] = ok[r]
    empty = np.zeros(0)
    return PlaneRecord(
        counts=counts,
        latency=latency,
        latency_sum=np.zeros((windows, revisions + 1)),
        routed=counts.sum(axis=(2, 3)),
        causes=np.zeros((N_OUTCOMES, N_CAUSES), dtype=np.int64),
        stale_sum=empty,
        stale_max=empty,
        stale_count=np.zeros(0, dtype=np.int64),
        users=np.zeros(0, dtype=np.uint8),
        last_routed=empty,
        lost=np.zeros(0),
        log=np.zeros(0),
        pod_served=np.zeros(0, dtype=np.int64),
    )


# --- PromQL, by the rules of promql/functions.go


@pytest.mark.parametrize(
    ("times", "values", "at", "window", "expected"),
    [
        # one sample a step, all of the range covered but its open left end
        ([0, 15, 30, 45, 60], [100, 115, 130, 145, 160], 60, 60, 60.0),
        # first sample 35 s after the range's start, more than 1.1 steps: half a step is added before it
        ([45, 60, 75], [100, 110, 120], 75, 65, 20.0 * (30 + 7.5) / 30),
        # the counter was near zero: not further back than to where it was zero
        ([15, 30, 45, 60], [2, 17, 32, 47], 60, 60, 45.0 * (45 + 2) / 45),
        # last sample long ago: half a step is added after it
        ([0, 15, 30], [100, 110, 120], 60, 61, 20.0 * (30 + 1 + 7.5) / 30),
        # a counter that fell began again at zero
        ([0, 10, 20, 30], [100, 110, 5, 15], 30, 31, 25.0 * (30 + 1) / 30),
    ],
)
def test_increase(times: list[float], values: list[float], at: float, window: float, expected: float) -> None:
    found = extrapolated_rate(times, values, at, window, per_second=False)
    assert found == pytest.approx(expected)
    assert extrapolated_rate(times, values, at, window) == pytest.approx(expected / window)


def test_one_sample_has_no_rate() -> None:
    assert math.isnan(extrapolated_rate([10.0], [5.0], 20.0, 60.0))
    assert math.isnan(extrapolated_rate([0.0, 20.0], [1.0, 2.0], 20.0, 20.0))  # ranges are open on the left
    assert math.isnan(extrapolated_rate([0.0, 10.0, 20.0], [1.0, math.nan, math.nan], 20.0, 60.0))


def test_delta_may_fall() -> None:
    assert extrapolated_rate([0, 10, 20], [9, 7, 5], 20, 21, counter=False, per_second=False) < 0.0


def test_instant_values_go_stale() -> None:
    t, v = [0.0, 15.0, 30.0], [1.0, 2.0, math.nan]
    assert instant(t, v, 40.0) == 2.0
    assert instant(t, v, 314.9) == 2.0
    assert math.isnan(instant(t, v, 315.0))


@pytest.mark.parametrize(
    ("q", "bounds", "counts", "expected"),
    [
        (0.5, [0.1, 0.2, INF], [0, 10, 10], 0.15),
        (0.25, [0.1, 0.2, INF], [5, 10, 10], 0.05),
        (0.99, [0.1, 0.2, INF], [5, 6, 10], 0.2),  # in the last bucket: the last finite bound
        (0.2, [-1.0, 0.2, INF], [5, 6, 10], -1.0),
        (0.5, [0.1, INF], [0, 0], math.nan),
        (0.5, [0.1, 0.2], [1, 2], math.nan),
        (0.5, [INF], [3], math.nan),
        (-0.1, [0.1, INF], [1, 2], -INF),
        (1.1, [0.1, INF], [1, 2], INF),
        (0.5, [0.1, 0.2, 0.3, INF], [4, 3, 8, 8], 0.1),  # counts that fall are forced to rise
    ],
)
def test_histogram_quantile(q: float, bounds: list[float], counts: list[float], expected: float) -> None:
    assert histogram_quantile(q, bounds, counts) == pytest.approx(expected, nan_ok=True)


# --- whole runs


def test_a_steady_run_reads_as_it_is() -> None:
    metrics = observe(record(600, ok=[95, 19], failed=[0, 1]), 1.0)
    seen = metrics.at(600.0, 1)
    assert seen.throughput == pytest.approx(20.0)
    assert seen.error_rate == pytest.approx(0.05)
    assert seen.requests == pytest.approx(1200.0)
    assert 0.025 <= seen.p50_s <= 0.05  # somewhere in the bucket that holds it
    assert metrics.at(600.0, 0).error_rate == 0.0


def test_the_fine_histogram_knows_better() -> None:
    metrics = observe(record(300, ok=[95], failed=[0], latency_s=0.030), 1.0, scrape=Scrape(buckets=None))
    assert metrics.at(300.0, 0).p99_s == pytest.approx(0.030, rel=0.01)


def test_nothing_before_the_first_request_and_nothing_invented() -> None:
    metrics = observe(record(600, ok=[10, 10], failed=[0, 0], begin=300), 1.0)
    before, young, later = metrics.at(300.0, 1), metrics.at(315.0, 1), metrics.at(420.0, 1)
    assert math.isnan(before.throughput)
    assert math.isnan(before.error_rate)
    assert math.isnan(young.p99_s)  # one sample is no rate
    assert later.throughput == pytest.approx(10.0)
    for name in ("conversion_rate", "restarts", "cpu_cores", "memory_bytes", "network_bytes_per_s", "db_queries_per_s"):
        assert math.isnan(getattr(later, name))


def test_a_revision_that_ended_has_no_samples() -> None:
    up = np.ones((600, 2), dtype=bool)
    up[:300, 1] = False
    up[300:, 0] = False
    metrics = observe(record(600, ok=[10, 10], failed=[0, 0]), 1.0, extras=Extras(up=up))
    assert math.isnan(metrics.at(600.0, 0).throughput)
    assert metrics.at(300.0, 0).throughput == pytest.approx(10.0)


def test_what_the_plane_counts_besides() -> None:
    shape = (600, 2)
    extras = Extras(
        restarts=np.eye(1, 600, 450, dtype=np.int64).T,
        memory=np.linspace(1e8, 2e8, 600)[:, None],
        service_sum=np.full(shape, 2.5),
        query_count=np.full(shape, 30, dtype=np.int64),
        query_sum=np.full(shape, 0.4),
        bytes_per_request=1000.0,
        conversion=np.array([0.03]),
        order_value=20.0,
    )
    metrics = observe(record(600, ok=[100], failed=[0]), 1.0, extras=extras, scrape=Scrape(range_s=300.0))
    seen = metrics.at(600.0, 0)
    assert seen.cpu_cores == pytest.approx(2.5)
    assert seen.db_queries_per_s == pytest.approx(30.0)
    assert seen.db_busy_connections == pytest.approx(0.4)
    assert seen.network_bytes_per_s == pytest.approx(1e5)
    assert seen.memory_bytes == pytest.approx(2e8)
    assert seen.restarts == pytest.approx(1.0, abs=0.1)
    assert seen.conversion_rate == pytest.approx(0.03, abs=4 * math.sqrt(0.03 * 0.97 / 30_000))
    assert seen.revenue_per_min == pytest.approx(20.0 * seen.orders_per_min)


@given(at=st.floats(60.0, 599.0))
def test_a_gate_that_reads_little_reads_the_same(at: float) -> None:
    run = record(600, ok=[95, 19], failed=[1, 2], begin=200)
    whole = observe(run, 1.0).at(at, 1)
    cut = observe(run, 1.0, from_s=max(at - 60.0, 0.0), until_s=at).at(at, 1)
    assert repr(whole) == repr(cut)


def test_orders_are_named_luck() -> None:
    answered = np.full((2000, 3), 50)
    orders = draw_orders(answered, [0.1, 0.05], seed=4)
    assert (orders == draw_orders(answered, [0.1, 0.05], seed=4)).all()
    assert orders[:, 2].sum() == 0  # no revision, no order
    assert (orders <= answered).all()
    for r, share in enumerate((0.1, 0.05)):
        spread = math.sqrt(share * (1.0 - share) / (2000 * 50))
        assert abs(orders[:, r].sum() / (2000 * 50) - share) < 4.0 * spread
    # a business bug meets the same luck: no window sells more than it did without the bug
    assert (draw_orders(answered, [0.08, 0.05], seed=4)[:, 0] <= orders[:, 0]).all()
    with pytest.raises(ValueError, match="conversion"):
        draw_orders(answered, [1.5], seed=4)


def test_series_is_what_a_dashboard_compares() -> None:
    rows = observe(record(600, ok=[95], failed=[5]), 1.0).series(0, 0.0, 600.0, 60.0)
    assert [row.at_s for row in rows] == [60.0 * (i + 1) for i in range(10)]
    assert all(row.error_rate == pytest.approx(0.05) for row in rows)


def test_scrape_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="rise"):
        Scrape(buckets=(0.2, 0.1))
    with pytest.raises(ValueError, match="above 0"):
        Scrape(interval_s=0.0)
