"""How is a number written for a reader?

With its unit, thousands separators and three significant digits; never as a zero or a whole when it is not one. Plain
ASCII: every terminal can show it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

MISSING = "-"


def count(n: int | None) -> str:
    """
    >>> count(1204), count(None)
    ('1,204', '-')
    """
    return MISSING if n is None else f"{n:,}"


def plural(n: int, noun: str) -> str:
    """
    >>> plural(1, "request"), plural(1204, "request")
    ('1 request', '1,204 requests')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def percent(share: float | None) -> str:
    """A fraction of 1 as per cent.

    >>> percent(0.00239), percent(0.5), percent(0.9673), percent(0.99999), percent(0.0), percent(None)
    ('0.239 %', '50 %', '96.7 %', '99.999 %', '0 %', '-')
    """
    if share is None or math.isnan(share):
        return MISSING
    value = 100.0 * share
    edge = min(abs(value), abs(100.0 - value))
    if edge == 0.0:
        return f"{value:.0f} %"
    digits = max(1 if value > 50.0 else 0, (1 if value > 50.0 else 2) - math.floor(math.log10(edge)))
    return f"{_trim(f'{value:.{min(digits, 9)}f}')} %"


def seconds(t: float | None) -> str:
    """A time or duration.

    >>> seconds(0.0004), seconds(0.48), seconds(96.5), seconds(192.0), seconds(3720.0), seconds(None)
    ('0.4 ms', '0.48 s', '96.5 s', '3 min 12 s', '1 h 2 min', '-')
    """
    if t is None or math.isnan(t):
        return MISSING
    if t < 0.0:
        return f"-{seconds(-t)}"
    if 0.0 < t < 0.0995:
        return f"{significant(1e3 * t)} ms"
    if t < 119.95:
        return f"{significant(t)} s"
    whole = round(t)
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(t / 60.0)
    return f"{minutes // 60:,} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def milliseconds(t: float | None) -> str:
    """A latency in milliseconds, so that a column of them can be compared.

    >>> milliseconds(0.0499195), milliseconds(2.5), milliseconds(None)
    ('49.9 ms', '2,500 ms', '-')
    """
    return MISSING if t is None or math.isnan(t) else f"{significant(1e3 * t)} ms"


def significant(value: float) -> str:
    """Three significant digits, never fewer than the whole number has.

    >>> significant(0.01234), significant(1.1), significant(49.9195), significant(12345.6)
    ('0.0123', '1.1', '49.9', '12,346')
    """
    if value == 0.0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return _trim(f"{value:,.{min(digits, 9)}f}")


def own_revisions(names: Iterable[str]) -> list[str]:
    """Revisions without copies of them: Flagger's second rows (the canary's Deployment), both sides of experiments.

    >>> own_revisions(["v1", "v2", "v1-canary", "v2-canary"]), own_revisions(["v1", "v2", "baseline", "experiment"])
    (['v1', 'v2'], ['v1', 'v2'])
    """
    known = list(names)
    if known[-2:] == ["baseline", "experiment"]:
        known = known[:-2]
    return [name for name in known if copied_from(name, known) is None]


def copied_from(name: str, names: Sequence[str]) -> str | None:
    """The revision of which `name` is the row in the canary's Deployment; None where it is none."""
    base = name.removesuffix("-canary")
    return base if base != name and base in names else None


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
