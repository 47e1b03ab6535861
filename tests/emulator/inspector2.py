"""Amazon Inspector: findings, coverage, account status.

State of one account and region:

``findings``         a ``FindingStore``
``finding_details``  finding ARN -> extra members of ``BatchGetFindingDetails``
``coverage``         (resource id, scan type) -> members that replace the derived row
``status``           resource type -> status; a fresh account has EC2, ECR and LAMBDA enabled
``members``          account id -> member, in the delegated administrator's account
``auto_enable``      resource type -> whether it is switched on in new accounts
``delegated``        the delegated administrator, in the management account

The findings of members are emulated by seeding them in their administrator's own state:
``ListFindings`` answers what is seeded in the account that calls, whatever ``awsAccountId`` says.
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from moto.core.utils import get_service_model

from tests.emulator.clock import now, to_datetime, to_epoch
from tests.emulator.fleet import instances, is_managed, ping_status, tags_of
from tests.emulator.kit import (
    Context,
    RawReply,
    fail,
    fingerprint,
    operation,
    page,
    state,
    without_none,
)
from tests.emulator.organizations import Organization, delegate, organization_of
from tests.emulator.shapes import find_reply_errors

SERVICE = "inspector2"
Finding = dict[str, Any]
Test = Callable[[Finding], bool]

FINDING_SHAPE = (
    get_service_model(SERVICE)
    .operation_model("ListFindings")
    .output_shape.members["findings"]
    .member
)

# --- account status ------------------------------------------------------------------------------

STATUS_KEYS = {
    "EC2": "ec2",
    "ECR": "ecr",
    "LAMBDA": "lambda",
    "LAMBDA_CODE": "lambdaCode",
    "CODE_REPOSITORY": "codeRepository",
}
SCANNED_BY = {
    "AWS_EC2_INSTANCE": "ec2",
    "AWS_ECR_CONTAINER_IMAGE": "ecr",
    "AWS_LAMBDA_FUNCTION": "lambda",
}


def fresh_status() -> dict[str, str]:
    status = dict.fromkeys(STATUS_KEYS.values(), "DISABLED")
    status.update({"ec2": "ENABLED", "ecr": "ENABLED", "lambda": "ENABLED"})
    return status


def status_of(account: str, region: str) -> dict[str, str]:
    found: dict[str, str] = state(SERVICE, account, region, "status", fresh_status)
    return found


def overall(status: dict[str, str]) -> str:
    values = set(status.values())
    for candidate in ("ENABLED", "ENABLING", "DISABLING", "SUSPENDING", "SUSPENDED"):
        if candidate in values:
            return candidate
    return "DISABLED"


def split_accounts(
    context: Context, account_ids: Iterable[str]
) -> tuple[list[str], list[dict[str, str]]]:
    """Separates the accounts that the caller may act on: itself and its members."""
    members = context.state("members")
    allowed, refused = [], []
    for account in list(account_ids) or [context.account]:
        status = members.get(account, {}).get("relationshipStatus")
        if account == context.account or status == "ENABLED":
            allowed.append(account)
        else:
            refused.append(
                {
                    "accountId": account,
                    "errorCode": "ACCESS_DENIED",
                    "errorMessage": f"{account} is not a member of {context.account}",
                }
            )
    return allowed, refused


def switch(
    context: Context, account_ids: Iterable[str], resource_types: Iterable[str], to: str
) -> dict[str, Any]:
    allowed, refused = split_accounts(context, account_ids)
    accounts = []
    for account in allowed:
        status = status_of(account, context.region)
        for resource_type in resource_types:
            status[STATUS_KEYS[resource_type]] = to
        accounts.append(
            {"accountId": account, "status": overall(status), "resourceStatus": dict(status)}
        )
    return {"accounts": accounts, "failedAccounts": refused}


@operation(SERVICE, "Enable")
def enable(
    context: Context,
    resourceTypes: list[str],
    accountIds: Iterable[str] = (),
    clientToken: str = "",
) -> dict[str, Any]:
    for account in list(accountIds) or [context.account]:
        on = status_of(account, context.region)["lambda"] == "ENABLED" or "LAMBDA" in resourceTypes
        if "LAMBDA_CODE" in resourceTypes and not on:
            fail("ValidationException", "LAMBDA_CODE cannot be enabled without LAMBDA")
    return switch(context, accountIds, resourceTypes, "ENABLED")


@operation(SERVICE, "Disable")
def disable(
    context: Context, accountIds: Iterable[str] = (), resourceTypes: Iterable[str] = ()
) -> dict[str, Any]:
    return switch(context, accountIds, list(resourceTypes) or list(STATUS_KEYS), "DISABLED")


@operation(SERVICE, "BatchGetAccountStatus")
def batch_get_account_status(context: Context, accountIds: Iterable[str] = ()) -> dict[str, Any]:
    allowed, refused = split_accounts(context, accountIds)
    accounts = []
    for account in allowed:
        status = status_of(account, context.region)
        accounts.append(
            {
                "accountId": account,
                "state": {"status": overall(status)},
                "resourceState": {key: {"status": value} for key, value in status.items()},
            }
        )
    return {"accounts": accounts, "failedAccounts": refused}


# --- the organization: a delegated administrator and its members ---------------------------------

AUTO_ENABLE = ("ec2", "ecr", "lambda", "lambdaCode", "codeRepository")
DENIED = "AccessDeniedException"


def delegated_of(organization: Organization, region: str) -> dict[str, str]:
    """The delegated administrator of an organization in a region: ``accountId``, or nothing."""
    found: dict[str, str] = state(SERVICE, organization.management, region, "delegated")
    return found


def check_administrator(context: Context) -> Organization | None:
    """Refuses a caller in an organization that is not its delegated administrator."""
    organization = organization_of(context.account)
    if organization:
        delegated = delegated_of(organization, context.region)
        if delegated.get("accountId") != context.account:
            fail(DENIED, "Invoking account does not have access to perform this operation.")
    return organization


def member_row(context: Context, account: str, status: str) -> dict[str, Any]:
    return {
        "accountId": account,
        "delegatedAdminAccountId": context.account,
        "relationshipStatus": status,
        "updatedAt": now(),
    }


@operation(SERVICE, "AssociateMember")
def associate_member(context: Context, accountId: str) -> dict[str, Any]:
    organization = check_administrator(context)
    if accountId == context.account:
        fail("ValidationException", "An account cannot be a member of itself.")
    if organization and accountId not in organization.accounts:
        fail(DENIED, f"Account {accountId} is not in the organization of {context.account}.")
    owner = context.state("owner", account=accountId)
    if owner.get("accountId", context.account) != context.account:
        fail(DENIED, f"Account {accountId} is a member of another administrator.")
    owner["accountId"] = context.account
    context.state("members")[accountId] = member_row(context, accountId, "ENABLED")
    return {"accountId": accountId}


@operation(SERVICE, "DisassociateMember")
def disassociate_member(context: Context, accountId: str) -> dict[str, Any]:
    check_administrator(context)
    members = context.state("members")
    if accountId not in members:
        fail("ValidationException", f"Account {accountId} is not a member of {context.account}.")
    context.state("owner", account=accountId).clear()
    members[accountId] = member_row(context, accountId, "REMOVED")
    return {"accountId": accountId}


@operation(SERVICE, "ListMembers")
def list_members(
    context: Context, onlyAssociated: bool = True, maxResults: int = 50, nextToken: str = ""
) -> dict[str, Any]:
    organization = check_administrator(context)
    rows = dict(context.state("members"))
    if onlyAssociated:
        rows = {k: row for k, row in rows.items() if row["relationshipStatus"] == "ENABLED"}
    elif organization:
        others = set(organization.accounts) - rows.keys() - {context.account}
        rows.update((each, member_row(context, each, "CREATED")) for each in sorted(others))
    shown, token = page(list(rows.values()), nextToken, maxResults, fingerprint(onlyAssociated))
    return without_none(members=list(shown), nextToken=token)


@operation(SERVICE, "GetMember")
def get_member(context: Context, accountId: str) -> dict[str, Any]:
    check_administrator(context)
    members = context.state("members")
    if accountId not in members:
        fail("ResourceNotFoundException", f"Account {accountId} is not a member.")
    return {"member": members[accountId]}


def managed(context: Context) -> Organization:
    """The caller's organization; refused where the caller does not manage one."""
    organization = organization_of(context.account)
    if organization is None or organization.management != context.account:
        fail(DENIED, "Only the management account of an organization may do this.")
    return organization


