"""Amazon Inspector: which resources does it scan, and why not the others?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

import c7n_secops_inspector as inspector
from c7n_secops.aws.calls import RefusedError
from c7n_secops.comparisons import AGE, is_of_age
from c7n_secops.element import SecOpsElement
from c7n_secops_inspector.reader import InspectorReader
from c7n_secops_membership import coverage
from c7n_secops_membership.inspector import SCAN_LIST

RESOURCES = ("aws.account", "aws.ec2", "aws.ecr-image", "aws.lambda")

MANY = {"type": "array", "minItems": 1, "uniqueItems": True}


class InspectorCoverage(SecOpsElement, Filter):
    """Finds the resources that Amazon Inspector covers, or does not, in the way described.

    On ``aws.account`` it asks for the whole account and region instead: which scans are on, and
    how many resources are scanned or not, and why. An account matches where a scan that
    ``switched-off`` lists is not on, and where any resource has one of ``status`` and ``reason``;
    without a key it always matches.

    Inspector lists one row of coverage for each scan of a resource. A resource matches when one
    of its rows meets every key that is given; with ``absent: true`` also when it has no row (of
    ``scan-type``, where that is given). ``last-scanned`` is the age of the last scan, and a row
    that was never scanned is older than any number of days.

    Annotates ``c7n:InspectorCoverage`` with the rows that matched, as ListCoverage returns them:
    ``scanStatus.reason`` says why a resource is not scanned. The list is empty for a resource
    that is absent. A resource whose coverage AWS refused to list is recorded as not evaluated.
    Annotates an account with ``c7n:InspectorAccount``: ``Scans`` (EC2, ECR, LAMBDA and LAMBDA_CODE,
    each with its status), ``Statuses`` and ``Reasons`` (how many scans of resources have each).

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-unscanned
            resource: aws.ec2
            filters:
              - "State.Name": running
              - type: inspector-coverage
                status: [INACTIVE]
                absent: true
    """

    schema = type_schema(
        "inspector-coverage",
        status={**MANY, "items": {"enum": ["ACTIVE", "INACTIVE"]}},
        reason={
            **MANY,
            "items": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]{1,99}$"},
        },
        absent={"type": "boolean"},
        **{
            "scan-type": {**MANY, "items": {"enum": list(inspector.SCAN_TYPES)}},
            "last-scanned": AGE,
            "switched-off": SCAN_LIST,
        },
    )
    permissions = ("inspector2:ListCoverage", *coverage.PERMISSIONS)
    packages = ("c7n_secops_membership",)
    annotation_key, account_key = "c7n:InspectorCoverage", "c7n:InspectorAccount"
    annotations = {
        annotation_key: "the rows that matched, as inspector2 ListCoverage has them",
        account_key: "which scans are on in an account, and counts of scan statuses and reasons",
    }

    @property
    def is_of_account(self) -> bool:
        """Whether the policy is about accounts, not about what Inspector scans in them."""
        return bool(self.manager.type == "account")

    def get_permissions(self) -> tuple[str, ...]:
        return coverage.PERMISSIONS if self.is_of_account else ("inspector2:ListCoverage",)

    def validate(self) -> Any:
        super().validate()
        if self.is_of_account:
            self.refuse_inside_not("switched-off, or another status")
            if given := [key for key in coverage.OF_RESOURCES if key in self.data]:
                raise self.invalid(f"{given[0]} is of one resource, not of an account; remove it")
            return self
        if "switched-off" in self.data:
            raise self.invalid("switched-off is of an account; use resource: aws.account")
        self.refuse_inside_not("status: [INACTIVE] with absent: true")
        if not {"status", "reason", "absent", "last-scanned"} & self.data.keys():
            raise self.invalid("needs one of status, reason, absent and last-scanned")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        if self.is_of_account:
            return self.accounts(resources)
        kind = inspector.SCANNED[self.manager.type]
        by_id = {kind.id_of(resource): resource for resource in resources}
        answer = InspectorReader(self, kind).coverage(list(by_id), self.data.get("scan-type", ()))
        if answer.refusal:
            # a list of coverage that ends early proves no absence, so no resource is spared
            self.not_evaluated(resources, answer.refusal.code, str(answer.refusal))
            return []
        matched = []
        for name, resource in by_id.items():
            rows = answer.rows.get(name, [])
            meeting = [row for row in rows if self.meets(row)]
            if meeting or (not rows and self.data.get("absent")):
                resource[self.annotation_key] = meeting
                matched.append(resource)
        return matched

    def meets(self, row: dict[str, Any]) -> bool:
        """Whether one row of coverage meets every key of the filter that speaks of rows."""
        conditions = {"status", "reason", "last-scanned"} & self.data.keys()
        if not conditions:
            return False
        status = row["scanStatus"]
        if status["statusCode"] not in self.data.get("status", (status["statusCode"],)):
            return False
        if status["reason"] not in self.data.get("reason", (status["reason"],)):
            return False
        if "last-scanned" not in conditions:
            return True
        scanned = row.get("lastScannedAt")
        if scanned is None:
            return self.data["last-scanned"].get("op", "gt") in ("gt", "gte")
        return is_of_age(scanned, self.data["last-scanned"])

    def accounts(self, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The account, if the filter matches it."""
        try:
            found = coverage.summary(self, self.data)
        except (RefusedError, coverage.NotAnsweredError) as refused:
            self.not_evaluated(resources, refused.code, str(refused))
            return []
        for resource in resources:
            resource[self.account_key] = found
        return resources if coverage.meets(found, self.data) else []
