"""How does the control plane talk to a request plane?

`DataPlane` is the protocol of both; ``MODEL.md`` 7 says what each call does. Every call that changes something
takes the time `now` (seconds, never before the last call or event) and runs to its end before it returns;
what it sets free acts before the call returns, what it schedules for later is played by `advance`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from zdsim.plane.config import PlaneRecord
from zdsim.plane.vocabulary import Cause, ProbeAnswer, ProbeDepth, SignalKind


class Stop(IntEnum):
    """Why `advance` returned."""

    REACHED = 0  # everything before `until` was played
    SIGNAL = 1  # something the control plane must hear of; `now` is its time


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that happened in the request plane and that the control plane waits for."""

    time: float
    kind: SignalKind
    pod: int  # row
    ref: int  # PROBE_DONE: the reference given to `probe`; IDLE, MEMORY: the pod's row
    ok: bool = True  # PROBE_DONE: the answer


class DataPlane(Protocol):
    """A request plane."""

    @property
    def now(self) -> float:
        """Time of the last event played or call made, seconds."""

    @property
    def open_requests(self) -> int:
        """Requests begun and not ended (work whose client has gone is not one)."""

    def advance(self, until: float) -> Stop:
        """Play events strictly before `until`, in order, up to and including the first that raises a signal.

        Returns SIGNAL at once, without playing, while signals have not been taken.
        """

    def take_signals(self) -> list[Signal]:
        """Signals raised since the last call, in order."""

    def record(self) -> PlaneRecord:
        """The counts so far: arrays are live views, do not write."""

    # --- pods -------------------------------------------------------------------------------------------------
    def add_pod(self, revision: int, now: float) -> int:
        """A new pod with its network up and no process; returns its row (0, 1, 2, ...)."""

    def start_process(self, pod: int, now: float, *, memory_requests: int = 0) -> None:
        """The process listens from now on. A MEMORY signal after it accepted `memory_requests` (0: never)."""

    def stop_accepting(self, pod: int, now: float) -> bool:
        """Drain: refuse what is new, close what is idle, finish the rest. True: nothing is left; else IDLE follows."""

    def set_closing(self, pod: int, now: float, *, closing: bool) -> None:
        """Answer with `Connection: close` (a lame duck that tells its clients)."""

    def end_process(self, pod: int, now: float, cause: Cause) -> int:
        """The process is gone; what it held is reset. Returns the number of attempts whose clients saw that."""

    def remove_network(self, pod: int, now: float) -> None:
        """The pod's address answers no more (its process must have ended)."""

    def hang(self, pod: int, now: float) -> None:
        """Deadlock: accept, never answer, until the process ends."""

    def set_pod_factor(self, pod: int, factor: float, now: float) -> None:
        """Service time multiplier of a pod (slow node), for services that start from now on."""

    def mark_removed(self, pod: int, now: float) -> None:
        """From now on a router that still knows the pod has a stale view."""

    def load(self, pod: int) -> int:
        """Busy workers plus waiting attempts of a pod."""

    def probe(self, pod: int, depth: ProbeDepth, now: float, *, shared: bool, ref: int = -1) -> ProbeAnswer:
        """A probe call. `shared`: through the worker queue, answered by a PROBE_DONE signal with `ref` if PENDING."""

    # --- routers ----------------------------------------------------------------------------------------------
    def set_view(self, proxy: int, pods: Sequence[int], now: float) -> None:
        """The pods that a proxy may choose from now on, in this order."""

    def set_weights(self, weights: Sequence[float] | None, now: float) -> None:
        """Shares of requests by revision (sum 1), or None: every pod alike."""

    def set_match(self, revision: int, share: float, classes: Sequence[bool], now: float) -> None:
        """While weights are set, `share` of the users go to `revision` with requests of `classes`; -1: no match."""

    def set_cookie(self, revision: int, now: float) -> None:
        """Users whom the weights once sent to `revision` stay there while it has any weight; -1: no cookie."""

    def set_mirror(self, revision: int, share: float, now: float) -> None:
        """A copy of `share` of the requests goes to `revision` too, its answer to nobody; -1: no mirror."""

    # --- revisions --------------------------------------------------------------------------------------------
    def set_error_rate(self, revision: int, klass: int, rate: float, now: float) -> None: ...

    def set_service_factor(self, revision: int, factor: float, now: float) -> None: ...

    def set_n_queries(self, revision: int, klass: int, n: int, now: float) -> None: ...

    # --- database ---------------------------------------------------------------------------------------------
    def db_down(self, now: float) -> None: ...

    def db_up(self, now: float) -> None: ...

    def set_db_factor(self, factor: float, now: float) -> None:
        """Query time multiplier, for queries that start running from now on."""

    def set_db_max_connections(self, n: int, now: float) -> None:
        """A lower limit closes nothing that is open."""
