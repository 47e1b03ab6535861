"""Interpreters with and without the plug-in, and the CPU time of programs in them."""

from __future__ import annotations

import os
import statistics
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

import _c7n_secops_boot
import c7n_secops

PTH = "import _c7n_secops_boot; _c7n_secops_boot.install()\n"


def environment(folder: Path, *, plugin: bool) -> Path:
    """Make a virtual environment with this one's packages; returns its interpreter.

    Paths that come from a ``.pth`` file are not searched for further ``.pth`` files, so that the
    plug-in's hook is there only where ``plugin`` puts it.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    package = Path(c7n_secops.__file__).parents[1]
    boot = Path(_c7n_secops_boot.__file__).parent
    paths = dict.fromkeys([sysconfig.get_path("purelib"), str(package), str(boot)])
    (site / "packages.pth").write_text("\n".join(paths) + "\n")
    if plugin:
        (site / "c7n_secops.pth").write_text(PTH)
    return folder / "bin" / "python"


def cpu_seconds(command: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    """User and system seconds of one process; raises RuntimeError where it fails."""
    quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0o600) for stream in (1, 2)]
    process = os.posix_spawn(
        command[0], list(command), dict(os.environ if env is None else env), file_actions=quiet
    )
    _, status, usage = os.wait4(process, 0)
    if status:
        raise RuntimeError(f"exit {os.waitstatus_to_exitcode(status)}: {' '.join(command)}")
    return usage.ru_utime + usage.ru_stime


def compare(
    ours: Sequence[str], peer: Sequence[str], runs: int, env: Mapping[str, str] | None = None
) -> tuple[float, float, float]:
    """Run both in turn; returns the medians of their CPU seconds and of the pairs' ratios."""
    for command in (ours, peer):
        cpu_seconds(command, env)
    pairs = [(cpu_seconds(ours, env), cpu_seconds(peer, env)) for _ in range(runs)]
    ours_median, peer_median = (statistics.median(side) for side in zip(*pairs, strict=True))
    return ours_median, peer_median, statistics.median(a / b for a, b in pairs)
