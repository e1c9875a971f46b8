"""Who owns the kernel's tables? `KernelPlane`: it makes and grows them, feeds arrivals, and speaks `DataPlane`."""

import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zdsim.kernel.arrivals import ArrivalSource
from zdsim.kernel.engine import SPARE, play
from zdsim.kernel.layout import FIRST_POD_QUEUE, N_TIMER_LISTS, NONE, TABLES, WORLD, Halt, Op
from zdsim.plane.config import REQUEST_ROW, PlaneConfig, PlaneRecord
from zdsim.plane.laws import constant
from zdsim.plane.protocol import Signal, Stop
from zdsim.plane.traffic import Arrivals, Traffic
from zdsim.plane.vocabulary import (
    CLOSED_STRIDE,
    MAX_ATTEMPTS,
    MIRROR_ID,
    N_CAUSES,
    N_OUTCOMES,
    USER_STUCK,
    Cause,
    ProbeAnswer,
    ProbeDepth,
    RouterMode,
    SignalKind,
)

_POD_QUEUES: Final = int(FIRST_POD_QUEUE)
_CLOSED_ROOM: Final = MIRROR_ID // CLOSED_STRIDE  # so that a copy's number is no other request's
_ANSWERS: Final = {Halt.REACHED: Stop.REACHED, Halt.SIGNAL: Stop.SIGNAL}


