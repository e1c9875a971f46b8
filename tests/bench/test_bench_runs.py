"""What do whole simulations cost? The rows of the plan's cost table that need a cluster as well as requests.

Seconds depend on the machine and its load, so each row is also told in units of one run of a plain SimPy loop in the
same process (an event of a bare `timeout`), and only that ratio is asserted, with room to spare.
"""

import json
import subprocess
import sys
import time

import pytest
import simpy

pytest.importorskip("numba", reason="the kernel needs Numba")
pytest.importorskip("resource", reason="peak memory of a process is asked of a Unix system")

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

PLAY = """
import json, resource, sys, time
from zdsim.kernel import warm
from zdsim.run import simulate
from zdsim.scenario.model import Scenario
scenario = Scenario.model_validate(json.loads(sys.argv[1]))
warm()
began, cpu = time.perf_counter(), time.process_time()
record = simulate(scenario, plane="kernel")
print(json.dumps({
    "requests": int(record.counts.ended),
    "wall_s": time.perf_counter() - began,
    "cpu_s": time.process_time() - cpu,
    "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "outcome": record.rollout.outcome,
}))
"""
EVENTS = 1_000_000


def event_s() -> float:
    """CPU seconds of a million bare SimPy events here and now: the unit that a loaded machine stretches alike."""
    env = simpy.Environment()

    def ticks() -> simpy.events.ProcessGenerator:
        for _ in range(EVENTS):
            yield env.timeout(1.0)

    env.process(ticks())
    began = time.process_time()
    env.run()
    return time.process_time() - began


def scenario(replicas: int, rate: float, duration_s: float) -> dict[str, object]:
    probe = {"periodSeconds": 10}
    return {
        "name": "bench",
        "service": {
            "deployment": {
                "name": "web",
                "replicas": replicas,
                "readinessProbe": probe,
                "livenessProbe": probe,
                "preStop": {"sleep": {"seconds": 5}},
            }
        },
        "traffic": {"open": {"rate": rate}},
        "release": {"at": 60},
        "run": {"duration": duration_s, "baseline": False},
    }


@pytest.mark.parametrize(
    ("name", "replicas", "rate", "duration_s", "goal_s", "most_units"),
    [
        ("1 h at 1,000 requests/s, 10 pods, probes every 10 s (goal 2 s)", 10, 1000.0, 3600.0, 2.0, 5.0),
        ("1,000 pods, 20,000 requests/s, 30 min rollout (goal 60 s, 1 GiB)", 1000, 20_000.0, 1800.0, 60.0, 60.0),
    ],
)
def test_whole_runs(name: str, replicas: int, rate: float, duration_s: float, goal_s: float, most_units: float) -> None:
    unit = event_s()
    asked = json.dumps(scenario(replicas, rate, duration_s))
    out = subprocess.run([sys.executable, "-c", PLAY, asked], capture_output=True, text=True, check=True, timeout=580)
    told = json.loads(out.stdout.splitlines()[-1])
    units = told["cpu_s"] / unit
    print(
        f"\n{name}: {told['requests']:,} requests in {told['wall_s']:.1f} s wall, {told['cpu_s']:.1f} s of processor "
        f"({units:.1f} million SimPy events' worth), {told['rss_mib']:.0f} MiB"
    )
    assert told["outcome"] == "complete"
    assert told["rss_mib"] < 1024
    assert units < most_units, f"goal {goal_s} s on a quiet machine"
