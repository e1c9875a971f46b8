"""How shall traffic move from the stable revision to the new one?

One union told apart by `kind`: what a Deployment can do by itself (`rolling`, `recreate`), and the strategies of
progressive delivery without any particular tool's words (`blue_green`, `canary`). A tool's own manifest is read by
`argo.py` and `flagger.py` instead.
"""

from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from zdsim.scenario.analysis import Analysis
from zdsim.scenario.deployment import MAX_REPLICAS
from zdsim.scenario.fields import (
    Flag,
    IntOrPercent,
    Name,
    PositiveSeconds,
    PositiveShare,
    Quantity,
    Seconds,
    Share,
    Whole,
    choice,
)
from zdsim.scenario.laws import Law
from zdsim.scenario.quantities import scaled
from zdsim.scenario.spec import Finding, Spec

Pods = Annotated[int, Whole(ge=1, le=MAX_REPLICAS)]


class _Short:
    """Tells the JSON Schema of words that stand for a section."""

    def __init__(self, *words: object, plain: Literal["duration", "share"] | None = None) -> None:
        self.words, self.plain = words, plain

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        choices: list[dict[str, Any]] = [{"enum": list(self.words)}] if self.words else []
        if self.plain is not None:
            choices += Quantity(self.plain, ge=0).__get_pydantic_json_schema__(schema, handler)["anyOf"]
        return {"anyOf": [*choices, handler(schema)]}


class Rolling(Spec):
    """A rolling update, whatever the manifest says; absent numbers are the Deployment's own."""

    kind: Literal["rolling"]
    max_surge: IntOrPercent | None = None
    max_unavailable: IntOrPercent | None = None

    def conflicts(self) -> Iterator[Finding]:
        yield from _both_zero(self.max_surge, self.max_unavailable)


class Recreate(Spec):
    """All old pods go before a new one comes."""

    kind: Literal["recreate"]


def _both_zero(surge: int | str | None, unavailable: int | str | None) -> Iterator[Finding]:
    if surge is not None and unavailable is not None and scaled(surge, 100, round_up=True) == 0 == scaled(
        unavailable, 100, round_up=True
    ):  # fmt: skip
        yield Finding(
            "max_surge and max_unavailable are both 0, so no pod could ever be replaced",
            ("max_unavailable",),
            "raise one of them: max_surge: 1 keeps every old pod until a new one is ready",
        )


# --- blue-green ------------------------------------------------------------------------------------------------------


class Smoke(Spec):
    """A few requests to the preview before anyone else sends one."""

    requests: Annotated[int, Whole(ge=1, le=1_000_000)] = 20
    duration_s: PositiveSeconds = Field(10.0, alias="duration")
    pass_probability: Share = Field(1.0, description="chance that a good revision passes (flaky tests)")


