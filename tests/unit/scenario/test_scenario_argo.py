"""Argo Rollouts in manifests of different shape: what is read, what its controller would refuse, what is not played."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from zdsim.errors import ScenarioError, Severity
from zdsim.scenario import Loaded, Scenario, load_scenario
from zdsim.scenario.analysis import Metric, Of
from zdsim.scenario.argo import ArgoBlueGreen, ArgoCanary, ArgoRollout, StepKind
from zdsim.scenario.argo_analysis import ArgoMetric, resolved
from zdsim.scenario.argo_routing import RouterKind
from zdsim.scenario.played import measured
from zdsim.scenario.schema import scenario_schema

HERE = Path(__file__).parent / "manifests"
ARGO = ["argo_basic", "argo_nginx_background", "argo_istio_routes", "argo_alb_steps", "argo_bluegreen"]


def load(name: str, *changes: tuple[str, str], over: tuple[str, ...] = ()) -> Loaded:
    text = (HERE / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return load_scenario(None, manifest="r.yaml", manifest_text=text, rate="100/s", overrides=over)


def refused(name: str, *changes: tuple[str, str]) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(name, *changes)
    return str(caught.value)


def rollout(loaded: Loaded) -> ArgoRollout:
    assert loaded.scenario.rollout is not None
    return loaded.scenario.rollout


def canary(loaded: Loaded) -> ArgoCanary:
    found = rollout(loaded).strategy.canary
    assert found is not None
    return found


def said(loaded: Loaded, severity: Severity = Severity.WARNING) -> str:
    return "\n".join(f"{one.path}: {one.message}" for one in loaded.notices if one.severity is severity)


@pytest.mark.parametrize("name", ARGO)
def test_every_manifest_survives_json(name: str) -> None:
    scenario = load(name).scenario
    text = json.dumps(scenario.model_dump(mode="json"), allow_nan=False)
    again = Scenario.model_validate(json.loads(text))
    assert again == scenario
    assert json.dumps(again.model_dump(mode="json")) == text


@pytest.mark.parametrize("name", ARGO)
def test_what_a_rollout_shares_with_a_deployment_is_the_deployment(name: str) -> None:
    web = load(name).scenario.deployment
    assert web.grace_s == 40
    assert web.readiness_probe is not None
    assert web.readiness_probe.period_s == 5
    assert web.pre_stop is not None
    assert web.pre_stop.known_s == 10.0


def test_a_basic_canary() -> None:
    loaded = load("argo_basic")
    web, found = loaded.scenario.deployment, canary(loaded)
    assert (web.name, web.replicas, web.min_ready_s, web.progress_deadline_s, web.revision_history_limit) == (
        "basic", 5, 10, 300, 2,
    )  # fmt: skip
    assert rollout(loaded).progress_deadline_abort
    assert (found.max_surge, found.max_unavailable, found.traffic_routing) == ("20%", 0, None)
    assert [one.set_weight for one in found.steps[::2]] == [20, 40, 60, 80]
    pauses = [one.pause.duration_s for one in found.steps if one.pause is not None]
    assert pauses == [3600, 90, 10, None], "Go durations, whole numbers, numbers as texts, and for ever"
    assert "steps[7].pause: needs a manual promotion, and there is no promote_at: it will wait for ever" in said(loaded)
    assert not said(load("argo_basic", over=("release.promote_at=5m",)))


def test_nginx_with_a_background_analysis() -> None:
    loaded = load("argo_nginx_background")
    found = canary(loaded)
    assert found.traffic_routing is not None
    assert found.traffic_routing.kind is RouterKind.NGINX
    assert (found.max_weight, found.min_pods_per_replica_set) == (1000, 2)
    assert (found.scale_down_delay_s, found.abort_scale_down_delay_s) == (60, 0)
    assert found.replica_progress_threshold is not None
    assert found.analysis is not None
    assert (found.analysis.starting_step, len(found.analysis.templates)) == (2, 2)
    metrics = resolved(found.analysis.templates, found.analysis.args, rollout(loaded).analysis_templates)
    assert [one.name for one in metrics] == ["success-rate", "p99-latency"]
    assert (metrics[0].count, metrics[0].interval_s, metrics[0].failure_limit) == (5, 60.0, 3)
    assert metrics[0].success_condition == "len(result) == 0 || result[0] >= 0.95"
    assert metrics[0].provider.query is not None
    assert "checkout-canary.shop.svc.cluster.local" in metrics[0].provider.query
    assert metrics[1].provider.query is not None
    assert 'rollouts_pod_template_hash="latest-hash"' in metrics[1].provider.query


def test_queries_that_are_recognised_are_told_as_assumed() -> None:
    loaded = load("argo_nginx_background")
    found = {one.name: one.as_ for _, one in measured(loaded.scenario)}
    success, latency = found["success-rate"], found["p99-latency"]
    assert success is not None
    assert (success.metric, success.complement, success.of, success.window_s) == (
        Metric.ERROR_RATE,
        True,
        Of.NEW,
        300.0,
    )
    assert latency is not None
    assert (latency.metric, latency.of, latency.window_s, latency.scale) == (Metric.P99, Of.NEW, 120.0, 1.0)
    told = "\n".join(loaded.assumed)
    assert "analysis.map.success-rate: 1 - error_rate of new, window 5m (read from its PromQL" in told


def test_routes_mirrors_and_scales() -> None:
    found = canary(load("argo_istio_routes"))
    assert found.dynamic_stable_scale
    kinds = [one.kind for one in found.steps]
    assert kinds[:6] == [
        StepKind.SET_CANARY_SCALE, StepKind.SET_MIRROR_ROUTE, StepKind.PAUSE, StepKind.SET_MIRROR_ROUTE,
        StepKind.SET_HEADER_ROUTE, StepKind.SET_CANARY_SCALE,
    ]  # fmt: skip
    header = found.steps[4].set_header_route
    assert header is not None
    assert (header.match[0].header_name, header.match[0].header_value.exact) == ("X-Insider", "yes")
    assert found.steps[7].set_canary_scale is not None
    assert found.steps[7].set_canary_scale.match_traffic_weight


def test_analyses_and_an_experiment_as_steps() -> None:
    loaded = load("argo_alb_steps")
    one, found = rollout(loaded), canary(loaded)
    assert one.rollback_window is not None
    assert one.rollback_window.revisions == 3
    experiment = found.steps[0].experiment
    assert experiment is not None
    assert (experiment.duration_s, [t.spec_ref for t in experiment.templates]) == (300, ["stable", "canary"])
    conditions = []
    for ref in one.analyses.values():
        conditions += [metric.failure_condition for metric in resolved(ref.templates, ref.args, one.analysis_templates)]
    assert sorted(filter(None, conditions)) == ["result[0] > 0.01", "result[0] > 0.02"]
    told = said(loaded)
    assert 'metric "smoke-test" is not played: it asks job; every measurement of it counts as successful' in told
    assert 'metric "health" is not played: it asks web' in told
    assert "steps[5].plugin: not simulated" in said(loaded, Severity.NOTICE)


def test_a_metric_that_cannot_be_asked_may_be_mapped() -> None:
    loaded = load(
        "argo_alb_steps", over=("analysis={map: {health: {metric: error_rate, scale: 100}, smoke-test: p99}}",)
    )
    assert "is not played" not in said(loaded)
    given = {one.name: one.as_ for _, one in measured(loaded.scenario) if one.given}
    assert given["health"] is not None
    assert given["health"].scale == 100.0
    assert 'no analysis has a metric "helth"' in said(load("argo_alb_steps", over=("analysis.map.helth=p99",)))


def test_blue_green() -> None:
    loaded = load("argo_bluegreen")
    found = rollout(loaded).strategy.blue_green
    assert isinstance(found, ArgoBlueGreen)
    assert (found.active_service, found.preview_service, found.preview_replica_count) == (
        "billing-active", "billing-preview", 1,
    )  # fmt: skip
    assert (found.auto_promotion_enabled, found.scale_down_delay_s) == (False, 120)
    whose = {one.as_.of for _, one in measured(loaded.scenario) if one.as_ is not None}
    assert whose == {Of.NEW, Of.ALL}, "the active service is whoever is active when it is asked"
    assert "autoPromotionEnabled: needs a manual promotion" in said(loaded)


def test_a_workload_ref_in_another_file(tmp_path: Path) -> None:
    scenario = tmp_path / "s.yaml"
    files = f"[{HERE / 'argo_workloadref.yaml'}, {HERE / 'argo_workloadref_deployment.yaml'}]"
    scenario.write_text(f"service: {{manifest: {files}}}\ntraffic: {{open: {{rate: 5/s}}}}\n")
    loaded = load_scenario(scenario)
    assert loaded.scenario.deployment.replicas == 3, "the Rollout's, not the Deployment's 0"
    assert loaded.scenario.deployment.grace_s == 40
    assert len(loaded.files) == 3
    both = (HERE / "argo_workloadref.yaml", HERE / "argo_workloadref_deployment.yaml")
    assert load_scenario(None, manifest=both, rate="5/s").scenario.rollout == loaded.scenario.rollout
    alone = refused("argo_workloadref")
    assert 'workloadRef: the Deployment "mail" is not among the given manifests' in alone


# Rollout validation, pkg/apis/rollouts/validation/validation.go
@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("argo_basic", 'maxSurge: "20%"', "maxSurge: 0", "maxSurge and maxUnavailable are both 0"),
        ("argo_basic", "setWeight: 20", "setWeight: 120", "steps[0].setWeight: must be between 0 and 100, got 120"),
        ("argo_basic", "setWeight: 20", "setCanaryScale: {replicas: 1}", "setCanaryScale: needs trafficRouting"),
        ("argo_basic", "      steps:", "      scaleDownDelaySeconds: 9\n      steps:", "scaleDownDelaySeconds needs"),
        ("argo_basic", "      steps:", "      dynamicStableScale: true\n      steps:", "dynamicStableScale needs"),
        ("argo_istio_routes", "dynamicStableScale: true", "dynamicStableScale: true\n      scaleDownDelaySeconds: 9",
         "dynamicStableScale and scaleDownDelaySeconds exclude each other"),
        ("argo_bluegreen", "previewService: billing-preview", "previewService: billing-active", "are both"),
        ("argo_bluegreen", "activeService: billing-active", "", "an activeService is needed"),
        ("argo_istio_routes", "{name: shadow}]", "{name: shade}]", '"shadow" is not listed in trafficRouting.managed'),
        ("argo_istio_routes", "istio:", "nginx:", "nginx cannot route by headers"),
        ("argo_nginx_background", "RevisionLimit: 2", "RevisionLimit: 11", "not be more than revisionHistoryLimit"),
        ("argo_basic", "duration: 1h", "duration: 1y", "pause.duration: unknown unit"),
        ("argo_basic", "duration: 90}", "duration: -1}", "must not be negative"),
        ("argo_nginx_background", "stableService: checkout-stable", "", "by nginx needs a stableService"),
        ("argo_alb_steps", "        alb:", "        maxTrafficWeight: 10\n        alb:", "only nginx and plugins"),
        ("argo_nginx_background", "templateName: latency", "templateName: late", 'AnalysisTemplate "late" is not'),
        ("argo_nginx_background", 'count: "5"', 'count: "2"', "count (2) must be at least failureLimit (3)"),
        ("argo_alb_steps", "      interval: 20s\n", "", "an interval is needed when count is more than 1"),
        ("argo_alb_steps", 'name: limit, value: "0.01"', 'name: limits, value: "1"', 'argument "limit" has no value'),
        ("argo_alb_steps", "specRef: stable", "specRef: old", "expected stable or canary"),
        ("argo_alb_steps", "- setWeight: 10", "- {setWeight: 10, pause: {}}", "got setWeight and pause"),
        ("argo_bluegreen", "    blueGreen:", "    canary: {}\n    blueGreen:", "both canary and blueGreen"),
        ("argo_bluegreen", "blueGreen:", "bluegreen:", "did you mean 'blueGreen'?"),
        ("argo_workloadref", "  strategy:", "  template: {spec: {}}\n  strategy:", "template and workloadRef exclude"),
    ],
)  # fmt: skip
def test_what_the_controller_would_refuse(name: str, old: str, new: str, message: str) -> None:
    text = refused(name, (old, new))
    assert message in text
    assert "r.yaml:" in text, "every problem has its place"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("setWeight: 60", "setWeight: 40", "steps[4].setWeight: weights should rise, but 40 follows 40"),
        ("setWeight: 20", "setWeight: 1", "shares of 5 pods come out only roughly: 1% is really 16.67%"),
    ],
)
def test_what_is_odd_is_warned_of(old: str, new: str, message: str) -> None:
    assert message in said(load("argo_basic", (old, new)))


def test_a_strategy_of_the_scenario_replaces_the_rollouts() -> None:
    loaded = load("argo_alb_steps", over=("release.strategy={kind: canary}",))
    assert "release.strategy: replaces the strategy of the Rollout" in said(loaded)
    assert "is not played" not in said(loaded)


def test_a_rollout_of_another_project_is_none() -> None:
    text = refused("argo_basic", ("apiVersion: argoproj.io/v1alpha1", "apiVersion: rollouts.kruise.io/v1beta1"))
    assert "no Deployment in it, only rollouts.kruise.io/v1beta1 Rollout/basic" in text


def test_a_rollout_written_into_the_scenario_fits_the_schema() -> None:
    scenario = load("argo_nginx_background").scenario
    assert scenario.rollout is not None
    document = {"rollout": json.loads(json.dumps(scenario.rollout.model_dump(mode="json", exclude_none=True)))}
    assert not list(jsonschema.Draft7Validator(scenario_schema()).iter_errors(document))


@pytest.mark.parametrize(
    ("condition", "column", "says"),
    [
        ("resutl[0] >= 0.95", 1, "unknown name"),
        ("result[0] >= ", 14, ""),
        ("result[0] => 0.95", 11, ""),
    ],
)
def test_a_condition_that_cannot_be_read_is_told_before_the_run(condition: str, column: int, says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ArgoMetric.model_validate(
            {"name": "rate", "successCondition": condition, "provider": {"prometheus": {"query": "up"}}}
        )
    assert f"column {column}" in str(refused.value)
    assert says in str(refused.value)


def test_a_condition_with_arguments_is_read_once_they_are_known() -> None:
    metric = {"name": "rate", "successCondition": "result[0] >= {{args.least}}", "provider": {"web": {}}}
    assert ArgoMetric.model_validate(metric).success_condition == "result[0] >= {{args.least}}"
