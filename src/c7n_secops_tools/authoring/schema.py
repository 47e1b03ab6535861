"""``c7n-secops schema``: what an editor needs to complete and check policies as they are typed."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import click
from c7n.provider import clouds
from c7n.resources import load_resources
from c7n.schema import ElementSchema, generate

ALL = "aws.*"
KINDS = {"filters": "filter_registry", "actions": "action_registry"}


@click.command()
@click.option(
    "--resource",
    "resources",
    multiple=True,
    metavar="NAME",
    help="Only this kind of resource, such as aws.ec2; may be given several times.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write to this file.",
)
def schema(resources: tuple[str, ...], output: Path | None) -> None:
    """Print the JSON schema (draft 7) of policies, with the elements of c7n-secops.

    A YAML language server takes it from the first line of a policy file:
    # yaml-language-server: $schema=policies.schema.json

    Exit codes: 0 well; 1 bad input.
    """
    load_resources((ALL,))  # some bring filters of others
    missing = load_resources(resources)
    if missing:
        raise click.ClickException(
            f"no resource {', '.join(sorted(missing))}; custodian schema lists what there is"
        )
    text = json.dumps(described(resources), separators=(",", ":")) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error}") from error


def described(resources: tuple[str, ...]) -> dict[str, Any]:
    """Custodian's schema of these resources, all without any; each element says what it does."""
    written: dict[str, Any] = json.loads(json.dumps(generate(resources)))
    written.pop("id")  # nothing is served at that address, and an editor would ask for it
    written["title"] = "Cloud Custodian policies, with c7n-secops"
    kinds = written["definitions"]["resources"]
    written["properties"]["policies"]["items"] = by_resource(kinds)
    for name, parts in kinds.items():
        provider, _, kind = name.partition(".")
        resource = clouds[provider].resources[kind]
        for part, registry in KINDS.items():
            elements = getattr(resource, registry)
            for element, its in parts.get(part, {}).items():
                its["description"] = summary(elements.get(element))
    return written


def by_resource(kinds: dict[str, Any]) -> dict[str, Any]:
    """A policy's schema as a choice by its resource, so that an editor looks at one kind only.

    Custodian's own is any of all kinds: slow, and an error of one is told as an error of each.
    """
    names = {
        kind: parts["policy"]["allOf"][1]["properties"]["resource"]["enum"]
        for kind, parts in kinds.items()
    }
    return {
        "type": "object",
        "required": ["resource"],
        "properties": {"resource": {"enum": sorted(chain(*names.values()))}},
        "allOf": [
            {
                "if": {"required": ["resource"], "properties": {"resource": {"enum": enum}}},
                "then": {"$ref": f"#/definitions/resources/{kind}/policy"},
            }
            for kind, enum in names.items()
        ],
    }


def summary(element: Any) -> str:
    """The first paragraph of an element's documentation, on one line."""
    return " ".join(ElementSchema.doc(element).partition("\n\n")[0].split())
