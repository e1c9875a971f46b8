"""Which of several contenders does better, by which measure, and is that certain?

A contender is a scenario, or a variant of one. Each is played under the same seeds; `compare` sets the finished cells
side by side and returns the result that `zdsim compare --json` prints (`schema_version` 1: keys are added, none is
renamed).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np

from zdsim.measure import paired
from zdsim.measure.intervals import LEVEL
from zdsim.measure.summary import json_value, summarise
from zdsim.plane.config import FloatArray, IntArray
from zdsim.record import RunRecord

SCHEMA_VERSION: Final = 1
KIND: Final = "zdsim comparison"
COMPLETE: Final = "complete"  # outcome of a rollout that went through
MAX_DIFFERS: Final = 40  # fields told in which a contender differs from the first


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a run that contenders are compared by; less is better for all of them."""

    key: str
    label: str
    unit: str  # "share", "latency" (s), "s" or "pod-s"
    path: tuple[str, ...]  # in a run's summary


DROPPED: Final = "dropped_share"
EXCESS: Final = "excess_share"
EXPOSED: Final = "exposed_share"
HARMED: Final = "harmed_share"
ROLLBACK: Final = "rollback_s"
MIXED: Final = "mixed_version_s"
COST: Final = "extra_pod_seconds"
LATENCY: Final = "p99_during_s"
ROLLOUT: Final = "rollout_s"

