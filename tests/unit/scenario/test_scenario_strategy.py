"""Generic strategies: what may be written, what it means, what is refused or warned of, and how that is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from zdsim.errors import ScenarioError, Severity
from zdsim.scenario import Loaded, Scenario, load_scenario
from zdsim.scenario.analysis import SEED_RULE, Analysis, Direction, Metric, MetricCheck
from zdsim.scenario.schema import scenario_schema
from zdsim.scenario.strategy import (
    BlueGreen,
    Canary,
    PromotionKind,
    Recreate,
    Rolling,
    Split,
    StepKind,
    Strategy,
    nearest_split,
)

STRATEGY: TypeAdapter[Any] = TypeAdapter(Strategy)
BASE = """\
service: {deployment: {replicas: 4, readinessProbe: {}}}
traffic:
  open: {rate: 100/s}
  classes: [{name: read, share: 90%}, {name: buy, share: 10%, conversion: 50%, revenue: 20}]
"""


def load(tmp_path: Path, text: str, base: str = BASE, *over: str) -> Loaded:
    path = tmp_path / "s.yaml"
    path.write_text(base + text)
    return load_scenario(path, overrides=over)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path, text)
    return str(caught.value)


def warned(loaded: Loaded) -> str:
    return "\n".join(f"{one.path}: {one.message}" for one in loaded.notices if one.severity is Severity.WARNING)


def test_each_kind_has_its_defaults() -> None:
    rolling = STRATEGY.validate_python({"kind": "rolling"})
    assert isinstance(rolling, Rolling)
    assert rolling.max_surge is None, "absent: the Deployment's own"
    assert isinstance(STRATEGY.validate_python({"kind": "recreate"}), Recreate)
    green = STRATEGY.validate_python({"kind": "blue_green"})
    assert isinstance(green, BlueGreen)
    assert green.promotion.kind is PromotionKind.AUTOMATIC
    assert (green.keep_old_s, green.abort_scale_down_s, green.preview_replicas) == (30.0, 30.0, None)
    assert green.smoke is not None
    assert (green.smoke.requests, green.smoke.duration_s, green.smoke.pass_probability) == (20, 10.0, 1.0)
    canary = STRATEGY.validate_python({"kind": "canary"})
    assert isinstance(canary, Canary)
    assert [one.weight for one in canary.steps] == [0.01, 0.05, 0.25, 0.5, 1.0]
    assert {one.hold_s for one in canary.steps} == {60.0}
    assert canary.split is Split.ROUTER
    assert canary.analysis is not None
    assert canary.analysis.metrics == SEED_RULE


def test_the_usual_rule_is_errors_twice_stable_or_slow() -> None:
    checks = [(one.metric, one.limits) for one in Analysis().metrics]
    assert checks == [
        (Metric.ERROR_RATE, {"max": 0.01}),
        (Metric.ERROR_RATE, {"max_ratio": 2.0}),
        (Metric.P99, {"max": 0.5}),
    ]


def test_short_forms_and_steps_mean_the_same() -> None:
    short = STRATEGY.validate_python({"kind": "canary", "weights": ["5%", "50%"], "hold": "2m"})
    long = STRATEGY.validate_python(
        {"kind": "canary", "hold": "2m", "steps": [{"weight": "5%"}, {"weight": 0.5, "hold": 120}]}
    )
    assert short.steps == long.steps
    for word, kind, after_s in (("manual", "manual", 0.0), ({"after": "60s"}, "after", 60.0)):
        promotion = STRATEGY.validate_python({"kind": "blue_green", "promotion": word}).promotion
        assert (promotion.kind, promotion.after_s) == (kind, after_s)
    assert STRATEGY.validate_python({"kind": "canary", "mirror": "10%"}).mirror.share == 0.1


def test_every_kind_of_step() -> None:
    steps = [
        {"weight": "5%", "hold": "2m"},
        {"pause": True},
        {"pause": "30s"},
        {"scale": "match"},
        {"scale": {"replicas": 2}},
        {"analysis": {"count": 3}},
        {"experiment": {"duration": "5m", "replicas": 2}},
    ]
    canary = STRATEGY.validate_python({"kind": "canary", "steps": steps})
    kinds = [StepKind.WEIGHT, StepKind.PAUSE, StepKind.PAUSE, StepKind.SCALE, StepKind.SCALE]
    assert [one.kind for one in canary.steps] == [*kinds, StepKind.ANALYSIS, StepKind.EXPERIMENT]
    assert [one.pause.duration_s for one in canary.steps if one.pause is not None] == [None, 30.0]
    assert STRATEGY.validate_python(STRATEGY.dump_python(canary, mode="json")) == canary


@pytest.mark.parametrize(
    ("metric", "written", "read"),
    [("error_rate", "1%", 0.01), ("p99", "500ms", 0.5), ("memory", "512Mi", 2.0**29), ("throughput", "3k/m", 50.0)],
)
def test_a_limit_is_written_in_its_metrics_unit(metric: str, written: str, read: float) -> None:
    check = MetricCheck.model_validate({"metric": metric, "max": written, "max_slope": written})
    assert (check.max, check.max_slope) == (read, read)
    assert MetricCheck.model_validate(check.model_dump(mode="json")) == check


def test_which_change_is_bad_follows_from_the_metric() -> None:
    bad = {metric: MetricCheck(metric=metric, max=0.0).bad for metric in Metric}
    falls = {metric for metric, one in bad.items() if one is Direction.DECREASE}
    assert falls == {Metric.THROUGHPUT, Metric.CONVERSION, Metric.ORDERS, Metric.REVENUE}


# Argo Rollouts, utils/replicaset/canary_test.go: replicas, weight, surge -> canary, stable
@pytest.mark.parametrize(
    ("replicas", "weight", "surge", "split"),
    [
        (3, 0.2, 1, (1, 3)),
        (3, 0.4, 1, (1, 2)),
        (3, 0.6, 1, (2, 1)),
        (3, 0.8, 1, (3, 1)),
        (10, 0.0, 1, (0, 10)),
        (10, 1.0, 1, (10, 0)),
        (1, 0.5, 0, (1, 0)),
        (0, 0.5, 1, (0, 0)),
    ],
)
def test_the_nearest_share_that_pods_can_give(replicas: int, weight: float, surge: int, split: tuple[int, int]) -> None:
    assert nearest_split(replicas, weight, surge=surge) == split


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (
            "{kind: canary, weights: [1%], steps: [{weight: 5%}]}",
            "release.strategy.weights: give weights (short) or steps",
        ),
        ("{kind: canary, weights: [1%, 120%]}", "release.strategy.weights[1]: must be at most 100%, got 120%"),
        ("{kind: canary, steps: [{weight: 5%, pause: true}]}", "a step is exactly one of weight, pause"),
        ("{kind: canary, steps: [{hold: 5s}]}", "got none"),
        ("{kind: canary, split: replicas, sticky: user}", "strategy.sticky: sticky needs split: router"),
        ("{kind: canary, split: replicas, steps: [{scale: match}]}", "steps[0].scale: scale needs split: router"),
        ("{kind: canary, max_surge: 1}", "max_surge belongs to split: replicas"),
        ("{kind: canary, match: {classes: [bye]}}", "match.classes[0]: there is no class 'bye'; there is read, buy"),
        ("{kind: canary, start_step: 9}", "there are only 5 steps"),
        (
            "{kind: canary, analysis: {metrics: [{metric: db_time, max: 1s}]}}",
            "nothing measures db_time: this scenario has no",
        ),
        (
            "{kind: canary, analysis: {metrics: [{metric: network, max: 1Mi}]}}",
            "nothing measures network: nothing here knows how many bytes",
        ),
        ("{kind: canary, analysis: {metrics: [{metric: p99}]}}", "nothing to compare with"),
        ("{kind: canary, analysis: {metrics: [{metric: p99, judge: sprt}]}}", "judge sprt counts yes and no"),
        (
            "{kind: canary, analysis: {metrics: [{metric: error_rate, max: 5s}]}}",
            "metrics[0].max: expected a percentage",
        ),
        ("{kind: canary, analysis: {count: 2, failure_limit: 3}}", "count (2) is below failure_limit"),
        ("{kind: blue_green, promotion: sometimes}", "expected automatic, manual or after"),
        ("{kind: rolling, max_surge: 0, max_unavailable: 0}", "both 0, so no pod could ever be replaced"),
        ("{kind: bluegreen}", "did you mean 'blue_green'?"),
        ("{kind: canary, wieghts: [5%]}", "did you mean 'weights'?"),
    ],
)
def test_what_is_refused(tmp_path: Path, strategy: str, message: str) -> None:
    assert message in refused(tmp_path, f"release: {{strategy: {strategy}}}\n")


@pytest.mark.parametrize(
    ("release", "message"),
    [
        (
            "{strategy: {kind: canary, weights: [5%, 5%]}}",
            "strategy.weights[1]: weights should rise, but 5% follows 5%",
        ),
        ("{strategy: {kind: blue_green, promotion: manual}}", "needs a manual promotion, and there is no promote_at"),
        (
            "{strategy: {kind: canary, steps: [{pause: true}, {weight: 5%}, {pause: true}]}, promote_at: 2m}",
            "needs 2 manual promotions, and promote_at has 1: it will wait for ever",
        ),
        ("{strategy: {kind: canary, steps: [{weight: 5%}, {analysis: {}}]}}", "without count never ends by itself"),
        (
            "{strategy: {kind: canary, split: replicas, weights: [1%, 50%]}}",
            "weights[0]: shares of 4 pods come out only roughly: 1% is really 20%",
        ),
        (
            "{strategy: {kind: canary, analysis: {window: 10s, interval: 10s}}}",
            "shorter than the scrape interval (15s)",
        ),
        ("{strategy: {kind: canary, analysis: {interval: 2m}}}", "interval (2m) is longer than window (1m)"),
        ("{promote_at: 2m}", "promote_at[0]: has no effect"),
        (
            "{strategy: {kind: blue_green, analysis: {pre: {count: 3, min_requests: 200}}}}",
            "before the switch only the smoke test",
        ),
    ],
)
def test_what_is_warned_of(tmp_path: Path, release: str, message: str) -> None:
    said = warned(load(tmp_path, f"release: {release}\n"))
    assert message.replace("promote_at[0]", "promote_at") in said


def test_what_is_well_meant_is_not_warned_of(tmp_path: Path) -> None:
    text = """\
