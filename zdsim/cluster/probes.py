"""What does one tick of a kubelet probe worker do?

A worker asks one question (`ProbeKind`) of one container, for the whole life of the pod. A tick has two halves, because
the answer may take a while: `begin_tick` looks at what the kubelet last wrote about the container and says whether to
probe; `end_tick` counts the answer. Both are pure. The kubelet acts on `Tick.update`, a change of the cached result.

Source: Kubernetes `pkg/kubelet/prober/worker.go` (`worker.doProbe`), `pkg/kubelet/prober/results/results_manager.go`,
`pkg/apis/core/v1/defaults.go` (`SetDefaults_Probe`), `pkg/apis/core/validation/validation.go` (`validateProbe`).
"""

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never


class ProbeKind(Enum):
    """Which question: send it traffic? restart it? has it started?"""

    READINESS = "readiness"
    LIVENESS = "liveness"
    STARTUP = "startup"


class Result(Enum):
    """A cached probe result (`results.Result`)."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"


class Call(Enum):
    """How one probe call ended."""

    SUCCESS = "success"
    FAILURE = "failure"  # refused, timed out, status of 400 or more
    ERROR = "error"  # the prober itself could not run: the tick counts for nothing


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """A probe of a pod spec, with the defaults of `SetDefaults_Probe`. Whole seconds in a real manifest."""

    initial_delay_s: float = 0.0
    period_s: float = 10.0
    timeout_s: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3
    grace_s: float | None = None  # terminationGracePeriodSeconds of a liveness or startup probe

    def problems(self, kind: ProbeKind) -> list[str]:
        """Every reason why the API server would refuse this probe; empty when there is none."""
        found = []
        for name, value in (
            ("initialDelaySeconds", self.initial_delay_s),
            ("periodSeconds", self.period_s),
            ("timeoutSeconds", self.timeout_s),
            ("successThreshold", self.success_threshold),
            ("failureThreshold", self.failure_threshold),
        ):
            lowest = 0 if name == "initialDelaySeconds" else 1
            if not value >= lowest:
                found.append(f"{name} must be {lowest} or more; got {value:g}")
        if kind is not ProbeKind.READINESS and self.success_threshold != 1:
            found.append(f"successThreshold of a {kind.value} probe must be 1; got {self.success_threshold}")
        if self.grace_s is not None:
            if kind is ProbeKind.READINESS:
                found.append("terminationGracePeriodSeconds is not allowed on a readiness probe")
            elif not self.grace_s >= 1:
                found.append(f"terminationGracePeriodSeconds must be 1 or more; got {self.grace_s:g}")
        return found


def initial_value(kind: ProbeKind) -> Result:
    """What counts as the answer of a new container until the first verdict."""
    match kind:
        case ProbeKind.READINESS:
            return Result.FAILURE
        case ProbeKind.LIVENESS:
            return Result.SUCCESS
        case ProbeKind.STARTUP:
            return Result.UNKNOWN
        case _:
            assert_never(kind)


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What a probe worker remembers between ticks.

    Attributes:
        container: id of the container instance the worker knows, None before the first.
        cache: the verdict the rest of the kubelet sees for that instance.
        hold: a failed liveness probe or a decided startup probe rests until the next instance.
        last: result of the latest call.
        run: how many calls in a row ended like that. Not reset by a restart, except through `hold`.
    """

    container: int | str | None = None
    cache: Result | None = None
    hold: bool = False
    last: Result | None = None
    run: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """The container as the kubelet last wrote it into the pod's status; lags behind the process by up to a relist.

    Attributes:
        container: id of the latest instance, None before the first was created.
        running: that instance is running.
        started_at: when it started, seconds.
        started: it has no startup probe, or passed it.
        deleting: the pod has a deletion timestamp.
        terminal: the pod's phase is Succeeded or Failed.
        will_restart: the restart policy allows another instance.
    """

    container: int | str | None
    running: bool
    started_at: float = 0.0
    started: bool = True
    deleting: bool = False
    terminal: bool = False
    will_restart: bool = True


@dataclass(frozen=True, slots=True)
class Tick:
    """Outcome of half a tick.

    Attributes:
        state: the worker afterwards.
        probe: make a call now, and give its result to `end_tick`.
        updates: changes of the cached result, in order; the kubelet acts on each.
        ends: the worker is done for good.
    """

    state: WorkerState
    probe: bool = False
    updates: tuple[Result, ...] = ()
    ends: bool = False


def whole_seconds_since(started_at: float, now: float) -> int:
    """Age of a container as the worker sees it: start times are kept in whole seconds, so up to 1 s too old."""
    return math.floor(now - math.floor(started_at))


