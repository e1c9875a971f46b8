"""How does a scenario become what a request plane knows from the start?

Words into numbers, laws into tables, rates into knots. Revision 0 is the stable one, revision 1 the release, further
ones its rollovers.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zdsim.plane import traffic as plane_traffic
from zdsim.plane.config import NEVER, PlaneConfig
from zdsim.plane.traffic import Traffic
from zdsim.plane.vocabulary import N_OUTCOMES, Algorithm, Jitter, Outcome, RouterMode
from zdsim.rollout.flagger_spec import KUBERNETES_PROVIDER
from zdsim.run.laws import table
from zdsim.scenario import platform, process
from zdsim.scenario import traffic as words
from zdsim.scenario.faults import TrafficSpike
from zdsim.scenario.flagger import FlaggerCanary
from zdsim.scenario.flagger_load import load_of
from zdsim.scenario.laws import AnyLaw
from zdsim.scenario.model import Scenario
from zdsim.scenario.process import WarmUpShape
from zdsim.scenario.release import Bug
from zdsim.scenario.strategy import Canary, Split, Sticky

FloatArray = NDArray[np.float64]

#: Widths of windows that `auto` chooses from, seconds; the smallest that keeps a run within MAX_WINDOWS.
WIDTHS_S = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)
MAX_WINDOWS = 1200
WARM_POINTS = 64  # of an exponential warm-up curve

_ALGORITHMS = {
    platform.Algorithm.ROUND_ROBIN: Algorithm.ROUND_ROBIN,
    platform.Algorithm.RANDOM: Algorithm.RANDOM,
    platform.Algorithm.LEAST_REQUEST: Algorithm.LEAST_REQUEST,
    platform.Algorithm.POWER_OF_TWO: Algorithm.POWER_OF_TWO,
}
_MODES = {platform.RouterMode.CONNECTION: RouterMode.CONNECTION, platform.RouterMode.REQUEST: RouterMode.REQUEST}
_JITTERS = {words.Jitter.FULL: Jitter.FULL, words.Jitter.EQUAL: Jitter.EQUAL, words.Jitter.NONE: Jitter.NONE}
_OUTCOMES = {
    words.RetryReason.REFUSED: Outcome.REFUSED,
    words.RetryReason.UNREACHABLE: Outcome.UNREACHABLE,
    words.RetryReason.RESET: Outcome.RESET,
    words.RetryReason.OVERFLOW: Outcome.OVERFLOW,
    words.RetryReason.NO_ENDPOINT: Outcome.NO_ENDPOINT,
    words.RetryReason.TIMEOUT: Outcome.TIMEOUT,
    words.RetryReason.APP_ERROR: Outcome.APP_ERROR,
    words.RetryReason.DB_ERROR: Outcome.DB_ERROR,
}
_ARRIVALS = {
    words.Arrivals.POISSON: plane_traffic.Arrivals.POISSON,
    words.Arrivals.DETERMINISTIC: plane_traffic.Arrivals.DETERMINISTIC,
    words.Arrivals.BURSTY: plane_traffic.Arrivals.BURSTY,
}


CANARY = "-canary"  # ends the name of a revision in the target of a Flagger Canary


@dataclass(frozen=True, slots=True)
class Revision:
    """A row of the revision axis."""

    name: str
    bug: Bug | None
    exposes: bool  # its users count as exposed to the release

    @property
    def template(self) -> str:
        """Name of the template that its pods run."""
        return self.name.removesuffix(CANARY)


def revisions_of(scenario: Scenario) -> list[Revision]:
    """All revisions by index: the stable one, the release, its rollovers, then both sides of experiments if any.

    With Flagger these are the primary's, and each has a row of its own in the canary Deployment, in the same order.
    """
    release = scenario.release
    if release is None:
        return [Revision("v1", None, False)]
    bugs = [release.bug, *(rollover.bug for rollover in release.then)]
    found = [Revision("v1", None, False), *(Revision(f"v{n + 2}", bug, True) for n, bug in enumerate(bugs))]
    if flagger_of(scenario) is not None:
        return found + [replace(one, name=one.name + CANARY) for one in found]
    if has_experiments(scenario):
        found += [Revision("baseline", None, False), Revision("experiment", release.bug, True)]
    return found


def flagger_of(scenario: Scenario) -> FlaggerCanary | None:
    """The Canary that is played: the manifest's, unless the release names a strategy."""
    release = scenario.release
    return scenario.flagger if release is not None and release.strategy is None else None


