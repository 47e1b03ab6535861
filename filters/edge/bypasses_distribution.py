"""Route 53: does a record lead around the distribution?"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.element import SecOpsElement
from c7n_secops_edge import distributions
from c7n_secops_edge.api_domains import ApiDomains, endpoint
from c7n_secops_edge.distributions import host
from c7n_secops_edge.endpoints import Origins, targets

RESOURCES = ("aws.rrset",)


class BypassesDistribution(SecOpsElement, Filter):
    """Finds public DNS records that lead to an origin of a CloudFront distribution, around it.

    Who finds such a name reaches the load balancer, API, instance or bucket without the web ACL
    of the distribution. A, AAAA and CNAME records and aliases are compared with the origins of the
    account's enabled distributions: host names (an alias's ``dualstack.`` aside), addresses in an
    instance's public name, buckets and their websites, custom domain names of API Gateway, and
    whatever a record of an origin's own name leads to.

    The record that an origin is called by is not matched: CloudFront itself needs it. Records of
    private zones are not. Only the records that reach this filter help to follow names, so put it
    before filters that narrow them. Nothing is known of distributions in other accounts, of
    addresses behind names that are not in these zones, and of what an origin refuses by itself
    (security groups, a secret header): a match is a way in to be looked at, not a proof.

    Annotates ``c7n:BypassesDistributions`` with the ids of the distributions. Where AWS refuses
    to list distributions, zones or custom domain names, the records that would need them are
    recorded as not evaluated.

    :example:

    .. code-block:: yaml

        policies:
          - name: record-bypasses-distribution
            resource: aws.rrset
            filters:
              - bypasses-distribution
    """

    schema = type_schema("bypasses-distribution")
    permissions = ("apigateway:GET", "cloudfront:ListDistributions", "route53:ListHostedZones")
    annotation_key = "c7n:BypassesDistributions"
    annotations = {annotation_key: "ids of the distributions that the record leads around"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("a value filter for the records that are wanted")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        try:
            private = self.private_zones()
            found = distributions.enabled(self)
        except calls.RefusedError as error:
            self.not_evaluated(resources, error.code, str(error))
            return []
        public = [record for record in resources if record["c7n:parent-id"] not in private]
        origins = Origins(found, public)
        unknown = self.add_custom_domains(found, public, origins)
        matched = []
        for record in public:
            if host(record["Name"]) in origins.names:
                continue
            places = origins.follow(targets(record))
            around = {name for where in places for name in origins.behind(where)}
            if around:
                record[self.annotation_key] = sorted(around)
                matched.append(record)
            elif refusal := next((unknown[where] for where in places & unknown.keys()), None):
                self.not_evaluated([record], refusal.code, str(refusal))
        return matched

    def private_zones(self) -> set[str]:
        """The ids of the zones that only VPCs see, as records name them."""
        route53 = calls.client(self, "route53")
        zones = calls.pages(route53, "list_hosted_zones", "HostedZones", 100)
        return {zone["Id"] for page in zones for zone in page if zone["Config"].get("PrivateZone")}

    def add_custom_domains(
        self, found: list[dict[str, Any]], records: list[dict[str, Any]], origins: Origins
    ) -> dict[str, calls.RefusedError]:
        """Let custom domain names lead to the APIs that are origins.

        API Gateway is asked only where an API is an origin and a record leads to a name that it
        may have given. Returns the places of which it refused to tell.
        """
        own = {host(distribution["DomainName"]) for distribution in found}
        asked = {
            where
            for record in records
            for where in targets(record)
            if where not in own and where.endswith((".amazonaws.com", ".cloudfront.net"))
            if ".execute-api." in where or where.endswith(".cloudfront.net")
        }
        apis: dict[str, dict[str, list[str]]] = defaultdict(dict)
        for name in origins.names:
            if api := endpoint(name):
                apis[api[1]][api[0]] = origins.behind(name)
        unknown: dict[str, calls.RefusedError] = {}
        for region, behind in apis.items() if asked else ():
            domains = ApiDomains(self, region)
            try:
                for domain in domains:
                    if wanted := asked & domain.targets:
                        ids = [i for api in domains.apis(domain) for i in behind.get(api, ())]
                        for where in wanted:
                            for distribution in ids:
                                origins.add(where, distribution)
            except calls.RefusedError as error:
                unknown.update(dict.fromkeys(asked, error))
        return unknown
