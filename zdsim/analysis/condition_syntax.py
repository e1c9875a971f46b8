"""What does the text of a condition mean, before any result is known?

The grammar is the part of expr-lang that conditions use: no variables, no pipes, no method calls. Precedence is
expr-lang's (parser/operator/operator.go: Binary, Unary): `??` binds tightest, then `**`, the sign, `* / %`, `not`,
`+ -`, `..`, comparisons, `and`, `or`, the ternary. So `not a > 1` is `(not a) > 1`. The tree is built bottom-up while
parsing, so that no nesting of the text can exhaust Python's stack.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import cache
from typing import Final

from lark import Lark, Token, Transformer
from lark.exceptions import LarkError, UnexpectedCharacters, UnexpectedToken

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
    children,
)
from zdsim.errors import ZdsimError

MAX_TEXT: Final = 4096  # characters of a condition
MAX_NODES: Final = 1000
MAX_DEPTH: Final = 150

FUNCTIONS: Final[dict[str, tuple[int, int | None]]] = {
    "abs": (1, 1),
    "asFloat": (1, 1),
    "asInt": (1, 1),
    "ceil": (1, 1),
    "default": (2, 2),
    "float": (1, 1),
    "floor": (1, 1),
    "int": (1, 1),
    "isInf": (1, 1),
    "isNaN": (1, 1),
    "isNil": (1, 1),
    "len": (1, 1),
    "max": (1, None),
    "mean": (1, None),
    "min": (1, None),
    "round": (1, 1),
    "string": (1, 1),
}
"""Least and most arguments of each plain function; None is no limit."""

PREDICATES: Final[dict[str, bool]] = {
    "all": True,
    "any": True,
    "count": False,
    "filter": True,
    "map": True,
    "none": True,
    "one": True,
    "sum": False,
}
"""Functions that take a closure, and whether they need it."""


class ConditionError(ZdsimError):
    """A condition that cannot be used, whatever the result will be.

    `column` counts from 1; `message` says what was found, `hint` what is allowed or what to write.
    """

    def __init__(self, message: str, column: int, hint: str = "") -> None:
        self.message = message
        self.column = column
        self.hint = hint
        super().__init__(f"column {column}: {message}" + (f"; {hint}" if hint else ""))


def parse(text: str) -> Node:
    """The tree of `text`.

    Raises:
        ConditionError: it is not a condition, names something unknown, or is too large.

    Source:
        expr-lang parser/parser.go: ParseWithConfig; parser/operator/operator.go: Binary.
    """
    if len(text) > MAX_TEXT:
        raise ConditionError(f"the condition has {len(text)} characters", MAX_TEXT + 1, f"at most {MAX_TEXT} are read")
    if not text.strip():
        raise ConditionError("found nothing", 1, "write a condition such as result[0] >= 0.95, or leave the field out")
    try:
        # lark hands the start rule's value through when it transforms while parsing
        tree: Node = _parser().parse(text)  # type: ignore[assignment]
    except UnexpectedToken as error:
        raise _unexpected(text, error) from None
    except UnexpectedCharacters as error:
        raise _unreadable(text, error) from None
    except LarkError as error:  # no other kind is known
        raise ConditionError(f"cannot be read ({error})", 1) from None
    _check(tree)
    return tree


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """`did you mean x?` when a known name is close, else all of them."""
    lower = {word.lower(): word for word in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return f"did you mean {lower[close[0]]}?" if close else "known are " + ", ".join(sorted(known, key=str.lower))


def _check(tree: Node) -> None:
    """Bound the tree, and keep `#` inside closures. Iterative: the tree may be deeper than Python's stack."""
    n_nodes = 0
    todo: list[tuple[Node, int, bool]] = [(tree, 1, False)]
    while todo:
        node, depth, in_closure = todo.pop()
        n_nodes += 1
        if depth > MAX_DEPTH:
            raise ConditionError(
                f"nested more than {MAX_DEPTH} deep", node.column, "split it over two metrics, or leave parts out"
            )
        if n_nodes > MAX_NODES:
            raise ConditionError(f"more than {MAX_NODES} parts", node.column, "split it over two metrics")
        if isinstance(node, Pointer) and not in_closure:
            raise ConditionError("found # outside a closure", node.column, "write it in all(result, # > 1) or the like")
        todo.extend((child, depth + 1, in_closure or closure) for child, closure in children(node))


