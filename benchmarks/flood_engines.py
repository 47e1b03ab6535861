"""``python -m benchmarks.flood_engines NAME FOLDER``: one way to count, in a process of its own."""

from __future__ import annotations

import gzip
import json
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from isal import isal_zlib

from c7n_secops_edge.flood import analyse
from c7n_secops_edge.flood_options import Options
from c7n_secops_edge.logs.files import local_files

ERRORS = ("401", "403", "404", "429")
THRESHOLD, WINDOW, MOST_ERRORS = 2000, 5, 100
OPTIONS = Options.of(
    {
        "rules": [
            {"name": "flood", "metric": "requests", "threshold": THRESHOLD, "window": WINDOW},
            {
                "name": "scan",
                "metric": "errors",
                "statuses": [int(status) for status in ERRORS],
                "threshold": MOST_ERRORS,
                "window": 1,
            },
        ],
        "widen": {"ipv4": 24, "min-hosts": 32},
    }
)


def paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.gz"))


def floor(folder: Path) -> dict[str, object]:
    """The least that any reader does: inflate, and count the lines."""
    lines = 0
    for path in paths(folder):
        inflater = isal_zlib.decompressobj(31)
        with path.open("rb") as stream:
            while piece := stream.read(1 << 18):
                lines += inflater.decompress(piece).count(b"\n")
    return {"lines": lines}


def ours(folder: Path) -> dict[str, object]:
    """The engine that ``http-flood`` uses, whole: windows, networks and samples too."""
    answer = analyse(local_files(folder), OPTIONS)
    return {
        "lines": answer.logs["lines"],
        **{
            rule.name: sorted(
                each["address"] for each in answer.offenders if each["rule"] == rule.name
            )
            for rule in OPTIONS.rules
        },
    }


def rows(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            if not line.startswith("#"):
                yield line.split("\t")


def counter(folder: Path) -> dict[str, object]:
    """Plain Python: gzip, split, and a Counter of address and minute."""
    requests: Counter[tuple[str, str]] = Counter()
    errors: Counter[tuple[str, str]] = Counter()
    for path in paths(folder):
        for row in rows(path):
            key = row[4], row[1][:5]
            requests[key] += 1
            if row[8] in ERRORS:
                errors[key] += 1
    by_address: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for (address, at), number in requests.items():
        by_address[address][int(at[:2]) * 60 + int(at[3:])] = number
    flooding = [
        address
        for address, minutes in by_address.items()
        if any(
            sum(minutes.get(minute - back, 0) for back in range(WINDOW)) >= THRESHOLD
            for minute in minutes
        )
    ]
    scanning = {address for (address, _), number in errors.items() if number >= MOST_ERRORS}
    return {"flood": sorted(flooding), "scan": sorted(scanning)}


def per_file(folder: Path) -> dict[str, object]:
    """As WAF Security Automations counts: each file alone, a client's and a path's worst minute."""
    outstanding: dict[str, int] = {}
    for path in paths(folder):
        found: dict[str, dict[str, int]] = {}
        for row in rows(path):
            minute = f"{row[0]}-{row[1][:-3]}"
            by_minute = found.setdefault(f"{row[4]}-{row[7]}", {})
            by_minute[minute] = by_minute.get(minute, 0) + 1
            whole = found.setdefault(row[4], {})
            whole[minute] = whole.get(minute, 0) + 1
        for address, by_minute in found.items():
            worst = max(by_minute.values())
            if worst >= THRESHOLD / WINDOW:
                outstanding[address] = max(worst, outstanding.get(address, 0))
    return {"flood": sorted(address for address in outstanding if "-" not in address)}


def addresses(folder: Path) -> dict[str, object]:
    """How many addresses the files have."""
    return {"addresses": len({row[4] for path in paths(folder) for row in rows(path)})}


ENGINES = {engine.__name__: engine for engine in (floor, ours, counter, per_file, addresses)}


def main(name: str, folder: Path) -> dict[str, object]:
    """Run one engine; returns its answer, and what it cost without the start of the process."""
    cpu, wall = time.process_time(), time.perf_counter()
    answer = ENGINES[name](folder)
    cost = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    return {**answer, **cost, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
