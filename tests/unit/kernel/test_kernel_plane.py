"""The fast plane's own promises: room, slices, refusals, and where its code is kept."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from planekit import ALL_RETRIABLE, Call, Script, config, differences, exponential, play, serving

from zdsim.kernel import KernelPlane, arrivals, engine, jit, warm
from zdsim.plane.config import PlaneConfig
from zdsim.plane.laws import constant
from zdsim.plane.protocol import Stop
from zdsim.plane.vocabulary import Cause, ProbeAnswer, ProbeDepth, RouterMode, SignalKind

TESTS = Path(__file__).resolve().parents[2]


def storm() -> tuple[PlaneConfig, Script]:
    """Too much traffic for six pods that die, hang and drain under it, with everything switched on."""
    made = config(
        rate=800.0,
        duration_s=6.0,
        work=(exponential(0.03), exponential(0.01)),
        shares=(0.7, 0.3),
        query=exponential(0.02),
        queries=1,
        errors=0.01,
        n_revisions=2,
        n_proxies=2,
        n_closed=30,
        mode=RouterMode.REQUEST,
        retry_on_connect=1,
        backoff_s=np.array([0.05, 0.2]),
        retriable=ALL_RETRIABLE,
        pool=8,
        workers=3,
        queue=20,
        request_timeout_s=0.4,
        connect_timeout_s=0.1,
        db_pool=2,
        db_slots=6,
        db_pool_timeout_s=0.2,
        db_statement_timeout_s=0.1,
        resumable=np.array([True, False]),
    )
    calls = serving([0, 0, 0, 1, 1, 1], made)
    calls += [Call(1.0, "hang", (1,)), Call(2.0, "end_process", (1, Cause.LIVENESS_KILLED))]
    calls += [Call(1.5, "stop_accepting", (0,)), Call(2.5, "end_process", (2, Cause.CRASHED))]
    calls += [Call(2.7, "remove_network", (2,)), Call(3.0, "db_down"), Call(3.5, "db_up")]
    calls += [Call(t, "probe", (4, ProbeDepth.PROCESS), (("shared", True), ("ref", -7))) for t in (0.5, 1.0, 4.0)]
    return made, Script(tuple(calls))


def test_a_table_that_grows_changes_nothing() -> None:
    made, script = storm()
    small, large = play(KernelPlane(made, rows=1), script, 20.0), play(KernelPlane(made, rows=5000), script, 20.0)
    assert small.record.started > 4000
    assert len(set(small.record.log["outcome"])) >= 6
    assert differences(small, large) == []


def test_slicing_the_clock_changes_nothing() -> None:
    made, script = storm()
    whole = play(KernelPlane(made), script, 20.0)
    sliced = play(KernelPlane(made, rows=3), script, 20.0, cuts=np.linspace(0.0, 20.0, 701))
    assert differences(whole, sliced) == []


def test_every_request_ends_once() -> None:
    made, script = storm()
    plane = KernelPlane(made)
    record = play(plane, script, 60.0).record
    assert record.started == record.ended == record.counts.sum() == record.log.size
    assert plane.open_requests == 0
    assert np.unique(record.log["id"]).size == record.log.size
    assert plane._row["n_live"] == plane._row["n_events"] == 0


def test_pods_beyond_the_first_room_keep_what_they_had() -> None:
    """Rows by proxy and pod are laid out anew when pods are added in the middle of traffic."""
    made = config(rate=200.0, duration_s=4.0, n_proxies=3, mode=RouterMode.REQUEST, pool=4)
    once = serving(range(1), made) + [Call(0.0, "add_pod", (0,)) for _ in range(39)]
    late = serving(range(1), made) + [Call(0.1 * n, "add_pod", (0,)) for n in range(39)]
    rest = [Call(3.9, "start_process", (row,)) for row in (20, 39)] + [Call(3.9, "set_view", (1, (20, 39)))]
    a = play(KernelPlane(made), Script((*once, *rest)), 10.0)
    b = play(KernelPlane(made), Script((*late, *rest)), 10.0)
    assert a.record.pod_served[20] > 0
    assert a.record.log.tobytes() == b.record.log.tobytes()
    assert a.record.pod_served.tolist() == b.record.pod_served.tolist()


def test_signals_hold_the_plane_until_they_are_taken() -> None:
    made = config(times_s=[0.0], work=(constant(1.0),))
    plane = KernelPlane(made)
    row = plane.add_pod(0, 0.0)
    plane.start_process(row, 0.0)
    plane.set_view(0, [row], 0.0)
    assert plane.advance(0.5) is Stop.REACHED
    assert plane.load(row) == 1
    assert not plane.stop_accepting(row, 0.5)
    assert plane.advance(9.0) is Stop.SIGNAL
    assert plane.advance(9.0) is Stop.SIGNAL
    assert plane.now == 1.0
    (signal,) = plane.take_signals()
    assert (signal.kind, signal.pod, signal.ref, signal.time) == (SignalKind.IDLE, row, row, 1.0)
    assert plane.advance(9.0) is Stop.REACHED


@pytest.mark.parametrize("ref", [-1, 0, 12345678, -99])
def test_a_probe_keeps_its_reference(ref: int) -> None:
    plane = KernelPlane(config(times_s=[], has_db=True))
    row = plane.add_pod(0, 0.0)
    plane.start_process(row, 0.0)
    assert plane.probe(row, ProbeDepth.DEPENDENCIES, 0.0, shared=True, ref=ref) is ProbeAnswer.PENDING
    plane.db_down(0.0)
    assert plane.advance(1.0) is Stop.SIGNAL
    (signal,) = plane.take_signals()
    assert (signal.kind, signal.ref, signal.ok) == (SignalKind.PROBE_DONE, ref, False)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="63 attempts"):
        KernelPlane(config(backoff_s=np.zeros(63)))
    with pytest.raises(ValueError, match="closed users"):
        KernelPlane(config(n_closed=1 << 23))
    plane = KernelPlane(config())
    with pytest.raises(IndexError, match="no pod 0"):
        plane.start_process(0, 0.0)
    with pytest.raises(ValueError, match="unknown pods"):
        plane.set_view(0, [3], 0.0)


def test_one_copy_of_the_code_whatever_the_configuration() -> None:
    """Another type of argument would compile everything anew, in every process."""
    warm()
    for made in (config(times_s=[]), config(n_users=1), storm()[0]):
        KernelPlane(made).advance(0.1)
    assert len(engine.play.signatures) == 1
    assert len(arrivals._draw.signatures) == 1


# --- where the code is kept -----------------------------------------------------------------------------------
def test_cache_folder_follows_the_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    folder = jit.choose_cache_folder()
    assert folder == tmp_path / "xdg" / "zdsim" / f"kernel-{jit.source_digest()}"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    assert jit.choose_cache_folder() == tmp_path / "numba" / "zdsim" / f"kernel-{jit.source_digest()}"
    monkeypatch.setattr(jit, "CHECKED", not jit.CHECKED)
    assert jit.choose_cache_folder() not in (folder, None)


def test_other_users_of_numba_keep_their_settings() -> None:
    code = "import os, numba; old = numba.config.CACHE_DIR, dict(os.environ); import zdsim.kernel; "
    code += "print((numba.config.CACHE_DIR, dict(os.environ)) == old)"
    assert _python(code).strip() == "True"


def test_without_a_home_a_private_folder_and_without_that_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(file / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = jit.choose_cache_folder()
    assert folder is not None
    assert folder.parent == tmp_path
    monkeypatch.setattr("tempfile.tempdir", str(file / "tmp"))
    assert jit.choose_cache_folder() is None


def _python(code: str, **env: str) -> str:
    """Run `code` in a Python of its own."""
    full = {**os.environ, **env, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    done = subprocess.run([sys.executable, "-c", code], env=full, capture_output=True, text=True, timeout=270)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_import_survives_without_any_writable_folder() -> None:
    """Numba itself would raise here, at import."""
    gone = os.devnull + "/gone"
    code = f"import tempfile; tempfile.tempdir = {gone!r}; import zdsim.kernel; print(zdsim.kernel.plane.play.__name__)"
    code += "; from zdsim.kernel.jit import CACHE_FOLDER; print(CACHE_FOLDER)"
    assert _python(code, HOME=gone, XDG_CACHE_HOME=gone, NUMBA_CACHE_DIR=gone).split() == ["play", "None"]


def test_nobody_else_imports_the_kernel() -> None:
    code = "import sys, zdsim, zdsim.plane.config; print('numba' in sys.modules or 'zdsim.kernel' in sys.modules)"
    assert _python(code).strip() == "False"


CHECKED = """
from hypothesis import HealthCheck, given, seed, settings
from planedraws import scenarios
from planekit import config, play, serving, Script
from zdsim.kernel import KernelPlane, arrivals, engine, jit, warm
assert jit.CHECKED

@seed(5)
@settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(scenarios())
def run(scenario):
    made, script = scenario
    play(KernelPlane(made, rows=1), script, 20.0)  # every call and every advance asserts that no index was bad

run()
made = config()
plane = KernelPlane(made)
play(plane, Script(tuple(serving([0], made))), 0.5)
plane._tables["views"]["v"] = 10**6
try:
    plane.advance(2.0)
except AssertionError as error:
    print(error)
"""


@pytest.mark.slow
def test_no_index_is_out_of_bounds(tmp_path: Path) -> None:
    """With every row index checked, random situations in the smallest tables; and a bad index is found."""
    out = _python(CHECKED, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))
    assert "row out of bounds in table" in out
