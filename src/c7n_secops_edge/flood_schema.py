"""The schema of ``http-flood``, and what it cannot say: which options need another."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

NAME = {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,63}$"}
TEXTS = {
    "type": "array",
    "minItems": 1,
    "maxItems": 200,
    "uniqueItems": True,
    "items": {"type": "string", "minLength": 1, "maxLength": 500},
}
PATHS = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {"prefix": TEXTS, "suffix": TEXTS, "regex": TEXTS},
}
RULE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "metric", "threshold", "window"],
    "properties": {
        "name": NAME,
        "metric": {"enum": ["requests", "errors", "uri-scan"]},
        "threshold": {"type": "integer", "minimum": 2, "maximum": 100_000_000},
        "window": {"type": "integer", "minimum": 1, "maximum": 60},
        "statuses": {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "integer", "minimum": 0, "maximum": 599},
        },
        "uris": PATHS,
    },
}
TABLE = {
    "database": {"type": "string", "pattern": "^[A-Za-z0-9_]{1,128}$"},
    "table": {"type": "string", "pattern": "^[A-Za-z0-9_]{1,128}$"},
    "workgroup": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
}
"""Where Athena is asked."""
MOST_BYTES = {"type": "string", "pattern": "^[1-9][0-9]{0,5}(KiB|MiB|GiB)$"}
PROPERTIES: dict[str, Any] = {
    "source": {"enum": ["auto", "access-log", "waf-log"]},
    "logs": {
        "type": "object",
        "additionalProperties": False,
        "required": ["bucket"],
        "properties": {
            "bucket": {"type": "string", "pattern": "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"},
            "prefix": {"type": "string", "maxLength": 900},
        },
    },
    "lookback": {"type": "integer", "minimum": 1, "maximum": 1440},
    "rules": {"type": "array", "minItems": 1, "maxItems": 20, "items": RULE},
    "uri-ignore": PATHS,
    "group-by": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "ipv4": {"type": "integer", "minimum": 24, "maximum": 32},
            "ipv6": {"type": "integer", "minimum": 48, "maximum": 128},
        },
    },
    "widen": {
        "type": "object",
        "additionalProperties": False,
        "required": ["ipv4", "min-hosts"],
        "properties": {
            "ipv4": {"type": "integer", "minimum": 24, "maximum": 31},
            "min-hosts": {"type": "integer", "minimum": 2, "maximum": 256},
        },
    },
    "client-ip": {
        "type": "object",
        "additionalProperties": False,
        "required": ["field"],
        "properties": {
            "field": {"enum": ["c-ip", "x-forwarded-for"]},
            "trusted-proxies": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1000,
                "items": {"type": "string", "pattern": "^[0-9a-fA-F.:]{2,39}/[0-9]{1,3}$"},
            },
        },
    },
    "engine": {"enum": ["auto", "python", "duckdb", "athena"]},
    "athena": {
        "type": "object",
        "additionalProperties": False,
        "required": ["database", "table", "workgroup", "layout"],
        "properties": {**TABLE, "layout": {"enum": ["cloudfront", "alb", "waf"]}},
    },
    "max-bytes": MOST_BYTES,
    "samples": {"type": "integer", "minimum": 0, "maximum": 20},
}
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def size_of(text: str) -> int:
    """The number of bytes of ``2GiB``."""
    return int(text[:-3]) * UNITS[text[-3:]]


def problems(data: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a policy's options, and the fix."""
    names = [rule["name"] for rule in data["rules"]]
    for rule in data["rules"]:
        where = f"rules: {rule['name']}"
        if names.count(rule["name"]) > 1:
            yield f"{where} stands twice; each rule needs a name of its own"
        if ("statuses" in rule) != (rule["metric"] == "errors"):
            yield f"{where}: statuses belong to metric errors, and it needs them"
        if ("uris" in rule) != (rule["metric"] == "uri-scan"):
            yield f"{where}: uris belong to metric uri-scan, and it needs them"
    for paths in all_paths(data):
        for pattern in paths.get("regex", ()):
            if reason := unusable(re.compile, pattern):
                yield f"regex {pattern!r}: {reason}"
    client, engine = data.get("client-ip", {}), data.get("engine", "auto")
    forwarded = client.get("field") == "x-forwarded-for"
    if forwarded != ("trusted-proxies" in client):
        yield (
            "client-ip: field x-forwarded-for needs trusted-proxies, and field c-ip has none: "
            "only what a proxy of yours added to the header can be believed"
        )
    for network in client.get("trusted-proxies", ()):
        if reason := unusable(ipaddress.ip_network, network):
            yield f"client-ip: trusted-proxies: {reason}; give a network such as 192.0.2.0/24"
    if engine == "athena" and "athena" not in data:
        yield "engine athena needs athena: {database, table, workgroup, layout}"
    if engine in ("duckdb", "athena") or (engine == "auto" and "athena" in data):
        if forwarded:
            yield "client-ip x-forwarded-for is read by engine python only; set engine: python"
        if data.get("group-by", {}) not in ({}, {"ipv4": 32, "ipv6": 64}):
            yield "group-by other than ipv4 32 and ipv6 64 needs engine: python"
        if data.get("widen", {}).get("ipv4", 24) != 24:
            yield "widen to other than ipv4 24 needs engine: python"
        if any("regex" in paths for paths in all_paths(data)):
            yield "regex is matched by engine python only; use prefix and suffix, or engine: python"


def all_paths(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Every list of paths in the options."""
    found = [rule["uris"] for rule in data["rules"] if "uris" in rule]
    return [*found, data["uri-ignore"]] if "uri-ignore" in data else found


def unusable(make: Callable[[str], Any], text: str) -> str | None:
    """Why a text is none of what ``make`` makes, or None where it is."""
    try:
        make(text)
    except (re.error, ValueError) as error:
        return str(error)
    return None
