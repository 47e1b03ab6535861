"""The policy documents of a resource, and what Access Analyzer says of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from c7n_secops.aws import calls
from c7n_secops.aws.calls import RefusedError, read

IDENTITY, RESOURCE = "IDENTITY_POLICY", "RESOURCE_POLICY"
TRUST, BUCKET = "AWS::IAM::AssumeRolePolicyDocument", "AWS::S3::Bucket"
LEVELS = ("ERROR", "SECURITY_WARNING", "WARNING", "SUGGESTION")
"""Access Analyzer's finding types, the gravest first."""

PAGE = 100
GONE = ("NoSuchEntity", "NotFoundException")


class Document(NamedTuple):
    """A policy document of a resource: ``name`` says which of them, ``applies`` to what."""

    name: str
    text: str
    kind: str
    applies: str | None = None


Reader = Callable[[Any, Mapping[str, Any]], Iterator[Document]]


def documents_of(element: Any, resource: Mapping[str, Any]) -> list[Document]:
    """Every policy document of a resource; none where it is gone. Raises RefusedError."""
    try:
        return list(READERS[element.manager.type](element, resource))
    except ClientError as error:
        if error.response["Error"]["Code"] in GONE:
            return []
        raise


def of_policy(element: Any, policy: Mapping[str, Any]) -> Iterator[Document]:
    client = calls.client(element, "iam")
    version = policy["DefaultVersionId"]
    answer = read(client.get_policy_version, PolicyArn=policy["Arn"], VersionId=version)
    yield Document(f"version {version}", text(answer["PolicyVersion"]["Document"]), IDENTITY)


def of_role(element: Any, role: Mapping[str, Any]) -> Iterator[Document]:
    yield Document("trust", text(role["AssumeRolePolicyDocument"]), RESOURCE, TRUST)
    client, name = calls.client(element, "iam"), role["RoleName"]
    for page in calls.pages(client, "list_role_policies", "PolicyNames", PAGE, RoleName=name):
        for each in page:
            answer = read(client.get_role_policy, RoleName=name, PolicyName=each)
            yield Document(f"inline {each}", text(answer["PolicyDocument"]), IDENTITY)


def of_user(element: Any, user: Mapping[str, Any]) -> Iterator[Document]:
    client, name = calls.client(element, "iam"), user["UserName"]
    for page in calls.pages(client, "list_user_policies", "PolicyNames", PAGE, UserName=name):
        for each in page:
            answer = read(client.get_user_policy, UserName=name, PolicyName=each)
            yield Document(f"inline {each}", text(answer["PolicyDocument"]), IDENTITY)


def of_bucket(_element: Any, bucket: Mapping[str, Any]) -> Iterator[Document]:
    if "get_bucket_policy" in bucket.get("c7n:DeniedMethods", ()):
        raise RefusedError("s3:GetBucketPolicy", "AccessDenied", "Custodian could not read it")
    if bucket.get("Policy"):
        yield Document("policy", bucket["Policy"], RESOURCE, BUCKET)


def of_attribute(_element: Any, resource: Mapping[str, Any]) -> Iterator[Document]:
    """Queues and topics, of which Custodian has read all attributes."""
    if resource.get("Policy"):
        yield Document("policy", resource["Policy"], RESOURCE)


def of_key(element: Any, key: Mapping[str, Any]) -> Iterator[Document]:
    client = calls.client(element, "kms")
    answer = read(client.get_key_policy, KeyId=key["KeyId"], PolicyName="default")
    yield Document("policy", answer["Policy"], RESOURCE)


READERS: dict[str, Reader] = {
    "iam-policy": of_policy,
    "iam-role": of_role,
    "iam-user": of_user,
    "s3": of_bucket,
    "sqs": of_attribute,
    "sns": of_attribute,
    "kms-key": of_key,
}


PERMISSIONS = {
    "iam-policy": ("iam:GetPolicyVersion",),
    "iam-role": ("iam:GetRolePolicy", "iam:ListRolePolicies"),
    "iam-user": ("iam:GetUserPolicy", "iam:ListUserPolicies"),
    "kms-key": ("kms:GetKeyPolicy",),
}
"""What each of the readers needs; the others ask for nothing that Custodian has not read."""


def text(document: Any) -> str:
    """A document as text; botocore gives IAM's as mappings."""
    return document if isinstance(document, str) else json.dumps(document)


class Validator:
    """Asks Access Analyzer about documents, once about each that is the same."""

    def __init__(self, element: Any):
        self.client = calls.client(element, "accessanalyzer")
        self.known: dict[tuple[str, str, str | None], list[dict[str, Any]]] = {}

    def findings(self, document: Document) -> list[dict[str, Any]]:
        """All findings of a document, as ValidatePolicy has them. Raises RefusedError."""
        digest = hashlib.sha256(document.text.encode()).hexdigest()
        key = (digest, document.kind, document.applies)
        if key not in self.known:
            self.known[key] = self.ask(document)
        return self.known[key]

    def ask(self, document: Document) -> list[dict[str, Any]]:
        applies = {"validatePolicyResourceType": document.applies} if document.applies else {}
        return [
            finding
            for page in calls.pages(
                self.client,
                "validate_policy",
                "findings",
                PAGE,
                policyDocument=document.text,
                policyType=document.kind,
                **applies,
            )
            for finding in page
        ]


def grave(findings: list[dict[str, Any]], least: str, ignored: list[str]) -> list[dict[str, Any]]:
    """The findings of a level or above, without those whose issue is ignored."""
    wanted = LEVELS[: LEVELS.index(least) + 1]
    return [
        finding
        for finding in findings
        if finding["findingType"] in wanted and finding["issueCode"] not in ignored
    ]
