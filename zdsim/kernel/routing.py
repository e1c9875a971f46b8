"""Which pod, and over which connection? Views, weights, algorithms and idle connections (MODEL.md 4)."""

import numpy as np

from zdsim.kernel.jit import inlined, jit
from zdsim.kernel.layout import (
    ATTEMPT_BITS,
    ATTEMPT_MASK,
    NONE,
    attempt,
    candidates,
    codes,
    connection,
    link,
    match_class,
    pod_row,
    revision_row,
    user_flags,
    view,
)
from zdsim.kernel.luck import pick, raw, unit
from zdsim.plane.vocabulary import USER_STUCK, Algorithm, Cause

_ROUND_ROBIN, _RANDOM, _LEAST_REQUEST = codes(Algorithm.ROUND_ROBIN, Algorithm.RANDOM, Algorithm.LEAST_REQUEST)
_KEEP_ALIVE_RACE = np.int64(Cause.KEEP_ALIVE_RACE)
_STICKY_USER = np.int64(1 << 52)
_HOP_SHIFT = np.int64(20)
_MANY = np.int64(1 << 40)
_ONLY = np.int64(0)  # for draws that are made once

#: What came out of looking for an idle connection.
NOTHING, ALIVE, CROSSING = codes(0, 1, 2)


@jit
def draw_revision(w, slot):  # type: ignore[no-untyped-def]
    """Revision by match, by cookie, or by weight."""
    a = attempt(w, slot)
    if w["match_revision"] != NONE and match_class(w, a["klass"])["v"]:  # noqa: SIM102
        if unit(raw(w["k_segment"], np.int64(a["user"]), _ONLY)) < w["match_share"]:
            return w["match_revision"]
    cookie = w["cookie_revision"]
    if cookie == NONE:
        return _draw_by_weight(w, slot)
    flags = user_flags(w, a["user"])
    if flags["v"] & USER_STUCK and revision_row(w, cookie)["weight"] > 0.0:
        return cookie
    revision = _draw_by_weight(w, slot)
    if revision == cookie:
        flags["v"] |= USER_STUCK
    return revision


@jit
def _draw_by_weight(w, slot):  # type: ignore[no-untyped-def]
    a = attempt(w, slot)
    if w["sticky"]:
        u = unit(raw(w["k_revision"], _STICKY_USER + np.int64(a["user"]), _ONLY))
    else:
        u = unit(raw(w["k_revision"], a["key"] >> ATTEMPT_BITS, a["key"] & ATTEMPT_MASK))
    total = 0.0
    last = _ONLY
    for r in range(w["n_revisions"]):
        weight = revision_row(w, r)["weight"]
        total += weight
        if weight > 0.0:
            last = np.int64(r)
        if u < total:
            return np.int64(r)
    return last


@inlined
def choose(w, slot):  # type: ignore[no-untyped-def]
    """Row of the pod for this attempt among its list of candidates, or NONE."""
    a = attempt(w, slot)
    number = a["proxy"] * (w["n_revisions"] + 1) + a["list"]
    of = candidates(w, number)
    n = of["n"]
    if n == 0:
        return NONE
    base = number * w["pod_room"]
    algorithm = w["algorithm"]
    if algorithm == _LEAST_REQUEST:
        return _least(w, of, base, n, np.int64(a["proxy"]) * w["pod_room"])
    if algorithm == _ROUND_ROBIN:
        index = of["cursor"] % n
        of["cursor"] += 1
        return np.int64(view(w, base + index)["v"])
    request = a["key"] >> ATTEMPT_BITS
    which = ((a["key"] & ATTEMPT_MASK) << _HOP_SHIFT) + a["hops"]
    if algorithm == _RANDOM:
        return np.int64(view(w, base + pick(raw(w["k_route"], request, which), n))["v"])
    if n == 1:
        return np.int64(view(w, base)["v"])
    i = pick(raw(w["k_route"], request, which), n)
    j = pick(raw(w["k_route2"], request, which), n - 1)
    if j >= i:
        j += 1
    one = np.int64(view(w, base + i)["v"])
    other = np.int64(view(w, base + j)["v"])
    links = a["proxy"] * w["pod_room"]
    if link(w, links + other)["in_flight"] < link(w, links + one)["in_flight"]:
        return other
    return one


@jit
def _least(w, of, base, n, links):  # type: ignore[no-untyped-def]
    """The pod with the fewest attempts in flight, looking once around from the cursor."""
    index = of["cursor"] % n
    found = NONE
    found_at = NONE
    fewest = _MANY
    for _ in range(n):
        pod = np.int64(view(w, base + index)["v"])
        load = np.int64(link(w, links + pod)["in_flight"])
        if load < fewest:
            fewest = load
            found = pod
            found_at = index
            if load == 0:  # nobody can have fewer
                break
        index += 1
        if index == n:
            index = 0
    of["cursor"] = found_at + 1
    return found


@jit
def take(w, t, stack):  # type: ignore[no-untyped-def]
    """Pop the stack of row `stack` of `links` until one connection serves or none is left.

    Returns NOTHING, ALIVE or CROSSING; pod, opening time and the cause of a crossing are in ``w["found_*"]``.
    """
    of = link(w, stack)
    while of["held"] > 0:
        number = of["top"]
        c = connection(w, number)
        of["top"] = c["next"]
        of["held"] -= 1
        c["next"] = w["free_connection"]
        w["free_connection"] = number
        w["n_connections"] -= 1
        opened = c["opened"]
        last_used = c["last_used"]
        if t - last_used >= w["client_idle_s"] or t - opened >= w["max_age_s"]:
            continue
        pod = np.int64(c["pod"])
        p = pod_row(w, pod)
        if c["epoch"] != p["epoch"]:
            continue
        closed_at = last_used + w["server_idle_s"]
        cause = _KEEP_ALIVE_RACE
        if p["conns_closed_at"] <= closed_at:  # false for NaN
            closed_at = p["conns_closed_at"]
            cause = np.int64(p["why"])
        w["found_pod"] = pod
        w["found_opened"] = opened
        if t < closed_at:
            return ALIVE
        if t - closed_at < w["close_notice_s"]:
            w["found_cause"] = cause
            return CROSSING
    return NOTHING


@jit
def put_back(w, t, slot):  # type: ignore[no-untyped-def]
    """An answered attempt's connection becomes idle, on top of its stack, if it may be kept."""
    a = attempt(w, slot)
    pod = a["pod"]
    p = pod_row(w, pod)
    if p["closing"] or not p["accepting"] or t - a["opened"] >= w["max_age_s"]:
        return
    stack = a["proxy"] * w["pod_room"]
    if not w["by_connection"]:
        stack += pod
    of = link(w, stack)
    if of["held"] >= w["pool"]:
        return
    number = w["free_connection"]
    c = connection(w, number)
    w["free_connection"] = c["next"]
    w["n_connections"] += 1
    c["opened"] = a["opened"]
    c["last_used"] = t
    c["pod"] = pod
    c["epoch"] = p["epoch"]
    c["next"] = of["top"]
    of["top"] = number
    of["held"] += 1
