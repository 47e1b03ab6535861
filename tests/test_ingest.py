"""Ingestion: nothing is lost, doubled or held up, whatever comes and whenever the function dies."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from c7n.credentials import SessionFactory
from c7n.utils import reset_session_cache

from c7n_secops_findings import enrich, ingest
from c7n_secops_findings.access import Access
from c7n_secops_findings.accounts import Accounts
from c7n_secops_findings.decode import decode
from c7n_secops_findings.enrich import Enricher
from c7n_secops_findings.ingest import DeadLetters, Ingester
from c7n_secops_findings.sinks.local import LocalSink
from c7n_secops_findings.sinks.s3 import S3Sink
from c7n_secops_findings.store import FOLDER, open_store
from tests.emulator import Emulator, running
from tests.emulator.organisation import Organisation, build, create_role, populate, trust
from tests.finding_data import event, sample
from tests.harness import ACCOUNT, REGION, ROOT, Cli

PRODUCTION, STAGING = "222222222222", "333333333333"
READER = "reader"
RECEIVES = 3
POISON = '{"nobody": "knows this"}'
LATER = "Wed Sep 04 18:00:00.000 UTC 2024"


def message(body: Any, number: int = 1, receives: int = 1) -> dict[str, Any]:
    return {
        "messageId": f"message-{number}",
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": {"ApproximateReceiveCount": str(receives)},
    }


def messages(*bodies: Any) -> list[dict[str, Any]]:
    return [message(body, number) for number, body in enumerate(bodies, start=1)]


class Hub:
    """The security account: its queues, its bucket, and ingesters that work there."""

    def __init__(self, emulator: Emulator, folder: Path):
        self.emulator, self.folder = emulator, folder
        self.watch: Callable[[Any], None] = lambda _session: None
        self.sqs = emulator.client("sqs", ACCOUNT, REGION)
        self.s3 = emulator.client("s3", ACCOUNT, REGION)
        self.s3.create_bucket(Bucket="findings")
        self.dead = self.sqs.create_queue(QueueName="dead")["QueueUrl"]

    def access(self, role: str | None = READER) -> Access:
        sessions = SessionFactory(REGION)
        sessions.set_subscribers([self.watch])
        caller = SimpleNamespace(manager=SimpleNamespace(session_factory=sessions))
        return Access(caller, home=ACCOUNT, region=REGION, partition="aws", role=role)

    def ingester(self, role: str | None = READER) -> Ingester:
        access = self.access(role)
        return Ingester(
            Enricher(access, Accounts.load(ROOT / "accounts.yml")).enrich,
            {
                "s3": S3Sink(access.client("s3"), "findings"),
                "local": LocalSink(self.folder / FOLDER),
            },
            DeadLetters(access.client("sqs"), self.dead),
            RECEIVES,
        )

    def ingest(self, *found: dict[str, Any]) -> list[str]:
        return self.ingester().ingest(found)

    def stored(self, columns: str = "id, version, status") -> list[tuple[Any, ...]]:
        rows = open_store(self.folder).sql(f"SELECT {columns} FROM findings")  # noqa: S608
        return sorted(rows.fetchall(), key=str)

    def lines(self) -> list[dict[str, Any]]:
        """Every line of every object, newest versions only."""
        listed = self.s3.list_objects_v2(Bucket="findings").get("Contents", [])
        bodies = [self.s3.get_object(Bucket="findings", Key=o["Key"])["Body"] for o in listed]
        newest: dict[str, dict[str, Any]] = {}
        for body in bodies:
            for line in map(json.loads, body.read().splitlines()):
                known = newest.get(line["id"])
                if known is None or known["version"] < line["version"]:
                    newest[line["id"]] = line
        return list(newest.values())

    def keys(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket="findings").get("Contents", [])
        return [each["Key"] for each in listed]

    def given_up(self) -> list[tuple[str, dict[str, str]]]:
        """The messages of the dead-letter queue, with their attributes."""
        answer = self.sqs.receive_message(
            QueueUrl=self.dead, MessageAttributeNames=["All"], MaxNumberOfMessages=10
        )
        return [
            (
                each["Body"],
                {k: v["StringValue"] for k, v in each.get("MessageAttributes", {}).items()},
            )
            for each in answer.get("Messages", [])
        ]


@pytest.fixture
def hub(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    for name, value in emulator.environ(ACCOUNT, REGION).items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return Hub(emulator, tmp_path)


@pytest.fixture
def instances(emulator: Emulator) -> dict[str, list[str]]:
    """Two instances in each account, and the role that lets the hub look them up."""
    made = {}
    for account in (PRODUCTION, STAGING):
        create_role(emulator, account, READER, trust(AWS=f"arn:aws:iam::{ACCOUNT}:root"))
        made[account] = populate(emulator, account, REGION, 2, 0, role=None)
    emulator.clear_calls()
    return made


# --- what becomes of messages


def test_findings_are_completed_and_stored(hub: Hub, instances: dict[str, list[str]]) -> None:
    bodies = [
        event(1, PRODUCTION, resource=instances[PRODUCTION][0]),
        event(2, STAGING, resource=instances[STAGING][0]),
    ]
    assert hub.ingest(*messages(*bodies)) == []
    rows = hub.stored("account_id, account_name, owner, vpc, enrichment_status")
    assert [row[:3] for row in rows] == [
        (PRODUCTION, "production", "fleet-team"),
        (STAGING, "staging", "fleet-team"),
    ]
    assert all(row[3].startswith("vpc-") and row[4] == "ok" for row in rows)
    assert sorted(line["account_name"] for line in hub.lines()) == ["production", "staging"]
    assert len(hub.keys()) == 2


def test_a_batch_costs_a_role_an_account_and_a_look_up_and_an_object_a_place(
    hub: Hub, instances: dict[str, list[str]]
) -> None:
    bodies = [
        event(number, account, resource=instances[account][number % 2])
        for account in (PRODUCTION, STAGING)
        for number in range(20)
    ]
    ingester = hub.ingester()
    assert ingester.ingest(messages(*bodies)) == []
    assert ingester.ingest(messages(event(99, PRODUCTION, resource=instances[PRODUCTION][0]))) == []
    emulator = hub.emulator
    assert len(emulator.calls("sts", "AssumeRole")) == 2
    assert len(emulator.calls("ec2", "DescribeInstances")) == 2
    assert len(emulator.calls("s3", "PutObject")) == 2 + 1


def test_a_closed_finding_replaces_the_open_one_in_whatever_order_they_come(hub: Hub) -> None:
    opened, closed = event(1), event(1, status="CLOSED", updatedAt=LATER)
    hub.ingest(*messages(closed))
    hub.ingest(*messages(opened))
    ((_, _, status),) = hub.stored()
    assert status == "CLOSED"
    assert [line["status"] for line in hub.lines()] == ["CLOSED"]


def test_an_unknown_shape_goes_to_the_dead_letters_at_once_and_the_rest_goes_on(hub: Hub) -> None:
    broken = event(2)
    broken["detail"]["severity"] = "AWFUL\N{ESCAPE}"
    again = hub.ingest(*messages(event(1), POISON, broken, "no json", event(3)))
    assert again == []
    assert len(hub.stored()) == 2
    given_up = hub.given_up()
    reasons = {attributes["message-id"]: attributes["reason"] for _, attributes in given_up}
    assert set(reasons) == {"message-2", "message-3", "message-4"}
    assert "neither an EventBridge event" in reasons["message-2"]
    assert "finding.severity is not one of" in reasons["message-3"]
    assert "not JSON" in reasons["message-4"]
    assert {attributes["code"] for _, attributes in given_up} == {"UnknownShape"}
    assert POISON in [body for body, _ in given_up]


def test_an_unknown_shape_stays_where_the_dead_letters_do_not_take_it(hub: Hub) -> None:
    hub.emulator.fault("sqs", "SendMessage", code="AccessDenied", status=403, times=None)
    assert hub.ingest(*messages(POISON, event(1))) == ["message-1"]
    assert len(hub.stored()) == 1


def test_known_events_without_a_finding_are_done(hub: Hub) -> None:
    assert hub.ingest(*messages(sample("guardduty-cloudtrail-api-call"))) == []
    assert (hub.stored(), hub.given_up()) == ([], [])


def test_what_a_sink_refuses_is_delivered_again_and_is_in_the_others(hub: Hub) -> None:
    hub.emulator.fault(
        "s3", "PutObject", code="SlowDown", status=503, times=None, contains=f"{2:032x}"
    )
    bodies = [event(1), event(2, PRODUCTION)]
    assert hub.ingest(*messages(*bodies)) == ["message-2"]
    assert len(hub.lines()) == 1
    assert len(hub.stored()) == 2
    hub.emulator.clear_faults()
    assert hub.ingest(message(bodies[1], 2, receives=2)) == []
    assert len(hub.lines()) == len(hub.stored()) == 2


def test_what_is_refused_at_its_last_delivery_ends_with_the_reason(hub: Hub) -> None:
    hub.emulator.fault("s3", "PutObject", code="AccessDenied", status=403, times=None)
    assert hub.ingest(message(event(1), 1, receives=RECEIVES - 1)) == ["message-1"]
    assert hub.given_up() == []
    assert hub.ingest(message(event(1), 1, receives=RECEIVES)) == []
    ((body, said),) = hub.given_up()
    assert json.loads(body) == event(1)
    assert said["code"] == "AccessDenied"
    assert said["reason"].startswith("s3: ")


def test_a_message_with_many_findings_is_done_when_all_are_stored(hub: Hub) -> None:
    def told(number: int, account: str) -> dict[str, Any]:
        return {
            "SchemaVersion": "2018-10-08",
            "Id": f"{number}",
            "ProductArn": f"arn:aws:securityhub:{REGION}:{account}:product/{account}/acme",
            "GeneratorId": "acme",
            "AwsAccountId": account,
            "CreatedAt": "2024-01-01T00:00:00Z",
            "UpdatedAt": "2024-01-02T00:00:00Z",
            "Severity": {"Label": "HIGH"},
            "Title": "t",
            "Description": "d",
            "Resources": [{"Type": "AwsS3Bucket", "Id": f"arn:aws:s3:::b{number}"}],
        }

    body = {
        "source": "aws.securityhub",
        "detail-type": "Security Hub Findings - Imported",
        "detail": {"findings": [told(1, ACCOUNT), told(2, PRODUCTION)]},
    }
    hub.emulator.fault("s3", "PutObject", code="SlowDown", status=503, times=None, contains="b2")
    assert hub.ingest(*messages(body)) == ["message-1"]
    hub.emulator.clear_faults()
    assert hub.ingest(*messages(body)) == []
    assert len(hub.lines()) == 2


# --- enrichment


def test_an_instance_that_is_gone_is_terminated_and_hides_no_other(
    hub: Hub, instances: dict[str, list[str]]
) -> None:
    gone, alive = instances[PRODUCTION]
    ec2 = hub.emulator.client("ec2", PRODUCTION, REGION)
    ec2.terminate_instances(InstanceIds=[gone])
    never = "i-0123456789abcdef0"
    bodies = [
        event(number, PRODUCTION, resource=name)
        for number, name in enumerate((gone, alive, never, "no-instance-id"))
    ]
    assert hub.ingest(*messages(*bodies)) == []
    assert dict(hub.stored("resource_id, enrichment_status")) == {
        gone: "terminated",
        alive: "ok",
        never: "terminated",
        "no-instance-id": "terminated",
    }


def test_an_instance_is_looked_up_again_after_a_minute_and_one_that_is_gone_is_known_to_be(
    hub: Hub, instances: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(float(minute * 61) for minute in (0, 0.5, 2, 2.5, 4))
    ingester = hub.ingester()
    monkeypatch.setattr(enrich, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    name, never = instances[PRODUCTION][0], "i-0123456789abcdef0"
    asked = []
    for minute in range(4):
        bodies = [
            event(minute * 2 + n, PRODUCTION, resource=r) for n, r in enumerate((name, never))
        ]
        assert ingester.ingest(messages(*bodies)) == []
        asked.append(len(hub.emulator.calls("ec2", "DescribeInstances")))
    assert asked == [2, 2, 4, 4]  # each look-up is refused once for the one that is gone
    assert dict(hub.stored("resource_id, enrichment_status")) == {name: "ok", never: "terminated"}


def test_an_account_that_lets_nobody_in_is_denied(
    hub: Hub, instances: dict[str, list[str]]
) -> None:
    bodies = [event(1, "444444444444"), event(2, PRODUCTION, resource=instances[PRODUCTION][0])]
    assert hub.ingest(*messages(*bodies)) == []
    assert dict(hub.stored("account_id, enrichment_status")) == {
        "444444444444": "denied",
        PRODUCTION: "ok",
    }


def test_a_look_up_that_is_denied_is_denied_and_keeps_what_the_finding_says(
    hub: Hub, instances: dict[str, list[str]]
) -> None:
    hub.emulator.fault(
        "ec2", "DescribeInstances", code="UnauthorizedOperation", status=403, times=None
    )
    hub.ingest(*messages(event(1, PRODUCTION, resource=instances[PRODUCTION][0])))
    assert hub.stored("enrichment_status, vpc") == [("denied", "vpc-12345678")]


def test_a_look_up_that_is_throttled_is_asked_again_later(
    hub: Hub, instances: dict[str, list[str]]
) -> None:
    hub.emulator.fault(
        "ec2",
        "DescribeInstances",
        code="RequestLimitExceeded",
        status=503,
        times=None,
        account=PRODUCTION,
    )
    bodies = [event(n, a, resource=instances[a][0]) for n, a in enumerate(instances)]
    assert hub.ingest(*messages(*bodies)) == ["message-1"]
    assert [row[0] for row in hub.stored("account_id")] == [STAGING]
    hub.emulator.clear_faults()
    assert hub.ingest(*messages(*bodies)) == []
    assert len(hub.stored()) == 2


def test_a_throttled_role_is_asked_for_again_and_a_denied_one_is_not(hub: Hub) -> None:
    ingester = hub.ingester()
    hub.emulator.fault("sts", "AssumeRole", code="Throttling", times=2)
    assert ingester.ingest(messages(event(1, PRODUCTION))) == ["message-1"]
    assert ingester.ingest(messages(event(1, PRODUCTION))) == []
    assert [row[0] for row in hub.stored("enrichment_status")] == ["denied"]
    asked = len(hub.emulator.calls("sts", "AssumeRole"))
    ingester.ingest(messages(event(2, PRODUCTION)))
    assert len(hub.emulator.calls("sts", "AssumeRole")) == asked


CLASSIC = f"arn:aws:inspector:{REGION}:{PRODUCTION}:target/0-a/template/0-b/run/0-c/finding/0-1"


def classic(**changes: Any) -> dict[str, Any]:
    return {
        "arn": CLASSIC,
        "assetType": "ec2-instance",
        "assetAttributes": {"schemaVersion": 1, "agentId": changes.pop("agent")},
        "title": "Port 22 is open",
        "description": "d",
        "recommendation": "Close it.",
        "severity": "High",
        "numericSeverity": 9.0,
        "attributes": [{"key": "CVE_ID", "value": "CVE-2019-1"}],
        "userAttributes": [],
        "createdAt": "2019-04-09T00:00:00Z",
        "updatedAt": "2019-04-09T00:00:00Z",
        **changes,
    }


def test_a_message_of_inspector_classic_becomes_the_finding_that_it_names(
    hub: Hub, instances: dict[str, list[str]]
) -> None:
    hub.emulator.add_classic_findings(PRODUCTION, REGION, [classic(agent=instances[PRODUCTION][0])])
    told = {**sample("inspector-classic-sns-message"), "finding": CLASSIC}
    wrapped = {"Type": "Notification", "Message": json.dumps(told)}
    assert hub.ingest(*messages(told, wrapped)) == []
    (row,) = hub.stored("title, severity, cves, resource_id, enrichment_status, version")
    assert row[:5] == (
        "Port 22 is open",
        "HIGH",
        ["CVE-2019-1"],
        instances[PRODUCTION][0],
        "ok",
    )
    assert row[5] == 1554768000000


@pytest.mark.parametrize("known", [True, False])
def test_a_finding_of_inspector_classic_that_cannot_be_had_is_stored_by_name(
    hub: Hub, instances: dict[str, list[str]], known: bool
) -> None:
    if known:
        hub.emulator.fault(
            "inspector", "DescribeFindings", code="AccessDeniedException", times=None
        )
    told = {**sample("inspector-classic-sns-message"), "finding": CLASSIC}
    assert hub.ingest(*messages(told)) == []
    (row,) = hub.stored("finding_arn, version, enrichment_status")
    assert row == (CLASSIC, 0, "denied" if known else "ok")
    assert instances


# --- killed


def bodies_of_a_batch(instances: dict[str, list[str]]) -> list[Any]:
    """Six messages of three accounts: an old version, a poison, and no finding among them."""
    return [
        event(1, PRODUCTION, resource=instances[PRODUCTION][0]),
        event(2, STAGING, resource=instances[STAGING][0]),
        POISON,
        event(1, PRODUCTION, status="CLOSED", updatedAt=LATER),
        sample("guardduty-cloudtrail-api-call"),
        event(3, ACCOUNT),
    ]


class Deadly(list[Any]):
    """Messages of which the process does not survive the k-th."""

    def __init__(self, items: list[Any], survives: int):
        super().__init__(items)
        self.survives = survives

    def __iter__(self) -> Iterator[Any]:
        for number, item in enumerate(super().__iter__()):
            if number == self.survives:
                os.kill(os.getpid(), signal.SIGKILL)
            yield item


def dies_at_message(number: int) -> Callable[[Hub, list[Any]], None]:
    def run(hub: Hub, batch: list[Any]) -> None:
        hub.ingester().ingest(Deadly(batch, number))

    return run


def dies_at_call(number: int, answered: bool) -> Callable[[Hub, list[Any]], None]:
    """Killed at the n-th AWS call: before it is sent, or after AWS has done it."""

    def run(hub: Hub, batch: list[Any]) -> None:
        count = iter(range(1, 1000))

        def strike(**_: Any) -> None:
            if next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        reset_session_cache()
        hub.watch = lambda session: session.events.register(
            "after-call" if answered else "before-send", strike
        )
        hub.ingester().ingest(batch)

    return run


def dies_at_rename(hub: Hub, batch: list[Any]) -> None:
    """Killed as the local store's file is about to appear."""

    def audit(name: str, _arguments: Any) -> None:
        if name == "os.rename":
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
    hub.ingester().ingest(batch)


