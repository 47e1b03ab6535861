"""From access logs to the block and to its end: attackers are in the set, neighbours are not."""

from __future__ import annotations

import socket
from datetime import datetime, timezone
from typing import Any

import pytest

from c7n_secops_edge import protected
from tests.edge_logs import Request, burst, cloudfront
from tests.edge_scene import distribution
from tests.emulator import Emulator
from tests.harness import Custodian
from tests.waf_scene import Scene, shipped

FILES = 4
ATTACK = [
    *burst("9.9.9.9", 3, [450] * 5),  # over five minutes, across a border of fixed ones
    *burst("8.8.8.8", 4, [60], uri="/.env", status=404),
    *(request for host in range(40) for request in burst(f"45.61.184.{host}", 2, [11] * 5)),
    *(r for host in range(90) for r in burst(f"2a0d:5600:1:9f::{host:x}", 2, [5] * 5)),
]
OTHERS = [
    *burst("9.9.9.10", 3, [399] * 5),  # a neighbour, just under the threshold
    *burst("8.8.8.9", 4, [49], uri="/favicon.ico", status=404),
    *(request for host in range(20) for request in burst(f"45.61.185.{host}", 2, [11] * 5)),
    *burst("7.7.7.7", 0, [3000], uri="/app.css"),  # not counted
    *burst("66.249.66.1", 2, [500] * 5),  # a search engine that proves itself
    *burst("15.177.0.9", 2, [500] * 5),  # Route 53's health checks
]


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protected, "_fetched", {})
    names = {"66.249.66.1": "crawl-66-249-66-1.googlebot.com"}
    ask = socket.getaddrinfo

    def name_of(address: str) -> tuple[str, list[str], list[str]]:
        if address not in names:
            raise socket.herror(1, "Unknown host")
        return names[address], [], [address]

    def addresses_of(name: str, *more: Any, **named: Any) -> Any:
        if name in names.values():
            return [(0, 0, 0, "", ("66.249.66.1", 0))]
        return ask(name, *more, **named)

    monkeypatch.setattr(socket, "gethostbyaddr", name_of)
    monkeypatch.setattr(socket, "getaddrinfo", addresses_of)


@pytest.fixture
def scene(emulator: Emulator) -> Scene:
    made = Scene(emulator)
    made.s3.create_bucket(Bucket="logs")
    return made


def logged(emulator: Emulator, scene: Scene, requests: list[Request], files: int = 1) -> str:
    """Makes a distribution with a web ACL and access logs; returns the web ACL's ARN."""
    arn = scene.web_acl("edge", "CLOUDFRONT")
    logging = {
        "Enabled": True,
        "IncludeCookies": False,
        "Bucket": "logs.s3.amazonaws.com",
        "Prefix": "cdn/",
    }
    made = distribution(emulator, WebACLId=arn, Logging=logging)
    for number in range(files):
        key = f"cdn/{made['Id']}.{datetime.now(timezone.utc):%Y-%m-%d-%H}.{number:08x}.gz"
        scene.s3.put_object(Bucket="logs", Key=key, Body=cloudfront(requests[number::files]))
    return arn


def test_who_floods_is_blocked_and_later_unblocked_and_nobody_else(
    emulator: Emulator, custodian: Custodian, scene: Scene
) -> None:
    arn = logged(emulator, scene, [*ATTACK, *OTHERS], FILES)
    run = custodian(shipped("distribution-block-flood"))
    (row,) = run.action("waf-ip-block")["results"]
    assert row["outcome"] == "counted"
    attackers = {"9.9.9.9/32", "8.8.8.8/32", "45.61.184.0/24", "2a0d:5600:1:9f::/64"}
    assert set(row["addresses"]) == attackers
    assert {refused["address"] for refused in row["refused"]} == {"66.249.66.1/32", "15.177.0.9/32"}
    assert scene.blocked("secops-flood", "CLOUDFRONT") == {
        "9.9.9.9/32",
        "8.8.8.8/32",
        "45.61.184.0/24",
        "2a0d:5600:0001:009f:0000:0000:0000:0000/64",
    }
    assert scene.rules(arn)["secops-flood"]["Action"] == {"Count": {}}

    custodian("account-expire-flood-blocks")
    assert len(scene.blocked("secops-flood", "CLOUDFRONT")) == len(attackers)
    scene.let_time_pass("CLOUDFRONT")
    custodian("account-expire-flood-blocks")
    assert scene.blocked("secops-flood", "CLOUDFRONT") == set()


def test_the_worst_are_blocked_first_where_there_is_no_room_for_all(
    emulator: Emulator, custodian: Custodian, scene: Scene
) -> None:
    logged(emulator, scene, [*burst("9.9.1.1", 0, [2100]), *burst("9.9.3.1", 0, [2300])])
    data = shipped("distribution-block-flood", duration=43200, protect=[])
    many = [f"11.{n >> 7 & 255}.{(n & 127) * 2}.1" for n in range(9_999)]
    full = {**data["actions"][0], "from": {"addresses": many}, "max-new": 20000}
    custodian({**data, "filters": [], "actions": [full]})
    (row,) = custodian(data).action("waf-ip-block")["results"]
    assert (row["outcome"], row["code"]) == ("partial", "OverCapacity")
    assert list(row["addresses"]) == ["9.9.3.1/32"]
    assert row["left-out"] == ["9.9.1.1/32"]
