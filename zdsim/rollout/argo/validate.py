"""Would the controller take this Rollout, and would it ever finish?

`validate` gives the verdicts of the controller: with one of them the Rollout is Degraded, reason InvalidSpec, and
nothing moves. All are told, though upstream reports the first. `notices` are ours: what is legal but hardly meant.

Source: pkg/apis/rollouts/validation/validation.go; a field's path is the one its author wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from zdsim.rollout.argo.spec import (
    Analysis,
    BlueGreenStrategy,
    CanaryStep,
    CanaryStrategy,
    Experiment,
    HeaderMatch,
    Pause,
    Plugin,
    RolloutSpec,
    RouterKind,
    SetCanaryScale,
    SetHeaderRoute,
    SetMirrorRoute,
    SetWeight,
)

__all__ = ["InvalidSpec", "Notice", "NoticeReason", "SpecReason", "notices", "validate"]


class SpecReason(StrEnum):
    """Why a Rollout is rejected."""

    REPLICAS = "InvalidReplicas"
    MIN_READY_EXCEEDS_DEADLINE = "MinReadyExceedsDeadline"
    NO_SURGE_NO_UNAVAILABLE = "NoSurgeAndNoUnavailable"
    SURGE_FORMAT = "InvalidIntOrPercent"
    WEIGHT_OUT_OF_RANGE = "WeightOutOfRange"
    DURATION = "InvalidDuration"
    NEEDS_TRAFFIC_ROUTING = "NeedsTrafficRouting"
    DELAY_WITH_DYNAMIC_SCALE = "DelayWithDynamicStableScale"
    SAME_SERVICE = "SameService"
    MISSING_SERVICE = "MissingService"
    ROUTE_NOT_MANAGED = "RouteNotManaged"
    ROUTER_CANNOT = "RouterCannot"
    HEADER_VALUE = "InvalidHeaderValue"
    DELAY_LIMIT_EXCEEDS_HISTORY = "DelayLimitExceedsHistory"
    MAX_WEIGHT = "MaxWeightNotSupported"
    NEGATIVE = "NegativeValue"


class NoticeReason(StrEnum):
    """What is legal but hardly meant."""

    WEIGHT_DOES_NOT_RISE = "WeightDoesNotRise"
    NEEDS_HUMAN = "NeedsHuman"
    STARTING_STEP_NEVER_REACHED = "StartingStepNeverReached"
    EXPERIMENT_NEVER_ENDS = "ExperimentNeverEnds"
    WEIGHT_ROUNDS_TO_ALL = "SinglePodCannotSplit"
    THRESHOLD_NEVER_MET = "ThresholdNeverMet"
    PREVIEW_LARGER_THAN_REPLICAS = "PreviewLargerThanReplicas"
    AUTO_PROMOTION_IGNORED = "AutoPromotionSecondsIgnored"
    WINDOW_EXCEEDS_HISTORY = "RollbackWindowExceedsHistory"


@dataclass(frozen=True, slots=True)
class InvalidSpec:
    """One thing that is wrong, with the path of the field under `spec`."""

    reason: SpecReason
    message: str
    path: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing worth a second look."""

    reason: NoticeReason
    message: str
    path: str


def validate(spec: RolloutSpec) -> list[InvalidSpec]:
    """Everything the controller rejects, in the order of the fields; empty = accepted."""
    return list(_spec(spec))


def _spec(spec: RolloutSpec) -> Iterator[InvalidSpec]:
    if spec.replicas < 0:
        yield InvalidSpec(SpecReason.REPLICAS, f"must not be negative; got {spec.replicas}", "replicas")
    if spec.min_ready_s < 0:
        yield InvalidSpec(SpecReason.NEGATIVE, f"must not be negative; got {spec.min_ready_s:g}", "minReadySeconds")
    if spec.progress_deadline_s <= spec.min_ready_s:
        yield InvalidSpec(
            SpecReason.MIN_READY_EXCEEDS_DEADLINE,
            f"must be greater than minReadySeconds ({spec.min_ready_s:g}); got {spec.progress_deadline_s:g}",
            "progressDeadlineSeconds",
        )
    match spec.strategy:
        case CanaryStrategy():
            yield from _canary(spec, spec.strategy)
        case BlueGreenStrategy():
            yield from _blue_green(spec, spec.strategy)
        case _:
            assert_never(spec.strategy)


