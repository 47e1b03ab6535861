"""Alerts about members that left: from the call to the message, and the second net."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from c7n.exceptions import PolicyValidationError
from hypothesis import given
from hypothesis import strategies as st

from c7n_secops_membership.membership import accounts_in, region_of
from tests.emulator import Emulator
from tests.emulator.organisation import LAMBDA_ROLE, create_role, trust
from tests.guardduty_fleet import ADMIN, ANNA, BERT, CARA, Fleet, fleet, rows
from tests.harness import REGION

__all__ = ["fleet"]

LEFT = "custodian-guardduty-member-left"
Messages = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def messages(emulator: Emulator) -> Messages:
    """The bus and the topic in the administrator's account; what was sent to the topic since."""
    emulator.client("events", ADMIN, REGION).create_event_bus(Name="security")
    create_role(emulator, ADMIN, LAMBDA_ROLE, trust(Service="lambda.amazonaws.com"))
    sns = emulator.client("sns", ADMIN, REGION)
    sqs = emulator.client("sqs", ADMIN, REGION)
    topic = sns.create_topic(Name="c7n-secops-alerts")["TopicArn"]
    url = sqs.create_queue(QueueName="alerts")["QueueUrl"]
    queue = f"arn:aws:sqs:{REGION}:{ADMIN}:alerts"
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)

    def received() -> list[dict[str, Any]]:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        bodies = [json.loads(message["Body"])["Message"] for message in answer.get("Messages", ())]
        return [json.loads(zlib.decompress(base64.b64decode(body))) for body in bodies]

    return received


def told(messages: Messages) -> list[dict[str, str]]:
    """The status of each member, message by message."""
    return [
        {
            row["AccountId"]: row["Status"]
            for resource in message["resources"]
            for row in resource["c7n:GuardDutyMembers"]
        }
        for message in messages()
    ]


def event(name: str, **detail: Any) -> dict[str, Any]:
    """An event of CloudTrail as EventBridge forwards it."""
    return {
        "source": "aws.guardduty",
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {
            "eventSource": "guardduty.amazonaws.com",
            "eventName": name,
            "awsRegion": REGION,
            **detail,
        },
    }


def resignation(account: str, **more: Any) -> dict[str, Any]:
    return event("DisassociateFromAdministratorAccount", recipientAccountId=account, **more)


# --- at once ------------------------------------------------------------------------------------


def test_a_member_that_resigns_is_told_from_its_own_region_over_the_bus(
    fleet: Fleet, messages: Messages
) -> None:
    fleet.joined(ANNA, BERT)
    fleet.emulator.seed("cloudtrail", ANNA, REGION, "settings", {"trail": True})
    fleet.run("findings-forward", ANNA)
    fleet.run("guardduty-member-left", deploy=True)
    fleet.resigned(ANNA)
    (result,) = fleet.emulator.wait_for_lambda(ADMIN, REGION, LEFT)
    assert result["error"] is None, result["log"]
    assert told(messages) == [{ANNA: "Resigned"}]


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ("disassociate_members", "Removed"),
        ("delete_members", "absent"),
        ("stop_monitoring_members", "Disabled"),
    ],
)
def test_a_member_that_the_administrator_lets_go_is_told(
    fleet: Fleet, messages: Messages, call: str, status: str
) -> None:
    fleet.joined(ANNA, BERT)
    if status == "absent":
        fleet.resigned(ANNA)
    detail = {"requestParameters": {"detectorId": "x", "accountIds": [ANNA]}}
    getattr(fleet.client(ADMIN), call)(DetectorId=fleet.detector(ADMIN), AccountIds=[ANNA])
    name = "".join(part.capitalize() for part in call.split("_"))
    run = fleet.run("guardduty-member-left", event=event(name, **detail))
    assert rows(run) == {ANNA: status}
    assert told(messages) == [{ANNA: status}]


def test_what_an_event_says_is_believed_only_as_far_as_guardduty_confirms_it(
    fleet: Fleet, messages: Messages
) -> None:
    fleet.joined(ANNA, BERT)
    fleet.resigned(BERT)
    run = fleet.run("guardduty-member-left", event=resignation(ANNA))
    assert run.resources == []
    assert messages() == []


def test_the_region_of_the_event_is_asked(fleet: Fleet, messages: Messages) -> None:
    client = fleet.client(ADMIN, "eu-west-1")
    detector = client.create_detector(Enable=True)["DetectorId"]
    row = {
        "AccountId": ANNA,
        "Email": "a@example.com",
        "MasterId": ADMIN,
        "RelationshipStatus": "Resigned",
        "UpdatedAt": "2026-01-31T12:00:00Z",
    }
    fleet.emulator.seed("guardduty", ADMIN, "eu-west-1", "members", {ANNA: row})
    assert client.list_members(DetectorId=detector, OnlyAssociated="false")["Members"]
    run = fleet.run("guardduty-member-left", event=resignation(ANNA, awsRegion="eu-west-1"))
    (found,) = run.resources[0]["c7n:GuardDutyMembers"]
    assert (found["Status"], found["Region"]) == ("Resigned", "eu-west-1")


