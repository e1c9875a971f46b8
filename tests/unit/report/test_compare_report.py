"""What is said about a comparison: advice that follows from the numbers, the table, Markdown, files, the figure."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from made_up_comparison import cells, comparison, played
from rich.console import Console

from zdsim.measure.comparison import compare
from zdsim.report import compare_files
from zdsim.report.compare import compare_text
from zdsim.report.compare_advice import Advice, Aim, Verdict, advice, advice_json, measure_of, title
from zdsim.report.compare_figure import png
from zdsim.report.compare_markdown import compare_markdown
from zdsim.report.compare_words import NOUNS, names, needed, times
from zdsim.report.files import OutputError


def noisy(middle: float, spread: float):  # type: ignore[no-untyped-def]
    return lambda k: middle + spread * ((k * 7) % 5 - 2)


def of(aim: Aim, **who: Any) -> Advice:
    return next(one for one in advice(comparison(**who)) if one.aim is aim)


def test_every_aim_has_advice_with_a_reason() -> None:
    found = advice(comparison(a=cells(), b=cells(dropped_share=0.02)))
    assert [one.aim for one in found] == list(Aim)
    assert all(one.sentence.startswith(title(one.aim)) and one.sentence.endswith(".") for one in found)
    assert all(one.reason.endswith(".") for one in found)
    assert {measure_of(aim) for aim in Aim} <= NOUNS.keys()


#: aim, measure, values by contender, verdict, choice.
TABLE = [
    (Aim.FEWEST_DROPS, "dropped_share", (0.01, 0.02), Verdict.CLEAR, ("a",)),
    (Aim.FEWEST_DROPS, "dropped_share", (0.01, 0.01), Verdict.EQUAL, ("a", "b")),
    (Aim.FEWEST_DROPS, "dropped_share", (noisy(0.01, 0.004), noisy(0.011, -0.004)), Verdict.UNDECIDED, ()),
    (Aim.SMALLEST_BLAST_RADIUS, "harmed_share", (0.3, 0.02), Verdict.CLEAR, ("b",)),
    (Aim.FASTEST_ROLLBACK, "rollback_s", (None, None), Verdict.NOT_MEASURED, ()),
    (Aim.FASTEST_ROLLBACK, "rollback_s", (5.0, None), Verdict.NOT_MEASURED, ()),
    (Aim.FASTEST_ROLLBACK, "rollback_s", (noisy(5.0, 1.0), noisy(80.0, 1.0)), Verdict.CLEAR, ("a",)),
    (Aim.NO_MIXED_VERSIONS, "mixed_version_s", (0.0, 30.0), Verdict.CLEAR, ("a",)),
    (Aim.NO_MIXED_VERSIONS, "mixed_version_s", (0.0, 0.0), Verdict.EQUAL, ("a", "b")),
    (Aim.LOWEST_COST, "extra_pod_seconds", (noisy(50, 9), noisy(-3, 9)), Verdict.CLEAR, ("b",)),
    (Aim.LOWEST_LATENCY, "p99_during_s", (0.2, 0.5), Verdict.CLEAR, ("a",)),
    (Aim.FASTEST_ROLLOUT, "rollout_s", (60.0, lambda k: 30.0 if k else None), Verdict.NOT_MEASURED, ()),
]


@pytest.mark.parametrize(("aim", "key", "values", "verdict", "choice"), TABLE)
def test_advice_follows_from_the_numbers(
    aim: Aim, key: str, values: tuple[Any, Any], verdict: Verdict, choice: tuple[str, ...]
) -> None:
    found = of(aim, a=cells(**{key: values[0]}), b=cells(**{key: values[1]}))
    assert (found.verdict, found.choice) == (verdict, choice)
    assert ("no clear winner" in found.sentence) == (verdict is Verdict.UNDECIDED)


def test_where_it_is_open_the_replications_that_would_tell_are_named() -> None:
    found = of(
        Aim.FASTEST_ROLLOUT,
        a=cells(rollout_s=noisy(60, 2)),
        b=cells(rollout_s=noisy(60.5, -2)),
        c=cells(rollout_s=200.0),
    )
    assert found.needed_replications is not None
    assert found.needed_replications > 10
    assert re.search(r"about [\d,]+ replications would tell \(-n \d+\)", found.reason)
    assert "between a and b" in found.sentence
    assert "at most" in found.reason


def test_a_choice_tells_its_price() -> None:
    who = {"a": cells(dropped_share=0.05, mixed_version_s=0.0), "b": cells(dropped_share=0.001)}
    found = of(Aim.NO_MIXED_VERSIONS, **who)
    assert found.choice == ("a",)
    assert found.price == "Its price: dropped requests 5 % (b: 0.1 %)."
    assert of(Aim.FEWEST_DROPS, **who).price.startswith("Its price: time with two versions serving 30 s (a: 0 s)")
    assert of(Aim.LOWEST_COST, **who).price == ""


def test_mixing_for_the_shortest_time_is_not_avoiding_it() -> None:
    found = of(Aim.NO_MIXED_VERSIONS, a=cells(mixed_version_s=5.0), b=cells(mixed_version_s=30.0))
    assert "none avoids them; a mixes them for the shortest time" in found.sentence
    assert "none avoids" in of(Aim.NO_MIXED_VERSIONS, a=cells(), b=cells()).sentence


def test_who_never_rolled_back_is_said_to_be_left_out() -> None:
    who = {"a": cells(rollback_s=5.0), "b": cells(rollback_s=80.0), "c": cells()}
    assert "Left out: c, without any rollback latency." in of(Aim.FASTEST_ROLLBACK, **who).reason
    who = {"a": cells(rollback_s=5.0), "b": cells(rollback_s=80.0), "c": cells(rollback_s=lambda k: k or None)}
    assert (
        "Left out: c, with a rollback latency in some of 10 replications only."
        in of(Aim.FASTEST_ROLLBACK, **who).reason
    )


def test_one_replication_gives_no_advice_but_to_play_more() -> None:
    found = advice(comparison(a=cells(1), b=cells(1, dropped_share=0.5)))
    assert not any(one.verdict is Verdict.CLEAR for one in found)
    assert "give at least 2 replications" in found[0].reason


def shown(result: dict[str, Any], *, width: int = 80, encoding: str = "utf-8", quiet: bool = False) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, width=width, force_terminal=False, color_system=None)
    return compare_text(console, result, advice(result), wall_s=3.2, files="here/", next_steps=("again",), quiet=quiet)


MANY = {
    "rolling": cells(dropped_share=noisy(0.01, 0.001), rollback_s=noisy(80, 9)),
    "rolling[red]": cells(dropped_share=noisy(0.012, 0.004)),
    "a-rather-long-name-of-a-contender": cells(dropped_share=0.0, harmed_share=0.0),
    "recreate": cells(dropped_share=0.2, mixed_version_s=0.0),
    "canary": cells(dropped_share=0.001),
}


@pytest.mark.parametrize("width", [50, 80, 200])
def test_the_table_fits_and_names_everybody(width: int) -> None:
    text = shown(comparison(**MANY), width=width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "rolling[red]" in text  # never read as markup
    for word in ("✓ 0 %", "Advice", "Differences", "here/", "again", "5 contenders, 10 replications each"):
        assert word in text
    slices = sum(line.startswith("mixed versions") for line in text.splitlines())
    assert (slices == 1) == (width >= 80)


def test_ascii_is_enough() -> None:
    text = shown(comparison(**MANY), encoding="ascii")
    assert text.isascii()
    assert "* 0 %" in text


def test_quiet_is_one_sentence() -> None:
    text = shown(comparison(**MANY), quiet=True, width=400)
    assert text.startswith("Fewest dropped requests: a-rather-long-name-of-a-contender.")
    assert len(text.splitlines()) == 1


def test_best_is_marked_only_where_it_is_certain() -> None:
    found = comparison(a=cells(rollout_s=noisy(60, 2)), b=cells(rollout_s=noisy(60.5, -2)))
    table = shown(found).split("Means over")[0]
    assert "✓" not in next(line for line in table.splitlines() if line.startswith("rollout"))


def test_markdown_holds_the_table_and_the_advice() -> None:
    found = comparison(**MANY)
    text = compare_markdown(found, advice(found), figure="compare.png")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table[:10]}) == 1
    assert "**0 %**<br>" in text
    assert "rolling\\[red\\]" in text
    assert "![Every replication, by measure](compare.png)" in text
    assert text.count("\n- ") >= len(Aim)


def test_files_are_written_whole_and_others_are_kept(tmp_path: Path) -> None:
    who = played(a=cells(), b=cells(dropped_share=0.02))
    result = compare(who, asked=10)
    advised = advice(result)
    result["advice"] = advice_json(advised)
    folder = tmp_path / "deep" / "out"
    compare_files.write_comparison(result, who, advised, folder)
    assert {path.name for path in folder.iterdir()} == set(compare_files.FILES)
    assert json.loads((folder / "compare.json").read_text(encoding="utf-8")) == result
    rows = list(csv.DictReader(io.StringIO((folder / "compare.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 20
    assert (rows[0]["contender"], rows[0]["rollback_s"], rows[-1]["dropped_share"]) == ("a", "", "0.02")
    (folder / "mine.txt").write_text("kept", encoding="utf-8")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    compare_files.write_comparison(result, who, advised, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept", encoding="utf-8")
    for folder in (tmp_path, tmp_path / "mine.txt", tmp_path / "mine.txt" / "below"):
        with pytest.raises(OutputError):
            compare_files.check_folder(folder)
    compare_files.check_folder(tmp_path / "new")
    assert compare_files.default_folder(["a b", "../c"]).parts[0] == "reports"
    assert ".." not in compare_files.default_folder(["../.."]).parts


@pytest.mark.parametrize(
    "who",
    [
        MANY,
        {"a": cells(1), "b": cells(1)},
        {"$x_$": cells(3, dropped_share=None, p99_during_s=None), "b": cells(3, dropped_share=lambda k: 10.0**-k / 2)},
    ],
)
def test_the_figure_can_always_be_drawn(who: dict[str, Any]) -> None:
    everyone = played(**who)
    result = compare(everyone, asked=len(everyone[0].cells))
    assert png(result, everyone) == png(result, everyone)


def test_words() -> None:
    assert needed(1234, 30) == "about 1,300 replications would tell (-n 1300)"
    assert needed(5, 30) == "about 31 replications would tell (-n 31)"
    assert names(["a", "b"]) == "a and b"
    assert times({"ratio": None, "ratio_low": None, "ratio_high": None}) == ""
    assert times({"ratio": 2.0, "ratio_low": 1.5, "ratio_high": 2.5}) == "2 times as many (1.5 to 2.5)"