release:
  strategy:
    kind: canary
    steps: [{weight: 5%, hold: 2m}, {pause: true}, {weight: 50%}, {analysis: {count: 3}}]
    sticky: cookie
    match: {share: 1%, classes: [buy]}
    analysis: {metrics: [{metric: conversion, judge: two_proportion}, {metric: revenue, min_ratio: 80%}]}
  promote_at: [4m]
  abort_at: 8m
  bug: {conversion_factor: 70%}
"""
    loaded = load(tmp_path, text)
    assert not loaded.notices
    release = loaded.scenario.release
    assert release is not None
    assert (release.promote_at_s, release.abort_at_s) == ((240.0,), (480.0,))
    assert release.bug is not None
    assert release.bug.conversion_factor == 0.7
    assert "analysis.scrape.interval: 15s (how often metrics are collected)" in loaded.assumed


def test_human_actions_come_after_the_release_and_within_the_run(tmp_path: Path) -> None:
    assert "promote_at: 10s is before the release (1m)" in refused(tmp_path, "release: {promote_at: 10s}\n")
    assert "times of retry_at must rise" in refused(tmp_path, "release: {retry_at: [3m, 2m]}\n")
    assert "after the run has ended" in refused(tmp_path, "release: {abort_at: [3h]}\n")


def test_a_strategy_survives_json_and_the_schema_knows_it(tmp_path: Path) -> None:
    text = """\
