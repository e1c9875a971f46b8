"""Tables for the Deployment arithmetic (Kubernetes 1.36, rolling.go, recreate.go, deployment_util.go)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.cluster.api import StrategyKind
from zdsim.rollout.deployment import (
    Decision,
    Reason,
    ReplicaSetView,
    find_new_replica_set,
    max_surge,
    max_unavailable,
    min_available,
    new_rs_new_replicas,
    recreate_step,
    resolve_fenceposts,
    rolling_step,
    scaled_value,
)


def rs(
    name: str, spec: int, available: int | None = None, *, created: float | None = None, replicas: int | None = None
) -> ReplicaSetView:
    """A set v<n> created at n, by default with all its pods available."""
    available = spec if available is None else available
    return ReplicaSetView(
        name,
        spec,
        replicas=max(spec, available) if replicas is None else replicas,
        ready=available,
        available=available,
        created_s=float(name[1:]) if created is None else created,
        template=name,
    )


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable"),
    [(1, 1, 0), (2, 1, 0), (3, 1, 0), (4, 1, 1), (5, 2, 1), (7, 2, 1), (8, 2, 2), (10, 3, 2), (20, 5, 5)],
)
def test_default_limits(replicas: int, surge: int, unavailable: int) -> None:
    """25 %/25 %: surge rounds up, unavailable rounds down."""
    assert resolve_fenceposts("25%", "25%", replicas) == (surge, unavailable)
    assert max_surge(replicas) == surge
    assert max_unavailable(replicas) == unavailable
    assert min_available(replicas) == replicas - unavailable


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        (3, 2, 10, (3, 2)),
        (0, 0, 10, (0, 1)),
        ("0%", "0%", 10, (0, 1)),
        (0, "25%", 3, (0, 1)),  # 0.75 rounds down to 0, both 0: unavailable becomes 1
        (0, "25%", 2, (0, 1)),
        ("1%", "1%", 10, (1, 0)),
        ("34%", "10%", 20, (7, 2)),
        ("100%", 0, 10, (10, 0)),
        ("300%", 0, 4, (12, 0)),  # no upper limit
        ("25%", "25%", 0, (0, 1)),
        ("29%", "29%", 100, (29, 29)),  # exact, whatever binary fractions make of 0.29 * 100
    ],
)
def test_fenceposts(surge: int | str, unavailable: int | str, replicas: int, expected: tuple[int, int]) -> None:
    assert resolve_fenceposts(surge, unavailable, replicas) == expected


@pytest.mark.parametrize("bad", ["3", "", "%", "a%", "2.5%", "25 %", "25%%"])
def test_a_string_must_be_a_percentage(bad: str) -> None:
    with pytest.raises(ValueError, match="percentage"):
        scaled_value(bad, 10, round_up=True)


def test_limits_outside_rolling_updates() -> None:
    assert max_unavailable(0) == 0
    assert max_unavailable(3, 0, 7) == 3  # never more than there are
    recreate = StrategyKind.RECREATE
    assert (max_surge(10, strategy=recreate), max_unavailable(10, strategy=recreate)) == (0, 0)
    assert min_available(10, strategy=recreate) == 0


@pytest.mark.parametrize(
    ("replicas", "surge", "new", "total", "size"),
    [
        (10, "25%", 0, 10, 3),
        (10, "25%", 3, 11, 5),
        (10, 3, 5, 13, 5),
        (10, 3, 5, 14, 5),
        (10, 3, 9, 9, 10),
        (3, 0, 0, 3, 0),
    ],
)
def test_new_size(replicas: int, surge: int | str, new: int, total: int, size: int) -> None:
    assert new_rs_new_replicas(replicas, surge, new_spec=new, total_spec=total) == size


def test_new_size_of_recreate_is_everything() -> None:
    assert new_rs_new_replicas(5, 0, new_spec=0, total_spec=9, strategy=StrategyKind.RECREATE) == 5


def test_the_new_set_is_the_oldest_of_its_template() -> None:
    sets = [
        ReplicaSetView("b", 1, created_s=5.0, template="x"),
        ReplicaSetView("a", 1, created_s=5.0, template="x"),
        ReplicaSetView("c", 1, created_s=1.0, template="y"),
    ]
    found = find_new_replica_set(sets, "x")
    assert found is not None
    assert found.name == "a"
    assert find_new_replica_set(sets, "z") is None


def one_at_a_time(replicas: int, surge: int | str, unavailable: int | str) -> list[tuple[int, int]]:
    """(old, new) sizes after each write of a rollout; statuses catch up at once, pods become available one by one."""
    old, new = replicas, 0
    new_available = 0
    created = False
    trace: list[tuple[int, int]] = []
    for _ in range(200):
        decision = rolling_step(
            rs("v2", new, new_available) if created else None,
            [rs("v1", old)],
            replicas=replicas,
            surge=surge,
            unavailable=unavailable,
        )
        if decision.create is not None:
            created, new = True, decision.create
        old, new = decision.sizes.get("v1", old), decision.sizes.get("v2", new)
        if decision.create is not None or decision.resizes:
            trace.append((old, new))
        elif new_available < new:
            new_available += 1
        else:
            return trace
    raise AssertionError("no end")


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "trace"),
    [
        (
            10,
            "25%",
            "25%",
            "(8,3)(8,5)(7,5)(7,6)(6,6)(6,7)(5,7)(5,8)(4,8)(4,9)(3,9)(3,10)(2,10)(1,10)(0,10)",
        ),
        (4, "25%", "25%", "(3,1)(3,2)(2,2)(2,3)(1,3)(1,4)(0,4)"),
        (3, "25%", "25%", "(3,1)(2,1)(2,2)(1,2)(1,3)(0,3)"),
        (2, "0%", "25%", "(1,0)(1,1)(0,1)(0,2)"),
        (1, "25%", "25%", "(1,1)(0,1)"),  # one extra pod, never none
        (3, 0, 1, "(2,0)(2,1)(1,1)(1,2)(0,2)(0,3)"),
        (5, 2, 1, "(4,2)(4,3)(3,3)(3,4)(2,4)(2,5)(1,5)(0,5)"),
        (4, "100%", 0, "(4,4)(3,4)(2,4)(1,4)(0,4)"),
        (2, 0, "100%", "(0,0)(0,2)"),
    ],
)
def test_steady_traces(replicas: int, surge: int | str, unavailable: int | str, trace: str) -> None:
    assert "".join(f"({old},{new})" for old, new in one_at_a_time(replicas, surge, unavailable)) == trace


def step(new: ReplicaSetView | None, *old: ReplicaSetView, replicas: int = 10) -> Decision:
    return rolling_step(new, old, replicas=replicas)


def test_the_creating_sync_also_shrinks() -> None:
    """kubernetes-semantics 1.3: creation is no scale-up; U good pods go before any new one is ready."""
    decision = step(None, rs("v1", 10))
    assert (decision.create, decision.sizes, decision.reason) == (3, {"v1": 8}, Reason.CREATED_NEW)


def test_growing_wins_over_shrinking() -> None:
    decision = step(rs("v2", 3, 3), rs("v1", 8))
    assert (decision.sizes, decision.reason) == ({"v2": 5}, Reason.SCALED_UP_NEW)


def test_too_large_a_new_set_is_cut_first() -> None:
    decision = step(rs("v2", 12, 0), rs("v1", 3))
    assert (decision.sizes, decision.reason) == ({"v2": 10}, Reason.SCALED_DOWN_NEW)


def test_new_pods_that_are_not_available_never_pay() -> None:
    decision = step(rs("v2", 5, 0), rs("v1", 8))
    assert (decision.sizes, decision.reason) == ({}, Reason.WAITING_FOR_AVAILABLE)


def test_shrink_after_cleanup_has_the_same_budget_base() -> None:
    """v1 has 6 of 8 available, the new set 5 of 5: room 13 - 8 = 5, of it 2 unhealthy, then av 11 - 8 = 3."""
    decision = step(rs("v2", 5, 5), rs("v1", 8, 6))
    assert [(r.name, r.size, r.reason) for r in decision.resizes] == [
        ("v1", 6, Reason.CLEANED_UP_UNHEALTHY),
        ("v1", 3, Reason.SHRANK_OLD),
    ]


def test_cleanup_is_limited_by_room() -> None:
    decision = step(rs("v2", 5, 3), rs("v1", 8, 2))  # room 13 - 8 - 2 = 3; av 5 < 8: no budget
    assert [(r.size, r.reason) for r in decision.resizes] == [(5, Reason.CLEANED_UP_UNHEALTHY)]


def test_no_budget_without_enough_available_pods() -> None:
    # Both healthy by their own count, room 13 - 8 - 0 = 5, but only 5 + 3 pods are available.
    decision = step(rs("v2", 5, 5), rs("v1", 3), rs("v0", 5, 0, replicas=0))
    assert decision.sizes == {"v0": 0}  # cleanup took what serves nobody; nothing healthy went
    decision = step(rs("v2", 5, 5), rs("v1", 3))
    assert decision.sizes == {"v2": 10}


def test_stale_status_of_an_old_set_aborts_silently() -> None:
    """It was shrunk to 8, its status still says 10 available: k < 0. A model without this shrinks twice."""
    decision = step(rs("v2", 5, 2), rs("v1", 8, 10))
    assert (decision.sizes, decision.reason) == ({}, Reason.STALE_STATUS)


def test_what_was_written_before_the_abort_stands() -> None:
    decision = step(rs("v3", 3, 3), rs("v1", 5, 3), rs("v2", 5, 6))
    assert ([(r.name, r.size) for r in decision.resizes], decision.reason) == ([("v1", 3)], Reason.STALE_STATUS)


def test_a_stale_set_at_zero_neither_aborts_nor_counts() -> None:
    """Upstream sums available pods over the active old sets and the new one: v0's two are not there any more."""
    decision = step(rs("v3", 10, 5), rs("v1", 3, 3), rs("v0", 0, 2))
    assert decision.reason is Reason.WAITING_FOR_AVAILABLE
    decision = step(rs("v3", 10, 6), rs("v1", 3, 3), rs("v0", 0, 2))
    assert decision.sizes == {"v1": 2}  # budget 6 + 3 - 8 = 1


