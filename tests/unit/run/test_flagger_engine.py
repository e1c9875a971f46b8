"""A Flagger Canary in a world: its looks, its weights, what its users meet.

Tables: progressive-delivery semantics, section 4 (flagger v1.44.0, pkg/controller/scheduler.go); V25, V16, D2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from zdsim.plane.config import PlaneRecord
from zdsim.record import EventKind, RunRecord
from zdsim.rollout.flagger_spec import CanarySpec, ticks_to_rollback, ticks_to_succeed
from zdsim.run import digest_of, simulate
from zdsim.run.fold import fold_rows
from zdsim.scenario.model import Scenario

INTERVAL_S = 10.0
RELEASE_S = 15.0
METRICS = [
    {"name": "request-success-rate", "interval": "10s", "thresholdRange": {"min": 95}},
    {"name": "request-duration", "interval": "10s", "thresholdRange": {"max": 2000}},
]
BROKEN = {"error_rate": 0.5}
HEY = {"name": "load", "url": "http://loadtester.test/", "metadata": {"cmd": "hey -z 1m -q 5 -c 2 http://web-canary/"}}


def scenario(
    analysis: dict[str, Any], *, duration_s: float = 150.0, rate: float = 60.0, canary: dict[str, Any] | None = None,
    release: dict[str, Any] | None = None, deployment: dict[str, Any] | None = None, users: int = 10_000,
) -> Scenario:  # fmt: skip
    """Three fast pods, looked at every 10 s."""
    return Scenario.model_validate(
        {
            "name": "flagger",
            "service": {
                "deployment": {
                    "name": "web",
                    "replicas": 3,
                    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                    "readinessProbe": {"periodSeconds": 1},
                    "preStop": {"sleep": {"seconds": 2}},
                    **(deployment or {}),
                }
            },
            "process": {"startup": "500ms", "warm_up": {"duration": "0s"}},
            "traffic": {"open": {"rate": rate}, "users": {"population": users}},
            "release": {"at": RELEASE_S, **(release or {})},
            "analysis": {"scrape": {"interval": "2s"}},
            "run": {"duration": duration_s, "baseline": False},
            "flagger": {
                "name": "web",
                "targetRef": {"name": "web"},
                "provider": "istio",
                "analysis": {"interval": f"{INTERVAL_S:g}s", "metrics": METRICS, **analysis},
                **(canary or {}),
            },
        }
    )


ROWS: dict[str, PlaneRecord] = {}  # by digest: the rows of the request plane, before they are added up by template


@pytest.fixture(autouse=True)
def _rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(record: PlaneRecord, to: Sequence[int]) -> PlaneRecord:
        ROWS[digest_of(record)] = record
        return fold_rows(record, to)

    ROWS.clear()
    monkeypatch.setattr("zdsim.run.fold_rows", kept)


def play(asked: Scenario, *, plane: str = "auto", seed: int = 3) -> RunRecord:
    return simulate(asked, seed, plane=plane)


def times(run: RunRecord, reason: str, *, kind: EventKind = EventKind.ROLLOUT) -> list[float]:
    return [one.time_s for one in run.events if one.reason == reason and one.kind is kind]


def tick(run: RunRecord, reason: str, nth: int = 0) -> int:
    """Looks from the one that noticed the change to the one with this reason."""
    at = (times(run, reason)[nth] - times(run, "NewRevisionDetected")[0]) / INTERVAL_S
    assert at == pytest.approx(round(at))
    return round(at)


def weights(run: RunRecord) -> list[int]:
    written = [one.data["weight"] for one in run.events if one.reason == "WeightWritten"]
    return [round(100 * float(one)) for one in written if isinstance(one, float)]


def routed(run: RunRecord, from_s: float, until_s: float) -> dict[str, int]:
    """Attempts by Deployment and revision between two times."""
    width = run.window_s
    counts = ROWS[run.digest].routed[int(from_s / width) : int(until_s / width)].sum(axis=0)
    return {name: int(counts[r]) for r, name in enumerate(names(run))}


def names(run: RunRecord) -> list[str]:
    """Rows of the request plane: the primary's, then the canary's."""
    return [*run.revisions, *(f"{one}-canary" for one in run.revisions)]


@pytest.mark.parametrize(
    ("analysis", "spec", "passed"),
    [
        ({"stepWeight": 20, "maxWeight": 50}, CanarySpec(step_weight=20, max_weight=50), [20, 40, 60]),
        ({"stepWeight": 50}, CanarySpec(step_weight=50), [50, 100]),
        ({"stepWeights": [10, 30, 60]}, CanarySpec(step_weights=(10, 30, 60)), [10, 30, 60]),
    ],
)
def test_a_good_release_takes_the_ticks_of_its_steps(
    analysis: dict[str, Any], spec: CanarySpec, passed: list[int]
) -> None:
    """n + 3 looks; maxWeight is a stop test and no cap; the primary's roll may cost whole looks more."""
    run = play(scenario(analysis))
    assert weights(run) == [*passed, 0]
    assert [tick(run, "WeightAdvanced", i) for i in range(len(passed))] == list(range(1, len(passed) + 1))
    expected = ticks_to_succeed(spec)
    assert expected is not None
    waited = 1 if times(run, "PrimaryNotReady") else 0
    assert tick(run, "CopyingSpecToPrimary") == expected - 2
    assert tick(run, "PromotionFinished") == expected + waited
    assert run.rollout.outcome == "complete"
    assert run.rollout.end_s == times(run, "PromotionFinished")[0]
    assert run.rollback.detected_s is None
    assert run.counts.causes.sum() == 0
    after = routed(run, run.rollout.end_s + 1.0, run.duration_s)
    assert after["v2"] > 0
    assert sum(after.values()) == after["v2"]


