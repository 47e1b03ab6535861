"""Two-person approval: who counts as two, and what is not known."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest
from c7n.exceptions import PolicyValidationError

from tests.emulator import Emulator
from tests.emulator.organisation import ADMINISTRATOR, create_role, trust
from tests.harness import ACCOUNT, REGION, Custodian
from tests.inspector_data import policy, validate

CASE = "INC-42"
KEY = "c7n-secops:release"
REQUESTED, APPROVED = f"{KEY}-requested", f"{KEY}-approved"
APPROVAL = "c7n:TwoPersonApproval"


def launch(emulator: Emulator, number: int = 1, case: str = CASE) -> list[str]:
    """Start instances that are part of a case."""
    answer = emulator.client("ec2", ACCOUNT, REGION).run_instances(
        ImageId="ami-12345678", MinCount=number, MaxCount=number
    )
    ids = [instance["InstanceId"] for instance in answer["Instances"]]
    emulator.client("ec2", ACCOUNT, REGION).create_tags(
        Resources=ids, Tags=[{"Key": "c7n-secops:case", "Value": case}]
    )
    return ids


def client_of(emulator: Emulator, credentials: dict[str, str]) -> Any:
    session = boto3.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials.get("SessionToken"),
        region_name=REGION,
    )
    return session.client("ec2", endpoint_url=emulator.url)


def user(emulator: Emulator, name: str) -> Any:
    """An EC2 client of an IAM user."""
    iam = emulator.client("iam", ACCOUNT)
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=json.dumps(ADMINISTRATOR))
    return client_of(emulator, iam.create_access_key(UserName=name)["AccessKey"])


def session(emulator: Emulator, role: str, name: str) -> Any:
    """An EC2 client of a session of a role."""
    iam = emulator.client("iam", ACCOUNT)
    if role not in [each["RoleName"] for each in iam.list_roles()["Roles"]]:
        create_role(emulator, ACCOUNT, role, trust(AWS=f"arn:aws:iam::{ACCOUNT}:root"))
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    sts = emulator.client("sts", ACCOUNT)
    return client_of(emulator, sts.assume_role(RoleArn=arn, RoleSessionName=name)["Credentials"])


def tag(who: Any, instance: str, key: str, value: str = CASE) -> None:
    who.create_tags(Resources=[instance], Tags=[{"Key": key, "Value": value}])


def approvals(custodian: Custodian, **keys: Any) -> Any:
    return custodian(policy({"type": "two-person-approval", **keys}))


def test_two_users_approve_and_the_annotation_says_who(
    emulator: Emulator, custodian: Custodian
) -> None:
    approved, asked, _other = launch(emulator, 3)
    alice, bob = user(emulator, "alice"), user(emulator, "bob")
    tag(alice, approved, REQUESTED)
    tag(bob, approved, APPROVED)
    tag(alice, asked, REQUESTED)
    run = approvals(custodian)
    assert [resource["InstanceId"] for resource in run.resources] == [approved]
    found = run.resources[0][APPROVAL]
    assert found["Case"] == CASE
    assert found["Requested"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/alice"
    assert found["Approved"]["Principal"] == f"arn:aws:iam::{ACCOUNT}:user/bob"
    assert found["Requested"]["EventId"] != found["Approved"]["EventId"]
    assert found["Requested"]["At"] <= found["Approved"]["At"]
    assert run.not_evaluated == []
    asked_of = [c.params["LookupAttributes"] for c in emulator.calls("cloudtrail")]
    assert [each[0]["AttributeValue"] for each in asked_of] == [approved]


@pytest.mark.parametrize(
    "first, second, matched",
    [
        (("role", "ops", "alice"), ("role", "ops", "bob"), 0),
        (("role", "ops", "alice"), ("role", "lead", "alice"), 1),
        (("role", "AWSReservedSSO_Ops_1", "alice"), ("role", "AWSReservedSSO_Ops_1", "bob"), 1),
        (("role", "AWSReservedSSO_Ops_1", "alice"), ("role", "AWSReservedSSO_Lead_2", "alice"), 0),
        (("user", "alice"), ("role", "ops", "alice"), 1),
        (("user", "alice"), ("user", "alice"), 0),
    ],
    ids=[
        "one-role-two-sessions",
        "two-roles",
        "identity-center-two-people",
        "identity-center-one-person-two-roles",
        "user-and-role",
        "one-user",
    ],
)
def test_who_counts_as_two(
    emulator: Emulator, custodian: Custodian, first: Any, second: Any, matched: int
) -> None:
    (instance,) = launch(emulator)
    made = {
        who: {"role": session, "user": user}[who[0]](emulator, *who[1:]) for who in {first, second}
    }
    tag(made[first], instance, REQUESTED)
    tag(made[second], instance, APPROVED)
    run = approvals(custodian)
    assert len(run.resources) == matched
    assert run.not_evaluated == []
    if not matched:
        assert f"{instance} not approved" in run.log
        assert "requested and approved it" in run.log


@pytest.mark.parametrize(
    "tags",
    [
        {APPROVED: CASE},
        {REQUESTED: CASE, APPROVED: "INC-41"},
        {REQUESTED: "INC-41", APPROVED: "INC-41"},
        {REQUESTED: CASE, APPROVED: ""},
    ],
    ids=["approved-unasked", "other-case-approved", "both-other-case", "empty"],
)
def test_an_approval_is_of_this_case_and_no_other(
    emulator: Emulator, custodian: Custodian, tags: dict[str, str]
) -> None:
    (instance,) = launch(emulator)
    for number, (key, value) in enumerate(tags.items()):
        tag(user(emulator, f"user{number}"), instance, key, value)
    run = approvals(custodian)
    assert run.resources == run.not_evaluated == []
    assert "not approved: the tags say" in run.log


def test_instances_without_a_case_are_never_approved(
    emulator: Emulator, custodian: Custodian
) -> None:
    (instance,) = launch(emulator)
    ec2 = emulator.client("ec2", ACCOUNT, REGION)
    ec2.delete_tags(Resources=[instance], Tags=[{"Key": "c7n-secops:case"}])
    tag(user(emulator, "alice"), instance, REQUESTED, "")
    tag(user(emulator, "bob"), instance, APPROVED, "")
    run = approvals(custodian)
    assert run.resources == run.not_evaluated == []


def event_row(instance: str, key: str, who: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A row of LookupEvents about one tag that was set."""
    at = changes.pop("at", datetime.now(timezone.utc))
    event = {
        "eventSource": "ec2.amazonaws.com",
        "eventName": "CreateTags",
        "userIdentity": who,
        "requestParameters": {
            "resourcesSet": {"items": [{"resourceId": instance}]},
            "tagSet": {"items": [{"key": key, "value": CASE}]},
        },
        **changes,
    }
    return {
        "EventId": f"{key}-{at.timestamp()}",
        "EventName": event["eventName"],
        "EventTime": at.isoformat(),
        "EventSource": event["eventSource"],
        "Resources": [{"ResourceName": instance}],
        "CloudTrailEvent": json.dumps(event),
    }


