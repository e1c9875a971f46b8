"""Does one station behave as queueing theory says: M/M/c, M/G/1, small waiting rooms, a database behind it?

How sharp can a test be? Three standard errors of a mean wait over a million requests are 1 % of it at rho = 0.5, 3 % at
0.8, 6 % at 0.9, 13 % at 0.95 (M/M/1, Whitt 1989). So each case says how sharp it must be, and larger samples are slow.
"""

import math

import numpy as np
import pytest
from conftest import Rig, both, slow
from queueing import (
    Estimate,
    Trace,
    Windows,
    agree,
    bursty_sigma,
    erlang_b,
    erlang_c,
    exponential,
    gamma,
    histogram_quantile,
    mm1k_loss,
    mmc_wait,
    mmc_wait_tail,
    mmck,
    plane_config,
    play_out,
    pollaczek_khinchine,
    refuse,
    regular_sigma,
    route_to,
    second_moment,
    start_pods,
    warm_up_s,
)

from zdsim.plane.config import PlaneConfig
from zdsim.plane.histogram import bucket, middles_s
from zdsim.plane.laws import LawTable
from zdsim.plane.traffic import Arrivals
from zdsim.plane.vocabulary import Cause, Outcome

RUN = 2e6  # requests of one seed at most


def station_config(
    rig: Rig,
    *,
    seed: int,
    load: float,
    c: int,
    requests: float,
    work: LawTable | None = None,
    queue: int = 1 << 20,
    log: bool = False,
) -> PlaneConfig:
    """One pod with c workers, work of mean 1."""
    return plane_config(
        seed=seed,
        rate=load,
        horizon_s=rig.n(requests) / load,
        work=[work or exponential()],
        workers=c,
        queue=queue,
        n_windows=40,
        log_requests=log,
    )


def counted(
    rig: Rig, *, seed: int, load: float, c: int, requests: float, work: LawTable | None = None, queue: int = 1 << 20
) -> Windows:
    """As windows of the record, pooled over as many seeds as the sample needs."""
    runs = math.ceil(requests / RUN)
    warm = warm_up_s(min(load / c, 0.95), c)
    return Windows.pool(
        [
            rig.windows(
                station_config(rig, seed=seed + i, load=load, c=c, requests=requests / runs, work=work, queue=queue),
                warm,
            )
            for i in range(runs)
        ]
    )


def traced(rig: Rig, *, seed: int, load: float, c: int, requests: float, queue: int = 1 << 20) -> list[Trace]:
    """As single requests, one trace a seed."""
    runs = math.ceil(requests / RUN)
    configs = [
        station_config(rig, seed=seed + i, load=load, c=c, requests=requests / runs, queue=queue, log=True)
        for i in range(runs)
    ]
    warm = warm_up_s(min(load / c, 0.95), c)
    return [rig.trace(config).after(min(warm, config.horizon_s / 3.0)) for config in configs]


# --- M/M/1 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rig", "rho", "requests", "precision"),
    both((0.5, 1e6, 0.013), (0.8, 1e6, 0.035), slow(0.8, 1e7, 0.012), slow(0.9, 2e7, 0.018)),
    indirect=["rig"],
)
def test_Q4_MM1_sojourn_is_exponential(rig: Rig, rho: float, requests: float, precision: float) -> None:
    """Mean, median, p99 and tail of the latency histogram, window by window."""
    windows = 31
    config = plane_config(seed=400, rate=rho, horizon_s=rig.n(requests) / rho, n_windows=windows, log_requests=False)
    plane = rig.build(config)
    route_to(plane, config, start_pods(plane, [0]))
    record = play_out(plane, config)
    live = slice(1 if rig.large else 2, windows)  # warm-up; what ends after the horizon is left out
    counts = record.latency[live, 0].sum(axis=1)
    assert (record.counts[live, 0, 0, Outcome.OK] == counts).all()
    assert config.window_s * live.start > warm_up_s(rho)
    total, mean = counts.astype(np.float64), 1.0 / (1.0 - rho)
    w = Estimate.of_ratio(record.latency_sum[live, 0], total)
    agree(f"M/M/1 rho={rho}: W", w, mean, precision=rig.precision(precision))
    refuse("mean of M/D/1", w, 1.0 + pollaczek_khinchine(rho, 0.0))
    for share in (0.5, 0.99):
        quantile = histogram_quantile(record.latency[live, 0].sum(axis=0), share)
        above = Estimate.of_ratio(record.latency[live, 0, bucket(quantile) :].sum(axis=1).astype(np.float64), total)
        exact = -math.log(1.0 - share) * mean  # error of a quantile: that of the share above it, over the density
        agree(
            f"M/M/1 rho={rho}: p{share * 100:g}",
            Estimate(quantile, above.se * mean / (1.0 - share), above.n),
            exact,
            precision=rig.precision(3.0 * precision),
        )
    middles = middles_s()
    for factor in (0.5, 2.0):
        cut = bucket(factor * mean)
        edge = float(middles[cut] + middles[cut - 1]) / 2.0
        tail = Estimate.of_ratio(record.latency[live, 0, cut:].sum(axis=1).astype(np.float64), total)
        agree(
            f"M/M/1 rho={rho}: P(T > {factor} W)", tail, math.exp(-edge / mean), precision=rig.precision(3 * precision)
        )


