"""Floods in access logs: which clients sent too much, when, and how it looked.

:func:`analyse` needs no AWS. It takes log files, from S3 or from a local folder
(:func:`c7n_secops_edge.logs.files.local_files`), and the options of an ``http-flood`` filter::

    options = Options.of({"rules": [{"name": "flood", "metric": "requests",
                                     "threshold": 2000, "window": 5}]})
    analysis = analyse(local_files(Path("logs")), options, progress=lambda file: bar.advance(...))
    analysis.offenders              # [{"address": "192.0.2.7/32", "rule": "flood", …}], worst first
    analysis.logs                   # {"files": 3, "bytes": …, "lines": …, "badLines": 0, …}
    analysis.traffic("E2QWRUH")     # what the filter writes to traffic.json for one resource

All files are one stream of requests: what a client does is counted over all of them together, by
the minute in the line, whatever the order of the lines. The formats are told by their content:
CloudFront's standard logs (W3C with any order of fields, and JSON), an Application Load Balancer's
and AWS WAF's, each with or without gzip.

An offender is::

    {"address": "192.0.2.7/32", "rule": "flood", "metric": "requests",
     "count": 2431,                  # of the rule's metric, in the window with the most
     "requests": 2431,               # of any kind, in the same window
     "windowStart": "2026-01-31T12:03Z", "windowEnd": "2026-01-31T12:08Z",
     "firstOver": "2026-01-31T12:05Z",  # the first minute at whose end the rule was met
     "lastOver": "2026-01-31T12:09Z",
     "firstSeen": "2026-01-31T12:01Z", "lastSeen": "2026-01-31T12:11Z",
     "hosts": 1,                     # clients in that window; many where a network was widened to
     "samples": [{"time": …, "method": …, "uri": …, "status": …, "agent": …, "address": …}]}

Times are UTC minutes; ``windowEnd`` is the first minute after the window.
"""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from c7n_secops_edge.addresses import cidr
from c7n_secops_edge.flood_counts import Counts, Hosts, Measure, moment
from c7n_secops_edge.flood_options import Options, Rule, Widening
from c7n_secops_edge.logs.extent import Logs, noted
from c7n_secops_edge.logs.files import (
    UNREADABLE,
    LogFile,
    TruncatedError,
    blocks,
    content_of,
    read_ahead,
)
from c7n_secops_edge.logs.formats import Parser, parser_of
from c7n_secops_edge.windows import Peak, Seen, peak

SAMPLED_BYTES = 8 << 20
"""How much at most is read a second time, for samples of what offenders sent."""

log = logging.getLogger("custodian.c7n_secops.http_flood")
Progress = Callable[[LogFile], None]


@dataclass(frozen=True)
class Offence:
    """A client, or a network, and the window in which it did most against one rule."""

    rule: Rule
    network: bytes
    bits: int
    clients: frozenset[bytes]
    peak: Peak


@dataclass
class Analysis:
    """The answer; see the module for its shapes."""

    offenders: list[dict[str, Any]]
    read: Logs
    minutes: list[dict[str, Any]]

    @property
    def logs(self) -> dict[str, Any]:
        """What was read, as an annotation has it."""
        return {
            "files": self.read.files,
            "bytes": self.read.bytes,
            "lines": self.read.lines,
            "badLines": self.read.bad_lines,
            "unattributed": self.read.unattributed,
            "truncated": sorted(self.read.truncated),
            "unreadable": sorted(self.read.unreadable),
            "from": self.minutes[0]["minute"] if self.minutes else None,
            "to": self.minutes[-1]["minute"] if self.minutes else None,
        }

    def traffic(self, resource: str) -> dict[str, Any]:
        """One resource's entry of ``traffic.json``: requests of each minute, and of offenders.

        ``{"resource": id, "minutes": [{"minute": "2026-01-31T12:00Z", "requests": n,
        "offenders": n}], "offenders": [{"address", "rule", "count"}], "logs": {…}}``. A minute
        without a request has no entry; requests that ``uri-ignore`` ignores are not in it.
        """
        brief = [
            {key: each[key] for key in ("address", "rule", "count")} for each in self.offenders
        ]
        return {
            "resource": resource,
            "minutes": self.minutes,
            "offenders": brief,
            "logs": self.logs,
        }


