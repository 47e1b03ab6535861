"""Roles as JSON, as a CloudFormation template and as Terraform."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from c7n_secops_tools.iam.documents import Document
from c7n_secops_tools.iam.grants import OWN
from c7n_secops_tools.iam.roles import DEPLOY, FUNCTIONS, RUN, Role

PARTITION = "${Partition}"
TITLES = {
    RUN: "Runs Custodian policies; made by c7n-secops iam.",
    FUNCTIONS: "What functions of Custodian policies run under; made by c7n-secops iam.",
    DEPLOY: "Deploys functions of Custodian policies; made by c7n-secops iam.",
}


def names(role: Role) -> list[str]:
    """The names of a role's managed policies, in order."""
    return [f"{role.name}-{number}" for number in range(1, len(role.documents) + 1)]


def as_json(roles: Sequence[Role], partition: str, account: str) -> str:
    """Plain documents; ``account`` is the account's id, or ``*`` for any."""

    def filled(document: Document) -> Any:
        text = json.dumps(document)
        if '"aws:SourceAccount"' in text and account == "*":
            document = {**document, "Statement": [open_to_any(s) for s in document["Statement"]]}
            text = json.dumps(document)
        return json.loads(text.replace(PARTITION, partition).replace(OWN, account))

    rows = [
        {
            "name": role.name,
            "part": role.part,
            "trust": filled(role.trust),
            "policies": [
                {"name": name, "document": filled(document)}
                for name, document in zip(names(role), role.documents, strict=True)
            ],
        }
        for role in roles
    ]
    return json.dumps({"roles": rows}, indent=2) + "\n"


def open_to_any(statement: dict[str, Any]) -> dict[str, Any]:
    """A trust statement without the account, which is not known."""
    return {key: value for key, value in statement.items() if key != "Condition"}


def as_cloudformation(roles: Sequence[Role]) -> str:
    """A template that fits every partition and account, for a stack or a StackSet."""
    resources: dict[str, Any] = {}
    for role in roles:
        logical = f"{pascal(role.name)}Role"
        resources[logical] = {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "RoleName": role.name,
                "Description": TITLES[role.part],
                "AssumeRolePolicyDocument": substituted(role.trust),
            },
        }
        for number, (name, document) in enumerate(
            zip(names(role), role.documents, strict=True), start=1
        ):
            resources[f"{pascal(role.name)}Policy{number}"] = {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "ManagedPolicyName": name,
                    "Description": TITLES[role.part],
                    "Roles": [{"Ref": logical}],
                    "PolicyDocument": substituted(document),
                },
            }
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Roles of Custodian policies; made by c7n-secops iam.",
        "Resources": resources,
    }
    return str(yaml.dump(template, Dumper=Plain, sort_keys=False, width=100))


class Plain(yaml.SafeDumper):
    """Writes each value out, without anchors, which CloudFormation does not read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def substituted(document: Document) -> Any:
    """A document whose partition and account CloudFormation fills in."""

    def text(value: str) -> Any:
        if PARTITION not in value and OWN not in value:
            return value
        if value == OWN:
            return {"Ref": "AWS::AccountId"}
        whole = value.replace(PARTITION, "${AWS::Partition}").replace(OWN, "${AWS::AccountId}")
        return {"Fn::Sub": whole}

    return mapped(document, text)


def as_terraform(roles: Sequence[Role]) -> str:
    """A ``.tf.json`` for the account of Terraform's provider."""
    made: dict[str, dict[str, Any]] = {
        "aws_iam_role": {},
        "aws_iam_policy": {},
        "aws_iam_role_policy_attachment": {},
    }
    for role in roles:
        label = re.sub(r"[^A-Za-z0-9_-]", "_", role.name)
        made["aws_iam_role"][label] = {
            "name": role.name,
            "description": TITLES[role.part],
            "assume_role_policy": interpolated(role.trust),
        }
        for number, (name, document) in enumerate(
            zip(names(role), role.documents, strict=True), start=1
        ):
            made["aws_iam_policy"][f"{label}-{number}"] = {
                "name": name,
                "description": TITLES[role.part],
                "policy": interpolated(document),
            }
            made["aws_iam_role_policy_attachment"][f"{label}-{number}"] = {
                "role": f"${{aws_iam_role.{label}.name}}",
                "policy_arn": f"${{aws_iam_policy.{label}-{number}.arn}}",
            }
    data: dict[str, Any] = {
        "aws_caller_identity": {"current": {}},
        "aws_partition": {"current": {}},
    }
    return json.dumps({"data": data, "resource": made}, indent=2) + "\n"


def interpolated(document: Document) -> str:
    """A document as Terraform's text, which it fills in; what else looks so is left as it is."""
    marks = {
        PARTITION: "${data.aws_partition.current.partition}",
        OWN: "${data.aws_caller_identity.current.account_id}",
    }
    pieces = re.split(r"(\$\{(?:Partition|Account)\})", json.dumps(document))
    return "".join(
        marks.get(piece) or piece.replace("${", "$${").replace("%{", "%%{") for piece in pieces
    )


def mapped(value: Any, text: Callable[[str], Any]) -> Any:
    """A document with each of its texts replaced; keys stay."""
    if isinstance(value, dict):
        return {key: mapped(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [mapped(item, text) for item in value]
    return text(value)


def pascal(name: str) -> str:
    """A name as CloudFormation's logical ids are written."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name))
