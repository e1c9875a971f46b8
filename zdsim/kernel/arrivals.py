"""Who arrives next? The draws of ``plane.traffic`` in compiled code, bit for bit, into rows that the kernel reads.

At several million requests a second, drawing them with NumPy would take as long as playing them.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zdsim.kernel.jit import entry
from zdsim.kernel.layout import NONE, codes
from zdsim.kernel.luck import law_place, raw, unit
from zdsim.plane.luck import stream_key
from zdsim.plane.traffic import ARRIVAL_ROW, UNIT_GAPS, Arrivals, Traffic

FloatArray = NDArray[np.float64]

#: Arrivals drawn at a time; changes nothing but memory and speed.
CHUNK: Final = 4096

_DETERMINISTIC, _BURSTY, _EXPLICIT = codes(Arrivals.DETERMINISTIC, Arrivals.BURSTY, Arrivals.EXPLICIT)
_ONLY = np.int64(0)
_GAP, _BRANCH, _USER, _CLASS, _WORK, _PROXY = range(6)
_NAMES: Final = ("gap", "branch", "user", "class", "work", "proxy")
_TABLE: Final = UNIT_GAPS.q.size

#: What goes on from chunk to chunk.
PROGRESS: Final = np.dtype([("next", np.int64), ("sum", np.float64), ("last_s", np.float64), ("piece", np.int64)])


class ArrivalSource:
    """The arrivals of `traffic` from the beginning, ARRIVAL_ROW by chunks."""

    def __init__(self, traffic: Traffic, size: int = CHUNK) -> None:
        self._traffic = traffic
        self._rows = np.zeros(size, dtype=ARRIVAL_ROW)
        self._progress = np.zeros(1, dtype=PROGRESS)
        self._keys = np.array([stream_key(traffic.seed, f"traffic/{name}") for name in _NAMES], dtype=np.uint64)
        self._knots = _own(traffic.knots_s)
        self._rates = _own(traffic.rates)
        pieces = np.diff(self._knots) * (self._rates[1:] + self._rates[:-1]) / 2.0
        self._integral = np.concatenate([[0.0], np.cumsum(pieces)])
        self._times = np.zeros(0)
        if traffic.arrivals is Arrivals.EXPLICIT:
            assert traffic.times_s is not None
            self._times = _own(traffic.times_s)
        self._often = (1.0 + np.sqrt((traffic.dispersion - 1.0) / (traffic.dispersion + 1.0))) / 2.0
        self._user_cut = _own(traffic.user_cut)
        self._guide = _guide(self._user_cut)
        self._class_cut = _own(traffic.class_cut)
        self._work = _own(traffic.work)
        self._gaps = _own(UNIT_GAPS.q)

    def take(self) -> NDArray[Any]:
        """The next arrivals; empty at the end. The rows are written over by the next call."""
        n = _draw(
            self._rows,
            self._progress,
            int(self._traffic.arrivals),
            self._keys,
            self._knots,
            self._rates,
            self._integral,
            self._times,
            float(self._often),
            self._gaps,
            self._user_cut,
            self._guide,
            self._class_cut,
            self._work,
            int(self._traffic.n_proxies),
        )
        return self._rows[:n]


def _own(values: FloatArray) -> FloatArray:
    """A flat copy. A read-only array would be another type, for which Numba would compile all anew."""
    return np.array(values, dtype=np.float64).reshape(-1)


def _guide(cut: FloatArray) -> NDArray[np.int64]:
    """Where a search in `cut` may begin and end, by the first bits of what is sought; a power of two and one cells."""
    cells = 1 << int(cut.size).bit_length()
    return np.searchsorted(cut, np.arange(cells + 1) / cells, side="right").astype(np.int64)


@entry
def _draw(  # type: ignore[no-untyped-def]
    rows,
    progress,
    kind,
    keys,
    knots,
    rates,
    integral,
    times,
    often,
    gaps,
    user_cut,
    guide,
    class_cut,
    work,
    n_proxies,
):
    """Fill `rows` with the next arrivals; how many there were."""
    state = progress[0]
    total = state["sum"]
    last = state["last_s"]
    piece = state["piece"]
    explicit = kind == _EXPLICIT
    known = NONE  # piece whose figures are at hand
    base = start = width = r0 = slope = 0.0
    for n in range(rows.size):
        who = state["next"]
        if explicit:
            if who >= times.size:
                return n
            t = times[who]
        else:
            if knots.size == 0:
                return n
            if kind == _DETERMINISTIC:
                s = who + 0.5
            else:
                at, share = law_place(raw(keys[_GAP], who, _ONLY))
                gap = gaps[at] + share * (gaps[at + 1] - gaps[at])
                if kind == _BURSTY:
                    rate = 2.0 * (1.0 - often)
                    if unit(raw(keys[_BRANCH], who, _ONLY)) < often:
                        rate = 2.0 * often
                    gap = gap / rate
                total += gap
                s = total
            if not s < integral[integral.size - 1]:
                return n
            while piece + 1 < integral.size and integral[piece + 1] <= s:
                piece += 1
            if piece != known:
                known = piece
                i = min(piece, knots.size - 2)
                base = integral[i]
                start = knots[i]
                width = knots[i + 1] - start
                r0 = rates[i]
                slope = (rates[i + 1] - r0) / width if width > 0.0 else 0.0
            rest = s - base
            root = np.sqrt(max(r0 * r0 + 2.0 * slope * rest, 0.0))
            x = 0.0
            if r0 + root > 0.0:
                x = (2.0 * rest) / (r0 + root)
            t = max(last, start + min(x, width))
            last = t
        row = rows[n]
        row["t"] = t

        low = _ONLY
        if user_cut.size > 1:
            u = unit(raw(keys[_USER], who, _ONLY))
            cell = np.int64(u * (guide.size - 1))
            low, high = guide[cell], guide[cell + 1]
            while low < high:  # the first with u < cut lies in low .. high
                middle = (low + high) >> 1
                if user_cut[middle] > u:
                    high = middle
                else:
                    low = middle + 1
        row["user"] = low

        klass = 0
        if class_cut.size > 1:
            v = unit(raw(keys[_CLASS], who, _ONLY))
            while class_cut[klass] <= v:
                klass += 1
        row["klass"] = klass

        at, share = law_place(raw(keys[_WORK], who, _ONLY))
        at += klass * _TABLE
        row["work_s"] = work[at] + share * (work[at + 1] - work[at])
        row["proxy"] = np.int64(unit(raw(keys[_PROXY], who, _ONLY)) * n_proxies) if n_proxies > 1 else _ONLY
        state["next"] = who + 1
        state["sum"] = total
        state["last_s"] = last
        state["piece"] = piece
    return rows.size
