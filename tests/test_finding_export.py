"""export-finding: findings of resources and of whole accounts, into every sink."""

from __future__ import annotations

import base64
import json
import logging
import random
import zlib
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import c7n_mailer
import pytest
from c7n.config import Config
from c7n.exceptions import PolicyExecutionError, PolicyValidationError
from c7n_mailer.email_delivery import EmailDelivery

from c7n_secops_findings.sinks import BATCH
from c7n_secops_findings.sinks.firehose import FirehoseSink
from c7n_secops_findings.sinks.mailer import BYTES, MailerSink
from c7n_secops_findings.sinks.securityhub import SecurityHubSink
from c7n_secops_findings.store import open_store
from c7n_secops_tools.testing.runs import load_policy
from tests.emulator import Emulator
from tests.emulator.organisation import build, populate
from tests.finding_data import record
from tests.harness import ACCOUNT, REGION, Custodian
from tests.inspector_data import finding, launch, policy, validate

PRODUCTION = "222222222222"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
VARIABLES = {"findings_bucket": "acme-findings", "findings_key": KEY}
MUTATING = ("PutObject", "BatchImportFindings", "SendMessage", "Publish", "PutRecordBatch")


def export(*sinks: dict[str, Any], resource: str = "aws.ec2", **keys: Any) -> dict[str, Any]:
    """A policy that exports what Inspector says of a resource type, or all of an account."""
    action = {"type": "export-finding", "sinks": list(sinks), "accounts": "accounts.yml"}
    filters = [] if resource == "aws.account" else ["inspector-finding"]
    return {
        **policy(*filters, resource=resource),
        "actions": [{**action, **{key.replace("_", "-"): keys[key] for key in keys}}],
    }


def stored(run: Any, columns: str = "*", where: str = "true") -> list[dict[str, Any]]:
    rows = open_store(run.output).sql(f"SELECT {columns} FROM findings WHERE {where}")  # noqa: S608
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]


def bucket(emulator: Emulator, name: str = "acme-findings") -> Any:
    s3 = emulator.client("s3", ACCOUNT, REGION)
    s3.create_bucket(Bucket=name)
    return s3


def objects(s3: Any, name: str = "acme-findings") -> dict[str, list[Any]]:
    """The lines of every object, by key."""
    listed = s3.list_objects_v2(Bucket=name).get("Contents", [])
    return {
        each["Key"]: [
            json.loads(line)
            for line in s3.get_object(Bucket=name, Key=each["Key"])["Body"].read().splitlines()
        ]
        for each in listed
    }


def guardduty(emulator: Emulator, account: str = ACCOUNT, samples: int = 1) -> str:
    client = emulator.client("guardduty", account, REGION)
    (detector,) = client.list_detectors()["DetectorIds"] or [
        client.create_detector(Enable=True)["DetectorId"]
    ]
    for number in range(0, samples, 50):
        kinds = ["Backdoor:EC2/Spambot"] * min(samples - number, 50)
        client.create_sample_findings(DetectorId=detector, FindingTypes=kinds)
    return str(detector)


# --- findings of resources


def test_an_instance_s_findings_have_its_attributes_and_cost_no_call(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name, *_rest) = populate(emulator, ACCOUNT, REGION, 2, 3)
    ec2 = emulator.client("ec2", ACCOUNT, REGION)
    before = len(emulator.calls("ec2", "DescribeInstances"))
    run = custodian(export({"type": "local"}))
    assert len(emulator.calls("ec2", "DescribeInstances")) == before + 1  # Custodian's own
    assert run.action("export-finding")["counts"] == {"exported": 2}
    (instance,) = ec2.describe_instances(InstanceIds=[name])["Reservations"][0]["Instances"]
    rows = stored(run, where=f"resource_id = '{name}'")
    assert len(rows) == 3
    for row in rows:
        assert row["vpc"] == instance["VpcId"]
        assert row["subnet"] == instance["SubnetId"]
        assert row["private_ips"] == [instance["PrivateIpAddress"]]
        assert row["profile"] == instance["IamInstanceProfile"]["Arn"]
        assert row["resource_tags"] == {"Name": "fleet", "owner": "fleet-team"}
        assert row["owner"] == "fleet-team"
        assert (row["account_name"], row["enrichment_status"]) == ("security", "ok")


