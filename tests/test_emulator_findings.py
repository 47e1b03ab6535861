"""The emulator's queues as event sources, Security Hub, AWS Config, and Inspector Classic."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from c7n_secops_findings.formats import asff
from tests.emulator import Emulator
from tests.emulator.client import ControlError
from tests.emulator.organisation import create_role, trust
from tests.finding_data import record
from tests.harness import ACCOUNT, REGION

ALL_BUT_BAD = """
def run(event, context):
    bad = [r["messageId"] for r in event["Records"] if r["body"].startswith("bad")]
    return {"batchItemFailures": [{"itemIdentifier": name} for name in bad]}
"""
RAISES = "def run(event, context):\n    raise ValueError('no')\n"
UNKNOWN_NAMES = """
def run(event, context):
    return {"batchItemFailures": [{"itemIdentifier": "nobody"}]}
"""


@pytest.fixture
def sqs(emulator: Emulator) -> Any:
    return emulator.client("sqs", ACCOUNT, REGION)


def consumer(emulator: Emulator, code: str, partial: bool = True, batch: int = 10) -> str:
    """A function that takes messages from the queue ``work``; returns the queue's URL."""
    sqs = emulator.client("sqs", ACCOUNT, REGION)
    sqs.create_queue(QueueName="dead")
    policy = {
        "deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead",
        "maxReceiveCount": 2,
    }
    url = sqs.create_queue(QueueName="work", Attributes={"RedrivePolicy": json.dumps(policy)})
    role = create_role(emulator, ACCOUNT, "consumer", trust(Service="lambda.amazonaws.com"))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("code.py", "")
        file.writestr("consumer.py", code)
    client = emulator.client("lambda", ACCOUNT, REGION)
    client.create_function(
        FunctionName="consumer",
        Runtime="python3.12",
        Role=role,
        Handler="consumer.run",
        Code={"ZipFile": archive.getvalue()},
    )
    client.create_event_source_mapping(
        EventSourceArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:work",
        FunctionName="consumer",
        BatchSize=batch,
        FunctionResponseTypes=["ReportBatchItemFailures"] if partial else [],
    )
    return str(url["QueueUrl"])


def dead(sqs: Any) -> list[str]:
    url = sqs.get_queue_url(QueueName="dead")["QueueUrl"]
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return sorted(each["Body"] for each in answer.get("Messages", []))


def left(sqs: Any, url: str) -> int:
    names = ["ApproximateNumberOfMessages"]
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def sizes(emulator: Emulator) -> list[int]:
    rows = emulator.lambda_results(ACCOUNT, REGION, "consumer")
    return [len(row["event"]["Records"]) for row in rows]


def test_a_queue_s_messages_wait_until_it_is_polled_and_come_in_batches(
    emulator: Emulator, sqs: Any
) -> None:
    url = consumer(emulator, ALL_BUT_BAD, batch=2)
    for number in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=f"good {number}")
    assert sizes(emulator) == []
    assert emulator.poll_queue(ACCOUNT, REGION, "work", batches=1) == 1
    assert sizes(emulator) == [2]
    assert emulator.poll_queue(ACCOUNT, REGION, "work") == 1
    assert sizes(emulator) == [2, 1]
    assert left(sqs, url) == 0