def mirrors_of(canary: FlaggerCanary) -> bool:
    """Does a Canary get copies of requests: by a mirror, or in place of a load test?"""
    return canary.analysis.mirror or any(load_of(hook) is not None for hook in canary.analysis.webhooks)


def cookie_on_both(canary: FlaggerCanary) -> bool:
    """Do users of the primary keep a cookie, too?"""
    affinity = canary.analysis.session_affinity
    return affinity is not None and bool(affinity.primary_cookie_name)


def has_experiments(scenario: Scenario) -> bool:
    """Does the strategy bring up fresh baselines?"""
    strategy = scenario.release.strategy if scenario.release is not None else None
    if strategy is None and scenario.rollout is not None:
        canary = scenario.rollout.strategy.canary
        return canary is not None and any(step.experiment is not None for step in canary.steps)
    return isinstance(strategy, Canary) and any(step.experiment is not None for step in strategy.steps)


def is_routed(scenario: Scenario) -> bool:
    """Does a router split the requests by revision?"""
    flagger = flagger_of(scenario)
    if flagger is not None:
        return flagger.provider != KUBERNETES_PROVIDER
    strategy = scenario.release.strategy if scenario.release is not None else None
    if strategy is None and scenario.rollout is not None:
        canary = scenario.rollout.strategy.canary
        return canary is not None and canary.traffic_routing is not None
    return isinstance(strategy, Canary) and strategy.split is Split.ROUTER


def bugs_of(scenario: Scenario) -> list[Bug | None]:
    """What is wrong with each revision, by index; the stable one has no bug."""
    return [revision.bug for revision in revisions_of(scenario)]


def window_s(scenario: Scenario) -> float:
    """Width of the windows, seconds."""
    wanted = scenario.run.window_s
    if wanted is not None:
        return wanted
    return next((w for w in WIDTHS_S if scenario.run.duration_s / w <= MAX_WINDOWS), WIDTHS_S[-1])


def longest_request_s(scenario: Scenario) -> float:
    """The longest that a request can take, retries and back-off included, seconds."""
    client = scenario.client
    return client.attempts * client.request_timeout_s + float(_backoff_s(client).sum())


