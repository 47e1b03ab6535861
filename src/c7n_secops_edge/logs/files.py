"""Log files as blocks of whole lines, inflated in threads ahead of who reads them."""

from __future__ import annotations

import queue
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError

from c7n_secops.aws.calls import FAILURES

PIECE = 1 << 18
"""Compressed bytes that are read at once."""
BLOCK = 1 << 18
"""Inflated bytes at most that one step gives, whatever a piece inflates to."""
LONGEST_LINE = 1 << 20
READERS = 3
BATCH = 4
"""Blocks that are handed over at once: each time costs both threads a switch."""
BATCHES_AHEAD = 2
GZIP = b"\x1f\x8b"
UNREADABLE = (OSError, BotoCoreError, *FAILURES)
"""What makes a file unreadable: its disk, or whatever AWS and the network answer."""


@dataclass(frozen=True)
class LogFile:
    """One log file, wherever it is: ``open`` yields its stored bytes, piece by piece.

    It may raise one of UNREADABLE before or between the pieces. ``path`` is where the bytes are
    on a local disk, if they are.
    """

    name: str
    size: int
    open: Callable[[], Iterator[bytes]] = field(repr=False)
    path: Path | None = None


def local_file(path: Path) -> LogFile:
    """A log file of a local disk."""

    def pieces() -> Iterator[bytes]:
        with path.open("rb") as stream:
            while piece := stream.read(PIECE):
                yield piece

    return LogFile(str(path), path.stat().st_size, pieces, path)


def local_files(folder: Path) -> list[LogFile]:
    """Every file in a folder and in the folders in it, in the order of their names."""
    return [local_file(path) for path in sorted(folder.rglob("*")) if path.is_file()]


class TruncatedError(Exception):
    """A compressed file ended early, or stopped making sense; what came before it was yielded."""


@cache
def inflater() -> tuple[Any, tuple[Any, ...]]:
    """What inflates, and its errors: isal where it is installed, at half of zlib's cost."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompressobj, (zlib.error,)
    return isal_zlib.decompressobj, (isal_zlib.error, zlib.error)


def inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The content of a gzip file of any number of members, or of a plain one.

    Raises TruncatedError where the compressed data end early or are damaged.
    """
    stream = iter(pieces)
    first = b""
    while len(first) < len(GZIP) and (piece := next(stream, None)) is not None:
        first += piece
    if not first.startswith(GZIP):
        yield first
        yield from stream
        return
    new, errors = inflater()
    member = new(31)
    try:
        for piece in chain((first,), stream):
            waiting = piece
            while waiting:
                if member.eof:
                    member = new(31)
                yield member.decompress(waiting, BLOCK)
                waiting = member.unused_data if member.eof else member.unconsumed_tail
        if not member.eof:
            yield member.flush()
    except errors as error:
        raise TruncatedError(str(error)) from error
    if not member.eof:
        raise TruncatedError("the compressed data end before the file's last line")


def blocks(content: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, many at once, each *after* a newline: ``\\nfirst line\\nsecond line``.

    A line without its newline at the end is whole, unless the content was truncated: then it is
    not yielded. Of a line longer than any log's, the first bytes are.
    """
    rest = b"\n"
    for piece in content:
        end = piece.rfind(b"\n")
        if end >= 0:
            yield b"".join((rest, memoryview(piece)[:end]))
            rest = piece[end:]
        elif len(rest) < LONGEST_LINE:
            rest += piece
    if len(rest) > 1:
        yield rest


@dataclass
class Ended:
    """The last thing that a reader has to say: why it stopped, or None at the end of the file."""

    error: Exception | None


def read_ahead(files: Sequence[LogFile]) -> Iterator[tuple[LogFile, Iterator[bytes]]]:
    """Each file with its blocks, in order, while threads read and inflate the next ones.

    Of files on a local disk there is nothing to wait for, and threads would only cost time.

    A file's blocks must be taken, all or some, before the next file is asked for. They raise what
    reading raised: TruncatedError, or one of UNREADABLE.
    """
    if all(file.path is not None for file in files):
        for file in files:
            yield file, blocks(inflated(file.open()))
        return
    stop = threading.Event()
    started: deque[tuple[LogFile, queue.Queue[Any], threading.Event]] = deque()
    waiting = iter(files)

    def start() -> None:
        file = next(waiting, None)
        if file is not None:
            ready: queue.Queue[Any] = queue.Queue(BATCHES_AHEAD)
            unwanted = threading.Event()
            threading.Thread(
                target=read_into, args=(file, ready, (stop, unwanted)), daemon=True
            ).start()
            started.append((file, ready, unwanted))

    try:
        for _ in range(READERS):
            start()
        while started:
            file, ready, unwanted = started.popleft()
            yield file, taken(ready)
            unwanted.set()
            start()
    finally:
        stop.set()


def read_into(file: LogFile, ready: queue.Queue[Any], stops: Sequence[threading.Event]) -> None:
    """Put a file's blocks into a queue in batches, then :class:`Ended`; stop when told to."""
    batch: list[bytes] = []

    def put(item: Any) -> bool:
        while not any(stop.is_set() for stop in stops):
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    try:
        for block in blocks(inflated(file.open())):
            batch.append(block)
            if len(batch) == BATCH:
                if not put(batch):
                    return
                batch = []
    except Exception as error:  # noqa: BLE001  (raised by who waits for the blocks, else for ever)
        ended = Ended(error)
    else:
        ended = Ended(None)
    put(batch)
    put(ended)


def taken(ready: queue.Queue[Any]) -> Iterator[bytes]:
    """What a reader puts into its queue, to the end."""
    while not isinstance(item := ready.get(), Ended):
        yield from item
    if item.error is not None:
        raise item.error
