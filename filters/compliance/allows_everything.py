"""IAM: which policies give whoever has them the whole account?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.element import SecOpsElement
from c7n_secops_compliance import statements

RESOURCES = ("aws.iam-policy",)


class AllowsEverything(SecOpsElement, Filter):
    """Finds policies that allow every action on every resource, without a condition.

    Whoever has such a policy can do all that the account can. The default version is read. A
    statement counts whose actions have ``*`` or ``*:*`` and whose resources have ``*``;
    ``has-allow-all`` does not know the second. A statement with ``NotAction`` or ``NotResource``,
    or one that lists every service, does not count; what another statement denies is not looked
    at.

    Annotates ``c7n:AllowsEverything`` with those statements. A policy whose document AWS refuses
    to tell, or that is none, is recorded as not evaluated; one that was deleted meanwhile is
    dropped.

    :example:

    .. code-block:: yaml

        policies:
          - name: iam-policy-full-admin
            resource: aws.iam-policy
            query:
              - Scope: All
              - OnlyAttached: true
            filters:
              - type: allows-everything
    """

    schema = type_schema("allows-everything")
    permissions = ("iam:GetPolicyVersion",)
    annotation_key = "c7n:AllowsEverything"
    annotations = {annotation_key: "the statements that allow everything"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("check-permissions for what a policy does not allow")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        client = calls.client(self, "iam")
        matched = []
        for policy in resources:
            found = [
                each
                for each in self.statements(client, policy)
                if statements.allows_everything(each)
            ]
            if found:
                policy[self.annotation_key] = found
                matched.append(policy)
        return matched

    def statements(self, client: Any, policy: dict[str, Any]) -> list[dict[str, Any]]:
        """The statements of a policy's default version; none, and a record, where not told."""
        try:
            answer = calls.read(
                client.get_policy_version,
                PolicyArn=policy["Arn"],
                VersionId=policy["DefaultVersionId"],
            )
            return statements.statements_of(answer["PolicyVersion"]["Document"])
        except calls.FAILURES as error:
            code, reason = calls.failure(error)
        except ValueError as error:
            code, reason = "MalformedPolicy", str(error)
        if code != "NoSuchEntity":
            self.not_evaluated([policy], code, reason)
        return []
