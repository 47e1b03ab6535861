"""Which findings a patch can end, and the list of packages that AWS-RunPatchBaseline installs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from c7n_secops_inspector import yes_no

PACKAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,199}")


def patchable(findings: Iterable[dict[str, Any]], wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """The findings about packages of the operating system that are as the policy wants them.

    ``wanted`` is the action's ``findings``; a finding without a value does not meet a condition.
    """
    return [finding for finding in findings if os_packages(finding) and meets(finding, wanted)]


def meets(finding: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a finding has the severity, fix, exploit and EPSS score that are wanted."""
    if "severity" in wanted and finding.get("severity") not in wanted["severity"]:
        return False
    fixes = [yes_no(fix) for fix in wanted.get("fix", ())]
    if fixes and finding.get("fixAvailable") not in fixes:
        return False
    exploit = wanted.get("exploit", "any")
    if exploit != "any" and finding.get("exploitAvailable") != yes_no(exploit):
        return False
    score = finding.get("epss", {}).get("score")
    return "min-epss" not in wanted or (score is not None and score >= wanted["min-epss"])


def os_packages(finding: dict[str, Any]) -> list[str]:
    """The names of a finding's packages that the operating system's package manager owns.

    Who controls an instance controls the names that it reports: one that is no package's name, but
    a pattern that would match others, is left out.
    """
    packages = finding.get("packageVulnerabilityDetails", {}).get("vulnerablePackages", ())
    return [
        package["name"]
        for package in packages
        if package.get("packageManager") == "OS" and PACKAGE_NAME.fullmatch(package["name"])
    ]


def override_list(names: Iterable[str]) -> bytes:
    """An InstallOverrideList for Linux that names these packages, of any architecture.

    Patch Manager reads YAML, of which JSON is a part. Without a version it installs the newest
    that the instance's repositories have.
    """
    patches = [{"id": f"{name}.*"} for name in sorted(set(names))]
    return json.dumps({"patches": patches}, indent=1).encode()
