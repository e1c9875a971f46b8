"""When does blue-green pause, switch the active service, and grow its preview?

Plain rules; a pass puts them in order in `bluegreen_pass`. Neither surge nor unavailable apply: the new set runs whole
(or with its preview count) beside the old one.

Source: rollout/bluegreen.go, rollout/service.go, rollout/pause.go; utils/replicaset/bluegreen.go;
utils/annotations: IsSaturated.
"""

from __future__ import annotations

from dataclasses import dataclass

from zdsim.rollout.argo.spec import BlueGreenStrategy
from zdsim.rollout.argo.state import ReplicaSetView

__all__ = [
    "ActiveSwitch",
    "active_switch",
    "calculate_scale_up_preview_check_point",
    "completed_blue_green_pause",
    "is_blue_green_fast_tracked",
    "is_saturated",
    "needs_blue_green_controller_pause",
    "new_rs_new_replicas",
    "ready_for_pause",
    "should_full_promote_blue_green",
    "skip_post_promotion_analysis_run",
    "skip_pre_promotion_analysis_run",
]


def ready_for_pause(new: ReplicaSetView, wanted: int) -> bool:
    """All pods the new set should have now are available (`ReadyForPause`)."""
    return new.spec == wanted and new.available == wanted


def is_saturated(view: ReplicaSetView | None, replicas: int) -> bool:
    """A set is whole: size, desired annotation and available pods are all `replicas` (`IsSaturated`)."""
    return view is not None and view.spec == view.desired == view.available == replicas


def new_rs_new_replicas(
    replicas: int,
    preview_replica_count: int | None,
    *,
    new_is_active: bool,
    promote_full: bool = False,
    check_point: bool = False,
    paused: bool = False,
    new_update: bool = False,
) -> int:
    """Pods the new set should have now (`NewRSNewReplicas`).

    Args:
        new_is_active: the active service selects it, or no set at all.
        check_point: preview pods passed their tests (`calculate_scale_up_preview_check_point`).
        paused: by the user or the controller.
        new_update: the template is not the one last recorded; the check point is not its own.
    """
    if preview_replica_count is None or new_is_active or promote_full:
        return replicas
    if not new_update and check_point and not paused:
        return replicas
    return preview_replica_count


def needs_blue_green_controller_pause(auto_promotion_enabled: bool | None, auto_promotion_s: float = 0.0) -> bool:
    """The controller pauses before it switches (`needsBlueGreenControllerPause`)."""
    return auto_promotion_enabled is False or auto_promotion_s > 0


def is_blue_green_fast_tracked(*, fast_rollback: bool, promote_full: bool, active: str, new: str) -> bool:
    """No pause and no tests before the switch (`isBlueGreenFastTracked`).

    Args:
        active, new: templates; `active` "" = the service was never set (first deploy).
    """
    return fast_rollback or promote_full or active in ("", new)


def completed_blue_green_pause(
    strategy: BlueGreenStrategy,
    *,
    now: float,
    pause_start_s: float | None,
    controller_pause: bool,
    check_point: bool = False,
    just_paused: bool = False,
) -> bool:
    """The pause is over (`CompletedBlueGreenPause`).

    With auto promotion strictly after its seconds, else when a human resumed. Surprise: a human who resumes while
    autoPromotionSeconds run does not end the pause; it begins again.

    Args:
        pause_start_s: None = no pause condition.
        controller_pause: the controller has paused and not noticed a resume yet.
        just_paused: some pause began in this pass.
    """
    if just_paused:
        return False
    if check_point or not needs_blue_green_controller_pause(strategy.auto_promotion_enabled, strategy.auto_promotion_s):
        return True
    if strategy.auto_promotion_enabled is False:
        return controller_pause and pause_start_s is None
    return pause_start_s is not None and now > pause_start_s + strategy.auto_promotion_s


def calculate_scale_up_preview_check_point(
    preview_replica_count: int | None, *, before: bool, pre_promotion_done: bool, pause_done: bool, new_available: int
) -> bool:
    """The preview pods did their work and the new set may grow to full size (`calculateScaleUpPreviewCheckPoint`).

    It stays set until the template changes or the update ends.
    """
    if preview_replica_count is None:
        return False
    return before or (pre_promotion_done and pause_done and new_available == preview_replica_count)


@dataclass(frozen=True, slots=True)
class ActiveSwitch:
    """The template the active service should select; `held` = nothing was looked at, the new set is not whole."""

    template: str
    held: bool = False


def active_switch(
    *,
    active: str,
    new: str,
    stable: str,
    ready: bool,
    saturated: bool,
    fast_tracked: bool,
    pause_done: bool,
    pre_promotion_done: bool,
    aborted: bool,
) -> ActiveSwitch:
    """Which set serves (`reconcileActiveService`).

    Surprise: an abort is only looked at while the new set is whole. After the switch, with crash-looping new pods,
    traffic does not go back to stable until they are available again. No upstream test covers it.
    """
    if not (ready and saturated):
        return ActiveSwitch(active, held=True)
    if aborted:
        return ActiveSwitch(stable)
    if fast_tracked or (pause_done and pre_promotion_done):
        return ActiveSwitch(new)
    return ActiveSwitch(active)


def skip_pre_promotion_analysis_run(
    new: ReplicaSetView, *, replicas: int, preview_replica_count: int | None, stable: str, active: str
) -> bool:
    """No pre-promotion run is due (`skipPrePromotionAnalysisRun`): nothing to promote, or the new set is not whole."""
    if new.template == "" or active == "" or new.template in (stable, active):
        return True
    if preview_replica_count is not None:
        return not new.spec == new.available == preview_replica_count
    return not is_saturated(new, replicas)


def skip_post_promotion_analysis_run(new: ReplicaSetView, *, replicas: int, stable: str, active: str) -> bool:
    """No post-promotion run is due (`skipPostPromotionAnalysisRun`): not switched, already stable, or not whole."""
    return new.template in ("", stable) or active != new.template or not is_saturated(new, replicas)


def should_full_promote_blue_green(
    *,
    has_stable: bool,
    active: str,
    current: str,
    targets_verified: bool = True,
    promote_full: bool = False,
    fast_rollback: bool = False,
    aborted: bool = False,
    post_promotion_done: bool = True,
) -> bool:
    """The new set becomes stable (`shouldFullPromote`).

    Args:
        active: template the active service selects now; "" = none, and current becomes stable so that it can.
        post_promotion_done: the run was successful, or none is asked for.
    """
    if not has_stable or active == "":
        return True
    if active != current or not targets_verified:
        return False
    if promote_full or fast_rollback:
        return True
    return not aborted and post_promotion_done
