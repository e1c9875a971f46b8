"""When does a deleted or killed container get SIGTERM, when SIGKILL, and with which exit code does it end?

Hook and signal share one clock, the grace period. All times are seconds; `t0` to `t5` are the names of the timeline:
t0 delete accepted, t1 the kubelet sees it, t2 preStop begins, t3 SIGTERM, t4 SIGKILL if still alive, t5 object gone.

Source: Kubernetes `pkg/kubelet/kuberuntime/kuberuntime_container.go` (`killContainer`, `executePreStopHook`,
`setTerminationGracePeriod`), `pkg/kubelet/pod_workers.go` (`calculateEffectiveGracePeriod`),
`pkg/registry/core/pod/strategy.go` (`CheckGracefulDelete`).
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

DEFAULT_GRACE_S: Final = 30.0
MINIMUM_GRACE_S: Final = 2.0  # minimumGracePeriodInSeconds: left after SIGTERM whatever the hook has used
FORCED_GRACE_S: Final = 1.0  # what a node gives a pod whose object was removed at once

EXIT_OK: Final = 0
EXIT_CRASH: Final = 1
EXIT_SIGKILL: Final = 137
EXIT_SIGTERM: Final = 143


class OnSigterm(Enum):
    """What a process does when it is asked to end."""

    DRAIN = "drain"  # stop accepting, answer what is in flight and queued, exit
    EXIT = "exit"  # end at once, drop everything
    LAME_DUCK = "lame_duck"  # serve on for a while, then drain
    IGNORE = "ignore"  # go on until SIGKILL; also a shell as PID 1 that forwards no signal


class EndReason(Enum):
    """Why a container ended; the journal's word for it."""

    CRASHED = "crashed"
    EXITED = "exited"  # at SIGTERM, dropping what was in flight
    DRAINED = "drained"  # after SIGTERM, everything answered
    KILLED = "killed"  # SIGKILL when the grace period was over
    OOM_KILLED = "oom_killed"


@dataclass(frozen=True, slots=True)
class KillPlan:
    """When one container is signalled.

    Attributes:
        prestop_at: t2, None without a hook (or without time for one).
        sigterm_at: t3.
        sigkill_at: t4, if the process is then still alive.
    """

    prestop_at: float | None
    sigterm_at: float
    sigkill_at: float


def kill_plan(start_s: float, grace_s: float, prestop_s: float | None = None) -> KillPlan:
    """`killContainer` begun at `start_s`.

    Part-seconds of the hook are free (its run time is counted in whole seconds), a hook is given up after the grace
    period, and at least 2 s are left after SIGTERM.

    Args:
        start_s: t1.
        grace_s: the pod's, or the probe's when a probe kills (see `effective_grace_s`).
        prestop_s: how long the preStop hook runs; None without one.
    """
    if prestop_s is None or grace_s <= 0.0:
        return KillPlan(None, start_s, start_s + max(MINIMUM_GRACE_S, grace_s))
    hook_s = min(prestop_s, grace_s)
    sigterm = start_s + hook_s
    return KillPlan(start_s, sigterm, sigterm + max(MINIMUM_GRACE_S, grace_s - math.floor(hook_s)))


def effective_grace_s(
    *, requested_s: float | None = None, spec_s: float | None = None, probe_s: float | None = None
) -> float:
    """Grace period of a kill: of the probe that kills, else of the delete request, else of the spec, else 30 s.

    >>> effective_grace_s(spec_s=60.0, probe_s=5.0), effective_grace_s(requested_s=10.0, spec_s=60.0)
    (5.0, 10.0)
    """
    for choice in (probe_s, requested_s, spec_s):
        if choice is not None:
            return choice
    return DEFAULT_GRACE_S


def node_grace_s(grace_s: float) -> float:
    """Grace the node works with: a pod removed by force (0 s) still has 1 s; `kill_plan` makes 2 s of it."""
    return max(FORCED_GRACE_S, grace_s)


def accepted_grace_s(requested_s: float, *, scheduled: bool, terminal: bool) -> float:
    """Grace the API server accepts: 0 (gone at once) for a pod that no node runs or whose containers have all ended."""
    return requested_s if scheduled and not terminal else 0.0


def shortened_grace_s(current_s: float, requested_s: float) -> float:
    """A later delete can only shorten the grace period."""
    return min(current_s, requested_s)


def shortened_plan(plan: KillPlan, seen_s: float, grace_s: float) -> KillPlan:
    """The plan after the kubelet sees, at `seen_s`, that the grace period was shortened to `grace_s`.

    The kill begins again with the shorter clock: a hook still running may use at most the new period, 2 s are left
    after SIGTERM, and nothing comes later than it would have.
    """
    grace_s = node_grace_s(grace_s)
    sigterm = plan.sigterm_at if plan.sigterm_at <= seen_s else min(plan.sigterm_at, seen_s + grace_s)
    sigkill = max(seen_s + max(MINIMUM_GRACE_S, grace_s), sigterm + MINIMUM_GRACE_S)
    return KillPlan(plan.prestop_at, sigterm, min(plan.sigkill_at, sigkill))


def exit_code(behaviour: OnSigterm, *, in_time: bool, handled: bool = True) -> int:
    """Exit code of a process that was sent SIGTERM.

    Args:
        in_time: it ended before SIGKILL.
        handled: for `EXIT`: a handler ends the process by itself (0); False: the signal's default action does (143).
    """
    if not in_time:
        return EXIT_SIGKILL
    match behaviour:
        case OnSigterm.DRAIN | OnSigterm.LAME_DUCK:
            return EXIT_OK
        case OnSigterm.EXIT:
            return EXIT_OK if handled else EXIT_SIGTERM
        case OnSigterm.IGNORE:
            return EXIT_SIGKILL
        case _:
            assert_never(behaviour)


@dataclass(frozen=True, slots=True)
class Termination:
    """The whole timeline of one deleted pod with one container, seconds; `exit_at` is the end of the process."""

    t0: float
    t1: float
    t2: float | None
    t3: float
    t4: float
    exit_at: float
    exit_code: int
    t5: float


def timeline(
    t0: float = 0.0,
    *,
    grace_s: float = DEFAULT_GRACE_S,
    prestop_s: float | None = None,
    behaviour: OnSigterm = OnSigterm.DRAIN,
    needs_s: float = 0.0,
    lame_duck_s: float = 0.0,
    handled: bool = True,
    watch_s: float = 0.0,
    removal_s: float = 0.0,
) -> Termination:
    """What a graceful delete at `t0` leads to.

    Args:
        needs_s: seconds the process needs to answer what it has in hand, once it drains.
        handled: see `exit_code`.
        watch_s: t1 - t0, the kubelet's watch delay.
        removal_s: t5 - exit: network teardown, status and final delete.
    """
    t1 = t0 + watch_s
    plan = kill_plan(t1, node_grace_s(grace_s), prestop_s)
    match behaviour:
        case OnSigterm.DRAIN:
            wish = plan.sigterm_at + needs_s
        case OnSigterm.EXIT:
            wish = plan.sigterm_at
        case OnSigterm.LAME_DUCK:
            wish = plan.sigterm_at + lame_duck_s + needs_s
        case OnSigterm.IGNORE:
            wish = math.inf
        case _:
            assert_never(behaviour)
    in_time = wish < plan.sigkill_at
    exit_at = min(wish, plan.sigkill_at)
    code = exit_code(behaviour, in_time=in_time, handled=handled)
    gone = t0 if grace_s <= 0.0 else exit_at + removal_s
    return Termination(t0, t1, plan.prestop_at, plan.sigterm_at, plan.sigkill_at, exit_at, code, gone)
