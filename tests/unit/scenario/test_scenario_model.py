"""The model itself: laws, patches of a Deployment, the fenceposts, the JSON Schema."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from zdsim.errors import CODES, Problem, Severity, clean, render
from zdsim.scenario import Scenario, demo_scenario, load_scenario
from zdsim.scenario.deployment import Deployment, DeploymentPatch, RollingUpdate
from zdsim.scenario.faults import PodKill
from zdsim.scenario.laws import AnyLaw, Law, lognormal
from zdsim.scenario.schema import scenario_schema

LAW: TypeAdapter[AnyLaw] = TypeAdapter(Law)


@pytest.mark.parametrize(
    ("written", "mean_s"),
    [
        (2, 2.0),
        ("250ms", 0.25),
        ({"kind": "exponential", "mean": "2s"}, 2.0),
        ({"kind": "lognormal", "mean": "50ms", "p99": "200ms"}, 0.05),
        ({"kind": "lognormal", "median": 1, "p99": math.e}, math.exp((1 / 2.3263478740408408) ** 2 / 2)),
        ({"kind": "gamma", "mean": 3, "cv": 0.5}, 3.0),
        ({"kind": "uniform", "low": 1, "high": 3}, 2.0),
        ({"kind": "pareto", "low": 1, "high": 4, "alpha": 1}, 4 / 3 * math.log(4)),
        ({"kind": "pareto", "low": 1, "high": 1e9 / 1e2, "alpha": 3}, 1.5),
        ({"kind": "empirical", "values": [1, 2, 6]}, 3.0),
    ],
)
def test_the_mean_of_a_law(written: Any, mean_s: float) -> None:
    law = LAW.validate_python(written)
    assert law.expected_s == pytest.approx(mean_s, rel=1e-6)
    assert LAW.validate_python(LAW.dump_python(law, mode="json")) == law
    assert str(law)


def test_a_lognormal_law_has_the_mean_and_p99_it_was_given() -> None:
    law = lognormal(mean_s=0.050, p99_s=0.200)
    assert math.exp(law.mu + law.sigma**2 / 2) == pytest.approx(0.050)
    assert math.exp(law.mu + 2.3263478740408408 * law.sigma) == pytest.approx(0.200)
    assert lognormal(mean_s=1.0, p99_s=1.0 + 1e-12).sigma == pytest.approx(1e-12 / 2.3263, rel=1e-3)


def test_both_fenceposts_zero_leave_one_pod_to_replace() -> None:
    """ResolveFenceposts: percentages that round to nothing on both sides make unavailable 1."""
    update = RollingUpdate.model_validate({"maxSurge": "0%", "maxUnavailable": "25%"})
    assert (update.surge(2), update.unavailable(2)) == (0, 1)
    assert RollingUpdate(max_surge=0, max_unavailable=5).unavailable(3) == 3


def test_a_patch_changes_only_what_it_names() -> None:
    old = Deployment.model_validate(
        {
            "replicas": 4,
            "readinessProbe": {"periodSeconds": 5, "timeoutSeconds": 3},
            "preStop": {"sleep": {"seconds": 5}},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        }
    )
    patch = DeploymentPatch.model_validate(
        {
            "readinessProbe": {"periodSeconds": 1},
            "preStop": {"exec": {"command": ["sleep", "9"]}},
            "strategy": {"rollingUpdate": {"maxSurge": 2}},
            "terminationGracePeriodSeconds": None,
        }
    )
    new = patch.applied_to(old)
    assert new.readiness_probe is not None
    assert (new.readiness_probe.period_s, new.readiness_probe.timeout_s) == (1, 3)
    assert new.pre_stop is not None
    assert (new.pre_stop.sleep, new.pre_stop.known_s) == (None, 9.0)
    assert (new.strategy.rolling.max_surge, new.strategy.rolling.max_unavailable) == (2, 0)
    assert (new.replicas, new.grace_s) == (4, 30)
    gone = DeploymentPatch.model_validate({"readinessProbe": None}).applied_to(old)
    assert gone.readiness_probe is None
    again = DeploymentPatch.model_validate(json.loads(patch.model_dump_json()))
    assert again.applied_to(old) == new


def test_releases_add_up() -> None:
    scenario = Scenario.model_validate(
        {
            "service": {"deployment": {"replicas": 3}},
            "traffic": {"open": {"rate": 1}},
            "release": {
                "deployment": {"minReadySeconds": 5},
                "then": [{"at": "90s", "deployment": {"terminationGracePeriodSeconds": 60}}, {"at": "2m"}],
            },
        }
    )
    assert scenario.deployment_after(0).min_ready_s == 0
    assert (scenario.deployment_after(1).min_ready_s, scenario.deployment_after(1).grace_s) == (5, 30)
    assert (scenario.deployment_after(3).min_ready_s, scenario.deployment_after(3).grace_s) == (5, 60)
    with pytest.raises(IndexError):
        scenario.deployment_after(4)


@pytest.mark.parametrize(
    ("mode", "value", "of_ten"),
    [
        ("one", None, 1),
        ("all", None, 10),
        ("fixed", 3, 3),
        ("fixed", 30, 10),
        ("fixed-percent", "25%", 2),
        ("fixed-percent", 5, 1),
    ],
)
def test_how_many_pods_a_fault_hits(mode: str, value: object, of_ten: int) -> None:
    fault = PodKill.model_validate({"kind": "pod_kill", "at": 0, "mode": mode, "value": value})
    assert fault.count(10) == of_ten
    assert fault.count(0) == 0


def test_a_scenario_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        demo_scenario().name = "other"


def test_the_schema_is_draft_07_and_takes_what_the_loader_takes(tmp_path: Path) -> None:
    schema = scenario_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    text = json.dumps(schema)
    assert not any(word in text for word in ("$defs", "prefixItems", "unevaluated", '"discriminator"'))
    validator = jsonschema.Draft7Validator(schema)
    assert not list(validator.iter_errors(demo_scenario().model_dump(mode="json")))
    written = {
        "service": {"deployment": {"replicas": 3, "strategy": {"rollingUpdate": {"maxSurge": "25%"}}}},
        "process": {"startup": "1m30s", "on_sigterm": {"lame_duck": "5s"}, "keepalive_idle": None},
        "traffic": {"open": {"rate": "2k/s"}, "classes": [{"name": "a", "share": "100%"}]},
        "release": {"rollback": "none", "bug": {"leak_per_request": "1Ki", "error_rate": "20%"}},
        "faults": [{"kind": "pod_kill", "at": "90s"}],
        "run": {"window": "auto"},
    }
    assert not list(validator.iter_errors(written))
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps(written))
    assert load_scenario(path).scenario.process.startup.expected_s == 90.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"servise": {}},
        {"service": {"deployment": {"replicas": "three"}}},
        {"process": {"startup": "soon"}},
        {"process": {"on_sigterm": "drian"}},
        {"faults": [{"kind": "pod_kil", "at": 3}]},
        {"run": {"seed": 1.5}},
    ],
)
def test_the_schema_refuses_what_an_editor_should_mark(wrong: dict[str, Any]) -> None:
    assert list(jsonschema.Draft7Validator(scenario_schema()).iter_errors(wrong))


def test_every_code_has_one_line() -> None:
    assert all(code.startswith("ZD") and len(code) == 6 and line and "\n" not in line for code, line in CODES.items())


def test_long_lines_are_cut_around_the_mark() -> None:
    excerpt = "a" * 500 + "HERE" + "b" * 500
    problem = Problem(code="ZD1003", message="m", file="f", line=1, column=501, width=4, excerpt=excerpt)
    _, line, caret = str(problem).splitlines()
    assert len(line) < 180
    assert line[caret.index("^") : caret.rindex("^") + 1] == "HERE"


def test_nothing_in_a_message_moves_the_cursor() -> None:
    problem = Problem(
        code="ZD1003",
        message="got \x1b[2J",
        file="a\nb",
        line=1,
        column=1,
        excerpt="\x1b]0;t\x07",
        severity=Severity.NOTICE,
    )
    assert all(line.isprintable() for line in render([problem]).split("\n"))
    assert clean("a\tb\u2028c\x00") == "a b c\ufffd"
