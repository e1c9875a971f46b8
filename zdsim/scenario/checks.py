"""What does not fit together between a strategy and the rest of the scenario?

Conflicts and cautions that need more than one section: weights against the number of pods, analyses against what is
measured, human actions against what waits for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from zdsim.scenario.analysis import Analysis
from zdsim.scenario.flagger import FlaggerMode
from zdsim.scenario.platform import RouterMode
from zdsim.scenario.quantities import format_duration, scaled
from zdsim.scenario.spec import Finding
from zdsim.scenario.strategy import AnyStrategy, BlueGreen, Canary, Split, nearest_split, percent

if TYPE_CHECKING:
    from zdsim.scenario.model import Scenario

Loc = tuple[str | int, ...]
_STRATEGY: Loc = ("release", "strategy")


def strategy_conflicts(scenario: Scenario) -> Iterator[Finding]:
    """What makes a scenario with this strategy unusable."""
    if scenario.rollout is not None and scenario.flagger is not None:
        yield Finding("a Rollout and a Canary exclude each other", ("flagger",), "remove one of them")
    rollout = scenario.rollout
    if rollout is not None and scenario.service.deployment is not None:
        kept = scenario.deployment.revision_history_limit
        word = "canary" if rollout.strategy.canary is not None else "blueGreen"
        played = rollout.strategy.canary or rollout.strategy.blue_green
        limit = played.scale_down_delay_revision_limit if played is not None else None
        if limit is not None and limit > kept:
            yield Finding(
                f"must not be more than revisionHistoryLimit ({kept}), got {limit}: InvalidSpec, nothing would move",
                ("rollout", "strategy", word, "scaleDownDelayRevisionLimit"),
                code="ZD1032",
            )
    strategy = _strategy(scenario)
    if isinstance(strategy, Canary) and strategy.match is not None:
        known = [one.name for one in scenario.traffic.classes]
        for i, name in enumerate(strategy.match.classes):
            if name not in known:
                message = f"there is no class {name!r}; there is {', '.join(known)}"
                yield Finding(message, (*_STRATEGY, "match", "classes", i))
    for at, one in analyses(strategy):
        missing = one.without_data(
            database=scenario.database is not None,
            business=any(c.conversion > 0.0 or c.revenue > 0.0 for c in scenario.traffic.classes),
        )
        for i, why in missing:
            message = f"nothing measures {one.metrics[i].metric}: {why}"
            yield Finding(message, (*_STRATEGY, *at, "metrics", i, "metric"))


def strategy_cautions(scenario: Scenario) -> Iterator[Finding]:
    """What runs, but hardly as its author meant."""
    release, strategy = scenario.release, _strategy(scenario)
    if release is None:
        return
    manifest = "Rollout" if scenario.rollout is not None else "Canary" if scenario.flagger is not None else None
    if strategy is not None and manifest is not None:
        message = f"replaces the strategy of the {manifest}, and its analyses are not played"
        yield Finding(message, _STRATEGY, "", "ZD2007")
    acts = [word for word, times in release.actions.items() if times]
    if strategy is None and scenario.rollout is not None:
        humans, n = scenario.rollout.humans, len(release.promote_at_s)
        if len(humans) > n and not release.promote_full_at_s:
            has = f"promote_at has {n}" if n else "there is no promote_at"
            what = "a manual promotion" if len(humans) == 1 else f"{len(humans)} manual promotions"
            yield Finding(
                f"needs {what}, and {has}: it will wait for ever",
                ("rollout", "strategy", *humans[n]),
                f"-s release.promote_at={format_duration(release.at_s + 300)}",
                "ZD2009",
            )
    elif not isinstance(strategy, Canary | BlueGreen) and acts and scenario.flagger is None:
        message = "has no effect: a rolling update is not promoted or aborted (undo_at undoes it)"
        yield Finding(message, ("release", acts[0]), "", "ZD2009")
    yield from _pods(scenario, strategy)
    yield from _router(scenario, strategy)
    for at, one in analyses(strategy):
        scrape_s = scenario.analysis.scrape.interval_s
        if one.window_s < scrape_s:
            yield Finding(
                f"window ({format_duration(one.window_s)}) is shorter than the scrape interval "
                f"({format_duration(scrape_s)}): most looks find nothing new",
                (*_STRATEGY, *at, "window"),
                f"window: {format_duration(4 * scrape_s)}, or analysis: {{scrape: {{interval: 5s}}}}",
                "ZD2009",
            )


def _strategy(scenario: Scenario) -> AnyStrategy | None:
    return scenario.release.strategy if scenario.release is not None else None


def analyses(strategy: AnyStrategy | None) -> Iterator[tuple[Loc, Analysis]]:
    """Every analysis of a strategy, by its path under it."""
    if isinstance(strategy, BlueGreen):
        found: list[tuple[Loc, Analysis | None]] = [
            (("analysis", "pre"), strategy.analysis.pre),
            (("analysis", "post"), strategy.analysis.post),
        ]
    elif isinstance(strategy, Canary):
        found = [(("analysis",), strategy.analysis)]
        for i, step in enumerate(strategy.written_steps or ()):
            found.append((("steps", i, "analysis"), step.analysis))
            if step.experiment is not None:
                found.append((("steps", i, "experiment", "analysis"), step.experiment.analysis))
    else:
        return
    yield from ((at, one) for at, one in found if one is not None)


def _pods(scenario: Scenario, strategy: AnyStrategy | None) -> Iterator[Finding]:
    """Weights that so few pods cannot give."""
    n = scenario.deployment.replicas
    told: list[tuple[Loc, float, float]] = []
    if isinstance(strategy, Canary):
        at: Loc = (*_STRATEGY, "weights" if strategy.written_steps is None else "steps")
        told = [((*at, i), wanted, real) for i, wanted, real in strategy.shares(n)]
    canary = scenario.rollout.strategy.canary if scenario.rollout is not None and strategy is None else None
    if canary is not None and canary.traffic_routing is None and n > 0:
        surge = scaled(canary.max_surge, n, round_up=True)
        for i, step in enumerate(canary.steps):
            if step.set_weight is None:
                continue
            new, stable = nearest_split(n, step.set_weight / 100, surge=surge)
            real = new / (new + stable)
            if abs(real - step.set_weight / 100) > 0.005:
                told.append((("rollout", "strategy", "canary", "steps", i, "setWeight"), step.set_weight / 100, real))
    if told:
        steps = ", ".join(f"{percent(wanted)} is really {percent(real)}" for _, wanted, real in told[:6])
        more = f" and {len(told) - 6} more" if len(told) > 6 else ""
        yield Finding(
            f"shares of {n} pods come out only roughly: {steps}{more}",
            told[0][0],
            "more replicas, or a router that splits requests",
            "ZD2009",
        )


def _router(scenario: Scenario, strategy: AnyStrategy | None) -> Iterator[Finding]:
    """A weight of requests, where a backend is chosen once per connection."""
    where: Loc | None = None
    if isinstance(strategy, Canary) and strategy.split is Split.ROUTER:
        where = _STRATEGY
    elif strategy is None and scenario.rollout is not None:
        canary = scenario.rollout.strategy.canary
        if canary is not None and canary.traffic_routing is not None:
            where = ("rollout", "strategy", "canary", "trafficRouting")
    elif strategy is None and scenario.flagger is not None and scenario.flagger.mode is FlaggerMode.PROGRESSIVE:
        where = ("flagger", "analysis")
    if where is not None and scenario.router.mode is RouterMode.CONNECTION and scenario.client.keep_alive.pool > 0:
        yield Finding(
            "router.mode is connection: a weight counts for new connections only, kept-alive ones stay where they are",
            where,
            "router: {mode: request}",
            "ZD2009",
        )


__all__ = ["analyses", "strategy_cautions", "strategy_conflicts"]
