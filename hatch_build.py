"""Builds the wheel: what is in ``filters/<field>/`` and ``actions/<field>/`` installs as
``c7n_secops_<field>.filters`` and ``.actions``, beside that field's own code in ``src/``.

An editable install gets the same package as a tree of links in ``build/dev``, file by file, so
that tools, type checkers and Lambda archives see what the wheel would hold. A new source file
therefore needs ``pip install -e .`` again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TOP = "c7n_secops"
ELEMENTS = ("filters", "actions")
START_UP = ("c7n_secops.pth", "c7n_secops.start", "_c7n_secops_boot.py")


def elements(root: Path) -> dict[str, str]:
    """The folders of elements, and where each installs."""
    return {
        f"{kind}/{field.name}": f"{TOP}_{field.name}/{kind}"
        for kind in ELEMENTS
        for field in (root / kind).iterdir()
        if field.is_dir() and field.name != "__pycache__"
    }


def sources(root: Path) -> dict[str, str]:
    """All folders of the package's files, and where each installs."""
    return {f"src/{top.name}": top.name for top in (root / "src").iterdir()} | elements(root)


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            self.link_package(Path(self.root) / "build" / "dev")
            build_data["force_include_editable"].update({name: name for name in START_UP})
        else:
            # hatchling takes src/ itself
            build_data["force_include"].update({name: name for name in START_UP})
            build_data["force_include"].update(elements(Path(self.root)))

    def link_package(self, farm: Path) -> None:
        """Add what is missing and remove what dangles, so that a running program is not hurt."""
        for source, target in sources(Path(self.root)).items():
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
