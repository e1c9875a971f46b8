"""Whom a fault strikes, and what the journal says of it."""

from hypothesis import given
from hypothesis import strategies as st

from zdsim.cluster.clock import SharedClock
from zdsim.cluster.faults import Fault, choose, strike
from zdsim.cluster.journal import Journal


@given(st.lists(st.integers(0, 1000), unique=True, max_size=30), st.integers(0, 30))
def test_choice_is_stable(candidates: list[int], k: int) -> None:
    """Striking one more strikes the same ones and one more; order of candidates is kept."""

    def numbered(c: int) -> float:
        return (c * 7919 % 1009) / 1009

    few = choose(candidates, k, numbered)
    more = choose(candidates, k + 1, numbered)
    assert set(few) <= set(more)
    assert few == [c for c in candidates if c in few]
    assert len(few) == min(k, len(candidates))


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
