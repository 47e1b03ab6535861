"""AWS WAF: take away the blocks whose time is over."""

from __future__ import annotations

from c7n.utils import type_schema

from c7n_secops_edge.expire import IpExpire
from c7n_secops_edge.schemas import NAME, SCOPE

RESOURCES = ("aws.account", "aws.app-elb", "aws.distribution", "aws.rest-stage", "aws.wafv2")


class WafIpExpire(IpExpire):
    """Empties the IP sets of ``waf-ip-block`` whose time is over.

    ``name`` is the ring's. Run it every few minutes: ``waf-ip-block`` sweeps too, but only when it
    runs, and a block must end although nobody new is blocked. Where nothing is over this costs one
    call a scope. On an account both scopes are swept unless ``scope`` chooses one. An IP set that
    is filled again at the same moment is left as it is.

    Returns ``{"results": [...], "counts": {outcome: number}}``, one result for each resource and
    scope: ``resource``, ``scope``, ``outcome`` (``expired``, ``skipped``, ``failed`` or
    ``not-evaluated``), ``code``, ``reason`` and ``ip-sets``, the names of those that were emptied.

    :example:

    .. code-block:: yaml

        policies:
          - name: account-expire-blocks
            resource: aws.account
            mode:
              type: periodic
              schedule: rate(5 minutes)
              role: arn:aws:iam::{account_id}:role/c7n-secops-lambda
            actions:
              - {type: waf-ip-expire, name: secops-block, scope: CLOUDFRONT}
    """

    schema = type_schema("waf-ip-expire", required=["name"], name=NAME, scope=SCOPE)
    permissions = ("wafv2:ListIPSets", "wafv2:UpdateIPSet")
