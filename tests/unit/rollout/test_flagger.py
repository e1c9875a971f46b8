"""Flagger's tick: tables after pkg/controller/scheduler_test.go and the design's counts, and laws of any canary."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zdsim.rollout.flagger import (
    Action,
    CanaryPhase,
    CanaryStatus,
    Reason,
    Routes,
    Seen,
    Tick,
    advance_canary,
    runs_analysis,
)
from zdsim.rollout.flagger_metrics import (
    Answer,
    CheckReason,
    MetricCheck,
    WebhookType,
    check_metric,
    check_metrics,
    request_success_rate,
    webhook_succeeded,
)
from zdsim.rollout.flagger_spec import (
    CanarySpec,
    Readiness,
    Strategy,
    analysis_interval_s,
    documented_promotion_time_s,
    documented_rollback_time_s,
    is_deployment_ready,
    last_weight,
    max_weight,
    next_step_weight,
    strategy,
    ticks_to_rollback,
    ticks_to_succeed,
    weights,
)

OK = Seen()
PROGRESSIVE = CanarySpec(step_weight=20, max_weight=50)


def play(spec: CanarySpec, *, seen: dict[int, Seen] | None = None, limit: int = 300) -> list[Tick]:
    """Ticks from the detection of a change until it has ended; `seen` says what differs in some of them."""
    status, ticks = CanaryStatus(), list[Tick]()
    for at in range(limit):
        found = (seen or {}).get(at, OK)
        tick = advance_canary(spec, status, replace(found, target_changed=True) if at == 0 else found)
        ticks.append(tick)
        status = tick.status
        if tick.phase.resting:
            break
    return ticks


def canary_weights(ticks: list[Tick]) -> list[int]:
    return [tick.weights[1] for tick in ticks]


@pytest.mark.parametrize(
    ("spec", "interval_s", "threshold", "top"),
    [
        (CanarySpec(), 60.0, 1, 100),
        (CanarySpec(interval_s=5.0, threshold=3, max_weight=30), 10.0, 3, 30),
        (CanarySpec(interval_s=90.0, step_weights=(1, 10, 80)), 90.0, 1, 80),
        (CanarySpec(step_weights=(50, 150), max_weight=10), 60.0, 1, 100),
    ],
)
def test_defaults(spec: CanarySpec, interval_s: float, threshold: int, top: int) -> None:
    assert analysis_interval_s(spec.interval_s) == interval_s
    assert spec.analysis_threshold == threshold
    assert max_weight(spec) == top
    assert (spec.progress_deadline_s, spec.primary_ready_threshold, spec.canary_ready_threshold) == (600.0, 100, 100)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (PROGRESSIVE, (20, 40, 60)),  # the maximum stops, it does not cap
        (CanarySpec(step_weight=10, max_weight=50), (10, 20, 30, 40, 50)),
        (CanarySpec(step_weight=30), (30, 60, 90, 100)),
        (CanarySpec(step_weights=(1, 10, 80)), (1, 10, 80)),
        (CanarySpec(step_weights=(5, 200)), (5, 100)),
        (CanarySpec(step_weight=5, step_weights=(1, 10)), (5, 10)),  # stepWeight wins
        (CanarySpec(), ()),
        (CanarySpec(step_weights=(50, 20, 60)), (50,)),  # never goes down
        (CanarySpec(step_weight=50, max_weight=200), (50, 100)),
    ],
)
def test_weights(spec: CanarySpec, expected: tuple[int, ...]) -> None:
    assert weights(spec) == expected
    seen = [weight for weight in dict.fromkeys(canary_weights(play(spec))) if weight]
    assert tuple(seen) == expected


def test_next_step_weight_of_a_list() -> None:
    spec = CanarySpec(step_weights=(10, 60, 80))
    assert [next_step_weight(spec, weight) for weight in (0, 10, 60, 80, 15, 100)] == [10, 50, 20, 20, 85, 1]


@pytest.mark.parametrize(
    ("spec", "ticks"),
    [
        (PROGRESSIVE, 3 + 3),
        (CanarySpec(step_weight=10, max_weight=50), 5 + 3),
        (CanarySpec(step_weights=(1, 10, 80)), 3 + 3),
        (CanarySpec(step_weight=10, max_weight=50, mirror=True), 5 + 3 + 1),
        (CanarySpec(iterations=10), 10 + 4),
        (CanarySpec(iterations=10, mirror=True), 10 + 4),
        (CanarySpec(iterations=10, match=True), 10 + 3),
        (CanarySpec(provider="kubernetes"), 10 + 4),
        (CanarySpec(provider="kubernetes", iterations=3, match=True), 3 + 4),
        (CanarySpec(step_weight=20, max_weight=50, step_weight_promotion=25), 3 + 3 + 2),
        (CanarySpec(iterations=2, step_weight_promotion=30), 2 + 4 + 3),
        (CanarySpec(step_weight=20, skip_analysis=True), 1),
    ],
)
def test_ticks_from_detection_to_succeeded(spec: CanarySpec, ticks: int) -> None:
    played = play(spec)
    assert ticks_to_succeed(spec) == ticks
    assert (len(played) - 1, played[-1].phase) == (ticks, CanaryPhase.SUCCEEDED)
    assert sum(Action.COPY_SPEC_TO_PRIMARY in tick.actions for tick in played) == 1
    assert max(canary_weights(played)) == (0 if spec.skip_analysis else last_weight(spec))
    assert played[-1].weights == (100, 0)


def test_documented_times() -> None:
    """60 s, 50, 10, 5: five minutes either way (V25); the code takes longer."""
    spec = CanarySpec(step_weight=10, max_weight=50, threshold=5)
    assert documented_promotion_time_s(spec) == documented_rollback_time_s(spec) == 300.0
    assert ticks_to_succeed(spec) == 8
    assert ticks_to_rollback(spec) == 6
    assert math.isnan(documented_promotion_time_s(CanarySpec(iterations=3)))


def test_a_progressive_canary_tick_by_tick() -> None:
    phases = [(str(tick.phase), tick.weights) for tick in play(PROGRESSIVE)]
    assert phases == [
        ("Progressing", (100, 0)),
        ("Progressing", (80, 20)),
        ("Progressing", (60, 40)),
        ("Progressing", (40, 60)),
        ("Promoting", (40, 60)),  # 40 % on a primary that rolls
        ("Finalising", (100, 0)),
        ("Succeeded", (100, 0)),
    ]


def test_mirroring_is_one_tick_before_the_first_weight_or_all_of_blue_green() -> None:
    ticks = play(CanarySpec(step_weight=50, mirror=True))
    assert [tick.status.routes.mirrored for tick in ticks] == [False, True, False, False, False, False, False]
    ticks = play(CanarySpec(iterations=2, mirror=True))
    assert [tick.status.routes.mirrored for tick in ticks] == [False, True, True, False, False, False, False]
    assert not any(tick.status.routes.mirrored for tick in play(CanarySpec(mirror=True, provider="kubernetes")))


def test_weights_of_a_slow_promotion() -> None:
    spec = CanarySpec(step_weight=50, max_weight=50, step_weight_promotion=20)
    assert canary_weights(play(spec)) == [0, 50, 50, 30, 10, 0, 0]


@pytest.mark.parametrize("threshold", [1, 2, 5])
def test_a_bad_canary_rolls_back_one_tick_after_its_last_check(threshold: int) -> None:
    spec = CanarySpec(step_weight=10, threshold=threshold)
    bad = Seen(metrics_ok=False)
    ticks = play(spec, seen=dict.fromkeys(range(2, 99), bad))
    assert len(ticks) - 2 == ticks_to_rollback(spec)
    assert [tick.status.failed_checks for tick in ticks[2:-1]] == list(range(1, threshold + 1))
    assert (ticks[-1].phase, ticks[-1].weights) == (CanaryPhase.FAILED, (100, 0))
    assert ticks[-1].reasons == (Reason.THRESHOLD_REACHED,)
    assert Action.SCALE_CANARY_TO_ZERO in ticks[-1].actions


def test_failed_checks_are_never_forgiven() -> None:
    bad = Seen(rollout_ok=False)
    ticks = play(CanarySpec(step_weight=10, threshold=2), seen={2: bad, 5: bad})
    assert [tick.status.failed_checks for tick in ticks] == [0, 0, 1, 1, 1, 2, 0]
    assert canary_weights(ticks) == [0, 10, 10, 20, 30, 30, 0]
    assert ticks[-1].phase is CanaryPhase.FAILED


def test_each_failed_tick_costs_one() -> None:
    spec = CanarySpec(step_weight=10, max_weight=50, threshold=9)
    for at in range(1, 7):
        assert len(play(spec, seen={at: Seen(metrics_ok=False, pre_rollout_ok=False)})) == len(play(spec)) + 1


def test_the_first_tick_asks_only_the_hooks_before_the_rollout() -> None:
    assert advance_canary(PROGRESSIVE, play(PROGRESSIVE)[0].status, Seen(metrics_ok=False)).weights == (80, 20)
    failed = advance_canary(PROGRESSIVE, play(PROGRESSIVE)[0].status, Seen(pre_rollout_ok=False))
    assert (failed.weights, failed.status.failed_checks, failed.reasons) == ((100, 0), 1, (Reason.PRE_ROLLOUT_FAILED,))
    asked = [runs_analysis(PROGRESSIVE, tick.status) for tick in play(PROGRESSIVE)]
    assert asked == [False, True, True, True, False, False, False]


def test_gates_hold_without_a_failed_check() -> None:
    no = {at: Seen(confirm_rollout=False) for at in range(3)}
    ticks = play(PROGRESSIVE, seen=no)
    assert [str(tick.phase) for tick in ticks[:4]] == ["Waiting"] * 3 + ["Progressing"]
    assert ticks[3].actions == (Action.SCALE_CANARY_UP,)

    ticks = play(PROGRESSIVE, seen={at: Seen(confirm_traffic_increase=False) for at in (1, 2, 5)})
    assert canary_weights(ticks)[:8] == [0, 0, 0, 20, 40, 40, 60, 60]

    ticks = play(PROGRESSIVE, seen={at: Seen(confirm_promotion=False) for at in range(4, 7)})
    assert [str(tick.phase) for tick in ticks[4:8]] == ["WaitingPromotion"] * 3 + ["Promoting"]
    assert all(tick.status.failed_checks == 0 for tick in ticks)


def test_waiting_for_promotion_goes_on_measuring_and_can_fail() -> None:
    closed = {at: Seen(confirm_promotion=False, metrics_ok=at < 6) for at in range(4, 20)}
    ticks = play(replace(PROGRESSIVE, threshold=2), seen=closed)
    assert (len(ticks), ticks[-1].phase) == (9, CanaryPhase.FAILED)


def test_a_closed_promotion_gate_costs_an_iteration_each_time() -> None:
    spec = CanarySpec(iterations=3, match=True)
    ticks = play(spec, seen={at: Seen(confirm_promotion=False) for at in range(4, 8)})
    assert [tick.status.iterations for tick in ticks[3:9]] == [3, 2, 3, 2, 3, 0]
    assert ticks[8].phase is CanaryPhase.PROMOTING


def test_a_rollback_webhook_rolls_back_while_progressing() -> None:
    ticks = play(PROGRESSIVE, seen={2: Seen(rollback_asked=True)})
    assert (ticks[-1].phase, ticks[-1].reasons) == (CanaryPhase.FAILED, (Reason.ROLLBACK_ASKED,))
    assert play(PROGRESSIVE, seen={5: Seen(rollback_asked=True)})[-1].phase is CanaryPhase.SUCCEEDED


def test_a_new_revision_starts_again_but_not_while_promoting() -> None:
    again = Seen(target_changed=True)
    ticks = play(PROGRESSIVE, seen={3: again})
    assert (ticks[3].weights, ticks[3].phase, ticks[3].reasons) == (
        (100, 0),
        CanaryPhase.PROGRESSING,
        (Reason.REVISION_CHANGED,),
    )
    assert len(ticks) == len(play(PROGRESSIVE)) + 3
    assert len(play(PROGRESSIVE, seen={5: again})) == len(play(PROGRESSIVE))


def test_waiting_for_pods_is_no_failed_check() -> None:
    slow = {at: Seen(canary=Readiness.WAITING) for at in (1, 2)} | {4: Seen(primary=Readiness.WAITING)}
    ticks = play(PROGRESSIVE, seen=slow)
    assert len(ticks) == len(play(PROGRESSIVE)) + 3
    assert all(tick.status.failed_checks == 0 for tick in ticks)


@pytest.mark.parametrize(
    ("at", "seen", "weights_after", "reasons"),
    [
        (2, Seen(canary=Readiness.STUCK), (100, 0), (Reason.CANARY_STUCK,)),
        (2, Seen(primary=Readiness.STUCK), (100, 0), (Reason.PRIMARY_STUCK,)),
        (5, Seen(primary=Readiness.STUCK), (0, 100), (Reason.PRIMARY_STUCK, Reason.PROMOTION_FAILED)),
        (6, Seen(primary=Readiness.STUCK), (0, 100), (Reason.PRIMARY_STUCK, Reason.PROMOTION_FAILED)),
    ],
)
def test_stuck_deployments(at: int, seen: Seen, weights_after: tuple[int, int], reasons: tuple[Reason, ...]) -> None:
    ticks = play(PROGRESSIVE, seen={at: seen})
    assert (ticks[-1].phase, ticks[-1].weights, ticks[-1].reasons) == (CanaryPhase.FAILED, weights_after, reasons)
    kept = Reason.PROMOTION_FAILED in reasons
    assert (Action.SCALE_CANARY_TO_ZERO in ticks[-1].actions) != kept


def test_initialising_and_resting() -> None:
    new = CanaryStatus(phase=CanaryPhase.INITIALIZING)
    assert advance_canary(PROGRESSIVE, new, Seen(primary=Readiness.WAITING)).status == new
    done = advance_canary(PROGRESSIVE, new, OK)
    assert (done.phase, Action.SCALE_CANARY_TO_ZERO in done.actions) == (CanaryPhase.INITIALIZED, True)
    for phase in (CanaryPhase.INITIALIZED, CanaryPhase.SUCCEEDED, CanaryPhase.FAILED):
        rest = CanaryStatus(phase=phase, failed_checks=1)
        assert advance_canary(PROGRESSIVE, rest, OK) == Tick(rest, (), (Reason.NO_CHANGE,))
        assert advance_canary(PROGRESSIVE, rest, Seen(target_changed=True)).status == CanaryStatus(
            phase=CanaryPhase.PROGRESSING
        )
    assert advance_canary(PROGRESSIVE, new, Seen(suspended=True)).reasons == (Reason.SUSPENDED,)


def test_no_step_never_advances() -> None:
    ticks = play(CanarySpec(), limit=20)
    assert (ticks[-1].phase, ticks[-1].reasons) == (CanaryPhase.PROGRESSING, (Reason.NO_STEP,))
    assert ticks_to_succeed(CanarySpec()) is None


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (CanarySpec(step_weight=5), Strategy.PROGRESSIVE),
        (CanarySpec(iterations=2), Strategy.BLUE_GREEN),
        (CanarySpec(iterations=2, match=True), Strategy.AB),
        (CanarySpec(match=True), Strategy.PROGRESSIVE),
        (CanarySpec(provider="kubernetes", step_weight=5, match=True), Strategy.BLUE_GREEN),
    ],
)
def test_strategy(spec: CanarySpec, expected: Strategy) -> None:
    assert strategy(spec) is expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, Readiness.READY),
        ({"updated": 3}, Readiness.WAITING),
        ({"replicas": 5}, Readiness.WAITING),
        ({"available": 3}, Readiness.WAITING),
        ({"available": 3, "ready_threshold": 75}, Readiness.READY),
        ({"available": 2, "ready_threshold": 70}, Readiness.READY),  # 2.8 is cut to 2
        ({"available": 1, "ready_threshold": 70}, Readiness.WAITING),
        ({"progress_deadline_exceeded": True}, Readiness.STUCK),
        ({"generation_observed": False, "progress_deadline_exceeded": True}, Readiness.WAITING),
        ({"available": 0, "unavailable_for_s": 600.0}, Readiness.WAITING),
        ({"available": 0, "unavailable_for_s": 600.1}, Readiness.STUCK),
        ({"spec_replicas": 0, "updated": 0, "replicas": 0, "available": 0}, Readiness.READY),
    ],
)
def test_is_deployment_ready(state: dict[str, int], expected: Readiness) -> None:
    full = {"spec_replicas": 4, "updated": 4, "replicas": 4, "available": 4}
    assert is_deployment_ready(**{**full, **state}) is expected  # type: ignore[arg-type]


RATE, MS = "request-success-rate", "request-duration"


@pytest.mark.parametrize(
    ("metric", "answer", "reason"),
    [
        (MetricCheck(name=RATE, minimum=99), 99.0, CheckReason.WITHIN),
        (MetricCheck(name=RATE, minimum=99), 98.99, CheckReason.BELOW),
        (MetricCheck(name=RATE, threshold=99), 98.0, CheckReason.BELOW),
        (MetricCheck(name=RATE, threshold=99), 100.0, CheckReason.WITHIN),
        (MetricCheck(name=RATE, maximum=50), 60.0, CheckReason.ABOVE),
        (MetricCheck(name=RATE, minimum=99), None, CheckReason.NO_VALUES),
        (MetricCheck(name=RATE, minimum=99), math.nan, CheckReason.NO_VALUES),
        (MetricCheck(name=RATE, minimum=99), [], CheckReason.NO_VALUES),
        (MetricCheck(name=MS, maximum=500), 500.9, CheckReason.WITHIN),  # whole milliseconds
        (MetricCheck(name=MS, maximum=500), 501.0, CheckReason.ABOVE),
        (MetricCheck(name=MS, threshold=500), 501.0, CheckReason.ABOVE),
        (MetricCheck(name="errors", threshold=5), 5.0, CheckReason.WITHIN),
        (MetricCheck(name="errors", threshold=5), 5.1, CheckReason.ABOVE),
        (MetricCheck(name="errors", maximum=5), [9.0, 1.0], CheckReason.WITHIN),  # the last counts
        (MetricCheck(name="errors", maximum=5), [[1.0], [2.0]], CheckReason.QUERY_FAILED),
        (MetricCheck(name="errors", has_range=True), 1e9, CheckReason.WITHIN),
    ],
)
def test_metric_checks(metric: MetricCheck, answer: Answer, reason: CheckReason) -> None:
    outcome = check_metric(metric, answer)
    assert outcome.reason is reason
    assert outcome.passed is (reason is CheckReason.WITHIN)


def test_several_checks_and_hooks() -> None:
    good, bad = (MetricCheck(name="own", maximum=1), 2.0), (MetricCheck(name=RATE, minimum=99), 1.0)
    first = check_metrics([good, bad])
    assert first is not None
    assert first.name == RATE  # built-in ones are asked first
    assert check_metrics([]) is None
    assert request_success_rate(good_per_s=99.0, all_per_s=100.0) == 99.0
    assert request_success_rate(good_per_s=0.0, all_per_s=0.0) is None
    assert [webhook_succeeded(code) for code in (200, 202, 203, 500, None)] == [True, True, False, False, False]
    assert sum(kind.only_holds for kind in WebhookType) == 3


SPECS = st.builds(
    CanarySpec,
    threshold=st.integers(0, 4),
    max_weight=st.integers(0, 100),
    step_weight=st.integers(0, 60),
    step_weights=st.lists(st.integers(1, 120), max_size=4).map(lambda each: tuple(sorted(set(each)))),
    step_weight_promotion=st.sampled_from([0, 0, 7, 50]),
    iterations=st.sampled_from([0, 0, 1, 5]),
    match=st.booleans(),
    mirror=st.booleans(),
    skip_analysis=st.sampled_from([False, False, True]),
    provider=st.sampled_from(["istio", "kubernetes"]),
)


@settings(max_examples=200, deadline=None)
@given(spec=SPECS)
def test_the_formula_counts_the_ticks(spec: CanarySpec) -> None:
    ticks = play(spec)
    expected = ticks_to_succeed(spec)
    assert (expected is None) == (ticks[-1].phase is not CanaryPhase.SUCCEEDED)
    assert expected is None or len(ticks) - 1 == expected


SEEN = st.builds(
    Seen,
    target_changed=st.sampled_from([False] * 9 + [True]),
    primary=st.sampled_from([Readiness.READY] * 9 + [Readiness.WAITING, Readiness.STUCK]),
    canary=st.sampled_from([Readiness.READY] * 9 + [Readiness.WAITING, Readiness.STUCK]),
    confirm_rollout=st.booleans(),
    confirm_traffic_increase=st.booleans(),
    confirm_promotion=st.booleans(),
    pre_rollout_ok=st.booleans(),
    rollout_ok=st.sampled_from([True] * 4 + [False]),
    metrics_ok=st.sampled_from([True] * 4 + [False]),
    rollback_asked=st.sampled_from([False] * 9 + [True]),
)


@settings(max_examples=300, deadline=None)
@given(spec=SPECS, found=st.lists(SEEN, min_size=1, max_size=40))
def test_laws_of_every_canary(spec: CanarySpec, found: list[Seen]) -> None:
    """Weights add up and rise until traffic goes back; failed checks only grow; at the end one version has it all."""
    status = CanaryStatus()
    for seen in found:
        tick = advance_canary(spec, status, seen)
        before, after = status, tick.status
        assert sum(tick.weights) == 100
        assert len(tick.reasons) >= 1
        assert (before.routes != after.routes) <= (Action.SET_ROUTES in tick.actions)
        if spec.provider == "kubernetes":
            assert after.routes == Routes()
        restarted = {Reason.REVISION_CHANGED, Reason.NEW_REVISION, Reason.ROLLOUT_NOT_CONFIRMED} & set(tick.reasons)
        if after.phase in (CanaryPhase.PROGRESSING, CanaryPhase.WAITING_PROMOTION) and not restarted:
            assert after.routes.canary >= before.routes.canary
            assert 0 <= after.failed_checks - before.failed_checks <= 1
            assert after.failed_checks <= spec.analysis_threshold
        if after.phase is CanaryPhase.PROMOTING and not restarted:
            assert after.routes.canary <= before.routes.canary
        if after.phase in (CanaryPhase.SUCCEEDED, CanaryPhase.FAILED):
            assert (
                tick.weights == (100, 0)
                or Reason.PROMOTION_FAILED in tick.reasons
                or tick.reasons == (Reason.NO_CHANGE,)
            )
        status = after
