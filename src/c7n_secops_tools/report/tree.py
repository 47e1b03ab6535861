"""Custodian's output tree, one policy's run at a time.

``custodian run`` writes ``<dir>/<policy>/``, c7n-org ``<dir>/<account>/<region>/<policy>/``, and
S3 adds ``/<year>/<month>/<day>/<hour>/`` and compresses each file. Any folder that holds one of
Custodian's own files is a run; what it says of itself is in its ``metadata.json``.

Custodian writes into the folder that an earlier run left and removes nothing, so a file older than
the run is of an earlier one: it is not counted, and the run names it under ``stale``.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from c7n_secops import outcomes
from c7n_secops_tools.report import traffic

Row: TypeAlias = dict[str, Any]

METADATA, RESOURCES, LOG = "metadata.json", "resources.json", "custodian-run.log"
ACTION = "action-"
REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")
CLOCK = 2.0
"""Seconds by which times of files differ though they were written together (as zip keeps them)."""

LOG_RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - ")
LOG_FAILURE = "Error while executing policy"
EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:: .*)?")


class UnreadableError(Exception):
    """A file of an output tree that cannot be read; the message has its path and the fix."""

    def __init__(self, path: Path, reason: str, fix: str):
        super().__init__(f"{path}: {reason}; {fix}")


def find(folders: Iterable[Path]) -> Iterator[Run]:
    """Every run under the folders, each once, in the order of their paths."""
    seen: set[Path] = set()
    for top in folders:
        for name, below, files in os.walk(top):
            below.sort()
            plain = {file.removesuffix(".gz") for file in files}
            folder = Path(name)
            if plain & {METADATA, RESOURCES, LOG} and folder.resolve() not in seen:
                seen.add(folder.resolve())
                yield Run(folder, top)


class Run:
    """One run of one policy in one account and region.

    ``problems`` holds what could not be read, ``stale`` the names of an earlier run's files. The
    readers (:meth:`resources`, :meth:`not_evaluated`, :meth:`results`) load a file at each call
    and keep nothing, so that a tree larger than memory can be reported.
    """

    def __init__(self, folder: Path, top: Path):
        self.folder, self.top = folder, top
        self.problems: dict[Path, UnreadableError] = {}
        self.stale: set[str] = set()
        self.files = {path.name.removesuffix(".gz"): path for path in sorted(folder.iterdir())}
        self.metadata: Row = self._read(METADATA, dict) or {}

    @cached_property
    def _path(self) -> tuple[str, ...]:
        """The names from the output folder down to this run, the dates that S3 adds left out."""
        parts = (self.top.name, *self.folder.relative_to(self.top).parts)
        while len(parts) > 1 and parts[-1].isdecimal():
            parts = parts[:-1]
        return parts

    @cached_property
    def _place(self) -> tuple[str, str]:
        """The account's name and the region, where the folders are c7n-org's."""
        if len(self._path) > 3 and REGION.fullmatch(self._path[-2]):
            return self._path[-3], self._path[-2]
        return "", ""

    def _told(self, section: str, key: str) -> str:
        told = self.metadata.get(section)
        value = told.get(key) if isinstance(told, dict) else None
        return value if isinstance(value, str) else ""

    @property
    def policy(self) -> str:
        """The policy's name; its folder's, where there is no ``metadata.json``."""
        return self._told("policy", "name") or self._path[-1]

    @property
    def resource(self) -> str:
        """The policy's kind of resource, for example ``aws.ec2``; empty where it is not known."""
        name = self._told("policy", "resource")
        return name if not name or "." in name else f"aws.{name}"

    @property
    def account(self) -> str:
        """The account's id, or what c7n-org calls it where the run did not say."""
        return self._told("config", "account_id") or self._place[0]

    @property
    def account_name(self) -> str:
        """What c7n-org's accounts file calls the account; empty for ``custodian run``."""
        return self._place[0]

    @property
    def region(self) -> str:
        """The region, for example ``eu-west-1``; empty where nothing tells it."""
        return self._told("config", "region") or self._place[1]

    @property
    def actions(self) -> tuple[str, ...]:
        """The types of the policy's actions, in order."""
        policy = self.metadata.get("policy")
        listed = policy.get("actions") if isinstance(policy, dict) else None
        named = [
            action.get("type") if isinstance(action, dict) else action for action in listed or ()
        ]
        return tuple(str(name) for name in named)

    @property
    def started(self) -> datetime | None:
        """When the run started, in UTC."""
        start = self._seconds("start")
        try:
            return None if start is None else datetime.fromtimestamp(start, timezone.utc)
        except (OverflowError, ValueError, OSError):  # not a time at all
            return None

    @property
    def duration(self) -> float | None:
        """Seconds that the run took."""
        return self._seconds("duration")

    def _seconds(self, key: str) -> float | None:
        execution = self.metadata.get("execution")
        value = execution.get(key) if isinstance(execution, dict) else None
        return float(value) if isinstance(value, int | float) else None

    @cached_property
    def error(self) -> str:
        """Why the run failed; empty if it did not."""
        if METADATA not in self.files:
            return self._logged_error() or "no metadata.json: the run was stopped before its end"
        if not self.metadata:
            return "metadata.json cannot be read"
        metrics = self.metadata.get("metrics")
        names = {
            point.get("MetricName")
            for point in (metrics if isinstance(metrics, list) else ())
            if isinstance(point, dict)
        }
        if "PolicyException" in names:
            return self._logged_error() or "the policy raised an exception; its log does not say it"
        if not self.deployed and self._fresh(RESOURCES) is None:
            return self._logged_error() or "no resources.json: the run did not get to its resources"
        return ""

    @property
    def deployed(self) -> bool:
        """Whether this run only put the policy into a Lambda function."""
        policy = self.metadata.get("policy")
        mode = policy.get("mode") if isinstance(policy, dict) else None
        event_driven = isinstance(mode, dict) and mode.get("type", "pull") != "pull"
        return event_driven and self._fresh(RESOURCES) is None

    @property
    def dry(self) -> bool:
        """Whether actions were left out (``--dryrun``)."""
        config = self.metadata.get("config")
        return isinstance(config, dict) and config.get("dryrun") is True

    @property
    def state(self) -> str:
        """One of ``ran``, ``dry run``, ``deployed`` and ``failed``."""
        if self.error:
            return "failed"
        if self.deployed:
            return "deployed"
        return "dry run" if self.dry else "ran"

    def resources(self) -> list[Row] | None:
        """What matched, as ``resources.json`` has it; None where this run wrote none."""
        return self._rows(RESOURCES)

    def not_evaluated(self) -> list[Row]:
        """Records of :mod:`c7n_secops.outcomes` that this run wrote, not an earlier one."""
        began = self.started.replace(microsecond=0).isoformat() if self.started else ""
        rows = self._rows(outcomes.FILE) or []
        return [row for row in rows if str(row.get("at", began)) >= began]

    def traffic(self) -> list[traffic.Traffic]:
        """The requests a minute that ``http-flood`` wrote, one a resource."""
        rows = self._rows(traffic.FILE) or []
        read = [traffic.Traffic.read(row) for row in rows]
        if None in read:
            self._unreadable(self.files[traffic.FILE], "does not hold minutes and offenders")
        return [each for each in read if each is not None and each.minutes]

    def results(self) -> Iterator[tuple[str, list[Row] | None]]:
        """Per action with an output file: its name, and one result a resource.

        None instead of results where the file is not in our actions' form, as stock actions' are.
        """
        for name in self.files:
            if name.startswith(ACTION):
                written = self._read(name, object)
                if written is not None:
                    yield name.removeprefix(ACTION), per_resource(written)

    def _rows(self, name: str) -> list[Row] | None:
        rows: list[Any] | None = self._read(name, list)
        if rows is None or all(isinstance(row, dict) for row in rows):
            return rows
        self._unreadable(self.files[name], "holds something other than objects")
        return [row for row in rows if isinstance(row, dict)]

    def _fresh(self, name: str) -> Path | None:
        """The file, if there is one and this run wrote it."""
        path, end = self.files.get(name), self.files.get(METADATA)
        if path is None or end is None or path == end or self.duration is None:
            return path
        if path.stat().st_mtime < end.stat().st_mtime - self.duration - CLOCK:
            self.stale.add(name)
            return None
        return path

    def _read(self, name: str, form: type) -> Any:
        """What a file holds; None where there is none, or it is recorded as unreadable."""
        path = self.files.get(name) if name == METADATA else self._fresh(name)
        if path is None:
            return None
        try:
            with opened(path) as stream:
                value = json.load(stream)
        except (OSError, EOFError, ValueError, RecursionError) as error:
            return self._unreadable(path, f"{type(error).__name__}: {error}")
        if not isinstance(value, form):
            wanted = "an object" if form is dict else "a list"
            return self._unreadable(path, f"does not hold {wanted}")
        return value

    def _unreadable(self, path: Path, reason: str) -> None:
        fix = f"run policy {self._path[-1]} again, or remove this file to leave it out"
        self.problems[path] = UnreadableError(path, reason, fix)

    def _logged_error(self) -> str:
        """The exception that ended the run, from the last traceback in its log."""
        path, error, inside = self.files.get(LOG), "", False
        if path is None:
            return ""
        try:
            with opened(path) as lines:
                for line in lines:
                    if LOG_RECORD.match(line):
                        inside = LOG_FAILURE in line
                    elif inside and EXCEPTION.fullmatch(line.rstrip()):
                        error = line.rstrip()
        except (OSError, EOFError, ValueError) as failure:
            self._unreadable(path, f"{type(failure).__name__}: {failure}")
        return error


def opened(path: Path) -> Any:
    """A text file, inflated where its name ends in ``.gz``."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def per_resource(written: Any) -> list[Row] | None:
    """The results that an action of ours wrote, or None where they are in another form."""
    rows = written.get("results") if isinstance(written, dict) else written
    if isinstance(rows, list) and all(isinstance(r, dict) and "outcome" in r for r in rows):
        return rows
    return None
