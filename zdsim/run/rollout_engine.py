"""How is a Rollout (Argo's own, or a generic canary or blue-green) played in a world?

The controller decides (`zdsim.rollout`); here its decisions reach the world: weights the router after its own lag,
selectors the endpoint slices, routes the request plane, analyses and experiments their processes. And what the run must
remember is noticed: promoted, aborted, back at full strength.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from zdsim.cluster.api import PodTemplate, ReplicaSet
from zdsim.cluster.journal import EntryKind
from zdsim.rollout.argo.spec import SetHeaderRoute, SetMirrorRoute
from zdsim.rollout.argo.state import (
    ExperimentStart,
    RolloutPhase,
    RolloutStatus,
    RunPhase,
    RunStart,
    RunView,
    ServiceRole,
)
from zdsim.rollout.rollout_controller import RolloutController
from zdsim.run.engine import RefusedError
from zdsim.run.experiment import Experiments
from zdsim.run.rollout_spec import Check, Played
from zdsim.run.templates import Templates

if TYPE_CHECKING:
    from zdsim.run.world import World

__all__ = ["RolloutEngine"]

NO_CHECK: Final = Check()


class RolloutEngine:
    """A Rollout and its controller.

    Args:
        world: already has its clock, cluster and service.
        played: the strategy.
    """

    def __init__(self, world: World, played: Played, templates: Templates) -> None:
        self._world, self._played, self._templates = world, played, templates
        self._weights = 0  # written so far
        self._weights_taken = 0  # the last one that the router follows
        self._switches = self._switches_taken = 0  # of the active service, likewise
        self._was_settled = False
        self._known: dict[str, PodTemplate] = {}
        self._deployment = world.scenario.deployment
        first = self._template(0)
        self._controller = RolloutController(
            world.control.api,
            world.journal,
            self,
            spec=played.spec(self._deployment, first.name),
            template=first,
            services=played.services,
        )
        self._experiments = Experiments(world, self._controller, self._template_of)
        if played.routed:
            world.plane.set_weights(_shares(world.n_revisions, {0: 1.0}), world.clock.now)

    # --- Engine ---------------------------------------------------------------------------------------------------

    @property
    def strategy(self) -> str:
        return self._played.name

    @property
    def wanted(self) -> str:
        status = self._controller.status
        return status.stable if status.abort else self._controller.spec.template

    @property
    def settled(self) -> bool:
        status = self._controller.status
        if not status.abort:
            return self._controller.settled
        return self._stable_stands and (status.weights is None or status.weights.canary == 0)

    @property
    def stuck(self) -> bool:
        status = self._controller.status
        return status.phase is RolloutPhase.DEGRADED and not status.abort

    def begin(self) -> None:
        pass  # the controller's first pass creates the old revision

    def opened(self) -> None:
        if self._deployment.paused:
            self._controller.set_paused(paused=True)

    def release(self, n: int, *, template_changed: bool) -> str:
        before, after = self._controller.spec, self._world.scenario.deployment_after(n)
        paused = before.paused if after.paused == self._deployment.paused else after.paused
        self._deployment = after
        if template_changed:
            template = self._template(n)
            self._prepare(n)
        else:
            template = self._known[before.template]
        self._controller.apply(replace(self._played.spec(after, template.name), paused=paused), template)
        return f"template {before.template} -> {template.name}" if template_changed else "same template"

    def scale(self, replicas: int) -> str:
        before = self._controller.spec.replicas
        self._controller.scale(replicas)
        return f"replicas {before} -> {replicas}"

    def pause(self, *, paused: bool) -> None:
        self._controller.set_paused(paused=paused)

    def undo(self) -> str:
        status = self._controller.status
        if status.stable == self._controller.spec.template:
            raise RefusedError("the stable template is asked for already")
        return f"back to template {self._controller.undo()}"

    def act(self, action: str) -> str:
        """What a human does to a rollout: promote, promote_full, abort or retry."""
        actions: dict[str, Callable[[], None]] = {
            "promote": self._controller.promote,
            "promote_full": self._controller.promote_full,
            "abort": self._controller.abort,
            "retry": self._controller.retry,
        }
        actions[action]()
        return action.replace("_", " ")

    # --- Ports ----------------------------------------------------------------------------------------------------

    def set_weight(self, canary: int, status: RolloutStatus) -> None:
        """The router hears of a weight and follows after its lag."""
        world, weights = self._world, status.weights
        most = float(self._played.max_weight)
        new = self._controller.spec.template if weights is None else weights.canary_template
        stable = (status.stable or new) if weights is None else weights.stable_template
        parts = {self._revision(stable or new): 1.0}
        if canary > 0:
            share = canary / most
            parts[self._revision(stable or new)] = 1.0 - share
            parts[self._revision(new)] = parts.get(self._revision(new), 0.0) + share
        extras = () if weights is None else weights.additional
        for name, extra in extras:
            row = self._experiments.revision_of(name)
            parts[row] = parts.get(row, 0.0) + extra / most
            parts[self._revision(stable or new)] -= extra / most
        told = [f"{100.0 * canary / most:.4g} % of requests to {new}"] if canary else []
        told += [f"{100.0 * extra / most:.4g} % to the experiment's {name}" for name, extra in extras]
        self._weights += 1
        lag_s = world.luck.draw(world.scenario.router.lag, "router_weight", self._weights)
        shares = _shares(world.n_revisions, parts)
        world.journal.write(
            world.clock.now,
            EntryKind.ROLLOUT_STEP,
            world.name,
            "WeightWritten",
            ", ".join(told) or f"all requests to {stable or new}",
            weight=canary / most,
        )
        number = self._weights
        world.clock.call_in(lag_s, lambda: self._follow(number, shares))

    def _follow(self, number: int, shares: list[float]) -> None:
        """The router takes a weight over, unless a later one was quicker."""
        if number > self._weights_taken:
            self._weights_taken = number
            self._world.plane.set_weights(shares, self._world.clock.now)

    def set_service(self, role: ServiceRole, template: str) -> None:
        """The active service moves all traffic; the others send nobody anywhere by themselves."""
        if role is ServiceRole.ACTIVE:
            journal, now = self._world.journal, self._world.clock.now
            journal.write(
                now, EntryKind.ROLLOUT_STEP, self._world.name, "TrafficSwitched", f"all requests to {template}"
            )
            self._switches += 1
            number, law = self._switches, self._played.switch_lag
            if law is None or number == 1:  # the first choice is no switch
                self._switch(number, template)
                return
            lag_s = self._world.luck.draw(law, "switch", number)
            self._world.clock.call_in(lag_s, lambda: self._switch(number, template))

    def _switch(self, number: int, template: str) -> None:
        """The active service chooses the pods of a template, unless it was switched again meanwhile."""
        if number > self._switches_taken:
            self._switches_taken = number
            self._world.select(lambda pod: pod.template.name == template)

    def set_route(self, route: SetHeaderRoute | SetMirrorRoute | None) -> None:
        """Marked users, or copies of requests, go to the canary."""
        plane, now = self._world.plane, self._world.clock.now
        row = self._revision(self._controller.spec.template)
        classes = [True] * len(self._world.scenario.traffic.classes)
        match route:
            case None:
                plane.set_match(-1, 0.0, classes, now)
                plane.set_mirror(-1, 0.0, now)
            case SetHeaderRoute(match=()):
                plane.set_match(-1, 0.0, classes, now)
            case SetHeaderRoute():
                share, marked = 0.01, classes
                if self._played.match is not None:
                    share, names = self._played.match.share, self._played.match.classes
                    marked = [not names or one.name in names for one in self._world.scenario.traffic.classes]
                plane.set_match(row, share, marked, now)
            case SetMirrorRoute():
                share = 0.0 if not route.match else (route.percentage or 100) / 100.0
                plane.set_mirror(row if share else -1, share, now)

    def start_run(self, run: RunStart) -> None:
        """Play an analysis."""
        spec = self._controller.spec
        check = self._played.checks.get(run.templates[0], NO_CHECK) if run.templates else NO_CHECK
        self._world.runs.start(
            run.name,
            check,
            new=self._revision(spec.template),
            stable=self._revision(self._controller.status.stable or spec.template),
            on_change=self._run_changed,
        )

    def terminate_run(self, name: str) -> None:
        self._world.runs.terminate(name)

    def start_experiment(self, experiment: ExperimentStart) -> None:
        self._experiments.start(experiment, self._played.checks)

    def terminate_experiment(self, name: str) -> None:
        self._experiments.terminate(name)

    def status_changed(self, status: RolloutStatus) -> None:
        """Promoted, aborted, or back: the run must remember when."""
        world, now = self._world, self._world.clock.now
        world.story.available(now, sum(one.state.available for one in self._sets()))
        if status.abort:
            world.stage.decided("the rollout is aborted")
        settled = self.settled
        if settled and not self._was_settled:
            world.story.completed(now, self.wanted)
        self._was_settled = settled

    # --- helpers --------------------------------------------------------------------------------------------------

    def _run_changed(self, name: str, phase: RunPhase, message: str) -> None:
        self._controller.run_changed(RunView(name, phase, message))

    def _template(self, n: int) -> PodTemplate:
        template = self._templates.pod_template(self._world.scenario.deployment_after(n), n)
        self._known[template.name] = template
        return template

    def _template_of(self, name: str) -> PodTemplate:
        return self._known[name]

    def _revision(self, template: str) -> int:
        return self._known[template].revision

    def _sets(self) -> list[ReplicaSet]:
        api = self._world.control.api
        return [one for one in api.replicasets.values() if one.deployment == self._world.name]

    @property
    def _stable_stands(self) -> bool:
        stable = self._controller.status.stable
        return any(
            one.template.name == stable and one.state.available >= self._controller.spec.replicas
            for one in self._sets()
        )

    def _prepare(self, n: int) -> None:
        """Cookies are given out anew for every release."""
        if self._world.cookies:
            self._world.plane.set_cookie(n, self._world.clock.now)


def _shares(n_revisions: int, parts: dict[int, float]) -> list[float]:
    return [max(0.0, parts.get(r, 0.0)) for r in range(n_revisions)]
