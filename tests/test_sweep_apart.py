"""Sweeps without a cluster: one task for each account and region, gathered, and compared."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import decode
from click.testing import CliRunner, Result
from statelint.linter import Linter

from c7n_secops_tools.fleet import command
from c7n_secops_tools.fleet.outcome import FAILED, RAN, Outcome
from tests.emulator import Emulator
from tests.emulator.identity import MACHINES
from tests.emulator.organisation import create_role, trust
from tests.fleet_accounts import HUB, build, ids, name_of, write
from tests.fleet_sweeps import wait_for
from tests.harness import REGION, ROOT, environ, run_cli

TEMPLATE = ROOT / "deploy" / "sweep-state-machine.yml"
TOPICS: dict[str, Any] = {"name": "topics", "resource": "aws.sns"}
BUCKET = "sweeps-of-acme"
VALUES = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "Bucket": BUCKET,
    "Cluster.Arn": f"arn:aws:ecs:{REGION}:{HUB}:cluster/c7n-secops",
    "Concurrency": 2,
    "SubnetA": "subnet-a",
    "SubnetB": "subnet-b",
    "Task": f"arn:aws:ecs:{REGION}:{HUB}:task-definition/c7n-secops-sweep:1",
    "TaskNetwork": "sg-1",
}


def resolved(node: Any) -> Any:
    """A part of the template as CloudFormation would fill it in."""
    if isinstance(node, list):
        return [resolved(value) for value in node]
    if not isinstance(node, dict):
        return node
    if "Fn::Sub" in node:
        return re.sub(r"\$\{([^}]+)\}", lambda found: str(VALUES[found[1]]), node["Fn::Sub"])
    if "Fn::GetAtt" in node:
        return VALUES[".".join(node["Fn::GetAtt"])]
    if "Ref" in node:
        return VALUES[node["Ref"]]
    return {str(key): resolved(value) for key, value in node.items()}


def definition() -> dict[str, Any]:
    template, errors = decode(str(TEMPLATE))
    assert not errors
    found: dict[str, Any] = resolved(
        template["Resources"]["StateMachine"]["Properties"]["Definition"]
    )
    return found


def test_the_state_machine_is_valid_in_amazon_s_language() -> None:
    known = {f'Field "InputType" not allowed in {READER}'}  # documented, unknown to statelint
    assert set(Linter.validate(definition())) <= known
    broken = definition()
    broken["States"]["Count"]["Next"] = "Nowhere"
    assert set(Linter.validate(broken)) - known


READER = "State Machine.States.EveryUnit.ItemReader.ReaderConfig"
HANDLER = """
def handler(event, context):
    command = event["Overrides"]["ContainerOverrides"][0]["Command"]
    if "%s" in command:
        raise RuntimeError("exit code 2")
    return {"TaskArn": "task"}
