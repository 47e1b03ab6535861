"""How fast the ingester is, and how much memory it takes: beside one finding at a time.

Three things, each with its goal. Records a second of one core's time, from messages to the local
store: 2,000. Records a second where each AWS call takes 20 ms, beside the flow that asks eight
times a finding: 20 times as many. And the memory at the peak, after a million records beside after
ten thousand: 1.1 times. ``ratio`` is the worst of the three, as a share of its goal.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from c7n.credentials import SessionFactory

from benchmarks.one_by_one import OneByOne
from benchmarks.result import Result, report
from benchmarks.runs import ACCOUNT, REGION, emulator
from c7n_secops_findings.access import Access
from c7n_secops_findings.accounts import Accounts
from c7n_secops_findings.enrich import Enricher
from c7n_secops_findings.export import Complete
from c7n_secops_findings.ingest import DeadLetters, Ingester
from c7n_secops_findings.sinks.local import LocalSink
from tests.emulator.organisation import package_finding, populate
from tests.finding_data import event

RECORDS, BATCH, INSTANCES = 10_000, 1000, 500
SAMPLE = 40
MILLION = 1_000_000
DELAY = 20
RATE, TIMES, MEMORY = 2000, 20, 1.1
OTHER = "222222222222"
ROLE = "CloudCustodian"


def batches(number: int, instances: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Messages of the queue, as EventBridge makes them; a batch in memory at a time."""
    told = json.dumps(event(0, OTHER, REGION, resource="i-instance"))
    for begin in range(0, number, BATCH):
        yield [
            {
                "messageId": f"{each}",
                "body": told.replace("finding/" + "0" * 32, f"finding/{each:032x}").replace(
                    "i-instance", instances[each % len(instances)]
                ),
                "attributes": {"ApproximateReceiveCount": "1"},
            }
            for each in range(begin, begin + BATCH)
        ]


def ingester(complete: Complete, folder: Path) -> Ingester:
    return Ingester(complete, {"local": LocalSink(folder)}, DeadLetters(None, ""), 5)


def ingest(complete: Complete, number: int, instances: list[str]) -> tuple[float, float]:
    """The seconds that it takes, on the clock and of this process's core."""
    with tempfile.TemporaryDirectory() as folder:
        ours = ingester(complete, Path(folder))
        wall = cpu = 0.0
        for batch in batches(number, instances):
            started, used = time.perf_counter(), time.process_time()
            assert ours.ingest(batch) == []
            wall += time.perf_counter() - started
            cpu += time.process_time() - used
        return wall, cpu


def peak(number: int) -> int:
    """The peak of a process of its own that ingests so many records, in kilobytes."""
    command = [sys.executable, "-m", "benchmarks.ingest_rate", str(number)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout)


def main() -> Result:
    with emulator() as server:
        instances = populate(server, OTHER, REGION, INSTANCES, 0)
        server.client("s3", ACCOUNT, REGION).create_bucket(Bucket="findings")
        sessions = SessionFactory(REGION)
        caller = SimpleNamespace(manager=SimpleNamespace(session_factory=sessions))
        access = Access(caller, home=ACCOUNT, region=REGION, partition="aws", role=ROLE)
        complete = Enricher(access, Accounts({})).enrich
        ingest(complete, BATCH, instances)  # the first call of each kind loads a service's model
        _, core = ingest(complete, RECORDS, instances)
        server.delay(DELAY)
        wall, _ = ingest(complete, RECORDS, instances)
        flow = OneByOne(server, ACCOUNT, "findings")
        findings = [package_finding(OTHER, REGION, name) for name in instances[:SAMPLE]]
        flow.handle(findings[0], f"arn:aws:iam::{OTHER}:role/{ROLE}", REGION)
        started = time.perf_counter()
        for finding in findings:
            flow.handle(finding, f"arn:aws:iam::{OTHER}:role/{ROLE}", REGION)
        slow = SAMPLE / (time.perf_counter() - started)

    fast, rate = RECORDS / wall, RECORDS / core
    small, large = peak(RECORDS), peak(MILLION)
    shares = {
        "rate": RATE / rate,
        "beside one at a time": TIMES * slow / fast,
        "memory": large / small / MEMORY,
    }
    return report(
        Result("ingest-rate", round(rate), round(slow, 2), None, max(shares.values()), 1.0),
        f"{RECORDS:,} findings of {INSTANCES} instances, batches of {BATCH:,}",
        ("what", "ours", "beside", "goal", "share of the goal"),
        [
            (
                "records a second of one core",
                f"{rate:,.0f}",
                "",
                f"{RATE:,}",
                share(shares, "rate"),
            ),
            (
                f"records a second, {DELAY} ms a call",
                f"{fast:,.0f}",
                f"{slow:,.1f} one at a time",
                f"{TIMES} x",
                share(shares, "beside one at a time"),
            ),
            (
                f"peak memory, {MILLION:,} records",
                f"{large / 1024:,.0f} MB",
                f"{small / 1024:,.0f} MB for {RECORDS:,}",
                f"{MEMORY} x",
                share(shares, "memory"),
            ),
        ],
    )


def share(shares: dict[str, float], name: str) -> str:
    return f"{shares[name]:.2f}"


def measure(number: int) -> None:
    """Ingest so many records, with look-ups answered from memory, and print the peak."""
    ingest(lambda findings: (list(findings), []), number, ["i-0123456789abcdef0"])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
    else:
        main()