def test_the_primary_rolls_with_its_share_of_the_traffic() -> None:
    """While the primary takes the new template the canary keeps its weight, and both templates share the rest."""
    run = play(scenario({"stepWeight": 60, "maxWeight": 60}, rate=300.0))
    begin, end = times(run, "CopyingSpecToPrimary")[0], times(run, "RoutingToPrimary")[0]
    seen = routed(run, begin + 1.0, end)
    total = sum(seen.values())
    assert seen["v2-canary"] / total == pytest.approx(0.6, abs=0.04)
    assert seen["v1"] > 0
    assert seen["v2"] > 0


@pytest.mark.parametrize("threshold", [1, 2, 3])
def test_a_bad_release_is_rolled_back_one_tick_after_the_threshold(threshold: int) -> None:
    run = play(scenario({"stepWeight": 20, "maxWeight": 60, "threshold": threshold}, release={"bug": BROKEN}))
    assert [tick(run, "CheckFailed", i) for i in range(threshold)] == list(range(2, 2 + threshold))
    back = tick(run, "FailedChecksThresholdReached")
    assert back - tick(run, "CheckFailed") + 1 == ticks_to_rollback(CanarySpec(threshold=threshold))
    assert weights(run) == [20, 0]
    assert run.rollback.detected_s == times(run, "CheckFailed")[0]
    assert run.rollback.decided_s == times(run, "FailedChecksThresholdReached")[0]
    assert run.rollback.restored_s == pytest.approx(run.rollback.decided_s, abs=1.0)
    assert run.rollback.diverted_s is not None
    assert run.rollout.outcome == "rolled back"
    assert routed(run, 0.0, run.duration_s)["v2"] == 0  # the primary never saw it


