"""Whole updates through `reconcile`, pass by pass, in an idealised cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from argo_world import World

from zdsim.rollout.argo import steps as human
from zdsim.rollout.argo.spec import (
    Analysis,
    BackgroundAnalysis,
    BlueGreenStrategy,
    CanaryStep,
    CanaryStrategy,
    HeaderMatch,
    Pause,
    RolloutSpec,
    SetCanaryScale,
    SetHeaderRoute,
    SetWeight,
    TrafficRouting,
)
from zdsim.rollout.argo.state import PauseReason, Reason, RolloutPhase, RunKind, RunPhase, ServiceRole

STEPS: tuple[CanaryStep, ...] = (SetWeight(20), Pause("30s"), SetWeight(50), Pause("30s"))
ROUTED = CanaryStrategy(STEPS, traffic_routing=TrafficRouting(), canary_service="canary", stable_service="stable")
BLUE_GREEN = BlueGreenStrategy("active", "preview")


def canary_world(strategy: CanaryStrategy, replicas: int = 10) -> World:
    world = World(RolloutSpec(strategy, template="v1", replicas=replicas))
    if strategy.traffic_routing is not None:
        world.services = {ServiceRole.STABLE: "", ServiceRole.CANARY: ""}
    world.deploy_first()
    return world


def blue_green_world(strategy: BlueGreenStrategy, replicas: int = 4) -> World:
    world = World(RolloutSpec(strategy, template="v1", replicas=replicas))
    world.services = {ServiceRole.ACTIVE: "", ServiceRole.PREVIEW: ""}
    world.deploy_first()
    return world


def to(world: World, template: str) -> None:
    world.update(replace(world.spec, template=template))


def weights(world: World, since: float) -> list[int]:
    """Weights written, in order."""
    return [done.weight for at, done in world.passes if at >= since and done.weight is not None]


def promoted_at(world: World, template: str) -> float:
    return next(at for at, done in world.passes if done.status.stable == template)


def test_first_revision_is_stable_before_it_is_available() -> None:
    world = World(RolloutSpec(CanaryStrategy(STEPS), template="v1", replicas=10))
    world.settle()
    assert (world.status.stable, world.status.step_index, world.size("v1")) == ("v1", 4, 10)
    assert world.view("v1").available == 0
    assert world.status.phase is RolloutPhase.PROGRESSING


def test_basic_canary_goes_through_its_steps_within_surge_and_unavailable() -> None:
    world = canary_world(CanaryStrategy(STEPS, max_surge=1, max_unavailable=0))
    start = world.now
    to(world, "v2")
    assert world.status.step_index == 0
    world.run(start + 21.0)
    assert (world.size("v2"), world.size("v1")) == (2, 8)
    assert world.status.phase is RolloutPhase.PAUSED
    world.run(start + 400.0)
    assert (world.size("v2"), world.size("v1")) == (10, 0)
    assert world.status.stable == "v2"
    assert world.status.phase is RolloutPhase.HEALTHY
    assert all(sum(sizes.values()) <= 11 for _, sizes in world.trail)
    assert weights(world, start) == []


def test_basic_canary_abort_rolls_back_and_retry_starts_again() -> None:
    world = canary_world(CanaryStrategy(STEPS, max_surge=1, max_unavailable=0))
    to(world, "v2")
    world.run(world.now + 30.0)
    world.act(human.abort)
    world.run(world.now + 60.0)
    assert (world.size("v2"), world.size("v1"), world.status.step_index) == (0, 10, 0)
    assert world.status.phase is RolloutPhase.DEGRADED
    world.act(human.retry)
    assert world.status.aborted_at_s is None
    assert world.status.phase is RolloutPhase.PROGRESSING
    world.run(world.now + 400.0)
    assert world.status.stable == "v2"


def test_routed_canary_raises_weights_after_pods_and_drops_the_old_set_after_its_delay() -> None:
    world = canary_world(ROUTED)
    start = world.now
    to(world, "v2")
    assert (world.size("v2"), world.size("v1"), world.weight) == (2, 10, 0)
    world.run(start + 10.0)  # both canary pods are available
    assert world.weight == 20
    world.run(start + 40.5)  # the pause ends strictly later than its 30 s
    assert world.size("v2") == 5
    assert world.weight == 20
    world.run(start + 400.0)
    # The last step's weight stays until the new set is whole; promotion then returns the canary service's share.
    assert weights(world, start) == [0, 20, 50, 100, 0]
    done = promoted_at(world, "v2")
    gone = next(at for at, sizes in world.trail if sizes["v1"] == 0)
    assert gone == pytest.approx(done + 30.0, abs=0.01)
    assert all(world.services[role] == "v2" for role in (ServiceRole.STABLE, ServiceRole.CANARY))
    assert max(sum(sizes.values()) for _, sizes in world.trail) == 20


def test_routed_canary_abort_takes_all_weight_at_once_and_the_pods_after_30_s() -> None:
    world = canary_world(ROUTED)
    to(world, "v2")
    world.run(world.now + 60.0)
    assert world.weight == 50
    start = world.now
    world.act(human.abort)
    assert world.weight == 0
    assert world.services[ServiceRole.CANARY] == "v1"
    assert world.status.step_index == 0
    assert world.status.phase is RolloutPhase.DEGRADED
    world.run(start + 29.9)
    assert world.size("v2") == 5
    world.run(start + 30.1)
    assert world.size("v2") == 0
    world.act(human.retry)
    world.run(world.now + 400.0)
    assert world.status.stable == "v2"


def test_the_abort_clock_starts_when_stable_is_whole() -> None:
    world = canary_world(ROUTED)
    to(world, "v2")
    world.run(world.now + 60.0)
    world.pods["rollout-v1"][0] = world.now  # one stable pod restarts
    start = world.now
    world.act(human.abort)
    world.run(start + 39.9)
    assert world.size("v2") == 5
    world.run(start + 40.1)
    assert world.size("v2") == 0


def test_a_canary_deadline_beyond_the_resync_does_not_hold() -> None:
    world = canary_world(replace(ROUTED, abort_scale_down_delay_s=1000.0))
    to(world, "v2")
    world.run(world.now + 60.0)
    world.act(human.abort)
    assert world.size("v2") == 0


@pytest.mark.parametrize(
    ("first", "left"), [((SetCanaryScale(replicas=1),), 1), ((), 0)], ids=["set-canary-scale", "weights-only"]
)
def test_abort_delay_0_keeps_pods_that_a_step_asks_for(first: tuple[CanaryStep, ...], left: int) -> None:
    """Issue 1841, and upstream's end-to-end test canary-unscaledownonabort."""
    world = canary_world(replace(ROUTED, steps=(*first, SetWeight(20), Pause()), abort_scale_down_delay_s=0.0))
    to(world, "v2")
    world.run(world.now + 60.0)
    world.act(human.abort)
    world.run(world.now + 300.0)
    assert world.size("v2") == left