def iam_user(name: str) -> dict[str, Any]:
    return {"type": "IAMUser", "arn": f"arn:aws:iam::{ACCOUNT}:user/{name}"}


def assumed(role: str, name: str, source: str | None = None) -> dict[str, Any]:
    issuer = {"arn": f"arn:aws:iam::{ACCOUNT}:role/{role}"}
    return {
        "type": "AssumedRole",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}",
        "sessionContext": {"sessionIssuer": issuer, "sourceIdentity": source},
    }


@pytest.fixture
def tagged(emulator: Emulator) -> str:
    """An instance that has both tags, set while CloudTrail recorded nothing."""
    (instance,) = launch(emulator)
    emulator.seed("cloudtrail", ACCOUNT, REGION, "settings", {"silent": True})
    tag(emulator.client("ec2", ACCOUNT, REGION), instance, REQUESTED)
    tag(emulator.client("ec2", ACCOUNT, REGION), instance, APPROVED)
    return instance


def history(emulator: Emulator, *rows: dict[str, Any]) -> None:
    emulator.seed("cloudtrail", ACCOUNT, REGION, "events", list(rows))


def ago(**time: float) -> datetime:
    return datetime.now(timezone.utc) - timedelta(**time)


def test_one_source_identity_behind_two_roles_is_one_principal(
    emulator: Emulator, custodian: Custodian, tagged: str
) -> None:
    history(
        emulator,
        event_row(tagged, REQUESTED, assumed("ops", "a", "alice")),
        event_row(tagged, APPROVED, assumed("lead", "b", "alice")),
    )
    assert approvals(custodian).resources == []
    history(emulator, event_row(tagged, APPROVED, assumed("lead", "b", "bob")))
    assert len(approvals(custodian).resources) == 1


def test_an_approval_before_the_request_approves_nothing(
    emulator: Emulator, custodian: Custodian, tagged: str
) -> None:
    history(
        emulator,
        event_row(tagged, APPROVED, iam_user("bob"), at=ago(hours=3)),
        event_row(tagged, REQUESTED, iam_user("alice"), at=ago(hours=2)),
    )
    run = approvals(custodian)
    assert run.resources == run.not_evaluated == []
    assert "the approval is older than the request" in run.log


