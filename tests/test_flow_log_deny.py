"""Denied traffic by VPC flow logs: S3 as text and Parquet, CloudWatch Logs, and Athena."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest
from c7n.exceptions import PolicyValidationError
from hypothesis import given
from hypothesis import strategies as st

from c7n_secops_edge import flow_sql
from c7n_secops_edge.flow_denies import Tally, Wanted
from c7n_secops_edge.flow_places import Interface, flow_log_of, place_of
from c7n_secops_edge.flow_records import NEEDED, VERSION_2, Denied, FlowParser, fields_of
from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION, Custodian
from tests.inspector_data import validate

BUCKET = "flow-logs"
NOW = int(time.time())
DEFAULT = VERSION_2.split()
CUSTOM = "flow-direction start action dstport dstaddr srcaddr interface-id"
TABLE = {"database": "network", "table": "flows", "workgroup": "primary"}
ATTACKER, OFFICE = "198.51.100.7", "203.0.113.9"

Row = dict[str, Any]


def row(interface: str, source: str, destination: str, port: int, **more: Any) -> Row:
    """A record of denied traffic, by the names of its fields."""
    return {
        "version": 2,
        "account-id": ACCOUNT,
        "interface-id": interface,
        "srcaddr": source,
        "dstaddr": destination,
        "srcport": 50123,
        "dstport": port,
        "protocol": 6,
        "packets": 1,
        "bytes": 40,
        "start": NOW - 300,
        "end": NOW - 240,
        "action": "REJECT",
        "log-status": "OK",
        "flow-direction": "ingress",
        **more,
    }


def without(interface: str, status: str) -> Row:
    """A record that says that there is none."""
    empty = dict.fromkeys(("version", "srcaddr", "dstaddr", "srcport", "dstport"), "-")
    empty |= dict.fromkeys(("protocol", "packets", "bytes", "action", "flow-direction"), "-")
    return {**row(interface, "-", "-", 0), **empty, "log-status": status}


def line(record: Row, fields: Sequence[str] = DEFAULT) -> str:
    return " ".join(str(record[name]) for name in fields)


def text(records: Iterable[Row], fields: Sequence[str] = DEFAULT) -> bytes:
    return "".join(
        f"{each}\n" for each in (" ".join(fields), *(line(r, fields) for r in records))
    ).encode()


def parquet(records: Sequence[Row], folder: Path, fields: Sequence[str] = DEFAULT) -> bytes:
    """The same in Parquet, with the columns and types that AWS documents."""
    numbers = {"version", "srcport", "dstport", "protocol", "packets", "bytes", "start", "end"}
    path = folder / "records.parquet"
    with duckdb.connect() as database:
        columns = ", ".join(
            f'"{name.replace("-", "_")}" {"BIGINT" if name in numbers else "VARCHAR"}'
            for name in fields
        )
        database.execute(f"CREATE TABLE records ({columns})")
        marks = ", ".join("?" * len(fields))
        for each in records:
            values = [None if each[name] == "-" else each[name] for name in fields]
            database.execute(f"INSERT INTO records VALUES ({marks})", values)  # noqa: S608
        database.execute(f"COPY records TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


class Network:
    """Instances in one VPC, and a flow log of it."""

    def __init__(self, emulator: Emulator):
        self.emulator = emulator
        self.ec2, self.s3 = emulator.client("ec2"), emulator.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.vpc = self.ec2.create_vpc(CidrBlock="10.5.0.0/16")["Vpc"]["VpcId"]
        made = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.5.1.0/24")
        self.subnet = made["Subnet"]["SubnetId"]

    def instance(self) -> tuple[str, str, str]:
        """A new instance: its id, its interface's and its address."""
        (made,) = self.ec2.run_instances(
            ImageId="ami-12c6146b", MinCount=1, MaxCount=1, SubnetId=self.subnet
        )["Instances"]
        (interface,) = made["NetworkInterfaces"]
        return made["InstanceId"], interface["NetworkInterfaceId"], interface["PrivateIpAddress"]

    def flow_log(self, destination: str = f"arn:aws:s3:::{BUCKET}/flows", **more: Any) -> str:
        given = {
            "ResourceIds": [self.vpc],
            "ResourceType": "VPC",
            "TrafficType": "ALL",
            "LogDestinationType": "s3",
            "LogDestination": destination,
            **more,
        }
        return str(self.ec2.create_flow_logs(**given)["FlowLogIds"][0])

    def put(self, flow_log: str, body: bytes, name: str = "a.log.gz", folder: str = "") -> None:
        """Deliver a file now."""
        at = datetime.now(timezone.utc)
        folder = folder or f"flows/AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/{at:%Y/%m/%d}/"
        key = f"{folder}{ACCOUNT}_vpcflowlogs_{REGION}_{flow_log}_{at:%Y%m%dT%H%MZ}_{name}"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)


