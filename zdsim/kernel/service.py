"""What happens at a pod's workers? Start, answer, release (MODEL.md 5)."""

import numpy as np

from zdsim.kernel.client import client_end, warm, window_row
from zdsim.kernel.heap import push
from zdsim.kernel.jit import inlined, jit
from zdsim.kernel.layout import PROBE_KEY, RANK_SHIFT, State, attempt, codes, pod_row, queue, revision_row, service_sum
from zdsim.kernel.queues import first, free_row, raise_signal, wake, worker_queue
from zdsim.plane.vocabulary import ProbeDepth, Rank, SignalKind

_SERVICE_END = np.int64(Rank.SERVICE_END) << RANK_SHIFT
_SERVICE, _WOKEN_START = codes(State.SERVICE, State.WOKEN_START)
_IDLE, _YES = codes(SignalKind.IDLE, 1)
_DEPENDENCIES, _WARM = codes(ProbeDepth.DEPENDENCIES, ProbeDepth.WARM)


@inlined
def start_service(w, t, slot):  # type: ignore[no-untyped-def]
    """The worker begins; how long it takes is settled now."""
    a = attempt(w, slot)
    pod = a["pod"]
    p = pod_row(w, pod)
    probe = a["key"] >= PROBE_KEY
    work = w["probe_work_s"] if probe else a["work"]
    wall = ((work * revision_row(w, p["revision"])["factor"]) * warm(w, t, pod)) * p["factor"]
    if not probe:
        service_sum(w, window_row(w, t, p["revision"]))["v"] += wall
    a["state"] = _SERVICE
    a["begun"] = t
    a["end"] = t + wall
    push(w, t + wall, _SERVICE_END | a["key"], slot)


@jit
def test_idle(w, t, pod):  # type: ignore[no-untyped-def]
    """A draining process that has answered everything says so."""
    p = pod_row(w, pod)
    if not p["accepting"] and p["listening"] and p["busy"] == 0 and queue(w, worker_queue(pod))["n"] == 0:
        raise_signal(w, t, _IDLE, pod, pod, _YES)


@jit
def release(w, t, pod):  # type: ignore[no-untyped-def]
    """A worker is free: for the next in the queue."""
    p = pod_row(w, pod)
    waiting = worker_queue(pod)
    if queue(w, waiting)["n"] > 0:
        wake(w, first(w, waiting), _WOKEN_START)
    else:
        p["busy"] -= 1
        test_idle(w, t, pod)


@jit
def respond(w, t, slot, outcome, cause):  # type: ignore[no-untyped-def]
    """The process answers, whether somebody still listens or not; its worker is free."""
    a = attempt(w, slot)
    pod = a["pod"]
    if a["waits"]:
        client_end(w, t, slot, outcome, cause)
    free_row(w, slot)
    release(w, t, pod)


@jit
def probe_answer(w, t, pod, depth):  # type: ignore[no-untyped-def]
    """Whether a process that answers at all answers yes."""
    if depth == _DEPENDENCIES:
        return not (w["has_db"] and not w["db_up"])
    if depth == _WARM:
        return t - pod_row(w, pod)["since"] >= w["warm_age_s"]
    return True
