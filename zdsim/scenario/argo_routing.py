"""Which router splits a Rollout's traffic, and what can it do?

Source: argo-rollouts pkg/apis/rollouts/v1alpha1/types.go: RolloutTrafficRouting; validation/validation.go:
requireCanaryStableServices.
"""

from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field

from zdsim.scenario.fields import Flag, Text
from zdsim.scenario.manifest_fields import Int32, Natural, Opaque
from zdsim.scenario.spec import Finding, Spec


class RouterKind(StrEnum):
    """Upstream's names of the routers."""

    ISTIO = "istio"
    ALB = "alb"
    NGINX = "nginx"
    SMI = "smi"
    APISIX = "apisix"
    TRAEFIK = "traefik"
    AMBASSADOR = "ambassador"
    APP_MESH = "appMesh"
    PLUGINS = "plugins"


class VirtualService(Spec):
    """istio.virtualService."""

    name: Text = ""
    routes: tuple[Text, ...] = Field((), max_length=200)
    tls_routes: tuple[Opaque, ...] = Field((), alias="tlsRoutes", max_length=200)
    tcp_routes: tuple[Opaque, ...] = Field((), alias="tcpRoutes", max_length=200)


class DestinationRule(Spec):
    """istio.destinationRule: subsets of one service instead of two services."""

    name: Text = ""
    canary_subset_name: Text = Field("", alias="canarySubsetName")
    stable_subset_name: Text = Field("", alias="stableSubsetName")


class Istio(Spec):
    """trafficRouting.istio."""

    virtual_service: VirtualService | None = Field(None, alias="virtualService")
    virtual_services: tuple[VirtualService, ...] = Field((), alias="virtualServices", max_length=200)
    destination_rule: DestinationRule | None = Field(None, alias="destinationRule")


class Nginx(Spec):
    """trafficRouting.nginx."""

    annotation_prefix: Text | None = Field(None, alias="annotationPrefix")
    stable_ingress: Text | None = Field(None, alias="stableIngress")
    stable_ingresses: tuple[Text, ...] = Field((), alias="stableIngresses", max_length=200)
    additional_ingress_annotations: Opaque | None = Field(None, alias="additionalIngressAnnotations")
    canary_ingress_annotations: Opaque | None = Field(None, alias="canaryIngressAnnotations")


class Stickiness(Spec):
    """alb.stickinessConfig: who came to one side stays there."""

    enabled: Flag = False
    duration_s: Natural = Field(0, alias="durationSeconds")


class Alb(Spec):
    """trafficRouting.alb."""

    ingress: Text | None = None
    ingresses: tuple[Text, ...] = Field((), max_length=200)
    service_port: Int32 | None = Field(None, alias="servicePort")
    service_ports: Opaque | None = Field(None, alias="servicePorts")
    root_service: Text | None = Field(None, alias="rootService")
    annotation_prefix: Text | None = Field(None, alias="annotationPrefix")
    stickiness_config: Stickiness | None = Field(None, alias="stickinessConfig")


class Smi(Spec):
    """trafficRouting.smi."""

    root_service: Text | None = Field(None, alias="rootService")
    traffic_split_name: Text | None = Field(None, alias="trafficSplitName")


class ManagedRoute(Spec):
    """A route that the controller may write and remove."""

    name: Text


class TrafficRouting(Spec):
    """trafficRouting."""

    istio: Istio | None = None
    nginx: Nginx | None = None
    alb: Alb | None = None
    smi: Smi | None = None
    ambassador: Opaque | None = None
    traefik: Opaque | None = None
    app_mesh: Opaque | None = Field(None, alias="appMesh")
    apisix: Opaque | None = None
    plugins: Opaque | None = None
    managed_routes: tuple[ManagedRoute, ...] = Field((), alias="managedRoutes", max_length=200)
    max_traffic_weight: Int32 | None = Field(None, alias="maxTrafficWeight")

    @property
    def kinds(self) -> tuple[RouterKind, ...]:
        """Every router that is set up."""
        named = {field.alias or name: getattr(self, name) for name, field in TrafficRouting.model_fields.items()}
        return tuple(kind for kind in RouterKind if named[kind.value] is not None)

    @property
    def kind(self) -> RouterKind:
        """The router that is played; the first when there are several."""
        return self.kinds[0]

    @property
    def max_weight(self) -> int:
        """The largest weight: 100, or what NGINX or a plugin was told."""
        if self.max_traffic_weight is None or not {RouterKind.NGINX, RouterKind.PLUGINS} & set(self.kinds):
            return 100
        return self.max_traffic_weight

    @property
    def needs_services(self) -> bool:
        """Must canaryService and stableService be named?"""
        if self.istio is not None:
            return self.istio.destination_rule is None
        return self.kinds != (RouterKind.PLUGINS,)

    def conflicts(self) -> Iterator[Finding]:
        if not self.kinds:
            yield Finding(
                f"no router in trafficRouting; give one of {', '.join(RouterKind)}",
                hint="istio: {virtualService: {name: web}}",
                code="ZD1032",
            )
        if self.max_traffic_weight is not None:
            if not {RouterKind.NGINX, RouterKind.PLUGINS} & set(self.kinds):
                message = "only nginx and plugins know a largest weight: InvalidSpec, nothing would move"
                yield Finding(message, ("maxTrafficWeight",), code="ZD1032")
            elif self.max_traffic_weight <= 0:
                message = f"must be more than 0, got {self.max_traffic_weight}"
                yield Finding(message, ("maxTrafficWeight",), code="ZD1005")


class PingPong(Spec):
    """canary.pingPong: two services that take turns."""

    ping_service: Text = Field("", alias="pingService")
    pong_service: Text = Field("", alias="pongService")


class StringMatch(Spec):
    """A condition on a text: exactly one of exact, prefix and regex."""

    exact: Text | None = None
    prefix: Text | None = None
    regex: Text | None = None

    def conflicts(self) -> Iterator[Finding]:
        given = sum(value is not None for value in (self.exact, self.prefix, self.regex))
        if given != 1:
            message = f"give exactly one of exact, prefix and regex, got {given}: InvalidSpec, nothing would move"
            yield Finding(message, code="ZD1032")


class HeaderMatch(Spec):
    """setHeaderRoute.match."""

    header_name: Text = Field(alias="headerName")
    header_value: StringMatch = Field(alias="headerValue")


__all__ = [
    "Alb",
    "DestinationRule",
    "HeaderMatch",
    "Istio",
    "ManagedRoute",
    "Nginx",
    "PingPong",
    "RouterKind",
    "Smi",
    "Stickiness",
    "StringMatch",
    "TrafficRouting",
    "VirtualService",
]