class KernelPlane:
    """The request plane in compiled loops; see `zdsim.plane.protocol.DataPlane`.

    Args:
        config: what does not change while the plane plays.
        rows: room for attempts at the start; tests make it tiny. It grows as needed and changes no result.

    Raises:
        ValueError: more attempts or closed users than event keys can tell apart.
    """

    def __init__(self, config: PlaneConfig, *, rows: int = 256) -> None:
        if config.max_attempts > MAX_ATTEMPTS:
            raise ValueError(f"at most {MAX_ATTEMPTS} attempts a request; got {config.max_attempts}")
        if config.n_closed > _CLOSED_ROOM:
            raise ValueError(f"at most {_CLOSED_ROOM} closed users; got {config.n_closed}")
        self._config = config
        self._source = ArrivalSource(config.traffic)
        self._record = PlaneRecord.empty(config)
        self._tables: dict[str, NDArray[Any]] = {}
        self._world = np.zeros(1, dtype=WORLD)
        self._row: np.void = self._world[0]
        self._set_scalars()
        self._make_tables(rows)
        for user in range(config.n_closed):
            self._call(Op.CLOSED_USER, config.start_s, number=user)

    # --- time -------------------------------------------------------------------------------------------------
    @property
    def now(self) -> float:
        return float(self._row["now"])

    @property
    def open_requests(self) -> int:
        return int(self._row["started"] - self._row["ended"])

    def advance(self, until: float) -> Stop:
        until = float(until)
        while True:
            halt, _ = play(self._world, int(Op.ADVANCE), 0, 0, until)
            answer = _ANSWERS.get(halt)
            if answer is not None:
                self._check()
                return answer
            self._help(halt)

    def take_signals(self) -> list[Signal]:
        n = int(self._row["n_signals"])
        rows = self._tables["signals"][:n]
        self._row["n_signals"] = 0
        return [
            Signal(float(r["t"]), SignalKind(int(r["kind"])), int(r["pod"]), int(r["ref"]), bool(r["ok"])) for r in rows
        ]

    def record(self) -> PlaneRecord:
        record, row, tables = self._record, self._row, self._tables
        record.lost = tables["lost"][: row["n_lost"]]
        record.log = tables["log"][: row["n_log"]]
        record.pod_served = tables["pods"]["served"][: row["n_pods"]]
        record.started = int(row["started"])
        record.ended = int(row["ended"])
        record.attempts = int(row["attempts_begun"])
        record.events = int(row["events_played"])
        record.db_connections = int(row["db_total"])
        record.db_peak = int(row["db_peak"])
        return record

    # --- pods -------------------------------------------------------------------------------------------------
    def add_pod(self, revision: int, now: float) -> int:
        pod = int(self._row["n_pods"])
        if pod == int(self._row["pod_room"]):
            self._grow_pods()
        self._row["n_pods"] = pod + 1
        self._row["now"] = now
        row = self._tables["pods"][pod]
        row["revision"] = revision
        row["network"] = 1
        row["why"] = Cause.STARTING
        row["factor"] = 1.0
        row["since"] = row["removed_at"] = row["conns_closed_at"] = np.nan
        return pod

    def start_process(self, pod: int, now: float, *, memory_requests: int = 0) -> None:
        world, row = self._row, self._at(pod, now)
        row["listening"] = row["accepting"] = 1
        row["closing"] = row["hung"] = 0
        row["epoch"] += 1
        row["since"] = now
        row["conns_closed_at"] = np.nan
        row["accepted"] = 0
        row["memory"] = memory_requests
        row["why"] = Cause.NONE
        if self._config.has_db and self._config.db_eager:
            n = max(0, min(self._config.db_pool, int(world["db_max"] - world["db_total"])))
            row["open"] = n
            world["db_total"] += n
            world["db_peak"] = max(world["db_peak"], world["db_total"])

    def stop_accepting(self, pod: int, now: float) -> bool:
        row = self._at(pod, now)
        row["accepting"] = 0
        row["conns_closed_at"] = now
        row["why"] = Cause.DRAINING
        return self._call(Op.STOP_ACCEPTING, now, pod=pod) != 0

    def set_closing(self, pod: int, now: float, *, closing: bool) -> None:
        self._at(pod, now)["closing"] = closing

    def end_process(self, pod: int, now: float, cause: Cause) -> int:
        row = self._at(pod, now)
        listened = bool(row["listening"])
        row["why"] = cause
        if not listened:
            return 0
        row["listening"] = row["accepting"] = 0
        row["conns_closed_at"] = np.fmin(row["conns_closed_at"], now)
        return self._call(Op.END_PROCESS, now, pod=pod, number=int(cause))

    def remove_network(self, pod: int, now: float) -> None:
        self._at(pod, now)["network"] = 0

    def hang(self, pod: int, now: float) -> None:
        self._at(pod, now)["hung"] = 1

    def set_pod_factor(self, pod: int, factor: float, now: float) -> None:
        self._at(pod, now)["factor"] = factor

    def mark_removed(self, pod: int, now: float) -> None:
        row = self._at(pod, now)
        if np.isnan(row["removed_at"]):
            row["removed_at"] = now

    def load(self, pod: int) -> int:
        queue = self._tables["queues"][_POD_QUEUES + 2 * pod]
        return int(self._tables["pods"][pod]["busy"] + queue["n"])

    def probe(self, pod: int, depth: ProbeDepth, now: float, *, shared: bool, ref: int = -1) -> ProbeAnswer:
        row = self._at(pod, now)
        if not (row["network"] and row["listening"] and row["accepting"]):
            return ProbeAnswer.FAIL
        if shared:
            return ProbeAnswer(self._call(Op.PROBE, now, pod=pod, number=ref * 4 + int(depth)))
        if row["hung"]:
            return ProbeAnswer.NO_ANSWER
        if depth is ProbeDepth.DEPENDENCIES and self._config.has_db and not self._row["db_up"]:
            return ProbeAnswer.FAIL
        if depth is ProbeDepth.WARM and not now - row["since"] >= self._config.warm_age_s:
            return ProbeAnswer.FAIL
        return ProbeAnswer.OK

    # --- routers ----------------------------------------------------------------------------------------------
    def set_view(self, proxy: int, pods: Sequence[int], now: float) -> None:
        self._row["now"] = now
        room, n_lists = int(self._row["pod_room"]), self._config.n_revisions + 1
        views = self._tables["views"].reshape(self._config.n_proxies, n_lists, room)
        candidates = self._tables["candidates"].reshape(self._config.n_proxies, n_lists)
        known = np.asarray(pods, dtype=np.int64)
        if known.size and not (known.min() >= 0 and known.max() < self._row["n_pods"]):
            raise ValueError(f"proxy {proxy}: a view of unknown pods: {list(pods)}")
        revisions = self._tables["pods"]["revision"][known]
        for r in range(n_lists):
            chosen = known if r == n_lists - 1 else known[revisions == r]
            views[proxy, r, : chosen.size]["v"] = chosen
            candidates[proxy, r]["n"] = chosen.size

    def set_weights(self, weights: Sequence[float] | None, now: float) -> None:
        self._row["now"] = now
        self._row["weighted"] = weights is not None
        if weights is not None:
            self._tables["revisions"]["weight"] = weights

    def set_match(self, revision: int, share: float, classes: Sequence[bool], now: float) -> None:
        self._row["now"] = now
        self._row["match_revision"] = revision
        self._row["match_share"] = share
        if revision >= 0:
            self._tables["match_classes"]["v"] = np.asarray(classes, dtype=np.bool_)

    def set_cookie(self, revision: int, now: float) -> None:
        self._row["now"] = now
        self._row["cookie_revision"] = revision
        self._record.users &= np.uint8(0xFF ^ USER_STUCK)

    def set_mirror(self, revision: int, share: float, now: float) -> None:
        self._row["now"] = now
        self._row["mirror_revision"] = revision
        self._row["mirror_share"] = share

    # --- revisions --------------------------------------------------------------------------------------------
    def set_error_rate(self, revision: int, klass: int, rate: float, now: float) -> None:
        self._row["now"] = now
        self._tables["mixes"]["error_rate"][revision * self._config.n_classes + klass] = rate

    def set_service_factor(self, revision: int, factor: float, now: float) -> None:
        self._row["now"] = now
        self._tables["revisions"]["factor"][revision] = factor

    def set_n_queries(self, revision: int, klass: int, n: int, now: float) -> None:
        self._row["now"] = now
        self._tables["mixes"]["n_queries"][revision * self._config.n_classes + klass] = n

    # --- database ---------------------------------------------------------------------------------------------
    def db_down(self, now: float) -> None:
        self._call(Op.DB_DOWN, now)

    def db_up(self, now: float) -> None:
        self._row["now"] = now
        self._row["db_up"] = 1

    def set_db_factor(self, factor: float, now: float) -> None:
        self._row["now"] = now
        self._row["db_factor"] = factor

    def set_db_max_connections(self, n: int, now: float) -> None:
        self._row["db_max"] = n
        self._call(Op.GRANT, now)

    # --- inside -----------------------------------------------------------------------------------------------
    def _at(self, pod: int, now: float) -> np.void:
        """The row of a pod that a call at `now` changes."""
        if not 0 <= pod < self._row["n_pods"]:
            raise IndexError(f"no pod {pod}; there are {self._row['n_pods']}")
        self._row["now"] = now
        row: np.void = self._tables["pods"][pod]
        return row

    def _call(self, op: Op, now: float, *, pod: int = 0, number: int = 0) -> int:
        while True:
            halt, answer = play(self._world, int(op), int(pod), int(number), float(now))
            if halt == Halt.REACHED:
                self._check()
                return int(answer)
            self._help(halt)

    def _check(self) -> None:
        fault = int(self._row["fault"])
        assert fault == 0, f"row out of bounds in table {list(TABLES)[fault - 1]} at {self.now} s"

    def _help(self, halt: int) -> None:
        """Do what the kernel asks for, so that it can go on."""
        row = self._row
        need = int(row["n_live"]) + SPARE
        match Halt(halt):
            case Halt.NEEDS_ARRIVALS:
                arrivals = self._source.take()
                row["no_more_arrivals"] = arrivals.size == 0
                row["next_arrival"] = 0
                row["n_arrivals"] = arrivals.size
                if arrivals.size:
                    self._set_table("arrivals", arrivals)
            case Halt.NEEDS_ATTEMPTS:
                self._grow_attempts(2 * need)
            case Halt.NEEDS_HEAP:
                self._grow("events", 2 * (int(row["n_events"]) + need))
            case Halt.NEEDS_CONNECTIONS:
                self._grow_connections(2 * (int(row["n_connections"]) + need))
            case Halt.NEEDS_SIGNALS:
                self._grow("signals", 2 * (int(row["n_signals"]) + 2 * need))
            case Halt.NEEDS_LOG:
                self._grow("log", 2 * (int(row["n_log"]) + need))
            case _:
                raise AssertionError(f"the kernel answered {halt}")

    def _set_table(self, name: str, table: NDArray[Any]) -> None:
        """Let the kernel see `table` under `name`; it must be contiguous, and lives as long as it is set."""
        assert table.flags.c_contiguous
        assert table.dtype.itemsize == TABLES[name].itemsize
        self._tables[name] = table
        self._row[f"at_{name}"] = table.ctypes.data
        self._row[f"len_{name}"] = table.size

    def _grow(self, name: str, n: int) -> NDArray[Any]:
        """More rows; the new ones are zero."""
        old = self._tables[name]
        table = np.zeros(max(n, old.size), dtype=old.dtype)
        table[: old.size] = old
        self._set_table(name, table)
        return table

    def _grow_attempts(self, n: int) -> None:
        old = self._tables["attempts"].size
        self._row["free"] = _chain_free(self._grow("attempts", n), old, int(self._row["free"]))
        self._tables["attempts"]["key"][old:] = NONE
        self._grow("timers", 2 * n)["list"][2 * old :] = NONE
        self._grow("sorted", n)

    def _grow_connections(self, n: int) -> None:
        old = self._tables["connections"].size
        free = int(self._row["free_connection"])
        self._row["free_connection"] = _chain_free(self._grow("connections", n), old, free)

    def _grow_pods(self) -> None:
        """Twice the room for pods; rows by proxy are laid out anew."""
        old, new = int(self._row["pod_room"]), 2 * int(self._row["pod_room"])
        self._grow("pods", new)
        self._grow("queues", _POD_QUEUES + 2 * new)[_POD_QUEUES + 2 * old :] = (NONE, NONE, 0)
        for name, rows in (
            ("links", self._config.n_proxies),
            ("views", self._config.n_proxies * (self._config.n_revisions + 1)),
        ):
            table = np.zeros((rows, new), dtype=self._tables[name].dtype)
            table[:, :old] = self._tables[name].reshape(rows, old)
            self._set_table(name, table.reshape(-1))
        self._row["pod_room"] = new

    def _set_scalars(self) -> None:
        config, row = self._config, self._row
        fields = row.dtype.names
        assert fields is not None
        for name in set(fields) & set(PlaneConfig.__slots__) | {"n_revisions", "n_classes", "max_attempts"}:
            row[name] = getattr(config, name)
        for name in config.streams.__slots__:
            row[f"k_{name}"] = getattr(config.streams, name)
        row["now"] = config.start_s
        row["timer_t"] = np.inf
        row["window_t"] = np.nan
        row["match_revision"] = row["cookie_revision"] = row["mirror_revision"] = NONE
        row["by_connection"] = config.mode is RouterMode.CONNECTION
        row["queue_room"] = config.queue
        row["n_warm"] = config.warm_factor.size
        row["warm_over_s"] = (config.warm_factor.size + 1) * config.warm_step_s
        row["db_up"] = 1
        row["db_max"] = config.db_max_connections
        row["db_factor"] = 1.0
        row["lost_room"] = config.lost_rows
        row["logging"] = config.log_requests
        row["free"] = row["free_connection"] = NONE

    def _make_tables(self, rows: int) -> None:
        config, record = self._config, self._record
        pods = 4
        shapes: dict[str, int] = {
            "attempts": 0,
            "timers": 0,
            "sorted": 0,
            "connections": 0,
            "events": 1,
            "signals": 1,
            "log": 1,
            "arrivals": 1,
            "lost": max(1, config.lost_rows),
            "chains": N_TIMER_LISTS,
            "queues": _POD_QUEUES + 2 * pods,
            "pods": pods,
            "links": config.n_proxies * pods,
            "candidates": config.n_proxies * (config.n_revisions + 1),
            "views": config.n_proxies * (config.n_revisions + 1) * pods,
            "classes": config.n_classes,
            "revisions": config.n_revisions,
            "mixes": config.n_revisions * config.n_classes,
            "stale": N_CAUSES,
            "match_classes": config.n_classes,
        }
        for name, n in shapes.items():
            self._set_table(name, np.zeros(n, dtype=TABLES[name]))
        self._row["pod_room"] = pods
        self._grow_attempts(max(rows, 1))
        self._grow_connections(1)
        for name in ("chains", "queues"):
            self._tables[name]["head"] = self._tables[name]["tail"] = NONE

        tables = self._tables
        tables["classes"]["work_law"] = config.work_law
        tables["classes"]["query_law"] = config.query_law
        tables["classes"]["cut"] = config.class_cut
        tables["classes"]["idempotent"] = config.idempotent
        tables["classes"]["resumable"] = config.resumable
        tables["revisions"]["factor"] = config.service_factor
        tables["revisions"]["exposing"] = config.exposing
        tables["revisions"]["last_routed"] = np.nan
        tables["mixes"]["error_rate"] = config.error_rate.reshape(-1)
        tables["mixes"]["n_queries"] = config.n_queries.reshape(-1)
        for name, values in {
            "laws": config.laws,
            "warm": config.warm_factor,
            "backoff": config.backoff_s,
            "retriable": config.retriable.astype(np.int64),
            "tokens": np.full(config.n_proxies, config.retry_burst),
        }.items():
            dtype: np.dtype[Any] = TABLES[name]["v"]
            flat = np.ascontiguousarray(values, dtype=dtype).reshape(-1)
            self._set_table(name, flat.copy() if flat.size else np.zeros(1, dtype=dtype))

        # What is counted lies in the record itself.
        assert record.counts.shape[-1] == N_OUTCOMES
        for name in (
            *("counts", "latency", "latency_sum", "routed", "causes", "users"),
            *("service_sum", "query_count", "query_sum", "mirrored", "mirror_latency"),
        ):
            self._set_table(name, getattr(record, name).reshape(-1))
        record.stale_sum = tables["stale"]["sum"]
        record.stale_max = tables["stale"]["max"]
        record.stale_count = tables["stale"]["count"]
        record.last_routed = tables["revisions"]["last_routed"]
        assert tables["lost"].dtype == REQUEST_ROW


