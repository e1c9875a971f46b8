"""Which event is next? A binary heap of (time, key), for what happens at times not known in order.

Taking the first event leaves a hole at the root; the next event pushed in the same step falls into it, which saves
most steps one of their two walks through the heap. `close_hole` does the rest at the end of a step.
"""

from zdsim.kernel.jit import inlined, jit
from zdsim.kernel.layout import event


@inlined
def before(t, key, u, other):  # type: ignore[no-untyped-def]
    """Does the event (t, key) come before (u, other)?"""
    return t < u or (t == u and key < other)


@jit
def _sink(w, n, t, key, slot):  # type: ignore[no-untyped-def]
    """Put an event in the root's place and let it sink among `n` events."""
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        c = event(w, child)
        if child + 1 < n:
            d = event(w, child + 1)
            if before(d["t"], d["key"], c["t"], c["key"]):
                child += 1
                c = d
        if not before(c["t"], c["key"], t, key):
            break
        here = event(w, i)
        here["t"] = c["t"]
        here["key"] = c["key"]
        here["slot"] = c["slot"]
        i = child
    here = event(w, i)
    here["t"] = t
    here["key"] = key
    here["slot"] = slot


@jit
def push(w, t, key, slot):  # type: ignore[no-untyped-def]
    """Add an event. There must be room for it."""
    if w["hole"] != 0:
        w["hole"] = 0
        _sink(w, w["n_events"], t, key, slot)
        return
    i = w["n_events"]
    w["n_events"] = i + 1
    while i > 0:
        up = (i - 1) >> 1
        above = event(w, up)
        if not before(t, key, above["t"], above["key"]):
            break
        here = event(w, i)
        here["t"] = above["t"]
        here["key"] = above["key"]
        here["slot"] = above["slot"]
        i = up
    here = event(w, i)
    here["t"] = t
    here["key"] = key
    here["slot"] = slot


@jit
def close_hole(w):  # type: ignore[no-untyped-def]
    """Fill the hole that the event taken has left with the last event of the heap."""
    w["hole"] = 0
    n = w["n_events"] - 1
    w["n_events"] = n
    if n > 0:
        last = event(w, n)
        _sink(w, n, last["t"], last["key"], last["slot"])
