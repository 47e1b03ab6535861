"""Sortable and filterable tables in a page that opens offline: DataTables, as itables packs it.

A page puts :func:`style` into its head and :func:`bundle` and :func:`sorting` at its end; see
:mod:`c7n_secops_tools.report.charts` for the content security policy that allows them. A
:class:`Table` is data that the browser turns into rows as they come into sight, so that tens of
thousands cost little. A ``table`` of the page's own with the class ``sortable`` gets the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from itertools import islice
from typing import Any, Literal, NamedTuple

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from c7n_secops_tools.report.charts import Script, Style
from c7n_secops_tools.report.text import clean

CHUNK = 500
"""Rows that are in memory at a time while a page is written."""
EXPORT = re.compile(r"export\{([\w$]+ as \w+(?:,[\w$]+ as \w+)*)\}")
EXPORTED = re.compile(r"([\w$]+) as (\w+)")

_dumps = partial(htmlsafe_json_dumps, dumps=partial(json.dumps, separators=(",", ":")))


class Column(NamedTuple):
    """A column. Of a ``choice`` the reader picks among its values; ``severity`` is one, by rank."""

    title: str
    kind: Literal["text", "long", "number", "choice", "severity"] = "text"


@dataclass(frozen=True)
class Table:
    """A table of the page. ``order`` is the column by which it is sorted first, the greatest first;
    without one the rows stand as they come.
    """

    label: str
    columns: Sequence[Column]
    rows: Iterable[Sequence[Any]]
    order: int | None = None

    def parts(self) -> Iterator[Markup]:
        """The table, piece by piece; a row is JSON, and all text in it is data."""
        told = {
            "columns": [column._asdict() for column in self.columns],
            "order": [] if self.order is None else [[self.order, "desc"]],
        }
        heads = (Markup("<th>{}</th>").format(column.title) for column in self.columns)
        yield Markup(
            '<table class="data" aria-label="{}"><thead><tr>{}</tr></thead></table>'
        ).format(clean(self.label), Markup("").join(heads))
        yield Markup('<script type="application/json" class="form">{}</script>').format(
            _dumps(told)
        )
        yield Markup('<script type="application/json" class="rows">[')
        rows, separator = iter(self.rows), Markup("")
        while chunk := [[_safe(value) for value in row] for row in islice(rows, CHUNK)]:
            yield separator + _dumps(chunk)[1:-1]
            separator = Markup(",")
        yield Markup("]</script>")


def _safe(value: Any) -> Any:
    return clean(value) if isinstance(value, str) else value


@cache
def bundle() -> Script:
    """DataTables.

    It comes as a module, which a page without a server cannot import: what it exports becomes one
    object instead. Its regular expressions for comments of HTML would open one in a page.
    """
    text = _bundle("js").replace("<!--", r"\x3C!--")
    exported = EXPORT.search(text)
    if exported is None:
        raise RuntimeError("itables packs DataTables in another form; install itables 2.9")
    members = EXPORTED.sub(r"\2:\1", exported[1])
    before, after = text[: exported.start()], text[exported.end() :]
    return Script(f'(()=>{{"use strict";{before}globalThis.tables={{{members}}}{after}\n}})();')


@cache
def style() -> Style:
    """The style sheet of DataTables."""
    return Style(_bundle("css"))


@cache
def sorting() -> Script:
    """Makes every table of the page sortable and filterable, for both schemes and for paper."""
    return Script((files(__package__) / "templates" / "tables.js").read_text(encoding="utf-8"))


def _bundle(kind: str) -> str:
    return (files("itables") / "html" / f"dt_bundle.{kind}").read_text(encoding="utf-8")
