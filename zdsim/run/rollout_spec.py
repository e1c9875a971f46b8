"""How does a strategy in a tool's or in nobody's words become the spec of a Rollout?

Generic canaries and blue-greens are played by the arithmetic of Argo Rollouts, the best documented of all: a canary is
a list of its steps, weights in hundredths of a percent. What an analysis is called here is a name; what it measures
stands in `analyses`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never

from zdsim.analysis.metric import Metric
from zdsim.rollout.argo import spec as argo
from zdsim.rollout.argo.spec import RESYNC_S, BlueGreenStrategy, CanaryStrategy, RolloutSpec, RouterKind
from zdsim.rollout.argo.state import ServiceRole
from zdsim.scenario import strategy as words
from zdsim.scenario.analysis import Analysis, MappedMetric
from zdsim.scenario.deployment import NO_DEADLINE, Deployment
from zdsim.scenario.laws import AnyLaw
from zdsim.scenario.model import Scenario
from zdsim.scenario.strategy import BlueGreen, Canary, PromotionKind, Recreate, Rolling, Smoke, Split, StepKind

__all__ = ["MAX_WEIGHT", "ArgoMetricCheck", "Check", "Played", "blue_green_spec", "canary_spec", "played_of"]

MAX_WEIGHT: Final = 10_000  # of a generic canary: hundredths of a percent
FOREVER_S: Final = 1e9
AT_ONCE_S: Final = 1e-3
LONGEST_S: Final = RESYNC_S - 1.0  # that a canary's pods stay after an abort
ROUTE: Final = "segment"
MIRROR: Final = "mirror"


@dataclass(frozen=True, slots=True)
class ArgoMetricCheck:
    """A metric of an AnalysisTemplate and what answers its query; None: every measurement is successful."""

    metric: Metric
    answer: MappedMetric | None


@dataclass(frozen=True, slots=True)
class Check:
    """What a named analysis does: a smoke test first, then measurements, for at most so long.

    The measurements are a generic `analysis`, or the metrics of AnalysisTemplates (`argo`).
    """

    analysis: Analysis | None = None
    smoke: Smoke | None = None
    argo: tuple[ArgoMetricCheck, ...] = ()
    dry_run: tuple[str, ...] = ()
    until_s: float | None = None  # successful then, if nothing was wrong; None = as long as it takes


@dataclass(frozen=True, slots=True)
class Played:
    """A strategy as it is played.

    Attributes:
        services: roles that the strategy uses.
        checks: by the name in the spec.
        match: whom a managed header route means; None where nobody said.
    """

    name: str
    strategy: CanaryStrategy | BlueGreenStrategy
    services: tuple[ServiceRole, ...] = ()
    checks: Mapping[str, Check] = field(default_factory=dict)
    match: words.Match | None = None
    progress_deadline_abort: bool = False
    rollback_window: int | None = None
    switch_lag: AnyLaw | None = None  # before the routers' own, for a switch of the active service

    @property
    def max_weight(self) -> int:
        """The weight that stands for all requests."""
        return self.strategy.max_weight if isinstance(self.strategy, CanaryStrategy) else argo.MAX_WEIGHT

    @property
    def routed(self) -> bool:
        """Does a router split the requests by revision?"""
        return isinstance(self.strategy, CanaryStrategy) and self.strategy.traffic_routing is not None

    def spec(self, deployment: Deployment, template: str) -> RolloutSpec:
        """The Rollout that asks for `template`."""
        deadline = deployment.progress_deadline_s
        return RolloutSpec(
            strategy=self.strategy,
            template=template,
            name=deployment.name,
            replicas=deployment.replicas,
            min_ready_s=float(deployment.min_ready_s),
            progress_deadline_s=FOREVER_S if deadline == NO_DEADLINE else float(deadline),
            progress_deadline_abort=self.progress_deadline_abort,
            rollback_window_revisions=self.rollback_window,
            revision_history_limit=deployment.revision_history_limit,
        )


def played_of(scenario: Scenario) -> Played | None:
    """How the scenario's strategy is played as a Rollout; None for what a Deployment does by itself."""
    strategy = scenario.release.strategy if scenario.release is not None else None
    match strategy:
        case Canary():
            return canary_spec(strategy, scenario.deployment.replicas)
        case BlueGreen():
            return blue_green_spec(strategy)
        case Rolling() | Recreate():
            return None
        case None if scenario.rollout is not None:
            from zdsim.run.argo_spec import argo_played  # it is built on this module

            return argo_played(scenario, scenario.rollout)
        case None:
            return None
        case _:
            assert_never(strategy)


