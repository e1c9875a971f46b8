"""Which files does a run leave, and how do they get there whole?

    result.json     the result, as `zdsim run --json` prints it
    events.jsonl    what happened, one object a line
    windows.csv     counts and latency by window and revision
    manifest.json   scenario, seed, versions and digest: enough to repeat the run
    timeline.png, timeline.svg

`folder.py` puts them there, all or none. The same run gives the same bytes.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zdsim.measure.summary import SCHEMA_VERSION, json_value
from zdsim.record import RunRecord
from zdsim.report import folder
from zdsim.report.folder import OutputError, because, write_text

KIND = "zdsim run"
FILES = ("result.json", "events.jsonl", "windows.csv", "manifest.json", "timeline.png", "timeline.svg")
LAYOUT = folder.Layout(KIND, "manifest.json", FILES)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `manifest.json` says about a run."""

    scenario: Mapping[str, Any]
    seed: int
    plane: str
    digest: str
    versions: Mapping[str, str]
    assumed: tuple[str, ...]


def default_folder(name: str, seed: int) -> Path:
    """`reports/NAME-SEED`, whatever the name contains."""
    return Path("reports") / f"{re.sub('[^A-Za-z0-9._-]+', '-', name).strip('.-')[:80] or 'run'}-{seed}"


def check_folder(target: Path) -> None:
    """Raise before a long run what `write_run` would raise after it.

    Raises:
        OutputError: `target` is something else than a new or empty folder or an earlier run, or cannot be made.
    """
    folder.check(target, LAYOUT)


def write_run(record: RunRecord, summary: Mapping[str, Any], target: Path) -> None:
    """Write every file of a run into the folder `target`.

    Raises:
        OutputError: it cannot be written; nothing is left behind, and an earlier run is untouched.
    """
    folder.write(target, LAYOUT, lambda partial: _write_files(record, summary, partial))


def read_manifest(where: Path) -> Manifest:
    """What a run's folder says about the run.

    Raises:
        OutputError: there is no manifest, or none that can be used.
    """
    path = where / "manifest.json"
    found = _read_json(path, hint="A folder written by `zdsim run -o DIR` has one.")
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise OutputError(f'{path}: this is no manifest of a zdsim run (no "kind": "{KIND}").')
    version = found.get("schema_version")
    if version != SCHEMA_VERSION:
        raise OutputError(f"{path}: schema_version {version!r}, but this zdsim reads {SCHEMA_VERSION}.")
    kinds = {"scenario": dict, "seed": int, "plane": str, "digest": str, "versions": dict, "assumed": list}
    for key, kind in kinds.items():
        if not isinstance(found.get(key), kind) or isinstance(found.get(key), bool):
            state = "is missing" if key not in found else "has the wrong type"
            raise OutputError(f"{path}: {key!r} {state}, so the run cannot be repeated.")
    return Manifest(
        scenario=found["scenario"],
        seed=found["seed"],
        plane=found["plane"],
        digest=found["digest"],
        versions={str(key): str(value) for key, value in found["versions"].items()},
        assumed=tuple(str(line) for line in found["assumed"]),
    )


def read_result(where: Path) -> Any:
    """The content of `result.json`.

    Raises:
        OutputError: it is missing or no JSON.
    """
    return _read_json(where / "result.json", hint="A folder written by `zdsim run -o DIR` has one.")


def json_text(value: Mapping[str, Any]) -> str:
    """An object as JSON with a newline at its end; NaN is an error, not a word no parser knows."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _write_files(record: RunRecord, summary: Mapping[str, Any], where: Path) -> None:
    from zdsim.report import figure, tables  # Matplotlib only where a picture is asked for

    (where / "result.json").write_text(json_text(summary), encoding="utf-8")
    with (where / "events.jsonl").open("w", encoding="utf-8") as lines:
        for event in record.events:
            row = {
                "time_s": event.time_s,
                "kind": str(event.kind),
                "subject": event.subject,
                "reason": event.reason,
                "message": event.message,
                "data": event.data,
            }
            lines.write(json.dumps(json_value(row), ensure_ascii=False, allow_nan=False) + "\n")
    with (where / "windows.csv").open("w", encoding="utf-8", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows(tables.window_lines(record))
    drawn = figure.timeline(record)
    figure.save(drawn, where / "timeline.png")
    figure.save(drawn, where / "timeline.svg")
    manifest = {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "name": record.name,
        "seed": record.seed,
        "plane": record.plane,
        "plane_reason": record.plane_reason,
        "digest": record.digest,
        "versions": record.versions,
        "assumed": record.assumed,
        "notices": record.notices,
        "files": FILES,
    }
    # The scenario as it is, not rounded: every digit counts when the run is repeated.
    text = json_text({**json_value(manifest), "scenario": dict(record.scenario)})
    (where / "manifest.json").write_text(text, encoding="utf-8")


def _read_json(path: Path, *, hint: str) -> Any:
    if not path.parent.is_dir():
        what = "a file" if path.parent.exists() else "not there"
        raise OutputError(f"{path.parent}: this is {what}, not the folder of a run.")
    if not path.exists():
        raise OutputError(f"{path}: there is no such file. {hint}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise because(path, error) from error
    except (ValueError, RecursionError) as error:
        raise OutputError(f"{path}: not JSON: {error}") from error


__all__ = [
    "FILES",
    "KIND",
    "Manifest",
    "OutputError",
    "check_folder",
    "default_folder",
    "json_text",
    "read_manifest",
    "read_result",
    "write_run",
    "write_text",
]
