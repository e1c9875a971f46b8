"""What does an analysis look at, how often, and what does it make of it?

An `Analysis` belongs to a strategy; `Observability` says how the measurements come about at all (how often pods are
scraped) and which simulated metric stands for a query of a manifest that cannot be asked here.

Source: the fields and their defaults are those of an Argo AnalysisTemplate; the default metrics and
`tolerance` those of the usual canary judges (Kayenta's Mann-Whitney judge: 0.25).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from zdsim.scenario.fields import Factor, Flag, Name, PositiveSeconds, Quantity, Seconds, Text, Whole, choice
from zdsim.scenario.quantities import QuantityError, format_duration, parse_share
from zdsim.scenario.spec import Assumed, Finding, Spec


class Metric(StrEnum):
    """What can be measured. Durations in seconds, shares of one, rates per second."""

    ERROR_RATE = "error_rate"  # share of answered requests that failed
    P50 = "p50"  # latency
    P95 = "p95"
    P99 = "p99"
    THROUGHPUT = "throughput"  # requests answered, per second
    CONVERSION = "conversion"  # share of requests that became an order
    ORDERS = "orders"  # per second
    REVENUE = "revenue"  # per second
    CPU = "cpu"  # share of the workers that are busy
    MEMORY = "memory"  # bytes a pod
    NETWORK = "network"  # bytes per second
    RESTARTS = "restarts"  # of containers, in the window
    DB_QUERIES = "db_queries"  # per second
    DB_TIME = "db_time"  # seconds of database work per request


_UNITS: dict[Metric, Quantity] = {
    Metric.ERROR_RATE: Quantity("share", ge=0, le=1),
    Metric.P50: Quantity("duration", ge=0),
    Metric.P95: Quantity("duration", ge=0),
    Metric.P99: Quantity("duration", ge=0),
    Metric.THROUGHPUT: Quantity("rate", ge=0),
    Metric.CONVERSION: Quantity("share", ge=0, le=1),
    Metric.ORDERS: Quantity("rate", ge=0),
    Metric.REVENUE: Quantity("rate", ge=0),
    Metric.CPU: Quantity("share", ge=0, le=1),
    Metric.MEMORY: Quantity("memory", ge=0),
    Metric.NETWORK: Quantity("memory", ge=0),
    Metric.RESTARTS: Quantity("number", ge=0),
    Metric.DB_QUERIES: Quantity("rate", ge=0),
    Metric.DB_TIME: Quantity("duration", ge=0),
}
_FALLS = {Metric.THROUGHPUT, Metric.CONVERSION, Metric.ORDERS, Metric.REVENUE}  # less of it is worse
_OF_DATABASE = {Metric.DB_QUERIES, Metric.DB_TIME}
_OF_BUSINESS = {Metric.CONVERSION, Metric.ORDERS, Metric.REVENUE}
_COUNTED = {Metric.ERROR_RATE, Metric.CONVERSION}  # successes out of trials


def in_unit(metric: Metric, value: float) -> str:
    """A value of a metric as an author would write it, to four digits.

    >>> in_unit(Metric.ERROR_RATE, 0.105734), in_unit(Metric.P99, 0.7955), in_unit(Metric.MEMORY, 20 * 2.0**20)
    ('10.57%', '795.5ms', '20Mi')
    """
    match _UNITS[metric].kind:
        case "share":
            return f"{value * 100:.4g}%"
        case "duration":
            return format_duration(float(f"{value:.4g}"))
        case "memory":
            return f"{value / 2.0**20:.4g}Mi"
        case "rate":
            return f"{value:.4g}/s"
        case _:
            return f"{value:.4g}"


class Of(StrEnum):
    """Whose requests or pods."""

    NEW = "new"
    STABLE = "stable"  # or the fresh baseline, while an experiment runs one
    ALL = "all"


class Judge(StrEnum):
    """How a metric becomes a verdict."""

    THRESHOLD = "threshold"  # compare numbers
    MANN_WHITNEY = "mann_whitney"  # ranks of the windows of new and stable
    TWO_PROPORTION = "two_proportion"  # counts of new and stable, at a fixed size
    SPRT = "sprt"  # sequential, simple against simple
    MSPRT = "msprt"  # sequential, mixture
    CONFIDENCE_SEQUENCE = "confidence_sequence"  # always-valid interval


class Direction(StrEnum):
    """Which change is bad."""

    INCREASE = "increase"
    DECREASE = "decrease"
    EITHER = "either"


@dataclass(frozen=True, slots=True, eq=False)
class _Limit:
    """A number in the unit of the metric that stands before it: `1%`, `500ms`, `100/s`, `512Mi`."""

    per_minute: bool = False

    def read(self, value: object, info: core_schema.ValidationInfo) -> float:
        metric = info.data.get("metric")
        if metric is None:  # refused already
            return 0.0
        unit = _UNITS[metric]
        if self.per_minute:  # a slope may be any size and sign is its own
            return Quantity(unit.kind, ge=0).read(value)
        return unit.read(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}


Limit = Annotated[float, _Limit()]
Slope = Annotated[float, _Limit(per_minute=True)]


def _percent_too(value: Any) -> Any:
    """`70%` is 0.7 of the stable revision's; other checks follow."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return parse_share(value)
        except QuantityError:
            return value
    return value


