"""The local store: Parquet files in a folder, written and asked with DuckDB.

A file holds a batch of records and is never changed. A record that comes again, or in a newer
version, is in a further file; the view ``findings`` shows each finding once, in its newest version.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from c7n_secops_findings.record import Finding, schema
from c7n_secops_findings.sinks import keys

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FOLDER = "findings"
LONGEST_LINE = 2**26
TYPES = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}


def engine() -> ModuleType:
    """DuckDB's module; RuntimeError where it is not installed."""
    try:
        import duckdb
    except ModuleNotFoundError as missing:
        raise RuntimeError(
            "the local store of findings needs duckdb: pip install 'c7n-secops[findings]'"
        ) from missing
    return duckdb


def open_store(*folders: Path) -> DuckDBPyConnection:
    """A connection with the view ``findings`` over every store below these folders.

    Its columns are the fields of the record; where there is no store it is empty.
    """
    connection: DuckDBPyConnection = engine().connect()
    found = [
        str(file)
        for folder in folders
        for file in sorted(folder.glob(f"**/{FOLDER}/dt=*/*.parquet"))
    ]
    if found:
        connection.read_parquet(found, hive_partitioning=False).create_view("stored")
    else:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in columns_of_schema().items())
        connection.execute(f"CREATE TABLE stored ({columns})")
    connection.execute(
        "CREATE VIEW findings AS SELECT * FROM stored "
        "QUALIFY row_number() OVER (PARTITION BY id ORDER BY version DESC) = 1"
    )
    return connection


class Store:
    """Writes batches of records below one folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._engine = engine()

    def write(self, findings: Sequence[Finding]) -> Path:
        """Store a batch and return its file; the same batch again is the same file.

        The file appears whole or not at all, also where this process is killed.
        """
        file = self.folder / f"dt={keys.day(findings)}" / f"{keys.digest(findings)}.parquet"
        if file.exists():
            return file
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".writing-") as writing:
            lines, made = Path(writing) / "batch.ndjson", Path(writing) / "batch.parquet"
            with lines.open("w", encoding="utf-8") as stream:
                for finding in findings:
                    stream.write(f"{finding.to_json()}\n")
            with self._engine.connect(config={"threads": 1}) as connection:
                connection.read_json(
                    str(lines),
                    columns=columns_of_schema(),
                    format="newline_delimited",
                    maximum_object_size=LONGEST_LINE,
                ).to_parquet(str(made), compression="zstd")
            made.replace(file)
        return file


@cache
def columns_of_schema() -> dict[str, str]:
    """The DuckDB type of each field of a record."""
    return {name: _type(of) for name, of in schema()["properties"].items()}


def _type(of: dict[str, Any]) -> str:
    """The DuckDB type of a property of the schema."""
    kinds = of["type"] if isinstance(of["type"], list) else [of["type"]]
    if of.get("format") == "date-time":
        return "TIMESTAMP"
    if kinds[0] == "array":
        return f"{_type(of['items'])}[]"
    if kinds[0] != "object":
        return TYPES[kinds[0]]
    if "properties" in of:
        members = ", ".join(f'"{name}" {_type(each)}' for name, each in of["properties"].items())
        return f"STRUCT({members})"
    return "MAP(VARCHAR, VARCHAR)" if "additionalProperties" in of else "JSON"
