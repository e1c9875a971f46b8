"""What does a Flagger Canary say?

`spec` of a Canary under its upstream names, and the MetricTemplates it names. Its target Deployment is
`Scenario.deployment`.

Source: flagger v1.44.0 pkg/apis/flagger/v1beta1/canary.go, metric.go; artifacts/flagger/crd.yaml.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from zdsim.scenario.fields import Flag, Port, Quantity, Text, choice
from zdsim.scenario.manifest_fields import GoSeconds, Int32, Natural, NotPlayed, Opaque
from zdsim.scenario.quantities import show
from zdsim.scenario.spec import Finding, Spec

Number = Annotated[float, Quantity("number", ge=-1e15, le=1e15)]
BUILTIN = ("request-success-rate", "request-duration")


class ObjectRef(Spec):
    """A reference to another object."""

    api_version: Text | None = Field(None, alias="apiVersion")
    kind: Text = "Deployment"
    name: Text
    primary_scaler_queries: Opaque | None = Field(None, alias="primaryScalerQueries")
    primary_scaler_replicas: Opaque | None = Field(None, alias="primaryScalerReplicas")


class CanaryService(Spec):
    """spec.service."""

    name: Text | None = None
    port: Int32 | None = None
    port_name: Text | None = Field(None, alias="portName")
    target_port: Port | None = Field(None, alias="targetPort")
    app_protocol: Text | None = Field(None, alias="appProtocol")
    port_discovery: Flag = Field(False, alias="portDiscovery")
    delegation: Flag = False
    gateways: Opaque | None = None
    gateway_refs: Opaque | None = Field(None, alias="gatewayRefs")
    hosts: Opaque | None = None
    match: Opaque | None = None
    rewrite: Opaque | None = None
    timeout: Annotated[Text | None, NotPlayed("the client's own time-out holds")] = None
    retries: Annotated[Opaque | None, NotPlayed("say it in the scenario: router.retry_on_connect, client.attempts")] = (
        None
    )
    headers: Opaque | None = None
    cors_policy: Opaque | None = Field(None, alias="corsPolicy")
    mirror: Annotated[Opaque | None, NotPlayed("only analysis.mirror is simulated")] = None
    traffic_policy: Annotated[Opaque | None, NotPlayed("say it in the scenario: router")] = Field(
        None, alias="trafficPolicy"
    )
    traffic_distribution: Annotated[Text | None, NotPlayed("all pods are equally near")] = Field(
        None, alias="trafficDistribution"
    )
    apex: Opaque | None = None
    primary: Opaque | None = None
    canary: Opaque | None = None
    backends: Opaque | None = None
    mesh_name: Text | None = Field(None, alias="meshName")
    primary_backend: Opaque | None = Field(None, alias="primaryBackend")
    canary_backend: Opaque | None = Field(None, alias="canaryBackend")
    unmanaged_metadata: Opaque | None = Field(None, alias="unmanagedMetadata")
    cookie_domain: Text | None = Field(None, alias="cookieDomain")


class ThresholdRange(Spec):
    """A value below min or above max fails the check."""

    min: Number | None = None
    max: Number | None = None


class TemplateName(Spec):
    """Which MetricTemplate."""

    name: Text
    namespace: Text | None = None


class FlaggerMetric(Spec):
    """One of analysis.metrics."""

    name: Text
    interval_s: GoSeconds = Field(60.0, alias="interval", description="what the query looks back on")
    threshold: Number | None = Field(None, description="deprecated: least success rate, else largest value")
    threshold_range: ThresholdRange | None = Field(None, alias="thresholdRange")
    query: Text | None = Field(None, description="deprecated: PromQL")
    template_ref: TemplateName | None = Field(None, alias="templateRef")
    template_variables: Opaque | None = Field(None, alias="templateVariables")

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """Least and largest value that passes; None is no bound."""
        if self.threshold_range is not None:
            return self.threshold_range.min, self.threshold_range.max
        return (self.threshold, None) if self.name == BUILTIN[0] else (None, self.threshold)

    def cautions(self) -> Iterator[Finding]:
        if self.bounds == (None, None):
            message = f"metric {show(self.name)} has no thresholdRange: it fails only without data"
            yield Finding(message, (), "thresholdRange: {min: 99}", "ZD2009")
        if self.name not in BUILTIN and self.template_ref is None and self.query is None:
            message = f"{show(self.name)} is no builtin metric and has no templateRef"
            yield Finding(message, (), f"builtin: {', '.join(BUILTIN)}", "ZD2009")


class WebhookType(StrEnum):
    """When a webhook is called."""

    CONFIRM_ROLLOUT = "confirm-rollout"
    PRE_ROLLOUT = "pre-rollout"
    ROLLOUT = "rollout"
    CONFIRM_TRAFFIC_INCREASE = "confirm-traffic-increase"
    CONFIRM_PROMOTION = "confirm-promotion"
    POST_ROLLOUT = "post-rollout"
    ROLLBACK = "rollback"
    EVENT = "event"


class Webhook(Spec):
    """One of analysis.webhooks."""

    name: Text
    type: Annotated[WebhookType, choice(WebhookType)] = WebhookType.ROLLOUT
    url: Text = ""
    timeout: Text | None = None
    metadata: Opaque | None = None
    mute_alert: Flag = Field(False, alias="muteAlert")
    retries: Natural | None = None
    disable_tls: Flag = Field(False, alias="disableTLS")


class SessionAffinity(Spec):
    """Users of the canary stay with it."""

    cookie_name: Text = Field("", alias="cookieName")
    max_age_s: Natural = Field(86_400, alias="maxAge")
    domain: Text | None = None
    http_only: Flag = Field(False, alias="httpOnly")
    partitioned: Flag = False
    path: Text | None = None
    same_site: Text | None = Field(None, alias="sameSite")
    secure: Flag = False
    primary_cookie_name: Text | None = Field(None, alias="primaryCookieName")


class FlaggerMode(StrEnum):
    """The three ways of a Canary."""

    PROGRESSIVE = "progressive"
    AB_TESTING = "a/b"
    BLUE_GREEN = "blue/green"


class FlaggerAnalysis(Spec):
    """spec.analysis: one tick every interval."""

    interval_s: GoSeconds = Field(60.0, alias="interval")
    iterations: Natural = 0
    mirror: Flag = False
    mirror_weight: Natural = Field(0, alias="mirrorWeight", description="percent; 0: all requests")
    max_weight: Natural = Field(0, alias="maxWeight")
    step_weight: Natural = Field(0, alias="stepWeight")
    step_weights: tuple[Natural, ...] = Field((), alias="stepWeights", max_length=1000)
    step_weight_promotion: Natural = Field(0, alias="stepWeightPromotion")
    threshold: Natural = Field(1, description="failed checks until the rollback")
    primary_ready_threshold: Natural = Field(100, alias="primaryReadyThreshold", description="percent")
    canary_ready_threshold: Natural = Field(100, alias="canaryReadyThreshold", description="percent")
    metrics: tuple[FlaggerMetric, ...] = Field((), max_length=200)
    webhooks: tuple[Webhook, ...] = Field((), max_length=200)
    match: tuple[Opaque, ...] = Field((), max_length=200, description="headers and cookies of an A/B test")
    session_affinity: SessionAffinity | None = Field(None, alias="sessionAffinity")
    alerts: Opaque | None = None
    canary_weights: Opaque | None = Field(None, alias="canaryWeights")

    def conflicts(self) -> Iterator[Finding]:
        for i, weight in enumerate(self.step_weights):
            if weight > 100:
                yield Finding(f"must be at most 100, got {weight}", ("stepWeights", i), code="ZD1005")
        for word, value in (
            ("maxWeight", self.max_weight),
            ("stepWeight", self.step_weight),
            ("mirrorWeight", self.mirror_weight),
            ("stepWeightPromotion", self.step_weight_promotion),
            ("primaryReadyThreshold", self.primary_ready_threshold),
            ("canaryReadyThreshold", self.canary_ready_threshold),
        ):
            if value > 100:
                yield Finding(f"must be at most 100 percent, got {value}", (word,), code="ZD1005")

    def cautions(self) -> Iterator[Finding]:
        if self.interval_s < 10.0:
            message = f"{self.interval_s:g} s is taken as 10 s, Flagger's least interval"
            yield Finding(message, ("interval",), "", "ZD2009")
        for i in range(1, len(self.step_weights)):
            before, weight = self.step_weights[i - 1], self.step_weights[i]
            if weight <= before:
                yield Finding(f"weights should rise, but {weight} follows {before}", ("stepWeights", i), "", "ZD2009")
        if self.step_weight > 0 and self.max_weight > 0 and self.max_weight % self.step_weight:
            last = -(-self.max_weight // self.step_weight) * self.step_weight
            message = f"maxWeight {self.max_weight} is a stop test, not a cap: the last weight is {min(last, 100)}"
            yield Finding(message, ("maxWeight",), "", "ZD2009")


class MetricProvider(Spec):
    """Who is asked by a MetricTemplate."""

    type: Text = "prometheus"
    address: Text | None = None
    region: Text | None = None
    secret_ref: Opaque | None = Field(None, alias="secretRef")
    insecure_skip_verify: Flag = Field(False, alias="insecureSkipVerify")
    headers: Opaque | None = None
    bearer_token: Opaque | None = Field(None, alias="bearerToken")


class MetricTemplate(Spec):
    """A query by name; `{{ target }}`, `{{ interval }}` and the like are filled in by Flagger."""

    name: Text
    namespace: Text | None = None
    provider: MetricProvider = MetricProvider()
    query: Text = ""


class FlaggerCanary(Spec):
    """A Canary and the metric templates of its manifest."""

    name: Text = ""
    target_ref: ObjectRef = Field(alias="targetRef")
    autoscaler_ref: Annotated[ObjectRef | None, NotPlayed("replicas stay as the Deployment says")] = Field(
        None, alias="autoscalerRef"
    )
    ingress_ref: Opaque | None = Field(None, alias="ingressRef")
    route_ref: Opaque | None = Field(None, alias="routeRef")
    upstream_ref: Opaque | None = Field(None, alias="upstreamRef")
    provider: Text | None = Field(None, description="istio, nginx, kubernetes, ...; absent: Flagger's own default")
    metrics_server: Text | None = Field(None, alias="metricsServer")
    progress_deadline_s: Natural = Field(600, alias="progressDeadlineSeconds")
    service: CanaryService = CanaryService()
    analysis: FlaggerAnalysis
    skip_analysis: Flag = Field(False, alias="skipAnalysis")
    revert_on_deletion: Flag = Field(False, alias="revertOnDeletion")
    suspend: Flag = False
    metric_templates: tuple[MetricTemplate, ...] = Field((), alias="metricTemplates", max_length=500)

    @property
    def mode(self) -> FlaggerMode:
        """Which of the three ways it goes (match and iterations: A/B; iterations: blue/green; else progressive)."""
        if self.provider == "kubernetes":
            return FlaggerMode.BLUE_GREEN
        if self.analysis.iterations > 0:
            return FlaggerMode.AB_TESTING if self.analysis.match else FlaggerMode.BLUE_GREEN
        return FlaggerMode.PROGRESSIVE

    @property
    def iterations(self) -> int:
        """Ticks of an A/B test or a blue/green; with the provider kubernetes 10 unless given."""
        if self.provider == "kubernetes" and self.analysis.iterations == 0:
            return 10
        return self.analysis.iterations

    def template(self, metric: FlaggerMetric) -> MetricTemplate | None:
        """The MetricTemplate of a metric; None if it is builtin, or not there."""
        ref = metric.template_ref
        if ref is None:
            return None
        named = [one for one in self.metric_templates if one.name == ref.name]
        exact = [one for one in named if ref.namespace is not None and one.namespace == ref.namespace]
        return next(iter(exact or named), None)

    def conflicts(self) -> Iterator[Finding]:
        if self.target_ref.kind != "Deployment":
            message = f"only Deployments are simulated, got a {show(self.target_ref.kind)}"
            yield Finding(message, ("targetRef", "kind"), code="ZD1019")
        for i, metric in enumerate(self.analysis.metrics):
            if metric.template_ref is not None and self.template(metric) is None:
                yield Finding(
                    f"MetricTemplate {show(metric.template_ref.name)} is not among the given manifests",
                    ("analysis", "metrics", i, "templateRef"),
                    "give its file, too: service.manifest: [canary.yaml, metrics.yaml]",
                    "ZD1032",
                )

    def cautions(self) -> Iterator[Finding]:
        one = self.analysis
        if self.mode is FlaggerMode.PROGRESSIVE and one.step_weight == 0 and not one.step_weights:
            message = "neither stepWeight, stepWeights nor iterations: the weight never rises, it will wait for ever"
            yield Finding(message, ("analysis",), "stepWeight: 10, maxWeight: 50", "ZD2009")
        if self.provider == "kubernetes" and (one.step_weight or one.step_weights or one.match):
            message = "provider kubernetes has no weights and no matches: it plays blue/green"
            yield Finding(message, ("provider",), "", "ZD2009")
        if self.suspend:
            yield Finding("the Canary is suspended: nothing will be rolled out", ("suspend",), "", "ZD2009")


__all__ = [
    "BUILTIN",
    "CanaryService",
    "FlaggerAnalysis",
    "FlaggerCanary",
    "FlaggerMetric",
    "FlaggerMode",
    "MetricProvider",
    "MetricTemplate",
    "ObjectRef",
    "SessionAffinity",
    "TemplateName",
    "ThresholdRange",
    "Webhook",
    "WebhookType",
]
