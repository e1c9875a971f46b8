"""What does a run look like in a notebook?

One self-contained piece of HTML: headline, figure, causes, latency. Every text from a scenario is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, StrictUndefined

from zdsim.measure.latency import Phase
from zdsim.record import RunRecord
from zdsim.report import figure
from zdsim.report.causes import errs_more, explain
from zdsim.report.terminal import UNICODE, headline
from zdsim.report.units import milliseconds, own_revisions

_TEMPLATE = """\
<div class="zdsim-run">
<p><b>{{ record.name }}</b>: {{ record.strategy }}, {{ versions | join(" \N{RIGHTWARDS ARROW} ") }},
seed {{ record.seed }}, {{ record.plane }} plane</p>
<p style="white-space: pre-line">{{ headline }}</p>
<img alt="Pods, traffic, dropped requests and latency of {{ record.name }} over time. {{ headline }}"
 style="max-width: 100%" src="data:image/png;base64,{{ image }}">
{% if whys %}<ul>
{% for why in whys %}<li>{{ why.sentence }}{% if why.fix %} <i>{{ why.fix }}</i>{% endif %}</li>
{% endfor %}</ul>{% endif %}
<table><thead><tr><th>latency</th><th>p50</th><th>p95</th><th>p99</th></tr></thead><tbody>
{% for name, cells in latency %}<tr><th>{{ name }}</th>{% for cell in cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table>
</div>
"""


def run_html(record: RunRecord, summary: Mapping[str, Any]) -> str:
    """A run as HTML for a notebook cell; `summary` as `zdsim.measure.summary.summarise` gives it."""
    latency = summary["latency_s"]
    own = own_revisions(record.revisions)
    rows = [(str(phase), latency[phase]) for phase in Phase]
    rows += [(name, at) for name, at in latency["by_revision"].items() if name in own or at["p50"] is not None]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_TEMPLATE).render(
        record=record,
        versions=own,
        headline=headline(record, summary, UNICODE).plain,
        image=base64.b64encode(figure.image(figure.timeline(record), "png")).decode("ascii"),
        whys=explain(record.counts, buggy=errs_more(record.scenario)),
        latency=[(name, [milliseconds(at[p]) for p in ("p50", "p95", "p99")]) for name, at in rows],
    )
