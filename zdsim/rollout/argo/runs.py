"""Which AnalysisRuns must begin, end, or stop the rollout?

Each kind has one current run, named in the status. A run that ends badly aborts; one that is inconclusive pauses, and
the resume starts another. Success lets a step or a promotion go on, and nothing else.

Source: rollout/analysis.go.
"""

from __future__ import annotations

from zdsim.rollout.argo.state import PauseReason, RolloutStatus, RunView

__all__ = ["background_run_due", "needs_new_analysis_run"]


def needs_new_analysis_run(run: RunView | None, status: RolloutStatus) -> bool:
    """A run must be created (`needsNewAnalysisRun`): none yet, or one was inconclusive or aborted and it goes on.

    A controller pause without a condition of a pause step or of blue-green's own means an inconclusive run was already
    answered by a pause. With one, the run is news: the rollout must stop, not measure until it likes the answer.
    """
    if run is None:
        return True
    planned = (PauseReason.CANARY_PAUSE_STEP, PauseReason.BLUE_GREEN_PAUSE)
    if status.controller_pause and all(status.pause(reason) is None for reason in planned):
        return run.phase == "Inconclusive"
    return status.aborted_at_s is not None


def background_run_due(status: RolloutStatus, *, starting_step: int, n_steps: int) -> bool:
    """The background run should exist (`reconcileBackgroundAnalysisRun`, `BeforeStartingStep`).

    An update is on, with a stable set, and its step has come. After the last step every starting step has.
    """
    if status.stable == "" or status.current == "" or status.fully_promoted:
        return False
    index = status.step_index or 0
    return index >= n_steps or index >= starting_step
