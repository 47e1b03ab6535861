"""Runs policies in process and the real command lines, both against the emulator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import create_loader

from c7n_secops_tools.testing.observe import Observer
from c7n_secops_tools.testing.runs import Run, find_policy, run_policy
from tests.emulator import Emulator

ROOT = Path(__file__).parents[1]
POLICIES = ROOT / "policies"
SCRIPTS = Path(sys.executable).parent
ACCOUNT = "111111111111"
REGION = "us-east-1"
ISOLATED = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_RETRY_MODE": "standard",
    "AWS_MAX_ATTEMPTS": "2",
    "NO_COLOR": "1",
    "PYTHONWARNINGS": "ignore",
}
"""No configuration of the user's reaches a test, and a call is tried twice, not eight times."""

_models = create_loader()


def share_models(session: Any) -> None:
    """Let all sessions of this process share botocore's parsed service models: they are slow."""
    session._session.register_component("data_loader", _models)


def environ(
    emulator: Emulator | None, account: str = ACCOUNT, region: str = REGION
) -> dict[str, str]:
    """The environment of a process under test: ours without AWS settings, plus the emulator's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "C7N_", "PYTEST_", "COV_"))
    }
    kept["PATH"] = f"{SCRIPTS}{os.pathsep}{kept.get('PATH', os.defpath)}"
    reached = emulator.environ(account, region) if emulator is not None else {}
    reached = {name: value for name, value in reached.items() if name.startswith("AWS_")}
    return {**kept, **ISOLATED, **reached}


class Custodian:
    """Runs policies, shipped ones by name; see the ``custodian`` fixture."""

    def __init__(self, emulator: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.emulator, self.folder, self.monkeypatch = emulator, folder, monkeypatch
        self.count = 0
        self.last: Run | None = None
        self.observer = Observer()

    def __call__(
        self,
        policy: str | Mapping[str, Any],
        *,
        account: str = ACCOUNT,
        region: str = REGION,
        vars: Mapping[str, Any] | None = None,  # noqa: A002  (as c7n-org names them)
        dryrun: bool = False,
        event: Mapping[str, Any] | None = None,
        deploy: bool = False,
    ) -> Run:
        """Run a policy in pull mode, or on an event in its own mode, and return what it wrote.

        With ``deploy`` its Lambda function is deployed instead.

        Fails where an element of ours calls what its ``permissions`` do not list. Where the policy
        raises, :attr:`last` still says what it wrote.
        """
        data = find_policy(POLICIES, policy) if isinstance(policy, str) else policy
        for name, value in {**ISOLATED, **self.emulator.environ(account, region)}.items():
            self.monkeypatch.setenv(name, value)
        self.count += 1
        output = self.folder / f"run-{self.count}"
        self.last = Run(output / data["name"])
        self.observer = Observer()
        run = run_policy(
            data,
            output,
            account=account,
            region=region,
            variables=vars,
            dryrun=dryrun,
            event=event,
            deploy=deploy,
            prepare=[self.observer.policy],
            on_session=[share_models, self.observer.session],
        )
        undeclared = self.observer.undeclared()
        assert not undeclared, f"called without listing it in permissions: {sorted(undeclared)}"
        self.last = run
        return run


Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def run_cli(
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a console script of this environment, or any program, and return its text output."""
    words = [str(argument) for argument in arguments]
    script = SCRIPTS / words[0]
    program = str(script) if script.exists() else words[0]
    return subprocess.run(
        [program, *words[1:]],
        cwd=cwd,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
