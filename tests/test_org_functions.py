"""The Lambda functions of a fleet: deployed alike everywhere, compared, and cleaned up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from c7n.version import version as c7n_version

import c7n_secops
from c7n_secops_tools.fleet.functions import built
from tests.emulator import Emulator
from tests.fleet_accounts import HUB, build, ids, name_of, write
from tests.harness import environ, run_cli

ACCOUNTS = ids(2)
REGIONS = ("us-east-1", "eu-west-1")
BUS = "security"
FIRST, REGION = ACCOUNTS[0], REGIONS[0]
FOREIGN = "custodian-of-another-team"
ROLE = "arn:aws:iam::{account_id}:role/CloudCustodian"
ON_BUS: dict[str, Any] = {
    "name": "on-bus",
    "resource": "aws.ec2",
    "mode": {
        "type": "eventbridge",
        "bus": BUS,
        "pattern": {"source": ["acme.edr", "acme.av"]},
        "ids": "detail.id",
        "role": ROLE,
        "environment": {"Variables": {"TOKEN": "hush"}},
    },
}
ON_TRAIL: dict[str, Any] = {
    "name": "on-trail",
    "resource": "aws.s3",
    "mode": {"type": "cloudtrail", "events": ["CreateBucket", "RunInstances"], "role": ROLE},
}
ON_TIME: dict[str, Any] = {
    "name": "on-time",
    "resource": "aws.sqs",
    "mode": {"type": "schedule", "schedule": "rate(1 day)", "scheduler-role": ROLE, "role": ROLE},
}
ON_ACTION: dict[str, Any] = {
    "name": "remediate",
    "resource": "aws.ec2",
    "description": "Stop what a finding names\n",
    "mode": {"type": "hub-action", "role": ROLE},
}
ON_CONFIG: dict[str, Any] = {
    "name": "on-config",
    "resource": "aws.ec2",
    "mode": {"type": "config-rule", "role": ROLE},
}
PULLED: dict[str, Any] = {"name": "pulled", "resource": "aws.sns"}
ALL = (ON_BUS, ON_TRAIL, ON_TIME, PULLED)


class Fleet:
    """Two accounts with two regions and a bus in each; runs ``c7n-secops org functions``."""

    def __init__(self, emulator: Emulator, folder: Path):
        self.emulator, self.folder = emulator, folder
        self.accounts = build(emulator, ACCOUNTS, REGIONS)
        for account in ACCOUNTS:
            for region in REGIONS:
                emulator.client("events", account, region).create_event_bus(Name=BUS)

    def __call__(
        self, command: str, *options: str, policies: Any = ALL, code: int = 0, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        write(self.folder, accounts=self.accounts, policies={"policies": list(policies)})
        words = ("c7n-secops", "org", "functions", command, "-c", "accounts.yml")
        words += ("-u", "policies.yml", "-s", "output", "--parallel", "2", *options)
        env = {**environ(self.emulator, HUB), "COLUMNS": "220", "HOME": str(self.folder), **extra}
        done = run_cli(*words, cwd=self.folder, env=env)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def rows(self, command: str, *options: str, **how: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(
            self(command, "--format", "json", *options, **how).stdout
        )["functions"]
        return rows

    def client(self, service: str, account: str = FIRST, region: str = REGION) -> Any:
        return self.emulator.client(service, account, region)

    def names(self, account: str = FIRST, region: str = REGION) -> set[str]:
        found = self.client("lambda", account, region).list_functions()["Functions"]
        return {function["FunctionName"] for function in found}

    def foreign(self) -> None:
        """A function of another team: Custodian's prefix, and no tag of ours."""
        client = self.client("lambda")
        shown = client.get_function(FunctionName="custodian-on-trail")["Configuration"]
        client.create_function(
            FunctionName=FOREIGN,
            Role=shown["Role"],
            Runtime="python3.12",
            Handler="custodian_policy.run",
            Code={"ZipFile": built.packed(())},
            Tags={"custodian-info": "mode=periodic:version=0.9.40"},
        )
        put_rule(self.client("events"), FOREIGN, "default", arn(FOREIGN))


def arn(function: str, account: str = FIRST, region: str = REGION) -> str:
    return f"arn:aws:lambda:{region}:{account}:function:{function}"


def put_rule(events: Any, name: str, bus: str, target: str) -> None:
    pattern = json.dumps({"source": ["acme"]})
    events.put_rule(Name=name, EventBusName=bus, EventPattern=pattern)
    events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "1", "Arn": target}])


