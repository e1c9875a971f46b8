"""Who may ask the database? A pod's pool, the server's limit, its slots, and their timeouts (MODEL.md 5)."""

import numpy as np

from zdsim.kernel.client import window_row
from zdsim.kernel.heap import push
from zdsim.kernel.jit import jit
from zdsim.kernel.layout import (
    ATTEMPT_BITS,
    ATTEMPT_MASK,
    RANK_SHIFT,
    SLOT_QUEUE,
    State,
    attempt,
    codes,
    klass_row,
    pod_row,
    query_count,
    query_sum,
    queue,
)
from zdsim.kernel.luck import law_value, raw
from zdsim.kernel.queues import enqueue, first, leave, pool_queue, wake
from zdsim.kernel.service import respond
from zdsim.kernel.timers import arm, disarm
from zdsim.plane.vocabulary import Cause, Outcome, Rank

_OK, _DB_ERROR = codes(Outcome.OK, Outcome.DB_ERROR)
_NONE, _DB_DOWN, _DB_SLOW = codes(Cause.NONE, Cause.DB_DOWN, Cause.DB_SLOW)
_DB_POOL, _DB_CONNECTIONS = codes(Cause.DB_POOL, Cause.DB_CONNECTIONS)
_POOL_TIMEOUT, _STATEMENT_TIMEOUT = codes(Rank.POOL_TIMEOUT, Rank.STATEMENT_TIMEOUT)
_QUERY_END = np.int64(Rank.QUERY_END) << RANK_SHIFT
_STUCK, _POOL_WAIT, _WOKEN_CONNECTED = codes(State.STUCK, State.POOL_WAIT, State.WOKEN_CONNECTED)
_SLOT_WAIT, _WOKEN_RUN, _RUNNING = codes(State.SLOT_WAIT, State.WOKEN_RUN, State.RUNNING)
_QUERY_SHIFT = 20


@jit
def open_connection(w, pod):  # type: ignore[no-untyped-def]
    """The pod's pool grows by one connection, in use at once."""
    p = pod_row(w, pod)
    p["open"] += 1
    p["in_use"] += 1
    w["db_total"] += 1
    w["db_peak"] = max(w["db_peak"], w["db_total"])


@jit
def query(w, t, slot):  # type: ignore[no-untyped-def]
    """The attempt's next query asks for a connection."""
    a = attempt(w, slot)
    pod = a["pod"]
    p = pod_row(w, pod)
    if not w["db_up"]:
        respond(w, t, slot, _DB_ERROR, _DB_DOWN)
    elif p["in_use"] < p["open"]:
        p["in_use"] += 1
        connected(w, t, slot)
    elif p["open"] < w["db_pool"] and w["db_total"] < w["db_max"]:
        open_connection(w, pod)
        connected(w, t, slot)
    else:
        a["state"] = _POOL_WAIT
        enqueue(w, pool_queue(pod), slot)
        w["pool_waiting"] += 1
        arm(w, _POOL_TIMEOUT, 2 * slot + 1, t + w["db_pool_timeout_s"])


@jit
def connected(w, t, slot):  # type: ignore[no-untyped-def]
    """The query has its connection and asks for a slot of the server."""
    a = attempt(w, slot)
    if not w["db_up"]:
        give_back_connection(w, a["pod"])
        respond(w, t, slot, _DB_ERROR, _DB_DOWN)
        return
    arm(w, _STATEMENT_TIMEOUT, 2 * slot + 1, t + w["db_statement_timeout_s"])
    if w["db_running"] < w["db_slots"]:
        w["db_running"] += 1
        run(w, t, slot)
    else:
        a["state"] = _SLOT_WAIT
        enqueue(w, SLOT_QUEUE, slot)


@jit
def run(w, t, slot):  # type: ignore[no-untyped-def]
    """The server works on the query."""
    a = attempt(w, slot)
    which = ((a["key"] & ATTEMPT_MASK) << _QUERY_SHIFT) + np.int64(a["query"])
    bits = raw(w["k_query"], a["key"] >> ATTEMPT_BITS, which)
    a["state"] = _RUNNING
    wall = law_value(w, klass_row(w, a["klass"])["query_law"], bits) * w["db_factor"]
    row = window_row(w, t, pod_row(w, a["pod"])["revision"])
    query_count(w, row)["v"] += 1
    query_sum(w, row)["v"] += wall
    push(w, t + wall, _QUERY_END | a["key"], slot)


