"""AWS WAF, where moto differs.

* An IP set holds at most 10,000 addresses, of its own family, no ``/0`` and no host bits; IPv6 is
  answered in its long form. There are at most 100 IP sets of a scope, and no two of one name.
* A lock token has the form that the service model gives it. Of two updates with one token, one
  succeeds (moto asks and updates without a lock).
* ``UpdateWebACL`` replaces the whole web ACL (moto: keeps what it is not given). Two rules of one
  name or priority are refused, and so are And and Or with fewer than two statements, references
  to what does not exist, and more than 5,000 capacity units.
* The scope CLOUDFRONT is reached through us-east-1 only.
* ``ListLoggingConfigurations`` lists those of CloudFront (moto: none, it looks for another ARN).

Capacity is counted for references to IP sets, rate-based rules and what joins them; any other
statement counts as one unit. Whether AWS refuses host bits or clears them is not known.
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

import ipaddress
import threading
import uuid
from collections.abc import Iterator
from typing import Any

from moto.core.utils import camelcase_to_underscores
from moto.wafv2.models import FakeIPSet, FakeRule, FakeWebACL, WAFV2Backend

from tests.emulator.cloudformation import resource
from tests.emulator.kit import Context, fail, operation, page, without_none

MOST_ADDRESSES = 10_000
MOST_IP_SETS = 100
MOST_CAPACITY = 5_000
VERSION = {"IPV4": 4, "IPV6": 6}
KEPT = (
    "association_config",
    "captcha_config",
    "challenge_config",
    "custom_response_bodies",
    "token_domains",
)
"""What an update takes away where it does not name it."""

one_at_a_time = threading.RLock()


def home(context: Context, scope: str) -> Any:
    """The state of a scope."""
    if scope != "CLOUDFRONT":
        return context.backend("wafv2")
    if context.region != "us-east-1":
        fail(
            "WAFInvalidParameterException",
            "Error reason: The scope is not valid., field: SCOPE_VALUE, parameter: CLOUDFRONT",
        )
    return context.backend("wafv2", region="global")


def is_locked(found: Any, token: str) -> None:
    if found.lock_token != token:
        fail(
            "WAFOptimisticLockException",
            "AWS WAF couldn't save your changes because someone changed the resource after you "
            "started to edit it. Reapply your changes.",
        )


def missing() -> None:
    fail(
        "WAFNonexistentItemException",
        "AWS WAF couldn't perform the operation because your resource doesn't exist.",
    )


# --- IP sets --------------------------------------------------------------------------------------


def checked(addresses: list[str], version: str) -> list[str]:
    """The addresses as AWS keeps them."""
    if len(addresses) > MOST_ADDRESSES:
        fail("WAFLimitsExceededException", "Your request exceeds a quota: addresses of an IP set")
    kept = []
    for text in addresses:
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            network = None
        if (
            network is None
            or "/" not in text
            or network.prefixlen == 0
            or network.version != VERSION[version]
        ):
            fail(
                "WAFInvalidParameterException",
                f"Error reason: The parameter contains formatting that is not valid., "
                f"field: IP_ADDRESS, parameter: {text}",
            )
        kept.append(network.exploded)
    return list(dict.fromkeys(kept))


def ip_set_of(context: Context, scope: str, identity: str) -> FakeIPSet:
    sets = home(context, scope).ip_sets.values()
    found = next((each for each in sets if each.ip_set_id == identity), None)
    if found is None:
        missing()
    assert isinstance(found, FakeIPSet)
    return found


@operation("wafv2", "CreateIPSet")
def create_ip_set(
    context: Context,
    Name: str,
    Scope: str,
    IPAddressVersion: str,
    Addresses: list[str],
    Description: str = "",
    Tags: Any = None,
) -> dict[str, Any]:
    backend = home(context, Scope)
    with one_at_a_time:
        if any(each.name == Name for each in backend.ip_sets.values()):
            fail(
                "WAFDuplicateItemException",
                "AWS WAF couldn't perform the operation because some resource in your request is "
                "a duplicate of an existing one.",
            )
        if len(backend.ip_sets) >= MOST_IP_SETS:
            fail("WAFLimitsExceededException", "Your request exceeds a quota: IP sets")
        made = backend.create_ip_set(
            Name, Scope, Description, IPAddressVersion, checked(Addresses, IPAddressVersion), Tags
        )
        made.lock_token = str(uuid.uuid4())
    return {"Summary": summary(made)}


def summary(found: FakeIPSet) -> dict[str, Any]:
    return {
        "Name": found.name,
        "Id": found.ip_set_id,
        "Description": found.description or "",
        "LockToken": found.lock_token,
        "ARN": found.arn,
    }


@operation("wafv2", "ListIPSets")
def list_ip_sets(
    context: Context, Scope: str, NextMarker: str | None = None, Limit: int = 100
) -> dict[str, Any]:
    with one_at_a_time:
        rows = [summary(each) for each in home(context, Scope).ip_sets.values()]
    shown, following = page(rows, NextMarker, Limit, Scope, "WAFInvalidParameterException")
    return without_none(IPSets=shown, NextMarker=following)


@operation("wafv2", "GetIPSet")
def get_ip_set(context: Context, Name: str, Scope: str, Id: str) -> dict[str, Any]:
    with one_at_a_time:
        found = ip_set_of(context, Scope, Id).to_dict()
    token = found.pop("LockToken")
    return {"IPSet": {**found, "Description": found["Description"] or ""}, "LockToken": token}


@operation("wafv2", "UpdateIPSet")
def update_ip_set(
    context: Context,
    Name: str,
    Scope: str,
    Id: str,
    Addresses: list[str],
    LockToken: str,
    Description: str | None = None,
) -> dict[str, Any]:
    with one_at_a_time:
        found = ip_set_of(context, Scope, Id)
        is_locked(found, LockToken)
        found.update(Description, checked(Addresses, found.ip_address_version))
        found.lock_token = str(uuid.uuid4())
        return {"NextLockToken": found.lock_token}


@operation("wafv2", "DeleteIPSet")
def delete_ip_set(context: Context, Name: str, Scope: str, Id: str, LockToken: str) -> None:
    with one_at_a_time:
        found = ip_set_of(context, Scope, Id)
        is_locked(found, LockToken)
        for web_acl in home(context, Scope).wacls.values():
            if any(found.arn in references(rule.statement) for rule in web_acl.rules):
                fail("WAFAssociatedItemException", "The IP set is in use by a web ACL.")
        del home(context, Scope).ip_sets[found.arn]


# --- web ACLs -------------------------------------------------------------------------------------


def statements(statement: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A statement and all that are inside it, each with its kind."""
    for kind, body in statement.items():
        yield kind, body
        inner = [*body.get("Statements", ()), body.get("Statement"), body.get("ScopeDownStatement")]
        for each in filter(None, inner):
            yield from statements(each)


