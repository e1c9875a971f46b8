"""How does a controller pace itself: which object next, how many calls a second, when again after a failure?

The work queue of client-go (one sync per object at a time, changes meanwhile coalesce into one more), its token bucket
per controller, and its event recorder, whose calls draw on the same bucket.

Source: client-go util/workqueue (queue.go, delaying_queue.go, default_rate_limiters.go), util/flowcontrol/throttle.go,
tools/record (event.go, events_cache.go: spam filter of 25 events an object, one more each 300 s).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final

from simpy.events import Event, Timeout

from zdsim.cluster.api import ConflictError, ForbiddenError, GoneError
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.latency import Law

__all__ = ["Client", "ClientLimits", "Process", "TokenBucket", "WorkQueue"]

Process = Generator[Event, Any, None]

RETRY_BASE_S: Final = 0.005  # first retry after a failed sync; doubles each time
RETRY_CAP_S: Final = 1000.0
MAX_RETRIES: Final = 15
EVENT_BURST: Final = 25  # events about one object before the recorder drops them
EVENT_REFILL_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Calls a second and burst of one controller's client; the defaults are kube-controller-manager's."""

    qps: float = 20.0
    burst: int = 30


@dataclass(slots=True)
class TokenBucket:
    """golang.org/x/time/rate's limiter: callers are served in the order in which they ask."""

    limits: ClientLimits
    tokens: float = field(init=False)
    _filled_s: float = field(init=False, default=float("-inf"))  # full at first

    def __post_init__(self) -> None:
        self.tokens = float(self.limits.burst)

    def reserve(self, now: float) -> float:
        """Take one token; returns the seconds to wait for it."""
        self._refill(now)
        self.tokens -= 1.0
        return max(0.0, -self.tokens / self.limits.qps)

    def take(self, now: float) -> bool:
        """Take one token if there is one now."""
        self._refill(now)
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def _refill(self, now: float) -> None:
        if self._filled_s is not None:
            self.tokens = min(self.tokens + (now - self._filled_s) * self.limits.qps, float(self.limits.burst))
        self._filled_s = now


class Client:
    """One component's way to the API server: throttled, with a latency per call."""

    def __init__(self, clock: SharedClock, who: str, *, write_delay: Law, limits: ClientLimits) -> None:
        self.clock = clock
        self.who = who
        self._write_delay = write_delay
        self.bucket = TokenBucket(limits)
        self._calls: dict[str, int] = {}  # by stream
        self._spam: dict[str, TokenBucket] = {}  # by object
        self._events: deque[str] = deque()
        self._recording = False

    def wait(self, about: str) -> float:
        """Seconds until a call about this object, sent now, is stored and answered. Takes a token."""
        return self.bucket.reserve(self.clock.now) + self._latency(about)

    def call(self, about: str) -> Timeout:
        """Send a call about this object: do the change when this event has come."""
        return self.clock.timeout(self.wait(about))

    def record_event(self, about: str) -> None:
        """Write a Kubernetes Event about this object, some time: it costs a call of this client."""
        self._events.append(about)
        if not self._recording:
            self._recording = True
            self.clock.process(self._record())

    def _record(self) -> Process:
        while self._events:
            about = self._events.popleft()
            spam = self._spam.setdefault(about, TokenBucket(ClientLimits(1.0 / EVENT_REFILL_S, EVENT_BURST)))
            if spam.take(self.clock.now):
                yield self.call(f"{about}/event")
        self._recording = False

    def _latency(self, about: str) -> float:
        stream = f"write/{self.who}/{about}"
        number = self._calls.get(stream, 0)
        self._calls[stream] = number + 1
        return self._write_delay(stream, number)


class WorkQueue:
    """Runs `sync(key)` as a SimPy process: at most one at a time for a key, `workers` at a time in all.

    A sync that ends in an API error is tried again after 5 ms, 10 ms, ..., `max_retries` times (None: for ever).
    """

    def __init__(
        self,
        clock: SharedClock,
        sync: Callable[[str], Process],
        *,
        workers: int = 5,
        max_retries: int | None = MAX_RETRIES,
    ) -> None:
        self._clock = clock
        self._sync = sync
        self._free = workers
        self._max_retries = max_retries
        self._waiting: deque[str] = deque()
        self._dirty: set[str] = set()
        self._processing: set[str] = set()
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def add(self, key: str) -> None:
        """Sync this key soon; if it is being synced, once more afterwards."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._waiting.append(key)
            self._start()

    def add_after(self, key: str, delay: float) -> None:
        """Add `key` in `delay` seconds, unless an earlier time is planned already."""
        if delay <= 0.0:
            self.add(key)
            return
        due = self._clock.now + delay
        if self._due.get(key, due + 1.0) <= due:
            return
        self._due[key] = due
        self._clock.call_at(due, lambda: self._fall_due(key, due))

    def add_rate_limited(self, key: str) -> None:
        """Add `key` after its back-off: 5 ms, doubling with each failure."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(RETRY_BASE_S * 2.0**failures, RETRY_CAP_S))

    def _fall_due(self, key: str, due: float) -> None:
        if self._due.get(key) == due:
            del self._due[key]
            self.add(key)

    def _start(self) -> None:
        while self._free > 0 and self._waiting:
            key = self._waiting.popleft()
            self._free -= 1
            self._dirty.discard(key)
            self._processing.add(key)
            self._clock.process(self._work(key))

    def _work(self, key: str) -> Process:
        try:
            yield from self._sync(key)
        except (ConflictError, ForbiddenError, GoneError):
            if self._max_retries is None or self._failures.get(key, 0) < self._max_retries:
                self.add_rate_limited(key)
            else:
                self._failures.pop(key, None)
        else:
            self._failures.pop(key, None)
        self._free += 1
        self._processing.discard(key)
        if key in self._dirty:
            self._waiting.append(key)
        self._start()
