"""Patching a fleet: our action beside one command a finding, counted in one run.

1,000 instances with 15 findings each. The peer is what a hand-written function does that
is started by each finding's event: it sends AWS-RunPatchBaseline to the finding's instance.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.result import Result, report
from benchmarks.runs import ACCOUNT, REGION, counted, emulator
from tests.emulator.organisation import populate

INSTANCES = 1000
EACH = 15
POLICY = {
    "name": "ours",
    "resource": "aws.ec2",
    "filters": [{"type": "inspector-finding"}],
    "actions": [{"type": "ssm-patch"}],
}


def one_command_a_finding(server: Any, instances: list[str]) -> int:
    """Send as a function behind each finding's event would; returns the number of calls."""
    sent: Counter[str] = Counter()
    client = server.client("ssm", ACCOUNT, REGION)
    client.meta.events.register(
        "request-created.ssm.*", lambda operation_name, **_: sent.update([operation_name])
    )
    for instance in instances:
        for _ in range(EACH):
            client.send_command(
                InstanceIds=[instance],
                DocumentName="AWS-RunPatchBaseline",
                Parameters={"Operation": ["Install"]},
            )
    return sum(sent.values())


def main() -> Result:
    with emulator() as server:
        instances = populate(server, ACCOUNT, REGION, INSTANCES, EACH)
        ours = counted(POLICY)
        server.clear_calls()
        peer = one_command_a_finding(server, instances)

    assert ours.actions["ssm-patch"]["counts"] == {"sent": INSTANCES}
    batches = -(-INSTANCES // 50)
    least = {
        "ListFindings": -(-INSTANCES * EACH // 100),
        "DescribeInstanceInformation": batches,
        "ListCommands": 1,
        "SendCommand": batches,
    }
    floor = sum(least.values())
    called = ours.of("inspector2", "ssm")
    return report(
        Result("calls-patch", called, peer, floor, called / floor, 1.1),
        f"{INSTANCES:,} instances, {EACH} findings each, one command each",
        ("call", "ours", "least", "one command a finding"),
        [
            *(
                (
                    name,
                    sum(n for call, n in ours.calls.items() if call.endswith(f".{name}")),
                    number,
                    peer if name == "SendCommand" else 0,
                )
                for name, number in least.items()
            ),
            ("all", called, floor, peer),
        ],
    )


if __name__ == "__main__":
    main()
