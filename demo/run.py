"""Shows c7n-secops at work on an emulated organisation: three accounts, two regions.

It needs no AWS account. Each command is printed before it runs; ``--keep`` leaves the emulator up
afterwards, so that you can repeat them in another terminal. Every step is checked against what the
emulator saw; the exit code is 1 if an effect is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.text import Text

from tests.emulator import Emulator, organisation, running
from tests.emulator.organisation import ACCOUNTS, SECURITY, STAGING, Instance, Organisation

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = Path(sys.executable).parent
"""Where the commands are."""
OUTPUT = Path("demo-output")
REPORT = OUTPUT / "report.html"
REGIONS = ("us-east-1", "eu-west-1")
REFUSED = (STAGING.id, "eu-west-1")
"""Where the role may not read findings."""
INSTANCES = 6
EVENT_POLICY = "ec2-patch-critical-on-finding"
FUNCTION = f"custodian-{EVENT_POLICY}"
PATCH = "AWS-RunPatchBaseline"
SHOWN = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
SAMPLE = ROOT / "tests/events/inspector2-ec2-package-closed-2024.json"
FINDING_WAIT = 60.0

console = Console(highlight=False, soft_wrap=True)
"""Does not fold lines, so that a command can be copied."""


class MissingEffectError(Exception):
    """A step did not do what it should; the message says what is missing."""


class Demo:
    """The steps, on a running emulator."""

    def __init__(self, emulator: Emulator):
        self.emulator = emulator
        environ = emulator.environ(SECURITY.id, REGIONS[0])
        self.environ = {
            **environ,
            "PATH": f"{SCRIPTS}{os.pathsep}{environ.get('PATH', os.defpath)}",
            "AWS_MAX_ATTEMPTS": "2",
            "PYTHONWARNINGS": "ignore",
        }

    def run(self) -> None:
        """All the steps, in order; raises MissingEffectError where an effect is not there."""
        built = self.build()
        self.find(built)
        self.patch(built)
        self.follow_up()
        self.react()
        self.report()

    def build(self) -> Organisation:
        heading("An organisation: accounts security, production and staging, in two regions")
        built = organisation.build(self.emulator, ACCOUNTS, REGIONS, INSTANCES, findings=findings)
        account, region = REFUSED
        self.emulator.fault(
            "inspector2",
            "ListFindings",
            code="AccessDeniedException",
            status=403,
            message="not authorized to perform: inspector2:ListFindings",
            times=None,
            account=account,
            region=region,
        )
        say(f"{len(built.instances)} instances, some vulnerable, some whose agent is offline.")
        say(f"In account {STAGING.name}, region {region}, nobody may read Inspector's findings.")
        say("To repeat the commands below (with --keep the emulator stays up):")
        for name in SHOWN:
            console.print(Text(f"  export {name}={self.environ[name]}", "cyan"))
        return built

    def find(self, built: Organisation) -> None:
        heading("1. What did Inspector find in one account? Read only, stock custodian")
        folder = OUTPUT / "one-account"
        self.command(
            "custodian",
            "run",
            *("--cache-period", "0", "--region", REGIONS[0], "-s", folder),
            *(f"policies/inspector/{name}.yml" for name in ("critical-findings", "unscanned")),
        )
        found = {row["InstanceId"] for row in read(folder / "ec2-critical-findings/resources.json")}
        wanted = set(ids(built, "vulnerable", SECURITY.id, REGIONS[0]))
        check(wanted <= found, f"{len(found)} instances with critical findings that a patch fixes")
        unscanned = read(folder / "ec2-unscanned/resources.json")
        check(bool(unscanned), f"{len(unscanned)} running instances that Inspector does not scan")

    def patch(self, built: Organisation) -> None:
        heading("2. Patch them, in every account and region: stock c7n-org")
        folder = OUTPUT / "organisation"
        self.command(
            "c7n-org",
            "run",
            *("--cache-period", "0", "-c", "accounts.yml", "-s", folder),
            *(word for region in REGIONS for word in ("-r", region)),
            *("-u", "policies/inspector/patch-critical.yml"),
        )
        patched = 0
        for account in ACCOUNTS:
            for region in REGIONS:
                refused = (account.id, region) == REFUSED
                due = [] if refused else ids(built, "vulnerable", account.id, region)
                sent = self.patched(account.id, region)
                place = f"{account.name} {region}"
                check(sent == sorted(due), f"{place}: {len(due)} instances got one patch command")
                patched += len(sent)
                output = folder / account.name / region / "ec2-patch-critical"
                if refused:
                    records = read(output / "not-evaluated.json")
                    codes = {record["code"] for record in records}
                    check(
                        codes == {"AccessDeniedException"},
                        f"{place}: {len(records)} instances recorded as not evaluated",
                    )
        check(patched > 0, f"{patched} instances patched in all")

    def follow_up(self) -> None:
        heading("3. What did patching leave to do? Read only")
        folder = OUTPUT / "after-patching"
        self.command(
            "custodian",
            "run",
            *("--cache-period", "0", "--region", REGIONS[0], "-s", folder),
            "policies/inspector/reboot-pending.yml",
        )
        pending = {row["InstanceId"] for row in read(folder / "ec2-reboot-pending/resources.json")}
        patched = set(self.patched(SECURITY.id, REGIONS[0]))
        check(pending == patched, f"the {len(pending)} patched instances wait for a reboot")

    def react(self) -> None:
        heading("4. Patch the moment Inspector reports: the same policy in a Lambda function")
        self.command(
            "custodian",
            "run",
            *("--region", REGIONS[0], "-s", OUTPUT / "deployed"),
            "policies/inspector/patch-critical-event.yml",
        )
        instance = self.launch()
        event = finding_event(instance)
        for count, what, effect in (
            (1, "a finding", "the instance has got one patch command"),
            (2, "a second one", "no second command: the first is inside the cooldown"),
        ):
            say(f"Inspector reports {what} on the new instance {instance.id}.")
            matched = self.emulator.deliver_event(instance.account, instance.region, event)
            check(matched == 1, "the function's rule takes the event")
            result = self.emulator.wait_for_lambda(
                instance.account, instance.region, FUNCTION, count, FINDING_WAIT
            )[-1]
            error = result.get("error")
            check(not error, f"the function runs ({error or 'no error'})")
            sent = self.patched(instance.account, instance.region)
            check(sent.count(instance.id) == 1, effect)

    def launch(self) -> Instance:
        """A new instance with a critical finding that a patch fixes."""
        network = organisation.create_network(
            self.emulator, SECURITY.id, REGIONS[0], "10.99.0.0/16"
        )
        (instance,) = organisation.build_region(
            self.emulator, SECURITY, REGIONS[0], ["vulnerable"], network, findings
        )
        return instance

    def report(self) -> None:
        heading("5. One report of it all")
        self.command("c7n-secops", "report", OUTPUT, "--html", REPORT)
        check(REPORT.stat().st_size > 0, f"{REPORT} is written")

    def command(self, *words: str | Path) -> None:
        """Print a command, run it, and fail with it."""
        console.print(Text(f"\n$ {shlex.join(map(str, words))}", "bold cyan"))
        done = subprocess.run(
            [str(word) for word in words], cwd=ROOT, env=self.environ, check=False
        )
        check(done.returncode == 0, f"{words[0]} ends with exit code {done.returncode}")

    def patched(self, account: str, region: str) -> list[str]:
        """The instances to which patch commands went, as the emulator's SSM knows them."""
        client = self.emulator.client("ssm", account, region)
        pages = client.get_paginator("list_command_invocations").paginate()
        return sorted(
            invocation["InstanceId"]
            for page in pages
            for invocation in page["CommandInvocations"]
            if invocation["DocumentName"] == PATCH
        )


