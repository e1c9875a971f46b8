"""Which tables does a run have, for pandas and for CSV?

Columns carry their unit in their name. Where something was not measured a cell is NaN (an empty cell in CSV).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from zdsim.measure.latency import PERCENTILES, percentiles_s
from zdsim.plane.config import FloatArray
from zdsim.plane.vocabulary import Cause, Outcome
from zdsim.record import RunRecord

if TYPE_CHECKING:
    import pandas as pd

NO_POD = "no pod"  # in the column of revisions: no endpoint was found
_CHUNK = 256  # windows whose histograms are summed at a time


def window_columns(record: RunRecord) -> dict[str, Any]:
    """One row a window and revision, the windows in order; the last revision is `no pod`.

    Returns:
        Column name -> values, shape (W * (R + 1),): `window_start_s`, `window_end_s`, `revision`, `routed_attempts`,
        `ok_requests`, one `<reason>_requests` for each other outcome, `latency_mean_s`, `latency_p50_s`, ...
        Requests count in the window of their end, attempts in the window of their start.
    """
    counts, routed = record.counts.counts, record.counts.routed
    n_windows, n_rows = routed.shape
    begin = np.repeat(np.arange(n_windows) * record.window_s, n_rows)
    out: dict[str, Any] = {
        "window_start_s": begin,
        "window_end_s": begin + record.window_s,
        "revision": np.tile(np.array([*record.revisions, NO_POD], dtype=object), n_windows),
        "routed_attempts": routed.reshape(-1),
    }
    by_outcome = counts.sum(axis=2).reshape(-1, len(Outcome))
    for outcome in Outcome:
        out[f"{outcome.name.lower()}_requests"] = by_outcome[:, outcome]
    answered = by_outcome[:, Outcome.OK]
    sums = record.counts.latency_sum.reshape(-1)
    out["latency_mean_s"] = np.divide(sums, answered, out=np.full(sums.shape, np.nan), where=answered > 0)
    at: FloatArray = np.concatenate(
        [percentiles_s(record.counts.latency[a : a + _CHUNK]) for a in range(0, n_windows, _CHUNK)]
    ).reshape(-1, len(PERCENTILES))
    for i, percent in enumerate(PERCENTILES):
        out[f"latency_p{percent}_s"] = at[:, i]
    return out


def window_lines(record: RunRecord) -> Iterator[list[str]]:
    """`window_columns` as lines of text, the header first: floats to 9 digits, missing ones empty."""
    columns = window_columns(record)
    yield list(columns)
    texts = [[_cell(value) for value in column.tolist()] for column in columns.values()]
    yield from (list(row) for row in zip(*texts, strict=True))


def windows(record: RunRecord) -> pd.DataFrame:
    """`window_columns` as a data frame."""
    import pandas as pd

    return pd.DataFrame(window_columns(record))


def events(record: RunRecord) -> pd.DataFrame:
    """What happened, in order: `time_s`, `kind`, `subject`, `reason`, `message`, `data`."""
    import pandas as pd

    names = ("time_s", "kind", "subject", "reason", "message")
    rows = [(e.time_s, str(e.kind), e.subject, e.reason, e.message, dict(e.data)) for e in record.events]
    return pd.DataFrame(rows, columns=[*names, "data"])


def pods(record: RunRecord) -> pd.DataFrame:
    """One row a pod: `name`, `revision`, `created_s`, `ready_s` (first), `deleted_s`, `gone_s`, `restarts`."""
    import pandas as pd

    rows = [
        {
            "name": pod.name,
            "revision": record.revisions[pod.revision],
            "created_s": pod.created_s,
            "ready_s": pod.ready[0][0] if pod.ready else np.nan,
            "ready_total_s": sum(end - begin for begin, end in pod.ready),
            "deleted_s": np.nan if pod.deleted_s is None else pod.deleted_s,
            "gone_s": np.nan if pod.gone_s is None else pod.gone_s,
            "restarts": pod.restarts,
        }
        for pod in record.pods
    ]
    names = ("name", "revision", "created_s", "ready_s", "ready_total_s", "deleted_s", "gone_s", "restarts")
    return pd.DataFrame(rows, columns=list(names))


def lost(record: RunRecord) -> pd.DataFrame:
    """Lost requests, in order of their end, each with its outcome and cause; the first ones only where there are many.

    `len(run.lost())` is less than the number of dropped requests when the list was full.
    """
    import pandas as pd

    rows = record.counts.lost
    names = np.array([*record.revisions, NO_POD], dtype=object)
    return pd.DataFrame(
        {
            "request": rows["id"],
            "start_s": rows["start_s"],
            "end_s": rows["end_s"],
            "user": rows["user"],
            "request_class": np.array(record.classes, dtype=object)[rows["klass"]],
            "outcome": np.array([Outcome(x).name.lower() for x in rows["outcome"]], dtype=object),
            "cause": np.array([Cause(x).name.lower() for x in rows["cause"]], dtype=object),
            "pod": _pod_names(record, rows["pod"]),
            "revision": names[rows["revision"]],
            "attempts": rows["attempts"],
            "proxy": rows["proxy"],
            "stale_s": rows["stale_s"],
        }
    )


def _pod_names(record: RunRecord, rows: Any) -> Any:
    names = {pod.row: pod.name for pod in record.pods}
    return np.array([names.get(int(row), "") for row in rows], dtype=object)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{round(value, 9):.9g}"
    return str(value)
