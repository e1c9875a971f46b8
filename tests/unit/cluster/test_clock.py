"""Laws of the shared clock: control events and requests on one time axis."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.cluster.clock import SharedClock


@dataclass(frozen=True)
class Signal:
    time: float
    kind: str
    ref: int = 0


@dataclass
class ToyPlane:
    """Requests at fixed times; those named in `watched` raise a signal."""

    requests: list[float]
    watched: frozenset[float] = frozenset()
    played: list[tuple[float, float]] = field(default_factory=list)  # (request time, horizon it was played under)
    raised: list[Signal] = field(default_factory=list)

    def advance(self, until: float) -> None:
        while self.requests and self.requests[0] < until:
            time = self.requests.pop(0)
            self.played.append((time, until))
            if time in self.watched:
                self.raised.append(Signal(time, "seen"))
                return

    def take_signals(self) -> list[Signal]:
        taken, self.raised = self.raised, []
        return taken


def test_a_clock_without_a_plane_is_a_simpy_environment() -> None:
    clock = SharedClock()
    seen: list[float] = []
    clock.call_in(2.0, lambda: seen.append(clock.now))
    clock.call_at(1.5, lambda: seen.append(clock.now))
    clock.run(until=3.0)
    assert seen == [1.5, 2.0]
    assert clock.now == 3.0


def test_requests_before_a_control_event_are_played_first_and_those_at_its_time_later() -> None:
    plane = ToyPlane([0.5, 1.0, 1.5])
    clock = SharedClock(plane)
    seen: list[list[float]] = []
    clock.call_at(1.0, lambda: seen.append([time for time, _ in plane.played]))
    clock.run(until=2.0)
    assert seen == [[0.5]]
    assert [time for time, _ in plane.played] == [0.5, 1.0, 1.5]


def test_a_run_plays_the_plane_up_to_its_end_and_no_further() -> None:
    plane = ToyPlane([0.5, 2.0])
    clock = SharedClock(plane)
    clock.run(until=2.0)
    assert plane.requests == [2.0]
    clock.run(until=2.5)
    assert plane.requests == []


def test_a_signal_becomes_the_next_control_event() -> None:
    plane = ToyPlane([0.25, 0.5, 0.75], frozenset({0.5}))
    clock = SharedClock(plane)
    heard: list[tuple[float, int]] = []
    clock.on_signal("seen", 0, lambda signal: heard.append((clock.now, len(plane.played))))
    clock.call_at(1.0, lambda: heard.append((clock.now, len(plane.played))))
    clock.run(until=2.0)
    assert heard == [(0.5, 2), (1.0, 3)]


def test_a_signal_raised_by_a_control_event_is_heard_at_the_same_time() -> None:
    plane = ToyPlane([])
    clock = SharedClock(plane)
    heard: list[float] = []
    clock.on_signal("seen", 7, lambda signal: heard.append(clock.now))
    clock.call_at(1.0, lambda: plane.raised.append(Signal(1.0, "seen", 7)))
    clock.call_at(4.0, lambda: None)
    clock.run(until=5.0)
    assert heard == [1.0]


def test_an_event_listener_succeeds_once_with_the_signal() -> None:
    plane = ToyPlane([1.0, 2.0], frozenset({1.0, 2.0}))
    clock = SharedClock(plane)
    first = clock.when_signal("seen", 0)
    other = clock.when_signal("other", 0)
    clock.run(until=3.0)
    assert first.value == Signal(1.0, "seen")
    assert not other.triggered


def test_a_listener_that_was_taken_off_hears_nothing() -> None:
    plane = ToyPlane([1.0], frozenset({1.0}))
    clock = SharedClock(plane)
    heard: list[Signal] = []
    clock.on_signal("seen", 0, heard.append)
    clock.off_signal("seen", 0, heard.append)
    clock.run(until=3.0)
    assert heard == []


def test_the_past_is_refused() -> None:
    clock = SharedClock(initial_time=2.0)
    with pytest.raises(ValueError, match="before now"):
        clock.at(1.0)


@given(times=st.tuples(st.floats(-1e9, 1e9, allow_subnormal=False), st.floats(-1e9, 1e9, allow_subnormal=False)))
def test_at_is_exact(times: tuple[float, float]) -> None:
    """The event happens at this very float, whatever the size of the step; a world may begin below zero."""
    now, time = sorted(times)
    clock = SharedClock(initial_time=now)
    seen: list[float] = []
    clock.call_at(time, lambda: seen.append(clock.now))
    clock.call_at(math.nextafter(time, math.inf), lambda: seen.append(clock.now))
    clock.run()
    assert seen == [time, math.nextafter(time, math.inf)]


@given(now=st.floats(-100.0, -1.0), time=st.floats(-0.5, 0.5, allow_subnormal=False))
def test_a_run_is_exact(now: float, time: float) -> None:
    clock = SharedClock(initial_time=now)
    clock.run(until=time)
    assert clock.now == time


def test_at_is_exact_where_no_delay_is() -> None:
    """now halfway between two floats of the size of `time`, `time` odd: now + delay misses it for every delay."""
    now, time = 0.25 + 2.0**-53, 1.75 + 2.0**-52
    assert all(
        now + delay != time for delay in (time - now, math.nextafter(time - now, 2), math.nextafter(time - now, 0))
    )
    clock = SharedClock(initial_time=now)
    seen: list[float] = []
    clock.call_at(time, lambda: seen.append(clock.now))
    clock.run()
    assert seen == [time]
    clock = SharedClock(initial_time=now)
    clock.run(until=time)
    assert clock.now == time


@given(cuts=st.lists(st.floats(0.01, 9.99), max_size=8), watched=st.sets(st.integers(0, 40), max_size=6))
def test_slicing_the_clock_changes_nothing(cuts: list[float], watched: set[int]) -> None:
    def play(ends: list[float]) -> list[tuple[float, float]]:
        requests = [0.25 * k for k in range(41)]
        plane = ToyPlane(list(requests), frozenset(requests[k] for k in watched))
        clock = SharedClock(plane)
        heard: list[tuple[float, float]] = []
        clock.on_signal("seen", 0, lambda signal: heard.append((clock.now, signal.time)))
        for end in ends:
            if end > clock.now:
                clock.run(until=end)
        assert plane.requests == []
        return heard

    assert play([*sorted(cuts), 11.0]) == play([11.0]) == [(0.25 * k, 0.25 * k) for k in sorted(watched)]
