"""How are durations, shares, rates and Kubernetes quantities written, and what number do they mean?

Pure functions of one value, exact up to the last rounding to a float: `0.1s` is the float nearest to one tenth. Each
raises `QuantityError` (a ValueError) that says what was found and how to write it.

Source:
    Go's time.ParseDuration for the forms of a duration; Kubernetes `resource.Quantity` (apimachinery
    pkg/api/resource/quantity.go) for suffixes; `intstr.GetScaledValueFromIntOrPercent` for `scaled`.
"""

from __future__ import annotations

import math
import re
from decimal import ROUND_CEILING, Decimal

MAX_TEXT = 64  # characters; nobody writes a longer number in good faith

_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
_PLAIN = re.compile(rf"[+-]?{_NUMBER}(?:[eE][+-]?\d{{1,3}})?", re.ASCII)
_DURATION_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|s|m|h|d)", re.ASCII)
_UNIT_S: dict[str, Decimal] = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "μs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_RATE = re.compile(
    rf"([+-]?{_NUMBER}(?:[eE][+-]?\d{{1,3}})?)\s*(k|K|M)?\s*(?:(rps|qps)|(?:req|requests)?\s*/\s*(s|sec|second|m|min|minute|h|hour|d|day))?",
    re.ASCII,
)
_RATE_UNIT_S = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
_RATE_UNIT_S |= {"d": 86400, "day": 86400}
_RATE_SCALE = {None: 1, "k": 1000, "K": 1000, "M": 1_000_000}
_QUANTITY = re.compile(rf"([+-]?{_NUMBER})(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d{{1,3}})?", re.ASCII)
_SUFFIX: dict[str, Decimal] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}
_PERCENT = re.compile(r"\d{1,9}%", re.ASCII)
_TEMPLATE = re.compile(r"\{\{|\}\}|\$\{|\$\(|\{%|<%|%\{|\$[A-Za-z_]|^<[A-Za-z_ -]+>$|^@[A-Za-z_.]+@$")


