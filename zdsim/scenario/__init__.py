"""What may an author write, and what does it mean?

`load_scenario` reads files and manifests; `Scenario` is what comes out; `demo_scenario` needs no file.
"""

from zdsim.scenario.demo import demo_scenario
from zdsim.scenario.load import Loaded, load_scenario
from zdsim.scenario.model import Scenario

__all__ = ["Loaded", "Scenario", "demo_scenario", "load_scenario"]
