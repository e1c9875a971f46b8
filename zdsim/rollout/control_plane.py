"""Which parts make up a Kubernetes control plane here, and how are they started and operated?

`start_control_plane` gives the API, the two controllers and the scheduler; a kubelet and an endpoints controller watch
the same API. `undo` is the client-side command of kubectl.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zdsim.cluster.api import Api, DeploymentState, Pod
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.journal import EntryKind, Journal
from zdsim.cluster.latency import Law
from zdsim.cluster.replicaset_controller import ReplicaSetController
from zdsim.cluster.scheduler import Scheduler
from zdsim.cluster.workqueue import ClientLimits
from zdsim.rollout import history
from zdsim.rollout.controller import DeploymentController, view_of

__all__ = ["ControlPlane", "start_control_plane", "undo"]


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The running parts."""

    api: Api
    journal: Journal
    deployments: DeploymentController
    replicasets: ReplicaSetController
    scheduler: Scheduler


def start_control_plane(
    clock: SharedClock,
    *,
    watch_delay: Law,
    write_delay: Law,
    journal: Journal | None = None,
    limits: ClientLimits | None = None,
    report_terminating: bool = True,
    choose_node: Callable[[Pod], str | None] | None = None,
) -> ControlPlane:
    """Start API, controllers and scheduler on `clock`. Create deployments through `.api`.

    Args:
        watch_delay: seconds until a watcher hears of a change, by (stream, number).
        write_delay: seconds of an API call, by (stream, number).
        limits: of each controller's client; None = 20 calls/s, burst 30.
        report_terminating: ReplicaSet status tells terminating pods (Kubernetes 1.35 and later).
        choose_node: name of the node for a pod, or None while it fits nowhere; None = one node with room for all.
    """
    journal = journal if journal is not None else Journal()
    api = Api(clock, watch_delay=watch_delay)
    replicasets = ReplicaSetController(
        api, write_delay=write_delay, limits=limits, journal=journal, report_terminating=report_terminating
    )
    deployments = DeploymentController(api, write_delay=write_delay, limits=limits, journal=journal)
    scheduler = Scheduler(api, write_delay=write_delay, choose_node=choose_node)
    return ControlPlane(api, journal, deployments, replicasets, scheduler)


def undo(
    api: Api, deployment: str, *, to_revision: int | None = None, journal: Journal | None = None
) -> DeploymentState:
    """`kubectl rollout undo`: ask for the template of the previous (or a named) revision again.

    Raises:
        UndoError: paused, no such revision, or already asked for.
    """
    spec = api.deployments[deployment].state.spec
    sets = {name: rs for name, rs in api.replicasets.items() if rs.deployment == deployment}
    target = history.undo_target(
        [view_of(rs, rs.state) for rs in sets.values()],
        spec.template.name,
        paused=spec.paused,
        to_revision=to_revision,
    )
    if journal is not None:
        journal.write(api.clock.now, EntryKind.ACTION, deployment, "Undo", f"back to revision {target.revision}")
    return api.set_template(deployment, sets[target.name].template)