@operation(SERVICE, "EnableDelegatedAdminAccount")
def enable_delegated_admin_account(
    context: Context, delegatedAdminAccountId: str, clientToken: str = ""
) -> dict[str, Any]:
    organization = managed(context)
    delegated = delegated_of(organization, context.region)
    if delegated.get("accountId", delegatedAdminAccountId) != delegatedAdminAccountId:
        fail(
            "ConflictException",
            f"{delegated['accountId']} is already the delegated administrator.",
        )
    if delegatedAdminAccountId not in organization.accounts:
        fail(
            "ResourceNotFoundException",
            f"Account {delegatedAdminAccountId} is not in the organization.",
        )
    delegated["accountId"] = delegatedAdminAccountId
    delegate(organization, delegatedAdminAccountId, SERVICE)
    return {"delegatedAdminAccountId": delegatedAdminAccountId}


@operation(SERVICE, "DisableDelegatedAdminAccount")
def disable_delegated_admin_account(
    context: Context, delegatedAdminAccountId: str
) -> dict[str, Any]:
    delegated = delegated_of(managed(context), context.region)
    if delegated.get("accountId") != delegatedAdminAccountId:
        fail("ResourceNotFoundException", f"{delegatedAdminAccountId} is not the administrator.")
    delegated.clear()
    return {"delegatedAdminAccountId": delegatedAdminAccountId}


