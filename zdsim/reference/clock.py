"""In which order do things happen? MODEL.md 2 in terms of SimPy's queue.

SimPy plays what is due at one time by priority, then first come, first served. So a *moment* (an event of MODEL.md 2)
is a timeout whose priority spells (rank, request, attempt), above SimPy's own URGENT and NORMAL; and *waking* is
`Event.succeed`, which has priority NORMAL: whoever was given something acts after its giver, in the order of giving,
and before any other moment of the same time. Only public calls of SimPy are used.
"""

import math
from collections.abc import Callable
from typing import Any

import simpy
from simpy.events import NORMAL, Event, EventPriority

from zdsim.plane.vocabulary import Rank

_ATTEMPT_BITS = 6  # MAX_ATTEMPTS
_REQUEST_BITS = 53  # PROBE_ID and its serials
_STEP_ENDS = NORMAL + 1  # after every waking, before every moment
_FIRST_MOMENT = _STEP_ENDS + 1


class Moment(simpy.Timeout):
    """An event with its own place among those of the same time."""

    def __init__(self, clock: "PlaneClock", delay: float, place: int) -> None:
        self.place = place
        super().__init__(clock, delay)  # schedules itself


class PlaneClock(simpy.Environment):
    """The request plane's own time; it moves only as far as the control plane lets it."""

    def schedule(self, event: Event, priority: int = NORMAL, delay: float = 0) -> None:
        """As SimPy's, with a moment in its place."""
        super().schedule(event, EventPriority(event.place if isinstance(event, Moment) else priority), delay)

    def moment(self, time: float, rank: Rank, request: int, attempt: int) -> Event:
        """The event (`time`, `rank`, `request`, `attempt`), seconds; never if `time` is infinite."""
        place = (((rank << _REQUEST_BITS) | request) << _ATTEMPT_BITS | attempt) + _FIRST_MOMENT
        return self._at(time, place)

    def move_to(self, time: float) -> None:
        """Let time pass until `time`, before every moment of that time."""
        assert time >= self.now, f"the plane is at {self.now!r} and cannot go back to {time!r}"
        if time > self.now:
            self.run(until=self._at(time, NORMAL))

    def settle(self) -> None:
        """Let everybody act who was woken: the end of a step."""
        self.run(until=Moment(self, 0.0, _STEP_ENDS))

    def _at(self, time: float, place: int) -> Event:
        """An event at exactly `time`.

        SimPy adds a delay to its time, which may round past `time`. A neighbouring delay mostly hits it; where none
        does, the event is sought again from halfway: within a factor of two of `time` the difference is exact.
        """
        now = self.now
        if time == math.inf:
            return self.event()
        delay = time - now
        if now + delay == time:
            return Moment(self, delay, place)
        for neighbour in (math.nextafter(delay, math.inf), math.nextafter(delay, 0.0)):
            if now + neighbour == time:
                return Moment(self, neighbour, place)
        arrived = self.event()
        when(simpy.Timeout(self, delay / 2.0), lambda: when(self._at(time, place), arrived.succeed))
        return arrived


def when(event: Event, act: Callable[..., Any], *args: Any) -> None:
    """Call `act` with `args` when `event` happens (nobody else's turn comes in between)."""
    assert event.callbacks is not None, "an event that has happened takes no callback"
    event.callbacks.append((lambda _: act(*args)) if args else (lambda _: act()))
