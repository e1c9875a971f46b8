"""Who arrives next? The shared arrivals, chunk by chunk, in rows that the kernel reads."""

from typing import Any

from numpy.typing import NDArray

from zdsim.plane.traffic import Traffic


class ArrivalSource:
    """The arrivals of `traffic` from the beginning."""

    def __init__(self, traffic: Traffic) -> None:
        self._chunks = traffic.chunks()

    def take(self) -> NDArray[Any]:
        """The next arrivals (ARRIVAL_ROW); empty at the end."""
        return self._chunks.take()
