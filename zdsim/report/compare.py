"""What does a comparison look like on a terminal?

Measures in rows, contenders in columns, as many side by side as the terminal is wide. As everywhere: no boxes, no
colour that carries meaning alone, a second set of glyphs, and text from a scenario is never markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from zdsim.measure.comparison import DROPPED
from zdsim.report import compare_words as words
from zdsim.report.compare_advice import Advice, Aim, Verdict
from zdsim.report.terminal import Glyphs, commands, glyphs
from zdsim.report.units import MISSING, percent, plural

MAX_PAIRS = 6  # of contenders whose difference is shown; all are in the JSON
MAX_FIELDS = 3  # told per contender
GAP = 2  # blanks between columns
NAME_WIDTH = 18  # of a contender in the table; longer names are folded


def compare_text(
    console: Console,
    result: Mapping[str, Any],
    advice: Sequence[Advice],
    *,
    wall_s: float | None = None,
    files: str | None = None,
    next_steps: Sequence[str] = (),
    quiet: bool = False,
) -> str:
    """The story of a comparison, as text for a console.

    Args:
        console: where it will be shown.
        result: as `zdsim.measure.comparison.compare` returns it.
        advice: about `result`.
        wall_s: how long it took.
        files: what was written where.
        next_steps: commands worth a try, each a line.
        quiet: the first piece of advice only.
    """
    signs = glyphs(console.encoding)
    if quiet:
        return _rendered(console, _headline(advice))
    parts: list[RenderableType] = [_title(result, wall_s, signs), Text()]
    parts += [*_tables(result, signs, console.width), Text(_legend(result, signs), style="dim")]
    parts += _changes(result)
    parts += _differences(result, signs)
    parts += [_heading("Advice"), _indent(_advice(advice, signs))]
    parts += _listing("Notes", result.get("notes", ()), signs)
    if files is not None:
        parts += [_heading("Files"), _indent(Text(files))]
    text = _rendered(console, Group(*parts)) + commands(console, next_steps)
    return text if signs.good == "✓" else text.replace("±", "+-")


def mark(signs: Glyphs) -> str:
    """The sign of the best."""
    return signs.good if signs.good == "✓" else "*"


def is_best(result: Mapping[str, Any], key: str, name: str) -> bool:
    """Is a contender certainly best by a measure?"""
    return name in result["ranking"].get(key, {}).get("best", ())


def cell(result: Mapping[str, Any], one: Mapping[str, Any], name: str) -> tuple[str, str]:
    """A contender's mean by a measure, and its doubt, for a table."""
    found = next(who for who in result["contenders"] if who["name"] == name)["measures"][one["key"]]
    if not found["n"]:
        return MISSING, ""
    text = words.value(one["unit"], found["mean"])
    if found["n"] < result["replications"]["done"]:
        text += f" ({found['n']} of {result['replications']['done']})"
    return text, words.doubt(one["unit"], found)


def _headline(advice: Sequence[Advice]) -> Text:
    first = next(one for one in advice if one.aim is Aim.FEWEST_DROPS)
    return Text(f"{first.sentence} {first.reason}")


def _title(result: Mapping[str, Any], wall_s: float | None, signs: Glyphs) -> Text:
    asked = result["replications"]
    line = Text()
    line.append(f"{len(result['contenders'])} contenders", style="bold")
    line.append(f", {plural(asked['done'], 'replication')} each")
    if wall_s is not None:
        line.append(f", in {words.value('s', wall_s)}")
    seeds = f"seeds {asked['first_seed']} to {asked['last_seed']}, the same for all"
    line.append(f"\n{seeds} {signs.dot} {result['plane']} plane", style="dim")
    return line


def _tables(result: Mapping[str, Any], signs: Glyphs, width: int) -> Iterator[RenderableType]:
    """The table, in slices that fit."""
    label = 2 + max(len(one["label"]) for one in result["measures"])
    columns = [_column(result, who["name"], signs) for who in result["contenders"]]
    begin = 0
    while begin < len(columns):
        end, used = begin + 1, label + _width(columns[begin])
        while end < len(columns) and used + GAP + _width(columns[end]) <= width:
            used += GAP + _width(columns[end])
            end += 1
        if begin:
            yield Text()
        yield _table(result, columns[begin:end])
        begin = end


