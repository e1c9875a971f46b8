"""Which kinds of values can a field take, and what is said when it gets another?

Each kind reads what an author writes and what `model_dump` wrote, checks type and range in one place, and describes
itself to the JSON Schema. Past here a duration is a float of seconds and a share a float of one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from zdsim.scenario.quantities import (
    QuantityError,
    format_duration,
    format_rate,
    is_template,
    parse_cpu,
    parse_duration,
    parse_int_or_percent,
    parse_memory,
    parse_rate,
    parse_share,
    show,
)
from zdsim.scenario.spec import problem_error

MAX_SECONDS = 366 * 86400.0

TEMPLATE_HINT = "fill it in first (helm template, envsubst, kustomize build), or give the value with -s PATH=VALUE"

_DURATION_PATTERN = r"^\s*[+-]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h|d))+\s*$|^\s*[0-9.]+\s*$"
_SHARE_PATTERN = r"^\s*[0-9.]+\s*%?\s*$"
_RATE_PATTERN = r"^\s*[0-9.]+(e[0-9]+)?\s*[kKM]?\s*(rps|qps|(req|requests)?\s*/\s*[a-z]+)?\s*$"
_QUANTITY_PATTERN = r"^[0-9.]+([eE][+-]?[0-9]+|Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E)?$"


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a quantity is read, written in messages, and described to an editor."""

    parse: Callable[[object], float]
    write: Callable[[float], str]
    json: dict[str, Any]


def _bare(value: float) -> str:
    return f"{value:.10g}"


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise QuantityError(f"expected a number, got {show(value)}")
    try:
        return float(value)
    except OverflowError:
        raise QuantityError(f"expected a finite number, got {show(value)}") from None


_KINDS: dict[str, _Kind] = {
    "duration": _Kind(parse_duration, format_duration, {"pattern": _DURATION_PATTERN}),
    "share": _Kind(parse_share, lambda share: f"{share * 100:.10g}%", {"pattern": _SHARE_PATTERN}),
    "rate": _Kind(parse_rate, format_rate, {"pattern": _RATE_PATTERN}),
    "cpu": _Kind(parse_cpu, _bare, {"pattern": _QUANTITY_PATTERN}),
    "memory": _Kind(parse_memory, lambda size: f"{size:.0f} bytes", {"pattern": _QUANTITY_PATTERN}),
    "number": _Kind(_number, _bare, {}),
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A float with a kind and a range: `Annotated[float, Quantity("duration", gt=0)]`."""

    kind: Literal["duration", "share", "rate", "cpu", "memory", "number"]
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def read(self, value: object) -> float:
        """The value, checked; raises the error that `load` turns into a problem."""
        kind = _KINDS[self.kind]
        refuse_template(value)
        try:
            number = kind.parse(value)
        except QuantityError as problem:
            code = "ZD1007" if isinstance(value, str) else "ZD1003"
            raise problem_error(code, str(problem), hint=problem.hint) from None
        if not abs(number) < float("inf"):
            raise problem_error("ZD1005", f"must be a finite number, got {show(value)}")
        self._check(number, value, kind.write)
        return number

    def _check(self, number: float, value: object, write: Callable[[float], str]) -> None:
        limit = None
        if self.ge is not None and number < self.ge:
            limit = f"at least {write(self.ge)}"
        elif self.gt is not None and number <= self.gt:
            limit = f"more than {write(self.gt)}"
        elif self.le is not None and number > self.le:
            limit = f"at most {write(self.le)}"
        elif self.lt is not None and number >= self.lt:
            limit = f"less than {write(self.lt)}"
        if limit is None:
            return
        hint = ""
        if self.kind == "share" and 1 < number <= 100 and not (isinstance(value, str) and "%" in value):
            hint = f'for {number:g} percent write "{number:g}%"'
        got = value if isinstance(value, str) else _bare(number)
        raise problem_error("ZD1005", f"must be {limit}, got {got}", hint=hint)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read, serialization=core_schema.plain_serializer_function_ser_schema(float, when_used="json")
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        number: dict[str, Any] = {"type": "number"}
        names = {"minimum": self.ge, "exclusiveMinimum": self.gt, "maximum": self.le, "exclusiveMaximum": self.lt}
        number |= {name: limit for name, limit in names.items() if limit is not None}
        text = _KINDS[self.kind].json
        return {"anyOf": [number, {"type": "string", **text}]} if text else number


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number in a range; `unit` names it in messages ("whole seconds")."""

    ge: int = 0
    le: int = 1_000_000
    unit: str = "a whole number"

    def read(self, value: object) -> int:
        """The value, checked."""
        refuse_template(value)
        if isinstance(value, bool) or not isinstance(value, int):
            hint = ""
            if isinstance(value, float) and value == round(value, 0) and abs(value) < 1e9:
                hint = f"write {value:.0f}"
            elif isinstance(value, str):
                hint = self._from_text(value)
            raise problem_error("ZD1003", f"expected {self.unit}, got {show(value)}", hint=hint)
        if value < self.ge:
            raise problem_error("ZD1005", f"must be at least {self.ge}, got {show(value)}")
        if value > self.le:
            raise problem_error("ZD1005", f"must be at most {self.le}, got {show(value)}")
        return value

    def _from_text(self, text: str) -> str:
        if re.fullmatch(r"\s*\d{1,9}\s*", text, re.ASCII):
            return f"write it without quotes: {int(text)}"
        if "second" in self.unit:
            try:
                seconds = parse_duration(text)
            except QuantityError:
                return ""
            if seconds == int(seconds):
                return f"Kubernetes takes a number here: write {seconds:.0f}"
            return "Kubernetes takes a whole number of seconds here"
        return ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read, serialization=core_schema.plain_serializer_function_ser_schema(int, when_used="json")
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.ge, "maximum": self.le}


