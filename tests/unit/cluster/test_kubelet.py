"""A pod's story on its node, with a plane that only writes down what it is told."""

from typing import Any

import pytest

from zdsim.cluster.api import Api, Pod, PodTemplate, ReplicaSet, ReplicaSetState
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.journal import EntryKind, Journal
from zdsim.cluster.kubelet import Kubelet
from zdsim.cluster.latency import constant
from zdsim.cluster.node import NodeLaws
from zdsim.cluster.pod import PodSpec, Probe, ProbeLane, ProcessModel, Sidecar
from zdsim.cluster.probes import ProbeKind, ProbeSpec
from zdsim.cluster.termination import OnSigterm
from zdsim.plane.protocol import Signal, Stop
from zdsim.plane.vocabulary import Cause, ProbeAnswer, ProbeDepth, SignalKind

R, L, S = ProbeKind.READINESS, ProbeKind.LIVENESS, ProbeKind.STARTUP
EVERY_SECOND = {R: Probe(ProbeSpec(period_s=1.0))}


class ScriptedPlane:
    """Notes calls; takes `drain_s` to drain, answers shared-lane probes after `probe_s`."""

    def __init__(self, *, drain_s: float = 0.0, probe_s: float = 0.0, memory_at: float | None = None) -> None:
        self.calls: list[tuple[float, Any]] = []
        self._drain_s, self._probe_s, self._memory_at = drain_s, probe_s, memory_at
        self._due: list[Signal] = []
        self._rows = 0

    def names(self, *but: str) -> list[str]:
        return [call[0] for _, call in self.calls if call[0] not in ("probe", *but)]

    def advance(self, until: float) -> Stop:
        return Stop.REACHED

    def take_signals(self) -> list[Signal]:
        taken, self._due = self._due, []
        return taken

    def add_pod(self, revision: int, now: float) -> int:
        self.calls.append((now, ("add_pod", revision)))
        self._rows += 1
        return self._rows - 1

    def start_process(self, pod: int, now: float, *, memory_requests: int = 0) -> None:
        self.calls.append((now, ("start_process", pod)))
        if self._memory_at is not None and memory_requests:
            self._due.append(Signal(now + self._memory_at, SignalKind.MEMORY, pod, pod))

    def stop_accepting(self, pod: int, now: float) -> bool:
        self.calls.append((now, ("stop_accepting", pod)))
        if self._drain_s > 0.0:
            self._due.append(Signal(now + self._drain_s, SignalKind.IDLE, pod, pod))
        return self._drain_s == 0.0

    def probe(self, pod: int, depth: ProbeDepth, now: float, *, shared: bool, ref: int = -1) -> ProbeAnswer:
        self.calls.append((now, ("probe", shared)))
        if not shared:
            return ProbeAnswer.OK
        self._due.append(Signal(now + self._probe_s, SignalKind.PROBE_DONE, pod, ref))
        return ProbeAnswer.PENDING

    def end_process(self, pod: int, now: float, cause: Cause) -> int:
        self.calls.append((now, ("end_process", pod, cause)))
        return 7

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self.calls.append((args[-1], (name, *args[:-1])))


class World:
    def __init__(self, spec: PodSpec, *, grace_s: float = 30.0, plane: ScriptedPlane | None = None) -> None:
        self.plane = plane
        self.clock = SharedClock(plane)
        self.api, self.journal = Api(self.clock), Journal()
        self.kubelet = Kubelet(
            self.clock,
            self.api,
            self.journal,
            plane=plane,  # type: ignore[arg-type]
            nodes=["node"],
            laws=NodeLaws.measured(1),
        )
        template = PodTemplate("v1", grace_s=grace_s, spec=spec)
        self.replicaset = ReplicaSet("web", 0, template, "web", 0.0, ReplicaSetState(1))
        self.ready: list[tuple[float, bool]] = []
        self.api.watch_pods(
            lambda c: None if c.before is None or c.before.ready == c.state.ready else self.note(c.state.ready),
            who="test",
        )

    def note(self, ready: bool) -> None:
        self.ready.append((self.clock.now, ready))

    def pod(self) -> Pod:
        pod = self.api.create_pod(self.replicaset)
        self.api.bind_pod(pod, "node")
        return pod

    def at(self, time: float, what: Any) -> None:
        self.clock.call_at(time, what)

    def ends(self) -> list[dict[str, Any]]:
        return [{"at": e.time, "reason": e.reason, **e.data} for e in self.journal.of_kind(EntryKind.CONTAINER_ENDED)]


def process(behaviour: OnSigterm, **more: Any) -> ProcessModel:
    return ProcessModel(on_sigterm=behaviour, **more)


def test_what_the_plane_hears_of_a_life() -> None:
    world = World(PodSpec(probes=EVERY_SECOND), plane=ScriptedPlane(drain_s=3.0))
    pod = world.pod()
    world.at(10.0, lambda: world.api.delete_pod(pod))
    world.clock.run(until=30.0)
    assert world.plane is not None
    assert world.plane.names() == [
        "add_pod",
        "start_process",
        "mark_removed",
        "stop_accepting",
        "end_process",
        "remove_network",
    ]
    (end,) = world.ends()
    assert (end["reason"], end["exit_code"], end["cut_off"], end["cause"]) == ("drained", 0, 7, "exited_at_sigterm")
    assert 13.0 <= end["at"] <= 13.1
    assert pod.state.phase.value == "Succeeded"
    assert pod.name not in world.api.pods
    assert world.kubelet.workers == {}