def analyse(
    files: Sequence[LogFile],
    options: Options,
    *,
    source: str | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Find the offenders in these files. Never raises for what a file holds, or lacks.

    ``source`` keeps, of a web ACL's log, what concerns one resource (``httpSourceId``).
    ``progress`` is told of each file that was read.
    """
    read, counts = Logs(), Counts(options)
    minutes_of: dict[int, set[int]] = {}
    with without_collection():
        for number, (file, content) in enumerate(read_ahead(files)):
            minutes_of[number] = count_file(file, content, counts, read, source)
            if progress is not None:
                progress(file)
        read.bad_lines += counts.bad
        read.unattributed = counts.unattributed
        offences = find(counts, options)
        samples = sampled(files, minutes_of, offences, counts, source)
    return conclude(counts, offences, read, samples)


@contextmanager
def without_collection() -> Iterator[None]:
    """No cyclic garbage collection inside: rows make none, but millions of tuples trigger it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def count_file(
    file: LogFile, content: Iterator[bytes], counts: Counts, read: Logs, source: str | None
) -> set[int]:
    """Count one file's lines; returns the minutes that they are of."""
    minutes: set[int] = set()
    parser: Parser | None = None
    read.files += 1
    read.bytes += file.size
    with noted(file, read):
        for block in content:
            if parser is None:
                parser = parser_of(block, counts.options.needed(), source)
            rows = parser.rows(block)
            minutes |= counts.add(parser.columns, rows)
    if parser is not None:
        read.lines += parser.lines
        read.bad_lines += parser.bad
    return minutes


def find(counts: Counts, options: Options) -> list[Offence]:
    """Every offence against every rule: of clients first, then of networks."""
    found = []
    hosts = counts.hosts(options.widening.bits) if options.widening is not None else {}
    for rule in options.rules:
        found += offences_against(rule, counts.of(rule), hosts, options)
    return found


def offences_against(rule: Rule, measure: Measure, hosts: Hosts, options: Options) -> list[Offence]:
    """The clients that reach a rule's threshold, and the networks that do without them."""
    found = []
    for client, seen in history(measure, suspects(rule, measure)).items():
        worst = peak(seen, rule.window, rule.threshold, rule.distinct)
        if worst is not None:
            bits = options.grouping.bits(client)
            found.append(Offence(rule, client, bits, frozenset((client,)), worst))
    if options.widening is not None:
        alone = {offence.network for offence in found}
        found += networks(rule, measure, hosts, alone, options.widening)
    return found


def suspects(rule: Rule, measure: Measure) -> set[bytes]:
    """The clients that may reach a threshold.

    Whoever reaches it within a window does its part of it in one of the window's minutes.
    """
    part = -(-rule.threshold // rule.window)
    if rule.distinct:
        return {
            client
            for by_client in measure.values()
            for client, amount in by_client.items()
            if len(amount) >= part
        }
    return {
        client
        for by_client in measure.values()
        for client, amount in by_client.items()
        if amount >= part
    }


def networks(
    rule: Rule, measure: Measure, hosts: Hosts, alone: set[bytes], widening: Widening
) -> list[Offence]:
    """IPv4 networks of which many clients reach the threshold only together.

    ``alone`` are those who reach it without others: nobody is blocked for such a neighbour.
    """
    found = []
    for network, everyone in hosts.items():
        if len(everyone) < widening.min_hosts:
            continue
        clients = [client for client in everyone if client not in alone]
        seen = [each for own in history(measure, clients).values() for each in own]
        worst = peak(seen, rule.window, rule.threshold, rule.distinct, widening.min_hosts)
        if worst is not None:
            found.append(Offence(rule, network, widening.bits, frozenset(clients), worst))
    return found


def history(measure: Measure, clients: Iterable[bytes]) -> dict[bytes, list[Seen]]:
    """What each of the clients did in each minute."""
    found: dict[bytes, list[Seen]] = {client: [] for client in clients}
    for minute, by_client in measure.items():
        for client in found.keys() & by_client.keys():
            found[client].append(Seen(minute, client, by_client[client]))
    return found


Samples = Mapping[bytes, list[dict[str, str]]]


def sampled(
    files: Sequence[LogFile],
    minutes_of: Mapping[int, set[int]],
    offences: Sequence[Offence],
    counts: Counts,
    source: str | None,
) -> Samples:
    """Some lines of each offence, by network, from a second look at a few of the files.

    Those files come first that most offences' windows are in for their size, until each offence
    has its samples or ``SAMPLED_BYTES`` are read: an offence may end without any.
    """
    found: dict[bytes, list[dict[str, str]]] = {offence.network: [] for offence in offences}
    most = counts.options.samples
    wanting = list(offences) if most else []
    left, budget = dict(minutes_of), SAMPLED_BYTES
    while wanting and budget > 0:
        minutes = Counter(minute for offence in wanting for minute in window_of(offence))
        worth = {
            number: sum(minutes[minute] for minute in held) / (files[number].size + 1)
            for number, held in left.items()
        }
        best = max(worth, key=worth.__getitem__, default=None)
        if best is None or not worth[best]:
            break
        del left[best]
        budget -= take_samples(files[best], budget, wanting, found, counts, source)
        wanting = [each for each in wanting if len(found[each.network]) < most]
    return found


def window_of(offence: Offence) -> range:
    return range(offence.peak.start, offence.peak.start + offence.rule.window)


def take_samples(
    file: LogFile,
    budget: int,
    wanting: Sequence[Offence],
    found: dict[bytes, list[dict[str, str]]],
    counts: Counts,
    source: str | None,
) -> int:
    """Add what a file has of the offences that want samples; returns how much of it was read."""
    network_of = {client: each.network for each in wanting for client in each.clients}
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for piece in file.open():
            taken += len(piece)
            yield piece

    parser: Parser | None = None
    most = counts.options.samples
    try:
        for block in blocks(content_of(replace(file, open=pieces))):
            if parser is None:
                parser = parser_of(block, counts.options.needed(), source)
            lines, rows = parser.lines_and_rows(block)
            clients = counts.clients_in(parser.columns, rows)
            for line, client in zip(lines, clients, strict=True):
                network = network_of.get(client)
                if network is None or len(found[network]) >= most:
                    continue
                detail = parser.detail(line)
                if detail is not None:
                    found[network].append(detail)
            if taken >= budget or all(len(found[each.network]) >= most for each in wanting):
                break
    except (TruncatedError, *UNREADABLE) as error:
        log.debug("no more samples from log file %s: %s", file.name, error)
    return taken


def conclude(
    counts: Counts,
    offences: Sequence[Offence],
    read: Logs,
    samples: Samples,
    totals: Mapping[int, int] | None = None,
) -> Analysis:
    """Put counters, offences and samples into words.

    ``totals`` are the requests of each minute, where the counters hold only those of suspects.
    """
    if totals is None:
        totals = {minute: sum(counted.values()) for minute, counted in counts.requests.items()}
    guilty = {client for offence in offences for client in offence.clients}
    minutes = [
        {
            "minute": moment(minute),
            "requests": total,
            "offenders": sum(
                counts.requests[minute][client]
                for client in guilty & counts.requests[minute].keys()
            ),
        }
        for minute, total in sorted(totals.items())
    ]
    active = history(counts.requests, guilty)
    offenders = [
        described(offence, active, samples.get(offence.network, []))
        for offence in sorted(offences, key=lambda each: (-each.peak.total, each.network))
    ]
    return Analysis(offenders, read, minutes)


def described(
    offence: Offence, active: Mapping[bytes, list[Seen]], samples: list[dict[str, str]]
) -> dict[str, Any]:
    """One offender, as an annotation has it."""
    seen = [each for client in offence.clients for each in active[client]]
    window = window_of(offence)
    return {
        "address": cidr(offence.network, offence.bits),
        "rule": offence.rule.name,
        "metric": offence.rule.metric,
        "count": offence.peak.total,
        "requests": sum(each.amount for each in seen if each.minute in window),
        "windowStart": moment(window.start),
        "windowEnd": moment(window.stop),
        "firstOver": moment(offence.peak.first_over),
        "lastOver": moment(offence.peak.last_over),
        "firstSeen": moment(min(each.minute for each in seen)),
        "lastSeen": moment(max(each.minute for each in seen)),
        "hosts": offence.peak.hosts,
        "samples": samples,
    }
