"""IAM: may the caller do this?

The policy engine is ministack's evaluator (``ministack.core.iam_evaluator``, pure functions);
users, roles, sessions, boundaries and service control policies are moto's.  moto's own check
looks at actions only and fails open on conditions.

Of resource policies, those of S3 buckets and event buses count: across accounts both sides must
allow. Not emulated: signatures, other resource policies, VPC endpoint policies, a session's tags.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote

from ministack.core.iam_actions import (
    extract_iam_action,
    extract_resource_arn,
    request_tag_context,
    s3_service_context,
)
from ministack.core.iam_evaluator import (
    EvalContext,
    combine_resource_policy,
    evaluate,
    evaluate_trust_policy,
    parse_policy_document,
)
from moto.events.models import events_backends
from moto.iam.models import Policy, iam_backends
from moto.organizations.models import organizations_backends

from tests.emulator import apigateway, fleet, s3
from tests.emulator.identity import Caller, find_role
from tests.emulator.kit import backend
from tests.emulator.wire import (
    FORM,
    SIGNING_NAMES,
    Answer,
    Asked,
    error_answer,
    parameters,
    service_metadata,
)

ALWAYS_ALLOWED = {"sts:GetCallerIdentity", "sts:GetSessionToken"}
SIGNED_AS = {service: name for name, service in SIGNING_NAMES.items()}
PREFIXES = {
    "accessanalyzer": "access-analyzer",
    "cloudwatch": "cloudwatch",
    "efs": "elasticfilesystem",
    "elbv2": "elasticloadbalancing",
    "resourcegroupstaggingapi": "tag",
    "stepfunctions": "states",
}
# Services whose action names differ from their operation names.
NAMED_BY_PATH = {"s3", "apigateway"}
OTHER_NAMES = {"lambda:Invoke": "lambda:InvokeFunction"}
S3_CONTROL = "/v20180820/configuration/publicAccessBlock"
Statements = list[Any]
EVERYTHING = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
)


def enforce(asked: Asked, caller: Caller) -> Answer | None:
    """Answers a refusal, or None when the caller may go on."""
    action = action_of(asked)
    if action in ALWAYS_ALLOWED:
        return None
    policies = [parse_policy_document(document) for document in documents(caller)]
    limits = list(limits_of(caller))
    for needed, resource in [
        *((action, arn) for arn in resources_of(asked)),
        *passed_roles(asked),
        *retained(asked, action),
        *created_with_tags(asked),
    ]:
        asked.needed.append(needed)
        context = EvalContext(
            principal_arn=caller.arn,
            principal_type="AssumedRole" if caller.kind == "role" else "User",
            principal_account=caller.account,
            action=needed,
            resource_arn=resource,
            region=asked.region,
            source_ip="127.0.0.1",
            secure_transport=True,
            service_context=conditions(asked, needed, resource),
        )
        identity = evaluate(context, policies, *limits)
        policy, owner = resource_policy(asked, resource, caller)
        if caller.kind == "role":  # policies of resources name the role, not its session
            context = replace(context, principal_arn=caller.session.role_arn)
        result = combine_resource_policy(identity, context, policy, owner, limits=tuple(limits))
        if result.decision != "Allow":
            where = "resource" if identity.decision == "Allow" else "identity"
            why = EXPLICIT if result.decision == "Deny" else IMPLICIT
            return deny(asked, caller, needed, resource, why.replace("identity", where))
    if action == "sts:AssumeRole" and not trusted(asked, caller):
        return deny(asked, caller, action, parameters(asked).get("RoleArn", "*"), BY_TRUST)
    return None


def resource_policy(asked: Asked, resource: str, caller: Caller) -> tuple[str | None, str | None]:
    """The policy of a bucket or an event bus, and its owner's account; (None, None) elsewhere."""
    parts = resource.split(":", 5)
    policy, owner = None, None
    if resource.startswith("arn:aws:s3:::"):
        bucket = parts[5].split("/", 1)[0]
        policy, owner = s3.policy_of(bucket), s3.owner_of(bucket)
    elif resource.startswith("arn:aws:events:") and parts[5].startswith("event-bus/"):
        owner = parts[4]
        bus = events_backends[owner][parts[3]].event_buses.get(parts[5].split("/", 1)[1])
        policy = bus.policy if bus else None
    return policy and policy.replace("${aws:PrincipalAccount}", caller.account), owner


# --- policies of a caller ------------------------------------------------------------------------


