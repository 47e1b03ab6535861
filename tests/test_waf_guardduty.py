"""GuardDuty findings: who came is blocked in the web ACLs of the account, for a day."""

from __future__ import annotations

import copy
import json
import socket
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c7n_secops_edge import protected
from c7n_secops_edge.guardduty import remote_addresses
from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION, Custodian
from tests.waf_scene import Scene, shipped

FINDING = Path(__file__).parent / "events" / "guardduty-ec2-network-connection.json"
POLICY = "account-block-guardduty-address"
REMOTE = {"ipAddressV4": "9.9.9.9", "country": {"countryName": "X"}}

ACTIONS = {
    "network": {"networkConnectionAction": {"connectionDirection": "INBOUND"}},
    "api-call": {"awsApiCallAction": {"api": "ListBuckets"}},
    "kubernetes": {"kubernetesApiCallAction": {"sourceIPs": ["1.1.1.1"]}},
    "rds": {"rdsLoginAttemptAction": {"LoginAttributes": []}},
}


@pytest.fixture(autouse=True)
def _no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address has a name, and AWS's ranges are read once a test."""

    def nameless(address: str) -> Any:
        raise socket.herror(1, "Unknown host")

    monkeypatch.setattr(socket, "gethostbyaddr", nameless)
    monkeypatch.setattr(protected, "_fetched", {})


@pytest.fixture
def scene(emulator: Emulator) -> Scene:
    return Scene(emulator)


def with_remote(action: dict[str, Any], **remote: Any) -> dict[str, Any]:
    """The action of a finding, with who was at the other end."""
    made = copy.deepcopy(action)
    for block in made.values():
        block["remoteIpDetails"] = remote or REMOTE
    return made


