"""Which of these does better? The verb `compare`: arguments in, exit code out; nothing heavy until it runs."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zdsim.cli.app import app, emit
from zdsim.errors import ExitCode

if TYPE_CHECKING:
    from zdsim.experiment.compare import Compared
    from zdsim.report.compare_advice import Advice

_EPILOG = """\b
Examples:
  zdsim compare scenarios/rolling.yaml scenarios/recreate.yaml
  zdsim compare scenarios/rolling.yaml --strategy rolling,recreate,blue-green,canary -n 50
  zdsim compare scenarios/rolling.yaml --variant pause:service.deployment.preStop.sleep.seconds=5
"""
_TEXT_ENDINGS = (".md", ".markdown", ".txt")


@app.command(epilog=_EPILOG, short_help="Play several scenarios under the same seeds and tell which does better.")
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...")
@click.option(
    "-n", "--replications", type=click.IntRange(1, 100_000), default=30, show_default=True, help="Seeds for each."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), metavar="N", help="Of the first replication; default: the scenario's."
)
@click.option("--strategy", metavar="A,B", help="Play each scenario with these: rolling, recreate, blue-green, canary.")
@click.option(
    "--variant",
    multiple=True,
    metavar="NAME:PATH=VALUE[,...]",
    help="Play each scenario with values changed, too; may be given more than once.",
)
@click.option("-s", "--set", multiple=True, metavar="PATH=VALUE", help="Change one value in all of them.")
@click.option("--baseline", is_flag=True, help="Also play each service left alone: what did the deployment do?")
@click.option("-j", "--jobs", type=click.IntRange(1, 1024), metavar="N", help="Processes; default: one a core.")
@click.option("--plane", type=click.Choice(["auto", "kernel", "reference"]), default="auto", show_default=True)
@click.option("--json", is_flag=True, help="Print the result as JSON, and nothing else.")
@click.option(
    "--markdown",
    is_flag=False,
    flag_value="-",
    metavar="[PATH]",
    help="Print Markdown instead, or write it to a file (.md).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the files; default reports/compare-NAMES, or none with --json or --markdown.",
)
@click.option("--no-files", is_flag=True, help="Write no files.")
@click.option("-q", "--quiet", is_flag=True, help="Only the headline, no progress bar.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colour the output; auto follows the terminal, NO_COLOR and FORCE_COLOR.",
)
def compare(**given: Any) -> int:
    """Play several scenarios, or strategies or variants of one, under the same seeds, and tell which does better.

    Replication k of every one has seed N + k: they meet the same users at the same times. Differences are paired by
    seed, with intervals; where one is not yet distinguishable, the replications that would tell are named. Files:
    compare.json, .csv, .md, .png and .svg.
    """
    return _compare(overrides=given.pop("set"), as_json=given.pop("json"), **given)


def _compare(
    *,
    scenarios: Sequence[str],
    replications: int,
    seed: int | None,
    strategy: str | None,
    variant: Sequence[str],
    overrides: Sequence[str],
    baseline: bool,
    jobs: int | None,
    plane: str,
    as_json: bool,
    markdown: str | None,
    output: Path | None,
    no_files: bool,
    quiet: bool,
    color: str,
) -> int:
    _check(as_json=as_json, markdown=markdown, output=output, no_files=no_files)
    from zdsim.experiment import contenders

    variants = [
        *(contenders.strategies(strategy) if strategy is not None else ()),
        *(contenders.variant(text) for text in variant),
    ]
    found = contenders.load_all(scenarios, variants=variants, with_original=strategy is None, overrides=overrides)
    from zdsim.experiment.compare import compare as play
    from zdsim.report import compare_files, files
    from zdsim.report.compare_advice import advice, advice_json
    from zdsim.report.compare_markdown import compare_markdown

    folder = output
    if folder is None and not no_files and not as_json and markdown != "-":
        folder = compare_files.default_folder([one.name for one in found])
    if folder is not None:
        compare_files.check_folder(folder)
    if not quiet:
        for notice in dict.fromkeys(str(notice) for one in found for notice in one.loaded.notices):
            print(notice, file=sys.stderr)
    from zdsim.cli.play import progress_bar

    began = time.perf_counter()
    with progress_bar(f"compare {len(found)}", quiet=quiet, color=color) as progress:
        compared = play(
            found,
            replications=replications,
            seed=seed,
            plane=plane,
            baseline=baseline,
            workers=jobs,
            progress=progress,
        )
    wall_s = time.perf_counter() - began
    advised = advice(compared.result)
    result = {**compared.result, "advice": advice_json(advised)}
    if folder is not None:
        compare_files.write_comparison(result, compared.played, advised, folder)
    if markdown is not None and markdown != "-":
        files.write_text(Path(markdown), compare_markdown(result, advised))
    if as_json:
        emit(files.json_text(result))
    elif markdown == "-":
        emit(compare_markdown(result, advised))
    else:
        words = ["zdsim", "compare", *scenarios]
        words += ["--strategy", strategy] if strategy is not None else []
        words += [word for text in variant for word in ("--variant", text)]
        words += [word for text in overrides for word in ("-s", text)]
        steps = _next_steps(compared, advised, shlex.join(words))
        _tell(result, advised, wall_s, folder, steps, quiet, color)
    if compared.interrupted:
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def _check(*, as_json: bool, markdown: str | None, output: Path | None, no_files: bool) -> None:
    """Wrong usage, before anything is loaded."""
    if no_files and output is not None:
        raise click.UsageError("--no-files and -o exclude each other.")
    if markdown is None or markdown == "-":
        if as_json and markdown == "-":
            raise click.UsageError("--json and --markdown both print: give --markdown a PATH, or one of them only.")
        return
    if Path(markdown).suffix.lower() not in _TEXT_ENDINGS:
        raise click.UsageError(
            f"--markdown {markdown}: the file for the text must end in .md. To print it, put --markdown last."
        )


def _next_steps(compared: Compared, advised: Sequence[Advice], command: str) -> list[str]:
    """Commands worth a try: enough replications to tell what is open, and one contender looked at closely."""
    steps = []
    done = compared.result["replications"]["done"]
    needed = [one.needed_replications for one in advised if one.needed_replications is not None]
    if needed and min(needed) <= 20 * done:
        steps.append(f"tell more:     {command} -n {max(min(needed), done + 1)}")
    worst = max(compared.played, key=lambda who: sum(cell.dropped for cell in who.cells))
    if sum(cell.dropped for cell in worst.cells):
        cell = max(worst.cells, key=lambda one: one.dropped)
        changes = [word for text in worst.overrides for word in ("-s", text)]
        again = shlex.join(["zdsim", "run", worst.source, *changes, "--seed", str(cell.seed)])
        steps.append(f"see the worst: {again}")
    return steps


def _tell(
    result: dict[str, Any],
    advised: Sequence[Advice],
    wall_s: float,
    folder: Path | None,
    steps: Sequence[str],
    quiet: bool,
    color: str,
) -> None:
    from zdsim.cli.play import console
    from zdsim.report.compare import compare_text
    from zdsim.report.compare_files import FILES

    written = None if folder is None else f"{folder}/: {', '.join(FILES)}"
    emit(compare_text(console(color), result, advised, wall_s=wall_s, files=written, next_steps=steps, quiet=quiet))
