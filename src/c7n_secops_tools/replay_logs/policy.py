"""A policy file, and what it says of floods and blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from c7n.config import Config
from c7n.exceptions import PolicyValidationError

from c7n_secops_tools.policy_errors import brief
from c7n_secops_tools.testing.runs import load_policy

FLOOD, BLOCK = "http-flood", "waf-ip-block"
NOWHERE = {"regions": ["us-east-1"], "account_id": "000000000000"}
"""Nothing is asked of an account; Custodian wants one and a region to read a policy."""


class PolicyError(Exception):
    """The policy cannot be replayed; the message says where, why and what to do."""


class Chosen(NamedTuple):
    """A policy's filter ``http-flood`` and its action ``waf-ip-block``, None without one."""

    name: str
    flood: dict[str, Any]
    block: dict[str, Any] | None


def choose(path: Path, name: str | None) -> Chosen:
    """The policy of this name in a file, or the only one with ``http-flood``."""
    policies = list(_policies(path))
    if name is not None:
        policies = [policy for policy in policies if policy.get("name") == name]
        if not policies:
            raise PolicyError(f"{path} has no policy named {name}")
    found = [chosen for policy in policies if (chosen := _chosen(path, policy))]
    if not found:
        raise PolicyError(f"{path}: no policy here has the filter {FLOOD}; name a file with one")
    if len(found) > 1:
        names = ", ".join(chosen.name for chosen in found)
        raise PolicyError(f"{path} has several policies with {FLOOD}; choose with -p: {names}")
    return found[0]


def _policies(path: Path) -> Iterator[dict[str, Any]]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PolicyError(f"{path} cannot be read as YAML: {error}") from error
    policies = data.get("policies") if isinstance(data, dict) else None
    if not isinstance(policies, list) or not all(isinstance(each, dict) for each in policies):
        raise PolicyError(f"{path} is no policy file; it needs a list under policies")
    yield from policies


def _chosen(path: Path, data: dict[str, Any]) -> Chosen | None:
    if FLOOD not in str(data.get("filters")):
        return None
    try:
        manager = load_policy(data, Config.empty(**NOWHERE)).resource_manager
    except PolicyValidationError as error:
        raise PolicyError(f"{path}: {brief(str(error))}") from error
    floods = [item.data for item in manager.iter_filters() if item.type == FLOOD]
    blocks = [item.data for item in manager.actions if item.type == BLOCK]
    if not floods:
        return None
    return Chosen(data["name"], floods[0], blocks[0] if blocks else None)
