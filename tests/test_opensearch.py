"""The sink ``opensearch`` over HTTP, against a server that answers as it is told."""

from __future__ import annotations

import json
import re
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

import c7n_secops_findings
from c7n_secops_findings.record import FIELDS
from c7n_secops_findings.sinks.opensearch import PAUSES, Cluster, OpenSearchSink, index_of
from c7n_secops_tools import cli
from c7n_secops_tools.opensearch.dashboards import PANELS, saved_objects
from tests.finding_fleet import finding, findings

DEPLOY = Path(__file__).parents[1] / "deploy"
INDEX = Path(c7n_secops_findings.__file__).parent / "index"
TEMPLATE, RETENTION = "/_index_template/secops-findings", "/_plugins/_ism/policies/secops-findings"
CONFLICT = {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "old"}}
BUSY = {"status": 429, "error": {"type": "opensearch_rejected_execution_exception", "reason": "."}}
BAD = {"status": 400, "error": {"type": "mapper_parsing_exception", "reason": "no date"}}
STORED = {"status": 201}

Reply = tuple[int, Any]


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def ids(self) -> list[str]:
        """The ids of the documents of a bulk request."""
        return [json.loads(line)["index"]["_id"] for line in self.body.splitlines()[::2]]


@dataclass
class Server:
    """Records requests; ``bulk`` decides each document, ``replies`` answers whole paths."""

    requests: list[Request] = field(default_factory=list)
    replies: dict[tuple[str, str], list[Reply]] = field(default_factory=dict)
    bulk: Callable[[str], dict[str, Any]] = lambda _: STORED
    port: int = 0

    def answer(self, request: Request) -> Reply:
        self.requests.append(request)
        told = self.replies.get((request.method, request.path))
        if told:
            return told.pop(0)
        if request.path == "/_bulk":
            return 200, {"items": [{"index": self.bulk(name)} for name in request.ids]}
        return (404, {"error": "none"}) if request.method == "GET" else (200, {})

    def sent(self, method: str, path: str) -> list[Request]:
        return [each for each in self.requests if (each.method, each.path) == (method, path)]


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, dict(self.headers), body)
            status, data = server.answer(request)
            content = data if isinstance(data, bytes) else json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = handle_one  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    if context:
        http.socket = context.wrap_socket(http.socket, server_side=True)
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


@pytest.fixture
def waits() -> list[float]:
    return []


def cluster(endpoint: str, waits: list[float]) -> Cluster:
    session = boto3.Session("AKIAEXAMPLE", "secret", "token", region_name="eu-west-1")
    return Cluster(endpoint, session, "eu-west-1", waits.append)


@pytest.fixture
def sink(server: Server, waits: list[float]) -> OpenSearchSink:
    return OpenSearchSink(cluster(f"http://127.0.0.1:{server.port}/", waits))


def test_each_finding_is_one_document_whose_version_is_the_findings(
    sink: OpenSearchSink, server: Server
) -> None:
    first, second = findings(2)
    assert sink.write([first, second]) == []
    (request,) = server.sent("POST", "/_bulk")
    lines = [json.loads(line) for line in request.body.splitlines()]
    assert lines[0] == {
        "index": {
            "_index": index_of(first),
            "_id": first.id,
            "version": first.version,
            "version_type": "external",
        }
    }
    assert lines[1] == json.loads(first.to_json())
    assert len(lines) == 4


def test_a_finding_stays_in_the_index_of_the_year_it_was_first_seen() -> None:
    found = finding(first_observed_at="2024-12-31T23:59:59.000Z")
    assert index_of(found) == "secops-findings-2024"
    assert index_of(finding(first_observed_at=None)) == "secops-findings-undated"


def test_requests_are_signed_for_the_service_and_region(
    sink: OpenSearchSink, server: Server
) -> None:
    sink.write([finding()])
    for request in server.requests:
        signature = request.headers["Authorization"]
        assert "/eu-west-1/es/aws4_request" in signature
        assert signature.startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/")
        assert request.headers["X-Amz-Security-Token"] == "token"


def test_template_and_retention_are_installed_once_and_before_the_first_document(
    sink: OpenSearchSink, server: Server
) -> None:
    sink.write([finding(1)])
    sink.write([finding(2)])
    assert [(each.method, each.path) for each in server.requests] == [
        ("GET", TEMPLATE),
        ("PUT", TEMPLATE),
        ("GET", RETENTION),
        ("PUT", RETENTION),
        ("POST", "/_bulk"),
        ("POST", "/_bulk"),
    ]


