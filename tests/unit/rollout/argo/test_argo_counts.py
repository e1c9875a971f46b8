"""Pod counts of canaries: upstream's examples as tables, and what must hold for all numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zdsim.rollout.argo.canary_counts import (
    adjust_replica_within_limits,
    approximate_weighted_canary_stable_replica_counts,
    at_desired_replica_counts_for_canary,
    calculate_replica_counts_for_basic_canary,
    calculate_replica_counts_for_traffic_routed_canary,
    get_replicas_for_scale_down,
    replica_progress_threshold_met,
    scale_down_old_replica_sets_for_basic_canary,
)
from zdsim.rollout.argo.spec import ReplicaProgressThreshold, ThresholdKind, max_surge, max_unavailable
from zdsim.rollout.argo.state import ReplicaSetView


def view(name: str, spec: int, available: int | None = None, *, replicas: int | None = None) -> ReplicaSetView:
    ready = spec if available is None else available
    return ReplicaSetView(name, name, spec=spec, replicas=spec if replicas is None else replicas, available=ready)


@pytest.mark.parametrize(
    ("replicas", "weight", "surge", "expected"),
    [
        (3, 20, 1, (1, 3)),
        (3, 40, 1, (1, 2)),
        (3, 60, 1, (2, 1)),
        (3, 80, 1, (3, 1)),
        (0, 50, 1, (0, 0)),
        (10, 0, 1, (0, 10)),
        (10, 100, 1, (10, 0)),
        (10, 10, 0, (1, 9)),
        (10, 5, 1, (1, 10)),
        (10, 5, 0, (1, 9)),
        (1, 5, 1, (1, 1)),
        (1, 95, 1, (1, 1)),
        (1, 5, 0, (0, 1)),
        (1, 95, 0, (1, 0)),
        (1, 50, 0, (1, 0)),  # a tie goes to the canary
        (3, 50, 0, (2, 1)),
        (3, 50, 1, (2, 2)),
        (2, 99, 0, (1, 1)),
        (4, 1, 0, (1, 3)),
        (8, 92, 1, (8, 1)),
    ],
)
def test_split_of_a_basic_canary(replicas: int, weight: int, surge: int, expected: tuple[int, int]) -> None:
    assert approximate_weighted_canary_stable_replica_counts(replicas, weight, surge) == expected


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 200), st.integers(0, 100), st.integers(0, 5))
def test_split_keeps_both_sides_and_uses_at_most_one_more_pod(replicas: int, weight: int, surge: int) -> None:
    canary, stable = approximate_weighted_canary_stable_replica_counts(replicas, weight, surge)
    assert replicas <= canary + stable <= replicas + (surge > 0)
    if 0 < weight < 100 and replicas > 1:
        assert canary > 0
        assert stable > 0


@pytest.mark.parametrize(
    ("replicas", "weight", "new", "stable", "unavailable", "surge", "expected"),
    [
        # upstream's own examples, one pass each; its comment is older than its code for (10, 5)
        (10, 10, 0, 10, 1, 1, (1, 9)),
        (10, 30, 0, 10, 0, 3, (3, 10)),
        (10, 30, 0, 10, 5, 0, (0, 7)),
        (10, 5, 0, 10, 1, 1, (1, 10)),
        (1, 5, 0, 1, 0, 1, (1, 1)),
        (1, 95, 0, 1, 0, 1, (1, 1)),
        (10, 100, 5, 5, 0, 1, (6, 5)),
        (10, 0, 5, 5, 0, 1, (5, 6)),
    ],
)
def test_one_pass_of_a_basic_canary(
    replicas: int, weight: int, new: int, stable: int, unavailable: int, surge: int, expected: tuple[int, int]
) -> None:
    got = calculate_replica_counts_for_basic_canary(
        view("new", new), view("stable", stable), replicas=replicas, weight=weight, surge=surge, unavailable=unavailable
    )
    assert got == expected


def test_crash_looping_stable_pods_do_not_block() -> None:
    got = calculate_replica_counts_for_basic_canary(
        view("new", 2), view("stable", 10, 0), replicas=10, weight=20, surge=2, unavailable=0
    )
    assert got == (2, 8)


def test_older_sets_go_before_stable_shrinks() -> None:
    new, stable, old = view("new", 2), view("stable", 9), view("old", 1)
    sizes = calculate_replica_counts_for_basic_canary(
        new, stable, [old], replicas=10, weight=50, surge=2, unavailable=2
    )
    assert sizes == (2, 9)


def test_without_a_stable_set_all_pods_are_new() -> None:
    one = view("only", 4)
    assert calculate_replica_counts_for_basic_canary(one, None, replicas=10, weight=0) == (10, 0)
    assert calculate_replica_counts_for_basic_canary(one, one, replicas=10, weight=0) == (10, 0)


@settings(deadline=None, derandomize=True)
@given(
    replicas=st.integers(1, 50),
    weight=st.integers(0, 100),
    surge=st.integers(0, 20),
    unavailable=st.integers(0, 20),
    broken=st.sampled_from(["", "new"]),
)
def test_a_basic_canary_reaches_its_split_within_its_limits(
    replicas: int, weight: int, surge: int, unavailable: int, broken: str
) -> None:
    """Never more than replicas + surge pods, never fewer available than replicas - unavailable, and it gets there."""
    most = replicas + max_surge(replicas, surge, unavailable)
    least = replicas - max_unavailable(replicas, surge, unavailable)
    new, stable = 0, replicas
    for _ in range(200):
        views = view("new", new, 0 if broken else new), view("stable", stable)
        size_new, size_stable = calculate_replica_counts_for_basic_canary(
            *views, replicas=replicas, weight=weight, surge=surge, unavailable=unavailable
        )
        if size_stable != stable:  # stable is written first, and ends the pass
            stable = size_stable
        elif size_new != new:
            new = size_new
        else:
            break
        assert new + stable <= most
        assert (0 if broken else new) + stable >= least
    if not broken:
        split = approximate_weighted_canary_stable_replica_counts(
            replicas, weight, max_surge(replicas, surge, unavailable)
        )
        assert (new, stable) == split


@settings(deadline=None, derandomize=True)
@given(
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(1, 30),
    st.integers(0, 9),
)
def test_adjusted_sizes_fit(drain: int, drained: int, other: int, available: int, most: int, missing: int) -> None:
    sizes = adjust_replica_within_limits(
        view("drain", drain, drained), view("other", other, available), drain, other, most=most, least=most - missing
    )
    assert sum(sizes) <= max(most, 0)


@pytest.mark.parametrize(
    ("spec", "available", "ignore", "expected"), [(5, 7, False, 5), (5, 3, True, 5), (5, 3, False, 3)]
)
def test_pods_that_may_be_counted_on(spec: int, available: int, ignore: bool, expected: int) -> None:
    assert get_replicas_for_scale_down(view("a", spec, available), ignore_availability=ignore) == expected
    assert get_replicas_for_scale_down(None, ignore_availability=ignore) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"replicas": 10, "weight": 15}, (2, 10)),
        ({"replicas": 10, "weight": 0}, (0, 10)),
        ({"replicas": 10, "weight": 1, "min_pods": 2}, (2, 10)),
        ({"replicas": 1, "weight": 1, "min_pods": 2}, (1, 1)),  # not more than the rollout has
        ({"replicas": 10, "weight": 0, "min_pods": 2}, (0, 10)),
        ({"replicas": 10, "weight": 0, "canary_replicas": 7, "min_pods": 9}, (7, 10)),  # taken as is
        ({"replicas": 10, "weight": 30, "dynamic_stable_scale": True}, (3, 7)),
        ({"replicas": 10, "weight": 30, "dynamic_stable_scale": True, "actual_stable_weight": 95}, (3, 10)),
        (
            {
                "replicas": 10,
                "weight": 0,
                "dynamic_stable_scale": True,
                "actual_stable_weight": 60,
                "actual_canary_weight": 40,
                "aborting": True,
            },
            (4, 10),
        ),
        ({"replicas": 10, "weight": 95, "dynamic_stable_scale": True, "min_pods": 3}, (10, 3)),
        ({"replicas": 10, "weight": 100, "dynamic_stable_scale": True, "min_pods": 3}, (10, 0)),
        ({"replicas": 10, "weight": 15, "max_weight": 1000}, (1, 10)),
    ],
)
def test_counts_with_a_router(arguments: dict[str, int], expected: tuple[int, int]) -> None:
    assert calculate_replica_counts_for_traffic_routed_canary(**arguments) == expected  # type: ignore[arg-type]


PERCENT = ThresholdKind.PERCENTAGE
POD = ThresholdKind.POD


@pytest.mark.parametrize(
    ("kind", "value", "available", "wanted", "met"),
    [
        (PERCENT, 80, 4, 5, True),
        (PERCENT, 80, 3, 5, False),
        (PERCENT, 33.33333333333, 1, 3, True),
        (PERCENT, 80, 0, 0, True),
        (PERCENT, -1, 5, 5, False),
        (POD, 2, 2, 20, True),
        (POD, 2, 1, 1, False),
    ],
)
def test_progress_threshold(kind: ThresholdKind, value: float, available: int, wanted: int, met: bool) -> None:
    assert replica_progress_threshold_met(ReplicaProgressThreshold(kind, value), available, wanted) is met


def test_counts_reached() -> None:
    new, stable = view("new", 2), view("stable", 8, 0)
    reached = at_desired_replica_counts_for_canary
    assert reached(new, stable, want_new=2, want_stable=8)  # stable pods need not be available
    assert not reached(view("new", 2, 1), stable, want_new=2, want_stable=8)
    assert not reached(new, view("stable", 8, replicas=9), want_new=2, want_stable=8)  # one is still going
    assert not reached(new, stable, [view("old", 0, 1)], want_new=2, want_stable=8)  # it still serves
    assert reached(new, stable, [view("old", 1, 1)], want_new=2, want_stable=8, traffic_routed=True)
    assert reached(new, None, want_new=2, want_stable=9, traffic_routed=True, dynamic_stable_scale=True)
    assert not reached(None, stable, want_new=0, want_stable=8)
    some = ReplicaProgressThreshold(PERCENT, 50)
    assert reached(view("new", 2, 1), stable, want_new=2, want_stable=8, threshold=some)


def old(name: str, spec: int, available: int, revision: int) -> ReplicaSetView:
    return ReplicaSetView(name, name, float(revision), spec, spec, available, available, revision=revision)


def test_old_sets_lose_unhealthy_pods_first_then_the_newest() -> None:
    sets = [old("a", 3, 1, 1), old("b", 4, 4, 2)]
    sizes = scale_down_old_replica_sets_for_basic_canary(sets, total_available=10, replicas=8, max_unavailable=1)
    assert sizes.sizes == (("a", 1), ("b", 1))
    assert (sizes.n_unhealthy, sizes.scaled) == (1, True)
    none = scale_down_old_replica_sets_for_basic_canary(sets, total_available=7, replicas=8, max_unavailable=1)
    assert (none.sizes, none.scaled) == ((("a", 1),), False)
    stale = scale_down_old_replica_sets_for_basic_canary(
        [old("a", 1, 3, 1)], total_available=20, replicas=8, max_unavailable=1
    )
    assert (stale.sizes, stale.scaled) == ((), False)


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (3, "25%", "25%", (1, 0)),
        (4, 0, "10%", (0, 1)),
        (0, 1, 1, (1, 0)),
        (1, 0, 5, (0, 1)),
    ],
)
def test_surge_and_unavailable(
    replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]
) -> None:
    assert (max_surge(replicas, surge, unavailable), max_unavailable(replicas, surge, unavailable)) == expected
