"""Do the closed forms give the figures printed in the validation notes?

An oracle must be right before it judges: every formula in ``queueing`` is held against printed numbers, a
recursion or another route to the same quantity.
"""

import math

import numpy as np
import pytest
import queueing as q
from scipy import signal


@pytest.mark.parametrize(("load", "loss"), [(5, 0.018385), (8, 0.121661), (9, 0.167963)])
def test_Q5_erlang_b(load: float, loss: float) -> None:
    assert q.erlang_b(10, load) == pytest.approx(loss, abs=5e-7)
    assert q.mmck(10, load, 10)[0] == pytest.approx(loss, abs=5e-7)  # the same chain, summed instead of recursed


@pytest.mark.parametrize(
    ("c", "rho", "waits", "wait"),
    [
        (1, 0.8, 0.8, 4.0),
        (2, 0.8, 0.711111, 1.777778),
        (4, 0.8, 0.596432, 0.745541),
        (10, 0.5, 0.036105, 0.007221),
        (10, 0.8, 0.409180, 0.204590),
        (10, 0.9, 0.668732, 0.668732),
        (20, 0.8, 0.256078, 0.064019),
        (50, 0.9, 0.363864, 0.072773),
        (100, 0.95, 0.506457, 0.101291),
    ],
)
def test_Q6_erlang_c(c: int, rho: float, waits: float, wait: float) -> None:
    assert q.erlang_c(c, c * rho) == pytest.approx(waits, abs=6e-7)
    assert q.mmc_wait(c, c * rho) == pytest.approx(wait, abs=6e-7)
    assert q.mmck(c, c * rho, 4000)[1] == pytest.approx(wait, abs=6e-7)
    p99 = q.mmc_wait_p99(c, c * rho)
    assert q.mmc_wait_tail(c, c * rho, p99) == pytest.approx(0.01 if waits > 0.01 else waits)


def test_Q7_capacity_dip() -> None:
    sojourn = [1.0 + q.mmc_wait(c, 8.0) for c in (12, 11, 10, 9)]
    assert sojourn == pytest.approx([1.03496, 1.08165, 1.20459, 1.65333], abs=6e-6)


@pytest.mark.parametrize(
    ("rho", "waits"),
    [
        (0.5, (0.5, 0.625, 1, 2.5)),
        (0.8, (2, 2.5, 4, 10)),
        (0.9, (4.5, 5.625, 9, 22.5)),
        (0.95, (9.5, 11.875, 19, 47.5)),
    ],
)
def test_Q8_pollaczek_khinchine(rho: float, waits: tuple[float, ...]) -> None:
    assert [q.pollaczek_khinchine(rho, cs2) for cs2 in (0, 0.25, 1, 4)] == pytest.approx(waits)


@pytest.mark.parametrize(
    ("rho", "k", "loss"),
    [(0.8, 5, 0.088819), (0.9, 10, 0.050814), (0.95, 20, 0.027181), (1, 10, 0.090909), (1.2, 10, 0.192586)],
)
def test_Q13_one_server_with_a_small_room(rho: float, k: int, loss: float) -> None:
    assert q.mm1k_loss(rho, k) == pytest.approx(loss, abs=6e-7)
    assert q.mmck(1, rho, k)[0] == pytest.approx(loss, abs=6e-7)


@pytest.mark.parametrize(
    ("load", "k", "loss", "wait"),
    [
        (8, 20, 0.009107, 0.14506),
        (10, 20, 0.068212, 0.40263),
        (12, 20, 0.179666, 0.63597),
        (12, 50, 0.166717, 3.50162),
    ],
)
def test_Q14_ten_servers_with_a_small_room(load: float, k: int, loss: float, wait: float) -> None:
    assert q.mmck(10, load, k) == pytest.approx((loss, wait), abs=6e-6)


@pytest.mark.parametrize(
    ("n", "sojourn"),
    [
        (2, (1.61803, 3.84398, 7.58828, 15.08573)),
        (5, (1.3962, 3.15226, 6.14209, 12.13755)),
        (10, (1.32464, 2.92227, 5.66028, 11.15495)),
        (50, (1.26874, 2.7386, 5.27496, 10.36893)),
        (None, (1.255, 2.69273, 5.17866, 10.17243)),
    ],
)
def test_Q18_round_robin(n: int | None, sojourn: tuple[float, ...]) -> None:
    for rho, printed in zip((0.5, 0.8, 0.9, 0.95), sojourn, strict=True):
        sigma = q.regular_sigma(rho) if n is None else q.round_robin_sigma(rho, n)
        assert 1.0 / (1.0 - sigma) == pytest.approx(printed, abs=6e-6)


def test_Q18_the_general_root_knows_poisson_and_bursts() -> None:
    assert q.round_robin_sigma(0.8, 1) == pytest.approx(0.8)  # Erlang-1 gaps are Poisson: sigma = rho
    assert q.bursty_sigma(0.8, 1.0) == pytest.approx(0.8)
    assert q.bursty_sigma(0.8, 4.0) > 0.8 > q.round_robin_sigma(0.8, 2)


