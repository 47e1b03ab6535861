"""Runs work on the workers of a Dask cluster.

Work reaches a worker at least once: the ledger is what makes a second delivery harmless, so all
workers must see its folder. A worker has one thread, since Custodian keeps sessions by region:
threads would act in each other's account.
"""

from __future__ import annotations

import tempfile
from collections import deque
from pathlib import Path
from typing import Any

from distributed import Client, as_completed, get_worker
from distributed.scheduler import KilledWorker

from c7n_secops import __version__ as VERSION  # noqa: N812
from c7n_secops_tools.fleet.local import Answers, Died, Function, Item, Tick
from c7n_secops_tools.fleet.unit import Place

TIMEOUT = 30
"""Seconds to wait for the scheduler, and for its first worker."""
THREADS = (
    "has {threads} threads, which would act in each other's account, because Custodian keeps "
    "sessions by region: start it with --nthreads 1 (and more of them with --nworkers)"
)


class ClusterError(Exception):
    """A cluster that cannot run the sweep; the message says why and what to do."""


class Cluster:
    """The cluster of a scheduler, such as ``tcp://scheduler:8786``. Raises ClusterError."""

    def __init__(self, address: str, folder: Path):
        try:
            self.client = Client(address, timeout=TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(f"no scheduler at {address}: {error}") from error
        try:
            self._check(folder)
        except BaseException:
            self.client.close()
            raise

    def _check(self, folder: Path) -> None:
        try:
            self.client.wait_for_workers(1, timeout=TIMEOUT)
        except TimeoutError as error:
            raise ClusterError(f"the cluster has no worker after {TIMEOUT} s") from error
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        problems = [
            f"worker {name} {THREADS.format(threads=worker['nthreads'])}"
            for name, worker in workers.items()
            if worker["nthreads"] != 1
        ]
        if not problems:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-") as probe:
                seen = self.client.run(inspect, probe.name, VERSION)
            problems = [f"worker {name} {said}" for name, said in seen.items() if said]
        if problems:
            raise ClusterError("\n".join(problems))

    def deliver(self, function: Function, pending: deque[Item], tick: Tick) -> Answers[Item]:
        """Yield each work with its answer, or Died; more may be added to ``pending`` meanwhile."""
        with self.client:
            works: dict[Any, Item] = {}
            results = as_completed(loop=self.client.loop, with_results=True, raise_errors=False)
            while True:
                while pending:
                    work = pending.popleft()
                    future = self.client.submit(alone, function, work, pure=False, retries=0)
                    works[future.key] = work
                    results.add(future)
                if results.is_empty():
                    return
                future, answer = next(results)
                failed = future.status != "finished"
                future.release()
                yield works.pop(future.key), _death(answer) if failed else answer
                tick()


def inspect(probe: str, version: str) -> str:
    """Run on a worker: why it cannot take part; empty if it can."""
    if not Path(probe).exists():
        return (
            f"does not see the folder {Path(probe).parent}: put it on storage that all workers "
            "share, under the same path"
        )
    return "" if version == VERSION else f"has c7n-secops {VERSION}, not {version}"


def alone(function: Function, work: Place) -> Any:
    """Run on a worker: the work, unless the worker has other threads for more of it."""
    threads = get_worker().state.nthreads
    if threads != 1:  # it joined after the sweep began
        return Died(THREADS.format(threads=threads))
    return function(work)


def _death(answer: Any) -> Died:
    error = answer[1] if isinstance(answer, tuple) else answer
    if isinstance(error, KilledWorker):
        return Died(f"worker {error.last_worker.address} died")
    return Died(f"{type(error).__name__}: {error}")
