"""Where in which text was each value written?

Reads YAML 1.2 into a tree of `Node`s that know their place, within limits, and reports what is wrong as `Problem`s.
It is built from ruamel's parser events rather than its constructor: events come one at a time, so depth and size are
checked before anything grows and nothing recurses. A Helm placeholder in a line (`replicas: {{ .Values.n }}`, to YAML a
mapping with a mapping as its key) is kept as the text its author meant: its characters are moved to a private range of
Unicode, where they mean nothing to the parser, and back.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from zdsim.errors import Problem, ScenarioError, Severity
from zdsim.scenario.quantities import show

MAX_BYTES = 1 << 20  # of one YAML file
MAX_DATA_BYTES = 64 << 20  # of one data file (CSV, times)
MAX_DEPTH = 50
MAX_NODES = 200_000  # counted with every alias written out
MAX_ALIASES = 1_000

Scalar = str | int | float | bool | None


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
        line, column = _place(text, bad.start())
        message = f"control character U+{ord(bad[0]):04X}; is this a binary file?"
        raise ScenarioError([source.problem("ZD1012", message, line=line, column=column)])
    return source


_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")


def _place(text: str, offset: int) -> tuple[int, int]:
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


# --- YAML ------------------------------------------------------------------------------------------------------------


def parse_documents(source: Source) -> tuple[list[Node], list[Problem]]:
    """Every document of a text that is not empty, and everything wrong with the text as YAML.

    With a problem the documents are what could be understood; the caller decides whether to go on.
    """
    builder = _Builder(source)
    whole_line = _HELM_LINE.search(source.text)
    if whole_line is not None:
        line, column = _place(source.text, whole_line.start("helm"))
        return [], [_helm_problem(source, line, column)]
    try:
        for event in YAML(typ="safe", pure=True).parse(_HELM.sub(_hidden, source.text)):
            if not builder.take(event):
                break
    except YAMLError as problem:
        builder.problems.append(_syntax_problem(source, problem))
    except (RecursionError, ValueError, IndexError, AttributeError, AssertionError, TypeError, KeyError) as problem:
        # The parser's own slips on hostile text (a %YAML directive with letters, for one).
        message = f"not YAML: {type(problem).__name__} in the parser: {problem}"
        builder.problems.append(source.problem("ZD1014", message, line=1, column=1))
    return builder.documents, builder.problems


_HELM = re.compile(r"\{\{[^\n\r]*?\}\}")
_HELM_LINE = re.compile(
    r"^[ \t]*(?P<helm>\{\{[^\n\r]*\}\})[ \t]*\r?$", re.MULTILINE
)  # control flow, or YAML yet to come
_HIDE = {char: 0xE000 + char for char in range(0x20, 0x7F)}
_SHOW = {hidden: char for char, hidden in _HIDE.items()}


def _hidden(placeholder: re.Match[str]) -> str:
    return placeholder[0].translate(_HIDE)


def _helm_problem(source: Source, line: int, column: int) -> Problem:
    hint = "render it first: helm template CHART | zdsim run -f - --rate 200/s"
    return source.problem("ZD1008", "this is a Helm template, not YAML yet", line=line, column=column, hint=hint)


_HINTS = {
    "cannot start any token": "YAML indents with spaces, never with tabs; quote a text that begins with ` @ or %",
    "mapping values are not allowed here": "quote the text if it contains ': ', or check the indentation",
    "expected <block end>": "check the indentation of this line against the lines above",
    "could not find expected ':'": "a key needs ': ' after it, with a space",
    "found unexpected end of stream": "a quote is opened and never closed",
    "expected the node content": "something is missing here, or a bracket is never closed",
    "expected ',' or": "a bracket [ or brace { above is never closed",
    "undefined alias": "define it first with &name",
}


def _syntax_problem(source: Source, problem: YAMLError) -> Problem:
    mark = getattr(problem, "problem_mark", None) or getattr(problem, "context_mark", None)
    text = str(getattr(problem, "problem", None) or problem).splitlines()[0].translate(_SHOW)
    context = getattr(problem, "context", None)
    message = f"not YAML: {text}" + (f" {context}" if context and context not in text else "")
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    helm = next((i for i, found in enumerate(source.lines, 1) if "{{" in found), None)
    if helm is not None:
        return _helm_problem(source, helm, source.lines[helm - 1].index("{{") + 1)
    hint = next((said for part, said in _HINTS.items() if part in message), "")
    return source.problem("ZD1014", message, line=line, column=column, hint=hint)


@dataclass(slots=True)
class _Frame:
    """A collection being read."""

    mark: Mark
    anchor: str | None
    is_map: bool
    entries: dict[str, Entry] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    merges: list[Node] = field(default_factory=list)
    key: tuple[str, Mark] | None = None  # a key waiting for its value
    skip_value: bool = False
    size: int = 1


class _Builder:
    """Events in, nodes out; stops taking events when a limit is passed."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.helm = "{{" in source.text
        self.documents: list[Node] = []
        self.problems: list[Problem] = []
        self.stack: list[_Frame] = []
        self.anchors: dict[str, Node] = {}
        self.open_anchors: list[str] = []
        self.nodes = 0
        self.aliases = 0

    def take(self, event: Any) -> bool:
        """Go on? False after a limit."""
        match event:
            case DocumentStartEvent():
                self.anchors = {}
            case ScalarEvent():
                self.nodes += 1
                self._add(self._scalar(event), event)
            case AliasEvent():
                return self._alias(event) and self._within(event)
            case MappingStartEvent() | SequenceStartEvent():
                self.nodes += 1
                return self._open(event) and self._within(event)
            case MappingEndEvent() | SequenceEndEvent():
                self._close(event)
            case DocumentEndEvent():
                self.stack.clear()
            case _:
                pass
        return self._within(event)

    def _within(self, event: Any) -> bool:
        if self.nodes <= MAX_NODES:
            return True
        message = f"more than {MAX_NODES} values, aliases written out"
        self.problems.append(self._mark(event).problem("ZD1013", message, hint="is it the right file?"))
        return False

    def _mark(self, event: Any) -> Mark:
        start, end = event.start_mark, event.end_mark
        width = end.column - start.column if end.line == start.line else 0
        if width <= 0:
            line = self.source.lines[start.line] if start.line < len(self.source.lines) else ""
            width = len(line.rstrip()) - start.column if end.line > start.line else 1
        return Mark(self.source, start.line + 1, start.column + 1, max(1, width))

    def _scalar(self, event: Any) -> Node:
        mark, text = self._mark(event), event.value.translate(_SHOW) if self.helm else event.value
        tag = event.tag and str(event.tag)
        if tag in (None, "!"):
            return Node(mark, _resolve(text) if event.implicit[0] and event.style is None else text)
        name = str(tag).removeprefix("tag:yaml.org,2002:").removeprefix("!!")
        if name == "str":
            return Node(mark, text)
        value = _resolve(text)
        fits = {
            "int": isinstance(value, int) and not isinstance(value, bool),
            "float": isinstance(value, int | float) and not isinstance(value, bool),
            "bool": isinstance(value, bool),
            "null": value is None,
        }
        if name not in fits:
            hint = "write the plain value"
            self.problems.append(mark.problem("ZD1017", f"the YAML tag {show(str(tag))} is not supported", hint=hint))
        elif not fits[name]:
            self.problems.append(mark.problem("ZD1003", f"{show(text)} is no {name}, though its tag says so"))
        return Node(mark, value)

    def _alias(self, event: Any) -> bool:
        mark, name = self._mark(event), str(event.anchor)
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self.problems.append(mark.problem("ZD1013", f"more than {MAX_ALIASES} aliases"))
            return False
        if any(frame.anchor == name for frame in self.stack):
            message = f"alias *{name} stands inside the value it names, so it would never end"
            self.problems.append(mark.problem("ZD1016", message))
            node = Node(mark, None)
        elif name not in self.anchors:
            close = difflib.get_close_matches(name, self.anchors, n=1)
            hint = f"did you mean *{close[0]}?" if close else "define it first with &" + name
            self.problems.append(mark.problem("ZD1016", f"alias *{name} has no anchor", hint=hint))
            node = Node(mark, None)
        else:
            node = self.anchors[name]
            self.nodes += node.size
            if len(self.stack) + _depth(node) > MAX_DEPTH:
                self.problems.append(mark.problem("ZD1013", f"nested deeper than {MAX_DEPTH} levels through an alias"))
                return False
        self._add(node, event, anchor=None)
        return True

    def _open(self, event: Any) -> bool:
        mark = self._mark(event)
        if len(self.stack) >= MAX_DEPTH:
            self.problems.append(mark.problem("ZD1013", f"nested deeper than {MAX_DEPTH} levels"))
            return False
        is_map = isinstance(event, MappingStartEvent)
        tag = event.tag and str(event.tag)
        if tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            hint = "write the plain value"
            self.problems.append(mark.problem("ZD1017", f"the YAML tag {show(str(tag))} is not supported", hint=hint))
        self.stack.append(_Frame(mark, event.anchor, is_map))
        return True

    def _close(self, event: Any) -> None:
        frame = self.stack.pop()
        if frame.is_map:
            for merged in frame.merges:
                for key, entry in (merged.entries or {}).items():
                    frame.entries.setdefault(key, entry)
            size = 1 + sum(entry.node.size for entry in frame.entries.values())
            node = Node(frame.mark, frame.entries, size)
        else:
            node = Node(frame.mark, frame.items, 1 + sum(item.size for item in frame.items))
        self._add(node, event, anchor=frame.anchor)

    def _add(self, node: Node, event: Any, anchor: str | None = "") -> None:
        if anchor == "":
            anchor = event.anchor
        if anchor is not None:
            self.anchors[str(anchor)] = node
        if not self.stack:
            if node.value is not None:
                self.documents.append(node)
            return
        frame = self.stack[-1]
        if not frame.is_map:
            frame.items.append(node)
        elif frame.key is None:
            self._key(frame, node, event)
        else:
            (key, mark), frame.key = frame.key, None
            if isinstance(event, ScalarEvent) and event.start_mark.index == event.end_mark.index:
                node = replace(node, mark=mark)  # `key:` with nothing after it; the parser is a line further by now
            if frame.skip_value:
                frame.skip_value = False
            elif key == "<<":
                self._merge(frame, mark, node)
            else:
                frame.entries[key] = Entry(mark, node)

    def _key(self, frame: _Frame, node: Node, event: Any) -> None:
        mark = self._mark(event) if isinstance(event, ScalarEvent | AliasEvent) else node.mark
        if isinstance(node.value, dict | list):
            self.problems.append(mark.problem("ZD1017", "a mapping or list cannot be a key", hint="a key is a word"))
            frame.key, frame.skip_value = ("", mark), True
            return
        # `on: x`, `1: x`: the key as written, whatever it would mean as a value.
        key = event.value if isinstance(event, ScalarEvent) else str(node.value)
        key = key.translate(_SHOW) if self.helm else key
        if key in frame.entries:
            first = frame.entries[key].key.line
            message = f"the key {show(key)} is here twice (first in line {first})"
            self.problems.append(mark.problem("ZD1015", message, hint="YAML would drop one of them: remove it"))
            frame.key, frame.skip_value = (key, mark), True
            return
        frame.key = (key, mark)

    def _merge(self, frame: _Frame, mark: Mark, node: Node) -> None:
        parts = node.items if node.items is not None else [node]
        if any(part.entries is None for part in parts):
            self.problems.append(mark.problem("ZD1017", "<< merges mappings only", hint="write <<: *name"))
            return
        frame.merges.extend(parts)
        self.nodes += sum(part.size for part in parts)


def _depth(node: Node) -> int:
    """Levels of collections in a finished node."""
    deepest, todo = 0, [(node, 0)]
    seen: dict[int, int] = {}
    while todo:
        here, depth = todo.pop()
        deepest = max(deepest, depth)
        if not isinstance(here.value, dict | list) or seen.get(id(here.value), -1) >= depth:
            continue
        seen[id(here.value)] = depth
        todo.extend((child, depth + 1) for child in _children(here))
    return deepest


def _children(node: Node) -> Iterator[Node]:
    if node.entries is not None:
        yield from (entry.node for entry in node.entries.values())
    elif node.items is not None:
        yield from node.items


_INT = re.compile(r"[-+]?[0-9]{1,40}", re.ASCII)
_OCTAL_OR_HEX = re.compile(r"0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((f"{sign}{word}" for sign in ("", "+") for word in (".inf", ".Inf", ".INF")), float("inf")),
    **dict.fromkeys((f"-{word}" for word in (".inf", ".Inf", ".INF")), float("-inf")),
}


def _resolve(text: str) -> Scalar:
    """A plain scalar by the YAML 1.2 core schema: `on` and `1:30` are texts, `010` is ten."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL_OR_HEX.fullmatch(text):
        return int(text, 0)
    if len(text) <= 400 and _FLOAT.fullmatch(text):
        return float(text)
    return text
