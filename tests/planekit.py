"""How do tests talk to a request plane? Small configurations, scripts of control calls, and what came of them.

`config` builds a `PlaneConfig` from a few words; a `Script` is a list of timed calls that any `DataPlane` can be played
against, with the reactions of a small control plane to signals; `differences` compares two plays to the last bit.
`planedraws` draws both at random.
"""

import heapq
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from scipy.special import ndtri

from zdsim.plane.config import PlaneConfig, PlaneRecord
from zdsim.plane.laws import LawTable, constant, tabulate
from zdsim.plane.protocol import DataPlane, Signal, Stop
from zdsim.plane.traffic import Arrivals, Traffic, zipf_cut
from zdsim.plane.vocabulary import N_OUTCOMES, Cause, Outcome, SignalKind

ALL_RETRIABLE = np.array([outcome is not Outcome.OK for outcome in Outcome])


# --- laws and configurations ----------------------------------------------------------------------------------
def exponential(mean_s: float) -> LawTable:
    return tabulate(lambda p: -mean_s * np.log1p(-p), lambda p: -mean_s * np.log(p), mean_s)


def lognormal(mean_s: float, sigma: float) -> LawTable:
    mu = math.log(mean_s) - sigma**2 / 2
    return tabulate(lambda p: np.exp(mu + sigma * ndtri(p)), lambda p: np.exp(mu - sigma * ndtri(p)), mean_s)


def config(
    *,
    seed: int = 1,
    rate: float = 100.0,
    duration_s: float = 2.0,
    arrivals: Arrivals = Arrivals.POISSON,
    times_s: Sequence[float] | None = None,
    dispersion: float = 4.0,
    n_users: int = 20,
    shares: Sequence[float] = (1.0,),
    work: Sequence[LawTable] = (exponential(0.02),),
    query: LawTable | None = None,
    think: LawTable | None = None,
    n_revisions: int = 1,
    queries: int = 0,
    errors: float = 0.0,
    n_proxies: int = 1,
    **overrides: Any,
) -> PlaneConfig:
    """A small configuration: open traffic of `rate` for `duration_s`, or EXPLICIT at `times_s`.

    Args:
        shares, work: of the classes. `query`, `think`: laws; 10 ms and 0.25 s constant by default.
        queries, errors: of every revision and class.
        overrides: fields of `PlaneConfig`.
    """
    n_classes = len(shares)
    class_cut = np.cumsum(np.asarray(shares, dtype=np.float64))
    class_cut[-1] = 1.0
    laws = np.stack([law.q for law in [*work, query or constant(0.01), think or constant(0.25)]])
    traffic = Traffic(
        seed=seed,
        arrivals=Arrivals.EXPLICIT if times_s is not None else arrivals,
        knots_s=np.array([0.0, duration_s]),
        rates=np.array([rate, rate]),
        user_cut=zipf_cut(n_users, 1.0),
        class_cut=class_cut,
        work=laws[:n_classes],
        n_proxies=n_proxies,
        dispersion=dispersion,
        times_s=None if times_s is None else np.asarray(times_s, dtype=np.float64),
    )
    made: dict[str, Any] = {
        "seed": seed,
        "traffic": traffic,
        "horizon_s": duration_s,
        "window_s": 1.0,
        "n_windows": int(duration_s) + 20,
        "n_users": n_users,
        "service_factor": np.ones(n_revisions),
        "error_rate": np.full((n_revisions, n_classes), errors),
        "n_queries": np.full((n_revisions, n_classes), queries, dtype=np.int64),
        "exposing": np.arange(n_revisions) > 0,
        "laws": laws,
        "work_law": np.arange(n_classes),
        "query_law": np.full(n_classes, n_classes),
        "think_law": n_classes + 1,
        "class_cut": class_cut,
        "idempotent": np.ones(n_classes, dtype=np.bool_),
        "resumable": np.zeros(n_classes, dtype=np.bool_),
        "retriable": np.zeros(N_OUTCOMES, dtype=np.bool_),
        "n_proxies": n_proxies,
        "has_db": queries > 0,
        "log_requests": True,
    }
    return PlaneConfig(**(made | overrides))


