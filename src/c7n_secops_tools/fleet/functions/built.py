"""What a policy file builds: the function of a policy, the same bytes from the same sources.

Custodian adds files to its archive in the order in which the file system lists them, so the same
sources give another checksum on another machine. Here they are sorted, and packed once a process.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from c7n import mu
from c7n.policy import LambdaMode
from c7n.version import version as c7n_version

from c7n_secops import __version__

ARCHIVE_TAG = "c7n-secops-archive"
"""Also tells the functions that were deployed from here from those of stock Custodian."""
STOCK_TAG, SCHEDULE_TAG = "custodian-info", "custodian-schedule"


class Archive(mu.PythonPackageArchive):
    """Custodian's archive with its files in the order of their names."""

    def add_directory(self, path: str, ignore: Any = None) -> None:
        """Add the files that Custodian would, sorted."""
        found = []
        for root, folders, files in os.walk(path):
            folders[:] = [name for name in folders if name != "__pycache__"]
            inside = Path(root).relative_to(Path(path).parent)
            found += [(str(inside / name), Path(root, name)) for name in files]
        for name, file in sorted(found):
            if not (name.endswith((".pyc", ".c")) or (ignore and ignore(name))):
                self.add_file(str(file), name)


@cache
def packed(packages: tuple[str, ...]) -> bytes:
    """The archive of c7n and these packages, without a policy."""
    content: bytes = Archive(packages).close().get_bytes()
    return content


def archive(packages: tuple[str, ...]) -> mu.PythonPackageArchive:
    """An open archive of c7n and these packages, to which the policy is added."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(packed(tuple(sorted({"c7n", *packages}))))
        file.flush()
        return mu.PythonPackageArchive(cache_file=file.name)


def content_hash(closed: mu.PythonPackageArchive) -> str:
    """The SHA-256 of names and contents: it does not depend on how they were compressed."""
    digest = hashlib.sha256()
    with closed.get_reader() as reader:
        for name in sorted(reader.namelist()):
            content = reader.read(name)
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def reproducible(kind: type[mu.PolicyLambda]) -> type[mu.PolicyLambda]:
    """A kind of function whose archive is sorted, and whose tags say what is in it."""

    class Function(kind):
        def __init__(self, policy: Any):
            self.policy = policy
            self.archive = archive(tuple(self.packages or ()))
            self.marks: dict[str, str] = {}

        def get_archive(self) -> Any:
            closed = super().get_archive()
            self.marks = {
                "c7n": c7n_version,
                "c7n-secops": __version__,
                ARCHIVE_TAG: content_hash(closed),
            }
            return closed

        def get_config(self) -> dict[str, Any]:
            # named though empty, so that Custodian's update takes away what was set by hand
            return {"Environment": mu.LAMBDA_EMPTY_VALUES["Environment"], **super().get_config()}

        @property
        def tags(self) -> dict[str, str]:
            return {**super().tags, **self.marks}

    return Function


def deploys(policy: Any) -> bool:
    """Whether running the policy deploys a function."""
    return not policy.options.dryrun and isinstance(policy.get_execution_mode(), LambdaMode)


def provision(policy: Any) -> Any:
    """Deploy the policy's function, as Custodian does, with an archive that can be reproduced."""
    mode = policy.get_execution_mode()

    class Mode(type(mode)):  # type: ignore[misc]
        @property
        def policy_lambda(self) -> Any:
            return reproducible(super().policy_lambda)

    return Mode(policy).provision()


def function(policy: Any) -> Any:
    """The function that :func:`provision` would deploy; its archive is closed."""
    mode = policy.data["mode"]
    tags = mode.setdefault("tags", {})  # as Custodian does on deployment; they are in the archive
    tags[STOCK_TAG] = f"mode={mode['type']}:version={c7n_version}"
    if mode["type"] == "schedule":
        name = mode.get("function-prefix", "custodian-") + policy.name
        tags[SCHEDULE_TAG] = f"name={name}:group={mode.get('group-name', 'default')}"
    made = reproducible(policy.get_execution_mode().policy_lambda)(policy)
    made.get_archive()
    return made
