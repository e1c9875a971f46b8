"""What does `zdsim demo` play when nobody gives it a scenario?"""

from __future__ import annotations

from zdsim.scenario.model import Scenario


def demo_scenario() -> Scenario:
    """Ten pods, 200 requests a second, a rolling update without a preStop hook: the accident everybody has."""
    return Scenario.model_validate(
        {
            "name": "demo",
            "description": "A rolling update of 10 pods under 200 requests/s. The process drains well at SIGTERM, "
            "but nothing makes it wait until the routers have forgotten the pod.",
            "service": {
                "deployment": {
                    "name": "web",
                    "replicas": 10,
                    "readinessProbe": {"periodSeconds": 5},
                    "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
                }
            },
            "process": {"startup": "3s", "on_sigterm": "drain"},
            "traffic": {"open": {"rate": "200/s"}},
            "release": {"at": "30s"},
            "run": {"duration": "2m", "seed": 7},
        }
    )
