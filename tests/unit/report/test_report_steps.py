"""Steps of a rollout as events tell them: what is told, in which words, and what is left out."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_record import rolling_record, silent_record

from zdsim.record import Event, EventKind
from zdsim.report.causes import errs_more, explain
from zdsim.report.figure import Mark, marks, together
from zdsim.report.steps import MAX_STEPS, Step, paused_at_end, shortened, steps
from zdsim.report.units import own_revisions

RECORD = silent_record()
ROLLOUT, ALERT, RELEASE, CONDITION = EventKind.ROLLOUT, EventKind.ALERT, EventKind.RELEASE, EventKind.CONDITION

CANARY = (
    Event(60.0, RELEASE, "deployment/web", "Release", "template v1 -> v2"),
    Event(60.0, ROLLOUT, "web-v2", "ScaledNew", "0 -> 1", {"before": 0, "size": 1}),
    Event(60.0, ROLLOUT, "web", "ServiceSwitchDelayed", "service switch delayed"),
    Event(61.0, EventKind.POD, "pod/web-v2-1", "Ready", "ready"),
    Event(67.0, ROLLOUT, "web", "WeightWritten", "5 % of requests to v2", {"weight": 0.05}),
    Event(67.0, ROLLOUT, "web", "StepCompleted", "step completed"),
    Event(67.0, ALERT, "analysis/web-v2-background", "Running", "analysis running"),
    Event(67.1, ROLLOUT, "web", "WeightWritten", "5 % of requests to v2", {"weight": 0.05}),
    Event(187.0, ALERT, "analysis/web-v2-background", "MeasurementFailed", "error_rate: 0.1 is above 0.01"),
    Event(187.0, ALERT, "analysis/web-v2-background", "Failed", "metric error_rate is Failed"),
    Event(187.0, ROLLOUT, "web", "Aborted", "aborted"),
    Event(187.0, ROLLOUT, "web", "WeightWritten", "all requests to v1", {"weight": 0.0}),
    Event(217.0, ROLLOUT, "web-v2", "ScaleDownDeadlinePassed", "1 -> 0", {"before": 1, "size": 0}),
    Event(217.0, ROLLOUT, "web", "ScaleDownDeadlinePassed", "scale down deadline passed"),
)


def test_a_canary_step_by_step() -> None:
    found = [(step.time_s, step.text) for step in steps(replace(RECORD, events=CANARY))]
    assert found == [
        (60.0, "template v1 -> v2"),
        (67.0, "5 % of requests to v2; analysis web-v2-background begins"),
        (
            187.0,
            "error_rate: 0.1 is above 0.01; analysis web-v2-background failed; aborted; all requests to v1",
        ),
        (217.0, "web-v2: 1 -> 0 pods"),
    ]


def test_where_no_router_has_weights_the_pods_are_told() -> None:
    events = tuple(event for event in CANARY if event.reason != "WeightWritten")
    texts = [step.text for step in steps(replace(RECORD, events=events))]
    assert texts[0] == "template v1 -> v2; web-v2: 0 -> 1 pods"


def test_a_rolling_update_has_no_steps() -> None:
    assert steps(rolling_record(n_windows=60, bad=True)) == []
    assert steps(replace(RECORD, events=CANARY[:4])) == []


def test_a_human_is_told_apart_from_the_release() -> None:
    promoted = Event(90.0, RELEASE, "deployment/web", "Promote", "promote")
    texts = [step.text for step in steps(replace(RECORD, events=(*CANARY[:7], promoted)))]
    assert texts[-1] == "by hand: promote"


@pytest.mark.parametrize(
    ("message", "weight", "step", "mark"),
    [
        ("20 % of requests to the canary", 0.2, "20 % of requests to the canary", "20 %"),
        ("0 % of requests to the canary", 0.0, "all requests to the primary", "all to the primary"),
        ("100 % of requests to v2", 1.0, "all requests to v2", "all requests to v2"),
        ("all requests to v1", 0.0, "all requests to v1", "all requests to v1"),
    ],
)
def test_weights_in_words(message: str, weight: float, step: str, mark: str) -> None:
    record = replace(RECORD, events=(Event(2.0, ROLLOUT, "web", "WeightWritten", message, {"weight": weight}),))
    assert [one.text for one in steps(record)] == [step]
    assert mark in [one.text for one in marks(record)]


def test_marks_of_a_canary_in_a_figure() -> None:
    found = [one.text for one in marks(replace(RECORD, events=CANARY))]
    assert found == ["release", "5 %", "analysis failed", "aborted", "all requests to v1"]


@given(st.lists(st.floats(0.0, 100.0), max_size=30))
def test_marks_close_together_lose_no_name(times: list[float]) -> None:
    found = [Mark(t, f"m{i}", urgent=False) for i, t in enumerate(sorted(times))]
    named = [name for one in together(found, 5.0) for name in one.text.split(", ")]
    assert named == [one.text for one in found]


@given(st.integers(0, 100))
def test_long_stories_lose_their_middle(n: int) -> None:
    found = [Step(float(i), (str(i),)) for i in range(n)]
    first, left_out, last = shortened(found)
    assert len(first) + left_out + len(last) == n
    assert len(first) + len(last) <= MAX_STEPS
    assert [*first, *last][:1] == found[:1]
    assert [*first, *last][-1:] == found[-1:]


def test_a_pause_at_the_end_is_seen() -> None:
    paused = Event(1.0, CONDITION, "web", "Paused", "Paused: CanaryPauseStep")
    going_on = Event(2.0, CONDITION, "web", "Progressing", "Progressing")
    assert paused_at_end(replace(RECORD, events=(paused,)))
    weight = Event(0.5, ROLLOUT, "web", "WeightWritten", "5 % of requests to v2", {"weight": 0.05})
    assert steps(replace(RECORD, events=(weight, paused)))[-1].text == "pause, until the run ends"
    assert steps(replace(RECORD, events=(weight, paused, going_on)))[-1].text == "5 % of requests to v2"
    assert not paused_at_end(replace(RECORD, events=(paused, going_on)))
    assert not paused_at_end(RECORD)


def test_a_canarys_second_rows_are_no_versions_of_their_own() -> None:
    assert own_revisions(["v1", "v2", "v1-canary", "v2-canary"]) == ["v1", "v2"]
    assert own_revisions(["my-canary", "v2"]) == ["my-canary", "v2"]


def test_errors_that_the_stable_revision_makes_too_are_not_blamed() -> None:
    assert not errs_more({"release": None})
    assert not errs_more({"release": {"bug": None, "then": []}})
    assert not errs_more({"release": {"bug": {"error_rate": 0.0, "classes": {}, "conversion_factor": 0.5}}})
    assert errs_more({"release": {"bug": {"classes": {"buy": 0.1}}}})
    assert errs_more({"release": {"bug": None, "then": [{"bug": {"error_rate": 0.1}}]}})
    record = rolling_record(n_windows=200, bad=True)
    for buggy in (True, False):
        for why in explain(record.counts, buggy=buggy):
            if why.cause.name == "BAD_REVISION":
                assert ("no more often" in why.fix) is not buggy
