"""Network ACLs: take away the denied addresses whose time is over."""

from __future__ import annotations

from c7n.utils import type_schema

from c7n_secops_edge.subnet_block import SubnetExpire

RESOURCES = ("aws.network-acl",)


class NetworkAclExpire(SubnetExpire):
    """Removes the entries of ``network-acl-block`` whose time is over, and their tags.

    The tags of the network ACLs say what is over, so an idle run asks AWS nothing more than the
    list of network ACLs. Those that have something over are read again before anything is
    removed. Entries without a tag of ours are never touched.

    Returns ``{"results": [...], "counts": {outcome: number}}``, one result for each network ACL:
    ``resource``, ``outcome`` (``expired``, ``skipped``, ``failed`` or ``not-evaluated``), ``code``,
    ``reason`` and ``networks``, those that are denied no more.

    :example:

    .. code-block:: yaml

        policies:
          - name: network-acl-expire-blocks
            resource: aws.network-acl
            mode:
              type: periodic
              schedule: rate(5 minutes)
              role: arn:aws:iam::{account_id}:role/c7n-secops-lambda
            actions:
              - network-acl-expire
    """

    schema = type_schema("network-acl-expire")
    permissions = ("ec2:DeleteNetworkAclEntry", "ec2:DeleteTags", "ec2:DescribeNetworkAcls")
