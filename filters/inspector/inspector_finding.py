"""Amazon Inspector: which resources have findings like these?"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from c7n.exceptions import PolicyValidationError
from c7n.filters import Filter, ValueFilter
from c7n.utils import type_schema

import c7n_secops_inspector as inspector
from c7n_secops.aws.planner import Axis
from c7n_secops.comparisons import AGE, COUNT, is_count
from c7n_secops.element import SecOpsElement
from c7n_secops_inspector import criteria
from c7n_secops_inspector.not_scanned import why_not_scanned
from c7n_secops_inspector.reader import InspectorReader

RESOURCES = ("aws.ec2", "aws.ecr-image", "aws.lambda")

MANY = {"type": "array", "minItems": 1, "uniqueItems": True}
CVE = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9:._-]{1,127}$"}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}


class InspectorFinding(SecOpsElement, Filter):
    """Finds the resources that have Amazon Inspector findings like the ones described.

    A finding counts when it meets every key that is given; ``status`` is ACTIVE unless set. A
    resource matches when the number of its findings meets ``count`` (at least one, unless set),
    and is annotated with them: ``c7n:InspectorFindings``, as ListFindings returns them.

    A resource is clean only when Inspector has scanned it. One that is not scanned, or whose
    findings AWS refused to list, is recorded as not evaluated with the reason and is not matched,
    unless ``missing: match`` asks for it, as a gate would. So that such a resource cannot turn
    into a match, the filter is refused inside ``not``: say ``count: {op: eq, value: 0}``.

    ``severity``, ``cve``, ``epss``, ``exploit-available``, ``fix-available``, ``finding-type``,
    ``age`` (days since first observed) and ``status`` are decided by Inspector; ``ports`` (open in
    a network reachability finding) and ``attrs`` (value filters on the finding) here.

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-exploitable
            resource: aws.ec2
            filters:
              - type: inspector-finding
                severity: [CRITICAL, HIGH]
                epss: {gte: 0.5}
                exploit-available: true
                fix-available: ["YES", PARTIAL]
                age: {op: gt, days: 30}
                attrs:
                  - key: packageVulnerabilityDetails.vulnerablePackages[].name
                    op: contains
                    value: openssl

    :example:

    Functions that Inspector has scanned and found nothing in:

    .. code-block:: yaml

        policies:
          - name: lambda-without-findings
            resource: aws.lambda
            filters:
              - type: inspector-finding
                count: {op: eq, value: 0}
    """

    schema = type_schema(
        "inspector-finding",
        severity={**MANY, "items": {"enum": list(inspector.SEVERITIES)}},
        cve={**MANY, "maxItems": 1000, "items": CVE},
        epss={
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {"gte": SHARE, "lte": SHARE},
        },
        **{
            "exploit-available": {"type": "boolean"},
            "fix-available": {**MANY, "items": {"enum": ["YES", "NO", "PARTIAL", True, False]}},
            "finding-type": {
                "oneOf": [
                    {"enum": list(inspector.FINDING_TYPES)},
                    {**MANY, "items": {"enum": list(inspector.FINDING_TYPES)}},
                ]
            },
        },
        ports={**MANY, "items": {"type": "integer", "minimum": 0, "maximum": 65535}},
        age=AGE,
        status={**MANY, "items": {"enum": list(inspector.STATUSES)}},
        attrs={
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["key", "value"],
                "properties": {
                    "key": {"type": "string", "minLength": 1, "maxLength": 500},
                    **{
                        name: ValueFilter.schema["properties"][name]
                        for name in ("op", "value", "value_type")
                    },
                    "value_regex": {"type": "string", "minLength": 1, "maxLength": 500},
                },
            },
        },
        count=COUNT,
        missing={"enum": ["unknown", "match"]},
    )
    permissions = (
        "inspector2:ListFindings",
        "inspector2:ListCoverage",
        "inspector2:BatchGetAccountStatus",
    )
    annotation_key = "c7n:InspectorFindings"
    annotations = {annotation_key: "the findings that matched, as inspector2 ListFindings has them"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("count: {op: eq, value: 0}")
        types = criteria.finding_types(self.data)
        if "ports" in self.data and types != ["NETWORK_REACHABILITY"]:
            raise self.invalid("ports needs finding-type NETWORK_REACHABILITY, or none")
        kind = inspector.SCANNED[self.manager.type]
        if types and not criteria.scan_types(self.data, kind):
            raise self.invalid(
                f"finding-type {' and '.join(types)}: Inspector has none for "
                f"aws.{self.manager.type}, whose scans are {', '.join(kind.scans)}"
            )
        epss = self.data.get("epss", {})
        if epss.get("gte", 0) > epss.get("lte", 1):
            raise self.invalid("epss gte is above lte, which no finding can meet; swap them")
        for number, block in enumerate(self.data.get("attrs", ())):
            self.validate_attribute(number, block)
        return self

    def validate_attribute(self, number: int, block: dict[str, Any]) -> None:
        """Check one of ``attrs`` as Custodian checks a value filter."""
        try:
            ValueFilter({"type": "value", **block}).validate()
        except PolicyValidationError as error:
            raise self.invalid(f"attrs[{number}]: {error}") from error

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        kind = inspector.SCANNED[self.manager.type]
        by_id = {kind.id_of(resource): resource for resource in resources}
        reader = InspectorReader(self, kind)
        answer = reader.findings(
            criteria.criteria(
                self.data, kind, reader.account, datetime.now(timezone.utc).replace(microsecond=0)
            ),
            list(by_id),
            criteria.predicate(self.data),
            self.cve_axis(),
        )
        outcomes = {name: self.outcome(len(answer.rows.get(name, ())), False) for name in by_id}
        open_ids = [name for name, outcome in outcomes.items() if outcome is None]
        reasons = why_not_scanned(
            reader, open_ids, criteria.scan_types(self.data, kind), answer.refusal
        )
        for name in open_ids:
            if name in reasons:
                self.not_evaluated([by_id[name]], *reasons[name])
                outcomes[name] = self.data.get("missing") == "match" or None
            else:
                outcomes[name] = self.outcome(len(answer.rows.get(name, ())), True)
        matched = []
        for name, resource in by_id.items():
            if outcomes[name]:
                resource[self.annotation_key] = answer.rows.get(name, [])
                matched.append(resource)
        return matched

    def cve_axis(self) -> list[Axis]:
        """The second way to narrow the search: more CVEs than one call takes."""
        cves = self.data.get("cve", ())
        limit = inspector.VALUES_PER_KEY
        of = criteria.vulnerability_ids
        return [Axis("vulnerabilityId", cves, limit, of)] if len(cves) > limit else []

    def outcome(self, found: int, exact: bool) -> bool | None:
        """Whether ``count`` is met: True, False, or None where that cannot be known.

        ``exact`` says that the resource has no more findings than were found. Otherwise it may
        have more, so only what any larger number would confirm is known.
        """
        count = {"op": "gte", "value": 1, **self.data.get("count", {})}
        holds = is_count(found, count)
        if exact:
            return holds
        if count["op"] in ("gt", "gte"):
            return True if holds else None
        if count["op"] in ("lt", "lte"):
            return None if holds else False
        return holds if found > count["value"] else None
