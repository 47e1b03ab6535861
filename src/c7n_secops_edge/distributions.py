"""CloudFront distributions: which there are, and what they reach for whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from c7n_secops.aws import calls

PAGE = 100
DEFAULT_PATH = "*"


def enabled(element: Any) -> list[dict[str, Any]]:
    """The enabled distributions of the policy's account. Raises RefusedError."""
    cloudfront = calls.client(element, "cloudfront")
    pages = calls.pages(cloudfront, "list_distributions", "DistributionList", PAGE)
    lists = cast("Iterator[dict[str, Any]]", pages)
    return [item for page in lists for item in page.get("Items", ()) if item["Enabled"]]


def behaviors(distribution: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Its cache behaviours with their path patterns; the default one's is ``*``."""
    for behavior in distribution["CacheBehaviors"].get("Items", ()):
        yield behavior["PathPattern"], behavior
    yield DEFAULT_PATH, distribution["DefaultCacheBehavior"]


def host(name: str) -> str:
    """A host name as names are compared; an alias of a load balancer has ``dualstack.`` before."""
    return name.lower().rstrip(".").removeprefix("dualstack.")
