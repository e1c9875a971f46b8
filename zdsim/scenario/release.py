"""What is released, what is wrong with it, and who would take it back?"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from zdsim.scenario.deployment import MAX_REPLICAS, DeploymentPatch
from zdsim.scenario.fields import (
    Bytes,
    Factor,
    Flag,
    Name,
    PositiveSeconds,
    PositiveShare,
    Quantity,
    Seconds,
    Share,
    Whole,
)
from zdsim.scenario.laws import Law, lognormal
from zdsim.scenario.quantities import format_duration
from zdsim.scenario.spec import Assumed, Finding, Spec
from zdsim.scenario.strategy import Strategy, waits_for_ever


class Bug(Spec):
    """What is wrong with a new revision; the default of every field is that nothing is."""

    error_rate: Share = Field(0.0, description="share of its requests answered with an error")
    classes: dict[Name, Share] = Field({}, description="error rate by class, instead of error_rate", max_length=64)
    error_after_s: Seconds = Field(0.0, alias="error_after", description="age of a pod from which it errs")
    slow_factor: Factor = Field(1.0, description="times longer that its requests take")
    n_plus_one: Annotated[float, Quantity("number", ge=1, le=1000)] = Field(
        1.0, description="times more queries that its requests make"
    )
    crash_after: Law | None = Field(None, description="the process ends by itself so long after its start")
    deadlock_after: Law | None = Field(None, description="the process stops answering so long after its start")
    never_ready: Flag = Field(False, description="its readiness endpoint never says yes")
    slow_start: Factor = Field(1.0, description="times longer that it takes to listen")
    leak_per_request: Bytes = Field(0.0, description="memory that every request leaves behind")
    conversion_factor: Annotated[float, Quantity("share", ge=0, le=10)] = Field(
        1.0, description="share of the usual conversion that is left (a business bug: no error, fewer orders)"
    )


class ScaleStep(Spec):
    """`kubectl scale` at a time."""

    at_s: Seconds = Field(alias="at")
    replicas: Annotated[int, Whole(ge=0, le=MAX_REPLICAS)]


class Rollover(Spec):
    """A further template while the first is being rolled out (or after)."""

    at_s: Seconds = Field(alias="at")
    deployment: DeploymentPatch | None = None
    bug: Bug | None = None


class Alert(Spec):
    """What pages the operator: over `window`, every `interval`, `consecutive` times in a row."""

    window_s: PositiveSeconds = Field(60.0, alias="window")
    interval_s: PositiveSeconds = Field(15.0, alias="interval")
    ratio: Annotated[float, Quantity("number", gt=1, le=10_000)] | None = Field(
        2.0, description="error share above so many times the share before the release; null: not looked at"
    )
    error_rate: PositiveShare | None = Field(0.01, description="error share above; null: not looked at")
    p99_s: PositiveSeconds | None = Field(0.5, alias="p99", description="99th percentile above; null: not looked at")
    consecutive: Annotated[int, Whole(ge=1, le=1000)] = 2
    min_requests: Annotated[int, Whole(ge=1, le=100_000_000)] = Field(
        100, description="a window with fewer requests says nothing"
    )

    def conflicts(self) -> Iterator[Finding]:
        if self.ratio is None and self.error_rate is None and self.p99_s is None:
            yield Finding("an alert that looks at nothing never fires", hint="give ratio, error_rate or p99")
        if self.interval_s > self.window_s:
            yield Finding(
                f"interval ({format_duration(self.interval_s)}) is longer than window "
                f"({format_duration(self.window_s)}): requests between would never be looked at",
                ("interval",),
            )


class Operator(Spec):
    """A person who is paged, looks, and types `kubectl rollout undo`."""

    alert: Alert = Alert()
    reaction: Annotated[Law, Assumed("how long a paged operator takes to undo")] = lognormal(mean_s=120.0, p99_s=600.0)


class Rollback(Spec):
    """Who takes a bad release back: nobody, or an operator."""

    operator: Operator | None = None


def _short_rollback(value: Any) -> Any:
    """`none` and `operator` are short for `{}` and `{operator: {}}`."""
    if value is None or value == "none":
        return {}
    return {"operator": {}} if value == "operator" else value


class _RollbackSchema:
    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": ["none", "operator", None]}, handler(schema)]}


def _one_or_more(value: Any) -> Any:
    """A single time is short for a list of one."""
    return value if value is None or isinstance(value, list | tuple) else [value]


class _OneOrMore:
    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        one = Quantity("duration", ge=0).__get_pydantic_json_schema__(schema, handler)
        return {"anyOf": [*one["anyOf"], handler(schema)]}


Times = Annotated[tuple[Seconds, ...], BeforeValidator(_one_or_more), _OneOrMore(), Field(max_length=1000)]


class Release(Spec):
    """The rollout: when, of what, and what happens to it."""

    at_s: Seconds = Field(60.0, alias="at", description="when the new template is applied")
    template_changed: Flag = Field(True, description="false: only fields outside the template change, so no pod moves")
    strategy: Strategy | None = Field(None, description="how traffic moves; absent: as the manifest says")
    deployment: DeploymentPatch | None = Field(None, description="what the new revision's Deployment says differently")
    bug: Bug | None = Field(None, description="what is wrong with the new revision")
    promote_at_s: Times = Field((), alias="promote_at", description="a human promotes: on to the next step")
    promote_full_at_s: Times = Field((), alias="promote_full_at", description="a human promotes: skip all steps")
    abort_at_s: Times = Field((), alias="abort_at", description="a human aborts")
    retry_at_s: Times = Field((), alias="retry_at", description="a human retries an aborted rollout")
    pause_at_s: Seconds | None = Field(None, alias="pause_at", description="kubectl rollout pause")
    resume_at_s: Seconds | None = Field(None, alias="resume_at", description="kubectl rollout resume")
    undo_at_s: Seconds | None = Field(None, alias="undo_at", description="kubectl rollout undo")
    scale: tuple[ScaleStep, ...] = Field((), max_length=1000, description="kubectl scale, while it goes on")
    then: tuple[Rollover, ...] = Field((), max_length=8, description="further templates (a rollover)")
    rollback: Annotated[Rollback, BeforeValidator(_short_rollback), _RollbackSchema()] = Field(
        Rollback(), description="none, or an operator with an alert and a reaction time"
    )

    def conflicts(self) -> Iterator[Finding]:
        if self.resume_at_s is not None and (self.pause_at_s is None or self.resume_at_s <= self.pause_at_s):
            yield Finding("resume_at must come after pause_at", ("resume_at",))
        for word, at_s in (("undo_at", self.undo_at_s), ("pause_at", self.pause_at_s)):
            if at_s is not None and at_s < self.at_s:
                yield Finding(
                    f"{word} ({format_duration(at_s)}) is before the release ({format_duration(self.at_s)})", (word,)
                )
        paused = self.pause_at_s is not None and self.undo_at_s is not None and self.undo_at_s >= self.pause_at_s
        if paused and (self.resume_at_s is None or (self.undo_at_s or 0.0) < self.resume_at_s):
            yield Finding("a paused Deployment cannot be undone", ("undo_at",), hint="resume it first")
        yield from self._action_conflicts()
        for i, (before, step) in enumerate(pairwise(self.scale), 1):
            if step.at_s <= before.at_s:
                yield Finding("times of scale must rise", ("scale", i, "at"))
        last_s = self.at_s
        for i, rollover in enumerate(self.then):
            if rollover.at_s <= last_s:
                yield Finding(
                    f"must come after {format_duration(last_s)}, got {format_duration(rollover.at_s)}",
                    ("then", i, "at"),
                )
            last_s = max(last_s, rollover.at_s)

    def _action_conflicts(self) -> Iterator[Finding]:
        for word, times in self.actions.items():
            for i, at_s in enumerate(times):
                if at_s < self.at_s:
                    yield Finding(
                        f"{format_duration(at_s)} is before the release ({format_duration(self.at_s)})", (word, i)
                    )
            for i, (before, after) in enumerate(pairwise(times), 1):
                if after <= before:
                    yield Finding(f"times of {word} must rise", (word, i))

    @property
    def actions(self) -> dict[str, tuple[float, ...]]:
        """When a human acts on the rollout, by what they do, seconds."""
        return {
            "promote_at": self.promote_at_s,
            "promote_full_at": self.promote_full_at_s,
            "abort_at": self.abort_at_s,
            "retry_at": self.retry_at_s,
        }

    def cautions(self) -> Iterator[Finding]:
        if self.strategy is None:
            return
        humans = waits_for_ever(self.strategy)
        if humans > len(self.promote_at_s) and not self.promote_full_at_s:
            has = f"promote_at has {len(self.promote_at_s)}" if self.promote_at_s else "there is no promote_at"
            what = "a manual promotion" if humans == 1 else f"{humans} manual promotions"
            yield Finding(
                f"needs {what}, and {has}: it will wait for ever",
                ("strategy",),
                f"release.promote_at: {format_duration(self.at_s + 300)}",
                "ZD2009",
            )
