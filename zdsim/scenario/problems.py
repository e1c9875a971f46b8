"""How is a failed validation told to the person who wrote the file?

Pydantic knows the path of every error, the tree knows where each path was written; here they meet. Paths are shown as
the author typed them (or under the manifest's own names), tags of unions left out.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from zdsim.errors import Problem, Severity
from zdsim.scenario.fields import TEMPLATE_HINT, closest, one_of
from zdsim.scenario.model import Scenario
from zdsim.scenario.overrides import dotted
from zdsim.scenario.played import unplayed
from zdsim.scenario.quantities import is_template, show
from zdsim.scenario.source import Mark, Node
from zdsim.scenario.spec import Finding, Spec

Loc = tuple[str | int, ...]
_MAX_WORDED = 200  # problems told with suggestions; ten times what is printed


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path leads in the tree: the deepest node that exists, its key, and the path as the author wrote it."""

    mark: Mark
    key: Mark | None
    path: str  # as shown
    real: Loc  # as an override would name it
    complete: bool


def problems_of(error: ValidationError, tree: Node) -> list[Problem]:
    """Every error of a validation as a problem at its place."""
    errors = error.errors(include_url=False)
    told = [problem for one in errors[:_MAX_WORDED] for problem in _problems(one, tree)]
    for one in errors[_MAX_WORDED:]:  # they will be counted, not read: no guesses at what was meant
        place = locate(tree, tuple(one["loc"]))
        told.append((place.key or place.mark).problem("ZD1003", one["msg"], path=place.path))
    return told


def caution_problems(scenario: Scenario, tree: Node) -> list[Problem]:
    """What the sections of a valid scenario warn of."""
    return [
        _tell(finding, loc, tree, severity=Severity.WARNING)
        for loc, section in _sections(scenario, ())
        for finding in section.cautions()
    ]


def unplayed_problems(scenario: Scenario, tree: Node) -> list[Problem]:
    """What of a Rollout or Canary has no part in the simulation."""
    return [_tell(finding, loc, tree, severity=severity) for loc, finding, severity in unplayed(scenario)]


def _sections(section: Spec, loc: Loc) -> Iterator[tuple[Loc, Spec]]:
    yield loc, section
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        here = (*loc, field.alias or name)
        if isinstance(value, Spec):
            yield from _sections(value, here)
        elif isinstance(value, tuple):
            for i, item in enumerate(value):
                if not isinstance(item, Spec):
                    break
                yield from _sections(item, (*here, i))


def _problems(error: ErrorDetails, tree: Node) -> Iterator[Problem]:
    loc: Loc = tuple(error["loc"])
    context: dict[str, Any] = error.get("ctx") or {}
    findings: Sequence[Finding] = context.get("findings") or ()
    if findings:
        for finding in findings:
            yield _tell(finding, loc, tree)
        return
    place = locate(tree, loc)
    if error["type"] == "union_tag_invalid":
        place = locate(tree, (*loc, "kind"))
    code, message, hint = _wording(error, loc, context)
    if code == "ZD1001":
        yield (place.key or place.mark).problem(code, message, path=_parent_path(place), hint=hint)
        return
    if code == "ZD1008":
        hint = hint.replace("PATH", dotted(place.real))
    yield place.mark.problem(code, message, path=place.path, hint=hint)


def _tell(finding: Finding, loc: Loc, tree: Node, severity: Severity = Severity.ERROR) -> Problem:
    place = locate(tree, (*loc, *finding.at))
    return place.mark.problem(finding.code, finding.message, path=place.path, hint=finding.hint, severity=severity)


def locate(tree: Node, loc: Loc) -> _Place:
    """Follow a path of pydantic's through the tree; parts that are not there (union tags, defaults) are passed over.

    The last part is kept in the shown path although it is not there: it is what is missing.
    """
    node, key, path, complete = tree, None, "", True
    real: list[str | int] = []
    for i, part in enumerate(loc):
        child, child_key = _child(node, part)
        if child is None:
            complete = False
            if i == len(loc) - 1 and isinstance(part, str) and node.entries is not None:
                path, real = _append(path, part), [*real, part]
            continue
        node, key, real = child, child_key, [*real, part]
        path = node.label or _append(path, part)
    return _Place(node.mark, key, path, tuple(real), complete)


def _child(node: Node, part: str | int) -> tuple[Node | None, Mark | None]:
    if isinstance(part, int):
        items = node.items
        return (items[part], None) if items is not None and part < len(items) else (None, None)
    entry = node.entries.get(part) if node.entries is not None else None
    return (entry.node, entry.key) if entry is not None else (None, None)


def _append(path: str, part: str | int) -> str:
    if isinstance(part, int):
        return f"{path}[{part}]"
    return f"{path}.{part}" if path else part


def _parent_path(place: _Place) -> str:
    path = place.path
    last = str(place.real[-1]) if place.real else ""
    return path[: -len(last)].rstrip(".") if last and path.endswith(last) else path


# --- wording ---------------------------------------------------------------------------------------------------------


