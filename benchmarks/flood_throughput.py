"""What finding floods in three million lines costs, beside the least that reading them does."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.result import Result, report

LINES = 3_000_000
ROUNDS = 5
CPU, WALL, COUNTER, MEMORY = 3.0, 2.5, 2.0, 256
"""The goals: at most these times the floor, at least so much less than a Counter, MiB."""


def program(module: str, *arguments: object) -> dict[str, Any]:
    """Run a module in a process of its own; returns the JSON that it prints.

    This process stays small: Linux counts the peak of who starts a process as that process's own.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(engine: str, folder: Path) -> dict[str, Any]:
    """One run of one engine: its answer, with cpu and wall in seconds, and peak in MiB."""
    return program("flood_engines", engine, folder)


def growth(folder: Path, made: Path) -> list[list[object]]:
    """Peak memory while files grow ten times at the same clients, and while clients grow."""
    files = sorted(folder.glob("*.gz"))
    parts = {"1 x as long": (files[:60], 1), "10 x as long": (files[:60], 10)}
    parts |= {f"{share} files": (files[:share], 1) for share in (30, 150, 600)}
    curve = []
    for name, (some, times) in parts.items():
        part = made / name.replace(" ", "-")
        part.mkdir()
        for path in some:
            (part / path.name).write_bytes(path.read_bytes() * times)
        cost, addresses = run("ours", part), run("addresses", part)["addresses"]
        what = f"memory: {len(some)} files {name if times > 1 or 'long' in name else ''}".strip()
        curve.append([f"{what}, {cost['lines']:,} lines, {addresses:,} addresses", cost["peak"]])
    return curve


def best(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The least CPU and wall time of some runs, and the highest peak."""
    return {
        **runs[0],
        "cpu": min(each["cpu"] for each in runs),
        "wall": min(each["wall"] for each in runs),
        "peak": max(each["peak"] for each in runs),
    }


def main() -> Result:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "logs"
        folder.mkdir()
        planted = program("access_logs", folder, LINES)
        rounds = [(run("floor", folder), run("ours", folder)) for _ in range(ROUNDS)]
        counter, per_file = run("counter", folder), run("per_file", folder)
        curve = growth(folder, Path(temporary))
    floor, ours = (best(list(side)) for side in zip(*rounds, strict=True))
    right = all(ours[rule] == found for rule, found in planted.items())
    shares = {
        f"CPU at most {CPU} x the floor": ours["cpu"] / floor["cpu"] / CPU,
        f"wall at most {WALL} x the floor": ours["wall"] / floor["wall"] / WALL,
        f"at least {COUNTER} x less CPU than the Counter": ours["cpu"] * COUNTER / counter["cpu"],
        f"peak memory at most {MEMORY} MiB": ours["peak"] / MEMORY,
        "all planted attackers found, and no one else": 0.0 if right else float("inf"),
    }
    engines = {
        "floor: isal inflates, lines are counted": floor,
        "ours": ours,
        "gzip and Counter": counter,
        "each file alone": per_file,
    }
    table: list[list[object]] = [
        [
            name,
            f"{cost['cpu']:.2f}",
            f"{cost['cpu'] / floor['cpu']:.2f}",
            f"{cost['wall']:.2f}",
            f"{cost['wall'] / floor['wall']:.2f}",
            f"{cost['peak']:.0f}",
            len(cost.get("flood", ())),
        ]
        for name, cost in engines.items()
    ]
    table += [[what, "", "", "", "", f"{peak:.0f}", ""] for what, peak in curve]
    table += [
        [f"goal: {name}", "", "", "", "", "", "met" if share <= 1 else "MISSED"]
        for name, share in shares.items()
    ]
    return report(
        Result(
            "flood-throughput", ours["cpu"], counter["cpu"], floor["cpu"], max(shares.values()), 1.0
        ),
        f"{LINES:,} lines, the least of {ROUNDS} rounds; the ratio is to the goal missed by most",
        ["", "CPU s", "x floor", "wall s", "x floor", "peak MiB", "floods"],
        table,
    )


if __name__ == "__main__":
    main()
