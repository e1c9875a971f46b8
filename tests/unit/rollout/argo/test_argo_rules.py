"""Steps, delays, rollbacks, phases, blue-green and experiments: rules as tables."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zdsim.rollout.argo import bluegreen, lifecycle, steps
from zdsim.rollout.argo.conditions import calculate_rollout_phase
from zdsim.rollout.argo.experiment import ExperimentStatus, calculate_experiment_status
from zdsim.rollout.argo.runs import background_run_due, needs_new_analysis_run
from zdsim.rollout.argo.spec import (
    Analysis,
    BlueGreenStrategy,
    CanaryStep,
    CanaryStrategy,
    Experiment,
    ExperimentAnalysis,
    ExperimentTemplate,
    Pause,
    Plugin,
    RolloutSpec,
    SetCanaryScale,
    SetHeaderRoute,
    SetMirrorRoute,
    SetWeight,
    TrafficRouting,
    parse_duration,
)
from zdsim.rollout.argo.state import (
    PauseCondition,
    PauseReason,
    PluginPhase,
    Progressing,
    ProgressReason,
    ReplicaSetView,
    RolloutPhase,
    RolloutStatus,
    RunPhase,
    RunView,
)
from zdsim.rollout.argo.steps import StepFacts

ROUTED = CanaryStrategy(traffic_routing=TrafficRouting())
DYNAMIC = replace(ROUTED, dynamic_stable_scale=True)
BASIC = CanaryStrategy()
BLUE_GREEN = BlueGreenStrategy()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(30, 30), ("30", 30), ("10s", 10), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("1.5h", 5400), ("1500ms", 1)]
    + [(text, None) for text in ("", "5 m", "5x", "m5", "1d", "five")],
)
def test_durations(text: int | str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("step", "facts", "done"),
    [
        (None, StepFacts(), False),
        (SetWeight(10), StepFacts(at_desired_counts=True), True),
        (SetWeight(10), StepFacts(), False),
        (SetWeight(10), StepFacts(at_desired_counts=True, weight_verified=False), False),
        (SetWeight(10), StepFacts(at_desired_counts=True, weight_verified=True), True),
        (SetWeight(10), StepFacts(at_desired_counts=True, spec_paused=True), False),
        (Pause(), StepFacts(), False),
        (Pause(), StepFacts(controller_pause=True, pause_start_s=0.0, now=1e9), False),
        (Pause(), StepFacts(controller_pause=True), True),  # resumed
        (Pause(60), StepFacts(controller_pause=True, pause_start_s=0.0, now=60.0), False),  # strictly later
        (Pause(60), StepFacts(controller_pause=True, pause_start_s=0.0, now=60.1), True),
        (Pause(60), StepFacts(controller_pause=True, now=1.0), True),  # resumed early
        (SetCanaryScale(replicas=1), StepFacts(), False),
        (SetCanaryScale(replicas=1), StepFacts(at_desired_counts=True, weight_verified=False), True),
        (Analysis(), StepFacts(), False),
        (Analysis(), StepFacts(analysis=RunPhase.RUNNING), False),
        (Analysis(), StepFacts(analysis=RunPhase.SUCCESSFUL), True),
        (Analysis(), StepFacts(analysis=RunPhase.INCONCLUSIVE), False),
        (Experiment(), StepFacts(experiment=RunPhase.SUCCESSFUL), True),
        (Experiment(), StepFacts(experiment=RunPhase.FAILED), False),
        (SetHeaderRoute("r"), StepFacts(), True),
        (SetMirrorRoute("r"), StepFacts(), True),
        (Plugin("p"), StepFacts(plugin=PluginPhase.RUNNING), False),
        (Plugin("p"), StepFacts(plugin=PluginPhase.SUCCESSFUL), True),
    ],
)
def test_step_is_done(step: CanaryStep | None, facts: StepFacts, done: bool) -> None:
    assert steps.completed_current_canary_step(step, facts) is done


MID = RolloutStatus(current="new", stable="old", steps=(SetWeight(1), Pause()), step_index=1)


def test_promote_resumes_or_skips_a_step() -> None:
    paused = replace(MID, pauses=(PauseCondition(PauseReason.CANARY_PAUSE_STEP, 0.0),), controller_pause=True)
    resumed = steps.promote(paused, 2)
    assert (resumed.pauses, resumed.controller_pause, resumed.step_index) == ((), True, 1)
    assert steps.promote(resumed, 2) == resumed  # the controller has yet to notice
    assert steps.promote(MID, 2).step_index == 2
    assert steps.promote(replace(MID, step_index=2), 2).step_index == 2


def test_other_human_actions() -> None:
    assert steps.promote_full(MID).promote_full
    assert not steps.promote_full(replace(MID, current="old")).promote_full
    aborted = replace(steps.abort(MID), aborted_at_s=5.0)
    again = steps.retry(aborted)
    assert (again.abort, again.step_index, again.aborted_at_s) == (False, 0, 5.0)
    assert steps.retry(MID) == MID


def test_reset_forgets_the_last_update() -> None:
    status = replace(MID, abort=True, aborted_at_s=1.0, promote_full=True, controller_pause=True, experiment="e")
    clean = steps.reset_rollout_status(status, 2)
    assert clean == RolloutStatus(current="new", stable="old", steps=MID.steps, step_index=0)
    assert steps.reset_rollout_status(status, 0).step_index is None


def test_a_new_revision_is_another_template_or_other_steps() -> None:
    spec = RolloutSpec(CanaryStrategy((SetWeight(1), Pause())), template="new")
    changed = steps.pod_template_or_steps_changed
    assert not changed(spec, MID)
    assert changed(replace(spec, template="newer"), MID)
    assert changed(replace(spec, strategy=CanaryStrategy((SetWeight(2),))), MID)
    assert not changed(spec, RolloutStatus())


# -- delays


@pytest.mark.parametrize(
    ("strategy", "old_s", "abort_s", "delays"),
    [
        (BASIC, 0.0, 0.0, False),
        (ROUTED, 30.0, 30.0, True),
        (replace(ROUTED, abort_scale_down_delay_s=0.0), 30.0, None, False),
        (replace(ROUTED, abort_scale_down_delay_s=9.0, scale_down_delay_s=7.0), 7.0, 9.0, True),
        (DYNAMIC, 30.0, 30.0, False),  # drains with the weights
        (replace(DYNAMIC, abort_scale_down_delay_s=9.0), 30.0, 9.0, True),
        (replace(DYNAMIC, abort_scale_down_delay_s=0.0), 30.0, None, False),
        (BLUE_GREEN, 30.0, 30.0, True),
        (replace(BLUE_GREEN, abort_scale_down_delay_s=0.0), 30.0, None, False),
        (replace(BASIC, abort_scale_down_delay_s=9.0), 0.0, 0.0, False),
    ],
)
def test_delays(
    strategy: CanaryStrategy | BlueGreenStrategy, old_s: float, abort_s: float | None, delays: bool
) -> None:
    assert lifecycle.scale_down_delay(strategy) == old_s
    assert lifecycle.abort_scale_down_delay(strategy) == abort_s
    assert lifecycle.should_delay_scale_down_on_abort(strategy, aborted=True, has_stable=True) is delays
    assert not lifecycle.should_delay_scale_down_on_abort(strategy, aborted=False, has_stable=True)
    assert not lifecycle.should_delay_scale_down_on_abort(strategy, aborted=True, has_stable=False)


@pytest.mark.parametrize(
    ("at", "stable", "expected"),
    [
        (None, 9, lifecycle.NewSetOnAbort()),  # stable is not whole: no clock yet
        (None, 10, lifecycle.NewSetOnAbort(set_deadline_s=130.0, requeue_s=30.0)),
        (120.0, 9, lifecycle.NewSetOnAbort(requeue_s=20.0)),
        (99.0, 9, lifecycle.NewSetOnAbort(size=0)),
        (1001.0, 9, lifecycle.NewSetOnAbort(size=3)),  # further than the resync: does not hold
        (math.nan, 9, lifecycle.NewSetOnAbort(size=3)),
    ],
)
def test_new_set_after_abort(at: float | None, stable: int, expected: lifecycle.NewSetOnAbort) -> None:
    new = ReplicaSetView("new", spec=5, scale_down_at_s=at)
    got = lifecycle.deadline_after_abort(new, now=100.0, wanted=3, delay_s=30.0, stable_available=stable, replicas=10)
    assert got == expected


@pytest.mark.parametrize(
    ("at", "counted", "limit", "expected"),
    [
        (None, 0, math.inf, lifecycle.OldSetDelay(5, 1, 130.0, 30.0)),
        (None, 1, 1, lifecycle.OldSetDelay(0, 1)),
        (120.0, 0, 1, lifecycle.OldSetDelay(9, 1, None, 20.0)),
        (120.0, 1, 1, lifecycle.OldSetDelay(0, 2)),
        (99.0, 0, 1, lifecycle.OldSetDelay(0, 1)),
        (math.nan, 0, 1, lifecycle.OldSetDelay(0, 1)),  # unreadable = passed
        (2000.0, 0, 1, lifecycle.OldSetDelay(9, 1)),  # holds, and waits for the resync
    ],
)
def test_replaced_set(at: float | None, counted: int, limit: float, expected: lifecycle.OldSetDelay) -> None:
    view = ReplicaSetView("old", spec=5, scale_down_at_s=at)
    got = lifecycle.scale_down_delay_helper(view, counted=counted, held_size=9, delay_s=30.0, limit=limit, now=100.0)
    assert got == expected


def test_scale_down_delay_0_keeps_the_set() -> None:
    """Issues 1639 and 1992."""
    got = lifecycle.scale_down_delay_helper(ReplicaSetView("old", spec=5), counted=0, held_size=5, delay_s=0.0, now=0.0)
    assert got == lifecycle.OldSetDelay(5, 1)


# -- rollbacks


def revisions(n: int, **changes: object) -> list[ReplicaSetView]:
    return [ReplicaSetView(f"r{i}", f"t{i}", created_s=float(i), **changes) for i in range(n)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "window", "within"),
    [(3, 1, True), (2, 1, False), (2, 2, True), (1, 3, True), (0, 3, False), (3, 0, False), (3, None, False)],
)
def test_rollback_window(target: int, window: int | None, within: bool) -> None:
    sets = revisions(5)
    assert lifecycle.is_rollback_within_window(sets[target], sets[4], sets, window) is within


def test_experiment_sets_are_not_in_the_window_and_only_older_sets_are() -> None:
    sets = revisions(3)
    sets[1] = replace(sets[1], experiment=True)
    assert lifecycle.is_rollback_within_window(sets[0], sets[2], sets, 1)
    assert not lifecycle.is_rollback_within_window(sets[2], sets[0], sets, 5)
    assert not lifecycle.is_rollback_within_window(None, sets[0], sets, 5)


def test_fast_rollback() -> None:
    old, stable = revisions(2)
    fast = lifecycle.is_fast_rollback
    assert fast(stable, stable, [], revisions=None, blue_green=False)
    assert not fast(old, stable, [], revisions=None, blue_green=True)
    waiting = replace(old, scale_down_at_s=50.0)
    assert fast(waiting, stable, [], revisions=None, blue_green=True)
    assert not fast(waiting, stable, [], revisions=None, blue_green=False)
    assert not fast(replace(stable, scale_down_at_s=50.0), old, [], revisions=None, blue_green=True)  # an abort
    assert fast(old, stable, [], revisions=1, blue_green=False)


@pytest.mark.parametrize(
    ("changes", "promotes"),
    [
        ({}, False),
        ({"has_stable": False, "enough_available": False}, True),
        ({"steps_done": True}, True),
        ({"steps_done": True, "enough_available": False}, False),
        ({"steps_done": True, "aborted": True}, False),
        ({"promote_full": True}, True),
        ({"fast_rollback": True}, True),
        ({"fast_rollback": True, "aborted": True}, False),
    ],
)
def test_canary_promotes(changes: dict[str, bool], promotes: bool) -> None:
    facts = {
        "has_stable": True,
        "aborted": False,
        "enough_available": True,
        "promote_full": False,
        "fast_rollback": False,
        "steps_done": False,
    }
    assert lifecycle.should_full_promote_canary(**facts | changes) is promotes


@pytest.mark.parametrize(
    ("changes", "exceeded"),
    [
        ({}, True),
        ({"now": 600.0}, False),
        ({"last_update_s": None}, False),
        ({"completed": True}, False),
        ({"progressed": True}, False),
        ({"indefinite_step": True}, False),
        ({"paused": True}, False),
        ({"deadline_pending": True}, False),
    ],
)
def test_progress_deadline(changes: dict[str, object], exceeded: bool) -> None:
    facts: dict[str, object] = {
        "now": 600.1,
        "last_update_s": 0.0,
        "deadline_s": 600.0,
        "completed": False,
        "progressed": False,
        "indefinite_step": False,
        "paused": False,
        "deadline_pending": False,
    }
    assert lifecycle.progress_deadline_exceeded(**facts | changes) is exceeded  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("progress", "paused", "phase"),
    [
        (ProgressReason.ABORTED, True, RolloutPhase.DEGRADED),
        (ProgressReason.TIMED_OUT, False, RolloutPhase.DEGRADED),
        (ProgressReason.UPDATED, True, RolloutPhase.PAUSED),
        (ProgressReason.UPDATED, False, RolloutPhase.PROGRESSING),
    ],
)
def test_phase(progress: ProgressReason, paused: bool, phase: RolloutPhase) -> None:
    spec = RolloutSpec(BASIC, template="new", replicas=2, paused=paused)
    assert calculate_rollout_phase(spec, replace(MID, progressing=Progressing(progress, 0.0)))[0] is phase


def test_phase_healthy() -> None:
    spec = RolloutSpec(BASIC, template="new", replicas=2)
    status = RolloutStatus(current="new", stable="new", replicas=2, updated=2, available=2)
    assert calculate_rollout_phase(spec, status)[0] is RolloutPhase.HEALTHY
    assert calculate_rollout_phase(spec, replace(status, replicas=3))[1] == "old replicas are pending termination"
    assert calculate_rollout_phase(spec, replace(status, stable="old"))[1] == "waiting for all steps to complete"


# -- analysis


def test_when_a_run_is_created() -> None:
    failed, unsure = RunView("r", RunPhase.FAILED), RunView("r", RunPhase.INCONCLUSIVE)
    assert needs_new_analysis_run(None, MID)
    assert not needs_new_analysis_run(failed, MID)
    assert needs_new_analysis_run(failed, replace(MID, aborted_at_s=1.0))  # a retry
    resumed = replace(MID, controller_pause=True)
    assert needs_new_analysis_run(unsure, resumed)
    assert not needs_new_analysis_run(RunView("r", RunPhase.RUNNING), resumed)
    for reason in (PauseReason.BLUE_GREEN_PAUSE, PauseReason.CANARY_PAUSE_STEP):  # paused for another reason: news
        assert not needs_new_analysis_run(unsure, replace(resumed, pauses=(PauseCondition(reason, 0.0),)))


def test_background_run_waits_for_its_step() -> None:
    assert not background_run_due(MID, starting_step=2, n_steps=3)
    assert background_run_due(MID, starting_step=1, n_steps=3)
    assert background_run_due(replace(MID, step_index=3), starting_step=9, n_steps=3)
    assert not background_run_due(replace(MID, stable="new"), starting_step=0, n_steps=3)
    assert not background_run_due(replace(MID, stable=""), starting_step=0, n_steps=3)


# -- blue-green


def test_blue_green_counts() -> None:
    wanted = bluegreen.new_rs_new_replicas
    assert wanted(10, None, new_is_active=False) == 10
    assert wanted(10, 2, new_is_active=False) == 2
    assert wanted(10, 2, new_is_active=True) == 10
    assert wanted(10, 2, new_is_active=False, promote_full=True) == 10
    assert wanted(10, 2, new_is_active=False, check_point=True) == 10
    assert wanted(10, 2, new_is_active=False, check_point=True, paused=True) == 2
    assert wanted(10, 2, new_is_active=False, check_point=True, new_update=True) == 2
    whole = ReplicaSetView("a", spec=4, available=4, desired=4)
    assert bluegreen.is_saturated(whole, 4)
    assert not bluegreen.is_saturated(replace(whole, desired=5), 4)
    assert not bluegreen.is_saturated(None, 4)
    assert bluegreen.ready_for_pause(replace(whole, desired=5), 4)


@pytest.mark.parametrize(
    ("enabled", "seconds", "start_s", "controller", "done"),
    [
        (None, 0.0, None, False, True),
        (True, 30.0, None, False, False),  # never paused yet
        (True, 30.0, 70.0, True, False),  # strictly after
        (True, 30.0, 69.9, True, True),
        (True, 30.0, None, True, False),  # a resume does not end it
        (False, 0.0, 0.0, True, False),
        (False, 5.0, 0.0, True, False),  # seconds are ignored
        (False, 0.0, None, True, True),
        (False, 0.0, None, False, False),
    ],
)
def test_blue_green_pause(
    enabled: bool | None, seconds: float, start_s: float | None, controller: bool, done: bool
) -> None:
    strategy = BlueGreenStrategy(auto_promotion_enabled=enabled, auto_promotion_s=seconds)
    over = bluegreen.completed_blue_green_pause
    assert over(strategy, now=100.0, pause_start_s=start_s, controller_pause=controller) is done
    assert not over(strategy, now=100.0, pause_start_s=start_s, controller_pause=controller, just_paused=True)
    assert over(strategy, now=100.0, pause_start_s=start_s, controller_pause=controller, check_point=True)


@settings(deadline=None, derandomize=True)
@given(st.tuples(*[st.booleans()] * 6))
def test_active_switch(flags: tuple[bool, bool, bool, bool, bool, bool]) -> None:
    ready, saturated, fast, paused, tested, aborted = flags
    switch = bluegreen.active_switch(
        active="old",
        new="new",
        stable="stable",
        ready=ready,
        saturated=saturated,
        fast_tracked=fast,
        pause_done=paused,
        pre_promotion_done=tested,
        aborted=aborted,
    )
    assert switch.held is not (ready and saturated)
    if switch.held:  # whatever else, an abort included
        assert switch.template == "old"
    elif aborted:
        assert switch.template == "stable"
    else:
        assert (switch.template == "new") is (fast or (paused and tested))


def test_blue_green_runs_and_promotion() -> None:
    new = ReplicaSetView("new", "new", spec=2, available=2, desired=4)
    skip = bluegreen.skip_pre_promotion_analysis_run
    assert not skip(new, replicas=4, preview_replica_count=2, stable="old", active="old")
    assert skip(new, replicas=4, preview_replica_count=None, stable="old", active="old")
    assert skip(new, replicas=4, preview_replica_count=2, stable="old", active="new")
    whole = replace(new, spec=4, available=4)
    assert not bluegreen.skip_post_promotion_analysis_run(whole, replicas=4, stable="old", active="new")
    assert bluegreen.skip_post_promotion_analysis_run(whole, replicas=4, stable="old", active="old")
    promote = bluegreen.should_full_promote_blue_green
    assert promote(has_stable=True, active="", current="new")
    assert not promote(has_stable=True, active="old", current="new", promote_full=True)
    assert promote(has_stable=True, active="new", current="new")
    assert not promote(has_stable=True, active="new", current="new", post_promotion_done=False)
    assert not promote(has_stable=True, active="new", current="new", aborted=True)
    assert not promote(has_stable=True, active="new", current="new", targets_verified=False)
    assert promote(has_stable=True, active="new", current="new", promote_full=True, post_promotion_done=False)
    point = bluegreen.calculate_scale_up_preview_check_point
    assert point(2, before=False, pre_promotion_done=True, pause_done=True, new_available=2)
    assert not point(2, before=False, pre_promotion_done=True, pause_done=True, new_available=1)
    assert point(2, before=True, pre_promotion_done=False, pause_done=False, new_available=0)
    assert not point(None, before=True, pre_promotion_done=True, pause_done=True, new_available=2)


# -- experiments

EXPERIMENT = Experiment(
    (ExperimentTemplate("base"), ExperimentTemplate("new", replicas=2)),
    "60s",
    (ExperimentAnalysis("compare", required_for_completion=True),),
)


def test_experiment_clock_starts_when_all_pods_are_available() -> None:
    start = calculate_experiment_status(EXPERIMENT, ExperimentStatus(), available={"base": 1}, runs={}, now=0.0)
    assert (start.status.available_at_s, start.sizes, start.start_analyses) == (None, {"base": 1, "new": 2}, ())
    whole = {"base": 1, "new": 2}
    ready = calculate_experiment_status(EXPERIMENT, start.status, available=whole, runs={}, now=10.0)
    assert (ready.status.phase, ready.start_analyses, ready.requeue_after_s) == (RunPhase.RUNNING, ("compare",), 60.0)
    runs = {"compare": RunPhase.RUNNING}
    on = calculate_experiment_status(EXPERIMENT, ready.status, available=whole, runs=runs, now=70.0)
    assert on.status.phase is RunPhase.RUNNING  # strictly after its duration
    done = calculate_experiment_status(EXPERIMENT, on.status, available=whole, runs=runs, now=70.1)
    assert (done.status.phase, done.terminate_analyses) == (RunPhase.SUCCESSFUL, ("compare",))
    kept = calculate_experiment_status(EXPERIMENT, done.status, available=whole, runs={}, now=100.0)
    assert kept.sizes == {"base": 1, "new": 2}
    gone = calculate_experiment_status(EXPERIMENT, done.status, available=whole, runs={}, now=100.2)
    assert gone.sizes == {"base": 0, "new": 0}


@pytest.mark.parametrize(
    ("run", "timed_out", "terminate", "phase"),
    [
        (RunPhase.SUCCESSFUL, None, False, RunPhase.SUCCESSFUL),
        (RunPhase.RUNNING, None, False, RunPhase.RUNNING),
        (RunPhase.FAILED, None, False, RunPhase.FAILED),
        (RunPhase.ERROR, None, True, RunPhase.ERROR),
        (RunPhase.INCONCLUSIVE, None, False, RunPhase.INCONCLUSIVE),
        (RunPhase.RUNNING, "new", False, RunPhase.FAILED),
        (RunPhase.RUNNING, None, True, RunPhase.SUCCESSFUL),
    ],
)
def test_experiment_without_a_duration(run: RunPhase, timed_out: str | None, terminate: bool, phase: RunPhase) -> None:
    got = calculate_experiment_status(
        replace(EXPERIMENT, duration=None),
        ExperimentStatus(RunPhase.RUNNING, available_at_s=0.0),
        available={"base": 1, "new": 2},
        runs={"compare": run},
        now=1e6,
        timed_out=timed_out,
        terminate=terminate,
    )
    assert got.status.phase is phase
