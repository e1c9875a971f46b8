"""What goes wrong from outside, when, and for whom?

A fault begins, perhaps ends, and says both in the journal. Whom it strikes is a function of names and draws: each
candidate gets a number of its own, and the lowest are struck, so that a candidate more or less hardly moves the choice
(two strategies under one seed meet the same bad luck).
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import simpy

from zdsim.cluster.clock import SharedClock
from zdsim.cluster.journal import EntryKind, Journal

T = TypeVar("T")


def choose(candidates: Sequence[T], count: int, draw: Callable[[T], float]) -> list[T]:
    """`count` targets, in the order of `candidates`; `draw` gives each candidate its number."""
    lowest = sorted(range(len(candidates)), key=lambda i: (draw(candidates[i]), i))[:count]
    return [candidates[i] for i in sorted(lowest)]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that begins and, with a duration, ends.

    Attributes:
        name: kind of the fault, for the journal ("database_down").
        at_s: when it begins, seconds.
        duration_s: None = it stays, or is over at once.
        begin: does it; returns the sentence for the journal.
        end: undoes it; needed with a duration.
    """

    name: str
    at_s: float
    duration_s: float | None
    begin: Callable[[], str]
    end: Callable[[], str] | None = None


def strike(clock: SharedClock, journal: Journal, fault: Fault) -> Generator[simpy.Event, Any, None]:
    """A fault's story."""
    yield clock.at(fault.at_s)
    journal.write(clock.now, EntryKind.FAULT, f"fault/{fault.name}", "Began", fault.begin())
    if fault.duration_s is None or fault.end is None:
        return
    yield clock.at(fault.at_s + fault.duration_s)
    journal.write(clock.now, EntryKind.FAULT, f"fault/{fault.name}", "Ended", fault.end())
