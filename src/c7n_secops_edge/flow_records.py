"""VPC flow log records: text in any order of fields, told by a file's header or the flow log."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from c7n_secops_edge.addresses import packed

VERSION_2 = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes "
    "start end action log-status"
)
"""The fields of the default format."""

NEEDED = ("interface-id", "srcaddr", "dstaddr", "dstport", "start", "action")
NAME = re.compile(r"\$?\{?([a-z0-9-]{1,64})\}?")
DIRECTIONS = {b"ingress": "ingress", b"egress": "egress"}


class Denied(NamedTuple):
    """What one record says of denied traffic; ``number`` records where they were summed.

    ``direction`` is None where the format does not have it. Times are seconds since 1970.
    """

    interface: str
    source: str
    destination: str
    port: int
    direction: str | None
    first: int
    last: int
    number: int = 1


def fields_of(text: str) -> list[str]:
    """The fields that a header line, or the format of a flow log (``${start} …``), names.

    None where something else stands between them, which could be a field too.
    """
    found = [NAME.fullmatch(word) for word in text.split()]
    return [match[1] for match in found if match] if all(found) else []


def lacking(fields: Collection[str]) -> list[str]:
    """The fields without which a format does not say who was denied what."""
    return [name for name in NEEDED if name not in fields]


class FlowParser:
    """Denied traffic of the interfaces that are asked for, since a time.

    ``lines`` and ``bad`` count; ``mentioned`` are the interfaces of which there is any record, and
    ``skipped`` those of which AWS says that it did not keep all (SKIPDATA).
    """

    def __init__(self, fields: Sequence[str], interfaces: Collection[str], since: int):
        self.number, self.since = len(fields), since
        self.at = {name: number for number, name in enumerate(fields)}
        self.interfaces = {name.encode(): name for name in interfaces}
        self.lines = self.bad = 0
        self.mentioned: set[str] = set()
        self.skipped: set[str] = set()

    def denied(self, lines: Iterable[bytes]) -> Iterator[Denied]:
        """What the lines say of denied traffic. Lines are hostile: each is valid or bad."""
        at, interfaces = self.at, self.interfaces
        interface_at, action_at = at["interface-id"], at["action"]
        status_at = at.get("log-status", action_at)
        for line in lines:
            self.lines += 1
            values = line.split(b" ")
            if len(values) != self.number:
                self.bad += 1
                continue
            interface = interfaces.get(values[interface_at])
            if interface is None:
                continue
            self.mentioned.add(interface)
            if values[status_at] == b"SKIPDATA":
                self.skipped.add(interface)
            elif values[action_at] == b"REJECT":
                record = self.record(interface, values)
                if record is None:
                    self.bad += 1
                elif record.first >= self.since:
                    yield record

    def record(self, interface: str, values: Sequence[bytes]) -> Denied | None:
        """A record of denied traffic; None where a value is not what its field has."""
        at = self.at
        source, destination = values[at["srcaddr"]], values[at["dstaddr"]]
        if packed(source) is None or packed(destination) is None:
            return None
        port, start = whole(values[at["dstport"]], 65535), whole(values[at["start"]], 1 << 40)
        if port is None or start is None:
            return None
        direction = DIRECTIONS.get(values[at["flow-direction"]]) if "flow-direction" in at else None
        return Denied(
            interface, source.decode(), destination.decode(), port, direction, start, start
        )


def whole(raw: bytes, most: int) -> int | None:
    """A number that is not negative and not above ``most``."""
    if not raw.isdigit() or len(raw) > 13:
        return None
    number = int(raw)
    return number if number <= most else None
