"""Clients for any account and region: our own credentials at home, a role elsewhere."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from c7n_secops.aws import calls

LIFE = 3000.0
"""Seconds for which a role's credentials are used; they last an hour."""


class _Credentials(NamedTuple):
    values: dict[str, str] | calls.RefusedError
    until: float


class Access:
    """Makes clients, and assumes the role of each account once, for all of its regions.

    ``element`` is whatever :func:`c7n_secops.aws.calls.client` takes, ``role`` the name of the role
    in the other accounts; without one they cannot be reached.
    """

    def __init__(
        self, element: Any, *, home: str, region: str, partition: str, role: str | None = None
    ):
        self.element, self.home, self.region = element, home, region
        self.partition, self.role = partition, role
        self._credentials: dict[str, _Credentials] = {}
        self._clients: dict[tuple[str, str, str], tuple[Any, float]] = {}

    def client(self, service: str, account: str | None = None, region: str | None = None) -> Any:
        """A client, made once; RefusedError where the account cannot be reached."""
        account, region = account or self.home, region or self.region
        known = self._clients.get((service, account, region))
        if known and known[1] > time.monotonic():
            return known[0]
        credentials, until = None, float("inf")
        if account != self.home:
            credentials, until = self._assumed(account)
        made = calls.client(self.element, service, region=region, credentials=credentials)
        self._clients[service, account, region] = (made, until)
        return made

    def _assumed(self, account: str) -> tuple[dict[str, str], float]:
        known = self._credentials.get(account)
        if known is None or known.until <= time.monotonic():
            known = _Credentials(self._assume(account), time.monotonic() + LIFE)
            self._credentials[account] = known
        if isinstance(known.values, calls.RefusedError):
            if not known.values.denied:
                del self._credentials[account]
            raise known.values
        return known.values, known.until

    def _assume(self, account: str) -> dict[str, str] | calls.RefusedError:
        if self.role is None:
            return calls.RefusedError(
                "sts:AssumeRole", "AccessDenied", f"no role is set for account {account}"
            )
        arn = f"arn:{self.partition}:iam::{account}:role/{self.role}"
        try:
            return calls.role_credentials(self.element, arn, "c7n-secops-findings")
        except calls.RefusedError as refusal:
            return refusal
