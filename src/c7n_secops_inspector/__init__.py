"""Amazon Inspector: what it calls our resources, and what it says of them.

Source of limits and enumerations: the inspector2 service model of botocore 1.43.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from c7n.utils import local_session

from c7n_secops.events import read_by_id, texts

SEVERITIES = ("INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL", "UNTRIAGED")
STATUSES = ("ACTIVE", "SUPPRESSED", "CLOSED")
FINDING_TYPES = ("NETWORK_REACHABILITY", "PACKAGE_VULNERABILITY", "CODE_VULNERABILITY")
SCAN_TYPES = ("NETWORK", "PACKAGE", "CODE")
FINDINGS_PAGE = 100
COVERAGE_PAGE = 200
VALUES_PER_KEY = 10


def yes_no(value: str | bool) -> str:
    """Inspector's YES or NO, also where YAML 1.1 has read an unquoted YES as true."""
    return {True: "YES", False: "NO"}[value] if isinstance(value, bool) else value


@dataclass(frozen=True)
class Scanned:
    """A kind of resource that Inspector scans.

    ``type`` is its name in findings and coverage, ``switch`` its key in an account's status,
    ``scans`` the scans that Inspector has for it, ``id_form`` the form of a valid id; ``id_of``
    gives the id under which Inspector knows a resource, and ``load`` reads resources back from AWS
    by such ids.
    """

    type: str
    switch: str
    scans: tuple[str, ...]
    id_form: re.Pattern[str]
    id_of: Callable[[dict[str, Any]], str]
    load: Callable[[Any, list[str]], list[dict[str, Any]]]


def _load_functions(manager: Any, ids: list[str]) -> list[dict[str, Any]]:
    return read_by_id(manager, [arn.removesuffix(":$LATEST") for arn in ids])


def _load_images(manager: Any, ids: list[str]) -> list[dict[str, Any]]:
    """Read images by ARN: Custodian cannot read ECR images by id."""
    client = local_session(manager.session_factory).client("ecr")
    images: list[dict[str, Any]] = []
    for arn in ids:
        repository, _, digest = arn.partition(":repository/")[2].rpartition("/")
        try:
            answer = client.describe_images(
                registryId=arn.split(":")[4],
                repositoryName=repository,
                imageIds=[{"imageDigest": digest}],
            )
        except (
            client.exceptions.ImageNotFoundException,
            client.exceptions.RepositoryNotFoundException,
        ):
            continue
        images.extend({**image, "imageArn": arn} for image in answer["imageDetails"])
    return images


SCANNED = {
    "ec2": Scanned(
        "AWS_EC2_INSTANCE",
        "ec2",
        ("NETWORK", "PACKAGE"),
        re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})"),
        lambda instance: instance["InstanceId"],
        read_by_id,
    ),
    "ecr-image": Scanned(
        "AWS_ECR_CONTAINER_IMAGE",
        "ecr",
        ("PACKAGE",),
        re.compile(
            r"arn:[a-z0-9-]+:ecr:[a-z0-9-]+:\d{12}:repository/[a-z0-9._/-]+/sha256:[0-9a-f]{64}"
        ),
        lambda image: image["imageArn"],
        _load_images,
    ),
    "lambda": Scanned(
        "AWS_LAMBDA_FUNCTION",
        "lambda",
        ("PACKAGE", "CODE"),
        re.compile(r"arn:[a-z0-9-]+:lambda:[a-z0-9-]+:\d{12}:function:[\w-]{1,140}(?::\$LATEST)?"),
        lambda function: f"{function['FunctionArn']}:$LATEST",
        _load_functions,
    ),
}
"""By Custodian's name of the resource, without its provider."""


def ids_in_event(event: dict[str, Any], kind: Scanned) -> list[str]:
    """The well-formed ids of one kind that an Inspector event names, each once.

    Finding events list typed resources; scan and coverage events only ids, at the top level.
    """
    detail = event.get("detail")
    listed = detail.get("resources") if isinstance(detail, dict) else None
    typed = [
        resource.get("id")
        for resource in (listed if isinstance(listed, list) else ())
        if isinstance(resource, dict) and resource.get("type") == kind.type
    ]
    named = texts(typed or event.get("resources"))
    return [name for name in named if kind.id_form.fullmatch(name)]