def test_Q19_power_of_d() -> None:
    rhos = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
    assert [q.power_of_d(rho, 3) for rho in rhos] == pytest.approx(
        (1.1252, 1.3568, 1.5809, 2.0279, 2.5351, 3.8578), abs=6e-5
    )
    assert q.power_of_d(0.9, 2) == pytest.approx(2.614, abs=1e-3)


def test_Q3_repairman_obeys_the_interactive_law_and_its_limits() -> None:
    x, response = q.repairman(20, 10.0)
    assert x * (response + 10.0) == pytest.approx(20.0)
    assert q.repairman(1, 9.0) == pytest.approx((0.1, 1.0))  # alone nobody waits
    assert q.repairman(200, 10.0)[0] == pytest.approx(1.0)  # saturated


def test_Q23_drain_time() -> None:
    assert q.drain_time(280, 300, 10) == pytest.approx(140.0)


def test_Q33_preStop_table() -> None:
    table = {2.0: (200, 44.6, 16.4, 1.3, 0.1), 3.0: (300, 110, 56.7, 10.7, 2.0)}
    for lag, row in table.items():
        got = [q.prestop_loss_exponential(100, lag, s) for s in (0, 3, 5, 10, 15)]
        assert got == pytest.approx(row, abs=0.51 if lag == 3.0 else 0.06)
    assert [q.prestop_loss_uniform(100, 10, s) for s in (0, 3, 5, 10, 15)] == pytest.approx((500, 245, 125, 0, 0))


def test_Q35_grace_kills() -> None:
    assert [round(q.grace_kills(100, m, 25)) for m in (0.2, 10, 20)] == [0, 82, 573]


def test_Q37_keep_alive_race() -> None:
    got = [q.keep_alive_race(r, 5.0, 0.0005) for r in (0.1, 0.5, 1, 2)]
    assert got == pytest.approx((3.0e-5, 2.1e-5, 3.4e-6, 4.5e-8), rel=0.03)


def test_Q46_amplification() -> None:
    failing = (0.01, 0.1, 0.5, 0.9, 1.0)
    assert [q.amplification(f, 3) for f in failing] == pytest.approx((1.010, 1.11, 1.75, 2.71, 3.0), abs=6e-4)
    for f in failing[:-1]:
        assert q.amplification(f, 7) == pytest.approx((1 - f**7) / (1 - f))


@pytest.mark.parametrize("cs2", [0.0, 0.25, 1.0, 4.0])
def test_tabulated_laws_have_the_moments_that_the_formulas_use(cs2: float) -> None:
    assert q.second_moment(q.gamma(2.0, cs2)) == pytest.approx(4.0 * (1.0 + cs2), rel=2e-4)


def test_uniform_and_exponential_tables() -> None:
    assert q.second_moment(q.uniform(1.0, 3.0)) == pytest.approx(26 / 6, rel=1e-6)
    assert q.second_moment(q.exponential(0.5)) == pytest.approx(0.5, rel=2e-4)


class TestEstimates:
    """The measuring tools, on numbers with a known answer."""

    def test_batch_means_are_honest_on_correlated_numbers(self) -> None:
        """z-scores of an AR(1) series have the variance that they claim; without batches they are 4 times wider."""
        noise = np.random.default_rng(1).standard_normal((200, 30_000))
        z, naive = [], []
        for series in signal.lfilter([1.0], [1.0, -0.9], noise):
            z.append(q.Estimate.of_batches([series]).z(0.0))
            naive.append(q.Estimate.of_independent(series).z(0.0))
        assert 0.85 < np.std(z) < 1.2
        assert np.std(naive) > 3.0

    def test_ratio(self) -> None:
        est = q.Estimate.of_ratio(np.array([2.0, 4.0, 6.5]), np.array([1.0, 2.0, 3.0]))
        assert est.value == pytest.approx(12.5 / 6)
        assert est.se > 0

    def test_agree_refuses_what_is_far_and_what_is_blunt(self) -> None:
        q.agree("good", q.Estimate(1.001, 0.001, 9), 1.0)
        with pytest.raises(AssertionError, match="z = "):
            q.agree("far", q.Estimate(1.01, 0.001, 9), 1.0)
        with pytest.raises(AssertionError, match="too blunt"):
            q.agree("blunt", q.Estimate(1.0, 0.1, 9), 1.0)
        with pytest.raises(AssertionError, match="rule out"):
            q.refuse("near", q.Estimate(1.0, 0.1, 9), 1.2)

    def test_histogram_quantile_of_an_exponential(self) -> None:
        from zdsim.plane import histogram

        x = np.random.default_rng(2).exponential(size=200_000)
        counts = np.bincount([histogram.bucket(v) for v in x.tolist()], minlength=histogram.N_BUCKETS)
        for share in (0.5, 0.99):
            assert q.histogram_quantile(counts.astype(np.int32), share) == pytest.approx(
                float(np.quantile(x, share)), rel=2e-3
            )
        assert q.histogram_quantile(counts.astype(np.int32), 0.99) == pytest.approx(math.log(100), rel=0.02)
