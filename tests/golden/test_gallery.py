"""Every scenario of the gallery says what it always said.

The golden file of a scenario is the summary of its run under its own seed: integers exactly, other numbers to six
digits. After a change of the model that is meant: ZDSIM_UPDATE_GOLDEN=1 pytest tests/golden, then read the difference.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

import zdsim

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "summaries"
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))
NOT_COMPARED = ("plane", "assumed", "notices", "versions", "wall_s")  # the same on every plane and machine otherwise


def summary_of(path: Path, plane: str) -> dict[str, Any]:
    run = zdsim.simulate(zdsim.load_scenario(path), plane=plane)
    summary = json.loads(json.dumps(run.summary()))
    return {key: value for key, value in summary.items() if key not in NOT_COMPARED}


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


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    now = summary_of(path, "auto")
    kept = GOLDEN / f"{path.stem}.json"
    if os.environ.get("ZDSIM_UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        kept.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    golden = json.loads(kept.read_text())
    assert differences("", golden, now) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_both_planes_agree(path: Path) -> None:
    """The whole scenario on both planes: the same digest, hence the same counts."""
    pytest.importorskip("numba", reason="the kernel needs Numba")
    assert summary_of(path, "reference") == summary_of(path, "kernel")


def test_the_gallery_is_told_in_order() -> None:
    """What the gallery is for: each remedy helps, each mistake costs."""
    dropped = {
        path.stem: json.loads((GOLDEN / f"{path.stem}.json").read_text())["requests"]["dropped"] for path in SCENARIOS
    }
    assert dropped["rolling-prestop"] == 0
    assert 0 < dropped["keep-alive-pinned"] < dropped["rolling"] < dropped["exit-at-once"]
    assert dropped["exit-at-once"] < dropped["recreate"] < dropped["readiness-missing"]
