"""Kayenta's judge: cases with the outcome upstream's own unit tests expect (spinnaker/kayenta), and its laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zdsim.measure.judges import kayenta
from zdsim.measure.judges.kayenta import Classification, EffectSize, MetricConfig, NanStrategy, OutlierStrategy
from zdsim.measure.judges.mann_whitney import AllTiedError, cles, running_p_values, shift_interval, wilcoxon_diff
from zdsim.measure.judges.scoring import (
    Metric,
    MetricResult,
    ScoreClassification,
    classify_score,
    netflix_aca_judge,
    weighted_sum,
)
from zdsim.measure.judges.verdict import Direction

PASS, HIGH, LOW, NODATA = Classification.PASS, Classification.HIGH, Classification.LOW, Classification.NODATA
FAR_UP = ([1.0, 2.2, 1.1, 2.5, 3.0], [20.0, 22.0, 21.0, 25.0, 30.0])  # control, experiment


def config(**given: object) -> MetricConfig:
    return MetricConfig(**{"tolerance": 0.10, "confidence": 0.95, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("control", "experiment", "metric", "expected", "critical"),
    [
        (*FAR_UP, config(allowed_decrease=0.8, allowed_increase=1.2), HIGH, False),
        (*FAR_UP, config(critical=True, critical_increase=1.2), HIGH, True),
        (*FAR_UP, config(critical=True, critical_increase=20.0), HIGH, False),
        (*FAR_UP, config(critical=True), HIGH, True),
        (*FAR_UP, config(critical=True, allowed_increase=5.0, critical_increase=13.0), HIGH, False),
        (*FAR_UP, config(critical=True, allowed_increase=13.0, critical_increase=15.0), PASS, False),
        (*FAR_UP, config(direction=Direction.DECREASE), PASS, False),
        ([1.0] * 5, [1.0, 1, 1, 1, 10], config(), PASS, False),
        ([0.0] * 5, [10.0] * 5, config(), HIGH, False),
        (*FAR_UP, config(allowed_increase=50.0), PASS, False),
        (*FAR_UP, config(effect_size=EffectSize.CLES, allowed_increase=0.8), HIGH, False),
        (*FAR_UP[::-1], config(), LOW, False),
        (*FAR_UP[::-1], config(direction=Direction.INCREASE), PASS, False),
        ([20.0, 22, 21, 25, 30], [10.0, 12.2, 10.1, 12.5, 23.0], config(allowed_decrease=0.5), PASS, False),
        ([10.0, 20.2, 10.1, 20.5, 30.0], [2.0, 2, 2, 2, 3], config(critical=True, critical_decrease=1.2), LOW, True),
        ([1.0, 1.0], [1.0, 1.0, 1.0], config(), PASS, False),
        ([5.0, 4, 3, 2, 1], [1.0, 2, 3, 4, 5], config(), PASS, False),
        ([1.0] * 5, [0.0, 1, 1, 1, 1], config(direction=Direction.DECREASE), PASS, False),
        ([1.0] * 5, [10.0] * 5, config(), HIGH, False),  # constant on both sides: noise separates them
        ([10.0] * 5, [1.0] * 5, config(), LOW, False),
        ([0.0] * 10, [10.0] * 10, config(), HIGH, False),  # no ratio of means: the shift alone decides
        ([1.0, 2, 3, 4, 5], [], config(), NODATA, False),
        ([1.0, 2, 3, 4, 5], [], config(critical=True), NODATA, True),
        ([1.0, 2, 3], [], config(critical=True, must_have_data=True), NODATA, True),
        ([1.0, 2, 3], [], config(must_have_data=True), Classification.NODATA_FAIL_METRIC, False),
        ([1.0, 2, 3], [], config(nan_strategy=NanStrategy.REPLACE), PASS, False),
    ],
)
def test_classification(
    control: list[float], experiment: list[float], metric: MetricConfig, expected: Classification, critical: bool
) -> None:
    found = kayenta.classify(control, experiment, metric)
    assert (found.classification, found.critical) == (expected, critical)


def test_interval_of_upstreams_small_example() -> None:
    assert shift_interval([10, 20, 30, 40], [1, 2, 3, 4], confidence=0.95) == pytest.approx((6.0, 39.0, 22.5), abs=1e-6)


def test_mostly_zeros_keep_upstreams_surprise() -> None:
    """Error percentages that are 0 in most intervals: both limits end within the root finder's tolerance of 0.

    Which of them is larger, and so the class, then depends on the root finder's path; only the forbidden one is sure.
    """
    control = np.array([0.0] * 193 + np.linspace(1.4, 3.1, 17).tolist())
    experiment = np.array([0.0] * 136 + np.linspace(1.2, 5.6, 74).tolist())
    low, high, _ = shift_interval(experiment, control, confidence=0.95)
    assert max(abs(low), abs(high)) < 2e-4
    assert kayenta.classify(control, experiment, config(direction=Direction.DECREASE)).classification is PASS


@settings(max_examples=40)
@given(
    x=st.lists(st.integers(0, 50), min_size=3, max_size=30),
    y=st.lists(st.integers(0, 50), min_size=3, max_size=30),
)
def test_the_interval_holds_what_the_test_does_not_reject(x: list[int], y: list[int]) -> None:
    """Well inside the interval z is within its quantile; the estimate lies between the limits (to the tolerance)."""
    if len({*x}) == 1 and len({*y}) == 1:
        return
    low, high, estimate = shift_interval(x, y, confidence=0.9)
    assert low - 2e-4 <= estimate <= high + 2e-4
    for mu in (low + 1e-3, high - 1e-3):
        if low + 2e-3 < mu < high - 2e-3:
            assert abs(wilcoxon_diff(mu, 0.0, x, y)) <= 1.6449


@settings(max_examples=25)
@given(shift=st.integers(-40, 40))
def test_a_shift_of_the_canary_shifts_the_interval(shift: int) -> None:
    x, y = np.array([3.0, 5, 8, 9, 12, 14]), np.array([2.0, 4, 6, 7, 10, 13])
    plain, moved = np.array(shift_interval(x, y)), np.array(shift_interval(x + shift, y))
    assert moved == pytest.approx(plain + shift, abs=3e-4)


def test_all_tied_has_no_interval() -> None:
    with pytest.raises(AllTiedError):
        wilcoxon_diff(0.0, 0.0, [1.0, 1.0], [1.0])


def test_rank_arithmetic_agrees_with_counting_pairs() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=60), rng.normal(size=60)
    above = (x[:, None] > y[None, :]).sum()
    assert cles(x, y) == pytest.approx(above / 3600)
    z = wilcoxon_diff(0.0, 0.0, x, y)
    assert running_p_values(x.tolist(), y.tolist())[-1] == pytest.approx(math.erfc(abs(z) / math.sqrt(2.0)))


def test_percentile_is_type_seven() -> None:
    data = [95.1772, 95.1567, 95.1937, 95.1959, 95.1442, 95.0610, 95.1591, 95.1195, 95.1772, 95.0925, 95.1990, 95.1682]
    assert kayenta.percentile(data, 90) == pytest.approx(95.19568)  # NIST, Engineering Statistics Handbook 7.2.6.2
    assert math.isnan(kayenta.percentile([], 50))


def test_outliers() -> None:
    data = [21.0, 23, 24, 25, 50, 29, 23, 21]
    assert np.flatnonzero(kayenta.iqr_outliers(data)).tolist() == [4]
    spike = [1.0] * 5 + [20.0] + [1.0] * 5
    assert np.flatnonzero(kayenta.k_sigma_outliers(spike)).tolist() == [5]
    assert np.flatnonzero(kayenta.iqr_outliers([1.0] * 200 + [20.0], factor=3.0)).tolist() == [200]
    assert not kayenta.iqr_outliers([1.0, 2.0, 3.0, 9.0], factor=3.0, reduce_sensitivity=True).any()
    assert kayenta.iqr_outliers([]).size == 0


def test_cleaning() -> None:
    data = [0.0, 1.0, math.nan, 1.0, 0.0]
    assert kayenta.transform(data, MetricConfig()).tolist() == [0, 1, 1, 0]
    assert kayenta.transform(data, MetricConfig(nan_strategy=NanStrategy.REPLACE)).tolist() == [0, 1, 0, 1, 0]
    kept = kayenta.transform([1.0] * 300 + [50.0] * 2, MetricConfig(outliers=OutlierStrategy.REMOVE))
    assert kept.max() == 1.0


def test_noise_is_named_luck() -> None:
    data = np.full(20, 7.0)
    once, again = kayenta.with_noise(data, 1, "a"), kayenta.with_noise(data, 1, "a")
    assert (once == again).all()
    assert (once != kayenta.with_noise(data, 1, "b")).any()
    assert np.abs(once - 7.0).max() < 7.0 * 1e-5 * 6


def test_effect_sizes() -> None:
    assert kayenta.mean_ratio([100.0] * 5, [10.0] * 5) == pytest.approx(0.1)
    assert math.isnan(kayenta.mean_ratio([0.0, 0.0], [1.0]))
    assert kayenta.cohen_d([1.0, 1, 1, 2, 2, 2], [5.0, 5, 5, 10, 10, 10]) == pytest.approx(3.03821, abs=1e-5)
    assert kayenta.summary([1.0, 1, 1, 10, 10, 10]).std == pytest.approx(4.9295, abs=1e-4)


def result(label: Classification, *groups: str, critical: bool = False) -> MetricResult:
    return MetricResult("m", label, groups or ("g",), critical)


@pytest.mark.parametrize(
    ("results", "weights", "score"),
    [
        ([result(PASS)], {}, 100.0),
        ([result(HIGH)], {}, 0.0),
        ([result(PASS), result(HIGH)], {}, 50.0),
        ([result(PASS), result(HIGH), result(LOW)], {}, 33.33),
        ([result(PASS, "1"), result(PASS, "1"), result(HIGH, "2")], {"1": 75.0, "2": 25.0}, 75.0),
        ([result(PASS, "1"), result(HIGH, "1"), result(HIGH, "2")], {"1": 50.0, "2": 50.0}, 25.0),
        ([result(PASS, "1"), result(HIGH, "2"), result(HIGH, "3")], {"1": 60.0}, 60.0),
        ([result(NODATA)], {}, 0.0),
        ([result(PASS), result(NODATA)], {}, 0.0),
        ([result(PASS, "1"), result(HIGH, "1"), result(NODATA, "2")], {}, 75.0),  # a silent group counts as 100
        ([result(PASS), result(HIGH, critical=True)], {}, 0.0),
        ([result(LOW), result(PASS, critical=True)], {}, 50.0),
        ([result(PASS), result(Classification.NODATA_FAIL_METRIC)], {}, 50.0),
    ],
)
def test_score(results: list[MetricResult], weights: dict[str, float], score: float) -> None:
    assert weighted_sum(results, weights).summary == score


def test_score_thresholds() -> None:
    found = [classify_score(score, 95.0, 75.0) for score in (95.0, 94.99, 75.0, 74.99)]
    expected = [ScoreClassification.PASS, ScoreClassification.MARGINAL, ScoreClassification.MARGINAL]
    assert found == [*expected, ScoreClassification.FAIL]


def test_the_whole_judge() -> None:
    same = np.linspace(1.0, 2.0, 60)
    judged = netflix_aca_judge(
        [
            Metric("latency", same, same[::-1], groups=("speed",)),
            Metric("errors", same, same * 9.0, groups=("health",)),
        ],
        group_weights={"health": 60.0},
    )
    assert [r.classification for r in judged.results] == [PASS, HIGH]
    assert (judged.score.summary, judged.classification) == (40.0, ScoreClassification.FAIL)
