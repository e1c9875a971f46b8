"""Phases and conditions of a pod, as tables from kubernetes-semantics 3.1."""

import pytest

from zdsim.cluster.api import PodPhase
from zdsim.cluster.pod import ContainerState, ContainerStatus, RestartPolicy, conditions, get_phase

WAITING = ContainerStatus(ContainerState.WAITING)
BACKING_OFF = ContainerStatus(ContainerState.WAITING, last_exit_code=1)
RUNNING = ContainerStatus(ContainerState.RUNNING)
DONE = ContainerStatus(ContainerState.TERMINATED, exit_code=0)
SIGTERMED = ContainerStatus(ContainerState.TERMINATED, exit_code=143)
PENDING, UP, SUCCEEDED, FAILED = PodPhase.PENDING, PodPhase.RUNNING, PodPhase.SUCCEEDED, PodPhase.FAILED
ALWAYS, ON_FAILURE, NEVER = RestartPolicy.ALWAYS, RestartPolicy.ON_FAILURE, RestartPolicy.NEVER


@pytest.mark.parametrize(
    ("containers", "policy", "phase"),
    [
        ([WAITING], ALWAYS, PENDING),
        ([None], ALWAYS, PENDING),
        ([RUNNING], ALWAYS, UP),
        ([RUNNING, WAITING], ALWAYS, PENDING),  # one has never started
        ([RUNNING, None], ALWAYS, PENDING),
        ([BACKING_OFF], ALWAYS, UP),  # a crash-looping pod is Running
        ([SIGTERMED], ALWAYS, UP),  # about to be restarted
        ([RUNNING, DONE], NEVER, UP),
        ([DONE, DONE], NEVER, SUCCEEDED),
        ([DONE, SIGTERMED], NEVER, FAILED),
        ([DONE], ON_FAILURE, SUCCEEDED),
        ([SIGTERMED], ON_FAILURE, UP),
        ([DONE], ALWAYS, UP),
    ],
)
def test_phase(containers: list[ContainerStatus | None], policy: RestartPolicy, phase: PodPhase) -> None:
    assert get_phase(containers, restart_policy=policy) is phase


@pytest.mark.parametrize(
    ("containers", "phase"), [([DONE], SUCCEEDED), ([SIGTERMED], FAILED), ([DONE, SIGTERMED], FAILED)]
)
def test_phase_of_a_pod_torn_down(containers: list[ContainerStatus | None], phase: PodPhase) -> None:
    assert get_phase(containers, terminal=True) is phase


@pytest.mark.parametrize(
    ("init", "policy", "phase"),
    [
        ([RUNNING], ALWAYS, PENDING),
        ([DONE, None], ALWAYS, PENDING),
        ([DONE, DONE], ALWAYS, UP),
        ([SIGTERMED], NEVER, FAILED),
    ],
)
def test_phase_with_init_containers(init: list[ContainerStatus | None], policy: RestartPolicy, phase: PodPhase) -> None:
    assert get_phase([RUNNING], init, restart_policy=policy) is phase


def test_ready_needs_every_container_and_every_gate() -> None:
    ready = ContainerStatus(ContainerState.RUNNING, ready=True, started=True)
    assert conditions([ready, ready]).ready
    assert not conditions([ready, RUNNING]).ready
    assert not conditions([ready], readiness_gates=[True, False]).ready
    assert conditions([ready], readiness_gates=[True, False]).containers_ready
    assert not conditions([ready], phase=PodPhase.FAILED).ready
    assert not conditions([ready], [RUNNING]).initialized
    assert conditions([ready], [DONE]).initialized