def test_groups_and_a_public_address_make_an_instance_exposed(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name,) = launch(emulator)
    emulator.add_findings(ACCOUNT, REGION, [finding(name)])
    ec2 = emulator.client("ec2", ACCOUNT, REGION)
    (instance,) = ec2.describe_instances(InstanceIds=[name])["Reservations"][0]["Instances"]
    assert instance["PublicIpAddress"]
    (row,) = stored(custodian(export({"type": "local"})))
    assert row["public_ips"] == [instance["PublicIpAddress"]]
    assert row["internet_exposed"] is True
    assert row["security_groups"] == [each["GroupId"] for each in instance["SecurityGroups"]]
    assert row["owner"] == "security@example.com"  # the account's, as no tag names one


def test_only_what_the_filter_matched_is_exported(emulator: Emulator, custodian: Custodian) -> None:
    one, other = launch(emulator, 2)
    emulator.add_findings(
        ACCOUNT, REGION, [finding(one), finding(other, severity="LOW"), finding(one, 2)]
    )
    data = export({"type": "local"})
    data["filters"] = [{"type": "inspector-finding", "severity": ["CRITICAL"]}]
    assert {row["resource_id"] for row in stored(custodian(data))} == {one}


def test_a_dry_run_says_what_would_be_exported_and_exports_nothing(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name,) = launch(emulator)
    emulator.add_findings(ACCOUNT, REGION, [finding(name), finding(name, 2)])
    bucket(emulator)
    sinks = [{"type": "local"}, {"type": "s3", "bucket": "acme-findings"}]
    run = custodian(export(*sinks), dryrun=True)
    (planned,) = json.loads((run.output / "plan.json").read_text())
    assert (planned["InstanceId"], planned["findings"]) == (name, 2)
    assert planned["sinks"] == ["local", "s3"]
    assert not emulator.calls("s3", "PutObject")
    assert stored(run) == []


# --- sinks


def test_every_format_is_stored_under_a_key_of_its_content(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name,) = launch(emulator)
    emulator.add_findings(ACCOUNT, REGION, [finding(name), finding(name, 2)])
    s3 = bucket(emulator)
    sink = {
        "type": "s3",
        "bucket": "acme-findings",
        "prefix": "a/b",
        "kms-key": KEY,
        "formats": ["record", "raw", "ocsf", "asff"],
    }
    custodian(export(sink))
    found = objects(s3)
    day = datetime.now(timezone.utc).date().isoformat()
    names = {key.split("/dt=")[0]: key.split("/dt=")[1] for key in found}
    assert set(names) == {f"a/b/{form}" for form in sink["formats"]}
    assert len(set(names.values())) == 1
    (rest,) = set(names.values())
    assert rest.startswith(f"{day}/account={ACCOUNT}/region={REGION}/")
    lines = {key.split("/")[2]: value for key, value in found.items()}
    assert {line["resource_id"] for line in lines["record"]} == {name}
    assert (
        {line["findingArn"] for line in lines["raw"]}
        == {line["Id"] for line in lines["asff"]}
        == {line["finding_info"]["uid"] for line in lines["ocsf"]}
    )
    head = s3.head_object(Bucket="acme-findings", Key=next(iter(found)))
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KEY)


def test_exporting_again_stores_nothing_again(emulator: Emulator, custodian: Custodian) -> None:
    (name,) = launch(emulator)
    emulator.add_findings(ACCOUNT, REGION, [finding(name)])
    s3 = bucket(emulator)
    emulator.client("securityhub", ACCOUNT, REGION).enable_security_hub()
    sinks = [{"type": "s3", "bucket": "acme-findings"}, {"type": "securityhub"}]
    first = custodian(export(*sinks))
    (key,) = objects(s3)
    written = s3.head_object(Bucket="acme-findings", Key=key)["LastModified"]
    again = custodian(export(*sinks))
    assert list(objects(s3)) == [key]
    assert s3.head_object(Bucket="acme-findings", Key=key)["LastModified"] == written
    (put,) = (call for call in emulator.calls("s3", "PutObject") if call.status == 412)
    assert put.error_code == "PreconditionFailed"
    assert first.action("export-finding")["counts"] == again.action("export-finding")["counts"]
    hub = emulator.client("securityhub", ACCOUNT, REGION)
    assert len(hub.get_findings()["Findings"]) == 1


