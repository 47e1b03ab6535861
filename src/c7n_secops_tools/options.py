"""Arguments and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def output_dirs(command: Function) -> Function:
    """``OUTPUT_DIR...``: what custodian, c7n-org or ``org run`` wrote, as ``output_dirs``."""
    return click.argument(
        "output_dirs",
        metavar="OUTPUT_DIR...",
        nargs=-1,
        required=True,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
    )(command)


def format_of(*forms: str) -> Decorator:
    """``--format``: what to print, the first of these by default, as ``form``."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        help="What to print.",
    )


def html_file(help: str) -> Decorator:  # noqa: A002  (as click names it)
    """``--html``: the page to write, as ``html``."""
    return click.option(
        "--html", type=click.Path(dir_okay=False, writable=True, path_type=Path), help=help
    )


def fail_on(*outcomes: str, help: str) -> Decorator:  # noqa: A002  (as click names it)
    """``--fail-on``, several times: which of these outcomes end with exit code 3."""
    return click.option("--fail-on", multiple=True, type=click.Choice(outcomes), help=help)


def sarif_file(help: str) -> Decorator:  # noqa: A002  (as click names it)
    """``--sarif``: the SARIF 2.1.0 file to write, as ``sarif_to``."""
    return click.option(
        "--sarif",
        "sarif_to",
        type=click.Path(dir_okay=False, writable=True, path_type=Path),
        help=help,
    )
