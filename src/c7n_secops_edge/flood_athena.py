"""Athena: the same question, asked where the logs are, for more of them than a function reads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from c7n_secops.aws import calls
from c7n_secops_edge import flood_sql
from c7n_secops_edge.athena import answered
from c7n_secops_edge.flood import Analysis
from c7n_secops_edge.flood_answers import concluded
from c7n_secops_edge.flood_options import Options
from c7n_secops_edge.logs.extent import Logs


def analyse_with_athena(
    element: Any, options: Options, athena: Mapping[str, str], since: datetime
) -> Analysis:
    """As :func:`c7n_secops_edge.flood.analyse`, of the rows of a table since a time; no samples.

    Raises RefusedError, or NoLogsError where Athena could not answer.
    """
    client = calls.client(element, "athena")
    table = f'"{athena["database"]}"."{athena["table"]}"'
    texts = flood_sql.queries(options, athena["layout"], table, since)

    def answer(text: str) -> list[dict[str, Any]]:
        return list(answered(client, text, athena))

    (lines,) = answer(texts.lines)
    read = Logs(lines=int(lines["lines"]), bad_lines=int(lines["bad"]))
    return concluded(
        options,
        answer(texts.counts),
        answer(texts.paths) if texts.paths else (),
        answer(texts.minutes),
        read,
    )
