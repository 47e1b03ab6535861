"""Cases: what stands for the web and for DNS, and log files of many lines."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from c7n_secops_edge import protected
from c7n_secops_edge.networks import parse
from c7n_secops_tools.cases.answers import Answers, UnansweredError
from c7n_secops_tools.cases.offline import OfflineError, offline
from c7n_secops_tools.cases.reading import BadInput, read_cases
from tests.harness import ROOT

PAGE = "https://example.com/list"
LINES = """
cases:
- name: a file of many lines
  policy: any
  resources: []
  answers:
  - call: s3:GetObject
    answer: {Body: ["#head", {line: "a {n}", each: 2, times: 2}, {line: b, times: 3}]}
  expect: {matched: []}
"""

Outside = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def outside() -> Outside:
    return lambda answers, **there: offline(
        answers, now="2026-05-01T12:00:00Z", region="eu-west-1", **there
    )


def test_a_page_is_what_the_case_says(outside: Outside) -> None:
    with outside(Answers([]), web={PAGE: {"a": [1]}}), urllib.request.urlopen(PAGE) as answer:
        assert answer.url == PAGE
        assert json.loads(answer.read(1000)) == {"a": [1]}
    with outside(Answers([]), web={PAGE: "text"}):
        assert urllib.request.urlopen(urllib.request.Request(PAGE)).read() == b"text"


def test_a_page_can_be_refused(outside: Outside) -> None:
    with outside(Answers([]), web={PAGE: 503}), pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(PAGE)


def test_a_page_that_the_case_lacks_is_unanswered(outside: Outside) -> None:
    answers = Answers([])
    with outside(answers, web={PAGE: "text"}), pytest.raises(UnansweredError):
        urllib.request.urlopen("https://example.com/other")
    assert answers.unanswered == ["no page under web for https://example.com/other"]


def test_what_a_case_read_of_the_web_is_not_known_to_the_next(outside: Outside) -> None:
    for text in ("one", "two"):
        with outside(Answers([]), web={protected.IP_RANGES: text}):
            assert protected.fetch(None, protected.IP_RANGES) == text
    assert protected.IP_RANGES not in protected._fetched


def test_addresses_have_the_names_of_the_case_and_no_others(outside: Outside) -> None:
    names = {"66.249.66.1": "crawl-66-249-66-1.googlebot.com"}
    hosts = [parse("66.249.66.1"), parse("9.9.9.9")]
    with outside(Answers([]), names=names):
        assert protected.verified_bots(hosts) == {parse("66.249.66.1")}
        with pytest.raises(socket.herror):
            socket.gethostbyaddr("9.9.9.9")
        with pytest.raises(OfflineError):
            socket.getaddrinfo("example.com", None)
    with outside(Answers([])):
        assert protected.verified_bots(hosts) == set()


def read(folder: Path, text: str) -> Any:
    (folder / "tests").mkdir()
    file = folder / "tests" / "file.yml"
    file.write_text(text)
    return read_cases(file).cases[0].data["answers"][0]["answer"]["Body"]


def test_a_body_is_written_of_its_lines(tmp_path: Path) -> None:
    assert read(tmp_path, LINES) == "#head\na 1\na 1\na 2\na 2\nb\nb\nb\n"


@pytest.mark.parametrize("item", ["{times: 3}", "{line: a, times: many}", "[a]", "3"])
def test_a_line_that_is_none_is_told(tmp_path: Path, item: str) -> None:
    with pytest.raises(BadInput, match=r"file\.yml:8: "):
        read(tmp_path, LINES.replace('"#head"', item))


def test_the_schema_names_what_stands_for_the_outside() -> None:
    schema = json.loads((ROOT / "src/c7n_secops_tools/cases/schema.json").read_text())
    for where in (schema["properties"]["defaults"], schema["$defs"]["case"]):
        assert {"web", "names"} <= where["properties"].keys()
