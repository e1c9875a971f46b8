"""What is a pod made of, and which phase and conditions does it report?

`PodSpec` and `ProcessModel` are plain numbers and laws: what the kubelet is told (the `spec` of an `api.PodTemplate`).
`get_phase` and `conditions` are what it reports. The scenario's words are translated into these by the caller.

Source: Kubernetes `pkg/kubelet/kubelet_pods.go` (`getPhase`), `pkg/kubelet/status/generate.go`
(`GeneratePodReadyCondition`, `GenerateContainersReadyCondition`, `GeneratePodInitializedCondition`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from zdsim.cluster.api import PodPhase
from zdsim.cluster.latency import Law, constant
from zdsim.cluster.probes import ProbeKind, ProbeSpec
from zdsim.cluster.termination import OnSigterm
from zdsim.plane.vocabulary import ProbeDepth

AT_ONCE: Final = constant(0.0)


class RestartPolicy(Enum):
    ALWAYS = "Always"  # the only one a Deployment may use
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class ContainerState(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """One container in a pod's status.

    Attributes:
        exit_code: of the instance that ended, in state TERMINATED.
        last_exit_code: of the instance before, if there was one; tells a restart's WAITING from a first one's.
    """

    state: ContainerState
    exit_code: int = 0
    last_exit_code: int | None = None
    ready: bool = False
    started: bool = False


def get_phase(
    containers: Sequence[ContainerStatus | None],
    init: Sequence[ContainerStatus | None] = (),
    *,
    restart_policy: RestartPolicy = RestartPolicy.ALWAYS,
    terminal: bool = False,
) -> PodPhase:
    """Phase of a pod from its containers (`getPhase`).

    Args:
        containers, init: one entry a container of the spec, None if its status is not known.
        terminal: the pod is being torn down and everything has stopped.
    """
    pending_init = sum(1 for c in init if not _init_is_over(c))
    failed_init = sum(1 for c in init if c is not None and _init_is_over(c) and _ended_with(c) != 0)
    known = [c for c in containers if c is not None]
    unknown = len(containers) - len(known)
    running = sum(1 for c in known if c.state is ContainerState.RUNNING)
    waiting = sum(1 for c in known if c.state is ContainerState.WAITING and c.last_exit_code is None)
    stopped = len(known) - running - waiting
    succeeded = sum(1 for c in known if c.state is ContainerState.TERMINATED and c.exit_code == 0)

    if failed_init and restart_policy is RestartPolicy.NEVER:
        return PodPhase.FAILED
    if (pending_init and not terminal) or waiting:
        return PodPhase.PENDING
    if unknown or not (running or stopped):
        return PodPhase.PENDING
    if running:
        return PodPhase.RUNNING
    if not terminal and restart_policy is RestartPolicy.ALWAYS:
        return PodPhase.RUNNING  # about to be restarted
    if stopped == succeeded:
        return PodPhase.SUCCEEDED
    if terminal or restart_policy is RestartPolicy.NEVER:
        return PodPhase.FAILED
    return PodPhase.RUNNING


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions a kubelet and a scheduler keep on a pod."""

    scheduled: bool
    ready_to_start_containers: bool  # sandbox and network are up
    initialized: bool
    containers_ready: bool
    ready: bool


def conditions(
    containers: Sequence[ContainerStatus | None],
    init: Sequence[ContainerStatus | None] = (),
    *,
    scheduled: bool = True,
    sandbox: bool = True,
    readiness_gates: Sequence[bool] = (),
    phase: PodPhase | None = None,
) -> Conditions:
    """Conditions of a pod. Ready = every container ready and every readiness gate true; never in a terminal phase."""
    initialized = all(c is not None and c.state is ContainerState.TERMINATED and c.exit_code == 0 for c in init)
    over = phase is not None and phase.terminal
    all_ready = not over and bool(containers) and all(c is not None and c.ready for c in containers)
    return Conditions(
        scheduled=scheduled,
        ready_to_start_containers=sandbox,
        initialized=initialized,
        containers_ready=all_ready,
        ready=all_ready and all(readiness_gates),
    )


# --- what the kubelet is told -----------------------------------------------------------------------------------------


class ProbeLane(Enum):
    """Where a probe call is answered: beside the workers, or in their queue like any request."""

    OWN = "own"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe with what its answer stands for."""

    spec: ProbeSpec = field(default_factory=ProbeSpec)
    depth: ProbeDepth = ProbeDepth.PROCESS
    lane: ProbeLane = ProbeLane.OWN


@dataclass(frozen=True, slots=True)
class Spell:
    """From `start_s` to `end_s` after the start of the process, a probe's call fails whatever the process could do."""

    start_s: float
    end_s: float = float("inf")


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class ProcessModel:
    """How the application process behaves. Times in seconds.

    Laws are drawn from streams named by template, pod ordinal and restart, so two strategies meet the same slow start.

    Attributes:
        startup: from the start of the process until it listens.
        ready_delay: from then on until its readiness endpoint says yes.
        on_sigterm: see `OnSigterm`.
        lame_duck_s: how long LAME_DUCK serves on before it drains.
        close_on_drain: a lame duck answers with `Connection: close`.
        handles_sigterm: EXIT: it has a handler and exits with 0; without one the signal ends it, 143.
        sigterm_ignored: asked at SIGTERM: does a fault make the process deaf to it?
        crash_after: each instance ends by itself with code 1 this long after its start; None = never.
        deadlock_after: each instance stops answering anything this long after it listens; None = never.
        memory_requests: an instance reaches its memory limit with this many accepted requests; 0 = never.
        bad_spells: by kind of probe, when its endpoint is wrong about the process.
    """

    startup: Law = AT_ONCE
    ready_delay: Law = AT_ONCE
    on_sigterm: OnSigterm = OnSigterm.DRAIN
    lame_duck_s: float = 0.0
    close_on_drain: bool = False
    handles_sigterm: bool = True
    sigterm_ignored: Callable[[], bool] = _never
    crash_after: Law | None = None
    deadlock_after: Law | None = None
    memory_requests: int = 0
    bad_spells: Mapping[ProbeKind, Sequence[Spell]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A second container of the pod, kept simple: it starts, becomes ready, and ends when asked.

    Attributes:
        startup_s: from its start to ready.
        native: an init container with restartPolicy Always: ready before the next container starts, and asked to end
            only after the regular ones have ended. Otherwise it starts beside the main container.
        drain_s: it takes this long to end after SIGTERM.
    """

    startup_s: float = 0.0
    native: bool = False
    drain_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PodSpec:
    """What a kubelet needs to run a pod; the grace period is the template's.

    Attributes:
        process: the container that serves requests.
        probes: of that container, by kind; absent kinds are not probed.
        init_s: run time of each init container, one after another.
        prestop_s: run time of its preStop hook; None without a hook.
        readiness_gates: how many conditions from outside must hold before the pod is Ready.
    """

    process: ProcessModel = field(default_factory=ProcessModel)
    probes: Mapping[ProbeKind, Probe] = field(default_factory=dict)
    init_s: Sequence[float] = ()
    sidecars: Sequence[Sidecar] = ()
    prestop_s: float | None = None
    readiness_gates: int = 0


def _init_is_over(c: ContainerStatus | None) -> bool:
    """An init container that ran to an end (a waiting one counts by its last end)."""
    if c is None or c.state is ContainerState.RUNNING:
        return False
    return c.state is ContainerState.TERMINATED or c.last_exit_code is not None


def _ended_with(c: ContainerStatus) -> int:
    if c.state is ContainerState.TERMINATED:
        return c.exit_code
    return c.last_exit_code or 0
