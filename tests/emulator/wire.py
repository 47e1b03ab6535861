"""What a request asks, and how an error is written, in each of AWS's protocols."""

from __future__ import annotations

import io
import json
import re
import struct
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from moto.core.model import OperationModel
from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

from tests.emulator.kit import ServiceError

# Names in the credential scope of a signature that are not botocore's service names.
SIGNING_NAMES = {
    "access-analyzer": "accessanalyzer",
    "elasticfilesystem": "efs",
    "elasticloadbalancing": "elbv2",
    "email": "ses",
    "monitoring": "cloudwatch",
    "states": "stepfunctions",
    "tagging": "resourcegroupstaggingapi",
}
CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d+/([^/]+)/([^/]+)/")
FORM_ACTION = re.compile(rb"(?:^|&)Action=([A-Za-z0-9]+)")
QUERY_ACTION = re.compile(r"(?:^|&)Action=([A-Za-z0-9]+)")
XML_CODE = re.compile(rb"<Code>([^<]+)</Code>")
JSON_CODE = re.compile(rb'"(?:__type|code|Code)"\s*:\s*"(?:[^"#]*#)?([^"]+)"')
FORM = "application/x-www-form-urlencoded"
CBOR_PATH = re.compile(r"^/service/[^/]+/operation/(\w+)$")


@dataclass
class Asked:
    """One request: the operation, who asks, and the body that was sent."""

    environ: dict[str, Any]
    service: str
    operation: str
    region: str
    access_key: str
    body: bytes
    account: str = ""
    signed: bool = True
    params: dict[str, Any] = field(default_factory=dict)
    role: str = ""  # ARN of the role whose session the caller has
    needed: list[str] = field(default_factory=list)  # IAM actions that were looked up for it

    @property
    def protocol(self) -> str:
        """The protocol of this very request; some services speak several."""
        content_type = self.environ.get("CONTENT_TYPE", "")
        if CBOR_PATH.match(self.environ.get("PATH_INFO", "")):
            return "smithy-rpc-v2-cbor"
        declared = service_metadata(self.service)
        if content_type.startswith(FORM):
            return "ec2" if declared.get("protocol") == "ec2" else "query"
        if "HTTP_X_AMZ_TARGET" in self.environ:
            return "json"
        return str(declared.get("protocol", "rest-json"))


def service_metadata(service: str) -> dict[str, Any]:
    try:
        return dict(get_service_model(service).metadata)
    except Exception:  # noqa: BLE001  botocore raises several kinds for a service it does not know
        return {}


def read_body(environ: dict[str, Any]) -> bytes:
    """Reads the request's body and put it back for whoever reads next."""
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if length:
        body = stream.read(int(length))
    elif environ.get("wsgi.input_terminated"):
        body = stream.read()
        environ["CONTENT_LENGTH"] = str(len(body))
    else:
        body = b""
    environ["wsgi.input"] = io.BytesIO(body)
    return bytes(body)


def understand(environ: dict[str, Any]) -> Asked:
    """Says which operation a request asks for, without changing the request."""
    body = read_body(environ)
    found = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    if not found:
        found = CREDENTIAL.search(presigned(environ.get("QUERY_STRING", "")))
    access_key, region, signing = found.groups() if found else ("", "us-east-1", "s3")
    service = SIGNING_NAMES.get(signing, signing)
    asked = Asked(environ, service, "", region, access_key, body, signed=found is not None)
    asked.operation = operation_name(asked)
    return asked


def presigned(query: str) -> str:
    values = dict(parse_qsl(query))
    credential = values.get("X-Amz-Credential")
    return f"Credential={credential}" if credential else ""


