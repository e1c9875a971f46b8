"""What does the Argo Rollouts controller write now?

`reconcile` is one pass, without a clock or an API: the same arguments give the same pass. A controller process applies
it and calls again when something it watches changes - its own writes do, so it goes on until a pass writes nothing
new - or when `requeue_after_s` is over.

Source: rollout/controller.go: reconcile; rollout/sync.go: syncReplicasOnly, isScalingEvent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from zdsim.rollout.argo.bluegreen_pass import blue_green_pass, scale_blue_green_sets
from zdsim.rollout.argo.canary_pass import canary_pass, scale_canary_sets
from zdsim.rollout.argo.conditions import calculate_rollout_phase, check_paused_conditions
from zdsim.rollout.argo.spec import BlueGreenStrategy, CanaryStrategy, RolloutSpec
from zdsim.rollout.argo.state import Pass, Reason, RolloutStatus, Seen
from zdsim.rollout.argo.validate import validate
from zdsim.rollout.argo.work import Work

__all__ = ["INVALID_SPEC_RETRY_S", "is_scaling_event", "reconcile"]

INVALID_SPEC_RETRY_S = 20.0


def is_scaling_event(spec: RolloutSpec, seen: Seen) -> bool:
    """A set with pods still notes another number of wanted replicas: sizes are to be set first (`isScalingEvent`)."""
    return any(
        view.spec > 0 and view.desired is not None and view.desired != spec.replicas
        for view in seen.sets
        if not view.experiment
    )


def reconcile(spec: RolloutSpec, status: RolloutStatus, seen: Seen, now: float) -> Pass:
    """One pass of the controller.

    Args:
        status: as last written, with what humans changed since (`steps.promote`, `abort`, ...).
        now: seconds.
    """
    invalid = validate(spec)
    if invalid:
        phase, message = calculate_rollout_phase(spec, status, invalid=invalid)
        status = replace(status, phase=phase, message=message)
        return Pass(status, requeue_after_s=INVALID_SPEC_RETRY_S, reasons=(Reason.INVALID_SPEC,))
    before = check_paused_conditions(status, spec_paused=spec.paused, now=now)
    work = Work.begin(spec, status, before, seen, now)
    strategy = spec.strategy
    scaling = is_scaling_event(spec, seen)
    if scaling:
        work.adopt_current()
    match strategy:
        case CanaryStrategy():
            if not scaling:
                return canary_pass(work, strategy)
            scale_canary_sets(work, strategy)
        case BlueGreenStrategy():
            if not scaling:
                return blue_green_pass(work, strategy)
            scale_blue_green_sets(work, strategy)
        case _:
            assert_never(strategy)
    return _after_scaling(work)


def _after_scaling(work: Work) -> Pass:
    """Only counts change in the status (`syncReplicasOnly`)."""
    work.reasons.insert(0, Reason.SCALING_EVENT)
    sets, active = work.all_sets, None
    if isinstance(work.spec.strategy, BlueGreenStrategy):
        active = next((view for view in sets if view.template == work.before.active_selector), None)
    available = sum(view.available for view in sets) if active is None else active.available
    return work.close(replace(work.before, available=available))
