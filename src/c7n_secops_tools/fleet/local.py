"""Runs work in processes of this machine.

``concurrent.futures`` and what builds on it give up the whole pool when one process dies, and all
that runs in it. Here a process that dies takes nothing with it but what it ran: each has a pipe of
its own, and a new one takes its place. This process starts no thread, so that it may fork, and its
children share what it has loaded.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeAlias, TypeVar

from c7n_secops_tools.fleet.unit import Place

FORKS = sys.platform == "linux"
YOUNG = 10_000
"""Objects after which a worker collects garbage: what it runs is short, and most of it is kept."""
TICK = 0.5
"""Seconds after which the progress is shown again though nothing ended."""


@dataclass(frozen=True)
class Died:
    """Work whose worker did not live to answer."""

    reason: str


Item = TypeVar("Item", bound=Place)
Function: TypeAlias = Callable[[Any], Any]
Tick: TypeAlias = Callable[[], None]
Answers: TypeAlias = Iterator[tuple[Item, Any]]


class Inline:
    """One after the other in this process, for ``--debug``: the first exception ends the sweep."""

    def deliver(self, function: Function, pending: deque[Item], tick: Tick) -> Answers[Item]:
        """Yield each work with its answer; more may be added to ``pending`` meanwhile."""
        while pending:
            work = pending.popleft()
            yield work, function(work)
            tick()


@dataclass(eq=False)
class Worker:
    """A process, the pipe to it, and what it runs."""

    process: BaseProcess
    connection: Connection
    work: Any = field(default=None)

    def end(self) -> None:
        """Let it end; it does when its pipe closes."""
        self.connection.close()
        self.process.join()


class Pool:
    """Processes of this machine, at most ``size``, each with one work at a time.

    ``prepare`` loads, where processes fork, what all of them will need.
    """

    def __init__(self, size: int, prepare: Callable[[], None]):
        self.size, self.prepare = size, prepare
        self.context: Any = multiprocessing.get_context("fork" if FORKS else "spawn")

    def deliver(self, function: Function, pending: deque[Item], tick: Tick) -> Answers[Item]:
        """Yield each work with its answer, or Died; more may be added to ``pending`` meanwhile."""
        workers: list[Worker] = []
        rounds = -(-len(pending) // self.size)
        most = -(-len(pending) // max(rounds, 1))  # more would not end sooner
        if FORKS:
            self.prepare()
        gc.freeze()  # what is loaded stays shared with the children
        try:
            while pending or any(worker.work for worker in workers):
                self._hand_out(function, pending, workers, most)
                for worker in self._ready(workers):
                    work, answer = worker.work, self._answer(worker)
                    worker.work = None
                    if isinstance(answer, Died):
                        workers.remove(worker)
                    if work is not None:
                        yield work, answer
                tick()
            for worker in workers:
                worker.end()
        finally:
            for worker in workers:
                worker.process.terminate()

    def _hand_out(
        self, function: Function, pending: deque[Item], workers: list[Worker], most: int
    ) -> None:
        while pending:
            free = next((worker for worker in workers if worker.work is None), None)
            if free is None and len(workers) == most:
                return
            if free is None:
                free = self._start(function, workers)
                workers.append(free)
            free.work = pending.popleft()
            with contextlib.suppress(OSError):  # it died: its pipe says so when it is read
                free.connection.send(free.work)

    def _start(self, function: Function, workers: list[Worker]) -> Worker:
        ours, theirs = self.context.Pipe()
        inherited = [ours, *(worker.connection for worker in workers)] if FORKS else []
        process = self.context.Process(
            target=serve, args=(theirs, function, inherited), daemon=True
        )
        process.start()
        theirs.close()
        return Worker(process, ours)

    def _ready(self, workers: list[Worker]) -> list[Worker]:
        ready = set(wait([worker.connection for worker in workers], TICK))
        return [worker for worker in workers if worker.connection in ready]

    def _answer(self, worker: Worker) -> Any:
        try:
            return worker.connection.recv()
        except (EOFError, OSError):
            worker.connection.close()
            worker.process.join()
            return Died(f"process {worker.process.pid} {ended(worker.process.exitcode)}")


def serve(connection: Connection, function: Function, inherited: list[Connection]) -> None:
    """What a worker does: answer until the pipe closes."""
    gc.set_threshold(YOUNG)
    gc.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep's own process decides what it means
    for other in inherited:
        other.close()
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(function(connection.recv()))


def ended(code: int | None) -> str:
    """How a process ended, in words."""
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
