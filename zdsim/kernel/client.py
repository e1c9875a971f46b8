"""What does the client make of an attempt's end? Keep the connection, retry, or take the loss (MODEL.md 6)."""

import numpy as np

from zdsim.kernel.heap import push
from zdsim.kernel.jit import inlined, jit
from zdsim.kernel.layout import (
    ATTEMPT_BITS,
    ATTEMPT_MASK,
    NONE,
    RANK_SHIFT,
    SLOT_QUEUE,
    State,
    attempt,
    backoff,
    cause_count,
    codes,
    count,
    klass_row,
    latency,
    latency_sum,
    link,
    log_row,
    lost_row,
    mirror_latency,
    mirrored,
    pod_row,
    queue,
    retriable,
    revision_row,
    stale_row,
    tokens,
    user_flags,
    warm_cell,
)
from zdsim.kernel.luck import bucket, law_value, raw, unit
from zdsim.kernel.queues import free_row, pool_queue, take_row
from zdsim.kernel.routing import put_back
from zdsim.kernel.timers import disarm
from zdsim.plane.config import NEVER
from zdsim.plane.histogram import N_BUCKETS
from zdsim.plane.vocabulary import (
    CLOSED_ID,
    CLOSED_STRIDE,
    N_CAUSES,
    N_OUTCOMES,
    USER_HARMED,
    Cause,
    Jitter,
    Outcome,
    Rank,
)

_OK, _REFUSED, _UNREACHABLE = codes(Outcome.OK, Outcome.REFUSED, Outcome.UNREACHABLE)
_NO_ENDPOINT, _APP_ERROR, _DB_ERROR = codes(Outcome.NO_ENDPOINT, Outcome.APP_ERROR, Outcome.DB_ERROR)
_HUNG, _COLD_POD, _SLOW_POD = codes(Cause.HUNG, Cause.COLD_POD, Cause.SLOW_POD)
_SLOW_REVISION, _OVERLOAD, _NO_CAUSE = codes(Cause.SLOW_REVISION, Cause.OVERLOAD, Cause.NONE)
_DB_POOL, _DB_SLOW = codes(Cause.DB_POOL, Cause.DB_SLOW)
_NO_JITTER, _FULL = codes(Jitter.NONE, Jitter.FULL)
_RETRY = np.int64(Rank.RETRY) << RANK_SHIFT
_ARRIVAL = np.int64(Rank.ARRIVAL) << RANK_SHIFT
_BACKOFF, _THINKING = codes(State.BACKOFF, State.THINKING)
_ONLY = np.int64(0)


@inlined
def window_row(w, t, revision):  # type: ignore[no-untyped-def]
    """Row of (window that holds `t`, revision) in what is counted so; the last window is open-ended."""
    if t != w["window_t"]:  # several things are counted at one instant
        w["window_t"] = t
        w["window_now"] = min(np.int64(t / w["window_s"]), w["n_windows"] - 1) * (w["n_revisions"] + 1)
    return w["window_now"] + revision


@jit
def warm(w, t, pod):  # type: ignore[no-untyped-def]
    """Service time multiplier of a process of its age."""
    age = t - pod_row(w, pod)["since"]
    if age >= w["warm_over_s"]:  # a step beyond the table: 1 without the division
        return 1.0
    x = age / w["warm_step_s"]
    i = np.int64(x)
    n = w["n_warm"]
    if i >= n:
        return 1.0
    f = warm_cell(w, i)["v"]
    if i + 1 >= n:
        return f + (x - i) * (1.0 - f)
    return f + (x - i) * (warm_cell(w, i + 1)["v"] - f)


