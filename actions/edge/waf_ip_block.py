"""AWS WAF: block addresses for a time."""

from __future__ import annotations

from c7n.utils import type_schema

from c7n_secops_edge import permissions
from c7n_secops_edge.block import IpBlock
from c7n_secops_edge.protected import KINDS
from c7n_secops_edge.schemas import IP_RANGES, LIST, NAME, SCOPE, WEB_ACLS, forwarded, lengths
from c7n_secops_edge.web_acl import ACTIONS

RESOURCES = ("aws.account", "aws.app-elb", "aws.distribution", "aws.rest-stage", "aws.wafv2")


class WafIpBlock(IpBlock):
    """Blocks addresses in AWS WAF, for as long as ``duration`` says and up to a quarter longer.

    The addresses are in a ring of IP sets called ``name``, and in the description of each set
    stands until when it holds: there is no database, any number of functions may block at once,
    and ``waf-ip-expire`` takes away what is over. A rule ``name`` that refers to the sets is put
    into the web ACL of the resource, or into those that ``web-acls`` names (``all``: every one of
    an account); nothing else of a web ACL is changed. One ``name`` is for one policy: the same
    duration, slots and allow list.

    ``from`` is ``annotation`` (what ``http-flood`` found, in ``c7n:HttpFlood``), ``event`` (the
    remote addresses of a GuardDuty finding, of connections only ``INBOUND`` ones unless
    ``direction`` is ``ANY``), ``addresses`` or ``value_from``. Networks wider than ``min-prefix``
    (24 for IPv4 and 48 for IPv6 unless set) are refused. ``widen`` blocks a network of the given
    length in the place of at least ``min-hosts`` (32) addresses in it.

    Never blocked, nor any part of them: who is in ``allow``, which is also an exception in the
    rule itself, and whom ``protect`` names: ``private`` (what is nobody's on the internet),
    ``own-eips`` (Elastic IP addresses and NAT gateways of the account and region),
    ``route53-healthchecks`` and ``cloudfront`` (AWS's ip-ranges.json, or a copy at the https or
    s3 URL ``ip-ranges``), all four unless set, and ``verified-bots`` (a search engine's name that
    leads back to the address). Where the allow list or AWS's list cannot be read, nothing is
    blocked. More than ``max-new`` (2,000) addresses that the current IP sets do not have: nothing
    is blocked. An IP set holds 10,000: ``on-full: rank`` blocks the gravest, those with the highest
    count, ``fail`` none.

    The rule does what ``rule-action`` says: ``block`` unless set, or ``count`` to see first what
    it would block, ``captcha``, ``challenge``. A new rule gets the first free place from
    ``priority`` (0) on. Behind a proxy, ``forwarded-ip`` names the ``header`` that has the
    address, which ``position`` in it (LAST unless set: the one that the proxy itself wrote) and
    whether a request without one matches (``fallback``, NO_MATCH unless set).

    ``duration`` is in minutes (240 unless set). With ``slots`` (6) a block lives between
    ``duration`` and ``duration * (slots - 1) / (slots - 2)``, counted from the last time that the
    address was found.

    Returns ``{"results": [...], "counts": {outcome: number}}``, one result for each resource and
    scope: ``resource``, ``scope``, ``outcome`` (``blocked``, ``counted``, ``skipped``, ``partial``,
    ``failed`` or ``not-evaluated``), ``code``, ``reason``, ``addresses`` (until when each is
    blocked), ``refused`` (each with ``code``, ``reason``, and ``still``: what of it is blocked),
    ``left-out`` (for want of room) and ``web-acls`` (what became of the rule in each, and
    ``behind``: the rules that let requests through before it).

    :example:

    .. code-block:: yaml

        policies:
          - name: account-block-guardduty-address
            resource: account
            mode:
              type: guard-duty
              role: arn:aws:iam::{account_id}:role/c7n-secops-lambda
            actions:
              - type: waf-ip-block
                name: secops-guardduty
                from: event
                duration: 1440
                web-acls: all
                allow: {addresses: [192.0.2.0/28]}
    """

    schema = type_schema(
        "waf-ip-block",
        required=["name", "from"],
        **{
            "name": NAME,
            "from": {"oneOf": [{"enum": ["annotation", "event"]}, LIST]},
            "direction": {"enum": ["INBOUND", "ANY"]},
            "duration": {"type": "integer", "minimum": 5, "maximum": 43200},
            "slots": {"type": "integer", "minimum": 3, "maximum": 24},
            "allow": LIST,
            "protect": {"type": "array", "uniqueItems": True, "items": {"enum": list(KINDS)}},
            "ip-ranges": IP_RANGES,
            "min-prefix": lengths(),
            "widen": lengths(**{"min-hosts": {"type": "integer", "minimum": 2, "maximum": 65536}}),
            "max-new": {"type": "integer", "minimum": 1, "maximum": 20000},
            "on-full": {"enum": ["rank", "fail"]},
            "rule-action": {"enum": list(ACTIONS)},
            "priority": {"type": "integer", "minimum": 0, "maximum": 1000000},
            "web-acls": WEB_ACLS,
            "scope": SCOPE,
            "forwarded-ip": forwarded(position={"enum": ["FIRST", "LAST", "ANY"]}),
        },
    )
    permissions = (
        "ec2:DescribeAddresses",
        "ec2:DescribeNatGateways",
        "s3:GetObject",
        "wafv2:CreateIPSet",
        "wafv2:GetIPSet",
        "wafv2:GetWebACL",
        "wafv2:GetWebACLForResource",
        "wafv2:ListIPSets",
        "wafv2:ListWebACLs",
        "wafv2:UpdateIPSet",
        "wafv2:UpdateWebACL",
    )

    def get_permissions(self) -> tuple[str, ...]:
        return permissions.of_block(self)