@jit
def query_end(w, t, slot):  # type: ignore[no-untyped-def]
    """The server has answered a query."""
    a = attempt(w, slot)
    pod = a["pod"]
    disarm(w, 2 * slot + 1)
    give_back_slot(w)
    if pod_row(w, pod)["hung"]:
        a["state"] = _STUCK
        return
    give_back_connection(w, pod)
    a["query"] += 1
    if a["query"] < a["queries"]:
        query(w, t, slot)
    else:
        respond(w, t, slot, _OK, _NONE)


@jit
def give_back_slot(w):  # type: ignore[no-untyped-def]
    """A slot of the server is free: for the next in its queue."""
    if queue(w, SLOT_QUEUE)["n"] > 0:
        wake(w, first(w, SLOT_QUEUE), _WOKEN_RUN)
    else:
        w["db_running"] -= 1


@jit
def give_back_connection(w, pod):  # type: ignore[no-untyped-def]
    """A connection of a pod is free: for the next of its pool's queue; a draining process closes it."""
    p = pod_row(w, pod)
    if queue(w, pool_queue(pod))["n"] > 0:
        leave_pool(w, pod, queue(w, pool_queue(pod))["head"])
    else:
        p["in_use"] -= 1
        if p["listening"] and not p["accepting"]:
            p["open"] -= 1
            w["db_total"] -= 1
            grant(w)


@jit
def leave_pool(w, pod, slot):  # type: ignore[no-untyped-def]
    """The attempt has waited long enough: it gets the connection that was counted for it."""
    forget_pool(w, pod, slot)
    wake(w, slot, _WOKEN_CONNECTED)


@jit
def forget_pool(w, pod, slot):  # type: ignore[no-untyped-def]
    """Out of the pool's queue."""
    leave(w, pool_queue(pod), slot)
    w["pool_waiting"] -= 1
    disarm(w, 2 * slot + 1)


@jit
def grant(w):  # type: ignore[no-untyped-def]
    """The server has connections to give: pods in order of row take what their queues need."""
    if w["pool_waiting"] == 0:
        return
    for pod in range(w["n_pods"]):
        if w["db_total"] >= w["db_max"]:
            break
        p = pod_row(w, pod)
        if p["hung"]:
            continue
        waiting = queue(w, pool_queue(pod))
        while waiting["n"] > 0 and p["open"] < w["db_pool"] and w["db_total"] < w["db_max"]:
            open_connection(w, pod)
            leave_pool(w, pod, waiting["head"])


@jit
def why_no_connection(w, pod):  # type: ignore[no-untyped-def]
    """Cause of having waited in the pool's queue in vain."""
    if pod_row(w, pod)["open"] < w["db_pool"]:
        return _DB_CONNECTIONS
    return _DB_POOL


@jit
def pool_timeout(w, t, slot):  # type: ignore[no-untyped-def]
    """No connection in time."""
    pod = attempt(w, slot)["pod"]
    if pod_row(w, pod)["hung"]:
        return
    forget_pool(w, pod, slot)
    respond(w, t, slot, _DB_ERROR, why_no_connection(w, pod))


@jit
def statement_timeout(w, t, slot):  # type: ignore[no-untyped-def]
    """No answer to a statement in time."""
    a = attempt(w, slot)
    pod = a["pod"]
    if pod_row(w, pod)["hung"]:
        return
    leave_server(w, slot)
    give_back_connection(w, pod)
    respond(w, t, slot, _DB_ERROR, _DB_SLOW)


@jit
def leave_server(w, slot):  # type: ignore[no-untyped-def]
    """Out of the queue for slots, or out of a slot."""
    if attempt(w, slot)["state"] == _SLOT_WAIT:
        leave(w, SLOT_QUEUE, slot)
    else:
        give_back_slot(w)
