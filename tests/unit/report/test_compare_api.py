"""Comparing from Python: whatever can be asked for, and every way to look at the answer."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_comparison import cells, played

import zdsim
from zdsim.api import Comparison
from zdsim.experiment.compare import Compared
from zdsim.measure import comparison
from zdsim.report.compare_files import FILES

SCENARIO = """\
name: web
service: {deployment: {replicas: 3}}
traffic: {open: {rate: 20/s}}
release: {at: 10s}
run: {duration: 40s, seed: 11}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "web.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made_up() -> Comparison:
    who = played(**{"a": cells(), "<b>": cells(dropped_share=0.02, rollback_s=lambda k: k or None)})
    result = comparison.compare(who, asked=10) | {"notes": [], "interrupted": False}
    return Comparison(Compared(result, tuple(who), interrupted=False))


def test_strategies_of_a_file(file: Path) -> None:
    told: list[float] = []
    found = zdsim.compare(
        file, strategies=("rolling", "recreate"), replications=2, plane="reference", progress=told.append
    )
    summary = found.summary()
    assert [one["name"] for one in summary["contenders"]] == ["rolling", "recreate"]
    assert summary["replications"] == {"asked": 2, "done": 2, "first_seed": 11, "last_seed": 12}
    assert told[-1] == 1.0
    table = found.table()
    assert list(table["seed"]) == [11, 12, 11, 12]
    assert table["dropped_share"].dtype == np.float64
    run = zdsim.simulate(zdsim.load_scenario(file, overrides=["release.strategy={kind: recreate}"]), seed=12)
    assert table["dropped_requests"].iloc[3] == run.summary()["requests"]["dropped"]


def test_variants_of_a_file_and_scenarios_by_name(file: Path) -> None:
    found = zdsim.compare(str(file), variants={"five": {"service.deployment.replicas": 5}}, replications=1, seed=0)
    assert [one["name"] for one in found.summary()["contenders"]] == ["web", "five"]
    loaded = zdsim.load_scenario(file)
    found = zdsim.compare({"a": loaded, "b": loaded.scenario, "c": file}, replications=1, seed=0, baseline=True)
    rows = found.table()
    assert rows["digest"].nunique() == 1  # the same scenario three times
    assert rows["excess_share"].notna().all()


def test_what_cannot_be_compared_is_said(file: Path) -> None:
    with pytest.raises(zdsim.ZdsimError, match="needs two"):
        zdsim.compare({"a": file})
    with pytest.raises(zdsim.ZdsimError, match="needs two"):
        zdsim.compare([file])
    with pytest.raises(zdsim.ZdsimError, match="made from files"):
        zdsim.compare({"a": file, "b": file}, strategies=("rolling",))
    with pytest.raises(zdsim.ZdsimError, match="no strategy 'rollng'"):
        zdsim.compare(file, strategies=("rollng",))


def test_every_way_to_look(made_up: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert repr(made_up) == "<zdsim.Comparison of 'a', '<b>': seeds 1 to 10>"
    folder = made_up.save()
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert json.loads((folder / "compare.json").read_text(encoding="utf-8")) == made_up.summary()
    assert made_up.save() == folder  # an earlier comparison is replaced
    lines = (folder / "compare.csv").read_text(encoding="utf-8").splitlines()
    table = made_up.table()
    assert list(table.columns) == lines[0].split(",")
    assert len(table) == len(lines) - 1
    assert made_up.plot().axes


def test_a_notebook_shows_names_as_text(made_up: Comparison) -> None:
    html = made_up._repr_html_()
    assert "<b>b</b>" not in html
    assert "&lt;b&gt;" in html
    assert "data:image/png;base64," in html
    assert "Fewest dropped requests" in html
    assert made_up._repr_markdown_().startswith("# a against ")
    summary = made_up.summary()
    summary["advice"].clear()
    assert made_up.summary()["advice"]
