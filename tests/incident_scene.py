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
CASE = "INC-42"
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


def launch(emulator: Emulator, number: int = 1, **tags: str) -> list[str]:
    """Instances in the workload account, with ``c7n_secops_x`` for the tag ``c7n-secops:x``."""
    marks = {"Name": "host"}
    for key, value in tags.items():
        marks["c7n-secops:" + key.removeprefix("c7n_secops_").replace("_", "-")] = value
    answer = emulator.client("ec2", WORKLOAD, REGION).run_instances(
        ImageId="ami-12345678",
        MinCount=number,
        MaxCount=number,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": key, "Value": value} for key, value in marks.items()],
            }
        ],
    )
    return [instance["InstanceId"] for instance in answer["Instances"]]


def tags_of(emulator: Emulator, instance: str) -> dict[str, str]:
    found = emulator.client("ec2", WORKLOAD, REGION).describe_tags(
        Filters=[{"Name": "resource-id", "Values": [instance]}]
    )
    return {tag["Key"]: tag["Value"] for tag in found["Tags"]}


def is_contained(emulator: Emulator, instance: str) -> bool:
    """Whether every interface has one group only, which has no rule."""
    ec2 = emulator.client("ec2", WORKLOAD, REGION)
    rows = ec2.describe_network_interfaces(
        Filters=[{"Name": "attachment.instance-id", "Values": [instance]}]
    )["NetworkInterfaces"]
    groups = [[group["GroupId"] for group in row["Groups"]] for row in rows]
    assert groups
    if any(len(each) != 1 for each in groups):
        return False
    ids = sorted({each[0] for each in groups})
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": ids}])
    return rules["SecurityGroupRules"] == []


def case_of(emulator: Emulator, instance: str, case: str = CASE) -> dict[str, Any]:
    """The manifest of a case in the forensics account."""
    key = f"cases/{case}/{WORKLOAD}/{REGION}/{instance}/manifest.json"
    answer = emulator.client("s3", FORENSICS, REGION).get_object(Bucket=BUCKET, Key=key)
    found: dict[str, Any] = json.load(answer["Body"])
    return found


def changes(emulator: Emulator) -> set[str]:
    """The operations that change something, in any account; a notification does not."""
    reading = ("Describe", "Get", "List", "Head", "Assume", "Lookup", "Publish")
    return {call.operation for call in emulator.calls() if not call.operation.startswith(reading)}
