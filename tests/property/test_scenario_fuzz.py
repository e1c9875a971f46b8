"""Whatever is given as a scenario, a manifest or an override: a Scenario or a ScenarioError, never anything else."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from zdsim.errors import ScenarioError
from zdsim.scenario import Loaded, Scenario, demo_scenario, load_scenario
from zdsim.scenario.promql import recognise

MANIFESTS = sorted((Path(__file__).parents[1] / "unit" / "scenario" / "manifests").glob("*.yaml"))
TEXTS = [path.read_text(encoding="utf-8") for path in MANIFESTS]
SCENARIO = """\
name: checkout
service:
  deployment: &base
    replicas: 3
    readinessProbe: {periodSeconds: 5}
    preStop: {sleep: {seconds: 5}}
process:
  startup: {kind: lognormal, mean: 2s, p99: 6s}
  on_sigterm: {lame_duck: 5s}
traffic:
  open: {profile: [{at: 0s, rate: 100/s}, {at: 1m, rate: 2k/s}]}
  closed: {users: 5, think: 3s}
  classes:
    - {name: read, share: 90%, work: 20ms, queries: 1}
    - {name: write, share: 10%, work: {kind: gamma, mean: 50ms, cv: 0.5}, idempotent: false}
client: {attempts: 3, keep_alive: {pool: 32}}
database: {pool: 5}
release:
  at: 60s
  deployment: {preStop: null, readinessProbe: {periodSeconds: 2}}
  bug: {error_rate: 20%, classes: {write: 1.0}, crash_after: {kind: exponential, mean: 1m}}
  rollback: operator
  scale: [{at: 90s, replicas: 6}]
faults:
  - {kind: pod_kill, at: 2m, mode: fixed-percent, value: 30%}
  - {kind: database_slow, at: 3m, duration: 10s, factor: 4}
run: {duration: 5m, seed: 3}
"""
DELIVERY = """\
service: {deployment: {replicas: 3}}
traffic: {open: {rate: 100/s}}
analysis: {scrape: {interval: 5s}, map: {errors: p99, slow: {metric: p50, scale: 1000}}}
release:
  strategy:
    kind: canary
    steps:
      - {weight: 5%, hold: 2m}
      - pause: true
      - scale: {weight: 10%}
      - analysis: {count: 3, metrics: [{metric: p99, max: 500ms, max_slope: 5ms}, {metric: memory, min: 1Mi}]}
      - experiment: {duration: 5m, replicas: 2, analysis: {metrics: [{metric: error_rate, judge: msprt, alpha: 1%}]}}
    split: router
    sticky: cookie
    match: {share: 1%}
    mirror: 10%
  promote_at: [2m, 3m]
  bug: {conversion_factor: 70%}
"""
QUERY = """\
100 * (1 - sum(rate(http_requests_total{service="a",status=~"5.*"}[1m])) by (x)
         / sum(rate(http_requests_total{service="a"}[1m]))) or vector(1)
"""
QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
SPLICES = [
    "",
    "\n",
    " ",
    "  ",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "*base",
    "<<: *base",
    "!!int ",
    "!x ",
    "'",
    '"',
    "|",
    ">",
    "%YAML 1.1\n",
]
SPLICES += [
    "---",
    "...",
    "\t",
    "\x00",
    "\u2028",
    "\x85",
    "null",
    "~",
    "-1",
    "1e999",
    ".nan",
    ".inf",
    "0x1F",
    "9" * 50,
    "{{ .Values.x }}",
    "${X}",
    "{{",
    "}}",
    "yes",
]
SPLICES += [
    "é",
    "\U0001f600",
    "? ",
    "#",
    "@",
    "`",
    "\\",
    "a" * 300,
    "%",
    "0",
    "25%",
    "{}",
    "[]",
    "kind: List",
    "\ud800",
]


def attempt(path: Path | None, **more: object) -> Loaded | None:
    try:
        return load_scenario(path, **more)  # type: ignore[arg-type]
    except ScenarioError as error:
        found = error
    assert found.problems
    assert all(line.isprintable() for line in str(found).split("\n"))
    return None


@st.composite
def mutated(draw: st.DrawFn, texts: list[str]) -> str:
    """A real text with some of it cut, doubled or replaced."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        text = text[:start] + draw(st.sampled_from([*SPLICES, text[start:end] * 2])) + text[end:]
    return text


