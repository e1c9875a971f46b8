"""In which order does everything happen? The loop over events, and calls that reach many attempts (MODEL.md 2, 7)."""

import numpy as np

from zdsim.kernel.attempts import begin, begin_copy, connect_timeout, mirror, request_timeout
from zdsim.kernel.client import client_end, think
from zdsim.kernel.database import (
    connected,
    forget_pool,
    give_back_connection,
    give_back_slot,
    grant,
    pool_timeout,
    query,
    query_end,
    run,
    statement_timeout,
)
from zdsim.kernel.heap import close_hole
from zdsim.kernel.jit import entry, inlined, jit
from zdsim.kernel.layout import (
    ATTEMPT_BITS,
    ATTEMPT_MASK,
    INF,
    KEY_MASK,
    LINE,
    NONE,
    PROBE_KEY,
    RANK_SHIFT,
    SLOT_QUEUE,
    Halt,
    Op,
    State,
    arrival,
    attempt,
    chain,
    codes,
    event,
    klass_row,
    mix_row,
    pod_row,
    queue,
    revision_row,
    sorted_row,
)
from zdsim.kernel.luck import raw, unit
from zdsim.kernel.queues import enqueue, first, free_row, leave, raise_signal, take_row, wake, worker_queue
from zdsim.kernel.service import probe_answer, release, respond, start_service
from zdsim.kernel.timers import disarm, earliest
from zdsim.plane.vocabulary import CLOSED_ID, CLOSED_STRIDE, PROBE_ID, Cause, Outcome, ProbeAnswer, Rank, SignalKind

_SERVICE_END, _QUERY_END, _ARRIVAL = codes(Rank.SERVICE_END, Rank.QUERY_END, Rank.ARRIVAL)
_POOL_TIMEOUT, _STATEMENT_TIMEOUT, _CONNECT_TIMEOUT = codes(
    Rank.POOL_TIMEOUT, Rank.STATEMENT_TIMEOUT, Rank.CONNECT_TIMEOUT
)
_QUEUED, _SERVICE, _STUCK = codes(State.QUEUED, State.SERVICE, State.STUCK)
_POOL_WAIT, _SLOT_WAIT, _RUNNING = codes(State.POOL_WAIT, State.SLOT_WAIT, State.RUNNING)
_WOKEN_START, _WOKEN_CONNECTED = codes(State.WOKEN_START, State.WOKEN_CONNECTED)
_WOKEN_MIRROR = np.int64(State.WOKEN_MIRROR)
_OK, _RESET, _APP_ERROR, _DB_ERROR = codes(Outcome.OK, Outcome.RESET, Outcome.APP_ERROR, Outcome.DB_ERROR)
_NO_CAUSE, _DB_DOWN = codes(Cause.NONE, Cause.DB_DOWN)
_BAD_REVISION, _BASELINE_ERRORS = codes(Cause.BAD_REVISION, Cause.BASELINE_ERRORS)
_PROBE_DONE, _NO = codes(SignalKind.PROBE_DONE, 0)
_ANSWER_FAIL, _ANSWER_PENDING = codes(ProbeAnswer.FAIL, ProbeAnswer.PENDING)
_ADVANCE, _STOP_ACCEPTING, _END_PROCESS = codes(Op.ADVANCE, Op.STOP_ACCEPTING, Op.END_PROCESS)
_PROBE, _DB_DOWN_CALL, _GRANT = codes(Op.PROBE, Op.DB_DOWN, Op.GRANT)
_REACHED, _SIGNAL = codes(Halt.REACHED, Halt.SIGNAL)
_NEEDS_ARRIVALS, _NEEDS_ATTEMPTS = codes(Halt.NEEDS_ARRIVALS, Halt.NEEDS_ATTEMPTS)
_NEEDS_HEAP, _NEEDS_CONNECTIONS = codes(Halt.NEEDS_HEAP, Halt.NEEDS_CONNECTIONS)
_NEEDS_SIGNALS, _NEEDS_LOG = codes(Halt.NEEDS_SIGNALS, Halt.NEEDS_LOG)
#: More than one step can make of anything, beyond one for each attempt there is.
SPARE = 4


