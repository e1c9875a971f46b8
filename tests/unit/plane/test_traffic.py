"""Open traffic: where it falls, that chunks change nothing, and that rates and laws come out as asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planekit import config, exponential, lognormal

from zdsim.plane.traffic import Arrivals, Traffic, scale_rate, zipf_cut

PROFILE = (np.array([0.0, 10.0, 10.0, 30.0, 40.0]), np.array([5.0, 15.0, 40.0, 40.0, 0.0]))
INTEGRAL = 100.0 + 800.0 + 200.0


def traffic(
    kind: Arrivals, *, seed: int = 1, knots: np.ndarray = PROFILE[0], rates: np.ndarray = PROFILE[1], d: float = 4.0
) -> Traffic:
    return Traffic(
        seed=seed,
        arrivals=kind,
        knots_s=knots,
        rates=rates,
        user_cut=zipf_cut(100, 1.0),
        class_cut=np.array([0.25, 1.0]),
        work=np.stack([exponential(0.05).q, lognormal(0.02, 1.0).q]),
        n_proxies=3,
        dispersion=d,
        times_s=np.array([0.0, 0.5, 0.5, 2.0]) if kind is Arrivals.EXPLICIT else None,
    )


def rows(it: Traffic, size: int = 1 << 15) -> np.ndarray:
    source, taken = it.chunks(size), []
    while (chunk := source.take()).size:
        assert chunk.size <= size
        taken.append(chunk)
    assert source.take().size == 0
    return np.concatenate(taken) if taken else chunk


@pytest.mark.parametrize("kind", Arrivals)
@pytest.mark.parametrize("size", [1, 2, 7, 100, 1099, 1100, 1101])
def test_chunks_change_nothing(kind: Arrivals, size: int) -> None:
    assert rows(traffic(kind), size).tobytes() == rows(traffic(kind)).tobytes()


@pytest.mark.parametrize("kind", [Arrivals.POISSON, Arrivals.DETERMINISTIC, Arrivals.BURSTY])
def test_times_ascend_within_the_knots(kind: Arrivals) -> None:
    t = rows(traffic(kind))["t"]
    assert (np.diff(t) >= 0.0).all()
    assert t[0] >= 0.0
    assert t[-1] <= 40.0


@pytest.mark.parametrize(("a", "b", "expected"), [(0, 10, 100), (10, 30, 800), (30, 40, 200), (5, 10, 62.5)])
def test_rate_is_the_profile(a: float, b: float, expected: float) -> None:
    """Deterministic: within one arrival; Poisson and bursty: mean over seeds within 4 standard errors."""
    t = rows(traffic(Arrivals.DETERMINISTIC))["t"]
    assert abs(((t >= a) & (t < b)).sum() - expected) <= 1
    for kind, dispersion in ((Arrivals.POISSON, 1.0), (Arrivals.BURSTY, 4.0)):
        counts = [((t := rows(traffic(kind, seed=s))["t"]) >= a)[t < b].sum() for s in range(40)]
        assert abs(np.mean(counts) - expected) < 4.0 * np.sqrt(dispersion * expected / 40)


@pytest.mark.parametrize("d", [2.0, 8.0])
def test_dispersion_is_the_one_asked_for(d: float) -> None:
    """Index of dispersion of counts in windows much longer than a burst (Whitt 1982)."""
    flat = traffic(Arrivals.BURSTY, knots=np.array([0.0, 4000.0]), rates=np.array([50.0, 50.0]), d=d)
    counts = np.bincount((rows(flat)["t"] / 4.0).astype(int), minlength=1000)
    assert counts.var() / counts.mean() == pytest.approx(d, rel=0.2)


def test_poisson_gaps_are_exponential() -> None:
    flat = traffic(Arrivals.POISSON, knots=np.array([0.0, 1000.0]), rates=np.array([50.0, 50.0]))
    gaps = np.diff(rows(flat)["t"])
    assert gaps.mean() == pytest.approx(0.02, rel=4.0 / np.sqrt(gaps.size))
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.02)


def test_marks_do_not_depend_on_the_times() -> None:
    """The n-th request has its user, class, work and proxy whenever it comes: strategies can be compared in pairs."""
    one, other = rows(traffic(Arrivals.POISSON)), rows(traffic(Arrivals.BURSTY))
    n = min(one.size, other.size)
    for name in ("user", "klass", "work_s", "proxy"):
        assert (one[name][:n] == other[name][:n]).all()


def test_marks_have_their_shares() -> None:
    flat = traffic(Arrivals.DETERMINISTIC, knots=np.array([0.0, 1000.0]), rates=np.array([50.0, 50.0]))
    it = rows(flat)
    n = it.size
    assert abs((it["klass"] == 0).mean() - 0.25) < 4.0 * np.sqrt(0.25 * 0.75 / n)
    assert it["work_s"][it["klass"] == 0].mean() == pytest.approx(0.05, rel=0.04)
    assert it["work_s"][it["klass"] == 1].mean() == pytest.approx(0.02, rel=0.06)
    assert np.bincount(it["proxy"]) / n == pytest.approx(np.full(3, 1 / 3), abs=4.0 * np.sqrt(0.25 / n))
    weights = 1.0 / np.arange(1, 101)
    share = weights[0] / weights.sum()
    assert abs((it["user"] == 0).mean() - share) < 4.0 * np.sqrt(share / n)
    assert it["user"].max() < 100


def test_expected_number() -> None:
    assert traffic(Arrivals.POISSON).expected == pytest.approx(INTEGRAL)
    assert traffic(Arrivals.EXPLICIT).expected == 4.0
    none = traffic(Arrivals.POISSON, knots=np.zeros(0), rates=np.zeros(0))
    assert none.expected == 0.0
    assert rows(none).size == 0


def test_explicit_times_are_taken_as_they_are() -> None:
    assert rows(traffic(Arrivals.EXPLICIT))["t"].tolist() == [0.0, 0.5, 0.5, 2.0]


def test_no_rate_no_arrivals() -> None:
    gap = traffic(
        Arrivals.DETERMINISTIC,
        knots=np.array([0.0, 10.0, 10.0, 20.0, 20.0, 30.0]),
        rates=np.array([2.0, 2, 0, 0, 2, 2]),
    )
    t = rows(gap)["t"]
    assert t.size == 40
    assert not ((t > 10.0) & (t < 20.0)).any()


@settings(max_examples=100)
@given(a=st.floats(-5.0, 45.0), width=st.floats(0.0, 50.0), factor=st.floats(0.0, 8.0))
def test_a_spike_scales_the_rate_where_it_is_and_nowhere_else(a: float, width: float, factor: float) -> None:
    knots, rates = scale_rate(*PROFILE, a, a + width, factor)
    assert (np.diff(knots) >= 0.0).all()
    assert knots[0] == 0.0
    assert knots[-1] == 40.0
    # Interior points away from knots and edges, where both rates are continuous.
    at = np.array(
        [x for x in np.linspace(0.05, 39.95, 300) if min(abs(x - k) for k in [*PROFILE[0], a, a + width]) > 0.02]
    )
    before, after = _rate(*PROFILE, at), _rate(knots, rates, at)
    inside = (at > a) & (at < a + width)
    assert after[inside] == pytest.approx(before[inside] * factor, rel=1e-9, abs=1e-9)
    assert after[~inside] == pytest.approx(before[~inside], rel=1e-9)


def _rate(knots: np.ndarray, rates: np.ndarray, at: np.ndarray) -> np.ndarray:
    i = np.searchsorted(knots, at, side="right") - 1
    a, b = knots[i], knots[i + 1]
    return rates[i] + (rates[i + 1] - rates[i]) * (at - a) / (b - a)


def test_a_config_has_its_traffic() -> None:
    made = config(rate=50.0, duration_s=4.0)
    assert made.traffic.expected == pytest.approx(200.0)
