"""Load tests and gates as Flagger's webhooks write them."""

from pathlib import Path

import pytest

from zdsim.scenario.flagger import Webhook
from zdsim.scenario.flagger_load import Gate, Load, gate_of, load_of
from zdsim.scenario.load import load_scenario

MANIFESTS = Path(__file__).parent / "manifests"


def hook(command: object) -> Webhook:
    return Webhook.model_validate({"name": "load", "url": "http://loadtester.test/", "metadata": {"cmd": command}})


@pytest.mark.parametrize(
    ("command", "load"),
    [
        ("hey -z 1m -q 10 -c 2 http://app-canary:80/", Load(20.0, 60.0)),
        ("hey -q 4 -z 90s http://app-canary:80/", Load(200.0, 90.0)),  # 50 workers unless told
        ("/bin/sh -c 'hey -c 1 -q 2.5 -z 30s http://a/'", Load(2.5, 30.0)),
        ("fortio load -qps 30 -t 2m http://app-canary/", Load(30.0, 120.0)),
        ("fortio load --qps=8 -t=10s http://app-canary/", Load(8.0, 10.0)),
        ("hey -z 1m -c 2 http://app-canary/", None),  # as fast as it can
        ("hey -n 1000 -q 10 http://app-canary/", None),
        ("hey -q 0 -z 1m http://app-canary/", None),
        ("hey -q 10 -z soon http://app-canary/", None),
        ("curl -s http://app-canary/token | grep token", None),
        (17, None),
    ],
)
def test_the_load_of_a_command(command: object, load: Load | None) -> None:
    assert load_of(hook(command)) == load


def test_metadata_of_another_shape_is_no_load() -> None:
    assert load_of(Webhook(name="bare")) is None
    for text in ("[1, 2]", "no json", '"hey -z 1m -q 1 http://a/"'):
        assert load_of(Webhook(name="odd", metadata=text)) is None


@pytest.mark.parametrize(
    ("url", "gate"),
    [
        ("http://loadtester.test/gate/approve", Gate.OPEN),
        ("http://loadtester.test/gate/check", Gate.BY_HAND),
        ("http://loadtester.test/gate/halt/", Gate.CLOSED),
        ("https://ci.example/approved", Gate.OPEN),
    ],
)
def test_gates_by_their_url(url: str, gate: Gate) -> None:
    assert gate_of(Webhook(name="gate", url=url)) is gate


def test_a_silent_canary_is_told() -> None:
    silent = load_scenario(None, manifest=MANIFESTS / "flagger_kubernetes.yaml", rate="50/s")
    assert any("without values every check fails" in str(one) for one in silent.notices)
    seen = load_scenario(None, manifest=MANIFESTS / "flagger_istio.yaml", rate="50/s")
    assert not any("without values" in str(one) for one in seen.notices)
