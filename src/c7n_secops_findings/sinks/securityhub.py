"""The sink ``securityhub``: findings imported under each finding's own account and region."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from c7n_secops.aws.calls import FAILURES, failure
from c7n_secops.aws.planner import batches
from c7n_secops_findings.access import Access
from c7n_secops_findings.formats import asff
from c7n_secops_findings.record import Finding, identity
from c7n_secops_findings.sinks import Refusal, refused

FINDINGS = 100
"""Findings that one BatchImportFindings takes."""


class SecurityHubSink:
    """Imports findings, but for those that Security Hub has already told us of."""

    def __init__(self, access: Access):
        self.access = access

    def write(self, findings: Sequence[Finding]) -> list[Refusal]:
        refusals = []
        places = defaultdict(list)
        for finding in findings:
            if finding.source != "securityhub":
                places[finding.account_id, finding.region].append(finding)
        for place, group in places.items():
            for batch in batches(group, FINDINGS):
                try:
                    client = self.access.client("securityhub", *place)
                    answer = client.batch_import_findings(
                        Findings=[asff.finding_of(each) for each in batch]
                    )
                except FAILURES as error:
                    refusals += refused(batch, *failure(error))
                    continue
                refusals += [
                    Refusal(identity(each["Id"]), each["ErrorCode"], each["ErrorMessage"])
                    for each in answer.get("FailedFindings", [])
                ]
        return refusals
