"""How does Python ask for a run, and what can it do with it?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zdsim.measure.summary import json_value, summarise
from zdsim.record import RunRecord
from zdsim.report import files, tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from zdsim.scenario.load import Loaded
    from zdsim.scenario.model import Scenario

Progress = Callable[[float], None]  # called now and then with the share of simulated time that is done, 0 to 1


class Run:
    """One finished run: its record, and every way to look at it.

    >>> run = zdsim.simulate(zdsim.load_scenario("scenario.yaml"), seed=7)  # doctest: +SKIP
    >>> run.summary()["requests"]["dropped"]  # doctest: +SKIP
    """

    def __init__(self, record: RunRecord) -> None:
        self.record = record

    def __repr__(self) -> str:
        asked = self._summary["requests"]
        return (
            f"<zdsim.Run {self.record.name!r} seed={self.record.seed} plane={self.record.plane}: "
            f"{asked['dropped']:,} of {asked['total']:,} requests dropped>"
        )

    @cached_property
    def _summary(self) -> dict[str, Any]:
        return summarise(self.record)

    @property
    def digest(self) -> str:
        """Fingerprint of every integer that was counted: equal digests are equal runs."""
        return self.record.digest

    def summary(self) -> dict[str, Any]:
        """The result as `zdsim run --json` prints it (plain JSON values, a copy to do with as you like)."""
        copy: dict[str, Any] = json_value(self._summary)
        return copy

    def windows(self) -> pd.DataFrame:
        """Counts and latency by window and revision; columns as in `windows.csv`."""
        return tables.windows(self.record)

    def events(self) -> pd.DataFrame:
        """What happened, in order."""
        return tables.events(self.record)

    def pods(self) -> pd.DataFrame:
        """One row a pod."""
        return tables.pods(self.record)

    def lost(self) -> pd.DataFrame:
        """Lost requests, each with its cause; the first ones only where there are many."""
        return tables.lost(self.record)

    def plot(self) -> Figure:
        """Pods, traffic, drops and latency over time, as one Matplotlib figure."""
        from zdsim.report.figure import timeline

        return timeline(self.record)

    def save(self, folder: str | Path | None = None) -> Path:
        """Write the run's files (see README.md, "Files").

        Args:
            folder: default `reports/NAME-SEED`. An earlier run there is replaced.

        Raises:
            ZdsimError: it cannot be written, or is a folder of something else.
        """
        target = files.default_folder(self.record.name, self.record.seed) if folder is None else Path(folder)
        files.write_run(self.record, self._summary, target)
        return target

    def _repr_html_(self) -> str:
        from zdsim.report.html import run_html

        return run_html(self.record, self._summary)


@dataclass(frozen=True, slots=True)
class Verification:
    """What came out when a run was repeated."""

    run: Run
    digest_then: str
    versions_then: dict[str, str]
    changed: tuple[str, ...]  # what differs, one sentence each; empty: the run is the same

    @property
    def same(self) -> bool:
        return not self.changed


def simulate(
    scenario: Loaded | Scenario, seed: int | None = None, *, plane: str = "auto", progress: Progress | None = None
) -> Run:
    """Play a scenario once.

    Args:
        scenario: from `load_scenario`.
        seed: instead of the scenario's.
        plane: who plays the requests: `kernel`, `reference`, or `auto`.
        progress: called now and then with the share that is done.

    Raises:
        ZdsimError: the scenario cannot be played as asked.
    """
    from zdsim.run import simulate as play

    return Run(play(scenario, seed, plane=plane, progress=progress))


def verify(folder: str | Path, *, plane: str | None = None, progress: Progress | None = None) -> Verification:
    """Repeat a saved run and compare.

    Args:
        folder: written by `Run.save` or `zdsim run`.
        plane: instead of the one that played it; both must give the same digest.

    Raises:
        ZdsimError: the folder does not hold a run that can be repeated.
    """
    from pydantic import ValidationError

    from zdsim.scenario.model import Scenario

    manifest = files.read_manifest(Path(folder))
    result = files.read_result(Path(folder))
    try:
        scenario = Scenario.model_validate(manifest.scenario)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "scenario"
        raise files.OutputError(
            f"{Path(folder) / 'manifest.json'}: this zdsim cannot use the scenario in it: {where}: {first['msg']}"
        ) from error
    run = simulate(scenario, manifest.seed, plane=plane or manifest.plane, progress=progress)
    changed = []
    if run.digest != manifest.digest:
        changed.append(f"the run has digest {run.digest}, the manifest says {manifest.digest}")
    else:
        now = run.summary()
        then = result if isinstance(result, dict) else {}
        # What was assumed and noticed while loading is no part of the scenario; another plane is allowed by `plane`.
        compared = now.keys() - {"assumed", "notices", "plane"}
        changed += [f"result.json does not hold this run's {key!r}" for key in compared if now[key] != then.get(key)]
    return Verification(run, manifest.digest, dict(manifest.versions), tuple(sorted(changed)))
