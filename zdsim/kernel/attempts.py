"""How does an attempt begin, and how do its client's timeouts end it? (MODEL.md 4 and 6)"""

import numpy as np

from zdsim.kernel.client import client_end, fail, strain, window_row
from zdsim.kernel.database import forget_pool, give_back_connection, leave_server, why_no_connection
from zdsim.kernel.jit import inlined, jit
from zdsim.kernel.layout import (
    ATTEMPT_BITS,
    ATTEMPT_MASK,
    NONE,
    State,
    attempt,
    codes,
    link,
    pod_row,
    queue,
    revision_row,
    routed,
    tokens,
    user_flags,
)
from zdsim.kernel.luck import raw, unit
from zdsim.kernel.queues import enqueue, free_row, leave, raise_signal, take_row, worker_queue
from zdsim.kernel.routing import ALIVE, CROSSING, NOTHING, choose, draw_revision, take
from zdsim.kernel.service import release, start_service, test_idle
from zdsim.kernel.timers import arm
from zdsim.plane.config import NEVER
from zdsim.plane.vocabulary import MIRROR_ID, USER_ACTIVE, USER_EXPOSED, Cause, Outcome, Rank, SignalKind

_REFUSED, _UNREACHABLE, _RESET = codes(Outcome.REFUSED, Outcome.UNREACHABLE, Outcome.RESET)
_OVERFLOW, _TIMEOUT, _NO_ENDPOINT = codes(Outcome.OVERFLOW, Outcome.TIMEOUT, Outcome.NO_ENDPOINT)
_NO_READY_POD, _DRAINING = codes(Cause.NO_READY_POD, Cause.DRAINING)
_HUNG, _DB_SLOW = codes(Cause.HUNG, Cause.DB_SLOW)
_CONNECT_TIMEOUT, _REQUEST_TIMEOUT = codes(Rank.CONNECT_TIMEOUT, Rank.REQUEST_TIMEOUT)
_CONNECTING, _QUEUED = codes(State.CONNECTING, State.QUEUED)
_POOL_WAIT, _SLOT_WAIT = codes(State.POOL_WAIT, State.SLOT_WAIT)
_ONLY = np.int64(0)
_MEMORY, _YES = codes(SignalKind.MEMORY, 1)


@jit
def begin(w, t, slot):  # type: ignore[no-untyped-def]
    """An attempt starts now: its row holds key, class, user, proxy and work."""
    a = attempt(w, slot)
    a["start"] = t
    a["waits"] = 1
    a["counted"] = 0
    a["hops"] = 0
    a["pod"] = NONE
    w["attempts_begun"] += 1
    if (a["key"] & ATTEMPT_MASK) == 1:
        w["started"] += 1
        a["first"] = t
        user_flags(w, a["user"])["v"] |= USER_ACTIVE
        if w["retry_budget"] != NEVER:
            held = tokens(w, a["proxy"])
            held["v"] = min(w["retry_burst"], held["v"] + w["retry_budget"])
    if w["by_connection"] and w["pool"] > 0:
        found = take(w, t, a["proxy"] * w["pod_room"])
        if found != NOTHING:
            a["pod"] = w["found_pod"]
            _count_routed(w, t, a["pod"])
            if found == CROSSING:
                fail(w, t, slot, _RESET, w["found_cause"])
                return
            a["opened"] = w["found_opened"]
            if _admit(w, t, slot):
                arm(w, _REQUEST_TIMEOUT, 2 * slot, t + w["request_timeout_s"])
            return
    a["list"] = draw_revision(w, slot) if w["weighted"] else w["n_revisions"]
    if _place(w, t, slot):
        arm(w, _REQUEST_TIMEOUT, 2 * slot, t + w["request_timeout_s"])


@jit
def mirror(w, slot):  # type: ignore[no-untyped-def]
    """Row of a copy of the request that begins in row `slot`, or NONE if it is not one that is mirrored."""
    a = attempt(w, slot)
    request = a["key"] >> ATTEMPT_BITS
    if not unit(raw(w["k_mirror"], request, _ONLY)) < w["mirror_share"]:
        return NONE
    copy = take_row(w)
    b = attempt(w, copy)
    b["key"] = ((request + MIRROR_ID) << ATTEMPT_BITS) | 1
    b["copy"] = 1
    b["klass"] = a["klass"]
    b["proxy"] = a["proxy"]
    b["user"] = a["user"]
    b["work"] = a["work"]
    b["list"] = w["mirror_revision"]
    return copy


@jit
def begin_copy(w, t, slot):  # type: ignore[no-untyped-def]
    """A mirrored attempt starts."""
    a = attempt(w, slot)
    a["start"] = t
    a["first"] = t
    a["waits"] = 1
    a["counted"] = 0
    a["hops"] = 0
    a["pod"] = NONE
    if _place(w, t, slot):
        arm(w, _REQUEST_TIMEOUT, 2 * slot, t + w["request_timeout_s"])


@inlined
def _count_routed(w, t, pod):  # type: ignore[no-untyped-def]
    revision = pod_row(w, pod)["revision"]
    routed(w, window_row(w, t, revision))["v"] += 1
    revision_row(w, revision)["last_routed"] = t


