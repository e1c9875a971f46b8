"""What do Go's numbers do where Python's do something else?

Whole numbers wrap at 64 bits; floats overflow to infinity and divide by zero without an error.
"""

from __future__ import annotations

import math

__all__ = ["divide", "extreme", "float_text", "go_number", "mean", "power", "rounded", "wrap"]


def wrap(number: int) -> int:
    """A whole number as 64 bits keep it."""
    return (number + 2**63) % 2**64 - 2**63


def go_number(left: float, right: float, answer: float) -> float:
    """`answer` as Go keeps it: two whole numbers give a whole number of 64 bits."""
    if isinstance(left, int) and isinstance(right, int) and isinstance(answer, int):
        return wrap(answer)
    return answer


def divide(left: float, right: float) -> float:
    """Floats; by zero an infinity with the sign of both, or NaN."""
    if right != 0:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def power(base: float, exponent: float) -> float:
    """Go's math.Pow: no errors, only infinities and NaN."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:
        if base == 0:  # to a negative power
            return math.copysign(math.inf, base) if exponent % 2 == 1 else math.inf
        return math.nan


def rounded(name: str, number: float) -> float:
    """`ceil`, `floor`, or `round` with halves away from zero; always a float."""
    if not math.isfinite(number):
        return float(number)
    match name:
        case "ceil":
            return float(math.ceil(number))
        case "floor":
            return float(math.floor(number))
        case _:  # halves go away from zero
            whole = math.floor(abs(number))
            return math.copysign(whole + (abs(number) - whole >= 0.5), number)


def extreme(numbers: list[float], *, largest: bool) -> float | None:
    """The first of the largest or smallest; nil of none. A NaN in front stays, one further on is passed over."""
    if not numbers:
        return None
    best = numbers[0]
    for number in numbers[1:]:
        if (number > best) if largest else (number < best):
            best = number
    return best


def float_text(value: float) -> str:
    """Shortest digits, as Go's %v: an exponent below 1e-4 and from 1e21 on."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value == 0 or 1e-4 <= abs(value) < 1e21:
        digits = f"{value:f}" if abs(value) >= 1e16 else repr(value)
        return digits.rstrip("0").rstrip(".") if "." in digits else digits
    mantissa, _, exponent = f"{value!r}".partition("e")
    if not exponent:  # repr writes 0.0001 and smaller with e only below 1e-4; large ones always have it here
        mantissa, _, exponent = f"{value:e}".partition("e")
    mantissa = mantissa.removesuffix(".0")
    return f"{mantissa}e{int(exponent):+03d}"


def mean(numbers: list[float]) -> float:
    """The sum, from left to right, over how many; 0 of none, as upstream has it."""
    return sum(map(float, numbers)) / len(numbers) if numbers else 0.0
