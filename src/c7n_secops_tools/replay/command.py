"""``c7n-secops replay``: the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import yaml

from c7n_secops_tools.cases.answers import plain
from c7n_secops_tools.cases.policies import InvalidPolicyError, Place
from c7n_secops_tools.cases.reading import DEFAULTS, BadInput, read_event
from c7n_secops_tools.exit_codes import FAILED
from c7n_secops_tools.options import FILE, format_of
from c7n_secops_tools.replay.pattern import PatternError
from c7n_secops_tools.replay.running import Replay, aws_replay, choose, offline_replay
from c7n_secops_tools.report.text import clean

NOT_DELIVERED = 3


@click.command()
@click.argument("event_file", metavar="EVENT.json", type=FILE)
@click.argument("policy_file", metavar="POLICY.yml", type=FILE)
@click.option("-p", "--policy", "name", help="Which policy of the file, where it has several.")
@click.option(
    "--answers",
    type=FILE,
    metavar="CASES.yml",
    help="Offline: a case file has AWS's answers, and the actions run against them.",
)
@click.option("--case", metavar="NAME", help="Of the case file only this case.")
@click.option("--live", is_flag=True, help="Run the actions in AWS. Without it nothing changes.")
@click.option("--account", help="The function's account.  [default: the event's]")
@click.option("--region", help="The function's region.  [default: the event's]")
@click.option("--vars-file", type=FILE, help="Values for the {variables} of the policy, in YAML.")
@format_of("text", "json")
@click.pass_context
def replay(
    context: click.Context,
    event_file: Path,
    policy_file: Path,
    name: str | None,
    answers: Path | None,
    case: str | None,
    live: bool,
    account: str | None,
    region: str | None,
    vars_file: Path | None,
    form: str,
) -> None:
    """Run an event-mode policy on an event, here, through its Lambda handler.

    First the pattern of its EventBridge rule decides. Then the policy reads with your credentials,
    and the actions are only named, with their plans; or --answers stands for AWS.

    Exit codes: 0 it ran; 1 bad input; 2 the policy failed, or a call has no answer; 3 the rule
    does not match the event.
    """
    if live and answers:
        raise click.ClickException("--live acts in AWS and --answers stands for it; choose one")
    if case is not None and answers is None:
        raise click.ClickException("--case is of a case file; name it with --answers")
    try:
        event = read_event(event_file)
        policy = choose(policy_file, name)
        place = Place(
            account or str(event.get("account") or DEFAULTS["account"]),
            region or str(event.get("region") or DEFAULTS["region"]),
            _variables(vars_file),
        )
        if answers is not None:
            done = offline_replay(policy, event, place, answers, case)
        else:
            done = aws_replay(policy, event, place, live)
    except (BadInput, InvalidPolicyError, PatternError) as error:
        raise click.ClickException(clean(str(error))) from error
    (show_json if form == "json" else show)(done)
    if not done.delivered:
        context.exit(NOT_DELIVERED)
    if done.error or done.unanswered:
        context.exit(FAILED)


def show(done: Replay) -> None:
    """Print a replay for people."""
    click.echo(clean(f"policy: {done.policy}"))
    if not done.delivered:
        click.echo("rule: does not match the event; the function would not start")
        for text in done.differs:
            click.echo(f"    {clean(text)}")
        return
    click.echo("rule: matches the event")
    click.echo(clean(f"matched: {', '.join(done.matched) or 'nothing'}"))
    for record in done.not_evaluated:
        text = f"{record['resource']} by {record['element']}: {record['code']}: {record['reason']}"
        click.echo(clean(f"not evaluated: {text}"))
    for call in done.calls:
        click.echo(clean(f"call: {call}"))
    for plan in done.plans:
        click.echo(clean(f"plan: {json.dumps(plain(plan), default=str)}"))
    if done.actions and done.matched:
        click.echo(clean(f"not run without --live: {', '.join(done.actions)}"))
    for text in done.unanswered:
        click.echo(clean(text))
    if done.error and not done.unanswered:
        click.echo(clean(f"failed: {done.error}"))


def show_json(done: Replay) -> None:
    """Print a replay for programs."""
    answer: dict[str, Any] = {
        "policy": done.policy,
        "delivered": done.delivered,
        "differs": done.differs,
        "matched": list(done.matched),
        "resources": list(done.matched.values()),
        "not_evaluated": done.not_evaluated,
        "calls": [_call(call) for call in done.calls],
        "unanswered": done.unanswered,
        "actions": done.actions,
        "plans": done.plans,
        "error": done.error,
    }
    click.echo(json.dumps(plain(answer), indent=2, default=str))


def _call(call: Any) -> dict[str, Any]:
    return {"call": call.name, "params": call.params, "region": call.region}


def _variables(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{file} cannot be read as YAML: {error}") from error
    if not isinstance(values, dict):
        raise BadInput(f"{file} must be a mapping of variables to values")
    return values
