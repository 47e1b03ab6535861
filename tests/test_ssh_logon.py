"""Logons by SSH from outside, by what sshd writes to CloudWatch Logs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest
from c7n.exceptions import PolicyValidationError
from hypothesis import given
from hypothesis import strategies as st

from c7n_secops_edge import ssh
from tests import incident_scene
from tests.emulator import Emulator
from tests.harness import ACCOUNT, Custodian
from tests.incident_scene import WORKLOAD
from tests.inspector_data import launch, validate

GROUP = "/var/log/secure"
OUTSIDE = "198.51.100.7"
KEY = "ssh2: ED25519 SHA256:abc"


def said(
    text: str = "Accepted publickey for ec2-user",
    address: str = OUTSIDE,
    program: str = "sshd",
    at: str = "Jan 31 12:00:00",
    tail: str = KEY,
) -> str:
    return f"{at} ip-10-0-0-1 {program}[4242]: {text} from {address} port 50022 {tail}"


def log(
    emulator: Emulator,
    stream: str,
    lines: Iterable[str],
    minutes: float = 5,
    account: str = ACCOUNT,
) -> None:
    """Write lines to a stream, as if so many minutes ago."""
    logs = emulator.client("logs", account)
    at = int((time.time() - minutes * 60) * 1000)
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    events = [{"timestamp": at, "message": each} for each in lines]
    logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def codes(run: Any) -> dict[str, str]:
    return {each["resource"]: each["code"] for each in run.not_evaluated}


def test_only_logons_from_outside_within_the_lookback_match(
    emulator: Emulator, custodian: Custodian
) -> None:
    emulator.client("logs").create_log_group(logGroupName=GROUP)
    entered, inside, failed, old, unclear, absent, stopped = launch(emulator, 7)
    emulator.client("ec2").stop_instances(InstanceIds=[stopped])
    log(emulator, entered, [said(), said(address="203.0.113.9"), said(), said(address="10.1.2.3")])
    log(emulator, inside, [said(address="10.9.9.9"), said(address="fd00::9")])
    log(emulator, f"{failed}/secure", [said("Failed password for root", tail="ssh2")])
    log(emulator, old, [said()], minutes=61)
    log(emulator, unclear, [said(address="host.example.com")])
    run = custodian("ec2-ssh-logon-from-outside")
    assert [each["InstanceId"] for each in run.resources] == [entered]
    rows = run.resources[0]["c7n:SshLogons"]
    assert {row["address"]: row["count"] for row in rows} == {OUTSIDE: 2, "203.0.113.9": 1}
    assert {(row["user"], row["method"]) for row in rows} == {("ec2-user", "publickey")}
    assert rows[0]["firstSeen"].endswith("Z")
    assert codes(run) == {unclear: "BadLines", absent: "NoStream"}
    assert len(emulator.calls("logs", "FilterLogEvents")) == 1


def test_min_logons_and_lookback_say_how_many_within_how_long(
    emulator: Emulator, custodian: Custodian
) -> None:
    emulator.client("logs").create_log_group(logGroupName=GROUP)
    (instance,) = launch(emulator, 1)
    log(emulator, instance, [said(), said()], minutes=61)
    wanted = {"type": "ssh-logon", "log-group": GROUP, "allowed": ["10.0.0.0/8"]}
    for options, number in (
        ({"lookback": 62, "min-logons": 2}, 1),
        ({"lookback": 62, "min-logons": 3}, 0),
        ({"lookback": 60}, 0),
    ):
        found = custodian(
            {"name": "own", "resource": "aws.ec2", "filters": [{**wanted, **options}]}
        )
        assert (len(found.resources), found.not_evaluated) == (number, [])


def test_a_group_that_is_absent_or_cannot_be_read_is_reported(
    emulator: Emulator, custodian: Custodian
) -> None:
    (instance,) = launch(emulator, 1)
    assert codes(custodian("ec2-ssh-logon-from-outside")) == {instance: "NoLogGroup"}
    emulator.client("logs").create_log_group(logGroupName=GROUP)
    log(emulator, instance, [said()])
    for operation in ("FilterLogEvents", "DescribeLogStreams"):
        emulator.clear_faults()
        emulator.fault("logs", operation, code="AccessDeniedException", times=None)
        run = custodian("ec2-ssh-logon-from-outside")
        assert (run.resources, codes(run)) == ([], {instance: "AccessDeniedException"})


def test_a_stream_that_fell_silent_a_day_ago_says_nothing(
    emulator: Emulator, custodian: Custodian
) -> None:
    emulator.client("logs").create_log_group(logGroupName=GROUP)
    silent, alive = launch(emulator, 2)
    log(emulator, silent, ["nothing"], minutes=24 * 60 + 1)
    log(emulator, alive, ["nothing"], minutes=24 * 60 - 5)
    assert codes(custodian("ec2-ssh-logon-from-outside")) == {silent: "NoStream"}


def test_an_instance_is_contained_only_where_its_owner_allowed_it(
    emulator: Emulator, custodian: Custodian
) -> None:
    made = incident_scene.evidence(emulator)
    incident_scene.account(emulator, made)
    allowed = {"c7n_secops_auto_contain": "allowed"}
    (instance,) = incident_scene.launch(emulator, **allowed)
    (other,) = incident_scene.launch(emulator)
    (exempt,) = incident_scene.launch(emulator, **allowed, c7n_secops_exempt="")
    emulator.client("logs", WORKLOAD).create_log_group(logGroupName=GROUP)
    for each in (instance, other, exempt):
        log(emulator, each, [said()], account=WORKLOAD)
    run = custodian("ec2-isolate-ssh-logon", account=WORKLOAD, vars=made)
    (result,) = run.action("quarantine-instance")["results"]
    assert (result["InstanceId"], result["outcome"]) == (instance, "contained")
    contained = [incident_scene.is_contained(emulator, each) for each in (instance, other, exempt)]
    assert contained == [True, False, False]
    assert custodian("ec2-isolate-ssh-logon", account=WORKLOAD, vars=made).resources == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (said(), ssh.Logon("publickey", "ec2-user", OUTSIDE)),
        (said(program="sshd-session"), ssh.Logon("publickey", "ec2-user", OUTSIDE)),
        (said(at="2026-01-31T12:00:00.123456+00:00"), ssh.Logon("publickey", "ec2-user", OUTSIDE)),
        (said("Accepted password for root", "2001:db8::7", tail="ssh2"),
         ssh.Logon("password", "root", "2001:db8::7")),
        (said("Accepted keyboard-interactive/pam for a"),
         ssh.Logon("keyboard-interactive/pam", "a", OUTSIDE)),
        (said(address="host.example.com"), ssh.Logon("publickey", "ec2-user", None)),
        (said("Failed password for root"), False),
        (said(program="httpd"), False),
        ("Jan 31 12:00:00 host httpd[1]: GET /" + said(), False),
        (said("Invalid user Accepted publickey for root"), False),
        (said("Accepted password for a from 10.0.0.1 port 22"), True),
        (said("Accepted publickey for ") , True),
    ],
    ids=["plain", "session", "iso time", "ipv6", "pam", "name", "failed", "program", "quoted",
         "invalid user", "two addresses", "no user"],
)  # fmt: skip
def test_a_line_is_believed_only_where_sshd_begins_it(line: str, expected: Any) -> None:
    assert ssh.logon(line) == expected


words = st.text(st.characters(codec="utf-8", exclude_characters=" :"), min_size=1, max_size=64)


@given(st.one_of(st.text(max_size=200), words.map(lambda user: said(f"Accepted none for {user}"))))
def test_no_line_raises_and_a_user_s_name_does_not_change_the_address(line: str) -> None:
    found = ssh.logon(line)
    assert isinstance(found, bool) or found.address == OUTSIDE


def test_a_network_with_host_bits_is_refused() -> None:
    wanted = {"type": "ssh-logon", "log-group": GROUP, "allowed": ["10.0.0.1/8"]}
    with pytest.raises(PolicyValidationError, match=r"allowed: 10\.0\.0\.1/8 has host bits set"):
        validate({"name": "own", "resource": "aws.ec2", "filters": [wanted]})
