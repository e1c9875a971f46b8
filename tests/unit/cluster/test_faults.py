"""Whom a fault strikes, and what the journal says of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.cluster.clock import SharedClock
from zdsim.cluster.faults import Fault, TargetMode, choose, how_many, strike
from zdsim.cluster.journal import Journal


@pytest.mark.parametrize(
    ("mode", "value", "n", "u", "count"),
    [
        (TargetMode.ONE, 0, 5, 0.0, 1),
        (TargetMode.ONE, 0, 0, 0.0, 0),
        (TargetMode.ALL, 0, 5, 0.0, 5),
        (TargetMode.FIXED, 3, 5, 0.0, 3),
        (TargetMode.FIXED, 9, 5, 0.0, 5),
        (TargetMode.FIXED_PERCENT, 50, 5, 0.0, 2),
        (TargetMode.FIXED_PERCENT, 100, 5, 0.0, 5),
        (TargetMode.RANDOM_MAX_PERCENT, 100, 10, 0.55, 5),
        (TargetMode.RANDOM_MAX_PERCENT, 50, 10, 0.999, 4),
    ],
)
def test_how_many(mode: TargetMode, value: float, n: int, u: float, count: int) -> None:
    assert how_many(mode, value, n, u) == count


@given(st.lists(st.integers(0, 1000), unique=True, max_size=30), st.integers(0, 30))
def test_choice_is_stable(candidates: list[int], k: int) -> None:
    """Striking one more strikes the same ones and one more; order of candidates is kept."""

    def numbered(c: int) -> float:
        return (c * 7919 % 1009) / 1009

    few = choose(candidates, TargetMode.FIXED, k, draw=numbered)
    more = choose(candidates, TargetMode.FIXED, k + 1, draw=numbered)
    assert set(few) <= set(more)
    assert few == [c for c in candidates if c in few]


def test_a_fault_begins_and_ends() -> None:
    clock, journal = SharedClock(), Journal()
    log: list[tuple[float, str]] = []

    def note(word: str) -> str:
        log.append((clock.now, word))
        return f"database {word}"

    clock.process(strike(clock, journal, Fault("database_down", 5.0, 2.5, lambda: note("down"), lambda: note("up"))))
    clock.run(until=20.0)
    assert log == [(5.0, "down"), (7.5, "up")]
    assert [(e.time, e.subject, e.reason, e.message) for e in journal] == [
        (5.0, "fault/database_down", "Began", "database down"),
        (7.5, "fault/database_down", "Ended", "database up"),
    ]
