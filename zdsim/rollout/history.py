"""Which revision is which, which old ReplicaSets are thrown away, and what does an undo go back to?

Source: pkg/controller/deployment/sync.go (cleanupDeployment, getNewReplicaSet), pkg/controller/controller_utils.go
(ReplicaSetsByRevision), kubectl pkg/polymorphichelpers/rollback.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from zdsim.rollout.deployment import ReplicaSetView

__all__ = ["KEEP_ALL", "UndoError", "next_revision", "sets_to_delete", "undo_target"]

KEEP_ALL: Final = 2147483647  # revisionHistoryLimit: no limit


class UndoError(Exception):
    """kubectl refuses to roll back, and says why."""


def next_revision(old: Iterable[ReplicaSetView]) -> int:
    """Revision of the new set: one more than the highest of the old ones."""
    return max((view.revision for view in old), default=0) + 1


def sets_to_delete(old: Sequence[ReplicaSetView], limit: int | None) -> list[str]:
    """Names of old sets to delete (`cleanupDeployment`), called on completion or while paused.

    The newest `limit` by revision (then creation, then name) stay; of the others those that are empty in spec and
    status, with a current status.
    """
    if limit is None or limit == KEEP_ALL:
        return []
    excess = len(old) - limit
    if excess <= 0:
        return []
    ordered = sorted(old, key=lambda view: (view.revision, view.created_s, view.name))
    return [view.name for view in ordered[:excess] if view.spec == 0 and view.replicas == 0 and view.observed]


def undo_target(
    sets: Sequence[ReplicaSetView], template: str, *, paused: bool, to_revision: int | None = None
) -> ReplicaSetView:
    """The set whose template `kubectl rollout undo` puts into the spec.

    Args:
        template: what the deployment asks for now.
        to_revision: None or 0: the second-highest revision.

    Raises:
        UndoError: the deployment is paused, there is no such revision, or it is the template already asked for.
    """
    if paused:
        raise UndoError("a paused deployment cannot be rolled back; resume it first")
    if to_revision:
        found = [view for view in sets if view.revision == to_revision]
        if not found:
            raise UndoError(f"there is no revision {to_revision}; known: {sorted(view.revision for view in sets)}")
        target = found[0]
    else:
        ordered = sorted(sets, key=lambda view: view.revision)
        if len(ordered) < 2:
            raise UndoError("there is no earlier revision")
        target = ordered[-2]
    if target.template == template:
        raise UndoError(f"the current template already matches revision {target.revision}")
    return target
