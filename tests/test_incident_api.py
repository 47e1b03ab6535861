"""The endpoint that requests a containment: who may, what is taken, and where it goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulator import Emulator, running
from tests.harness import ACCOUNT, REGION
from tests.incident_scene import (
    WORKLOAD,
    endpoint,
    events_on,
    key_of,
    received,
    request,
    session_of,
    stack,
)

INSTANCE = "i-0123456789abcdef0"


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Emulator]:
    """An emulator that denies what IAM policies do not allow."""
    with running(iam=True) as server:
        yield server


@pytest.fixture
def api(enforcing: Emulator) -> dict[str, str]:
    """The endpoint, with a bus in the workload account; the stack's outputs."""
    enforcing.reset()
    return endpoint(enforcing, WORKLOAD)


@pytest.fixture
def caller(enforcing: Emulator, api: dict[str, str]) -> Any:
    """The session of a user who may request, and nothing else."""
    iam = enforcing.client("iam", ACCOUNT)
    iam.create_user(UserName="analyst")
    iam.attach_user_policy(UserName="analyst", PolicyArn=api["CallerPolicyArn"])
    return session_of(iam.create_access_key(UserName="analyst")["AccessKey"])


def test_a_request_becomes_an_event_on_the_account_s_bus_that_says_who_asked(
    enforcing: Emulator, api: dict[str, str], caller: Any
) -> None:
    queue = events_on(enforcing, WORKLOAD)
    status, answer = enforcing.call_api(
        api["Endpoint"], request(INSTANCE), signer=caller, headers=key_of(enforcing, api)
    )
    assert status == 202, answer
    (event,) = received(enforcing, WORKLOAD, queue)
    assert event["id"] == answer["event"]
    assert event["detail-type"] == "Containment Requested"
    assert event["detail"]["instance"] == INSTANCE
    assert event["detail"]["case"] == "INC-42"
    assert event["detail"]["requestedBy"] == f"arn:aws:iam::{ACCOUNT}:user/analyst"


@pytest.mark.parametrize("signed, keyed", [(False, True), (True, False), (False, False)])
def test_neither_the_key_nor_the_signature_is_enough_alone(
    enforcing: Emulator, api: dict[str, str], caller: Any, signed: bool, keyed: bool
) -> None:
    queue = events_on(enforcing, WORKLOAD)
    status, _answer = enforcing.call_api(
        api["Endpoint"],
        request(INSTANCE),
        signer=caller if signed else None,
        headers=key_of(enforcing, api) if keyed else {},
    )
    assert status == 403
    assert received(enforcing, WORKLOAD, queue) == []


def test_who_has_no_permission_may_not_request(enforcing: Emulator, api: dict[str, str]) -> None:
    queue = events_on(enforcing, WORKLOAD)
    iam = enforcing.client("iam", ACCOUNT)
    iam.create_user(UserName="stranger")
    stranger = session_of(iam.create_access_key(UserName="stranger")["AccessKey"])
    other_account = enforcing.session(WORKLOAD, REGION)
    for who in (stranger, other_account):
        status, answer = enforcing.call_api(
            api["Endpoint"], request(INSTANCE), signer=who, headers=key_of(enforcing, api)
        )
        assert (status, "not authorized" in answer["message"]) == (403, True)
    assert received(enforcing, WORKLOAD, queue) == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        json.dumps({"account": WORKLOAD, "instance": INSTANCE}),
        request("i-123"),
        request("sg-0123456789abcdef0"),
        request(INSTANCE, account="22222222222"),
        request(INSTANCE, case=""),
        request(INSTANCE, case='x\\",\\"instance\\":\\"i-1'),
        request(INSTANCE, case="a/../b"),
        request(INSTANCE, case="x" * 65),
        request(INSTANCE, force=True),
        json.dumps({"account": WORKLOAD, "instance": [INSTANCE], "case": "INC-42"}),
    ],
)
def test_a_body_that_is_not_a_request_goes_no_further(
    enforcing: Emulator, api: dict[str, str], caller: Any, body: str
) -> None:
    enforcing.clear_calls()
    status, answer = enforcing.call_api(
        api["Endpoint"], body, signer=caller, headers=key_of(enforcing, api)
    )
    assert (status, answer["message"]) == (400, "Invalid request body")
    assert enforcing.calls("events") == []


def test_another_media_type_does_not_get_around_the_validation(
    enforcing: Emulator, api: dict[str, str], caller: Any
) -> None:
    headers = {**key_of(enforcing, api), "Content-Type": "text/plain"}
    status, _answer = enforcing.call_api(api["Endpoint"], "x", signer=caller, headers=headers)
    assert status == 415


def test_where_no_event_was_put_the_answer_is_no_success(
    enforcing: Emulator, api: dict[str, str], caller: Any
) -> None:
    call = {"signer": caller, "headers": key_of(enforcing, api)}
    body = request(INSTANCE, account="444444444444")
    status, answer = enforcing.call_api(api["Endpoint"], body, **call)
    assert (status, answer) == (502, {"message": "no event was put"})
    enforcing.fault("events", "PutEvents", code="InternalException", status=500)
    status, answer = enforcing.call_api(api["Endpoint"], request(INSTANCE), **call)
    assert (status, answer) == (502, {"message": "no event was put"})


def test_an_entry_that_is_refused_is_no_success_though_put_events_answers_200(
    emulator: Emulator,
) -> None:
    made = endpoint(emulator)
    emulator.clear_calls()
    status, answer = emulator.call_api(
        made["Endpoint"],
        request(INSTANCE, account="444444444444"),
        signer=emulator.session(ACCOUNT, REGION),
        headers=key_of(emulator, made),
    )
    assert [call.status for call in emulator.calls("events", "PutEvents")] == [200]
    assert status == 502
    assert answer == {"message": "no event was put: ResourceNotFoundException"}


def test_the_usage_plan_s_quota_holds(enforcing: Emulator) -> None:
    enforcing.reset()
    made = stack(
        enforcing,
        ACCOUNT,
        "incident-response-api.yml",
        ApiAccountId=ACCOUNT,
        RequestsADay="2",
    )
    answers = [
        enforcing.call_api(
            made["Endpoint"],
            request(INSTANCE, account=ACCOUNT),
            signer=enforcing.session(ACCOUNT, REGION),
            headers=key_of(enforcing, made),
        )[0]
        for _ in range(3)
    ]
    assert answers == [202, 202, 429]


@pytest.mark.parametrize("source", ["c7n-secops.incident-response", "acme"])
def test_nobody_but_the_endpoint_puts_events_from_the_security_account(
    enforcing: Emulator, api: dict[str, str], source: str
) -> None:
    bus = f"arn:aws:events:{REGION}:{WORKLOAD}:event-bus/c7n-secops-incident-response"
    entry = {"Source": source, "DetailType": "x", "Detail": "{}", "EventBusName": bus}
    events = enforcing.client("events", ACCOUNT, REGION)
    with pytest.raises(events.exceptions.ClientError, match="AccessDenied"):
        events.put_events(Entries=[entry])


def test_only_the_account_of_the_endpoint_has_one(enforcing: Emulator, api: dict[str, str]) -> None:
    assert enforcing.client("apigateway", ACCOUNT, REGION).get_rest_apis()["items"]
    assert enforcing.client("apigateway", WORKLOAD, REGION).get_rest_apis()["items"] == []
