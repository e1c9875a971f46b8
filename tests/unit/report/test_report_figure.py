"""The timeline: what its curves hold, that names do not collide, that the same run gives the same bytes."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from synthetic_record import rolling_record, silent_record

from zdsim.record import Event, EventKind, RollbackStages
from zdsim.report.figure import NAME_SIZE, image, marks, save, timeline
from zdsim.report.series import MAX_SLICES, focus, pod_levels, slices

RECORD = rolling_record(n_windows=600, rate=50.0, bad=True)


def test_slices_keep_every_request() -> None:
    for at_most in (1, 7, 240, 600, 5000):
        sliced = slices(RECORD, at_most=at_most)
        assert sliced.dropped.shape[0] <= at_most
        assert sliced.dropped.sum() == RECORD.counts.counts[..., 1:].sum()
        widths = np.diff(sliced.edges_s)
        assert (sliced.routed_per_s * widths[:, None]).sum() == pytest.approx(RECORD.counts.routed[:, :-1].sum())
        assert all(a < b for a, b in pairwise(sliced.edges_s))


def test_ten_thousand_windows_are_put_together() -> None:
    sliced = slices(rolling_record(n_windows=10_000, rate=0.2, start_s=None, end_s=None, baseline=False))
    assert 100 < sliced.dropped.shape[0] <= MAX_SLICES


def test_each_pod_is_in_exactly_one_state() -> None:
    levels = pod_levels(RECORD.pods, 2, RECORD.duration_s)
    total = (levels.ready + levels.waiting + levels.terminating).sum(axis=0)
    for t, n in zip(levels.times_s[:-1], total[:-1], strict=True):
        alive = sum(pod.created_s <= t and (pod.gone_s is None or t < pod.gone_s) for pod in RECORD.pods)
        assert alive == n
    assert total[-1] > 0  # the picture does not fall to nothing at its edge


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        silent_record(),
        rolling_record(n_windows=1, rate=5.0, start_s=None, end_s=None),
        rolling_record(n_windows=200, rate=20.0, end_s=None, drop_share=0.0),
        replace(silent_record(), pods=(), events=()),
    ],
    ids=["rolled back", "silent", "one window", "no drops", "no pods"],
)
def test_any_run_can_be_drawn(record: object) -> None:
    figure = timeline(record)  # type: ignore[arg-type]
    assert len(figure.axes) == 5  # four panels and the strip of names
    assert image(figure, "png").startswith(b"\x89PNG")


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    for figure, name in ((timeline(RECORD), "a"), (timeline(RECORD), "b")):
        save(figure, tmp_path / f"{name}.svg")
        save(figure, tmp_path / f"{name}.png")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert ET.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")


def test_the_readers_matplotlib_settings_neither_matter_nor_change() -> None:
    before = image(timeline(RECORD), "png")
    with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "red", "text.color": "green"}):
        assert image(timeline(RECORD), "png") == before
        assert matplotlib.rcParams["font.size"] == 30.0


def test_names_of_events_do_not_cover_each_other() -> None:
    crowd = tuple(
        Event(100.0 + 23.0 * i, EventKind.FAULT, "fault/database_down", "Began" if i % 2 else "Ended", "")
        for i in range(22)
    )
    figure = timeline(replace(RECORD, events=(*RECORD.events, *crowd)))
    renderer = FigureCanvasAgg(figure).get_renderer()
    strip = figure.axes[0]
    boxes = [
        text.get_window_extent(renderer)
        for text in strip.texts
        if isinstance(text, Text) and text.get_fontsize() == NAME_SIZE and "without a name" not in text.get_text()
    ]
    assert len(boxes) > 15
    for i, a in enumerate(boxes):
        assert a.x1 <= figure.bbox.width
        for b in boxes[i + 1 :]:
            assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 + 2.0 or b.y1 <= a.y0 + 2.0


def test_marks_tell_the_story_in_order() -> None:
    found = [mark.text for mark in marks(RECORD)]
    assert found == ["template changed", "onset", "detected", "decided", "diverted", "restored", "rollout rolled back"]


def test_an_alert_that_goes_on_firing_is_named_once() -> None:
    firing = tuple(Event(130.0 + 15.0 * i, EventKind.ALERT, "alert/errors", "Firing", "") for i in range(9))
    found = marks(replace(RECORD, events=firing, rollback=RollbackStages()))
    assert [mark.text for mark in found] == ["errors: firing", "rollout rolled back"]


def test_a_short_rollout_in_a_long_run_is_looked_at_closely() -> None:
    """The busy part and as much again around it; the whole run where that is most of it anyway."""
    short = rolling_record(n_windows=3600, rate=1.0, start_s=1000.0, end_s=1100.0, baseline=False)
    begin_s, end_s = focus(short)
    assert 800.0 < begin_s < 1000.0
    assert 1100.0 < end_s < 1300.0
    assert "shown: 15 min" in " ".join(text.get_text() for text in timeline(short).texts)
    assert focus(RECORD) == (0.0, RECORD.duration_s)
    assert focus(silent_record()) == (0.0, 5.0)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(1, 300))
def test_any_part_of_a_run_can_be_sliced(a: float, b: float, at_most: int) -> None:
    begin_s, end_s = sorted((a * RECORD.duration_s, b * RECORD.duration_s))
    sliced = slices(RECORD, (begin_s, end_s), at_most=at_most)
    assert 1 <= sliced.dropped.shape[0] <= at_most
    assert sliced.edges_s[0] <= begin_s + 1e-6
    assert sliced.edges_s[-1] >= min(end_s, RECORD.duration_s) - 1e-6


def test_names_are_shown_as_they_are() -> None:
    """No mathematics, no label hidden for its underscore, no warning for letters that the font lacks."""
    record = replace(RECORD, name=r"$x^2$ \frac \u670d\u52a1" + "a" * 300, revisions=("_hidden", r"$\frac$"))
    figure = timeline(record)
    assert image(figure, "png").startswith(b"\x89PNG")
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert " _hidden ready" in labels
