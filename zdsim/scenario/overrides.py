"""What does `-s path=value` change?

A path is keys with dots, and positions in brackets: `traffic.classes[0].work=20ms`; the position after the last adds
an item. The value is YAML, so it can be a mapping. It changes the tree before anything is validated: a bad override is
reported as well as a bad line of a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from zdsim.errors import ScenarioError
from zdsim.scenario.quantities import show
from zdsim.scenario.source import Entry, Mark, Node, Source, decode, mapping
from zdsim.scenario.yaml_nodes import MAX_DEPTH, parse_documents

_PATH = re.compile(r"[^.\[\]=\s]+(?:\[\d{1,6}\])*(?:\.[^.\[\]=\s]+(?:\[\d{1,6}\])*)*")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Override:
    """One `path=value`: keys and positions, and the value with its place in the text."""

    text: str
    path: tuple[str | int, ...]
    value: Node

    @property
    def dotted(self) -> str:
        """The path as written."""
        return dotted(self.path)


def dotted(path: tuple[str | int, ...]) -> str:
    """`("a", 0, "b")` -> `a[0].b`."""
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out


def parse_override(text: str) -> Override:
    """Path and value of one `-s`; raises ScenarioError."""
    source = decode(f"-s {text}", text)
    example = "write -s path=value, for example -s service.deployment.replicas=5"
    where, equals, value = text.partition("=")
    if not equals:
        raise ScenarioError([source.problem("ZD1020", "no '=' in it", line=1, column=1, hint=example)])
    match = _PATH.fullmatch(where.strip())
    if match is None:
        width = max(1, len(where))
        message = f"{show(where)} is not a path"
        raise ScenarioError([source.problem("ZD1020", message, line=1, column=1, width=width, hint=example)])
    path = tuple(step[1] if step[1] else int(step[2]) for step in _STEP.finditer(where.strip()))
    if len(path) > MAX_DEPTH - 5:
        raise ScenarioError([source.problem("ZD1020", "the path is too long", line=1, column=1, hint=example)])
    return Override(text, path, _value(source, where, value))


def _value(source: Source, where: str, value: str) -> Node:
    """The value as YAML; the path before it is blanked so that columns stay those of the whole text."""
    blanked = Source(source.name, " " * (len(where) + 1) + value)
    documents, problems = parse_documents(blanked)
    if problems:
        # Show the whole text, not the blanked one.
        raise ScenarioError(
            [
                source.problem(one.code, one.message, line=one.line, column=one.column, width=one.width, hint=one.hint)
                for one in problems
            ]
        )
    if len(documents) > 1:
        raise ScenarioError([source.problem("ZD1018", "more than one value", line=1, column=len(where) + 2)])
    if not documents:
        return Node(Mark(source, 1, len(where) + 2), None)
    return _moved(documents[0], source)


def _moved(node: Node, source: Source) -> Node:
    """The same node, its places in `source`."""
    mark = Mark(source, node.mark.line, node.mark.column, node.mark.width)
    if node.entries is not None:
        entries = {
            key: Entry(Mark(source, entry.key.line, entry.key.column, entry.key.width), _moved(entry.node, source))
            for key, entry in node.entries.items()
        }
        return Node(mark, entries, node.size)
    if node.items is not None:
        return Node(mark, [_moved(item, source) for item in node.items], node.size)
    return Node(mark, node.value)


def apply_override(tree: Node, override: Override) -> Node:
    """A copy of `tree` with the value at the path; raises ScenarioError where the path leads nowhere."""
    return _put(tree, override, 0)


def _put(node: Node | None, override: Override, depth: int) -> Node:
    if depth == len(override.path):
        return override.value
    step = override.path[depth]
    if isinstance(step, int):
        return _put_item(node, override, depth, step)
    if node is None or node.value is None:
        node = mapping(override.value.mark)
    if node.entries is None:
        here = dotted(override.path[:depth])
        if node.items is not None:
            message = f"{here} is a list of {len(node.items)}: choose one with {here}[0]"
        else:
            message = f"{here} is {show(node.plain())}, which has no field {step!r}"
        raise _nowhere(override, message)
    entries = dict(node.entries)
    before = entries.get(step)
    child = _put(before.node if before is not None else None, override, depth + 1)
    key = Mark(override.value.mark.source, 1, 1, max(1, len(override.dotted)))
    entries[step] = Entry(key if before is None or depth + 1 == len(override.path) else before.key, child)
    return Node(node.mark, entries, 1 + sum(entry.node.size for entry in entries.values()), node.label)


def _put_item(node: Node | None, override: Override, depth: int, step: int) -> Node:
    here = dotted(override.path[:depth])
    if node is None or node.value is None:
        node = Node(override.value.mark, [])
    items = node.items
    if items is None:
        raise _nowhere(override, f"{here} is {show(node.plain())}, not a list: [{step}] chooses from lists only")
    if step > len(items):
        last = f"the last is [{len(items) - 1}]" if items else "it has none yet"
        raise _nowhere(override, f"{here} has no [{step}]: {last}")
    before = items[step] if step < len(items) else None
    changed = [*items[:step], _put(before, override, depth + 1), *items[step + 1 :]]
    return Node(node.mark, changed, 1 + sum(item.size for item in changed), node.label)


def _nowhere(override: Override, message: str) -> ScenarioError:
    mark = Mark(override.value.mark.source, 1, 1, max(1, len(override.dotted)))
    return ScenarioError([mark.problem("ZD1020", message)])
