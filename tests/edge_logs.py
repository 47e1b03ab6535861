"""Access logs for tests: deterministic, with attackers planted in them, in every format.

A scene is a list of requests; ``cloudfront``, ``load_balancer``, ``waf`` and ``cloudfront_json``
write requests as AWS does. :func:`planted` makes a crowd and those that hide in it, and says whom
a policy with :data:`RULES` must find.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

START = datetime(2026, 8, 20, 13, 0, tzinfo=timezone.utc)
FIELDS = [
    "date",
    "time",
    "x-edge-location",
    "sc-bytes",
    "c-ip",
    "cs-method",
    "cs(Host)",
    "cs-uri-stem",
    "sc-status",
    "cs(Referer)",
    "cs(User-Agent)",
    "cs-uri-query",
    "cs(Cookie)",
    "x-edge-result-type",
    "x-edge-request-id",
    "x-host-header",
    "cs-protocol",
    "cs-bytes",
    "time-taken",
    "x-forwarded-for",
    "ssl-protocol",
    "ssl-cipher",
    "x-edge-response-result-type",
    "cs-protocol-version",
    "fle-status",
    "fle-encrypted-fields",
    "c-port",
    "time-to-first-byte",
    "x-edge-detailed-result-type",
    "sc-content-type",
    "sc-content-len",
    "sc-range-start",
    "sc-range-end",
]
RULES = [
    {"name": "flood", "metric": "requests", "threshold": 200, "window": 5},
    {
        "name": "errors",
        "metric": "errors",
        "statuses": [401, 403, 404],
        "threshold": 50,
        "window": 1,
    },
]
WIDEN = {"ipv4": 24, "min-hosts": 32}


@dataclass(frozen=True)
class Request:
    """One request of a client."""

    at: datetime
    address: str
    uri: str = "/"
    status: int = 200
    method: str = "GET"
    agent: str = "curl/8.7.1"
    forwarded: str = "-"

    @property
    def values(self) -> dict[str, str]:
        return {
            "date": f"{self.at:%Y-%m-%d}",
            "time": f"{self.at:%H:%M:%S}",
            "x-edge-location": "FRA56-P4",
            "sc-bytes": "512",
            "c-ip": self.address,
            "cs-method": self.method,
            "cs(Host)": "d111111abcdef8.cloudfront.net",
            "cs-uri-stem": self.uri,
            "sc-status": str(self.status),
            "cs(User-Agent)": self.agent.replace(" ", "%20"),
            "x-forwarded-for": self.forwarded.replace(" ", "%20"),
        }


def at(minute: int, second: int = 0) -> datetime:
    """A time in the scene."""
    return START + timedelta(minutes=minute, seconds=second)


def burst(address: str, first: int, per_minute: Sequence[int], **more: object) -> list[Request]:
    """Requests of one client: so many in each minute from the first one on."""
    return [
        Request(at(first + offset, number % 60), address, **more)  # type: ignore[arg-type]
        for offset, requests in enumerate(per_minute)
        for number in range(requests)
    ]


def w3c_line(request: Request, fields: Sequence[str] = FIELDS) -> str:
    values = request.values
    return "\t".join(values.get(field, "-") for field in fields)


def cloudfront(requests: Iterable[Request], fields: Sequence[str] = FIELDS) -> bytes:
    """A standard log of version 1."""
    head = ["#Version: 1.0", f"#Fields: {' '.join(fields)}"]
    lines = [*head, *(w3c_line(request, fields) for request in requests)]
    return zipped(lines)


def cloudfront_json(requests: Iterable[Request]) -> bytes:
    """A standard log of version 2, as JSON."""
    return zipped([json.dumps(request.values) for request in requests])


def load_balancer(requests: Iterable[Request]) -> bytes:
    """An access log of an Application Load Balancer."""
    return zipped(
        [
            f"https {request.at:%Y-%m-%dT%H:%M:%S.186641Z} app/shop/50dc6c495c0c9188 "
            f"{request.address}:46532 10.0.0.66:80 0.086 0.048 0.037 {request.status} 200 0 57 "
            f'"{request.method} https://shop.example.com:443{request.uri}?q=a%22b HTTP/1.1" '
            f'"{request.agent}" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 - "Root=1-58337281" "-" "-" 1 '
            f'{request.at:%Y-%m-%dT%H:%M:%S.000000Z} "forward" "-" "-" "-" "-" "-" "-"'
            for request in requests
        ]
    )


def waf_record(request: Request, source: str = "E2QWRUHEXAMPLE") -> dict[str, object]:
    headers = [{"name": "User-Agent", "value": request.agent}]
    if request.forwarded != "-":
        headers.append({"name": "X-Forwarded-For", "value": request.forwarded})
    return {
        "timestamp": int(request.at.timestamp() * 1000),
        "formatVersion": 1,
        "webaclId": "arn:aws:wafv2:us-east-1:111111111111:global/webacl/edge/1",
        "action": "BLOCK" if request.status == 403 else "ALLOW",
        "httpSourceId": source,
        "responseCodeSent": None if request.status == 403 else request.status,
        "httpRequest": {
            "clientIp": request.address,
            "country": "DE",
            "headers": headers,
            "uri": request.uri,
            "args": "",
            "httpVersion": "HTTP/2.0",
            "httpMethod": request.method,
        },
    }


def waf(requests: Iterable[Request], source: str = "E2QWRUHEXAMPLE") -> bytes:
    """A web ACL's log."""
    return zipped([json.dumps(waf_record(request, source)) for request in requests])


