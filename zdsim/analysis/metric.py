"""What may be asked of the metrics of an AnalysisRun, and what is wrong with it?

Fields have upstream's names in snake case and its defaults. `metric_from_fields` reads a manifest's mapping;
`validate_metrics` reports every problem at once where upstream stops at the first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from zdsim.analysis.condition_syntax import did_you_mean
from zdsim.analysis.conditions import ConditionError, compile_condition
from zdsim.analysis.safe_regex import RegexError, compile_regex
from zdsim.errors import ZdsimError

__all__ = [
    "DEFAULT_CONSECUTIVE_ERROR_LIMIT",
    "DEFAULT_MEASUREMENT_HISTORY_LIMIT",
    "ERROR_RETRY_S",
    "AnalysisSpecError",
    "Judge",
    "MeasurementRetention",
    "Metric",
    "RunSpec",
    "check_conditions",
    "matching",
    "metric_from_fields",
    "parse_duration",
    "validate_metrics",
    "validate_run",
]

DEFAULT_MEASUREMENT_HISTORY_LIMIT: Final = 10  # measurements kept of a metric
DEFAULT_CONSECUTIVE_ERROR_LIMIT: Final = 4
ERROR_RETRY_S: Final = 10.0  # after an error, and between measurements without an interval


class Judge(StrEnum):
    """Who reads the values: Argo's rules to the letter, or zdsim's, for which no data is Inconclusive."""

    ARGO = "argo"
    GENERIC = "generic"


class AnalysisSpecError(ZdsimError):
    """Metrics that cannot be run; `problems` holds one line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        assert self.problems, "an AnalysisSpecError needs at least one problem"
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One question asked again and again. Times in seconds; a count of None or 0 is an absent one."""

    name: str
    interval_s: float | None = None
    initial_delay_s: float | None = None
    count: int | None = None
    failure_limit: int = 0  # Failed above it; -1 switches it off
    inconclusive_limit: int = 0
    consecutive_error_limit: int = DEFAULT_CONSECUTIVE_ERROR_LIMIT
    consecutive_success_limit: int = 0  # Successful when reached; 0 switches it off
    success_condition: str = ""
    failure_condition: str = ""
    judge: Judge = Judge.ARGO

    @property
    def effective_count(self) -> int | None:
        """Measurements wanted; None is without end (v1alpha1 Metric: EffectiveCount).

        >>> Metric(name="m").effective_count, Metric(name="m", interval_s=60).effective_count
        (1, None)
        """
        if not self.count:
            return 1 if self.interval_s is None else None
        return self.count


@dataclass(frozen=True, slots=True)
class MeasurementRetention:
    """How many measurements are kept of the metrics whose name this expression finds."""

    metric_name: str
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """An AnalysisRun as asked for; `dry_run` holds expressions found in the names of metrics that do not count."""

    metrics: tuple[Metric, ...]
    dry_run: tuple[str, ...] = ()
    measurement_retention: tuple[MeasurementRetention, ...] = ()
    terminate: bool = False


def validate_metrics(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Every reason why these metrics are refused; none when they can run.

    Conditions are not looked at: upstream finds a bad one only when it measures (see `check_conditions`).

    Source:
        argo-rollouts utils/analysis/helpers.go: ValidateMetrics, ValidateMetric.
    """
    metrics = tuple(metrics)
    if not metrics:
        return ("metrics: none given; an analysis needs at least one",)
    problems: list[str] = []
    seen: set[str] = set()
    for at, metric in enumerate(metrics):
        if metric.name in seen:
            problems.append(f"metrics[{at}]: the name {metric.name!r} is used twice")
        seen.add(metric.name)
        problems += (f"metrics[{at}] ({metric.name}): {problem}" for problem in _metric_problems(metric))
    return tuple(problems)


def validate_run(spec: RunSpec) -> tuple[str, ...]:
    """As `validate_metrics`, and the rules by name: each must find a metric (utils/analysis: GetDryRunMetrics)."""
    problems = list(validate_metrics(spec.metrics))
    names = [metric.name for metric in spec.metrics]
    rules = [(f"dryRun[{at}]", rule) for at, rule in enumerate(spec.dry_run)]
    rules += [(f"measurementRetention[{at}]", rule.metric_name) for at, rule in enumerate(spec.measurement_retention)]
    for place, pattern in rules:
        try:
            if not matching(pattern, names):
                problems.append(f"{place}: no metric matches {pattern!r}; metrics are {', '.join(names)}")
        except RegexError as error:
            problems.append(f"{place}: {error}")
    return tuple(problems)