@operation(SERVICE, "ListDelegatedAdminAccounts")
def list_delegated_admin_accounts(
    context: Context, maxResults: int = 5, nextToken: str = ""
) -> dict[str, Any]:
    delegated = delegated_of(managed(context), context.region)
    rows = [{"accountId": account, "status": "ENABLED"} for account in delegated.values()]
    return {"delegatedAdminAccounts": rows}


@operation(SERVICE, "DescribeOrganizationConfiguration")
def describe_organization_configuration(context: Context) -> dict[str, Any]:
    check_administrator(context)
    auto = {**dict.fromkeys(AUTO_ENABLE, False), **context.state("auto_enable")}
    return {"autoEnable": auto, "maxAccountLimitReached": False}


@operation(SERVICE, "UpdateOrganizationConfiguration")
def update_organization_configuration(
    context: Context, autoEnable: dict[str, bool]
) -> dict[str, Any]:
    check_administrator(context)
    if autoEnable.get("lambdaCode") and not autoEnable.get("lambda"):
        fail("ValidationException", "lambdaCode cannot be enabled without lambda")
    kept = context.state("auto_enable")
    kept.update(autoEnable)
    return {"autoEnable": {**dict.fromkeys(AUTO_ENABLE, False), **kept}}


# --- criteria ------------------------------------------------------------------------------------


def values_at(item: Any, path: str) -> list[Any]:
    """Finds all values at a dotted path; ``[]`` walks a list, a missing member gives nothing."""
    found = [item]
    for step in path.split("."):
        name = step.removesuffix("[]")
        found = [each[name] for each in found if isinstance(each, dict) and name in each]
        if step.endswith("[]"):
            found = [member for each in found for member in each]
    return found


EC2 = "resources[].details.awsEc2Instance"
ECR = "resources[].details.awsEcrContainerImage"
LAMBDA = "resources[].details.awsLambdaFunction"
PACKAGE = "packageVulnerabilityDetails"
CODE = "codeVulnerabilityDetails"

STRING_KEYS = {
    "awsAccountId": "awsAccountId",
    "codeVulnerabilityDetectorName": f"{CODE}.detectorName",
    "codeVulnerabilityDetectorTags": f"{CODE}.detectorTags[]",
    "codeVulnerabilityFilePath": f"{CODE}.filePath.filePath",
    "ec2InstanceImageId": f"{EC2}.imageId",
    "ec2InstanceSubnetId": f"{EC2}.subnetId",
    "ec2InstanceVpcId": f"{EC2}.vpcId",
    "ecrImageArchitecture": f"{ECR}.architecture",
    "ecrImageHash": f"{ECR}.imageHash",
    "ecrImageRegistry": f"{ECR}.registry",
    "ecrImageRepositoryName": f"{ECR}.repositoryName",
    "ecrImageTags": f"{ECR}.imageTags[]",
    "exploitAvailable": "exploitAvailable",
    "findingArn": "findingArn",
    "findingStatus": "status",
    "findingType": "type",
    "fixAvailable": "fixAvailable",
    "lambdaFunctionExecutionRoleArn": f"{LAMBDA}.executionRoleArn",
    "lambdaFunctionLayers": f"{LAMBDA}.layers[]",
    "lambdaFunctionName": f"{LAMBDA}.functionName",
    "lambdaFunctionRuntime": f"{LAMBDA}.runtime",
    "networkProtocol": "networkReachabilityDetails.protocol",
    "relatedVulnerabilities": f"{PACKAGE}.relatedVulnerabilities[]",
    "resourceId": "resources[].id",
    "resourceType": "resources[].type",
    "severity": "severity",
    "title": "title",
    "vendorSeverity": f"{PACKAGE}.vendorSeverity",
    "vulnerabilityId": f"{PACKAGE}.vulnerabilityId",
    "vulnerabilitySource": f"{PACKAGE}.source",
}
NUMBER_KEYS = {
    "ecrImageInUseCount": f"{ECR}.inUseCount",
    "epssScore": "epss.score",
    "inspectorScore": "inspectorScore",
}
DATE_KEYS = {
    "ecrImageLastInUseAt": f"{ECR}.lastInUseAt",
    "ecrImagePushedAt": f"{ECR}.pushedAt",
    "firstObservedAt": "firstObservedAt",
    "lambdaFunctionLastModifiedAt": f"{LAMBDA}.lastModifiedAt",
    "lastObservedAt": "lastObservedAt",
    "updatedAt": "updatedAt",
}
PACKAGE_MEMBERS = {
    "architecture": "arch",
    "epoch": "epoch",
    "filePath": "filePath",
    "name": "name",
    "release": "release",
    "sourceLambdaLayerArn": "sourceLambdaLayerArn",
    "sourceLayerHash": "sourceLayerHash",
    "version": "version",
}


