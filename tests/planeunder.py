"""Which request planes are there to be tested here, and how many examples shall each law see?"""

import importlib
import os
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, settings

from zdsim.plane.config import PlaneConfig
from zdsim.plane.protocol import DataPlane
from zdsim.reference import ReferencePlane

MakePlane: TypeAlias = Callable[[PlaneConfig], DataPlane]


def kernel_plane() -> MakePlane | None:
    """The compiled plane, where it can be imported (it needs Numba)."""
    try:
        found: Any = importlib.import_module("zdsim.kernel").KernelPlane
    except (ImportError, AttributeError):
        return None
    return found  # type: ignore[no-any-return]


KERNEL = kernel_plane()
PLANES = [
    pytest.param(ReferencePlane, id="reference"),
    pytest.param(KERNEL, id="kernel", marks=pytest.mark.skipif(KERNEL is None, reason="no compiled plane here")),
]


def examples(quick: int) -> settings:
    """`quick` examples, or ZDSIM_EXAMPLES; the same ones in every run unless ZDSIM_EXAMPLES asks for more."""
    wanted = os.environ.get("ZDSIM_EXAMPLES")
    return settings(
        max_examples=int(wanted) if wanted else quick,
        derandomize=wanted is None,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
