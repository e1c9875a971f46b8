"""How does an Argo Rollout of a manifest become what its controller plays here?

Field by field, with upstream's meaning. A metric of an AnalysisTemplate keeps its conditions and limits and is answered
by the simulated metric that stands for its query; one that nothing stands for counts as successful, and the scenario's
notices have said so.
"""

from __future__ import annotations

from typing import Final, assert_never

from zdsim.analysis.metric import DEFAULT_CONSECUTIVE_ERROR_LIMIT, Metric
from zdsim.rollout.argo import spec as argo
from zdsim.rollout.argo.spec import BlueGreenStrategy, CanaryStrategy
from zdsim.rollout.argo.state import ServiceRole
from zdsim.run.rollout_spec import ArgoMetricCheck, Check, Played
from zdsim.scenario import argo as words
from zdsim.scenario.argo import ArgoBlueGreen, ArgoCanary, ArgoRollout, StepKind
from zdsim.scenario.argo_analysis import AnalysisRef, ArgoMetric, resolved
from zdsim.scenario.model import Scenario
from zdsim.scenario.played import argo_measure

__all__ = ["argo_played"]

_PLUGIN: Final = "plugin"


def argo_played(scenario: Scenario, rollout: ArgoRollout) -> Played:
    """The Rollout of a manifest."""
    checks: dict[str, Check] = {}
    if rollout.strategy.canary is not None:
        return _canary(scenario, rollout, rollout.strategy.canary, checks)
    assert rollout.strategy.blue_green is not None, "a validated Rollout has one strategy"
    return _blue_green(scenario, rollout, rollout.strategy.blue_green, checks)


def _canary(scenario: Scenario, rollout: ArgoRollout, canary: ArgoCanary, checks: dict[str, Check]) -> Played:
    routing = canary.traffic_routing
    steps = tuple(_step(scenario, rollout, step, i, checks) for i, step in enumerate(canary.steps))
    background = None
    if canary.analysis is not None:
        checks["background"] = _check(scenario, rollout, canary.analysis)
        background = argo.BackgroundAnalysis(("background",), canary.analysis.starting_step or 0)
    threshold = canary.replica_progress_threshold
    return Played(
        name="Argo canary" if routing is not None else "Argo canary (replicas)",
        strategy=CanaryStrategy(
            steps=steps,
            max_surge=canary.max_surge,
            max_unavailable=canary.max_unavailable,
            traffic_routing=None
            if routing is None
            else argo.TrafficRouting(
                router=argo.RouterKind(routing.kind.value),
                managed_routes=tuple(one.name for one in routing.managed_routes),
                max_weight=routing.max_traffic_weight,
            ),
            canary_service=canary.canary_service or "",
            stable_service=canary.stable_service or "",
            dynamic_stable_scale=canary.dynamic_stable_scale,
            abort_scale_down_delay_s=_seconds(canary.abort_scale_down_delay_s),
            scale_down_delay_s=_seconds(canary.scale_down_delay_s),
            scale_down_delay_revision_limit=canary.scale_down_delay_revision_limit,
            min_pods_per_replica_set=canary.min_pods_per_replica_set,
            replica_progress_threshold=None
            if threshold is None
            else argo.ReplicaProgressThreshold(argo.ThresholdKind(threshold.type.value), float(threshold.value)),
            analysis=background,
        ),
        services=(ServiceRole.STABLE, ServiceRole.CANARY) if routing is not None else (),
        checks=checks,
        progress_deadline_abort=rollout.progress_deadline_abort,
        rollback_window=None if rollout.rollback_window is None else rollout.rollback_window.revisions,
    )


def _blue_green(
    scenario: Scenario, rollout: ArgoRollout, blue_green: ArgoBlueGreen, checks: dict[str, Check]
) -> Played:
    pre, post = blue_green.pre_promotion_analysis, blue_green.post_promotion_analysis
    if pre is not None:
        checks["pre"] = _check(scenario, rollout, pre)
    if post is not None:
        checks["post"] = _check(scenario, rollout, post)
    preview = (ServiceRole.PREVIEW,) if blue_green.preview_service else ()
    return Played(
        name="Argo blue-green",
        strategy=BlueGreenStrategy(
            active_service=blue_green.active_service,
            preview_service=blue_green.preview_service or "",
            auto_promotion_enabled=blue_green.auto_promotion_enabled,
            auto_promotion_s=float(blue_green.auto_promotion_s or 0),
            preview_replica_count=blue_green.preview_replica_count,
            pre_promotion=None if pre is None else ("pre",),
            post_promotion=None if post is None else ("post",),
            scale_down_delay_s=_seconds(blue_green.scale_down_delay_s),
            scale_down_delay_revision_limit=blue_green.scale_down_delay_revision_limit,
            abort_scale_down_delay_s=_seconds(blue_green.abort_scale_down_delay_s),
        ),
        services=(ServiceRole.ACTIVE, *preview),
        checks=checks,
        progress_deadline_abort=rollout.progress_deadline_abort,
        rollback_window=None if rollout.rollback_window is None else rollout.rollback_window.revisions,
    )