@entry
def play(world, op, pod, number, t):  # type: ignore[no-untyped-def]
    """The one door from Python: do `op` (an `Op`) at or until `t`.

    Returns (halt, answer): a `Halt`, and what the call gives back (0 if nothing). After a `NEEDS_*` nothing has
    been done that is not complete: make room, or bring arrivals, and call again.
    """
    w = world[0]
    if op == _ADVANCE:
        return _advance(w, t), np.int64(0)
    short = _short_of(w)
    if short != _REACHED:
        return short, np.int64(0)
    w["now"] = t
    answer = np.int64(0)
    if op == _STOP_ACCEPTING:
        answer = _stop_accepting(w, t, pod)
    elif op == _END_PROCESS:
        answer = _end_process(w, t, pod, number)
    elif op == _PROBE:
        answer = _probe(w, t, pod, number)
    elif op == _DB_DOWN_CALL:
        _db_down(w, t)
    elif op == _GRANT:
        grant(w)
    else:
        think(w, 0.0, CLOSED_ID + number * CLOSED_STRIDE)
    _finish_step(w, t)
    return np.int64(_REACHED), answer


@inlined
def _short_of(w):  # type: ignore[no-untyped-def]
    """What the worst step would have no room for, as a `Halt`; REACHED if nothing."""
    need = w["n_live"] + SPARE
    if need > w["len_attempts"]:
        return np.int64(_NEEDS_ATTEMPTS)
    if w["n_events"] + need > w["len_events"]:
        return np.int64(_NEEDS_HEAP)
    if w["n_connections"] + need > w["len_connections"] and w["pool"] > 0:
        return np.int64(_NEEDS_CONNECTIONS)
    if w["n_signals"] + 2 * need > w["len_signals"]:
        return np.int64(_NEEDS_SIGNALS)
    if w["logging"] and w["n_log"] + need > w["len_log"]:
        return np.int64(_NEEDS_LOG)
    return np.int64(_REACHED)


@jit
def _advance(w, until):  # type: ignore[no-untyped-def]
    """Play all events strictly before `until`, up to and including the first step that raises a signal."""
    if w["n_signals"] > 0:
        return np.int64(_SIGNAL)
    while True:
        # The next event: of the heap, of the arrivals, or of the timers.
        t_heap = INF
        key = KEY_MASK
        if w["n_events"] > 0:
            top = event(w, 0)
            t_heap = top["t"]
            key = top["key"]
        t = t_heap
        arrives = False
        if w["next_arrival"] < w["n_arrivals"]:
            t_arrival = arrival(w, w["next_arrival"])["t"]
            arrival_key = (_ARRIVAL << RANK_SHIFT) | (w["next_id"] << ATTEMPT_BITS) | 1
            if t_arrival < t_heap or (t_arrival == t_heap and arrival_key < key):
                arrives = True
                t = t_arrival
                key = arrival_key
        elif not w["no_more_arrivals"]:
            return np.int64(_NEEDS_ARRIVALS)
        rank = NONE
        if w["timer_t"] <= t and w["timer_t"] < until:
            rank = earliest(w)
            if rank != NONE:
                t_timer = w["timer_t"]
                if t_timer < t or (t_timer == t and rank < (key >> RANK_SHIFT)):
                    t = t_timer
                else:
                    rank = NONE
        if t >= until:
            return np.int64(_REACHED)
        short = _short_of(w)
        if short != _REACHED:
            return short

        # One step: the event, then everybody it wakes.
        if rank != NONE:
            _ring(w, t, rank)
        elif arrives:
            _arrive(w, t)
        elif not _pop(w, t, key):
            continue  # of an attempt that is no more
        w["now"] = t
        w["events_played"] += 1
        _finish_step(w, t)
        if w["n_signals"] > 0:
            return np.int64(_SIGNAL)


@inlined
def _finish_step(w, t):  # type: ignore[no-untyped-def]
    """Those who were woken act, in their order."""
    while queue(w, LINE)["n"] > 0:
        slot = first(w, LINE)
        state = attempt(w, slot)["state"]
        if state == _WOKEN_START:
            start_service(w, t, slot)
        elif state == _WOKEN_CONNECTED:
            connected(w, t, slot)
        elif state == _WOKEN_MIRROR:
            begin_copy(w, t, slot)
        else:
            run(w, t, slot)
    if w["hole"]:
        close_hole(w)


