"""Findings: store them, or hand them on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from c7n.actions import Action
from c7n.exceptions import PolicyExecutionError
from c7n.utils import get_partition, type_schema

from c7n_secops.element import SecOpsElement
from c7n_secops_findings.access import Access
from c7n_secops_findings.accounts import Accounts
from c7n_secops_findings.backfill import SOURCES
from c7n_secops_findings.decode import UnknownShapeError, attempt, inspector2
from c7n_secops_findings.enrich import Enricher, with_instance
from c7n_secops_findings.export import Export
from c7n_secops_findings.record import Finding
from c7n_secops_findings.sinks import Refusal, options

RESOURCES = ("aws.ec2", "aws.ecr-image", "aws.lambda", "aws.account")

FINDINGS = "c7n:InspectorFindings"
READS = {
    "inspector2": ("inspector2:ListFindings",),
    "guardduty": ("guardduty:ListDetectors", "guardduty:ListFindings", "guardduty:GetFindings"),
}
REGION = {"type": "string", "pattern": "^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$"}


class ExportFinding(SecOpsElement, Action):
    """Stores findings as records of one form, or hands them on to other tools.

    On aws.ec2, aws.ecr-image and aws.lambda these are the findings that an ``inspector-finding``
    filter before it put into ``c7n:InspectorFindings``. On aws.account they are all that Inspector
    and GuardDuty hold (``sources``, both unless set) in the policy's region or in ``regions``, or
    those that changed within ``since`` days. In a delegated administrator's account that includes
    findings of other accounts: ``role`` is the name of the role there under which their instances
    are looked up; without it their records are marked ``denied``.

    A record has the account's name, organisational unit and owner where ``accounts`` names an
    accounts.yml that has them, and the instance's VPC, subnet, groups, addresses and tags. The same
    finding has the same id in every sink, and exporting it again changes nothing, but in
    ``firehose``, ``sqs`` and ``sns``, which only pass it on.

    ``sinks`` are ``local`` (Parquet files under the output directory, which take the extra
    ``findings``), ``s3`` (``bucket``, ``prefix``, ``kms-key``; ``formats``: record, raw, ocsf,
    asff), ``opensearch`` (``endpoint``), ``securityhub`` (imported in each finding's own account),
    ``firehose`` (``stream``), and ``sqs`` (``queue``) or ``sns`` (``topic``) of c7n-mailer, with
    ``to``, ``subject`` and ``template``.

    Returns one result a resource: ``exported``, ``partial`` or ``failed`` where a sink refused
    findings (``code`` and ``reason`` of the first), ``not-evaluated`` where a read was refused.

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-export-findings
            resource: aws.ec2
            filters:
              - type: inspector-finding
            actions:
              - type: export-finding
                accounts: accounts.yml
                sinks:
                  - type: local
                  - type: s3
                    bucket: acme-findings
                    formats: [record, ocsf]
    """

    packages = ("c7n_secops_inspector",)
    schema = type_schema(
        "export-finding",
        required=["sinks"],
        sinks=options.SCHEMA,
        accounts=options.TEXT,
        role={"type": "string", "pattern": "^[\\w+=,.@/-]{1,512}$"},
        sources={
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"enum": list(SOURCES)},
        },
        regions={"type": "array", "minItems": 1, "uniqueItems": True, "items": REGION},
        since={"type": "integer", "minimum": 1, "maximum": 3650},
    )
    permissions = (
        *(action for reads in READS.values() for action in reads),
        "ec2:DescribeInstances",
        "sts:AssumeRole",
        *options.permissions({"type": name} for name in options.PERMISSIONS),
    )

    @property
    def backfills(self) -> bool:
        """Whether the findings are read here, not by a filter before."""
        return bool(self.manager.type == "account")

    def get_permissions(self) -> tuple[str, ...]:
        if not self.data:
            return self.permissions
        needed = options.permissions(self.data["sinks"])
        if self.backfills:
            reads = (action for name in self.sources for action in READS[name])
            needed = (*reads, "ec2:DescribeInstances", *needed)
        return (*needed, "sts:AssumeRole") if "role" in self.data else needed

    @property
    def sources(self) -> list[str]:
        """The services whose findings an account's backfill reads."""
        sources: list[str] = self.data.get("sources", list(SOURCES))
        return sources

    def validate(self) -> Any:
        super().validate()
        kinds = {sink["type"] for sink in self.data["sinks"]}
        if "local" in kinds and self.manager.data.get("mode", {}).get("type", "pull") != "pull":
            raise self.invalid("sinks: a function has no output directory; use s3 instead of local")
        if self.backfills:
            return self
        only = {"role", "sources", "regions", "since"} & self.data.keys()
        if only:
            raise self.invalid(f"{', '.join(sorted(only))} is for aws.account only; remove it")
        if not any(item.type == "inspector-finding" for item in self.manager.iter_filters()):
            raise self.invalid("needs findings to export; add an inspector-finding filter")
        return self

    def plan(self, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What would be exported, and where to."""
        sinks = [sink["type"] for sink in self.data["sinks"]]
        return [
            {
                self.id_key: resource[self.id_key],
                "findings": self.sources if self.backfills else len(resource.get(FINDINGS, ())),
                "sinks": sinks,
            }
            for resource in resources
        ]

    def process(self, resources: list[dict[str, Any]]) -> dict[str, Any]:
        unexpanded = list(options.unexpanded(self.data["sinks"]))
        if unexpanded:
            raise PolicyExecutionError(
                f"policy:{self.manager.data['name']} {self.label} sinks: nothing expanded "
                f"{', '.join(unexpanded)}; set it in the vars of the run"
            )
        accounts = Accounts.load(self.data.get("accounts"))
        config = self.manager.config
        access = Access(
            self,
            home=config.account_id,
            region=config.region,
            partition=get_partition(config.region),
            role=self.data.get("role"),
        )
        enrich = Enricher(access, accounts).enrich

        def named(findings: Iterable[Finding]) -> tuple[list[Finding], list[Refusal]]:
            return [accounts.name(finding) for finding in findings], []

        sinks = options.make(self.data["sinks"], self.place(access))
        export = Export(enrich if self.backfills else named, sinks)
        tallies = [export.add(self.findings(resource, access)) for resource in resources]
        export.flush()
        results = []
        for resource, tally in zip(resources, tallies, strict=True):
            if tally.unread:
                self.not_evaluated([resource], tally.unread.code, str(tally.unread))
            results.append({self.id_key: resource[self.id_key], **tally.result()})
        return {"results": results, "counts": dict(Counter(each["outcome"] for each in results))}

    @property
    def id_key(self) -> str:
        """The key of a resource's id."""
        key: str = self.manager.get_model().id
        return key

    def place(self, access: Access) -> options.Place:
        """Where this run's sinks are."""
        context = self.manager.ctx
        message = {
            "event": None,
            "account_id": access.home,
            "account": access.home,
            "partition": access.partition,
            "region": access.region,
            "version": "",
            "execution_id": context.execution_id,
            "execution_start": context.start_time,
            "policy": {**self.manager.data, "resource": "aws.account"},
        }
        return options.Place(access, Path(context.output.root_dir), message)

    def findings(
        self, resource: dict[str, Any], access: Access
    ) -> Iterator[Finding | UnknownShapeError]:
        """The findings of one resource; raises RefusedError where AWS refuses to list them."""
        if not self.backfills:
            for found in resource.get(FINDINGS, ()):
                finding = attempt(inspector2.decode, found)
                if self.manager.type == "ec2" and isinstance(finding, Finding):
                    finding = with_instance(finding, resource)
                yield finding
            return
        days = self.data.get("since")
        since = datetime.now(timezone.utc) - timedelta(days=days) if days else None
        for region in self.data.get("regions", [access.region]):
            for source in self.sources:
                yield from SOURCES[source](access.client(source, region=region), since)