def compares(condition: dict[str, str], value: Any) -> bool:
    if condition["comparison"] == "PREFIX":
        return str(value).startswith(condition["value"])
    return bool(value == condition["value"])


def match_strings(conditions: list[dict[str, str]], values: list[Any]) -> bool:
    """Applies the string conditions of one key.

    EQUALS and PREFIX widen: one of them must hold.  NOT_EQUALS narrows: each must hold.
    """
    wanted = [c for c in conditions if c["comparison"] != "NOT_EQUALS"]
    unwanted = [c["value"] for c in conditions if c["comparison"] == "NOT_EQUALS"]
    if any(value in unwanted for value in values):
        return False
    return not wanted or any(compares(c, value) for c in wanted for value in values)


def match_ranges(conditions: list[dict[str, Any]], values: list[Any], low: str, high: str) -> bool:
    def bound(condition: dict[str, Any], name: str, default: float) -> float:
        return to_epoch(condition[name]) if condition.get(name) is not None else default

    return any(
        bound(c, low, float("-inf")) <= to_epoch(value) <= bound(c, high, float("inf"))
        for c in conditions
        for value in values
    )


def match_ports(conditions: list[dict[str, int]], finding: Finding) -> bool:
    """Matches when the finding's open ports and the wanted range have a port in common."""
    return any(
        opened["begin"] <= c.get("endInclusive", 65535)
        and c.get("beginInclusive", 0) <= opened["end"]
        for opened in values_at(finding, "networkReachabilityDetails.openPortRange")
        for c in conditions
    )


def match_tags(conditions: list[dict[str, str]], tag_sets: list[dict[str, str]]) -> bool:
    return any(
        c["key"] in tags and ("value" not in c or tags[c["key"]] == c["value"])
        for tags in tag_sets
        for c in conditions
    )


def match_packages(conditions: list[dict[str, Any]], finding: Finding) -> bool:
    """Matches when one package satisfies every member of one condition."""

    def satisfies(package: dict[str, Any], condition: dict[str, Any]) -> bool:
        for key, test in condition.items():
            values = [v for v in [package.get(PACKAGE_MEMBERS[key])] if v is not None]
            if key == "epoch":
                if not match_ranges([test], values, "lowerInclusive", "upperInclusive"):
                    return False
            elif not match_strings([test], values):
                return False
        return True

    packages = values_at(finding, f"{PACKAGE}.vulnerablePackages[]")
    return any(satisfies(p, c) for p in packages for c in conditions)


def criterion(key: str, conditions: list[Any]) -> Test:
    """Compiles one key of FilterCriteria; a key we do not know is refused, never ignored."""
    if key in STRING_KEYS:
        path = STRING_KEYS[key]
        return lambda finding: match_strings(conditions, values_at(finding, path))
    if key in NUMBER_KEYS:
        path = NUMBER_KEYS[key]
        return lambda finding: match_ranges(
            conditions, values_at(finding, path), "lowerInclusive", "upperInclusive"
        )
    if key in DATE_KEYS:
        path = DATE_KEYS[key]
        return lambda finding: match_ranges(
            conditions, values_at(finding, path), "startInclusive", "endInclusive"
        )
    if key == "portRange":
        return lambda finding: match_ports(conditions, finding)
    if key == "resourceTags":
        return lambda finding: match_tags(conditions, values_at(finding, "resources[].tags"))
    if key == "vulnerablePackages":
        return lambda finding: match_packages(conditions, finding)
    return fail("ValidationException", f"the emulator does not implement the criterion {key}")


# --- findings ------------------------------------------------------------------------------------

SORT_KEYS = {
    "AWS_ACCOUNT_ID": "awsAccountId",
    "EPSS_SCORE": "epss.score",
    "FINDING_STATUS": "status",
    "FINDING_TYPE": "type",
    "FIRST_OBSERVED_AT": "firstObservedAt",
    "INSPECTOR_SCORE": "inspectorScore",
    "LAST_OBSERVED_AT": "lastObservedAt",
    "NETWORK_PROTOCOL": "networkReachabilityDetails.protocol",
    "RESOURCE_TYPE": "resources[].type",
    "SEVERITY": "severity",
    "VENDOR_SEVERITY": f"{PACKAGE}.vendorSeverity",
    "VULNERABILITY_ID": f"{PACKAGE}.vulnerabilityId",
    "VULNERABILITY_SOURCE": f"{PACKAGE}.source",
}
SEVERITIES = ["UNTRIAGED", "INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL"]


