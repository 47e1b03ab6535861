"""The sink ``opensearch``: one document a finding, in its newest version.

The document's id is the finding's and its version is external, so what comes twice, late or out of
order changes nothing. A finding stays in the index of the year in which it was first seen, where
its later versions replace it. The index template and the retention policy (Index State Management)
are installed on first use; a policy that is there already is the operator's and is left alone.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from c7n_secops.aws.calls import UNANSWERED, RefusedError, failure
from c7n_secops_findings.record import Finding
from c7n_secops_findings.sinks import Refusal, refused

ALIAS = "secops-findings"
"""Names all indices of findings, the template and the retention policy."""
LARGEST = 10_000_000
"""Bytes of one request, below the least limit of any Amazon OpenSearch Service instance."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try of what the server was too busy for."""
BUSY = frozenset({429, 502, 503, 504})
DENIED = frozenset({401, 403})
TOO_LARGE = 413
NOT_FOUND = 404
NEWER_IS_THERE = "version_conflict_engine_exception"
NO_SUCH_API = "no handler found"
LOOPBACK = ("127.0.0.1", "::1", "localhost")

log = logging.getLogger("c7n_secops.findings.opensearch")


class Answer(NamedTuple):
    """What the server said: the status, and the JSON of the body (None where it is none)."""

    status: int
    data: Any
    text: str

    @property
    def ok(self) -> bool:
        return self.status < 300

    @property
    def code(self) -> str:
        """The server's word for the error, or AWS's where it did not let us in."""
        error = self.data.get("error") if isinstance(self.data, dict) else None
        if self.status in DENIED:
            return "AccessDenied"
        return str(error["type"]) if isinstance(error, dict) else f"Status{self.status}"

    def refusal(self, operation: str) -> RefusedError:
        return RefusedError(operation, self.code, self.text[:500])


