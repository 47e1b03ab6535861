"""The keys that the actions of a case share in policies, and what they mean."""

from __future__ import annotations

from typing import Any

STATE = "c7n-secops:state"
CASE = "c7n-secops:case"
SNAPSHOTS = "c7n-secops:snapshots"
EXEMPT = "c7n-secops:exempt"

PIECES = ("metadata", "attributes", "user-data", "console", "screenshot", "snapshots")
DEFAULT_PIECES = ("metadata", "attributes", "console", "screenshot", "snapshots")

CASE_KEYS: dict[str, Any] = {
    "case-id": {"type": "string", "minLength": 1, "maxLength": 256},
    "lock-timeout": {"type": "integer", "minimum": 60, "maximum": 43200},
}

STORE_KEYS: dict[str, Any] = {
    "bucket": {"type": "string", "pattern": "^[A-Za-z0-9{}_.-]{3,128}$"},
    "prefix": {"type": "string", "pattern": "^[A-Za-z0-9{}_./-]{1,200}$"},
    "role": {"type": "string", "minLength": 3, "maxLength": 2048},
    "kms-key": {"type": "string", "minLength": 3, "maxLength": 2048},
    "require-object-lock": {"type": "boolean"},
    "retention": {
        "type": "object",
        "additionalProperties": False,
        "required": ["mode", "days"],
        "properties": {
            "mode": {"enum": ["GOVERNANCE", "COMPLIANCE"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 36500},
        },
    },
}

EVIDENCE_KEYS: dict[str, Any] = {
    **STORE_KEYS,
    "collect": {"type": "array", "uniqueItems": True, "items": {"enum": list(PIECES)}},
    "snapshots": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "exclude-boot": {"type": "boolean"},
            "share-with": {
                "type": "array",
                "maxItems": 50,
                "uniqueItems": True,
                "items": {"type": "string", "pattern": "^([0-9]{12}|\\{[a-z_]{1,64}\\})$"},
            },
            "copy-key": {"type": "string", "minLength": 3, "maxLength": 2048},
            "lock-days": {"type": "integer", "minimum": 0, "maximum": 36500},
        },
    },
    "on-error": {"enum": ["continue", "abort"]},
}


def block(keys: dict[str, Any]) -> dict[str, Any]:
    """The ``evidence`` object of an action that has one."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["bucket"],
        "properties": keys,
    }


CASE_DOC = """\
    ``case-id`` names the case. What stands in braces is filled in for each instance as the policy
    runs: ``{instance_id}``, ``{account_id}``, ``{region}``, ``{date}`` (UTC, YYYYMMDD), ``{case}``
    (``detail.case`` of the event, or else the instance's tag ``c7n-secops:case``), ``{event_id}``
    and ``{finding_id}`` (of the GuardDuty, Inspector or Security Hub finding in the event). The
    result is at most 64 letters, digits, dots, dashes or underscores, or nothing is done to the
    instance. A run takes the lock of its case on each instance; ``lock-timeout`` (900 seconds
    unless set) is how long a run that died keeps the others out. Running again with the same case
    goes on where the earlier run stopped.
"""

STORE_DOC = """\
    ``bucket`` is the evidence bucket and ``prefix`` (``cases`` unless set) where the cases stand in
    it. It may belong to another account: give the ``role`` there to assume, or let its bucket
    policy admit the caller. ``kms-key`` encrypts every object (needed across accounts; the AWS
    managed key unless set). The bucket must have Object Lock, with ``retention`` set here or a
    default retention of its own, or nothing is done at all; ``require-object-lock: false`` waives
    that.
"""

RESULT_DOC = """\
    Returns ``{"results": [...], "counts": {outcome: number}}``, with one result for each instance:
    ``InstanceId``, ``case``, ``outcome``, ``code``, ``reason`` and ``steps`` (what became of each:
    ``done``, ``failed``, ``skipped`` or ``pending``). Where an outcome is ``failed`` or
    ``not-evaluated``, the policy fails after the results are written and the other instances are
    done.
"""
