"""What the README promises must be so."""

import re
import shlex
from pathlib import Path

import click
from synthetic_record import rolling_record

from zdsim.cli.app import app
from zdsim.errors import ExitCode
from zdsim.measure.summary import summarise
from zdsim.report.files import FILES
from zdsim.scenario.load import load_scenario

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
        command.make_context(verb, words, parent=click.Context(app))


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
