"""What does a YAML text say, and where?

YAML 1.2 as a tree of `Node`s, within limits; what is wrong with the text comes back as `Problem`s. The tree is built
from ruamel's parser events rather than by its constructor: events come one at a time, so depth and size are checked
before anything grows and nothing recurses. A Helm placeholder in a line (`replicas: {{ .Values.n }}`, to YAML a mapping
with a mapping as its key) is kept as the text its author meant: its characters are moved to a private range of Unicode,
where they mean nothing to the parser, and back.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
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

from zdsim.errors import Problem
from zdsim.scenario.quantities import show
from zdsim.scenario.source import Entry, Mark, Node, Source, place

MAX_DEPTH = 50
MAX_NODES = 200_000  # counted with every alias written out
MAX_ALIASES = 1_000

Scalar = str | int | float | bool | None


def parse_documents(source: Source) -> tuple[list[Node], list[Problem]]:
    """Every document of a text that is not empty, and everything wrong with the text as YAML.

    With a problem the documents are what could be understood; the caller decides whether to go on.
    """
    builder = _Builder(source)
    whole_line = _HELM_LINE.search(source.text)
    if whole_line is not None:
        line, column = place(source.text, whole_line.start("helm"))
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
    r"^[ \t]*(?P<helm>\{\{(?!\s*(?:inputs\.)?args\.)[^\n\r]*\}\})[ \t]*\r?$", re.MULTILINE
)  # control flow, or YAML yet to come; but not an argument of an AnalysisTemplate
_HELM_START = re.compile(r"\{\{(?!\s*(?:(?:inputs\.)?args\.|\w+\s*\}\}))")  # `{{ target }}` is Flagger's
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
    found = ((i, _HELM_START.search(text)) for i, text in enumerate(source.lines, 1))
    helm = next(((i, match.start() + 1) for i, match in found if match is not None), None)
    if helm is not None:
        return _helm_problem(source, *helm)
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
