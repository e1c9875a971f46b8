"""When does a probe worker tick?

The worker's clock starts when the kubelet starts the worker, not when the container starts, and it keeps that grid
over restarts; only a poke moves it. While a slow call is under way, ticks collapse into one, made at once afterwards.

A worker whose next ticks provably change nothing sleeps: its container cannot be probed until the kubelet's view of it
changes, or its verdict is settled and the process said until when its answer stays the same. Waking up, it is on the
same grid and has counted the ticks it slept through. A thousand healthy pods then cost next to nothing.

Source: Kubernetes `pkg/kubelet/prober/worker.go` (`worker.run`), `prober_manager.go` (`UpdatePodStatus`).
"""

from collections.abc import Callable
from math import floor, inf

from zdsim.cluster.clock import SharedClock
from zdsim.cluster.pod import Probe
from zdsim.cluster.probes import (
    Call,
    ProbeKind,
    Result,
    Seen,
    WorkerState,
    begin_tick,
    end_tick,
    is_settled,
    skip_ticks,
    whole_seconds_since,
)
from zdsim.cluster.process import AppProcess
from zdsim.plane.protocol import Signal
from zdsim.plane.vocabulary import ProbeAnswer, SignalKind


class Prober:
    """One probe worker of one pod.

    Args:
        look: the container as the kubelet last wrote it.
        process: the instance that would answer, or None.
        on_update: told of every change of the cached result, and whether calls made it change (or a new container).
        next_ref: gives a number that no other shared-lane call has.
    """

    def __init__(
        self,
        clock: SharedClock,
        kind: ProbeKind,
        probe: Probe,
        *,
        look: Callable[[], Seen],
        process: Callable[[], AppProcess | None],
        on_update: Callable[[ProbeKind, Result, bool], None],
        next_ref: Callable[[], int],
    ) -> None:
        self.kind, self.probe, self.state = kind, probe, WorkerState()
        self.calls = 0  # made, without those slept through
        self._clock, self._look, self._process = clock, look, process
        self._on_update, self._next_ref = on_update, next_ref
        self._origin = clock.now  # of the grid
        self._last_tick = clock.now
        self._token = 0  # of the only timer that counts
        self._ended = self._ticking = self._calling = self._asleep = False
        self._tick_waits = self._poke_waits = self._woken = False
        self._settled: Call | None = None  # how the last call ended, if that settled the verdict
        self._sleeping_calls = False  # the ticks slept through would have been calls
        self._pending = -1  # reference of the call under way

    def start(self) -> None:
        """The first tick; the grid begins here."""
        self._origin = self._clock.now
        self._tick()

    def poke(self) -> None:
        """Probe now, and count the period from here."""
        if self._ended or self._ticking:
            return
        if self._calling:
            self._poke_waits, self._tick_waits = True, False
            return
        self._catch_up()
        self._origin = self._clock.now
        self._tick()

    def wake(self) -> None:
        """What the worker sees may have changed: go on ticking."""
        self._woken = True
        if self._asleep and not self._ended:
            self._catch_up()
            self._arm(self._clock.now)

    def stop(self) -> None:
        """No tick any more."""
        self._ended = True

    def result_for(self, container: int | str | None) -> Result | None:
        """The cached result of an instance, None if this worker knows nothing about it (`results.Manager.Get`)."""
        return self.state.cache if container is not None and container == self.state.container else None

    # --- ticks ---------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self._clock.now
        self._last_tick, self._ticking, self._woken, self._settled = now, True, False, None
        seen = self._look()
        tick = begin_tick(self.kind, self.probe.spec, self.state, seen, now)
        self.state, self._ended = tick.state, tick.ends
        self._report(tick.updates, counted=False)
        self._ticking = False
        if self._ended:
            return
        if tick.probe:
            self._call()
            return
        delayed = seen.running and whole_seconds_since(seen.started_at, now) < self.probe.spec.initial_delay_s
        self._rest(now if delayed or self._woken else inf, calls=False)

    def _call(self) -> None:
        self.calls += 1
        process, ref = self._process(), self._next_ref()
        self._take(process.answer(self.kind, self.probe, ref) if process is not None else ProbeAnswer.FAIL, ref)

    def _call_again(self, settled: Call) -> None:
        """A tick of a worker whose last one settled, with nothing changed since: only the answer can be new."""
        process, ref = self._process(), self._next_ref()
        answer = process.answer(self.kind, self.probe, ref) if process is not None else ProbeAnswer.FAIL
        self.calls += 1
        self._last_tick = self._clock.now
        if answer is (ProbeAnswer.OK if settled is Call.SUCCESS else ProbeAnswer.FAIL):
            self.state = skip_ticks(self.state, 1)
            self._rest(self._unchanged_until(process, settled), calls=True)
        else:
            self._take(answer, ref)

    def _take(self, answer: ProbeAnswer, ref: int) -> None:
        match answer:
            case ProbeAnswer.OK:
                self._answered(Call.SUCCESS)
            case ProbeAnswer.FAIL:
                self._answered(Call.FAILURE)
            case ProbeAnswer.NO_ANSWER | ProbeAnswer.PENDING:
                self._wait_for_answer(ref)

    def _wait_for_answer(self, ref: int) -> None:
        self._calling = True
        self._arm(self._clock.now)

        def done(call: Call) -> None:
            if self._calling and self._pending == ref:
                self._calling = False
                self._clock.off_signal(SignalKind.PROBE_DONE, ref)
                if not self._ended:
                    self._answered(call, late=True)

        def signalled(signal: Signal) -> None:
            done(Call.SUCCESS if signal.ok else Call.FAILURE)

        self._pending = ref
        self._clock.on_signal(SignalKind.PROBE_DONE, ref, signalled)
        self._clock.call_in(self.probe.spec.timeout_s, lambda: done(Call.FAILURE))

    def _answered(self, call: Call, *, late: bool = False) -> None:
        self._ticking = True
        tick = end_tick(self.kind, self.probe.spec, self.state, call)
        self.state = tick.state
        self._report(tick.updates, counted=True)
        self._ticking = False
        self._settled = call if is_settled(self.kind, self.probe.spec, self.state, call) else None
        if self._poke_waits or self._tick_waits:
            poked, self._poke_waits, self._tick_waits = self._poke_waits, False, False
            if poked:
                self._origin = self._clock.now
            self._tick()
        elif not late:
            again = self._woken or self._settled is None
            self._rest(self._clock.now if again else self._unchanged_until(self._process(), call), calls=True)

    def _unchanged_until(self, process: AppProcess | None, call: Call) -> float:
        if process is None:
            return self._clock.now
        return process.next_change(self.kind, self.probe, ok=call is Call.SUCCESS)

    def _report(self, updates: tuple[Result, ...], *, counted: bool) -> None:
        for result in updates:
            self._on_update(self.kind, result, counted)

    # --- the grid ------------------------------------------------------------------------------------------------

    def _rest(self, until: float, *, calls: bool) -> None:
        """Sleep until the first tick at or after `until`, or, if that is never, until woken."""
        self._token += 1
        self._asleep, self._sleeping_calls = until > self._clock.now, calls
        if until < inf:
            self._arm(until)

    def _arm(self, not_before: float) -> None:
        """Set the timer to the first tick of the grid after the last one and not before `not_before`."""
        k = self._index(self._last_tick) + 1
        if not_before > self._at(k):
            k = self._index(not_before)
            k += self._at(k) < not_before
        self._token += 1
        token = self._token
        self._clock.call_at(self._at(k), lambda: self._timer(token))

    def _at(self, k: int) -> float:
        return self._origin + k * self.probe.spec.period_s

    def _index(self, time: float) -> int:
        """Index of the last tick of the grid at or before `time`."""
        k = floor((time - self._origin) / self.probe.spec.period_s) + 1
        while self._at(k) > time:
            k -= 1
        return k

    def _timer(self, token: int) -> None:
        if self._ended or token != self._token:
            return
        if self._calling:
            self._last_tick, self._tick_waits = self._clock.now, not self._poke_waits
            self._arm(self._clock.now)
            return
        self._catch_up()
        if self._settled is not None and not self._woken and not self.state.hold:
            self._call_again(self._settled)
        else:
            self._tick()

    def _catch_up(self) -> None:
        """Count the ticks slept through, up to but not including now."""
        if not self._asleep:
            return
        self._asleep = False
        last, now = self._index(self._last_tick), self._clock.now
        slept_until = self._index(now)
        slept_until -= self._at(slept_until) == now
        if slept_until > last:
            self._last_tick = self._at(slept_until)
            if self._sleeping_calls:
                self.state = skip_ticks(self.state, slept_until - last)
