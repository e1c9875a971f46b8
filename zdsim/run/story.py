"""What is kept of a run while it plays: pods, sizes, stages and events?

Listens and never acts. Times are those at which things happened, not those at which controllers heard of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zdsim.cluster.api import ChangeKind, DeploymentState, PodChange
from zdsim.cluster.journal import Entry, EntryKind, Journal
from zdsim.record import Event, EventKind, PodLife, RolloutFacts, Span
from zdsim.rollout.progress import deployment_complete

RECORDER: Final = "record"  # watches the API without delay

_KINDS: Mapping[EntryKind, EventKind] = {
    EntryKind.ACTION: EventKind.RELEASE,
    EntryKind.ROLLOUT_STEP: EventKind.ROLLOUT,
    EntryKind.CONDITION: EventKind.CONDITION,
    EntryKind.POD: EventKind.POD,
    EntryKind.CONTAINER_STARTED: EventKind.CONTAINER,
    EntryKind.CONTAINER_ENDED: EventKind.CONTAINER,
    EntryKind.PROBE: EventKind.POD,
    EntryKind.ENDPOINTS: EventKind.POD,
    EntryKind.FAULT: EventKind.FAULT,
    EntryKind.DATABASE: EventKind.FAULT,
    EntryKind.ANALYSIS: EventKind.ALERT,
    EntryKind.ALERT: EventKind.ALERT,
    EntryKind.ROLLBACK: EventKind.ROLLBACK,
    EntryKind.WARNING: EventKind.CONDITION,
}


@dataclass(slots=True)
class _Life:
    """One pod so far."""

    name: str
    row: int
    revision: int
    created_s: float
    ready: list[Span] = field(default_factory=list)
    ready_since: float | None = None
    deleted_s: float | None = None
    gone_s: float | None = None
    restarts: int = 0


class Story:
    """Keeps what a `RunRecord` needs."""

    def __init__(self) -> None:
        self._lives: dict[str, _Life] = {}
        self._listening: dict[str, list[Span]] = {}  # by pod
        self._listening_since: dict[str, float] = {}
        self._max_pods: list[tuple[float, int]] = []  # (time, pods that exist)
        self._available: list[tuple[float, int]] = []  # (time, available in the Deployment's status)
        self._complete: list[tuple[float, str]] = []  # (time, template) of each completed rollout
        self._pods_now = 0
        self._restarts: list[tuple[float, int]] = []  # (time, revision)

    # --- listeners --------------------------------------------------------------------------------------------

    def noted(self, entry: Entry) -> None:
        """The journal was written to: a process began to listen, or ended."""
        if entry.kind is EntryKind.CONTAINER_STARTED and entry.reason == "started" and entry.data.get("instance"):
            self._restarts.append((entry.time, self._lives[entry.subject].revision))
        if entry.kind is EntryKind.CONTAINER_STARTED and entry.reason == "listening":
            self._listening_since[entry.subject] = entry.time
        elif entry.kind is EntryKind.CONTAINER_ENDED:
            since = self._listening_since.pop(entry.subject, None)
            if since is not None:
                self._listening.setdefault(entry.subject, []).append((since, entry.time))

    def pod_changed(self, change: PodChange) -> None:
        """A pod object changed."""
        pod, state, now = change.obj, change.state, change.time
        if change.kind is ChangeKind.ADDED:
            self._lives[pod.name] = _Life(pod.name, -1, pod.revision, now)
            self._count(now, +1)
        life = self._lives[pod.name]
        life.row = -1 if pod.plane_row is None else pod.plane_row
        life.restarts = max(life.restarts, state.restarts)
        if state.deletion_s is not None and life.deleted_s is None:
            life.deleted_s = state.deletion_s
        chosen = state.ready and state.deletion_s is None and change.kind is not ChangeKind.DELETED
        if chosen and life.ready_since is None:
            life.ready_since = now
        elif not chosen and life.ready_since is not None:
            life.ready.append((life.ready_since, now))
            life.ready_since = None
        if change.kind is ChangeKind.DELETED:
            life.gone_s = now
            self._count(now, -1)

    def available(self, now: float, n: int) -> None:
        """The controller's status says so many available pods."""
        self._available.append((now, n))

    def completed(self, now: float, template: str) -> None:
        """A rollout of `template` is complete."""
        self._complete.append((now, template))

    def _count(self, now: float, step: int) -> None:
        self._pods_now += step
        self._max_pods.append((now, self._pods_now))

    def restarts(self, windows: int, window_s: float, n_revisions: int) -> NDArray[np.int64]:
        """Containers started again, by window and revision, shape (windows, n_revisions)."""
        found = np.zeros((windows, n_revisions), dtype=np.int64)
        for at_s, revision in self._restarts:
            window = int(at_s / window_s)
            if 0 <= window < windows:
                found[window, revision] += 1
        return found

    def revision_of(self, pod: str) -> int:
        """Index of the revision of a pod, also of one that is gone."""
        return self._lives[pod].revision

    # --- what is left of it -----------------------------------------------------------------------------------

    def completed_after(self, at_s: float, template: str) -> float | None:
        """When a rollout of `template` was first complete at or after `at_s`."""
        return next((t for t, name in self._complete if t >= at_s and name == template), None)

    def rollout(self, start_s: float | None, end_s: float | None, outcome: str, run_end_s: float) -> RolloutFacts:
        """The facts of a rollout from `start_s` to `end_s`."""
        if start_s is None:
            return RolloutFacts(None, None, "none", None, None)
        until = run_end_s if end_s is None else end_s
        available = _within(self._available, start_s, until)
        pods = _within(self._max_pods, start_s, until)
        return RolloutFacts(
            start_s=start_s,
            end_s=end_s,
            outcome=outcome,
            min_available=min(available, default=None),
            max_pods=max(pods, default=None),
        )

    def pods(self, run_end_s: float) -> tuple[PodLife, ...]:
        """All pods in order of creation; what still lasts ends with the run."""
        lives = []
        for life in self._lives.values():
            ready = list(life.ready)
            if life.ready_since is not None and life.ready_since < run_end_s:
                ready.append((life.ready_since, run_end_s))
            listening = list(self._listening.get(life.name, ()))
            if life.name in self._listening_since:
                listening.append((self._listening_since[life.name], run_end_s))
            lives.append(
                PodLife(
                    name=life.name,
                    row=life.row,
                    revision=life.revision,
                    created_s=life.created_s,
                    listening=_cut(listening, run_end_s),
                    ready=_cut(ready, run_end_s),
                    deleted_s=life.deleted_s,
                    gone_s=life.gone_s,
                    restarts=life.restarts,
                )
            )
        return tuple(lives)


