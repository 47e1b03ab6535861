"""Instances joined with their findings: our filter beside stock Custodian's, in one run.

2,000 instances and 10,000 critical findings in one account and region. The stock ``finding``
filter asks Security Hub once an instance; ``inspector-finding`` pages through Inspector. Half of
the instances have no finding, so that the coverage of the fleet has to be read too.
"""

from __future__ import annotations

from benchmarks.result import Result, report
from benchmarks.runs import ACCOUNT, REGION, counted, emulator
from tests.emulator.organisation import populate

INSTANCES = 2000
WITH_FINDINGS = 1000
EACH = 10
FINDINGS_PAGE, COVERAGE_PAGE = 100, 200


def main() -> Result:
    with emulator() as server:
        populate(server, ACCOUNT, REGION, WITH_FINDINGS, EACH)
        populate(server, ACCOUNT, REGION, INSTANCES - WITH_FINDINGS, 0)
        findings = WITH_FINDINGS * EACH
        asked = {"type": "inspector-finding", "finding-type": "PACKAGE_VULNERABILITY"}
        ours = counted({"name": "ours", "resource": "aws.ec2", "filters": [asked]})
        server.client("securityhub", ACCOUNT, REGION).enable_security_hub()
        peer = counted({"name": "stock", "resource": "aws.ec2", "filters": [{"type": "finding"}]})

    assert ours.matched == WITH_FINDINGS
    assert ours.not_evaluated == 0
    called = ours.of("inspector2")
    least = -(-findings // FINDINGS_PAGE) + -(-INSTANCES // COVERAGE_PAGE)
    stock = peer.of("securityhub")
    return report(
        Result("calls-finding-join", called, stock, least, called / least, 1.1),
        f"{INSTANCES:,} instances, {findings:,} findings",
        ("filter", "calls", "x least", "seconds, emulated"),
        [
            ("inspector-finding", called, f"{called / least:.2f}", f"{ours.seconds:.1f}"),
            ("stock finding", stock, f"{stock / least:.2f}", f"{peer.seconds:.1f}"),
            ("least possible", least, "1.00", ""),
        ],
    )


if __name__ == "__main__":
    main()
