"""What did the run look like over time?

One figure, four panels on one clock: pods, traffic, drops, latency. What happened to the deployment runs through all
of them as lines, named in a strip on top. Colours are told apart by colour-blind readers (Okabe and Ito for revisions,
Tol's "muted" for reasons), and no panel relies on colour alone. No pyplot: no global state, no window.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from zdsim.measure import rollback
from zdsim.plane.vocabulary import Outcome
from zdsim.record import EventKind, RunRecord
from zdsim.report import steps
from zdsim.report.series import NAMED, PodLevels, Slices, focus, pod_levels, slices
from zdsim.report.units import copied_from, milliseconds, own_revisions, percent, plural, seconds, significant

REVISION_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
REASON_COLORS: Mapping[Outcome, str] = {
    Outcome.REFUSED: "#CC6677",
    Outcome.UNREACHABLE: "#882255",
    Outcome.RESET: "#DDCC77",
    Outcome.OVERFLOW: "#999933",
    Outcome.TIMEOUT: "#332288",
    Outcome.NO_ENDPOINT: "#222222",
    Outcome.APP_ERROR: "#44AA99",
    Outcome.DB_ERROR: "#AA4499",
}
LATENCY_STYLES = (("p50", "#117733", 1.8), ("p95", "#44AA99", 1.3), ("p99", "#332288", 1.0))

NAMED_CONDITIONS = {"MinimumReplicasUnavailable": "too few available", "ProgressDeadlineExceeded": "deadline exceeded"}
MAX_ROWS = 6  # of names in the strip
CLIP, CLOSE = 60, 0.001  # characters of a name; marks so close, as a share of the figure's span, share one line
LEFT, RIGHT, STRIP_TOP, ROW = 0.075, 0.835, 0.937, 0.0155  # of the figure's width and height
INK, PALE, URGENT = "#333333", "#888888", "#B22222"
NAME_SIZE, GAP = 8.5, 4.0  # points; pixels between a line and its name


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line with a name."""

    time_s: float
    text: str
    urgent: bool  # drawn darker: harm, faults and alerts


def together(found: Sequence[Mark], apart_s: float) -> list[Mark]:
    """Marks closer than `apart_s` to the first of them become one with all their names."""
    out: list[Mark] = []
    for mark in found:
        joined = f"{out[-1].text}, {mark.text}" if out else ""
        if out and mark.time_s - out[-1].time_s < apart_s and len(joined) <= CLIP:
            if mark.text not in out[-1].text:
                out[-1] = Mark(out[-1].time_s, joined, out[-1].urgent or mark.urgent)
        else:
            out.append(mark)
    return out


def timeline(record: RunRecord, *, title: str | None = None) -> Figure:
    """The figure of a run, 12 x 10 inches; of its busy part only, if that is short.

    Args:
        title: instead of one made from the record.
    """
    with _style():
        begin_s, end_s = focus(record)
        unit_s, unit = _time_unit(end_s)
        figure = Figure(figsize=(12.0, 10.0), dpi=100)
        FigureCanvasAgg(figure)
        strip = figure.add_axes((LEFT, 0.9, RIGHT - LEFT, 0.03))
        strip.set_xlim(begin_s / unit_s, end_s / unit_s)
        seen = [mark for mark in marks(record) if begin_s <= mark.time_s <= end_s]
        named = _place(figure, strip, together(seen, CLOSE * (end_s - begin_s)), unit_s)
        rows = max((name.row + 1 for name in named if name.row is not None), default=0)
        top = STRIP_TOP - ROW * rows
        strip.set_position((LEFT, top, RIGHT - LEFT, STRIP_TOP - top + 1e-3))
        grid = figure.add_gridspec(
            4, 1, height_ratios=(1.15, 1.0, 1.0, 1.0), left=LEFT, right=RIGHT, top=top, bottom=0.055, hspace=0.12
        )
        panels = [figure.add_subplot(grid[i], sharex=strip) for i in range(4)]
        sliced = slices(record, (begin_s, end_s))
        _pods(panels[0], record, pod_levels(record.pods, len(record.revisions), record.duration_s), unit_s)
        _traffic(panels[1], record, sliced, unit_s)
        _drops(panels[2], record, sliced, unit_s)
        _latency(panels[3], sliced, unit_s)
        _shade_rollout(panels, record, unit_s)
        _strip(strip, panels, named, rows, unit_s)
        for axes in (strip, *panels[:-1]):
            axes.tick_params(labelbottom=False)
        panels[-1].set_xlabel(f"time since the run began ({unit})")
        figure.align_ylabels(panels)
        head, detail = _title(record)
        if end_s - begin_s < record.duration_s:
            detail += f"; shown: {seconds(begin_s)} to {seconds(end_s)} of {seconds(record.duration_s)}"
        figure.text(LEFT, 0.975, _plain(title or head), fontsize=13, fontweight="bold", color=INK, va="center")
        figure.text(LEFT, 0.951, _plain(detail), fontsize=9, color=PALE, va="center")
        return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the name's ending; the same figure gives the same bytes."""
    path.write_bytes(image(figure, path.suffix.removeprefix(".")))


