"""Which files does a comparison leave, and how do they get there whole?

    compare.json    the result, as `zdsim compare --json` prints it
    compare.csv     one row a contender and replication
    compare.md      tables and advice
    compare.png, compare.svg

`folder.py` puts them there, all or none.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zdsim.measure.comparison import KIND, Played
from zdsim.report import folder
from zdsim.report.compare_advice import Advice
from zdsim.report.compare_markdown import compare_markdown
from zdsim.report.files import json_text

FILES = ("compare.json", "compare.csv", "compare.md", "compare.png", "compare.svg")
LAYOUT = folder.Layout(KIND, "compare.json", FILES)


def default_folder(names: Sequence[str]) -> Path:
    """`reports/compare-NAMES`, whatever the names contain."""
    joined = re.sub("[^A-Za-z0-9._-]+", "-", "-".join(names)).strip(".-")[:80] or "contenders"
    return Path("reports") / f"compare-{joined}"


def check_folder(target: Path) -> None:
    """Raise before a long comparison what `write_comparison` would raise after it.

    Raises:
        OutputError: `target` is something else than a new or empty folder or an earlier comparison, or cannot be made.
    """
    folder.check(target, LAYOUT)


def write_comparison(
    result: Mapping[str, Any], played: Sequence[Played], advice: Sequence[Advice], target: Path
) -> None:
    """Write every file of a comparison into the folder `target`.

    Args:
        result: with the advice in it, as `--json` prints it.
        played: the cells behind it.

    Raises:
        OutputError: it cannot be written; nothing is left behind, and an earlier comparison is untouched.
    """
    folder.write(target, LAYOUT, lambda partial: _write(result, played, advice, partial))


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


def _write(result: Mapping[str, Any], played: Sequence[Played], advice: Sequence[Advice], where: Path) -> None:
    from zdsim.report import compare_figure, figure  # Matplotlib only where a picture is asked for

    (where / "compare.json").write_text(json_text(result), encoding="utf-8")
    with (where / "compare.csv").open("w", encoding="utf-8", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows(csv_rows(result, played))
    text = compare_markdown(result, advice, figure="compare.png")
    (where / "compare.md").write_text(text, encoding="utf-8")
    drawn = compare_figure.comparison(result, played)
    figure.save(drawn, where / "compare.png")
    figure.save(drawn, where / "compare.svg")


def _text(value: float | None) -> str:
    return "" if value is None else f"{round(value, 9):.9g}"
