"""How do scenarios, or strategies of one scenario, do against each other under the same luck?

Common random numbers: replication k of every contender has seed `first + k`, so all of them meet the same users at the
same times with the same work, and differences are taken seed by seed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from zdsim.experiment.contenders import Contender, differing, dumped, undisturbed
from zdsim.experiment.replicate import Progress, Replications, play, seeds_of
from zdsim.measure import comparison
from zdsim.measure.comparison import EXCESS, Cell, Played
from zdsim.run import choose_plane, versions

#: Sections that decide who asks for what: where they differ, contenders do not meet the same requests.
SHARED_LUCK = ("traffic", "run.duration", "client")


@dataclass(frozen=True, slots=True)
class Compared:
    """A finished comparison."""

    result: dict[str, Any]  # as `zdsim compare --json` prints it, without the advice
    played: tuple[Played, ...]
    interrupted: bool


def compare(
    contenders: Sequence[Contender],
    *,
    replications: int = 30,
    seed: int | None = None,
    plane: str = "auto",
    baseline: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Compared:
    """Play every contender under the same seeds and set the results side by side.

    Args:
        contenders: at least one, from `contenders.load_all`.
        replications: seeds, at least 1; below 2 nothing can be told apart.
        seed: of the first replication; None = that of the first contender's scenario.
        baseline: also play each service left alone, once a seed, to tell what the deployment did.
        workers: processes; None = one a core. The result does not depend on it.
        progress: told the share of cells that are done.

    Raises:
        ZdsimError: a contender cannot be played as asked.
        KeyboardInterrupt: interrupted too early for any comparison; later, the finished seeds are compared.
    """
    first = contenders[0].loaded.scenario.run.seed if seed is None else seed
    seeds = seeds_of(first, replications)
    scenarios = [dumped(one) for one in contenders]
    names = [one.name for one in contenders]
    wanted, home = scenarios, dict[int, int]()
    if baseline:
        wanted, home = _with_baselines(scenarios)
    names += [f"baseline of {names[0]}"] * (len(wanted) - len(names))
    found = play(wanted, seeds, names=names, plane=plane, workers=workers, progress=progress)
    played = tuple(
        Played(
            name=one.name,
            cells=_cells(found, i, home.get(i)),
            scenario=one.loaded.scenario.name,
            source=one.source,
            overrides=one.overrides,
            differs=tuple(differing(scenarios[0], scenarios[i])),
        )
        for i, one in enumerate(contenders)
    )
    planes = {choose_plane(one.loaded.scenario.run.plane if plane == "auto" else plane)[0] for one in contenders}
    result = comparison.compare(played, asked=found.asked, versions=versions(), plane=", ".join(sorted(planes)))
    result["interrupted"] = found.interrupted
    result["notes"] = _notes(played, found)
    return Compared(result, played, found.interrupted)


def _with_baselines(scenarios: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """The scenarios and their baselines, each only once; and where the baseline of each is."""
    wanted, home, known = list(scenarios), dict[int, int](), dict[str, int]()
    for i, scenario in enumerate(scenarios):
        base = undisturbed(scenario)
        text = json.dumps(base, sort_keys=True)
        if text not in known:
            known[text] = len(wanted)
            wanted.append(base)
        home[i] = known[text]
    return wanted, home


def _cells(found: Replications, i: int, base: int | None) -> tuple[Cell, ...]:
    cells = found.cells[i]
    if base is None:
        return cells
    return tuple(
        replace(
            cell,
            values={**cell.values, EXCESS: (cell.dropped - alone.dropped) / cell.total if cell.total else None},
        )
        for cell, alone in zip(cells, found.cells[base], strict=True)
    )


def _notes(played: Sequence[Played], found: Replications) -> list[str]:
    notes = []
    done = len(found.cells[0])
    if found.interrupted:
        notes.append(f"Interrupted: {done} of {found.asked} replications were finished by all; the rest is left out.")
    for one in played[1:]:
        apart = [field for field in one.differs if field.startswith(SHARED_LUCK)]
        if apart:
            notes.append(
                f"{one.name} does not meet the same requests as {played[0].name} ({', '.join(apart[:3])} differ): "
                "pairing by seed still holds but cancels less, and differences are not the rollout's alone."
            )
        elif not one.differs:
            notes.append(f"{one.name} is the same scenario as {played[0].name}: their runs are equal.")
    if done == 1:
        notes.append("One replication shows no spread: nothing can be told apart. Give -n 30.")
    return notes
