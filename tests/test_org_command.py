"""The command line of sweeps: what it refuses before any account is touched, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from c7n.resources import load_resources
from rich.console import Console

from c7n_secops_tools.fleet import accounts, policies, show
from c7n_secops_tools.fleet.local import Inline
from c7n_secops_tools.fleet.outcome import Outcome, Why
from c7n_secops_tools.fleet.sweep import Sweep
from c7n_secops_tools.report.text import NOT_SAID
from tests.emulator import Emulator
from tests.fleet_accounts import ids
from tests.fleet_sweeps import Fleet
from tests.harness import ROOT, Cli

TOPICS: dict[str, Any] = {"name": "topics", "resource": "aws.sns"}
ACCOUNT: dict[str, Any] = {
    "account_id": "111111111111",
    "name": "production",
    "role": "CloudCustodian",
    "regions": ["us-east-1"],
}


@pytest.fixture
def fleet(emulator: Emulator, tmp_path: Path) -> Fleet:
    return Fleet(emulator, tmp_path)


# the accounts file


def problems(**changes: Any) -> list[str]:
    account = {key: value for key, value in {**ACCOUNT, **changes}.items() if value is not None}
    return list(accounts.problems({"accounts": [account]}))


def test_the_example_is_valid_and_says_what_each_key_is() -> None:
    text = (ROOT / "accounts.yml").read_text()
    assert list(accounts.problems(yaml.safe_load(text))) == []
    keys = accounts.schema()["$defs"]["account"]["properties"]
    assert {key for key in keys if f"# {key} " not in text} == set()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"account_id": 111111111111}, "account production account_id: 111111111111 is not"),
        ({"account_id": "1234"}, "account production account_id: '1234' does not match"),
        ({"reigons": ["us-east-1"]}, "account production: Additional properties"),
        ({"regions": ["Ireland"]}, "account production regions.0: 'Ireland' does not match"),
        ({"regions": "us-east-1"}, "account production regions: 'us-east-1' is not"),
        ({"role": None}, "account production: needs a role to assume or a profile"),
        ({"role": ["a b"]}, "account production role:"),
        ({"vars": {"a b": 1}}, "account production vars:"),
        ({"tags": "prod"}, "account production tags:"),
        ({"name": "../etc"}, "account ../etc name:"),
        ({"name": "a/b"}, "account a/b name:"),
        ({"name": None}, "account number 1: 'name' is a required property"),
    ],
)
def test_a_problem_names_the_account_and_the_key(changes: dict[str, Any], said: str) -> None:
    found = problems(**changes)
    assert len(found) == 1
    assert found[0].startswith(said)


def test_what_c7n_org_accepts_of_an_account_is_accepted() -> None:
    assert (
        problems(
            role=["arn:aws:iam::111111111111:role/a", "arn:aws:iam::2" + "2" * 11 + ":role/b/c"]
        )
        == []
    )
    assert problems(role=None, profile="production") == []
    assert (
        problems(display_name="P", email="a@b", org_id="o-1", external_id="xy", vars={"a": [1]})
        == []
    )
    assert problems(regions=["all"], tags=["path:/a", "env:prod"]) == []


def test_accounts_of_one_name_are_refused() -> None:
    found = list(accounts.problems({"accounts": [ACCOUNT, {**ACCOUNT, "account_id": "2" * 12}]}))
    assert found == ["account production: 2 accounts have this name and would share one folder"]


@pytest.mark.parametrize(
    "data", [None, [], {}, {"accounts": {}}, {"accounts": []}, {"accounts": [1]}]
)
def test_a_file_of_another_form_is_refused(data: Any) -> None:
    assert list(accounts.problems(data))


def test_accounts_of_other_clouds_are_sent_to_c7n_org() -> None:
    (said,) = accounts.problems({"subscriptions": []})
    assert "use c7n-org run for subscriptions" in said


# policies and variables


def test_variables_without_a_value_are_listed_for_each_account() -> None:
    policy = {
        **TOPICS,
        "mode": {
            "type": "periodic",
            "schedule": "rate(1 day)",
            "role": "arn:aws:iam::{account_id}:role/x",
        },
        "filters": [
            {"Name": "{team}-{region}"},
            {"type": "value", "key": "x", "value": "{{later}}"},
            {"type": "value", "key": "y", "value": '{ "json": 1 }'},
        ],
        "actions": [{"type": "mark-for-op", "op": "delete", "msg": "{op}@{action_date}, {stage}"}],
    }
    load_resources(("aws.sns",))
    accounts_ = [{**ACCOUNT, "vars": {"team": "x"}}, {**ACCOUNT, "name": "staging"}]
    found = list(policies.undefined([policy], accounts_))
    assert [line.partition(" without")[0] for line in found] == [
        "account production: policy topics uses {stage}",
        "account staging: policy topics uses {stage}, {team}",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"filters": [{"type": "valu", "key": "x"}]}, "policy topics:"),
        ({"filters": [{"type": "value", "kay": "x"}]}, "policy topics:"),
        ({"actons": []}, "actons"),
        ({"resource": "aws.topic"}, "policy topics: there is no resource aws.topic"),
        ({"resource": "gcp.instance"}, "policy topics: only AWS resources are swept"),
        ({"filters": [{"Owner": "{owner}"}]}, "account member-001: policy topics uses {owner}"),
        (
            {"filters": [{"type": "value", "key": "x", "op": "regex", "value": "("}]},
            "policy topics:",
        ),
    ],
)
def test_a_bad_policy_ends_the_sweep_before_any_account_is_touched(
    emulator: Emulator, fleet: Fleet, change: dict[str, Any], said: str
) -> None:
    fleet.build(ids(1), ("us-east-1",))
    emulator.clear_calls()
    good = {"name": "good", "resource": "aws.sns"}
    done = fleet.sweep([good, {**TOPICS, **change}])
    assert (done.code, said in done.errors) == (1, True), done.errors
    assert emulator.calls() == []
    assert not done.output.exists()


def test_names_that_select_nothing_are_refused(emulator: Emulator, fleet: Fleet) -> None:
    fleet.build(ids(1), ("us-east-1",))
    emulator.clear_calls()
    for option, name in (("-a", "nobody"), ("-p", "nothing"), ("-t", "no:tag")):
        done = fleet.sweep([TOPICS], option, name)
        assert done.code == 1
        assert name in done.errors or "nothing to run" in done.errors
    assert emulator.calls() == []


def test_an_output_that_is_no_folder_needs_a_ledger(emulator: Emulator, fleet: Fleet) -> None:
    fleet.build(ids(1), ("us-east-1",))
    done = fleet.sweep([TOPICS], "-s", "s3://bucket/x?region=us-east-1")
    assert (done.code, "--ledger" in done.errors) == (1, True)


def test_options_of_c7n_org_select_as_they_do_there(emulator: Emulator, fleet: Fleet) -> None:
    one, two, three = ids(3)
    fleet.build([one, two, three], ("us-east-1",), tags=["env:prod"])
    fleet.accounts["accounts"][2]["tags"] = []
    tagged = {"name": "tagged", "resource": "aws.sns", "tags": ["x"]}
    users = {"name": "users", "resource": "aws.iam-user", "tags": ["x"]}
    done = fleet.sweep(
        [TOPICS, tagged, users],
        *("-t", "env:prod", "--not-accounts", two, "-l", "x", "--resource", "aws.sns"),
        *("-r", "eu-west-1", "--dryrun", "-v", "--cache-path", "kept"),
    )
    assert done.code == 0, done.errors
    assert done.states() == {("member-001", "eu-west-1", "tagged"): "dry run"}
    assert done.sweep["dryrun"] is True
    assert "Running policy:tagged" in done.errors, "-v logs"
    assert (fleet.folder / "kept").is_dir()


def test_a_policy_of_a_grave_severity_that_matched_exits_3(
    emulator: Emulator, fleet: Fleet
) -> None:
    (account,) = ids(1)
    fleet.build([account], ("us-east-1",))
    emulator.client("sns", account, "us-east-1").create_topic(Name="t")
    policy = {**TOPICS, "metadata": {"severity": "high"}}
    assert fleet.sweep([policy], "--fail-on", "high").code == 3
    assert fleet.sweep([policy], "--fail-on", "critical", "--debug").code == 0


def test_help_names_the_exit_codes(offline_cli: Cli) -> None:
    done = offline_cli("c7n-secops", "org", "run", "--help")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    for text in ("0 all well", "1 bad input", "2 something failed", "3 something of the severity"):
        assert text in said


def test_every_option_of_c7n_org_run_is_there() -> None:
    from c7n_org.cli import run as stock

    from c7n_secops_tools.fleet.command import run

    ours = {option for parameter in run.params for option in parameter.opts}
    assert {option for parameter in stock.params for option in parameter.opts} <= ours


# what is shown


def outcomes() -> list[Outcome]:
    whys = [
        Why("own permission", "AccessDenied", "[red]no[/red]\x1b[2J", None),
        Why("throttled", "SlowDown", "slow", 3),
    ]
    return [
        Outcome("a", "1" * 12, "us-east-1", "p", "aws.sns", "ran", 2, None, 0),
        Outcome("b", "2" * 12, "us-east-1", "p", "aws.sns", "failed", not_evaluated=whys[:1]),
        Outcome("c", "3" * 12, "us-east-1", "p", "aws.sns", "incomplete", 1, 1, 1, whys[1:]),
        Outcome("d", "4" * 12, "us-east-1", "q", "aws.sns", "failed", not_evaluated=whys[:1]),
    ]


def sweep_of(found: list[Outcome]) -> Sweep:
    unused: Any = None
    sweep = Sweep([], [], [], unused, unused, Inline, unused)
    sweep.outcomes = found
    return sweep


def test_the_summary_adds_up_and_shows_no_zero_for_what_is_not_known() -> None:
    console = Console(width=200)
    with console.capture() as capture:
        show.summary(sweep_of(outcomes()), console)
    rows = {}
    for line in capture.get().splitlines():
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        rows[cells[0]] = cells[1:]
    assert rows["p"][:5] == ["3", "1", "3", "1", "1"]
    assert set(rows["p"][5].split(", ")) == {"1 units: own permission", "3 resources: throttled"}
    assert rows["q"][:5] == ["1", "0", NOT_SAID, NOT_SAID, NOT_SAID]
    assert "[red]no[/red]" in rows["b"][3]
    assert "\x1b" not in rows["b"][3]
    assert "actions failed on 1 resources" in rows["c"][3]
    assert "4 units, 3 not well." in capture.get()


def test_a_terminal_gets_a_bar_with_the_time_that_is_left() -> None:
    console = Console(width=120, force_terminal=True)
    with console.capture() as capture, show.BarProgress(console) as progress:
        progress.total(8)
        progress.ended(outcomes())
        progress.tick()
        assert progress.bar.live.auto_refresh is False, "no thread may be copied into workers"
    assert "4/8" in capture.get()
    assert "3 not well" in capture.get()
    assert "-:--:--" in capture.get() or "0:00:0" in capture.get()


def test_a_log_gets_a_line_for_what_ended() -> None:
    console = Console(width=120)
    with console.capture() as capture, show.LineProgress(console) as progress:
        progress.total(8)
        progress.ended(outcomes()[:2])
        progress.ended([])
        progress.tick()
    assert capture.get() == "2/8 a us-east-1, b us-east-1: 1 ran, 1 failed\n"


# accounts out of AWS Organizations

MANAGEMENT = "999999999999"


@pytest.fixture
def organisation(emulator: Emulator) -> dict[str, str]:
    """The ids of a few accounts by name; one is suspended."""
    client = emulator.client("organizations", MANAGEMENT)
    client.create_organization(FeatureSet="ALL")
    root = client.list_roots()["Roots"][0]["Id"]
    unit = client.create_organizational_unit(ParentId=root, Name="Work")["OrganizationalUnit"]["Id"]
    deep = client.create_organizational_unit(ParentId=unit, Name="Prod")["OrganizationalUnit"]["Id"]
    made = {}
    for name, parent in (("shop/web", deep), ("bank", unit), ("closed", unit), ("tools", root)):
        status = client.create_account(
            AccountName=name, Email=f"{len(made)}@example.com", Tags=[{"Key": "env", "Value": name}]
        )["CreateAccountStatus"]
        made[name] = status["AccountId"]
        if parent != root:
            client.move_account(
                AccountId=made[name], SourceParentId=root, DestinationParentId=parent
            )
    client.close_account(AccountId=made["closed"])
    emulator.seed("account", made["bank"], "aws", "regions", {"ap-southeast-3": "ENABLED"})
    return made


def test_accounts_of_an_organisation_become_an_accounts_file(
    emulator: Emulator, organisation: dict[str, str], cli: Cli
) -> None:
    done = cli("c7n-secops", "org", "accounts", "--role", "Reader", account=MANAGEMENT)
    assert done.returncode == 0, done.stderr
    data = yaml.safe_load(done.stdout)
    assert list(accounts.problems(data)) == []
    by_name = {account["name"]: account for account in data["accounts"]}
    assert "closed" not in by_name
    bank = by_name["bank"]
    assert bank["account_id"] == organisation["bank"]
    assert bank["role"] == f"arn:aws:iam::{organisation['bank']}:role/Reader"
    assert "ap-southeast-3" in bank["regions"]
    assert "eu-south-1" not in bank["regions"]
    assert bank["tags"] == ["path:/Work", "env:bank"]
    web = by_name["shop-web"]
    assert (web["display_name"], "ap-southeast-3" in web["regions"]) == ("shop/web", False)
    assert web["tags"] == ["path:/Work", "path:/Work/Prod", "env:shop/web"]
    assert bank["org_id"].startswith("o-")


def test_accounts_are_narrowed_and_written_to_a_file(
    emulator: Emulator, organisation: dict[str, str], cli: Cli, tmp_path: Path
) -> None:
    done = cli(
        *("c7n-secops", "org", "accounts", "--ou", "/Work", "-r", "eu-west-1", "-o", "out.yml"),
        *("-i", organisation["bank"], "--role", "arn:aws:iam::{Id}:role/path/Reader"),
        account=MANAGEMENT,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    (account,) = yaml.safe_load((tmp_path / "out.yml").read_text())["accounts"]
    assert account["name"] == "shop-web"
    assert account["regions"] == ["eu-west-1"]
    assert account["role"].endswith(f"{organisation['shop/web']}:role/path/Reader")
    assert emulator.calls("account") == []


def test_regions_that_are_not_told_are_asked_for_by_the_sweep(
    emulator: Emulator, organisation: dict[str, str], cli: Cli
) -> None:
    emulator.fault("account", "ListRegions", code="AccessDeniedException", status=403, times=None)
    done = cli("c7n-secops", "org", "accounts", account=MANAGEMENT)
    assert done.returncode == 0
    assert {tuple(each["regions"]) for each in yaml.safe_load(done.stdout)["accounts"]} == {
        ("all",)
    }
    assert f"account {organisation['bank']}: regions: all" in done.stderr


def test_an_organisation_that_is_refused_exits_2(
    emulator: Emulator, organisation: dict[str, str], cli: Cli
) -> None:
    unknown = cli("c7n-secops", "org", "accounts", "--ou", "/Play", account=MANAGEMENT)
    assert (unknown.returncode, "Play" in unknown.stderr) == (1, True)
    emulator.fault("organizations", "ListRoots", code="AccessDeniedException", times=None)
    done = cli("c7n-secops", "org", "accounts", account=MANAGEMENT)
    assert (done.returncode, "AccessDeniedException" in done.stderr) == (2, True)


def test_accounts_of_one_name_get_their_ids(emulator: Emulator) -> None:
    from c7n_secops_tools.fleet.organisation import _distinct, as_yaml

    twins = [{**ACCOUNT, "account_id": each * 12} for each in "12"]
    named = _distinct([dict(twin) for twin in twins])
    assert [each["name"] for each in named] == [f"production-{n * 12}" for n in "12"]
    assert json.loads(json.dumps(yaml.safe_load(as_yaml(named))))["accounts"] == named