def test_a_refusing_sink_fails_its_findings_and_keeps_them_from_no_other(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name,) = launch(emulator)
    emulator.add_findings(ACCOUNT, REGION, [finding(name), finding(name, 2)])
    sinks = [{"type": "s3", "bucket": "no-such-bucket"}, {"type": "local"}]
    run = custodian(export(*sinks))
    (result,) = run.action("export-finding")["results"]
    assert (result["outcome"], result["findings"]) == ("failed", 0)
    assert result["code"] == "NoSuchBucket"
    assert result["reason"].startswith("s3 refused 2 findings")
    assert len(stored(run)) == 2


def test_security_hub_gets_a_hundred_at_a_time_and_refuses_some(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name,) = launch(emulator)
    emulator.add_findings(
        ACCOUNT, REGION, [finding(name, number, severity="LOW") for number in range(101)]
    )
    emulator.client("securityhub", ACCOUNT, REGION).enable_security_hub()
    run = custodian(export({"type": "securityhub"}))
    assert run.action("export-finding")["counts"] == {"exported": 1}
    sent = emulator.calls("securityhub", "BatchImportFindings")
    assert (
        sorted(len(call.params.get("Findings", [])) for call in sent)[:1] == [0] or len(sent) == 2
    )
    assert len(sent) == 2


def test_security_hub_that_is_off_fails_the_findings(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name,) = launch(emulator)
    emulator.add_findings(ACCOUNT, REGION, [finding(name)])
    (result,) = custodian(export({"type": "securityhub"})).action("export-finding")["results"]
    assert (result["outcome"], result["code"]) == ("failed", "InvalidAccessException")


def test_the_shipped_policy_imports_exploitable_findings(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name,) = launch(emulator)
    emulator.add_findings(
        ACCOUNT, REGION, [finding(name, exploitAvailable="YES"), finding(name, 2)]
    )
    hub = emulator.client("securityhub", ACCOUNT, REGION)
    hub.enable_security_hub()
    custodian("ec2-findings-to-security-hub")
    (imported,) = hub.get_findings()["Findings"]
    assert imported["Vulnerabilities"][0]["ExploitAvailable"] == "YES"
    assert imported["Severity"]["Label"] == "CRITICAL"
    assert imported["Resources"][0]["Details"]["AwsEc2Instance"]["VpcId"].startswith("vpc-")