analysis: {scrape: {interval: 5s, lag: 1s}, map: {errors: p99, slow: {metric: p50, window: 2m, scale: 1000}}}
release:
  strategy: {kind: blue_green, smoke: null, promotion: {after: 60s}, switch_lag: 1s, analysis: {post: {count: 5}}}
"""
    scenario = load(tmp_path, text).scenario
    assert Scenario.model_validate(json.loads(json.dumps(scenario.model_dump(mode="json")))) == scenario
    schema = scenario_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    checker = jsonschema.Draft7Validator(schema)
    for strategy in (
        {"kind": "canary", "weights": ["5%", 0.5], "hold": "1m", "mirror": "10%", "analysis": None},
        {"kind": "canary", "steps": [{"pause": True}, {"pause": "2m"}, {"scale": "match"}, {"weight": 1}]},
        {"kind": "blue_green", "promotion": "manual", "keep_old": None},
        {"kind": "rolling", "max_surge": "25%"},
    ):
        document = {
            "service": {"manifest": ["a.yaml", "b.yaml"]},
            "traffic": {"open": {"rate": "5/s"}},
            "release": {"strategy": strategy, "promote_at": "2m"},
        }
        assert not list(checker.iter_errors(document)), strategy
    wrong = {"release": {"strategy": {"kind": "canary", "weihgts": []}}}
    assert list(checker.iter_errors(wrong))


def test_a_section_by_itself_raises_what_pydantic_raises() -> None:
    with pytest.raises(ValidationError):
        STRATEGY.validate_python({"kind": "canary", "steps": [{}]})
