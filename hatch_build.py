"""Builds the wheel: top-level ``filters/`` and ``actions/`` install inside ``c7n_secops``.

An editable install gets the same package as a tree of links in ``build/dev``, file by file, so
that tools, type checkers and Lambda archives see what the wheel would hold. A new source file
therefore needs ``pip install -e .`` again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = {
    "src/c7n_secops": "c7n_secops",
    "src/c7n_secops_edge": "c7n_secops_edge",
    "src/c7n_secops_findings": "c7n_secops_findings",
    "src/c7n_secops_membership": "c7n_secops_membership",
    "src/c7n_secops_response": "c7n_secops_response",
    "src/c7n_secops_tools": "c7n_secops_tools",
    "filters": "c7n_secops/filters",
    "actions": "c7n_secops/actions",
}
START_UP = ("c7n_secops.pth", "c7n_secops.start", "_c7n_secops_boot.py")


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            self.link_package(Path(self.root) / "build" / "dev")
            build_data["force_include_editable"].update({name: name for name in START_UP})
        else:
            build_data["force_include"].update({name: name for name in START_UP})
            build_data["force_include"].update(
                {
                    source: target
                    for source, target in PACKAGE.items()
                    if not source.startswith("src/")  # hatchling takes what is there itself
                }
            )

    def link_package(self, farm: Path) -> None:
        """Add what is missing and remove what dangles, so that a running program is not hurt."""
        for source, target in PACKAGE.items():
            top = Path(self.root) / source
            for file in top.rglob("*"):
                link = farm / target / file.relative_to(top)
                if file.is_dir() or "__pycache__" in file.parts or link.exists():
                    continue
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(file)
        for link in farm.rglob("*"):
            if link.is_symlink() and not link.exists():
                link.unlink()
