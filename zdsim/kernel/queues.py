"""Who waits behind whom? First in, first out, in chains through the attempts' rows; and where rows come from.

An attempt stands in at most one queue: a pod's workers, a pod's connections, the database's slots, or the line of
those that were woken and have yet to act (MODEL.md 2).
"""

import numpy as np

from zdsim.kernel.jit import inlined, jit
from zdsim.kernel.layout import FIRST_POD_QUEUE, LINE, NONE, State, attempt, queue, signal_row
from zdsim.kernel.timers import disarm

_FREE = np.int64(State.FREE)


@inlined
def worker_queue(pod):  # type: ignore[no-untyped-def]
    """Number of the queue for a pod's workers."""
    return FIRST_POD_QUEUE + 2 * pod


@inlined
def pool_queue(pod):  # type: ignore[no-untyped-def]
    """Number of the queue for a pod's database connections."""
    return FIRST_POD_QUEUE + 2 * pod + 1


@inlined
def enqueue(w, number, slot):  # type: ignore[no-untyped-def]
    """To the end of a queue."""
    of = queue(w, number)
    a = attempt(w, slot)
    last = of["tail"]
    a["prev"] = last
    a["next"] = NONE
    if last == NONE:
        of["head"] = slot
    else:
        attempt(w, last)["next"] = slot
    of["tail"] = slot
    of["n"] += 1


@inlined
def leave(w, number, slot):  # type: ignore[no-untyped-def]
    """Out of a queue, from anywhere in it."""
    of = queue(w, number)
    a = attempt(w, slot)
    before, after = a["prev"], a["next"]
    if before == NONE:
        of["head"] = after
    else:
        attempt(w, before)["next"] = after
    if after == NONE:
        of["tail"] = before
    else:
        attempt(w, after)["prev"] = before
    of["n"] -= 1


@jit
def first(w, number):  # type: ignore[no-untyped-def]
    """Take the first of a queue that is not empty."""
    slot = queue(w, number)["head"]
    leave(w, number, slot)
    return slot


@jit
def wake(w, slot, state):  # type: ignore[no-untyped-def]
    """Something was given to an attempt: it acts when it reaches the head of the line."""
    attempt(w, slot)["state"] = state
    enqueue(w, LINE, slot)


@inlined
def take_row(w):  # type: ignore[no-untyped-def]
    """A free attempt's row; there must be one."""
    slot = w["free"]
    w["free"] = attempt(w, slot)["next"]
    w["n_live"] += 1
    return slot


@inlined
def free_row(w, slot):  # type: ignore[no-untyped-def]
    """The attempt is over, on both sides. It stands in no queue."""
    disarm(w, 2 * slot)
    disarm(w, 2 * slot + 1)
    a = attempt(w, slot)
    a["key"] = NONE
    a["state"] = _FREE
    a["next"] = w["free"]
    w["free"] = slot
    w["n_live"] -= 1


@jit
def raise_signal(w, t, kind, pod, ref, ok):  # type: ignore[no-untyped-def]
    """Tell the control plane."""
    row = signal_row(w, w["n_signals"])
    row["t"] = t
    row["kind"] = kind
    row["pod"] = pod
    row["ref"] = ref
    row["ok"] = ok
    w["n_signals"] += 1
