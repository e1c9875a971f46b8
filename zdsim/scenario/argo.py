"""What does an Argo Rollout say?

`spec.strategy` of a Rollout under its upstream names, and the AnalysisTemplates it names. What it shares with a
Deployment (replicas, pod template, minReadySeconds, ...) is `Scenario.deployment`, as for a Deployment. What the
controller would refuse (phase Degraded, reason InvalidSpec: nothing moves) is an error here, with the reason.

Source: argo-rollouts master of August 2026 pkg/apis/rollouts/v1alpha1/types.go; validation/validation.go.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from zdsim.scenario.argo_analysis import (
    AnalysisRef,
    AnalysisTemplate,
    Argument,
    DryRun,
    TemplateRef,
    UnresolvedError,
    resolved,
)
from zdsim.scenario.argo_routing import HeaderMatch, PingPong, RouterKind, TrafficRouting
from zdsim.scenario.fields import Flag, IntOrPercent, Text, choice
from zdsim.scenario.manifest_fields import Int32, Natural, NotPlayed, Opaque, PauseSeconds
from zdsim.scenario.quantities import scaled, show
from zdsim.scenario.spec import Finding, Spec

_ANTI_AFFINITY = NotPlayed("every node has room here")
_WITH_HEADERS = (RouterKind.ISTIO, RouterKind.ALB, RouterKind.APISIX, RouterKind.PLUGINS)
_WITH_MIRRORS = (RouterKind.ISTIO, RouterKind.PLUGINS)
_WITH_EXPERIMENTS = (RouterKind.SMI, RouterKind.ALB, RouterKind.ISTIO, RouterKind.PLUGINS)


def refused(message: str, *at: str | int, hint: str = "") -> Finding:
    """What the controller reports as InvalidSpec."""
    return Finding(f"{message}: InvalidSpec, nothing would move", at, hint, "ZD1032")


# --- steps -----------------------------------------------------------------------------------------------------------


class Pause(Spec):
    """pause; without a duration a human must resume."""

    duration_s: PauseSeconds | None = Field(None, alias="duration", description="seconds, or a duration")


class SetCanaryScale(Spec):
    """setCanaryScale."""

    replicas: Int32 | None = None
    weight: Int32 | None = None
    match_traffic_weight: Flag = Field(False, alias="matchTrafficWeight")


class ExperimentTemplate(Spec):
    """Pods of an experiment."""

    name: Text
    spec_ref: Text = Field("stable", alias="specRef", description="stable or canary")
    replicas: Natural = 1
    weight: Int32 | None = None
    metadata: Opaque | None = None
    selector: Opaque | None = None
    service: Opaque | None = None

    def conflicts(self) -> Iterator[Finding]:
        if self.spec_ref not in ("stable", "canary"):
            yield Finding(f"expected stable or canary, got {show(self.spec_ref)}", ("specRef",), code="ZD1004")


class ExperimentAnalysis(Spec):
    """An analysis of an experiment."""

    name: Text
    template_name: Text = Field(alias="templateName")
    cluster_scope: Flag = Field(False, alias="clusterScope")
    args: tuple[Argument, ...] = Field((), max_length=200)
    required_for_completion: Flag = Field(False, alias="requiredForCompletion")

    @property
    def templates(self) -> tuple[TemplateRef, ...]:
        """Its one template."""
        return (TemplateRef(template_name=self.template_name, cluster_scope=self.cluster_scope),)


class Experiment(Spec):
    """experiment."""

    templates: tuple[ExperimentTemplate, ...] = Field((), max_length=50)
    duration_s: PauseSeconds | None = Field(None, alias="duration")
    analyses: tuple[ExperimentAnalysis, ...] = Field((), max_length=50)
    dry_run: tuple[DryRun, ...] = Field((), alias="dryRun", max_length=200)
    analysis_run_metadata: Opaque | None = Field(None, alias="analysisRunMetadata")


class SetHeaderRoute(Spec):
    """setHeaderRoute; without match the route is removed."""

    name: Text
    match: tuple[HeaderMatch, ...] = Field((), max_length=100)


class SetMirrorRoute(Spec):
    """setMirrorRoute; without match the route is removed."""

    name: Text
    percentage: Int32 | None = None
    match: Annotated[tuple[Opaque, ...], NotPlayed("all requests are mirrored alike")] = Field((), max_length=100)


class Plugin(Spec):
    """plugin: a step of someone else's."""

    name: Text
    config: Opaque | None = None


