"""From a pod's change to every router's view, without a request plane."""

from itertools import pairwise

import pytest

from zdsim.cluster.api import Api, Pod, PodPhase, PodTemplate, ReplicaSet, ReplicaSetState
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.endpoint_controller import EndpointController, KubeProxy, ServiceLaws
from zdsim.cluster.journal import EntryKind, Journal
from zdsim.cluster.latency import Law, constant
from zdsim.cluster.node import Uniform
from zdsim.cluster.proxy import Pace


class Service:
    def __init__(
        self,
        *,
        n_proxies: int = 1,
        hop: Law | None = None,
        sync_s: float = 0.0,
        min_sync_s: float = 1.0,
        stale_chance: float = 0.0,
    ) -> None:
        self.clock = SharedClock()
        self.api, self.journal = Api(self.clock), Journal()
        self.views: list[tuple[float, int, tuple[str, ...]]] = []
        laws = ServiceLaws(write=constant(0.01), hop=hop or constant(0.0), sync=constant(sync_s), uniform=Uniform(1))
        self.proxies = [
            KubeProxy(
                self.clock,
                index,
                plane=None,
                laws=laws,
                pace=Pace(min_sync_s=min_sync_s),
                on_view=lambda p: self.views.append((self.clock.now, p.index, tuple(pod.name for pod in p.view))),
            )
            for index in range(n_proxies)
        ]
        self.controller = EndpointController(
            self.clock,
            self.api,
            self.journal,
            selects=lambda pod: pod.template.name == "v1",
            proxies=self.proxies,
            laws=laws,
            stale_chance=stale_chance,
        )
        self.sets = {
            name: ReplicaSet(name, 0, PodTemplate(name), name, 0.0, ReplicaSetState(1)) for name in ("v1", "v2")
        }

    def pod(self, revision: str = "v1", **state: object) -> Pod:
        pod = self.api.create_pod(self.sets[revision])
        self.api.bind_pod(pod, "node")
        self.api.set_pod(pod, phase=PodPhase.RUNNING, has_ip=True, **state)
        return pod

    def letters(self) -> list[tuple[str, str]]:
        return [(entry.subject, entry.reason) for entry in self.journal.of_kind(EntryKind.ENDPOINTS)]


def test_the_letters_of_a_life() -> None:
    service = Service()
    pod = service.pod()
    changes = [
        lambda: service.api.set_pod(pod, ready=True),
        lambda: service.api.delete_pod(pod, grace_s=30.0),
        lambda: service.api.set_pod(pod, ready=False),
        lambda: service.api.set_pod(pod, phase=PodPhase.SUCCEEDED),
        lambda: service.api.remove_pod(pod),
    ]
    for k, change in enumerate(changes):
        service.clock.call_at(2.0 * (k + 1), change)
    service.clock.run(until=20.0)
    assert service.letters() == [("v1-0", letters) for letters in ("---", "rs-", "-st", "--t", "gone")]


def test_other_pods_are_not_selected_until_the_selector_changes() -> None:
    service = Service()
    service.pod(ready=True)
    service.pod("v2", ready=True)
    service.clock.run(until=5.0)
    assert [pod.name for pod in service.proxies[0].view] == ["v1-0"]
    service.controller.select(lambda pod: pod.template.name == "v2")
    service.clock.run(until=10.0)
    assert [pod.name for pod in service.proxies[0].view] == ["v2-0"]


def test_a_proxy_keeps_its_pace_and_changes_ride_along() -> None:
    service = Service(sync_s=0.05)
    for t in (0.0, 0.3, 0.6, 0.9):
        service.clock.call_at(t, lambda: service.pod(ready=True) and None)
    service.clock.run(until=10.0)
    assert [(pytest.approx(t), len(view)) for t, _, view in service.views] == [(0.06, 1), (1.11, 4)]


def test_each_proxy_hears_at_its_own_time() -> None:
    service = Service(n_proxies=3, hop=lambda stream, number: 0.5 * int(stream[-1]))
    service.pod(ready=True)
    service.clock.run(until=10.0)
    assert [(pytest.approx(t), index) for t, index, _ in service.views] == [(0.01, 0), (0.51, 1), (1.01, 2)]


def test_a_late_hop_does_not_overtake() -> None:
    """The first write is heard of after 3 s; the second, sent later with a short hop, comes behind it."""
    service = Service(hop=lambda stream, number: 3.0 if number == 1 else 0.0, min_sync_s=0.0)
    pod = service.pod(ready=True)
    service.clock.call_at(1.0, lambda: service.api.delete_pod(pod, grace_s=30.0) and None)
    service.clock.run(until=10.0)
    assert service.views[-1][0] == pytest.approx(3.01)
    assert service.proxies[0].view == (pod,)  # terminating and serving: the only one there is


def test_terminating_pods_serve_when_nothing_else_does() -> None:
    service = Service()
    old, new = service.pod(ready=True), service.pod()
    service.clock.call_at(5.0, lambda: service.api.delete_pod(old, grace_s=60.0))
    service.clock.call_at(10.0, lambda: service.api.set_pod(new, ready=True) and None)
    service.clock.run(until=20.0)
    assert [view for _, _, view in service.views][-2:] == [("v1-0",), ("v1-1",)]


def test_stale_writes_are_tried_again_and_none_is_lost() -> None:
    service = Service(stale_chance=0.4, min_sync_s=0.0)
    pod = service.pod(ready=True)
    toggles = [200.0 * k for k in range(1, 60)]
    for k, t in enumerate(toggles):
        service.clock.call_at(t, lambda k=k: service.api.set_pod(pod, ready=bool(k % 2)) and None)  # type: ignore[misc]
    service.clock.run(until=12_000.0)
    written = [entry.time for entry in service.journal.of_kind(EntryKind.ENDPOINTS)][1:]
    lags = [w - t for w, t in zip(written, toggles, strict=True)]
    assert all(lag == pytest.approx(0.01) or lag >= 1.0 for lag in lags)
    late = sum(lag >= 1.0 for lag in lags) / len(lags)
    assert 0.2 < late < 0.6
    assert all(a < b for a, b in pairwise(written))