def image(figure: Figure, kind: str) -> bytes:
    """A figure as the bytes of a `png` or `svg` file."""
    metadata = {"Date": None, "Creator": "zdsim"} if kind == "svg" else {"Software": "zdsim"}
    out = io.BytesIO()
    with _style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(out, format=kind, metadata=metadata)
    return out.getvalue()


def marks(record: RunRecord) -> list[Mark]:
    """What is named in the strip: releases, weights and switches, faults, verdicts, stages of a rollback, the end.

    What repeats itself (an alert that goes on firing, pods that come and go) is named once.
    """
    found: dict[tuple[float, str], Mark] = {}
    last: dict[tuple[EventKind, str], str] = {}  # by kind and subject
    last_step = ""
    for event in record.events:
        if event.kind is EventKind.CONDITION and event.reason in NAMED_CONDITIONS:
            if record.strategy.startswith("Flagger") and not event.subject.endswith("-primary"):
                continue  # Flagger's canary begins with no pods: nobody is served by it yet
            text = NAMED_CONDITIONS[event.reason]
            if all(mark.text != text for mark in found.values()):
                found[event.time_s, text] = Mark(event.time_s, text, urgent=True)
        elif (step := steps.mark(event)) is not None:
            text, urgent = step
            if last_step != text:
                found.setdefault((event.time_s, text), Mark(event.time_s, text, urgent))
            last_step = text
        elif event.kind in NAMED and not event.subject.startswith("analysis/"):
            text = _name(event.kind, event.subject, event.reason)
            if last.get((event.kind, event.subject)) != text or event.kind is EventKind.RELEASE:
                found.setdefault((event.time_s, text), Mark(event.time_s, text, event.kind is not EventKind.RELEASE))
            last[event.kind, event.subject] = text
    for stage, at in rollback.stage_times(record.rollback).items():
        if at is not None:
            found.setdefault((at, stage), Mark(at, stage, urgent=True))
    end = record.rollout.end_s
    if end is not None:
        text = f"rollout {record.rollout.outcome}"
        found.setdefault((end, text), Mark(end, text, urgent=False))
    return sorted(found.values(), key=lambda mark: mark.time_s)  # at one instant in the order of the story


def _name(kind: EventKind, subject: str, reason: str) -> str:
    words = "".join(f" {char.lower()}" if char.isupper() else char for char in reason).strip()
    match kind:
        case EventKind.FAULT | EventKind.ALERT:
            thing = subject.partition("/")[2].replace("_", " ")
            return words if not thing or thing.lower() in words else f"{thing}: {words}"
        case _:
            return words