_GRAMMAR: Final = r"""
?start: expr
?expr: or_
     | or_ "?" expr ":" expr   -> ternary
     | or_ "?" ":" expr        -> elvis
?or_: and_ (OR and_)*          -> infix
?and_: compare (AND compare)*  -> infix
?compare: range_ ((LESS | EQUAL | WORD | NOT_WORD) range_)*
?range_: sum (RANGE sum)*      -> infix
?sum: not_ ((PLUS | MINUS) not_)*  -> infix
?not_: NOT not_                -> unary
     | product
?product: sign (TIMES sign)*   -> infix
?sign: (PLUS | MINUS) sign     -> unary
     | power
?power: coalesce
      | coalesce POWER exponent  -> infix
?exponent: (PLUS | MINUS) exponent  -> unary
         | power
?coalesce: chain (COALESCE fallback)*  -> infix
?fallback: (PLUS | MINUS | NOT) fallback  -> unary
         | chain
?chain: atom
      | atom link+
link: "." NAME                 -> field
    | OPTIONAL NAME            -> optional_field
    | LSQB expr "]"            -> index
    | OPTIONAL "[" expr "]"    -> optional_index
    | LSQB expr ":" expr "]"   -> slice_both
    | LSQB expr ":" "]"        -> slice_from
    | LSQB ":" expr "]"        -> slice_to
    | LSQB ":" "]"             -> slice_all
?atom: FLOAT                   -> float_
     | INT                     -> int_
     | STRING                  -> text
     | RAW                     -> raw
     | NAME                    -> name
     | HASH                    -> pointer
     | DOT NAME                -> dot_pointer
     | "(" expr ")"            -> parens
     | LSQB [expr ("," expr)* [","]] "]"  -> list_
     | LBRACE [pair ("," pair)* [","]] "}"  -> map_
     | PREDICATE "(" expr ["," body] [","] ")"  -> predicate
     | NAME "(" [expr ("," expr)* [","]] ")"  -> call
?body: "{" expr "}"
     | expr
pair: key ":" expr
key: (NAME | STRING | RAW | INT | FLOAT)  -> plain_key
   | "(" expr ")"              -> computed_key

OR.3: "||" | /or\b/
AND.3: "&&" | /and\b/
LESS: "<=" | ">=" | "<" | ">"
EQUAL: "==" | "!="
WORD.3: /(in|contains|matches|startsWith|endsWith)\b/
NOT_WORD.4: /not\s+(in|contains|matches|startsWith|endsWith)\b/
NOT.3: "!" | /not\b/
RANGE.5: ".."
PLUS: "+"
MINUS: "-"
TIMES: "*" | "/" | "%"
POWER.3: "**" | "^"
COALESCE.3: "??"
OPTIONAL.3: "?."
HASH: "#"
DOT: "."
LSQB: "["
LBRACE: "{"
FLOAT.4: /[0-9][0-9_]*\.[0-9][0-9_]*([eE][+-]?[0-9]+)?|\.[0-9][0-9_]*([eE][+-]?[0-9]+)?|[0-9][0-9_]*[eE][+-]?[0-9]+/
INT.3: /0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|[0-9][0-9_]*/
STRING: /"([^"\\\n]|\\.)*"|'([^'\\\n]|\\.)*'/
RAW: /`[^`]*`/
PREDICATE.3: /(all|any|count|filter|map|none|one|sum)(?=\s*\()/
NAME: /[A-Za-z_$][A-Za-z0-9_$]*/
%ignore /[ \t\r\n]+/
%ignore /\/\/[^\n]*|\/\*(.|\n)*?\*\//
"""

