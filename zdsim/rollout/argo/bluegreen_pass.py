"""What does one pass over a blue-green rollout write?

The order is upstream's: preview service, sets (active, new, others, all in one pass), pause, active service, analysis,
status. The preview service follows the new set at once, pods or not; the active one in a single selector write.

The set that serves keeps its pods: where an abort cannot switch back (see `bluegreen.active_switch`) the new set gets
no deadline while it is active. Upstream would scale it down and up again in turn.

Upstream never takes a stable set that is not yet replaced for an old one. So while a post-promotion run is on the old
set keeps its pods whatever scaleDownDelaySeconds says, and the way back is warm.

Source: rollout/bluegreen.go: rolloutBlueGreen, syncRolloutStatusBlueGreen; rollout/service.go; rollout/analysis.go.
"""

from __future__ import annotations

from dataclasses import replace

from zdsim.rollout.argo import bluegreen as rules
from zdsim.rollout.argo.lifecycle import scale_down_delay, scale_down_delay_helper, scale_down_revision_limit
from zdsim.rollout.argo.runs import needs_new_analysis_run
from zdsim.rollout.argo.spec import RESYNC_S, BlueGreenStrategy
from zdsim.rollout.argo.state import (
    Pass,
    PauseReason,
    Reason,
    ReplicaSetView,
    RolloutStatus,
    RunKind,
    RunPhase,
    ServiceRole,
)
from zdsim.rollout.argo.steps import halt_progress, reset_rollout_status
from zdsim.rollout.argo.work import Work

__all__ = ["blue_green_pass", "scale_blue_green_sets"]


def blue_green_pass(work: Work, strategy: BlueGreenStrategy) -> Pass:
    """One reconcile of a blue-green rollout (`rolloutBlueGreen`)."""
    new = work.ensure_new()
    if not halt_progress(work.spec, work.before):
        work.switch(ServiceRole.PREVIEW, new.template)
    if work.before.current not in ("", work.spec.template):
        work.reasons.append(Reason.UPDATE_DETECTED)
        work.clear_pauses = work.remove_abort = True
        status = reset_rollout_status(work.base_status(), 0)
        work.runs = status.runs
        return work.finish(_next_status(work, strategy, status))
    scale_blue_green_sets(work, strategy)
    _pause(work, strategy, new)
    _active_service(work, strategy, new)
    _analysis(work, strategy, new)
    return work.finish(_next_status(work, strategy, work.base_status()))


def _active(work: Work) -> str:
    """Template the active service selects now; "" = never set."""
    return work.services.get(ServiceRole.ACTIVE, "")


# -- sets


def _wanted(work: Work, strategy: BlueGreenStrategy, new: ReplicaSetView) -> int:
    before = work.before
    active = next((view for view in work.all_sets if view.template and view.template == before.active_selector), None)
    return rules.new_rs_new_replicas(
        work.spec.replicas,
        strategy.preview_replica_count,
        new_is_active=active is None or active.name == new.name,
        promote_full=before.promote_full,
        check_point=before.scale_up_preview_check_point,
        paused=work.spec.paused or bool(before.pauses),
        new_update=new.template != before.current,
    )


def scale_blue_green_sets(work: Work, strategy: BlueGreenStrategy) -> None:
    """Active, new and other sets (`reconcileBlueGreenReplicaSets`)."""
    work.remove_scale_down_deadlines()
    active = next((view for view in work.all_sets if view.template and view.template == _active(work)), None)
    if active is not None:
        work.resize(active, work.spec.replicas, Reason.SCALED_STABLE)
    if work.new is not None and (active is None or active.name != work.new.name):
        work.reconcile_new_set(_wanted(work, strategy, work.new))
    stable = work.stable
    if stable is not None and stable.spec > 0 and stable not in (active, work.new):
        # Switched, but not promoted yet: it stays as it is, but must note a new number of replicas, or every later
        # pass would take it for a scaling event.
        work.resize(stable, stable.spec, Reason.ANNOTATED)
    _scale_others(work, strategy)