def test_a_stale_new_set_is_not_guarded() -> None:
    """Undo right after a shrink: v1 was cut to 3, its status shows 6; both room and budget come out too large.

    Recorded in undo_mid_r10_25_25: v2 10 -> 5 -> 2 while only 5 + 3 pods were available; the floor of 8 broke.
    """
    decision = step(rs("v1", 3, 6), rs("v2", 10, 5))
    assert [(r.name, r.size, r.reason) for r in decision.resizes] == [
        ("v2", 5, Reason.CLEANED_UP_UNHEALTHY),
        ("v2", 2, Reason.SHRANK_OLD),
    ]


def test_a_rollover_takes_broken_pods_of_the_middle_before_good_ones_of_the_first() -> None:
    decision = step(rs("v3", 0, 0), rs("v1", 8, 8), rs("v2", 5, 0))
    assert [(r.name, r.size) for r in decision.resizes] == [("v2", 0)]  # room 5, budget 8 - 8 = 0


def test_a_rollover_at_full_size_starts_with_zero() -> None:
    decision = step(None, rs("v1", 3, 3), rs("v2", 10, 5))
    assert (decision.create, decision.sizes) == (0, {"v2": 5})  # recorded: v3=0 v2=5


def test_old_sets_shrink_oldest_first() -> None:
    decision = step(rs("v3", 7, 5), rs("v2", 3, 3), rs("v1", 3, 3))  # room 13 - 8 - 2 = 3, budget 11 - 8 = 3
    assert decision.sizes == {"v1": 0}
    same_age = [rs("v2", 3, 3, created=1.0), rs("v1", 3, 3, created=1.0)]
    assert step(rs("v3", 7, 5), *same_age).sizes == {"v1": 0}  # then by name


