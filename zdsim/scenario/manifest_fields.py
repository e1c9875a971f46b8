"""How are values written in the manifests of Argo Rollouts and Flagger?

Go durations with their units, whole numbers that may be texts, `{{args.x}}` in their place, and parts that only
another system could make sense of. Values are kept so that they can be written and read back unchanged.

Source: argo-rollouts pkg/apis/rollouts/v1alpha1 (DurationString, intstr.IntOrString, DurationFromAnyType).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from zdsim.scenario.fields import MAX_SECONDS, Text, Whole, refuse_template
from zdsim.scenario.quantities import QuantityError, format_duration, parse_go_duration, show
from zdsim.scenario.spec import problem_error

ARG = re.compile(r"\{\{\s*(?:inputs\.)?args\.([A-Za-z0-9_.-]+)\s*\}\}")
_MAX_OPAQUE = 20_000
_GO_HINT = "write for example 90s or 1m30s"


@dataclass(frozen=True, slots=True)
class NotPlayed:
    """Marks a field that could change a rollout and is not simulated; `why` completes the notice."""

    why: str


def _go_duration(value: object) -> float:
    try:
        seconds = parse_go_duration(value)
    except QuantityError as problem:
        if isinstance(value, int) and not isinstance(value, bool):
            raise problem_error(
                "ZD1003", f"expected a text with a unit, got {value}", hint=f'write "{value}s"'
            ) from None
        code = "ZD1007" if isinstance(value, str) else "ZD1003"
        hint = problem.hint.replace("write seconds (90) or a duration such as 250ms, 90s, 1h30m", _GO_HINT)
        raise problem_error(code, str(problem), hint=hint) from None
    if not 0.0 <= seconds <= MAX_SECONDS:
        raise problem_error("ZD1005", f"must be between 0s and {MAX_SECONDS / 86400:.0f} days, got {show(value)}")
    return seconds


@dataclass(frozen=True, slots=True, eq=False)
class _GoDuration:
    """Seconds from `90s` or `1m30s`; with `args`, `{{args.x}}` is kept for later."""

    args: bool = False

    def read(self, value: object) -> float | str:
        if self.args and has_arg(value):
            assert isinstance(value, str)
            return value
        refuse_template(value)
        return _go_duration(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        write = core_schema.plain_serializer_function_ser_schema(_written_duration)
        return core_schema.no_info_plain_validator_function(self.read, serialization=write)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string"}


def _written_duration(value: float | str) -> str:
    return value if isinstance(value, str) else format_duration(value)


def has_arg(value: object) -> bool:
    """Does a text wait for an argument of its AnalysisTemplate?"""
    return isinstance(value, str) and ARG.search(value) is not None


@dataclass(frozen=True, slots=True, eq=False)
class _Count:
    """A whole number, or the same as a text (`"3"`), or `{{args.x}}`."""

    ge: int = -(2**31)
    le: int = 2**31 - 1

    def read(self, value: object) -> int | str:
        if has_arg(value):
            assert isinstance(value, str)
            return value
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,10}", value):
            value = int(value)
        return Whole(ge=self.ge, le=self.le).read(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": ["integer", "string"]}


@dataclass(frozen=True, slots=True, eq=False)
class _PauseSeconds:
    """Whole seconds of 30, "30", "30s", "5m" (cut to whole ones, as the controller does); -1 of what it cannot read."""

    def read(self, value: object) -> int:
        refuse_template(value)
        if isinstance(value, str):
            if re.fullmatch(r"[0-9]{1,9}", value):
                return int(value)
            try:
                seconds = int(parse_go_duration(value))
            except QuantityError as problem:
                message = f"{problem}: InvalidSpec, nothing would move"
                raise problem_error("ZD1032", message, hint='write 30, "90s", "10m" or "1h"') from None
        else:
            seconds = Whole(ge=-(2**31), unit="whole seconds, or a duration such as 10m").read(value)
        if seconds < 0 or seconds > MAX_SECONDS:
            raise problem_error("ZD1032", f"must not be negative, got {show(value)}: InvalidSpec, nothing would move")
        return seconds

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": ["integer", "string"]}


@dataclass(frozen=True, slots=True, eq=False)
class _Opaque:
    """Whatever stands there, as JSON text: kept, not understood."""

    def read(self, value: object) -> str:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        return text if len(text) <= _MAX_OPAQUE else text[:_MAX_OPAQUE]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {}


GoSeconds = Annotated[float, _GoDuration()]
GoSecondsOrArg = Annotated[float | str, _GoDuration(args=True)]
CountOrArg = Annotated[int | str, _Count()]
PauseSeconds = Annotated[int, _PauseSeconds()]
Opaque = Annotated[str, _Opaque()]
Int32 = Annotated[int, Whole(ge=-(2**31), le=2**31 - 1)]
Natural = Annotated[int, Whole(ge=0, le=2**31 - 1)]
Words = tuple[Text, ...]

__all__ = [
    "ARG",
    "CountOrArg",
    "GoSeconds",
    "GoSecondsOrArg",
    "Int32",
    "Natural",
    "NotPlayed",
    "Opaque",
    "PauseSeconds",
    "Words",
    "has_arg",
]
