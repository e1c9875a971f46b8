"""Who was touched, and how far did the new revision reach?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zdsim.plane.config import FloatArray, IntArray
from zdsim.plane.vocabulary import USER_ACTIVE, USER_EXPOSED, USER_HARMED


@dataclass(frozen=True, slots=True)
class Touched:
    """Distinct users."""

    active: int  # sent at least one request
    exposed: int  # had an attempt admitted by the new revision
    harmed: int  # lost at least one request
    harmed_unexposed: int  # lost one without ever reaching the new revision: damage through what is shared


def touched(users: NDArray[np.uint8]) -> Touched:
    """Distinct users by what happened to them.

    Args:
        users: USER_* flags, shape (n_users,).

    Returns:
        Users.
    """
    exposed = (users & USER_EXPOSED) != 0
    harmed = (users & USER_HARMED) != 0
    return Touched(
        active=int(np.count_nonzero(users & USER_ACTIVE)),
        exposed=int(np.count_nonzero(exposed)),
        harmed=int(np.count_nonzero(harmed)),
        harmed_unexposed=int(np.count_nonzero(harmed & ~exposed)),
    )


def watched_revisions(n_revisions: int, bad: Sequence[int]) -> tuple[int, ...]:
    """Indices of the revisions whose reach matters: the bad ones if there are any, else every one but the stable."""
    return tuple(bad) or tuple(range(1, n_revisions))


def peak_weight(routed: IntArray, revisions: Sequence[int]) -> float | None:
    """Highest share of a window's attempts that went to some revisions.

    Args:
        routed: attempts by window of their start, shape (W, R + 1); the last column has no pod and is left out.
        revisions: indices of the revisions looked at.

    Returns:
        Share, 0 to 1. None without such a revision or without an attempt.
    """
    if not revisions:
        return None
    total = routed[:, :-1].sum(axis=1)
    some = total > 0
    if not np.any(some):
        return None
    share: FloatArray = routed[some][:, list(revisions)].sum(axis=1) / total[some]
    return float(share.max())
