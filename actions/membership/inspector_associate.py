"""Amazon Inspector: make accounts members of the delegated administrator."""

from __future__ import annotations

from c7n.utils import type_schema

from c7n_secops_membership import members
from c7n_secops_membership.accounts import ACCOUNT
from c7n_secops_membership.inspector import AssociateAction

RESOURCES = ("aws.account",)


class InspectorAssociate(AssociateAction):
    """Makes accounts members of Amazon Inspector's delegated administrator.

    It acts where the policy runs in the account ``administrator``, and does nothing elsewhere.
    Only accounts that never were members are associated. One that left, was removed or is
    otherwise in a state of its own is reported and left, unless ``reassociate`` lists its status.

    {members}

    Returns ``{"results": [...], "counts": {outcome: number}}``, with one result for each
    account: ``AccountId``, ``outcome`` (``changed``, ``skipped``, ``failed`` or
    ``not-evaluated``), ``code`` and ``reason``. Running it again changes nothing.

    :example:

    .. code-block:: yaml

        policies:
          - name: account-inspector-associate
            resource: aws.account
            actions:
              - type: inspector-associate
                administrator: "111111111111"
                members: {organization: true}
                reassociate: [REMOVED]
    """

    documented = {"members": members.DOC}
    schema = type_schema(
        "inspector-associate",
        required=["administrator", "members"],
        administrator=ACCOUNT,
        members=members.SCHEMA,
        reassociate={
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"enum": ["DELETED", "DISABLED", "REMOVED", "RESIGNED"]},
        },
    )
    permissions = ("inspector2:AssociateMember", "inspector2:ListMembers")
