"""All that a replay says, as data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from c7n_secops_edge.flood import Analysis
from c7n_secops_edge.flood_counts import moment
from c7n_secops_tools.replay_logs.blocks import Blocks, Verdict
from c7n_secops_tools.replay_logs.policy import Chosen
from c7n_secops_tools.replay_logs.rate import LAGS, Limited, RateReplay
from c7n_secops_tools.report.traffic import Traffic

RATE_MODEL = (
    "WAF notices a rate late, by AWS's word usually within 30 seconds, and gives more weight to "
    "recent requests; so each number of blocked requests stands for one lag: "
    + ", ".join(f"{lag} s" for lag in LAGS)
)


@dataclass
class Answer:
    """What was found in the logs, and what would have come of it."""

    folder: str
    chosen: Chosen
    analysis: Analysis
    blocks: Blocks
    rate: RateReplay | None

    @property
    def notes(self) -> list[str]:
        """What a reader must know to judge the numbers."""
        return [*self.blocks.notes, *([RATE_MODEL] if self.rate else [])]

    @property
    def blocked(self) -> list[Verdict]:
        """The offenders that would be blocked."""
        return [verdict for verdict in self.blocks.verdicts if verdict.is_blocked]

    @property
    def traffic(self) -> Traffic:
        """The requests of each minute, for the chart."""
        limited = self.rate.minutes if self.rate else {}
        return Traffic(
            self.folder,
            [(m["minute"], m["requests"], m["offenders"]) for m in self.analysis.minutes],
            len(self.analysis.offenders),
            {moment(minute): number for minute, number in limited.items()},
        )

    @property
    def problems(self) -> list[str]:
        """Files that were not read whole, each with why."""
        read = self.analysis.read
        truncated = [f"{name}: truncated: {why}" for name, why in sorted(read.truncated.items())]
        unreadable = [f"{name}: {why}" for name, (_, why) in sorted(read.unreadable.items())]
        return truncated + unreadable


def as_json(answer: Answer) -> dict[str, Any]:
    """The answer as plain data: ``policy``, ``logs``, ``offenders``, ``rate_limit``, ``notes``."""
    return {
        "policy": answer.chosen.name,
        "logs": answer.analysis.logs,
        "offenders": [
            {
                **verdict.offender,
                **times(verdict),
                "blocked": verdict.is_blocked,
                "reason": verdict.reason,
            }
            for verdict in answer.blocks.verdicts
        ],
        "rate_limit": rate_as_json(answer.rate) if answer.rate else None,
        "notes": answer.notes,
    }


def times(verdict: Verdict) -> dict[str, str]:
    """When a block begins and ends, as texts; empty for one who is spared."""
    return {
        "blocked_from": written(verdict.since),
        "blocked_until": written(verdict.until),
        "blocked_until_at_the_latest": written(verdict.latest),
    }


def rate_as_json(rate: RateReplay) -> dict[str, Any]:
    """What a rate-based rule would have done, as plain data."""
    return {
        "limit": rate.rule.limit,
        "window": rate.rule.window,
        "addresses": rate.addresses,
        "addresses_over": len(rate.over),
        "requests": rate.requests,
        "blocked": by_lag(rate.blocked),
        "rows": [row_as_json(row) for row in rate.rows],
    }


def row_as_json(row: Limited) -> dict[str, Any]:
    """One address, as plain data."""
    return {
        "address": row.address,
        "requests": row.requests,
        "most_in_window": row.most,
        "first_over": written(row.first, "seconds"),
        "blocked": by_lag(row.blocked),
    }


def by_lag(blocked: tuple[int, ...]) -> dict[str, int]:
    """Blocked requests by the lag in seconds."""
    return {str(lag): number for lag, number in zip(LAGS, blocked, strict=True)}


def written(at: datetime | None, to: str = "minutes") -> str:
    """A moment in UTC, or nothing."""
    if at is None:
        return ""
    return at.astimezone(timezone.utc).isoformat(timespec=to).replace("+00:00", "Z")
