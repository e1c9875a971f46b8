"""By which law is a random time drawn?

A law is written as a mapping with its `kind`, or as a plain duration, which is the constant law. Only shape and
parameters live here; drawing is the business of whoever owns the random streams.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from zdsim.scenario.fields import FileName, NonNegative, PositiveSeconds, Quantity, Seconds
from zdsim.scenario.quantities import format_duration
from zdsim.scenario.spec import Finding, Spec

Z99 = 2.3263478740408408  # 99 % quantile of the standard normal law
_MAX_RATIO = math.exp(Z99 * Z99 / 2)  # p99 / mean of any lognormal law stays below this: 14.97


class ConstantLaw(Spec):
    """Always the same time."""

    kind: Literal["constant"] = "constant"
    value_s: Seconds = Field(alias="value")

    @property
    def expected_s(self) -> float:
        """Mean, in seconds."""
        return self.value_s

    def __str__(self) -> str:
        return f"{format_duration(self.value_s)} constant"


class ExponentialLaw(Spec):
    """Memoryless, by its mean."""

    kind: Literal["exponential"]
    mean_s: PositiveSeconds = Field(alias="mean")

    @property
    def expected_s(self) -> float:
        """Mean, in seconds."""
        return self.mean_s

    def __str__(self) -> str:
        return f"exponential, mean {format_duration(self.mean_s)}"


class LognormalLaw(Spec):
    """Skewed to the right, by its 99th percentile and either mean or median."""

    kind: Literal["lognormal"]
    mean_s: PositiveSeconds | None = Field(None, alias="mean")
    median_s: PositiveSeconds | None = Field(None, alias="median")
    p99_s: PositiveSeconds = Field(alias="p99")

    def conflicts(self) -> Iterator[Finding]:
        if (self.mean_s is None) == (self.median_s is None):
            yield Finding("give either mean or median, with p99", hint="for example {mean: 50ms, p99: 200ms}")
            return
        centre, word = (self.mean_s, "mean") if self.mean_s is not None else (self.median_s, "median")
        assert centre is not None
        if self.p99_s <= centre:
            yield Finding(
                f"p99 ({format_duration(self.p99_s)}) must be above the {word} ({format_duration(centre)})", ("p99",)
            )
        elif self.mean_s is not None and self.p99_s / self.mean_s >= _MAX_RATIO:
            yield Finding(
                f"no lognormal law has p99 at {self.p99_s / self.mean_s:.3g} times its mean (at most {_MAX_RATIO:.4g})",
                ("p99",),
                hint="give the median instead of the mean",
            )

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm.

        From p99 = exp(mu + z sigma) and mean = exp(mu + sigma^2 / 2): the smaller root of a quadratic.
        """
        if self.median_s is not None:
            return math.log(self.p99_s / self.median_s) / Z99
        assert self.mean_s is not None
        # z - sqrt(z^2 - 2r) without its cancellation for small r.
        ratio = 2.0 * math.log(self.p99_s / self.mean_s)
        return ratio / (Z99 + math.sqrt(Z99 * Z99 - ratio))

    @property
    def mu(self) -> float:
        """Mean of the logarithm; exp(mu) seconds is the median."""
        return math.log(self.p99_s) - Z99 * self.sigma

    @property
    def expected_s(self) -> float:
        """Mean, in seconds."""
        return self.mean_s if self.mean_s is not None else math.exp(self.mu + self.sigma * self.sigma / 2.0)

    def __str__(self) -> str:
        centre = (
            f"mean {format_duration(self.mean_s)}"
            if self.mean_s is not None
            else f"median {format_duration(self.median_s or 0.0)}"
        )
        return f"lognormal, {centre}, p99 {format_duration(self.p99_s)}"


class GammaLaw(Spec):
    """By mean and coefficient of variation (1 is exponential, below 1 more regular)."""

    kind: Literal["gamma"]
    mean_s: PositiveSeconds = Field(alias="mean")
    cv: Annotated[float, Quantity("number", gt=0, le=20)]

    @property
    def expected_s(self) -> float:
        """Mean, in seconds."""
        return self.mean_s

    def __str__(self) -> str:
        return f"gamma, mean {format_duration(self.mean_s)}, cv {self.cv:g}"


