"""Which pods are endpoints of a service, and when does the endpoint controller say so?

Deletion, readiness and the end of a pod change its endpoint's three conditions. The controller (`EndpointController`)
writes a new slice at once, except that now and then it cannot yet see its own previous write: then it fails and tries
again after 1, 2, 4 ... s, which gives bursts of changes a tail of about a second.

Source: Kubernetes `staging/src/k8s.io/endpointslice/util/controller_utils.go` (`ShouldPodBeInEndpoints`),
`staging/src/k8s.io/endpointslice/utils.go` (`podToEndpoint`), `pkg/proxy/topology.go` (`CategorizeEndpoints`),
`pkg/controller/endpointslice/endpointslice_controller.go`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, assert_never

STALE_CHANCE: Final = 0.015  # 1 to 2 % of changes, recorded on a small cluster
RETRY_S: Final = 1.0
RETRY_CAP_S: Final = 1000.0


class TrafficPolicy(Enum):
    """internalTrafficPolicy / externalTrafficPolicy of a service."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One pod in an EndpointSlice.

    Attributes:
        pod: it, or its name.
        serving: its Ready condition, also while it terminates.
        terminating: it has a deletion timestamp.
        ready: serving and not terminating, or the service publishes addresses that are not ready.
        local: on the node of the proxy that asks.
    """

    pod: Any
    serving: bool
    terminating: bool
    ready: bool
    local: bool = False

    @property
    def letters(self) -> str:
        """Three letters, r(eady) s(erving) t(erminating), `-` where false."""
        return "".join(
            c if on else "-" for c, on in zip("rst", (self.ready, self.serving, self.terminating), strict=True)
        )


def should_pod_be_in_endpoints(
    *, has_ip: bool, terminal: bool, deleting: bool, include_terminating: bool = True
) -> bool:
    """`ShouldPodBeInEndpoints`: a pod with an address whose containers have not all ended for good."""
    return has_ip and not terminal and (include_terminating or not deleting)


def endpoint_of(
    pod: Any, *, ready_condition: bool, deleting: bool, publish_not_ready: bool = False, local: bool = False
) -> Endpoint:
    """The slice entry of a pod that belongs in it.

    Deletion alone does not make a pod unready: `serving` stays what the readiness probe says.
    """
    return Endpoint(
        pod,
        serving=ready_condition,
        terminating=deleting,
        ready=publish_not_ready or (ready_condition and not deleting),
        local=local,
    )


def categorize_endpoints(
    endpoints: Iterable[Endpoint], policy: TrafficPolicy = TrafficPolicy.CLUSTER
) -> tuple[Endpoint, ...]:
    """Endpoints a proxy may choose for a new connection (`CategorizeEndpoints`), in the order given.

    The ready ones; if there is none, those that terminate and still serve. Under the Local policy the same among the
    endpoints of the proxy's own node.
    """
    match policy:
        case TrafficPolicy.CLUSTER:
            seen = tuple(endpoints)
        case TrafficPolicy.LOCAL:
            seen = tuple(e for e in endpoints if e.local)
        case _:
            assert_never(policy)
    return tuple([e for e in seen if e.ready]) or tuple([e for e in seen if e.serving and e.terminating])


def retry_after_s(n_failures: int) -> float:
    """Wait after the `n_failures`-th failed sync in a row: 1, 2, 4 ... s up to 1000 s."""
    return float(min(RETRY_S * 2.0 ** (n_failures - 1), RETRY_CAP_S))