Ratio = Annotated[Factor, BeforeValidator(_percent_too)]


class MetricCheck(Spec):
    """One metric and what is too much of it.

    With judge `threshold` the given limits must all hold. The other judges compare the new revision with the stable
    one: worse by more than `tolerance`, to the level `alpha`.
    """

    metric: Annotated[Metric, choice(Metric)]
    name: Name | None = Field(None, description="how reports call it; absent: the metric and its limit")
    of: Annotated[Of, choice(Of)] = Of.NEW
    max: Limit | None = Field(None, description="fails above, in the metric's unit")
    min: Limit | None = Field(None, description="fails below, in the metric's unit")
    max_ratio: Ratio | None = Field(None, description="fails above so many times the stable revision's")
    min_ratio: Ratio | None = Field(None, description="fails below so many times the stable revision's")
    max_slope: Slope | None = Field(None, description="fails when it grows faster, in the metric's unit per minute")
    judge: Annotated[Judge, choice(Judge)] = Judge.THRESHOLD
    alpha: Annotated[float, Quantity("share", gt=0, lt=1)] = Field(0.05, description="false alarms that are accepted")
    power: Annotated[float, Quantity("share", gt=0, lt=1)] = Field(0.8, description="of the sequential test sprt")
    tolerance: Annotated[float, Quantity("share", ge=0, le=100)] = Field(
        0.25, description="worse by this share of stable's is still taken as equal"
    )
    direction: Annotated[Direction, choice(Direction)] | None = Field(
        None, description="which change is bad; absent: more errors and latency, less traffic and revenue"
    )
    critical: Flag = Field(False, description="fails the whole analysis, whatever the score")
    weight: Annotated[float, Quantity("number", gt=0, le=1000)] = Field(1.0, description="of its group, in a score")
    group: Name | None = Field(None, description="metrics of a group share a score")

    @property
    def called(self) -> str:
        """Its name, or one made of what it checks: `error_rate max 1%`."""
        if self.name is not None:
            return self.name
        limits = [
            f"{word} {value:g}" if word.endswith("ratio") else f"{word} {in_unit(self.metric, value)}"
            for word, value in self.limits.items()
        ]
        return " ".join([self.metric.value, *(limits if self.judge is Judge.THRESHOLD else [self.judge.value])])

    @property
    def limits(self) -> dict[str, float]:
        """The limits that were given, by their names."""
        words = ("max", "min", "max_ratio", "min_ratio", "max_slope")
        return {word: value for word in words if (value := getattr(self, word)) is not None}

    @property
    def bad(self) -> Direction:
        """Which change is bad."""
        if self.direction is not None:
            return self.direction
        return Direction.DECREASE if self.metric in _FALLS else Direction.INCREASE

    @property
    def compares(self) -> bool:
        """Does it need the stable revision's measurements, too?"""
        return self.judge is not Judge.THRESHOLD or self.max_ratio is not None or self.min_ratio is not None

    def conflicts(self) -> Iterator[Finding]:
        if self.judge is Judge.THRESHOLD and not self.limits:
            yield Finding(
                "nothing to compare with: give max, min, max_ratio, min_ratio or max_slope, or another judge",
                hint="{metric: error_rate, max: 1%}, or {metric: p99, judge: mann_whitney}",
            )
        if self.judge is not Judge.THRESHOLD:
            for word in self.limits:
                yield Finding(
                    f"judge {self.judge} compares new with stable and takes no {word}",
                    (word,),
                    "remove it, or add a second metric with judge: threshold",
                )
        if self.max is not None and self.min is not None and self.min > self.max:
            yield Finding(f"min ({self.min:g}) is above max ({self.max:g}): every measurement fails", ("min",))
        if self.max_ratio is not None and self.min_ratio is not None and self.min_ratio > self.max_ratio:
            yield Finding(f"min_ratio ({self.min_ratio:g}) is above max_ratio ({self.max_ratio:g})", ("min_ratio",))
        if self.compares and self.of is not Of.NEW:
            yield Finding(f"of: {self.of} cannot be compared with the stable revision", ("of",), "use of: new")
        if self.judge in (Judge.TWO_PROPORTION, Judge.SPRT) and self.metric not in _COUNTED:
            allowed = " and ".join(sorted(_COUNTED))
            yield Finding(
                f"judge {self.judge} counts yes and no ({allowed}); {self.metric} is not counted so",
                ("judge",),
                "use mann_whitney, msprt or confidence_sequence",
            )


