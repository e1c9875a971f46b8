"""Where does the traffic of a canary go in this pass, and how many pods does that take?

Services and router come before the sets: weights are written first, pods follow.

Source: rollout/service.go: reconcileStableAndCanaryService; rollout/trafficrouting.go: reconcileTrafficRouting.
"""

from __future__ import annotations

from dataclasses import replace

from zdsim.rollout.argo.canary_counts import (
    at_desired_replica_counts_for_canary,
    calculate_replica_counts_for_basic_canary,
    calculate_replica_counts_for_traffic_routed_canary,
)
from zdsim.rollout.argo.spec import (
    VERIFY_RETRY_S,
    CanaryStrategy,
    Experiment,
    SetHeaderRoute,
    SetMirrorRoute,
    SetWeight,
)
from zdsim.rollout.argo.state import ExperimentView, Reason, ReplicaSetView, RunPhase, ServiceRole, Weights
from zdsim.rollout.argo.steps import current_canary_step
from zdsim.rollout.argo.weights import (
    WeightFacts,
    check_replicas_available,
    get_canary_replicas_or_weight,
    weight_for_pass,
)
from zdsim.rollout.argo.work import Work

__all__ = ["at_desired", "counts", "current_experiment", "reconcile_services", "reconcile_traffic_routing"]


def _rolling_back(work: Work, strategy: CanaryStrategy) -> bool:
    """Back to a stable set that was scaled down (`isDynamicallyRollingBackToStable`)."""
    before, new = work.before, work.new
    if not (before.fully_promoted and strategy.traffic_routing and strategy.dynamic_stable_scale):
        return False
    if before.weights is None or new is None or before.weights.canary_template == new.template:
        return False
    return new.available < work.spec.replicas


def reconcile_services(work: Work, strategy: CanaryStrategy) -> None:
    """Stable and canary service, each once its set has a pod (`reconcileStableAndCanaryService`)."""
    _switch_when_available(work, ServiceRole.STABLE, work.stable)
    if work.aborted and strategy.traffic_routing is None:
        _switch_when_available(work, ServiceRole.CANARY, work.stable)
    elif not _rolling_back(work, strategy):
        _switch_when_available(work, ServiceRole.CANARY, work.new)


def _switch_when_available(work: Work, role: ServiceRole, view: ReplicaSetView | None) -> None:
    """`ensureSVCTargets`: one available pod is enough, but a service never set before wants all of them."""
    if view is None or work.services.get(role, view.template) == view.template:
        return
    enough = view.available > 0
    if work.services[role] == "":
        enough = enough and view.available >= view.spec
    if enough:
        work.switch(role, view.template)
    elif not work.aborted:
        work.reasons.append(Reason.SERVICE_SWITCH_DELAYED)


def reconcile_traffic_routing(work: Work, strategy: CanaryStrategy) -> None:
    """Weight and routes for the router (`reconcileTrafficRouting`)."""
    routing, new, before = strategy.traffic_routing, work.new, work.before
    if routing is None:
        work.weights = None
        return
    assert new is not None
    step, index = current_canary_step(strategy.steps, before.step_index)
    rolling_back = _rolling_back(work, strategy)
    want_new, want_stable = _routed_counts(work, strategy, None)
    wanted = weight_for_pass(
        WeightFacts(
            strategy.steps,
            index,
            replicas=work.spec.replicas,
            new_available=new.available,
            stable_available=None if work.stable is None else work.stable.available,
            current_weight=None if before.weights is None else before.weights.canary,
            at_desired_counts=at_desired(work, strategy, want_new, want_stable),
            fully_promoted=before.fully_promoted,
            aborted=work.aborted,
            promote_full=before.promote_full,
            dynamic_stable_scale=strategy.dynamic_stable_scale,
            rolling_back=rolling_back,
            abort_scale_down_delay_s=strategy.abort_scale_down_delay_s,
            max_weight=strategy.max_weight,
        )
    )
    canary = new.template
    if rolling_back and before.weights is not None:
        canary = before.weights.canary_template
    if wanted.canary_service_to_stable and work.stable is not None:
        work.switch(ServiceRole.CANARY, work.stable.template)
    if wanted.remove_routes:
        work.remove_routes = True
    if isinstance(step, SetHeaderRoute | SetMirrorRoute) and new.revision > 1:
        work.set_route = step
        work.reasons.append(Reason.ROUTE_SET)
    elif wanted.remove_routes and routing.managed_routes and before.weights != work.weights:
        work.reasons.append(Reason.ROUTES_REMOVED)
    if wanted.reason is Reason.WEIGHT_NO_CANARY_PODS and before.weights is not None:
        work.reset_weight_first = before.weights.canary > 0 and before.weights.canary_template != canary
    carried = check_replicas_available(
        None if work.stable is None else work.stable.available,
        strategy.max_weight - wanted.weight,
        work.spec.replicas,
        threshold=strategy.replica_progress_threshold,
        max_weight=strategy.max_weight,
    )
    if not carried:
        work.reasons.append(Reason.WEIGHT_LEFT_ALONE)
        if work.reset_weight_first:
            work.weight = 0
        return
    experiment = wanted.reason in (
        Reason.WEIGHT_NO_CANARY_PODS,
        Reason.WEIGHT_BEFORE_STEP,
        Reason.WEIGHT_OF_STEP,
    )
    additional = _experiment_weights(work, strategy) if experiment and step is not None else ()
    weights = Weights(
        wanted.weight,
        strategy.max_weight - wanted.weight - sum(weight for _, weight in additional),
        canary_template=canary,
        stable_template="" if work.stable is None else work.stable.template,
        additional=additional,
    )
    told = before.weights
    changed = told is None or replace(told, verified=None) != weights
    if changed:
        work.weight = wanted.weight
        work.reasons.append(wanted.reason)
    if routing.verifies and isinstance(step, SetWeight) and before.stable and not before.fully_promoted:
        verified = False if changed else work.seen.weight_verified
        weights = replace(weights, verified=verified)
        if verified is False:
            work.timers.append(VERIFY_RETRY_S)
    work.weights = weights


