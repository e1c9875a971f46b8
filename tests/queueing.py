"""What does queueing theory say, and how is a request plane asked the same question?

Three parts: closed forms (service mean 1 unless an argument says otherwise; Q-numbers are those of the project's
validation notes), estimates with standard errors, and builders that drive a plane through its protocol alone.

Sources of the closed forms: Kleinrock (1975), Queueing Systems 1; Wolff (1989), Stochastic Modeling and the Theory of
Queues; Mitzenmacher (2001), "The power of two choices in randomized load balancing"; Whitt (1989), "Planning
queueing simulations" for the length of warm-up.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from zdsim.plane import histogram
from zdsim.plane.config import PlaneConfig, PlaneRecord
from zdsim.plane.laws import LawTable, constant, tabulate
from zdsim.plane.protocol import DataPlane, Stop
from zdsim.plane.traffic import Arrivals, Traffic
from zdsim.plane.vocabulary import Outcome

FloatArray = NDArray[np.float64]

NO_LIMIT: Final = 1 << 20  # waiting room that a stable queue never fills

# --- closed forms ---------------------------------------------------------------------------------------------------


def erlang_b(c: int, load: float) -> float:
    """Q5: share lost by c servers without a waiting room, for any law of service."""
    b = 1.0
    for k in range(1, c + 1):
        b = load * b / (k + load * b)
    return b


def erlang_c(c: int, load: float) -> float:
    """Q6: P(wait > 0) in M/M/c."""
    b = erlang_b(c, load)
    return b / (1.0 - load / c * (1.0 - b))


def mmc_wait(c: int, load: float) -> float:
    """Q6: mean wait in M/M/c."""
    return erlang_c(c, load) / (c - load)


def mmc_wait_tail(c: int, load: float, t: float) -> float:
    """Q6: P(wait > t) in M/M/c."""
    return erlang_c(c, load) * math.exp(-(c - load) * t)


def mmc_wait_p99(c: int, load: float) -> float:
    """Q6: 99th percentile of the wait in M/M/c."""
    return max(0.0, math.log(100.0 * erlang_c(c, load)) / (c - load))


def pollaczek_khinchine(rho: float, cs2: float) -> float:
    """Q8: mean wait in M/G/1; cs2 = squared coefficient of variation of the service."""
    return rho / (1.0 - rho) * (1.0 + cs2) / 2.0


def mm1k_loss(rho: float, k: int) -> float:
    """Q13: share lost by one server with room for k, the one in service included."""
    if rho == 1.0:
        return 1.0 / (k + 1)
    return (1.0 - rho) * rho**k / (1.0 - rho ** (k + 1))


def mmck(c: int, load: float, k: int) -> tuple[float, float]:
    """Q14: (share lost, mean wait of the others) in M/M/c/K."""
    weight = [1.0]
    for n in range(1, k + 1):
        weight.append(weight[-1] * load / min(n, c))
    total = sum(weight)
    loss = weight[k] / total
    waiting = sum((n - c) * weight[n] for n in range(c + 1, k + 1)) / total
    return loss, waiting / (load * (1.0 - loss))


def gi_m_1_sigma(gap_transform: Callable[[float], float]) -> float:
    """Share of arrivals that must wait in GI/M/1: the root below 1 of sigma = A*(1 - sigma)."""
    return float(optimize.brentq(lambda s: gap_transform(1.0 - s) - s, 0.0, 1.0 - 1e-9, xtol=1e-14))


def round_robin_sigma(rho: float, n: int) -> float:
    """Q18: sigma of one of n M servers fed in turn (gaps Erlang-n)."""
    return gi_m_1_sigma(lambda s: (n * rho / (n * rho + s)) ** n)


def regular_sigma(rho: float) -> float:
    """Q18, n -> infinity: D/M/1."""
    return gi_m_1_sigma(lambda s: math.exp(-s / rho))


def bursty_sigma(rho: float, dispersion: float) -> float:
    """H2/M/1, balanced means: the gaps of BURSTY traffic."""
    p = (1.0 + math.sqrt((dispersion - 1.0) / (dispersion + 1.0))) / 2.0
    a, b = 2.0 * p * rho, 2.0 * (1.0 - p) * rho
    return gi_m_1_sigma(lambda s: p * a / (a + s) + (1.0 - p) * b / (b + s))


def power_of_d(rho: float, d: int) -> float:
    """Q19: mean sojourn with d choices, number of servers -> infinity."""
    return sum(rho ** ((d**i - d) // (d - 1)) for i in range(1, 12))


def repairman(n: int, think: float) -> tuple[float, float]:
    """Q3: (throughput, mean response) of n users with exponential think time at one M server."""
    weight = [1.0]
    for k in range(n):
        weight.append(weight[-1] * (n - k) / think)
    x = 1.0 - weight[0] / sum(weight)
    return x, n / x - think


def drain_time(rate: float, capacity: float, cut_s: float) -> float:
    """Q23: seconds until the backlog of a cut is gone, fluid."""
    return rate * cut_s / (capacity - rate)


def prestop_loss_exponential(rate: float, lag: float, sleep: float) -> float:
    """Q33: requests lost by a rollout, lag of routers exponential: rate E[(D - S)+]."""
    return rate * lag * math.exp(-sleep / lag)


def prestop_loss_uniform(rate: float, longest: float, sleep: float) -> float:
    """Q33: the same, lag uniform from 0 to `longest`."""
    return rate * max(0.0, longest - sleep) ** 2 / (2.0 * longest)


def grace_kills(rate: float, mean: float, left: float) -> float:
    """Q35: requests killed by a rollout, exponential service, `left` = grace minus preStop."""
    return rate * mean * math.exp(-left / mean)


def keep_alive_race(reuse: float, idle: float, notice: float) -> float:
    """Q37: share of attempts on a kept connection that cross its close; gaps exponential with rate `reuse`."""
    return math.exp(-reuse * idle) * -math.expm1(-reuse * notice)


def amplification(failing: float, attempts: int) -> float:
    """Q46: attempts a request when each fails alone with probability `failing`."""
    return sum(failing**k for k in range(attempts))


def warm_up_s(rho: float, c: int = 1) -> float:
    """Five relaxation times of M/M/c."""
    return 5.0 / (c * (1.0 - math.sqrt(rho)) ** 2)


# --- estimates ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its standard error."""

    value: float
    se: float
    n: int  # observations behind it

    @classmethod
    def of_independent(cls, samples: "Sequence[float] | FloatArray") -> "Estimate":
        """From independent replications."""
        x = np.asarray(samples, dtype=np.float64)
        return cls(float(x.mean()), float(x.std(ddof=1) / math.sqrt(x.size)), int(x.size))

    @classmethod
    def of_batches(cls, parts: Sequence[FloatArray], batches: int = 30) -> "Estimate":
        """From batch means of each part (a stationary stretch in order of time), pooled."""
        means = np.concatenate(
            [part[: part.size // batches * batches].reshape(batches, -1).mean(axis=1) for part in parts]
        )
        return cls(float(means.mean()), float(means.std(ddof=1) / math.sqrt(means.size)), sum(p.size for p in parts))

    @classmethod
    def of_ratio(cls, above: FloatArray, below: FloatArray) -> "Estimate":
        """Sum over sum, from batches; the error by linearisation."""
        ratio = float(above.sum() / below.sum())
        rest = above - ratio * below
        return cls(ratio, float(rest.std(ddof=1) * math.sqrt(rest.size) / below.sum()), int(below.sum()))

    @classmethod
    def of_count(cls, count: int, trials: int) -> "Estimate":
        """Share of independent trials."""
        p = count / trials
        return cls(p, math.sqrt(p * (1.0 - p) / trials), trials)

    def z(self, exact: float) -> float:
        return (self.value - exact) / self.se


def agree(what: str, estimate: Estimate, exact: float, *, precision: float = 0.01, within: float = 3.0) -> None:
    """The estimate lies within `within` standard errors of `exact`, and these are sharp: 3 of them below `precision`.

    The second condition keeps the first one honest: a wide interval agrees with anything.
    """
    z, sharp = estimate.z(exact), 3.0 * estimate.se / abs(exact)
    told = f"{what}: {estimate.value:.6g} for {exact:.6g}, z = {z:+.2f}, 3 se = {sharp:.2%}, n = {estimate.n:,}"
    print(told)
    assert sharp <= precision, f"too blunt (asked {precision:.2%}): {told}"
    assert abs(z) <= within, told


def refuse(what: str, estimate: Estimate, wrong: float, *, by: float = 5.0) -> None:
    """Negative control: the check would have noticed this wrong value."""
    z = estimate.z(wrong)
    print(f"{what}: {estimate.value:.6g} is not {wrong:.6g}, z = {z:+.1f}")
    assert abs(z) >= by, f"{what}: {estimate.value:.6g} +- {estimate.se:.2g} does not rule out {wrong:.6g}"


# --- laws -----------------------------------------------------------------------------------------------------------


def exponential(mean_s: float = 1.0) -> LawTable:
    return tabulate(lambda p: -np.log1p(-p), lambda p: -np.log(p), mean_s)


def gamma(mean_s: float, cs2: float) -> LawTable:
    """Gamma law with squared coefficient of variation `cs2`; 0 is the constant."""
    if cs2 == 0.0:
        return constant(mean_s)
    shape = 1.0 / cs2
    return tabulate(lambda p: special.gammaincinv(shape, p), lambda p: special.gammainccinv(shape, p), mean_s)


def uniform(low_s: float, high_s: float) -> LawTable:
    width = high_s - low_s
    return tabulate(lambda p: low_s + width * p, lambda p: high_s - width * p, (low_s + high_s) / 2.0)


def second_moment(law: LawTable) -> float:
    """E[X^2] of the table as it is drawn: linear between its points."""
    a, b = law.q[:, :, :-1], law.q[:, :, 1:]
    n_levels, n_cells = a.shape[1], a.shape[2]
    mass = 2.0 ** -np.append(np.arange(2.0, n_levels + 1.0), n_levels) / n_cells
    return float((((a * a + a * b + b * b) / 3.0).sum(axis=2) * mass).sum())


# --- planes ---------------------------------------------------------------------------------------------------------


def plane_config(
    *,
    seed: int,
    horizon_s: float,
    rate: float = 0.0,
    work: Sequence[LawTable] = (),
    shares: Sequence[float] = (1.0,),
    arrivals: Arrivals = Arrivals.POISSON,
    dispersion: float = 1.0,
    service_factor: Sequence[float] = (1.0,),
    error_rate: Sequence[float] | None = None,
    query: LawTable | None = None,
    queries: int = 0,
    think: LawTable | None = None,
    n_users: int = 1000,
    n_windows: int = 1,
    n_proxies: int = 1,
    **rest: Any,
) -> PlaneConfig:
    """A plane's configuration in which everything unsaid is switched off.

    Args:
        rate: open requests/s until the horizon; 0 = none.
        work: one law for each class; exponential with mean 1 unless said.
        shares: of the classes.
        service_factor, error_rate: by revision.
        n_windows: windows up to the horizon; what ends later falls into one more.
        rest: fields of `PlaneConfig`. Unlike there, requests have no timeout, the waiting room no limit.
    """
    laws = list(work) or [exponential()]
    n_classes, n_revisions = len(laws), len(service_factor)
    users = np.arange(1, n_users + 1) / n_users
    cut = np.cumsum(shares)
    cut[-1] = 1.0
    work_q = np.stack([law.q for law in laws])
    traffic = Traffic(
        seed=seed,
        arrivals=arrivals,
        knots_s=np.array([0.0, horizon_s]) if rate > 0.0 else np.zeros(0),
        rates=np.array([rate, rate]) if rate > 0.0 else np.zeros(0),
        user_cut=users,
        class_cut=cut,
        work=work_q,
        n_proxies=n_proxies,
        dispersion=dispersion,
    )
    errors = np.zeros(n_revisions) if error_rate is None else np.asarray(error_rate, dtype=np.float64)
    more = [query or constant(0.0), think or constant(0.0)]
    settings: dict[str, Any] = {"request_timeout_s": math.inf, "queue": NO_LIMIT, "workers": 1, "log_requests": True}
    settings |= rest
    return PlaneConfig(
        seed=seed,
        traffic=traffic,
        horizon_s=horizon_s,
        window_s=horizon_s / n_windows,
        n_windows=n_windows + 1,
        n_users=n_users,
        service_factor=np.asarray(service_factor, dtype=np.float64),
        error_rate=np.repeat(errors[:, None], n_classes, axis=1),
        n_queries=np.full((n_revisions, n_classes), queries, dtype=np.int64),
        exposing=np.arange(n_revisions) > 0,
        laws=np.stack([law.q for law in laws + more]),
        work_law=np.arange(n_classes, dtype=np.int64),
        query_law=np.full(n_classes, n_classes, dtype=np.int64),
        class_cut=cut,
        idempotent=np.ones(n_classes, dtype=np.bool_),
        resumable=np.zeros(n_classes, dtype=np.bool_),
        think_law=n_classes + 1,
        has_db=query is not None,
        n_proxies=n_proxies,
        **settings,
    )


def start_pods(plane: DataPlane, revisions: Sequence[int]) -> list[int]:
    """Pods that listen from now on, one for each entry."""
    pods = [plane.add_pod(revision, plane.now) for revision in revisions]
    for pod in pods:
        plane.start_process(pod, plane.now)
    return pods


def route_to(plane: DataPlane, config: PlaneConfig, pods: Sequence[int]) -> None:
    """Every proxy knows these pods."""
    for proxy in range(config.n_proxies):
        plane.set_view(proxy, pods, plane.now)


def play(plane: DataPlane, until: float) -> None:
    """Advance to `until`; nobody listens to signals."""
    while plane.advance(until) is Stop.SIGNAL:
        plane.take_signals()


def play_out(plane: DataPlane, config: PlaneConfig) -> PlaneRecord:
    """Advance to the horizon and on until every request has ended."""
    until, step = config.horizon_s, 1.0
    play(plane, until)
    while plane.open_requests:
        until, step = until + step, 2.0 * step
        play(plane, until)
    return plane.record()


@dataclass(frozen=True, slots=True)
class Trace:
    """Every request of open traffic, in order of arrival."""

    rows: NDArray[np.void]  # REQUEST_ROW
    work_s: FloatArray

    @classmethod
    def of(cls, record: PlaneRecord, config: PlaneConfig) -> "Trace":
        """The log of a run played out, next to the work that its traffic asked for."""
        source = config.traffic.chunks()
        work = []
        while (rows := source.take()).size:
            work.append(rows["work_s"].copy())
        log = record.log[np.argsort(record.log["id"], kind="stable")]
        work_s = np.concatenate(work) if work else np.zeros(0)
        assert (log["id"] == np.arange(work_s.size)).all(), "every request ends exactly once"
        return cls(log, work_s)

    def after(self, start_s: float) -> "Trace":
        """Without the warm-up."""
        keep = self.rows["start_s"] >= start_s
        return Trace(self.rows[keep], self.work_s[keep])

    def only(self, keep: NDArray[np.bool_]) -> "Trace":
        return Trace(self.rows[keep], self.work_s[keep])

    @property
    def ok(self) -> NDArray[np.bool_]:
        out: NDArray[np.bool_] = self.rows["outcome"] == Outcome.OK
        return out

    @property
    def latency_s(self) -> FloatArray:
        out: FloatArray = self.rows["end_s"] - self.rows["start_s"]
        return out

    @property
    def wait_s(self) -> FloatArray:
        """Of requests served once, by a pod with factor 1; rounding below a nanosecond is no wait."""
        wait = self.latency_s - self.work_s
        out: FloatArray = np.where(np.abs(wait) < 1e-8, 0.0, wait)
        return out


@dataclass(frozen=True, slots=True)
class Windows:
    """What a record counted window by window, warm-up and what ended after the horizon left out."""

    counts: NDArray[np.int64]  # (windows, R + 1, O)
    spent_s: FloatArray  # (windows, R + 1), sum of latencies of OK requests

    @classmethod
    def of(cls, record: PlaneRecord, config: PlaneConfig, warm_s: float) -> "Windows":
        skip = max(1, math.ceil(warm_s / config.window_s))
        live = slice(skip, config.n_windows - 1)
        assert config.n_windows - 1 - skip >= 20, f"warm-up of {warm_s:g} s leaves too few windows"
        return cls(record.counts[live].sum(axis=2), record.latency_sum[live].copy())

    @classmethod
    def pool(cls, runs: "Sequence[Windows]") -> "Windows":
        """Independent runs of the same thing, end to end."""
        return cls(np.concatenate([run.counts for run in runs]), np.concatenate([run.spent_s for run in runs]))

    def sojourn(self, *revisions: int) -> Estimate:
        """Mean latency of OK requests (of some revisions), seconds."""
        which = list(revisions) or list(range(self.counts.shape[1]))
        ok = self.counts[:, which, Outcome.OK].sum(axis=1).astype(np.float64)
        return Estimate.of_ratio(self.spent_s[:, which].sum(axis=1), ok)

    def share(self, outcome: Outcome) -> Estimate:
        """Share of requests that ended so."""
        n = self.counts.sum(axis=(1, 2)).astype(np.float64)
        return Estimate.of_ratio(self.counts[:, :, outcome].sum(axis=1).astype(np.float64), n)


def histogram_quantile(counts: NDArray[np.int32], share: float) -> float:
    """Quantile of a latency histogram, seconds, linear inside its bucket."""
    middle = histogram.middles_s()
    edges = np.concatenate([[0.0], (middle[1:] + middle[:-1]) / 2.0])
    below = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    want = share * below[-1]
    i = int(np.searchsorted(below, want, side="left")) - 1
    inside = (want - below[i]) / (below[i + 1] - below[i])
    return float(edges[i] + inside * (edges[i + 1] - edges[i]))
