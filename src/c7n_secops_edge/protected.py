"""Whom never to block: who is allowed, private ranges, ourselves, AWS's probes, search engines."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from c7n.resolver import ValuesFrom

from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES
from c7n_secops_edge.networks import MalformedError, Network, Ranges, parse, subtract

PRIVATE, OWN, PROBES, EDGE, BOTS = KINDS = (
    "private",
    "own-eips",
    "route53-healthchecks",
    "cloudfront",
    "verified-bots",
)
DEFAULT = (PRIVATE, OWN, PROBES, EDGE)

NOT_GLOBAL = tuple(
    parse(text)
    for text in (
        # RFC 6890 and the registries of special-purpose addresses that IANA keeps
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        # what is not 2000::/3 is not handed out to anybody's network
        *("::/3", "4000::/2", "8000::/1"),
        *("2001::/23", "2001:db8::/32", "3fff::/20"),
    )
)
"""Ranges that are nobody's on the internet."""

IP_RANGES = "https://ip-ranges.amazonaws.com/ip-ranges.json"
SERVICES = {PROBES: ("ROUTE53_HEALTHCHECKS",), EDGE: ("CLOUDFRONT",)}
"""What each is called in ip-ranges.json; every service whose name begins so is meant."""
MOST_BYTES = 16 * 1024 * 1024
ANSWER_WITHIN = 20.0

BOT_DOMAINS = (
    "applebot.apple.com",
    "baidu.com",
    "baidu.jp",
    "crawl.yahoo.net",
    "googlebot.com",
    "google.com",
    "search.msn.com",
    "yandex.com",
    "yandex.net",
    "yandex.ru",
)
"""Under which the operators of search engines publish their crawlers' names."""
AT_ONCE = 32

_fetched: dict[str, str] = {}


class UnknownError(Exception):
    """It is not known whom to protect, so nobody may be blocked."""


class Refusal(NamedTuple):
    """Why an address is not blocked; ``code`` is for results."""

    code: str
    reason: str


class Guard:
    """Everyone who is never blocked, with the reason."""

    def __init__(self, parts: Iterable[tuple[Refusal, Iterable[Network]]]):
        self._parts = [(refusal, Ranges(networks)) for refusal, networks in parts]

    def and_also(self, why: Refusal, networks: Iterable[Network]) -> Guard:
        """The same, and these networks too."""
        more = Guard([(why, networks)])
        more._parts = [*self._parts, *more._parts]
        return more

    def split(self, network: Network) -> tuple[list[Network], Refusal | None]:
        """What may be blocked of a network, and why not all of it."""
        left, refusal = [network], None
        for why, ranges in self._parts:
            rest = [piece for part in left for piece in subtract(part, ranges)]
            refusal = refusal or (why if rest != left else None)
            left = rest
        return left, refusal


# --- who is allowed -------------------------------------------------------------------------------


def allowed(element: Any, options: dict[str, Any]) -> list[Network]:
    """The networks of an ``allow`` or ``from`` block: ``addresses`` and what ``value_from`` reads.

    Raises UnknownError where it cannot be read, or where an entry is no address: of a list with a
    slip in it nobody knows whom it was to protect.
    """
    texts = [*options.get("addresses", ()), *(listed(element, options))]
    try:
        return [parse(text) for text in texts]
    except MalformedError as error:
        where = options.get("value_from", {}).get("url", "addresses")
        raise UnknownError(f"{where}: {error}; correct the entry, or set expr") from error


