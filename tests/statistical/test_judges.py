"""Do the judges keep their promises on data with chance in it? Error rates by simulation, in standard errors.

Every figure is compared as (simulated - expected) / standard error. What a judge promises as a bound is held one-sided.
Seeds are fixed; the sizes were chosen so that the figures of the design page would be told from their neighbours.
"""

import math

import numpy as np
import pytest

from zdsim.measure.judges import anytime
from zdsim.measure.judges.mann_whitney import running_p_values
from zdsim.measure.judges.proportions import Sided, Sprt, critical_z, two_proportion_z
from zdsim.measure.judges.thresholds import poisson_ratio_rule
from zdsim.measure.power import Canary, Judge, found, peeking_false_alarm, simulate

Z = 3.5  # standard errors; about 60 comparisons are made here


def within(share: float, expected: float, n: int) -> bool:
    return abs(share - expected) <= Z * math.sqrt(expected * (1.0 - expected) / n)


def at_most(share: float, bound: float, n: int) -> bool:
    return share <= bound + Z * math.sqrt(bound * (1.0 - bound) / n)


@pytest.mark.parametrize("looks", [1, 2, 3, 5, 10, 20, 50])
def test_peeking_at_a_z_test(looks: int) -> None:
    """V21: 5.0 / 8.3 / 10.7 / 14.2 / 19.3 / 24.8 / 31.8 % of good releases blamed."""
    rng = np.random.default_rng(100 + looks)
    n, block = 20_000, 400
    events = rng.binomial(block, 0.2, (n, looks)).cumsum(axis=1)
    others = rng.binomial(block, 0.2, (n, looks)).cumsum(axis=1)
    total = block * np.arange(1, looks + 1)
    z = two_proportion_z(events, total, others, total)
    blamed = (np.abs(z) >= critical_z(0.05, Sided.TWO)).any(axis=1).mean()
    assert within(float(blamed), peeking_false_alarm(looks), n)


@pytest.mark.parametrize(("effect", "looks"), [(0.01, 1), (0.02, 1), (0.02, 5), (0.015, 10)])
def test_computed_power_is_simulated_power(effect: float, looks: int) -> None:
    """The normal approximation against counts, where it is good: about 100 expected failures."""
    canary = Canary(weight=0.3, rate=55.0, baseline=0.01, effect=max(effect, 0.011), window_s=600.0, looks=looks)
    n = 20_000
    computed, drawn = found(canary, effect), simulate(canary, effect, replications=n)
    assert abs(drawn.total - computed.total) <= Z * max(drawn.standard_error, 1e-3) + 0.006


@pytest.mark.parametrize(
    ("p0", "p1", "null", "alternative"),
    [(0.01, 0.02, 438, 540), pytest.param(0.001, 0.005, None, None, marks=pytest.mark.slow)],
)
def test_sprt(p0: float, p1: float, null: float | None, alternative: float | None) -> None:
    """Q28: error rates within alpha and beta, sample sizes within 15 % above Wald's.

    Between rates five times apart one failure jumps far past the boundary: there, within one jump of Wald's.
    """
    test = Sprt(p0, p1)
    n, longest = 1500, 5000
    expected = test.expected_requests()
    for seed, p, wald, page in ((1, p0, expected.if_null, null), (2, p1, expected.if_alternative, alternative)):
        rng = np.random.default_rng(seed)
        failures = (rng.random((n, longest), dtype=np.float32) < p).cumsum(axis=1, dtype=np.int32)
        ratio = test.log_ratio(failures, np.arange(1, longest + 1))
        done = (ratio >= test.upper) | (ratio <= test.lower)
        stop = np.where(done.any(axis=1), done.argmax(axis=1), longest - 1)
        rejected = float((ratio[np.arange(n), stop] >= test.upper).mean())
        requests = stop + 1.0
        error = float(requests.std()) / math.sqrt(n)
        overshoot = math.log(p1 / p0) / abs(test.mean_increment(p))  # one failure more than needed, at most
        most = wald + overshoot if page is None else 1.15 * wald
        assert wald - Z * error <= requests.mean() <= most + Z * error
        if page is not None:
            assert abs(requests.mean() - page) <= Z * error + 5.0
        assert at_most(rejected if p == p0 else 1.0 - rejected, test.alpha if p == p0 else test.beta, n)


