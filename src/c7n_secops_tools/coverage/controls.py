"""Benchmarks as ``controls.yml`` declares them, and what policies cite of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import yaml

CHECKS = ("policy", "partial", "manual")
TEXT = {"type": "string", "minLength": 1, "maxLength": 300}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["benchmarks", "controls"],
    "properties": {
        "benchmarks": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "controls"],
                "properties": {"name": TEXT, "controls": {"type": "integer", "minimum": 1}},
            },
        },
        "controls": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["title", "controls", "check"],
                "properties": {
                    "title": TEXT,
                    "controls": {
                        "type": "object",
                        "minProperties": 1,
                        "additionalProperties": {"enum": [1, 2]},
                    },
                    "check": {"enum": list(CHECKS)},
                    "reason": TEXT,
                },
                "if": {"properties": {"check": {"enum": ["partial", "manual"]}}},
                "then": {"required": ["reason"]},
            },
        },
    },
}


class UnreadableError(Exception):
    """A file that is no YAML, or whose controls are not of the form that this module reads."""


@dataclass(frozen=True)
class Control:
    """One control of one benchmark, and the names of the policies that cite it."""

    id: str
    title: str
    level: int
    check: str
    reason: str
    policies: tuple[str, ...]

    @property
    def state(self) -> str:
        """``covered``, ``partial``, ``manual`` or ``missing``."""
        if self.check == "manual":
            return "manual"
        if not self.policies:
            return "missing"
        return "covered" if self.check == "policy" else "partial"


@dataclass(frozen=True)
class Coverage:
    """One benchmark: its controls in order, and how many it should have."""

    id: str
    name: str
    expected: int
    controls: tuple[Control, ...]

    def of(self, state: str) -> list[Control]:
        return [control for control in self.controls if control.state == state]

    @property
    def missing(self) -> int:
        """Controls that no policy checks, and those that the file does not even list."""
        return len(self.of("missing")) + max(0, self.expected - len(self.controls))

    @property
    def accounted(self) -> int:
        return len(self.controls) - len(self.of("missing"))


@dataclass
class Catalogue:
    """What was read from a set of files."""

    benchmarks: dict[str, dict[str, Any]] = field(default_factory=dict)
    controls: list[dict[str, Any]] = field(default_factory=list)
    cited: dict[str, list[str]] = field(default_factory=dict)

    def coverage(self, benchmark: str) -> Coverage:
        """What is known of one benchmark; KeyError for one that no file declares."""
        declared = self.benchmarks[benchmark]
        controls = [
            Control(
                id=name.partition("/")[2],
                title=entry["title"],
                level=level,
                check=entry["check"],
                reason=entry.get("reason", ""),
                policies=tuple(self.cited.get(name, ())),
            )
            for entry in self.controls
            for name, level in entry["controls"].items()
            if name.partition("/")[0] == benchmark
        ]
        controls.sort(key=lambda control: [int(part) for part in control.id.split(".")])
        return Coverage(benchmark, declared["name"], declared["controls"], tuple(controls))

    @property
    def unknown(self) -> dict[str, list[str]]:
        """What policies cite although no file declares it, and the policies that do."""
        known = {name for entry in self.controls for name in entry["controls"]}
        return {name: who for name, who in sorted(self.cited.items()) if name not in known}


def read(paths: Iterable[Path]) -> Catalogue:
    """Read policy files, and folders of them; raises UnreadableError naming the file."""
    found = Catalogue()
    for file in files_of(paths):
        try:
            data = yaml.safe_load(file.read_text())
        except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
            raise UnreadableError(f"{file}: {error}") from error
        if not isinstance(data, dict):
            continue
        declared = data.get("vars")
        if isinstance(declared, dict) and "benchmarks" in declared:
            try:
                jsonschema.validate(declared, SCHEMA)
            except jsonschema.ValidationError as error:
                where = ".".join(map(str, error.absolute_path))
                raise UnreadableError(f"{file}: vars.{where}: {error.message}") from error
            found.benchmarks.update(declared["benchmarks"])
            found.controls.extend(declared["controls"])
        for policy in data.get("policies") or ():
            for control in (policy.get("metadata") or {}).get("controls", ()):
                found.cited.setdefault(control, []).append(policy["name"])
    return found


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The policy files among the paths and under the folders; tests of policies are none."""
    return sorted(
        {
            file
            for path in paths
            for file in (path.rglob("*.y*ml") if path.is_dir() else [path])
            if "tests" not in file.relative_to(path).parts
        }
    )
