"""The IP sets of those whom a ring's rule never blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from c7n_secops_edge.networks import FAMILIES, Network, collapse
from c7n_secops_edge.ring import CAPACITY, RingError
from c7n_secops_edge.waf import Waf, until_saved


class AllowList:
    """The networks that are allowed, the same for every slot of a ring.

    The description of each IP set has a hash of what is in it, so that one list of all sets says
    whether they are as they should be.
    """

    def __init__(self, ring: str, networks: Sequence[Network]):
        self.ring = ring
        self.networks = {
            version: collapse(each for each in networks if each.version == version)
            for version in FAMILIES
        }
        for version, found in self.networks.items():
            if len(found) > CAPACITY:
                raise RingError(
                    "AllowListTooLong",
                    f"{len(found):,} networks of IPv{version} are allowed, and an IP set holds "
                    f"{CAPACITY:,}; shorten allow",
                )

    def ensure(self, waf: Waf, summaries: list[dict[str, Any]]) -> list[str]:
        """Make the IP sets say what is allowed; returns their ARNs. Costs no call where they do."""
        listed = [summaries]

        def save() -> list[str]:
            rows = {row["Name"]: row for row in (listed.pop() if listed else waf.ip_sets())}
            return [self._ensure(waf, version, rows) for version in FAMILIES]

        return until_saved(save, also=("WAFDuplicateItemException",))

    def _ensure(self, waf: Waf, version: int, rows: dict[str, dict[str, Any]]) -> str:
        name = f"{self.ring}-allow-ipv{version}"
        texts = [str(network) for network in self.networks[version]]
        mark = hashlib.sha256(" ".join(texts).encode()).hexdigest()[:32]
        what = {
            "Name": name,
            "Scope": waf.scope,
            "Addresses": texts,
            "Description": f"c7n:allow={mark}",
        }
        row = rows.get(name)
        if row is None:
            made = waf.client.create_ip_set(**what, IPAddressVersion=FAMILIES[version])
            return str(made["Summary"]["ARN"])
        if row.get("Description") != what["Description"]:
            waf.client.update_ip_set(**what, Id=row["Id"], LockToken=row["LockToken"])
        return str(row["ARN"])