@pytest.mark.parametrize("kind", ["sqs", "sns"])
def test_c7n_mailer_reads_what_is_sent_to_it(
    emulator: Emulator, custodian: Custodian, kind: str
) -> None:
    (name,) = launch(emulator)
    emulator.client("ec2", ACCOUNT, REGION).create_tags(
        Resources=[name], Tags=[{"Key": "OwnerContact", "Value": "owner@example.com"}]
    )
    emulator.add_findings(ACCOUNT, REGION, [finding(name)])
    sqs = emulator.client("sqs", ACCOUNT, REGION)
    url = sqs.create_queue(QueueName="c7n-mailer")["QueueUrl"]
    if kind == "sqs":
        custodian(
            "ec2-findings-to-tickets",
            vars={"mailer_queue": url, "security_contact": "security@example.com"},
        )
    else:
        sns = emulator.client("sns", ACCOUNT, REGION)
        topic = sns.create_topic(Name="mail")["TopicArn"]
        queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:c7n-mailer"
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
        sink = {"type": "sns", "topic": topic, "to": ["a@example.com"], "template": "default"}
        custodian(export({**sink, "subject": "findings"}))
    (received,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    body = received["Body"]
    if kind == "sns":
        wrapped = json.loads(body)
        body = wrapped["Message"]
        assert wrapped["MessageAttributes"]["mtype"]["Value"] == "maidmsg/1.0"
    else:
        assert received["MessageAttributes"]["mtype"]["StringValue"] == "maidmsg/1.0"
    message = json.loads(zlib.decompress(base64.b64decode(body)))
    mails = EmailDelivery(
        {
            "from_address": "custodian@example.com",
            "templates_folders": [str(Path(c7n_mailer.__file__).parent / "msg-templates")],
            "contact_tags": ["OwnerContact"],
            "region": REGION,
        },
        emulator.session(ACCOUNT, REGION),
        logging.getLogger("mailer"),
    ).get_emails_to_mimetext_map(message)
    people = {person for addresses in mails for person in addresses}
    wanted = {"owner@example.com", "security@example.com"} if kind == "sqs" else {"a@example.com"}
    assert people == wanted
    (resource,) = message["resources"]
    assert resource["resource_id"] == name
    assert {"Key": "OwnerContact", "Value": "owner@example.com"} in resource["Tags"]
    assert message["action"]["type"] == "notify"
    assert message["policy"]["resource"] == "aws.account"
    assert "raw" not in resource


def test_a_message_to_c7n_mailer_is_cut_in_two_where_it_is_too_large() -> None:
    dice = random.Random(1)  # noqa: S311

    def noise(size: int) -> str:
        return base64.b64encode(dice.randbytes(size)).decode()

    sent: list[str] = []
    sink = MailerSink(lambda body, _attributes: sent.append(body), {"policy": {}})
    findings = [record(n, description=noise(12_000)) for n in range(30)]
    assert sink.write(findings) == []
    assert len(sent) > 1
    assert all(len(body) <= BYTES for body in sent)
    unpacked = [json.loads(zlib.decompress(base64.b64decode(body))) for body in sent]
    ids = [each["id"] for message in unpacked for each in message["resources"]]
    assert sorted(ids) == sorted(each.id for each in findings)


class Stream:
    """A delivery stream that refuses the records that are named."""

    def __init__(self, refuse: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        self.batches: list[list[bytes]] = []
        self.refuse = refuse

    def put_record_batch(self, DeliveryStreamName: str, Records: list[Any]) -> Any:  # noqa: N803
        self.batches.append([each["Data"] for each in Records])
        bad = {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "slow down"}
        answers = [
            bad if number in self.refuse else {"RecordId": "1"} for number in range(len(Records))
        ]
        return {"FailedPutCount": len(self.refuse), "RequestResponses": answers}


def test_firehose_gets_five_hundred_records_and_four_megabytes_at_most() -> None:
    stream = Stream()
    small = [record(number) for number in range(501)]
    assert FirehoseSink(stream, "s").write(small) == []
    assert [len(batch) for batch in stream.batches] == [500, 1]
    stream = Stream()
    large = [record(number, description="d" * 19_000) for number in range(400)]
    FirehoseSink(stream, "s").write(large)
    assert len(stream.batches) > 1
    assert all(sum(map(len, batch)) <= 4 * 2**20 for batch in stream.batches)
    assert sum(map(len, stream.batches)) == 400


def test_a_record_that_firehose_refuses_is_refused_and_no_other() -> None:
    findings = [record(number) for number in range(3)]
    (refusal,) = FirehoseSink(Stream({1}), "s").write(findings)
    assert refusal == (findings[1].id, "ServiceUnavailableException", "slow down")


def test_a_record_that_firehose_never_takes_is_refused() -> None:
    too_large = record(1, remediation={"x": "y" * 1_100_000})
    stream = Stream()
    refusals = FirehoseSink(stream, "s").write([too_large, record(2)])
    assert [(each.id, each.code) for each in refusals] == [(too_large.id, "TooLarge")]
    assert len(stream.batches[0]) == 1


def test_the_shipped_policy_sends_guardduty_s_last_day_to_a_stream(
    emulator: Emulator, custodian: Custodian
) -> None:
    guardduty(emulator, samples=2)
    s3 = bucket(emulator, "stream-bucket")
    emulator.client("firehose", ACCOUNT, REGION).create_delivery_stream(
        DeliveryStreamName="c7n-secops-guardduty",
        ExtendedS3DestinationConfiguration={
            "RoleARN": f"arn:aws:iam::{ACCOUNT}:role/x",
            "BucketARN": "arn:aws:s3:::stream-bucket",
        },
    )
    run = custodian("account-guardduty-to-firehose")
    (result,) = run.action("export-finding")["results"]
    assert (result["outcome"], result["findings"]) == ("exported", 2)
    (lines,) = objects(s3, "stream-bucket").values()
    assert {line["source"] for line in lines} == {"guardduty"}


# --- whole accounts


def test_the_backfill_of_an_account_reads_both_services_and_looks_instances_up(
    emulator: Emulator, custodian: Custodian
) -> None:
    populate(emulator, ACCOUNT, REGION, 3, 2)
    guardduty(emulator, samples=51)
    s3 = bucket(emulator)
    run = custodian("account-findings-backfill", vars=VARIABLES)
    (result,) = run.action("export-finding")["results"]
    assert (result["outcome"], result["findings"]) == ("exported", 57)
    ((key, lines),) = objects(s3).items()
    assert key.startswith("findings/record/dt=")
    assert Counter(line["source"] for line in lines) == {"inspector2": 6, "guardduty": 51}
    status = {(line["source"], line["enrichment_status"]) for line in lines}
    assert status == {("inspector2", "ok"), ("guardduty", "terminated")}
    assert {line["owner"] for line in lines if line["source"] == "inspector2"} == {"fleet-team"}
    assert len(emulator.calls("guardduty", "ListFindings")) == 2
    assert len(emulator.calls("guardduty", "GetFindings")) == 2
    described = [c.error_code for c in emulator.calls("ec2", "DescribeInstances")]
    assert described[-2:] == ["InvalidInstanceID.NotFound", ""]


def test_the_backfill_and_the_filter_make_the_same_records(
    emulator: Emulator, custodian: Custodian
) -> None:
    populate(emulator, ACCOUNT, REGION, 2, 2)
    swept = stored(custodian("account-findings-local"))
    filtered = stored(custodian(export({"type": "local"})))
    assert sorted(swept, key=str) == sorted(filtered, key=str)


def test_findings_of_members_are_looked_up_under_the_role_once_an_account(
    emulator: Emulator, custodian: Custodian
) -> None:
    made = build(emulator, instances=4)
    listed = emulator.client("inspector2", PRODUCTION, REGION).list_findings()["findings"]
    emulator.add_findings(ACCOUNT, REGION, listed)  # as a delegated administrator sees them
    sinks = [{"type": "local"}]
    denied = custodian(export(*sinks, resource="aws.account", sources=["inspector2"]))
    rows = stored(denied, "enrichment_status, account_id")
    assert {row["enrichment_status"] for row in rows if row["account_id"] == PRODUCTION} == {
        "denied"
    }
    emulator.clear_calls()
    data = export(*sinks, resource="aws.account", sources=["inspector2"], role=made.role)
    rows = stored(custodian(data), "*", f"account_id = '{PRODUCTION}'")
    assert {row["enrichment_status"] for row in rows} == {"ok"}
    assert {row["account_name"] for row in rows} == {"production"}
    assert {row["owner"] for row in rows} == {"production-team"}
    assert len(emulator.calls("sts", "AssumeRole")) == 1
    assert len(emulator.calls("ec2", "DescribeInstances", PRODUCTION)) == 1


def test_a_role_that_cannot_be_assumed_leaves_the_records_denied(
    emulator: Emulator, custodian: Custodian
) -> None:
    other = finding("i-0123456789abcdef0", awsAccountId=PRODUCTION)
    emulator.add_findings(ACCOUNT, REGION, [other])
    data = export({"type": "local"}, resource="aws.account", role="no-such-role")
    (row,) = stored(custodian(data))
    assert row["enrichment_status"] == "denied"


@pytest.mark.parametrize(
    ("service", "operation"), [("inspector2", "ListFindings"), ("guardduty", "ListDetectors")]
)
def test_a_refused_read_is_reported_and_what_was_read_is_stored(
    emulator: Emulator, custodian: Custodian, service: str, operation: str
) -> None:
    populate(emulator, ACCOUNT, REGION, 1, 2)
    guardduty(emulator)
    emulator.fault(service, operation, code="AccessDeniedException", status=403, times=None)
    run = custodian("account-findings-local")
    (result,) = run.action("export-finding")["results"]
    assert (result["outcome"], result["code"]) == ("not-evaluated", "AccessDeniedException")
    assert [each["code"] for each in run.not_evaluated] == ["AccessDeniedException"]
    assert len(stored(run)) == (2 if service == "guardduty" else 0)


def test_only_what_changed_since_then_is_read(emulator: Emulator, custodian: Custodian) -> None:
    (name,) = launch(emulator)
    old = (datetime.now(timezone.utc) - timedelta(days=9)).isoformat()
    emulator.add_findings(ACCOUNT, REGION, [finding(name), finding(name, 2, updatedAt=old)])
    detector = guardduty(emulator)
    data = export({"type": "local"}, resource="aws.account", since=7)
    assert Counter(r["source"] for r in stored(custodian(data))) == {
        "inspector2": 1,
        "guardduty": 1,
    }
    assert detector


def test_an_account_policy_covers_the_regions_that_it_names(
    emulator: Emulator, custodian: Custodian
) -> None:
    for region in (REGION, "eu-west-1"):
        populate(emulator, ACCOUNT, region, 1, 1)
    data = export({"type": "local"}, resource="aws.account", regions=[REGION, "eu-west-1"])
    assert {row["region"] for row in stored(custodian(data))} == {REGION, "eu-west-1"}


def test_findings_are_written_in_batches(emulator: Emulator, custodian: Custodian) -> None:
    populate(emulator, ACCOUNT, REGION, 101, 10)
    run = custodian(export({"type": "local"}, resource="aws.account", sources=["inspector2"]))
    files = list(run.output.glob("findings/dt=*/*.parquet"))
    assert len(stored(run, "id")) == 1010 > BATCH
    assert len(files) == 2


def test_a_finding_of_unknown_shape_is_counted_and_the_others_are_stored(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name,) = launch(emulator)
    emulator.add_findings(
        ACCOUNT, REGION, [finding(name), finding(name, 2, findingArn="not-an-arn")]
    )
    run = custodian(export({"type": "local"}))
    (result,) = run.action("export-finding")["results"]
    assert (result["outcome"], result["code"], result["findings"]) == ("partial", "UnknownShape", 1)
    assert len(stored(run)) == 1


# --- what a policy may say


def test_permissions_are_those_of_the_sinks_and_reads_that_are_named() -> None:
    def needed(data: dict[str, Any]) -> set[str]:
        (action,) = load_policy(
            data, Config.empty(regions=[REGION], account_id=ACCOUNT)
        ).resource_manager.actions
        return set(action.get_permissions())

    assert needed(export({"type": "local"})) == set()
    assert needed(export({"type": "s3", "bucket": "bbb"})) == {
        "s3:PutObject",
        "kms:GenerateDataKey",
    }
    backfill = export({"type": "securityhub"}, resource="aws.account", sources=["inspector2"])
    assert needed(backfill) == {
        "inspector2:ListFindings",
        "ec2:DescribeInstances",
        "securityhub:BatchImportFindings",
    }
    backfill["actions"][0]["role"] = "reader"
    assert "sts:AssumeRole" in needed(backfill)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (export({"type": "local"}, since=3), "since is for aws.account only; remove it"),
        (export({"type": "local"}, role="r"), "role is for aws.account only"),
        (export({"type": "s3"}), "'bucket' is a required property|not valid under"),
        (export({"type": "local", "bucket": "b"}), "not valid|unexpected"),
        (
            {**export({"type": "local"}), "filters": []},
            "needs findings to export; add an inspector-finding filter",
        ),
        (
            {**export({"type": "local"}), "mode": {"type": "periodic", "schedule": "rate(1 day)"}},
            "a function has no output directory; use s3 instead of local",
        ),
    ],
)
def test_a_policy_that_cannot_work_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyValidationError, match=message):
        validate(data)


def test_a_variable_that_nothing_expanded_stops_the_run(
    emulator: Emulator, custodian: Custodian
) -> None:
    with pytest.raises(PolicyExecutionError, match=r"s3.bucket \{findings_bucket\}"):
        custodian("account-findings-backfill")
    assert not [call for call in emulator.calls() if call.operation in MUTATING]


def test_two_sinks_of_one_kind_are_told_apart(emulator: Emulator, custodian: Custodian) -> None:
    (name,) = launch(emulator)
    emulator.add_findings(ACCOUNT, REGION, [finding(name)])
    s3 = bucket(emulator)
    sinks = [{"type": "s3", "bucket": "acme-findings"}, {"type": "s3", "bucket": "no-such-bucket"}]
    (result,) = custodian(export(*sinks)).action("export-finding")["results"]
    assert result["reason"].startswith("s3-2 refused")
    assert len(objects(s3)) == 1


def test_what_security_hub_told_is_not_imported_into_it_again() -> None:
    told = replace(record(), source="securityhub")
    sink = SecurityHubSink(SimpleNamespace())  # type: ignore[arg-type]  # no client to be had
    assert sink.write([told]) == []
