"""What the README promises must be so."""

import re
import shlex
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML
from synthetic_record import rolling_record

import zdsim
import zdsim.cli
from zdsim.cli.app import app
from zdsim.errors import ExitCode
from zdsim.measure.comparison import Played, cell_of, compare
from zdsim.measure.summary import summarise
from zdsim.report.files import FILES
from zdsim.scenario.analysis import Observability
from zdsim.scenario.load import load_scenario
from zdsim.scenario.model import Scenario
from zdsim.scenario.release import Release

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_scenario_loads(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(# scenario\.yaml\n.*?)```", README, flags=re.S)
    (tmp_path / "scenario.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "deployment.yaml").write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: checkout}\nspec:\n  replicas: 10\n"
        "  selector: {matchLabels: {app: c}}\n  template:\n    metadata: {labels: {app: c}}\n"
        "    spec: {containers: [{name: c, image: c, readinessProbe: {httpGet: {path: /, port: 80}}}]}\n",
        encoding="utf-8",
    )
    scenario = load_scenario(tmp_path / "scenario.yaml").scenario
    assert scenario.name == "checkout"
    assert scenario.release is not None
    assert scenario.release.rollback.operator is not None


def test_its_commands_parse() -> None:
    """Every `zdsim` line names verbs and options that exist."""
    lines = [
        line.split("zdsim ", 1)[1].split("#")[0]
        for line in README.splitlines()
        if line.startswith("    ") and "zdsim " in line
    ]
    assert len(lines) >= 6
    for line in lines:
        verb, *words = shlex.split(line)
        command = app.commands[verb]
        if isinstance(command, click.Group):
            verb, *words = words
            command = command.commands[verb]
        command.make_context(verb, words, parent=click.Context(app))


def test_its_strategies_can_be_written() -> None:
    (text,) = re.findall(r"```yaml\n(strategy: .*?)```", README, flags=re.S)
    found = re.split(r"^(?=strategy:)", text, flags=re.M)[1:]
    assert len(found) == 5
    for one in found:
        release = YAML(typ="safe", pure=True).load(one)
        Release.model_validate(release)


def test_its_map_of_metrics_can_be_written() -> None:
    (text,) = re.findall(r"```yaml\n(service: .*?)```", README, flags=re.S)
    Observability.model_validate(YAML(typ="safe", pure=True).load(text)["analysis"])
    assert "analysis" in Scenario.model_fields


def test_its_python_can_be_typed() -> None:
    (text,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    compile(text, "README.md", "exec")
    for name in re.findall(r"zdsim\.(\w+)", text):
        assert name in zdsim.__all__
    for kind, name in re.findall(r"\b(run|found)\.(\w+)\(", text):
        assert hasattr(zdsim.Run if kind == "run" else zdsim.Comparison, name)


def test_the_first_screen_has_the_two_commands() -> None:
    begin = "    python3 -m venv .venv && . .venv/bin/activate && "
    commands = f'{begin}pip install -c constraints.txt -e ".[test]" && zdsim demo\n    pytest -q -n auto\n'
    assert commands in README[:1200]


def test_its_plan_of_a_canary_is_what_comes_out(capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = re.findall(r"^    zdsim (analyse power .*)$", README, flags=re.M)
    assert zdsim.cli.run(shlex.split(command)) == 0
    assert _shown("power") == capsys.readouterr().out.strip()


@pytest.mark.slow
def test_its_comparison_is_what_comes_out(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of it; the text around it may be left out."""
    (command,) = re.findall(r"^`zdsim (compare .*)`", README, flags=re.M)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    assert zdsim.cli.run([*shlex.split(command), "--no-files"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in _shown("compare").splitlines() if line not in lines] == []


def test_every_key_of_a_comparison_is_told() -> None:
    who = [Played(name, tuple(cell_of(rolling_record(n_windows=130, rate=5.0)) for _ in range(2))) for name in "ab"]
    result = compare(who, asked=2)
    told = set(re.findall(r"[a-z0-9_]+", README.split("## Compare")[1].split("## Plan")[0]))
    assert result.keys() - {"schema_version", "kind"} <= told
    assert {"interrupted", "notes", "advice"} <= told
    assert result["contenders"][0].keys() - {"differs_left_out"} <= told
    assert result["contenders"][0]["measures"]["dropped_share"].keys() <= told


def _shown(what: str) -> str:
    (text,) = re.findall(rf"<!-- {what} output: begin -->\n```text\n(.*?)```\n<!-- {what}", README, flags=re.S)
    return str(text).strip("\n")


def test_its_overrides_can_be_applied() -> None:
    overrides = re.findall(r"-s (\S+=\S+)", README)
    manifest = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n"
        "spec: {template: {spec: {containers: [{name: a}]}}}\n"
    )
    for override in overrides:
        load_scenario(None, manifest="deployment.yaml", manifest_text=manifest, rate="1/s", overrides=[override])


def test_every_json_key_and_file_and_exit_code_is_told() -> None:
    summary = summarise(rolling_record(n_windows=130, rate=5.0))
    told = set(re.findall(r"[a-z0-9_]+", README.split("## JSON")[1].split("## Python")[0]))
    for key, value in summary.items():
        assert key in told, key
        if isinstance(value, dict):
            assert value.keys() <= told, value.keys() - told
    for name in FILES:
        assert f"`{name}`" in README
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", README.split("## Exit codes")[1], flags=re.M)}
    assert codes == {int(code) for code in ExitCode}


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
