"""CloudFront: is something cached that must not be?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.element import SecOpsElement
from c7n_secops_edge import distributions

RESOURCES = ("aws.distribution",)

STATIC = {"GET", "HEAD", "OPTIONS"}


class DistributionTtl(SecOpsElement, Filter):
    """Finds distributions that keep dynamic answers for a time, whatever their origin says.

    With a minimum time to live above 0 CloudFront ignores ``no-store`` and ``private``: the page
    of one visitor can be served to the next. The minimum stands in the cache behaviour or, unseen
    by filters on the distribution, in the cache policy that the behaviour names, as in the managed
    policy CachingOptimized (1 second).

    A behaviour is dynamic when it allows a method besides GET, HEAD and OPTIONS. ``paths`` names
    the path patterns of others that are (``*`` is the default behaviour's). ``minimum`` is the
    longest minimum that is accepted, in seconds; 0 unless set.

    Annotates ``c7n:DistributionTtls`` with a row for each such behaviour: ``Path``, ``MinTTL`` in
    seconds, ``CachePolicyId`` and ``CachePolicy``, its name (both empty without one). Where AWS
    refuses to show a cache policy, the distributions whose other behaviours do not match are
    recorded as not evaluated.

    :example:

    .. code-block:: yaml

        policies:
          - name: distribution-caches-dynamic
            resource: aws.distribution
            filters:
              - type: distribution-ttl
                paths: ["/account/*"]
    """

    schema = type_schema(
        "distribution-ttl",
        minimum={"type": "integer", "minimum": 0, "maximum": 31536000},
        paths={
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "string", "minLength": 1, "maxLength": 255},
        },
    )
    permissions = ("cloudfront:GetCachePolicy",)
    annotation_key = "c7n:DistributionTtls"
    annotations = {annotation_key: "the dynamic behaviours whose minimum TTL is too long"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("minimum for a longer time that is accepted")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        self.policies: dict[str, dict[str, Any] | calls.RefusedError] = {}
        self.client = calls.client(self, "cloudfront")
        return [resource for resource in resources if self.matches(resource)]

    def matches(self, resource: dict[str, Any]) -> bool:
        """Whether a dynamic behaviour is kept for too long; its rows are annotated then."""
        found: list[dict[str, Any]] = []
        refusal = None
        for path, behavior in distributions.behaviors(resource):
            if not self.is_dynamic(path, behavior):
                continue
            policy_id = behavior.get("CachePolicyId", "")
            config = self.policy(policy_id) if policy_id else {**behavior, "Name": ""}
            if isinstance(config, calls.RefusedError):
                refusal = config
            elif config["MinTTL"] > self.data.get("minimum", 0):
                row = {"Path": path, "MinTTL": config["MinTTL"], "CachePolicyId": policy_id}
                found.append({**row, "CachePolicy": config["Name"]})
        if found:
            resource[self.annotation_key] = found
        elif refusal:
            self.not_evaluated([resource], refusal.code, str(refusal))
        return bool(found)

    def is_dynamic(self, path: str, behavior: dict[str, Any]) -> bool:
        """Whether a behaviour's answers differ from one request to the next."""
        named = {pattern.lstrip("/") for pattern in self.data.get("paths", ())}
        return path.lstrip("/") in named or not STATIC.issuperset(
            behavior["AllowedMethods"]["Items"]
        )

    def policy(self, policy_id: str) -> dict[str, Any] | calls.RefusedError:
        """The configuration of a cache policy, read once, or why AWS refused it."""
        if policy_id not in self.policies:
            try:
                answer = calls.read(self.client.get_cache_policy, Id=policy_id)
                self.policies[policy_id] = answer["CachePolicy"]["CachePolicyConfig"]
            except calls.RefusedError as error:
                self.policies[policy_id] = error
        return self.policies[policy_id]
