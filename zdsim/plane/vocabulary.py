"""Which words do the planes, the cluster and the measures share?

Integer enums, because the kernel stores them in typed rows. Numbers are part of the recorded format:
append, never renumber.
"""

from enum import IntEnum


class Outcome(IntEnum):
    """How an attempt, and with its last attempt a request, ends."""

    OK = 0
    REFUSED = 1  # the pod's network is up, nothing listens
    UNREACHABLE = 2  # the pod's network is gone: nothing answers until the connect timeout
    RESET = 3  # the connection broke under the request
    OVERFLOW = 4  # no free worker and the waiting room is full
    TIMEOUT = 5  # the client gave up first
    NO_ENDPOINT = 6  # the router knew no pod to choose
    APP_ERROR = 7  # the process answered with an error of its own
    DB_ERROR = 8  # the process answered with an error because its database did not serve it


N_OUTCOMES = len(Outcome)

#: Outcomes after which the client knows that nothing reached a process: safe to retry whatever the request does.
NOTHING_SENT = (Outcome.REFUSED, Outcome.UNREACHABLE, Outcome.NO_ENDPOINT)


class Cause(IntEnum):
    """Why an attempt failed: what plane and cluster knew at that instant."""

    NONE = 0
    STARTING = 1  # the process was not listening yet
    DRAINING = 2  # SIGTERM: the process had stopped accepting, the router did not know yet
    EXITED_AT_SIGTERM = 3  # the process had ended at or after SIGTERM
    KILLED_AT_GRACE_END = 4  # SIGKILL when the grace period was over
    CRASHED = 5  # the process ended by itself
    OOM_KILLED = 6  # memory limit
    LIVENESS_KILLED = 7
    STARTUP_KILLED = 8
    POD_KILLED = 9  # an injected fault
    KEEP_ALIVE_RACE = 10  # the server closed an idle connection while the request was on its way
    COLD_POD = 11  # queue or service behind a pod that was still warming up
    SLOW_POD = 12  # ... behind a pod slowed by its node
    SLOW_REVISION = 13  # ... behind a revision that needs more work a request
    OVERLOAD = 14  # ... behind nothing but too much traffic
    HUNG = 15  # the process listens and never answers (deadlock)
    DB_DOWN = 16
    DB_SLOW = 17  # waiting for or running a query
    DB_POOL = 18  # every connection of the pod's pool was in use
    DB_CONNECTIONS = 19  # the server would not give the pool another connection
    NO_READY_POD = 20
    BAD_REVISION = 21  # an error of the revision under release
    BASELINE_ERRORS = 22  # an error that the stable revision makes too


N_CAUSES = len(Cause)


class SignalKind(IntEnum):
    """What the request plane tells the control plane."""

    IDLE = 0  # a draining pod has answered everything
    PROBE_DONE = 1  # a probe that went through the worker queue was answered
    MEMORY = 2  # the process has accepted so many requests that its memory limit is reached


class RouterMode(IntEnum):
    CONNECTION = 0  # L4: a pod is chosen when a connection opens
    REQUEST = 1  # L7: a pod is chosen for each attempt


class Algorithm(IntEnum):
    ROUND_ROBIN = 0
    RANDOM = 1
    LEAST_REQUEST = 2
    POWER_OF_TWO = 3


class Jitter(IntEnum):
    NONE = 0
    FULL = 1
    EQUAL = 2


class ProbeDepth(IntEnum):
    """What a probe's answer stands for."""

    PROCESS = 0  # listening
    DEPENDENCIES = 1  # database reachable
    WARM = 2  # caches loaded


class ProbeAnswer(IntEnum):
    OK = 0
    FAIL = 1
    NO_ANSWER = 2  # hung: the prober's own timeout ends the call
    PENDING = 3  # in the worker queue; a PROBE_DONE signal follows


# User flags, one byte a user.
USER_ACTIVE, USER_EXPOSED, USER_HARMED, USER_STUCK = 1, 2, 4, 8

# Request numbers, disjoint by sender. Open requests count from 0 in order of arrival.
MIRROR_ID = 1 << 49  # + the number of the request that is mirrored
CLOSED_ID = 1 << 50  # + user * CLOSED_STRIDE + k, k = 0, 1, ...
CLOSED_STRIDE = 1 << 28
PROBE_ID = 1 << 51  # + serial number of shared-lane probes in order of their start

MAX_ATTEMPTS = 63


class Rank(IntEnum):
    """Which of several request events at one instant goes first (see MODEL.md 2)."""

    SERVICE_END = 0
    QUERY_END = 1
    POOL_TIMEOUT = 2
    STATEMENT_TIMEOUT = 3
    CONNECT_TIMEOUT = 4
    REQUEST_TIMEOUT = 5
    RETRY = 6
    ARRIVAL = 7
