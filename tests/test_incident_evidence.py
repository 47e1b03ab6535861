"""The evidence bucket: each account adds to its own part of a case, and deletes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.emulator import Emulator, running
from tests.harness import ACCOUNT, REGION
from tests.incident_scene import (
    BUCKET,
    FORENSICS,
    WORKLOAD,
    account,
    assume,
    evidence,
    stack,
)

Put = Callable[..., Any]
OWN = f"cases/INC-1/{WORKLOAD}/{REGION}/i-1/lock.json"
OTHERS = f"cases/INC-1/{ACCOUNT}/{REGION}/i-1/lock.json"


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Emulator]:
    """An emulator that denies what policies do not allow."""
    with running(iam=True) as server:
        yield server


@pytest.fixture
def made(enforcing: Emulator) -> dict[str, str]:
    enforcing.reset()
    return evidence(enforcing)


@pytest.fixture
def role(enforcing: Emulator, made: dict[str, str]) -> str:
    """The response role of the workload account."""
    return account(enforcing, made)


def s3_of(emulator: Emulator, session: Any) -> Any:
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return session.client("s3", endpoint_url=emulator.url, config=config)


@pytest.fixture
def put(made: dict[str, str]) -> Put:
    """``put(s3, key, …)`` puts an object as the actions do."""

    def put(s3: Any, key: str, **more: Any) -> Any:
        request = {
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": made["evidence_key"],
            **more,
        }
        return s3.put_object(Bucket=BUCKET, Key=key, Body=b"{}", **request)

    return put


def denied(call: Any, *arguments: Any, **named: Any) -> bool:
    try:
        call(*arguments, **named)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied"
        return True
    return False


def test_the_response_role_adds_to_its_account_s_part_and_reads_it(
    enforcing: Emulator, put: Put, role: str
) -> None:
    s3 = s3_of(enforcing, assume(enforcing, role))
    put(s3, OWN, IfNoneMatch="*")
    until = datetime.now(timezone.utc) + timedelta(days=1)
    put(s3, f"{OWN}.2", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)
    assert s3.get_object(Bucket=BUCKET, Key=OWN)["Body"].read() == b"{}"
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=OWN.removesuffix("lock.json"))
    assert listed["KeyCount"] == 2
    lock = s3.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"]["Days"] == 365


def test_it_reaches_no_other_part_and_deletes_nothing(
    enforcing: Emulator, put: Put, role: str
) -> None:
    s3 = s3_of(enforcing, assume(enforcing, role))
    put(s3_of(enforcing, enforcing.session(FORENSICS, REGION)), OTHERS)
    version = put(s3, OWN)["VersionId"]
    assert denied(put, s3, OTHERS)
    assert denied(put, s3, f"elsewhere/INC-1/{WORKLOAD}/x")
    assert denied(s3.get_object, Bucket=BUCKET, Key=OTHERS)
    assert denied(s3.list_objects_v2, Bucket=BUCKET)
    assert denied(s3.list_objects_v2, Bucket=BUCKET, Prefix=f"cases/INC-1/{ACCOUNT}/")
    assert denied(s3.delete_object, Bucket=BUCKET, Key=OWN)
    assert denied(s3.delete_object, Bucket=BUCKET, Key=OWN, VersionId=version)
    assert denied(
        s3.delete_object, Bucket=BUCKET, Key=OWN, VersionId=version, BypassGovernanceRetention=True
    )


def test_no_other_role_and_no_other_account_gets_in(
    enforcing: Emulator, put: Put, role: str
) -> None:
    other_role = f"arn:aws:iam::{WORKLOAD}:role/CloudCustodian"
    administrator = enforcing.session(WORKLOAD, REGION)
    foreign = enforcing.session("444444444444", REGION)
    for who in (assume(enforcing, other_role), administrator, foreign):
        s3 = s3_of(enforcing, who)
        assert denied(put, s3, OWN)
        assert denied(s3.get_object_lock_configuration, Bucket=BUCKET)
    put(s3_of(enforcing, assume(enforcing, role)), OWN)


def test_the_copy_role_is_for_the_response_role_alone(
    enforcing: Emulator, made: dict[str, str]
) -> None:
    copy = f"arn:aws:iam::{FORENSICS}:role/c7n-secops-evidence"
    role = account(enforcing, made, EvidenceRoleArn=copy)
    responder = assume(enforcing, role)
    sts = responder.client("sts", endpoint_url=enforcing.url)
    assert sts.assume_role(RoleArn=copy, RoleSessionName="test")["Credentials"]
    other = assume(enforcing, f"arn:aws:iam::{WORKLOAD}:role/CloudCustodian")
    sts = other.client("sts", endpoint_url=enforcing.url)
    assert denied(sts.assume_role, RoleArn=copy, RoleSessionName="test")
    assert denied(
        enforcing.client("sts", WORKLOAD).assume_role, RoleArn=copy, RoleSessionName="test"
    )


def test_an_object_under_another_key_is_refused(enforcing: Emulator, put: Put, role: str) -> None:
    s3 = s3_of(enforcing, assume(enforcing, role))
    other = enforcing.client("kms", WORKLOAD, REGION).create_key()["KeyMetadata"]["Arn"]
    assert denied(put, s3, OWN, SSEKMSKeyId=other)
    assert denied(s3.put_object, Bucket=BUCKET, Key=OWN, ServerSideEncryption="aws:kms")
    assert denied(s3.put_object, Bucket=BUCKET, Key=OWN)
    put(s3, OWN)


@pytest.mark.parametrize("mode, days", [("COMPLIANCE", "7"), ("GOVERNANCE", "30")])
def test_the_retention_of_the_bucket_can_be_set(enforcing: Emulator, mode: str, days: str) -> None:
    enforcing.reset()
    made = stack(
        enforcing,
        FORENSICS,
        "evidence-bucket.yml",
        BucketName=BUCKET,
        Accounts=WORKLOAD,
        RetentionMode=mode,
        RetentionDays=days,
    )
    s3 = enforcing.client("s3", FORENSICS, REGION)
    key = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": made["KeyArn"]}
    s3.put_object(Bucket=BUCKET, Key=OWN, Body=b"{}", **key)
    kept = s3.head_object(Bucket=BUCKET, Key=OWN)
    assert kept["ObjectLockMode"] == mode
    left = kept["ObjectLockRetainUntilDate"] - datetime.now(timezone.utc)
    assert abs(left - timedelta(days=int(days))) < timedelta(minutes=5)
