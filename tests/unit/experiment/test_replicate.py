"""Cells: the same answer on any number of workers, whole rows when interrupted. Small runs of the reference plane."""

import pytest

from zdsim.errors import ZdsimError
from zdsim.experiment import replicate
from zdsim.experiment.compare import compare
from zdsim.experiment.contenders import Contender, load_all, strategies, variant
from zdsim.report.files import json_text
from zdsim.run import simulate

SMALL = """\
name: small
service: {deployment: {replicas: 2, readinessProbe: {periodSeconds: 2}}}
process: {startup: 1s}
traffic: {open: {rate: 20/s}, users: {population: 200}}
release: {at: 3s}
run: {duration: 15s, plane: reference, seed: 5}
"""


@pytest.fixture(scope="module")
def contenders(tmp_path_factory: pytest.TempPathFactory) -> list[Contender]:
    path = tmp_path_factory.mktemp("scenarios") / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return load_all([str(path)], variants=strategies("rolling,recreate"), with_original=False)


def test_workers_change_no_byte(contenders: list[Contender]) -> None:
    shown: list[float] = []
    alone = compare(contenders, replications=2, workers=1, progress=shown.append)
    beside = compare(contenders, replications=2, workers=2)
    assert json_text(alone.result) == json_text(beside.result)
    assert alone.played == beside.played
    assert shown == pytest.approx([k / 4 for k in range(1, 5)])


def test_a_cell_is_that_run(contenders: list[Contender]) -> None:
    found = compare(contenders, replications=2, seed=8, workers=1, baseline=True)
    assert [cell.seed for cell in found.played[0].cells] == [8, 9]
    for who, one in zip(found.played, contenders, strict=True):
        record = simulate(one.loaded, 9)
        assert who.cells[1].digest == record.digest
        assert record.baseline is not None
        lost = int(record.baseline.counts.sum() - record.baseline.counts[..., 0].sum())
        cell = who.cells[1]
        assert cell.values["excess_share"] == (cell.dropped - lost) / cell.total


def test_the_first_scenario_names_the_first_seed(contenders: list[Contender]) -> None:
    found = compare(contenders, replications=1, workers=1)
    assert found.result["replications"] == {"asked": 1, "done": 1, "first_seed": 5, "last_seed": 5}
    assert any("One replication" in note for note in found.result["notes"])


def test_equal_scenarios_differ_by_nothing(contenders: list[Contender]) -> None:
    twin = Contender("twin", contenders[0].loaded, contenders[0].source)
    found = compare([contenders[0], twin], replications=2, workers=1)
    assert all(row["mean"] in (0.0, None) for row in found.result["differences"])
    assert any("same scenario" in note for note in found.result["notes"])


def test_traffic_that_differs_is_told(contenders: list[Contender]) -> None:
    source = contenders[0].source
    both = load_all([source], variants=[variant("busy:traffic.open.rate=30/s")])
    found = compare(both, replications=1, workers=1)
    assert any("traffic.open.rate" in note for note in found.result["notes"])


def test_interrupted_work_keeps_whole_replications(contenders: list[Contender]) -> None:
    def impatient(share: float) -> None:
        if share >= 5 / 8:
            raise KeyboardInterrupt

    found = compare(contenders, replications=4, workers=1, progress=impatient)
    assert found.interrupted
    assert found.result["interrupted"]
    assert found.result["replications"]["done"] == 2  # five cells: two whole replications, and half of one
    assert any("Interrupted: 2 of 4" in note for note in found.result["notes"])
    whole = compare(contenders, replications=2, workers=1)
    assert [who.cells for who in whole.played] == [who.cells for who in found.played]


def test_interrupted_before_anything_is_whole(contenders: list[Contender]) -> None:
    def at_once(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(contenders, replications=4, workers=1, progress=at_once)


def test_what_cannot_be_played_is_told_by_name(contenders: list[Contender], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(scenario: object, seed: int, **_: object) -> None:
        raise ZdsimError("no room")

    monkeypatch.setattr(replicate, "simulate", refuse)
    with pytest.raises(ZdsimError, match="rolling, seed 5: no room"):
        compare(contenders, replications=1, workers=1, plane="reference")


def test_seeds() -> None:
    assert list(replicate.seeds_of(7, 3)) == [7, 8, 9]
    with pytest.raises(ZdsimError, match="at least 1"):
        replicate.seeds_of(1, 0)
    with pytest.raises(ZdsimError, match="largest seed"):
        replicate.seeds_of(replicate.MAX_SEED, 2)
    assert replicate.cores() >= 1
