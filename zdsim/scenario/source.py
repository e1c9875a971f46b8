"""Where in which text was each value written?

A `Source` is a named text, a `Mark` a place in it, a `Node` a value that knows its place. Trees of nodes are never
changed, only copied with something else in them. Files are read here too: within a limit, and only if they are text.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zdsim.errors import Problem, ScenarioError, Severity

MAX_BYTES = 1 << 20  # of one YAML file
MAX_DATA_BYTES = 64 << 20  # of one data file (CSV, times)


@dataclass(frozen=True, slots=True)
class Source:
    """A named text; `name` is what messages call it."""

    name: str
    text: str
    lines: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Only the breaks that YAML itself knows, so that line numbers agree with the parser's.
        object.__setattr__(self, "lines", tuple(re.split(r"\r\n|[\n\r\x85\u2028\u2029]", self.text)))

    def problem(
        self,
        code: str,
        message: str,
        *,
        line: int | None = None,
        column: int | None = None,
        width: int = 1,
        hint: str = "",
        path: str = "",
        severity: Severity = Severity.ERROR,
    ) -> Problem:
        """A problem in this text; `line` and `column` count from 1."""
        excerpt = self.lines[line - 1] if line is not None and 0 < line <= len(self.lines) else None
        return Problem(
            code=code,
            message=message,
            severity=severity,
            file=self.name,
            line=line,
            column=column,
            path=path,
            hint=hint,
            excerpt=excerpt,
            width=width,
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a source: line and column from 1 (line 0: no place in it), and how many characters belong to it."""

    source: Source
    line: int
    column: int
    width: int = 1

    def problem(
        self, code: str, message: str, *, hint: str = "", path: str = "", severity: Severity = Severity.ERROR
    ) -> Problem:
        """A problem at this place."""
        return self.source.problem(
            code,
            message,
            line=self.line or None,
            column=self.column if self.line else None,
            width=self.width,
            hint=hint,
            path=path,
            severity=severity,
        )


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a YAML document and where it stands.

    `value` is a scalar, a dict of entries, a list of nodes, or a tuple of plain data read from another file. `label`
    is how messages call it when its place in the scenario is not where its author wrote it (a manifest's
    `spec.replicas`). `size` counts all nodes under it.
    """

    mark: Mark
    value: Any
    size: int = 1
    label: str = ""

    @property
    def entries(self) -> dict[str, Entry] | None:
        """The entries of a mapping, or None."""
        return self.value if isinstance(self.value, dict) else None

    @property
    def items(self) -> list[Node] | None:
        """The items of a list, or None."""
        return self.value if isinstance(self.value, list) else None

    def get(self, key: str) -> Node | None:
        """The value under `key`; None if there is none, or this is no mapping."""
        entry = self.value.get(key) if isinstance(self.value, dict) else None
        return entry.node if entry is not None else None

    def find(self, *keys: str) -> Node | None:
        """The value under a path of keys, or None."""
        node: Node | None = self
        for key in keys:
            node = node.get(key) if node is not None else None
        return node

    def labelled(self, label: str) -> Node:
        """The same node under another name."""
        return replace(self, label=label)

    def plain(self) -> Any:
        """The value as plain Python data; recursion is bounded by MAX_DEPTH."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return list(self.value) if isinstance(self.value, tuple) else self.value


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping, where the key stands, and its value."""

    key: Mark
    node: Node


def mapping(mark: Mark, entries: dict[str, Node] | None = None) -> Node:
    """A mapping made by zdsim, not found in a text; its keys point at their values."""
    made = {key: Entry(node.mark, node) for key, node in (entries or {}).items()}
    return Node(mark, made, 1 + sum(entry.node.size for entry in made.values()))


def sequence(mark: Mark, items: Sequence[Node]) -> Node:
    """A list made by zdsim."""
    return Node(mark, list(items), 1 + sum(item.size for item in items))


def with_entry(tree: Node, path: Sequence[str], node: Node) -> Node:
    """A copy of `tree` with `node` at `path`; what stands in the way or is missing becomes a mapping."""
    if not path:
        return node
    entries: dict[str, Entry] = dict(tree.entries or {})
    before = entries.get(path[0])
    child = with_entry(before.node if before is not None else mapping(node.mark), path[1:], node)
    entries[path[0]] = Entry(before.key if before is not None else node.mark, child)
    return Node(tree.mark, entries, 1 + sum(entry.node.size for entry in entries.values()), tree.label)


def without(tree: Node, path: Sequence[str]) -> Node:
    """A copy of `tree` without the entry at `path`, if it is there."""
    entries = tree.entries
    if entries is None or path[0] not in entries:
        return tree
    if len(path) == 1:
        kept = {key: entry for key, entry in entries.items() if key != path[0]}
    else:
        before = entries[path[0]]
        kept = {**entries, path[0]: Entry(before.key, without(before.node, path[1:]))}
    return Node(tree.mark, kept, 1 + sum(entry.node.size for entry in kept.values()), tree.label)


# --- files -----------------------------------------------------------------------------------------------------------


def read_source(path: str | os.PathLike[str], *, what: str = "file", limit: int = MAX_BYTES) -> Source:
    """The text of a file (`-` is standard input).

    Raises:
        ScenarioError: it cannot be read, is larger than `limit` bytes, or is not UTF-8 text.
    """
    name = os.fspath(path)
    if name == "-":
        stream = getattr(sys.stdin, "buffer", None)
        if stream is None:
            raise ScenarioError([_cannot_read("<stdin>", "standard input is closed", "")])
        return decode("<stdin>", stream.read(limit + 1), limit=limit)
    try:
        with open(name, "rb") as stream:
            data = stream.read(limit + 1)
    except FileNotFoundError:
        raise ScenarioError([_cannot_read(name, f"{what} not found", _nearby(name))]) from None
    except IsADirectoryError:
        raise ScenarioError([_cannot_read(name, "is a folder, not a file", _in_folder(name))]) from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise ScenarioError([_cannot_read(name, f"cannot read {what}: {reason}", "")]) from None
    return decode(name, data, limit=limit)


def decode(name: str, data: bytes | str, *, limit: int = MAX_BYTES) -> Source:
    """Bytes as a `Source`; raises ScenarioError when they are too many or no text."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if len(data) > limit:
        size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit} bytes"
        raise ScenarioError([_cannot_read(name, f"larger than {size}", "is it the right file?", code="ZD1013")])
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        hint = "save it as UTF-8 (PowerShell: Out-File -Encoding utf8)"
        raise ScenarioError([_cannot_read(name, "is UTF-16 text, but UTF-8 is needed", hint, code="ZD1012")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        message = f"not UTF-8 text: byte 0x{data[problem.start]:02x} at offset {problem.start}"
        found = Problem(code="ZD1012", message=message, file=name, line=line, hint="is it the right file?")
        raise ScenarioError([found]) from None
    source = Source(name, text)
    bad = _NOT_TEXT.search(text)
    if bad is not None:
        line, column = place(text, bad.start())
        message = f"control character U+{ord(bad[0]):04X}; is this a binary file?"
        raise ScenarioError([source.problem("ZD1012", message, line=line, column=column)])
    return source


_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")


def place(text: str, offset: int) -> tuple[int, int]:
    before = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text[:offset])
    return len(before), len(before[-1]) + 1


def _cannot_read(name: str, message: str, hint: str, code: str = "ZD1010") -> Problem:
    return Problem(code=code, message=message, file=name or "(no name)", hint=hint)


def _nearby(name: str) -> str:
    path = Path(name)
    try:
        others = [item.name for item in sorted(path.parent.iterdir())[:500]]
    except (OSError, ValueError):
        return f"the folder {str(path.parent)!r} does not exist either"
    close = difflib.get_close_matches(path.name, others, n=1, cutoff=0.6)
    return f"did you mean {str(path.parent / close[0])!r}?" if close else ""


def _in_folder(name: str) -> str:
    try:
        found = [item.name for item in sorted(Path(name).iterdir())[:500] if item.suffix in (".yaml", ".yml")]
    except OSError:
        return ""
    return f"name one of its files: {', '.join(found[:3])}{', …' if len(found) > 3 else ''}" if found else ""