# --- scripts --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Call:
    """One control call: the name of a `DataPlane` method and its arguments without the time."""

    time: float
    name: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        shown = [*map(str, self.args), *(f"{key}={value}" for key, value in self.kwargs)]
        return f"{self.time!r}: {self.name}({', '.join(shown)})"


@dataclass(frozen=True)
class Script:
    """What a control plane does, and how it reacts.

    Attributes:
        calls: in any order; equal times are played in the order of the list.
        exit_delay_s: from IDLE to the end of the network; the process ends at once.
        restart_delay_s: from MEMORY (which kills) to the next start of the process.
    """

    calls: tuple[Call, ...]
    exit_delay_s: float = 0.25
    restart_delay_s: float = 0.25


@dataclass
class PodLife:
    """What the player knows of a pod, to make only calls that a control plane would make."""

    network: bool = True
    listening: bool = False
    accepting: bool = False
    ever_hung: bool = False
    memory_requests: int = 0
    lives: list[tuple[float, float]] = field(default_factory=list)  # closed intervals in which it listened


@dataclass
class Played:
    """What came of a script."""

    record: PlaneRecord
    signals: list[Signal]
    answers: list[tuple[float, str, Any]]  # time, call, returned value
    loads: list[tuple[float, tuple[int, ...], int]]  # after each call: time, load by pod, open requests
    pods: list[PodLife]


#: Calls whose first argument is a pod, which must exist.
_OF_A_POD = frozenset(
    {
        "start_process",
        "stop_accepting",
        "set_closing",
        "end_process",
        "remove_network",
        "hang",
        "set_pod_factor",
        "mark_removed",
        "probe",
    }
)


class Player:
    """Plays a script against a plane, signals included."""

    def __init__(self, plane: DataPlane, script: Script) -> None:
        self.plane = plane
        self.script = script
        self.signals: list[Signal] = []
        self.answers: list[tuple[float, str, Any]] = []
        self.loads: list[tuple[float, tuple[int, ...], int]] = []
        self.pods: list[PodLife] = []
        self._agenda: list[tuple[float, int, Call]] = []
        self._order = itertools.count()
        for call in script.calls:
            self._plan(call)

    def play(self, until: float, cuts: Iterable[float] = ()) -> Played:
        """Up to `until`; `cuts` are further times at which `advance` returns."""
        stops = sorted({cut for cut in cuts if cut < until} | {until})
        for stop in stops:
            while True:
                due = self._agenda[0][0] if self._agenda else math.inf
                if self.plane.advance(min(due, stop)) is Stop.SIGNAL:
                    taken = self.plane.take_signals()
                    assert taken, "the plane stopped for a signal and has none"
                    assert taken[-1].time == self.plane.now
                    self._react(taken)
                elif due < stop:
                    self._call(heapq.heappop(self._agenda)[2])
                    self._react(self.plane.take_signals())
                else:
                    break
        for pod in self.pods:
            if pod.listening:
                pod.lives[-1] = (pod.lives[-1][0], until)
        return Played(self.plane.record(), self.signals, self.answers, self.loads, self.pods)

    def _plan(self, call: Call) -> None:
        heapq.heappush(self._agenda, (call.time, next(self._order), call))

    def _react(self, signals: list[Signal]) -> None:
        """What kubelet and container runtime would do."""
        self.signals += signals
        for signal in signals:
            now = signal.time
            if signal.kind is SignalKind.IDLE:
                self._exit(signal.pod, now)
            elif signal.kind is SignalKind.MEMORY:
                self._call(Call(now, "end_process", (signal.pod, Cause.OOM_KILLED)))
                memory = (("memory_requests", self.pods[signal.pod].memory_requests),)
                self._plan(Call(now + self.script.restart_delay_s, "start_process", (signal.pod,), memory))
        if signals:
            self._react(self.plane.take_signals())

    def _exit(self, row: int, now: float) -> None:
        """A drained process exits by itself; its network goes a little later."""
        self._call(Call(now, "end_process", (row, Cause.EXITED_AT_SIGTERM)))
        self._plan(Call(now + self.script.exit_delay_s, "remove_network", (row,)))

    def _call(self, call: Call) -> None:
        """Make the call, if the state of its pod allows it."""
        if not self._possible(call):
            return
        answer = self._make(call)
        self.answers.append((call.time, call.name, answer))
        loads = tuple(self.plane.load(row) for row in range(len(self.pods)))
        self.loads.append((call.time, loads, self.plane.open_requests))
        if call.name == "stop_accepting" and answer:  # nothing left: no signal will come
            self._exit(call.args[0], call.time)

    def _make(self, call: Call) -> Any:
        plane, now, args, kwargs = self.plane, call.time, call.args, dict(call.kwargs)
        match call.name:
            case "add_pod":
                self.pods.append(PodLife())
                return plane.add_pod(args[0], now)
            case "set_view":
                return plane.set_view(args[0], [row for row in args[1] if row < len(self.pods)], now)
            case "start_process":
                pod = self.pods[args[0]]
                pod.listening = pod.accepting = True
                pod.memory_requests = kwargs.get("memory_requests", 0)
                pod.lives.append((now, math.inf))
            case "stop_accepting":
                self.pods[args[0]].accepting = False
            case "end_process":
                pod = self.pods[args[0]]
                if pod.listening:
                    pod.lives[-1] = (pod.lives[-1][0], now)
                pod.listening = pod.accepting = False
                return plane.end_process(args[0], now, args[1])
            case "remove_network":
                self.pods[args[0]].network = False
            case "hang":
                self.pods[args[0]].ever_hung = True
        return getattr(plane, call.name)(*args, now, **kwargs)

    def _possible(self, call: Call) -> bool:
        if call.name not in _OF_A_POD:
            return True
        if call.args[0] >= len(self.pods):
            return False
        pod = self.pods[call.args[0]]
        match call.name:
            case "start_process":
                return pod.network and not pod.listening
            case "stop_accepting":
                return pod.accepting
            case "hang":
                return pod.listening
            case "remove_network":
                return pod.network and not pod.listening
            case _:
                return True


