"""What goes wrong in this world, when, and for whom? The scenario's faults, staged on the clock."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, assert_never

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
        self._lasting: dict[Hashable, dict[int, Any]] = {}  # by what they change: values of faults that last, by number
        for number, fault in enumerate(() if world.quiet else world.scenario.faults):
            world.clock.process(strike(world.clock, world.journal, self._staged(fault, number)))

    def is_deaf(self, revision: int) -> bool:
        """Do processes of a revision ignore SIGTERM now?"""
        return self._world.clock.now < self._deaf_until.get(revision, float("-inf"))

    def _staged(self, fault: words.AnyFault, number: int) -> Fault:
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
                    lambda: self._set_down(number, down=True),
                    lambda: self._set_down(number, down=False),
                )
            case words.DatabaseSlow():
                return Fault(
                    "database_slow",
                    fault.at_s,
                    fault.duration_s,
                    lambda: self._set_db_factor(number, fault.factor),
                    lambda: self._set_db_factor(number, None),
                )
            case words.ConnectionLimit():
                return Fault(
                    "connection_limit",
                    fault.at_s,
                    fault.duration_s,
                    lambda: self._set_connections(number, fault.max_connections),
                    lambda: self._set_connections(number, None),
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
                    lambda: self._set_lag(number, fault.lag, f"routers learn of changes after {fault.lag}"),
                    lambda: self._set_lag(number, None, "the fault is over"),
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
            self._set_factor(struck, number, fault.factor)
            return f"{len(struck)} pods work {fault.factor:g} times slower"

        def end() -> str:
            self._set_factor(struck, number, None)
            return "the pods work at their usual speed"

        return Fault("slow_node", fault.at_s, fault.duration_s, begin, end)

    # --- faults of one kind may overlap: each end leaves what the others still do -----------------------------------

    def _now(self, what: Hashable, number: int, value: Any) -> list[Any]:
        """Note the value of a fault on `what` (None: it is over); returns those that last now, oldest first."""
        lasting = self._lasting.setdefault(what, {})
        if value is None:
            lasting.pop(number, None)
        else:
            lasting[number] = value
        return list(lasting.values())

    def _set_factor(self, pods: list[Pod], number: int, factor: float | None) -> None:
        for pod in pods:
            row = pod.plane_row
            if row is not None:
                factors = self._now(("pod", row), number, factor)
                self._world.plane.set_pod_factor(row, math.prod(factors, start=1.0), self._world.clock.now)

    def _set_down(self, number: int, *, down: bool) -> str:
        before = bool(self._lasting.get("down"))
        now = bool(self._now("down", number, down or None))
        if now and not before:
            self._world.plane.db_down(self._world.clock.now)
        elif before and not now:
            self._world.plane.db_up(self._world.clock.now)
        return "the database answers nothing" if now else "the database is back"

    def _set_db_factor(self, number: int, factor: float | None) -> str:
        now = math.prod(self._now("queries", number, factor), start=1.0)
        self._world.plane.set_db_factor(now, self._world.clock.now)
        return "queries take their usual time" if now == 1.0 else f"queries take {now:g} times"

    def _set_connections(self, number: int, limit: int | None) -> str:
        usual = self._world.config.db_max_connections
        n = min([usual, *self._now("connections", number, limit)])
        self._world.plane.set_db_max_connections(n, self._world.clock.now)
        return f"{usual} connections again" if n == usual else f"the database accepts {n} connections"

    def _set_lag(self, number: int, law: AnyLaw | None, sentence: str) -> str:
        laws = self._now("lag", number, law)
        self.lag = laws[-1] if laws else None
        return sentence if self.lag is not None else "routers learn of changes as usual"

    def _deafen(self, fault: words.IgnoreSigterm) -> str:
        for revision in range(len(self._world.bugs)):
            if _matches(fault.revision, revision):
                self._deaf_until[revision] = max(self._deaf_until.get(revision, 0.0), fault.until_s)
        return "processes ignore SIGTERM"


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
