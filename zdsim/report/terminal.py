"""What does a run look like on a terminal?

Everything is built for 80 columns and a pipe: no boxes, no colour that carries meaning alone, and a second set of
glyphs for terminals that cannot show the first. Text from a scenario is never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from zdsim.measure.latency import Phase
from zdsim.measure.rollback import STAGES
from zdsim.record import RunRecord
from zdsim.report.causes import errs_more, explain
from zdsim.report.series import focus, slices
from zdsim.report.steps import paused_at_end, shortened, steps
from zdsim.report.units import MISSING, count, milliseconds, own_revisions, percent, plural, seconds, significant

MAX_LINES = 8  # of assumptions, and of notices; the rest is counted
SPARKS = 48  # columns of the picture of drops over time


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Signs beyond ASCII, or their stand-ins."""

    good: str
    bad: str
    arrow: str
    dot: str
    levels: str  # from nothing to most, for pictures in one line
    bar: str


UNICODE = Glyphs("✓", "✗", "→", "·", " ▁▂▃▄▅▆▇█", "█")
ASCII = Glyphs("ok", "!!", "->", "-", " .:-=+*#%", "#")


def glyphs(encoding: str | None) -> Glyphs:
    """The signs that an encoding can write."""
    try:
        "".join((UNICODE.good, UNICODE.bad, UNICODE.arrow, UNICODE.levels)).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def run_text(
    console: Console,
    record: RunRecord,
    summary: Mapping[str, Any],
    *,
    files: str | None = None,
    next_steps: Sequence[str] = (),
    quiet: bool = False,
) -> str:
    """The story of a run, as text for a console.

    Args:
        console: where it will be shown: its width, its colours, its encoding.
        summary: of `record`, as `zdsim.measure.summary.summarise` gives it.
        files: folder with the run's files, if they were written.
        next_steps: commands worth a try, each a line.
        quiet: the headline only.
    """
    signs = glyphs(console.encoding)
    if quiet:
        return _rendered(console, headline(record, summary, signs))
    parts: list[RenderableType] = [_title(record, signs), Text(), headline(record, summary, signs)]
    parts += _drops(record, summary, signs, console.width)
    parts += _steps(record)
    parts += [_heading("Blast radius"), _facts(_blast_radius(summary))]
    parts += _rollback(record, summary, signs)
    parts += [_heading("Rollout"), _facts(_rollout(record, summary))]
    parts += [_heading("Latency of answered requests"), _latency(summary)]
    parts += _listing("Assumed, because no manifest says it", record.assumed)
    parts += _listing("Notices", record.notices)
    if files is not None:
        parts += [_heading("Files"), _indent(Text(files))]
    return _rendered(console, Group(*parts)) + commands(console, next_steps)


def commands(console: Console, next_steps: Sequence[str]) -> str:
    """Commands worth a try, each on one line however long: they are there to be copied."""
    if not next_steps:
        return ""
    return _rendered(console, _heading("Next")) + "".join(f"  {step}\n" for step in next_steps)


def headline(record: RunRecord, summary: Mapping[str, Any], signs: Glyphs) -> Text:
    """The one line that matters most."""
    asked = summary["requests"]
    total, dropped = asked["total"], asked["dropped"]
    if not total:
        return Text("No request ended in this run: nothing can be said about drops.", style="yellow")
    sure = asked["dropped_share_interval"]
    line = Text()
    if not dropped:
        line.append(f"{signs.good} ", style="bold green")
        line.append(f"None of {count(total)} requests dropped", style="bold")
        line.append(f" (95 % sure: fewer than {percent(sure['high'])})")
    else:
        line.append(f"{signs.bad} ", style="bold red")
        line.append(f"{count(dropped)} of {plural(total, 'request')} dropped: {percent(dropped / total)}", style="bold")
        limits = f"{percent(sure['low'])} to {percent(sure['high'])}"
        line.append(f"\n  95 % interval {limits}, taking requests as independent.", style="dim")
    excess = asked["excess_dropped"]
    if excess is not None and dropped:
        line.append(f"\n  {_excess(excess, dropped, *_disturbance(record))}")
    return line


def _disturbance(record: RunRecord) -> tuple[str, str]:
    """What the baseline of a run is without, and the pronoun for it."""
    faults = bool(record.scenario.get("faults"))
    if record.rollout.start_s is None and faults:
        return "the injected faults", "them"
    return ("the deployment and the injected faults", "them") if faults else ("the deployment", "it")


