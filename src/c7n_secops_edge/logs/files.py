"""Log files as blocks of whole lines, inflated in threads ahead of who reads them."""

from __future__ import annotations

import gzip
import io
import queue
import re
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
READERS = 8
"""Files that are read at a time: each waits for its store before it costs anything."""
BLOCKS_AHEAD = 8
GZIP = b"\x1f\x8b"
HEADER = re.compile(rb"\n#")
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
def quick() -> tuple[Any, tuple[Any, ...]] | None:
    """What reads gzip files in large blocks, and its errors: isal's reader, where installed."""
    try:
        from isal import igzip, isal_zlib
    except ImportError:
        return None
    return igzip.IGzipFile, (EOFError, gzip.BadGzipFile, isal_zlib.error)


class Pieces(io.RawIOBase):
    """Pieces of bytes as a stream, of which a read is short only at its end."""

    def __init__(self, pieces: Iterable[bytes]):
        self.pieces = iter(pieces)
        self.rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        filled = 0
        while filled < len(buffer):
            if not self.rest:
                piece = next(self.pieces, None)
                if piece is None:
                    break
                self.rest = memoryview(piece)
            taken = self.rest[: len(buffer) - filled]
            buffer[filled : filled + len(taken)] = taken
            filled += len(taken)
            self.rest = self.rest[len(taken) :]
        return filled


def is_gzip(pieces: Iterable[bytes]) -> tuple[bool, Iterator[bytes]]:
    """Whether a stored file is compressed, by its first bytes; and all its pieces."""
    stream = iter(pieces)
    first = b""
    while len(first) < len(GZIP) and (piece := next(stream, None)) is not None:
        first += piece
    return first.startswith(GZIP), chain((first,), stream)


def content_of(file: LogFile) -> Iterator[bytes]:
    """The content of a gzip file of any number of members, or of a plain one.

    isal's reader inflates a block in one step and lets other threads run meanwhile; of a file that
    ends early it gives no last block, so such a file is opened a second time and read in small
    steps from there. Raises TruncatedError after what could be inflated.
    """
    reader = quick()
    given = 0
    if reader is not None:
        gzip_file, damaged = reader
        compressed, pieces = is_gzip(file.open())
        if not compressed:
            yield from pieces
            return
        stream = gzip_file(fileobj=Pieces(pieces))
        try:
            while block := stream.read(BLOCK):
                given += len(block)
                yield block
        except damaged:
            pass
        else:
            return
    for piece in inflated(file.open()):
        if given < len(piece):
            yield piece[given:]
        given = max(0, given - len(piece))


def inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The content of a gzip file, or of a plain one, as far as there is any: in small steps.

    Raises TruncatedError where the compressed data end early or are damaged.
    """
    compressed, stream = is_gzip(pieces)
    if not compressed:
        yield from stream
        return
    member = zlib.decompressobj(31)
    try:
        for piece in stream:
            waiting = piece
            while waiting:
                if member.eof:
                    member = zlib.decompressobj(31)
                yield member.decompress(waiting, BLOCK)
                waiting = member.unused_data if member.eof else member.unconsumed_tail
        if not member.eof:
            yield member.flush()
    except zlib.error as error:
        raise TruncatedError(str(error)) from error
    if not member.eof:
        raise TruncatedError("the compressed data end before the file's last line")


def blocks(content: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, many at once, each *after* a newline: ``\\nfirst line\\nsecond line``.

    Lines that begin with ``#``, as headers do, stand only at the start of a block.
    A line without its newline at the end is whole, unless the content was truncated: then it is
    not yielded. Of a line longer than any log's, the first bytes are.
    """
    rest = b"\n"
    for piece in content:
        end = piece.rfind(b"\n")
        if end >= 0:
            yield from apart(b"".join((rest, memoryview(piece)[:end])))
            rest = piece[end:]
        elif len(rest) < LONGEST_LINE:
            rest += piece
    if len(rest) > 1:
        yield from apart(rest)


def apart(block: bytes) -> Iterator[bytes]:
    """A block, cut before each header that follows another line."""
    start = 0
    lines = after_headers(block, start)
    while block.find(b"#", lines) >= 0 and (header := HEADER.search(block, lines)):
        yield block[start : header.start()]
        start = header.start()
        lines = after_headers(block, start)
    yield block[start:]


def after_headers(block: bytes, start: int) -> int:
    """Where the lines of a block begin that follow its headers, by their newline."""
    while block.startswith(b"#", start + 1):
        end = block.find(b"\n", start + 1)
        start = end if end > 0 else len(block)
    return start


@dataclass
class Ended:
    """The last thing that a reader has to say: why it stopped, or None at the end of the file."""

    error: Exception | None


def read_ahead(files: Sequence[LogFile]) -> Iterator[tuple[LogFile, Iterator[bytes]]]:
    """Each file with its blocks, in order, while threads read and inflate the next ones.

    A file's blocks must be taken, all or some, before the next file is asked for. They raise what
    reading raised: TruncatedError, or one of UNREADABLE.
    """
    stop = threading.Event()
    started: deque[tuple[LogFile, queue.Queue[Any], threading.Event]] = deque()
    waiting = iter(files)

    def start() -> None:
        file = next(waiting, None)
        if file is not None:
            ready: queue.Queue[Any] = queue.Queue(BLOCKS_AHEAD)
            unwanted = threading.Event()
            readers.submit(read_into, file, ready, (stop, unwanted))
            started.append((file, ready, unwanted))

    readers = ThreadPoolExecutor(READERS)
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
        readers.shutdown()


def read_into(file: LogFile, ready: queue.Queue[Any], stops: Sequence[threading.Event]) -> None:
    """Put a file's blocks into a queue, then :class:`Ended`; stop when told to."""

    def put(item: Any) -> bool:
        while not any(stop.is_set() for stop in stops):
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    try:
        for block in blocks(content_of(file)):
            if not put(block):
                return
    except Exception as error:  # noqa: BLE001  (raised by who waits for the blocks, else for ever)
        put(Ended(error))
    else:
        put(Ended(None))


def taken(ready: queue.Queue[Any]) -> Iterator[bytes]:
    """What a reader puts into its queue, to the end.

    Between two blocks the readers may run: who counts holds the interpreter for a whole block, and
    a reader that wants it back for a moment would wait until the interpreter forces a switch.
    """
    while not isinstance(item := ready.get(), Ended):
        yield item
        time.sleep(0)
    if item.error is not None:
        raise item.error
