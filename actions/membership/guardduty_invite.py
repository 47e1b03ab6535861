"""GuardDuty: invite members, from the administrator's side."""

from __future__ import annotations

from typing import Any

from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops_membership import guardduty, members
from c7n_secops_membership.accounts import ACCOUNT, AccountAction, Row
from c7n_secops_membership.invitations import Need, Sender, need_of
from c7n_secops_membership.members import Member, MembersElement

RESOURCES = ("aws.account",)


class GuardDutyInvite(MembersElement, AccountAction):
    """Invites the accounts that should be members, in the administrator's account.

    The members are listed first, and only those that need it are created and invited, 50 a call; a
    second run makes no changing call. In other accounts than ``administrator`` nothing is done, so
    that one policy serves the whole accounts.yml.

    {members}

    A member that resigned or was removed is only reported, unless ``reinvite`` lists its status.
    One whose e-mail address failed AWS's verification is deleted and created again when the address
    was corrected. A status that is not known is reported and left alone, and where AWS refuses one
    member, the others are still invited. ``message`` is for the invitation;
    ``email-notification: true`` also sends it by e-mail. Where the administrator is the delegated
    one of an organization, the organization's accounts become members without an invitation
    (``changed``); ``guardduty-organization`` does that for all of them at once.

    Returns one result for each member: ``AccountId``, ``outcome`` (``invited``, ``changed``,
    ``skipped``, ``failed`` or ``not-evaluated``), ``code`` (its status before, ``absent``,
    ``no-detector`` or ``unknown``; Unprocessed or AWS's error) and ``reason``.

    :example:

    .. code-block:: yaml

        policies:
          - name: guardduty-members-invited
            resource: aws.account
            actions:
              - type: guardduty-invite
                administrator: "111111111111"
                members: {accounts-file: accounts.yml, tags: ["type:workload"]}
                message: Please accept; the security team watches over your findings.
    """

    documented = {"members": members.DOC}
    schema = type_schema(
        "guardduty-invite",
        required=["administrator", "members"],
        administrator=ACCOUNT,
        members=members.SCHEMA,
        message={"type": "string", "minLength": 1, "maxLength": 1000},
        reinvite={
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"enum": list(guardduty.LEFT)},
        },
        **{"email-notification": {"type": "boolean"}},
    )
    permissions = (
        "guardduty:CreateMembers",
        "guardduty:DeleteMembers",
        "guardduty:GetMembers",
        "guardduty:InviteMembers",
        "guardduty:ListDetectors",
        "guardduty:ListMembers",
        members.PERMISSION,
    )
    most = guardduty.MOST_BY_INVITATION
    emails = True

    def plan(self, resources: list[Row]) -> list[Row]:
        """What would be called for each member; the lists are read."""
        if self.value("administrator") != self.account:
            return [{"AccountId": self.account, "would": []}]
        try:
            _, wanted, needs = self.needs(calls.client(self, "guardduty"))
        except calls.FAILURES as error:
            code, reason = calls.failure(error)
            return [{"AccountId": self.account, "code": code, "reason": reason}]
        return [
            {"AccountId": member, "code": needs[member].code, "would": list(needs[member].calls)}
            for member in wanted
        ]

    def process(self, resources: list[Row]) -> Row:
        self.results = []
        if self.value("administrator") != self.account:
            reason = f"members are invited in {self.administrator}"
            self.result(self.account, "skipped", "NotAdministrator", reason)
            return self.answer()
        wanted = self.file_members
        client = calls.client(self, "guardduty")
        try:
            detector, wanted, needs = self.needs(client)
        except calls.RefusedError as error:
            self.refused(wanted or [self.account], error.code, str(error))
            return self.answer()
        except calls.FAILURES as error:
            self.result(self.account, "failed", *calls.failure(error))
            return self.answer()
        sender = Sender(client, detector, wanted, self.data)
        failed = sender.send(needs)
        for account, need in needs.items():
            if account in failed:
                self.result(account, "failed", *failed[account])
            elif account in sender.joined:
                self.result(account, "changed", "Enabled", "AWS Organizations needs no invitation")
            elif need.calls:
                self.result(account, "invited", need.code)
            else:
                self.result(account, "skipped", need.code, need.reason)
                if need.code in (*guardduty.LEFT, "EmailVerificationFailed", guardduty.UNKNOWN):
                    self.log.warning(
                        "policy:%s %s %s %s",
                        *(self.manager.data["name"], self.label, account, need.reason),
                    )
        return self.answer()

    def needs(self, client: Any) -> tuple[str | None, dict[str, Member], dict[str, Need]]:
        """The detector, all that should be members, and what each needs. Raises RefusedError."""
        wanted = self.members()
        detector = guardduty.detector_id(client)
        if detector is None:
            none = Need((), guardduty.NO_DETECTOR, "switch GuardDuty on first: guardduty-enable")
            return None, wanted, dict.fromkeys(wanted, none)
        there = guardduty.members(client, detector)
        reinvite = self.data.get("reinvite", ())
        return (
            detector,
            wanted,
            {
                account: need_of(member, there.get(account), reinvite)
                for account, member in wanted.items()
            },
        )
