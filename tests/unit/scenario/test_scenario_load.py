"""Loading a scenario: every problem at once, each at its place, worded for the person who wrote it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from zdsim.errors import CODES, ExitCode, Problem, ScenarioError
from zdsim.scenario import Loaded, demo_scenario, load_scenario
from zdsim.scenario.process import SigtermKind

GOOD = """\
name: checkout
service:
  deployment: {replicas: 4, readinessProbe: {periodSeconds: 5}}
traffic:
  open: {rate: 2k/s}
"""


def write(folder: Path, text: str | bytes, name: str = "s.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems_in(folder: Path, text: str | bytes, **more: object) -> tuple[Problem, ...]:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(write(folder, text), **more)  # type: ignore[arg-type]
    assert all(problem.code in CODES for problem in caught.value.problems)
    assert caught.value.exit_code is ExitCode.USAGE
    return caught.value.problems


def only(folder: Path, text: str | bytes, **more: object) -> Problem:
    (problem,) = problems_in(folder, text, **more)
    return problem


def loaded(folder: Path, text: str, **more: object) -> Loaded:
    return load_scenario(write(folder, text), **more)  # type: ignore[arg-type]


def test_everything_wrong_is_told_at_once_in_order(tmp_path: Path) -> None:
    found = problems_in(
        tmp_path,
        """\
service:
  replicas: 4
  deployment:
    terminationGracePeriodSeconds: 30s
    readinessProbe:
      periodSecnods: 5
process:
  on_sigterm: drian
  startup: {kind: lognormal, mean: 2s, p99: 1s}
traffic:
  open: {rate: 200 per second}
  classes:
    - {name: a, share: 60}
faults:
  - {kind: pod_kil, at: 3}
  - 3
run: {seed: 1.0, seed: 2}
""",
    )
    told = [(one.line, one.column, one.code, one.path) for one in found]
    assert told == [
        (2, 3, "ZD1001", "service"),
        (4, 36, "ZD1003", "service.deployment.terminationGracePeriodSeconds"),
        (6, 7, "ZD1001", "service.deployment.readinessProbe"),
        (8, 15, "ZD1004", "process.on_sigterm"),
        (9, 45, "ZD1006", "process.startup.p99"),
        (11, 16, "ZD1007", "traffic.open.rate"),
        (13, 24, "ZD1005", "traffic.classes[0].share"),
        (15, 12, "ZD1004", "faults[0].kind"),
        (16, 5, "ZD1003", "faults[1]"),
        (17, 13, "ZD1003", "run.seed"),
        (17, 18, "ZD1015", ""),
    ]
    by_line = {one.line: one for one in found}
    assert by_line[2].hint == "it belongs under service.deployment"
    assert by_line[4].hint == "Kubernetes takes a number here: write 30"
    assert "did you mean 'periodSeconds'?" in by_line[6].message
    assert "did you mean 'drain'?" in by_line[8].message
    assert by_line[13].hint == 'for 60 percent write "60%"'
    assert by_line[15].hint == "did you mean 'pod_kill'?"


def test_a_problem_is_drawn_under_its_line(tmp_path: Path) -> None:
    problem = only(tmp_path, GOOD.replace("2k/s", "fast"))
    assert (
        str(problem)
        .splitlines()[0]
        .endswith('s.yaml:5:16: error ZD1007: traffic.open.rate: expected a rate, got "fast"')
    )
    assert str(problem).splitlines()[1:] == [
        "    5 |   open: {rate: fast}",
        "      |                ^^^^  write a rate such as 200/s, 2k/s or 30/m; a bare number is per second",
    ]


def test_twenty_are_shown_and_the_rest_is_counted(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        loaded(tmp_path, GOOD + "faults:\n" + "  - {kind: pod_kill, at: never}\n" * 33)
    assert len(caught.value.problems) == 33
    assert str(caught.value).count("error ZD1007") == 20
    assert str(caught.value).endswith("... and 13 more")
    assert caught.value.summary.endswith("(and 32 more)")


@pytest.mark.parametrize(
    ("text", "code", "message", "hint"),
    [
        ("", "ZD1011", "empty", "zdsim demo"),
        ("# nothing\n", "ZD1011", "empty", ""),
        ("a scenario", "ZD1019", 'expected a scenario, got "a scenario"', ""),
        ("- a\n", "ZD1019", "got a list of 1", ""),
        ("apiVersion: apps/v1\nkind: Deployment\n", "ZD1019", "this is a Kubernetes Deployment", "zdsim run -f"),
        (GOOD + "---\na: 1\n", "ZD1018", "2 documents", "---"),
        (GOOD + "\tx: 1\n", "ZD1014", "not YAML", "never with tabs"),
        (GOOD + "x: 'open\n", "ZD1014", "not YAML", "quote"),
        (GOOD + "description: a: b\n", "ZD1014", "mapping values", "': '"),
        (GOOD + "faults: &a [*a]\n", "ZD1016", "it would never end", ""),
        (GOOD + "description: *nowhere\n", "ZD1016", "has no anchor", ""),
        (GOOD + "description: !include other.yaml\n", "ZD1017", '"!include" is not supported', ""),
        (GOOD + "x: " + "[" * 60 + "]" * 60, "ZD1013", "deeper than 50", ""),
        (GOOD + "description: " + "x" * (1 << 20), "ZD1013", "larger than 1 MiB", "right file"),
        (b"\x7fELF\x01\x02\x00\x00", "ZD1012", "control character U+007F", ""),
        (b"PK\x03\x04\xff\xfe", "ZD1012", "not UTF-8", ""),
        ("name: x".encode("utf-16"), "ZD1012", "UTF-16", "UTF-8"),
        (GOOD.replace("2k/s", "{{ .Values.rate }}"), "ZD1008", "was not filled in", "-s traffic.open.rate=VALUE"),
    ],
)
def test_a_file_that_is_no_scenario_says_why(
    tmp_path: Path, text: str | bytes, code: str, message: str, hint: str
) -> None:
    problem = problems_in(tmp_path, text)[0]
    assert problem.code == code
    assert message in problem.message
    assert hint in problem.hint


def test_aliases_may_not_grow_without_bound(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
    assert problems_in(tmp_path, bomb)[0].code == "ZD1013"
    merged = loaded(tmp_path, GOOD.replace("open:", "users: &u {zipf: 2}\n  open:") + "database: {pool: 3}\n")
    assert merged.scenario.traffic.users.zipf == 2.0


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    text = """\
service:
  deployment:
    readinessProbe: &probe {periodSeconds: 3, timeoutSeconds: 2}
    livenessProbe: {<<: *probe, periodSeconds: 9}
