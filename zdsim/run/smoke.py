"""What does a preview answer to those who test it?

Nobody but a smoke test sends requests to a preview. Whoever measures it then sees those: they are no users' requests,
so the request plane knows nothing of them, and they are drawn here, by the revision's own errors and work. They go on
at the smoke test's pace while an analysis measures. A preview is idle: no queue, no database.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from zdsim.plane import histogram
from zdsim.plane.config import PlaneRecord
from zdsim.plane.vocabulary import Outcome
from zdsim.scenario.strategy import Smoke

if TYPE_CHECKING:
    from zdsim.run.world import World

__all__ = ["Tester"]


@dataclass(slots=True)
class Tester:
    """Who sends a smoke test's requests to a revision.

    Args:
        row: of the revision, in the request plane.
        began_s: when the first one is sent.
    """

    world: World
    smoke: Smoke
    row: int
    began_s: float
    _answers: list[tuple[int, int, bool, int]] = field(default_factory=list)  # window, class, is OK, bucket

    def record(self) -> PlaneRecord:
        """The plane's counts so far, with those of the tests."""
        world = self.world
        record = world.plane.record()
        sent = int((world.clock.now - self.began_s) * self.smoke.requests / self.smoke.duration_s + 1e-9)
        while len(self._answers) < sent:
            self._answers.append(self._answer(len(self._answers)))
        counts, latency = record.counts.copy(), record.latency.copy()
        for window, one, ok, bucket in self._answers:
            if window < counts.shape[0]:
                counts[window, self.row, one, Outcome.OK if ok else Outcome.APP_ERROR] += 1
                latency[window, self.row, bucket] += ok
        return replace(record, counts=counts, latency=latency)

    def _answer(self, number: int) -> tuple[int, int, bool, int]:
        """The answer to a request of the test, by luck of its own."""
        world, luck = self.world, self.world.luck
        at_s = self.began_s + (number + 1) * self.smoke.duration_s / self.smoke.requests
        shares = np.cumsum(world.class_shares)
        one = min(int(np.searchsorted(shares, luck.unit("smoke/class", self.row, number), "right")), shares.size - 1)
        ok = luck.unit("smoke/request", self.row, number) >= world.error_rates(self.row)[one]
        bug = world.bugs[self.row]
        work_s = luck.draw(world.scenario.traffic.classes[one].work, "smoke/work", self.row, number)
        taken_s = work_s * (1.0 if bug is None else bug.slow_factor)
        return int(at_s / world.config.window_s), one, bool(ok), histogram.bucket(taken_s)