def _wording(error: ErrorDetails, loc: Loc, context: dict[str, Any]) -> tuple[str, str, str]:
    """Code, message and hint of one error of pydantic's."""
    kind, got = error["type"], error.get("input")
    if kind.startswith("ZD"):
        return kind, error["msg"], str(context.get("hint") or "")
    if kind == "extra_forbidden":
        return _unknown(loc)
    if kind == "missing":
        return "ZD1002", *_missing(loc)
    if is_template(got):
        return "ZD1008", f"the placeholder {show(got)} was not filled in", TEMPLATE_HINT
    if kind in ("model_type", "model_attributes_type", "dict_type", "mapping_type"):
        hint = "write {} for the defaults, or remove the line" if got is None else ""
        known, tags = _allowed(loc), _tags(loc)
        if got is not None and tags:
            hint = f"for example {{kind: {tags[0]}, …}}"
        elif got is not None and known:
            hint = f"fields: {', '.join(known[:8])}{', …' if len(known) > 8 else ''}"
        return "ZD1003", f"expected a mapping, got {show(got)}", hint
    if kind in ("tuple_type", "list_type"):
        return "ZD1003", f"expected a list, got {show(got)}", "begin each item with '- ', or write [a, b]"
    if kind == "union_tag_not_found":
        return "ZD1002", f"which kind? give kind: {one_of(_tags(loc))}", ""
    if kind == "union_tag_invalid":
        tags = _tags(loc)
        close = closest(context.get("tag"), tags)
        found = show(context.get("tag"))
        return "ZD1004", f"expected kind {one_of(tags)}, got {found}", f"did you mean {close!r}?" if close else ""
    if kind in ("literal_error", "enum"):
        return "ZD1004", f"expected {context.get('expected', 'another value')}, got {show(got)}", ""
    if kind == "too_long":
        return "ZD1005", f"at most {context.get('max_length')} entries, got {context.get('actual_length')}", ""
    if kind == "too_short":
        return "ZD1005", f"at least {context.get('min_length')} entries, got {context.get('actual_length')}", ""
    return "ZD1003", f"{error['msg']}, got {show(got)}", ""


def _unknown(loc: Loc) -> tuple[str, str, str]:
    name, known = str(loc[-1]), _allowed(loc[:-1])
    close = closest(name, known)
    message = f"unknown field {show(name)}" + (f"; did you mean '{close}'?" if close else "")
    if close:
        return "ZD1001", message, ""
    homes = [home for home in _homes().get(name, ()) if home]
    here = ".".join(str(part) for part in loc[:-1])
    homes = [home for home in homes if home.startswith(here + ".")] or homes
    if homes:
        return "ZD1001", message, f"it belongs under {one_of(homes[:3])}"
    near = closest(name, sorted(_homes()))
    if near is not None and _homes()[near][0]:
        return "ZD1001", message, f"did you mean {_homes()[near][0]}.{near}?"
    return "ZD1001", message, f"fields here: {', '.join(known)}" if known else "nothing may be written here"


_MISSING_HINTS: dict[Loc, tuple[str, str]] = {
    ("service",): (
        "what is deployed?",
        "service: {manifest: deployment.yaml}, or service: {deployment: {replicas: 3}}",
    ),
    ("traffic",): ("how much traffic?", "traffic: {open: {rate: 200/s}}, or --rate 200/s on the command line"),
}


def _missing(loc: Loc) -> tuple[str, str]:
    question, hint = _MISSING_HINTS.get(loc, ("", ""))
    return f"missing: {question}" if question else "missing", hint


# --- the shape of the model ------------------------------------------------------------------------------------------


def _specs(annotation: Any) -> Iterator[type[Spec]]:
    """Every section class in a type, through unions, lists and annotations."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from _specs(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType, tuple, dict):
        for part in get_args(annotation):
            yield from _specs(part)


def _tag(spec: type[Spec]) -> str | None:
    field = spec.model_fields.get("kind")
    if field is None or get_origin(field.annotation) is not Literal:
        return None
    return str(get_args(field.annotation)[0])


def _fields_at(loc: Loc) -> list[type[Spec]]:
    """The section classes that a path of pydantic's can lead to."""
    here: list[type[Spec]] = [Scenario]
    for part in loc:
        if isinstance(part, int):
            continue
        below = [
            spec
            for one in here
            for name, field in one.model_fields.items()
            if part in (field.alias, name)
            for spec in _specs(field.annotation)
        ]
        here = below or [one for one in here if _tag(one) == part] or here
    return here


def _allowed(loc: Loc) -> list[str]:
    return list(
        dict.fromkeys(field.alias or name for one in _fields_at(loc) for name, field in one.model_fields.items())
    )


def _tags(loc: Loc) -> list[str]:
    return [tag for one in _fields_at(loc) if (tag := _tag(one)) is not None]


@cache
def _homes() -> dict[str, list[str]]:
    """Field name -> the sections that have it, laws and faults left out."""
    homes: dict[str, list[str]] = {}
    todo: list[tuple[type[Spec], str]] = [(Scenario, "")]
    while todo:
        spec, path = todo.pop(0)
        for name, field in spec.model_fields.items():
            word = field.alias or name
            homes.setdefault(word, []).append(path)
            below = f"{path}.{word}" if path else word
            if below.count(".") < 4:
                todo += [(one, below) for one in _specs(field.annotation) if _tag(one) is None]
    return homes