def _excess(excess: int, dropped: int, culprit: str, it: str) -> str:
    if excess == dropped:
        return f"All of them because of {culprit}: without {it}, this seed drops none."
    if excess <= 0:
        return f"None of them because of {culprit}: without {it}, this seed drops as many" + (
            "." if not excess else f", and {count(-excess)} more."
        )
    return f"{count(excess)} of them because of {culprit}: without {it}, this seed drops {count(dropped - excess)}."


def _title(record: RunRecord, signs: Glyphs) -> Text:
    line = Text()
    line.append(record.name, style="bold")
    versions = f" {signs.arrow} ".join(own_revisions(record.revisions))
    line.append(f": {record.strategy}, {versions}, {plural(record.replicas, 'pod')}, ")
    line.append(f"{seconds(record.duration_s)} simulated in {seconds(record.wall_s)}\n")
    line.append(f"seed {record.seed} {signs.dot} {record.plane} plane ({record.plane_reason})", style="dim")
    return line


def _drops(record: RunRecord, summary: Mapping[str, Any], signs: Glyphs, width: int) -> list[RenderableType]:
    asked = summary["requests"]
    dropped = asked["dropped"]
    if not dropped:
        return []
    longest = max(1, min(24, width - 40))
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for reason, n in sorted(asked["by_reason"].items(), key=lambda item: -item[1]):
        if n:
            bar = signs.bar * max(1, round(longest * n / dropped))
            table.add_row(Text(reason), count(n), percent(n / dropped), Text(bar, style="red"))
    why = Table.grid(padding=(0, 1))
    why.add_column(width=1)
    why.add_column(overflow="fold")
    for found in explain(record.counts, buggy=errs_more(record.scenario)):
        body = Text(found.sentence)
        if found.fix:
            body.append(f"\n{found.fix}", style="green")
        why.add_row(signs.dot, body)
    return [
        _heading("Dropped requests by reason"),
        _indent(table),
        _heading("Over time"),
        _indent(_over_time(record, signs, max(8, min(SPARKS, width - 24)))),
        _heading("Why, and what would help"),
        _indent(why),
    ]


def _over_time(record: RunRecord, signs: Glyphs, columns: int) -> Text:
    """Drops in slices of the busy part of the run as one line of levels, with the rollout below it."""
    sliced = slices(record, focus(record), at_most=columns)
    rates = sliced.dropped.sum(axis=1) / np.diff(sliced.edges_s)
    n, begin_s, end_s = rates.size, float(sliced.edges_s[0]), float(sliced.edges_s[-1])
    top = len(signs.levels) - 1
    picture = "".join(signs.levels[0 if not rate else max(1, round(top * rate / rates.max()))] for rate in rates)
    text = Text(picture, style="red")
    text.append(f"  at most {significant(float(rates.max()))}/s\n", style="none")
    start = record.rollout.start_s
    if start is not None:
        stop = record.duration_s if record.rollout.end_s is None else record.rollout.end_s
        touched = (sliced.edges_s[1:] > start) & (sliced.edges_s[:-1] < max(stop, start + 1e-9))
        text.append("".join(signs.bar if here else " " for here in touched), style="blue")
        text.append("  the rollout\n", style="none")
    begin, end = seconds(begin_s), seconds(end_s)
    scale = f"{begin}{end.rjust(max(len(end) + 1, n - len(begin)))}"
    if end_s - begin_s < record.duration_s - record.window_s:
        scale += f"  of {seconds(record.duration_s)}"
    return text.append(scale, style="dim")


