"""When may a container that ended be started again?

CrashLoopBackOff is a table of entries (`BackOff`), a check at every pod sync (`do_back_off`), a wake-up rule for the
pod that must wait (`wake_after_s`) and a sweep by the kubelet's housekeeping (`BackOff.sweep`). The surprises all come
from these four parts: the check looks at the *latest exited instance in the snapshot taken before the sync*, so a
container that the same sync has just killed is judged by its predecessor; and the sweep forgets an entry 600 s after
its last change even while a container waits on it.

Source: Kubernetes `pkg/kubelet/kuberuntime/kuberuntime_manager.go` (`doBackOff`), client-go
`util/flowcontrol/backoff.go`, `pkg/kubelet/pod_workers.go` (`completeWork`), `kubelet.go` (`HandlePodCleanups`).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, assert_never

INITIAL_S: Final = 10.0
CAP_S: Final = 300.0
FORGET_CAPS: Final = 2.0  # an entry is forgotten this many caps after its last change: 600 s

WAKE_S: Final = 10.0  # pod re-sync after an error, times U[1, 1.5)
WAKE_CAP_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """First delay and cap, seconds."""

    initial_s: float = INITIAL_S
    cap_s: float = CAP_S


def crash_loop_limits(max_restart_period_s: float | None = None, *, reduced_decay: bool = False) -> Limits:
    """Limits under `crashLoopBackOff.maxContainerRestartPeriod` and the gate ReduceDefaultCrashLoopBackOffDecay.

    Raises:
        ValueError: the period is outside 1 to 300 s.
    """
    if max_restart_period_s is not None and not 1.0 <= max_restart_period_s <= CAP_S:
        raise ValueError(f"maxContainerRestartPeriod must be 1 to 300 s; got {max_restart_period_s:g}")
    initial_s, cap_s = (1.0, 60.0) if reduced_decay else (INITIAL_S, CAP_S)
    if max_restart_period_s is not None:
        cap_s = max_restart_period_s
    return Limits(min(initial_s, cap_s), cap_s)


@dataclass(slots=True)
class Entry:
    """One container's back-off: how long, and when that was decided."""

    backoff_s: float
    last_update: float


@dataclass(slots=True)
class BackOff:
    """client-go's `flowcontrol.Backoff`: entries by key (pod, container, image, resources)."""

    limits: Limits = Limits()
    entries: dict[Hashable, Entry] = field(default_factory=dict)

    def get_s(self, key: Hashable) -> float:
        """The current delay of `key`, 0 without an entry (`Get`)."""
        entry = self.entries.get(key)
        return entry.backoff_s if entry else 0.0

    def next(self, key: Hashable, event_time: float, now: float) -> float:
        """Make or double the entry of `key` because of an event at `event_time`; the new delay (`Next`)."""
        entry = self.entries.get(key)
        if entry is None or self._expired(event_time, entry):
            entry = self.entries[key] = Entry(self.limits.initial_s, now)
        else:
            entry.backoff_s = min(entry.backoff_s * 2.0, self.limits.cap_s)
            entry.last_update = now
        return entry.backoff_s

    def remaining_s(self, key: Hashable, event_time: float, now: float) -> float:
        """Seconds until `key` may go on after an event at `event_time`; 0 if it may now (`IsInBackOffSince`)."""
        entry = self.entries.get(key)
        if entry is None or self._expired(event_time, entry):
            return 0.0
        return max(0.0, entry.backoff_s - (now - event_time))

    def sweep(self, now: float) -> None:
        """Forget entries unchanged for twice the cap (`GC`); housekeeping calls this every 2 s."""
        keep_s = FORGET_CAPS * self.limits.cap_s
        self.entries = {key: entry for key, entry in self.entries.items() if now - entry.last_update <= keep_s}

    def _expired(self, event_time: float, entry: Entry) -> bool:
        return event_time - entry.last_update > FORGET_CAPS * self.limits.cap_s


def do_back_off(backoff: BackOff, key: Hashable, finished_at: float | None, now: float) -> float:
    """Seconds a container still has to wait at this sync; 0 = start it now, and remember that.

    Args:
        finished_at: end of the latest exited instance in the snapshot taken at the beginning of the sync; None if the
            snapshot shows none (first start, or the first instance was killed by this very sync): no entry is made.
    """
    if finished_at is None:
        return 0.0
    wait_s = backoff.remaining_s(key, finished_at, now)
    if wait_s > 0.0:
        return wait_s
    backoff.next(key, finished_at, now)
    return 0.0


class Wake(Enum):
    """When a kubelet looks again at a pod that waits in back-off."""

    PERIODIC = "periodic"  # every 10 s x U[1, 1.5): 1.34 and before, as recorded
    REMAINING = "remaining"  # after min(remaining, 60 s) x U[1, 1.5): 1.36


def wake_after_s(rule: Wake, remaining_s: float, u: float) -> float:
    """Seconds until the next look, before the work queue rounds it up to its 1 s poll.

    Args:
        u: uniform in [0, 1).
    """
    match rule:
        case Wake.PERIODIC:
            return WAKE_S * (1.0 + 0.5 * u)
        case Wake.REMAINING:
            return min(remaining_s, WAKE_CAP_S) * (1.0 + 0.5 * u)
        case _:
            assert_never(rule)


# --- what to expect of a container that ends by itself --------------------------------------------------------------


def restart_delays_s(n: int, limits: Limits | None = None) -> list[float]:
    """Least delay of each of the first `n` restarts of a container that soon ends by itself again.

    >>> restart_delays_s(8)
    [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]
    """
    return crash_loop_delays_s([0.0] * n, limits)


def crash_loop_delays_s(runs_s: Sequence[float], limits: Limits | None = None) -> list[float]:
    """Delay of the restart after each run, for a container that ends by itself after `runs_s[k]` seconds.

    An ideal kubelet looks at once at every end, at the end of every back-off and at every sweep. Long runs let the
    entry expire; a wait that outlives the entry is cut short by the sweep.
    """
    backoff, now, delays = BackOff(limits or Limits()), 0.0, []
    for run_s in runs_s:
        ended = now + run_s
        backoff.sweep(ended)
        entry = backoff.entries.get(0)
        wait_s = do_back_off(backoff, 0, ended, ended)
        if wait_s > 0.0:
            assert entry is not None
            forgotten = entry.last_update + FORGET_CAPS * backoff.limits.cap_s
            if forgotten < ended + wait_s:
                backoff.entries.clear()
                wait_s = forgotten - ended
            do_back_off(backoff, 0, ended, ended + wait_s)
        now = ended + wait_s
        delays.append(wait_s)
    return delays
