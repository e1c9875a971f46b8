"""Real-shaped manifests: what is taken, what is named as left out, and what is refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from zdsim.errors import Problem, ScenarioError, Severity
from zdsim.scenario import Loaded, load_scenario
from zdsim.scenario.deployment import StrategyType

HERE = Path(__file__).parent / "manifests"


def load(name: str, **more: object) -> Loaded:
    return load_scenario(None, manifest=HERE / name, rate="500/s", **more)  # type: ignore[arg-type]


def from_text(text: str, **more: object) -> Loaded:
    return load_scenario(None, manifest="m.yaml", manifest_text=text, rate="10/s", **more)  # type: ignore[arg-type]


def failing(text: str, **more: object) -> tuple[Problem, ...]:
    with pytest.raises(ScenarioError) as caught:
        from_text(text, **more)
    return caught.value.problems


def said(loaded: Loaded, code: str) -> str:
    return "\n".join(str(one) for one in loaded.notices if one.code == code)


def deployment(container: str = "", pod: str = "", spec: str = "", more: str = "") -> str:
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  {spec or "replicas: 3"}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      {pod or "dnsPolicy: Default"}
      containers:
        - name: web
          {container or "image: web:1"}
{more}"""


def test_a_plain_deployment_is_taken_whole() -> None:
    scenario = load("nginx.yaml").scenario
    web = scenario.deployment
    assert scenario.name == web.name == "shop"
    assert (web.replicas, web.min_ready_s, web.progress_deadline_s, web.revision_history_limit) == (6, 5, 300, 3)
    assert (web.strategy.rolling.surge(6), web.strategy.rolling.unavailable(6)) == (1, 0)
    assert web.grace_s == 45
    assert web.readiness_probe is not None
    assert (web.readiness_probe.initial_delay_s, web.readiness_probe.period_s, web.readiness_probe.timeout_s) == (
        2,
        5,
        2,
    )
    assert (web.readiness_probe.success_threshold, web.readiness_probe.failure_threshold) == (1, 2)
    assert web.liveness_probe is not None
    assert web.liveness_probe.period_s == 20
    assert web.startup_probe is not None
    assert web.startup_probe.failure_threshold == 30
    assert scenario.pre_stop_s(web) == 10.0
    assert web.resources.requests.cpu == 0.25
    assert web.resources.limits.memory == 512 * 2**20
    assert scenario.traffic.open is not None
    assert scenario.traffic.open.rate == 500.0


def test_a_rendered_chart_names_what_it_leaves_out() -> None:
    loaded = load("rendered.yaml")
    web = loaded.scenario.deployment
    assert web.name == "rel-payments"
    assert web.readiness_probe is not None, "the container behind the Service serves, not the first one"
    assert loaded.scenario.pre_stop_s(web) == 5.0
    assert [one.name for one in web.containers] == ["log-shipper"]
    assert web.containers[0].resources.limits.cpu == 0.1
    assert [(one.name, one.is_sidecar) for one in web.init_containers] == [("migrate", False), ("mesh", True)]
    left_out = said(loaded, "ZD2001")
    assert all(kind in left_out for kind in ("ServiceAccount/rel-payments", "ConfigMap/", "HorizontalPodAutoscaler/"))
    assert "replicas stay as the Deployment says" in left_out
    matters = next(one for one in loaded.notices if one.code == "ZD2003" and one.severity is Severity.WARNING)
    assert {"priorityClassName", "topologySpreadConstraints", "postStart"} == set(
        matters.message.split(": ")[1].split(", ")
    )
    assert "sessionAffinity" not in matters.message, "None is no affinity"
    quiet = next(one for one in loaded.notices if one.code == "ZD2003" and one.severity is Severity.NOTICE)
    assert {"volumes", "env", "resources ephemeral-storage"} <= set(quiet.message.split(": ")[1].split(", "))
    hidden = said(loaded, "ZD2004")
    assert "DB_PASSWORD, POOL_SIZE come from valueFrom" in hidden
    assert not said(loaded, "ZD2002"), "every field of it is one that Kubernetes knows"


