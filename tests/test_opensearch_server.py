"""The sink and the panels of dashboards against a real server: ``make test-opensearch``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from c7n_secops_findings.record import Finding
from c7n_secops_findings.sinks.opensearch import ALIAS, Cluster, OpenSearchSink, index_of
from c7n_secops_findings.store import Store, open_store
from c7n_secops_tools.opensearch.dashboards import PANELS, Panel, saved_objects
from tests.emulator import Emulator
from tests.finding_fleet import findings
from tests.harness import ACCOUNT, REGION, Cli
from tests.opensearch.server import OpenSearch, running
from tests.test_ingest import Hub, deploy, message

pytestmark = pytest.mark.opensearch

NUMBER = 1500
NOTHING = "not said"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSearch]:
    with running(tmp_path_factory.mktemp("opensearch")) as started:
        yield started


@pytest.fixture
def empty(server: OpenSearch) -> OpenSearch:
    """The server without indices and templates."""
    server.ask("DELETE", f"/{ALIAS}-*?expand_wildcards=all")
    server.ask("DELETE", "/_index_template/*")
    return server


def sink_of(server: OpenSearch, **options: Any) -> OpenSearchSink:
    session = boto3.Session("AKIAEXAMPLE", "secret", region_name="eu-west-1")
    return OpenSearchSink(Cluster(server.endpoint, session, "eu-west-1"), **options)


def stored(server: OpenSearch, size: int = 10_000) -> dict[str, Any]:
    server.ask("POST", f"/{ALIAS}/_refresh")
    hits = server.ask("POST", f"/{ALIAS}/_search", {"size": size, "version": True})["hits"]["hits"]
    return {hit["_id"]: hit for hit in hits}


def as_stored(finding: Finding) -> Any:
    return json.loads(finding.to_json())


def local_records(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of a local store as OpenSearch and S3 have them, without what is not known."""
    rows = open_store(folder).sql("SELECT * FROM findings")
    return {
        record["id"]: known(record)
        for record in (dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall())
    }


def known(value: Any) -> Any:
    """A value of a record without its empty parts, with times as seconds."""
    if isinstance(value, dict):
        return {key: known(part) for key, part in value.items() if part not in (None, [], {})}
    if isinstance(value, list):
        return [known(part) for part in value]
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, str):
        if TIME.fullmatch(value):
            return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
        if value.startswith("{"):
            return known(json.loads(value))
    return value


def test_every_finding_is_stored_as_it_was_written(empty: OpenSearch) -> None:
    given = list(findings(200))
    assert sink_of(empty, largest=50_000).write(given) == []
    found = stored(empty)
    assert {name: hit["_source"] for name, hit in found.items()} == {
        each.id: as_stored(each) for each in given
    }
    assert {hit["_index"] for hit in found.values()} == {index_of(each) for each in given}


def test_events_of_three_accounts_are_one_record_in_each_store(
    empty: OpenSearch,
    emulator: Emulator,
    offline_cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, _hub = deploy(emulator, offline_cli, tmp_path)
    for name, value in emulator.environ(ACCOUNT, REGION).items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    hub = Hub(emulator, tmp_path)
    ingester = hub.ingester(role="c7n-secops-findings-reader")
    ingester.sinks["opensearch"] = sink_of(empty)
    queue = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/c7n-secops-findings"
    while told := hub.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        batch = [message(each["Body"], number) for number, each in enumerate(told, start=1)]
        assert ingester.ingest(batch) == []
        for each in told:
            hub.sqs.delete_message(QueueUrl=queue, ReceiptHandle=each["ReceiptHandle"])
    indexed = {name: hit["_source"] for name, hit in stored(empty).items()}
    assert sorted(each["resource_id"] for each in indexed.values()) == sorted(
        each.id for each in made.instances
    )
    assert {each["enrichment_status"] for each in indexed.values()} == {"ok"}
    assert {line["id"]: line for line in hub.lines()} == indexed
    assert local_records(hub.folder) == {name: known(each) for name, each in indexed.items()}


def test_each_finding_is_there_once_in_its_newest_version_in_any_order(empty: OpenSearch) -> None:
    from dataclasses import replace

    old = list(findings(50))
    new = [replace(each, version=each.version + 1, status="CLOSED") for each in old]
    sink = sink_of(empty)
    for batch in (old[:30], new, old, new, old[20:]):
        assert sink.write(batch) == []
    found = stored(empty)
    assert {name: hit["_source"] for name, hit in found.items()} == {
        each.id: as_stored(each) for each in new
    }
    assert {hit["_version"] for hit in found.values()} == {new[0].version}


def test_a_record_that_cannot_be_indexed_is_refused_and_the_others_stored(
    empty: OpenSearch,
) -> None:
    good, bad = findings(2)
    object.__setattr__(bad, "updated_at", "yesterday")
    (refusal,) = sink_of(empty).write([good, bad])
    assert (refusal.id, refusal.code) == (bad.id, "mapper_parsing_exception")
    assert "updated_at" in refusal.reason
    assert set(stored(empty)) == {good.id}


def test_a_finding_with_nothing_but_its_required_fields_is_stored(empty: OpenSearch) -> None:
    finding = next(findings(1))
    bare = Finding(
        **{
            name: getattr(finding, name)
            for name, of in Finding.__dataclass_fields__.items()
            if of.default is of.default_factory  # type: ignore[comparison-overlap]
        }
    )
    assert bare.account_name is None
    assert sink_of(empty).write([bare]) == []
    assert stored(empty)[bare.id]["_source"] == as_stored(bare)


def test_the_raw_finding_is_kept_and_not_indexed(empty: OpenSearch) -> None:
    sink_of(empty).write(list(findings(5)))
    stored(empty)
    fields = empty.ask("GET", f"/{ALIAS}/_field_caps?fields=*")["fields"]
    assert not [name for name in fields if name.startswith("raw.")]
    assert fields["cves"]["keyword"]["aggregatable"] is True
    assert fields["public_ips"]["ip"]["searchable"] is True


# the panels


class Row(NamedTuple):
    """A row of a panel: the terms of its levels, and its measures."""

    terms: tuple[Any, ...]
    measures: tuple[float | None, ...]


def panel_query(saved: dict[str, Any]) -> dict[str, Any]:
    """What Dashboards asks for a saved panel."""
    attributes = saved["attributes"]
    source = json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])
    aggregations = json.loads(attributes["visState"])["aggs"]
    measures = {
        each["id"]: {each["type"]: {"field": each["params"]["field"]}}
        for each in aggregations
        if each["schema"] == "metric" and each["type"] != "count"
    }
    below: dict[str, Any] = measures
    for each in reversed([each for each in aggregations if each["schema"] == "bucket"]):
        told = each["params"]
        first = aggregations[int(told["orderBy"]) - 1]
        assert first["type"] == "count"
        terms = {"field": told["field"], "size": told["size"], "order": {"_count": told["order"]}}
        terms |= json.loads(told["json"])
        if told["missingBucket"]:
            terms["missing"] = told["missingBucketLabel"]
        below = {each["id"]: {"terms": terms, "aggs": {**measures, **below}}}
    return {
        "size": 0,
        "track_total_hits": True,
        "query": {"bool": {"filter": [each["query"] for each in source["filter"]]}},
        "aggs": below,
    }