def _blast_radius(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    blast = summary["blast_radius"]
    active = blast["active_users"]
    rows = [
        ("users active", count(active)),
        ("users exposed", _of(blast["exposed_users"], blast["exposed_share"], "reached the new revision")),
        ("users harmed", _of(blast["harmed_users"], blast["harmed_share"], "lost at least one request")),
    ]
    if blast["harmed_users"]:
        rows.append(
            ("harmed unexposed", f"{count(blast['harmed_unexposed_users'])}, without reaching the new revision")
        )
    if blast["peak_weight"] is not None:
        rows.append(("peak weight", f"{percent(blast['peak_weight'])} of a window's attempts"))
    if blast["revenue_lost"] is not None:
        rows.append(("revenue lost", f"{blast['revenue_lost']:,.2f}"))
    return rows


def _of(n: int, share: float | None, what: str) -> str:
    return f"{count(n)}" + ("" if share is None else f" ({percent(share)})") + f", {what}"


def _steps(record: RunRecord) -> list[RenderableType]:
    """When weights, switches and verdicts came; nothing for a plain rolling update."""
    first, left_out, last = shortened(steps(record))
    if not first:
        return []
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for step in first:
        table.add_row(seconds(step.time_s), Text(step.text))
    if left_out:
        table.add_row("...", Text(f"{plural(left_out, 'step')} more (all are in events.jsonl)", style="dim"))
    for step in last:
        table.add_row(seconds(step.time_s), Text(step.text))
    return [_heading("Steps"), _indent(table)]


def _rollback(record: RunRecord, summary: Mapping[str, Any], signs: Glyphs) -> list[RenderableType]:
    stages = summary["rollback"]
    onset = stages["onset_s"]
    if onset is None and not record.bad_revisions and stages["decided_s"] is None:
        return [_heading("Rollback"), _indent(Text("No bad revision in this run, nothing to roll back."))]
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_row("", Text("at", style="dim"), Text("after onset", style="dim"))
    for stage in STAGES:
        at = stages[f"{stage}_s"]
        after = MISSING if at is None or onset is None or stage == "onset" else seconds(at - onset)
        table.add_row(stage, seconds(at) if at is not None else "never", after)
    return [_heading("Rollback"), _indent(Text(_went_back(record, stages))), _indent(table)]


def _went_back(record: RunRecord, stages: Mapping[str, float | None]) -> str:
    """What became of the way back, in a sentence."""
    latency, onset, decided = stages["latency_s"], stages["onset_s"], stages["decided_s"]
    if latency is not None:
        what = "the bad revision" if record.bad_revisions else "the revision"
        return f"Latency {seconds(latency)}, from the first possible harm to the last request routed to {what}."
    if not record.bad_revisions:
        return "A revision without a fault was taken back: a false alarm, or somebody wished it."
    if onset is None:
        stopped = "was stopped before any request reached it" if decided is not None else "was reached by no request"
        return f"No latency: the bad revision {stopped}."
    if decided is None:
        return "No latency: nobody decided to take the bad revision back in this run."
    return "No latency: requests were still routed to the bad revision when the run ended."


def _rollout(record: RunRecord, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    rollout = summary["rollout"]
    rows = [("outcome", str(rollout["outcome"]))]
    if rollout["start_s"] is not None:
        took = rollout["duration_s"]
        open_end = "paused when the run ended" if paused_at_end(record) else "not finished when the run ended"
        rows.append(("duration", seconds(took) if took is not None else open_end))
    rows.append(("two versions serving", seconds(rollout["mixed_version_s"])))
    if rollout["min_available"] is not None:
        rows.append(("fewest available", f"{count(rollout['min_available'])} of {count(record.replicas)} pods"))
    if rollout["max_pods"] is not None:
        rows.append(("most pods at once", f"{count(rollout['max_pods'])}, terminating ones included"))
    extra = rollout["extra_pod_seconds"]
    rows.append(("pod-seconds", f"{rollout['pod_seconds']:,.0f} ({extra:+,.0f} against the desired replicas)"))
    rows.append(("restarts", count(rollout["restarts"])))
    return rows


def _latency(summary: Mapping[str, Any]) -> RenderableType:
    latency = summary["latency_s"]
    rows = [(str(phase), latency[phase]) for phase in Phase]
    own = own_revisions(latency["by_revision"])
    rows += [(name, at) for name, at in latency["by_revision"].items() if name in own or at["p50"] is not None]
    table = Table.grid(padding=(0, 2))
    table.add_column()
    for _ in range(3):
        table.add_column(justify="right")
    table.add_row("", *(Text(name, style="dim") for name in ("p50", "p95", "p99")))
    for name, at in rows:
        table.add_row(Text(name), *(milliseconds(at[p]) for p in ("p50", "p95", "p99")))
    return _indent(table)


def _listing(title: str, lines: Sequence[str]) -> list[RenderableType]:
    if not lines:
        return []
    shown = [Text(line) for line in lines[:MAX_LINES]]
    if len(lines) > MAX_LINES:
        shown.append(Text(f"... and {len(lines) - MAX_LINES} more (all are in the JSON)", style="dim"))
    return [_heading(title), _indent(Group(*shown))]


def _facts(rows: Iterable[tuple[str, str]]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return _indent(table)


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
    return "\n".join(line.rstrip() for line in text.split("\n"))  # no trailing blanks in files and pipes