@jit
def strain(w, t, pod):  # type: ignore[no-untyped-def]
    """Why a pod keeps its clients waiting."""
    p = pod_row(w, pod)
    if p["hung"]:
        return _HUNG
    if warm(w, t, pod) > 1.0:
        return _COLD_POD
    if p["factor"] > 1.0:
        return _SLOW_POD
    if revision_row(w, p["revision"])["factor"] > 1.0:
        return _SLOW_REVISION
    if w["has_db"]:
        if queue(w, pool_queue(pod))["n"] > 0:
            return _DB_POOL
        if not w["db_up"] or w["db_factor"] > 1.0 or queue(w, SLOT_QUEUE)["n"] > 0:
            return _DB_SLOW
    return _OVERLOAD


@jit
def client_end(w, t, slot, outcome, cause):  # type: ignore[no-untyped-def]
    """The client hears the end of its attempt; from now on it does not wait."""
    a = attempt(w, slot)
    pod = a["pod"]
    a["waits"] = 0
    disarm(w, 2 * slot)
    if a["counted"]:
        a["counted"] = 0
        link(w, a["proxy"] * w["pod_room"] + pod)["in_flight"] -= 1
    if a["copy"]:
        _end_copy(w, t, slot, outcome)
        return
    if outcome == _OK:
        pod_row(w, pod)["served"] += 1
    if w["pool"] > 0 and outcome in (_OK, _APP_ERROR, _DB_ERROR):
        put_back(w, t, slot)
    if outcome != _OK and _retries(w, slot, outcome):
        _back_off(w, t, slot)
    else:
        _end_request(w, t, slot, outcome, cause)


@jit
def _end_copy(w, t, slot, outcome):  # type: ignore[no-untyped-def]
    """Count the end of a mirrored attempt."""
    a = attempt(w, slot)
    row = window_row(w, t, pod_row(w, a["pod"])["revision"])
    mirrored(w, row * N_OUTCOMES + outcome)["v"] += 1
    if outcome == _OK and w["mirrors"]:
        mirror_latency(w, row * N_BUCKETS + bucket(t - a["start"]))["v"] += 1


@jit
def _retries(w, slot, outcome):  # type: ignore[no-untyped-def]
    """Whether another attempt follows; takes its token."""
    a = attempt(w, slot)
    if (a["key"] & ATTEMPT_MASK) >= w["max_attempts"] or retriable(w, outcome)["v"] == 0:
        return False
    nothing_sent = outcome in (_REFUSED, _UNREACHABLE, _NO_ENDPOINT)
    if not nothing_sent and klass_row(w, a["klass"])["idempotent"] == 0:
        return False
    if w["retry_budget"] == NEVER:
        return True
    held = tokens(w, a["proxy"])
    if held["v"] >= 1.0:
        held["v"] -= 1.0
        return True
    return False


@jit
def _back_off(w, t, slot):  # type: ignore[no-untyped-def]
    """The next attempt of the same request, in a row of its own: the old one's work may go on in the pod."""
    a = attempt(w, slot)
    key = a["key"] + 1
    k = key & ATTEMPT_MASK
    d = backoff(w, k - 2)["v"]
    if w["jitter"] != _NO_JITTER:
        u = unit(raw(w["k_jitter"], key >> ATTEMPT_BITS, k))
        d = d * u if w["jitter"] == _FULL else d / 2.0 + (d / 2.0) * u
    at = t + d
    fresh = take_row(w)
    b = attempt(w, fresh)
    b["key"] = key
    b["state"] = _BACKOFF
    b["copy"] = 0
    b["pod"] = NONE
    b["klass"] = a["klass"]
    b["proxy"] = a["proxy"]
    b["user"] = a["user"]
    b["first"] = a["first"]
    b["work"] = a["work"]
    if at != NEVER:
        push(w, at, _RETRY | key, fresh)


