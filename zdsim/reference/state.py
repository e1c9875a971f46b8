"""What exists in the request plane? MODEL.md 1, as objects.

Plain data; who may change it is told in the modules named for the actors.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from simpy.events import Event

from zdsim.plane.vocabulary import Cause, ProbeDepth

NAN = float("nan")


class Where(Enum):
    """Where is an attempt?"""

    ROUTER = auto()  # looking for a pod
    CONNECTING = auto()  # to an address where nobody answers
    QUEUE = auto()  # for a worker
    SERVICE = auto()  # has a worker
    POOL = auto()  # waits for a connection of its pod's pool, keeping its worker, as from here on
    CONNECTED = auto()  # was given one
    SLOT = auto()  # waits for the database to run its query
    RUNNING = auto()  # its query runs
    STUCK = auto()  # in a process that hangs
    OVER = auto()  # nothing of it is left

    @property
    def in_query(self) -> bool:
        return self in (Where.POOL, Where.CONNECTED, Where.SLOT, Where.RUNNING)


@dataclass(slots=True, eq=False)
class Pod:
    row: int
    revision: int
    network: bool = True
    listening: bool = False
    accepting: bool = False
    closing: bool = False  # answers say `Connection: close`
    hung: bool = False
    factor: float = 1.0
    why: Cause = Cause.STARTING  # it does not take requests
    removed_at_s: float = NAN  # from the endpoints
    epoch: int = 0  # number of the process
    since_s: float = 0.0  # start of the process
    conns_closed_at_s: float = NAN
    accepted: int = 0
    memory_requests: int = 0
    busy: int = 0  # workers
    queue: "deque[Attempt]" = field(default_factory=deque)
    present: "set[Attempt]" = field(default_factory=set)  # every attempt and probe in queue or service
    db_open: int = 0
    db_in_use: int = 0
    pool_queue: "deque[Attempt]" = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class Connection:
    """Between a proxy's clients and a pod, idle."""

    pod: Pod
    epoch: int
    opened_s: float
    last_used_s: float


@dataclass(slots=True, eq=False)
class Proxy:
    """One router's view, and what the clients behind it share."""

    cursors: list[int]  # by revision; the last: of the whole view
    tokens: float  # of the retry budget
    view: list[Pod] = field(default_factory=list)
    in_flight: dict[int, int] = field(default_factory=dict)  # by row of pod
    idle: dict[int, list[Connection]] = field(default_factory=dict)  # stacks, by row of pod or ANY_POD


@dataclass(slots=True, eq=False)
class Request:
    number: int
    user: int
    klass: int
    proxy: Proxy
    proxy_row: int
    work_s: float  # left to do
    first_start_s: float = NAN
    closed_user: int = -1  # its closed user and the
    closed_turn: int = 0  # number of the request among that user's
    mirrored: bool = False  # a copy: it uses up what others use, and nobody hears of its answer


@dataclass(slots=True, eq=False)
class Attempt:
    """One try at a request; or, without a client, a probe that goes through the worker queue."""

    request: Request
    number: int  # 1, 2, ...; 0: a probe
    start_s: float
    work_s: float  # what was left of the request's when it began
    client_waits: bool = True
    where: Where = Where.ROUTER
    pod: Pod | None = None
    opened_s: float = NAN  # its connection
    drawn_revision: int = -1  # by weight; -1: any
    hops: int = 0
    in_flight: bool = False
    has_deadline: bool = False
    service_start_s: float = NAN
    service_end_s: float = NAN
    query: int = -1
    turn: Event | None = None  # what it waits for in a queue
    probe_depth: ProbeDepth = ProbeDepth.PROCESS
    probe_ref: int = -1

    @property
    def at(self) -> Pod:
        """Its pod, where it is known to have one."""
        assert self.pod is not None, f"attempt {self.key} has no pod"
        return self.pod

    @property
    def key(self) -> tuple[int, int]:
        return (self.request.number, self.number)

    @property
    def is_probe(self) -> bool:
        return self.number == 0

    def still(self, where: Where) -> bool:
        """Asked after a wait: is it (still, or by now) there?"""
        return self.where is where

    def give(self, where: Where) -> None:
        """Let it go on from a queue to `where`: it acts when the giver's story has come to its end."""
        self.where = where
        assert self.turn is not None, f"attempt {self.key} waits for nothing"
        self.turn.succeed()
