"""The sinks that a policy or the ingesting function may name, and what each needs.

:data:`SCHEMA` is the JSON schema of a list of them, :func:`permissions` the IAM actions that a list
takes, :func:`make` the sinks themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from c7n.utils import local_session

from c7n_secops_findings.access import Access
from c7n_secops_findings.sinks import Sink
from c7n_secops_findings.sinks.firehose import FirehoseSink
from c7n_secops_findings.sinks.local import LocalSink
from c7n_secops_findings.sinks.mailer import MailerSink
from c7n_secops_findings.sinks.opensearch import Cluster, OpenSearchSink
from c7n_secops_findings.sinks.s3 import FORMATS, S3Sink
from c7n_secops_findings.sinks.securityhub import SecurityHubSink
from c7n_secops_findings.store import FOLDER

TEXT = {"type": "string", "minLength": 1, "maxLength": 1000}
BUCKET = {"type": "string", "pattern": "^[A-Za-z0-9{}_.-]{3,128}$"}
STREAM = {"type": "string", "pattern": "^[A-Za-z0-9{}_.-]{1,64}$"}
PREFIX = {"type": "string", "pattern": "^[A-Za-z0-9{}_./=-]{1,200}$"}
PEOPLE = {"type": "array", "minItems": 1, "maxItems": 100, "items": TEXT}
MAIL = {"to": PEOPLE, "subject": TEXT, "template": TEXT}


UNEXPANDED = re.compile(r"\{[a-z_]+\}")
"""A variable of the policy that has no value."""


class Place(NamedTuple):
    """Where the sinks are made: ``folder`` is the run's output, None where it has none.

    ``message`` is what c7n-mailer is told beside the records.
    """

    access: Access
    folder: Path | None
    message: Mapping[str, Any]


def _sink(name: str, required: Iterable[str] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["type", *required],
        "properties": {"type": {"enum": [name]}, **properties},
    }


SCHEMA = {
    "type": "array",
    "minItems": 1,
    "maxItems": 10,
    "items": {
        "oneOf": [
            _sink("local"),
            _sink(
                "s3",
                ["bucket"],
                bucket=BUCKET,
                prefix=PREFIX,
                formats={
                    "type": "array",
                    "minItems": 1,
                    "uniqueItems": True,
                    "items": {"enum": list(FORMATS)},
                },
                **{"kms-key": TEXT},
            ),
            _sink("opensearch", ["endpoint"], endpoint=TEXT),
            _sink("securityhub"),
            _sink("firehose", ["stream"], stream=STREAM),
            _sink("sqs", ["queue", "to"], queue=TEXT, **MAIL),
            _sink("sns", ["topic", "to"], topic=TEXT, **MAIL),
        ]
    },
}
PERMISSIONS = {
    "local": (),
    "s3": ("s3:PutObject", "kms:GenerateDataKey"),
    "opensearch": ("es:ESHttpGet", "es:ESHttpPost", "es:ESHttpPut"),
    "securityhub": ("securityhub:BatchImportFindings",),
    "firehose": ("firehose:PutRecordBatch",),
    "sqs": ("sqs:SendMessage",),
    "sns": ("sns:Publish",),
}


def unexpanded(sinks: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The options that still hold a variable, with it, as an error names them."""
    for options in sinks:
        for key, value in options.items():
            if key not in MAIL and isinstance(value, str) and UNEXPANDED.search(value):
                yield f"{options['type']}.{key} {value}"


def permissions(sinks: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The IAM actions that these sinks take."""
    named = (action for each in sinks for action in PERMISSIONS[each["type"]])
    return tuple(dict.fromkeys(named))


def make(sinks: Iterable[Mapping[str, Any]], place: Place) -> dict[str, Sink]:
    """The sinks by what results call them: their type, numbered where it comes again."""
    made: dict[str, Sink] = {}
    for options in sinks:
        name = options["type"]
        same = sum(known.partition("-")[0] == name for known in made)
        made[f"{name}-{same + 1}" if same else name] = _make(options, place)
    return made


def _make(options: Mapping[str, Any], place: Place) -> Sink:
    kind, access = options["type"], place.access
    if kind == "local":
        if place.folder is None:
            raise RuntimeError("the sink local needs an output directory")
        return LocalSink(place.folder / FOLDER)
    if kind == "s3":
        return S3Sink(
            access.client("s3"),
            options["bucket"],
            prefix=options.get("prefix", ""),
            key=options.get("kms-key"),
            formats=options.get("formats", ["record"]),
        )
    if kind == "opensearch":
        session = local_session(access.element.manager.session_factory)
        return OpenSearchSink(Cluster(options["endpoint"], session, access.region))
    if kind == "securityhub":
        return SecurityHubSink(access)
    if kind == "firehose":
        return FirehoseSink(access.client("firehose"), options["stream"])
    mail = {"type": "notify", **{key: options[key] for key in MAIL if key in options}}
    message = {**place.message, "action": mail}
    if kind == "sqs":
        region = options["queue"].partition("://sqs.")[2].partition(".")[0] or None
        return MailerSink.to_queue(access.client("sqs", region=region), options["queue"], message)
    region = options["topic"].split(":")[3]
    return MailerSink.to_topic(access.client("sns", region=region), options["topic"], message)
