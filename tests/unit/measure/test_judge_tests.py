"""Judges other than Kayenta's: design tables Q24-Q28 and section 5.2, and what no judge may do."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.measure.judges import anytime, gate, thresholds
from zdsim.measure.judges.gate import Arm, Observation, judge, score_verdict
from zdsim.measure.judges.proportions import (
    Sided,
    Sprt,
    SprtState,
    power_two_proportion,
    requests_to_see_one,
    required_requests,
    two_proportion_p,
    two_proportion_z,
)
from zdsim.measure.judges.scoring import Metric, netflix_aca_judge
from zdsim.measure.judges.verdict import Direction, Health, Why

SPECS: list[gate.Spec] = [
    gate.AbsoluteSpec(limit=0.01),
    gate.RatioSpec(),
    gate.SlopeSpec(limit_per_s=1.0),
    gate.KayentaSpec(),
    gate.TwoProportionSpec(),
    gate.SprtSpec(test=Sprt(0.001, 0.002)),
    gate.MsprtSpec(),
    gate.MeanSequenceSpec(),
    gate.CountsSpec(),
    gate.DistributionSpec(),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("new", [Arm(), Arm(values=np.full(9, np.nan), times_s=np.arange(9.0))])
def test_no_data_is_inconclusive(spec: gate.Spec, new: Arm) -> None:
    for stable in (None, Arm(), Arm(requests=10_000, failures=10, values=np.arange(100.0))):
        verdict = judge(spec, Observation(new=new, stable=stable))
        assert verdict.health is Health.INCONCLUSIVE
        assert not verdict.stops


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: type(s).__name__)
@given(
    requests=st.integers(0, 5000), failed=st.integers(0, 50), base=st.integers(0, 5000), base_failed=st.integers(0, 50)
)
def test_every_judge_answers_every_count(
    spec: gate.Spec, requests: int, failed: int, base: int, base_failed: int
) -> None:
    new = Arm(requests=requests, failures=min(failed, requests))
    verdict = judge(spec, Observation(new=new, stable=Arm(requests=base, failures=min(base_failed, base))))
    assert requests > 0 or verdict.health is Health.INCONCLUSIVE
    assert not any(math.isnan(v) for v in verdict.numbers.values())


@pytest.mark.parametrize(
    ("spec", "bad", "good"),
    [
        (gate.AbsoluteSpec(limit=0.01), (150, 5000), (20, 5000)),
        (gate.RatioSpec(min_events=5.0), (150, 5000), (20, 5000)),
        (gate.TwoProportionSpec(), (150, 5000), (20, 5000)),
        (gate.TwoProportionSpec(effect=3.0), (150, 5000), (20, 5000)),
        (gate.SprtSpec(test=Sprt(0.004, 0.012)), (150, 5000), (20, 5000)),
        (gate.MsprtSpec(margin=0.02), (150, 5000), (20, 5000)),
        (gate.CountsSpec(margin=4.0), (150, 5000), (20, 5000)),
    ],
)
def test_judges_of_counts_tell_bad_from_good(spec: gate.Spec, bad: tuple[int, int], good: tuple[int, int]) -> None:
    stable = Arm(requests=95_000, failures=400)
    for (failures, requests), health in ((bad, Health.UNHEALTHY), (good, Health.HEALTHY)):
        assert judge(spec, Observation(new=Arm(requests=requests, failures=failures), stable=stable)).health is health


def test_judges_of_samples_tell_bad_from_good() -> None:
    rng = np.random.default_rng(3)
    stable = Arm(values=rng.lognormal(0.0, 0.5, 20_000))
    same, slow = Arm(values=rng.lognormal(0.0, 0.5, 20_000)), Arm(values=rng.lognormal(0.4, 0.5, 20_000))
    for spec in (gate.DistributionSpec(margin=0.2), gate.MeanSequenceSpec(margin=0.1)):
        assert judge(spec, Observation(new=slow, stable=stable)).health is Health.UNHEALTHY
        assert judge(spec, Observation(new=same, stable=stable)).health is Health.HEALTHY
    few = gate.KayentaSpec()
    cut = [Arm(values=arm.values[:60]) for arm in (stable, same, slow)]
    assert judge(few, Observation(new=cut[1], stable=cut[0])).health is Health.HEALTHY
    assert judge(few, Observation(new=cut[2], stable=cut[0])).why is Why.ABOVE_LIMIT
    assert judge(few, Observation(new=Arm(values=slow.values[:49]), stable=stable)).why is Why.TOO_FEW_SAMPLES


def test_too_little_traffic_is_not_a_pass() -> None:
    """Failure mode D1: 0.1 % against 0.2 % at 5 % needs 8,603 requests of the new revision."""
    spec = gate.TwoProportionSpec(effect=2.0)
    stable = Arm(requests=57_000, failures=57)
    verdict = judge(spec, Observation(new=Arm(requests=3000, failures=3), stable=stable))
    assert (verdict.health, verdict.why) == (Health.INCONCLUSIVE, Why.TOO_FEW_REQUESTS)
    assert verdict.numbers["least"] == 8603


def test_a_ratio_of_tiny_counts_waits() -> None:
    """Failure mode D8."""
    seen = Observation(new=Arm(requests=1000, failures=2), stable=Arm(requests=19_000, failures=19))
    assert judge(gate.RatioSpec(), seen).health is Health.UNHEALTHY
    assert judge(gate.RatioSpec(min_events=5.0), seen).why is Why.TOO_FEW_EVENTS


def test_scores_as_verdicts() -> None:
    rows = np.linspace(1.0, 2.0, 60)
    good, bad = Metric("a", rows, rows), Metric("b", rows, rows * 9.0)
    silent = Metric("c", rows, np.full(60, np.nan))
    assert score_verdict(netflix_aca_judge([good])).health is Health.HEALTHY
    assert score_verdict(netflix_aca_judge([bad])).health is Health.UNHEALTHY
    assert score_verdict(netflix_aca_judge([good, good, good, good, bad])).why is Why.SCORE_MARGINAL
    assert score_verdict(netflix_aca_judge([good, silent])).why is Why.NO_DATA
    assert score_verdict(netflix_aca_judge([silent])).why is Why.NO_DATA


# --- thresholds


@pytest.mark.parametrize(
    ("new", "stable", "health"),
    [
        (0.02, 0.01, Health.UNHEALTHY),  # "twice as many is too many"
        (0.0199, 0.01, Health.HEALTHY),
        (0.0, 0.0, Health.HEALTHY),
        (0.001, 0.0, Health.UNHEALTHY),
        (math.nan, 0.01, Health.INCONCLUSIVE),
        (0.01, None, Health.INCONCLUSIVE),
    ],
)
def test_ratio_to_stable(new: float, stable: float | None, health: Health) -> None:
    assert thresholds.ratio_to_stable(new, stable, 2.0).health is health


def test_falling_conversion() -> None:
    assert thresholds.ratio_to_stable(0.019, 0.02, 0.95, direction=Direction.DECREASE).why is Why.BELOW_LIMIT
    assert thresholds.absolute(0.019, 0.02, direction=Direction.DECREASE).why is Why.BELOW_LIMIT


def test_memory_leak() -> None:
    """Failure mode D11: 1 KiB a request at 50 requests/s and 512 MiB of room end in 2.9 h."""
    t = np.arange(0.0, 600.0, 15.0)
    memory = 100e6 + 1024.0 * 50.0 * t + 1e5 * np.sin(t)
    found = thresholds.slope(t, memory, 1024.0, ceiling=100e6 + 512 * 2**20 + memory[-1] - 100e6)
    assert found.why is Why.ABOVE_LIMIT
    assert found.numbers["reaches_ceiling_s"] / 3600 == pytest.approx(2.9, abs=0.05)
    assert thresholds.slope(t, np.full(t.size, 5.0), 1.0).health is Health.HEALTHY
    assert thresholds.slope(t[:4], memory[:4], 1.0).why is Why.TOO_FEW_SAMPLES


@pytest.mark.parametrize(
    ("expected", "rate"),
    [(0.5, 0.393), (1, 0.264), (2, 0.143), (3, 0.084), (5, 0.032), (8, 0.0082), (10, 0.0035), (20, 0.00005)],
)
def test_ratio_rule_on_counts(expected: float, rate: float) -> None:
    """Q27."""
    assert thresholds.poisson_ratio_rule(expected) == pytest.approx(rate, rel=0.02, abs=6e-6)
    assert 0.36 <= thresholds.poisson_ratio_miss(expected) <= 0.49


@pytest.mark.parametrize(("n", "rate"), [(100, 0.090), (300, 0.065), (600, 0.033), (1000, 0.013), (3000, 0.0002)])
def test_absolute_rule_on_counts(n: int, rate: float) -> None:
    """Q27."""
    assert thresholds.binomial_absolute_rule(n, 0.01, 0.005) == pytest.approx(rate, abs=6e-4 if n < 3000 else 6e-5)


# --- proportions


@pytest.mark.parametrize(
    ("p0", "p1", "at_five_percent", "equal"),
    [
        (0.001, 0.002, 8603, 18519),
        (0.001, 0.005, 872, 2311),
        (0.001, 0.01, 272, 834),
        (0.005, 0.01, 1711, 3681),
        (0.01, 0.02, 850, 1826),
        (0.01, 0.015, 3005, 6105),
        (0.01, 0.05, 85, 224),
        (0.05, 0.10, 160, 343),
    ],
)
def test_sample_sizes(p0: float, p1: float, at_five_percent: int, equal: int) -> None:
    """Q24."""
    assert math.ceil(required_requests(p0, p1, stable_per_new=19)) == at_five_percent
    assert math.ceil(required_requests(p0, p1, stable_per_new=1)) == equal


def test_strict_sample_sizes() -> None:
    """Q24: alpha 1 %, power 90 %."""
    sizes = [
        math.ceil(required_requests(p0, p1, stable_per_new=19, alpha=0.01, power=0.9))
        for p0, p1 in ((0.001, 0.002), (0.01, 0.02))
    ]
    assert sizes == [18_308, 1807]


@given(st.floats(0.001, 0.05), st.floats(1.2, 5.0), st.floats(0.3, 0.95), st.integers(1, 99))
def test_size_and_power_are_inverse(p0: float, ratio: float, power: float, k: int) -> None:
    n = required_requests(p0, p0 * ratio, stable_per_new=k, power=power)
    assert power_two_proportion(n, p0, p0 * ratio, stable_per_new=k) == pytest.approx(power, abs=1e-9)


def test_one_look_is_symmetric_and_silent_without_data() -> None:
    assert float(two_proportion_z(20, 1000, 10, 1000)) == pytest.approx(-float(two_proportion_z(10, 1000, 20, 1000)))
    two = float(two_proportion_p(20, 1000, 10, 1000, sided=Sided.TWO))
    assert two == pytest.approx(2.0 * float(two_proportion_p(20, 1000, 10, 1000)))
    assert math.isnan(float(two_proportion_z(0, 0, 1, 10)))
    assert float(two_proportion_z(0, 10, 0, 10)) == 0.0


@pytest.mark.parametrize(("p", "n"), [(0.2, 14), (0.05, 59), (0.01, 299), (0.005, 598), (0.001, 2995)])
def test_requests_to_see_one(p: float, n: int) -> None:
    """Q26."""
    assert math.ceil(requests_to_see_one(p)) == n


@pytest.mark.parametrize(
    ("p0", "p1", "null", "alternative"),
    [(0.01, 0.02, 430, 487), (0.001, 0.002, 4365, 4929), (0.001, 0.005, 559, 470)],
)
def test_sprt_expected_requests(p0: float, p1: float, null: int, alternative: int) -> None:
    """Q28."""
    found = Sprt(p0, p1).expected_requests()
    assert (round(found.if_null), round(found.if_alternative)) == (null, alternative)


def test_sprt_boundaries() -> None:
    test = Sprt(0.01, 0.02)
    assert test.state(0, 0) is SprtState.CONTINUE
    assert test.state(30, 500) is SprtState.REJECT_NULL
    assert test.state(0, 500) is SprtState.ACCEPT_NULL
    with pytest.raises(ValueError, match="p0 < p1"):
        Sprt(0.02, 0.01)


# --- anytime-valid


@given(st.integers(1, 10**6), st.floats(-1.0, 1.0), st.floats(0.01, 10.0), st.floats(1e-4, 1.0))
def test_msprt_interval_inverts_the_test(n: int, d: float, variance: float, prior: float) -> None:
    low, high = anytime.msprt_interval(n, d, variance, prior, alpha=0.05)
    for edge in (low, high):
        ratio = anytime.msprt_log_ratio(n, d - edge, variance, prior)
        assert float(ratio) == pytest.approx(math.log(20.0), rel=1e-6)


@given(st.integers(0, 300), st.integers(0, 3000), st.floats(0.01, 0.9))
def test_rate_ratio_interval_inverts_the_test(new: int, stable: int, share: float) -> None:
    low, high = anytime.rate_ratio_interval(new, stable, share)
    rejects = float(anytime.counts_log_ratio(new, stable, share)) >= math.log(20.0)
    assert rejects == (not low <= 1.0 <= high) or min(abs(low - 1.0), abs(high - 1.0)) < 1e-6
    assert low <= high


def test_always_valid_p_values_never_rise() -> None:
    n = np.arange(1, 200)
    p = anytime.msprt_p_values(n, np.sin(n), np.ones(n.size), 0.1)
    assert (np.diff(p) <= 0.0).all()
    assert p[0] <= 1.0


def test_radii_are_infinite_before_data_and_shrink() -> None:
    t = np.array([0, 10, 100, 1000, 100_000])
    for radius in (
        anytime.asymptotic_radius(t, 1.0, alpha=0.05, tightest_at=1000),
        anytime.subgaussian_radius(t, 1.0, alpha=0.05),
    ):
        assert np.isinf(radius[0])
        assert (np.diff(radius[1:]) < 0.0).all()
    bands = anytime.distribution_radius(t, alpha=0.05)
    assert bands[0] == 1.0
    assert bands[-1] < 0.02


def test_asymptotic_sequence_is_tightest_where_asked() -> None:
    """Its width relative to the fixed-sample interval is least near t*."""
    t = np.geomspace(10, 1e6, 400)
    relative = anytime.asymptotic_radius(t, 1.0, alpha=0.05, tightest_at=2000) * np.sqrt(t)
    assert 1000 < t[np.argmin(relative)] < 4000


def test_bands_of_samples_and_histograms_agree() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 40, 5000), rng.integers(0, 30, 7000)
    direct = anytime.slower_by(x, y)
    counted = anytime.slower_by_histogram(np.bincount(x, minlength=40), np.bincount(y, minlength=40))
    assert direct == pytest.approx(counted)
    assert direct > 0.0 > anytime.slower_by(y, x)
    assert anytime.slower_by([], y) == -1.0
