"""Parsers of access logs against whatever a log may hold: counted and reported, never a crash."""

from __future__ import annotations

import gzip
import ipaddress
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from c7n_secops_edge.addresses import Clients, ForwardedClients, Grouping, cidr, packed
from c7n_secops_edge.flood import analyse
from c7n_secops_edge.flood_options import Options
from c7n_secops_edge.logs import files as log_files
from c7n_secops_edge.logs.files import LogFile, TruncatedError, blocks, content_of, inflated
from tests.edge_logs import (
    FIELDS,
    RULES,
    Request,
    at,
    burst,
    cloudfront,
    cloudfront_json,
    load_balancer,
    w3c_line,
    waf,
    waf_record,
    zipped,
)

OPTIONS = Options.of({"rules": RULES, "uri-ignore": {"suffix": [".css"]}})
ATTACK = burst("198.18.7.7", 0, [200])
FORMATS = (cloudfront, cloudfront_json, load_balancer, waf)
NOISE = st.binary(max_size=60).filter(lambda line: b"\n" not in line and not line.startswith(b"#"))


def in_memory(content, piece=1 << 18):
    pieces = [content[start : start + piece] for start in range(0, len(content), piece)]
    return LogFile("log.gz", len(content), lambda: iter(pieces))


def analysed(*contents, options=OPTIONS, piece=1 << 18):
    return analyse([in_memory(content, piece) for content in contents], options)


def offenders(analysis):
    return [(each["address"], each["rule"], each["count"]) for each in analysis.offenders]


def lines_of(content):
    return gzip.decompress(content).split(b"\n")[:-1]


# --- malformed lines ----------------------------------------------------------------------------


@given(st.sampled_from(FORMATS), st.lists(st.tuples(st.integers(0, 200), NOISE), max_size=12))
@settings(max_examples=40, deadline=None)
def test_noise_between_lines_is_counted_line_by_line_and_hides_none(write, noise):
    lines = lines_of(write(ATTACK))
    head = 2 if write is cloudfront else 1  # the first line says what format it is
    for place, line in noise:
        lines.insert(head + place, line)
    answer = analysed(gzip.compress(b"\n".join(lines) + b"\n", 1))
    assert answer.logs["lines"] == 200 + len(noise)
    assert answer.logs["badLines"] == len(noise)
    assert offenders(answer) == [("198.18.7.7/32", "flood", 200)]


@given(st.sampled_from(FORMATS), st.integers(0, 199), st.data())
@settings(max_examples=40, deadline=None)
def test_a_line_that_is_cut_anywhere_costs_at_most_itself(write, number, data):
    lines = lines_of(write(ATTACK))
    place = len(lines) - 200 + number
    lines[place] = lines[place][: data.draw(st.integers(1, len(lines[place]) - 1))]
    answer = analysed(gzip.compress(b"\n".join(lines) + b"\n", 1))
    assert answer.logs["lines"] == 200
    assert answer.logs["badLines"] in (0, 1)
    counted = answer.minutes[0]["requests"] if number or answer.minutes else 199
    assert counted + answer.logs["badLines"] >= 200


@given(st.binary(max_size=400))
@settings(max_examples=60, deadline=None)
def test_any_bytes_at_all_are_read_to_their_end(content):
    for stored in (content, gzip.compress(content, 1)):
        answer = analysed(stored)
        assert answer.offenders == []
        assert answer.logs["lines"] >= answer.logs["badLines"]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)

GOOD = [json.dumps(waf_record(ATTACK[1]))] * 200


@given(
    st.sampled_from(
        ["timestamp", "httpRequest", "clientIp", "uri", "headers", "responseCodeSent", "action"]
    ),
    JSON,
)
@settings(max_examples=60, deadline=None)
def test_a_record_with_something_else_in_a_field_is_counted_or_bad(field, value):
    record = waf_record(ATTACK[0])
    place = record if field in record else record["httpRequest"]
    place[field] = value
    answer = analysed(zipped([json.dumps(record), *GOOD]))
    assert answer.logs["lines"] == 201
    assert answer.logs["badLines"] in (0, 1)
    assert [each[0] for each in offenders(answer)] == ["198.18.7.7/32"]


