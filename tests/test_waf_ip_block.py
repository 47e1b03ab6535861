"""Blocking addresses through web ACLs: what is blocked, what is refused, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest
from c7n.exceptions import PolicyValidationError

from c7n_secops_edge import protected
from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION, Custodian
from tests.waf_scene import BUCKET, Scene, blocking

WRITES = {"CreateIPSet", "UpdateIPSet", "UpdateWebACL"}


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's ranges are read once a process; here, once a test."""
    monkeypatch.setattr(protected, "_fetched", {})


@pytest.fixture
def scene(emulator: Emulator) -> Scene:
    return Scene(emulator)


@pytest.fixture
def web_acl(scene: Scene) -> str:
    """The web ACL of a load balancer."""
    arn = scene.web_acl()
    scene.load_balancer(arn)
    return arn


def writes(emulator: Emulator) -> list[str]:
    return [call.operation for call in emulator.calls("wafv2") if call.operation in WRITES]


def result(run: Any) -> dict[str, Any]:
    (row,) = run.action("waf-ip-block")["results"]
    found: dict[str, Any] = row
    return found


# --- the rule -------------------------------------------------------------------------------------


def test_an_address_is_blocked_in_the_web_acl_of_the_resource(
    custodian: Custodian, scene: Scene, web_acl: str
) -> None:
    said = result(custodian(blocking(["9.9.9.9", "2600::/64"])))
    assert said["outcome"] == "blocked"
    assert list(said["addresses"]) == ["9.9.9.9/32", "2600::/64"]
    assert said["web-acls"] == {"web": {"rule": "added", "priority": 0}}
    assert scene.blocked() == {"9.9.9.9/32", "2600:0000:0000:0000:0000:0000:0000:0000/64"}
    rule = scene.rules(web_acl)["secops-block"]
    assert rule["Action"] == {"Block": {}}
    slots = {row["ARN"] for row in scene.waf.list_ip_sets(Scope="REGIONAL")["IPSets"]}
    statements = rule["Statement"]["OrStatement"]["Statements"]
    assert {each["IPSetReferenceStatement"]["ARN"] for each in statements} == slots
    assert scene.whole(web_acl)["Capacity"] == 12


def test_the_allow_list_wins_before_writing_and_in_the_rule(
    custodian: Custodian, scene: Scene, web_acl: str
) -> None:
    allow = {"addresses": ["9.9.9.8/30"], "value_from": {"url": scene.put("a.txt", "8.8.8.8\n\n")}}
    said = result(custodian(blocking(["9.9.9.9", "8.8.8.0/29", "8.8.8.8"], allow=allow)))
    assert [(row["address"], row["code"]) for row in said["refused"]] == [
        ("9.9.9.9/32", "Allowed"),
        ("8.8.8.8/32", "Allowed"),
    ]
    assert scene.blocked() == {"8.8.8.0/29"}
    assert scene.allowed() == {"9.9.9.8/30", "8.8.8.8/32"}
    exempt, slots = scene.rules(web_acl)["secops-block"]["Statement"]["AndStatement"]["Statements"]
    arns = {
        each["IPSetReferenceStatement"]["ARN"].split("/")[-2]
        for each in exempt["NotStatement"]["Statement"]["OrStatement"]["Statements"]
    }
    assert arns == {"secops-block-allow-ipv4", "secops-block-allow-ipv6"}
    assert len(slots["OrStatement"]["Statements"]) == 12
    assert scene.whole(web_acl)["Capacity"] == 14


def test_of_a_range_only_what_is_not_allowed_is_blocked(
    custodian: Custodian, scene: Scene, web_acl: str
) -> None:
    said = result(custodian(blocking(["9.9.9.0/30"], allow={"addresses": ["9.9.9.2"]})))
    assert scene.blocked() == {"9.9.9.0/31", "9.9.9.3/32"}
    (refused,) = said["refused"]
    assert refused["still"] == ["9.9.9.0/31", "9.9.9.3/32"]


