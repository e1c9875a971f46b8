"""Which situations can a request plane meet? Hypothesis strategies of small configurations and scripts.

Half of what is drawn lies on a grid of binary fractions with constant laws, so that many things happen at the same
instant and the order of MODEL.md 2 decides; the other half is continuous. Short timeouts, tiny pools and empty
waiting rooms are common on purpose: whatever can be exhausted should be.
"""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from planekit import Call, Script, config, exponential, lognormal

from zdsim.plane.config import NEVER, PlaneConfig
from zdsim.plane.laws import constant
from zdsim.plane.traffic import Arrivals
from zdsim.plane.vocabulary import N_OUTCOMES, Algorithm, Cause, Jitter, Outcome, ProbeDepth, RouterMode

GRID = 1.0 / 16.0
DURATION_S = 3.0

_EXP = {mean: exponential(mean) for mean in (0.02, 0.06, 0.15)}
_LOG = lognormal(0.05, 1.2)
_WORK = st.sampled_from([*_EXP.values(), _LOG, *(constant(k * GRID) for k in (0, 1, 2, 5)), constant(0.03)])
_QUERY = st.sampled_from([_EXP[0.02], _EXP[0.06], *(constant(k * GRID) for k in (0, 1, 2))])
_THINK = st.sampled_from([constant(GRID), constant(4 * GRID), _EXP[0.06], _EXP[0.15]])

#: Causes that a control plane names when it ends a process.
_ENDS = st.sampled_from([Cause.KILLED_AT_GRACE_END, Cause.CRASHED, Cause.LIVENESS_KILLED, Cause.POD_KILLED])


def _flags(n: int) -> SearchStrategy[Any]:
    return st.lists(st.booleans(), min_size=n, max_size=n).map(lambda it: np.array(it, dtype=np.bool_))


def _table(element: SearchStrategy[Any], rows: int, columns: int, dtype: Any = np.float64) -> SearchStrategy[Any]:
    size = rows * columns
    return st.lists(element, min_size=size, max_size=size).map(
        lambda it: np.array(it, dtype=dtype).reshape(rows, columns)
    )


@st.composite
def _traffic(draw: DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(Arrivals))
    if kind is Arrivals.EXPLICIT:
        ticks = draw(st.lists(st.integers(0, int(DURATION_S / GRID) - 1), max_size=60))
        return {"times_s": [tick * GRID for tick in sorted(ticks)]}
    return {"arrivals": kind, "rate": draw(st.sampled_from([4.0, 16.0, 50.0])), "dispersion": 5.0}


@st.composite
def _client(draw: DrawFn) -> dict[str, Any]:
    out: dict[str, Any] = {
        "connect_timeout_s": draw(st.sampled_from([1.0, GRID, 4 * GRID, 0.0])),
        "request_timeout_s": draw(
            st.sampled_from([2.0, 1.0, 0.7, NEVER, 8 * GRID, 4 * GRID, 2 * GRID, GRID, 0.1, 0.0])
        ),
    }
    if draw(st.booleans()):
        out["backoff_s"] = np.array(draw(st.lists(st.sampled_from([0.0, GRID, 0.1, 4 * GRID]), max_size=3)))
        out["jitter"] = draw(st.sampled_from(Jitter))
        flags = draw(st.one_of(st.just(np.ones(N_OUTCOMES, dtype=np.bool_)), _flags(N_OUTCOMES))).copy()
        flags[Outcome.OK] = False
        out["retriable"] = flags
        out["retry_budget"] = draw(st.sampled_from([NEVER, 0.0, 0.1, 0.5]))
        out["retry_burst"] = draw(st.sampled_from([10.0, 0.0, 1.0, 2.5]))
    if draw(st.booleans()):
        out["pool"] = draw(st.integers(1, 4))
        out["client_idle_s"] = draw(st.sampled_from([60.0, 4 * GRID, 0.3, 0.0]))
        out["max_age_s"] = draw(st.sampled_from([NEVER, 8 * GRID, 0.4]))
        out["server_idle_s"] = draw(st.sampled_from([75.0, 2 * GRID, 0.15]))
        out["close_notice_s"] = draw(st.sampled_from([0.0005, 4 * GRID, 0.2, 0.0]))
    if draw(st.booleans()):
        out["n_closed"] = draw(st.integers(1, 4))
    return out