CALLS = 9
"""Two roles, three look-ups, three objects, one dead letter."""
DEATHS = {
    **{f"message-{number}": dies_at_message(number) for number in range(6)},
    **{f"before-call-{number}": dies_at_call(number, False) for number in range(1, CALLS + 1)},
    **{f"after-call-{number}": dies_at_call(number, True) for number in range(1, CALLS + 1)},
    "rename": dies_at_rename,
}


def dying(death: Callable[[Hub, list[Any]], None], hub: Hub, batch: list[Any]) -> None:
    """Ends in the death; what earlier tests left behind is not collected in this process."""
    gc.freeze()
    death(hub, batch)


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS)
def test_whenever_it_is_killed_each_finding_is_stored_once_in_its_newest_version(
    hub: Hub, instances: dict[str, list[str]], death: Callable[[Hub, list[Any]], None]
) -> None:
    batch = messages(*bodies_of_a_batch(instances))
    child = multiprocessing.get_context("fork").Process(target=dying, args=(death, hub, batch))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    # delivered again: whole, then split otherwise, as SQS may
    assert hub.ingest(*batch) == []
    objects = hub.keys()
    assert hub.ingest(*batch) == []
    assert hub.keys() == objects
    wanted = sorted(
        (finding.id, finding.version, finding.status)
        for number in (1, 3, 5)
        for finding in decode(batch[number]["body"])
    )
    assert hub.stored() == wanted
    assert sorted((line["id"], line["version"], line["status"]) for line in hub.lines()) == wanted
    assert len(objects) == 3
    assert {body for body, _ in hub.given_up()} == {POISON}
    left = [path.name for path in (hub.folder / FOLDER).iterdir() if path.name[0] != "."]
    assert all(name.startswith("dt=") for name in left)


