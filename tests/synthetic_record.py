"""What would a run leave behind? A record made up for tests of measures and reports, without any simulation.

Its parts agree with each other the way the planes make them agree: causes sum to drops, harmed users exist, latencies
are of answered requests. Numbers are drawn from a fixed generator: the same arguments give the same record.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from zdsim.plane import histogram
from zdsim.plane.config import REQUEST_ROW, FloatArray, IntArray, PlaneRecord
from zdsim.plane.vocabulary import N_CAUSES, N_OUTCOMES, USER_ACTIVE, USER_EXPOSED, USER_HARMED, Cause, Outcome
from zdsim.record import Event, EventKind, PodLife, RollbackStages, RolloutFacts, RunRecord

#: Where the rolling update's drops come from: outcome, cause, share of drops, mean staleness (s).
LOSSES = (
    (Outcome.REFUSED, Cause.DRAINING, 0.45, 0.48),
    (Outcome.UNREACHABLE, Cause.EXITED_AT_SIGTERM, 0.25, 1.9),
    (Outcome.RESET, Cause.KILLED_AT_GRACE_END, 0.15, float("nan")),
    (Outcome.TIMEOUT, Cause.COLD_POD, 0.15, float("nan")),
)


def rolling_record(
    *,
    n_windows: int = 600,
    window_s: float = 1.0,
    rate: float = 500.0,
    start_s: float | None = 120.0,
    end_s: float | None = 400.0,
    replicas: int = 10,
    drop_share: float = 0.01,
    bad: bool = False,
    seed: int = 7,
    name: str = "web",
    baseline: bool = True,
    revenue: tuple[float, ...] = (0.0, 0.4),
    **changes: Any,
) -> RunRecord:
    """A rolling update of `replicas` pods from `start_s` to `end_s` that loses requests while pods go.

    `start_s` None: no release at all. `rate` 0: nobody asks for anything. `changes`: fields of the record to replace.
    """
    luck = np.random.Generator(np.random.PCG64(seed))
    duration_s = n_windows * window_s
    pods = _pods(replicas, start_s, end_s, duration_s)
    counts = _counts(luck, n_windows, window_s, rate, start_s, end_s, drop_share)
    base = None
    if baseline:
        base = _counts(np.random.Generator(np.random.PCG64(seed)), n_windows, window_s, rate, None, None, 0.0)
    onset = start_s + 3.0 if bad and start_s is not None else None
    stages = RollbackStages()
    if onset is not None:
        stages = RollbackStages(onset, onset + 61.0, onset + 61.0, onset + 96.5, onset + 140.0)
    outcome = "none" if start_s is None else "progressing" if end_s is None else "rolled back" if bad else "complete"
    record = RunRecord(
        name=name,
        strategy="RollingUpdate",
        seed=seed,
        plane="kernel",
        plane_reason="numba is installed",
        scenario={"name": name, "replicas": replicas, "rate": f"{rate:g}/s"},
        versions={"zdsim": "0.1.0", "python": "3.11.7", "numpy": "2.2.0"},
        digest="5f3a" * 16,
        duration_s=duration_s,
        window_s=window_s,
        replicas=replicas,
        revisions=("v1",) if start_s is None else ("v1", "v2"),
        bad_revisions=(1,) if bad and start_s is not None else (),
        classes=("browse", "buy"),
        revenue_per_request=revenue,
        counts=counts,
        baseline=base,
        events=_events(start_s, end_s, pods, stages),
        pods=pods,
        rollback=stages,
        rollout=RolloutFacts(
            start_s,
            end_s,
            outcome,
            min_available=None if start_s is None else replicas - 2,
            max_pods=None if start_s is None else replicas + 5,
        ),
        assumed=("startup of a pod: 20 s (no manifest can say it)", "rate: 500/s, constant, Poisson"),
        notices=("deployment.yaml:31:9: warning ZD2006: the readiness probe has no initial delay",),
        wall_s=0.42,
    )
    return replace(record, **changes)


def silent_record(**changes: Any) -> RunRecord:
    """Nobody asks, nothing is released: every measure is missing or zero."""
    return rolling_record(
        rate=0.0, start_s=None, end_s=None, n_windows=5, baseline=False, revenue=(0.0, 0.0), **changes
    )


def _counts(
    luck: np.random.Generator,
    n_windows: int,
    window_s: float,
    rate: float,
    start_s: float | None,
    end_s: float | None,
    drop_share: float,
) -> PlaneRecord:
    n_users, r = 2000, 1 if start_s is None else 2
    t = (np.arange(n_windows) + 0.5) * window_s
    weight = np.zeros(n_windows)
    if start_s is not None:
        until = end_s if end_s is not None else n_windows * window_s * 1.5
        weight = np.clip((t - start_s) / (until - start_s), 0.0, 1.0)
    moving = (weight > 0.0) & (weight < 1.0)
    counts = np.zeros((n_windows, r + 1, 2, N_OUTCOMES), dtype=np.int64)
    latency = np.zeros((n_windows, r + 1, histogram.N_BUCKETS), dtype=np.int32)
    latency_sum = np.zeros((n_windows, r + 1))
    routed = np.zeros((n_windows, r + 1), dtype=np.int64)
    causes = np.zeros((N_OUTCOMES, N_CAUSES), dtype=np.int64)
    stale_sum, stale_max, stale_count = np.zeros(N_CAUSES), np.zeros(N_CAUSES), np.zeros(N_CAUSES, dtype=np.int64)
    n_asked = luck.poisson(rate * window_s, n_windows)
    for w in range(n_windows):
        for revision in range(r):
            share = weight[w] if revision == 1 else 1.0 - weight[w]
            n = round(float(n_asked[w]) * share)
            routed[w, revision] = n
            burst = 1.0 + np.sin(t[w] / 9.0) if moving[w] and revision == 0 else 0.0
            lost = min(n, int(luck.poisson(drop_share * n * burst))) if burst > 0 else 0
            took = 0.05 * np.exp(0.6 * luck.standard_normal(n - lost)) * (1.0 + (0.8 if moving[w] else 0.0))
            latency[w, revision] = np.bincount(_buckets(took), minlength=histogram.N_BUCKETS)
            latency_sum[w, revision] = took.sum()
            buyers = int(luck.binomial(n - lost, 0.1))
            counts[w, revision, :, Outcome.OK] = (n - lost - buyers, buyers)
            for (outcome, cause, _, stale_s), k in zip(
                LOSSES, luck.multinomial(lost, [share for _, _, share, _ in LOSSES]), strict=True
            ):
                of_buyers = int(luck.binomial(int(k), 0.1))
                counts[w, revision, :, outcome] += (int(k) - of_buyers, of_buyers)
                causes[outcome, cause] += int(k)
                if k and not np.isnan(stale_s):
                    stale_sum[cause] += stale_s * int(k)
                    stale_count[cause] += int(k)
                    stale_max[cause] = 2.3 * stale_s
    dropped = int(causes.sum())
    users = np.zeros(n_users, dtype=np.uint8)
    if counts.sum():
        users[: n_users - 50] |= USER_ACTIVE
        if r > 1:
            users[: n_users // 2] |= USER_EXPOSED
        unexposed = min(dropped // 2, 20)
        users[max(0, n_users // 2 - (dropped - unexposed)) : n_users // 2 + unexposed] |= USER_HARMED
    lost_rows = np.zeros(min(dropped, 100), dtype=REQUEST_ROW)
    lost_rows["outcome"], lost_rows["cause"] = Outcome.REFUSED, Cause.DRAINING
    lost_rows["stale_s"], lost_rows["attempts"], lost_rows["start_s"] = 0.48, 1, 150.0
    lost_rows["end_s"], lost_rows["id"], lost_rows["revision"] = 150.2, np.arange(lost_rows.size), 0
    total = int(counts.sum())
    return PlaneRecord(
        counts=counts,
        latency=latency,
        latency_sum=latency_sum,
        routed=routed,
        causes=causes,
        stale_sum=stale_sum,
        stale_max=stale_max,
        stale_count=stale_count,
        users=users,
        last_routed=np.full(r, np.nan),
        lost=lost_rows,
        log=np.zeros(0, dtype=REQUEST_ROW),
        pod_served=np.zeros(0, dtype=np.int64),
        started=total,
        ended=total,
        attempts=total,
    )


def _buckets(latency_s: FloatArray) -> IntArray:
    """`histogram.bucket` for an array."""
    us = np.minimum((latency_s * 1e6 + 0.5).astype(np.int64), histogram.MAX_US)
    octave = np.maximum(np.frexp(us.astype(np.float64))[1] - 7, 0)
    return np.where(us < 2 * histogram.SUB, us, octave * histogram.SUB + (us >> octave))


def _pods(replicas: int, start_s: float | None, end_s: float | None, duration_s: float) -> tuple[PodLife, ...]:
    old = [
        PodLife(f"web-1-{i}", i, 0, 0.0, ((0.0, duration_s),), ((0.0, duration_s),), None, None, 0)
        for i in range(replicas)
    ]
    if start_s is None:
        return tuple(old)
    until = end_s if end_s is not None else duration_s * 1.5
    step = (until - start_s) / replicas
    pods: list[PodLife] = []
    for i, pod in enumerate(old):
        deleted, gone = start_s + (i + 1) * step - 4.0, start_s + (i + 1) * step + 12.0
        if deleted < duration_s:
            pod = replace(pod, listening=((0.0, deleted + 1.0),), ready=((0.0, deleted),), deleted_s=deleted)
        if gone < duration_s:
            pod = replace(pod, gone_s=gone)
        pods.append(pod)
    for i in range(replicas):
        created = start_s + i * step
        ready = created + min(20.0, step - 4.0 if step > 5.0 else step / 2)
        if created < duration_s:
            up = ((ready, duration_s),) if ready < duration_s else ()
            pods.append(PodLife(f"web-2-{i}", replicas + i, 1, created, up, up, None, None, int(i == 3)))
    return tuple(pods)


def _events(
    start_s: float | None, end_s: float | None, pods: tuple[PodLife, ...], stages: RollbackStages
) -> tuple[Event, ...]:
    events = []
    if start_s is not None:
        events.append(
            Event(start_s, EventKind.RELEASE, "deployment/web", "TemplateChanged", "v1 -> v2", {"revision": 2})
        )
        for pod in pods:
            if pod.created_s > 0.0:
                events.append(
                    Event(pod.created_s, EventKind.ROLLOUT, "deployment/web", "ScalingReplicaSet", f"up: {pod.name}")
                )
            if pod.deleted_s is not None:
                events.append(Event(pod.deleted_s, EventKind.POD, f"pod/{pod.name}", "Killing", "Stopping container"))
        if end_s is not None:
            events.append(
                Event(end_s, EventKind.CONDITION, "deployment/web", "NewReplicaSetAvailable", "the rollout is complete")
            )
    for stage in ("onset", "detected", "decided", "diverted", "restored"):
        t = getattr(stages, f"{stage}_s")
        if t is not None:
            events.append(Event(t, EventKind.ROLLBACK, "deployment/web", stage.capitalize(), f"rollback: {stage}"))
    return tuple(sorted(events, key=lambda event: event.time_s))
