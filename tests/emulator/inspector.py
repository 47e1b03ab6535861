"""Amazon Inspector Classic, which moto lacks: DescribeFindings over findings that are seeded.

Findings are kept by account and region, in the shape of DescribeFindings.
"""

from __future__ import annotations

import json
from typing import Any

from moto.core.utils import get_service_model

from tests.emulator.clock import to_epoch
from tests.emulator.shapes import find_request_error
from tests.emulator.wire import Answer, Asked, error_answer

SERVICE = "inspector"
FINDINGS: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}


def forget() -> None:
    FINDINGS.clear()


def add(account: str, region: str, findings: list[dict[str, Any]]) -> None:
    """Adds or replaces findings, by ARN."""
    home = FINDINGS.setdefault((account, region), {})
    for finding in findings:
        times = {key: to_epoch(finding[key]) for key in ("createdAt", "updatedAt")}
        home[finding["arn"]] = {**finding, **times}


def answer(asked: Asked) -> Answer:
    if asked.operation != "DescribeFindings":
        message = f"the emulator does not implement inspector {asked.operation}"
        return error_answer(asked, "EmulatorError", message, 501)
    given = json.loads(asked.body)
    shape = get_service_model(SERVICE).operation_model("DescribeFindings").input_shape
    problem = find_request_error(shape, given)
    if problem:
        return error_answer(asked, "InvalidInputException", problem, 400)
    home = FINDINGS.get((asked.account, asked.region), {})
    arns = given["findingArns"]
    unknown = {"failureCode": "ITEM_DOES_NOT_EXIST", "retryable": False}
    body = {
        "findings": [home[arn] for arn in arns if arn in home],
        "failedItems": {arn: unknown for arn in arns if arn not in home},
    }
    headers = [("Content-Type", "application/x-amz-json-1.1")]
    return Answer(200, headers, json.dumps(body).encode())