@pytest.fixture
def fleet(emulator: Emulator, tmp_path: Path) -> Fleet:
    return Fleet(emulator, tmp_path)


READS = {
    "AssumeRole",
    "DescribeRule",
    "GetCallerIdentity",
    "GetFunction",
    "GetPolicy",
    "GetSchedule",
    "ListEventBuses",
    "ListRuleNamesByTarget",
    "ListTargetsByRule",
}


def _code(fleet: Fleet) -> None:
    fleet.client("lambda").update_function_code(
        FunctionName="custodian-on-bus", ZipFile=built.packed(())
    )


def _settings(fleet: Fleet) -> None:
    fleet.client("lambda").update_function_configuration(
        FunctionName="custodian-on-trail",
        Timeout=7,
        Role=f"arn:aws:iam::{FIRST}:role/Admin",
        Environment={"Variables": {"AWS_ENDPOINT_URL": "https://evil.example"}},
    )


def _secret(fleet: Fleet) -> None:
    fleet.client("lambda").update_function_configuration(
        FunctionName="custodian-on-bus", Environment={"Variables": {"TOKEN": "stolen"}}
    )


def _concurrency(fleet: Fleet) -> None:
    fleet.client("lambda").put_function_concurrency(
        FunctionName="custodian-on-bus", ReservedConcurrentExecutions=1
    )


def _tag(fleet: Fleet) -> None:
    fleet.client("lambda").tag_resource(Resource=arn("custodian-on-bus"), Tags={"c7n": "0.9.1"})


def _disabled(fleet: Fleet) -> None:
    fleet.client("events").disable_rule(Name="custodian-on-bus", EventBusName=BUS)


def _pattern(fleet: Fleet) -> None:
    fleet.client("events").put_rule(
        Name="custodian-on-trail", EventPattern=json.dumps({"source": ["nothing"]})
    )


def _target(fleet: Fleet) -> None:
    target = {"Id": "more", "Arn": f"arn:aws:sqs:{REGION}:{FIRST}:queue"}
    fleet.client("events").put_targets(Rule="custodian-on-trail", Targets=[target])


def _no_rule(fleet: Fleet) -> None:
    events = fleet.client("events")
    name = {"Rule": "custodian-on-bus", "EventBusName": BUS}
    events.remove_targets(Ids=["custodian-on-bus"], **name)
    events.delete_rule(Name="custodian-on-bus", EventBusName=BUS)


def _other_rule(fleet: Fleet) -> None:
    put_rule(fleet.client("events"), "by-hand", "default", arn("custodian-on-bus"))


def _permission(fleet: Fleet) -> None:
    fleet.client("lambda").add_permission(
        FunctionName="custodian-on-trail",
        StatementId="anybody",
        Action="lambda:InvokeFunction",
        Principal="*",
    )


def _no_permission(fleet: Fleet) -> None:
    fleet.client("lambda").remove_permission(
        FunctionName="custodian-on-trail", StatementId="custodian-on-trail"
    )


def _schedule(fleet: Fleet) -> None:
    client = fleet.client("scheduler")
    found = client.get_schedule(Name="custodian-on-time")
    kept = ("Name", "GroupName", "FlexibleTimeWindow", "Target", "ScheduleExpressionTimezone")
    client.update_schedule(
        **{key: found[key] for key in kept}, State="DISABLED", ScheduleExpression="rate(9 days)"
    )


CHANGES: dict[Callable[[Fleet], None], tuple[str, set[str]]] = {
    _code: ("custodian-on-bus", {"code"}),
    _settings: ("custodian-on-trail", {"Timeout", "Role", "variable AWS_ENDPOINT_URL"}),
    _secret: ("custodian-on-bus", {"variable TOKEN"}),
    _concurrency: ("custodian-on-bus", {"concurrency"}),
    _tag: ("custodian-on-bus", {"tag c7n"}),
    _disabled: ("custodian-on-bus", {"rule State"}),
    _pattern: ("custodian-on-trail", {"rule EventPattern"}),
    _target: ("custodian-on-trail", {"rule targets"}),
    _other_rule: ("custodian-on-bus", {"rule"}),
    _permission: ("custodian-on-trail", {"may invoke"}),
    _no_permission: ("custodian-on-trail", {"may invoke"}),
    _schedule: ("custodian-on-time", {"schedule State", "schedule ScheduleExpression"}),
}


BEYOND_CUSTODIAN = {"rule", "rule targets", "may invoke"}
"""What stock Custodian's deployment does not look at, and so leaves as it is."""