def _column(result: Mapping[str, Any], name: str, signs: Glyphs) -> list[Text]:
    """Header, then a mean and its doubt for each measure."""
    texts = [Text(name, style="bold", overflow="fold")]
    for one in result["measures"]:
        mean, doubt = cell(result, one, name)
        best = is_best(result, one["key"], name)
        texts.append(Text(f"{mark(signs)} {mean}" if best else mean, style="bold green" if best else ""))
        texts.append(Text(doubt, style="dim"))
    return texts


def _width(column: Sequence[Text]) -> int:
    return max(min(column[0].cell_len, NAME_WIDTH), *(text.cell_len for text in column[1:]))


def _table(result: Mapping[str, Any], columns: Sequence[Sequence[Text]]) -> RenderableType:
    table = Table.grid(padding=(0, GAP, 0, 0))
    table.add_column(no_wrap=True)
    for column in columns:
        table.add_column(justify="right", width=_width(column), overflow="fold")
    table.add_row("", *(column[0] for column in columns))
    for i, one in enumerate(result["measures"]):
        row = [column[1 + 2 * i] for column in columns]
        doubt = [column[2 + 2 * i] for column in columns]
        table.add_row(Text(one["label"]), *row)
        if any(text.plain for text in doubt):
            table.add_row("", *doubt)
    return table


def _legend(result: Mapping[str, Any], signs: Glyphs) -> str:
    level = percent(result["level"])
    return (
        f"\nMeans over replications with {level} intervals. {mark(signs)} the best, told apart from every\n"
        f"other at {level} (paired by seed, adjusted for all pairs)."
    )


def _changes(result: Mapping[str, Any]) -> list[RenderableType]:
    first = result["contenders"][0]["name"]
    rows = []
    for who in result["contenders"][1:]:
        fields = who["differs"][:MAX_FIELDS]
        more = len(who["differs"]) + who["differs_left_out"] - len(fields)
        text = ", ".join(fields) + (f" and {more} more" if more else "") if fields else "nothing"
        rows.append((who["name"], text))
    return [_heading(f"What is not as in {first}"), _facts(rows)] if rows else []


def _differences(result: Mapping[str, Any], signs: Glyphs) -> list[RenderableType]:
    """Pairs by dropped requests; and what else cannot be told apart yet."""
    level, asked = result["level"], result["replications"]
    pairs = [row for row in result["differences"] if row["measure"] == DROPPED]
    if not pairs:
        return []
    minus = "−" if signs.good == "✓" else "-"
    rows = []
    for row in pairs[:MAX_PAIRS]:
        text = words.difference("share", row, level)
        if times := words.times(row):
            text += f"\n{times}"
        if not row["distinguishable"] and not row["equal"]:
            text += f"\nnot told apart yet: {words.needed(row['needed_replications'], asked['done'])}"
        rows.append((f"{row['first']} {minus} {row['second']}", text))
    if len(pairs) > MAX_PAIRS:
        rows.append(("", f"... and {len(pairs) - MAX_PAIRS} more pairs (all are in compare.json)"))
    return [_heading("Differences in dropped requests, paired by seed"), _facts(rows)]


def _advice(advice: Sequence[Advice], signs: Glyphs) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in advice:
        head, _, rest = one.sentence.partition(":")
        body = Text(f"{head}:", style="bold")
        body.append(rest, style="bold green" if one.verdict is Verdict.CLEAR else "")
        body.append(f"\n{one.reason}", style="none")
        if one.price:
            body.append(f"\n{one.price}", style="yellow")
        table.add_row(mark(signs) if one.verdict is Verdict.CLEAR else signs.dot, body)
    return table


def _facts(rows: Sequence[tuple[str, str]]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", overflow="fold", max_width=34)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(Text(name), Text(text))
    return _indent(table)


def _listing(title: str, lines: Sequence[str], signs: Glyphs) -> list[RenderableType]:
    if not lines:
        return []
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for line in lines:
        table.add_row(signs.dot, Text(line))
    return [_heading(title), _indent(table)]


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _indent(what: RenderableType) -> RenderableType:
    return Padding(what, (0, 0, 0, 2), expand=False)


def _rendered(console: Console, what: RenderableType) -> str:
    with console.capture() as captured:
        console.print(what, highlight=False, markup=False)
    text = captured.get()
    if console.is_terminal:
        return text
    return "\n".join(line.rstrip() for line in text.split("\n"))
