"""What does a real manifest say is rolled out, and by whom?

Takes any multi-document YAML (`helm template`, `kustomize build`, `kubectl get -o yaml`), one file or several, and
finds a Deployment, an Argo Rollout or a Flagger Canary with all that it refers to. Each becomes nodes shaped like the
scenario's own sections; every node keeps its place in the manifest. What is not simulated is named.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from zdsim.errors import Problem
from zdsim.scenario.argo import ArgoRollout
from zdsim.scenario.argo_analysis import AnalysisTemplate
from zdsim.scenario.fields import did_you_mean
from zdsim.scenario.flagger import FlaggerCanary, MetricTemplate
from zdsim.scenario.kubernetes import Import, KubeObject, deployment_node, say_left_out, take_object
from zdsim.scenario.kubernetes_fields import ELSEWHERE, LISTS
from zdsim.scenario.quantities import show
from zdsim.scenario.source import Entry, Node, Source, mapping, sequence, with_entry
from zdsim.scenario.spec import Spec
from zdsim.scenario.yaml_nodes import parse_documents

_SHARED = ("replicas", "minReadySeconds", "progressDeadlineSeconds", "paused", "revisionHistoryLimit", "template")
_ANALYSES = {"AnalysisTemplate", "ClusterAnalysisTemplate"}
_GROUPS = {"Rollout": "argoproj.io/", "Canary": "flagger.app/"} | dict.fromkeys(_ANALYSES, "argoproj.io/")
_GROUPS["MetricTemplate"] = "flagger.app/"
_ARGO, _FLAGGER = "argoproj.io/v1alpha1", "flagger.app/v1beta1"


@dataclass(frozen=True, slots=True)
class Imported:
    """What manifests gave, as nodes for `service.deployment`, `rollout` and `flagger`; and all there is to tell."""

    deployment: Node | None
    rollout: Node | None = None
    flagger: Node | None = None
    problems: tuple[Problem, ...] = ()
    notices: tuple[Problem, ...] = ()


def import_manifest(sources: Sequence[Source], *, workload: str | None = None) -> Imported:
    """What is rolled out in some manifests: the workload called `workload`, or the only one."""
    work, objects = Import(), []
    for source in sources:
        documents, syntax = parse_documents(source)
        work.problems += syntax
        if any(problem.line is None or problem.code in ("ZD1008", "ZD1013", "ZD1014") for problem in syntax):
            return Imported(None, problems=tuple(work.problems))
        if not documents and not syntax:
            hint = "did the command that renders it fail?" if source.name == "<stdin>" else "is it the right file?"
            work.problems.append(source.problem("ZD1011", "no YAML document in it", line=1, column=1, hint=hint))
        objects += [found for document in documents for found in _objects(document, work)]
    chosen = _choose(sources[0], objects, workload, work) if objects or not work.problems else None
    found = _taken(chosen, objects, work) if chosen is not None else Imported(None)
    say_left_out(sources[0], work)
    return Imported(found.deployment, found.rollout, found.flagger, tuple(work.problems), tuple(work.notices))


def _objects(document: Node, work: Import) -> Iterator[KubeObject]:
    """The objects of a document, lists taken apart."""
    kind = document.get("kind")
    if document.entries is None or kind is None or not isinstance(kind.value, str):
        message = f"not a Kubernetes object: it has no kind ({show(document.plain())})"
        if document.get("traffic") is not None or document.get("service") is not None:
            hint = "this looks like a zdsim scenario: give it without -f"
        elif document.get("replicaCount") is not None or document.get("image") is not None:
            hint = "this looks like Helm values: render the chart with helm template and give that"
        else:
            hint = "every document of a manifest has apiVersion, kind and metadata"
        work.problems.append(document.mark.problem("ZD1019", message, hint=hint))
        return
    if kind.value in LISTS:
        items = document.get("items")
        for item in (items.items or []) if items is not None else []:
            yield from _objects(item, work)
        return
    group, version = _GROUPS.get(kind.value), document.get("apiVersion")
    foreign = group is not None and version is not None and not str(version.value).startswith(group)
    called = f"{version.value} {kind.value}" if foreign and version is not None else kind.value
    yield KubeObject(document, called, _text(document, "name"), _text(document, "namespace"))


def _text(document: Node, key: str) -> str:
    node = document.find("metadata", key)
    return node.value if node is not None and isinstance(node.value, str) else ""


# --- which one -------------------------------------------------------------------------------------------------------


def _reference(one: KubeObject) -> tuple[Node | None, str]:
    """What a Rollout or Canary says it takes its pods from, and the word for it."""
    word = "workloadRef" if one.kind == "Rollout" else "targetRef"
    return one.node.find("spec", word), word


def _target(one: KubeObject, objects: list[KubeObject]) -> KubeObject | None:
    """The Deployment that a Rollout or Canary refers to, if it is there."""
    if one.kind not in ("Rollout", "Canary"):
        return None
    ref, _ = _reference(one)
    name = ref.get("name") if ref is not None else None
    if name is None:
        return None
    return next((found for found in objects if found.kind == "Deployment" and found.name == name.value), None)


def _choose(source: Source, objects: list[KubeObject], workload: str | None, work: Import) -> KubeObject | None:
    owners = [one for one in objects if one.kind in ("Rollout", "Canary")]
    owned = [target for one in owners if (target := _target(one, objects)) is not None]
    rest = [one for one in objects if one.kind == "Deployment" and not any(one is other for other in owned)]
    there = [*owners, *rest]
    if workload is not None:
        chosen = next((one for one in [*there, *owned] if one.name == workload), None)
        if chosen is None:
            names = [one.name for one in there]
            message = f"no Deployment {show(workload)} in it{did_you_mean(workload, names)}"
            hint = f"Deployments: {', '.join(names) or 'none'}"
            if owners:
                message, hint = message.replace("Deployment", "workload"), f"there: {', '.join(map(str, there))}"
            work.problems.append(source.problem("ZD1030", message, line=1, column=1, hint=hint))
        return chosen
    among = owners or rest
    if len(among) == 1:
        return among[0]
    names = [one.name for one in among]
    if len(among) > 1:
        what = "Deployments" if not owners else "Rollouts and Canaries"
        message = f"{len(among)} {what}: {', '.join(name or '(no name)' for name in names)}"
        hint = f"choose one: --workload {names[0]}, or service.workload: {names[0]} in the scenario"
        work.problems.append(among[1].node.mark.problem("ZD1031", message, hint=hint))
    elif not work.problems:
        found = ", ".join(dict.fromkeys(str(one) for one in objects))
        hint = ""
        if any(one.kind in ("StatefulSet", "DaemonSet") for one in objects):
            hint = "Deployments, Argo Rollouts and Flagger Canaries are simulated"
        elif any(one.kind == "Kustomization" for one in objects):
            hint = "build it first: kustomize build . | zdsim run -f - --rate 200/s"
        message = f"no Deployment in it, only {found}" if found else "no Deployment in it"
        work.problems.append(source.problem("ZD1030", message, line=1, column=1, hint=hint))
    return None


def _taken(chosen: KubeObject, objects: list[KubeObject], work: Import) -> Imported:
    target = _target(chosen, objects)
    helpers = {"Service"} | (_ANALYSES if chosen.kind == "Rollout" else set())
    helpers |= {"MetricTemplate"} if chosen.kind == "Canary" else set()
    for other in objects:
        if other is not chosen and other is not target and other.kind not in helpers:
            why = ELSEWHERE.get(other.kind, "zdsim does not simulate this kind")
            if other.kind in ("Deployment", "Rollout", "Canary"):
                why = f"{chosen} was chosen"
            work.notice(other.node.get("kind") or other.node, "ZD2001", f"{other} is left out: {why}")
    services = [one for one in objects if one.kind == "Service"]
    if chosen.kind == "Rollout":
        return _rollout(chosen, target, objects, services, work)
    if chosen.kind == "Canary":
        return _canary(chosen, target, objects, services, work)
    take_object(chosen, "apps/v1", "Kubernetes serves Deployments as apps/v1 only (since 1.16)", work)
    return Imported(deployment_node(chosen, services, work))


def _missing_target(one: KubeObject, work: Import) -> None:
    ref, word = _reference(one)
    if ref is None:
        return
    kind, name = ref.get("kind"), ref.get("name")
    if kind is not None and kind.value not in (None, "Deployment"):
        message = f"{word} names a {kind.plain()}; only Deployments are simulated"
        work.problems.append(kind.mark.problem("ZD1019", message, path=f"spec.{word}.kind"))
        return
    called = show(name.plain()) if name is not None else "it names"
    message = f"the Deployment {called} is not among the given manifests"
    hint = "give its file, too: service.manifest: [rollout.yaml, deployment.yaml]"
    work.problems.append((name or ref).mark.problem("ZD1030", message, path=f"spec.{word}", hint=hint))


# --- Argo Rollouts ---------------------------------------------------------------------------------------------------


def _rollout(
    chosen: KubeObject, target: KubeObject | None, objects: list[KubeObject], services: list[KubeObject], work: Import
) -> Imported:
    take_object(chosen, _ARGO, "", work)
    spec = chosen.node.get("spec")
    if spec is None or spec.entries is None:
        work.problems.append(chosen.node.mark.problem("ZD1002", f"{chosen} has no spec", path="spec"))
        return Imported(None)
    shared = {key: node for key in _SHARED if (node := spec.get(key)) is not None}
    ref = spec.get("workloadRef")
    if ref is not None and ref.value is not None:
        if "template" in shared:
            message = "template and workloadRef exclude each other: InvalidSpec, nothing would move"
            work.problems.append(shared["template"].mark.problem("ZD1032", message, path="spec.template"))
        if target is None:
            _missing_target(chosen, work)
        elif (template := target.node.find("spec", "template")) is not None:
            shared["template"] = template
    metadata = chosen.node.get("metadata")
    parts = {"spec": mapping(spec.mark, shared)} | ({"metadata": metadata} if metadata is not None else {})
    seen = KubeObject(mapping(chosen.node.mark, parts), "Rollout", chosen.name, chosen.namespace)
    missing = ref is not None and target is None
    deployment = deployment_node(seen, services, work) if not missing else None
    own = {key: entry for key, entry in spec.entries.items() if key not in (*_SHARED, "selector")}
    node = section(Node(spec.mark, own, spec.size, "spec"), ArgoRollout, "spec", work)
    if (name := chosen.node.find("metadata", "name")) is not None:
        node = with_entry(node, ("name",), Node(name.mark, chosen.name or "rollout", label="metadata.name"))
    templates = [_analysis_template(one, work) for one in objects if one.kind in _ANALYSES]
    if templates:
        node = with_entry(node, ("analysisTemplates",), sequence(spec.mark, templates))
    return Imported(deployment, rollout=node)


def _analysis_template(one: KubeObject, work: Import) -> Node:
    take_object(one, _ARGO, "", work)
    node = section(one.node.get("spec") or mapping(one.node.mark), AnalysisTemplate, f"{one} spec", work)
    node = with_entry(node, ("name",), Node(one.node.mark, one.name))
    if one.kind.startswith("Cluster"):
        node = with_entry(node, ("clusterScope",), Node(one.node.mark, True))
    return node.labelled(f"{one} spec")


# --- Flagger ---------------------------------------------------------------------------------------------------------


def _canary(
    chosen: KubeObject, target: KubeObject | None, objects: list[KubeObject], services: list[KubeObject], work: Import
) -> Imported:
    take_object(chosen, _FLAGGER, "", work)
    spec = chosen.node.get("spec")
    if spec is None or spec.entries is None:
        work.problems.append(chosen.node.mark.problem("ZD1002", f"{chosen} has no spec", path="spec"))
        return Imported(None)
    deployment = None
    if target is None:
        _missing_target(chosen, work)
    else:
        take_object(target, "apps/v1", "Kubernetes serves Deployments as apps/v1 only (since 1.16)", work)
        deployment = deployment_node(target, services, work)
    old = spec.get("canaryAnalysis")
    if old is not None and spec.get("analysis") is None:
        entries = {"analysis" if key == "canaryAnalysis" else key: entry for key, entry in spec.entries.items()}
        spec = Node(spec.mark, entries, spec.size, spec.label)
        work.notice(old, "ZD2009", "canaryAnalysis is read as analysis, its name since v1beta1")
    node = section(spec.labelled("spec"), FlaggerCanary, "spec", work)
    if (name := chosen.node.find("metadata", "name")) is not None:
        node = with_entry(node, ("name",), Node(name.mark, chosen.name or "canary", label="metadata.name"))
    templates = [_metric_template(one, work) for one in objects if one.kind == "MetricTemplate"]
    if templates:
        node = with_entry(node, ("metricTemplates",), sequence(spec.mark, templates))
    return Imported(deployment, flagger=node)


def _metric_template(one: KubeObject, work: Import) -> Node:
    take_object(one, _FLAGGER, "", work)
    node = section(one.node.get("spec") or mapping(one.node.mark), MetricTemplate, f"{one} spec", work)
    node = with_entry(node, ("name",), Node(one.node.mark, one.name))
    if one.namespace:
        node = with_entry(node, ("namespace",), Node(one.node.mark, one.namespace))
    return node.labelled(f"{one} spec")


# --- a mapping as a section ------------------------------------------------------------------------------------------


def section(node: Node, spec: type[Spec], path: str, work: Import) -> Node:
    """A manifest's mapping without nulls and without fields that `spec` does not know; these are noted.

    Values are not looked at: what is no mapping or list where one belongs is for the model to refuse.
    """
    if node.entries is None:
        return node
    fields = {field.alias or name: field.annotation for name, field in spec.model_fields.items()}
    kept: dict[str, Entry] = {}
    for key, entry in node.entries.items():
        if entry.node.value is None:
            continue
        if key not in fields:
            work.unknown_field(key, entry, path, sorted(fields))
            continue
        inner = next(_specs(fields[key]), None)
        kept[key] = Entry(entry.key, _below(entry.node, inner, f"{path}.{key}", work))
    return Node(node.mark, kept, 1 + sum(entry.node.size for entry in kept.values()), node.label)


def _below(node: Node, inner: type[Spec] | None, path: str, work: Import) -> Node:
    if inner is None:
        return node
    if node.items is not None:
        items = [section(item, inner, f"{path}[{i}]", work) for i, item in enumerate(node.items)]
        return Node(node.mark, items, 1 + sum(item.size for item in items), node.label)
    return section(node, inner, path, work)


def _specs(annotation: Any) -> Iterator[type[Spec]]:
    """The section classes in a type, through optional, lists and annotations."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from _specs(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType, tuple):
        for part in get_args(annotation):
            yield from _specs(part)


__all__ = ["Imported", "import_manifest", "section"]
