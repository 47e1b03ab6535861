"""Takes the instance's identity: its profile, and the sessions that its role gave out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from botocore import exceptions

from c7n_secops.aws import calls
from c7n_secops_response.containment.surroundings import HELD, Surroundings
from c7n_secops_response.evidence.case import Case, Entry, StepError

GONE = frozenset({"InvalidAssociationID.NotFound"})
NAME = "c7n-secops-revoke-{case}"
PAGE = 100


def profile_name(arn: str) -> str:
    """The name in an instance profile's ARN, which may have a path before it."""
    return arn.rpartition("/")[2]


def association(client: Any, case: Case) -> dict[str, Any] | None:
    """The instance's association with a profile as it is now."""
    answer = calls.read(
        client.describe_iam_instance_profile_associations,
        Filters=[{"Name": "instance-id", "Values": [case.id]}],
    )
    rows = [row for row in answer["IamInstanceProfileAssociations"] if row["State"] in HELD]
    return rows[0] if rows else None


def set_profile(case: Case, client: Any, current: dict[str, Any] | None, arn: str | None) -> Any:
    """Give an instance this profile, or none, whatever it has; what it has is ``current``."""
    held = current["IamInstanceProfile"]["Arn"] if current else None
    if held == arn:
        return arn
    if arn is None and current:
        try:
            case.ask(
                client.disassociate_iam_instance_profile, AssociationId=current["AssociationId"]
            )
        except exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise
    elif current:
        case.ask(
            client.replace_iam_instance_profile_association,
            AssociationId=current["AssociationId"],
            IamInstanceProfile={"Arn": arn},
        )
    else:
        case.ask(
            client.associate_iam_instance_profile,
            InstanceId=case.id,
            IamInstanceProfile={"Arn": arn},
        )
    return arn


class Identity:
    """Profiles and sessions; ``mode`` is revoke-sessions, ``final`` the profile to end with."""

    def __init__(
        self,
        ec2: Any,
        client: Callable[..., Any],
        surroundings: Surroundings,
        mode: str,
        final: str | None,
    ):
        """``client`` makes the clients of other services, where they are needed."""
        self.ec2, self._client, self.surroundings = ec2, client, surroundings
        self.mode, self.final = mode, final
        self._final_arn: str | None = None
        self._roles: dict[str, list[str]] = {}
        self._revoked: dict[tuple[str, str], str] = {}

    @property
    def iam(self) -> Any:
        return self._client("iam")

    def drop_profile(self, case: Case, *, swapped: bool) -> Entry:
        """Take the profile away, or leave ``final`` in its place; ``swapped`` by gathering."""
        before = case.before("profile")
        current = association(self.ec2, case) if swapped else self.surroundings.profile(case)
        if not current and not self.final:
            return Entry("done" if before else "skipped", before)
        after = set_profile(case, self.ec2, current, self._arn_of_final())
        return Entry("done", before, {"arn": after})

    def _arn_of_final(self) -> str | None:
        if self.final and not self._final_arn:
            answer = calls.read(self.iam.get_instance_profile, InstanceProfileName=self.final)
            self._final_arn = answer["InstanceProfile"]["Arn"]
        return self._final_arn

    def revoke(self, case: Case, together: set[str]) -> Entry:
        """Deny all that the role's sessions of before now may do.

        ``together`` are the instances that this run contains: they do not count as other users.
        """
        before = case.before("profile")
        if not before or self.mode == "never":
            return Entry("skipped")
        if case.steps["profile"].status not in ("done", "skipped"):
            raise StepError("the profile is still there, and gives out new sessions")
        roles = self._roles_of(before["arn"])
        if self.mode == "if-exclusive":
            others = self._others(before["arn"], roles) - together - {case.id}
            if others:
                some = ", ".join(sorted(others)[:3])
                reason = f"not revoked, since {len(others)} other instances use the role: {some}"
                return Entry("skipped", reason=reason)
        after = [
            {"role": role, "policy": NAME.format(case=case.name), "before": self._deny(case, role)}
            for role in roles
        ]
        return Entry("done", None, after)

    def _roles_of(self, arn: str) -> list[str]:
        if arn not in self._roles:
            answer = calls.read(
                self.iam.get_instance_profile, InstanceProfileName=profile_name(arn)
            )
            self._roles[arn] = [row["RoleName"] for row in answer["InstanceProfile"]["Roles"]]
        return self._roles[arn]

    def _others(self, arn: str, roles: Sequence[str]) -> set[str]:
        """The instances, in this account and region, that get their credentials from the roles."""
        profiles = {arn}
        for role in roles:
            for page in calls.pages(
                self.iam,
                "list_instance_profiles_for_role",
                "InstanceProfiles",
                PAGE,
                RoleName=role,
            ):
                profiles |= {row["Arn"] for row in page}
        return self.surroundings.users(profiles)

    def _deny(self, case: Case, role: str) -> str:
        """Put the policy once for a role and a case; the time up to which it denies."""
        key = (role, case.name)
        if key not in self._revoked:
            at = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            case.ask(
                self.iam.put_role_policy,
                RoleName=role,
                PolicyName=NAME.format(case=case.name),
                PolicyDocument=json.dumps(deny_before(at)),
            )
            self._revoked[key] = at
        return self._revoked[key]


def deny_before(at: str) -> dict[str, Any]:
    """The inline policy that AWS's console uses to revoke sessions."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Action": ["*"],
                "Resource": ["*"],
                "Condition": {"DateLessThan": {"aws:TokenIssueTime": at}},
            }
        ],
    }
