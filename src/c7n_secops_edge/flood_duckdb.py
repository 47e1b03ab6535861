"""DuckDB: CloudFront's Parquet logs, and SQL over any log on a local disk. Extra ``logs``.

Text logs are parsed by the same parsers as in pure Python, and their rows given to DuckDB: a bad
line, a truncated and an unreadable file are the same to both engines.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from c7n_secops.aws.calls import failure
from c7n_secops_edge import flood_sql
from c7n_secops_edge.addresses import Clients
from c7n_secops_edge.duck import SUFFIX, answered, connection, parquet_table, text
from c7n_secops_edge.flood import Analysis, Progress
from c7n_secops_edge.flood_answers import concluded
from c7n_secops_edge.flood_counts import Minutes
from c7n_secops_edge.flood_options import Options
from c7n_secops_edge.logs.extent import Logs, log, noted
from c7n_secops_edge.logs.files import UNREADABLE, LogFile, read_ahead
from c7n_secops_edge.logs.formats import COLUMNS, Parser, parser_of

if TYPE_CHECKING:
    import duckdb

FIELDS = ("date", "time", "c_ip", "sc_status", "cs_uri_stem")


def analyse_with_duckdb(
    files: Sequence[LogFile],
    options: Options,
    *,
    source: str | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """As :func:`c7n_secops_edge.flood.analyse`, also for Parquet; without samples."""
    read = Logs()
    with connection() as database, tempfile.TemporaryDirectory() as folder:
        rows, parquet = Path(folder) / "rows.tsv", []
        with rows.open("wb") as stream:
            for file, content in read_ahead(files):
                read.files += 1
                read.bytes += file.size
                if file.name.endswith(SUFFIX):
                    parquet += stored_rows(database, file, Path(folder), read)
                else:
                    for row in text_rows(file, content, options, source, read):
                        stream.write(row)
                if progress is not None:
                    progress(file)
        tables = [f"SELECT {', '.join(FIELDS)} FROM {csv_table(rows)}", *parquet]
        database.execute(f"CREATE VIEW logs AS {' UNION ALL '.join(tables)}")
        texts = flood_sql.queries(options, "cloudfront", "logs")
        read.bad_lines += next(answered(database, texts.lines))["bad"]
        return concluded(
            options,
            answered(database, texts.counts),
            answered(database, texts.paths) if texts.paths else (),
            answered(database, texts.minutes),
            read,
        )


def text_rows(
    file: LogFile, content: Iterator[bytes], options: Options, source: str | None, read: Logs
) -> Iterator[bytes]:
    """The rows of a text log, tab separated in the order of ``FIELDS``."""
    minutes, clients = Minutes(), Clients(options.grouping)
    parser: Parser | None = None
    with noted(file, read):
        for block in content:
            if parser is None:
                parser = parser_of(block, {*COLUMNS} - {"forwarded"}, source)
            for row in parser.rows(block):
                values = dict(zip(parser.columns, row, strict=True))
                minute, address = values["minute"], values["address"]
                if minutes[minute] is None or clients[address] is None:
                    read.bad_lines += 1
                    continue
                fields = (minute[:10], minute[11:16], address, values["status"], values["uri"])
                yield b"\t".join(map(plain, fields)) + b"\n"
    if parser is not None:
        read.lines += parser.lines
        read.bad_lines += parser.bad


def plain(value: bytes) -> bytes:
    """A field that DuckDB reads as it is."""
    text = value.decode("utf-8", "backslashreplace")
    return text.translate({9: "%09", 10: "%0A", 13: "%0D", 0: "%00"}).encode()


def csv_table(path: Path) -> str:
    """Our own rows as a table: nothing in them is a quote, a comment or a header."""
    columns = ", ".join(f"{name}: 'VARCHAR'" for name in FIELDS)
    return (
        f"read_csv({text(path)}, delim='\t', quote='', escape='', comment='', header=false, "
        f"auto_detect=false, columns={{{columns}}})"
    )


def stored_rows(
    database: duckdb.DuckDBPyConnection, file: LogFile, folder: Path, read: Logs
) -> list[str]:
    """The table of one Parquet file, copied to a local disk where it is elsewhere."""
    import duckdb

    try:
        table = parquet_table(file, folder / f"{read.files}{SUFFIX}")
        (lines,) = answered(database, f"SELECT count(*) AS lines FROM {table}")
        columns = [row["column_name"] for row in answered(database, f"DESCRIBE FROM {table}")]
    except (duckdb.Error, *UNREADABLE) as error:
        code = failure(error)[0] if isinstance(error, UNREADABLE) else "NotParquet"
        read.unreadable[file.name] = (code, str(error))
        log.warning("log file %s could not be read: %s", file.name, error)
        return []
    named = {re.sub(r"\W", "_", name): name for name in columns}
    read.lines += lines["lines"]
    if not named.keys() >= set(FIELDS):
        read.bad_lines += lines["lines"]
        return []
    chosen = ", ".join(f'CAST("{named[name]}" AS VARCHAR) AS {name}' for name in FIELDS)
    return [f"SELECT {chosen} FROM {table}"]
