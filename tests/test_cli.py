"""The command line: what it prints, and its exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from c7n.utils import dumps

from c7n_secops_tools import cli
from tests.harness import Cli, Custodian

Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Run ``c7n-secops`` in this process: its exit code, what it printed, and its errors."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["c7n-secops", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        code = left.value.code
        if isinstance(code, str):
            return 1, captured.out, code
        return code or 0, captured.out, captured.err

    return run


def policy_output(folder: Path, name: str = "clean", **files: Any) -> Path:
    """A policy's output folder; ``files`` are named without their endings."""
    output = folder / name
    output.mkdir(parents=True)
    metadata = {
        "policy": {"name": name, "resource": "aws.ec2"},
        "config": {"account_id": "111111111111", "region": "eu-west-1"},
    }
    for file, value in {"metadata": metadata, "resources": [], **files}.items():
        if value is not None:
            file_name = file if file.startswith("action-") else f"{file.replace('_', '-')}.json"
            (output / file_name).write_text(dumps(value))
    return output


REFUSED = [{"element": "filter:x", "resource": "i-1", "code": "AccessDenied", "reason": "no"}]
MATCHED = [{"InstanceId": "i-1"}]
UNSENT = {"action-ssm-patch": {"results": [{"InstanceId": "i-1", "outcome": "failed"}]}}
FAILED = {"metrics": [{"MetricName": "PolicyException", "Value": 1}]}


@pytest.mark.parametrize("columns", [None, "80"])
def test_a_clean_tree_exits_0(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str | None
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    policy_output(tmp_path)
    code, printed, errors = invoke("report", tmp_path)
    assert (code, errors) == (0, "")
    assert "clean" in printed
    assert "111111111111" in printed, "the id is on one line"
    assert "eu-west-1" in printed


def test_what_is_found_alone_does_not_fail(invoke: Invoke, tmp_path: Path) -> None:
    policy_output(tmp_path, resources=MATCHED, not_evaluated=REFUSED, **UNSENT)
    assert invoke("report", tmp_path)[0] == 0


@pytest.mark.parametrize(
    ("option", "files"),
    [
        ("matched", {"resources": MATCHED}),
        ("not-evaluated", {"not_evaluated": REFUSED}),
        ("failed", UNSENT),
    ],
)
def test_fail_on_exits_3_for_its_outcome_and_for_no_other(
    invoke: Invoke, tmp_path: Path, option: str, files: dict[str, Any]
) -> None:
    policy_output(tmp_path, **files)
    others = {"matched", "not-evaluated", "failed"} - {option}
    assert invoke("report", tmp_path, "--fail-on", option)[0] == 3
    assert invoke("report", tmp_path, *(f"--fail-on={other}" for other in others))[0] == 0
    assert invoke("report", tmp_path, "--fail-on", others.pop(), "--fail-on", option)[0] == 3


def test_a_failed_policy_exits_2_whatever_fail_on_says(invoke: Invoke, tmp_path: Path) -> None:
    policy_output(tmp_path, name="fine", resources=MATCHED)
    policy_output(tmp_path, name="broken", metadata={"policy": {"name": "broken"}, **FAILED})
    code, printed, _ = invoke("report", tmp_path, "--fail-on", "matched")
    assert code == 2
    assert "Policies that failed" in printed


def test_a_policy_that_was_stopped_exits_2(invoke: Invoke, tmp_path: Path) -> None:
    policy_output(tmp_path, metadata=None)
    assert invoke("report", tmp_path)[0] == 2


def test_an_unreadable_file_exits_1_after_the_whole_report(invoke: Invoke, tmp_path: Path) -> None:
    policy_output(tmp_path, name="fine", resources=MATCHED)
    broken = policy_output(tmp_path, name="torn") / "resources.json"
    broken.write_text("[{")
    page = tmp_path / "report.html"
    code, printed, errors = invoke("report", tmp_path, "--html", page)
    assert code == 1
    assert "fine" in printed
    assert str(broken) in errors
    assert "run policy torn again, or remove this file" in errors
    assert "i-1" in page.read_text()


def test_an_empty_folder_exits_1_and_says_what_to_give(invoke: Invoke, tmp_path: Path) -> None:
    code, printed, errors = invoke("report", tmp_path)
    assert (code, printed) == (1, "")
    assert str(tmp_path) in errors
    assert "give the folder that custodian run or c7n-org run got with -s" in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report"], "OUTPUT_DIR"),
        (["report", "no-such-folder"], "no-such-folder"),
        (["report", ".", "--fail-on", "everything"], "not-evaluated"),
        (["report", ".", "--format", "xml"], "json"),
        (["report", ".", "--unknown"], "--unknown"),
        (["unknown"], "unknown"),
    ],
)
def test_a_wrong_command_line_exits_1_and_says_why(
    invoke: Invoke, arguments: list[str], said: str
) -> None:
    """Not click's 2, which means here that a policy failed."""
    code, _, errors = invoke(*arguments)
    assert (code, said in errors) == (1, True)


def test_json_alone_is_printed(invoke: Invoke, tmp_path: Path) -> None:
    policy_output(tmp_path, resources=MATCHED)
    code, printed, _ = invoke("report", tmp_path, "--format", "json")
    assert code == 0
    assert json.loads(printed)["totals"]["matched"] == 1


def test_several_folders_are_one_report(invoke: Invoke, tmp_path: Path) -> None:
    policy_output(tmp_path / "a", name="one", resources=MATCHED)
    policy_output(tmp_path / "b", name="two", resources=MATCHED)
    _, printed, _ = invoke("report", tmp_path / "a", tmp_path / "b", "--format", "json")
    totals = json.loads(printed)["totals"]
    assert (totals["runs"], totals["matched"], totals["resources"]) == (2, 2, 1)


def test_a_page_that_cannot_be_written_exits_1(invoke: Invoke, tmp_path: Path) -> None:
    policy_output(tmp_path)
    (tmp_path / "file").write_text("")
    code, _, errors = invoke("report", tmp_path, "--html", tmp_path / "file" / "report.html")
    assert (code, "cannot write" in errors) == (1, True)


def test_without_the_extra_it_says_what_to_install(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "click", None)
    code, _, errors = invoke("report", ".")
    assert (code, errors) == (1, "c7n-secops needs click: pip install 'c7n-secops[report]'")


def test_tables_in_a_pipe_are_wide(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    name = "p" * 64
    policy_output(tmp_path, name=name, resources=MATCHED)
    assert name in invoke("report", tmp_path)[1]


def test_help_names_the_exit_codes(invoke: Invoke) -> None:
    code, printed, _ = invoke("report", "--help")
    assert code == 0
    for text in ("0 all well", "1 bad input", "2 a policy failed", "3 an outcome"):
        assert text in " ".join(printed.split())


def test_the_installed_command_reports_a_shipped_policys_run(
    custodian: Custodian, cli: Cli
) -> None:
    run = custodian("ec2-critical-findings")
    done = cli("c7n-secops", "report", run.output.parent, "--format", "json")
    assert done.returncode == 0, done.stderr
    (line,) = json.loads(done.stdout)["runs"]
    assert (line["policy"], line["state"]) == ("ec2-critical-findings", "ran")
    assert (line["account"], line["region"]) == ("111111111111", "us-east-1")
