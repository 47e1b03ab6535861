"""Runs policies under exactly the role that ``c7n-secops iam`` writes for them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from c7n.config import Config

from c7n_secops_tools.iam import documents, grants, needs
from c7n_secops_tools.testing.runs import Run, find_policy, load_policy, run_policy
from tests.emulator import Emulator
from tests.emulator.organisation import trust
from tests.harness import ACCOUNT, ISOLATED, POLICIES, REGION, share_models

ROLE = "generated"
REFUSED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError")


@dataclass
class Proof:
    """What a policy was granted, what AWS looked up, and what it refused."""

    granted: set[str] = field(default_factory=set)
    needed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    run: Run | None = None

    def __ior__(self, other: Proof) -> Proof:
        self.granted |= other.granted
        self.needed |= other.needed
        self.refused |= other.refused
        return self


class Prover:
    """Runs policies in an emulator that enforces IAM."""

    def __init__(self, emulator: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.emulator, self.folder, self.monkeypatch = emulator, folder, monkeypatch
        self.count = 0
        self.proofs: dict[str, Proof] = {}

    def __call__(
        self,
        policy: str | Mapping[str, Any],
        *,
        account: str = ACCOUNT,
        variables: Mapping[str, Any] | None = None,
        event: Mapping[str, Any] | None = None,
        without: str = "",
    ) -> Proof:
        """Run a policy as its role; ``without`` is an action to take away from it."""
        data = copy.deepcopy(find_policy(POLICIES, policy) if isinstance(policy, str) else policy)
        granted = self.granted(data, account, variables)
        wanted = [each for each in granted if each.action != without]
        self.environment(account, wanted)
        self.emulator.clear_calls()
        self.count += 1
        proof = Proof({each.action for each in granted})
        try:
            proof.run = run_policy(
                data,
                self.folder / f"proof-{self.count}",
                account=account,
                region=REGION,
                variables=variables,
                event=event,
                on_session=[share_models],
            )
        finally:
            arn = f"arn:aws:iam::{account}:role/{ROLE}"
            for call in self.emulator.calls():
                if call.role == arn:
                    proof.needed.update(call.needed)
                    if call.error_code in REFUSED or call.status == 403:
                        proof.refused.add(f"{call.service}:{call.operation} {call.params}")
            if not without:
                known = self.proofs.setdefault(data["name"], Proof())
                known |= proof
        return proof

    def granted(
        self, data: Mapping[str, Any], account: str, variables: Mapping[str, Any] | None
    ) -> list[grants.Grant]:
        config = Config.empty(regions=[REGION], account_id=grants.ACCOUNT)
        policy = load_policy(data, config, variables)
        return [grants.grant(need) for need in needs.runtime(policy)]

    def environment(self, account: str, wanted: list[grants.Grant]) -> None:
        """Make the caller a session of a role with these grants, and nothing else."""
        iam = self.emulator.client("iam", account)
        names = {role["RoleName"] for role in iam.list_roles()["Roles"]}
        if ROLE not in names:
            iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust(AWS="*"))
        for name in iam.list_role_policies(RoleName=ROLE)["PolicyNames"]:
            iam.delete_role_policy(RoleName=ROLE, PolicyName=name)
        for number, document in enumerate(documents.documents(wanted)):
            text = json.dumps(document, separators=(",", ":"))
            text = text.replace("${Partition}", "aws").replace(grants.OWN, account)
            iam.put_role_policy(RoleName=ROLE, PolicyName=f"p{number}", PolicyDocument=text)
        sts = self.emulator.client("sts", account, REGION)
        arn = f"arn:aws:iam::{account}:role/{ROLE}"
        key = sts.assume_role(RoleArn=arn, RoleSessionName="proof")["Credentials"]
        for name, value in {**ISOLATED, **self.emulator.environ(account, REGION)}.items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        self.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        self.monkeypatch.setenv("AWS_SESSION_TOKEN", key["SessionToken"])
