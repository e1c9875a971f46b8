"""From a scenario's words to the numbers of a request plane."""

from typing import Any

import numpy as np
import pytest
from worldkit import scenario

from zdsim.plane.vocabulary import Outcome, RouterMode
from zdsim.run.plane_config import bugs_of, longest_request_s, plane_config, revisions_of, window_s

CANARY: dict[str, Any] = {"kind": "canary", "weights": [0.5], "analysis": None}


def test_revisions_by_index() -> None:
    """The stable one, the release, its rollovers; both sides of an experiment come last."""
    steps = [{"experiment": {"duration": "5s"}}, {"weight": "50%"}]
    bug = {"error_rate": 0.5, "slow_factor": 3}
    strategy = {"kind": "canary", "steps": steps, "analysis": None}
    what = scenario(release={"bug": bug, "then": [{"at": "9s"}], "strategy": strategy})
    assert [(r.name, r.exposes) for r in revisions_of(what)] == [
        ("v1", False),
        ("v2", True),
        ("v3", True),
        ("baseline", False),
        ("experiment", True),
    ]
    bugs = bugs_of(what)
    assert bugs[0] is None
    assert bugs[1] is bugs[4]
    assert bugs[2] is bugs[3] is None
    made = plane_config(what, 1)
    assert made.service_factor.tolist() == [1.0, 3.0, 1.0, 1.0, 3.0]
    assert made.exposing.tolist() == [False, True, True, False, True]
    assert len(revisions_of(scenario(release=None))) == 1


def test_queries_of_a_revision() -> None:
    """N+1 multiplies what a class asks, class by class."""
    classes = [{"name": "a", "share": 0.5, "queries": 2}, {"name": "b", "share": 0.5}]
    what = scenario(traffic={"classes": classes}, database={}, release={"bug": {"n_plus_one": 10}})
    assert plane_config(what, 1).n_queries.tolist() == [[2, 0], [20, 0]]


@pytest.mark.parametrize(("duration", "width"), [("40s", 1.0), ("20m", 1.0), ("21m", 2.0), ("24h", 120.0)])
def test_auto_windows_stay_few(duration: str, width: float) -> None:
    """The smallest width of the list that makes at most 1,200 windows."""
    assert window_s(scenario(run={"duration": duration, "window": "auto"})) == width


def test_backoff_doubles_up_to_its_cap() -> None:
    client = {"attempts": 6, "backoff": {"base": "100ms", "cap": "500ms"}, "request_timeout": "2s"}
    what = scenario(client=client)
    assert plane_config(what, 1).backoff_s.tolist() == [0.1, 0.2, 0.4, 0.5, 0.5]
    assert longest_request_s(what) == pytest.approx(6 * 2.0 + 1.7)


def test_what_is_retried() -> None:
    made = plane_config(scenario(client={"retry_on": ["timeout", "reset"]}), 1)
    assert [o for o in Outcome if made.retriable[o]] == [Outcome.RESET, Outcome.TIMEOUT]


def test_a_router_that_splits_requests_looks_at_each() -> None:
    """Unless the scenario says otherwise."""
    split = {"strategy": CANARY}
    assert plane_config(scenario(release=split), 1).mode is RouterMode.REQUEST
    assert plane_config(scenario(release=split, router={"mode": "connection"}), 1).mode is RouterMode.CONNECTION
    assert plane_config(scenario(), 1).mode is RouterMode.CONNECTION


def test_warm_up_curves() -> None:
    """Linear: from the factor to 1 over the duration. Exponential: as many knots as it takes, ever nearer to 1."""
    line = plane_config(scenario(process={"warm_up": {"duration": "10s", "factor": 3}}), 1)
    assert (line.warm_step_s, line.warm_factor.tolist()) == (10.0, [3.0])
    curve = plane_config(
        scenario(process={"warm_up": {"duration": "10s", "factor": 3, "shape": "exponential"}}), 1
    ).warm_factor
    assert curve[0] == 3.0
    assert (np.diff(curve) < 0).all()
    assert 1.0 < curve[-1] < 1.02
    assert plane_config(scenario(), 1).warm_factor.tolist() == [1.0]


def test_the_quiet_run_has_no_spike() -> None:
    """Double for ten of forty seconds: a quarter more requests are expected, in the loud run only."""
    what = scenario(faults=[{"kind": "traffic_spike", "at": "10s", "duration": "10s", "factor": 2}])
    counts = {}
    for quiet in (False, True):
        traffic = plane_config(what, 1, quiet=quiet).traffic
        counts[quiet] = float(np.trapezoid(traffic.rates, traffic.knots_s))
    assert counts[False] == pytest.approx(1.25 * counts[True], rel=1e-3)
    assert counts[True] == pytest.approx(1600.0)


def test_connections_that_are_reserved_are_nobodys() -> None:
    made = plane_config(scenario(database={"max_connections": 20, "reserved": 5, "slots": None}), 1)
    assert made.db_max_connections == 15
    assert made.db_slots > 1_000_000
    assert not plane_config(scenario(), 1).has_db