class StepKind(StrEnum):
    """Upstream's names of the steps."""

    SET_WEIGHT = "setWeight"
    PAUSE = "pause"
    SET_CANARY_SCALE = "setCanaryScale"
    ANALYSIS = "analysis"
    EXPERIMENT = "experiment"
    SET_HEADER_ROUTE = "setHeaderRoute"
    SET_MIRROR_ROUTE = "setMirrorRoute"
    PLUGIN = "plugin"


class ArgoStep(Spec):
    """One step of a canary: exactly one of its kinds."""

    set_weight: Int32 | None = Field(None, alias="setWeight")
    pause: Pause | None = None
    set_canary_scale: SetCanaryScale | None = Field(None, alias="setCanaryScale")
    analysis: AnalysisRef | None = None
    experiment: Experiment | None = None
    set_header_route: SetHeaderRoute | None = Field(None, alias="setHeaderRoute")
    set_mirror_route: SetMirrorRoute | None = Field(None, alias="setMirrorRoute")
    plugin: Annotated[Plugin | None, NotPlayed("the step succeeds at once")] = None

    @property
    def kind(self) -> StepKind:
        """Which step it is."""
        return self._given()[0]

    def _given(self) -> list[StepKind]:
        named = [(field.alias or name, getattr(self, name)) for name, field in ArgoStep.model_fields.items()]
        return [StepKind(word) for word, value in named if value is not None]

    def conflicts(self) -> Iterator[Finding]:
        given = self._given()
        if len(given) != 1:
            got = " and ".join(given) if given else "none"
            yield refused(f"a step is exactly one of {', '.join(StepKind)}, got {got}", hint="- pause: {} on its own")


# --- strategies ------------------------------------------------------------------------------------------------------


class BackgroundAnalysis(AnalysisRef):
    """analysis of a canary: it runs beside the steps."""

    starting_step: Natural | None = Field(None, alias="startingStep")


class ThresholdType(StrEnum):
    """What replicaProgressThreshold counts."""

    PERCENTAGE = "Percentage"
    POD = "Pod"


class ReplicaProgressThreshold(Spec):
    """So many available canary pods are enough to go on."""

    type: Annotated[ThresholdType, choice(ThresholdType)]
    value: Int32


