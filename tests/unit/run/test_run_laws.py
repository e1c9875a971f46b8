"""Tables of laws against exact quantiles and means."""

import numpy as np
import pytest
from scipy import stats

from zdsim.plane import laws, luck
from zdsim.run.laws import Luck, table
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

LOGNORMAL = LognormalLaw(kind="lognormal", mean=0.05, p99=0.2)
CASES: list[tuple[AnyLaw, object]] = [
    (ExponentialLaw(kind="exponential", mean=2.0), stats.expon(scale=2.0)),
    (LOGNORMAL, stats.lognorm(s=LOGNORMAL.sigma, scale=np.exp(LOGNORMAL.mu))),
    (GammaLaw(kind="gamma", mean=0.3, cv=0.5), stats.gamma(4.0, scale=0.3 / 4.0)),
    (GammaLaw(kind="gamma", mean=0.3, cv=2.0), stats.gamma(0.25, scale=0.3 / 0.25)),
    (UniformLaw(kind="uniform", low=1.0, high=3.0), stats.uniform(1.0, 2.0)),
    (
        ParetoLaw(kind="pareto", low=0.01, high=10.0, alpha=1.3),
        stats.truncpareto(1.3, 1000.0, scale=0.01),
    ),
]


@pytest.mark.parametrize(("law", "exact"), CASES, ids=[type(law).__name__ for law, _ in CASES])
def test_quantiles_and_mean(law: AnyLaw, exact: stats.rv_continuous) -> None:
    """Within 0.1 % from the 1 % to the 99.99 % quantile; the mean to 4 standard errors of two million draws."""
    t = table(law)
    assert t.mean_s == pytest.approx(exact.mean(), rel=1e-9)
    for p in (0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999):
        bits = int(p * 2.0**53) << 11
        assert laws.value(t.q, bits) == pytest.approx(exact.ppf(p), rel=1e-3)
    x = laws.value_array(t.q, luck.raw_array(luck.stream_key(3, "test"), np.arange(2_000_000, dtype=np.uint64)))
    assert abs(x.mean() - exact.mean()) < 4.0 * exact.std() / np.sqrt(x.size)


def test_constant_is_exact() -> None:
    q = table(ConstantLaw(value=0.1)).q
    assert {laws.value(q, luck.raw(7, who, 0)) for who in range(1000)} == {0.1}


def test_empirical_stays_within_its_values() -> None:
    law = EmpiricalLaw(kind="empirical", values=(0.1, 0.2, 0.4))
    x = laws.value_array(table(law).q, luck.raw_array(1, np.arange(100_000, dtype=np.uint64)))
    assert x.mean() == pytest.approx(0.7 / 3.0, rel=0.01)
    assert x.min() > 0.099
    assert x.max() < 0.401


def test_luck_is_named() -> None:
    """Same name, same who: same draw, whatever was drawn in between; other names are unrelated."""
    law = ExponentialLaw(kind="exponential", mean=1.0)
    a, b = Luck(1), Luck(1)
    first = a.draw(law, "startup", 5)
    for i in range(10):
        b.draw(law, "other", i)
    assert b.draw(law, "startup", 5) == first
    assert Luck(2).draw(law, "startup", 5) != first
    assert a.draw(law, "other", 5) != first
