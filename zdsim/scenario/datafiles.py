"""What do the data files of a scenario say: rates over time, arrival times, measured values?

They are read while loading and become part of the scenario, so that a run can be repeated without them. Every line is
checked here, where it can be named; the model checks the whole again.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zdsim.errors import Problem, ScenarioError
from zdsim.scenario.quantities import QuantityError, parse_duration, parse_rate, show
from zdsim.scenario.source import MAX_DATA_BYTES, Entry, Mark, Node, Source, read_source, with_entry, without

_MAX_TOLD = 20
_TIME_COLUMNS = ("time", "t", "at", "seconds", "timestamp")
_RATE_COLUMNS = ("rate", "rps", "requests", "value", "requests_per_second")


def read_data_files(tree: Node, problems: list[Problem], files: list[str]) -> Node:
    """The tree with the data files of `traffic.open` and every empirical law's `file` replaced by what they hold."""
    sources = (("csv", "profile", _rates), ("prometheus", "profile", _range_query), ("times_file", "times", _times))
    for word, target, read in sources:
        node = tree.find("traffic", "open", word)
        if node is None or not isinstance(node.value, str) or tree.find("traffic", "open", target) is not None:
            continue
        data = _read(node, f"traffic.open.{word}", read, problems, files)
        tree = with_entry(without(tree, ("traffic", "open", word)), ("traffic", "open", target), data)
    return _laws(tree, "", problems, files)


def _laws(node: Node, path: str, problems: list[Problem], files: list[str]) -> Node:
    """Empirical laws with a file, wherever they stand."""
    if node.entries is not None:
        kind, file = node.get("kind"), node.get("file")
        if kind is not None and kind.value == "empirical" and file is not None and isinstance(file.value, str):
            data = _read(file, f"{path}.file" if path else "file", _values, problems, files)
            return with_entry(without(node, ("file",)), ("values",), data)
        entries = {
            key: Entry(entry.key, _laws(entry.node, f"{path}.{key}" if path else key, problems, files))
            for key, entry in node.entries.items()
        }
        return Node(node.mark, entries, node.size, node.label)
    if node.items is not None:
        items = [_laws(item, f"{path}[{i}]", problems, files) for i, item in enumerate(node.items)]
        return Node(node.mark, items, node.size, node.label)
    return node


_Reader = Callable[[Source, list[Problem]], list[Any]]


