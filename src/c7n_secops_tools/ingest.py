"""``c7n-secops build-ingest``: the archive of the function that ingests findings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
from c7n.mu import custodian_archive

from c7n_secops_findings.accounts import Accounts
from c7n_secops_findings.ingest import ACCOUNTS_FILE
from c7n_secops_tools.options import FILE

PACKAGES = ("c7n_secops", "c7n_secops_findings")


@click.command("build-ingest")
@click.argument("archive", type=click.Path(dir_okay=False, writable=True, path_type=Path))
@click.option(
    "--accounts",
    type=FILE,
    help="The accounts.yml whose names, units and owners records get.",
)
def build_ingest(archive: Path, accounts: Path | None) -> None:
    """Write the ingesting function's code to ARCHIVE, a zip for deploy/findings-hub.yml.

    Of accounts.yml it holds ids, names, units and owners, and nothing else. The same code and
    accounts make the same archive, byte by byte.
    """
    made = custodian_archive(PACKAGES)
    names = Accounts.load(accounts).to_config()
    made.add_contents(ACCOUNTS_FILE, json.dumps(names, indent=1, sort_keys=True))
    made.close()
    shutil.copyfile(made.path, archive)
    click.echo(f"{archive}: {archive.stat().st_size:,} bytes, {len(names['accounts'])} accounts")
