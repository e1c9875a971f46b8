"""What happens beyond capacity: backlog after a cut (Q23), dead work, retries that multiply load (Q46)?"""

import numpy as np
import pytest
from conftest import Rig, both
from queueing import (
    Estimate,
    Trace,
    agree,
    amplification,
    drain_time,
    plane_config,
    play,
    play_out,
    refuse,
    route_to,
    start_pods,
)

from zdsim.plane.config import PlaneConfig
from zdsim.plane.laws import constant
from zdsim.plane.traffic import Arrivals
from zdsim.plane.vocabulary import N_OUTCOMES, Outcome

WORKERS, WORK_S, CAPACITY = 30, 0.1, 300.0


def retriable(*outcomes: Outcome) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    out = np.zeros(N_OUTCOMES, dtype=np.bool_)
    out[list(outcomes)] = True
    return out


def with_cut(rig: Rig, config: PlaneConfig, cut_s: float) -> Trace:
    """One pod whose workers all stand still once for `cut_s`, around t = 10."""
    plane = rig.build(config)
    pods = start_pods(plane, [0])
    route_to(plane, config, pods)
    play(plane, 10.0)
    plane.set_pod_factor(pods[0], 1.0 + cut_s / WORK_S, plane.now)
    play(plane, 10.0 + min(1.0, cut_s / 2.0))  # by now each worker has taken up one request that lasts cut_s longer
    plane.set_pod_factor(pods[0], 1.0, plane.now)
    return Trace.of(play_out(plane, config), config)


def cut_config(seed: int, rate: float, horizon_s: float, arrivals: Arrivals, **rest: object) -> PlaneConfig:
    return plane_config(
        seed=seed,
        rate=rate,
        horizon_s=horizon_s,
        work=[constant(WORK_S)],
        workers=WORKERS,
        arrivals=arrivals,
        **rest,  # type: ignore[arg-type]
    )


def drained_after(trace: Trace, cut_s: float) -> float:
    """Seconds from the end of the cut to the first request that waits no more."""
    rows, back = trace.rows, 10.0 + cut_s
    waits = (trace.wait_s > 1e-6) & (rows["start_s"] < back)
    assert waits.any()
    later = (rows["start_s"] > back) & (trace.wait_s <= 1e-6)
    return float(rows["start_s"][later].min()) - back


def test_Q23_backlog_and_its_end(rig: Rig) -> None:
    """280/s at a capacity of 300/s, cut for 10 s: 2,800 wait, and it takes 140 s until nobody does."""
    assert drain_time(280.0, CAPACITY, 10.0) == pytest.approx(140.0)
    cut, rate = (10.0, 280.0) if rig.large else (3.0, 280.0)
    drain = drain_time(rate, CAPACITY, cut)
    trace = with_cut(rig, cut_config(230, rate, 1.1 * drain + 20.0, Arrivals.DETERMINISTIC), cut)
    # Exact but for the grain: a worker's last service before the cut ends up to a service time into it.
    assert drained_after(trace, cut) == pytest.approx(drain, abs=0.3)
    rows, back = trace.rows, 10.0 + cut
    waiting = int(((rows["start_s"] < back) & (rows["end_s"] - WORK_S > back)).sum())
    assert waiting == pytest.approx(rate * cut, abs=WORKERS + 2)
    assert float(trace.latency_s.max()) == pytest.approx(cut + WORK_S, abs=0.1)


def test_Q23_drain_time_of_poisson_traffic(kernel: Rig) -> None:
    """The mean over 24 seeds; a backlog without arrivals would be gone after 9.3 s."""
    times = [
        drained_after(with_cut(kernel, cut_config(s, 280.0, 260.0, Arrivals.POISSON), 10.0), 10.0) for s in range(40)
    ]
    estimate = Estimate.of_independent(times)
    agree("drain of 2,800 at 20/s", estimate, 140.0, precision=0.07)
    refuse("nobody else arrives", estimate, 2800 / 300)


