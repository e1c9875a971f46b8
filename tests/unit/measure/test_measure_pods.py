"""Time in which pods existed."""

from dataclasses import replace

import numpy as np

from zdsim.measure.pods import levels, pod_seconds
from zdsim.record import PodLife, Span


def pod(revision: int = 0, ready: tuple[Span, ...] = (), **changes: object) -> PodLife:
    life = PodLife(f"pod-{revision}", 0, revision, 0.0, ready, ready, None, None, 0)
    return replace(life, **changes)  # type: ignore[arg-type]


def test_levels_count_half_open_spans() -> None:
    assert levels([(1.0, 3.0), (2.0, 3.0)], np.array([0.0, 1.0, 2.0, 3.0])).tolist() == [0, 1, 2, 0]
    assert levels([], np.array([1.0])).tolist() == [0]


def test_pod_seconds_begin_and_end_with_the_run() -> None:
    """A service that was started before the run began (at a negative time) costs nothing before it."""
    lives = [pod(gone_s=4.0), pod(created_s=6.0), pod(created_s=3.0, gone_s=99.0), pod(created_s=-50.0, gone_s=1.0)]
    assert pod_seconds(lives, 10.0) == 4.0 + 4.0 + 7.0 + 1.0
    assert pod_seconds([pod(created_s=-50.0, gone_s=-1.0), pod(created_s=11.0)], 10.0) == 0.0
