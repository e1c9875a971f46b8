"""What does one pass over a canary write?

The order is upstream's: services, router, experiments, analysis, sets (stable, new, others; the first that is scaled
ends this stage), pause, plugin, status. At most one step is advanced. Stable's size follows the weights of the status
before, so traffic moves first and pods a pass later.

Source: rollout/canary.go: rolloutCanary, syncRolloutStatusCanary; rollout/service.go; rollout/experiment.go.
"""

from __future__ import annotations

import math
from dataclasses import replace

from zdsim.rollout.argo.canary_counts import (
    cleanup_unhealthy_replicas,
    replica_progress_threshold_met,
    scale_down_old_replica_sets_for_basic_canary,
    stable_exists_and_differs,
)
from zdsim.rollout.argo.canary_traffic import (
    at_desired,
    counts,
    current_experiment,
    reconcile_services,
    reconcile_traffic_routing,
)
from zdsim.rollout.argo.lifecycle import (
    scale_down_delay,
    scale_down_delay_helper,
    scale_down_revision_limit,
    should_full_promote_canary,
)
from zdsim.rollout.argo.runs import background_run_due, needs_new_analysis_run
from zdsim.rollout.argo.spec import (
    RESYNC_S,
    Analysis,
    CanaryStrategy,
    Experiment,
    Pause,
    Plugin,
    RouterKind,
    max_unavailable,
)
from zdsim.rollout.argo.state import (
    ExperimentStart,
    Pass,
    PauseReason,
    PluginPhase,
    Reason,
    ReplicaSetView,
    RolloutStatus,
    RunKind,
    RunPhase,
)
from zdsim.rollout.argo.steps import (
    StepFacts,
    completed_current_canary_step,
    current_canary_step,
    halt_progress,
    pod_template_or_steps_changed,
    reset_rollout_status,
)
from zdsim.rollout.argo.work import Work

__all__ = ["canary_pass", "scale_canary_sets"]


def canary_pass(work: Work, strategy: CanaryStrategy) -> Pass:
    """One reconcile of a canary (`rolloutCanary`)."""
    if pod_template_or_steps_changed(work.spec, work.before):
        return work.finish(_begin_update(work, strategy))
    work.ensure_new()
    reconcile_services(work, strategy)
    reconcile_traffic_routing(work, strategy)
    _experiments(work, strategy)
    _analysis(work, strategy)
    if not work.added_pauses and not scale_canary_sets(work, strategy):
        _pause(work, strategy)
        _plugin(work, strategy)
    return work.finish(_next_status(work, strategy))


def _begin_update(work: Work, strategy: CanaryStrategy) -> RolloutStatus:
    """A new revision: back to the first step, or past the last when going back to what has pods already."""
    n_steps = len(strategy.steps)
    status = reset_rollout_status(work.base_status(), n_steps)
    work.clear_pauses = work.remove_abort = True
    work.reasons.append(Reason.UPDATE_DETECTED)
    if work.new is None:
        return status
    if work.before.stable == work.spec.template:
        work.reasons.append(Reason.ROLLBACK_TO_STABLE)
    elif work.within_window and work.new.spec > 0:
        work.reasons.append(Reason.ROLLBACK_WITHIN_WINDOW)
    else:
        return status
    return replace(status, step_index=n_steps if n_steps else None)


# -- experiments and analysis


def _experiments(work: Work, strategy: CanaryStrategy) -> None:
    """The experiment of the current step, and no other (`reconcileExperiments`)."""
    before = work.before
    step, index = current_canary_step(strategy.steps, before.step_index)
    if before.pauses:
        return
    wanted = isinstance(step, Experiment) and not (before.promote_full or work.aborted or before.stable == "")
    if wanted and isinstance(step, Experiment) and index is not None:
        current = current_experiment(work)
        resumed = before.controller_pause and current is not None and current.phase is RunPhase.INCONCLUSIVE
        if current is None or resumed:
            base = name = f"{work.spec.name}-{work.spec.template}-{index}"
            n_tries = 1
            while name in work.seen.experiments:
                n_tries += 1
                name = f"{base}.{n_tries}"
            work.experiment = name
            work.start_experiments.append(ExperimentStart(name, index, step.templates))
            work.reasons.append(Reason.EXPERIMENT_STARTED)
        elif current.phase is RunPhase.INCONCLUSIVE:
            work.add_pause(PauseReason.INCONCLUSIVE_ANALYSIS)
        elif current.phase in (RunPhase.FAILED, RunPhase.ERROR):
            work.add_abort(current.message or f"experiment {current.name}: {current.phase}")
    elif not isinstance(step, Experiment):
        work.experiment = None
    for view in work.seen.experiments.values():
        over = view.phase.completed or view.terminating
        if not over and (not wanted or view.name != work.experiment):
            work.terminate_experiments.append(view.name)
            work.reasons.append(Reason.EXPERIMENT_TERMINATED)


