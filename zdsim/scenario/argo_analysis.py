"""What does an AnalysisTemplate measure?

The fields of AnalysisTemplate and ClusterAnalysisTemplate under their upstream names, texts of queries and conditions
as written. `resolved` puts the arguments in and tells what upstream would refuse.

Source: argo-rollouts pkg/apis/rollouts/v1alpha1/analysis_types.go; utils/analysis (ValidateMetric, ResolveArgs).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError

from zdsim.scenario.fields import Flag, Text
from zdsim.scenario.manifest_fields import (
    ARG,
    CountOrArg,
    GoSecondsOrArg,
    Natural,
    NotPlayed,
    Opaque,
)
from zdsim.scenario.quantities import show
from zdsim.scenario.spec import Finding, Spec


class RangeQuery(Spec):
    """A query over a range of time instead of one instant."""

    start: Text = ""
    end: Text = ""
    step: Text = ""


class Prometheus(Spec):
    """provider.prometheus."""

    address: Text = ""
    query: Text = ""
    timeout: Natural | None = None
    insecure: Flag = False
    headers: Opaque | None = None
    authentication: Opaque | None = None
    range_query: Annotated[RangeQuery | None, NotPlayed("the newest value is taken")] = Field(None, alias="rangeQuery")


class Provider(Spec):
    """Who is asked; exactly one."""

    prometheus: Prometheus | None = None
    job: Opaque | None = None
    web: Opaque | None = None
    kayenta: Opaque | None = None
    datadog: Opaque | None = None
    wavefront: Opaque | None = None
    new_relic: Opaque | None = Field(None, alias="newRelic")
    cloud_watch: Opaque | None = Field(None, alias="cloudWatch")
    graphite: Opaque | None = None
    influxdb: Opaque | None = None
    skywalking: Opaque | None = None
    plugin: Opaque | None = None

    @property
    def kind(self) -> str:
        """The provider's upstream name."""
        return next(iter(self._given()), "none")

    @property
    def query(self) -> str | None:
        """PromQL, when it is Prometheus that is asked."""
        return self.prometheus.query if self.prometheus is not None else None

    def _given(self) -> list[str]:
        return [f.alias or name for name, f in Provider.model_fields.items() if getattr(self, name) is not None]

    def conflicts(self) -> Iterator[Finding]:
        if len(self._given()) != 1:
            got = " and ".join(self._given()) or "none"
            yield Finding(f"a metric has exactly one provider, got {got} (upstream refuses it)", code="ZD1032")


class ArgoMetric(Spec):
    """One metric; numbers may still be `{{args.x}}` until `resolved`."""

    name: Text
    interval_s: GoSecondsOrArg | None = Field(None, alias="interval")
    initial_delay_s: GoSecondsOrArg | None = Field(None, alias="initialDelay")
    count: CountOrArg | None = None
    success_condition: Text | None = Field(None, alias="successCondition")
    failure_condition: Text | None = Field(None, alias="failureCondition")
    failure_limit: CountOrArg | None = Field(None, alias="failureLimit")
    inconclusive_limit: CountOrArg | None = Field(None, alias="inconclusiveLimit")
    consecutive_error_limit: CountOrArg | None = Field(None, alias="consecutiveErrorLimit")
    consecutive_success_limit: CountOrArg | None = Field(None, alias="consecutiveSuccessLimit")
    provider: Provider

    def conflicts(self) -> Iterator[Finding]:
        for word, text in (("successCondition", self.success_condition), ("failureCondition", self.failure_condition)):
            if text and not ARG.search(text):
                yield from _unreadable(word, text)
        count, failures = _number(self.count, 0), _number(self.failure_limit, 0)
        inconclusive, successes = _number(self.inconclusive_limit, 0), _number(self.consecutive_success_limit, 0)
        if count is None or failures is None or inconclusive is None or successes is None:
            return  # known once the arguments are
        if failures < -1:
            yield _refused(f"failureLimit must be at least -1, got {failures}", "failureLimit")
        if failures == -1 and successes == 0:
            yield _refused("failureLimit -1 and no consecutiveSuccessLimit: it could never fail", "failureLimit")
        if count > 1 and self.interval_s is None:
            yield _refused("an interval is needed when count is more than 1", "count")
        least = max(failures, 0) + successes
        if 0 < count < least:
            limits = "failureLimit" if successes == 0 else "failureLimit + consecutiveSuccessLimit"
            yield _refused(f"count ({count}) must be at least {limits} ({least})", "count")
        if 0 < count < inconclusive:
            yield _refused(f"count ({count}) must be at least inconclusiveLimit ({inconclusive})", "count")


def _unreadable(word: str, condition: str) -> Iterator[Finding]:
    """Why a condition cannot be evaluated: upstream would find out at the first measurement."""
    from zdsim.analysis.conditions import ConditionError, compile_condition  # a parser: only where there are conditions

    try:
        compile_condition(condition)
    except ConditionError as problem:
        yield Finding(f"column {problem.column}: {problem.message}", (word,), problem.hint, "ZD1033")


def _number(value: int | str | None, default: int) -> int | None:
    """The number, None while it is an argument."""
    return default if value is None else None if isinstance(value, str) else value


def _refused(message: str, *at: str | int) -> Finding:
    return Finding(f"{message} (upstream refuses the analysis: InvalidSpec)", at, code="ZD1032")


class FieldRef(Spec):
    """A field of the Rollout's metadata or spec."""

    field_path: Text = Field(alias="fieldPath")


