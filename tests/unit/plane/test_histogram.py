"""Latency buckets: complete, ascending, and narrow enough."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.plane.histogram import MAX_US, N_BUCKETS, bucket, middles_s


@given(st.floats(0.0, 4000.0))
def test_a_middle_is_near_what_fell_into_its_bucket(seconds: float) -> None:
    """Within 0.8 % and half a microsecond of rounding."""
    assert abs(middles_s()[bucket(seconds)] - seconds) <= 0.008 * seconds + 0.51e-6


@given(st.floats(0.0, 1e5), st.floats(0.0, 1e5))
def test_longer_is_never_before_shorter(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= bucket(low) <= bucket(high) < N_BUCKETS


def test_every_bucket_can_be_reached_and_the_last_takes_all_the_rest() -> None:
    reached = {bucket(m) for m in middles_s()}
    assert reached == set(range(N_BUCKETS))
    assert bucket(MAX_US * 1e-6) == bucket(1e9) == N_BUCKETS - 1
    assert (np.diff(middles_s()) > 0).all()


@pytest.mark.parametrize(("seconds", "index"), [(0.0, 0), (1e-6, 1), (127e-6, 127), (128e-6, 128), (130e-6, 129)])
def test_small_latencies_are_exact(seconds: float, index: int) -> None:
    assert bucket(seconds) == index
