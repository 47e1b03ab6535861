"""Findings forwarded from every region to one place: the action, its check, and what arrives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from c7n.config import Config
from c7n.exceptions import PolicyExecutionError, PolicyValidationError

from c7n_secops_tools.testing.runs import Run, load_policy
from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION
from tests.inspector_data import policy, sample_event

MEMBER, HOME = "222222222222", "eu-west-1"
BUS = f"arn:aws:events:{HOME}:{ACCOUNT}:event-bus/security"
VARS = {"security_account": ACCOUNT, "security_bus": BUS}
MUTATING = ("PutRule", "PutTargets")
RULES = [f"c7n-secops-forward-{source}" for source in ("inspector", "guardduty", "membership")]
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:security-findings"
TO_QUEUE = {"to": QUEUE, "account": ACCOUNT}


def action(**keys: Any) -> dict[str, Any]:
    return policy(resource="aws.account", actions=[{"type": "forward-findings", **keys}])


def check(**keys: Any) -> dict[str, Any]:
    block = {"type": "findings-forwarded", "status": ["forwarded"], **keys}
    return policy(block, resource="aws.account")


def loaded(data: dict[str, Any], account: str = MEMBER) -> None:
    load_policy(data, Config.empty(region=REGION, regions=[REGION], account_id=account))


def changes(emulator: Emulator) -> list[str]:
    return [call.operation for call in emulator.calls("events") if call.operation in MUTATING]


def said(run: Run) -> dict[str, tuple[str, str]]:
    results = run.action("forward-findings")["results"]
    return {row["source"]: (row["outcome"], row["code"]) for row in results}


def statuses(run: Run) -> dict[str, str]:
    return {
        row["Source"]: row["Status"]
        for resource in run.resources
        for row in resource["c7n:FindingsForwarded"]
    }


def queue(emulator: Emulator, account: str = ACCOUNT, region: str = REGION) -> Any:
    sqs = emulator.client("sqs", account, region)
    url = sqs.create_queue(QueueName="security-findings")["QueueUrl"]

    def received() -> list[dict[str, Any]]:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", ())]

    return received


def finding() -> dict[str, Any]:
    event = sample_event("inspector2-ec2-package-closed-2024.json", "i-0123456789abcdef0")
    return {**event, "account": MEMBER}


def test_findings_of_a_member_s_region_arrive_on_the_security_bus(emulator, custodian):
    central = emulator.client("events", ACCOUNT, HOME)
    central.create_event_bus(Name="security")
    received = queue(emulator, ACCOUNT, HOME)
    pattern = json.dumps({"account": [MEMBER]})
    central.put_rule(Name="all", EventBusName="security", EventPattern=pattern)
    target = {"Id": "queue", "Arn": QUEUE.replace(REGION, HOME)}
    central.put_targets(Rule="all", EventBusName="security", Targets=[target])

    run = custodian("findings-forward", account=MEMBER, vars=VARS)
    assert set(said(run).values()) == {("changed", "Put")}
    emulator.deliver_event(MEMBER, REGION, finding())
    left = {
        "source": "aws.guardduty",
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {"eventName": "DisassociateFromAdministratorAccount"},
    }
    emulator.deliver_event(MEMBER, REGION, left)
    emulator.deliver_event(MEMBER, REGION, {**left, "detail": {"eventName": "ListMembers"}})
    emulator.deliver_event(MEMBER, REGION, {"source": "aws.ec2", "detail-type": "EC2 Instance"})
    arrived = received()
    assert sorted(event["source"] for event in arrived) == ["aws.guardduty", "aws.inspector2"]
    assert {(event["account"], event["region"]) for event in arrived} == {(MEMBER, REGION)}


def test_forwarding_again_changes_nothing(emulator, custodian):
    custodian("findings-forward", account=MEMBER, vars=VARS)
    emulator.clear_calls()
    run = custodian("findings-forward", account=MEMBER, vars=VARS)
    assert set(said(run).values()) == {("skipped", "forwarded")}
    assert changes(emulator) == []
    assert custodian("findings-not-forwarded", account=MEMBER, vars=VARS).resources == []


def test_a_region_without_forwarding_is_found(emulator, custodian):
    run = custodian("findings-not-forwarded", account=MEMBER, vars=VARS)
    sources = ("inspector", "guardduty", "membership")
    assert statuses(run) == dict.fromkeys(sources, "missing")
    custodian("findings-forward", account=MEMBER, vars=VARS)
    run = custodian("findings-not-forwarded", account=MEMBER, region=HOME, vars=VARS)
    assert len(run.resources) == 1


@pytest.mark.parametrize(
    ("damage", "status", "calls"),
    [
        ("disable", "disabled", ["PutRule"]),
        ("pattern", "different", ["PutRule"]),
        ("target", "different", ["PutTargets"]),
        ("no-target", "different", ["PutTargets"]),
        ("disable and target", "disabled", ["PutRule", "PutTargets"]),
    ],
)
def test_what_differs_is_found_and_made_right_and_nothing_else(
    emulator, custodian, damage, status, calls
):
    custodian(action(**TO_QUEUE), account=MEMBER)
    events, name = emulator.client("events", MEMBER, REGION), "c7n-secops-forward-guardduty"
    if "disable" in damage:
        events.disable_rule(Name=name)
    if damage == "pattern":
        events.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.ec2"]}))
    if damage == "no-target":
        events.remove_targets(Rule=name, Ids=["c7n-secops"])
    elif "target" in damage:
        other = {"Id": "c7n-secops", "Arn": f"{QUEUE}-other"}
        events.put_targets(Rule=name, Targets=[other, {"Id": "theirs", "Arn": QUEUE}])
    found = custodian(check(**TO_QUEUE, status=[status]), account=MEMBER)
    assert statuses(found) == {"guardduty": status}
    emulator.clear_calls()
    run = custodian(action(**TO_QUEUE), account=MEMBER)
    assert said(run) == {"inspector": ("skipped", "forwarded"), "guardduty": ("changed", "Put")}
    assert changes(emulator) == calls
    targets = events.list_targets_by_rule(Rule=name)["Targets"]
    assert {row["Id"]: row["Arn"] for row in targets}["c7n-secops"] == QUEUE
    assert ("theirs" in {row["Id"] for row in targets}) is ("target" in damage.split())
    assert events.describe_rule(Name=name)["State"] == "ENABLED"


def test_the_target_has_the_role_and_the_queue_for_what_was_not_delivered(emulator, custodian):
    role, dead = f"arn:aws:iam::{MEMBER}:role/forward", f"arn:aws:sqs:{REGION}:{MEMBER}:dead"
    keys = {"to": BUS, "account": ACCOUNT, "role": role, "dead-letter": dead}
    run = custodian(action(**keys, rule="acme", sources=["inspector"]), account=MEMBER)
    assert [row["rule"] for row in run.action("forward-findings")["results"]] == ["acme-inspector"]
    events = emulator.client("events", MEMBER, REGION)
    assert events.list_targets_by_rule(Rule="acme-inspector")["Targets"] == [
        {"Id": "c7n-secops", "Arn": BUS, "RoleArn": role, "DeadLetterConfig": {"Arn": dead}}
    ]


def test_a_bus_does_not_forward_to_itself(emulator, custodian):
    keys = {
        "to": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default",
        "account": ACCOUNT,
        "role": f"arn:aws:iam::{ACCOUNT}:role/forward",
        "sources": ["inspector"],
    }
    assert said(custodian(action(**keys))) == {"inspector": ("skipped", "target")}
    assert changes(emulator) == []
    assert statuses(custodian(check(**keys, status=["target"]))) == {"inspector": "target"}
    elsewhere = custodian(action(**keys), region=HOME)
    assert said(elsewhere) == {"inspector": ("changed", "Put")}


def test_a_dry_run_says_which_rules_would_be_put(emulator, custodian):
    custodian(action(**TO_QUEUE, sources=["guardduty"]), account=MEMBER)
    emulator.clear_calls()
    run = custodian(action(**TO_QUEUE), account=MEMBER, dryrun=True)
    rows = {row["rule"]: row for row in run._json("plan.json", [])}
    assert rows["c7n-secops-forward-inspector"]["put"] == "there is no such rule"
    assert rows["c7n-secops-forward-guardduty"]["skipped"] == f"to {QUEUE}"
    assert changes(emulator) == []


def test_a_rule_that_cannot_be_put_does_not_stop_the_others(emulator, custodian):
    emulator.fault("events", "PutRule", code="ManagedRuleException", times=1)
    run = custodian(action(**TO_QUEUE), account=MEMBER)
    assert said(run) == {
        "inspector": ("failed", "ManagedRuleException"),
        "guardduty": ("changed", "Put"),
    }


@pytest.mark.parametrize("operation", ["DescribeRule", "ListTargetsByRule"])
def test_a_refused_read_is_reported_and_changes_nothing(emulator, custodian, operation):
    custodian(action(**TO_QUEUE), account=MEMBER)
    emulator.clear_calls()
    denied = {"code": "AccessDeniedException", "status": 400, "times": None}
    emulator.fault("events", operation, **denied)
    run = custodian(action(**TO_QUEUE), account=MEMBER)
    (row,) = run.action("forward-findings")["results"]
    assert (row["outcome"], row["code"]) == ("not-evaluated", "AccessDeniedException")
    assert changes(emulator) == []
    every = ["missing", "different", "disabled", "forwarded"]
    run = custodian(check(**TO_QUEUE, status=every), account=MEMBER)
    assert run.resources == []
    assert [row["code"] for row in run.not_evaluated] == ["AccessDeniedException"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"to": QUEUE, "account": MEMBER}, "is in account 111111111111, not in account 2222"),
        ({"to": f"{QUEUE}.fifo", "account": ACCOUNT}, "must be a standard topic or queue"),
        ({"to": QUEUE.replace(REGION, HOME), "account": ACCOUNT}, "must be a standard topic or q"),
        ({"to": BUS, "account": ACCOUNT}, "takes a role"),
        ({"to": "arn:aws:s3:::bucket", "account": ACCOUNT}, "is no ARN of an event bus"),
        ({"to": BUS.replace("event-bus/", ""), "account": ACCOUNT}, "is no ARN of an event bus"),
        ({**TO_QUEUE, "dead-letter": f"{QUEUE}.fifo"}, "no ARN of a standard queue"),
        ({**TO_QUEUE, "dead-letter": QUEUE.replace(REGION, HOME)}, "standard queue of the region"),
    ],
)
def test_a_destination_that_cannot_be_is_refused_before_any_call(keys, message):
    for data in (action(**keys), check(**keys)):
        with pytest.raises(PolicyValidationError, match=message):
            loaded(data)


def test_a_destination_that_nothing_expanded_ends_the_run(emulator, custodian):
    with pytest.raises(PolicyExecutionError, match=r"to is \{security_bus\}, which nothing"):
        custodian("findings-forward", account=MEMBER, vars={"security_account": ACCOUNT})
    assert emulator.calls("events") == []


def test_inside_not_the_check_is_refused():
    with pytest.raises(PolicyValidationError, match="cannot be inside not"):
        loaded(policy({"not": check(**TO_QUEUE)["filters"]}, resource="aws.account"))
