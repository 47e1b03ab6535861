"""The answer as one HTML file, with the chart of its minutes."""

from __future__ import annotations

from pathlib import Path

from c7n_secops_tools.replay_logs.answer import Answer, times, written
from c7n_secops_tools.replay_logs.rate import LAGS
from c7n_secops_tools.report.charts import bundle, content_security_policy, drawing
from c7n_secops_tools.report.page import environment, save, style


def write(answer: Answer, path: Path) -> None:
    """Write the page; a reader never sees half of it. Raises OSError where it cannot."""
    sheet, scripts = style(), [bundle(), drawing()]
    template = environment(__package__).get_template("replay.html.j2")
    stream = template.stream(
        policy=content_security_policy([sheet, *scripts]),
        style=sheet,
        scripts=scripts,
        answer=answer,
        logs=answer.analysis.logs,
        times=times,
        written=written,
        lags=LAGS,
    )
    save(stream, path)
