"""Which verbs are there, and what does each take?

Every option can also be given as `ZDSIM_<VERB>_<OPTION>`, so an option's variable is named after it; the command line
wins.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from zdsim import __version__

F = TypeVar("F", bound=Callable[..., Any])


class _Whole(click.IntRange):
    name = "whole number"


_SEED = _Whole(0, 2**63 - 1)
_PLANES = click.Choice(["auto", "kernel", "reference"])


class ReaderLeft(Exception):  # noqa: N818  (nothing went wrong)
    """Whoever read our output closed the pipe."""


class Verbs(click.Group):
    """A group that guesses what a misspelled verb meant."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = ""
            if Path(name).suffix in (".yaml", ".yml", ".json"):
                hint = f" Did you mean 'zdsim run {name}'?"
            elif close := difflib.get_close_matches(name, self.commands, n=1, cutoff=0.5):
                hint = f" Did you mean {close[0]!r}?"
            raise click.UsageError(f"No such verb {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


def emit(text: str) -> None:
    """Write to standard output."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderLeft from error
    except OSError as error:
        raise click.ClickException(f"standard output: {error.strerror or error}") from error


_quiet = click.option("-q", "--quiet", is_flag=True, help="Only the headline, no progress bar.")


def _playing(verb: F) -> F:
    """Options of every verb that plays a scenario."""
    for option in (
        click.option("--json", is_flag=True, help="Print the result as JSON, and nothing else."),
        click.option("--no-files", is_flag=True, help="Write no files."),
        click.option(
            "-o",
            "--output",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Folder for the files; default reports/NAME-SEED, or no files with --json.",
        ),
        click.option(
            "-s",
            "--set",
            multiple=True,
            metavar="PATH=VALUE",
            help="Change one value of the scenario; may be given more than once.",
        ),
        click.option(
            "--plane",
            type=_PLANES,
            default="auto",
            show_default=True,
            help="Who plays the requests; same answer, bit for bit.",
        ),
        _quiet,
        click.option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            default="auto",
            show_default=True,
            help="Colour the output; auto follows the terminal, NO_COLOR and FORCE_COLOR.",
        ),
        click.option("--seed", type=_SEED, metavar="N", help="Whose luck; default: the scenario's."),
    ):
        verb = option(verb)
    return verb


_TOP_EPILOG = """\b
Examples:
  zdsim demo
  zdsim run -f deployment.yaml --rate 500/s

\b
Exit codes:
  0 done   1 a check failed   2 wrong usage or input   3 inconclusive
  4 a bug in zdsim   130 interrupted
"""


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_TOP_EPILOG,
)
@click.version_option(__version__, prog_name="zdsim", message="%(prog)s %(version)s")
@click.pass_context
def app(ctx: click.Context) -> None:
    """What does this deployment do to the people who use the service while it happens?

    zdsim plays a rollout, request by request, and tells which requests were dropped, why, whom that hurt, and how
    long it took to undo.
    """
    if ctx.invoked_subcommand is None:
        emit(ctx.get_help() + "\n")


_RUN_EPILOG = """\b
Examples:
  zdsim run scenario.yaml --seed 7 -s service.deployment.replicas=20
  kubectl get deployment web -o yaml | zdsim run -f - --rate 500/s
"""


@app.command(epilog=_RUN_EPILOG)
@click.argument("scenario", required=False, metavar="[SCENARIO]")
@click.option(
    "-f",
    "--manifest",
    multiple=True,
    metavar="FILE",
    help="Kubernetes manifest of what is deployed; - is standard input. May be given more than once.",
)
@click.option("--rate", metavar="RATE", help="Open traffic, such as 500/s; makes a scenario file unnecessary.")
@click.option("--workload", metavar="NAME", help="Which Deployment, when the manifest has several.")
@_playing
def run(**given: Any) -> int:
    """Play a scenario once and tell what happened.

    SCENARIO is a file; a manifest (-f) and a rate (--rate) do without one. The files of the run (result.json,
    events.jsonl, windows.csv, manifest.json, timeline.png and .svg) are written to reports/NAME-SEED; with --json only
    if -o names a folder.
    """
    if given["scenario"] is None and not given["manifest"]:
        raise click.UsageError("Give a SCENARIO file, or a manifest with -f. 'zdsim demo' needs neither.")
    from zdsim.cli import play

    return play.run(overrides=given.pop("set"), as_json=given.pop("json"), **given)


_DEMO_EPILOG = """\b
Examples:
  zdsim demo
  zdsim demo --seed 8 --json
"""


@app.command(epilog=_DEMO_EPILOG, short_help="Play a built-in scenario; needs no file.")
@_playing
def demo(**given: Any) -> int:
    """Play a built-in scenario: a rolling update that drops requests. Needs no file."""
    from zdsim.cli import play

    return play.demo(overrides=given.pop("set"), as_json=given.pop("json"), **given)


_VERIFY_EPILOG = """\b
Examples:
  zdsim verify reports/demo-7
  zdsim verify reports/demo-7 --plane reference
"""


@app.command(epilog=_VERIFY_EPILOG, short_help="Repeat a saved run and compare.")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--plane", type=_PLANES, help="Who plays the requests; default: as in the saved run.")
@_quiet
def verify(**given: Any) -> int:
    """Repeat a saved run and compare: exit code 0 if it is the same to the last count, 1 if not."""
    from zdsim.cli import play

    return play.verify(**given)


_SCHEMA_EPILOG = """\b
Examples:
  zdsim schema | less
  zdsim schema --write zdsim.schema.json
"""


@app.command(epilog=_SCHEMA_EPILOG, short_help="Print the JSON Schema of scenario files.")
@click.option("--write", type=click.Path(path_type=Path), metavar="PATH", help="Write to a file instead.")
def schema(write: Path | None) -> int:
    """Print the JSON Schema (draft-07) of scenario files, for completion and checks in editors."""
    from zdsim.cli import play

    return play.schema(write)