class QuantityError(ValueError):
    """A text that is not the quantity it should be; `hint` says how to write it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def is_template(value: object) -> bool:
    """Does this look like a placeholder that some tool should have filled in?

    >>> [is_template(v) for v in ("{{ .Values.replicas }}", "${REPLICAS}", "$(PORT)", "3", "25%")]
    [True, True, True, False, False]
    """
    return isinstance(value, str) and _TEMPLATE.search(value) is not None


def parse_duration(value: object) -> float:
    """Seconds. A number is seconds; a text is a number or parts such as `1h30m`, `250ms`, `1.5s`, `1d`.

    >>> [parse_duration(v) for v in (90, "90", "90s", "1h30m", "250ms", "-1.5s")]
    [90.0, 90.0, 90.0, 5400.0, 0.25, -1.5]
    """
    hint = "write seconds (90) or a duration such as 250ms, 90s, 1h30m"
    if (number := _as_number(value)) is not None:
        return number
    text = _text(value, "a duration", hint)
    if _PLAIN.fullmatch(text):
        return _finite(Decimal(text), text, hint)
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("+", "-") else text
    total, end = Decimal(0), 0
    for part in _DURATION_PART.finditer(rest):
        if part.start() != end:
            break
        total += Decimal(part[1]) * _UNIT_S[part[2]]
        end = part.end()
    if end != len(rest) or not rest:
        unit = re.fullmatch(rf"{_NUMBER}\s*([^\d\s.]+)", rest, re.ASCII)
        if unit:
            suggestion = _UNIT_WORDS.get(unit[1].lower())
            also = f"; for {unit[1]!r} write {suggestion!r}" if suggestion else ""
            raise QuantityError(f"unknown unit {show(unit[1])} in duration {show(text)}", hint + also)
        raise QuantityError(f"expected a duration, got {show(text)}", hint)
    return _finite(sign * total, text, hint)


_UNIT_WORDS = {
    word: unit
    for unit, words in {
        "s": "sec secs second seconds",
        "m": "min mins minute minutes",
        "h": "hr hrs hour hours",
        "d": "day days",
        "ms": "msec millis milliseconds millisecond",
        "us": "usec micros microseconds",
    }.items()
    for word in words.split()
}


def parse_go_duration(value: object) -> float:
    """Seconds, as Go's time.ParseDuration reads them: a text, a unit on every part (`0` alone needs none), no days.

    >>> [parse_go_duration(v) for v in ("1m30s", "0", "-1.5h")]
    [90.0, 0.0, -5400.0]
    """
    text = _text(value, "a duration with a unit", "write for example 90s or 1m30s")
    if text.lstrip("+-") == "0":
        return 0.0
    if _PLAIN.fullmatch(text):
        raise QuantityError(f"missing unit in duration {show(text)}", f"write {text}s")
    if "d" in text:
        raise QuantityError(f"unknown unit 'd' in duration {show(text)}", "Go durations end at hours: write 24h")
    return parse_duration(text)


def format_duration(seconds: float) -> str:
    """The shortest exact way to write a duration that a reader takes in at a glance.

    >>> [format_duration(s) for s in (0, 0.05, 0.0005, 2, 90, 5400, 86400.5, 1e-9)]
    ['0s', '50ms', '500us', '2s', '1m30s', '1h30m', '86400.5s', '1ns']
    """
    if not math.isfinite(seconds):
        return f"{seconds}s"
    exact = Decimal(repr(float(seconds)))
    if exact == 0:
        return "0s"
    if exact < 0:
        return "-" + format_duration(-seconds)
    if exact < 1:
        for unit in ("ms", "us", "ns"):
            scaled_value = exact / _UNIT_S[unit]
            if scaled_value >= 1:
                return f"{_plain(scaled_value)}{unit}"
        return f"{_plain(exact)}s"
    if exact < 60 or exact != exact.to_integral_value():
        return f"{_plain(exact)}s"
    whole, parts = int(exact), []
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def parse_share(value: object) -> float:
    """A share of one whole: `"25%"` or 0.25. The range is for the caller to check.

    >>> [parse_share(v) for v in ("25%", 0.25, "0.25", "0.1%", 1)]
    [0.25, 0.25, 0.25, 0.001, 1.0]
    """
    hint = 'write a percentage ("25%") or a share of one (0.25)'
    if (number := _as_number(value)) is not None:
        return number
    text = _text(value, "a percentage", hint)
    body = text.removesuffix("%").rstrip()
    if not _PLAIN.fullmatch(body):
        raise QuantityError(f"expected a percentage, got {show(text)}", hint)
    return _finite(Decimal(body) / (100 if text.endswith("%") else 1), text, hint)


def parse_rate(value: object) -> float:
    """Events per second: a number, or `2k/s`, `500/s`, `30/m`, `1.5M/h`, `200 rps`.

    >>> [parse_rate(v) for v in (200, "200", "2k/s", "30/m", "1.5M/h", "200 rps")]
    [200.0, 200.0, 2000.0, 0.5, 416.6666666666667, 200.0]
    """
    hint = "write a rate such as 200/s, 2k/s or 30/m; a bare number is per second"
    if (number := _as_number(value)) is not None:
        return number
    text = _text(value, "a rate", hint)
    match = _RATE.fullmatch(text)
    if match is None:
        raise QuantityError(f"expected a rate, got {show(text)}", hint)
    per_s = _RATE_UNIT_S.get(match[4] or "s", 1)
    return _finite(Decimal(match[1]) * _RATE_SCALE[match[2]] / per_s, text, hint)


def format_rate(per_s: float) -> str:
    """`2000.0` -> `2000/s`."""
    return f"{per_s:.10g}/s"


def parse_quantity(value: object) -> Decimal:
    """A Kubernetes quantity, exact: `250m` is 0.25, `1.5Gi` is 1610612736.

    >>> [str(parse_quantity(v)) for v in ("250m", "1.5Gi", 2, "1e3", "0.5")]
    ['0.250', '1610612736.0', '2', '1E+3', '0.5']
    """
    hint = "write a Kubernetes quantity such as 250m, 2, 512Mi or 1.5Gi"
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise QuantityError(f"expected a quantity, got {show(value)}", hint)
    text = value.strip() if isinstance(value, str) else str(value)
    if len(text) > MAX_TEXT:
        raise QuantityError(f"expected a quantity, got {show(text)}", hint)
    match = _QUANTITY.fullmatch(text)
    if match is None:
        near = re.fullmatch(rf"({_NUMBER})\s*([A-Za-z]+)", text)
        fix = _QUANTITY_WORDS.get(near[2].lower()) if near else None
        also = f"; did you mean {near[1]}{fix}?" if near and fix is not None else ""
        raise QuantityError(f"expected a quantity, got {show(text)}", hint + also)
    suffix = match[2] or ""
    scale = _SUFFIX[suffix] if suffix in _SUFFIX else Decimal(f"1{suffix}") if suffix else Decimal(1)
    return Decimal(match[1]) * scale


_QUANTITY_WORDS = {"kb": "k", "mb": "M", "gb": "G", "tb": "T", "kib": "Ki", "mib": "Mi", "gib": "Gi", "tib": "Ti"}
_QUANTITY_WORDS |= {"ki": "Ki", "mi": "Mi", "gi": "Gi", "g": "G", "b": "", "cpu": "", "cores": "", "core": ""}


def parse_cpu(value: object) -> float:
    """CPU cores; Kubernetes rounds up to whole thousandths.

    >>> [parse_cpu(v) for v in ("250m", 2, "0.5", "100u")]
    [0.25, 2.0, 0.5, 0.001]
    """
    exact = parse_quantity(value)
    return _finite((exact * 1000).to_integral_value(ROUND_CEILING) / 1000, str(value), "write cores: 250m, 0.5 or 2")


def parse_memory(value: object) -> float:
    """Bytes, rounded up to a whole one.

    >>> [parse_memory(v) for v in ("1.5Gi", "512Mi", "1k", 100)]
    [1610612736.0, 536870912.0, 1000.0, 100.0]
    """
    exact = parse_quantity(value)
    return _finite(exact.to_integral_value(ROUND_CEILING), str(value), "write bytes: 512Mi, 1.5Gi")


def parse_int_or_percent(value: object) -> int | str:
    """What maxSurge and maxUnavailable take: a whole number, or a whole percentage kept as its text.

    >>> [parse_int_or_percent(v) for v in (3, "25%", 0)]
    [3, '25%', 0]
    """
    hint = 'write a whole number (1) or a percentage ("25%")'
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise QuantityError(f"must be at least 0 or a percentage, got {value}", hint)
        if value > 1_000_000:
            raise QuantityError(f"must be at most 1000000 or a percentage, got {show(value)}", hint)
        return value
    if isinstance(value, str):
        text = value.strip()
        if _PERCENT.fullmatch(text):
            return f"{int(text[:-1])}%"
        if text.isascii() and text.isdigit() and len(text) < 10:
            raise QuantityError(
                f"expected a whole number or a percentage, got the text {show(text)}",
                f'Kubernetes refuses a number in quotes here: write {int(text)} or "{int(text)}%"',
            )
        if text.startswith("-"):
            raise QuantityError(f"must be at least 0 or a percentage, got {show(text)}", hint)
    if isinstance(value, float) and 0 < value < 1:
        hint = f'Kubernetes takes no fraction here: write "{value * 100:.0f}%"'
    raise QuantityError(f"expected a whole number or a percentage, got {show(value)}", hint)


def scaled(value: int | str, total: int, *, round_up: bool) -> int:
    """An int-or-percent as a number of pods out of `total` (Kubernetes: surge rounds up, unavailable down).

    >>> [scaled("25%", 10, round_up=True), scaled("25%", 10, round_up=False), scaled(4, 10, round_up=True)]
    [3, 2, 4]
    """
    if isinstance(value, int):
        return value
    product = int(value[:-1]) * total
    return -(-product // 100) if round_up else product // 100


def show(value: object) -> str:
    """A found value as an author would recognise it, cut when long."""
    if value is None:
        return "nothing (null)"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, dict):
        keys = ", ".join(str(key) for key in list(value)[:3])
        return f"a mapping ({_cut(keys)}{', …' if len(value) > 3 else ''})" if value else "an empty mapping {}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list []"
    if isinstance(value, str):
        return f'"{_cut(value)}"' if value else 'an empty text ""'
    try:
        return _cut(str(value))
    except ValueError:  # a whole number with more digits than Python prints
        return "an enormous number"


def _cut(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _as_number(value: object) -> float | None:
    """The float of a YAML number; None if it is no number; QuantityError if it is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise QuantityError(f"expected a finite number, got {show(value)}")
    return number


def _text(value: object, what: str, hint: str) -> str:
    if not isinstance(value, str):
        raise QuantityError(f"expected {what}, got {show(value)}", hint)
    text = value.strip()
    if not text or len(text) > MAX_TEXT:
        raise QuantityError(f"expected {what}, got {show(value)}", hint)
    return text


def _finite(value: Decimal, text: str, hint: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise QuantityError(f"expected a finite number, got {show(text)}", hint)
    return number + 0.0  # no negative zero


def _plain(value: Decimal) -> str:
    text = format(value.normalize(), "f")
    return text
