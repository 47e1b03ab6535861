"""``python -m tests.flights.record`` records the flights in this folder again.

They are recorded against the emulator, so they prove that the code still reads what it was
written to read, not that AWS answers so. To record from an account of your own, give
``run_policy`` a ``Recording`` as one of ``on_session`` with your credentials in the environment,
read every file before you publish it, and replace the folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from c7n_secops_tools.testing.flights import Recording
from c7n_secops_tools.testing.runs import run_policy
from tests.emulator import Emulator, running
from tests.harness import ACCOUNT, ISOLATED, REGION
from tests.inspector_data import finding

FOLDER = Path(__file__).parent / "findings-and-agents"
POLICY: dict[str, Any] = {
    "name": "findings-and-agents",
    "resource": "aws.ec2",
    "filters": [
        {
            "or": [
                {"type": "inspector-finding", "severity": ["CRITICAL"]},
                {"type": "ssm-agent", "absent": True},
            ]
        }
    ],
}


def fill(emulator: Emulator) -> None:
    """Three instances named after their part: vulnerable, clean and unmanaged."""
    ec2 = emulator.client("ec2", ACCOUNT, REGION)
    for name in ("vulnerable", "clean", "unmanaged"):
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}]
        (instance,) = ec2.run_instances(
            ImageId="ami-12345678", MinCount=1, MaxCount=1, TagSpecifications=tags
        )["Instances"]
        managed: dict[str, Any] = {"PingStatus": "Online"}
        emulator.set_agent(
            ACCOUNT,
            REGION,
            instance["InstanceId"],
            **({"absent": True} if name == "unmanaged" else managed),
        )
        if name == "vulnerable":
            emulator.add_findings(ACCOUNT, REGION, [finding(instance["InstanceId"])])


def record(emulator: Emulator, folder: Path, output: Path) -> list[Path]:
    """Run the policy once with the environment's credentials and keep AWS's answers."""
    recording = Recording(folder)
    run_policy(POLICY, output, account=ACCOUNT, region=REGION, on_session=[recording])
    return recording.finish()


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    with running() as emulator, tempfile.TemporaryDirectory() as output:
        fill(emulator)
        os.environ.update({**ISOLATED, **emulator.environ(ACCOUNT, REGION)})
        for file in record(emulator, FOLDER, Path(output)):
            print(file.relative_to(FOLDER.parent))


if __name__ == "__main__":
    main()
