"""Parts of the schemas that several elements of the edge have."""

from __future__ import annotations

from typing import Any

NAME: dict[str, Any] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,100}$"}
"""The name of a ring, rule or web ACL."""

SCOPE: dict[str, Any] = {"enum": ["CLOUDFRONT", "REGIONAL"]}

NUMBER: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 32766}
"""The number of an entry in a network ACL."""

IP_RANGES: dict[str, Any] = {"type": "string", "pattern": "^(https|s3)://[^\\s{}]{3,1000}$"}
"""Where AWS's ip-ranges.json is."""

WEB_ACLS: dict[str, Any] = {
    "oneOf": [
        {"const": "all"},
        {"type": "array", "minItems": 1, "maxItems": 100, "items": NAME},
    ]
}
"""Web ACLs by name, or all of an account."""

VALUE_FROM: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "properties": {
        "url": {"type": "string", "pattern": "^(https|s3)://[^\\s]{3,1000}$"},
        "format": {"enum": ["csv", "json", "txt", "csv2dict"]},
        "expr": {
            "oneOf": [
                {"type": "integer", "minimum": 0, "maximum": 1000},
                {"type": "string", "maxLength": 1000},
            ]
        },
    },
}
"""What Custodian's own ``value_from`` takes, over https and from S3."""

LIST: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        "addresses": {
            "type": "array",
            "maxItems": 10000,
            "items": {"type": "string", "pattern": "^[0-9A-Fa-f.:/]{2,64}$"},
        },
        "value_from": VALUE_FROM,
    },
}
"""Addresses and CIDR ranges: written down, read from a file, or both."""


def forwarded(**more: Any) -> dict[str, Any]:
    """In which header the address stands behind a proxy, and what to do where it does not."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["header"],
        "properties": {
            "header": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,255}$"},
            "fallback": {"enum": ["MATCH", "NO_MATCH"]},
            **more,
        },
    }


def lengths(**more: Any) -> dict[str, Any]:
    """Prefix lengths by family."""
    return {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {
            "ipv4": {"type": "integer", "minimum": 8, "maximum": 32},
            "ipv6": {"type": "integer", "minimum": 19, "maximum": 128},
            **more,
        },
    }