def naive_and_valid(n_paths: int, n: int, seed: int) -> tuple[float, float, float]:
    """Shares of A/A paths that a running rank test, the bands and the confidence sequences ever reject."""
    rng = np.random.default_rng(seed)
    at = np.unique(np.geomspace(20, n, 60).astype(int))
    naive = banded = meant = 0
    for _ in range(n_paths):
        x, y = rng.lognormal(size=n), rng.lognormal(size=n)
        naive += bool((running_p_values(x.tolist(), y.tolist())[19:] < 0.05).any())
        banded += any(anytime.slower_by(x[:t], y[:t]) > 0.0 for t in at.tolist())
        t = np.arange(1, n + 1)
        radius = [
            anytime.asymptotic_radius(
                t, np.sqrt(np.cumsum(v**2) / t - (np.cumsum(v) / t) ** 2), alpha=0.025, tightest_at=2000
            )
            for v in (x, y)
        ]
        gap = np.abs(np.cumsum(x) - np.cumsum(y)) / t
        meant += bool((gap > sum(radius))[99:].any())
    return naive / n_paths, banded / n_paths, meant / n_paths


def test_netflix_peeking() -> None:
    """V21: 55-75 % of A/A paths cross p < 0.05 (66 of 100 at Netflix; 58 % when looks start at 20); valid ones: 5 %."""
    n = 60
    naive, banded, meant = naive_and_valid(n, 10_000, seed=9)
    assert within(naive, 0.58, n)
    assert at_most(banded, 0.05, n)
    assert at_most(meant, 0.05, n)


@pytest.mark.slow
def test_netflix_peeking_on_many_paths() -> None:
    n = 600
    naive, banded, meant = naive_and_valid(n, 10_000, seed=10)
    assert 0.55 - Z * 0.02 <= naive <= 0.75
    assert at_most(banded, 0.05, n)
    assert at_most(meant, 0.05, n)


def test_msprt_never_stops_looking() -> None:
    rng = np.random.default_rng(12)
    n_paths, n = 2000, 3000
    d = (rng.normal(size=(n_paths, n)) - rng.normal(size=(n_paths, n))).cumsum(axis=1) / np.arange(1, n + 1)
    log_ratio = anytime.msprt_log_ratio(np.arange(1, n + 1), d, 1.0, 0.05)
    assert at_most(float((log_ratio >= math.log(20.0)).any(axis=1).mean()), 0.05, n_paths)


def test_counts_never_stop_looking() -> None:
    """Lindon and Malek: under equal rates each failure is the canary's with its share of traffic."""
    rng = np.random.default_rng(13)
    n_paths, failures, share = 4000, 2000, 0.05
    new = (rng.random((n_paths, failures), dtype=np.float32) < share).cumsum(axis=1)
    stable = np.arange(1, failures + 1) - new
    for prior in ((1.0, 1.0), (1.0, 19.0)):
        ratio = anytime.counts_log_ratio(new, stable, share, prior=prior)
        assert at_most(float((ratio >= math.log(20.0)).any(axis=1).mean()), 0.05, n_paths)


def test_subgaussian_sequence_covers() -> None:
    rng = np.random.default_rng(14)
    n_paths, n = 2000, 3000
    mean = rng.normal(size=(n_paths, n)).cumsum(axis=1) / np.arange(1, n + 1)
    radius = anytime.subgaussian_radius(np.arange(1, n + 1), 1.0, alpha=0.05)
    assert at_most(float((np.abs(mean) > radius).any(axis=1).mean()), 0.05, n_paths)


@pytest.mark.parametrize("expected", [0.5, 1.0, 2.0, 5.0, 10.0])
def test_ratio_rule_meets_poisson_noise(expected: float) -> None:
    """Q27 where stable's rate must be measured: a count of exactly twice the expected is a coin toss."""
    weight, p, n = 0.002, 0.001, 20_000
    rate = expected / (weight * p * 600.0)
    canary = Canary(judge=Judge.RATIO, weight=weight, rate=rate, baseline=p, effect=2 * p, window_s=600.0)
    share = (poisson_ratio_rule(expected) + poisson_ratio_rule(expected, 2.0 + 1.0 / expected)) / 2.0
    drawn = simulate(canary, p, replications=n)
    assert abs(drawn.total - share) <= Z * math.sqrt(share * (1.0 - share) / n) + 0.04 * share


def test_seeing_one_failure() -> None:
    """Q26."""
    rng = np.random.default_rng(15)
    n = 20_000
    for p, requests in ((0.2, 14), (0.05, 59), (0.01, 299), (0.001, 2995)):
        assert within(float((rng.binomial(requests, p, n) > 0).mean()), 1.0 - (1.0 - p) ** requests, n)
