"""How does Python ask for a run or a comparison, and what can it do with it?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zdsim.errors import ZdsimError
from zdsim.measure.summary import json_value, summarise
from zdsim.record import RunRecord
from zdsim.report import files, tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from zdsim.experiment.compare import Compared
    from zdsim.experiment.contenders import Contender
    from zdsim.report.compare_advice import Advice
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


class Comparison:
    """A finished comparison: contenders under the same seeds, and what can be said of them.

    >>> found = zdsim.compare("scenario.yaml", strategies=("rolling", "canary"))  # doctest: +SKIP
    >>> found.summary()["ranking"]["dropped_share"]["best"]  # doctest: +SKIP
    """

    def __init__(self, compared: Compared) -> None:
        self.compared = compared

    def __repr__(self) -> str:
        names = ", ".join(repr(one.name) for one in self.compared.played)
        asked = self.compared.result["replications"]
        return f"<zdsim.Comparison of {names}: seeds {asked['first_seed']} to {asked['last_seed']}>"

    @cached_property
    def advice(self) -> list[Advice]:
        """One piece of advice for each aim, with its reason and its price."""
        from zdsim.report.compare_advice import advice

        return advice(self.compared.result)

    def summary(self) -> dict[str, Any]:
        """The result as `zdsim compare --json` prints it (plain JSON values, a copy to do with as you like)."""
        from zdsim.report.compare_advice import advice_json

        copy: dict[str, Any] = json_value({**self.compared.result, "advice": advice_json(self.advice)})
        return copy

    def table(self) -> pd.DataFrame:
        """One row a contender and replication; columns as in `compare.csv`, NaN where nothing was measured."""
        import pandas as pd

        keys = [one["key"] for one in self.compared.result["measures"]]
        rows = [
            {
                "contender": who.name,
                "seed": cell.seed,
                "requests": cell.total,
                "dropped_requests": cell.dropped,
                "outcome": cell.outcome,
                **{key: measured.get(key) for key in keys},
                "digest": cell.digest,
            }
            for who in self.compared.played
            for cell in who.cells
            for measured in (cell.values,)  # noqa: PD011  (no data frame)
        ]
        return pd.DataFrame(rows).astype(dict.fromkeys(keys, "float64"))

    def plot(self) -> Figure:
        """Every replication by measure, as one Matplotlib figure."""
        from zdsim.report.compare_figure import comparison

        return comparison(self.compared.result, self.compared.played)

    def save(self, folder: str | Path | None = None) -> Path:
        """Write the comparison's files (see README.md, "Compare").

        Args:
            folder: default `reports/compare-NAMES`. An earlier comparison there is replaced.

        Raises:
            ZdsimError: it cannot be written, or is a folder of something else.
        """
        from zdsim.report import compare_files

        names = [one.name for one in self.compared.played]
        target = compare_files.default_folder(names) if folder is None else Path(folder)
        compare_files.write_comparison(self.summary(), self.compared.played, self.advice, target)
        return target

    def _repr_markdown_(self) -> str:
        from zdsim.report.compare_markdown import compare_markdown

        return compare_markdown(self.compared.result, self.advice)

    def _repr_html_(self) -> str:
        from zdsim.report.compare_html import compare_html

        return compare_html(self.compared.result, self.compared.played, self.advice)


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
    scenario: str | Path | Loaded | Scenario,
    seed: int | None = None,
    *,
    plane: str = "auto",
    progress: Progress | None = None,
) -> Run:
    """Play a scenario once.

    Args:
        scenario: a file, or from `load_scenario`.
        seed: instead of the scenario's.
        plane: who plays the requests: `kernel`, `reference`, or `auto`.
        progress: called now and then with the share that is done.

    Raises:
        ZdsimError: the scenario cannot be loaded or played as asked.
    """
    from zdsim.run import simulate as play

    if isinstance(scenario, str | Path):
        from zdsim.scenario.load import load_scenario

        scenario = load_scenario(scenario)
    return Run(play(scenario, seed, plane=plane, progress=progress))


def compare(
    scenarios: str | Path | Sequence[str | Path] | Mapping[str, str | Path | Loaded | Scenario],
    *,
    strategies: Sequence[str] = (),
    variants: Mapping[str, Mapping[str, object]] | None = None,
    replications: int = 30,
    seed: int | None = None,
    baseline: bool = False,
    plane: str = "auto",
    jobs: int | None = 1,
    progress: Progress | None = None,
) -> Comparison:
    """Play several scenarios, or strategies or variants of one, under the same seeds.

    Args:
        scenarios: a file or several, or by name whatever `simulate` takes.
        strategies: of each file, instead of what it says: `rolling`, `recreate`, `blue_green`, `canary`.
        variants: of each file, beside the scenario itself: name -> {path: value}, as `-s` takes them.
        replications: seeds, `seed`, `seed + 1`, ...
        seed: of the first replication; None: the first scenario's.
        baseline: also play each service left alone, to tell what the deployment did.
        plane: who plays the requests: `kernel`, `reference`, or `auto`.
        jobs: processes; None: one a core. The result does not depend on it. More than one starts fresh interpreters,
            so a script needs `if __name__ == "__main__":`, as always with multiprocessing.
        progress: called now and then with the share that is done.

    Raises:
        ZdsimError: there are fewer than two contenders, or one cannot be played as asked.
    """
    from zdsim.experiment.compare import compare as play

    found = _contenders(scenarios, strategies, variants or {})
    return Comparison(
        play(
            found,
            replications=replications,
            seed=seed,
            plane=plane,
            baseline=baseline,
            workers=jobs,
            progress=progress,
        )
    )


def _contenders(
    scenarios: str | Path | Sequence[str | Path] | Mapping[str, str | Path | Loaded | Scenario],
    strategies: Sequence[str],
    variants: Mapping[str, Mapping[str, object]],
) -> list[Contender]:
    from zdsim.experiment import contenders
    from zdsim.scenario.load import Loaded, load_scenario

    if not isinstance(scenarios, Mapping):
        paths = [str(scenarios)] if isinstance(scenarios, str | Path) else [str(path) for path in scenarios]
        changed = [
            contenders.Variant(name, tuple(f"{path}={json.dumps(value)}" for path, value in changes.items()))
            for name, changes in variants.items()
        ]
        wanted = [*contenders.strategies(",".join(strategies)), *changed]
        return contenders.load_all(paths, variants=wanted, with_original=not strategies)
    if strategies or variants:
        raise ZdsimError("strategies and variants are made from files: give a file, or each as one of `scenarios`")
    found = []
    for name, one in scenarios.items():
        source = str(one) if isinstance(one, str | Path) else ""
        loaded = load_scenario(one) if isinstance(one, str | Path) else one
        found.append(contenders.Contender(name, loaded if isinstance(loaded, Loaded) else Loaded(loaded), source))
    if len(found) < 2:
        raise ZdsimError("a comparison needs two scenarios")
    return found


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