def _blue_green(spec: RolloutSpec, strategy: BlueGreenStrategy) -> Iterator[InvalidSpec]:
    at = "strategy.blueGreen"
    if strategy.active_service == "":
        yield InvalidSpec(SpecReason.MISSING_SERVICE, "an active service is required", f"{at}.activeService")
    elif strategy.active_service == strategy.preview_service:
        message = f"must differ from the preview service; both are {strategy.active_service!r}"
        yield InvalidSpec(SpecReason.SAME_SERVICE, message, f"{at}.activeService")
    yield from _delay_limit(spec, strategy.scale_down_delay_revision_limit, at)


def _delay_limit(spec: RolloutSpec, limit: int | None, at: str) -> Iterator[InvalidSpec]:
    if limit is not None and limit > spec.revision_history_limit:
        yield InvalidSpec(
            SpecReason.DELAY_LIMIT_EXCEEDS_HISTORY,
            f"must not exceed revisionHistoryLimit ({spec.revision_history_limit}); got {limit}",
            f"{at}.scaleDownDelayRevisionLimit",
        )


def _canary(spec: RolloutSpec, strategy: CanaryStrategy) -> Iterator[InvalidSpec]:
    at = "strategy.canary"
    surge, unavailable = _number(strategy.max_surge), _number(strategy.max_unavailable)
    for value, field, given in (
        (surge, "maxSurge", strategy.max_surge),
        (unavailable, "maxUnavailable", strategy.max_unavailable),
    ):
        if value is None or value < 0:
            message = f"must be a number of pods or a percentage such as '25%'; got {given!r}"
            yield InvalidSpec(SpecReason.SURGE_FORMAT, message, f"{at}.{field}")
    if surge == 0 and unavailable == 0:
        message = "maxSurge and maxUnavailable must not both be 0"
        yield InvalidSpec(SpecReason.NO_SURGE_NO_UNAVAILABLE, message, f"{at}.maxSurge")
    if strategy.canary_service and strategy.canary_service == strategy.stable_service:
        message = f"must differ from the canary service; both are {strategy.stable_service!r}"
        yield InvalidSpec(SpecReason.SAME_SERVICE, message, f"{at}.stableService")
    routing = strategy.traffic_routing
    if routing is None:
        if strategy.scale_down_delay_s is not None:
            yield InvalidSpec(
                SpecReason.NEEDS_TRAFFIC_ROUTING,
                "a basic canary has no scale-down delay; needs trafficRouting",
                f"{at}.scaleDownDelaySeconds",
            )
        if strategy.dynamic_stable_scale:
            message = "needs trafficRouting"
            yield InvalidSpec(SpecReason.NEEDS_TRAFFIC_ROUTING, message, f"{at}.dynamicStableScale")
    else:
        if strategy.scale_down_delay_s is not None and strategy.dynamic_stable_scale:
            yield InvalidSpec(
                SpecReason.DELAY_WITH_DYNAMIC_SCALE,
                "cannot be used together with scaleDownDelaySeconds",
                f"{at}.dynamicStableScale",
            )
        if routing.max_weight is not None and routing.router not in (RouterKind.NGINX, RouterKind.PLUGIN):
            message = f"only nginx and plugins know a largest weight, not {routing.router}"
            yield InvalidSpec(SpecReason.MAX_WEIGHT, message, f"{at}.trafficRouting.maxTrafficWeight")
    yield from _delay_limit(spec, strategy.scale_down_delay_revision_limit, at)
    for index, step in enumerate(strategy.steps):
        yield from _step(strategy, step, f"{at}.steps[{index}]")


