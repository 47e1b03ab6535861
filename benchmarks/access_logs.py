"""``python -m benchmarks.access_logs FOLDER LINES``: CloudFront's logs, with attackers in them.

Half of the hour is in many small files, half in a few large ones. Beside flooders there are those
who split theirs over two fixed five-minute buckets, a rotating IPv6 /64, a botnet in one /24 and
scanners; and those who must not be found: legal but busy clients, health checks. The logs are the
same for the same seed; prints who is to be found.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import accumulate
from pathlib import Path

START = datetime(2026, 8, 20, 13, 0, tzinfo=timezone.utc)
MINUTES = 60
CROWD = 120_000
SHARDS = 20
LARGE_FILES = 4
FIELDS = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) "
    "cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header "
    "cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher "
    "x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port "
    "time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start "
    "sc-range-end"
)
HEADER = f"#Version: 1.0\n#Fields: {FIELDS}\n"
WEBKIT = "AppleWebKit/605.1.15%20(KHTML,%20like%20Gecko)"
AGENTS = (
    f"Mozilla/5.0%20(Windows%20NT%2010.0;%20Win64;%20x64)%20{WEBKIT}%20Chrome/126.0.0.0",
    f"Mozilla/5.0%20(iPhone;%20CPU%20iPhone%20OS%2017_5%20like%20Mac%20OS%20X)%20{WEBKIT}",
    "Mozilla/5.0%20(X11;%20Linux%20x86_64;%20rv:127.0)%20Gecko/20100101%20Firefox/127.0",
    "python-requests/2.32.3",
    "okhttp/4.12.0",
)
EDGES = ("FRA56-P4", "CDG52-P2", "IAD89-C1", "SFO53-P1", "NRT57-P2", "GRU3-P1", "DFW3")
PAGES = (
    *(f"/product/{number:05d}.html" for number in range(4000)),
    *(f"/img/p/{number:05d}.jpg" for number in range(6000)),
    *(f"/api/v1/items/{number}.json" for number in range(3000)),
    "/",
)
PROBES = ("/wp-login.php", "/.env", "/.git/config", "/xmlrpc.php", "/cgi-bin/luci", "/backup.zip")
FLOODED = ("/search", "/login", "/api/v1/cart.json")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass
class Scene:
    """Who sends how many requests in which minute, and who is to be found."""

    dice: random.Random
    plan: defaultdict[int, list[tuple[str, str, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    flooders: set[str] = field(default_factory=set)
    scanners: set[str] = field(default_factory=set)

    def burst(self, address: str, kind: str, first: int, per_minute: Iterable[int]) -> str:
        for minute, number in enumerate(per_minute, first):
            self.plan[minute].append((address, kind, number))
        return f"{address}/32" if ":" not in address else f"{address.rsplit(':', 4)[0]}::/64"

    def address(self) -> str:
        dice = self.dice
        if dice.random() < 0.15:
            return address_6(dice, "2a02" + "".join(f":{dice.randint(1, 65535):x}" for _ in "123"))
        parts = (dice.randint(11, 95), dice.randint(0, 255), dice.randint(0, 255))
        return ".".join(map(str, (*parts, dice.randint(1, 254))))

    def planned(self) -> int:
        return sum(number for rows in self.plan.values() for *_, number in rows)


def address_6(dice: random.Random, network: str) -> str:
    return network + "".join(f":{dice.randint(1, 65535):x}" for _ in "1234")


def scene(dice: random.Random) -> Scene:
    """Everyone but the crowd."""
    made = Scene(dice)
    randint = dice.randint
    for _ in range(40):
        rate, length = randint(600, 2500), randint(4, 7)
        first = randint(0, MINUTES - 8)
        made.flooders.add(made.burst(made.address(), "flood", first, [rate] * length))
    for _ in range(20):
        border = 5 * randint(1, MINUTES // 5 - 2)
        made.flooders.add(made.burst(made.address(), "flood", border - 2, [600] * 4))
        made.burst(made.address(), "flood", border, [370] * 5)
    network = "2a0d:5600:24:9f"
    for minute in range(12, 20):
        made.plan[minute] += [(address_6(dice, network), "flood", 1) for _ in range(600)]
    for host in range(1, 121):
        made.burst(f"145.61.184.{host}", "flood", 20, [60] * 6)
    made.flooders |= {f"{network}::/64", "145.61.184.0/24"}
    for _ in range(30):
        rate, first = randint(110, 220), randint(0, MINUTES - 6)
        made.scanners.add(made.burst(made.address(), "scan", first, [rate] * randint(2, 5)))
    for host in range(129, 145):
        made.burst(f"154.183.255.{host}", "health", 0, [60] * MINUTES)
    return made


def write(folder: Path, lines: int, seed: int = 7) -> Scene:
    """Write so many lines to files in a folder; returns who is to be found in them."""
    dice = random.Random(seed)  # noqa: S311
    made = scene(dice)
    crowd = [made.address() for _ in range(CROWD)]
    weights = list(accumulate(1 / (rank + 200) for rank in range(1, CROWD + 1)))
    each_minute = (lines - made.planned()) // MINUTES
    letters = "".join(dice.choices(LETTERS, k=1 << 20))
    large: list[list[str]] = [[] for _ in range(LARGE_FILES)]
    for minute in range(MINUTES):
        some = dice.choices(crowd, cum_weights=weights, k=each_minute)
        rows = [(dice.randint(0, 59), address, "crowd") for address in some]
        for address, kind, number in made.plan[minute]:
            rows += [(dice.randint(0, 59), address, kind) for _ in range(number)]
        rows.sort()
        small = minute < MINUTES // 2
        files = [[] for _ in range(SHARDS)] if small else large
        for second, address, kind in rows:
            at = START + timedelta(minutes=minute, seconds=second)
            dice.choice(files).append(line(dice, at, address, kind, letters))
        if small:
            for number, each in enumerate(files):
                store(folder / name(START + timedelta(minutes=minute), number), each)
    for number, each in enumerate(large):
        store(folder / name(START + timedelta(minutes=MINUTES // 2), 1 << 20 | number), each)
    return made


def name(at: datetime, number: int) -> str:
    return f"E2QWRUHEXAMPLE.{at:%Y-%m-%d-%H}.{at.minute:02d}{number:06x}.gz"


def store(path: Path, lines: list[str]) -> None:
    path.write_bytes(gzip.compress((HEADER + "".join(lines)).encode(), 6, mtime=0))


def line(dice: random.Random, at: datetime, address: str, kind: str, letters: str) -> str:
    """One request, of 33 fields."""
    if kind == "scan":
        uri, status = dice.choice(PROBES), dice.choice(("404", "404", "404", "403", "401"))
    elif kind == "flood":
        uri, status = dice.choice(FLOODED), dice.choice(("200",) * 9 + ("503",))
    elif kind == "health":
        uri, status = "/healthz", "200"
    else:
        uri, x = dice.choice(PAGES), dice.random()
        status = "200" if x < 0.9 else "304" if x < 0.96 else "404" if x < 0.985 else "301"
    result = "Error" if status[0] in "45" else "Hit" if dice.random() < 0.7 else "Miss"
    place, size, taken = dice.randrange((1 << 20) - 64), dice.randint(300, 90_000), dice.random()
    query = "-" if dice.random() < 0.7 else f"utm_source=mail%26id={dice.randint(1, 10**6)}"
    referer = "-" if dice.random() < 0.4 else f"https://www.example.com{dice.choice(PAGES)}"
    return (
        f"{at:%Y-%m-%d}\t{at:%H:%M:%S}\t{dice.choice(EDGES)}\t{size}\t{address}\tGET\t"
        f"d111111abcdef8.cloudfront.net\t{uri}\t{status}\t{referer}\t"
        f"{AGENTS[sum(map(ord, address)) % len(AGENTS)]}\t{query}\t-\t{result}\t"
        f"{letters[place : place + 54]}==\twww.example.com\thttps\t{dice.randint(40, 900)}\t"
        f"{taken:.3f}\t-\tTLSv1.3\tTLS_AES_128_GCM_SHA256\t{result}\tHTTP/2.0\t-\t-\t"
        f"{dice.randint(1024, 65535)}\t{taken * 0.9:.3f}\t{result}\ttext/html\t{size - 250}\t-\t-\n"
    )


if __name__ == "__main__":
    made = write(Path(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps({"flood": sorted(made.flooders), "scan": sorted(made.scanners)}))