def canary_spec(canary: Canary, replicas: int) -> Played:
    """A generic canary as a list of Argo's steps.

    Its background analysis begins when the first weight from `start_step` on is reached: before that, nothing of the
    new revision could be measured.

    Args:
        replicas: of the Deployment; a pod of an experiment gets as many requests as any of them.
    """
    routed = canary.split is Split.ROUTER
    checks: dict[str, Check] = {}
    steps: list[argo.CanaryStep] = []
    if canary.match is not None:
        steps += [argo.SetCanaryScale(replicas=canary.min_pods), argo.SetHeaderRoute(ROUTE, (_MARKED,))]
    if canary.mirror is not None:
        percentage = max(1, round(canary.mirror.share * 100))
        hold_s = canary.hold_s if canary.mirror.hold_s is None else canary.mirror.hold_s
        steps += [
            argo.SetCanaryScale(replicas=canary.min_pods),
            argo.SetMirrorRoute(MIRROR, percentage, (_MARKED,)),
            argo.Pause(math.ceil(hold_s)),
            argo.SetMirrorRoute(MIRROR),
        ]
    if steps:
        steps.append(argo.SetCanaryScale(match_traffic_weight=True))
    begins = []  # where each generic step begins
    for i, step in enumerate(canary.steps):
        begins.append(len(steps))
        steps += _canary_steps(step, i, checks, replicas if routed else None)
    background = None
    if canary.analysis is not None:
        checks["background"] = Check(canary.analysis)
        begin = [*begins, len(steps)][canary.start_step]
        reached = (k + 1 for k in range(begin, len(steps)) if isinstance(steps[k], argo.SetWeight))
        background = argo.BackgroundAnalysis(("background",), next(reached, begin))
    routing = argo.TrafficRouting(RouterKind.PLUGIN, (ROUTE, MIRROR), MAX_WEIGHT) if routed else None
    return Played(
        name="canary" if routed else "canary (replicas)",
        strategy=CanaryStrategy(
            steps=tuple(steps),
            max_surge=canary.max_surge,
            max_unavailable=canary.max_unavailable,
            traffic_routing=routing,
            canary_service="canary" if routed else "",
            stable_service="stable" if routed else "",
            dynamic_stable_scale=canary.dynamic_stable_scale,
            abort_scale_down_delay_s=_abort_delay_s(canary.abort_scale_down_s, longest_s=LONGEST_S) if routed else None,
            scale_down_delay_s=canary.scale_down_delay_s if routed and not canary.dynamic_stable_scale else None,
            min_pods_per_replica_set=canary.min_pods if routed else None,
            analysis=background,
        ),
        services=(ServiceRole.STABLE, ServiceRole.CANARY) if routed else (),
        checks=checks,
        match=canary.match,
    )


_MARKED = argo.HeaderMatch("x-zdsim", exact="marked")


def _canary_steps(
    step: words.CanaryStep, i: int, checks: dict[str, Check], replicas: int | None
) -> tuple[argo.CanaryStep, ...]:
    """Argo's steps for one step; `replicas` = of the Deployment where a router splits the requests, else None."""
    most = argo.MAX_WEIGHT if replicas is None else MAX_WEIGHT
    match step.kind:
        case StepKind.WEIGHT:
            assert step.weight is not None
            weight = argo.SetWeight(round(step.weight * most))
            last = weight.weight == most
            return (weight,) if last or not step.hold_s else (weight, argo.Pause(math.ceil(step.hold_s)))
        case StepKind.PAUSE:
            assert step.pause is not None
            duration_s = step.pause.duration_s
            return (argo.Pause(None if duration_s is None else math.ceil(duration_s)),)
        case StepKind.SCALE:
            scale = step.scale
            assert scale is not None
            weight_of = None if scale.weight is None else round(scale.weight * most)
            return (argo.SetCanaryScale(scale.replicas, weight_of, scale.match),)
        case StepKind.ANALYSIS:
            checks[f"step-{i}"] = Check(step.analysis)
            return (argo.Analysis((f"step-{i}",)),)
        case StepKind.EXPERIMENT:
            one = step.experiment
            assert one is not None
            checks[f"experiment-{i}"] = Check(one.analysis)
            share = None if replicas is None else round(most * one.replicas / (replicas + 2 * one.replicas))
            return (
                argo.Experiment(
                    templates=(
                        argo.ExperimentTemplate("baseline", argo.SpecRef.STABLE, one.replicas, share),
                        argo.ExperimentTemplate("canary", argo.SpecRef.CANARY, one.replicas, share),
                    ),
                    duration=None if one.duration_s is None else math.ceil(one.duration_s),
                    analyses=(argo.ExperimentAnalysis(f"experiment-{i}", f"experiment-{i}", one.duration_s is None),),
                ),
            )
        case _:
            assert_never(step.kind)


def _abort_delay_s(written_s: float | None, *, longest_s: float | None = None) -> float:
    """How long new pods stay after an abort in Argo's words, where 0 means for ever.

    Not so for a canary with weights, nor for a deadline beyond Argo's resync (`lifecycle.deadline_after_abort`): its
    pods would go at once. `longest_s`, just below, is then the nearest to for ever.
    """
    if written_s is None:
        return longest_s or 0.0
    return max(min(written_s, longest_s or written_s), AT_ONCE_S)


def blue_green_spec(blue_green: BlueGreen) -> Played:
    """A generic blue-green as Argo plays it; the smoke test belongs to the analysis before the switch."""
    checks: dict[str, Check] = {}
    pre, post = blue_green.analysis.pre, blue_green.analysis.post
    if pre is not None or blue_green.smoke is not None:
        checks["pre"] = Check(pre, blue_green.smoke)
    if post is not None or blue_green.confidence_s > 0.0:
        checks["post"] = Check(post, until_s=blue_green.confidence_s or None)
    promotion = blue_green.promotion
    return Played(
        name="blue-green",
        strategy=BlueGreenStrategy(
            active_service="active",
            preview_service="preview",
            auto_promotion_enabled=promotion.kind is not PromotionKind.MANUAL,
            auto_promotion_s=promotion.after_s if promotion.kind is PromotionKind.AFTER else 0.0,
            preview_replica_count=blue_green.preview_replicas,
            pre_promotion=("pre",) if "pre" in checks else None,
            post_promotion=("post",) if "post" in checks else None,
            scale_down_delay_s=FOREVER_S if blue_green.keep_old_s is None else blue_green.keep_old_s,
            abort_scale_down_delay_s=_abort_delay_s(blue_green.abort_scale_down_s),
        ),
        services=(ServiceRole.ACTIVE, ServiceRole.PREVIEW),
        checks=checks,
        switch_lag=blue_green.switch_lag,
    )