def test_functions_are_alike_everywhere_and_each_change_by_hand_is_reported(fleet: Fleet) -> None:
    assert "pulled" not in fleet("deploy").stdout
    sweep = json.loads((fleet.folder / "output" / "sweep.json").read_text())
    assert sweep["states"] == {"deployed": 12}
    hashes = set()
    for account in ACCOUNTS:
        for region in REGIONS:
            lambdas = fleet.client("lambda", account, region)
            tags = lambdas.get_function(FunctionName="custodian-on-trail")["Tags"]
            assert (tags["c7n"], tags["c7n-secops"]) == (c7n_version, c7n_secops.__version__)
            hashes.add((account, tags[built.ARCHIVE_TAG]))
    assert len(hashes) == len(ACCOUNTS)  # the policy names its account's role, not its region

    before = len(fleet.emulator.calls())
    rows = fleet.rows("drift", PYTHONHASHSEED="7")
    assert [row["state"] for row in rows] == ["same"] * 12, rows
    calls = fleet.emulator.calls()[before:]
    assert {call.operation.rstrip("0123456789_") for call in calls} <= READS

    expected: dict[str, set[str]] = {}
    for change, (function, whats) in CHANGES.items():
        change(fleet)
        expected.setdefault(function, set()).update(whats)
    rows = fleet.rows("drift", code=2)
    here = [row for row in rows if (row["account_id"], row["region"]) == (FIRST, REGION)]
    found = {row["name"]: {one["what"] for one in row["differences"]} for row in here}
    assert found == expected
    assert {row["state"] for row in rows if row not in here} == {"same"}
    assert "stolen" not in json.dumps(rows)
    rules = [d for row in here for d in row["differences"] if d["what"] == "rule"]
    assert rules == [{"what": "rule", "deployed": "by-hand on bus default", "built": None}]

    _no_rule(fleet)
    only = ("-a", FIRST, "-r", REGION)
    shown = fleet("drift", *only, "-p", "on-bus", code=2).stdout
    assert "rule: None instead of custodian-on-bus on bus security" in shown
    fleet("deploy", *only)
    left = {d["what"] for row in fleet.rows("drift", *only, code=2) for d in row["differences"]}
    assert left == BEYOND_CUSTODIAN


def test_a_function_that_is_missing_or_cannot_be_read_is_not_the_same(fleet: Fleet) -> None:
    fleet.emulator.fault(
        "lambda", "GetFunction", code="AccessDeniedException", status=403, account=FIRST
    )
    rows = fleet.rows("drift", "-r", REGION, policies=[ON_TRAIL], code=2)
    assert [(row["account"], row["state"]) for row in rows] == [
        (name_of(FIRST), "unknown"),
        (name_of(ACCOUNTS[1]), "missing"),
    ]
    assert rows[0]["why"].startswith("own permission: ")
    fleet.accounts["accounts"][0]["role"] = f"arn:aws:iam::{FIRST}:role/Nobody"
    rows = fleet.rows("clean", "-r", REGION, policies=[ON_TRAIL], code=2)
    assert [(row["state"], row["why"][:16]) for row in rows] == [("unknown", "role not assumed")]


def test_only_functions_of_ours_without_a_policy_are_removed_with_their_rules(
    fleet: Fleet,
) -> None:
    events, lambdas = fleet.client("events"), fleet.client("lambda")
    fleet("deploy", "-a", FIRST, "-r", REGION)
    fleet.foreign()
    put_rule(events, "custodian-gone", BUS, arn("custodian-gone"))  # as mugc leaves it
    put_rule(events, "custodian-shared", BUS, arn("somebody-s"))
    put_rule(events, "custodian-on-trail", BUS, arn("custodian-on-trail"))  # where it was before
    left = {"policies": [ON_TRAIL, PULLED]}
    stale = {"custodian-on-bus", "custodian-on-time"}
    rules = {"custodian-gone on bus security", "custodian-on-trail on bus security"}

    only = ("-a", FIRST, "-r", REGION)
    listed = fleet.rows("clean", *only, **left)
    assert {row["name"] for row in listed} == stale | rules
    assert {row["state"] for row in listed} == {"stale"}
    assert stale <= fleet.names()

    removed = fleet.rows("clean", *only, "--remove", **left)
    assert [{**row, "state": "stale"} for row in removed] == listed
    assert {row["state"] for row in removed} == {"removed"}
    assert fleet.names() == {"custodian-on-trail", FOREIGN}
    on_bus = events.list_rules(EventBusName=BUS)["Rules"]
    assert [rule["Name"] for rule in on_bus] == ["custodian-shared"]
    default = events.list_rules()["Rules"]
    assert {rule["Name"] for rule in default} == {"custodian-on-trail", FOREIGN}
    assert fleet.client("scheduler").list_schedules()["Schedules"] == []
    assert lambdas.get_policy(FunctionName="custodian-on-trail")["Policy"]

    put_rule(events, "by-hand", BUS, arn(FOREIGN))
    (kept,) = fleet.rows("clean", *only, "--stock", "--remove", **left)
    assert (kept["name"], kept["state"]) == (FOREIGN, "kept")
    assert kept["why"] == "invoked by the rule by-hand on bus security"
    events.remove_targets(Rule="by-hand", EventBusName=BUS, Ids=["1"])
    shown = fleet("clean", *only, "--stock", "--remove", **left).stdout
    assert "1 functions and rules: 1 removed." in shown
    assert fleet.names() == {"custodian-on-trail"}