def check_conditions(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Every condition that cannot be read, with its column. Upstream would run into an Error instead."""
    problems: list[str] = []
    for metric in metrics:
        for name, text in (
            ("successCondition", metric.success_condition),
            ("failureCondition", metric.failure_condition),
        ):
            try:
                if text:
                    compile_condition(text)
            except ConditionError as error:
                problems.append(f"{metric.name}: {name}: {error}")
    return tuple(problems)


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names in which `pattern` is found anywhere; RegexError when it cannot be read."""
    found = compile_regex(pattern)
    return [name for name in names if found.search(name)]


def metric_from_fields(fields: Mapping[str, object]) -> Metric:
    """A metric from a manifest's mapping, in upstream's names. `provider` is left out.

    Raises:
        AnalysisSpecError: with every field that is unknown or cannot be read.

    >>> metric_from_fields({"name": "ok", "interval": "5m", "count": "3"}).interval_s
    300.0
    """
    problems: list[str] = []
    known = {**_NUMBERS, **_DURATIONS, **_TEXTS}
    read: dict[str, object] = {}
    for key, value in fields.items():
        if value is None or key == "provider":
            continue
        if key not in known:
            problems.append(f"{key}: unknown field; {did_you_mean(key, list(known))}")
            continue
        reader = _read_int if key in _NUMBERS else parse_duration if key in _DURATIONS else _read_text
        try:
            read[known[key]] = reader(value)
        except ValueError as error:
            problems.append(f"{key}: {error}")
    if not read.get("name") and not any(problem.startswith("name:") for problem in problems):
        problems.append("name: missing")
    if problems:
        raise AnalysisSpecError(problems)
    return Metric(**read)  # type: ignore[arg-type]  # each reader gives its field's type


def parse_duration(text: object) -> float:
    """Seconds of a Go duration such as `90s`, `1h30m` or `1.5m`.

    Raises:
        ValueError: it is none. A bare number is none either, except 0.
    """
    if isinstance(text, str) and text.strip("+-") == "0":
        return 0.0
    found = _DURATION.fullmatch(text) if isinstance(text, str) and len(text) <= 100 else None
    if found is None:
        hint = f'; write "{text}s"' if re.fullmatch(r"[0-9]{1,9}", str(text)) else ""
        raise ValueError(f'expected a duration such as "30s" or "5m", got {text!r}{hint}')
    assert isinstance(text, str)
    seconds = math.fsum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    return -seconds if text.startswith("-") else seconds


_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PART: Final = r"([0-9]+\.?[0-9]*|\.[0-9]+)(h|ms|m|s|us|µs|μs|ns)"
_DURATION_PART: Final = re.compile(_PART)
_DURATION: Final = re.compile(rf"[+-]?(?:{_PART})+")
_NUMBERS: Final = {
    "count": "count",
    "failureLimit": "failure_limit",
    "inconclusiveLimit": "inconclusive_limit",
    "consecutiveErrorLimit": "consecutive_error_limit",
    "consecutiveSuccessLimit": "consecutive_success_limit",
}
_DURATIONS: Final = {"interval": "interval_s", "initialDelay": "initial_delay_s"}
_TEXTS: Final = {"name": "name", "successCondition": "success_condition", "failureCondition": "failure_condition"}


def _read_int(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,10}", value):
        return int(value)
    raise ValueError(f"expected a whole number, got {value!r}")


def _read_text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"expected a text, got {value!r}; put it in quotes")


def _metric_problems(metric: Metric) -> list[str]:
    problems: list[str] = []
    count = metric.count or 0
    if count < 0:
        problems.append(f"count: must be ≥ 0, got {count}")
    if count > 1 and metric.interval_s is None:
        problems.append(f"interval: required when count is above 1 (it is {count})")
    if count > 0:
        needed = max(metric.failure_limit, 0) + metric.consecutive_success_limit
        if count < needed:
            problems.append(
                f"count: must be ≥ failureLimit + consecutiveSuccessLimit = {needed}, got {count}"
                if metric.consecutive_success_limit
                else f"count: must be ≥ failureLimit = {needed}, got {count}"
            )
        if count < metric.inconclusive_limit:
            problems.append(f"count: must be ≥ inconclusiveLimit = {metric.inconclusive_limit}, got {count}")
    if metric.failure_limit < -1:
        problems.append(f"failureLimit: must be ≥ 0, or -1 for none; got {metric.failure_limit}")
    for name, limit in (
        ("inconclusiveLimit", metric.inconclusive_limit),
        ("consecutiveErrorLimit", metric.consecutive_error_limit),
        ("consecutiveSuccessLimit", metric.consecutive_success_limit),
    ):
        if limit < 0:
            problems.append(f"{name}: must be ≥ 0, got {limit}")
    if metric.failure_limit == -1 and metric.consecutive_success_limit == 0:
        problems.append("failureLimit: -1 needs a consecutiveSuccessLimit, or nothing could ever be decided")
    if metric.interval_s is not None and not (math.isfinite(metric.interval_s) and metric.interval_s > 0):
        # upstream takes 0 and measures without a break; simulated time would then stand still
        problems.append(f"interval: must be above 0, got {metric.interval_s} s")
    delay = metric.initial_delay_s
    if delay is not None and not (math.isfinite(delay) and delay >= 0):
        problems.append(f"initialDelay: must be ≥ 0, got {delay} s")
    return problems
