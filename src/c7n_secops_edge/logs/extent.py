"""What was read of log files: how much, and what of it says nothing or could not be read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from c7n_secops.aws.calls import failure
from c7n_secops_edge.logs.files import UNREADABLE, LogFile, TruncatedError

log = logging.getLogger("custodian.c7n_secops.logs")


@dataclass
class Logs:
    """What was read: how much, and what of it says nothing or could not be read."""

    files: int = 0
    bytes: int = 0
    lines: int = 0
    bad_lines: int = 0
    unattributed: int = 0
    truncated: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, tuple[str, str]] = field(default_factory=dict)


@contextmanager
def noted(file: LogFile, read: Logs) -> Iterator[None]:
    """Note, in what was read and in the log, that a file ended early or could not be read."""
    try:
        yield
    except TruncatedError as error:
        read.truncated[file.name] = str(error)
        log.warning("log file %s is truncated: %s", file.name, error)
    except UNREADABLE as error:
        read.unreadable[file.name] = failure(error)
        log.warning("log file %s could not be read: %s", file.name, error)