def test_a_refused_read_in_an_event_is_reported_and_not_told(
    fleet: Fleet, messages: Messages
) -> None:
    fleet.joined(ANNA)
    fleet.resigned(ANNA)
    fleet.emulator.fault(
        "guardduty", "ListMembers", code="AccessDeniedException", status=403, times=None
    )
    run = fleet.run("guardduty-member-left", event=resignation(ANNA))
    assert [row["code"] for row in run.not_evaluated] == ["AccessDeniedException"]
    assert messages() == []


@pytest.mark.parametrize(
    "hostile",
    [
        {},
        {"detail": None},
        {"detail": []},
        event("DeleteMembers"),
        event("DeleteMembers", requestParameters=[1]),
        event("DeleteMembers", requestParameters={"accountIds": "222222222222"}),
        event("DeleteMembers", requestParameters={"accountIds": [7, None, "x", "2" * 13]}),
        resignation("../../etc"),
        resignation(ANNA + "\n"),
        event("SomethingElse", recipientAccountId=ANNA),
        resignation(ANNA, eventName=["DisassociateFromAdministratorAccount"]),
    ],
    ids=str,
)
def test_an_event_of_another_form_names_nobody(hostile: dict[str, Any]) -> None:
    assert accounts_in(hostile) == []


@pytest.mark.parametrize("region", [None, 7, "", "us-east-1.evil.com", "US-EAST-1", "a" * 99])
def test_a_region_of_another_form_is_not_asked(region: Any) -> None:
    assert region_of(resignation(ANNA, awsRegion=region)) is None
    assert region_of(resignation(ANNA, awsRegion="us-gov-west-1")) == "us-gov-west-1"


def test_an_event_names_at_most_as_many_as_a_call_takes() -> None:
    many = [f"{number:012d}" for number in range(80)]
    found = accounts_in(event("DeleteMembers", requestParameters={"accountIds": many}))
    assert found == many[:50]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["detail", "eventName", "requestParameters", "accountIds", "recipientAccountId"]
                ),
                inner | st.sampled_from(["DeleteMembers", "DisassociateFromMasterAccount", ANNA]),
            )
        ),
    )
)
def test_whatever_an_event_holds_only_account_ids_come_out(anything: Any) -> None:
    assert all(len(name) == 12 and name.isdigit() for name in accounts_in(anything))
    region_of(anything)


def test_an_event_that_names_nobody_costs_no_call(fleet: Fleet, messages: Messages) -> None:
    run = fleet.run("guardduty-member-left", event=event("DeleteMembers"))
    assert run.resources == []
    assert fleet.emulator.calls("guardduty") == []


@pytest.mark.parametrize("mode", [{}, {"mode": {"type": "periodic", "schedule": "rate(1 day)"}}])
def test_from_event_needs_a_mode_that_has_events(fleet: Fleet, mode: dict[str, Any]) -> None:
    data = {
        **mode,
        "name": "under-test",
        "resource": "aws.account",
        "filters": [{"type": "guardduty-member", "administrator": ADMIN, "from-event": True}],
    }
    with pytest.raises(PolicyValidationError, match="from-event needs a mode with events"):
        fleet.run(data, deploy=True)


# --- once a day ---------------------------------------------------------------------------------


def test_the_second_net_tells_of_all_that_needs_a_hand_and_of_nothing_else(
    fleet: Fleet, messages: Messages
) -> None:
    fleet.joined(ANNA, BERT)
    fleet.resigned(BERT)
    fleet.seeded(CARA, RelationshipStatus="Invited", InvitedAt="2020-01-01T00:00:00Z")
    fleet.invited("555555555555")
    fleet.seeded("600000000001", RelationshipStatus="EmailVerificationFailed")
    fleet.run("guardduty-members-watch")
    assert told(messages) == [
        {BERT: "Resigned", CARA: "Invited", "600000000001": "EmailVerificationFailed"}
    ]


def test_the_second_net_is_silent_where_all_are_members(fleet: Fleet, messages: Messages) -> None:
    fleet.joined(ANNA)
    run = fleet.run("guardduty-members-watch")
    assert (run.resources, messages()) == ([], [])


def test_the_second_net_tells_of_a_region_without_a_detector(
    fleet: Fleet, messages: Messages
) -> None:
    fleet.run("guardduty-members-watch")
    assert told(messages) == [{ADMIN: "no-detector"}]


def test_the_second_net_runs_by_its_schedule_in_lambda(fleet: Fleet, messages: Messages) -> None:
    fleet.joined(ANNA)
    fleet.resigned(ANNA)
    fleet.run("guardduty-members-watch", deploy=True)
    name = "custodian-guardduty-members-watch"
    assert fleet.emulator.fire_schedule(ADMIN, REGION, name) == 1
    (result,) = fleet.emulator.wait_for_lambda(ADMIN, REGION, name)
    assert result["error"] is None, result["log"]
    assert told(messages) == [{ANNA: "Resigned"}]
