"""Policies as they run or are deployed: read, checked, with their variables in them."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from c7n.config import Config
from c7n.exceptions import PolicyExecutionError, PolicyValidationError
from c7n.loader import PolicyLoader
from c7n.resources.aws import AWS
from c7n.utils import dumps, load_file

from c7n_secops_tools.cases.reading import BadInput
from c7n_secops_tools.cases.validity import validator
from c7n_secops_tools.policy_errors import brief

Data = dict[str, Any]

_valid: set[str] = set()


class InvalidPolicyError(Exception):
    """Custodian, or an element, refuses the policy."""


@dataclass(frozen=True)
class Place:
    """Where a policy runs, and the values of its variables."""

    account: str
    region: str
    variables: Data = field(default_factory=dict)

    @classmethod
    def of(cls, case: Data) -> Place:
        """Where a case runs its policy."""
        return cls(case["account"], case["region"], case.get("vars", {}))


@cache
def policies_in(file: Path) -> dict[str, Data]:
    """The policies of a file by name. Raises BadInput."""
    try:
        data = load_file(str(file)) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInput(f"{file}: {brief(str(error))}") from error
    found = data.get("policies") if isinstance(data, dict) else None
    if not isinstance(found, list) or not all(
        isinstance(policy, dict) and "name" in policy for policy in found
    ):
        raise BadInput(f"{file}: it is no policy file; it needs a list under policies")
    return {policy["name"]: policy for policy in found}


def provisioned(
    policy: Data,
    place: Place,
    factory: Any,
    *,
    output: Path | None = None,
    checked: bool = False,
) -> Any:
    """The policy, validated and with its variables in it: as it runs, or is deployed."""
    options = Config.empty(
        account_id=place.account,
        region=place.region,
        regions=[place.region],
        output_dir=str(output or ""),
    )
    loader = PolicyLoader(AWS().initialize(options))
    loader.validator = validator
    text = dumps([policy, place.variables], indent=None)
    try:
        (loaded,) = loader.load_data(
            {"policies": [copy.deepcopy(policy)]},
            "memory://policy",
            validate=not checked and text not in _valid,
            session_factory=factory,
        )
        loaded.expand_variables(loaded.get_variables(copy.deepcopy(place.variables)))
        loaded.validate()
    except (PolicyValidationError, PolicyExecutionError, ValueError) as error:
        raise InvalidPolicyError(brief(str(error))) from error
    _valid.add(text)
    return loaded


def written(manager: Any, output: Path) -> dict[str, Data]:
    """The resources that a run wrote as matched, by their ids."""
    file = output / manager.data["name"] / "resources.json"
    resources = json.loads(file.read_text()) if file.exists() else []
    key = manager.get_model().id
    return {str(resource[key]): resource for resource in resources}