def _skips_analysis(work: Work, strategy: CanaryStrategy) -> bool:
    before = work.before
    if work.aborted or before.promote_full or before.stable == "" or before.fully_promoted:
        return True
    step, _ = current_canary_step(strategy.steps, before.step_index)
    return step is None and work.fast_rollback


def _analysis(work: Work, strategy: CanaryStrategy) -> None:
    """Runs of the current step and in the background (`reconcileAnalysisRuns`)."""
    if _skips_analysis(work, strategy):
        work.terminate(work.seen.runs)
        return
    _step_run(work, strategy)
    _background_run(work, strategy)
    work.terminate_others()


def _step_run(work: Work, strategy: CanaryStrategy) -> None:
    before = work.before
    if before.pauses or before.abort:
        return
    step, index = current_canary_step(strategy.steps, before.step_index)
    if not isinstance(step, Analysis):
        work.runs = replace(work.runs, step=None)
        return
    run = work.run(work.runs.step)
    if needs_new_analysis_run(run, before):
        work.runs = replace(work.runs, step=work.start_run(RunKind.STEP, step.templates, index))
    else:
        work.set_pause_or_abort(run)


def _background_run(work: Work, strategy: CanaryStrategy) -> None:
    before, analysis = work.before, strategy.analysis
    if analysis is None or not background_run_due(
        before, starting_step=analysis.starting_step, n_steps=len(strategy.steps)
    ):
        work.runs = replace(work.runs, background=None)
        return
    if before.pause(PauseReason.INCONCLUSIVE_ANALYSIS) is not None:
        return
    run = work.run(work.runs.background)
    if needs_new_analysis_run(run, before):
        work.runs = replace(work.runs, background=work.start_run(RunKind.BACKGROUND, analysis.templates))
    else:
        work.set_pause_or_abort(run)


# -- sets


def scale_canary_sets(work: Work, strategy: CanaryStrategy) -> bool:
    """Stable, then new, then others; True after the first that is scaled (`reconcileCanaryReplicaSets`)."""
    if halt_progress(work.spec, work.before):
        work.reasons.append(Reason.HALTED)
        return False
    work.remove_scale_down_deadlines()
    if stable_exists_and_differs(work.new, work.stable):
        assert work.stable is not None
        _, size = counts(work, strategy, work.before.weights)
        if work.resize(work.stable, size, Reason.SCALED_STABLE):
            return True
    size, _ = counts(work, strategy, work.weights)
    if work.reconcile_new_set(size):
        return True
    return _scale_others(work, strategy)


def _scale_others(work: Work, strategy: CanaryStrategy) -> bool:
    """`scaleDownOldReplicaSetsForCanary`."""
    older = [view for view in work.others if view.spec > 0]
    if not older:
        return False
    missing = max_unavailable(work.spec.replicas, strategy.max_surge, strategy.max_unavailable)
    available = sum(view.available for view in work.all_sets)
    by_name = {view.name: view for view in older}
    if strategy.traffic_routing is None:
        old = scale_down_old_replica_sets_for_basic_canary(
            older, total_available=available, replicas=work.spec.replicas, max_unavailable=missing
        )
        for index, (name, size) in enumerate(old.sizes):
            unhealthy = index < old.n_unhealthy
            work.resize(by_name[name], size, Reason.CLEANED_UP_UNHEALTHY if unhealthy else Reason.SCALED_OLD)
        return old.scaled
    views, unhealthy_names, whole = cleanup_unhealthy_replicas(older)
    scaled = False
    for view in views:
        if view.name in unhealthy_names:
            scaled |= work.resize(by_name[view.name], view.spec, Reason.CLEANED_UP_UNHEALTHY)
    verified = strategy.traffic_routing.router is not RouterKind.ALB or work.seen.targets_verified is not False
    if not whole or not verified:
        return False
    budget = available - (work.spec.replicas - missing)
    if budget <= 0:
        return False
    return _scale_routed(work, strategy, views, budget) or scaled


def _scale_routed(work: Work, strategy: CanaryStrategy, views: list[ReplicaSetView], budget: int) -> bool:
    """Replaced sets wait for their deadline, half-rolled ones go at once, newest revision first."""
    counted, scaled = 0, False
    for view in sorted(views, key=lambda view: (view.revision, view.created_s), reverse=True):
        if work.referenced(view):
            continue
        if budget <= 0:
            break
        if view.spec == 0:
            continue
        size = 0
        waits = not strategy.dynamic_stable_scale and (work.before.fully_promoted or view.has_deadline)
        if waits:
            held = scale_down_delay_helper(
                view,
                counted=counted,
                held_size=view.spec,
                delay_s=scale_down_delay(strategy),
                limit=scale_down_revision_limit(strategy),
                now=work.now,
            )
            counted, size = held.counted, held.size
            if held.set_deadline_s is not None:
                work.deadlines[view.name] = held.set_deadline_s
                work.reasons.append(Reason.DEADLINE_SET)
            if held.requeue_s is not None:
                work.timers.append(held.requeue_s)
        budget -= view.spec - size
        scaled |= work.resize(view, size, Reason.DEADLINE_PASSED if waits else Reason.SCALED_OLD)
    return scaled


