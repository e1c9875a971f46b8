"""Play the recorded rolling updates under load again: the same Deployment, client and release, a full simulation."""

import json
import tempfile
from pathlib import Path
from typing import Any

from zdsim.plane.vocabulary import Outcome
from zdsim.record import RunRecord
from zdsim.run import simulate
from zdsim.scenario.load import load_scenario

RECORDED = Path(__file__).parent / "recorded" / "node"
RELEASE_S = 2.0  # the recorded client starts 2 s before the template is patched

#: What the recorded client called it, in our words. A service without endpoints is refused by the proxy's REJECT rule;
#: `hostunreach` is the kernel's word for the neighbour that did not answer within 3 s.
KINDS = {
    "refused/connect": "refused",
    "timeout/connect": "unreachable",
    "hostunreach/connect": "unreachable",
    "eof/read": "reset",
    "reset/read": "reset",
}


def recording(scenario: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((RECORDED / f"{scenario}.json").read_text(encoding="utf-8"))
    return loaded


def recorded_kinds(run: dict[str, Any]) -> dict[str, int]:
    """Failed requests of one recorded rollout by kind."""
    counts = dict.fromkeys(("refused", "unreachable", "reset"), 0)
    for kind, n in run["fail_kinds"].items():
        counts[KINDS[kind.rsplit("/", 1)[0]]] += n
    return counts


def scenario_of(params: dict[str, Any], n_sent: int) -> dict[str, Any]:
    """The scenario file of a recorded set of parameters."""
    env, rate = params["env"], params["rate"]
    behaviour, _, lame = env["ON_TERM"].partition(":")
    strategy: dict[str, Any] = {"type": params.get("strategy", "RollingUpdate")}
    if strategy["type"] == "RollingUpdate":
        strategy["rollingUpdate"] = {"maxSurge": params["su"], "maxUnavailable": params["un"]}
    deployment: dict[str, Any] = {
        "replicas": params["replicas"],
        "strategy": strategy,
        "terminationGracePeriodSeconds": params["grace"],
        **params["probes"],
    }
    if params["prestop"]:
        deployment["preStop"] = params["prestop"]
    return {
        "name": "recorded",
        "service": {"deployment": deployment},
        "process": {
            "startup": f"{env.get('START_DELAY', 0)}s",
            "ready_delay": f"{env.get('READY_DELAY', 0)}s",
            "workers": 1000,
            "warm_up": {"duration": "0s"},
            "on_sigterm": {"lame_duck": f"{lame}s"} if lame else behaviour,
        },
        "client": {
            "connect_timeout": f"{params['timeout']}s",
            "request_timeout": f"{params['timeout']}s",
            "keep_alive": {"pool": 1000 if params["ka"] else 0},
        },
        "router": {"proxies": 1, "lag": "3ms"},
        "traffic": {
            "open": {"rate": f"{rate}/s", "arrivals": "deterministic"},
            "classes": [{"work": f"{params['service_ms'] + 1}ms"}],
        },
        "release": {"at": f"{RELEASE_S}s"},
        "run": {"duration": f"{n_sent / rate}s", "baseline": False},
    }


def play(scenario: str, seed: int) -> RunRecord:
    """One rollout of a recorded scenario under our luck."""
    recorded = recording(scenario)
    text = json.dumps(scenario_of(recorded["params"], recorded["runs"][0]["sent"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.yaml"
        path.write_text(text, encoding="utf-8")
        return simulate(load_scenario(path), seed)


def kinds(record: RunRecord) -> dict[str, int]:
    """Failed requests of one of our rollouts by kind."""
    by_outcome = record.counts.counts.sum(axis=(0, 1, 2))
    counts = {Outcome(k).name.lower(): int(n) for k, n in enumerate(by_outcome) if k != Outcome.OK}
    counts["refused"] += counts.pop("no_endpoint")
    assert all(n == 0 for kind, n in counts.items() if kind not in ("refused", "unreachable", "reset")), counts
    return {kind: counts[kind] for kind in ("refused", "unreachable", "reset")}