def _scale_others(work: Work, strategy: BlueGreenStrategy) -> None:
    """Replaced sets wait for their deadlines, newest first (`scaleDownOldReplicaSetsForBlueGreen`)."""
    before, new = work.before, work.new
    if before.pause(PauseReason.INCONCLUSIVE_ANALYSIS) is not None:
        return
    if strategy.post_promotion is not None and strategy.scale_down_delay_s is None and new is not None:
        due = not rules.skip_post_promotion_analysis_run(
            new, replicas=work.spec.replicas, stable=before.stable, active=before.active_selector
        )
        if due and not _successful(work, before.runs.post):
            return
    counted = 0
    for view in sorted(work.others, key=lambda view: (view.revision, view.created_s), reverse=True):
        if view.spec == 0 or work.referenced(view):
            continue
        held = scale_down_delay_helper(
            view,
            counted=counted,
            held_size=work.spec.replicas,
            delay_s=scale_down_delay(strategy),
            limit=scale_down_revision_limit(strategy),
            now=work.now,
        )
        counted = held.counted
        if held.set_deadline_s is not None:
            work.deadlines[view.name] = held.set_deadline_s
            work.reasons.append(Reason.DEADLINE_SET)
        if held.requeue_s is not None:
            work.timers.append(held.requeue_s)
        work.resize(view, held.size, Reason.SCALED_OLD if held.size else Reason.DEADLINE_PASSED)


# -- pause and services


def _fast_tracked(work: Work, new: ReplicaSetView) -> bool:
    return rules.is_blue_green_fast_tracked(
        fast_rollback=work.fast_rollback,
        promote_full=work.before.promote_full,
        active=_active(work),
        new=new.template,
    )


def _successful(work: Work, name: str | None) -> bool:
    run = work.run(name)
    return run is not None and run.phase is RunPhase.SUCCESSFUL


def _pre_promotion_done(work: Work, strategy: BlueGreenStrategy) -> bool:
    return strategy.pre_promotion is None or _successful(work, work.runs.pre)


def _pause_done(work: Work, strategy: BlueGreenStrategy) -> bool:
    before = work.before
    condition = before.pause(PauseReason.BLUE_GREEN_PAUSE)
    return rules.completed_blue_green_pause(
        strategy,
        now=work.now,
        pause_start_s=None if condition is None else condition.start_s,
        controller_pause=before.controller_pause,
        check_point=before.scale_up_preview_check_point,
        just_paused=bool(work.added_pauses),
    )


def _pause(work: Work, strategy: BlueGreenStrategy, new: ReplicaSetView) -> None:
    """Begin or end the pause before the switch (`reconcileBlueGreenPause`)."""
    before = work.before
    if before.abort or halt_progress(work.spec, before):
        return
    if not rules.ready_for_pause(new, _wanted(work, strategy, new)):
        work.reasons.append(Reason.WAITING_FOR_PODS)
        return
    needed = rules.needs_blue_green_controller_pause(strategy.auto_promotion_enabled, strategy.auto_promotion_s)
    if _fast_tracked(work, new) or before.scale_up_preview_check_point or not needed:
        work.removed_pauses.add(PauseReason.BLUE_GREEN_PAUSE)
        return
    if not _pre_promotion_done(work, strategy):
        work.reasons.append(Reason.WAITING_FOR_ANALYSIS)
        return
    condition = before.pause(PauseReason.BLUE_GREEN_PAUSE)
    ends = strategy.auto_promotion_enabled is not False
    if condition is None:
        if not before.controller_pause:
            work.add_pause(PauseReason.BLUE_GREEN_PAUSE)
            if ends:
                work.timers.append(strategy.auto_promotion_s)
    elif _pause_done(work, strategy):
        work.removed_pauses.add(PauseReason.BLUE_GREEN_PAUSE)
    else:
        work.reasons.append(Reason.WAITING_IN_PAUSE)
        left_s = condition.start_s + strategy.auto_promotion_s - work.now
        if ends and 0 <= left_s < RESYNC_S:
            work.timers.append(left_s)


def _active_service(work: Work, strategy: BlueGreenStrategy, new: ReplicaSetView) -> None:
    """Switch the active service, forward or back (`reconcileActiveService`)."""
    if halt_progress(work.spec, work.before):
        work.reasons.append(Reason.HALTED)
        return
    switch = rules.active_switch(
        active=_active(work),
        new=new.template,
        stable=work.before.stable,
        ready=rules.ready_for_pause(new, _wanted(work, strategy, new)),
        saturated=rules.is_saturated(new, work.spec.replicas),
        fast_tracked=_fast_tracked(work, new),
        pause_done=_pause_done(work, strategy),
        pre_promotion_done=_pre_promotion_done(work, strategy),
        aborted=work.before.abort,
    )
    if switch.held:
        if work.before.abort and _active(work) != work.before.stable:
            work.reasons.append(Reason.ACTIVE_NOT_SATURATED)
        return
    if switch.template:
        work.switch(ServiceRole.ACTIVE, switch.template)