@QUICK
@given(data=st.binary(max_size=200))
@example(data=b"")
@example(data=b"\xff\xfea\x00")
@example(data=b"[" * 5000)
@example(data=b"%YAML x\n---\na")
@example(data=b"&a [*a]")
def test_any_bytes_as_a_manifest(data: bytes) -> None:
    attempt(None, manifest_text=data, rate="5/s")


@QUICK
@given(text=mutated(TEXTS))
def test_any_mutated_manifest(text: str) -> None:
    loaded = attempt(None, manifest_text=text, rate="5/s", workload=None)
    if loaded is not None:
        assert same_after_json(loaded.scenario)


@QUICK
@given(text=mutated([SCENARIO, DELIVERY]))
def test_any_mutated_scenario(text: str, tmp_path_factory: object) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "fuzzed.yaml"  # type: ignore[attr-defined]
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    loaded = attempt(path)
    if loaded is not None:
        assert same_after_json(loaded.scenario)


@QUICK
@given(text=mutated([QUERY, "histogram_quantile(0.99, sum(rate(a_bucket[5m])) by (le)) * 1000"]))
def test_any_query(text: str) -> None:
    found = recognise(text)
    assert found is None or 0.0 < found.window_s <= 86_400.0


PATHS = [
    "release.strategy",
    "release.strategy.kind",
    "rollout",
    "flagger",
    "analysis.map.x",
    "service.deployment.replicas",
    "traffic.open",
    "traffic.classes[0].work",
    "release",
    "faults[0]",
    "faults",
    "name",
    "run.seed",
]


@QUICK
@given(
    override=st.one_of(
        st.text(max_size=40),
        st.builds(
            "{}={}".format,
            st.sampled_from(PATHS),
            st.one_of(st.text(max_size=20), st.sampled_from(SPLICES), st.integers().map(str)),
        ),
    ),
    rate=st.one_of(st.none(), st.text(max_size=8)),
)
def test_any_override_and_any_rate(override: str, rate: str | None) -> None:
    attempt(None, manifest_text=TEXTS[1], overrides=[override], rate=rate)


@QUICK
@given(
    tree=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["service", "traffic", "open", "rate", "deployment", "kind", "x"]), inner, max_size=4
            )
        ),
        max_leaves=10,
    )
)
def test_any_tree(tree: object) -> None:
    for keys in (("process", "release"), ("release.strategy", "analysis"), ("rollout",), ("flagger",)):
        attempt(None, manifest_text=TEXTS[-1], overrides=[f"{key}={json.dumps(tree)}" for key in keys])


def same_after_json(scenario: Scenario) -> bool:
    """What is written to a run's folder is the scenario that is read back."""
    text = json.dumps(scenario.model_dump(mode="json"), allow_nan=False)
    again = Scenario.model_validate(json.loads(text))
    assert again == scenario
    assert json.dumps(again.model_dump(mode="json")) == text
    n = 1 + len(scenario.release.then) if scenario.release is not None else 0
    assert again.deployment_after(n) == scenario.deployment_after(n)
    return True


def test_the_scenario_of_this_file_is_good(tmp_path: Path) -> None:
    delivery = tmp_path / "delivery.yaml"
    delivery.write_text(DELIVERY)
    assert same_after_json(load_scenario(delivery).scenario)
    assert recognise(QUERY) is not None
    path = tmp_path / "checkout.yaml"
    path.write_text(SCENARIO)
    assert same_after_json(load_scenario(path).scenario)
    assert same_after_json(demo_scenario())