def test_a_list_and_a_choice_between_deployments() -> None:
    with pytest.raises(ScenarioError) as caught:
        load("exported_list.yaml")
    (problem,) = caught.value.problems
    assert problem.code == "ZD1031"
    assert "api, worker" in problem.message
    assert "--workload api" in problem.hint
    loaded = load("exported_list.yaml", workload="api")
    web = loaded.scenario.deployment
    assert web.replicas == 1, "null means the default, as the API server reads it"
    assert web.strategy.type is StrategyType.RECREATE
    assert web.readiness_probe is None
    assert "StatefulSet/db is left out" in said(loaded, "ZD2001")
    assert "Deployment/worker is left out: Deployment/api was chosen" in said(loaded, "ZD2001")


def test_a_misspelled_workload_is_guessed() -> None:
    with pytest.raises(ScenarioError, match=r"did you mean 'worker'") as caught:
        load("exported_list.yaml", workload="wroker")
    assert caught.value.problems[0].code == "ZD1030"


def test_placeholders_are_named_one_by_one_and_can_be_given() -> None:
    with pytest.raises(ScenarioError) as caught:
        load("unrendered.yaml")
    found = {problem.path: problem for problem in caught.value.problems}
    assert set(found) == {
        "spec.replicas",
        "spec.template.spec.terminationGracePeriodSeconds",
        "spec.template.spec.containers[web].readinessProbe.timeoutSeconds",
    }
    replicas = found["spec.replicas"]
    assert (replicas.code, replicas.line, replicas.column) == ("ZD1008", 6, 13)
    assert "{{ .Values.replicaCount }}" in replicas.message
    assert "-s service.deployment.replicas=VALUE" in replicas.hint
    loaded = load(
        "unrendered.yaml",
        overrides=[
            "service.deployment.replicas=3",
            "service.deployment.terminationGracePeriodSeconds=30",
            "service.deployment.readinessProbe.timeoutSeconds=1",
        ],
    )
    assert loaded.scenario.deployment.replicas == 3
    assert "unknown field \"periodSecnods\"; did you mean 'periodSeconds'?" in said(loaded, "ZD2002")
    named_port = said(loaded, "ZD2004")
    assert '"htpp" is not a named port of this container' in named_port
    assert "ports declared: http" in named_port


def test_a_template_that_is_no_yaml_says_so() -> None:
    (problem,) = failing("{{- if .Values.web.enabled }}\n" + deployment() + "{{- end }}\n")
    assert problem.code == "ZD1008"
    assert problem.line == 1
    assert "helm template" in problem.hint


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        ('["sleep", "5"]', 5.0),
        ('["/bin/sleep", "7"]', 7.0),
        ('["sleep", "1m"]', 60.0),
        ('["sh", "-c", "sleep 15"]', 15.0),
        ('["/bin/sh", "-c", "sleep 5; /usr/sbin/nginx -s quit"]', 5.0),
        ('["/bin/bash", "-c", "echo bye && sleep 2.5 && kill -SIGQUIT 1"]', 2.5),
        ('["sh", "-c", "exec sleep 4"]', 4.0),
        ('["sh", "-c", "/app/drain.sh"]', None),
        ('["sh", "-c", "sleep $DELAY"]', None),
        ('["sh", "-c", "sleep 5 && /app/drain.sh"]', None),
        ('["sh", "-c", "while pgrep app; do sleep 1; done"]', None),
        ('["sh", "-c", "sleep 5 & sleep 9"]', None),
        ('["/app/stop"]', None),
        ("[]", None),
    ],
)
def test_pre_stop_commands_that_are_a_sleep_are_understood(command: str, seconds: float | None) -> None:
    loaded = from_text(deployment(container=f"lifecycle: {{preStop: {{exec: {{command: {command}}}}}}}"))
    hook = loaded.scenario.deployment.pre_stop
    assert hook is not None
    assert hook.known_s == seconds
    assert any(line.startswith("process.pre_stop_exec: 0s") for line in loaded.assumed) == (seconds is None)


