"""Weights for the router: which rule, and the way back with dynamic stable scale."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zdsim.rollout.argo.spec import CanaryStep, Pause, SetCanaryScale, SetWeight
from zdsim.rollout.argo.state import Reason
from zdsim.rollout.argo.weights import (
    WeightFacts,
    calculate_desired_weight_on_abort_or_stable_rollback,
    check_replicas_available,
    get_canary_replicas_or_weight,
    get_current_set_weight,
    get_desired_canary_weight,
    use_set_canary_scale,
    weight_for_pass,
)

STEPS: tuple[CanaryStep, ...] = (SetWeight(20), Pause(), SetWeight(40), Pause(60), SetWeight(80))


@pytest.mark.parametrize(
    ("steps", "index", "aborted", "weight"),
    [
        (STEPS, None, False, 20),
        (STEPS, 0, False, 20),
        (STEPS, 1, False, 20),
        (STEPS, 2, False, 40),
        (STEPS, 5, False, 100),
        (STEPS, 9, False, 100),
        (STEPS, 4, True, 0),
        ((), None, False, 100),
        ((), None, True, 0),
        ((Pause(), SetWeight(10)), 0, False, 0),
    ],
)
def test_current_weight(steps: tuple[CanaryStep, ...], index: int | None, aborted: bool, weight: int) -> None:
    assert get_current_set_weight(steps, index, aborted=aborted) == weight


SCALED: tuple[CanaryStep, ...] = (
    SetCanaryScale(replicas=3),
    SetWeight(20),
    SetCanaryScale(weight=50),
    SetWeight(30),
    SetCanaryScale(match_traffic_weight=True),
    Pause(),
)


@pytest.mark.parametrize(
    ("index", "changes", "expected"),
    [
        (0, {}, (3, 0)),
        (1, {}, (3, 0)),
        (2, {}, (None, 50)),
        (3, {}, (None, 50)),
        (4, {}, (None, 30)),
        (5, {}, (None, 30)),
        (6, {}, (None, 100)),  # no effect with no current step
        (0, {"traffic_routed": False}, (None, 0)),
        (1, {"promote_full": True}, (None, 100)),
        (1, {"stable": ""}, (None, 100)),
        (1, {"stable": "new"}, (None, 100)),
        (1, {"aborted": True}, (None, 0)),
        (1, {"aborted": True, "abort_scale_down_delay_s": 60.0}, (None, 0)),
        (1, {"aborted": True, "abort_scale_down_delay_s": 0.0}, (3, 0)),
    ],
)
def test_pods_or_weight(index: int, changes: dict[str, object], expected: tuple[int | None, int]) -> None:
    arguments: dict[str, object] = {"current": "new", "stable": "old", "traffic_routed": True} | changes
    assert get_canary_replicas_or_weight(SCALED, index, **arguments) == expected  # type: ignore[arg-type]


def test_no_set_canary_scale_without_router() -> None:
    assert use_set_canary_scale(SCALED, 0, traffic_routed=False) is None


FACTS = WeightFacts(STEPS, 2, replicas=10, new_available=2, stable_available=10, current_weight=20)


@pytest.mark.parametrize(
    ("changes", "weight", "reason"),
    [
        ({}, 20, Reason.WEIGHT_BEFORE_STEP),
        ({"at_desired_counts": True}, 40, Reason.WEIGHT_OF_STEP),
        ({"index": 0}, 0, Reason.WEIGHT_BEFORE_STEP),
        ({"index": 5, "at_desired_counts": True}, 100, Reason.WEIGHT_OF_STEP),
        ({"index": 5}, 80, Reason.WEIGHT_BEFORE_STEP),
        ({"new_available": 0, "at_desired_counts": True}, 0, Reason.WEIGHT_NO_CANARY_PODS),
        ({"new_available": None}, 0, Reason.WEIGHT_NO_CANARY_PODS),
        ({"promote_full": True}, 20, Reason.WEIGHT_PROMOTE_FULL),
        ({"promote_full": True, "dynamic_stable_scale": True, "new_available": 7}, 70, Reason.WEIGHT_PROMOTE_FULL),
        ({"promote_full": True, "new_available": 0}, 0, Reason.WEIGHT_NO_CANARY_PODS),
        ({"aborted": True}, 0, Reason.WEIGHT_ABORTED),
        ({"aborted": True, "promote_full": True}, 0, Reason.WEIGHT_ABORTED),
        ({"fully_promoted": True, "aborted": True}, 0, Reason.WEIGHT_PROMOTED),
        (
            {"rolling_back": True, "fully_promoted": True, "dynamic_stable_scale": True, "stable_available": 8},
            20,
            Reason.WEIGHT_ROLLBACK_TO_STABLE,
        ),
    ],
)
def test_first_rule_that_matches(changes: dict[str, object], weight: int, reason: Reason) -> None:
    wanted = weight_for_pass(replace(FACTS, **changes))  # type: ignore[arg-type]
    assert (wanted.weight, wanted.reason) == (weight, reason)


def test_an_abort_points_the_canary_service_back_once_the_weight_is_gone() -> None:
    assert weight_for_pass(replace(FACTS, aborted=True)).canary_service_to_stable
    slow = weight_for_pass(replace(FACTS, aborted=True, dynamic_stable_scale=True, stable_available=8, new_available=4))
    assert (slow.weight, slow.canary_service_to_stable) == (20, False)


@pytest.mark.parametrize(
    ("stable", "new", "delay_s", "desired"),
    [
        (5, 5, None, 40),
        (9, 5, None, 40),
        (9, 3, None, 20),
        (9, 2, None, 0),
        (9, 5, 60.0, 0),
        (7, 5, 60.0, 20),
        (5, 0, 0.0, 40),
    ],
)
def test_step_of_the_way_back(stable: int, new: int, delay_s: float | None, desired: int) -> None:
    got = get_desired_canary_weight(
        STEPS, replicas=10, stable_available=stable, new_available=new, abort_scale_down_delay_s=delay_s
    )
    assert got == desired


@pytest.mark.parametrize(
    ("stable", "new", "current", "weight"),
    [
        (5, 5, 50, 50),  # the 5 stable pods cannot carry 60 yet
        (6, 5, 50, 40),
        (8, 4, 40, 20),
        (7, 4, 40, 40),
        (9, 2, 20, 10),
        (10, 2, 20, 0),
        (5, 5, None, 50),
        (10, 5, None, 40),
        (0, 0, 30, 30),
    ],
)
def test_way_back(stable: int, new: int, current: int | None, weight: int) -> None:
    got = calculate_desired_weight_on_abort_or_stable_rollback(
        STEPS, replicas=10, stable_available=stable, new_available=new, current_weight=current
    )
    assert got == weight


def test_way_back_is_at_once_without_dynamic_scale_or_replicas() -> None:
    back = calculate_desired_weight_on_abort_or_stable_rollback
    facts = {"stable_available": 0, "new_available": 5, "current_weight": 50}
    assert back(STEPS, replicas=10, dynamic_stable_scale=False, **facts) == 0  # type: ignore[arg-type]
    assert back(STEPS, replicas=0, **facts) == 0  # type: ignore[arg-type]


@settings(deadline=None, derandomize=True)
@given(
    replicas=st.integers(0, 30),
    stable=st.integers(0, 30),
    new=st.integers(0, 30),
    current=st.integers(0, 100),
    delay_s=st.sampled_from([None, 0.0, 60.0]),
)
def test_way_back_never_goes_up_and_stable_can_carry_what_it_gets(
    replicas: int, stable: int, new: int, current: int, delay_s: float | None
) -> None:
    stable = min(stable, replicas)
    weight = calculate_desired_weight_on_abort_or_stable_rollback(
        STEPS,
        replicas=replicas,
        stable_available=stable,
        new_available=new,
        current_weight=current,
        abort_scale_down_delay_s=delay_s,
    )
    assert 0 <= weight <= current
    if replicas and weight < current:
        assert 100 - weight <= 100 * stable // replicas


@settings(deadline=None, derandomize=True)
@given(
    index=st.none() | st.integers(0, 8),
    replicas=st.integers(0, 20),
    new=st.none() | st.integers(0, 30),
    stable=st.none() | st.integers(0, 30),
    current=st.none() | st.integers(0, 100),
    flags=st.tuples(*[st.booleans()] * 5),
)
def test_a_weight_is_a_share(
    index: int | None,
    replicas: int,
    new: int | None,
    stable: int | None,
    current: int | None,
    flags: tuple[bool, bool, bool, bool, bool],
) -> None:
    reached, promoted, aborted, full, dynamic = flags
    facts = WeightFacts(
        STEPS, index, replicas, new, stable, current, reached, promoted, aborted, full, dynamic_stable_scale=dynamic
    )
    weight = weight_for_pass(facts).weight
    assert 0 <= weight <= 100
    if aborted and not dynamic:
        assert weight == 0


@pytest.mark.parametrize(
    ("available", "weight", "replicas", "enough"),
    [
        (5, 50, 10, True),
        (4, 50, 10, False),
        (1, 50, 3, True),
        (0, 0, 10, True),
        (None, 0, 10, False),
        (9, 95, 10, True),
    ],
)
def test_stable_can_carry_its_share(available: int | None, weight: int, replicas: int, enough: bool) -> None:
    assert check_replicas_available(available, weight, replicas) is enough