@inlined
def _arrive(w, t):  # type: ignore[no-untyped-def]
    """The next open request begins."""
    row = arrival(w, w["next_arrival"])
    slot = take_row(w)
    a = attempt(w, slot)
    a["key"] = (w["next_id"] << ATTEMPT_BITS) | 1
    a["work"] = row["work_s"]
    a["user"] = row["user"]
    a["klass"] = row["klass"]
    a["proxy"] = row["proxy"]
    a["copy"] = 0
    w["next_arrival"] += 1
    w["next_id"] += 1
    _begin_first(w, t, slot)


@jit
def _begin_first(w, t, slot):  # type: ignore[no-untyped-def]
    """A request's first attempt; then, perhaps, its copy."""
    copy = NONE
    if w["mirror_revision"] != NONE:
        copy = mirror(w, slot)
    begin(w, t, slot)
    if copy != NONE:
        wake(w, copy, _WOKEN_MIRROR)


@inlined
def _pop(w, t, key):  # type: ignore[no-untyped-def]
    """Play the heap's first event. False: its attempt is no more where it was, nothing happens."""
    slot = event(w, 0)["slot"]
    a = attempt(w, slot)
    state = a["state"]
    rank = key >> RANK_SHIFT
    w["hole"] = 1
    if (
        a["key"] != key & KEY_MASK
        or (rank == _SERVICE_END and state != _SERVICE)
        or (rank == _QUERY_END and state != _RUNNING)
    ):
        close_hole(w)
        return False
    if rank == _SERVICE_END:
        _service_end(w, t, slot)
    elif rank == _QUERY_END:
        query_end(w, t, slot)
    elif rank == _ARRIVAL:
        _begin_first(w, t, slot)
    else:
        begin(w, t, slot)
    return True


@jit
def _ring(w, t, rank):  # type: ignore[no-untyped-def]
    """The first timer of a chain rings."""
    row = chain(w, rank)["head"]
    slot = row >> 1
    disarm(w, row)
    if rank == _POOL_TIMEOUT:
        pool_timeout(w, t, slot)
    elif rank == _STATEMENT_TIMEOUT:
        statement_timeout(w, t, slot)
    elif rank == _CONNECT_TIMEOUT:
        connect_timeout(w, t, slot)
    else:
        request_timeout(w, t, slot)


@inlined
def _service_end(w, t, slot):  # type: ignore[no-untyped-def]
    """The worker's own part is done: an error, queries, or the answer."""
    a = attempt(w, slot)
    pod = a["pod"]
    p = pod_row(w, pod)
    if p["hung"]:
        a["state"] = _STUCK
        return
    if a["key"] >= PROBE_KEY:
        ok = np.int64(probe_answer(w, t, pod, np.int64(a["queries"])))
        raise_signal(w, t, _PROBE_DONE, pod, np.int64(a["user"]), ok)
        free_row(w, slot)
        release(w, t, pod)
        return
    revision = p["revision"]
    mix = mix_row(w, revision * w["n_classes"] + a["klass"])
    rate = mix["error_rate"]
    if rate > 0.0 and unit(raw(w["k_error"], a["key"] >> ATTEMPT_BITS, a["key"] & ATTEMPT_MASK)) < rate:
        exposing = revision_row(w, revision)["exposing"] != 0
        respond(w, t, slot, _APP_ERROR, _BAD_REVISION if exposing else _BASELINE_ERRORS)
    elif w["has_db"] and mix["n_queries"] > 0:
        a["query"] = 0
        a["queries"] = mix["n_queries"]
        query(w, t, slot)
    else:
        respond(w, t, slot, _OK, _NO_CAUSE)


@jit
def _stop_accepting(w, t, pod):  # type: ignore[no-untyped-def]
    """Drain. 1 if nothing is left to do."""
    p = pod_row(w, pod)
    idle = p["open"] - p["in_use"]
    p["open"] -= idle
    w["db_total"] -= idle
    grant(w)
    return np.int64(p["busy"] == 0 and queue(w, worker_queue(pod))["n"] == 0)