def test_dynamic_stable_scale_moves_pods_with_the_weight_and_drops_old_at_once() -> None:
    world = canary_world(replace(ROUTED, dynamic_stable_scale=True))
    start = world.now
    to(world, "v2")
    world.run(start + 30.0)
    assert (world.size("v2"), world.size("v1"), world.weight) == (2, 8, 20)
    world.run(start + 400.0)
    assert (world.size("v2"), world.size("v1")) == (10, 0)
    gone = next(at for at, sizes in world.trail if at > start and sizes["v1"] == 0)
    assert gone <= promoted_at(world, "v2") + 1.0


def test_dynamic_stable_scale_aborts_as_stable_comes_back() -> None:
    world = canary_world(replace(ROUTED, dynamic_stable_scale=True))
    to(world, "v2")
    world.run(world.now + 60.0)
    assert (world.size("v2"), world.size("v1"), world.weight) == (5, 5, 50)
    start = world.now
    world.act(human.abort)
    assert world.weight == 50  # 5 stable pods cannot carry more
    assert world.size("v1") == 10 or world.size("v1") >= 5
    world.run(start + 200.0)
    written = weights(world, start)
    assert written == sorted(written, reverse=True)
    assert (world.weight, world.size("v1"), world.size("v2")) == (0, 10, 0)


