"""What value does a condition have for one result?

Arithmetic is Go's: whole numbers wrap at 64 bits, `/` and `**` give floats, a division by zero gives an infinity and
only `%` by zero is an error. Every step costs from one budget, which bounds ranges, closures, comparisons and texts.
"""

from __future__ import annotations

import math
import re
from typing import Final, TypeGuard

from zdsim.analysis.condition_tree import (
    Binary,
    Call,
    Chain,
    Group,
    Index,
    ListOf,
    Literal,
    MapOf,
    Node,
    Pointer,
    Predicate,
    Result,
    Slice,
    Ternary,
    Unary,
)
from zdsim.analysis.condition_types import EvaluationError, check_pattern
from zdsim.analysis.go_numbers import divide, extreme, float_text, go_number, mean, power, rounded
from zdsim.analysis.safe_regex import compile_regex

MAX_STEPS: Final = 200_000
MAX_MATCH_WORK: Final = 500_000  # characters of text times states of the pattern

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_DECIMAL: Final = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity)|nan", re.ASCII | re.IGNORECASE
)


def describe(value: object) -> str:
    """A value in a message: its type and, when short, itself."""
    if value is None:
        return "nil"
    name = {bool: "bool", int: "int", float: "float", str: "string", list: "list", tuple: "list", dict: "map"}
    kind = name.get(type(value), type(value).__name__)
    if isinstance(value, (int, float)):
        return f"{kind} {value!r}"
    return f"a {kind}"