@pytest.fixture
def network(emulator: Emulator) -> Network:
    return Network(emulator)


def policy(**options: Any) -> dict[str, Any]:
    wanted = {"type": "flow-log-deny", **options}
    return {"name": "denied", "resource": "aws.ec2", "filters": [wanted]}


def found(run: Any) -> dict[str, list[dict[str, Any]]]:
    return {each["InstanceId"]: each["c7n:FlowLogDenies"] for each in run.resources}


def codes(run: Any) -> dict[str, str]:
    return {each["resource"]: each["code"] for each in run.not_evaluated}


def scan(interface: str, address: str, ports: int, source: str = ATTACKER) -> list[Row]:
    return [row(interface, source, address, 1000 + port) for port in range(ports)]


# --- what matches --------------------------------------------------------------------------------


def test_a_scan_of_twenty_ports_is_found_and_nineteen_are_not(
    network: Network, custodian: Custodian
) -> None:
    scanned, interface, address = network.instance()
    _near, near_interface, near_address = network.instance()
    silent, *_ = network.instance()
    log = network.flow_log()
    records = [
        *scan(interface, address, 20),
        row(interface, ATTACKER, address, 1000),
        *scan(near_interface, near_address, 19),
        row(near_interface, OFFICE, near_address, 4000),  # the twentieth port, of another
        row(near_interface, ATTACKER, near_address, 5000, start=NOW - 3700),
        row(near_interface, ATTACKER, near_address, 5001, action="ACCEPT"),
        row(near_interface, near_address, ATTACKER, 5002),  # the other way
        row("eni-of-another", ATTACKER, "10.5.1.99", 5003),
    ]
    network.put(log, gzip.compress(text(records[:12])))
    network.put(log, gzip.compress(text(records[12:])), "b.log.gz")
    run = custodian("ec2-scanned")
    assert list(found(run)) == [scanned]
    (denied,) = found(run)[scanned]
    assert (denied["interface"], denied["denies"], denied["ports"]) == (interface, 21, 20)
    assert denied["worstPeers"] == [{"address": ATTACKER, "denies": 21, "ports": 20}]
    assert denied["worstPorts"][0] == {"port": 1000, "denies": 2}
    assert len(denied["worstPorts"]) == 10
    (read,) = run.resources[0]["c7n:FlowLogsRead"]
    assert (read["flowLog"], read["files"], read["lines"], read["badLines"]) == (log, 2, 45, 0)
    assert codes(run) == {silent: "NoRecords"}


def test_what_an_instance_is_denied_to_reach_is_found(
    network: Network, custodian: Custodian
) -> None:
    spreading, interface, address = network.instance()
    _near, near_interface, near_address = network.instance()
    log = network.flow_log()
    network.put(
        log,
        text(
            [
                *(row(interface, address, f"10.5.2.{n % 20}", 445) for n in range(50)),
                *(row(near_interface, near_address, f"10.5.2.{n % 19}", 445) for n in range(60)),
            ]
        ),
    )
    run = custodian("ec2-scans-its-network")
    assert list(found(run)) == [spreading]
    assert found(run)[spreading][0]["peers"] == 20


