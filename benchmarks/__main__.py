"""``python -m benchmarks [NAME]``: one benchmark, or all, each in a process of its own."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import benchmarks

HELPERS = {
    "__main__",
    "access_logs",
    "flood_engines",
    "interpreters",
    "one_by_one",
    "quarantine",
    "remembering",
    "result",
    "runs",
}


def names() -> list[str]:
    """Every benchmark: the modules of this package, with dashes."""
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name.replace("_", "-") for name in found if name not in HELPERS)


def main(arguments: list[str]) -> int:
    chosen = arguments or names()
    unknown = set(chosen) - set(names())
    if unknown:
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names())}")
        return 1
    missed = []
    for name in chosen:
        module = f"benchmarks.{name.replace('-', '_')}"
        run = subprocess.run(
            [sys.executable, "-m", module], stdout=subprocess.PIPE, text=True, check=False
        )
        print(run.stdout, end="", flush=True)
        if run.returncode:
            return run.returncode
        if not json.loads(run.stdout.strip().splitlines()[-1])["met"]:
            missed.append(name)
    if missed:
        print(f"goal missed: {', '.join(missed)}", file=sys.stderr)
    return 2 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