def _read(node: Node, path: str, read: _Reader, problems: list[Problem], files: list[str]) -> Node:
    """The data of the file that `node` names, as opaque data in its place; one harmless row when it cannot be read."""
    written_in = node.mark.source.name
    name = Path(written_in).parent / node.value if not written_in.startswith(("-", "<")) else Path(node.value)
    found: list[Problem] = []
    rows: list[Any] = []
    try:
        source = read_source(name, what="data file", limit=MAX_DATA_BYTES)
        files.append(source.name)
        rows = read(source, found)
        if not rows and not found:
            found.append(source.problem("ZD1021", "no data in it", line=1, column=1))
    except ScenarioError as error:
        for one in error.problems:
            code = "ZD1021" if one.code == "ZD1010" else one.code
            found.append(node.mark.problem(code, f"{one.message}: {one.file}", path=path, hint=one.hint))
    problems += found[:_MAX_TOLD]
    if len(found) > _MAX_TOLD:
        problems.append(node.mark.problem("ZD1021", f"and {len(found) - _MAX_TOLD} more bad lines", path=path))
    stand_in: list[Any] = [{"at": 0.0, "rate": 1.0}] if read in (_rates, _range_query) else [0.0]
    return Node(Mark(node.mark.source, node.mark.line, node.mark.column, node.mark.width), tuple(rows or stand_in))


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    """Line numbers and texts, without comments and blank lines."""
    for number, line in enumerate(source.lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, text


def _values(source: Source, problems: list[Problem]) -> list[Any]:
    return _durations(source, problems, rising=False)


def _times(source: Source, problems: list[Problem]) -> list[Any]:
    return _durations(source, problems, rising=True)


def _durations(source: Source, problems: list[Problem], *, rising: bool) -> list[Any]:
    """One duration per line (the first column, when there are commas); a heading is passed over."""
    values: list[float] = []
    for i, (number, text) in enumerate(_lines(source)):
        cell = text.split(",")[0].strip()
        value = _duration(source, number, cell, problems, heading=i == 0)
        if value is None:
            continue
        if rising and values and value < values[-1]:
            message = f"times must not fall, but {cell} follows {values[-1]:g}"
            problems.append(source.problem("ZD1021", message, line=number, column=1, width=len(cell), hint="sort them"))
            continue
        values.append(value)
    return values


def _duration(source: Source, number: int, cell: str, problems: list[Problem], *, heading: bool) -> float | None:
    try:
        value = parse_duration(cell)
    except QuantityError as problem:
        if not (heading and cell[:1].isalpha()):
            problems.append(_bad(source, number, cell, str(problem), problem.hint))
        return None
    if value < 0.0:
        problems.append(_bad(source, number, cell, f"must be at least 0s, got {cell}", ""))
        return None
    return value


def _bad(source: Source, number: int, cell: str, message: str, hint: str) -> Problem:
    column = max(0, source.lines[number - 1].find(cell)) + 1
    return source.problem("ZD1021", message, line=number, column=column, width=max(1, len(cell)), hint=hint)


def _rates(source: Source, problems: list[Problem]) -> list[Any]:
    """Rows of time and rate; columns by their headings, else the first two."""
    rows: list[Any] = []
    at_column, rate_column = 0, 1
    for i, (number, text) in enumerate(_lines(source)):
        try:
            cells = [cell.strip() for cell in next(csv.reader(io.StringIO(text)))]
        except csv.Error as problem:
            problems.append(_bad(source, number, text, str(problem), ""))
            continue
        if i == 0 and cells[0][:1].isalpha():
            names = [cell.lower() for cell in cells]
            at_column = next((names.index(name) for name in _TIME_COLUMNS if name in names), 0)
            rate_column = next((names.index(name) for name in _RATE_COLUMNS if name in names), 1)
            continue
        if max(at_column, rate_column) >= len(cells):
            hint = "each line has a time and a rate: 60,250"
            problems.append(_bad(source, number, text, f"expected two columns, got {len(cells)}", hint))
            continue
        at = _duration(source, number, cells[at_column], problems, heading=False)
        rate = _rate(source, number, cells[rate_column], problems)
        if at is None or rate is None:
            continue
        if rows and at <= rows[-1]["at"]:
            message = f"times must rise, but {cells[at_column]} follows {rows[-1]['at']:g}"
            problems.append(_bad(source, number, cells[at_column], message, "sort them, and keep each time once"))
            continue
        rows.append({"at": at, "rate": rate})
    return rows


def _range_query(source: Source, problems: list[Problem]) -> list[Any]:
    """The answer of Prometheus' /api/v1/query_range: the rate of its one series, from the first sample on.

    Source: Prometheus HTTP API, "Expression queries", range queries (resultType matrix).
    """

    def bad(message: str, hint: str = "") -> list[Any]:
        problems.append(source.problem("ZD1021", message, line=1, column=1, hint=hint))
        return []

    try:
        answer = json.loads("\n".join(source.lines))
        series = answer["data"]["result"]
        values = series[0]["values"]
    except (ValueError, RecursionError) as problem:
        return bad(f"not JSON: {problem}")
    except (TypeError, KeyError, IndexError):
        return bad("not the answer of a range query", "save the JSON of /api/v1/query_range with resultType matrix")
    if len(series) != 1:
        return bad(f"{len(series)} series, and one rate is wanted", "sum them up: sum(rate(http_requests_total[1m]))")
    rows: list[Any] = []
    for i, sample in enumerate(values):
        try:
            at, rate = float(sample[0]), float(sample[1])
        except (TypeError, ValueError, IndexError):
            return bad(f"sample {i} is not [time, value]: {show(sample)}")
        if math.isnan(rate):
            continue  # Prometheus had no data there
        if not (math.isfinite(at) and math.isfinite(rate)) or rate < 0.0:
            return bad(f"sample {i}: a rate is at least 0, got {show(sample)}")
        if rows and at <= rows[-1]["at"]:
            return bad(f"sample {i}: times must rise")
        rows.append({"at": at, "rate": rate})
    first = rows[0]["at"] if rows else 0.0
    return [{"at": row["at"] - first, "rate": row["rate"]} for row in rows]


def _rate(source: Source, number: int, cell: str, problems: list[Problem]) -> float | None:
    try:
        value = parse_rate(cell)
    except QuantityError as problem:
        problems.append(_bad(source, number, cell, str(problem), problem.hint))
        return None
    if value < 0.0 or not math.isfinite(value):
        problems.append(_bad(source, number, cell, f"a rate is at least 0, got {show(cell)}", ""))
        return None
    return value