def references(statement: dict[str, Any]) -> set[str]:
    return {body["ARN"] for _, body in statements(statement) if "ARN" in body}


def capacity(rules: list[dict[str, Any]]) -> int:
    weight = {"AndStatement": 0, "OrStatement": 0, "NotStatement": 0, "RateBasedStatement": 2}
    return sum(
        weight.get(kind, 1) for rule in rules for kind, _ in statements(rule.get("Statement", {}))
    )


def check_rules(backend: WAFV2Backend, rules: list[dict[str, Any]]) -> None:
    for key in ("Name", "Priority"):
        if len({rule[key] for rule in rules}) < len(rules):
            fail("WAFInvalidParameterException", f"Error reason: duplicate rule {key}, field: RULE")
    for rule in rules:
        if ("Action" in rule) == ("OverrideAction" in rule):
            fail("WAFInvalidParameterException", "A rule has either Action or OverrideAction")
        for kind, body in statements(rule["Statement"]):
            if kind in ("AndStatement", "OrStatement") and len(body["Statements"]) < 2:
                fail("WAFInvalidParameterException", f"{kind} needs two statements or more")
            if kind == "IPSetReferenceStatement" and body["ARN"] not in backend.ip_sets:
                missing()
    if capacity(rules) > MOST_CAPACITY:
        fail("WAFLimitsExceededException", "Your request exceeds a quota: web ACL capacity units")


def web_acl_of(context: Context, scope: str, identity: str) -> FakeWebACL:
    found = next(
        (each for each in home(context, scope).wacls.values() if each.id == identity), None
    )
    if found is None:
        missing()
    assert isinstance(found, FakeWebACL)
    return found


def rules_from(rules: list[dict[str, Any]]) -> list[FakeRule]:
    return [FakeRule(**{camelcase_to_underscores(k): v for k, v in r.items()}) for r in rules]


