"""The compiled arrivals are those of ``plane.traffic``, to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
from planekit import config, exponential, lognormal

from zdsim.kernel.arrivals import ArrivalSource
from zdsim.plane.traffic import Arrivals, Traffic, zipf_cut

KNOTS = np.array([0.0, 3.0, 3.0, 5.0, 9.0, 9.0, 12.0])
RATES = np.array([100.0, 900.0, 2000.0, 2000.0, 0.0, 0.0, 400.0])  # ramps, steps, a silence


def traffic(kind: Arrivals, *, n_users: int = 300, n_proxies: int = 3) -> Traffic:
    base = config(seed=11, shares=(0.5, 0.3, 0.2), work=(exponential(0.02), lognormal(0.05, 1.0), exponential(1.0)))
    times = np.sort(np.random.default_rng(3).uniform(0.0, 12.0, 5000)) if kind is Arrivals.EXPLICIT else None
    return replace(
        base.traffic,
        arrivals=kind,
        knots_s=KNOTS,
        rates=RATES,
        dispersion=6.0,
        times_s=times,
        user_cut=zipf_cut(n_users, 1.1),
        n_proxies=n_proxies,
    )


@pytest.mark.parametrize("kind", list(Arrivals))
@pytest.mark.parametrize(("size", "n_users"), [(1, 1), (7, 300), (4096, 300), (4096, 20_000)])
def test_compiled_arrivals_equal_the_shared_ones(kind: Arrivals, size: int, n_users: int) -> None:
    wanted, source = traffic(kind, n_users=n_users).chunks(1000), ArrivalSource(traffic(kind, n_users=n_users), size)
    shared = []
    while (chunk := wanted.take()).size:
        shared.append(chunk)
    compiled = []
    while (chunk := source.take()).size:
        compiled.append(chunk.copy())
    a, b = np.concatenate(shared), np.concatenate(compiled)
    assert a.size > 4000
    for name in a.dtype.names or ():
        assert a[name].tobytes() == b[name].tobytes(), name


def test_no_knots_no_arrivals() -> None:
    silent = replace(traffic(Arrivals.POISSON), knots_s=np.zeros(0), rates=np.zeros(0))
    assert ArrivalSource(silent).take().size == 0


def test_the_end_is_the_end() -> None:
    source = ArrivalSource(traffic(Arrivals.DETERMINISTIC))
    while source.take().size:
        pass
    assert source.take().size == 0