def test_a_batch_that_comes_again_in_other_parts_is_stored_once(
    hub: Hub, instances: dict[str, list[str]]
) -> None:
    batch = messages(*bodies_of_a_batch(instances))
    hub.ingest(*batch)
    before = hub.stored()
    for part in (batch[:2], batch[1:4], batch[3:]):
        assert hub.ingest(*part) == []
    assert hub.stored() == before
    assert sorted((line["id"], line["version"], line["status"]) for line in hub.lines()) == before


# --- deployed


def parameters(**values: str) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


def stack(emulator: Emulator, template: str, account: str, region: str, **values: str) -> Any:
    client = emulator.client("cloudformation", account, region)
    client.create_stack(
        StackName=template.removesuffix(".yml"),
        TemplateBody=(ROOT / "deploy" / template).read_text(),
        Parameters=parameters(**values),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    (made,) = client.describe_stacks(StackName=template.removesuffix(".yml"))["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in made.get("Outputs", [])}


@pytest.fixture
def enforcing() -> Iterator[Emulator]:
    """An emulator that denies what IAM policies do not allow."""
    with running(iam=True) as server:
        yield server


def deploy(
    emulator: Emulator, offline_cli: Cli, tmp_path: Path
) -> tuple[Organisation, dict[str, str]]:
    """Three accounts in two regions, forwarding to the hub's queue; and the hub's outputs.

    Every instance has a finding whose event was delivered, twice.
    """
    regions = (REGION, "eu-west-1")
    made = build(emulator, regions=regions, instances=1)
    archive = tmp_path / "ingest.zip"
    done = offline_cli("c7n-secops", "build-ingest", archive, "--accounts", ROOT / "accounts.yml")
    assert done.returncode == 0, done.stderr
    assert "3 accounts" in done.stdout
    s3 = emulator.client("s3", ACCOUNT, REGION)
    s3.create_bucket(Bucket="code")
    s3.put_object(Bucket="code", Key="c7n-secops-ingest.zip", Body=archive.read_bytes())
    accounts = [account.id for account in made.accounts]
    hub = stack(
        emulator,
        "findings-hub.yml",
        ACCOUNT,
        REGION,
        Accounts=",".join(accounts),
        BucketName="acme-findings",
        CodeBucket="code",
    )
    for account in accounts:
        for region in regions:
            stack(
                emulator,
                "findings-account.yml",
                account,
                region,
                HubBusArn=hub["BusArn"],
                IngestRoleArn=hub["IngestRoleArn"],
                WithRoles=str(region == REGION).lower(),
            )
    for number, instance in enumerate(made.instances):
        place = instance.account, instance.region
        told = event(number, *place, resource=instance.id)
        assert emulator.deliver_event(*place, told) == 1
        assert emulator.deliver_event(*place, told) == 1  # EventBridge delivers at least once
    return made, hub


def test_from_three_accounts_and_two_regions_to_the_hub_s_bucket(
    enforcing: Emulator, offline_cli: Cli, tmp_path: Path
) -> None:
    emulator = enforcing
    made, hub = deploy(emulator, offline_cli, tmp_path)
    s3 = emulator.client("s3", ACCOUNT, REGION)
    emulator.client("sqs", ACCOUNT, REGION).send_message(
        QueueUrl=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/c7n-secops-findings",
        MessageBody=POISON,
    )
    assert emulator.poll_queue(ACCOUNT, REGION, "c7n-secops-findings") == 1
    (invocation,) = emulator.lambda_results(ACCOUNT, REGION, "c7n-secops-ingest")
    assert invocation["payload"] == {"batchItemFailures": []}, invocation["log"]
    listed = s3.list_objects_v2(Bucket="acme-findings")["Contents"]
    lines = [
        json.loads(s3.get_object(Bucket="acme-findings", Key=each["Key"])["Body"].read())
        for each in listed
    ]
    assert sorted((line["account_id"], line["region"], line["resource_id"]) for line in lines) == (
        sorted((each.account, each.region, each.id) for each in made.instances)
    )
    assert {line["enrichment_status"] for line in lines} == {"ok"}
    assert {line["owner"] for line in lines} == {f"{a.name}-team" for a in made.accounts}
    head = s3.head_object(Bucket="acme-findings", Key=listed[0]["Key"])
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", hub["KeyArn"])
    sqs = emulator.client("sqs", ACCOUNT, REGION)
    dead = sqs.receive_message(QueueUrl=hub["DeadLettersUrl"], MessageAttributeNames=["All"])
    (poison,) = dead["Messages"]
    assert poison["MessageAttributes"]["code"]["StringValue"] == "UnknownShape"


def test_the_archive_holds_no_more_of_accounts_yml_than_records_need() -> None:
    config = Accounts.load(ROOT / "accounts.yml").to_config()
    assert Accounts.of(config).accounts == Accounts.load(ROOT / "accounts.yml").accounts
    text = json.dumps(config)
    assert "CloudCustodian" not in text
    assert "evidence" not in text


def test_accounts_have_the_unit_that_c7n_org_s_tags_or_vars_name() -> None:
    accounts = Accounts.of(
        {
            "vars": {"owner": "all@example.com"},
            "accounts": [
                {"account_id": "1" * 12, "name": "one", "tags": ["path:/Root/Prod", "a:b"]},
                {"account_id": "2" * 12, "vars": {"ou": "Dev", "owner": "me@example.com"}},
            ],
        }
    )
    (finding,) = decode(event(1))
    first, second = (
        accounts.name(replace(finding, account_id=account)) for account in ("1" * 12, "2" * 12)
    )
    assert (first.account_name, first.ou, first.owner) == ("one", "/Root/Prod", "all@example.com")
    assert (second.account_name, second.ou, second.owner) == (None, "Dev", "me@example.com")


def test_the_handler_is_set_up_by_its_environment(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    sinks = [{"type": "s3", "bucket": "findings", "prefix": "p"}]
    monkeypatch.setenv("C7N_SECOPS_SINKS", json.dumps(sinks))
    monkeypatch.setenv("C7N_SECOPS_DLQ", hub.dead)
    monkeypatch.setenv("C7N_SECOPS_RECEIVES", "2")
    ingest.ingester.cache_clear()
    context = SimpleNamespace(
        invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:ingest"
    )
    hub.emulator.fault("s3", "PutObject", code="SlowDown", status=503, times=2)
    told = {"Records": messages(event(1), POISON)}
    assert ingest.handler(told, context) == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}
    assert ingest.handler({"Records": messages(event(1))}, context) == {"batchItemFailures": []}
    (key,) = hub.keys()
    assert key.startswith("p/record/dt=")
    ingest.ingester.cache_clear()


def test_a_reason_that_sqs_would_not_take_is_made_fit() -> None:
    sent: list[dict[str, Any]] = []
    client = SimpleNamespace(send_message=lambda **given: sent.append(given))
    obstacle = ingest.Obstacle("", "a\x00b\ud83d" + "c" * 2000)
    assert DeadLetters(client, "url").send(message(POISON), obstacle)
    attributes = sent[0]["MessageAttributes"]
    assert attributes["reason"]["StringValue"] == ("a?b?" + "c" * 2000)[:1000]
    assert attributes["code"]["StringValue"] == "?"