@pytest.mark.parametrize("bug", [None, BROKEN])
def test_documented_times(bug: dict[str, Any] | None) -> None:
    """V25: 60 s, maxWeight 50, stepWeight 10, threshold 5: five minutes to promote, five to roll back."""
    metrics = [{**METRICS[0], "interval": "1m"}]
    asked = {"interval": "1m", "stepWeight": 10, "maxWeight": 50, "threshold": 5, "metrics": metrics}
    run = play(scenario(asked, duration_s=720.0, rate=15.0, release={"bug": bug}))
    first = times(run, "WeightAdvanced")[0]
    if bug is None:
        assert times(run, "CopyingSpecToPrimary")[0] - first == pytest.approx(300.0)
    else:
        failed = times(run, "CheckFailed")[0]
        assert times(run, "FailedChecksThresholdReached")[0] - failed == pytest.approx(300.0)


def test_blue_green_judged_by_copies() -> None:
    """Iterations + 4 looks: copies first, then everybody, then the primary without traffic takes the template."""
    run = play(scenario({"iterations": 2, "mirror": True}))
    assert run.strategy == "Flagger blue/green"
    assert weights(run) == [0, 100, 0]
    assert tick(run, "Mirroring") == 1
    assert tick(run, "RoutingToCanary") == 3
    assert tick(run, "CopyingSpecToPrimary") == 4
    waited = 1 if times(run, "PrimaryNotReady") else 0
    assert tick(run, "PromotionFinished") == 2 + 4 + waited
    assert run.counts.mirrored[:, 1].sum() > 0
    begin, switched = times(run, "Mirroring")[0], times(run, "RoutingToCanary")[0]
    assert routed(run, begin, switched)["v2-canary"] == 0
    rolled = routed(run, switched + 1.0, times(run, "RoutingToPrimary")[0])
    assert rolled["v1"] == rolled["v2"] == 0


def test_blue_green_with_errors_reaches_nobody() -> None:
    run = play(scenario({"iterations": 3, "mirror": True}, release={"bug": BROKEN}))
    assert run.rollout.outcome == "rolled back"
    assert routed(run, 0.0, run.duration_s)["v2-canary"] == 0


def test_silence_is_a_failed_check() -> None:
    """D2: a canary without requests has no values, and is rolled back."""
    run = play(scenario({"iterations": 3, "threshold": 2}))
    assert len(times(run, "CheckFailed")) == 2
    assert run.rollout.outcome == "rolled back"


def test_a_load_test_breaks_the_silence() -> None:
    """The kubernetes provider shifts nothing; a load test gives its metrics something to see."""
    asked = {"iterations": 2, "threshold": 3, "webhooks": [HEY]}
    run = play(scenario(asked, canary={"provider": "kubernetes"}, duration_s=180.0))
    assert run.rollout.outcome == "complete"
    assert routed(run, 0.0, run.duration_s)["v2-canary"] == 0
    mirrored = int(run.counts.mirrored[:, 1].sum())
    loaded_s = times(run, "PromotionFinished")[0] - times(run, "CheckFailed")[0]
    assert mirrored == pytest.approx(10.0 * loaded_s, rel=0.25)


def test_kubernetes_provider_with_nothing_to_ask() -> None:
    """Always blue/green, ten iterations unless told, iterations + 4 looks."""
    run = play(scenario({"metrics": []}, canary={"provider": "kubernetes"}, duration_s=230.0))
    waited = 1 if times(run, "PrimaryNotReady") else 0
    assert tick(run, "PromotionFinished") == 10 + 4 + waited
    assert weights(run) == []


def test_ab_sends_matched_users_only() -> None:
    """Iterations + 3 looks; one user in a hundred carries the header."""
    match = [{"headers": {"x-canary": {"exact": "insider"}}}]
    run = play(scenario({"iterations": 3, "match": match, "metrics": []}, rate=300.0))
    assert run.strategy == "Flagger A/B"
    waited = 1 if times(run, "PrimaryNotReady") else 0
    assert tick(run, "PromotionFinished") == 3 + 3 + waited
    on = times(run, "IterationAdvanced")[0]
    seen = routed(run, on + 1.0, times(run, "CopyingSpecToPrimary")[0])
    share = seen["v2-canary"] / sum(seen.values())
    assert 0.002 < share < 0.03
    assert seen["v2"] == 0