class FindingStore:
    """The findings of one account and region, in the order in which they were added."""

    def __init__(self) -> None:
        self.items: dict[str, Finding] = {}
        self.texts: dict[str, str] = {}
        self.by_resource: dict[str, dict[str, None]] = {}  # resource id -> ARNs, in order
        self.results: dict[str, list[str]] = {}

    def add(self, finding: Finding) -> None:
        """Adds a finding, or replace the one with the same ARN."""
        clean = with_epochs(FINDING_SHAPE, finding)
        problems = find_reply_errors(FINDING_SHAPE, clean)
        if problems:
            raise ValueError(f"finding {finding.get('findingArn')}: {'; '.join(problems)}")
        arn = clean["findingArn"]
        self.forget_resources(arn)
        self.items[arn] = clean
        self.texts[arn] = json.dumps(clean, separators=(",", ":"))
        for resource in clean["resources"]:
            self.by_resource.setdefault(resource["id"], {})[arn] = None
        self.results = {}

    def remove(self, arns: Iterable[str]) -> None:
        for arn in arns:
            self.forget_resources(arn)
            self.items.pop(arn, None)
            self.texts.pop(arn, None)
        self.results = {}

    def forget_resources(self, arn: str) -> None:
        for resource in self.items.get(arn, {}).get("resources", []):
            self.by_resource.get(resource["id"], {}).pop(arn, None)

    def of_resource(self, resource_id: str) -> list[Finding]:
        return [self.items[arn] for arn in list(self.by_resource.get(resource_id, ()))]

    def candidates(self, criteria: dict[str, Any]) -> list[Finding]:
        """Finds a superset of what can match, through the resource ids where they are given."""
        wanted = criteria.get("resourceId") or []
        if not wanted or any(c["comparison"] != "EQUALS" for c in wanted):
            return list(self.items.values())
        arns = {arn: None for c in wanted for arn in self.by_resource.get(c["value"], ())}
        return [self.items[arn] for arn in arns]

    def select(
        self, account: str, status: dict[str, str], criteria: dict[str, Any], sort: dict[str, str]
    ) -> list[str]:
        """Finds the ARNs that match; remembered until a finding changes."""
        key = fingerprint(status, criteria, sort)
        results = self.results
        if key not in results:
            tests = [criterion(k, conditions) for k, conditions in criteria.items() if conditions]
            tests.append(lambda finding: is_scanned(finding, account, status))
            found = [f for f in self.candidates(criteria) if all(test(f) for test in tests)]
            if sort:
                sort_findings(found, sort)
            results[key] = [finding["findingArn"] for finding in found]
        return results[key]


def with_epochs(shape: Any, value: Any) -> Any:
    """Copies a value with its timestamps as epoch seconds, the form on the wire."""
    if value is None:
        return None
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        return {
            name: with_epochs(shape.members[name], member) if name in shape.members else member
            for name, member in value.items()
            if member is not None
        }
    if kind == "list" and isinstance(value, list):
        return [with_epochs(shape.member, member) for member in value]
    return to_epoch(value) if kind == "timestamp" else value


def is_scanned(finding: Finding, account: str, status: dict[str, str]) -> bool:
    """Says whether scanning of the finding's resource type is on, for the caller's own."""
    if finding["awsAccountId"] != account:
        return True
    kinds = [SCANNED_BY.get(r["type"]) for r in finding["resources"]]
    return any(kind is None or status[kind] != "DISABLED" for kind in kinds)


def sort_findings(findings: list[Finding], sort: dict[str, str]) -> None:
    if sort["field"] not in SORT_KEYS:
        fail("ValidationException", f"the emulator does not implement sorting by {sort['field']}")
    path = SORT_KEYS[sort["field"]]

    def rank(finding: Finding) -> Any:
        values = values_at(finding, path)
        if not values:
            return (0, 0)
        return (1, SEVERITIES.index(values[0]) if path == "severity" else values[0])

    findings.sort(key=rank, reverse=sort["sortOrder"] == "DESC")


def store_of(account: str, region: str) -> FindingStore:
    found: FindingStore = state(SERVICE, account, region, "findings", FindingStore)
    return found


@operation(SERVICE, "ListFindings")
def list_findings(
    context: Context,
    filterCriteria: dict[str, Any] | None = None,
    maxResults: int = 100,
    nextToken: str = "",
    sortCriteria: dict[str, str] | None = None,
) -> RawReply:
    status = status_of(context.account, context.region)
    criteria, sort = filterCriteria or {}, sortCriteria or {}
    store = store_of(context.account, context.region)
    found = store.select(context.account, status, criteria, sort)
    if overall(status) == "DISABLED":
        found = []
    arns, token = page(found, nextToken, maxResults, fingerprint(criteria, sort))
    body = ",".join(store.texts[arn] for arn in arns if arn in store.texts)
    following = f',"nextToken":{json.dumps(token)}' if token else ""
    return RawReply(f'{{"findings":[{body}]{following}}}')


