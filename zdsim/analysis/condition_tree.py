"""What can a condition be made of?

Every node knows its column, counted from 1, for messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, text, true, false or nil as written."""

    value: float | int | str | bool | None
    column: int


@dataclass(frozen=True, slots=True)
class Result:
    """`result`: what was measured."""

    column: int


@dataclass(frozen=True, slots=True)
class Pointer:
    """`#`: the element a closure looks at."""

    column: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`!x`, `-x` or `+x`."""

    op: str
    operand: Node
    column: int


@dataclass(frozen=True, slots=True)
class Binary:
    """`left op right`; a chain `a < b < c` is `a < b && b < c`."""

    op: str
    left: Node
    right: Node
    column: int


@dataclass(frozen=True, slots=True)
class Group:
    """Something in parentheses, where that matters to `??`."""

    inner: Node
    column: int


@dataclass(frozen=True, slots=True)
class Ternary:
    """`test ? yes : no`; with `test ?: no` the test is also the answer."""

    test: Node
    yes: Node
    no: Node
    column: int


@dataclass(frozen=True, slots=True)
class Index:
    """`[key]` or `.key`; an optional one (`?.`) ends the whole chain with nil when there is nothing to look into."""

    key: Node
    optional: bool
    column: int


@dataclass(frozen=True, slots=True)
class Slice:
    """`[first:last]`, either side left out or not."""

    first: Node | None
    last: Node | None
    column: int


@dataclass(frozen=True, slots=True)
class Chain:
    """A value and what is looked up in it, one after another."""

    base: Node
    links: tuple[Index | Slice, ...]
    column: int


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`."""

    items: tuple[Node, ...]
    column: int


@dataclass(frozen=True, slots=True)
class MapOf:
    """`{a: 1, "b": 2, (key): 3}`."""

    pairs: tuple[tuple[Node, Node], ...]
    column: int


@dataclass(frozen=True, slots=True)
class Call:
    """A plain function with its arguments."""

    name: str
    arguments: tuple[Node, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Predicate:
    """`all(source, body)` and its like; `body` may be missing in `count` and `sum`."""

    name: str
    source: Node
    body: Node | None
    column: int


Node: TypeAlias = (
    Literal | Result | Pointer | Unary | Binary | Group | Ternary | Chain | ListOf | MapOf | Call | Predicate
)


def children(node: Node) -> Iterator[tuple[Node, bool]]:
    """The nodes directly under `node`, and whether each stands in a closure of `node`."""
    match node:
        case Literal() | Result() | Pointer():
            pass
        case Unary():
            yield node.operand, False
        case Group():
            yield node.inner, False
        case Binary():
            yield node.left, False
            yield node.right, False
        case Ternary():
            yield node.test, False
            if node.yes is not node.test:
                yield node.yes, False
            yield node.no, False
        case Chain():
            yield node.base, False
            for link in node.links:
                parts = (link.key,) if isinstance(link, Index) else (link.first, link.last)
                yield from ((part, False) for part in parts if part is not None)
        case ListOf():
            yield from ((item, False) for item in node.items)
        case MapOf():
            yield from ((part, False) for pair in node.pairs for part in pair)
        case Call():
            yield from ((argument, False) for argument in node.arguments)
        case Predicate():
            yield node.source, False
            if node.body is not None:
                yield node.body, True
