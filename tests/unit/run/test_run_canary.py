"""Generic canaries and blue-greens in a world: what their analyses see, and what an unclear answer does."""

import textwrap
from pathlib import Path
from typing import Any

import pytest

from zdsim.api import Run, simulate
from zdsim.scenario.load import load_scenario

SCENARIO = """
name: generic
service:
  deployment:
    name: web
    replicas: 6
    preStop: {sleep: {seconds: 5}}
    readinessProbe: {periodSeconds: 5}
traffic: {open: {rate: 100/s}}
run: {duration: 8m, baseline: false}
release:
  at: 60s
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def play(folder: Path, release: str) -> Run:
    path = folder / "scenario.yaml"
    path.write_text(SCENARIO + textwrap.indent(textwrap.dedent(release), "  "))
    return simulate(load_scenario(path))


def outcome(run: Run) -> Any:
    return run.summary()["rollout"]["outcome"]


def reasons(run: Run) -> list[str]:
    return [event.reason for event in run.record.events if event.time_s >= 60.0]


def test_too_few_requests_are_never_promoted(folder: Path) -> None:
    """D2. No answer is no yes, even if it comes in the very moment in which a pause ends."""
    run = play(folder, "strategy: {kind: canary, weights: [0.1%, 100%]}")
    assert outcome(run) == "progressing"
    assert run.summary()["blast_radius"]["peak_weight"] < 0.05
    assert "(Paused: InconclusiveAnalysisRun)" in run.summary()["notices"][-1]


def test_the_analysis_begins_with_the_first_weight(folder: Path) -> None:
    """Pods that take two minutes to start are waited for; nothing of them could be measured before."""
    run = play(folder, "bug: {slow_start: 60}\nstrategy: {kind: canary, weights: [20%, 100%]}")
    assert outcome(run) == "complete"
    said = reasons(run)
    assert said.index("WeightWritten") < said.index("AnalysisRunStarted")
    assert "MeasurementInconclusive" not in said


def test_a_canary_s_experiment_gets_the_requests_of_its_pods(folder: Path) -> None:
    run = play(
        folder,
        """
        strategy:
          kind: canary
          steps:
            - experiment: {duration: 2m, replicas: 2, analysis: {count: 2, interval: 30s}}
            - {weight: 50%, hold: 30s}
            - {weight: 100%}
        """,
    )
    assert outcome(run) == "complete"
    routed = run.record.counts.routed[100:170].sum(axis=0)
    share = routed[2:4] / routed.sum()  # baseline and new: 2 pods each beside 6
    assert all(abs(one - 0.2) < 0.02 for one in share)


def test_a_ratio_after_the_switch_looks_back_at_stable(folder: Path) -> None:
    """Nobody asks stable any more: its numbers are those of the last window before the switch."""
    analysis = "{window: 30s, metrics: [{metric: p95, max_ratio: 2}]}"
    strategy = f"strategy: {{kind: blue_green, confidence: 3m, analysis: {{post: {analysis}}}}}"
    run = play(folder, f"bug: {{slow_factor: 4}}\n{strategy}")
    assert outcome(run) == "rolled back"
    failed = next(event.message for event in run.record.events if event.reason == "MeasurementFailed")
    assert "times stable's" in failed


def test_a_retry_takes_the_decision_back(folder: Path) -> None:
    run = play(folder, "abort_at: 2m\nretry_at: 3m\nstrategy: {kind: canary, weights: [20%, 100%]}")
    assert outcome(run) == "complete"
    assert run.summary()["rollback"]["decided_s"] is None


def test_a_preview_is_measured_by_its_smoke_test(folder: Path) -> None:
    """Nobody else asks it: a slow revision is seen before the switch, and exposed to no one."""
    analysis = "{count: 2, interval: 20s, metrics: [{metric: p99, max: 500ms}, {metric: p50, max_ratio: 2}]}"
    strategy = f"strategy: {{kind: blue_green, smoke: {{requests: 300, duration: 60s}}, analysis: {{pre: {analysis}}}}}"
    assert outcome(play(folder, strategy)) == "complete"
    bad = play(folder, f"bug: {{slow_factor: 4}}\n{strategy}")
    assert outcome(bad) == "rolled back"
    assert bad.summary()["blast_radius"]["exposed_users"] == 0
    failed = [event.message for event in bad.record.events if event.reason == "MeasurementFailed"]
    assert any("p99" in one for one in failed)
    assert any("times stable's" in one for one in failed)


@pytest.mark.parametrize(("limit", "ends"), [("45%", "complete"), ("20%", "rolled back")])
def test_cpu_is_the_share_of_busy_workers(folder: Path, limit: str, ends: str) -> None:
    """100 requests/s of 50 ms keep 5 workers busy: of the 6 pods' 16 workers each 5 %, of a slow release's a third."""
    run = play(
        folder,
        f"""
        bug: {{slow_factor: 6}}
        strategy: {{kind: canary, weights: [50%, 100%], analysis: {{metrics: [{{metric: cpu, max: {limit}}}]}}}}
        """,
    )
    assert outcome(run) == ends


JUDGED = {
    "p99": "mann_whitney",
    "error_rate": "two_proportion",
    "error_rate ": "sprt",
    "error_rate  ": "msprt",
    "error_rate   ": "confidence_sequence",
    "p95": "confidence_sequence",
    "conversion": "two_proportion",
}


def test_every_judge_finds_a_release_that_is_worse_in_everything(folder: Path) -> None:
    """Slow, failing, and half the orders: each judge says so in time; limits out of reach let all of them speak."""
    metrics = "\n".join(f"    - {{metric: {metric.strip()}, judge: {judge}}}" for metric, judge in JUDGED.items())
    path = folder / "scenario.yaml"
    path.write_text(
        SCENARIO.replace("rate: 100/s}", "rate: 200/s}, classes: [{name: order, conversion: 10%}]")
        + "  bug: {error_rate: 5%, slow_factor: 3, conversion_factor: 50%}\n"
        + "  strategy:\n    kind: canary\n    weights: [20%, 100%]\n    hold: 6m\n"
        + "    analysis:\n      failure_limit: 100\n      inconclusive_limit: 100\n      metrics:\n"
        + textwrap.indent(metrics, "    ")
        + "\n"
    )
    run = simulate(load_scenario(path))
    failed = {event.message.split(":")[0] for event in run.record.events if event.reason == "MeasurementFailed"}
    assert failed == {f"{metric.strip()} by {judge}" for metric, judge in JUDGED.items()}
