"""What is counted, and when? MODEL.md 4.1, 4.3 and the end of a request in 6.

The books only ever grow. Arrays are filled in place; rows of requests are kept as tuples until somebody asks.
"""

from typing import Any

import numpy as np

from zdsim.plane.config import REQUEST_ROW, PlaneConfig, PlaneRecord
from zdsim.plane.histogram import bucket
from zdsim.plane.vocabulary import USER_ACTIVE, USER_EXPOSED, USER_HARMED, USER_STUCK, Cause, Outcome
from zdsim.reference.state import Attempt, Pod, Request


class Books:
    def __init__(self, config: PlaneConfig) -> None:
        self._config = config
        self._record = PlaneRecord.empty(config)
        self._no_revision = config.n_revisions
        self._exposing: list[bool] = config.exposing.tolist()
        self._pod_served: list[int] = []
        self._lost: list[tuple[Any, ...]] = []
        self._log: list[tuple[Any, ...]] = []

    @property
    def open_requests(self) -> int:
        return self._record.started - self._record.ended

    def pod_added(self) -> None:
        self._pod_served.append(0)

    def request_begins(self, request: Request) -> None:
        self._record.started += 1
        self._record.users[request.user] |= USER_ACTIVE

    def attempt_begins(self) -> None:
        self._record.attempts += 1

    def routed(self, pod: Pod, t: float) -> None:
        self._record.routed[self._window(t), pod.revision] += 1
        self._record.last_routed[pod.revision] = t

    def admitted(self, attempt: Attempt) -> None:
        if self._exposing[attempt.at.revision]:
            self._record.users[attempt.request.user] |= USER_EXPOSED

    def stuck(self, user: int) -> bool:
        """Does the user hold a cookie?"""
        return bool(self._record.users[user] & USER_STUCK)

    def stick(self, user: int) -> None:
        self._record.users[user] |= USER_STUCK

    def forget_cookies(self) -> None:
        self._record.users &= 0xFF ^ USER_STUCK

    def service_begins(self, pod: Pod, wall_s: float, t: float) -> None:
        self._record.service_sum[self._window(t), pod.revision] += wall_s

    def query_begins(self, pod: Pod, wall_s: float, t: float) -> None:
        self._record.query_count[self._window(t), pod.revision] += 1
        self._record.query_sum[self._window(t), pod.revision] += wall_s

    def mirror_ends(self, attempt: Attempt, outcome: Outcome, t: float) -> None:
        window, revision = self._window(t), attempt.at.revision
        self._record.mirrored[window, revision, outcome] += 1
        if outcome is Outcome.OK and self._config.mirrors:
            self._record.mirror_latency[window, revision, bucket(t - attempt.start_s)] += 1

    def served(self, pod: Pod) -> None:
        self._pod_served[pod.row] += 1

    def connections(self, total: int) -> None:
        """`total` database connections are open now."""
        self._record.db_connections = total
        self._record.db_peak = max(self._record.db_peak, total)

    def events(self, n: int) -> None:
        self._record.events += n

    def request_ends(self, last: Attempt, outcome: Outcome, cause: Cause, t: float) -> None:
        record, request, pod = self._record, last.request, last.pod
        revision = self._no_revision if pod is None else pod.revision
        window = self._window(t)
        record.ended += 1
        record.counts[window, revision, request.klass, outcome] += 1
        stale_s = float("nan") if pod is None else last.start_s - pod.removed_at_s
        if not stale_s >= 0.0:
            stale_s = float("nan")
        if outcome is Outcome.OK:
            latency_s = t - request.first_start_s
            record.latency[window, revision, bucket(latency_s)] += 1
            record.latency_sum[window, revision] += latency_s
        else:
            record.users[request.user] |= USER_HARMED
            record.causes[outcome, cause] += 1
            if stale_s >= 0.0:
                record.stale_sum[cause] += stale_s
                record.stale_max[cause] = max(record.stale_max[cause], stale_s)
                record.stale_count[cause] += 1
        lost = outcome is not Outcome.OK and len(self._lost) < self._config.lost_rows
        if lost or self._config.log_requests:
            row = (
                request.number,
                request.first_start_s,
                t,
                request.user,
                request.klass,
                outcome,
                cause,
                -1 if pod is None else pod.row,
                revision,
                last.number,
                request.proxy_row,
                stale_s,
            )
            if lost:
                self._lost.append(row)
            if self._config.log_requests:
                self._log.append(row)

    def record(self) -> PlaneRecord:
        """The record, with the rows up to now."""
        self._record.lost = np.array(self._lost, dtype=REQUEST_ROW)
        self._record.log = np.array(self._log, dtype=REQUEST_ROW)
        self._record.pod_served = np.array(self._pod_served, dtype=np.int64)
        return self._record

    def _window(self, t: float) -> int:
        return min(int(t / self._config.window_s), self._config.n_windows - 1)