# -- analysis


def _analysis(work: Work, strategy: BlueGreenStrategy, new: ReplicaSetView) -> None:
    """Pre- and post-promotion runs (`reconcileAnalysisRuns`)."""
    before = work.before
    if work.aborted or before.promote_full or before.stable == "" or before.fully_promoted or work.fast_rollback:
        work.terminate(work.seen.runs)
        return
    pre = work.runs.pre
    if strategy.pre_promotion is None:
        pre = None
    else:
        due = not rules.skip_pre_promotion_analysis_run(
            new,
            replicas=work.spec.replicas,
            preview_replica_count=strategy.preview_replica_count,
            stable=before.stable,
            active=before.active_selector,
        )
        # A run that began is not cancelled for lost pods (issue 4604), only once the switch is made.
        switched = before.active_selector == new.template
        pre = _reconcile_run(work, RunKind.PRE_PROMOTION, pre, strategy.pre_promotion, due=due, over=switched)
    post = work.runs.post
    if strategy.post_promotion is None:
        post = None
    else:
        due = not rules.skip_post_promotion_analysis_run(
            new, replicas=work.spec.replicas, stable=before.stable, active=before.active_selector
        )
        due = due and work.seen.targets_verified is not False
        post = _reconcile_run(work, RunKind.POST_PROMOTION, post, strategy.post_promotion, due=due, over=not due)
    work.runs = replace(work.runs, pre=pre, post=post)
    work.terminate_others()


def _reconcile_run(
    work: Work, kind: RunKind, name: str | None, templates: tuple[str, ...], *, due: bool, over: bool
) -> str | None:
    """The current run of a kind: begun when `due`, stopped when `over`, and what it says."""
    run = work.run(name)
    if over:
        work.terminate([name])
    paused = work.before.pause(PauseReason.INCONCLUSIVE_ANALYSIS) is not None
    if not paused and needs_new_analysis_run(run, work.before):
        # On a retry the run that failed must not abort again while its successor is not due yet.
        return work.start_run(kind, templates) if due and not over else None
    work.set_pause_or_abort(run)
    return name


# -- status


def _next_status(work: Work, strategy: BlueGreenStrategy, status: RolloutStatus) -> RolloutStatus:
    """Promotion, check point and counts (`syncRolloutStatusBlueGreen`)."""
    before, new = work.before, work.new
    fast = work.fast_rollback
    if before.promote_full or (fast and not before.fully_promoted):
        work.clear_pauses = work.remove_abort = True
    status = replace(
        status,
        runs=work.runs,
        step_index=None,
        active_selector=_active(work),
        preview_selector=work.services.get(ServiceRole.PREVIEW, ""),
    )
    promotes = rules.should_full_promote_blue_green(
        has_stable=work.stable is not None,
        active=status.active_selector,
        current=status.current,
        targets_verified=work.seen.targets_verified is not False,
        promote_full=before.promote_full,
        fast_rollback=fast,
        aborted=work.aborted,
        post_promotion_done=strategy.post_promotion is None or _successful(work, work.runs.post),
    )
    if promotes:
        if status.stable != status.current:
            work.reasons.append(Reason.PROMOTED)
        work.clear_pauses = work.remove_abort = True
        status = replace(status, stable=status.current, promote_full=False, scale_up_preview_check_point=False)
    else:
        point = rules.calculate_scale_up_preview_check_point(
            strategy.preview_replica_count,
            before=status.scale_up_preview_check_point,
            pre_promotion_done=_pre_promotion_done(work, strategy),
            pause_done=_pause_done(work, strategy),
            new_available=0 if new is None else new.available,
        )
        if point and not status.scale_up_preview_check_point:
            work.reasons.append(Reason.CHECK_POINT)
        status = replace(status, scale_up_preview_check_point=point)
    active = next((view for view in work.all_sets if view.template and view.template == status.active_selector), None)
    if active is not None:
        status = replace(status, available=active.available, ready=active.ready)
    return status