def document_of(policy: Any) -> str:
    if isinstance(policy, Policy):
        return str(next(v.document for v in policy.versions if v.is_default))
    if isinstance(policy, str):
        return policy
    # an inline policy made by the API is a record of the text, one made by CloudFormation is it
    if "policy_document" in policy:
        return str(policy["policy_document"])
    there = [each for each in policy["Statement"] if each is not None]  # moto's AWS::NoValue
    return json.dumps({**policy, "Statement": there})


def documents(caller: Caller) -> Iterator[str]:
    """Finds the identity-based policies: inline, attached, and those of groups."""
    iam = iam_backends[caller.account]["aws"]
    if caller.is_bootstrap:
        yield EVERYTHING
        return
    if caller.kind == "role":
        role = find_role(caller.session.role_arn)
        if role is None:
            return
        for name in iam.list_role_policies(role.name):
            yield document_of(iam.get_role_policy(role.name, name)[1])
        for policy in iam.list_attached_role_policies(role.name)[0]:
            yield document_of(policy)
        return
    user = caller.arn.split("/")[-1]
    for name in iam.list_user_policies(user):
        yield document_of(iam.get_user_policy(user, name))
    for policy in iam.list_attached_user_policies(user)[0]:
        yield document_of(policy)
    for group in iam.get_groups_for_user(user):
        for name in iam.list_group_policies(group.name):
            yield document_of(iam.get_group_policy(group.name, name))
        for policy in iam.list_attached_group_policies(group.name)[0]:
            yield document_of(policy)


def limits_of(caller: Caller) -> Iterator[list[Statements]]:
    """Finds what limits the caller: SCPs, the permissions boundary, the session policy."""
    yield from service_control_policies(caller.account)
    if caller.kind != "role":
        return
    role = find_role(caller.session.role_arn)
    boundary = getattr(role, "permissions_boundary_arn", None)
    managed = iam_backends[caller.account]["aws"].managed_policies
    if boundary and boundary in managed:
        yield [parse_policy_document(document_of(managed[boundary]))]
    if caller.session.policy:
        yield [parse_policy_document(caller.session.policy)]


def service_control_policies(account: str) -> Iterator[list[Statements]]:
    """Finds the SCPs that apply to an account: one limit for each level that has any."""
    for owner in list(organizations_backends):
        organisation = organizations_backends[owner]["aws"]
        if not getattr(organisation, "org", None):
            continue
        if account == organisation.org.master_account_id:
            continue
        node = next((a for a in organisation.accounts if a.id == account), None)
        while node is not None:
            attached = [
                parse_policy_document(policy.content)
                for policy in organisation.policies
                if policy.type == "SERVICE_CONTROL_POLICY"
                and any(getattr(t, "id", None) == node.id for t in policy.attachments)
            ]
            if attached:
                yield attached
            parent = getattr(node, "parent_id", None)
            node = next((unit for unit in organisation.ou if unit.id == parent), None)


def trusted(asked: Asked, caller: Caller) -> bool:
    """Says whether the role's trust policy lets the caller in."""
    params = parameters(asked)
    role = find_role(params.get("RoleArn", ""))
    if role is None:
        return False
    context = EvalContext(
        principal_arn=caller.session.role_arn if caller.kind == "role" else caller.arn,
        principal_type="AssumedRole" if caller.kind == "role" else "User",
        principal_account=caller.account,
        action="sts:AssumeRole",
        resource_arn=role.arn,
        region=asked.region,
        source_ip="127.0.0.1",
        secure_transport=True,
        service_context={
            "sts:externalid": params.get("ExternalId"),
            "sts:rolesessionname": params.get("RoleSessionName"),
        },
    )
    candidates = [caller.arn]
    if caller.kind == "role":  # a policy names the role, the caller is a session of it
        candidates.append(caller.session.role_arn)
    document = role.assume_role_policy_document
    return any(evaluate_trust_policy(document, arn, context) for arn in candidates)


# --- action, resources, conditions ---------------------------------------------------------------


