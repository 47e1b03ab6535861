"""A server that answers from memory what the emulator answered once, after a fixed delay.

The emulator's own work would hide the difference between two clients on the same cores. A request
is the same as an earlier one if its path, its body and the access key that signed it are.
"""

from __future__ import annotations

import http.client
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

KEY = re.compile(r"Credential=(\w+)/\d+/([\w-]+)/([\w-]+)/")
FORWARDED = {"authorization", "content-type", "x-amz-security-token", "x-amz-target", "x-amz-date"}


class Answer(NamedTuple):
    status: int
    kind: str
    body: bytes


class Handler(BaseHTTPRequestHandler):
    """Forwards a request the first time, and answers from memory afterwards."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    behind = ""
    delay = 0.0
    memory: dict[tuple[Any, ...], Answer] = {}
    lock = threading.Lock()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        signed = KEY.search(self.headers.get("Authorization", ""))
        target = self.headers.get("X-Amz-Target")
        key = self.command, self.path, target, body, signed and signed.groups()
        answer = self.memory.get(key)
        if answer is None:
            with self.lock:
                answer = self.memory.get(key) or self.forward(body)
                self.memory[key] = answer
        time.sleep(self.delay)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST  # noqa: N815  http.server looks for this name

    def forward(self, body: bytes) -> Answer:
        kept = {name: text for name, text in self.headers.items() if name.lower() in FORWARDED}
        place = urlsplit(self.behind)
        connection = http.client.HTTPConnection(place.netloc, timeout=60)
        connection.request(self.command, self.path, body, kept)
        given = connection.getresponse()
        return Answer(given.status, given.getheader("Content-Type", ""), given.read())

    def log_message(self, *_: Any) -> None:
        pass


def main(behind: str, delay_ms: str) -> None:
    """Serve on a free port, and print the address."""
    Handler.behind, Handler.delay = behind, float(delay_ms) / 1000
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