@inlined
def _end_request(w, t, slot, outcome, cause):  # type: ignore[no-untyped-def]
    """Count the request, and let its user think if it is a closed one."""
    a = attempt(w, slot)
    pod = a["pod"]
    revision = w["n_revisions"]
    if pod != NONE:
        revision = pod_row(w, pod)["revision"]
    row = window_row(w, t, revision)
    w["ended"] += 1
    count(w, (row * w["n_classes"] + a["klass"]) * N_OUTCOMES + outcome)["v"] += 1
    if outcome == _OK:
        d = t - a["first"]
        latency(w, row * N_BUCKETS + bucket(d))["v"] += 1
        latency_sum(w, row)["v"] += d
        if w["logging"]:
            _note(w, t, slot, outcome, _NO_CAUSE, revision)
    else:
        _lose(w, t, slot, outcome, cause, revision)
    if a["key"] >= CLOSED_ID << ATTEMPT_BITS:
        think(w, t, (a["key"] >> ATTEMPT_BITS) + 1)


@jit
def _staleness(w, slot):  # type: ignore[no-untyped-def]
    a = attempt(w, slot)
    if a["pod"] != NONE:
        late = a["start"] - pod_row(w, a["pod"])["removed_at"]
        if late >= 0.0:
            return late
    return np.nan


@jit
def _lose(w, t, slot, outcome, cause, revision):  # type: ignore[no-untyped-def]
    """A request is lost: to whom, why, and behind how stale a view."""
    user_flags(w, attempt(w, slot)["user"])["v"] |= USER_HARMED
    cause_count(w, outcome * N_CAUSES + cause)["v"] += 1
    late = _staleness(w, slot)
    if late >= 0.0:
        s = stale_row(w, cause)
        s["sum"] += late
        s["max"] = max(s["max"], late)
        s["count"] += 1
    if w["n_lost"] < w["lost_room"]:
        _write(lost_row(w, w["n_lost"]), w, t, slot, outcome, cause, revision)
        w["n_lost"] += 1
    if w["logging"]:
        _note(w, t, slot, outcome, cause, revision)


@jit
def _note(w, t, slot, outcome, cause, revision):  # type: ignore[no-untyped-def]
    _write(log_row(w, w["n_log"]), w, t, slot, outcome, cause, revision)
    w["n_log"] += 1


@jit
def _write(row, w, t, slot, outcome, cause, revision):  # type: ignore[no-untyped-def]
    """Fill a REQUEST_ROW."""
    a = attempt(w, slot)
    row["id"] = a["key"] >> ATTEMPT_BITS
    row["start_s"] = a["first"]
    row["end_s"] = t
    row["user"] = a["user"]
    row["klass"] = a["klass"]
    row["outcome"] = outcome
    row["cause"] = cause
    row["pod"] = a["pod"]
    row["revision"] = revision
    row["attempts"] = a["key"] & ATTEMPT_MASK
    row["proxy"] = a["proxy"]
    row["stale_s"] = _staleness(w, slot)


@jit
def think(w, t, request):  # type: ignore[no-untyped-def]
    """A closed user thinks before `request` (id), and does not begin it at or after the horizon."""
    number = request - CLOSED_ID
    user = number // CLOSED_STRIDE
    at = t + law_value(w, w["think_law"], raw(w["k_think"], user, number % CLOSED_STRIDE))
    if at >= w["horizon_s"]:
        return
    u = unit(raw(w["k_closed_class"], request, _ONLY))
    klass = 0
    while klass < w["n_classes"] - 1 and u >= klass_row(w, klass)["cut"]:
        klass += 1
    slot = take_row(w)
    a = attempt(w, slot)
    a["key"] = (request << ATTEMPT_BITS) + 1
    a["state"] = _THINKING
    a["copy"] = 0
    a["pod"] = NONE
    a["klass"] = klass
    a["proxy"] = user % w["n_proxies"]
    a["user"] = user % w["n_users"]
    a["work"] = law_value(w, klass_row(w, klass)["work_law"], raw(w["k_closed_work"], request, _ONLY))
    push(w, at, _ARRIVAL | a["key"], slot)


@jit
def fail(w, t, slot, outcome, cause):  # type: ignore[no-untyped-def]
    """An attempt ends before a pod has worked for it."""
    client_end(w, t, slot, outcome, cause)
    free_row(w, slot)
