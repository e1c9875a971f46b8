"""Exact intervals: against the equations that define them, and published values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, poisson

from zdsim.measure.intervals import count_interval, share_interval


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_clopper_pearson_limits_leave_half_of_the_rest_in_each_tail(pair: tuple[int, int], level: float) -> None:
    """P(X >= x | low) = P(X <= x | high) = (1 - level) / 2: the definition of the interval."""
    events, total = pair
    limits = share_interval(events, total, level=level)
    assert limits is not None
    assert 0.0 <= limits.low <= events / total <= limits.high <= 1.0
    tail = (1.0 - level) / 2.0
    if events > 0:
        assert binom.sf(events - 1, total, limits.low) == pytest.approx(tail, rel=1e-6)
    if events < total:
        assert binom.cdf(events, total, limits.high) == pytest.approx(tail, rel=1e-6)


@given(st.integers(0, 5000), st.floats(0.5, 0.999))
def test_poisson_limits_leave_half_of_the_rest_in_each_tail(events: int, level: float) -> None:
    limits = count_interval(events, level=level)
    tail = (1.0 - level) / 2.0
    assert limits.low <= events <= limits.high
    assert poisson.cdf(events, limits.high) == pytest.approx(tail, rel=1e-6)
    if events > 0:
        assert poisson.sf(events - 1, limits.low) == pytest.approx(tail, rel=1e-6)


def test_the_table_of_garwood() -> None:
    """Garwood (1936), 95 %: 0 -> 3.689, 1 -> 0.025..5.572, 10 -> 4.795..18.39."""
    assert count_interval(0) == pytest.approx((0.0, 3.6889), abs=1e-4)
    assert count_interval(1) == pytest.approx((0.02532, 5.57164), abs=1e-4)
    assert count_interval(10) == pytest.approx((4.79539, 18.39036), abs=1e-4)


def test_silence_has_no_share() -> None:
    assert share_interval(0, 0) is None


@pytest.mark.parametrize(("events", "total", "level"), [(2, 1, 0.95), (-1, 4, 0.95), (1, 4, 0.0), (1, 4, 1.0)])
def test_what_is_no_count_or_no_level_is_refused(events: int, total: int, level: float) -> None:
    with pytest.raises(ValueError, match="must lie"):
        share_interval(events, total, level=level)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        count_interval(-1)
