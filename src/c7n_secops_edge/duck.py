"""DuckDB, embedded: Parquet files, and the rows of an answer. Extra ``logs``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c7n.exceptions import PolicyExecutionError

from c7n_secops_edge.logs.files import LogFile

if TYPE_CHECKING:
    import duckdb

SUFFIX = ".parquet"


def connection() -> duckdb.DuckDBPyConnection:
    """A database in memory that reads no extension and no configuration from outside."""
    try:
        import duckdb
    except ImportError as error:
        raise PolicyExecutionError(
            "engine duckdb, which Parquet logs need, is not installed: "
            "pip install 'c7n-secops[logs]'"
        ) from error
    return duckdb.connect(config={"autoinstall_known_extensions": "false"})


def text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def parquet_table(file: LogFile, copy: Path) -> str:
    """One Parquet file as a table, copied to a local disk where it is elsewhere.

    Raises one of UNREADABLE.
    """
    path = file.path
    if path is None:
        path = copy
        with path.open("wb") as stream:
            stream.writelines(file.open())
    return f"read_parquet({text(path)})"


def answered(database: duckdb.DuckDBPyConnection, text: str) -> Iterator[dict[str, Any]]:
    """The rows of an answer."""
    cursor = database.cursor().execute(text)
    names = [column[0] for column in cursor.description or ()]
    while rows := cursor.fetchmany(10_000):
        yield from (dict(zip(names, row, strict=True)) for row in rows)