def test_nothing_is_left_to_do() -> None:
    assert step(rs("v2", 10), rs("v1", 0)).reason is Reason.OLD_GONE


@given(
    replicas=st.integers(1, 30),
    surge=st.one_of(st.integers(0, 10), st.integers(0, 100).map("{}%".format)),
    unavailable=st.one_of(st.integers(0, 10), st.integers(0, 100).map("{}%".format)),
    order=st.lists(st.integers(0, 1), max_size=200),
)
def test_with_current_statuses_the_bounds_hold_and_the_rollout_ends(
    replicas: int, surge: int | str, unavailable: int | str, order: list[int]
) -> None:
    """Sizes never exceed N + S and available pods never fall below N - U, however syncs and pods interleave."""
    most = replicas + max_surge(replicas, surge, unavailable)
    fewest = min_available(replicas, surge, unavailable)
    old, new, new_available, created = replicas, 0, 0, False
    turns = iter([*order, *([0, 1] * (8 * replicas + 20))])
    for turn in turns:
        if turn and new_available < new:
            new_available += 1
            continue
        view = rs("v2", new, new_available) if created else None
        decision = rolling_step(view, [rs("v1", old)], replicas=replicas, surge=surge, unavailable=unavailable)
        if decision.create is not None:
            created, new = True, decision.create
        old, new = decision.sizes.get("v1", old), decision.sizes.get("v2", new)
        assert old + new <= most
        assert old + new_available >= fewest
    assert (old, new, new_available) == (0, replicas, replicas)


def test_recreate_stops_everything_first() -> None:
    decision = recreate_step(None, [rs("v1", 3), rs("v0", 0), rs("v2", 2)], replicas=5, old_pods_running=True)
    assert (decision.sizes, decision.create, decision.reason) == ({"v1": 0, "v2": 0}, None, Reason.STOPPING_OLD)


@pytest.mark.parametrize(("replicas_left", "running"), [(1, False), (0, True), (2, True)])
def test_recreate_waits_for_full_termination(replicas_left: int, running: bool) -> None:
    old = [rs("v1", 0, 0, replicas=replicas_left)]
    decision = recreate_step(None, old, replicas=5, old_pods_running=running)
    assert (decision.sizes, decision.create, decision.reason) == ({}, None, Reason.WAITING_FOR_OLD_PODS)


def test_recreate_creates_at_full_size() -> None:
    assert recreate_step(None, [rs("v1", 0)], replicas=5, old_pods_running=False).create == 5
    decision = recreate_step(rs("v2", 0), [rs("v1", 0)], replicas=5, old_pods_running=False)
    assert decision.sizes == {"v2": 5}
    assert recreate_step(rs("v2", 5), [rs("v1", 0)], replicas=5, old_pods_running=False).reason is Reason.OLD_GONE
