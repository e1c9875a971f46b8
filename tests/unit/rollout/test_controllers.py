"""Laws of the running control plane: what the two controllers do together, with a kubelet as simple as can be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from zdsim.cluster.api import (
    Api,
    ChangeKind,
    ConditionType,
    DeploymentSpec,
    DeploymentStatus,
    Pod,
    PodChange,
    PodPhase,
    PodTemplate,
    StrategyKind,
)
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.journal import EntryKind
from zdsim.cluster.latency import constant, measured_hop, measured_write
from zdsim.cluster.workqueue import ClientLimits
from zdsim.rollout.control_plane import ControlPlane, start_control_plane, undo
from zdsim.rollout.history import UndoError
from zdsim.rollout.progress import ConditionReason, RolloutState, rollout_state

V1, V2, V3 = (PodTemplate(f"v{n}", revision=n - 1) for n in (1, 2, 3))


@dataclass
class World:
    """A control plane whose pods are ready 1 s after they were bound and gone 2 s after they were deleted."""

    clock: SharedClock
    plane: ControlPlane
    broken: set[str] = field(default_factory=set)  # templates whose pods never get ready
    alive: list[tuple[float, int]] = field(default_factory=list)

    @property
    def api(self) -> Api:
        return self.plane.api

    def hear(self, change: PodChange) -> None:
        pod, state = change.obj, change.state
        if change.kind is ChangeKind.DELETED:
            return
        if state.deletion_s == change.time:
            self.clock.call_in(2.0, lambda: self.api.remove_pod(pod))
        elif change.before is not None and change.before.node is None and state.node is not None:
            self.clock.call_in(1.0, lambda: self.start(pod))

    def start(self, pod: Pod) -> None:
        if pod.state.active:
            self.api.set_pod(pod, phase=PodPhase.RUNNING, ready=pod.template.name not in self.broken, has_ip=True)

    def pods(self, template: PodTemplate | None = None, *, active: bool = True) -> list[Pod]:
        return [
            pod
            for pod in self.api.pods.values()
            if (template is None or pod.template == template) and (pod.state.active or not active)
        ]

    def status(self) -> DeploymentStatus:
        return self.api.deployments["web"].state.status

    def reason(self) -> str:
        condition = self.status().condition(ConditionType.PROGRESSING)
        return "" if condition is None else str(condition.reason)

    def sizes(self) -> dict[str, int]:
        return {rs.template.name: rs.state.spec for rs in self.api.replicasets.values()}

    def done(self) -> bool:
        state = self.api.deployments["web"].state
        kubectl = rollout_state(state.status, replicas=state.spec.replicas, generation=state.generation)
        return kubectl is RolloutState.DONE


def world(*, seed: int | None = None, limits: ClientLimits | None = None, **spec: Any) -> World:
    """A settled deployment of v1 at t = 100 s. Without seed all latencies are one millisecond."""
    clock = SharedClock()
    plane = start_control_plane(
        clock,
        watch_delay=constant(0.001) if seed is None else measured_hop(seed),
        write_delay=constant(0.001) if seed is None else measured_write(seed),
        limits=limits,
    )
    made = World(clock, plane)
    plane.api.watch_pods(made.hear, who="kubelet")
    plane.api.create_deployment("web", DeploymentSpec(V1, **{"replicas": 4, **spec}))
    clock.run(until=100.0)
    return made


def test_a_deployment_comes_up_and_settles() -> None:
    web = world()
    assert web.done()
    assert web.reason() == ConditionReason.NEW_RS_AVAILABLE
    assert len(web.pods()) == web.status().available == 4
    assert web.status().terminating == 0
    quiet = web.api.deployments["web"].state.version
    web.clock.run(until=2000.0)
    assert web.api.deployments["web"].state.version == quiet


def test_a_rollout_replaces_every_pod_and_keeps_its_promises() -> None:
    web = world(replicas=10)
    available: list[int] = []
    web.api.watch_deployments(lambda change: available.append(change.state.status.available), who="test")
    web.api.set_template("web", V2)
    web.clock.run(until=120.0)
    assert web.done()
    assert web.sizes() == {"v1": 0, "v2": 10}
    assert {pod.template for pod in web.pods(active=False)} == {V2}
    assert min(available) >= 8
    steps = [entry for entry in web.plane.journal.of_kind(EntryKind.ROLLOUT_STEP) if entry.time >= 100.0]
    assert [(entry.subject, entry.data["size"], entry.reason) for entry in steps if entry.data][:3] == [
        ("web-v2", 3, "CreatedNew"),
        ("web-v1", 8, "ShrankOld"),
        ("web-v2", 5, "ScaledUpNew"),
    ]


def test_the_same_seed_gives_the_same_run() -> None:
    def entries(seed: int) -> list[tuple[float, str, str]]:
        web = world(seed=seed, replicas=10)
        web.api.set_template("web", V2)
        web.clock.run(until=120.0)
        return [(entry.time, entry.subject, entry.reason) for entry in web.plane.journal]

    assert entries(3) == entries(3) != entries(4)


def test_a_broken_revision_without_unavailable_blocks_safely() -> None:
    """kubernetes-semantics 6, fact 9; the deadline changes a condition and nothing else (1.6)."""
    web = world(max_surge=1, max_unavailable=0, progress_deadline_s=30)
    web.broken.add("v2")
    web.api.set_template("web", V2)
    web.clock.run(until=129.0)
    assert web.reason() == ConditionReason.RS_UPDATED
    web.clock.run(until=133.0)
    assert web.reason() == ConditionReason.TIMED_OUT
    assert web.sizes() == {"v1": 4, "v2": 1}
    web.clock.run(until=500.0)
    assert web.sizes() == {"v1": 4, "v2": 1}
    web.broken.clear()
    web.api.set_pod(web.pods(V2)[0], ready=True)  # late progress
    web.clock.run(until=520.0)
    assert web.done()
    assert web.reason() == ConditionReason.NEW_RS_AVAILABLE


def test_the_replacement_of_a_deleted_pod_does_not_wait_for_its_end() -> None:
    web = world()
    web.api.delete_pod(web.pods()[0])
    web.clock.run(until=100.5)
    assert len(web.pods()) == 4
    assert len(web.pods(active=False)) == 5
    web.clock.run(until=100.9)
    assert web.status().terminating == 1


def test_failed_pods_are_replaced_and_stay_as_objects() -> None:
    web = world()
    evicted = web.pods()[0]
    web.api.set_pod(evicted, phase=PodPhase.FAILED, ready=False)
    web.clock.run(until=110.0)
    assert len(web.pods()) == 4
    assert evicted.name in web.api.pods


def test_recreate_waits_for_the_last_old_pod() -> None:
    web = world(strategy=StrategyKind.RECREATE)
    web.api.set_template("web", V2)
    web.clock.run(until=101.9)
    assert web.sizes() == {"v1": 0}
    assert web.pods() == []
    assert len(web.pods(active=False)) == 4
    web.clock.run(until=102.5)
    assert web.sizes() == {"v1": 0, "v2": 4}
    web.clock.run(until=110.0)
    assert web.done()


def test_min_ready_seconds_soak_each_pod() -> None:
    web = world(replicas=2, max_surge=1, max_unavailable=0, min_ready_s=10)
    web.api.set_template("web", V2)
    web.clock.run(until=109.9)
    assert web.sizes() == {"v1": 2, "v2": 1}  # ready at 101, available at 111
    web.clock.run(until=111.5)
    assert web.sizes() == {"v1": 1, "v2": 2}
    web.clock.run(until=125.0)
    assert web.done()


def test_changing_min_ready_seconds_alone_starts_no_rollout() -> None:
    web = world()
    web.api.patch_deployment("web", min_ready_s=5)
    web.clock.run(until=120.0)
    assert web.sizes() == {"v1": 4}
    assert web.api.replicasets["web-v1"].state.min_ready_s == 5
    assert web.done()


def test_pause_freezes_steps_but_not_repairs_and_restarts_the_clock() -> None:
    web = world(replicas=10, progress_deadline_s=60)
    web.broken.add("v2")
    web.api.set_template("web", V2)
    web.clock.run(until=110.0)
    web.api.pause("web")
    web.clock.run(until=150.0)
    assert web.reason() == ConditionReason.PAUSED
    sizes = web.sizes()
    assert sum(sizes.values()) == 13
    web.api.delete_pod(web.pods(V1)[0])
    web.clock.run(until=155.0)
    assert len(web.pods(V1)) == sizes["v1"]
    web.api.resume("web")
    web.clock.run(until=156.0)
    assert web.reason() == ConditionReason.RESUMED
    web.clock.run(until=210.0)
    assert web.reason() != ConditionReason.TIMED_OUT
    web.clock.run(until=220.0)
    assert web.reason() == ConditionReason.TIMED_OUT


def test_scaling_in_mid_rollout_goes_by_share_and_fills_the_surge() -> None:
    web = world(replicas=10)
    web.broken.add("v2")
    web.api.set_template("web", V2)
    web.clock.run(until=110.0)
    assert web.sizes() == {"v1": 8, "v2": 5}
    web.api.scale("web", 20)
    web.clock.run(until=110.9)
    assert web.sizes() == {"v1": 15, "v2": 10}
    assert web.api.replicasets["web-v1"].state.desired == 20


def test_undo_reuses_the_old_set_and_gives_it_a_new_revision() -> None:
    web = world(replicas=10)
    kept = {pod.name for pod in web.pods(V1)}
    web.broken.add("v2")
    web.api.set_template("web", V2)
    web.clock.run(until=110.0)
    undo(web.api, "web", journal=web.plane.journal)
    web.clock.run(until=130.0)
    assert web.sizes() == {"v1": 10, "v2": 0}
    assert web.api.replicasets["web-v1"].state.revision == 3
    assert len(kept & {pod.name for pod in web.pods(V1)}) == 8
    assert web.done()
    undo(web.api, "web")  # and forward again
    assert web.api.deployments["web"].state.spec.template == V2
    web.api.pause("web")
    with pytest.raises(UndoError):
        undo(web.api, "web")


def test_history_is_cleaned_up_on_completion() -> None:
    web = world(history_limit=1)
    for template, until in ((V2, 130.0), (V3, 160.0)):
        web.api.set_template("web", template)
        web.clock.run(until=until)
    assert web.sizes() == {"v2": 0, "v3": 4}
    assert web.done()


def test_a_quota_shows_as_replica_failure_and_heals() -> None:
    web = world(max_surge=1, max_unavailable=0)
    web.api.pod_quota = 4
    web.api.set_template("web", V2)
    web.clock.run(until=105.0)
    failure = web.status().condition(ConditionType.REPLICA_FAILURE)
    assert failure is not None
    assert failure.reason == "FailedCreate"
    assert len(web.pods()) == 4
    web.api.pod_quota = None
    web.clock.run(until=200.0)
    assert web.status().condition(ConditionType.REPLICA_FAILURE) is None
    assert web.done()


def test_surge_does_not_count_terminating_pods() -> None:
    """kubernetes-semantics 6, fact 5: with 25 %/25 % of 10, 18 pods exist at once when draining takes longer."""
    web = world(replicas=10)
    most: list[int] = []
    web.api.watch_pods(lambda change: most.append(len(web.api.pods)), who="test")
    web.api.set_template("web", V2)
    web.clock.run(until=130.0)
    assert max(most) > 13


def test_client_limits_slow_a_large_rollout_down() -> None:
    def duration(limits: ClientLimits | None) -> float:
        web = world(replicas=60, max_surge="100%", max_unavailable=0, limits=limits)
        web.api.set_template("web", V2)
        web.clock.run(until=101.0)
        while not web.done():
            web.clock.run(until=web.clock.now + 0.1)
        return web.clock.now - 100.0

    assert duration(ClientLimits(1000.0, 2000)) < 4.0
    assert duration(None) > 5.0


def test_a_pod_that_fits_nowhere_waits_for_a_retry() -> None:
    clock = SharedClock()
    room = {"node-0": 2}
    plane = start_control_plane(
        clock,
        watch_delay=constant(0.001),
        write_delay=constant(0.001),
        choose_node=lambda pod: (
            "node-0" if len([p for p in plane.api.pods.values() if p.state.node]) < room["node-0"] else None
        ),
    )
    plane.api.create_deployment("web", DeploymentSpec(V1, replicas=2))
    clock.run(until=1.0)
    plane.api.scale("web", 3)
    clock.run(until=2.0)
    assert [pod.state.node for pod in plane.api.pods.values()] == ["node-0", "node-0", None]
    assert len(plane.scheduler.pending) == 1
    room["node-0"] = 3
    plane.scheduler.retry()
    clock.run(until=3.0)
    assert plane.scheduler.pending == []
    assert all(pod.state.node for pod in plane.api.pods.values())
