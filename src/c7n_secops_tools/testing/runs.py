"""Runs one policy in this process with Custodian's own objects, and reads what it wrote."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from c7n.config import Config
from c7n.credentials import SessionFactory
from c7n.loader import PolicyLoader, SchemaValidator
from c7n.provider import clouds
from c7n.utils import load_file, reset_session_cache

from c7n_secops import outcomes

Hook = Callable[[Any], None]

_validator = SchemaValidator()  # keeps the schemas that it has generated: they are slow to make


@dataclass(frozen=True)
class Run:
    """What one run of a policy left in ``output``, its folder of Custodian's output tree.

    ``returned`` is what the policy's mode returned, as Custodian hands it to its own caller.
    """

    output: Path
    returned: Any = field(default=None, repr=False)

    @property
    def resources(self) -> list[dict[str, Any]]:
        """``resources.json``: what matched every filter, with its annotations."""
        resources: list[dict[str, Any]] = self._json("resources.json", [])
        return resources

    @property
    def not_evaluated(self) -> list[dict[str, Any]]:
        """``not-evaluated.json``: the records of :mod:`c7n_secops.outcomes`; [] without one."""
        records: list[dict[str, Any]] = self._json(outcomes.FILE, [])
        return records

    @property
    def log(self) -> str:
        """``custodian-run.log``, with its DEBUG lines."""
        file = self.output / "custodian-run.log"
        return file.read_text() if file.exists() else ""

    def action(self, name: str) -> Any:
        """The results that an action returned, or None where it did not run or returned none."""
        return self._json(f"action-{name}", None)

    def _json(self, name: str, default: Any) -> Any:
        file = self.output / name
        return json.loads(file.read_text()) if file.exists() else default


def find_policy(folder: Path, name: str) -> dict[str, Any]:
    """The policy of this name in the ``.yml`` files under a folder, but for its ``tests``.

    LookupError without one.
    """
    for file in sorted(folder.rglob("*.yml")):
        if "tests" in file.relative_to(folder).parts:
            continue
        for policy in (load_file(str(file)) or {}).get("policies", ()):
            if policy["name"] == name:
                found: dict[str, Any] = policy
                return found
    raise LookupError(f"no policy named {name} under {folder}")


class Sessions(SessionFactory):
    """Custodian's session factory, with hooks that get every session before its first client."""

    def __init__(self, region: str, hooks: Sequence[Hook]):
        super().__init__(region)
        self.hooks = hooks

    def update(self, session: Any) -> Any:
        for hook in self.hooks:
            hook(session)
        return super().update(session)


def names_in(block: Any) -> Iterator[str]:
    """The filters and actions that a part of a policy uses."""
    if isinstance(block, str):
        yield block
    elif isinstance(block, list):
        for item in block:
            yield from names_in(item)
    elif isinstance(block, dict):
        yield block.get("type", "value")
        for operator in ("and", "or", "not"):
            yield from names_in(block.get(operator))


def load_policy(
    data: Mapping[str, Any],
    config: Config,
    variables: Mapping[str, Any] | None = None,
    on_session: Sequence[Hook] = (),
) -> Any:
    """The policy, checked by Custodian's schema, expanded and validated as ``custodian run`` does.

    ``config`` names one region in ``regions``. Raises PolicyValidationError as Custodian does.
    """
    options = clouds["aws"]().initialize(config.copy(region=config.regions[0]))
    loader = PolicyLoader(options)
    loader.validator = _validator
    (policy,) = loader.load_data(
        {"policies": [copy.deepcopy(dict(data))]},
        "memory://policy",
        validate=True,
        session_factory=Sessions(options.region, on_session),
    )
    policy.expand_variables(policy.get_variables(dict(variables or {})))
    policy.validate()
    return policy


def run_policy(
    data: Mapping[str, Any],
    output: Path,
    *,
    account: str,
    region: str,
    variables: Mapping[str, Any] | None = None,
    dryrun: bool = False,
    event: Mapping[str, Any] | None = None,
    deploy: bool = False,
    prepare: Sequence[Hook] = (),
    on_session: Sequence[Hook] = (),
) -> Run:
    """Run a policy against the AWS that the environment's credentials and endpoint reach.

    The policy runs in pull mode, whatever mode it has; with ``event``, its own mode gets the
    event, as in Lambda; with ``deploy``, its Lambda function is deployed. Each of ``prepare`` gets
    the policy just before it runs, and each of ``on_session`` every boto3 session that Custodian
    makes for it. Nothing is cached. What the policy raises is raised; what it wrote until then is
    in ``output / name``.
    """
    data = dict(data)
    if event is None and not deploy:
        data.pop("mode", None)
    config = Config.empty(
        regions=[region],
        account_id=account,
        output_dir=str(output),
        dryrun=dryrun,
    )
    policy = load_policy(data, config, variables, on_session)
    for step in prepare:
        step(policy)
    reset_session_cache()
    log = logging.getLogger("custodian")
    level = log.level
    log.setLevel(logging.DEBUG)
    try:
        returned = policy.run() if event is None else policy.push(dict(event), None)
    finally:
        log.setLevel(level)
        reset_session_cache()
    return Run(output / policy.name, returned)
