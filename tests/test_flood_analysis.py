"""Floods in log files: who offends, in which window, and the same by every engine."""

from __future__ import annotations

import ipaddress
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from c7n_secops_edge import flood, flood_sql
from c7n_secops_edge.flood import analyse
from c7n_secops_edge.flood_answers import concluded
from c7n_secops_edge.flood_duckdb import analyse_with_duckdb
from c7n_secops_edge.flood_options import Options
from c7n_secops_edge.logs.files import LogFile, local_files
from tests.edge_logs import (
    FIELDS,
    RULES,
    WIDEN,
    Request,
    at,
    burst,
    cloudfront,
    cloudfront_json,
    load_balancer,
    planted,
    spread,
    waf,
)

FORMATS = (cloudfront, cloudfront_json, load_balancer, waf)
FLOOD, ERRORS = RULES
SCAN = {
    "name": "scan",
    "metric": "uri-scan",
    "threshold": 4,
    "window": 3,
    "uris": {"prefix": ["/.env", "/100%_"], "suffix": [".php"]},
}


def options(*rules, **more):
    return Options.of({"rules": list(rules or RULES), **more})


def in_memory(*contents):
    """Log files of these contents."""
    return [
        LogFile(f"{number}.gz", len(content), lambda content=content: iter([content]))
        for number, content in enumerate(contents)
    ]


def found(analysis, rule="flood"):
    return {each["address"] for each in analysis.offenders if each["rule"] == rule}


def without_samples(analysis):
    return [{**each, "samples": []} for each in analysis.offenders]


# --- who is found -------------------------------------------------------------------------------


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_planted_attacker_is_found_and_no_one_else_by_every_engine(write, seed, tmp_path):
    requests, expected = planted(seed)
    spread(requests, tmp_path, 7, write)
    files, asked = local_files(tmp_path), options(widen=WIDEN)
    by_python = analyse(files, asked)
    assert {rule: found(by_python, rule) for rule in expected} == expected
    by_duckdb = analyse_with_duckdb(files, asked)
    assert without_samples(by_duckdb) == without_samples(by_python)
    assert by_duckdb.minutes == by_python.minutes
    assert by_duckdb.logs == by_python.logs
    assert by_python.logs["badLines"] == 0


def test_the_answer_does_not_depend_on_how_the_lines_are_spread_or_ordered():
    requests, _ = planted(8)
    expected = analyse(in_memory(cloudfront(requests)), options(widen=WIDEN))
    dice = random.Random(8)  # noqa: S311
    for files in (2, 5):
        dice.shuffle(requests)
        parts = [cloudfront(requests[number::files]) for number in range(files)]
        answer = analyse(in_memory(*parts), options(widen=WIDEN))
        assert without_samples(answer) == without_samples(expected)
        assert answer.minutes == expected.minutes


@pytest.mark.parametrize(
    ("per_minute", "offends"),
    [
        ([100, 100], True),
        ([100, 99], False),
        ([100, 0, 0, 0, 100], True),
        ([100, 0, 0, 0, 0, 100], False),
        ([40, 40, 40, 40, 40], True),
        ([39, 40, 40, 40, 40, 40], True),
        ([39, 40, 40, 40, 40, 39], False),
    ],
)
@pytest.mark.parametrize("first", range(5))
def test_a_window_is_any_five_minutes_in_a_row(per_minute, offends, first):
    log = cloudfront(burst("198.18.7.7", first, per_minute))
    answer = analyse(in_memory(log), options(FLOOD))
    assert found(answer) == ({"198.18.7.7/32"} if offends else set())


