"""What the lines of an access log say: CloudFront, Application Load Balancer and AWS WAF.

A parser takes blocks of whole lines and gives rows: tuples of bytes with what is needed of
``COLUMNS``, in the order of its own ``columns``. It counts every line, and those that say nothing.
"""

from __future__ import annotations

import json
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from datetime import datetime, timezone
from typing import Any

COLUMNS = ("minute", "address", "status", "uri", "forwarded")
"""``minute`` as the log writes it, ``forwarded`` is X-Forwarded-For; the rest is the client's."""

DETAIL = ("address", "method", "uri", "status", "agent")
"""What a sample has beside its time."""

Row = tuple[Any, ...]


class Parser(ABC):
    """Rows of one file. ``needed`` are the columns that are asked for.

    It takes blocks as :func:`c7n_secops_edge.logs.files.blocks` gives them.
    """

    def __init__(self, needed: Collection[str]):
        self.columns: tuple[str, ...] = tuple(name for name in COLUMNS if name in needed)
        self.lines = 0
        self.bad = 0

    def rows(self, block: bytes) -> list[Row]:
        """The rows of a block, in which each line stands after a newline."""
        return self.lines_and_rows(block)[1]

    def with_lines(self, block: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Each line that makes a row, with the row's values by column."""
        for line, row in zip(*self.lines_and_rows(block), strict=True):
            yield line, dict(zip(self.columns, row, strict=True))

    @abstractmethod
    def lines_and_rows(self, block: bytes) -> tuple[list[bytes], list[Row]]:
        """The lines of a block that make a row, and their rows."""

    @abstractmethod
    def detail(self, line: bytes) -> dict[str, str] | None:
        """A line that makes a row for people to read: None where it lacks what they look for."""


class PatternParser(Parser):
    """A parser by a regular expression for one line, which begins with the line's newline.

    Over a whole block it is fast, and right where it matches as often as there are lines: a match
    holds at least its own newline, so then none has swallowed a second one. Otherwise the block
    is read line by line.
    """

    pattern: re.Pattern[bytes] | None = None

    def rows(self, block: bytes) -> list[Row]:
        start, found = self.at_once(block)
        return self.line_by_line(block, start)[1] if found is None else found

    def lines_and_rows(self, block: bytes) -> tuple[list[bytes], list[Row]]:
        start, found = self.at_once(block)
        if found is None:
            return self.line_by_line(block, start)
        return block[start:].split(b"\n")[1:], found

    def at_once(self, block: bytes) -> tuple[int, list[Row] | None]:
        """Where a block's lines start after its headers, and their rows if every line makes one."""
        start = 0
        while block.startswith(b"#", start + 1):
            end = block.find(b"\n", start + 1)
            self.comment(block[start + 1 : end if end > 0 else None])
            start = end if end > 0 else len(block)
        lines = block.count(b"\n", start)
        if self.pattern is not None:
            found = self.pattern.findall(block, start)
            if len(found) == lines:
                self.lines += lines
                return start, self.completed(found)
        return start, None

    def line_by_line(self, block: bytes, start: int) -> tuple[list[bytes], list[Row]]:
        """The lines that make a row, and their rows."""
        lines: list[bytes] = []
        rows: list[Row] = []
        for line in block[start:].split(b"\n")[1:]:
            self.lines += 1
            match = self.pattern.match(b"\n" + line) if self.pattern is not None else None
            if match is None:
                self.bad += 1
            else:
                lines.append(line)
                rows.append(match.groups())
        return lines, self.completed(rows)

    def completed(self, found: list[Row]) -> list[Row]:
        """The rows of what the pattern found."""
        return found

    def comment(self, line: bytes) -> None:
        """Learn from a line that starts with ``#``."""


W3C = {
    "date": b"date",
    "time": b"time",
    "address": b"c-ip",
    "status": b"sc-status",
    "uri": b"cs-uri-stem",
    "forwarded": b"x-forwarded-for",
    "method": b"cs-method",
    "agent": b"cs(User-Agent)",
}


POSSESSIVE = b"+" if sys.version_info >= (3, 11) else b""
"""Never gives back what was matched: as there is nothing to give back here, only quicker."""


class W3CParser(PatternParser):
    """CloudFront's standard logs, version 1 and 2: tab separated, named by their own ``#Fields``.

    The order of the fields is read from each file, and again where a file states another.
    """

    def __init__(self, needed: Collection[str]):
        super().__init__(needed)
        self.needed = needed
        self.fields: list[bytes] = []
        self.joined = False

    def comment(self, line: bytes) -> None:
        word, _, names = line.partition(b":")
        if word != b"#Fields":
            return
        self.fields = names.split()
        wanted = {"date", "time", *self.needed} - {"minute"}
        if not {W3C[name] for name in wanted} <= set(self.fields):
            self.pattern = None
            return
        place = {self.fields.index(W3C[name]): name for name in wanted}
        last = max(place)
        self.joined = self.fields.index(b"time") == self.fields.index(b"date") + 1
        parts, columns = [], []
        for number in range(last + 1):
            name = place.get(number)
            end = b"\t"
            if number == len(self.fields) - 1:
                end = rb"(?=\n|\Z)"
            anything = (rb"[^\t]*" if end == b"\t" else rb"[^\t\n]*") + POSSESSIVE
            if self.joined and name == "date":
                parts.append(rb"(.{10}\t.{5})")
                columns.append("minute")
            elif self.joined and name == "time":
                parts.append(rb".{3}" + end)
            else:
                parts.append((rb"(%s)" % anything if name else anything) + end)
                columns += [name] if name else []
        self.pattern = re.compile(rb"\n" + b"".join(parts), re.DOTALL)
        self.order = columns
        self.columns = tuple(columns)
        if not self.joined:
            rest = [name for name in columns if name not in ("date", "time")]
            self.columns = ("minute", *rest)

    def completed(self, found: list[Row]) -> list[Row]:
        if self.joined or not found:
            return found
        date, time = self.order.index("date"), self.order.index("time")
        rest = [number for number in range(len(self.order)) if number not in (date, time)]
        return [
            (row[date] + b"\t" + row[time][:5], *(row[number] for number in rest)) for row in found
        ]

    def detail(self, line: bytes) -> dict[str, str] | None:
        values = dict(zip(self.fields, line.split(b"\t"), strict=False))
        time = shown(b"T".join((values[b"date"], values[b"time"])))
        return {"time": time, **{key: shown(values.get(W3C[key], b"-")) for key in DETAIL}}


class LoadBalancerParser(PatternParser):
    """Access logs of an Application Load Balancer: separated by blanks, some fields quoted."""

    HEAD = rb'\n[^ "\n]+ ([^ "\n]{16})[^ "\n]* [^ "\n]* ([^ "\n]*):\d+(?: [^ "\n]*){4} ([^ "\n]*)'
    REST = rb'(?: [^ "\n]*){3} "[^ "\n]* (?:\w+://[^/ "\n]*)?((?:[^\\? "\n]|\\.)*)'
    AGENT = rb'(?:[^\\"\n]|\\.)*" "((?:[^\\"\n]|\\.)*)"'
    METHOD = re.compile(rb'"([^ "]*) ')

    def __init__(self, needed: Collection[str]):
        super().__init__(needed)
        self.pattern = re.compile(self.HEAD + self.REST)
        self.columns = ("minute", "address", "status", "uri")
        self.whole = re.compile(self.HEAD + self.REST + self.AGENT)

    def detail(self, line: bytes) -> dict[str, str] | None:
        match = self.whole.match(b"\n" + line)
        method = self.METHOD.search(line)
        if match is None or method is None:
            return None
        _, address, status, uri, agent = map(shown, match.groups())
        return {
            "address": address,
            "time": shown(line.split(b" ", 2)[1]),
            "method": shown(method[1]),
            "uri": uri,
            "status": status,
            "agent": agent,
        }


class JsonParser(Parser):
    """One JSON object a line: AWS WAF's logs, and CloudFront's standard logs of version 2.

    Of a web ACL that protects several resources, ``source`` keeps the records of one: what their
    ``httpSourceId`` ends with. Others are read and left out.
    """

    def __init__(self, needed: Collection[str], source: str | None = None):
        super().__init__(needed)
        self.source = source

    def lines_and_rows(self, block: bytes) -> tuple[list[bytes], list[Row]]:
        lines: list[bytes] = []
        rows: list[Row] = []
        for line in block.split(b"\n")[1:]:
            self.lines += 1
            values = self.read(line)
            if values is None:
                self.bad += 1
            elif self.source is None or values["source"].endswith(self.source):
                lines.append(line)
                rows.append(tuple(values[name].encode(errors="replace") for name in self.columns))
        return lines, rows

    def detail(self, line: bytes) -> dict[str, str] | None:
        values = self.read(line)
        if values is None:
            return None
        return {key: shown(values[key].encode(errors="replace")) for key in ("time", *DETAIL)}

    def read(self, line: bytes) -> dict[str, str] | None:
        """What a record says, or None where it lacks something or is no record."""
        try:
            record = json.loads(line)
            return of_waf(record) if "httpRequest" in record else of_cloudfront(record)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return None


def of_waf(record: dict[str, Any]) -> dict[str, str]:
    """A record of AWS WAF. What it blocked is an error 403, whatever else it sent."""
    request = record["httpRequest"]
    headers = {each["name"].lower(): each["value"] for each in request.get("headers", ())}
    sent = record.get("responseCodeSent") or ("403" if record.get("action") == "BLOCK" else "-")
    at = datetime.fromtimestamp(record["timestamp"] / 1000, timezone.utc).isoformat()
    return texts(
        minute=at[:16],
        time=at,
        address=request["clientIp"],
        status=str(sent),
        uri=request.get("uri", "-"),
        method=request.get("httpMethod", "-"),
        agent=headers.get("user-agent", "-"),
        forwarded=headers.get("x-forwarded-for", "-"),
        source=record.get("httpSourceId", "-"),
    )


def of_cloudfront(record: dict[str, Any]) -> dict[str, str]:
    """A record of CloudFront's standard logs of version 2, as JSON."""
    at = f"{record['date']}T{record['time']}"
    return texts(
        minute=at[:16],
        time=at,
        address=record["c-ip"],
        status=str(record.get("sc-status", "-")),
        uri=record.get("cs-uri-stem", "-"),
        method=record.get("cs-method", "-"),
        agent=record.get("cs(User-Agent)", "-"),
        forwarded=record.get("x-forwarded-for", "-"),
        source=record.get("DistributionId", "-"),
    )


def texts(**values: str) -> dict[str, str]:
    """The values, of which each must be a text."""
    if not all(isinstance(value, str) for value in values.values()):
        raise TypeError("a field of the record is no text")
    return values


def parser_of(first: bytes, needed: Collection[str], source: str | None = None) -> Parser:
    """The parser for a file, by its first block."""
    start = first.lstrip()[:1]
    if start == b"#":
        return W3CParser(needed)
    if start == b"{":
        return JsonParser(needed, source)
    return LoadBalancerParser(needed)


SHOWN = 200


def shown(raw: bytes) -> str:
    """What a client sent, as data: bounded, and without a character that is not printable."""
    text = raw[:SHOWN].decode("utf-8", "backslashreplace")
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )[:SHOWN]
