"""What the plug-in costs those who do not use it: the start of stock commands, with and without."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.interpreters import compare, environment
from benchmarks.result import Result, report

RUNS = 25
POLICY = """
policies:
  - name: bucket-without-encryption
    resource: aws.s3
    filters: [{type: bucket-encryption, state: false}]
"""
CUSTODIAN = "import sys; from c7n.cli import main; sys.argv[0] = 'custodian'; main()"


def main() -> Result:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        policy = top / "stock.yml"
        policy.write_text(POLICY)
        pythons = [str(environment(top / str(plugin), plugin=plugin)) for plugin in (True, False)]
        measured = {
            name: compare(*([python, "-c", CUSTODIAN, *words] for python in pythons), runs=RUNS)
            for name, words in (("version", ["version"]), ("validate", ["validate", str(policy)]))
        }
    worst = max(measured.values(), key=lambda figures: figures[2])
    ours, peer, ratio = worst
    return report(
        Result("plugin-start-up", round(ours, 4), round(peer, 4), None, round(ratio, 3), 1.05),
        f"CPU seconds of stock commands, medians of {RUNS} alternating pairs",
        ("custodian …", "with the plug-in", "without", "ratio"),
        [
            (name, f"{ours:.3f}", f"{peer:.3f}", f"{ratio:.3f}")
            for name, (ours, peer, ratio) in measured.items()
        ],
    )


if __name__ == "__main__":
    main()
