"""What do the kernel's tables look like, and how does a compiled function reach a row?

All state lies in tables of typed rows that Python owns and grows. The one row of `WORLD` holds the scalars and,
for every table, its address and length; it is the only thing handed from function to function. An accessor such
as ``attempt(w, slot)`` gives the row itself (a pointer), so that a call costs what it costs in C. The rival, arrays
as arguments, was measured three times slower: an array is seven machine words, and two dozen are needed.

With ``NUMBA_BOUNDSCHECK=1`` every accessor checks its index; a bad one is noted in ``w["fault"]`` and goes to row 0.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import from_dtype, types
from numba.core import cgutils
from numba.extending import intrinsic

from zdsim.kernel.jit import CHECKED
from zdsim.plane.config import REQUEST_ROW
from zdsim.plane.traffic import ARRIVAL_ROW
from zdsim.plane.vocabulary import PROBE_ID, Rank


def codes(*members: int) -> tuple[np.int64, ...]:
    """Constants for kernel functions. Given a Python int, Numba would compile a copy for each value."""
    return tuple(np.int64(member) for member in members)


NONE: Final = np.int64(-1)
INF: Final = float("inf")

#: Keys of events: rank 4 bits, request id 52 bits, attempt 6 bits. The key of an attempt is that without the rank.
ATTEMPT_BITS: Final = np.int64(6)
RANK_SHIFT: Final = np.int64(58)
KEY_MASK: Final = np.int64((1 << 58) - 1)
ATTEMPT_MASK: Final = np.int64((1 << 6) - 1)
PROBE_KEY: Final = np.int64(PROBE_ID) << ATTEMPT_BITS  # keys of probes lie at or above it


class State(IntEnum):
    """Where an attempt is: from QUEUED on in a pod, from POOL_WAIT on in its queries, from SLOT_WAIT at the server."""

    FREE = 0
    THINKING = 1  # a closed user's next request, not begun
    BACKOFF = 2  # a retry, not begun
    CONNECTING = 3
    QUEUED = 4
    WOKEN_START = 5  # has been given a worker
    SERVICE = 6
    STUCK = 7  # in a hung pod, for ever
    POOL_WAIT = 8
    WOKEN_CONNECTED = 9
    SLOT_WAIT = 10
    WOKEN_RUN = 11
    RUNNING = 12
    WOKEN_MIRROR = 13  # the copy of a request, not begun; in no pod yet


class Op(IntEnum):
    """What Python asks of the compiled entry."""

    ADVANCE = 0
    STOP_ACCEPTING = 1
    END_PROCESS = 2
    PROBE = 3
    DB_DOWN = 4
    GRANT = 5
    CLOSED_USER = 6


class Halt(IntEnum):
    """Why the compiled entry returned. A `NEEDS_*` answer is given before anything of a step was done."""

    REACHED = 0
    SIGNAL = 1
    NEEDS_ARRIVALS = 2
    NEEDS_ATTEMPTS = 3
    NEEDS_HEAP = 4
    NEEDS_CONNECTIONS = 5
    NEEDS_SIGNALS = 6
    NEEDS_LOG = 7


ATTEMPT: Final = np.dtype(
    [
        ("key", np.int64),  # request id and attempt number; NONE when free
        ("state", np.int32),
        ("waits", np.int32),  # its client still waits
        ("pod", np.int64),
        ("klass", np.int32),
        ("proxy", np.int32),
        ("start", np.float64),  # of the attempt
        ("first", np.float64),  # of the request's first attempt
        ("work", np.float64),  # seconds left
        ("begun", np.float64),  # start of service
        ("end", np.float64),  # end of service
        ("opened", np.float64),  # its connection
        ("next", np.int64),  # in its queue, or in the free list
        ("prev", np.int64),
        ("user", np.int32),
        ("copy", np.int32),  # a mirrored attempt: it moves no counts of requests
        ("counted", np.int32),  # in the proxy's in-flight count
        ("list", np.int32),  # list of candidates: a revision, or R for the whole view
        ("hops", np.int32),
        ("query", np.int32),  # number of the present query
        ("queries", np.int32),
    ],
    align=True,
)

EVENT: Final = np.dtype([("t", np.float64), ("key", np.int64), ("slot", np.int64)], align=True)

#: Row 2 s: the request timeout of attempt s; row 2 s + 1: its connect, pool or statement timeout.
TIMER: Final = np.dtype(
    [("t", np.float64), ("list", np.int64), ("prev", np.int64), ("next", np.int64)],
    align=True,
)

#: First and last of a chain: timers by rank; queues of attempts.
CHAIN: Final = np.dtype([("head", np.int64), ("tail", np.int64), ("n", np.int64)], align=True)
#: Rows of `queues`; from FIRST_POD_QUEUE on two for each pod: for its workers, for its connections.
LINE, SLOT_QUEUE, FIRST_POD_QUEUE = np.int64(0), np.int64(1), np.int64(2)

POD: Final = np.dtype(
    [
        ("revision", np.int64),
        ("network", np.int8),
        ("listening", np.int8),
        ("accepting", np.int8),
        ("closing", np.int8),
        ("hung", np.int8),
        ("why", np.int8),  # Cause
        ("busy", np.int64),
        ("factor", np.float64),
        ("since", np.float64),
        ("removed_at", np.float64),
        ("conns_closed_at", np.float64),
        ("epoch", np.int64),
        ("accepted", np.int64),
        ("memory", np.int64),  # accepted requests at which the memory limit is reached
        ("served", np.int64),
        ("open", np.int64),  # database connections
        ("in_use", np.int64),
    ],
    align=True,
)

#: One proxy's side of one pod; row = proxy * pod_room + pod. In CONNECTION mode row (proxy, 0) has the proxy's stack.
LINK: Final = np.dtype([("in_flight", np.int32), ("held", np.int32), ("top", np.int64)], align=True)

CONNECTION: Final = np.dtype(
    [("opened", np.float64), ("last_used", np.float64), ("pod", np.int32), ("epoch", np.int32), ("next", np.int64)],
    align=True,
)

#: Candidates of one proxy: row = proxy * (R + 1) + revision (R: all); the rows themselves in `views`.
CANDIDATES: Final = np.dtype([("n", np.int64), ("cursor", np.int64)], align=True)

KLASS: Final = np.dtype(
    [
        ("work_law", np.int64),
        ("query_law", np.int64),
        ("cut", np.float64),
        ("idempotent", np.int64),
        ("resumable", np.int64),
    ],
    align=True,
)
REVISION: Final = np.dtype(
    [("factor", np.float64), ("weight", np.float64), ("last_routed", np.float64), ("exposing", np.int64)], align=True
)
MIX: Final = np.dtype([("error_rate", np.float64), ("n_queries", np.int64)], align=True)  # row = revision * C + class
STALE: Final = np.dtype([("sum", np.float64), ("max", np.float64), ("count", np.int64)], align=True)
SIGNAL: Final = np.dtype(
    [("t", np.float64), ("kind", np.int64), ("pod", np.int64), ("ref", np.int64), ("ok", np.int64)], align=True
)
SORTED: Final = np.dtype([("key", np.int64), ("slot", np.int64)], align=True)
F64: Final = np.dtype([("v", np.float64)])
I64: Final = np.dtype([("v", np.int64)])
I32: Final = np.dtype([("v", np.int32)])
U8: Final = np.dtype([("v", np.uint8)])

#: Every table with its row type. Each has at least one row where it is used.
TABLES: Final[dict[str, np.dtype[Any]]] = {
    "attempts": ATTEMPT,
    "events": EVENT,
    "timers": TIMER,
    "chains": CHAIN,
    "queues": CHAIN,
    "pods": POD,
    "links": LINK,
    "connections": CONNECTION,
    "candidates": CANDIDATES,
    "views": I32,
    "arrivals": ARRIVAL_ROW,
    "classes": KLASS,
    "revisions": REVISION,
    "mixes": MIX,
    "laws": F64,
    "warm": F64,
    "backoff": F64,
    "retriable": I64,
    "tokens": F64,
    "counts": I64,
    "latency": I32,
    "latency_sum": F64,
    "routed": I64,
    "causes": I64,
    "stale": STALE,
    "users": U8,
    "service_sum": F64,
    "query_count": I64,
    "query_sum": F64,
    "mirrored": I64,
    "mirror_latency": I64,
    "match_classes": I64,
    "lost": REQUEST_ROW,
    "log": REQUEST_ROW,
    "signals": SIGNAL,
    "sorted": SORTED,
}

_SCALARS: Final = {
    np.float64: """
        now timer_t horizon_s window_s connect_timeout_s request_timeout_s retry_budget retry_burst client_idle_s
        max_age_s close_notice_s server_idle_s warm_step_s warm_over_s warm_age_s probe_work_s db_pool_timeout_s
        db_statement_timeout_s db_factor found_opened match_share mirror_share window_t
    """,
    np.uint64: """
        k_route k_route2 k_revision k_jitter k_error k_query k_think k_closed_class k_closed_work k_segment k_mirror
    """,
    np.int64: """
        n_events n_live free n_signals n_pods pod_room next_arrival n_arrivals no_more_arrivals next_id hole
        started ended attempts_begun events_played n_lost lost_room n_log logging fault n_windows n_users n_revisions
        n_classes max_attempts jitter pool by_connection algorithm retry_on_connect sticky weighted workers queue_room
        cancel_on_disconnect n_warm has_db db_pool db_slots db_up db_max db_total db_peak db_running pool_waiting
        n_connections free_connection think_law found_pod found_cause n_probes n_proxies
        match_revision cookie_revision mirror_revision mirrors window_now
    """,
}

WORLD: Final = np.dtype(
    [(name, kind) for kind, names in _SCALARS.items() for name in names.split()]
    + [(f"at_{name}", np.uint64) for name in TABLES]
    + [(f"len_{name}", np.int64) for name in TABLES],
    align=True,
)


def _accessor(name: str) -> Callable[..., Any]:
    """Compiled `row(w, index)` of one table."""
    member: Any = cgutils.get_record_member
    row_type = from_dtype(TABLES[name])
    world_type = from_dtype(WORLD)
    size = TABLES[name].itemsize
    fields = WORLD.fields
    assert fields is not None
    address_at, length_at, fault_at = (fields[f][1] for f in (f"at_{name}", f"len_{name}", "fault"))
    number = list(TABLES).index(name) + 1

    def row(typingctx: Any, w: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            world, i = args
            i64 = ir.IntType(64)
            if CHECKED:
                length = builder.load(member(builder, world, length_at, i64), align=8)
                bad = builder.icmp_unsigned(">=", i, length)
                with builder.if_then(bad, likely=False):
                    builder.store(ir.Constant(i64, number), member(builder, world, fault_at, i64), align=8)
                i = builder.select(bad, ir.Constant(i64, 0), i)
            base = builder.load(member(builder, world, address_at, i64), align=8)
            address = builder.add(base, builder.mul(i, ir.Constant(i64, size)))
            return builder.inttoptr(address, context.get_value_type(row_type))

        return row_type(world_type, types.int64), codegen

    accessor: Callable[..., Any] = intrinsic(row)
    return accessor


attempt = _accessor("attempts")
event = _accessor("events")
timer = _accessor("timers")
chain = _accessor("chains")
queue = _accessor("queues")
pod_row = _accessor("pods")
link = _accessor("links")
connection = _accessor("connections")
candidates = _accessor("candidates")
view = _accessor("views")
arrival = _accessor("arrivals")
klass_row = _accessor("classes")
revision_row = _accessor("revisions")
mix_row = _accessor("mixes")
law_cell = _accessor("laws")
warm_cell = _accessor("warm")
backoff = _accessor("backoff")
retriable = _accessor("retriable")
tokens = _accessor("tokens")
count = _accessor("counts")
latency = _accessor("latency")
latency_sum = _accessor("latency_sum")
routed = _accessor("routed")
cause_count = _accessor("causes")
stale_row = _accessor("stale")
user_flags = _accessor("users")
service_sum = _accessor("service_sum")
query_count = _accessor("query_count")
query_sum = _accessor("query_sum")
mirrored = _accessor("mirrored")
mirror_latency = _accessor("mirror_latency")
match_class = _accessor("match_classes")
lost_row = _accessor("lost")
log_row = _accessor("log")
signal_row = _accessor("signals")
sorted_row = _accessor("sorted")

N_TIMER_LISTS: Final = len(Rank)  # by rank; only the timeouts' rows are used
