"""The emulator's AWS WAF and network ACLs: the limits and conflicts that our code must meet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION
from tests.waf_scene import VISIBILITY, Scene


@pytest.fixture
def waf(emulator: Emulator) -> Any:
    return emulator.client("wafv2", ACCOUNT, REGION)


def make(waf: Any, name: str = "set", version: str = "IPV4", *addresses: str) -> dict[str, Any]:
    found: dict[str, Any] = waf.create_ip_set(
        Name=name, Scope="REGIONAL", IPAddressVersion=version, Addresses=list(addresses)
    )["Summary"]
    return found


def refused(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**params)
    return str(raised.value.response["Error"]["Code"])


def where(row: dict[str, Any]) -> dict[str, Any]:
    return {"Name": row["Name"], "Scope": "REGIONAL", "Id": row["Id"]}


@pytest.mark.parametrize(
    ("addresses", "code"),
    [
        (["0.0.0.0/0"], "WAFInvalidParameterException"),
        (["9.9.9.9/24"], "WAFInvalidParameterException"),
        (["9.9.9.9"], "WAFInvalidParameterException"),
        (["2600::/64"], "WAFInvalidParameterException"),
        (
            [f"9.{n >> 16}.{n >> 8 & 255}.{n & 255}/32" for n in range(10_001)],
            "WAFLimitsExceededException",
        ),
    ],
    ids=["all", "host-bits", "no-length", "other-family", "too-many"],
)
def test_an_ip_set_takes_no_address_that_aws_would_not(
    waf: Any, addresses: list[str], code: str
) -> None:
    row = make(waf)
    update = {**where(row), "LockToken": row["LockToken"], "Addresses": addresses}
    assert refused(waf.update_ip_set, **update) == code
    assert waf.get_ip_set(**where(row))["IPSet"]["Addresses"] == []


def test_a_scope_has_a_hundred_ip_sets_each_of_its_own_name(waf: Any) -> None:
    for number in range(100):
        make(waf, f"set-{number}")
    new = {"Scope": "REGIONAL", "IPAddressVersion": "IPV4", "Addresses": []}
    assert refused(waf.create_ip_set, Name="set-1", **new) == "WAFDuplicateItemException"
    assert refused(waf.create_ip_set, Name="more", **new) == "WAFLimitsExceededException"
    seen = waf.list_ip_sets(Scope="REGIONAL", Limit=60)
    rest = waf.list_ip_sets(Scope="REGIONAL", Limit=60, NextMarker=seen["NextMarker"])
    assert (len(seen["IPSets"]), len(rest["IPSets"]), "NextMarker" in rest) == (60, 40, False)


def test_of_many_updates_with_one_token_one_succeeds(waf: Any) -> None:
    row = make(waf)

    def update(number: int) -> str:
        try:
            waf.update_ip_set(
                **where(row), LockToken=row["LockToken"], Addresses=[f"9.9.9.{number}/32"]
            )
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "done"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(update, range(8)))
    assert sorted(answers) == ["WAFOptimisticLockException"] * 7 + ["done"]


def test_a_token_that_was_listed_is_as_good_as_one_that_was_got(waf: Any) -> None:
    make(waf)
    (row,) = waf.list_ip_sets(Scope="REGIONAL")["IPSets"]
    waf.update_ip_set(
        **where(row), LockToken=row["LockToken"], Addresses=[], Description="c7n:expires=empty"
    )
    (row,) = waf.list_ip_sets(Scope="REGIONAL")["IPSets"]
    assert row["Description"] == "c7n:expires=empty"


def test_ipv6_is_answered_in_its_long_form(waf: Any) -> None:
    row = make(waf, "six", "IPV6", "2600::/64")
    held = waf.get_ip_set(**where(row))["IPSet"]["Addresses"]
    assert held == ["2600:0000:0000:0000:0000:0000:0000:0000/64"]


def test_cloudfront_s_scope_is_reached_through_us_east_1_only(emulator: Emulator) -> None:
    elsewhere = emulator.client("wafv2", ACCOUNT, "eu-west-1")
    code = "WAFInvalidParameterException"
    assert refused(elsewhere.list_ip_sets, Scope="CLOUDFRONT") == code
    assert refused(elsewhere.list_web_acls, Scope="CLOUDFRONT") == code


def rule(name: str, priority: int, statement: dict[str, Any]) -> dict[str, Any]:
    return {
        "Name": name,
        "Priority": priority,
        "Statement": statement,
        "Action": {"Block": {}},
        "VisibilityConfig": VISIBILITY,
    }


def reference(row: dict[str, Any]) -> dict[str, Any]:
    return {"IPSetReferenceStatement": {"ARN": row["ARN"]}}


def test_an_update_of_a_web_acl_replaces_it_whole(emulator: Emulator, waf: Any) -> None:
    scene = Scene(emulator)
    arn = scene.web_acl(TokenDomains=["example.com"], Description="the shop")
    name, identity = arn.split("/")[-2:]
    place = {"Name": name, "Id": identity, "Scope": "REGIONAL"}
    got = waf.get_web_acl(**place)
    update = {
        **place,
        "LockToken": got["LockToken"],
        "DefaultAction": {"Block": {}},
        "VisibilityConfig": VISIBILITY,
    }
    row = make(waf)
    either = {"OrStatement": {"Statements": [reference(row), reference(row)]}}
    waf.update_web_acl(**update, Rules=[rule("a", 1, either)])
    now = scene.whole(arn)
    assert (now["DefaultAction"], now["Capacity"]) == ({"Block": {}}, 2)
    assert "TokenDomains" not in now
    assert not now["Description"]
    assert refused(waf.update_web_acl, **update) == "WAFOptimisticLockException"
    held = {**where(row), "LockToken": row["LockToken"]}
    assert refused(waf.delete_ip_set, **held) == "WAFAssociatedItemException"


@pytest.mark.parametrize("case", ["name", "priority", "or-of-one", "missing-set"])
def test_rules_that_aws_would_not_take_are_refused(emulator: Emulator, waf: Any, case: str) -> None:
    scene = Scene(emulator)
    arn = scene.web_acl()
    row = make(waf)
    one, gone = reference(row), reference({"ARN": f"{row['ARN']}x"})
    rules = {
        "name": [rule("a", 1, one), rule("a", 2, one)],
        "priority": [rule("a", 1, one), rule("b", 1, one)],
        "or-of-one": [rule("a", 1, {"OrStatement": {"Statements": [one]}})],
        "missing-set": [rule("a", 1, gone)],
    }[case]
    name, identity = arn.split("/")[-2:]
    place = {"Name": name, "Id": identity, "Scope": "REGIONAL"}
    update = {
        **place,
        "LockToken": waf.get_web_acl(**place)["LockToken"],
        "DefaultAction": {"Allow": {}},
        "VisibilityConfig": VISIBILITY,
    }
    wanted = (
        "WAFNonexistentItemException" if case == "missing-set" else "WAFInvalidParameterException"
    )
    assert refused(waf.update_web_acl, **update, Rules=rules) == wanted


def test_a_network_acl_has_twenty_entries_and_each_number_once(emulator: Emulator) -> None:
    ec2 = emulator.client("ec2", ACCOUNT, REGION)
    acl = ec2.describe_network_acls()["NetworkAcls"][0]["NetworkAclId"]
    entry = {"NetworkAclId": acl, "Protocol": "-1", "RuleAction": "deny", "Egress": False}
    for number in range(1, 20):
        ec2.create_network_acl_entry(**entry, RuleNumber=number, CidrBlock="9.9.9.9/32")
    create = ec2.create_network_acl_entry
    more = {**entry, "CidrBlock": "9.9.9.9/32"}
    assert refused(create, **more, RuleNumber=1) == "NetworkAclEntryAlreadyExists"
    assert refused(create, **more, RuleNumber=50) == "NetworkAclEntryLimitExceeded"
    gone = {"NetworkAclId": acl, "RuleNumber": 50, "Egress": False}
    assert refused(ec2.delete_network_acl_entry, **gone) == "InvalidNetworkAclEntry.NotFound"
