"""Laws of duration as tables: exact where they promise it, close to the true quantiles elsewhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planekit import exponential, lognormal
from scipy import stats

from zdsim.plane.laws import LawTable, constant, tabulate, value, value_array
from zdsim.plane.luck import MASK, raw_array, stream_key

_TOP = 1 << 63
EDGES = [0, 1, (1 << 11) - 1, 1 << 11, 1 << 31, 1 << 32, _TOP - 1, _TOP, _TOP + (1 << 11), MASK - (1 << 11), MASK]
LAWS = [exponential(0.05), lognormal(0.05, 1.0), constant(0.02)]


def _bits(p_lower: float) -> int:
    """Random bits whose draw is the quantile at `p_lower`."""
    return min(int(p_lower * (1 << 53)), (1 << 53) - 1) << 11


@pytest.mark.parametrize("law", LAWS, ids=["exponential", "lognormal", "constant"])
@given(bits=st.lists(st.one_of(st.integers(0, MASK), st.sampled_from(EDGES)), min_size=1, max_size=20))
def test_arrays_are_the_scalars(law: LawTable, bits: list[int]) -> None:
    assert value_array(law.q, np.array(bits, dtype=np.uint64)).tolist() == [value(law.q, it) for it in bits]


@pytest.mark.parametrize("law", LAWS, ids=["exponential", "lognormal", "constant"])
@given(a=st.integers(0, MASK), b=st.integers(0, MASK))
def test_more_luck_takes_longer(law: LawTable, a: int, b: int) -> None:
    """A draw grows with its bits, also across octaves and the median: one number couples two laws."""
    low, high = sorted((a, b))
    assert 0.0 <= value(law.q, low) <= value(law.q, high) * (1.0 + 1e-15)


@given(seconds=st.floats(0.0, 1e6), bits=st.integers(0, MASK))
def test_a_constant_is_constant_to_the_last_bit(seconds: float, bits: int) -> None:
    assert value(constant(seconds).q, bits) == seconds


@pytest.mark.parametrize("tail", [0.5, 0.3, 0.1, 0.01, 1e-3, 1e-6, 1e-9])
def test_quantiles_are_those_of_the_law(tail: float) -> None:
    """Exponential: within 1e-4 (relative) out to far tails; lognormal: the same within 1e-3."""
    exp, log = exponential(0.05), lognormal(0.05, 1.0)
    mu = np.log(0.05) - 0.5
    upper = _bits(1.0 - tail)
    exact_tail = 1.0 - (upper >> 11) / (1 << 53)
    assert value(exp.q, upper) == pytest.approx(-0.05 * np.log(exact_tail), rel=1e-4)
    assert value(log.q, upper) == pytest.approx(np.exp(mu - stats.norm.ppf(exact_tail)), rel=1e-3)
    assert value(exp.q, _bits(tail)) == pytest.approx(-0.05 * np.log1p(-tail), rel=2e-4)


@pytest.mark.parametrize(("law", "sd"), [(exponential(0.05), 0.05), (lognormal(0.05, 1.0), 0.0656)])
def test_mean_of_many(law: LawTable, sd: float) -> None:
    n = 200_000
    drawn = value_array(law.q, raw_array(stream_key(3, "law"), np.arange(n, dtype=np.uint64)))
    assert abs(drawn.mean() - law.mean_s) < 4.0 * sd / np.sqrt(n)


def test_a_law_without_mean_is_left_as_it_is() -> None:
    law = tabulate(lambda p: p, lambda p: 1.0 - p, float("nan"))
    assert np.isnan(law.mean_s)
    assert value(law.q, _bits(0.5)) == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_durations_are_finite_and_not_negative(bad: float) -> None:
    with pytest.raises(ValueError, match="finite quantiles of zero or more"):
        tabulate(lambda p: p * 0.0 + bad, lambda p: p, 1.0)


def test_tables_are_not_written_to() -> None:
    with pytest.raises(ValueError):
        constant(1.0).q[0, 0, 0] = 2.0
