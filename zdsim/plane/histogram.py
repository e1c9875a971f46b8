"""Which bucket does a latency fall into?

Integer microseconds in buckets whose width grows with the value: exact below 128 us, then 64 to 127 steps an
octave, so a bucket's middle is within 0.8 % of what fell into it. Integer arithmetic only, so that both
planes agree.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SUB: Final = 64
MAX_US: Final = (1 << 32) - 1
N_BUCKETS: Final = 25 * SUB + 128


def bucket(latency_s: float) -> int:
    """Index of the bucket of a latency (seconds, >= 0); longer than 71 min counts as 71 min."""
    us = min(int(latency_s * 1e6 + 0.5), MAX_US)
    if us < 2 * SUB:
        return us
    e = us.bit_length() - 7
    return e * SUB + (us >> e)


def middles_s() -> FloatArray:
    """Middle of each bucket, seconds, shape (N_BUCKETS,)."""
    index = np.arange(N_BUCKETS)
    e = np.maximum(index // SUB - 1, 0)
    low = (index - e * SUB) << e
    width = np.left_shift(1, e)
    out: FloatArray = np.where(index < 2 * SUB, low, low + (width - 1) / 2.0) * 1e-6
    return out