@dataclass(frozen=True, slots=True, eq=False)
class _Reader:
    """A kind with its own reading function and JSON Schema."""

    read: Callable[[object], Any]
    json: dict[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self.json)


def refuse_template(value: object) -> None:
    """Raises the error of a placeholder that nobody filled in, if this is one."""
    if is_template(value):
        raise problem_error("ZD1008", f"the placeholder {show(value)} was not filled in", hint=TEMPLATE_HINT)


_YES_NO = {"yes": "true", "on": "true", "y": "true", "true": "true"}
_YES_NO |= {"no": "false", "off": "false", "n": "false", "false": "false"}


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    refuse_template(value)
    fix = _YES_NO.get(value.lower()) if isinstance(value, str) else None
    hint = f"YAML 1.2 reads {value} as a text: write {fix} (no quotes)" if fix else ""
    raise problem_error("ZD1003", f"expected true or false, got {show(value)}", hint=hint)


def _int_or_percent(value: object) -> int | str:
    refuse_template(value)
    try:
        return parse_int_or_percent(value)
    except QuantityError as problem:
        code = "ZD1005" if str(problem).startswith("must be") else "ZD1003"
        raise problem_error(code, str(problem), hint=problem.hint) from None


def _text(value: object, *, limit: int, pattern: re.Pattern[str] | None, what: str, newlines: bool = False) -> str:
    if not isinstance(value, str):
        hint = "put it in quotes" if isinstance(value, int | float) else ""
        raise problem_error("ZD1003", f"expected {what}, got {show(value)}", hint=hint)
    if len(value) > limit:
        raise problem_error("ZD1005", f"must have at most {limit} characters, has {len(value)}")
    if not all(char.isprintable() or (newlines and char in "\n\t") for char in value):
        raise problem_error("ZD1005", f"must not hold control characters, got {show(value)}")
    if pattern is not None and not pattern.fullmatch(value):
        hint = "use letters, digits and _ . - and begin with a letter or digit"
        raise problem_error("ZD1005", f"expected {what}, got {show(value)}", hint=hint)
    return value


