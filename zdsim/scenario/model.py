"""What is a scenario?

One frozen tree of sections: the service and what its process does, traffic, router, database, the release, faults, and
how to run it. `load.py` makes it from files and manifests; `model_dump(mode="json")` writes it so that
`Scenario.model_validate` reads the same back.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from zdsim.scenario.analysis import Observability
from zdsim.scenario.argo import ArgoRollout
from zdsim.scenario.checks import strategy_cautions, strategy_conflicts
from zdsim.scenario.deployment import Deployment
from zdsim.scenario.faults import ConnectionLimit, DatabaseDown, DatabaseSlow, Fault
from zdsim.scenario.fields import FileName, Flag, Name, PositiveSeconds, Quantity, Text, Whole, choice
from zdsim.scenario.flagger import FlaggerCanary
from zdsim.scenario.platform import Cluster, Database, Router
from zdsim.scenario.process import Process
from zdsim.scenario.quantities import format_duration
from zdsim.scenario.release import Release
from zdsim.scenario.spec import Finding, Spec
from zdsim.scenario.traffic import Client, OpenTraffic, RequestClass, Traffic


def _one_file(value: Any) -> Any:
    """A single name is short for a list of one."""
    return value if value is None or isinstance(value, list | tuple) else [value]


class _OneFile:
    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "minLength": 1}, handler(schema)]}


class Service(Spec):
    """What is deployed: a Kubernetes manifest, or the same fields written here."""

    manifest: Annotated[tuple[FileName, ...] | None, BeforeValidator(_one_file), _OneFile()] = Field(
        None, description="a Kubernetes manifest (YAML, several documents allowed), or a list of them"
    )
    workload: Name | None = Field(None, description="which workload of the manifest, when it has several")
    deployment: Deployment | None = Field(None, description="the Deployment written here, in Kubernetes' own words")

    def conflicts(self) -> Iterator[Finding]:
        if self.manifest is None and self.deployment is None:
            yield Finding(
                "what is deployed? give manifest (a Kubernetes file) or deployment (its fields)",
                hint="manifest: deployment.yaml, or deployment: {replicas: 3}",
                code="ZD1002",
            )
        elif self.manifest is not None and self.deployment is not None:
            yield Finding(
                "give manifest or deployment, not both",
                ("deployment",),
                hint="keep the manifest; change single fields with -s service.deployment.replicas=5",
            )
        elif self.manifest is not None:
            yield Finding("a manifest is read only while loading a scenario file", ("manifest",))


class Plane(StrEnum):
    """Who plays the requests."""

    AUTO = "auto"
    KERNEL = "kernel"
    REFERENCE = "reference"


def _auto(value: Any) -> Any:
    return None if value == "auto" else value


class _OrAuto:
    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "anyOf": [
                {"enum": ["auto", None]},
                *Quantity("duration", gt=0).__get_pydantic_json_schema__(schema, handler)["anyOf"],
            ]
        }


class RunSpec(Spec):
    """How long and with whose luck."""

    duration_s: PositiveSeconds = Field(600.0, alias="duration")
    seed: Annotated[int, Whole(ge=0, le=2**63 - 1)] = 1
    window_s: Annotated[PositiveSeconds | None, BeforeValidator(_auto), _OrAuto()] = Field(
        None, alias="window", description="width of the windows that are counted in; auto chooses"
    )
    plane: Annotated[Plane, choice(Plane)] = Plane.AUTO
    baseline: Flag = Field(True, description="also run the same seed without release and faults, to tell the excess")

    def conflicts(self) -> Iterator[Finding]:
        if self.window_s is not None and self.window_s > self.duration_s:
            yield Finding(
                f"longer ({format_duration(self.window_s)}) than the run ({format_duration(self.duration_s)})",
                ("window",),
            )


class Scenario(Spec):
    """Everything one run needs to know."""

    name: Name = "scenario"
    description: Text = ""
    service: Service
    process: Process = Process()
    traffic: Traffic
    client: Client = Client()
    router: Router = Router()
    database: Database | None = None
    release: Release | None = Field(Release(), description="null: nothing is released")
    faults: tuple[Fault, ...] = Field((), max_length=1000)
    run: RunSpec = RunSpec()
    cluster: Cluster = Cluster()
    analysis: Observability = Observability()
    rollout: ArgoRollout | None = Field(None, description="an Argo Rollout, but for what it shares with a Deployment")
    flagger: FlaggerCanary | None = Field(None, description="a Flagger Canary")

    @property
    def deployment(self) -> Deployment:
        """The Deployment before the release."""
        assert self.service.deployment is not None, "a validated scenario has its deployment"
        return self.service.deployment

    def deployment_after(self, n_releases: int = 1) -> Deployment:
        """The Deployment once `n_releases` templates were applied (the release, then its `then` list).

        Raises:
            IndexError: the scenario has fewer.
        """
        now = self.deployment
        if n_releases == 0:
            return now
        if self.release is None:
            raise IndexError("this scenario releases nothing")
        patches = [self.release.deployment, *(rollover.deployment for rollover in self.release.then)]
        if n_releases > len(patches):
            raise IndexError(f"this scenario has {len(patches)} releases, not {n_releases}")
        for patch in patches[:n_releases]:
            now = patch.applied_to(now) if patch is not None else now
        return now

    def pre_stop_s(self, deployment: Deployment) -> float:
        """How long the serving container's preStop hook takes, seconds; 0 without one.

        The sleeps in it, plus `process.pre_stop_exec` when it runs anything else.
        """
        hook = deployment.pre_stop
        if hook is None:
            return 0.0
        return hook.known_s if hook.known_s is not None else hook.least_s + self.process.pre_stop_exec_s

    def cautions(self) -> Iterator[Finding]:
        yield from strategy_cautions(self)

    def conflicts(self) -> Iterator[Finding]:
        yield from strategy_conflicts(self)
        if self.release is not None:
            yield from self._release_conflicts(self.release)
        end = format_duration(self.run.duration_s)
        for i, fault in enumerate(self.faults):
            if fault.at_s >= self.run.duration_s:
                yield Finding(
                    f"begins at {format_duration(fault.at_s)}, after the run has ended ({end})", ("faults", i, "at")
                )
            if isinstance(fault, DatabaseDown | DatabaseSlow | ConnectionLimit) and self.database is None:
                yield Finding(
                    f"{fault.kind} needs a database, and this scenario has none",
                    ("faults", i, "kind"),
                    hint="add database: {} for one with defaults",
                )
        if self.database is None:
            for i, one in enumerate(self.traffic.classes):
                if one.queries > 0:
                    yield Finding(
                        f"class {one.name!r} makes {one.queries} queries, and this scenario has no database",
                        ("traffic", "classes", i, "queries"),
                        hint="add database: {} for one with defaults, or set queries: 0",
                    )

    def _release_conflicts(self, release: Release) -> Iterator[Finding]:
        end = format_duration(self.run.duration_s)
        times: list[tuple[tuple[str | int, ...], float | None]] = [
            (("at",), release.at_s),
            (("pause_at",), release.pause_at_s),
            (("resume_at",), release.resume_at_s),
            (("undo_at",), release.undo_at_s),
            *((("scale", i, "at"), step.at_s) for i, step in enumerate(release.scale)),
            *((("then", i, "at"), rollover.at_s) for i, rollover in enumerate(release.then)),
            *(((word, i), at_s) for word, found in release.actions.items() for i, at_s in enumerate(found)),
        ]
        for at, when_s in times:
            if when_s is not None and when_s >= self.run.duration_s:
                yield Finding(
                    f"{format_duration(when_s)} is after the run has ended ({end})",
                    ("release", *at),
                    hint="make run.duration longer, or this earlier",
                )
        known = [one.name for one in self.traffic.classes]
        bugs = [(("release", "bug"), release.bug)]
        bugs += [(("release", "then", i, "bug"), rollover.bug) for i, rollover in enumerate(release.then)]  # type: ignore[misc]
        for where, bug in bugs:
            for name in bug.classes if bug is not None else ():
                if name not in known:
                    yield Finding(f"there is no class {name!r}; there is {', '.join(known)}", (*where, "classes", name))
        yield from self._patched_conflicts(release)

    def _patched_conflicts(self, release: Release) -> Iterator[Finding]:
        """The new revision's Deployment must be one that the API server would take, too."""
        if self.service.deployment is None:
            return
        now = self.service.deployment
        patches = [(("release",), release.deployment)]
        patches += [(("release", "then", i), one.deployment) for i, one in enumerate(release.then)]  # type: ignore[misc]
        for where, patch in patches:
            if patch is None:
                continue
            try:
                now = patch.applied_to(now)
            except ValueError as problem:
                for found in findings_of(problem):
                    yield Finding(
                        f"in the new revision's Deployment: {found.message}",
                        (*where, "deployment", *found.at),
                        found.hint,
                        found.code,
                    )
                return


def findings_of(problem: ValueError) -> list[Finding]:
    """What a failed validation of a whole section found, as findings."""
    from pydantic import ValidationError

    if not isinstance(problem, ValidationError):
        return [Finding(str(problem))]
    found: list[Finding] = []
    for error in problem.errors(include_url=False):
        inner = error.get("ctx", {}).get("findings", [])
        found += inner or [Finding(error["msg"], tuple(error["loc"]))]
    return found


__all__ = ["OpenTraffic", "Plane", "RequestClass", "RunSpec", "Scenario", "Service", "findings_of"]
