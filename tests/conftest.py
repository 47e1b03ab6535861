"""Fixtures of the whole suite; what they do is in ``tests/harness.py``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING

import pytest

from tests.emulator import Emulator, running
from tests.harness import ACCOUNT, ISOLATED, REGION, Cli, Custodian, environ, run_cli

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sweeps",
        type=int,
        default=2,
        help="How often the tests that look for crossed accounts sweep; see CONTRIBUTING.md.",
    )


@pytest.fixture
def sweeps(request: pytest.FixtureRequest) -> int:
    """How often to repeat a sweep in which accounts might cross."""
    return int(request.config.getoption("--sweeps"))


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """No AWS or Custodian setting of the caller's reaches a test."""
    for name in os.environ:
        if name.startswith(("AWS_", "C7N_")):
            monkeypatch.delenv(name)
    for name, value in ISOLATED.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def emulator_server() -> Iterator[Emulator]:
    """One emulator a pytest worker."""
    with running() as server:
        yield server


@pytest.fixture
def emulator(emulator_server: Emulator) -> Emulator:
    """The emulator, empty: no resources, calls, faults or delay."""
    emulator_server.reset()
    emulator_server.clear_faults()
    emulator_server.clear_calls()
    emulator_server.delay(0)
    return emulator_server


@pytest.fixture
def custodian(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Custodian:
    """``custodian("policy-name", account=, region=, vars=, dryrun=, event=, deploy=)``.

    A name finds a shipped policy under ``policies/``; a dict is a policy of the test's own. The
    result has ``resources``, ``not_evaluated``, ``action(name)``, ``log`` and ``output``.
    """
    return Custodian(emulator, tmp_path, monkeypatch)


@pytest.fixture
def cli(emulator: Emulator, tmp_path: Path) -> Cli:
    """``cli("custodian", "run", …, account=, region=, **environment)``: the real command line."""

    def run(
        *arguments: str | Path,
        account: str = ACCOUNT,
        region: str = REGION,
        timeout: float = 120,
        **extra: str,
    ) -> CompletedProcess[str]:
        env = {**environ(emulator, account, region), **extra}
        return run_cli(*arguments, cwd=tmp_path, env=env, timeout=timeout)

    return run


@pytest.fixture
def offline_cli(tmp_path: Path) -> Cli:
    """As ``cli``, without an emulator: for schema, validate and version."""

    def run(*arguments: str | Path, timeout: float = 120, **extra: str) -> CompletedProcess[str]:
        return run_cli(*arguments, cwd=tmp_path, env={**environ(None), **extra}, timeout=timeout)

    return run


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real Chromium, one a pytest worker; ``tests.browser.opened`` opens a page in it."""
    from tests.browser import chromium

    with chromium() as started:
        yield started
