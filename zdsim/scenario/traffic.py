"""Who sends what, how often, and what does a client do when it fails?"""

import math
from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from typing import Annotated

from pydantic import Field

from zdsim.scenario.fields import (
    FileName,
    Flag,
    Name,
    NonNegative,
    PositiveRate,
    PositiveSeconds,
    PositiveShare,
    Quantity,
    Rate,
    Seconds,
    Share,
    Whole,
    choice,
)
from zdsim.scenario.laws import Law, constant, lognormal
from zdsim.scenario.quantities import format_duration, format_rate
from zdsim.scenario.spec import Assumed, Finding, Spec

MAX_POINTS = 200_000
MAX_TIMES = 5_000_000


class Arrivals(StrEnum):
    """How regular arrivals are around their rate."""

    POISSON = "poisson"
    DETERMINISTIC = "deterministic"
    BURSTY = "bursty"


class RatePoint(Spec):
    """A rate at a time."""

    at_s: Seconds = Field(alias="at")
    rate: Rate


class Diurnal(Spec):
    """A sine over the day: mean x (1 + amplitude x cos(2 pi (t - peak_at) / period))."""

    mean: PositiveRate
    amplitude: Share = 0.5
    period_s: PositiveSeconds = Field(86_400.0, alias="period")
    peak_at_s: Seconds = Field(0.0, alias="peak_at")


class OpenTraffic(Spec):
    """Arrivals that do not wait for answers: exactly one of rate, profile, steps, diurnal and times gives their rate.

    `profile` is piecewise linear and holds its first and last rate outside; `steps` is piecewise constant. `csv`,
    `prometheus` and `times_file` name files, read while loading into `profile` and `times`.
    """

    rate: PositiveRate | None = None
    profile: tuple[RatePoint, ...] | None = Field(None, max_length=MAX_POINTS)
    steps: tuple[RatePoint, ...] | None = Field(None, max_length=MAX_POINTS)
    diurnal: Diurnal | None = None
    times_s: tuple[Seconds, ...] | None = Field(None, alias="times", max_length=MAX_TIMES)
    csv: FileName | None = Field(None, description="a file with the columns time (seconds) and rate")
    prometheus: FileName | None = Field(None, description="the JSON answer of a Prometheus range query of one rate")
    times_file: FileName | None = Field(None, description="a file with one arrival time (seconds) per line")
    arrivals: Annotated[Arrivals, choice(Arrivals)] = Arrivals.POISSON
    dispersion: Annotated[float, Quantity("number", ge=1, le=10_000)] = Field(
        1.0, description="index of dispersion of bursty arrivals: variance of counts over their mean"
    )

    def conflicts(self) -> Iterator[Finding]:
        shapes = {
            "rate": self.rate,
            "profile": self.profile,
            "steps": self.steps,
            "diurnal": self.diurnal,
            "times": self.times_s,
            "csv": self.csv,
            "prometheus": self.prometheus,
            "times_file": self.times_file,
        }
        given = [word for word, shape in shapes.items() if shape is not None]
        if len(given) != 1:
            got = " and ".join(given) if given else "none"
            yield Finding(
                f"give exactly one of {', '.join(shapes)}, got {got}",
                (given[1],) if len(given) > 1 else (),
                hint="for example rate: 200/s",
            )
        for word in ("csv", "prometheus", "times_file"):
            if shapes[word] is not None:
                yield Finding("a file is read only while loading a scenario file", (word,))
        for word, points in (("profile", self.profile), ("steps", self.steps)):
            if points is not None:
                yield from _rising(word, points)
        if self.times_s is not None:
            yield from _rising_times(self.times_s)
        if self.arrivals is Arrivals.BURSTY and self.dispersion <= 1.0:
            yield Finding("bursty arrivals need a dispersion above 1", ("dispersion",), hint="dispersion: 4")
        if self.arrivals is not Arrivals.BURSTY and self.dispersion != 1.0:
            yield Finding(f"dispersion belongs to arrivals: bursty, not {self.arrivals}", ("dispersion",))

    @property
    def peak_rate(self) -> float:
        """The highest rate, per second; NaN for explicit times."""
        if self.rate is not None:
            return self.rate
        points = self.profile or self.steps
        if points:
            return max(point.rate for point in points)
        return self.diurnal.mean * (1.0 + self.diurnal.amplitude) if self.diurnal is not None else math.nan

    def __str__(self) -> str:
        if self.rate is not None:
            return f"{format_rate(self.rate)} {self.arrivals}"
        if self.times_s is not None:
            return f"{len(self.times_s)} given times"
        return f"up to {format_rate(self.peak_rate)} {self.arrivals}"


def _rising(word: str, points: tuple[RatePoint, ...]) -> Iterator[Finding]:
    if not points:
        yield Finding(f"{word} needs at least one point", (word,), hint=f"{word}: [{{at: 0s, rate: 100/s}}]")
    for i, (before, point) in enumerate(pairwise(points), 1):
        if point.at_s <= before.at_s:
            later, earlier = format_duration(point.at_s), format_duration(before.at_s)
            yield Finding(f"times must rise, but {later} follows {earlier}", (word, i, "at"))
            break
    if points and all(point.rate == 0.0 for point in points):
        yield Finding(f"every rate in {word} is 0: nothing would ever arrive", (word,))