class ArgoCanary(Spec):
    """strategy.canary."""

    canary_service: Text | None = Field(None, alias="canaryService")
    stable_service: Text | None = Field(None, alias="stableService")
    steps: tuple[ArgoStep, ...] = Field((), max_length=1000)
    traffic_routing: TrafficRouting | None = Field(None, alias="trafficRouting")
    max_surge: IntOrPercent = Field("25%", alias="maxSurge")
    max_unavailable: IntOrPercent = Field("25%", alias="maxUnavailable")
    analysis: BackgroundAnalysis | None = None
    anti_affinity: Annotated[Opaque | None, _ANTI_AFFINITY] = Field(None, alias="antiAffinity")
    canary_metadata: Opaque | None = Field(None, alias="canaryMetadata")
    stable_metadata: Opaque | None = Field(None, alias="stableMetadata")
    scale_down_delay_s: Natural | None = Field(None, alias="scaleDownDelaySeconds")
    scale_down_delay_revision_limit: Natural | None = Field(None, alias="scaleDownDelayRevisionLimit")
    abort_scale_down_delay_s: Natural | None = Field(None, alias="abortScaleDownDelaySeconds")
    dynamic_stable_scale: Flag = Field(False, alias="dynamicStableScale")
    ping_pong: PingPong | None = Field(None, alias="pingPong")
    min_pods_per_replica_set: Natural | None = Field(None, alias="minPodsPerReplicaSet")
    replica_progress_threshold: ReplicaProgressThreshold | None = Field(None, alias="replicaProgressThreshold")

    @property
    def max_weight(self) -> int:
        """The largest weight (100 but for some routers)."""
        return self.traffic_routing.max_weight if self.traffic_routing is not None else 100

    def conflicts(self) -> Iterator[Finding]:
        surge, missing = scaled(self.max_surge, 100, round_up=True), scaled(self.max_unavailable, 100, round_up=True)
        if surge == 0 and missing == 0:
            yield refused("maxSurge and maxUnavailable are both 0, so no pod could ever be replaced", "maxSurge")
        if self.canary_service is not None and self.canary_service == self.stable_service:
            yield refused(f"canaryService and stableService are both {show(self.canary_service)}", "stableService")
        routing = self.traffic_routing
        if routing is None:
            if self.scale_down_delay_s is not None:
                yield refused("scaleDownDelaySeconds needs trafficRouting", "scaleDownDelaySeconds")
            if self.dynamic_stable_scale:
                yield refused("dynamicStableScale needs trafficRouting", "dynamicStableScale")
        else:
            if self.scale_down_delay_s is not None and self.dynamic_stable_scale:
                yield refused("dynamicStableScale and scaleDownDelaySeconds exclude each other", "dynamicStableScale")
            if routing.needs_services and self.ping_pong is None:
                for word, value in (("canaryService", self.canary_service), ("stableService", self.stable_service)):
                    if not value:
                        yield refused(f"trafficRouting by {routing.kind} needs a {word}", word)
        for i, step in enumerate(self.steps):
            for found in self._refused_step(step):
                yield Finding(found.message, ("steps", i, *found.at), found.hint, found.code)

    def _refused_step(self, step: ArgoStep) -> Iterator[Finding]:
        routing, most = self.traffic_routing, self.max_weight
        if step.set_weight is not None and not 0 <= step.set_weight <= most:
            yield refused(f"must be between 0 and {most}, got {step.set_weight}", "setWeight")
        if (scale := step.set_canary_scale) is not None:
            if routing is None:
                yield refused("needs trafficRouting: without a router the pods are the weight", "setCanaryScale")
            if scale.weight is not None and not 0 <= scale.weight <= most:
                yield refused(f"must be between 0 and {most}, got {scale.weight}", "setCanaryScale", "weight")
            if scale.replicas is not None and scale.replicas < 0:
                yield refused(f"must not be negative, got {scale.replicas}", "setCanaryScale", "replicas")
        for i, template in enumerate(step.experiment.templates if step.experiment is not None else ()):
            if template.weight is not None:
                yield from self._able(_WITH_EXPERIMENTS, "weigh experiment templates", "experiment", "templates", i)
        if (header := step.set_header_route) is not None:
            yield from self._able(_WITH_HEADERS, "route by headers", "setHeaderRoute")
            yield from self._managed(header.name, "setHeaderRoute")
            for i, match in enumerate(header.match):
                if routing is not None and routing.kind is RouterKind.ALB and match.header_value.exact is None:
                    yield refused("alb matches exact values only", "setHeaderRoute", "match", i, "headerValue")
        if (mirror := step.set_mirror_route) is not None:
            yield from self._able(_WITH_MIRRORS, "mirror", "setMirrorRoute")
            yield from self._managed(mirror.name, "setMirrorRoute")
            if mirror.percentage is not None and not 0 <= mirror.percentage <= 100:
                yield refused(f"must be between 0 and 100, got {mirror.percentage}", "setMirrorRoute", "percentage")

    def _able(self, able: tuple[RouterKind, ...], what: str, *at: str | int) -> Iterator[Finding]:
        routing = self.traffic_routing
        if routing is None:
            yield refused("needs trafficRouting", *at)
        elif not set(routing.kinds) & set(able):
            yield refused(f"{routing.kind} cannot {what}; {', '.join(able)} can", *at)

    def _managed(self, name: str, at: str) -> Iterator[Finding]:
        routing = self.traffic_routing
        if routing is not None and name not in [one.name for one in routing.managed_routes]:
            hint = f"managedRoutes: [{{name: {name}}}]"
            yield refused(f"{show(name)} is not listed in trafficRouting.managedRoutes", at, "name", hint=hint)

    def cautions(self) -> Iterator[Finding]:
        last = None
        for i, step in enumerate(self.steps):
            if step.set_weight is not None:
                if last is not None and step.set_weight <= last:
                    message = f"weights should rise, but {step.set_weight} follows {last}"
                    yield Finding(message, ("steps", i, "setWeight"), "", "ZD2009")
                last = step.set_weight
            one = step.experiment
            if one is not None and one.duration_s is None and not any(a.required_for_completion for a in one.analyses):
                message = "no duration and no analysis that is requiredForCompletion: it will wait for ever"
                yield Finding(message, ("steps", i, "experiment"), "duration: 5m", "ZD2009")
        if self.analysis is not None and (self.analysis.starting_step or 0) > len(self.steps):
            message = f"there are only {len(self.steps)} steps: the analysis never starts"
            yield Finding(message, ("analysis", "startingStep"), "", "ZD2009")