traffic: {open: {rate: 1}}
"""
    deployment = loaded(tmp_path, text).scenario.deployment
    assert deployment.liveness_probe is not None
    assert (deployment.liveness_probe.period_s, deployment.liveness_probe.timeout_s) == (9, 2)


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "checkout.yaml")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(tmp_path / "chekout.yaml")
    assert "scenario not found" in str(caught.value)
    assert "checkout.yaml" in caught.value.problems[0].hint
    with pytest.raises(ScenarioError, match="is a folder"):
        load_scenario(tmp_path)
    with pytest.raises(ScenarioError, match="cannot read scenario"):
        load_scenario("a\0b")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
    assert load_scenario("-").scenario.name == "checkout"
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ScenarioError, match="standard input is closed"):
        load_scenario("-")


# --- sections that are missing or do not fit ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("name: x\n", "how much traffic?", 1),
        (GOOD.replace("open: {rate: 2k/s}", "users: {zipf: 1}"), "how much traffic? give open", 5),
        (GOOD + "process:\n", "expected a mapping, got nothing (null)", 6),
        (GOOD + "release: {at: 11m}\n", "11m is after the run has ended (10m)", 6),
        (GOOD + "release: {at: 60s, undo_at: 30s}\n", "undo_at (30s) is before the release (1m)", 6),
        (GOOD + "release: {pause_at: 2m, undo_at: 3m}\n", "a paused Deployment cannot be undone", 6),
        (GOOD + "release: {resume_at: 2m}\n", "resume_at must come after pause_at", 6),
        (GOOD + "release: {then: [{at: 30s}]}\n", "must come after 1m, got 30s", 6),
        (GOOD + "release: {bug: {classes: {chekout: 1}}}\n", "there is no class 'chekout'", 6),
        (
            GOOD + "release: {deployment: {minReadySeconds: 700}}\n",
            "in the new revision's Deployment: progressDeadline",
            6,
        ),
        (GOOD + "faults: [{kind: database_down, at: 5, duration: 5}]\n", "needs a database", 6),
        (GOOD + "faults: [{kind: pod_kill, at: 5, mode: fixed}]\n", "mode fixed needs a value", 6),
        (GOOD + "faults: [{kind: pod_kill, at: 5, value: 3}]\n", "mode one takes no value", 6),
        (GOOD + "run: {duration: 1m, window: 2m}\nrelease: null\n", "longer (2m) than the run (1m)", 6),
        (GOOD + "database: {reserved: 100}\n", "leaves none of the 100 connections", 6),
        (GOOD + "client: {backoff: {base: 2s, cap: 1s}}\n", "cap (1s) is below base (2s)", 6),
        (GOOD + "process: {on_sigterm: lame_duck}\n", "lame_duck needs how long it lasts", 6),
        (GOOD + "process: {startup: {kind: empirical}}\n", "at least one of the measured values", 6),
        (GOOD + "process: {startup: {mean: 3s}}\n", "which kind? give kind: constant, exponential", 6),
        (GOOD + "process: {startup: {kind: lognormal, mean: 1s, p99: 20s}}\n", "no lognormal law has p99", 6),
        (GOOD + "process: {startup: {kind: uniform, low: 3s, high: 1s}}\n", "high (1s) is below low (3s)", 6),
        (GOOD + "process: {pid1_forwards: no}\n", 'expected true or false, got "no"', 6),
        (GOOD.replace("rate: 2k/s", "rate: 1, profile: []"), "got rate and profile", 5),
        (GOOD.replace("rate: 2k/s", "arrivals: bursty, rate: 1"), "bursty arrivals need a dispersion above 1", 5),
        (
            GOOD.replace("rate: 2k/s", "steps: [{at: 5, rate: 1}, {at: 5, rate: 2}]"),
            "times must rise, but 5s follows 5s",
            5,
        ),
        (GOOD.replace("rate: 2k/s", "rate: 0"), "must be more than 0/s, got 0", 5),
        (GOOD + "  classes: [{name: a, share: 50%}, {name: b, share: 40%}]\n", "50% + 40% = 90%", 6),
        (GOOD + "  classes: [{name: a, share: 50%}, {name: a, share: 50%}]\n", "two classes are called 'a'", 6),
        (GOOD + "  classes: [{queries: 2}]\n", "makes 2 queries, and this scenario has no database", 6),
    ],
)
def test_sections_that_do_not_fit(tmp_path: Path, text: str, message: str, line: int) -> None:
    found = problems_in(tmp_path, text)
    match = [one for one in found if message in one.message]
    assert match, [one.message for one in found]
    assert match[0].line == line


def test_what_is_deployed_must_be_said_once(tmp_path: Path) -> None:
    assert "what is deployed?" in only(tmp_path, "traffic: {open: {rate: 5}}\n").message
    assert "what is deployed?" in only(tmp_path, "service: {}\ntraffic: {open: {rate: 5}}\n").message
    both = only(tmp_path, "service: {manifest: m.yaml, deployment: {}}\ntraffic: {open: {rate: 5}}\n")
    assert both.message == "give manifest or deployment, not both"


def test_short_forms(tmp_path: Path) -> None:
    text = (
        GOOD
        + "process: {on_sigterm: {lame_duck: 5s}, pid1_forwards: true, startup: 90}\nrelease: {rollback: operator}\n"
    )
    scenario = loaded(tmp_path, text).scenario
    assert scenario.process.sigterm.kind is SigtermKind.LAME_DUCK
    assert scenario.process.sigterm.lame_duck_s == 5.0
    assert scenario.process.startup.expected_s == 90.0
    assert scenario.release is not None
    assert scenario.release.rollback.operator is not None
    shell = loaded(tmp_path, GOOD + "process: {pid1_forwards: false}\nrelease: null\nrun: {window: auto}\n").scenario
    assert shell.process.sigterm.kind is SigtermKind.IGNORE
    assert shell.release is None
    assert shell.run.window_s is None


def test_python_names_are_not_author_names(tmp_path: Path) -> None:
    problem = only(tmp_path, GOOD + "process: {ready_delay_s: 3}\n")
    assert "did you mean 'ready_delay'?" in problem.message


# --- overrides ------------------------------------------------------------------------------------------------------


def test_overrides_change_the_tree_in_order(tmp_path: Path) -> None:
    changes = [
        "service.deployment.replicas=7",
        "service.deployment.replicas=8",
        "traffic.classes[0].work=20ms",
        "faults[0]={kind: pod_kill, at: 70s, grace: 0}",
        "process.startup={kind: gamma, mean: 3s, cv: 0.5}",
        "service.deployment.readinessProbe=null",
        "database={}",
        "description=1.5 times",
    ]
    scenario = loaded(tmp_path, GOOD, overrides=changes).scenario
    assert scenario.deployment.replicas == 8
    assert scenario.traffic.classes[0].work.expected_s == 0.02
    assert scenario.faults[0].at_s == 70.0
    assert scenario.deployment.readiness_probe is None
    assert scenario.database is not None
    assert scenario.description == "1.5 times"


@pytest.mark.parametrize(
    ("override", "place", "message"),
    [
        ("service.deployment.replicas=x", ":1:29", 'expected a whole number, got "x"'),
        ("service.replicas=x", ":1:1", 'unknown field "replicas"'),
        ("replicas", ":1:1", "no '=' in it"),
        ("=3", ":1:1", "is not a path"),
        ("a..b=3", ":1:1", "is not a path"),
        ("name.first=3", ":1:1", "name is \"checkout\", which has no field 'first'"),
        ("traffic[0]=3", ":1:1", "not a list: [0] chooses from lists only"),
        ("faults[2].at=3", ":1:1", "faults has no [2]: it has none yet"),
        ("release.at=[", ":1:13", "not YAML"),
        ("release={at: 1, at: 2}", ":1:17", "is here twice"),
        ("process.startup={kind: gamma, mean: 1s, cv: 0}", ":1:45", "must be more than 0, got 0"),
        ("run.duration=1e999", ":1:14", "finite number"),
        ("run.duration=\x1b[31m", "", "control character"),
    ],
)
def test_a_bad_override_is_shown_where_it_is(tmp_path: Path, override: str, place: str, message: str) -> None:
    problem = only(tmp_path, GOOD, overrides=[override])
    assert problem.place.startswith("-s ")
    assert problem.place.endswith(place or problem.place)
    assert message in problem.message
    assert str(problem).replace("\n", "").isprintable()


def test_problems_of_overrides_come_after_those_of_files(tmp_path: Path) -> None:
    found = problems_in(tmp_path, GOOD + "procss: {}\n", overrides=["run.seed=x", "nonsense"])
    assert [(one.file or "").split()[0].split("/")[-1] for one in found] == ["s.yaml", "-s", "-s"]


def test_rate_replaces_the_shape_of_open_traffic(tmp_path: Path) -> None:
    text = GOOD.replace("rate: 2k/s", "diurnal: {mean: 5/s}, arrivals: deterministic")
    traffic = loaded(tmp_path, text, rate="30/m").scenario.traffic.open
    assert traffic is not None
    assert (traffic.rate, traffic.diurnal, traffic.arrivals) == (0.5, None, "deterministic")
    problem = only(tmp_path, GOOD, rate="fast")
    assert problem.place == "--rate fast:1:1"


# --- data files -----------------------------------------------------------------------------------------------------


def test_data_files_become_part_of_the_scenario(tmp_path: Path) -> None:
    write(tmp_path, "# exported\ntime,rps\n0,100\n1m,2k/s\n", "load.csv")
    write(tmp_path, "12ms\n0.03\n\n# slow one\n1s\n", "work.txt")
    text = GOOD.replace("rate: 2k/s", "csv: load.csv") + "  classes: [{work: {kind: empirical, file: work.txt}}]\n"
    found = loaded(tmp_path, text)
    traffic = found.scenario.traffic
    assert traffic.open is not None
    assert traffic.open.profile is not None
    assert [(point.at_s, point.rate) for point in traffic.open.profile] == [(0.0, 100.0), (60.0, 2000.0)]
    assert traffic.classes[0].work.expected_s == pytest.approx((0.012 + 0.03 + 1.0) / 3)
    assert len(found.files) == 3
    write(tmp_path, "0.1\n0.1\n7\n", "times.txt")
    times = loaded(tmp_path, GOOD.replace("rate: 2k/s", "times_file: times.txt")).scenario.traffic.open
    assert times is not None
    assert times.times_s == (0.1, 0.1, 7.0)


def test_a_prometheus_range_query_is_a_rate(tmp_path: Path) -> None:
    answer = {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": []}]}}
    values = answer["data"]["result"][0]["values"]  # type: ignore[index]
    values += [[1700000000, "100"], [1700000030, "NaN"], [1700000060.5, "250.5"]]
    write(tmp_path, json.dumps(answer), "rate.json")
    loaded = load_scenario(write(tmp_path, GOOD.replace("rate: 2k/s", "prometheus: rate.json")))
    assert loaded.scenario.traffic.open is not None
    profile = loaded.scenario.traffic.open.profile
    assert profile is not None
    assert [(point.at_s, point.rate) for point in profile] == [(0.0, 100.0), (60.5, 250.5)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "not the answer of a range query"),
        ('{"data": {"result": []}}', "not the answer of a range query"),
        ('{"data": {"result": [{"values": []}, {"values": []}]}}', "2 series"),
        ('{"data": {"result": [{"values": [[0, "x"]]}]}}', "sample 0"),
        ('{"data": {"result": [{"values": [[0, "-1"]]}]}}', "at least 0"),
        ('{"data": {"result": [{"values": [[5, "1"], [5, "1"]]}]}}', "times must rise"),
        ('{"data": {"result": [{"values": []}]}}', "no data"),
    ],
)
def test_a_bad_range_query_says_why(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path, text, "rate.json")
    assert says in only(tmp_path, GOOD.replace("rate: 2k/s", "prometheus: rate.json")).message


def test_bad_lines_of_a_data_file_are_named(tmp_path: Path) -> None:
    write(tmp_path, "time,rps\n0,100\nx,5\n60\n30,-5\n20,1\n", "load.csv")
    found = problems_in(tmp_path, GOOD.replace("rate: 2k/s", "csv: load.csv"))
    told = [(Path(one.file or "").name, one.line, one.code) for one in found]
    assert told == [("load.csv", 3, "ZD1021"), ("load.csv", 4, "ZD1021"), ("load.csv", 5, "ZD1021")]
    missing = only(tmp_path, GOOD.replace("rate: 2k/s", "csv: laod.csv"))
    assert (missing.line, missing.path) == (5, "traffic.open.csv")
    assert "load.csv" in missing.hint
    write(tmp_path, "# nothing\n", "load.csv")
    assert "no data" in only(tmp_path, GOOD.replace("rate: 2k/s", "csv: load.csv")).message


# --- what was assumed -----------------------------------------------------------------------------------------------


def test_values_nobody_gave_are_named(tmp_path: Path) -> None:
    lines = loaded(tmp_path, GOOD).assumed
    assert "process.startup: 2s constant (a manifest cannot say how long a container takes to listen)" in lines
    assert any(line.startswith("traffic.classes[0].work: lognormal, mean 50ms, p99 200ms (") for line in lines)
    assert any(line.startswith("database: none") for line in lines)
    assert any(line.startswith("cluster: ") for line in lines)
    assert not any(
        line.startswith(("process.pre_stop_exec", "process.init", "process.liveness_depth")) for line in lines
    )
    assert not any("reaction" in line for line in lines), "nobody is paged here"
    told = loaded(tmp_path, GOOD + "process: {startup: 2s, workers: 16}\nrelease: {rollback: operator}\n").assumed
    assert not any(line.startswith(("process.startup", "process.workers")) for line in told), (
        "said, even if as the default"
    )
    assert any(line.startswith("release.rollback.operator.reaction: lognormal, mean 2m, p99 10m (") for line in told)


def test_the_demo_needs_no_file() -> None:
    demo = demo_scenario()
    assert demo.deployment.replicas == 10
    assert demo.deployment.pre_stop is None
    assert demo.traffic.open is not None
    assert demo.traffic.open.rate == 200.0


def test_loading_is_light() -> None:
    """The verbs that only read (lint, schema, init) must not pay for numbers and plots."""
    code = (
        "import sys, zdsim.scenario, zdsim.scenario.schema\n"
        "heavy = {'numpy', 'scipy', 'pandas', 'matplotlib', 'simpy', 'numba'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
