"""Power of a canary's judge: design tables Q24, Q25, Q29, Q30 and V21, and what the command line says."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest

import zdsim.cli
from zdsim.measure.judges.proportions import Sided
from zdsim.measure.power import (
    Canary,
    Judge,
    analyse,
    budget_spent,
    found,
    geometric_exposure,
    needed_window,
    peeking_false_alarm,
    simulate,
    stepped_exposure,
)


def canary(**given: object) -> Canary:
    usual = {"weight": 0.05, "rate": 100.0, "baseline": 0.001, "effect": 0.002, "window_s": 600.0}
    return Canary(**{**usual, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("baseline", "effect", "rate", "weight", "minutes"),
    [
        (0.001, 0.002, 1000.0, 0.05, 2.9),
        (0.001, 0.002, 100.0, 0.05, 28.7),
        (0.001, 0.002, 10.0, 0.05, 287.0),
        (0.001, 0.002, 100.0, 0.01, 136.0),
        (0.01, 0.02, 1000.0, 0.05, 17 / 60),
        (0.01, 0.02, 100.0, 0.05, 170 / 60),
        (0.01, 0.02, 10.0, 0.05, 28.3),
    ],
)
def test_how_long_a_canary_must_run(baseline: float, effect: float, rate: float, weight: float, minutes: float) -> None:
    """Q24."""
    needed = needed_window(canary(baseline=baseline, effect=effect, rate=rate, weight=weight))
    assert needed is not None
    assert needed / 60 == pytest.approx(minutes, rel=0.02)


@pytest.mark.parametrize(
    ("baseline", "effect", "rate", "power"),
    [
        (0.01, 0.02, 10.0, 0.50),
        (0.01, 0.02, 50.0, 0.94),
        (0.01, 0.02, 100.0, 0.996),
        (0.001, 0.002, 50.0, 0.36),
        (0.001, 0.002, 100.0, 0.50),
        (0.001, 0.002, 500.0, 0.93),
    ],
)
def test_ten_minutes_at_five_percent(baseline: float, effect: float, rate: float, power: float) -> None:
    """Q25."""
    assert analyse(canary(baseline=baseline, effect=effect, rate=rate)).detection == pytest.approx(power, abs=0.006)


@pytest.mark.parametrize(
    ("looks", "percent"), [(1, 5.0), (2, 8.3), (3, 10.7), (5, 14.2), (10, 19.3), (20, 24.8), (50, 31.8)]
)
def test_peeking(looks: int, percent: float) -> None:
    """V21; the page's last figure is simulated, 32.0 in Armitage, McPherson and Rowe (1969)."""
    assert 100.0 * peeking_false_alarm(looks) == pytest.approx(percent, abs=0.06 if looks < 50 else 0.3)


def test_one_look_is_the_closed_form() -> None:
    one = analyse(canary(window_s=8603 / 5.0))
    assert one.detection == pytest.approx(0.8, abs=1e-4)
    assert one.false_alarm == pytest.approx(0.05, abs=1e-9)
    assert one.needed_requests == pytest.approx(8603)
    assert one.time_to_detect_s == pytest.approx(8603 / 5.0)


def test_more_looks_catch_and_blame_more_and_sooner() -> None:
    rows = [analyse(canary(looks=k)) for k in (1, 2, 5)]
    for less, more in pairwise(rows):
        assert more.detection > less.detection
        assert more.false_alarm > less.false_alarm
        assert more.exposure_s < less.exposure_s
        assert more.failed_requests < less.failed_requests


def test_two_sided_asks_for_more() -> None:
    assert needed_window(canary(sided=Sided.TWO)) > needed_window(canary())  # type: ignore[operator]


def test_users_harmed() -> None:
    """100 requests a user at 0.2 %: 18 % of users meet a failure, and each user counts once."""
    row = analyse(canary(requests_per_user=100.0))
    exposed = row.exposure_s * 5.0 / 100.0
    assert row.harmed_users == pytest.approx(exposed * (1.0 - 0.998**100))
    assert row.harmed_users < row.failed_requests


def test_geometric_detection() -> None:
    """Q29."""
    assert geometric_exposure(60.0, 0.5, recovery_s=10.0).mean_s == 130.0
    assert geometric_exposure(60.0, 0.9, recovery_s=30.0).mean_s == pytest.approx(96.7, abs=0.05)
    steps = stepped_exposure(np.array([0.05, 0.25, 1.0]), np.array([60.0, 60.0, 60.0]), np.array([0.5, 0.5, 1.0]))
    assert steps == pytest.approx(0.05 * 60 + 0.25 * 60 * 0.5 + 60 * 0.25)


def test_budget() -> None:
    """Q30: 1 % of errors at 99.9 % empties 30 days in 72 h."""
    assert budget_spent(72 * 3600.0, 0.01, slo=0.999) == pytest.approx(1.0)


@pytest.mark.parametrize("judge", [Judge.COUNTS, Judge.MSPRT])
def test_sequential_judges_may_look_often(judge: Judge) -> None:
    for looks in (1, 50):
        row = found(canary(judge=judge, rate=1000.0, looks=looks), 0.001)
        assert row.total <= 0.05 + 3.0 * row.standard_error


@pytest.mark.parametrize("judge", [Judge.RATIO, Judge.ABSOLUTE, Judge.SPRT, Judge.MSPRT, Judge.COUNTS])
def test_simulated_judges_answer_twice_the_same(judge: Judge) -> None:
    bad = canary(judge=judge, rate=1000.0, effect=0.004, looks=4)
    assert analyse(bad) == analyse(bad)
    assert analyse(bad).detection > analyse(bad).false_alarm


def test_kayenta_is_blind_to_rare_errors() -> None:
    """Most intervals of 75 requests hold no failure of a thousandth: ranks see nothing."""
    rare = canary(judge=Judge.KAYENTA, window_s=900.0)
    common = canary(judge=Judge.KAYENTA, window_s=900.0, baseline=0.02, effect=0.05)
    assert simulate(rare, 0.002, replications=60).total < 0.05
    assert simulate(common, 0.05, replications=20).total > 0.9


@pytest.mark.parametrize("wrong", [{"weight": 0.0}, {"effect": 0.001}, {"looks": 0}, {"rate": -1.0}, {"alpha": 1.0}])
def test_impossible_canaries(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        canary(**wrong)


ARGUMENTS = "analyse power --weight 5% --rate 100/s --baseline 0.1% --effect 0.2% --window 10m"


def test_the_verb_answers_the_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(ARGUMENTS.split()) == 0
    said = capsys.readouterr().out
    assert "must run 28.7 min (8,603 requests)" in said
    assert "10 min is too short" in said


def test_the_verb_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run([*ARGUMENTS.split(), "--looks", "5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["canary"]["looks"] == 5
    assert 0.12 < told["power"]["false_alarm"] < 0.14
    assert not math.isnan(told["power"]["needed_s"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("0.2%", "0.05%"), "must be above baseline"),
        (("100/s", "fast"), "expected a rate"),
        (("5%", "0%"), "weight must lie strictly between 0 and 1"),
        (("10m", "soon"), "expected a duration"),
    ],
)
def test_the_verb_says_what_is_wrong(change: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run([change[1] if word == change[0] else word for word in ARGUMENTS.split()]) == 2
    assert message in capsys.readouterr().err
