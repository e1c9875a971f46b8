"""Time with two versions serving, from what they answered."""

import numpy as np
import pytest

from zdsim.measure.requests import mixed_version_s
from zdsim.plane.vocabulary import N_OUTCOMES, Outcome


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        ([(0, 0), (1, 0), (1, 0)], 0.0),  # one version only
        ([(0, 0), (1, 0), (1, 1), (2, 1)], 2.0),  # rolling
        ([(0, 0), (1, 1)], 0.0),  # recreate
        ([(0, 0), (1, 0), (0, 1), (2, 1)], 2.0),  # a straggler on the old side counts
        ([(0, 0), (0, 1), (0, 2)], 2.0),  # three at once count once
        ([(0, 3), (1, 0)], 0.0),  # requests that met no pod belong to no version
    ],
)
def test_time_with_two_versions(answered: list[tuple[int, int]], expected: float) -> None:
    """`answered`: (window, revision) of one request each; 3 stands for no pod. Windows of 2 s."""
    counts = np.zeros((3, 4, 1, N_OUTCOMES), dtype=np.int64)
    for window, revision in answered:
        if revision == 3:
            counts[window, 3, 0, Outcome.NO_ENDPOINT] += 1
        else:
            counts[window, revision, 0, Outcome.OK] += 1
    assert mixed_version_s(counts, 2.0) == expected