def test_a_canary_that_never_gets_ready() -> None:
    """Waiting is no failed check; the progress deadline rolls back, and nobody met it."""
    run = play(
        scenario(
            {"stepWeight": 20, "maxWeight": 60, "threshold": 1},
            release={"bug": {"never_ready": True}},
            deployment={"progressDeadlineSeconds": 30},
        )
    )
    assert not times(run, "CheckFailed")
    assert times(run, "CanaryProgressDeadlineExceeded")[0] >= RELEASE_S + 30.0
    assert run.rollback.decided_s == times(run, "CanaryProgressDeadlineExceeded")[0]
    assert routed(run, 0.0, run.duration_s)["v2-canary"] == 0


def test_a_gate_waits_for_a_human() -> None:
    gate = {"name": "gate", "type": "confirm-promotion", "url": "http://loadtester.test/gate/check"}
    asked = {"stepWeight": 50, "maxWeight": 50, "webhooks": [gate]}
    held = play(scenario(asked))
    assert not times(held, "CopyingSpecToPrimary")
    assert held.rollout.outcome == "progressing"
    run = play(scenario(asked, release={"promote_at": 72.0}))
    assert 72.0 <= times(run, "CopyingSpecToPrimary")[0] <= 72.0 + INTERVAL_S
    assert run.rollout.outcome == "complete"


def test_a_human_asks_for_the_rollback() -> None:
    run = play(scenario({"stepWeight": 5, "maxWeight": 50}, release={"abort_at": 61.0}))
    assert 61.0 <= times(run, "RollbackWebhook")[0] <= 61.0 + INTERVAL_S
    assert run.rollout.outcome == "rolled back"


def test_a_human_skips_the_analysis() -> None:
    run = play(scenario({"stepWeight": 5, "maxWeight": 50}, release={"promote_full_at": 61.0}))
    assert 61.0 <= times(run, "AnalysisSkipped")[0] <= 61.0 + INTERVAL_S
    assert run.rollout.outcome == "complete"
    assert routed(run, 130.0, 150.0)["v2"] == sum(routed(run, 130.0, 150.0).values())


def test_a_suspended_canary_holds() -> None:
    run = play(scenario({"stepWeight": 50, "maxWeight": 50}, release={"pause_at": 20.0, "resume_at": 80.0}))
    assert not [t for t in times(run, "WeightAdvanced") if 20.0 <= t < 80.0]
    assert run.rollout.outcome == "complete"


def test_an_undo_to_the_promoted_template_is_no_new_canary() -> None:
    """The target goes back by its own rolling update; users on the canary's service meet the old template again."""
    run = play(scenario({"stepWeight": 30, "maxWeight": 60}, release={"undo_at": 41.0, "bug": BROKEN}))
    assert len(times(run, "NewRevisionDetected")) == 1
    assert not times(run, "NewRevisionRestartsAnalysis")
    seen = routed(run, 0.0, run.duration_s)
    assert seen["v2"] == 0
    assert seen["v1-canary"] > 0
    assert run.rollback.decided_s == 41.0
    assert run.rollback.restored_s is not None
    assert 41.0 < run.rollback.restored_s < 60.0


def test_an_undo_of_a_promoted_template_is_a_canary_like_any_other() -> None:
    """`kubectl rollout undo` gives the target no size, so its canary has one pod; users wait for all its looks."""
    run = play(scenario({"stepWeight": 50, "maxWeight": 50}, release={"undo_at": 85.0}, duration_s=170.0))
    first, second = times(run, "PromotionFinished")
    assert first < 85.0 < times(run, "NewRevisionDetected")[1] < second
    sizes = [one.data["size"] for one in run.events if one.reason == "CanaryScaled"]
    assert sizes == [0, 1, 0]
    assert run.rollback.decided_s == 85.0
    assert run.rollback.restored_s == second


