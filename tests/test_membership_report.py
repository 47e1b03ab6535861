"""``c7n-secops membership``: account x region x status, from what the check policies wrote."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from c7n.utils import dumps

from c7n_secops_tools import cli

ADMIN, ONE, TWO = "111111111111", "222222222222", "333333333333"
HERE, THERE = "eu-west-1", "us-east-1"
Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Run ``c7n-secops membership`` in this process: its exit code, output and errors."""

    def run(*arguments: str | Path, command: str = "membership") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["c7n-secops", command, *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code or 0, captured.out, captured.err

    return run


class Tree:
    """Writes runs as c7n-org leaves them."""

    def __init__(self, folder: Path):
        self.folder = folder

    def run(
        self,
        account: str,
        region: str,
        block: dict[str, Any],
        annotation: dict[str, Any] | None = None,
        name: str = "check",
        refused: str = "",
        start: float = 1.0,
        error: bool = False,
    ) -> Path:
        folder = self.folder / f"name-{account}" / region / name
        folder.mkdir(parents=True, exist_ok=True)
        metadata = {
            "policy": {"name": name, "resource": "aws.account", "filters": [block]},
            "config": {"account_id": account, "region": region},
            "execution": {"start": start, "duration": 1.0},
            "metrics": [{"MetricName": "PolicyException"}] if error else [],
        }
        resources = [] if annotation is None else [{"account_id": account, **annotation}]
        records = [
            {
                "element": f"filter:{block['type']}",
                "resource": account,
                "code": refused,
                "reason": "no",
            }
        ]
        (folder / "resources.json").write_text(dumps(resources))
        if refused:
            (folder / "not-evaluated.json").write_text(dumps(records))
        (folder / "metadata.json").write_text(dumps(metadata))
        return folder

    def guardduty(
        self, account: str, region: str, statuses: dict[str, str], status: list[str] | None = None
    ) -> None:
        block: dict[str, Any] = {"type": "guardduty-member", "administrator": ADMIN}
        if status:
            block["status"] = status
        rows = [
            {"AccountId": name, "Status": value, "UpdatedAt": "2026-01-01", "Name": f"n{name[0]}"}
            for name, value in statuses.items()
        ]
        self.run(account, region, block, {"c7n:GuardDutyMembers": rows} if rows else None)

    def inspector(self, account: str, region: str, *on: str) -> None:
        scans = {
            scan: "ENABLED" if scan in on else "DISABLED"
            for scan in ("EC2", "ECR", "LAMBDA", "LAMBDA_CODE")
        }
        annotation = {"c7n:InspectorAccount": {"Scans": scans, "Statuses": {}, "Reasons": {}}}
        self.run(account, region, {"type": "inspector-coverage"}, annotation, "inspector")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "output")


def table(out: str) -> dict[tuple[str, str], dict[str, str]]:
    rows = json.loads(out)["memberships"]
    return {(row["account_id"], row["region"]): row for row in rows}


def test_every_account_has_a_row_for_every_region(invoke, tree):
    tree.guardduty(ADMIN, HERE, {ONE: "Enabled", TWO: "Resigned"})
    tree.guardduty(ADMIN, THERE, {ONE: "Enabled"})
    code, out, _ = invoke(tree.folder, "--format", "json")
    assert code == 0
    rows = table(out)
    assert {place: row["guardduty"] for place, row in rows.items()} == {
        (ADMIN, HERE): "administrator",
        (ADMIN, THERE): "administrator",
        (ONE, HERE): "Enabled",
        (ONE, THERE): "Enabled",
        (TWO, HERE): "Resigned",
        (TWO, THERE): "not evaluated",
    }
    assert rows[TWO, THERE]["detail"] == "GuardDuty: no run looked there"
    assert rows[TWO, HERE]["detail"] == "GuardDuty: since 2026-01-01"
    assert rows[ONE, HERE]["detail"] == ""
    assert rows[ONE, HERE]["account_name"] == "n2"
    assert json.loads(out)["totals"] == {"enabled": 4, "not_enabled": 1, "not_evaluated": 1}


def test_only_services_that_were_asked_have_a_column(invoke, tree):
    tree.guardduty(ADMIN, HERE, {ONE: "Enabled"})
    _, out, _ = invoke(tree.folder, "--format", "csv")
    assert out.splitlines()[0] == "account_id,account_name,region,guardduty,detail"
    tree.inspector(ONE, HERE, "EC2", "ECR", "LAMBDA")
    block = {"type": "inspector-member", "administrator": ADMIN}
    rows = [{"AccountId": ONE, "Status": "ENABLED"}]
    tree.run(ADMIN, HERE, block, {"c7n:InspectorMembers": rows}, "members")
    _, out, _ = invoke(tree.folder, "--format", "csv")
    (row,) = (row for row in csv.DictReader(io.StringIO(out)) if row["account_id"] == ONE)
    assert (row["guardduty"], row["inspector"], row["inspector_member"]) == (
        "Enabled",
        "Enabled",
        "ENABLED",
    )


