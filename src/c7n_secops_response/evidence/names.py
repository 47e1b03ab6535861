"""Case ids: a template, filled in for one instance from the instance and the event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

PLACE = re.compile(r"\{([^{}]*)\}")
VALID = re.compile(r"[A-Za-z0-9._-]{1,64}")
FIELDS = (
    "instance_id",
    "account_id",
    "region",
    "date",
    "case",
    "event_id",
    "finding_id",
)


class CaseNameError(ValueError):
    """The case id cannot be made, or is none: nothing may be done to the instance."""


def fill(template: str, values: Mapping[str, str | None]) -> str:
    """The case id; raises CaseNameError, which says what is missing."""

    def value(place: re.Match[str]) -> str:
        name = place[1]
        if name not in FIELDS:
            raise CaseNameError(
                f"case-id {template!r} has {{{name}}}, which nothing expanded; set it in the vars "
                f"of the run, or use one of {', '.join(FIELDS)}"
            )
        found = values.get(name)
        if not found:
            raise CaseNameError(f"case-id {template!r} needs {{{name}}}, which is not known here")
        return found

    name = PLACE.sub(value, template)
    if not VALID.fullmatch(name) or not name.strip("."):
        raise CaseNameError(
            f"case-id {name!r} is not 1 to 64 letters, digits, dots, dashes or underscores"
        )
    return name


def values_for(
    instance: Mapping[str, Any],
    event: Mapping[str, Any] | None,
    account: str,
    region: str,
    now: datetime,
    case: str | None,
) -> dict[str, str | None]:
    """What each of :data:`FIELDS` stands for; ``case`` is what the instance's tag says.

    An event whose detail names a case is about that one.
    """
    detail = (event or {}).get("detail")
    named = text(detail.get("case")) if isinstance(detail, Mapping) else None
    return {
        "instance_id": instance["InstanceId"],
        "account_id": account,
        "region": region,
        "date": now.strftime("%Y%m%d"),
        "case": named or case,
        "event_id": text((event or {}).get("id")),
        "finding_id": finding_id(event or {}),
    }


def named_case(event: Mapping[str, Any]) -> str | None:
    """The case that a request names in its event, for those that are part of one."""
    detail = event.get("detail")
    return text(detail.get("case")) if isinstance(detail, Mapping) else None


def finding_id(event: Mapping[str, Any]) -> str | None:
    """The id of the finding that an event carries: GuardDuty's, Inspector's or Security Hub's.

    Of an ARN it is what stands after the last slash.
    """
    detail = event.get("detail")
    if not isinstance(detail, Mapping):
        return None
    findings = detail.get("findings")
    first = findings[0] if isinstance(findings, list) and findings else {}
    name = (
        text(detail.get("findingArn"))
        or (text(first.get("Id")) if isinstance(first, Mapping) else None)
        or text(detail.get("id"))
    )
    return name.rpartition("/")[2] if name else None


def text(value: Any) -> str | None:
    """A text of an event, or None where it has something else there."""
    return value if isinstance(value, str) else None
