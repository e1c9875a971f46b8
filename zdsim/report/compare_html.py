"""What does a comparison look like in a notebook?

One self-contained piece of HTML: figure, table, advice. Every text from a scenario is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, StrictUndefined

from zdsim.measure.comparison import Played
from zdsim.report import compare_figure
from zdsim.report import compare_words as words
from zdsim.report.compare import cell, is_best
from zdsim.report.compare_advice import Advice
from zdsim.report.units import percent, plural

_TEMPLATE = """\
<div class="zdsim-comparison">
<p><b>{{ names | join(" against ") }}</b>: {{ replications }} each, the same seeds for all; means with {{ level }}
intervals, the best in bold where it is told apart from every other</p>
{% if image %}<img alt="Every replication of {{ names | join(", ") }}, by measure" style="max-width: 100%"
 src="data:image/png;base64,{{ image }}">
{% endif %}<table><thead><tr><th></th>{% for name in names %}<th>{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for label, cells in rows %}<tr><th>{{ label }}</th>{% for mean, doubt, best in cells %}
<td>{% if best %}<b>{{ mean }}</b>{% else %}{{ mean }}{% endif %}{% if doubt %}<br><small>{{ doubt }}</small>\
{% endif %}</td>{% endfor %}</tr>
{% endfor %}</tbody></table>
<ul>
{% for one in advice %}<li>{{ one.sentence }} <i>{{ one.reason }} {{ one.price }}</i></li>
{% endfor %}</ul>
</div>
"""


def compare_html(result: Mapping[str, Any], played: Sequence[Played], advice: Sequence[Advice]) -> str:
    """A comparison as HTML for a notebook cell.

    Args:
        result: as `zdsim.measure.comparison.compare` returns it.
        played: the cells behind it.
        advice: about it.
    """
    names = [one["name"] for one in result["contenders"]]
    rows = [
        (words.NOUNS[one["key"]], [(*cell(result, one, name), is_best(result, one["key"], name)) for name in names])
        for one in result["measures"]
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_TEMPLATE).render(
        names=names,
        replications=plural(result["replications"]["done"], "replication"),
        level=percent(result["level"]),
        image=base64.b64encode(compare_figure.png(result, played)).decode("ascii"),
        rows=rows,
        advice=advice,
    )
