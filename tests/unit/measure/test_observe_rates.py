"""Many counters at once have the rates that they have one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.measure.observe import extrapolated_rate, extrapolated_rates


@given(st.integers(0, 2**32), st.integers(0, 12), st.floats(0.0, 130.0), st.floats(1.0, 90.0))
def test_rates_together_are_rates_one_by_one(seed: int, n: int, at_s: float, range_s: float) -> None:
    luck = np.random.Generator(np.random.PCG64(seed))
    times = np.cumsum(luck.integers(1, 20, n)).astype(np.float64)
    values = np.cumsum(luck.integers(0, 30, (n, 5)), axis=0).astype(np.float64)
    values[luck.integers(0, n + 1) :] = 3.0  # a restart: every counter falls
    values[luck.random(n) < 0.1] = np.nan
    together = extrapolated_rates(times, values, at_s, range_s)
    alone = [extrapolated_rate(times, values[:, b], at_s, range_s) for b in range(5)]
    assert together.tolist() == pytest.approx(alone, rel=0.0, abs=0.0, nan_ok=True)
