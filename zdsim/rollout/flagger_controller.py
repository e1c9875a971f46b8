"""How does Flagger act: when does it look, and what does it touch?

Once an interval, at a beat of its own that nobody's release shifts, it reads both Deployments, asks hooks and metrics
and carries out what `flagger.advance_canary` decides. Deployments are read and written through the API server, without
a cache; whatever is not a Deployment (router, hooks, metrics) is behind `Ports`.

Source: flagger v1.44.0, pkg/controller/{scheduler,job}.go, pkg/canary/{deployment_controller,spec,status}.go.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol, assert_never

from zdsim.cluster.api import Api, ConditionType, DeploymentState, PodTemplate, Truth
from zdsim.cluster.journal import EntryKind, Journal
from zdsim.rollout.flagger import (
    Action,
    CanaryPhase,
    CanaryStatus,
    Reason,
    Routes,
    Seen,
    Tick,
    advance_canary,
    runs_analysis,
)
from zdsim.rollout.flagger_metrics import MetricOutcome, WebhookType
from zdsim.rollout.flagger_spec import CanarySpec, Readiness, analysis_interval_s, is_deployment_ready
from zdsim.rollout.progress import ConditionReason

__all__ = ["FlaggerController", "Ports", "primary_of"]

#: Told in the journal only when they are new: they may hold for many ticks.
_QUIET: Final = frozenset(
    {
        Reason.SUSPENDED,
        Reason.PRIMARY_NOT_READY,
        Reason.CANARY_NOT_READY,
        Reason.ROLLOUT_NOT_CONFIRMED,
        Reason.TRAFFIC_INCREASE_NOT_CONFIRMED,
        Reason.PROMOTION_NOT_CONFIRMED,
        Reason.NO_STEP,
    }
)


def primary_of(target: str) -> str:
    """Name of the Deployment that serves."""
    return f"{target}-primary"


class Ports(Protocol):
    """What Flagger reaches beside Deployments."""

    def set_routes(self, routes: Routes) -> None:
        """Tell the router."""

    def primary_template(self, target: PodTemplate) -> PodTemplate:
        """The copy of the target's template for the primary."""

    def agrees(self, hook: WebhookType) -> bool:
        """Call all webhooks of a type; a type without any agrees."""

    def failed_metric(self) -> MetricOutcome | None:
        """Ask the metrics; None: all are fine."""

    def ticked(self, tick: Tick, failure: str | None) -> None:
        """A tick is over; `failure` says what failed, if a check did."""