class ArgoBlueGreen(Spec):
    """strategy.blueGreen."""

    active_service: Text = Field("", alias="activeService")
    preview_service: Text | None = Field(None, alias="previewService")
    preview_replica_count: Natural | None = Field(None, alias="previewReplicaCount")
    auto_promotion_enabled: Flag | None = Field(None, alias="autoPromotionEnabled")
    auto_promotion_s: Natural | None = Field(None, alias="autoPromotionSeconds")
    max_unavailable: IntOrPercent | None = Field(None, alias="maxUnavailable", description="has no effect upstream")
    scale_down_delay_s: Natural | None = Field(None, alias="scaleDownDelaySeconds")
    scale_down_delay_revision_limit: Natural | None = Field(None, alias="scaleDownDelayRevisionLimit")
    abort_scale_down_delay_s: Natural | None = Field(None, alias="abortScaleDownDelaySeconds")
    pre_promotion_analysis: AnalysisRef | None = Field(None, alias="prePromotionAnalysis")
    post_promotion_analysis: AnalysisRef | None = Field(None, alias="postPromotionAnalysis")
    anti_affinity: Annotated[Opaque | None, _ANTI_AFFINITY] = Field(None, alias="antiAffinity")
    preview_metadata: Opaque | None = Field(None, alias="previewMetadata")
    active_metadata: Opaque | None = Field(None, alias="activeMetadata")

    def conflicts(self) -> Iterator[Finding]:
        if not self.active_service:
            yield refused("an activeService is needed", "activeService")
        elif self.active_service == self.preview_service:
            yield refused(f"activeService and previewService are both {show(self.active_service)}", "previewService")

    def cautions(self) -> Iterator[Finding]:
        if self.auto_promotion_enabled is False and self.auto_promotion_s:
            message = "has no effect, since autoPromotionEnabled is false: a human must promote"
            yield Finding(message, ("autoPromotionSeconds",), "", "ZD2009")


class RolloutStrategy(Spec):
    """spec.strategy: either canary or blueGreen."""

    canary: ArgoCanary | None = None
    blue_green: ArgoBlueGreen | None = Field(None, alias="blueGreen")

    def conflicts(self) -> Iterator[Finding]:
        if self.canary is not None and self.blue_green is not None:
            yield refused("strategy has both canary and blueGreen", "blueGreen")
        elif self.canary is None and self.blue_green is None:
            yield refused("strategy has neither canary nor blueGreen", hint="canary: {steps: [{setWeight: 20}]}")


