"""Does a pattern occur in a text, in time that no pattern can make long?

Go's regular expressions, which Argo uses for `matches` and for the names in `dryRun`, never backtrack; Python's `re`
does, and a scenario file could hang it with thirty characters. So the pattern becomes a small machine whose states are
all followed at once: time is at most text length times pattern size. Taken are literals, `.`, classes, the escapes
`\\d \\w \\s \\b` and their opposites, `^ $`, groups, `|`, `* + ? {m,n}` (also lazy), and the flags `(?i)` and `(?s)` in
front.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from zdsim.errors import ZdsimError

MAX_PATTERN: Final = 500  # characters
MAX_STATES: Final = 2000
MAX_REPEAT: Final = 1000  # as in Go
MAX_NESTING: Final = 50


class RegexError(ZdsimError):
    """A pattern that cannot be used; `position` counts its characters from 1."""

    def __init__(self, message: str, position: int) -> None:
        self.message = message
        self.position = position
        super().__init__(f"character {position} of the pattern: {message}")


@dataclass(frozen=True, slots=True)
class _Chars:
    """One character: inside one of `ranges`, or outside all of them."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def holds(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) != self.negated


@dataclass(frozen=True, slots=True)
class _Any:
    """Any one of several character sets (a class that mixes ranges and escapes)."""

    sets: tuple[_Chars, ...]
    negated: bool

    def holds(self, char: str) -> bool:
        return any(chars.holds(char) for chars in self.sets) != self.negated


@dataclass(frozen=True, slots=True)
class _Split:
    """Go on at both."""

    first: int
    second: int


@dataclass(frozen=True, slots=True)
class _Assert:
    """Go on only at a place of this kind: `^`, `$`, `b` (word boundary) or `B`."""

    kind: str


_State: TypeAlias = _Chars | _Any | _Split | _Assert | None  # None: the pattern has been found
_Program: TypeAlias = list[_State]

_DIGIT: Final = _Chars((("0", "9"),))
_WORD: Final = _Chars((("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z")))
_SPACE: Final = _Chars((("\t", "\n"), ("\f", "\r"), (" ", " ")))
_CLASSES: Final = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}


@dataclass(frozen=True, slots=True)
class Regex:
    """A compiled pattern."""

    pattern: str
    program: tuple[_State, ...]
    ignore_case: bool

    def search(self, text: str) -> bool:
        """Whether the pattern occurs anywhere in `text`.

        >>> compile_regex("^web-[0-9]+$").search("web-12")
        True
        """
        current: set[int] = set()
        for at in range(len(text) + 1):
            live = self._follow((*current, 0), text, at)
            if live is None:
                return True
            if at < len(text):
                current = {state + 1 for state in live if self._takes(state, text[at])}
        return False

    def _follow(self, states: Iterable[int], text: str, at: int) -> set[int] | None:
        """Every state that waits for the character at `at`; None when the pattern has been found."""
        live: set[int] = set()
        seen: set[int] = set()
        todo = list(states)
        while todo:
            state = todo.pop()
            if state in seen:
                continue
            seen.add(state)
            match self.program[state]:
                case None:
                    return None
                case _Split(first, second):
                    todo += (first, second)
                case _Assert(kind):
                    if _is_at(kind, text, at):
                        todo.append(state + 1)
                case _Chars() | _Any():
                    live.add(state)
        return live

    def _takes(self, state: int, char: str) -> bool:
        wanted = self.program[state]
        assert isinstance(wanted, (_Chars, _Any))
        if wanted.holds(char):
            return True
        return self.ignore_case and (wanted.holds(char.lower()) or wanted.holds(char.upper()))


@lru_cache(maxsize=256)
def compile_regex(pattern: str) -> Regex:
    """The machine for `pattern`.

    Raises:
        RegexError: it is not a pattern that is taken here, or too large.
    """
    if len(pattern) > MAX_PATTERN:
        raise RegexError(f"the pattern has {len(pattern)} characters; at most {MAX_PATTERN} are read", MAX_PATTERN + 1)
    return _Compiler(pattern).run()


def _is_at(kind: str, text: str, at: int) -> bool:
    match kind:
        case "^":
            return at == 0
        case "$":
            return at == len(text)
        case _:
            before = at > 0 and _WORD.holds(text[at - 1])
            after = at < len(text) and _WORD.holds(text[at])
            return (before != after) == (kind == "b")


