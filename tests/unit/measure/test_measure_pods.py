"""Time in which pods existed, were ready, and served in two versions."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.measure.pods import levels, mixed_version_s, pod_seconds, union
from zdsim.record import PodLife, Span

spans = st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50)).map(lambda pair: (min(pair), max(pair))), max_size=8)


def pod(revision: int = 0, ready: tuple[Span, ...] = (), **changes: object) -> PodLife:
    life = PodLife(f"pod-{revision}", 0, revision, 0.0, ready, ready, None, None, 0)
    return replace(life, **changes)  # type: ignore[arg-type]


@given(spans)
def test_a_union_covers_the_same_time_without_overlap(given_spans: list[Span]) -> None:
    joined = union(given_spans)
    assert all(a[1] < b[0] for a, b in pairwise(joined))
    instants = np.linspace(0.0, 50.0, 173) + 1e-7
    np.testing.assert_array_equal(levels(joined, instants) > 0, levels(given_spans, instants) > 0)


def test_levels_count_half_open_spans() -> None:
    assert levels([(1.0, 3.0), (2.0, 3.0)], np.array([0.0, 1.0, 2.0, 3.0])).tolist() == [0, 1, 2, 0]
    assert levels([], np.array([1.0])).tolist() == [0]


@pytest.mark.parametrize(
    ("lives", "expected"),
    [
        ([], 0.0),
        ([pod(0, ((0.0, 10.0),)), pod(0, ((2.0, 9.0),))], 0.0),  # one version
        ([pod(0, ((0.0, 6.0),)), pod(1, ((4.0, 10.0),))], 2.0),  # rolling
        ([pod(0, ((0.0, 4.0),)), pod(1, ((4.0, 10.0),))], 0.0),  # recreate: they touch
        ([pod(0, ((0.0, 4.0), (5.0, 8.0))), pod(1, ((3.0, 6.0),))], 2.0),  # a gap in between
        ([pod(0, ((0.0, 9.0),)), pod(1, ((1.0, 5.0),)), pod(2, ((2.0, 6.0),))], 5.0),  # three at once count once
    ],
)
def test_time_with_two_versions_ready(lives: list[PodLife], expected: float) -> None:
    assert mixed_version_s(lives, 100.0) == expected


def test_pod_seconds_begin_and_end_with_the_run() -> None:
    """A service that was started before the run began (at a negative time) costs nothing before it."""
    lives = [pod(gone_s=4.0), pod(created_s=6.0), pod(created_s=3.0, gone_s=99.0), pod(created_s=-50.0, gone_s=1.0)]
    assert pod_seconds(lives, 10.0) == 4.0 + 4.0 + 7.0 + 1.0
    assert pod_seconds([pod(created_s=-50.0, gone_s=-1.0), pod(created_s=11.0)], 10.0) == 0.0


def test_only_time_within_the_run_counts_as_mixed() -> None:
    assert mixed_version_s([pod(0, ((-5.0, 20.0),)), pod(1, ((-3.0, 30.0),))], 10.0) == 10.0
