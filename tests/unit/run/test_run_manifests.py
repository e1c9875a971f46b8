"""Rollouts of many shapes load and play: the steps upstream would take, in their order, to the end.

Each manifest is played as `zdsim run -f MANIFEST --rate ...` plays it: no scenario, everything else assumed. The
weights are those that upstream writes: setWeight by setWeight, all of it after the last step, and back to 0 when the
new revision has become stable (rollout/trafficrouting.go: reconcileTrafficRouting).
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from zdsim.api import Run, simulate
from zdsim.cli import run as zdsim
from zdsim.scenario.load import load_scenario

ROOT = Path(__file__).parents[3]
GALLERY = ROOT / "scenarios" / "manifests"
SHAPES = ROOT / "tests" / "unit" / "scenario" / "manifests"


@dataclass(frozen=True)
class Case:
    """A manifest, and what playing it must show."""

    path: Path
    strategy: str
    steps: int  # StepCompleted so often
    weights: tuple[float, ...] = ()  # as written, in order; 0 at the end: the new revision is stable
    also: tuple[str, ...] = ()  # overrides
    notices: tuple[str, ...] = ()
    in_order: tuple[str, ...] = ()  # reasons in the journal, among others

    @property
    def name(self) -> str:
        return self.path.stem


ROUTED, BY_PODS, BLUE_GREEN = "Argo canary", "Argo canary (replicas)", "Argo blue-green"
CASES = [
    Case(GALLERY / "argo-steps.yaml", BY_PODS, 8, also=("release.promote_at=3m",)),
    Case(GALLERY / "argo-no-steps.yaml", BY_PODS, 0, notices=("serviceAccountName",)),
    Case(
        GALLERY / "argo-istio.yaml",
        ROUTED,
        6,
        (0.05, 0.25, 0.5, 1.0, 0.0),
        notices=("VirtualService/orders is left out",),
        in_order=("AnalysisRunStarted", "Promoted", "AnalysisRunTerminated"),
    ),
    Case(GALLERY / "argo-traefik.yaml", ROUTED, 8, (0.1, 0.5, 1.0, 0.0)),
    Case(
        GALLERY / "argo-datadog.yaml",
        ROUTED,
        6,
        (0.1, 0.5, 1.0, 0.0),
        notices=('"apdex-latency" is not played: it asks datadog', '"errors-percent" is not played: it asks newRelic'),
    ),
    Case(
        GALLERY / "argo-experiment.yaml",
        ROUTED,
        5,
        (0.0, 0.0, 0.2, 0.6, 1.0, 0.0),  # twice 0: the experiment's templates get their shares and lose them
        in_order=("ExperimentStarted", "Successful", "StepCompleted", "Promoted"),
    ),
    Case(
        GALLERY / "argo-workload-ref.yaml",
        ROUTED,
        6,
        (0.25, 0.75, 1.0, 0.0),
        notices=("HorizontalPodAutoscaler/gateway is left out", "workloadRef.scaleDown: not simulated"),
    ),
    Case(
        GALLERY / "argo-blue-green.yaml",
        BLUE_GREEN,
        0,
        notices=('"smoke" is not played: it asks job',),
        in_order=("AnalysisRunStarted", "PausedByStep", "ServiceSwitched", "AnalysisRunStarted", "Promoted"),
    ),
    Case(
        SHAPES / "argo_basic.yaml",
        BY_PODS,
        8,
        also=("run.duration=80m", "release.promote_at=70m", "traffic.open.rate=10/s"),
    ),
    Case(
        SHAPES / "argo_nginx_background.yaml",
        ROUTED,
        6,
        (0.05, 0.2, 0.5, 1.0, 0.0),
        also=("run.duration=30m",),
        notices=("antiAffinity: not simulated",),
    ),
    Case(
        SHAPES / "argo_istio_routes.yaml",
        ROUTED,
        11,
        (0.25, 1.0, 0.0),
        also=("run.duration=25m", "release.promote_at=15m", "traffic.open.rate=50/s"),
        notices=("setMirrorRoute.match: not simulated",),
        in_order=("RouteSet", "RouteSet", "RouteSet", "WeightWritten", "RouteSet"),
    ),
    Case(
        SHAPES / "argo_alb_steps.yaml",
        ROUTED,
        6,
        (0.0, 0.0, 0.1, 0.5, 1.0, 0.0),
        also=("run.duration=15m",),
        notices=("plugin: not simulated", '"smoke-test" is not played', '"health" is not played'),
    ),
]


def play(path: Path, *overrides: str) -> Run:
    overrides = ("run.baseline=false", "traffic.open.rate=100/s", *overrides)
    return simulate(load_scenario(None, manifest=str(path), rate="100/s", overrides=overrides))


def reasons(run: Run) -> list[str]:
    return [event.reason for event in run.record.events if event.time_s >= 60.0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_rollout_goes_through_its_steps(case: Case) -> None:
    run = play(case.path, *case.also)
    summary = run.summary()
    assert (summary["strategy"], summary["rollout"]["outcome"]) == (case.strategy, "complete"), summary["notices"]
    assert reasons(run).count("StepCompleted") == case.steps
    written = [e.data["weight"] for e in run.record.events if e.reason == "WeightWritten" and e.time_s >= 60.0]
    assert written == list(case.weights)
    said = "\n".join(summary["notices"])
    for notice in case.notices:
        assert notice in said
    left = iter(reasons(run))
    for reason in case.in_order:
        assert reason in left, f"{reason} is missing, or not in its order"


def test_weights_are_what_the_router_does() -> None:
    """Between a weight and the next, the canary's share of the requests is the weight, within five standard errors."""
    run = play(GALLERY / "argo-istio.yaml")
    marks = [(e.time_s, e.data["weight"]) for e in run.record.events if e.reason == "WeightWritten" and e.time_s > 60.0]
    for (from_s, weight), (to_s, _) in pairwise(marks[:4]):
        routed = run.record.counts.routed[int(from_s) + 2 : int(to_s) - 1]
        total, new = int(routed[:, :2].sum()), int(routed[:, 1].sum())
        assert abs(new - weight * total) < 5.0 * (total * weight * (1.0 - weight)) ** 0.5