@operation(SERVICE, "BatchGetFindingDetails")
def batch_get_finding_details(context: Context, findingArns: list[str]) -> dict[str, Any]:
    store = store_of(context.account, context.region)
    extra = context.state("finding_details")
    details, errors = [], []
    for arn in findingArns:
        finding = store.items.get(arn)
        if finding is None:
            errors.append(
                {
                    "findingArn": arn,
                    "errorCode": "FINDING_DETAILS_NOT_FOUND",
                    "errorMessage": f"No details were found for {arn}",
                }
            )
            continue
        score = values_at(finding, "epss.score")
        detail = without_none(findingArn=arn, epssScore=score[0] if score else None)
        detail.update(extra.get(arn, {}))
        details.append(detail)
    return {"findingDetails": details, "errors": errors}


# --- aggregations --------------------------------------------------------------------------------


def count_severities(findings: Iterable[Finding]) -> dict[str, int]:
    counts = dict.fromkeys(["all", *(name.lower() for name in SEVERITIES)], 0)
    for finding in findings:
        counts["all"] += 1
        counts[finding["severity"].lower()] += 1
    return counts


def aggregate_accounts(findings: list[Finding], request: dict[str, Any]) -> list[dict[str, Any]]:
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        if request.get("findingType") not in (None, finding["type"]):
            continue
        kinds = values_at(finding, "resources[].type")
        if request.get("resourceType") and request["resourceType"] not in kinds:
            continue
        groups.setdefault(finding["awsAccountId"], []).append(finding)
    return [
        {
            "accountAggregation": {
                "accountId": account,
                "severityCounts": count_severities(group),
            }
        }
        for account, group in groups.items()
    ]


def aggregate_instances(findings: list[Finding], request: dict[str, Any]) -> list[dict[str, Any]]:
    groups: dict[str, list[Finding]] = {}
    resources: dict[str, dict[str, Any]] = {}
    for finding in findings:
        for resource in finding["resources"]:
            if resource["type"] == "AWS_EC2_INSTANCE":
                groups.setdefault(resource["id"], []).append(finding)
                resources[resource["id"]] = resource
    replies = []
    for instance_id, group in groups.items():
        resource = resources[instance_id]
        details = resource.get("details", {}).get("awsEc2Instance", {})
        image, platform = details.get("imageId"), details.get("platform")
        tests = {
            "instanceIds": [instance_id],
            "amis": [image] if image else [],
            "operatingSystems": [platform] if platform else [],
        }
        if not all(
            match_strings(request[key], values) for key, values in tests.items() if key in request
        ):
            continue
        tags = resource.get("tags", {})
        if "instanceTags" in request and not match_tags(request["instanceTags"], [tags]):
            continue
        replies.append(
            {
                "ec2InstanceAggregation": without_none(
                    instanceId=instance_id,
                    accountId=group[0]["awsAccountId"],
                    ami=image,
                    operatingSystem=platform,
                    instanceTags=tags,
                    severityCounts=count_severities(group),
                    networkFindings=sum(f["type"] == "NETWORK_REACHABILITY" for f in group),
                )
            }
        )
    return replies


AGGREGATIONS: dict[str, tuple[str, Callable[..., list[dict[str, Any]]]]] = {
    "ACCOUNT": ("accountAggregation", aggregate_accounts),
    "AWS_EC2_INSTANCE": ("ec2InstanceAggregation", aggregate_instances),
}


@operation(SERVICE, "ListFindingAggregations")
def list_finding_aggregations(
    context: Context,
    aggregationType: str,
    accountIds: list[dict[str, str]] | None = None,
    aggregationRequest: dict[str, Any] | None = None,
    maxResults: int = 100,
    nextToken: str = "",
) -> dict[str, Any]:
    if aggregationType not in AGGREGATIONS:
        fail("ValidationException", f"the emulator does not aggregate by {aggregationType}")
    name, aggregate = AGGREGATIONS[aggregationType]
    request = dict((aggregationRequest or {}).get(name) or {})
    strange = set(aggregationRequest or {}) - {name}
    if strange:
        fail("ValidationException", f"{aggregationType} does not go with {sorted(strange)}")
    status = status_of(context.account, context.region)
    store = store_of(context.account, context.region)
    arns = store.select(context.account, status, {"findingStatus": ACTIVE}, {})
    findings = [] if overall(status) == "DISABLED" else [store.items[arn] for arn in arns]
    if accountIds:
        findings = [f for f in findings if match_strings(accountIds, [f["awsAccountId"]])]
    replies = aggregate(findings, request)
    by = request.get("sortBy", "ALL").lower()

    def rank(reply: dict[str, Any]) -> int:
        member = reply[name]
        if by == "network_findings":
            return int(member["networkFindings"])
        return int(member["severityCounts"][by])

    replies.sort(key=rank, reverse=request.get("sortOrder", "DESC") == "DESC")
    query = fingerprint(aggregationType, accountIds, request)
    responses, token = page(replies, nextToken, maxResults, query)
    return without_none(aggregationType=aggregationType, responses=list(responses), nextToken=token)


