"""IAM Access Analyzer: which policies are wrong, or grant more than their author can have meant?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws.calls import RefusedError
from c7n_secops.element import SecOpsElement
from c7n_secops_compliance import documents

RESOURCES = (
    "aws.iam-policy",
    "aws.iam-role",
    "aws.iam-user",
    "aws.kms-key",
    "aws.s3",
    "aws.sns",
    "aws.sqs",
)
SHOWN = ("findingType", "issueCode", "findingDetails", "learnMoreLink")


class PolicyValidation(SecOpsElement, Filter):
    """Finds resources with a policy that IAM Access Analyzer's policy validation objects to.

    A policy that IAM accepts may still do nothing of what it says (an action that does not exist),
    or far more (iam:PassRole on every role). Asked is about a managed policy's default version, a
    role's trust policy and inline policies, a user's inline policies, and the policies of buckets,
    queues, topics and keys. ``level`` is the least grave finding that matches: ERROR,
    SECURITY_WARNING (unless set), WARNING or SUGGESTION. ``ignore`` names issue codes to leave
    out. Documents that are the same are asked about once.

    Annotates ``c7n:PolicyFindings`` with a list, the gravest first: ``document`` (version v1,
    trust, inline NAME or policy), findingType, issueCode, findingDetails and learnMoreLink, as
    ValidatePolicy has them. A resource of which a policy cannot be read, or asked about, is
    recorded as not evaluated, unless another of its policies matched.

    :example:

    .. code-block:: yaml

        policies:
          - name: iam-role-policy-unsafe
            resource: aws.iam-role
            filters:
              - type: policy-validation
                level: SECURITY_WARNING
                ignore: [CREATE_SLR_WITH_STAR_IN_RESOURCE]
    """

    schema = type_schema(
        "policy-validation",
        level={"enum": list(documents.LEVELS)},
        ignore={
            "type": "array",
            "minItems": 1,
            "maxItems": 100,
            "uniqueItems": True,
            "items": {"type": "string", "pattern": "^[A-Z0-9_]{1,100}$"},
        },
    )
    permissions = (
        "access-analyzer:ValidatePolicy",
        "iam:GetPolicyVersion",
        "iam:GetRolePolicy",
        "iam:GetUserPolicy",
        "iam:ListRolePolicies",
        "iam:ListUserPolicies",
        "kms:GetKeyPolicy",
    )
    annotation_key = "c7n:PolicyFindings"
    annotations = {annotation_key: "what Access Analyzer objects to, and in which document"}

    def get_permissions(self) -> tuple[str, ...]:
        """What is needed for the policy's resource, not for the others."""
        return (self.permissions[0], *documents.PERMISSIONS.get(self.manager.type, ()))

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("level, which says what is grave enough")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        validator = documents.Validator(self)
        return [resource for resource in resources if self.matches(resource, validator)]

    def matches(self, resource: dict[str, Any], validator: documents.Validator) -> bool:
        """Whether a document is objected to; what cannot be told is recorded where none is."""
        least = self.data.get("level", "SECURITY_WARNING")
        found, refusal = [], None
        try:
            for document in documents.documents_of(self, resource):
                findings = validator.findings(document)
                for each in documents.grave(findings, least, self.data.get("ignore", [])):
                    shown = {key: each[key] for key in SHOWN if key in each}
                    found.append({"document": document.name, **shown})
        except RefusedError as error:
            refusal = error
        if found:
            found.sort(key=lambda each: documents.LEVELS.index(each["findingType"]))
            resource[self.annotation_key] = found
        elif refusal:
            self.not_evaluated([resource], refusal.code, str(refusal))
        return bool(found)