@jit
def _probe(w, t, pod, ref):  # type: ignore[no-untyped-def]
    """A probe through the worker queue; the pod listens. `ref` holds reference and depth (``ref * 4 + depth``)."""
    p = pod_row(w, pod)
    waiting = worker_queue(pod)
    if p["busy"] >= w["workers"] and queue(w, waiting)["n"] >= w["queue_room"]:
        return np.int64(_ANSWER_FAIL)
    slot = take_row(w)
    a = attempt(w, slot)
    a["key"] = (PROBE_ID + w["n_probes"]) << ATTEMPT_BITS
    w["n_probes"] += 1
    a["pod"] = pod
    a["waits"] = 0
    a["copy"] = 0
    a["counted"] = 0
    a["user"] = ref >> 2
    a["queries"] = ref & 3
    if p["busy"] < w["workers"]:
        p["busy"] += 1
        start_service(w, t, slot)
    else:
        a["state"] = _QUEUED
        enqueue(w, waiting, slot)
    return np.int64(_ANSWER_PENDING)


@jit
def _collect(w, pod):  # type: ignore[no-untyped-def]
    """Attempts in a pod, or (NONE) those that hold the database, into `sorted` by request and number; how many."""
    n = 0
    for slot in range(w["len_attempts"]):
        a = attempt(w, slot)
        state = a["state"]
        if (pod == NONE and state >= _SLOT_WAIT) or (pod != NONE and state >= _QUEUED and a["pod"] == pod):
            row = sorted_row(w, n)
            row["key"] = a["key"]
            row["slot"] = slot
            n += 1
    gap = n // 2
    while gap > 0:  # Shell's sort
        for i in range(gap, n):
            row = sorted_row(w, i)
            key, slot = row["key"], row["slot"]
            j = i
            while j >= gap and sorted_row(w, j - gap)["key"] > key:
                here, there = sorted_row(w, j), sorted_row(w, j - gap)
                here["key"] = there["key"]
                here["slot"] = there["slot"]
                j -= gap
            here = sorted_row(w, j)
            here["key"] = key
            here["slot"] = slot
        gap //= 2
    return n


@jit
def _end_process(w, t, pod, cause):  # type: ignore[no-untyped-def]
    """What the process held is reset. How many clients saw it."""
    p = pod_row(w, pod)
    hung = p["hung"]
    p["hung"] = 0
    n = _collect(w, pod)
    seen = np.int64(0)
    running = 0
    for i in range(n):
        slot = sorted_row(w, i)["slot"]
        a = attempt(w, slot)
        state = a["state"]
        if state == _QUEUED:
            leave(w, worker_queue(pod), slot)
        elif state == _POOL_WAIT:
            forget_pool(w, pod, slot)
        elif state == _SLOT_WAIT:
            leave(w, SLOT_QUEUE, slot)
        elif state == _RUNNING:
            running += 1
        if a["key"] >= PROBE_KEY:
            raise_signal(w, t, _PROBE_DONE, pod, np.int64(a["user"]), _NO)
        elif a["waits"]:
            if not hung and state != _QUEUED and _resumable(w, slot):
                a["work"] = _work_left(w, t, slot)
            client_end(w, t, slot, _RESET, cause)
            seen += 1 - a["copy"]
        free_row(w, slot)
    p["busy"] = 0
    for _ in range(running):
        give_back_slot(w)
    w["db_total"] -= p["open"]
    p["open"] = 0
    p["in_use"] = 0
    grant(w)
    return seen


@jit
def _resumable(w, slot):  # type: ignore[no-untyped-def]
    return klass_row(w, attempt(w, slot)["klass"])["resumable"] != 0


@jit
def _work_left(w, t, slot):  # type: ignore[no-untyped-def]
    """Seconds of work that an interrupted service leaves; 0 once it is in its queries."""
    a = attempt(w, slot)
    if a["state"] != _SERVICE or a["end"] == a["begun"]:
        return 0.0
    return a["work"] * ((a["end"] - t) / (a["end"] - a["begun"]))


@jit
def _db_down(w, t):  # type: ignore[no-untyped-def]
    """Every query fails; hung pods do not notice."""
    w["db_up"] = 0
    n = _collect(w, NONE)
    for i in range(n):
        slot = sorted_row(w, i)["slot"]
        if attempt(w, slot)["state"] == _SLOT_WAIT:
            leave(w, SLOT_QUEUE, slot)
    for i in range(n):
        slot = sorted_row(w, i)["slot"]
        a = attempt(w, slot)
        disarm(w, 2 * slot + 1)
        if a["state"] == _RUNNING:
            give_back_slot(w)
        if pod_row(w, a["pod"])["hung"]:
            a["state"] = _STUCK
        else:
            give_back_connection(w, a["pod"])
            respond(w, t, slot, _DB_ERROR, _DB_DOWN)
