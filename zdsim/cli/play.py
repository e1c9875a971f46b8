"""What does each verb do, once its arguments are read?

Standard output carries the result and nothing else; progress and notices go to standard error.
"""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from zdsim.cli.app import emit
from zdsim.errors import ExitCode, Severity

if TYPE_CHECKING:
    from zdsim.api import Run
    from zdsim.scenario.load import Loaded


def run(
    *,
    scenario: str | None,
    manifest: tuple[str, ...],
    rate: str | None,
    workload: str | None,
    overrides: Sequence[str],
    **given: Any,
) -> int:
    from zdsim.scenario.load import load_scenario

    loaded = load_scenario(scenario, manifest=manifest or None, overrides=overrides, rate=rate, workload=workload)
    words = ["zdsim", "run", *([scenario] if scenario else [])]
    for option, value in (*(("-f", one) for one in manifest), ("--rate", rate), ("--workload", workload)):
        words += [option, value] if value else []
    return _play(loaded, command=_command(words, overrides), **given)


def demo(*, overrides: Sequence[str], **given: Any) -> int:
    _compile_in_background()
    return _play(_demo(overrides), command=_command(["zdsim", "demo"], overrides), **given)


def _compile_in_background() -> None:
    """Have the kernel compiled by the time of the next run, in a process that nobody waits for."""
    if util.find_spec("numba") is None:
        return
    from zdsim.kernel import is_compiled

    if not is_compiled():
        code = "import zdsim.kernel; zdsim.kernel.warm()"
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def verify(*, folder: Path, plane: str | None, quiet: bool) -> int:
    from zdsim import api
    from zdsim.report.units import seconds

    with progress_bar(f"verify {folder}", quiet=quiet) as progress:
        found = api.verify(folder, plane=plane, progress=progress)
    record = found.run.record
    if found.same:
        emit(f"{folder}: the same run again (digest {record.digest}, {record.plane} plane, {seconds(record.wall_s)})\n")
        return ExitCode.OK
    lines = [f"{folder}: not the same run", *(f"  {line}" for line in found.changed)]
    now, then = record.versions, found.versions_then
    lines += [
        f"  {name} is {now.get(name, 'absent')} now, was {then.get(name, 'absent')}"
        for name in sorted({*now, *then})
        if now.get(name) != then.get(name)
    ]
    if now == then:
        lines.append("  versions are the same as then: was a file in the folder edited?")
    emit("\n".join(lines) + "\n")
    return ExitCode.GATE_FAILED


def schema(write: Path | None) -> int:
    from zdsim.scenario.schema import scenario_schema

    text = json.dumps(scenario_schema(), indent=2, ensure_ascii=False) + "\n"
    if write is None:
        emit(text)
    else:
        from zdsim.report.files import write_text

        write_text(write, text)
    return ExitCode.OK


def _command(words: Sequence[str], overrides: Sequence[str]) -> str:
    """The command line that asked for this, to be copied and changed."""
    return shlex.join([*words, *(word for one in overrides for word in ("-s", one))])


def _demo(overrides: Sequence[str]) -> Loaded:
    from zdsim.scenario.assumed import assumed_lines
    from zdsim.scenario.demo import demo_scenario
    from zdsim.scenario.load import Loaded, load_scenario

    scenario = demo_scenario()
    if not overrides:
        return Loaded(scenario, assumed=tuple(assumed_lines(scenario)))
    # Overrides belong to files, with places for their messages: the demo becomes one.
    with tempfile.TemporaryDirectory(prefix="zdsim-demo-") as folder:
        path = Path(folder) / "demo.yaml"
        path.write_text(json.dumps(scenario.model_dump(mode="json", exclude_unset=True), indent=1), encoding="utf-8")
        return load_scenario(path, overrides=overrides)


