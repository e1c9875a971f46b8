"""How do the control plane (SimPy) and the request plane (rows) share one time?

Before every control event the plane plays all its requests strictly before that time. If something watched happens
on the way (a draining pod is idle, a probe was answered), the plane stops there and says so by a signal, which becomes
the next control event. At an equal time the control event goes first. Slicing time differently changes nothing.

Only public SimPy calls are used. Rejected: a process that polls the plane in steps, which would round every signal
to its grid and cost an event per step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import simpy
from simpy.events import Event

__all__ = ["ClockedPlane", "PlaneSignal", "SharedClock", "SignalListener"]


class PlaneSignal(Protocol):
    """One watched thing that happened in the request plane."""

    @property
    def time(self) -> float: ...
    @property
    def kind(self) -> Any: ...
    @property
    def ref(self) -> Any: ...


class ClockedPlane(Protocol):
    """What the clock needs of a request plane."""

    def advance(self, until: float) -> Any:
        """Play every request event strictly before `until`, or up to the first signal."""

    def take_signals(self) -> list[Any]:
        """Signals raised since the last call, each once, in order of time."""


SignalListener: TypeAlias = Callable[[Any], None]


class SharedClock(simpy.Environment):
    """SimPy's environment, in step with a request plane.

    Args:
        plane: plays the requests; None for a control plane alone.
        initial_time: seconds.
    """

    def __init__(self, plane: ClockedPlane | None = None, initial_time: float = 0.0) -> None:
        super().__init__(initial_time)
        self.plane = plane
        self._played = initial_time  # the plane has played everything strictly before this time
        self._listeners: dict[tuple[Any, Any], list[SignalListener | Event]] = {}

    def step(self) -> None:
        """Let the plane catch up with the next control event, then process that event.

        The next event may turn out to be a signal that the plane raised on the way.
        """
        if self.plane is not None:
            self._schedule_signals(self.plane)
            until = self.peek()
            # Without a control event there is no horizon: SimPy then ends the run (EmptySchedule).
            while self._played < until < math.inf:
                self.plane.advance(until)
                if self._schedule_signals(self.plane):
                    until = self.peek()  # the plane stopped at the signal, or the signal lies at `until` or later
                self._played = until
        super().step()

    def run(self, until: float | Event | None = None) -> Any:
        """As SimPy's `run`; a number is reached exactly, the plane too, and events at that time stay to be done."""
        if isinstance(until, Event) or until is None:
            return super().run(until)
        until = float(until)
        while self.now + (until - self.now) != until:
            super().run(_stepping_stone(self.now, until))
        return super().run(until)

    def at(self, time: float, value: Any = None) -> Event:
        """An event that happens exactly (bitwise) at `time`.

        Raises:
            ValueError: `time` is in the past.

        A SimPy delay is added to `now`, which may round past `time`; neighbouring delays mostly repair that, and where
        none does (`now` lies halfway between two floats of the size of `time`, or is far below zero) the way goes over
        stepping stones.
        """
        now = self.now
        if time < now:
            raise ValueError(f"{time!r} is before now, {now!r}")
        delay = time - now
        for candidate in (delay, math.nextafter(delay, math.inf), math.nextafter(delay, 0.0)):
            if now + candidate == time:
                return self.timeout(candidate, value)
        arrived = self.event()

        def arrive(_: Event) -> None:
            arrived.succeed(value)

        def go_on(_: Event) -> None:
            _add_callback(self.at(time), arrive)

        _add_callback(self.timeout(_stepping_stone(now, time) - now), go_on)
        return arrived

    def call_at(self, time: float, callback: Callable[[], None]) -> None:
        """Call back at exactly `time`; cheaper than a process."""
        _add_callback(self.at(time), lambda _: callback())

    def call_in(self, delay: float, callback: Callable[[], None]) -> None:
        """Call back `delay` seconds from now."""
        _add_callback(self.timeout(delay), lambda _: callback())

    def on_signal(self, kind: Any, ref: Any, listener: SignalListener | Event) -> None:
        """Tell `listener` of signals of `kind` about `ref`.

        A callback hears every one until `off_signal`; an event succeeds with the first, then is forgotten.
        Signals that nobody listens to are dropped: a probe may be answered after its prober has gone.
        """
        self._listeners.setdefault((kind, ref), []).append(listener)

    def off_signal(self, kind: Any, ref: Any, listener: SignalListener | Event | None = None) -> None:
        """Forget one listener of (`kind`, `ref`), or all of them."""
        if listener is None:
            self._listeners.pop((kind, ref), None)
            return
        left = [
            known for known in self._listeners.get((kind, ref), ()) if known != listener
        ]  # bound methods are equal, not identical
        if left:
            self._listeners[kind, ref] = left
        else:
            self._listeners.pop((kind, ref), None)

    def when_signal(self, kind: Any, ref: Any) -> Event:
        """An event that succeeds with the next signal of `kind` about `ref`."""
        event = self.event()
        self.on_signal(kind, ref, event)
        return event

    def _schedule_signals(self, plane: ClockedPlane) -> bool:
        signals = plane.take_signals()
        for signal in signals:
            # A signal raised by a control event's own call carries the time of that call.
            assert signal.time >= self.now, f"signal at {signal.time!r} arrives late, at {self.now!r}"
            _add_callback(self.at(signal.time, signal), self._dispatch)
        return bool(signals)

    def _dispatch(self, happened: Event) -> None:
        signal: Any = happened.value
        key = (signal.kind, signal.ref)
        for listener in tuple(self._listeners.get(key, ())):
            if isinstance(listener, Event):
                self.off_signal(*key, listener)
                if not listener.triggered:
                    listener.succeed(signal)
            else:
                listener(signal)


def _stepping_stone(now: float, time: float) -> float:
    """A time on the way from `now` to `time` from which the rest is exact, or nearer to be so.

    Differences of floats of one sign within a factor of two are exact (Sterbenz's lemma): above zero any time in
    [time/2, time] will do, below zero halving `now` is exact each time, and zero is reached exactly from anywhere.
    """
    if now >= 0.0:
        return 0.75 * time
    return 0.0 if time > 0.0 else 0.5 * now


def _add_callback(event: Event, callback: Callable[[Event], None]) -> None:
    assert event.callbacks is not None, "a processed event takes no callback"
    event.callbacks.append(callback)
