"""Do requests, time in system and throughput add up: Little (Q1), PASTA (Q2), the interactive law (Q3)?"""

from itertools import pairwise

import numpy as np
import pytest
from conftest import Rig, both
from numpy.typing import NDArray
from queueing import (
    Estimate,
    FloatArray,
    Trace,
    agree,
    exponential,
    gamma,
    plane_config,
    play,
    play_out,
    refuse,
    regular_sigma,
    repairman,
    route_to,
    start_pods,
    warm_up_s,
)

from zdsim.plane.traffic import Arrivals
from zdsim.plane.vocabulary import Algorithm, Outcome


def in_system(rows: NDArray[np.void], times: FloatArray) -> NDArray[np.int64]:
    """Requests begun before and not ended before each time, from the log."""
    begun = np.searchsorted(np.sort(rows["start_s"]), times, side="left")
    ended = np.searchsorted(np.sort(rows["end_s"]), times, side="left")
    return begun - ended


def area(rows: NDArray[np.void], a: float, b: float) -> float:
    """Integral of the number in system from a to b, by sweeping over the jumps of the curve."""
    t = np.concatenate([rows["start_s"], rows["end_s"]])
    jump = np.concatenate([np.ones(rows.size), -np.ones(rows.size)])
    order = np.argsort(t, kind="stable")
    t, level = t[order], np.cumsum(jump[order])
    left, right = np.clip(t[:-1], a, b), np.clip(t[1:], a, b)
    return float((level[:-1] * (right - left)).sum())


def ages(rows: NDArray[np.void], t: float) -> float:
    """Time already spent by those in system at t."""
    inside = (rows["start_s"] < t) & (rows["end_s"] >= t)
    return float((t - rows["start_s"][inside]).sum())


def test_Q1_little_holds_to_the_last_second(rig: Rig) -> None:
    """Area under the number in system = time spent by those who left, window by window, pod by pod.

    The curve is read from the plane (`open_requests`, `load`) at many instants and from the log's jumps; the time
    spent comes from the record's own sums. All three are counted by different lines of a plane.
    """
    config = plane_config(
        seed=101,
        rate=3.2,
        horizon_s=rig.n(50_000),
        work=[gamma(1.0, 4.0)],
        n_windows=8,
        algorithm=Algorithm.LEAST_REQUEST,
        workers=2,
    )
    plane = rig.build(config)
    pods = start_pods(plane, [0, 0])
    route_to(plane, config, pods)
    times = np.linspace(0.0, config.horizon_s, 401)[1:]
    seen = []
    for t in times.tolist():
        play(plane, t)
        seen.append([plane.open_requests, *(plane.load(pod) for pod in pods)])
    record = play_out(plane, config)
    rows = Trace.of(record, config).rows
    curves = [in_system(rows, times)] + [in_system(rows[rows["pod"] == pod], times) for pod in pods]
    assert (np.array(curves) == np.array(seen).T).all()
    assert max(curve.max() for curve in curves[1:]) > 4  # somebody did wait

    window = config.window_s
    uncorrected = []
    for w in range(8):
        a, b = w * window, (w + 1) * window
        spent = float(record.latency_sum[w].sum())
        corrected = spent + ages(rows, b) - ages(rows, a)
        assert corrected == pytest.approx(area(rows, a, b), rel=1e-9)
        uncorrected.append(abs(spent / area(rows, a, b) - 1.0))
        x, mean = record.counts[w].sum() / window, spent / record.counts[w].sum()
        assert x * mean == pytest.approx(spent / window)  # L = X W is that same identity a second
    assert max(uncorrected) > 1e-6, "a window's edges must matter, else the identity would be blind"
    assert record.latency_sum.sum() == pytest.approx(area(rows, 0.0, float(rows["end_s"].max())), rel=1e-9)
    assert record.started == record.ended == record.counts.sum() == rows.size