"""
"""Stands in for a task; for one account it ends as a container with another exit code does."""


COUNTS = {"total": 4, "succeeded": 2}


class Machine:
    """The state machine in the emulator, its ECS tasks replaced by a function."""

    def __init__(self, emulator: Emulator, failing: str):
        self.emulator = emulator
        role = create_role(emulator, MACHINES, "task", trust(Service="lambda.amazonaws.com"))
        arn = role if isinstance(role, str) else f"arn:aws:iam::{MACHINES}:role/task"
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as code:
            code.writestr("task.py", HANDLER % failing)
        emulator.client("lambda", MACHINES, REGION).create_function(
            FunctionName="task",
            Role=arn,
            Runtime="python3.12",
            Handler="task.handler",
            Code={"ZipFile": archive.getvalue()},
        )
        machine = definition()
        every = machine["States"]["EveryUnit"]
        # moto's grammar takes no integer there, and moto never ends a map for it
        assert every["ToleratedFailurePercentage"] == 100
        every["ToleratedFailurePercentage"] = float(every["ToleratedFailurePercentage"])
        for state in (every["ItemProcessor"]["States"]["RunUnit"], machine["States"]["Gather"]):
            state["Resource"] = "arn:aws:states:::lambda:invoke"
            state["Parameters"] = {"FunctionName": "task", "Payload": state["Parameters"]}
            state.pop("ResultSelector", None)
            state.pop("Retry", None)
        # moto cannot call DescribeMapRun: what it would count is checked after the run instead
        machine["States"]["Count"] |= {"Type": "Pass", "Result": COUNTS}
        for key in ("Resource", "Parameters", "ResultSelector"):
            del machine["States"]["Count"][key]
        self.steps = emulator.client("stepfunctions", MACHINES, REGION)
        self.arn = self.steps.create_state_machine(
            name="c7n-secops-sweep", definition=json.dumps(machine), roleArn=arn
        )["stateMachineArn"]

    def run(self, units: str) -> dict[str, Any]:
        """Sweep the units, and return how the execution ended."""
        s3 = self.emulator.client("s3", MACHINES, REGION)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="units/today.json", Body=units.encode())
        given = json.dumps({"units": "units/today.json"})
        execution = self.steps.start_execution(stateMachineArn=self.arn, name="today", input=given)[
            "executionArn"
        ]

        def ended() -> Any:
            found = self.steps.describe_execution(executionArn=execution)
            return found if found["status"] != "RUNNING" else None

        found: dict[str, Any] = wait_for(ended)
        return found

    def commands(self) -> list[list[str]]:
        """What the containers were told to run."""
        return [
            result["event"]["Overrides"]["ContainerOverrides"][0]["Command"]
            for result in self.emulator.lambda_results(MACHINES, REGION, "task")
        ]


@pytest.fixture
def fleet(emulator: Emulator, tmp_path: Path) -> dict[str, Any]:
    accounts = build(emulator, ids(2), (REGION, "eu-west-1"))
    write(tmp_path, accounts=accounts, policies={"policies": [TOPICS]})
    return accounts


def test_every_unit_gets_a_task_although_one_fails_and_the_execution_says_so(
    emulator: Emulator, fleet: dict[str, Any], tmp_path: Path
) -> None:
    env = {**environ(emulator, HUB), "HOME": str(tmp_path)}
    words = ("c7n-secops", "org", "units", "-c", "accounts.yml", "-u", "policies.yml")
    listed = run_cli(*words, cwd=tmp_path, env=env)
    assert listed.returncode == 0, listed.stderr
    units = {(row["account"], row["region"]) for row in json.loads(listed.stdout)}
    assert len(units) == 4
    machine = Machine(emulator, failing=name_of(ids(2)[0]))
    ended = machine.run(listed.stdout)
    assert (ended["status"], ended["error"]) == ("FAILED", "UnitsFailed")
    (ran,) = machine.steps.list_map_runs(executionArn=ended["executionArn"])["mapRuns"]
    counts = machine.steps.describe_map_run(mapRunArn=ran["mapRunArn"])["itemCounts"]
    assert {key: counts[key] for key in COUNTS} == COUNTS
    *commands, gather = machine.commands()
    assert {(command[7], command[9]) for command in commands} == units

    (command,) = (c for c in commands if (c[7], c[9]) == (name_of(ids(2)[1]), REGION))
    told = [
        word.replace("/fleet/", f"{tmp_path}/").replace("/ledger/", f"{tmp_path}/ledger/")
        for word in command
    ]
    for _ in range(2):  # delivered twice: the second finds that all is done
        ran = run_cli("c7n-secops", *told, cwd=tmp_path, env=env)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 units (1 kept from before), 0 not well." in ran.stdout
    gather = [word.replace("/ledger/", f"{tmp_path}/ledger/") for word in gather]
    done = run_cli("c7n-secops", *gather, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    s3 = emulator.client("s3", MACHINES, REGION)
    sweep = json.load(s3.get_object(Bucket=BUCKET, Key="sweeps/today/sweep.json")["Body"])
    (unit,) = sweep["units"]
    assert (unit["account"], unit["region"], unit["matched"]) == (command[7], REGION, 0)
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix="sweeps/today/")["Contents"]
    assert f"sweeps/today/{command[7]}/{REGION}/topics/" in str([each["Key"] for each in found])


# two sweeps compared


def sweep(path: Path, **matched: int | None) -> Path:
    """A ``sweep.json``; the keys are policies, None is one that did not finish."""
    units = [
        Outcome(
            "prod", "1" * 12, REGION, policy, "aws.sns", RAN if count is not None else FAILED, count
        )
        for policy, count in matched.items()
    ]
    data = {"started": "2026-01-01", "ended": "2026-01-02", "dryrun": True, "kept": 0}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**data, "units": [unit.as_json() for unit in units]}))
    return path


def org(*words: str | Path) -> Result:
    return CliRunner().invoke(command.org, [str(word) for word in words])


def test_what_matches_more_or_fewer_than_before_is_said_and_the_unknown_is_no_zero(
    tmp_path: Path,
) -> None:
    old = sweep(tmp_path / "old.json", same=3, more=1, fewer=2, lost=4, found=None, gone=5)
    new = sweep(tmp_path / "new.json", same=3, more=2, fewer=0, lost=None, found=0, new=1)
    done = org("diff", old, new, "--format", "json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    changes = {row["policy"]: (row["before"], row["now"], row["kind"]) for row in said["changes"]}
    assert changes == {
        "more": (1, 2, "more"),
        "fewer": (2, 0, "fewer"),
        "lost": (4, None, "not known any more"),
        "found": (None, 0, "known now"),
        "gone": (5, None, "gone"),
        "new": (None, 1, "new"),
    }
    assert said["kinds"]["more"] == 1
    shown = org("diff", old, new)
    assert "1 fewer, 1 gone, 1 known now, 1 more, 1 new, 1 not known any more" in shown.output


@pytest.mark.parametrize(
    ("before", "now", "code"),
    [
        ({"a": 1}, {"a": 2}, 3),
        ({}, {"a": 1}, 3),
        ({}, {"a": 0}, 0),
        ({"a": 1}, {"a": 1}, 0),
        ({"a": 1}, {"a": 0}, 0),
        ({"a": 1}, {"a": None}, 0),
    ],
)
def test_only_more_matches_fail_where_they_are_to(
    before: dict[str, int | None], now: dict[str, int | None], code: int, tmp_path: Path
) -> None:
    old, new = sweep(tmp_path / "old.json", **before), sweep(tmp_path / "new.json", **now)
    assert org("diff", old, new, "--fail-on-more").exit_code == code
    assert org("diff", old, new).exit_code == 0


def test_sweeps_are_gathered_and_one_that_is_not_well_is_no_success(tmp_path: Path) -> None:
    ledger, out = tmp_path / "ledger", tmp_path / "sweep.json"
    sweep(ledger / "one" / "sweep.json", a=1)
    sweep(ledger / "two" / REGION / "sweep.json", b=2)
    done = org("gather", ledger, "-o", out)
    assert done.exit_code == 0, done.output
    assert [unit["policy"] for unit in json.loads(out.read_text())["units"]] == ["a", "b"]
    sweep(ledger / "three" / "sweep.json", c=None)
    done = org("gather", ledger, "-o", out)
    assert (done.exit_code, done.output) == (2, f"3 units, 1 not well, in {out}\n")
    assert json.loads(out.read_text())["states"] == {"failed": 1, "ran": 2}


def test_what_is_no_sweep_is_refused(tmp_path: Path) -> None:
    good, bad = sweep(tmp_path / "good.json", a=1), tmp_path / "bad.json"
    bad.write_text('{"units": [{}]}')
    done = org("diff", good, bad)
    assert done.exit_code == 1
    assert "bad.json is no sweep.json" in done.output
    (tmp_path / "empty").mkdir()
    done = org("gather", tmp_path / "empty", "-o", tmp_path / "out.json")
    assert (done.exit_code, "there is no sweep.json below" in done.output) == (1, True)