class ValueFrom(Spec):
    """A value that only the cluster knows."""

    secret_key_ref: Opaque | None = Field(None, alias="secretKeyRef")
    pod_template_hash_value: Text | None = Field(None, alias="podTemplateHashValue")
    field_ref: FieldRef | None = Field(None, alias="fieldRef")

    def __str__(self) -> str:
        if self.pod_template_hash_value is not None:
            return f"{self.pod_template_hash_value.lower()}-hash"
        if self.field_ref is not None:
            return f"<{self.field_ref.field_path}>"
        return "<secret>"


class Argument(Spec):
    """A value for `{{args.name}}`, or its default."""

    name: Text
    value: Text | None = None
    value_from: ValueFrom | None = Field(None, alias="valueFrom")

    @property
    def text(self) -> str | None:
        """What is put in place; None when it has to be given."""
        if self.value is not None:
            return self.value
        return str(self.value_from) if self.value_from is not None else None


class DryRun(Spec):
    """Metrics (a regular expression of names) that are measured and change nothing."""

    metric_name: Text = Field(alias="metricName")


class Retention(Spec):
    """How many measurements are kept."""

    metric_name: Text = Field(alias="metricName")
    limit: Natural = 10


class TemplateRef(Spec):
    """The name of an AnalysisTemplate."""

    template_name: Text = Field(alias="templateName")
    cluster_scope: Flag = Field(False, alias="clusterScope")

    def __str__(self) -> str:
        return f"{'Cluster' if self.cluster_scope else ''}AnalysisTemplate {show(self.template_name)}"


class AnalysisTemplate(Spec):
    """AnalysisTemplate or (cluster_scope) ClusterAnalysisTemplate."""

    name: Text
    cluster_scope: Flag = Field(False, alias="clusterScope")
    metrics: tuple[ArgoMetric, ...] = Field((), max_length=200)
    args: tuple[Argument, ...] = Field((), max_length=200)
    dry_run: tuple[DryRun, ...] = Field((), alias="dryRun", max_length=200)
    measurement_retention: tuple[Retention, ...] = Field((), alias="measurementRetention", max_length=200)
    templates: tuple[TemplateRef, ...] = Field((), max_length=50)


class AnalysisRef(Spec):
    """What a Rollout says about an analysis: which templates, with which arguments."""

    templates: tuple[TemplateRef, ...] = Field((), max_length=50)
    args: tuple[Argument, ...] = Field((), max_length=200)
    dry_run: tuple[DryRun, ...] = Field((), alias="dryRun", max_length=200)
    measurement_retention: tuple[Retention, ...] = Field((), alias="measurementRetention", max_length=200)
    analysis_run_metadata: Opaque | None = Field(None, alias="analysisRunMetadata")


class UnresolvedError(Exception):
    """A reference that upstream would refuse; its text says why."""


def merged_templates(refs: Sequence[TemplateRef], known: Sequence[AnalysisTemplate]) -> tuple[AnalysisTemplate, ...]:
    """The templates named, and those they name, each once.

    Raises:
        UnresolvedError: one is not known.
    """
    found: dict[tuple[str, bool], AnalysisTemplate] = {}
    todo = list(refs)
    while todo:
        ref = todo.pop(0)
        key = (ref.template_name, ref.cluster_scope)
        if key in found:
            continue
        one = next((one for one in known if (one.name, one.cluster_scope) == key), None)
        if one is None:
            raise UnresolvedError(f"{ref} is not among the given manifests")
        found[key] = one
        todo += one.templates
    return tuple(found.values())


def resolved(
    refs: Sequence[TemplateRef], args: Sequence[Argument], known: Sequence[AnalysisTemplate]
) -> tuple[ArgoMetric, ...]:
    """The metrics of an analysis with its arguments put in.

    Raises:
        UnresolvedError: a template or argument is missing, or what comes out is refused upstream.
    """
    templates = merged_templates(refs, known)
    values: dict[str, str] = {}
    for argument in [*(arg for one in templates for arg in one.args), *args]:  # later wins: the Rollout's own
        if argument.text is not None:
            values[argument.name] = argument.text
    metrics = tuple(_with_args(metric, values) for one in templates for metric in one.metrics)
    names = [metric.name for metric in metrics]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UnresolvedError(f"two of its metrics are called {show(twice)}")
    return metrics


def _with_args(metric: ArgoMetric, values: Mapping[str, str]) -> ArgoMetric:
    try:
        return ArgoMetric.model_validate(_substituted(metric.model_dump(mode="json"), values))
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnresolvedError(f"metric {show(metric.name)}: {where + ': ' if where else ''}{first['msg']}") from None


def _substituted(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        missing = next((name for name in ARG.findall(value) if name not in values), None)
        if missing is not None:
            raise UnresolvedError(f"its argument {show(missing)} has no value")
        return ARG.sub(lambda match: values[match[1]], value)
    if isinstance(value, dict):
        return {key: _substituted(one, values) for key, one in value.items()}
    return [_substituted(one, values) for one in value] if isinstance(value, list) else value


__all__ = [
    "AnalysisRef",
    "AnalysisTemplate",
    "ArgoMetric",
    "Argument",
    "DryRun",
    "FieldRef",
    "Prometheus",
    "Provider",
    "RangeQuery",
    "Retention",
    "TemplateRef",
    "UnresolvedError",
    "ValueFrom",
    "merged_templates",
    "resolved",
]