ACTIVE = [{"comparison": "EQUALS", "value": "ACTIVE"}]


# --- coverage ------------------------------------------------------------------------------------

COVERAGE_STRINGS = {
    "accountId": "accountId",
    "ecrImageTags": "resourceMetadata.ecrImage.tags[]",
    "ecrRepositoryName": "resourceMetadata.ecrRepository.name",
    "lambdaFunctionName": "resourceMetadata.lambdaFunction.functionName",
    "lambdaFunctionRuntime": "resourceMetadata.lambdaFunction.runtime",
    "resourceId": "resourceId",
    "resourceType": "resourceType",
    "scanMode": "scanMode",
    "scanStatusCode": "scanStatus.statusCode",
    "scanStatusReason": "scanStatus.reason",
    "scanType": "scanType",
}
COVERAGE_TAGS = {
    "ec2InstanceTags": "resourceMetadata.ec2.tags",
    "lambdaFunctionTags": "resourceMetadata.lambdaFunction.functionTags",
}
Row = dict[str, Any]


def ec2_scan_status(account: str, region: str, instance: Any, scan_type: str) -> tuple[str, str]:
    if instance.state != "running":
        return "INACTIVE", "EC2_INSTANCE_STOPPED"
    if scan_type == "NETWORK":
        return "ACTIVE", "SUCCESSFUL"
    if not is_managed(account, region, instance):
        return "INACTIVE", "UNMANAGED_EC2_INSTANCE"
    if ping_status(account, region, instance.id) != "Online":
        return "INACTIVE", "STALE_INVENTORY"
    return "ACTIVE", "SUCCESSFUL"


def ec2_rows(account: str, region: str) -> Iterable[Row]:
    for instance in instances(account, region):
        if instance.state in ("terminated", "shutting-down"):
            continue
        platform = "WINDOWS" if instance.platform == "windows" else "LINUX"
        for scan_type in ("PACKAGE", "NETWORK"):
            code, reason = ec2_scan_status(account, region, instance, scan_type)
            row: Row = {
                "accountId": account,
                "resourceId": instance.id,
                "resourceType": "AWS_EC2_INSTANCE",
                "scanType": scan_type,
                "scanStatus": {"statusCode": code, "reason": reason},
                "resourceMetadata": {
                    "ec2": {
                        "amiId": instance.image_id,
                        "platform": platform,
                        "tags": tags_of(instance),
                    }
                },
            }
            if code == "ACTIVE":
                row["lastScannedAt"] = now()
                row["scanMode"] = "EC2_SSM_AGENT_BASED"
            yield row


def ecr_rows(context: Context) -> Iterable[Row]:
    for repository in context.backend("ecr").repositories.values():
        for image in repository.images:
            digest = image.image_digest or image.get_image_digest()
            yield {
                "accountId": context.account,
                "resourceId": f"{repository.arn}/{digest}",
                "resourceType": "AWS_ECR_CONTAINER_IMAGE",
                "scanType": "PACKAGE",
                "scanStatus": {"statusCode": "ACTIVE", "reason": "SUCCESSFUL"},
                "resourceMetadata": {
                    "ecrRepository": {"name": repository.name},
                    "ecrImage": {"tags": [tag for tag in image.image_tags if tag]},
                },
                "lastScannedAt": now(),
            }


def lambda_rows(context: Context) -> Iterable[Row]:
    from moto.awslambda_simple.models import lambda_simple_backends

    backend = lambda_simple_backends[context.account][context.region]
    for function in backend.list_functions():
        yield {
            "accountId": context.account,
            "resourceId": f"{function.function_arn}:$LATEST",
            "resourceType": "AWS_LAMBDA_FUNCTION",
            "scanType": "PACKAGE",
            "scanStatus": {"statusCode": "ACTIVE", "reason": "SUCCESSFUL"},
            "resourceMetadata": {
                "lambdaFunction": {
                    "functionName": function.function_name,
                    "functionTags": dict(function.tags),
                }
            },
            "lastScannedAt": now(),
        }


