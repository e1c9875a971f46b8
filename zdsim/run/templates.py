"""How does a Deployment of the scenario, with its process and its bugs, become what the cluster is told?"""

from collections.abc import Callable
from dataclasses import dataclass

from zdsim.cluster.api import DeploymentSpec, PodTemplate, StrategyKind
from zdsim.cluster.latency import Law
from zdsim.cluster.pod import PodSpec, Probe, ProbeLane, ProcessModel, Sidecar, Spell
from zdsim.cluster.probes import ProbeKind, ProbeSpec
from zdsim.cluster.termination import OnSigterm
from zdsim.plane.vocabulary import ProbeDepth
from zdsim.run.laws import Luck
from zdsim.run.plane_config import bugs_of
from zdsim.scenario import deployment as words
from zdsim.scenario import process
from zdsim.scenario.deployment import NO_DEADLINE, Deployment, StrategyType
from zdsim.scenario.laws import AnyLaw
from zdsim.scenario.model import Scenario
from zdsim.scenario.process import SigtermKind
from zdsim.scenario.release import Bug
from zdsim.scenario.strategy import Recreate, Rolling

_SIGTERM = {
    SigtermKind.DRAIN: OnSigterm.DRAIN,
    SigtermKind.EXIT: OnSigterm.EXIT,
    SigtermKind.IGNORE: OnSigterm.IGNORE,
    SigtermKind.LAME_DUCK: OnSigterm.LAME_DUCK,
}
_DEPTHS = {
    process.ProbeDepth.PROCESS: ProbeDepth.PROCESS,
    process.ProbeDepth.DEPENDENCIES: ProbeDepth.DEPENDENCIES,
    process.ProbeDepth.WARM: ProbeDepth.WARM,
}


@dataclass(frozen=True, slots=True)
class Templates:
    """Makes the templates of one scenario under one luck.

    Attributes:
        sigterm_ignored: asked when a process of a revision gets SIGTERM: does a fault make it deaf?
    """

    scenario: Scenario
    luck: Luck
    sigterm_ignored: Callable[[int], bool]

    def deployment_spec(self, deployment: Deployment, revision: int) -> DeploymentSpec:
        """The Deployment with the template of `revision` (an index)."""
        rolling = deployment.strategy.rolling
        recreate = deployment.strategy.type is StrategyType.RECREATE
        surge, unavailable = rolling.max_surge, rolling.max_unavailable
        match self.scenario.release.strategy if self.scenario.release is not None else None:
            case Recreate():
                recreate = True
            case Rolling() as asked:
                recreate = False
                surge = surge if asked.max_surge is None else asked.max_surge
                unavailable = unavailable if asked.max_unavailable is None else asked.max_unavailable
        deadline, history = deployment.progress_deadline_s, deployment.revision_history_limit
        return DeploymentSpec(
            template=self.pod_template(deployment, revision),
            replicas=deployment.replicas,
            strategy=StrategyKind.RECREATE if recreate else StrategyKind.ROLLING_UPDATE,
            max_surge=surge,
            max_unavailable=unavailable,
            min_ready_s=deployment.min_ready_s,
            progress_deadline_s=None if deadline == NO_DEADLINE else deadline,
            history_limit=None if history == NO_DEADLINE else history,
            paused=deployment.paused,
        )

    def pod_template(self, deployment: Deployment, revision: int) -> PodTemplate:
        """The pod template of `revision` (an index)."""
        bug = bugs_of(self.scenario)[revision]
        hook = None if deployment.pre_stop is None else self.scenario.pre_stop_s(deployment)
        init = [one for one in deployment.init_containers if not one.is_sidecar]
        native = [one for one in deployment.init_containers if one.is_sidecar]
        return PodTemplate(
            name=f"v{revision + 1}",
            revision=revision,
            grace_s=float(deployment.grace_s),
            spec=PodSpec(
                process=self._process(deployment, revision, bug),
                probes=self._probes(deployment),
                init_s=tuple(self.scenario.process.init_s for _ in init),
                sidecars=(*(Sidecar(native=True) for _ in native), *(Sidecar() for _ in deployment.containers)),
                prestop_s=hook,
            ),
        )

    def _process(self, deployment: Deployment, revision: int, bug: Bug | None) -> ProcessModel:
        spec = self.scenario.process
        sigterm = spec.sigterm
        never_ready = bug is not None and bug.never_ready
        return ProcessModel(
            startup=self._law(spec.startup, 1.0 if bug is None else bug.slow_start),
            ready_delay=lambda stream, number: spec.ready_delay_s,
            on_sigterm=_SIGTERM[sigterm.kind],
            lame_duck_s=sigterm.lame_duck_s,
            close_on_drain=spec.close_on_drain,
            handles_sigterm=False,
            sigterm_ignored=lambda: self.sigterm_ignored(revision),
            crash_after=None if bug is None or bug.crash_after is None else self._law(bug.crash_after),
            deadlock_after=None if bug is None or bug.deadlock_after is None else self._law(bug.deadlock_after),
            memory_requests=memory_requests(self.scenario, deployment, bug),
            bad_spells={ProbeKind.READINESS: (Spell(0.0),)} if never_ready else {},
        )

    def _probes(self, deployment: Deployment) -> dict[ProbeKind, Probe]:
        spec = self.scenario.process
        lane = ProbeLane.SHARED if spec.probe_lane is process.ProbeLane.SHARED else ProbeLane.OWN
        readiness, liveness = _DEPTHS[spec.readiness_depth], _DEPTHS[spec.liveness_depth]
        probes = {}
        for kind, probe, depth in (
            (ProbeKind.READINESS, deployment.readiness_probe, readiness),
            (ProbeKind.LIVENESS, deployment.liveness_probe, liveness),
            (ProbeKind.STARTUP, deployment.startup_probe, liveness),
        ):
            if probe is not None:
                probes[kind] = Probe(_probe_spec(probe), depth, lane)
        return probes

    def _law(self, law: AnyLaw, factor: float = 1.0) -> Law:
        """A law of the scenario in the cluster's terms: (stream, number) -> seconds."""

        def draw(stream: str, number: int) -> float:
            return factor * self.luck.draw(law, stream, number)

        return draw


def memory_requests(scenario: Scenario, deployment: Deployment, bug: Bug | None) -> int:
    """Requests until a leaking process meets its memory limit; 0 = never (no leak, or no limit)."""
    limit = deployment.resources.limits.memory
    if bug is None or bug.leak_per_request == 0.0 or limit is None:
        return 0
    room = limit * (1.0 - scenario.process.memory.base)
    return max(1, int(room / bug.leak_per_request))


def memory_limit(scenario: Scenario, revision: int) -> float | None:
    """Memory limit of a pod of a revision, bytes; None without one."""
    n = min(revision, 0 if scenario.release is None else 1 + len(scenario.release.then))
    return scenario.deployment_after(n).resources.limits.memory


def memory_base(scenario: Scenario, revision: int) -> float:
    """Memory of a fresh process, bytes; 0 where no limit tells."""
    return (memory_limit(scenario, revision) or 0.0) * scenario.process.memory.base


def _probe_spec(probe: words.Probe) -> ProbeSpec:
    return ProbeSpec(
        initial_delay_s=float(probe.initial_delay_s),
        period_s=float(probe.period_s),
        timeout_s=float(probe.timeout_s),
        success_threshold=probe.success_threshold,
        failure_threshold=probe.failure_threshold,
        grace_s=None if probe.termination_grace_period_s is None else float(probe.termination_grace_period_s),
    )
