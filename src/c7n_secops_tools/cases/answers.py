"""What stands for AWS in a case: it answers calls, and remembers those that change something."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from threading import Lock
from typing import Any, NamedTuple

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.response import StreamingBody
from dateutil.parser import isoparse

Data = dict[str, Any]

READS = (
    "AssumeRole",
    "BatchGet",
    "Check",
    "Decode",
    "Describe",
    "Filter",
    "Get",
    "Head",
    "List",
    "Lookup",
    "Query",
    "Scan",
    "Search",
    "Select",
    "Simulate",
    "Validate",
)
"""How the names of operations that only read begin; whatever else there is counts as a change."""
READS_TOO = frozenset({"GenerateCredentialReport"})
"""Operations of another name that change nothing: this one makes what a read then gives."""
REFUSED = 400
LONGEST = 600


class Call(NamedTuple):
    """A call as the policy made it."""

    name: str
    params: Data
    region: str

    @property
    def changes(self) -> bool:
        """Whether it changes something in AWS."""
        operation = self.name.partition(":")[2]
        return not operation.startswith(READS) and operation not in READS_TOO

    def __str__(self) -> str:
        text = json.dumps(plain(self.params), sort_keys=True, default=str)
        return f"{self.name} {text if len(text) <= LONGEST else text[:LONGEST] + '…'}"


class UnansweredError(Exception):
    """The policy made a call that the case has no answer for."""


class Answers:
    """The answers of one case, the first that fits a call first, and what was called."""

    def __init__(self, answers: Sequence[Data], expected: Sequence[Data] = ()):
        self.calls: list[Call] = []
        self.unanswered: list[str] = []
        self._answers = [*answers, *({"answer": {}, **call} for call in expected)]
        self._left = [answer.get("times") for answer in answers] + [None] * len(expected)
        self._lock = Lock()

    @property
    def changes(self) -> list[Call]:
        """The calls that change something, in order."""
        return [call for call in self.calls if call.changes]

    def answer(self, call: Call, model: Any) -> tuple[AWSResponse, Data]:
        """What botocore returns to the client; UnansweredError where nothing fits."""
        with self._lock:
            self.calls.append(call)
            found = self._find(call)
            if found is None:
                near = sum(answer["call"] == call.name for answer in self._answers)
                but = f" ({near} there are for other params or regions, or used up)" if near else ""
                self.unanswered.append(f"no answer{but} for the call {call}")
                raise UnansweredError(self.unanswered[-1])
        if "error" in found:
            return _error(found["error"])
        parsed = as_parsed(found["answer"], model.output_shape)
        parsed["ResponseMetadata"] = {"HTTPStatusCode": 200, "RequestId": "case", "HTTPHeaders": {}}
        return AWSResponse("", 200, HTTPHeaders(), None), parsed

    def _find(self, call: Call) -> Data | None:
        for number, answer in enumerate(self._answers):
            left = self._left[number]
            if left != 0 and fits(answer, call):
                if left is not None:
                    self._left[number] = left - 1
                return answer
        return None


def fits(wanted: Data, call: Call) -> bool:
    """Whether a call is the one that an answer, or an expectation, describes."""
    return (
        wanted["call"] == call.name
        and wanted.get("region", call.region) == call.region
        and part_of(wanted.get("params", {}), call.params)
    )


def part_of(part: Any, whole: Any) -> bool:
    """Whether all that ``part`` says is in ``whole``: lists have the same length, in any order.

    A mapping fits a text too that is this mapping as JSON, such as a policy document.
    """
    part, whole = plain(part), plain(whole)
    if isinstance(part, dict):
        if isinstance(whole, str):
            whole = _json(whole)
        return isinstance(whole, dict) and all(
            key in whole and part_of(value, whole[key]) for key, value in part.items()
        )
    if isinstance(part, list):
        return (
            isinstance(whole, list)
            and len(part) == len(whole)
            and len(paired(part, whole, part_of)) == len(part)
        )
    return (type(part) is type(whole) and part == whole) or _same_number(part, whole)


def paired(wanted: Sequence[Any], found: Sequence[Any], fit: Any) -> dict[int, int]:
    """As many of ``wanted`` as can be, each with one of ``found`` that fits: their numbers."""
    of: dict[int, int] = {}

    def place(one: int, tried: set[int]) -> bool:
        for other, item in enumerate(found):
            if other not in tried and fit(wanted[one], item):
                tried.add(other)
                if other not in of or place(of[other], tried):
                    of[other] = one
                    return True
        return False

    for number, _ in enumerate(wanted):
        place(number, set())
    return {one: other for other, one in of.items()}


def plain(value: Any) -> Any:
    """The value as JSON has it: times as Custodian writes them, bytes as text, tuples as lists."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode(errors="replace")
    return value


def as_parsed(value: Any, shape: Any) -> Any:
    """An answer of a case as botocore's parsers return it: times, bytes and streams made of it."""
    if shape is None or value is None:
        return {} if shape is None else value
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        stream = getattr(shape, "serialization", {}).get("payload")
        return {
            key: _stream(item)
            if key == stream and shape.members[key].type_name == "blob"
            else as_parsed(item, shape.members.get(key))
            if key in shape.members
            else item
            for key, item in value.items()
        }
    if kind == "list":
        return [as_parsed(item, shape.member) for item in value]
    if kind == "map":
        return {key: as_parsed(item, shape.value) for key, item in value.items()}
    if kind == "timestamp":
        return _time(value)
    if kind == "blob" and isinstance(value, str):
        return value.encode()
    return plain(value)


def _stream(value: Any) -> StreamingBody:
    content = value if isinstance(value, bytes) else str(value).encode()
    return StreamingBody(io.BytesIO(content), len(content))


def _time(value: Any) -> datetime:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, timezone.utc)
    moment = value if isinstance(value, datetime) else isoparse(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _error(error: Any) -> tuple[AWSResponse, Data]:
    said = error if isinstance(error, dict) else {"code": error}
    message = said.get("message", f"{said['code']} (by the case)")
    return AWSResponse("", REFUSED, HTTPHeaders(), None), {
        "Error": {"Code": said["code"], "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": REFUSED, "RequestId": "case", "HTTPHeaders": {}},
    }


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _same_number(one: Any, other: Any) -> bool:
    numbers = (int, float)
    truths = isinstance(one, bool) or isinstance(other, bool)
    return not truths and isinstance(one, numbers) and isinstance(other, numbers) and one == other
