"""How often does a request meet the close of its idle connection (Q37, V10)?"""

import math

import pytest
from conftest import Rig, both, slow
from queueing import (
    Estimate,
    agree,
    constant,
    exponential,
    keep_alive_race,
    plane_config,
    play_out,
    refuse,
    route_to,
    start_pods,
)

from zdsim.plane.config import PlaneConfig, PlaneRecord
from zdsim.plane.vocabulary import Cause, Outcome, RouterMode

IDLE_S = 5.0
USERS = 16


def gaps_config(
    rig: Rig, *, seed: int, reuse: float, notice: float, requests: float, client_idle_s: float = 60.0, **rest: object
) -> PlaneConfig:
    """Sixteen users, each alone behind a proxy with one connection: its gaps are exponential think times."""
    return plane_config(
        seed=seed,
        horizon_s=rig.n(requests) / USERS / reuse,
        work=[constant(0.0)],
        think=exponential(1.0 / reuse),
        n_closed=USERS,
        n_users=USERS,
        n_proxies=USERS,
        pool=1,
        server_idle_s=IDLE_S,
        client_idle_s=client_idle_s,
        close_notice_s=notice,
        log_requests=False,
        **rest,  # type: ignore[arg-type]
    )


def race(rig: Rig, config: PlaneConfig) -> tuple[PlaneRecord, int, int]:
    """(record, resets, attempts that followed an answer: each found the connection just put back)."""
    plane = rig.build(config)
    route_to(plane, config, start_pods(plane, [0]))
    record = play_out(plane, config)
    resets = int(record.counts[..., Outcome.RESET].sum())
    ok = int(record.counts[..., Outcome.OK].sum())
    assert resets + ok == record.ended
    assert record.causes[Outcome.RESET, Cause.KEEP_ALIVE_RACE] == resets
    return record, resets, ok


@pytest.mark.parametrize(
    ("rig", "reuse", "notice", "requests", "mode"),
    both(
        (0.1, 0.05, 4e5, RouterMode.CONNECTION),
        (0.5, 0.05, 4e5, RouterMode.REQUEST),
        (0.5, 0.01, 4e5, RouterMode.CONNECTION),
        slow(1.0, 0.05, 2e6, RouterMode.CONNECTION),
        slow(1.0, 0.05, 2e6, RouterMode.REQUEST),
    ),
    indirect=["rig"],
)
def test_Q37_race_with_a_wide_window(rig: Rig, reuse: float, notice: float, requests: float, mode: RouterMode) -> None:
    """A window wide enough to be hit often: e^{-rT} (1 - e^{-rd}) of the attempts on a kept connection."""
    config = gaps_config(rig, seed=3700, reuse=reuse, notice=notice, requests=requests, mode=mode)
    _, resets, tries = race(rig, config)
    exact = keep_alive_race(reuse, IDLE_S, notice)
    share = Estimate.of_count(resets, tries)
    agree(f"race r={reuse} d={notice}", share, exact, precision=rig.precision(0.25))
    if rig.large:
        refuse("no close at all", share, 0.0)
        refuse("any gap longer than T", share, math.exp(-reuse * IDLE_S))
        refuse("the client notices in half the time", share, keep_alive_race(reuse, IDLE_S, notice / 2.0))


@pytest.mark.slow
@pytest.mark.parametrize(("reuse", "requests"), [(0.1, 1.5e7), (0.5, 1.5e7), (1.0, 1.5e7), (2.0, 1.5e7)])
def test_Q37_race_with_the_window_of_real_networks(kernel: Rig, reuse: float, requests: float) -> None:
    """Half a millisecond: 3.0e-5, 2.1e-5, 3.4e-6, 4.5e-8; Poisson counts. Busy connections do not suffer."""
    from scipy import stats

    _, resets, tries = race(kernel, gaps_config(kernel, seed=3750, reuse=reuse, notice=0.0005, requests=requests))
    expected = tries * keep_alive_race(reuse, IDLE_S, 0.0005)
    low, high = stats.poisson.interval(0.9973, expected)
    print(f"race r={reuse}: {resets} of {tries:,}, expected {expected:.1f} in [{low:g}, {high:g}]")
    assert low <= resets <= high
    if reuse < 2.0:
        assert not low <= expected * 2.5 <= high  # it would have seen a window of two or three times the width


def test_V10_a_client_that_closes_first_never_loses(rig: Rig) -> None:
    """Client idle time below the server's: exactly 0, where the same gaps lose by the hundred otherwise."""
    config = gaps_config(rig, seed=3710, reuse=0.5, notice=0.05, requests=4e5, client_idle_s=4.9)
    assert race(rig, config)[1] == 0
    config = gaps_config(rig, seed=3710, reuse=0.5, notice=0.05, requests=4e5, client_idle_s=5.03)
    share = Estimate.of_count(*race(rig, config)[1:])
    exact = keep_alive_race(0.5, IDLE_S, 0.03)
    agree("client closes 30 ms after the server", share, exact, precision=rig.precision(0.2))


def test_Q37_without_kept_connections_there_is_no_race(rig: Rig) -> None:
    config = gaps_config(rig, seed=3720, reuse=0.5, notice=0.05, requests=1e5)
    fresh = plane_config(
        seed=3720,
        horizon_s=config.horizon_s,
        work=[constant(0.0)],
        think=exponential(2.0),
        n_closed=USERS,
        n_users=USERS,
        n_proxies=USERS,
        pool=0,
        server_idle_s=IDLE_S,
        close_notice_s=0.05,
        log_requests=False,
    )
    assert race(rig, fresh)[1] == 0
    assert race(rig, config)[1] > 0