def test_a_changed_allow_list_reaches_the_rule_s_ip_sets_and_an_unchanged_one_costs_nothing(
    custodian: Custodian, emulator: Emulator, scene: Scene, web_acl: str
) -> None:
    custodian(blocking(["9.9.9.9"], allow={"addresses": ["8.8.8.8"]}))
    emulator.clear_calls()
    custodian(blocking(["9.9.9.9"], allow={"addresses": ["8.8.8.8/32"]}))
    assert writes(emulator) == []
    custodian(blocking(["9.9.9.9"], allow={"addresses": ["1.1.1.1"]}))
    assert scene.allowed() == {"1.1.1.1/32"}
    assert writes(emulator) == ["UpdateIPSet"]


@pytest.mark.parametrize(
    ("file", "text", "options"),
    [
        ("a.json", '{"offices": [{"cidr": "8.8.8.0/24"}]}', {"expr": "offices[].cidr"}),
        ("a.csv", "paris,8.8.8.0/24\nrome,8.8.4.0/24\n", {"expr": 1}),
        ("a.list", "8.8.8.0/24\n", {"format": "txt"}),
    ],
)
def test_an_allow_list_is_read_in_every_form_that_custodian_knows(
    custodian: Custodian, scene: Scene, web_acl: str, file: str, text: str, options: dict[str, Any]
) -> None:
    allow = {"value_from": {"url": scene.put(file, text), **options}}
    custodian(blocking(["8.8.8.8", "9.9.9.9"], allow=allow))
    assert scene.blocked() == {"9.9.9.9/32"}


def test_the_addresses_to_block_can_come_from_a_file(
    custodian: Custodian, scene: Scene, web_acl: str
) -> None:
    custodian(blocking({"value_from": {"url": scene.put("bad.txt", "9.9.9.9\nnonsense\n")}}))
    assert scene.blocked() == {"9.9.9.9/32"}


def test_who_is_allowed_later_is_let_through_at_once_though_nobody_is_blocked(
    custodian: Custodian, scene: Scene, web_acl: str
) -> None:
    custodian(blocking(["9.9.9.9"]))
    run = custodian(blocking(["10.0.0.1"], allow={"addresses": ["9.9.9.9"]}))
    assert result(run)["code"] == "NothingToBlock"
    assert scene.allowed() == {"9.9.9.9/32"}
    assert "AndStatement" in scene.rules(web_acl)["secops-block"]["Statement"]


def test_everything_else_of_a_web_acl_stays_as_it_is(custodian: Custodian, scene: Scene) -> None:
    rules = [
        {
            "Name": name,
            "Priority": priority,
            "Statement": {"GeoMatchStatement": {"CountryCodes": ["KP"]}},
            "Action": action,
            "RuleLabels": [{"Name": "x"}],
            "VisibilityConfig": {
                "SampledRequestsEnabled": False,
                "CloudWatchMetricsEnabled": False,
                "MetricName": name,
            },
        }
        for name, priority, action in (
            ("first", 0, {"Allow": {}}),
            ("second", 1, {"Block": {"CustomResponse": {"ResponseCode": 418}}}),
            ("later", 7, {"Count": {}}),
        )
    ]
    arn = scene.web_acl(
        Rules=rules,
        Description="the shop",
        TokenDomains=["example.com"],
        CaptchaConfig={"ImmunityTimeProperty": {"ImmunityTime": 90}},
        CustomResponseBodies={"no": {"ContentType": "TEXT_PLAIN", "Content": "no"}},
        AssociationConfig={"RequestBody": {"CLOUDFRONT": {"DefaultSizeInspectionLimit": "KB_32"}}},
    )
    scene.load_balancer(arn)
    before = scene.whole(arn)
    said = result(custodian(blocking(["9.9.9.9"])))
    after = scene.whole(arn)
    ours = next(rule for rule in after["Rules"] if rule["Name"] == "secops-block")
    assert ours["Priority"] == 2
    assert said["web-acls"]["web"] == {"rule": "added", "priority": 2, "behind": ["first"]}
    after["Rules"].remove(ours)
    assert {**after, "Capacity": 0} == {**before, "Capacity": 0}


