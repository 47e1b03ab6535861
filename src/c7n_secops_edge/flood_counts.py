"""What each client did within each minute: exact counters, in as little time as Python allows.

The loops over lines are C's own (findall, zip, map, Counter): see ``flood-throughput``.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from itertools import compress, groupby, repeat
from operator import itemgetter
from typing import Any

from c7n_secops_edge.addresses import Clients, ForwardedClients, masked
from c7n_secops_edge.flood_options import Options, Rule

MINUTE = re.compile(rb"(\d{4}-\d\d-\d\d)[\tT ](\d\d:\d\d)", re.ASCII)
MINUTES_REMEMBERED = 1 << 16


class Minutes(dict[bytes, "int | None"]):
    """From a minute as a log writes it to minutes since 1970; None where it is none."""

    def __missing__(self, raw: bytes) -> int | None:
        if len(self) >= MINUTES_REMEMBERED:
            self.clear()
        self[raw] = found = minute_of(raw)
        return found


def minute_of(raw: bytes) -> int | None:
    """Minutes since 1970 of ``2026-01-31T12:00`` in UTC."""
    match = MINUTE.fullmatch(raw)
    if match is None:
        return None
    try:
        at = datetime.fromisoformat(f"{match[1].decode()}T{match[2].decode()}+00:00")
    except ValueError:
        return None
    return int(at.timestamp()) // 60


def moment(minute: int) -> str:
    """A minute as people write it."""
    at = datetime.fromtimestamp(minute * 60, timezone.utc)
    return at.isoformat(timespec="minutes").replace("+00:00", "Z")


Measure = Mapping[int, Mapping[bytes, Any]]
Hosts = Mapping[bytes, list[bytes]]


class Counts:
    """Requests of each client by minute, and for each rule of another metric what it counts.

    ``bad`` are rows without a valid time or address; ``unattributed`` those that only trusted
    proxies, or hops that are no addresses, had a hand in.
    """

    def __init__(self, options: Options):
        self.options = options
        self.requests: defaultdict[int, Counter[bytes]] = defaultdict(Counter)
        self.errors: dict[str, defaultdict[int, Counter[bytes]]] = {}
        self.paths: dict[str, defaultdict[int, defaultdict[bytes, set[bytes]]]] = {}
        self.bad = 0
        self.unattributed = 0
        self.minutes = Minutes()
        self.clients: Any = Clients(options.grouping)
        if options.trusted is not None:
            self.clients = ForwardedClients(options.grouping, options.trusted)
        for rule in options.rules:
            if rule.distinct:
                self.paths[rule.name] = defaultdict(lambda: defaultdict(set))
            elif rule.metric == "errors":
                self.errors[rule.name] = defaultdict(Counter)

    def of(self, rule: Rule) -> Measure:
        """What a rule counts, by minute and client."""
        if rule.distinct:
            return self.paths[rule.name]
        return self.errors[rule.name] if rule.metric == "errors" else self.requests

    def add(self, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> set[int]:
        """Count rows, whose values stand as ``columns`` say; returns their minutes."""
        if not rows:
            return set()
        by_minute = itemgetter(columns.index("minute"))
        values = dict(zip(columns, zip(*rows, strict=True), strict=True))
        first = values["minute"][0]
        if values["minute"].count(first) == len(rows):
            return self.add_minute(first, values)
        rows.sort(key=by_minute)
        found: set[int] = set()
        for raw, run in groupby(rows, by_minute):
            found |= self.add_minute(raw, dict(zip(columns, zip(*run, strict=True), strict=True)))
        return found

    def add_minute(self, raw: bytes, values: Mapping[str, Sequence[Any]]) -> set[int]:
        """Count rows of one minute."""
        minute = self.minutes[raw]
        if minute is None:
            self.bad += len(values["minute"])
            return set()
        clients = self.clients_of(values["address"], values.get("forwarded"))
        statuses, uris = values.get("status", ()), values.get("uri", ())
        if self.clients.clientless and None in clients:
            clients, statuses, uris = self.attributed(clients, statuses, uris)
        if self.options.ignore:
            wanted = [not self.options.ignore.match(uri) for uri in uris]
            clients = list(compress(clients, wanted))
            statuses, uris = tuple(compress(statuses, wanted)), tuple(compress(uris, wanted))
        self.requests[minute].update(clients)
        for rule in self.options.rules:
            if rule.name in self.errors:
                wrong = map(rule.statuses.__contains__, statuses)
                self.errors[rule.name][minute].update(compress(clients, wrong))
            elif rule.name in self.paths:
                self.add_paths(rule, self.paths[rule.name][minute], clients, uris)
        return {minute}

    def clients_of(
        self, addresses: Sequence[bytes], forwarded: Sequence[bytes] | None
    ) -> list[Any]:
        """The clients of rows; None for one that has none."""
        if self.options.trusted is None:
            return list(map(self.clients.__getitem__, addresses))
        hops = zip(addresses, forwarded or repeat(b"-"), strict=False)
        return list(map(self.clients.__getitem__, hops))

    def clients_in(self, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The clients of rows whose values stand as ``columns`` say."""
        if not rows:
            return []
        values = dict(zip(columns, zip(*rows, strict=True), strict=True))
        return self.clients_of(values["address"], values.get("forwarded"))

    def hosts(self, bits: int) -> Hosts:
        """Every IPv4 client that was counted, by its network."""
        everyone = set(self.clients.values())
        if self.clients.forgotten:
            everyone = set().union(*self.requests.values())
        found: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for client in everyone:
            if client is not None and len(client) == 4:
                found[masked(client, bits)].append(client)
        return found

    def attributed(
        self, clients: list[Any], statuses: Sequence[bytes], uris: Sequence[bytes]
    ) -> tuple[list[bytes], Sequence[bytes], Sequence[bytes]]:
        """The rows that have a client; the others are counted."""
        known = [client is not None for client in clients]
        number = known.count(False)
        if self.options.trusted is None:
            self.bad += number
        else:
            self.unattributed += number
        return (
            list(compress(clients, known)),
            tuple(compress(statuses, known)),
            tuple(compress(uris, known)),
        )

    @staticmethod
    def add_paths(
        rule: Rule,
        paths: defaultdict[bytes, set[bytes]],
        clients: Sequence[bytes],
        uris: Sequence[bytes],
    ) -> None:
        """Keep each client's different paths, of which more than the threshold say nothing new."""
        for client, uri in zip(clients, uris, strict=True):
            if rule.uris.match(uri) and len(paths[client]) < rule.threshold:
                paths[client].add(uri)
