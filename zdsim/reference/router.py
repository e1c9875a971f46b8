"""Which pod does an attempt go to, and over which connection? MODEL.md 4.2 to 4.4 and *take*."""

from collections.abc import Sequence
from typing import assert_never

from zdsim.plane.config import PlaneConfig
from zdsim.plane.luck import pick, raw, unit
from zdsim.plane.vocabulary import Algorithm, Cause, RouterMode
from zdsim.reference.books import Books
from zdsim.reference.state import Attempt, Connection, Pod, Proxy, Request

ANY_POD = -1  # key of the one stack of a proxy that chooses by connection
_STICKY_USERS = 1 << 52
_HOPS = 1 << 20


class Router:
    def __init__(self, config: PlaneConfig, books: Books) -> None:
        self._config = config
        self._books = books
        self._streams = config.streams
        self.weights: list[float] | None = None
        self.match_revision = -1  # for the users of a segment; -1: none
        self.match_share = 0.0
        self.match_classes: list[bool] = []
        self.cookie_revision = -1  # where users stay; -1: none
        self.mirror_revision = -1
        self.mirror_share = 0.0
        self.proxies = [
            Proxy(cursors=[0] * (config.n_revisions + 1), tokens=config.retry_burst) for _ in range(config.n_proxies)
        ]

    # --- choosing a pod ---------------------------------------------------------------------------------------
    def choose(self, attempt: Attempt, now: float) -> Pod | None:
        """A pod of the present view, counted as routed; None: there is none to choose from."""
        proxy = attempt.request.proxy
        if attempt.hops == 0 and self.weights is not None:
            attempt.drawn_revision = self._draw_revision(attempt, self.weights)
        revision = attempt.drawn_revision
        candidates = proxy.view if revision < 0 else [pod for pod in proxy.view if pod.revision == revision]
        attempt.pod = None
        if candidates:
            attempt.pod = self._pick(attempt, proxy, candidates, revision)
            self._books.routed(attempt.pod, now)
        return attempt.pod

    def _draw_revision(self, attempt: Attempt, weights: Sequence[float]) -> int:
        request, match, cookie = attempt.request, self.match_revision, self.cookie_revision
        if match >= 0 and self.match_classes[request.klass] and self._in_segment(request.user):
            return match
        if cookie >= 0 and weights[cookie] > 0.0 and self._books.stuck(request.user):
            return cookie
        revision = self._draw_by_weight(attempt, weights)
        if revision == cookie:
            self._books.stick(request.user)
        return revision

    def _in_segment(self, user: int) -> bool:
        return unit(raw(self._streams.segment, user, 0)) < self.match_share

    def _draw_by_weight(self, attempt: Attempt, weights: Sequence[float]) -> int:
        request = attempt.request
        if self._config.sticky:
            u = unit(raw(self._streams.revision, _STICKY_USERS + request.user, 0))
        else:
            u = unit(raw(self._streams.revision, request.number, attempt.number))
        cut, last = 0.0, 0
        for revision, weight in enumerate(weights):
            cut += weight
            if u < cut:
                return revision
            if weight > 0.0:
                last = revision
        return last

    def _pick(self, attempt: Attempt, proxy: Proxy, pods: Sequence[Pod], revision: int) -> Pod:
        n = len(pods)
        which = attempt.number * _HOPS + attempt.hops
        algorithm = self._config.algorithm
        match algorithm:
            case Algorithm.ROUND_ROBIN:
                cursor = proxy.cursors[revision]  # -1: the last one, of the whole view
                proxy.cursors[revision] = cursor + 1
                return pods[cursor % n]
            case Algorithm.RANDOM:
                return pods[pick(raw(self._streams.route, attempt.request.number, which), n)]
            case Algorithm.LEAST_REQUEST:
                first = proxy.cursors[revision] % n
                order = [*range(first, n), *range(first)]
                best: int = min(order, key=lambda i: proxy.in_flight.get(pods[i].row, 0))  # the first of equals
                proxy.cursors[revision] = best + 1
                return pods[best]
            case Algorithm.POWER_OF_TWO:
                if n == 1:
                    return pods[0]
                i = pick(raw(self._streams.route, attempt.request.number, which), n)
                j = pick(raw(self._streams.route2, attempt.request.number, which), n - 1)
                if j >= i:
                    j += 1
                load_i, load_j = (proxy.in_flight.get(pods[x].row, 0) for x in (i, j))
                return pods[j] if load_j < load_i else pods[i]
        assert_never(algorithm)

    # --- mirrored traffic -------------------------------------------------------------------------------------
    def mirrors(self, request: Request) -> bool:
        """Does a copy of the request go to the mirror's revision?"""
        return self.mirror_revision >= 0 and unit(raw(self._streams.mirror, request.number, 0)) < self.mirror_share

    def choose_mirror(self, copy: Attempt) -> Pod | None:
        """A pod of the mirror's revision; None: there is none in view."""
        proxy, revision = copy.request.proxy, self.mirror_revision
        candidates = [pod for pod in proxy.view if pod.revision == revision]
        copy.pod = self._pick(copy, proxy, candidates, revision) if candidates else None
        return copy.pod

    # --- in flight --------------------------------------------------------------------------------------------
    def enters(self, attempt: Attempt) -> None:
        """The client waits for an answer of its pod from now on."""
        in_flight = attempt.request.proxy.in_flight
        in_flight[attempt.at.row] = in_flight.get(attempt.at.row, 0) + 1
        attempt.in_flight = True

    def leaves(self, attempt: Attempt) -> None:
        """It waits no longer, if it did."""
        if attempt.in_flight:
            attempt.request.proxy.in_flight[attempt.at.row] -= 1
            attempt.in_flight = False

    # --- connections ------------------------------------------------------------------------------------------
    def take_of_proxy(self, attempt: Attempt, now: float) -> tuple[Connection | None, Cause | None]:
        """CONNECTION mode: a kept connection decides the pod. A cause: the request crosses its close."""
        taken, crossing = self._take(attempt.request.proxy.idle.get(ANY_POD, []), now)
        if taken is not None:
            attempt.pod = taken.pod
            self._books.routed(taken.pod, now)
        return taken, crossing

    def take_to_pod(self, attempt: Attempt, now: float) -> tuple[Connection | None, Cause | None]:
        """REQUEST mode: a kept connection to the chosen pod. A cause: the request crosses its close."""
        return self._take(attempt.request.proxy.idle.get(attempt.at.row, []), now)

    def _take(self, stack: list[Connection], now: float) -> tuple[Connection | None, Cause | None]:
        config = self._config
        while stack:
            it = stack.pop()
            pod = it.pod
            if now - it.last_used_s >= config.client_idle_s or now - it.opened_s >= config.max_age_s:
                continue  # the client itself has closed it
            if it.epoch != pod.epoch:
                continue  # to a process of the past
            closed_at, cause = it.last_used_s + config.server_idle_s, Cause.KEEP_ALIVE_RACE
            if pod.conns_closed_at_s <= closed_at:  # False for NaN: never closed
                closed_at, cause = pod.conns_closed_at_s, pod.why
            if now < closed_at:
                return it, None
            if now - closed_at < config.close_notice_s:
                return it, cause
        return None, None

    def keep(self, attempt: Attempt, now: float) -> None:
        """After an answer: keep the connection for later, if both sides want to."""
        pod = attempt.at
        if pod.closing or not pod.accepting or now - attempt.opened_s >= self._config.max_age_s:
            return
        by_connection = self._config.mode is RouterMode.CONNECTION
        stack = attempt.request.proxy.idle.setdefault(ANY_POD if by_connection else pod.row, [])
        if len(stack) < self._config.pool:
            stack.append(Connection(pod, pod.epoch, attempt.opened_s, now))