def test_the_worst_window_is_told_and_when_the_limit_was_first_and_last_passed():
    log = cloudfront(burst("198.18.7.7", 0, [150, 60, 0, 0, 0, 0, 0, 220, 0, 300]))
    (offender,) = analyse(in_memory(log), options(FLOOD)).offenders
    assert (offender["count"], offender["windowStart"]) == (520, "2026-08-20T13:05Z")
    assert (offender["firstOver"], offender["lastOver"]) == (
        "2026-08-20T13:01Z",
        "2026-08-20T13:09Z",
    )
    assert (offender["firstSeen"], offender["lastSeen"]) == (
        "2026-08-20T13:00Z",
        "2026-08-20T13:09Z",
    )


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=20),
    st.integers(1, 8),
    st.integers(2, 200),
)
@settings(max_examples=60, deadline=None)
def test_windows_are_as_a_count_of_all_of_them_says(per_minute, window, threshold):
    sums = [sum(per_minute[max(0, end - window + 1) : end + 1]) for end in range(len(per_minute))]
    rule = {**FLOOD, "window": window, "threshold": threshold}
    answer = analyse(in_memory(cloudfront(burst("198.18.7.7", 0, per_minute))), options(rule))
    assert bool(answer.offenders) is (max(sums) >= threshold)
    if answer.offenders:
        assert answer.offenders[0]["count"] == max(sums)


def test_errors_are_counted_by_the_statuses_that_the_rule_names():
    log = cloudfront(
        [
            *burst("198.18.7.7", 0, [50], status=404),
            *burst("198.18.7.8", 0, [49], status=404),
            *burst("198.18.7.8", 0, [50], status=500),
        ]
    )
    answer = analyse(in_memory(log), options(ERRORS))
    assert found(answer, "errors") == {"198.18.7.7/32"}
    assert answer.offenders[0]["metric"] == "errors"


def scanned(address, *uris, minute=0):
    return [Request(at(minute), address, uri=uri, status=404) for uri in uris]


def scans():
    """Who probes four different paths within three minutes, and those who nearly do."""
    return [
        *scanned("198.18.7.1", "/.env", "/.env.bak", "/a.php"),
        *scanned("198.18.7.1", "/b.php", minute=2),
        *scanned("198.18.7.2", *["/a.php"] * 9, "/b.php", "/c.php"),
        *scanned("198.18.7.3", "/a.php", "/b.php", "/c.php"),
        *scanned("198.18.7.3", "/d.php", minute=3),
        *scanned("198.18.7.4", "/x/.env", "/1.html", "/2.html", "/3.html", "/4.html"),
        *scanned("198.18.7.5", "/100%_1", "/100%_2", "/100%_3", "/100%_4"),
        *scanned("198.18.7.6", "/1000_1", "/100%a2", "/100%a3", "/100%a4"),
    ]


@pytest.mark.parametrize("engine", [analyse, analyse_with_duckdb])
def test_a_scan_is_different_paths_of_the_list_not_many_requests(engine, tmp_path):
    spread(scans(), tmp_path, 2)
    answer = engine(local_files(tmp_path), options(SCAN))
    assert found(answer, "scan") == {"198.18.7.1/32", "198.18.7.5/32"}
    assert {each["count"] for each in answer.offenders} == {4}


def test_a_scan_can_be_told_by_a_regular_expression():
    rule = {**SCAN, "uris": {"regex": [r"^/v[0-9]+/admin"]}}
    uris = [f"/v{number}/admin" for number in range(4)]
    log = cloudfront(
        [*scanned("198.18.7.1", *uris), *scanned("198.18.7.2", *uris[:3], "/vv/admin")]
    )
    assert found(analyse(in_memory(log), options(rule)), "scan") == {"198.18.7.1/32"}


@pytest.mark.parametrize("engine", [analyse, analyse_with_duckdb])
def test_paths_that_are_ignored_do_not_count(engine, tmp_path):
    requests = [
        *burst("198.18.7.7", 0, [199]),
        *burst("198.18.7.7", 0, [50], uri="/a.css"),
        *burst("198.18.7.8", 0, [200], uri="/assets/x"),
        *burst("198.18.7.9", 0, [200], uri="/a.css/x"),
    ]
    spread(requests, tmp_path, 2)
    ignore = {"suffix": [".css"], "prefix": ["/assets/"]}
    answer = engine(local_files(tmp_path), options(FLOOD, **{"uri-ignore": ignore}))
    assert found(answer) == {"198.18.7.9/32"}
    assert answer.minutes[0]["requests"] == 399


# --- groups and networks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "expected"), [(64, {"2001:db8:0:1::/64"}), (56, {"2001:db8::/56"}), (128, set())]
)
def test_ipv6_clients_are_grouped_as_asked(bits, expected):
    log = cloudfront([Request(at(0), f"2001:db8:0:1::{number:x}") for number in range(1, 201)])
    grouping = {"ipv4": 32, "ipv6": bits}
    assert found(analyse(in_memory(log), options(FLOOD, **{"group-by": grouping}))) == expected


