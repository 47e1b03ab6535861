"""Of the permissions of incident response, those that an action's options take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from c7n_secops_response.evidence.options import DEFAULT_PIECES

Options = Mapping[str, Any]
Uses = Callable[[Options], bool]


def always(_options: Options) -> bool:
    return True


def collects(*pieces: str) -> Uses:
    """Whether any of these pieces of evidence is taken."""
    return lambda evidence: any(p in evidence.get("collect", DEFAULT_PIECES) for p in pieces)


def of_snapshots(*keys: str) -> Uses:
    """Whether any of these is asked for with the snapshots."""
    return lambda evidence: any(evidence.get("snapshots", {}).get(key) for key in keys)


def has(*keys: str) -> Uses:
    """Whether any of these options is there."""
    return lambda data: any(data.get(key) for key in keys)


EVIDENCE: Mapping[str, Uses] = {
    "ec2:CopySnapshot": of_snapshots("copy-key"),
    "ec2:CreateSnapshots": collects("snapshots"),
    "ec2:DescribeInstanceAttribute": collects("attributes", "user-data"),
    "ec2:DescribeInstanceTypes": collects("snapshots"),
    "ec2:DescribeSnapshots": collects("snapshots"),
    "ec2:GetConsoleOutput": collects("console"),
    "ec2:GetConsoleScreenshot": collects("screenshot"),
    "ec2:LockSnapshot": of_snapshots("lock-days"),
    "ec2:ModifySnapshotAttribute": of_snapshots("copy-key", "share-with"),
    "kms:Decrypt": has("kms-key"),
    "kms:GenerateDataKey": has("kms-key"),
    "s3:PutObjectRetention": has("retention"),
    "sts:AssumeRole": has("role"),
}
"""By the options of the evidence."""


def detaches(key: str, *values: Any) -> Uses:
    """Whether ``detach`` has one of these under the key; its default is the first that is done."""
    return lambda data: data.get("detach", {}).get(key, values[0]) in values


def gathers(data: Options) -> bool:
    return bool(data.get("gather"))


def opens_first(data: Options) -> bool:
    return bool(data.get("cut-tracked") == "two-step")


def lets_out(data: Options) -> bool:
    return opens_first(data) or bool(data.get("security-group", {}).get("allow-egress"))


def gives_profile(data: Options) -> bool:
    return gathers(data) or data.get("final-profile", "none") != "none"


def revokes(data: Options) -> bool:
    return bool(data.get("revoke-sessions", "if-exclusive") != "never")


def each(actions: Iterable[str], uses: Uses) -> dict[str, Uses]:
    return dict.fromkeys(actions, uses)


QUARANTINE: Mapping[str, Uses] = {
    "autoscaling:DescribeAutoScalingInstances": detaches("asg", "detach", "standby"),
    "autoscaling:DetachInstances": detaches("asg", "detach"),
    "autoscaling:EnterStandby": lambda data: data.get("detach", {}).get("asg") == "standby",
    "ec2:AssociateIamInstanceProfile": gives_profile,
    "ec2:AuthorizeSecurityGroupEgress": lets_out,
    "ec2:AuthorizeSecurityGroupIngress": opens_first,
    "ec2:DeleteSecurityGroup": opens_first,
    "ec2:DescribeInstanceAttribute": always,  # what it was like before is kept
    "ec2:DisassociateAddress": detaches("eip", True),
    "ec2:ModifyInstanceMetadataOptions": lambda data: data.get("imds") == "disable",
    "ec2:ReplaceIamInstanceProfileAssociation": gives_profile,
    **each(
        (
            "elasticloadbalancing:DeregisterTargets",
            "elasticloadbalancing:DescribeTargetGroups",
            "elasticloadbalancing:DescribeTargetHealth",
        ),
        detaches("elb", True),
    ),
    "iam:GetInstanceProfile": lambda data: revokes(data) or gives_profile(data),
    "iam:ListInstanceProfilesForRole": (
        lambda data: data.get("revoke-sessions", "if-exclusive") == "if-exclusive"
    ),
    "iam:PassRole": gives_profile,
    "iam:PutRolePolicy": revokes,
    "sns:Publish": has("notify"),
    **each(
        (
            "ssm:DescribeInstanceInformation",
            "ssm:GetCommandInvocation",
            "ssm:ListCommandInvocations",
            "ssm:ListCommands",
            "ssm:SendCommand",
        ),
        gathers,
    ),
}
"""By the options of quarantine-instance."""


def restores(part: str) -> Uses:
    """Whether a part of the prior state is restored."""
    return lambda data: part in data.get("restore", (part,))


def reattaches(key: str) -> Uses:
    return lambda data: bool(data.get("reattach", {}).get(key))


RELEASE: Mapping[str, Uses] = {
    **each(
        (
            "autoscaling:AttachInstances",
            "autoscaling:DescribeAutoScalingInstances",
            "autoscaling:ExitStandby",
        ),
        reattaches("asg"),
    ),
    "ec2:AssociateAddress": restores("eip"),
    **each(
        (
            "ec2:AssociateIamInstanceProfile",
            "ec2:DescribeIamInstanceProfileAssociations",
            "ec2:DisassociateIamInstanceProfile",
            "ec2:ReplaceIamInstanceProfileAssociation",
            "iam:PassRole",
        ),
        restores("profile"),
    ),
    "ec2:DescribeInstanceAttribute": restores("attributes"),
    "ec2:DescribeSecurityGroups": restores("groups"),
    "ec2:ModifyInstanceAttribute": restores("attributes"),
    "ec2:ModifyInstanceMetadataOptions": restores("imds"),
    "ec2:ModifyNetworkInterfaceAttribute": restores("groups"),
    "elasticloadbalancing:RegisterTargets": reattaches("elb"),
    "iam:DeleteRolePolicy": has("remove-revocation"),
}
"""By the options of release-instance."""
