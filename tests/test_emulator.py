"""The emulator itself: each extension over HTTP, with the near misses.

What AWS really does was read from its documentation and from botocore's service models: these
tests hold the emulator to that reading, they do not prove the reading right.
"""

from __future__ import annotations

import datetime
import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)

from tests.emulator import Emulator, organisation, running
from tests.emulator.client import ControlError, share_models
from tests.emulator.kit import MOTO_VERSION, check_moto_version
from tests.emulator.lambda_runtime import closure, run_handler
from tests.emulator.organisation import CATALOGUE, network_finding, package_finding
from tests.emulator.shapes import find_reply_errors

ACCOUNT = "222222222222"
OTHER = "333333333333"
REGION = "us-east-1"
I1, I2, I3 = (f"i-{number:017x}" for number in (1, 2, 3))
XZ = next(v for v in CATALOGUE if v.package == "xz")
REQUESTS = next(v for v in CATALOGUE if v.package == "requests")
CURL = next(v for v in CATALOGUE if v.package == "curl")


def code_of(call: Callable[[], Any]) -> str:
    """Does return the error code of a call that must fail."""
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def outcome(call: Callable[[], Any]) -> str:
    """Does return the error code of a call, or nothing when it works."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def equals(*values: str) -> list[dict[str, str]]:
    return [{"comparison": "EQUALS", "value": value} for value in values]


@pytest.fixture
def inspector(emulator: Emulator) -> Any:
    return emulator.client("inspector2", ACCOUNT, REGION)


@pytest.fixture
def ssm(emulator: Emulator) -> Any:
    return emulator.client("ssm", ACCOUNT, REGION)


@pytest.fixture
def ec2(emulator: Emulator) -> Any:
    return emulator.client("ec2", ACCOUNT, REGION)


@pytest.fixture
def fleet(emulator: Emulator) -> Callable[..., list[str]]:
    """``fleet(3)`` runs managed instances, ``fleet(1, managed=False)`` one without a profile."""

    def run(number: int = 1, managed: bool = True) -> list[str]:
        names = emulator.client("iam", ACCOUNT).list_instance_profiles()["InstanceProfiles"]
        if not names:
            organisation.create_profile(emulator, ACCOUNT)
        profile = {"IamInstanceProfile": {"Name": organisation.PROFILE}} if managed else {}
        answer = emulator.client("ec2", ACCOUNT, REGION).run_instances(
            ImageId=organisation.IMAGE, MinCount=number, MaxCount=number, **profile
        )
        return [instance["InstanceId"] for instance in answer["Instances"]]

    return run


# --- the server ----------------------------------------------------------------------------------


def test_another_moto_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    check_moto_version()
    monkeypatch.setattr("importlib.metadata.version", lambda _: "9.9.9")
    with pytest.raises(RuntimeError, match=f"moto 9.9.9 is installed: install .*{MOTO_VERSION}"):
        check_moto_version()


def test_each_account_is_its_own(emulator: Emulator) -> None:
    for account in (ACCOUNT, OTHER):
        identity = emulator.client("sts", account).get_caller_identity()
        assert identity["Account"] == account
        assert identity["Arn"].startswith(f"arn:aws:iam::{account}:user/")
    emulator.client("s3", ACCOUNT).create_bucket(Bucket="only-here")
    assert emulator.client("s3", OTHER).list_buckets()["Buckets"] == []


def test_a_subprocess_acts_as_the_account_of_its_environment(emulator: Emulator) -> None:
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    environ = emulator.environ(OTHER, "eu-west-1")
    assert environ["AWS_DEFAULT_REGION"] == environ["AWS_REGION"] == "eu-west-1"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == OTHER


def test_an_unknown_access_key_is_refused(emulator: Emulator) -> None:
    session = boto3.Session("AKIAIOSFODNN7EXAMPLE", "secret", region_name=REGION)

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=emulator.url)

    assert code_of(client("sts").get_caller_identity) == "InvalidClientTokenId"
    assert code_of(client("ssm").list_commands) == "UnrecognizedClientException"
    assert code_of(client("ec2").describe_instances) == "AuthFailure"
    assert code_of(client("s3").list_buckets) == "InvalidAccessKeyId"


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_nobody_chooses_an_account_by_header(emulator: Emulator, signed: bool) -> None:
    emulator.client("s3", OTHER).create_bucket(Bucket="theirs")
    config = Config(signature_version=None if signed else UNSIGNED)
    client = emulator.session(ACCOUNT).client("s3", endpoint_url=emulator.url, config=config)
    client.meta.events.register(
        "before-call.s3", lambda params, **_: params["headers"].update({"x-moto-account-id": OTHER})
    )
    assert client.list_buckets()["Buckets"] == []


def test_reset_forgets_everything(emulator: Emulator, inspector: Any, ec2: Any) -> None:
    emulator.add_findings(ACCOUNT, REGION, [package_finding(ACCOUNT, REGION, I1)])
    emulator.set_agent(ACCOUNT, REGION, I1, PingStatus="Online")
    ec2.create_vpc(CidrBlock="10.9.0.0/16")
    emulator.fault("*", "*", times=None)
    emulator.delay(5_000)
    emulator.reset()
    assert inspector.list_findings()["findings"] == []
    assert "10.9.0.0/16" not in [v["CidrBlock"] for v in ec2.describe_vpcs()["Vpcs"]]
    assert [call.operation for call in emulator.calls()] == ["ListFindings", "DescribeVpcs"]


def test_a_control_mistake_is_told(emulator: Emulator) -> None:
    with pytest.raises(ControlError, match="no control function 'nonsense'"):
        emulator.control("nonsense")
    with pytest.raises(ControlError, match="kind must be error, timeout or crash"):
        emulator.fault("ec2", "*", kind="explode")


# --- call log, faults, delay ---------------------------------------------------------------------


def test_every_call_is_logged_with_its_outcome(emulator: Emulator, ssm: Any, ec2: Any) -> None:
    started = time.time()
    ec2.describe_instances(MaxResults=5)
    code_of(lambda: ssm.list_commands(CommandId="0" * 36))
    emulator.client("s3", OTHER).list_buckets()
    emulator.client("inspector2", ACCOUNT, "eu-west-1").list_findings(maxResults=7)
    calls = emulator.calls()
    assert [(c.service, c.operation, c.account, c.region, c.status) for c in calls] == [
        ("ec2", "DescribeInstances", ACCOUNT, REGION, 200),
        ("ssm", "ListCommands", ACCOUNT, REGION, 400),
        ("s3", "ListBuckets", OTHER, REGION, 200),
        ("inspector2", "ListFindings", ACCOUNT, "eu-west-1", 200),
    ]
    assert calls[1].error_code == "InvalidCommandId"
    assert calls[0].params["MaxResults"] == "5"
    assert calls[3].params == {"maxResults": 7}
    assert started <= calls[0].at <= calls[-1].at <= time.time()
    assert [c.service for c in emulator.calls(account=OTHER)] == ["s3"]
    assert [c.service for c in emulator.calls("ssm", "ListCommands")] == ["ssm"]
    emulator.clear_calls()
    assert emulator.calls() == []


PROTOCOLS = {
    "json": ("ssm", "list_commands", {}),
    "rest-json": ("inspector2", "list_findings", {}),
    "query": ("sts", "get_caller_identity", {}),
    "ec2": ("ec2", "describe_vpcs", {}),
    "rest-xml": ("s3", "list_buckets", {}),
    "cloudwatch": ("cloudwatch", "list_metrics", {}),
    "sqs": ("sqs", "list_queues", {}),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_error_has_the_form_of_its_protocol(emulator: Emulator, protocol: str) -> None:
    service, method, arguments = PROTOCOLS[protocol]
    call = getattr(emulator.client(service, ACCOUNT, REGION), method)
    emulator.fault(service, "*", code="SlowDown", status=503, message="not so fast")
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    error = raised.value.response
    assert error["Error"]["Code"] == "SlowDown"
    assert error["Error"]["Message"] == "not so fast"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 503
    call(**arguments)
    assert [c.error_code for c in emulator.calls(service)] == ["SlowDown", ""]


def test_a_modelled_fault_becomes_its_exception_class(emulator: Emulator, inspector: Any) -> None:
    emulator.fault("inspector2", "ListFindings", code="ThrottlingException", status=429)
    with pytest.raises(inspector.exceptions.ThrottlingException):
        inspector.list_findings()


def test_a_fault_strikes_only_what_it_names(emulator: Emulator) -> None:
    emulator.fault("ec2", "DescribeVpcs", times=None, account=ACCOUNT, region="eu-west-1")
    emulator.client("ec2", ACCOUNT, "us-east-1").describe_vpcs()
    emulator.client("ec2", OTHER, "eu-west-1").describe_vpcs()
    emulator.client("ec2", ACCOUNT, "eu-west-1").describe_subnets()
    struck = emulator.client("ec2", ACCOUNT, "eu-west-1")
    assert code_of(struck.describe_vpcs) == "ThrottlingException"
    emulator.clear_faults()
    struck.describe_vpcs()


def test_a_fault_skips_counts_and_reads_the_body(emulator: Emulator, ssm: Any) -> None:
    emulator.fault("ssm", "ListCommands", after=1, times=2)
    codes = [outcome(ssm.list_commands) for _ in range(4)]
    assert codes == ["", "ThrottlingException", "ThrottlingException", ""]
    assert [(f["seen"], f["used"]) for f in emulator.faults()] == [(3, 2)]
    emulator.clear_faults()
    emulator.fault("ssm", "*", contains=I2)
    ssm.describe_instance_patch_states(InstanceIds=[I1])
    assert code_of(lambda: ssm.describe_instance_patch_states(InstanceIds=[I1, I2]))


def test_a_probable_fault_repeats_with_its_seed(emulator: Emulator, ssm: Any) -> None:
    def outcomes(seed: int) -> list[str]:
        emulator.clear_faults()
        emulator.fault("ssm", "ListCommands", times=None, probability=0.5, seed=seed)
        return [outcome(ssm.list_commands) for _ in range(20)]

    first = outcomes(1)
    assert first == outcomes(1) != outcomes(2)
    assert 0 < first.count("") < 20


def test_a_fault_after_the_call_loses_only_the_answer(emulator: Emulator, ec2: Any) -> None:
    emulator.fault("ec2", "CreateVpc", when="after", code="InternalError", status=500)
    assert code_of(lambda: ec2.create_vpc(CidrBlock="10.8.0.0/16")) == "InternalError"
    emulator.fault("ec2", "CreateVpc", when="before", code="InternalError", status=500)
    assert code_of(lambda: ec2.create_vpc(CidrBlock="10.7.0.0/16")) == "InternalError"
    blocks = [vpc["CidrBlock"] for vpc in ec2.describe_vpcs()["Vpcs"]]
    assert "10.8.0.0/16" in blocks
    assert "10.7.0.0/16" not in blocks


def impatient(emulator: Emulator, service: str) -> Any:
    config = Config(read_timeout=0.5, retries={"total_max_attempts": 1})
    return emulator.session(ACCOUNT, REGION).client(
        service, endpoint_url=emulator.url, config=config
    )


def test_a_timeout_answers_nothing_until_the_client_gives_up(emulator: Emulator) -> None:
    client = impatient(emulator, "ec2")
    emulator.fault("ec2", "CreateVpc", kind="timeout", when="after")
    with pytest.raises(ReadTimeoutError):
        client.create_vpc(CidrBlock="10.8.0.0/16")
    assert "10.8.0.0/16" in [vpc["CidrBlock"] for vpc in client.describe_vpcs()["Vpcs"]]
    assert [(c.status, c.error_code) for c in emulator.calls(operation="CreateVpc")] == [
        (0, "Timeout")
    ]


def test_a_crash_closes_the_connection(emulator: Emulator) -> None:
    client = impatient(emulator, "ssm")
    emulator.fault("ssm", "ListCommands", kind="crash")
    with pytest.raises((ConnectionClosedError, EndpointConnectionError, HTTPClientError)) as raised:
        client.list_commands()
    assert not isinstance(raised.value, ReadTimeoutError)
    assert client.list_commands()["Commands"] == []


def test_a_delay_holds_every_call(emulator: Emulator, ssm: Any) -> None:
    def seconds() -> float:
        started = time.perf_counter()
        ssm.list_commands()
        return time.perf_counter() - started

    seconds()
    emulator.delay(300)
    assert seconds() >= 0.3
    emulator.delay(0)
    assert seconds() < 0.3


# --- Inspector: findings -------------------------------------------------------------------------


@pytest.fixture
def findings(emulator: Emulator) -> list[dict[str, Any]]:
    """Two instances: one with an OS and a Python package, one with an open port."""
    day = datetime.timedelta(days=1)
    first = datetime.datetime(2024, 5, 1, tzinfo=datetime.timezone.utc)
    made = [
        package_finding(
            ACCOUNT,
            REGION,
            I1,
            XZ,
            first_seen=first,
            details={"vpcId": "vpc-1", "tags": {"owner": "web", "stage": "prod"}},
        ),
        package_finding(
            ACCOUNT, REGION, I2, REQUESTS, first_seen=first + 30 * day, status="SUPPRESSED"
        ),
        network_finding(ACCOUNT, REGION, I2, 22, first_seen=first + 60 * day),
    ]
    emulator.add_findings(ACCOUNT, REGION, made)
    return made


CRITERIA: dict[str, tuple[dict[str, Any], set[int]]] = {
    "nothing": ({}, {0, 1, 2}),
    "severity": ({"severity": equals("CRITICAL")}, {0}),
    "severity-either": ({"severity": equals("CRITICAL", "MEDIUM")}, {0, 1, 2}),
    "status": ({"findingStatus": equals("ACTIVE")}, {0, 2}),
    "type": ({"findingType": equals("NETWORK_REACHABILITY")}, {2}),
    "cve": ({"vulnerabilityId": equals("CVE-2024-3094")}, {0}),
    "cve-prefix": ({"vulnerabilityId": [{"comparison": "PREFIX", "value": "CVE-2024-3"}]}, {0, 1}),
    "not-cve": (
        {"vulnerabilityId": [{"comparison": "NOT_EQUALS", "value": "CVE-2024-3094"}]},
        {1, 2},
    ),
    "resource": ({"resourceId": equals(I2)}, {1, 2}),
    "resource-type": ({"resourceType": equals("AWS_ECR_CONTAINER_IMAGE")}, set()),
    "account": ({"awsAccountId": equals(ACCOUNT)}, {0, 1, 2}),
    "other-account": ({"awsAccountId": equals(OTHER)}, set()),
    "epss-low": ({"epssScore": [{"lowerInclusive": 0.86}]}, {0}),
    "epss-near-miss": ({"epssScore": [{"lowerInclusive": 0.861}]}, set()),
    "epss-range": ({"epssScore": [{"lowerInclusive": 0.0, "upperInclusive": 0.001}]}, {1}),
    "score": ({"inspectorScore": [{"lowerInclusive": 9.0}]}, {0}),
    "exploit": ({"exploitAvailable": equals("YES")}, {0}),
    "fix": ({"fixAvailable": equals("YES", "PARTIAL")}, {0, 1}),
    "first-from": ({"firstObservedAt": [{"startInclusive": "2024-05-31T00:00:00Z"}]}, {1, 2}),
    "first-until": ({"firstObservedAt": [{"endInclusive": "2024-05-31T00:00:00Z"}]}, {0, 1}),
    "last-from": ({"lastObservedAt": [{"startInclusive": "2024-07-01T00:00:00Z"}]}, {2}),
    "updated-until": ({"updatedAt": [{"endInclusive": "2024-05-11T00:00:00Z"}]}, {0}),
    "port": ({"portRange": [{"beginInclusive": 20, "endInclusive": 22}]}, {2}),
    "port-below": ({"portRange": [{"beginInclusive": 0, "endInclusive": 21}]}, set()),
    "other-port": ({"portRange": [{"beginInclusive": 23, "endInclusive": 80}]}, set()),
    "protocol": ({"networkProtocol": equals("TCP")}, {2}),
    "package": ({"vulnerablePackages": [{"name": equals("xz")[0]}]}, {0}),
    "package-both": (
        {"vulnerablePackages": [{"name": equals("xz")[0], "version": equals("9")[0]}]},
        set(),
    ),
    "package-path": (
        {"vulnerablePackages": [{"filePath": {"comparison": "PREFIX", "value": "/opt/"}}]},
        {1},
    ),
    "title": ({"title": [{"comparison": "PREFIX", "value": "Port 22"}]}, {2}),
    "source": ({"vulnerabilitySource": equals("NVD")}, {0, 1}),
    "vendor": ({"vendorSeverity": equals("CRITICAL")}, {0}),
    "tag": ({"resourceTags": [{"comparison": "EQUALS", "key": "owner", "value": "web"}]}, {0}),
    "tag-other": (
        {"resourceTags": [{"comparison": "EQUALS", "key": "owner", "value": "db"}]},
        set(),
    ),
    "vpc": ({"ec2InstanceVpcId": equals("vpc-1")}, {0}),
    "image": ({"ec2InstanceImageId": equals(organisation.IMAGE)}, {0, 1, 2}),
    "keys-narrow": ({"severity": equals("CRITICAL"), "resourceId": equals(I2)}, set()),
}


@pytest.mark.parametrize("name", CRITERIA)
def test_criteria_select_findings(
    inspector: Any, findings: list[dict[str, Any]], name: str
) -> None:
    criteria, wanted = CRITERIA[name]
    answer = inspector.list_findings(filterCriteria=criteria)["findings"]
    arns = [finding["findingArn"] for finding in findings]
    assert {arns.index(finding["findingArn"]) for finding in answer} == wanted


def test_a_finding_comes_back_as_it_was_added(
    inspector: Any, findings: list[dict[str, Any]]
) -> None:
    (found,) = inspector.list_findings(filterCriteria={"severity": equals("CRITICAL")})["findings"]
    assert found["firstObservedAt"] == findings[0]["firstObservedAt"]
    assert found["packageVulnerabilityDetails"]["vulnerablePackages"][0]["packageManager"] == "OS"
    assert found["resources"][0]["tags"] == {"owner": "web", "stage": "prod"}
    shape = inspector.meta.service_model.operation_model("ListFindings").output_shape
    assert find_reply_errors(shape.members["findings"].member, found) == []


@pytest.mark.parametrize(
    "criteria",
    [
        {"severity": equals(*"ABCDEFGHIJK")},
        {"componentId": equals("x")},
        {"cloudProvider": equals("AWS")},
        {"severity": [{"comparison": "CONTAINS", "value": "CRIT"}]},
    ],
    ids=["eleven-values", "unknown-here", "other-cloud", "bad-comparison"],
)
def test_criteria_are_refused_and_never_ignored(inspector: Any, criteria: Any) -> None:
    refused = code_of(lambda: inspector.list_findings(filterCriteria=criteria))
    assert refused == "ValidationException"


def test_findings_page_by_token(emulator: Emulator, inspector: Any) -> None:
    made = [package_finding(ACCOUNT, REGION, f"i-{n:017x}", XZ) for n in range(250)]
    emulator.add_findings(ACCOUNT, REGION, made)
    pages = list(inspector.get_paginator("list_findings").paginate())
    assert [len(page["findings"]) for page in pages] == [100, 100, 50]
    arns = [f["findingArn"] for page in pages for f in page["findings"]]
    assert arns == [finding["findingArn"] for finding in made]
    token = inspector.list_findings(maxResults=10)["nextToken"]
    assert code_of(lambda: inspector.list_findings(nextToken="nonsense")) == "ValidationException"
    other = {"severity": equals("HIGH")}
    refused = code_of(lambda: inspector.list_findings(nextToken=token, filterCriteria=other))
    assert refused == "ValidationException"
    assert code_of(lambda: inspector.list_findings(maxResults=101)) == "ValidationException"


def test_findings_sort(inspector: Any, findings: list[dict[str, Any]]) -> None:
    def severities(order: str) -> list[str]:
        answer = inspector.list_findings(sortCriteria={"field": "SEVERITY", "sortOrder": order})
        return [finding["severity"] for finding in answer["findings"]]

    assert severities("DESC") == ["CRITICAL", "MEDIUM", "MEDIUM"]
    assert severities("ASC") == ["MEDIUM", "MEDIUM", "CRITICAL"]


def test_a_finding_is_replaced_and_removed_by_arn(emulator: Emulator, inspector: Any) -> None:
    finding = package_finding(ACCOUNT, REGION, I1, XZ)
    assert emulator.add_findings(ACCOUNT, REGION, [finding]) == 1
    assert emulator.add_findings(ACCOUNT, REGION, [{**finding, "status": "CLOSED"}]) == 1
    assert [f["status"] for f in inspector.list_findings()["findings"]] == ["CLOSED"]
    emulator.remove_findings(ACCOUNT, REGION, [finding["findingArn"]])
    assert inspector.list_findings()["findings"] == []


@pytest.mark.parametrize(
    "change, said",
    [
        ({"severity": "AWFUL"}, "severity is 'AWFUL'"),
        ({"cvss": 9}, "cvss is not in Finding"),
        ({"resources": None}, "resources is required"),
        ({"inspectorScore": "9.8"}, "inspectorScore must be a double"),
    ],
    ids=["enum", "unknown", "missing", "type"],
)
def test_a_finding_that_aws_could_not_send_is_refused(
    emulator: Emulator, change: dict[str, Any], said: str
) -> None:
    finding = {**package_finding(ACCOUNT, REGION, I1, XZ), **change}
    with pytest.raises(ControlError, match=said):
        emulator.add_findings(ACCOUNT, REGION, [finding])


def test_an_administrator_sees_what_is_seeded_in_its_account(emulator: Emulator) -> None:
    emulator.add_findings(ACCOUNT, REGION, [package_finding(OTHER, REGION, I1, XZ)])
    seen = emulator.client("inspector2", ACCOUNT, REGION).list_findings()["findings"]
    assert [finding["awsAccountId"] for finding in seen] == [OTHER]
    assert emulator.client("inspector2", OTHER, REGION).list_findings()["findings"] == []


def test_a_disabled_administrator_sees_nothing(emulator: Emulator, inspector: Any) -> None:
    emulator.add_findings(ACCOUNT, REGION, [package_finding(OTHER, REGION, I1, XZ)])
    inspector.disable(resourceTypes=["EC2"])
    assert len(inspector.list_findings()["findings"]) == 1
    inspector.disable(resourceTypes=["ECR", "LAMBDA"])
    assert inspector.list_findings()["findings"] == []


def test_finding_details_come_with_errors_for_unknown_arns(
    emulator: Emulator, inspector: Any, findings: list[dict[str, Any]]
) -> None:
    known, unknown = findings[0]["findingArn"], findings[0]["findingArn"][:-4] + "ffff"
    extra = {known: {"cisaData": {"action": "patch"}, "ttps": ["T1190"]}}
    emulator.seed("inspector2", ACCOUNT, REGION, "finding_details", extra)
    answer = inspector.batch_get_finding_details(findingArns=[known, unknown])
    (detail,) = answer["findingDetails"]
    assert detail["epssScore"] == 0.86
    assert detail["ttps"] == ["T1190"]
    assert [e["errorCode"] for e in answer["errors"]] == ["FINDING_DETAILS_NOT_FOUND"]
    eleven = [f"{known[:-2]}{n:02x}" for n in range(11)]
    refused = code_of(lambda: inspector.batch_get_finding_details(findingArns=eleven))
    assert refused == "ValidationException"


def test_findings_are_counted_by_account_and_by_instance(
    emulator: Emulator, inspector: Any, findings: list[dict[str, Any]]
) -> None:
    emulator.add_findings(ACCOUNT, REGION, [package_finding(OTHER, REGION, I3, CURL)])

    def accounts(**request: str) -> dict[str, int]:
        answer = inspector.list_finding_aggregations(
            aggregationType="ACCOUNT", aggregationRequest={"accountAggregation": request}
        )
        rows = [row["accountAggregation"] for row in answer["responses"]]
        return {row["accountId"]: row["severityCounts"]["all"] for row in rows}

    assert accounts() == {ACCOUNT: 2, OTHER: 1}  # the suppressed one does not count
    assert accounts(findingType="NETWORK_REACHABILITY") == {ACCOUNT: 1}
    assert accounts(resourceType="AWS_LAMBDA_FUNCTION") == {}
    answer = inspector.list_finding_aggregations(
        aggregationType="AWS_EC2_INSTANCE",
        aggregationRequest={"ec2InstanceAggregation": {"instanceIds": equals(I1, I2)}},
    )
    rows = {r["ec2InstanceAggregation"]["instanceId"]: r for r in answer["responses"]}
    assert rows[I1]["ec2InstanceAggregation"]["severityCounts"]["critical"] == 1
    assert rows[I2]["ec2InstanceAggregation"]["networkFindings"] == 1
    assert I3 not in rows
    refused = code_of(lambda: inspector.list_finding_aggregations(aggregationType="TITLE"))
    assert refused == "ValidationException"


# --- Inspector: status and coverage --------------------------------------------------------------


def test_a_fresh_account_is_enabled(inspector: Any) -> None:
    (account,) = inspector.batch_get_account_status()["accounts"]
    assert account["accountId"] == ACCOUNT
    assert account["state"]["status"] == "ENABLED"
    states = {kind: row["status"] for kind, row in account["resourceState"].items()}
    assert (states["ec2"], states["lambdaCode"]) == ("ENABLED", "DISABLED")


def test_a_disabled_account_has_no_findings_and_no_coverage(
    inspector: Any, findings: list[dict[str, Any]], fleet: Any
) -> None:
    fleet()
    inspector.disable(resourceTypes=["EC2", "ECR", "LAMBDA"])
    assert inspector.list_findings()["findings"] == []
    assert inspector.list_coverage()["coveredResources"] == []
    answer = inspector.enable(resourceTypes=["EC2"])
    assert answer["accounts"][0]["resourceStatus"]["ec2"] == "ENABLED"
    assert len(inspector.list_findings()["findings"]) == 3
    assert inspector.list_coverage()["coveredResources"] != []


def test_one_scan_type_can_be_off(
    emulator: Emulator, inspector: Any, findings: list[dict[str, Any]]
) -> None:
    emulator.set_inspector_status(ACCOUNT, REGION, ec2="DISABLED")
    assert inspector.list_findings()["findings"] == []
    (account,) = inspector.batch_get_account_status()["accounts"]
    assert account["resourceState"]["ec2"]["status"] == "DISABLED"
    assert account["state"]["status"] == "ENABLED"


def test_only_members_can_be_enabled_by_another_account(inspector: Any) -> None:
    answer = inspector.enable(accountIds=[OTHER], resourceTypes=["EC2"])
    assert [f["errorCode"] for f in answer["failedAccounts"]] == ["ACCESS_DENIED"]
    inspector.associate_member(accountId=OTHER)
    answer = inspector.enable(accountIds=[OTHER], resourceTypes=["LAMBDA_CODE"])
    assert answer["accounts"][0]["resourceStatus"]["lambdaCode"] == "ENABLED"


def rows_of(inspector: Any, **criteria: Any) -> dict[tuple[str, str], dict[str, Any]]:
    pages = inspector.get_paginator("list_coverage").paginate(filterCriteria=criteria)
    rows = [row for page in pages for row in page["coveredResources"]]
    return {(row["resourceId"], row["scanType"]): row for row in rows}


def test_coverage_follows_the_instances(
    emulator: Emulator, inspector: Any, ec2: Any, fleet: Any
) -> None:
    managed, stopped, offline, gone = fleet(4)
    (unmanaged,) = fleet(1, managed=False)
    ec2.stop_instances(InstanceIds=[stopped])
    ec2.terminate_instances(InstanceIds=[gone])
    emulator.set_agent(ACCOUNT, REGION, offline, PingStatus="ConnectionLost")
    rows = rows_of(inspector)
    reasons = {key: row["scanStatus"]["reason"] for key, row in rows.items()}
    assert reasons == {
        (managed, "PACKAGE"): "SUCCESSFUL",
        (managed, "NETWORK"): "SUCCESSFUL",
        (stopped, "PACKAGE"): "EC2_INSTANCE_STOPPED",
        (stopped, "NETWORK"): "EC2_INSTANCE_STOPPED",
        (offline, "PACKAGE"): "STALE_INVENTORY",
        (offline, "NETWORK"): "SUCCESSFUL",
        (unmanaged, "PACKAGE"): "UNMANAGED_EC2_INSTANCE",
        (unmanaged, "NETWORK"): "SUCCESSFUL",
    }
    assert rows[managed, "PACKAGE"]["scanStatus"]["statusCode"] == "ACTIVE"
    assert "lastScannedAt" not in rows[unmanaged, "PACKAGE"]


def test_coverage_is_overridden_extended_and_removed(
    emulator: Emulator, inspector: Any, fleet: Any
) -> None:
    one, two = fleet(2)
    scanned = datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc)
    emulator.set_coverage(
        ACCOUNT,
        REGION,
        [
            {"resourceId": one, "scanType": "PACKAGE", "lastScannedAt": scanned},
            {"resourceId": two, "absent": True},
            {"resourceId": I3, "scanType": "PACKAGE"},
        ],
    )
    rows = rows_of(inspector)
    assert set(rows) == {(one, "PACKAGE"), (one, "NETWORK"), (I3, "PACKAGE")}
    assert rows[one, "PACKAGE"]["lastScannedAt"] == scanned
    assert rows[one, "PACKAGE"]["scanStatus"]["reason"] == "SUCCESSFUL"


def test_coverage_criteria(inspector: Any, fleet: Any) -> None:
    (managed,) = fleet(1)
    (unmanaged,) = fleet(1, managed=False)
    package = {"scanType": equals("PACKAGE")}
    assert set(rows_of(inspector, **package)) == {(managed, "PACKAGE"), (unmanaged, "PACKAGE")}
    assert set(rows_of(inspector, scanStatusCode=equals("INACTIVE"))) == {(unmanaged, "PACKAGE")}
    reason = equals("UNMANAGED_EC2_INSTANCE")
    assert set(rows_of(inspector, scanStatusReason=reason)) == {(unmanaged, "PACKAGE")}
    assert set(rows_of(inspector, resourceId=equals(managed), **package)) == {(managed, "PACKAGE")}
    assert rows_of(inspector, resourceType=equals("AWS_LAMBDA_FUNCTION")) == {}
    assert rows_of(inspector, accountId=equals(OTHER)) == {}
    future = [{"startInclusive": datetime.datetime(2200, 1, 1)}]  # noqa: DTZ001
    assert rows_of(inspector, lastScannedAt=future) == {}
    assert code_of(lambda: rows_of(inspector, cloudProvider=equals("x"))) == "ValidationException"
    assert code_of(lambda: inspector.list_coverage(maxResults=201)) == "ValidationException"


# --- Systems Manager -----------------------------------------------------------------------------


def test_instance_information_pages_by_ten_unless_asked(ssm: Any, fleet: Any) -> None:
    ids = fleet(12)
    first = ssm.describe_instance_information()
    assert len(first["InstanceInformationList"]) == 10
    rest = ssm.describe_instance_information(NextToken=first["NextToken"])
    seen = first["InstanceInformationList"] + rest["InstanceInformationList"]
    assert sorted(row["InstanceId"] for row in seen) == sorted(ids)
    assert "NextToken" not in rest
    everything = ssm.describe_instance_information(MaxResults=50)["InstanceInformationList"]
    assert len(everything) == 12
    refused = code_of(lambda: ssm.describe_instance_information(MaxResults=51))
    assert refused == "ValidationException"
    assert code_of(lambda: ssm.describe_instance_information(NextToken="x")) == "InvalidNextToken"


def test_only_running_instances_with_a_profile_are_managed(
    emulator: Emulator, ssm: Any, ec2: Any, fleet: Any
) -> None:
    managed, stopped, removed = fleet(3)
    _, added = fleet(2, managed=False)
    ec2.stop_instances(InstanceIds=[stopped])
    emulator.set_agent(ACCOUNT, REGION, removed, absent=True)
    emulator.set_agent(ACCOUNT, REGION, added, PlatformName="Ubuntu", AgentVersion="2.0.0.0")
    rows = {
        r["InstanceId"]: r for r in ssm.describe_instance_information()["InstanceInformationList"]
    }
    assert set(rows) == {managed, added}
    assert rows[managed]["PingStatus"] == "Online"
    assert (rows[added]["PlatformName"], rows[added]["AgentVersion"]) == ("Ubuntu", "2.0.0.0")


def test_instance_information_filters(emulator: Emulator, ssm: Any, fleet: Any) -> None:
    one, two = fleet(2)
    emulator.set_agent(ACCOUNT, REGION, two, PingStatus="ConnectionLost", PlatformType="Windows")

    def ids(**arguments: Any) -> list[str]:
        answer = ssm.describe_instance_information(**arguments)
        return [row["InstanceId"] for row in answer["InstanceInformationList"]]

    assert ids(Filters=[{"Key": "InstanceIds", "Values": [one, I3]}]) == [one]
    assert ids(Filters=[{"Key": "PingStatus", "Values": ["Online"]}]) == [one]
    assert ids(InstanceInformationFilterList=[{"key": "PlatformTypes", "valueSet": ["Windows"]}])
    bad = {"Filters": [{"Key": "Colour", "Values": ["x"]}]}
    assert code_of(lambda: ids(**bad)) == "InvalidFilterKey"


SHELL = "AWS-RunShellScript"


def test_a_command_succeeds_at_once(ssm: Any, fleet: Any) -> None:
    ids = fleet(2)
    command = ssm.send_command(InstanceIds=ids, DocumentName=SHELL, Comment="why")["Command"]
    assert command["Status"] == "Pending"
    (listed,) = ssm.list_commands(CommandId=command["CommandId"])["Commands"]
    assert (listed["Status"], listed["CompletedCount"], listed["Comment"]) == ("Success", 2, "why")
    rows = ssm.list_command_invocations(CommandId=command["CommandId"])["CommandInvocations"]
    assert {row["InstanceId"]: row["Status"] for row in rows} == dict.fromkeys(ids, "Success")
    assert rows[0]["CommandPlugins"] == []
    detailed = ssm.list_command_invocations(CommandId=command["CommandId"], Details=True)
    plugin = detailed["CommandInvocations"][0]["CommandPlugins"][0]
    assert (plugin["Name"], plugin["ResponseCode"]) == ("aws:runShellScript", 0)
    got = ssm.get_command_invocation(CommandId=command["CommandId"], InstanceId=ids[0])
    assert (got["Status"], got["ResponseCode"]) == ("Success", 0)


def test_one_bad_instance_fails_the_whole_command(ssm: Any, fleet: Any) -> None:
    (managed,) = fleet(1)
    (unmanaged,) = fleet(1, managed=False)
    with pytest.raises(ssm.exceptions.InvalidInstanceId) as raised:
        ssm.send_command(InstanceIds=[managed, unmanaged, I3], DocumentName=SHELL)
    message = raised.value.response["Error"]["Message"]
    assert message == (
        f"Instances [[{unmanaged}, {I3}]] not in a valid state for account {ACCOUNT}"
    )
    assert ssm.list_commands()["Commands"] == []


@pytest.mark.parametrize(
    "change, code",
    [
        ({"InstanceIds": [f"i-{n:017x}" for n in range(51)]}, "ValidationException"),
        ({"InstanceIds": ["web-server"]}, "ValidationException"),
        ({"InstanceIds": []}, "ValidationException"),
        ({"InstanceIds": [I1, I1]}, "DuplicateInstanceId"),
        ({"Comment": "x" * 101}, "ValidationException"),
        ({"DocumentName": "AWS-NoSuchDocument"}, "InvalidDocument"),
        ({"MaxConcurrency": "110%"}, "ValidationException"),
        ({"Targets": [{"Key": "tag:a", "Values": ["b"]}]}, "ValidationException"),
        (
            {"DocumentName": "AWS-RunPatchBaseline", "Parameters": {"Operation": ["Guess"]}},
            "InvalidParameters",
        ),
        ({"DocumentName": "AWS-RunPatchBaseline", "Parameters": {}}, "InvalidParameters"),
    ],
)
def test_a_wrong_command_is_refused(ssm: Any, change: dict[str, Any], code: str) -> None:
    request = {"InstanceIds": [I1], "DocumentName": SHELL, **change}
    assert code_of(lambda: ssm.send_command(**request)) == code


def test_fifty_instances_fit_in_a_command(ssm: Any, fleet: Any) -> None:
    ids = fleet(50)
    command = ssm.send_command(InstanceIds=ids, DocumentName=SHELL)["Command"]
    pages = ssm.get_paginator("list_command_invocations").paginate(
        CommandId=command["CommandId"], PaginationConfig={"PageSize": 20}
    )
    assert [len(page["CommandInvocations"]) for page in pages] == [20, 20, 10]
    refused = code_of(lambda: ssm.list_command_invocations(MaxResults=51))
    assert refused == "ValidationException"


def test_targets_select_managed_instances(ssm: Any, ec2: Any, fleet: Any) -> None:
    one, _two = fleet(2)
    ec2.create_tags(Resources=[one], Tags=[{"Key": "patch", "Value": "yes"}])
    command = ssm.send_command(
        Targets=[{"Key": "tag:patch", "Values": ["yes"]}], DocumentName=SHELL
    )["Command"]
    rows = ssm.list_command_invocations(CommandId=command["CommandId"])["CommandInvocations"]
    assert [row["InstanceId"] for row in rows] == [one]


def test_a_command_can_be_held_and_finished(emulator: Emulator, ssm: Any, fleet: Any) -> None:
    one, two = fleet(2)
    emulator.set_command_behaviour(ACCOUNT, REGION, "InProgress", {two: "Failed"})
    command = ssm.send_command(InstanceIds=[one, two], DocumentName=SHELL)["Command"]

    def statuses() -> dict[str, str]:
        rows = ssm.list_command_invocations(CommandId=command["CommandId"])
        return {row["InstanceId"]: row["Status"] for row in rows["CommandInvocations"]}

    def whole() -> str:
        (row,) = ssm.list_commands(CommandId=command["CommandId"])["Commands"]
        return str(row["Status"])

    assert statuses() == {one: "InProgress", two: "Failed"}
    assert whole() == "InProgress"
    assert emulator.finish_commands(ACCOUNT, REGION, "Success", [one]) == 1
    assert statuses() == {one: "Success", two: "Failed"}
    assert whole() == "Failed"
    assert emulator.finish_commands(ACCOUNT, REGION) == 0


def test_a_command_can_be_cancelled(emulator: Emulator, ssm: Any, fleet: Any) -> None:
    ids = fleet(1)
    emulator.set_command_behaviour(ACCOUNT, REGION, "InProgress")
    command = ssm.send_command(InstanceIds=ids, DocumentName=SHELL)["Command"]
    ssm.cancel_command(CommandId=command["CommandId"])
    (row,) = ssm.list_commands()["Commands"]
    assert row["Status"] == "Cancelled"
    assert code_of(lambda: ssm.cancel_command(CommandId="0" * 36)) == "InvalidCommandId"


def test_an_agent_without_connection_keeps_a_command_pending(
    emulator: Emulator, ssm: Any, fleet: Any
) -> None:
    (offline,) = fleet(1)
    emulator.set_agent(ACCOUNT, REGION, offline, PingStatus="ConnectionLost")
    ssm.send_command(InstanceIds=[offline], DocumentName=SHELL)
    (row,) = ssm.list_command_invocations()["CommandInvocations"]
    assert row["Status"] == "Pending"


def test_commands_are_filtered(emulator: Emulator, ssm: Any, fleet: Any) -> None:
    one, two = fleet(2)
    ssm.send_command(InstanceIds=[one], DocumentName=SHELL)
    emulator.set_command_behaviour(ACCOUNT, REGION, "InProgress")
    ssm.send_command(InstanceIds=[two], DocumentName="AWS-UpdateSSMAgent")

    def documents(*filters: tuple[str, str], **arguments: Any) -> list[str]:
        if filters:
            arguments["Filters"] = [{"key": key, "value": value} for key, value in filters]
        return [c["DocumentName"] for c in ssm.list_commands(**arguments)["Commands"]]

    assert documents() == ["AWS-UpdateSSMAgent", SHELL]  # the newest first
    assert documents(("DocumentName", SHELL)) == [SHELL]
    assert documents(("Status", "InProgress")) == ["AWS-UpdateSSMAgent"]
    assert documents(("ExecutionStage", "Complete")) == [SHELL]
    assert documents(InstanceId=one) == [SHELL]
    hour = datetime.timedelta(hours=1)
    now = datetime.datetime.now(datetime.timezone.utc)
    later, before = (t.strftime("%Y-%m-%dT%H:%M:%SZ") for t in (now + hour, now - hour))
    assert len(documents(("InvokedAfter", before))) == 2
    assert documents(("InvokedAfter", later)) == []
    assert documents(("InvokedBefore", before)) == []
    assert code_of(lambda: documents(("Colour", "red"))) == "ValidationException"
    assert code_of(lambda: documents(CommandId="0" * 36)) == "InvalidCommandId"


# --- patches -------------------------------------------------------------------------------------


def run_patch(ssm: Any, ids: list[str], operation: str = "Install", **parameters: str) -> None:
    values = {"Operation": [operation], **{k: [v] for k, v in parameters.items()}}
    ssm.send_command(InstanceIds=ids, DocumentName="AWS-RunPatchBaseline", Parameters=values)


def patch_state(ssm: Any, instance_id: str) -> dict[str, Any]:
    (row,) = ssm.describe_instance_patch_states(InstanceIds=[instance_id])["InstancePatchStates"]
    return dict(row)


def counts(row: dict[str, Any]) -> tuple[int, int, int]:
    return row["MissingCount"], row["InstalledPendingRebootCount"], row["InstalledCount"]


def test_an_instance_has_no_patch_state_before_its_first_operation(
    emulator: Emulator, ssm: Any, fleet: Any
) -> None:
    one, two = fleet(2)
    made = [package_finding(ACCOUNT, REGION, one, v) for v in (XZ, CURL, REQUESTS)]
    emulator.add_findings(ACCOUNT, REGION, made)
    assert ssm.describe_instance_patch_states(InstanceIds=[one, two])["InstancePatchStates"] == []
    run_patch(ssm, [one, two], "Scan")
    assert counts(patch_state(ssm, one)) == (2, 0, 0)  # OS packages with a fix
    assert counts(patch_state(ssm, two)) == (1, 0, 0)  # nothing known
    assert "RebootOption" not in patch_state(ssm, one)


def test_patches_without_reboot_wait_for_one(ssm: Any, ec2: Any, fleet: Any) -> None:
    (one,) = fleet(1)
    snapshot = "2f2a5b1e-4c19-4c8e-9d0e-0a3c8e6d1f11"
    run_patch(ssm, [one], RebootOption="NoReboot", SnapshotId=snapshot)
    row = patch_state(ssm, one)
    assert counts(row) == (0, 1, 0)
    assert (row["Operation"], row["RebootOption"]) == ("Install", "NoReboot")
    assert row["SnapshotId"] == snapshot
    assert row["OperationStartTime"] <= row["OperationEndTime"]
    ec2.reboot_instances(InstanceIds=[one])
    assert counts(patch_state(ssm, one)) == (0, 0, 1)


def test_patches_with_reboot_are_installed(emulator: Emulator, ssm: Any, fleet: Any) -> None:
    (one,) = fleet(1)
    emulator.set_patch_state(ACCOUNT, REGION, one, MissingCount=7, FailedCount=2)
    run_patch(ssm, [one], RebootOption="RebootIfNeeded")
    row = patch_state(ssm, one)
    assert counts(row) == (0, 0, 7)
    assert row["FailedCount"] == 2


def test_a_failed_or_running_command_patches_nothing(
    emulator: Emulator, ssm: Any, fleet: Any
) -> None:
    failed, running_one = fleet(2)
    emulator.set_command_behaviour(ACCOUNT, REGION, "InProgress", {failed: "Failed"})
    run_patch(ssm, [failed, running_one])
    rows = ssm.describe_instance_patch_states(InstanceIds=[failed, running_one])
    assert rows["InstancePatchStates"] == []
    emulator.finish_commands(ACCOUNT, REGION)
    assert patch_state(ssm, running_one)["Operation"] == "Install"


def test_patch_states_take_fifty_instances(ssm: Any) -> None:
    ids = [f"i-{n:017x}" for n in range(51)]
    ssm.describe_instance_patch_states(InstanceIds=ids[:50])
    refused = code_of(lambda: ssm.describe_instance_patch_states(InstanceIds=ids))
    assert refused == "ValidationException"


def test_updating_the_agent_changes_its_version(ssm: Any, fleet: Any) -> None:
    (one,) = fleet(1)

    def agent() -> dict[str, Any]:
        return dict(ssm.describe_instance_information()["InstanceInformationList"][0])

    before = agent()
    ssm.send_command(InstanceIds=[one], DocumentName="AWS-UpdateSSMAgent")
    after = agent()
    assert (before["IsLatestVersion"], after["IsLatestVersion"]) == (False, True)

    def numbers(row: dict[str, Any]) -> list[int]:
        return [int(part) for part in row["AgentVersion"].split(".")]

    assert numbers(after) > numbers(before)


# --- EC2 -----------------------------------------------------------------------------------------


def test_instances_page_by_instance(ec2: Any, fleet: Any) -> None:
    ids = fleet(7) + fleet(5)
    pages = list(ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5}))
    seen = [[i["InstanceId"] for r in p["Reservations"] for i in r["Instances"]] for p in pages]
    assert [len(page) for page in seen] == [5, 5, 2]
    assert sorted(name for page in seen for name in page) == sorted(ids)
    assert code_of(lambda: ec2.describe_instances(MaxResults=4)) == "InvalidParameterValue"
    assert code_of(lambda: ec2.describe_instances(MaxResults=5, InstanceIds=ids[:1])) == (
        "InvalidParameterCombination"
    )


def test_every_instance_of_a_call_gets_the_profile(ec2: Any, fleet: Any) -> None:
    ids = fleet(3)
    found = ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"]
    assert sorted(row["InstanceId"] for row in found) == sorted(ids)


def test_groups_of_instance_and_interface_are_one(ec2: Any, fleet: Any) -> None:
    (one,) = fleet(1)

    def instance() -> dict[str, Any]:
        answer = ec2.describe_instances(InstanceIds=[one])
        return dict(answer["Reservations"][0]["Instances"][0])

    vpc = instance()["VpcId"]
    names = [
        ec2.create_security_group(GroupName=f"g{n}", Description="d", VpcId=vpc)["GroupId"]
        for n in range(2)
    ]
    eni = instance()["NetworkInterfaces"][0]["NetworkInterfaceId"]

    def groups() -> list[list[str]]:
        view = instance()
        interface = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])
        views = (
            view["SecurityGroups"],
            view["NetworkInterfaces"][0]["Groups"],
            interface["NetworkInterfaces"][0]["Groups"],
        )
        return [[group["GroupId"] for group in each] for each in views]

    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=[names[0]])
    assert groups() == [[names[0]]] * 3
    ec2.modify_instance_attribute(InstanceId=one, Groups=[names[1]])
    assert groups() == [[names[1]]] * 3
    other_vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    foreign = ec2.create_security_group(GroupName="f", Description="d", VpcId=other_vpc)
    assert code_of(
        lambda: ec2.modify_network_interface_attribute(
            NetworkInterfaceId=eni, Groups=[foreign["GroupId"]]
        )
    )


def test_a_screenshot_of_an_instance(ec2: Any, fleet: Any) -> None:
    (one,) = fleet(1)
    assert ec2.get_console_screenshot(InstanceId=one)["ImageData"]
    missing = code_of(lambda: ec2.get_console_screenshot(InstanceId=I3))
    assert missing == "InvalidInstanceID.NotFound"


def test_a_shared_snapshot_is_visible_to_whom_it_is_shared_with(
    emulator: Emulator, ec2: Any
) -> None:
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    other = emulator.client("ec2", OTHER, REGION)
    assert code_of(lambda: other.describe_snapshots(SnapshotIds=[snapshot]))
    ec2.modify_snapshot_attribute(
        SnapshotId=snapshot,
        Attribute="createVolumePermission",
        OperationType="add",
        UserIds=[OTHER],
    )
    (seen,) = other.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert seen["OwnerId"] == ACCOUNT


# --- STS -----------------------------------------------------------------------------------------


def assume(emulator: Emulator, arn: str, account: str = "111111111111") -> boto3.Session:
    answer = emulator.client("sts", account).assume_role(RoleArn=arn, RoleSessionName="test")
    key = answer["Credentials"]
    return share_models(
        boto3.Session(
            key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"], region_name=REGION
        )
    )


def test_a_role_that_does_not_exist_is_not_assumed(emulator: Emulator) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/missing"
    assert code_of(lambda: assume(emulator, arn)) == "AccessDenied"


def test_an_assumed_role_acts_in_its_account(emulator: Emulator) -> None:
    arn = organisation.create_role(emulator, ACCOUNT, "here", organisation.trust(AWS="*"))
    session = assume(emulator, arn)
    identity = session.client("sts", endpoint_url=emulator.url).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/here/test"
    session.client("ec2", endpoint_url=emulator.url).describe_vpcs()
    (call,) = emulator.calls("ec2", "DescribeVpcs")
    assert call.account == ACCOUNT


def test_a_wrong_session_token_is_refused(emulator: Emulator) -> None:
    arn = organisation.create_role(emulator, ACCOUNT, "here", organisation.trust(AWS="*"))
    key = assume(emulator, arn).get_credentials().get_frozen_credentials()
    forged = boto3.Session(key.access_key, key.secret_key, "forged", region_name=REGION)
    client = forged.client("sts", endpoint_url=emulator.url)
    assert code_of(client.get_caller_identity) == "InvalidClientTokenId"


# --- Lambda and EventBridge ----------------------------------------------------------------------

HANDLER = """
import boto3, json

