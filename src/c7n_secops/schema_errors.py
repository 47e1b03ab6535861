"""Makes Custodian's own schema errors name our element and key, and say what would be right.

Custodian prints the part of a schema that failed. A title there says whose it is, and a list of
the known keys beside ``additionalProperties: false`` is reported first and is the fix, so that a
typing error reads::

    'severty' is not one of ['type', 'severity', 'cve']
    Failed validating 'enum' in schema[17]['propertyNames']:
        {'title': 'keys of filter:inspector-finding', 'enum': ['type', 'severity', 'cve']}
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def explained(schema: Schema, label: str) -> Schema:
    """A copy of an element's schema whose parts name ``label``, such as filter:inspector-finding.

    It accepts what the schema accepts, no more and no less.
    """
    if "$ref" in schema:  # JSON Schema ignores what stands beside a reference
        return schema
    copy: Schema = {}
    if schema.get("additionalProperties") is False and "properties" in schema:
        copy["propertyNames"] = {"title": f"keys of {label}", "enum": list(schema["properties"])}
    for keyword, value in schema.items():
        if keyword == "properties":
            copy[keyword] = {key: _titled(part, f"{label} {key}") for key, part in value.items()}
        elif keyword == "items" and isinstance(value, dict):
            copy[keyword] = _titled(value, label)
        elif keyword in ("anyOf", "oneOf", "allOf"):
            copy[keyword] = [_titled(part, label) for part in value]
        else:
            copy[keyword] = value
    return copy


def _titled(schema: Schema | bool, label: str) -> Schema | bool:
    if isinstance(schema, bool) or "$ref" in schema:
        return schema
    return {"title": label, **explained(schema, label)}
