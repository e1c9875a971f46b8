"""Flagger Canaries in manifests of different shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zdsim.errors import ScenarioError, Severity
from zdsim.scenario import Loaded, Scenario, load_scenario
from zdsim.scenario.analysis import Metric, Of
from zdsim.scenario.flagger import FlaggerCanary, FlaggerMode, WebhookType
from zdsim.scenario.played import measured

HERE = Path(__file__).parent / "manifests"
FLAGGER = ["flagger_istio", "flagger_stepweights", "flagger_ab", "flagger_kubernetes"]


def load(name: str, *changes: tuple[str, str]) -> Loaded:
    text = (HERE / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return load_scenario(None, manifest="c.yaml", manifest_text=text, rate="100/s")


def canary(loaded: Loaded) -> FlaggerCanary:
    assert loaded.scenario.flagger is not None
    return loaded.scenario.flagger


def said(loaded: Loaded, severity: Severity = Severity.WARNING) -> str:
    return "\n".join(f"{one.path}: {one.message}" for one in loaded.notices if one.severity is severity)


@pytest.mark.parametrize("name", FLAGGER)
def test_every_manifest_survives_json(name: str) -> None:
    scenario = load(name).scenario
    assert scenario.deployment.replicas == 4
    text = json.dumps(scenario.model_dump(mode="json"), allow_nan=False)
    assert Scenario.model_validate(json.loads(text)) == scenario


def test_a_progressive_canary_with_hooks() -> None:
    loaded = load("flagger_istio")
    found = canary(loaded)
    one = found.analysis
    assert found.mode is FlaggerMode.PROGRESSIVE
    assert (found.name, found.target_ref.name, found.progress_deadline_s) == ("podinfo", "podinfo", 60)
    assert (one.interval_s, one.threshold, one.max_weight, one.step_weight, one.step_weight_promotion) == (
        60.0, 10, 50, 5, 20,
    )  # fmt: skip
    assert [metric.bounds for metric in one.metrics] == [(99.0, None), (None, 500.0)]
    assert [hook.type for hook in one.webhooks] == [
        WebhookType.PRE_ROLLOUT, WebhookType.CONFIRM_PROMOTION, WebhookType.ROLLOUT,
    ]  # fmt: skip
    told = said(loaded, Severity.NOTICE)
    for part in (
        'webhooks[1]: confirm-promotion webhook "gate" is not called: the gate is open',
        'webhooks[2]: rollout webhook "load-test" is not called',
        "autoscalerRef: not simulated",
        "service.retries: not simulated",
        "service.trafficPolicy: not simulated",
    ):
        assert part in told


def test_the_builtin_metrics_are_known() -> None:
    loaded = load("flagger_istio")
    found = {one.name: one.as_ for _, one in measured(loaded.scenario)}
    success, duration = found["request-success-rate"], found["request-duration"]
    assert success is not None
    assert (success.metric, success.complement, success.scale, success.of) == (Metric.ERROR_RATE, True, 100.0, Of.NEW)
    assert duration is not None
    assert (duration.metric, duration.scale, duration.window_s) == (Metric.P99, 1000.0, 30.0)
    nginx = load("flagger_istio", ("  targetRef:", "  provider: nginx\n  targetRef:"))
    mean = {one.name: one.as_ for _, one in measured(nginx.scenario)}["request-duration"]
    assert mean is not None
    assert mean.metric is Metric.P50, "NGINX is asked for the mean: the median comes nearest"


def test_step_weights_mirror_affinity_and_templates() -> None:
    loaded = load("flagger_stepweights")
    found = canary(loaded)
    one = found.analysis
    assert (one.step_weights, one.mirror, one.mirror_weight) == ((1, 2, 10, 80), True, 50)
    assert (one.primary_ready_threshold, one.canary_ready_threshold) == (75, 50)
    assert one.session_affinity is not None
    assert one.session_affinity.max_age_s == 21_600
    assert [metric.name for metric in map(found.template, one.metrics) if metric is not None] == ["not-found", "errors"]
    errors = {m.name: m.as_ for _, m in measured(loaded.scenario)}["errors"]
    assert errors is not None
    assert (errors.metric, errors.complement, errors.scale, errors.of, errors.window_s) == (
        Metric.ERROR_RATE, False, 100.0, Of.NEW, 120.0,
    )  # fmt: skip
    assert 'metric "not-found-percentage" is not played: it asks datadog' in said(loaded)


def test_a_b_and_blue_green() -> None:
    found = canary(load("flagger_ab"))
    assert (found.mode, found.iterations, len(found.analysis.match)) == (FlaggerMode.AB_TESTING, 10, 2)
    assert found.analysis.metrics[0].bounds == (99.0, None), "the old threshold of a success rate is a least one"
    loaded = load("flagger_kubernetes")
    found = canary(loaded)
    assert (found.mode, found.iterations, found.analysis.interval_s) == (FlaggerMode.BLUE_GREEN, 10, 15.0)
    assert "canaryAnalysis is read as analysis" in said(loaded, Severity.NOTICE)
    without = load("flagger_ab", ("    match:\n      - headers", "    matches:\n      - headers"))
    assert canary(without).mode is FlaggerMode.BLUE_GREEN
    assert "did you mean 'match'?" in said(without)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("flagger_istio", "maxWeight: 50", "maxWeight: 150", "maxWeight: must be at most 100 percent, got 150"),
        ("flagger_istio", "interval: 1m\n    threshold", "interval: 60\n    threshold", 'write "60s"'),
        ("flagger_istio", "  analysis:", "  analisys:", "did you mean 'analysis'?"),
        ("flagger_istio", "type: pre-rollout", "type: pre-rolout", "did you mean 'pre-rollout'?"),
        (
            "flagger_istio",
            "Deployment, name: podinfo}",
            "Deployment, name: podinf}",
            'the Deployment "podinf" is not among',
        ),
        ("flagger_istio", "Deployment, name: podinfo}", "DaemonSet, name: podinfo}", "only Deployments are simulated"),
        ("flagger_stepweights", "templateRef: {name: errors}", "templateRef: {name: er}", 'MetricTemplate "er" is not'),
        ("flagger_stepweights", "[1, 2, 10, 80]", "[1, 2, 10, 800]", "stepWeights[3]: must be at most 100, got 800"),
    ],
)
def test_what_is_refused(name: str, old: str, new: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(name, (old, new))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("stepWeight: 5\n", "stepWeight: 20\n", "maxWeight 50 is a stop test, not a cap: the last weight is 60"),
        ("    stepWeight: 5\n", "", "the weight never rises, it will wait for ever"),
        ("interval: 1m\n    threshold", "interval: 5s\n    threshold", "taken as 10 s, Flagger's least interval"),
        ("skipAnalysis: false", "suspend: true", "the Canary is suspended"),
        ("thresholdRange: {min: 99}", "threshold: null", "has no thresholdRange"),
    ],
)
def test_what_is_warned_of(old: str, new: str, message: str) -> None:
    assert message in said(load("flagger_istio", (old, new)))