def options_and_counts() -> list[Any]:
    return [
        pytest.param({}, 5, id="all that came in"),
        pytest.param({"direction": "egress"}, 1, id="what went out"),
        pytest.param({"direction": "any"}, 6, id="both"),
        pytest.param({"ports": [22, 3389]}, 3, id="ports"),
        pytest.param({"peers-not-in": ["203.0.113.0/24", "2001:db8::/32"]}, 3, id="peers"),
        pytest.param({"min-denies": 5, "min-ports": 3, "min-peers": 3}, 5, id="just enough"),
        pytest.param({"min-denies": 6}, 0, id="too few denies"),
        pytest.param({"min-ports": 4}, 0, id="too few ports"),
        pytest.param({"min-peers": 4}, 0, id="too few peers"),
        pytest.param({"by": "peer", "min-denies": 3}, 3, id="one peer alone"),
        pytest.param({"by": "peer", "min-denies": 4}, 0, id="no peer alone"),
    ]


@pytest.mark.parametrize(("options", "denies"), options_and_counts())
def test_options_say_what_counts_and_how_much(options: dict[str, Any], denies: int) -> None:
    own = "10.5.1.4"
    tally = Tally(Wanted.of(options), {"eni-1": {own, "2001:db8:5::4"}})
    for record in (
        Denied("eni-1", ATTACKER, own, 22, None, 10, 10),
        Denied("eni-1", ATTACKER, own, 80, None, 20, 30, 2),
        Denied("eni-1", OFFICE, own, 22, None, 5, 5),
        Denied("eni-1", "2001:db8::9", "2001:db8:5::4", 3389, None, 15, 15),
        Denied("eni-1", own, OFFICE, 443, None, 15, 15),
        Denied("eni-1", "10.5.9.9", "10.5.9.8", 22, None, 15, 15),  # neither to nor from it
    ):
        tally.add(record)
    answer = tally.answer("eni-1")
    assert (answer["denies"] if answer else 0) == denies
    assert tally.unattributed == 1
    if not options:
        assert answer is not None
        assert (answer["firstSeen"], answer["lastSeen"]) == (
            "1970-01-01T00:00:05Z",
            "1970-01-01T00:00:30Z",
        )


def test_the_direction_of_the_record_is_believed_before_addresses() -> None:
    tally = Tally(Wanted(direction="egress"), {"eni-1": {"10.5.1.4"}})
    tally.add(Denied("eni-1", "10.5.1.4", OFFICE, 22, "ingress", 1, 1))
    assert tally.answer("eni-1") is None


# --- where the records are -----------------------------------------------------------------------


def hive(at: datetime) -> str:
    return (
        f"AWSLogs/aws-account-id={ACCOUNT}/aws-service=vpcflowlogs/aws-region={REGION}/"
        f"year={at:%Y}/month={at:%m}/day={at:%d}/hour={at:%H}/"
    )


def test_parquet_in_hive_partitions_and_a_custom_format_say_the_same(
    network: Network, custodian: Custodian, tmp_path: Path
) -> None:
    scanned, interface, address = network.instance()
    other, other_interface, _ = network.instance()
    log = network.flow_log(
        f"arn:aws:s3:::{BUCKET}",
        LogFormat=" ".join(f"${{{name}}}" for name in DEFAULT),
        DestinationOptions={
            "FileFormat": "parquet",
            "HiveCompatiblePartitions": True,
            "PerHourPartition": True,
        },
    )
    records = [*scan(interface, address, 20), without(other_interface, "SKIPDATA")]
    folder = hive(datetime.now(timezone.utc))
    network.put(log, parquet(records, tmp_path), "a.log.parquet", folder)
    by_parquet = custodian("ec2-scanned")
    assert codes(by_parquet) == {other: "SkipData"}
    fields = [*CUSTOM.split(), "log-status"]
    network.ec2.delete_flow_logs(FlowLogIds=[log])
    log = network.flow_log(LogFormat=" ".join(f"${{{name}}}" for name in fields))
    network.put(log, gzip.compress(text(records, fields)))
    by_text = custodian("ec2-scanned")
    assert codes(by_text) == {other: "SkipData"}
    assert found(by_parquet) == found(by_text)
    assert list(found(by_text)) == [scanned]


