"""What does one instance of the application process do between its start and its end?

It starts, listens, answers probes, perhaps hangs or crashes, and ends when it is told to: each in its own way. The
request plane is told of every step; without one the process keeps its own simple truth, which is all that probes need.

Rejected: a SimPy process waiting on five things at once at every stage. Whatever happens here is an answer to a signal
or to a clock, so callbacks that check `alive` say it in fewer words and cost a third.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import assert_never

from zdsim.cluster.clock import SharedClock
from zdsim.cluster.pod import Probe, ProbeLane, ProcessModel
from zdsim.cluster.probes import ProbeKind
from zdsim.cluster.termination import EXIT_CRASH, EXIT_SIGKILL, EndReason, OnSigterm, exit_code
from zdsim.plane.protocol import DataPlane, Signal
from zdsim.plane.vocabulary import Cause, ProbeAnswer, ProbeDepth, SignalKind


@dataclass(frozen=True, slots=True)
class Ended:
    """How an instance ended. `cut_off` counts the attempts whose clients saw it; None without a request plane."""

    at: float
    reason: EndReason
    exit_code: int
    cause: Cause
    cut_off: int | None


def _nothing() -> None:
    pass


class AppProcess:
    """One instance of a pod's main container.

    Args:
        clock, plane: the world; `plane` may be None.
        row: the pod's row in the plane.
        model: how the process behaves.
        startup_s, ready_delay_s, crash_after_s, deadlock_after_s: this instance's luck.
        close_s: from its own exit until the kernel has closed its sockets.
        on_listen: called when it begins to listen.
        on_end: called once, when the process has ended.
        on_change: called when its answer to a probe may have changed.
    """

    def __init__(
        self,
        clock: SharedClock,
        plane: DataPlane | None,
        row: int,
        model: ProcessModel,
        *,
        startup_s: float,
        ready_delay_s: float,
        crash_after_s: float | None = None,
        deadlock_after_s: float | None = None,
        close_s: float = 0.0,
        on_listen: Callable[[], None] = _nothing,
        on_end: Callable[[Ended], None],
        on_change: Callable[[], None],
    ) -> None:
        self.started_at = clock.now
        self.ended: Ended | None = None
        self.listening = self.accepting = self.hung = self.asked_to_end = False
        self._clock, self._plane, self._row, self._model = clock, plane, row, model
        self._ready_at = self.started_at + startup_s + ready_delay_s
        self._cut_cause = Cause.EXITED_AT_SIGTERM
        self._deadlock_after_s, self._close_s = deadlock_after_s, close_s
        self._on_listen, self._on_end, self._on_change = on_listen, on_end, on_change
        clock.call_in(startup_s, self._listen)
        if crash_after_s is not None:
            clock.call_in(crash_after_s, self._crash)

    @property
    def alive(self) -> bool:
        return self.ended is None

    def answer(self, kind: ProbeKind, probe: Probe, ref: int) -> ProbeAnswer:
        """What a probe call gets now; PENDING is followed by a PROBE_DONE signal with `ref`."""
        if not self.accepting:
            return ProbeAnswer.FAIL
        if self.hung:
            return ProbeAnswer.NO_ANSWER
        now = self._clock.now
        spells = self._model.bad_spells.get(kind)
        if spells and any(spell.start_s <= now - self.started_at < spell.end_s for spell in spells):
            return ProbeAnswer.FAIL
        if kind is ProbeKind.READINESS and now < self._ready_at:
            return ProbeAnswer.FAIL
        if self._plane is None:
            return ProbeAnswer.OK
        return self._plane.probe(self._row, probe.depth, now, shared=probe.lane is ProbeLane.SHARED, ref=ref)

    def next_change(self, kind: ProbeKind, probe: Probe, *, ok: bool) -> float:
        """Until when the answer just given stays what it is unless `on_change` says otherwise; now if nobody can tell.

        Once warm, a process stays warm; a database may come and go at any time.
        """
        now = self._clock.now
        lasting = probe.depth is ProbeDepth.PROCESS or (probe.depth is ProbeDepth.WARM and ok)
        if probe.lane is not ProbeLane.OWN or not lasting:
            return now
        edges = [self.started_at + edge for s in self._model.bad_spells.get(kind, ()) for edge in (s.start_s, s.end_s)]
        if kind is ProbeKind.READINESS:
            edges.append(self._ready_at)
        return min((edge for edge in edges if edge > now), default=inf)

    def sigterm(self, cause: Cause = Cause.EXITED_AT_SIGTERM) -> None:
        """SIGTERM. A second one changes nothing. `cause`: what to tell of the requests that this cuts off."""
        if not self.alive or self.asked_to_end:
            return
        self.asked_to_end, self._cut_cause = True, cause
        if self._model.sigterm_ignored():
            return
        match self._model.on_sigterm:
            case OnSigterm.IGNORE:
                pass
            case OnSigterm.EXIT:
                self._exit(
                    EndReason.EXITED, exit_code(OnSigterm.EXIT, in_time=True, handled=self._model.handles_sigterm)
                )
            case OnSigterm.DRAIN:
                self._drain()
            case OnSigterm.LAME_DUCK:
                if self.listening and self._model.close_on_drain and self._plane is not None:
                    self._plane.set_closing(self._row, self._clock.now, closing=True)
                if self.listening:
                    self._clock.call_in(self._model.lame_duck_s, self._drain)
                else:
                    self._drain()
            case _:
                assert_never(self._model.on_sigterm)

    def sigkill(self, cause: Cause) -> None:
        """SIGKILL: the end, whatever is in flight."""
        if self.alive:
            self._cut_cause = cause
            reason = EndReason.OOM_KILLED if cause is Cause.OOM_KILLED else EndReason.KILLED
            self._end(reason, EXIT_SIGKILL)

    def hang(self) -> None:
        """Deadlock: connections are accepted and nothing is ever answered."""
        if not self.alive or not self.listening or self.hung:
            return
        self.hung = True
        if self._plane is not None:
            self._plane.hang(self._row, self._clock.now)
        self._on_change()

    def _listen(self) -> None:
        if not self.alive:
            return
        self.listening = self.accepting = True
        if self._plane is not None:
            self._plane.start_process(self._row, self._clock.now, memory_requests=self._model.memory_requests)
            if self._model.memory_requests > 0:
                self._clock.on_signal(SignalKind.MEMORY, self._row, self._out_of_memory)
        if self._deadlock_after_s is not None:
            self._clock.call_in(self._deadlock_after_s, self.hang)
        self._on_listen()
        self._on_change()

    def _drain(self) -> None:
        if not self.alive:
            return
        idle = not self.hung
        if self.listening:
            self.accepting = False
            if self._plane is not None:
                self._clock.on_signal(SignalKind.IDLE, self._row, self._idle)
                idle = self._plane.stop_accepting(self._row, self._clock.now)
        if idle:
            self._end(EndReason.DRAINED, exit_code(OnSigterm.DRAIN, in_time=True))
        else:
            self._on_change()

    def _idle(self, _: Signal) -> None:
        self._end(EndReason.DRAINED, exit_code(OnSigterm.DRAIN, in_time=True))

    def _crash(self) -> None:
        if self.alive:
            self._cut_cause = Cause.CRASHED
            self._exit(EndReason.CRASHED, EXIT_CRASH)

    def _out_of_memory(self, _: Signal) -> None:
        self.sigkill(Cause.OOM_KILLED)

    def _exit(self, reason: EndReason, code: int) -> None:
        """Nothing is answered any more; what still comes in until the sockets are closed is reset with the rest."""
        if not self.listening or self._plane is None or self._close_s == 0.0:
            self._end(reason, code)
            return
        self.hang()
        self._clock.call_in(self._close_s, lambda: self._end(reason, code) if self.alive else None)

    def _end(self, reason: EndReason, code: int) -> None:
        now, cut_off = self._clock.now, None
        self.listening = self.accepting = False
        if self._plane is not None:
            self._clock.off_signal(SignalKind.IDLE, self._row)
            self._clock.off_signal(SignalKind.MEMORY, self._row)
            cut_off = self._plane.end_process(self._row, now, self._cut_cause)
        self.ended = Ended(now, reason, code, self._cut_cause, cut_off)
        self._on_end(self.ended)
        self._on_change()
