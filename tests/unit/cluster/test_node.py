"""The grids on which a node looks, and its measured durations."""

from hypothesis import given
from hypothesis import strategies as st

from zdsim.cluster.node import Grid, Node, NodeLaws, NodeSettings, Uniform

GRIDS = st.builds(Grid, st.floats(-10.0, 10.0), st.floats(0.01, 100.0))
TIMES = st.floats(-1e5, 1e5)


@given(GRIDS, TIMES)
def test_the_next_look_is_the_first_after_now(grid: Grid, now: float) -> None:
    last, after = grid.last(now), grid.after(now)
    assert last <= now < after
    assert abs(after - last - grid.period_s) <= 1e-6 * max(1.0, abs(now))
    assert grid.last(after) == after
    assert grid.last(last) == last


def test_nodes_have_phases_of_their_own_and_keep_them() -> None:
    settings, uniform = NodeSettings(), Uniform(7)
    nodes = [Node.make(f"node-{k}", settings, uniform) for k in range(50)]
    assert len({node.relist.phase_s for node in nodes}) == 50
    assert all(-settings.relist_s <= node.relist.phase_s < 0.0 for node in nodes)
    assert Node.make("node-0", settings, uniform).relist == nodes[0].relist


def test_measured_start_of_a_process() -> None:
    """Alone on the node, recorded from created to process start: 0.46 (10 %), 0.51 (median), 0.58 (90 %)."""
    laws = NodeLaws.measured(3)
    starts = sorted(laws.volumes("v", k) + laws.sandbox("s", k) + laws.container("c", k) for k in range(2000))
    assert 0.41 <= starts[0] <= 0.45
    assert 0.45 <= starts[200] <= 0.48
    assert 0.49 <= starts[1000] <= 0.53
    assert 0.56 <= starts[1800] <= 0.63
    assert starts[-1] <= 1.14
