"""Which load does a webhook of a Canary put on it, and whose hand does a gate wait for?

Flagger's load tester runs a command: `hey` and `fortio` say their rate and their time. A gate of the load tester is
open (`/gate/approve`), closed (`/gate/halt`), or closed until somebody opens it (`/gate/check`), by the end of its URL.

Source: flagger v1.44.0 pkg/loadtester/{server,gate}.go; the manuals of rakyll/hey and fortio.
"""

import json
import re
from dataclasses import dataclass
from enum import StrEnum

from zdsim.scenario.flagger import Webhook
from zdsim.scenario.quantities import QuantityError, parse_go_duration

_HEY = re.compile(r"\bhey\s(.*)$", re.DOTALL)
_FORTIO = re.compile(r"\bfortio\s+load\s(.*)$", re.DOTALL)
_HEY_WORKERS = 50.0


class Gate(StrEnum):
    """When a confirm-* webhook agrees."""

    OPEN = "open"
    CLOSED = "closed"
    BY_HAND = "closed until release.promote_at"


@dataclass(frozen=True, slots=True)
class Load:
    """Requests a second for so many seconds."""

    rate: float
    duration_s: float


def gate_of(hook: Webhook) -> Gate:
    """When it agrees; whoever is no load tester is taken to agree at once."""
    path = hook.url.rstrip("/")
    if path.endswith("/gate/halt"):
        return Gate.CLOSED
    return Gate.BY_HAND if path.endswith("/gate/check") else Gate.OPEN


def load_of(hook: Webhook) -> Load | None:
    """The load of a load test; None for everything else, and where the command does not say its rate.

    >>> hook = Webhook(name="load", metadata='{"cmd": "hey -z 1m -q 10 -c 2 http://podinfo-canary.test:9898/"}')
    >>> load_of(hook)
    Load(rate=20.0, duration_s=60.0)
    """
    try:
        metadata = json.loads(hook.metadata or "{}")
    except ValueError:
        return None
    command = metadata.get("cmd") if isinstance(metadata, dict) else None
    if not isinstance(command, str):
        return None
    if (hey := _HEY.search(command)) is not None:
        each, workers = _number(hey[1], "q"), _number(hey[1], "c")
        rate = None if each is None else each * (_HEY_WORKERS if workers is None else workers)
        duration = _option(hey[1], "z")
    elif (fortio := _FORTIO.search(command)) is not None:
        rate, duration = _number(fortio[1], "qps"), _option(fortio[1], "t")
    else:
        return None
    if rate is None or duration is None or not rate > 0.0:
        return None
    try:
        return Load(rate, parse_go_duration(duration))
    except QuantityError:
        return None


def _option(arguments: str, name: str) -> str | None:
    found = re.search(rf"(?:^|\s)--?{name}[\s=]+(\S+)", arguments)
    return None if found is None else found[1]


def _number(arguments: str, name: str) -> float | None:
    text = _option(arguments, name)
    return float(text) if text is not None and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) else None


__all__ = ["Gate", "Load", "gate_of", "load_of"]
