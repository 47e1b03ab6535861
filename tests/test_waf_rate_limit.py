"""The rate-based rule: put in, changed, taken out, and nothing else touched."""

from __future__ import annotations

from typing import Any

import pytest
from c7n.exceptions import PolicyValidationError

from tests.emulator import Emulator
from tests.harness import Custodian
from tests.waf_scene import VISIBILITY, Scene

POLICY = "app-elb-rate-limit"


@pytest.fixture
def scene(emulator: Emulator) -> Scene:
    return Scene(emulator)


@pytest.fixture
def web_acl(scene: Scene) -> str:
    arn = scene.web_acl(
        TokenDomains=["example.com"],
        Rules=[
            {
                "Name": "managed",
                "Priority": 0,
                "OverrideAction": {"None": {}},
                "VisibilityConfig": VISIBILITY,
                "Statement": {
                    "ManagedRuleGroupStatement": {
                        "VendorName": "AWS",
                        "Name": "AWSManagedRulesCommonRuleSet",
                    }
                },
            }
        ],
    )
    scene.load_balancer(arn)
    return arn


def limiting(resource: str = "aws.app-elb", **options: Any) -> dict[str, Any]:
    action = {"type": "waf-rate-limit", "name": "secops-rate", **options}
    return {"name": "limit", "resource": resource, "actions": [action]}


def outcomes(run: Any) -> list[str]:
    return [row["outcome"] for row in run.action("waf-rate-limit")["results"]]


def updates(emulator: Emulator) -> int:
    return len(emulator.calls("wafv2", "UpdateWebACL"))


def test_the_shipped_rule_counts_and_leaves_the_others(
    custodian: Custodian, scene: Scene, web_acl: str
) -> None:
    before = scene.whole(web_acl)
    assert outcomes(custodian(POLICY)) == ["changed"]
    after = scene.whole(web_acl)
    managed, ours = after["Rules"]
    assert managed == before["Rules"][0]
    assert (ours["Name"], ours["Priority"], ours["Action"]) == ("secops-rate", 1, {"Count": {}})
    assert ours["Statement"] == {
        "RateBasedStatement": {
            "Limit": 2000,
            "EvaluationWindowSec": 300,
            "AggregateKeyType": "IP",
        }
    }
    assert after["TokenDomains"] == ["example.com"]


def test_a_second_run_changes_nothing(
    custodian: Custodian, emulator: Emulator, scene: Scene, web_acl: str
) -> None:
    custodian(POLICY)
    assert outcomes(custodian(POLICY)) == ["skipped"]
    assert updates(emulator) == 1


def test_only_resources_whose_owner_allows_it_are_changed(
    custodian: Custodian, emulator: Emulator, scene: Scene
) -> None:
    arn = scene.web_acl()
    balancer = scene.load_balancer(arn)
    emulator.client("elbv2").remove_tags(ResourceArns=[balancer], TagKeys=["c7n-secops:edge"])
    assert custodian(POLICY).resources == []
    assert updates(emulator) == 0


@pytest.mark.parametrize(
    ("options", "where", "value"),
    [
        ({"limit": 10}, "Limit", 10),
        ({"window": 60}, "EvaluationWindowSec", 60),
        (
            {
                "aggregate": "FORWARDED_IP",
                "forwarded-ip": {"header": "True-Client-IP", "fallback": "MATCH"},
            },
            "ForwardedIPConfig",
            {"HeaderName": "True-Client-IP", "FallbackBehavior": "MATCH"},
        ),
    ],
)
def test_a_changed_policy_changes_the_rule_in_its_place(
    custodian: Custodian,
    scene: Scene,
    web_acl: str,
    options: dict[str, Any],
    where: str,
    value: Any,
) -> None:
    custodian(limiting(priority=5))
    run = custodian(limiting(**options))
    (row,) = run.action("waf-rate-limit")["results"]
    assert row["web-acls"] == {"web": {"rule": "changed", "priority": 5}}
    rule = scene.rules(web_acl)["secops-rate"]
    assert rule["Statement"]["RateBasedStatement"][where] == value
    assert rule["Action"] == {"Block": {}}


