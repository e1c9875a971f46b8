"""How long must a canary run? The verb `zdsim analyse`, which plans and plays nothing."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

import click

from zdsim.cli.app import Verbs, app, emit

if TYPE_CHECKING:
    from collections.abc import Callable

    from zdsim.measure.power import Canary, Power

_JUDGES = ("two_proportion", "ratio", "absolute", "sprt", "msprt", "counts", "kayenta")

_EPILOG = """\b
Examples:
  zdsim analyse power --weight 5% --rate 100/s --baseline 0.1% --effect 0.2% --window 10m
  zdsim analyse power --judge counts --weight 5% --rate 1k/s --baseline 1% --effect 2% --looks 20 --json

\b
Judges:
  two_proportion  pooled z-test, new against stable      ratio     share at least LIMIT times stable's
  absolute        share above LIMIT                      sprt      Wald, BASELINE against EFFECT
  msprt, counts   valid however often one looks          kayenta   Mann-Whitney as Spinnaker does it
"""


def _read(reader: str, value: str) -> float:
    """A quantity in the units authors write; what is wrong with it in the words scenarios use."""
    from zdsim.scenario import quantities

    read: Callable[[object], float] = getattr(quantities, reader)
    try:
        return read(value)
    except quantities.QuantityError as error:
        raise click.BadParameter(f"{error}; {error.hint}" if error.hint else str(error)) from error


def share(value: str) -> float:
    return _read("parse_share", value)


def rate(value: str) -> float:
    return _read("parse_rate", value)


def duration(value: str) -> float:
    return _read("parse_duration", value)


@app.group(cls=Verbs, short_help="Plan a canary: what can its judge see?")
def analyse() -> None:
    """Questions that need no simulation of a rollout."""


@analyse.command(epilog=_EPILOG, short_help="How often is a bad revision caught, and how long does it take?")
@click.option("--judge", type=click.Choice(_JUDGES), default="two_proportion", show_default=True)
@click.option("--weight", type=share, default="5%", show_default=True, help="Traffic to the new revision.")
@click.option("--rate", type=rate, required=True, help="All requests, such as 100/s.")
@click.option("--baseline", type=share, required=True, help="Error rate of a good revision, such as 0.1%.")
@click.option("--effect", type=share, required=True, help="Error rate of a bad revision, such as 0.2%.")
@click.option("--window", type=duration, default="10m", show_default=True, help="From first request to promotion.")
@click.option("--looks", type=click.IntRange(1, 1000), default=1, show_default=True, help="Verdicts in the window.")
@click.option("--alpha", type=share, default="5%", show_default=True, help="False alarms one look may raise.")
@click.option("--power", type=share, default="80%", show_default=True, help="Wanted probability to catch a bad one.")
@click.option("--two-sided", is_flag=True, help="Stop a better revision too (two_proportion).")
@click.option("--limit", type=share, help="Of ratio (2) or absolute (1%).")
@click.option("--recovery", type=duration, default="0s", show_default=True, help="From verdict to the last request.")
@click.option("--requests-per-user", type=float, default=1.0, show_default=True, help="During the canary.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of simulated judges.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else.")
def power(**given: Any) -> int:
    """How often does this judge catch a bad revision, how often does it blame a good one, and when?

    Answers with probabilities for one canary as described, what the bad revision costs until it is stopped, and how
    long the canary must run for the wanted power.
    """
    from zdsim.measure.judges.proportions import Sided
    from zdsim.measure.power import Canary, Judge, analyse

    try:
        canary = Canary(
            judge=Judge(given["judge"]),
            weight=given["weight"],
            rate=given["rate"],
            baseline=given["baseline"],
            effect=given["effect"],
            window_s=given["window"],
            looks=given["looks"],
            alpha=given["alpha"],
            power=given["power"],
            sided=Sided.TWO if given["two_sided"] else Sided.ONE,
            limit=given["limit"],
            recovery_s=given["recovery"],
            requests_per_user=given["requests_per_user"],
            seed=given["seed"],
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    result = analyse(canary)
    emit(_as_json(canary, result) if given["as_json"] else _as_text(canary, result))
    return 0


def _as_json(canary: Canary, result: Power) -> str:
    from dataclasses import asdict

    told = {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in asdict(result).items()}
    return json.dumps({"canary": asdict(canary), "power": told}, indent=2, allow_nan=False) + "\n"


def _as_text(canary: Canary, result: Power) -> str:
    """The answer first, then a table."""
    looks = f", looked at {canary.looks} times" if canary.looks > 1 else ""
    harm = f"{result.failed_requests:,.1f}, {result.excess_requests:,.1f} more than a good one"
    lines = [
        _headline(canary, result),
        "",
        f"{canary.judge}: {_percent(canary.baseline)} against {_percent(canary.effect)} failed, "
        f"{_percent(canary.weight)} of {canary.rate:.6g}/s for {_span(canary.window_s)}{looks}",
        "",
        *_row("requests on the new revision", f"{result.requests:,.0f}"),
        *_row("a bad revision is stopped", _chance(result.detection, result.detection_error)),
        *_row("a good revision is stopped", _chance(result.false_alarm, result.false_alarm_error)),
        *_row("mean time until a bad one is stopped", _span(result.time_to_detect_s)),
        *_row("requests a bad one fails", harm),
        *_row("users it harms", f"{result.harmed_users:,.1f}"),
    ]
    if result.detection < 0.995:
        lines += [
            "",
            f"A bad revision that is missed ({100.0 * (1.0 - result.detection):.3g} %) is promoted to everyone.",
        ]
    if canary.judge == "two_proportion" and canary.looks > 1:
        lines += ["Looking again and again raises false alarms: look once, or use --judge counts or msprt."]
    return "\n".join(lines) + "\n"


def _headline(canary: Canary, result: Power) -> str:
    wanted = _percent(canary.power)
    if result.needed_s is None or result.needed_requests is None:
        return f"No canary of up to 30 days reaches a power of {wanted} with this judge: change the judge or its limit."
    about = "" if result.exact else "about "
    enough = "long enough" if canary.window_s >= result.needed_s else "too short"
    return (
        f"The canary must run {about}{_span(result.needed_s)} ({result.needed_requests:,.0f} requests) to catch a bad "
        f"revision with probability {wanted}; {_span(canary.window_s)} is {enough}."
    )


def _row(label: str, value: str) -> list[str]:
    return [f"  {label:<38}{value}"]


def _percent(share: float) -> str:
    return f"{100.0 * share:.4g} %"


def _chance(share: float, error: float) -> str:
    return f"{100.0 * share:.1f} %" + (f"  ({_plus_minus()} {100.0 * error:.1f}, simulated)" if error else "")


def _plus_minus() -> str:
    """The sign, or its stand-in where the terminal cannot show it."""
    try:
        "±".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "+-"
    return "±"


def _span(seconds: float) -> str:
    if math.isnan(seconds):
        return "never"
    if seconds < 120.0:
        return f"{seconds:.3g} s"
    if seconds < 7200.0:
        return f"{seconds / 60.0:.3g} min"
    return f"{seconds / 3600.0:.3g} h" if seconds < 172800.0 else f"{seconds / 86400.0:.1f} days"
