"""The verb `analyse`: what it prints, and what it refuses."""

import json

import pytest

import zdsim.cli
from zdsim.measure.power import Canary, Judge, analyse

GIVEN = ["--rate", "100/s", "--baseline", "0.1%", "--effect", "1%"]


def test_the_answer_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["analyse", "power", *GIVEN, "--window", "30s"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("The canary must run ")
    assert "30 s is too short." in out
    assert "is promoted to everyone" in out
    assert all(len(line) <= 120 for line in out.splitlines())


def test_json_holds_the_question_and_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["analyse", "power", *GIVEN, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    canary = Canary(
        judge=Judge.TWO_PROPORTION, weight=0.05, rate=100.0, baseline=0.001, effect=0.01, window_s=600.0, seed=0
    )
    assert found["canary"]["window_s"] == 600.0
    assert found["power"]["detection"] == pytest.approx(analyse(canary).detection)


def test_looking_often_with_a_test_that_allows_one_look_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["analyse", "power", *GIVEN, "--looks", "5"]) == 0
    assert "Looking again and again raises false alarms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rate", "fast", "--baseline", "1%", "--effect", "2%"], "--rate"),
        (["--rate", "1/s", "--baseline", "2%", "--effect", "200%"], "effect must lie"),
        (["--rate", "1/s", "--baseline", "1%"], "--effect"),
        ([*GIVEN, "--judge", "oracle"], "--judge"),
    ],
)
def test_what_cannot_be_asked_is_refused(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["analyse", "power", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_misspelled_question_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["analyse", "powr"]) == 2
    assert "Did you mean 'power'?" in capsys.readouterr().err
