"""One notification a run, in the form that c7n-mailer reads."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from c7n.utils import dumps, get_partition
from c7n.version import version

MESSAGE_TYPE = "maidmsg/1.0"
"""What c7n-mailer knows Custodian's messages by."""

SHOWN = (
    "InstanceId",
    "InstanceType",
    "ImageId",
    "LaunchTime",
    "PrivateIpAddress",
    "VpcId",
    "SubnetId",
    "State",
    "Tags",
)
"""What of an instance a notification shows: nothing that could be a secret."""


def message(
    manager: Any,
    options: Mapping[str, Any],
    instances: Sequence[dict[str, Any]],
    results: Mapping[str, dict[str, Any]],
    event: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The message; each instance has its result under ``c7n-secops:result``."""
    config = manager.config
    return {
        "event": event,
        "account_id": config.account_id,
        "account": config.account_id,
        "partition": get_partition(config.region),
        "region": config.region,
        "version": version,
        "execution_id": manager.ctx.execution_id,
        "execution_start": manager.ctx.start_time,
        "policy": manager.data,
        "action": {
            "type": "notify",
            "to": options.get("to", []),
            "template": options.get("template", "default"),
            "subject": options.get("subject", f"{manager.data['name']}: {summary(results)}"),
            "transport": {"type": "sns", "topic": options["topic"]},
        },
        "resources": [
            {
                **{key: row[key] for key in SHOWN if key in row},
                "c7n-secops:result": results[row["InstanceId"]],
            }
            for row in instances
        ],
    }


def summary(results: Mapping[str, dict[str, Any]]) -> str:
    """The results in a few words, for a subject."""
    outcomes = sorted(row["outcome"] for row in results.values())
    counts = {outcome: outcomes.count(outcome) for outcome in dict.fromkeys(outcomes)}
    return ", ".join(f"{number} {outcome}" for outcome, number in counts.items())


def send(client: Any, topic: str, content: dict[str, Any]) -> None:
    """Publish it, packed as Custodian's own notify action does; raises what botocore raises."""
    packed = base64.b64encode(zlib.compress(dumps(content).encode())).decode()
    client.publish(
        TopicArn=topic,
        Message=packed,
        MessageAttributes={"mtype": {"DataType": "String", "StringValue": MESSAGE_TYPE}},
    )
