"""What does a request plane know from the start, and what does it leave behind?

Plain numbers and arrays, made once by the code that wires a scenario (``zdsim.run``). Both planes read the
same `PlaneConfig` and fill the same `PlaneRecord`. Sizes: R revisions, C classes, K attempts, P proxies,
L laws, W windows, O outcomes, B latency buckets.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zdsim.plane import histogram
from zdsim.plane.luck import stream_key
from zdsim.plane.traffic import Traffic
from zdsim.plane.vocabulary import N_CAUSES, N_OUTCOMES, Algorithm, Jitter, RouterMode

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

NEVER: Final = float("inf")

#: One lost request (capped list) or, in tests, one request of any outcome.
REQUEST_ROW: Final = np.dtype(
    [
        ("id", np.int64),
        ("start_s", np.float64),  # first attempt
        ("end_s", np.float64),
        ("user", np.int32),
        ("klass", np.int16),
        ("outcome", np.int8),  # Outcome of the last attempt
        ("cause", np.int8),  # Cause of the last attempt
        ("pod", np.int32),  # row of the last attempt's pod, -1 without one
        ("revision", np.int16),  # of that pod, R without one
        ("attempts", np.int16),
        ("proxy", np.int16),
        ("stale_s", np.float64),  # last attempt's start minus the pod's removal; NaN if the pod was not removed
    ]
)


@dataclass(frozen=True, slots=True)
class Streams:
    """Keys of the streams drawn inside the planes (MODEL.md 3)."""

    route: int
    route2: int
    revision: int
    jitter: int
    error: int
    query: int
    think: int
    closed_class: int
    closed_work: int
    segment: int
    mirror: int

    @classmethod
    def of(cls, seed: int) -> "Streams":
        return cls(**{name: stream_key(seed, f"plane/{name}") for name in cls.__slots__})


@dataclass(frozen=True, slots=True, eq=False)
class PlaneConfig:
    """Everything that does not change while the plane plays. Durations in seconds, `NEVER` = no limit."""

    seed: int
    traffic: Traffic
    horizon_s: float  # closed users start nothing at or after it; open arrivals end before it
    window_s: float
    n_windows: int
    n_users: int

    # revisions x classes: the values at the start; the control plane may change them
    service_factor: FloatArray  # (R,)
    error_rate: FloatArray  # (R, C), probability
    n_queries: IntArray  # (R, C), database queries of one request
    exposing: BoolArray  # (R,), revisions whose users count as exposed

    # classes
    laws: FloatArray  # (L, 2, LEVELS, CELLS + 1), see laws.LawTable
    work_law: IntArray  # (C,), index into laws; only for closed users: open work comes with the traffic
    query_law: IntArray  # (C,)
    class_cut: FloatArray  # (C,), cumulative shares; the last is 1 (closed users)
    idempotent: BoolArray  # (C,)
    resumable: BoolArray  # (C,)

    # client
    connect_timeout_s: float = 1.0
    request_timeout_s: float = 10.0
    backoff_s: FloatArray = field(default_factory=lambda: np.zeros(0))  # (K - 1,), before the k-th retry
    jitter: Jitter = Jitter.NONE
    retriable: BoolArray = field(default_factory=lambda: np.zeros(N_OUTCOMES, dtype=np.bool_))  # (O,)
    retry_budget: float = NEVER  # tokens earned by each first attempt; NEVER = no budget
    retry_burst: float = 10.0  # most tokens held, and held at the start, by each proxy's clients
    pool: int = 0  # idle connections kept; 0 = a connection for each attempt
    client_idle_s: float = 60.0
    max_age_s: float = NEVER
    close_notice_s: float = 0.0005  # until a client learns that the server closed an idle connection
    n_closed: int = 0
    think_law: int = 0  # index into laws

    # router
    mode: RouterMode = RouterMode.CONNECTION
    algorithm: Algorithm = Algorithm.RANDOM
    n_proxies: int = 1
    retry_on_connect: int = 0  # further pods tried by an L7 router when a connection fails
    sticky: bool = False  # the revision is drawn by user, not by attempt

    # process
    workers: int = 16
    queue: int = 1024
    server_idle_s: float = 75.0
    cancel_on_disconnect: bool = False
    warm_step_s: float = 1.0  # spacing of `warm_factor`
    warm_factor: FloatArray = field(default_factory=lambda: np.ones(1))  # (n,), at age 0, step, 2 step ...; after it 1
    warm_age_s: float = 0.0  # age at which a probe of depth WARM answers ok
    probe_work_s: float = 0.001

    # database
    has_db: bool = False
    db_pool: int = 10  # most connections a pod
    db_eager: bool = False  # open the pool at process start
    db_pool_timeout_s: float = NEVER
    db_statement_timeout_s: float = NEVER
    db_max_connections: int = 1 << 30
    db_slots: int = 1 << 30  # queries the server runs at once

    start_s: float = 0.0  # time at which the plane begins, 0 or before: pods may be made before the first request

    mirrors: bool = False  # keep latencies of mirrored attempts
    log_requests: bool = False  # keep one row for every request (tests)
    lost_rows: int = 10_000  # rows kept of lost requests

    @property
    def n_revisions(self) -> int:
        return int(self.service_factor.size)

    @property
    def n_classes(self) -> int:
        return int(self.idempotent.size)

    @property
    def max_attempts(self) -> int:
        return int(self.backoff_s.size) + 1

    @property
    def streams(self) -> Streams:
        return Streams.of(self.seed)


def _none() -> FloatArray:
    return np.zeros(0)


def _none_int() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass(slots=True, eq=False)
class PlaneRecord:
    """What a plane has counted so far; arrays are live views while it plays.

    In the revision axis the last index (R) stands for "no pod".
    """

    counts: IntArray  # (W, R + 1, C, O), requests by window of their end
    latency: NDArray[np.int32]  # (W, R + 1, B), successful requests by window of their end
    latency_sum: FloatArray  # (W, R + 1), seconds
    routed: IntArray  # (W, R + 1), attempts by window of their start
    causes: IntArray  # (O, N_CAUSES), lost requests
    stale_sum: FloatArray  # (N_CAUSES,), seconds, of lost requests with a stale_s
    stale_max: FloatArray  # (N_CAUSES,), seconds; 0 where none
    stale_count: IntArray  # (N_CAUSES,)
    users: NDArray[np.uint8]  # (n_users,), USER_* flags
    last_routed: FloatArray  # (R,), NaN before the first
    lost: NDArray[np.void]  # REQUEST_ROW, at most lost_rows, in order of end
    log: NDArray[np.void]  # REQUEST_ROW, all requests in order of end, if log_requests
    pod_served: IntArray  # (n_pods,), attempts answered OK, by row
    started: int = 0  # requests begun
    ended: int = 0
    attempts: int = 0
    events: int = 0  # request events played (not part of the parity contract)
    db_connections: int = 0  # open now
    db_peak: int = 0  # most open at once
    service_sum: FloatArray = field(default_factory=_none)  # (W, R + 1), seconds of service begun
    query_count: IntArray = field(default_factory=_none_int)  # (W, R + 1), queries begun
    query_sum: FloatArray = field(default_factory=_none)  # (W, R + 1), seconds of query time begun
    mirrored: IntArray = field(default_factory=_none_int)  # (W, R + 1, O), mirrored attempts by window of their end
    mirror_latency: IntArray = field(default_factory=_none_int)  # (W, R + 1, B) with config.mirrors, else (0, R + 1, B)

    @classmethod
    def empty(cls, config: PlaneConfig) -> "PlaneRecord":
        w, r, c = config.n_windows, config.n_revisions + 1, config.n_classes
        return cls(
            counts=np.zeros((w, r, c, N_OUTCOMES), dtype=np.int64),
            latency=np.zeros((w, r, histogram.N_BUCKETS), dtype=np.int32),
            latency_sum=np.zeros((w, r)),
            routed=np.zeros((w, r), dtype=np.int64),
            causes=np.zeros((N_OUTCOMES, N_CAUSES), dtype=np.int64),
            stale_sum=np.zeros(N_CAUSES),
            stale_max=np.zeros(N_CAUSES),
            stale_count=np.zeros(N_CAUSES, dtype=np.int64),
            users=np.zeros(config.n_users, dtype=np.uint8),
            last_routed=np.full(config.n_revisions, np.nan),
            service_sum=np.zeros((w, r)),
            query_count=np.zeros((w, r), dtype=np.int64),
            query_sum=np.zeros((w, r)),
            mirrored=np.zeros((w, r, N_OUTCOMES), dtype=np.int64),
            mirror_latency=np.zeros((w if config.mirrors else 0, r, histogram.N_BUCKETS), dtype=np.int64),
            lost=np.zeros(0, dtype=REQUEST_ROW),
            log=np.zeros(0, dtype=REQUEST_ROW),
            pod_served=np.zeros(0, dtype=np.int64),
        )
