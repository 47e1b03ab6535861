"""What the plug-in adds to a Lambda function: the archive's size and the handler's import."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from c7n.mu import custodian_archive

from benchmarks.interpreters import compare
from benchmarks.result import Result, report
from c7n_secops.serverless import HANDLER, PACKAGE
from tests.emulator.lambda_runtime import runtime_path

RUNS = 25


def main() -> Result:
    with tempfile.TemporaryDirectory() as folder:
        sizes, commands = [], []
        for name, packages, module in (
            ("ours", [PACKAGE], HANDLER.rpartition(".")[0]),
            ("stock", None, "c7n.handler"),
        ):
            archive = custodian_archive(packages=packages)
            archive.close()
            sizes.append(archive.size)
            code = Path(folder) / name
            archive.get_reader().extractall(code)
            paths = [str(code), str(runtime_path())]
            program = f"import sys; sys.path[:0] = {paths!r}; import {module}"
            commands.append([sys.executable, "-I", "-S", "-c", program])
        env = {"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "us-east-1"}
        ours, peer, ratio = compare(*commands, runs=RUNS, env=env)
    growth = sizes[0] / sizes[1]
    worst = max(ratio, growth)
    return report(
        Result("cold-start", round(ours, 4), round(peer, 4), None, round(worst, 3), 1.1),
        f"archive, and CPU seconds to import the handler, medians of {RUNS} alternating pairs",
        ("", "with the plug-in", "stock", "ratio"),
        [
            ("archive, kB", *(f"{size / 1000:.0f}" for size in sizes), f"{growth:.3f}"),
            ("import, s", f"{ours:.3f}", f"{peer:.3f}", f"{ratio:.3f}"),
        ],
    )


if __name__ == "__main__":
    main()
