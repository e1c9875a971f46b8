"""Who competes? Scenario files, and variants of each, loaded with every problem of all of them told at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from zdsim.errors import Problem, ScenarioError, ZdsimError
from zdsim.scenario.load import Loaded, load_scenario
from zdsim.scenario.model import Scenario
from zdsim.scenario.strategy import AnyStrategy

#: Strategies that every scenario can be given, as `release.strategy` calls them.
STRATEGIES: Final = tuple(get_args(one.model_fields["kind"].annotation)[0] for one in get_args(AnyStrategy))
NOT_COMPARED: Final = ("name", "description")  # of a scenario: they change nothing


@dataclass(frozen=True, slots=True)
class Variant:
    """A scenario with something changed."""

    name: str
    overrides: tuple[str, ...]
    strategy: str | None = None  # of the release, with what the scenario says about it if it is its own


@dataclass(frozen=True, slots=True)
class Contender:
    """One scenario to be played, with a name of its own."""

    name: str
    loaded: Loaded
    source: str
    overrides: tuple[str, ...] = ()


def variant(text: str) -> Variant:
    """`NAME:path=value[,path=value]`; a comma in brackets or braces belongs to the value.

    >>> variant("wide:service.deployment.strategy.rollingUpdate={maxSurge: 5, maxUnavailable: 0},run.duration=5m")
    ... # doctest: +NORMALIZE_WHITESPACE
    Variant(name='wide', overrides=('service.deployment.strategy.rollingUpdate={maxSurge: 5, maxUnavailable: 0}',
     'run.duration=5m'))

    Raises:
        ZdsimError: it has no name or no override.
    """
    name, colon, rest = text.partition(":")
    overrides = tuple(part for part in _split(rest) if part)
    if not colon or not name.strip() or "=" in name or not overrides:
        raise ZdsimError(
            f"--variant {text}: expected NAME:path=value, for example pause:service.deployment.preStop.sleep.seconds=5"
        )
    return Variant(name.strip(), overrides)


def strategies(text: str) -> list[Variant]:
    """`rolling,blue-green` as variants.

    Raises:
        ZdsimError: no strategy of that name.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [name for name in names if name.replace("-", "_") not in STRATEGIES]
    if unknown:
        raise ZdsimError(f"--strategy: there is no strategy {unknown[0]!r}; there are {', '.join(STRATEGIES)}")
    return [Variant(name, (), name.replace("-", "_")) for name in names]


def load_all(
    paths: Sequence[str], *, variants: Sequence[Variant] = (), with_original: bool = True, overrides: Sequence[str] = ()
) -> list[Contender]:
    """Every scenario, and every variant of every scenario.

    Args:
        paths: scenario files.
        variants: played of each scenario.
        with_original: each scenario as it is, too, before its variants.
        overrides: `path=value`, for all of them, before those of a variant.

    Raises:
        ScenarioError: with every problem of every contender.
        ZdsimError: fewer than two contenders, or two of one name.
    """
    problems: dict[str, Problem] = {}
    out: list[Contender] = []
    wanted = [Variant("", ())] if with_original or not variants else []
    for path in paths:
        for one in (*wanted, *variants):
            changes = one.overrides
            try:
                loaded = load_scenario(path, overrides=[*overrides, *changes])
                if one.strategy is not None and _strategy(loaded.scenario) != one.strategy:
                    # The whole section: what it says of one strategy means nothing to another.
                    changes = (*changes, f"release.strategy={{kind: {one.strategy}}}")
                    loaded = load_scenario(path, overrides=[*overrides, *changes])
            except ScenarioError as error:
                problems |= {str(problem): problem for problem in error.problems if str(problem) not in problems}
                continue
            base = loaded.scenario.name
            name = base if not one.name else one.name if len(paths) == 1 else f"{base}:{one.name}"
            out.append(Contender(name, loaded, str(path), changes))
    if problems:
        raise ScenarioError(problems.values())
    if len(out) < 2:
        raise ZdsimError("a comparison needs two: give another scenario, --strategy A,B or --variant NAME:path=value")
    return _told_apart(out)


def differing(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Fields of a dumped scenario that are not the same in another, as dotted paths in order."""
    return list(
        _differing({k: v for k, v in first.items() if k not in NOT_COMPARED},
                   {k: v for k, v in other.items() if k not in NOT_COMPARED})
    )  # fmt: skip


def dumped(contender: Contender) -> dict[str, Any]:
    """A contender's scenario as JSON has it, without what a comparison does by itself."""
    scenario = contender.loaded.scenario
    found: dict[str, Any] = json.loads(json.dumps(scenario.model_dump(mode="json")))
    found["run"] |= {"baseline": False, "seed": 0}
    return found


def undisturbed(scenario: Mapping[str, Any]) -> dict[str, Any]:
    """The same service with nothing happening to it: what contenders of one service share as their baseline."""
    out: dict[str, Any] = json.loads(json.dumps(scenario))
    out |= {"name": "baseline", "description": "", "release": None, "faults": []}
    # How it would be replaced does not matter where nothing is replaced.
    (out["service"].get("deployment") or {}).pop("strategy", None)
    return out


def _strategy(scenario: Scenario) -> str | None:
    """The strategy that a scenario names, None where it leaves it to the manifest."""
    strategy = scenario.release.strategy if scenario.release is not None else None
    return None if strategy is None else strategy.kind


def _told_apart(found: list[Contender]) -> list[Contender]:
    """Names that differ: with the folder or file they came from, where two scenarios call themselves the same."""
    twice = {name for name, n in Counter(one.name for one in found).items() if n > 1}
    if not twice:
        return found
    renamed = [
        Contender(Path(one.source).stem, one.loaded, one.source, one.overrides)
        if one.name in twice and not one.overrides
        else one
        for one in found
    ]
    counts = Counter(one.name for one in renamed)
    seen: Counter[str] = Counter()
    out = []
    for one in renamed:
        seen[one.name] += 1
        name = one.name if counts[one.name] == 1 else f"{one.name}#{seen[one.name]}"
        out.append(Contender(name, one.loaded, one.source, one.overrides))
    names = [one.name for one in out]
    if len(set(names)) < len(names):
        raise ZdsimError(f"two contenders have one name: {', '.join(names)}")
    return out


def _split(text: str) -> Iterator[str]:
    """Parts between commas that are not inside brackets, braces or quotes."""
    depth, quote, begin = 0, "", 0
    for i, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        elif char == "," and depth == 0:
            yield text[begin:i].strip()
            begin = i + 1
    yield text[begin:].strip()


def _differing(first: Any, other: Any, path: str = "") -> Iterator[str]:
    if isinstance(first, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys((*first, *other)):
            yield from _differing(first.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(first, list) and isinstance(other, list) and len(first) == len(other):
        for i, (a, b) in enumerate(zip(first, other, strict=True)):
            yield from _differing(a, b, f"{path}[{i}]")
    elif first != other:
        yield path
