"""What does a Deployment say about a rollout?

The fields of a Kubernetes Deployment that can change how a rollout goes, under their Kubernetes names and with its
defaults and limits. Written in a scenario as `service.deployment`, or filled from a real manifest by `kubernetes.py`.
The probes, hook and resources at the top belong to the container that serves requests; `containers` are the others.

Source: Kubernetes 1.36 pkg/apis/apps/v1/defaults.go and validation/validation.go; pkg/apis/core/validation for probes.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, model_serializer

from zdsim.scenario.fields import Bytes, Cores, Flag, IntOrPercent, Name, Port, Text, Whole, choice
from zdsim.scenario.quantities import QuantityError, parse_duration, scaled
from zdsim.scenario.spec import Finding, Spec

NO_DEADLINE = 2_147_483_647  # progressDeadlineSeconds that never passes
MAX_REPLICAS = 5_000

WholeSeconds = Annotated[int, Whole(ge=0, le=86_400 * 366, unit="whole seconds")]
PositiveWholeSeconds = Annotated[int, Whole(ge=1, le=86_400 * 366, unit="whole seconds")]
Times = Annotated[int, Whole(ge=1, le=10_000, unit="a whole number")]


class StrategyType(StrEnum):
    """How pods are replaced."""

    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"


class RollingUpdate(Spec):
    """How many pods may be on top, and how many missing, while pods are replaced."""

    max_surge: IntOrPercent = Field("25%", alias="maxSurge")
    max_unavailable: IntOrPercent = Field("25%", alias="maxUnavailable")

    def conflicts(self) -> Iterator[Finding]:
        if scaled(self.max_surge, 100, round_up=True) == 0 and scaled(self.max_unavailable, 100, round_up=True) == 0:
            yield Finding(
                "maxSurge and maxUnavailable are both 0, so no pod could ever be replaced (the API server refuses it)",
                ("maxUnavailable",),
                hint="raise one of them: maxSurge: 1 keeps every old pod until a new one is ready",
            )
        if isinstance(self.max_unavailable, str) and int(self.max_unavailable[:-1]) > 100:
            yield Finding(
                f"maxUnavailable is at most 100%, got {self.max_unavailable}", ("maxUnavailable",), "", "ZD1005"
            )

    def surge(self, replicas: int) -> int:
        """Pods that may exist above `replicas`: percentages round up."""
        return scaled(self.max_surge, replicas, round_up=True)

    def unavailable(self, replicas: int) -> int:
        """Pods that may be missing: percentages round down, one if surge comes out zero too, at most all."""
        missing = scaled(self.max_unavailable, replicas, round_up=False)
        if missing == 0 and self.surge(replicas) == 0:
            missing = 1
        return min(missing, replicas)


class Strategy(Spec):
    """spec.strategy."""

    type: Annotated[StrategyType, choice(StrategyType)] = StrategyType.ROLLING_UPDATE
    rolling_update: RollingUpdate | None = Field(None, alias="rollingUpdate")

    def conflicts(self) -> Iterator[Finding]:
        if self.type is StrategyType.RECREATE and self.rolling_update is not None:
            yield Finding(
                "rollingUpdate is not allowed with type Recreate (the API server refuses it)",
                ("rollingUpdate",),
                hint="remove rollingUpdate, or write type: RollingUpdate",
            )

    @property
    def rolling(self) -> RollingUpdate:
        """rollingUpdate with its defaults (25 % each)."""
        return self.rolling_update or RollingUpdate()


class Probe(Spec):
    """How the kubelet asks a container how it is."""

    initial_delay_s: WholeSeconds = Field(0, alias="initialDelaySeconds")
    period_s: PositiveWholeSeconds = Field(10, alias="periodSeconds")
    timeout_s: PositiveWholeSeconds = Field(1, alias="timeoutSeconds")
    success_threshold: Times = Field(1, alias="successThreshold")
    failure_threshold: Times = Field(3, alias="failureThreshold")
    termination_grace_period_s: PositiveWholeSeconds | None = Field(None, alias="terminationGracePeriodSeconds")


class SleepAction(Spec):
    """The kubelet waits."""

    seconds: Annotated[int, Whole(ge=0, le=86_400 * 366, unit="whole seconds")]


class ExecAction(Spec):
    """A command in the container."""

    command: tuple[Text, ...] = Field(max_length=1000)

    @property
    def sleep_s(self) -> float | None:
        """How long it takes when it is a sleep (`sleep 5`, `sh -c "sleep 5 && nginx -s quit"`), else None.

        The usual ways to ask a server to quit (`nginx -s quit`, `kill 1`) are taken to return at once; with any other
        command beside the sleep the answer is None.
        """
        slept_s, unknown = self._parts
        return None if unknown or slept_s == 0.0 else slept_s

    @property
    def least_s(self) -> float:
        """What of its duration is known: the sleeps in it."""
        return self._parts[0]

    @property
    def _parts(self) -> tuple[float, bool]:
        """Seconds slept, and whether there is a command of unknown duration."""
        words = list(self.command)
        if len(words) == 3 and re.fullmatch(r"(/usr)?(/bin/)?(ba|da|a|z|k)?sh", words[0]) and words[1] in _SHELL_FLAGS:
            return _shell_parts(words[2])
        slept_s = _sleep_words_s(words)
        return slept_s or 0.0, slept_s is None


_SHELL_FLAGS = ("-c", "-ec", "-lc", "-exc", "-euc")
_RETURNS_AT_ONCE = re.compile(
    r"(exec\s+)?((/\S*/)?nginx\s+(-c\s+\S+\s+)?-s\s+(quit|stop|reload)|kill\s+(-\S+\s+)*\S+|true|:|exit\s+0|echo\b.*|touch\s+\S+)",
)


def _shell_parts(line: str) -> tuple[float, bool]:
    if re.search(r"[|()`{}<>]|(?<!&)&(?!&)|\b(if|for|while|case)\b", line):
        return 0.0, True  # a program, not a list of commands
    slept_s, unknown = 0.0, False
    for part in re.split(r"&&|;|\n", line):
        command = part.strip()
        if not command:
            continue
        seconds = _sleep_words_s(command.split())
        if seconds is not None:
            slept_s += seconds
        elif not _RETURNS_AT_ONCE.fullmatch(command):
            unknown = True
    return slept_s, unknown


def _sleep_words_s(words: list[str]) -> float | None:
    """`sleep 5`, `/bin/sleep 1m 30s` (coreutils adds its operands)."""
    if words[:1] == ["exec"]:
        words = words[1:]
    if len(words) < 2 or not re.fullmatch(r"(/usr)?(/bin/)?sleep", words[0]):
        return None
    try:
        total = sum(parse_duration(word.strip("'\"")) for word in words[1:])
    except QuantityError:
        return None
    return total if 0.0 <= total <= 86_400.0 * 366 else None


class HttpGetAction(Spec):
    """A request to the container."""

    path: Text = "/"
    port: Port | None = None


class PreStop(Spec):
    """What runs before SIGTERM, on the grace period's clock: exactly one of sleep, exec and httpGet."""

    sleep: SleepAction | None = None
    exec_: ExecAction | None = Field(None, alias="exec")
    http_get: HttpGetAction | None = Field(None, alias="httpGet")

    def conflicts(self) -> Iterator[Finding]:
        given = [word for word, action in self._actions().items() if action is not None]
        if len(given) != 1:
            got = " and ".join(given) if given else "none"
            yield Finding(
                f"give exactly one of sleep, exec and httpGet, got {got}", hint="preStop: {sleep: {seconds: 5}}"
            )

    def _actions(self) -> dict[str, Spec | None]:
        return {"sleep": self.sleep, "exec": self.exec_, "httpGet": self.http_get}

    @property
    def known_s(self) -> float | None:
        """Its duration in seconds when the manifest tells it; None when only a measurement could."""
        if self.sleep is not None:
            return float(self.sleep.seconds)
        return self.exec_.sleep_s if self.exec_ is not None else None

    @property
    def least_s(self) -> float:
        """The part of its duration that the manifest tells."""
        if self.sleep is not None:
            return float(self.sleep.seconds)
        return self.exec_.least_s if self.exec_ is not None else 0.0


