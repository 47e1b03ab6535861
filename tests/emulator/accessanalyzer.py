"""IAM Access Analyzer, which moto lacks: ListAnalyzers.

State of an account and region: ``analyzers`` of service ``ec2`` (a list of analyzer summaries).
"""

from __future__ import annotations

import json

from tests.emulator.kit import state
from tests.emulator.wire import Answer, Asked, error_answer

SERVICE = "accessanalyzer"


def answer(asked: Asked) -> Answer:
    """Answers a request of this service."""
    if asked.operation != "ListAnalyzers":
        return error_answer(asked, "EmulatorError", f"no {asked.operation} here", 501)
    rows = state("ec2", asked.account, asked.region, "analyzers", list)
    body = json.dumps({"analyzers": rows}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return Answer(200, headers, body)