def _chain_free(table: NDArray[Any], start: int, free: int) -> int:
    """Put the rows from `start` on before the free row `free`; returns the first free one."""
    table["next"][start:] = np.arange(start + 1, table.size + 1)
    if start == table.size:
        return free
    table["next"][-1] = free
    return start


def warm() -> float:
    """Compile the kernel, or load it from the cache, before it is needed; seconds of wall clock that it took.

    The first plane of a process does it too. A container image being built, or a command that says what takes so
    long, does it here.
    """
    start = time.perf_counter()
    laws = constant(0.0).q[np.newaxis]
    one, zero, yes = np.ones(1), np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.bool_)
    traffic = Traffic(
        seed=0,
        arrivals=Arrivals.EXPLICIT,
        knots_s=np.zeros(0),
        rates=np.zeros(0),
        user_cut=one,
        class_cut=one,
        work=laws,
        n_proxies=1,
        times_s=np.zeros(1),
    )
    config = PlaneConfig(
        seed=0,
        traffic=traffic,
        horizon_s=1.0,
        window_s=1.0,
        n_windows=1,
        n_users=1,
        service_factor=one,
        error_rate=np.zeros((1, 1)),
        n_queries=np.zeros((1, 1), dtype=np.int64),
        exposing=yes,
        laws=laws,
        work_law=zero,
        query_law=zero,
        class_cut=one,
        idempotent=yes,
        resumable=yes,
    )
    KernelPlane(config).advance(1.0)
    return time.perf_counter() - start
