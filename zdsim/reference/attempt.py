"""What is the life of an attempt? MODEL.md 4 and 5 as one SimPy process, read from top to bottom.

After each `yield` the attempt looks where it is: its pod may have been killed or its client's patience may have ended
while it waited. Whoever ends it says so in `Attempt.where`; the process then has nothing more to do.

Rejected: interrupting processes (SimPy's interrupts overtake what was woken before them), and one process a request:
a pod goes on working for a client that has given up and already tries elsewhere.
"""

from collections.abc import Generator
from typing import Any, TypeAlias

from simpy.events import Event

from zdsim.plane.config import PlaneConfig
from zdsim.plane.laws import value
from zdsim.plane.luck import raw, unit
from zdsim.plane.vocabulary import Cause, Outcome, Rank, RouterMode, SignalKind
from zdsim.reference.books import Books
from zdsim.reference.client import Clients
from zdsim.reference.clock import PlaneClock, when
from zdsim.reference.database import Database
from zdsim.reference.router import Router
from zdsim.reference.service import Service
from zdsim.reference.state import Attempt, Pod, Request, Where

Story: TypeAlias = Generator[Event, Any, None]
StepOfStory: TypeAlias = Generator[Event, Any, bool]  # False: the story ends here

_QUERIES = 1 << 20


