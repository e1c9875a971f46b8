"""The two request planes, written apart from MODEL.md, give the same answer to the last bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planedraws import scenarios
from planekit import Script, differences, play
from planeunder import KERNEL, examples

from zdsim.plane.config import PlaneConfig
from zdsim.reference import ReferencePlane

UNTIL_S = 60.0

pytestmark = pytest.mark.skipif(KERNEL is None, reason="no compiled plane here")


@examples(60)
@given(scenario=scenarios(), cuts=st.lists(st.floats(0.0, 5.0), max_size=3))
def test_planes_agree(scenario: tuple[PlaneConfig, Script], cuts: list[float]) -> None:
    """Signals, answers, loads, every count and every request's row, for any script."""
    made, script = scenario
    assert KERNEL is not None
    told = play(ReferencePlane(made), script, UNTIL_S)
    compiled = play(KERNEL(made), script, UNTIL_S, cuts=cuts)
    assert differences(told, compiled) == []
