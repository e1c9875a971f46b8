"""How are the parts of one simulated world put together and set going?

A world is built before its traffic begins: the Deployment is created early enough that the old revision stands at full
strength, warm and at its probes' own beat, when the first request arrives at time 0. What happens then, release, faults
and the operator, are stories of their own (`release`, `faults`).
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zdsim.cluster.api import Pod
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.endpoint_controller import EndpointController, KubeProxy, ServiceLaws
from zdsim.cluster.journal import Entry, EntryKind, Journal
from zdsim.cluster.kubelet import Kubelet
from zdsim.cluster.latency import Law, measured_hop, measured_write
from zdsim.cluster.node import NodeLaws
from zdsim.cluster.proxy import Pace
from zdsim.cluster.workqueue import ClientLimits
from zdsim.plane import laws
from zdsim.plane.config import PlaneConfig
from zdsim.plane.protocol import DataPlane
from zdsim.rollout.control_plane import ControlPlane, start_control_plane
from zdsim.run.analysis import AnalysisRuns
from zdsim.run.engine import DeploymentEngine, Engine
from zdsim.run.faults import Faults
from zdsim.run.flagger_engine import FlaggerEngine
from zdsim.run.laws import Luck, table
from zdsim.run.plane_config import bugs_of, flagger_of, is_routed
from zdsim.run.release import Stage
from zdsim.run.rollout_engine import RolloutEngine
from zdsim.run.rollout_spec import played_of
from zdsim.run.story import RECORDER, Story
from zdsim.run.templates import Templates
from zdsim.scenario.laws import AnyLaw, ConstantLaw
from zdsim.scenario.model import Scenario
from zdsim.scenario.strategy import Canary, Sticky

TAIL: Final = 1e-6  # a start-up slower than this share of its law is not waited for before the traffic begins


def lead_s(scenario: Scenario) -> float:
    """How long before the first request the Deployment is created, seconds (whole).

    Enough for the slowest part of every step from creation to available and warm, API throttling included.
    """
    deployment, proc, cluster = scenario.deployment, scenario.process, scenario.cluster
    calls = 2.5 * deployment.replicas  # a create and an event each, and status updates
    throttled = max(0.0, calls - cluster.controller_burst) / cluster.controller_qps
    startup = _slowest_s(proc.startup)
    probes = 0.0
    for probe in (deployment.startup_probe, deployment.readiness_probe):
        if probe is not None:
            rounds = 2 + probe.success_threshold
            probes += probe.initial_delay_s + rounds * probe.period_s + probe.timeout_s
    if deployment.startup_probe is not None:
        probes += startup  # its grid begins with the container
    init = proc.init_s * len(deployment.init_containers)
    total = throttled + startup + proc.ready_delay_s + probes + init + deployment.min_ready_s + proc.warm_up.duration_s
    return float(np.ceil(15.0 + total))


class World:
    """One cluster under one luck, with a request plane.

    Args:
        scenario: what to play.
        config: of the plane; its `start_s` is when the world begins.
        plane: fresh.
        seed: of the luck.
        quiet: without release and faults (the baseline).
    """

    def __init__(
        self, scenario: Scenario, config: PlaneConfig, plane: DataPlane, seed: int, *, quiet: bool = False
    ) -> None:
        self.scenario, self.config, self.plane = scenario, config, plane
        self.story, self.journal = Story(), Journal()
        self.clock = SharedClock(plane, config.start_s)
        self.luck = Luck(seed)
        self.bugs = bugs_of(scenario)
        self.n_revisions = len(self.bugs)
        self.experiment_revisions = (self.n_revisions - 2, self.n_revisions - 1)  # where the strategy has experiments
        self.quiet = quiet
        self.name = scenario.deployment.name
        self.subject = f"deployment/{self.name}"  # of what people do, in the journal
        self.settled = False  # the old revision was at full strength at time 0
        self.first_view_s: dict[int, float] = {}  # by revision: first in a router's view
        self.first_listen_s: dict[int, float] = {}
        self.view_listeners: list[Callable[[], None]] = []  # told of every new view
        self.faults = Faults(self)
        self.journal.listen(self.story.noted)
        self.journal.listen(self._noted)
        self.control = self._control_plane(seed)
        self.kubelet = Kubelet(
            self.clock,
            self.control.api,
            self.journal,
            plane=plane,
            nodes=[_node(k) for k in range(scenario.router.proxies)],
            laws=NodeLaws.measured(seed),
        )
        self._proxies = self._service(seed)
        templates = Templates(scenario, self.luck, self.faults.is_deaf)
        self.runs = AnalysisRuns(self)
        self.stage = Stage(self)
        self.engine = self._engine(templates)
        self.engine.begin()
        self.clock.call_at(0.0, self._open)
        self.stage.set()

    # --- what happened --------------------------------------------------------------------------------------------

    def _noted(self, entry: Entry) -> None:
        """A revision with a bug errs from some time after the first of its processes listens."""
        if entry.kind is not EntryKind.CONTAINER_STARTED or entry.reason != "listening":
            return
        revision = self.story.revision_of(entry.subject)
        if revision in self.first_listen_s:
            return
        self.first_listen_s[revision] = entry.time
        bug = self.bugs[revision]
        if bug is not None and (bug.error_rate > 0.0 or bug.classes):
            self.clock.call_at(entry.time + bug.error_after_s, lambda: self._err(revision))

    def in_view(self, revision: int) -> bool:
        """Does any router know a pod of `revision`?"""
        return any(pod.revision == revision for proxy in self._proxies for pod in proxy.view)

    def viewed(self) -> Counter[int]:
        """Pods of each revision in the views of all routers."""
        return Counter(pod.revision for proxy in self._proxies for pod in proxy.view)

    def onset_s(self, revision: int) -> float | None:
        """When a bad revision could first harm: asked by somebody, and old enough to err. None: it never could.

        A router may know a revision and send it nothing yet: then the window of its first request counts.
        """
        seen, bug = self.first_view_s.get(revision), self.bugs[revision]
        asked = np.flatnonzero(self.plane.record().routed[:, revision])
        if seen is None or bug is None or asked.size == 0:
            return None
        first_s = max(seen, float(asked[0]) * self.config.window_s)
        return max(first_s, self.first_listen_s.get(revision, seen) + bug.error_after_s)

    def select(self, selects: Callable[[Pod], bool]) -> None:
        """The service that people use chooses other pods from now on."""
        self._endpoints.select(selects)

    @property
    def cookies(self) -> bool:
        """Do users who met the canary keep a cookie?"""
        strategy = self.scenario.release.strategy if self.scenario.release is not None else None
        return isinstance(strategy, Canary) and strategy.sticky is Sticky.COOKIE

    @property
    def class_shares(self) -> list[float]:
        """Share of requests of each class."""
        return [one.share for one in self.scenario.traffic.classes]

    def error_rates(self, revision: int) -> list[float]:
        """Error rate of a revision by class, once its bug shows."""
        bug, usual = self.bugs[revision], self.scenario.process.error_rate
        if bug is None:
            return [usual] * len(self.scenario.traffic.classes)
        return [max(bug.classes.get(one.name, bug.error_rate), usual) for one in self.scenario.traffic.classes]

    def conversions(self) -> NDArray[np.float64]:
        """Orders an answered request of each revision brings, shape (R,)."""
        usual = sum(one.share * one.conversion for one in self.scenario.traffic.classes)
        factors = [1.0 if bug is None else bug.conversion_factor for bug in self.bugs]
        return np.minimum(1.0, usual * np.array(factors))

    @property
    def order_value(self) -> float:
        """Mean revenue of an order."""
        classes = self.scenario.traffic.classes
        orders = sum(one.share * one.conversion for one in classes)
        return sum(one.share * one.conversion * one.revenue for one in classes) / orders if orders else 0.0

    def pods_of(self, revision: int) -> int:
        """Pods of a revision that exist now."""
        return sum(pod.revision == revision for pod in self.control.api.pods.values())

    # --- parts ----------------------------------------------------------------------------------------------------

    def _control_plane(self, seed: int) -> ControlPlane:
        cluster = self.scenario.cluster
        hop = measured_hop(seed) if cluster.watch_hop is None else self._law(cluster.watch_hop)
        write = measured_write(seed) if cluster.api_write is None else self._law(cluster.api_write)
        recorder = f"watch/{RECORDER}/"

        def watch_delay(stream: str, number: int) -> float:
            return 0.0 if stream.startswith(recorder) else hop(stream, number)

        nodes = self.scenario.router.proxies
        control = start_control_plane(
            self.clock,
            watch_delay=watch_delay,
            write_delay=write,
            journal=self.journal,
            limits=ClientLimits(qps=cluster.controller_qps, burst=cluster.controller_burst),
            report_terminating=cluster.report_terminating,
            choose_node=lambda pod: _node((pod.ordinal + pod.revision) % nodes),
        )
        control.api.watch_pods(self.story.pod_changed, who=RECORDER)
        return control

    def _service(self, seed: int) -> list[KubeProxy]:
        router = self.scenario.router

        def lag(stream: str, number: int) -> float:
            law = self.faults.lag if self.faults.lag is not None else router.lag
            return self.luck.draw(law, stream, number)

        service, pace = ServiceLaws.measured(seed, lag=lag), Pace(min_sync_s=self._min_sync_s)
        proxies = [
            KubeProxy(
                self.clock,
                k,
                plane=self.plane,
                laws=service,
                pace=pace,
                on_view=self._viewed,
            )
            for k in range(router.proxies)
        ]
        self._endpoints = EndpointController(
            self.clock,
            self.control.api,
            self.journal,
            selects=lambda pod: True,
            proxies=proxies,
            laws=service,
            stale_chance=self.scenario.cluster.endpoint_retry_share,
            name=self.scenario.deployment.name,
        )
        return proxies

    @property
    def _min_sync_s(self) -> float:
        """kube-proxy's pace; a router that splits requests hears of endpoints as they come, unless it is said."""
        router = self.scenario.router
        if is_routed(self.scenario) and "min_sync_s" not in router.model_fields_set:
            return 0.0
        return router.min_sync_s

    def _law(self, law: AnyLaw) -> Law:
        return lambda stream, number: self.luck.draw(law, stream, number)

    def _viewed(self, proxy: KubeProxy) -> None:
        for pod in proxy.view:
            self.first_view_s.setdefault(pod.revision, self.clock.now)
        for listener in self.view_listeners:
            listener()

    def _engine(self, templates: Templates) -> Engine:
        flagger = flagger_of(self.scenario)
        if flagger is not None:
            return FlaggerEngine(self, flagger, templates)
        played = played_of(self.scenario)
        if played is None:
            return DeploymentEngine(self.scenario, templates, self.control.api, self.story)
        return RolloutEngine(self, played, templates)

    def _open(self) -> None:
        """The traffic begins: does the old revision stand?"""
        self.settled = self.engine.settled
        self.engine.opened()

    def _err(self, revision: int) -> None:
        """The revision begins to answer with errors."""
        for k, rate in enumerate(self.error_rates(revision)):
            self.plane.set_error_rate(revision, k, rate, self.clock.now)


def _node(k: int) -> str:
    return f"node-{k}"


def _slowest_s(law: AnyLaw) -> float:
    """The quantile that all but TAIL of the draws stay below, seconds."""
    if isinstance(law, ConstantLaw):
        return law.value_s
    return laws.value(table(law).q, int((1.0 - TAIL) * 2.0**53) << 11)
