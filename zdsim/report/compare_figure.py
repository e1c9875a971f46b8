"""What does a comparison look like as a picture?

A panel for each measure, a row for each contender: a dot for every replication, and on top of them the mean with its
interval. A filled diamond is the best that can be told apart from every other; an open one is not. Less is better
everywhere, so good is left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from zdsim.measure.comparison import Played
from zdsim.plane.config import FloatArray
from zdsim.report import compare_words as words
from zdsim.report.compare import is_best
from zdsim.report.figure import INK, PALE, REVISION_COLORS, image
from zdsim.report.units import percent, plural

COLUMNS = 3
WIDTH = 12.0  # inches
HEAD, FOOT, GAP = 0.95, 0.72, 0.62  # inches above, below and between the panels
GOLDEN = 0.6180339887498949  # dots are spread by multiples of it: evenly, and the same every time
WIDE = 50.0  # largest by smallest value from which an axis is logarithmic


def comparison(result: Mapping[str, Any], played: Sequence[Played]) -> Figure:
    """The figure of a comparison; as high as its contenders and measures need.

    Args:
        result: as `zdsim.measure.comparison.compare` returns it.
        played: the cells behind it.
    """
    import matplotlib

    measured = [one for one in result["measures"] if any(_values(who, one["key"]).size for who in played)]
    n_rows = max(1, math.ceil(len(measured) / COLUMNS))
    row_in = GAP + 0.40 * len(played)
    height = HEAD + FOOT + row_in * n_rows
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(WIDTH, height), dpi=100)
        FigureCanvasAgg(figure)
        label_in = min(2.6, 0.35 + 0.085 * max(len(who.name) for who in played))
        grid = figure.add_gridspec(
            n_rows,
            COLUMNS,
            left=label_in / WIDTH,
            right=1.0 - 0.3 / WIDTH,
            top=1.0 - HEAD / height,
            bottom=FOOT / height,
            hspace=GAP / (row_in - GAP),
            wspace=0.09,
        )
        for i, one in enumerate(measured):
            axes = figure.add_subplot(grid[i // COLUMNS, i % COLUMNS])
            _panel(axes, result, one, played, named=i % COLUMNS == 0)
        _words(figure, result, height, label_in)
        return figure


def png(result: Mapping[str, Any], played: Sequence[Played]) -> bytes:
    """The figure as the bytes of a PNG file."""
    return image(comparison(result, played), "png")


_STYLE: Any = {
    "svg.hashsalt": "zdsim",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": PALE,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def _panel(
    axes: Axes, result: Mapping[str, Any], one: Mapping[str, Any], played: Sequence[Played], *, named: bool
) -> None:
    unit, key = one["unit"], one["key"]
    factor = {"share": 100.0, "latency": 1e3}.get(unit, 1.0)
    found = {who["name"]: who["measures"][key] for who in result["contenders"]}
    every = np.concatenate([_values(who, key) for who in played])
    for row, who in enumerate(played):
        y = float(len(played) - 1 - row)
        color = REVISION_COLORS[row % len(REVISION_COLORS)]
        axes.axhline(y, color="#eeeeee", linewidth=0.8, zorder=0)
        values = _values(who, key)
        if not values.size:
            axes.text(
                0.01, y, "not measured", transform=axes.get_yaxis_transform(), color=PALE, fontsize=8, va="center"
            )
            continue
        spread = (np.arange(values.size) * GOLDEN % 1.0 - 0.5) * 0.44
        axes.plot(factor * values, y + spread, ".", color=color, markersize=6.0, alpha=0.5, markeredgewidth=0, zorder=2)
        _mean(axes, found[who.name], y, color, factor, best=is_best(result, key, who.name))
        if values.size < len(who.cells):
            note = f"{values.size} of {len(who.cells)}"
            axes.text(1.0, y + 0.3, note, transform=axes.get_yaxis_transform(), color=PALE, fontsize=8, ha="right")
    _scale(axes, factor * every)
    axes.set_ylim(-0.5, len(played) - 0.3)
    _numbers(axes, unit, found, factor)
    axes.set_yticks(range(len(played)), [_plain(who.name) for who in reversed(played)] if named else [])
    axes.tick_params(axis="y", length=0)
    axes.set_title(_plain(_title(one)), loc="left", fontsize=10, fontweight="bold", color=INK)


def _mean(axes: Axes, found: Mapping[str, Any], y: float, color: str, factor: float, *, best: bool) -> None:
    if found["low"] is not None:
        axes.plot(
            [factor * found["low"], factor * found["high"]],
            [y, y],
            color=INK,
            linewidth=2.0,
            solid_capstyle="butt",
            zorder=3,
        )
    look: dict[str, Any] = {"marker": "D", "markeredgecolor": INK, "markersize": 6.5, "markeredgewidth": 1.3}
    axes.plot([factor * found["mean"]], [y], markerfacecolor=color if best else "white", zorder=4, **look)


def _numbers(axes: Axes, unit: str, found: Mapping[str, Mapping[str, Any]], factor: float) -> None:
    """The mean in figures, above its diamond."""
    for row, one in enumerate(reversed(list(found.values()))):
        if not one["n"]:
            continue
        x = factor * one["mean"]
        at = float(axes.transAxes.inverted().transform(axes.transData.transform((x, 0.0)))[0])
        side = "left" if at < 0.12 else "right" if at > 0.88 else "center"
        axes.annotate(
            words.value(unit, one["mean"]),
            (x, row + 0.27),
            xytext=({"left": -4, "right": 4, "center": 0}[side], 0),
            textcoords="offset points",
            ha=side,
            fontsize=8,
            color=INK,
        )


def _scale(axes: Axes, every: FloatArray) -> None:
    low, high = float(every.min()), float(every.max())
    positive = every[every > 0.0]
    if low >= 0.0 and positive.size and high / float(positive.min()) > WIDE:
        if low > 0.0:
            axes.set_xscale("log")
        else:
            axes.set_xscale("symlog", linthresh=10.0 ** math.floor(math.log10(float(positive.min()))), linscale=0.5)
            axes.set_xlim(left=-0.3 * 10.0 ** math.floor(math.log10(float(positive.min()))))
        axes.xaxis.set_major_locator(LogLocator(numticks=6) if low > 0.0 else axes.xaxis.get_major_locator())
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        room = 0.06 * ((high - low) or max(abs(high), 1.0))
        begin = 0.0 if 0.0 <= low < 0.5 * high or low == high == 0.0 else low
        axes.set_xlim(begin - room, high + room)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}"))
    axes.tick_params(axis="x", labelsize=8.5)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def _words(figure: Figure, result: Mapping[str, Any], height: float, left_in: float) -> None:
    asked = result["replications"]
    left = min(left_in, 0.35) / WIDTH
    who = [one["name"] for one in result["contenders"]]
    head = f"{words.names(who)} compared"
    head = head if len(head) <= 90 else f"{len(who)} contenders compared"
    figure.text(left, 1.0 - 0.26 / height, _plain(head), fontsize=13, fontweight="bold", color=INK, va="center")
    detail = (
        f"{plural(asked['done'], 'replication')} each, seeds {asked['first_seed']} to {asked['last_seed']}, "
        f"the same for all, {result['plane']} plane. Less is better everywhere."
    )
    figure.text(left, 1.0 - 0.49 / height, detail, fontsize=9, color=PALE, va="center")
    look: dict[str, Any] = {"marker": "D", "markersize": 6.5, "markeredgecolor": INK, "markeredgewidth": 1.3}
    level = percent(result["level"])
    handles = [
        Line2D([], [], linestyle="none", marker=".", color=PALE, markersize=6, label="one replication"),
        Line2D([], [], color=INK, linewidth=2.0, markerfacecolor="white", label=f"mean, {level} interval", **look),
        Line2D(
            [], [], linestyle="none", markerfacecolor=PALE, label=f"best, told apart from all others at {level}", **look
        ),
    ]
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(left, 0.0), ncols=3, fontsize=9)


def _values(who: Played, key: str) -> FloatArray:
    return np.array([value for cell in who.cells if (value := cell.values.get(key)) is not None], dtype=np.float64)


def _title(one: Mapping[str, Any]) -> str:
    unit = {"share": "%", "latency": "ms", "s": "s", "pod-s": ""}[one["unit"]]
    noun = words.NOUNS[one["key"]]
    noun = "excess dropped requests" if len(noun) > 40 else noun
    return f"{noun} ({unit})" if unit else noun


def _plain(text: str) -> str:
    """Text that Matplotlib shows as it is."""
    return text.replace("$", r"\$")