@pytest.mark.parametrize(
    ("model", "drain_s", "reason", "code", "cause", "least", "most"),
    [
        (process(OnSigterm.DRAIN), 0.0, "drained", 0, "exited_at_sigterm", 0.0, 0.1),
        (process(OnSigterm.DRAIN), 9.0, "killed", 137, "killed_at_grace_end", 5.0, 5.1),
        (process(OnSigterm.EXIT), 9.0, "exited", 0, "exited_at_sigterm", 0.0, 0.1),
        (process(OnSigterm.EXIT, handles_sigterm=False), 9.0, "exited", 143, "exited_at_sigterm", 0.0, 0.1),
        (process(OnSigterm.LAME_DUCK, lame_duck_s=2.0), 1.0, "drained", 0, "exited_at_sigterm", 3.0, 3.1),
        (process(OnSigterm.IGNORE), 0.0, "killed", 137, "killed_at_grace_end", 5.0, 5.1),
    ],
)
def test_sigterm(
    model: ProcessModel, drain_s: float, reason: str, code: int, cause: str, least: float, most: float
) -> None:
    world = World(PodSpec(model, EVERY_SECOND), grace_s=5.0, plane=ScriptedPlane(drain_s=drain_s))
    pod = world.pod()
    world.at(10.0, lambda: world.api.delete_pod(pod))
    world.clock.run(until=30.0)
    (end,) = world.ends()
    assert (end["reason"], end["exit_code"], end["cause"]) == (reason, code, cause)
    assert least <= end["at"] - 10.0 <= most
    assert (pod.state.phase.value == "Succeeded") is (code == 0)


def test_a_draining_pod_stays_ready_until_its_probe_fails() -> None:
    """It refuses its own probe from SIGTERM on: three failures later it is not Ready, long before it is gone."""
    world = World(PodSpec(probes=EVERY_SECOND), plane=ScriptedPlane(drain_s=9.0))
    pod = world.pod()
    world.at(10.0, lambda: world.api.delete_pod(pod))
    world.clock.run(until=30.0)
    (_, up), (down_at, down) = world.ready
    assert (up, down) == (True, False)
    assert 12.0 <= down_at <= 13.1


def test_a_second_delete_shortens_the_grace_period() -> None:
    world = World(PodSpec(process(OnSigterm.IGNORE)))
    pod = world.pod()
    world.at(10.0, lambda: world.api.delete_pod(pod))
    world.at(15.0, lambda: world.api.delete_pod(pod, grace_s=3.0))
    world.clock.run(until=60.0)
    assert world.ends()[0]["at"] == pytest.approx(18.0, abs=0.1)


def test_force_removes_the_object_at_once_and_the_container_two_seconds_later() -> None:
    world = World(PodSpec(process(OnSigterm.IGNORE)))
    pod = world.pod()
    world.at(10.0, lambda: world.api.delete_pod(pod, grace_s=0.0))
    world.clock.run(until=60.0)
    assert pod.state.gone_s == 10.0
    assert world.ends()[0]["at"] == pytest.approx(12.0, abs=0.1)
    assert world.kubelet.workers == {}


@pytest.mark.parametrize("at", [0.1, 0.35, 0.45, 0.6])
def test_a_deletion_during_the_start(at: float) -> None:
    plane = ScriptedPlane()
    world = World(PodSpec(probes=EVERY_SECOND), plane=plane)
    pod = world.pod()
    world.at(at, lambda: world.api.delete_pod(pod))
    world.clock.run(until=20.0)
    assert pod.state.gone_s is not None
    assert pod.state.gone_s < 4.0
    assert plane.names().count("remove_network") == plane.names().count("add_pod")
    assert plane.names().count("end_process") >= plane.names().count("start_process")


def test_prestop_takes_its_time_from_the_grace_period() -> None:
    world = World(PodSpec(process(OnSigterm.EXIT), prestop_s=4.0), grace_s=10.0)
    pod = world.pod()
    world.at(10.0, lambda: world.api.delete_pod(pod))
    world.clock.run(until=30.0)
    assert world.ends()[0]["at"] == pytest.approx(14.0, abs=0.1)


def test_a_deadlock_is_ended_by_the_liveness_probe() -> None:
    """Three timeouts of 1 s, the process cannot drain: SIGKILL after the probe's own grace period."""
    spec = PodSpec(
        ProcessModel(deadlock_after=constant(20.0)), {L: Probe(ProbeSpec(period_s=5.0, grace_s=4.0)), **EVERY_SECOND}
    )
    world = World(spec, plane=ScriptedPlane(drain_s=1e9))
    world.pod()
    world.clock.run(until=45.0)
    (end,) = world.ends()
    assert (end["reason"], end["exit_code"], end["cause"]) == ("killed", 137, "liveness_killed")
    assert 20.5 + 10.0 + 1.0 + 4.0 <= end["at"] <= 20.6 + 15.0 + 1.0 + 4.1
    assert [ready for _, ready in world.ready] == [True, False, True]


