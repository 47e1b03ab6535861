"""What a rate-based rule would have blocked, as far as logs can tell.

AWS says that WAF looks back over the evaluation window about every 10 seconds, that its estimate
gives more weight to recent requests, and that it notices a rate late, usually by less than 30
seconds, both when it rises and when it falls. So there is no one answer. The model: a request at
second ``s`` is blocked where its address had more than ``limit`` requests in the window that ended
``lag`` seconds before ``s``, for each of :data:`LAGS`. At once is the most that a rule could block
of the start of a burst; half a minute late, a burst that is shorter passes whole. Requests that are
blocked count as well. Addresses are counted one by one, IPv6 too, as the connection has them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple

from c7n_secops_edge.addresses import Clients, Grouping, cidr
from c7n_secops_edge.flood import count_file, history
from c7n_secops_edge.flood_counts import Counts, Minutes
from c7n_secops_edge.flood_options import Options
from c7n_secops_edge.logs.extent import Logs
from c7n_secops_edge.logs.files import UNREADABLE, LogFile, TruncatedError, read_ahead
from c7n_secops_edge.logs.formats import Parser, parser_of
from c7n_secops_edge.windows import peak

LAGS = (0, 10, 30)
"""Seconds after which WAF notices a rate."""
BUSIEST = 10
"""How many addresses are shown besides those that would be blocked, the busiest of the others."""
SECONDS = re.compile(rb":([0-5]\d)", re.ASCII)
WHOLE = Options(rules=(), grouping=Grouping(32, 128))

Progress = Callable[[LogFile], None]


class RateRule(NamedTuple):
    """More than ``limit`` requests of one address in ``window`` seconds are too many."""

    limit: int
    window: int

    @property
    def minutes(self) -> int:
        """The fewest minutes that surely hold a window."""
        return -(-self.window // 60) + 1


class Limited(NamedTuple):
    """One address: ``most`` is its number of requests in the window with the most.

    ``first`` is when it was over the limit first, None if never; ``blocked`` how many of its
    requests would have been blocked, for each lag.
    """

    address: str
    requests: int
    most: int
    first: datetime | None
    blocked: tuple[int, ...]


@dataclass
class RateReplay:
    """The answer: the addresses over the limit, then the busiest of the others.

    ``minutes`` are the requests of each minute since 1970 that would have been blocked at once.
    """

    rule: RateRule
    rows: list[Limited]
    addresses: int
    requests: int
    minutes: Counter[int]

    @property
    def over(self) -> list[Limited]:
        """The addresses that were over the limit."""
        return [row for row in self.rows if row.first is not None]

    @property
    def blocked(self) -> tuple[int, ...]:
        """How many requests would have been blocked, for each lag."""
        return tuple(sum(row.blocked[number] for row in self.rows) for number in range(len(LAGS)))


def replay(files: Sequence[LogFile], rule: RateRule, progress: Progress) -> RateReplay:
    """Replay a rate-based rule over all files together; reads them twice."""
    counts, read = Counts(WHOLE), Logs()
    for file, blocks in read_ahead(files):
        count_file(file, blocks, counts, read, None)
        progress(file)
    totals: Counter[bytes] = Counter()
    for by_client in counts.requests.values():
        totals.update(by_client)
    suspects = _suspects(counts, totals, rule)
    seconds: defaultdict[bytes, Counter[int]] = defaultdict(Counter)
    for file, blocks in read_ahead(files):
        for client, second in _requests(blocks, suspects):
            seconds[client][second] += 1
        progress(file)
    minutes: Counter[int] = Counter()
    rows = [_limited(client, seen, rule, minutes) for client, seen in seconds.items()]
    rows.sort(key=lambda row: (-max(row.blocked), -row.most, row.address))
    over = [row for row in rows if row.first is not None]
    others = [row for row in rows if row.first is None][:BUSIEST]
    return RateReplay(rule, over + others, len(totals), totals.total(), minutes)


def _suspects(counts: Counts, totals: Counter[bytes], rule: RateRule) -> set[bytes]:
    """Those that may be over the limit, by their minutes, and the busiest."""
    many = {client for client, total in totals.items() if total > rule.limit}
    may_be_over = {
        client
        for client, seen in history(counts.requests, many).items()
        if peak(seen, rule.minutes, rule.limit + 1, distinct=False)
    }
    return may_be_over | set(map(itemgetter(0), totals.most_common(BUSIEST + len(may_be_over))))


def _requests(blocks: Iterator[bytes], clients: set[bytes]) -> Iterator[tuple[bytes, int]]:
    """The client and the second of each request of these clients in one file."""
    parser = None
    known, minutes = Clients(WHOLE.grouping), Minutes()
    try:
        for block in blocks:
            if parser is None:
                parser = parser_of(block, {"minute", "address"})
            for line, values in parser.with_lines(block):
                client = known[values["address"]]
                if client is None or client not in clients:
                    continue
                second = _second(line, values["minute"], minutes) or _detailed(parser, line)
                if second is not None:
                    yield client, second
    except (TruncatedError, *UNREADABLE):
        return  # analyse read the file before, and reports it


def _second(line: bytes, minute: bytes, minutes: Minutes) -> int | None:
    """The second, where it follows the minute as the line writes it: the quick way."""
    since_1970 = minutes[minute]
    found = SECONDS.match(line, line.find(minute) + len(minute)) if minute in line else None
    return since_1970 * 60 + int(found[1]) if found and since_1970 is not None else None


def _detailed(parser: Parser, line: bytes) -> int | None:
    detail = parser.detail(line)
    try:
        at = datetime.fromisoformat(detail["time"][:19]) if detail else None
    except ValueError:
        return None
    return int(at.replace(tzinfo=timezone.utc).timestamp()) if at else None


def _limited(client: bytes, seen: Counter[int], rule: RateRule, minutes: Counter[int]) -> Limited:
    """Slide the window over one address's seconds; adds to ``minutes`` what is blocked at once."""
    times = sorted(seen)
    until = [0, *accumulate(seen[time] for time in times)]

    def within(end: int) -> int:
        """How many requests there were in the window that ends with this second."""
        return until[bisect_right(times, end)] - until[bisect_right(times, end - rule.window)]

    most, first, blocked = 0, None, [0] * len(LAGS)
    for time in times:
        now = within(time)
        most = max(most, now)
        if now > rule.limit and first is None:
            first = datetime.fromtimestamp(time, timezone.utc)
        for number, lag in enumerate(LAGS):
            beyond = within(time - lag) - rule.limit
            stopped = min(seen[time], beyond) if lag == 0 else seen[time]
            if beyond > 0:
                blocked[number] += stopped
                if lag == 0:
                    minutes[time // 60] += stopped
    return Limited(cidr(client, len(client) * 8), until[-1], most, first, tuple(blocked))