def findings(
    account: str, region: str, instance_id: str, number: int, details: dict[str, Any]
) -> list[dict[str, Any]]:
    """The emulator's usual findings, and one from a recorded event."""
    recorded = json.loads(SAMPLE.read_text())["detail"]
    now = datetime.now(timezone.utc)
    return [
        *organisation.default_findings(account, region, instance_id, number, details),
        {
            **recorded,
            "awsAccountId": account,
            "findingArn": organisation.finding_arn(account, region, instance_id, "recorded"),
            "status": "ACTIVE",
            **dict.fromkeys(("firstObservedAt", "lastObservedAt", "updatedAt"), now),
            "packageVulnerabilityDetails": {
                **recorded["packageVulnerabilityDetails"],
                "vendorCreatedAt": now,
            },
            "resources": [organisation.ec2_resource(account, region, instance_id, details)],
        },
    ]


def finding_event(instance: Instance) -> dict[str, Any]:
    """The recorded event, as one of a critical finding on this instance."""
    event = json.loads(SAMPLE.read_text())
    (resource,) = event["detail"]["resources"]
    return {
        **event,
        "account": instance.account,
        "region": instance.region,
        "resources": [instance.id],
        "detail": {
            **event["detail"],
            "awsAccountId": instance.account,
            "findingArn": instance.findings[0],
            "severity": "CRITICAL",
            "status": "ACTIVE",
            "resources": [{**resource, "id": instance.id, "region": instance.region}],
        },
    }


def ids(built: Organisation, scenario: str, account: str, region: str) -> list[str]:
    return sorted(instance.id for instance in built.find(scenario, account, region))


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of an output file; none where it is missing."""
    path = ROOT / path
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return rows


def heading(text: str) -> None:
    console.rule(Text(text, "bold"), align="left")


def say(text: str) -> None:
    console.print(Text(text))


def check(there: bool, effect: str) -> None:
    """Print an effect that was seen; raises MissingEffectError for one that was not."""
    if not there:
        raise MissingEffectError(effect)
    console.print(Text("  seen: ", "bold green"), Text(effect), sep="")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave the emulator up until Ctrl-C")
    keep = parser.parse_args().keep
    os.chdir(ROOT)
    shutil.rmtree(OUTPUT, ignore_errors=True)
    start = time.monotonic()
    with running() as emulator:
        try:
            Demo(emulator).run()
        except MissingEffectError as missing:
            console.print(Text(f"  MISSING: {missing}", "bold red"))
            return 1
        say(f"\nDone in {time.monotonic() - start:.0f} s.")
        say(f"Open {(ROOT / REPORT).as_uri()} in a browser: it is one file and needs no network.")
        if keep:
            say(f"The emulator is up at {emulator.url}; Ctrl-C ends it.")
            try:
                while True:
                    time.sleep(3600)
            except KeyboardInterrupt:
                say("")
    return 0


if __name__ == "__main__":
    sys.exit(main())
