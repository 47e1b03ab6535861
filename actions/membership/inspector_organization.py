"""Amazon Inspector: one delegated administrator, and new accounts switched on by themselves."""

from __future__ import annotations

from typing import Any

from c7n.utils import type_schema

from c7n_secops_membership.accounts import ACCOUNT
from c7n_secops_membership.inspector import SCAN_LIST
from c7n_secops_membership.inspector_organization import OrganizationAction

RESOURCES = ("aws.account",)


class InspectorOrganization(OrganizationAction):
    """Sets Amazon Inspector's delegated administrator, and what new accounts get.

    In the ``management`` account of the organization it makes ``administrator`` the delegated
    administrator of the region; in that account it switches ``auto-enable`` on for accounts that
    join (EC2, ECR and LAMBDA unless set), and what is not listed off. Elsewhere it does nothing.
    Where another account is the delegated administrator, that is reported and left: to change it
    disassociates every member.

    Returns ``{"results": [...], "counts": {outcome: number}}``, with one result for each side:
    ``AccountId``, ``outcome`` (``changed``, ``skipped``, ``failed`` or ``not-evaluated``),
    ``code`` and ``reason``. Running it again changes nothing.

    :example:

    .. code-block:: yaml

        policies:
          - name: account-inspector-organization
            resource: aws.account
            actions:
              - type: inspector-organization
                management: "999999999999"
                administrator: "111111111111"
                auto-enable: [EC2, ECR, LAMBDA]
    """

    schema = type_schema(
        "inspector-organization",
        required=["management", "administrator"],
        management=ACCOUNT,
        administrator=ACCOUNT,
        **{"auto-enable": SCAN_LIST},
    )
    permissions = (
        "iam:CreateServiceLinkedRole",
        "inspector2:DescribeOrganizationConfiguration",
        "inspector2:EnableDelegatedAdminAccount",
        "inspector2:ListDelegatedAdminAccounts",
        "inspector2:UpdateOrganizationConfiguration",
        "organizations:EnableAWSServiceAccess",
        "organizations:RegisterDelegatedAdministrator",
    )

    def validate(self) -> Any:
        if "LAMBDA_CODE" in self.auto_enable and "LAMBDA" not in self.auto_enable:
            raise self.invalid("auto-enable LAMBDA_CODE needs LAMBDA; add it")
        return super().validate()
