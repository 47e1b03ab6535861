"""GuardDuty: join the administrator, from the member's side."""

from __future__ import annotations

from typing import Any

from c7n.utils import type_schema

from c7n_secops_membership import guardduty
from c7n_secops_membership.accounts import ACCOUNT
from c7n_secops_membership.guardduty import FeaturesAction
from c7n_secops_membership.steps import MADE, Intent, Step

RESOURCES = ("aws.account",)


class GuardDutyAccept(FeaturesAction):
    """Accepts the invitation of one administrator, and of no other, in the member's account.

    The account's detector is created or enabled first, invited or not. An invitation of anybody but
    ``administrator`` is named in the result's ``others`` and in the log, and never accepted; an
    account that belongs to another administrator stays there. In the administrator's own account
    nothing is done, so that one policy serves the whole accounts.yml.

    {detector}

    Returns one result: ``AccountId``, ``outcome`` (``accepted``, ``changed`` where only the
    detector was, ``skipped``, ``failed`` or ``not-evaluated``), ``code`` (Accepted, Enabled,
    NotInvited, OtherAdministrator, IsAdministrator, another status of the membership, or AWS's),
    ``reason``, ``others`` and ``done``, the calls that were made.

    :example:

    .. code-block:: yaml

        policies:
          - name: guardduty-join
            resource: aws.account
            actions:
              - type: guardduty-accept
                administrator: "111111111111"
                features: {S3_DATA_EVENTS: ENABLED}
    """

    documented = {"detector": guardduty.DETECTOR_DOC}
    schema = type_schema(
        "guardduty-accept",
        required=["administrator"],
        administrator=ACCOUNT,
        **guardduty.DETECTOR_SCHEMA,
    )
    permissions = (
        *guardduty.DETECTOR_PERMISSIONS,
        "guardduty:AcceptAdministratorInvitation",
        "guardduty:GetAdministratorAccount",
        "guardduty:ListInvitations",
    )

    def intend(self, client: Any) -> Intent:
        pinned = self.value("administrator")
        if pinned == self.account:
            return Intent((), "IsAdministrator", "the administrator is no member of itself")
        detector = guardduty.wanted_detector(client, self.data)
        joined = guardduty.administrator(client, detector.id) if detector.id else {}
        if joined:
            return self.member_of(joined, pinned, detector.steps)
        invitations = guardduty.invitations(client)
        others = [row["AccountId"] for row in invitations if row["AccountId"] != pinned]
        if others:
            self.log.warning(
                "policy:%s %s invitations of %s are left alone",
                *(self.manager.data["name"], self.label, ", ".join(others)),
            )
        more = {"others": others or None}
        invitation = next((row for row in invitations if row["AccountId"] == pinned), None)
        if invitation is None:
            reason = f"{pinned} has not invited this account"
            return Intent(detector.steps, "NotInvited", reason, more=more)
        accept = Step(
            "accept_administrator_invitation",
            {
                "DetectorId": detector.id or MADE,
                "AdministratorId": pinned,
                "InvitationId": invitation["InvitationId"],
            },
        )
        return Intent((*detector.steps, accept), "Accepted", outcome="accepted", more=more)

    def member_of(self, joined: Any, pinned: str, steps: tuple[Step, ...]) -> Intent:
        """What there is to do for an account that has an administrator."""
        if joined["AccountId"] != pinned:
            reason = f"the account belongs to {joined['AccountId']}; resign there first"
            return Intent(steps, "OtherAdministrator", reason)
        return Intent(steps, joined["RelationshipStatus"])
