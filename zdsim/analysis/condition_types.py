"""Does a condition make sense for a result of this type?

Argo compiles a condition anew for each result, so a type error counts even in a branch that would not be run:
`len(result) == 0 || result[0] < 1` is an error for a plain number. What comes out of a JSON object has no known type
(`ANY`) and is only looked at when it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from zdsim.analysis.condition_syntax import ConditionError
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
from zdsim.analysis.safe_regex import RegexError, compile_regex
from zdsim.errors import ZdsimError

Value: TypeAlias = float | int | str | bool | list["Value"] | tuple["Value", ...] | dict[str, "Value"] | None
"""What a provider may answer: Prometheus a number or a list of numbers, a web page JSON, an empty series None."""


class EvaluationError(ZdsimError):
    """A condition that cannot be answered for this result; Argo then counts an Error measurement.

    `column` counts from 1 and says where in the condition; None when the whole condition is meant.
    """

    def __init__(self, message: str, column: int | None = None, hint: str = "") -> None:
        self.message = message
        self.column = column
        self.hint = hint
        place = f"column {column}: " if column is not None else ""
        super().__init__(place + message + (f"; {hint}" if hint else ""))


class Kind(StrEnum):
    """What is known of a value before looking at it."""

    ANY = "any"
    NIL = "nil"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    STRING = "string"
    LIST = "list"
    MAP = "map"


@dataclass(frozen=True, slots=True)
class Type:
    """A kind, and for lists the type of the elements."""

    kind: Kind
    element: Type | None = None

    def __str__(self) -> str:
        return f"list of {self.element}" if self.element else str(self.kind)


ANY = Type(Kind.ANY)
NIL = Type(Kind.NIL)
BOOL = Type(Kind.BOOL)
INT = Type(Kind.INT)
FLOAT = Type(Kind.FLOAT)
STRING = Type(Kind.STRING)
MAP = Type(Kind.MAP)
NUMBERS = frozenset({Kind.INT, Kind.FLOAT})


def type_of(value: object) -> Type:
    """The type Argo would see: a list of numbers is a Prometheus vector; other lists and objects hold anything.

    None is ANY, as a nil in Argo's environment is: guards such as `isNil(result) || result < 1` then work.

    Raises:
        EvaluationError: `value` is nothing a provider can answer.
    """
    match value:
        case None:
            return ANY
        case bool():
            return BOOL
        case int():
            return INT
        case float():
            return FLOAT
        case str():
            return STRING
        case list() | tuple():
            if all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in value):
                whole = bool(value) and all(isinstance(item, int) for item in value)
                return Type(Kind.LIST, INT if whole else FLOAT)
            return Type(Kind.LIST, ANY)
        case dict():
            return MAP
        case _:
            raise EvaluationError(
                f"the result is of type {type(value).__name__}",
                None,
                "expected a number, text, bool, nil, list or dict",
            )


def check(node: Node, result: Type, pointer: Type = ANY) -> Type:
    """The type of `node`, given that of `result` and, inside a closure, of `#`.

    Raises:
        EvaluationError: the types cannot go together.

    Source:
        expr-lang checker/checker.go: Check, BinaryNode, MemberNode, BuiltinNode.
    """
    match node:
        case Literal():
            return NIL if node.value is None else type_of(node.value)
        case Result():
            return result
        case Pointer():
            return pointer
        case Group():
            return check(node.inner, result, pointer)
        case Unary():
            return _unary(node, check(node.operand, result, pointer))
        case Binary():
            return _binary(node, check(node.left, result, pointer), check(node.right, result, pointer))
        case Ternary():
            test = check(node.test, result, pointer)
            # in `a ?: b` the test is the first answer too, whatever its type
            if test.kind not in (Kind.BOOL, Kind.ANY):
                raise EvaluationError(f"the test before ? is of type {test}", node.column, "it must be true or false")
            return _either(check(node.yes, result, pointer), check(node.no, result, pointer))
        case Chain():
            found = check(node.base, result, pointer)
            for link in node.links:
                found = _link(link, found, result, pointer)
            return found
        case ListOf():
            items = [check(item, result, pointer) for item in node.items]
            same = items[0] if items and all(item == items[0] for item in items) else ANY
            return Type(Kind.LIST, same)
        case MapOf():
            for key, value in node.pairs:
                kind = check(key, result, pointer).kind
                if kind not in (Kind.STRING, Kind.ANY):
                    raise EvaluationError(f"a map key is of type {kind}", key.column, "it must be a text")
                check(value, result, pointer)
            return MAP
        case Call():
            return _call(node, [check(argument, result, pointer) for argument in node.arguments])
        case Predicate():
            return _predicate(node, result, pointer)


def comparable(left: Type, right: Type) -> bool:
    """Whether `==` may stand between them (checker: isComparable)."""
    kinds = {left.kind, right.kind}
    return bool(kinds & {Kind.NIL, Kind.ANY}) or len(kinds) == 1 or kinds <= NUMBERS


def _unary(node: Unary, operand: Type) -> Type:
    if operand.kind is Kind.ANY:
        return BOOL if node.op == "!" else ANY
    if (node.op == "!" and operand.kind is Kind.BOOL) or (node.op != "!" and operand.kind in NUMBERS):
        return operand
    raise EvaluationError(f"{node.op} stands before a value of type {operand}", node.column)


def _binary(node: Binary, left: Type, right: Type) -> Type:
    match node.op:
        case "==" | "!=":
            if comparable(left, right):
                return BOOL
        case "&&" | "||":
            if _fit(left, right, {Kind.BOOL}):
                return BOOL
        case "<" | ">" | "<=" | ">=":
            if _fit(left, right, NUMBERS) or _fit(left, right, {Kind.STRING}):
                return BOOL
        case "+":
            if _fit(left, right, {Kind.STRING}):
                return STRING if left.kind is right.kind else ANY
            if _fit(left, right, NUMBERS):
                return _number(left, right)
        case "-" | "*":
            if _fit(left, right, NUMBERS):
                return _number(left, right)
        case "/" | "**":
            if _fit(left, right, NUMBERS):
                return FLOAT
        case "%":
            if _fit(left, right, {Kind.INT}):
                return _number(left, right)
        case "..":
            if _fit(left, right, {Kind.INT}):
                return Type(Kind.LIST, INT)
        case "in":
            if right.kind is Kind.LIST and comparable(left, right.element or ANY):
                return BOOL
            if right.kind is Kind.ANY or (right.kind is Kind.MAP and left.kind in (Kind.STRING, Kind.ANY, Kind.NIL)):
                return BOOL
        case "matches" | "contains" | "startsWith" | "endsWith":
            if node.op == "matches" and isinstance(node.right, Literal) and isinstance(node.right.value, str):
                check_pattern(node.right.value, node.right.column)
            if _fit(left, right, {Kind.STRING}):
                return BOOL
        case "??":
            return right if left.kind is Kind.NIL else left if right.kind in (Kind.NIL, left.kind) else ANY
        case _:  # the grammar knows no other
            raise AssertionError(node.op)
    raise EvaluationError(
        f"{node.op} stands between {left} and {right}", node.column, "convert one side, or compare alike"
    )


def check_pattern(pattern: str, column: int) -> None:
    """Refuse a `matches` pattern that cannot be used."""
    try:
        compile_regex(pattern)
    except RegexError as error:
        raise EvaluationError(f"the pattern after matches: {error}", column) from None


def check_literals(node: Node) -> None:
    """Refuse what is wrong for every result: literal patterns that cannot be used. Raises ConditionError."""
    if isinstance(node, Binary) and node.op == "matches" and isinstance(node.right, Literal):
        try:
            if isinstance(node.right.value, str):
                compile_regex(node.right.value)
        except RegexError as error:
            raise ConditionError(f"the pattern after matches: {error}", node.right.column) from None


def _fit(left: Type, right: Type, kinds: frozenset[Kind] | set[Kind]) -> bool:
    """Both are of these kinds, or one is and the other is not known, or neither is known."""
    return all(side.kind in kinds or side.kind is Kind.ANY for side in (left, right))


def _number(left: Type, right: Type) -> Type:
    if Kind.ANY in (left.kind, right.kind):
        return ANY
    return INT if left.kind is right.kind is Kind.INT else FLOAT


def _either(first: Type, second: Type) -> Type:
    if first.kind is Kind.NIL:
        return second
    if second.kind is Kind.NIL or first == second:
        return first
    return ANY


def _link(link: Index | Slice, base: Type, result: Type, pointer: Type) -> Type:
    if isinstance(link, Slice):
        for side in (link.first, link.last):
            if side is not None and (kind := check(side, result, pointer).kind) not in (Kind.INT, Kind.ANY):
                raise EvaluationError(
                    f"a slice starts or ends at a value of type {kind}", side.column, "write a whole number"
                )
        if base.kind not in (Kind.LIST, Kind.STRING, Kind.ANY):
            raise EvaluationError(f"a value of type {base} is sliced", link.column, "only lists and texts can be")
        return base
    key = check(link.key, result, pointer)
    match base.kind:
        case Kind.ANY:
            return ANY
        case Kind.MAP if key.kind in (Kind.STRING, Kind.ANY):
            return ANY
        case Kind.LIST if key.kind in (Kind.INT, Kind.ANY):
            return base.element or ANY
        case Kind.MAP | Kind.LIST:
            wanted = "a text" if base.kind is Kind.MAP else "a whole number"
            raise EvaluationError(f"a {base} is indexed by a value of type {key}", link.column, f"write {wanted}")
        case _:
            hint = "it is a single value: leave the index out" if base.kind in (*NUMBERS, Kind.BOOL) else ""
            raise EvaluationError(f"a value of type {base} has nothing inside", link.column, hint)


def _call(node: Call, arguments: list[Type]) -> Type:
    first = arguments[0]
    match node.name:
        case "isNil" | "string":
            return BOOL if node.name == "isNil" else STRING
        case "default":
            return ANY
        case "asInt" | "int":
            return _converted(node, first, {*NUMBERS, Kind.STRING}, INT)
        case "asFloat" | "float":
            return _converted(node, first, {*NUMBERS, Kind.STRING}, FLOAT)
        case "isNaN" | "isInf":
            return _converted(node, first, NUMBERS, BOOL)
        case "len":
            return _converted(node, first, {Kind.LIST, Kind.MAP, Kind.STRING}, INT)
        case "abs":
            return _converted(node, first, NUMBERS, first)
        case "ceil" | "floor" | "round":
            return _converted(node, first, NUMBERS, FLOAT)
        case "min" | "max" | "mean":
            for argument in arguments:
                element = argument.element if argument.kind is Kind.LIST else argument
                _converted(node, element or ANY, NUMBERS, ANY)
            return FLOAT if node.name == "mean" else ANY
        case _:  # the parser knows no other
            raise AssertionError(node.name)


def _converted(node: Call | Predicate, found: Type, taken: frozenset[Kind] | set[Kind], result: Type) -> Type:
    if found.kind in taken or found.kind is Kind.ANY:
        return result
    wanted = " or ".join(sorted(taken))
    raise EvaluationError(f"{node.name} is given a value of type {found}", node.column, f"it takes {wanted}")


def _predicate(node: Predicate, result: Type, pointer: Type) -> Type:
    source = check(node.source, result, pointer)
    _converted(node, source, {Kind.LIST}, BOOL)
    element = source.element or ANY
    body = check(node.body, result, element) if node.body is not None else element
    match node.name:
        case "map":
            return Type(Kind.LIST, body)
        case "sum":
            _converted(node, body, NUMBERS, ANY)
            return body
        case _:
            if body.kind not in (Kind.BOOL, Kind.ANY):
                raise EvaluationError(
                    f"the closure of {node.name} is of type {body}", node.column, "it must be true or false"
                )
    match node.name:
        case "filter":
            return Type(Kind.LIST, element)
        case "count":
            return INT
        case _:
            return BOOL
