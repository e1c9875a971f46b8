"""What does zdsim say when it cannot do what it was asked?

Everything zdsim raises for its users derives from `ZdsimError`. What is wrong with an input is told as `Problem`s, all
of them at once, each with a place, a stable code, what was found, what is allowed and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

MAX_SHOWN = 20  # problems printed; the rest is counted
_MAX_LINE = 160  # characters of a source line shown under a message

CODES: dict[str, str] = {
    # 10xx: a scenario, an override or a manifest that cannot be used
    "ZD1001": "a field that does not exist here (a misspelling, or the right field in the wrong place)",
    "ZD1002": "a field that must be given is missing",
    "ZD1003": "a value of the wrong type, for example a text where a whole number belongs",
    "ZD1004": "a word that is not one of the allowed ones",
    "ZD1005": "a number outside its allowed range",
    "ZD1006": "values that are fine one by one but do not fit together",
    "ZD1007": "a duration, percentage, rate or quantity that cannot be read",
    "ZD1008": "a template placeholder that nobody filled in (Helm, envsubst, kustomize)",
    "ZD1010": "a file that cannot be read",
    "ZD1011": "a file with nothing in it",
    "ZD1012": "a file that is not UTF-8 text",
    "ZD1013": "a file that is too large, too deep, or grows too much through aliases",
    "ZD1014": "text that is not YAML",
    "ZD1015": "the same key twice in one mapping",
    "ZD1016": "an alias without its anchor, or one that contains itself",
    "ZD1017": "YAML that zdsim does not take: a custom tag, a key that is no text",
    "ZD1018": "more than one document where one is expected",
    "ZD1019": "a file of another kind than expected",
    "ZD1020": "an override (-s path=value) that cannot be applied",
    "ZD1021": "a data file (CSV of rates, list of times or values) that cannot be used",
    "ZD1030": "a manifest without a Deployment",
    "ZD1031": "a manifest with several Deployments and no choice between them",
    "ZD1032": "a Rollout, AnalysisTemplate or Canary that its own controller would refuse",
    "ZD1033": "a condition of an analysis cannot be read",
    # 11xx: gates and thresholds
    "ZD1101": "a threshold that cannot be read",
    # 20xx: a manifest or scenario that can be used, with something its author should know
    "ZD2001": "an object of a kind that zdsim does not simulate: left out",
    "ZD2002": "a manifest field that Kubernetes does not know: left out",
    "ZD2003": "manifest fields that zdsim does not simulate: left out",
    "ZD2004": "a value that only the cluster knows (valueFrom, an undeclared named port): not used",
    "ZD2005": "a preStop hook that uses up the grace period",
    "ZD2006": "a probe that works against a smooth rollout, or none",
    "ZD2007": "the command line replaced a part of the scenario",
    "ZD2008": "which container serves, or which Service fronts it, had to be guessed",
    "ZD2009": "a faulty setting that runs, but not as its author may think",
    "ZD2010": "a metric, hook, plugin or field of a Rollout or Canary that cannot be played here",
    # 30xx, 40xx: while running
    "ZD3001": "offered load above capacity: queues grow without bound",
    "ZD3002": "a run that reached a limit of the simulator",
    "ZD4001": "the cache folder is not writable",
}
"""Every code in one line."""


class ExitCode(IntEnum):
    """What the process says to the shell."""

    OK = 0
    GATE_FAILED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    INTERNAL = 4
    INTERRUPTED = 130


class Severity(StrEnum):
    """How bad it is: an error stops, a warning should be read, a notice tells what was left out."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


class ZdsimError(Exception):
    """Anything zdsim tells its user instead of a traceback."""

    exit_code: ExitCode = ExitCode.USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, or worth knowing, and where.

    `line` and `column` count from 1; None when the whole file (or no file) is meant. `excerpt` is the source line and
    `width` how many characters of it the caret marks.
    """

    code: str
    message: str
    severity: Severity = Severity.ERROR
    file: str | None = None
    line: int | None = None
    column: int | None = None
    path: str = ""
    hint: str = ""
    excerpt: str | None = None
    width: int = 1

    @property
    def place(self) -> str:
        """`file:line:column`, as far as known."""
        parts = [self.file or ""]
        if self.line is not None:
            parts.append(str(self.line))
            if self.column is not None:
                parts.append(str(self.column))
        return clean(":".join(part for part in parts if part))

    @property
    def summary(self) -> str:
        """One line: place, severity, code, path, message."""
        head = f"{self.place}: " if self.place else ""
        path = f"{clean(self.path)}: " if self.path else ""
        return f"{head}{self.severity} {self.code}: {path}{clean(self.message)}"

    def __str__(self) -> str:
        """The summary, the source line with a caret, and the hint."""
        hint = clean(self.hint)
        if self.excerpt is None or self.line is None or self.column is None:
            return self.summary + (f"\n      {hint}" if hint else "")
        text, start, width = _clip(clean(self.excerpt), self.column - 1, self.width)
        number = f"{self.line:>5}"
        caret = " " * start + "^" * width
        return f"{self.summary}\n{number} | {text.rstrip()}\n{' ' * len(number)} | {caret}{'  ' + hint if hint else ''}"


class ScenarioError(ZdsimError):
    """A scenario, manifest or override that cannot be used; carries every problem found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        assert self.problems, "a ScenarioError needs at least one problem"
        super().__init__(render(self.problems))

    @property
    def summary(self) -> str:
        """The first problem in one line, and how many more there are."""
        more = len(self.problems) - 1
        return self.problems[0].summary + (f" (and {more} more)" if more else "")


def render(problems: Sequence[Problem], *, limit: int = MAX_SHOWN) -> str:
    """All problems as text: the first `limit` in full, the rest counted."""
    shown = [str(problem) for problem in problems[:limit]]
    left = len(problems) - len(shown)
    if left:
        shown.append(f"... and {left} more")
    return "\n".join(shown)


def clean(text: str) -> str:
    """`text` on one line, without anything that could move a terminal's cursor."""
    if text.isprintable():
        return text
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    if char in "\t\n\r\u00a0" or char.isspace():
        return " "
    return "\ufffd"


def _clip(text: str, start: int, width: int) -> tuple[str, int, int]:
    """A window of a long line that shows the marked part; and where that part is in it."""
    start = max(0, min(start, len(text)))
    width = max(1, min(width, len(text) - start))
    if len(text) <= _MAX_LINE:
        return text, start, width
    left = max(0, min(start - _MAX_LINE // 2, len(text) - _MAX_LINE))
    window = text[left : left + _MAX_LINE]
    if left:
        window = "…" + window[1:]
    if left + _MAX_LINE < len(text):
        window = window[:-1] + "…"
    return window, start - left, min(width, _MAX_LINE - (start - left))
