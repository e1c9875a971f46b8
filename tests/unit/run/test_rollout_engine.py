"""Do a strategy's own words reach the world that plays them?"""

from typing import Any

import pytest
from worldkit import Play, play, scenario

BLUE_GREEN: dict[str, Any] = {"kind": "blue_green", "smoke": None, "keep_old": "20s"}
CANARY: dict[str, Any] = {"kind": "canary", "weights": [0.5], "hold": "20s", "analysis": None}


def released(strategy: dict[str, Any], **release: Any) -> Play:
    return play(scenario(release={"strategy": strategy, **release}))


def first_routed_s(played: Play) -> float:
    """The window of the first request sent to the new revision."""
    return float(played.counts.routed[:, 1].nonzero()[0][0])


def test_a_switch_takes_its_lag() -> None:
    """Five seconds later than without one, and until then everybody is served by the old side."""
    at_once, later = (released(BLUE_GREEN | more) for more in ({}, {"switch_lag": "5s"}))
    assert first_routed_s(later) - first_routed_s(at_once) == pytest.approx(5.0, abs=1.0)
    assert at_once.lost == later.lost == 0


@pytest.mark.parametrize("strategy", [CANARY, BLUE_GREEN | {"promotion": "manual"}], ids=["canary", "blue-green"])
@pytest.mark.parametrize(("stay", "deleted_s"), [("0s", 15.0), ("4s", 19.0), (None, None)])
def test_new_pods_after_an_abort(strategy: dict[str, Any], stay: str | None, deleted_s: float | None) -> None:
    """They stay as long as written: not at all, four seconds, for ever."""
    played = released(strategy | {"abort_scale_down": stay}, abort_at="15s")
    ends = [life.deleted_s for life in played.pods if life.revision == 1]
    assert ends
    if deleted_s is None:
        assert ends == [None] * len(ends)
    else:
        assert [end for end in ends if end is None or not deleted_s <= end < deleted_s + 1.5] == []


def test_a_manual_promotion_waits_for_its_human() -> None:
    manual = BLUE_GREEN | {"promotion": "manual"}
    assert released(manual).counts.routed[:, 1].sum() == 0
    assert first_routed_s(released(manual, promote_at="20s")) == pytest.approx(20.0, abs=1.5)


def test_what_a_human_does_in_vain_is_refused_in_the_journal() -> None:
    """A Deployment knows no promotion."""
    played = play(scenario(release={"promote_at": "9s"}))
    refused = [entry for entry in played.world.journal if entry.reason == "Refused"]
    assert [entry.time for entry in refused] == [9.0]