def _step(strategy: CanaryStrategy, step: CanaryStep, at: str) -> Iterator[InvalidSpec]:
    routing = strategy.traffic_routing
    match step:
        case SetWeight(weight):
            if not 0 <= weight <= strategy.max_weight:
                message = f"must be between 0 and {strategy.max_weight}; got {weight}"
                yield InvalidSpec(SpecReason.WEIGHT_OUT_OF_RANGE, message, f"{at}.setWeight")
        case Pause():
            seconds = step.duration_s
            if seconds is not None and seconds < 0:
                message = f"must be whole seconds, or a duration such as '90s', '10m', '1h'; got {step.duration!r}"
                yield InvalidSpec(SpecReason.DURATION, message, f"{at}.pause.duration")
        case SetCanaryScale():
            if routing is None:
                message = "without a router the pods are the weight; needs trafficRouting"
                yield InvalidSpec(SpecReason.NEEDS_TRAFFIC_ROUTING, message, f"{at}.setCanaryScale")
            if step.replicas is not None and step.replicas < 0:
                message = f"must not be negative; got {step.replicas}"
                yield InvalidSpec(SpecReason.NEGATIVE, message, f"{at}.setCanaryScale.replicas")
        case Experiment():
            yield from _experiment(strategy, step, f"{at}.experiment")
        case SetHeaderRoute():
            able = (RouterKind.ISTIO, RouterKind.ALB, RouterKind.APISIX, RouterKind.PLUGIN)
            yield from _route(strategy, step.name, able, f"{at}.setHeaderRoute")
            if routing is not None and routing.router in able:
                yield from _matches(step.match, routing.router, f"{at}.setHeaderRoute")
        case SetMirrorRoute():
            yield from _route(strategy, step.name, (RouterKind.ISTIO, RouterKind.PLUGIN), f"{at}.setMirrorRoute")
            if step.percentage is not None and not 0 <= step.percentage <= 100:
                message = f"must be between 0 and 100; got {step.percentage}"
                yield InvalidSpec(SpecReason.WEIGHT_OUT_OF_RANGE, message, f"{at}.setMirrorRoute.percentage")
        case Analysis() | Plugin():
            pass
        case _:
            assert_never(step)


def _experiment(strategy: CanaryStrategy, step: Experiment, at: str) -> Iterator[InvalidSpec]:
    routing = strategy.traffic_routing
    if step.duration is not None and (step.duration_s is None or step.duration_s < 0):
        message = f"must be whole seconds, or a duration such as '90s', '10m', '1h'; got {step.duration!r}"
        yield InvalidSpec(SpecReason.DURATION, message, f"{at}.duration")
    for index, template in enumerate(step.templates):
        if template.weight is None:
            continue
        path = f"{at}.templates[{index}].weight"
        if routing is None:
            yield InvalidSpec(SpecReason.NEEDS_TRAFFIC_ROUTING, "a weight needs trafficRouting", path)
        elif routing.router not in (RouterKind.SMI, RouterKind.ALB, RouterKind.ISTIO, RouterKind.PLUGIN):
            message = f"{routing.router} cannot weigh experiment templates; smi, alb, istio and plugins can"
            yield InvalidSpec(SpecReason.ROUTER_CANNOT, message, path)


def _route(strategy: CanaryStrategy, name: str, able: tuple[RouterKind, ...], at: str) -> Iterator[InvalidSpec]:
    routing = strategy.traffic_routing
    if routing is None:
        yield InvalidSpec(SpecReason.NEEDS_TRAFFIC_ROUTING, "needs trafficRouting", at)
        return
    if routing.router not in able:
        message = f"{routing.router} cannot do this; {', '.join(able)} can"
        yield InvalidSpec(SpecReason.ROUTER_CANNOT, message, at)
    if name not in routing.managed_routes:
        message = f"{name!r} is not listed in trafficRouting.managedRoutes"
        yield InvalidSpec(SpecReason.ROUTE_NOT_MANAGED, message, f"{at}.name")


def _matches(matches: tuple[HeaderMatch, ...], router: RouterKind, at: str) -> Iterator[InvalidSpec]:
    for index, match in enumerate(matches):
        path = f"{at}.match[{index}]"
        n_set = sum(value is not None for value in (match.exact, match.prefix, match.regex))
        if n_set != 1:
            message = f"exactly one of exact, prefix, regex must be set; got {n_set}"
            yield InvalidSpec(SpecReason.HEADER_VALUE, message, path)
        elif router is RouterKind.ALB and match.exact is None:
            yield InvalidSpec(SpecReason.HEADER_VALUE, "alb only matches exact values", path)


