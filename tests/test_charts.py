"""The traffic of a report and of a replay, drawn in a real browser."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from playwright.sync_api import Browser

from c7n_secops_tools.replay_logs.command import replay_logs
from c7n_secops_tools.report import page
from c7n_secops_tools.report.totals import CHARTS, Report
from tests.browser import opened
from tests.edge_logs import burst, cloudfront
from tests.edge_scene import distribution
from tests.emulator import Emulator
from tests.harness import Custodian
from tests.test_replay_logs import BLOCKING, FLOODER, flood, write_log
from tests.test_report import Tree, output

__all__ = ["output"]

DRAWN = "figure.chart[data-drawn]"
HOSTILE = '</script><img src=x onerror=alert(1)>"\x1b[31m'


def entry(resource: str = "E2QWRUHEXAMPLE", requests: int = 10, offenders: int = 4) -> Any:
    """One resource of traffic.json, three minutes with a gap between them."""
    return {
        "resource": resource,
        "minutes": [
            {"minute": f"2026-01-31T12:0{n}Z", "requests": requests, "offenders": offenders}
            for n in (0, 1, 4)
        ],
        "offenders": [{"address": "192.0.2.7/32", "rule": "flood", "count": 12}],
        "logs": {},
    }


def report_with(output: Tree, *rows: Any, folder: Path) -> Path:
    """The report's page over a tree whose run has this traffic.json."""
    with output.run() as write:
        write("resources.json", [])
        write("traffic.json", list(rows))
    path = folder / "report.html"
    page.write(output.report(), path)
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_draws_requests_and_those_of_offenders(
    output: Tree, tmp_path: Path, browser: Browser, scheme: Any
) -> None:
    path = report_with(output, entry(), folder=tmp_path)
    with opened(browser, path, color_scheme=scheme) as found:
        found.page.wait_for_selector(DRAWN)
        bars = found.page.locator("#traffic .barlayer .trace")
        assert [bars.nth(n).locator(".point").count() for n in range(2)] == [3, 3]
        names = found.page.locator("#traffic .legendtext").all_text_contents()
        assert sorted(names) == ["offenders", "others"]
        low, high = (
            bars.nth(n).locator("path").first.evaluate("e => e.getBBox().height") for n in (0, 1)
        )
        assert low / high == pytest.approx(4 / 6, rel=0.05)
        title = found.page.locator("#traffic h3").inner_text()
        assert "30 requests, 12 of 1 offenders" in title
        label = found.page.locator("#traffic figure").get_attribute("aria-label")
        assert label == ("Requests a minute of E2QWRUHEXAMPLE: 30 in all, 12 of 1 offenders")
        assert found.colours("#traffic figure") > 10
        assert found.complaints == []


def test_a_report_draws_what_the_shipped_policy_wrote(
    emulator: Emulator, custodian: Custodian, tmp_path: Path
) -> None:
    logging = {"Enabled": True, "IncludeCookies": False, "Bucket": "logs.s3.amazonaws.com"}
    made = distribution(emulator, Logging={**logging, "Prefix": "cdn/"})
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket="logs")
    key = f"cdn/{made['Id']}.{datetime.now(timezone.utc):%Y-%m-%d-%H}.00000001.gz"
    requests = [*burst("198.18.7.7", 0, [1500, 1500]), *burst("198.18.9.9", 0, [20])]
    s3.put_object(Bucket="logs", Key=key, Body=cloudfront(requests))
    run = custodian("distribution-flood")
    (found,) = Report([run.output]).traffic
    assert found.resource == made["Id"]
    assert (found.requests, found.of_offenders, found.offenders) == (3020, 3000, 1)


def test_the_chart_fits_paper(output: Tree, tmp_path: Path, browser: Browser) -> None:
    with opened(browser, report_with(output, entry(), folder=tmp_path)) as found:
        found.page.wait_for_selector(DRAWN)
        found.page.emulate_media(media="print")
        found.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        width = "document.querySelector('.main-svg').getBoundingClientRect().width"
        found.page.wait_for_function(f"{width} === 680")
        assert found.complaints == []


