"""Phases of a measurement: argo-rollouts utils/evaluate/evaluate_test.go, and zdsim's own judge."""

from __future__ import annotations

import math

import pytest

from zdsim.analysis.conditions import Value
from zdsim.analysis.measurement import AnalysisPhase, evaluate, evaluate_result, has_data, is_worse, judge_result

S, F, E, I = AnalysisPhase.SUCCESSFUL, AnalysisPhase.FAILED, AnalysisPhase.ERROR, AnalysisPhase.INCONCLUSIVE  # noqa: E741


@pytest.mark.parametrize(
    ("result", "success", "failure", "phase"),
    [
        (True, "", "", S),
        (None, "", "", S),
        (True, "true", "", S),
        (True, "false", "", F),
        (True, "", "true", F),
        (True, "", "false", S),
        (True, "true", "false", S),
        (True, "true", "true", F),  # failure goes first
        (True, "false", "false", I),
        (True, "false", "true", F),
        (True, "a == true", "true", E),
        (True, "true", "a == true", E),
        (math.nan, "result >= 0.95", "", F),
        (math.nan, "", "result < 0.95", S),
        (math.nan, "result >= 0.95", "result < 0.9", I),
        (math.nan, "isNaN(result) || result >= 0.95", "", S),
        ([], "result[0] >= 0.95", "", E),
        (None, "result >= 0.95", "", E),
        ([], "len(result) == 0 || result[0] >= 0.95", "", S),
        (0.5, "result", "", E),
    ],
)
def test_evaluate_result(result: Value, success: str, failure: str, phase: AnalysisPhase) -> None:
    assert evaluate_result(result, success, failure) is phase
    assert bool(evaluate(result, success, failure).message) == (phase is E)


@pytest.mark.parametrize("nothing", [None, math.nan, [], {}, [None], [math.nan, None]])
def test_no_data_is_never_healthy_for_a_gate(nothing: Value) -> None:
    assert not has_data(nothing)
    for success, failure in (("", ""), ("true", ""), ("", "false"), ("len(result) == 0 || true", "")):
        assert judge_result(nothing, success, failure).phase is I


def test_with_data_a_gate_reads_as_argo_does() -> None:
    for value in (0.5, 0, False, "", [0.0], [math.nan, 1.0], {"a": None}):
        assert judge_result(value, "result == 0.5").phase is evaluate_result(value, "result == 0.5")


def test_severity_is_a_strict_order() -> None:
    order = [S, AnalysisPhase.RUNNING, AnalysisPhase.PENDING, I, E, F]
    for at, phase in enumerate(order):
        assert [is_worse(phase, other) for other in order] == [other > at for other in range(6)]
    assert [phase for phase in order if phase.completed] == [S, I, E, F]
