"""What a containment tells: c7n-mailer takes it from its queue, renders and delivers it."""

from __future__ import annotations

import base64
import json
import logging
import zlib
from pathlib import Path
from typing import Any

import boto3
import c7n_mailer
import pytest
from c7n_mailer.sqs_queue_processor import MailerSqsQueueIterator, MailerSqsQueueProcessor

from tests.emulator import Emulator
from tests.harness import REGION, ROOT, Custodian
from tests.incident_scene import WORKLOAD, account, evidence

QUEUE_ARN = f"arn:aws:sqs:{REGION}:{WORKLOAD}:mailer"
ANALYSTS = f"arn:aws:sns:{REGION}:{WORKLOAD}:analysts"
TEMPLATES = [str(Path(c7n_mailer.__file__).parent / "msg-templates")]
SECRET = "hunter2-in-user-data"


@pytest.fixture
def made(emulator: Emulator) -> dict[str, str]:
    """An account whose topic has c7n-mailer's queue, and analysts who read a topic of theirs."""
    variables = evidence(emulator)
    sqs = emulator.client("sqs", WORKLOAD, REGION)
    sns = emulator.client("sns", WORKLOAD, REGION)
    for name in ("mailer", "inbox"):
        sqs.create_queue(QueueName=name)
    sns.create_topic(Name="analysts")
    inbox = f"arn:aws:sqs:{REGION}:{WORKLOAD}:inbox"
    sns.subscribe(TopicArn=ANALYSTS, Protocol="sqs", Endpoint=inbox)
    account(emulator, variables, MailerQueueArn=QUEUE_ARN)
    return {**variables, "security_contact": ANALYSTS, "case": "INC-42"}


def contain(emulator: Emulator, custodian: Custodian, made: dict[str, str], number: int = 1) -> Any:
    ec2 = emulator.client("ec2", WORKLOAD, REGION)
    answer = ec2.run_instances(
        ImageId="ami-12345678",
        InstanceType="t3.micro",
        MinCount=number,
        MaxCount=number,
        UserData=SECRET,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web-1 {{ 7*7 }}"}]}
        ],
    )
    ids = [row["InstanceId"] for row in answer["Instances"]]
    variables = {**made, "instances": ids}
    custodian("ec2-contain-instance", account=WORKLOAD, vars=variables)
    return ids


def url(emulator: Emulator, name: str) -> str:
    sqs = emulator.client("sqs", WORKLOAD, REGION)
    return str(sqs.get_queue_url(QueueName=name)["QueueUrl"])


def mailer(emulator: Emulator, templates: list[str]) -> MailerSqsQueueProcessor:
    """c7n-mailer, as its own command line would run it once."""
    session = boto3.Session(region_name=REGION, **emulator.credentials(WORKLOAD))
    config = {
        "queue_url": url(emulator, "mailer"),
        "endpoint_url": emulator.url,
        "region": REGION,
        "from_address": "custodian@example.com",
        "templates_folders": templates,
    }
    return MailerSqsQueueProcessor(config, session, logging.getLogger("mailer"))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """c7n-mailer waits ten seconds for another message; the emulator has none."""
    begin = MailerSqsQueueIterator.__init__

    def at_once(self: Any, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **{**named, "timeout": 0})

    monkeypatch.setattr(MailerSqsQueueIterator, "__init__", at_once)


def delivered(emulator: Emulator) -> list[dict[str, Any]]:
    """What c7n-mailer sent to the analysts: subject and text."""
    answer = emulator.client("sqs", WORKLOAD, REGION).receive_message(
        QueueUrl=url(emulator, "inbox"), MaxNumberOfMessages=10
    )
    return [json.loads(message["Body"]) for message in answer.get("Messages", ())]


def test_c7n_mailer_renders_the_notification_with_its_own_template(
    emulator: Emulator, custodian: Custodian, made: dict[str, str]
) -> None:
    first, second = contain(emulator, custodian, made, 2)
    mailer(emulator, TEMPLATES).run()
    (sent,) = delivered(emulator)
    assert sent["Subject"] == "ec2-contain-instance: 2 contained"
    for name in (first, second):
        assert f"{name} vpc-" in sent["Message"]
    assert "The following aws.ec2 resources" in sent["Message"]
    assert f"in account: {WORKLOAD}" in sent["Message"]
    assert "web-1 {{ 7*7 }}" in sent["Message"]
    left = emulator.client("sqs", WORKLOAD, REGION).receive_message(
        QueueUrl=url(emulator, "mailer")
    )
    assert "Messages" not in left


def test_our_template_says_case_outcome_and_steps(
    emulator: Emulator, custodian: Custodian, made: dict[str, str]
) -> None:
    (name,) = contain(emulator, custodian, made)
    processor = mailer(emulator, [*TEMPLATES, str(ROOT / "deploy" / "c7n-mailer")])
    process = processor.process_sqs_message

    def with_our_template(message: dict[str, Any]) -> None:
        content = json.loads(zlib.decompress(base64.b64decode(message["Body"])))
        content["action"]["template"] = "incident-response"
        packed = base64.b64encode(zlib.compress(json.dumps(content).encode())).decode()
        process({**message, "Body": packed})

    processor.process_sqs_message = with_our_template
    processor.run()
    (sent,) = delivered(emulator)
    assert f"{name} web-1" in sent["Message"]
    assert "case: INC-42\n  outcome: contained" in sent["Message"]
    assert "contain done" in sent["Message"]


def test_a_queue_without_raw_delivery_is_read_too(
    emulator: Emulator, custodian: Custodian, made: dict[str, str]
) -> None:
    sns = emulator.client("sns", WORKLOAD, REGION)
    topic = f"arn:aws:sns:{REGION}:{WORKLOAD}:c7n-secops-incident-response"
    (old,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.unsubscribe(SubscriptionArn=old["SubscriptionArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=QUEUE_ARN)
    (name,) = contain(emulator, custodian, made)
    mailer(emulator, TEMPLATES).run()
    (sent,) = delivered(emulator)
    assert name in sent["Message"]


def test_a_run_sends_one_message_and_no_secret(
    emulator: Emulator, custodian: Custodian, made: dict[str, str]
) -> None:
    contain(emulator, custodian, made, 3)
    (message,) = emulator.client("sqs", WORKLOAD, REGION).receive_message(
        QueueUrl=url(emulator, "mailer"), MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )["Messages"]
    assert message["MessageAttributes"]["mtype"]["StringValue"] == "maidmsg/1.0"
    text = zlib.decompress(base64.b64decode(message["Body"])).decode()
    assert len(json.loads(text)["resources"]) == 3
    for hidden in (SECRET, base64.b64encode(SECRET.encode()).decode(), "bootstrap"):
        assert hidden not in text
