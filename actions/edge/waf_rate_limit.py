"""AWS WAF: a rate-based rule in web ACLs."""

from __future__ import annotations

from c7n.utils import type_schema

from c7n_secops_edge import permissions
from c7n_secops_edge.rate_limit import RateLimit
from c7n_secops_edge.schemas import NAME, SCOPE, WEB_ACLS, forwarded
from c7n_secops_edge.web_acl import ACTIONS

RESOURCES = ("aws.account", "aws.app-elb", "aws.distribution", "aws.rest-stage", "aws.wafv2")


class WafRateLimit(RateLimit):
    """Keeps a rate-based rule in web ACLs: the first line against a flood.

    AWS WAF counts by itself, within seconds, while access logs arrive minutes to an hour later.
    The rule ``name`` limits each address to ``limit`` requests (2,000 unless set, at least 10) in
    a ``window`` of 60, 120, 300 (the default) or 600 seconds. ``aggregate: FORWARDED_IP`` counts
    by the address in the header that ``forwarded-ip`` names, for web ACLs behind a proxy.
    ``rule-action`` is ``block`` unless set; ``count`` shows first whom it would block, and
    ``captcha`` and ``challenge`` let people through. A new rule gets the first free place from
    ``priority`` (0) on, and nothing else of a web ACL is changed. ``mode: remove`` takes the rule
    out, ``ensure`` is the default.

    The rule is in the web ACL of the resource, or in those that ``web-acls`` names (``all``: every
    one of an account, in both scopes unless ``scope`` chooses one).

    Returns ``{"results": [...], "counts": {outcome: number}}``, one result for each resource and
    scope: ``resource``, ``scope``, ``outcome`` (``changed``, ``skipped``, ``partial``, ``failed``
    or ``not-evaluated``), ``code``, ``reason`` and ``web-acls`` (what became of the rule in each,
    and ``behind``: the rules that let requests through before it).

    :example:

    .. code-block:: yaml

        policies:
          - name: distribution-rate-limit
            resource: aws.distribution
            filters:
              - "WebACLId": not-null
            actions:
              - type: waf-rate-limit
                name: secops-rate
                limit: 2000
                window: 300
                rule-action: count
    """

    schema = type_schema(
        "waf-rate-limit",
        required=["name"],
        **{
            "name": NAME,
            "limit": {"type": "integer", "minimum": 10, "maximum": 2000000000},
            "window": {"enum": [60, 120, 300, 600]},
            "aggregate": {"enum": ["IP", "FORWARDED_IP"]},
            "forwarded-ip": forwarded(),
            "rule-action": {"enum": list(ACTIONS)},
            "priority": {"type": "integer", "minimum": 0, "maximum": 1000000},
            "mode": {"enum": ["ensure", "remove"]},
            "web-acls": WEB_ACLS,
            "scope": SCOPE,
        },
    )
    permissions = (
        "wafv2:GetWebACL",
        "wafv2:GetWebACLForResource",
        "wafv2:ListWebACLs",
        "wafv2:UpdateWebACL",
    )

    def get_permissions(self) -> tuple[str, ...]:
        return permissions.of_web_acls(self)
