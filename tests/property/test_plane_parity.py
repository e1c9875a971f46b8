"""The two request planes, written apart from MODEL.md, give the same answer to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planedraws import scenarios
from planekit import ALL_RETRIABLE, Call, Script, config, differences, exponential, lognormal, play, serving
from planeunder import KERNEL, examples

from zdsim.plane.config import PlaneConfig
from zdsim.plane.traffic import Arrivals
from zdsim.plane.vocabulary import Algorithm, Jitter, RouterMode
from zdsim.reference import ReferencePlane

UNTIL_S = 60.0

pytestmark = pytest.mark.skipif(KERNEL is None, reason="no compiled plane here")


@examples(100)
@given(scenario=scenarios(), cuts=st.lists(st.floats(0.0, 5.0), max_size=3))
def test_planes_agree(scenario: tuple[PlaneConfig, Script], cuts: list[float]) -> None:
    """Signals, answers, loads, every count and every request's row, for any script."""
    made, script = scenario
    assert KERNEL is not None
    told = play(ReferencePlane(made), script, UNTIL_S)
    compiled = play(KERNEL(made), script, UNTIL_S, cuts=cuts)
    assert differences(told, compiled) == []


@pytest.mark.slow
@pytest.mark.parametrize("mode", RouterMode)
@pytest.mark.parametrize("algorithm", Algorithm)
def test_planes_agree_over_many_chunks(mode: RouterMode, algorithm: Algorithm) -> None:
    """A rolling update under 40,000 requests: more than one chunk of arrivals, long queues, many retries."""
    made = config(
        rate=1600.0,
        duration_s=25.0,
        arrivals=Arrivals.BURSTY,
        work=(lognormal(0.02, 1.0), exponential(0.01)),
        shares=(0.6, 0.4),
        query=exponential(0.004),
        queries=2,
        errors=0.002,
        n_users=1000,
        n_revisions=2,
        n_proxies=3,
        n_closed=20,
        mode=mode,
        algorithm=algorithm,
        retry_on_connect=1,
        backoff_s=np.array([0.05, 0.1]),
        jitter=Jitter.FULL,
        retriable=ALL_RETRIABLE,
        retry_budget=0.1,
        pool=20,
        workers=8,
        queue=50,
        request_timeout_s=0.5,
        server_idle_s=2.0,
        db_pool=4,
        db_slots=24,
        warm_factor=np.array([3.0, 2.0, 1.5]),
    )
    calls = serving([0] * 8, made)
    for k in range(8):
        t, ready = 2.0 + 2.0 * k, 2.6 + 2.0 * k
        view = tuple(range(k + 1, 9 + k))
        calls += [
            Call(t, "add_pod", (1,)),
            Call(ready - 0.3, "start_process", (8 + k,)),
            Call(ready, "mark_removed", (k,)),
        ]
        calls += [Call(ready + 0.05, "stop_accepting", (k,))]
        calls += [Call(ready + 0.1 * proxy, "set_view", (proxy, view)) for proxy in range(made.n_proxies)]
    calls += [
        Call(4.0, "set_weights", ((0.8, 0.2),)),
        Call(4.0, "set_cookie", (1,)),
        Call(15.0, "set_weights", (None,)),
    ]
    calls += [Call(5.0, "set_match", (1, 0.1, (True, False))), Call(6.0, "set_mirror", (1, 0.1))]
    script = Script(tuple(calls))
    assert KERNEL is not None
    told, compiled = play(ReferencePlane(made), script, UNTIL_S), play(KERNEL(made), script, UNTIL_S)
    assert told.record.started > 1 << 15
    assert told.record.attempts > told.record.started
    assert differences(told, compiled) == []