class Score(Spec):
    """The metrics' groups become one number from 0 to 100, as Kayenta does."""

    pass_: Annotated[float, Quantity("number", ge=0, le=100)] = Field(
        95.0, alias="pass", description="at least this is healthy"
    )
    marginal: Annotated[float, Quantity("number", ge=0, le=100)] = Field(
        75.0, description="below is unhealthy; between, inconclusive"
    )

    def conflicts(self) -> Iterator[Finding]:
        if self.marginal > self.pass_:
            yield Finding(f"marginal ({self.marginal:g}) is above pass ({self.pass_:g})", ("marginal",))


SEED_RULE = (
    MetricCheck(metric=Metric.ERROR_RATE, max=0.01),
    MetricCheck(metric=Metric.ERROR_RATE, max_ratio=2.0),
    MetricCheck(metric=Metric.P99, max=0.5),
)
"""What is watched when nobody says what: errors above 1 %, twice the stable revision's, or a slow p99."""


class Analysis(Spec):
    """Measurements every `interval` over the last `window`; limits count them as an AnalysisRun does."""

    interval_s: PositiveSeconds = Field(30.0, alias="interval", description="time between measurements")
    window_s: PositiveSeconds = Field(60.0, alias="window", description="what each looks back on")
    initial_delay_s: Seconds = Field(0.0, alias="initial_delay", description="before the first")
    count: Annotated[int, Whole(ge=1, le=1_000_000)] | None = Field(
        None, description="measurements until it is done; absent: as long as what it watches"
    )
    failure_limit: Annotated[int, Whole(ge=-1, le=1_000_000)] = Field(
        0, description="unhealthy above so many; -1: never"
    )
    inconclusive_limit: Annotated[int, Whole(ge=-1, le=1_000_000)] = Field(
        0, description="stops to ask a human above so many; -1: never"
    )
    consecutive_error_limit: Annotated[int, Whole(ge=0, le=1_000_000)] = Field(
        4, description="gives up above so many failed queries in a row"
    )
    consecutive_success_limit: Annotated[int, Whole(ge=0, le=1_000_000)] = Field(
        0, description="healthy after so many good ones in a row; 0: off"
    )
    min_requests: Annotated[int, Whole(ge=0, le=100_000_000)] = Field(
        100, description="a window with fewer requests is inconclusive"
    )
    metrics: tuple[MetricCheck, ...] = Field(SEED_RULE, max_length=100, description="absent: errors and p99")
    score: Score | None = Field(None, description="weigh the metrics; null: one that fails fails all")

    @property
    def ends(self) -> bool:
        """Does it come to an end by itself when all is well?"""
        return self.count is not None or self.consecutive_success_limit > 0

    def conflicts(self) -> Iterator[Finding]:
        if not self.metrics:
            yield Finding("an analysis without metrics says nothing", ("metrics",), "leave metrics out for the usual")
        names = [one.name for one in self.metrics if one.name is not None]
        for i, one in enumerate(self.metrics):
            if one.name is not None and names.count(one.name) > 1 and names.index(one.name) != i:
                yield Finding(f"two metrics are called {one.name!r}", ("metrics", i, "name"), "rename one of them")
                break
        if self.count is not None:
            least = max(self.failure_limit, 0) + self.consecutive_success_limit
            if self.count < least:
                yield Finding(
                    f"count ({self.count}) is below failure_limit + consecutive_success_limit ({least}): "
                    "it could never come out either way",
                    ("count",),
                )
            if self.count < self.inconclusive_limit:
                yield Finding(
                    f"count ({self.count}) is below inconclusive_limit ({self.inconclusive_limit})", ("count",)
                )

    def cautions(self) -> Iterator[Finding]:
        if self.interval_s > self.window_s:
            yield Finding(
                f"interval ({format_duration(self.interval_s)}) is longer than window "
                f"({format_duration(self.window_s)}): what happens between is never looked at",
                ("interval",),
                f"window: {format_duration(self.interval_s)}",
                "ZD2009",
            )
        for i, one in enumerate(self.metrics):
            if self.score is None and (one.group is not None or one.weight != 1.0):
                word = "group" if one.group is not None else "weight"
                yield Finding(
                    f"{word} has no effect without a score", ("metrics", i, word), "score: {pass: 95}", "ZD2009"
                )

    def without_data(self, *, database: bool, business: bool) -> Iterator[tuple[int, str]]:
        """Metrics (by position) that nothing in the scenario feeds, and what is missing."""
        for i, one in enumerate(self.metrics):
            if one.metric is Metric.NETWORK:
                yield i, "nothing here knows how many bytes a request has"
            if one.metric in _OF_DATABASE and not database:
                yield i, "this scenario has no database (add database: {})"
            if one.metric in _OF_BUSINESS and not business:
                word = "revenue" if one.metric is Metric.REVENUE else "conversion"
                yield i, f"no class of requests has a {word} (traffic.classes)"