# --- M/M/c ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rig", "load", "cs2", "requests", "precision"),
    both(
        (8.0, 1.0, 1e6, 0.025),
        (9.0, 0.0, 1e6, 0.02),
        (8.0, 4.0, 1e6, 0.04),
        *[slow(load, cs2, 8e6, 0.03 if load == 5.0 else 0.015) for load in (5.0, 8.0, 9.0) for cs2 in (0.0, 1.0, 4.0)],
    ),
    indirect=["rig"],
)
def test_Q5_erlang_loss_whatever_the_law_of_service(
    rig: Rig, load: float, cs2: float, requests: float, precision: float
) -> None:
    """Ten workers, no waiting room: the share of OVERFLOW depends on the mean of the work alone."""
    windows = counted(rig, seed=500, load=load, c=10, requests=requests, work=gamma(1.0, cs2), queue=0)
    lost = windows.share(Outcome.OVERFLOW)
    agree(f"Erlang B a={load} cs2={cs2}", lost, erlang_b(10, load), precision=rig.precision(precision))
    refuse("one worker more", lost, erlang_b(11, load), by=5.0 if rig.large else 3.0)
    # Nobody waits: the time spent is the work and nothing else (up to the luck of the work drawn).
    served = windows.sojourn()
    assert abs(served.z(1.0)) < 3.5
    assert windows.counts[..., [Outcome.OK, Outcome.OVERFLOW]].sum() == windows.counts.sum()


def test_Q5_what_is_lost_is_told(rig: Rig) -> None:
    """A lost request costs no time, carries the cause and its pod; those served have waited exactly zero."""
    (trace,) = traced(rig, seed=520, load=8.0, c=10, requests=2e5, queue=0)
    lost = ~trace.ok
    assert 0.08 < lost.mean() < 0.17
    assert set(trace.rows["outcome"][lost].tolist()) == {Outcome.OVERFLOW}
    assert set(trace.rows["cause"][lost].tolist()) == {Cause.OVERLOAD}
    assert set(trace.rows["pod"][lost].tolist()) == {0}
    assert (trace.latency_s[lost] == 0.0).all()
    assert trace.wait_s[~lost].max() == 0.0


@pytest.mark.parametrize(
    ("rig", "c", "rho", "requests", "precision"),
    both(
        (2, 0.8, 1e6, 0.012),
        (10, 0.8, 1e6, 0.025),
        slow(1, 0.8, 1e7, 0.003),
        slow(4, 0.8, 1e7, 0.005),
        slow(10, 0.5, 1e7, 0.02),
        slow(10, 0.9, 1e7, 0.015),
        slow(20, 0.8, 1e7, 0.015),
        slow(50, 0.9, 4e6, 0.05),
        slow(100, 0.95, 4e6, 0.1),
    ),
    indirect=["rig"],
)
def test_Q6_MMc_wait(rig: Rig, c: int, rho: float, requests: float, precision: float) -> None:
    """P(wait), mean wait and the tail of the wait, from each request's own wait."""
    load = c * rho
    waits = [trace.wait_s for trace in traced(rig, seed=600, load=load, c=c, requests=requests)]
    wait = Estimate.of_batches(waits)
    waited = Estimate.of_batches([(w > 0.0).astype(np.float64) for w in waits])
    t = 1.5 / (c - load)
    tail = Estimate.of_batches([(w > t).astype(np.float64) for w in waits])
    name = f"M/M/{c} rho={rho}"
    agree(f"{name}: P(wait)", waited, erlang_c(c, load), precision=rig.precision(precision))
    agree(f"{name}: Wq", wait, mmc_wait(c, load), precision=rig.precision(5.0 * precision))
    agree(f"{name}: P(wait > t)", tail, mmc_wait_tail(c, load, t), precision=rig.precision(6.0 * precision))
    refuse("one worker more", waited, erlang_c(c + 1, load))
    refuse("loss instead of wait", waited, erlang_b(c, load))


