"""Whose patience ends next? Timeouts with a constant delay, in chains that are in order by construction.

Deadlines of one kind are made in the order in which they fall due, so a chain (newest at its tail) needs no heap;
equal deadlines are put in order of their attempts by a few steps backwards. Most are cancelled: a cancelled one
leaves its chain at once. ``w["timer_t"]`` is never later than the earliest deadline, and usually much earlier: the
engine looks at the chains only when that time is reached.
"""

import numpy as np

from zdsim.kernel.jit import inlined, jit
from zdsim.kernel.layout import INF, NONE, attempt, chain, timer
from zdsim.plane.vocabulary import Rank

_POOL = np.int64(Rank.POOL_TIMEOUT)
_REQUEST = np.int64(Rank.REQUEST_TIMEOUT)


@jit
def arm(w, rank, row, t):  # type: ignore[no-untyped-def]
    """Timer `row` rings at `t` (never if infinite)."""
    if t == INF:
        return
    me = timer(w, row)
    of = chain(w, rank)
    key = attempt(w, row >> 1)["key"]
    after = of["tail"]
    while after != NONE:
        other = timer(w, after)
        if other["t"] < t or (other["t"] == t and attempt(w, after >> 1)["key"] < key):
            break
        after = other["prev"]
    me["t"] = t
    me["list"] = rank
    me["prev"] = after
    if after == NONE:
        following = of["head"]
        of["head"] = row
    else:
        following = timer(w, after)["next"]
        timer(w, after)["next"] = row
    me["next"] = following
    if following == NONE:
        of["tail"] = row
    else:
        timer(w, following)["prev"] = row
    if t < w["timer_t"]:
        w["timer_t"] = t


@inlined
def disarm(w, row):  # type: ignore[no-untyped-def]
    """Timer `row` does not ring (nothing to do if it was not armed)."""
    me = timer(w, row)
    rank = me["list"]
    if rank != NONE:
        me["list"] = NONE
        a = me["prev"]
        b = me["next"]
        if a == NONE:
            chain(w, rank)["head"] = b
        else:
            timer(w, a)["next"] = b
        if b == NONE:
            chain(w, rank)["tail"] = a
        else:
            timer(w, b)["prev"] = a


@jit
def earliest(w):  # type: ignore[no-untyped-def]
    """Rank of the timer that rings first, or NONE; its time is in ``w["timer_t"]``."""
    t = INF
    found = NONE
    for rank in range(_POOL, _REQUEST + 1):
        head = chain(w, rank)["head"]
        if head != NONE and timer(w, head)["t"] < t:
            t = timer(w, head)["t"]
            found = np.int64(rank)
    w["timer_t"] = t
    return found