def zipped(lines: Iterable[str]) -> bytes:
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), 1, mtime=0)


def address_4(dice: random.Random) -> str:
    """A public IPv4 address, in no network of another actor."""
    return ".".join(str(dice.randint(*each)) for each in ((50, 90), (0, 255), (0, 255), (1, 254)))


def address_6(dice: random.Random, network: str = "") -> str:
    """An IPv6 address, in a /64 of its own unless one is given."""
    network = network or f"2a02:{dice.randint(1, 0xFFFF):x}:{dice.randint(1, 0xFFFF):x}:1"
    return network + "".join(f":{dice.randint(1, 0xFFFF):x}" for _ in range(4))


def planted(seed: int) -> tuple[list[Request], dict[str, set[str]]]:
    """A crowd with attackers in it, and who offends against which of :data:`RULES`.

    Beside the attackers there are those who nearly do: just under the threshold, health checks
    from half as many hosts of one network as would be widened to.
    """
    dice = random.Random(seed)  # noqa: S311
    minutes = 12
    requests: list[Request] = []
    for _ in range(150):
        address = address_6(dice) if dice.random() < 0.2 else address_4(dice)
        requests += burst(address, dice.randrange(minutes), [dice.randint(1, 8)])
    flooder, straddler, slow, scanner = (address_4(dice) for _ in range(4))
    near, polite = address_4(dice), address_4(dice)
    rotating = f"2a0d:5600:{dice.randint(1, 0xFFFF):x}:9f"
    requests += burst(flooder, dice.randint(0, 6), [90, 80, 70])
    requests += burst(straddler, 4, [100, 100])  # 13:04 and 13:05 ..
    requests += burst(slow, 4, [41, 41, 41, 41, 41])  # .. and 13:04 to 13:08: in two fixed buckets
    requests += burst(near, 2, [40, 40, 40, 40, 39])  # 199
    requests += burst(polite, 0, [30, 0, 0, 0, 30, 30, 30, 30, 30])  # 150 in any five minutes
    for minute in range(2, 6):
        requests += [Request(at(minute), address_6(dice, rotating)) for _ in range(55)]
    requests += burst(scanner, 5, [60], uri="/.env", status=404)
    requests += burst(polite, 10, [49], uri="/favicon.ico", status=404)
    for host in range(1, 41):
        requests += burst(f"45.61.184.{host}", 5, [2, 2, 2])
    for host in range(129, 145):
        requests += burst(f"54.183.255.{host}", 0, [5] * minutes, uri="/healthz")
    dice.shuffle(requests)
    found = {
        "flood": {f"{each}/32" for each in (flooder, straddler, slow)},
        "errors": {f"{scanner}/32"},
    }
    found["flood"] |= {f"{rotating}::/64", "45.61.184.0/24"}
    return requests, found


def moved(requests: Iterable[Request], to: datetime) -> list[Request]:
    """The same requests as if the scene had begun at another time."""
    return [replace(each, at=each.at - START + to) for each in requests]


def spread(
    requests: Sequence[Request], folder: Path, files: int, write: Callable[..., bytes] = cloudfront
) -> None:
    """Write requests to log files, in turn: each of the files has a part of every client's."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        name = f"E2QWRUHEXAMPLE.2026-08-20-13.{number:08x}.gz"
        (folder / name).write_bytes(write(requests[number::files]))
