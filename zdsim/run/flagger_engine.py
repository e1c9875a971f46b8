"""How is a Flagger Canary played in a world?

Two Deployments under Kubernetes' own controller: the target is the canary and has no pods between releases, the primary
is its copy and serves. `FlaggerController` decides once an interval; here its decisions reach the world.

A router sends its weights to two services, and each service its share to whatever pods it has: while the primary takes
a new template both templates are in it. So the request plane has a row for each template in each Deployment, and a
service's weight is spread over its rows by the pods that routers know, anew with every view. Between routers whose
views differ for a moment the mean counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from zdsim.cluster.api import ConditionType, DeploymentChange, DeploymentState, PodTemplate
from zdsim.cluster.journal import EntryKind
from zdsim.plane.config import PlaneRecord
from zdsim.rollout.control_plane import undo
from zdsim.rollout.flagger import CanaryPhase, Reason, Routes, Tick
from zdsim.rollout.flagger_controller import FlaggerController, primary_of
from zdsim.rollout.flagger_metrics import MetricCheck, MetricOutcome, WebhookType, check_metrics
from zdsim.rollout.flagger_spec import KUBERNETES_PROVIDER, CanarySpec, Strategy, strategy
from zdsim.rollout.history import UndoError
from zdsim.rollout.progress import ConditionReason
from zdsim.run.engine import RefusedError
from zdsim.run.gates import answer
from zdsim.run.story import RECORDER, is_complete
from zdsim.run.templates import Templates
from zdsim.scenario.flagger import FlaggerCanary, FlaggerMetric
from zdsim.scenario.flagger_load import Gate, Load, gate_of, load_of
from zdsim.scenario.played import flagger_measure

if TYPE_CHECKING:
    from zdsim.run.world import World

__all__ = ["FlaggerEngine", "canary_spec"]

MATCH_SHARE: Final = 0.01  # of users carry the header or cookie of an A/B test
OFFERED_S: Final = 60.0  # looked back on for the rate that a load test is compared with
_NAMES: Final = {
    Strategy.PROGRESSIVE: "Flagger canary",
    Strategy.AB: "Flagger A/B",
    Strategy.BLUE_GREEN: "Flagger blue/green",
}
_ROLLBACKS: Final = frozenset(
    {Reason.THRESHOLD_REACHED, Reason.ROLLBACK_ASKED, Reason.CANARY_STUCK, Reason.PRIMARY_STUCK}
)
_STARTS: Final = frozenset({Reason.NEW_REVISION, Reason.REVISION_CHANGED})
_PROMOTIONS: Final = frozenset({Reason.PROMOTION_FINISHED, Reason.ANALYSIS_SKIPPED})


def canary_spec(canary: FlaggerCanary) -> CanarySpec:
    """What the controller needs of a Canary."""
    one = canary.analysis
    return CanarySpec(
        interval_s=one.interval_s,
        threshold=one.threshold,
        max_weight=one.max_weight,
        step_weight=one.step_weight,
        step_weights=one.step_weights,
        step_weight_promotion=one.step_weight_promotion,
        iterations=one.iterations,
        match=bool(one.match),
        mirror=one.mirror,
        skip_analysis=canary.skip_analysis,
        provider=canary.provider or "istio",
        progress_deadline_s=float(canary.progress_deadline_s),
        primary_ready_threshold=one.primary_ready_threshold,
        canary_ready_threshold=one.canary_ready_threshold,
    )


class FlaggerEngine:
    """A Canary and its controller.

    Args:
        world: already has its clock, cluster and service.
        canary: of the manifest.
    """

    def __init__(self, world: World, canary: FlaggerCanary, templates: Templates) -> None:
        self._world, self._canary, self._templates = world, canary, templates
        self._api = world.control.api
        self._spec = canary_spec(canary)
        self._target, self._primary = world.name, primary_of(world.name)
        self._rows = world.n_revisions // 2  # of each Deployment: the primary's first, then the canary's
        self._written = self._routes = Routes()  # as last written, and as the router has them
        self._weights = 0  # written so far
        self._shares: list[float] = []  # as the request plane has them
        self._gates_open = False
        self._load: Load | None = None
        self._load_until_s = 0.0
        self._failed_promotion = False
        self._detected = False  # by a failed check
        self._was_settled = False
        self._wanted = "v1"

    # --- Engine ---------------------------------------------------------------------------------------------------

    @property
    def strategy(self) -> str:
        return _NAMES[strategy(self._spec)]

    @property
    def wanted(self) -> str:
        return self._wanted

    @property
    def settled(self) -> bool:
        """The primary is all there with what is wanted, and serves everybody (or the canary has the same)."""
        primary, target = self._state(self._primary), self._state(self._target)
        if primary.spec.template.name != self._wanted or not is_complete(primary):
            return False
        if self._wanted != self._controller.promoted:
            return False  # not before it is promoted
        same = target.spec.template.name == self._wanted and is_complete(target)
        return same or (self._routes.canary == 0 and self._controller.status.routes.canary == 0)

    @property
    def stuck(self) -> bool:
        states = (self._state(self._primary), self._state(self._target))
        return self._failed_promotion or any(_timed_out(one) for one in states)

    def begin(self) -> None:
        """Both Deployments as Flagger leaves them once initialised; its beat began long ago."""
        world, api = self._world, self._api
        first = replace(self._templates.deployment_spec(world.scenario.deployment, 0), paused=False)
        api.watch_deployments(self._changed, who=RECORDER)
        api.create_deployment(self._primary, first)
        api.create_deployment(self._target, replace(first, template=self._for_canary(first.template), replicas=0))
        self._controller = FlaggerController(api, world.journal, self, spec=self._spec, target=self._target)
        self._controller.suspended = self._canary.suspend
        self._controller.start(world.luck.unit("flagger/beat", 0) * self._controller.interval_s)
        world.view_listeners.append(self._push)
        self._push()

    def opened(self) -> None:
        pass

    def release(self, n: int, *, template_changed: bool) -> str:
        """The target's manifest is applied: its template, and its size again, which Flagger had set to 0."""
        after = self._world.scenario.deployment_after(n)
        spec = self._templates.deployment_spec(after, n)
        before = self._state(self._target).spec
        changes: dict[str, Any] = {
            "strategy": spec.strategy,
            "max_surge": spec.max_surge,
            "max_unavailable": spec.max_unavailable,
            "min_ready_s": spec.min_ready_s,
            "progress_deadline_s": spec.progress_deadline_s,
        }
        if template_changed:
            changes |= {"template": self._for_canary(spec.template), "replicas": spec.replicas}
            self._gates_open = self._failed_promotion = False
            self._wanted = spec.template.name
        self._api.patch_deployment(self._target, **changes)
        self._note()
        return f"template {before.template.name} -> {spec.template.name}" if template_changed else "same template"

    def scale(self, replicas: int) -> str:
        """The Deployment that serves is scaled."""
        before = self._state(self._primary).spec.replicas
        self._api.scale(self._primary, replicas)
        return f"replicas of {self._primary} {before} -> {replicas}"

    def pause(self, *, paused: bool) -> None:
        self._controller.suspended = paused

    def undo(self) -> str:
        """`kubectl rollout undo` of the target. A return to the promoted template is no new canary."""
        try:
            state = undo(self._api, self._target)
        except UndoError as refused:
            raise RefusedError(str(refused)) from refused
        self._wanted = state.spec.template.name
        self._note()
        return f"back to template {self._wanted}"

    def act(self, action: str) -> str:
        """A human opens the gates, sets skipAnalysis, or opens the rollback gate."""
        actions: dict[str, Callable[[], str]] = {
            "promote": self._open_gates,
            "promote_full": self._skip_analysis,
            "abort": self._ask_rollback,
            "retry": self._retry,
        }
        return actions[action]()

    def _open_gates(self) -> str:
        self._gates_open = True
        return "the gates are opened"

    def _skip_analysis(self) -> str:
        self._refuse_at_rest()
        self._controller.skip_analysis()
        return "skipAnalysis is set"

    def _ask_rollback(self) -> str:
        self._refuse_at_rest()
        self._controller.rollback_asked = True
        return "the rollback gate is opened"

    def _retry(self) -> str:
        raise RefusedError("Flagger starts anew only for another template")

    def _refuse_at_rest(self) -> None:
        if self._controller.status.phase.resting:
            raise RefusedError("no canary is under way")

    # --- Ports ----------------------------------------------------------------------------------------------------

    def set_routes(self, routes: Routes) -> None:
        """The router hears of weights, a match or a mirror and follows after its lag."""
        if self._spec.provider == KUBERNETES_PROVIDER or routes == self._written:
            return  # that provider's service always selects the primary
        self._written, world = routes, self._world
        self._weights += 1
        lag_s = world.luck.draw(world.scenario.router.lag, "router_weight", self._weights)
        message = f"{routes.canary} % of {'matched users' if self._is_ab else 'requests'} to the canary"
        message += ", copies of requests too" if routes.mirrored else ""
        share = routes.canary / 100.0
        world.journal.write(
            world.clock.now, EntryKind.ROLLOUT_STEP, self._target, "WeightWritten", message, weight=share
        )
        world.clock.call_in(lag_s, lambda: self._route(routes))

    def primary_template(self, target: PodTemplate) -> PodTemplate:
        return replace(target, revision=target.revision - self._rows)

    def agrees(self, hook: WebhookType) -> bool:
        """Gates open by hand or never, load tests begin; everybody is taken to agree otherwise."""
        for one in self._canary.analysis.webhooks:
            if one.type.value != hook.value:
                continue
            gate, load = gate_of(one), load_of(one)
            if hook.only_holds and (gate is Gate.CLOSED or (gate is Gate.BY_HAND and not self._gates_open)):
                return False
            if hook in (WebhookType.PRE_ROLLOUT, WebhookType.ROLLOUT) and load is not None:
                self._begin_load(load)
        return True

    def failed_metric(self) -> MetricOutcome | None:
        """Ask every metric that a simulated one stands for."""
        world, target = self._world, self._state(self._target).spec.template
        reader = replace(world.runs.reader, record=self._with_mirrored)
        stable = self._state(self._primary).spec.template.revision
        asked = []
        for metric in self._canary.analysis.metrics:
            mapped = flagger_measure(world.scenario, metric).as_
            if mapped is not None:
                value = answer(reader, mapped, now=world.clock.now, new=target.revision, stable=stable)
                asked.append((_check(metric), None if math.isnan(value) else value))
        return check_metrics(asked)

    def ticked(self, tick: Tick, failure: str | None) -> None:
        """Failed, rolled back, promoted: the run must remember when."""
        stage, reasons = self._world.stage, tick.reasons
        if failure is not None and stage.detected_s is None:
            stage.tell("detected", "FailedCheck", failure)
            self._detected = True
        if Reason.PROMOTION_FAILED in reasons:
            self._failed_promotion = True
        elif tick.phase is CanaryPhase.FAILED and _ROLLBACKS & set(reasons):
            why = ", ".join(reason.value for reason in reasons)
            if stage.detected_s is None:
                stage.tell("detected", why, why)
            self._wanted = self._state(self._primary).spec.template.name
            stage.decided(f"the canary is rolled back: {why}")
        elif _PROMOTIONS & set(reasons) and self._detected and stage.decided_s is None:
            stage.tell("cleared", "Succeeded", "promoted in spite of failed checks")
            self._detected = False
        if _STARTS & set(reasons) and self._canary.analysis.session_affinity is not None:
            row = self._state(self._target).spec.template.revision
            self._world.plane.set_cookie(row, self._world.clock.now)
        self._note()

    # --- helpers --------------------------------------------------------------------------------------------------

    @property
    def _is_ab(self) -> bool:
        return strategy(self._spec) is Strategy.AB

    def _for_canary(self, template: PodTemplate) -> PodTemplate:
        return replace(template, revision=template.revision + self._rows)

    def _state(self, name: str) -> DeploymentState:
        return self._api.deployments[name].state

    def _route(self, routes: Routes) -> None:
        """The router has new routes."""
        world, now = self._world, self._world.clock.now
        self._routes = routes
        row = self._state(self._target).spec.template.revision
        if self._is_ab:
            matched = routes.canary > 0
            classes = [True] * len(world.scenario.traffic.classes)
            world.plane.set_match(row if matched else -1, MATCH_SHARE if matched else 0.0, classes, now)
        self._copy_requests()
        self._push()
        self._note()

    def _begin_load(self, load: Load) -> None:
        """The load tester sends to the canary's own service, from now on for a while."""
        until_s = self._world.clock.now + load.duration_s
        self._load, self._load_until_s = load, max(until_s, self._load_until_s)
        self._world.clock.call_at(until_s, self._copy_requests)
        self._copy_requests()

    def _copy_requests(self) -> None:
        """Copies of requests for the canary: the mirror's, or as many as a load test would send."""
        world, now = self._world, self._world.clock.now
        share = 0.0
        if self._routes.mirrored:
            share = (self._canary.analysis.mirror_weight or 100) / 100.0
        if self._load is not None and now < self._load_until_s:
            share = max(share, min(1.0, self._load.rate / max(self._offered(), self._load.rate)))
        row = self._state(self._target).spec.template.revision if share > 0.0 else -1
        world.plane.set_mirror(row, share, now)

    def _offered(self) -> float:
        """Requests a second of users, over the last minute."""
        width_s = self._world.config.window_s
        last = max(1, int(self._world.clock.now / width_s))
        first = max(0, last - math.ceil(OFFERED_S / width_s))
        counts = self._world.plane.record().counts[first:last]
        return float(counts.sum()) / ((last - first) * width_s)

    def _push(self) -> None:
        """Each service's weight over its rows, as routers know its pods; without any it goes where nobody answers."""
        known = self._world.viewed()
        to_canary = 0.0 if self._is_ab else self._routes.canary / 100.0
        shares = [0.0] * self._world.n_revisions
        for name, first, weight in (
            (self._primary, 0, 1.0 - to_canary),
            (self._target, self._rows, to_canary),
        ):
            rows = range(first, first + self._rows)
            pods = sum(known[row] for row in rows)
            for row in rows:
                shares[row] = weight * known[row] / pods if pods else 0.0
            if not pods:
                shares[self._state(name).spec.template.revision] = weight
        if shares != self._shares:
            self._shares = shares
            self._world.plane.set_weights(shares, self._world.clock.now)

    def _with_mirrored(self) -> PlaneRecord:
        """The counts as a mesh reports them: what is answered to a copy counts as well."""
        record = self._world.plane.record()
        if not self._world.config.mirrors:
            return record
        counts, latency = record.counts.copy(), record.latency.copy()
        counts[:, :, 0] += record.mirrored
        latency += record.mirror_latency.astype(latency.dtype)
        return replace(record, counts=counts, latency=latency)

    def _changed(self, change: DeploymentChange) -> None:
        before = change.before
        if before is None or change.state.status.available != before.status.available:
            available = sum(one.state.status.available for one in self._api.deployments.values())
            self._world.story.available(change.time, available)
        if before is not None:
            self._note()

    def _note(self) -> None:
        """What is wanted stands: the run must remember when."""
        settled = self.settled
        if settled and not self._was_settled:
            self._world.story.completed(self._world.clock.now, self._wanted)
        self._was_settled = settled


def _timed_out(state: DeploymentState) -> bool:
    condition = state.status.condition(ConditionType.PROGRESSING)
    return condition is not None and condition.reason == ConditionReason.TIMED_OUT


def _check(metric: FlaggerMetric) -> MetricCheck:
    bounds = metric.threshold_range
    return MetricCheck(
        name=metric.name,
        minimum=None if bounds is None else bounds.min,
        maximum=None if bounds is None else bounds.max,
        threshold=metric.threshold or 0.0,
        has_range=bounds is not None,
    )
