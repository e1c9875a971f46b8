"""Which share of the traffic does the router give the canary in this pass?

Weights are whole numbers out of `max_weight`. The controller first finds the weight it wants (`weight_for_pass`, seven
rules in order), then leaves the router alone if stable could not carry the rest.

Source: rollout/trafficrouting.go; utils/replicaset/canary.go: GetCurrentSetWeight, UseSetCanaryScale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zdsim.rollout.argo.canary_counts import replica_progress_threshold_met, traffic_weight_to_replicas
from zdsim.rollout.argo.spec import MAX_WEIGHT, CanaryStep, ReplicaProgressThreshold, SetCanaryScale, SetWeight
from zdsim.rollout.argo.state import Reason

__all__ = [
    "WeightFacts",
    "WeightWanted",
    "calculate_desired_weight_on_abort_or_stable_rollback",
    "check_replicas_available",
    "get_canary_replicas_or_weight",
    "get_current_set_weight",
    "get_desired_canary_weight",
    "use_set_canary_scale",
    "weight_before_step",
    "weight_for_pass",
]


def get_current_set_weight(
    steps: Sequence[CanaryStep], index: int | None, *, aborted: bool = False, max_weight: int = MAX_WEIGHT
) -> int:
    """The last setWeight at or before the current step (`GetCurrentSetWeight`).

    0 if there is none yet or the update is aborted; all if there are no steps or they are done.

    >>> get_current_set_weight([SetWeight(20), SetWeight(40)], 1), get_current_set_weight([], None)
    (40, 100)
    """
    if aborted:
        return 0
    at = index or 0
    if at >= len(steps):
        return max_weight
    return weight_before_step(steps, at + 1)


def weight_before_step(steps: Sequence[CanaryStep], index: int) -> int:
    """The last setWeight before step `index`; 0 if there is none."""
    return next((step.weight for step in reversed(steps[:index]) if isinstance(step, SetWeight)), 0)


def use_set_canary_scale(
    steps: Sequence[CanaryStep],
    index: int | None,
    *,
    traffic_routed: bool,
    aborted: bool = False,
    abort_scale_down_delay_s: float | None = None,
) -> SetCanaryScale | None:
    """The setCanaryScale in force (`UseSetCanaryScale`); None = pods follow the weight.

    Not without a router, nor after the last step, nor during an abort unless its scale-down delay is 0 (never).
    """
    if not traffic_routed or (aborted and abort_scale_down_delay_s != 0):
        return None
    at = index or 0
    if at >= len(steps):
        return None
    scale = next((step for step in reversed(steps[: at + 1]) if isinstance(step, SetCanaryScale)), None)
    return None if scale is None or scale.match_traffic_weight else scale


def get_canary_replicas_or_weight(
    steps: Sequence[CanaryStep],
    index: int | None,
    *,
    current: str,
    stable: str,
    traffic_routed: bool,
    promote_full: bool = False,
    aborted: bool = False,
    abort_scale_down_delay_s: float | None = None,
    max_weight: int = MAX_WEIGHT,
) -> tuple[int | None, int]:
    """(canary pods, 0) where a step fixes them, else (None, weight) (`GetCanaryReplicasOrWeight`).

    All of the weight when promoting in full, when there is no stable template yet, or when it is the current one.
    """
    if promote_full or stable == "" or current == stable:
        return None, max_weight
    scale = use_set_canary_scale(
        steps, index, traffic_routed=traffic_routed, aborted=aborted, abort_scale_down_delay_s=abort_scale_down_delay_s
    )
    if scale is not None and scale.replicas is not None:
        return scale.replicas, 0
    if scale is not None and scale.weight is not None:
        return None, scale.weight
    return None, get_current_set_weight(steps, index, aborted=aborted, max_weight=max_weight)


def get_desired_canary_weight(
    steps: Sequence[CanaryStep],
    *,
    replicas: int,
    stable_available: int,
    new_available: int,
    abort_scale_down_delay_s: float | None = None,
    max_weight: int = MAX_WEIGHT,
) -> int:
    """The step of the way back (`GetDesiredCanaryWeight`).

    The last setWeight whose pods are fewer than the canary still has, or than stable still lacks; 0 if there is none.
    With a delay set, canary pods stay on purpose and only stable's count.
    """
    count = replicas - stable_available
    if not abort_scale_down_delay_s:
        count = max(count, new_available)
    for step in reversed(steps):
        if isinstance(step, SetWeight) and traffic_weight_to_replicas(replicas, step.weight, max_weight) < count:
            return step.weight
    return 0


def calculate_desired_weight_on_abort_or_stable_rollback(
    steps: Sequence[CanaryStep],
    *,
    replicas: int,
    stable_available: int,
    new_available: int,
    current_weight: int | None,
    dynamic_stable_scale: bool = True,
    abort_scale_down_delay_s: float | None = None,
    max_weight: int = MAX_WEIGHT,
) -> int:
    """Canary weight on the way back to stable (`calculateDesiredWeightOnAbortOrStableRollback`).

    0 at once unless stable was scaled down (dynamic stable scale). Then weight goes back in the steps it came, as
    stable pods become available, and never up.

    Args:
        current_weight: canary weight last written; None = none was.
    """
    if not dynamic_stable_scale or replicas == 0:
        return 0
    desired = get_desired_canary_weight(
        steps,
        replicas=replicas,
        stable_available=stable_available,
        new_available=new_available,
        abort_scale_down_delay_s=abort_scale_down_delay_s,
        max_weight=max_weight,
    )
    carried = max_weight * stable_available // replicas  # by the available stable pods
    expected = max(0, max_weight - carried)
    if current_weight is None:
        return max(expected, desired)
    if desired <= 0:
        return min(expected, current_weight)
    if carried < max_weight - desired:
        return current_weight
    return min(desired, current_weight)


def check_replicas_available(
    available: int | None,
    weight: int,
    replicas: int,
    *,
    threshold: ReplicaProgressThreshold | None = None,
    max_weight: int = MAX_WEIGHT,
) -> bool:
    """A set can carry `weight` with its available pods, rounded down (`checkReplicasAvailable`); None = no set: no.

    >>> check_replicas_available(4, 50, 10), check_replicas_available(5, 50, 10)
    (False, True)
    """
    if available is None:
        return False
    wanted = weight * replicas // max_weight
    return available >= wanted or replica_progress_threshold_met(threshold, available, wanted)


@dataclass(frozen=True, slots=True)
class WeightFacts:
    """What the rules look at.

    Args:
        index: current step, None = there are no steps; `len(steps)` = done.
        at_desired_counts: the pods of the current step are there.
        new_available, stable_available: None = no such set.
        current_weight: canary weight last written; None = none was.
        rolling_back: going back to stable in mid-update with dynamic stable scale; new is then stable itself.
    """

    steps: Sequence[CanaryStep]
    index: int | None
    replicas: int
    new_available: int | None
    stable_available: int | None
    current_weight: int | None = None
    at_desired_counts: bool = False
    fully_promoted: bool = False
    aborted: bool = False
    promote_full: bool = False
    dynamic_stable_scale: bool = False
    rolling_back: bool = False
    abort_scale_down_delay_s: float | None = None
    max_weight: int = MAX_WEIGHT


@dataclass(frozen=True, slots=True)
class WeightWanted:
    """The weight a pass wants, by which rule, and what goes with it.

    `canary_service_to_stable`: point the canary service at the stable pods too, however few are ready.
    """

    weight: int
    reason: Reason
    remove_routes: bool = False
    canary_service_to_stable: bool = False


def weight_for_pass(facts: WeightFacts) -> WeightWanted:
    """The first rule that matches (`reconcileTrafficRouting`)."""
    if facts.rolling_back:
        return WeightWanted(_on_the_way_back(facts), Reason.WEIGHT_ROLLBACK_TO_STABLE)
    if facts.fully_promoted:
        return WeightWanted(0, Reason.WEIGHT_PROMOTED, remove_routes=True)
    if facts.aborted:
        weight = _on_the_way_back(facts)
        return WeightWanted(weight, Reason.WEIGHT_ABORTED, remove_routes=True, canary_service_to_stable=weight == 0)
    if not facts.new_available:
        return WeightWanted(0, Reason.WEIGHT_NO_CANARY_PODS, remove_routes=True)
    if facts.promote_full:
        weight = facts.current_weight or 0
        if facts.dynamic_stable_scale:
            weight = facts.max_weight * facts.new_available // facts.replicas if facts.replicas else 0
            weight = min(weight, facts.max_weight)
        return WeightWanted(weight, Reason.WEIGHT_PROMOTE_FULL, remove_routes=True)
    if facts.index is None:
        return WeightWanted(0, Reason.WEIGHT_BEFORE_STEP)
    if not facts.at_desired_counts:
        return WeightWanted(weight_before_step(facts.steps, facts.index), Reason.WEIGHT_BEFORE_STEP)
    return WeightWanted(
        get_current_set_weight(facts.steps, facts.index, max_weight=facts.max_weight), Reason.WEIGHT_OF_STEP
    )


def _on_the_way_back(facts: WeightFacts) -> int:
    return calculate_desired_weight_on_abort_or_stable_rollback(
        facts.steps,
        replicas=facts.replicas,
        stable_available=facts.stable_available or 0,
        new_available=facts.new_available or 0,
        current_weight=facts.current_weight,
        dynamic_stable_scale=facts.dynamic_stable_scale,
        abort_scale_down_delay_s=facts.abort_scale_down_delay_s,
        max_weight=facts.max_weight,
    )
