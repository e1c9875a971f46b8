"""When does a node's kubelet look, and how long do its actions take?

A kubelet notices by looking: it lists its containers every second (PLEG relist), polls its work queue every second and
keeps house every two. These grids belong to the node, each with a phase of its own, and everything that ends between
two looks is noticed at the next one. What the node does takes time by measured laws.

Source: Kubernetes `pkg/kubelet/pleg/generic.go`, `pkg/kubelet/kubelet.go` (`syncLoop`); the laws: recordings of a real
1.34.9 node (see `tests/conformance`), which shared two cores with its own control plane.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from math import floor
from typing import Any, Final

from simpy.events import Event

from zdsim.cluster.backoff import BackOff, Limits, Wake
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.latency import Law, Quantiles
from zdsim.plane import luck

#: (probability, seconds). Pod heard of -> its volumes are mounted: the kubelet polls for that every 0.3 s.
VOLUMES: Final = ((0.0, 0.302), (0.5, 0.312), (1.0, 0.335))
#: Volumes mounted -> sandbox and network are up.
SANDBOX: Final = ((0.0, 0.03), (0.5, 0.05), (0.9, 0.10), (1.0, 0.35))
#: Container to be started -> its process runs. Recorded after a liveness kill: 0.10 to 0.25 s.
CONTAINER: Final = ((0.0, 0.08), (0.5, 0.13), (0.9, 0.18), (1.0, 0.35))
#: Relist begins -> a changed pod's turn. Recorded: first readiness probes of two pods on one relist 0.000 to 0.029 s
#: apart, in the middle 0.004.
LOOK: Final = ((0.0, 0.001), (0.5, 0.005), (0.9, 0.013), (1.0, 0.03))
#: Kill decided (or deletion heard) -> SIGTERM reaches the process, or preStop begins.
SIGNAL: Final = ((0.0, 0.002), (0.5, 0.006), (0.9, 0.020), (1.0, 0.08))
#: A process exits -> its sockets are closed. Recorded: clients see the end 0.001 to 0.009 s after the process's last
#: word, and what they sent in between is reset.
CLOSE: Final = ((0.0, 0.001), (0.5, 0.002), (0.9, 0.006), (1.0, 0.009))
#: Last container ended -> the pod's address answers no more: refused until then, silence after it. Alone on the node.
NETWORK_TEARDOWN: Final = ((0.0, 0.055), (0.5, 0.09), (0.9, 0.14), (1.0, 0.20))
#: Each other pod that starts or ends on the node meanwhile makes a start, or an end, this much longer. Recorded medians
#: on two cores with 0, 1, 2, 3 others: created to process start 0.51, 0.57, 0.59, 0.71 s (0.31 s of it waiting for
#: volumes), process exit to endpoint gone 0.14, 0.19, 0.26, 0.31 s (0.05 s of it writing). More were not recorded.
CROWDED_START: Final = 0.25
CROWDED_END: Final = 0.6
MOST_OTHERS: Final = 4
WORK_STEP_S: Final = 0.02  # how often such work looks around
#: A status changed -> the status manager takes a batch. Recorded: a readiness that follows the first status by a few
#: milliseconds rides along with it for 9 of 63 pods.
STATUS_BEGIN: Final = ((0.0, 0.0002), (0.5, 0.001), (0.86, 0.003), (1.0, 0.02))
#: One status is read and patched. Recorded: 115 steps between statuses of pods that became ready together.
STATUS_WRITE: Final = ((0.0, 0.003), (0.1, 0.006), (0.5, 0.013), (0.9, 0.029), (1.0, 0.142))
#: Network gone -> the pod's final status is known.
FINAL_STATUS: Final = ((0.0, 0.010), (0.5, 0.015), (1.0, 0.03))
#: Network gone -> the volumes are unmounted. Recorded: of 17 pods whose next relist came within 0.12 s 7 were gone a
#: poll of 0.3 s later than the others, of 68 later ones none.
UNMOUNT: Final = ((0.0, 0.03), (0.5, 0.09), (1.0, 0.16))
#: First relist after the network has gone, volumes unmounted and final phase written -> the pod object is deleted.
REMOVAL: Final = ((0.0, 0.005), (0.5, 0.015), (0.9, 0.04), (1.0, 0.06))


@dataclass(frozen=True, slots=True)
class Uniform:
    """A law without a unit, uniform in [0, 1)."""

    seed: int

    def __call__(self, stream: str, number: int) -> float:
        return luck.unit(luck.raw(luck.stream_key(self.seed, stream), number, 0))


@dataclass(frozen=True, slots=True)
class NodeLaws:
    """Durations on a node, seconds, drawn by stream and pod; `uniform` is in [0, 1)."""

    volumes: Law
    sandbox: Law
    container: Law
    look: Law
    signal: Law
    close: Law
    status_begin: Law
    status_write: Law
    network_teardown: Law
    final_status: Law
    unmount: Law
    removal: Law
    uniform: Law

    @classmethod
    def measured(cls, seed: int) -> "NodeLaws":
        """As recorded."""
        return cls(
            volumes=Quantiles(VOLUMES, seed),
            sandbox=Quantiles(SANDBOX, seed),
            container=Quantiles(CONTAINER, seed),
            look=Quantiles(LOOK, seed),
            signal=Quantiles(SIGNAL, seed),
            close=Quantiles(CLOSE, seed),
            status_begin=Quantiles(STATUS_BEGIN, seed),
            status_write=Quantiles(STATUS_WRITE, seed),
            network_teardown=Quantiles(NETWORK_TEARDOWN, seed),
            final_status=Quantiles(FINAL_STATUS, seed),
            unmount=Quantiles(UNMOUNT, seed),
            removal=Quantiles(REMOVAL, seed),
            uniform=Uniform(seed),
        )


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Periods of a kubelet's looks, seconds, and its back-off.

    A relist begins 1 s after the previous one *ended*; recorded beats are 1.00 to 1.04 s apart, in the middle 1.015.
    `wake` is PERIODIC, as in the recorded 1.34 kubelet; 1.36 looks again after the remaining time instead, up to half
    as long again.
    """

    relist_s: float = 1.015
    work_queue_s: float = 1.0
    housekeeping_s: float = 2.0
    backoff: Limits = field(default_factory=Limits)
    wake: Wake = Wake.PERIODIC


