"""Whether the schema allows a policy: the whole one, or quickly a mutant of one that it allows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from c7n.loader import SchemaValidator

Data = dict[str, Any]

BLOCKS = frozenset({"and", "or", "not"})

validator = SchemaValidator()
"""Keeps the schemas that it has generated: they are slow to make."""


def allows_mutant(mutant: Data) -> bool:
    """Whether the schema allows a mutant of a policy that it allows.

    Only filters and mode can be wrong in it. Each filter with a type is asked of the schema of that
    type, where Custodian asks those of all types.
    """
    kind = mutant["resource"] if "." in mutant["resource"] else f"aws.{mutant['resource']}"
    schema = validator.gen_schema((kind,))
    types = _types(kind)
    if "mode" in mutant and not _meets(schema, "#/definitions/policy-mode", mutant["mode"]):
        return False
    return all(
        _meets(schema, types[item["type"]], item)
        for item in _typed(mutant.get("filters", ()))
        if item["type"] in types
    )


@cache
def _types(kind: str) -> dict[str, str]:
    """Where the schema of each type of filter is."""
    schema = validator.gen_schema((kind,)).schema["definitions"]["resources"][kind]["policy"]
    choices = schema["allOf"][1]["properties"]["filters"]["items"]["anyOf"]
    return {
        choice["$ref"].rpartition("/")[2].removeprefix("aws."): choice["$ref"]
        for choice in choices
        if "$ref" in choice
    }


def _typed(filters: Any) -> Iterator[Data]:
    for item in filters:
        if not isinstance(item, dict):
            continue
        if "type" in item:
            yield item
        for key, value in item.items():
            if key in BLOCKS and isinstance(value, list):
                yield from _typed(value)


def _meets(schema: Any, reference: str, value: Any) -> bool:
    return bool(schema.evolve(schema={"$ref": reference}).is_valid(value))