def _step(
    scenario: Scenario, rollout: ArgoRollout, step: words.ArgoStep, i: int, checks: dict[str, Check]
) -> argo.CanaryStep:
    match step.kind:
        case StepKind.SET_WEIGHT:
            assert step.set_weight is not None
            return argo.SetWeight(step.set_weight)
        case StepKind.PAUSE:
            assert step.pause is not None
            duration_s = step.pause.duration_s
            return argo.Pause(None if duration_s is None else int(duration_s))
        case StepKind.SET_CANARY_SCALE:
            scale = step.set_canary_scale
            assert scale is not None
            return argo.SetCanaryScale(scale.replicas, scale.weight, scale.match_traffic_weight)
        case StepKind.ANALYSIS:
            assert step.analysis is not None
            checks[f"step-{i}"] = _check(scenario, rollout, step.analysis)
            return argo.Analysis((f"step-{i}",))
        case StepKind.EXPERIMENT:
            assert step.experiment is not None
            return _experiment(scenario, rollout, step.experiment, i, checks)
        case StepKind.SET_HEADER_ROUTE:
            header = step.set_header_route
            assert header is not None
            matches = tuple(
                argo.HeaderMatch(
                    one.header_name, one.header_value.exact, one.header_value.prefix, one.header_value.regex
                )
                for one in header.match
            )
            return argo.SetHeaderRoute(header.name, matches)
        case StepKind.SET_MIRROR_ROUTE:
            mirror = step.set_mirror_route
            assert mirror is not None
            any_request = (argo.HeaderMatch("any", prefix=""),) if mirror.match or mirror.percentage else ()
            return argo.SetMirrorRoute(mirror.name, mirror.percentage, any_request)
        case StepKind.PLUGIN:
            return argo.Pause(0)  # not played: it succeeds at once
        case _:
            assert_never(step.kind)


def _experiment(
    scenario: Scenario, rollout: ArgoRollout, one: words.Experiment, i: int, checks: dict[str, Check]
) -> argo.Experiment:
    analyses = []
    for analysis in one.analyses:
        name = f"experiment-{i}-{analysis.name}"
        checks[name] = Check(argo=_metrics(scenario, rollout, analysis))
        analyses.append(argo.ExperimentAnalysis(analysis.name, name, analysis.required_for_completion))
    return argo.Experiment(
        templates=tuple(
            argo.ExperimentTemplate(template.name, argo.SpecRef(template.spec_ref), template.replicas, template.weight)
            for template in one.templates
        ),
        duration=None if one.duration_s is None else int(one.duration_s),
        analyses=tuple(analyses),
    )


def _check(scenario: Scenario, rollout: ArgoRollout, ref: AnalysisRef) -> Check:
    return Check(argo=_metrics(scenario, rollout, ref), dry_run=tuple(one.metric_name for one in ref.dry_run))


def _metrics(
    scenario: Scenario, rollout: ArgoRollout, ref: AnalysisRef | words.ExperimentAnalysis
) -> tuple[ArgoMetricCheck, ...]:
    return tuple(
        ArgoMetricCheck(_metric(metric), argo_measure(scenario, metric).as_)
        for metric in resolved(ref.templates, ref.args, rollout.analysis_templates)
    )


def _metric(metric: ArgoMetric) -> Metric:
    return Metric(
        name=metric.name,
        interval_s=_seconds(metric.interval_s),
        initial_delay_s=_seconds(metric.initial_delay_s),
        count=_number(metric.count, None),
        failure_limit=_number(metric.failure_limit, 0) or 0,
        inconclusive_limit=_number(metric.inconclusive_limit, 0) or 0,
        consecutive_error_limit=_number(metric.consecutive_error_limit, DEFAULT_CONSECUTIVE_ERROR_LIMIT) or 0,
        consecutive_success_limit=_number(metric.consecutive_success_limit, 0) or 0,
        success_condition=metric.success_condition or "",
        failure_condition=metric.failure_condition or "",
    )


def _number(value: int | str | None, default: int | None) -> int | None:
    """A count whose arguments are in place."""
    return default if value is None else int(value)


def _seconds(value: float | str | None) -> float | None:
    return None if value is None else float(value)