def test_Q23_fifo_with_timeouts_serves_the_dead(rig: Rig) -> None:
    """330/s at 300/s: a request's wait grows by 0.1 s a second. Once it passes the timeout nothing succeeds,
    although every worker is busy all the time; a short waiting room keeps goodput at capacity."""
    timeout, rate, horizon_s = 1.0, 330.0, 30.0 if rig.large else 15.0
    long = cut_config(231, rate, horizon_s, Arrivals.DETERMINISTIC, request_timeout_s=timeout)
    trace = rig.trace(long)
    rows = trace.rows
    last_ok = float(rows["start_s"][trace.ok].max())
    turn = (timeout - WORK_S) / (rate / CAPACITY - 1.0)
    assert last_ok == pytest.approx(turn, abs=0.15)  # a service time of 30 workers is the grain of the staircase
    late = rows["start_s"] > turn + 0.15
    assert late.sum() > 1_900
    assert set(rows["outcome"][late].tolist()) == {Outcome.TIMEOUT}
    assert rows["end_s"][late] - rows["start_s"][late] == pytest.approx(timeout)

    room = int(CAPACITY * (timeout - WORK_S) * 0.8)
    short = cut_config(231, rate, horizon_s, Arrivals.DETERMINISTIC, request_timeout_s=timeout, queue=room)
    again = rig.trace(short).rows
    ok = int((again["outcome"] == Outcome.OK).sum())
    assert ok == pytest.approx(CAPACITY * horizon_s, abs=WORKERS + room + 1)
    assert set(again["outcome"].tolist()) == {Outcome.OK, Outcome.OVERFLOW}


@pytest.mark.parametrize(
    ("rig", "failing", "attempts"),
    both((0.5, 3), (0.9, 3), (0.1, 3), (0.01, 3), (0.5, 2), (0.9, 5), small=2),
    indirect=["rig"],
)
def test_Q46_retry_amplification(rig: Rig, failing: float, attempts: int) -> None:
    """Attempts a request, and requests lost in spite of them, when the process errs by itself."""
    config = plane_config(
        seed=4600,
        rate=1000.0,
        horizon_s=rig.n(200_000) / 1000.0,
        work=[constant(0.001)],
        workers=1 << 12,
        error_rate=[failing],
        retriable=retriable(Outcome.APP_ERROR),
        backoff_s=np.full(attempts - 1, 0.01),
    )
    rows = rig.trace(config).rows
    made = Estimate.of_independent(rows["attempts"].astype(np.float64))
    agree(f"f={failing} m={attempts}: attempts", made, amplification(failing, attempts), precision=rig.precision(0.01))
    refuse("an attempt more", made, amplification(failing, attempts + 1), by=3.0) if failing**attempts > 0.05 else None
    refuse("no retries", made, 1.0)
    lost = int((rows["outcome"] != Outcome.OK).sum())
    expected = rows.size * failing**attempts
    assert abs(lost - expected) <= 3.0 * max(1.0, expected * (1 - failing**attempts)) ** 0.5
    assert (rows["attempts"][rows["outcome"] != Outcome.OK] == attempts).all()


def test_Q46_every_attempt_fails(rig: Rig) -> None:
    """f = 1: exactly m attempts each; a budget of 10 % holds them to 1.1 (V31)."""
    base = {
        "seed": 4601,
        "rate": 1000.0,
        "horizon_s": 2.0,
        "work": [constant(0.001)],
        "workers": 1 << 12,
        "error_rate": [1.0],
        "retriable": retriable(Outcome.APP_ERROR),
        "backoff_s": np.full(2, 0.01),
    }
    rows = rig.trace(plane_config(**base)).rows  # type: ignore[arg-type]
    assert (rows["attempts"] == 3).all()
    assert (rows["outcome"] == Outcome.APP_ERROR).all()
    rows = rig.trace(plane_config(**base, retry_budget=0.1, retry_burst=10.0)).rows  # type: ignore[arg-type]
    spent = int(rows["attempts"].sum()) - rows.size
    assert rows.size * 0.1 - 1.0 <= spent <= rows.size * 0.1 + 10.0


def goodput_late(rig: Rig, attempts: int, rate: float) -> float:
    """Share of the requests of the last 20 s that succeed, 60 s after a cut of 5 s; timeout 1 s."""
    config = cut_config(
        462,
        rate,
        85.0,
        Arrivals.DETERMINISTIC,
        request_timeout_s=1.0,
        retriable=retriable(Outcome.TIMEOUT),
        backoff_s=np.full(attempts - 1, 0.1),
    )
    trace = with_cut(rig, config, 5.0)
    late = trace.rows["start_s"] > 65.0
    return float(trace.ok[late].mean())


def test_Q46_metastable_between_capacity_over_attempts_and_capacity(kernel: Rig) -> None:
    """rate < C < m rate: a passing cut leaves a system that never comes back; one attempt, or m rate < C, does."""
    assert goodput_late(kernel, attempts=3, rate=200.0) == 0.0  # 600/s of retries at 300/s
    assert goodput_late(kernel, attempts=1, rate=200.0) == 1.0
    assert goodput_late(kernel, attempts=3, rate=90.0) == 1.0  # 270/s
