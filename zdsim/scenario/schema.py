"""What does an editor need to complete and check a scenario file?

The JSON Schema of `Scenario`, in the words an author writes, as draft-07: the newest that the usual YAML language
server speaks. It allows what the loader allows, so it is looser than the model where two fields depend on each other.
"""

from __future__ import annotations

from typing import Any

from zdsim.scenario.model import Scenario

DRAFT = "http://json-schema.org/draft-07/schema#"


def scenario_schema() -> dict[str, Any]:
    """The schema as plain JSON data."""
    made = Scenario.model_json_schema(by_alias=True, ref_template="#/definitions/{model}", mode="validation")
    definitions = made.pop("$defs", {})
    schema: dict[str, Any] = {
        "$schema": DRAFT,
        "title": "zdsim scenario",
        **_draft_07(made),
        "definitions": {name: _draft_07(one) for name, one in sorted(definitions.items())},
    }
    # What a command line can add (-f, --rate) may be absent from a file.
    schema.pop("required", None)
    return schema


def _draft_07(schema: Any) -> Any:
    """Without keywords that draft-07 lacks; `$ref` wrapped where it has neighbours, which draft-07 would ignore."""
    if isinstance(schema, list):
        return [_draft_07(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "definitions"):
            out[key] = {name: _draft_07(one) for name, one in value.items()}
        elif key == "default" and isinstance(value, dict | list):
            continue  # a whole section written out helps nobody
        elif key in ("default", "const", "enum", "examples"):
            out[key] = value
        elif key == "discriminator" or (key == "title" and isinstance(value, str)):
            continue
        elif key == "oneOf":
            out["anyOf"] = _draft_07(value)  # the tags tell them apart; anyOf gives editors better completion
        else:
            out[key] = _draft_07(value)
    if "$ref" in out and len(out) > 1:
        out["allOf"] = [{"$ref": out.pop("$ref")}]
    return out
