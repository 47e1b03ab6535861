"""API Gateway: does a distribution of ours stand before this API?"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.element import SecOpsElement
from c7n_secops_edge import api_access, distributions
from c7n_secops_edge.api_domains import ApiDomains, endpoint
from c7n_secops_edge.distributions import host

RESOURCES = ("aws.rest-api",)


class BehindDistribution(SecOpsElement, Filter):
    """Finds REST APIs before which a CloudFront distribution of the account stands, or does not.

    The distribution that an edge-optimised API brings takes no web ACL and shows no logs. One of
    your own does, if it is enabled and has the API's endpoint, or a custom domain name that leads
    to the API, as an origin. ``web-acl`` is whether it has a web ACL; ``absent: true`` finds the
    APIs before which none (or none like that) stands.

    ``direct`` is whether callers can go around it. It is ``closed`` where the resource policy turns
    somebody away, the default endpoint is disabled, or CloudFront sends an API key that every
    method needs; else ``open``. That shows an intention, not that it holds: a policy may allow too
    much, a key may leak, and without the default endpoint a custom domain name still answers all
    who know it.

    Annotates ``c7n:BehindDistributions`` with a row for each distribution: ``Id``, ``Origin``,
    ``WebACLId`` (empty without one); and, where ``direct`` is asked, ``c7n:DirectAccess`` with
    ``ResourcePolicy``, ``DefaultEndpointDisabled`` and ``ApiKey``, true where it closes the way.
    Where AWS refuses what is needed, the APIs are recorded as not evaluated.

    :example:

    .. code-block:: yaml

        policies:
          - name: api-without-web-acl-in-front
            resource: aws.rest-api
            filters:
              - type: behind-distribution
                absent: true
                web-acl: true
    """

    schema = type_schema(
        "behind-distribution",
        absent={"type": "boolean"},
        direct={"enum": ["open", "closed"]},
        **{"web-acl": {"type": "boolean"}},
    )
    permissions = ("apigateway:GET", "cloudfront:ListDistributions")
    annotation_key = "c7n:BehindDistributions"
    access_key = "c7n:DirectAccess"
    annotations = {
        annotation_key: "the distributions before the API: id, origin and web ACL",
        access_key: "what keeps callers from going around them",
    }

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("absent: true")
        if self.data.get("absent") and "direct" in self.data:
            raise self.invalid("direct needs a distribution to go around; leave out absent: true")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        try:
            origins = self.origins()
        except calls.RefusedError as error:
            self.not_evaluated(resources, error.code, str(error))
            return []
        return [resource for resource in resources if self.matches(resource, origins)]

    def origins(self) -> dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]:
        """The distributions and origins by the API that they lead to. Raises RefusedError."""
        found: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = defaultdict(list)
        named = defaultdict(list)
        region = self.manager.config.region
        for distribution in distributions.enabled(self):
            for origin in distribution["Origins"]["Items"]:
                api = endpoint(origin["DomainName"])
                if api is None:
                    named[host(origin["DomainName"])].append((distribution, origin))
                elif api[1] == region:
                    found[api[0]].append((distribution, origin))
        domains = ApiDomains(self, region)
        for domain in domains if named else ():
            for name in {domain.name, *domain.targets} & named.keys():
                for api_id in domains.apis(domain):
                    found[api_id] += named[name]
        return found

    def matches(
        self,
        resource: dict[str, Any],
        origins: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]],
    ) -> bool:
        """Whether a distribution as described stands before the API; annotates those that do."""
        rows = []
        keyed = True
        for distribution, origin in origins.get(resource["id"], ()):
            acl = distribution.get("WebACLId", "")
            if bool(acl) is self.data.get("web-acl", bool(acl)):
                rows.append(
                    {"Id": distribution["Id"], "Origin": origin["DomainName"], "WebACLId": acl}
                )
                keyed = keyed and api_access.sends_key(origin)
        if bool(rows) is self.data.get("absent", False):
            return False
        if "direct" in self.data:
            try:
                access = self.access(resource, keyed)
            except calls.RefusedError as error:
                self.not_evaluated([resource], error.code, str(error))
                return False
            if any(access.values()) is not (self.data["direct"] == "closed"):
                return False
            resource[self.access_key] = access
        resource[self.annotation_key] = rows
        return True

    def access(self, resource: dict[str, Any], keyed: bool) -> dict[str, bool]:
        """What closes the way around; methods are read only where CloudFront sends a key."""
        apigateway = calls.client(self, "apigateway")
        return {
            "ResourcePolicy": api_access.restricts(resource.get("policy")),
            "DefaultEndpointDisabled": resource.get("disableExecuteApiEndpoint", False),
            "ApiKey": keyed and api_access.wants_key(apigateway, resource["id"]),
        }
