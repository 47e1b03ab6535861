"""Looks for denied traffic of instances in the flow logs of their interfaces."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from c7n_secops.aws import calls
from c7n_secops.aws.calls import RefusedError
from c7n_secops.aws.planner import batches
from c7n_secops_edge import flow_places, flow_sql
from c7n_secops_edge.athena import answered as by_athena
from c7n_secops_edge.duck import SUFFIX, connection, parquet_table
from c7n_secops_edge.duck import answered as by_duckdb
from c7n_secops_edge.flood_schema import size_of
from c7n_secops_edge.flow_denies import Tally, Wanted
from c7n_secops_edge.flow_records import VERSION_2, FlowParser, fields_of, lacking
from c7n_secops_edge.logs import groups
from c7n_secops_edge.logs.extent import Logs, log, noted
from c7n_secops_edge.logs.files import LogFile, read_ahead
from c7n_secops_edge.logs.objects import delivered_files
from c7n_secops_edge.logs.places import NoLogsError

FLOW_LOGS_A_PAGE = 1000
INTERFACES_A_QUERY = 2000
PATTERN = "?REJECT ?SKIPDATA"
"""The events that say something; to know that there is no other takes no event."""

Problem = tuple[str, str]


@dataclass
class Reading:
    """What was read of one flow log, for some interfaces.

    ``complete`` says that an interface without a record is one that nothing is known of.
    """

    flow_log: str | None
    complete: bool
    read: Logs = field(default_factory=Logs)
    mentioned: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)

    @property
    def extent(self) -> dict[str, Any]:
        """How much was read, as an annotation has it."""
        return {
            "flowLog": self.flow_log,
            "files": self.read.files,
            "bytes": self.read.bytes,
            "lines": self.read.lines,
            "badLines": self.read.bad_lines,
            "truncated": sorted(self.read.truncated),
            "unreadable": sorted(self.read.unreadable),
        }

    def problem(self, interface: str) -> Problem | None:
        """Why nothing can be said of an interface that was not denied enough."""
        for file, (code, reason) in self.read.unreadable.items():
            return code, f"log file {file}: {reason}"
        for file, reason in self.read.truncated.items():
            return "Truncated", f"log file {file}: {reason}"
        if self.read.lines and self.read.bad_lines == self.read.lines:
            return "BadLines", f"no line of {self.flow_log} could be read"
        if interface in self.skipped:
            return "SkipData", f"AWS did not keep all records of {interface} (SKIPDATA)"
        if self.complete and interface not in self.mentioned:
            return "NoRecords", f"the flow log has no record of {interface}"
        return None


class Inquiry:
    """One run of ``flow-log-deny``: each flow log is read once, whatever interfaces it is of."""

    def __init__(self, element: Any):
        self.element, self.data = element, element.data
        self.until = datetime.now(timezone.utc)
        self.since = self.until - timedelta(minutes=self.data.get("lookback", 60))
        self.first = int(self.since.timestamp())

    def examine(self, instances: Sequence[Mapping[str, Any]]) -> None:
        """Read what there is of the instances' interfaces; ask :meth:`answers` then."""
        self.interfaces = {
            each.name: each for one in instances for each in flow_places.interfaces_of(one)
        }
        addresses = {name: each.addresses for name, each in self.interfaces.items()}
        self.tally = Tally(Wanted.of(self.data), addresses)
        self.problems: dict[str, Problem] = {}
        self.readings: dict[str, Reading] = {}
        if self.data.get("engine") == "athena":
            self.read(Reading(None, complete=True), list(self.interfaces))
            return
        for flow_log, names in self.by_flow_log():
            self.read(
                Reading(flow_log["FlowLogId"], flow_log["TrafficType"] == "ALL"), names, flow_log
            )
        if self.tally.unattributed:
            count = self.tally.unattributed
            log.warning("%d denied flows are neither to nor from an interface's addresses", count)

    def answers(
        self, instance: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Problem | None]:
        """What was denied of an instance, what was read, and why nothing can be said if so."""
        found, extents, problem = [], {}, None
        for interface in flow_places.interfaces_of(instance):
            name = interface.name
            reading = self.readings.get(name)
            if reading is not None:
                extents[reading.flow_log] = reading.extent
            answer = self.tally.answer(name)
            if answer is not None:
                found.append(answer)
            else:
                problem = problem or self.problems.get(name)
                problem = problem or (reading.problem(name) if reading is not None else None)
        return found, list(extents.values()), problem

    # --- where the records are

    def by_flow_log(self) -> list[tuple[dict[str, Any], list[str]]]:
        """Each flow log that is to be read, with the interfaces that it is read for."""
        client = calls.client(self.element, "ec2")
        try:
            known = [
                each
                for page in calls.pages(client, "describe_flow_logs", "FlowLogs", FLOW_LOGS_A_PAGE)
                for each in page
            ]
        except RefusedError as error:
            self.problems = dict.fromkeys(self.interfaces, (error.code, str(error)))
            return []
        by_id = {each["FlowLogId"]: each for each in known}
        chosen: defaultdict[str, list[str]] = defaultdict(list)
        for name, interface in self.interfaces.items():
            flow_log = flow_places.flow_log_of(interface, known)
            if flow_log is None:
                where = f"{name}, its subnet or its VPC"
                reason = f"no active flow log of {where} records denials, to S3 or CloudWatch Logs"
                self.problems[name] = "NoFlowLog", reason
            else:
                chosen[flow_log].append(name)
        return [(by_id[flow_log], names) for flow_log, names in chosen.items()]

    def read(
        self, reading: Reading, names: list[str], flow_log: dict[str, Any] | None = None
    ) -> None:
        """Read a flow log for some interfaces; where that is refused, nothing is said of them."""
        self.readings.update(dict.fromkeys(names, reading))
        try:
            if flow_log is None:
                self.ask_athena(reading, names)
            elif flow_log.get("LogDestinationType") == flow_places.S3:
                self.read_files(flow_log, reading, names)
            else:
                self.read_events(flow_log, reading, names)
        except (RefusedError, NoLogsError) as error:
            self.problems.update(dict.fromkeys(names, (error.code, str(error))))
        if reading.read.bad_lines:
            log.warning("%d lines of %s say nothing", reading.read.bad_lines, reading.flow_log)

    def read_files(self, flow_log: dict[str, Any], reading: Reading, names: list[str]) -> None:
        """Read a flow log's files in S3. Raises RefusedError or NoLogsError."""
        config = self.element.manager.config
        place = flow_places.place_of(flow_log, config.account_id, config.region)
        files = delivered_files(calls.client(self.element, "s3"), place, self.since, self.until)
        size, most = sum(file.size for file in files), self.data.get("max-bytes", "2GiB")
        if not files:
            raise NoLogsError(
                "NoLogs",
                f"no file of s3://{place.bucket}/{place.template} was delivered within "
                f"{self.data.get('lookback', 60)} minutes",
            )
        if size > size_of(most):
            if "athena" in self.data:
                self.ask_athena(reading, names)
                return
            raise NoLogsError(
                "TooManyBytes",
                f"{len(files)} files of {flow_log['FlowLogId']} have {size} bytes, more than "
                f"max-bytes {most}: look back less, raise max-bytes, or give athena",
            )
        stored = [file for file in files if file.name.endswith(SUFFIX)]
        written = [file for file in files if not file.name.endswith(SUFFIX)]
        for file, content in read_ahead(written):
            reading.read.files += 1
            reading.read.bytes += file.size
            with noted(file, reading.read):
                self.count_text(file, reading, names, content)
        if stored:
            self.count_parquet(reading, names, stored)

    def count_text(
        self, file: LogFile, reading: Reading, names: list[str], content: Iterator[bytes]
    ) -> None:
        """Count one text file, whose first line names its fields."""
        parser: FlowParser | None = None
        try:
            for block in content:
                lines = block.split(b"\n")[1:]
                if parser is None:
                    fields = fields_of(lines[0].decode("ascii", "replace"))
                    if lack := lacking(fields):
                        problem = "FormatUnknown", f"its first line does not name {lack[0]}"
                        reading.read.unreadable[file.name] = problem
                        return
                    parser = FlowParser(fields, names, self.first)
                    del lines[0]
                for record in parser.denied(lines):
                    self.tally.add(record)
        finally:
            if parser is not None:
                self.account(reading, parser)

    def read_events(self, flow_log: dict[str, Any], reading: Reading, names: list[str]) -> None:
        """Read a flow log's events in CloudWatch Logs. Raises RefusedError or NoLogsError."""
        client, group = calls.client(self.element, "logs"), flow_places.group_of(flow_log)
        fields = fields_of(flow_log.get("LogFormat") or VERSION_2)
        if lack := lacking(fields):
            reason = f"the format of {flow_log['FlowLogId']} does not have {lack[0]}"
            raise NoLogsError("FormatUnknown", reason)
        parser = FlowParser(fields, names, self.first)
        alive, wanted = groups.live_streams(client, group, self.until), set(names)
        streams = {
            stream: name for stream in alive if (name := stream.rpartition("-")[0]) in wanted
        }
        found = groups.events(client, group, streams, self.since, self.until, PATTERN)
        lines = (event["message"].strip().encode(errors="replace") for event in found)
        for record in parser.denied(lines):
            self.tally.add(record)
        self.account(reading, parser)
        reading.mentioned |= set(streams.values())
        reading.complete = True  # every interface has a stream of its own

    @staticmethod
    def account(reading: Reading, parser: FlowParser) -> None:
        reading.read.lines += parser.lines
        reading.read.bad_lines += parser.bad
        reading.mentioned |= parser.mentioned
        reading.skipped |= parser.skipped

    # --- where SQL adds up

    def count_parquet(self, reading: Reading, names: list[str], files: Sequence[LogFile]) -> None:
        """Count Parquet files, each by itself: what cannot be read of one does not hide others."""
        with connection() as database, tempfile.TemporaryDirectory() as folder:
            import duckdb

            for number, file in enumerate(files):
                reading.read.files += 1
                reading.read.bytes += file.size
                with noted(file, reading.read):
                    try:
                        table = parquet_table(file, Path(folder) / f"{number}{SUFFIX}")
                        described = by_duckdb(database, f"DESCRIBE FROM {table}")
                        columns = {row["column_name"] for row in described}
                        if lack := set(flow_sql.COLUMNS) - columns:
                            problem = "FormatUnknown", f"it has no column {min(lack)}"
                            reading.read.unreadable[file.name] = problem
                            continue
                        self.count_rows(
                            reading,
                            by_duckdb(database, flow_sql.denied(table, names, self.first, columns)),
                            by_duckdb(database, flow_sql.mentioned(table, names, self.first)),
                        )
                    except duckdb.Error as error:
                        reading.read.unreadable[file.name] = ("NotParquet", str(error))
                        log.warning("log file %s could not be read: %s", file.name, error)

    def ask_athena(self, reading: Reading, names: list[str]) -> None:
        """Ask a table instead of reading files. Raises RefusedError or NoLogsError."""
        client, athena = calls.client(self.element, "athena"), self.data["athena"]
        table = f'"{athena["database"]}"."{athena["table"]}"'
        for some in batches(names, INTERFACES_A_QUERY):
            self.count_rows(
                reading,
                by_athena(client, flow_sql.denied(table, some, self.first), athena),
                by_athena(client, flow_sql.mentioned(table, some, self.first), athena),
            )

    def count_rows(self, reading: Reading, denied: Any, mentioned: Any) -> None:
        for record in flow_sql.records(denied):
            if isinstance(record, int):
                reading.read.bad_lines += record
            else:
                self.tally.add(record)
        for row in mentioned:
            reading.mentioned.add(row["interface_id"])
            reading.read.lines += int(row["lines"])
            if int(row["skipped"]):
                reading.skipped.add(row["interface_id"])
