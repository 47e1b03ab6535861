"""GuardDuty: which accounts are joined to their administrator, and which are not?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.comparisons import AGE
from c7n_secops_membership import guardduty, members
from c7n_secops_membership.accounts import ACCOUNT, Row
from c7n_secops_membership.members import MembersElement
from c7n_secops_membership.membership import accounts_in, meets, own_row, region_of, row_of, rows_of

RESOURCES = ("aws.account",)
ADMINISTRATOR = "guardduty:GetAdministratorAccount"


class GuardDutyMember(MembersElement, Filter):
    """Finds accounts whose GuardDuty membership in the region is as described.

    In the account ``administrator`` it looks at all its members, also at those who left and those
    not invited yet; in any other account at that account itself, from its own side. The account
    matches where one row meets every key that is given; without any, where there is a row.

    ``status`` is GuardDuty's, or ``absent`` (a member that should be there and is not; seen from
    its own side, an account without administrator), ``other-administrator``, ``no-detector``
    (GuardDuty is off in the region) or ``unknown`` (a status that is not listed here).
    ``invited-age`` is how old an invitation must be that is still open (Invited or
    EmailVerificationInProgress); other statuses have none. Without ``status`` it finds only those.

    {members} Without ``members`` none is ever absent.

    ``from-event: true``, in a mode with events in the administrator's account, looks only at the
    accounts that a CloudTrail event of GuardDuty names, in the event's region: what the event says
    is believed only as far as GuardDuty confirms it.

    Annotates ``c7n:GuardDutyMembers`` with the rows that matched: ``AccountId``,
    ``AdministratorId``, ``Status``, and, where they are known, ``Name``, ``Email``, ``InvitedAt``
    and ``UpdatedAt`` (UTC) and ``Region`` (that of the event). An account of which a read was
    refused is not evaluated.

    :example:

    .. code-block:: yaml

        policies:
          - name: guardduty-members-lost
            resource: aws.account
            filters:
              - type: guardduty-member
                administrator: "111111111111"
                members: {accounts-file: accounts.yml}
                status: [Resigned, Removed, Disabled, absent, no-detector]
    """

    documented = {"members": members.DOC}
    schema = type_schema(
        "guardduty-member",
        required=["administrator"],
        administrator=ACCOUNT,
        members=members.SCHEMA,
        status={
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"enum": list(guardduty.STATES)},
        },
        **{"invited-age": AGE, "from-event": {"type": "boolean"}},
    )
    permissions = (
        ADMINISTRATOR,
        "guardduty:ListDetectors",
        "guardduty:ListMembers",
        members.PERMISSION,
    )
    annotation_key = "c7n:GuardDutyMembers"
    annotations = {annotation_key: "the rows that matched: AccountId, Status, InvitedAt and more"}

    def get_permissions(self) -> tuple[str, ...]:
        """An event is about members, so nobody asks for the account's own administrator."""
        found = super().get_permissions()
        idle = ADMINISTRATOR if self.data.get("from-event") else None
        return tuple(name for name in found if name != idle)

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("status with the other states")
        mode = self.manager.data.get("mode", {}).get("type", "pull")
        if self.data.get("from-event") and mode in ("pull", "periodic"):
            raise self.invalid(
                "from-event needs a mode with events; set mode, or remove from-event"
            )
        return self

    def process(self, resources: list[Row], event: Any = None) -> list[Row]:
        try:
            rows = self.rows(event)
        except calls.RefusedError as error:
            self.not_evaluated(resources, error.code, str(error))
            return []
        matched = [row for row in rows if meets(row, self.data)]
        for resource in resources if matched else ():
            resource[self.annotation_key] = matched
        return resources if matched else []

    def rows(self, event: Any) -> list[Row]:
        """What there is to say of each account. Raises RefusedError."""
        pinned = self.value("administrator")
        if not self.data.get("from-event"):
            client = calls.client(self, "guardduty")
            if pinned != self.account:
                return [own_row(client, self.account, pinned)]
            return rows_of(client, pinned, self.members())
        named, region = accounts_in(event), region_of(event)
        if not named:
            return []
        client = calls.client(self, "guardduty", region=region)
        rows = {row["AccountId"]: row for row in rows_of(client, pinned, self.members())}
        return [
            {
                **rows.get(name, row_of(name, pinned, guardduty.ABSENT)),
                "Region": region or self.region,
            }
            for name in named
        ]
