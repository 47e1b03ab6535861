"""Amazon API Gateway: the endpoint of an API, and the custom domain names that lead to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from c7n_secops.aws import calls
from c7n_secops_edge.distributions import host

PAGE = 500
ENDPOINT = re.compile(r"([a-z0-9]+)\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
NAMES = ("regionalDomainName", "distributionDomainName")


class Domain(NamedTuple):
    """A custom domain name, and the names that API Gateway gives it for DNS to lead to."""

    name: str
    targets: frozenset[str]


def endpoint(name: str) -> tuple[str, str] | None:
    """The API's id and region, where a host name is the endpoint of an API."""
    found = ENDPOINT.fullmatch(host(name))
    return (found[1], found[2]) if found else None


class ApiDomains:
    """The custom domain names of the account in one region. Reading raises RefusedError."""

    def __init__(self, element: Any, region: str):
        self.client = calls.client(element, "apigateway", region=region)

    def __iter__(self) -> Iterator[Domain]:
        for page in calls.pages(self.client, "get_domain_names", "items", PAGE):
            for row in page:
                told = frozenset(host(row[key]) for key in NAMES if row.get(key))
                yield Domain(host(row["domainName"]), told)

    def apis(self, domain: Domain) -> set[str]:
        """The ids of the APIs that a domain name leads to."""
        mappings = calls.pages(
            self.client, "get_base_path_mappings", "items", PAGE, domainName=domain.name
        )
        return {row["restApiId"] for page in mappings for row in page}
