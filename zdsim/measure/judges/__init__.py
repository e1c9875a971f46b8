"""Is the new revision healthy? Judges as pure functions on counts and samples.

`judge(spec, observation)` is the door for a gate; the modules behind it hold each test by itself.
"""

from zdsim.measure.judges.gate import (
    AbsoluteSpec,
    Arm,
    CountsSpec,
    DistributionSpec,
    KayentaSpec,
    MeanSequenceSpec,
    MsprtSpec,
    Observation,
    RatioSpec,
    SlopeSpec,
    Spec,
    SprtSpec,
    TwoProportionSpec,
    judge,
    score_verdict,
)
from zdsim.measure.judges.verdict import Direction, Health, Verdict, Why

__all__ = [
    "AbsoluteSpec",
    "Arm",
    "CountsSpec",
    "Direction",
    "DistributionSpec",
    "Health",
    "KayentaSpec",
    "MeanSequenceSpec",
    "MsprtSpec",
    "Observation",
    "RatioSpec",
    "SlopeSpec",
    "Spec",
    "SprtSpec",
    "TwoProportionSpec",
    "Verdict",
    "Why",
    "judge",
    "score_verdict",
]
