"""The Python promise: what `simulate` takes."""

from pathlib import Path

import pytest

import zdsim

SCENARIO = """
service: {deployment: {replicas: 2}}
traffic: {open: {rate: 20/s}}
release: {at: 5s}
run: {duration: 20s, baseline: false}
"""


def test_simulate_takes_a_file_or_what_was_loaded(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SCENARIO)
    loaded = zdsim.load_scenario(path)
    digests = {zdsim.simulate(what, seed=3).digest for what in (path, str(path), loaded, loaded.scenario)}
    assert len(digests) == 1


def test_a_file_that_is_not_there_is_told_as_on_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(zdsim.ZdsimError, match="scenario not found"):
        zdsim.simulate(tmp_path / "nothere.yaml")