def _port(value: object) -> int | str:
    refuse_template(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        return value
    if (
        isinstance(value, str)
        and re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", value)
        and not value.isdigit()
        and len(value) <= 15
    ):
        return value
    hint = f"write {value} without quotes" if isinstance(value, str) and value.isdigit() else ""
    code = "ZD1005" if isinstance(value, int) and not isinstance(value, bool) else "ZD1003"
    raise problem_error(code, f"expected a port (1 to 65535) or the name of one, got {show(value)}", hint=hint)


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. -]*")


def _enum(cls: type[StrEnum], value: object) -> StrEnum:
    if isinstance(value, str):
        try:
            return cls(value)
        except ValueError:
            pass
    refuse_template(value)
    allowed = [str(member.value) for member in cls]
    raise problem_error("ZD1004", *_choose(value, allowed))


def _choose(value: object, allowed: list[str]) -> tuple[str]:
    return (f"expected {one_of(allowed)}, got {show(value)}{did_you_mean(value, allowed)}",)


def one_of(allowed: list[str]) -> str:
    """`a, b or c`."""
    if len(allowed) == 1:
        return allowed[0]
    return ", ".join(allowed[:-1]) + f" or {allowed[-1]}"


def did_you_mean(value: object, allowed: list[str]) -> str:
    """`; did you mean 'x'?` when one of the allowed words is close to `value`, else nothing."""
    close = closest(value, allowed)
    return f"; did you mean '{close}'?" if close else ""


def closest(value: object, allowed: list[str]) -> str | None:
    """The allowed word that `value` was most likely meant to be, or None."""
    import difflib

    if not isinstance(value, str) or not value or len(value) > 100:
        return None
    plain = {_squash(word): word for word in allowed}
    if _squash(value) in plain:  # min-ready-seconds, MinReadySeconds
        return plain[_squash(value)]
    close = difflib.get_close_matches(_squash(value), plain, n=1, cutoff=0.7)
    return plain[close[0]] if close else None


def _squash(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


def choice(cls: type[StrEnum]) -> _Reader:
    """The metadata of an enum field: `Annotated[Color, choice(Color)]`."""
    return _Reader(partial(_enum, cls), {"type": "string", "enum": [member.value for member in cls]})


# The kinds by name. `Seconds` and its like are floats to everyone else.
Seconds = Annotated[float, Quantity("duration", ge=0, le=MAX_SECONDS)]
PositiveSeconds = Annotated[float, Quantity("duration", gt=0, le=MAX_SECONDS)]
Share = Annotated[float, Quantity("share", ge=0, le=1)]
PositiveShare = Annotated[float, Quantity("share", gt=0, le=1)]
Rate = Annotated[float, Quantity("rate", ge=0, le=10_000_000)]
PositiveRate = Annotated[float, Quantity("rate", gt=0, le=10_000_000)]
Cores = Annotated[float, Quantity("cpu", ge=0, le=100_000)]
Bytes = Annotated[float, Quantity("memory", ge=0, le=2.0**60)]
Factor = Annotated[float, Quantity("number", gt=0, le=10_000)]
NonNegative = Annotated[float, Quantity("number", ge=0, le=1e12)]
Flag = Annotated[bool, _Reader(_flag, {"type": "boolean"})]
IntOrPercent = Annotated[
    int | str,
    _Reader(
        _int_or_percent, {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+%$"}]}
    ),
]
Name = Annotated[
    str,
    _Reader(
        partial(_text, limit=253, pattern=_NAME, what="a name"), {"type": "string", "minLength": 1, "maxLength": 253}
    ),
]
Text = Annotated[
    str, _Reader(partial(_text, limit=10_000, pattern=None, what="a text", newlines=True), {"type": "string"})
]
Port = Annotated[int | str, _Reader(_port, {"type": ["integer", "string"]})]
FileName = Annotated[
    str, _Reader(partial(_text, limit=4096, pattern=None, what="a file name"), {"type": "string", "minLength": 1})
]