@pytest.mark.parametrize(
    ("on", "status", "detail"),
    [
        (["EC2", "ECR", "LAMBDA"], "Enabled", ""),
        (["EC2"], "Partly enabled", "Inspector: ECR DISABLED, LAMBDA DISABLED, LAMBDA_CODE DIS"),
        ([], "Disabled", "Inspector: EC2 DISABLED, ECR DISABLED"),
    ],
)
def test_scans_that_are_off_are_named(invoke, tree, on, status, detail):
    tree.inspector(ONE, HERE, *on)
    _, out, _ = invoke(tree.folder, "--format", "json")
    row = table(out)[ONE, HERE]
    assert row["inspector"] == status
    assert row["detail"].startswith(detail)
    assert bool(row["detail"]) is bool(detail)


def test_a_refused_list_makes_its_region_not_evaluated_and_no_other(invoke, tree):
    tree.guardduty(ADMIN, HERE, {ONE: "Enabled"})
    block = {"type": "guardduty-member", "administrator": ADMIN}
    tree.run(ADMIN, THERE, block, refused="AccessDenied")
    _, out, _ = invoke(tree.folder, "--format", "json")
    rows = table(out)
    for account in (ADMIN, ONE):
        assert rows[account, THERE]["guardduty"] == "not evaluated"
        assert rows[account, THERE]["detail"] == "GuardDuty: AccessDenied: no"
    assert rows[ONE, HERE]["guardduty"] == "Enabled"


def test_a_run_that_failed_is_not_evaluated(invoke, tree):
    tree.run(ONE, HERE, {"type": "inspector-coverage"}, error=True)
    _, out, _ = invoke(tree.folder, "--format", "json")
    row = table(out)[ONE, HERE]
    assert row["inspector"] == "not evaluated"
    assert "raised an exception" in row["detail"]


def test_a_later_refusal_takes_back_what_an_earlier_run_said(invoke, tree):
    block = {"type": "guardduty-member", "administrator": ADMIN}
    rows = {"c7n:GuardDutyMembers": [{"AccountId": ONE, "Status": "Enabled"}]}
    tree.run(ADMIN, HERE, block, rows, "a-first", start=1000.0)
    tree.run(ADMIN, HERE, block, None, "b-second", refused="AccessDenied", start=2000.0)
    _, out, _ = invoke(tree.folder, "--format", "json")
    assert table(out)[ONE, HERE]["guardduty"] == "not evaluated"
    tree.run(ADMIN, HERE, block, rows, "a-first", start=3000.0)
    _, out, _ = invoke(tree.folder, "--format", "json")
    assert table(out)[ONE, HERE]["guardduty"] == "Enabled"


@pytest.mark.parametrize(
    ("own", "told", "shown"),
    [
        ("other-administrator", "Invited", "other-administrator"),
        ("no-detector", "Created", "no-detector"),
        ("absent", "Invited", "Invited"),
        ("Enabled", "Enabled", "Enabled"),
        ("absent", None, "absent"),
    ],
)
def test_the_account_s_own_word_counts_where_only_it_can_know(invoke, tree, own, told, shown):
    tree.guardduty(ADMIN, HERE, {ONE: told} if told else {TWO: "Enabled"})
    tree.guardduty(ONE, HERE, {ONE: own})
    _, out, _ = invoke(tree.folder, "--format", "json")
    assert table(out)[ONE, HERE]["guardduty"] == shown


def test_a_filter_that_leaves_accounts_out_proves_no_administrator(invoke, tree):
    tree.guardduty(ADMIN, HERE, {ONE: "Resigned"}, status=["Resigned"])
    _, out, _ = invoke(tree.folder, "--format", "json")
    rows = table(out)
    assert rows[ONE, HERE]["guardduty"] == "Resigned"
    assert rows[ADMIN, HERE]["guardduty"] == "not evaluated"


def test_accounts_that_were_not_swept_are_in_the_table_where_they_are_expected(
    invoke, tree, tmp_path
):
    tree.guardduty(ADMIN, HERE, {ONE: "Enabled"})
    accounts = tmp_path / "accounts.yml"
    accounts.write_text(
        "accounts:\n"
        f'- {{account_id: "{ONE}", name: one, regions: [{HERE}]}}\n'
        f'- {{account_id: "{TWO}", name: two, regions: [{THERE}]}}\n'
    )
    _, out, _ = invoke(tree.folder, "--accounts", accounts, "--format", "json")
    rows = table(out)
    assert set(rows) == {(ADMIN, HERE), (ONE, HERE), (TWO, THERE)}
    assert (rows[TWO, THERE]["account_name"], rows[TWO, THERE]["guardduty"]) == (
        "two",
        "not evaluated",
    )


