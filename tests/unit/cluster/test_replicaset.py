"""Tables for the ReplicaSet's arithmetic (Kubernetes 1.36, replica_set.go and controller_utils.go)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.cluster.replicaset import (
    VictimView,
    compare_victims,
    create_batches,
    is_available,
    log2_bucket,
    next_availability_check,
    pods_to_delete,
    ranks_by_node,
    size_change,
)

NOW = 10_000.0
BASE = VictimView(uid=5, ready_s=NOW - 300.0, created_s=NOW - 400.0)


@pytest.mark.parametrize(
    ("active", "spec", "change"), [(0, 3, 3), (3, 3, 0), (10, 8, -2), (0, 700, 500), (700, 0, -500)]
)
def test_size_change_is_limited_to_a_burst(active: int, spec: int, change: int) -> None:
    assert size_change(active, spec) == change


@pytest.mark.parametrize(
    ("n", "batches"),
    [(0, []), (1, [1]), (2, [1, 1]), (3, [1, 2]), (10, [1, 2, 4, 3]), (15, [1, 2, 4, 8]), (16, [1, 2, 4, 8, 1])],
)
def test_creation_starts_slowly(n: int, batches: list[int]) -> None:
    assert list(create_batches(n)) == batches


@pytest.mark.parametrize(
    "edge_s",
    [1.0737, 2.1475, 4.2950, 8.5899, 17.18, 34.36, 68.72, 137.44, 274.88, 549.8, 1099.5, 2199.0, 4398.0, 8796.1],
)
def test_bucket_edges_are_powers_of_two_of_nanoseconds(edge_s: float) -> None:
    assert log2_bucket(edge_s * 1.001) == log2_bucket(edge_s * 0.999) + 1


@pytest.mark.parametrize("age_s", [0.0, -5.0])
def test_no_age_is_below_every_bucket(age_s: float) -> None:
    assert log2_bucket(age_s) == -1


FIRST_AND_SECOND = {
    "1 unassigned before assigned": (replace(BASE, node=None), BASE),
    "1 before 2": (replace(BASE, node=None), replace(BASE, phase="Pending")),
    "2 pending before unknown": (replace(BASE, phase="Pending"), replace(BASE, phase="Unknown")),
    "2 unknown before running": (replace(BASE, phase="Unknown"), BASE),
    "2 before 3": (replace(BASE, phase="Pending"), replace(BASE, ready=False)),
    "3 not ready before ready": (replace(BASE, ready=False), BASE),
    "3 before 4": (replace(BASE, ready=False, deletion_cost=9), replace(BASE, deletion_cost=-9)),
    "4 lower deletion cost": (replace(BASE, deletion_cost=-1), BASE),
    "4 before 5": (replace(BASE, deletion_cost=-1), replace(BASE, rank=9)),
    "5 more related pods on the node": (replace(BASE, rank=3), replace(BASE, rank=2)),
    "5 before 6": (replace(BASE, rank=3), replace(BASE, ready_s=NOW - 1.0)),
    "6 ready more recently, another bucket": (replace(BASE, ready_s=NOW - 200.0), BASE),
    "6 same bucket, another time: smaller uid": (replace(BASE, uid=4, ready_s=NOW - 500.0), BASE),
    "6 same bucket, another time: before 7": (replace(BASE, uid=4, ready_s=NOW - 500.0), replace(BASE, restarts=7)),
    "6 missing ready time is newest": (replace(BASE, ready_s=None), replace(BASE, ready_s=NOW)),
    "7 more restarts": (replace(BASE, restarts=2), replace(BASE, restarts=1)),
    "7 then more sidecar restarts": (replace(BASE, sidecar_restarts=2), BASE),
    "7 before 8": (replace(BASE, restarts=2), replace(BASE, created_s=NOW)),
    "8 younger": (replace(BASE, created_s=NOW - 350.0), replace(BASE, created_s=NOW - 2000.0)),
    "8 same bucket: smaller uid": (replace(BASE, uid=4, created_s=NOW - 500.0), BASE),
    "8 missing creation time is newest": (replace(BASE, created_s=None), BASE),
    "not ready: ready times do not count": (
        replace(BASE, ready=False, ready_s=NOW - 1.0, restarts=1),
        replace(BASE, ready=False, ready_s=NOW - 900.0, uid=1),
    ),
}


@pytest.mark.parametrize("case", FIRST_AND_SECOND)
def test_victim_order(case: str) -> None:
    first, second = FIRST_AND_SECOND[case]
    assert compare_victims(first, second, NOW) < 0
    assert compare_victims(second, first, NOW) > 0
    assert pods_to_delete([second, first], 1, NOW) == [1]
    assert pods_to_delete([first, second], 1, NOW) == [0]


def test_uids_of_text_are_compared_as_text() -> None:
    a, b = replace(BASE, uid="a", ready_s=NOW - 500.0), replace(BASE, uid="b")
    assert compare_victims(a, b, NOW) < 0 < compare_victims(b, a, NOW)


def test_the_pods_just_added_go_first_on_scale_down() -> None:
    """kubernetes-semantics 6, fact 19: shortest ready by bucket, not at random and not the oldest."""
    pods = [
        replace(BASE, uid=uid, ready_s=NOW - age, created_s=NOW - age - 5.0)
        for uid, age in enumerate((4000, 20, 900, 3))
    ]
    assert pods_to_delete(pods, 2, NOW) == [3, 1]


def test_all_are_deleted_without_a_choice() -> None:
    assert pods_to_delete([BASE, replace(BASE, node=None)], 2, NOW) == [0, 1]


def test_ranks_count_related_pods_on_the_same_node() -> None:
    assert ranks_by_node(["a", "b", None], ["a", "a", "b", None]) == [2, 1, 0]


@given(ages=st.lists(st.integers(0, 20_000), min_size=1, max_size=12), n=st.integers(0, 12), cost=st.integers(-3, 3))
def test_choosing_a_few_is_the_beginning_of_choosing_more(ages: list[int], n: int, cost: int) -> None:
    """Whole order and selection agree, where no two ages fall into one bucket."""
    by_bucket = {log2_bucket(float(age)): age for age in ages}
    pods = [replace(BASE, uid=i, ready_s=NOW - age, deletion_cost=cost) for i, age in enumerate(by_bucket.values())]
    n = min(n, len(pods) - 1)
    youngest_first = sorted(range(len(pods)), key=lambda i: -(pods[i].ready_s or 0.0))
    assert pods_to_delete(pods, n, NOW) == youngest_first[:n]


@pytest.mark.parametrize(
    ("ready", "transition", "min_ready", "now", "available"),
    [
        (False, 0.0, 0, 100.0, False),
        (True, None, 0, 100.0, True),
        (True, 100.0, 0, 100.0, True),
        (True, 10.0, 5, 14.999, False),
        (True, 10.0, 5, 15.0, True),  # <=, older releases wanted strictly later
        (True, 10.9, 5, 15.0, True),  # whole seconds: up to one second early
        (True, None, 5, 100.0, False),
    ],
)
def test_available(ready: bool, transition: float | None, min_ready: int, now: float, available: bool) -> None:
    assert is_available(ready=ready, ready_transition_s=transition, min_ready_s=min_ready, now=now) is available


@pytest.mark.parametrize(
    ("pods", "min_ready", "wait"),
    [
        ([(True, 10.9), (True, 8.0)], 5, 1.0),  # 8 + 5 - 12
        ([(True, 7.0)], 5, None),  # there already
        ([(False, 10.0), (True, None)], 5, None),
        ([(True, 10.0)], 0, None),
    ],
)
def test_next_check(pods: list[tuple[bool, float | None]], min_ready: int, wait: float | None) -> None:
    assert next_availability_check(pods, min_ready_s=min_ready, now=12.0) == wait


@given(transition=st.floats(0.0, 1e6), min_ready=st.integers(1, 1000), ahead=st.floats(0.0, 2e3))
def test_the_next_check_is_the_moment_of_availability(transition: float, min_ready: int, ahead: float) -> None:
    now = transition + ahead
    wait = next_availability_check([(True, transition)], min_ready_s=min_ready, now=now)
    there = is_available(ready=True, ready_transition_s=transition, min_ready_s=min_ready, now=now)
    assert there is (wait is None)
    if wait is not None:
        assert now + wait == pytest.approx(int(transition) + min_ready)