class Cluster:
    """Sends signed requests to an OpenSearch endpoint, over verified HTTPS.

    ``session`` is a boto3 session. Plain HTTP is for an address of this machine only.
    """

    def __init__(
        self,
        endpoint: str,
        session: Any,
        region: str,
        wait: Callable[[float], None] = time.sleep,
    ):
        parts = urlsplit(endpoint)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise ValueError(f"the OpenSearch endpoint must begin with https://, not {endpoint!r}")
        self.endpoint, self.session, self.region = endpoint.rstrip("/"), session, region
        self.wait = wait
        settings: dict[str, Any] = {
            "verify": os.environ.get("AWS_CA_BUNDLE") or True,
            "proxies": get_environ_proxies(endpoint),
            "socket_options": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        }
        self._http = URLLib3Session(**settings)

    def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Send a request, again while the server is busy or silent; every one is idempotent."""
        operation = f"{method} {path.partition('?')[0]}"
        for pause in (*PAUSES, None):
            try:
                answer = self._send(method, path, body)
            except UNANSWERED as error:
                if pause is None:
                    raise RefusedError(operation, *failure(error)) from error
            else:
                if answer.status not in BUSY or pause is None:
                    return answer
            self.wait(pause)
        raise AssertionError("the last pause is None")

    def _send(self, method: str, path: str, body: bytes) -> Answer:
        kind = "application/x-ndjson" if path.startswith("/_bulk") else "application/json"
        headers = {"Content-Type": kind} if body else {}
        request = AWSRequest(method, f"{self.endpoint}{path}", headers, body)
        credentials = self.session.get_credentials().get_frozen_credentials()
        SigV4Auth(credentials, "es", self.region).add_auth(request)
        answer = self._http.send(request.prepare())
        try:
            data = json.loads(answer.content)
        except ValueError:
            data = None
        return Answer(answer.status_code, data, answer.content.decode(errors="replace"))


class OpenSearchSink:
    """Keeps records in an OpenSearch cluster."""

    def __init__(self, cluster: Cluster, largest: int = LARGEST):
        self.cluster, self.largest = cluster, largest
        self._prepared = False

    def write(self, findings: Sequence[Finding]) -> list[Refusal]:
        try:
            self._prepare()
        except RefusedError as error:
            return refused(findings, error.code, str(error))
        refusals: list[Refusal] = []
        for batch in self._batches(findings, refusals):
            refusals += self._index(batch)
        return refusals

    def _prepare(self) -> None:
        if not self._prepared:
            self._install_template()
            self._install_retention()
            self._prepared = True

    def _install_template(self) -> None:
        template, path = _ours("template.json"), f"/_index_template/{ALIAS}"
        answer = self.cluster.ask("GET", path)
        if answer.status != NOT_FOUND and not answer.ok:
            raise answer.refusal(f"GET {path}")
        there = [each["index_template"] for each in answer.data.get("index_templates", ())]
        if any(each.get("version", 0) >= template["version"] for each in there):
            return
        answer = self.cluster.ask("PUT", path, json.dumps(template).encode())
        if not answer.ok:
            raise answer.refusal(f"PUT {path}")

    def _install_retention(self) -> None:
        path = f"/_plugins/_ism/policies/{ALIAS}"
        answer = self.cluster.ask("GET", path)
        if answer.status == NOT_FOUND:
            answer = self.cluster.ask("PUT", path, json.dumps(_ours("retention.json")).encode())
        if NO_SUCH_API in answer.text:
            log.warning(
                "%s has no Index State Management: indices of findings stay until they are deleted",
                self.cluster.endpoint,
            )
        elif not answer.ok and answer.status != 409:  # 409: another writer was first
            raise answer.refusal(f"PUT {path}")

    def _batches(
        self, findings: Sequence[Finding], refusals: list[Refusal]
    ) -> Iterator[dict[str, bytes]]:
        """Bulk actions by id, each batch within a request; what never fits is refused."""
        batch: dict[str, bytes] = {}
        size = 0
        for finding in findings:
            action = _action(finding)
            if len(action) > self.largest:
                action = _action(replace(finding, raw={}))
            if len(action) > self.largest:
                reason = f"the record has {len(action):,} bytes, a request {self.largest:,} at most"
                refusals.append(Refusal(finding.id, "TooLarge", reason))
                continue
            if batch and size + len(action) > self.largest:
                yield batch
                batch, size = {}, 0
            batch[finding.id] = action
            size += len(action)
        if batch:
            yield batch

    def _index(self, batch: dict[str, bytes]) -> list[Refusal]:
        """Write a batch, and again those of its records that the server was too busy for."""
        refusals: list[Refusal] = []
        for pause in (*PAUSES, None):
            try:
                answer = self.cluster.ask("POST", "/_bulk", b"".join(batch.values()))
                if answer.status == TOO_LARGE and len(batch) > 1:
                    return [*refusals, *self._index_halves(batch)]
                results = _results(answer, len(batch))
            except RefusedError as refusal:
                return [*refusals, *(Refusal(name, refusal.code, str(refusal)) for name in batch)]
            busy = {}
            for name, result in zip(batch, results, strict=True):
                error = result.get("error")
                if result["status"] in BUSY and pause is not None:
                    busy[name] = batch[name]
                elif error and error["type"] != NEWER_IS_THERE:
                    refusals.append(Refusal(name, error["type"], str(error.get("reason"))[:500]))
            if not busy:
                return refusals
            batch = busy
            self.cluster.wait(pause or 0)
        return refusals

    def _index_halves(self, batch: dict[str, bytes]) -> list[Refusal]:
        names = list(batch)
        middle = len(names) // 2
        halves = (names[:middle], names[middle:])
        return [
            refusal
            for half in halves
            for refusal in self._index({name: batch[name] for name in half})
        ]


def index_of(finding: Finding) -> str:
    """The index of a finding: by the year in which it was first seen, which does not change."""
    year = (finding.first_observed_at or "")[:4]
    return f"{ALIAS}-{year or 'undated'}"


def _results(answer: Answer, number: int) -> list[Any]:
    """What became of each record of a bulk request."""
    if not answer.ok:
        raise answer.refusal("POST /_bulk")
    items = answer.data.get("items") if isinstance(answer.data, dict) else None
    if not isinstance(items, list) or len(items) != number:
        text = f"{number} records sent, {len(items or ())} results came: {answer.text[:200]}"
        raise RefusedError("POST /_bulk", "InvalidAnswer", text)
    return [item["index"] for item in items]


def _action(finding: Finding) -> bytes:
    head = {
        "_index": index_of(finding),
        "_id": finding.id,
        "version": finding.version,
        "version_type": "external",
    }
    return f"{json.dumps({'index': head})}\n{finding.to_json()}\n".encode()


def _ours(name: str) -> Any:
    return json.loads((files("c7n_secops_findings") / "index" / name).read_text(encoding="utf-8"))
