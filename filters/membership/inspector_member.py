"""Amazon Inspector: which accounts are members of the delegated administrator?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws.calls import RefusedError, client
from c7n_secops_membership import members
from c7n_secops_membership.accounts import ACCOUNT
from c7n_secops_membership.inspector import ABSENT, MOST_MEMBERS, STATUSES, members_of
from c7n_secops_membership.members import MembersElement

RESOURCES = ("aws.account",)


class InspectorMember(MembersElement, Filter):
    """Finds the administrator's account where members of Amazon Inspector are so.

    It asks where the policy runs in the account ``administrator``; no other account matches. The
    account matches where Inspector has a member in one of the ``status``; without ``status``,
    where it has any. ``absent`` is an account of ``members`` that Inspector does not list.

    {members}

    Annotates ``c7n:InspectorMembers`` with the members that match, each ``AccountId``, ``Name``
    (where the members' source has one), ``Status`` and ``UpdatedAt``. Where AWS refuses to list
    members, the account is recorded as not evaluated.

    :example:

    .. code-block:: yaml

        policies:
          - name: account-inspector-members-missing
            resource: aws.account
            filters:
              - type: inspector-member
                administrator: "111111111111"
                members: {accounts-file: accounts.yml, tags: ["type:workload"]}
                status: [absent, CREATED, REMOVED, RESIGNED]
    """

    documented = {"members": members.DOC}
    schema = type_schema(
        "inspector-member",
        required=["administrator"],
        administrator=ACCOUNT,
        members=members.SCHEMA,
        status={
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"enum": [*STATUSES, ABSENT]},
        },
    )
    permissions = ("inspector2:ListMembers",)
    most = MOST_MEMBERS
    annotation_key = "c7n:InspectorMembers"
    annotations = {annotation_key: "the members that match: AccountId, Name, Status, UpdatedAt"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("status")
        if ABSENT in self.data.get("status", ()) and "members" not in self.data:
            raise self.invalid("status absent needs members, which say who should be there")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        if self.account != self.value("administrator"):
            return []
        try:
            wanted = self.members()
            listed = members_of(client(self, "inspector2"))
        except RefusedError as refused:
            self.not_evaluated(resources, refused.code, str(refused))
            return []
        rows = [
            {
                "AccountId": account,
                "Name": wanted[account].name if account in wanted else "",
                "Status": listed.get(account, {}).get("relationshipStatus", ABSENT),
                "UpdatedAt": listed.get(account, {}).get("updatedAt"),
            }
            for account in dict.fromkeys([*wanted, *listed])
        ]
        if "status" in self.data:
            rows = [row for row in rows if row["Status"] in self.data["status"]]
        for resource in resources:
            resource[self.annotation_key] = rows
        return resources if rows else []
