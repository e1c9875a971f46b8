"""Which values of this scenario did nobody say?

A manifest cannot tell how long a process takes to start, how it answers SIGTERM or how much work a request is. Each
such field has a default, marked `Assumed` in its section; while it has it, the report names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum

from pydantic.fields import FieldInfo

from zdsim.scenario.checks import analyses
from zdsim.scenario.fields import Quantity
from zdsim.scenario.model import Scenario
from zdsim.scenario.played import assumed_measures
from zdsim.scenario.quantities import format_duration, format_rate
from zdsim.scenario.spec import Assumed, Spec

_DECISIVE = re.compile(r"process\.(startup|on_sigterm)|traffic\.classes\[\d+\]\.work|router\.(lag|min_sync)")


def assumed_lines(scenario: Scenario) -> Iterator[str]:
    """One line for each value left at its default: `process.startup: 2s constant (a manifest cannot say …)`.

    What decides most about a rollout comes first.
    """
    silent = _not_in_play(scenario)
    lines = [(path, line) for path, line in _walk(scenario, "") if path not in silent]
    for _, line in sorted(lines, key=lambda pair: not _DECISIVE.fullmatch(pair[0])):  # stable: else as in the model
        yield line
    yield from assumed_measures(scenario)
    if scenario.database is None:
        yield "database: none (a manifest cannot say what the pods depend on)"
    if not scenario.cluster.model_fields_set:
        yield "cluster: the delays of a small Kubernetes 1.34 cluster, as measured (no two clusters are alike)"
    yield "nodes: room for every pod, its image there already (neither capacity nor pulls are simulated)"


def _not_in_play(scenario: Scenario) -> set[str]:
    """Fields that change nothing in this scenario: naming them would hide the others."""
    deployments = [scenario.deployment]
    if scenario.release is not None:
        deployments += [scenario.deployment_after(n) for n in range(1, 2 + len(scenario.release.then))]
    probes = {
        kind
        for one in deployments
        for kind in ("readiness", "liveness", "startup")
        if getattr(one, f"{kind}_probe") is not None
    }
    silent: set[str] = set()
    if not any(one.pre_stop is not None and one.pre_stop.known_s is None for one in deployments):
        silent.add("process.pre_stop_exec")
    if not any(not init.is_sidecar for one in deployments for init in one.init_containers):
        silent.add("process.init")
    if not any(one.resources.limits.memory is not None for one in deployments):
        silent.add("process.memory")
    if "readiness" not in probes:
        silent |= {"process.readiness_depth", "process.ready_delay"}
    if not probes & {"liveness", "startup"}:
        silent.add("process.liveness_depth")
    if not probes:
        silent |= {"process.probe_lane", "process.probe_work"}
    if not _looks(scenario):
        silent |= {"analysis.scrape.interval", "analysis.scrape.lag"}
    if scenario.client.keep_alive.pool == 0:
        silent |= {"process.keepalive_idle", "process.close_on_drain"}
    return silent


def _looks(scenario: Scenario) -> bool:
    """Does anybody look at measurements?"""
    if scenario.release is None:
        return False
    if scenario.release.strategy is not None:
        return next(analyses(scenario.release.strategy), None) is not None
    return scenario.flagger is not None or (scenario.rollout is not None and bool(scenario.rollout.analyses))


def _walk(section: Spec, path: str) -> Iterator[tuple[str, str]]:
    for name, field in type(section).model_fields.items():
        word = field.alias or name
        here = f"{path}.{word}" if path else word
        value = getattr(section, name)
        why = next((mark.why for mark in field.metadata if isinstance(mark, Assumed)), None)
        if why is not None and name not in section.model_fields_set:
            yield here, f"{here}: {_written(value, field)} ({why})"
        elif isinstance(value, Spec):
            yield from _walk(value, here)
        elif isinstance(value, tuple):
            for i, item in enumerate(value):
                if not isinstance(item, Spec):
                    break
                yield from _walk(item, f"{here}[{i}]")


def _written(value: object, field: FieldInfo) -> str:
    """A default as an author would write it."""
    if value is None:
        return "never"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float):
        kind = _quantity(field)
        if kind == "duration":
            return format_duration(value)
        if kind == "rate":
            return format_rate(value)
        return f"{value * 100:g}%" if kind == "share" else f"{value:g}"
    return str(value)


def _quantity(field: FieldInfo) -> str | None:
    from typing import get_args

    marks = [*field.metadata]
    for part in get_args(field.annotation):
        marks += getattr(part, "__metadata__", ())
    return next((mark.kind for mark in marks if isinstance(mark, Quantity)), None)
