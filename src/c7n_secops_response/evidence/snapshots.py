"""Snapshots of a case: made once, and locked, shared and copied as they complete.

CreateSnapshots has no client token. The tags that it sets in the same call are what an earlier
snapshot is found by, so that a case never gets a second one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from botocore import exceptions

from c7n_secops.aws import calls
from c7n_secops.aws.calls import THROTTLES, UNANSWERED
from c7n_secops_response.evidence.case import Case, Entry, StepError
from c7n_secops_response.evidence.options import CASE
from c7n_secops_response.evidence.shared import IDS_PER_FILTER, Answers, ec2_rows
from c7n_secops_ssm.commands import pauses, rest

INSTANCE = "c7n-secops:instance"
SOURCE = "c7n-secops:source"
TYPES_PER_CALL = 100


class Snapshots:
    """Makes the snapshots of each case; ``options`` are the keys of ``evidence.snapshots``.

    ``once`` is a client that does not retry. ``forensic`` is one of the account that snapshots
    are copied into, ``account`` that account's id; both are None where nothing is copied.
    """

    def __init__(
        self,
        client: Any,
        once: Any,
        options: dict[str, Any],
        forensic: Any = None,
        account: str | None = None,
    ):
        self.client, self.once, self.options = client, once, options
        self.forensic = forensic
        self.readers = list(options.get("share-with", ()))
        if account and account not in self.readers:
            self.readers.append(account)
        self.found: Answers
        self.stores: Answers

    def look_up(self, cases: Sequence[Case]) -> None:
        """Read, for all cases at once, the snapshots that exist and the types that have disks."""
        self.found = Answers([case.name for case in cases], IDS_PER_FILTER, self._tagged)
        types = [case.instance.get("InstanceType", "") for case in cases]
        self.stores = Answers(types, TYPES_PER_CALL, self._types)

    def _tagged(self, names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in ec2_rows(self.client, "describe_snapshots", "Snapshots", f"tag:{CASE}", names):
            yield tag(row, CASE), row

    def _types(self, names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        answer = calls.read(self.client.describe_instance_types, InstanceTypes=names)
        for row in answer["InstanceTypes"]:
            yield row["InstanceType"], row

    def take(self, case: Case) -> Entry:
        """Make them if there are none, and take them as far as AWS has got by now."""
        self._note_instance_store(case)
        earlier = case.ledger.get("snapshots", {}).get("after") or {}
        rows = [row for row in self.found.of(case.name) if tag(row, INSTANCE) == case.id]
        if not rows:
            if earlier.get("snapshots"):
                raise StepError("the snapshots of this case are gone; they are not taken again")
            if not volumes(case.instance, self.options):
                return Entry("skipped", reason="no EBS volume to take a snapshot of")
            rows = self._create(case)
        after: dict[str, Any] = {
            "snapshots": {row["SnapshotId"]: describe(row) for row in rows},
            "locked": list(earlier.get("locked", ())),
            "shared": dict(earlier.get("shared", {})),
            "copies": {},
        }
        broken = [row["SnapshotId"] for row in rows if row["State"] == "error"]
        try:
            self._lock(case, rows, after["locked"])
            self._share(case, rows, after["shared"])
            copies = self._copy(case, rows)
        except calls.FAILURES as error:
            return Entry("failed", after=after, reason=calls.failure(error)[1])
        after["copies"] = {
            tag(row, SOURCE): {"SnapshotId": row["SnapshotId"], "State": row["State"]}
            for row in copies
        }
        broken += [row["SnapshotId"] for row in copies if row["State"] == "error"]
        if broken:
            return Entry("failed", after=after, reason=f"in state error: {', '.join(broken)}")
        complete = [row["State"] == "completed" for row in (*rows, *copies)]
        wanted = len(rows) * (2 if self.forensic else 1)
        if not all(complete) or len(complete) < wanted:
            return Entry("pending", after=after, reason="AWS is still copying the volumes")
        return Entry("done", after=after)

    def _note_instance_store(self, case: Case) -> None:
        try:
            types = self.stores.of(case.instance.get("InstanceType", ""))
        except calls.RefusedError as refused:
            case.notes.append(f"whether there are instance-store volumes is not known: {refused}")
            return
        if any(row.get("InstanceStorageSupported") for row in types):
            case.notes.append(
                f"the instance-store volumes of a {case.instance['InstanceType']} are in no "
                "snapshot and are lost when it stops"
            )

    def _create(self, case: Case) -> list[dict[str, Any]]:
        """One CreateSnapshots. Where no answer came, look for what it made before giving up."""
        waits = pauses()
        while (rows := self._create_once(case, waits)) is None:
            pass
        return rows

    def _create_once(self, case: Case, waits: Iterator[float]) -> list[dict[str, Any]] | None:
        """The snapshots, or None where AWS throttled and the call may be sent again."""
        try:
            answer = case.ask(
                self.once.create_snapshots,
                Description=f"c7n-secops case {case.name} {case.id}",
                InstanceSpecification={
                    "InstanceId": case.id,
                    "ExcludeBootVolume": self.options.get("exclude-boot", False),
                },
                TagSpecifications=marked(
                    {CASE: case.name, INSTANCE: case.id, "Name": f"{case.name} {case.id}"}
                ),
            )
        except exceptions.ClientError as error:
            throttled = error.response["Error"]["Code"] in THROTTLES | RATE_EXCEEDED
            if throttled and rest(next(waits, None)):
                return None
            raise
        except UNANSWERED:
            tagged = [row for _case, row in self._tagged([case.name])]
            made = [row for row in tagged if tag(row, INSTANCE) == case.id]
            if not made:
                raise
            return made
        rows: list[dict[str, Any]] = answer["Snapshots"]
        return rows

    def _lock(self, case: Case, rows: list[dict[str, Any]], locked: list[str]) -> None:
        days = self.options.get("lock-days", 0)
        for row in rows if days else ():
            if row["SnapshotId"] in locked:
                continue
            case.ask(
                self.client.lock_snapshot,
                SnapshotId=row["SnapshotId"],
                LockMode="governance",
                LockDuration=days,
            )
            locked.append(row["SnapshotId"])

    def _share(self, case: Case, rows: list[dict[str, Any]], shared: dict[str, list[str]]) -> None:
        for row in rows:
            name = row["SnapshotId"]
            missing = [reader for reader in self.readers if reader not in shared.get(name, ())]
            if not missing:
                continue
            case.ask(
                self.client.modify_snapshot_attribute,
                SnapshotId=name,
                Attribute="createVolumePermission",
                OperationType="add",
                UserIds=missing,
            )
            shared[name] = [*shared.get(name, ()), *missing]

    def _copy(self, case: Case, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The copies in the forensics account, of which those that can be are begun."""
        if not self.forensic:
            return []
        names = [row["SnapshotId"] for row in rows]
        copies = list(
            ec2_rows(self.forensic, "describe_snapshots", "Snapshots", f"tag:{SOURCE}", names)
        )
        copied = {tag(row, SOURCE) for row in copies}
        for row in rows:
            name = row["SnapshotId"]
            if name in copied or row["State"] != "completed":
                continue
            answer = case.ask(
                self.forensic.copy_snapshot,
                SourceRegion=self.client.meta.region_name,
                SourceSnapshotId=name,
                Description=f"c7n-secops case {case.name} {case.id}",
                Encrypted=True,
                KmsKeyId=self.options["copy-key"],
                TagSpecifications=marked({CASE: case.name, INSTANCE: case.id, SOURCE: name}),
            )
            copies.append(
                {
                    "SnapshotId": answer["SnapshotId"],
                    "State": "pending",
                    "Tags": [{"Key": SOURCE, "Value": name}],
                }
            )
        return copies


RATE_EXCEEDED = {"SnapshotCreationPerVolumeRateExceeded"}


def tag(row: dict[str, Any], key: str) -> str:
    """The value of a tag, "" without one."""
    return next((mark["Value"] for mark in row.get("Tags", ()) if mark["Key"] == key), "")


def marked(marks: dict[str, str]) -> list[dict[str, Any]]:
    """The tags of new snapshots, as the calls that make them take them."""
    tags = [{"Key": key, "Value": value} for key, value in marks.items()]
    return [{"ResourceType": "snapshot", "Tags": tags}]


def volumes(instance: dict[str, Any], options: dict[str, Any]) -> list[str]:
    """The EBS volumes of an instance that get a snapshot."""
    boot = instance.get("RootDeviceName") if options.get("exclude-boot") else None
    return [
        row["Ebs"]["VolumeId"]
        for row in instance.get("BlockDeviceMappings", ())
        if "Ebs" in row and row["DeviceName"] != boot
    ]


def describe(row: dict[str, Any]) -> dict[str, Any]:
    """What the ledger keeps of a snapshot."""
    return {key: row.get(key) for key in ("VolumeId", "VolumeSize", "State", "Encrypted")}
