"""What does a client do? Send, wait, give up, try again: MODEL.md 3 (senders), 4.1 and the client's end in 6."""

from collections.abc import Callable, Generator
from typing import Any, TypeAlias, assert_never

from simpy.events import Event

from zdsim.plane.config import NEVER, PlaneConfig
from zdsim.plane.laws import value
from zdsim.plane.luck import raw, unit
from zdsim.plane.vocabulary import CLOSED_ID, CLOSED_STRIDE, NOTHING_SENT, Cause, Jitter, Outcome, Rank
from zdsim.reference.books import Books
from zdsim.reference.clock import PlaneClock, when
from zdsim.reference.router import Router
from zdsim.reference.state import Attempt, Request, Where

#: Starts the process of an attempt: request, number of the attempt.
Launch: TypeAlias = Callable[[Request, int], object]

_ANSWERED = (Outcome.OK, Outcome.APP_ERROR, Outcome.DB_ERROR)


class Clients:
    def __init__(self, config: PlaneConfig, clock: PlaneClock, books: Books, router: Router, launch: Launch) -> None:
        self._config = config
        self._clock = clock
        self._books = books
        self._router = router
        self._launch = launch
        self._streams = config.streams
        self._backoff_s: list[float] = config.backoff_s.tolist()
        self._retriable: list[bool] = config.retriable.tolist()
        self._idempotent: list[bool] = config.idempotent.tolist()
        self._class_cut: list[float] = config.class_cut.tolist()
        clock.process(self._open_users())
        for user in range(config.n_closed):
            self._think(user, turn=0)

    # --- who sends --------------------------------------------------------------------------------------------
    def _open_users(self) -> Generator[Event, Any, None]:
        """The open traffic: one request after another, whatever becomes of them."""
        source = self._config.traffic.chunks()
        number = 0
        while (rows := source.take()).size:
            for t, work_s, user, klass, proxy in rows.tolist():
                yield self._clock.moment(t, Rank.ARRIVAL, number, 1)
                self._launch(Request(number, user, klass, self._router.proxies[proxy], proxy, work_s), 1)
                number += 1

    def _think(self, user: int, turn: int) -> None:
        """A closed user thinks, then sends its next request."""
        config = self._config
        thought_s = value(config.laws[config.think_law], raw(self._streams.think, user, turn))
        begins = thought_s if turn == 0 else self._clock.now + thought_s
        if begins >= config.horizon_s:
            return
        number = CLOSED_ID + user * CLOSED_STRIDE + turn
        u = unit(raw(self._streams.closed_class, number, 0))
        klass = next(c for c, cut in enumerate(self._class_cut) if u < cut)
        work_s = value(config.laws[config.work_law[klass]], raw(self._streams.closed_work, number, 0))
        row = user % config.n_proxies
        request = Request(
            number=number,
            user=user % config.n_users,
            klass=klass,
            proxy=self._router.proxies[row],
            proxy_row=row,
            work_s=work_s,
            closed_user=user,
            closed_turn=turn,
        )
        when(self._clock.moment(begins, Rank.ARRIVAL, number, 1), self._launch, request, 1)

    # --- one attempt ------------------------------------------------------------------------------------------
    def begin(self, request: Request, number: int) -> Attempt:
        """The client sends its request, for the first time or again."""
        now, config = self._clock.now, self._config
        if number == 1:
            request.first_start_s = now
            self._books.request_begins(request)
            if config.retry_budget != NEVER:
                request.proxy.tokens = min(config.retry_burst, request.proxy.tokens + config.retry_budget)
        self._books.attempt_begins()
        return Attempt(request, number, start_s=now, work_s=request.work_s)

    def fail(self, attempt: Attempt, outcome: Outcome, cause: Cause) -> None:
        """The attempt ends without a pod's work."""
        self.end(attempt, outcome, cause)
        attempt.where = Where.OVER

    def end(self, attempt: Attempt, outcome: Outcome, cause: Cause) -> None:
        """The client's end of an attempt: its answer, an error, or it gave up. The pod may work on."""
        now, request = self._clock.now, attempt.request
        assert attempt.client_waits, f"attempt {attempt.key} ends twice at its client"
        attempt.client_waits = False
        self._router.leaves(attempt)
        if request.mirrored:
            self._books.mirror_ends(attempt, outcome, now)
            return
        if outcome is Outcome.OK:
            self._books.served(attempt.at)
        if self._config.pool > 0 and outcome in _ANSWERED:
            self._router.keep(attempt, now)
        if outcome is not Outcome.OK and self._may_retry(attempt, outcome):
            number = attempt.number + 1
            again = self._clock.moment(now + self._backoff(attempt), Rank.RETRY, request.number, number)
            when(again, self._launch, request, number)
            return
        self._books.request_ends(attempt, outcome, cause, now)
        if request.closed_user >= 0:
            self._think(request.closed_user, request.closed_turn + 1)

    def _may_retry(self, attempt: Attempt, outcome: Outcome) -> bool:
        """Do the rules and the budget allow another attempt? It is paid for if they do."""
        request = attempt.request
        allowed = (
            attempt.number < self._config.max_attempts
            and self._retriable[outcome]
            and (self._idempotent[request.klass] or outcome in NOTHING_SENT)
        )
        if not allowed or self._config.retry_budget == NEVER:
            return allowed
        if request.proxy.tokens < 1.0:
            return False
        request.proxy.tokens -= 1.0
        return True

    def _backoff(self, attempt: Attempt) -> float:
        """Seconds until the attempt after this one."""
        b = self._backoff_s[attempt.number - 1]
        u = unit(raw(self._streams.jitter, attempt.request.number, attempt.number + 1))
        jitter = self._config.jitter
        match jitter:
            case Jitter.NONE:
                return b
            case Jitter.FULL:
                return b * u
            case Jitter.EQUAL:
                return b / 2 + (b / 2) * u
            case _:
                assert_never(jitter)
