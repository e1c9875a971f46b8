"""Laws of the API objects: identity, versions, what a watcher hears and when."""

from __future__ import annotations

import pytest

from zdsim.cluster.api import (
    Api,
    Change,
    ChangeKind,
    ConflictError,
    DeploymentSpec,
    DeploymentStatus,
    GoneError,
    Pod,
    PodChange,
    PodPhase,
    PodTemplate,
    ReplicaSet,
    ReplicaSetState,
)
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.latency import Law, Quantiles

V1 = PodTemplate("v1", revision=0, grace_s=30.0)


def world(delay: Law | None = None) -> tuple[SharedClock, Api, ReplicaSet]:
    clock = SharedClock()
    api = Api(clock, watch_delay=delay)
    return clock, api, api.create_replicaset("web", V1, ReplicaSetState(spec=3))


def bound(api: Api, replicaset: ReplicaSet) -> Pod:
    pod = api.create_pod(replicaset)
    api.bind_pod(pod, "n0")
    return pod


def test_pods_are_numbered_within_their_revision() -> None:
    _, api, v1 = world()
    v2 = api.create_replicaset("web", PodTemplate("v2", revision=1), ReplicaSetState(spec=1))
    pods = [api.create_pod(v1), api.create_pod(v2), api.create_pod(v1)]
    assert [(pod.name, pod.ordinal, pod.revision) for pod in pods] == [
        ("web-v1-0", 0, 0),
        ("web-v2-0", 0, 1),
        ("web-v1-1", 1, 0),
    ]
    assert len({pod.uid for pod in pods}) == 3


def test_the_ready_transition_follows_ready_and_is_stored_in_whole_seconds() -> None:
    clock, api, v1 = world()
    pod = bound(api, v1)
    clock.run(until=3.75)
    api.set_pod(pod, ready=True)
    clock.run(until=5.5)
    api.set_pod(pod, restarts=1)
    assert pod.state.ready_transition_s == 3.75
    assert pod.state.ready_transition_whole_s == 3.0
    api.set_pod(pod, ready=False)
    assert pod.state.ready_transition_s == 5.5


def test_a_change_that_changes_nothing_is_not_told() -> None:
    clock, api, v1 = world()
    pod = bound(api, v1)
    heard: list[PodChange] = []
    api.watch_pods(heard.append, who="me")
    api.set_pod(pod, ready=False, phase=PodPhase.PENDING)
    api.set_pod(pod, phase=PodPhase.RUNNING)
    clock.run()
    assert [change.state.phase for change in heard] == [PodPhase.RUNNING]


def test_deleting_marks_the_pod_and_its_kubelet_removes_it() -> None:
    clock, api, v1 = world()
    pod = bound(api, v1)
    heard: list[PodChange] = []
    api.watch_pods(heard.append, who="me")
    clock.run(until=2.0)
    api.delete_pod(pod)
    assert (pod.state.deletion_s, pod.state.grace_s, pod.state.active) == (2.0, 30.0, False)
    clock.run(until=3.0)
    api.delete_pod(pod, 60.0)  # can only shorten
    assert pod.state.grace_s == 30.0
    api.delete_pod(pod, 10.0)
    assert (pod.state.deletion_s, pod.state.grace_s) == (2.0, 10.0)
    clock.run(until=9.0)
    api.remove_pod(pod)
    api.remove_pod(pod)
    clock.run()
    assert [change.kind for change in heard] == [ChangeKind.MODIFIED, ChangeKind.MODIFIED, ChangeKind.DELETED]
    assert pod.state.gone_s == 9.0
    assert pod.name not in api.pods
    with pytest.raises(GoneError):
        api.set_pod(pod, ready=True)


@pytest.mark.parametrize("phase", [None, PodPhase.FAILED, PodPhase.SUCCEEDED])
def test_an_unscheduled_or_terminal_pod_goes_at_once(phase: PodPhase | None) -> None:
    """CheckGracefulDelete: no grace where nothing runs."""
    _, api, v1 = world()
    pod = api.create_pod(v1)
    if phase is not None:
        api.bind_pod(pod, "n0")
        api.set_pod(pod, phase=phase)
    api.delete_pod(pod)
    assert pod.state.gone_s == 0.0


def test_a_forced_deletion_removes_the_object_at_once() -> None:
    _, api, v1 = world()
    pod = bound(api, v1)
    api.delete_pod(pod, 0.0)
    assert pod.state.gone_s == 0.0
    assert not pod.state.active


def test_a_write_based_on_an_old_version_conflicts() -> None:
    _, api, v1 = world()
    seen = v1.state.version
    api.update_replicaset(v1, version=seen, spec=2)
    with pytest.raises(ConflictError):
        api.update_replicaset(v1, version=seen, spec=1)
    assert v1.state.spec == 2
    api.update_replicaset_status(v1, version=None, replicas=3)
    assert (v1.state.replicas, v1.state.generation, v1.state.version) == (3, 2, 3)


def test_generation_counts_changes_of_the_spec_only() -> None:
    _, api, _ = world()
    web = api.create_deployment("web", DeploymentSpec(V1, replicas=3))
    api.update_deployment_status("web", DeploymentStatus(replicas=3), version=None)
    assert web.state.generation == 1
    api.scale("web", 4)
    api.scale("web", 4)
    api.set_template("web", PodTemplate("v2"))
    api.pause("web")
    assert web.state.generation == 4
    assert web.state.spec.paused


def test_each_watcher_hears_in_order_after_its_own_delay_and_sees_the_state_of_that_time() -> None:
    clock, api, v1 = world(lambda stream, number: 0.5 if number == 2 and "slow" in stream else 0.125)
    slow: list[tuple[float, int]] = []
    fast: list[tuple[float, int]] = []
    api.watch_replicasets(lambda change: slow.append((clock.now, change.state.spec)), who="slow")
    api.watch_replicasets(lambda change: fast.append((clock.now, change.state.spec)), who="fast")
    api.update_replicaset(v1, version=None, spec=2)
    api.update_replicaset(v1, version=None, spec=1)
    clock.run()
    assert fast == [(0.125, 2), (0.125, 1)]
    assert slow == [(0.5, 2), (0.5, 1)]  # the second event waited behind the first


def test_a_watcher_may_choose_what_it_hears() -> None:
    clock, api, v1 = world()
    heard: list[PodChange] = []

    def deleted(change: PodChange) -> bool:
        return change.kind is ChangeKind.DELETED

    api.watch_pods(heard.append, who="me", where=deleted)
    api.delete_pod(bound(api, v1), 0.0)
    clock.run()
    assert [isinstance(change, Change) and change.kind for change in heard] == [ChangeKind.DELETED]


def test_quantiles_are_met_and_belong_to_the_draw() -> None:
    law = Quantiles(((0.0, 0.1), (0.5, 1.0), (1.0, 10.0)), seed=1)
    draws = sorted(law("watch/me/web", number) for number in range(2001))
    assert 0.9 < draws[1000] < 1.2
    assert draws[-1] < 10.0
    assert law("watch/me/web", 7) == law("watch/me/web", 7) != law("watch/you/web", 7)
    with pytest.raises(ValueError, match="rise"):
        Quantiles(((0.0, 1.0), (1.0, 0.5)), seed=1)
