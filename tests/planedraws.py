"""Which situations can a request plane meet? Hypothesis strategies of small configurations and scripts.

Half of what is drawn lies on a grid of binary fractions with constant laws, so that many things happen at the same
instant and the order of MODEL.md 2 decides; the other half is continuous. Short timeouts, tiny pools and empty
waiting rooms are common on purpose: whatever can be exhausted should be.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from numpy.typing import NDArray
from planekit import Call, Script, config, exponential, lognormal

from zdsim.plane.config import NEVER, PlaneConfig
from zdsim.plane.laws import constant
from zdsim.plane.traffic import Arrivals
from zdsim.plane.vocabulary import N_OUTCOMES, Algorithm, Cause, Jitter, Outcome, ProbeDepth, RouterMode

GRID = 1.0 / 16.0
DURATION_S = 3.0

T = TypeVar("T")

_EXP = {mean: exponential(mean) for mean in (0.02, 0.06, 0.15)}
_LOG = lognormal(0.05, 1.2)
_WORK = [*_EXP.values(), _LOG, *(constant(k * GRID) for k in (0, 1, 2, 5)), constant(0.03)]
_QUERY = [_EXP[0.02], _EXP[0.06], *(constant(k * GRID) for k in (0, 1, 2))]
_THINK = [constant(GRID), constant(4 * GRID), _EXP[0.06], _EXP[0.15]]

#: Causes that a control plane names when it ends a process.
_ENDS = [Cause.KILLED_AT_GRACE_END, Cause.CRASHED, Cause.LIVENESS_KILLED, Cause.POD_KILLED]

#: What may happen, and how often: kind, weight.
_EVENTS = {
    "drain": 3,
    "kill": 2,
    "restart": 3,
    "hang": 3,
    "probe": 2,
    "view": 2,
    "weights": 2,
    "slow": 1,
    "error": 1,
    "work": 1,
    "queries": 1,
    "closing": 2,
    "removed": 1,
    "memory": 1,
    "remove": 1,
    "match": 1,
    "cookie": 2,
    "mirror": 2,
}
_DB_EVENTS = {"down": 3, "up": 1, "db_factor": 2, "db_max": 4}


class Dice:
    """Draws one of some options. By Hypothesis: what fails is made simple; by a seed: every option is as likely."""

    def __init__(self, below: Callable[[int], int]) -> None:
        self._below = below

    def one(self, options: Sequence[T]) -> T:
        return options[self._below(len(options))]

    def whole(self, low: int, high: int) -> int:
        return low + self._below(high - low + 1)

    def flag(self) -> bool:
        return bool(self._below(2))

    def flags(self, n: int) -> NDArray[np.bool_]:
        return np.array([self.flag() for _ in range(n)], dtype=np.bool_)

    def table(self, options: Sequence[Any], rows: int, columns: int, dtype: Any = np.float64) -> NDArray[Any]:
        return np.array([[self.one(options) for _ in range(columns)] for _ in range(rows)], dtype=dtype)

    def time(self, latest_s: float = DURATION_S + 1.0) -> float:
        if self.flag():
            return self.whole(0, int(latest_s / GRID)) * GRID
        return self.whole(0, int(latest_s * 1e4)) / 1e4


def _traffic(dice: Dice) -> dict[str, Any]:
    kind = dice.one(list(Arrivals))
    if kind is Arrivals.EXPLICIT:
        ticks = [dice.whole(0, int(DURATION_S / GRID) - 1) for _ in range(dice.whole(0, 60))]
        return {"times_s": [tick * GRID for tick in sorted(ticks)]}
    return {"arrivals": kind, "rate": dice.one([4.0, 16.0, 50.0]), "dispersion": 5.0}


def _client(dice: Dice) -> dict[str, Any]:
    patience = [2.0, 1.0, 0.7, NEVER, 8 * GRID, 4 * GRID, 2 * GRID, GRID, 0.1, 0.0]
    out: dict[str, Any] = {
        "connect_timeout_s": dice.one([1.0, GRID, 4 * GRID, 0.0]),
        "request_timeout_s": dice.one(patience),
    }
    if dice.flag():
        backoff = [dice.one([0.0, GRID, 0.1, 4 * GRID]) for _ in range(dice.whole(0, 3))]
        flags = np.ones(N_OUTCOMES, dtype=np.bool_) if dice.flag() else dice.flags(N_OUTCOMES)
        flags[Outcome.OK] = False
        out |= {
            "backoff_s": np.array(backoff),
            "jitter": dice.one(list(Jitter)),
            "retriable": flags,
            "retry_budget": dice.one([NEVER, 0.0, 0.1, 0.5]),
            "retry_burst": dice.one([10.0, 0.0, 1.0, 2.5]),
        }
    if dice.whole(0, 2):
        out |= {
            "pool": dice.whole(1, 4),
            "client_idle_s": dice.one([60.0, 60.0, 4 * GRID, 0.3, 0.0]),
            "max_age_s": dice.one([NEVER, NEVER, 8 * GRID, 0.4]),
            "server_idle_s": dice.one([75.0, 4 * GRID, 2 * GRID, 0.15]),
            "close_notice_s": dice.one([0.0005, 4 * GRID, GRID, 0.2, 0.0]),
        }
    if dice.flag():
        out["n_closed"] = dice.whole(1, 4)
    return out


def _database(dice: Dice) -> dict[str, Any]:
    if not dice.whole(0, 2):
        return {}
    patience = [NEVER, 1.0, 4 * GRID, GRID, 0.1, 0.0]
    return {
        "has_db": True,
        "db_pool": dice.whole(1, 4),
        "db_eager": dice.flag(),
        "db_pool_timeout_s": dice.one(patience),
        "db_statement_timeout_s": dice.one(patience),
        "db_max_connections": dice.one([100, 1, 2, 5]),
        "db_slots": dice.one([100, 1, 2]),
    }


def draw_config(dice: Dice) -> PlaneConfig:
    """A configuration with at most some 300 requests in `DURATION_S` seconds."""
    n_classes, n_revisions = dice.whole(1, 2), dice.whole(1, 2)
    return config(
        seed=dice.whole(0, 1000),
        duration_s=DURATION_S,
        n_users=dice.one([1, 7, 50]),
        shares=[1.0 / n_classes] * n_classes,
        work=[dice.one(_WORK) for _ in range(n_classes)],
        query=dice.one(_QUERY),
        think=dice.one(_THINK),
        n_revisions=n_revisions,
        n_proxies=dice.whole(1, 3),
        window_s=dice.one([1.0, 0.3, 100.0]),
        n_windows=dice.one([30, 3, 1]),
        service_factor=dice.table([1.0, 1.0, 2.0, 0.7], 1, n_revisions)[0],
        error_rate=dice.table([0.0, 0.0, 0.0, 0.0, 0.2, 0.2, 1.0], n_revisions, n_classes),
        n_queries=dice.table([0, 1, 2, 3], n_revisions, n_classes, np.int64),
        exposing=dice.flags(n_revisions),
        idempotent=dice.flags(n_classes),
        resumable=dice.flags(n_classes),
        mode=dice.one(list(RouterMode)),
        algorithm=dice.one(list(Algorithm)),
        retry_on_connect=dice.whole(0, 2),
        sticky=dice.flag(),
        workers=dice.one([2, 3, 1, 16]),
        queue=dice.one([1024, 100, 4, 1, 0]),
        cancel_on_disconnect=dice.flag(),
        warm_step_s=dice.one([1.0, 4 * GRID, 0.3]),
        warm_factor=np.array(dice.one([(1.0,), (1.0,), (3.0,), (4.0, 2.0), (2.5, 1.5, 1.0), ()])),
        warm_age_s=dice.one([0.0, 0.5]),
        probe_work_s=dice.one([0.001, GRID, 0.0]),
        start_s=dice.one([0.0, -1.0, -30.3]),
        lost_rows=dice.one([10_000, 0, 3]),
        mirrors=dice.flag(),
        **(_traffic(dice) | _client(dice) | _database(dice)),
    )


def _split(dice: Dice, made: PlaneConfig) -> tuple[float, ...]:
    """Weights of the revisions."""
    share = dice.one([0.0, 0.25, 0.5, 1.0])
    return (1.0,) if made.n_revisions == 1 else (1.0 - share, share)


def _event(dice: Dice, made: PlaneConfig, n_pods: int) -> list[Call]:
    """One thing that happens, with what follows from it."""
    t = dice.time()
    row = dice.whole(0, n_pods - 1)
    revision = dice.whole(0, made.n_revisions - 1)
    klass = dice.whole(0, made.n_classes - 1)
    later = t + dice.one([0.0, GRID, 4 * GRID, 0.2, 1.0])
    others = tuple(other for other in range(n_pods) if other != row)
    views = [Call(later, "set_view", (proxy, others)) for proxy in range(made.n_proxies)]
    possible = _EVENTS | (_DB_EVENTS if made.has_db else {})
    kind = dice.one([kind for kind, weight in possible.items() for _ in range(weight)])
    match kind:
        case "drain":
            begin = [Call(t, "mark_removed", (row,))] if dice.flag() else []
            grace = Call(t + 1.0, "end_process", (row, Cause.KILLED_AT_GRACE_END))
            return [*begin, Call(t, "stop_accepting", (row,)), *views, grace]
        case "kill":
            down = [Call(later, "remove_network", (row,))] if dice.flag() else []
            return [Call(t, "end_process", (row, dice.one(_ENDS))), *down, *(views if dice.flag() else [])]
        case "restart" | "memory":
            memory = dice.whole(1, 8) if kind == "memory" else 0
            start = Call(later, "start_process", (row,), (("memory_requests", memory),))
            return [Call(t, "end_process", (row, dice.one(_ENDS))), start]
        case "remove":
            return [Call(t, "remove_network", (row,))]
        case "hang":
            killed = t + dice.one([0.0, 4 * GRID, 0.3, 1.0, 3.0])
            return [Call(t, "hang", (row,)), Call(killed, "end_process", (row, Cause.LIVENESS_KILLED))]
        case "probe":
            asked = (("shared", dice.flag()), ("ref", dice.whole(0, 99)))
            return [Call(t, "probe", (row, dice.one(list(ProbeDepth))), asked)]
        case "view":
            proxy = dice.whole(0, made.n_proxies - 1)
            known = [row, *(other for other in others if dice.flag())][dice.whole(0, 1) :]
            return [Call(t, "set_view", (proxy, tuple(known)))]
        case "weights":
            return [Call(t, "set_weights", (dice.one([_split(dice, made), _split(dice, made), None]),))]
        case "match":
            classes = tuple(dice.flag() for _ in range(made.n_classes))
            matched = (dice.whole(-1, made.n_revisions - 1), dice.one([0.5, 0.2, 1.0]), classes)
            return [Call(t, "set_weights", (_split(dice, made),)), Call(t, "set_match", matched)]
        case "cookie":
            split, other = (Call(at, "set_weights", (_split(dice, made),)) for at in (t, later))
            again = [Call(later, "set_cookie", (revision,))] if dice.flag() else []
            return [split, Call(t, "set_cookie", (dice.whole(-1, made.n_revisions - 1),)), *again, other]
        case "mirror":
            return [Call(t, "set_mirror", (dice.whole(-1, made.n_revisions - 1), dice.one([1.0, 0.5, 0.0])))]
        case "slow":
            return [Call(t, "set_pod_factor", (row, dice.one([1.0, 3.0, 0.5])))]
        case "error":
            return [Call(t, "set_error_rate", (revision, klass, dice.one([0.0, 0.5, 1.0])))]
        case "work":
            return [Call(t, "set_service_factor", (revision, dice.one([1.0, 2.0, 0.5])))]
        case "queries":
            return [Call(t, "set_n_queries", (revision, klass, dice.whole(0, 3)))]
        case "closing":
            return [Call(t, "set_closing", (row,), (("closing", dice.whole(0, 3) > 0),))]
        case "removed":
            return [Call(t, "mark_removed", (row,))]
        case "down":
            return [Call(t, "db_down"), Call(later, "db_up")]
        case "up":
            return [Call(t, "db_up")]
        case "db_factor":
            return [Call(t, "set_db_factor", (dice.one([1.0, 2.0, 8.0, 0.0]),))]
        case "db_max":
            fewer = Call(t, "set_db_max_connections", (dice.whole(0, 3),))
            return [fewer, Call(later, "set_db_max_connections", (dice.whole(1, 9),))]
    raise AssertionError(kind)


def draw_script(dice: Dice, made: PlaneConfig) -> Script:
    """What happens to a few pods under `made`, from the plane's start on."""
    n_pods = dice.whole(1, 4)
    calls: list[Call] = []
    for row in range(n_pods):
        begins = dice.one([made.start_s, made.start_s, 0.0, 0.5])
        calls.append(Call(made.start_s, "add_pod", (dice.whole(0, made.n_revisions - 1),)))
        memory = dice.one([0, 0, 0, 0, 0, 0, 0, 9])
        calls.append(Call(begins, "start_process", (row,), (("memory_requests", memory),)))
    calls += [Call(made.start_s, "set_view", (proxy, tuple(range(n_pods)))) for proxy in range(made.n_proxies)]
    for _ in range(dice.whole(0, 12)):
        calls += _event(dice, made, n_pods)
    return Script(
        tuple(calls),
        exit_delay_s=dice.one([0.25, 0.0, 1.0]),
        restart_delay_s=dice.one([0.25, 0.0, 1.0]),
    )


def draw_scenario(dice: Dice) -> tuple[PlaneConfig, Script]:
    """A configuration and a script for it."""
    made = draw_config(dice)
    return made, draw_script(dice, made)


def scenario_of(seed: int) -> tuple[PlaneConfig, Script]:
    """The scenario number `seed`."""
    return draw_scenario(Dice(random.Random(seed).randrange))


@st.composite
def _by_hypothesis(draw: DrawFn) -> tuple[PlaneConfig, Script]:
    return draw_scenario(Dice(lambda n: draw(st.integers(0, n - 1))))


def scenarios() -> SearchStrategy[tuple[PlaneConfig, Script]]:
    """Simple and strange ones by Hypothesis, and ones in which every option is as likely, by number."""
    return st.one_of(_by_hypothesis(), st.integers(0, (1 << 32) - 1).map(scenario_of))