def test_going_back_to_stable_in_mid_update_skips_the_steps() -> None:
    world = canary_world(ROUTED)
    to(world, "v2")
    world.run(world.now + 30.0)
    start = world.now
    to(world, "v1")
    assert world.weight == 0
    assert world.status.step_index == 4
    assert Reason.ROLLBACK_TO_STABLE in world.reasons()
    world.run(start + 100.0)
    assert (world.size("v1"), world.size("v2")) == (10, 0)
    assert world.status.phase is RolloutPhase.HEALTHY


def test_a_third_template_in_mid_update_drops_the_second() -> None:
    world = canary_world(ROUTED)
    to(world, "v2")
    world.run(world.now + 30.0)
    to(world, "v3")
    world.run(world.now + 20.0)
    assert (world.size("v1"), world.size("v2"), world.size("v3")) == (10, 0, 2)


@pytest.mark.parametrize(("window", "fast"), [(1, True), (None, False)])
def test_rollback_window_skips_steps_when_the_target_has_pods(window: int | None, fast: bool) -> None:
    world = canary_world(replace(ROUTED, scale_down_delay_s=300.0))
    world.spec = replace(world.spec, rollback_window_revisions=window)
    to(world, "v2")
    world.run(world.now + 150.0)
    assert world.status.stable == "v2"
    start = world.now
    to(world, "v1")
    world.run(start + 15.0)
    assert (world.status.stable == "v1") is fast
    assert (Reason.ROLLBACK_WITHIN_WINDOW in world.reasons()) is fast


def test_human_pause_waits_for_promote_and_promote_full_skips() -> None:
    world = canary_world(replace(ROUTED, steps=(SetWeight(20), Pause(), SetWeight(50), Pause(), SetWeight(80))))
    to(world, "v2")
    world.run(world.now + 2000.0)
    assert world.status.pause(PauseReason.CANARY_PAUSE_STEP) is not None
    assert world.status.step_index == 1
    world.act(partial(human.promote, n_steps=5))
    assert world.status.step_index == 2
    world.run(world.now + 20.0)
    assert (world.status.step_index, world.weight) == (3, 50)
    world.act(human.promote_full)
    assert world.status.stable == "v1"  # pods must still come
    world.run(world.now + 15.0)
    assert world.status.stable == "v2"


def test_inconclusive_analysis_pauses_and_the_resume_starts_another_run() -> None:
    world = canary_world(replace(ROUTED, steps=(SetWeight(20), Analysis(("t",)), SetWeight(50))))
    world.outcome[RunKind.STEP] = (RunPhase.INCONCLUSIVE, 5.0)
    to(world, "v2")
    world.run(world.now + 100.0)
    assert world.status.pause(PauseReason.INCONCLUSIVE_ANALYSIS) is not None
    assert (world.size("v2"), world.status.phase) == (2, RolloutPhase.PAUSED)
    world.outcome[RunKind.STEP] = (RunPhase.SUCCESSFUL, 5.0)
    world.act(partial(human.promote, n_steps=3))
    assert len(world.runs) == 2
    world.run(world.now + 100.0)
    assert world.status.stable == "v2"


@pytest.mark.parametrize("bad", [RunPhase.FAILED, RunPhase.ERROR])
def test_background_analysis_aborts(bad: RunPhase) -> None:
    world = canary_world(replace(ROUTED, analysis=BackgroundAnalysis(("t",), starting_step=1)))
    world.outcome[RunKind.BACKGROUND] = (bad, 20.0)
    start = world.now
    to(world, "v2")
    world.run(start + 9.0)
    assert world.runs == {}  # before its starting step
    world.run(start + 29.0)
    assert world.weight == 20
    world.run(start + 31.0)
    assert (world.weight, world.status.phase, world.status.step_index) == (0, RolloutPhase.DEGRADED, 0)
    world.outcome[RunKind.BACKGROUND] = (RunPhase.SUCCESSFUL, 1e9)
    world.act(human.retry)
    world.run(world.now + 20.0)
    assert len(world.runs) == 2
    world.run(world.now + 300.0)
    assert world.status.stable == "v2"
    assert all(run.phase.completed for run in world.runs.values())  # terminated on promotion


