"""Who is best, and when that may be said."""

import json

import pytest
from made_up_comparison import cells, comparison, played
from synthetic_record import rolling_record, silent_record

from zdsim.measure.comparison import MEASURES, cell_of, compare


def noisy(middle: float, spread: float = 0.002):  # type: ignore[no-untyped-def]
    return lambda k: middle + spread * ((k * 7) % 5 - 2)


def test_equals_differ_by_exactly_nothing() -> None:
    """Identical scenarios: difference 0 in every replication, and nobody is best."""
    found = comparison(a=cells(dropped_share=noisy(0.01)), b=cells(dropped_share=noisy(0.01)))
    assert all(row["mean"] == 0.0 for row in found["differences"] if row["n"])
    assert all(row["equal"] for row in found["differences"] if row["n"])
    assert all(rank["best"] == [] for rank in found["ranking"].values())
    assert found["ranking"]["dropped_share"]["all_equal"]
    assert not any(row["distinguishable"] for row in found["differences"])


def test_the_best_is_named_where_it_can_be_told_apart() -> None:
    found = comparison(
        a=cells(dropped_share=noisy(0.03)), b=cells(dropped_share=noisy(0.01)), c=cells(dropped_share=0.05)
    )
    rank = found["ranking"]["dropped_share"]
    assert rank["order"] == ["b", "a", "c"]
    assert rank["best"] == ["b"]
    assert all(row["distinguishable"] for row in found["differences"] if row["measure"] == "dropped_share")
    assert rank["needed_replications"] is None


def test_nobody_is_best_where_the_runner_up_is_too_near() -> None:
    found = comparison(
        a=cells(rollout_s=lambda k: 60 + (k % 3)),
        b=cells(rollout_s=lambda k: 60.2 + (k * 2 % 3)),
        c=cells(rollout_s=90),
    )
    rank = found["ranking"]["rollout_s"]
    assert (rank["best"], rank["rivals"]) == ([], ["b"])
    assert rank["needed_replications"] > 10
    (row,) = [row for row in found["differences"] if row["measure"] == "rollout_s" and row["second"] == "b"]
    assert row["low"] < 0.0 < row["high"]
    assert row["needed_replications"] == rank["needed_replications"]


def test_the_same_difference_every_time_still_needs_replications() -> None:
    """Binned percentiles differ by one bin in both of two replications: no proof yet; in eight of eight, it is."""
    for n, distinguishable in ((2, False), (8, True)):
        found = comparison(a=cells(n, mixed_version_s=10.0), b=cells(n, mixed_version_s=11.0))
        (row,) = [one for one in found["differences"] if one["measure"] == "mixed_version_s"]
        assert row["distinguishable"] is distinguishable


def test_two_that_are_equal_are_best_together() -> None:
    found = comparison(a=cells(mixed_version_s=0.0), b=cells(mixed_version_s=30.0), c=cells(mixed_version_s=0.0))
    assert found["ranking"]["mixed_version_s"]["best"] == ["a", "c"]


def test_what_ended_well_only_sometimes_is_not_recommended() -> None:
    found = comparison(
        a=cells(rollback_s=lambda k: 1.0 if k < 3 else None),
        b=cells(rollback_s=noisy(80)),
        c=cells(rollback_s=noisy(90)),
    )
    rank = found["ranking"]["rollback_s"]
    assert rank["order"] == ["b", "c"]
    assert rank["partly_measured"] == ["a"]
    assert rank["best"] == ["b"]
    assert found["contenders"][0]["measures"]["rollback_s"]["n"] == 3
    none = comparison(a=cells(), b=cells())["ranking"]["rollback_s"]
    assert (none["order"], none["never_measured"]) == ([], ["a", "b"])


def test_one_replication_proves_nothing() -> None:
    found = comparison(a=cells(1), b=cells(1, dropped_share=0.5))
    assert not any(row["distinguishable"] for row in found["differences"])
    assert all(not rank["best"] for rank in found["ranking"].values())
    assert found["contenders"][0]["measures"]["dropped_share"]["low"] is None


def test_rare_drops_have_exact_intervals() -> None:
    found = comparison(a=cells(dropped_share=0.0), b=cells(dropped_share=lambda k: 0.0001 * (k % 3 == 0)))
    a, b = (who["measures"]["dropped_share"] for who in found["contenders"])
    assert (a["method"], b["method"]) == ("poisson", "poisson")
    assert a["mean"] == 0.0
    assert a["high"] == pytest.approx(3.689 / 100_000, rel=1e-3)  # never seen is not never
    (row,) = [row for row in found["differences"] if row["measure"] == "dropped_share"]
    assert (row["method"], row["distinguishable"]) == ("poisson", False)  # 0 against 4


def test_a_burst_is_one_event() -> None:
    found = comparison(a=cells(dropped_share=0.0), b=cells(dropped_share=lambda k: 0.0018 * (k == 4)))
    (row,) = [row for row in found["differences"] if row["measure"] == "dropped_share"]
    assert found["contenders"][1]["measures"]["dropped_share"]["method"] == "t"
    assert not row["distinguishable"]  # 18 requests, all in one replication


def test_reach_is_judged_only_where_something_is_wrong() -> None:
    assert "exposed_share" not in comparison(a=cells(), b=cells(exposed_share=0.1))["ranking"]
    found = comparison(a=cells(bad=True), b=cells(bad=True, exposed_share=0.1))
    assert found["ranking"]["exposed_share"]["best"] == ["b"]


def test_it_is_plain_json_and_its_digest_tells_runs_apart() -> None:
    found = comparison(a=cells(), b=cells(dropped_share=0.02))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found == comparison(a=cells(), b=cells(dropped_share=0.02))
    assert found["digest"] != comparison(a=cells(seed=2), b=cells(seed=2))["digest"]
    assert found["schema_version"] == 1


def test_contenders_need_the_same_seeds() -> None:
    with pytest.raises(AssertionError, match="same seeds"):
        compare(played(a=cells(3), b=cells(3, seed=2)), asked=3)


def test_a_run_becomes_a_cell() -> None:
    cell = cell_of(rolling_record(n_windows=600, rate=20.0, bad=True))
    assert set(cell.values) == {one.key for one in MEASURES if one.path}
    assert cell.bad
    assert cell.values["rollout_s"] is None  # rolled back: the way there and back is no rollout
    assert cell.values["rollback_s"] == pytest.approx(96.5)
    assert sum(cell.causes.values()) == cell.dropped > 0
    done = cell_of(rolling_record(n_windows=600, rate=20.0))
    assert done.values["rollout_s"] == pytest.approx(280.0)
    silent = cell_of(silent_record())
    assert (silent.total, silent.values["dropped_share"], silent.values["p99_during_s"]) == (0, None, None)
