"""Which plane is asked, and how many requests may it cost?"""

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from queueing import Trace, Windows, play_out, route_to, start_pods

from zdsim.plane.config import PlaneConfig
from zdsim.plane.protocol import DataPlane

#: How many times fewer requests the reference plane is asked for.
REFERENCE_SHARE = 100


@dataclass(frozen=True, slots=True)
class Rig:
    """One of the two planes, with samples in proportion to its speed."""

    name: str
    share: int  # samples are this many times smaller

    @property
    def large(self) -> bool:
        """Large enough a sample for what only a large one shows."""
        return self.share == 1

    def build(self, config: PlaneConfig) -> DataPlane:
        module, plane = {"kernel": ("zdsim.kernel", "KernelPlane"), "reference": ("zdsim.reference", "ReferencePlane")}[
            self.name
        ]
        built: DataPlane = getattr(importlib.import_module(module), plane)(config)
        return built

    def trace(self, config: PlaneConfig, revisions: Sequence[int] = (0,)) -> Trace:
        """Play a config against pods that are there from the beginning to the end; every request."""
        plane = self.build(config)
        route_to(plane, config, start_pods(plane, revisions))
        return Trace.of(play_out(plane, config), config)

    def windows(self, config: PlaneConfig, warm_s: float, revisions: Sequence[int] = (0,)) -> Windows:
        """The same, as counted by the record; cheaper where no single request is looked at."""
        plane = self.build(config)
        route_to(plane, config, start_pods(plane, revisions))
        return Windows.of(play_out(plane, config), config, min(warm_s, config.horizon_s / 3.0))

    def precision(self, asked: float) -> float:
        """The same test on fewer requests is blunter by the root of their ratio; a third more for luck."""
        return asked if self.large else asked * 1.33 * self.share**0.5

    def n(self, requests: float) -> float:
        """How many requests stand for `requests` on the fast plane."""
        return requests / self.share


def both(*cases: Any, small: int = 1) -> list[Any]:
    """Every case on the kernel, the first `small` of them on the reference plane too; for `indirect=["rig"]`."""
    rows = []
    for i, case in enumerate(cases):
        values, marks = (case.values, case.marks) if hasattr(case, "marks") else (case, ())
        values = values if isinstance(values, tuple) else (values,)
        rows.append(pytest.param("kernel", *values, marks=marks))
        if i < small:
            rows.append(pytest.param("reference", *values, marks=marks))
    return rows


def slow(*values: Any) -> Any:
    """A case with a sample too large for every day."""
    return pytest.param(*values, marks=pytest.mark.slow)


def _rig(name: str) -> Rig:
    if name == "kernel" and importlib.util.find_spec("numba") is None:
        pytest.skip("the kernel needs numba; the reference plane alone is too slow for this sample size")
    return Rig(name, REFERENCE_SHARE if name == "reference" else 1)


@pytest.fixture(params=["kernel", "reference"])
def rig(request: pytest.FixtureRequest) -> Rig:
    """Both planes in turn, the reference plane with a small sample."""
    return _rig(request.param)


@pytest.fixture
def kernel() -> Rig:
    """The fast plane, for samples that only it can play."""
    return _rig("kernel")
