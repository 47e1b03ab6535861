"""What a sweep costs a unit (an account in a region): ``c7n-secops org run`` beside c7n-org.

Both get the same policies, accounts and number of processes, in the same run, and one after the
other. A server that answers from memory stands in for AWS, for both; what the emulator itself
would take is said apart. CPU is that of all processes of the command, memory the largest sum of
their proportional set sizes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.result import Result, report
from tests.emulator import Emulator, running
from tests.fleet_accounts import HUB, build, ids, write
from tests.harness import ROOT, SCRIPTS, environ

REGIONS = ("us-east-1", "eu-west-1")
UNITS = (10, 40, 100)
SMALL = 40
"""The units of the runs that compare executors and servers."""
ROUNDS = 3
DELAY_MS = 20
POLICIES = ROOT / "policies/inspector/critical-findings.yml"
GOALS = {"CPU": 0.3, "wall": 0.5, "memory": 0.6, "Dask": 1.2}
WITHOUT_XRAY = """
import runpy, sys
sys.modules["aws_xray_sdk"] = None
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a command as where X-Ray's SDK is not installed: only the emulator's packages bring it."""
OURS = ("c7n-secops", "org", "run")
STOCK = ("c7n-org", "run")


class Cost(NamedTuple):
    """What one command took; ``cpu`` and ``wall`` in seconds, ``memory`` in MB."""

    cpu: float
    wall: float
    memory: float


def least(costs: Sequence[Cost]) -> Cost:
    """The least of each over some runs of the same."""
    return Cost(*(min(values) for values in zip(*costs, strict=True)))


class Bench:
    """Runs commands against one server."""

    def __init__(self, folder: Path, env: dict[str, str]):
        self.folder, self.env, self.count = folder, env, 0

    def cost(self, command: Sequence[str], units: int, *options: str) -> Cost:
        """What a sweep over so many units takes."""
        self.count += 1
        write(self.folder, **{f"accounts-{units}": accounts_of(units)})
        words = [
            *(sys.executable, "-c", WITHOUT_XRAY),
            *(str(SCRIPTS / command[0]), *command[1:]),
            *("-c", str(self.folder / f"accounts-{units}.yml")),
            *("-u", str(POLICIES), "-s", str(self.folder / f"output-{self.count}")),
            *("--cache-period", "0", *options),
        ]
        before, start = children(), time.perf_counter()
        with (self.folder / f"log-{self.count}").open("w") as log:
            process = subprocess.Popen(words, env=self.env, stdout=log, stderr=log)
            memory = Memory(process.pid)
            memory.start()
            code = process.wait()
        wall = time.perf_counter() - start
        memory.stop()
        assert code == 0, (self.folder / f"log-{self.count}").read_text()
        return Cost(children() - before, wall, memory.peak / 1e6)


class Memory(threading.Thread):
    """Samples the sum of the proportional set sizes of a process and its children."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.process, self.peak, self.ended = psutil.Process(pid), 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.1):
            self.peak = max(self.peak, self.sample())

    def sample(self) -> int:
        try:
            family = [self.process, *self.process.children(recursive=True)]
        except psutil.Error:
            return 0
        return sum(pss(process) for process in family)

    def stop(self) -> None:
        self.ended.set()
        self.join()


def pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def children() -> float:
    """CPU seconds of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def accounts_of(units: int) -> dict[str, Any]:
    """The accounts file of so many units."""
    return {
        "accounts": [
            {
                "account_id": account,
                "name": account,
                "role": f"arn:aws:iam::{account}:role/CloudCustodian",
                "regions": list(REGIONS),
            }
            for account in ids(units // len(REGIONS))
        ]
    }


@contextmanager
def remembering(emulator: Emulator) -> Iterator[str]:
    """A server in front of the emulator that answers from memory."""
    words = [sys.executable, "-m", "benchmarks.remembering", emulator.url, str(DELAY_MS)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


@contextmanager
def cluster(env: dict[str, str], folder: Path) -> Iterator[str]:
    """A Dask scheduler with two workers of one thread; yields its address."""
    dask = str(SCRIPTS / "dask")
    file = folder / "scheduler.json"
    quiet: dict[str, Any] = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    plain = ["--no-dashboard", "--scheduler-file", str(file)]
    with ExitStack() as stack:
        for words in (
            [dask, "scheduler", "--host", "127.0.0.1", "--port", "0", *plain],
            [dask, "worker", "--nworkers", "2", "--nthreads", "1", *plain],
        ):
            process = stack.enter_context(subprocess.Popen(words, cwd=folder, **quiet))
            stack.callback(process.terminate)
        from distributed import Client

        while not file.exists():
            time.sleep(0.1)
        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(2, timeout=120)
            address = str(client.scheduler.address)
        yield address


def emulators_share(bench: Bench) -> str:
    """How much of a sweep's CPU is the emulator's own where it answers itself."""
    served = next(
        process
        for process in psutil.Process().children(recursive=True)
        if "tests.emulator" in " ".join(process.cmdline())
    )
    before = sum(served.cpu_times()[:2])
    client = bench.cost(OURS, SMALL, "--parallel", "2").cpu
    server = sum(served.cpu_times()[:2]) - before
    return f"{server / (server + client):.0%}"


def main() -> Result:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        emulator = stack.enter_context(running(validate=False))
        build(emulator, ids(max(UNITS) // len(REGIONS)), REGIONS)
        url = stack.enter_context(remembering(emulator))
        env = {**environ(emulator, HUB), "AWS_ENDPOINT_URL": url, "HOME": str(folder)}
        bench = Bench(folder, env)
        bench.cost(OURS, max(UNITS))  # what the server is to remember
        rows, ratios = [], dict.fromkeys(GOALS, 0.0)
        ours = stock = Cost(0, 0, 0)
        for units in UNITS:
            runs = [(bench.cost(OURS, units), bench.cost(STOCK, units)) for _ in range(ROUNDS)]
            ours, stock = (least(side) for side in zip(*runs, strict=True))
            pairs = zip(("CPU", "wall", "memory"), ours, stock, strict=True)
            for name, mine, theirs in pairs:
                ratios[name] = max(ratios[name], mine / theirs)
            for label, cost in (("ours", ours), ("c7n-org", stock)):
                rows.append(
                    (
                        f"{units} units, {label}",
                        f"{cost.cpu / units:.3f}",
                        f"{cost.wall:.1f}",
                        f"{cost.memory:.0f}",
                    )
                )
        with cluster(env, folder) as address:
            bench.cost(OURS, SMALL, "--scheduler", address)  # workers load what the pool inherits
            runs = [
                (
                    bench.cost(OURS, SMALL, "--parallel", "2"),
                    bench.cost(OURS, SMALL, "--scheduler", address),
                )
                for _ in range(ROUNDS)
            ]
        pool, dask = (least(side) for side in zip(*runs, strict=True))
        ratios["Dask"] = dask.wall / pool.wall
        rows += [
            (f"{SMALL} units, 2 processes", f"{pool.cpu / SMALL:.3f}", f"{pool.wall:.1f}", ""),
            (f"{SMALL} units, 2 Dask workers", "", f"{dask.wall:.1f}", ""),
        ]
        direct = Bench(folder, {**env, "AWS_ENDPOINT_URL": emulator.url})
        share = emulators_share(direct)
    rows += [
        (f"ratio of {name}", f"{ratios[name]:.2f}", f"at most {GOALS[name]}", "") for name in GOALS
    ]
    rows.append(("the emulator's own share of CPU, had it answered", share, "", ""))
    worst = max(ratios[name] / GOALS[name] for name in GOALS)
    units = max(UNITS)
    return report(
        Result(
            "sweep-speed",
            round(ours.cpu / units, 4),
            round(stock.cpu / units, 4),
            None,
            round(worst, 3),
            1.0,
        ),
        f"CPU seconds a unit, the least of {ROUNDS} rounds; the ratio is the worst to its goal",
        ("", "CPU s a unit", "wall s", "peak MB"),
        rows,
    )


if __name__ == "__main__":
    main()
