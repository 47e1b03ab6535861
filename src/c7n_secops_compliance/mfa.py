"""The inline policy that lets a user without a second factor do nothing but add one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

MANAGED = (
    "iam:CreateVirtualMFADevice",
    "iam:EnableMFADevice",
    "iam:GetMFADevice",
    "iam:GetUser",
    "iam:ListMFADevices",
    "iam:ListVirtualMFADevices",
    "iam:ResyncMFADevice",
)
"""What a user needs to add a device of their own."""

SESSION = "sts:GetSessionToken"
"""How a user with a device and an access key says that it is there."""

OWN = "arn:aws:iam::*:user/${aws:username}"
DEVICES = "arn:aws:iam::*:mfa/*"


def document(allow: Iterable[str] = (), *, self_manage: bool = True) -> dict[str, Any]:
    """The policy: a denial of all but ``allow`` and what adds a device.

    ``self_manage`` also allows what adds a device, to a user of whom no other policy does.
    """
    statements: list[dict[str, Any]] = [
        {
            "Sid": "DenyWithoutMFA",
            "Effect": "Deny",
            "NotAction": sorted({*MANAGED, SESSION, *allow}),
            "Resource": "*",
            "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
        }
    ]
    if self_manage:
        statements += [
            {
                "Sid": "ListDevices",
                "Effect": "Allow",
                "Action": "iam:ListVirtualMFADevices",
                "Resource": "*",
            },
            {
                "Sid": "ManageOwnDevice",
                "Effect": "Allow",
                "Action": sorted({*MANAGED} - {"iam:ListVirtualMFADevices"}),
                "Resource": [OWN, DEVICES],
            },
        ]
    return {"Version": "2012-10-17", "Statement": statements}


def text(policy: Mapping[str, Any]) -> str:
    """The policy as IAM stores it; the inline policies of a user have 2,048 characters in all."""
    return json.dumps(policy, separators=(",", ":"))


def exemption(user: Mapping[str, Any], tag: str, paths: Iterable[str]) -> str | None:
    """Why a user is left alone: the tag or the path, or None."""
    if any(each["Key"] == tag for each in user.get("Tags", ())):
        return f"the user has the tag {tag}"
    path = next((each for each in paths if user["Path"].startswith(each)), None)
    return None if path is None else f"the user's path {user['Path']} begins with {path}"
