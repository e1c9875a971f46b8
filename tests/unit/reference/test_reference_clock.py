"""The reference plane's clock: exact times, and the order of MODEL.md 2 in SimPy's queue."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.plane.vocabulary import CLOSED_ID, PROBE_ID, Rank
from zdsim.reference.clock import PlaneClock, when


@given(
    start=st.floats(-1e4, 0.0),
    times=st.lists(st.floats(0.0, 1e6), min_size=1, max_size=6),
)
def test_a_moment_happens_exactly_when_it_should(start: float, times: list[float]) -> None:
    """Also where no delay leads from now to that float, as from halfway between two floats of its size."""
    clock, seen = PlaneClock(start), []
    for number, time in enumerate(times):
        when(clock.moment(time, Rank.ARRIVAL, number, 1), lambda: seen.append(clock.now))
    clock.run()
    assert seen == sorted(times)


@given(start=st.floats(-1e3, 0.0), calls=st.lists(st.floats(0.0, 1e3), min_size=1, max_size=6))
def test_calls_come_exactly_when_they_should(start: float, calls: list[float]) -> None:
    clock = PlaneClock(start)
    for time in sorted(calls):
        clock.move_to(time)
        assert clock.now == time


def test_a_float_that_no_delay_reaches() -> None:
    """2**-53 lies halfway between floats near 1: adding can only round to even ones."""
    clock, time = PlaneClock(2.0**-53), 1.0 + 2.0**-52
    seen: list[float] = []
    when(clock.moment(time, Rank.ARRIVAL, 0, 1), lambda: seen.append(clock.now))
    clock.run()
    assert seen == [time]


def test_moments_of_one_instant_have_their_order() -> None:
    """By rank, then request, then attempt, in whatever order they were planned."""
    expected = [
        (rank, request, attempt)
        for rank in Rank
        for request in (0, 1, (1 << 50) - 1, CLOSED_ID, PROBE_ID - 1, PROBE_ID + 99)
        for attempt in (0, 1, 63)
    ]
    clock, seen = PlaneClock(), []
    for moment in reversed(expected):
        when(clock.moment(1.0, *moment), seen.append, moment)
    clock.run()
    assert seen == expected


def test_the_woken_act_before_the_next_moment_and_in_their_order() -> None:
    clock, seen = PlaneClock(), []

    def waits(name: str, event: Any, then: Any = None) -> Any:
        yield event
        seen.append(name)
        if then is not None:
            then.succeed()

    a, b, c = clock.event(), clock.event(), clock.event()
    clock.process(waits("a", a, then=c))
    clock.process(waits("b", b))
    clock.process(waits("c", c))

    def gives() -> None:
        seen.append("giver")
        a.succeed()
        b.succeed()
        seen.append("giver's end")

    when(clock.moment(1.0, Rank.SERVICE_END, 0, 1), gives)
    when(clock.moment(1.0, Rank.SERVICE_END, 1, 1), seen.append, "next moment")
    clock.run()
    assert seen == ["giver", "giver's end", "a", "b", "c", "next moment"]


def test_never_is_no_event() -> None:
    clock = PlaneClock()
    clock.moment(float("inf"), Rank.RETRY, 0, 1)
    assert clock.peek() == float("inf")


def test_time_does_not_go_back() -> None:
    clock = PlaneClock(3.0)
    with pytest.raises(AssertionError, match="cannot go back"):
        clock.move_to(2.0)
