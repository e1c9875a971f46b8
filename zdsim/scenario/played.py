"""Which simulated metric answers a query of a Rollout's or Canary's analysis, and what of it cannot be played?

`analysis.map` of the scenario comes first, then the shapes of PromQL that `promql.py` knows. A metric that has neither
is told, and every measurement of it counts as successful.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from zdsim.errors import Severity
from zdsim.scenario.analysis import MappedMetric, Metric, Of
from zdsim.scenario.argo_analysis import ArgoMetric, UnresolvedError, resolved
from zdsim.scenario.flagger import BUILTIN, FlaggerCanary, FlaggerMetric, FlaggerMode, WebhookType
from zdsim.scenario.flagger_load import gate_of, load_of
from zdsim.scenario.manifest_fields import NotPlayed
from zdsim.scenario.promql import recognise
from zdsim.scenario.quantities import format_duration, show
from zdsim.scenario.spec import Finding, Spec

if TYPE_CHECKING:
    from zdsim.scenario.model import Scenario

Loc = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric of a manifest and what stands for it; `given` = the scenario's own map says so."""

    name: str
    as_: MappedMetric | None
    given: bool
    asks: str  # whom the manifest asks: prometheus, web, ...


def argo_measure(scenario: Scenario, metric: ArgoMetric) -> Measured:
    """What stands for a (resolved) metric of an AnalysisTemplate."""
    given = scenario.analysis.map.get(metric.name)
    if given is not None:
        return Measured(metric.name, given, True, metric.provider.kind)
    query = metric.provider.query
    new, stable = ["latest-hash"], ["stable-hash"]
    if scenario.rollout is not None:
        canary, blue_green = scenario.rollout.strategy.canary, scenario.rollout.strategy.blue_green
        if canary is not None:
            new += [canary.canary_service or ""]
            stable += [canary.stable_service or ""]
        if blue_green is not None:  # the active service is whoever is active when it is asked
            new += [blue_green.preview_service or ""]
    found = recognise(query, new=new, stable=stable) if query is not None else None
    return Measured(metric.name, found, False, metric.provider.kind)


def flagger_measure(scenario: Scenario, metric: FlaggerMetric) -> Measured:
    """What stands for a metric of a Canary: builtin, by its MetricTemplate, or by its own query."""
    given = scenario.analysis.map.get(metric.name)
    canary = scenario.flagger
    assert canary is not None, "a Canary's metric belongs to a Canary"
    template = canary.template(metric)
    asks = template.provider.type if template is not None else "prometheus"
    if given is not None:
        return Measured(metric.name, given, True, asks)
    query = template.query if template is not None else metric.query
    if query is None:
        return Measured(metric.name, _builtin(metric, canary.provider), False, "builtin")
    if asks != "prometheus":
        return Measured(metric.name, None, False, asks)
    target = canary.target_ref.name
    values = {"target": target, "service": canary.service.name or target, "ingress": target}
    values["interval"] = format_duration(metric.interval_s)
    text = query
    for word, value in values.items():
        text = text.replace("{{ " + word + " }}", value).replace("{{" + word + "}}", value)
    found = recognise(text, new=[target, f"{target}-canary"], stable=[f"{target}-primary"])
    if found is not None and found.of is Of.ALL and "{{ target }}" in query:
        found = found.model_copy(update={"of": Of.NEW})
    return Measured(metric.name, found, False, asks)


def _builtin(metric: FlaggerMetric, provider: str | None) -> MappedMetric | None:
    if metric.name == BUILTIN[0]:
        return MappedMetric(metric=Metric.ERROR_RATE, window_s=metric.interval_s, scale=100.0, complement=True)
    if metric.name == BUILTIN[1]:
        # NGINX is asked for the mean; among quantiles the median comes nearest.
        quantile = Metric.P50 if provider == "nginx" else Metric.P99
        return MappedMetric(metric=quantile, window_s=metric.interval_s, scale=1000.0)
    return None


def measured(scenario: Scenario) -> Iterator[tuple[Loc, Measured]]:
    """Every metric of the manifest's analyses that is in use, each once, with its place in the scenario."""
    if scenario.rollout is not None:
        templates = scenario.rollout.analysis_templates
        places = {metric.name: (i, k) for i, one in enumerate(templates) for k, metric in enumerate(one.metrics)}
        seen: set[ArgoMetric] = set()
        for ref in scenario.rollout.analyses.values():
            try:
                metrics = resolved(ref.templates, ref.args, templates)
            except UnresolvedError:  # a conflict has told it
                continue
            for metric in metrics:
                if metric not in seen:
                    seen.add(metric)
                    i, k = places.get(metric.name, (0, 0))
                    yield ("rollout", "analysisTemplates", i, "metrics", k), argo_measure(scenario, metric)
    if scenario.flagger is not None:
        for i, one in enumerate(scenario.flagger.analysis.metrics):
            yield ("flagger", "analysis", "metrics", i), flagger_measure(scenario, one)


def assumed_measures(scenario: Scenario) -> Iterator[str]:
    """A line for each query that was recognised, not mapped by the author."""
    if _replaced(scenario):
        return
    told: set[str] = set()
    for _, one in measured(scenario):
        if one.as_ is not None and not one.given and one.name not in told:
            told.add(one.name)
            asks = "its PromQL" if one.asks == "prometheus" else "Flagger's builtin"
            yield f"analysis.map.{one.name}: {one.as_} (read from {asks}; say otherwise under analysis.map)"


