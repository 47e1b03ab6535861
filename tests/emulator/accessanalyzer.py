"""IAM Access Analyzer, which moto lacks: ListAnalyzers, and a part of ValidatePolicy.

State of an account and region: ``analyzers`` of service ``ec2`` (a list of analyzer summaries).

ValidatePolicy knows fourteen of AWS's more than a hundred checks, by their documented codes and
types. A finding's ``path`` is that of the element; its ``span`` is always the whole document.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any
from urllib.parse import parse_qs

from policy_sentry.querying.all import get_all_actions

from tests.emulator.kit import page, state
from tests.emulator.wire import Answer, Asked, error_answer

SERVICE = "accessanalyzer"
KINDS = (
    "IDENTITY_POLICY",
    "RESOURCE_POLICY",
    "SERVICE_CONTROL_POLICY",
    "RESOURCE_CONTROL_POLICY",
)
TRUST = "AWS::IAM::AssumeRolePolicyDocument"
REFERENCE = (
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html"
)
TYPES = {
    "EMPTY_ARRAY_ACTION": "SUGGESTION",
    "REDUNDANT_ACTION": "SUGGESTION",
    "MISSING_VERSION": "WARNING",
    "ALLOW_WITH_NOT_PRINCIPAL": "SECURITY_WARNING",
    "PASS_ROLE_WITH_STAR_IN_RESOURCE": "SECURITY_WARNING",
}
"""The type of each finding; all others are errors."""


def answer(asked: Asked) -> Answer:
    """Answers a request of this service."""
    if asked.operation == "ListAnalyzers":
        return said({"analyzers": state("ec2", asked.account, asked.region, "analyzers", list)})
    if asked.operation == "ValidatePolicy":
        return validate_policy(asked)
    return error_answer(asked, "EmulatorError", f"no {asked.operation} here", 501)


def said(reply: dict[str, Any]) -> Answer:
    body = json.dumps(reply).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return Answer(200, headers, body)


def validate_policy(asked: Asked) -> Answer:
    request = json.loads(asked.body)
    query = parse_qs(asked.environ.get("QUERY_STRING", ""))
    kind, document = request.get("policyType"), request.get("policyDocument")
    if kind not in KINDS or not isinstance(document, str):
        return error_answer(asked, "ValidationException", "policyType or policyDocument", 400)
    size = int(query.get("maxResults", ["100"])[0])
    findings = list(examined(document, kind, request.get("validatePolicyResourceType")))
    shown, token = page(findings, query.get("nextToken", [None])[0], size, document)
    return said({"findings": shown, **({"nextToken": token} if token else {})})


def examined(document: str, kind: str, applies: str | None) -> Iterator[dict[str, Any]]:
    """The findings of a document."""
    end = {"line": 1 + document.count("\n"), "column": 0, "offset": len(document)}
    span = {"start": {"line": 1, "column": 0, "offset": 0}, "end": end}

    def finding(code: str, details: str, *path: dict[str, Any]) -> dict[str, Any]:
        return {
            "findingType": TYPES.get(code, "ERROR"),
            "issueCode": code,
            "findingDetails": details,
            "learnMoreLink": f"{REFERENCE}#{code.lower().replace('_', '-')}",
            "locations": [{"path": list(path), "span": span}],
        }

    try:
        policy = json.loads(document)
    except ValueError:
        yield finding("JSON_SYNTAX_ERROR", "Fix the JSON syntax error.")
        return
    if "Version" not in policy:
        yield finding("MISSING_VERSION", "We recommend that you specify the Version element.")
    statements = listed(policy.get("Statement"))
    if not statements:
        yield finding("MISSING_STATEMENT", "Add a statement to the policy.")
    for number, statement in enumerate(statements):
        for check in CHECKS:
            for code, element, details in check(statement, kind, applies):
                path = ({"value": "Statement"}, {"index": number}, {"value": element})
                yield finding(code, details, *path)


Found = Iterator[tuple[str, str, str]]


def effects(statement: dict[str, Any], kind: str, applies: str | None) -> Found:
    if "Effect" not in statement:
        yield "MISSING_EFFECT", "Effect", "Add an Effect element to the policy statement."
    elif statement["Effect"] not in ("Allow", "Deny"):
        yield "INVALID_EFFECT", "Effect", f"The effect {statement['Effect']} is not valid."


def principals(statement: dict[str, Any], kind: str, applies: str | None) -> Found:
    named = {"Principal", "NotPrincipal"} & statement.keys()
    if kind == "IDENTITY_POLICY" and named:
        yield "UNSUPPORTED_PRINCIPAL", named.pop(), "Identity policies do not take a principal."
    elif kind == "RESOURCE_POLICY" and not named:
        yield "MISSING_PRINCIPAL", "Principal", "Add a Principal element to the policy statement."
    elif "NotPrincipal" in named and statement.get("Effect") == "Allow":
        yield "ALLOW_WITH_NOT_PRINCIPAL", "NotPrincipal", "Allow with NotPrincipal is too wide."


def resources(statement: dict[str, Any], kind: str, applies: str | None) -> Found:
    if applies != TRUST and not {"Resource", "NotResource"} & statement.keys():
        yield "MISSING_RESOURCE", "Resource", "Add a Resource element to the policy statement."


def actions(statement: dict[str, Any], kind: str, applies: str | None) -> Found:
    if not {"Action", "NotAction"} & statement.keys():
        yield "MISSING_ACTION", "Action", "Add an Action element to the policy statement."
    named = listed(statement.get("Action", statement.get("NotAction", "*")))
    if not named:
        yield "EMPTY_ARRAY_ACTION", "Action", "This statement includes no actions."
    for action in named:
        if action != "*" and not any(fnmatchcase(each, action.lower()) for each in known_actions()):
            yield "INVALID_ACTION", "Action", f"The action {action} does not exist."
    if len(named) != len({action.lower() for action in named}):
        yield "REDUNDANT_ACTION", "Action", "The same action stands twice."
    passes = "iam:passrole" in (action.lower() for action in listed(statement.get("Action")))
    if passes and statement.get("Effect") == "Allow" and "*" in listed(statement.get("Resource")):
        yield (
            "PASS_ROLE_WITH_STAR_IN_RESOURCE",
            "Resource",
            "iam:PassRole on all resources can be overly permissive.",
        )


CHECKS: tuple[Callable[[dict[str, Any], str, str | None], Found], ...] = (
    effects,
    principals,
    resources,
    actions,
)


@cache
def known_actions() -> frozenset[str]:
    return frozenset(action.lower() for action in get_all_actions())


def listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
