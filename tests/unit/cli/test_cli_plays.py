"""The command line and Python with a real run behind them: a small one, on the reference plane (no compiler)."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_record import silent_record

import zdsim
import zdsim.cli
from zdsim.api import Run

SCENARIO = """\
name: small
service: {deployment: {replicas: 3, readinessProbe: {periodSeconds: 2}}}
process: {startup: 2s, on_sigterm: exit}
traffic: {open: {rate: 30/s}, users: {population: 200}}
release: {at: 10s}
run: {duration: 40s, seed: 5, plane: reference}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plays")
    (path / "small.yaml").write_text(SCENARIO, encoding="utf-8")
    assert zdsim.cli.run(["run", str(path / "small.yaml"), "-q", "-o", str(path / "kept")]) == 0
    return path


def test_the_same_run_again_is_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zdsim.cli.run(["verify", str(folder / "kept")]) == 0
    assert "the same run again" in capsys.readouterr().out
    assert zdsim.cli.run(["run", str(folder / "small.yaml"), "--json"]) == 0
    assert capsys.readouterr().out.encode() == (folder / "kept" / "result.json").read_bytes()


def test_python_and_the_command_line_agree(folder: Path) -> None:
    run = zdsim.simulate(zdsim.load_scenario(folder / "small.yaml"))
    assert run.summary() == json.loads((folder / "kept" / "result.json").read_text(encoding="utf-8"))
    asked = run.summary()["requests"]
    assert run.windows().filter(like="_requests").to_numpy().sum() == asked["total"]
    assert len(run.lost()) == asked["dropped"]
    assert set(run.pods()["revision"]) == {"v1", "v2"}
    assert "release" in set(run.events()["kind"])


def test_another_seed_is_another_run(folder: Path) -> None:
    loaded = zdsim.load_scenario(folder / "small.yaml")
    assert zdsim.simulate(loaded, seed=6).digest != zdsim.simulate(loaded).digest


def test_progress_rises_to_the_end(folder: Path) -> None:
    shares: list[float] = []
    zdsim.simulate(zdsim.load_scenario(folder / "small.yaml"), progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


edits = st.tuples(
    st.integers(0, len(SCENARIO) - 1),
    st.integers(0, 8),
    st.sampled_from(
        [
            "",
            "\t",
            ":",
            "{",
            "}",
            "[",
            "- ",
            "'",
            '"',
            "&a ",
            "*a",
            "!!int ",
            "\x00",
            "\ud7ff",
            "9" * 30,
            "-1",
            "null",
            ".inf",
            "%",
            "\n",
        ]
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(edits, min_size=1, max_size=3))
def test_no_edit_of_a_scenario_ends_in_a_traceback(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: list[tuple[int, int, str]],
) -> None:
    """ecosystem.md 4.3: any mutated file gives an exit code of the table, never a bug's."""
    monkeypatch.setattr("zdsim.api.simulate", lambda *_, **__: Run(silent_record()))
    text = SCENARIO
    for at, length, new in changes:
        text = text[:at] + new + text[at + length :]
    (tmp_path / "edited.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    assert zdsim.cli.run(["run", str(tmp_path / "edited.yaml"), "--json"]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        ("{kind: canary, weights: [50%, 100%], hold: 1h}", "-s run.duration=1m"),
        ("{kind: canary, steps: [{weight: 50%}, {pause: true}]}", "-s release.promote_at="),
    ],
)
def test_a_rollout_that_is_not_over_tells_how_to_see_its_end(
    strategy: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(
        "name: web\nservice: {deployment: {replicas: 2}}\nprocess: {startup: 1s}\ntraffic: {open: {rate: 20/s}}\n"
        f"release: {{at: 5s, strategy: {strategy}}}\nrun: {{duration: 30s}}\n",
        encoding="utf-8",
    )
    assert zdsim.cli.run(["run", str(path), "--no-files", "--plane", "reference"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "50 % of requests to v2" in out
    assert "pause, until the run ends" in out
    assert "paused when the run ended" in out
    assert told in out
