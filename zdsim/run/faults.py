"""What goes wrong in this world, when, and for whom? The scenario's faults, staged on the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from zdsim.cluster.api import Pod
from zdsim.cluster.faults import Fault, choose, strike
from zdsim.scenario import faults as words
from zdsim.scenario.laws import AnyLaw

if TYPE_CHECKING:
    from zdsim.run.world import World


class Faults:
    """Plays the faults of a world's scenario, and answers what they change elsewhere."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._deaf_until: dict[int, float] = {}  # by revision: processes ignore SIGTERM
        self.lag: AnyLaw | None = None  # routers learn of changes by this law instead of theirs
        for number, fault in enumerate(() if world.quiet else world.scenario.faults):
            world.clock.process(strike(world.clock, world.journal, self._staged(fault, number)))

    def is_deaf(self, revision: int) -> bool:
        """Do processes of a revision ignore SIGTERM now?"""
        return self._world.clock.now < self._deaf_until.get(revision, float("-inf"))

    def _staged(self, fault: words.AnyFault, number: int) -> Fault:
        world = self._world
        plane, clock = world.plane, world.clock
        match fault:
            case words.PodKill():
                return Fault("pod_kill", fault.at_s, None, lambda: self._kill(fault, number))
            case words.SlowNode():
                return self._slow_node(fault, number)
            case words.DatabaseDown():
                return Fault(
                    "database_down",
                    fault.at_s,
                    fault.duration_s,
                    _said("the database answers nothing", lambda: plane.db_down(clock.now)),
                    _said("the database is back", lambda: plane.db_up(clock.now)),
                )
            case words.DatabaseSlow():
                return Fault(
                    "database_slow",
                    fault.at_s,
                    fault.duration_s,
                    _said(f"queries take {fault.factor:g} times", lambda: plane.set_db_factor(fault.factor, clock.now)),
                    _said("queries take their usual time", lambda: plane.set_db_factor(1.0, clock.now)),
                )
            case words.ConnectionLimit():
                usual = world.config.db_max_connections
                n = fault.max_connections
                return Fault(
                    "connection_limit",
                    fault.at_s,
                    fault.duration_s,
                    _said(f"the database accepts {n} connections", lambda: plane.set_db_max_connections(n, clock.now)),
                    _said(f"{usual} connections again", lambda: plane.set_db_max_connections(usual, clock.now)),
                )
            case words.TrafficSpike():
                return Fault(
                    "traffic_spike",
                    fault.at_s,
                    fault.duration_s,
                    lambda: f"{fault.factor:g} times the traffic",  # the arrivals know already
                    lambda: "the usual traffic",
                )
            case words.EndpointLag():
                return Fault(
                    "endpoint_lag",
                    fault.at_s,
                    fault.duration_s,
                    lambda: self._set_lag(fault.lag, f"routers learn of changes after {fault.lag}"),
                    lambda: self._set_lag(None, "routers learn of changes as usual"),
                )
            case words.IgnoreSigterm():
                return Fault(
                    "ignore_sigterm",
                    fault.at_s,
                    fault.duration_s,
                    lambda: self._deafen(fault),
                    lambda: "processes heed SIGTERM again",
                )
            case _:
                assert_never(fault)

    def _targets(self, fault: words.PodKill | words.SlowNode, number: int) -> list[Pod]:
        """Pods that the fault strikes: of those that run and are not being deleted."""
        known = [
            pod
            for pod in self._world.control.api.pods.values()
            if pod.plane_row is not None and pod.state.deletion_s is None and _matches(fault.revision, pod.revision)
        ]

        def draw(pod: Pod) -> float:
            return self._world.luck.unit(f"fault/{number}/{pod.template.name}", pod.ordinal)

        return choose(known, fault.count(len(known)), draw)

    def _kill(self, fault: words.PodKill, number: int) -> str:
        targets = self._targets(fault, number)
        for pod in targets:
            self._world.control.api.delete_pod(pod, fault.grace_s)
        return f"{len(targets)} pods deleted: {', '.join(pod.name for pod in targets) or 'none matched'}"

    def _slow_node(self, fault: words.SlowNode, number: int) -> Fault:
        struck: list[Pod] = []

        def begin() -> str:
            struck.extend(self._targets(fault, number))
            self._set_factor(struck, fault.factor)
            return f"{len(struck)} pods work {fault.factor:g} times slower"

        def end() -> str:
            self._set_factor(struck, 1.0)
            return "the pods work at their usual speed"

        return Fault("slow_node", fault.at_s, fault.duration_s, begin, end)

    def _set_factor(self, pods: list[Pod], factor: float) -> None:
        for pod in pods:
            if pod.plane_row is not None:
                self._world.plane.set_pod_factor(pod.plane_row, factor, self._world.clock.now)

    def _set_lag(self, law: AnyLaw | None, sentence: str) -> str:
        self.lag = law
        return sentence

    def _deafen(self, fault: words.IgnoreSigterm) -> str:
        for revision in range(len(self._world.bugs)):
            if _matches(fault.revision, revision):
                self._deaf_until[revision] = max(self._deaf_until.get(revision, 0.0), fault.until_s)
        return "processes ignore SIGTERM"


def _said(sentence: str, act: Callable[[], None]) -> Callable[[], str]:
    """An act with the sentence that the journal keeps of it."""

    def acted() -> str:
        act()
        return sentence

    return acted


def _matches(wanted: words.FaultRevision, revision: int) -> bool:
    match wanted:
        case words.FaultRevision.ANY:
            return True
        case words.FaultRevision.OLD:
            return revision == 0
        case words.FaultRevision.NEW:
            return revision > 0
        case _:
            assert_never(wanted)