class FlaggerController:
    """Plays one Canary.

    Args:
        target: name of the target Deployment; it and its primary exist already and are initialised (the primary has
            the target's template, the target no pods).

    Attributes:
        status: what the last tick left.
        suspended: spec.suspend.
        rollback_asked: somebody opened the rollback gate; closed again when the canary rests.
    """

    def __init__(self, api: Api, journal: Journal, ports: Ports, *, spec: CanarySpec, target: str) -> None:
        self.status = CanaryStatus()
        self.suspended = False
        self.rollback_asked = False
        self._api, self._clock, self._journal, self._ports = api, api.clock, journal, ports
        self._asked = self._spec = spec
        self._target, self._primary = target, primary_of(target)
        # Templates that start nothing: lastAppliedSpec and lastPromotedSpec (a return to it is no new canary).
        self._applied = self._promoted = self._state(target).spec.template.name
        self._told: tuple[Reason, ...] = ()

    # --- what others do to it -------------------------------------------------------------------------------------

    def start(self, after_s: float) -> None:
        """Tick every interval, first in `after_s` seconds."""
        self._clock.call_in(after_s, self._tick)

    def skip_analysis(self) -> None:
        """Somebody sets skipAnalysis, for the change under way."""
        self._spec = replace(self._spec, skip_analysis=True)

    @property
    def promoted(self) -> str:
        """Template that was last promoted."""
        return self._promoted

    @property
    def interval_s(self) -> float:
        """Seconds between ticks."""
        return analysis_interval_s(self._spec.interval_s)

    # --- a tick ---------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._clock.call_in(self.interval_s, self._tick)
        before = self.status
        seen, failure = self._look()
        tick = advance_canary(self._spec, before, seen)
        self.status = tick.status
        template = self._state(self._target).spec.template.name
        if Reason.NEW_REVISION in tick.reasons or Reason.REVISION_CHANGED in tick.reasons:
            self._applied = template
        if tick.phase is CanaryPhase.SUCCEEDED:
            self._promoted = self._applied
        for action in tick.actions:
            self._act(action, tick)
        self._tell(before, tick, failure)
        self._ports.ticked(tick, failure)
        if tick.phase.resting and not before.phase.resting:
            self.rollback_asked, self._spec = False, self._asked

    def _look(self) -> tuple[Seen, str | None]:
        """What this tick finds, and what failed. Hooks and metrics are asked only if it comes to them."""
        spec, status, ports = self._spec, self.status, self._ports
        template = self._state(self._target).spec.template.name
        seen = Seen(
            target_changed=template not in (self._applied, self._promoted),
            primary=self._readiness(self._primary, spec.primary_ready_threshold),
            canary=self._readiness(self._target, spec.canary_ready_threshold),
            suspended=self.suspended,
            confirm_rollout=ports.agrees(WebhookType.CONFIRM_ROLLOUT),
            confirm_traffic_increase=ports.agrees(WebhookType.CONFIRM_TRAFFIC_INCREASE),
            confirm_promotion=ports.agrees(WebhookType.CONFIRM_PROMOTION),
            rollback_asked=self.rollback_asked,
        )
        ready = seen.primary is Readiness.READY and seen.canary is Readiness.READY
        gone = seen.suspended or seen.target_changed or seen.rollback_asked
        trial = status.phase in (CanaryPhase.PROGRESSING, CanaryPhase.WAITING_PROMOTION)
        if not trial or not ready or gone or spec.skip_analysis or status.failed_checks >= spec.analysis_threshold:
            return seen, None
        if not runs_analysis(spec, status):
            if ports.agrees(WebhookType.PRE_ROLLOUT):
                return seen, None
            return replace(seen, pre_rollout_ok=False), "a pre-rollout hook did not succeed"
        if not ports.agrees(WebhookType.ROLLOUT):
            return replace(seen, rollout_ok=False), "a rollout hook did not succeed"
        outcome = ports.failed_metric()
        if outcome is None:
            return seen, None
        value = "" if outcome.value is None else f" {outcome.value:.4g}"
        return replace(seen, metrics_ok=False), f"{outcome.name}{value}: {outcome.reason}"

    def _readiness(self, name: str, ready_threshold: int) -> Readiness:
        state, now = self._state(name), self._clock.now
        status = state.status
        progressing, available = status.condition(ConditionType.PROGRESSING), status.condition(ConditionType.AVAILABLE)
        unavailable = available is not None and available.status is Truth.FALSE
        return is_deployment_ready(
            spec_replicas=state.spec.replicas,
            updated=status.updated,
            replicas=status.replicas,
            available=status.available,
            generation_observed=state.generation <= status.observed_generation,
            progress_deadline_exceeded=progressing is not None and progressing.reason == ConditionReason.TIMED_OUT,
            unavailable_for_s=now - available.last_update_s if unavailable and available is not None else None,
            progress_deadline_s=self._spec.progress_deadline_s,
            ready_threshold=ready_threshold,
        )

    def _act(self, action: Action, tick: Tick) -> None:
        match action:
            case Action.SET_ROUTES:
                self._ports.set_routes(tick.status.routes)
            case Action.SCALE_CANARY_UP:
                # As many as the target asks for; one where nobody gave it a size again (ScaleFromZero).
                self._scale(max(1, self._state(self._target).spec.replicas))
            case Action.SCALE_CANARY_TO_ZERO:
                self._scale(0)
            case Action.COPY_SPEC_TO_PRIMARY:
                self._copy()
            case Action.RUN_POST_ROLLOUT_HOOKS:
                self._ports.agrees(WebhookType.POST_ROLLOUT)  # whatever they answer
            case _:
                assert_never(action)

    def _scale(self, replicas: int) -> None:
        before = self._state(self._target).spec.replicas
        if replicas != before:
            self._api.scale(self._target, replicas)
            self._step(self._target, "CanaryScaled", f"{before} -> {replicas}", before=before, size=replicas)

    def _copy(self) -> None:
        """The primary takes the target's template and strategy, not its size (deployment_controller.go: Promote)."""
        spec = self._state(self._target).spec
        self._api.patch_deployment(
            self._primary,
            template=self._ports.primary_template(spec.template),
            strategy=spec.strategy,
            max_surge=spec.max_surge,
            max_unavailable=spec.max_unavailable,
            min_ready_s=spec.min_ready_s,
            progress_deadline_s=spec.progress_deadline_s,
            history_limit=spec.history_limit,
        )

    # --- the journal ----------------------------------------------------------------------------------------------

    def _tell(self, before: CanaryStatus, tick: Tick, failure: str | None) -> None:
        status, told = tick.status, self._told
        self._told = tick.reasons
        for reason in tick.reasons:
            if reason is Reason.NO_CHANGE or (reason in _QUIET and reason in told):
                continue
            parts = [_words(reason)]
            if failure is not None:
                parts.append(failure)
            if status.routes != before.routes:
                mirrored = ", mirrored" if status.routes.mirrored else ""
                parts.append(f"weights {status.routes.primary}/{status.routes.canary}{mirrored}")
            if before.iterations < status.iterations <= self._spec.effective_iterations:
                parts.append(f"iteration {status.iterations} of {self._spec.effective_iterations}")
            if status.failed_checks or before.failed_checks:
                n = max(status.failed_checks, before.failed_checks)
                parts.append(f"{n} of {self._spec.analysis_threshold} failed checks")
            self._step(
                self._target,
                reason,
                "; ".join(parts),
                canary=status.routes.canary,
                failed_checks=status.failed_checks,
                iterations=status.iterations,
            )
        if status.phase is not before.phase:
            self._journal.write(
                self._clock.now, EntryKind.CONDITION, self._target, status.phase, f"canary {status.phase}"
            )

    def _step(self, subject: str, reason: str, message: str, **data: int) -> None:
        self._journal.write(self._clock.now, EntryKind.ROLLOUT_STEP, subject, reason, message, **data)

    def _state(self, name: str) -> DeploymentState:
        return self._api.deployments[name].state


def _words(reason: Reason) -> str:
    """A CamelCase reason as words."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in reason.value).strip()
