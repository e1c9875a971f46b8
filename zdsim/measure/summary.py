"""What is a run's result, as one JSON object?

`summarise` is the contract (`schema_version` 1): keys are added, never renamed or dropped within a version. Shares are
fractions of 1, names end in their unit, and what does not exist is None: never NaN, never a comforting zero. Nothing
here depends on how long the simulation took or where it ran, so the same run gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from zdsim.measure import blast, intervals, latency, pods, requests, rollback
from zdsim.measure.latency import Phase
from zdsim.record import RunRecord

SCHEMA_VERSION = 1


def summarise(record: RunRecord) -> dict[str, Any]:
    """The result of a run.

    Returns:
        A dict of plain JSON values (see README.md, "JSON"); floats rounded to a nanosecond or a thousand-millionth.
    """
    out = {
        "schema_version": SCHEMA_VERSION,
        "scenario": record.name,
        "strategy": record.strategy,
        "seed": record.seed,
        "plane": record.plane,
        "digest": record.digest,
        "duration_s": record.duration_s,
        "requests": _requests(record),
        "latency_s": _latency(record),
        "blast_radius": _blast_radius(record),
        "rollback": {f"{stage}_s": t for stage, t in rollback.stage_times(record.rollback).items()}
        | {"latency_s": rollback.latency_s(record.rollback)},
        "rollout": _rollout(record),
        "assumed": list(record.assumed),
        "notices": list(record.notices),
    }
    plain: dict[str, Any] = json_value(out)
    return plain


def json_value(value: Any) -> Any:
    """The same value as JSON can carry it: NaN and infinity become None, floats are rounded to 9 decimals."""
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            return round(value, 9) if math.isfinite(value) else None
        case Mapping():
            return {str(key): json_value(item) for key, item in value.items()}
        case list() | tuple():
            return [json_value(item) for item in value]
        case _ if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy number
            return json_value(value.item())
        case _ if hasattr(value, "tolist"):
            return json_value(value.tolist())
        case _:
            return str(value)


def _requests(record: RunRecord) -> dict[str, Any]:
    counts = record.counts.counts
    total, ok = requests.totals(counts)
    dropped = total - ok
    sure = intervals.share_interval(dropped, total)
    excess = None
    if record.baseline is not None:
        base_total, base_ok = requests.totals(record.baseline.counts)
        excess = dropped - (base_total - base_ok)
    return {
        "total": total,
        "ok": ok,
        "dropped": dropped,
        "dropped_share": dropped / total if total else None,
        "dropped_share_interval": None
        if sure is None
        else {"low": sure.low, "high": sure.high, "level": intervals.LEVEL},
        "excess_dropped": excess,
        "by_reason": requests.by_reason(counts),
        "by_cause": requests.by_cause(record.counts.causes),
        "attempts": record.counts.attempts,
        "unfinished": record.counts.started - record.counts.ended,
    }


def _latency(record: RunRecord) -> dict[str, Any]:
    buckets, sums = record.counts.latency, record.counts.latency_sum
    masks = latency.phase_masks(buckets.shape[0], record.window_s, record.rollout.start_s, record.rollout.end_s)
    out: dict[str, Any] = {}
    for phase in Phase:
        # Revision by revision, so that no copy of all histograms is made for one phase.
        by_revision = [buckets[masks[phase], r].sum(axis=0, dtype="int64") for r in range(buckets.shape[1])]
        out[phase] = _percentiles(sum(by_revision[1:], start=by_revision[0]), sums[masks[phase]])
    out["by_revision"] = {
        name: _percentiles(buckets[:, r].sum(axis=0, dtype="int64"), sums[:, r])
        for r, name in enumerate(record.revisions)
    }
    return out


def _percentiles(buckets: Any, sums: Any) -> dict[str, float]:
    p50, p95, p99 = latency.percentiles_s(buckets)
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "mean": latency.mean_s(buckets, sums)}


def _blast_radius(record: RunRecord) -> dict[str, Any]:
    users = blast.touched(record.counts.users)
    watched = blast.watched_revisions(len(record.revisions), record.bad_revisions)
    return {
        "active_users": users.active,
        "exposed_users": users.exposed,
        "harmed_users": users.harmed,
        "harmed_unexposed_users": users.harmed_unexposed,
        "exposed_share": users.exposed / users.active if users.active else None,
        "harmed_share": users.harmed / users.active if users.active else None,
        "peak_weight": blast.peak_weight(record.counts.routed, watched),
        "revenue_lost": requests.revenue_lost(record.counts.counts, record.revenue_per_request, record.conversion_left),
    }


def _rollout(record: RunRecord) -> dict[str, Any]:
    facts = record.rollout
    start, end = rollback.known(facts.start_s), rollback.known(facts.end_s)
    used = pods.pod_seconds(record.pods, record.duration_s)
    return {
        "outcome": facts.outcome,
        "duration_s": None if start is None or end is None else end - start,
        "mixed_version_s": requests.mixed_version_s(record.counts.counts, record.window_s),
        "min_available": facts.min_available,
        "max_pods": facts.max_pods,
        "pod_seconds": used,
        "extra_pod_seconds": used - record.replicas * record.duration_s,
        "restarts": sum(pod.restarts for pod in record.pods),
        "start_s": start,
        "end_s": end,
    }