_SYMBOLS: Final = {
    "OR": "||",
    "AND": "&&",
    "LESS": "a comparison",
    "EQUAL": "==",
    "WORD": "in",
    "RANGE": "..",
    "PLUS": "+",
    "MINUS": "-",
    "TIMES": "*",
    "POWER": "**",
    "COALESCE": "??",
    "OPTIONAL": "?.",
    "DOT": ".",
    "QMARK": "?",
    "COLON": ":",
    "COMMA": ",",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "LBRACE": "{",
    "RBRACE": "}",
    "$END": "the end",
}
_AFTER_VALUE: Final = frozenset({"LESS", "EQUAL", "AND", "OR"})
_NOT_TAKEN: Final = {
    "|": "pipes are not taken: write len(result) for result | len()",
    ";": "variables are not taken: write the value where it is used",
    "=": "compare with ==",
    "&": "write &&",
    "{": "write map keys as {name: value}",
}


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=False, transformer=_Build())


def _unexpected(text: str, error: UnexpectedToken) -> ConditionError:
    column = _column(text, error.token.start_pos if error.token.type != "$END" else len(text))
    found = "found the end" if error.token.type == "$END" else f"found {_short(str(error.token))}"
    expected = set(error.accepts or error.expected)
    if expected >= _AFTER_VALUE:
        closing = [_SYMBOLS[name] for name in ("RPAR", "RSQB", "RBRACE", "COLON") if name in expected]
        hint = "expected an operator" + "".join(f" or {symbol}" for symbol in closing)
    elif "FLOAT" in expected and "HASH" in expected:
        hint = "expected a value: result, a number, a text, a function or ("
    else:
        hint = "expected " + " or ".join(sorted(_SYMBOLS.get(name, "a name") for name in expected)[:6])
    if str(error.token) in ("|", "="):
        hint = _NOT_TAKEN[str(error.token)]
    elif error.token.type == "LPAR":
        hint = "only the known functions can be called: " + ", ".join(sorted({*FUNCTIONS, *PREDICATES}, key=str.lower))
    elif error.token.type == "NAME" and str(error.token) == "let":
        hint = _NOT_TAKEN[";"]
    return ConditionError(found, column, hint)


def _unreadable(text: str, error: UnexpectedCharacters) -> ConditionError:
    position = error.pos_in_stream if error.pos_in_stream is not None else len(text)
    char = text[position : position + 1]
    hint = _NOT_TAKEN.get(char, "")
    if char in "\"'`":
        hint = f"is the closing {char} missing?"
    return ConditionError(f"found {_short(char)}", _column(text, position), hint or "expected a value or operator")


def _column(text: str, position: int | None) -> int:
    """Columns count through line ends: a folded condition is one line to its author."""
    return min(position if position is not None else 0, len(text)) + 1


def _short(text: str) -> str:
    return repr(text if len(text) <= 30 else text[:29] + "…")