class WorkloadRef(Spec):
    """A Deployment whose pod template is used."""

    api_version: Text = Field("apps/v1", alias="apiVersion")
    kind: Text = "Deployment"
    name: Text = ""
    scale_down: Annotated[Text | None, NotPlayed("the Deployment has no pods of its own here")] = Field(
        None, alias="scaleDown"
    )


class RollbackWindow(Spec):
    """How many revisions back a rollback is taken without steps."""

    revisions: Natural = 0


class ArgoRollout(Spec):
    """A Rollout, but for what it shares with a Deployment, and the analysis templates of its manifest."""

    name: Text = ""
    strategy: RolloutStrategy
    workload_ref: WorkloadRef | None = Field(None, alias="workloadRef")
    progress_deadline_abort: Flag = Field(False, alias="progressDeadlineAbort")
    rollback_window: RollbackWindow | None = Field(None, alias="rollbackWindow")
    restart_at: Annotated[Text | None, NotPlayed("no pod is restarted for it")] = Field(None, alias="restartAt")
    analysis: Opaque | None = Field(None, description="how many runs are kept")
    analysis_templates: tuple[AnalysisTemplate, ...] = Field((), alias="analysisTemplates", max_length=500)

    @property
    def analyses(self) -> dict[tuple[str | int, ...], AnalysisRef | ExperimentAnalysis]:
        """Every analysis it refers to, by its path under `strategy`."""
        found: dict[tuple[str | int, ...], AnalysisRef | ExperimentAnalysis | None] = {}
        if (canary := self.strategy.canary) is not None:
            found["canary", "analysis"] = canary.analysis
            for i, step in enumerate(canary.steps):
                found["canary", "steps", i, "analysis"] = step.analysis
                for k, one in enumerate(step.experiment.analyses if step.experiment is not None else ()):
                    found["canary", "steps", i, "experiment", "analyses", k] = one
        if (blue_green := self.strategy.blue_green) is not None:
            found["blueGreen", "prePromotionAnalysis"] = blue_green.pre_promotion_analysis
            found["blueGreen", "postPromotionAnalysis"] = blue_green.post_promotion_analysis
        return {at: one for at, one in found.items() if one is not None}

    def conflicts(self) -> Iterator[Finding]:
        for at, one in self.analyses.items():
            try:
                resolved(one.templates, one.args, self.analysis_templates)
            except UnresolvedError as problem:
                hint = "give its file, too: service.manifest: [rollout.yaml, analysis.yaml]"
                yield refused(str(problem), "strategy", *at, hint=hint if "among" in str(problem) else "")

    @property
    def humans(self) -> list[tuple[str | int, ...]]:
        """Where a human must promote before it can end, by the path under `strategy`."""
        canary, blue_green = self.strategy.canary, self.strategy.blue_green
        if canary is not None:
            waits = [i for i, one in enumerate(canary.steps) if one.pause is not None and one.pause.duration_s is None]
            return [("canary", "steps", i, "pause") for i in waits]
        if blue_green is not None and blue_green.auto_promotion_enabled is False:
            return [("blueGreen", "autoPromotionEnabled")]
        return []


__all__ = [
    "ArgoBlueGreen",
    "ArgoCanary",
    "ArgoRollout",
    "ArgoStep",
    "BackgroundAnalysis",
    "Experiment",
    "ExperimentAnalysis",
    "ExperimentTemplate",
    "Pause",
    "Plugin",
    "ReplicaProgressThreshold",
    "RollbackWindow",
    "RolloutStrategy",
    "SetCanaryScale",
    "SetHeaderRoute",
    "SetMirrorRoute",
    "StepKind",
    "ThresholdType",
    "WorkloadRef",
]