def coverage_rows(context: Context) -> list[Row]:
    """Derives the rows from what exists, then apply what a test has set."""
    status = status_of(context.account, context.region)
    rows: dict[tuple[str, str], Row] = {}
    derived: list[Row] = []
    if status["ec2"] == "ENABLED":
        derived += ec2_rows(context.account, context.region)
    if status["ecr"] == "ENABLED":
        derived += ecr_rows(context)
    if status["lambda"] == "ENABLED":
        derived += lambda_rows(context)
    for row in derived:
        rows[row["resourceId"], row["scanType"]] = row
    if overall(status) == "DISABLED":
        return []
    for key, override in context.state("coverage").items():
        resource_id, scan_type = key
        if override.get("absent"):
            rows.pop((resource_id, scan_type), None)
            continue
        base: Row = {
            "accountId": context.account,
            "resourceId": resource_id,
            "resourceType": "AWS_EC2_INSTANCE",
            "scanType": scan_type,
            "scanStatus": {"statusCode": "ACTIVE", "reason": "SUCCESSFUL"},
        }
        row = {**rows.get(key, base), **override}
        if row.get("lastScannedAt") is not None:
            row["lastScannedAt"] = to_datetime(row["lastScannedAt"])
        rows[key] = {name: value for name, value in row.items() if value is not None}
    return list(rows.values())


def coverage_test(key: str, conditions: list[Any]) -> Callable[[Row], bool]:
    if key in COVERAGE_STRINGS:
        path = COVERAGE_STRINGS[key]
        return lambda row: match_strings(conditions, values_at(row, path))
    if key in COVERAGE_TAGS:
        path = COVERAGE_TAGS[key]
        return lambda row: match_tags(conditions, values_at(row, path))
    if key == "lastScannedAt":
        return lambda row: match_ranges(
            conditions, values_at(row, "lastScannedAt"), "startInclusive", "endInclusive"
        )
    return fail("ValidationException", f"the emulator does not implement the criterion {key}")


@operation(SERVICE, "ListCoverage")
def list_coverage(
    context: Context,
    filterCriteria: dict[str, Any] | None = None,
    maxResults: int = 200,
    nextToken: str = "",
) -> dict[str, Any]:
    criteria = filterCriteria or {}
    tests = [coverage_test(key, conditions) for key, conditions in criteria.items()]
    rows = [row for row in coverage_rows(context) if all(test(row) for test in tests)]
    covered, token = page(rows, nextToken, maxResults, fingerprint(criteria))
    return without_none(coveredResources=list(covered), nextToken=token)


GROUPS = {
    "ACCOUNT_ID": "accountId",
    "ECR_REPOSITORY_NAME": "resourceMetadata.ecrRepository.name",
    "RESOURCE_TYPE": "resourceType",
    "SCAN_STATUS_CODE": "scanStatus.statusCode",
    "SCAN_STATUS_REASON": "scanStatus.reason",
}
GROUPS_A_PAGE = 5


@operation(SERVICE, "ListCoverageStatistics")
def list_coverage_statistics(
    context: Context,
    filterCriteria: dict[str, Any] | None = None,
    groupBy: str = "",
    nextToken: str = "",
) -> RawReply:
    """Counts rows of coverage.

    The service model says that ``groupKey`` is the name of the grouping; AWS's own examples have
    the group's value, and so has this reply, which therefore is not checked against the model.
    """
    criteria = filterCriteria or {}
    tests = [coverage_test(key, conditions) for key, conditions in criteria.items()]
    rows = [row for row in coverage_rows(context) if all(test(row) for test in tests)]
    if not groupBy:
        return RawReply(json.dumps({"totalCounts": len(rows)}))
    if groupBy not in GROUPS:
        fail("ValidationException", f"the emulator does not group by {groupBy}")
    counts = Counter(value for row in rows for value in values_at(row, GROUPS[groupBy]))
    groups = [{"groupKey": key, "count": number} for key, number in counts.most_common()]
    shown, token = page(groups, nextToken, GROUPS_A_PAGE, fingerprint(criteria, groupBy))
    reply = without_none(countsByGroup=list(shown) or None, nextToken=token)
    return RawReply(json.dumps({"totalCounts": len(rows), **reply}))


# --- what the control interface sets -------------------------------------------------------------


def set_coverage(account: str, region: str, rows: list[Row]) -> None:
    """Overrides rows; one without a scan type is set for PACKAGE and for NETWORK."""
    overrides = state(SERVICE, account, region, "coverage")
    for row in rows:
        kinds = [row["scanType"]] if "scanType" in row else ["PACKAGE", "NETWORK"]
        for kind in kinds:
            overrides[row["resourceId"], kind] = {**row, "scanType": kind}


def add_findings(account: str, region: str, findings: list[Finding]) -> int:
    store = store_of(account, region)
    for finding in findings:
        store.add({"awsAccountId": account, **finding})
    return len(store.items)