def rows_of(panel: Panel, answer: dict[str, Any]) -> Iterator[Row]:
    first = len(panel.measures) + 1

    def walk(bucket: dict[str, Any], level: int, terms: tuple[Any, ...]) -> Iterator[Row]:
        if level == len(panel.levels):
            numbers = [
                bucket["doc_count"] if kind == "count" else bucket[str(number)]["value"]
                for number, (kind, _) in enumerate(panel.measures, 1)
            ]
            yield Row(terms, tuple(None if each is None else round(each, 4) for each in numbers))
            return
        for below in bucket[str(first + level)]["buckets"]:
            yield from walk(below, level + 1, (*terms, below["key"]))

    return walk(answer["aggregations"], 0, ())


SQL = {
    "count": "count(*)",
    "cardinality": "count(DISTINCT {field})",
    "max": "max({field})",
    "min": "min({field})",
}


def duckdb_rows(panel: Panel, folder: Path) -> Iterator[Row]:
    """The same panel, asked of the local store."""
    columns = [field.removesuffix(".keyword") for field, _ in panel.levels]
    source = "findings"
    if "cves" in columns:
        source = "(SELECT * EXCLUDE (cves), unnest(cves) AS cves FROM findings)"
    measures = [
        SQL[kind].format(field=f"epoch_ms({field})" if field.endswith("_at") else field)
        for kind, field in panel.measures
    ]
    where = " AND ".join(f"{field} = ?" for field in panel.filters)
    terms = ", ".join(f"coalesce({name}, '{NOTHING}')" for name in columns)
    answer = open_store(folder).execute(
        f"SELECT {terms}, {', '.join(measures)} FROM {source} WHERE {where} GROUP BY ALL",  # noqa: S608
        list(panel.filters.values()),
    )
    for row in answer.fetchall():
        numbers = row[len(columns) :]
        yield Row(
            row[: len(columns)],
            tuple(None if each is None else round(float(each), 4) for each in numbers),
        )


@pytest.fixture(scope="module")
def both(server: OpenSearch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same findings in the server, and in the local store whose folder this is."""
    folder = tmp_path_factory.mktemp("store")
    given = list(findings(NUMBER))
    Store(folder / "findings").write(given)
    assert sink_of(server).write(given) == []
    server.ask("POST", f"/{ALIAS}/_refresh")
    return folder


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_a_panel_has_the_numbers_of_the_local_store(
    server: OpenSearch, both: Path, panel: Panel
) -> None:
    (saved,) = [each for each in saved_objects() if each["id"] == f"{ALIAS}-{panel.name}"]
    answer = server.ask("POST", f"/{ALIAS}/_search", panel_query(saved))
    shown, expected = list(rows_of(panel, answer)), list(duckdb_rows(panel, both))
    assert shown
    counts = [row.measures[0] for row in shown]
    if len(expected) <= panel.levels[0][1]:
        assert sorted(shown) == sorted(expected)
    else:
        assert set(shown) <= set(expected)
        least = sorted((row.measures[0] for row in expected), reverse=True)[len(shown) - 1]
        assert min(counts) >= least, "the panel shows the greatest"
