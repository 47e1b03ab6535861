"""AWS WAF: one scope of it, and changes that two writers cannot take from each other."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from datetime import datetime, timezone
from itertools import count
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from c7n_secops import deadline
from c7n_secops.aws import calls
from c7n_secops.aws.calls import THROTTLES, RefusedError

T = TypeVar("T")

CLOUDFRONT, REGIONAL = SCOPES = ("CLOUDFRONT", "REGIONAL")
PAGE = 100
PATIENCE = 240.0
"""Seconds for which a change is tried again; AWS takes one change a second of an account."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 8.0

CONFLICTS = THROTTLES | {
    "WAFInternalErrorException",
    "WAFOptimisticLockException",
    "WAFUnavailableEntityException",
}
"""What ends well when everything is read again and the change made anew."""


def utcnow() -> datetime:
    """The present, to the second."""
    return datetime.now(timezone.utc).replace(microsecond=0)


class Waf:
    """The web ACLs and IP sets of a scope; those of CLOUDFRONT are reached in us-east-1 only."""

    def __init__(self, client: Any, scope: str):
        self.client, self.scope = client, scope

    @classmethod
    def of(cls, element: Any, scope: str) -> Waf:
        """The scope in the account and region of the element's policy."""
        region = "us-east-1" if scope == CLOUDFRONT else None
        return cls(calls.client(element, "wafv2", region=region), scope)

    def ip_sets(self) -> list[dict[str, Any]]:
        """The summaries of all IP sets, with description and lock token."""
        return self._all(self.client.list_ip_sets, "IPSets")

    def web_acls(self) -> list[dict[str, Any]]:
        """The summaries of all web ACLs."""
        return self._all(self.client.list_web_acls, "WebACLs")

    def _all(self, call: Callable[..., dict[str, Any]], key: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        more: dict[str, str] = {}
        while True:
            answer = calls.read(call, Scope=self.scope, Limit=PAGE, **more)
            found += answer.get(key, ())
            if not answer.get("NextMarker") or not answer.get(key):
                return found
            more = {"NextMarker": answer["NextMarker"]}


def until_saved(change: Callable[[], T], also: Collection[str] = ()) -> T:
    """Make a change that reads first, again and again until no other writer is in its way.

    The pauses grow and are drawn from their whole length, so that writers who met once part.
    ``also`` are error codes that mean a conflict here. Raises what AWS last answered when the time
    is over, and anything that is no conflict at once.
    """
    end = deadline.after(PATIENCE)
    for attempt in count():
        try:
            return change()
        except (ClientError, RefusedError) as error:
            code, _reason = calls.failure(error)
            if (code not in CONFLICTS and code not in also) or time.monotonic() >= end:
                raise
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
        time.sleep(random.uniform(0, longest))  # noqa: S311  spreads writers, keeps no secret
    raise AssertionError("unreachable")
