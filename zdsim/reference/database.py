"""Who gets a connection, who a slot? The shared database of MODEL.md 5: pools of the pods, slots of the server.

Everything here only gives and takes back; what an attempt does with it is its own story (`attempt`).
"""

from collections import deque

from zdsim.plane.config import PlaneConfig
from zdsim.plane.vocabulary import Cause
from zdsim.reference.books import Books
from zdsim.reference.state import Attempt, Pod, Where


class Database:
    def __init__(self, config: PlaneConfig, books: Books, pods: list[Pod]) -> None:
        self._config = config
        self._books = books
        self._pods = pods
        self.up = True
        self.factor = 1.0
        self.max_connections = config.db_max_connections
        self.running = 0  # queries
        self.slot_queue: deque[Attempt] = deque()
        self._total = 0  # open connections

    def answers(self) -> bool:
        return self.up

    def strained(self) -> bool:
        return not self.up or self.factor > 1.0 or bool(self.slot_queue)

    # --- connections ------------------------------------------------------------------------------------------
    def take_connection(self, pod: Pod) -> bool:
        """An idle connection of the pod's pool, or a new one where both pool and server allow it."""
        if pod.db_in_use < pod.db_open:
            pod.db_in_use += 1
            return True
        if self._may_open(pod):
            self._open(pod, 1)
            pod.db_in_use += 1
            return True
        return False

    def give_back_connection(self, pod: Pod) -> None:
        """To the next in the pool's queue; a draining pod closes what it does not need."""
        if pod.pool_queue:
            pod.pool_queue.popleft().give(Where.CONNECTED)
            return
        pod.db_in_use -= 1
        if pod.listening and not pod.accepting:
            self._open(pod, -1)
            self.grant()

    def open_pool(self, pod: Pod) -> None:
        """An eager pool, at process start: as many as the server allows."""
        if self._config.has_db:
            self._open(pod, max(0, min(self._config.db_pool, self.max_connections - self._total)))

    def close_idle(self, pod: Pod) -> None:
        """A pod drains."""
        self._open(pod, pod.db_in_use - pod.db_open)
        self.grant()

    def close_all(self, pod: Pod) -> None:
        """A process is gone."""
        pod.db_in_use = 0
        self._open(pod, -pod.db_open)
        self.grant()

    def grant(self) -> None:
        """The server has room again: open connections for those who wait, pod by pod."""
        for pod in self._pods:
            while pod.pool_queue and not pod.hung and self._may_open(pod):
                self._open(pod, 1)
                pod.db_in_use += 1
                pod.pool_queue.popleft().give(Where.CONNECTED)

    def missing_cause(self, pod: Pod) -> Cause:
        """Why a connection cannot be had: the server's limit or the pool's."""
        return Cause.DB_CONNECTIONS if pod.db_open < self._config.db_pool else Cause.DB_POOL

    def _may_open(self, pod: Pod) -> bool:
        return pod.db_open < self._config.db_pool and self._total < self.max_connections

    def _open(self, pod: Pod, n: int) -> None:
        pod.db_open += n
        self._total += n
        self._books.connections(self._total)

    # --- slots ------------------------------------------------------------------------------------------------
    def take_slot(self) -> bool:
        if self.running >= self._config.db_slots:
            return False
        self.running += 1
        return True

    def give_back_slot(self) -> None:
        """To the next query in line."""
        if self.slot_queue:
            self.slot_queue.popleft().give(Where.RUNNING)
        else:
            self.running -= 1