def _number(value: int | str) -> int | None:
    if isinstance(value, int):
        return value
    number = value.removesuffix("%")
    return int(number) if number != value and number.isascii() and number.isdecimal() else None


def notices(spec: RolloutSpec) -> list[Notice]:
    """What the controller takes, but which does little, waits for ever, or needs a human."""
    found: list[Notice] = []
    window = spec.rollback_window_revisions
    if window is not None and window > spec.revision_history_limit:
        message = f"reaches {window} revisions back, but only {spec.revision_history_limit} are kept"
        found.append(Notice(NoticeReason.WINDOW_EXCEEDS_HISTORY, message, "rollbackWindow.revisions"))
    match spec.strategy:
        case CanaryStrategy():
            found += _canary_notices(spec, spec.strategy)
        case BlueGreenStrategy():
            found += _blue_green_notices(spec, spec.strategy)
        case _:
            assert_never(spec.strategy)
    return found


def _canary_notices(spec: RolloutSpec, strategy: CanaryStrategy) -> Iterator[Notice]:
    at, last = "strategy.canary", 0
    for index, step in enumerate(strategy.steps):
        path = f"{at}.steps[{index}]"
        if isinstance(step, SetWeight):
            if index > 0 and step.weight <= last:
                message = f"weights should rise, but {step.weight} follows {last}"
                yield Notice(NoticeReason.WEIGHT_DOES_NOT_RISE, message, f"{path}.setWeight")
            last = step.weight
            split = 0 < step.weight < strategy.max_weight
            surge = max(_number(strategy.max_surge) or 0, 0)
            if strategy.traffic_routing is None and split and spec.replicas == 1 and surge == 0:
                message = f"one pod and no surge cannot serve {step.weight} %: it is all or nothing"
                yield Notice(NoticeReason.WEIGHT_ROUNDS_TO_ALL, message, f"{path}.setWeight")
        elif isinstance(step, Pause) and step.duration is None:
            yield Notice(NoticeReason.NEEDS_HUMAN, "waits until someone promotes", f"{path}.pause")
        elif isinstance(step, Experiment):
            ends = step.duration is not None or any(analysis.required_for_completion for analysis in step.analyses)
            if not ends:
                message = "no duration and no analysis that is required for completion: runs until terminated"
                yield Notice(NoticeReason.EXPERIMENT_NEVER_ENDS, message, f"{path}.experiment")
    if strategy.analysis is not None and strategy.analysis.starting_step > len(strategy.steps):
        message = f"there are only {len(strategy.steps)} steps"
        yield Notice(NoticeReason.STARTING_STEP_NEVER_REACHED, message, f"{at}.analysis.startingStep")
    threshold = strategy.replica_progress_threshold
    if threshold is not None and threshold.value > (100 if threshold.kind == "Percentage" else spec.replicas):
        message = f"{threshold.value:g} is more than there will ever be: no effect"
        yield Notice(NoticeReason.THRESHOLD_NEVER_MET, message, f"{at}.replicaProgressThreshold.value")


def _blue_green_notices(spec: RolloutSpec, strategy: BlueGreenStrategy) -> Iterator[Notice]:
    at = "strategy.blueGreen"
    if strategy.auto_promotion_enabled is False:
        yield Notice(NoticeReason.NEEDS_HUMAN, "waits until someone promotes", f"{at}.autoPromotionEnabled")
        if strategy.auto_promotion_s > 0:
            message = "ignored, because autoPromotionEnabled is false"
            yield Notice(NoticeReason.AUTO_PROMOTION_IGNORED, message, f"{at}.autoPromotionSeconds")
    count = strategy.preview_replica_count
    if count is not None and count > spec.replicas:
        message = f"{count} is more than replicas ({spec.replicas})"
        yield Notice(NoticeReason.PREVIEW_LARGER_THAN_REPLICAS, message, f"{at}.previewReplicaCount")
