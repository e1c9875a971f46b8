"""What holds for every update, whatever humans and pods do."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from argo_world import World
from hypothesis import given, settings
from hypothesis import strategies as st

from zdsim.rollout.argo import steps as human
from zdsim.rollout.argo.spec import (
    Analysis,
    BackgroundAnalysis,
    BlueGreenStrategy,
    CanaryStep,
    CanaryStrategy,
    Pause,
    RolloutSpec,
    SetCanaryScale,
    SetWeight,
    TrafficRouting,
    max_surge,
)
from zdsim.rollout.argo.state import Reason, RolloutPhase, RunKind, RunPhase, ServiceRole
from zdsim.rollout.argo.validate import validate

ANY_STEP: st.SearchStrategy[CanaryStep] = st.one_of(
    st.builds(SetWeight, st.integers(0, 100)),
    st.builds(Pause, st.sampled_from([None, 0, 15, "30s"])),
    st.just(Analysis(("t",))),
)
ROUTED_STEP = ANY_STEP | st.builds(SetCanaryScale, replicas=st.integers(0, 5))
DELAY = st.sampled_from([None, 0.0, 20.0, 2000.0])
CANARY = st.builds(
    CanaryStrategy,
    st.lists(ANY_STEP, max_size=5).map(tuple),
    max_surge=st.integers(1, 3),
    max_unavailable=st.integers(0, 3),
    analysis=st.none() | st.builds(BackgroundAnalysis, st.just(("t",)), st.integers(0, 3)),
)
ROUTED = st.builds(
    CanaryStrategy,
    st.lists(ROUTED_STEP, max_size=5).map(tuple),
    traffic_routing=st.just(TrafficRouting()),
    dynamic_stable_scale=st.booleans(),
    abort_scale_down_delay_s=DELAY,
    min_pods_per_replica_set=st.sampled_from([None, 2]),
    analysis=st.none() | st.builds(BackgroundAnalysis, st.just(("t",)), st.integers(0, 3)),
)
BLUE_GREEN = st.builds(
    BlueGreenStrategy,
    st.just("active"),
    st.just("preview"),
    auto_promotion_enabled=st.sampled_from([None, False]),
    auto_promotion_s=st.sampled_from([0.0, 25.0]),
    preview_replica_count=st.sampled_from([None, 1]),
    pre_promotion=st.sampled_from([None, ("t",)]),
    post_promotion=st.sampled_from([None, ("t",)]),
    scale_down_delay_s=DELAY,
    abort_scale_down_delay_s=DELAY,
)
ACTION = st.sampled_from(
    ["promote", "full", "abort", "retry", "v1", "v2", "v3", "crash", "heal", "more", "fewer", "pause", "go"]
)
STORY = st.lists(st.tuples(ACTION, st.sampled_from([0.0, 3.0, 12.0, 40.0, 700.0])), max_size=8)
PHASE = st.sampled_from([RunPhase.SUCCESSFUL, RunPhase.SUCCESSFUL, RunPhase.FAILED, RunPhase.INCONCLUSIVE])


def live(world: World, action: str) -> None:
    spec = world.spec
    match action:
        case "promote":
            world.act(partial(human.promote, n_steps=len(spec.steps)))
        case "full":
            world.act(human.promote_full)
        case "abort":
            world.act(human.abort)
        case "retry":
            world.act(human.retry)
        case "crash":
            world.broken.add(spec.template)
            world.settle()
        case "heal":
            world.broken.clear()
            world.settle()
        case "more":
            world.update(replace(spec, replicas=6))
        case "fewer":
            world.update(replace(spec, replicas=2))
        case "pause":
            world.update(replace(spec, paused=True))
        case "go":
            world.update(replace(spec, paused=False))
        case _:
            world.update(replace(spec, template=action))


def tell(
    strategy: CanaryStrategy | BlueGreenStrategy, story: list[tuple[str, float]], outcome: RunPhase, window: int | None
) -> World:
    spec = RolloutSpec(strategy, template="v0", replicas=4, rollback_window_revisions=window)
    if isinstance(strategy, CanaryStrategy) and strategy.dynamic_stable_scale:
        strategy = replace(strategy, scale_down_delay_s=None)
    assert validate(spec) == []
    world = World(spec)
    if isinstance(strategy, BlueGreenStrategy):
        world.services = {ServiceRole.ACTIVE: "", ServiceRole.PREVIEW: ""}
    elif strategy.traffic_routing is not None:
        world.services = {ServiceRole.STABLE: "", ServiceRole.CANARY: ""}
    world.deploy_first()
    world.outcome = dict.fromkeys(RunKind, (outcome, 8.0))
    for action, wait_s in story:
        live(world, action)
        world.run(world.now + wait_s)
    return world


def check_steps(world: World) -> None:
    """The index goes up by one at most, and back only for a new revision, an abort or its retry."""
    before = None
    for _, done in world.passes:
        at, status = done.status.step_index, done.status
        if before is not None and before.step_index is not None and at is not None:
            restart = Reason.UPDATE_DETECTED in done.reasons or status.abort or before.abort
            jump = at == len(world.spec.steps)
            skipped = 1  # by a human
            assert restart or jump or 0 <= at - before.step_index <= 1 + skipped
        before = status


@settings(max_examples=60, deadline=None, derandomize=True)
@given(CANARY, STORY, PHASE, st.sampled_from([None, 1, 3]))
def test_basic_canary_never_exceeds_its_surge(
    strategy: CanaryStrategy, story: list[tuple[str, float]], outcome: RunPhase, window: int | None
) -> None:
    world = tell(strategy, [one for one in story if one[0] not in ("more", "fewer")], outcome, window)
    most = 4 + max_surge(4, strategy.max_surge, strategy.max_unavailable)
    assert all(sum(sizes.values()) <= most for _, sizes in world.trail)
    check_steps(world)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(ROUTED, STORY, PHASE, st.sampled_from([None, 1, 3]))
def test_routed_canary_keeps_weights_in_range_and_aborts_to_0(
    strategy: CanaryStrategy, story: list[tuple[str, float]], outcome: RunPhase, window: int | None
) -> None:
    world = tell(strategy, story, outcome, window)
    for _, done in world.passes:
        assert done.weight is None or 0 <= done.weight <= 100
    if world.status.abort and not strategy.dynamic_stable_scale and not world.broken and not world.spec.paused:
        world.run(world.now + 60.0)
        assert world.weight == 0
    check_steps(world)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(BLUE_GREEN, STORY, PHASE, st.sampled_from([None, 1, 3]))
def test_blue_green_active_service_always_has_a_set_with_pods(
    strategy: BlueGreenStrategy, story: list[tuple[str, float]], outcome: RunPhase, window: int | None
) -> None:
    world = tell(strategy, story, outcome, window)
    assert world.size(world.services[ServiceRole.ACTIVE]) == world.spec.replicas


@settings(max_examples=60, deadline=None, derandomize=True)
@given(CANARY | ROUTED | BLUE_GREEN, STORY)
def test_everything_heals_when_humans_finish_it(
    strategy: CanaryStrategy | BlueGreenStrategy, story: list[tuple[str, float]]
) -> None:
    """Healthy pods, good analyses, no pause, and a human who promotes in full: the wanted template ends stable."""
    world = tell(strategy, story, RunPhase.SUCCESSFUL, None)
    world.outcome.clear()
    for action in ("heal", "go", "retry"):
        live(world, action)
    for _ in range(4):
        world.run(world.now + 60.0)
        live(world, "full")
    world.run(world.now + 3000.0)
    assert world.status.stable == world.spec.template
    assert world.status.phase is RolloutPhase.HEALTHY, (world.status, world.sets)
