"""What does a kubelet do with the pods bound to its node, from the first sandbox to the last word about them?

One SimPy process a pod (`PodWorker.run`) tells the story: volumes, sandbox, containers; then syncs, each a look at the
world (as of the latest relist), a status, and what follows from it (restart, kill, wait); in the end the grace period,
the network's removal and the final delete. Every sync, the terminating one too, waits for a relist that is younger than
the sync before: that is why things around a start happen on the beat of a second, and why a pod deleted shortly after a
sync hears of it up to a second late.

What a probe says acts at once: readiness on the Ready condition, the others through a sync. In every sync that finds a
started container not ready, its readiness worker is poked.

Simplified: one sandbox for the pod's life, no image pulls; sidecars start, become ready and end by the clock.

Source: Kubernetes `pkg/kubelet/{kubelet,pod_workers}.go`, `pkg/kubelet/kuberuntime/kuberuntime_manager.go`
(`computePodActions`), `pkg/kubelet/prober/prober_manager.go`, `pkg/kubelet/status/status_manager.go`.
"""

from collections.abc import Generator, Iterable
from dataclasses import replace
from itertools import count
from math import inf
from typing import Any, Final, TypeAlias

from simpy.events import Event
from simpy.exceptions import Interrupt

from zdsim.cluster import backoff
from zdsim.cluster.api import Api, ChangeKind, Pod, PodChange, PodPhase
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.journal import EntryKind, Journal
from zdsim.cluster.latency import Law
from zdsim.cluster.node import Node, NodeLaws, NodeSettings
from zdsim.cluster.pod import ContainerState, ContainerStatus, PodSpec, get_phase
from zdsim.cluster.prober import Prober
from zdsim.cluster.probes import ProbeKind, Result, Seen
from zdsim.cluster.process import AppProcess, Ended
from zdsim.cluster.status_manager import StatusManager
from zdsim.cluster.termination import EXIT_SIGKILL, KillPlan, kill_plan, node_grace_s, shortened_plan
from zdsim.plane.protocol import DataPlane
from zdsim.plane.vocabulary import Cause

__all__ = ["Kubelet", "PodWorker"]

Story: TypeAlias = Generator[Event, Any, None]

NO_ROW: Final = -1
_UNTOLD: Final = object()  # equal to no field of a status
UNMOUNT_POLL_S: Final = 0.3  # how often a terminated pod's volumes are looked at
UPDATE_S: Final = 0.003  # from a probe worker's verdict to the pod's worker; a sync just begun has ended by then


class Kubelet:
    """The kubelets of all nodes.

    Args:
        clock, api, journal: the world.
        plane: the request plane, or None (no traffic; probes are answered by the processes themselves).
        nodes: names; pods bound to other nodes are not run.
        laws: durations; `NodeLaws.measured(seed)` as recorded.
        settings: periods and back-off.
    """

    def __init__(
        self,
        clock: SharedClock,
        api: Api,
        journal: Journal,
        *,
        plane: DataPlane | None,
        nodes: Iterable[str],
        laws: NodeLaws,
        settings: NodeSettings | None = None,
    ) -> None:
        self.clock, self.api, self.journal, self.plane = clock, api, journal, plane
        self.laws, self.settings = laws, settings or NodeSettings()
        self.nodes: dict[str, Node] = {}
        self.statuses: dict[str, StatusManager] = {}  # by node
        self.workers: dict[str, PodWorker] = {}  # by pod name, until the pod is gone
        self._references = count()
        for name in nodes:
            self.add_node(name)

    def add_node(self, name: str) -> Node:
        """Another node, from now on."""
        assert name not in self.nodes, f"node {name} exists"
        node = self.nodes[name] = Node.make(name, self.settings, self.laws.uniform)
        self.statuses[name] = StatusManager(self.clock, name, begin=self.laws.status_begin)
        self.api.watch_pods(self._heard, who=f"kubelet/{name}", where=lambda change: change.state.node == name)
        return node

    def next_probe_ref(self) -> int:
        """A number for one probe call."""
        return next(self._references)

    def _heard(self, change: PodChange) -> None:
        pod, state = change.obj, change.state
        worker = self.workers.get(pod.name)
        if worker is None:
            if change.kind is ChangeKind.DELETED or state.deletion_s is not None or state.phase.terminal:
                return  # never began here, or is over
            assert state.node is not None
            worker = self.workers[pod.name] = PodWorker(self, self.nodes[state.node], pod)
        if state.deletion_s is not None:
            worker.delete(state.grace_s if state.grace_s is not None else pod.template.grace_s)