@pytest.mark.parametrize("c", [12, 10, 9])
def test_Q7_capacity_dip(kernel: Rig, c: int) -> None:
    """The same load on fewer and fewer workers: a rolling update in one line."""
    latency = counted(kernel, seed=700, load=8.0, c=c, requests=1e6).sojourn()
    agree(f"dip c={c}", latency, 1.0 + mmc_wait(c, 8.0), precision={12: 0.006, 10: 0.015, 9: 0.06}[c])
    refuse("one worker fewer", latency, 1.0 + mmc_wait(c - 1, 8.0) if c > 9 else 1.0 + mmc_wait(10, 8.0))


def test_Q7_no_capacity_left(kernel: Rig) -> None:
    """c = load is not stable: the wait keeps growing like the root of time, seen over 24 seeds."""
    growth, late = [], []
    for seed in range(24):
        config = station_config(kernel, seed=720 + seed, load=8.0, c=8, requests=4e4)
        windows = kernel.windows(config, 0.0)
        early_w, late_w = (
            Windows(windows.counts[part], windows.spent_s[part]).sojourn().value
            for part in (slice(0, 8), slice(-8, None))
        )
        growth.append(late_w - early_w)
        late.append(late_w)
    estimate = Estimate.of_independent(growth)
    print(f"no capacity left: W grows by {estimate.value:.2f}, z = {estimate.z(0.0):.1f}, to {np.mean(late):.1f}")
    assert estimate.z(0.0) > 3.0
    assert np.mean(late) > 5 * (1.0 + mmc_wait(9, 8.0))


# --- M/G/1 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rig", "rho", "cs2", "requests", "precision"),
    both(
        (0.5, 0.0, 1e6, 0.013),
        (0.5, 4.0, 1e6, 0.045),
        (0.5, 0.25, 1e6, 0.02),
        (0.8, 1.0, 1e6, 0.05),
        *[slow(0.5, cs2, 1e7, 0.005 * (1 + cs2)) for cs2 in (0.0, 0.25, 1.0, 4.0)],
        *[slow(0.8, cs2, 1e7, 0.01 * (1 + cs2)) for cs2 in (0.0, 0.25, 1.0, 4.0)],
        *[slow(0.9, cs2, 1e7, 0.03 * (1 + cs2)) for cs2 in (0.0, 0.25, 1.0, 4.0)],
        *[slow(0.95, cs2, 1e7, 0.06 * (1 + cs2)) for cs2 in (0.0, 0.25, 1.0, 4.0)],
        small=2,
    ),
    indirect=["rig"],
)
def test_Q8_Q9_MG1_wait(rig: Rig, rho: float, cs2: float, requests: float, precision: float) -> None:
    """Pollaczek-Khinchine for constant, gamma and exponential work (M/D/1 is cs2 = 0)."""
    w = counted(rig, seed=800, load=rho, c=1, requests=requests, work=gamma(1.0, cs2)).sojourn()
    wait = Estimate(w.value - 1.0, w.se, w.n)
    agree(f"M/G/1 rho={rho} cs2={cs2}: Wq", wait, pollaczek_khinchine(rho, cs2), precision=rig.precision(precision))
    refuse("another variance", wait, pollaczek_khinchine(rho, 2.0 * cs2 + 1.0), by=5.0 if rig.large else 3.0)


