"""The grid of a probe worker: pokes, slow calls, and that sleeping through ticks changes nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.cluster.clock import SharedClock
from zdsim.cluster.pod import Probe, ProcessModel, Spell
from zdsim.cluster.prober import Prober
from zdsim.cluster.probes import ProbeKind, ProbeSpec, Result, Seen, WorkerState
from zdsim.cluster.process import AppProcess

R, L = ProbeKind.READINESS, ProbeKind.LIVENESS


class Bench:
    """A worker, its container as the kubelet sees it, and a process."""

    def __init__(
        self,
        kind: ProbeKind,
        spec: ProbeSpec,
        model: ProcessModel,
        *,
        start_at: float = 0.0,
        deadlock_after_s: float | None = None,
        sleepless: bool = False,
    ) -> None:
        self.clock = SharedClock()
        self.seen = Seen(container=None, running=False)
        self.process: AppProcess | None = None
        self.updates: list[tuple[float, Result]] = []
        self.model = model
        self.prober = (Sleepless if sleepless else Prober)(
            self.clock,
            kind,
            Probe(spec),
            look=lambda: self.seen,
            process=lambda: self.process,
            on_update=lambda _, result, __: self.updates.append((self.clock.now, result)),
            next_ref=iter(range(10**9)).__next__,
        )
        self.clock.call_at(start_at, self.start)
        self.prober.start()

    def start(self) -> None:
        self.process = AppProcess(
            self.clock,
            None,
            0,
            self.model,
            startup_s=0.0,
            ready_delay_s=0.0,
            deadlock_after_s=None if self.model.deadlock_after is None else self.model.deadlock_after("deadlock", 0),
            on_end=lambda _: None,
            on_change=self.prober.wake,
        )
        self.see(Seen(container=0, running=True, started_at=self.clock.now))

    def see(self, seen: Seen) -> None:
        self.seen = seen
        self.prober.wake()


class Sleepless(Prober):
    """A worker that makes every tick."""

    def _rest(self, until: float, *, calls: bool) -> None:
        super()._rest(self._clock.now, calls=calls)


def test_ticks_come_every_period_from_the_start_of_the_worker() -> None:
    bench = Bench(R, ProbeSpec(period_s=3.0), ProcessModel(bad_spells={R: [Spell(0.0, 6.0)]}), start_at=1.0)
    bench.clock.run(until=20.0)
    assert bench.updates == [(3.0, Result.FAILURE), (9.0, Result.SUCCESS)]


def test_a_poke_probes_now_and_moves_the_grid() -> None:
    bench = Bench(R, ProbeSpec(period_s=10.0), ProcessModel(bad_spells={R: [Spell(0.0, 5.0)]}), start_at=1.0)
    bench.clock.call_at(2.5, bench.prober.poke)
    bench.clock.run(until=30.0)
    assert bench.updates == [(2.5, Result.FAILURE), (12.5, Result.SUCCESS)]


def test_a_hung_process_fails_by_timeout_and_missed_ticks_collapse_into_one() -> None:
    spec = ProbeSpec(period_s=1.0, timeout_s=2.5, failure_threshold=3)
    bench = Bench(L, spec, ProcessModel(deadlock_after=lambda stream, number: 0.5))
    bench.clock.run(until=30.0)
    # calls at 1.0, 3.5, 6.0: each made at once after the last, for a tick was missed meanwhile
    assert bench.updates == [(1.0, Result.SUCCESS), (8.5, Result.FAILURE)]
    assert bench.prober.calls == 3


def test_a_settled_worker_sleeps() -> None:
    bench = Bench(R, ProbeSpec(period_s=1.0), ProcessModel())
    bench.clock.run(until=1000.0)
    assert bench.prober.calls == 1
    assert bench.updates == [(1.0, Result.FAILURE), (1.0, Result.SUCCESS)]


def test_a_stopped_worker_is_silent() -> None:
    bench = Bench(R, ProbeSpec(period_s=1.0), ProcessModel(bad_spells={R: [Spell(4.0)]}))
    bench.clock.call_at(3.0, bench.prober.stop)
    bench.clock.run(until=30.0)
    assert bench.updates[-1] == (1.0, Result.SUCCESS)


EVENTS = st.lists(
    st.tuples(st.integers(1, 400), st.sampled_from(["poke", "restart", "die", "hang", "delete", "nothing"])), max_size=8
)


@given(
    st.sampled_from([R, L]),
    st.integers(1, 7),
    st.integers(1, 3),
    st.integers(0, 6),
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), max_size=3),
    EVENTS,
    st.integers(0, 30),
)
def test_sleeping_changes_nothing(
    kind: ProbeKind,
    period: int,
    threshold: int,
    delay: int,
    spells: list[tuple[int, int]],
    events: list[tuple[int, str]],
    start: int,
) -> None:
    """Every update at the same time, and the same state in the end, as with a worker that makes every tick."""

    def play(sleepless: bool) -> tuple[list[tuple[float, Result]], WorkerState]:
        success = threshold if kind is R else 1
        spec = ProbeSpec(
            period_s=period * 0.7, failure_threshold=threshold, success_threshold=success, initial_delay_s=delay
        )
        bad = tuple(Spell(a * 0.1, a * 0.1 + b * 0.1) for a, b in spells)
        bench = Bench(kind, spec, ProcessModel(bad_spells={kind: bad}), start_at=start * 0.1, sleepless=sleepless)

        def happen(what: str) -> None:
            if bench.process is None:
                return
            match what:
                case "poke":
                    bench.prober.poke()
                case "die":
                    bench.process.sigterm()
                    bench.see(replace(bench.seen, running=False))
                case "restart":
                    number = int(bench.seen.container or 0) + 1
                    bench.process.sigterm()
                    bench.start()
                    bench.see(replace(bench.seen, container=number))
                case "hang":
                    bench.process.hang()
                case "delete":
                    bench.see(replace(bench.seen, deleting=True))
                case _:
                    bench.prober.wake()

        for k, (at, what) in enumerate(events):
            # off every grid, also off one that an earlier poke began: at a shared instant the order of control
            # events decides, with or without sleep
            bench.clock.call_at(at * 0.1 + 0.0131 + 0.00017 * k, lambda what=what: happen(what))  # type: ignore[misc]
        bench.clock.run(until=60.0)
        bench.prober.wake()
        return bench.updates, bench.prober.state

    assert play(sleepless=False) == play(sleepless=True)


@pytest.mark.parametrize("kind", [R, L])
def test_the_initial_delay_is_waited_for_awake(kind: ProbeKind) -> None:
    bench = Bench(kind, ProbeSpec(period_s=2.0, initial_delay_s=5.0), ProcessModel(), start_at=0.9)
    bench.clock.run(until=30.0)
    assert bench.prober.state.run == 1 or bench.prober.calls == 1
    assert bench.prober.state.last is Result.SUCCESS
    assert bench.prober.calls == 1
