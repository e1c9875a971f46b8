"""When does a new pod get its node?

One hop to hear of the pod, one call to bind it. Where nodes have no capacity limit, every pod gets the first answer of
`choose_node`; a pod for which it answers None stays pending until `retry` is called (a node was added, a pod has gone).
"""

from __future__ import annotations

from collections.abc import Callable

from zdsim.cluster.api import Api, ChangeKind, Pod, PodChange
from zdsim.cluster.latency import Law
from zdsim.cluster.workqueue import Client, ClientLimits

__all__ = ["SCHEDULER_LIMITS", "Scheduler"]

SCHEDULER_LIMITS = ClientLimits(qps=50.0, burst=100)
WHO = "scheduler"


class Scheduler:
    """Binds pods to nodes.

    Args:
        write_delay: seconds of a bind call, by ("write/scheduler/<pod>", 0).
        choose_node: name of the node for a pod, or None if it fits nowhere now.
    """

    def __init__(
        self,
        api: Api,
        *,
        write_delay: Law,
        limits: ClientLimits = SCHEDULER_LIMITS,
        choose_node: Callable[[Pod], str | None] | None = None,
    ) -> None:
        self._api = api
        self._choose_node = choose_node or (lambda pod: "node-0")
        self._client = Client(api.clock, WHO, write_delay=write_delay, limits=limits)
        self._pending: dict[str, Pod] = {}
        api.watch_pods(self._hear, who=WHO, where=lambda change: change.kind is ChangeKind.ADDED)

    @property
    def pending(self) -> list[Pod]:
        """Pods that fit nowhere so far, in order of creation."""
        return [pod for pod in self._pending.values() if pod.state.gone_s is None]

    def retry(self) -> None:
        """Try the pending pods again."""
        pods = self.pending
        self._pending.clear()
        for pod in pods:
            self._schedule(pod)

    def _hear(self, change: PodChange) -> None:
        self._schedule(change.obj)

    def _schedule(self, pod: Pod) -> None:
        node = self._choose_node(pod)
        if node is None:
            self._pending[pod.name] = pod
            return
        self._api.clock.call_in(self._client.wait(pod.name), lambda: self._bind(pod, node))

    def _bind(self, pod: Pod, node: str) -> None:
        if pod.state.gone_s is None and pod.state.deletion_s is None:
            self._api.bind_pod(pod, node)
