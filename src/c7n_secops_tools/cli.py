"""The command ``c7n-secops``. Exit codes: 0 well, 1 bad input, and what each command adds."""

from __future__ import annotations

import sys
from typing import NoReturn

BAD_INPUT = 1
INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        import click

        from c7n_secops_tools.coverage.command import coverage
        from c7n_secops_tools.ingest import build_ingest
        from c7n_secops_tools.membership.command import membership
        from c7n_secops_tools.opensearch.dashboards import dashboards
        from c7n_secops_tools.replay_logs.command import replay_logs
        from c7n_secops_tools.report.command import report
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("c7n_secops"):
            raise
        sys.exit(f"c7n-secops needs {missing.name}: pip install 'c7n-secops[report]'")

    @click.group(context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(package_name="c7n-secops")
    def commands() -> None:
        """Security operations for Cloud Custodian."""

    for command in (build_ingest, coverage, dashboards, membership, replay_logs, report):
        commands.add_command(command)
    try:
        code = commands.main(prog_name="c7n-secops", standalone_mode=False)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(BAD_INPUT)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
