"""Which files does a run leave, and how do they get there whole?

    result.json     the result, as `zdsim run --json` prints it
    events.jsonl    what happened, one object a line
    windows.csv     counts and latency by window and revision
    manifest.json   scenario, seed, versions and digest: enough to repeat the run
    timeline.png, timeline.svg

Everything is written beside the target first and then renamed: a reader sees an earlier run or this one, never a half.
What an earlier run left is replaced; what somebody else put beside it is kept; a folder that is no run is refused. The
same run gives the same bytes.
"""

from __future__ import annotations

import csv
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zdsim.errors import ZdsimError
from zdsim.measure.summary import SCHEMA_VERSION, json_value
from zdsim.record import RunRecord

KIND = "zdsim run"
FILES = ("result.json", "events.jsonl", "windows.csv", "manifest.json", "timeline.png", "timeline.svg")


class OutputError(ZdsimError):
    """A folder or file that cannot be written or read as asked."""


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


def check_folder(folder: Path) -> None:
    """Raise before a long run what `write_run` would raise after it.

    Raises:
        OutputError: `folder` is something else than a new or empty folder or an earlier run, or cannot be made.
    """
    try:
        if folder.is_dir():
            if any(folder.iterdir()) and not _is_run(folder):
                raise OutputError(
                    f"{folder}: this folder is not empty and no zdsim run: nothing was written. "
                    "Name another one with -o, or empty it."
                )
        elif folder.exists() or folder.is_symlink():
            raise OutputError(f"{folder}: a file is in the way of the folder for the results. Name another with -o.")
        above = next(parent for parent in folder.absolute().parents if parent.exists())
        if not above.is_dir():
            raise OutputError(f"{folder}: {above} is a file, so no folder can be made there. Name another with -o.")
        if not os.access(above, os.W_OK | os.X_OK):
            raise OutputError(f"{folder}: no permission to write in {above}. Name another folder with -o.")
    except OSError as error:
        raise _because(folder, error) from error


def write_run(record: RunRecord, summary: Mapping[str, Any], folder: Path) -> None:
    """Write every file of a run into `folder`.

    Raises:
        OutputError: it cannot be written; nothing is left behind, and an earlier run is untouched.
    """
    check_folder(folder)
    try:
        target = folder.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.parent / f".{target.name}.{secrets.token_hex(4)}.partial"
        partial.mkdir()
        try:
            _write_files(record, summary, partial)
            _swap(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise _because(folder, error) from error


def write_text(path: Path, text: str) -> None:
    """Write one file whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    partial = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
    try:
        if path.is_dir():
            raise OutputError(f"{path}: this is a folder; name a file.")
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise _because(path, error) from error


def read_manifest(folder: Path) -> Manifest:
    """What a run's folder says about the run.

    Raises:
        OutputError: there is no manifest, or none that can be used.
    """
    path = folder / "manifest.json"
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


def read_result(folder: Path) -> Any:
    """The content of `result.json`.

    Raises:
        OutputError: it is missing or no JSON.
    """
    return _read_json(folder / "result.json", hint="A folder written by `zdsim run -o DIR` has one.")


def json_text(value: Mapping[str, Any]) -> str:
    """An object as JSON with a newline at its end; NaN is an error, not a word no parser knows."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _write_files(record: RunRecord, summary: Mapping[str, Any], folder: Path) -> None:
    from zdsim.report import figure, tables  # Matplotlib only where a picture is asked for

    (folder / "result.json").write_text(json_text(summary), encoding="utf-8")
    with (folder / "events.jsonl").open("w", encoding="utf-8") as lines:
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
    with (folder / "windows.csv").open("w", encoding="utf-8", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows(tables.window_lines(record))
    drawn = figure.timeline(record)
    figure.save(drawn, folder / "timeline.png")
    figure.save(drawn, folder / "timeline.svg")
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
    (folder / "manifest.json").write_text(text, encoding="utf-8")


def _swap(partial: Path, target: Path) -> None:
    """Put `partial` in the place of `target`; what is not ours moves with it."""
    if target.exists() and Path.cwd().is_relative_to(target):
        # Somebody stands in it (`zdsim run -o .`) and must not find it gone: file by file, each whole.
        for name in FILES:
            (partial / name).replace(target / name)
        return
    old = target.parent / f"{partial.name}.old"
    if target.exists():
        target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    if not old.exists():
        return
    for item in old.iterdir():
        if item.name in FILES:
            item.unlink()
        else:
            item.rename(target / item.name)
    old.rmdir()


def _is_run(folder: Path) -> bool:
    try:
        found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("kind") == KIND


def _read_json(path: Path, *, hint: str) -> Any:
    if not path.parent.is_dir():
        what = "a file" if path.parent.exists() else "not there"
        raise OutputError(f"{path.parent}: this is {what}, not the folder of a run.")
    if not path.exists():
        raise OutputError(f"{path}: there is no such file. {hint}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _because(path, error) from error
    except (ValueError, RecursionError) as error:
        raise OutputError(f"{path}: not JSON: {error}") from error


def _because(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: {error.strerror or error}")