def test_records_nested_too_deeply_are_bad_lines():
    answer = analysed(zipped(['{"a":' * 100_000, json.dumps(waf_record(ATTACK[0]))]))
    assert (answer.logs["lines"], answer.logs["badLines"]) == (2, 1)


# --- header order -------------------------------------------------------------------------------


@given(st.permutations(FIELDS), st.integers(0, 24))
@settings(max_examples=30, deadline=None)
def test_fields_are_found_in_any_order_and_number(order, dropped):
    needed = {"date", "time", "c-ip", "sc-status", "cs-uri-stem"}
    kept = [name for name in order if name in needed or order.index(name) >= dropped]
    requests = [*ATTACK, *burst("198.18.7.8", 0, [50], status=404, uri="/x")]
    requests += burst("198.18.7.9", 0, [300], uri="/a.css")
    answer = analysed(cloudfront(requests, kept))
    assert answer.logs["badLines"] == 0
    assert offenders(answer) == [
        ("198.18.7.7/32", "flood", 200),
        ("198.18.7.8/32", "errors", 50),
    ]


@given(st.permutations(FIELDS), st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_header_in_the_middle_of_a_file_is_followed(order, plain):
    log = cloudfront(ATTACK[:100]) + cloudfront(ATTACK[100:], order)
    answer = analysed(gzip.decompress(log) if plain else log)
    assert offenders(answer) == [("198.18.7.7/32", "flood", 200)]
    assert answer.logs["badLines"] == 0
    assert {each["address"] for each in answer.offenders[0]["samples"]} == {"198.18.7.7"}


def test_without_a_field_that_is_needed_every_line_is_bad():
    answer = analysed(cloudfront(ATTACK, [name for name in FIELDS if name != "c-ip"]))
    assert answer.logs["badLines"] == answer.logs["lines"] == 200


# --- escaped fields -----------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ['/a\\"b.css', "/%22", "/a'b", "/-", "/\\\\"])
def test_quotes_in_a_load_balancer_s_request_end_nothing(uri):
    answer = analysed(load_balancer([Request(at(0), "198.18.7.7", uri=uri)] * 200))
    assert answer.logs["badLines"] == 0
    assert bool(answer.offenders) is not uri.endswith(".css")


def test_a_load_balancer_s_malformed_request_has_a_client_all_the_same():
    line = lines_of(load_balancer(ATTACK[:1]))[0]
    start, end = line.index(b'"'), line.index(b"HTTP/1.1")
    line = line[:start] + b'"- http://shop.example.com:80- - ' + line[end + 9 :]
    answer = analysed(gzip.compress((line + b"\n") * 200))
    assert offenders(answer) == [("198.18.7.7/32", "flood", 200)]


def test_json_escapes_are_read_as_what_they_stand_for():
    records = [
        json.dumps(waf_record(each)).replace("198.18", "\\u0031\\u00398.18") for each in ATTACK
    ]
    assert offenders(analysed(zipped(records))) == [("198.18.7.7/32", "flood", 200)]


# --- addresses ----------------------------------------------------------------------------------


@given(st.ip_addresses())
@settings(max_examples=200)
def test_addresses_are_read_in_every_form(address):
    expected = address.packed
    if address.version == 6 and address.ipv4_mapped:
        expected = address.ipv4_mapped.packed
    texts = [str(address), address.exploded]
    if address.version == 6:
        texts += [f"{address}%eth0", f"[{address}]", address.exploded.upper()]
    for text in texts:
        assert packed(text.encode()) == expected


@given(st.binary(max_size=80))
@settings(max_examples=300)
def test_what_is_no_address_is_none(raw):
    found = packed(raw)
    if found is not None:
        text = raw.decode().removeprefix("[").removesuffix("]").partition("%")[0]
        assert ipaddress.ip_address(text)


@given(st.ip_addresses(v=6), st.ip_addresses(v=4), st.integers(48, 128), st.integers(24, 32))
@settings(max_examples=100)
def test_a_client_is_the_network_that_holds_the_address(six, four, bits_6, bits_4):
    clients = Clients(Grouping(bits_4, bits_6))
    for address, bits in ((six, bits_6), (four, bits_4)):
        if address.version == 6 and address.ipv4_mapped:
            continue
        network = ipaddress.ip_network((address, bits), strict=False)
        assert cidr(clients[str(address).encode()], bits) == str(network)


def test_addresses_are_remembered_up_to_a_limit(monkeypatch):
    monkeypatch.setattr("c7n_secops_edge.addresses.REMEMBERED", 10)
    clients = Clients(Grouping())
    for number in range(50):
        assert clients[f"198.18.7.{number}".encode()] == bytes([198, 18, 7, number])
        assert len(clients) <= 10


# --- X-Forwarded-For ----------------------------------------------------------------------------

HOP = st.ip_addresses(v=4).filter(lambda address: address.packed[0] not in (10, 192)).map(str)
PROXY = st.integers(1, 254).map(lambda host: f"192.0.2.{host}")
SPOOFED = st.lists(HOP | PROXY | st.text(max_size=12).map(lambda text: text.replace(",", "")))


@given(SPOOFED, HOP, st.lists(PROXY, max_size=3), PROXY)
@settings(max_examples=200)
def test_whatever_a_client_writes_before_it_the_last_untrusted_hop_counts(
    spoofed, client, proxies, peer
):
    clients = ForwardedClients(Grouping(), ["192.0.2.0/24"])
    header = ", ".join([*spoofed, client, *proxies]).encode()
    expected = ipaddress.ip_address(client).packed
    assert clients[peer.encode(), header] == expected
    assert clients[peer.encode(), header.replace(b" ", b"%20")] == expected


@given(SPOOFED, HOP)
@settings(max_examples=50)
def test_a_peer_that_is_no_proxy_is_the_client_whatever_its_header_says(spoofed, peer):
    clients = ForwardedClients(Grouping(), ["192.0.2.0/24"])
    header = ", ".join(spoofed).encode()
    assert clients[peer.encode(), header] == ipaddress.ip_address(peer).packed


@pytest.mark.parametrize("header", [b"-", b"", b"unknown", b"192.0.2.9", b"198.18.7.7, _hidden"])
def test_a_header_without_a_client_at_its_end_attributes_nothing(header):
    clients = ForwardedClients(Grouping(), ["192.0.2.0/24"])
    assert clients[b"192.0.2.1", header] is None


def test_a_log_without_the_header_attributes_only_what_comes_from_clients():
    trusted = {"field": "x-forwarded-for", "trusted-proxies": ["192.0.2.0/24"]}
    options = Options.of({"rules": RULES, "client-ip": trusted})
    answer = analysed(load_balancer([*ATTACK, *burst("192.0.2.1", 0, [300])]), options=options)
    assert offenders(answer) == [("198.18.7.7/32", "flood", 200)]
    assert answer.logs["unattributed"] == 300


# --- files --------------------------------------------------------------------------------------


@pytest.fixture(params=["isal", "zlib"])
def engine(request, monkeypatch):
    """Both of what may inflate."""
    log_files.quick.cache_clear()
    if request.param == "zlib":
        monkeypatch.setitem(__import__("sys").modules, "isal", None)
    yield request.param
    log_files.quick.cache_clear()


def test_the_standard_library_inflates_where_isal_is_not_installed(engine):
    assert (log_files.quick() is None) is (engine == "zlib")
    assert offenders(analysed(cloudfront(ATTACK))) == [("198.18.7.7/32", "flood", 200)]


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 100, 400])
def test_a_truncated_file_is_named_and_what_was_inflated_is_counted(engine, cut):
    content = cloudfront([*ATTACK, *burst("198.18.8.8", 1, [150])])
    answer = analysed(content[:-cut])
    assert answer.logs["truncated"] == ["log.gz"]
    assert answer.logs["lines"] <= 350
    assert offenders(answer)[:1] in ([("198.18.7.7/32", "flood", 200)], [])
    if cut < 10:
        assert answer.logs["lines"] == 350


