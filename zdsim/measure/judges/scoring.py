"""Do the metrics together let the canary pass?

Kayenta's score: the share of passing metrics in each group, summed by group weights, 0 if a critical metric failed or
half of all metrics had no data; then Pass, Marginal or Fail by two thresholds.

Source: spinnaker/kayenta, kayenta-judge: WeightedSumScorer, ThresholdScoreClassifier, NetflixACAJudge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Final

from numpy.typing import ArrayLike

from zdsim.measure.judges.kayenta import Classification, MetricConfig, judge_metric

NODATA_THRESHOLD: Final = 50.0  # percent of metrics without data that fail a canary


class ScoreClassification(StrEnum):
    PASS = "Pass"
    MARGINAL = "Marginal"
    FAIL = "Fail"


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One metric's part in the score."""

    name: str
    classification: Classification
    groups: tuple[str, ...] = ("all",)
    critical: bool = False
    reason: str | None = None
    deviation: float = 1.0


@dataclass(frozen=True, slots=True)
class GroupScore:
    """0 to 100; a group in which no metric had data counts as 100 in the sum."""

    name: str
    score: float
    no_data: bool
    n_metrics: int


@dataclass(frozen=True, slots=True)
class Score:
    """Sum over groups, 0 to 100, rounded to two places; `reason` where it is 0 by rule."""

    summary: float
    groups: tuple[GroupScore, ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CanaryJudgement:
    """What NetflixACAJudge returns."""

    score: Score
    classification: ScoreClassification
    results: tuple[MetricResult, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """Samples of one metric, one value an interval, NaN where there was none."""

    name: str
    control: ArrayLike
    experiment: ArrayLike
    config: MetricConfig = field(default_factory=MetricConfig)
    groups: tuple[str, ...] = ("all",)


def netflix_aca_judge(
    metrics: Sequence[Metric],
    *,
    group_weights: Mapping[str, float] | None = None,
    pass_threshold: float = 95.0,
    marginal_threshold: float = 75.0,
    seed: int = 0,
) -> CanaryJudgement:
    """Classify every metric, score, compare with the thresholds.

    Args:
        group_weights: percent by group; the groups left out share what remains of 100.
        pass_threshold, marginal_threshold: of the score; upstream has no defaults, these are its documentation's.
        seed: of the noise that constant samples get.

    Raises:
        ValueError: no metric at all.
    """
    results = []
    for metric in metrics:
        found = judge_metric(metric.control, metric.experiment, metric.config, seed=seed, name=metric.name)
        results.append(
            MetricResult(
                metric.name, found.classification, metric.groups, found.critical, found.reason, found.deviation
            )
        )
    score = weighted_sum(results, group_weights)
    return CanaryJudgement(score, classify_score(score.summary, pass_threshold, marginal_threshold), tuple(results))


def classify_score(score: float, pass_threshold: float, marginal_threshold: float) -> ScoreClassification:
    """Pass at or above the first threshold, Marginal at or above the second."""
    if score >= pass_threshold:
        return ScoreClassification.PASS
    return ScoreClassification.MARGINAL if score >= marginal_threshold else ScoreClassification.FAIL


def weighted_sum(results: Sequence[MetricResult], group_weights: Mapping[str, float] | None = None) -> Score:
    """The score of classified metrics.

    Raises:
        ValueError: `results` is empty.
    """
    if not results:
        raise ValueError("a score needs at least one metric")
    weights = dict(group_weights or {})
    groups = group_scores(results)
    failed = [result for result in results if result.critical and result.classification is not Classification.PASS]
    if failed:
        return Score(0.0, groups, f"canary failed: {failed[0].reason or failed[0].name}")
    silent = sum(result.classification is Classification.NODATA for result in results)
    if 100.0 * silent / len(results) >= NODATA_THRESHOLD:
        return Score(0.0, groups, f"canary failed: {NODATA_THRESHOLD:.0f}% or more of the metrics had no data")
    unweighted = [group for group in groups if group.name not in weights]
    rest = (100.0 - sum(weights.values())) / len(unweighted) if unweighted else 0.0
    total = sum((100.0 if g.no_data else g.score) * weights.get(g.name, rest) / 100.0 for g in groups)
    return Score(float(Decimal(repr(total)).quantize(Decimal("0.01"), ROUND_HALF_UP)), groups)


def group_scores(results: Sequence[MetricResult]) -> tuple[GroupScore, ...]:
    """Share of passing metrics among those that were judged, in percent, by group."""
    members: dict[str, list[Classification]] = {}
    for result in results:
        for group in result.groups:
            members.setdefault(group, []).append(result.classification)
    scores = []
    for name, labels in members.items():
        judged = [label for label in labels if label not in (Classification.NODATA, Classification.ERROR)]
        passed = sum(label is Classification.PASS for label in judged)
        scores.append(GroupScore(name, 100.0 * passed / len(judged) if judged else 0.0, not judged, len(labels)))
    return tuple(scores)
