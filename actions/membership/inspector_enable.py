"""Amazon Inspector: switch its scans on."""

from __future__ import annotations

from typing import Any

from c7n.utils import type_schema

from c7n_secops_membership import members
from c7n_secops_membership.accounts import ACCOUNT
from c7n_secops_membership.inspector import SCAN_LIST, EnableAction

RESOURCES = ("aws.account",)


class InspectorEnable(EnableAction):
    """Switches Amazon Inspector's scans on, where they are off.

    ``scan`` lists them (EC2, ECR and LAMBDA unless set; LAMBDA_CODE needs LAMBDA). Without
    ``members`` it acts on the account that the policy runs in. With ``members`` it acts on them
    from the delegated ``administrator``, which Inspector must know them as members of, with one
    call for 100 accounts that lack the same scans; in any other account it does nothing.

    {members}

    A scan that is being switched off, or suspended, is reported and left. Returns
    ``{"results": [...], "counts": {outcome: number}}``, with one result for each account:
    ``AccountId``, ``outcome`` (``changed``, ``skipped``, ``failed`` or ``not-evaluated``),
    ``code``, ``reason`` and ``scans``. Running it again changes nothing.

    :example:

    .. code-block:: yaml

        policies:
          - name: account-inspector-enable
            resource: aws.account
            actions:
              - type: inspector-enable
                scan: [EC2, ECR, LAMBDA, LAMBDA_CODE]
    """

    documented = {"members": members.DOC}
    schema = type_schema(
        "inspector-enable", scan=SCAN_LIST, administrator=ACCOUNT, members=members.SCHEMA
    )
    permissions = (
        "iam:CreateServiceLinkedRole",
        "inspector2:BatchGetAccountStatus",
        "inspector2:Enable",
    )

    def validate(self) -> Any:
        if "LAMBDA_CODE" in self.scans and "LAMBDA" not in self.scans:
            raise self.invalid("scan LAMBDA_CODE needs LAMBDA; add it")
        if ("members" in self.data) != ("administrator" in self.data):
            raise self.invalid("members need their administrator; set both, or neither")
        return super().validate()
