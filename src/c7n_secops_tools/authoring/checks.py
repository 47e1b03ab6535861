"""Checks policy files as ``custodian validate`` does, and says where each problem stands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from c7n.commands import DuplicateKeyCheckLoader
from c7n.config import Bag, Config
from c7n.exceptions import CustodianError
from c7n.loader import SchemaValidator
from c7n.policy import Policy
from c7n.resources import load_resources
from c7n.schema import is_c7n_placeholder, specific_error
from c7n.structure import StructureParser
from jsonschema.exceptions import ValidationError, best_match

from c7n_secops_tools.authoring.places import START, Place, Places, path_to, place_of

RULES = {
    "yaml": "The file is YAML that can be read, with each key once",
    "structure": "The file holds a list of policies, each with a name and a resource",
    "resource": "The kind of resource exists",
    "schema": "Every filter, action and mode has the keys and values that it knows",
    "policy": "The parts of the policy fit together",
    "name": "No two policies have one name",
}
"""What is checked, in this order: a file or policy that breaks one is not checked further."""
REFUSALS = (CustodianError, ValueError, LookupError, TypeError, AttributeError, re.error)
"""What elements raise for a policy that they cannot work with."""
ELEMENT = re.compile(r"\b(filter|action|mode):([\w-]+)")
KEYS = {"filter": "filters", "action": "actions", "mode": "mode"}

_validator = SchemaValidator()  # keeps the schemas that it has generated: they are slow to make


class Problem(NamedTuple):
    """What is wrong, and where; ``rule`` is a key of :data:`RULES`."""

    file: Path
    place: Place
    rule: str
    message: str


class Checked(NamedTuple):
    """How many policies were read, and what is wrong."""

    policies: int
    problems: list[Problem]


def check(files: Iterable[Path]) -> Checked:
    """Check policy files; a name must be one policy's in all of them."""
    seen: dict[str, Path] = {}
    count, problems = 0, []
    for file in files:
        checked = _File(file)
        problems += checked.problems(seen)
        count += len(checked.policies)
    return Checked(count, problems)


class _File:
    def __init__(self, path: Path):
        self.path = path
        self.policies: list[dict[str, Any]] = []

    def problem(self, rule: str, message: str, place: Place = START) -> Problem:
        return Problem(self.path, place, rule, " ".join(message.split()))

    def problems(self, seen: dict[str, Path]) -> list[Problem]:
        try:
            text = self.path.read_text(encoding="utf-8")
            data = yaml.load(text, Loader=DuplicateKeyCheckLoader)  # noqa: S506  (a safe loader)
            places = Places(text)
        except yaml.MarkedYAMLError as error:
            what = error.problem or "cannot be read as YAML"
            return [self.problem("yaml", what, place_of(error.problem_mark))]
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            return [self.problem("yaml", f"cannot be read: {error}")]
        broken = self._structure(data, places)
        if broken:
            return broken
        self.policies = data["policies"]
        return [
            problem
            for number, policy in enumerate(self.policies)
            if (problem := self._policy(policy, places, number, seen))
        ]

    def _structure(self, data: Any, places: Places) -> list[Problem]:
        shell = {**data, "policies": []} if isinstance(data, dict) and _listed(data) else data
        try:
            StructureParser().validate(shell)
        except CustodianError as error:
            return [self.problem("structure", str(error))]
        return [
            self.problem("structure", wrong, places.find(["policies", number]))
            for number, policy in enumerate(data["policies"])
            if (wrong := _misshapen(policy))
        ]

    def _policy(
        self, policy: dict[str, Any], places: Places, number: int, seen: dict[str, Path]
    ) -> Problem | None:
        def problem(rule: str, message: str, *path: str | int) -> Problem:
            place = places.find(["policies", number, *path])
            return self.problem(rule, f"policy:{policy['name']} {message}", place)

        name = policy["name"]
        if name in seen:
            return problem("name", f"has the name of one in {seen[name]}; rename one", "name")
        seen[name] = self.path
        alone = {"policies": [policy]}
        types = StructureParser().get_resource_types(alone)
        missing = load_resources(list(types))
        if missing:
            said = ", ".join(sorted(missing))
            return problem("resource", f"no resource {said}; see custodian schema", "resource")
        error = _schema_error(alone, tuple(sorted(types)))
        if error is not None:
            return problem("schema", error.message, *list(error.absolute_path)[2:])
        try:
            config = Config.empty(dryrun=True, account_id="na", region="na")
            Policy(policy, config, Bag()).validate()
        except REFUSALS as refused:
            message = str(refused).removeprefix(f"policy:{name} ") or type(refused).__name__
            return problem("policy", message, *_place_in(policy, message))
        return None


def _listed(data: dict[str, Any]) -> bool:
    return isinstance(data.get("policies"), list)


def _misshapen(policy: Any) -> str:
    """What Custodian says of a policy's outline, without the policy that it adds."""
    told = policy if isinstance(policy, dict) else {}
    name, resource = told.get("name", ""), told.get("resource", "")
    if not isinstance(name, str):
        return f"name must be text, found: {type(name).__name__}"
    kinds = resource if isinstance(resource, list) else [resource]
    if not all(isinstance(kind, str) for kind in kinds):
        return "resource must be the name of a kind of resource"
    try:
        StructureParser().validate_policy(policy)
    except CustodianError as error:
        return re.split(r" (?:data|policy):\n", str(error))[0]
    return ""


def _schema_error(data: dict[str, Any], types: tuple[str, ...]) -> ValidationError | None:
    """What is wrong with a policy by its schema, as near to the cause as Custodian gets."""
    validator = _validator.gen_schema(types)
    for error in validator.iter_errors(data):
        try:
            near: ValidationError = specific_error(error)
        except (LookupError, TypeError, AttributeError):
            near = best_match([error])
        if near.validator != "type" or not is_c7n_placeholder(near.instance):
            return near
    return None


def _place_in(policy: dict[str, Any], message: str) -> list[str | int]:
    """Where the element stands that a message of ours names, as far as it does."""
    named = ELEMENT.search(message)
    if named is None:
        return []
    key = KEYS[named[1]]
    return [key, *path_to(policy.get(key), named[2])]
