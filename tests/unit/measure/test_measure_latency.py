"""Percentiles of histograms and the phases of a rollout."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.measure.latency import Phase, mean_s, percentiles_s, phase_masks
from zdsim.plane import histogram


@given(st.lists(st.floats(0.0, 30.0), min_size=1, max_size=200), st.floats(0.1, 100.0))
def test_a_percentile_is_within_a_bucket_of_the_nearest_rank(values: list[float], percent: float) -> None:
    """The value that at least `percent` of the sample does not exceed, to the histogram's 0.8 % (or 1 us)."""
    buckets = np.zeros(histogram.N_BUCKETS, dtype=np.int32)
    for value in values:
        buckets[histogram.bucket(value)] += 1
    exact = sorted(values)[max(0, math.ceil(len(values) * percent / 100.0 - 1e-9) - 1)]
    assert percentiles_s(buckets, (percent,))[0] == pytest.approx(exact, rel=0.009, abs=1.1e-6)


def test_percentiles_of_many_histograms_are_those_of_each() -> None:
    luck = np.random.Generator(np.random.PCG64(3))
    buckets = luck.integers(0, 3, size=(4, 2, histogram.N_BUCKETS))
    buckets[1, 0] = 0
    at_once = percentiles_s(buckets)
    assert at_once.shape == (4, 2, 3)
    for i in range(4):
        for j in range(2):
            np.testing.assert_array_equal(at_once[i, j], percentiles_s(buckets[i, j]))
    assert np.isnan(at_once[1, 0]).all()


def test_counts_beyond_32_bits_do_not_overflow() -> None:
    buckets = np.full(histogram.N_BUCKETS, 2**31 - 1, dtype=np.int32)
    assert np.isfinite(percentiles_s(buckets)).all()


@pytest.mark.parametrize("percent", [0.0, -1.0, 100.1])
def test_percents_out_of_range_are_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="percents"):
        percentiles_s(np.zeros(histogram.N_BUCKETS, dtype=np.int32), (percent,))


def test_the_mean_of_nothing_is_missing() -> None:
    buckets = np.zeros((2, histogram.N_BUCKETS), dtype=np.int32)
    assert math.isnan(mean_s(buckets, np.zeros(2)))
    buckets[0, 5] = 4
    assert mean_s(buckets, np.array([2.0, 0.0])) == 0.5


@pytest.mark.parametrize(
    ("start_s", "end_s", "letters"),
    [
        (None, None, "bbbbbb"),  # no release: all is before
        (2.0, 4.0, "bbddaa"),  # on the edges
        (2.5, 3.5, "bbddaa"),  # a touched window is during
        (2.0, None, "bbdddd"),  # not finished
        (0.0, 6.0, "dddddd"),
        (0.0, 0.0, "aaaaaa"),
        (5.9, None, "bbbbbd"),
    ],
)
def test_phases(start_s: float | None, end_s: float | None, letters: str) -> None:
    masks = phase_masks(6, 1.0, start_s, end_s)
    said = "".join(next(phase.value[0] for phase in Phase if masks[phase][w]) for w in range(6))
    assert said == letters


@given(
    st.integers(1, 50),
    st.floats(0.01, 20.0),
    st.none() | st.floats(0.0, 100.0),
    st.none() | st.floats(0.0, 100.0),
)
def test_each_window_is_in_exactly_one_phase(
    n: int, window_s: float, start_s: float | None, took_s: float | None
) -> None:
    end_s = None if start_s is None or took_s is None else start_s + took_s
    masks = phase_masks(n, window_s, start_s, end_s)
    np.testing.assert_array_equal(sum(mask.astype(int) for mask in masks.values()), np.ones(n))
