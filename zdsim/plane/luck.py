"""Where does every random number come from?

A number is a function of (seed, stream name, who, which one), so the order of events never shifts a draw.
The generator is the SplitMix64 output function applied twice over a keyed counter; only its raw 64 bits are
used. Three spellings of one function stand here, for Python integers, NumPy arrays and (by ``kernel``)
compiled code; a test holds them against each other.

Source: Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators", with the finaliser
constants "Mix13" of D. Stafford.
"""

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
FloatArray = NDArray[np.float64]

MASK: Final = (1 << 64) - 1
WHO: Final = 0x9E3779B97F4A7C15
WHICH: Final = 0xD1B54A32D192ED03
MIX_1: Final = 0xBF58476D1CE4E5B9
MIX_2: Final = 0x94D049BB133111EB
UNIT: Final = 1.0 / (1 << 53)


def stream_key(seed: int, name: str) -> int:
    """64-bit key of the stream `name` under `seed`; unrelated names give unrelated streams."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "little")


def mix(z: int) -> int:
    """SplitMix64 finaliser of a 64-bit integer."""
    z = ((z ^ (z >> 30)) * MIX_1) & MASK
    z = ((z ^ (z >> 27)) * MIX_2) & MASK
    return z ^ (z >> 31)


def raw(key: int, who: int, which: int) -> int:
    """64 random bits for (`who`, `which`) of the stream `key`; all arguments below 2**64."""
    return mix((mix((key + who * WHO) & MASK) + which * WHICH) & MASK)


def unit(bits: int) -> float:
    """A double in [0, 1) from 64 random bits (their upper 53)."""
    return (bits >> 11) * UNIT


def pick(bits: int, n: int) -> int:
    """An index below `n` (1 <= n < 2**31) from 64 random bits."""
    return int(unit(bits) * n)


def raw_array(key: int, who: U64, which: int = 0) -> U64:
    """`raw` for an array of `who`; shape as `who`."""
    z = np.uint64(key) + who * np.uint64(WHO)
    return _mix_array(_mix_array(z) + np.uint64((which * WHICH) & MASK))


def unit_array(bits: U64) -> FloatArray:
    """`unit` for an array."""
    out: FloatArray = (bits >> np.uint64(11)).astype(np.float64) * UNIT
    return out


def _mix_array(z: U64) -> U64:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    return z ^ (z >> np.uint64(31))