class ResourceAmounts(Spec):
    """Amounts of cpu (cores) and memory (bytes)."""

    cpu: Cores | None = None
    memory: Bytes | None = None


class Resources(Spec):
    """What the scheduler sets aside (requests) and what the kernel enforces (limits)."""

    requests: ResourceAmounts = ResourceAmounts()
    limits: ResourceAmounts = ResourceAmounts()

    def conflicts(self) -> Iterator[Finding]:
        for name in ("cpu", "memory"):
            request, limit = getattr(self.requests, name), getattr(self.limits, name)
            if request is not None and limit is not None and request > limit:
                yield Finding(
                    f"{name} request ({request:.10g}) is above its limit ({limit:.10g})", ("requests", name),
                    hint="the API server refuses it: lower the request or raise the limit",
                )  # fmt: skip


class RestartPolicy(StrEnum):
    """Of an init container: Always makes it a sidecar."""

    ALWAYS = "Always"


class _Probed(Spec):
    """What the serving container, a sidecar and an init container have in common."""

    readiness_probe: Probe | None = Field(None, alias="readinessProbe")
    liveness_probe: Probe | None = Field(None, alias="livenessProbe")
    startup_probe: Probe | None = Field(None, alias="startupProbe")
    pre_stop: PreStop | None = Field(None, alias="preStop")
    resources: Resources = Resources()

    def asked(self) -> dict[str, Spec | None]:
        """What the kubelet does to the container, by the manifest's names."""
        return {
            "readinessProbe": self.readiness_probe,
            "livenessProbe": self.liveness_probe,
            "startupProbe": self.startup_probe,
            "preStop": self.pre_stop,
        }

    def conflicts(self) -> Iterator[Finding]:
        for name, probe in (("livenessProbe", self.liveness_probe), ("startupProbe", self.startup_probe)):
            if probe is not None and probe.success_threshold != 1:
                yield Finding(
                    f"successThreshold must be 1 for a {name}, got {probe.success_threshold}",
                    (name, "successThreshold"),
                    hint="the API server refuses anything else",
                    code="ZD1005",
                )
        if self.readiness_probe is not None and self.readiness_probe.termination_grace_period_s is not None:
            yield Finding(
                "a readinessProbe has no terminationGracePeriodSeconds: it never kills",
                ("readinessProbe", "terminationGracePeriodSeconds"),
                hint="remove it, or set it on the livenessProbe or startupProbe",
            )


