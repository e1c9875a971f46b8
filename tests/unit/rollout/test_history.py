"""Tables for revisions, history and undo (Kubernetes 1.36, sync.go; kubectl rollback.go)."""

from __future__ import annotations

import pytest

from zdsim.rollout.deployment import ReplicaSetView
from zdsim.rollout.history import KEEP_ALL, UndoError, next_revision, sets_to_delete, undo_target


def rs(name: str, revision: int, *, spec: int = 0, replicas: int = 0, observed: bool = True) -> ReplicaSetView:
    return ReplicaSetView(
        name, spec, replicas=replicas, revision=revision, created_s=float(revision), template=name, observed=observed
    )


def test_revisions_count_on() -> None:
    assert next_revision([]) == 1
    assert next_revision([rs("a", 4), rs("b", 2)]) == 5


@pytest.mark.parametrize(
    ("limit", "deleted"), [(10, []), (3, []), (2, ["a"]), (0, ["a", "b", "c"]), (None, []), (KEEP_ALL, [])]
)
def test_the_newest_stay(limit: int | None, deleted: list[str]) -> None:
    assert sets_to_delete([rs("c", 3), rs("a", 1), rs("b", 2)], limit) == deleted


@pytest.mark.parametrize("kept", [rs("a", 1, spec=1), rs("a", 1, replicas=1), rs("a", 1, observed=False)])
def test_only_empty_sets_with_a_current_status_are_deleted(kept: ReplicaSetView) -> None:
    """The excess is counted first: a set that may not go is not replaced by the next one."""
    assert sets_to_delete([kept, rs("b", 2), rs("c", 3)], 2) == []
    assert sets_to_delete([kept, rs("b", 2), rs("c", 3)], 1) == ["b"]


def test_undo_goes_to_the_second_highest_revision() -> None:
    sets = [rs("v1", 1), rs("v3", 3, spec=5), rs("v2", 2)]
    assert undo_target(sets, "v3", paused=False).name == "v2"
    assert undo_target(sets, "v3", paused=False, to_revision=0).name == "v2"
    assert undo_target(sets, "v3", paused=False, to_revision=1).name == "v1"
    # After an undo the old set is the newest: undoing again goes forward.
    assert undo_target([rs("v1", 3), rs("v2", 2)], "v1", paused=False).name == "v2"


def test_undo_is_refused() -> None:
    sets = [rs("v1", 1), rs("v2", 2)]
    with pytest.raises(UndoError, match="paused"):
        undo_target(sets, "v2", paused=True)
    with pytest.raises(UndoError, match="no revision 7"):
        undo_target(sets, "v2", paused=False, to_revision=7)
    with pytest.raises(UndoError, match="already matches"):
        undo_target(sets, "v2", paused=False, to_revision=2)
    with pytest.raises(UndoError, match="no earlier"):
        undo_target(sets[:1], "v1", paused=False)