@pytest.mark.parametrize(("version", "puts"), [(0, 1), (1, 0), (2, 0)])
def test_a_template_is_replaced_only_by_a_newer_one(
    sink: OpenSearchSink, server: Server, version: int, puts: int
) -> None:
    there = {"index_templates": [{"index_template": {"version": version}}]}
    server.replies["GET", TEMPLATE] = [(200, there)]
    server.replies["GET", RETENTION] = [(200, {})]
    assert sink.write([finding()]) == []
    assert len(server.sent("PUT", TEMPLATE)) == puts
    assert server.sent("PUT", RETENTION) == [], "an operator's own policy is left alone"


def test_another_writer_may_install_the_retention_policy_first(
    sink: OpenSearchSink, server: Server
) -> None:
    server.replies["PUT", RETENTION] = [(409, {"error": {"type": "version_conflict"}})]
    assert sink.write([finding()]) == []


def test_a_server_without_index_state_management_is_said_and_used(
    sink: OpenSearchSink, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.replies["GET", RETENTION] = [(400, {"error": "no handler found for uri [x]"})]
    assert sink.write([finding()]) == []
    assert "no Index State Management" in caplog.text


def test_every_field_of_a_record_is_mapped(sink: OpenSearchSink, server: Server) -> None:
    sink.write([finding()])
    (request,) = server.sent("PUT", TEMPLATE)
    mappings = json.loads(request.body)["template"]["mappings"]
    assert mappings["dynamic"] is False
    assert set(mappings["properties"]) == set(FIELDS)
    assert mappings["properties"]["raw"] == {"type": "object", "enabled": False}


def test_a_document_that_is_there_in_a_newer_version_is_stored(
    sink: OpenSearchSink, server: Server
) -> None:
    server.bulk = lambda _: CONFLICT
    assert sink.write(list(findings(3))) == []
    assert len(server.sent("POST", "/_bulk")) == 1


def test_only_what_the_server_was_too_busy_for_is_sent_again(
    sink: OpenSearchSink, server: Server, waits: list[float]
) -> None:
    first, second, third = findings(3)
    answers = {first.id: [STORED], second.id: [BUSY, BUSY, STORED], third.id: [BAD]}
    server.bulk = lambda name: answers[name].pop(0)
    (refusal,) = sink.write([first, second, third])
    assert refusal == (third.id, "mapper_parsing_exception", "no date")
    assert [each.ids for each in server.sent("POST", "/_bulk")] == [
        [first.id, second.id, third.id],
        [second.id],
        [second.id],
    ]
    assert waits == list(PAUSES[:2])


def test_what_stays_too_much_for_the_server_is_refused(
    sink: OpenSearchSink, server: Server, waits: list[float]
) -> None:
    first, second = findings(2)
    server.bulk = lambda name: BUSY if name == first.id else STORED
    (refusal,) = sink.write([first, second])
    assert (refusal.id, refusal.code) == (first.id, "opensearch_rejected_execution_exception")
    assert waits == list(PAUSES)


def test_a_request_that_the_server_was_too_busy_for_is_sent_again(
    sink: OpenSearchSink, server: Server, waits: list[float]
) -> None:
    server.replies["POST", "/_bulk"] = [(503, b"busy"), (429, b"busy")]
    assert sink.write([finding()]) == []
    assert waits == list(PAUSES[:2])


def test_a_request_that_is_too_large_for_the_server_is_halved(
    sink: OpenSearchSink, server: Server
) -> None:
    given = list(findings(4))
    server.replies["POST", "/_bulk"] = [(413, b"too large")]
    server.bulk = lambda name: BAD if name == given[3].id else STORED
    assert [refusal.id for refusal in sink.write(given)] == [given[3].id]
    assert [len(each.ids) for each in server.sent("POST", "/_bulk")] == [4, 2, 2]


def test_one_record_too_large_for_the_server_is_refused(
    sink: OpenSearchSink, server: Server
) -> None:
    server.replies["POST", "/_bulk"] = [(413, b"too large")]
    (refusal,) = sink.write([finding()])
    assert refusal.code == "Status413"


def test_no_request_is_larger_than_the_limit(server: Server, waits: list[float]) -> None:
    sink = OpenSearchSink(cluster(f"http://127.0.0.1:{server.port}", waits), largest=5000)
    given = list(findings(20))
    assert sink.write(given) == []
    requests = server.sent("POST", "/_bulk")
    assert len(requests) > 1
    assert max(len(each.body) for each in requests) <= 5000
    assert [name for each in requests for name in each.ids] == [each.id for each in given]


def test_a_record_too_large_goes_without_its_raw_finding_or_is_refused(
    server: Server, waits: list[float]
) -> None:
    sink = OpenSearchSink(cluster(f"http://127.0.0.1:{server.port}", waits), largest=5000)
    raw, whole = finding(0, raw={"x": "y" * 5000}), finding(1, description="y" * 5000)
    (refusal,) = sink.write([raw, whole])
    assert (refusal.id, refusal.code) == (whole.id, "TooLarge")
    (request,) = server.sent("POST", "/_bulk")
    assert json.loads(request.body.splitlines()[1])["raw"] == {}


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ((403, {"Message": "User: x is not authorized to perform: es:ESHttpPost"}), "AccessDenied"),
        ((400, {"error": {"type": "illegal_argument_exception"}}), "illegal_argument_exception"),
        ((200, b"<html>a proxy</html>"), "InvalidAnswer"),
        ((200, {"items": []}), "InvalidAnswer"),
    ],
)
def test_an_answer_that_is_none_refuses_its_records_and_no_others(
    server: Server, waits: list[float], reply: Reply, code: str
) -> None:
    sink = OpenSearchSink(cluster(f"http://127.0.0.1:{server.port}", waits), largest=5000)
    server.replies["POST", "/_bulk"] = [reply]
    given = list(findings(20))
    refusals = sink.write(given)
    assert [refusal.id for refusal in refusals] == server.sent("POST", "/_bulk")[0].ids
    assert {refusal.code for refusal in refusals} == {code}


