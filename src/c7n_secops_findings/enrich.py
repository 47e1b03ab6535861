"""Completes records: account, instance, and the finding where a message only names it.

Instances are asked for by account and region, up to 1,000 in a call, and again after a minute. An
instance that is gone, or that AWS refuses to describe, leaves the record with what the finding
says, and says so in ``enrichment_status``. Where AWS does not answer (throttled, out of reach), the
record is refused: it has to come again.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from c7n_secops.aws.calls import FAILURES, RefusedError, failure, read
from c7n_secops.aws.planner import batches
from c7n_secops_findings.access import Access
from c7n_secops_findings.accounts import Accounts
from c7n_secops_findings.decode import classic
from c7n_secops_findings.decode.common import INSTANCE_ID
from c7n_secops_findings.decode.node import UnknownShapeError
from c7n_secops_findings.record import INSTANCE, Finding
from c7n_secops_findings.sinks import Refusal, refused

INSTANCES = 1000
"""Instance ids that one DescribeInstances takes."""
CLASSIC_FINDINGS = 100
"""ARNs that one DescribeFindings of Inspector Classic takes."""
FRESH = 60.0
"""Seconds for which an instance is not asked for again: a scan's findings come in many batches."""
MOST_KEPT = 2000
GONE = "InvalidInstanceID.NotFound"

Instances = dict[str, dict[str, Any]]
Place = tuple[str, str]


class Enricher:
    """Completes records with what accounts.yml and AWS say."""

    def __init__(self, access: Access, accounts: Accounts):
        self.access, self.accounts = access, accounts
        self._instances: dict[tuple[Place, str], tuple[float, dict[str, Any] | None]] = {}

    def enrich(self, findings: Sequence[Finding]) -> tuple[list[Finding], list[Refusal]]:
        """The records, completed, and those that cannot be completed now."""
        refusals: list[Refusal] = []
        found = self._each_place(findings, classic.is_named_only, self._describe_findings, refusals)
        found = self._each_place(found, is_instance, self._describe_instances, refusals)
        return [self.accounts.name(finding) for finding in found], refusals

    def _each_place(
        self,
        findings: Iterable[Finding],
        wanted: Callable[[Finding], bool],
        complete: Callable[[Place, list[Finding]], list[Finding]],
        refusals: list[Refusal],
    ) -> list[Finding]:
        """Complete the wanted records, those of one account and region together."""
        done = []
        places: dict[Place, list[Finding]] = defaultdict(list)
        for finding in findings:
            if wanted(finding):
                places[finding.account_id, finding.region].append(finding)
            else:
                done.append(finding)
        for place, group in places.items():
            completed, code, reason = _attempt(complete, place, group)
            done += completed
            if not completed:
                refusals += refused(group, code, reason)
        return done

    def _describe_instances(self, place: Place, findings: list[Finding]) -> list[Finding]:
        names = sorted({f.resource_id for f in findings if INSTANCE_ID.fullmatch(f.resource_id)})
        known = self._known(place, names)
        return [
            with_instance(finding, known[finding.resource_id])
            if finding.resource_id in known
            else replace(finding, enrichment_status="terminated")
            for finding in findings
        ]

    def _known(self, place: Place, names: list[str]) -> Instances:
        """The instances of these ids that there are; asked for unless they just were."""
        now = time.monotonic()
        kept = {name: self._instances.get((place, name)) for name in names}
        known = {name: found[1] for name, found in kept.items() if found and found[0] > now}
        missing = [name for name in names if name not in known]
        if missing:
            client = self.access.client("ec2", *place)
            if len(self._instances) + len(missing) > MOST_KEPT:
                self._instances.clear()
            for batch in batches(missing, INSTANCES):
                answer = describe(client, batch)
                known.update({name: answer.get(name) for name in batch})
            until = now + FRESH
            self._instances.update({(place, name): (until, known[name]) for name in missing})
        return {name: instance for name, instance in known.items() if instance is not None}

    def _describe_findings(self, place: Place, findings: list[Finding]) -> list[Finding]:
        client = self.access.client("inspector", *place)
        known: dict[str, Finding] = {}
        for batch in batches([finding.finding_arn for finding in findings], CLASSIC_FINDINGS):
            for each in read(client.describe_findings, findingArns=batch)["findings"]:
                try:
                    finding = classic.decode(each)
                except UnknownShapeError:
                    continue  # the message's own words are kept
                known[finding.finding_arn] = finding
        return [known.get(finding.finding_arn, finding) for finding in findings]


def _attempt(
    complete: Callable[[Place, list[Finding]], list[Finding]], place: Place, group: list[Finding]
) -> tuple[list[Finding], str, str]:
    """What was completed, or nothing and the code and words of what kept us from it."""
    try:
        return complete(place, group), "", ""
    except FAILURES as error:
        code, reason = failure(error)
        if isinstance(error, RefusedError) and error.denied:
            return [replace(each, enrichment_status="denied") for each in group], code, reason
        return [], code, reason


def is_instance(finding: Finding) -> bool:
    """Whether a record is about an EC2 instance."""
    return finding.resource_type == INSTANCE


def describe(client: Any, names: list[str]) -> Instances:
    """The instances of these ids that there are, by id.

    One that is gone fails the whole question, with the ids that are: they are left out then.
    """
    while names:
        try:
            answer = read(client.describe_instances, InstanceIds=names)
        except ClientError as error:
            if error.response["Error"]["Code"] != GONE:
                raise
            gone = set(re.findall(INSTANCE_ID, error.response["Error"]["Message"]))
            left = [name for name in names if name not in gone]
            if len(left) == len(names):
                raise
            names = left
            continue
        return {
            instance["InstanceId"]: instance
            for reservation in answer["Reservations"]
            for instance in reservation["Instances"]
        }
    return {}


def with_instance(finding: Finding, instance: dict[str, Any]) -> Finding:
    """A record with the attributes of its instance, as DescribeInstances gives them."""
    if instance["State"]["Name"] == "terminated":
        return replace(finding, enrichment_status="terminated")
    interfaces = instance.get("NetworkInterfaces", [])
    addresses = [each for one in interfaces for each in one.get("PrivateIpAddresses", [])]
    private = [instance.get("PrivateIpAddress"), *(a.get("PrivateIpAddress") for a in addresses)]
    public = [
        instance.get("PublicIpAddress"),
        *(each.get("Association", {}).get("PublicIp") for each in addresses),
        *(six["Ipv6Address"] for one in interfaces for six in one.get("Ipv6Addresses", [])),
    ]
    public_ips = _once(public)
    return replace(
        finding,
        resource_tags={tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])},
        image=instance.get("ImageId") or finding.image,
        platform=finding.platform or instance.get("PlatformDetails"),
        profile=instance.get("IamInstanceProfile", {}).get("Arn") or finding.profile,
        vpc=instance.get("VpcId") or finding.vpc,
        subnet=instance.get("SubnetId") or finding.subnet,
        security_groups=_once(group["GroupId"] for group in instance.get("SecurityGroups", [])),
        private_ips=_once(private),
        public_ips=public_ips,
        internet_exposed=bool(public_ips) or bool(finding.internet_exposed and finding.ports),
        enrichment_status="ok",
    )


def _once(texts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))