SMALL = cloudfront(burst("198.18.7.7", 0, [40] * 9))


@given(st.integers(2, len(SMALL)), st.integers(100, 999))
@settings(max_examples=30, deadline=None)
def test_a_file_cut_anywhere_is_truncated_and_never_more_than_it_held(cut, piece):
    content = SMALL
    answer = analysed(content[:cut], piece=piece)
    held = min(cut, len(content)) == len(content)
    assert answer.logs["truncated"] == ([] if held else ["log.gz"])
    assert answer.logs["lines"] <= 360
    assert answer.logs["badLines"] <= 1


def test_a_damaged_file_is_reported_as_one(engine):
    content = bytearray(cloudfront(ATTACK))
    content[len(content) // 2] ^= 0xFF
    answer = analysed(bytes(content))
    assert answer.logs["truncated"] == ["log.gz"]


def taken_of(reading):
    """What could be inflated, and whether that was all."""
    found = b""
    try:
        for piece in reading:
            found += piece
    except TruncatedError:
        return found, False
    return found, True


@given(
    st.lists(st.binary(max_size=300), min_size=1, max_size=5),
    st.integers(1, 50),
    st.integers(1, 400),
)
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_members_and_pieces_of_any_size_inflate_to_the_same(
    engine, monkeypatch, parts, piece, block
):
    monkeypatch.setattr(log_files, "BLOCK", block)
    stored = b"".join(gzip.compress(part, 1) for part in parts)
    assert taken_of(content_of(in_memory(stored, piece))) == (b"".join(parts), True)


@given(
    st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=4),
    st.integers(1, 50),
    st.integers(1, 400),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_isal_takes_as_much_of_a_cut_file_as_the_standard_library(parts, piece, block, data):
    stored = b"".join(gzip.compress(part, 1) for part in parts)
    file = in_memory(stored[: data.draw(st.integers(2, len(stored)))], piece)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_files, "BLOCK", block)
        assert taken_of(content_of(file)) == taken_of(inflated(file.open()))