@operation("wafv2", "CreateWebACL")
def create_web_acl(
    context: Context,
    Name: str,
    Scope: str,
    DefaultAction: Any,
    VisibilityConfig: Any,
    Rules: list[dict[str, Any]] | None = None,
    Description: str = "",
    Tags: Any = None,
    **more: Any,
) -> dict[str, Any]:
    backend = home(context, Scope)
    given = {camelcase_to_underscores(key): value for key, value in more.items()}
    with one_at_a_time:
        if any(each.name == Name for each in backend.wacls.values()):
            fail("WAFDuplicateItemException", "There is a web ACL of this name.")
        check_rules(backend, Rules or [])
        made = backend.create_web_acl(
            Name,
            VisibilityConfig,
            DefaultAction,
            Scope,
            Description,
            Tags or [],
            Rules or [],
            **{key: given.get(key) for key in KEPT},
        )
        made.capacity = capacity(Rules or [])
    return {"Summary": made.to_short_dict()}


@operation("wafv2", "ListWebACLs")
def list_web_acls(
    context: Context, Scope: str, NextMarker: str | None = None, Limit: int = 100
) -> dict[str, Any]:
    with one_at_a_time:
        rows = [each.to_short_dict() for each in home(context, Scope).wacls.values()]
    shown, following = page(rows, NextMarker, Limit, Scope, "WAFInvalidParameterException")
    return without_none(WebACLs=shown, NextMarker=following)


@operation("wafv2", "GetWebACL")
def get_web_acl(
    context: Context, Name: str = "", Scope: str = "", Id: str = "", ARN: str = ""
) -> dict[str, Any]:
    scope = Scope or ("CLOUDFRONT" if ":global/" in ARN else "REGIONAL")
    with one_at_a_time:
        found = web_acl_of(context, scope, Id or ARN.rsplit("/", 1)[-1])
        return {"WebACL": described(found), "LockToken": found.lock_token}


@operation("wafv2", "GetWebACLForResource")
def get_web_acl_for_resource(context: Context, ResourceArn: str) -> dict[str, Any]:
    with one_at_a_time:
        found = context.backend("wafv2").get_web_acl_for_resource(ResourceArn)
        return {"WebACL": described(found)} if found else {}


def described(found: FakeWebACL) -> dict[str, Any]:
    whole = {k: v for k, v in found.to_dict().items() if k != "LockToken"}
    whole["Rules"] = [without_none(**rule) for rule in whole["Rules"]]
    return without_none(**whole)


@operation("wafv2", "UpdateWebACL")
def update_web_acl(
    context: Context,
    Name: str,
    Scope: str,
    Id: str,
    DefaultAction: Any,
    VisibilityConfig: Any,
    LockToken: str,
    Rules: list[dict[str, Any]] | None = None,
    Description: str = "",
    **more: Any,
) -> dict[str, Any]:
    with one_at_a_time:
        found = web_acl_of(context, Scope, Id)
        is_locked(found, LockToken)
        check_rules(home(context, Scope), Rules or [])
        found.default_action, found.visibility_config = DefaultAction, VisibilityConfig
        found.description, found.rules = Description, rules_from(Rules or [])
        given = {camelcase_to_underscores(key): value for key, value in more.items()}
        for key in KEPT:
            setattr(found, key, given.get(key))
        found.capacity = capacity(Rules or [])
        found.lock_token = str(uuid.uuid4())
        return {"NextLockToken": found.lock_token}


# --- logging --------------------------------------------------------------------------------------


@operation("wafv2", "ListLoggingConfigurations")
def list_logging_configurations(
    context: Context,
    Scope: str,
    LogScope: str = "CUSTOMER",
    NextMarker: str | None = None,
    Limit: int = 100,
) -> dict[str, Any]:
    home(context, Scope)
    mark = ":global/" if Scope == "CLOUDFRONT" else ":regional/"
    known = context.backend("wafv2").logging_configurations.items()
    rows = [without_none(**each.to_dict()) for arn, each in known if mark in arn]
    shown, following = page(rows, NextMarker, Limit, Scope, "WAFInvalidParameterException")
    return without_none(LoggingConfigurations=shown, NextMarker=following)


@resource("AWS::WAFv2::WebACL")
def make_web_acl(account: str, region: str, given: dict[str, Any]) -> tuple[str, dict[str, str]]:
    for each in given["Rules"]:
        rate = each["Statement"]["RateBasedStatement"]
        rate |= {name: int(rate[name]) for name in ("Limit", "EvaluationWindowSec")}
    made = create_web_acl(Context("wafv2", account, region), **given)["Summary"]
    return f"{made['Name']}|{made['Id']}|{given['Scope']}", {"Arn": made["ARN"]}


@resource("AWS::WAFv2::LoggingConfiguration")
def make_logging(account: str, region: str, given: dict[str, Any]) -> str:
    arn = given["ResourceArn"]
    Context("wafv2", account, region).backend().put_logging_configuration(
        arn, given["LogDestinationConfigs"], given.get("RedactedFields"), False, None
    )
    return str(arn)
