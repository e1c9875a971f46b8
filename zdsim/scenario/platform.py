"""What lies between the clients and the process: router, database, and the cluster's own delays?

The cluster's defaults were measured on a real Kubernetes v1.34 node (kubelet, containerd, kube-proxy; 690 pods of
rolling updates); the percentiles are told at each field.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from zdsim.scenario.fields import PositiveSeconds, Quantity, Seconds, Share, Whole, choice
from zdsim.scenario.laws import EmpiricalLaw, Law, constant, lognormal
from zdsim.scenario.spec import Assumed, Finding, Spec


class RouterMode(StrEnum):
    """When a backend is chosen."""

    CONNECTION = "connection"  # L4: when a connection opens, kept until it closes
    REQUEST = "request"  # L7: for every request


class Algorithm(StrEnum):
    """How a backend is chosen."""

    ROUND_ROBIN = "round_robin"
    RANDOM = "random"
    LEAST_REQUEST = "least_request"
    POWER_OF_TWO = "power_of_two"


class Router(Spec):
    """A tier of proxies, each with its own view of the endpoints."""

    mode: Annotated[RouterMode, choice(RouterMode), Assumed("kube-proxy chooses per connection")] = (
        RouterMode.CONNECTION
    )
    algorithm: Annotated[Algorithm, choice(Algorithm), Assumed("kube-proxy chooses at random")] = Algorithm.RANDOM
    proxies: Annotated[int, Whole(ge=1, le=1000), Assumed("views of the endpoints, one per node")] = 3
    lag: Annotated[Law, Assumed("how long a proxy takes to program a change of endpoints")] = Field(
        lognormal(median_s=0.020, p99_s=0.100), description="rule programming, drawn per change and proxy"
    )
    min_sync_s: Annotated[Seconds, Assumed("kube-proxy's minSyncPeriod")] = Field(
        1.0, alias="min_sync", description="a change is not programmed sooner than this after the last one ended"
    )
    retry_on_connect: Annotated[int, Whole(ge=0, le=10)] = Field(
        0, description="times the router itself tries another backend when one cannot be reached"
    )


class PoolFill(StrEnum):
    """When a pod opens its database connections."""

    LAZY = "lazy"
    EAGER = "eager"


class Database(Spec):
    """One database behind all pods."""

    pool: Annotated[int, Whole(ge=1, le=100_000)] = Field(10, description="connections each pod may open")
    pool_fill: Annotated[PoolFill, choice(PoolFill)] = PoolFill.LAZY
    pool_timeout_s: PositiveSeconds = Field(5.0, alias="pool_timeout")
    statement_timeout_s: PositiveSeconds = Field(30.0, alias="statement_timeout")
    max_connections: Annotated[int, Whole(ge=1, le=1_000_000)] = 100
    reserved: Annotated[int, Whole(ge=0, le=1_000_000)] = 3
    slots: Annotated[int, Whole(ge=1, le=1_000_000)] | None = Field(
        16, description="queries the server works on at once; null: no limit"
    )

    def conflicts(self) -> Iterator[Finding]:
        if self.reserved >= self.max_connections:
            yield Finding(
                f"reserved ({self.reserved}) leaves none of the {self.max_connections} connections for the pods",
                ("reserved",),
            )


# Twenty-one quantiles (0 %, 5 %, ... 100 %) of 650 pods: process exit -> pod object gone.
TEARDOWN_S = (
    0.148, 0.37, 0.418, 0.467, 0.583, 0.687, 0.788, 0.852, 0.874, 0.916, 0.943,
    0.953, 0.961, 0.975, 0.985, 0.99, 1.002, 1.014, 1.028, 1.051, 1.456,
)  # fmt: skip


class Cluster(Spec):
    """The delays of a real cluster, without any load of their own."""

    watch_hop: Law = Field(
        lognormal(median_s=0.003, p99_s=0.075),
        description="from a write until another component sees it (half of pod created -> bound, 2634 pods)",
    )
    scheduling: Law = Field(constant(0.005), description="from a pod's creation until it is bound to a node")
    container_start: Law = Field(
        lognormal(median_s=0.540, p99_s=0.820),
        description="from a pod's creation until its process starts, image present (measured 0.42, 0.54, 0.98)",
    )
    pleg_s: PositiveSeconds = Field(1.0, alias="pleg", description="period of the kubelet's relist of containers")
    status_update: Law = Field(
        lognormal(median_s=0.027, p99_s=0.112),
        description="from the kubelet's verdict until the pod's condition is seen (measured 0.005, 0.027, 0.31)",
    )
    sigterm: Law = Field(
        lognormal(median_s=0.009, p99_s=0.065),
        description="from deletion until SIGTERM or the preStop hook (measured median 0.009, 90 % 0.028)",
    )
    endpoint_update: Law = Field(
        lognormal(median_s=0.016, p99_s=0.140),
        description="from a pod's change until its endpoint slice changed (measured median 0.016, 90 % 0.053)",
    )
    endpoint_retry_share: Share = Field(
        0.015, description="share of endpoint changes that meet a stale cache and come `endpoint_retry` later"
    )
    endpoint_retry_s: Seconds = Field(1.0, alias="endpoint_retry")
    teardown: Law = Field(
        EmpiricalLaw(kind="empirical", values_s=TEARDOWN_S),
        description="from the last container's exit until the pod object is gone (measured 0.15, 0.94, 1.46)",
    )
    network_teardown_share: Share = Field(
        0.05, description="how far into the teardown the pod's network goes: connections are refused before, lost after"
    )
    controller_qps: Annotated[float, Quantity("number", gt=0, le=100_000)] = Field(
        20.0, description="requests a second each controller may send to the API"
    )
    controller_burst: Annotated[int, Whole(ge=1, le=1_000_000)] = 30