def plane_config(
    scenario: Scenario, seed: int, *, start_s: float = 0.0, quiet: bool = False, log_requests: bool = False
) -> PlaneConfig:
    """The request plane of a scenario.

    Args:
        start_s: when the plane's time begins, 0 or before.
        quiet: without the scenario's traffic spikes (the baseline).
        log_requests: keep a row for every request.
    """
    run, client, router, proc, db = (
        scenario.run,
        scenario.client,
        scenario.router,
        scenario.process,
        scenario.database,
    )
    classes = scenario.traffic.classes
    laws = _Laws()
    work_law = np.array([laws.index(one.work) for one in classes], dtype=np.int64)
    query_law = np.array([laws.index(one.query_time) for one in classes], dtype=np.int64)
    closed = scenario.traffic.closed
    think_law = laws.index(closed.think) if closed is not None else 0
    class_cut = np.cumsum([one.share for one in classes])
    class_cut[-1] = 1.0
    width = window_s(scenario)
    bugs = bugs_of(scenario)
    strategy = scenario.release.strategy if scenario.release is not None else None
    sticky = strategy.sticky if isinstance(strategy, Canary) else Sticky.NONE
    flagger = flagger_of(scenario)
    retriable = np.zeros(N_OUTCOMES, dtype=np.bool_)
    for reason in client.retry_on:
        if reason in _OUTCOMES:
            retriable[_OUTCOMES[reason]] = True
    warm_step_s, warm_factor = _warm_up(proc.warm_up)
    config = PlaneConfig(
        seed=seed,
        traffic=_traffic(scenario, seed, class_cut, quiet=quiet),
        horizon_s=run.duration_s,
        window_s=width,
        n_windows=math.ceil((run.duration_s + min(longest_request_s(scenario), 60.0)) / width) + 1,
        n_users=scenario.traffic.users.population,
        service_factor=np.array([1.0 if bug is None else bug.slow_factor for bug in bugs]),
        error_rate=np.full((len(bugs), len(classes)), proc.error_rate),
        n_queries=np.array(
            [[round(one.queries * (1.0 if bug is None else bug.n_plus_one)) for one in classes] for bug in bugs],
            dtype=np.int64,
        ),
        exposing=np.array([revision.exposes for revision in revisions_of(scenario)]),
        laws=laws.stacked(),
        work_law=work_law,
        query_law=query_law,
        class_cut=class_cut,
        idempotent=np.array([one.idempotent for one in classes]),
        resumable=np.array([one.resumable for one in classes]),
        connect_timeout_s=client.connect_timeout_s,
        request_timeout_s=client.request_timeout_s,
        backoff_s=_backoff_s(client),
        jitter=_JITTERS[client.backoff.jitter],
        retriable=retriable,
        retry_budget=NEVER if client.retry_budget is None else client.retry_budget,
        pool=client.keep_alive.pool,
        client_idle_s=client.keep_alive.idle_timeout_s,
        max_age_s=NEVER if client.keep_alive.max_age_s is None else client.keep_alive.max_age_s,
        close_notice_s=client.close_notice_s,
        n_closed=0 if closed is None else closed.users,
        think_law=think_law,
        mode=_mode(scenario),
        sticky=sticky in (Sticky.USER, Sticky.COOKIE_BOTH) or (flagger is not None and cookie_on_both(flagger)),
        mirrors=(isinstance(strategy, Canary) and strategy.mirror is not None)
        or (flagger is not None and mirrors_of(flagger)),
        algorithm=_ALGORITHMS[router.algorithm],
        n_proxies=router.proxies,
        retry_on_connect=router.retry_on_connect,
        workers=proc.workers,
        queue=proc.queue,
        server_idle_s=NEVER if proc.keepalive_idle_s is None else proc.keepalive_idle_s,
        cancel_on_disconnect=proc.cancel_on_disconnect,
        warm_step_s=warm_step_s,
        warm_factor=warm_factor,
        warm_age_s=proc.warm_up.duration_s,
        probe_work_s=proc.probe_work_s,
        start_s=start_s,
        log_requests=log_requests,
    )
    return config if db is None else _with_database(config, db)


def _mode(scenario: Scenario) -> RouterMode:
    """A router that splits requests looks at each one, unless the scenario says otherwise."""
    if is_routed(scenario) and "mode" not in scenario.router.model_fields_set:
        return RouterMode.REQUEST
    return _MODES[scenario.router.mode]


class _Laws:
    """Tables of the laws met so far, each once."""

    def __init__(self) -> None:
        self._known: list[AnyLaw] = []
        self._tables: list[FloatArray] = []

    def index(self, law: AnyLaw) -> int:
        if law not in self._known:
            self._known.append(law)
            self._tables.append(table(law).q)
        return self._known.index(law)

    def stacked(self) -> FloatArray:
        return np.ascontiguousarray(np.stack(self._tables))


@dataclass(frozen=True, slots=True)
class _Rate:
    knots_s: FloatArray
    rates: FloatArray


