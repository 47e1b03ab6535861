"""Accounts with what incident response needs, made from the templates that are shipped."""

from __future__ import annotations

import json
from typing import Any

import boto3

from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION, ROOT

WORKLOAD = "222222222222"
FORENSICS = "333333333333"
BUCKET = "acme-evidence"
BUS = "c7n-secops-incident-response"


def stack(emulator: Emulator, account: str, template: str, **parameters: str) -> dict[str, str]:
    """Deploy a template of ``deploy/`` and return its outputs."""
    cloudformation = emulator.client("cloudformation", account, REGION)
    cloudformation.create_stack(
        StackName=template.removesuffix(".yml"),
        TemplateBody=(ROOT / "deploy" / template).read_text(),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
    )
    (made,) = cloudformation.describe_stacks(StackName=template.removesuffix(".yml"))["Stacks"]
    assert made["StackStatus"] == "CREATE_COMPLETE"
    return {row["OutputKey"]: row["OutputValue"] for row in made.get("Outputs", ())}


def evidence(emulator: Emulator, accounts: tuple[str, ...] = (WORKLOAD,)) -> dict[str, str]:
    """The evidence bucket in the forensics account; returns the vars of policies."""
    made = stack(
        emulator,
        FORENSICS,
        "evidence-bucket.yml",
        BucketName=BUCKET,
        Accounts=",".join(accounts),
    )
    return {"evidence_bucket": made["BucketName"], "evidence_key": made["KeyArn"]}


def endpoint(emulator: Emulator, *accounts: str) -> dict[str, str]:
    """The endpoint in the default account, and buses there and in the other accounts."""
    made = stack(emulator, ACCOUNT, "incident-response-api.yml", ApiAccountId=ACCOUNT)
    for account in accounts:
        stack(emulator, account, "incident-response-api.yml", ApiAccountId=ACCOUNT)
    return made


def request(instance: str, account: str = WORKLOAD, case: str = "INC-42", **more: Any) -> str:
    """The body of a request for containment."""
    return json.dumps({"account": account, "instance": instance, "case": case, **more})


def key_of(emulator: Emulator, made: dict[str, str]) -> dict[str, str]:
    """The header with the endpoint's key."""
    gateway = emulator.client("apigateway", ACCOUNT, REGION)
    return {"x-api-key": gateway.get_api_key(apiKey=made["KeyId"], includeValue=True)["value"]}


def session_of(credentials: dict[str, str]) -> boto3.Session:
    """A session with keys that IAM or STS gave."""
    return boto3.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials.get("SessionToken"),
        region_name=REGION,
    )


def events_on(emulator: Emulator, account: str, bus: str = BUS) -> str:
    """Send the bus's events to a queue as well, and return the queue's URL."""
    sqs = emulator.client("sqs", account, REGION)
    url: str = sqs.create_queue(QueueName="seen")["QueueUrl"]
    events = emulator.client("events", account, REGION)
    pattern = json.dumps({"source": ["c7n-secops.incident-response"]})
    events.put_rule(Name="seen", EventBusName=bus, EventPattern=pattern)
    arn = f"arn:aws:sqs:{REGION}:{account}:seen"
    events.put_targets(Rule="seen", EventBusName=bus, Targets=[{"Id": "1", "Arn": arn}])
    return url


def received(emulator: Emulator, account: str, url: str) -> list[dict[str, Any]]:
    """The events in a queue."""
    answer = emulator.client("sqs", account, REGION).receive_message(
        QueueUrl=url, MaxNumberOfMessages=10
    )
    return [json.loads(message["Body"]) for message in answer.get("Messages", ())]


def account(emulator: Emulator, made: dict[str, str], name: str = WORKLOAD, **more: str) -> str:
    """An account with the roles and the topic; returns the ARN of the response role."""
    stack(emulator, name, "account-roles.yml", SecurityAccountId=ACCOUNT)
    outputs = stack(
        emulator,
        name,
        "incident-response-account.yml",
        SecurityAccountId=ACCOUNT,
        EvidenceBucket=made["evidence_bucket"],
        EvidenceKeyArn=made["evidence_key"],
        **more,
    )
    return outputs["RoleArn"]


def assume(emulator: Emulator, role: str, by: str = ACCOUNT) -> boto3.Session:
    """A session of a role."""
    sts = emulator.client("sts", by, REGION)
    return session_of(sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"])
