"""The group of the two-step swap, through which everything passes for a moment.

Flows that a security group tracks survive a change of groups, for up to five days. Those that an
all-traffic rule lets through are not tracked, and end with the rule: so an interface gets this
group first, and the quarantine group at once after it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from botocore import exceptions

from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES
from c7n_secops_response.containment.groups import MARK, create
from c7n_secops_response.evidence.case import StepError
from c7n_secops_response.evidence.shared import PAGE

EVERYTHING = (
    {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
    {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
)

log = logging.getLogger("custodian.c7n_secops.open_groups")


class OpenGroups:
    """One open group for each VPC, made before its use and deleted after it."""

    def __init__(self, client: Any, name: str):
        self.client, self.name = client, f"{name}-open"
        self._ids: dict[str, str] = {}
        self._errors: dict[str, str] = {}

    def of(self, vpc: str) -> str:
        """The group of a VPC; raises StepError where it could not be made."""
        if vpc in self._errors or vpc not in self._ids:
            raise StepError(self._errors.get(vpc, f"there is no open group in {vpc}"))
        return self._ids[vpc]

    def prepare(self, vpcs: Iterable[str]) -> None:
        for vpc in sorted(set(vpcs)):
            self._prepare(vpc)

    def _prepare(self, vpc: str) -> None:
        try:
            self._ids[vpc] = self._have(vpc)
            for rule in EVERYTHING:
                self._authorize(self.client.authorize_security_group_ingress, vpc, rule)
                self._authorize(self.client.authorize_security_group_egress, vpc, rule)
        except FAILURES as error:
            self._errors[vpc] = calls.failure(error)[1]

    def _have(self, vpc: str) -> str:
        try:
            return create(self.client, self.name, vpc)
        except exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "InvalidGroup.Duplicate":
                raise
            found = calls.read(
                self.client.describe_security_groups,
                Filters=[
                    {"Name": "group-name", "Values": [self.name]},
                    {"Name": "vpc-id", "Values": [vpc]},
                    {"Name": "tag-key", "Values": [MARK]},
                ],
            )["SecurityGroups"]
            if not found:
                raise
            return str(found[0]["GroupId"])

    def _authorize(self, call: Any, vpc: str, rule: dict[str, Any]) -> None:
        try:
            call(GroupId=self._ids[vpc], IpPermissions=[rule])
        except exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "InvalidPermission.Duplicate":
                raise

    def remove(self) -> None:
        """Delete the groups; one that an interface still has is emptied instead."""
        for vpc in list(self._ids):
            self._remove(vpc)

    def _remove(self, vpc: str) -> None:
        group = self._ids.pop(vpc)
        try:
            self.client.delete_security_group(GroupId=group)
        except FAILURES as error:
            log.warning("open group %s not deleted: %s", group, error)
            self._empty(group)

    def shut(self, vpc: str) -> None:
        """Let nothing through any more: an interface could not be moved on from this group."""
        if vpc in self._ids:
            self._empty(self._ids[vpc])

    def _empty(self, group: str) -> None:
        filters = [{"Name": "group-id", "Values": [group]}]
        try:
            rows = [
                row
                for page in calls.pages(
                    self.client,
                    "describe_security_group_rules",
                    "SecurityGroupRules",
                    PAGE,
                    Filters=filters,
                )
                for row in page
            ]
            for egress, call in (
                (True, self.client.revoke_security_group_egress),
                (False, self.client.revoke_security_group_ingress),
            ):
                names = [r["SecurityGroupRuleId"] for r in rows if r["IsEgress"] is egress]
                if names:
                    call(GroupId=group, SecurityGroupRuleIds=names)
        except FAILURES as error:
            log.warning("open group %s not emptied: %s", group, error)
