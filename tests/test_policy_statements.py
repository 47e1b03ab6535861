"""What the statements of bucket and IAM policies come to, however they are written."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from c7n.config import Config
from c7n.exceptions import PolicyValidationError
from hypothesis import given
from hypothesis import strategies as st

from c7n_secops_compliance.statements import LONGEST, allows_everything, statements_of
from c7n_secops_compliance.transport import unprotected
from c7n_secops_tools.testing.runs import load_policy
from tests.harness import ACCOUNT, REGION

ARN = "arn:aws:s3:::files"
DENY: dict[str, Any] = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": [ARN, f"{ARN}/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
ALLOW = {"Effect": "Allow", "Action": "*", "Resource": "*"}
VERSION = "s3:TlsVersion"


def document(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"Principal": {"AWS": "*"}},
        {"Principal": {"AWS": [ACCOUNT, "*"]}},
        {"Action": "*"},
        {"Action": "*:*"},
        {"Action": ["s3:GetObject", "S3:*"]},
        {"Resource": "*"},
        {"Resource": "arn:aws:s3:::*"},
        {"Resource": f"{ARN}*"},
        {"Resource": ["arn:aws-us-gov:s3:::fil*"]},
        {"Condition": {"Bool": {"AWS:securetransport": False}}},
        {"Condition": {"Bool": {"aws:SecureTransport": ["true", "false"]}}},
        {"Condition": {"BoolIfExists": {"aws:SecureTransport": "False"}}},
        {"Condition": {"NumericLessThan": {VERSION: "1.2"}}},
        {"Condition": {"NumericLessThan": {VERSION: 1.3}}},
        {"Condition": {"NumericLessThan": {VERSION: [1, "1.2"]}}},
        {"Condition": {"NumericLessThanIfExists": {"S3:TLSVERSION": 2}}},
    ],
    ids=str,
)
def test_a_denial_of_all_requests_without_tls_is_known_in_other_words(
    change: dict[str, Any],
) -> None:
    assert unprotected("files", document({**DENY, **change})) == []


@pytest.mark.parametrize(
    "change",
    [
        {"Effect": "Allow"},
        {"Principal": {"AWS": ACCOUNT}},
        {"Principal": {"Service": "*"}},
        {"Principal": None},
        {"Action": "s3:Get*"},
        {"Action": "iam:*"},
        {"Action": [], "NotAction": "s3:GetObject"},
        {"Resource": [], "NotResource": f"{ARN}/public/*"},
        {"Resource": "arn:aws:s3:::other*"},
        {"Resource": f"{ARN}/private/*"},
        {"Resource": "arn:aws:s3:::*iles*"},
        {"Resource": "arn:aws:sqs:::files*"},
        {"Resource": ["files", "files*"]},
        {"Condition": {}},
        {"Condition": {"Bool": "false"}},
        {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        {"Condition": {"Bool": {"aws:SecureTransport": [["false"]]}}},
        {"Condition": {"StringEquals": {"aws:SecureTransport": "false"}}},
        {"Condition": {"Bool": {"aws:ViaAWSService": "false"}}},
        {"Condition": {"Bool": {"aws:SecureTransport": "false", "aws:ViaAWSService": "false"}}},
        {
            "Condition": {
                **DENY["Condition"],
                "StringNotEquals": {"aws:PrincipalOrgID": "o-1234567890"},
            }
        },
        {"Condition": {"NumericLessThan": {VERSION: "1.1"}}},
        {"Condition": {"NumericLessThan": {VERSION: "inf"}}},
        {"Condition": {"NumericLessThan": {VERSION: True}}},
        {"Condition": {"NumericGreaterThan": {VERSION: "1.2"}}},
    ],
    ids=str,
)
def test_a_statement_that_denies_less_protects_nothing(change: dict[str, Any]) -> None:
    assert unprotected("files", document({**DENY, **change})) == ["bucket", "objects"]


@pytest.mark.parametrize(
    ("resource", "left"),
    [(ARN, ["objects"]), (f"{ARN}/*", ["bucket"]), (f"{ARN}/", ["bucket", "objects"])],
)
def test_what_a_denial_does_not_name_is_open(resource: str, left: list[str]) -> None:
    assert unprotected("files", document({**DENY, "Resource": resource})) == left


def test_two_statements_may_protect_the_bucket_and_its_objects() -> None:
    apart = [{**DENY, "Resource": ARN}, {**DENY, "Resource": f"{ARN}/*"}]
    assert unprotected("files", document(*apart)) == []


@pytest.mark.parametrize(
    ("change", "everything"),
    [
        ({}, True),
        ({"Action": ["s3:Get*", "*:*"], "Resource": ["*"]}, True),
        ({"Condition": {}}, True),
        ({"Effect": "Deny"}, False),
        ({"Action": "iam:*"}, False),
        ({"Action": "s3:*"}, False),
        ({"Action": [], "NotAction": "iam:*"}, False),
        ({"Resource": "arn:aws:s3:::*"}, False),
        ({"Resource": [], "NotResource": "arn:aws:s3:::*"}, False),
        ({"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}, False),
    ],
    ids=str,
)
def test_everything_is_every_action_on_every_resource(
    change: dict[str, Any], everything: bool
) -> None:
    (statement,) = statements_of({"Statement": {**ALLOW, **change}})
    assert allows_everything(statement) is everything


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        "",
        "null",
        "{}",
        '{"Statement": null}',
        '{"Statement": ["Deny"]}',
        document({**DENY, "Effect": "deny"}),
        document({**DENY, "Condition": "none"}),
        document({**DENY, "Action": {"s3": "*"}}),
        document({**DENY, "Resource": [1]}),
        document(DENY, "Deny"),
        "[" * 50_000,
        " " * LONGEST + document(DENY),
    ],
    ids=lambda wrong: str(wrong)[:60].strip(),
)
def test_what_is_no_policy_document_is_refused_with_a_reason(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]{5,}"):
        statements_of(wrong)


@pytest.mark.parametrize("tls", ["false", "true"])
def test_a_condition_however_deep_is_judged_or_refused(tls: str) -> None:
    text = document({**DENY, "Condition": {"Bool": {"aws:SecureTransport": ["HERE", tls]}}})
    judged = {"true": ["bucket", "objects"], "false": []}[tls]
    limit = sys.getrecursionlimit()
    for depth in (0, 1, *range(limit - 150, limit + 10)):
        nested = text.replace('"HERE"', "[" * depth + "]" * depth or "0")
        try:
            assert unprotected("files", nested) == judged
        except ValueError as error:
            assert "too deeply" in str(error)


WORDS = st.sampled_from(
    ["*", "s3:*", ARN, f"{ARN}*", "false", "1.2", "AWS", "Bool", "aws:SecureTransport", VERSION]
)
VALUES = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers() | st.floats() | st.text("a*:/.1", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(DENY, VALUES)))
def test_a_statement_however_garbled_is_judged_or_refused(garbled: dict[str, Any]) -> None:
    text = document({**DENY, **garbled})
    try:
        assert set(unprotected("files", text)) <= {"bucket", "objects"}
        assert isinstance(allows_everything(statements_of(text)[0]), bool)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("resource", "element"),
    [
        ("aws.s3", {"type": "allows-plain-http"}),
        ("aws.s3", {"type": "bucket-read", "parts": ["policy"]}),
        ("aws.iam-policy", {"type": "allows-everything"}),
        ("aws.kms-key", {"type": "key-without-rotation"}),
    ],
)
def test_the_opposite_of_what_is_not_known_cannot_be_asked(
    resource: str, element: dict[str, Any]
) -> None:
    data = {"name": "opposite", "resource": resource, "filters": [{"not": [element]}]}
    config = Config.empty(regions=[REGION], account_id=ACCOUNT)
    with pytest.raises(PolicyValidationError, match="cannot be inside not"):
        load_policy(data, config, {})
