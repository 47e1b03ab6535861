"""The report in a real browser: charts, tables, both schemes, paper, and hostile text."""

from __future__ import annotations

from pathlib import Path

import pytest
from markupsafe import Markup
from playwright.sync_api import Browser

from c7n_secops_tools.report.charts import (
    Chart,
    Script,
    Style,
    content_security_policy,
    drawing,
    library,
    shown,
)
from tests.browser import opened

HOSTILE = '</script><a href="https://evil.example">x</a><img src=x onerror=alert(1)>'
DRAWN = "figure.chart[data-drawn]"
SCHEME = Style(
    "body { background: #fff; color: #102030 }"
    "@media (prefers-color-scheme: dark) { body { background: #102030; color: #f0f0f0 } }"
)


def chart_page(folder: Path) -> Path:
    import plotly.graph_objects as go

    figure = go.Figure(go.Bar(x=[shown(HOSTILE), "b"], y=[3, 4], name=shown(HOSTILE)))
    parts = [SCHEME, library(), drawing()]
    page = Markup(
        '<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        'content="{}"><title>Charts</title>{}{}{}{}'
    ).format(content_security_policy(parts), SCHEME, Chart(figure, HOSTILE), *parts[1:])
    path = folder / "charts.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("scheme", "ink"), [("light", "rgb(16, 32, 48)"), ("dark", "rgb(240, 240, 240)")]
)
def test_a_chart_is_drawn_in_the_colours_of_the_page(
    browser: Browser, tmp_path: Path, scheme: str, ink: str
) -> None:
    with opened(browser, chart_page(tmp_path), color_scheme=scheme) as found:
        found.page.wait_for_selector(DRAWN)
        tick = found.page.locator(".xtick text").last
        assert tick.evaluate("e => getComputedStyle(e).fill") == ink
        assert found.colours("figure") > 10
        assert found.complaints == []


def test_a_chart_shows_hostile_labels_as_text(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, chart_page(tmp_path)) as found:
        found.page.wait_for_selector(DRAWN)
        assert found.page.locator(".xtick text").first.text_content() == HOSTILE[:47] + "…"
        assert found.page.locator("a, img").count() == 0
        assert found.page.locator("figure").get_attribute("aria-label") == HOSTILE
        assert found.complaints == []


def test_a_chart_fits_paper_and_goes_back_to_the_screen(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, chart_page(tmp_path), color_scheme="dark") as found:
        found.page.wait_for_selector(DRAWN)
        width = "document.querySelector('figure').getBoundingClientRect().width"
        drawn = "document.querySelector('.main-svg').getBoundingClientRect().width"
        found.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        found.page.wait_for_function(f"{drawn} === 680")
        found.page.evaluate("dispatchEvent(new Event('afterprint'))")
        found.page.wait_for_function(f"{drawn} === {width}")
        assert found.complaints == []


def test_a_script_that_is_not_the_pages_own_does_not_run(browser: Browser, tmp_path: Path) -> None:
    path = chart_page(tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + "<script>document.title = 'no'</script>")
    with opened(browser, path) as found:
        assert found.page.title() == "Charts"
        (complaint,) = found.complaints
        assert "Content Security Policy" in complaint


@pytest.mark.parametrize("text", ["a</script>b", "a</SCRIPT >b", "<!--<script>"])
def test_an_inline_script_cannot_end_itself(text: str) -> None:
    with pytest.raises(ValueError, match="inline script"):
        Script(text)
