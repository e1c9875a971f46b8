"""What does one measurement say?

A provider answers with a value, and two optional conditions turn it into a phase. Argo calls a metric without
conditions Successful whatever it measures, and reads NaN as any other number: `evaluate_result` does the same.
`judge_result` is what zdsim's own gates use: no data is Inconclusive, never healthy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from zdsim.analysis.conditions import ConditionError, EvaluationError, Value, eval_condition

__all__ = [
    "AnalysisPhase",
    "Evaluation",
    "Measurement",
    "evaluate",
    "evaluate_result",
    "has_data",
    "is_worse",
    "judge_result",
]


class AnalysisPhase(StrEnum):
    """Where a measurement, a metric or a run stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    ERROR = "Error"
    INCONCLUSIVE = "Inconclusive"

    @property
    def completed(self) -> bool:
        """Whether nothing more will happen (AnalysisPhase.Completed)."""
        return self not in (AnalysisPhase.PENDING, AnalysisPhase.RUNNING)


_SEVERITY = (
    AnalysisPhase.SUCCESSFUL,
    AnalysisPhase.RUNNING,
    AnalysisPhase.PENDING,
    AnalysisPhase.INCONCLUSIVE,
    AnalysisPhase.ERROR,
    AnalysisPhase.FAILED,
)


def is_worse(current: AnalysisPhase, new: AnalysisPhase) -> bool:
    """Whether `new` is worse than `current`; argo-rollouts utils/analysis/helpers.go: IsWorse."""
    return _SEVERITY.index(new) > _SEVERITY.index(current)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One value taken. Times in seconds on the caller's clock; `finished_s` is None while it is under way."""

    phase: AnalysisPhase
    started_s: float
    finished_s: float | None = None
    resume_s: float | None = None
    value: Value = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A phase, and why when it is not plain."""

    phase: AnalysisPhase
    message: str = ""


def evaluate_result(result: Value, success_condition: str = "", failure_condition: str = "") -> AnalysisPhase:
    """The phase of a measurement with this value.

    Args:
        result: what the provider answered; None when it found nothing.
        success_condition, failure_condition: empty when absent.

    Returns:
        Without conditions Successful. One alone decides between Successful and Failed. With both, failure goes first,
        and neither holding is Inconclusive. A condition that cannot be answered makes it Error.

    Source:
        argo-rollouts utils/evaluate/evaluate.go: EvaluateResult.

    >>> str(evaluate_result(math.nan, "result > 0.95", "result < 0.9"))
    'Inconclusive'
    """
    return evaluate(result, success_condition, failure_condition).phase


def evaluate(result: Value, success_condition: str = "", failure_condition: str = "") -> Evaluation:
    """As `evaluate_result`, with the reason for an Error."""
    try:
        success = eval_condition(result, success_condition) if success_condition else None
        failure = eval_condition(result, failure_condition) if failure_condition else None
    except (ConditionError, EvaluationError) as error:
        return Evaluation(AnalysisPhase.ERROR, str(error))
    if failure is None:
        return Evaluation(AnalysisPhase.FAILED if success is False else AnalysisPhase.SUCCESSFUL)
    if failure:
        return Evaluation(AnalysisPhase.FAILED)
    return Evaluation(AnalysisPhase.INCONCLUSIVE if success is False else AnalysisPhase.SUCCESSFUL)


def judge_result(result: Value, success_condition: str = "", failure_condition: str = "") -> Evaluation:
    """The phase a zdsim gate gives: as `evaluate`, but without data nothing is decided.

    Silence is neither health nor harm: nil, NaN, an empty list or object, or a list of nothing but these.
    """
    if not has_data(result):
        return Evaluation(AnalysisPhase.INCONCLUSIVE, "no data")
    return evaluate(result, success_condition, failure_condition)


def has_data(result: Value) -> bool:
    """Whether anything was measured at all."""
    match result:
        case None:
            return False
        case float():
            return not math.isnan(result)
        case list() | tuple():
            return any(has_data(item) for item in result)
        case dict():
            return bool(result)
        case _:
            return True