class _Build(Transformer[Token, Node]):
    """Turns each rule into its node, innermost first."""

    def infix(self, parts: list[Node | Token]) -> Node:
        node, rest = parts[0], parts[1:]
        for at in range(0, len(rest), 2):
            op, right = rest[at], rest[at + 1]
            assert isinstance(op, Token)
            assert not isinstance(node, Token)
            assert not isinstance(right, Token)
            self._no_bare_coalesce(node, op, at == 0)
            node = Binary(_PLAIN.get(str(op), str(op)), node, right, _at(op))
        assert not isinstance(node, Token)
        return node

    def compare(self, parts: list[Node | Token]) -> Node:
        node, rest = parts[0], parts[1:]
        last: Node | None = None  # right side of an unbroken chain a < b < c
        for at in range(0, len(rest), 2):
            op, right = rest[at], rest[at + 1]
            assert isinstance(op, Token)
            assert not isinstance(node, Token)
            assert not isinstance(right, Token)
            self._no_bare_coalesce(node, op, at == 0)
            word = str(op).split()[-1]
            if op.type == "LESS" and last is not None:
                node = Binary("&&", node, Binary(word, last, right, _at(op)), _at(op))
            else:
                node = Binary(word, node, right, _at(op))
                if op.type == "NOT_WORD":
                    node = Unary("!", node, _at(op))
            last = right if op.type == "LESS" else None
        assert not isinstance(node, Token)
        return node

    @staticmethod
    def _no_bare_coalesce(left: Node, op: Token, first: bool) -> None:
        if first and isinstance(left, Binary) and left.op == "??" and op.type != "COALESCE":
            raise ConditionError(
                f"found {_short(str(op))} after a ?? without parentheses", _at(op), "write (a ?? b) in parentheses"
            )

    def unary(self, parts: list[Node | Token]) -> Node:
        op, operand = parts
        assert isinstance(op, Token)
        assert not isinstance(operand, Token)
        return Unary("!" if op.type == "NOT" else str(op), operand, _at(op))

    def ternary(self, parts: list[Node]) -> Node:
        return Ternary(parts[0], parts[1], parts[2], parts[0].column)

    def elvis(self, parts: list[Node]) -> Node:
        return Ternary(parts[0], parts[0], parts[1], parts[0].column)

    def chain(self, parts: list[Node | Index | Slice]) -> Node:
        base = parts[0]
        assert not isinstance(base, (Index, Slice))
        return Chain(base, tuple(part for part in parts[1:] if isinstance(part, (Index, Slice))), base.column)

    def field(self, parts: list[Token]) -> Index:
        return Index(Literal(str(parts[0]), _at(parts[0])), False, _at(parts[0]))

    def optional_field(self, parts: list[Token]) -> Index:
        return Index(Literal(str(parts[1]), _at(parts[1])), True, _at(parts[1]))

    def index(self, parts: list[Node]) -> Index:
        return Index(parts[1], False, parts[1].column)

    def optional_index(self, parts: list[Node]) -> Index:
        return Index(parts[-1], True, parts[-1].column)

    def slice_both(self, parts: list[Node]) -> Slice:
        return Slice(parts[1], parts[2], _at(parts[0]))

    def slice_from(self, parts: list[Node]) -> Slice:
        return Slice(parts[1], None, _at(parts[0]))

    def slice_to(self, parts: list[Node]) -> Slice:
        return Slice(None, parts[1], _at(parts[0]))

    def slice_all(self, parts: list[Node]) -> Slice:
        return Slice(None, None, _at(parts[0]))

    def float_(self, parts: list[Token]) -> Node:
        value = float(parts[0].replace("_", ""))
        if value == float("inf"):
            raise ConditionError(f"found {_short(str(parts[0]))}", _at(parts[0]), "a number must be below 1.8e308")
        return Literal(value, _at(parts[0]))

    def int_(self, parts: list[Token]) -> Node:
        digits = parts[0].replace("_", "").lower()
        prefixed = digits[:2] in ("0x", "0b", "0o")
        try:
            value = int(digits, 0) if prefixed else int(digits, 10)
        except ValueError:  # a prefix without digits
            raise ConditionError(f"found {_short(str(parts[0]))}", _at(parts[0]), "expected digits") from None
        if value >= 2**63:
            raise ConditionError(f"found {_short(str(parts[0]))}", _at(parts[0]), "whole numbers must be below 2**63")
        return Literal(value, _at(parts[0]))

    def text(self, parts: list[Token]) -> Node:
        return Literal(_unescape(parts[0]), _at(parts[0]))

    def raw(self, parts: list[Token]) -> Node:
        return Literal(str(parts[0])[1:-1], _at(parts[0]))

    def name(self, parts: list[Token]) -> Node:
        word, column = str(parts[0]), _at(parts[0])
        if word in _WORDS:
            return Literal(_WORDS[word], column)
        if word == "result":
            return Result(column)
        if word in FUNCTIONS or word in PREDICATES:
            raise ConditionError(f"found {word} without arguments", column, f"it is a function: write {word}(result)")
        raise ConditionError(f"unknown name {word}", column, did_you_mean(word, ("result", *_WORDS)))

    def pointer(self, parts: list[Token]) -> Node:
        return Pointer(_at(parts[0]))

    def dot_pointer(self, parts: list[Token]) -> Node:
        dot, name = parts
        return Chain(Pointer(_at(dot)), (Index(Literal(str(name), _at(name)), False, _at(name)),), _at(dot))

    def parens(self, parts: list[Node]) -> Node:
        inner = parts[0]
        return Group(inner, inner.column) if isinstance(inner, Binary) and inner.op == "??" else inner

    def list_(self, parts: list[Node]) -> Node:
        return ListOf(tuple(parts[1:]), _at(parts[0]))

    def pair(self, parts: list[Node]) -> tuple[Node, Node]:
        return parts[0], parts[1]

    def plain_key(self, parts: list[Token]) -> Node:
        token = parts[0]
        if token.type == "STRING":
            return Literal(_unescape(token), _at(token))
        return Literal(str(token)[1:-1] if token.type == "RAW" else str(token), _at(token))

    def computed_key(self, parts: list[Node]) -> Node:
        return parts[0]

    def map_(self, parts: list[tuple[Node, Node] | Token]) -> Node:
        return MapOf(tuple(part for part in parts if not isinstance(part, Token)), _at(parts[0]))

    def predicate(self, parts: list[Node | Token]) -> Node:
        name, source, *body = parts
        assert isinstance(name, Token)
        assert not isinstance(source, Token)
        if not body and PREDICATES[str(name)]:
            raise ConditionError(f"found {name} without a closure", _at(name), f"write {name}(result, # > 1)")
        inner = body[0] if body else None
        assert not isinstance(inner, Token)
        return Predicate(str(name), source, inner, _at(name))

    def call(self, parts: list[Node | Token]) -> Node:
        name, *given = parts
        assert isinstance(name, Token)
        known = FUNCTIONS.get(str(name))
        if known is None:
            raise ConditionError(f"unknown name {name}", _at(name), did_you_mean(str(name), (*FUNCTIONS, *PREDICATES)))
        least, most = known
        if len(given) < least or (most is not None and len(given) > most):
            wanted = f"{least}" if most == least else f"at least {least}"
            raise ConditionError(f"found {len(given)} arguments for {name}", _at(name), f"it takes {wanted}")
        return Call(str(name), tuple(part for part in given if not isinstance(part, Token)), _at(name))


_PLAIN: Final = {"and": "&&", "or": "||", "^": "**"}
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "nil": None}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", "'": "'"}
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)")


def _unescape(token: Token) -> str:
    """The text between the quotes, with Go's escapes read."""

    def one(found: re.Match[str]) -> str:
        code = found[1]
        if code in _ESCAPES or code in '"`':
            return _ESCAPES.get(code, code)
        if len(code) > 1:
            value = int(code, 8) if code[0] in "01234567" else int(code[1:], 16)
            if value <= 0x10FFFF and not 0xD800 <= value < 0xE000:
                return chr(value)
        column = _at(token) + 1 + found.start()
        raise ConditionError(
            f"found the escape {_short(found[0])}", column, "write a backslash as \\\\, or use `raw text`"
        )

    return _ESCAPE.sub(one, str(token)[1:-1])


def _at(token: object) -> int:
    assert isinstance(token, Token)
    return (token.start_pos or 0) + 1