def test_a_hostile_name_of_a_resource_stays_text(
    output: Tree, tmp_path: Path, browser: Browser
) -> None:
    path = report_with(output, entry(HOSTILE), folder=tmp_path)
    assert "\x1b" not in path.read_text(encoding="utf-8")
    with opened(browser, path) as found:
        found.page.wait_for_selector(DRAWN)
        assert found.page.locator("img").count() == 0
        assert "</script><img" in found.page.locator("#traffic h3").inner_text()
        assert found.complaints == []


def test_the_resources_with_the_most_requests_of_offenders_are_drawn(
    output: Tree, tmp_path: Path
) -> None:
    rows = [entry(f"E{number}", 100, number) for number in range(CHARTS + 3)]
    text = report_with(output, *rows, folder=tmp_path).read_text(encoding="utf-8")
    assert text.count('<figure class="chart"') == CHARTS
    assert f">E{CHARTS + 2}<" in text
    assert ">E2<" not in text


@pytest.mark.parametrize(
    "row",
    [
        {"resource": "E1"},
        {"resource": "E1", "minutes": {}, "offenders": []},
        {"resource": "E1", "minutes": [{"minute": "x", "requests": "many"}], "offenders": []},
        {"resource": "E1", "minutes": [7], "offenders": []},
    ],
)
def test_traffic_of_another_form_is_said_to_be_unreadable_and_the_rest_drawn(
    output: Tree, tmp_path: Path, row: Any
) -> None:
    path = report_with(output, row, entry("E2"), folder=tmp_path)
    (problem,) = output.report().problems
    assert "traffic.json: does not hold minutes and offenders" in str(problem)
    assert path.read_text(encoding="utf-8").count('<figure class="chart"') == 1


def test_a_replay_draws_what_a_rate_rule_would_block(tmp_path: Path, browser: Browser) -> None:
    write_log(tmp_path / "logs" / "a.gz", [*flood(), *flood(minute=3, number=20)])
    (tmp_path / "policy.yml").write_text(yaml.safe_dump({"policies": [BLOCKING]}))
    path = tmp_path / "replay.html"
    words = [str(tmp_path / "logs"), str(tmp_path / "policy.yml"), "--html", str(path)]
    done = CliRunner().invoke(replay_logs, [*words, "--rate-limit", "100/60"])
    assert done.exit_code == 0, done.output
    with opened(browser, path) as found:
        found.page.wait_for_selector(DRAWN)
        names = found.page.locator(".legendtext").all_text_contents()
        assert sorted(names) == ["offenders", "others", "over the rate limit"]
        assert f"{FLOODER}/32" in found.page.locator("#offenders").inner_text()
        rate = found.page.locator("#rate tbody tr").first.inner_text().split()
        assert rate[:3] == [f"{FLOODER}/32", "170", "150"]
        assert rate[-3:] == ["50", "30", "0"]
        assert "usually within 30 seconds" in found.page.locator("#notes").inner_text()
        data = json.loads(found.page.locator("figure script").text_content() or "")
        (line,) = [trace for trace in data["data"] if trace["type"] == "scatter"]
        assert line["y"] == [50, 0]
        assert found.complaints == []


def test_a_hostile_folder_and_policy_stay_text_in_a_replay(
    tmp_path: Path, browser: Browser
) -> None:
    logs = tmp_path / "<img src=x onerror=alert(1)>"
    write_log(logs / "a.gz", flood())
    (tmp_path / "policy.yml").write_text(yaml.safe_dump({"policies": [BLOCKING]}))
    path = tmp_path / "replay.html"
    words = [str(logs), str(tmp_path / "policy.yml"), "--html", str(path)]
    assert CliRunner().invoke(replay_logs, words).exit_code == 0
    with opened(browser, path) as found:
        found.page.wait_for_selector(DRAWN)
        assert found.page.locator("img").count() == 0
        assert found.complaints == []