MEASURES: Final = (
    Measure(DROPPED, "dropped", "share", ("requests", "dropped_share")),
    Measure(EXCESS, "excess dropped", "share", ()),  # against a baseline that several contenders share
    Measure(LATENCY, "p99 in rollout", "latency", ("latency_s", "during", "p99")),
    Measure(EXPOSED, "users exposed", "share", ("blast_radius", "exposed_share")),
    Measure(HARMED, "users harmed", "share", ("blast_radius", "harmed_share")),
    Measure(ROLLBACK, "rollback", "s", ("rollback", "latency_s")),
    Measure(ROLLOUT, "rollout", "s", ("rollout", "duration_s")),
    Measure(MIXED, "mixed versions", "s", ("rollout", "mixed_version_s")),
    Measure(COST, "extra pod-s", "pod-s", ("rollout", "extra_pod_seconds")),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """What is kept of one finished run: a few numbers, whatever the run's size."""

    seed: int
    digest: str
    total: int  # requests
    dropped: int
    active: int  # users
    harmed: int
    outcome: str  # of the rollout
    strategy: str
    bad: bool  # a revision with a bug was released
    values: Mapping[str, float | None]  # by measure; None: does not exist in this run
    causes: Mapping[str, int]  # of drops; none that are zero


@dataclass(frozen=True, slots=True)
class Played:
    """One contender and its finished cells, in order of their seeds."""

    name: str
    cells: tuple[Cell, ...]
    scenario: str = ""  # the scenario's own name
    source: str = ""  # file it came from
    overrides: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()  # fields that are not as in the first contender


def cell_of(record: RunRecord) -> Cell:
    """A run reduced to what a comparison needs."""
    summary = summarise(record)
    asked = summary["requests"]
    values = {one.key: _at(summary, one.path) for one in MEASURES if one.path}
    if record.rollout.outcome != COMPLETE:
        values[ROLLOUT] = None  # the way there and back is no rollout's duration
    return Cell(
        seed=record.seed,
        digest=record.digest,
        total=asked["total"],
        dropped=asked["dropped"],
        active=summary["blast_radius"]["active_users"],
        harmed=summary["blast_radius"]["harmed_users"],
        outcome=record.rollout.outcome,
        strategy=record.strategy,
        bad=bool(record.bad_revisions),
        values=values,
        causes={cause: n for cause, n in asked["by_cause"].items() if n},
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """One contender's values of one measure."""

    name: str
    values: FloatArray
    events: IntArray | None = None  # behind a share: dropped requests, harmed users
    exposure: float = math.nan  # among so many

    @property
    def rare(self) -> bool:
        """Few events that came one by one."""
        return (
            self.events is not None
            and self.exposure > 0.0
            and int(self.events.sum()) < paired.RARE
            and not paired.clustered(self.events)
        )


def compare(
    played: Sequence[Played],
    *,
    asked: int,
    level: float = LEVEL,
    versions: Mapping[str, str] | None = None,
    plane: str = "",
) -> dict[str, Any]:
    """The comparison of contenders that met the same seeds.

    Args:
        played: at least one; all with the same seeds in the same order, at least one of them.
        asked: replications wanted; fewer are there where somebody interrupted.
        level: of every interval, and 1 - the level of every test.

    Returns:
        A dict of plain JSON values; what does not exist is None.
    """
    seeds = [cell.seed for cell in played[0].cells]
    assert seeds, "a comparison needs at least one replication"
    assert all([cell.seed for cell in one.cells] == seeds for one in played), "contenders need the same seeds"
    present = [one for one in MEASURES if any(one.key in cell.values for cell in played[0].cells)]
    columns = {one.key: [_column(one, who) for who in played] for one in present}
    bad = any(cell.bad for who in played for cell in who.cells)
    differences = [d for one in present for d in _differences(one, columns[one.key], level)]
    ranked = [one for one in present if one.key != EXPOSED or bad]  # reach is a harm only where something is wrong
    out = {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "level": level,
        "replications": {"asked": asked, "done": len(seeds), "first_seed": seeds[0], "last_seed": seeds[-1]},
        "plane": plane,
        "versions": dict(versions or {}),
        "digest": _digest(played),
        "measures": [{"key": one.key, "label": one.label, "unit": one.unit} for one in present],
        "contenders": [_contender(who, {k: c[i] for k, c in columns.items()}, level) for i, who in enumerate(played)],
        "differences": differences,
        "ranking": {one.key: _ranking(one, columns[one.key], differences, len(seeds)) for one in ranked},
    }
    plain: dict[str, Any] = json_value(out)
    return plain


def _contender(who: Played, columns: Mapping[str, _Column], level: float) -> dict[str, Any]:
    causes: Counter[str] = Counter()
    for cell in who.cells:
        causes.update(cell.causes)
    return {
        "name": who.name,
        "scenario": who.scenario,
        "source": who.source,
        "overrides": who.overrides,
        "strategy": who.cells[0].strategy,
        "differs": who.differs[:MAX_DIFFERS],
        "differs_left_out": max(0, len(who.differs) - MAX_DIFFERS),
        "requests": sum(cell.total for cell in who.cells),
        "dropped": sum(cell.dropped for cell in who.cells),
        "outcomes": dict(sorted(Counter(cell.outcome for cell in who.cells).items())),
        "by_cause": dict(sorted(causes.items(), key=lambda item: (-item[1], item[0]))),
        "measures": {key: _estimate(column, level, share=key == EXPOSED) for key, column in columns.items()},
    }


def _estimate(column: _Column, level: float, *, share: bool) -> dict[str, Any]:
    found = paired.mean(column.values, level=level)
    interval, method = found.interval, "t"
    if column.rare:
        assert column.events is not None
        interval, method = paired.rare_rate(int(column.events.sum()), column.exposure, level=level), "poisson"
    elif (share or column.events is not None) and interval is not None:
        interval = interval._replace(low=max(0.0, interval.low))  # no share is negative
    known = column.values[~np.isnan(column.values)]
    return {
        "n": found.n,
        "mean": found.mean,
        "sd": found.sd,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "min": known.min() if found.n else None,
        "max": known.max() if found.n else None,
        "method": method,
    }


def _differences(one: Measure, columns: Sequence[_Column], level: float) -> list[dict[str, Any]]:
    """Every pair by one measure; the p-values are adjusted for all pairs."""
    pairs = list(combinations(columns, 2))
    found = [_difference(one, a, b, level, len(pairs)) for a, b in pairs]
    for row, p in zip(found, paired.holm([row["p"] for row in found]), strict=True):
        row["p_holm"] = p
        row["distinguishable"] = bool(p < 1.0 - level)  # NaN is not: one replication proves nothing
        if row["distinguishable"]:
            row["needed_replications"] = None
    return found


def _difference(one: Measure, a: _Column, b: _Column, level: float, n_pairs: int) -> dict[str, Any]:
    d = paired.difference(a.values, b.values, level=level)
    ratio = paired.ratio_of_means(a.values, b.values, level=level)
    interval, p, method = d.interval, d.p, "paired t"
    flips = paired.sign_flip_p(a.values, b.values)
    if d.sd == 0.0 and flips is not None and p is not None:
        # The same difference in every replication (percentiles come in bins): a t test sees no luck, the signs do.
        p, method = max(p, flips), "sign flip"
    if a.rare and b.rare:
        assert a.events is not None
        assert b.events is not None
        counts = (int(a.events.sum()), a.exposure, int(b.events.sum()), b.exposure)
        interval, p, method = paired.rare_difference(*counts, level=level), paired.rare_p(*counts), "poisson"
        ratio = paired.rare_ratio(*counts, level=level)
    return {
        "measure": one.key,
        "first": a.name,
        "second": b.name,
        "n": d.n,
        "mean": d.mean,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "sd": d.sd,
        "method": method,
        "p": p,
        "sign_flip_p": flips,
        "equal": d.equal,
        "ratio": None if ratio is None else ratio.ratio,
        "ratio_low": None if ratio is None or ratio.interval is None else ratio.interval.low,
        "ratio_high": None if ratio is None or ratio.interval is None else ratio.interval.high,
        # For the strictest of the adjusted levels, so that the number is enough whatever the other pairs do.
        "needed_replications": paired.needed_replications(d.mean, d.sd, alpha=(1.0 - level) / n_pairs),
    }


def _ranking(
    one: Measure, columns: Sequence[_Column], differences: Sequence[Mapping[str, Any]], n: int
) -> dict[str, Any]:
    """Who is best, as far as that can be said.

    Only those measured in every replication can be: a mean over the replications that happened to end well is no
    recommendation. `best` names more than one where they are equal in every replication.
    """
    whole = [column for column in columns if not np.isnan(column.values).any()]
    whole.sort(key=lambda column: float(column.values.mean()))  # stable: in the order given where equal
    partly = [column.name for column in columns if 0 < np.count_nonzero(~np.isnan(column.values)) < n]
    never = [column.name for column in columns if np.isnan(column.values).all()]
    names = [column.name for column in whole]
    if not names:
        return _rank([], [], [], partly, never, None)
    between = {frozenset((row["first"], row["second"])): row for row in differences if row["measure"] == one.key}
    leader = names[0]
    tied = [leader, *(name for name in names[1:] if between[frozenset((leader, name))]["equal"])]
    rest = [name for name in names if name not in tied]
    rival = [name for name in rest if not all(between[frozenset((name, best))]["distinguishable"] for best in tied)]
    needed = [between[frozenset((leader, name))]["needed_replications"] for name in rival]
    known = [number for number in needed if number is not None]
    enough = max(known) if needed and len(known) == len(needed) else None
    return _rank(names, tied, rival, partly, never, enough)


def _rank(
    order: list[str], tied: list[str], rivals: list[str], partly: list[str], never: list[str], needed: int | None
) -> dict[str, Any]:
    rest = len(order) - len(tied)
    return {
        "order": order,
        "leaders": tied,
        "best": tied if rest and not rivals else [],
        "rivals": rivals,  # not distinguishable from the leaders
        "all_equal": len(order) > 1 and not rest,
        "partly_measured": partly,
        "never_measured": never,
        "needed_replications": needed,
    }


def _column(one: Measure, who: Played) -> _Column:
    values = np.array([_known(cell.values.get(one.key)) for cell in who.cells], dtype=np.float64)
    if one.key == DROPPED:
        counted = [(cell.dropped, cell.total) for cell in who.cells]
    elif one.key == HARMED:
        counted = [(cell.harmed, cell.active) for cell in who.cells]
    else:
        return _Column(who.name, values)
    events = np.array([n for n, _ in counted], dtype=np.int64)
    return _Column(who.name, values, events, float(sum(of for _, of in counted)))


def _known(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _digest(played: Sequence[Played]) -> str:
    """Fingerprint of every integer that any of the runs counted."""
    h = hashlib.blake2b(digest_size=16)
    for who in played:
        for cell in who.cells:
            h.update(f"{who.name}/{cell.seed}/{cell.digest}\n".encode())
    return h.hexdigest()


def _at(summary: Mapping[str, Any], path: Sequence[str]) -> float | None:
    found: Any = summary
    for key in path:
        found = found[key]
    return None if found is None else float(found)
