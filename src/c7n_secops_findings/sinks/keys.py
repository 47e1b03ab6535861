"""The names of stored batches: the same records have the same name, whoever writes them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from c7n_secops_findings.record import Finding


def digest(findings: Sequence[Finding]) -> str:
    """SHA-256 over the sorted ids and versions."""
    names = sorted(f"{finding.id}:{finding.version}" for finding in findings)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def day(findings: Sequence[Finding]) -> str:
    """The UTC date of the newest change among the records."""
    return max(finding.updated_at for finding in findings)[:10]


def by_place(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Records of one account and region under their key: ``dt=…/account=…/region=…/<digest>``."""
    places = defaultdict(list)
    for finding in findings:
        places[finding.account_id, finding.region].append(finding)
    return {
        f"dt={day(group)}/account={account}/region={region}/{digest(group)}": group
        for (account, region), group in places.items()
    }
