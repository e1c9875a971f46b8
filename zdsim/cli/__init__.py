"""How does zdsim answer a shell? Arguments in, exit code out.

Nothing heavy is imported here: `zdsim --help` costs what Python and click cost. The work is in `zdsim.cli.play`, which
a verb imports when it runs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

import click
from click.core import ParameterSource

import zdsim.cli.analyse
import zdsim.cli.compare  # noqa: F401  (a verb)
from zdsim.cli.app import ReaderLeft, app
from zdsim.errors import ExitCode, ZdsimError


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say; every way to end has its exit code, and only a bug leaves a crash file."""
    _prepare_streams()
    try:
        result = app.main(
            args=list(arguments),
            prog_name="zdsim",
            standalone_mode=False,
            auto_envvar_prefix="ZDSIM",
            max_content_width=100,
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else ExitCode.OK
    except click.ClickException as error:
        error.show()
        _tell_environment(error)
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return ExitCode.INTERRUPTED
    except ZdsimError as error:
        _say(_labelled(error))
        return error.exit_code
    except (ReaderLeft, BrokenPipeError):
        # Whoever read our output had enough (`zdsim run --json | head`): no fault of the run. What is still in the
        # buffer goes nowhere, or Python would complain about it when it exits.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else ExitCode.USAGE
    except Exception as error:
        return _crash(error, arguments)


def _tell_environment(error: click.ClickException) -> None:
    """A wrong value that nobody typed: say which variable it came from."""
    if not isinstance(error, click.BadParameter) or error.ctx is None or error.param is None or not error.param.name:
        return
    if error.ctx.get_parameter_source(error.param.name) is ParameterSource.ENVIRONMENT:
        variable = error.param.envvar or f"{error.ctx.auto_envvar_prefix}_{error.param.name.upper()}"
        _say(f"The value came from the environment variable {variable}.")


def _labelled(error: ZdsimError) -> str:
    """The message; a problem with a place already says that it is an error."""
    text = str(error)
    return text if "error ZD" in text or "warning ZD" in text else f"error: {text}"


def _crash(error: Exception, arguments: Sequence[str]) -> int:
    """A bug of zdsim: a short message and a file that tells the rest."""
    import tempfile
    import traceback

    from zdsim import __version__

    story = "".join(traceback.format_exception(error))
    told = f"zdsim {__version__}, Python {sys.version}\narguments: {list(arguments)!r}\n\n{story}"
    message = f"internal error: {type(error).__name__}: {error}\nThis is a bug in zdsim, not in your scenario."
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="zdsim-crash-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(told)
        _say(f"{message}\nPlease report it with the file {file.name}")
    except OSError:
        _say(f"{message}\nPlease report it with this:\n{told}")
    return ExitCode.INTERNAL


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # if nobody listens, the exit code still tells
        print(text, file=sys.stderr, flush=True)


def _prepare_streams() -> None:
    """Streams that are closed swallow; characters that a terminal's encoding lacks are spelled out, not fatal."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
