"""The local store: Parquet files in a folder, written and asked with DuckDB.

A file holds a batch of records and is never changed. A record that comes again, or in a newer
version, is in a further file; the view ``findings`` shows each finding once, in its newest version.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c7n_secops_findings.record import Finding, schema
from c7n_secops_findings.sinks import keys

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FOLDER = "findings"
TYPES = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}


def connect(**settings: Any) -> DuckDBPyConnection:
    """A DuckDB of our own; RuntimeError where it is not installed."""
    try:
        import duckdb
    except ModuleNotFoundError as missing:
        raise RuntimeError(
            "the local store of findings needs duckdb: pip install 'c7n-secops[findings]'"
        ) from missing
    return duckdb.connect(config=settings)


def open_store(*folders: Path) -> DuckDBPyConnection:
    """A connection with the view ``findings`` over every store below these folders.

    Its columns are the fields of the record; where there is no store it is empty.
    """
    connection = connect()
    found = [
        str(file)
        for folder in folders
        for file in sorted(folder.glob(f"**/{FOLDER}/dt=*/*.parquet"))
    ]
    connection.execute(f"CREATE TABLE nothing ({_columns()})")
    source = "SELECT * FROM nothing"
    if found:
        names = ", ".join(f"'{name.replace(chr(39), chr(39) * 2)}'" for name in found)
        source = f"SELECT * FROM read_parquet([{names}], hive_partitioning = false)"
    connection.execute(
        f"CREATE VIEW findings AS {source} "
        "QUALIFY row_number() OVER (PARTITION BY id ORDER BY version DESC) = 1"
    )
    return connection


class Store:
    """Writes batches of records below one folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._connection = connect(threads=1)

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
            with lines.open("w") as stream:
                for finding in findings:
                    stream.write(f"{finding.to_json()}\n")
            self._connection.execute(
                f"COPY (SELECT * FROM read_json(?, format = 'newline_delimited', "
                f"maximum_object_size = 67108864, columns = {{{_columns(': ', chr(39))}}})) "
                f"TO '{str(made).replace(chr(39), chr(39) * 2)}' "
                "(FORMAT parquet, COMPRESSION zstd)",
                [str(lines)],
            )
            made.replace(file)
        return file


def _columns(between: str = " ", quote: str = "") -> str:
    properties: dict[str, Any] = schema()["properties"]
    return ", ".join(
        f'"{name}"{between}{quote}{_type(of)}{quote}' for name, of in properties.items()
    )


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
