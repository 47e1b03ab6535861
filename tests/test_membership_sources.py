"""Where members come from, and what is wrong with a file: said by line, before any call."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from c7n.exceptions import PolicyValidationError
from hypothesis import given
from hypothesis import strategies as st

from c7n_secops_membership.members import MembersError, from_files
from tests.emulator import Emulator
from tests.guardduty_fleet import (
    ADMIN,
    ANNA,
    BERT,
    STRANGER,
    Fleet,
    accounts_file,
    email,
    fleet,
    outcomes,
)
from tests.harness import Cli

__all__ = ["fleet"]


def inviting(**members: Any) -> dict[str, Any]:
    action = {"type": "guardduty-invite", "administrator": ADMIN, "members": members}
    return {"name": "under-test", "resource": "aws.account", "actions": [action]}


OTHER_DIGITS = "\N{FULLWIDTH DIGIT THREE}" * 12
ROW = f"{ANNA},{email(ANNA)}\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (f"{ROW}{BERT}\n", 2, "has 1 fields"),
        (f"{ROW}{BERT},b@example.com,bert,more\n", 2, "has 4 fields"),
        (f"{ROW}{BERT};b@example.com\n", 2, "has 1 fields"),
        (f'{ROW}{BERT},"b@example.com\n', 2, "is not CSV"),
        (f"{ROW}\n{ROW}", 3, f"account {ANNA} is at members.csv:1 already"),
        (
            f"account_id,email\n{ROW}22222222222,b@example.com\n",
            3,
            "'22222222222' is not 12 digits",
        ),
        (f"{ROW}2222222222222,b@example.com\n", 2, "'2222222222222' is not 12 digits"),
        (f"{ROW}account_id,email\n", 2, "'account_id' is not 12 digits"),
        (f"{ROW}{OTHER_DIGITS},b@example.com\n", 2, "is not 12 digits"),
        (f"{ROW}{BERT},\n", 2, f"account {BERT} needs an email"),
        (f"{ROW}{BERT},b.example.com\n", 2, f"account {BERT} has no valid email"),
        (f"{ROW}{BERT},{'b' * 60}@example.com\n", 2, "at most 64 characters"),
        (f"{ROW}{ADMIN},a@example.com\n", 2, f"account {ADMIN} is the administrator"),
        (f"{ROW}{BERT},b@example.com,\udcff\n", 2, "is not UTF-8"),
    ],
    ids=[
        "one-field",
        "four-fields",
        "semicolon",
        "open-quote",
        "duplicate",
        "leading-zero-lost",
        "too-long",
        "second-header",
        "other-digits",
        "no-email",
        "bad-email",
        "long-email",
        "administrator",
        "not-utf-8",
    ],
)
def test_a_bad_line_of_csv_is_named_before_any_call(
    fleet: Fleet, text: str, line: int, said: str
) -> None:
    Path("members.csv").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(PolicyValidationError) as raised:
        fleet.run(inviting(csv="members.csv"))
    assert str(raised.value).startswith(
        f"policy:under-test action:guardduty-invite members members.csv:{line}: "
    )
    assert said in str(raised.value)
    assert fleet.emulator.calls() == []


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("accounts:\n  - name: ]\n", 2, "is not YAML"),
        ("accounts:\n  - name: !unknown x\n", 2, "is not YAML"),
        ("accounts:\n  - name: a\n    account_id: 222222222222\n", 2, "is not 12 digits in quotes"),
        ("accounts:\n  - {account_id: '22222'}\n", 2, "'22222' is not 12 digits"),
        ("accounts:\n\n  - {name: x}\n", 3, "is not 12 digits"),
        ("accounts:\n  - anna\n", 2, "is no account"),
        ("accounts:\n  - {account_id: '222222222222', tags: 5}\n", 2, "a list of tags"),
        ("accounts:\n  - {account_id: '2', tags: [[a], {}]}\n", 2, "'2' is not 12 digits"),
        (f"accounts:\n  - {{account_id: '{ANNA}'}}\n", 2, f"account {ANNA} needs an email"),
        (f"accounts:\n  - {{account_id: '{ANNA}', email: 7}}\n", 2, "has no valid email"),
        (
            "accounts:\n" + f"  - {{account_id: '{ANNA}', email: a@b.c}}\n" * 2,
            3,
            "is at accounts.yml:2 already",
        ),
    ],
    ids=[
        "syntax",
        "tag",
        "number",
        "short",
        "no-id",
        "text",
        "tags",
        "tags-of-another-form",
        "no-email",
        "email",
        "duplicate",
    ],
)
def test_a_bad_entry_of_accounts_yml_is_named_before_any_call(
    fleet: Fleet, text: str, line: int, said: str
) -> None:
    Path("accounts.yml").write_text(text)
    with pytest.raises(PolicyValidationError) as raised:
        fleet.run(inviting(**{"accounts-file": "accounts.yml"}))
    assert f"members accounts.yml:{line}: " in str(raised.value)
    assert said in str(raised.value)
    assert fleet.emulator.calls() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no list named accounts"),
        ("[]", "has no list named accounts"),
        ("accounts: {}", "has no list named accounts"),
        (f"accounts:\n  - {{account_id: '{ADMIN}'}}", f"no account beside {ADMIN} is selected"),
    ],
)
def test_a_file_without_members_is_an_error(fleet: Fleet, text: str, said: str) -> None:
    Path("accounts.yml").write_text(text)
    with pytest.raises(PolicyValidationError, match=said):
        fleet.run(inviting(**{"accounts-file": "accounts.yml"}))
    Path("members.csv").write_text("account_id,email\n\n")
    with pytest.raises(PolicyValidationError, match="names no account"):
        fleet.run(inviting(csv="members.csv"))


def test_a_file_that_is_not_there_is_named_in_the_run(fleet: Fleet) -> None:
    with pytest.raises(PolicyValidationError, match=r"members nowhere\.csv: cannot be read"):
        fleet.run(inviting(csv="nowhere.csv"))
    assert fleet.emulator.calls("guardduty") == []


def test_more_members_than_the_limit_are_an_error_and_exactly_the_limit_is_none(
    fleet: Fleet,
) -> None:
    lines = [f"{number:012d},a@example.com\n" for number in range(1, 5002)]
    Path("members.csv").write_text("".join(lines))
    with pytest.raises(PolicyValidationError, match=r"members\.csv:5001: account 000000005001 is "):
        fleet.run(inviting(csv="members.csv"))
    assert fleet.emulator.calls() == []
    Path("members.csv").write_text("".join(lines[:5000]))
    assert len(from_files({"csv": "members.csv"}, ADMIN, 5000)) == 5000


def test_an_organization_over_the_limit_is_an_error_before_guardduty_is_asked(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from c7n.resources import load_resources
    from c7n.resources.aws import AWS

    load_resources(["aws.account"])
    fleet.organization(ANNA, BERT)
    fleet.delegated()
    fleet.emulator.clear_calls()
    cls = AWS.resources["account"].action_registry["guardduty-invite"]
    monkeypatch.setattr(cls, "most", 2)
    with pytest.raises(PolicyValidationError, match=r"AWS Organizations: account \d+ is one more"):
        fleet.run(inviting(organization=True))
    assert fleet.emulator.calls("guardduty") == []


def test_two_files_may_name_an_account_alike_and_not_differently(fleet: Fleet) -> None:
    accounts_file(ANNA, a222222222222={"email": email(ANNA).upper()})
    Path("members.csv").write_text(f"\ufeff{ROW}{BERT}, {email(BERT)} \n")
    source = {"accounts-file": "accounts.yml", "csv": "members.csv"}
    members = from_files(source, ADMIN, 5000, emails=True)
    assert {member.account: member.email for member in members.values()} == {
        ANNA: email(ANNA).upper(),
        BERT: email(BERT),
    }
    Path("members.csv").write_text(f"{ANNA},other@example.com\n")
    with pytest.raises(MembersError, match=r"members\.csv:1: account 2{12} has another email at"):
        from_files(source, ADMIN, 5000)


def test_an_e_mail_that_accounts_yml_lacks_may_stand_in_the_csv(fleet: Fleet) -> None:
    accounts_file(ANNA, a222222222222={"email": ""})
    Path("members.csv").write_text(ROW)
    source = {"accounts-file": "accounts.yml", "csv": "members.csv"}
    assert from_files(source, ADMIN, 5000, emails=True)[ANNA].email == email(ANNA)


def test_tags_select_as_c7n_org_selects(fleet: Fleet) -> None:
    accounts_file(
        ANNA,
        BERT,
        STRANGER,
        a222222222222={"tags": ["type:workload", "env:prod"]},
        a333333333333={},
    )
    fleet.detector(ADMIN)
    run = fleet.run(
        inviting(**{"accounts-file": "accounts.yml", "tags": ["type:workload", "env:prod"]})
    )
    assert outcomes(run, "guardduty-invite").keys() == {ANNA}


def test_tags_without_an_accounts_file_are_an_error(fleet: Fleet) -> None:
    with pytest.raises(PolicyValidationError, match=r"members\.tags select from accounts-file"):
        fleet.run(inviting(organization=True, tags=["type:workload"]))


def test_a_function_cannot_read_a_file(fleet: Fleet) -> None:
    accounts_file(ANNA)
    data = {
        **inviting(**{"accounts-file": "accounts.yml"}),
        "mode": {"type": "periodic", "schedule": "rate(1 day)", "role": "arn:aws:iam::x:role/y"},
    }
    with pytest.raises(PolicyValidationError, match=r"cannot read accounts\.yml in Lambda"):
        fleet.run(data, deploy=True)


@pytest.mark.parametrize("text", [None, "not a member"], ids=["absent", "bad"])
def test_the_file_matters_in_the_administrator_s_account_only(
    fleet: Fleet, text: str | None
) -> None:
    if text:
        Path("members.csv").write_text(text)
    run = fleet.run(inviting(csv="members.csv"), ANNA)
    assert outcomes(run, "guardduty-invite") == {ANNA: ("skipped", "NotAdministrator")}


def test_custodian_validate_finds_the_mistake_and_the_fleet_stops_there(
    cli: Cli, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "members.csv").write_text(f"{ROW}{BERT}\n")
    policy = tmp_path / "invite.yml"
    policy.write_text(
        f"policies:\n- name: invite\n  resource: aws.account\n  actions:\n"
        f"  - {{type: guardduty-invite, administrator: '{ADMIN}', members: {{csv: members.csv}}}}\n"
    )
    done = cli("custodian", "validate", policy)
    assert done.returncode == 1
    assert "members members.csv:2: has 1 fields" in done.stderr
    done = cli("custodian", "run", "-s", "out", "--cache-period", "0", policy)
    assert done.returncode != 0
    assert "members members.csv:2: has 1 fields" in done.stderr
    assert emulator.calls("guardduty") == []


TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)


@given(st.lists(st.lists(TEXT, max_size=4), max_size=5), st.sampled_from([",", ";", "\t"]))
def test_any_csv_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], delimiter: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(table)
    try:
        members = from_files({"csv": str(path)}, ADMIN, 5000)
    except MembersError as error:
        assert str(error).startswith(str(path))
    else:
        assert all(member.account.isdigit() for member in members.values())


@given(TEXT)
def test_any_accounts_file_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yml"
    for content in (text, f"accounts: {text}", f"accounts:\n  - {text}"):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(MembersError) as raised:
            from_files({"accounts-file": str(path)}, ADMIN, 5000)
        assert str(raised.value).startswith(str(path))


@given(st.dictionaries(st.from_regex(r"[2-9][0-9]{11}", fullmatch=True), TEXT, min_size=1))
def test_a_well_formed_csv_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, names: dict[str, str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "good.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([a, email(a), name] for a, name in names.items())
    try:
        members = from_files({"csv": str(path)}, ADMIN, 5000, emails=True)
    except MembersError as error:
        assert "is not CSV" in str(error)  # a NUL character
    else:
        assert {m.account: (m.email, m.name) for m in members.values()} == {
            account: (email(account), name.strip()) for account, name in names.items()
        }
