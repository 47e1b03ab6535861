"""What SQL answers, turned into the counters that offenders are found in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from c7n_secops_edge.flood import Analysis, conclude, find
from c7n_secops_edge.flood_counts import Counts
from c7n_secops_edge.flood_options import Options
from c7n_secops_edge.flood_sql import own_columns
from c7n_secops_edge.logs.extent import Logs

Rows = Iterable[Mapping[str, Any]]


def concluded(options: Options, counts: Rows, paths: Rows, minutes: Rows, read: Logs) -> Analysis:
    """The analysis of the answers to :class:`c7n_secops_edge.flood_sql.Queries`."""
    found = Counts(options)
    for row in counts:
        client = found.clients[row["client"].encode()]
        if client is None:
            read.bad_lines += int(row["requests"])
            continue
        minute = minute_of(row["minute"])
        found.requests[minute][client] += int(row["requests"])
        for name in own_columns(options):
            rule = options.rules[int(name.removeprefix("rule_"))]
            if not rule.distinct and int(row[name]):
                found.errors[rule.name][minute][client] += int(row[name])
    for row in paths:
        rule = options.rules[int(row["scan"])]
        client = found.clients[row["client"].encode()]
        kept = found.paths[rule.name][minute_of(row["minute"])]
        if client is not None and len(kept[client]) < rule.threshold:
            kept[client].add(row["uri"].encode())
    totals = Counter({minute_of(row["minute"]): int(row["requests"]) for row in minutes})
    return conclude(found, find(found, options), read, {}, totals)


def minute_of(value: Any) -> int:
    """Minutes since 1970 of a timestamp in UTC, as an engine gives it."""
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value[:19])
    return int(at.replace(tzinfo=timezone.utc).timestamp()) // 60
