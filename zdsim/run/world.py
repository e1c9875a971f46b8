"""How are the parts of one simulated world put together and set going?

A world is built before its traffic begins: the Deployment is created early enough that the old revision stands at full
strength, warm and at its probes' own beat, when the first request arrives at time 0. What happens then, release, faults
and the operator, are short stories of their own.
"""

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, Final, assert_never

import numpy as np
import simpy

from zdsim.cluster.api import ConditionType, DeploymentSpec, Pod
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.endpoint_controller import EndpointController, KubeProxy, ServiceLaws
from zdsim.cluster.faults import Fault, choose, strike
from zdsim.cluster.journal import Entry, EntryKind, Journal
from zdsim.cluster.kubelet import Kubelet
from zdsim.cluster.latency import Law, measured_hop, measured_write
from zdsim.cluster.node import NodeLaws
from zdsim.cluster.proxy import Pace
from zdsim.cluster.workqueue import ClientLimits
from zdsim.plane.config import PlaneConfig
from zdsim.plane.protocol import DataPlane
from zdsim.rollout.control_plane import ControlPlane, start_control_plane, undo
from zdsim.rollout.history import UndoError
from zdsim.rollout.operator import AlertRule, Operator, look, watch
from zdsim.rollout.progress import ConditionReason
from zdsim.run.laws import Luck
from zdsim.run.plane_config import bugs_of
from zdsim.run.story import Story, is_complete
from zdsim.run.templates import Templates
from zdsim.scenario import faults as words
from zdsim.scenario.laws import AnyLaw, ConstantLaw
from zdsim.scenario.model import Scenario
from zdsim.scenario.release import Bug

