"""Which files does a comparison leave, and how do they get there whole?

    compare.json    the result, as `zdsim compare --json` prints it
    compare.csv     one row a contender and replication
    compare.md      tables and advice
    compare.png, compare.svg

As with a run's files: all are written beside the target first, an earlier comparison there is replaced, what somebody
else put beside it is kept, and a folder that is no comparison is refused.
"""

from __future__ import annotations

import csv
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zdsim.measure.comparison import KIND, Played
from zdsim.report.compare_advice import Advice
from zdsim.report.compare_markdown import compare_markdown
from zdsim.report.files import OutputError, json_text

FILES = ("compare.json", "compare.csv", "compare.md", "compare.png", "compare.svg")


def default_folder(names: Sequence[str]) -> Path:
    """`reports/compare-NAMES`, whatever the names contain."""
    joined = re.sub("[^A-Za-z0-9._-]+", "-", "-".join(names)).strip(".-")[:80] or "contenders"
    return Path("reports") / f"compare-{joined}"


def check_folder(folder: Path) -> None:
    """Raise before a long comparison what `write_comparison` would raise after it.

    Raises:
        OutputError: `folder` is something else than a new or empty folder or an earlier comparison, or cannot be made.
    """
    try:
        if folder.is_dir():
            if any(folder.iterdir()) and not _is_comparison(folder):
                raise OutputError(
                    f"{folder}: this folder is not empty and no zdsim comparison: nothing was written. "
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
        raise OutputError(f"{folder}: {error.strerror or error}") from error


def write_comparison(
    result: Mapping[str, Any], played: Sequence[Played], advice: Sequence[Advice], folder: Path
) -> None:
    """Write every file of a comparison into `folder`.

    Args:
        result: with the advice in it, as `--json` prints it.
        played: the cells behind it.

    Raises:
        OutputError: it cannot be written; nothing is left behind, and an earlier comparison is untouched.
    """
    check_folder(folder)
    try:
        target = folder.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.parent / f".{target.name}.{secrets.token_hex(4)}.partial"
        partial.mkdir()
        try:
            _write(result, played, advice, partial)
            target.mkdir(exist_ok=True)
            for name in FILES:
                (partial / name).replace(target / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror or error}") from error


def csv_rows(result: Mapping[str, Any], played: Sequence[Played]) -> list[list[str]]:
    """One row a contender and replication, the header first; what was not measured is an empty cell."""
    keys = [one["key"] for one in result["measures"]]
    rows = [["contender", "seed", "requests", "dropped_requests", "outcome", *keys, "digest"]]
    for who in played:
        for cell in who.cells:
            numbers = [_text(cell.values.get(key)) for key in keys]
            head = [who.name, str(cell.seed), str(cell.total), str(cell.dropped), cell.outcome]
            rows.append([*head, *numbers, cell.digest])
    return rows


def _write(result: Mapping[str, Any], played: Sequence[Played], advice: Sequence[Advice], folder: Path) -> None:
    from zdsim.report import compare_figure, figure  # Matplotlib only where a picture is asked for

    (folder / "compare.json").write_text(json_text(result), encoding="utf-8")
    with (folder / "compare.csv").open("w", encoding="utf-8", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows(csv_rows(result, played))
    text = compare_markdown(result, advice, figure="compare.png")
    (folder / "compare.md").write_text(text, encoding="utf-8")
    drawn = compare_figure.comparison(result, played)
    figure.save(drawn, folder / "compare.png")
    figure.save(drawn, folder / "compare.svg")


def _is_comparison(folder: Path) -> bool:
    try:
        found = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("kind") == KIND


def _text(value: float | None) -> str:
    return "" if value is None else f"{round(value, 9):.9g}"
