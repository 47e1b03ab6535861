"""Reads Inspector's findings and coverage of given resources for the fewest calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from c7n_secops.aws.calls import RefusedError, client, pages, read
from c7n_secops.aws.planner import Axis, search
from c7n_secops_inspector import COVERAGE_PAGE, FINDINGS_PAGE, VALUES_PER_KEY, Scanned
from c7n_secops_inspector.criteria import equals

Rows = dict[str, list[dict[str, Any]]]


class Answer(NamedTuple):
    """``rows`` by Inspector's id of a resource; ``refusal`` where not all could be read."""

    rows: Rows
    refusal: RefusedError | None = None


def resource_ids(finding: dict[str, Any]) -> Iterator[str]:
    """The ids of the resources that a finding is about."""
    return (resource["id"] for resource in finding["resources"])


class InspectorReader:
    """Inspector as one element of a policy may ask it, about one kind of resource.

    Complete answers are kept in Custodian's cache under the account, the region, what was asked
    and of which resources.
    """

    def __init__(self, element: Any, kind: Scanned):
        self.element, self.kind = element, kind
        self.account = element.manager.config.account_id
        self.region = element.manager.config.region
        self.client = client(element, "inspector2")
        self.cache = element.manager._cache

    def findings(
        self,
        criteria: dict[str, Any],
        ids: Sequence[str],
        keep: Callable[[dict[str, Any]], bool],
        more_axes: Sequence[Axis] = (),
    ) -> Answer:
        """The findings that meet the criteria and ``keep``, by resource, each finding once."""
        return self._search(
            "list_findings",
            "findings",
            FINDINGS_PAGE,
            criteria,
            [Axis("resourceId", ids, VALUES_PER_KEY, resource_ids), *more_axes],
            keep,
            identity=lambda finding: finding["findingArn"],
            asked=self.element.data,
        )

    def coverage(self, ids: Sequence[str], scan_types: Sequence[str] = ()) -> Answer:
        """The coverage rows (one a scan type) of the resources; none where Inspector has none."""
        criteria = {
            "accountId": equals([self.account]),
            "resourceType": equals([self.kind.type]),
        }
        if scan_types:
            criteria["scanType"] = equals(list(scan_types))
        return self._search(
            "list_coverage",
            "coveredResources",
            COVERAGE_PAGE,
            criteria,
            [Axis("resourceId", ids, VALUES_PER_KEY, lambda row: (row["resourceId"],))],
            bool,
            identity=lambda row: (row["resourceId"], row["scanType"]),
            asked=criteria,
        )

    def switched_off(self) -> str | None:
        """The state of Inspector for this kind of resource, or None where it is ENABLED."""
        answer = read(
            self.client.batch_get_account_status,
            accountIds=[self.account],
        )
        for account in answer["accounts"]:
            if account["accountId"] == self.account:
                status: str = account["resourceState"][self.kind.switch]["status"]
                return None if status == "ENABLED" else status
        return None

    def _search(
        self,
        operation: str,
        key: str,
        page_size: int,
        criteria: dict[str, Any],
        axes: Sequence[Axis],
        keep: Callable[[dict[str, Any]], bool],
        identity: Callable[[dict[str, Any]], Any],
        asked: Any,
    ) -> Answer:
        """Search, and keep what concerns the resources, which the first axis narrows by.

        A complete answer is cached under ``asked``, which must say what ``keep`` keeps.
        """
        by_id = axes[0]
        place = (self.account, self.region, self.kind.type)
        entry = {"c7n-secops": (operation, *place), "asked": asked, "of": sorted(by_id.values)}
        with self.cache as cache:
            kept: Rows | None = cache.get(entry)
        if kept is not None:
            return Answer(kept)

        def ask(narrowed: dict[str, list[str]]) -> Iterator[list[dict[str, Any]]]:
            narrow = {name: equals(values) for name, values in narrowed.items()}
            return pages(
                self.client, operation, key, page_size, filterCriteria={**criteria, **narrow}
            )

        wanted = frozenset(by_id.values)
        rows: Rows = defaultdict(list)
        seen = set()
        try:
            for page in search(ask, axes):
                for row in page:
                    concerns = wanted.intersection(by_id.of(row))
                    if concerns and identity(row) not in seen and keep(row):
                        seen.add(identity(row))
                        for name in concerns:
                            rows[name].append(row)
        except RefusedError as refusal:
            return Answer(rows, refusal)
        with self.cache as cache:
            cache.save(entry, dict(rows))
        return Answer(rows)
