"""``c7n-secops iam``: the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import yaml

from c7n_secops_tools.fleet import policies
from c7n_secops_tools.iam import formats
from c7n_secops_tools.iam import roles as made_of
from c7n_secops_tools.iam.roles import DEPLOY, PARTS, RUN, Trust
from c7n_secops_tools.options import FILE, format_of

ACCOUNT = re.compile(r"[0-9]{12}")


@click.command()
@click.argument("files", metavar="POLICY...", nargs=-1, required=True, type=FILE)
@click.option("-p", "--policy", multiple=True, help="Only these policies.")
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Only the role that runs pulled policies, the functions' own, or the one that deploys.",
)
@click.option("--principal", multiple=True, help="ARN of who may assume the run and deploy roles.")
@click.option("--security-account", help="Account that may, as a whole.")
@click.option("--external-id", help="What it must present.")
@click.option("--run-role", default="CloudCustodian", show_default=True, help="Name of that role.")
@click.option(
    "--deploy-role", default="CloudCustodianDeploy", show_default=True, help="Name of that role."
)
@click.option("--vars-file", type=FILE, help="Values of the policies' variables, as for custodian.")
@click.option("--account", default="*", help="With json: account id in ARNs; any unless set.")
@click.option("--partition", default="aws", show_default=True, help="With json: the partition.")
@format_of("json", "cloudformation", "terraform")
def iam(
    files: tuple[Path, ...],
    policy: tuple[str, ...],
    parts: tuple[str, ...],
    principal: tuple[str, ...],
    security_account: str | None,
    external_id: str | None,
    run_role: str,
    deploy_role: str,
    vars_file: Path | None,
    account: str,
    partition: str,
    form: str,
) -> None:
    """Print the IAM roles that the policies need, with least privilege.

    One role runs the pulled policies, one deploys functions, and each mode.role is made for the
    functions that run under it. Every action is one that IAM knows, on as narrow resources as the
    policies name; a variable without a value stands for any.

    Exit codes: 0 well; 1 bad input.
    """
    for name, value in (("--account", account), ("--security-account", security_account)):
        if value not in (None, "*") and not ACCOUNT.fullmatch(value):
            raise click.ClickException(f"{name} must be twelve digits, not {value}")
    trusted = [*principal]
    if security_account is not None:
        trusted.append(f"arn:{formats.PARTITION}:iam::{security_account}:root")
    try:
        found = policies.select(policies.read(files), names=policy)
        if not found:
            raise click.ClickException("the files have no such policy")
        roles = made_of.roles(
            made_of.loaded(found, variables(vars_file)),
            Trust(tuple(trusted), external_id),
            {RUN: run_role, DEPLOY: deploy_role},
            parts or PARTS,
        )
    except (policies.PoliciesError, made_of.RolesError) as error:
        raise click.ClickException(str(error)) from error
    if form == "json":
        click.echo(formats.as_json(roles, partition, account), nl=False)
    else:
        write = {"cloudformation": formats.as_cloudformation, "terraform": formats.as_terraform}
        click.echo(write[form](roles), nl=False)


def variables(file: Path | None) -> dict[str, Any]:
    """The values in a vars file; raises ClickException where it has none."""
    if file is None:
        return {}
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise click.ClickException(f"{file}: cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise click.ClickException(f"{file}: has no variables, which are name: value")
    return found