@dataclass(frozen=True, slots=True)
class Grid:
    """Looks at phase, phase + period, ...; a phase may lie before time 0."""

    phase_s: float
    period_s: float

    def after(self, now: float) -> float:
        """First look strictly after `now`."""
        k = floor((now - self.phase_s) / self.period_s)
        while self.phase_s + k * self.period_s <= now:
            k += 1
        return self.phase_s + k * self.period_s

    def last(self, now: float) -> float:
        """Latest look at or before `now`."""
        k = floor((now - self.phase_s) / self.period_s) + 1
        while self.phase_s + k * self.period_s > now:
            k -= 1
        return self.phase_s + k * self.period_s


@dataclass(slots=True)
class Node:
    """One node: its grids and its back-off table."""

    name: str
    relist: Grid
    work_queue: Grid
    housekeeping: Grid
    backoff: BackOff = field(default_factory=BackOff)
    at_work: int = 0  # pods whose sandbox or container it is making, or whose network it is taking down

    @classmethod
    def make(cls, name: str, settings: NodeSettings, uniform: Law) -> "Node":
        """A node whose grids have phases of their own, drawn by its name."""

        def grid(what: str, period_s: float) -> Grid:
            return Grid((uniform(f"{what}/{name}", 0) - 1.0) * period_s, period_s)

        return cls(
            name,
            relist=grid("relist", settings.relist_s),
            work_queue=grid("work_queue", settings.work_queue_s),
            housekeeping=grid("housekeeping", settings.housekeeping_s),
            backoff=BackOff(settings.backoff),
        )

    def start(self, clock: SharedClock, alone_s: float) -> Generator[Event, Any, None]:
        """Work on a pod's start that takes `alone_s` when no other pod starts or ends here meanwhile."""
        return self._work(clock, alone_s, CROWDED_START)

    def end(self, clock: SharedClock, alone_s: float) -> Generator[Event, Any, None]:
        """The same for its end."""
        return self._work(clock, alone_s, CROWDED_END)

    def _work(self, clock: SharedClock, alone_s: float, crowded: float) -> Generator[Event, Any, None]:
        left = alone_s
        self.at_work += 1
        try:
            while left > 0.0:
                step = min(left, WORK_STEP_S)
                yield clock.timeout(step * (1.0 + crowded * min(self.at_work - 1, MOST_OTHERS)))
                left -= step
        finally:
            self.at_work -= 1
