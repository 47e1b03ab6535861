"""Builds the wheel, and installs it where this tree is not."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

from tests.harness import environ, run_cli

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def python_build(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def install(wheel: Path, folder: Path) -> Run:
    """Install a wheel in a new environment that takes the dependencies from this one."""
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    inside = Path(
        sysconfig.get_path("purelib", vars={"base": str(folder / "venv")}, scheme="venv")
        if "venv" in sysconfig.get_scheme_names()
        else sysconfig.get_path("purelib", "posix_prefix", {"base": str(folder / "venv")})
    )
    # A path in a .pth file is searched, but no .pth file in it is run: only the wheel's own is.
    (inside / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = ("--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    done = run_cli(sys.executable, "-m", "pip", *pip, cwd=folder, env=environ(None))
    assert done.returncode == 0, done.stderr

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {**environ(None), **environment}
        return run_cli(python, *arguments, cwd=folder, env=env)

    return run
