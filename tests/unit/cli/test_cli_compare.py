"""The verb `compare`: what goes where, with which exit code. Cells are made up; playing is tested elsewhere."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from made_up_comparison import cells

import zdsim.cli
from zdsim.experiment.replicate import Replications
from zdsim.report.compare_files import FILES

SCENARIO = """\
name: NAME
service: {deployment: {replicas: 4}}
traffic: {open: {rate: 100/s}}
run: {duration: 5m, seed: 11}
"""


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Instead of simulations: made-up cells. The list tells what was asked for."""
    asked: list[dict[str, Any]] = []

    def play(scenarios: Any, seeds: Any, **given: Any) -> Replications:
        asked.append({"scenarios": scenarios, "seeds": list(seeds), **given})
        rows = tuple(cells(len(seeds), seed=seeds[0], dropped_share=0.01 * (i + 1)) for i in range(len(scenarios)))
        return Replications(rows, len(seeds), interrupted=False)

    monkeypatch.setattr("zdsim.experiment.compare.play", play)
    monkeypatch.setattr("zdsim.report.compare_figure.comparison", lambda result, played: None)
    monkeypatch.setattr("zdsim.report.figure.save", lambda figure, path: path.write_bytes(b"picture"))
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(SCENARIO.replace("NAME", name), encoding="utf-8")
    return asked


def test_files_are_written_and_the_story_is_told(played: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["compare", "a.yaml", "b.yaml"]) == 0
    out = capsys.readouterr().out
    assert set(os.listdir("reports/compare-a-b")) == set(FILES)
    assert "Fewest dropped requests: a." in out
    assert "30 replications each" in out
    assert "\x1b[" not in out
    assert played[0]["seeds"] == list(range(11, 41))
    assert played[0]["workers"] is None


def test_json_is_the_only_thing_on_standard_output(played: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["compare", "a.yaml", "b.yaml", "-n", "4", "--seed", "3", "-j", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema_version"] == 1
    assert found["replications"] == {"asked": 4, "done": 4, "first_seed": 3, "last_seed": 6}
    assert len(found["advice"]) == 7
    assert not Path("reports").exists()
    assert played[0]["workers"] == 2
    assert zdsim.cli.run(["compare", "a.yaml", "b.yaml", "-n", "4", "--json", "-o", "here"]) == 0
    assert capsys.readouterr().out.encode() == Path("here/compare.json").read_bytes()


def test_markdown_is_printed_or_written(played: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["compare", "a.yaml", "b.yaml", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("# a against b")
    assert not Path("reports").exists()
    assert zdsim.cli.run(["compare", "a.yaml", "b.yaml", "--json", "--markdown", "t.md"]) == 0
    json.loads(capsys.readouterr().out)
    assert Path("t.md").read_text(encoding="utf-8").startswith("# a against b")


def test_variants_strategies_and_a_baseline(played: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "a.yaml", "--variant", "big:service.deployment.replicas=9", "-s", "run.duration=2m", "-q"]
    assert zdsim.cli.run([*words, "--no-files"]) == 0
    assert [one["service"]["deployment"]["replicas"] for one in played[-1]["scenarios"]] == [4, 9]
    assert capsys.readouterr().out.count("\n") <= 4
    assert zdsim.cli.run(["compare", "a.yaml", "--strategy", "rolling,recreate", "--no-files", "--baseline"]) == 0
    assert [one["name"] for one in played[-1]["scenarios"]] == ["a", "a", "baseline"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument"),
        (["a.yaml"], "needs two"),
        (["a.yaml", "absent.yaml"], "absent.yaml"),
        (["a.yaml", "b.yaml", "--strategy", "warp"], "no strategy 'warp'"),
        (["a.yaml", "--variant", "x"], "NAME:path=value"),
        (["a.yaml", "b.yaml", "-n", "0"], "0 is not in the range"),
        (["a.yaml", "b.yaml", "--json", "--markdown"], "both print"),
        (["--markdown", "a.yaml", "b.yaml"], "must end in .md"),
        (["a.yaml", "b.yaml", "--no-files", "-o", "x"], "exclude each other"),
        (["a.yaml", "b.yaml", "-o", "."], "not empty"),
    ],
)
def test_wrong_usage_is_told(
    played: list[Any], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert zdsim.cli.run(["compare", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert played == []
    assert Path("a.yaml").read_text(encoding="utf-8").startswith("name: a")  # --markdown took no scenario


def test_problems_of_all_scenarios_are_told_at_once(played: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        Path(f"{name}.yaml").write_text(SCENARIO.replace("replicas", "replika"), encoding="utf-8")
    assert zdsim.cli.run(["compare", "a.yaml", "b.yaml"]) == 2
    err = capsys.readouterr().err
    assert "a.yaml:2" in err
    assert "b.yaml:2" in err


def test_interrupted_leaves_what_is_whole(
    played: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (cells(3, seed=11), cells(3, seed=11, dropped_share=0.3))
    monkeypatch.setattr("zdsim.experiment.compare.play", lambda *_, **__: Replications(rows, 30, interrupted=True))
    assert zdsim.cli.run(["compare", "a.yaml", "b.yaml"]) == 130
    out, err = capsys.readouterr()
    assert "Interrupted: 3 of 30" in " ".join(out.split())
    assert "interrupted" in err
    assert json.loads(Path("reports/compare-a-b/compare.json").read_text(encoding="utf-8"))["interrupted"]


def test_help_has_examples_and_color_is_as_asked(
    played: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert zdsim.cli.run(["compare", "--help"]) == 0
    assert capsys.readouterr().out.split("Examples:")[1].count("zdsim compare") >= 2
    monkeypatch.delenv("NO_COLOR", raising=False)
    for color, colored in (("always", True), ("never", False)):
        assert zdsim.cli.run(["compare", "a.yaml", "b.yaml", "--no-files", "--color", color]) == 0
        assert ("\x1b[" in capsys.readouterr().out) == colored
