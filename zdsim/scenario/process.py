"""What must be known about the process in the pod that no manifest says?

Every field here has a documented default, and is named in the report's "assumed" while it has it.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from zdsim.scenario.fields import Factor, Flag, PositiveSeconds, Quantity, Seconds, Share, Whole, choice
from zdsim.scenario.laws import Law, constant
from zdsim.scenario.quantities import format_duration
from zdsim.scenario.spec import Assumed, Finding, Spec


class WarmUpShape(StrEnum):
    """How the slowness of a fresh process fades."""

    LINEAR = "linear"
    EXPONENTIAL = "exponential"


class WarmUp(Spec):
    """A fresh process works slower: service times start at `factor` times theirs and fade to 1 over `duration`."""

    duration_s: Seconds = Field(0.0, alias="duration")
    factor: Annotated[float, Quantity("number", ge=1, le=1000)] = 1.0
    shape: Annotated[WarmUpShape, choice(WarmUpShape)] = WarmUpShape.LINEAR

    def __str__(self) -> str:
        if self.duration_s == 0.0 or self.factor == 1.0:
            return "none"
        return f"{self.factor:g} times slower, {self.shape} over {format_duration(self.duration_s)}"


class SigtermKind(StrEnum):
    """What a process does when told to stop."""

    DRAIN = "drain"  # stop accepting, answer what is in flight and queued, exit
    EXIT = "exit"  # drop everything at once
    IGNORE = "ignore"  # until SIGKILL
    LAME_DUCK = "lame_duck"  # serve on for a while, then drain


class Sigterm(Spec):
    """The answer to SIGTERM; `lame_duck_s` is 0 for the other kinds."""

    kind: Annotated[SigtermKind, choice(SigtermKind)] = SigtermKind.DRAIN
    lame_duck_s: Seconds = Field(0.0, alias="lame_duck")

    def conflicts(self) -> Iterator[Finding]:
        if self.kind is SigtermKind.LAME_DUCK and self.lame_duck_s == 0.0:
            yield Finding("lame_duck needs how long it lasts", ("lame_duck",), hint="on_sigterm: {lame_duck: 5s}")
        if self.kind is not SigtermKind.LAME_DUCK and self.lame_duck_s > 0.0:
            yield Finding(f"kind {self.kind} has no lame_duck time", ("lame_duck",), hint="on_sigterm: {lame_duck: 5s}")

    def __str__(self) -> str:
        if self.kind is SigtermKind.LAME_DUCK:
            return f"lame_duck {format_duration(self.lame_duck_s)}"
        return str(self.kind.value)


def _short_sigterm(value: Any) -> Any:
    """`drain` and `{lame_duck: 5s}` are short for `{kind: drain}` and `{kind: lame_duck, lame_duck: 5s}`."""
    if isinstance(value, Sigterm):
        return value
    if isinstance(value, dict):
        return value if "kind" in value or "lame_duck" not in value else {"kind": "lame_duck", **value}
    return {"kind": value}


class _SigtermSchema:
    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": ["drain", "exit", "ignore"]}, handler(schema)]}


class ProbeLane(StrEnum):
    """Does a probe wait behind requests?"""

    OWN = "own"
    SHARED = "shared"


class ProbeDepth(StrEnum):
    """What must be well for a probe to succeed."""

    PROCESS = "process"  # it listens
    DEPENDENCIES = "dependencies"  # and the database answers
    WARM = "warm"  # and the warm-up is over


class MemoryUse(Spec):
    """Memory of a fresh process, as a share of its limit; leaks are a bug's (`release.bug.leak_per_request`)."""

    base: Share = 0.5

    def __str__(self) -> str:
        return f"{self.base:.0%} of the limit"


class Process(Spec):
    """The server in the container."""

    startup: Annotated[Law, Assumed("a manifest cannot say how long a container takes to listen")] = Field(
        constant(2.0), description="from container start until the process listens"
    )
    ready_delay_s: Annotated[Seconds, Assumed("time from listening until its readiness endpoint says yes")] = Field(
        0.0, alias="ready_delay", description="from listening until its readiness endpoint says yes"
    )
    workers: Annotated[int, Whole(ge=1, le=100_000), Assumed("requests one pod works on at once")] = Field(
        16, description="requests one pod works on at once"
    )
    queue: Annotated[int, Whole(ge=0, le=1_000_000), Assumed("requests that wait in a pod before it refuses more")] = (
        Field(1024, description="requests that wait in one pod; more are turned away")
    )
    warm_up: Annotated[WarmUp, Assumed("how much slower a fresh process answers")] = Field(
        WarmUp(), description="how much slower a fresh process answers, and for how long"
    )
    on_sigterm: Annotated[
        Sigterm, BeforeValidator(_short_sigterm), _SigtermSchema(), Assumed("what the process does at SIGTERM")
    ] = Field(Sigterm(), description="drain, exit, ignore or {lame_duck: 5s}")
    pid1_forwards: Annotated[Flag, Assumed("whether PID 1 hands SIGTERM on (a shell does not)")] = Field(
        True, description="false: PID 1 is a shell that does not hand SIGTERM on, so it is ignored"
    )
    close_on_drain: Annotated[Flag, Assumed("whether a draining server tells kept-alive clients to go")] = Field(
        True, description="a draining server answers with Connection: close"
    )
    keepalive_idle_s: Annotated[PositiveSeconds | None, Assumed("when the server closes an idle connection")] = Field(
        75.0, alias="keepalive_idle", description="the server closes a connection idle for so long; null: never"
    )
    cancel_on_disconnect: Annotated[Flag, Assumed("whether work stops when its client has given up")] = Field(
        False, description="work stops when its client has given up"
    )
    probe_lane: Annotated[ProbeLane, choice(ProbeLane), Assumed("whether probes wait behind requests")] = Field(
        ProbeLane.OWN, description="own: beside the workers; shared: through their queue"
    )
    probe_work_s: Annotated[Seconds, Assumed("time to answer a probe")] = Field(
        0.001, alias="probe_work", description="time to answer a probe"
    )
    readiness_depth: Annotated[ProbeDepth, choice(ProbeDepth), Assumed("what the readiness endpoint checks")] = Field(
        ProbeDepth.PROCESS, description="what must be well for readiness"
    )
    liveness_depth: Annotated[ProbeDepth, choice(ProbeDepth), Assumed("what the liveness endpoint checks")] = Field(
        ProbeDepth.PROCESS, description="what must be well for liveness"
    )
    pre_stop_exec_s: Annotated[Seconds, Assumed("how long what its preStop hook runs takes, sleeps apart")] = Field(
        0.0, alias="pre_stop_exec", description="duration of a preStop hook, or of the part of it that is no sleep"
    )
    init_s: Annotated[Seconds, Assumed("how long each init container runs")] = Field(
        0.0, alias="init", description="duration of each init container"
    )
    memory: Annotated[MemoryUse, Assumed("memory of a fresh process")] = Field(
        MemoryUse(), description="memory of a fresh process"
    )
    error_rate: Annotated[Share, Assumed("share of requests the stable revision answers with an error")] = Field(
        0.0, description="share of requests that the stable revision answers with an error"
    )

    @property
    def sigterm(self) -> Sigterm:
        """What really happens at SIGTERM: ignored where PID 1 does not hand it on."""
        return self.on_sigterm if self.pid1_forwards else Sigterm(kind=SigtermKind.IGNORE)


__all__ = [
    "Factor",
    "MemoryUse",
    "ProbeDepth",
    "ProbeLane",
    "Process",
    "Sigterm",
    "SigtermKind",
    "WarmUp",
    "WarmUpShape",
]