@pytest.mark.parametrize(
    ("action", "written"), [("count", "Count"), ("captcha", "Captcha"), ("challenge", "Challenge")]
)
def test_a_rule_can_count_first_and_block_later(
    custodian: Custodian, scene: Scene, web_acl: str, action: str, written: str
) -> None:
    said = result(custodian(blocking(["9.9.9.9"], **{"rule-action": action})))
    assert said["outcome"] == ("counted" if action == "count" else "blocked")
    assert scene.rules(web_acl)["secops-block"]["Action"] == {written: {}}
    said = result(custodian(blocking(["9.9.9.9"])))
    assert said["web-acls"]["web"]["rule"] == "changed"
    assert said["outcome"] == "blocked"
    assert scene.rules(web_acl)["secops-block"]["Action"] == {"Block": {}}


def test_behind_a_proxy_the_header_s_address_counts(
    custodian: Custodian, scene: Scene, web_acl: str
) -> None:
    custodian(blocking(["9.9.9.9"], **{"forwarded-ip": {"header": "X-Forwarded-For"}}))
    statement = scene.rules(web_acl)["secops-block"]["Statement"]["OrStatement"]["Statements"][0]
    assert statement["IPSetReferenceStatement"]["IPSetForwardedIPConfig"] == {
        "HeaderName": "X-Forwarded-For",
        "FallbackBehavior": "NO_MATCH",
        "Position": "LAST",
    }
    given = {"header": "X-Forwarded-For", "position": "ANY", "fallback": "MATCH"}
    custodian(blocking(["9.9.9.9"], **{"forwarded-ip": given, "priority": 9}))
    rule = scene.rules(web_acl)["secops-block"]
    statement = rule["Statement"]["OrStatement"]["Statements"][0]
    config = statement["IPSetReferenceStatement"]["IPSetForwardedIPConfig"]
    assert (config["Position"], config["FallbackBehavior"]) == ("ANY", "MATCH")
    assert rule["Priority"] == 0, "a rule that is there keeps its place"


def test_a_second_run_changes_nothing(
    custodian: Custodian, emulator: Emulator, scene: Scene, web_acl: str
) -> None:
    data = blocking(["9.9.9.9", "2600::1"], allow={"addresses": ["8.8.8.8"]})
    custodian(data)
    emulator.clear_calls()
    said = result(custodian(data))
    assert (said["outcome"], said["code"]) == ("skipped", "AlreadyBlocked")
    assert writes(emulator) == []


def test_a_dry_run_says_what_would_be_blocked_and_writes_nothing(
    custodian: Custodian, emulator: Emulator, scene: Scene, web_acl: str
) -> None:
    run = custodian(blocking(["9.9.9.9", "10.0.0.1"], duration=30), dryrun=True)
    (row,) = run._json("plan.json", None)
    assert (row["block"], row["minutes"], row["web-acls"]) == (["9.9.9.9/32"], 30, ["web"])
    assert [refused["address"] for refused in row["refused"]] == ["10.0.0.1/32"]
    assert writes(emulator) == []


def test_two_that_change_a_web_acl_at_once_both_succeed(
    custodian: Custodian, emulator: Emulator, scene: Scene, web_acl: str
) -> None:
    emulator.fault("wafv2", "UpdateWebACL", code="WAFOptimisticLockException", times=2)
    assert result(custodian(blocking(["9.9.9.9"])))["outcome"] == "blocked"
    assert "secops-block" in scene.rules(web_acl)


# --- where ----------------------------------------------------------------------------------------


