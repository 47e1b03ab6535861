"""Systems Manager: patch the instances."""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from c7n.utils import type_schema

import c7n_secops_inspector as inspector
from c7n_secops.aws import calls
from c7n_secops_ssm import patches
from c7n_secops_ssm.action import SCHEMA, CommandAction, Target
from c7n_secops_ssm.commands import FAILURES, Obstacle, Operation

RESOURCES = ("aws.ec2",)

FINDINGS = "c7n:InspectorFindings"


class SsmPatch(CommandAction):
    """Installs missing patches on instances, or scans for them, with AWS-RunPatchBaseline.

    An instance gets one command, however many findings it has. ``operation`` is Install or Scan,
    ``reboot`` NoReboot (the default) or RebootIfNeeded. After NoReboot some patches wait for a
    reboot: the ``ssm-patch-state`` filter finds those instances.

    After an ``inspector-finding`` filter, only findings about packages of the operating system
    count, since Patch Manager updates no others, and only those that ``findings`` describes
    (``severity``, ``fix``, ``exploit``, ``min-epss``). An instance of whose findings none counts
    is skipped. ``packages: all`` (the default) then installs what the patch baseline approves;
    ``packages: findings`` installs, on Linux, the packages of those findings and no others,
    whatever the baseline says. Their names are put into ``output.bucket``, one list for each
    platform, encrypted with the AWS managed key of S3; the instances must be able to read it.

    All instances of a run get the same patch set (one SnapshotId). The patch document needs agent
    2.0.834.0, the default of ``min-agent``.

    {options}

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-patch-critical
            resource: aws.ec2
            filters:
              - type: inspector-finding
                severity: [CRITICAL]
                fix-available: ["YES", PARTIAL]
            actions:
              - type: ssm-patch
                platforms: [Amazon Linux, Ubuntu, Red Hat Enterprise Linux]
                findings: {severity: [CRITICAL], fix: ["YES", PARTIAL]}
                max-concurrency: "10%"
                max-errors: "10%"
    """

    packages = ("c7n_secops_inspector",)
    schema = type_schema(
        "ssm-patch",
        operation={"enum": ["Install", "Scan"]},
        reboot={"enum": ["NoReboot", "RebootIfNeeded"]},
        packages={"enum": ["all", "findings"]},
        findings={
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                "severity": {
                    "type": "array",
                    "minItems": 1,
                    "uniqueItems": True,
                    "items": {"enum": list(inspector.SEVERITIES)},
                },
                "fix": {
                    "type": "array",
                    "minItems": 1,
                    "uniqueItems": True,
                    "items": {"enum": ["YES", "NO", "PARTIAL", True, False]},
                },
                "exploit": {"enum": ["any", True, False]},
                "min-epss": {"type": "number", "minimum": 0, "maximum": 1},
            },
        },
        **SCHEMA,
    )
    permissions = (*CommandAction.permissions, "s3:PutObject")
    document = "AWS-RunPatchBaseline"
    execution = timedelta(hours=2)
    min_agent = "2.0.834.0"

    def validate(self) -> Any:
        super().validate()
        listed = self.data.get("packages") == "findings"
        for key, used in (("packages: findings", listed), ("findings", "findings" in self.data)):
            if used and not self._after_findings():
                raise self.invalid(
                    f"{key} needs the findings of an instance; add an inspector-finding filter"
                )
        if listed and "bucket" not in self.data.get("output", {}):
            raise self.invalid("packages: findings needs a bucket for its list; set output.bucket")
        if listed and self.data.get("operation") == "Scan":
            raise self.invalid("packages: findings has no effect on operation Scan; remove one")
        return self

    def get_permissions(self) -> tuple[str, ...]:
        unlisted = self.data and not self._listed
        return CommandAction.permissions if unlisted else self.permissions

    def operations(self) -> list[Operation]:
        operation = self.data.get("operation", "Install")
        self.snapshot = str(uuid.uuid4())
        parameters = {
            "Operation": [operation],
            "RebootOption": [self.data.get("reboot", "NoReboot")],
            "SnapshotId": [self.snapshot],
        }
        return [Operation(operation, parameters, identity=("Operation",))]

    def unfit(self, instance: dict[str, Any]) -> Obstacle | None:
        if not (FINDINGS in instance or "findings" in self.data or self._listed):
            return None
        if self._patchable(instance):
            return None
        return Obstacle("NoPatchableFinding", "no OS package among the findings that are wanted")

    def unable(self, operation: Operation, target: Target) -> Obstacle | None:
        if self._listed and target.agent["PlatformType"] != "Linux":
            return Obstacle("Platform", "packages: findings works on Linux only")
        return None

    def groups(
        self, operation: Operation, targets: Sequence[Target]
    ) -> Iterator[tuple[dict[str, list[str]] | Obstacle, list[Target]]]:
        if not self._listed:
            yield operation.parameters, list(targets)
            return
        families = defaultdict(list)
        for target in targets:
            families[target.agent["PlatformName"]].append(target)
        for family, members in families.items():
            url = self._upload(family, members)
            if isinstance(url, Obstacle):
                yield url, members
            else:
                yield {**operation.parameters, "InstallOverrideList": [url]}, members

    def _upload(self, family: str, members: list[Target]) -> str | Obstacle:
        """Store the packages that these instances need; return the list's URL or the refusal."""
        names = {
            name
            for target in members
            for finding in self._patchable(target.instance)
            for name in patches.os_packages(finding)
        }
        bucket, prefix = self.data["output"]["bucket"], self.data["output"].get("prefix", "")
        file = f"{re.sub('[^a-z0-9]+', '-', family.lower()).strip('-')}.yaml"
        key = "/".join(part for part in (prefix.strip("/"), self.snapshot, file) if part)
        body = patches.override_list(names)
        try:
            calls.client(self, "s3").put_object(
                Bucket=bucket, Key=key, Body=body, ServerSideEncryption="aws:kms"
            )
        except FAILURES as error:
            refusal = Obstacle.of(error)
            return refusal._replace(reason=f"no list of packages, so nothing sent: {error}")
        return f"s3://{bucket}/{key}"

    @property
    def _listed(self) -> bool:
        return self.data.get("packages") == "findings"

    def _patchable(self, instance: dict[str, Any]) -> list[dict[str, Any]]:
        return patches.patchable(instance.get(FINDINGS, ()), self.data.get("findings", {}))

    def _after_findings(self) -> bool:
        return any(item.type == "inspector-finding" for item in self.manager.iter_filters())
