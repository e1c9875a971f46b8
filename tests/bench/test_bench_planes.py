"""How fast is the kernel? Ratios measured in one run, against the reference plane, C and other simulators.

``pytest -m bench tests/bench -s`` or run this file. Times are processor seconds of the best of a few turns, arrivals
included, so that a busy machine disturbs the ratios little; statistics are checked before speed.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

import rivals
from planekit import config, lognormal

from zdsim.kernel import KernelPlane
from zdsim.plane.config import NEVER, PlaneConfig
from zdsim.plane.protocol import DataPlane
from zdsim.plane.vocabulary import Algorithm, Jitter, Outcome, RouterMode
from zdsim.reference import ReferencePlane

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

WORK = lognormal(0.05, rivals.SIGMA)
RETRIED = np.array([it not in (Outcome.OK, Outcome.TIMEOUT) for it in Outcome])


def bare(algorithm: Algorithm, *, rate: float, duration_s: float) -> PlaneConfig:
    """The load balancer and nothing else: no keep-alive, no database, no timeout, no bound on the queue."""
    return config(
        rate=rate,
        duration_s=duration_s,
        n_users=1,
        work=(WORK,),
        workers=rivals.N_WORKERS,
        queue=1 << 40,
        algorithm=algorithm,
        request_timeout_s=NEVER,
        log_requests=False,
    )


def full(algorithm: Algorithm, *, duration_s: float) -> PlaneConfig:
    """Everything switched on, at 62 % load of the workers: what a simulated rollout asks of the plane all the time."""
    return config(
        rate=1000.0,
        duration_s=duration_s,
        n_users=10_000,
        shares=(0.8, 0.2),
        work=(WORK, WORK),
        query=lognormal(0.005, 1.0),
        queries=1,
        errors=0.001,
        n_revisions=2,
        n_proxies=2,
        workers=10,
        queue=100,
        algorithm=algorithm,
        mode=RouterMode.REQUEST,
        idempotent=np.array([True, False]),
        retriable=RETRIED,
        backoff_s=np.array([0.1, 0.2]),
        jitter=Jitter.FULL,
        retry_budget=0.2,
        pool=32,
        max_age_s=300.0,
        request_timeout_s=1.0,
        db_pool=10,
        db_slots=50,
        db_pool_timeout_s=1.0,
        db_statement_timeout_s=1.0,
        log_requests=False,
    )


def played(plane: DataPlane, made: PlaneConfig) -> tuple[int, float, float]:
    """Ten pods, then all requests: how many, mean seconds, processor seconds."""
    for n in range(rivals.N_SERVERS):
        plane.start_process(plane.add_pod(n % made.n_revisions, 0.0), 0.0)
    for proxy in range(made.n_proxies):
        plane.set_view(proxy, range(rivals.N_SERVERS), 0.0)
    start = time.process_time()
    plane.advance(float("inf"))
    seconds = time.process_time() - start
    record = plane.record()
    assert record.started == record.ended
    return record.ended, float(record.latency_sum.sum() / record.latency.sum()), seconds


def fastest(make: Callable[[], Any], turns: int) -> Any:
    """The result with the fewest seconds a request."""
    return min((make() for _ in range(turns)), key=lambda it: it[2] / it[0])


def show(title: str, rows: list[tuple[str, Any]]) -> None:
    """A table; the first row is what the others are compared with."""
    first = rows[0][1][0] / rows[0][1][2]
    load = f"load of the machine {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"\n{title}   ({load})")
    for name, result in rows:
        if result is None:
            print(f"  {name:34s} not here")
            continue
        n, mean_s, seconds = result
        speed = f"{n / seconds / 1e6:7.3f} M requests/s"
        print(f"  {name:34s} {speed}   mean {mean_s * 1e3:7.2f} ms   kernel/this {first * seconds / n:7.2f}")


@pytest.mark.parametrize(
    ("algorithm", "rate", "mean_ms"),
    [
        (Algorithm.ROUND_ROBIN, 1000.0, 50.42),
        (Algorithm.LEAST_REQUEST, 1000.0, 49.99),
        (Algorithm.ROUND_ROBIN, 1500.0, 89.0),
        (Algorithm.LEAST_REQUEST, 1500.0, 54.8),
    ],
)
def test_bare_statistics(algorithm: Algorithm, rate: float, mean_ms: float) -> None:
    """Means of the design page, section 5 (work of coefficient of variation 1)."""
    made = bare(algorithm, rate=rate, duration_s=4000.0)
    _, mean_s, _ = played(KernelPlane(made), made)
    assert mean_s * 1e3 == pytest.approx(mean_ms, rel=0.001 if rate == 1000.0 else 0.01)


@pytest.mark.parametrize("algorithm", [Algorithm.LEAST_REQUEST, Algorithm.RANDOM])
def test_full_model(algorithm: Algorithm) -> None:
    """At least 3 million requests/s on a quiet core, and 50 times the reference plane."""
    made, short = full(algorithm, duration_s=400.0), full(algorithm, duration_s=15.0)
    played(KernelPlane(short), short)  # compile
    kernel = fastest(lambda: played(KernelPlane(made), made), 5)
    reference = fastest(lambda: played(ReferencePlane(short), short), 2)
    show(f"full model, {algorithm.name.lower()}", [("kernel", kernel), ("reference plane", reference)])
    speed, slow = kernel[0] / kernel[2], reference[0] / reference[2]
    assert speed >= 50 * slow
    if _quiet():
        assert speed >= 3e6


@pytest.mark.parametrize("algorithm", [Algorithm.ROUND_ROBIN, Algorithm.LEAST_REQUEST])
def test_bare_load_balancer(algorithm: Algorithm) -> None:
    """At least half of a hand-written C loop, 50 times plain SimPy, ahead of all others."""
    least = algorithm is Algorithm.LEAST_REQUEST
    made, n = bare(algorithm, rate=1000.0, duration_s=1000.0), 40_000
    played(KernelPlane(made), made)  # compile
    kernels, loops = [], []
    for _ in range(3):  # taking turns
        kernels.append(fastest(lambda: played(KernelPlane(made), made), 2))
        loops.append(rivals.c_loop(1_000_000, 1000.0, least=least))
    kernel = fastest(kernels.pop, 3)
    c = None if loops[0] is None else fastest(loops.pop, 3)
    others = {
        "plain SimPy": rivals.simpy_loop(n, 1000.0, least=least),
        "Ciw": rivals.ciw_network(n, 1000.0, least=least),
        "salabim": rivals.salabim_model(n, 1000.0, least=least),
        "simulus": rivals.simulus_model(n, 1000.0, least=least),
    }
    title = f"bare load balancer, {algorithm.name.lower()}, 1,000 requests/s"
    show(title, [("kernel", kernel), ("C loop, cc -O2", c), *others.items()])
    speed = kernel[0] / kernel[2]
    for name, result in others.items():
        if result is not None:
            assert result[1] == pytest.approx(kernel[1], rel=0.05), name
            assert speed >= (50 if name == "plain SimPy" else 1) * result[0] / result[2], name
    if c is not None:
        assert c[1] == pytest.approx(kernel[1], rel=0.01)
        assert speed >= 0.5 * c[0] / c[2]


def _quiet() -> bool:
    """Whether this machine has a core to itself for us; absolute speeds mean something only then."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] < 0.75 * (os.cpu_count() or 1)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-m", "bench", "-q", "-s", "-p", "no:cacheprovider"]))