def test_a_distribution_s_web_acl_is_reached_through_us_east_1(
    custodian: Custodian, emulator: Emulator, scene: Scene
) -> None:
    arn = scene.web_acl(scope="CLOUDFRONT")
    emulator.client("cloudfront", ACCOUNT, REGION).create_distribution(
        DistributionConfig={
            "CallerReference": "a",
            "Comment": "",
            "Enabled": True,
            "WebACLId": arn,
            "Origins": {
                "Quantity": 1,
                "Items": [
                    {
                        "Id": "o",
                        "DomainName": "b.s3.amazonaws.com",
                        "S3OriginConfig": {"OriginAccessIdentity": ""},
                    }
                ],
            },
            "DefaultCacheBehavior": {"TargetOriginId": "o", "ViewerProtocolPolicy": "https-only"},
        }
    )
    said = result(custodian(blocking(["9.9.9.9"], resource="aws.distribution"), region="eu-west-1"))
    assert (said["scope"], said["outcome"]) == ("CLOUDFRONT", "blocked")
    assert scene.blocked(scope="CLOUDFRONT") == {"9.9.9.9/32"}
    assert scene.blocked() == set()
    assert {call.region for call in emulator.calls("wafv2", "UpdateIPSet")} == {"us-east-1"}


def test_an_api_s_stage_is_protected_in_its_region(
    custodian: Custodian, emulator: Emulator, scene: Scene
) -> None:
    gateway = emulator.client("apigateway", ACCOUNT, REGION)
    api = gateway.create_rest_api(name="shop")["id"]
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    gateway.put_method(restApiId=api, resourceId=root, httpMethod="GET", authorizationType="NONE")
    gateway.put_integration(restApiId=api, resourceId=root, httpMethod="GET", type="MOCK")
    gateway.create_deployment(restApiId=api, stageName="live")
    arn = scene.web_acl()
    stage = f"arn:aws:apigateway:{REGION}::/restapis/{api}/stages/live"
    scene.waf.associate_web_acl(WebACLArn=arn, ResourceArn=stage)
    said = result(custodian(blocking(["9.9.9.9"], resource="aws.rest-stage")))
    assert said["outcome"] == "blocked"
    assert "secops-block" in scene.rules(arn)


def test_web_acls_themselves_are_given_the_rule(custodian: Custodian, scene: Scene) -> None:
    arns = [scene.web_acl("one"), scene.web_acl("two")]
    run = custodian(blocking(["9.9.9.9"], resource="aws.wafv2"))
    assert run.action("waf-ip-block")["counts"] == {"blocked": 2}
    assert all("secops-block" in scene.rules(arn) for arn in arns)


def test_several_resources_share_one_write(
    custodian: Custodian, emulator: Emulator, scene: Scene
) -> None:
    arn = scene.web_acl()
    scene.load_balancer(arn, "one")
    scene.load_balancer(arn, "two")
    run = custodian(blocking(["9.9.9.9"]))
    assert run.action("waf-ip-block")["counts"] == {"blocked": 2}
    assert writes(emulator).count("UpdateIPSet") == 1
    assert writes(emulator).count("UpdateWebACL") == 1


def test_named_web_acls_get_the_rule_and_others_do_not(custodian: Custodian, scene: Scene) -> None:
    named, other = scene.web_acl("named", "CLOUDFRONT"), scene.web_acl("other", "CLOUDFRONT")
    data = blocking(["9.9.9.9"], resource="aws.account", scope="CLOUDFRONT")
    data["actions"][0]["web-acls"] = ["named"]
    said = result(custodian(data))
    assert (said["outcome"], list(said["web-acls"])) == ("blocked", ["named"])
    assert "secops-block" in scene.rules(named)
    assert scene.rules(other) == {}


def test_a_resource_without_a_web_acl_fails_and_nothing_is_written(
    custodian: Custodian, emulator: Emulator, scene: Scene
) -> None:
    scene.load_balancer()
    said = result(custodian(blocking(["9.9.9.9"])))
    assert (said["outcome"], said["code"]) == ("failed", "NoWebAcl")
    assert writes(emulator) == []


