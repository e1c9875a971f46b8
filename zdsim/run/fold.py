"""How do several rows of the request plane become one revision in what a run leaves behind?

Flagger's primary and canary have a row each for the same template; to the people who use the service, and to whoever
reads the run, that is one revision. Pods keep their names, which tell the Deployment.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from zdsim.plane.config import PlaneRecord
from zdsim.record import PodLife

__all__ = ["fold_pods", "fold_rows"]

Number = TypeVar("Number", bound=np.generic)


def fold_rows(record: PlaneRecord, to: Sequence[int]) -> PlaneRecord:
    """The record with rows added up.

    Args:
        record: R rows, and "no pod".
        to: new row of each of the R rows, beginning with 0 and without a gap.

    Returns:
        `max(to) + 1` rows, and "no pod". The record itself if nothing is to be added up.
    """
    if list(to) == list(range(len(to))):
        return record
    n = max(to) + 1
    every = np.array([*to, n])
    last_routed = np.full(n, np.nan)
    np.fmax.at(last_routed, every[:-1], record.last_routed)

    def added(values: NDArray[Number]) -> NDArray[Number]:
        if values.ndim < 2:
            return values  # not counted
        found = np.zeros((values.shape[0], n + 1, *values.shape[2:]), dtype=values.dtype)
        for row, new in enumerate(every):
            found[:, new] += values[:, row]
        return found

    def renamed(rows: NDArray[np.void]) -> NDArray[np.void]:
        found = rows.copy()
        found["revision"] = every[rows["revision"]]
        return found

    return replace(
        record,
        counts=added(record.counts),
        latency=added(record.latency),
        latency_sum=added(record.latency_sum),
        routed=added(record.routed),
        service_sum=added(record.service_sum),
        query_count=added(record.query_count),
        query_sum=added(record.query_sum),
        mirrored=added(record.mirrored),
        mirror_latency=added(record.mirror_latency),
        last_routed=last_routed,
        lost=renamed(record.lost),
        log=renamed(record.log),
    )


def fold_pods(pods: Sequence[PodLife], to: Sequence[int]) -> tuple[PodLife, ...]:
    """The pods with the same new rows."""
    return tuple(replace(pod, revision=to[pod.revision]) for pod in pods)
