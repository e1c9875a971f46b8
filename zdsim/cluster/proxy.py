"""When does a kube-proxy act on a change of endpoints?

A sync runs at once if none ran lately; otherwise it waits until `min_sync_s` after the *end* of the previous one, and
every change until it starts rides along. A sync takes time itself (it programs rules), and only its end changes where
new connections go. Each proxy keeps its own pace, so for up to a second two nodes disagree about a service.

Source: Kubernetes `pkg/proxy/runner/bounded_frequency_runner.go`, `pkg/proxy/iptables/proxier.go`,
`pkg/proxy/apis/config/v1alpha1/defaults.go`.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

MIN_SYNC_S: Final = 1.0  # iptables and nftables; 0 for ipvs
RETRY_S: Final = 30.0  # syncPeriod: a failed sync is tried again within this time


@dataclass(frozen=True, slots=True)
class Pace:
    """The limits of a `BoundedFrequencyRunner`."""

    min_sync_s: float = MIN_SYNC_S
    retry_s: float = RETRY_S


@dataclass(slots=True)
class SyncRunner:
    """When the next sync of one proxy begins.

    `asked` and `ended` report what happened; `next_at` answers. At most one sync runs at a time: while one runs,
    `next_at` is infinite.

    Attributes:
        pace: its limits.
        last_end: end of the latest sync, -inf before the first.
        wanted_at: since when a sync is wanted; inf if nothing changed since the latest sync began.
        running: a sync is under way.
    """

    pace: Pace = Pace()
    last_end: float = -inf
    wanted_at: float = inf
    running: bool = False

    def asked(self, now: float) -> None:
        """A change arrived."""
        self.wanted_at = min(self.wanted_at, now)

    @property
    def next_at(self) -> float:
        """Start of the next sync, seconds; inf while one runs or none is wanted."""
        return inf if self.running else next_sync_s(self.wanted_at, self.last_end, self.pace.min_sync_s)

    def began(self, now: float) -> None:
        """A sync starts: it will program everything that arrived up to `now`."""
        assert not self.running, f"two syncs at once at {now}"
        self.running, self.wanted_at = True, inf

    def ended(self, now: float, *, failed: bool = False) -> None:
        """The sync is over; a failed one is wanted again within `retry_s`."""
        self.running, self.last_end = False, now
        if failed:
            self.wanted_at = min(self.wanted_at, now + self.pace.retry_s)


def next_sync_s(wanted_at: float, last_end: float, min_sync_s: float = MIN_SYNC_S) -> float:
    """When a sync wanted since `wanted_at` begins, given the end of the previous one (-inf: there was none)."""
    return max(wanted_at, last_end + min_sync_s)


def programmed_at(changes: list[float], sync_s: float = 0.0, pace: Pace | None = None) -> list[float]:
    """For each change (ascending times) the end of the sync that programs it, every sync taking `sync_s` seconds.

    >>> programmed_at([0.0, 0.25, 0.5, 5.0], sync_s=0.125)
    [0.125, 1.25, 1.25, 5.125]
    """
    pace = pace or Pace()
    ends: list[float] = []
    begin = end = -inf
    for at in changes:
        if at > begin:
            begin = next_sync_s(at, end, pace.min_sync_s)
            end = begin + sync_s
        ends.append(end)
    return ends
