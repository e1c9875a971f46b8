"""Which simulated metric does a common PromQL query measure?

Knows the shapes that rollout examples and dashboards share: a share of requests by status, a quantile of a latency
histogram, a rate of requests, each times a constant or taken from one. Anything else is not guessed at: None.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from zdsim.scenario.analysis import MappedMetric, Metric, Of
from zdsim.scenario.quantities import QuantityError, parse_duration

_MAX_QUERY = 5_000
_MAX_DEPTH = 30

_SELECTOR = r"""\{(?:[^"'{}]|"(?:[^"\\]|\\.)*"|'[^']*')*\}"""
_BY = r"(?:(?:by|without)\([^()]*\))?"
_RATE = re.compile(
    rf"sum{_BY}\((?:rate|irate|increase)\((?P<name>[A-Za-z_:][\w:]*)(?P<selector>{_SELECTOR})?\[(?P<window>[^\]]*)\]\)\){_BY}"
)
_BARE_RATE = re.compile(
    rf"(?:rate|irate|increase)\((?P<name>[A-Za-z_:][\w:]*)(?P<selector>{_SELECTOR})?\[(?P<window>[^\]]*)\]\)"
)
_QUANTILE = re.compile(r"histogram_quantile\((?P<q>[0-9.]+),(?P<inner>.*)\)", re.DOTALL)
_STATUS = re.compile(
    r"""(?P<label>\w*(?:status|code|response_code_class|envoy_response_code|outcome)\w*)(?P<op>=~|!~|!=|=)["'](?P<value>[^"']*)["']"""
)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?")
_QUANTILES = {0.5: Metric.P50, 0.95: Metric.P95, 0.99: Metric.P99}
_SPACE = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*')|\s+""")
_FALLBACK = re.compile(r"(?:on\(\))?\(?vector\([0-9.]+\)\)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Rate:
    """One `sum(rate(name{selector}[window]))`."""

    name: str
    selector: str
    window: str


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a query turned out to be; value = scale x (metric, or one minus it)."""

    metric: Metric
    window: str
    scale: float = 1.0
    complement: bool = False


def recognise(query: str, *, new: Sequence[str] = (), stable: Sequence[str] = ()) -> MappedMetric | None:
    """The simulated metric that a query measures, or None.

    Args:
        query: PromQL, arguments filled in.
        new, stable: names (services, hashes) that tell whose requests a selector takes.

    >>> str(recognise('sum(rate(http_requests_total{service="web-canary",status!~"5.*"}[2m]))'
    ...               ' / sum(rate(http_requests_total{service="web-canary"}[2m]))', new=["web-canary"]))
    '1 - error_rate of new, window 2m'
    """
    if len(query) > _MAX_QUERY:
        return None
    text = _SPACE.sub(lambda found: found[1] or " ", query.strip().rstrip(";"))
    shape = _shape(_squeezed(text), 0)
    if shape is None:
        return None
    try:
        window_s = parse_duration(shape.window)
    except QuantityError:
        return None
    if not 0.0 < window_s <= 86_400.0 or not 1e-12 <= shape.scale <= 1e12:
        return None
    return MappedMetric(
        metric=shape.metric,
        of=_whose(query, new, stable),
        window_s=window_s,
        scale=shape.scale,
        complement=shape.complement,
    )


def _squeezed(text: str) -> str:
    """Without blanks; `or` keeps its own as a mark that no name can hold."""
    parts = re.split(r"""("(?:[^"\\]|\\.)*"|'[^']*')""", text)
    for i in range(0, len(parts), 2):
        part = re.sub(r"(?i)(?<![\w.])or(?![\w.])", "\x01", parts[i])
        parts[i] = part.replace(" ", "")
    return "".join(parts)


def _whose(query: str, new: Sequence[str], stable: Sequence[str]) -> Of:
    values = [found[1] for found in re.finditer(r"""=~?\s*["']([^"']*)["']""", query)]
    for value in values:
        if any(_names(name, value) for name in new) or re.search(r"canary|preview|latest", value):
            return Of.NEW
    for value in values:
        if any(_names(name, value) for name in stable) or re.search(r"stable|primary", value):
            return Of.STABLE
    return Of.NEW if re.search(r"""canary\w*\s*!=\s*["']["']""", query) else Of.ALL


def _names(name: str, value: str) -> bool:
    """Does a label's value name this service (`web-canary`, `web-canary.shop.svc.cluster.local`)?"""
    return bool(name) and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", value) is not None


# --- shapes ----------------------------------------------------------------------------------------------------------


def _shape(text: str, depth: int) -> _Shape | None:
    if depth > _MAX_DEPTH:
        return None
    text = _unwrapped(text)
    parts = _split(text, "\x01")
    if len(parts) == 3:
        return _shape(parts[0], depth + 1) if _FALLBACK.fullmatch(parts[2]) else None
    parts = _split(text, "+-")
    if len(parts) == 3:
        return _one_minus(*parts, depth=depth)
    parts = _split(text, "*/")
    if len(parts) == 3:
        return _product(*parts, depth=depth)
    found = _QUANTILE.fullmatch(text)
    if found is not None:
        return _quantile(found)
    rate = _rate(text)
    if rate is None or _STATUS.search(rate.selector) or "request" not in rate.name or rate.name.endswith("_bucket"):
        return None
    return _Shape(Metric.THROUGHPUT, rate.window) if "increase(" not in text else None


def _one_minus(left: str, op: str, right: str, *, depth: int) -> _Shape | None:
    inner = _shape(right, depth + 1)
    if op != "-" or inner is None or not _NUMBER.fullmatch(left) or float(left) != inner.scale:
        return None
    return replace(inner, complement=not inner.complement)


def _product(left: str, op: str, right: str, *, depth: int) -> _Shape | None:
    if _NUMBER.fullmatch(right) and float(right) > 0.0:
        inner, factor = _shape(left, depth + 1), float(right) if op == "*" else 1.0 / float(right)
        return replace(inner, scale=inner.scale * factor) if inner is not None else None
    if _NUMBER.fullmatch(left) and float(left) > 0.0 and op == "*":
        inner = _shape(right, depth + 1)
        return replace(inner, scale=inner.scale * float(left)) if inner is not None else None
    inside = _split(_unwrapped(left), "*/")
    if op == "/" and len(inside) == 3 and inside[1] == "*":  # 100 * bad / all
        for number, rest in ((inside[0], inside[2]), (inside[2], inside[0])):
            if _NUMBER.fullmatch(number) and float(number) > 0.0:
                inner = _product(rest, "/", right, depth=depth + 1) if depth < _MAX_DEPTH else None
                return replace(inner, scale=inner.scale * float(number)) if inner is not None else None
    top, bottom = _rate(left), _rate(right)
    if op != "/" or top is None or bottom is None or top.name != bottom.name or top.window != bottom.window:
        return None
    if _STATUS.search(bottom.selector):
        return None
    good = _is_good(top.selector)
    return _Shape(Metric.ERROR_RATE, top.window, complement=good) if good is not None else None


def _is_good(selector: str) -> bool | None:
    """Does a selector take the successes (True) or the failures (False)? None: neither for certain."""
    found = _STATUS.search(selector)
    if found is None:
        return None
    value, negated = found["value"], found["op"].startswith("!")
    if found["label"] == "outcome":  # Micrometer: INFORMATIONAL, SUCCESS, REDIRECTION, CLIENT_ERROR, SERVER_ERROR
        return negated if "SERVER_ERROR" in value else not negated if "SUCCESS" in value else None
    if re.match(r"\^?[(\[]?(4-)?5|\^?[(\[]?4.*5", value):
        return negated
    if re.match(r"\^?[(\[]?[123]", value) and not re.search(r"[45]", value):
        return not negated
    return None


def _quantile(found: re.Match[str]) -> _Shape | None:
    metric = _QUANTILES.get(float(found["q"]) if _NUMBER.fullmatch(found["q"]) else -1.0)
    rate = _rate(found["inner"])
    if metric is None or rate is None or not rate.name.endswith("_bucket"):
        return None
    in_ms = "milliseconds" in rate.name or re.search(r"_(ms|rq_time)_bucket$", rate.name) is not None
    return _Shape(metric, rate.window, scale=1000.0 if in_ms else 1.0)


def _rate(text: str) -> _Rate | None:
    text = _unwrapped(text)
    found = _RATE.fullmatch(text) or _BARE_RATE.fullmatch(text)
    return _Rate(found["name"], found["selector"] or "", found["window"]) if found is not None else None


def _unwrapped(text: str) -> str:
    """Without the parentheses around all of it."""
    for _ in range(_MAX_DEPTH):
        inner = _within(text)
        if inner is None:
            break
        text = inner
    return text


def _within(text: str) -> str | None:
    """What is inside parentheses that hold all of the text (or `scalar(...)`, `round(...)`); None if none do."""
    head = re.match(r"(scalar|round|avg|max)?\(", text)
    if head is None or not text.endswith(")"):
        return None
    depth = 0
    for at, char in _outside_quotes(text):
        depth += (char in "([{") - (char in ")]}")
        if depth == 0 and char in ")]}" and at < len(text) - 1:
            return None
    return text[head.end() : -1] if depth == 0 else None


def _split(text: str, ops: str) -> tuple[str, ...]:
    """Left, operator and right of the last operator outside parentheses; else the text alone."""
    depth, last = 0, -1
    for at, char in _outside_quotes(text):
        depth += (char in "([{") - (char in ")]}")
        if depth == 0 and char in ops and at > 0:
            last = at
    return (text[:last], text[last], text[last + 1 :]) if last > 0 else (text,)


def _outside_quotes(text: str) -> list[tuple[int, str]]:
    out, quote, escaped = [], "", False
    for at, char in enumerate(text):
        if quote:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        else:
            out.append((at, char))
    return out
