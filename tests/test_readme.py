"""Every command that the README shows is run: here, or by the test that is named."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import __main__ as benchmarks
from benchmarks import cold_start
from c7n_secops_tools import cli
from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION, ROOT, Cli
from tests.inspector_data import finding, launch, sample_event

README = (ROOT / "README.md").read_text()
SHELL = re.compile(r"^```shell\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:c7n-secops|custodian|c7n-org|make|pip) [^`]+)`")
ELSEWHERE = {
    "make demo": "test_newcomer.py::test_a_newcomer_gets_from_the_wheel_to_a_lambda_archive",
    "make test": "",
    "make bench": "",
    "make site": "",
    "pip install 'c7n-secops[fleet,report]'": "test_packaging.py::"
    "test_the_extras_that_the_documentation_names_are_there",
    "c7n-secops replay-logs": "test_replay_logs.py::",
    "c7n-secops test policies/inspector --mutate": "test_cases_mutants.py::"
    "test_every_policy_of_a_pack_has_cases_that_notice_each_mutant",
}
"""Who runs it instead; nothing where .ci/run does, one benchmark of all."""
BEFORE = {
    "c7n-secops membership": "c7n-org run -c accounts.yml -s output "
    "-u policies/guardduty/members.yml -p guardduty-members -t type:security"
}
"""What a command needs that the README does not show beside it, but its runbook does."""
FILLED = {"OUTPUT": "output", "NAME": "ec2-nobody-owns"}
FAIL_ON = 3
"""The exit code of what ``--fail-on`` names, which is there: an instance has no agent."""
OTHER = "222222222222"
WHO = {"AWS": f"arn:aws:iam::{ACCOUNT}:root", "Service": "lambda.amazonaws.com"}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": WHO, "Action": "sts:AssumeRole"}],
}


def shown() -> Iterator[str]:
    """Each command, those of the shell blocks first and in their order, without its comment."""
    for block in SHELL.findall(README):
        for line in block.splitlines():
            yield line.partition("  #")[0].strip()
    for command in INLINE.findall(README):
        yield " ".join(command.split())


COMMANDS = [
    command
    for command in dict.fromkeys(filter(None, shown()))
    if not any(other.startswith(f"{command} ") for other in shown())  # the text names it
]


def test_what_is_run_elsewhere_is_run_there() -> None:
    runner = (ROOT / ".ci" / "run").read_text()
    for command, where in ELSEWHERE.items():
        assert command in COMMANDS, f"the README no longer shows {command}"
        file, _, name = where.partition("::")
        if not where:
            assert re.search(rf"^{command}( NAME=\S+)?$", runner, re.MULTILINE)
        else:
            assert f"def {name}" in (ROOT / "tests" / file).read_text()


def test_the_benchmarks_that_the_readme_names_are_all(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", README.partition("## What it costs")[2]))
    assert set(benchmarks.names()) <= named
    assert cold_start.JUDGED in cold_start.shipped_functions()
    assert benchmarks.main(["no-such"]) == 1
    assert "no benchmark no-such; there are calls-finding-join, " in capsys.readouterr().out


@pytest.fixture
def scene(emulator: Emulator, tmp_path: Path) -> Path:
    """A folder like this tree's, two accounts, a vulnerable instance, another without agent."""
    (hit,) = launch(emulator)
    launch(emulator, managed=False)
    emulator.add_findings(ACCOUNT, REGION, [finding(hit)])
    for account in (ACCOUNT, OTHER):
        iam = emulator.client("iam", account, REGION)
        for role in ("CloudCustodian", "c7n-secops-lambda"):
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST))
    accounts = yaml.safe_load((ROOT / "accounts.yml").read_text())
    accounts["accounts"] = [{**each, "regions": [REGION]} for each in accounts["accounts"][:2]]
    (tmp_path / "accounts.yml").write_text(yaml.safe_dump(accounts))
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    critical = {"severity": "CRITICAL", "status": "ACTIVE"}
    event = sample_event("inspector2-ec2-package-closed-2024.json", hit, **critical)
    (tmp_path / "event.json").write_text(json.dumps(event))
    return tmp_path


def test_every_command_runs(
    scene: Path,
    cli: Cli,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(scene)
    ran = []
    for command in COMMANDS:
        if command in ELSEWHERE:
            continue
        words = [
            each
            for word in shlex.split(command)
            for each in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
        ]
        words = [FILLED.get(word, word) for word in words]
        if words[:2] == ["c7n-secops", "report"] and "--fail-on" in words and len(words) == 4:
            words.insert(2, "output")
        for first in (first for name, first in BEFORE.items() if command.startswith(name)):
            done = cli(*shlex.split(first), HOME=str(scene))
            assert done.returncode == 0, done.stdout + done.stderr
        code, said = run(words, cli, monkeypatch, capsys)
        assert code == (FAIL_ON if "--fail-on" in words else 0), f"$ {command}\n{said}"
        ran.append(command)
    assert len(ran) > 10
    output = scene / "output"
    patched = json.loads((output / "ec2-patch-critical" / "action-ssm-patch").read_text())
    assert patched["counts"] == {"sent": 1}
    assert (output / "security" / REGION / "ec2-patch-critical" / "metadata.json").exists()
    assert (output / "sweep.json").exists()
    names = [f["FunctionName"] for f in functions(emulator)]
    assert names == ["custodian-ec2-patch-critical-on-finding"]
    assert (scene / "report.html").exists()
    assert (scene / "policies" / "ec2-nobody-owns.yml").exists()


def functions(emulator: Emulator) -> list[dict[str, Any]]:
    found = emulator.client("lambda", ACCOUNT, REGION).list_functions()["Functions"]
    return list(found)


def run(
    words: list[str],
    other: Cli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[int, str]:
    """A command's exit code and what it said; ours run in this process, which is quicker."""
    if words[0] != "c7n-secops" or words[1] in ("org", "replay"):
        done = other(*words, HOME=str(Path.cwd()))  # Custodian's cache is there
        return done.returncode, done.stdout + done.stderr
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as left:
        cli.main()
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out + captured.err