class Walk:
    """One evaluation: the result, the element that `#` stands for, and what is left of the budget."""

    def __init__(self, result: object) -> None:
        self.result = result
        self.pointers: list[object] = []
        self.left = MAX_STEPS

    def spend(self, steps: int = 1) -> None:
        """Take from the budget; EvaluationError when it is used up."""
        self.left -= steps
        if self.left < 0:
            raise EvaluationError(f"the condition takes more than {MAX_STEPS} steps", None, "ask for less at a time")

    def value(self, node: Node) -> object:
        """The value of `node`: expr-lang vm/vm.go: Run."""
        self.spend()
        match node:
            case Literal():
                return node.value
            case Result():
                return self.result
            case Pointer():
                return self.pointers[-1]
            case Group():
                return self.value(node.inner)
            case Unary():
                return _unary(node, self.value(node.operand))
            case Binary():
                return self.binary(node)
            case Ternary():
                test = self.value(node.test)
                if not isinstance(test, bool):
                    raise EvaluationError(f"the test before ? is {describe(test)}", node.column)
                return self.value(node.yes if test else node.no)
            case Chain():
                return self.chain(node)
            case ListOf():
                return [self.value(item) for item in node.items]
            case MapOf():
                return {_text(self.value(key), "a map key", key.column): self.value(item) for key, item in node.pairs}
            case Call():
                return self.call(node)
            case Predicate():
                return self.predicate(node)

    def binary(self, node: Binary) -> object:
        left = self.value(node.left)
        if node.op in ("&&", "||"):
            if not isinstance(left, bool):
                raise EvaluationError(f"{node.op} stands after {describe(left)}", node.column, "it takes true or false")
            if left == (node.op == "||"):
                return left
            right = self.value(node.right)
            if not isinstance(right, bool):
                raise EvaluationError(
                    f"{node.op} stands before {describe(right)}", node.column, "it takes true or false"
                )
            return right
        if node.op == "??":
            return self.value(node.right) if left is None else left
        right = self.value(node.right)
        match node.op:
            case "==":
                return self.equal(left, right)
            case "!=":
                return not self.equal(left, right)
            case "in":
                return self.contained(left, right, node)
            case "..":
                low, high = (_whole(side, node) for side in (left, right))
                self.spend(max(0, high - low + 1))
                return list(range(low, high + 1))
            case "matches" | "contains" | "startsWith" | "endsWith":
                return self.text_test(node, left, right)
            case _:
                return self.arithmetic(node, left, right)

    def arithmetic(self, node: Binary, left: object, right: object) -> object:
        if isinstance(left, str) and isinstance(right, str):
            self.spend((len(left) + len(right)) // 16)
            match node.op:
                case "+":
                    return left + right
                case "<":
                    return left < right
                case ">":
                    return left > right
                case "<=":
                    return left <= right
                case ">=":
                    return left >= right
                case _:
                    pass
        if not _is_number(left) or not _is_number(right):
            raise EvaluationError(f"{node.op} stands between {describe(left)} and {describe(right)}", node.column)
        match node.op:
            case "<":
                return left < right
            case ">":
                return left > right
            case "<=":
                return left <= right
            case ">=":
                return left >= right
            case "+":
                return go_number(left, right, left + right)
            case "-":
                return go_number(left, right, left - right)
            case "*":
                return go_number(left, right, left * right)
            case "/":
                return divide(float(left), float(right))
            case "**":
                return power(float(left), float(right))
            case _:
                return _remainder(node, left, right)

    def equal(self, left: object, right: object) -> bool:
        """Numbers by value, all else by type and content; never an error (expr-lang vm/runtime: Equal)."""
        self.spend()
        if _is_number(left) and _is_number(right):
            return left == right
        if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
            return len(left) == len(right) and all(self.equal(a, b) for a, b in zip(left, right, strict=True))
        if isinstance(left, dict) and isinstance(right, dict):
            return left.keys() == right.keys() and all(self.equal(left[key], right[key]) for key in left)
        if isinstance(left, str) and isinstance(right, str):
            self.spend(min(len(left), len(right)) // 64)
        return type(left) is type(right) and left == right

    def contained(self, needle: object, container: object, node: Binary) -> bool:
        match container:
            case None:
                return False
            case list() | tuple():
                return any(self.equal(item, needle) for item in container)
            case dict():
                return needle is not None and _text(needle, "a key looked for", node.column) in container
            case _:
                raise EvaluationError(f"in stands before {describe(container)}", node.column, "it takes a list or map")

    def text_test(self, node: Binary, left: object, right: object) -> bool:
        if left is None or right is None:
            return False
        text, other = _text(left, f"before {node.op}", node.column), _text(right, f"after {node.op}", node.column)
        self.spend((len(text) + len(other)) // 16)
        match node.op:
            case "contains":
                return other in text
            case "startsWith":
                return text.startswith(other)
            case "endsWith":
                return text.endswith(other)
            case _:
                check_pattern(other, node.right.column)
                pattern = compile_regex(other)
                work = (len(text) + 1) * len(pattern.program)
                if work > MAX_MATCH_WORK:
                    raise EvaluationError(f"matches looks at {len(text)} characters", node.column, "shorten the text")
                self.spend(work // 8)
                return pattern.search(text)

    def chain(self, node: Chain) -> object:
        value = self.value(node.base)
        for link in node.links:
            self.spend()
            if isinstance(link, Slice):
                value = self.sliced(link, value)
                continue
            if link.optional and value is None:
                return None
            value = self.looked_up(link, value)
        return value

    def looked_up(self, link: Index, value: object) -> object:
        key = self.value(link.key)
        match value:
            case list() | tuple():
                at = _whole(key, link)
                if not -len(value) <= at < len(value):
                    hint = "guard with len(result) == 0 ||" if not value else ""
                    raise EvaluationError(f"index {at} of a list with {len(value)} elements", link.column, hint)
                return value[at]
            case dict():
                return None if key is None else value.get(_text(key, "a map key", link.column))
            case None:
                raise EvaluationError(
                    f"{_shown(key)} is looked up in nil", link.column, "write ?. or guard with isNil(result)"
                )
            case _:
                raise EvaluationError(f"{_shown(key)} is looked up in {describe(value)}", link.column)

    def sliced(self, link: Slice, value: object) -> object:
        if not isinstance(value, (list, tuple, str)):
            raise EvaluationError(f"{describe(value)} is sliced", link.column, "only lists and texts can be")
        first = 0 if link.first is None else _whole(self.value(link.first), link)
        last = len(value) if link.last is None else _whole(self.value(link.last), link)
        size = len(value)
        first, last = (max(0, size + at) if at < 0 else min(at, size) for at in (first, last))
        self.spend(max(0, last - first))
        part = value[first:last]
        return part if isinstance(part, str) else list(part)

    def call(self, node: Call) -> object:
        arguments = [self.value(argument) for argument in node.arguments]
        first = arguments[0]
        match node.name:
            case "default":
                return arguments[1] if self.result is None else self.result
            case "isNil":
                return self.result is None
            case "isNaN":
                return math.isnan(_number(first, node))
            case "isInf":
                return math.isinf(_number(first, node))
            case "asInt" | "int":
                return _to_int(first, node)
            case "asFloat" | "float":
                return _to_float(first, node)
            case "string":
                return self.written(first)
            case "len":
                if not isinstance(first, (list, tuple, dict, str)):
                    raise EvaluationError(
                        f"len is given {describe(first)}", node.column, "it takes a list, map or text"
                    )
                return len(first)
            case "abs":
                number = _number(first, node)
                return go_number(number, 0, abs(number))
            case "ceil" | "floor" | "round":
                return rounded(node.name, _number(first, node))
            case _:
                numbers = self.numbers(arguments, node)
                if node.name == "mean":
                    return mean(numbers)
                return extreme(numbers, largest=node.name == "max")

    def numbers(self, arguments: list[object], node: Call | Predicate) -> list[float]:
        """All arguments, lists among them taken apart."""
        found: list[float] = []
        for argument in arguments:
            if isinstance(argument, (list, tuple)):
                self.spend(len(argument))
                found += self.numbers(list(argument), node)
            else:
                found.append(_number(argument, node))
        return found

    def predicate(self, node: Predicate) -> object:
        source = self.value(node.source)
        if not isinstance(source, (list, tuple)):
            raise EvaluationError(f"{node.name} is given {describe(source)}", node.column, "it takes a list")
        match node.name:
            case "map":
                return [self.body(node, item) for item in source]
            case "sum":
                total: float = 0
                for item in source:
                    part = _number(self.body(node, item), node)
                    total = go_number(total, part, total + part)
                return total
            case "filter":
                return [item for item in source if self.holds(node, item)]
            case "count":
                return sum(self.holds(node, item) for item in source)
            case "all":
                return all(self.holds(node, item) for item in source)
            case "any":
                return any(self.holds(node, item) for item in source)
            case "none":
                return not any(self.holds(node, item) for item in source)
            case _:
                return sum(self.holds(node, item) for item in source) == 1

    def body(self, node: Predicate, item: object) -> object:
        self.spend()
        if node.body is None:
            return item
        self.pointers.append(item)
        try:
            return self.value(node.body)
        finally:
            self.pointers.pop()

    def holds(self, node: Predicate, item: object) -> bool:
        answer = self.body(node, item)
        if not isinstance(answer, bool):
            raise EvaluationError(
                f"the closure of {node.name} gives {describe(answer)}", node.column, "it must be a bool"
            )
        return answer

    def written(self, value: object) -> str:
        """As Go prints it (%v)."""
        self.spend()
        match value:
            case None:
                return "<nil>"
            case bool():
                return "true" if value else "false"
            case str():
                self.spend(len(value) // 16)
                return value
            case int():
                return str(value)
            case float():
                return float_text(value)
            case list() | tuple():
                return "[" + " ".join(self.written(item) for item in value) + "]"
            case dict():
                return "map[" + " ".join(f"{key}:{self.written(value[key])}" for key in sorted(value, key=str)) + "]"
            case _:
                raise EvaluationError(f"string is given {describe(value)}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: object, node: Call | Predicate) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise EvaluationError(f"{node.name} is given {describe(value)}", node.column, "it takes numbers")
    return value


def _text(value: object, what: str, column: int) -> str:
    if not isinstance(value, str):
        raise EvaluationError(f"{what} stands {describe(value)}", column, "it must be a text")
    return value


def _shown(key: object) -> str:
    return repr(key if not isinstance(key, str) or len(key) <= 30 else key[:29] + "…")


def _whole(value: object, at: Binary | Index | Slice) -> int:
    """A whole number, floats cut off (expr-lang vm/runtime: ToInt)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise EvaluationError(f"found {describe(value)} where a whole number belongs", at.column)
    return int(value)


def _remainder(node: Binary, left: object, right: object) -> int:
    """Sign of the dividend, as in Go."""
    a, b = _whole(left, node), _whole(right, node)
    if b == 0:
        raise EvaluationError("a remainder by 0", node.column)
    return int(math.copysign(1, a)) * (abs(a) % abs(b))


def _to_int(value: object, node: Call) -> int:
    if isinstance(value, str):
        if _INTEGER.fullmatch(value) and -(2**63) <= int(value) < 2**63:
            return int(value)
        raise EvaluationError(f"{node.name} is given the text {_shown(value)}", node.column, "expected digits only")
    number = _number(value, node)
    if not math.isfinite(number) or not -(2.0**63) <= number < 2.0**63:
        raise EvaluationError(f"{node.name} is given {describe(value)}", node.column, "it fits no 64-bit integer")
    return int(number)


def _to_float(value: object, node: Call) -> float:
    if isinstance(value, str):
        if len(value) <= 400 and _DECIMAL.fullmatch(value):
            number = float(value)
            if math.isfinite(number) or value.strip("+-")[:1].isalpha():
                return number
        raise EvaluationError(f"{node.name} is given the text {_shown(value)}", node.column, "expected a number")
    return float(_number(value, node))


def _unary(node: Unary, value: object) -> object:
    if node.op == "!":
        if isinstance(value, bool):
            return not value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        return value if node.op == "+" else go_number(value, 0, -value)
    raise EvaluationError(f"{node.op} stands before {describe(value)}", node.column)