def hosts(number, requests, network="45.61.184"):
    return [
        request
        for host in range(1, number + 1)
        for request in burst(f"{network}.{host}", 0, [requests])
    ]


def test_a_network_is_widened_to_only_for_enough_hosts():
    enough, few = hosts(32, 7), hosts(31, 7, "45.61.185")
    answer = analyse(in_memory(cloudfront([*enough, *few])), options(FLOOD, widen=WIDEN))
    assert found(answer) == {"45.61.184.0/24"}
    assert answer.offenders[0]["hosts"] == 32


def test_neighbours_are_not_blocked_for_the_one_that_floods_alone():
    requests = [*hosts(40, 4), *burst("45.61.184.200", 0, [500])]
    answer = analyse(in_memory(cloudfront(requests)), options(FLOOD, widen=WIDEN))
    assert found(answer) == {"45.61.184.200/32"}


def test_hosts_must_be_many_in_one_window():
    requests = [
        request
        for host in range(1, 41)
        for request in burst(f"45.61.184.{host}", (host % 2) * 30, [11])
    ]
    assert not analyse(in_memory(cloudfront(requests)), options(FLOOD, widen=WIDEN)).offenders


# --- samples ------------------------------------------------------------------------------------


def test_samples_are_bounded_and_what_a_client_sent_is_data_in_them():
    agent = "\x1b[31m" + "x" * 5000
    log = cloudfront(burst("198.18.7.7", 0, [300], agent=agent, uri="/\u202e%0A"))
    (offender,) = analyse(in_memory(log), options(FLOOD, samples=2)).offenders
    assert len(offender["samples"]) == 2
    for sample in offender["samples"]:
        assert sample["uri"] == "/\\u202e%0A"
        assert sample["agent"].startswith("\\x1b[31mxxx")
        assert all(len(value) <= 200 for value in sample.values())


def test_no_samples_are_taken_where_none_are_asked_for():
    opened = []
    content = cloudfront(burst("198.18.7.7", 0, [300]))

    def pieces():
        opened.append(1)
        yield content

    files = [LogFile("log.gz", len(content), pieces)]
    assert analyse(files, options(FLOOD, samples=0)).offenders[0]["samples"] == []
    assert len(opened) == 1


def test_the_second_look_is_bounded(monkeypatch):
    content = cloudfront([*burst("198.18.1.1", 0, [100]), *burst("198.18.7.7", 0, [300])])
    opened = []

    def pieces():
        opened.append(1)
        yield content

    monkeypatch.setattr(flood, "SAMPLED_BYTES", 1)
    files = [LogFile(f"{number}", len(content), pieces) for number in range(20)]
    analyse(files, options(FLOOD, samples=20))
    assert len(opened) == 21


def test_progress_is_told_of_each_file():
    seen = []
    files = in_memory(*[cloudfront(burst("198.18.7.7", 0, [3]))] * 5)
    analyse(files, options(), progress=seen.append)
    assert seen == files


# --- one SQL for two engines --------------------------------------------------------------------

ALL = options(FLOOD, ERRORS, SCAN, widen=WIDEN, **{"uri-ignore": {"suffix": [".css", "it's"]}})


@pytest.mark.parametrize("dialect", ["athena", "trino", "duckdb"])
@pytest.mark.parametrize("layout", flood_sql.LAYOUTS)
def test_the_sql_is_of_both_dialects(layout, dialect):
    texts = flood_sql.queries(ALL, layout, '"edge"."logs"', at(0))
    for text in (texts.counts, texts.paths, texts.minutes, texts.lines):
        parsed = sqlglot.parse_one(text, dialect=dialect)
        again = sqlglot.parse_one(parsed.sql(dialect=dialect), dialect=dialect)
        assert again == parsed
        assert not list(parsed.find_all(sqlglot.exp.Anonymous)), "a function one does not know"