def test_a_slow_starter_without_a_startup_probe_never_gets_there() -> None:
    slow = ProcessModel(startup=constant(60.0), on_sigterm=OnSigterm.EXIT)
    killed = World(PodSpec(slow, {L: Probe(), R: Probe()}))
    killed.pod()
    killed.clock.run(until=300.0)
    assert killed.ready == []
    assert {end["cause"] for end in killed.ends()} == {"liveness_killed"}

    patient = World(PodSpec(slow, {S: Probe(ProbeSpec(failure_threshold=7)), L: Probe(), R: Probe()}))
    patient.pod()
    patient.clock.run(until=300.0)
    assert patient.ends() == []
    assert len(patient.ready) == 1


def test_a_startup_probe_that_gives_up_kills() -> None:
    slow = ProcessModel(startup=constant(60.0), on_sigterm=OnSigterm.EXIT)
    world = World(PodSpec(slow, {S: Probe(ProbeSpec(period_s=5.0)), R: Probe()}))
    world.pod()
    world.clock.run(until=17.0)
    assert [end["cause"] for end in world.ends()] == ["startup_killed"]
    assert 15.3 <= world.ends()[0]["at"] <= 15.5


def test_memory() -> None:
    spec = PodSpec(ProcessModel(memory_requests=1000), EVERY_SECOND)
    world = World(spec, plane=ScriptedPlane(memory_at=6.0))
    pod = world.pod()
    world.clock.run(until=8.0)
    (end,) = world.ends()
    assert (end["reason"], end["exit_code"], end["cause"]) == ("oom_killed", 137, "oom_killed")
    world.clock.run(until=10.0)
    assert pod.state.restarts == 1


def test_a_shared_lane_probe_times_out_behind_a_full_queue() -> None:
    probe = Probe(ProbeSpec(period_s=2.0, timeout_s=1.0), lane=ProbeLane.SHARED)
    quick, slow = ScriptedPlane(probe_s=0.9), ScriptedPlane(probe_s=1.1)
    for plane, expected in ((quick, True), (slow, False)):
        world = World(PodSpec(probes={R: probe}), plane=plane)
        pod = world.pod()
        world.clock.run(until=20.0)
        assert pod.state.ready is expected


def test_sidecars_and_gates_hold_readiness_back() -> None:
    native, beside = Sidecar(startup_s=3.0, native=True), Sidecar(startup_s=2.0)
    world = World(PodSpec(probes=EVERY_SECOND, init_s=(1.0,), sidecars=(native, beside), readiness_gates=1))
    pod = world.pod()
    world.clock.run(until=20.0)
    (started,) = world.journal.of_kind(EntryKind.CONTAINER_STARTED)[:1]
    assert 4.5 <= started.time <= 6.0
    assert not pod.state.ready
    world.at(20.0, lambda: pod.kubelet.set_gate(0, True))
    world.clock.run(until=21.0)
    ((at, ready),) = world.ready
    assert ready
    assert 20.0 < at < 20.2


def test_a_native_sidecar_outlives_the_main_container() -> None:
    world = World(PodSpec(process(OnSigterm.EXIT), sidecars=(Sidecar(native=True, drain_s=6.0),)))
    pod = world.pod()
    world.at(10.0, lambda: world.api.delete_pod(pod))
    world.clock.run(until=40.0)
    assert pod.state.gone_s is not None
    assert 16.0 <= pod.state.gone_s <= 18.0


def test_a_killed_container_comes_back_with_back_off() -> None:
    world = World(PodSpec(probes=EVERY_SECOND))
    pod = world.pod()
    for t in (20.0, 30.0):
        world.at(t, lambda: pod.kubelet.kill_container())
    world.clock.run(until=60.0)
    starts = [e.time for e in world.journal.of_kind(EntryKind.CONTAINER_STARTED) if e.reason == "started"]
    assert starts[1] - 20.0 < 1.5
    assert 10.0 <= starts[2] - 30.0 <= 18.5
    assert {end["cause"] for end in world.ends()} == {"pod_killed"}


def test_the_same_luck_gives_the_same_story() -> None:
    def play() -> list[Any]:
        world = World(PodSpec(ProcessModel(crash_after=constant(7.0)), EVERY_SECOND))
        for _ in range(3):
            world.pod()
        world.clock.run(until=100.0)
        return [(e.time, e.kind, e.subject, e.reason) for e in world.journal]

    assert play() == play()


def test_a_thousand_healthy_pods_cost_next_to_nothing_while_nothing_happens() -> None:
    world = World(PodSpec(probes={R: Probe(), L: Probe()}))
    for _ in range(1000):
        world.pod()
    world.clock.run(until=60.0)
    events = 0
    while world.clock.peek() < 1800.0:
        world.clock.step()
        events += 1
    assert events < 2000
