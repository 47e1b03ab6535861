"""GuardDuty: through AWS Organizations, without invitations."""

from __future__ import annotations

from typing import Any

from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops_membership import guardduty
from c7n_secops_membership.accounts import ACCOUNT
from c7n_secops_membership.guardduty import FeaturesAction
from c7n_secops_membership.steps import Intent, Step

RESOURCES = ("aws.account",)

SETTINGS = ("ALL", "NEW", "NONE")


class GuardDutyOrganization(FeaturesAction):
    """Registers the delegated administrator, and lets it enable GuardDuty in all its accounts.

    In the account ``management`` of the organization it registers ``administrator``; one that is
    registered already is never replaced. In the administrator's account it sets ``auto-enable``
    (for ALL accounts, only NEW ones or NONE) and the same of each of ``features`` and
    ``runtime-agents``; what these do not name stays as it is. In other accounts it does nothing, so
    that one policy serves the whole accounts.yml: run it for the management account, then for the
    administrator's.

    Returns one result: ``AccountId``, ``outcome`` (``changed``, ``skipped``, ``failed`` or
    ``not-evaluated``), ``code`` (Registered, Configured, AsWanted, OtherAdministrator, NoDetector,
    NotConcerned, or AWS's), ``reason`` and ``done``, the calls that were made.

    :example:

    .. code-block:: yaml

        policies:
          - name: guardduty-for-all
            resource: aws.account
            actions:
              - type: guardduty-organization
                management: "444444444444"
                administrator: "111111111111"
                auto-enable: ALL
                features: {S3_DATA_EVENTS: ALL, RUNTIME_MONITORING: NEW}
                runtime-agents: {EC2_AGENT_MANAGEMENT: NEW}
    """

    schema = type_schema(
        "guardduty-organization",
        required=["management", "administrator", "auto-enable"],
        management=ACCOUNT,
        administrator=ACCOUNT,
        features=guardduty.features_schema(guardduty.ORGANIZATION_FEATURES, SETTINGS),
        **{
            "auto-enable": {"enum": list(SETTINGS)},
            "runtime-agents": guardduty.features_schema(guardduty.AGENTS, SETTINGS),
        },
    )
    permissions = (
        "guardduty:DescribeOrganizationConfiguration",
        "guardduty:EnableOrganizationAdminAccount",
        "guardduty:ListDetectors",
        "guardduty:ListOrganizationAdminAccounts",
        "guardduty:UpdateOrganizationConfiguration",
        "iam:CreateServiceLinkedRole",
        "organizations:EnableAWSServiceAccess",
        "organizations:RegisterDelegatedAdministrator",
    )

    def intend(self, client: Any) -> Intent:
        if self.value("management") == self.account:
            registration = self.registration(client)
            if registration.code != "AsWanted" or self.value("administrator") != self.account:
                return registration
        elif self.value("administrator") != self.account:
            return Intent((), "NotConcerned", "neither the management nor the administrator's")
        return self.configuration(client)

    def registration(self, client: Any) -> Intent:
        """What the management account does."""
        wanted = self.value("administrator")
        pages = calls.pages(
            client, "list_organization_admin_accounts", "AdminAccounts", guardduty.PAGE
        )
        there = [row["AdminAccountId"] for page in pages for row in page]
        if wanted in there:
            return Intent((), "AsWanted")
        if there:
            reason = f"{there[0]} is registered; remove it first if {wanted} shall be"
            return Intent((), "OtherAdministrator", reason)
        step = Step("enable_organization_admin_account", {"AdminAccountId": wanted})
        return Intent((step,), "Registered")

    def configuration(self, client: Any) -> Intent:
        """What the administrator's account does."""
        detector = guardduty.detector_id(client)
        if detector is None:
            return Intent((), "NoDetector", "register the administrator first, or switch it on")
        now = calls.read(client.describe_organization_configuration, DetectorId=detector)
        wanted = guardduty.configuration(
            self.data.get("features", {}), self.data.get("runtime-agents", {}), "AutoEnable"
        )
        different = guardduty.differing(wanted, now.get("Features", ()), "AutoEnable")
        everyone = self.data["auto-enable"]
        if not different and now.get("AutoEnableOrganizationMembers") == everyone:
            return Intent((), "AsWanted")
        arguments = {"DetectorId": detector, "AutoEnableOrganizationMembers": everyone}
        if different:
            arguments["Features"] = different
        return Intent((Step("update_organization_configuration", arguments),), "Configured")
