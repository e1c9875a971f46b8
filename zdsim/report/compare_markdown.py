"""What does a comparison look like as Markdown, for a pull request or a page of documentation?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zdsim.report import compare_words as words
from zdsim.report.compare import cell, is_best
from zdsim.report.compare_advice import Advice, Verdict
from zdsim.report.units import percent, plural


def compare_markdown(result: Mapping[str, Any], advice: Sequence[Advice], *, figure: str | None = None) -> str:
    """A comparison as GitHub-flavoured Markdown.

    Args:
        result: as `zdsim.measure.comparison.compare` returns it.
        advice: about `result`.
        figure: file name of the picture, if one lies beside the text.
    """
    asked, level = result["replications"], percent(result["level"])
    who = [one["name"] for one in result["contenders"]]
    lines = [
        f"# {_escaped(' against '.join(who)) if len(who) < 4 else f'{len(who)} contenders'}",
        "",
        f"{plural(asked['done'], 'replication')} each, seeds {asked['first_seed']} to {asked['last_seed']}, "
        f"the same for all. Means with {level} intervals; **bold** is best and told apart from every other at {level} "
        "(paired by seed, adjusted for all pairs).",
        "",
        _row(["", *who]),
        "|---|" + "---:|" * len(who),
    ]
    for one in result["measures"]:
        cells = []
        for name in who:
            mean, doubt = cell(result, one, name)
            shown = f"**{mean}**" if is_best(result, one["key"], name) else mean
            cells.append(f"{shown}<br><sub>{doubt}</sub>" if doubt else shown)
        lines.append(f"| {_escaped(words.NOUNS[one['key']])} | {' | '.join(cells)} |")
    if figure is not None:
        lines += ["", f"![Every replication, by measure]({figure})"]
    lines += ["", "## Advice", ""]
    for piece in advice:
        sentence = f"**{_escaped(piece.sentence)}**" if piece.verdict is Verdict.CLEAR else _escaped(piece.sentence)
        lines.append(f"- {sentence} {_escaped(f'{piece.reason} {piece.price}'.strip())}")
    lines += ["", "## Differences", "", "| measure | pair | difference | told apart |", "|---|---|---:|---|"]
    units = {one["key"]: one["unit"] for one in result["measures"]}
    for row in result["differences"]:
        if row["mean"] is None:
            continue
        told = "yes" if row["distinguishable"] else "equal" if row["equal"] else "no"
        if told == "no":
            told += f"; {words.needed(row['needed_replications'], asked['done'])}"
        pair = f"{row['first']} − {row['second']}"
        text = words.difference(units[row["measure"]], row, result["level"])
        lines.append(_row([words.NOUNS[row["measure"]], pair, text, told]))
    if result.get("notes"):
        lines += ["", "## Notes", "", *(f"- {_escaped(note)}" for note in result["notes"])]
    lines += ["", f"Digest {result['digest']}, {result['plane']} plane.", ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_escaped(text) for text in cells)} |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    for char in "\\`*_[]<>|#":
        text = text.replace(char, f"\\{char}")
    return text
