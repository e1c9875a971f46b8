"""Does our node do what a recorded node did?

Every law below is one number of one pod with bounds that follow from the mechanism (a relist beat of about a second,
whole seconds, a probe's grid). It must hold for each recorded pod *and* for each of ours: the first keeps the bounds
honest, the second us. Where the number is not a matter of luck, the medians are compared as well (`close_s`).

What differs, and why:

- Recorded relists are 1.00 to 1.42 s apart on that loaded machine, ours 1.015 s always; a number that contains n beats
  may differ by n x 0.4 s in a single pod.
- One recorded pod in five of `ready_p2_delay5` was poked a third time, a beat later (which of two events the pod's
  worker hears first is a race there) and became ready one period after the others. Ours run that race one way only.
- Our status writes have the longer tail that the same node showed under load; a Ready may be seen 0.15 s late.
- A recorded container needed 0.3 to 0.5 s more to start again in the first seconds of `crash_after1`, when five pods
  started on the same two cores. Our start times do not depend on the neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from statistics import median

import pytest
from node_lab import Story, play, recorded_stories

from zdsim.cluster.latency import constant
from zdsim.cluster.pod import PodSpec, Probe, ProcessModel, Spell
from zdsim.cluster.probes import ProbeKind, ProbeSpec
from zdsim.cluster.termination import OnSigterm

R, L, S = ProbeKind.READINESS, ProbeKind.LIVENESS, ProbeKind.STARTUP
EXIT = ProcessModel(on_sigterm=OnSigterm.EXIT)
IGNORE = ProcessModel(on_sigterm=OnSigterm.IGNORE)
SEEDS = range(4)


def probe(**settings: float) -> Probe:
    return Probe(ProbeSpec(**settings))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Our version of a recorded scenario."""

    spec: PodSpec
    until: float
    spacing_s: float = 0.7
    grace_s: float = 30.0
    delete_after_s: float | None = None


READY_1 = {R: probe(period_s=1)}
SCENARIOS = {
    "noprobe_start2": Scenario(PodSpec(replace(EXIT, startup=constant(2.0))), until=5),
    "ready_p10_start3": Scenario(PodSpec(replace(EXIT, startup=constant(3.0)), {R: probe()}), until=30),
    "ready_p2_delay5": Scenario(PodSpec(replace(EXIT, ready_delay=constant(5.0)), {R: probe(period_s=2)}), until=20),
    "ready_flap_p2_f3_s2": Scenario(
        PodSpec(replace(EXIT, bad_spells={R: (Spell(11, 23),)}), {R: probe(period_s=2, success_threshold=2)}), until=40
    ),
    "live_p2_init3_f3_fail8": Scenario(
        PodSpec(replace(EXIT, bad_spells={L: (Spell(8),)}), {L: probe(period_s=2, initial_delay_s=3)}), until=57.5
    ),
    "startup_p2_f10_ok7_ready_p10_live_p5": Scenario(
        PodSpec(
            replace(EXIT, bad_spells={S: (Spell(0, 7),)}),
            {S: probe(period_s=2, failure_threshold=10), R: probe(), L: probe(period_s=5)},
        ),
        until=40,
    ),
    "term_during_startup_start30_g30": Scenario(
        PodSpec(replace(EXIT, startup=constant(30.0)), READY_1), until=10, delete_after_s=4.0
    ),
    "term_exit_g10_presleep4": Scenario(
        PodSpec(EXIT, READY_1, prestop_s=4.0), until=15, grace_s=10, delete_after_s=4.0
    ),
    "term_exit_g10_preexec4": Scenario(
        PodSpec(EXIT, READY_1, prestop_s=4.02), until=15, grace_s=10, delete_after_s=4.0
    ),
    "term_ignore_g5": Scenario(PodSpec(IGNORE, READY_1), until=15, grace_s=5, delete_after_s=4.0),
    "crash_after1": Scenario(PodSpec(replace(EXIT, crash_after=constant(1.0))), until=720, spacing_s=2.3),
    "crash_after10_ready_p2": Scenario(
        PodSpec(replace(EXIT, crash_after=constant(10.0)), {R: probe(period_s=2)}), until=450, spacing_s=2.3
    ),
}


