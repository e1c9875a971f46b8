"""Which contender for which aim, and why? Advice that follows from a comparison's numbers, and nothing else.

A choice is only named where it can be told apart from every other (see `zdsim.measure.comparison`). Where it cannot,
that is said, with the replications that would tell. What a choice costs in other measures is said beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, assert_never

from zdsim.measure.comparison import COST, DROPPED, HARMED, LATENCY, MIXED, ROLLBACK, ROLLOUT
from zdsim.report import compare_words as words


class Aim(StrEnum):
    """What somebody may want of a deployment."""

    FEWEST_DROPS = "fewest_drops"
    SMALLEST_BLAST_RADIUS = "smallest_blast_radius"
    FASTEST_ROLLBACK = "fastest_rollback"
    NO_MIXED_VERSIONS = "no_mixed_versions"
    LOWEST_COST = "lowest_cost"
    LOWEST_LATENCY = "lowest_latency"
    FASTEST_ROLLOUT = "fastest_rollout"


class Verdict(StrEnum):
    """How far the numbers carry."""

    CLEAR = "clear"
    EQUAL = "equal"  # the same in every replication
    UNDECIDED = "undecided"
    NOT_MEASURED = "not_measured"


@dataclass(frozen=True, slots=True)
class Advice:
    """One aim, who serves it, and why."""

    aim: Aim
    verdict: Verdict
    choice: tuple[str, ...]  # more than one: equally good; none: no clear winner
    sentence: str
    reason: str
    price: str = ""  # what the choice is worst at
    needed_replications: int | None = None


def advice(comparison: Mapping[str, Any]) -> list[Advice]:
    """One piece of advice for each aim, in the order of `Aim`.

    Args:
        comparison: as `zdsim.measure.comparison.compare` returns it.
    """
    return [_advice(aim, _View(comparison)) for aim in Aim]


def advice_json(found: Sequence[Advice]) -> list[dict[str, Any]]:
    """Advice as it stands in `compare.json`."""
    return [{**asdict(one), "choice": list(one.choice)} for one in found]


def title(aim: Aim) -> str:
    """An aim as a heading says it."""
    match aim:
        case Aim.FEWEST_DROPS:
            return "Fewest dropped requests"
        case Aim.SMALLEST_BLAST_RADIUS:
            return "Smallest blast radius"
        case Aim.FASTEST_ROLLBACK:
            return "Fastest rollback"
        case Aim.NO_MIXED_VERSIONS:
            return "No mixed versions"
        case Aim.LOWEST_COST:
            return "Lowest cost"
        case Aim.LOWEST_LATENCY:
            return "Lowest latency meanwhile"
        case Aim.FASTEST_ROLLOUT:
            return "Fastest rollout"
        case _:
            assert_never(aim)


def measure_of(aim: Aim) -> str:
    """The measure that decides about an aim."""
    match aim:
        case Aim.FEWEST_DROPS:
            return DROPPED
        case Aim.SMALLEST_BLAST_RADIUS:
            return HARMED
        case Aim.FASTEST_ROLLBACK:
            return ROLLBACK
        case Aim.NO_MIXED_VERSIONS:
            return MIXED
        case Aim.LOWEST_COST:
            return COST
        case Aim.LOWEST_LATENCY:
            return LATENCY
        case Aim.FASTEST_ROLLOUT:
            return ROLLOUT
        case _:
            assert_never(aim)


class _View:
    """A comparison, asked by name."""

    def __init__(self, comparison: Mapping[str, Any]) -> None:
        self.ranking: Mapping[str, Mapping[str, Any]] = comparison["ranking"]
        self.done: int = comparison["replications"]["done"]
        self.level: float = comparison["level"]
        self._unit = {one["key"]: one["unit"] for one in comparison["measures"]}
        self._found = {one["name"]: one["measures"] for one in comparison["contenders"]}
        self._between = {
            (row["measure"], frozenset((row["first"], row["second"]))): row for row in comparison["differences"]
        }

    def mean(self, key: str, name: str) -> float:
        return float(self._found[name][key]["mean"])

    def told(self, key: str, name: str) -> str:
        return words.estimate(self._unit[key], self._found[name][key])

    def value(self, key: str, name: str) -> str:
        return words.value(self._unit[key], self.mean(key, name))

    def between(self, key: str, a: str, b: str) -> Mapping[str, Any]:
        """The difference a - b."""
        row: Mapping[str, Any] = self._between[key, frozenset((a, b))]
        if row["first"] == a:
            return row
        turned = {name: None if row[name] is None else -row[name] for name in ("mean", "low", "high")}
        return {**row, **turned, "first": a, "second": b, "low": turned["high"], "high": turned["low"]}

    def difference(self, key: str, a: str, b: str) -> str:
        return words.difference(self._unit[key], self.between(key, a, b), self.level)

    def most(self, key: str, a: str, b: str) -> str:
        """How far apart they may be at most."""
        row = self.between(key, a, b)
        return words.value(self._unit[key], max(abs(row["low"]), abs(row["high"])))


def _advice(aim: Aim, view: _View) -> Advice:
    key, noun = measure_of(aim), words.NOUNS[measure_of(aim)]
    rank = view.ranking[key]
    order, leaders = rank["order"], rank["leaders"]
    if len(order) < 2:
        return _unmeasured(aim, noun, rank, view)
    left_out = _left_out(rank, noun, view)
    if rank["all_equal"]:
        sentence = f"{title(aim)}: all the same."
        if aim is Aim.NO_MIXED_VERSIONS and view.mean(key, order[0]) > 0.0:
            sentence = f"{title(aim)}: none avoids them, and all mix for as long."
        reason = f"{noun}: {view.value(key, order[0])} for each, in every replication.{left_out}"
        return Advice(aim, Verdict.EQUAL, tuple(leaders), sentence, _capital(reason))
    if not rank["best"]:
        return _undecided(aim, key, noun, rank, view, left_out)
    runner_up = order[len(leaders)]
    choice = words.names(leaders)
    sentence = f"{title(aim)}: {choice}."
    reason = (
        f"{noun}: {view.told(key, leaders[0])}, against {view.told(key, runner_up)} for {runner_up}, the runner-up; "
        f"difference {view.difference(key, leaders[0], runner_up)}."
    )
    if aim is Aim.NO_MIXED_VERSIONS:
        if view.mean(key, leaders[0]) > 0.0:
            sentence = f"{title(aim)}: none avoids them; {choice} mixes them for the shortest time."
        else:
            reason = (
                f"no two versions served at one time in any of {view.done:,} replications; "
                f"{runner_up} mixes them for {view.value(key, runner_up)}."
            )
    price = _price(key, leaders, view)
    return Advice(aim, Verdict.CLEAR, tuple(leaders), sentence, _capital(reason + left_out), price)


def _undecided(aim: Aim, key: str, noun: str, rank: Mapping[str, Any], view: _View, left_out: str) -> Advice:
    leader, rivals = rank["leaders"][0], rank["rivals"]
    rival = rivals[0]
    reason = f"{noun}: {view.told(key, leader)} for {leader}, {view.told(key, rival)} for {rival}; "
    reason += f"difference {view.difference(key, leader, rival)}"
    if view.done >= 2 and view.between(key, leader, rival)["low"] is not None:
        reason += f", so they are at most {view.most(key, leader, rival)} apart"
    reason += f"; {words.needed(rank['needed_replications'], view.done)}.{left_out}"
    contested = words.names([*rank["leaders"], *rivals])
    sentence = f"{title(aim)}: no clear winner between {contested}."
    return Advice(
        aim, Verdict.UNDECIDED, (), sentence, _capital(reason), needed_replications=rank["needed_replications"]
    )


def _unmeasured(aim: Aim, noun: str, rank: Mapping[str, Any], view: _View) -> Advice:
    sentence = f"{title(aim)}: nothing to compare."
    if not rank["order"] and not rank["partly_measured"]:
        reason = "Nothing was rolled back in these runs." if aim is Aim.FASTEST_ROLLBACK else f"No run has a {noun}."
    else:
        only = f"{rank['order'][0]} alone has a {noun} in every replication." if rank["order"] else ""
        reason = (only + _left_out(rank, noun, view)).strip()
    return Advice(aim, Verdict.NOT_MEASURED, (), sentence, reason)


def _left_out(rank: Mapping[str, Any], noun: str, view: _View) -> str:
    text = ""
    if rank["partly_measured"]:
        who = words.names(rank["partly_measured"])
        text += f" Left out: {who}, with a {noun} in some of {view.done:,} replications only."
    if rank["never_measured"]:
        text += f" Left out: {words.names(rank['never_measured'])}, without any {noun}."
    return text


def _price(key: str, leaders: Sequence[str], view: _View) -> str:
    """What the choice certainly costs: requests where another drops fewer, anything else where it is worst."""
    prices = []
    for other, rank in view.ranking.items():
        order = rank["order"]
        ours = [name for name in leaders if name in order]
        if other == key or not ours or order[0] in leaders:
            continue
        against = [order[0]] if other == DROPPED else [name for name in order if name not in leaders]
        if other != DROPPED and order[-1] not in leaders:
            continue
        worst = max(ours, key=order.index)
        if all(view.between(other, worst, name)["distinguishable"] for name in against):
            prices.append(
                f"{words.NOUNS[other]} {view.value(other, worst)} ({order[0]}: {view.value(other, order[0])})"
            )
    return f"Its price: {', '.join(prices[:2])}." if prices else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