class _Compiler:
    """Reads the pattern from left to right; each method returns relocatable states, jumps relative to their start."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.depth = 0
        self.dot: _Chars = _Chars((("\n", "\n"),), negated=True)
        self.ignore_case = False

    def run(self) -> Regex:
        while self.pattern.startswith(("(?i)", "(?s)", "(?is)", "(?si)"), self.at):
            flags = self.pattern[self.at + 2 : self.pattern.index(")", self.at)]
            self.ignore_case |= "i" in flags
            if "s" in flags:
                self.dot = _Chars((), negated=True)
            self.at += len(flags) + 3
        program = self.alternatives()
        if self.at < len(self.pattern):
            raise self.error("found ) without its (")
        return Regex(self.pattern, (*program, None), self.ignore_case)

    def alternatives(self) -> _Program:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self.error(f"more than {MAX_NESTING} groups inside one another")
        program = self.sequence()
        while self.peek() == "|":
            self.at += 1
            other = self.sequence()
            # split to either; after the first, jump over the second
            second = len(program) + 2
            program = [_Split(1, second), *_moved(program, 1), _goto(second + len(other)), *_moved(other, second)]
            self.bound(program)
        self.depth -= 1
        return program

    def sequence(self) -> _Program:
        program: _Program = []
        while self.peek() not in ("", "|", ")"):
            piece = self.repeated()
            program += _moved(piece, len(program))
            self.bound(program)
        return program

    def repeated(self) -> _Program:
        piece = self.atom()
        bounds = self.bounds()
        if bounds is None:
            return piece
        if self.peek() == "?":  # lazy: the same texts match
            self.at += 1
        if self.bounds() is not None:
            raise self.error("found two repetitions in a row; put the first in a group")
        low, high = bounds
        self.bound(piece, times=max(low, high or 1, 1))
        program: _Program = []
        for _ in range(low):
            program += _moved(piece, len(program))
        size = len(program)
        if high is None:
            program += [_Split(size + 1, size + len(piece) + 2), *_moved(piece, size + 1), _goto(size)]
        else:
            end = size + (high - low) * (len(piece) + 1)
            for _ in range(high - low):
                size = len(program)
                program += [_Split(size + 1, end), *_moved(piece, size + 1)]
        self.bound(program)
        return program

    def bounds(self) -> tuple[int, int | None] | None:
        char = self.peek()
        if char in ("*", "+", "?") and char:
            self.at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        if char != "{":
            return None
        close = self.pattern.find("}", self.at)
        low, comma, high = self.pattern[self.at + 1 : close].partition(",") if close > 0 else ("", "", "")
        if not _is_number(low) or (high and not _is_number(high)):
            return None  # a brace that stands for itself, as in Go
        bounds = int(low), (int(high) if high else None) if comma else int(low)
        if bounds[0] > MAX_REPEAT or (bounds[1] is not None and not bounds[0] <= bounds[1] <= MAX_REPEAT):
            raise self.error(f"a repetition must rise and stay within {MAX_REPEAT}")
        self.at = close + 1
        return bounds

    def atom(self) -> _Program:
        char = self.peek()
        if char in ("*", "+", "?"):
            raise self.error(f"found {char} with nothing to repeat")
        self.at += 1
        match char:
            case "(":
                return self.group()
            case "[":
                return [self.char_class()]
            case ".":
                return [self.dot]
            case "^" | "$":
                return [_Assert(char)]
            case "\\":
                return [self.escape()]
            case _:
                return [_Chars(((char, char),))]

    def group(self) -> _Program:
        start = self.at
        if self.peek() == "?":
            close = self.pattern.find(">", self.at)
            if self.pattern.startswith("?:", self.at):
                self.at += 2
            elif self.pattern.startswith(("?P<", "?<"), self.at) and close > 0 and self._named(close):
                self.at = close + 1
            else:
                raise self.error("only (?:...), (?P<name>...) and the flags (?i) and (?s) in front are taken")
        program = self.alternatives()
        if self.peek() != ")":
            self.at = start - 1
            raise self.error("found ( without its )")
        self.at += 1
        return program

    def _named(self, close: int) -> bool:
        return self.pattern[self.at : close].removeprefix("?P<").removeprefix("?<").isidentifier()

    def escape(self) -> _State:
        char = self.peek()
        if char in ("b", "B", "A", "z"):
            self.at += 1
            return _Assert({"A": "^", "z": "$"}.get(char, char))
        return self.escaped()

    def escaped(self) -> _Chars:
        """What stands after a backslash, in a class or outside."""
        char = self.peek()
        if char == "":
            raise self.error("found a backslash at the end")
        self.at += 1
        if char.lower() in _CLASSES:
            chars = _CLASSES[char.lower()]
            return _Chars(chars.ranges, negated=char.isupper())
        if char in _CONTROLS:
            char = _CONTROLS[char]
        elif char.isalnum() or not char.isascii():
            self.at -= 1
            raise self.error(f"the escape \\{char} is not taken")
        return _Chars(((char, char),))

    def char_class(self) -> _Any:
        start = self.at
        negated = self.peek() == "^"
        self.at += negated
        sets: list[_Chars] = []
        while self.peek() != "]" or not sets:
            low = self.class_item(start)
            single = len(low.ranges) == 1 and low.ranges[0][0] == low.ranges[0][1] and not low.negated
            if single and self.peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.class_item(start)
                pair = low.ranges[0][0], high.ranges[0][0]
                if high.negated or len(high.ranges) != 1 or high.ranges[0][0] != high.ranges[0][1] or pair[0] > pair[1]:
                    raise self.error("a range in a class must rise from one character to another")
                low = _Chars((pair,))
            sets.append(low)
        self.at += 1
        return _Any(tuple(sets), negated)

    def class_item(self, start: int) -> _Chars:
        char = self.peek()
        if char == "":
            self.at = start - 1
            raise self.error("found [ without its ]")
        if self.pattern.startswith("[:", self.at):
            raise self.error("named classes such as [:digit:] are not taken; write \\d")
        self.at += 1
        return self.escaped() if char == "\\" else _Chars(((char, char),))

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def bound(self, program: _Program, times: int = 1) -> None:
        if len(program) * times > MAX_STATES:
            raise self.error(f"the pattern needs more than {MAX_STATES} states; make repetitions smaller")

    def error(self, message: str) -> RegexError:
        return RegexError(message, self.at + 1)


def _moved(program: _Program, by: int) -> _Program:
    return [_Split(s.first + by, s.second + by) if isinstance(s, _Split) else s for s in program]


def _goto(target: int) -> _Split:
    return _Split(target, target)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5
