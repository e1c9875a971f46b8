"""Is one metric of the canary higher, lower or the same, in Kayenta's judgement?

`classify` is Kayenta's MannWhitneyClassifier, `judge_metric` what NetflixACAJudge does around it: clean the samples,
then classify. The names are upstream's. What upstream does with missing data is kept (a metric without data is `Nodata`
and does not fail its group); the gate on top of it (`zdsim.measure.judges.gate`) still never calls silence healthy.

Source: spinnaker/kayenta, kayenta-judge: MannWhitneyClassifier, NetflixACAJudge, IQRDetector, KSigmaDetector,
Transforms, EffectSizes, DescriptiveStatistics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from zdsim.measure.judges.mann_whitney import ShiftInterval, cles, shift_interval
from zdsim.measure.judges.verdict import Direction
from zdsim.plane.config import FloatArray
from zdsim.plane.luck import raw_array, stream_key, unit_array

TOLERANCE: Final = 0.25
CONFIDENCE: Final = 0.98
NOISE: Final = 1e-5  # standard deviation of the noise on constant data, as a share of the constant


class Classification(StrEnum):
    PASS = "Pass"
    HIGH = "High"
    LOW = "Low"
    NODATA = "Nodata"
    NODATA_FAIL_METRIC = "NodataFailMetric"
    ERROR = "Error"


class NanStrategy(StrEnum):
    REMOVE = "remove"
    REPLACE = "replace"  # by zero


class EffectSize(StrEnum):
    MEAN_RATIO = "meanRatio"
    CLES = "cles"


class OutlierStrategy(StrEnum):
    KEEP = "keep"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricConfig:
    """A metric's `analysisConfigurations.canary`, with upstream's defaults.

    An effect-size threshold of None stands for the measure's neutral value: 1 for the ratio of means, 0.5 for `cles`.
    """

    direction: Direction = Direction.EITHER
    nan_strategy: NanStrategy = NanStrategy.REMOVE
    critical: bool = False
    must_have_data: bool = False
    effect_size: EffectSize = EffectSize.MEAN_RATIO
    allowed_increase: float | None = None
    allowed_decrease: float | None = None
    critical_increase: float | None = None
    critical_decrease: float | None = None
    outliers: OutlierStrategy = OutlierStrategy.KEEP
    outlier_factor: float = 3.0
    reduce_sensitivity: bool = True
    tolerance: float = TOLERANCE
    confidence: float = CONFIDENCE

    def threshold(self, given: float | None) -> float:
        if given is not None:
            return given
        return 0.5 if self.effect_size is EffectSize.CLES else 1.0


@dataclass(frozen=True, slots=True)
class MetricClassification:
    """What the classifier says of one metric.

    Attributes:
        deviation: the effect size (1 where no comparison was made, NaN where a mean is 0).
        critical: does it fail the whole canary?
        shift: the interval, where a rank test was made.
    """

    classification: Classification
    reason: str | None
    deviation: float
    critical: bool
    shift: ShiftInterval | None = None


def judge_metric(
    control: ArrayLike,
    experiment: ArrayLike,
    config: MetricConfig | None = None,
    *,
    seed: int = 0,
    name: str = "metric",
) -> MetricClassification:
    """Clean both samples, then classify (NetflixACAJudge.classifyMetric).

    Args:
        control, experiment: baseline and canary, one value an interval, NaN where there was none.
        seed, name: name the stream of the noise that constant data get.
    """
    config = config or MetricConfig()
    return classify(transform(control, config), transform(experiment, config), config, seed=seed, name=name)


def classify(
    control: ArrayLike,
    experiment: ArrayLike,
    config: MetricConfig | None = None,
    *,
    seed: int = 0,
    name: str = "metric",
) -> MetricClassification:
    """Compare cleaned samples (MannWhitneyClassifier.classify).

    Args:
        control, experiment: baseline and canary, without NaN.
    """
    config = config or MetricConfig()
    y, x = np.asarray(control, dtype=np.float64), np.asarray(experiment, dtype=np.float64)
    if x.size == 0 or y.size == 0:
        if config.nan_strategy is NanStrategy.REPLACE:
            return MetricClassification(Classification.PASS, None, 1.0, critical=False)
        missing = f"Missing data for {name}"
        if config.must_have_data and not config.critical:
            return MetricClassification(Classification.NODATA_FAIL_METRIC, missing, 1.0, critical=False)
        return MetricClassification(Classification.NODATA, missing, 1.0, critical=config.critical)
    if np.array_equal(np.sort(x), np.sort(y)):
        return MetricClassification(Classification.PASS, "canary and baseline are identical", 1.0, critical=False)
    if np.unique(np.concatenate([x, y])).size == 1:
        return MetricClassification(Classification.PASS, None, 1.0, critical=False)

    if np.unique(x).size == 1 and np.unique(y).size == 1:
        x, y = with_noise(x, seed, f"{name}/experiment"), with_noise(y, seed, f"{name}/control")
    shift = shift_interval(x, y, confidence=config.confidence)
    effect = cles(x, y) if config.effect_size is EffectSize.CLES else mean_ratio(y, x)
    bound = config.tolerance * abs(shift.estimate)
    if (
        config.direction is not Direction.DECREASE
        and shift.lower > bound
        and _beyond(effect, config.threshold(config.allowed_increase), up=True)
    ):
        critical = config.critical and _beyond(effect, config.threshold(config.critical_increase), up=True)
        return MetricClassification(Classification.HIGH, _reason(name, "High", critical), effect, critical, shift)
    if (
        config.direction is not Direction.INCREASE
        and shift.upper < -bound
        and _beyond(effect, config.threshold(config.allowed_decrease), up=False)
    ):
        critical = config.critical and _beyond(effect, config.threshold(config.critical_decrease), up=False)
        return MetricClassification(Classification.LOW, _reason(name, "Low", critical), effect, critical, shift)
    return MetricClassification(Classification.PASS, None, effect, critical=False, shift=shift)


def _beyond(effect: float, threshold: float, *, up: bool) -> bool:
    """An effect that does not exist (a mean of zero) never excuses a shift."""
    return math.isnan(effect) or (effect >= threshold if up else effect <= threshold)


def _reason(name: str, label: str, critical: bool) -> str:
    return f"{name} was classified as {label}{' (critical)' if critical else ''}"


def transform(values: ArrayLike, config: MetricConfig) -> FloatArray:
    """Missing values removed or replaced by zero, then outliers removed if asked."""
    sample = np.asarray(values, dtype=np.float64)
    sample = remove_nans(sample) if config.nan_strategy is NanStrategy.REMOVE else replace_nans(sample)
    if config.outliers is OutlierStrategy.REMOVE:
        found = iqr_outliers(sample, factor=config.outlier_factor, reduce_sensitivity=config.reduce_sensitivity)
        sample = sample[~found]
    return sample


def remove_nans(values: ArrayLike) -> FloatArray:
    sample = np.asarray(values, dtype=np.float64)
    out: FloatArray = sample[~np.isnan(sample)]
    return out


def replace_nans(values: ArrayLike, value: float = 0.0) -> FloatArray:
    sample = np.asarray(values, dtype=np.float64)
    out: FloatArray = np.where(np.isnan(sample), value, sample)
    return out


def percentile(values: ArrayLike, percent: float) -> float:
    """Linear interpolation between order statistics (R's type 7); NaN for no values.

    >>> percentile([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5], 50)
    1.75
    """
    sample = np.asarray(values, dtype=np.float64)
    return float(np.percentile(sample, percent)) if sample.size else math.nan


def iqr_outliers(values: ArrayLike, *, factor: float = 1.5, reduce_sensitivity: bool = False) -> NDArray[np.bool_]:
    """Which values lie outside Tukey's fences, `factor` interquartile ranges beyond the quartiles.

    With `reduce_sensitivity` the fences reach at least to the 1st and 99th percentile.

    Raises:
        ValueError: `factor` is not positive.
    """
    if factor <= 0.0:
        raise ValueError(f"factor must be greater than zero; got {factor}")
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        return np.zeros(0, dtype=np.bool_)
    p01, p25, p75, p99 = np.percentile(sample, [1, 25, 75, 99])
    low, high = p25 - factor * (p75 - p25), p75 + factor * (p75 - p25)
    if reduce_sensitivity:
        low, high = min(low, p01), max(high, p99)
    out: NDArray[np.bool_] = (sample > high) | (sample < low)
    return out


def k_sigma_outliers(values: ArrayLike, *, k: float = 3.0) -> NDArray[np.bool_]:
    """Which values lie more than `k` (population) standard deviations from the mean."""
    if k <= 0.0:
        raise ValueError(f"k must be greater than zero; got {k}")
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        return np.zeros(0, dtype=np.bool_)
    out: NDArray[np.bool_] = np.abs(sample - sample.mean()) > k * sample.std()
    return out


def with_noise(values: FloatArray, seed: int, name: str) -> FloatArray:
    """Gaussian noise of 1e-5 of the (constant) value: two constants then separate, instead of breaking the rank test.

    Drawn from the stream "kayenta/noise/`name`": the same metric of the same seed gets the same noise.
    """
    key = stream_key(seed, f"kayenta/noise/{name}")
    u = unit_array(raw_array(key, np.arange(values.size, dtype=np.uint64)))
    noise: FloatArray = ndtri(np.maximum(u, 2.0**-53))
    out: FloatArray = values + noise * abs(float(values[0])) * NOISE
    return out


def mean_ratio(control: ArrayLike, experiment: ArrayLike) -> float:
    """Mean of the canary over mean of the baseline; NaN where either is 0 or a sample is empty."""
    y, x = np.asarray(control, dtype=np.float64), np.asarray(experiment, dtype=np.float64)
    if x.size == 0 or y.size == 0 or x.mean() == 0.0 or y.mean() == 0.0:
        return math.nan
    return float(x.mean() / y.mean())


def cohen_d(control: ArrayLike, experiment: ArrayLike) -> float:
    """Difference of the means in pooled standard deviations, without sign; NaN without spread or data."""
    y, x = np.asarray(control, dtype=np.float64), np.asarray(experiment, dtype=np.float64)
    if x.size < 1 or y.size < 1 or x.size + y.size < 3:
        return math.nan
    squares = float(((x - x.mean()) ** 2).sum() + ((y - y.mean()) ** 2).sum())
    pooled = math.sqrt(squares / (x.size + y.size - 2))
    return abs(float(x.mean() - y.mean())) / pooled if pooled > 0.0 else math.nan


@dataclass(frozen=True, slots=True)
class Statistics:
    """Summary of one sample; NaN where there is nothing to summarise (upstream writes 0 there)."""

    min: float
    max: float
    mean: float
    std: float
    count: int


def summary(values: ArrayLike) -> Statistics:
    """Least, largest, mean, standard deviation (n - 1; 0 for one value) and count."""
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        return Statistics(math.nan, math.nan, math.nan, math.nan, 0)
    std = float(sample.std(ddof=1)) if sample.size > 1 else 0.0
    return Statistics(float(sample.min()), float(sample.max()), float(sample.mean()), std, int(sample.size))
