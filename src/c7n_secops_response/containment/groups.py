"""Security groups that let nothing through: one for each VPC, made, emptied and re-read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from botocore import exceptions

from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES
from c7n_secops_response.evidence.case import StepError
from c7n_secops_response.evidence.shared import PAGE

MARK = "c7n-secops:quarantine"
DEFAULT_NAME = "c7n-quarantine"
DESCRIPTION = "Contained by c7n-secops: lets nothing in or out"

Rule = tuple[bool, str, int, int, str]
"""Egress or not, protocol, ports from and to, and the block, prefix list or group."""


class QuarantineGroups:
    """The quarantine group of each VPC; ``allow`` lists the egress that stays possible."""

    def __init__(self, client: Any, name: str, allow: Sequence[dict[str, Any]]):
        self.client, self.name = client, name
        self.wanted = {
            (
                True,
                rule.get("protocol", "tcp"),
                rule["port"],
                rule["port"],
                rule["cidr"],
            )
            for rule in allow
        }
        self._ids: dict[str, str] = {}
        self._errors: dict[str, str] = {}
        self._looked: set[str] = set()
        self._ready: set[str] = set()

    def of(self, vpc: str) -> str:
        """The group of a VPC; raises StepError where there is none that is as it must be."""
        if vpc not in self._ready:
            raise StepError(self._errors.get(vpc, f"there is no quarantine group in {vpc}"))
        return self._ids[vpc]

    def is_ready(self, vpc: str) -> bool:
        """Whether the group of a VPC was read and found without a rule that it must not have."""
        return vpc in self._ready

    def holds(self, vpc: str, interface: dict[str, Any]) -> bool:
        """Whether an interface has the group of the VPC and no other."""
        return [group["GroupId"] for group in interface["Groups"]] == [self._ids.get(vpc)]

    def look_up(self, vpcs: Iterable[str]) -> None:
        """Look up the groups that there are; what fails is told by :meth:`of`."""
        vpcs = set(vpcs)
        for vpc in vpcs:
            self._errors.pop(vpc, None)
        if not vpcs:
            return
        try:
            self._find(vpcs)
        except FAILURES as error:
            self._errors.update(dict.fromkeys(vpcs, calls.failure(error)[1]))
        else:
            self._looked |= vpcs

    def _find(self, vpcs: Iterable[str]) -> None:
        filters = [
            {"Name": "group-name", "Values": [self.name]},
            {"Name": "vpc-id", "Values": sorted(set(vpcs))},
        ]
        for page in calls.pages(
            self.client, "describe_security_groups", "SecurityGroups", PAGE, Filters=filters
        ):
            for row in page:
                self._ids[row["VpcId"]] = row["GroupId"]
                if not any(mark["Key"] == MARK for mark in row.get("Tags", ())):
                    self._errors[row["VpcId"]] = (
                        f"{row['GroupId']} is called {self.name} and is not ours: tag it {MARK} to "
                        "let it be emptied, or set security-group.name"
                    )

    def prepare(self, vpcs: Iterable[str]) -> None:
        """Have a group without rules in each VPC; what fails is told by :meth:`of`."""
        vpcs = sorted(set(vpcs))
        self.look_up(vpc for vpc in vpcs if vpc not in self._looked)
        for vpc in vpcs:
            if vpc in self._looked and vpc not in self._ids:
                self._attempt(vpc, self._create)
        found = {
            vpc: self._ids[vpc] for vpc in vpcs if vpc in self._ids and vpc not in self._errors
        }
        if found:
            self._empty(found)
        self._looked -= self._errors.keys()

    def _attempt(self, vpc: str, work: Any, *arguments: Any) -> None:
        try:
            work(vpc, *arguments)
        except FAILURES as error:
            self._errors[vpc] = calls.failure(error)[1]

    def _create(self, vpc: str) -> None:
        try:
            self._ids[vpc] = create(self.client, self.name, vpc)
        except exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "InvalidGroup.Duplicate":
                raise
            self._find([vpc])

    def _empty(self, ready: dict[str, str]) -> None:
        """Revoke what the groups have and must not have, and read them again."""
        try:
            found = self._rules(ready.values())
            changed = [vpc for vpc, group in ready.items() if self._differs(found[group])]
            for vpc in changed:
                self._attempt(vpc, self._correct, found[ready[vpc]])
            if changed:
                found.update(self._rules(ready[vpc] for vpc in changed))
        except FAILURES as error:
            self._errors.update(dict.fromkeys(ready, calls.failure(error)[1]))
            return
        for vpc, group in ready.items():
            if self._differs(found[group]):
                self._errors.setdefault(vpc, f"{group} still has rules that it must not have")
            else:
                self._ready.add(vpc)

    def _differs(self, rules: dict[Rule, str]) -> bool:
        return rules.keys() != self.wanted

    def _rules(self, groups: Iterable[str]) -> dict[str, dict[Rule, str]]:
        """The rules of these groups, and the id of each."""
        found: dict[str, dict[Rule, str]] = {group: {} for group in groups}
        filters = [{"Name": "group-id", "Values": list(found)}]
        for page in calls.pages(
            self.client,
            "describe_security_group_rules",
            "SecurityGroupRules",
            PAGE,
            Filters=filters,
        ):
            for row in page:
                found[row["GroupId"]][rule_of(row)] = row["SecurityGroupRuleId"]
        return found

    def _correct(self, vpc: str, rules: dict[Rule, str]) -> None:
        group = self._ids[vpc]
        extra = {rule: name for rule, name in rules.items() if rule not in self.wanted}
        egress = [name for rule, name in extra.items() if rule[0]]
        ingress = [name for rule, name in extra.items() if not rule[0]]
        if egress:
            self.client.revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=egress)
        if ingress:
            self.client.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=ingress)
        missing = sorted(self.wanted - rules.keys())
        if missing:
            self.client.authorize_security_group_egress(
                GroupId=group, IpPermissions=[permission(rule) for rule in missing]
            )


def create(client: Any, name: str, vpc: str) -> str:
    """A new group with our mark; its default rules are still there."""
    answer = client.create_security_group(
        GroupName=name,
        Description=DESCRIPTION,
        VpcId=vpc,
        TagSpecifications=[
            {
                "ResourceType": "security-group",
                "Tags": [{"Key": MARK, "Value": "true"}, {"Key": "Name", "Value": name}],
            }
        ],
    )
    return str(answer["GroupId"])


def rule_of(row: dict[str, Any]) -> Rule:
    """A rule as DescribeSecurityGroupRules has it."""
    peer = (
        row.get("CidrIpv4")
        or row.get("CidrIpv6")
        or row.get("PrefixListId")
        or row.get("ReferencedGroupInfo", {}).get("GroupId", "")
    )
    return (row["IsEgress"], row["IpProtocol"], row["FromPort"], row["ToPort"], peer)


def permission(rule: Rule) -> dict[str, Any]:
    """A rule as the calls that authorize take it."""
    _egress, protocol, first, last, block = rule
    ranges = (
        {"Ipv6Ranges": [{"CidrIpv6": block}]} if ":" in block else {"IpRanges": [{"CidrIp": block}]}
    )
    return {"IpProtocol": protocol, "FromPort": first, "ToPort": last, **ranges}