TABLES = {
    "cloudfront": (
        '"date" DATE, "time" VARCHAR, c_ip VARCHAR, sc_status INTEGER, cs_uri_stem VARCHAR',
        lambda r: (f"{r.at:%Y-%m-%d}", f"{r.at:%H:%M:%S}", r.address, r.status, r.uri),
    ),
    "alb": (
        '"time" VARCHAR, client_ip VARCHAR, elb_status_code INTEGER, request_url VARCHAR',
        lambda r: (
            f"{r.at:%Y-%m-%dT%H:%M:%S.186641Z}",
            r.address,
            r.status,
            f"{r.uri}?q=1",
        ),
    ),
    "waf": (
        """"timestamp" BIGINT, httprequest STRUCT(clientip VARCHAR, uri VARCHAR),
        responsecodesent INTEGER, action VARCHAR""",
        lambda r: (
            int(r.at.timestamp() * 1000),
            {"clientip": r.address, "uri": r.uri},
            None if r.status == 403 else r.status,
            "BLOCK" if r.status == 403 else "ALLOW",
        ),
    ),
}


@pytest.mark.parametrize("layout", TABLES)
def test_the_sql_finds_the_same_in_each_documented_table(layout):
    requests, expected = planted(6)
    requests += burst("198.18.7.9", 3, [50], status=403)
    columns, row = TABLES[layout]
    with duckdb.connect() as database:
        database.execute(f"CREATE TABLE logs ({columns})")
        marks = ", ".join("?" for _ in row(requests[0]))
        insert = f"INSERT INTO logs VALUES ({marks})"  # noqa: S608
        database.executemany(insert, [row(each) for each in requests])
        asked = options(widen=WIDEN)
        texts = flood_sql.queries(asked, layout, "logs")

        def rows(text):
            cursor = database.execute(text)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]

        answer = concluded(asked, rows(texts.counts), [], rows(texts.minutes), flood.Logs(files=1))
    assert found(answer) == expected["flood"]
    assert found(answer, "errors") == expected["errors"] | {"198.18.7.9/32"}


def forms(address):
    """An IPv6 address as different programs write it."""
    full = address.exploded
    groups = [group.lstrip("0") or "0" for group in full.split(":")]
    return [str(address), full, full.upper(), ":".join(groups), f"{address}%eth0"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 0, 1, 0xA]),
            st.sampled_from([0, 0, 2]),
            st.sampled_from([0, 3]),
            st.sampled_from([0, 0, 4]),
            st.sampled_from([0, 5]),
            st.sampled_from([0, 0, 6]),
            st.sampled_from([0, 7]),
            st.sampled_from([0, 8]),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=25, deadline=None)
def test_ipv6_is_grouped_alike_by_all_engines_however_it_is_written(addresses):
    requests = []
    for groups in addresses:
        address = ipaddress.IPv6Address(
            ":".join(f"{0x2001:x}" if n == 0 else f"{g:x}" for n, g in enumerate(groups))
        )
        requests += [Request(at(0), form) for form in forms(address)]
    asked = options({**FLOOD, "threshold": 7})
    with tempfile.TemporaryDirectory() as folder:
        spread(requests, Path(folder), 1)
        files = local_files(Path(folder))
        by_python, by_duckdb = analyse(files, asked), analyse_with_duckdb(files, asked)
    assert without_samples(by_duckdb) == without_samples(by_python)
    assert by_python.logs["badLines"] == 0


def test_the_engines_agree_on_lines_that_say_nothing(tmp_path):
    requests = burst("198.18.7.7", 0, [250])
    broken = [
        replace(each, address=bad)
        for each, bad in zip(requests, ("-", "", "1.2.3", "x:y"), strict=False)
    ]
    log = cloudfront([*requests, *broken], FIELDS)
    (tmp_path / "1.gz").write_bytes(log)
    (tmp_path / "2.gz").write_bytes(cloudfront(requests)[:-100])
    files = local_files(tmp_path)
    by_python, by_duckdb = analyse(files, options()), analyse_with_duckdb(files, options())
    assert without_samples(by_duckdb) == without_samples(by_python)
    assert by_python.logs == by_duckdb.logs
    assert by_python.logs["badLines"] == 4
    assert by_python.logs["truncated"] == [str(tmp_path / "2.gz")]