def test_a_sleep_before_an_unknown_command_counts() -> None:
    container = 'lifecycle: {preStop: {exec: {command: [sh, -c, "sleep 5 && /app/drain.sh"]}}}'
    scenario = from_text(deployment(container=container), overrides=["process.pre_stop_exec=2s"]).scenario
    assert scenario.pre_stop_s(scenario.deployment) == 7.0


def test_probes_of_other_containers_are_told_to_be_left_out() -> None:
    assert "startupProbe of 'mesh' not simulated" in said(load("rendered.yaml"), "ZD2003")


def test_bad_values_stand_where_the_manifest_has_them() -> None:
    text = deployment(
        spec='replicas: "3"\n  minReadySeconds: 700\n  strategy: {rollingUpdate: {maxSurge: 1.5, maxUnavailable: "1"}}',
        pod="terminationGracePeriodSeconds: 30s",
        container="resources: {requests: {cpu: 250mm, memory: 1GB}}",
    )
    found = {problem.path: problem for problem in failing(text)}
    assert found["spec.replicas"].message == 'expected a whole number, got "3"'
    assert found["spec.replicas"].hint == "write it without quotes: 3"
    grace = found["spec.template.spec.terminationGracePeriodSeconds"]
    assert grace.message == 'expected whole seconds, got "30s"'
    assert grace.hint == "Kubernetes takes a number here: write 30"
    assert "spec.strategy.rollingUpdate.maxSurge" in found
    assert 'write 1 or "1%"' in found["spec.strategy.rollingUpdate.maxUnavailable"].hint
    assert "did you mean 1G?" in found["spec.template.spec.containers[web].resources.requests.memory"].hint
    assert found["spec.template.spec.containers[web].resources.requests.cpu"].code == "ZD1007"
    assert all(problem.file == "m.yaml" and problem.line and problem.column for problem in found.values())


def test_what_the_api_server_refuses_is_refused() -> None:
    zero = failing(deployment(spec="strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}"))
    assert "no pod could ever be replaced" in zero[0].message
    late = failing(deployment(spec="minReadySeconds: 600"))
    assert late[0].message == "progressDeadlineSeconds (600) must be more than minReadySeconds (600)"
    never = failing(deployment(pod="restartPolicy: Never"))
    assert "always Always" in never[0].message
    twice = failing(deployment(container="livenessProbe: {successThreshold: 2}"))
    assert "successThreshold must be 1" in twice[0].message
    long = failing(deployment(container="lifecycle: {preStop: {sleep: {seconds: 31}}}"))
    assert "longer than terminationGracePeriodSeconds (30)" in long[0].message
    both = failing(deployment(container="lifecycle: {preStop: {sleep: {seconds: 3}, exec: {command: [a]}}}"))
    assert "exactly one of sleep, exec and httpGet, got sleep and exec" in both[0].message
    recreate = failing(deployment(spec="strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}"))
    assert "not allowed with type Recreate" in recreate[0].message