def test_it_can_be_taken_out_again(
    custodian: Custodian, emulator: Emulator, scene: Scene, web_acl: str
) -> None:
    custodian(limiting(**{"rule-action": "challenge"}))
    assert scene.rules(web_acl)["secops-rate"]["Action"] == {"Challenge": {}}
    assert outcomes(custodian(limiting(mode="remove"))) == ["changed"]
    assert list(scene.rules(web_acl)) == ["managed"]
    assert outcomes(custodian(limiting(mode="remove"))) == ["skipped"]
    assert updates(emulator) == 2
    assert outcomes(custodian(limiting(mode="ensure"))) == ["changed"]


def test_a_dry_run_shows_the_rule_and_changes_nothing(
    custodian: Custodian, emulator: Emulator, scene: Scene, web_acl: str
) -> None:
    (row,) = custodian(limiting(limit=50), dryrun=True)._json("plan.json", None)
    assert row["web-acls"] == ["web"]
    assert row["wanted"]["Statement"]["RateBasedStatement"]["Limit"] == 50
    assert updates(emulator) == 0


def test_an_account_s_web_acls_are_taken_by_scope_and_name(
    custodian: Custodian, scene: Scene
) -> None:
    arns = [
        scene.web_acl(name, scope)
        for name, scope in (("a", "REGIONAL"), ("b", "REGIONAL"), ("a-edge", "CLOUDFRONT"))
    ]
    custodian(limiting("aws.account", scope="REGIONAL", **{"web-acls": ["a", "a-edge"]}))
    assert ["secops-rate" in scene.rules(arn) for arn in arns] == [True, False, False]
    assert outcomes(custodian(limiting("aws.account", **{"web-acls": "all"}))) == ["changed"] * 2
    assert ["secops-rate" in scene.rules(arn) for arn in arns] == [True, True, True]


def test_without_a_web_acl_it_fails(custodian: Custodian, scene: Scene) -> None:
    scene.load_balancer()
    run = custodian(limiting())
    assert [row["code"] for row in run.action("waf-rate-limit")["results"]] == ["NoWebAcl"]


def test_a_refused_read_is_not_evaluated_and_a_refused_change_fails(
    custodian: Custodian, emulator: Emulator, scene: Scene, web_acl: str
) -> None:
    emulator.fault("wafv2", "GetWebACLForResource", code="AccessDeniedException", times=1)
    run = custodian(limiting())
    assert outcomes(run) == ["not-evaluated"]
    assert [row["code"] for row in run.not_evaluated] == ["AccessDeniedException"]
    emulator.fault("wafv2", "UpdateWebACL", code="AccessDeniedException", times=1)
    assert outcomes(custodian(limiting())) == ["failed"]


def test_another_writer_in_between_is_no_failure(
    custodian: Custodian, emulator: Emulator, scene: Scene, web_acl: str
) -> None:
    emulator.fault("wafv2", "UpdateWebACL", code="WAFOptimisticLockException", times=2)
    assert outcomes(custodian(limiting())) == ["changed"]


@pytest.mark.parametrize(
    "options", [{"limit": 9}, {"window": 90}, {"aggregate": "URI"}, {"mode": "count"}]
)
def test_what_aws_does_not_take_is_refused_by_the_schema(
    custodian: Custodian, options: dict[str, Any]
) -> None:
    with pytest.raises(PolicyValidationError):
        custodian(limiting(**options))


@pytest.mark.parametrize(
    "options", [{"aggregate": "FORWARDED_IP"}, {"forwarded-ip": {"header": "X-Forwarded-For"}}]
)
def test_a_forwarded_address_needs_its_header(
    custodian: Custodian, options: dict[str, Any]
) -> None:
    with pytest.raises(PolicyValidationError, match="together; set or remove both"):
        custodian(limiting(**options))