def _rising_times(times_s: tuple[float, ...]) -> Iterator[Finding]:
    if not times_s:
        yield Finding("times needs at least one arrival", ("times",))
    for i, (before, at) in enumerate(pairwise(times_s), 1):
        if at < before:
            message = f"times must not fall, but {format_duration(at)} follows {format_duration(before)}"
            yield Finding(message, ("times", i))
            break


class ClosedTraffic(Spec):
    """Users who wait for their answer, think, and ask again."""

    users: Annotated[int, Whole(ge=1, le=1_000_000)]
    think: Law = constant(1.0)


class Users(Spec):
    """Whose requests they are: some users are busier than others."""

    population: Annotated[int, Whole(ge=1, le=10_000_000), Assumed("how many people use the service")] = 100_000
    zipf: Annotated[float, Quantity("number", ge=0, le=10), Assumed("how unevenly they use it; 0 is alike")] = 1.0


class RequestClass(Spec):
    """One kind of request."""

    name: Name = "request"
    share: PositiveShare = 1.0
    work: Annotated[Law, Assumed("a manifest cannot say how long a request takes to answer")] = lognormal(
        mean_s=0.050, p99_s=0.200
    )
    queries: Annotated[int, Whole(ge=0, le=1000)] = 0
    query_time: Law = constant(0.005)
    idempotent: Flag = True
    resumable: Flag = False
    conversion: Share = 0.0
    revenue: NonNegative = 0.0


class Traffic(Spec):
    """Everything that arrives."""

    open: OpenTraffic | None = None
    closed: ClosedTraffic | None = None
    users: Users = Users()
    classes: tuple[RequestClass, ...] = Field((RequestClass(),), max_length=64)

    def conflicts(self) -> Iterator[Finding]:
        if self.open is None and self.closed is None:
            yield Finding(
                "how much traffic? give open (arrivals at a rate), closed (users who wait), or both",
                hint="open: {rate: 200/s} in the scenario, or --rate 200/s on the command line",
                code="ZD1002",
            )
        if not self.classes:
            yield Finding("give at least one class of requests, or leave classes out", ("classes",))
            return
        total = math.fsum(one.share for one in self.classes)
        if abs(total - 1.0) > 1e-6:
            shares = " + ".join(f"{one.share * 100:g}%" for one in self.classes)
            yield Finding(f"shares must add up to 100%: {shares} = {total * 100:g}%", ("classes",))
        names = [one.name for one in self.classes]
        for i, name in enumerate(names):
            if name in names[:i]:
                yield Finding(f"two classes are called {name!r}", ("classes", i, "name"), hint="rename one of them")


class Jitter(StrEnum):
    """How much of a back-off is left to luck."""

    FULL = "full"
    EQUAL = "equal"
    NONE = "none"


class RetryReason(StrEnum):
    """The ways an attempt ends badly, as a client can tell them apart."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    RESET = "reset"
    OVERFLOW = "overflow"
    NO_ENDPOINT = "no_endpoint"
    TIMEOUT = "timeout"
    APP_ERROR = "app_error"
    DB_ERROR = "db_error"


class Backoff(Spec):
    """Wait before the n-th retry: base x 2^(n-1), at most cap; full jitter takes U(0,1) of it, equal U(1/2,1)."""

    base_s: Seconds = Field(0.1, alias="base")
    cap_s: Seconds = Field(10.0, alias="cap")
    jitter: Annotated[Jitter, choice(Jitter)] = Jitter.FULL

    def conflicts(self) -> Iterator[Finding]:
        if self.cap_s < self.base_s:
            yield Finding(
                f"cap ({format_duration(self.cap_s)}) is below base ({format_duration(self.base_s)})", ("cap",)
            )


class KeepAlive(Spec):
    """Connections a client keeps for its next request; pool 0 opens one for every request."""

    pool: Annotated[int, Whole(ge=0, le=1_000_000), Assumed("connections kept open between requests")] = 0
    idle_timeout_s: PositiveSeconds = Field(60.0, alias="idle_timeout")
    max_age_s: PositiveSeconds | None = Field(None, alias="max_age")


class Client(Spec):
    """How a client tries, waits and tries again."""

    connect_timeout_s: Annotated[PositiveSeconds, Assumed("how long a client waits for a connection")] = Field(
        1.0, alias="connect_timeout"
    )
    request_timeout_s: Annotated[PositiveSeconds, Assumed("how long a client waits for an answer")] = Field(
        10.0, alias="request_timeout"
    )
    attempts: Annotated[int, Whole(ge=1, le=63), Assumed("whether clients retry")] = Field(
        1, description="tries of one request, the first one included"
    )
    backoff: Backoff = Backoff()
    retry_budget: Share | None = Field(0.2, description="retries as a share of requests; null: no limit")
    retry_on: tuple[Annotated[RetryReason, choice(RetryReason)], ...] = (
        RetryReason.REFUSED,
        RetryReason.UNREACHABLE,
        RetryReason.RESET,
        RetryReason.OVERFLOW,
        RetryReason.NO_ENDPOINT,
    )
    keep_alive: KeepAlive = KeepAlive()
    close_notice_s: Seconds = Field(0.0005, alias="close_notice", description="until a client sees its peer's close")
