"""Athena: the rows of a query's answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from c7n_secops import deadline
from c7n_secops.aws import calls
from c7n_secops.aws.calls import RefusedError, read
from c7n_secops_edge.logs.places import NoLogsError

LONGEST = 600.0
"""Seconds that one query may take."""
PAUSE = 1.0
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


def answered(client: Any, text: str, athena: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The rows of an answer: texts, by the name of the column."""
    query = read(
        client.start_query_execution,
        QueryString=text,
        QueryExecutionContext={"Database": athena["database"]},
        WorkGroup=athena["workgroup"],
    )["QueryExecutionId"]
    wait_for(client, query)
    names: list[str] = []
    paginator = client.get_paginator("get_query_results")
    with calls.refusals("athena:GetQueryResults"):
        for page in paginator.paginate(QueryExecutionId=query):
            for row in page["ResultSet"]["Rows"]:
                values = [each.get("VarCharValue") for each in row["Data"]]
                if names:
                    yield dict(zip(names, values, strict=True))
                else:
                    names = [str(value) for value in values]


def wait_for(client: Any, query: str) -> None:
    """Wait for the end of a query."""
    end = deadline.after(LONGEST)
    while True:
        status = read(client.get_query_execution, QueryExecutionId=query)["QueryExecution"][
            "Status"
        ]
        if status["State"] in ENDED:
            break
        if time.monotonic() > end:
            client.stop_query_execution(QueryExecutionId=query)
            raise RefusedError("athena:GetQueryExecution", "Timeout", f"query {query} takes long")
        time.sleep(PAUSE)
    if status["State"] != "SUCCEEDED":
        reason = status.get("StateChangeReason", "no reason given")
        raise NoLogsError(f"Query{status['State'].title()}", f"Athena query {query}: {reason}")