def test_Q10_two_classes_in_one_queue(rig: Rig) -> None:
    """Old and new work mixed: both wait alike, for the second moment of the mixture."""
    share, laws = 0.3, [gamma(0.5, 0.25), gamma(1.5, 1.0)]
    rate = 0.7
    config = plane_config(seed=1000, rate=rate, horizon_s=rig.n(8e5) / rate, work=laws, shares=[1 - share, share])
    mean = (1 - share) * 0.5 + share * 1.5
    second = (1 - share) * second_moment(laws[0]) + share * second_moment(laws[1])
    exact = rate * second / (2.0 * (1.0 - rate * mean))
    trace = rig.trace(config).after(warm_up_s(rate * mean))
    wait = Estimate.of_batches([trace.wait_s])
    agree("two classes: Wq", wait, exact, precision=rig.precision(0.035))
    for klass in (0, 1):
        own = Estimate.of_batches([trace.wait_s[trace.rows["klass"] == klass]])
        agree(f"two classes: Wq of class {klass}", own, exact, precision=rig.precision(0.04))
    if rig.large:
        refuse("exponential work of the mean", wait, rate * mean / (1 - rate * mean) * mean)
        refuse("constant work of the mean", wait, rate * mean**2 / (2 * (1 - rate * mean)))


@pytest.mark.parametrize(
    ("kind", "dispersion"), [(Arrivals.DETERMINISTIC, 1.0), (Arrivals.BURSTY, 2.0), (Arrivals.BURSTY, 4.0)]
)
def test_Q11_arrivals_that_are_not_poisson(kernel: Rig, kind: Arrivals, dispersion: float) -> None:
    """GI/M/1 for regular and bursty gaps: exact sojourn 1/(1 - sigma), below Kingman's bound."""
    rho = 0.7
    sigma = regular_sigma(rho) if kind is Arrivals.DETERMINISTIC else bursty_sigma(rho, dispersion)
    config = plane_config(
        seed=1100,
        rate=rho,
        horizon_s=1e6 / rho,
        arrivals=kind,
        dispersion=dispersion,
        n_windows=40,
        log_requests=False,
    )
    latency = kernel.windows(config, warm_up_s(rho)).sojourn()
    agree(f"GI/M/1 {kind.name} {dispersion:g}", latency, 1.0 / (1.0 - sigma), precision=0.04)
    refuse("Poisson", latency, 1.0 / (1.0 - rho))
    ca2 = 0.0 if kind is Arrivals.DETERMINISTIC else dispersion
    assert latency.value - 1.0 < rho * (ca2 / rho**2 + 1.0) / (2.0 * (1.0 - rho))
    if kind is Arrivals.BURSTY:
        refuse("dispersion 3", latency, 1.0 / (1.0 - bursty_sigma(rho, 3.0)))


# --- small waiting rooms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rig", "rho", "k", "requests", "precision"),
    both(
        (0.8, 5, 1e6, 0.025),
        (1.2, 10, 1e6, 0.016),
        slow(0.8, 5, 1e7, 0.01),
        slow(0.9, 10, 1e7, 0.013),
        slow(0.95, 20, 1e7, 0.025),
        slow(1.0, 10, 1e7, 0.01),
        slow(1.2, 10, 1e7, 0.01),
    ),
    indirect=["rig"],
)
def test_Q13_MM1K_loss(rig: Rig, rho: float, k: int, requests: float, precision: float) -> None:
    """K = the one in service + a waiting room of K - 1."""
    lost = counted(rig, seed=1300, load=rho, c=1, requests=requests, queue=k - 1).share(Outcome.OVERFLOW)
    agree(f"M/M/1/{k} rho={rho}: loss", lost, mm1k_loss(rho, k), precision=rig.precision(precision))
    if rig.large:
        refuse("a place more", lost, mm1k_loss(rho, k + 1), by=3.0)
        refuse("a place fewer", lost, mm1k_loss(rho, k - 1), by=3.0)


