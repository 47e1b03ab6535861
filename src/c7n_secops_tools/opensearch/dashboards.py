"""The saved objects of OpenSearch Dashboards: four panels over the findings, as one NDJSON file.

Each panel aggregates the newest version of every finding that is active, whenever it was seen: the
index pattern has no time field, so a dashboard's time range hides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from c7n_secops_findings.sinks.opensearch import ALIAS
from c7n_secops_tools.report.findings import ATTENTION

ROWS = 50
"""Rows that a table shows of each level."""
TERMS = 10_000
"""Terms of a level that each index tells; were it less than there are, sums would be too low."""
ACTIVE: dict[str, Any] = {"status": "ACTIVE"}
NOTHING_SAID = "not said"
WIDTH, HEIGHT = 24, 16


@dataclass(frozen=True)
class Panel:
    """One table: its rows are the terms of ``levels``, each with the ``measures``.

    ``filters`` are the values of fields that a finding must have. A level is a field and how many
    of its terms are shown; a measure is an aggregation and its field. Levels are in order of the
    first measure.
    """

    name: str
    title: str
    filters: dict[str, Any]
    levels: tuple[tuple[str, int], ...]
    measures: tuple[tuple[str, str], ...] = (("count", ""),)

    def aggregations(self) -> list[dict[str, Any]]:
        """The panel's aggregations, in the form of Dashboards."""
        metrics = [
            _aggregation(number, kind, "metric", {"field": field} if field else {})
            for number, (kind, field) in enumerate(self.measures, 1)
        ]
        buckets = [
            _aggregation(
                number,
                "terms",
                "bucket",
                {
                    "field": field,
                    "size": size,
                    "orderBy": "1",
                    "order": "desc",
                    "otherBucket": False,
                    "missingBucket": True,
                    "missingBucketLabel": NOTHING_SAID,
                    "json": json.dumps({"shard_size": TERMS}),
                },
            )
            for number, (field, size) in enumerate(self.levels, len(metrics) + 1)
        ]
        return metrics + buckets


PANELS = (
    Panel(
        "types",
        "Types and severities by account",
        ACTIVE,
        (("account_id", ROWS), ("severity", 6), ("type", 10)),
    ),
    Panel(
        "accounts",
        "Most impacted accounts",
        ACTIVE,
        (("account_id", ROWS), ("account_name", 1)),
        (("count", ""), ("cardinality", "resource_id"), ("max", "epss")),
    ),
    Panel(
        "attention",
        "Instances that need attention now",
        ATTENTION,
        (("resource_id", ROWS), ("account_id", 1), ("region", 1), ("owner", 1)),
        (("count", ""), ("max", "epss"), ("min", "first_observed_at")),
    ),
    Panel(
        "cves",
        "Vulnerabilities: how many, what they are, what to do",
        {**ACTIVE, "source": "inspector2"},
        (("cves", ROWS), ("description.keyword", 1), ("remediation.keyword", 1)),
        (("count", ""), ("cardinality", "resource_id"), ("max", "epss")),
    ),
)


def saved_objects() -> Iterator[dict[str, Any]]:
    """The index pattern, the panels, and the dashboard that shows them."""
    yield {
        "id": ALIAS,
        "type": "index-pattern",
        "attributes": {"title": ALIAS},
        "references": [],
    }
    for panel in PANELS:
        yield _visualization(panel)
    yield _dashboard()


@click.command()
def dashboards() -> None:
    """Print the saved objects of OpenSearch Dashboards, to import there."""
    for saved in saved_objects():
        click.echo(json.dumps(saved))


def _aggregation(number: int, kind: str, schema: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(number),
        "enabled": True,
        "type": kind,
        "schema": schema,
        "params": parameters,
    }


def _visualization(panel: Panel) -> dict[str, Any]:
    state = {
        "title": panel.title,
        "type": "table",
        "aggs": panel.aggregations(),
        "params": {
            "perPage": 10,
            "showPartialRows": False,
            "showTotal": False,
            "percentageCol": "",
        },
    }
    source_json = "kibanaSavedObjectMeta.searchSourceJSON"
    filters: list[dict[str, Any]] = [
        {
            "$state": {"store": "appState"},
            "meta": {
                "alias": None,
                "disabled": False,
                "negate": False,
                "key": field,
                "type": "phrase",
                "params": {"query": value},
                "indexRefName": f"{source_json}.filter[{number}].meta.index",
            },
            "query": {"match_phrase": {field: value}},
        }
        for number, (field, value) in enumerate(panel.filters.items())
    ]
    source = {
        "query": {"query": "", "language": "kuery"},
        "filter": filters,
        "indexRefName": f"{source_json}.index",
    }
    referring = [source["indexRefName"], *(each["meta"]["indexRefName"] for each in filters)]
    return {
        "id": f"{ALIAS}-{panel.name}",
        "type": "visualization",
        "attributes": {
            "title": panel.title,
            "description": "",
            "version": 1,
            "uiStateJSON": "{}",
            "visState": json.dumps(state),
            "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)},
        },
        "references": [{"name": each, "type": "index-pattern", "id": ALIAS} for each in referring],
    }


def _dashboard() -> dict[str, Any]:
    panels, references = [], []
    for number, panel in enumerate(PANELS):
        place = {
            "x": WIDTH * (number % 2),
            "y": HEIGHT * (number // 2),
            "w": WIDTH,
            "h": HEIGHT,
            "i": str(number),
        }
        name = f"panel_{number}"
        panels.append(
            {
                "panelIndex": str(number),
                "gridData": place,
                "embeddableConfig": {},
                "panelRefName": name,
            }
        )
        references.append({"name": name, "type": "visualization", "id": f"{ALIAS}-{panel.name}"})
    return {
        "id": ALIAS,
        "type": "dashboard",
        "attributes": {
            "title": "Security findings",
            "description": "Findings of every account, each in its newest version",
            "panelsJSON": json.dumps(panels),
            "optionsJSON": json.dumps({"hidePanelTitles": False, "useMargins": True}),
            "timeRestore": False,
            "version": 1,
            "kibanaSavedObjectMeta": {
                "searchSourceJSON": json.dumps(
                    {"query": {"query": "", "language": "kuery"}, "filter": []}
                )
            },
        },
        "references": references,
    }
