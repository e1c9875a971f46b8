"""What lies between the clients and the process: router, database, and the cluster itself?"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from zdsim.scenario.fields import Flag, PositiveSeconds, Quantity, Seconds, Share, Whole, choice
from zdsim.scenario.laws import Law, lognormal
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
    lag: Annotated[Law, Assumed("how long until a proxy hears of a change of endpoints")] = Field(
        lognormal(median_s=0.003, p99_s=0.040),
        description="drawn per change and proxy; programming its rules takes another 16 to 44 ms (as measured)",
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


class Cluster(Spec):
    """The cluster's own limits and delays; a delay not given is as measured on a real, quiet one (`zdsim.cluster`)."""

    endpoint_retry_share: Share = Field(
        0.015,
        description="share of endpoint changes that meet a stale cache and come a second later",
    )
    watch_hop: Law | None = Field(
        None, description="from a change in the API until another component hears of it; null: measured, about 2 ms"
    )
    api_write: Law | None = Field(None, description="a call to the API; null: measured, about 3 ms")
    controller_qps: Annotated[float, Quantity("number", gt=0, le=100_000)] = Field(
        20.0, description="requests a second each controller may send to the API"
    )
    report_terminating: Flag = Field(
        True, description="ReplicaSet status tells terminating pods (Kubernetes 1.35 and later); costs writes"
    )
    controller_burst: Annotated[int, Whole(ge=1, le=1_000_000)] = Field(
        30, description="requests it may send at once after a pause"
    )
