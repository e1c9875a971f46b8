"""What is broken on purpose, when, and for how long?

The words kind, mode and value are those of Chaos Mesh.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field

from zdsim.scenario.fields import Factor, NonNegative, PositiveSeconds, Quantity, Seconds, Whole, choice
from zdsim.scenario.laws import Law
from zdsim.scenario.quantities import QuantityError, parse_share
from zdsim.scenario.spec import Finding, Spec


class FaultRevision(StrEnum):
    """Pods of which revision are meant."""

    ANY = "any"
    OLD = "old"
    NEW = "new"


class Mode(StrEnum):
    """How many of the pods that are meant."""

    ONE = "one"
    ALL = "all"
    FIXED = "fixed"  # `value` pods
    FIXED_PERCENT = "fixed-percent"  # `value` percent of the pods, rounded down but at least one


def _percent_as_number(value: Any) -> Any:
    """`value: "30%"` means 30 where a percentage is asked for; other checks follow."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return parse_share(value) * 100.0
        except QuantityError:
            return value
    return value


class _Fault(Spec):
    at_s: Seconds = Field(alias="at", description="when it begins")


class _Lasting(_Fault):
    duration_s: PositiveSeconds = Field(alias="duration", description="how long it lasts")

    @property
    def until_s(self) -> float:
        """When it is over."""
        return self.at_s + self.duration_s


class _Chosen(_Fault):
    revision: Annotated[FaultRevision, choice(FaultRevision)] = FaultRevision.ANY
    mode: Annotated[Mode, choice(Mode)] = Mode.ONE
    value: Annotated[NonNegative, BeforeValidator(_percent_as_number)] | None = Field(
        None, description="number of pods (mode fixed) or percentage of them (fixed-percent)"
    )

    def conflicts(self) -> Iterator[Finding]:
        needs = self.mode in (Mode.FIXED, Mode.FIXED_PERCENT)
        if needs and self.value is None:
            yield Finding(f"mode {self.mode} needs a value", ("mode",), f"value: {3 if self.mode == 'fixed' else 30}")
        if not needs and self.value is not None:
            yield Finding(f"mode {self.mode} takes no value", ("value",), "use mode: fixed or fixed-percent")
        if self.mode is Mode.FIXED and self.value is not None and self.value != int(self.value):
            yield Finding(f"mode fixed takes a whole number of pods, got {self.value:g}", ("value",))
        if self.mode is Mode.FIXED_PERCENT and self.value is not None and self.value > 100:
            yield Finding(f"at most 100 percent, got {self.value:g}", ("value",))

    def count(self, n_pods: int) -> int:
        """How many of `n_pods` pods are hit."""
        if self.mode is Mode.ALL or n_pods == 0:
            return n_pods
        if self.mode is Mode.ONE:
            return 1
        assert self.value is not None, self
        if self.mode is Mode.FIXED:
            return min(n_pods, int(self.value))
        return min(n_pods, max(1, int(n_pods * self.value // 100))) if self.value > 0 else 0


class PodKill(_Chosen):
    """Pods are deleted; `grace` 0 is `--force`."""

    kind: Literal["pod_kill"]
    grace_s: Seconds | None = Field(None, alias="grace", description="grace period; absent: the pod's own")


class SlowNode(_Chosen, _Lasting):
    """Everything on some pods takes `factor` times longer."""

    kind: Literal["slow_node"]
    factor: Factor


class DatabaseDown(_Lasting):
    """The database answers nothing."""

    kind: Literal["database_down"]


class DatabaseSlow(_Lasting):
    """Every query takes `factor` times longer."""

    kind: Literal["database_slow"]
    factor: Factor


class ConnectionLimit(_Lasting):
    """The database accepts fewer connections."""

    kind: Literal["connection_limit"]
    max_connections: Annotated[int, Whole(ge=0, le=1_000_000)]


class TrafficSpike(_Lasting):
    """`factor` times the open traffic."""

    kind: Literal["traffic_spike"]
    factor: Annotated[float, Quantity("number", ge=0, le=1000)]


class EndpointLag(_Lasting):
    """Routers learn of changes by another law."""

    kind: Literal["endpoint_lag"]
    lag: Law


class IgnoreSigterm(_Lasting):
    """Processes told to stop in this time do not listen."""

    kind: Literal["ignore_sigterm"]
    revision: Annotated[FaultRevision, choice(FaultRevision)] = FaultRevision.ANY


AnyFault = (
    PodKill | SlowNode | DatabaseDown | DatabaseSlow | ConnectionLimit | TrafficSpike | EndpointLag | IgnoreSigterm
)
Fault = Annotated[AnyFault, Discriminator("kind")]