@pytest.mark.parametrize("aborts", [True, False])
def test_pods_that_never_come_exceed_the_deadline(aborts: bool) -> None:
    world = canary_world(ROUTED)
    world.broken.add("v2")
    world.spec = replace(world.spec, progress_deadline_abort=aborts)
    start = world.now
    to(world, "v2")
    world.run(start + 590.0)
    assert world.status.phase is RolloutPhase.PROGRESSING
    world.run(start + 700.0)
    assert world.status.phase is RolloutPhase.DEGRADED
    assert world.status.abort is aborts
    assert world.weight == 0
    world.broken.clear()
    world.settle()
    world.run(start + 1300.0)
    assert world.status.stable == ("v1" if aborts else "v2")


def test_header_route_is_written_and_removed() -> None:
    route = SetHeaderRoute("canary-users", (HeaderMatch("x-user", exact="me"),))
    routing = TrafficRouting(managed_routes=("canary-users",))
    world = canary_world(replace(ROUTED, steps=(SetWeight(10), route, Pause("10s")), traffic_routing=routing))
    assert all(done.set_route is None for _, done in world.passes)
    start = world.now
    to(world, "v2")
    world.run(start + 100.0)
    assert any(done.set_route == route for _, done in world.passes)
    assert world.passes[-1][1].remove_routes
    assert world.status.stable == "v2"


def test_user_pause_stops_everything() -> None:
    world = canary_world(ROUTED)
    world.update(replace(world.spec, template="v2", paused=True))
    world.run(world.now + 100.0)
    assert (world.size("v1"), world.size("v2")) == (10, 0)
    assert world.status.phase is RolloutPhase.PAUSED
    world.update(replace(world.spec, paused=False))
    world.run(world.now + 300.0)
    assert world.status.stable == "v2"


def test_changed_replicas_are_set_before_anything_else() -> None:
    world = canary_world(ROUTED)
    to(world, "v2")
    world.run(world.now + 30.0)
    world.update(replace(world.spec, replicas=20))
    assert (world.size("v1"), world.size("v2")) == (20, 4)
    assert Reason.SCALING_EVENT in world.reasons()


def test_an_invalid_spec_moves_nothing() -> None:
    world = canary_world(ROUTED)
    world.update(replace(world.spec, template="v2", strategy=replace(ROUTED, steps=(SetWeight(200),))))
    assert world.status.phase is RolloutPhase.DEGRADED
    assert world.status.message.startswith("InvalidSpec")
    assert list(world.sets) == ["rollout-v1"]


# -- blue-green


def test_blue_green_runs_both_whole_and_switches_once() -> None:
    world = blue_green_world(BLUE_GREEN)
    start = world.now
    to(world, "v2")
    assert world.services == {ServiceRole.ACTIVE: "v1", ServiceRole.PREVIEW: "v2"}  # preview at once, no pod ready
    assert (world.size("v1"), world.size("v2")) == (4, 4)
    world.run(start + 10.0)
    assert world.services[ServiceRole.ACTIVE] == "v2"
    assert world.status.stable == "v2"
    world.run(start + 39.9)
    assert world.size("v1") == 4
    world.run(start + 40.1)
    assert world.size("v1") == 0
    assert world.status.phase is RolloutPhase.HEALTHY


def test_blue_green_pause_starts_after_the_pre_promotion_run() -> None:
    world = blue_green_world(replace(BLUE_GREEN, auto_promotion_s=60.0, pre_promotion=("t",)))
    start = world.now
    to(world, "v2")
    world.run(start + 14.9)
    assert world.status.pauses == ()
    world.run(start + 15.1)  # 10 s to available, 5 s of analysis
    pause = world.status.pause(PauseReason.BLUE_GREEN_PAUSE)
    assert pause is not None
    assert pause.start_s == pytest.approx(start + 15.0)
    world.run(start + 74.9)
    assert world.services[ServiceRole.ACTIVE] == "v1"
    world.run(start + 75.1)
    assert world.services[ServiceRole.ACTIVE] == "v2"


def test_blue_green_without_auto_promotion_waits_for_a_human() -> None:
    world = blue_green_world(replace(BLUE_GREEN, auto_promotion_enabled=False, auto_promotion_s=5.0))
    to(world, "v2")
    world.run(world.now + 5000.0)
    assert world.services[ServiceRole.ACTIVE] == "v1"
    assert world.status.phase is RolloutPhase.PAUSED
    world.act(partial(human.promote, n_steps=0))
    assert (world.services[ServiceRole.ACTIVE], world.status.stable) == ("v2", "v2")