def test_a_hook_that_eats_the_grace_period_is_warned_of() -> None:
    loaded = from_text(deployment(container="lifecycle: {preStop: {sleep: {seconds: 30}}}"))
    (warning,) = [one for one in loaded.notices if one.code == "ZD2005"]
    assert "SIGKILL comes 2 s after SIGTERM" in warning.message
    assert warning.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", "ZD1011", "no YAML document"),
        ("# only a comment\n---\n", "ZD1011", "no YAML document"),
        ("hello", "ZD1019", "not a Kubernetes object"),
        ("replicaCount: 3\nimage: {tag: x}\n", "ZD1019", "not a Kubernetes object"),
        ("apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\n", "ZD1030", "only StatefulSet/db"),
        ("kind: Deployment\n", "ZD1002", "Deployment has no spec"),
        ("kind: Deployment\nspec: 3\n", "ZD1002", "has no spec.template.spec"),
        (deployment().replace("- name: web", "[]").split("          image")[0], "ZD1002", "no containers"),
        ("kind: Deployment\nspec: {template: {spec: {containers: [3]}}}\n", "ZD1003", "expected a mapping, got 3"),
        ("a: [", "ZD1014", "not YAML"),
        ("kind: List\nitems: 3\n", "ZD1030", "no Deployment in it"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(text: str, code: str, message: str) -> None:
    problems = failing(text)
    assert problems[0].code == code
    assert message in problems[0].message


def test_several_containers_without_a_service_are_a_guess_that_is_told() -> None:
    text = deployment(
        container="image: web:1\n        - {name: side, ports: [{containerPort: 80}], readinessProbe: {}}"
    )
    loaded = from_text(text)
    assert "'side' is taken as the one that serves" in said(loaded, "ZD2008")
    assert [one.name for one in loaded.scenario.deployment.containers] == ["web"]


def test_a_field_in_the_wrong_place_is_told_its_own() -> None:
    text = deployment(pod="minReadySeconds: 5", container="terminationGracePeriodSeconds: 60\n          preStop: {}")
    text = text.replace("spec:\n  replicas: 3", "replicas: 3\nspec:", 1).replace("apps/v1", "extensions/v1beta1")
    warnings = {one.message: one.hint for one in from_text(text).notices if one.code == "ZD2002"}
    assert warnings == {
        'unknown field "replicas": left out': "it belongs into spec",
        'unknown field "minReadySeconds": left out': "it belongs into spec",
        'unknown field "terminationGracePeriodSeconds": left out': "it belongs into spec.template.spec",
        'unknown field "preStop": left out': "it belongs into its lifecycle",
    }
    assert "read as apps/v1" in said(from_text(text), "ZD2009")


def test_a_service_for_others_is_left_out_and_a_dangling_port_warned_of() -> None:
    other = (
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: other}\nspec: {selector: {app: db}, ports: [{port: 1}]}\n"
    )
    assert "Service/other does not select" in said(from_text(deployment(more=other)), "ZD2008")
    dangling = other.replace("app: db", "app: web").replace("port: 1", "port: 1, targetPort: grpc")
    assert '"grpc" is no named port of any container' in said(from_text(deployment(more=dangling)), "ZD2004")


def test_a_manifest_replaces_the_scenario_s_own_service_and_says_so(tmp_path: Path) -> None:
    scenario = tmp_path / "s.yaml"
    scenario.write_text("service: {deployment: {replicas: 9}}\ntraffic: {open: {rate: 5}}\n")
    loaded = load_scenario(scenario, manifest=HERE / "nginx.yaml")
    assert loaded.scenario.deployment.replicas == 6
    assert any(one.code == "ZD2007" for one in loaded.notices)


def test_a_scenario_names_its_manifest_beside_it(tmp_path: Path) -> None:
    (tmp_path / "deployment.yaml").write_text(deployment())
    scenario = tmp_path / "checkout.yaml"
    scenario.write_text("service:\n  manifest: deployment.yaml\ntraffic: {open: {rate: 5}}\n")
    loaded = load_scenario(scenario, overrides=["service.deployment.replicas=8"])
    assert loaded.scenario.name == "checkout"
    assert loaded.scenario.deployment.replicas == 8
    assert [Path(name).name for name in loaded.files] == ["checkout.yaml", "deployment.yaml"]
    scenario.write_text("service:\n  manifest: deploymnet.yaml\ntraffic: {open: {rate: 5}}\n")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(scenario)
    (problem,) = caught.value.problems
    assert (problem.code, problem.line, problem.path) == ("ZD1010", 2, "service.manifest")
    assert "deployment.yaml" in problem.hint
