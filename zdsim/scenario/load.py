"""How does a file become a `Scenario`?

text -> nodes with places -> manifest imported -> overrides applied -> data files read -> validated once. Everything
wrong is collected and raised together as one `ScenarioError`; past here there is no dict and no second check.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zdsim.errors import Problem, ScenarioError, Severity
from zdsim.scenario.assumed import assumed_lines
from zdsim.scenario.datafiles import read_data_files
from zdsim.scenario.manifest import import_manifest
from zdsim.scenario.model import Scenario
from zdsim.scenario.overrides import Override, apply_override, parse_override
from zdsim.scenario.problems import caution_problems, problems_of, unplayed_problems
from zdsim.scenario.source import Mark, Node, Source, decode, mapping, read_source, with_entry, without
from zdsim.scenario.yaml_nodes import parse_documents

_BEFORE_IMPORT = ((), ("manifest",), ("workload",))  # overrides of the service that decide what is imported
_BROKEN_YAML = {"ZD1015", "ZD1016", "ZD1017"}  # a value that YAML could not give: what validation says of it is noise
_STOPPERS = {"ZD1008", "ZD1013", "ZD1014"}  # after these the tree is not what its author meant


@dataclass(frozen=True, slots=True)
class Loaded:
    """A scenario, what its author should know, and what was assumed.

    `assumed` has one line for each value left at its default that a manifest cannot say; `files` names every file read.
    """

    scenario: Scenario
    notices: tuple[Problem, ...] = ()
    assumed: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def load_scenario(
    path: str | Path | None,
    *,
    manifest: str | Path | tuple[str | Path, ...] | None = None,
    manifest_text: str | bytes | None = None,
    overrides: Sequence[str] = (),
    rate: str | None = None,
    workload: str | None = None,
) -> Loaded:
    """The scenario of a file, of a manifest alone, or of both.

    Args:
        path: scenario file; None when a manifest and a rate say everything.
        manifest: Kubernetes manifest (or several) that replaces the scenario's service; `-` is standard input.
        manifest_text: the manifest's text, when the caller has read it already; `manifest` then only names it.
        overrides: `path=value`, applied last and in order.
        rate: open traffic, such as `500/s`.
        workload: which Deployment of the manifest.

    Raises:
        ScenarioError: with every problem that could be found.
    """
    problems: list[Problem] = []
    notices: list[Problem] = []
    files: list[str] = []
    tree = _read_tree(path, problems, files)
    given = [found for text in overrides if (found := _parsed(text, problems)) is not None]
    early = [one for one in given if one.path[:1] == ("service",) and one.path[1:2] in _BEFORE_IMPORT]
    tree = _applied(tree, early, problems)
    tree = _with_manifest(tree, manifest, manifest_text, workload, problems, notices, files)
    if rate is not None:
        tree = _with_rate(tree, rate, problems)
    tree = _applied(tree, [one for one in given if one not in early], problems)
    tree = read_data_files(tree, problems, files)
    tree = _named(tree, path)
    scenario = _validated(tree, problems)
    if scenario is None or any(problem.severity is Severity.ERROR for problem in problems):
        raise ScenarioError([*_in_order(problems, files), *_misspelled(tree, notices)])
    notices += caution_problems(scenario, tree)
    notices += unplayed_problems(scenario, tree)
    return Loaded(scenario, tuple(notices), tuple(assumed_lines(scenario)), tuple(files))


def _read_tree(path: str | Path | None, problems: list[Problem], files: list[str]) -> Node:
    if path is None:
        return mapping(Mark(Source("command line", ""), 0, 0))
    source = read_source(path, what="scenario")
    files.append(source.name)
    return scenario_tree(source, problems)


def scenario_tree(source: Source, problems: list[Problem]) -> Node:
    """The one mapping of a scenario text; raises when it is no such thing at all."""
    documents, found = parse_documents(source)
    if any(problem.code in _STOPPERS for problem in found):
        raise ScenarioError(found)
    problems += found
    if not documents:
        if found:
            raise ScenarioError(found)
        hint = "write service: and traffic:, as the README shows, or try zdsim demo"
        raise ScenarioError([source.problem("ZD1011", "the file is empty", line=1, column=1, hint=hint)])
    first = documents[0]
    kind = first.get("kind")
    if first.entries is not None and kind is not None and first.get("apiVersion") is not None:
        hint = f"run it without a scenario: zdsim run -f {source.name} --rate 200/s"
        message = f"this is a Kubernetes {kind.value}, not a zdsim scenario"
        raise ScenarioError([kind.mark.problem("ZD1019", message, hint=hint)])
    if len(documents) > 1:
        hint = "a scenario is one document: remove the line with ---"
        problems.append(documents[1].mark.problem("ZD1018", f"{len(documents)} documents in one file", hint=hint))
    if first.entries is None:
        from zdsim.scenario.quantities import show

        hint = "a scenario begins with service: and traffic:"
        raise ScenarioError(
            [first.mark.problem("ZD1019", f"expected a scenario, got {show(first.plain())}", hint=hint)]
        )
    return first


def _parsed(text: str, problems: list[Problem]) -> Override | None:
    try:
        return parse_override(text)
    except ScenarioError as error:
        problems += error.problems
        return None


def _applied(tree: Node, overrides: Sequence[Override], problems: list[Problem]) -> Node:
    for one in overrides:
        try:
            tree = apply_override(tree, one)
        except ScenarioError as error:
            problems += error.problems
    return tree


def _with_manifest(
    tree: Node,
    manifest: str | Path | tuple[str | Path, ...] | None,
    text: str | bytes | None,
    workload: str | None,
    problems: list[Problem],
    notices: list[Problem],
    files: list[str],
) -> Node:
    """The tree with what its manifest says, when there is one: `service.deployment`, `rollout`, `flagger`."""
    service = tree.get("service")
    named = service.get("manifest") if service is not None else None
    chosen = service.get("workload") if service is not None else None
    inline = service.get("deployment") if service is not None else None
    wanted: list[tuple[str | Path, Node | None]]
    if manifest is None and text is None:
        names = _file_names(named)
        if not names or inline is not None:
            return tree  # nothing to import, or a mistake that validation names
        wanted = [(_beside(one, one.value), one) for one in names]
    else:
        given = manifest if isinstance(manifest, tuple) else (manifest if manifest is not None else "manifest",)
        wanted = [(one, None) for one in given]
        if named is not None or inline is not None:
            replaced = named if named is not None else inline
            assert replaced is not None
            own, files_given = "manifest" if named is not None else "deployment", " and ".join(map(str, given))
            message = f"the scenario's own {own} is replaced by -f {files_given}"
            notices.append(replaced.mark.problem("ZD2007", message, severity=Severity.NOTICE))
    if workload is None and chosen is not None and isinstance(chosen.value, str):
        workload = chosen.value
    sources: list[Source] = []
    for where, written in wanted:
        try:
            if text is not None:
                sources.append(decode("<stdin>" if str(where) == "-" else str(where), text))
            else:
                sources.append(read_source(where, what="manifest"))
        except ScenarioError as error:
            problems += [_placed(problem, written) for problem in error.problems]
    files += [source.name for source in sources]
    if len(sources) < len(wanted):
        return _assume_deployment(tree)
    imported = import_manifest(sources, workload=workload)
    problems += imported.problems
    notices += imported.notices
    for word, node in (("rollout", imported.rollout), ("flagger", imported.flagger)):
        if node is not None:
            tree = with_entry(tree, (word,), node)
    if imported.deployment is None:
        return _assume_deployment(tree)
    tree = without(without(tree, ("service", "manifest")), ("service", "workload"))
    return with_entry(tree, ("service", "deployment"), imported.deployment)


def _file_names(named: Node | None) -> list[Node]:
    """The file or files that `service.manifest` names; none when it is no name."""
    if named is None:
        return []
    nodes = named.items if named.items is not None else [named]
    return nodes if all(isinstance(one.value, str) for one in nodes) else []


def _assume_deployment(tree: Node) -> Node:
    """After a failed import: a Deployment of defaults, so that the rest of the scenario is checked all the same."""
    mark = (tree.get("service") or tree).mark
    tree = without(without(tree, ("service", "manifest")), ("service", "workload"))
    return with_entry(tree, ("service", "deployment"), mapping(mark))


def _placed(problem: Problem, named: Node | None) -> Problem:
    """A file that cannot be read is the fault of the line that names it."""
    if named is None or problem.line is not None:
        return problem
    return named.mark.problem(
        problem.code, f"{problem.message}: {problem.file}", path="service.manifest", hint=problem.hint
    )


def _beside(node: Node, name: str) -> Path:
    """A file name is relative to the file that says it."""
    written_in = node.mark.source.name
    return Path(written_in).parent / name if not written_in.startswith(("-", "<")) else Path(name)


def _with_rate(tree: Node, rate: str, problems: list[Problem]) -> Node:
    """`--rate` replaces the shape of the open traffic and keeps the rest of it."""
    for word in ("rate", "profile", "steps", "diurnal", "times", "csv", "prometheus", "times_file"):
        tree = without(tree, ("traffic", "open", word))
    node = Node(Mark(Source(f"--rate {rate}", rate), 1, 1, max(1, len(rate))), rate)
    try:
        return apply_override(tree, Override(f"--rate {rate}", ("traffic", "open", "rate"), node))
    except ScenarioError as error:
        problems += error.problems
        return tree


def _named(tree: Node, path: str | Path | None) -> Node:
    """A scenario without a name has its file's, or its Deployment's, without what a name may not hold."""
    if tree.get("name") is not None:
        return tree
    deployment = tree.find("service", "deployment", "name")
    if path is not None and str(path) != "-":
        text = Path(path).stem
    elif deployment is not None and isinstance(deployment.value, str):
        text = deployment.value
    else:
        return tree
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "_.-") else "-" for char in text)
    return with_entry(tree, ("name",), Node(tree.mark, kept.lstrip("_.-")[:253] or "scenario"))


def _validated(tree: Node, problems: list[Problem]) -> Scenario | None:
    plain: Any = tree.plain()
    try:
        return Scenario.model_validate(plain, by_alias=True, by_name=False)
    except ValidationError as error:
        problems += problems_of(error, tree)
        return None


def _misspelled(tree: Node, notices: list[Problem]) -> Iterator[Problem]:
    """What was left out of a Rollout or Canary because its name is not known: often why something else is missing."""
    for notice in notices if tree.get("rollout") is not None or tree.get("flagger") is not None else ():
        if notice.code == "ZD2002" and "did you mean" in notice.message:
            yield notice


def _in_order(problems: list[Problem], files: list[str]) -> Iterator[Problem]:
    """By file as they were read, then by line; overrides last. Nothing that only follows from broken YAML."""
    rank = {name: i for i, name in enumerate(files)}
    broken = {problem.place for problem in problems if problem.code in _BROKEN_YAML}
    seen: set[tuple[object, ...]] = set()
    for problem in sorted(
        (one for one in problems if one.severity is Severity.ERROR),
        key=lambda one: (rank.get(one.file or "", len(rank)), one.line or 0, one.column or 0),
    ):
        key = (problem.place, problem.code, problem.path, problem.message)
        follows = problem.place in broken and problem.code not in _BROKEN_YAML
        if key not in seen and not follows:
            seen.add(key)
            yield problem