@pytest.mark.parametrize(
    ("load", "k", "requests", "precision"),
    [
        (10.0, 20, 1e6, 0.04),
        (12.0, 50, 1e6, 0.03),
        slow(8.0, 20, 1e7, 0.06),
        slow(10.0, 20, 1e7, 0.013),
        slow(12.0, 20, 1e7, 0.01),
        slow(12.0, 50, 1e7, 0.01),
    ],
)
def test_Q14_MMcK_loss_and_wait(kernel: Rig, load: float, k: int, requests: float, precision: float) -> None:
    """A long queue buys latency, not success."""
    windows = counted(kernel, seed=1400, load=load, c=10, requests=requests, queue=k - 10)
    exact_loss, exact_wait = mmck(10, load, k)
    lost, w = windows.share(Outcome.OVERFLOW), windows.sojourn()
    wait = Estimate(w.value - 1.0, w.se, w.n)
    agree(f"M/M/10/{k} a={load}: loss", lost, exact_loss, precision=precision)
    agree(f"M/M/10/{k} a={load}: Wq", wait, exact_wait, precision=precision)
    refuse("a place more", wait, mmck(10, load, k + 1)[1], by=3.0)


# --- a station behind a station -------------------------------------------------------------------------------------


def tandem_configs(rig: Rig, *, seed: int, queries: int, slots: int, load: float, requests: float) -> list[PlaneConfig]:
    rate, runs = load / queries, math.ceil(requests / RUN)
    return [
        plane_config(
            seed=seed + i,
            rate=rate,
            horizon_s=rig.n(requests) / runs / rate,
            query=exponential(),
            queries=queries,
            workers=4096,
            db_pool=4096,
            db_slots=slots,
            n_windows=40,
            log_requests=False,
        )
        for i in range(runs)
    ]


@pytest.mark.parametrize(
    ("rig", "queries", "slots", "load", "requests", "precision"),
    both((2, 4, 2.8, 5e5, 0.015), (1, 1, 0.5, 5e5, 0.01), slow(2, 4, 2.8, 1e7, 0.004), slow(1, 1, 0.5, 1e7, 0.003)),
    indirect=["rig"],
)
def test_Q21_pods_then_database(
    rig: Rig, queries: int, slots: int, load: float, requests: float, precision: float
) -> None:
    """Workers enough for everybody, a database of few slots: product form, so the means add (Burke, Jackson)."""
    configs = tandem_configs(rig, seed=2110, queries=queries, slots=slots, load=load, requests=requests)
    warm = warm_up_s(load / slots, slots)
    latency = Windows.pool([rig.windows(config, warm) for config in configs]).sojourn()
    exact = 1.0 + queries * (1.0 + mmc_wait(slots, load))
    agree(f"tandem {queries} x M/M/{slots}", latency, exact, precision=rig.precision(precision))
    refuse("nobody waits at the database", latency, 1.0 + queries)
    refuse("one slot more", latency, 1.0 + queries * (1.0 + mmc_wait(slots + 1, load)), by=5.0 if rig.large else 3.0)


# --- the tolerance itself -------------------------------------------------------------------------------------------


def z_score(kernel: Rig, family: str, seed: int) -> float:
    """Of one short run."""
    match family:
        case "M/M/2":
            return counted(kernel, seed=seed, load=1.4, c=2, requests=3e5).sojourn().z(1.0 + mmc_wait(2, 1.4))
        case "M/M/1/10":
            windows = counted(kernel, seed=seed, load=1.2, c=1, requests=3e5, queue=9)
            return windows.share(Outcome.OVERFLOW).z(mm1k_loss(1.2, 10))
        case _:
            (config,) = tandem_configs(kernel, seed=seed, queries=2, slots=4, load=2.8, requests=3e5)
            return kernel.windows(config, 100.0).sojourn().z(1.0 + 2.0 * (1.0 + mmc_wait(4, 2.8)))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["M/M/2", "M/M/1/10", "tandem"])
def test_z_scores_over_many_seeds_are_standard_normal(kernel: Rig, family: str) -> None:
    """Forty seeds: neither a bias too small for one run to show, nor errors claimed larger than they are."""
    z = [z_score(kernel, family, seed) for seed in range(9000, 9040)]
    print(f"{family}: z of 40 seeds: mean {np.mean(z):+.2f}, sd {np.std(z, ddof=1):.2f}")
    assert abs(np.mean(z)) < 3.0 / math.sqrt(40)
    assert 0.7 < np.std(z, ddof=1) < 1.4
