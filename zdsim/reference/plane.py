"""How does the control plane reach the reference plane? The calls of MODEL.md 7.

Each call is one step: it moves the clock to its time, does what it says, and lets everybody act who was woken by it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from zdsim.plane.config import PlaneConfig, PlaneRecord
from zdsim.plane.protocol import Signal, Stop
from zdsim.plane.vocabulary import MIRROR_ID, PROBE_ID, Cause, Outcome, ProbeAnswer, ProbeDepth, SignalKind
from zdsim.reference.attempt import AttemptLife
from zdsim.reference.books import Books
from zdsim.reference.client import Clients
from zdsim.reference.clock import PlaneClock
from zdsim.reference.database import Database
from zdsim.reference.router import Router
from zdsim.reference.service import Service
from zdsim.reference.state import Attempt, Pod, Proxy, Request, Where

_NOBODY = Proxy(cursors=[], tokens=0.0)  # behind whom probes stand


class ReferencePlane:
    """The request plane in plain SimPy; implements `zdsim.plane.protocol.DataPlane`."""

    def __init__(self, config: PlaneConfig) -> None:
        self._config = config
        self._clock = PlaneClock(config.start_s)
        self._books = Books(config)
        self._pods: list[Pod] = []
        self._router = Router(config, self._books)
        self._database = Database(config, self._books, self._pods)
        self._clients = Clients(config, self._clock, self._books, self._router, self._launch)
        self._service = Service(config, self._clock, self._books, self._router, self._clients, self._database)
        self._life = AttemptLife(
            config, self._clock, self._books, self._router, self._clients, self._service, self._database
        )
        self._probes = 0  # through worker queues so far
        self._clock.settle()

    def _launch(self, request: Request, number: int) -> None:
        self._clock.process(self._life.story(request, number))
        if number == 1 and self._router.mirrors(request):
            # Its turn comes when the original's beginning has been told, which wakes nobody else.
            copy = replace(request, number=MIRROR_ID + request.number, closed_user=-1, mirrored=True)
            self._clock.process(self._life.mirror_story(copy))

    # --- time -------------------------------------------------------------------------------------------------
    @property
    def now(self) -> float:
        return self._clock.now

    @property
    def open_requests(self) -> int:
        return self._books.open_requests

    def advance(self, until: float) -> Stop:
        clock, signals, events = self._clock, self._service.signals, 0
        while not signals and clock.peek() < until:
            clock.step()
            events += 1
        self._books.events(events)
        if not signals:
            return Stop.REACHED
        clock.settle()
        return Stop.SIGNAL

    def take_signals(self) -> list[Signal]:
        taken = self._service.signals.copy()
        self._service.signals.clear()
        return taken

    def record(self) -> PlaneRecord:
        return self._books.record()

    @contextmanager
    def _step(self, now: float) -> Iterator[None]:
        self._clock.move_to(now)
        yield
        self._clock.settle()

    # --- pods -------------------------------------------------------------------------------------------------
    def add_pod(self, revision: int, now: float) -> int:
        with self._step(now):
            pod = Pod(row=len(self._pods), revision=revision)
            self._pods.append(pod)
            self._books.pod_added()
        return pod.row

    def start_process(self, pod: int, now: float, *, memory_requests: int = 0) -> None:
        with self._step(now):
            it = self._pods[pod]
            it.listening = it.accepting = True
            it.closing = it.hung = False
            it.epoch += 1
            it.since_s = now
            it.conns_closed_at_s = float("nan")
            it.accepted = 0
            it.memory_requests = memory_requests
            it.why = Cause.NONE
            if self._config.db_eager:
                self._database.open_pool(it)

    def stop_accepting(self, pod: int, now: float) -> bool:
        with self._step(now):
            it = self._pods[pod]
            it.accepting = False
            it.conns_closed_at_s = now
            it.why = Cause.DRAINING
            self._database.close_idle(it)
            nothing_left = it.busy == 0 and not it.queue
        return nothing_left

    def set_closing(self, pod: int, now: float, *, closing: bool) -> None:
        with self._step(now):
            self._pods[pod].closing = closing

    def end_process(self, pod: int, now: float, cause: Cause) -> int:
        seen = 0
        with self._step(now):
            it = self._pods[pod]
            it.why = cause
            if it.listening:
                it.listening = it.accepting = False
                if not it.conns_closed_at_s <= now:
                    it.conns_closed_at_s = now
                seen = self._reset_all(it, now, cause)
                it.hung = False
        return seen

    def _reset_all(self, pod: Pod, now: float, cause: Cause) -> int:
        """What the process held breaks; the number of clients who saw that."""
        database = self._database
        present = sorted(pod.present, key=lambda attempt: attempt.key)
        for attempt in present:
            if attempt.where is Where.SLOT:
                database.slot_queue.remove(attempt)
        pod.queue.clear()
        pod.pool_queue.clear()
        seen = 0
        for attempt in present:
            if attempt.is_probe:
                self._service.signal(SignalKind.PROBE_DONE, pod, attempt.probe_ref, ok=False)
            elif attempt.client_waits:
                seen += not attempt.request.mirrored
                self._save_work(attempt, now)
                self._clients.end(attempt, Outcome.RESET, cause)
        pod.present.clear()
        pod.busy = 0
        for attempt in present:
            was, attempt.where = attempt.where, Where.OVER
            if was is Where.RUNNING:
                database.give_back_slot()
        database.close_all(pod)
        return seen

    def _save_work(self, attempt: Attempt, now: float) -> None:
        """What is done of a resumable request need not be done again."""
        request = attempt.request
        if not self._config.resumable[request.klass] or attempt.at.hung or attempt.where is Where.QUEUE:
            return
        start_s, end_s = attempt.service_start_s, attempt.service_end_s
        if attempt.where is Where.SERVICE and end_s != start_s:
            request.work_s = attempt.work_s * ((end_s - now) / (end_s - start_s))
        else:
            request.work_s = 0.0

    def remove_network(self, pod: int, now: float) -> None:
        with self._step(now):
            self._pods[pod].network = False

    def hang(self, pod: int, now: float) -> None:
        with self._step(now):
            self._pods[pod].hung = True

    def set_pod_factor(self, pod: int, factor: float, now: float) -> None:
        with self._step(now):
            self._pods[pod].factor = factor

    def mark_removed(self, pod: int, now: float) -> None:
        with self._step(now):
            it = self._pods[pod]
            if it.removed_at_s != it.removed_at_s:  # NaN: not yet
                it.removed_at_s = now

    def load(self, pod: int) -> int:
        return self._pods[pod].busy + len(self._pods[pod].queue)

    def probe(self, pod: int, depth: ProbeDepth, now: float, *, shared: bool, ref: int = -1) -> ProbeAnswer:
        with self._step(now):
            it = self._pods[pod]
            if not self._service.takes(it):
                return ProbeAnswer.FAIL
            if shared:
                return self._probe_in_queue(it, depth, now, ref)
            if it.hung:
                return ProbeAnswer.NO_ANSWER
            return ProbeAnswer.OK if self._service.probe_answer(it, depth, now) else ProbeAnswer.FAIL

    def _probe_in_queue(self, pod: Pod, depth: ProbeDepth, now: float, ref: int) -> ProbeAnswer:
        call = Request(
            PROBE_ID + self._probes, user=-1, klass=-1, proxy=_NOBODY, proxy_row=-1, work_s=self._config.probe_work_s
        )
        probe = Attempt(
            call,
            number=0,
            start_s=now,
            work_s=call.work_s,
            client_waits=False,
            pod=pod,
            probe_depth=depth,
            probe_ref=ref,
        )
        if not self._service.enter(probe):
            return ProbeAnswer.FAIL
        self._probes += 1
        self._clock.process(self._life.probe_story(probe))
        return ProbeAnswer.PENDING

    # --- routers ----------------------------------------------------------------------------------------------
    def set_view(self, proxy: int, pods: Sequence[int], now: float) -> None:
        with self._step(now):
            self._router.proxies[proxy].view = [self._pods[row] for row in pods]

    def set_weights(self, weights: Sequence[float] | None, now: float) -> None:
        with self._step(now):
            self._router.weights = None if weights is None else [float(weight) for weight in weights]

    def set_match(self, revision: int, share: float, classes: Sequence[bool], now: float) -> None:
        with self._step(now):
            self._router.match_revision = revision
            self._router.match_share = share
            self._router.match_classes = list(classes)

    def set_cookie(self, revision: int, now: float) -> None:
        with self._step(now):
            self._router.cookie_revision = revision
            self._books.forget_cookies()

    def set_mirror(self, revision: int, share: float, now: float) -> None:
        with self._step(now):
            self._router.mirror_revision = revision
            self._router.mirror_share = share

    # --- revisions --------------------------------------------------------------------------------------------
    def set_error_rate(self, revision: int, klass: int, rate: float, now: float) -> None:
        with self._step(now):
            self._life.error_rate[revision][klass] = rate

    def set_service_factor(self, revision: int, factor: float, now: float) -> None:
        with self._step(now):
            self._service.revision_factor[revision] = factor

    def set_n_queries(self, revision: int, klass: int, n: int, now: float) -> None:
        with self._step(now):
            self._life.n_queries[revision][klass] = n

    # --- database ---------------------------------------------------------------------------------------------
    def db_down(self, now: float) -> None:
        with self._step(now):
            database = self._database
            database.up = False
            concerned = sorted(
                (a for pod in self._pods for a in pod.present if a.where in (Where.SLOT, Where.RUNNING)),
                key=lambda attempt: attempt.key,
            )
            database.slot_queue.clear()
            for attempt in concerned:
                if attempt.where is Where.RUNNING:
                    database.give_back_slot()
                if attempt.at.hung:
                    attempt.where = Where.STUCK
                    continue
                database.give_back_connection(attempt.at)
                self._service.respond(attempt, Outcome.DB_ERROR, Cause.DB_DOWN)

    def db_up(self, now: float) -> None:
        with self._step(now):
            self._database.up = True

    def set_db_factor(self, factor: float, now: float) -> None:
        with self._step(now):
            self._database.factor = factor

    def set_db_max_connections(self, n: int, now: float) -> None:
        with self._step(now):
            self._database.max_connections = n
            self._database.grant()
