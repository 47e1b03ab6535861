"""Networks that others write, and AWS's list of its own over HTTPS."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from c7n_secops_edge import protected
from c7n_secops_edge.networks import (
    MalformedError,
    Network,
    Ranges,
    collapse,
    parse,
    subtract,
    widen,
)
from c7n_secops_edge.protected import Guard, Refusal, UnknownError
from tests.waf_scene import PUBLISHED


def small(version: int) -> st.SearchStrategy[Network]:
    """Networks inside one of 256 addresses, so that they meet."""
    base, bits = (0x09090900, 32) if version == 4 else (0x2600 << 112, 128)
    kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    return st.tuples(st.integers(0, 255), st.integers(bits - 8, bits)).map(
        lambda pair: kind((base + pair[0], pair[1]), strict=False)
    )


families = st.sampled_from([4, 6])
several = families.flatmap(lambda version: st.lists(small(version), max_size=12))
one_and_several = families.flatmap(
    lambda version: st.tuples(small(version), st.lists(small(version), max_size=8))
)


def covered(networks: list[Network]) -> set[int]:
    return {int(address) for network in networks for address in network}


@given(several)
@example([parse("9.9.9.1"), parse("9.9.9.2")])  # neighbours, but no halves of one network
def test_collapsed_networks_cover_the_same_with_the_fewest(networks: list[Network]) -> None:
    assert collapse(networks) == list(ipaddress.collapse_addresses(networks))  # type: ignore[type-var]


@given(one_and_several)
def test_what_is_left_is_exactly_what_no_range_holds(
    given_: tuple[Network, list[Network]],
) -> None:
    network, ranges = given_
    left = subtract(network, Ranges(ranges))
    assert covered(left) == covered([network]) - covered(ranges)
    assert left == collapse(left)


@given(one_and_several)
def test_the_widest_range_that_holds_a_network_is_named(
    given_: tuple[Network, list[Network]],
) -> None:
    network, ranges = given_
    holders = [each for each in ranges if each.supernet_of(network)]  # type: ignore[arg-type]
    wanted = min(holders, key=lambda each: each.prefixlen, default=None)
    assert Ranges(ranges).holding(network) == wanted


@given(one_and_several, several)
def test_nothing_of_what_is_guarded_is_let_through(
    given_: tuple[Network, list[Network]], more: list[Network]
) -> None:
    network, ranges = given_
    why = Refusal("Allowed", "x")
    left, refusal = Guard([(why, ranges)]).and_also(why, more).split(network)
    assert not covered(left) & covered(ranges)
    same = [each for each in more if each.version == network.version]
    assert not covered(left) & covered(same)
    assert (refusal is None) == (left == [network])


@given(st.text(max_size=70) | st.none() | st.integers() | st.binary(max_size=20))
def test_a_text_is_a_network_or_malformed_and_nothing_else(text: object) -> None:
    try:
        network = parse(text)
    except MalformedError as error:
        assert str(error).isascii()
        assert len(str(error)) < 120
    else:
        assert ipaddress.ip_network(str(network)) == network


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("9.9.9.9", "9.9.9.9/32"),
        ("::ffff:9.9.9.9", "9.9.9.9/32"),
        ("::ffff:9.9.9.0/120", "9.9.9.0/24"),
        ("2600:0000::0001", "2600::1/128"),
    ],
)
def test_forms_of_one_network_are_one_network(text: str, network: str) -> None:
    assert str(parse(text)) == network


@pytest.mark.parametrize("text", ["fe80::1%eth0", "9.9.9.9/24", "9", "", "9.9.9.9/33", 9, True])
def test_what_may_mean_something_else_is_malformed(text: object) -> None:
    with pytest.raises(MalformedError):
        parse(text)


def test_a_network_stands_for_its_hosts_only_where_they_are_enough() -> None:
    hosts = [parse(f"9.9.9.{number}") for number in range(3)]
    others = [parse(f"9.9.8.{number}") for number in range(2)]
    found = widen([*hosts, *others, hosts[0], parse("2600::1")], {4: 24}, 3)
    assert found == {parse("9.9.9.0/24"): hosts, **{n: [n] for n in [*others, parse("2600::1")]}}


# --- over HTTPS -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ip-ranges")])
    now = datetime.datetime.now(datetime.timezone.utc)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(host, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(*form, serialization.NoEncryption())
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return file


class Published(BaseHTTPRequestHandler):
    """AWS's ranges; ``/?<url>`` sends the reader elsewhere."""

    def do_GET(self) -> None:
        body, elsewhere = json.dumps(PUBLISHED).encode(), self.path.partition("?")[2]
        self.send_response(302 if elsewhere else 200)
        self.send_header("Location", elsewhere)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server with AWS's ranges; what it was asked is not remembered."""

    monkeypatch.setattr(protected, "_fetched", {})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with HTTPServer(("127.0.0.1", 0), Published) as made:
        made.socket = context.wrap_socket(made.socket, server_side=True)
        Thread(target=made.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{made.server_port}/ip-ranges.json"
        made.shutdown()


def test_aws_s_ranges_are_read_from_a_server_that_proves_who_it_is(
    server: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    found = protected.published(None, server, [protected.EDGE])
    assert [str(network) for network in found[protected.EDGE]] == [
        "13.124.199.0/24",
        "2600:9000:5200::/40",
    ]


def test_a_server_that_does_not_prove_it_is_not_believed(server: str) -> None:
    with pytest.raises(UnknownError, match="CERTIFICATE_VERIFY_FAILED"):
        protected.published(None, server, [protected.EDGE])


def test_a_server_that_leads_away_from_https_is_not_followed(
    server: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with HTTPServer(("127.0.0.1", 0), Published) as plain:
        Thread(target=plain.serve_forever, daemon=True).start()
        away = f"{server}?http://127.0.0.1:{plain.server_port}/"
        with pytest.raises(UnknownError, match="which is not https"):
            protected.published(None, away, [protected.EDGE])
        plain.shutdown()


def test_a_list_that_is_too_long_is_not_believed(
    server: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(protected, "MOST_BYTES", 50)
    with pytest.raises(UnknownError, match="larger than 50 bytes"):
        protected.published(None, server, [protected.EDGE])


def test_a_url_that_is_not_encrypted_is_not_read() -> None:
    with pytest.raises(UnknownError, match="neither https nor s3"):
        protected.fetch(None, "http://127.0.0.1:9/ip-ranges.json")
