"""The operator's alert rule as a table, and the operator's story on a clock."""

import numpy as np
import pytest
import simpy

from zdsim.plane import histogram
from zdsim.plane.config import PlaneRecord
from zdsim.plane.vocabulary import N_CAUSES, N_OUTCOMES, Outcome
from zdsim.rollout.operator import AlertReason, AlertRule, Operator, Seen, Verdict, judge, look, watch

RULE = AlertRule()


@pytest.mark.parametrize(
    ("seen", "verdict", "reason"),
    [
        (Seen(0, 0, 0, 0, None), Verdict.INCONCLUSIVE, AlertReason.TOO_FEW_REQUESTS),
        (Seen(99, 99, 1000, 0, None), Verdict.INCONCLUSIVE, AlertReason.TOO_FEW_REQUESTS),
        (Seen(100, 0, 1000, 0, 0.1), Verdict.HEALTHY, AlertReason.WITHIN_LIMITS),
        (Seen(1000, 10, 1000, 10, 0.1), Verdict.HEALTHY, AlertReason.WITHIN_LIMITS),  # exactly 1 % is not above it
        (Seen(1000, 11, 1000, 11, 0.1), Verdict.UNHEALTHY, AlertReason.ERROR_RATE),
        (Seen(1000, 4, 1000, 2, 0.1), Verdict.UNHEALTHY, AlertReason.ERROR_RATIO),  # exactly twice: at least
        (Seen(1000, 3, 1000, 2, 0.1), Verdict.HEALTHY, AlertReason.WITHIN_LIMITS),
        (Seen(1000, 3, 1000, 0, 0.1), Verdict.HEALTHY, AlertReason.WITHIN_LIMITS),  # twice nothing is no evidence
        (Seen(1000, 4, 50, 1, 0.1), Verdict.HEALTHY, AlertReason.WITHIN_LIMITS),  # the old side is too small to compare
        (Seen(1000, 0, 1000, 0, 0.5), Verdict.HEALTHY, AlertReason.WITHIN_LIMITS),
        (Seen(1000, 0, 1000, 0, 0.501), Verdict.UNHEALTHY, AlertReason.LATENCY),
        (Seen(1000, 1000, 1000, 0, None), Verdict.UNHEALTHY, AlertReason.ERROR_RATE),
    ],
)
def test_judge(seen: Seen, verdict: Verdict, reason: AlertReason) -> None:
    assert judge(RULE, seen) == (verdict, reason)


def small_record(windows: int) -> PlaneRecord:
    return PlaneRecord(
        counts=np.zeros((windows, 3, 1, N_OUTCOMES), dtype=np.int64),
        latency=np.zeros((windows, 3, histogram.N_BUCKETS), dtype=np.int32),
        latency_sum=np.zeros((windows, 3)),
        routed=np.zeros((windows, 3), dtype=np.int64),
        causes=np.zeros((N_OUTCOMES, N_CAUSES), dtype=np.int64),
        stale_sum=np.zeros(N_CAUSES),
        stale_max=np.zeros(N_CAUSES),
        stale_count=np.zeros(N_CAUSES, dtype=np.int64),
        users=np.zeros(1, dtype=np.uint8),
        last_routed=np.full(2, np.nan),
        lost=np.zeros(0),
        log=np.zeros(0),
        pod_served=np.zeros(0, dtype=np.int64),
    )


def test_look_reads_whole_windows_only() -> None:
    """The window still being filled is not read; requests that met no pod belong to no revision."""
    record = small_record(10)
    record.counts[:, 0, 0, Outcome.OK] = 1
    record.counts[:, 1, 0, Outcome.APP_ERROR] = 2
    record.counts[:, 2, 0, Outcome.NO_ENDPOINT] = 7
    new = np.array([False, True])
    seen = look(record, now=5.5, window_s=3.0, width_s=1.0, new=new)
    assert seen == Seen(requests_new=6, failed_new=6, requests_old=3, failed_old=0, p99_new_s=None)
    assert look(record, now=0.5, window_s=3.0, width_s=1.0, new=new).requests_new == 0


def story(per_look: list[Seen], rule: AlertRule, reaction_s: float) -> tuple[list[tuple[float, str]], list[float]]:
    env = simpy.Environment()
    told: list[tuple[float, str]] = []
    undone: list[float] = []
    looks = iter(per_look)
    operator = Operator(
        rule=rule,
        reaction_s=reaction_s,
        look=lambda _: next(looks, per_look[-1]),
        undo=lambda: undone.append(env.now),
        tell=lambda stage, *_: told.append((env.now, stage)),
    )
    env.process(watch(env, operator))
    env.run(until=1000.0)
    return told, undone


BAD, GOOD, SILENT = Seen(1000, 500, 0, 0, 0.1), Seen(1000, 0, 0, 0, 0.1), Seen(0, 0, 0, 0, None)


def test_alert_needs_consecutive_bad_windows() -> None:
    rule = AlertRule(interval_s=10.0, consecutive=2)
    told, undone = story([GOOD, BAD, GOOD, BAD, BAD], rule, reaction_s=7.0)
    assert told == [(20.0, "detected"), (30.0, "cleared"), (40.0, "detected"), (50.0, "alert"), (57.0, "decided")]
    assert undone == [57.0]


def test_silence_neither_raises_nor_clears() -> None:
    told, undone = story([BAD, SILENT, BAD], AlertRule(interval_s=10.0, consecutive=2), reaction_s=0.0)
    assert told == [(10.0, "detected"), (30.0, "alert"), (30.0, "decided")]
    assert undone == [30.0]
    assert story([SILENT], AlertRule(interval_s=10.0), reaction_s=0.0) == ([], [])
