"""Runs policies under exactly the role that ``c7n-secops iam`` writes for them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from c7n_secops_tools.iam import documents, grants, needs, roles
from c7n_secops_tools.testing.runs import Run, find_policy, run_policy
from tests.emulator import Emulator
from tests.emulator.organisation import trust
from tests.harness import ACCOUNT, ISOLATED, POLICIES, REGION, share_models

ROLE = "generated"
REFUSED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError")

STOCK: tuple[dict[str, Any], ...] = (
    {
        "name": "stock-full-access",
        "resource": "aws.iam-policy",
        "query": [{"OnlyAttached": True}],
        "filters": ["has-allow-all"],
    },
    {
        "name": "stock-trail",
        "resource": "aws.account",
        "filters": [{"type": "check-cloudtrail", "include-management-events": True}],
    },
)
"""Policies of others, of Custodian's elements whose permissions are corrected for them alone."""


def role_of(account: str) -> str:
    return f"arn:aws:iam::{account}:role/{ROLE}"


@dataclass
class Proof:
    """What a policy was granted, what AWS looked up, and what it refused."""

    granted: set[str] = field(default_factory=set)
    needed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    run: Run | None = None

    def add(self, other: Proof) -> None:
        """What another run of the same policy showed."""
        self.granted |= other.granted
        self.needed |= other.needed
        self.refused |= other.refused


class Prover:
    """Runs policies in an emulator that enforces IAM."""

    def __init__(
        self,
        emulator: Emulator,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        variables: Mapping[str, Any],
    ):
        """``variables`` are those of the policies that are run."""
        self.emulator, self.folder, self.monkeypatch = emulator, folder, monkeypatch
        self.variables = variables
        self.count = 0
        self.clients: dict[tuple[str, str, str | None], Any] = {}
        self.keys: dict[str, dict[str, str]] = {}
        self.sizes: dict[str, int] = {}
        self.proofs: dict[str, Proof] = {}
        self.last = Proof()

    def __call__(
        self,
        policy: str | Mapping[str, Any],
        *,
        account: str = ACCOUNT,
        event: Mapping[str, Any] | None = None,
        deploy: bool = False,
        without: str = "",
        **more: Any,
    ) -> Proof:
        """Run a policy as its role, or deploy it as the deploying one.

        ``without`` is an action to take away from the role, ``more`` are more variables.
        """
        data = copy.deepcopy(find_policy(POLICIES, policy) if isinstance(policy, str) else policy)
        variables = {**self.variables, **more}
        (loaded,) = roles.loaded([data], variables)
        wanted = needs.deployment(loaded) if deploy else needs.runtime(loaded)
        granted = [grants.grant(need) for need in wanted]
        self.become(account, [each for each in granted if each.action != without])
        self.emulator.clear_calls()
        self.count += 1
        self.last = proof = Proof({each.action for each in granted})
        try:
            proof.run = run_policy(
                data,
                self.folder / f"proof-{self.count}",
                account=account,
                region=REGION,
                variables=variables,
                event=event,
                deploy=deploy,
                on_session=[share_models, partial(self.share_clients, account)],
            )
        finally:
            self.look(proof, account)
            if not without:
                self.proofs.setdefault(data["name"], Proof()).add(proof)
        return proof

    def share_clients(self, account: str, session: Any) -> None:
        """Let the runs in an account use the same clients: these take a quarter of the time."""
        make = session.client

        def client(service: str, region_name: str | None = None, **more: Any) -> Any:
            if "aws_access_key_id" in more:
                return make(service, region_name=region_name, **more)
            key = (account, service, region_name)
            if key not in self.clients:
                self.clients[key] = make(service, region_name=region_name, **more)
            return self.clients[key]

        session.client = client

    def look(self, proof: Proof, account: str) -> None:
        """What the role's calls needed, and which of them were refused."""
        for call in self.emulator.calls():
            if call.role == role_of(account):
                proof.needed.update(call.needed)
                if call.error_code in REFUSED or call.status == 403:
                    proof.refused.add(f"{call.service}:{call.operation}")

    def become(self, account: str, wanted: list[grants.Grant]) -> None:
        """Make the caller a session of a role with these grants, and nothing else."""
        iam = self.emulator.client("iam", account)
        if account not in self.keys:
            iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust(AWS="*"))
            sts = self.emulator.client("sts", account, REGION)
            self.keys[account] = sts.assume_role(RoleArn=role_of(account), RoleSessionName="proof")[
                "Credentials"
            ]
        texts = [
            json.dumps(document, separators=(",", ":"))
            .replace("${Partition}", "aws")
            .replace(grants.OWN, account)
            for document in documents.documents(wanted)
        ]
        for number in range(max(len(texts), self.sizes.get(account, 0))):
            where = {"RoleName": ROLE, "PolicyName": f"part-{number}"}
            if number < len(texts):
                iam.put_role_policy(**where, PolicyDocument=texts[number])
            else:
                iam.delete_role_policy(**where)
        self.sizes[account] = len(texts)
        key = self.keys[account]
        given = {
            **ISOLATED,
            **self.emulator.environ(account, REGION),
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_SESSION_TOKEN": key["SessionToken"],
        }
        for name, value in given.items():
            self.monkeypatch.setenv(name, value)