RECORDER: Final = "record"  # watches without delay
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
        self.settled = False  # the old revision was at full strength at time 0
        self.released_s: float | None = None
        self.detected_s: float | None = None
        self.decided_s: float | None = None
        self.first_view_s: dict[int, float] = {}  # by revision: first in a router's view
        self.first_listen_s: dict[int, float] = {}
        self._deaf_until: dict[int, float] = {}  # by revision: processes ignore SIGTERM
        self._lag_law: AnyLaw | None = None  # of an endpoint_lag fault
        self._templates = Templates(scenario, self.luck, self._is_deaf)
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
        self.name = scenario.deployment.name
        first = self._templates.deployment_spec(scenario.deployment, 0, None)
        self.control.api.create_deployment(self.name, replace(first, paused=False))
        self.clock.process(self._settle(first))
        if not quiet:
            self._stage_release()
            self._stage_faults()

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
            self.clock.call_at(entry.time + bug.error_after_s, lambda: self._err(revision, bug))

    @property
    def wanted(self) -> str:
        """Name of the template that the Deployment asks for."""
        return self.control.api.deployments[self.name].state.spec.template.name

    @property
    def stuck(self) -> bool:
        """The progress deadline has passed."""
        condition = self.control.api.deployments[self.name].state.status.condition(ConditionType.PROGRESSING)
        return condition is not None and condition.reason == ConditionReason.TIMED_OUT

    def in_view(self, revision: int) -> bool:
        """Does any router know a pod of `revision`?"""
        return any(pod.revision == revision for proxy in self._proxies for pod in proxy.view)

    def onset_s(self, revision: int) -> float | None:
        """When a bad revision could first harm: known to a router and old enough to err. None: it never could."""
        seen, bug = self.first_view_s.get(revision), self.bugs[revision]
        if seen is None or bug is None:
            return None
        return max(seen, self.first_listen_s.get(revision, seen) + bug.error_after_s)

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
            choose_node=lambda pod: _node((pod.ordinal + pod.revision) % nodes),
        )
        control.api.watch_pods(self.story.pod_changed, who=RECORDER)
        control.api.watch_deployments(self.story.deployment_changed, who=RECORDER)
        return control

    def _service(self, seed: int) -> list[KubeProxy]:
        router = self.scenario.router

        def lag(stream: str, number: int) -> float:
            law = self._lag_law if self._lag_law is not None else router.lag
            return self.luck.draw(law, stream, number)

        laws, pace = ServiceLaws.measured(seed, lag=lag), Pace(min_sync_s=router.min_sync_s)
        proxies = [
            KubeProxy(
                self.clock,
                k,
                plane=self.plane,
                laws=laws,
                pace=pace,
                on_view=self._viewed,
            )
            for k in range(router.proxies)
        ]
        EndpointController(
            self.clock,
            self.control.api,
            self.journal,
            selects=lambda pod: True,
            proxies=proxies,
            laws=laws,
            stale_chance=self.scenario.cluster.endpoint_retry_share,
            name=self.scenario.deployment.name,
        )
        return proxies

    def _law(self, law: AnyLaw) -> Law:
        return lambda stream, number: self.luck.draw(law, stream, number)

    def _viewed(self, proxy: KubeProxy) -> None:
        for pod in proxy.view:
            self.first_view_s.setdefault(pod.revision, self.clock.now)

    def _settle(self, first: DeploymentSpec) -> Generator[simpy.Event, Any, None]:
        """Note whether the old revision stands when the traffic begins, and only then pause if the manifest says so."""
        yield self.clock.at(0.0)
        state = self.control.api.deployments[self.name].state
        self.settled = is_complete(state)
        if first.paused:
            self.control.api.pause(self.name)

    # --- the release ----------------------------------------------------------------------------------------------

    def _stage_release(self) -> None:
        release = self.scenario.release
        if release is None:
            return
        at = self._at
        at(release.at_s, lambda: self._release(1, template_changed=release.template_changed))
        for k, rollover in enumerate(release.then):
            at(rollover.at_s, lambda n=k + 2: self._release(n, template_changed=True))  # type: ignore[misc]
        for step in release.scale:
            at(step.at_s, lambda n=step.replicas: self._scale(n))  # type: ignore[misc]
        if release.pause_at_s is not None:
            at(release.pause_at_s, lambda: self._pause(paused=True))
        if release.resume_at_s is not None:
            at(release.resume_at_s, lambda: self._pause(paused=False))
        if release.undo_at_s is not None:
            at(release.undo_at_s, self._undo)
        operator = release.rollback.operator
        if operator is not None and len(self.bugs) > 1:
            alert = operator.alert
            rule = AlertRule(
                window_s=alert.window_s,
                interval_s=alert.interval_s,
                ratio=alert.ratio,
                error_rate=alert.error_rate,
                p99_s=alert.p99_s,
                consecutive=alert.consecutive,
                min_requests=alert.min_requests,
            )
            reaction_s = self.luck.draw(operator.reaction, "operator/reaction", 0)
            self.clock.process(self._operate(release.at_s, rule, reaction_s))

    def _operate(self, from_s: float, rule: AlertRule, reaction_s: float) -> Generator[simpy.Event, Any, None]:
        """The operator begins to look when the release begins."""
        yield self.clock.at(from_s)
        new = self.config.exposing
        yield from watch(
            self.clock,
            Operator(
                rule=rule,
                reaction_s=reaction_s,
                look=lambda now: look(
                    self.plane.record(), now=now, window_s=rule.window_s, width_s=self.config.window_s, new=new
                ),
                undo=self._undo,
                tell=self._tell,
            ),
        )

    def _tell(self, stage: str, reason: str, message: str) -> None:
        now = self.clock.now
        if stage == "detected":
            self.detected_s = now
        elif stage == "cleared":
            self.detected_s = None
        kind = EntryKind.ROLLBACK if stage in ("detected", "decided") else EntryKind.ALERT
        self.journal.write(now, kind, f"deployment/{self.name}", stage.capitalize(), message, rule=reason)

    def _release(self, n: int, *, template_changed: bool) -> None:
        """Apply the n-th release: a new template, and what else its Deployment says differently."""
        before, after = self.scenario.deployment_after(n - 1), self.scenario.deployment_after(n)
        api, now = self.control.api, self.clock.now
        spec = self._templates.deployment_spec(after, n, self.bugs[n])
        known = api.deployments[self.name].state.spec
        changes: dict[str, Any] = {
            "strategy": spec.strategy,
            "max_surge": spec.max_surge,
            "max_unavailable": spec.max_unavailable,
            "min_ready_s": spec.min_ready_s,
            "progress_deadline_s": spec.progress_deadline_s,
        }
        if after.replicas != before.replicas:
            changes["replicas"] = spec.replicas
        if template_changed:
            changes["template"] = spec.template
        if self.released_s is None:
            self.released_s = now
        message = f"template {known.template.name} -> {spec.template.name}" if template_changed else "same template"
        self.journal.write(now, EntryKind.ACTION, f"deployment/{self.name}", "Release", message)
        api.patch_deployment(self.name, **changes)

    def _scale(self, replicas: int) -> None:
        before = self.control.api.deployments[self.name].state.spec.replicas
        self._act("Scale", f"replicas {before} -> {replicas}")
        self.control.api.scale(self.name, replicas)

    def _pause(self, *, paused: bool) -> None:
        self._act("Pause" if paused else "Resume", f"rollout {'paused' if paused else 'resumed'}")
        if paused:
            self.control.api.pause(self.name)
        else:
            self.control.api.resume(self.name)

    def _undo(self) -> None:
        if self.control.api.deployments[self.name].state.spec.paused:
            self._pause(paused=False)  # kubectl refuses to undo while paused; an operator resumes first
        try:
            state = undo(self.control.api, self.name)
        except UndoError as refused:
            self._act("UndoRefused", str(refused))
            return
        if self.decided_s is None:
            self.decided_s = self.clock.now
        self._act("Undo", f"back to template {state.spec.template.name}")

    def _act(self, reason: str, message: str) -> None:
        self.journal.write(self.clock.now, EntryKind.ACTION, f"deployment/{self.name}", reason, message)

    def _err(self, revision: int, bug: Bug) -> None:
        """The revision begins to answer with errors."""
        for k, one in enumerate(self.scenario.traffic.classes):
            rate = max(bug.classes.get(one.name, bug.error_rate), self.scenario.process.error_rate)
            self.plane.set_error_rate(revision, k, rate, self.clock.now)

    # --- faults ---------------------------------------------------------------------------------------------------

    def _stage_faults(self) -> None:
        for number, fault in enumerate(self.scenario.faults):
            staged = self._staged(fault, number)
            if staged is not None:
                self.clock.process(strike(self.clock, self.journal, staged))

    def _staged(self, fault: words.AnyFault, number: int) -> Fault | None:
        plane, clock = self.plane, self.clock
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
                usual = self.config.db_max_connections
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
            for pod in self.control.api.pods.values()
            if pod.plane_row is not None and pod.state.deletion_s is None and _matches(fault.revision, pod.revision)
        ]

        def draw(pod: Pod) -> float:
            return self.luck.unit(f"fault/{number}/{pod.template.name}", pod.ordinal)

        return choose(known, fault.count(len(known)), draw)

    def _kill(self, fault: words.PodKill, number: int) -> str:
        targets = self._targets(fault, number)
        for pod in targets:
            self.control.api.delete_pod(pod, fault.grace_s)
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
                self.plane.set_pod_factor(pod.plane_row, factor, self.clock.now)

    def _set_lag(self, law: AnyLaw | None, sentence: str) -> str:
        self._lag_law = law
        return sentence

    def _deafen(self, fault: words.IgnoreSigterm) -> str:
        for revision in range(len(self.bugs)):
            if _matches(fault.revision, revision):
                self._deaf_until[revision] = max(self._deaf_until.get(revision, 0.0), fault.until_s)
        return "processes ignore SIGTERM"

    def _is_deaf(self, revision: int) -> bool:
        return self.clock.now < self._deaf_until.get(revision, -np.inf)

    def _at(self, time_s: float, act: Callable[[], None]) -> None:
        self.clock.call_at(time_s, act)


def _said(sentence: str, act: Callable[[], None]) -> Callable[[], str]:
    """An act with the sentence that the journal keeps of it."""

    def acted() -> str:
        act()
        return sentence

    return acted


def _node(k: int) -> str:
    return f"node-{k}"


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


def _slowest_s(law: AnyLaw) -> float:
    """The quantile that all but TAIL of the draws stay below, seconds."""
    if isinstance(law, ConstantLaw):
        return law.value_s
    from zdsim.plane import laws
    from zdsim.run.laws import table

    return laws.value(table(law).q, int((1.0 - TAIL) * 2.0**53) << 11)