class Scrape(Spec):
    """How measurements reach whoever asks: every pod is read once an interval, and seen `lag` later."""

    interval_s: Annotated[PositiveSeconds, Assumed("how often metrics are collected")] = Field(15.0, alias="interval")
    lag_s: Annotated[Seconds, Assumed("until a collected value can be asked for")] = Field(0.0, alias="lag")


class MappedMetric(Spec):
    """A simulated metric in place of a query: its value times `scale` is the query's result."""

    metric: Annotated[Metric, choice(Metric)]
    of: Annotated[Of, choice(Of)] = Of.NEW
    window_s: PositiveSeconds = Field(60.0, alias="window", description="what the query looks back on")
    scale: Annotated[float, Quantity("number", gt=0, le=1e12)] = Field(
        1.0, description="100 for percent, 1000 for milliseconds"
    )
    complement: Flag = Field(False, description="one minus the value, as a success rate is")

    def __str__(self) -> str:
        value = f"1 - {self.metric}" if self.complement else self.metric.value
        times = f" x {self.scale:g}" if self.scale != 1.0 else ""
        return f"{value} of {self.of}, window {format_duration(self.window_s)}{times}"


def _short_map(value: Any) -> Any:
    """`p99` is short for `{metric: p99}`."""
    return {"metric": value} if isinstance(value, str) else value


class _OrMetric:
    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": [one.value for one in Metric]}, handler(schema)]}


class Observability(Spec):
    """Where the numbers of an analysis come from."""

    scrape: Scrape = Scrape()
    map: dict[Text, Annotated[MappedMetric, BeforeValidator(_short_map), _OrMetric()]] = Field(
        {}, max_length=500, description="by the metric's name in the manifest: what is measured in its place"
    )


__all__ = [
    "SEED_RULE",
    "Analysis",
    "Direction",
    "Judge",
    "Limit",
    "MappedMetric",
    "Metric",
    "MetricCheck",
    "Observability",
    "Of",
    "Score",
    "Scrape",
    "in_unit",
]
