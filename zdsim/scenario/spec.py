"""What do all parts of a scenario have in common?

`Spec` is the base of every section: frozen, closed to unknown keys, and able to say more than one thing at a time about
values that do not fit together. Authors write the alias (`startup`, `minReadySeconds`), Python reads the name with its
unit (`min_ready_s`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about values taken together: where (relative to the section), what, and what to do."""

    message: str
    at: tuple[str | int, ...] = ()
    hint: str = ""
    code: str = "ZD1006"


@dataclass(frozen=True, slots=True)
class Assumed:
    """Marks a field that no manifest can say; `why` completes the line in the report's "assumed"."""

    why: str


class Spec(BaseModel):
    """A section of a scenario."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        validate_default=False,
        hide_input_in_errors=True,
        defer_build=True,
    )

    def conflicts(self) -> Iterator[Finding]:
        """What makes this section unusable although each value is fine."""
        return iter(())

    def cautions(self) -> Iterator[Finding]:
        """What the author should know although it can be used; told as warnings."""
        return iter(())

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = list(self.conflicts())
        if found:
            raise problem_error("ZD1006", "; ".join(one.message for one in found), findings=found)
        return self


def problem_error(code: str, message: str, *, hint: str = "", findings: list[Finding] | None = None) -> Exception:
    """A validation error that pydantic carries to `load` with its code, hint and findings."""
    context: dict[str, Any] = {"text": message, "hint": hint, "findings": findings or []}
    return PydanticCustomError(code, "{text}", context)