def test_blue_green_preview_count_grows_at_the_check_point() -> None:
    strategy = replace(BLUE_GREEN, preview_replica_count=1, auto_promotion_s=20.0, pre_promotion=("t",))
    world = blue_green_world(strategy)
    start = world.now
    to(world, "v2")
    world.run(start + 35.0)
    assert (world.size("v1"), world.size("v2")) == (4, 1)
    world.run(start + 35.5)  # 10 available + 5 analysis + 20 pause
    assert world.size("v2") == 4
    assert world.services[ServiceRole.ACTIVE] == "v1"
    world.run(start + 46.0)
    assert world.services[ServiceRole.ACTIVE] == "v2"
    assert Reason.CHECK_POINT in world.reasons()


@pytest.mark.parametrize("kind", [RunKind.PRE_PROMOTION, RunKind.POST_PROMOTION])
def test_blue_green_failed_analysis_leaves_or_returns_traffic_to_stable(kind: RunKind) -> None:
    world = blue_green_world(replace(BLUE_GREEN, pre_promotion=("t",), post_promotion=("t",)))
    world.outcome[kind] = (RunPhase.FAILED, 5.0)
    start = world.now
    to(world, "v2")
    world.run(start + 25.0)
    assert world.services[ServiceRole.ACTIVE] == "v1"
    assert (world.status.stable, world.status.phase) == ("v1", RolloutPhase.DEGRADED)
    assert world.size("v1") == 4
    world.run(start + 60.0)
    assert world.size("v2") == 0
    world.outcome.clear()
    world.act(human.retry)
    world.run(world.now + 100.0)
    assert world.status.stable == "v2"


def test_blue_green_post_promotion_holds_promotion() -> None:
    world = blue_green_world(replace(BLUE_GREEN, post_promotion=("t",)))
    world.outcome[RunKind.POST_PROMOTION] = (RunPhase.SUCCESSFUL, 100.0)
    start = world.now
    to(world, "v2")
    world.run(start + 109.0)
    assert (world.services[ServiceRole.ACTIVE], world.status.stable, world.size("v1")) == ("v2", "v1", 4)
    world.run(start + 111.0)
    assert world.status.stable == "v2"
    world.run(start + 150.0)
    assert world.size("v1") == 0


def test_blue_green_abort_after_the_switch_waits_until_the_new_set_is_whole() -> None:
    world = blue_green_world(replace(BLUE_GREEN, post_promotion=("t",)))
    world.outcome[RunKind.POST_PROMOTION] = (RunPhase.SUCCESSFUL, 1e6)
    to(world, "v2")
    world.run(world.now + 20.0)
    assert world.services[ServiceRole.ACTIVE] == "v2"
    world.broken.add("v2")  # all its pods crash
    world.act(human.abort)
    world.run(world.now + 500.0)
    assert world.services[ServiceRole.ACTIVE] == "v2"
    assert Reason.ACTIVE_NOT_SATURATED in world.reasons()
    world.broken.clear()
    world.settle()
    assert world.services[ServiceRole.ACTIVE] == "v1"


@pytest.mark.parametrize(("after_s", "fast"), [(20.0, True), (60.0, False)])
def test_blue_green_going_back_within_the_delay_is_fast(after_s: float, fast: bool) -> None:
    strategy = replace(BLUE_GREEN, auto_promotion_enabled=False, pre_promotion=("t",))
    world = blue_green_world(strategy)
    to(world, "v2")
    world.run(world.now + 20.0)
    world.act(partial(human.promote, n_steps=0))
    assert world.status.stable == "v2"
    world.run(world.now + after_s)
    n_runs = len(world.runs)
    to(world, "v1")
    assert (world.services[ServiceRole.ACTIVE] == "v1") is fast
    world.run(world.now + 30.0)
    assert (len(world.runs) == n_runs) is fast


@pytest.mark.parametrize("make", [lambda: canary_world(ROUTED), lambda: blue_green_world(BLUE_GREEN)])
def test_the_same_world_gives_the_same_passes(make: Callable[[], World]) -> None:
    worlds = make(), make()
    for world in worlds:
        to(world, "v2")
        world.run(world.now + 200.0)
    assert worlds[0].passes == worlds[1].passes