def test_parquet_with_a_direction_is_read_by_it(tmp_path: Path) -> None:
    records = [row("eni-1", "10.0.0.1", "10.0.0.2", 22, **{"flow-direction": "egress"})] * 2
    path = tmp_path / "records.parquet"
    path.write_bytes(parquet(records, tmp_path, [*DEFAULT, "flow-direction"]))
    with duckdb.connect() as database:
        sql = flow_sql.denied(f"'{path}'", ["eni-1"], 0, {"flow_direction"})
        cursor = database.execute(sql)
        names = [column[0] for column in cursor.description or ()]
        (record,) = flow_sql.records(
            dict(zip(names, each, strict=True)) for each in cursor.fetchall()
        )
    assert isinstance(record, Denied)
    assert (record.direction, record.number) == ("egress", 2)


def test_cloudwatch_logs_are_read_stream_by_stream(
    network: Network, emulator: Emulator, custodian: Custodian
) -> None:
    scanned, interface, address = network.instance()
    quiet, quiet_interface, _ = network.instance()
    lost, lost_interface, _ = network.instance()
    absent, *_ = network.instance()
    logs = emulator.client("logs")
    logs.create_log_group(logGroupName="flows")
    network.flow_log(
        "",
        LogDestinationType="cloud-watch-logs",
        LogGroupName="flows",
        DeliverLogsPermissionArn=f"arn:aws:iam::{ACCOUNT}:role/flows",
        TrafficType="REJECT",
    )
    for name, records in (
        (interface, scan(interface, address, 20)),
        (quiet_interface, [without(quiet_interface, "NODATA")]),
        (lost_interface, [without(lost_interface, "SKIPDATA")]),
    ):
        stream = f"{name}-reject"
        logs.create_log_stream(logGroupName="flows", logStreamName=stream)
        events = [{"timestamp": NOW * 1000, "message": line(each)} for each in records]
        logs.put_log_events(logGroupName="flows", logStreamName=stream, logEvents=events)
    run = custodian("ec2-scanned")
    assert list(found(run)) == [scanned]
    assert codes(run) == {lost: "SkipData", absent: "NoRecords"}
    assert quiet not in codes(run)
    (call,) = emulator.calls("logs", "FilterLogEvents")
    assert call.params["filterPattern"] == "?REJECT ?SKIPDATA"
    assert len(call.params["logStreamNames"]) == 3


def test_athena_gives_the_same_answer_and_no_file_is_read(
    network: Network, emulator: Emulator, custodian: Custodian
) -> None:
    scanned, interface, address = network.instance()
    lost, lost_interface, _ = network.instance()
    absent, *_ = network.instance()
    log = network.flow_log()
    records = [*scan(interface, address, 20), without(lost_interface, "SKIPDATA")]
    records += [row("eni-other", ATTACKER, OFFICE, n, srcport=n * n) for n in range(400)]
    network.put(log, gzip.compress(text(records)))
    table = {"bucket": BUCKET, "prefix": "flows/", "layout": "flow-log"}
    emulator.seed("athena", ACCOUNT, REGION, "tables", {"network.flows": table})
    by_text = custodian(policy(by="peer", **{"min-ports": 20}))
    emulator.clear_calls()
    for options in ({"engine": "athena"}, {"max-bytes": "1KiB"}):
        asked = policy(by="peer", athena=TABLE, **{"min-ports": 20}, **options)
        run = custodian(asked)
        assert found(run) == found(by_text)
        assert list(found(run)) == [scanned]
        assert codes(run) == {lost: "SkipData", absent: "NoRecords"}
    assert emulator.calls("s3", "GetObject") == []


