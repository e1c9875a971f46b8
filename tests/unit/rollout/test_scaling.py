"""Tables for scaling in mid-rollout and while paused (Kubernetes 1.36, sync.go, deployment_util.go)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.cluster.api import StrategyKind
from zdsim.rollout.deployment import Reason, ReplicaSetView
from zdsim.rollout.scaling import (
    find_active_or_latest,
    is_saturated,
    is_scaling_event,
    replica_set_fraction,
    replica_set_proportion,
    scale,
)


def rs(name: str, spec: int, *, desired: int | None = 10, most: int | None = 13, available: int = 0) -> ReplicaSetView:
    return ReplicaSetView(
        name,
        spec,
        available=available,
        created_s=float(name[1:]),
        template=name,
        desired=desired,
        max_replicas=most,
    )


def test_a_scaling_event_is_another_desired_annotation_on_a_set_with_pods() -> None:
    assert is_scaling_event([rs("v1", 8), rs("v2", 5)], 20)
    assert not is_scaling_event([rs("v1", 8), rs("v2", 5)], 10)
    assert not is_scaling_event([rs("v1", 0), rs("v2", 5, desired=None)], 20)


def test_the_only_set_with_pods_gets_everything_without_surge() -> None:
    decision = scale(rs("v2", 10), [rs("v1", 0)], replicas=20)
    assert (decision.sizes, decision.reason) == ({"v2": 20}, Reason.SCALED_ACTIVE)
    assert scale(rs("v2", 0), [rs("v1", 10)], replicas=4).sizes == {"v1": 4}
    assert scale(rs("v2", 20), [], replicas=20).reason is Reason.NOTHING_TO_SCALE


def test_without_pods_the_new_set_else_the_youngest() -> None:
    assert find_active_or_latest(rs("v1", 0), [rs("v2", 0)]) == rs("v1", 0)
    assert find_active_or_latest(None, [rs("v1", 0), rs("v2", 0)]) == rs("v2", 0)
    assert find_active_or_latest(None, []) is None
    assert find_active_or_latest(rs("v2", 1), [rs("v1", 1)]) is None


def test_a_saturated_new_set_sends_the_old_away() -> None:
    full = rs("v3", 10, available=10)
    assert is_saturated(full, 10)
    decision = scale(full, [rs("v1", 2), rs("v2", 0)], replicas=10)
    assert (decision.sizes, decision.reason) == ({"v1": 0}, Reason.SCALED_DOWN_SATURATED)
    assert not is_saturated(rs("v3", 10, available=10, desired=9), 10)
    assert not is_saturated(None, 10)


@pytest.mark.parametrize(
    ("spec", "most", "replicas", "surge", "fraction"),
    [
        (8, 13, 20, 5, 7),  # 200/13 = 15.38
        (5, 13, 20, 5, 5),  # 125/13 = 9.6 -> 10
        (1, 2, 2, 1, 1),  # 1.5 -> 2: half away from zero
        (5, 10, 5, 0, -2),  # 2.5 -> 3
        (5, 13, 0, 0, -5),
        (5, None, 20, 5, 0),  # no annotation and no pods on record
    ],
)
def test_fraction(spec: int, most: int | None, replicas: int, surge: int, fraction: int) -> None:
    assert replica_set_fraction(rs("v1", spec, most=most), replicas=replicas, surge=surge) == fraction


def test_fraction_without_annotation_uses_the_pods_on_record() -> None:
    assert replica_set_fraction(rs("v1", 5, most=None), replicas=20, surge=5, status_replicas=10) == 8  # 12.5 -> 13
    assert replica_set_fraction(rs("v1", 5, most=0), replicas=20, surge=5, status_replicas=10) == 8


@pytest.mark.parametrize(("to_add", "added", "proportion"), [(12, 0, 7), (12, 8, 4), (12, 12, 0), (0, 0, 0)])
def test_proportion_is_limited_by_what_is_left(to_add: int, added: int, proportion: int) -> None:
    assert replica_set_proportion(rs("v1", 8), replicas=20, surge=5, to_add=to_add, added=added) == proportion


@pytest.mark.parametrize(
    ("v1", "v2", "replicas", "expected"),
    [
        # Recorded in scale_mid_r10_to_20: v1=5 v2=8 -> v2=15 v1=10; v1=3 v2=10 -> v2=19 v1=6.
        (5, 8, 20, [("v2", 15), ("v1", 10)]),
        (3, 10, 20, [("v2", 19), ("v1", 6)]),
        (8, 5, 20, [("v1", 15), ("v2", 10)]),
        (4, 4, 10, [("v2", 9), ("v1", 4)]),  # fills the surge; largest first, ties: younger first; remainder to it
        (10, 3, 5, [("v1", 5), ("v2", 2)]),  # 13 -> 7: v1 10*7/13 = 5.38 -> -5, left -1: v2 3*7/13 = 1.6 -> 2
        (5, 5, 0, [("v1", 0), ("v2", 0)]),
    ],
)
def test_proportional(v1: int, v2: int, replicas: int, expected: list[tuple[str, int]]) -> None:
    decision = scale(rs("v2", v2), [rs("v1", v1)], replicas=replicas)
    assert [(r.name, r.size) for r in decision.resizes] == expected


def test_ties_go_to_the_younger_when_growing_and_to_the_older_when_shrinking() -> None:
    grow = scale(rs("v2", 5), [rs("v1", 5)], replicas=11)
    assert [r.name for r in grow.resizes] == ["v2", "v1"]
    shrink = scale(rs("v2", 5), [rs("v1", 5)], replicas=4)
    assert [r.name for r in shrink.resizes] == ["v1", "v2"]


def test_pausing_in_mid_step_may_add_an_old_pod() -> None:
    """Recorded in pause_resume_r10_25_25: (7, 5) becomes (8, 5) although nobody scaled."""
    assert scale(rs("v2", 5), [rs("v1", 7)], replicas=10).sizes == {"v1": 8, "v2": 5}


def test_nothing_happens_at_full_size() -> None:
    assert scale(rs("v2", 5), [rs("v1", 8)], replicas=10).sizes == {"v1": 8, "v2": 5}


def test_recreate_scales_one_set_only() -> None:
    decision = scale(rs("v2", 5), [rs("v1", 8)], replicas=20, strategy=StrategyKind.RECREATE)
    assert (decision.sizes, decision.reason) == ({}, Reason.NOTHING_TO_SCALE)


@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=5), before=st.integers(1, 60), replicas=st.integers(1, 60)
)
def test_growing_fills_exactly_and_never_takes(sizes: list[int], before: int, replicas: int) -> None:
    """Growing ends at N + S, and nobody ends below zero."""
    sets = [rs(f"v{i}", size, desired=before, most=max(before, sum(sizes))) for i, size in enumerate(sizes)]
    decision = scale(sets[-1], sets[:-1], replicas=replicas, surge=1, unavailable=0)
    if decision.reason is not Reason.SCALED_PROPORTIONALLY:
        return
    after = [r.size for r in decision.resizes]
    assert all(size >= 0 for size in after)
    if sum(sizes) <= replicas + 1:
        assert sum(after) == replicas + 1
