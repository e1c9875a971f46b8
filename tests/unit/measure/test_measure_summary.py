"""The JSON of a run: its keys, its sums, and what it says where nothing was measured."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_record import rolling_record, silent_record

from zdsim.measure.blast import peak_weight, touched, watched_revisions
from zdsim.measure.requests import revenue_lost
from zdsim.measure.rollback import latency_s
from zdsim.measure.summary import json_value, summarise
from zdsim.plane.vocabulary import USER_ACTIVE, USER_EXPOSED, USER_HARMED, Cause, Outcome
from zdsim.record import RollbackStages

PERCENTILES = {"p50", "p95", "p99"}

#: The contract: section -> keys that must be there.
KEYS: dict[str, set[str]] = {
    "requests": {"total", "ok", "dropped", "dropped_share", "excess_dropped", "by_reason", "by_cause"},
    "latency_s": {"before", "during", "after", "by_revision"},
    "blast_radius": {
        "active_users",
        "exposed_users",
        "harmed_users",
        "harmed_unexposed_users",
        "exposed_share",
        "harmed_share",
        "peak_weight",
        "revenue_lost",
    },
    "rollback": {"onset_s", "detected_s", "decided_s", "diverted_s", "restored_s", "latency_s"},
    "rollout": {
        "outcome",
        "duration_s",
        "mixed_version_s",
        "min_available",
        "max_pods",
        "pod_seconds",
        "extra_pod_seconds",
        "restarts",
    },
}


@pytest.mark.parametrize("record", [rolling_record(n_windows=300), silent_record()], ids=["rolling", "silent"])
def test_every_key_of_the_contract_is_there(record: Any) -> None:
    summary = summarise(record)
    assert summary["schema_version"] == 1
    assert {"scenario", "strategy", "seed", "plane", "digest", "assumed", *KEYS} <= summary.keys()
    for section, keys in KEYS.items():
        assert keys <= summary[section].keys()
    assert set(summary["requests"]["by_reason"]) == {o.name.lower() for o in Outcome} - {"ok"}
    assert set(summary["requests"]["by_cause"]) == {c.name.lower() for c in Cause} - {"none"}
    assert set(summary["latency_s"]["by_revision"]) == set(record.revisions)
    for at in [
        *(summary["latency_s"][p] for p in ("before", "during", "after")),
        *summary["latency_s"]["by_revision"].values(),
    ]:
        assert at.keys() >= PERCENTILES


@settings(max_examples=25, deadline=None)
@given(
    n_windows=st.integers(1, 30),
    window_s=st.sampled_from([0.5, 1.0, 60.0]),
    rate=st.floats(0.0, 20.0),
    start=st.none() | st.floats(0.0, 1.0),
    took=st.none() | st.floats(0.01, 2.0),
    drop_share=st.floats(0.0, 1.0),
    bad=st.booleans(),
    seed=st.integers(0, 9),
)
def test_whatever_happened_the_json_adds_up(
    n_windows: int, window_s: float, rate: float, start: float | None, took: float | None, **more: Any
) -> None:
    """Reasons and causes each sum to the drops, shares lie between 0 and 1, and a parser gets back what was written."""
    duration = n_windows * window_s
    start_s = None if start is None else start * duration
    end_s = None if start_s is None or took is None else start_s + took * duration
    record = rolling_record(n_windows=n_windows, window_s=window_s, rate=rate, start_s=start_s, end_s=end_s, **more)
    summary = summarise(record)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    asked = summary["requests"]
    assert asked["total"] == asked["ok"] + asked["dropped"]
    assert asked["dropped"] == sum(asked["by_reason"].values()) == sum(asked["by_cause"].values())
    assert asked["excess_dropped"] == asked["dropped"]
    assert (asked["dropped_share"] is None) == (asked["total"] == 0)
    for share in (
        asked["dropped_share"],
        summary["blast_radius"]["harmed_share"],
        summary["blast_radius"]["peak_weight"],
    ):
        assert share is None or 0.0 <= share <= 1.0
    assert 0.0 <= summary["rollout"]["mixed_version_s"] <= duration + 1e-6


def test_where_nothing_was_measured_there_is_null_and_no_zero() -> None:
    summary = summarise(silent_record())
    assert summary["requests"]["dropped_share"] is None
    assert summary["requests"]["excess_dropped"] is None
    assert set(summary["latency_s"]["before"].values()) == {None}
    assert summary["blast_radius"]["harmed_share"] is None
    assert summary["blast_radius"]["peak_weight"] is None
    assert summary["blast_radius"]["revenue_lost"] is None
    assert set(summary["rollback"].values()) == {None}
    assert summary["rollout"]["duration_s"] is None


def test_excess_is_against_the_same_seed_without_release() -> None:
    record = rolling_record(n_windows=300)
    assert record.baseline is not None
    lost = replace(record, baseline=record.counts)
    assert summarise(lost)["requests"]["excess_dropped"] == 0
    assert summarise(replace(record, baseline=None))["requests"]["excess_dropped"] is None


@pytest.mark.parametrize(
    ("onset", "diverted", "expected"),
    [(10.0, 48.5, 38.5), (None, 48.5, None), (10.0, None, None), (10.0, math.nan, None), (10.0, 9.0, 0.0)],
)
def test_rollback_latency_is_from_onset_to_diverted(
    onset: float | None, diverted: float | None, expected: float | None
) -> None:
    """request-model.md 5: headline = onset to diverted; missing where a stage never came."""
    assert latency_s(RollbackStages(onset_s=onset, diverted_s=diverted)) == expected


def test_users_are_counted_by_what_happened_to_them() -> None:
    a, e, h = USER_ACTIVE, USER_EXPOSED, USER_HARMED
    found = touched(np.array([0, a, a | e, a | h, a | e | h, a | h], dtype=np.uint8))
    assert (found.active, found.exposed, found.harmed, found.harmed_unexposed) == (5, 2, 3, 2)


def test_peak_weight_looks_at_the_bad_revisions_if_there_are_any() -> None:
    routed = np.array([[90, 10, 0, 5], [50, 20, 30, 0], [0, 0, 0, 9]])  # the last column has no pod
    assert watched_revisions(3, ()) == (1, 2)
    assert peak_weight(routed, watched_revisions(3, ())) == 0.5
    assert peak_weight(routed, watched_revisions(3, (2,))) == 0.3
    assert peak_weight(routed, watched_revisions(1, ())) is None
    assert peak_weight(np.zeros((4, 3), dtype=np.int64), (1,)) is None


def test_revenue_is_lost_by_class() -> None:
    counts = np.zeros((2, 2, 2, len(Outcome)), dtype=np.int64)
    counts[0, 0, 0, Outcome.REFUSED], counts[1, 1, 1, Outcome.RESET], counts[1, 1, 1, Outcome.OK] = 4, 3, 100
    assert revenue_lost(counts, (0.5, 2.0)) == 8.0
    assert revenue_lost(counts, (0.0, 0.0)) is None


def test_orders_that_answers_put_off_are_lost_revenue() -> None:
    """A business bug fails no request; half the conversion of 100 answers of the new revision is 50 orders' worth."""
    counts = np.zeros((1, 3, 1, len(Outcome)), dtype=np.int64)  # stable, new, no pod
    counts[0, :2, 0, Outcome.OK] = 1000, 100
    assert revenue_lost(counts, (2.0,), (1.0, 0.5)) == 100.0
    assert revenue_lost(counts, (2.0,), (1.0, 3.0)) == 0.0


def test_json_values_are_plain() -> None:
    given_value = {
        "a": np.float64(np.nan),
        "b": np.int64(3),
        "c": (1, float("inf")),
        Outcome.OK: np.array([1.0, np.nan]),
    }
    assert json_value(given_value) == {"a": None, "b": 3, "c": [1, None], "0": [1.0, None]}
