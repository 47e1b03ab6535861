"""Sweeps on a real Dask cluster: a scheduler and two worker processes."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from c7n_secops_tools.fleet import cluster
from tests.emulator import Emulator
from tests.fleet_accounts import HUB, ids, name_of
from tests.fleet_sweeps import Fleet, wait_for
from tests.harness import SCRIPTS, environ
from tests.test_org_sweep import TAG, TOPICS, USERS, assert_none_cross, owners, topics

REGIONS = ("us-east-1", "eu-west-1")


@contextmanager
def dask(emulator: Emulator, folder: Path, workers: int = 2, threads: int = 1) -> Iterator[str]:
    """A cluster whose workers act as the hub; yields its address."""
    env = {**environ(emulator, HUB), "AWS_MAX_ATTEMPTS": "1"}
    file = folder / "scheduler.json"
    plain = ["--no-dashboard", "--scheduler-file", str(file)]
    per_worker = ["--nworkers", str(workers), "--nthreads", str(threads)]
    with ExitStack() as stack:
        for words in (
            ["scheduler", "--host", "127.0.0.1", "--port", "0", *plain],
            ["worker", *per_worker, *plain],
        ):
            process = subprocess.Popen(
                [str(SCRIPTS / "dask"), *words],
                cwd=folder,
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        wait_for(file.exists)
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
            address = str(client.scheduler.address)
        yield address


@pytest.fixture
def fleet(emulator: Emulator, tmp_path: Path) -> Fleet:
    return Fleet(emulator, tmp_path)


def test_a_worker_that_dies_loses_nothing_and_repeats_nothing(
    emulator: Emulator, fleet: Fleet, tmp_path: Path
) -> None:
    accounts = ids(10)
    fleet.build(accounts, REGIONS)
    topics(emulator, accounts, REGIONS)
    emulator.fault("iam", "ListUsers", kind="timeout", account=accounts[3])
    with dask(emulator, tmp_path) as address:
        process = fleet.start([USERS, TAG, TOPICS], "--scheduler", address)
        killed = wait_for(lambda: hanging(fleet, name_of(accounts[3])))
        fleet.kill_worker(name_of(accounts[3]), killed, "users")
        done = fleet.ended(process)
        assert done.code == 2, done.errors
        assert len(done.units) == len(accounts) * len(REGIONS) * 3
        states = Counter(done.states().values())
        assert states == {"ran": len(done.units) - 1, "lost": 1}
        assert done.states()[name_of(accounts[3]), killed, "users"] == "lost"
        for operation in ("TagResource", "ListTopics"):
            calls = Counter((c.account, c.region) for c in emulator.calls("sns", operation))
            times = {"TagResource": 1, "ListTopics": 2}[operation]
            assert calls == {(a, r): times for a in accounts for r in REGIONS}
        assert all(owners(emulator, a, r) == {"owner": a} for a in accounts for r in REGIONS)

        emulator.clear_faults()
        emulator.clear_calls()
        rest = fleet.sweep([USERS, TAG, TOPICS], "--scheduler", address, "--resume")
        assert rest.code == 0, rest.printed
        called = {call.operation for call in emulator.calls() if call.service != "sts"}
        assert called == {"ListUsers"}


def hanging(fleet: Fleet, account: str) -> str | None:
    """The region in which reading the account's users hangs; None while it could be either."""
    struck = any(fault["used"] for fault in fleet.emulator.faults())
    claims = fleet.output.glob(f".ledger/*/{account}/*/users") if struck else ()
    results = fleet.output / ".ledger/results" / account
    left = [
        claim.parent.name
        for claim in claims
        if not (results / claim.parent.name / "users.json").exists()
    ]
    return left[0] if len(left) == 1 else None


def test_no_resource_carries_the_id_of_another_account_on_a_cluster(
    emulator: Emulator, fleet: Fleet, tmp_path: Path, sweeps: int
) -> None:
    with dask(emulator, tmp_path) as address:
        assert_none_cross(emulator, fleet, sweeps, "--scheduler", address)


def test_a_worker_with_several_threads_is_refused(
    emulator: Emulator, fleet: Fleet, tmp_path: Path
) -> None:
    fleet.build(ids(1), REGIONS)
    emulator.clear_calls()
    with dask(emulator, tmp_path, workers=1, threads=2) as address:
        done = fleet.sweep([TOPICS], "--scheduler", address)
    assert (done.code, done.sweep if (done.output / "sweep.json").exists() else None) == (1, None)
    assert "has 2 threads, which would act in each other's account" in done.errors
    assert "--nthreads 1" in done.errors
    assert emulator.calls() == []


def test_a_scheduler_that_is_not_there_is_bad_input(
    emulator: Emulator, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "TIMEOUT", 1)
    with pytest.raises(cluster.ClusterError, match=r"no scheduler at tcp://127\.0\.0\.1:9"):
        cluster.Cluster("tcp://127.0.0.1:9", fleet.folder)


def test_a_worker_that_does_not_see_the_ledger_or_has_another_version_says_so(
    tmp_path: Path,
) -> None:
    probe = tmp_path / "probe"
    assert "does not see the folder" in cluster.inspect(str(probe), cluster.VERSION)
    probe.touch()
    assert cluster.inspect(str(probe), cluster.VERSION) == ""
    assert "not 0.0" in cluster.inspect(str(probe), "0.0")


def test_a_worker_that_joins_with_threads_later_runs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Joined:
        class state:  # noqa: N801
            nthreads = 4

    ran: list[Any] = []
    monkeypatch.setattr(cluster, "get_worker", Joined)
    answer = cluster.alone(ran.append, None)  # type: ignore[arg-type]
    assert "has 4 threads" in answer.reason
    assert ran == []
