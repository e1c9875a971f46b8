"""What happens to the people using the service? `simulate` plays a scenario under a seed and tells.

The one place that wires the parts together: a request plane, a cluster, a release, faults and an operator, and beside
them, under the same seed, the same service left alone (the baseline that tells what the deployment did).
"""

import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata, util
from typing import Any, Final

import numpy as np

from zdsim.errors import ZdsimError
from zdsim.plane.config import PlaneConfig, PlaneRecord
from zdsim.plane.protocol import DataPlane
from zdsim.record import Event, EventKind, RollbackStages, RolloutFacts, RunRecord
from zdsim.run.fold import fold_pods, fold_rows
from zdsim.run.plane_config import longest_request_s, plane_config, revisions_of
from zdsim.run.story import events_of
from zdsim.run.world import World, lead_s
from zdsim.scenario.load import Loaded
from zdsim.scenario.model import Plane, Scenario

__all__ = ["choose_plane", "simulate"]

Progress = Callable[[float], None]
PACKAGES: Final = ("zdsim", "simpy", "numpy", "scipy", "pydantic", "numba")
STEP_S: Final = 1.0  # of the drain after the last arrival
SMALL: Final = 80_000  # requests that the reference plane plays sooner than a cold kernel is compiled
STEPS: Final = 200  # progress reports a run


def simulate(
    what: Loaded | Scenario, seed: int | None = None, *, plane: str = "auto", progress: Progress | None = None
) -> RunRecord:
    """Play a scenario.

    Args:
        what: a scenario, or what `load_scenario` gave.
        seed: None = the scenario's own.
        plane: "kernel", "reference" or "auto" (the scenario's choice, and where that is auto too the fastest there is).
        progress: told the share of the work done, 0 to 1.

    Returns:
        What the run left behind; the same scenario and seed leave the same.

    Raises:
        ZdsimError: the plane asked for does not exist here.
    """
    began = time.perf_counter()
    scenario = what.scenario if isinstance(what, Loaded) else what
    seed = scenario.run.seed if seed is None else seed
    runs = 2 if scenario.run.baseline and _disturbed(scenario) else 1
    wanted = scenario.run.plane.value if plane == "auto" else plane
    name, reason, make = choose_plane(wanted, requests=lambda: runs * _expected_requests(scenario, seed))
    tell = _shares(progress, runs)
    world, counts = _play(scenario, seed, make, tell(0), quiet=False)
    baseline = None
    if scenario.run.baseline:
        baseline = counts if runs == 1 else _play(scenario, seed, make, tell(1), quiet=True)[1]
    return _record(
        world, counts, baseline, seed=seed, plane=(name, reason), loaded=what, wall_s=time.perf_counter() - began
    )


def choose_plane(
    wanted: str, *, requests: Callable[[], float] = lambda: math.inf
) -> tuple[str, str, Callable[[PlaneConfig], DataPlane]]:
    """Name of a request plane, why that one, and how to make it.

    Args:
        wanted: kernel, reference or auto.
        requests: about how many will be played, asked only where it matters: a small run does not wait for the
            compiler, so where no compiled kernel is kept yet, auto takes the reference plane for it.

    Raises:
        ZdsimError: there is no such plane here.
    """
    if wanted not in {one.value for one in Plane}:
        raise ZdsimError(f"there is no request plane {wanted!r}; there are kernel, reference and auto")
    has_numba = util.find_spec("numba") is not None
    if wanted == Plane.KERNEL and not has_numba:
        raise ZdsimError("the kernel needs Numba, which is not installed here; use --plane reference")
    if wanted == Plane.REFERENCE or not has_numba:
        from zdsim.reference import ReferencePlane

        reason = "asked for" if wanted == Plane.REFERENCE else "Numba is not installed"
        return "reference", reason, ReferencePlane
    from zdsim.kernel import KernelPlane, is_compiled

    if wanted == Plane.AUTO and not is_compiled() and requests() <= SMALL:
        from zdsim.reference import ReferencePlane

        return "reference", "the kernel is not compiled yet, and this run is small", ReferencePlane
    return "kernel", "asked for" if wanted == Plane.KERNEL else "Numba is installed", KernelPlane


def digest_of(counts: PlaneRecord) -> str:
    """Fingerprint of a run: its integer counts, which both planes and all machines must agree on."""
    h = hashlib.blake2b(digest_size=16)
    for array in (counts.counts, counts.routed, counts.causes, counts.users, counts.pod_served, counts.latency):
        h.update(np.ascontiguousarray(array, dtype=np.int64).tobytes())
    h.update(f"{counts.started}/{counts.ended}/{counts.attempts}".encode())
    return h.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what computes the numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        if util.find_spec(package) is not None:
            found[package] = metadata.version(package)
    return found


def _expected_requests(scenario: Scenario, seed: int) -> float:
    """How many open requests to expect; infinite with closed users, whose number nobody can tell."""
    if scenario.traffic.closed is not None:
        return math.inf
    return plane_config(scenario, seed).traffic.expected


def _disturbed(scenario: Scenario) -> bool:
    return scenario.release is not None or bool(scenario.faults)


def _shares(progress: Progress | None, runs: int) -> Callable[[int], Progress]:
    """Progress of each of several runs as a share of all."""

    def of(run: int) -> Progress:
        def tell(share: float) -> None:
            if progress is not None:
                progress((run + share) / runs)

        return tell

    return of