def test_pods_are_the_weight_without_a_router() -> None:
    """Five pods, setWeight 20 to 80: one, two, three, four of the new revision, then all (docs: basic canary)."""
    run = play(GALLERY / "argo-steps.yaml", "release.promote_at=3m")
    sizes = [e.data["size"] for e in run.record.events if e.reason == "ScaledNew" and e.time_s >= 60.0]
    assert sizes == [1, 2, 3, 4, 5]


def test_an_endless_pause_waits_for_a_human_and_says_so() -> None:
    run = play(GALLERY / "argo-steps.yaml")
    assert run.summary()["rollout"]["outcome"] == "progressing"
    said = "\n".join(run.summary()["notices"])
    assert "there is no promote_at: it will wait for ever" in said
    assert "the rollout was progressing when the run ended (Paused: CanaryPauseStep)" in said


def test_a_paused_rollout_stays_paused_when_it_is_released(tmp_path: Path) -> None:
    """spec.paused holds the new template back, until somebody resumes."""
    path = tmp_path / "rollout.yaml"
    text = (GALLERY / "argo-no-steps.yaml").read_text()
    path.write_text(text.replace("  replicas: 3\n", "  replicas: 3\n  paused: true\n"))
    run = play(path)
    assert run.summary()["rollout"]["outcome"] == "progressing"
    assert "(Paused: manually paused)" in run.summary()["notices"][-1]
    resumed = play(path, "release.pause_at=70s", "release.resume_at=3m")
    assert resumed.summary()["rollout"]["outcome"] == "complete"


def test_a_preview_that_nobody_asks_fails_its_analysis() -> None:
    """Upstream compares NaN with a successCondition, and NaN is no success: the rollout is aborted."""
    run = play(SHAPES / "argo_bluegreen.yaml", "release.promote_at=5m")
    assert run.summary()["rollout"]["outcome"] == "rolled back"
    assert "MeasurementFailed" in reasons(run)
    assert "nobody sends requests to the preview" in "\n".join(run.summary()["notices"])


def test_an_experiment_is_given_its_shares() -> None:
    run = play(GALLERY / "argo-experiment.yaml")
    began, ended = [e.time_s for e in run.record.events if e.reason == "WeightWritten" and e.time_s >= 60.0][:2]
    routed = run.record.counts.routed[int(began) + 2 : int(ended) - 1].sum(axis=0)
    for row in (2, 3):  # baseline, candidate: 5 % each
        assert abs(routed[row] - 0.05 * routed.sum()) < 5.0 * (0.05 * routed.sum()) ** 0.5


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("maxSurge: 50%", "maxSurge: 0", "maxSurge and maxUnavailable are both 0"),
        ("setWeight: 10\n", "setWeight: 110\n", "must be between 0 and 100"),
        ("      canaryService: catalogue-canary\n", "", "needs a canaryService"),
        ("pause: {duration: 90s}", "pause: {duration: soon}", "pause.duration"),
        ("templateName: slo", "templateName: sli", 'AnalysisTemplate "sli" is not'),
    ],
)
def test_what_the_controller_would_refuse_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], old: str, new: str, told: str
) -> None:
    text = (GALLERY / "argo-datadog.yaml").read_text()
    assert old in text
    path = tmp_path / "rollout.yaml"
    path.write_text(text.replace(old, new))
    assert zdsim(["run", "-f", str(path), "--rate", "50/s", "--json"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert told in err
    assert "rollout.yaml:" in err


def test_the_command_line_plays_a_rollout(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["run", "-f", str(GALLERY / "argo-no-steps.yaml"), "--rate", "50/s", "-s", "run.duration=4m", "--json"]
    assert zdsim(words) == 0
    summary = json.loads(capfd.readouterr().out)
    assert (summary["strategy"], summary["rollout"]["outcome"]) == (BY_PODS, "complete")


def test_several_manifests_on_the_command_line(capfd: pytest.CaptureFixture[str]) -> None:
    """A Rollout in one file, the Deployment it refers to in another, as kubectl takes them."""
    files = [SHAPES / "argo_workloadref.yaml", SHAPES / "argo_workloadref_deployment.yaml"]
    words = [word for file in files for word in ("-f", str(file))]
    assert zdsim(["run", *words, "--rate", "20/s", "--json", "--quiet"]) == 0
    assert json.loads(capfd.readouterr().out)["rollout"]["outcome"] == "complete"