@pytest.mark.parametrize("path", [TEMPLATE, RETENTION])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_without_template_or_retention_nothing_is_written(
    sink: OpenSearchSink, server: Server, method: str, path: str
) -> None:
    server.replies[method, path] = [(403, {"Message": "not authorized"})]
    given = list(findings(2))
    assert [refusal.id for refusal in sink.write(given)] == [each.id for each in given]
    assert server.sent("POST", "/_bulk") == []
    assert sink.write(given) == [], "it is tried again"


def test_a_server_that_does_not_answer_refuses_every_record(waits: list[float]) -> None:
    with serving() as server:
        pass
    sink = OpenSearchSink(cluster(f"http://127.0.0.1:{server.port}", waits))
    (refusal,) = sink.write([finding()])
    assert refusal.code == "EndpointConnectionError"
    assert waits == list(PAUSES)


@pytest.mark.parametrize("endpoint", ["http://search.example.com", "search.example.com", "ftp://x"])
def test_an_endpoint_without_tls_is_invalid(endpoint: str) -> None:
    with pytest.raises(ValueError, match="must begin with https://"):
        cluster(endpoint, [])


def authority(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS by a certificate that no one trusts, and that certificate."""
    from datetime import datetime, timedelta, timezone
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "opensearch")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, file


def test_a_certificate_that_is_not_trusted_gets_no_record(
    tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, certificate = authority(tmp_path)
    with serving(context) as server:
        endpoint = f"https://127.0.0.1:{server.port}"
        (refusal,) = OpenSearchSink(cluster(endpoint, waits)).write([finding()])
        assert refusal.code == "SSLError"
        assert server.requests == []
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        assert OpenSearchSink(cluster(endpoint, waits)).write([finding()]) == []


# the dashboards


def test_every_reference_of_a_saved_object_is_to_one_that_is_saved() -> None:
    saved = list(saved_objects())
    known = {(each["type"], each["id"]) for each in saved}
    assert len(known) == len(saved) == 6
    for each in saved:
        assert {(to["type"], to["id"]) for to in each["references"]} <= known
        names = {to["name"] for to in each["references"]}
        assert names == set(re.findall(r'RefName\\*": \\*"([^"\\]+)', json.dumps(each)))


def test_every_field_of_a_panel_can_be_aggregated() -> None:
    mapping = json.loads((INDEX / "template.json").read_text())["template"]["mappings"]
    for panel in PANELS:
        measured = {each for _, each in panel.measures if each}
        for used in {*panel.filters, *measured, *dict(panel.levels)}:
            name, _, inner = used.partition(".")
            found = mapping["properties"][name]
            assert (found["fields"][inner] if inner else found)["type"] != "text", used


def test_the_shipped_dashboards_are_those_that_the_command_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["c7n-secops", "dashboards"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 0
    assert capsys.readouterr().out == (DEPLOY / "opensearch-dashboards.ndjson").read_text()