def _experiment_weights(work: Work, strategy: CanaryStrategy) -> tuple[tuple[str, int], ...]:
    """Shares of the templates of the running experiment (`calculateWeightDestinationsFromExperiment`)."""
    view = current_experiment(work)
    if view is None or view.phase is not RunPhase.RUNNING:
        return ()
    at = work.before.step_index or 0
    step = next((one for one in reversed(strategy.steps[: at + 1]) if isinstance(one, Experiment)), None)
    if step is None:
        return ()
    shares = {template.name: template.weight for template in step.templates}
    named = ((name, shares.get(name)) for name in view.templates)
    return tuple((name, share) for name, share in named if share is not None)


# -- counts


def _target(work: Work, strategy: CanaryStrategy) -> tuple[int | None, int]:
    before = work.before
    return get_canary_replicas_or_weight(
        strategy.steps,
        before.step_index,
        current=before.current or work.spec.template,
        stable=before.stable,
        traffic_routed=strategy.traffic_routing is not None,
        promote_full=before.promote_full,
        aborted=before.abort,
        abort_scale_down_delay_s=strategy.abort_scale_down_delay_s,
        max_weight=strategy.max_weight,
    )


def _basic_counts(work: Work, strategy: CanaryStrategy) -> tuple[int, int]:
    return calculate_replica_counts_for_basic_canary(
        work.new,
        work.stable,
        work.others,
        replicas=work.spec.replicas,
        weight=_target(work, strategy)[1],
        surge=strategy.max_surge,
        unavailable=strategy.max_unavailable,
        max_weight=strategy.max_weight,
    )


def _routed_counts(work: Work, strategy: CanaryStrategy, weights: Weights | None) -> tuple[int, int]:
    canary_replicas, weight = _target(work, strategy)
    return calculate_replica_counts_for_traffic_routed_canary(
        replicas=work.spec.replicas,
        weight=weight,
        canary_replicas=canary_replicas,
        dynamic_stable_scale=strategy.dynamic_stable_scale,
        actual_canary_weight=None if weights is None else weights.canary,
        actual_stable_weight=None if weights is None else weights.stable,
        aborting=work.before.abort,
        min_pods=strategy.min_pods_per_replica_set,
        max_weight=strategy.max_weight,
    )


def counts(work: Work, strategy: CanaryStrategy, weights: Weights | None) -> tuple[int, int]:
    """Sizes for (new, stable)."""
    if strategy.traffic_routing is None:
        return _basic_counts(work, strategy)
    return _routed_counts(work, strategy, weights)


def at_desired(work: Work, strategy: CanaryStrategy, want_new: int, want_stable: int) -> bool:
    return at_desired_replica_counts_for_canary(
        work.new,
        work.stable,
        work.others,
        want_new=want_new,
        want_stable=want_stable,
        traffic_routed=strategy.traffic_routing is not None,
        dynamic_stable_scale=strategy.dynamic_stable_scale,
        threshold=strategy.replica_progress_threshold,
    )


def current_experiment(work: Work) -> ExperimentView | None:
    """The experiment of the status; one that was not heard of yet is pending."""
    name = work.experiment
    return None if name is None else work.seen.experiments.get(name, ExperimentView(name))
