"""The command line: what goes where, and with which exit code. Runs are made up; playing is tested elsewhere."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic_record import rolling_record, silent_record

import zdsim.cli
from zdsim.api import Run
from zdsim.report.files import FILES

SCENARIO = """\
name: shop
service: {deployment: {replicas: 4}}
traffic: {open: {rate: 100/s}}
run: {duration: 5m, seed: 11}
"""

MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1", ports: [{containerPort: 8080}]}]}
"""


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Instead of a simulation: a made-up run. The list tells what was asked for."""
    asked: list[dict[str, Any]] = []
    record = rolling_record(n_windows=120, rate=20.0, start_s=20.0, end_s=90.0)

    def simulate(scenario: Any, seed: int | None = None, *, plane: str = "auto", progress: Any = None) -> Run:
        model = getattr(scenario, "scenario", scenario)
        asked.append({"scenario": model, "seed": seed, "plane": plane, "progress": progress})
        used = model.run.seed if seed is None else seed
        plain = model.model_dump(mode="json")
        return Run(replace(record, name=model.name, seed=used, scenario=plain, digest=f"{used:064x}"))

    monkeypatch.setattr("zdsim.api.simulate", simulate)
    monkeypatch.setattr("zdsim.report.figure.timeline", lambda record: None)
    monkeypatch.setattr("zdsim.report.figure.save", lambda figure, path: path.write_bytes(b"picture"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(SCENARIO, encoding="utf-8")
    (tmp_path / "web.yaml").write_text(MANIFEST, encoding="utf-8")
    return asked


def test_run_writes_files_and_tells(played: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["run", "shop.yaml"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "requests dropped" in out
    assert "reports/shop-11/" in out
    assert "zdsim verify reports/shop-11" in out
    assert set(os.listdir("reports/shop-11")) == set(FILES)
    assert played[0]["seed"] is None


def test_a_manifest_and_a_rate_need_no_scenario(played: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["run", "-f", "web.yaml", "--rate", "500/s", "--seed", "3", "-s", "run.duration=2m"]) == 0
    assert "zdsim run -f web.yaml --rate 500/s -s run.duration=2m" in " ".join(capsys.readouterr().out.split())
    (asked,) = played
    assert asked["seed"] == 3
    assert asked["scenario"].deployment.replicas == 4
    assert asked["scenario"].run.duration_s == 120.0


def test_a_manifest_may_come_from_standard_input(
    played: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MANIFEST.encode())))
    assert zdsim.cli.run(["run", "-f", "-", "--rate", "500/s", "--no-files"]) == 0
    assert not Path("reports").exists()


def test_json_is_the_only_thing_on_standard_output(played: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["run", "-f", "web.yaml", "--rate", "500/s", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["schema_version"] == 1
    assert "warning ZD2006" in err  # no readiness probe
    assert not Path("reports").exists()
    assert zdsim.cli.run(["run", "shop.yaml", "--json", "-o", "here"]) == 0
    assert capsys.readouterr().out.encode() == Path("here/result.json").read_bytes()


def test_quiet_is_the_headline(played: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["demo", "-q", "--no-files"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) <= 3
    assert err == ""


def test_color_is_as_asked(
    played: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for color, colored in (("always", True), ("never", False), ("auto", False)):
        assert zdsim.cli.run(["demo", "--no-files", "--color", color]) == 0
        assert ("\x1b[" in capsys.readouterr().out) == colored
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert zdsim.cli.run(["demo", "--no-files", "--color", "never"]) == 0
    assert "\x1b[" not in capsys.readouterr().out


def test_demo_takes_overrides(played: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["demo", "-s", "service.deployment.preStop.sleep.seconds=5", "--json"]) == 0
    assert played[0]["scenario"].deployment.pre_stop.sleep.seconds == 5
    assert played[0]["scenario"].name == "demo"
    assert zdsim.cli.run(["demo", "-s", "service.replica=5"]) == 2
    assert 'unknown field "replica"' in capsys.readouterr().err


def test_options_come_from_the_environment_and_the_command_line_wins(
    played: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZDSIM_DEMO_SEED", "21")
    monkeypatch.setenv("ZDSIM_DEMO_NO_FILES", "1")
    assert zdsim.cli.run(["demo"]) == 0
    assert zdsim.cli.run(["demo", "--seed", "22"]) == 0
    assert [asked["seed"] for asked in played] == [21, 22]
    assert not Path("reports").exists()
    monkeypatch.setenv("ZDSIM_DEMO_SET", "service.deployment.replicas=6 run.duration=2m")
    monkeypatch.setenv("ZDSIM_DEMO_JSON", "1")
    assert zdsim.cli.run(["demo"]) == 0
    assert played[-1]["scenario"].deployment.replicas == 6
    assert capsys.readouterr().out.endswith("}\n")
    monkeypatch.setenv("ZDSIM_DEMO_SEED", "many")
    assert zdsim.cli.run(["demo"]) == 2
    assert "ZDSIM_DEMO_SEED" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu", "x.yaml"], "Did you mean 'run'?"),
        (["shop.yaml"], "Did you mean 'zdsim run shop.yaml'?"),
        (["run", "shop.yaml", "--sed", "1"], "--seed"),
        (["run", "shop.yaml", "--plane", "fast"], "'auto', 'kernel', 'reference'"),
        (["run", "shop.yaml", "--seed", "-1"], "not in the range"),
        (["run"], "Give a SCENARIO file"),
        (["run", "shop.yaml", "--no-files", "-o", "x"], "exclude each other"),
        (["run", "shop.yml"], "did you mean 'shop.yaml'?"),
        (["run", "."], "ZD1010"),
        (["run", "web.yaml"], "this is a Kubernetes Deployment"),
        (["run", "shop.yaml", "-s", "service.deployment.replica=3"], "did you mean 'replicas'?"),
        (["run", "-f", "web.yaml"], "how much traffic?"),
        (["run", "shop.yaml", "-o", "web.yaml"], "a file is in the way"),
        (["run", "shop.yaml", "-o", "."], "not empty and no zdsim run"),
        (["verify", "nowhere"], "not there"),
        (["verify", "."], "no such file"),
        (["verify", "web.yaml"], "a file, not the folder of a run"),
        (["schema", "--write", "nowhere/x.json"], "No such file or directory"),
    ],
)
def test_wrong_usage_and_input_is_told_and_exits_with_2(
    played: list[Any], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert zdsim.cli.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert played == []


def test_verify_says_whether_it_is_the_same_run(played: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["run", "shop.yaml", "-o", "kept", "-q"]) == 0
    assert zdsim.cli.run(["verify", "kept"]) == 0
    assert "the same run again" in capsys.readouterr().out
    assert played[1]["seed"] == 11
    assert played[1]["plane"] == "kernel"
    manifest = json.loads(Path("kept/manifest.json").read_text(encoding="utf-8"))
    manifest["digest"], manifest["versions"]["numpy"] = "0" * 64, "1.0"
    Path("kept/manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert zdsim.cli.run(["verify", "kept"]) == 1
    out = capsys.readouterr().out
    assert "not the same run" in out
    assert "numpy is 2.2.0 now, was 1.0" in out


def test_verify_notices_an_edited_result(played: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["run", "shop.yaml", "-o", "kept", "-q"]) == 0
    result = json.loads(Path("kept/result.json").read_text(encoding="utf-8"))
    result["requests"]["dropped"] = 0
    Path("kept/result.json").write_text(json.dumps(result), encoding="utf-8")
    assert zdsim.cli.run(["verify", "kept"]) == 1
    assert "result.json does not hold this run's 'requests'" in capsys.readouterr().out


def test_verify_of_a_scenario_it_cannot_read_says_so(played: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["run", "shop.yaml", "-o", "kept", "-q"]) == 0
    manifest = json.loads(Path("kept/manifest.json").read_text(encoding="utf-8"))
    manifest["scenario"]["servce"] = 1
    Path("kept/manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert zdsim.cli.run(["verify", "kept"]) == 2
    assert "servce" in capsys.readouterr().err


def test_a_bug_leaves_a_crash_file_and_a_short_message(
    played: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the cat walked over the keyboard")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("zdsim.api.simulate", broken)
    assert zdsim.cli.run(["demo"]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert "internal error: RuntimeError: the cat walked over the keyboard" in err
    assert "Traceback" not in err
    (crash,) = tmp_path.glob("zdsim-crash-*.txt")
    assert str(crash) in err
    assert "Traceback" in crash.read_text(encoding="utf-8")


def test_ctrl_c_leaves_nothing_half_written(
    played: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zdsim.report.figure.save", interrupted)
    assert zdsim.cli.run(["run", "shop.yaml", "-o", "deep/kept"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert os.listdir("deep") == []


def test_schema_is_json_schema_draft_07(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from jsonschema import Draft7Validator

    assert zdsim.cli.run(["schema"]) == 0
    printed = capsys.readouterr().out
    Draft7Validator.check_schema(json.loads(printed))
    assert zdsim.cli.run(["schema", "--write", str(tmp_path / "s.json")]) == 0
    assert (tmp_path / "s.json").read_text(encoding="utf-8") == printed


def test_a_silent_run_is_told_too(
    played: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zdsim.api.simulate", lambda *_, **__: Run(silent_record()))
    assert zdsim.cli.run(["demo", "--no-files"]) == 0
    assert "nothing can be said" in capsys.readouterr().out


@pytest.mark.parametrize("verb", [[], ["run"], ["demo"], ["verify"], ["schema"]])
def test_every_verb_explains_itself_with_two_examples(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run([*verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert len([line for line in text.split("Examples:")[1].splitlines() if "zdsim " in line]) >= 2


def test_the_console_script_and_a_reader_that_leaves() -> None:
    """One real process: its pipe is closed before it writes."""
    script = "import sys, zdsim.cli; sys.exit(zdsim.cli.run(['schema']))"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), error) == (0, b"")