def test_a_web_acl_that_cannot_be_changed_is_told_and_the_others_are(
    custodian: Custodian, emulator: Emulator, scene: Scene
) -> None:
    arns = [scene.web_acl("one"), scene.web_acl("two")]
    emulator.fault("wafv2", "UpdateWebACL", code="AccessDeniedException", times=1)
    run = custodian(blocking(["9.9.9.9"], resource="aws.wafv2"))
    counts = run.action("waf-ip-block")["counts"]
    assert counts == {"partial": 1, "blocked": 1}
    assert [row["code"] for row in run.action("waf-ip-block")["results"] if "code" in row] == [
        "AccessDeniedException"
    ]
    assert sum("secops-block" in scene.rules(arn) for arn in arns) == 1


# --- whom not -------------------------------------------------------------------------------------


def test_hostile_texts_are_refused_one_by_one_and_the_rest_is_blocked(
    custodian: Custodian, scene: Scene, web_acl: str
) -> None:
    texts = ["9.9.9.9", "9.9.9.9/8", "9.9.0.0/16", "0.0.0.0/0", "::/0", "2600::/32", "1.2.3", "::"]
    texts += [
        "10.1.2.3",
        "127.0.0.1",
        "192.0.2.1",
        "224.0.0.5",
        "2001:db8::1",
        "fe80::1",
        "100.64.0.9",
    ]
    texts += ["::ffff:8.8.8.8", "15.177.3.4", "13.124.199.7", "2600:9000:5200::5"]
    said = result(custodian(blocking(texts)))
    assert scene.blocked() == {"9.9.9.9/32", "8.8.8.8/32"}
    why = {row["address"]: row["code"] for row in said["refused"]}
    assert len(why) == len(texts) - 2
    assert {address for address, code in why.items() if code == "Malformed"} == {
        "'9.9.9.9/8'",
        "'1.2.3'",
    }
    assert {address for address, code in why.items() if code == "TooWide"} == {
        "9.9.0.0/16",
        "0.0.0.0/0",
        "::/0",
        "2600::/32",
    }


def test_this_account_s_own_addresses_are_never_blocked(
    custodian: Custodian, emulator: Emulator, scene: Scene, web_acl: str
) -> None:
    ec2 = emulator.client("ec2", ACCOUNT, REGION)
    own = ec2.allocate_address(Domain="vpc")["PublicIp"]
    range_ = f"{own.rpartition('.')[0]}.0/24"
    data = blocking([own, "9.9.9.9"], protect=["own-eips"])
    said = result(custodian(data))
    assert [row["address"] for row in said["refused"]] == [f"{own}/32"]
    said = result(custodian(blocking([range_], protect=["own-eips"])))
    assert f"{own}/32" not in said["addresses"]
    assert len(said["addresses"]) == 8, "a /24 without one address is eight ranges"


def test_what_protect_does_not_name_is_not_protected(
    custodian: Custodian, scene: Scene, web_acl: str
) -> None:
    custodian(blocking(["10.1.2.3", "13.124.199.7"], protect=[]))
    assert scene.blocked() == {"10.1.2.3/32", "13.124.199.7/32"}


def test_min_prefix_decides_how_wide_a_range_may_be(
    custodian: Custodian, scene: Scene, web_acl: str
) -> None:
    wide = blocking(["9.9.0.0/16"], **{"min-prefix": {"ipv4": 16}})
    custodian(wide)
    assert scene.blocked() == {"9.9.0.0/16"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"ip-ranges": f"s3://{BUCKET}/none.json"}, "none.json cannot be read"),
        ({"ip-ranges": f"s3://{BUCKET}/text"}, "is not a list of AWS's ranges"),
        ({"ip-ranges": f"s3://{BUCKET}/empty.json"}, "has no range of ROUTE53_HEALTHCHECKS"),
        ({"ip-ranges": "https://127.0.0.1:9/ip-ranges.json"}, "cannot be read"),
        ({"allow": {"value_from": {"url": f"s3://{BUCKET}/none.txt"}}}, "none.txt cannot be read"),
        ({"allow": {"value_from": {"url": f"s3://{BUCKET}/slip.txt"}}}, "'8.8.8' is not an add"),
        ({"allow": {"value_from": {"url": f"s3://{BUCKET}/{{list}}.txt"}}}, "was not expanded"),
    ],
)
def test_where_it_is_not_known_whom_to_protect_nobody_is_blocked(
    custodian: Custodian,
    emulator: Emulator,
    scene: Scene,
    web_acl: str,
    options: dict[str, Any],
    reason: str,
) -> None:
    scene.put("text", "<html>")
    scene.put("empty.json", '{"prefixes": [], "ipv6_prefixes": []}')
    scene.put("slip.txt", "8.8.8\n")
    said = result(custodian(blocking(["9.9.9.9"], **options)))
    assert (said["outcome"], said["code"]) == ("failed", "ProtectionUnknown")
    assert said["reason"].startswith("nothing was blocked: ")
    assert reason in said["reason"]
    assert writes(emulator) == []


