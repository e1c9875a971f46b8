"""Compiled draws are the shared ones, to the last bit."""

import numba
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from planekit import exponential, lognormal

from zdsim.kernel import luck as compiled
from zdsim.plane import histogram, laws, luck

_raw, _unit, _pick, _place, _bucket, _length = (
    compiled.raw,
    compiled.unit,
    compiled.pick,
    compiled.law_place,
    compiled.bucket,
    compiled.bit_length,
)


@numba.njit(error_model="numpy")
def _draw(key, who, which, n, q, latency):  # type: ignore[no-untyped-def]
    bits = _raw(key, who, which)
    at, share = _place(bits)
    return bits, _unit(bits), _pick(bits, n), q[at] + share * (q[at + 1] - q[at]), _bucket(latency), _length(who)


words = st.integers(0, 2**64 - 1)
ids = st.integers(0, 2**62)


@settings(deadline=None)  # the first call compiles
@given(words, ids, st.integers(0, 2**40), st.integers(1, 2**31 - 1), st.floats(0.0, 1e5))
def test_compiled_draws_equal_the_shared_ones(key: int, who: int, which: int, n: int, latency: float) -> None:
    q = LAW
    bits, unit, index, value, bucket, length = _draw(
        np.uint64(key), np.int64(who), np.int64(which), np.int64(n), q.reshape(-1), latency
    )
    assert int(bits) == luck.raw(key, who, which)
    assert unit == luck.unit(int(bits))
    assert index == luck.pick(int(bits), n)
    assert value == laws.value(q, int(bits))
    assert bucket == histogram.bucket(latency)
    assert length == who.bit_length()


LAW = lognormal(0.05, 1.0).q


@numba.njit(error_model="numpy")
def _value(q, bits):  # type: ignore[no-untyped-def]
    at, share = _place(bits)
    return q[at] + share * (q[at + 1] - q[at])


def test_the_tails_of_a_law() -> None:
    """Every octave of both tails, their edges, and both ends."""
    q = exponential(1.0).q
    edges = [0, 2**64 - 1, *(1 << k for k in range(64)), *((1 << k) - 1 for k in range(64))]
    for bits in edges + [2**64 - 1 - it for it in edges]:
        assert _value(q.reshape(-1), np.uint64(bits)) == laws.value(q, bits), hex(bits)
