"""What does taking pods away cost: stale routers (Q33), killed requests (Q35), versions side by side (V17, Q42)?"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from conftest import Rig, both, slow
from queueing import (
    Estimate,
    FloatArray,
    Trace,
    agree,
    constant,
    exponential,
    gamma,
    grace_kills,
    plane_config,
    play,
    play_out,
    prestop_loss_exponential,
    prestop_loss_uniform,
    refuse,
    route_to,
    start_pods,
)

from zdsim.plane.config import PlaneConfig, PlaneRecord
from zdsim.plane.laws import LawTable
from zdsim.plane.protocol import DataPlane
from zdsim.plane.vocabulary import USER_EXPOSED, USER_HARMED, Algorithm, Cause, Outcome

RATE = 100.0


def do_in_order(plane: DataPlane, steps: list[tuple[float, Callable[[float], object]]]) -> None:
    """Play requests and make each call at its time."""
    for t, call in sorted(steps, key=lambda step: step[0]):
        play(plane, t)
        call(t)


# --- Q33: endpoint removal races the end of the process -------------------------------------------------------------


def roll(
    rig: Rig, seed: int, n: int, sleep: float, lags: FloatArray, spacing: float = 1.0
) -> tuple[PlaneRecord, float]:
    """Replace n pods, one every `spacing` s: removed from endpoints at T, process stops accepting at T + sleep,
    proxy p learns it (and its ready successor) at T + lags[pod, p].

    Returns the record and the loss expected for these very lags.
    """
    n_proxies = lags.shape[1]
    config = plane_config(
        seed=seed,
        rate=RATE,
        horizon_s=1.0 + n * spacing + max(float(lags.max()), sleep),
        work=[constant(0.001)],
        workers=256,
        n_proxies=n_proxies,
        algorithm=Algorithm.RANDOM,
        service_factor=[1.0, 1.0],
        log_requests=False,
    )
    plane = rig.build(config)
    pods = start_pods(plane, [0] * n + [1] * n)
    views = [pods[:n] for _ in range(n_proxies)]
    route_to(plane, config, pods[:n])

    def swap(t: float, i: int, proxy: int) -> None:
        views[proxy] = [pods[n + i] if pod == pods[i] else pod for pod in views[proxy]]
        plane.set_view(proxy, views[proxy], t)

    steps: list[tuple[float, Callable[[float], object]]] = []
    for i in range(n):
        removed = 1.0 + i * spacing
        steps.append((removed, lambda t, i=i: plane.mark_removed(pods[i], t)))
        steps.append((removed + sleep, lambda t, i=i: plane.stop_accepting(pods[i], t)))
        steps += [(removed + float(lags[i, p]), lambda t, i=i, p=p: swap(t, i, p)) for p in range(n_proxies)]
    do_in_order(plane, steps)
    expected = RATE / n / n_proxies * float(np.maximum(lags - sleep, 0.0).sum())
    return play_out(plane, config), expected


MEAN_LAG = {"exponential": 2.0, "uniform": 5.0, "constant": 6.0}


def lags_of(law: str, seed: int, n: int, n_proxies: int) -> FloatArray:
    rng = np.random.default_rng([33, seed])
    shape = (n, n_proxies)
    match law:
        case "exponential":
            return rng.exponential(2.0, shape)
        case "uniform":
            return rng.uniform(0.0, 10.0, shape)
        case _:
            return np.full(shape, 6.0)


def expected_loss(law: str, sleep: float) -> float:
    match law:
        case "exponential":
            return prestop_loss_exponential(RATE, 2.0, sleep)
        case "uniform":
            return prestop_loss_uniform(RATE, 10.0, sleep)
        case _:
            return RATE * max(0.0, 6.0 - sleep)


@pytest.mark.parametrize(
    ("rig", "law", "sleep", "n", "n_proxies", "rollouts", "precision"),
    both(
        ("exponential", 3.0, 10, 4, 60, 0.2),
        ("exponential", 0.0, 10, 1, 60, 0.15),
        ("uniform", 5.0, 5, 4, 60, 0.15),
        ("uniform", 3.0, 50, 1, 25, 0.1),
        ("constant", 5.0, 10, 1, 30, 0.1),
        *[
            slow("exponential", sleep, n, p, 6000 // n, precision)
            for sleep, precision in ((0.0, 0.05), (3.0, 0.15), (5.0, 0.25))
            for n, p in ((5, 1), (10, 4), (50, 1))
        ],
        *[
            slow("uniform", sleep, 10, 1, 600, precision)
            for sleep, precision in ((3.0, 0.05), (5.0, 0.07), (8.0, 0.13))
        ],
    ),
    indirect=["rig"],
)
def test_Q33_preStop_race(
    rig: Rig, law: str, sleep: float, n: int, n_proxies: int, rollouts: int, precision: float
) -> None:
    """Lost by a full rollout: rate E[(D - S)+], whatever the number of pods; given the lags, a Poisson count."""
    seeds = range(rollouts if rig.large else 3)
    lost, hoped, excess = 0, 0.0, []
    for seed in seeds:
        lags = lags_of(law, seed, n, n_proxies)
        record, expected = roll(rig, 3300 + seed, n, sleep, lags)
        hoped += expected
        excess.append(np.maximum(lags - sleep, 0.0).ravel())
        failed = record.lost
        lost += failed.size
        assert failed.size == record.causes.sum() == record.causes[Outcome.REFUSED, Cause.DRAINING]
        assert failed.size == record.ended - record.counts[..., Outcome.OK].sum()
        # `stale_s`: how long after the removal the request came: after the preStop, before the router knew.
        assert ((failed["stale_s"] >= sleep) & (failed["stale_s"] <= lags.max())).all()
        assert record.stale_count[Cause.DRAINING] == failed.size
    name, runs = f"{law} S={sleep} R={n} P={n_proxies}", len(seeds)
    given = Estimate(lost / runs, math.sqrt(hoped) / runs, lost)
    agree(f"{name}, lags given", given, hoped / runs, precision=rig.precision(0.6 * precision))
    # The closed form: the lags' own spread comes on top, (rate/R)^2 for each of R P/P of them.
    drawn = (RATE / n / n_proxies) ** 2 * float(np.concatenate(excess).var()) * n * n_proxies / runs
    full = Estimate(given.value, math.sqrt(given.se**2 + drawn), lost)
    exact = expected_loss(law, sleep)
    agree(name, full, exact, precision=rig.precision(precision))
    if rig.large:
        refuse("each pod loses that much", full, exact * n)
        if law != "constant" and sleep > 0.0:
            refuse("excess of the mean lag", full, RATE * max(0.0, MEAN_LAG[law] - sleep))


def test_Q33_sleeping_longer_than_the_longest_lag_loses_nothing(rig: Rig) -> None:
    lags = lags_of("uniform", 1, 10, 4)
    record, expected = roll(rig, 3399, 10, 10.0, lags)
    assert expected == 0.0
    assert record.lost.size == 0
    at_once, expected = roll(rig, 3399, 10, 0.0, lags)
    assert at_once.lost.size > 0.8 * expected > 300


# --- Q35: what is still running when the grace period ends ----------------------------------------------------------


def killed_by_rollout(rig: Rig, seed: int, work: LawTable, *, n: int, warm_s: float, left: float) -> int:
    """Ten or so pods with workers for everybody leave the routers one a second and are killed `left` s later."""
    horizon_s = warm_s + n + left
    config = plane_config(seed=seed, rate=RATE, horizon_s=horizon_s, work=[work], workers=1 << 14, log_requests=False)
    plane = rig.build(config)
    pods = start_pods(plane, [0] * (2 * n))
    route_to(plane, config, pods[:n])
    killed: list[int] = []
    steps: list[tuple[float, Callable[[float], object]]] = []
    for i in range(n):

        def leave(t: float, i: int) -> None:
            plane.set_view(0, pods[i + 1 : n + i + 1], t)
            plane.stop_accepting(pods[i], t)

        def kill(t: float, i: int) -> None:
            open_then = plane.load(pods[i])
            killed.append(plane.end_process(pods[i], t, Cause.KILLED_AT_GRACE_END))
            assert killed[-1] == open_then

        steps.append((warm_s + i, lambda t, i=i: leave(t, i)))
        steps.append((warm_s + i + left, lambda t, i=i: kill(t, i)))
    do_in_order(plane, steps)
    record = play_out(plane, config)
    assert record.causes[Outcome.RESET, Cause.KILLED_AT_GRACE_END] == sum(killed)
    assert record.counts[..., Outcome.RESET].sum() == sum(killed) == record.ended - record.counts[..., Outcome.OK].sum()
    return sum(killed)


@pytest.mark.parametrize(
    ("rig", "name", "work", "warm_s", "left", "exact"),
    both(
        ("exponential 0.2 s", exponential(0.2), 5.0, 25.0, 0.0),
        ("exponential 10 s", exponential(10.0), 150.0, 25.0, grace_kills(RATE, 10.0, 25.0)),
        ("exponential 20 s", exponential(20.0), 300.0, 25.0, grace_kills(RATE, 20.0, 25.0)),
        ("constant 28 s", constant(28.0), 60.0, 25.0, RATE * 3.0),  # residual uniform: 28 x 3/28
        ("gamma 10 s, killed at once", gamma(10.0, 0.25), 60.0, 0.0, RATE * 10.0),  # in flight: rate x E[T]
        small=2,
    ),
    indirect=["rig"],
)
def test_Q35_grace_kills(rig: Rig, name: str, work: LawTable, warm_s: float, left: float, exact: float) -> None:
    """Killed by a full rollout: rate E[T] P(residual service > time left), a Poisson count."""
    seeds = range(20 if rig.large else 1)
    killed = [killed_by_rollout(rig, 3500 + s, work, n=10, warm_s=warm_s, left=left) for s in seeds]
    if exact == 0.0:
        assert killed == [0] * len(seeds)
        return
    count = Estimate(float(np.mean(killed)), math.sqrt(exact / len(seeds)), sum(killed))
    agree(f"killed, {name}", count, exact, precision=rig.precision(0.1))
    if name.startswith("constant"):
        refuse("P(T > left) instead of the residual", count, RATE * 28.0)


# --- two versions side by side --------------------------------------------------------------------------------------


def split_config(seed: int, rig: Rig, weight: float, failing: float, *, sticky: bool) -> tuple[PlaneConfig, float]:
    n_users = max(200, int(rig.n(40_000)))
    per_user = 10.0
    config = plane_config(
        seed=seed,
        rate=1000.0,
        horizon_s=n_users * per_user / 1000.0,
        work=[constant(0.01)],
        workers=1024,
        n_users=n_users,
        service_factor=[1.0, 1.0],
        error_rate=[0.001, failing],
        sticky=sticky,
    )
    return config, per_user


@pytest.mark.parametrize(
    ("rig", "weight", "sticky"), both((0.2, False), (0.2, True), (0.05, False), (0.05, True), small=2), indirect=["rig"]
)
def test_V17_Q42_errors_and_exposure_follow_the_weight(rig: Rig, weight: float, sticky: bool) -> None:
    """Errors dilute to p0 + w (p1 - p0); users exposed: w if sticky, else 1 - E[(1 - w)^k] with k Poisson; harmed (Q26)
    and bounced between versions (Q43) likewise."""
    failing = 0.2
    config, per_user = split_config(4200, rig, weight, failing, sticky=sticky)
    plane = rig.build(config)
    pods = start_pods(plane, [0, 0, 1])
    route_to(plane, config, pods)
    plane.set_weights([1.0 - weight, weight], 0.0)
    record = play_out(plane, config)
    rows = Trace.of(record, config).rows
    name = f"w={weight} {'sticky' if sticky else 'per request'}"

    new = (rows["revision"] == 1).astype(np.float64)
    bad = (rows["outcome"] == Outcome.APP_ERROR).astype(np.float64)
    # Requests of one user go together when sticky: users are the independent things.
    n = np.bincount(rows["user"], minlength=config.n_users).astype(np.float64)
    share = Estimate.of_ratio(np.bincount(rows["user"], weights=new, minlength=config.n_users), n)
    errors = Estimate.of_ratio(np.bincount(rows["user"], weights=bad, minlength=config.n_users), n)
    agree(f"{name}: share of new", share, weight, precision=rig.precision(0.1))
    agree(f"{name}: errors", errors, 0.001 + weight * (failing - 0.001), precision=rig.precision(0.1))
    refuse("undiluted", errors, failing)

    exposed = int(((record.users & USER_EXPOSED) > 0).sum())
    met = Estimate.of_count(exposed, config.n_users)
    drifted = 1.0 - math.exp(-weight * per_user)
    by_user = weight * (1.0 - math.exp(-per_user))  # a few never came
    agree(f"{name}: exposed", met, by_user if sticky else drifted, precision=rig.precision(0.1))
    refuse("the other rule", met, drifted if sticky else weight)

    def at_least_one(p: float) -> float:
        return 1.0 - math.exp(-p * per_user)

    harmed = Estimate.of_count(int(((record.users & USER_HARMED) > 0).sum()), config.n_users)
    mixed = weight * at_least_one(failing) + (1.0 - weight) * at_least_one(0.001)
    diluted = at_least_one(0.001 + weight * (failing - 0.001))
    agree(f"{name}: harmed", harmed, mixed if sticky else diluted, precision=rig.precision(0.1))
    if rig.large:
        refuse("the other rule", harmed, diluted if sticky else mixed)

    # Q43: of the users with k requests, those who met both versions.
    for k in (5, 10):
        few = n == k
        new_of = np.bincount(rows["user"], weights=new, minlength=config.n_users)[few]
        both_met = int(((new_of > 0) & (new_of < k)).sum())
        if sticky:
            assert both_met == 0
        elif rig.large:
            bounced = Estimate.of_count(both_met, int(few.sum()))
            agree(f"{name}: bounced in {k}", bounced, 1.0 - weight**k - (1.0 - weight) ** k, precision=0.2)