def unplayed(scenario: Scenario) -> Iterator[tuple[Loc, Finding, Severity]]:
    """What of a Rollout or Canary has no part in the simulation, by its place.

    A metric that is not played is a warning: the rollout looks safer than it is.
    """
    if _replaced(scenario):
        return
    for loc, metric in measured(scenario):
        if metric.as_ is None:
            why = "its query is none that zdsim can read" if metric.asks == "prometheus" else f"it asks {metric.asks}"
            found = Finding(
                f"metric {show(metric.name)} is not played: {why}; every measurement of it counts as successful",
                (),
                f"say what stands for it, for example analysis: {{map: {{{_quoted(metric.name)}: error_rate}}}}",
                "ZD2010",
            )
            yield loc, found, Severity.WARNING
    yield from ((at, one, Severity.WARNING) for at, one in _preview_unasked(scenario))
    known = {one.name for _, one in measured(scenario)}
    for name in scenario.analysis.map:
        if name not in known:
            hint = f"there: {', '.join(sorted(known)) or 'none'}"
            found = Finding(f"no analysis has a metric {show(name)}", (name,), hint, "ZD2009")
            yield ("analysis", "map"), found, Severity.WARNING
    if scenario.flagger is not None:
        yield from ((at, one, Severity.NOTICE) for at, one in _webhooks(scenario))
        yield from ((at, one, Severity.WARNING) for at, one in _silent(scenario.flagger))
    for word in ("rollout", "flagger"):
        section = getattr(scenario, word)
        if section is not None:
            yield from ((at, one, Severity.NOTICE) for at, one in _marked(section, (word,)))


def _preview_unasked(scenario: Scenario) -> Iterator[tuple[Loc, Finding]]:
    """Metrics of the preview, which nobody asks before the switch: no data is NaN, and NaN is no success."""
    blue_green = None if scenario.rollout is None else scenario.rollout.strategy.blue_green
    if scenario.rollout is None or blue_green is None or blue_green.pre_promotion_analysis is None:
        return
    ref = blue_green.pre_promotion_analysis
    try:
        metrics = resolved(ref.templates, ref.args, scenario.rollout.analysis_templates)
    except UnresolvedError:  # a conflict has told it
        return
    for metric in metrics:
        one = argo_measure(scenario, metric)
        if one.as_ is not None and one.as_.of is Of.NEW:
            message = f"metric {show(metric.name)} has no data before the switch: nobody sends requests to the preview"
            hint = "in a cluster a job or a load test would; of: all in analysis.map leaves the preview out of it"
            at = ("rollout", "strategy", "blueGreen", "prePromotionAnalysis")
            yield at, Finding(message, (), hint, "ZD2009")


def _quoted(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() else f'"{name}"'


def _replaced(scenario: Scenario) -> bool:
    return scenario.release is None or scenario.release.strategy is not None


def _webhooks(scenario: Scenario) -> Iterator[tuple[Loc, Finding]]:
    assert scenario.flagger is not None
    for i, hook in enumerate(scenario.flagger.analysis.webhooks):
        match hook.type:
            case WebhookType.CONFIRM_ROLLOUT | WebhookType.CONFIRM_TRAFFIC_INCREASE | WebhookType.CONFIRM_PROMOTION:
                gate = gate_of(hook)
                what = f"the gate is {gate}"
            case WebhookType.ROLLBACK:
                what = "it never asks for a rollback (release.abort_at does)"
            case WebhookType.PRE_ROLLOUT | WebhookType.ROLLOUT:
                what, load = "it succeeds, and sends no load: traffic is the scenario's", load_of(hook)
                if load is not None:
                    what = f"it succeeds; its {load.rate:g} requests a second are copies of what users send"
            case WebhookType.POST_ROLLOUT | WebhookType.EVENT:
                continue  # nothing depends on them
            case _:
                assert_never(hook.type)
        message = f"{hook.type} webhook {show(hook.name)} is not called: {what}"
        yield ("flagger", "analysis", "webhooks", i), Finding(message, (), "", "ZD2010")


def _silent(canary: FlaggerCanary) -> Iterator[tuple[Loc, Finding]]:
    """A blue/green canary has no users while it is judged: without copies or a load its metrics have no values."""
    one = canary.analysis
    copies = one.mirror and canary.provider != "kubernetes"
    loaded = any(load_of(hook) is not None for hook in one.webhooks)
    if canary.mode is FlaggerMode.BLUE_GREEN and one.metrics and not copies and not loaded and not canary.skip_analysis:
        message = "nobody sends the canary requests while it is judged: without values every check fails"
        hint = 'a rollout webhook with metadata: {cmd: "hey -z 1m -q 10 -c 2 http://..."}, or mirror: true'
        yield ("flagger", "analysis", "metrics"), Finding(message, (), hint, "ZD2009")


def _marked(section: Spec, loc: Loc) -> Iterator[tuple[Loc, Finding]]:
    """Fields marked `NotPlayed` that were given."""
    for name, field in type(section).model_fields.items():
        value, here = getattr(section, name), (*loc, field.alias or name)
        why = next((mark.why for mark in field.metadata if isinstance(mark, NotPlayed)), None)
        if why is not None and value not in (None, ()):
            yield here, Finding(f"not simulated: {why}", (), "", "ZD2010")
        elif isinstance(value, Spec):
            yield from _marked(value, here)
        elif isinstance(value, tuple):
            for i, item in enumerate(value):
                if isinstance(item, Spec):
                    yield from _marked(item, (*here, i))


__all__ = ["Measured", "argo_measure", "assumed_measures", "flagger_measure", "measured", "unplayed"]