@pytest.mark.parametrize(
    ("logs", "chosen"),
    [
        ([("fl-1", "vpc-1", "ALL", "s3"), ("fl-2", "eni-1", "REJECT", "s3")], "fl-2"),
        ([("fl-1", "eni-1", "ALL", "s3"), ("fl-2", "vpc-1", "ALL", "s3")], "fl-2"),
        ([("fl-1", "vpc-1", "ALL", "cloud-watch-logs"), ("fl-2", "eni-1", "ALL", "s3")], "fl-2"),
        ([("fl-1", "vpc-1", "ACCEPT", "s3"), ("fl-2", "vpc-2", "ALL", "s3")], None),
        ([("fl-1", "vpc-1", "ALL", "kinesis-data-firehose")], None),
    ],
    ids=["denied alone", "whole network", "s3 first", "accepted or another's", "unread place"],
)
def test_one_flow_log_of_several_is_read(logs: list[tuple[str, ...]], chosen: str | None) -> None:
    keys = ("FlowLogId", "ResourceId", "TrafficType", "LogDestinationType")
    rows = [{**dict(zip(keys, each, strict=True)), "FlowLogStatus": "ACTIVE"} for each in logs]
    interface = Interface("eni-1", frozenset(), ("vpc-1", "subnet-1", "eni-1"))
    assert flow_log_of(interface, rows) == chosen


def test_files_are_looked_for_where_aws_puts_them() -> None:
    log = {"FlowLogId": "fl-1", "LogDestination": f"arn:aws:s3:::{BUCKET}/a/b/"}
    name = f"{ACCOUNT}_vpcflowlogs_{REGION}_fl-1_"
    assert place_of(log, ACCOUNT, REGION).template == (
        f"a/b/AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/{{yyyy}}/{{MM}}/{{dd}}/{name}"
    )
    hourly = {**log, "DestinationOptions": {"PerHourPartition": True}}
    assert place_of(hourly, ACCOUNT, REGION).template.endswith(f"/{{dd}}/{{HH}}/{name}")


# --- what is not evaluated -----------------------------------------------------------------------


def test_an_instance_without_a_flow_log_or_files_is_not_evaluated(
    network: Network, emulator: Emulator, custodian: Custodian
) -> None:
    instance, *_ = network.instance()
    network.flow_log(TrafficType="ACCEPT")
    assert codes(custodian("ec2-scanned")) == {instance: "NoFlowLog"}
    network.flow_log()
    assert codes(custodian("ec2-scanned")) == {instance: "NoLogs"}
    emulator.fault("ec2", "DescribeFlowLogs", code="UnauthorizedOperation", times=None)
    assert codes(custodian("ec2-scanned")) == {instance: "UnauthorizedOperation"}


def test_a_file_that_cannot_be_read_whole_is_reported_and_what_it_shows_is_found(
    network: Network, emulator: Emulator, custodian: Custodian
) -> None:
    scanned, interface, address = network.instance()
    other, other_interface, other_address = network.instance()
    log = network.flow_log(TrafficType="REJECT")
    whole = gzip.compress(
        text([*scan(interface, address, 20), *scan(other_interface, other_address, 3)])
    )
    network.put(log, whole)
    assert codes(custodian("ec2-scanned")) == {}
    short = gzip.compress(text(scan(other_interface, other_address, 3)))[:-9]
    for body, code in ((short, "Truncated"), (b"not a header\nat all\n", "FormatUnknown")):
        network.put(log, body, f"{code}.log.gz")
        run = custodian("ec2-scanned")
        assert list(found(run)) == [scanned]
        assert codes(run) == {other: code}
    emulator.fault("s3", "GetObject", code="AccessDenied", times=None)
    assert codes(custodian("ec2-scanned")) == {scanned: "AccessDenied", other: "AccessDenied"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (gzip.compress(b"version interface-id srcaddr\n2 eni-1 1.2.3.4\n"), "FormatUnknown"),
        (gzip.compress(text([]) + b"too short\n" * 3), "BadLines"),
        (gzip.compress(text([])), "NoRecords"),
    ],
    ids=["another format", "no good line", "empty"],
)
def test_files_that_say_nothing_are_not_clean(
    network: Network, custodian: Custodian, body: bytes, code: str
) -> None:
    instance, *_ = network.instance()
    network.put(network.flow_log(), body)
    assert codes(custodian("ec2-scanned")) == {instance: code}


