"""Scenarios, variants and strategies: who plays, under which name, and every mistake at once."""

from pathlib import Path

import pytest

from zdsim.errors import ScenarioError, ZdsimError
from zdsim.experiment.contenders import Variant, differing, dumped, load_all, strategies, undisturbed, variant
from zdsim.scenario.model import Scenario

SHOP = """\
name: shop
service: {deployment: {replicas: 4, strategy: {rollingUpdate: {maxSurge: 1}}}}
traffic: {open: {rate: 100/s}}
run: {duration: 5m, seed: 11}
"""


@pytest.fixture
def shop(tmp_path: Path) -> str:
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:b=1", Variant("a", ("b=1",))),
        ("a:b=1,c.d=2s", Variant("a", ("b=1", "c.d=2s"))),
        ("a: b={x: 1, y: [2, 3]}, c=4", Variant("a", ("b={x: 1, y: [2, 3]}", "c=4"))),
        ("a:b='x,y'", Variant("a", ("b='x,y'",))),
    ],
)
def test_variants(text: str, expected: Variant) -> None:
    assert variant(text) == expected


@pytest.mark.parametrize("text", ["", "a", "a:", ":b=1", "b=1", "b=1:c"])
def test_a_variant_needs_a_name_and_a_change(text: str) -> None:
    with pytest.raises(ZdsimError, match="NAME:path=value"):
        variant(text)


def test_strategies_of_one_scenario(shop: str) -> None:
    found = load_all([shop], variants=strategies("rolling, recreate"), with_original=False)
    assert [one.name for one in found] == ["rolling", "recreate"]
    assert [one.loaded.scenario.release.strategy.kind for one in found] == ["rolling", "recreate"]  # type: ignore[union-attr]
    first, second = (dumped(one) for one in found)
    assert all(path.startswith("release.strategy") for path in differing(first, second))
    assert differing(first, first) == []


def test_a_scenarios_own_strategy_keeps_its_settings(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(SHOP + "release: {strategy: {kind: canary, weights: [5%, 100%], hold: 30s}}\n", encoding="utf-8")
    canary, blue_green = load_all([str(path)], variants=strategies("canary,blue-green"), with_original=False)
    assert canary.overrides == ()
    assert canary.loaded.scenario.release.strategy.weights == (0.05, 1.0)  # type: ignore[union-attr]
    assert blue_green.overrides == ("release.strategy={kind: blue_green}",)
    assert blue_green.name == "blue-green"


def test_unknown_strategies_are_told_with_the_known_ones() -> None:
    with pytest.raises(ZdsimError, match="rolling, recreate") as told:
        strategies("rolling,warp")
    assert "'warp'" in str(told.value)


def test_a_variant_is_played_beside_its_original(shop: str) -> None:
    found = load_all([shop], variants=[variant("big:service.deployment.replicas=9")], overrides=["run.duration=2m"])
    assert [(one.name, one.loaded.scenario.deployment.replicas) for one in found] == [("shop", 4), ("big", 9)]
    assert all(one.loaded.scenario.run.duration_s == 120.0 for one in found)
    assert differing(*(dumped(one) for one in found)) == ["service.deployment.replicas"]


def test_names_are_told_apart(shop: str, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(SHOP, encoding="utf-8")
    assert [one.name for one in load_all([shop, str(other)])] == ["shop", "other"]
    assert [one.name for one in load_all([shop, shop])] == ["shop#1", "shop#2"]
    both = load_all([shop, str(other)], variants=[variant("v:run.duration=2m")])
    assert len({one.name for one in both}) == 4


def test_every_mistake_of_every_scenario_is_told_at_once(shop: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(SHOP.replace("replicas: 4", "replica: 4"), encoding="utf-8")
    with pytest.raises(ScenarioError) as told:
        load_all([shop, str(bad), str(tmp_path / "absent.yaml")], variants=[variant("v:run.seed=x")])
    text = str(told.value)
    assert "bad.yaml" in text
    assert "absent.yaml" in text
    assert "run.seed" in text
    assert text.count("absent.yaml") == 1


def test_one_is_no_comparison(shop: str) -> None:
    with pytest.raises(ZdsimError, match="needs two"):
        load_all([shop])


def test_services_that_differ_in_their_release_only_share_a_baseline(shop: str) -> None:
    found = load_all([shop], variants=[*strategies("recreate"), variant("bug:release.bug.error_rate=20%")])
    bases = [undisturbed(dumped(one)) for one in found]
    assert bases[0] == bases[1] == bases[2]
    alone = Scenario.model_validate(bases[0])
    assert alone.release is None
    assert alone.faults == ()
    assert alone.deployment.replicas == 4