class UniformLaw(Spec):
    """Anything between low and high alike."""

    kind: Literal["uniform"]
    low_s: Seconds = Field(alias="low")
    high_s: Seconds = Field(alias="high")

    def conflicts(self) -> Iterator[Finding]:
        if self.high_s < self.low_s:
            yield Finding(
                f"high ({format_duration(self.high_s)}) is below low ({format_duration(self.low_s)})", ("high",)
            )

    @property
    def expected_s(self) -> float:
        """Mean, in seconds."""
        return (self.low_s + self.high_s) / 2.0

    def __str__(self) -> str:
        return f"uniform {format_duration(self.low_s)} to {format_duration(self.high_s)}"


class ParetoLaw(Spec):
    """Bounded Pareto: heavy tail with index alpha between low and high."""

    kind: Literal["pareto"]
    low_s: PositiveSeconds = Field(alias="low")
    high_s: PositiveSeconds = Field(alias="high")
    alpha: Annotated[float, Quantity("number", gt=0, le=100)]

    def conflicts(self) -> Iterator[Finding]:
        if self.high_s <= self.low_s:
            yield Finding(
                f"high ({format_duration(self.high_s)}) must be above low ({format_duration(self.low_s)})", ("high",)
            )

    @property
    def expected_s(self) -> float:
        """Mean, in seconds; the limit value at alpha = 1."""
        low, high, alpha = self.low_s, self.high_s, self.alpha
        ratio = low / high
        if abs(alpha - 1.0) < 1e-9:
            return low * math.log(high / low) / (1.0 - ratio)
        # low^a/(1-(low/high)^a) * a/(a-1) * (low^(1-a) - high^(1-a)), with low taken out of every power.
        return float(low * alpha / (alpha - 1.0) * (1.0 - ratio ** (alpha - 1.0)) / (1.0 - ratio**alpha))

    def __str__(self) -> str:
        return f"pareto {format_duration(self.low_s)} to {format_duration(self.high_s)}, alpha {self.alpha:g}"


class EmpiricalLaw(Spec):
    """Measured values, each as likely as the others; `file` names a text with one per line (read while loading)."""

    kind: Literal["empirical"]
    values_s: tuple[Seconds, ...] = Field((), alias="values", max_length=1_000_000)
    file: FileName | None = None

    def conflicts(self) -> Iterator[Finding]:
        if self.file is not None:
            yield Finding("a file of values is read only while loading a scenario file", ("file",))
        elif not self.values_s:
            yield Finding("give at least one of the measured values", ("values",), hint="values: [12ms, 15ms, 40ms]")

    @property
    def expected_s(self) -> float:
        """Mean, in seconds."""
        return math.fsum(self.values_s) / len(self.values_s)

    def __str__(self) -> str:
        return f"empirical, {len(self.values_s)} values, mean {format_duration(round(self.expected_s, 6))}"


def _plain_is_constant(value: Any) -> Any:
    """A plain duration is the constant law."""
    if isinstance(value, dict | Spec):
        return value
    return {"kind": "constant", "value": value}


class _OrDuration:
    """Tells the JSON Schema that a plain duration will do."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        law = handler(schema)
        plain = Quantity("duration", ge=0).__get_pydantic_json_schema__(schema, handler)
        return {"anyOf": [*plain["anyOf"], law]}


AnyLaw = ConstantLaw | ExponentialLaw | LognormalLaw | GammaLaw | UniformLaw | ParetoLaw | EmpiricalLaw

Law = Annotated[
    AnyLaw,
    Discriminator("kind"),
    BeforeValidator(_plain_is_constant),
    _OrDuration(),
]
"""A time drawn at random, or always the same."""


def constant(value_s: float) -> ConstantLaw:
    """The law of a fixed time."""
    return ConstantLaw(value_s=value_s)


def lognormal(*, p99_s: float, mean_s: float | None = None, median_s: float | None = None) -> LognormalLaw:
    """The lognormal law by p99 and mean or median."""
    return LognormalLaw(kind="lognormal", mean_s=mean_s, median_s=median_s, p99_s=p99_s)


__all__ = [
    "AnyLaw",
    "ConstantLaw",
    "EmpiricalLaw",
    "ExponentialLaw",
    "GammaLaw",
    "Law",
    "LognormalLaw",
    "NonNegative",
    "ParetoLaw",
    "UniformLaw",
    "constant",
    "lognormal",
]
