"""zdsim: what does this deployment do to the people who use the service while it happens?

>>> import zdsim
>>> run = zdsim.simulate(zdsim.load_scenario("scenario.yaml"), seed=7)  # doctest: +SKIP
>>> run.summary()["requests"]["dropped"]  # doctest: +SKIP

Names are loaded when they are first used: `import zdsim` alone costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zdsim.api import Comparison, Run, compare, simulate
    from zdsim.errors import ScenarioError, ZdsimError
    from zdsim.scenario.load import load_scenario
    from zdsim.scenario.model import Scenario

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Run",
    "Scenario",
    "ScenarioError",
    "ZdsimError",
    "__version__",
    "compare",
    "load_scenario",
    "simulate",
]

_HOMES = {
    "Comparison": "zdsim.api",
    "Run": "zdsim.api",
    "Scenario": "zdsim.scenario.model",
    "ScenarioError": "zdsim.errors",
    "ZdsimError": "zdsim.errors",
    "compare": "zdsim.api",
    "load_scenario": "zdsim.scenario.load",
    "simulate": "zdsim.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zdsim' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