@pytest.mark.parametrize(
    ("service", "operation"),
    [("wafv2", "ListIPSets"), ("wafv2", "GetWebACLForResource"), ("ec2", "DescribeAddresses")],
)
def test_a_refused_read_is_reported_and_nobody_is_blocked(
    custodian: Custodian,
    emulator: Emulator,
    scene: Scene,
    web_acl: str,
    service: str,
    operation: str,
) -> None:
    emulator.fault(service, operation, code="AccessDeniedException", times=None)
    run = custodian(blocking(["9.9.9.9"]))
    assert result(run)["outcome"] == "not-evaluated"
    assert [row["code"] for row in run.not_evaluated] == ["AccessDeniedException"]
    assert writes(emulator) == []


def test_a_refused_write_is_a_failure(
    custodian: Custodian, emulator: Emulator, scene: Scene, web_acl: str
) -> None:
    emulator.fault("wafv2", "UpdateIPSet", code="AccessDeniedException", times=None)
    said = result(custodian(blocking(["9.9.9.9"])))
    assert (said["outcome"], said["code"]) == ("failed", "AccessDeniedException")


def test_an_ip_set_of_somebody_else_in_the_ring_stops_the_block(
    custodian: Custodian, emulator: Emulator, scene: Scene, web_acl: str
) -> None:
    scene.waf.create_ip_set(
        Name="secops-block-ipv4-0",
        Scope="REGIONAL",
        IPAddressVersion="IPV4",
        Addresses=["1.1.1.1/32"],
    )
    emulator.clear_calls()
    said = result(custodian(blocking(["9.9.9.9"])))
    assert (said["outcome"], said["code"]) == ("failed", "ForeignIpSet")
    assert writes(emulator) == []


# --- how many -------------------------------------------------------------------------------------


def test_too_many_new_addresses_at_once_block_nobody(
    custodian: Custodian, emulator: Emulator, scene: Scene, web_acl: str
) -> None:
    many = [f"9.9.{number}.1" for number in range(6)]
    said = result(custodian(blocking(many, **{"max-new": 5})))
    assert (said["outcome"], said["code"]) == ("failed", "TooManyNew")
    assert writes(emulator) == []
    custodian(blocking(many[:4], **{"max-new": 5}))
    said = result(custodian(blocking(many, **{"max-new": 5})))
    assert said["outcome"] == "blocked", "only two of the six are new"


def test_many_hosts_of_a_network_are_blocked_as_the_network(
    custodian: Custodian, scene: Scene, web_acl: str
) -> None:
    hosts = [f"9.9.9.{number}" for number in range(2, 6)]
    few = [f"8.8.8.{number}" for number in range(2, 5)]
    six = [f"2600::{number}" for number in range(2, 6)]
    custodian(
        blocking(
            [*hosts, *few, *six],
            widen={"ipv4": 24, "ipv6": 64, "min-hosts": 4},
            allow={"addresses": ["9.9.9.128/25"]},
        )
    )
    assert scene.blocked() == {
        "9.9.9.0/25",
        "8.8.8.2/32",
        "8.8.8.3/32",
        "8.8.8.4/32",
        "2600:0000:0000:0000:0000:0000:0000:0000/64",
    }


