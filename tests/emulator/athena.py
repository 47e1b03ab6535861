"""Amazon Athena: queries over CloudFront's standard logs in S3, executed by DuckDB.

State of one account and region: ``tables``, by ``database.table``: ``{"bucket", "prefix"}`` of the
logs, with ``"layout": "flow-log"`` of VPC flow logs in the default format (seed it: no DDL is
executed). A table has the columns, types and order of the table that the Athena documentation
makes for these logs; as there, the header lines of each file are skipped and a value that is not
of its column's type is null. A query ends at once: with its answer, or FAILED
with DuckDB's message. Work groups exist as soon as they are named.
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

import gzip
import tempfile
import uuid
from pathlib import Path
from typing import Any

import duckdb
from moto.s3.models import s3_backends

from tests.emulator.clock import now
from tests.emulator.kit import Context, fail, operation, page, without_none
from tests.emulator.s3 import owner_of

SERVICE = "athena"
COLUMNS = {
    "date": "DATE",
    "time": "VARCHAR",
    "x_edge_location": "VARCHAR",
    "sc_bytes": "BIGINT",
    "c_ip": "VARCHAR",
    "cs_method": "VARCHAR",
    "cs_host": "VARCHAR",
    "cs_uri_stem": "VARCHAR",
    "sc_status": "INTEGER",
}
"""The first columns of the table; the others are of no use to the queries that are asked here."""
FLOW_COLUMNS = {
    "version": "INTEGER",
    "account_id": "VARCHAR",
    "interface_id": "VARCHAR",
    "srcaddr": "VARCHAR",
    "dstaddr": "VARCHAR",
    "srcport": "INTEGER",
    "dstport": "INTEGER",
    "protocol": "BIGINT",
    "packets": "BIGINT",
    "bytes": "BIGINT",
    "start": "BIGINT",
    "end": "BIGINT",
    "action": "VARCHAR",
    "log_status": "VARCHAR",
}
PAGE = 1000


def load(database: duckdb.DuckDBPyConnection, name: str, table: dict[str, str]) -> None:
    """Makes a table of the lines of the objects under its prefix."""
    schema, _, own = name.partition(".")
    flow = table.get("layout") == "flow-log"
    columns, delimiter, headers = (FLOW_COLUMNS, " ", 1) if flow else (COLUMNS, "\t", 2)
    database.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    lines = []
    bucket = s3_backends[owner_of(table["bucket"])]["aws"].buckets[table["bucket"]]
    for key in bucket.keys.values():
        if key.name.startswith(table.get("prefix", "")):
            lines += gzip.decompress(key.value).decode().splitlines()[headers:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.tsv"
        path.write_text("".join(f"{line}\n" for line in lines))
        fields = ", ".join(
            f"TRY_CAST(string_split(line, '{delimiter}')[{number}] AS {kind}) AS \"{column}\""
            for number, (column, kind) in enumerate(columns.items(), start=1)
        )
        database.execute(
            f'CREATE TABLE "{schema}"."{own}" AS SELECT {fields} FROM read_csv(\'{path}\', '  # noqa: S608
            "delim='\x01', quote='', escape='', comment='', header=false, auto_detect=false, "
            "columns={line: 'VARCHAR'})"
        )


def execute(context: Context, text: str) -> dict[str, Any]:
    """A finished execution of a query."""
    made: dict[str, Any] = {"id": str(uuid.uuid4()), "text": text, "at": now()}
    with duckdb.connect() as database:
        for name, table in context.state("tables").items():
            load(database, name, table)
        try:
            cursor = database.execute(text)
        except duckdb.Error as error:
            return {**made, "state": "FAILED", "reason": str(error)}
        names = [column[0] for column in cursor.description or ()]
        rows = [
            [None if value is None else str(value) for value in row] for row in cursor.fetchall()
        ]
        return {**made, "state": "SUCCEEDED", "names": names, "rows": [names, *rows]}


def execution(context: Context, query: str) -> dict[str, Any]:
    found = context.state("executions").get(query)
    if found is None:
        fail("InvalidRequestException", f"QueryExecution {query} was not found")
    return found  # type: ignore[no-any-return]


@operation(SERVICE, "StartQueryExecution")
def start_query_execution(context: Context, QueryString: str, **_: Any) -> dict[str, Any]:
    done = execute(context, QueryString)
    context.state("executions")[done["id"]] = done
    return {"QueryExecutionId": done["id"]}


@operation(SERVICE, "GetQueryExecution")
def get_query_execution(context: Context, QueryExecutionId: str) -> dict[str, Any]:
    done = execution(context, QueryExecutionId)
    status = without_none(
        State=done["state"], StateChangeReason=done.get("reason"), SubmissionDateTime=done["at"]
    )
    return {
        "QueryExecution": {
            "QueryExecutionId": done["id"],
            "Query": done["text"],
            "Status": status,
        }
    }


@operation(SERVICE, "GetQueryResults")
def get_query_results(
    context: Context, QueryExecutionId: str, NextToken: str = "", MaxResults: int = PAGE, **_: Any
) -> dict[str, Any]:
    done = execution(context, QueryExecutionId)
    if done["state"] != "SUCCEEDED":
        fail("InvalidRequestException", "Query has not yet finished, or it failed.")
    rows, token = page(
        done["rows"], NextToken, MaxResults, QueryExecutionId, "InvalidRequestException"
    )
    columns = [{"Name": name, "Type": "varchar"} for name in done["names"]]
    return without_none(
        ResultSet={
            "Rows": [{"Data": [without_none(VarCharValue=value) for value in row]} for row in rows],
            "ResultSetMetadata": {"ColumnInfo": columns},
        },
        NextToken=token,
    )