class PromotionKind(StrEnum):
    """What starts the switch."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    AFTER = "after"


class Promotion(Spec):
    """When the switch comes, once the preview is ready and tested."""

    kind: Annotated[PromotionKind, choice(PromotionKind)] = PromotionKind.AUTOMATIC
    after_s: Seconds = Field(0.0, alias="after", description="how long to wait, with kind after")

    def conflicts(self) -> Iterator[Finding]:
        if self.kind is not PromotionKind.AFTER and self.after_s > 0.0:
            yield Finding(f"kind {self.kind} has no time", ("after",), "promotion: {after: 60s}")


def _short_promotion(value: Any) -> Any:
    """`manual` and `{after: 60s}` are short for `{kind: manual}` and `{kind: after, after: 60s}`."""
    if isinstance(value, Promotion):
        return value
    if isinstance(value, dict):
        return {"kind": "after", **value} if "after" in value and "kind" not in value else value
    return {"kind": value}


class BlueGreenAnalysis(Spec):
    """Before the switch (on the preview) and after it (on everyone's requests)."""

    pre: Analysis | None = None
    post: Analysis | None = None


class BlueGreen(Spec):
    """A second full set of pods, then one switch."""

    kind: Literal["blue_green"]
    preview_replicas: Pods | None = Field(None, description="new pods until the promotion; null: as many as stable")
    smoke: Smoke | None = Field(Smoke(), description="requests to the preview; null: none")
    promotion: Annotated[Promotion, BeforeValidator(_short_promotion), _Short("automatic", "manual")] = Field(
        Promotion(), description="automatic, manual (release.promote_at) or {after: 60s}"
    )
    keep_old_s: Seconds | None = Field(
        30.0, alias="keep_old", description="the old pods stay so long after the promotion; null: for ever"
    )
    confidence_s: Seconds = Field(
        0.0, alias="confidence", description="watched so long after the switch before the old side may go"
    )
    abort_scale_down_s: Seconds | None = Field(
        30.0, alias="abort_scale_down", description="new pods stay so long after an abort; null: for ever"
    )
    switch_lag: Law | None = Field(None, description="until a router follows the switch; null: as router.lag")
    analysis: BlueGreenAnalysis = BlueGreenAnalysis()

    def cautions(self) -> Iterator[Finding]:
        pre = self.analysis.pre
        if pre is not None and not pre.ends:
            yield _endless(("analysis", "pre"))
        seen = 0.0 if pre is None or self.smoke is None else self.smoke.requests * pre.window_s / self.smoke.duration_s
        if pre is not None and self.smoke is not None and pre.min_requests > seen:
            yield Finding(
                f"before the switch only the smoke test sends requests ({seen:.4g} in a window), fewer than "
                f"min_requests ({pre.min_requests}): always inconclusive",
                ("analysis", "pre"),
                f"set min_requests to at most {int(seen)}, or smoke.requests higher",
                "ZD2009",
            )
        elif pre is not None and self.smoke is None and pre.min_requests > 0:
            yield Finding(
                "before the switch nothing sends requests to the preview (smoke: null): always inconclusive",
                ("analysis", "pre"),
                "add smoke: {requests: 200, duration: 60s}",
                "ZD2009",
            )
        post = self.analysis.post
        if post is not None and not post.ends and self.confidence_s == 0.0:
            yield Finding(
                "the analysis after the switch has no count, and confidence is 0: it is over before it began",
                ("analysis", "post"),
                "confidence: 5m, or give it a count",
                "ZD2009",
            )


def _endless(at: tuple[str | int, ...]) -> Finding:
    return Finding(
        "an analysis without count never ends by itself when all is well: the rollout will wait for ever",
        at,
        "count: 5",
        "ZD2009",
    )


# --- canary ----------------------------------------------------------------------------------------------------------


class Split(StrEnum):
    """What a weight is a share of."""

    ROUTER = "router"  # of requests
    REPLICAS = "replicas"  # of pods


class Sticky(StrEnum):
    """Who meets the same revision again."""

    NONE = "none"
    USER = "user"  # every user, by who they are
    COOKIE = "cookie"  # those who met the canary
    COOKIE_BOTH = "cookie_both"  # both sides


class Match(Spec):
    """Users who always get the canary, by a header or cookie of theirs."""

    share: PositiveShare = Field(0.01, description="share of users who carry it")
    classes: tuple[Name, ...] = Field((), max_length=64, description="kinds of requests meant; none given: all")


class Mirror(Spec):
    """Copies of requests for the canary, whose answers nobody sees."""

    share: PositiveShare = 0.1
    hold_s: Seconds | None = Field(None, alias="hold", description="how long; null: as hold")


def _short_mirror(value: Any) -> Any:
    """`10%` is short for `{share: 10%}`."""
    return value if value is None or isinstance(value, dict | Mirror) else {"share": value}


class CanaryScale(Spec):
    """Pods of the canary apart from its weight: a number, those of a weight, or back to normal."""

    replicas: Annotated[int, Whole(ge=0, le=MAX_REPLICAS)] | None = None
    weight: Share | None = None
    match: Flag = False

    def conflicts(self) -> Iterator[Finding]:
        if (self.replicas is not None) + (self.weight is not None) + self.match != 1:
            yield Finding("give exactly one of replicas, weight and match", hint="scale: {replicas: 2}")


def _short_scale(value: Any) -> Any:
    return {"match": True} if value == "match" else value


class Experiment(Spec):
    """A fresh baseline of the stable template beside as many new pods, compared."""

    duration_s: PositiveSeconds | None = Field(None, alias="duration", description="absent: until its analysis is done")
    replicas: Pods = 1
    analysis: Analysis = Analysis()


class Pause(Spec):
    """Stop for a time, or until someone promotes (null)."""

    duration_s: PositiveSeconds | None = Field(None, alias="duration")


def _short_pause(value: Any) -> Any:
    """`true` waits for a human, `2m` two minutes."""
    if value is True:
        return {}
    return value if value is None or isinstance(value, dict | Pause) else {"duration": value}


class StepKind(StrEnum):
    """What a step does."""

    WEIGHT = "weight"
    PAUSE = "pause"
    SCALE = "scale"
    ANALYSIS = "analysis"
    EXPERIMENT = "experiment"


class CanaryStep(Spec):
    """One step: exactly one of weight (with hold), pause, scale, analysis and experiment."""

    weight: Share | None = Field(None, description="share of the new revision")
    hold_s: Seconds | None = Field(None, alias="hold", description="after the weight is reached")
    pause: Annotated[Pause | None, BeforeValidator(_short_pause), _Short(True, plain="duration")] = None
    scale: Annotated[CanaryScale | None, BeforeValidator(_short_scale), _Short("match")] = None
    analysis: Analysis | None = None
    experiment: Experiment | None = None

    @property
    def kind(self) -> StepKind:
        """What it does."""
        return self._given()[0]

    def _given(self) -> list[StepKind]:
        return [kind for kind in StepKind if getattr(self, kind.value) is not None]

    def conflicts(self) -> Iterator[Finding]:
        given = self._given()
        if len(given) != 1:
            got = " and ".join(given) if given else "none"
            yield Finding(
                f"a step is exactly one of {', '.join(StepKind)}; got {got}",
                hint="write each as its own item: - {weight: 5%, hold: 2m}",
            )
        elif self.hold_s is not None and self.weight is None:
            yield Finding("hold belongs to a weight", ("hold",), "write - pause: 2m as its own step")

    def cautions(self) -> Iterator[Finding]:
        if self.analysis is not None and not self.analysis.ends:
            yield _endless(("analysis",))
        one = self.experiment
        if one is not None and one.duration_s is None and not one.analysis.ends:
            yield Finding(
                "an experiment without a duration, whose analysis has no count, never ends: it will wait for ever",
                ("experiment",),
                "duration: 5m",
                "ZD2009",
            )


DEFAULT_WEIGHTS = (0.01, 0.05, 0.25, 0.5, 1.0)


class Canary(Spec):
    """Shift traffic in steps, while the analysis watches."""

    kind: Literal["canary"]
    weights: tuple[Share, ...] | None = Field(
        None, min_length=1, max_length=1000, description="short for steps; absent: 1, 5, 25, 50, 100 %"
    )
    hold_s: Seconds = Field(60.0, alias="hold", description="at every weight that has no hold of its own")
    written_steps: tuple[CanaryStep, ...] | None = Field(None, alias="steps", min_length=1, max_length=1000)
    split: Annotated[Split, choice(Split)] = Field(Split.ROUTER, description="share of requests, or share of pods")
    sticky: Annotated[Sticky, choice(Sticky)] = Sticky.NONE
    match: Match | None = Field(None, description="users who always get the canary; null: none")
    mirror: Annotated[Mirror | None, BeforeValidator(_short_mirror), _Short(plain="share")] = Field(
        None, description="share of requests copied before the first weight; null: none"
    )
    max_surge: IntOrPercent = Field("25%", description="with split: replicas")
    max_unavailable: IntOrPercent = Field("25%", description="with split: replicas")
    dynamic_stable_scale: Flag = Field(False, description="stable shrinks as the canary grows")
    abort_scale_down_s: Seconds | None = Field(
        30.0, alias="abort_scale_down", description="canary pods stay so long after an abort; null: for ever"
    )
    scale_down_delay_s: Seconds = Field(
        30.0, alias="scale_down_delay", description="old pods stay so long after the promotion"
    )
    min_pods: Pods = Field(1, description="a weight above 0 has at least so many pods")
    analysis: Analysis | None = Field(Analysis(), description="beside the steps; null: none")
    start_step: Annotated[int, Whole(ge=0, le=1000)] = Field(0, description="from which it watches")

    @property
    def steps(self) -> tuple[CanaryStep, ...]:
        """All steps, those of `weights` written out, every weight with its hold."""
        if self.written_steps is None:
            return tuple(CanaryStep(weight=one, hold_s=self.hold_s) for one in self.weights or DEFAULT_WEIGHTS)
        return tuple(
            one.model_copy(update={"hold_s": self.hold_s}) if one.weight is not None and one.hold_s is None else one
            for one in self.written_steps
        )

    def _where(self, i: int) -> tuple[str | int, ...]:
        return ("weights", i) if self.written_steps is None else ("steps", i)

    def conflicts(self) -> Iterator[Finding]:
        if self.weights is not None and self.written_steps is not None:
            yield Finding("give weights (short) or steps, not both", ("weights",))
        yield from _both_zero(self.max_surge, self.max_unavailable)
        if self.split is Split.REPLICAS:
            yield from self._needs_router()
        elif {"max_surge", "max_unavailable"} & self.model_fields_set and self.split is Split.ROUTER:
            word = "max_surge" if "max_surge" in self.model_fields_set else "max_unavailable"
            if getattr(self, word) != "25%":
                yield Finding(
                    f"{word} belongs to split: replicas; with a router the canary's pods come on top",
                    (word,),
                    "remove it, or write split: replicas",
                )
        if self.start_step > len(self.steps):
            yield Finding(f"there are only {len(self.steps)} steps, so the analysis would never start", ("start_step",))

    def _needs_router(self) -> Iterator[Finding]:
        needs: dict[str, bool] = {
            "sticky": self.sticky is not Sticky.NONE,
            "match": self.match is not None,
            "mirror": self.mirror is not None,
            "dynamic_stable_scale": self.dynamic_stable_scale,
            "min_pods": self.min_pods != 1,
        }
        hint = "split: router, or remove it"
        for word, asked in needs.items():
            if asked:
                message = f"{word} needs split: router: with split: replicas nobody looks at a request"
                yield Finding(message, (word,), hint)
        for i, one in enumerate(self.steps):
            if one.scale is not None:
                yield Finding(
                    "scale needs split: router: with split: replicas the pods are the weight",
                    (*self._where(i), "scale"),
                    hint,
                )

    def cautions(self) -> Iterator[Finding]:
        weights = [(i, one.weight) for i, one in enumerate(self.steps) if one.weight is not None]
        for (_, a), (i, b) in pairwise(weights):
            if b <= a:
                at = self._where(i) if self.written_steps is None else (*self._where(i), "weight")
                yield Finding(f"weights should rise, but {percent(b)} follows {percent(a)}", at, "", "ZD2009")
        if not weights:
            message = "no step has a weight: at the end everyone gets the new revision at once"
            yield Finding(message, ("steps",), "- {weight: 5%, hold: 2m}", "ZD2009")

    def shares(self, replicas: int) -> Iterator[tuple[int, float, float]]:
        """Step, wanted weight and the share that pods can really give, where the two differ (split: replicas)."""
        if self.split is not Split.REPLICAS or replicas == 0:
            return
        surge = scaled(self.max_surge, replicas, round_up=True)
        for i, one in enumerate(self.steps):
            if one.weight is None:
                continue
            new, stable = nearest_split(replicas, one.weight, surge=surge)
            real = new / (new + stable)
            if abs(real - one.weight) > 0.005:
                yield i, one.weight, real


def nearest_split(replicas: int, weight: float, *, surge: int) -> tuple[int, int]:
    """Pods of the new and of the stable revision that come nearest to a weight.

    Source: Argo Rollouts, utils/replicaset/canary.go: approximateWeightedCanaryStableReplicaCounts.

    >>> [nearest_split(3, w, surge=1) for w in (0.2, 0.4, 0.6, 0.8)]
    [(1, 3), (1, 2), (2, 1), (3, 1)]
    """
    if replicas == 0:
        return 0, 0
    exact = round(replicas * weight, 9)
    low = int(exact)
    high = low if low == exact else low + 1
    may_be_zero = weight in (0.0, 1.0) or (replicas == 1 and surge == 0)
    options = []
    for total in (replicas, replicas + 1) if surge > 0 else (replicas,):
        tied = round(total * weight, 9) % 1 == 0.5
        if total > replicas or high < replicas or may_be_zero:
            options.append((high, total))
        if not tied and (low != 0 or may_be_zero):
            options.append((low, total))
    if not options:
        return 0, replicas
    new, total = min(options, key=lambda pair: abs(round(pair[0] / pair[1] - weight, 12)))
    return new, total - new


AnyStrategy = Rolling | Recreate | BlueGreen | Canary
Strategy = Annotated[AnyStrategy, Discriminator("kind")]


def percent(share: float) -> str:
    """`0.05` -> `5%`."""
    return f"{share * 100:.4g}%"


def waits_for_ever(strategy: AnyStrategy) -> int:
    """How many times a human must promote before it can end."""
    match strategy:
        case Canary():
            return sum(one.pause is not None and one.pause.duration_s is None for one in strategy.steps)
        case BlueGreen():
            return int(strategy.promotion.kind is PromotionKind.MANUAL)
        case Rolling() | Recreate():
            return 0


__all__ = [
    "DEFAULT_WEIGHTS",
    "AnyStrategy",
    "BlueGreen",
    "BlueGreenAnalysis",
    "Canary",
    "CanaryScale",
    "CanaryStep",
    "Experiment",
    "Match",
    "Mirror",
    "Pause",
    "Promotion",
    "PromotionKind",
    "Recreate",
    "Rolling",
    "Smoke",
    "Split",
    "StepKind",
    "Sticky",
    "Strategy",
    "nearest_split",
    "percent",
    "waits_for_ever",
]