@st.composite
def _database(draw: DrawFn) -> dict[str, Any]:
    if not draw(st.booleans()):
        return {}
    patience = [NEVER, 1.0, 4 * GRID, GRID, 0.1, 0.0]
    return {
        "has_db": True,
        "db_pool": draw(st.integers(1, 4)),
        "db_eager": draw(st.booleans()),
        "db_pool_timeout_s": draw(st.sampled_from(patience)),
        "db_statement_timeout_s": draw(st.sampled_from(patience)),
        "db_max_connections": draw(st.sampled_from([100, 1, 2, 5])),
        "db_slots": draw(st.sampled_from([100, 1, 2])),
    }


@st.composite
def configs(draw: DrawFn) -> PlaneConfig:
    """A configuration with at most some 300 requests in `DURATION_S` seconds."""
    n_classes, n_revisions = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    return config(
        seed=draw(st.integers(0, 1000)),
        duration_s=DURATION_S,
        n_users=draw(st.sampled_from([1, 7, 50])),
        shares=[1.0 / n_classes] * n_classes,
        work=draw(st.lists(_WORK, min_size=n_classes, max_size=n_classes)),
        query=draw(_QUERY),
        think=draw(_THINK),
        n_revisions=n_revisions,
        n_proxies=draw(st.integers(1, 3)),
        window_s=draw(st.sampled_from([1.0, 0.3, 100.0])),
        n_windows=draw(st.sampled_from([30, 3, 1])),
        service_factor=draw(_table(st.sampled_from([1.0, 2.0, 0.7]), 1, n_revisions))[0],
        error_rate=draw(_table(st.sampled_from([0.0, 0.0, 0.0, 0.2, 0.2, 1.0]), n_revisions, n_classes)),
        n_queries=draw(_table(st.integers(0, 3), n_revisions, n_classes, np.int64)),
        exposing=draw(_flags(n_revisions)),
        idempotent=draw(_flags(n_classes)),
        resumable=draw(_flags(n_classes)),
        mode=draw(st.sampled_from(RouterMode)),
        algorithm=draw(st.sampled_from(Algorithm)),
        retry_on_connect=draw(st.integers(0, 2)),
        sticky=draw(st.booleans()),
        workers=draw(st.sampled_from([2, 3, 1, 16])),
        queue=draw(st.sampled_from([1024, 100, 4, 1, 0])),
        cancel_on_disconnect=draw(st.booleans()),
        warm_step_s=draw(st.sampled_from([1.0, 4 * GRID, 0.3])),
        warm_factor=np.array(draw(st.sampled_from([(1.0,), (3.0,), (4.0, 2.0), (2.5, 1.5, 1.0), ()]))),
        warm_age_s=draw(st.sampled_from([0.0, 0.5])),
        probe_work_s=draw(st.sampled_from([0.001, GRID, 0.0])),
        start_s=draw(st.sampled_from([0.0, -1.0, -30.3])),
        lost_rows=draw(st.sampled_from([10_000, 0, 3])),
        **(draw(_traffic()) | draw(_client()) | draw(_database())),
    )


@st.composite
def _times(draw: DrawFn, latest_s: float = DURATION_S + 1.0) -> float:
    if draw(st.booleans()):
        return draw(st.integers(0, int(latest_s / GRID))) * GRID
    return draw(st.floats(0.0, latest_s, allow_nan=False).map(lambda t: round(t, 4)))


