"""Who replaces the pods, in the words of a release?

An engine turns what people do (apply a new template, scale, pause, undo, promote, abort) into what its controller
understands, and tells what a run must remember: what is wanted, whether it stands, what was decided and when.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from zdsim.cluster.api import Api, ConditionType, DeploymentChange, DeploymentSpec
from zdsim.rollout.control_plane import undo
from zdsim.rollout.history import UndoError
from zdsim.rollout.progress import ConditionReason
from zdsim.run.story import RECORDER, Story, is_complete
from zdsim.run.templates import Templates
from zdsim.scenario.model import Scenario

__all__ = ["DeploymentEngine", "Engine", "RefusedError"]


class RefusedError(Exception):
    """The controller (or its client) will not do that now; the text says why."""


class Engine(Protocol):
    """One way of replacing pods."""

    @property
    def strategy(self) -> str:
        """Its name in reports."""

    @property
    def wanted(self) -> str:
        """Name of the template that is to serve in the end."""

    @property
    def settled(self) -> bool:
        """What is wanted stands at full strength."""

    @property
    def stuck(self) -> bool:
        """Its deadline for progress has passed."""

    def begin(self) -> None:
        """Create the old revision; called once, before the traffic."""

    def opened(self) -> None:
        """The traffic begins now."""

    def release(self, n: int, *, template_changed: bool) -> str:
        """Apply the n-th release; returns what was done, for the journal."""

    def scale(self, replicas: int) -> str: ...

    def pause(self, *, paused: bool) -> None: ...

    def undo(self) -> str:
        """Go back to the template before. Raises RefusedError."""

    def act(self, action: str) -> str:
        """A human promotes, promotes fully, aborts or retries. Raises RefusedError."""


class DeploymentEngine:
    """Kubernetes' Deployment: rolling update or recreate."""

    def __init__(self, scenario: Scenario, templates: Templates, api: Api, story: Story) -> None:
        self._scenario, self._templates, self._api, self._story = scenario, templates, api, story
        self._name = scenario.deployment.name
        self._first = templates.deployment_spec(scenario.deployment, 0)

    @property
    def strategy(self) -> str:
        return self._first.strategy.value

    @property
    def wanted(self) -> str:
        return self._spec.template.name

    @property
    def settled(self) -> bool:
        return is_complete(self._api.deployments[self._name].state)

    @property
    def stuck(self) -> bool:
        condition = self._api.deployments[self._name].state.status.condition(ConditionType.PROGRESSING)
        return condition is not None and condition.reason == ConditionReason.TIMED_OUT

    @property
    def _spec(self) -> DeploymentSpec:
        return self._api.deployments[self._name].state.spec

    def begin(self) -> None:
        self._api.watch_deployments(self._changed, who=RECORDER)
        self._api.create_deployment(self._name, replace(self._first, paused=False))

    def opened(self) -> None:
        if self._first.paused:  # as the manifest says, but not before the old revision stands
            self._api.pause(self._name)

    def release(self, n: int, *, template_changed: bool) -> str:
        before, after = self._scenario.deployment_after(n - 1), self._scenario.deployment_after(n)
        spec = self._templates.deployment_spec(after, n)
        known = self._spec
        changes: dict[str, Any] = {
            "strategy": spec.strategy,
            "max_surge": spec.max_surge,
            "max_unavailable": spec.max_unavailable,
            "min_ready_s": spec.min_ready_s,
            "progress_deadline_s": spec.progress_deadline_s,
        }
        if after.replicas != before.replicas:
            changes["replicas"] = spec.replicas
        if template_changed:
            changes["template"] = spec.template
        self._api.patch_deployment(self._name, **changes)
        return f"template {known.template.name} -> {spec.template.name}" if template_changed else "same template"

    def scale(self, replicas: int) -> str:
        before = self._spec.replicas
        self._api.scale(self._name, replicas)
        return f"replicas {before} -> {replicas}"

    def pause(self, *, paused: bool) -> None:
        if paused:
            self._api.pause(self._name)
        else:
            self._api.resume(self._name)

    def undo(self) -> str:
        if self._spec.paused:
            self.pause(paused=False)  # kubectl refuses to undo while paused; an operator resumes first
        try:
            state = undo(self._api, self._name)
        except UndoError as refused:
            raise RefusedError(str(refused)) from refused
        return f"back to template {state.spec.template.name}"

    def act(self, action: str) -> str:
        raise RefusedError(f"a Deployment knows no {action.replace('_', ' ')}")

    def _changed(self, change: DeploymentChange) -> None:
        status, before = change.state.status, change.before
        if before is None or status.available != before.status.available:
            self._story.available(change.time, status.available)
        if is_complete(change.state) and (before is None or not is_complete(before)):
            self._story.completed(change.time, change.state.spec.template.name)