def play(plane: DataPlane, script: Script, until: float, cuts: Iterable[float] = ()) -> Played:
    """Play `script` against a fresh plane."""
    return Player(plane, script).play(until, cuts)


def serving(revisions: Sequence[int], config: PlaneConfig, *, time: float = 0.0) -> list[Call]:
    """Calls that make one ready pod for each of `revisions`, known to every proxy."""
    calls = [Call(time, "add_pod", (revision,)) for revision in revisions]
    calls += [Call(time, "start_process", (row,)) for row in range(len(revisions))]
    calls += [Call(time, "set_view", (proxy, tuple(range(len(revisions))))) for proxy in range(config.n_proxies)]
    return calls


# --- comparing ------------------------------------------------------------------------------------------------
def differences(one: Played, other: Played, *, loads: bool = True) -> list[str]:
    """Where two plays differ, to the last bit; the number of events played does not count."""
    found = []
    for name in ("signals", "answers", *(("loads",) if loads else ())):
        a, b = getattr(one, name), getattr(other, name)
        if a != b:
            i = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
            found.append(f"{name}[{i}]: {a[i : i + 1]} / {b[i : i + 1]}")
    for it in fields(PlaneRecord):
        a, b = getattr(one.record, it.name), getattr(other.record, it.name)
        if it.name == "events" or _same(a, b):
            continue
        found.append(f"record.{it.name}: {_first_difference(a, b)}")
    return found


def _same(a: Any, b: Any) -> bool:
    if not isinstance(a, np.ndarray):
        return bool(a == b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == _nan_like(a, b).tobytes()


def _nan_like(a: Any, b: Any) -> Any:
    """`b` with its NaNs spelled as those of `a`."""
    if a.dtype.names is not None:
        out = b.copy()
        for name in a.dtype.names:
            out[name] = _nan_like(a[name], b[name])
        return out
    if a.dtype.kind != "f":
        return b
    return np.where(np.isnan(a) & np.isnan(b), a, b)


def _first_difference(a: Any, b: Any) -> str:
    if not isinstance(a, np.ndarray):
        return f"{a!r} / {b!r}"
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{a.dtype} {a.shape} / {b.dtype} {b.shape}: {a[:8]} / {b[:8]}"
    if a.ndim == 1:
        i = next(i for i in range(a.size) if not _same(a[i : i + 1], b[i : i + 1]))
        return f"[{i}]: {a[i]} / {b[i]}"
    where = np.argwhere(a != b)[:3]
    return ", ".join(f"{tuple(map(int, i))}: {a[tuple(i)]} / {b[tuple(i)]}" for i in where)
