"""Statistics of paired replications, against scipy.stats, tables and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from zdsim.measure import paired

numbers = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40).map(np.array)


def test_a_mean_is_students() -> None:
    values = np.array([3.1, 2.9, 3.4, 3.3, 2.8])
    found = paired.mean(values)
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert found.interval == pytest.approx((low, high))
    assert (found.n, found.mean) == (5, pytest.approx(values.mean()))


def test_what_was_not_measured_is_left_out_and_counted() -> None:
    a, b = np.array([1.0, np.nan, 3.0, 4.0]), np.array([0.0, 5.0, np.nan, 1.0])
    assert paired.mean(a).n == 3
    found = paired.difference(a, b)
    assert (found.n, found.mean) == (2, 2.0)
    nothing = paired.difference(a[1:2], b[1:2])
    assert (nothing.n, nothing.interval, nothing.equal) == (0, None, False)
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.p)


def test_one_replication_shows_no_spread() -> None:
    found = paired.mean(np.array([4.0]))
    assert (found.mean, found.interval) == (4.0, None)
    assert math.isnan(paired.difference(np.array([4.0]), np.array([1.0])).p)


@given(numbers)
def test_the_same_numbers_differ_by_exactly_nothing(values: np.ndarray) -> None:
    found = paired.difference(values, values.copy())
    assert found.equal
    assert (found.mean, found.sd, found.p) == (0.0, 0.0, 1.0)
    assert found.interval == (0.0, 0.0)


@given(numbers)
def test_a_difference_turns_its_sign_with_its_pair(values: np.ndarray) -> None:
    other = values[::-1] * 0.5 + 1.0
    there, back = paired.difference(values, other), paired.difference(other, values)
    assert there.mean == -back.mean
    assert there.p == back.p
    assert there.interval is not None
    assert back.interval is not None
    assert there.interval.low == -back.interval.high


@given(numbers)
def test_the_interval_and_the_test_say_the_same(values: np.ndarray) -> None:
    found = paired.difference(values, np.zeros(values.size))
    assert found.interval is not None
    outside = found.interval.low > 0.0 or found.interval.high < 0.0
    if not math.isclose(found.p, 0.05, rel_tol=1e-6):
        assert outside == (found.p < 0.05)


def test_a_paired_test_is_scipys() -> None:
    luck = np.random.Generator(np.random.PCG64(3))
    a, b = luck.normal(5, 1, 12), luck.normal(5.5, 1, 12)
    assert paired.difference(a, b).p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    exact = stats.permutation_test(
        (a - b,), np.sum, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
    )
    assert paired.sign_flip_p(a, b) == pytest.approx(exact.pvalue)


def test_signs_are_all_tried_or_none() -> None:
    ones = np.ones(5)
    assert paired.sign_flip_p(ones, 0 * ones) == 2 / 2**5
    assert paired.sign_flip_p(ones, ones) == 1.0
    assert paired.sign_flip_p(np.ones(17), np.zeros(17)) is None
    assert paired.sign_flip_p(np.array([np.nan]), np.array([1.0])) is None


@pytest.mark.parametrize("events", [0, 1, 3, 19])
def test_rare_rates_are_garwoods(events: int) -> None:
    low = stats.chi2.ppf(0.025, 2 * events) / 2 if events else 0.0
    high = stats.chi2.ppf(0.975, 2 * events + 2) / 2
    assert paired.rare_rate(events, 1000.0) == pytest.approx((low / 1000, high / 1000))


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 5), (5, 0), (3, 9), (12, 12), (1, 18)])
@pytest.mark.parametrize("exposures", [(100.0, 100.0), (100.0, 300.0)])
def test_two_rare_rates_are_compared_exactly(a: int, b: int, exposures: tuple[float, float]) -> None:
    share = exposures[0] / sum(exposures)
    tails = (stats.binom.cdf(a, a + b, share), stats.binom.sf(a - 1, a + b, share))
    assert paired.rare_p(a, exposures[0], b, exposures[1]) == pytest.approx(min(1.0, 2 * min(tails)))
    ratio = paired.rare_ratio(a, exposures[0], b, exposures[1])
    if a + b == 0:
        assert ratio is None
        return
    assert ratio is not None
    assert ratio.interval is not None
    low, high = stats.binomtest(a, a + b).proportion_ci(0.95, "exact")
    scale = exposures[1] / exposures[0]
    assert ratio.interval.low == pytest.approx(scale * low / (1 - low))
    assert ratio.interval.high == (pytest.approx(scale * high / (1 - high)) if high < 1.0 else np.inf)
    assert (ratio.interval.low > 1.0 or ratio.interval.high < 1.0) == (
        paired.rare_p(a, exposures[0], b, exposures[1]) < 0.05
    )


def test_never_against_never_is_not_certainty() -> None:
    low, high = paired.rare_difference(0, 1000.0, 0, 1000.0)
    assert low == -high
    assert high == pytest.approx(3.689 / 1000, rel=1e-3)


def test_bursts_are_no_independent_witnesses() -> None:
    assert paired.clustered(np.array([15, 0, 0, 0, 0, 0, 0, 0]))
    assert not paired.clustered(np.array([2, 1, 0, 3, 1, 2, 2, 1]))
    assert not paired.clustered(np.array([1, 0, 0, 0]))
    assert not paired.clustered(np.array([0, 0]))


def test_a_ratio_of_means() -> None:
    luck = np.random.Generator(np.random.PCG64(5))
    b = luck.normal(10, 1, 30)
    a = 3 * b + luck.normal(0, 0.1, 30)
    found = paired.ratio_of_means(a, b)
    assert found is not None
    assert found.interval is not None
    assert found.ratio == pytest.approx(3, abs=0.02)
    assert found.interval.low < found.ratio < found.interval.high
    assert paired.ratio_of_means(a, 0 * a) is None
    unbounded = paired.ratio_of_means(a, luck.normal(0.01, 1, 30))
    assert unbounded is not None
    assert unbounded.interval is None
    same = paired.ratio_of_means(b, b)
    assert same is not None
    assert same.interval == (1.0, 1.0)


@pytest.mark.parametrize(
    ("effect", "n"),
    # One-sample t, two-sided 5 %, power 80 %: Cohen (1988), Statistical Power Analysis, table 2.4 (paired: d * sqrt 2).
    [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)],
)
def test_needed_replications(effect: float, n: int) -> None:
    found = paired.needed_replications(effect, 1.0)
    assert found is not None
    assert abs(found - n) <= 1
    assert found == paired.needed_replications(-3 * effect, 3.0)


def test_needed_replications_where_nobody_knows() -> None:
    assert paired.needed_replications(0.0, 1.0) is None
    assert paired.needed_replications(math.nan, 1.0) is None
    assert paired.needed_replications(1.0, math.nan) is None
    assert paired.needed_replications(1e-9, 1.0) is None
    assert paired.needed_replications(1.0, 0.0) == 2


def test_needed_for_a_half_width() -> None:
    n = paired.needed_for_half_width(1.0, 0.1)
    assert n is not None
    assert 384 <= n <= 400  # (1.96 / 0.1)^2 = 384, and a little for t
    assert paired.needed_for_half_width(0.0, 0.1) == 2
    assert paired.needed_for_half_width(math.nan, 0.1) is None
    assert paired.needed_for_half_width(1.0, 1e-9) is None
    with pytest.raises(ValueError, match="half_width"):
        paired.needed_for_half_width(1.0, 0.0)


@given(st.lists(st.floats(0.0, 1.0), max_size=10))
def test_holm_only_raises_and_keeps_the_order(p: list[float]) -> None:
    adjusted = paired.holm(p)
    assert all(a >= b for a, b in zip(adjusted, p, strict=True))
    assert max(adjusted, default=0.0) <= 1.0
    order = sorted(range(len(p)), key=lambda i: p[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)


def test_holm_counts_what_was_tested() -> None:
    # Holm (1979), the example of 5 % and four p-values.
    assert paired.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    adjusted = paired.holm([0.02, math.nan])
    assert adjusted[0] == 0.02
    assert math.isnan(adjusted[1])


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="same replications"):
        paired.difference(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="level"):
        paired.mean(np.arange(3.0), level=1.0)
    with pytest.raises(ValueError, match="exposure"):
        paired.rare_rate(1, 0.0)