def begin_tick(kind: ProbeKind, spec: ProbeSpec, state: WorkerState, seen: Seen, now: float) -> Tick:
    """First half of `worker.doProbe`: everything before the call.

    Args:
        now: seconds on the clock of `seen.started_at`.
    """
    if seen.terminal:
        return Tick(state, ends=True)
    if seen.container is None:
        return Tick(state)
    updates: tuple[Result, ...] = ()
    if seen.container != state.container:
        first = initial_value(kind)
        state = replace(state, container=seen.container, cache=first, hold=False)
        updates = (first,)
    if state.hold:
        return Tick(state, updates=updates)
    if not seen.running:
        state, changed = _cached(state, Result.FAILURE)
        return Tick(state, updates=updates + changed, ends=not seen.will_restart)
    if seen.deleting and kind is not ProbeKind.READINESS:
        state, changed = _cached(state, Result.SUCCESS)
        return Tick(state, updates=updates + changed, ends=True)
    if whole_seconds_since(seen.started_at, now) < spec.initial_delay_s:
        return Tick(state, updates=updates)
    if seen.started is (kind is ProbeKind.STARTUP):  # a started container needs no startup probe, others wait for it
        return Tick(state, updates=updates)
    return Tick(state, probe=True, updates=updates)


def end_tick(kind: ProbeKind, spec: ProbeSpec, state: WorkerState, call: Call) -> Tick:
    """Second half of `worker.doProbe`: count the answer and perhaps change the verdict."""
    match call:
        case Call.ERROR:
            return Tick(state)
        case Call.SUCCESS:
            result, threshold = Result.SUCCESS, spec.success_threshold
        case Call.FAILURE:
            result, threshold = Result.FAILURE, spec.failure_threshold
        case _:
            assert_never(call)
    state = replace(state, last=result, run=state.run + 1 if state.last is result else 1)
    if state.run < threshold:
        return Tick(state)
    state, updates = _cached(state, result)
    if kind is ProbeKind.STARTUP or (kind is ProbeKind.LIVENESS and result is Result.FAILURE):
        state = replace(state, hold=True, run=0)
    return Tick(state, updates=updates)


def do_probe(
    kind: ProbeKind, spec: ProbeSpec, state: WorkerState, seen: Seen, now: float, call: Call | None = None
) -> Tick:
    """A whole tick whose call, if one is due, ends at once as `call`. For tables and tests.

    Raises:
        ValueError: a call is due and `call` is None.
    """
    first = begin_tick(kind, spec, state, seen, now)
    if not first.probe:
        return first
    if call is None:
        raise ValueError("this tick makes a call; its result is needed")
    second = end_tick(kind, spec, first.state, call)
    return replace(second, probe=True, updates=first.updates + second.updates)


def is_settled(kind: ProbeKind, spec: ProbeSpec, state: WorkerState, call: Call) -> bool:
    """Whether further ticks that end as `call` cannot change the cached result: only the run-length would grow."""
    if state.hold:
        return True
    result = Result.SUCCESS if call is Call.SUCCESS else Result.FAILURE
    return call is not Call.ERROR and state.cache is result and state.last is result


def skip_ticks(state: WorkerState, n: int) -> WorkerState:
    """State of a settled worker after `n` more ticks that end like the last one."""
    if state.hold:
        return state
    return WorkerState(state.container, state.cache, state.hold, state.last, state.run + n)


# --- bounds that a reader can check a scenario against -------------------------------------------------------------


def ready_bounds_s(spec: ProbeSpec) -> tuple[float, float]:
    """Least and most seconds from a healthy process, past its initial delay, to Ready, on the worker's own grid.

    The kubelet's pokes (see `kubelet`) can only make it sooner.
    """
    wait = (spec.success_threshold - 1) * spec.period_s
    return wait, wait + spec.period_s + spec.timeout_s


def unready_bounds_s(spec: ProbeSpec) -> tuple[float, float]:
    """Seconds from a process going bad to the verdict: more than the first, at most the second.

    Unready for a readiness probe, killed for a liveness probe.
    """
    return (spec.failure_threshold - 1) * spec.period_s, spec.failure_threshold * spec.period_s + spec.timeout_s


def startup_allowance_s(spec: ProbeSpec) -> float:
    """Seconds a container has to start before its startup (or liveness) probe kills it, up to one period of phase."""
    return spec.initial_delay_s + spec.failure_threshold * spec.period_s


def _cached(state: WorkerState, result: Result) -> tuple[WorkerState, tuple[Result, ...]]:
    if state.cache is result:
        return state, ()
    return replace(state, cache=result), (result,)
