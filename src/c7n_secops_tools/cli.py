"""The command ``c7n-secops``. Exit codes: 0 well, 1 bad input, and what each command adds."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Any, NoReturn

from c7n_secops_tools.exit_codes import BAD_INPUT, INTERRUPTED

COMMANDS = {
    "build-ingest": ("c7n_secops_tools.ingest", "report"),
    "coverage": ("c7n_secops_tools.coverage.command", "report"),
    "dashboards": ("c7n_secops_tools.opensearch.dashboards", "report"),
    "iam": ("c7n_secops_tools.iam.command", "fleet"),
    "membership": ("c7n_secops_tools.membership.command", "report"),
    "new": ("c7n_secops_tools.authoring.new", "report"),
    "org": ("c7n_secops_tools.fleet.command", "fleet"),
    "replay": ("c7n_secops_tools.replay.command", "test"),
    "replay-logs": ("c7n_secops_tools.replay_logs.command", "report"),
    "report": ("c7n_secops_tools.report.command", "report"),
    "schema": ("c7n_secops_tools.authoring.schema", "report"),
    "test": ("c7n_secops_tools.cases.command", "test"),
    "validate": ("c7n_secops_tools.authoring.validate", "report"),
}
"""Where each command is, loaded when it is asked for, and the extra that has what it needs."""


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        import click
    except ModuleNotFoundError as missing:
        sys.exit(needs(missing, "report"))

    class Commands(click.Group):
        def list_commands(self, context: click.Context) -> list[str]:
            return list(COMMANDS)

        def get_command(self, context: click.Context, name: str) -> click.Command | None:
            return load(name) if name in COMMANDS else None

    @click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(package_name="c7n-secops")
    def commands() -> None:
        """Security operations for Cloud Custodian."""

    try:
        code = commands.main(prog_name="c7n-secops", standalone_mode=False)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(BAD_INPUT)
    sys.exit(code if isinstance(code, int) else 0)


def load(name: str) -> Any:
    """The command of this name; exits where what it needs is not installed."""
    module, extra = COMMANDS[name]
    gc.disable()  # imports leave much behind and no garbage
    try:
        return getattr(import_module(module), name.replace("-", "_"))
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("c7n_secops"):
            raise
        sys.exit(needs(missing, extra))
    finally:
        gc.enable()


def needs(missing: ModuleNotFoundError, extra: str) -> str:
    """What to install."""
    return f"c7n-secops needs {missing.name}: pip install 'c7n-secops[{extra}]'"


if __name__ == "__main__":
    main()