def operation_name(asked: Asked) -> str:
    environ = asked.environ
    cbor = CBOR_PATH.match(environ.get("PATH_INFO", ""))
    if cbor:
        return cbor[1]
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return str(target.split(".")[-1])
    if environ.get("CONTENT_TYPE", "").startswith(FORM):
        action = FORM_ACTION.search(asked.body)
        if action:
            return action[1].decode()
    in_query = QUERY_ACTION.search(environ.get("QUERY_STRING", ""))
    if in_query:
        return in_query[1]
    try:
        matched, _ = get_service_router(asked.service).match(route_request(environ))
        return str(matched.name)
    except Exception:  # noqa: BLE001  a service that botocore or moto does not know
        return "Unknown"


def route_request(environ: dict[str, Any]) -> Request:
    """Builds a request for routing only: a copy whose body nobody can consume."""
    copy = {k: v for k, v in environ.items() if k != "wsgi.input"}
    copy["wsgi.input"] = io.BytesIO(b"")
    copy["CONTENT_LENGTH"] = "0"
    return Request(copy)


def parameters(asked: Asked) -> dict[str, Any]:
    """Decodes the parameters of a JSON or form body; path parameters are not included."""
    if asked.environ.get("CONTENT_TYPE", "").startswith(FORM):
        return dict(parse_qsl(asked.body.decode(errors="replace"), keep_blank_values=True))
    if asked.body[:1] == b"{":
        try:
            return dict(json.loads(asked.body))
        except ValueError:
            return {}
    return {}


@dataclass
class Answer:
    """A complete HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def send(self, start_response: Any) -> list[bytes]:
        start_response(f"{self.status} {'OK' if self.status < 400 else 'Error'}", self.headers)
        return [self.body]


def error_answer(asked: Asked, code: str, message: str, status: int | None = None) -> Answer:
    """Writes an error as the service that was called would."""
    protocol = asked.protocol
    if protocol == "smithy-rpc-v2-cbor":
        body = cbor_map({"__type": code, "message": message})
        headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
        return finish(status or 400, headers, body)
    try:
        model = get_service_model(asked.service)
        if asked.operation in model.operation_names:
            operation = model.operation_model(asked.operation)
        else:
            operation = OperationModel({}, model)
        serializer = get_serializer_class(asked.service, protocol)(operation_model=operation)
        written = serializer.serialize(ServiceError(code, message))
    except KeyError:
        written = {
            "status_code": 400,
            "headers": {"Content-Type": "application/json"},
            "body": json.dumps({"__type": code, "message": message}),
        }
    headers = {str(k): str(v) for k, v in written["headers"].items()}
    if protocol in ("json", "rest-json"):
        headers = {k: v for k, v in headers.items() if k.lower() != "x-amzn-errortype"}
        headers["x-amzn-ErrorType"] = code
    body_text = written["body"]
    body = body_text if isinstance(body_text, bytes) else body_text.encode()
    if asked.environ.get("REQUEST_METHOD") == "HEAD":
        body = b""
    return finish(status or int(written["status_code"]), headers, body)


def finish(status: int, headers: dict[str, str], body: bytes) -> Answer:
    headers.setdefault("x-amzn-RequestId", "emulator")
    headers["Content-Length"] = str(len(body))
    return Answer(status, list(headers.items()), body)


def cbor_map(values: dict[str, str]) -> bytes:
    """Encodes a small map of texts as CBOR (RFC 8949)."""

    def text(value: str) -> bytes:
        raw = value.encode()
        return b"\x79" + struct.pack(">H", len(raw)) + raw

    pairs = b"".join(text(key) + text(value) for key, value in values.items())
    return bytes([0xA0 | len(values)]) + pairs


def error_code(status: int, headers: list[tuple[str, str]], body: bytes) -> str:
    """Reads the error code out of an answer."""
    if status < 400:
        return ""
    for name, value in headers:
        if name.lower() == "x-amzn-errortype":
            return value.split(":")[0].split("#")[-1]
    found = XML_CODE.search(body) or JSON_CODE.search(body)
    return found[1].decode(errors="replace") if found else str(status)
