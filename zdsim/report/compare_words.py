"""How is a number of a comparison written: with its unit, its interval, its doubt?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from zdsim.report.units import MISSING, milliseconds, percent, seconds, significant

NOUNS: Mapping[str, str] = {
    "dropped_share": "dropped requests",
    "excess_share": "dropped requests in excess of the service left alone",
    "p99_during_s": "p99 latency during the rollout",
    "exposed_share": "users exposed",
    "harmed_share": "users harmed",
    "rollback_s": "rollback latency",
    "rollout_s": "rollout duration",
    "mixed_version_s": "time with two versions serving",
    "extra_pod_seconds": "extra pod-seconds",
}
"""A measure's name within a sentence."""


def value(unit: str, number: float | None) -> str:
    """
    >>> value("share", 0.00133), value("latency", 0.2), value("s", 14.8), value("pod-s", -49.3), value("s", None)
    ('0.133 %', '200 ms', '14.8 s', '-49.3', '-')
    """
    if number is None or not math.isfinite(number):
        return MISSING
    match unit:
        case "share":
            return percent(number)
        case "latency":
            return milliseconds(number)
        case "s":
            return seconds(number)
        case _:
            return significant(number)


def span(unit: str, low: float | None, high: float | None, *, sign: str = " to ") -> str:
    """Two limits, their common unit once.

    >>> span("share", 0.00128, 0.00139), span("s", 14.6, 130.0), span("share", 0.001, None)
    ('0.128 to 0.139 %', '14.6 s to 2 min 10 s', '-')
    """
    if low is None or high is None:
        return MISSING
    a, b = value(unit, low), value(unit, high)
    if a.count(" ") == 1 and b.count(" ") == 1 and a.split(" ")[1] == b.split(" ")[1]:
        a = a.split(" ")[0]
    return f"{a}{sign}{b}"


def estimate(unit: str, found: Mapping[str, Any]) -> str:
    """A mean with its interval, within a sentence.

    >>> estimate("share", {"mean": 0.00133, "low": 0.00128, "high": 0.00139})
    '0.133 % (0.128 to 0.139 %)'
    """
    if found["low"] is None or found["low"] == found["high"]:
        return value(unit, found["mean"])
    return f"{value(unit, found['mean'])} ({span(unit, found['low'], found['high'])})"


def doubt(unit: str, found: Mapping[str, Any]) -> str:
    """What stands under a mean in a table: limits of a share, half the width of anything else's interval."""
    low, high = found["low"], found["high"]
    if low is None or high is None:
        return ""
    if low == high:
        return "± 0"
    if unit == "share" and low >= 0.0:
        return span(unit, low, high, sign="-")
    return f"± {value(unit, (high - low) / 2.0)}"


def difference(unit: str, row: Mapping[str, Any], level: float) -> str:
    """A paired difference with its interval.

    >>> row = {"mean": -0.001, "low": -0.0012, "high": -0.0008, "equal": False}
    >>> difference("share", row, 0.95)
    '-0.1 % (95 % interval -0.12 to -0.08 %)'
    """
    if row["equal"]:
        return "none in any replication"
    if row["mean"] is None:
        return "not measured in both"
    text = f"{'+' if row['mean'] > 0 else ''}{value(unit, row['mean'])}"
    if row["low"] is None:
        return f"{text} (one replication, no interval)"
    if row["low"] == row["high"]:
        return f"{text} in every replication"
    return f"{text} ({percent(level)} interval {span(unit, row['low'], row['high'])})"


def times(row: Mapping[str, Any]) -> str:
    """How many times the second the first is, the larger number first; empty where that says nothing.

    >>> times({"ratio": 0.25, "ratio_low": 0.2, "ratio_high": 0.5})
    '4 times fewer (2 to 5)'
    """
    ratio, low, high = row["ratio"], row["ratio_low"], row["ratio_high"]
    if ratio is None or ratio <= 0.0 or low is None or high is None or low <= 0.0 or ratio == 1.0:
        return ""
    if ratio > 1.0:
        return f"{significant(ratio)} times as many ({significant(low)} to {significant(high)})"
    return f"{significant(1.0 / ratio)} times fewer ({significant(1.0 / high)} to {significant(1.0 / low)})"


def needed(number: int | None, done: int) -> str:
    """How many replications would tell, rounded up to two digits: it is an estimate.

    >>> needed(367, 30), needed(None, 30)
    ('about 370 replications would tell (-n 370)', 'more replications would hardly tell')
    """
    if done < 2:
        return "give at least 2 replications"
    if number is None:
        return "more replications would hardly tell"
    number = max(number, done + 1)
    digits = max(0, len(str(number)) - 2)
    rounded = -(-number // 10**digits) * 10**digits
    return f"about {rounded:,} replications would tell (-n {rounded})"


def names(them: list[str] | tuple[str, ...]) -> str:
    """
    >>> names(["a"]), names(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return them[0] if len(them) == 1 else f"{', '.join(them[:-1])} and {them[-1]}"