def differences(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    return {each["what"]: (each["deployed"], each["built"]) for each in rows[0]["differences"]}


ONLY = ("-a", FIRST, "-r", REGION)


def test_changes_of_a_config_rule_by_hand_are_reported(fleet: Fleet) -> None:
    name = "custodian-on-config"
    client, only = fleet.client("config"), {"policies": [ON_CONFIG]}
    fleet("deploy", *ONLY, **only)
    (row,) = fleet.rows("drift", *ONLY, **only)
    assert (row["name"], row["state"]) == (name, "same"), row

    (rule,) = client.describe_config_rules()["ConfigRules"]
    wanted = {key: rule[key] for key in ("ConfigRuleName", "Description", "Source", "Scope")}
    changed = {
        **wanted,
        "Description": "by hand",
        "Scope": {"ComplianceResourceTypes": ["AWS::S3::Bucket"]},
        "Source": {**wanted["Source"], "SourceIdentifier": arn("custodian-on-trail")},
    }
    client.delete_config_rule(ConfigRuleName=name)
    fleet.client("lambda").create_function(
        FunctionName="custodian-on-trail",
        Role=f"arn:aws:iam::{FIRST}:role/CloudCustodian",
        Runtime="python3.12",
        Handler="custodian_policy.run",
        Code={"ZipFile": built.packed(())},
    )
    assert differences(fleet.rows("drift", *ONLY, code=2, **only)) == {"config rule": (None, name)}
    client.put_config_rule(ConfigRule=changed)
    assert differences(fleet.rows("drift", *ONLY, code=2, **only)) == {
        f"config rule {key}": (changed[key], wanted[key])
        for key in ("Description", "Scope", "Source")
    }

    fleet("deploy", *ONLY, **only)
    assert [row["state"] for row in fleet.rows("drift", *ONLY, **only)] == ["same"]
    fleet.emulator.fault("config", "DescribeConfigRules", code="AccessDeniedException")
    (row,) = fleet.rows("drift", *ONLY, code=2, **only)
    assert (row["state"], row["why"][:15]) == ("unknown", "own permission:")


def custom_action(fleet: Fleet, policy: str) -> str:
    arn: str = fleet.client("securityhub").create_action_target(
        Id=policy, Name=f"Ec2 {policy}", Description="Stop what a finding names"
    )["ActionTargetArn"]
    return arn


def rule_of_action(fleet: Fleet, function: str, *resources: Any) -> None:
    """The rest of what a hub-action is, at which Custodian's own deployment fails."""
    events = fleet.client("events")
    pattern = {
        "source": ["aws.securityhub"],
        "detail-type": ["Security Hub Findings - Custom Action", "Security Hub Insight Results"],
        "resources": resources,
    }
    rule = events.put_rule(Name=function, EventPattern=json.dumps(pattern))["RuleArn"]
    events.put_targets(Rule=function, Targets=[{"Id": function, "Arn": arn(function)}])
    fleet.client("lambda").add_permission(
        FunctionName=function,
        StatementId=function,
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule,
    )


def test_changes_of_a_custom_action_by_hand_are_reported(fleet: Fleet) -> None:
    name, hub, only = "custodian-remediate", fleet.client("securityhub"), {"policies": [ON_ACTION]}
    fleet("deploy", *ONLY, code=2, **only)
    (row,) = fleet.rows("drift", *ONLY, code=2, **only)
    assert (row["state"], "not subscribed" in row["why"]) == ("unknown", True)

    hub.enable_security_hub()
    action = f"arn:aws:securityhub:{REGION}:{FIRST}:action/custom/remediate"
    assert differences(fleet.rows("drift", *ONLY, code=2, **only)) == {
        "custom action": (None, action),
        "rule": (None, f"{name} on bus default"),
    }
    rule_of_action(fleet, name, custom_action(fleet, "remediate"))
    before = len(fleet.emulator.calls())
    (row,) = fleet.rows("drift", *ONLY, **only)
    assert (row["name"], row["state"]) == (name, "same"), row
    calls = fleet.emulator.calls()[before:]
    assert {call.operation.rstrip("0123456789_") for call in calls} <= {
        *READS,
        "DescribeActionTargets",
    }
    undescribed = {key: value for key, value in ON_ACTION.items() if key != "description"}
    found = differences(fleet.rows("drift", *ONLY, code=2, policies=[undescribed]))
    assert found["custom action Description"] == ("Stop what a finding names", "remediate")

    hub.update_action_target(ActionTargetArn=action, Name="Ignore", Description="By hand")
    assert differences(fleet.rows("drift", *ONLY, code=2, **only)) == {
        "custom action Name": ("Ignore", "Ec2 remediate"),
        "custom action Description": ("By hand", "Stop what a finding names"),
    }
    fleet.emulator.fault("securityhub", "DescribeActionTargets", code="AccessDeniedException")
    (row,) = fleet.rows("drift", *ONLY, code=2, **only)
    assert (row["state"], row["why"][:15]) == ("unknown", "own permission:")


def test_a_custom_action_goes_with_its_function_and_no_other_does(fleet: Fleet) -> None:
    hub, events = fleet.client("securityhub"), fleet.client("events")
    hub.enable_security_hub()
    moved, shared = ({**ON_ACTION, "name": name} for name in ("moved", "shared"))
    by_trail = {**ON_TRAIL, "name": "trail"}
    fleet("deploy", *ONLY, code=2, policies=[ON_ACTION, moved, shared, by_trail])
    names = ("remediate", "somebodys", "moved", "shared", "trail")
    made = {name: custom_action(fleet, name) for name in names}
    named = (made["remediate"], made["somebodys"], {"prefix": "arn:"}, None)
    rule_of_action(fleet, "custodian-remediate", *named)
    rule_of_action(fleet, "custodian-moved", made["moved"])
    rule_of_action(fleet, "custodian-shared", made["shared"])
    queue = {"Id": "more", "Arn": f"arn:aws:sqs:{REGION}:{FIRST}:queue"}
    events.put_targets(Rule="custodian-shared", Targets=[queue])
    pattern = json.dumps({"resources": [made["trail"]]})
    events.put_rule(Name="custodian-trail", EventPattern=pattern)
    left = {"policies": [{**moved, "mode": {**moved["mode"], "function-prefix": "team-"}}]}

    def actions() -> set[str]:
        return {each["ActionTargetArn"] for each in hub.describe_action_targets()["ActionTargets"]}

    fleet.emulator.fault("securityhub", "DeleteActionTarget", code="AccessDeniedException")
    rows = fleet.rows("clean", *ONLY, "--remove", code=2, **left)
    assert {row["name"]: row["state"] for row in rows} == {
        "custodian-remediate": "unknown",
        "custodian-moved": "removed",
        "custodian-shared": "removed",
        "custodian-trail": "removed",
    }
    assert [row["why"][:12] for row in rows if row["why"]] == ["not removed:"]
    assert actions() == set(made.values())
    assert fleet.names() == {"custodian-remediate"}

    (row,) = fleet.rows("clean", *ONLY, "--remove", **left)
    assert (row["name"], row["state"]) == ("custodian-remediate", "removed")
    assert actions() == set(made.values()) - {made["remediate"]}
    assert fleet.names() == set()
    assert [rule["Name"] for rule in events.list_rules()["Rules"]] == ["custodian-shared"]


PACK = """
import hashlib, os, sys
import c7n_secops_tools.fleet.functions.built as built
walk = os.walk
def backwards(top):
    for root, folders, files in walk(top):
        folders.reverse(); files.reverse()
        yield root, folders, files
if sys.argv[1] == "backwards":
    os.walk = backwards
print(hashlib.sha256(built.packed(("c7n", "c7n_secops"))).hexdigest())
"""


def test_an_archive_has_the_same_bytes_however_files_are_listed(tmp_path: Path) -> None:
    found = {
        run_cli(sys.executable, "-c", PACK, order, cwd=tmp_path, env=environ(None)).stdout
        for order in ("forwards", "backwards")
    }
    assert len(found) == 1
    assert len(found.pop().strip()) == 64