def finding(action: dict[str, Any], **changes: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(FINDING.read_text())
    event.update(account=ACCOUNT, region=REGION)
    event["detail"] |= {"accountId": ACCOUNT, **changes}
    event["detail"]["service"]["action"] = action
    return event


# --- which addresses ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ACTIONS)
def test_who_came_is_named_in_every_kind_of_action(kind: str) -> None:
    remote = {"ipAddressV4": "9.9.9.9", "ipAddressV6": "2600::9"}
    assert remote_addresses(finding(with_remote(ACTIONS[kind], **remote))) == ["9.9.9.9", "2600::9"]


def test_each_prober_of_a_port_is_named_once() -> None:
    rows = [{"remoteIpDetails": {"ipAddressV4": text}} for text in ("9.9.9.9", "8.8.8.8")]
    action = {"portProbeAction": {"blocked": False, "portProbeDetails": [*rows, rows[0], "x"]}}
    assert remote_addresses(finding(action)) == ["9.9.9.9", "8.8.8.8"]


@pytest.mark.parametrize("direction", ["OUTBOUND", "UNKNOWN"])
def test_whom_an_instance_called_is_named_only_on_demand(direction: str) -> None:
    event = finding(with_remote({"networkConnectionAction": {"connectionDirection": direction}}))
    assert remote_addresses(event) == []
    assert remote_addresses(event, "ANY") == ["9.9.9.9"]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "detail",
                    "service",
                    "action",
                    "portProbeAction",
                    "portProbeDetails",
                    "awsApiCallAction",
                    "networkConnectionAction",
                    "connectionDirection",
                    "remoteIpDetails",
                    "ipAddressV4",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_an_event_of_any_form_gives_texts_and_no_error(detail: Any) -> None:
    found = remote_addresses({"detail": {"service": {"action": detail}, "x": detail}})
    assert all(isinstance(text, str) for text in found)
    assert remote_addresses({"detail": detail}) is not None


# --- the shipped policy -------------------------------------------------------------------------


def test_an_inbound_finding_blocks_its_address_for_a_day_in_all_web_acls(
    custodian: Custodian, scene: Scene
) -> None:
    arns = [scene.web_acl("one"), scene.web_acl("edge", "CLOUDFRONT")]
    before = datetime.now(timezone.utc)
    run = custodian(shipped(POLICY), event=finding(with_remote(ACTIONS["network"])))
    rows = {row["scope"]: row for row in run.action("waf-ip-block")["results"]}
    assert {scope: row["outcome"] for scope, row in rows.items()} == {
        "CLOUDFRONT": "blocked",
        "REGIONAL": "blocked",
    }
    until = datetime.fromisoformat(rows["REGIONAL"]["addresses"]["9.9.9.9/32"])
    assert timedelta(hours=24) <= until - before <= timedelta(hours=30, seconds=5)
    assert all("secops-guardduty" in scene.rules(arn) for arn in arns)
    for scope in rows:
        assert scene.blocked("secops-guardduty", scope) == {"9.9.9.9/32"}


@pytest.mark.parametrize(
    ("action", "changes"),
    [
        (with_remote({"networkConnectionAction": {"connectionDirection": "OUTBOUND"}}), {}),
        (with_remote(ACTIONS["network"]), {"severity": 3.9}),
        (with_remote(ACTIONS["network"], ipAddressV4="198.51.100.0"), {}),
        (with_remote(ACTIONS["network"], ipAddressV4="15.177.0.9"), {}),
        ({"dnsRequestAction": {"domain": "bad.example"}}, {}),
    ],
    ids=["outbound", "low-severity", "sample", "health-check", "dns"],
)
def test_who_must_not_be_blocked_is_not(
    custodian: Custodian, scene: Scene, action: dict[str, Any], changes: dict[str, Any]
) -> None:
    scene.web_acl()
    custodian(shipped(POLICY), event=finding(action, **changes))
    assert scene.blocked("secops-guardduty") == set()


def test_a_search_engine_that_proves_itself_is_not_blocked(
    custodian: Custodian, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.web_acl()
    names = {
        "66.249.66.1": "crawl-66-249-66-1.googlebot.com",
        "9.9.9.1": "crawl-1.googlebot.com",
        "9.9.9.2": "googlebot.com.evil.example",
        "9.9.9.3": "evilgooglebot.com",
    }
    forward = {"crawl-66-249-66-1.googlebot.com": "66.249.66.1", "crawl-1.googlebot.com": "1.1.1.1"}
    forward |= {"googlebot.com.evil.example": "9.9.9.2", "evilgooglebot.com": "9.9.9.3"}
    monkeypatch.setattr(socket, "gethostbyaddr", lambda text: (names[text], [], [text]))
    ask = socket.getaddrinfo

    def answer(name: str, *more: Any, **named: Any) -> Any:
        found = forward.get(name)
        return [(0, 0, 0, "", (found, 0))] if found else ask(name, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    rows = [{"remoteIpDetails": {"ipAddressV4": text}} for text in names]
    action = {"portProbeAction": {"portProbeDetails": rows}}
    run = custodian(shipped(POLICY), event=finding(action))
    assert scene.blocked("secops-guardduty") == {"9.9.9.1/32", "9.9.9.2/32", "9.9.9.3/32"}
    rows = {row["scope"]: row for row in run.action("waf-ip-block")["results"]}
    refused = rows["REGIONAL"]["refused"]
    assert [(row["address"], row["code"]) for row in refused] == [("66.249.66.1/32", "Protected")]


def test_names_that_nobody_answers_for_protect_nobody() -> None:
    late = Event()
    hosts = [protected.parse("9.9.9.9")]
    found = protected.verified_bots(hosts, reverse=lambda _: str(late.wait(5)), seconds=0.01)
    late.set()
    assert found == set()


def test_the_deployed_function_blocks_the_address(
    emulator: Emulator, custodian: Custodian, scene: Scene
) -> None:
    arn = scene.web_acl()
    emulator.client("iam", ACCOUNT, REGION).create_role(
        RoleName="c7n-secops-lambda",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}),
    )
    kept = ["private", "own-eips", "route53-healthchecks", "cloudfront"]
    custodian(shipped(POLICY, protect=kept), deploy=True)
    event = finding(with_remote(ACTIONS["network"], ipAddressV6="2600::9"))
    assert emulator.deliver_event(ACCOUNT, REGION, event) == 1
    (result,) = emulator.wait_for_lambda(ACCOUNT, REGION, f"custodian-{POLICY}")
    assert result["error"] is None, result["log"]
    assert scene.blocked("secops-guardduty") == {"2600:0000:0000:0000:0000:0000:0000:0009/128"}
    assert "secops-guardduty" in scene.rules(arn)