def _play(
    scenario: Scenario, seed: int, make: Callable[[PlaneConfig], DataPlane], tell: Progress, *, quiet: bool
) -> tuple[World, PlaneRecord]:
    config = plane_config(scenario, seed, start_s=-lead_s(scenario), quiet=quiet)
    world = World(scenario, config, make(config), seed, quiet=quiet)
    end_s = scenario.run.duration_s
    for k in range(1, STEPS + 1):
        world.clock.run(until=end_s * k / STEPS if k < STEPS else end_s)
        tell(k / STEPS)
    # Nobody arrives any more; everybody gets an answer, or gives up.
    t, last = end_s, end_s + longest_request_s(scenario) + STEP_S
    while world.plane.open_requests and t < last:
        t += STEP_S
        world.clock.run(until=t)
    counts = world.plane.record()
    assert counts.started == counts.ended, f"{counts.started} requests began, {counts.ended} ended"
    return world, counts


def _record(
    world: World,
    counts: PlaneRecord,
    baseline: PlaneRecord | None,
    *,
    seed: int,
    plane: tuple[str, str],
    loaded: Loaded | Scenario,
    wall_s: float,
) -> RunRecord:
    scenario = world.scenario
    end_s = scenario.run.duration_s
    notices = [str(notice) for notice in loaded.notices] if isinstance(loaded, Loaded) else []
    if not world.settled:
        notices.append("the old revision was not at full strength when the first request arrived")
    bad = tuple(r for r, bug in enumerate(world.bugs) if bug is not None)
    rollback, rollout = _stages(world, counts, bad)
    templates = [one.template for one in revisions_of(scenario)]
    revisions = tuple(dict.fromkeys(templates))
    to = [revisions.index(one) for one in templates]
    pods = world.story.pods(end_s)
    events = events_of(world.journal, {life.name: f"pod/{life.name}" for life in pods})
    notices += _unfinished(rollout, events)
    return RunRecord(
        name=scenario.name,
        strategy=world.engine.strategy,
        seed=seed,
        plane=plane[0],
        plane_reason=plane[1],
        scenario=_dumped(scenario),
        versions=versions(),
        digest=digest_of(counts),
        duration_s=end_s,
        window_s=world.config.window_s,
        replicas=scenario.deployment.replicas,
        revisions=revisions,
        bad_revisions=tuple(dict.fromkeys(to[r] for r in bad)),
        classes=tuple(one.name for one in scenario.traffic.classes),
        revenue_per_request=tuple(one.conversion * one.revenue for one in scenario.traffic.classes),
        conversion_left=tuple(
            1.0 if (bug := world.bugs[to.index(k)]) is None else bug.conversion_factor for k in range(len(revisions))
        ),
        counts=fold_rows(counts, to),
        baseline=None if baseline is None else fold_rows(baseline, to),
        events=events,
        pods=fold_pods(pods, to),
        rollback=rollback,
        rollout=rollout,
        assumed=tuple(loaded.assumed) if isinstance(loaded, Loaded) else (),
        notices=tuple(notices),
        wall_s=wall_s,
    )


def _unfinished(rollout: RolloutFacts, events: Sequence[Event]) -> list[str]:
    """A rollout that was not over when the run ended: what it last said it waits for."""
    if rollout.outcome in ("none", "complete", "rolled back"):
        return []
    said = [event.message for event in events if event.kind is EventKind.CONDITION]
    last = f" ({said[-1]})" if said else ""
    return [f"the rollout was {rollout.outcome} when the run ended{last}: a longer run.duration shows how it goes on"]


def _stages(world: World, counts: PlaneRecord, bad: tuple[int, ...]) -> tuple[RollbackStages, RolloutFacts]:
    """Rollback by stage, and the rollout that it ended (or that went through)."""
    end_s, decided = world.scenario.run.duration_s, world.stage.decided_s
    onsets = [onset for r in bad if (onset := world.onset_s(r)) is not None]
    diverted = restored = None
    if decided is not None:
        restored = world.story.completed_after(decided, world.engine.wanted)
        restored = restored if restored is not None and restored <= end_s else None
        rows = revisions_of(world.scenario)
        left = [r for r, one in enumerate(rows) if one.exposes and one.template != world.engine.wanted]
        routed = [float(counts.last_routed[r]) for r in left if not np.isnan(counts.last_routed[r])]
        if routed and not any(world.in_view(r) for r in left):
            diverted = max(routed)
    stages = RollbackStages(
        onset_s=min(onsets, default=None),
        detected_s=world.stage.detected_s,
        decided_s=decided,
        diverted_s=diverted,
        restored_s=restored,
    )
    start = world.stage.released_s
    if start is None:
        return stages, world.story.rollout(None, None, "none", end_s)
    if decided is not None:
        outcome = "rolled back" if restored is not None else "rolling back"
        return stages, world.story.rollout(start, restored, outcome, end_s)
    done = world.story.completed_after(start, world.engine.wanted)
    done = done if done is not None and done <= end_s else None
    outcome = "complete" if done is not None else ("stuck" if world.engine.stuck else "progressing")
    return stages, world.story.rollout(start, done, outcome, end_s)


def _dumped(scenario: Scenario) -> Mapping[str, Any]:
    dumped: Mapping[str, Any] = json.loads(json.dumps(scenario.model_dump(mode="json")))
    return dumped
