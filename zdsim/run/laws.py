"""How does a law written in a scenario become a table that the planes can draw from?

The only place where quantile functions are evaluated; from here on a law is a table (``zdsim.plane.laws``).
"""

from collections.abc import Callable
from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from scipy import special

from zdsim.plane import laws, luck
from zdsim.plane.laws import LawTable
from zdsim.scenario.laws import (
    AnyLaw,
    ConstantLaw,
    EmpiricalLaw,
    ExponentialLaw,
    GammaLaw,
    LognormalLaw,
    ParetoLaw,
    UniformLaw,
)

FloatArray = NDArray[np.float64]


def table(law: AnyLaw) -> LawTable:
    """Quantile table of a scenario's law, seconds."""
    match law:
        case ConstantLaw():
            return laws.constant(law.value_s)
        case ExponentialLaw():
            mean = law.mean_s
            return laws.tabulate(lambda p: -mean * np.log1p(-p), lambda p: -mean * np.log(p), mean)
        case LognormalLaw():
            mu, sigma = law.mu, law.sigma
            return laws.tabulate(
                lambda p: np.exp(mu + sigma * special.ndtri(p)),
                lambda p: np.exp(mu - sigma * special.ndtri(p)),
                law.expected_s,
            )
        case GammaLaw():
            return _gamma(law.cv**-2, law.mean_s)
        case UniformLaw():
            low, high = law.low_s, law.high_s
            return laws.tabulate(lambda p: low + p * (high - low), lambda p: high - p * (high - low), law.expected_s)
        case ParetoLaw():
            return _pareto(law.low_s, law.high_s, law.alpha, law.expected_s)
        case EmpiricalLaw():
            return _empirical(np.sort(np.asarray(law.values_s, dtype=np.float64)), law.expected_s)
        case _:
            assert_never(law)


def _gamma(shape: float, mean: float) -> LawTable:
    scale = mean / shape

    def lower(p: FloatArray) -> FloatArray:
        out: FloatArray = np.asarray(special.gammaincinv(shape, p), dtype=np.float64) * scale
        return out

    def upper(p: FloatArray) -> FloatArray:
        out: FloatArray = np.asarray(special.gammainccinv(shape, p), dtype=np.float64) * scale
        return out

    return laws.tabulate(lower, upper, mean)


def _pareto(low: float, high: float, alpha: float, mean: float) -> LawTable:
    lost = (low / high) ** alpha  # tail mass beyond `high` of the unbounded law

    def upper(p: FloatArray) -> FloatArray:
        out: FloatArray = low * (lost + p * (1.0 - lost)) ** (-1.0 / alpha)
        return out

    return laws.tabulate(lambda p: upper(1.0 - p), upper, mean)


def _empirical(values: FloatArray, mean: float) -> LawTable:
    """Each of the sorted `values` alike: the value at rank ceil(p n)."""

    def lower(p: FloatArray) -> FloatArray:
        rank = np.ceil(p * values.size).astype(np.int64)
        out: FloatArray = values[np.clip(rank, 1, values.size) - 1]
        return out

    return laws.tabulate(lower, lambda p: lower(1.0 - p), mean)


class Luck:
    """Durations for the control plane: the draw of a law by name, for somebody, for the n-th time.

    A number depends on the seed, the name, `who` and `which` alone, so two strategies under one seed meet the same
    slow pod.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._keys: dict[str, int] = {}
        self._tables: dict[int, tuple[AnyLaw, LawTable]] = {}  # by identity; the law is kept so that it stays the same

    def bits(self, name: str, who: int, which: int = 0) -> int:
        """64 random bits."""
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = luck.stream_key(self._seed, f"cluster/{name}")
        return luck.raw(key, who, which)

    def unit(self, name: str, who: int, which: int = 0) -> float:
        """A number in [0, 1)."""
        return luck.unit(self.bits(name, who, which))

    def draw(self, law: AnyLaw, name: str, who: int, which: int = 0) -> float:
        """A duration by `law`, seconds."""
        if isinstance(law, ConstantLaw):
            return law.value_s
        known = self._tables.get(id(law))
        if known is None:
            known = self._tables[id(law)] = (law, table(law))
        return laws.value(known[1].q, self.bits(name, who, which))

    def sampler(self, law: AnyLaw, name: str) -> Callable[[int, int], float]:
        """The draw of one law under one name: (who, which) -> seconds."""

        def drawn(who: int, which: int = 0) -> float:
            return self.draw(law, name, who, which)

        return drawn