def test_only_the_failed_messages_come_again_and_then_are_dead(
    emulator: Emulator, sqs: Any
) -> None:
    url = consumer(emulator, ALL_BUT_BAD)
    for body in ("good", "bad", "good"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    emulator.poll_queue(ACCOUNT, REGION, "work")
    assert sizes(emulator) == [3, 1]
    rows = emulator.lambda_results(ACCOUNT, REGION, "consumer")
    (again,) = rows[1]["event"]["Records"]
    assert again["attributes"]["ApproximateReceiveCount"] == "2"
    assert dead(sqs) == ["bad"]
    assert left(sqs, url) == 0


@pytest.mark.parametrize("code", [RAISES, UNKNOWN_NAMES], ids=["raises", "unknown-names"])
def test_an_answer_that_makes_no_sense_fails_the_whole_batch(
    emulator: Emulator, sqs: Any, code: str
) -> None:
    url = consumer(emulator, code)
    for body in ("a", "b"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    emulator.poll_queue(ACCOUNT, REGION, "work")
    assert sizes(emulator) == [2, 2]
    assert dead(sqs) == ["a", "b"]


def test_without_report_batch_item_failures_the_answer_is_not_read(
    emulator: Emulator, sqs: Any
) -> None:
    url = consumer(emulator, ALL_BUT_BAD, partial=False)
    sqs.send_message(QueueUrl=url, MessageBody="bad")
    emulator.poll_queue(ACCOUNT, REGION, "work")
    assert (left(sqs, url), dead(sqs)) == (0, [])


def test_a_queue_that_no_function_takes_from_cannot_be_polled(emulator: Emulator, sqs: Any) -> None:
    sqs.create_queue(QueueName="alone")
    with pytest.raises(ControlError, match="no function takes the messages"):
        emulator.poll_queue(ACCOUNT, REGION, "alone")


# --- Security Hub


@pytest.fixture
def hub(emulator: Emulator) -> Any:
    client = emulator.client("securityhub", ACCOUNT, REGION)
    client.enable_security_hub()
    return client


def test_import_is_refused_where_the_hub_is_off(emulator: Emulator) -> None:
    client = emulator.client("securityhub", ACCOUNT, REGION)
    with pytest.raises(ClientError, match="InvalidAccessException"):
        client.batch_import_findings(Findings=[asff.finding_of(record())])


def test_no_more_than_a_hundred_findings_are_imported_at_once(hub: Any) -> None:
    findings = [asff.finding_of(record(number)) for number in range(101)]
    with pytest.raises(ClientError, match="InvalidInputException"):
        hub.batch_import_findings(Findings=findings)
    assert hub.batch_import_findings(Findings=findings[:100])["SuccessCount"] == 100


def test_a_finding_of_another_account_is_refused_alone(hub: Any) -> None:
    findings = [asff.finding_of(record(1)), asff.finding_of(record(2, account="222222222222"))]
    answer = hub.batch_import_findings(Findings=findings)
    assert (answer["SuccessCount"], answer["FailedCount"]) == (1, 1)
    (failed,) = answer["FailedFindings"]
    assert (failed["Id"], failed["ErrorCode"]) == (findings[1]["Id"], "InvalidAccess")


def test_a_title_that_is_too_long_is_refused(hub: Any) -> None:
    finding = {**asff.finding_of(record()), "Title": "t" * 257}
    (failed,) = hub.batch_import_findings(Findings=[finding])["FailedFindings"]
    assert "Title should have length" in failed["ErrorMessage"]


def test_an_older_version_does_not_replace_a_newer_one(hub: Any) -> None:
    new = asff.finding_of(record())
    old = {**new, "UpdatedAt": "2020-01-01T00:00:00.000Z", "Title": "old"}
    newer = {**new, "UpdatedAt": "2030-01-01T00:00:00.000Z", "Title": "newer"}
    for finding, title in ((new, new["Title"]), (old, new["Title"]), (newer, "newer")):
        hub.batch_import_findings(Findings=[finding])
        (stored,) = hub.get_findings()["Findings"]
        assert stored["Title"] == title


def test_custom_actions_are_made_changed_and_deleted(emulator: Emulator, hub: Any) -> None:
    made = {"Name": "Isolate", "Description": "Isolate the instance"}
    arn = hub.create_action_target(Id="isolate", **made)["ActionTargetArn"]
    assert arn == f"arn:aws:securityhub:{REGION}:{ACCOUNT}:action/custom/isolate"
    hub.update_action_target(ActionTargetArn=arn, Name="Isolated")
    shown = {"ActionTargetArn": arn, **made, "Name": "Isolated"}
    for asked in ({}, {"ActionTargetArns": [f"{arn}d", arn]}):
        assert hub.describe_action_targets(**asked)["ActionTargets"] == [shown]
    elsewhere = emulator.client("securityhub", ACCOUNT, "eu-west-1")
    elsewhere.enable_security_hub()
    assert elsewhere.describe_action_targets()["ActionTargets"] == []
    hub.delete_action_target(ActionTargetArn=arn)
    assert hub.describe_action_targets(ActionTargetArns=[arn])["ActionTargets"] == []


def test_a_custom_action_that_aws_would_refuse_is_refused(emulator: Emulator, hub: Any) -> None:
    hub.create_action_target(Id="one", Name="n" * 20, Description="d")
    arn = f"arn:aws:securityhub:{REGION}:{ACCOUNT}:action/custom/"
    create, update = hub.create_action_target, hub.update_action_target
    calls: list[tuple[Any, dict[str, str], str]] = [
        (create, {"Id": "one", "Name": "n", "Description": "d"}, "ResourceConflict"),
        (create, {"Id": "with-dash", "Name": "n", "Description": "d"}, "InvalidInput"),
        (create, {"Id": "i" * 21, "Name": "n", "Description": "d"}, "InvalidInput"),
        (create, {"Id": "two", "Name": "n" * 21, "Description": "d"}, "InvalidInput"),
        (update, {"ActionTargetArn": f"{arn}one", "Name": "n" * 21}, "InvalidInput"),
        (update, {"ActionTargetArn": f"{arn}two", "Name": "n"}, "ResourceNotFound"),
        (hub.delete_action_target, {"ActionTargetArn": f"{arn}two"}, "ResourceNotFound"),
    ]
    for call, params, code in calls:
        with pytest.raises(ClientError, match=code):
            call(**params)
    hub.disable_security_hub()
    with pytest.raises(ClientError, match="InvalidAccess"):
        hub.describe_action_targets()


# --- AWS Config


def test_a_config_rule_that_is_asked_for_and_not_there_is_an_error(emulator: Emulator) -> None:
    client = emulator.client("config", ACCOUNT, REGION)
    assert client.describe_config_rules()["ConfigRules"] == []
    with pytest.raises(ClientError, match="NoSuchConfigRule"):
        client.describe_config_rules(ConfigRuleNames=["none"])


# --- Inspector Classic


def test_inspector_classic_describes_a_hundred_findings_at_most(emulator: Emulator) -> None:
    client = emulator.client("inspector", ACCOUNT, REGION)
    arn = f"arn:aws:inspector:{REGION}:{ACCOUNT}:target/a/template/b/run/c/finding/d"
    answer = client.describe_findings(findingArns=[arn])
    assert answer["failedItems"][arn]["failureCode"] == "ITEM_DOES_NOT_EXIST"
    with pytest.raises(ClientError, match="InvalidInputException"):
        client.describe_findings(findingArns=[f"{arn}{number}" for number in range(101)])