@cache
def ours(scenario: str) -> tuple[Story, ...]:
    s = SCENARIOS[scenario]
    stories = (
        story
        for seed in SEEDS
        for story in play(
            s.spec,
            until=s.until,
            seed=seed,
            spacing_s=s.spacing_s,
            first_s=100.0,
            grace_s=s.grace_s,
            delete_after_s=s.delete_after_s,
        )
    )
    # One in seventy starts so shortly after a relist that it has crashed before the next one ever sees it run.
    return tuple(story for story in stories if len(story.starts) < 2 or story.ready()[0][0] < story.starts[1])


recorded = cache(recorded_stories)


def ready_after(story: Story) -> float:
    return next(t for t, ready in story.ready() if ready)


def deleted(story: Story) -> float:
    assert story.deleted is not None
    return story.deleted


def gone(story: Story) -> float:
    assert story.gone is not None
    return story.gone


@dataclass(frozen=True, slots=True)
class Law:
    """`low` <= number(story) <= `high`; medians of recording and simulation within `close_s` of each other."""

    scenario: str
    name: str
    number: Callable[[Story], float]
    low: float
    high: float
    close_s: float


LAWS = [
    Law("noprobe_start2", "process start", lambda s: s.starts[0], 0.42, 0.98, 0.1),
    Law(
        "noprobe_start2", "running is seen within a beat of the start", lambda s: s.running - s.starts[0], 0, 1.15, 0.4
    ),
    Law("noprobe_start2", "ready at once, listening or not", lambda s: ready_after(s) - s.running, 0, 0, 0),
    # a poke one beat after the first attempt, then a period of 10 s from there
    Law(
        "ready_p10_start3",
        "ready a beat and a period after running",
        lambda s: ready_after(s) - s.running,
        10.8,
        11.6,
        0.2,
    ),
    Law("ready_p2_delay5", "the grid begins with the second poke", lambda s: ready_after(s) - s.starts[0], 5, 7.1, 0.7),
    Law("ready_flap_p2_f3_s2", "two successes, a beat apart", lambda s: ready_after(s) - s.running, 0.8, 1.25, 0.05),
    Law("ready_flap_p2_f3_s2", "three failures", lambda s: s.ready()[1][0] - ready_after(s), 13.8, 14.2, 0.05),
    Law("ready_flap_p2_f3_s2", "back by two successes", lambda s: s.ready()[2][0] - s.ready()[1][0], 9.8, 10.2, 0.05),
    # the worker's grid begins about 0.31 s after the pod was created, and restarts do not move it
    Law("live_p2_init3_f3_fail8", "first kill", lambda s: s.ends[0][0], 14.3, 14.5, 0.1),
    Law(
        "live_p2_init3_f3_fail8",
        "second kill on the same grid",
        lambda s: s.ends[1][0] - s.ends[0][0],
        13.9,
        14.1,
        0.03,
    ),
    Law(
        "live_p2_init3_f3_fail8",
        "third kill on the same grid",
        lambda s: s.ends[2][0] - s.ends[1][0],
        13.9,
        14.1,
        0.03,
    ),
    Law("live_p2_init3_f3_fail8", "restarted in the same sync", lambda s: s.starts[1] - s.ends[0][0], 0.05, 0.4, 0.1),
    Law("live_p2_init3_f3_fail8", "again at once", lambda s: s.starts[3] - s.ends[2][0], 0.05, 0.4, 0.1),
    Law("live_p2_init3_f3_fail8", "the fourth is caught by back-off", lambda s: len(s.starts), 4, 4, 0),
    Law("live_p2_init3_f3_fail8", "stays Ready while it restarts", lambda s: len(s.ready()), 2, 2, 0),
    Law("startup_p2_f10_ok7_ready_p10_live_p5", "ready follows startup at once", ready_after, 8.3, 8.55, 0.1),
    Law("startup_p2_f10_ok7_ready_p10_live_p5", "and stays", lambda s: len(s.ready()), 1, 1, 0),
    Law("term_during_startup_start30_g30", "SIGTERM at once", lambda s: s.ends[0][0] - deleted(s), 0, 0.1, 0.05),
    Law("term_during_startup_start30_g30", "gone at a later beat", lambda s: gone(s) - s.ends[0][0], 0.13, 1.4, 0.5),
    Law("term_during_startup_start30_g30", "exit code", lambda s: s.ends[0][1], 0, 0, 0),
    # a sync shortly before the deletion makes the kill wait for the next relist
    Law("term_exit_g10_presleep4", "SIGTERM after the hook", lambda s: s.ends[0][0] - deleted(s), 4, 5.1, 0.5),
    Law("term_exit_g10_presleep4", "gone at a later beat", lambda s: gone(s) - s.ends[0][0], 0.13, 1.4, 0.5),
    Law("term_exit_g10_preexec4", "SIGTERM after the hook", lambda s: s.ends[0][0] - deleted(s), 4, 5.1, 0.5),
    Law("term_exit_g10_preexec4", "exit code", lambda s: s.ends[0][1], 0, 0, 0),
    Law("term_ignore_g5", "SIGKILL at the end of grace", lambda s: s.ends[0][0] - deleted(s), 5, 6.1, 0.5),
    Law("term_ignore_g5", "exit code", lambda s: s.ends[0][1], 137, 137, 0),
    Law("term_ignore_g5", "gone at a later beat", lambda s: gone(s) - s.ends[0][0], 0.13, 1.4, 0.5),
    *(
        Law("crash_after1", f"restart {k + 1}", lambda s, k=k: s.starts[k + 1] - s.ends[k][0], least, most, 8.0)
        for k, (least, most) in enumerate(
            [(0.1, 1.6), (10, 18.5), (20, 36.5), (40, 56.5), (80, 96.5), (160, 176.5), (300, 316.5)]
        )
    ),
    *(
        Law(
            "crash_after10_ready_p2",
            f"restart {k + 1}",
            lambda s, k=k: s.starts[k + 1] - s.ends[k][0],
            least,
            most,
            5.0,
        )
        for k, (least, most) in enumerate([(0.1, 1.6), (10, 18.5), (20, 36.5), (40, 56.5), (80, 96.5)])
    ),
    Law("crash_after1", "the crash is seen within a beat", lambda s: s.ready()[1][0] - s.ends[0][0], 0, 1.1, 0.5),
    Law("crash_after1", "exit code", lambda s: s.ends[0][1], 1, 1, 0),
    Law(
        "crash_after10_ready_p2",
        "ready again a beat after the start",
        lambda s: s.ready()[2][0] - s.starts[1],
        0,
        1.2,
        0.4,
    ),
]