class AttemptLife:
    def __init__(
        self,
        config: PlaneConfig,
        clock: PlaneClock,
        books: Books,
        router: Router,
        clients: Clients,
        service: Service,
        database: Database,
    ) -> None:
        self._config = config
        self._clock = clock
        self._books = books
        self._router = router
        self._clients = clients
        self._service = service
        self._database = database
        self._streams = config.streams
        self._exposing: list[bool] = config.exposing.tolist()
        self.error_rate: list[list[float]] = config.error_rate.tolist()
        self.n_queries: list[list[int]] = config.n_queries.tolist()

    def story(self, request: Request, number: int) -> Story:
        """An attempt: find a pod, be let in, be served, query the database, be answered."""
        attempt = self._clients.begin(request, number)
        if (yield from self._reach_a_pod(attempt)):
            yield from self._in_the_pod(attempt)

    def mirror_story(self, copy: Request) -> Story:
        """A copy of a request, for the mirror's revision: one attempt over a new connection, answered to nobody."""
        attempt = Attempt(copy, number=1, start_s=self._clock.now, work_s=copy.work_s)
        pod = self._router.choose_mirror(attempt)
        if pod is None:
            return
        failure = yield from self._connect(attempt, pod)
        if failure is None:
            yield from self._in_the_pod(attempt)
        elif attempt.client_waits:
            self._not_reached(attempt, pod, failure)

    def _in_the_pod(self, attempt: Attempt) -> Story:
        """From the door of the process to its answer."""
        if not self._service.admit(attempt):
            strain = self._service.strain(attempt.at, self._clock.now)
            self._clients.fail(attempt, Outcome.OVERFLOW, strain)
            return
        self._set_deadline(attempt)
        if not (yield from self._be_served(attempt)):
            return
        pod, request = attempt.at, attempt.request
        if unit(raw(self._streams.error, *attempt.key)) < self.error_rate[pod.revision][request.klass]:
            cause = Cause.BAD_REVISION if self._exposing[pod.revision] else Cause.BASELINE_ERRORS
            self._service.respond(attempt, Outcome.APP_ERROR, cause)
            return
        n = self.n_queries[pod.revision][request.klass] if self._config.has_db else 0
        for i in range(n):
            attempt.query = i
            if not (yield from self._query(attempt)):
                return
        self._service.respond(attempt, Outcome.OK, Cause.NONE)

    def probe_story(self, probe: Attempt) -> Story:
        """A probe in the worker queue, where it has been let in."""
        if not (yield from self._be_served(probe)):
            return
        pod = probe.at
        ok = self._service.probe_answer(pod, probe.probe_depth, self._clock.now)
        self._service.signal(SignalKind.PROBE_DONE, pod, probe.probe_ref, ok=ok)
        self._service.release(probe)

    # --- on the way -------------------------------------------------------------------------------------------
    def _reach_a_pod(self, attempt: Attempt) -> StepOfStory:
        """Over a kept connection or a new one; a router of requests may try another pod where one does not answer."""
        config, router = self._config, self._router
        by_request = config.mode is RouterMode.REQUEST
        if not by_request and config.pool > 0:
            kept, crossing = router.take_of_proxy(attempt, self._clock.now)
            if kept is not None:
                return self._go_over(attempt, kept.opened_s, crossing)
        while True:
            now = self._clock.now
            pod = router.choose(attempt, now)
            if pod is None:
                self._clients.fail(attempt, Outcome.NO_ENDPOINT, Cause.NO_READY_POD)
                return False
            if by_request and config.pool > 0:
                kept, crossing = router.take_to_pod(attempt, now)
                if kept is not None:
                    return self._go_over(attempt, kept.opened_s, crossing)
            failure = yield from self._connect(attempt, pod)
            if failure is None:
                return True
            if not attempt.client_waits:
                return False
            if not by_request or attempt.hops >= config.retry_on_connect:
                self._not_reached(attempt, pod, failure)
                return False
            attempt.hops += 1
            router.leaves(attempt)
            attempt.where = Where.ROUTER

    def _go_over(self, attempt: Attempt, opened_s: float, crossing: Cause | None) -> bool:
        """Send the request over a connection, unless that is being closed by the other side just now."""
        attempt.opened_s = opened_s
        if crossing is not None:
            self._clients.fail(attempt, Outcome.RESET, crossing)
        return crossing is None

    def _connect(self, attempt: Attempt, pod: Pod) -> Generator[Event, Any, Outcome | None]:
        """Open a connection; an outcome: it could not be opened."""
        now = self._clock.now
        if self._service.takes(pod):
            attempt.opened_s = now
            return None
        if pod.network:
            return Outcome.REFUSED
        attempt.where = Where.CONNECTING
        self._router.enters(attempt)
        self._set_deadline(attempt)
        yield self._clock.moment(now + self._config.connect_timeout_s, Rank.CONNECT_TIMEOUT, *attempt.key)
        return Outcome.UNREACHABLE

    def _not_reached(self, attempt: Attempt, pod: Pod, failure: Outcome) -> None:
        self._clients.fail(attempt, failure, Cause.DRAINING if pod.listening else pod.why)

    # --- in the pod -------------------------------------------------------------------------------------------
    def _be_served(self, attempt: Attempt) -> StepOfStory:
        """Wait for a worker if need be, then for the end of its work."""
        if attempt.where is Where.QUEUE:
            assert attempt.turn is not None
            yield attempt.turn
            if not attempt.still(Where.SERVICE):
                return False
        now = self._clock.now
        attempt.service_start_s = now
        attempt.service_end_s = now + self._service.start(attempt, now)
        yield self._clock.moment(attempt.service_end_s, Rank.SERVICE_END, *attempt.key)
        return attempt.still(Where.SERVICE) and not self._stuck(attempt)

    def _query(self, attempt: Attempt) -> StepOfStory:
        """One query: a connection, a slot, the time it runs."""
        config, database, pod = self._config, self._database, attempt.at
        if not database.answers():
            self._service.respond(attempt, Outcome.DB_ERROR, Cause.DB_DOWN)
            return False

        if database.take_connection(pod):
            attempt.where = Where.CONNECTED
        else:
            attempt.where = Where.POOL
            pod.pool_queue.append(attempt)
            until = self._clock.now + config.db_pool_timeout_s
            patience = self._clock.moment(until, Rank.POOL_TIMEOUT, *attempt.key)
            when(patience, self._pool_timeout, attempt, attempt.query)
            yield self._my_turn(attempt)
            if not attempt.still(Where.CONNECTED):
                return False
        if not database.answers():
            database.give_back_connection(pod)
            self._service.respond(attempt, Outcome.DB_ERROR, Cause.DB_DOWN)
            return False

        until = self._clock.now + config.db_statement_timeout_s
        patience = self._clock.moment(until, Rank.STATEMENT_TIMEOUT, *attempt.key)
        when(patience, self._statement_timeout, attempt, attempt.query)
        if database.take_slot():
            attempt.where = Where.RUNNING
        else:
            attempt.where = Where.SLOT
            database.slot_queue.append(attempt)
            yield self._my_turn(attempt)
            if not attempt.still(Where.RUNNING):
                return False

        bits = raw(self._streams.query, attempt.request.number, attempt.number * _QUERIES + attempt.query)
        wall_s = value(config.laws[config.query_law[attempt.request.klass]], bits) * database.factor
        self._books.query_begins(pod, wall_s, self._clock.now)
        yield self._clock.moment(self._clock.now + wall_s, Rank.QUERY_END, *attempt.key)
        if not attempt.still(Where.RUNNING):
            return False
        database.give_back_slot()
        if self._stuck(attempt):
            return False
        database.give_back_connection(pod)
        return True

    def _stuck(self, attempt: Attempt) -> bool:
        """In a process that hangs nothing goes on from here."""
        if attempt.at.hung:
            attempt.where = Where.STUCK
        return attempt.at.hung

    def _my_turn(self, attempt: Attempt) -> Event:
        """Happens when somebody gives it what it waits for."""
        attempt.turn = self._clock.event()
        return attempt.turn

    # --- patience ---------------------------------------------------------------------------------------------
    def _pool_timeout(self, attempt: Attempt, query: int) -> None:
        if attempt.where is not Where.POOL or attempt.query != query or attempt.at.hung:
            return
        self._service.leave_query(attempt)
        self._service.respond(attempt, Outcome.DB_ERROR, self._database.missing_cause(attempt.at))

    def _statement_timeout(self, attempt: Attempt, query: int) -> None:
        if attempt.where not in (Where.SLOT, Where.RUNNING) or attempt.query != query or attempt.at.hung:
            return
        self._service.leave_query(attempt)
        self._service.respond(attempt, Outcome.DB_ERROR, Cause.DB_SLOW)

    def _set_deadline(self, attempt: Attempt) -> None:
        """The client's patience, counted from the attempt's start."""
        if not attempt.has_deadline:
            attempt.has_deadline = True
            until = attempt.start_s + self._config.request_timeout_s
            when(self._clock.moment(until, Rank.REQUEST_TIMEOUT, *attempt.key), self._request_timeout, attempt)

    def _request_timeout(self, attempt: Attempt) -> None:
        if not attempt.client_waits:
            return
        pod = attempt.at
        self._clients.end(attempt, Outcome.TIMEOUT, self._timeout_cause(attempt, pod))
        if attempt.where is Where.CONNECTING:
            attempt.where = Where.OVER
        elif self._config.cancel_on_disconnect and not pod.hung:
            self._service.cancel(attempt)

    def _timeout_cause(self, attempt: Attempt, pod: Pod) -> Cause:
        if pod.hung:
            return Cause.HUNG
        match attempt.where:
            case Where.CONNECTING:
                return pod.why
            case Where.POOL:
                return self._database.missing_cause(pod)
            case Where.CONNECTED | Where.SLOT | Where.RUNNING:
                return Cause.DB_SLOW
            case _:
                return self._service.strain(pod, self._clock.now)