@jit
def _place(w, t, slot):  # type: ignore[no-untyped-def]
    """Choose a pod, reach it and be admitted, hopping on while the router may. False: the attempt has failed."""
    a = attempt(w, slot)
    copy = a["copy"] != 0
    while True:
        pod = choose(w, slot)
        a["pod"] = pod
        if pod == NONE:
            if copy:
                free_row(w, slot)
            else:
                fail(w, t, slot, _NO_ENDPOINT, _NO_READY_POD)
            return False
        if not copy:
            _count_routed(w, t, pod)
        if w["pool"] > 0 and not w["by_connection"] and not copy:
            found = take(w, t, a["proxy"] * w["pod_room"] + pod)
            if found == CROSSING:
                fail(w, t, slot, _RESET, w["found_cause"])
                return False
            if found == ALIVE:
                a["opened"] = w["found_opened"]
                return _admit(w, t, slot)
        p = pod_row(w, pod)
        if not p["network"]:
            a["state"] = _CONNECTING
            a["counted"] = 1
            link(w, a["proxy"] * w["pod_room"] + pod)["in_flight"] += 1
            arm(w, _CONNECT_TIMEOUT, 2 * slot + 1, t + w["connect_timeout_s"])
            return True
        if p["accepting"] and p["listening"]:
            a["opened"] = t
            return _admit(w, t, slot)
        if not _may_hop(w, slot):
            fail(w, t, slot, _REFUSED, _why_unreached(w, pod))
            return False
        a["hops"] += 1


@jit
def _may_hop(w, slot):  # type: ignore[no-untyped-def]
    a = attempt(w, slot)
    return not w["by_connection"] and not a["copy"] and a["hops"] < w["retry_on_connect"]


@jit
def _why_unreached(w, pod):  # type: ignore[no-untyped-def]
    p = pod_row(w, pod)
    if p["listening"]:
        return _DRAINING
    return np.int64(p["why"])


@jit
def _admit(w, t, slot):  # type: ignore[no-untyped-def]
    """Into the process: a worker, a place in its queue, or False: the attempt has failed."""
    a = attempt(w, slot)
    pod = a["pod"]
    p = pod_row(w, pod)
    if p["busy"] < w["workers"]:
        p["busy"] += 1
        start_service(w, t, slot)
    elif queue(w, worker_queue(pod))["n"] < w["queue_room"]:
        a["state"] = _QUEUED
        enqueue(w, worker_queue(pod), slot)
    else:
        fail(w, t, slot, _OVERFLOW, strain(w, t, pod))
        return False
    a["counted"] = 1
    link(w, a["proxy"] * w["pod_room"] + pod)["in_flight"] += 1
    p["accepted"] += 1
    if p["accepted"] == p["memory"]:  # a limit of 0 is never reached
        raise_signal(w, t, _MEMORY, pod, pod, _YES)
    if revision_row(w, p["revision"])["exposing"] and not a["copy"]:
        user_flags(w, a["user"])["v"] |= USER_EXPOSED
    return True


@jit
def connect_timeout(w, t, slot):  # type: ignore[no-untyped-def]
    """Nobody answered at the pod's address."""
    a = attempt(w, slot)
    if _may_hop(w, slot):
        link(w, a["proxy"] * w["pod_room"] + a["pod"])["in_flight"] -= 1
        a["counted"] = 0
        a["hops"] += 1
        _place(w, t, slot)
    else:
        fail(w, t, slot, _UNREACHABLE, _why_unreached(w, a["pod"]))


@jit
def _why_late(w, t, slot):  # type: ignore[no-untyped-def]
    """Cause of a request timeout: what the attempt was waiting for."""
    a = attempt(w, slot)
    pod = a["pod"]
    state = a["state"]
    if pod_row(w, pod)["hung"]:
        return _HUNG
    if state == _CONNECTING:
        return np.int64(pod_row(w, pod)["why"])
    if state == _POOL_WAIT:
        return why_no_connection(w, pod)
    if state >= _SLOT_WAIT:
        return _DB_SLOW
    return strain(w, t, pod)


@jit
def request_timeout(w, t, slot):  # type: ignore[no-untyped-def]
    """The client gives up; its process hears of it only with `cancel_on_disconnect`."""
    a = attempt(w, slot)
    pod = a["pod"]
    state = a["state"]
    client_end(w, t, slot, _TIMEOUT, _why_late(w, t, slot))
    if state == _CONNECTING:
        free_row(w, slot)
        return
    if not w["cancel_on_disconnect"] or pod_row(w, pod)["hung"]:
        return
    if state == _QUEUED:
        leave(w, worker_queue(pod), slot)
        free_row(w, slot)
        test_idle(w, t, pod)
        return
    if state == _POOL_WAIT:
        forget_pool(w, pod, slot)
    elif state >= _SLOT_WAIT:
        leave_server(w, slot)
        give_back_connection(w, pod)
    free_row(w, slot)
    release(w, t, pod)