def test_only_the_latest_one_to_set_a_tag_counts(
    emulator: Emulator, custodian: Custodian, tagged: str
) -> None:
    """Alice sets the approval that Bob had set once more: she has requested and approved."""
    history(
        emulator,
        event_row(tagged, REQUESTED, iam_user("alice"), at=ago(hours=3)),
        event_row(tagged, APPROVED, iam_user("bob"), at=ago(hours=2)),
        event_row(tagged, APPROVED, iam_user("alice"), at=ago(hours=1)),
    )
    assert approvals(custodian).resources == []


REQUEST = {"at": ago(hours=2)}


@pytest.mark.parametrize(
    "approval",
    [
        None,
        {"errorCode": "Client.UnauthorizedOperation"},
        {"eventName": "DeleteTags"},
        {"userIdentity": {"type": "AWSService", "invokedBy": "autoscaling.amazonaws.com"}},
        {
            "userIdentity": {
                "type": "FederatedUser",
                "arn": f"arn:aws:sts::{ACCOUNT}:federated-user/x",
            }
        },
        {"at": ago(days=8)},
        {
            "requestParameters": {
                "resourcesSet": {"items": [{"resourceId": "i-00000000000000000"}]},
                "tagSet": {"items": [{"key": APPROVED, "value": CASE}]},
            }
        },
    ],
    ids=[
        "no-record",
        "refused-call",
        "deleted-later",
        "a-service",
        "kind-unknown",
        "too-old",
        "another-instance",
    ],
)
def test_an_approval_that_cloudtrail_does_not_show_is_not_evaluated(
    emulator: Emulator, custodian: Custodian, tagged: str, approval: dict[str, Any] | None
) -> None:
    history(emulator, event_row(tagged, REQUESTED, iam_user("alice"), **REQUEST))
    if approval is not None:
        history(emulator, event_row(tagged, APPROVED, iam_user("bob"), **approval))
    run = approvals(custodian)
    assert run.resources == []
    assert [(row["resource"], row["code"]) for row in run.not_evaluated] == [
        (tagged, "NotRecorded")
    ]
    history(emulator, event_row(tagged, APPROVED, iam_user("bob")))
    assert len(approvals(custodian).resources) == 1


def test_a_longer_window_finds_an_older_approval(
    emulator: Emulator, custodian: Custodian, tagged: str
) -> None:
    history(
        emulator,
        event_row(tagged, REQUESTED, iam_user("alice"), at=ago(days=9)),
        event_row(tagged, APPROVED, iam_user("bob"), at=ago(days=8)),
    )
    assert len(approvals(custodian, within="10d").resources) == 1
    assert approvals(custodian, within="200h").resources == []


def test_a_refused_read_is_reported_not_passed(
    emulator: Emulator, custodian: Custodian, tagged: str
) -> None:
    emulator.fault(
        "cloudtrail", "LookupEvents", code="AccessDeniedException", status=400, times=None
    )
    run = approvals(custodian)
    assert run.resources == []
    assert [row["code"] for row in run.not_evaluated] == ["AccessDeniedException"]


def test_the_search_goes_on_over_pages_and_ends_when_both_are_found(
    emulator: Emulator, custodian: Custodian, tagged: str
) -> None:
    def noise(at: datetime) -> list[dict[str, Any]]:
        return [event_row(tagged, f"noise-{n}", iam_user("x"), at=at) for n in range(60)]

    history(
        emulator,
        *noise(ago(hours=3)),
        event_row(tagged, REQUESTED, iam_user("alice"), at=ago(hours=2)),
        event_row(tagged, APPROVED, iam_user("bob"), at=ago(hours=1)),
        *noise(ago(minutes=30)),
    )
    assert len(approvals(custodian).resources) == 1
    assert len(emulator.calls("cloudtrail", "LookupEvents")) == 2


def test_tags_of_your_own_can_be_used(emulator: Emulator, custodian: Custodian) -> None:
    (instance,) = launch(emulator)
    tag(user(emulator, "alice"), instance, "ticket", "T1")
    tag(user(emulator, "alice2"), instance, "asked", "T1")
    tag(user(emulator, "bob"), instance, "granted", "T1")
    run = approvals(custodian, requested="asked", approved="granted", case="ticket")
    assert [resource[APPROVAL]["Case"] for resource in run.resources] == ["T1"]


@pytest.mark.parametrize(
    "filters, message",
    [
        ({"type": "two-person-approval", "within": "91d"}, "within 91d is longer than the 90 days"),
        ({"type": "two-person-approval", "requested": "a", "approved": "a"}, "use two tags"),
        ({"not": [{"type": "two-person-approval"}]}, "cannot be inside not"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_fix(filters: Any, message: str) -> None:
    with pytest.raises(PolicyValidationError, match=message):
        validate(policy(filters))
