"""The lock of a case on an instance: one run at a time, and none for ever.

It is an object that only one run can create. It is free again when the manifest names the run
that holds it, since that is what a run writes last, or when it has expired.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta, timezone
from typing import Any

from c7n_secops.aws.calls import FAILURES
from c7n_secops_response.evidence.store import ConflictError, Folder

LOCK = "lock.json"
MANIFEST = "manifest.json"

log = logging.getLogger("custodian.c7n_secops.lock")


class LockedError(Exception):
    """Another run holds the case."""


class CaseLock:
    """The lock of one case on one instance, as one run holds it for ``seconds`` at a time."""

    def __init__(self, folder: Folder, run: str, seconds: float):
        self.folder, self.run, self.seconds = folder, run, seconds
        self._etag = ""
        self._renew_at = 0.0

    def take(self) -> bool:
        """Take it, and return whether the case is new; raises LockedError or RefusedError."""
        try:
            self._write(IfNoneMatch="*")
        except ConflictError:
            pass
        else:
            return True
        held, etag = self.folder.get_json(LOCK)
        if held is None:
            raise LockedError("another run is taking the case at this moment")
        if held["run"] != self.run and is_live(self.folder, held):
            raise LockedError(f"run {held['run']} handles the case until {held['expires']}")
        try:
            self._write(IfMatch=etag)
        except ConflictError as error:
            raise LockedError("another run took the case at this moment") from error
        return False

    def keep(self) -> None:
        """Renew it once half of its time is over; raises LockedError where it was taken over."""
        if time.monotonic() < self._renew_at:
            return
        try:
            self._write(IfMatch=self._etag)
        except ConflictError as error:
            raise LockedError("the lock expired and another run took the case over") from error

    def free(self) -> None:
        """Let others have the case at once, where no manifest can say so; this may fail too."""
        self.seconds = 0
        try:
            self._write(IfMatch=self._etag)
        except (ConflictError, *FAILURES) as error:
            log.warning("the lock of %s not set free: %s", self.folder.path, error)

    def _write(self, **conditions: str) -> None:
        now = datetime.now(timezone.utc)
        value = {
            "run": self.run,
            "at": now.isoformat(),
            "expires": (now + timedelta(seconds=self.seconds)).isoformat(),
        }
        self._etag = self.folder.put_json(LOCK, value, **conditions)["ETag"]
        self._renew_at = time.monotonic() + self.seconds / 2


def is_live(folder: Folder, held: dict[str, Any]) -> bool:
    """Whether the run that wrote this lock may still be at work; raises RefusedError."""
    if datetime.fromisoformat(held["expires"]) <= datetime.now(timezone.utc):
        return False
    manifest, _etag = folder.get_json(MANIFEST)
    return manifest is None or manifest["run"] != held["run"]