class PodWorker:
    """One pod on its node. `run` is its story; faults reach it through `kill_container`, `hang` and `set_gate`."""

    def __init__(self, kubelet: Kubelet, node: Node, pod: Pod) -> None:
        spec = pod.template.spec
        assert isinstance(spec, PodSpec), f"{pod.name}: template.spec must be a PodSpec, not {type(spec).__name__}"
        self.pod, self.spec = pod, spec
        self.process: AppProcess | None = None  # the latest instance, perhaps ended
        self.instance = -1  # its number, which is also the container id
        self.seen = Seen(container=None, running=False, started=ProbeKind.STARTUP not in spec.probes)
        self.probers: dict[ProbeKind, Prober] = {}
        self.gates = [False] * spec.readiness_gates
        self._kubelet, self._node, self._clock, self._laws = kubelet, node, kubelet.clock, kubelet.laws
        self._row = NO_ROW
        self._exits: list[tuple[float, Ended]] = []  # of the last two instances
        self._sidecars_ready = 0
        self._container_ready = self._reported = self._over = False
        self._ready = False  # as last decided
        self._told: dict[str, Any] = {}  # the status as last handed over
        self._writes = self._looks = 0  # of the status; of relists at it
        self._final_stored = kubelet.clock.event()
        self._sync_wanted = self._syncing = False
        self._bell = kubelet.clock.event()
        self._last_sync = -inf
        self._wake_token = 0
        self._plan: KillPlan | None = None
        self._replanned = kubelet.clock.event()
        self._deleting: float | None = None  # grace period
        self._story = kubelet.clock.process(self.run())
        pod.kubelet = self

    # --- what others ask of it ------------------------------------------------------------------------------------

    def delete(self, grace_s: float) -> None:
        """The pod's deletion was heard of, or a shorter grace period for it."""
        grace_s = node_grace_s(grace_s)
        if self._deleting is None:
            self._deleting = grace_s
            if self._kubelet.plane is not None and self._row != NO_ROW:
                self._kubelet.plane.mark_removed(self._row, self._clock.now)
            self._story.interrupt("deleted")
        elif grace_s < self._deleting:
            self._deleting = grace_s
            if self._plan is not None:
                self._plan = shortened_plan(self._plan, self._clock.now, grace_s)
                self._replan()

    def kill_container(self, cause: Cause = Cause.POD_KILLED) -> None:
        """End the main container with SIGKILL, from outside: a fault. It is restarted with back-off."""
        if self.process is not None:
            self.process.sigkill(cause)

    def hang(self) -> None:
        """Deadlock the process: a fault."""
        if self.process is not None:
            self.process.hang()

    def set_gate(self, index: int, value: bool) -> None:
        """A readiness gate's condition changed."""
        self.gates[index] = value
        self._write_ready()

    def request_sync(self) -> None:
        """Something happened that a sync should look at."""
        self._sync_wanted = True
        if not self._bell.triggered:
            self._bell.succeed()

    # --- the story ------------------------------------------------------------------------------------------------

    def run(self) -> Story:
        """One pod's life on its node."""
        try:
            self._syncing = True
            yield from self._set_up()
            while True:
                self._last_sync, self._syncing = self._clock.now, False
                yield from self._next_sync()
                self._syncing = True
                yield from self._sync()
        except Interrupt:
            if self._syncing:
                self._last_sync = self._clock.now
        yield from self._terminate()

    def _set_up(self) -> Story:
        """The first sync: volumes, sandbox, init containers, containers."""
        yield self._clock.timeout(self._draw(self._laws.volumes, "volumes"))
        for kind, probe in self.spec.probes.items():
            self.probers[kind] = Prober(
                self._clock,
                kind,
                probe,
                look=lambda: self.seen,
                process=lambda: self.process,
                on_update=self._probe_said,
                next_ref=self._kubelet.next_probe_ref,
            )
            self.probers[kind].start()
        yield from self._node.start(self._clock, self._draw(self._laws.sandbox, "sandbox"))
        if self._kubelet.plane is not None:
            self._row = self._kubelet.plane.add_pod(self.pod.revision, self._clock.now)
            self.pod.plane_row = self._row
        for k, run_s in enumerate(self.spec.init_s):
            yield self._clock.timeout(self._draw(self._laws.container, "init", k) + run_s)
        for k, sidecar in enumerate(self.spec.sidecars):
            if sidecar.native:
                yield self._clock.timeout(self._draw(self._laws.container, "sidecar", k) + sidecar.startup_s)
                self._sidecars_ready += 1
        yield from self._start_container()
        for k, sidecar in enumerate(self.spec.sidecars):
            if not sidecar.native:
                yield self._clock.timeout(self._draw(self._laws.container, "sidecar", k))
                self._clock.call_in(sidecar.startup_s, self._sidecar_is_ready)

    def _next_sync(self) -> Story:
        if not self._sync_wanted:
            self._bell = self._clock.event()
            yield self._bell
        self._sync_wanted = False  # what is wanted from now on takes another sync
        yield from self._fresh_cache()

    def _fresh_cache(self) -> Story:
        """The cache must be younger than the previous sync (`GetNewerThan`)."""
        fresh_at = self._node.relist.after(self._last_sync)
        if fresh_at > self._clock.now:
            yield self._clock.at(fresh_at)

    def _sync(self) -> Story:
        """Look, write the status, act."""
        known = self._node.relist.last(self._clock.now)
        self._look(known)
        if self.seen.container is None:
            return
        exits = [ended for started_at, ended in self._exits if ended.at <= known]
        finished_at = exits[-1].at if exits else None
        if not self.seen.running:
            yield from self._restart(finished_at)
            return
        cause, grace_s = self._probe_verdict()
        if cause is not None:
            yield self._clock.timeout(self._draw(self._laws.signal, "kill", self.instance))
            self._plan = kill_plan(self._clock.now, grace_s, self.spec.prestop_s)
            yield from self._carry_out(cause)
            self._plan = None
            yield from self._restart(finished_at)

    def _terminate(self) -> Story:
        """From the deletion heard of to the last word about the pod."""
        assert self._deleting is not None
        self.seen = replace(self.seen, deleting=True)
        for kind, prober in self.probers.items():
            if kind is not ProbeKind.READINESS:
                prober.stop()
            prober.wake()
        yield from self._fresh_cache()
        yield self._clock.timeout(self._draw(self._laws.signal, "terminate"))
        plan = kill_plan(self._clock.now, self._deleting, self.spec.prestop_s)
        old = self._plan  # of a probe's kill under way
        if old is not None:
            plan = KillPlan(plan.prestop_at, min(old.sigterm_at, plan.sigterm_at), min(old.sigkill_at, plan.sigkill_at))
        self._plan = plan
        began = self._clock.now
        yield from self._carry_out(None)
        yield from self._end_sidecars(began)
        if self._row != NO_ROW or self.process is not None:
            yield from self._node.end(self._clock, self._draw(self._laws.network_teardown, "network_teardown"))
        if self._kubelet.plane is not None and self._row != NO_ROW:
            self._kubelet.plane.remove_network(self._row, self._clock.now)
        for prober in self.probers.values():
            prober.stop()
        # From here on the pod is terminated: one more sync, on a younger relist, waits for its volumes to be gone.
        over_at = self._node.relist.after(self._clock.now)
        unmounted_at = self._clock.now + self._draw(self._laws.unmount, "unmount")
        while over_at < unmounted_at:
            over_at += UNMOUNT_POLL_S
        yield self._clock.timeout(self._draw(self._laws.final_status, "final_status"))
        exit_code = self._exits[-1][1].exit_code if self._exits else EXIT_SIGKILL  # never started: as if killed
        self._write(
            phase=get_phase([ContainerStatus(ContainerState.TERMINATED, exit_code)], terminal=True), ready=False
        )
        self._over = True
        yield self._final_stored
        if over_at > self._clock.now:
            yield self._clock.at(over_at)
        yield self._clock.timeout(self._draw(self._laws.removal, "removal"))
        self._kubelet.api.remove_pod(self.pod)
        self._node.backoff.entries.pop(self.pod.name, None)
        del self._kubelet.workers[self.pod.name]

    # --- its parts ------------------------------------------------------------------------------------------------

    def _start_container(self) -> Story:
        number = self.instance + 1
        yield from self._node.start(self._clock, self._draw(self._laws.container, "container", number))
        model = self.spec.process
        self.instance = number
        self.process = AppProcess(
            self._clock,
            self._kubelet.plane,
            self._row,
            model,
            startup_s=self._draw(model.startup, "startup", number),
            ready_delay_s=self._draw(model.ready_delay, "ready_delay", number),
            crash_after_s=None if model.crash_after is None else self._draw(model.crash_after, "crash", number),
            deadlock_after_s=None
            if model.deadlock_after is None
            else self._draw(model.deadlock_after, "deadlock", number),
            close_s=self._draw(self._laws.close, "close", number),
            on_listen=self._listening,
            on_end=self._container_ended,
            on_change=self._wake_probers,
        )
        now = self._clock.now
        self._kubelet.journal.write(now, EntryKind.CONTAINER_STARTED, self.pod.name, "started", instance=number)
        self._sync_after_relist()

    def _sync_after_relist(self) -> None:
        """The next relist finds this pod changed; it asks about one changed pod after the other."""
        self._looks += 1
        found_at = self._node.relist.after(self._clock.now) + self._draw(self._laws.look, "look", self._looks)
        self._clock.call_at(found_at, self.request_sync)

    def _listening(self) -> None:
        now = self._clock.now
        self._kubelet.journal.write(
            now, EntryKind.CONTAINER_STARTED, self.pod.name, "listening", instance=self.instance
        )

    def _container_ended(self, ended: Ended) -> None:
        assert self.process is not None
        self._exits = [*self._exits[-1:], (self.process.started_at, ended)]
        self._kubelet.journal.write(
            ended.at,
            EntryKind.CONTAINER_ENDED,
            self.pod.name,
            ended.reason.value,
            instance=self.instance,
            exit_code=ended.exit_code,
            cut_off=ended.cut_off,
            cause=ended.cause.name.lower(),
        )
        self._sync_after_relist()
        self._replan()

    def _restart(self, finished_at: float | None) -> Story:
        """Start the container again, or wait in back-off and look again later."""
        now, key = self._clock.now, self.pod.name
        self._node.backoff.sweep(self._node.housekeeping.last(now))
        wait_s = backoff.do_back_off(self._node.backoff, key, finished_at, now)
        if wait_s == 0.0:
            self._wake_token += 1
            yield from self._start_container()
            return
        self._wake_token += 1
        token = self._wake_token
        u = self._draw(self._laws.uniform, "wake", token)
        rest_s = backoff.wake_after_s(self._kubelet.settings.wake, wait_s, u)
        self._clock.call_at(self._node.work_queue.after(now + rest_s), lambda: self._wake_up(token))

    def _wake_up(self, token: int) -> None:
        if token == self._wake_token:
            self.request_sync()

    def _carry_out(self, cause: Cause | None) -> Story:
        """Signal the container as planned and see it end; `cause` None: the pod was deleted."""
        process = self.process
        while process is not None and process.alive:
            plan, now = self._plan, self._clock.now
            assert plan is not None
            if not process.asked_to_end and now >= plan.sigterm_at:
                process.sigterm(cause or Cause.EXITED_AT_SIGTERM)
            elif now >= plan.sigkill_at:
                process.sigkill(cause or Cause.KILLED_AT_GRACE_END)
            else:
                self._replanned = self._clock.event()
                at = plan.sigkill_at if process.asked_to_end else plan.sigterm_at
                yield self._clock.at(at) | self._replanned

    def _replan(self) -> None:
        if not self._replanned.triggered:
            self._replanned.succeed()

    def _end_sidecars(self, began: float) -> Story:
        """Regular sidecars were asked to end with the main container, native ones after it."""
        assert self._plan is not None
        beside = max((s.drain_s for s in self.spec.sidecars if not s.native), default=0.0)
        last_kill = max(self._plan.sigkill_at, self._clock.now)
        over = max(self._clock.now, min(began + beside, last_kill))
        for sidecar in self.spec.sidecars:
            if sidecar.native:
                over = min(over + sidecar.drain_s, max(last_kill, over))
        if over > self._clock.now:
            yield self._clock.at(over)

    def _probe_verdict(self) -> tuple[Cause | None, float]:
        """Whether a probe wants the container killed, and the grace period of that."""
        for kind, cause in ((ProbeKind.LIVENESS, Cause.LIVENESS_KILLED), (ProbeKind.STARTUP, Cause.STARTUP_KILLED)):
            prober = self.probers.get(kind)
            if prober is not None and prober.result_for(self.seen.container) is Result.FAILURE:
                grace_s = prober.probe.spec.grace_s
                return cause, self.pod.template.grace_s if grace_s is None else grace_s
        return None, 0.0

    # --- status ---------------------------------------------------------------------------------------------------

    def _look(self, known: float) -> None:
        """Write the status as of the relist at `known`; poke readiness if the container is started and not ready."""
        if self.process is None or (self.process.started_at > known and self.instance == 0):
            return
        if self.process.started_at > known:
            before = self._exits[-1] if self.process.alive else self._exits[-2]
            container, running, started_at = self.instance - 1, False, before[0]
        else:
            container, started_at = self.instance, self.process.started_at
            running = self.process.ended is None or self.process.ended.at > known
        startup = self.probers.get(ProbeKind.STARTUP)
        started = running and (startup is None or startup.result_for(container) is Result.SUCCESS)
        self.seen = replace(self.seen, container=container, running=running, started_at=started_at, started=started)
        readiness = self.probers.get(ProbeKind.READINESS)
        ready = readiness is None or readiness.result_for(container) is Result.SUCCESS
        self._container_ready = running and started and ready
        self._reported = True
        self._write(phase=PodPhase.RUNNING, has_ip=True, restarts=container)
        self._write_ready()
        self._wake_probers()
        if started and not ready and readiness is not None:
            readiness.poke()

    def _probe_said(self, kind: ProbeKind, result: Result, counted: bool) -> None:
        """A cached result changed: act at once. `counted`: by calls, not because the container is new or has ended."""
        if counted:
            self._kubelet.journal.write(self._clock.now, EntryKind.PROBE, self.pod.name, result.value, probe=kind.value)
            self._clock.call_in(UPDATE_S, lambda: self._act_on(kind, result))
        else:
            self._act_on(kind, result)

    def _act_on(self, kind: ProbeKind, result: Result) -> None:
        """The verdict has reached the kubelet's main loop."""
        current = self.probers[kind].result_for(self.seen.container) is result
        if kind is ProbeKind.LIVENESS and result is not Result.FAILURE:
            return
        if kind is ProbeKind.STARTUP and current:
            self.seen = replace(self.seen, started=self.seen.running and result is Result.SUCCESS)
            self._wake_probers()
        elif kind is ProbeKind.READINESS and current:
            self._container_ready = self.seen.running and self.seen.started and result is Result.SUCCESS
            self._write_ready()
        self.request_sync()

    def _sidecar_is_ready(self) -> None:
        self._sidecars_ready += 1
        self._write_ready()

    def _is_ready(self) -> bool:
        return self._container_ready and self._sidecars_ready == len(self.spec.sidecars) and all(self.gates)

    def _write_ready(self) -> None:
        ready = self._is_ready()
        if self._reported and ready != self._ready:
            self._ready = ready
            self._write(ready=ready, ready_transition_s=self._clock.now)

    def _write(self, **changes: Any) -> None:
        """Hand what is new in the status to the status manager; after the final one nothing counts."""
        news = {field: value for field, value in changes.items() if self._told.get(field, _UNTOLD) != value}
        if self._over or not news:
            return
        self._told |= news
        statuses = self._kubelet.statuses[self._node.name]
        statuses.set(self.pod.name, news, takes=self._write_s, store=self._store)

    def _write_s(self) -> float:
        self._writes += 1
        return self._draw(self._laws.status_write, "status_write", self._writes)

    def _store(self, changes: dict[str, Any]) -> None:
        phase = changes.get("phase")
        if self.pod.state.gone_s is None:  # a pod removed by force is still being ended here
            if self.pod.state.running_s is None and phase is PodPhase.RUNNING:
                changes["running_s"] = self._clock.now
            self._kubelet.api.set_pod(self.pod, **changes)
        if phase is not None and phase.terminal:
            self._final_stored.succeed()

    def _wake_probers(self) -> None:
        for prober in self.probers.values():
            prober.wake()

    def _draw(self, law: Law, stream: str, number: int = 0) -> float:
        """This pod's luck: by purpose, template, pod ordinal and occurrence."""
        return law(f"{stream}/{self.pod.template.name}/{number}", self.pod.ordinal)
