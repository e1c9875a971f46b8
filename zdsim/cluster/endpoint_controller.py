"""How does a change of a pod become a change of every router's view?

`EndpointController` hears of pods and keeps one slice of those its service selects; each `KubeProxy` hears of
the slice after a hop of its own, syncs at its own pace and only then sends new connections elsewhere. Nobody waits for
anybody: meanwhile the pod may have ended.

One write at a time. A stale informer makes a write fail now and then (see `endpoints`); the next change, or a retry
after 1, 2, 4 ... s, brings the slice up to date.

Source: Kubernetes `pkg/controller/endpointslice/endpointslice_controller.go`, `pkg/proxy/iptables/proxier.go`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from zdsim.cluster.api import Api, ChangeKind, Pod, PodChange, PodState
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.endpoints import (
    STALE_CHANCE,
    Endpoint,
    categorize_endpoints,
    endpoint_of,
    retry_after_s,
    should_pod_be_in_endpoints,
)
from zdsim.cluster.journal import EntryKind, Journal
from zdsim.cluster.latency import Law, Quantiles
from zdsim.cluster.node import Uniform
from zdsim.cluster.proxy import Pace, SyncRunner
from zdsim.plane.protocol import DataPlane

#: (probability, seconds). Change heard of -> slice written. Recorded: deletion seen -> endpoint not ready seen.
SLICE_WRITE: Final = ((0.0, 0.001), (0.5, 0.013), (0.9, 0.050), (1.0, 0.27))
#: Slice written -> a proxy on a quiet small node has heard of it.
PROXY_HOP: Final = ((0.0, 0.0005), (0.5, 0.003), (0.9, 0.011), (1.0, 0.14))
#: Duration of a sync of a small rule set.
PROXY_SYNC: Final = ((0.0, 0.016), (0.5, 0.030), (1.0, 0.044))


class Slice:
    """The endpoints of a service as written once."""

    __slots__ = ("_chosen", "entries")

    def __init__(self, entries: tuple[Endpoint, ...] = ()) -> None:
        self.entries = entries
        self._chosen: tuple[Pod, ...] | None = None

    @property
    def chosen(self) -> tuple[Pod, ...]:
        """The pods a router may send new connections to; worked out once for all routers."""
        if self._chosen is None:
            self._chosen = tuple([endpoint.pod for endpoint in categorize_endpoints(self.entries)])
        return self._chosen


@dataclass(frozen=True, slots=True)
class ServiceLaws:
    """Durations on the way from a pod to a view, seconds; `uniform` is in [0, 1). `hop` and `sync` by proxy."""

    write: Law
    hop: Law
    sync: Law
    uniform: Law

    @classmethod
    def measured(cls, seed: int, *, lag: Law | None = None) -> "ServiceLaws":
        """As recorded on a small cluster; `lag` replaces the hop to the proxies."""
        return cls(
            write=Quantiles(SLICE_WRITE, seed),
            hop=Quantiles(PROXY_HOP, seed) if lag is None else lag,
            sync=Quantiles(PROXY_SYNC, seed),
            uniform=Uniform(seed),
        )


class KubeProxy:
    """One router with a view of its own.

    Args:
        index: its number in the request plane.
        pace: limits of its syncs; `Pace(min_sync_s=...)` for other routers.
        on_view: told of every new view, for those who look without a request plane.
    """

    def __init__(
        self,
        clock: SharedClock,
        index: int,
        *,
        plane: DataPlane | None,
        laws: ServiceLaws,
        pace: Pace | None = None,
        on_view: Callable[["KubeProxy"], None] | None = None,
    ) -> None:
        self.index, self.view = index, tuple[Pod, ...]()
        self._clock, self._plane, self._laws, self._on_view = clock, plane, laws, on_view
        self._runner = SyncRunner(pace or Pace())
        self._slice = Slice()
        self._heard_until = clock.now
        self._syncs = 0
        self._token = 0

    def tell(self, slice_: Slice, number: int) -> None:
        """The slice was written for the `number`-th time; heard of after a hop, in order."""
        heard = self._clock.now + self._laws.hop(f"proxy_hop/{self.index}", number)
        self._heard_until = max(self._heard_until, heard)
        self._clock.call_at(self._heard_until, lambda: self._hear(slice_))

    def _hear(self, slice_: Slice) -> None:
        self._slice = slice_
        self._runner.asked(self._clock.now)
        self._plan()

    def _plan(self) -> None:
        at = self._runner.next_at
        if at == float("inf"):
            return
        self._token += 1
        token = self._token
        self._clock.call_at(max(at, self._clock.now), lambda: self._begin(token))

    def _begin(self, token: int) -> None:
        if token != self._token:
            return
        self._runner.began(self._clock.now)
        self._syncs += 1
        slice_ = self._slice
        self._clock.call_in(self._laws.sync(f"proxy_sync/{self.index}", self._syncs), lambda: self._program(slice_))

    def _program(self, slice_: Slice) -> None:
        now, self.view = self._clock.now, slice_.chosen
        if self._plane is not None:
            self._plane.set_view(self.index, [pod.plane_row for pod in self.view if pod.plane_row is not None], now)
        if self._on_view is not None:
            self._on_view(self)
        self._runner.ended(now)
        self._plan()


class EndpointController:
    """Keeps the EndpointSlice of one service.

    Args:
        selects: whether a pod belongs to the service; `select` changes it.
        proxies: told of every write.
        stale_chance: probability that a write fails on a stale cache.
        publish_not_ready: the service's publishNotReadyAddresses.
    """

    def __init__(
        self,
        clock: SharedClock,
        api: Api,
        journal: Journal,
        *,
        selects: Callable[[Pod], bool],
        proxies: Sequence[KubeProxy],
        laws: ServiceLaws,
        stale_chance: float = STALE_CHANCE,
        publish_not_ready: bool = False,
        name: str = "service",
    ) -> None:
        self.slice = Slice()  # as last written
        self._clock, self._journal, self._proxies, self._laws = clock, journal, proxies, laws
        self._selects, self._name = selects, name
        self._stale_chance, self._publish_not_ready = stale_chance, publish_not_ready
        self._known: dict[str, Endpoint] = {}  # pods with an address, as last heard
        self._selected: dict[str, Endpoint] = {}  # those of them that the service selects
        self._changed: dict[str, None] = {}  # names whose entry is not written yet, in order
        self._writes = self._failures = self._tries = 0
        self._writing = False
        api.watch_pods(self._heard, who=f"endpoints/{name}")

    def select(self, selects: Callable[[Pod], bool]) -> None:
        """The service selects other pods from now on (its selector was changed)."""
        before, self._selects = self._selected, selects
        self._selected = {name: endpoint for name, endpoint in self._known.items() if selects(endpoint.pod)}
        self._changed |= dict.fromkeys(name for name in self._known if (name in before) != (name in self._selected))
        if self._changed:
            self._sync()

    def _heard(self, change: PodChange) -> None:
        pod = change.obj
        endpoint = None if change.kind is ChangeKind.DELETED else self._endpoint(pod, change.state)
        if self._known.get(pod.name) == endpoint:
            return
        if endpoint is None:
            del self._known[pod.name]
        else:
            self._known[pod.name] = endpoint
        if self._selects(pod):
            if endpoint is None:
                self._selected.pop(pod.name, None)
            else:
                self._selected[pod.name] = endpoint
            self._changed[pod.name] = None
            self._sync()

    def _sync(self) -> None:
        if self._writing:
            return  # what has changed since takes another write
        self._tries += 1
        if self._laws.uniform(f"stale/{self._name}", self._tries) < self._stale_chance:
            self._failures += 1
            tries = self._tries
            self._clock.call_in(retry_after_s(self._failures), lambda: self._retry(tries))
            return
        self._failures, self._writing = 0, True
        slice_, changed = Slice(tuple(self._selected.values())), self._changed
        self._changed = {}
        letters = {name: self._selected[name].letters if name in self._selected else "gone" for name in changed}
        write_s = self._laws.write(f"slice_write/{self._name}", self._tries)
        self._clock.call_in(write_s, lambda: self._written(slice_, letters))

    def _retry(self, tries: int) -> None:
        if tries == self._tries:  # nothing was tried since
            self._sync()

    def _written(self, slice_: Slice, letters: dict[str, str]) -> None:
        self.slice, self._writing = slice_, False
        self._writes += 1
        for name, new in letters.items():
            self._journal.write(self._clock.now, EntryKind.ENDPOINTS, name, new, service=self._name)
        for proxy in self._proxies:
            proxy.tell(slice_, self._writes)
        if self._changed:
            self._sync()

    def _endpoint(self, pod: Pod, state: PodState) -> Endpoint | None:
        deleting = state.deletion_s is not None
        if not should_pod_be_in_endpoints(has_ip=state.has_ip, terminal=state.phase.terminal, deleting=deleting):
            return None
        return endpoint_of(
            pod, ready_condition=state.ready, deleting=deleting, publish_not_ready=self._publish_not_ready
        )