def run(event, context):
    print("working on", context.aws_request_id)
    if event.get("fail"):
        raise ValueError("as asked")
    try:
        import c7n
        found = True
    except ImportError:
        found = False
    return {
        "who": boto3.client("sts").get_caller_identity()["Arn"],
        "c7n": found,
        "event": event,
        "context": [context.function_name, context.function_version,
                    context.invoked_function_arn, context.memory_limit_in_mb,
                    context.log_group_name],
        "left": context.get_remaining_time_in_millis(),
        "stream": context.log_stream_name,
    }
"""


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/") + ".py", text)
    return buffer.getvalue()


@pytest.fixture
def function(emulator: Emulator) -> Callable[..., str]:
    """``function("name")`` creates a function and returns its ARN."""
    role = organisation.create_role(
        emulator,
        ACCOUNT,
        organisation.LAMBDA_ROLE,
        organisation.trust(Service="lambda.amazonaws.com"),
    )

    def create(name: str, code: bytes = b"", timeout: int = 30) -> str:
        answer = emulator.client("lambda", ACCOUNT, REGION).create_function(
            FunctionName=name,
            Runtime="python3.11",
            Role=role,
            Handler="main.run",
            Code={"ZipFile": code or zipped(main=HANDLER)},
            Timeout=timeout,
        )
        return str(answer["FunctionArn"])

    return create


def test_a_function_runs_as_its_role_with_only_boto3(
    emulator: Emulator, function: Callable[..., str]
) -> None:
    arn = function("worker")
    client = emulator.client("lambda", ACCOUNT, REGION)
    answer = client.invoke(FunctionName="worker", Payload=b'{"a": 1}', LogType="Tail")
    payload = json.load(answer["Payload"])
    assert payload["who"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/c7n-secops-lambda/worker"
    assert payload["c7n"] is False
    assert payload["event"] == {"a": 1}
    assert payload["context"] == ["worker", "$LATEST", arn, 128, "/aws/lambda/worker"]
    assert 0 < payload["left"] <= 30_000
    (result,) = emulator.lambda_results(ACCOUNT, REGION, "worker")
    assert result["payload"] == payload
    assert f"working on {result['request_id']}" in result["log"]
    assert 0 < result["duration"] < 30
    assert emulator.lambda_results(ACCOUNT, REGION, "other") == []


def test_a_failing_function_says_why(emulator: Emulator, function: Callable[..., str]) -> None:
    function("worker")
    client = emulator.client("lambda", ACCOUNT, REGION)
    answer = client.invoke(FunctionName="worker", Payload=b'{"fail": true}')
    assert answer["FunctionError"] == "Unhandled"
    error = json.load(answer["Payload"])
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "as asked")
    (result,) = emulator.lambda_results(ACCOUNT, REGION)
    assert result["payload"] is None
    assert "Traceback" in result["log"]


def test_an_asynchronous_invocation_does_not_wait(
    emulator: Emulator, function: Callable[..., str]
) -> None:
    function("slow", zipped(main="import time\ndef run(e, c):\n    time.sleep(1)\n    return e\n"))
    client = emulator.client("lambda", ACCOUNT, REGION)
    started = time.monotonic()
    answer = client.invoke(FunctionName="slow", InvocationType="Event", Payload=b'{"n": 1}')
    assert answer["StatusCode"] == 202
    assert time.monotonic() - started < 1
    (result,) = emulator.wait_for_lambda(ACCOUNT, REGION, "slow", timeout=20)
    assert result["payload"] == {"n": 1}
    with pytest.raises(TimeoutError, match="slow was invoked 1 of 2 times"):
        emulator.wait_for_lambda(ACCOUNT, REGION, "slow", count=2, timeout=0.1)


def test_a_function_that_takes_too_long_is_stopped(
    emulator: Emulator, function: Callable[..., str]
) -> None:
    function("slow", zipped(main="import time\ndef run(e, c):\n    time.sleep(60)\n"), timeout=1)
    client = emulator.client("lambda", ACCOUNT, REGION)
    answer = client.invoke(FunctionName="slow", Payload=b"{}")
    assert json.load(answer["Payload"])["errorType"] == "Sandbox.Timedout"


def test_the_runtime_is_boto3_and_its_dependencies() -> None:
    assert set(closure("boto3")) == {
        "boto3",
        "botocore",
        "jmespath",
        "python-dateutil",
        "s3transfer",
        "six",
        "urllib3",
    }


def test_a_handler_can_be_run_without_a_server(tmp_path: Path) -> None:
    package = tmp_path / "packaged"
    package.mkdir()
    (package / "__init__.py").write_text("VALUE = 3\n")
    (tmp_path / "main.py").write_text(
        "import os, packaged\n"
        "def run(event, context):\n"
        "    import boto3\n"
        "    return [packaged.VALUE, os.environ['COLOUR'], sorted(os.environ)]\n"
        "def missing(event, context):\n"
        "    import yaml\n"
    )
    result = run_handler(tmp_path, "main.run", {}, {"COLOUR": "red"})
    assert result.error is None
    assert result.payload[:2] == [3, "red"]
    assert not {"VIRTUAL_ENV", "PYTHONPATH"} & set(result.payload[2])
    result = run_handler(tmp_path, "main.missing", {})
    assert result.error is not None
    assert result.error["errorType"] == "ModuleNotFoundError"


def subscribe(
    emulator: Emulator,
    rule: str,
    pattern: dict[str, Any],
    target: str,
    bus: str = "default",
    **members: Any,
) -> None:
    events = emulator.client("events", ACCOUNT, REGION)
    events.put_rule(Name=rule, EventBusName=bus, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, EventBusName=bus, Targets=[{"Id": "1", "Arn": target, **members}])


def test_a_service_event_reaches_the_function_of_a_matching_rule(
    emulator: Emulator, function: Callable[..., str]
) -> None:
    arn = function("worker")
    pattern = {"source": ["aws.inspector2"], "detail": {"severity": ["HIGH", "CRITICAL"]}}
    subscribe(emulator, "findings", pattern, arn)
    event = {
        "source": "aws.inspector2",
        "detail-type": "Inspector2 Finding",
        "resources": [I1],
        "time": "2024-05-01T12:00:00Z",
        "detail": {"severity": "CRITICAL"},
    }
    low = {**event, "detail": {"severity": "LOW"}}
    assert emulator.deliver_event(ACCOUNT, REGION, low) == 0
    assert emulator.deliver_event(OTHER, REGION, event) == 0
    assert emulator.deliver_event(ACCOUNT, REGION, event) == 1
    (result,) = emulator.wait_for_lambda(ACCOUNT, REGION, "worker")
    seen = result["event"]
    assert {key: seen[key] for key in event} == event
    assert (seen["account"], seen["region"], seen["version"]) == (ACCOUNT, REGION, "0")


def test_put_events_refuses_the_sources_of_aws(emulator: Emulator) -> None:
    events = emulator.client("events", ACCOUNT, REGION)
    answer = events.put_events(
        Entries=[
            {"Source": source, "DetailType": "x", "Detail": "{}"}
            for source in ("mine", "aws.inspector2", "aws-like")
        ]
    )
    assert answer["FailedEntryCount"] == 1
    codes = [entry.get("ErrorCode") for entry in answer["Entries"]]
    assert codes == [None, "NotAuthorizedForSourceException", None]


def test_a_custom_bus_delivers_transformed_input(
    emulator: Emulator, function: Callable[..., str]
) -> None:
    arn = function("worker")
    events = emulator.client("events", ACCOUNT, REGION)
    events.create_event_bus(Name="central")
    subscribe(
        emulator,
        "mine",
        {"source": ["mine"]},
        arn,
        "central",
        InputTransformer={
            "InputPathsMap": {"detail": "$.detail", "name": "$.detail.name", "no": "$.nothing"},
            "InputTemplate": '{"is": <detail>, "text": "hello <name>", "none": <no>}',
        },
    )
    entry = {"Source": "mine", "DetailType": "x", "Detail": '{"name": "a\\"b"}'}
    events.put_events(Entries=[entry])  # on the default bus: no rule there
    events.put_events(Entries=[{**entry, "EventBusName": "central"}])
    (result,) = emulator.wait_for_lambda(ACCOUNT, REGION, "worker")
    assert result["event"] == {"is": {"name": 'a"b'}, "text": 'hello a"b', "none": None}


def test_events_reach_queues_topics_state_machines_and_other_buses(emulator: Emulator) -> None:
    sqs = emulator.client("sqs", ACCOUNT, REGION)
    sns = emulator.client("sns", ACCOUNT, REGION)
    url = sqs.create_queue(QueueName="direct")["QueueUrl"]
    behind_topic = sqs.create_queue(QueueName="topic")["QueueUrl"]
    topic = sns.create_topic(Name="topic")["TopicArn"]
    place = f"{REGION}:{ACCOUNT}"
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{place}:topic")
    states = emulator.client("stepfunctions", ACCOUNT, REGION)
    machine = states.create_state_machine(
        name="m",
        definition=json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}),
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/x",
    )["stateMachineArn"]
    central = emulator.client("events", OTHER, REGION)
    central.create_event_bus(Name="central")
    far = emulator.client("sqs", OTHER, REGION).create_queue(QueueName="far")["QueueUrl"]
    central.put_rule(Name="all", EventBusName="central", EventPattern='{"source": ["aws.x"]}')
    central.put_targets(
        Rule="all",
        EventBusName="central",
        Targets=[{"Id": "1", "Arn": f"arn:aws:sqs:{REGION}:{OTHER}:far"}],
    )
    pattern = {"source": ["aws.x"]}
    subscribe(emulator, "a", pattern, f"arn:aws:sqs:{place}:direct")
    subscribe(emulator, "b", pattern, topic)
    subscribe(emulator, "c", pattern, machine)
    subscribe(emulator, "d", pattern, f"arn:aws:events:{REGION}:{OTHER}:event-bus/central")
    event = {"source": "aws.x", "detail": {"k": 1}, "resources": ["r"]}
    assert emulator.deliver_event(ACCOUNT, REGION, event) == 4

    def message(client: Any, queue: str) -> dict[str, Any]:
        (found,) = client.receive_message(QueueUrl=queue, WaitTimeSeconds=1)["Messages"]
        return dict(json.loads(found["Body"]))

    assert message(sqs, url)["detail"] == {"k": 1}
    assert json.loads(message(sqs, behind_topic)["Message"])["detail"] == {"k": 1}
    forwarded = message(emulator.client("sqs", OTHER, REGION), far)
    assert (forwarded["account"], forwarded["resources"]) == (ACCOUNT, ["r"])
    (execution,) = states.list_executions(stateMachineArn=machine)["executions"]
    described = states.describe_execution(executionArn=execution["executionArn"])
    assert json.loads(described["input"])["detail"] == {"k": 1}


def test_a_schedule_fires_when_told(emulator: Emulator, function: Callable[..., str]) -> None:
    arn = function("worker")
    events = emulator.client("events", ACCOUNT, REGION)
    events.put_rule(Name="daily", ScheduleExpression="rate(1 day)")
    events.put_targets(Rule="daily", Targets=[{"Id": "1", "Arn": arn}])
    assert emulator.fire_schedule(ACCOUNT, REGION, "daily") == 1
    (result,) = emulator.wait_for_lambda(ACCOUNT, REGION, "worker")
    assert result["event"]["detail-type"] == "Scheduled Event"
    assert result["event"]["resources"] == [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/daily"]
    events.disable_rule(Name="daily")
    assert emulator.fire_schedule(ACCOUNT, REGION, "daily") == 0
    with pytest.raises(ControlError, match="no rule weekly"):
        emulator.fire_schedule(ACCOUNT, REGION, "weekly")


# --- GuardDuty -----------------------------------------------------------------------------------


def test_guardduty_has_one_detector_and_invites_members(emulator: Emulator) -> None:
    admin = emulator.client("guardduty", ACCOUNT, REGION)
    member = emulator.client("guardduty", OTHER, REGION)
    detector = admin.create_detector(Enable=True)["DetectorId"]
    assert code_of(lambda: admin.create_detector(Enable=True)) == "BadRequestException"
    theirs = member.create_detector(Enable=True)["DetectorId"]
    details = [{"AccountId": OTHER, "Email": "x@example.com"}]
    admin.create_members(DetectorId=detector, AccountDetails=details)
    assert admin.list_members(DetectorId=detector)["Members"] == []
    everyone = admin.list_members(DetectorId=detector, OnlyAssociated="false")["Members"]
    assert [m["RelationshipStatus"] for m in everyone] == ["Created"]
    answer = admin.invite_members(DetectorId=detector, AccountIds=[OTHER, "444444444444"])
    assert [u["AccountId"] for u in answer["UnprocessedAccounts"]] == ["444444444444"]
    (invitation,) = member.list_invitations()["Invitations"]
    arguments = {"DetectorId": theirs, "AdministratorId": ACCOUNT}
    assert (
        code_of(lambda: member.accept_administrator_invitation(**arguments, InvitationId="wrong"))
        == "BadRequestException"
    )
    member.accept_administrator_invitation(**arguments, InvitationId=invitation["InvitationId"])
    (row,) = admin.list_members(DetectorId=detector)["Members"]
    assert (row["AccountId"], row["RelationshipStatus"]) == (OTHER, "Enabled")
    assert member.get_administrator_account(DetectorId=theirs)["Administrator"]["AccountId"] == (
        ACCOUNT
    )
    fifty_one = [f"{n:012d}" for n in range(51)]
    refused = code_of(lambda: admin.get_members(DetectorId=detector, AccountIds=fifty_one))
    assert refused == "BadRequestException"


def test_guardduty_findings_are_filtered(emulator: Emulator) -> None:
    client = emulator.client("guardduty", ACCOUNT, REGION)
    detector = client.create_detector(Enable=True)["DetectorId"]
    client.create_sample_findings(DetectorId=detector, FindingTypes=["A:B/C", "D:E/F"])

    def types(**criterion: Any) -> list[str]:
        ids = client.list_findings(DetectorId=detector, FindingCriteria={"Criterion": criterion})[
            "FindingIds"
        ]
        found = client.get_findings(DetectorId=detector, FindingIds=ids)["Findings"]
        return [finding["Type"] for finding in found]

    assert types(type={"Equals": ["A:B/C"]}) == ["A:B/C"]
    assert len(types(severity={"GreaterThanOrEqual": 8})) == 2
    assert types(severity={"GreaterThan": 8}) == []
    assert types(**{"service.archived": {"Equals": ["true"]}}) == []


# --- IAM -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def iam_server() -> Iterator[Emulator]:
    with running(iam=True) as server:
        yield server


@pytest.fixture
def guarded(iam_server: Emulator) -> Emulator:
    iam_server.reset()
    return iam_server


@pytest.fixture
def role(guarded: Emulator) -> Callable[..., Callable[[str], Any]]:
    """``role(statement, ...)`` assumes a role with these statements; gives a client factory."""
    made = iter(range(100))

    def create(*statements: dict[str, Any]) -> Callable[[str], Any]:
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        trust = organisation.trust(AWS="arn:aws:iam::111111111111:root")
        arn = organisation.create_role(guarded, ACCOUNT, f"r{next(made)}", trust, policy)
        session = assume(guarded, arn)
        config = Config(retries={"total_max_attempts": 1})
        return lambda service: session.client(service, endpoint_url=guarded.url, config=config)

    return create


def allow(*actions: str, resource: Any = "*", **members: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **members}


DENIED = {
    "ec2": ("describe_vpcs", {}, "UnauthorizedOperation", 403),
    "ssm": ("list_commands", {}, "AccessDeniedException", 400),
    "inspector2": ("list_findings", {}, "AccessDeniedException", 403),
    "sts": (
        "assume_role",
        {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r0", "RoleSessionName": "xx"},
        "AccessDenied",
        403,
    ),
    "lambda": ("list_functions", {}, "AccessDeniedException", 403),
    "events": ("list_rules", {}, "AccessDeniedException", 400),
    "s3": ("list_buckets", {}, "AccessDenied", 403),
    "iam": ("list_roles", {}, "AccessDenied", 403),
    "wafv2": ("list_ip_sets", {"Scope": "REGIONAL"}, "AccessDeniedException", 400),
    "guardduty": ("list_detectors", {}, "AccessDeniedException", 403),
    "logs": ("describe_log_groups", {}, "AccessDeniedException", 400),
    "cloudwatch": ("list_metrics", {}, "AccessDenied", 403),
    "sns": ("list_topics", {}, "AuthorizationError", 403),
    "sqs": ("list_queues", {}, "AccessDenied", 403),
}


def test_a_refusal_has_the_form_of_its_service(role: Any) -> None:
    client = role(allow("ec2:DescribeInstances"))
    found = {}
    for service, (method, arguments, _, _) in DENIED.items():
        with pytest.raises(ClientError) as raised:
            getattr(client(service), method)(**arguments)
        error = raised.value.response
        status = error["ResponseMetadata"]["HTTPStatusCode"]
        found[service] = (error["Error"]["Code"], status)
        assert "is not authorized to perform" in error["Error"]["Message"]
    assert found == {service: (code, status) for service, (_, _, code, status) in DENIED.items()}


def test_what_is_allowed_works(role: Any) -> None:
    client = role(
        allow("ec2:Describe*", "ssm:List*", "inspector2:ListFindings", "s3:ListAllMyBuckets"),
        allow("lambda:ListFunctions", "wafv2:ListIPSets", "guardduty:ListDetectors"),
    )
    client("ec2").describe_vpcs()
    client("ssm").list_commands()
    client("inspector2").list_findings()
    client("s3").list_buckets()
    client("lambda").list_functions()
    client("wafv2").list_ip_sets(Scope="REGIONAL")
    client("guardduty").list_detectors()
    client("sts").get_caller_identity()  # nobody can forbid it
    assert code_of(client("inspector2").list_coverage) == "AccessDeniedException"


def test_an_explicit_deny_wins(role: Any) -> None:
    client = role(allow("*"), {"Effect": "Deny", "Action": "ssm:ListCommands", "Resource": "*"})
    client("ssm").describe_instance_information()
    with pytest.raises(ClientError, match="with an explicit deny"):
        client("ssm").list_commands()


def test_a_condition_on_the_region_counts(guarded: Emulator, role: Any) -> None:
    only = {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}
    client = role(allow("ec2:DescribeVpcs", Condition=only))
    assert code_of(client("ec2").describe_vpcs) == "UnauthorizedOperation"


def test_every_instance_and_the_document_of_a_command_must_be_allowed(
    guarded: Emulator, role: Any
) -> None:
    made = organisation.build(
        guarded, accounts=[organisation.SECURITY, organisation.PRODUCTION], instances=4
    )
    one, two = made.ids(account=ACCOUNT)[0], made.ids("clean", ACCOUNT)[0]
    tagged = made.find(account=ACCOUNT)[0]
    place = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance"
    document = f"arn:aws:ssm:{REGION}::document/{SHELL}"
    client = role(allow("ssm:SendCommand", resource=[f"{place}/{one}", document]))("ssm")
    client.send_command(InstanceIds=[one], DocumentName=SHELL)
    assert code_of(lambda: client.send_command(InstanceIds=[one, two], DocumentName=SHELL)) == (
        "AccessDeniedException"
    )
    assert (
        code_of(lambda: client.send_command(InstanceIds=[one], DocumentName="AWS-UpdateSSMAgent"))
        == "AccessDeniedException"
    )
    by_tag = {"StringEquals": {"ssm:resourceTag/Name": tagged.name}}
    client = role(
        allow("ssm:SendCommand", resource=f"{place}/*", Condition=by_tag),
        allow("ssm:SendCommand", resource=document),
    )("ssm")
    client.send_command(InstanceIds=[tagged.id], DocumentName=SHELL)
    assert code_of(lambda: client.send_command(InstanceIds=[two], DocumentName=SHELL)) == (
        "AccessDeniedException"
    )


def test_a_role_is_assumed_only_by_whom_it_trusts(guarded: Emulator) -> None:
    trust = organisation.trust(AWS="arn:aws:iam::111111111111:root")
    arn = organisation.create_role(guarded, ACCOUNT, "trusting", trust)
    assume(guarded, arn, "111111111111")
    assert code_of(lambda: assume(guarded, arn, OTHER)) == "AccessDenied"


def test_a_session_policy_narrows(guarded: Emulator) -> None:
    arn = organisation.create_role(guarded, ACCOUNT, "wide", organisation.trust(AWS="*"))
    policy = {"Version": "2012-10-17", "Statement": [allow("ec2:DescribeVpcs")]}
    key = guarded.client("sts").assume_role(
        RoleArn=arn, RoleSessionName="xx", Policy=json.dumps(policy)
    )["Credentials"]
    session = boto3.Session(
        key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"], region_name=REGION
    )
    client = session.client("ec2", endpoint_url=guarded.url)
    client.describe_vpcs()
    assert code_of(client.describe_subnets) == "UnauthorizedOperation"


def test_a_role_is_passed_only_with_permission(guarded: Emulator, role: Any) -> None:
    passed = organisation.create_role(
        guarded, ACCOUNT, "passed", organisation.trust(Service="lambda.amazonaws.com")
    )
    arguments = {
        "FunctionName": "f",
        "Runtime": "python3.11",
        "Role": passed,
        "Handler": "main.run",
        "Code": {"ZipFile": zipped(main=HANDLER)},
    }
    client = role(allow("lambda:CreateFunction"))("lambda")
    assert code_of(lambda: client.create_function(**arguments)) == "AccessDeniedException"
    client = role(allow("lambda:CreateFunction"), allow("iam:PassRole", resource=passed))("lambda")
    client.create_function(**arguments)


def test_a_user_has_the_policies_of_its_groups(guarded: Emulator) -> None:
    iam = guarded.client("iam", ACCOUNT)
    iam.create_user(UserName="ann")
    iam.create_group(GroupName="readers")
    policy = {"Version": "2012-10-17", "Statement": [allow("ec2:DescribeVpcs")]}
    iam.put_group_policy(GroupName="readers", PolicyName="p", PolicyDocument=json.dumps(policy))
    iam.add_user_to_group(GroupName="readers", UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    client = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=REGION).client(
        "ec2", endpoint_url=guarded.url
    )
    client.describe_vpcs()
    assert code_of(client.describe_subnets) == "UnauthorizedOperation"


# --- the organisation ----------------------------------------------------------------------------


def test_the_organisation_is_what_it_says(emulator: Emulator) -> None:
    regions = ["us-east-1", "eu-west-1"]
    made = organisation.build(emulator, regions=regions)
    assert len(made.instances) == 3 * 2 * 4
    for scenario in organisation.SCENARIOS:
        assert len(made.ids(scenario)) == 6
    for account in made.accounts:
        session = assume(emulator, made.role_arn(account.id))
        assert (
            session.client("sts", endpoint_url=emulator.url).get_caller_identity()["Account"]
            == account.id
        )
        for region in regions:
            ssm = emulator.client("ssm", account.id, region)
            rows = ssm.describe_instance_information()["InstanceInformationList"]
            online = {r["InstanceId"] for r in rows if r["PingStatus"] == "Online"}
            lost = {r["InstanceId"] for r in rows if r["PingStatus"] != "Online"}
            assert lost == set(made.ids("offline", account.id, region))
            assert online == set(
                made.ids("vulnerable", account.id, region) + made.ids("clean", account.id, region)
            )
            inspector = emulator.client("inspector2", account.id, region)
            findings = inspector.list_findings()["findings"]
            hit = {f["resources"][0]["id"] for f in findings}
            assert hit.isdisjoint(made.ids("clean", account.id, region))
            assert hit.issuperset(made.ids("vulnerable", account.id, region))
            recorded = [arn for i in made.find(None, account.id, region) for arn in i.findings]
            assert sorted(recorded) == sorted(f["findingArn"] for f in findings)
            ec2 = emulator.client("ec2", account.id, region)
            answer = ec2.describe_instances(InstanceIds=[made.ids(None, account.id, region)[0]])
            tags = answer["Reservations"][0]["Instances"][0]["Tags"]
            assert {tag["Key"] for tag in tags} >= {"Name", "owner"}


def test_findings_of_the_organisation_repeat_and_vary(emulator: Emulator) -> None:
    def severities() -> list[str]:
        emulator.reset()
        organisation.build(emulator, accounts=[organisation.PRODUCTION], instances=8)
        client = emulator.client("inspector2", ACCOUNT, REGION)
        return [finding["title"] for finding in client.list_findings()["findings"]]

    first = severities()
    assert first == severities()
    client = emulator.client("inspector2", ACCOUNT, REGION)
    findings = client.list_findings()["findings"]
    assert {f["severity"] for f in findings} == {"CRITICAL", "HIGH", "MEDIUM"}
    managers = {
        p["packageManager"]
        for f in findings
        for p in f.get("packageVulnerabilityDetails", {}).get("vulnerablePackages", [])
    }
    assert managers == {"OS", "PYTHONPKG"}
    assert any(f["type"] == "NETWORK_REACHABILITY" for f in findings)


def test_scenarios_can_be_chosen(emulator: Emulator) -> None:
    made = organisation.build(
        emulator, accounts=[organisation.PRODUCTION], scenarios=["clean", "vulnerable"]
    )
    assert [instance.scenario for instance in made.instances] == ["clean", "vulnerable"]
    with pytest.raises(ValueError, match="unknown scenarios"):
        organisation.build(emulator, scenarios=["haunted"])


def test_a_fleet_is_populated_quickly(emulator: Emulator) -> None:
    started = time.monotonic()
    ids = organisation.populate(emulator, ACCOUNT, REGION, 100, findings_per_instance=3)
    assert time.monotonic() - started < 20
    assert len(set(ids)) == 100
    client = emulator.client("inspector2", ACCOUNT, REGION)
    pages = client.get_paginator("list_findings").paginate()
    assert sum(len(page["findings"]) for page in pages) == 300


# --- CloudTrail, API Gateway, bucket and bus policies --------------------------------------------


def tagged_instance(emulator: Emulator) -> str:
    """An instance that was tagged, tagged in vain and untagged."""
    ec2 = emulator.client("ec2", ACCOUNT, REGION)
    answer = ec2.run_instances(ImageId=organisation.IMAGE, MinCount=1, MaxCount=1)
    instance: str = answer["Instances"][0]["InstanceId"]
    ec2.create_tags(Resources=[instance], Tags=[{"Key": "case", "Value": "INC 1"}])
    emulator.fault("ec2", "CreateTags", code="UnauthorizedOperation", status=403)
    with pytest.raises(ClientError):
        ec2.create_tags(Resources=[instance], Tags=[{"Key": "case", "Value": "INC 2"}])
    ec2.delete_tags(Resources=[instance], Tags=[{"Key": "case"}])
    return instance


def test_cloudtrail_tells_who_changed_tags_the_latest_first(emulator: Emulator) -> None:
    instance = tagged_instance(emulator)
    trail = emulator.client("cloudtrail", ACCOUNT, REGION)
    attribute = {"AttributeKey": "ResourceName", "AttributeValue": instance}
    rows = trail.lookup_events(LookupAttributes=[attribute])["Events"]
    assert [row["EventName"] for row in rows] == ["DeleteTags", "CreateTags"]
    event = json.loads(rows[1]["CloudTrailEvent"])
    assert event["requestParameters"] == {
        "resourcesSet": {"items": [{"resourceId": instance}]},
        "tagSet": {"items": [{"key": "case", "value": "INC 1"}]},
    }
    assert event["userIdentity"]["arn"].endswith(":user/bootstrap-administrator")
    early = rows[1]["EventTime"] - datetime.timedelta(days=1)
    assert trail.lookup_events(EndTime=early)["Events"] == []
    other = {"AttributeKey": "ResourceName", "AttributeValue": "i-0"}
    assert trail.lookup_events(LookupAttributes=[other])["Events"] == []
    with pytest.raises(trail.exceptions.InvalidLookupAttributesException):
        trail.lookup_events(LookupAttributes=[attribute, other])


def test_a_trail_delivers_tag_events_to_eventbridge(emulator: Emulator) -> None:
    sqs = emulator.client("sqs", ACCOUNT, REGION)
    url = sqs.create_queue(QueueName="seen")["QueueUrl"]
    events = emulator.client("events", ACCOUNT, REGION)
    pattern = {"detail": {"requestParameters": {"tagSet": {"items": {"key": ["case"]}}}}}
    events.put_rule(Name="seen", EventPattern=json.dumps(pattern))
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:seen"
    events.put_targets(Rule="seen", Targets=[{"Id": "1", "Arn": arn}])
    instance = tagged_instance(emulator)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    emulator.seed("cloudtrail", ACCOUNT, REGION, "settings", {"trail": True})
    ec2 = emulator.client("ec2", ACCOUNT, REGION)
    for key in ("other", "case"):
        ec2.create_tags(Resources=[instance], Tags=[{"Key": key, "Value": "x"}])
    (message,) = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert json.loads(message["Body"])["detail-type"] == "AWS API Call via CloudTrail"


def test_put_events_reaches_the_bus_of_another_account(emulator: Emulator) -> None:
    emulator.client("events", OTHER, REGION).create_event_bus(Name="shared")
    bus = f"arn:aws:events:{REGION}:{OTHER}:event-bus/shared"
    entry = {"Source": "acme", "DetailType": "x", "Detail": '{"a": 1}', "EventBusName": bus}
    events = emulator.client("events", ACCOUNT, REGION)
    missing = {**entry, "EventBusName": bus + "-not"}
    broken = {**entry, "Detail": "{"}
    done = events.put_events(Entries=[entry, missing, broken])
    assert done["FailedEntryCount"] == 2
    codes = [row.get("ErrorCode") for row in done["Entries"]]
    assert codes == [None, "ResourceNotFoundException", "MalformedDetail"]


def test_an_unknown_api_is_forbidden(emulator: Emulator) -> None:
    url = f"https://abcdef1234.execute-api.{REGION}.amazonaws.com/v1/x"
    status, answer = emulator.call_api(url, "{}", signer=emulator.session(ACCOUNT, REGION))
    assert (status, answer) == (403, {"message": "Forbidden"})


# --- CloudFront -----------------------------------------------------------------------------------


def test_cache_policies_are_made_read_and_refused(emulator: Emulator) -> None:
    client = emulator.client("cloudfront", ACCOUNT, REGION)
    config = {"Name": "ten", "MinTTL": 10}
    made = client.create_cache_policy(CachePolicyConfig=config)["CachePolicy"]
    assert made["CachePolicyConfig"]["DefaultTTL"] == 86400
    assert client.get_cache_policy(Id=made["Id"])["CachePolicy"] == made
    optimized = client.get_cache_policy(Id="658327ea-f89d-4fab-a63d-7e88639e58f6")
    assert optimized["CachePolicy"]["CachePolicyConfig"]["MinTTL"] == 1
    wrong = {"Name": "wrong", "MinTTL": 10, "DefaultTTL": 5}
    create, get = client.create_cache_policy, client.get_cache_policy
    assert code_of(lambda: create(CachePolicyConfig=config)) == "CachePolicyAlreadyExists"
    assert code_of(lambda: create(CachePolicyConfig=wrong)) == "InvalidArgument"
    assert code_of(lambda: get(Id="none")) == "NoSuchCachePolicy"
    elsewhere = emulator.client("cloudfront", OTHER, REGION)
    assert code_of(lambda: elsewhere.get_cache_policy(Id=made["Id"])) == "NoSuchCachePolicy"
