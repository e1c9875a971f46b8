"""How long did it take from the first harm to safety?"""

from __future__ import annotations

import math

from zdsim.record import RollbackStages

#: Stages in the order in which a rollback passes through them.
STAGES = ("onset", "detected", "decided", "diverted", "restored")


def latency_s(stages: RollbackStages) -> float | None:
    """Rollback latency: from onset until the last request was routed to the bad revision.

    Returns:
        Seconds; None where there was no onset or requests were never diverted. Zero where none was routed
        to it after the onset.
    """
    onset, diverted = known(stages.onset_s), known(stages.diverted_s)
    return None if onset is None or diverted is None else max(0.0, diverted - onset)


def stage_times(stages: RollbackStages) -> dict[str, float | None]:
    """Stage -> when it was reached, seconds since the run began; None where it never came."""
    return {stage: known(getattr(stages, f"{stage}_s")) for stage in STAGES}


def known(value: float | None) -> float | None:
    """The value, or None where it is missing or NaN: past this line there is one way to say "never"."""
    return None if value is None or math.isnan(value) else value
