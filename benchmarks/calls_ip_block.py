"""Blocking 1,000 addresses: our action beside one read and one write an address, in one run.

The peer is what a hand-written function does for each address that it is given: it gets the IP
set and updates it with one address more. Both leave the same addresses in the emulator.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.result import Result, report
from benchmarks.runs import ACCOUNT, REGION, Counted, counted, emulator
from tests.waf_scene import RANGES, Scene

ADDRESSES = 1000
LIST, GET, UPDATE = "ListIPSets", "GetIPSet", "UpdateIPSet"
SWEEP = {
    "name": "sweep",
    "resource": "aws.account",
    "actions": [{"type": "waf-ip-expire", "name": "secops-block", "scope": "REGIONAL"}],
}


def policy(addresses: list[str]) -> dict[str, Any]:
    action = {
        "type": "waf-ip-block",
        "name": "secops-block",
        "from": {"addresses": addresses},
        "ip-ranges": RANGES,
        "scope": "REGIONAL",
        "web-acls": "all",
    }
    return {"name": "ours", "resource": "aws.account", "actions": [action]}


def one_at_a_time(client: Any, addresses: list[str]) -> Counter[str]:
    """Block as a function behind each address would; returns the calls."""
    sent: Counter[str] = Counter()
    made = client.create_ip_set(
        Name="peer", Scope="REGIONAL", IPAddressVersion="IPV4", Addresses=[]
    )["Summary"]
    where = {"Name": "peer", "Scope": "REGIONAL", "Id": made["Id"]}
    client.meta.events.register(
        "request-created.wafv2.*", lambda operation_name, **_: sent.update([operation_name])
    )
    for address in addresses:
        held = client.get_ip_set(**where)
        client.update_ip_set(
            **where,
            Addresses=[*held["IPSet"]["Addresses"], f"{address}/32"],
            LockToken=held["LockToken"],
        )
    return sent


def of_sets(run: Counted, name: str) -> int:
    return run.calls[f"wafv2.{name}"]


def main() -> Result:
    addresses = [f"9.{number >> 8}.{number & 255}.9" for number in range(ADDRESSES)]
    with emulator() as server:
        scene = Scene(server)
        scene.web_acl()
        first = counted(policy(["8.8.8.8"]))
        ours = counted(policy(addresses))
        idle = counted(SWEEP)
        assert len(scene.blocked()) == ADDRESSES + 1
        peer = one_at_a_time(
            server.session(ACCOUNT, REGION).client("wafv2", endpoint_url=server.url), addresses
        )

    assert ours.actions["waf-ip-block"]["counts"] == {"blocked": 1}
    calls = {name: of_sets(ours, name) for name in (LIST, GET, UPDATE)}
    called, least, beside = sum(calls.values()), 3, sum(peer.values())
    sweep = sum(of_sets(idle, name) for name in (LIST, GET, UPDATE))
    rows: list[tuple[object, ...]] = [
        *((name, calls[name], 1, peer[name]) for name in (LIST, GET, UPDATE)),
        ("all calls of IP sets", called, least, beside),
        ("the web ACL: ListWebACLs, GetWebACL", ours.of("wafv2") - called, "", ""),
        ("whom to protect: EC2, S3", ours.of("ec2", "s3"), "", ""),
        ("once: the ring is made", first.calls["wafv2.CreateIPSet"], "", 1),
        ("an idle sweep", sweep, 1, ""),
    ]
    ratio = max(called / least, sweep / 1)
    return report(
        Result("calls-ip-block", called, beside, least, ratio, 1.0),
        f"{ADDRESSES:,} addresses of one family",
        ("call", "ours", "least", "one address at a time"),
        rows,
    )


if __name__ == "__main__":
    main()