def events_of(journal: Journal, pods: Mapping[str, str]) -> tuple[Event, ...]:
    """The journal from time 0 on, as events. `pods`: what stands before a subject's name ("pod/web-v1-3")."""
    return tuple(_event(entry, pods) for entry in journal if entry.time >= 0.0)


def is_complete(state: DeploymentState) -> bool:
    """The rollout of the current template is complete, as the controller sees it."""
    return deployment_complete(state.status, replicas=state.spec.replicas, generation=state.generation)


def _event(entry: Entry, subjects: Mapping[str, str]) -> Event:
    data = dict(entry.data)
    subject = subjects.get(entry.subject, entry.subject)
    return Event(entry.time, _KINDS[entry.kind], subject, _camel(entry), entry.message or _sentence(entry), data)


def _camel(entry: Entry) -> str:
    """The reason as one CamelCase word."""
    prefix = {
        EntryKind.CONTAINER_STARTED: "container_",
        EntryKind.CONTAINER_ENDED: "container_",
        EntryKind.PROBE: "probe_",
    }
    word = prefix.get(entry.kind, "") + entry.reason
    if entry.kind is EntryKind.ENDPOINTS:
        word = "endpoint_gone" if entry.reason == "gone" else "endpoint_changed"
    return "".join(part[:1].upper() + part[1:] for part in word.replace("-", "_").split("_"))


def _sentence(entry: Entry) -> str:
    """A sentence for entries whose writers gave none."""
    data = entry.data
    if entry.kind is EntryKind.CONTAINER_STARTED:
        what = "process listens" if entry.reason == "listening" else "container started"
        return f"{what} (instance {data.get('instance', 0)})"
    if entry.kind is EntryKind.CONTAINER_ENDED:
        cut = data.get("cut_off")
        lost = f", {cut} requests cut off" if cut else ""
        return f"container {entry.reason.replace('_', ' ')}, exit code {data.get('exit_code')}{lost}"
    if entry.kind is EntryKind.PROBE:
        return f"{data.get('probe')} probe: {entry.reason}"
    if entry.kind is EntryKind.ENDPOINTS:
        states = {"r": "ready", "s": "serving", "t": "terminating"}
        on = [word for letter, word in states.items() if letter in entry.reason and entry.reason != "gone"]
        return "endpoint removed" if entry.reason == "gone" else f"endpoint: {', '.join(on) or 'not ready'}"
    return entry.reason


def _within(steps: list[tuple[float, int]], start_s: float, end_s: float) -> list[int]:
    """Values of a step function that hold at some time in [start_s, end_s]."""
    before = [value for t, value in steps if t <= start_s][-1:]
    return before + [value for t, value in steps if start_s < t <= end_s]


def _cut(spans: list[Span], end_s: float) -> tuple[Span, ...]:
    return tuple((a, min(b, end_s)) for a, b in spans if a < end_s)
