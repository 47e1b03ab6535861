"""IAM: let a user without a second factor do nothing but add one."""

from __future__ import annotations

from collections import Counter
from typing import Any

from botocore.exceptions import ClientError
from c7n.actions import Action
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES, RefusedError, failure, read
from c7n_secops.element import SecOpsElement
from c7n_secops_compliance import mfa

RESOURCES = ("aws.iam-user",)
GONE = "NoSuchEntity"


class DenyWithoutMfa(SecOpsElement, Action):
    """Denies users who come without a second factor everything but adding one.

    Puts one inline policy, ``name`` (c7n-secops-deny-without-mfa unless set), on the user. It
    denies all requests that were not made with a second factor, those of access keys too: leave
    out users that a program uses, by the tag ``exempt-tag`` (c7n-secops:exempt unless set, with
    any value) or by a path in ``exempt-paths``. A user who signed in with a second factor is not
    held up, so the policy can stay for good. ``allow`` names further actions that stay possible
    without one, such as iam:ChangePassword for a user who must choose a password at the first
    sign-in. The policy also allows what adds a device of one's own, unless ``self-manage`` is
    false.

    Tag, path and the policy are read again before anything is changed. Whoever may tag users may
    exempt them.

    Returns ``{"results": [...], "counts": {outcome: number}}``, a result for each user: ``id``,
    ``outcome`` (``changed``, ``skipped``, ``failed`` or ``not-evaluated``), ``code`` and
    ``reason``. A user whose own policies leave no room (2,048 characters in all) is ``failed``
    with LimitExceeded.

    :example:

    .. code-block:: yaml

        policies:
          - name: iam-user-deny-without-mfa
            resource: aws.iam-user
            filters:
              - type: credential
                key: password_enabled
                value: true
              - type: credential
                key: mfa_active
                value: false
            actions:
              - type: deny-without-mfa
                exempt-paths: [/service/]
    """

    schema = type_schema(
        "deny-without-mfa",
        **{
            "name": {"type": "string", "pattern": "^[\\w+=,.@-]{1,128}$"},
            "exempt-tag": {"type": "string", "minLength": 1, "maxLength": 128},
            "exempt-paths": {
                "type": "array",
                "minItems": 1,
                "maxItems": 50,
                "uniqueItems": True,
                "items": {"type": "string", "pattern": "^/([!-~]{1,510}/)?$"},
            },
            "allow": {
                "type": "array",
                "minItems": 1,
                "maxItems": 20,
                "uniqueItems": True,
                "items": {"type": "string", "pattern": "^[a-z0-9-]{1,40}:[A-Za-z*]{1,80}$"},
            },
            "self-manage": {"type": "boolean"},
        },
    )
    permissions = ("iam:GetUser", "iam:GetUserPolicy", "iam:PutUserPolicy")

    def plan(self, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What would be put, as far as the resources say."""
        rows = []
        for user in resources:
            reason = self.exemption(user)
            would = {"skipped": reason} if reason else {"policy": self.policy_name}
            rows.append({"id": user["UserName"], **would})
        return rows

    def process(self, resources: list[dict[str, Any]]) -> dict[str, Any]:
        client = calls.client(self, "iam")
        policy = mfa.document(
            self.data.get("allow", ()), self_manage=self.data.get("self-manage", True)
        )
        results = [self.result(client, user, policy) for user in resources]
        return {"results": results, "counts": dict(Counter(each["outcome"] for each in results))}

    @property
    def policy_name(self) -> str:
        return str(self.data.get("name", "c7n-secops-deny-without-mfa"))

    def exemption(self, user: dict[str, Any]) -> str | None:
        tag = self.data.get("exempt-tag", "c7n-secops:exempt")
        return mfa.exemption(user, tag, self.data.get("exempt-paths", ()))

    def result(self, client: Any, user: dict[str, Any], policy: dict[str, Any]) -> dict[str, Any]:
        """What became of one user."""
        name = user["UserName"]
        try:
            outcome, code, reason = self.deny(client, name, policy)
        except RefusedError as refusal:
            self.not_evaluated([user], refusal.code, str(refusal))
            outcome, code, reason = "not-evaluated", refusal.code, str(refusal)
        except FAILURES as error:
            code, reason = failure(error)
            outcome = "skipped" if code == GONE else "failed"
        row = {"id": name, "outcome": outcome, "code": code, "reason": reason}
        return {key: value for key, value in row.items() if value is not None}

    def deny(
        self, client: Any, name: str, policy: dict[str, Any]
    ) -> tuple[str, str | None, str | None]:
        """Put the policy on a user as it is now; raises one of FAILURES."""
        reason = self.exemption(read(client.get_user, UserName=name)["User"])
        if reason:
            return "skipped", "Exempt", reason
        if self.present(client, name) == policy:
            return "skipped", "AlreadyDenied", f"the user has the policy {self.policy_name}"
        client.put_user_policy(
            UserName=name, PolicyName=self.policy_name, PolicyDocument=mfa.text(policy)
        )
        return "changed", None, None

    def present(self, client: Any, name: str) -> Any:
        """The policy that the user has under our name; None without one."""
        try:
            return read(client.get_user_policy, UserName=name, PolicyName=self.policy_name)[
                "PolicyDocument"
            ]
        except ClientError as error:
            if error.response["Error"]["Code"] == GONE:
                return None
            raise
