"""What of a scenario's Deployment, process and bug reaches the cluster?"""

from typing import Any

import pytest
from worldkit import Scenario, deployed, scenario

from zdsim.cluster.api import StrategyKind
from zdsim.cluster.probes import ProbeKind
from zdsim.cluster.termination import OnSigterm
from zdsim.plane.vocabulary import ProbeDepth
from zdsim.run.laws import Luck
from zdsim.run.templates import Templates, memory_base, memory_limit, memory_requests


def templates(what: Scenario) -> Templates:
    return Templates(what, Luck(1), lambda revision: False)


@pytest.mark.parametrize(
    ("written", "asked", "kind", "surge"),
    [
        ({}, None, StrategyKind.ROLLING_UPDATE, "25%"),
        ({"rollingUpdate": {"maxSurge": 3}}, {"kind": "rolling"}, StrategyKind.ROLLING_UPDATE, 3),
        ({"rollingUpdate": {"maxSurge": 3}}, {"kind": "rolling", "max_surge": 1}, StrategyKind.ROLLING_UPDATE, 1),
        ({"type": "Recreate"}, {"kind": "rolling"}, StrategyKind.ROLLING_UPDATE, "25%"),
        ({"type": "Recreate"}, None, StrategyKind.RECREATE, "25%"),
        ({}, {"kind": "recreate"}, StrategyKind.RECREATE, "25%"),
    ],
)
def test_a_strategy_overrules_the_manifest(
    written: dict[str, Any], asked: dict[str, Any] | None, kind: StrategyKind, surge: int | str
) -> None:
    what = scenario(service=deployed(strategy=written), release={"strategy": asked})
    spec = templates(what).deployment_spec(what.deployment, 0)
    assert (spec.strategy, spec.max_surge) == (kind, surge)


def test_no_deadline_is_none() -> None:
    never = deployed(progressDeadlineSeconds=2_147_483_647, revisionHistoryLimit=2_147_483_647)
    what = scenario(service=never)
    spec = templates(what).deployment_spec(what.deployment, 0)
    assert spec.progress_deadline_s is None
    assert spec.history_limit is None


def test_a_bug_belongs_to_its_revision() -> None:
    what = scenario(release={"bug": {"never_ready": True, "slow_start": 3, "crash_after": "9s"}})
    old, new = (templates(what).pod_template(what.deployment, r) for r in (0, 1))
    assert (old.name, old.revision, new.name, new.revision) == ("v1", 0, "v2", 1)
    assert old.spec.process.startup("pod", 0) == 1.0
    assert new.spec.process.startup("pod", 0) == 3.0
    assert old.spec.process.crash_after is None
    assert new.spec.process.crash_after is not None
    assert new.spec.process.crash_after("pod", 0) == 9.0
    assert list(old.spec.process.bad_spells) == []
    assert list(new.spec.process.bad_spells) == [ProbeKind.READINESS]


def test_a_shell_as_pid_1_ignores() -> None:
    what = scenario(process={"on_sigterm": "exit", "pid1_forwards": False})
    assert templates(what).pod_template(what.deployment, 0).spec.process.on_sigterm is OnSigterm.IGNORE


def test_probes_ask_for_their_depth() -> None:
    """A startup probe asks what liveness asks."""
    service = deployed(livenessProbe={"periodSeconds": 7}, startupProbe={"failureThreshold": 9})
    what = scenario(service=service, process={"readiness_depth": "warm", "liveness_depth": "dependencies"})
    probes = templates(what).pod_template(what.deployment, 0).spec.probes
    assert {kind: probe.depth for kind, probe in probes.items()} == {
        ProbeKind.READINESS: ProbeDepth.WARM,
        ProbeKind.LIVENESS: ProbeDepth.DEPENDENCIES,
        ProbeKind.STARTUP: ProbeDepth.DEPENDENCIES,
    }
    assert probes[ProbeKind.LIVENESS].spec.period_s == 7.0
    assert probes[ProbeKind.STARTUP].spec.failure_threshold == 9


def test_the_hook_and_its_absence() -> None:
    with_it, without = scenario(), scenario(service=deployed(preStop=None))
    assert templates(with_it).pod_template(with_it.deployment, 0).spec.prestop_s == 2.0
    assert templates(without).pod_template(without.deployment, 0).spec.prestop_s is None


def test_room_for_a_leak() -> None:
    """Half of 256 Mi is taken; 4 Mi a request leaves room for 32. No limit, or no leak: for ever (0)."""
    bug = {"leak_per_request": "4Mi"}
    what = scenario(service=deployed(resources={"limits": {"memory": "256Mi"}}), release={"bug": bug})
    assert what.release is not None
    assert memory_requests(what, what.deployment, what.release.bug) == 32
    assert memory_requests(what, what.deployment, None) == 0
    assert memory_limit(what, 1) == 256 * 2**20
    assert memory_base(what, 1) == 128 * 2**20
    free = scenario(release={"bug": bug})
    assert free.release is not None
    assert memory_requests(free, free.deployment, free.release.bug) == 0
    assert memory_base(free, 0) == 0.0