def query_of(asked: Asked) -> dict[str, list[str]]:
    query = parse_qs(asked.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    if asked.environ.get("CONTENT_TYPE", "").startswith(FORM):
        query.update(parse_qs(asked.body.decode(errors="replace"), keep_blank_values=True))
    return query


def headers_of(asked: Asked) -> dict[str, str]:
    headers = {
        key[5:].replace("_", "-").lower(): value
        for key, value in asked.environ.items()
        if key.startswith("HTTP_")
    }
    headers["content-type"] = asked.environ.get("CONTENT_TYPE", "")
    return headers


def path_of(asked: Asked) -> str:
    return str(asked.environ.get("RAW_URI") or asked.environ["PATH_INFO"]).split("?")[0]


def action_of(asked: Asked) -> str:
    if asked.service == "s3" and path_of(asked).startswith(S3_CONTROL):
        return "s3:GetAccountPublicAccessBlock"  # the one operation of S3 Control that is asked
    if asked.service in NAMED_BY_PATH:
        found = extract_iam_action(
            asked.service,
            asked.environ["REQUEST_METHOD"],
            path_of(asked),
            headers_of(asked),
            asked.body,
            query_of(asked),
        )
        return str(found or f"{asked.service}:{asked.operation}")
    name = f"{PREFIXES.get(asked.service, asked.service)}:{asked.operation}"
    return OTHER_NAMES.get(name, name)


def resources_of(asked: Asked) -> list[str]:
    """Finds the ARNs that the request acts on; all of them must be allowed."""
    builder = BUILDERS.get(asked.service)
    if builder:
        return builder(asked) or ["*"]
    return [extracted(asked)]


def extracted(asked: Asked) -> str:
    """The ARN that ministack finds in a request."""
    found = extract_resource_arn(
        SIGNED_AS.get(asked.service, asked.service),
        asked.environ["REQUEST_METHOD"],
        path_of(asked),
        headers_of(asked),
        asked.body,
        query_of(asked),
        asked.region,
        asked.account,
    )
    return str(found or "*")


def iam_resources(asked: Asked) -> list[str]:
    params = parameters(asked)
    iam = iam_backends[asked.account]["aws"]
    found = [params["SAMLProviderArn"]] if "SAMLProviderArn" in params else []
    profiles = iam.instance_profiles.values()
    found += [each.arn for each in profiles if each.name == params.get("InstanceProfileName")]
    found += [each.arn for each in iam.roles.values() if each.name == params.get("RoleName")]
    return found or [extracted(asked)]


EC2_RESOURCES = {
    "AllocationId": "elastic-ip",
    "GroupId": "security-group",
    "InstanceId": "instance",
    "NetworkAclId": "network-acl",
    "NetworkInterfaceId": "network-interface",
    "ResourceId": "",
    "SecurityGroupId": "security-group",
    "RouteTableId": "route-table",
    "SnapshotId": "snapshot",
    "SubnetId": "subnet",
    "VolumeId": "volume",
    "VpcId": "vpc",
}
EC2_PREFIXES = {
    "acl": "network-acl",
    "eni": "network-interface",
    "i": "instance",
    "sg": "security-group",
    "snap": "snapshot",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
}


def ec2_resources(asked: Asked) -> list[str]:
    if asked.operation.startswith("Describe"):
        return ["*"]  # these know no resource-level permissions
    found = []
    for name, values in query_of(asked).items():
        kind = EC2_RESOURCES.get(name.split(".")[0])
        if kind is None or not re.fullmatch(r"\w+(\.\d+)?", name):
            continue
        for value in values:
            which = kind or EC2_PREFIXES.get(value.split("-")[0], "")
            if which:
                found.append(ec2_arn(asked, which, value))
    for value in query_of(asked).get("InstanceSpecification.InstanceId", ()):
        found += [ec2_arn(asked, "instance", value), ec2_arn(asked, "snapshot", "*")]
    for value in query_of(asked).get("AssociationId", ()):
        found += associated(asked, value)
    return found


def ec2_arn(asked: Asked, kind: str, name: str) -> str:
    owner = "" if kind == "snapshot" else asked.account  # as AWS writes them
    return f"arn:aws:ec2:{asked.region}:{owner}:{kind}/{name}"


def associated(asked: Asked, association: str) -> list[str]:
    """The instance whose profile, or the address whose place, an association is."""
    ec2 = backend("ec2", asked.account, asked.region)
    return [
        ec2_arn(asked, "instance", each.instance.id)
        for each in ec2.iam_instance_profile_associations.values()
        if each.association_id == association
    ] + [
        ec2_arn(asked, "elastic-ip", each.allocation_id)
        for each in ec2.addresses
        if each.association_id == association
    ]


def created_with_tags(asked: Asked) -> list[tuple[str, str]]:
    """What it takes to tag a resource of EC2 as it is made."""
    if asked.service != "ec2" or asked.operation == "CreateTags":
        return []
    kinds = [
        value
        for name, values in query_of(asked).items()
        if re.fullmatch(r"TagSpecification\.\d+\.ResourceType", name)
        for value in values
    ]
    return [("ec2:CreateTags", ec2_arn(asked, kind, "*")) for kind in kinds]


def ssm_resources(asked: Asked) -> list[str]:
    params = parameters(asked)
    place = f"{asked.region}:{asked.account}"
    if asked.operation == "SendCommand":
        name = str(params.get("DocumentName", ""))
        owner = f"{asked.region}:" if name.startswith("AWS-") else place
        document = name if name.startswith("arn:") else f"arn:aws:ssm:{owner}:document/{name}"
        ids = params.get("InstanceIds") or fleet.managed(asked.account, asked.region)
        return [document, *(f"arn:aws:ec2:{place}:instance/{each}" for each in ids)]
    if asked.operation.startswith(("GetParameter", "PutParameter", "DeleteParameter")):
        names = params.get("Names") or [params.get("Name") or params.get("Path") or ""]
        return [f"arn:aws:ssm:{place}:parameter/{name.lstrip('/')}" for name in names]
    return ["*"]


def guardduty_resources(asked: Asked) -> list[str]:
    parts = [unquote(part) for part in path_of(asked).split("/") if part]
    if len(parts) < 2 or parts[0] != "detector":
        return ["*"]
    detector = f"arn:aws:guardduty:{asked.region}:{asked.account}:detector/{parts[1]}"
    if parts[2:3] == ["publishingDestination"] and len(parts) > 3:
        return [f"{detector}/publishingdestination/{parts[3]}"]
    return [detector]


WAF_KINDS = {
    "IPSet": "ipset",
    "RegexPatternSet": "regexpatternset",
    "RuleGroup": "rulegroup",
    "WebACL": "webacl",
}


def waf_resources(asked: Asked) -> list[str]:
    params = {**parameters(asked), **(parameters(asked).get("LoggingConfiguration") or {})}
    if params.get("WebACLArn"):
        named = params["WebACLArn"]
        return [named, params["ResourceArn"]] if params.get("ResourceArn") else [named]
    arn = params.get("ResourceArn") or params.get("ResourceARN") or params.get("ARN")
    if arn:
        return [arn]
    kind = next((k for name, k in WAF_KINDS.items() if asked.operation.endswith(name)), None)
    if kind is None or not params.get("Name"):
        return ["*"]
    scope = "global" if params.get("Scope") == "CLOUDFRONT" else "regional"
    place = f"{asked.region}:{asked.account}:{scope}"
    return [f"arn:aws:wafv2:{place}/{kind}/{params['Name']}/{params.get('Id', '*')}"]


def lambda_resources(asked: Asked) -> list[str]:
    found = re.search(r"/(?:functions|tags)/([^/]+)", path_of(asked))
    name = unquote(found[1]) if found else str(parameters(asked).get("FunctionName", ""))
    if not name:
        return ["*"]
    place = f"{asked.region}:{asked.account}"
    return [name if name.startswith("arn:") else f"arn:aws:lambda:{place}:function:{name}"]


def events_resources(asked: Asked) -> list[str]:
    params = parameters(asked)
    if asked.operation == "PutEvents":
        place = f"arn:aws:events:{asked.region}:{asked.account}:event-bus"
        buses = [str(e.get("EventBusName") or "default") for e in params.get("Entries") or ()]
        return [bus if bus.startswith("arn:") else f"{place}/{bus}" for bus in buses]
    rule = params.get("Rule") or (params.get("Name") if "Rule" in asked.operation else None)
    if not rule:
        return ["*"]
    bus = str(params.get("EventBusName") or "default").rsplit("/", 1)[-1]
    path = rule if bus == "default" else f"{bus}/{rule}"
    return [f"arn:aws:events:{asked.region}:{asked.account}:rule/{path}"]


def cloudfront_resources(asked: Asked) -> list[str]:
    policy = re.search(r"/cache-policy/([^/]+)$", path_of(asked))
    if policy:
        return [f"arn:aws:cloudfront::{asked.account}:cache-policy/{policy[1]}"]
    return [extracted(asked)]


def securityhub_resources(asked: Asked) -> list[str]:
    return [row["ProductArn"] for row in parameters(asked).get("Findings") or ()]


BUILDERS: dict[str, Callable[[Asked], list[str]]] = {
    "cloudfront": cloudfront_resources,
    "ec2": ec2_resources,
    "execute-api": lambda asked: [apigateway.resource_arn(asked)],
    "events": events_resources,
    "guardduty": guardduty_resources,
    "iam": iam_resources,
    "lambda": lambda_resources,
    "securityhub": securityhub_resources,
    "ssm": ssm_resources,
    "wafv2": waf_resources,
}


def passed_roles(asked: Asked) -> list[tuple[str, str]]:
    """Finds the roles that a request hands to a service, which needs iam:PassRole."""
    if asked.service == "lambda" and asked.operation in (
        "CreateFunction",
        "UpdateFunctionConfiguration",
    ):
        role = parameters(asked).get("Role")
        return [("iam:PassRole", role)] if role else []
    if asked.service == "events" and asked.operation == "PutTargets":
        targets = parameters(asked).get("Targets") or ()
        return [("iam:PassRole", row["RoleArn"]) for row in targets if "RoleArn" in row]
    if asked.service == "ec2" and asked.operation in (
        "AssociateIamInstanceProfile",
        "ReplaceIamInstanceProfileAssociation",
        "RunInstances",
    ):
        query = query_of(asked)
        given = query.get("IamInstanceProfile.Name") or query.get("IamInstanceProfile.Arn")
        if given:
            profiles = iam_backends[asked.account]["aws"].instance_profiles.values()
            return [
                ("iam:PassRole", role.arn)
                for profile in profiles
                if given[0] in (profile.name, profile.arn)
                for role in profile.roles
            ]
    return []


def retained(asked: Asked, action: str) -> list[tuple[str, str]]:
    """What writing an object takes where the request also sets its retention."""
    if action != "s3:PutObject" or "HTTP_X_AMZ_OBJECT_LOCK_MODE" not in asked.environ:
        return []
    return [("s3:PutObjectRetention", arn) for arn in resources_of(asked)]


def conditions(asked: Asked, action: str, resource: str) -> dict[str, Any]:
    """Finds the condition keys of a request, in lower case."""
    query = query_of(asked)
    context = dict(request_tag_context(asked.service, action, asked.body, query))
    if action == "iam:PassRole":
        context["iam:PassedToService"] = f"{asked.service}.amazonaws.com"
    if action == "events:PutEvents":
        sources = {str(entry.get("Source")) for entry in parameters(asked).get("Entries") or ()}
        context["events:source"] = sources.pop() if len(sources) == 1 else ""
    if asked.service == "s3":
        context.update(s3_service_context(action, query, path_of(asked), headers_of(asked)))
        key = headers_of(asked).get("x-amz-server-side-encryption-aws-kms-key-id")
        if key:
            context["s3:x-amz-server-side-encryption-aws-kms-key-id"] = key
    if resource.startswith("arn:aws:ec2:"):
        tags = backend("ec2", asked.account, asked.region).tags
        for key, value in tags.get(resource.rsplit("/", 1)[1], {}).items():
            for prefix in ("aws", "ec2", "ssm"):
                context[f"{prefix}:resourcetag/{key}"] = value
        if action == "ec2:CreateTags" and asked.operation != "CreateTags":
            context["ec2:CreateAction"] = asked.operation
    return {key.lower(): value for key, value in context.items()}


# --- refusals ------------------------------------------------------------------------------------


EXPLICIT = " with an explicit deny in an identity-based policy"
IMPLICIT = " because no identity-based policy allows the {action} action"
BY_TRUST = ""  # a role's trust policy gives no reason away


def deny(asked: Asked, caller: Caller, action: str, resource: str, why: str) -> Answer:
    """Writes the refusal as the service would."""
    if asked.service == "execute-api":
        return apigateway.message(403, f"User: {caller.arn} is not authorized to access this")
    message = (
        f"User: {caller.arn} is not authorized to perform: {action} on resource: {resource}"
        f"{why.format(action=action)}"
    )
    if asked.protocol == "ec2":
        text = f"You are not authorized to perform this operation. {message}"
        return error_answer(asked, "UnauthorizedOperation", text, 403)
    if asked.service == "sns":
        return error_answer(asked, "AuthorizationError", message, 403)
    if asked.service == "s3":
        return error_answer(asked, "AccessDenied", message, 403)
    if asked.protocol in ("query", "rest-xml", "smithy-rpc-v2-cbor"):
        return error_answer(asked, "AccessDenied", message, 403)
    if "awsQueryCompatible" in service_metadata(asked.service):
        return error_answer(asked, "AccessDenied", message, 403)
    status = 403 if asked.protocol == "rest-json" else 400
    return error_answer(asked, "AccessDeniedException", message, status)