def _play(
    loaded: Loaded,
    *,
    command: str,
    seed: int | None,
    plane: str,
    output: Path | None,
    no_files: bool,
    as_json: bool,
    quiet: bool,
    color: str,
) -> int:
    from zdsim import api
    from zdsim.report import files

    if no_files and output is not None:
        raise click.UsageError("--no-files and -o exclude each other.")
    scenario = loaded.scenario
    used_seed = scenario.run.seed if seed is None else seed
    folder = output
    if folder is None and not no_files and not as_json:
        folder = files.default_folder(scenario.name, used_seed)
    if folder is not None:
        files.check_folder(folder)
    if as_json and not quiet:
        for notice in loaded.notices:
            print(notice, file=sys.stderr)
    elif quiet:
        for notice in loaded.notices:
            if notice.severity is Severity.WARNING:
                print(notice, file=sys.stderr)
    with progress_bar(scenario.name, quiet=quiet, color=color) as progress:
        result = api.simulate(loaded, seed, plane=plane, progress=progress)
        if folder is not None:
            result.save(folder)
    if as_json:
        emit(files.json_text(result.summary()))
    else:
        _tell(result, folder, command, quiet, color)
    return ExitCode.OK


def _tell(result: Run, folder: Path | None, command: str, quiet: bool, color: str) -> None:
    from zdsim.report.files import FILES
    from zdsim.report.terminal import run_text

    written = None if folder is None else f"{folder}/: {', '.join(FILES)}"
    steps = _next_steps(result, folder, command)
    emit(run_text(console(color), result.record, result.summary(), files=written, next_steps=steps, quiet=quiet))


def _next_steps(result: Run, folder: Path | None, command: str) -> list[str]:
    """Commands worth a try, the remedy for the most frequent cause first."""
    steps = []
    change = _to_the_end(result)
    if change is not None:
        steps.append(f"see the end:     {command} -s {change}")
    sleep = _pre_stop_sleep(result)
    if sleep is not None:
        steps.append(f"try the remedy:  {command} -s service.deployment.preStop.sleep.seconds={sleep}")
    if command.startswith("zdsim demo"):
        steps.append("your service:    zdsim run -f deployment.yaml --rate 500/s")
    else:
        steps.append(f"other luck:      {command} --seed {result.record.seed + 1}")
    if folder is not None:
        steps.append(f"the same again:  zdsim verify {folder}")
    return steps


def _to_the_end(result: Run) -> str | None:
    """What to change to see the rollout's end, where the run was over before it: a promotion, or more time."""
    from zdsim.report.steps import last_pause
    from zdsim.scenario.quantities import format_duration

    record = result.record
    if record.rollout.outcome not in ("progressing", "rolling back"):
        return None
    pause = last_pause(record)
    if pause is not None and any("it will wait for ever" in line for line in record.notices):
        wait_s = min(60.0, 0.5 * (record.duration_s - pause.time_s))
        return f"release.promote_at={format_duration(math.ceil(pause.time_s + wait_s))}"
    return f"run.duration={format_duration(2.0 * record.duration_s)}"


def _pre_stop_sleep(result: Run) -> int | None:
    """A preStop sleep (s) that outlasts every lag of a router that lost a request, where that is the main cause."""
    from zdsim.plane.vocabulary import Cause
    from zdsim.report.causes import explain

    record = result.record
    whys = explain(record.counts)
    if not whys or whys[0].cause not in (Cause.DRAINING, Cause.EXITED_AT_SIGTERM):
        return None
    late_s = float(record.counts.stale_max[whys[0].cause])
    deployment: Any = record.scenario.get("service", {}).get("deployment") or {}
    hook, grace_s = deployment.get("preStop"), deployment.get("terminationGracePeriodSeconds", 30)
    if late_s <= 0.0 or (hook is not None and not hook.get("sleep")):
        return None
    sleep = int(late_s) + 1
    return sleep if isinstance(grace_s, int) and sleep < grace_s else None


def console(color: str) -> Console:
    """Standard output as `--color` wants it."""
    match color:
        case "always":
            return Console(
                file=sys.stdout, force_terminal=True, no_color=False, color_system="standard", highlight=False
            )
        case "never":
            return Console(file=sys.stdout, force_terminal=False, no_color=True, color_system=None, highlight=False)
        case _:
            return Console(file=sys.stdout, highlight=False)


@contextmanager
def progress_bar(what: str, *, quiet: bool, color: str = "auto") -> Iterator[Callable[[float], None] | None]:
    """A bar on standard error if somebody watches it; nothing in a pipe."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    shown_on = Console(file=sys.stderr, no_color=True if color == "never" else None)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown_on, transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        shown = 0.0

        def advance(share: float) -> None:
            nonlocal shown
            if share - shown >= 0.005:  # the bar is for people: 200 steps are plenty
                shown = share
                bar.update(task, completed=min(share, 1.0))

        yield advance
