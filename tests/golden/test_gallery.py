"""Every scenario of the gallery says what it always said.

The golden file of a folder holds the summary of each of its scenarios under its own seed: integers exactly, other
numbers to six digits. After a change of the model that is meant: ZDSIM_UPDATE_GOLDEN=1 pytest tests/golden, then read
the difference.
"""

import json
import math
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import zdsim

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "summaries"
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))
STRATEGIES = sorted((ROOT / "scenarios" / "strategies").glob("*.yaml"))
GALLERY = [*SCENARIOS, *STRATEGIES]
NOT_COMPARED = ("plane", "assumed", "notices", "versions", "wall_s")  # the same on every plane and machine otherwise


def summary_of(path: Path, plane: str, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    run = zdsim.simulate(zdsim.load_scenario(path, overrides=overrides), plane=plane)
    summary = json.loads(json.dumps(run.summary()))
    return {key: value for key, value in summary.items() if key not in NOT_COMPARED}


@cache
def golden(folder: str) -> dict[str, dict[str, Any]]:
    """What the scenarios of a folder said, by their names."""
    kept = GOLDEN / f"{folder}.json"
    return json.loads(kept.read_text()) if kept.exists() else {}


def keep(path: Path, summary: dict[str, Any]) -> None:
    """Put a summary into the golden file of its folder, a line for each of its parts."""
    folder, present = path.parent.name, {one.stem for one in GALLERY if one.parent == path.parent}
    kept = {name: value for name, value in golden(folder).items() if name in present} | {path.stem: summary}
    told = [
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(f" {json.dumps(key)}: {json.dumps(part, sort_keys=True)}" for key, part in sorted(parts.items()))
        + "\n}"
        for name, parts in sorted(kept.items())
    ]
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / f"{folder}.json").write_text("{" + ",\n".join(told) + "}\n")
    golden.cache_clear()


def differences(path: str, golden: Any, now: Any) -> list[str]:
    """Where two summaries differ, by dotted path."""
    if isinstance(golden, dict) and isinstance(now, dict):
        keys = sorted(golden.keys() | now.keys())
        return [d for k in keys for d in differences(f"{path}.{k}", golden.get(k, "absent"), now.get(k, "absent"))]
    if isinstance(golden, float) and isinstance(now, float | int):
        same = math.isclose(golden, now, rel_tol=1e-6, abs_tol=1e-12)
    else:
        same = golden == now
    return [] if same else [f"{path[1:]}: was {golden!r}, is {now!r}"]


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    now = summary_of(path, "auto")
    if os.environ.get("ZDSIM_UPDATE_GOLDEN"):
        keep(path, now)
    assert differences("", golden(path.parent.name).get(path.stem, {}), now) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_both_planes_agree(path: Path) -> None:
    """The whole scenario on both planes, with less traffic: the same digest, hence the same counts."""
    pytest.importorskip("numba", reason="the kernel needs Numba")
    spec = zdsim.load_scenario(path).scenario.traffic.open
    thin = (f"traffic.open.rate={min(spec.rate, 25.0)}/s",) if spec is not None and spec.rate is not None else ()
    assert summary_of(path, "reference", thin) == summary_of(path, "kernel", thin)


def test_the_gallery_is_told_in_order() -> None:
    """What the gallery is for: each remedy helps, each mistake costs."""
    dropped = {name: summary["requests"]["dropped"] for name, summary in golden("scenarios").items()}
    assert dropped["rolling-prestop"] == 0
    assert 0 < dropped["keep-alive-pinned"] < dropped["rolling"] < dropped["exit-at-once"]
    assert dropped["exit-at-once"] < dropped["recreate"] < dropped["readiness-missing"]


def test_a_rollout_takes_back_what_its_analysis_condemns() -> None:
    for name in ("argo-istio", "argo-blue-green", "argo-datadog", "argo-experiment", "flagger-error"):
        assert golden("scenarios")[name]["rollout"]["outcome"] == "rolled back", name
    exposed = {name: golden("scenarios")[name]["blast_radius"]["exposed_share"] for name in golden("scenarios")}
    assert exposed["argo-istio"] < exposed["argo-blue-green"]  # a twentieth for two minutes, everyone for one


def test_the_table_of_the_gallery_names_every_scenario() -> None:
    linked = re.findall(r"\]\(([\w/.-]+\.yaml)\)", (ROOT / "scenarios" / "README.md").read_text())
    assert sorted(linked) == sorted(str(path.relative_to(ROOT / "scenarios")) for path in GALLERY)


# --- every strategy with every release -------------------------------------------------------------------------------

RELEASES = ("good", "error", "latency", "business", "leak")
GATED = ("blue-green", "canary", "canary-replicas")  # the others have an operator with an alert
BY_EXPOSURE = ("canary", "canary-replicas", "rolling", "recreate")


def told(strategy: str, release: str) -> dict[str, Any]:
    return golden("strategies")[f"{strategy}-{release}"]


def test_every_strategy_meets_every_release() -> None:
    strategies = (*GATED, "rolling", "recreate")
    assert {path.stem for path in STRATEGIES} == {f"{one}-{release}" for one in strategies for release in RELEASES}


@pytest.mark.parametrize("strategy", [*GATED, "rolling", "recreate"])
def test_a_good_release_goes_through(strategy: str) -> None:
    good = told(strategy, "good")
    assert good["rollout"]["outcome"] == "complete"
    assert set(good["rollback"].values()) == {None}
    assert strategy == "recreate" or good["requests"]["excess_dropped"] <= 2


@pytest.mark.parametrize("release", RELEASES[1:])
@pytest.mark.parametrize("strategy", GATED)
def test_a_gate_takes_a_bad_release_back(strategy: str, release: str) -> None:
    """Detected and decided in one moment, restored soon after, and hardly anybody was exposed."""
    bad = told(strategy, release)
    assert bad["rollout"]["outcome"] == "rolled back"
    stages = bad["rollback"]
    assert stages["detected_s"] == stages["decided_s"] <= stages["restored_s"] < stages["decided_s"] + 30.0
    assert bad["blast_radius"]["exposed_share"] < told("rolling", release)["blast_radius"]["exposed_share"]


@pytest.mark.parametrize("strategy", ["rolling", "recreate"])
def test_an_operator_sees_errors_and_latency_and_no_missing_orders(strategy: str) -> None:
    for release in ("error", "latency", "leak"):
        bad = told(strategy, release)
        assert bad["rollout"]["outcome"] == "rolled back"
        assert bad["rollback"]["decided_s"] > bad["rollback"]["detected_s"] + 60.0  # alert, then reaction
    assert told(strategy, "business")["rollout"]["outcome"] == "complete"


def test_exposure_and_harm_are_told_in_order() -> None:
    exposed = [told(one, "error")["blast_radius"]["exposed_users"] for one in BY_EXPOSURE]
    dropped = [told(one, "error")["requests"]["excess_dropped"] for one in BY_EXPOSURE]
    assert exposed == sorted(exposed)
    assert dropped == sorted(dropped)
    assert told("blue-green", "error")["blast_radius"]["exposed_users"] == 0  # the smoke test met it
    lost = [told(one, "business")["blast_radius"]["revenue_lost"] for one in ("canary", "blue-green", "rolling")]
    assert 10.0 * lost[0] < lost[2]
    assert lost == sorted(lost)