def listed(element: Any, options: dict[str, Any]) -> list[str]:
    """The texts that ``value_from`` reads, without empty ones; UnknownError where it fails."""
    source = options.get("value_from")
    if not source:
        return []
    if "{" in source["url"]:
        raise UnknownError(f"value_from.url {source['url']} was not expanded; set it in the vars")
    try:
        values = ValuesFrom(source, element.manager).get_values()
    except (*FAILURES, OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UnknownError(f"{source['url']} cannot be read: {error}") from error
    if not isinstance(values, (list, set, tuple)):
        raise UnknownError(f"{source['url']} does not give a list; set expr")
    return sorted(str(value).strip() for value in values if str(value).strip())


# --- AWS and ourselves ----------------------------------------------------------------------------


def own_addresses(element: Any) -> list[Network]:
    """The Elastic IP addresses and NAT gateways' addresses of the policy's account and region."""
    client = calls.client(element, "ec2")
    found = [
        address.get("PublicIp")
        for address in calls.read(client.describe_addresses).get("Addresses", ())
    ]
    for page in calls.pages(client, "describe_nat_gateways", "NatGateways", 1000):
        found += [
            address.get("PublicIp")
            for gateway in page
            for address in gateway.get("NatGatewayAddresses", ())
        ]
    return [parse(text) for text in dict.fromkeys(filter(None, found))]


def published(element: Any, url: str, kinds: Iterable[str]) -> dict[str, list[Network]]:
    """The ranges in AWS's ip-ranges.json of each kind; UnknownError where they cannot be had."""
    try:
        rows = json.loads(fetch(element, url))
        networks = [
            (row["service"], parse(row.get("ip_prefix") or row.get("ipv6_prefix")))
            for row in [*rows["prefixes"], *rows["ipv6_prefixes"]]
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UnknownError(f"{url} is not a list of AWS's ranges: {error}") from error
    found = {
        kind: [network for name, network in networks if name.startswith(SERVICES[kind])]
        for kind in kinds
    }
    for kind, ranges in found.items():
        if not ranges:
            raise UnknownError(f"{url} has no range of {' or '.join(SERVICES[kind])} ({kind})")
    return found


def fetch(element: Any, url: str) -> str:
    """The text behind an https or s3 URL, read once a process; UnknownError where it cannot be."""
    if url not in _fetched:
        read = _from_bucket if url.startswith("s3://") else _from_web
        try:
            data = read(element, url)
        except (*FAILURES, urllib.error.URLError, OSError) as error:
            raise UnknownError(f"{url} cannot be read: {error}") from error
        if len(data) > MOST_BYTES:
            raise UnknownError(f"{url} is larger than {MOST_BYTES:,} bytes")
        _fetched[url] = data.decode("utf-8", "replace")
    return _fetched[url]


def _from_bucket(element: Any, url: str) -> bytes:
    place = urlsplit(url)
    client = calls.client(element, "s3")
    answer = client.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))
    return bytes(answer["Body"].read(MOST_BYTES + 1))


def _from_web(_element: Any, url: str) -> bytes:
    if not url.startswith("https://"):
        raise UnknownError(f"{url} is neither https nor s3")
    context = ssl.create_default_context()
    with urllib.request.urlopen(url, timeout=ANSWER_WITHIN, context=context) as answer:  # noqa: S310
        if not answer.url.startswith("https://"):
            raise UnknownError(f"{url} leads to {answer.url}, which is not https")
        return bytes(answer.read(MOST_BYTES + 1))


# --- search engines -------------------------------------------------------------------------------


def name_of(address: str) -> str:
    """The name that the owner of an address gives it."""
    return socket.gethostbyaddr(address)[0]


def addresses_of(name: str) -> set[str]:
    """The addresses that the owner of a name gives it."""
    return {str(row[4][0]) for row in socket.getaddrinfo(name, None)}


def verified_bots(
    hosts: Iterable[Network],
    reverse: Callable[[str], str] = name_of,
    forward: Callable[[str], Iterable[str]] = addresses_of,
    seconds: float = ANSWER_WITHIN,
) -> set[Network]:
    """Those of the single addresses whose name is a search engine's and leads back to them.

    Who attacks answers for the names of its own addresses. So a name that cannot be looked up, or
    not within ``seconds`` for all together, verifies nobody.
    """

    def is_bot(host: Network) -> bool:
        address = str(host.network_address)
        name = reverse(address).rstrip(".").lower()
        if not any(name == domain or name.endswith(f".{domain}") for domain in BOT_DOMAINS):
            return False
        return host in {parse(text) for text in forward(name)}

    single = [host for host in hosts if host.prefixlen == host.max_prefixlen]
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        asked: dict[Future[bool], Network] = {pool.submit(is_bot, host): host for host in single}
        done, _late = wait(asked, seconds)
        return {asked[future] for future in done if not future.exception() and future.result()}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