class Container(_Probed):
    """A container beside the one that serves (a sidecar)."""

    name: Name


class InitContainer(_Probed):
    """A container that runs before the others; with restartPolicy Always it is a native sidecar and runs on."""

    name: Name
    restart_policy: Annotated[RestartPolicy, choice(RestartPolicy)] | None = Field(None, alias="restartPolicy")

    @property
    def is_sidecar(self) -> bool:
        """Does it run on beside the main containers?"""
        return self.restart_policy is RestartPolicy.ALWAYS


class Deployment(_Probed):
    """What the Deployment says; the new revision has the same unless `release.deployment` says otherwise."""

    name: Name = "web"
    replicas: Annotated[int, Whole(ge=0, le=MAX_REPLICAS)] = 1
    strategy: Strategy = Strategy()
    min_ready_s: WholeSeconds = Field(0, alias="minReadySeconds")
    progress_deadline_s: Annotated[int, Whole(ge=1, le=NO_DEADLINE, unit="whole seconds")] = Field(
        600, alias="progressDeadlineSeconds"
    )
    paused: Flag = False
    revision_history_limit: Annotated[int, Whole(ge=0, le=NO_DEADLINE)] = Field(10, alias="revisionHistoryLimit")
    grace_s: WholeSeconds = Field(30, alias="terminationGracePeriodSeconds")
    containers: tuple[Container, ...] = Field((), max_length=100)
    init_containers: tuple[InitContainer, ...] = Field((), alias="initContainers", max_length=100)

    def conflicts(self) -> Iterator[Finding]:
        yield from super().conflicts()
        if self.progress_deadline_s <= self.min_ready_s:
            yield Finding(
                f"progressDeadlineSeconds ({self.progress_deadline_s}) must be more than "
                f"minReadySeconds ({self.min_ready_s})",
                ("progressDeadlineSeconds",),
                hint="the API server refuses it: a pod could never count as progress in time",
            )
        names = [one.name for one in self.containers] + [one.name for one in self.init_containers]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Finding(f"two containers are called {name!r}", ("containers",), hint="give each its own name")
        sleep = self.pre_stop.sleep if self.pre_stop is not None else None
        if sleep is not None and sleep.seconds > self.grace_s:
            yield Finding(
                f"preStop sleep ({sleep.seconds} s) is longer than terminationGracePeriodSeconds ({self.grace_s})",
                ("preStop", "sleep", "seconds"),
                hint=f"the API server refuses it: set terminationGracePeriodSeconds to at least {sleep.seconds + 25}",
            )

    def cautions(self) -> Iterator[Finding]:
        hook = self.pre_stop.known_s if self.pre_stop is not None else None
        if hook is not None and self.grace_s - hook < 2 and hook > 0:
            yield Finding(
                f"preStop takes {hook:g} s of the {self.grace_s} s grace period, so SIGKILL comes 2 s after SIGTERM",
                ("preStop",),
                f"set terminationGracePeriodSeconds to {hook:g} s plus the time your longest request takes",
                "ZD2005",
            )
        if self.readiness_probe is None:
            yield Finding(
                "no readinessProbe: a pod counts as ready as soon as its container runs, listening or not",
                (),
                "add a readinessProbe to the container that serves",
                "ZD2006",
            )
        beside: list[tuple[tuple[str | int, ...], Container | InitContainer]] = [
            *((("containers", i), one) for i, one in enumerate(self.containers)),
            *((("initContainers", i), one) for i, one in enumerate(self.init_containers)),
        ]
        for where, one in beside:
            asked = [word for word, part in one.asked().items() if part is not None]
            if asked:
                yield Finding(
                    f"{' and '.join(asked)} of {one.name!r} not simulated: it is ready as soon as it runs",
                    where,
                    "only the container that serves is probed and has its hook run",
                    "ZD2003",
                )
        live, ready = self.liveness_probe, self.readiness_probe
        if live is not None and ready is not None and self.startup_probe is None:
            lasts = live.failure_threshold * live.period_s
            if lasts < ready.failure_threshold * ready.period_s:
                yield Finding(
                    f"livenessProbe gives up after {lasts} s, before readinessProbe takes the pod out of traffic",
                    ("livenessProbe",),
                    "raise failureThreshold or periodSeconds of the livenessProbe above those of the readinessProbe",
                    "ZD2006",
                )
        if self.paused:
            yield Finding(
                "the Deployment is paused: a new template starts no rollout until it is resumed",
                ("paused",),
                "remove paused, or set release.resume_at",
                "ZD2009",
            )
        if self.replicas == 0:
            yield Finding("0 replicas: nothing answers", ("replicas",), "", "ZD2009")
        if self.grace_s == 0:
            yield Finding(
                "terminationGracePeriodSeconds 0 deletes pods at once: every request in flight is cut",
                ("terminationGracePeriodSeconds",),
                "30 is the default",
                "ZD2009",
            )