@pytest.mark.parametrize("law", LAWS, ids=[f"{law.scenario}: {law.name}" for law in LAWS])
def test_law(law: Law) -> None:
    theirs = [law.number(story) for story in recorded(law.scenario)]
    mine = [law.number(story) for story in ours(law.scenario)]
    slack = 1e-6
    assert all(law.low - slack <= x <= law.high + slack for x in theirs), f"recorded: {theirs}"
    assert all(law.low - slack <= x <= law.high + slack for x in mine), f"ours: {mine}"
    assert abs(median(theirs) - median(mine)) <= law.close_s + slack, f"medians of {theirs} and {mine}"


def test_every_recorded_scenario_is_played() -> None:
    assert set(SCENARIOS) == {law.scenario for law in LAWS}


def test_status_of_a_crash_loop_reads_as_recorded() -> None:
    """Running and ready for each life, not ready in between, restarts counted when the new instance is seen."""

    def shape(story: Story) -> list[tuple[bool, int]]:
        rows = [(ready, restarts) for _, phase, ready, restarts in story.status if phase == "Running"]
        return [row for k, row in enumerate(rows) if k == 0 or row != rows[k - 1]][:8]

    assert {tuple(shape(s)) for s in ours("crash_after1")} == {tuple(shape(s)) for s in recorded("crash_after1")}