# -- pause, plugin, status


def _pause(work: Work, strategy: CanaryStrategy) -> None:
    """Begin the pause of a pause step, or look when it ends (`reconcileCanaryPause`)."""
    before = work.before
    if work.spec.paused or before.promote_full or work.aborted or before.fully_promoted:
        return
    step, _ = current_canary_step(strategy.steps, before.step_index)
    if not isinstance(step, Pause) or before.stable == "":
        return
    condition = before.pause(PauseReason.CANARY_PAUSE_STEP)
    if condition is None:
        if not before.controller_pause:
            work.add_pause(PauseReason.CANARY_PAUSE_STEP)
            if step.duration_s is not None:
                work.timers.append(step.duration_s)
        return
    work.reasons.append(Reason.WAITING_IN_PAUSE)
    if step.duration_s is not None:
        left_s = condition.start_s + step.duration_s - work.now
        if 0 <= left_s < RESYNC_S:
            work.timers.append(left_s)


def _plugin(work: Work, strategy: CanaryStrategy) -> None:
    """Ask the plugin of the current step; its failure aborts."""
    before = work.before
    step, _ = current_canary_step(strategy.steps, before.step_index)
    idle = before.pauses or work.spec.paused or work.aborted or before.promote_full or before.stable == ""
    if not isinstance(step, Plugin) or idle or before.fully_promoted:
        return
    if work.seen.plugin in (PluginPhase.FAILED, PluginPhase.ERROR):
        work.add_abort(work.seen.plugin_message or f"plugin {step.name}: {work.seen.plugin}")
    elif work.seen.plugin is not PluginPhase.SUCCESSFUL:
        work.call_plugin = step.name


def _next_status(work: Work, strategy: CanaryStrategy) -> RolloutStatus:
    """Promotion, abort or the next step (`syncRolloutStatusCanary`)."""
    before, n_steps = work.before, len(strategy.steps)
    status = work.base_status()
    step, index = current_canary_step(strategy.steps, before.step_index)
    if before.promote_full:
        work.clear_pauses = work.remove_abort = True
        index = n_steps if n_steps else index
    if _promotes(work, strategy):
        return _promote(work, status, n_steps)
    if work.aborted:
        at = n_steps if status.fully_promoted else 0
        return replace(status, step_index=at if n_steps else None)
    if not before.promote_full and completed_current_canary_step(step, _step_facts(work, strategy)):
        assert index is not None
        index += 1
        status = replace(status, runs=replace(status.runs, step=None), experiment=None)
        work.removed_pauses.add(PauseReason.CANARY_PAUSE_STEP)
        work.reasons.append(Reason.STEP_COMPLETED)
    return replace(status, step_index=index)


def _step_facts(work: Work, strategy: CanaryStrategy) -> StepFacts:
    before = work.before
    pause = before.pause(PauseReason.CANARY_PAUSE_STEP)
    run, experiment = work.run(work.runs.step), current_experiment(work)
    return StepFacts(
        now=work.now,
        spec_paused=work.spec.paused,
        controller_pause=before.controller_pause,
        pause_start_s=None if pause is None else pause.start_s,
        at_desired_counts=at_desired(work, strategy, *counts(work, strategy, work.weights)),
        weight_verified=None if work.weights is None else work.weights.verified,
        analysis=None if run is None else run.phase,
        experiment=None if experiment is None else experiment.phase,
        plugin=work.seen.plugin,
    )


def _promotes(work: Work, strategy: CanaryStrategy) -> bool:
    before, new, wanted = work.before, work.new, work.spec.replicas
    threshold = strategy.replica_progress_threshold
    available = -math.inf if new is None else new.available
    return should_full_promote_canary(
        has_stable=work.stable is not None,
        aborted=work.aborted,
        enough_available=new is not None
        and (available >= wanted or replica_progress_threshold_met(threshold, new.available, wanted)),
        promote_full=before.promote_full,
        fast_rollback=work.fast_rollback,
        steps_done=not strategy.steps or before.step_index == len(strategy.steps),
    )


def _promote(work: Work, status: RolloutStatus, n_steps: int) -> RolloutStatus:
    """New is stable from now on (`promoteStable`)."""
    if status.stable != work.spec.template:
        work.reasons.append(Reason.PROMOTED)
    work.clear_pauses = work.remove_abort = True
    return replace(
        status,
        stable=work.spec.template,
        promote_full=False,
        scale_up_preview_check_point=False,
        step_index=n_steps if n_steps else None,
    )
