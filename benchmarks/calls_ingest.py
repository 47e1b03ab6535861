"""The findings of an organisation in a bucket: our backfill beside one finding at a time.

10,000 findings of 2,000 instances in 50 accounts and 4 regions, as a delegated administrator of
Inspector lists them. The least there can be is the pages of the list, a role in each other account,
a look-up and an object in each account and region. The peer is counted over the first of them in
the same run, and multiplied.
"""

from __future__ import annotations

from typing import Any

from benchmarks.one_by_one import OneByOne
from benchmarks.result import Result, report
from benchmarks.runs import ACCOUNT, REGION, counted, emulator
from tests.emulator.organisation import CATALOGUE, package_finding, populate_all

ACCOUNTS = [ACCOUNT, *(f"{number:012d}" for number in range(1, 50))]
REGIONS = [REGION, "us-west-2", "eu-west-1", "eu-central-1"]
INSTANCES, EACH = 10, 5
SAMPLE = 100
PAGE = 100
BUCKET = "findings"
ROLE = "CloudCustodian"
POLICY = {
    "name": "ours",
    "resource": "aws.account",
    "actions": [
        {
            "type": "export-finding",
            "sources": ["inspector2"],
            "regions": REGIONS,
            "role": ROLE,
            "sinks": [{"type": "s3", "bucket": BUCKET}],
        }
    ],
}


def fill(server: Any) -> list[dict[str, Any]]:
    """Make the organisation, and show its findings to the administrator; returns them."""
    instances = populate_all(server, ACCOUNTS, REGIONS, INSTANCES, 0)
    findings = []
    for region in REGIONS:
        here = [
            package_finding(account, region, name, vulnerability)
            for account in ACCOUNTS
            for name in instances[account, region]
            for vulnerability in CATALOGUE[:EACH]
        ]
        # as they come in, not an account at a time
        here.sort(key=lambda finding: finding["findingArn"][-8:])
        server.add_findings(ACCOUNT, region, here)
        findings += here
    return findings


def main() -> Result:
    with emulator() as server:
        findings = fill(server)
        server.client("s3", ACCOUNT, REGION).create_bucket(Bucket=BUCKET)
        ours = counted(POLICY)
        flow = OneByOne(server, ACCOUNT, BUCKET)
        for finding in findings[:SAMPLE]:
            role = f"arn:aws:iam::{finding['awsAccountId']}:role/{ROLE}"
            flow.handle(finding, role, finding["findingArn"].split(":")[3])

    (result,) = ours.actions["export-finding"]["results"]
    assert (result["outcome"], result["findings"]) == ("exported", len(findings)), result
    places = len(ACCOUNTS) * len(REGIONS)
    least = {
        "ListFindings": -(-len(findings) // PAGE),
        "AssumeRole": len(ACCOUNTS) - 1,
        "DescribeInstances": places,
        "PutObject": places,
    }
    made = {
        name: sum(number for call, number in ours.calls.items() if call.endswith(f".{name}"))
        for name in least
    }
    floor, called = sum(least.values()), sum(ours.calls.values())
    peer = flow.calls * len(findings) // SAMPLE
    return report(
        Result("calls-ingest", called, peer, floor, called / floor, 1.1),
        f"{len(findings):,} findings, {len(ACCOUNTS)} accounts, {len(REGIONS)} regions",
        ("call", "ours", "least", "one finding at a time"),
        [
            *((name, made[name], number, "") for name, number in least.items()),
            ("others", called - sum(made.values()), 0, ""),
            ("all", called, floor, peer),
        ],
    )


if __name__ == "__main__":
    main()
