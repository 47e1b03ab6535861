"""Requests per minute and those of offenders, as ``http-flood`` writes them to traffic.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c7n_secops_tools.report.charts import Chart

FILE = "traffic.json"
OTHERS, OFFENDERS, LIMITED = "#5a7ca8", "#d1432b", "#e0a93b"
"""Colours that stand out on a light and on a dark ground."""


@dataclass(frozen=True)
class Traffic:
    """The minutes of one resource: ``(minute, requests, of them offenders')``, in order."""

    resource: str
    minutes: list[tuple[str, int, int]]
    offenders: int = 0
    limited: Mapping[str, int] = field(default_factory=dict)
    """What a rate-based rule would have blocked, by minute."""

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Traffic | None:
        """An entry of traffic.json, or None where it is in another form."""
        minutes, offenders = row.get("minutes"), row.get("offenders")
        if not isinstance(minutes, list) or not isinstance(offenders, list):
            return None
        try:
            read = [(str(m["minute"]), int(m["requests"]), int(m["offenders"])) for m in minutes]
        except (TypeError, ValueError, KeyError):
            return None
        return cls(str(row.get("resource", "")), read, len(offenders))

    @property
    def requests(self) -> int:
        """How many requests there were in all."""
        return sum(requests for _, requests, _ in self.minutes)

    @property
    def of_offenders(self) -> int:
        """How many of them offenders made."""
        return sum(offenders for _, _, offenders in self.minutes)

    @property
    def chart(self) -> Chart:
        """Stacked bars of a minute each: offenders below, all others above."""
        from c7n_secops_tools.report.charts import Chart  # needs the extra report, a sweep does not

        times = [minute for minute, _, _ in self.minutes]
        traces: list[dict[str, Any]] = [
            {"type": "bar", "name": name, "x": times, "y": numbers, "marker": {"color": colour}}
            for name, colour, numbers in (
                ("offenders", OFFENDERS, [offenders for _, _, offenders in self.minutes]),
                ("others", OTHERS, [requests - guilty for _, requests, guilty in self.minutes]),
            )
        ]
        if self.limited:
            traces.append(
                {
                    "type": "scatter",
                    "name": "over the rate limit",
                    "mode": "lines+markers",
                    "x": times,
                    "y": [self.limited.get(minute, 0) for minute in times],
                    "line": {"color": LIMITED, "width": 3},
                }
            )
        layout = {
            "barmode": "stack",
            "bargap": 0.05,
            "hovermode": "x unified",
            "legend": {"orientation": "h", "y": 1.12},
            "margin": {"l": 60, "r": 20, "t": 30, "b": 40},
            "xaxis": {"type": "date", "title": {"text": "UTC"}},
            "yaxis": {"title": {"text": "requests a minute"}, "rangemode": "tozero"},
        }
        label = (
            f"Requests a minute of {self.resource}: {self.requests:,} in all, "
            f"{self.of_offenders:,} of {self.offenders:,} offenders"
        )
        return Chart(traces, layout, label)