@st.composite
def _event(draw: DrawFn, made: PlaneConfig, n_pods: int) -> list[Call]:
    """One thing that happens, with what follows from it."""
    t = draw(_times())
    row = draw(st.integers(0, n_pods - 1))
    revision = draw(st.integers(0, made.n_revisions - 1))
    klass = draw(st.integers(0, made.n_classes - 1))
    later = t + draw(st.sampled_from([0.0, GRID, 4 * GRID, 0.2, 1.0]))
    others = tuple(other for other in range(n_pods) if other != row)
    views = [Call(later, "set_view", (proxy, others)) for proxy in range(made.n_proxies)]
    kind = draw(
        st.sampled_from(
            [
                "drain",
                "drain",
                "kill",
                "kill",
                "restart",
                "hang",
                "probe",
                "probe",
                "view",
                "weights",
                "slow",
                "error",
                "work",
                "queries",
                "closing",
                "removed",
                "memory",
                "remove",
            ]
            + (["down", "down", "up", "db_factor", "db_max", "db_max"] if made.has_db else [])
        )
    )
    match kind:
        case "drain":
            begin = [Call(t, "mark_removed", (row,))] if draw(st.booleans()) else []
            grace = Call(t + 1.0, "end_process", (row, Cause.KILLED_AT_GRACE_END))
            return [*begin, Call(t, "stop_accepting", (row,)), *views, grace]
        case "kill":
            down = [Call(later, "remove_network", (row,))] if draw(st.booleans()) else []
            return [Call(t, "end_process", (row, draw(_ENDS))), *down, *(views if draw(st.booleans()) else [])]
        case "restart" | "memory":
            memory = draw(st.integers(1, 8)) if kind == "memory" else 0
            start = Call(later, "start_process", (row,), (("memory_requests", memory),))
            return [Call(t, "end_process", (row, draw(_ENDS))), start]
        case "remove":
            return [Call(t, "remove_network", (row,))]
        case "hang":
            return [Call(t, "hang", (row,)), Call(later, "end_process", (row, Cause.LIVENESS_KILLED))]
        case "probe":
            asked = (("shared", draw(st.booleans())), ("ref", draw(st.integers(0, 99))))
            return [Call(t, "probe", (row, draw(st.sampled_from(ProbeDepth))), asked)]
        case "view":
            proxy = draw(st.integers(0, made.n_proxies - 1))
            known = draw(st.lists(st.integers(0, n_pods - 1), unique=True, max_size=n_pods))
            return [Call(t, "set_view", (proxy, tuple(known)))]
        case "weights":
            share = draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
            split = (1.0,) if made.n_revisions == 1 else (1.0 - share, share)
            return [Call(t, "set_weights", (draw(st.sampled_from([split, split, None])),))]
        case "slow":
            return [Call(t, "set_pod_factor", (row, draw(st.sampled_from([1.0, 3.0, 0.5]))))]
        case "error":
            return [Call(t, "set_error_rate", (revision, klass, draw(st.sampled_from([0.0, 0.5, 1.0]))))]
        case "work":
            return [Call(t, "set_service_factor", (revision, draw(st.sampled_from([1.0, 2.0, 0.5]))))]
        case "queries":
            return [Call(t, "set_n_queries", (revision, klass, draw(st.integers(0, 3))))]
        case "closing":
            return [Call(t, "set_closing", (row,), (("closing", draw(st.booleans())),))]
        case "removed":
            return [Call(t, "mark_removed", (row,))]
        case "down":
            return [Call(t, "db_down"), Call(later, "db_up")]
        case "up":
            return [Call(t, "db_up")]
        case "db_factor":
            return [Call(t, "set_db_factor", (draw(st.sampled_from([1.0, 2.0, 8.0, 0.0])),))]
        case "db_max":
            fewer = Call(t, "set_db_max_connections", (draw(st.integers(0, 3)),))
            return [fewer, Call(later, "set_db_max_connections", (draw(st.integers(1, 9)),))]
    raise AssertionError(kind)


@st.composite
def scripts(draw: DrawFn, made: PlaneConfig) -> Script:
    """What happens to a few pods under `made`, from the plane's start on."""
    n_pods = draw(st.integers(1, 4))
    calls: list[Call] = []
    for row in range(n_pods):
        begins = draw(st.sampled_from([made.start_s, made.start_s, 0.0, 0.5]))
        calls.append(Call(made.start_s, "add_pod", (draw(st.integers(0, made.n_revisions - 1)),)))
        memory = draw(st.sampled_from([0, 0, 0, 0, 0, 0, 0, 9]))
        calls.append(Call(begins, "start_process", (row,), (("memory_requests", memory),)))
    calls += [Call(made.start_s, "set_view", (proxy, tuple(range(n_pods)))) for proxy in range(made.n_proxies)]
    for event in draw(st.lists(_event(made, n_pods), max_size=12)):
        calls += event
    return Script(
        tuple(calls),
        exit_delay_s=draw(st.sampled_from([0.25, 0.0, 1.0])),
        restart_delay_s=draw(st.sampled_from([0.25, 0.0, 1.0])),
    )


@st.composite
def scenarios(draw: DrawFn) -> tuple[PlaneConfig, Script]:
    """A configuration and a script for it."""
    made = draw(configs())
    return made, draw(scripts(made))
