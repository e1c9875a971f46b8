"""Do the intervals of a comparison cover as often as they say? Made-up data under fixed seeds."""

import numpy as np
import pytest

from zdsim.measure import paired

RUNS = 4000
LEVEL = 0.95
#: Four standard errors of a share of RUNS.
SLACK = 4.0 * (LEVEL * (1.0 - LEVEL) / RUNS) ** 0.5


def luck(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@pytest.mark.parametrize("n", [5, 30])
def test_paired_t(n: int) -> None:
    """Common luck is ten times the difference's own: pairing must take it out, and the interval still hold."""
    rng, hits, widths = luck(1), 0, []
    for _ in range(RUNS):
        shared = rng.normal(0, 10, n)
        a, b = shared + rng.normal(1, 1, n), shared + rng.normal(0, 1, n)
        interval = paired.difference(a, b, level=LEVEL).interval
        assert interval is not None
        hits += interval.low <= 1.0 <= interval.high
        widths.append(interval.high - interval.low)
    assert abs(hits / RUNS - LEVEL) < SLACK
    assert np.mean(widths) < 4.5 * 2 / n**0.5  # unpaired it would be ten times as wide


@pytest.mark.parametrize("expected", [0.5, 3.0, 12.0])
def test_rare_rates_cover_at_least(expected: float) -> None:
    """Exact intervals are conservative: never below their level."""
    rng = luck(2)
    a, b = rng.poisson(expected, RUNS), rng.poisson(2 * expected, RUNS)
    hits = {"rate": 0, "difference": 0, "ratio": 0}
    for first, second in zip(a.tolist(), b.tolist(), strict=True):
        low, high = paired.rare_rate(first, 1.0, level=LEVEL)
        hits["rate"] += low <= expected <= high
        low, high = paired.rare_difference(first, 1.0, second, 1.0, level=LEVEL)
        hits["difference"] += low <= -expected <= high
        ratio = paired.rare_ratio(first, 1.0, second, 1.0, level=LEVEL)
        hits["ratio"] += ratio is None or (
            ratio.interval is not None and ratio.interval.low <= 0.5 <= ratio.interval.high
        )
    assert min(hits.values()) / RUNS > LEVEL - SLACK


def test_fieller() -> None:
    rng, hits = luck(3), 0
    for _ in range(RUNS):
        shared = rng.normal(0, 1, 20)
        a, b = 20 + 2 * shared + rng.normal(0, 1, 20), 10 + shared + rng.normal(0, 1, 20)
        found = paired.ratio_of_means(a, b, level=LEVEL)
        assert found is not None
        assert found.interval is not None
        hits += found.interval.low <= 2.0 <= found.interval.high
    assert abs(hits / RUNS - LEVEL) < SLACK


def test_needed_replications_keep_their_power() -> None:
    n = paired.needed_replications(0.6, 1.0, power=0.8)
    assert n is not None
    rng = luck(4)
    found = sum(paired.difference(rng.normal(0.6, 1, n), np.zeros(n)).p < 0.05 for _ in range(RUNS)) / RUNS
    assert abs(found - 0.8) < 4 * (0.8 * 0.2 / RUNS) ** 0.5 + 0.02  # the number is rounded up to a whole


def test_holm_keeps_its_promise_among_equals() -> None:
    """Six pairs of four equal contenders: at most 5 % of comparisons name any difference."""
    rng, false = luck(5), 0
    for _ in range(1500):
        columns = rng.normal(0, 1, (4, 20))
        p = [paired.difference(columns[i], columns[j]).p for i in range(4) for j in range(i)]
        false += min(paired.holm(p)) < 0.05
    assert false / 1500 < 0.05 + 4 * (0.05 * 0.95 / 1500) ** 0.5


def test_bursts_are_seen_and_single_events_are_not_taken_for_bursts() -> None:
    rng = luck(6)
    alarms = sum(paired.clustered(rng.poisson(0.4, 30)) for _ in range(RUNS)) / RUNS
    assert alarms < 0.02
    seen = sum(paired.clustered(6 * rng.poisson(0.08, 30)) for _ in range(RUNS)) / RUNS
    assert seen > 0.6  # the rest has one burst at most, or none