def _traffic(scenario: Scenario, seed: int, class_cut: FloatArray, *, quiet: bool) -> Traffic:
    spec, duration_s = scenario.traffic.open, scenario.run.duration_s
    arrivals, times, dispersion = plane_traffic.Arrivals.POISSON, None, 1.0
    rate = _Rate(np.zeros(0), np.zeros(0))
    if spec is not None and spec.times_s is not None:
        arrivals = plane_traffic.Arrivals.EXPLICIT
        given = np.asarray(spec.times_s, dtype=np.float64)
        times = given[given < duration_s]
    elif spec is not None:
        arrivals, dispersion = _ARRIVALS[spec.arrivals], spec.dispersion
        rate = _rate(spec, duration_s)
        for fault in () if quiet else scenario.faults:
            if isinstance(fault, TrafficSpike):
                rate = _Rate(
                    *plane_traffic.scale_rate(rate.knots_s, rate.rates, fault.at_s, fault.until_s, fault.factor)
                )
    users = scenario.traffic.users
    return Traffic(
        seed=seed,
        arrivals=arrivals,
        knots_s=rate.knots_s,
        rates=rate.rates,
        user_cut=plane_traffic.zipf_cut(users.population, users.zipf),
        class_cut=class_cut,
        work=np.ascontiguousarray(np.stack([table(one.work).q for one in scenario.traffic.classes])),
        n_proxies=scenario.router.proxies,
        dispersion=dispersion,
        times_s=times,
    )


def _rate(spec: words.OpenTraffic, duration_s: float) -> _Rate:
    """Knots of the rate from 0 to `duration_s`."""
    if spec.rate is not None:
        return _Rate(np.array([0.0, duration_s]), np.array([spec.rate, spec.rate]))
    if spec.diurnal is not None:
        day = spec.diurnal
        n = max(2, math.ceil(240.0 * duration_s / day.period_s) + 1)
        t = np.linspace(0.0, duration_s, n)
        wave = np.cos(2.0 * math.pi * (t - day.peak_at_s) / day.period_s)
        return _Rate(t, day.mean * (1.0 + day.amplitude * wave))
    points = spec.profile if spec.profile is not None else spec.steps
    assert points is not None, "open traffic has a shape"
    at = np.array([point.at_s for point in points])
    rates = np.array([point.rate for point in points])
    if spec.steps is not None:
        # Each rate holds until the next point: two knots at every step.
        at = np.repeat(at, 2)[1:]
        rates = np.repeat(rates, 2)[:-1]
    return _cut(np.concatenate([[0.0], at, [np.inf]]), np.concatenate([rates[:1], rates, rates[-1:]]), duration_s)


def _cut(at: FloatArray, rates: FloatArray, duration_s: float) -> _Rate:
    """Knots within [0, duration_s]; the first and the last rate hold outside the points given."""
    finite = np.isfinite(at)
    inside = finite & (at <= duration_s)
    end_rate = float(np.interp(duration_s, at[finite], rates[finite]))
    knots = np.concatenate([at[inside], [duration_s]])
    return _Rate(knots, np.concatenate([rates[inside], [end_rate]]))


def _backoff_s(client: words.Client) -> FloatArray:
    base, cap = client.backoff.base_s, client.backoff.cap_s
    return np.array([min(cap, base * 2.0 ** min(k, 60)) for k in range(client.attempts - 1)], dtype=np.float64)


def _warm_up(spec: process.WarmUp) -> tuple[float, FloatArray]:
    """Spacing and values of the warm-up curve: `factor` at age 0, 1 from `duration_s` on."""
    if spec.duration_s == 0.0 or spec.factor == 1.0:
        return 1.0, np.ones(1)
    if spec.shape is WarmUpShape.LINEAR:
        return spec.duration_s, np.array([spec.factor])
    # Five time constants in the duration: 0.7 % of the slowness is left at its end.
    x = np.arange(WARM_POINTS) / WARM_POINTS
    return spec.duration_s / WARM_POINTS, 1.0 + (spec.factor - 1.0) * np.exp(-5.0 * x)


def _with_database(config: PlaneConfig, db: platform.Database) -> PlaneConfig:
    return replace(
        config,
        has_db=True,
        db_pool=db.pool,
        db_eager=db.pool_fill is platform.PoolFill.EAGER,
        db_pool_timeout_s=db.pool_timeout_s,
        db_statement_timeout_s=db.statement_timeout_s,
        db_max_connections=db.max_connections - db.reserved,
        db_slots=config.db_slots if db.slots is None else db.slots,
    )
