"""What the controller rejects, all at once, and what deserves a second look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zdsim.rollout.argo.spec import (
    BackgroundAnalysis,
    BlueGreenStrategy,
    CanaryStep,
    CanaryStrategy,
    Experiment,
    ExperimentTemplate,
    HeaderMatch,
    Pause,
    RolloutSpec,
    RouterKind,
    SetCanaryScale,
    SetHeaderRoute,
    SetMirrorRoute,
    SetWeight,
    TrafficRouting,
)
from zdsim.rollout.argo.validate import NoticeReason, SpecReason, notices, validate

BASIC = CanaryStrategy((SetWeight(20), Pause("1m")))
ROUTED = replace(BASIC, traffic_routing=TrafficRouting(managed_routes=("r",)))
NGINX = replace(ROUTED, traffic_routing=TrafficRouting(RouterKind.NGINX, ("r",), max_weight=1000))
ONE = (HeaderMatch("x", exact="1"),)


def with_steps(strategy: CanaryStrategy, *steps: CanaryStep) -> CanaryStrategy:
    return replace(strategy, steps=steps)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (BASIC, []),
        (ROUTED, []),
        (replace(BASIC, max_surge=0, max_unavailable="0%"), ["strategy.canary.maxSurge"]),
        (replace(BASIC, max_surge=0, max_unavailable="1%"), []),  # 1% of few pods is 0, but it is not written as 0
        (with_steps(BASIC, SetWeight(101)), ["strategy.canary.steps[0].setWeight"]),
        (with_steps(BASIC, SetWeight(-1)), ["strategy.canary.steps[0].setWeight"]),
        (with_steps(NGINX, SetWeight(1000)), []),
        (with_steps(NGINX, SetWeight(1001)), ["strategy.canary.steps[0].setWeight"]),
        (with_steps(BASIC, SetCanaryScale(replicas=1)), ["strategy.canary.steps[0].setCanaryScale"]),
        (with_steps(ROUTED, SetCanaryScale(replicas=1)), []),
        (replace(BASIC, scale_down_delay_s=10.0), ["strategy.canary.scaleDownDelaySeconds"]),
        (replace(BASIC, dynamic_stable_scale=True), ["strategy.canary.dynamicStableScale"]),
        (replace(ROUTED, dynamic_stable_scale=True), []),
        (replace(ROUTED, dynamic_stable_scale=True, scale_down_delay_s=10.0), ["strategy.canary.dynamicStableScale"]),
        (replace(ROUTED, canary_service="a", stable_service="a"), ["strategy.canary.stableService"]),
        (with_steps(ROUTED, SetHeaderRoute("r", ONE)), []),
        (with_steps(ROUTED, SetHeaderRoute("s", ONE)), ["strategy.canary.steps[0].setHeaderRoute.name"]),
        (with_steps(BASIC, SetHeaderRoute("r", ONE)), ["strategy.canary.steps[0].setHeaderRoute"]),
        (with_steps(NGINX, SetHeaderRoute("r", ONE)), ["strategy.canary.steps[0].setHeaderRoute"]),
        (with_steps(NGINX, SetMirrorRoute("r", 10)), ["strategy.canary.steps[0].setMirrorRoute"]),
        (with_steps(ROUTED, SetMirrorRoute("r", 10)), []),
        (replace(ROUTED, scale_down_delay_revision_limit=11), ["strategy.canary.scaleDownDelayRevisionLimit"]),
        (replace(ROUTED, scale_down_delay_revision_limit=10), []),
        (with_steps(BASIC, Pause("soon")), ["strategy.canary.steps[0].pause.duration"]),
        (with_steps(BASIC, Pause(-1)), ["strategy.canary.steps[0].pause.duration"]),
        (with_steps(BASIC, Pause("1h"), Pause("10"), Pause(0), Pause()), []),
        (
            with_steps(BASIC, Experiment((ExperimentTemplate("t", weight=5),), 60)),
            ["strategy.canary.steps[0].experiment.templates[0].weight"],
        ),
        (BlueGreenStrategy("a", "b"), []),
        (BlueGreenStrategy("a", "a"), ["strategy.blueGreen.activeService"]),
        (
            BlueGreenStrategy("a", "b", scale_down_delay_revision_limit=11),
            ["strategy.blueGreen.scaleDownDelayRevisionLimit"],
        ),
    ],
)
def test_rejected(strategy: CanaryStrategy | BlueGreenStrategy, expected: list[str]) -> None:
    assert [one.path for one in validate(RolloutSpec(strategy))] == expected


@pytest.mark.parametrize("router", RouterKind)
def test_routers_that_know_headers_and_mirrors(router: RouterKind) -> None:
    routing = TrafficRouting(router, ("r",))
    header = with_steps(replace(BASIC, traffic_routing=routing), SetHeaderRoute("r", ONE))
    mirror = with_steps(replace(BASIC, traffic_routing=routing), SetMirrorRoute("r"))
    able = {RouterKind.ISTIO, RouterKind.ALB, RouterKind.APISIX, RouterKind.PLUGIN}
    assert (validate(RolloutSpec(header)) == []) is (router in able)
    assert (validate(RolloutSpec(mirror)) == []) is (router in {RouterKind.ISTIO, RouterKind.PLUGIN})


def test_deadline_must_exceed_min_ready_and_all_problems_are_told() -> None:
    strategy = with_steps(BASIC, SetWeight(200), Pause("x"))
    found = validate(RolloutSpec(strategy, min_ready_s=600.0))
    assert [one.reason for one in found] == [
        SpecReason.MIN_READY_EXCEEDS_DEADLINE,
        SpecReason.WEIGHT_OUT_OF_RANGE,
        SpecReason.DURATION,
    ]
    assert "between 0 and 100; got 200" in found[1].message


def test_notices() -> None:
    strategy = replace(
        with_steps(BASIC, SetWeight(50), SetWeight(50), Pause(), Experiment()),
        max_surge=0,
        analysis=BackgroundAnalysis(starting_step=9),
    )
    spec = RolloutSpec(strategy, rollback_window_revisions=20)
    assert validate(spec) == []
    assert [one.reason for one in notices(spec)] == [
        NoticeReason.WINDOW_EXCEEDS_HISTORY,
        NoticeReason.WEIGHT_ROUNDS_TO_ALL,
        NoticeReason.WEIGHT_DOES_NOT_RISE,
        NoticeReason.WEIGHT_ROUNDS_TO_ALL,
        NoticeReason.NEEDS_HUMAN,
        NoticeReason.EXPERIMENT_NEVER_ENDS,
        NoticeReason.STARTING_STEP_NEVER_REACHED,
    ]
    blue_green = BlueGreenStrategy(
        "a", "b", auto_promotion_enabled=False, auto_promotion_s=5.0, preview_replica_count=3
    )
    assert [one.reason for one in notices(RolloutSpec(blue_green))] == [
        NoticeReason.NEEDS_HUMAN,
        NoticeReason.AUTO_PROMOTION_IGNORED,
        NoticeReason.PREVIEW_LARGER_THAN_REPLICAS,
    ]
    assert notices(RolloutSpec(BASIC, replicas=4)) == []
