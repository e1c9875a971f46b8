"""What happens in an Experiment: fresh pods of the stable template beside as many new ones, watched for a time?

Its clock starts when all templates are available; it ends strictly after its duration, when a required analysis has
succeeded, or early when one fails. Its pods stay for 30 s after the end.

Source: argo-rollouts experiments/experiment.go: calculateStatus, experiments/replicaset.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from zdsim.cluster.api import PodTemplate, ReplicaSet, ReplicaSetChange, ReplicaSetState
from zdsim.rollout.argo.spec import Experiment, SpecRef
from zdsim.rollout.argo.state import ExperimentStart, ExperimentView, RunPhase
from zdsim.rollout.rollout_controller import RolloutController
from zdsim.run.rollout_spec import Check

if TYPE_CHECKING:
    from zdsim.run.world import World

__all__ = ["Experiments"]

SCALE_DOWN_DELAY_S: Final = 30.0
SLACK_S: Final = 1e-3  # "strictly after"


@dataclass(slots=True)
class _Playing:
    spec: Experiment
    view: ExperimentView
    sets: dict[str, ReplicaSet]  # by template name of the experiment
    replicas: dict[str, int]
    runs: dict[str, bool] = field(default_factory=dict)  # by name: required for completion
    done: set[str] = field(default_factory=set)
    began: bool = False


class Experiments:
    """The experiments of one rollout."""

    def __init__(self, world: World, controller: RolloutController, template_of: Callable[[str], PodTemplate]) -> None:
        self._world, self._controller, self._template_of = world, controller, template_of
        self._playing: dict[str, _Playing] = {}
        self._rows: dict[str, int] = {}  # of the templates, in the request plane
        self._checks: Mapping[str, Check] = {}
        world.control.api.watch_replicasets(self._heard, who="experiments-controller")

    def revision_of(self, template: str) -> int:
        """Row of an experiment template's pods in the request plane."""
        return self._rows[template]

    def start(self, start: ExperimentStart, checks: Mapping[str, Check]) -> None:
        """Bring up the templates; analyses begin when they are available."""
        world, spec = self._world, self._controller.spec
        step = spec.steps[start.step_index]
        assert isinstance(step, Experiment), step
        playing = _Playing(step, ExperimentView(start.name, RunPhase.PENDING), {}, {})
        self._playing[start.name] = playing
        for one in start.templates:
            stable = one.spec_ref is SpecRef.STABLE
            base = self._template_of(self._controller.status.stable if stable else spec.template)
            row = world.experiment_revisions[0 if stable else 1]
            template = replace(base, name=f"{base.name}-{start.name}-{one.name}", revision=row)
            state = ReplicaSetState(spec=one.replicas, min_ready_s=int(spec.min_ready_s), desired=one.replicas)
            made = world.control.api.create_replicaset(world.name, template, state)
            self._controller.mark_experiment_set(made.name)
            playing.sets[one.name], playing.replicas[one.name] = made, one.replicas
            self._rows[one.name] = row
        self._checks = checks

    def terminate(self, name: str) -> None:
        """End it now: no verdict of its own."""
        playing = self._playing.get(name)
        if playing is not None and not playing.view.phase.completed:
            self._finish(playing, RunPhase.SUCCESSFUL, "terminated")

    def _heard(self, _: ReplicaSetChange) -> None:
        for playing in self._playing.values():
            ready = all(one.state.available >= playing.replicas[name] for name, one in playing.sets.items())
            if ready and not playing.began and not playing.view.phase.completed:
                self._begin(playing)

    def _begin(self, playing: _Playing) -> None:
        playing.began = True
        playing.view = replace(playing.view, templates=tuple(playing.sets))  # they may be given their weights now
        self._change(playing, RunPhase.RUNNING, "")
        duration_s = playing.spec.duration_s
        if duration_s is not None:
            self._world.clock.call_in(duration_s + SLACK_S, lambda: self._over(playing))
        baseline, canary = self._world.experiment_revisions
        for one in playing.spec.analyses:
            name = f"{playing.view.name}-{one.name}"
            playing.runs[name] = one.required_for_completion
            self._world.runs.start(
                name,
                self._checks.get(one.template, Check()),
                new=canary,
                stable=baseline,
                on_change=lambda n, phase, message: self._run_changed(playing, n, phase, message),
            )

    def _over(self, playing: _Playing) -> None:
        if not playing.view.phase.completed:
            self._finish(playing, RunPhase.SUCCESSFUL, "")

    def _run_changed(self, playing: _Playing, name: str, phase: RunPhase, message: str) -> None:
        if playing.view.phase.completed or not phase.completed:
            return
        if phase is not RunPhase.SUCCESSFUL:
            self._finish(playing, phase, message)
            return
        playing.done.add(name)
        required = {run for run, needed in playing.runs.items() if needed}
        if playing.spec.duration_s is None and required and required <= playing.done:
            self._finish(playing, RunPhase.SUCCESSFUL, "")

    def _finish(self, playing: _Playing, phase: RunPhase, message: str) -> None:
        self._change(playing, phase, message)
        for name in playing.runs:
            if name not in playing.done:
                self._world.runs.terminate(name)
        self._world.clock.call_in(SCALE_DOWN_DELAY_S, lambda: self._scale_down(playing))

    def _scale_down(self, playing: _Playing) -> None:
        for one in playing.sets.values():
            self._world.control.api.update_replicaset(one, version=None, spec=0, desired=0)

    def _change(self, playing: _Playing, phase: RunPhase, message: str) -> None:
        playing.view = replace(playing.view, phase=phase, message=message)
        self._controller.experiment_changed(playing.view)
