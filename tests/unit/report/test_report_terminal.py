"""The terminal summary: in a pipe, in ASCII, narrow, with hostile names, with nothing to tell."""

import io
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from synthetic_record import rolling_record, silent_record

from zdsim.measure.summary import summarise
from zdsim.report.terminal import ASCII, MAX_LINES, UNICODE, glyphs, run_text


def told(record: Any, *, encoding: str = "utf-8", width: int = 80, **more: Any) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, width=width, force_terminal=more.pop("terminal", False), legacy_windows=False)
    return run_text(console, record, summarise(record), **more)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("utf-8", UNICODE), ("ascii", ASCII), ("latin-1", ASCII), ("cp1252", ASCII), (None, ASCII), ("no-such", ASCII)],
)
def test_signs_follow_the_encoding(encoding: str | None, expected: object) -> None:
    assert glyphs(encoding) is expected


RECORDS = {
    "rolling": rolling_record(n_windows=300),
    "rolled back": rolling_record(n_windows=300, bad=True),
    "not finished": rolling_record(n_windows=200, end_s=None),
    "silent": silent_record(),
    "no drops": rolling_record(n_windows=200, drop_share=0.0),
    "no release": rolling_record(n_windows=100, start_s=None, end_s=None),
}


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("width", [40, 80, 200])
def test_an_ascii_terminal_of_any_width_can_show_it(name: str, width: int) -> None:
    text = told(RECORDS[name], encoding="ascii", width=width, files="reports/web-7", next_steps=("zdsim verify x",))
    assert text.isascii()
    assert all(len(line) <= width and line == line.rstrip() for line in text.split("\n"))


@pytest.mark.parametrize("name", RECORDS)
def test_no_colour_codes_in_a_pipe(name: str) -> None:
    assert "\x1b" not in told(RECORDS[name])
    assert "\x1b" in told(RECORDS[name], terminal=True)


def test_the_summary_tells_what_was_measured() -> None:
    record = RECORDS["rolled back"]
    summary = summarise(record)
    text = " ".join(told(record, files="reports/web-7/", next_steps=("zdsim verify reports/web-7",)).split())
    asked = summary["requests"]
    for part in (
        f"{asked['dropped']:,} of {asked['total']:,} requests dropped",
        "seed 7",
        "kernel plane (numba is installed)",
        "simulated in 0.42 s",
        f"refused {asked['by_reason']['refused']:,}",
        "A preStop sleep longer than 1.1 s removes them.",
        "users harmed",
        "peak weight",
        "Latency 96.5 s, from the first possible harm",
        "detected 3 min 4 s 61 s",
        "fewest available 8 of 10 pods",
        "before 49",
        "startup of a pod: 20 s",
        "warning ZD2006",
        "reports/web-7/",
        "zdsim verify reports/web-7",
    ):
        assert part in text, part


def test_missing_is_never_told_as_zero() -> None:
    text = told(RECORDS["silent"])
    assert "nothing can be said about drops" in text
    assert "0 %" not in text
    assert "before - - -" in " ".join(text.split())


def test_no_drops_is_told_with_its_limit() -> None:
    text = told(RECORDS["no drops"])
    assert "None of" in text
    assert "95 % sure: fewer than" in text


def test_drops_that_the_deployment_did_not_do_are_told_apart() -> None:
    record = RECORDS["rolling"]
    alike = replace(record, baseline=record.counts)
    assert "None of them because of the deployment" in told(alike)
    assert "because of the deployment" not in told(replace(record, baseline=None))


def test_injected_faults_are_not_blamed_on_the_deployment() -> None:
    """The baseline is without both, so both are named; without a release, only the faults are."""
    record = replace(
        RECORDS["rolling"], scenario={**RECORDS["rolling"].scenario, "faults": [{"kind": "database_down"}]}
    )
    record = replace(record, baseline=record.counts)
    assert "because of the deployment and the injected faults" in " ".join(told(record).split())
    alone = replace(record, rollout=replace(record.rollout, start_s=None, end_s=None, outcome="none"))
    assert "because of the injected faults" in " ".join(told(alone).split())
    assert "because of the deployment" not in " ".join(told(alone).split())


def test_commands_are_on_one_line_each() -> None:
    step = "try the remedy:  zdsim run some/deep/folder/scenario.yaml -s service.deployment.preStop.sleep.seconds=2"
    assert f"\n  {step}\n" in told(RECORDS["rolling"], width=60, next_steps=(step,))


def test_quiet_is_the_headline_alone() -> None:
    assert len(told(RECORDS["rolling"], quiet=True).strip().split("\n")) <= 3


def test_long_lists_are_cut_and_counted() -> None:
    text = told(replace(RECORDS["silent"], assumed=tuple(f"thing {i}" for i in range(MAX_LINES + 5))))
    assert f"thing {MAX_LINES - 1}\n" in text
    assert f"thing {MAX_LINES}\n" not in text
    assert "and 5 more" in text


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60), st.text(max_size=200))
def test_names_are_text_and_nothing_else(name: str, line: str) -> None:
    """Markup, emoji codes and control characters of a scenario do not reach the console's own language."""
    record = replace(RECORDS["silent"], name=f"[bold]{name}[/nope]", assumed=(f":warning: [red]{line}",))
    text = told(record, width=1000)
    assert "[bold]" in text
    assert ":warning: [red]" in text
