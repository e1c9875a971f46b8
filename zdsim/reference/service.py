"""What happens inside a pod? Workers, their queue, the time a service takes, the answer: MODEL.md 5 without queries."""

from typing import assert_never

from zdsim.plane.config import PlaneConfig
from zdsim.plane.protocol import Signal
from zdsim.plane.vocabulary import Cause, Outcome, ProbeDepth, SignalKind
from zdsim.reference.books import Books
from zdsim.reference.client import Clients
from zdsim.reference.clock import PlaneClock
from zdsim.reference.database import Database
from zdsim.reference.router import Router
from zdsim.reference.state import Attempt, Pod, Where


class Service:
    def __init__(
        self,
        config: PlaneConfig,
        clock: PlaneClock,
        books: Books,
        router: Router,
        clients: Clients,
        database: Database,
    ) -> None:
        self._config = config
        self._clock = clock
        self._books = books
        self._router = router
        self._clients = clients
        self._database = database
        self._warm_factor: list[float] = config.warm_factor.tolist()
        self.revision_factor: list[float] = config.service_factor.tolist()
        self.signals: list[Signal] = []

    # --- coming in --------------------------------------------------------------------------------------------
    def takes(self, pod: Pod) -> bool:
        """Would a new connection be accepted?"""
        return pod.network and pod.listening and pod.accepting

    def enter(self, attempt: Attempt) -> bool:
        """To a free worker or into the queue; False: both are full."""
        pod = attempt.at
        if pod.busy < self._config.workers:
            pod.busy += 1
            attempt.where = Where.SERVICE
        elif len(pod.queue) < self._config.queue:
            pod.queue.append(attempt)
            attempt.where = Where.QUEUE
            attempt.turn = self._clock.event()
        else:
            return False
        pod.present.add(attempt)
        return True

    def admit(self, attempt: Attempt) -> bool:
        """`enter` for a client's attempt, with what is counted at the door."""
        if not self.enter(attempt):
            return False
        pod = attempt.at
        self._router.enters(attempt)
        pod.accepted += 1
        if pod.memory_requests > 0 and pod.accepted == pod.memory_requests:
            self.signal(SignalKind.MEMORY, pod, pod.row)
        if not attempt.request.mirrored:
            self._books.admitted(attempt)
        return True

    # --- the work ---------------------------------------------------------------------------------------------
    def start(self, attempt: Attempt, now: float) -> float:
        """Its service starts now; how long it takes."""
        pod = attempt.at
        wall_s = ((attempt.work_s * self.revision_factor[pod.revision]) * self.warm(now - pod.since_s)) * pod.factor
        if not attempt.is_probe:
            self._books.service_begins(pod, wall_s, now)
        return wall_s

    def warm(self, age_s: float) -> float:
        """Slowness of a process of that age: its caches fill, its code gets compiled."""
        f = self._warm_factor
        n = len(f)
        x = age_s / self._config.warm_step_s
        i = int(x)
        if i + 1 >= n:
            return 1.0 if i >= n else f[i] + (x - i) * (1.0 - f[i])
        return f[i] + (x - i) * (f[i + 1] - f[i])

    def strain(self, pod: Pod, now: float) -> Cause:
        """Why it takes long here."""
        if pod.hung:
            return Cause.HUNG
        if self.warm(now - pod.since_s) > 1.0:
            return Cause.COLD_POD
        if pod.factor > 1.0:
            return Cause.SLOW_POD
        if self.revision_factor[pod.revision] > 1.0:
            return Cause.SLOW_REVISION
        if self._config.has_db and pod.pool_queue:
            return Cause.DB_POOL
        if self._config.has_db and self._database.strained():
            return Cause.DB_SLOW
        return Cause.OVERLOAD

    # --- going out --------------------------------------------------------------------------------------------
    def respond(self, attempt: Attempt, outcome: Outcome, cause: Cause) -> None:
        """The process answers; nobody may be listening any more."""
        if attempt.client_waits:
            self._clients.end(attempt, outcome, cause)
        self.release(attempt)

    def release(self, attempt: Attempt) -> None:
        """The attempt leaves; its worker turns to the next in the queue."""
        pod = attempt.at
        self._over(attempt)
        pod.busy -= 1
        if pod.queue:
            pod.busy += 1
            pod.queue.popleft().give(Where.SERVICE)
        self._idle_test(pod)

    def cancel(self, attempt: Attempt) -> None:
        """The process notices that the client has gone, and stops working for it."""
        if attempt.where is Where.QUEUE:
            attempt.at.queue.remove(attempt)
            self._over(attempt)
            self._idle_test(attempt.at)
        else:
            self.leave_query(attempt)
            self.release(attempt)

    def leave_query(self, attempt: Attempt) -> None:
        """Give back what its query held, or leave the queue for it."""
        pod = attempt.at
        match attempt.where:
            case Where.POOL:
                pod.pool_queue.remove(attempt)
                return
            case Where.SLOT:
                self._database.slot_queue.remove(attempt)
            case Where.RUNNING:
                self._database.give_back_slot()
            case Where.SERVICE:
                return
            case _:
                raise AssertionError(f"attempt {attempt.key} is {attempt.where}, not in a query")
        self._database.give_back_connection(pod)

    def probe_answer(self, pod: Pod, depth: ProbeDepth, now: float) -> bool:
        """What a process that does its work answers."""
        match depth:
            case ProbeDepth.PROCESS:
                return True
            case ProbeDepth.DEPENDENCIES:
                return not self._config.has_db or self._database.up
            case ProbeDepth.WARM:
                return now - pod.since_s >= self._config.warm_age_s
            case _:
                assert_never(depth)

    def signal(self, kind: SignalKind, pod: Pod, ref: int, *, ok: bool = True) -> None:
        self.signals.append(Signal(self._clock.now, kind, pod.row, ref, ok))

    def _over(self, attempt: Attempt) -> None:
        attempt.where = Where.OVER
        attempt.at.present.remove(attempt)

    def _idle_test(self, pod: Pod) -> None:
        if pod.listening and not pod.accepting and pod.busy == 0 and not pod.queue:
            self.signal(SignalKind.IDLE, pod, pod.row)