def test_failed_checks_that_did_not_roll_back_are_cleared() -> None:
    """The first look at a load test's canary has no values yet; it went on and was promoted."""
    asked = {"iterations": 2, "threshold": 3, "webhooks": [HEY]}
    run = play(scenario(asked, canary={"provider": "kubernetes"}, duration_s=180.0))
    assert times(run, "CheckFailed")
    assert run.rollback.detected_s is None
    assert run.rollout.outcome == "complete"


def test_another_release_restarts_the_analysis() -> None:
    """Weights back to 100/0 and counters to 0; what is promoted is the later template."""
    run = play(
        scenario(
            {"stepWeight": 30, "maxWeight": 60, "threshold": 3},
            release={"bug": BROKEN, "then": [{"at": 45.0}]},
            duration_s=170.0,
        )
    )
    restart = times(run, "NewRevisionRestartsAnalysis")[0]
    assert 45.0 <= restart <= 45.0 + INTERVAL_S
    later = [one for one in run.events if one.time_s > restart and "failed_checks" in one.data]
    assert {one.data["failed_checks"] for one in later} == {0}
    end = routed(run, 160.0, 170.0)
    assert end["v3"] == sum(end.values())


def test_affinity_drifts_above_its_weight() -> None:
    """V16: who is not on the canary yet draws anew with each request, so its share grows while the weight stands."""
    cookie = {"cookieName": "flagger"}
    asked = {"stepWeights": [10, 11, 12, 13, 14, 15, 16], "metrics": [], "sessionAffinity": cookie}
    free = play(scenario(asked, users=200, rate=100.0))
    bound = play(scenario({**asked, "sessionAffinity": {**cookie, "primaryCookieName": "stay"}}, users=200, rate=100.0))
    at = times(free, "WeightAdvanced")[3]
    shares = []
    for run in (free, bound):
        seen = routed(run, at, at + INTERVAL_S)
        shares.append(seen["v2-canary"] / sum(seen.values()))
    drifting, steady = shares
    assert drifting > 0.6
    assert steady < 0.25


def test_same_seed_same_run_on_both_planes() -> None:
    asked = scenario({"iterations": 1, "mirror": True, "threshold": 3}, release={"bug": {"error_rate": 0.02}})
    again = scenario({"stepWeight": 40, "maxWeight": 60, "sessionAffinity": {"cookieName": "c"}}, duration_s=110.0)
    for one in (asked, again):
        kernel, reference = play(one, plane="kernel"), play(one, plane="reference")
        assert kernel.digest == reference.digest
        assert [(e.time_s, e.reason) for e in kernel.events] == [(e.time_s, e.reason) for e in reference.events]
    assert np.array_equal(kernel.counts.routed, play(again).counts.routed)


def test_one_revision_has_one_row_in_the_record() -> None:
    """What two Deployments answered is added up by template; nothing is lost on the way."""
    run = play(scenario({"stepWeight": 50, "maxWeight": 50}, release={"bug": {"error_rate": 0.01}}))
    rows = ROWS[run.digest]
    assert run.revisions == ("v1", "v2")
    assert run.bad_revisions == (1,)
    assert {pod.revision for pod in run.pods} == {0, 1}
    for name in ("counts", "routed", "latency", "mirrored"):
        raw, folded = getattr(rows, name), getattr(run.counts, name)
        assert folded.shape[1] == 3
        assert np.array_equal(folded[:, 1], raw[:, 1] + raw[:, 3])
        assert np.array_equal(folded[:, 2], raw[:, 4])
        assert folded.sum() == raw.sum()
    assert run.counts.last_routed[1] == np.nanmax(rows.last_routed[[1, 3]])
    lost = run.counts.lost["revision"]
    assert set(lost.tolist()) == {1}
    assert run.counts.causes.sum() == lost.size
