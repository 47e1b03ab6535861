"""The remote addresses in a GuardDuty finding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

REMOTE = (
    "networkConnectionAction",
    "awsApiCallAction",
    "kubernetesApiCallAction",
    "rdsLoginAttemptAction",
)
INBOUND = "INBOUND"


def remote_addresses(event: Mapping[str, Any] | None, direction: str = INBOUND) -> list[str]:
    """The addresses from which a finding says somebody came, IPv4 and IPv6, each once.

    Of connections only those of ``direction`` count (``ANY`` for all): the remote end of an
    outbound one did not come, it was called. Whoever may put an event on the bus decides what is
    in it, so anything that has not the form of a finding gives no address.
    """
    service = _block(_block(event, "detail"), "service")
    action = _block(service, "action")
    found: list[str] = []
    for name in REMOTE:
        found += _remote(_block(action, name), direction)
    for row in _rows(_block(action, "portProbeAction"), "portProbeDetails"):
        found += _remote(row, direction)
    return list(dict.fromkeys(found))


def _remote(row: Mapping[str, Any], direction: str) -> Iterator[str]:
    if direction != "ANY" and row.get("connectionDirection", direction) != direction:
        return
    details = _block(row, "remoteIpDetails")
    for key in ("ipAddressV4", "ipAddressV6"):
        if isinstance(details.get(key), str) and details[key]:
            yield details[key]


def _block(block: Mapping[str, Any] | None, key: str) -> Mapping[str, Any]:
    value = (block or {}).get(key)
    return value if isinstance(value, Mapping) else {}


def _rows(block: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    value = block.get(key)
    for row in value if isinstance(value, list) else ():
        if isinstance(row, Mapping):
            yield row