def test_of_a_flow_log_of_denied_traffic_alone_no_record_is_clean(
    network: Network, custodian: Custodian
) -> None:
    network.instance()
    network.put(network.flow_log(TrafficType="REJECT"), gzip.compress(text([])))
    run = custodian("ec2-scanned")
    assert (run.resources, codes(run)) == ([], {})


def test_parquet_that_is_none_or_of_another_format_is_reported(
    network: Network, custodian: Custodian, tmp_path: Path
) -> None:
    instance, *_ = network.instance()
    log = network.flow_log(DestinationOptions={"FileFormat": "parquet"})
    network.put(log, b"not parquet", "a.log.parquet")
    assert codes(custodian("ec2-scanned")) == {instance: "NotParquet"}
    fields = [name for name in DEFAULT if name != "dstport"]
    network.put(log, parquet([], tmp_path, fields), "a.log.parquet")
    assert codes(custodian("ec2-scanned")) == {instance: "FormatUnknown"}


def test_too_much_to_read_is_reported(network: Network, custodian: Custodian) -> None:
    instance, *_ = network.instance()
    network.put(network.flow_log(), b"x" * 2000)
    assert codes(custodian(policy(**{"max-bytes": "1KiB"}))) == {instance: "TooManyBytes"}


# --- lines ---------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=120).filter(lambda raw: b"\n" not in raw), max_size=20))
def test_no_line_is_lost_or_raises(lines: list[bytes]) -> None:
    parser = FlowParser(DEFAULT, {"eni-1"}, 0)
    records = list(parser.denied(lines))
    assert parser.lines == len(lines)
    assert len(records) + parser.bad <= len(lines)


values = st.one_of(st.integers(-5, 70000).map(str), st.sampled_from(["-", "x", "1.2.3.4", "::1"]))


@given(st.permutations(DEFAULT), st.sampled_from(NEEDED[1:5]), values)
def test_a_record_says_the_same_in_any_order_of_fields_and_one_bad_value_is_seen(
    fields: list[str], name: str, value: str
) -> None:
    good = row("eni-1", ATTACKER, "2001:db8::1", 22)
    parser = FlowParser(fields_of(" ".join(fields)), {"eni-1"}, 0)
    lines = [line(each, fields).encode() for each in (good, {**good, name: value})]
    records = list(parser.denied(lines))
    assert records[0] == Denied("eni-1", ATTACKER, "2001:db8::1", 22, None, NOW - 300, NOW - 300)
    assert len(records) + parser.bad == 2
    address = value in ("1.2.3.4", "::1")
    number = value.isdigit() and (name == "start" or int(value) <= 65535)
    assert (parser.bad == 0) == (address if name.endswith("addr") else number)


def test_a_format_with_something_between_its_fields_is_unknown() -> None:
    assert fields_of("${version} ${interface-id}") == ["version", "interface-id"]
    assert fields_of("version {x y} Z") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"peers-not-in": ["10.0.0.1/8"]}, r"peers-not-in: 10\.0\.0\.1/8 has host bits set"),
        ({"engine": "athena"}, "engine athena needs athena"),
        ({"by": "peer", "min-peers": 2}, "drop min-peers"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(PolicyValidationError, match=message):
        validate(policy(**options))
