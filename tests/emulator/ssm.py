"""AWS Systems Manager: managed instances, Run Command, patch states.

State of one account and region:

``agents``     instance id -> what a test set (PingStatus, AgentVersion, absent...)
``commands``   command id -> ``Command``, oldest first
``behaviour``  {'status': ..., 'per_instance': {...}}: how the next commands end
``patches``    instance id -> row of DescribeInstancePatchStates

Commands succeed at once unless a test asks otherwise.  As on AWS an instance has no patch state
until a patch operation ran on it; the first operation finds as many missing patches as the
instance has active findings of OS packages with a fix, or one if it has no findings at all.
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.emulator import inspector2
from tests.emulator.clock import iso, now, to_datetime, to_epoch
from tests.emulator.fleet import agents, instances, managed, ping_status, tags_of
from tests.emulator.kit import (
    Context,
    backend,
    fail,
    fingerprint,
    operation,
    page,
    state,
    without_none,
)

SERVICE = "ssm"
OLD_AGENT = "3.2.582.0"
LATEST_AGENT = "3.3.1957.0"
BASELINE = "pb-0c10e65780EXAMPLE"

# Document -> its plugin, as ListCommandInvocations names it.
DOCUMENTS = {
    "AWS-ConfigureAWSPackage": "configurePackage",
    "AWS-RunPatchBaseline": "PatchLinux",
    "AWS-RunPowerShellScript": "aws:runPowerShellScript",
    "AWS-RunShellScript": "aws:runShellScript",
    "AWS-UpdateSSMAgent": "aws:updateSsmAgent",
}
FINAL = ("Success", "Failed", "Cancelled", "TimedOut")
STAGES = {"Executing": ("Pending", "InProgress", "Cancelling"), "Complete": FINAL}
RESPONSE_CODES = {"Success": 0, "Failed": 1, "TimedOut": -1, "Cancelled": -1}

# --- managed instances ---------------------------------------------------------------------------


def describe(account: str, region: str, instance: Any) -> dict[str, Any]:
    windows = instance.platform == "windows"
    row = {
        "InstanceId": instance.id,
        "PingStatus": "Online",
        "LastPingDateTime": now(),
        "AgentVersion": OLD_AGENT,
        "PlatformType": "Windows" if windows else "Linux",
        "PlatformName": "Microsoft Windows Server 2022" if windows else "Amazon Linux",
        "PlatformVersion": "10.0.20348" if windows else "2023",
        "ResourceType": "EC2Instance",
        "IPAddress": instance.private_ip,
        "ComputerName": instance.private_dns_name,
    }
    row.update(agents(account, region).get(instance.id, {}))
    row.pop("absent", None)
    row.setdefault("IsLatestVersion", row["AgentVersion"] == LATEST_AGENT)
    row["LastPingDateTime"] = to_datetime(row["LastPingDateTime"])
    return row


INFORMATION_KEYS = {
    "AgentVersion": "AgentVersion",
    "PingStatus": "PingStatus",
    "PlatformTypes": "PlatformType",
    "ResourceType": "ResourceType",
}


def information_filters(
    filters: list[dict[str, Any]] | None, filter_list: list[dict[str, Any]] | None
) -> list[tuple[str, list[str]]]:
    if filters and filter_list:
        fail(
            "ValidationException",
            "Use either Filters or InstanceInformationFilterList, but not both.",
        )
    pairs = [(f["Key"], f["Values"]) for f in filters or []]
    pairs += [(f["key"], f["valueSet"]) for f in filter_list or []]
    return pairs


@operation(SERVICE, "DescribeInstanceInformation")
def describe_instance_information(
    context: Context,
    Filters: list[dict[str, Any]] | None = None,
    InstanceInformationFilterList: list[dict[str, Any]] | None = None,
    MaxResults: int = 10,
    NextToken: str = "",
) -> dict[str, Any]:
    account, region = context.account, context.region
    found = managed(account, region)
    filters = information_filters(Filters, InstanceInformationFilterList)
    for key, values in filters:
        if key == "InstanceIds":
            found = {i: instance for i, instance in found.items() if i in set(values)}
        elif key.startswith("tag:"):
            tag = key[len("tag:") :]
            found = {i: x for i, x in found.items() if tags_of(x).get(tag) in values}
        elif key in INFORMATION_KEYS:
            member = INFORMATION_KEYS[key]
            rows = {i: describe(account, region, x) for i, x in found.items()}
            found = {i: x for i, x in found.items() if rows[i].get(member) in values}
        else:
            fail("InvalidFilterKey", f"the emulator does not implement the filter {key}")
    query = fingerprint(filters)
    shown, token = page(list(found.values()), NextToken, MaxResults, query, "InvalidNextToken")
    rows_shown = [describe(account, region, instance) for instance in shown]
    return without_none(InstanceInformationList=rows_shown, NextToken=token)


# --- Run Command ---------------------------------------------------------------------------------


@dataclass
class Invocation:
    """What a command does on one instance."""

    instance_id: str
    status: str
    started: datetime.datetime
    ended: datetime.datetime | None = None
    output: str = ""


@dataclass
class Command:
    """One call of SendCommand."""

    command_id: str
    request: dict[str, Any]
    requested: datetime.datetime
    invocations: dict[str, Invocation]
    plugin: str
    cancelled: bool = False
    parameters: dict[str, list[str]] = field(default_factory=dict)

    @property
    def document(self) -> str:
        return str(self.request["DocumentName"])

    @property
    def status(self) -> str:
        """The status of the whole: running while one runs, failed if one failed."""
        statuses = [i.status for i in self.invocations.values()]
        for candidate in ("InProgress", "Pending", "Cancelling"):
            if candidate in statuses:
                return candidate
        for candidate in ("Failed", "TimedOut", "Cancelled"):
            if candidate in statuses:
                return candidate
        return "Success"

    def describe(self) -> dict[str, Any]:
        invocations = self.invocations.values()
        timeout = self.request.get("TimeoutSeconds", 3600)
        bad = sum(i.status in ("Failed", "TimedOut", "Cancelled") for i in invocations)
        copied = (
            "DocumentVersion",
            "Comment",
            "Parameters",
            "Targets",
            "OutputS3Region",
            "OutputS3BucketName",
            "OutputS3KeyPrefix",
            "NotificationConfig",
            "CloudWatchOutputConfig",
        )
        return {
            "CommandId": self.command_id,
            "DocumentName": self.document,
            "DocumentVersion": "$DEFAULT",
            "Comment": "",
            "Parameters": {},
            "Targets": [],
            **{name: self.request[name] for name in copied if name in self.request},
            "InstanceIds": list(self.request.get("InstanceIds", [])),
            "RequestedDateTime": self.requested,
            "ExpiresAfter": self.requested + datetime.timedelta(seconds=timeout),
            "Status": self.status,
            "StatusDetails": self.status,
            "MaxConcurrency": self.request.get("MaxConcurrency", "50"),
            "MaxErrors": self.request.get("MaxErrors", "0"),
            "ServiceRole": self.request.get("ServiceRoleArn", ""),
            "TargetCount": len(invocations),
            "CompletedCount": sum(i.status in FINAL for i in invocations),
            "ErrorCount": bad,
            "DeliveryTimedOutCount": 0,
            "TimeoutSeconds": timeout,
        }

    def describe_invocation(self, invocation: Invocation, details: bool) -> dict[str, Any]:
        row: dict[str, Any] = {
            "CommandId": self.command_id,
            "InstanceId": invocation.instance_id,
            "InstanceName": "",
            "Comment": self.request.get("Comment", ""),
            "DocumentName": self.document,
            "DocumentVersion": self.request.get("DocumentVersion", "$DEFAULT"),
            "RequestedDateTime": self.requested,
            "Status": invocation.status,
            "StatusDetails": invocation.status,
            "StandardOutputUrl": "",
            "StandardErrorUrl": "",
            "CommandPlugins": [],
        }
        if details:
            row["CommandPlugins"] = [
                without_none(
                    Name=self.plugin,
                    Status=invocation.status,
                    StatusDetails=invocation.status,
                    ResponseCode=RESPONSE_CODES.get(invocation.status, -1),
                    ResponseStartDateTime=invocation.started,
                    ResponseFinishDateTime=invocation.ended,
                    Output=invocation.output[:2500],
                    OutputS3Region=self.request.get("OutputS3Region"),
                    OutputS3BucketName=self.request.get("OutputS3BucketName"),
                    OutputS3KeyPrefix=self.request.get("OutputS3KeyPrefix"),
                )
            ]
        return row


def commands_of(account: str, region: str) -> dict[str, Command]:
    found: dict[str, Command] = state(SERVICE, account, region, "commands")
    return found


def behaviour_of(account: str, region: str) -> dict[str, Any]:
    found: dict[str, Any] = state(SERVICE, account, region, "behaviour")
    return found


def known_document(account: str, region: str, name: str) -> str | None:
    """Finds the plugin of a document; None for a document that does not exist."""
    short = name.split(":document/")[-1].split("/")[-1]
    if short in DOCUMENTS:
        return DOCUMENTS[short]
    if short in backend(SERVICE, account, region)._documents:
        return "aws:runDocument"
    return None


def resolve_targets(context: Context, targets: list[dict[str, Any]]) -> list[str]:
    """Finds the managed instances that all targets select; there may be none."""
    found = managed(context.account, context.region)
    for target in targets:
        key, values = target.get("Key", ""), target.get("Values", [])
        if key == "InstanceIds":
            found = {i: x for i, x in found.items() if i in values}
        elif key == "tag-key":
            found = {i: x for i, x in found.items() if set(values) & set(tags_of(x))}
        elif key.startswith("tag:"):
            tag = key[len("tag:") :]
            found = {i: x for i, x in found.items() if tags_of(x).get(tag) in values}
        else:
            fail("InvalidParameters", f"the emulator does not implement the target {key}")
    return list(found)


def check_instances(context: Context, instance_ids: list[str]) -> None:
    if len(set(instance_ids)) != len(instance_ids):
        fail("DuplicateInstanceId", "An instance ID was given more than once.")
    known = managed(context.account, context.region)
    bad = [i for i in instance_ids if i not in known]
    if bad:
        fail(
            "InvalidInstanceId",
            f"Instances [[{', '.join(bad)}]] not in a valid state for account {context.account}",
        )


def check_parameters(document: str, parameters: dict[str, list[str]]) -> None:
    """Refuses a wrong operation or reboot option of the patch document."""
    if document != "AWS-RunPatchBaseline":
        return
    allowed = {
        "Operation": ("Scan", "Install"),
        "RebootOption": ("RebootIfNeeded", "NoReboot"),
    }
    strange = set(parameters) - {
        *allowed,
        "AssociationId",
        "BaselineOverride",
        "InstallOverrideList",
        "OverrideListFormat",
        "SnapshotId",
    }
    if strange:
        fail("InvalidParameters", f"{sorted(strange)} is not a parameter of {document}")
    if "Operation" not in parameters:
        fail("InvalidParameters", "Operation is a required parameter of AWS-RunPatchBaseline")
    for name, choices in allowed.items():
        if any(value not in choices for value in parameters.get(name, [])):
            fail("InvalidParameters", f"{name} must be one of {list(choices)}")


@operation(SERVICE, "SendCommand")
def send_command(context: Context, DocumentName: str, **request: Any) -> dict[str, Any]:
    account, region = context.account, context.region
    instance_ids = list(request.get("InstanceIds") or [])
    targets = request.get("Targets") or []
    if bool(instance_ids) == bool(targets):
        fail("ValidationException", "Specify either InstanceIds or Targets.")
    plugin = known_document(account, region, DocumentName)
    if plugin is None:
        fail("InvalidDocument", f"Document with name {DocumentName} does not exist.")
    parameters = request.get("Parameters") or {}
    check_parameters(DocumentName, parameters)
    if instance_ids:
        check_instances(context, instance_ids)
    chosen = instance_ids or resolve_targets(context, targets)
    moment = now()
    behaviour = behaviour_of(account, region)
    special = behaviour.get("per_instance", {})
    command = Command(
        command_id=str(uuid.uuid4()),
        request={**request, "DocumentName": DocumentName},
        requested=moment,
        invocations={i: Invocation(i, "InProgress", moment) for i in chosen},
        plugin=plugin,
        parameters=parameters,
    )
    commands_of(account, region)[command.command_id] = command
    # AWS answers before anything ran: status Pending and no instance done.
    reply = {
        **command.describe(),
        "Status": "Pending",
        "StatusDetails": "Pending",
        "TargetCount": len(instance_ids),
        "CompletedCount": 0,
        "ErrorCount": 0,
    }
    for instance_id in chosen:
        # A command waits for an agent without connection until it expires.
        online = ping_status(account, region, instance_id) == "Online"
        usual = behaviour.get("status", "Success") if online else "Pending"
        status = special.get(instance_id, usual)
        settle(account, region, command, instance_id, status)
    return {"Command": reply}


def settle(account: str, region: str, command: Command, instance_id: str, status: str) -> None:
    """Brings one invocation to a status, with its effects when it succeeded."""
    invocation = command.invocations[instance_id]
    if invocation.status in FINAL:
        return
    invocation.status = status
    if status not in FINAL:
        return
    invocation.ended = now()
    if status != "Success":
        invocation.output = f"{command.document} ended with status {status}"
        return
    if command.document == "AWS-RunPatchBaseline":
        patch(account, region, instance_id, command)
    elif command.document == "AWS-UpdateSSMAgent":
        agent = agents(account, region).setdefault(instance_id, {})
        agent["AgentVersion"] = LATEST_AGENT
        agent.pop("IsLatestVersion", None)
    invocation.output = f"{command.document} succeeded on {instance_id}"


COMMAND_FILTERS = ("InvokedAfter", "InvokedBefore", "Status", "DocumentName", "ExecutionStage")


def passes(command: Command, status: str, filters: Iterable[dict[str, str]]) -> bool:
    for condition in filters:
        key, value = condition["key"], condition["value"]
        if key == "InvokedAfter" and to_epoch(value) > command.requested.timestamp():
            return False
        if key == "InvokedBefore" and to_epoch(value) <= command.requested.timestamp():
            return False
        if key == "Status" and status != value:
            return False
        if key == "DocumentName" and command.document != value:
            return False
        if key == "ExecutionStage" and status not in STAGES.get(value, ()):
            return False
    return True


def check_filters(filters: list[dict[str, str]]) -> None:
    for condition in filters:
        if condition["key"].startswith("Invoked"):
            try:
                to_epoch(condition["value"])
            except ValueError:
                fail("ValidationException", f"{condition['value']} is not a timestamp")


def select_commands(
    context: Context, command_id: str | None, instance_id: str | None
) -> list[Command]:
    """Finds commands, newest first."""
    commands = commands_of(context.account, context.region)
    if command_id is not None and command_id not in commands:
        fail("InvalidCommandId", f"Command {command_id} does not exist.")
    known = {i.id for i in instances(context.account, context.region)}
    if instance_id is not None and instance_id not in known:
        fail("InvalidInstanceId", f"Instance {instance_id} does not exist.")
    return [
        command
        for command in reversed(list(commands.values()))
        if command_id in (None, command.command_id)
        and (instance_id is None or instance_id in command.invocations)
    ]


@operation(SERVICE, "ListCommands")
def list_commands(
    context: Context,
    CommandId: str | None = None,
    InstanceId: str | None = None,
    MaxResults: int = 50,
    NextToken: str = "",
    Filters: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    filters = Filters or []
    check_filters(filters)
    found = select_commands(context, CommandId, InstanceId)
    found = [command for command in found if passes(command, command.status, filters)]
    query = fingerprint(CommandId, InstanceId, filters)
    shown, token = page(found, NextToken, MaxResults, query, "InvalidNextToken")
    return without_none(Commands=[command.describe() for command in shown], NextToken=token)


@operation(SERVICE, "ListCommandInvocations")
def list_command_invocations(
    context: Context,
    CommandId: str | None = None,
    InstanceId: str | None = None,
    MaxResults: int = 50,
    NextToken: str = "",
    Filters: list[dict[str, str]] | None = None,
    Details: bool = False,
) -> dict[str, Any]:
    filters = Filters or []
    check_filters(filters)
    found = [
        (command, invocation)
        for command in select_commands(context, CommandId, InstanceId)
        for invocation in command.invocations.values()
        if InstanceId in (None, invocation.instance_id)
        and passes(command, invocation.status, filters)
    ]
    query = fingerprint(CommandId, InstanceId, filters, Details)
    shown, token = page(found, NextToken, MaxResults, query, "InvalidNextToken")
    rows = [command.describe_invocation(invocation, Details) for command, invocation in shown]
    return without_none(CommandInvocations=rows, NextToken=token)


@operation(SERVICE, "GetCommandInvocation")
def get_command_invocation(
    context: Context, CommandId: str, InstanceId: str, PluginName: str | None = None
) -> dict[str, Any]:
    command = commands_of(context.account, context.region).get(CommandId)
    invocation = command.invocations.get(InstanceId) if command else None
    if command is None or invocation is None:
        fail("InvocationDoesNotExist", "The command ID and instance ID do not match.")
    if PluginName not in (None, command.plugin):
        fail("InvalidPluginName", f"{PluginName} is not a plugin of {command.document}")
    done = invocation.status == "Success"
    elapsed = ""
    if invocation.ended:
        elapsed = f"PT{(invocation.ended - invocation.started).total_seconds():.3f}S"
    return {
        "CommandId": CommandId,
        "InstanceId": InstanceId,
        "Comment": command.request.get("Comment", ""),
        "DocumentName": command.document,
        "DocumentVersion": command.request.get("DocumentVersion", "$DEFAULT"),
        "PluginName": command.plugin,
        "ResponseCode": RESPONSE_CODES.get(invocation.status, -1),
        "ExecutionStartDateTime": iso(invocation.started, "milliseconds"),
        "ExecutionElapsedTime": elapsed,
        "ExecutionEndDateTime": iso(invocation.ended, "milliseconds") if invocation.ended else "",
        "Status": invocation.status,
        "StatusDetails": invocation.status,
        "StandardOutputContent": invocation.output[:24000] if done else "",
        "StandardOutputUrl": "",
        "StandardErrorContent": "" if done else invocation.output[:8000],
        "StandardErrorUrl": "",
    }


@operation(SERVICE, "CancelCommand")
def cancel_command(
    context: Context, CommandId: str, InstanceIds: list[str] | None = None
) -> dict[str, Any]:
    command = commands_of(context.account, context.region).get(CommandId)
    if command is None:
        fail("InvalidCommandId", f"Command {CommandId} does not exist.")
    for instance_id in InstanceIds or list(command.invocations):
        if instance_id not in command.invocations:
            fail("InvalidInstanceId", f"{instance_id} is not part of command {CommandId}")
        settle(context.account, context.region, command, instance_id, "Cancelled")
    return {}


# --- patches -------------------------------------------------------------------------------------


def patches_of(account: str, region: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = state(SERVICE, account, region, "patches")
    return found


def missing_patches(account: str, region: str, instance_id: str) -> int:
    """Counts the vulnerable OS packages that have a fix; one where nothing is known."""
    packages, any_finding = set(), False
    for finding in inspector2.store_of(account, region).of_resource(instance_id):
        any_finding = True
        if finding["status"] != "ACTIVE":
            continue
        for package in inspector2.values_at(
            finding, "packageVulnerabilityDetails.vulnerablePackages[]"
        ):
            if package.get("packageManager") == "OS" and package.get("fixedInVersion"):
                packages.add(package["name"])
    return len(packages) if any_finding else 1


def fresh_patch_state(account: str, region: str, instance_id: str) -> dict[str, Any]:
    moment = now()
    return {
        "InstanceId": instance_id,
        "PatchGroup": "",
        "BaselineId": BASELINE,
        "InstalledCount": 0,
        "InstalledOtherCount": 0,
        "InstalledPendingRebootCount": 0,
        "InstalledRejectedCount": 0,
        "MissingCount": missing_patches(account, region, instance_id),
        "FailedCount": 0,
        "NotApplicableCount": 0,
        "OperationStartTime": moment,
        "OperationEndTime": moment,
        "Operation": "Scan",
    }


def patch(account: str, region: str, instance_id: str, command: Command) -> None:
    """Does what AWS-RunPatchBaseline does to the patch state of an instance."""
    patches = patches_of(account, region)
    if instance_id not in patches:
        patches[instance_id] = fresh_patch_state(account, region, instance_id)
    row = patches[instance_id]

    def parameter(name: str, default: str = "") -> str:
        values = command.parameters.get(name) or [default]
        return values[0]

    row["Operation"] = parameter("Operation", "Scan")
    row["OperationStartTime"] = command.requested
    row["OperationEndTime"] = now()
    row["SnapshotId"] = parameter("SnapshotId") or str(uuid.uuid4())
    for name in ("InstallOverrideList",):
        if parameter(name):
            row[name] = parameter(name)[:256]
    if row["Operation"] == "Scan":
        row.pop("RebootOption", None)
        return
    row["RebootOption"] = parameter("RebootOption", "RebootIfNeeded")
    pending = row["MissingCount"]
    row["MissingCount"] = 0
    if row["RebootOption"] == "NoReboot":
        row["InstalledPendingRebootCount"] += pending
        row["LastNoRebootInstallOperationTime"] = row["OperationEndTime"]
    else:
        row["InstalledCount"] += pending + row["InstalledPendingRebootCount"]
        row["InstalledPendingRebootCount"] = 0


def rebooted(account: str, region: str, instance_ids: Iterable[str]) -> None:
    """Finishes the patches that waited for a reboot."""
    for instance_id in instance_ids:
        row = patches_of(account, region).get(instance_id)
        if row:
            row["InstalledCount"] += row["InstalledPendingRebootCount"]
            row["InstalledPendingRebootCount"] = 0


@operation(SERVICE, "DescribeInstancePatchStates")
def describe_instance_patch_states(
    context: Context, InstanceIds: list[str], MaxResults: int = 100, NextToken: str = ""
) -> dict[str, Any]:
    patches = patches_of(context.account, context.region)
    rows = [patches[i] for i in InstanceIds if i in patches]
    shown, token = page(rows, NextToken, MaxResults, fingerprint(InstanceIds), "InvalidNextToken")
    cleaned = [{"PatchGroup": "default", **{k: v for k, v in r.items() if v != ""}} for r in shown]
    return without_none(InstancePatchStates=cleaned, NextToken=token)


# --- what the control interface sets -------------------------------------------------------------

DATE_MEMBERS = ("OperationStartTime", "OperationEndTime", "LastNoRebootInstallOperationTime")


def set_agent(account: str, region: str, instance_id: str, fields: dict[str, Any]) -> None:
    agents(account, region).setdefault(instance_id, {}).update(fields)


def set_patch_state(account: str, region: str, instance_id: str, fields: dict[str, Any]) -> None:
    patches = patches_of(account, region)
    row = patches.setdefault(instance_id, fresh_patch_state(account, region, instance_id))
    for name, value in fields.items():
        row[name] = to_datetime(value) if name in DATE_MEMBERS else value


def set_behaviour(
    account: str, region: str, status: str, per_instance: dict[str, str] | None
) -> None:
    behaviour = behaviour_of(account, region)
    behaviour["status"] = status
    behaviour["per_instance"] = per_instance or {}


def finish_commands(account: str, region: str, status: str, instance_ids: list[str] | None) -> int:
    """Brings running invocations to an end; returns how many."""
    count = 0
    for command in commands_of(account, region).values():
        for invocation in command.invocations.values():
            if invocation.status in FINAL:
                continue
            if instance_ids is None or invocation.instance_id in instance_ids:
                settle(account, region, command, invocation.instance_id, status)
                count += 1
    return count