def found_minus_average(trace: Trace, from_s: float, batches: int) -> tuple[Estimate, Estimate, Estimate]:
    """(what arrivals find, what time finds, difference of the two by batches of equal length)."""
    rows = trace.rows
    starts = rows["start_s"]
    found = np.arange(rows.size) - np.searchsorted(np.sort(rows["end_s"]), starts, side="right")
    edges = np.linspace(from_s, float(starts[-1]), batches + 1)
    by_time = np.array([area(rows, a, b) / (b - a) for a, b in pairwise(edges.tolist())])
    which = np.searchsorted(edges, starts, side="right") - 1
    inside = (which >= 0) & (which < batches)
    n = np.bincount(which[inside], minlength=batches)
    by_arrivals = np.bincount(which[inside], weights=found[inside], minlength=batches) / n
    return tuple(Estimate.of_independent(x) for x in (by_arrivals, by_time, by_arrivals - by_time))  # type: ignore[return-value]


@pytest.mark.parametrize(("rig", "rho"), both(0.5, 0.7), indirect=["rig"])
def test_Q2_poisson_arrivals_see_time_averages(rig: Rig, rho: float) -> None:
    """The number found on arrival and the number over time have one mean; the paired difference is zero."""
    config = plane_config(seed=102, rate=rho, horizon_s=rig.n(300_000) / rho)
    found, average, difference = found_minus_average(rig.trace(config), warm_up_s(rho), 30)
    mean = rho / (1.0 - rho)
    agree(f"PASTA rho={rho}: found", found, mean, precision=rig.precision(0.05))
    agree(f"PASTA rho={rho}: average", average, mean, precision=rig.precision(0.05))
    assert abs(difference.z(0.0)) <= 3.0
    assert 3.0 * difference.se < rig.precision(0.02) * mean
    if rig.large:
        refuse("the queue behind the server is something else", found, rho * mean)


def test_Q2_regular_arrivals_do_not(rig: Rig) -> None:
    """Negative control, D/M/1: arrivals find sigma/(1 - sigma), time rho/(1 - sigma)."""
    rho = 0.7
    sigma = regular_sigma(rho)
    config = plane_config(seed=103, rate=rho, horizon_s=rig.n(300_000) / rho, arrivals=Arrivals.DETERMINISTIC)
    found, average, difference = found_minus_average(rig.trace(config), warm_up_s(rho), 30)
    agree("D/M/1 found", found, sigma / (1.0 - sigma), precision=rig.precision(0.05))
    agree("D/M/1 average", average, rho / (1.0 - sigma), precision=rig.precision(0.05))
    refuse("PASTA without Poisson", difference, 0.0)


@pytest.mark.parametrize(("rig", "users", "think"), both((5, 8.0), (20, 20.0)), indirect=["rig"])
def test_Q3_interactive_law(rig: Rig, users: int, think: float) -> None:
    """X = N/(R + Z) by batches, and X, R themselves against the machine-repairman chain."""
    windows = 31
    throughput, response = repairman(users, think)
    config = plane_config(
        seed=104,
        horizon_s=rig.n(400_000) / throughput,
        think=exponential(think),
        n_closed=users,
        n_users=users,
        n_windows=windows,
        log_requests=False,
    )
    plane = rig.build(config)
    route_to(plane, config, start_pods(plane, [0]))
    record = play_out(plane, config)
    ended = record.counts[1:windows].sum(axis=(1, 2, 3))  # the first window warms up, the last one drains
    spent = record.latency_sum[1:windows].sum(axis=1)
    x = Estimate.of_independent(ended / config.window_s)
    r = Estimate.of_ratio(spent, ended.astype(np.float64))
    agree(f"repairman N={users}: X", x, throughput, precision=rig.precision(0.01))
    agree(f"repairman N={users}: R", r, response, precision=rig.precision(0.02))
    law = Estimate.of_independent((spent + think * ended) / config.window_s)
    agree(f"interactive law N={users}", law, users, precision=rig.precision(0.01))
    refuse("without the think time", Estimate.of_independent(spent / config.window_s), users)
    assert record.counts[..., Outcome.OK].sum() == record.ended == record.started
