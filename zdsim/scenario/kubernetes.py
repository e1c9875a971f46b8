"""What does a real Deployment say about the rollout?

Re-arranges the nodes of a Deployment (or the pod template of a Rollout) into the shape of `service.deployment`; every
node keeps its place in the manifest, so that a bad value is reported where it was written. Values are not checked here:
that is the model's business, in one place.
What is not simulated is left out and named, never silently.

Source: field names of Deployment, PodSpec, Container and Service as in Kubernetes 1.36 `api/core/v1` and `api/apps/v1`.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field

from zdsim.errors import Problem, Severity
from zdsim.scenario.fields import closest, did_you_mean, one_of
from zdsim.scenario.kubernetes_fields import (
    CONTAINER_QUIET,
    CONTAINER_USED,
    DEPLOYMENT_USED,
    EXPECTED,
    HANDLERS,
    HOMES,
    HTTP_QUIET,
    HTTP_USED,
    OBJECT_USED,
    POD_LOUD,
    POD_QUIET,
    POD_USED,
    PROBE_USED,
    SERVICE_LOUD,
)
from zdsim.scenario.quantities import is_template, show
from zdsim.scenario.source import Entry, Node, Source, mapping, sequence

_MAX_UNKNOWN = 100  # unknown fields that are named


@dataclass(slots=True)
class KubeObject:
    """One Kubernetes object of the manifest."""

    node: Node
    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}" if self.name else self.kind


@dataclass(slots=True)
class Import:
    """The state of one import: what was found so far."""

    problems: list[Problem] = field(default_factory=list)
    notices: list[Problem] = field(default_factory=list)
    quiet: dict[str, Node] = field(default_factory=dict)
    loud: dict[str, Node] = field(default_factory=dict)
    unknown: int = 0

    def take(
        self, node: Node, path: str, *, used: Set[str], quiet: Set[str] = frozenset(), loud: Set[str] = frozenset()
    ) -> Iterator[tuple[str, Node]]:
        """The used entries of a mapping; the others are noted. Null means absent, as the API server reads it."""
        if node.entries is None:
            self.problems.append(
                node.mark.problem("ZD1003", f"expected a mapping, got {show(node.plain())}", path=path)
            )
            return
        for key, entry in node.entries.items():
            if entry.node.value is None:
                continue
            if key in EXPECTED:
                continue
            if key in used:
                yield key, entry.node
            elif key in quiet:
                self.quiet.setdefault(key, entry.node)
            elif key in loud:
                if entry.node.value not in ({}, [], False):
                    self.loud.setdefault(key, entry.node)
            else:
                self.unknown_field(key, entry, path, sorted(used | quiet | loud))

    def unknown_field(self, key: str, entry: Entry, path: str, known: list[str]) -> None:
        self.unknown += 1
        if self.unknown > _MAX_UNKNOWN:
            return
        if is_template(key):
            message, hint = f"the placeholder {show(key)} was not filled in: left out", "render the template first"
        else:
            message = f"unknown field {show(key)}{did_you_mean(key, known)}: left out"
            homes = [home for home, fields in HOMES.items() if key in fields and home != path]
            hint = f"it belongs into {one_of(homes)}" if homes else ""
            if closest(key, known):
                hint = "misspelled, the API server would drop or refuse it"
        self.notices.append(entry.key.problem("ZD2002", message, path=path, hint=hint, severity=Severity.WARNING))

    def notice(self, node: Node, code: str, message: str, hint: str = "", severity: Severity = Severity.NOTICE) -> None:
        self.notices.append(node.mark.problem(code, message, hint=hint, severity=severity))


def take_object(chosen: KubeObject, version: str, hint: str, work: Import) -> None:
    """Note what is odd about an object itself: unknown fields beside `spec`, another apiVersion than `version`."""
    list(work.take(chosen.node, "", used=OBJECT_USED))
    written = chosen.node.get("apiVersion")
    if written is not None and written.value != version:
        message = f"apiVersion {show(written.plain())} is read as {version}"
        work.notice(written, "ZD2009", message, hint, Severity.WARNING)


def deployment_node(chosen: KubeObject, services: list[KubeObject], work: Import) -> Node | None:
    """The node for `service.deployment`."""
    spec = chosen.node.get("spec")
    pod = chosen.node.find("spec", "template", "spec")
    if spec is None or pod is None:
        missing = "spec" if spec is None else "spec.template.spec"
        work.problems.append(chosen.node.mark.problem("ZD1002", f"{chosen} has no {missing}", path=missing))
        return None
    parts: dict[str, Node] = {}
    name = chosen.node.find("metadata", "name")
    if name is not None and is_template(name.value):
        work.notice(name, "ZD2004", f"the name {show(name.value)} was not filled in; called 'web' here")
    elif name is not None and name.value is not None:
        parts["name"] = name.labelled("metadata.name")
    for key, node in work.take(spec, "spec", used=DEPLOYMENT_USED):
        if key == "strategy":
            parts[key] = _strategy(node, work)
        elif key == "template":
            list(work.take(node, "spec.template", used={"spec", "metadata"}))
        else:
            parts[key] = node.labelled(f"spec.{key}")
    path = "spec.template.spec"
    for key, node in work.take(pod, path, used=POD_USED, quiet=POD_QUIET, loud=POD_LOUD):
        if key == "terminationGracePeriodSeconds":
            parts[key] = node.labelled(f"{path}.{key}")
        elif key == "restartPolicy" and node.value != "Always":
            hint = "the API server refuses anything else"
            message = f"a Deployment's restartPolicy is always Always, got {show(node.plain())}"
            work.problems.append(node.mark.problem("ZD1004", message, path=f"{path}.{key}", hint=hint))
    _containers(chosen, pod, services, parts, work)
    return mapping(chosen.node.mark, parts)


def _strategy(node: Node, work: Import) -> Node:
    parts = {}
    for key, value in work.take(node, "spec.strategy", used={"type", "rollingUpdate"}):
        if key == "rollingUpdate" and value.entries is not None:
            path = "spec.strategy.rollingUpdate"
            inner = work.take(value, path, used={"maxSurge", "maxUnavailable"})
            parts[key] = mapping(value.mark, {name: one.labelled(f"{path}.{name}") for name, one in inner})
        else:
            parts[key] = value
        parts[key] = parts[key].labelled(f"spec.strategy.{key}")
    return mapping(node.mark, parts).labelled("spec.strategy")


def _containers(
    chosen: KubeObject, pod: Node, services: list[KubeObject], parts: dict[str, Node], work: Import
) -> None:
    listed = pod.get("containers")
    containers = listed.items if listed is not None else None
    if not containers:
        where = listed.mark if listed is not None else pod.mark
        work.problems.append(
            where.problem("ZD1002", f"{chosen} has no containers", path="spec.template.spec.containers")
        )
        return
    serving = _serving(chosen, containers, services, work)
    others = []
    for i, node in enumerate(containers):
        made = _container(node, f"spec.template.spec.containers[{_called(node, i)}]", work)
        if i == serving:
            parts.update({key: entry.node for key, entry in (made.entries or {}).items() if key != "name"})
        else:
            others.append(made)
    if others:
        parts["containers"] = sequence(pod.mark, others)
    inits = pod.get("initContainers")
    if inits is not None and inits.items:
        made_inits = [
            _container(node, f"spec.template.spec.initContainers[{_called(node, i)}]", work, init=True)
            for i, node in enumerate(inits.items)
        ]
        parts["initContainers"] = sequence(inits.mark, made_inits)


def _called(node: Node, i: int) -> str:
    name = node.get("name")
    return name.value if name is not None and isinstance(name.value, str) else str(i)


def _container(node: Node, path: str, work: Import, *, init: bool = False) -> Node:
    parts: dict[str, Node] = {}
    for key, value in work.take(node, path, used=CONTAINER_USED, quiet=CONTAINER_QUIET):
        where = f"{path}.{key}"
        if key.endswith("Probe"):
            parts[key] = _probe(node, value, where, work)
        elif key == "lifecycle":
            for name, hook in work.take(value, where, used={"preStop"}, loud={"postStart", "stopSignal"}):
                parts[name] = _pre_stop(hook, f"{where}.{name}", work)
        elif key == "resources":
            parts[key] = _resources(value, where, work)
        elif key == "name" or (key == "restartPolicy" and init):
            parts[key] = value.labelled(where)
    _unknowable_env(node, path, work)
    return mapping(node.mark, parts).labelled(path)


def _probe(container: Node, node: Node, path: str, work: Import) -> Node:
    parts = {}
    for key, value in work.take(node, path, used=PROBE_USED | HANDLERS):
        if key in PROBE_USED:
            parts[key] = value.labelled(f"{path}.{key}")
            continue
        port = value.get("port")
        if port is not None and isinstance(port.value, str) and port.value not in _port_names(container):
            declared = ", ".join(_port_names(container)) or "none"
            what = "was not filled in" if is_template(port.value) else "is not a named port of this container"
            work.notice(
                port,
                "ZD2004",
                f"{path}.{key}.port: {show(port.value)} {what}; the probe is simulated as if it could reach it",
                f"ports declared: {declared}",
                Severity.WARNING,
            )
    if node.entries is None:
        return node.labelled(path)
    return mapping(node.mark, parts).labelled(path)


def _pre_stop(node: Node, path: str, work: Import) -> Node:
    parts = {}
    for key, value in work.take(node, path, used={"exec", "httpGet", "sleep"}, loud={"tcpSocket"}):
        if key == "httpGet" and value.entries is not None:
            inner = dict(work.take(value, f"{path}.{key}", used=HTTP_USED, quiet=HTTP_QUIET))
            parts[key] = mapping(value.mark, inner).labelled(f"{path}.{key}")
        else:
            parts[key] = value.labelled(f"{path}.{key}")
    return mapping(node.mark, parts).labelled(path)


def _resources(node: Node, path: str, work: Import) -> Node:
    parts = {}
    for key, value in work.take(node, path, used={"requests", "limits"}, loud={"claims"}):
        amounts = {}
        for name, entry in (value.entries or {}).items():
            if name in ("cpu", "memory"):
                if entry.node.value is not None:
                    amounts[name] = entry.node.labelled(f"{path}.{key}.{name}")
            elif closest(name, ["cpu", "memory"]) is not None:
                work.unknown_field(name, entry, f"{path}.{key}", ["cpu", "memory"])
            else:
                work.quiet.setdefault(f"resources {name}", entry.node)
        parts[key] = (mapping(value.mark, amounts) if value.entries is not None else value).labelled(f"{path}.{key}")
    return mapping(node.mark, parts).labelled(path)


def _unknowable_env(node: Node, path: str, work: Import) -> None:
    """Values that come from the cluster are told, though zdsim reads no environment: a pool size may hide there."""
    env = node.get("env")
    hidden = [one for one in (env.items or [] if env is not None else []) if one.get("valueFrom") is not None]
    if not hidden:
        return
    names = [str(one.get("name").value) for one in hidden if one.get("name") is not None]  # type: ignore[union-attr]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    work.notice(
        hidden[0],
        "ZD2004",
        f"{path}.env: {shown} come from valueFrom, which only the cluster can resolve; zdsim uses no environment",
        "what they change (workers, pool sizes, timeouts) goes into the scenario: process, database",
    )


# --- which container serves ------------------------------------------------------------------------------------------


def _serving(chosen: KubeObject, containers: list[Node], services: list[KubeObject], work: Import) -> int:
    """The container behind the Service, else the first with a port and a readiness probe, else the first."""
    if len(containers) == 1 and not services:
        return 0
    labels = chosen.node.find("spec", "template", "metadata", "labels")
    for service in services:
        if not _selects(service, labels):
            work.notice(service.node, "ZD2008", f"{service} does not select the pods of {chosen}: left out")
            continue
        found = _behind(service, containers, work)
        for key, entry in ((service.node.get("spec") or service.node).entries or {}).items():
            if key in SERVICE_LOUD and entry.node.value not in (False, None, "None"):
                work.loud.setdefault(f"Service {key}", entry.node)
        if found is not None:
            return found
    if len(containers) == 1:
        return 0
    ported = [i for i, node in enumerate(containers) if _ports(node)]
    probed = [i for i in ported if containers[i].get("readinessProbe") is not None]
    best = (probed or ported or [0])[0]
    name = _called(containers[best], best)
    message = f"{chosen} has {len(containers)} containers; {name!r} is taken as the one that serves"
    work.notice(containers[best], "ZD2008", message, "add the Service to the manifest to make it certain")
    return best


def _selects(service: KubeObject, labels: Node | None) -> bool:
    selector = service.node.find("spec", "selector")
    if selector is None or not selector.entries:
        return False
    return all(
        is_template(entry.node.value)
        or (labels is not None and (found := labels.get(key)) is not None and found.value == entry.node.value)
        for key, entry in selector.entries.items()
    )


def _behind(service: KubeObject, containers: list[Node], work: Import) -> int | None:
    ports = service.node.find("spec", "ports")
    for port in ports.items or [] if ports is not None else []:
        target = port.get("targetPort") or port.get("port")
        if target is None:
            continue
        for i, node in enumerate(containers):
            wanted = _port_names(node) if isinstance(target.value, str) else _port_numbers(node)
            if target.value in wanted:
                return i
        if isinstance(target.value, str):
            declared = sorted({name for node in containers for name in _port_names(node)})
            what = "was not filled in" if is_template(target.value) else "is no named port of any container"
            work.notice(
                target,
                "ZD2004",
                f"{service} targetPort {show(target.value)} {what}{did_you_mean(target.value, declared)}",
                f"ports declared: {', '.join(declared) or 'none'}; in a cluster this Service would have no endpoint",
                Severity.WARNING,
            )
    return None


def _ports(container: Node) -> list[Node]:
    ports = container.get("ports")
    return list(ports.items or []) if ports is not None else []


def _port_names(container: Node) -> list[str]:
    names = [port.get("name") for port in _ports(container)]
    return [name.value for name in names if name is not None and isinstance(name.value, str)]


def _port_numbers(container: Node) -> list[int]:
    numbers = [port.get("containerPort") for port in _ports(container)]
    return [number.value for number in numbers if number is not None and isinstance(number.value, int)]


def say_left_out(source: Source, work: Import) -> None:
    """Name what was left out so far."""
    if work.loud:
        first = next(iter(work.loud.values()))
        message = f"not simulated, though it can change a rollout: {', '.join(work.loud)}"
        work.notice(first, "ZD2003", message, severity=Severity.WARNING)
    if work.unknown > _MAX_UNKNOWN:
        message = f"{work.unknown - _MAX_UNKNOWN} more unknown fields: left out"
        work.notices.append(source.problem("ZD2002", message, severity=Severity.WARNING))
    if work.quiet:
        message = f"left out, since it changes nothing in a simulation: {', '.join(work.quiet)}"
        work.notices.append(source.problem("ZD2003", message, severity=Severity.NOTICE))