@contextmanager
def _style() -> Iterator[None]:
    """Matplotlib's own defaults whatever the reader's matplotlibrc says, and ours on top of them."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.hashsalt": "zdsim",
                "font.size": 10,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.edgecolor": PALE,
                "axes.labelcolor": INK,
                "xtick.color": INK,
                "ytick.color": INK,
                "axes.titlesize": 10,
                "legend.frameon": False,
                "legend.fontsize": 9,
                "hatch.linewidth": 0.6,
            }
        )
        yield


def _title(record: RunRecord) -> tuple[str, str]:
    total = int(record.counts.counts.sum())
    dropped = total - int(record.counts.counts[..., Outcome.OK].sum())
    if not total:
        head = f"{record.name}: no request ended"
    elif not dropped:
        head = f"{record.name}: none of {plural(total, 'request')} dropped"
    else:
        head = f"{record.name}: {dropped:,} of {plural(total, 'request')} dropped ({percent(dropped / total)})"
    versions = " \N{RIGHTWARDS ARROW} ".join(own_revisions(record.revisions))
    return (
        head,
        f"{record.strategy}, {versions}, {plural(record.replicas, 'pod')}, seed {record.seed}, {record.plane} plane",
    )


def _pods(axes: Axes, record: RunRecord, levels: PodLevels, unit_s: float) -> None:
    x = levels.times_s / unit_s
    base = np.zeros(x.size)
    handles: list[Any] = []
    for state, rows in (("ready", levels.ready), ("not ready", levels.waiting), ("terminating", levels.terminating)):
        for revision, row in enumerate(rows):
            if not row.any():
                continue
            look = _state_look(state, _color(record, revision))
            axes.fill_between(x, base, base + row, step="post", **look)
            handles.append(Patch(label=f"{record.revisions[revision]} {state}", **look))
            base = base + row
    axes.axhline(record.replicas, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    handles.append(Line2D([], [], color=INK, linewidth=1.0, linestyle=(0, (4, 3)), label="desired"))
    axes.set_ylim(0, max(float(base.max(initial=0.0)), record.replicas, 1) * 1.08)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_ylabel("pods")
    _legend(axes, handles[::-1])


def _state_look(state: str, color: str) -> dict[str, Any]:
    match state:
        case "ready":
            return {"facecolor": color, "edgecolor": "none"}
        case "not ready":
            return {"facecolor": _mix(color, 0.72), "edgecolor": color, "linewidth": 0.4}
        case _:
            return {"facecolor": _mix(color, 0.82), "edgecolor": color, "linewidth": 0.4, "hatch": "////"}


def _traffic(axes: Axes, record: RunRecord, sliced: Slices, unit_s: float) -> None:
    axes.set_ylabel("attempts/s routed")
    base = np.zeros(sliced.routed_per_s.shape[0])
    handles: list[Any] = []
    for revision, name in enumerate(record.revisions):
        rate = sliced.routed_per_s[:, revision]
        if not rate.any():
            continue
        look = _state_look("ready", _color(record, revision))
        axes.stairs(
            base + rate, sliced.edges_s / unit_s, baseline=base, fill=True, color=_color(record, revision), linewidth=0
        )
        handles.append(Patch(label=f"to {name}", **look))
        base = base + rate
    if not handles:
        _nothing(axes, "no request was routed")
        return
    axes.set_ylim(0, float(base.max()) * 1.08)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}" if y >= 10 else significant(y)))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    _legend(axes, handles[::-1])


def _drops(axes: Axes, record: RunRecord, sliced: Slices, unit_s: float) -> None:
    axes.set_ylabel(f"dropped per {seconds(sliced.width_s)}")
    base = np.zeros(sliced.dropped.shape[0])
    totals = record.counts.counts.sum(axis=(0, 1, 2))
    handles: list[Any] = []
    for outcome, color in REASON_COLORS.items():
        n = sliced.dropped[:, outcome]
        if not n.any():
            continue
        axes.stairs(base + n, sliced.edges_s / unit_s, baseline=base, fill=True, color=color, linewidth=0)
        handles.append(Patch(color=color, label=f"{outcome.name.lower()} ({int(totals[outcome]):,})"))
        base = base + n
    top = float(base.max(initial=0.0))
    if not top:
        _nothing(axes, "no request dropped" if sliced.asked else "no request ended")
        top = 1.0
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    deleted = [pod.deleted_s / unit_s for pod in record.pods if pod.deleted_s is not None]
    if deleted:
        look: dict[str, Any] = {"marker": "v", "color": INK, "markersize": 4, "linestyle": "none"}
        axes.plot(deleted, np.full(len(deleted), top * 1.12), **look, alpha=0.75, zorder=5)
        handles.append(Line2D([], [], **look, label=f"pod deleted ({len(deleted):,})"))
    axes.set_ylim(0, top * 1.2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    _legend(axes, handles[::-1])


def _latency(axes: Axes, sliced: Slices, unit_s: float) -> None:
    axes.set_ylabel("latency (ms)")
    if not np.isfinite(sliced.latency_s).any():
        _nothing(axes, "no request answered")
        return
    values = 1e3 * sliced.latency_s
    handles: list[Any] = []
    for i, (name, color, width) in enumerate(LATENCY_STYLES):
        axes.stairs(values[:, i], sliced.edges_s / unit_s, baseline=None, color=color, linewidth=width)
        worst = milliseconds(float(np.nanmax(sliced.latency_s[:, i])))
        handles.append(Line2D([], [], color=color, linewidth=width + 0.6, label=f"{name} (at most {worst})"))
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low > 0.0 and high / low > 12.0:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.3, high * 1.3)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel("latency (ms, log)")
    else:
        axes.set_ylim(0, max(high * 1.08, 1e-3))
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: significant(y)))
    _legend(axes, handles[::-1])


def _shade_rollout(panels: Sequence[Axes], record: RunRecord, unit_s: float) -> None:
    start = record.rollout.start_s
    for axes in panels:
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        if start is not None:
            end = record.duration_s if record.rollout.end_s is None else record.rollout.end_s
            axes.axvspan(start / unit_s, end / unit_s, color="#f1f1ee", zorder=-10, linewidth=0)


@dataclass(frozen=True, slots=True)
class Named:
    """A mark and the place of its name; no row where there was no room."""

    mark: Mark
    text: str
    row: int | None
    to_left: bool  # of its line


def _place(figure: Figure, strip: Axes, found: Sequence[Mark], unit_s: float) -> list[Named]:
    """Rows for the names so that none covers another.

    To the right of its line, below every name that the line would cross; else in any free row; else to the left.
    """
    renderer: Any = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    free_from = [strip.get_window_extent(renderer).x0 - 1.0] * MAX_ROWS  # pixels: where each row is free again
    limit = 0.995 * figure.bbox.width
    named = []
    for mark in found:
        shown = _plain(_clip(mark.text))
        probe = strip.text(0.0, 0.0, shown, fontsize=NAME_SIZE)
        width = probe.get_window_extent(renderer).width
        probe.remove()
        at = float(strip.transData.transform((mark.time_s / unit_s, 0.0))[0])
        rows = range(MAX_ROWS)
        free = [row for row in rows if at >= free_from[row]]
        below = max((row + 1 for row in rows if row not in free), default=0)
        right = next((row for row in (below, *free) if row in free), None) if at + GAP + width <= limit else None
        left = None if right is not None else next((row for row in rows if at - GAP - width >= free_from[row]), None)
        row = left if right is None else right
        if row is not None:
            free_from[row] = at + (GAP if right is None else width + 3.0 * GAP)
        named.append(Named(mark, shown, row, to_left=right is None))
    return named


def _strip(strip: Axes, panels: Sequence[Axes], named: Sequence[Named], rows: int, unit_s: float) -> None:
    """The names, and their lines through every panel."""
    strip.set_axis_off()
    strip.set_ylim(0.0, 1.0)
    for name in named:
        x = name.mark.time_s / unit_s
        look: dict[str, Any] = {"color": URGENT if name.mark.urgent else INK, "linewidth": 0.8, "alpha": 0.8}
        look["linestyle"] = (0, (2, 2))
        for axes in panels:
            axes.axvline(x, **look, zorder=4)
        if name.row is None:
            continue
        y = 1.0 - (name.row + 0.5) / rows
        strip.plot([x, x], [0.0, y + 0.4 / rows], **look, clip_on=False)
        shift = (-1 if name.to_left else 1) * _data_width(strip, GAP)
        side = "right" if name.to_left else "left"
        strip.text(x + shift, y, name.text, fontsize=NAME_SIZE, color=look["color"], va="center", ha=side)
    left_out = sum(name.row is None for name in named)
    if left_out:
        note = f"{left_out} events without a name here: see events.jsonl"
        strip.text(1.0, 1.01, note, transform=strip.transAxes, fontsize=NAME_SIZE, color=PALE, ha="right", va="bottom")


def _data_width(axes: Axes, pixels: float) -> float:
    inverse = axes.transData.inverted()
    return float(inverse.transform((pixels, 0.0))[0] - inverse.transform((0.0, 0.0))[0])


def _legend(axes: Axes, handles: Sequence[Any]) -> None:
    for handle in handles:
        handle.set_label(_plain(handle.get_label()))
    axes.legend(
        handles=list(handles), loc="upper left", bbox_to_anchor=(1.005, 1.03), borderaxespad=0.0, handlelength=1.4
    )


def _nothing(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=PALE)
    axes.set_yticks([])


def _time_unit(duration_s: float) -> tuple[float, str]:
    if duration_s >= 3.0 * 3600.0:
        return 3600.0, "h"
    return (60.0, "min") if duration_s >= 300.0 else (1.0, "s")


def _color(record: RunRecord, revision: int) -> str:
    """A revision's own; its row in a canary's Deployment has a paler one."""
    base = copied_from(record.revisions[revision], record.revisions)
    if base is not None:
        return _mix(_color(record, record.revisions.index(base)), 0.45)
    return REVISION_COLORS[revision % len(REVISION_COLORS)]


def _mix(color: str, white: float) -> str:
    """A colour with a share of white."""
    parts = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * white):02x}" for part in parts)


def _plain(text: str) -> str:
    """Text that Matplotlib shows as it is: no mathematics, and no label hidden for its underscore."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def _clip(text: str, most: int = CLIP) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
