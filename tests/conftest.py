"""Fixtures of the whole suite; what they do is in ``tests/harness.py``."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.emulator import Emulator, running
from tests.harness import ACCOUNT, ISOLATED, REGION, ROOT, Cli, Custodian, environ, run_cli
from tests.wheel import Run, install, python_build

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def pytest_collection_finish() -> None:
    """What is loaded by now stays: collecting garbage need not look at it before each test."""
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_sessionfinish() -> None:
    gc.unfreeze()


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


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    python_build("--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def wheel_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed: the environment is in ``venv``."""
    return tmp_path_factory.mktemp("installed")


@pytest.fixture(scope="session")
def installed(wheel: Path, wheel_home: Path) -> Run:
    """``installed("-m", "c7n.cli", …)``: Python where the wheel is installed, not this tree."""
    return install(wheel, wheel_home)


@pytest.fixture
def demo(tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, with the tests' emulator and its output in a folder of the test's own."""
    spec = importlib.util.spec_from_file_location("demo_run", ROOT / "demo" / "run.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    output = tmp_path / "demo-output"
    monkeypatch.setattr(module, "OUTPUT", output)
    monkeypatch.setattr(module, "REPORT", output / "report.html")
    monkeypatch.setattr(sys, "argv", ["run.py"])
    monkeypatch.setattr(module, "running", lambda: nullcontext(emulator))
    monkeypatch.chdir(os.curdir)
    return module
