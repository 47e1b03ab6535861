"""Starts the server: the jars of ``pom.xml``, one node on 127.0.0.1, a small heap.

The index-management plug-in is not in Maven Central, so this server has no Index State Management.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

HERE = Path(__file__).parent
JARS = HERE.parents[1] / "build" / "opensearch"
MODULE = "transport-netty4"
ITS_JARS = ("netty-", f"{MODULE}-")
"""The rest of the jars is the server's own class path."""
START = 120.0
"""Seconds within which it must answer; it takes 5 on an idle machine."""
OPTIONS = (
    "-Xms256m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.security.manager=allow",
    "-Dlog4j2.disable.jmx=true",
    "-Dopensearch.distribution.type=tar",
    # As root it refuses to start; CI is root, in a container. Without this library it cannot tell.
    "-Djna.nosys=true",
    "-Djna.nounpack=true",
)


class OpenSearch:
    """A running server."""

    def __init__(self, endpoint: str):
        self.endpoint = endpoint

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON and return the JSON of the answer; raises HTTPError for an error."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self.endpoint}{path}", data, headers, method=method)  # noqa: S310
        with urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)


def fetch() -> Path:
    """Copy the jars out of Maven's repository, once for each version of pom.xml."""
    pom = HERE / "pom.xml"
    have = JARS / "pom.xml"
    if not have.exists() or have.read_bytes() != pom.read_bytes():
        shutil.rmtree(JARS, ignore_errors=True)
        copy = ("dependency:copy-dependencies", "-DincludeScope=runtime")
        subprocess.run(
            [_program("mvn"), "-B", "-q", "-f", pom, *copy, f"-DoutputDirectory={JARS}"], check=True
        )
        shutil.copy(pom, have)
    return JARS


@contextmanager
def running(folder: Path) -> Iterator[OpenSearch]:
    """Start a server with its files under a new folder, and end it."""
    home, port = folder / "home", _free_port()
    shutil.copytree(HERE / "home", home)
    for name in ("lib", "plugins", "logs"):
        (home / name).mkdir()
    for jar in fetch().glob("*.jar"):
        below = f"modules/{MODULE}" if jar.name.startswith(ITS_JARS) else "lib"
        shutil.copy(jar, home / below)  # the server may read nothing outside its home
    with (home / "config/opensearch.yml").open("a") as config:
        config.write(f"http.port: {port}\ntransport.port: {_free_port()}\n")
    places = (f"-Dopensearch.path.home={home}", f"-Dopensearch.path.conf={home / 'config'}")
    main = ("-cp", f"{home / 'lib'}/*", "org.opensearch.bootstrap.OpenSearch")
    log = folder / "opensearch.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [_program("java"), *OPTIONS, *places, *main], stdout=output, stderr=output
        )
    try:
        server = OpenSearch(f"http://127.0.0.1:{port}")
        _await(process, server, log)
        yield server
    finally:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], server: OpenSearch, log: Path) -> None:
    for _ in range(int(START / 0.5)):
        try:
            server.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=30s")
        except (URLError, ConnectionError):
            try:
                code = process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"OpenSearch ended with {code}: {log.read_text()[-3000:]}") from None
        return
    raise TimeoutError(f"OpenSearch did not start in {START:.0f} s: {log.read_text()[-3000:]}")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"no {name} on the PATH; make test-opensearch needs Java and Maven")
    return found


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