class DeploymentPatch(_Probed):
    """What the new revision's Deployment says differently; a field that is absent stays, null removes it."""

    replicas: Annotated[int, Whole(ge=0, le=MAX_REPLICAS)] | None = None
    strategy: Strategy | None = None
    min_ready_s: WholeSeconds | None = Field(None, alias="minReadySeconds")
    progress_deadline_s: Annotated[int, Whole(ge=1, le=NO_DEADLINE, unit="whole seconds")] | None = Field(
        None, alias="progressDeadlineSeconds"
    )
    grace_s: WholeSeconds | None = Field(None, alias="terminationGracePeriodSeconds")

    @model_serializer(mode="plain")
    def _only_given(self) -> dict[str, Any]:
        """Absent and null differ here, at every depth, so only what was given is written."""
        return _given(self)

    def applied_to(self, old: Deployment) -> Deployment:
        """The Deployment after this patch; probes, strategy and resources merge field by field, as kubectl does."""
        return Deployment.model_validate(_merged(old, self))


def _given(spec: Spec) -> dict[str, Any]:
    fields = type(spec).model_fields
    written = {}
    for name in fields:  # in the order of the class: a set has none
        if name in spec.model_fields_set:
            value = getattr(spec, name)
            written[fields[name].alias or name] = _given(value) if isinstance(value, Spec) else value
    return written


def _merged(old: Spec, patch: Spec) -> dict[str, Any]:
    fields = type(old).model_fields
    result: dict[str, Any] = {name: getattr(old, name) for name in fields if name in old.model_fields_set}
    for name in patch.model_fields_set:
        new, before = getattr(patch, name), getattr(old, name)
        if isinstance(new, Probe | Strategy | RollingUpdate | Resources | ResourceAmounts) and type(new) is type(
            before
        ):
            result[name] = type(new).model_validate(_merged(before, new))
        elif new is None and not _optional(fields[name].default):
            result.pop(name, None)  # null: back to the default
        else:
            result[name] = new
    return result


def _optional(default: object) -> bool:
    return default is None
