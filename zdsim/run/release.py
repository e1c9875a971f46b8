"""What do people do to the release while it goes on?

The release itself, rollovers, scaling, pauses and undos at their times, and the operator who watches and rolls back.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

import simpy

from zdsim.cluster.journal import EntryKind
from zdsim.rollout.operator import AlertRule, Operator, look, watch
from zdsim.run.engine import RefusedError
from zdsim.scenario import release as words

if TYPE_CHECKING:
    from zdsim.run.world import World


class Stage:
    """Plays the release of a world's scenario, and keeps when its stages came.

    Attributes:
        released_s: when the first new template was applied.
        detected_s: the first failing verdict of the streak that led to a decision.
        decided_s: when somebody first decided to go back.
    """

    def __init__(self, world: World) -> None:
        self.released_s: float | None = None
        self.detected_s: float | None = None
        self.decided_s: float | None = None
        self._world = world

    def set(self) -> None:
        """Put everything on the clock; the world must be complete."""
        world = self._world
        release = world.scenario.release
        if release is None or world.quiet:
            return
        at = world.clock.call_at
        at(release.at_s, lambda: self._release(1, template_changed=release.template_changed))
        for k, rollover in enumerate(release.then):
            at(rollover.at_s, partial(self._release, k + 2, template_changed=True))
        for step in release.scale:
            at(step.at_s, partial(self._scale, step.replicas))
        if release.pause_at_s is not None:
            at(release.pause_at_s, lambda: self._pause(paused=True))
        if release.resume_at_s is not None:
            at(release.resume_at_s, lambda: self._pause(paused=False))
        if release.undo_at_s is not None:
            at(release.undo_at_s, self._undo)
        for action, times in release.actions.items():
            for at_s in times:
                at(at_s, partial(self._human, action.removesuffix("_at")))
        operator = release.rollback.operator
        if operator is not None and len(world.bugs) > 1:
            reaction_s = world.luck.draw(operator.reaction, "operator/reaction", 0)
            world.clock.process(self._operate(release.at_s, _rule(operator.alert), reaction_s))

    def tell(self, stage: str, reason: str, message: str) -> None:
        """A stage of a rollback was reached, or an alert changed."""
        now = self._world.clock.now
        if stage == "detected":
            self.detected_s = now
        elif stage == "cleared":
            self.detected_s = None
        kind = EntryKind.ROLLBACK if stage in ("detected", "decided") else EntryKind.ALERT
        self._world.journal.write(now, kind, self._world.subject, stage.capitalize(), message, rule=reason)

    def decided(self, how: str = "") -> None:
        """Somebody, or the analysis, decided to go back; the first time counts."""
        if self.decided_s is None:
            self.decided_s = self._world.clock.now
            if how:
                self._world.journal.write(
                    self._world.clock.now, EntryKind.ROLLBACK, self._world.subject, "Decided", how
                )

    def _operate(self, from_s: float, rule: AlertRule, reaction_s: float) -> Generator[simpy.Event, Any, None]:
        """The operator begins to look when the release begins."""
        world = self._world
        yield world.clock.at(from_s)
        config = world.config
        yield from watch(
            world.clock,
            Operator(
                rule=rule,
                reaction_s=reaction_s,
                look=lambda now: look(
                    world.plane.record(),
                    now=now,
                    window_s=rule.window_s,
                    width_s=config.window_s,
                    new=config.exposing,
                ),
                undo=self._undo,
                tell=self.tell,
            ),
        )

    def _release(self, n: int, *, template_changed: bool) -> None:
        if self.released_s is None:
            self.released_s = self._world.clock.now
        self._act("Release", self._world.engine.release(n, template_changed=template_changed))

    def _scale(self, replicas: int) -> None:
        self._act("Scale", self._world.engine.scale(replicas))

    def _pause(self, *, paused: bool) -> None:
        self._act("Pause" if paused else "Resume", f"rollout {'paused' if paused else 'resumed'}")
        self._world.engine.pause(paused=paused)

    def _human(self, action: str) -> None:
        """Promote, promote_full, abort or retry."""
        try:
            done = self._world.engine.act(action)
        except RefusedError as refused:
            self._act("Refused", str(refused))
            return
        if action == "retry":  # the decision is taken back: what counts is what comes of it now
            self.detected_s = self.decided_s = None
        self._act("".join(word.capitalize() for word in action.split("_")), done)

    def _undo(self) -> None:
        try:
            done = self._world.engine.undo()
        except RefusedError as refused:
            self._act("UndoRefused", str(refused))
            return
        self.decided()
        self._act("Undo", done)

    def _act(self, reason: str, message: str) -> None:
        self._world.journal.write(self._world.clock.now, EntryKind.ACTION, self._world.subject, reason, message)


def _rule(alert: words.Alert) -> AlertRule:
    return AlertRule(
        window_s=alert.window_s,
        interval_s=alert.interval_s,
        ratio=alert.ratio,
        error_rate=alert.error_rate,
        p99_s=alert.p99_s,
        consecutive=alert.consecutive,
        min_requests=alert.min_requests,
    )