@pytest.mark.parametrize("text", ["accounts: [1]", "[]", "accounts: [{account_id: '1'}]", "{"])
def test_accounts_that_cannot_be_read_are_bad_input(invoke, tree, tmp_path, text):
    tree.guardduty(ADMIN, HERE, {ONE: "Enabled"})
    accounts = tmp_path / "accounts.yml"
    accounts.write_text(text)
    code, _, err = invoke(tree.folder, "--accounts", accounts)
    assert code == 1
    assert "accounts.yml" in err


@pytest.mark.parametrize(
    ("status", "fail_on", "code"),
    [
        ("Enabled", "not-enabled", 0),
        ("Invited", "not-enabled", 3),
        ("Invited", "not-evaluated", 0),
        (None, "not-enabled", 3),
        (None, "not-evaluated", 3),
    ],
)
def test_the_exit_code_says_whether_all_is_well(invoke, tree, status, fail_on, code):
    tree.guardduty(ADMIN, HERE, {ONE: status} if status else {})
    tree.guardduty(ADMIN, THERE, {ONE: "Enabled"})
    if not status:
        block = {"type": "guardduty-member", "administrator": ADMIN}
        tree.run(ADMIN, HERE, block, refused="AccessDenied")
    assert invoke(tree.folder, "--fail-on", fail_on)[0] == code


def test_a_tree_that_asks_for_no_membership_is_bad_input(invoke, tree):
    tree.run(ONE, HERE, {"type": "inspector-finding"})
    code, _, err = invoke(tree.folder)
    assert code == 1
    assert "policies/guardduty/members.yml" in err


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_shown(invoke, tree):
    tree.guardduty(ADMIN, HERE, {ONE: "Enabled"})
    broken = tree.run(ADMIN, THERE, {"type": "guardduty-member", "administrator": ADMIN})
    (broken / "resources.json").write_text("{")
    code, out, err = invoke(tree.folder)
    assert code == 1
    assert "resources.json" in err
    assert "administrator" in out


def test_hostile_text_is_shown_as_text(invoke, tree):
    rows = [{"AccountId": ONE, "Status": "\x1b[31mred [b]x[/b]", "Name": "=cmd()"}]
    block = {"type": "guardduty-member", "administrator": ADMIN}
    tree.run(ADMIN, HERE, block, {"c7n:GuardDutyMembers": rows})
    _, out, _ = invoke(tree.folder)
    assert "\x1b" not in out
    assert "[b]x[/b]" in out.replace("\n", "")
    _, out, _ = invoke(tree.folder, "--format", "csv")
    (row,) = (row for row in csv.DictReader(io.StringIO(out)) if row["account_id"] == ONE)
    assert row["account_name"] == "'=cmd()"
    assert "\x1b" not in out


def test_rows_of_another_form_are_left_out(invoke, tree):
    block = {"type": "guardduty-member", "administrator": ADMIN}
    rows = ["x", {"AccountId": 1}, {"AccountId": ONE, "Status": None}]
    tree.run(ADMIN, HERE, block, {"c7n:GuardDutyMembers": rows})
    tree.run(ONE, HERE, {"type": "inspector-coverage"}, {"c7n:InspectorAccount": "x"}, "inspector")
    code, out, _ = invoke(tree.folder, "--format", "json")
    assert code == 0
    assert table(out)[ONE, HERE]["inspector"] == "not evaluated"


def test_the_page_has_the_same_table(invoke, tree, tmp_path):
    tree.guardduty(ADMIN, HERE, {ONE: "Enabled", TWO: "<script>"})
    page = tmp_path / "report.html"
    invoke(tree.folder, "--html", page, command="report")
    text = page.read_text()
    section = text[text.index('<section id="memberships">') :].partition("</section>")[0]
    assert section.count("<tr>") == 4
    assert "GuardDuty" in section
    assert "administrator" in section
    assert "&lt;script&gt;" in section
    assert "<script>" not in section


def test_a_page_without_memberships_has_no_such_table(invoke, tree, tmp_path):
    tree.run(ONE, HERE, {"type": "inspector-finding"})
    page = tmp_path / "report.html"
    invoke(tree.folder, "--html", page, command="report")
    assert "memberships" not in page.read_text()


def test_the_table_is_as_wide_as_a_pipe_takes(invoke, tree, monkeypatch):
    monkeypatch.setitem(os.environ, "COLUMNS", "120")
    tree.guardduty(ADMIN, HERE, {ONE: "Enabled"})
    _, out, _ = invoke(tree.folder)
    assert "1 enabled" not in out
    assert "2 enabled, 0 not enabled, 0 not evaluated." in out
