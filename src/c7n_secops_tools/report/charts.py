"""Interactive charts in a page that opens offline, under a content security policy by hashes.

A page puts its styles into its head, each :class:`Chart` where it is to stand, :func:`bundle` and
:func:`drawing` at its end, and :func:`content_security_policy` of all these parts first of all::

    <meta http-equiv="Content-Security-Policy" content="{{ content_security_policy(parts) }}">
    {{ style }} … {{ Chart(traces, layout, "By severity") }} … {{ bundle() }}{{ drawing() }}

Only those parts run: what a chart shows is data, in a ``script`` element that no browser executes.
The library is large, so it runs once all else is on the screen. Colours of text and grid follow the
page's, light, dark or printed.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, ClassVar

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from c7n_secops_tools.report.text import clean

LABEL = 48
"""Characters of a label that fit beside a chart."""
PIECE = 2**14
ENDS_ELSEWHERE = r"</{0}|<!--.*<{0}"
"""What moves the end of an inline element, by the rules of HTML."""


@dataclass(frozen=True)
class _Inline:
    """A part of the page that the browser obeys, and so is allowed by its hash alone.

    ``text`` is a program's or a style sheet's own, and holds nothing from outside.
    """

    text: str
    element: ClassVar[str]
    directive: ClassVar[str]
    attributes: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if re.search(ENDS_ELSEWHERE.format(self.element), self.text, re.IGNORECASE | re.DOTALL):
            raise ValueError(f"an inline {self.element} ends elsewhere than where its text does")

    @cached_property
    def source(self) -> str:
        """The source expression that allows this part, for its directive."""
        digest = hashlib.sha256(self.text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    def pieces(self) -> Iterator[Markup]:
        """The element in pieces, so that a large one is not copied whole while it is written."""
        yield Markup(f"<{self.element}{self.attributes}>")  # noqa: S704  (our own words)
        for start in range(0, len(self.text), PIECE):
            yield Markup(self.text[start : start + PIECE])  # noqa: S704  (see text)
        yield Markup(f"</{self.element}>")  # noqa: S704

    def __html__(self) -> Markup:
        return Markup("").join(self.pieces())


class Script(_Inline):
    """A script of the page."""

    element, directive = "script", "script-src"


class Library(Script):
    """A script that the browser only holds, until :func:`drawing` runs it."""

    attributes = ' type="text/plain" id="charts-library"'


class Style(_Inline):
    """A style sheet of the page."""

    element, directive = "style", "style-src"


OWN_STYLES = ("",)
"""Style sheets and attributes that plotly.js writes as text; others it sets as objects."""


def content_security_policy(parts: Iterable[_Inline]) -> str:
    """Allows the parts, pictures that they hold or draw themselves, and nothing else."""
    own = [Style(text).source for text in OWN_STYLES]
    allowed: dict[str, list[str]] = {"script-src": [], "style-src": own}
    for part in parts:
        allowed[part.directive].append(part.source)
    directives = {
        "default-src": ["'none'"],
        **{name: sources or ["'none'"] for name, sources in allowed.items()},
        "style-src-attr": ["'unsafe-hashes'", *own],
        "img-src": ["data:", "blob:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in directives.items())


@dataclass(frozen=True)
class Chart:
    """One chart of a page: traces and a layout in the words of plotly.js.

    Of its traces there are bars, pies and lines (``scatter``). ``label`` says what the chart shows
    to those who cannot see it. Text from outside goes into the traces through :func:`shown`.
    """

    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    label: str
    height: int = 320

    def __html__(self) -> Markup:
        layout = {**self.layout, "height": self.height}
        data = htmlsafe_json_dumps({"data": self.traces, "layout": layout})
        return Markup(
            '<figure class="chart" role="img" aria-label="{}">'
            '<script type="application/json">{}</script></figure>'
        ).format(escape(clean(self.label)), data)


def shown(text: str) -> str:
    """Text from outside as plotly shows it: no control characters, no markup, and not too long."""
    plain = clean(text)
    cut = plain if len(plain) <= LABEL else f"{plain[: LABEL - 1]}\N{HORIZONTAL ELLIPSIS}"
    return html.escape(cut, quote=False)


@cache
def bundle() -> Library:
    """plotly.js, its smallest bundle; see ``vendor/README.md``."""
    return Library(
        (files(__package__) / "vendor" / "plotly-basic.min.js").read_text(encoding="utf-8")
    )


@cache
def drawing() -> Script:
    """Draws each chart of the page once it is read, and again for another scheme or for paper."""
    return Script((files(__package__) / "templates" / "charts.js").read_text(encoding="utf-8"))
