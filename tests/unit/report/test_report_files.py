"""Files of a run: whole or not at all, the same for the same run, never in somebody else's way."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from synthetic_record import rolling_record, silent_record

from zdsim.api import Run
from zdsim.errors import ZdsimError
from zdsim.measure.summary import summarise
from zdsim.plane.vocabulary import Outcome
from zdsim.report import files, tables
from zdsim.report.files import FILES, OutputError, check_folder, default_folder, read_manifest, write_run, write_text

RECORD = rolling_record(n_windows=150, rate=50.0)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time and is not what these tests are about."""
    monkeypatch.setattr("zdsim.report.figure.timeline", lambda record: None)
    monkeypatch.setattr("zdsim.report.figure.save", lambda figure, path: path.write_bytes(b"picture"))


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "deep" / "web-7"
    write_run(RECORD, summarise(RECORD), path)
    return path


def test_every_file_is_there_and_nothing_else(folder: Path) -> None:
    assert set(written(folder)) == set(FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["web-7"]


def test_result_is_the_summary(folder: Path) -> None:
    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == summarise(RECORD)


def test_events_are_one_object_a_line(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(RECORD.events)
    assert rows[0] == {
        "time_s": 120.0,
        "kind": "release",
        "subject": "deployment/web",
        "reason": "TemplateChanged",
        "message": "v1 -> v2",
        "data": {"revision": 2},
    }


def test_windows_hold_every_request_and_attempt(folder: Path) -> None:
    with (folder / "windows.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 150 * 3
    for outcome in Outcome:
        assert (
            sum(int(row[f"{outcome.name.lower()}_requests"]) for row in rows)
            == RECORD.counts.counts[..., outcome].sum()
        )
    assert sum(int(row["routed_attempts"]) for row in rows) == RECORD.counts.routed.sum()
    assert rows[2]["revision"] == tables.NO_POD
    assert rows[2]["latency_p50_s"] == ""  # missing, not zero
    assert 0.02 < float(rows[0]["latency_p50_s"]) < 0.1


def test_manifest_is_enough_to_repeat_the_run(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert (manifest.seed, manifest.plane, manifest.digest) == (7, "kernel", RECORD.digest)
    assert manifest.scenario == RECORD.scenario
    assert manifest.versions == RECORD.versions
    assert manifest.assumed == RECORD.assumed


def test_the_same_run_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = rolling_record(n_windows=150, rate=50.0, wall_s=99.0)  # however long it took
    write_run(again, summarise(again), tmp_path / "web-7")
    assert written(tmp_path / "web-7") == written(folder)


@pytest.mark.usefixtures("no_pictures")
def test_an_earlier_run_is_replaced_and_a_note_beside_it_kept(tmp_path: Path) -> None:
    target = tmp_path / "web-7"
    silent = silent_record()
    write_run(silent, summarise(silent), target)
    (target / "notes.md").write_text("mine", encoding="utf-8")
    (target / "sub").mkdir()
    write_run(RECORD, summarise(RECORD), target)
    assert set(written_names(target)) == {*FILES, "notes.md", "sub"}
    assert (target / "notes.md").read_text(encoding="utf-8") == "mine"
    assert json.loads((target / "result.json").read_text(encoding="utf-8"))["requests"]["total"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["web-7"]


def written_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.usefixtures("no_pictures")
def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    silent = silent_record()
    write_run(silent, summarise(silent), tmp_path)
    assert set(written_names(tmp_path)) == set(FILES)


@pytest.mark.usefixtures("no_pictures")
def test_the_folder_one_stands_in_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    silent = silent_record()
    for _ in range(2):
        write_run(silent, summarise(silent), Path("."))
        assert set(written_names(Path("."))) == set(FILES)
    assert written_names(tmp_path) == ["here"]


@pytest.mark.usefixtures("no_pictures")
def test_a_folder_behind_a_link_is_taken(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    silent = silent_record()
    write_run(silent, summarise(silent), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert set(written_names(tmp_path / "real")) == set(FILES)


def test_a_foreign_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"kind": "something else"}', encoding="utf-8")
    with pytest.raises(OutputError, match="not empty and no zdsim run"):
        write_run(RECORD, summarise(RECORD), tmp_path)
    assert written_names(tmp_path) == ["manifest.json"]


def test_what_is_in_the_way_is_said_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="a file is in the way"):
        check_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="is a file, so no folder can be made"):
        check_folder(tmp_path / "file" / "deeper" / "still")
    with pytest.raises(OutputError):
        check_folder(tmp_path / ("x" * 300))
    check_folder(tmp_path / "new" / "folder")
    assert written_names(tmp_path) == ["file"]


@pytest.mark.usefixtures("no_pictures")
def test_a_failure_half_way_leaves_the_earlier_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "web-7"
    silent = silent_record()
    write_run(silent, summarise(silent), target)
    before = written(target)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zdsim.report.figure.save", full)
    with pytest.raises(OutputError, match="No space left"):
        write_run(RECORD, summarise(RECORD), target)
    assert written(target) == before
    assert written_names(tmp_path) == ["web-7"]


@pytest.mark.usefixtures("no_pictures")
def test_a_failed_swap_puts_the_earlier_run_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "web-7"
    silent = silent_record()
    write_run(silent, summarise(silent), target)
    before = written(target)
    rename = Path.rename

    def refuse_partial(self: Path, to: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(13, "Permission denied")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse_partial)
    with pytest.raises(OutputError, match="Permission denied"):
        write_run(RECORD, summarise(RECORD), target)
    assert written(target) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no manifest of a zdsim run"),
        ('{"kind": "zdsim run", "schema_version": 2}', "schema_version 2"),
        ('{"kind": "zdsim run", "schema_version": 1}', "'scenario' is missing"),
        ('{"kind": "zdsim run", "schema_version": 1, "scenario": {}, "seed": "7"}', "'seed' has the wrong type"),
        ('{"kind": "zdsim run", "schema_version": 1, "scenario": {}, "seed": true}', "'seed' has the wrong type"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ZdsimError, match=said):
        read_manifest(tmp_path)


def test_binary_rubbish_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ZdsimError, match="not JSON"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("name", "folder_name"),
    [
        ("web", "web-7"),
        ("../../etc", "etc-7"),
        ("", "run-7"),
        ("a b/c", "a-b-c-7"),
        ("..", "run-7"),
        ("\u670d", "run-7"),
    ],
)
def test_the_default_folder_stays_in_reports(name: str, folder_name: str) -> None:
    assert default_folder(name, 7) == Path("reports") / folder_name


def test_one_file_is_written_whole_or_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", "{}")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "{}"
    for path in (tmp_path, tmp_path / "nowhere" / "a.json", tmp_path / "a.json" / "b"):
        with pytest.raises(OutputError):
            write_text(path, "{}")
    assert written_names(tmp_path) == ["a.json"]


def test_json_text_never_writes_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.json_text({"a": float("nan")})


def test_a_run_has_tables() -> None:
    run = Run(RECORD)
    windows = run.windows()
    assert len(windows) == 150 * 3
    assert windows["ok_requests"].sum() == RECORD.counts.counts[..., Outcome.OK].sum()
    assert list(run.events()["reason"][:1]) == ["TemplateChanged"]
    assert len(run.pods()) == len(RECORD.pods)
    lost = run.lost()
    assert set(lost["cause"]) == {"draining"}
    assert set(lost["outcome"]) == {"refused"}
    silent = Run(silent_record())
    assert len(silent.lost()) == 0
    assert np.isnan(silent.windows()["latency_p99_s"]).all()


def test_a_run_shows_itself_in_a_notebook() -> None:
    html = Run(rolling_record(n_windows=150, rate=50.0, name="<script>alert(1)</script>"))._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "data:image/png;base64," in html
    assert "preStop sleep" in html
    assert "of requests" not in repr(Run(RECORD))
    assert "requests dropped" in repr(Run(RECORD))


def test_a_summary_is_the_callers_to_change() -> None:
    run = Run(RECORD)
    run.summary()["requests"]["total"] = -1
    assert run.summary()["requests"]["total"] > 0