@given(st.lists(st.binary(max_size=40), max_size=12))
@settings(max_examples=100)
def test_blocks_are_whole_lines_and_all_of_them(pieces):
    joined = b"".join(pieces)
    found = b"".join(blocks(pieces))
    assert found == (b"\n" + joined.removesuffix(b"\n") if joined else b"")


def test_a_small_file_that_inflates_to_much_is_given_in_bounded_pieces():
    bomb = gzip.compress(b"x" * 50_000_000, 9)
    largest = max(len(piece) for piece in content_of(in_memory(bomb)))
    assert largest <= log_files.BLOCK
    answer = analysed(bomb)
    assert (answer.logs["lines"], answer.logs["badLines"]) == (1, 1)


def test_a_plain_file_is_read_as_it_is():
    answer = analysed(gzip.decompress(cloudfront(ATTACK)))
    assert offenders(answer) == [("198.18.7.7/32", "flood", 200)]


def test_an_unreadable_file_does_not_stop_the_others():
    def broken():
        raise OSError("input/output error")
        yield b""

    files = [LogFile("1", 0, broken), in_memory(cloudfront(ATTACK)), LogFile("3", 0, broken)]
    answer = analyse(files, OPTIONS)
    assert answer.logs["unreadable"] == ["1", "3"]
    assert answer.read.unreadable["1"] == ("OSError", "input/output error")
    assert offenders(answer) == [("198.18.7.7/32", "flood", 200)]


def test_a_reader_that_fails_for_a_reason_of_its_own_ends_the_reading():
    def broken():
        raise ZeroDivisionError
        yield b""

    reading = log_files.read_ahead([LogFile("1", 0, broken)])
    _, content = next(reading)
    with pytest.raises(ZeroDivisionError):
        list(content)


def test_reading_can_end_early_without_leaving_readers_behind():
    import threading

    before = threading.active_count()
    endless = [LogFile(str(n), 0, lambda: iter([b"x\n" * 4_000_000])) for n in range(5)]
    reading = log_files.read_ahead(endless)
    next(reading)
    assert threading.active_count() > before
    reading.close()
    assert threading.active_count() <= before


def test_the_error_of_a_truncated_file_comes_after_what_was_inflated():
    stored = gzip.compress(b"line\n" * 1000, 0)
    taken, whole = taken_of(content_of(in_memory(stored[:-20])))
    assert not whole
    assert taken.startswith(b"line\nline\n")


def test_a_last_line_without_its_end_counts():
    lines = ["#Version: 1.0", f"#Fields: {' '.join(FIELDS)}", *map(w3c_line, ATTACK)]
    answer = analysed(gzip.compress("\n".join(lines).encode()))
    assert offenders(answer) == [("198.18.7.7/32", "flood", 200)]
