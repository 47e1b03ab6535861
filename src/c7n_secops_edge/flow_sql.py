"""One text of ANSI SQL for DuckDB and Athena: denied traffic, added up where the records are.

Columns are named as in the tables that the Athena documentation makes for flow logs, and as in
their Parquet files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from c7n_secops_edge.addresses import packed
from c7n_secops_edge.flow_records import DIRECTIONS, NEEDED, Denied, whole

DIRECTION, STATUS = "flow_direction", "log_status"
COLUMNS = (*(name.replace("-", "_") for name in NEEDED), STATUS)


def denied(table: str, interfaces: Iterable[str], since: int, columns: Collection[str] = ()) -> str:
    """The text that adds up what was denied; ``columns`` are what a table is known to have."""
    direction = DIRECTION if DIRECTION in columns else "NULL"
    return (
        f"SELECT interface_id, srcaddr, dstaddr, dstport, {direction} AS direction, "
        f'count(*) AS denies, min("start") AS first_start, max("start") AS last_start FROM {table} '
        f"WHERE {seen(interfaces, since)} AND action = 'REJECT' GROUP BY 1, 2, 3, 4, 5"
    )


def mentioned(table: str, interfaces: Iterable[str], since: int) -> str:
    """The text that says of which interfaces there are records, and whether some are missing."""
    return (
        f"SELECT interface_id, count(*) AS lines, "
        f"max(CASE WHEN {STATUS} = 'SKIPDATA' THEN 1 ELSE 0 END) AS skipped "
        f"FROM {table} WHERE {seen(interfaces, since)} GROUP BY 1"
    )


def seen(interfaces: Iterable[str], since: int) -> str:
    names = ", ".join(f"'{name}'" for name in sorted(interfaces))
    return f'interface_id IN ({names}) AND "start" >= {since}'


def records(rows: Iterable[Mapping[str, Any]]) -> Iterator[Denied | int]:
    """The answer of :func:`denied` as records; a number of rows that say nothing as a number."""
    for row in rows:
        source, destination = str(row["srcaddr"]).encode(), str(row["dstaddr"]).encode()
        port = whole(str(row["dstport"]).encode(), 65535)
        number = int(row["denies"])
        if packed(source) is None or packed(destination) is None or port is None:
            yield number
            continue
        yield Denied(
            str(row["interface_id"]),
            source.decode(),
            destination.decode(),
            port,
            DIRECTIONS.get(str(row["direction"]).encode()),
            int(row["first_start"]),
            int(row["last_start"]),
            number,
        )