def fill_slot(scene: Scene, room: int) -> None:
    """Leaves room for so many addresses in the slots of today, none of which touch."""
    for row in scene.waf.list_ip_sets(Scope="REGIONAL")["IPSets"]:
        held = scene.waf.get_ip_set(Name=row["Name"], Scope="REGIONAL", Id=row["Id"])
        if held["IPSet"]["Addresses"]:
            taken = [f"11.{n >> 7 & 255}.{(n & 127) * 2}.1/32" for n in range(10_000 - room)]
            scene.waf.update_ip_set(
                Name=row["Name"],
                Scope="REGIONAL",
                Id=row["Id"],
                Addresses=taken,
                LockToken=held["LockToken"],
                Description=row["Description"],
            )


def test_a_full_set_takes_what_it_can_or_nothing_as_the_policy_says(
    custodian: Custodian, scene: Scene, web_acl: str
) -> None:
    custodian(blocking(["9.9.9.9"], duration=1440))
    fill_slot(scene, room=1)
    options: dict[str, Any] = {"duration": 1440, "on-full": "fail"}
    said = result(custodian(blocking(["9.9.1.1", "9.9.3.1"], **options)))
    assert (said["outcome"], said["code"]) == ("failed", "OverCapacity")
    assert not {"9.9.1.1/32", "9.9.3.1/32"} & scene.blocked()
    options["on-full"] = "rank"
    said = result(custodian(blocking(["9.9.1.1", "9.9.3.1"], **options)))
    assert (said["outcome"], said["code"]) == ("partial", "OverCapacity")
    assert said["left-out"] == ["9.9.3.1/32"]
    assert list(said["addresses"]) == ["9.9.1.1/32"]
    assert "9.9.1.1/32" in scene.blocked()


def test_a_run_that_blocks_takes_expired_blocks_away(
    custodian: Custodian, scene: Scene, web_acl: str
) -> None:
    data = blocking(["9.9.9.9"], duration=5, slots=3)
    custodian(data)
    scene.let_time_pass()
    custodian(blocking(["10.0.0.1"], duration=5, slots=3))
    assert scene.blocked() == set()


# --- a policy's author ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "options", "message"),
    [
        ("aws.app-elb", {"from": "annotation"}, "add http-flood"),
        ("aws.app-elb", {"from": "event"}, "set mode.type to guard-duty"),
        ("aws.account", {}, "set web-acls to names or to all"),
        ("aws.app-elb", {"web-acls": "all"}, "name the web ACLs"),
        ("aws.app-elb", {"scope": "REGIONAL"}, "scope follows from the resource"),
        ("aws.app-elb", {"direction": "ANY"}, "set from: event"),
        ("aws.app-elb", {"widen": {"ipv4": 20}}, "widen.ipv4 is wider than min-prefix.ipv4, 24"),
    ],
)
def test_what_does_not_fit_together_is_an_error(
    custodian: Custodian, resource: str, options: dict[str, Any], message: str
) -> None:
    data = blocking(["9.9.9.9"], resource=resource)
    data["actions"][0] |= options
    with pytest.raises(PolicyValidationError, match=message):
        custodian(data)


@pytest.mark.parametrize(
    "options",
    [
        {"name": "a b"},
        {"duration": 1},
        {"slots": 2},
        {"ip-ranges": "http://ip-ranges.amazonaws.com/ip-ranges.json"},
        {"ip-ranges": "file:///etc/passwd"},
        {"protect": ["nobody"]},
        {"from": {}},
        {"min-prefix": {"ipv4": 0}},
        {"on-full": "spill"},
        {"surprise": 1},
    ],
)
def test_the_schema_refuses_what_it_does_not_know(
    custodian: Custodian, options: dict[str, Any]
) -> None:
    data = blocking(["9.9.9.9"])
    data["actions"][0] |= options
    with pytest.raises(PolicyValidationError):
        custodian(data)
