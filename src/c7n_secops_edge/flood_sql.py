"""One text of ANSI SQL for the engines that read logs themselves: DuckDB and Athena.

The text narrows the log down to the clients and networks that may be offenders: by the same
windows, thresholds and groups. Who is one is then decided by the same code as in pure Python, so
the engines cannot disagree. It uses only what both dialects have; a test parses it as both.

Columns are named as in the tables that the Athena documentation makes for these logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from c7n_secops_edge.flood_options import Options, Paths, Rule

LAYOUTS = {
    "cloudfront": {
        "minute": """TRY_CAST(CAST("date" AS VARCHAR) || ' ' || substr("time", 1, 5) || ':00' """
        "AS TIMESTAMP)",
        "address": "c_ip",
        "status": "CAST(sc_status AS VARCHAR)",
        "uri": "cs_uri_stem",
    },
    "alb": {
        "minute": """TRY_CAST(replace(substr("time", 1, 16), 'T', ' ') || ':00' AS TIMESTAMP)""",
        "address": "client_ip",
        "status": "CAST(elb_status_code AS VARCHAR)",
        "uri": "split_part(request_url, '?', 1)",
    },
    "waf": {
        "minute": "TIMESTAMP '1970-01-01 00:00:00' "
        """+ INTERVAL '1' MINUTE * CAST(floor("timestamp" / 60000) AS INTEGER)""",
        "address": "httprequest.clientip",
        "status": "coalesce(CAST(responsecodesent AS VARCHAR), "
        "CASE WHEN action = 'BLOCK' THEN '403' END)",
        "uri": "httprequest.uri",
    },
}


@dataclass(frozen=True)
class Queries:
    """The texts for one analysis.

    ``counts`` gives minute, client, requests and a number for each rule that counts errors;
    ``paths`` minute, client, path and the number of the rule; ``minutes`` minute and requests;
    ``lines`` how many lines there are, and how many of them say nothing.
    """

    counts: str
    paths: str | None
    minutes: str
    lines: str


def queries(options: Options, layout: str, table: str, since: datetime | None = None) -> Queries:
    """The texts for these options; ``since`` leaves out what happened earlier."""
    base = common(options, layout, table, since)
    clients = "client IN (SELECT client FROM suspects)"
    if options.widening is not None:
        clients += " OR network IN (SELECT network FROM crowds)"
    columns = ", ".join(["minute", "client", "requests", *own_columns(options)])
    scans = [
        f"SELECT DISTINCT minute, client, uri, {number} AS scan FROM requests "
        f"WHERE {like('uri', rule.uris)} AND ({clients})"
        for number, rule in enumerate(options.rules)
        if rule.distinct
    ]
    return Queries(
        counts=f"{base} SELECT {columns} FROM per_minute WHERE {clients}",
        paths=f"{base} {' UNION ALL '.join(scans)}" if scans else None,
        minutes=f"{base} SELECT minute, sum(requests) AS requests FROM per_minute GROUP BY 1",
        lines=f"{base} SELECT count(*) AS lines, count(CASE WHEN minute IS NULL "
        "OR address IS NULL OR address = '-' THEN 1 END) AS bad FROM logged",
    )


def own_columns(options: Options) -> list[str]:
    """The columns of the rules that count something else than requests."""
    return [f"rule_{n}" for n, rule in enumerate(options.rules) if rule.metric != "requests"]


def common(options: Options, layout: str, table: str, since: datetime | None) -> str:
    """What every text starts with: lines, requests, counters a minute, suspects and crowds."""
    names = LAYOUTS[layout]
    parts = {
        "source": f"SELECT {names['minute']} AS minute, lower({names['address']}) AS written, "
        f"{names['status']} AS status, {names['uri']} AS uri FROM {table}",
        "logged": "SELECT minute, status, uri, CASE WHEN written LIKE '::ffff:%.%' "
        "THEN substr(written, 8) ELSE split_part(written, '%', 1) END AS address FROM source"
        + (f" WHERE minute >= TIMESTAMP '{since:%Y-%m-%d %H:%M}:00'" if since else ""),
        "halves": "SELECT minute, status, uri, address, split_part(address, '::', 1) AS head, "
        "coalesce(split_part(address, '::', 2), '') AS tail, "
        "CASE WHEN address LIKE '%::%' THEN 1 ELSE 0 END AS shortened FROM logged "
        "WHERE minute IS NOT NULL AND address <> '-'" + ignoring(options.ignore),
        "measured": f"SELECT minute, status, uri, address, head, tail, "
        f"CASE WHEN shortened = 1 THEN {parts_of('head')} ELSE 8 END AS heads, "
        f"{parts_of('tail')} AS tails FROM halves",
        "requests": "SELECT minute, status, uri, CASE WHEN address LIKE '%:%' THEN "
        + " || ':' || ".join(hextet(number) for number in range(1, 5))
        + " || '::' ELSE address END AS client, CASE WHEN address NOT LIKE '%:%' THEN "
        "split_part(address, '.', 1) || '.' || split_part(address, '.', 2) || '.' || "
        "split_part(address, '.', 3) END AS network FROM measured",
        "per_minute": "SELECT minute, client, network, count(*) AS requests"
        + "".join(
            f", {counter(rule)} AS rule_{n}"
            for n, rule in enumerate(options.rules)
            if rule.metric != "requests"
        )
        + " FROM requests GROUP BY 1, 2, 3",
        "windows": f"SELECT client, {sums(options, 'client')} FROM per_minute",
        "suspects": f"SELECT DISTINCT client FROM windows WHERE {reached(options)}",
    }
    if options.widening is not None:
        totals = ", ".join(f"sum({name}) AS {name}" for name in ("requests", *own_columns(options)))
        parts["per_network"] = (
            f"SELECT minute, network, {totals} FROM per_minute "
            "WHERE network IS NOT NULL GROUP BY 1, 2"
        )
        parts["network_windows"] = f"SELECT network, {sums(options, 'network')} FROM per_network"
        parts["crowds"] = (
            f"SELECT DISTINCT network FROM network_windows WHERE ({reached(options)}) AND network "
            "IN (SELECT network FROM per_minute GROUP BY network "
            f"HAVING count(DISTINCT client) >= {options.widening.min_hosts})"
        )
    return "WITH " + ", ".join(f"{name} AS ({text})" for name, text in parts.items())


def parts_of(text: str) -> str:
    """How many groups of digits a half of an IPv6 address has."""
    return (
        f"CASE WHEN {text} = '' THEN 0 "
        f"ELSE length({text}) - length(replace({text}, ':', '')) + 1 END"
    )


def hextet(number: int) -> str:
    """One of the first four groups of digits of an IPv6 address, in its shortest form."""
    found = (
        f"CASE WHEN {number} <= heads THEN split_part(head, ':', {number}) "
        f"WHEN {number} <= 8 - tails THEN '0' "
        f"ELSE split_part(tail, ':', {number} - 8 + tails) END"
    )
    return f"coalesce(nullif(trim(LEADING '0' FROM {found}), ''), '0')"


def counter(rule: Rule) -> str:
    """What a rule counts in one minute; of different paths, at most as many as in its window."""
    if rule.distinct:
        return f"count(DISTINCT CASE WHEN {like('uri', rule.uris)} THEN uri END)"
    statuses = ", ".join(quoted(status) for status in sorted(rule.statuses))
    return f"count(CASE WHEN status IN ({statuses}) THEN 1 END)"


def sums(options: Options, key: str) -> str:
    """The window sums of every rule, each named after its number."""
    return ", ".join(
        f"sum({'requests' if rule.metric == 'requests' else f'rule_{n}'}) OVER "
        f"(PARTITION BY {key} ORDER BY minute RANGE BETWEEN "
        f"INTERVAL '{rule.window - 1}' MINUTE PRECEDING AND CURRENT ROW) AS window_{n}"
        for n, rule in enumerate(options.rules)
    )


def reached(options: Options) -> str:
    return " OR ".join(f"window_{n} >= {rule.threshold}" for n, rule in enumerate(options.rules))


def ignoring(paths: Paths) -> str:
    return f" AND NOT coalesce({like('uri', paths)}, FALSE)" if paths else ""


def like(column: str, paths: Paths) -> str:
    """Whether a path begins or ends with one of these."""
    patterns = [f"{escaped(text)}%" for text in paths.prefix]
    patterns += [f"%{escaped(text)}" for text in paths.suffix]
    tests = (f"{column} LIKE {quoted(pattern.encode())} ESCAPE '!'" for pattern in patterns)
    return f"({' OR '.join(tests)})"


def escaped(text: bytes) -> str:
    return "".join(f"!{char}" if char in "!%_" else char for char in text.decode())


def quoted(text: bytes) -> str:
    return "'" + text.decode().replace("'", "''") + "'"
