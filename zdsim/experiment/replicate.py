"""How are many cells (a scenario under a seed) played, on every core, with the same answer as on one?

Each cell is a function of its scenario and seed alone, so who plays it and when changes nothing. A finished run is
reduced to a `Cell` where it was played: memory does not grow with replications. Processes, not threads: the
control plane is Python. They are spawned, so a script that asks for more than one worker needs the usual
`if __name__ == "__main__":`.

Cells go out seed by seed, so that whoever interrupts keeps whole rows of the comparison: `play` then returns the seeds
that every scenario finished.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

from zdsim.errors import ZdsimError
from zdsim.measure.comparison import Cell, cell_of
from zdsim.run import choose_plane, simulate
from zdsim.scenario.model import Scenario

Progress = Callable[[float], None]
MAX_SEED = 2**63 - 1
WARM_UP = {
    "name": "warm-up",
    "service": {"deployment": {"replicas": 1}},
    "traffic": {"open": {"rate": "5/s"}},
    "release": None,
    "run": {"duration": "1s", "baseline": False},
}


class _Stop(Protocol):
    """An event of threads or of processes."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Replications:
    """Finished cells, by scenario in the order given and by seed."""

    cells: tuple[tuple[Cell, ...], ...]  # [scenario][replication]; every scenario has the same seeds
    asked: int
    interrupted: bool


def seeds_of(first: int, n: int) -> range:
    """Seeds of `n` replications: the first, and the whole numbers after it.

    Raises:
        ZdsimError: they do not fit.
    """
    if n < 1:
        raise ZdsimError(f"replications must be at least 1; got {n}")
    if first + n - 1 > MAX_SEED:
        raise ZdsimError(f"{n} replications from seed {first} pass the largest seed, {MAX_SEED}")
    return range(first, first + n)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def play(
    scenarios: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    *,
    names: Sequence[str],
    plane: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Replications:
    """Every scenario under every seed.

    Args:
        scenarios: as `Scenario.model_dump(mode="json")` writes them.
        seeds: at least one.
        names: of the scenarios, for messages.
        plane: as in `simulate`.
        workers: processes; None = one a core; 1 = this process.
        progress: told the share of cells that are done.

    Returns:
        The same for any number of workers.

    Raises:
        ZdsimError: a scenario cannot be played.
        KeyboardInterrupt: interrupted before every scenario finished one common seed.
    """
    jobs = [(which, seed) for seed in seeds for which in range(len(scenarios))]
    n_workers = min(len(jobs), cores() if workers is None else max(1, workers))
    done: dict[tuple[int, int], Cell] = {}
    interrupted = False
    finished = _here if n_workers == 1 else _beside
    try:
        # Compile the kernel once, or load it: workers that start now find it in the cache.
        if any(_plane(one, plane) == "kernel" for one in scenarios):
            simulate(Scenario.model_validate(WARM_UP), 0, plane="kernel")
        with contextlib.closing(finished(scenarios, jobs, plane, n_workers)) as results:
            for job, found in results:
                if isinstance(found, str):
                    raise ZdsimError(f"{names[job[0]]}, seed {job[1]}: {found}")
                done[job] = found
                if progress is not None:
                    progress(len(done) / len(jobs))
    except KeyboardInterrupt:
        interrupted = True
    whole = [seed for seed in seeds if all((which, seed) in done for which in range(len(scenarios)))]
    if not whole:
        raise KeyboardInterrupt
    rows = tuple(tuple(done[which, seed] for seed in whole) for which in range(len(scenarios)))
    return Replications(rows, len(seeds), interrupted)


_Job = tuple[int, int]  # which scenario, which seed
_Results = Generator[tuple[_Job, Cell | str], None, None]  # a text: why it cannot be played


def _here(scenarios: Sequence[Mapping[str, Any]], jobs: Sequence[_Job], plane: str, _: int) -> _Results:
    _begin(scenarios, plane, threading.Event())
    for job in jobs:
        yield job, _cell(job)


def _beside(scenarios: Sequence[Mapping[str, Any]], jobs: Sequence[_Job], plane: str, n_workers: int) -> _Results:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(n_workers, context, _begin_beside, (tuple(scenarios), plane, stop))
    try:
        open_: dict[Future[Cell | str], _Job] = {pool.submit(_cell, job): job for job in jobs}
        while open_:
            for future in wait(open_, return_when=FIRST_COMPLETED).done:
                yield open_.pop(future), future.result()
    finally:
        # Whatever ended this: runs that have begun end at their next step, others never begin.
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _begin_beside(scenarios: Sequence[Mapping[str, Any]], plane: str, stop: _Stop) -> None:
    # Ctrl-C reaches every process of a terminal; the one that was started by a person answers for all.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _begin(scenarios, plane, stop)


class _Desk:
    """What a worker was given when it began; set once, before its first cell."""

    scenarios: tuple[Scenario, ...] = ()
    plane: str = "auto"
    stop: _Stop = threading.Event()


def _begin(scenarios: Sequence[Mapping[str, Any]], plane: str, stop: _Stop) -> None:
    _Desk.scenarios = tuple(Scenario.model_validate(one) for one in scenarios)
    _Desk.plane, _Desk.stop = plane, stop


class _Stopped(Exception):  # noqa: N818  (nothing went wrong)
    """Nobody wants this cell any more."""


def _cell(job: _Job) -> Cell | str:
    which, seed = job
    try:
        return cell_of(simulate(_Desk.scenarios[which], seed, plane=_Desk.plane, progress=_look_up))
    except _Stopped:
        return "stopped"
    except ZdsimError as error:
        return str(error)


def _look_up(_: float) -> None:
    if _Desk.stop.is_set():
        raise _Stopped


def _plane(scenario: Mapping[str, Any], plane: str) -> str:
    """Who will play a scenario."""
    return choose_plane(scenario["run"]["plane"] if plane == "auto" else plane)[0]
