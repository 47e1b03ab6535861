"""What the plug-in adds to a Lambda function: the archive's size and the handler's import.

The goal is for the function that patches; a field of work with more code of its own is larger, and
its size is printed beside.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import yaml
from c7n.config import Config
from c7n.mu import custodian_archive

from benchmarks.interpreters import compare
from benchmarks.result import Result, report
from c7n_secops.serverless import HANDLER
from c7n_secops_tools.testing.runs import load_policy
from tests.emulator.lambda_runtime import runtime_path

RUNS = 25
JUDGED = "ec2-patch-critical-on-finding"
ROOT = Path(__file__).parents[1]


def main() -> Result:
    with tempfile.TemporaryDirectory() as folder:
        stock = archive(None, Path(folder) / "stock")
        packages_of = shipped_functions()
        sizes = {
            packages: archive(packages, Path(folder) / "-".join(packages))
            for packages in sorted(set(packages_of.values()))
        }
        judged = packages_of[JUDGED]
        commands = [
            import_of(module, Path(folder) / name)
            for name, module in (
                ("-".join(judged), HANDLER.rpartition(".")[0]),
                ("stock", "c7n.handler"),
            )
        ]
        env = {"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "us-east-1"}
        ours, peer, ratio = compare(*commands, runs=RUNS, env=env)
    growth = sizes[judged] / stock
    worst = max(ratio, growth)
    return report(
        Result("cold-start", round(ours, 4), round(peer, 4), None, round(worst, 3), 1.1),
        f"archives of the shipped policies, and CPU seconds to import the handler of {JUDGED}, "
        f"medians of {RUNS} alternating pairs",
        ("", "with the plug-in", "stock", "ratio"),
        [
            *(
                (f"{' '.join(packages)}, kB", f"{size / 1e3:.0f}", f"{stock / 1e3:.0f}",
                 f"{size / stock:.3f}")
                for packages, size in sizes.items()
            ),
            ("import, s", f"{ours:.3f}", f"{peer:.3f}", f"{ratio:.3f}"),
        ],
    )  # fmt: skip


def shipped_functions() -> dict[str, tuple[str, ...]]:
    """The packages of ours that the function of each shipped policy carries, by policy."""
    variables = yaml.safe_load((ROOT / "accounts.yml").read_text())
    known = {**variables["vars"], **variables["accounts"][0]["vars"]}
    config = Config.empty(account_id="111111111111", regions=["us-east-1"])
    modes = {
        data["name"]: load_policy(data, config, known).data["mode"]
        for file in (ROOT / "policies").glob("*/*.yml")
        for data in yaml.safe_load(file.read_text()).get("policies", ())
        if "mode" in data
    }
    return {
        name: tuple(sorted(mode["packages"])) for name, mode in modes.items() if "packages" in mode
    }


def archive(packages: tuple[str, ...] | None, folder: Path) -> int:
    """Build an archive, unpack it into a folder, and return its size in bytes."""
    made = custodian_archive(packages=packages)
    made.close()
    made.get_reader().extractall(folder)
    return int(made.size)


def import_of(module: str, code: Path) -> list[str]:
    """The command that imports a module from an unpacked archive, with boto3 beside it only."""
    program = f"import sys; sys.path[:0] = {[str(code), str(runtime_path())]!r}; import {module}"
    return [sys.executable, "-I", "-S", "-c", program]


if __name__ == "__main__":
    main()
