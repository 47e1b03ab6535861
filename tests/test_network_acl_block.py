"""Denying an address at an instance's subnets for a time, and giving the network ACL back."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from c7n.exceptions import PolicyValidationError

from c7n_secops_edge import network_acl, protected
from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION, Custodian
from tests.waf_scene import RANGES, Scene, shipped

BLOCK, EXPIRE = "ec2-subnet-block-guardduty-address", "network-acl-expire-blocks"
KEPT = ["private", "own-eips", "route53-healthchecks", "cloudfront"]
CHANGES = {"CreateNetworkAclEntry", "DeleteNetworkAclEntry", "CreateTags", "DeleteTags"}
NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


class Subnet:
    """An instance whose owner allows it, and the network ACL of its subnet."""

    def __init__(self, emulator: Emulator):
        self.emulator = emulator
        self.ec2 = emulator.client("ec2", ACCOUNT, REGION)
        vpc = self.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
        tags = [{"Key": "c7n-secops:subnet-block", "Value": "allowed"}]
        self.instance = self.ec2.run_instances(
            ImageId="ami-12345678",
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )["Instances"][0]["InstanceId"]
        self.id = self.row(subnet)["NetworkAclId"]
        emulator.clear_calls()

    def row(self, subnet: str | None = None) -> dict[str, Any]:
        name, value = ("association.subnet-id", subnet) if subnet else ("network-acl-id", self.id)
        filters = [{"Name": name, "Values": [value]}]
        found: dict[str, Any] = self.ec2.describe_network_acls(Filters=filters)["NetworkAcls"][0]
        return found

    def denied(self) -> dict[str, int]:
        """The networks that are denied before the first entry that allows, with their numbers."""
        return {
            entry.get("CidrBlock") or entry["Ipv6CidrBlock"]: entry["RuleNumber"]
            for entry in self.row()["Entries"]
            if not entry["Egress"] and entry["RuleAction"] == "deny" and entry["RuleNumber"] < 100
        }

    def tags(self) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.row().get("Tags", ())}

    def let_time_pass(self) -> None:
        past = [{"Key": key, "Value": "2020-01-01T00:00:00Z"} for key in self.tags()]
        self.ec2.create_tags(Resources=[self.id], Tags=past)

    def acl(self) -> network_acl.NetworkAcl:
        return network_acl.NetworkAcl(self.ec2, self.row())

    def changes(self) -> list[str]:
        calls = self.emulator.calls("ec2")
        return [call.operation for call in calls if call.operation in CHANGES]


@pytest.fixture
def subnet(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Subnet:
    monkeypatch.setattr(protected, "_fetched", {})
    Scene(emulator)
    return Subnet(emulator)


def finding(instance: str, direction: str = "INBOUND", **remote: str) -> dict[str, Any]:
    sample = Path(__file__).parent / "events" / "guardduty-ec2-network-connection.json"
    event: dict[str, Any] = json.loads(sample.read_text())
    event.update(account=ACCOUNT, region=REGION)
    event["detail"]["accountId"] = ACCOUNT
    event["detail"]["resource"]["instanceDetails"]["instanceId"] = instance
    connection = event["detail"]["service"]["action"]["networkConnectionAction"]
    connection["connectionDirection"] = direction
    connection["remoteIpDetails"] = remote or {"ipAddressV4": "9.9.9.9"}
    return event


def blocking(*texts: str, **options: Any) -> dict[str, Any]:
    action = {"type": "network-acl-block", "from": {"addresses": list(texts)}, "ip-ranges": RANGES}
    return {"name": "deny", "resource": "aws.ec2", "actions": [{**action, **options}]}


def result(run: Any) -> dict[str, Any]:
    (row,) = run.action("network-acl-block")["results"]
    found: dict[str, Any] = row
    return found


def test_the_address_of_a_finding_is_denied_for_a_day_and_then_no_more(
    custodian: Custodian, subnet: Subnet
) -> None:
    before = datetime.now(timezone.utc)
    event = finding(subnet.instance, ipAddressV4="9.9.9.9", ipAddressV6="2600::9")
    assert result(custodian(policy(), event=event))["outcome"] == "blocked"
    assert set(subnet.denied()) == {"9.9.9.9/32", "2600::9/128"}
    assert all(1 <= number <= 99 for number in subnet.denied().values())
    for number in subnet.denied().values():
        until = datetime.strptime(
            subnet.tags()[f"c7n-secops:block:{number}"], "%Y-%m-%dT%H:%M:%S%z"
        )
        assert timedelta(hours=23, minutes=59) < until - before < timedelta(hours=24, minutes=1)
    assert custodian(EXPIRE).action("network-acl-expire")["counts"].keys() == {"skipped"}
    subnet.let_time_pass()
    assert custodian(EXPIRE).action("network-acl-expire")["counts"]["expired"] == 1
    assert subnet.denied() == {}
    assert subnet.tags() == {}


def policy(**changes: Any) -> dict[str, Any]:
    """The shipped policy, without looking up names."""
    return shipped(BLOCK, protect=KEPT, **changes)


@pytest.mark.parametrize("case", ["outbound", "health-check", "not-allowed"])
def test_who_must_not_be_denied_is_not(custodian: Custodian, subnet: Subnet, case: str) -> None:
    event = finding(subnet.instance)
    if case == "outbound":
        event = finding(subnet.instance, "OUTBOUND")
    elif case == "health-check":
        event = finding(subnet.instance, ipAddressV4="15.177.0.1")
    else:
        key = [{"Key": "c7n-secops:subnet-block"}]
        subnet.ec2.delete_tags(Resources=[subnet.instance], Tags=key)
    subnet.emulator.clear_calls()
    custodian(policy(), event=event)
    assert subnet.denied() == {}
    assert subnet.changes() == []


def test_a_second_finding_prolongs_the_entry_and_a_third_changes_nothing(
    custodian: Custodian, subnet: Subnet
) -> None:
    custodian(blocking("9.9.9.9", duration=60))
    first = subnet.tags()
    custodian(blocking("9.9.9.9", duration=120))
    assert len(subnet.denied()) == 1
    assert subnet.tags().keys() == first.keys()
    assert subnet.tags() != first
    subnet.emulator.clear_calls()
    assert result(custodian(blocking("9.9.9.9", duration=60)))["code"] == "AlreadyBlocked"
    assert subnet.changes() == []


def test_an_entry_whose_time_is_nearly_over_is_joined_and_not_prolonged(subnet: Subnet) -> None:
    network = protected.parse("9.9.9.9")
    subnet.acl().deny(network, NOW + timedelta(minutes=14), NOW)
    later = NOW + timedelta(hours=1)
    stale = subnet.acl()
    assert subnet.acl().deny(network, later, NOW) == "blocked"
    assert stale.sweep(NOW + timedelta(minutes=15)) == ["9.9.9.9/32"]
    (number,) = subnet.denied().values()
    assert subnet.acl().tags == {number: later}


def test_entries_that_are_not_ours_are_never_touched(custodian: Custodian, subnet: Subnet) -> None:
    common = {"Protocol": "-1", "Egress": False, "NetworkAclId": subnet.id}
    subnet.ec2.create_network_acl_entry(
        **common, RuleNumber=7, RuleAction="deny", CidrBlock="8.8.8.8/32"
    )
    subnet.ec2.create_network_acl_entry(
        **common, RuleNumber=8, RuleAction="allow", CidrBlock="1.1.1.1/32"
    )
    subnet.ec2.create_tags(
        Resources=[subnet.id],
        Tags=[
            {"Key": "c7n-secops:block:8", "Value": "2020-01-01T00:00:00Z"},
            {"Key": "c7n-secops:block:x", "Value": "2020-01-01T00:00:00Z"},
            {"Key": "c7n-secops:block:7", "Value": "tomorrow"},
        ],
    )
    custodian(EXPIRE)
    assert {e["RuleNumber"] for e in subnet.row()["Entries"] if not e["Egress"]} >= {7, 8, 100}


def test_a_full_network_acl_is_told_and_leaves_no_tag(custodian: Custodian, subnet: Subnet) -> None:
    many = [f"9.9.9.{number}" for number in range(19)]
    assert result(custodian(blocking(*many)))["outcome"] == "blocked"
    tags = subnet.tags()
    said = result(custodian(blocking("8.8.8.8", many[0])))
    assert (said["outcome"], said["code"]) == ("partial", "NetworkAclEntryLimitExceeded")
    assert subnet.tags().keys() == tags.keys()
    said = result(custodian(blocking("8.8.4.4")))
    assert said["outcome"] == "failed"


def test_only_the_numbers_that_are_ours_are_used(custodian: Custodian, subnet: Subnet) -> None:
    numbers = {"rule-numbers": {"first": 40, "last": 41}}
    said = result(custodian(blocking("9.9.9.1", "9.9.9.2", "9.9.9.3", **numbers)))
    assert (said["outcome"], said["code"]) == ("partial", "NoRuleNumber")
    assert sorted(subnet.denied().values()) == [40, 41]


def test_several_that_block_at_once_all_succeed(subnet: Subnet) -> None:
    networks = [protected.parse(f"9.9.9.{number}") for number in range(16)]
    acls = [network_acl.NetworkAcl(subnet.ec2, subnet.row(), 1, 20) for _ in networks]
    until = NOW + timedelta(hours=1)
    with ThreadPoolExecutor(8) as pool:
        done = list(
            pool.map(
                lambda pair: pair[0].deny(pair[1], until, NOW), zip(acls, networks, strict=True)
            )
        )
    assert set(done) == {"blocked"}
    assert set(subnet.denied()) == {str(network) for network in networks}
    assert {f"c7n-secops:block:{n}" for n in subnet.denied().values()} <= subnet.tags().keys()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda acl: acl.sweep(until), [subnet.acl() for _ in range(4)]))
    assert subnet.denied() == {}


def test_a_dry_run_names_subnets_and_addresses_and_changes_nothing(
    custodian: Custodian, subnet: Subnet
) -> None:
    (row,) = custodian(blocking("9.9.9.9", "10.0.0.1"), dryrun=True)._json("plan.json", None)
    assert row["block"] == ["9.9.9.9/32"]
    assert [refused["code"] for refused in row["refused"]] == ["Protected"]
    assert len(row["subnets"]) == 1
    assert subnet.changes() == []


@pytest.mark.parametrize("operation", ["DescribeNetworkAcls", "DescribeAddresses"])
def test_a_refused_read_is_not_evaluated(
    custodian: Custodian, emulator: Emulator, subnet: Subnet, operation: str
) -> None:
    emulator.fault("ec2", operation, code="UnauthorizedOperation", status=403, times=None)
    run = custodian(blocking("9.9.9.9"))
    assert result(run)["outcome"] == "not-evaluated"
    assert [row["code"] for row in run.not_evaluated] == ["UnauthorizedOperation"]
    assert subnet.changes() == []


def test_a_refused_change_fails_and_nobody_unknown_is_protected(
    custodian: Custodian, emulator: Emulator, subnet: Subnet
) -> None:
    emulator.fault("ec2", "CreateNetworkAclEntry", code="UnauthorizedOperation", times=None)
    said = result(custodian(blocking("9.9.9.9")))
    assert (said["outcome"], said["code"]) == ("failed", "UnauthorizedOperation")
    assert subnet.tags() == {}
    said = result(custodian(blocking("9.9.9.9", **{"ip-ranges": "s3://edge-config/none.json"})))
    assert said["code"] == "ProtectionUnknown"


def test_a_refused_removal_is_told(
    custodian: Custodian, emulator: Emulator, subnet: Subnet
) -> None:
    custodian(blocking("9.9.9.9"))
    subnet.let_time_pass()
    emulator.fault("ec2", "DeleteNetworkAclEntry", code="UnauthorizedOperation", times=1)
    assert custodian(EXPIRE).action("network-acl-expire")["counts"]["failed"] == 1
    emulator.fault("ec2", "DescribeNetworkAcls", code="UnauthorizedOperation", times=1, after=1)
    run = custodian(EXPIRE)
    assert run.action("network-acl-expire")["counts"]["not-evaluated"] == 1
    assert custodian(EXPIRE).action("network-acl-expire")["counts"]["expired"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"from": "event"}, "set mode.type to guard-duty"),
        ({"direction": "ANY"}, "set from: event"),
        ({"rule-numbers": {"first": 9, "last": 8}}, "first 9 is after rule-numbers.last 8"),
    ],
)
def test_what_does_not_fit_together_is_an_error(
    custodian: Custodian, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(PolicyValidationError, match=message):
        custodian(blocking("9.9.9.9", **options))
