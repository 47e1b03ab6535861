"""Sweeps over a fleet: nothing is missed, nothing crosses, and what is left is run again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.fleet_accounts import ids, name_of
from tests.fleet_sweeps import Fleet
from tests.harness import Cli

VAULTS: dict[str, Any] = {"name": "vaults", "resource": "aws.glacier"}
TOPICS: dict[str, Any] = {"name": "topics", "resource": "aws.sns"}
USERS: dict[str, Any] = {"name": "users", "resource": "aws.iam-user"}
LACKING = "ca-west-1"
"""A region that has no Glacier, as botocore knows."""


@pytest.fixture
def fleet(emulator: Emulator, tmp_path: Path) -> Fleet:
    return Fleet(emulator, tmp_path)


def deny(emulator: Emulator, service: str, operation: str, why: str = "", **where: Any) -> None:
    emulator.fault(
        service,
        operation,
        code="AccessDeniedException",
        status=403,
        message=f"is not authorized to perform: {service}:{operation} {why}".strip(),
        times=None,
        **where,
    )


def test_nothing_is_missed_over_40_accounts_and_3_regions(emulator: Emulator, fleet: Fleet) -> None:
    accounts, regions = ids(40), ("us-east-1", "eu-west-1", LACKING)
    fleet.build(accounts, regions)
    cut_off, denied, guarded, throttled, hanging, roleless = accounts[:6]
    fleet.accounts["accounts"][5]["role"] = f"arn:aws:iam::{roleless}:role/Missing"
    emulator.fault("glacier", "*", kind="crash", times=None, region=LACKING)
    emulator.fault("sts", "AssumeRole", kind="crash", times=None, contains=cut_off)
    deny(emulator, "glacier", "ListVaults", account=denied)
    by_resource = "because no resource-based policy allows the glacier:ListVaults action"
    deny(emulator, "glacier", "ListVaults", by_resource, account=guarded)
    emulator.fault("glacier", "ListVaults", code="RequestThrottled", times=None, account=throttled)
    emulator.fault("glacier", "ListVaults", kind="timeout", account=hanging, region="us-east-1")

    process = fleet.start([VAULTS], "--parallel", "4")
    fleet.kill_worker(name_of(hanging), "us-east-1", "vaults")
    first = fleet.ended(process)

    assert first.code == 2, first.errors
    expected = {}
    for account in accounts:
        for region in regions:
            state, why = "ran", []
            if account == cut_off:
                state, why = "failed", ["unreachable"]
            elif account == roleless:
                state, why = "failed", ["role not assumed"]
            elif region == LACKING:
                state, why = "service absent in the region", ["service absent in the region"]
            elif account == denied:
                state, why = "failed", ["own permission"]
            elif account == guarded:
                state, why = "failed", ["resource policy"]
            elif account == throttled:
                state, why = "failed", ["throttled"]
            elif (account, region) == (hanging, "us-east-1"):
                state, why = "lost", ["worker died"]
            counted = (0, 0, 0) if state == "ran" else (None, None, None)
            expected[name_of(account), region, "vaults"] = state, why, counted
    found = {
        name: (
            unit["state"],
            [each["why"] for each in unit["not_evaluated"]],
            (unit["matched"], unit["acted"], unit["failed"]),
        )
        for name, unit in first.units.items()
    }
    assert found == expected
    assert "was killed by SIGKILL" in first.printed
    for name, (state, _, _) in expected.items():
        listed = all(word in first.printed for word in name)
        assert listed or state == "ran"

    emulator.clear_faults()
    emulator.fault("glacier", "*", kind="crash", times=None, region=LACKING)
    fleet.accounts["accounts"][5]["role"] = fleet.accounts["accounts"][4]["role"].replace(
        hanging, roleless
    )
    emulator.clear_calls()
    second = fleet.sweep([VAULTS], "--parallel", "4", "--resume")
    assert second.code == 0, second.printed
    left = {name for name, (state, _, _) in expected.items() if state in ("failed", "lost")}
    assert second.sweep["kept"] == len(expected) - len(left)
    asked = Counter(call.account for call in emulator.calls("glacier", "ListVaults"))
    assert set(asked) == {cut_off, denied, guarded, throttled, hanging, roleless}
    assert set(second.states().values()) == {"ran", "service absent in the region"}
    assert len(second.units) == len(expected)


TAG = {
    "name": "tag",
    "resource": "aws.sns",
    "actions": [{"type": "tag", "key": "owner", "value": "{account_id}"}],
}


def topics(emulator: Emulator, accounts: list[str], regions: tuple[str, ...]) -> None:
    for account in accounts:
        for region in regions:
            emulator.client("sns", account, region).create_topic(Name="t")


def owners(emulator: Emulator, account: str, region: str) -> dict[str, str]:
    """The tags of the one topic there."""
    client = emulator.client("sns", account, region)
    (topic,) = client.list_topics()["Topics"]
    tags = client.list_tags_for_resource(ResourceArn=topic["TopicArn"])["Tags"]
    return {tag["Key"]: tag["Value"] for tag in tags}


def assert_none_cross(emulator: Emulator, fleet: Fleet, sweeps: int, *options: str) -> None:
    """Sweep 20 accounts and two regions so often, each time with a tag of its own."""
    accounts, regions = ids(20), ("us-east-1", "eu-west-1")
    fleet.build(accounts, regions)
    topics(emulator, accounts, regions)
    for number in range(1, sweeps + 1):
        tag = {"type": "tag", "key": f"owner-{number}", "value": "{account_id}"}
        done = fleet.sweep([{**TAG, "actions": [tag]}], *options)
        assert done.code == 0, done.printed
        assert {unit["matched"] for unit in done.units.values()} == {1}
        for account in accounts:
            for region in regions:
                found = owners(emulator, account, region)
                assert len(found) == number
                assert set(found.values()) == {account}


def test_no_resource_carries_the_id_of_another_account(
    emulator: Emulator, fleet: Fleet, sweeps: int
) -> None:
    assert_none_cross(emulator, fleet, sweeps, "--parallel", "4")


def test_a_denied_policy_does_not_skip_the_others(emulator: Emulator, fleet: Fleet) -> None:
    fleet.build(ids(1), ("us-east-1",))
    deny(emulator, "sns", "ListTopics")
    done = fleet.sweep([TOPICS, USERS])
    assert done.code == 2
    assert {name[2]: state for name, state in done.states().items()} == {
        "topics": "failed",
        "users": "ran",
    }


def test_a_dead_worker_loses_the_policy_that_ran_there_and_no_other(
    emulator: Emulator, fleet: Fleet
) -> None:
    (account,) = ids(1)
    fleet.build([account], ("us-east-1",))
    emulator.fault("sns", "ListTopics", kind="timeout")
    process = fleet.start([USERS, TOPICS, VAULTS], "--parallel", "1")
    fleet.kill_worker(name_of(account), "us-east-1", "topics")
    done = fleet.ended(process)
    assert done.code == 2
    states = {name[2]: state for name, state in done.states().items()}
    assert states == {"users": "ran", "topics": "lost", "vaults": "ran"}
    assert len(emulator.calls("iam", "ListUsers")) == 1
    assert len(emulator.calls("glacier", "ListVaults")) == 1


def test_a_session_of_another_account_runs_no_policy(emulator: Emulator, fleet: Fleet) -> None:
    one, other = ids(2)
    fleet.build([one, other], ("us-east-1",))
    fleet.accounts["accounts"][0]["role"] = fleet.accounts["accounts"][1]["role"]
    done = fleet.sweep([TOPICS])
    assert done.code == 2
    unit = done.units[name_of(one), "us-east-1", "topics"]
    (why,) = unit["not_evaluated"]
    assert (unit["state"], why["why"]) == ("failed", "wrong account")
    assert f"are of {other}, not of {one}" in why["reason"]
    assert [call.account for call in emulator.calls("sns", "ListTopics")] == [other]


def test_the_output_tree_is_that_of_c7n_org(emulator: Emulator, fleet: Fleet, cli: Cli) -> None:
    accounts, regions = ids(2), ("us-east-1", "eu-west-1")
    fleet.build(accounts, regions, tags=["type:workload"], vars={"name": "t"})
    topics(emulator, accounts, regions)
    policy = {
        **TAG,
        "filters": [{"type": "value", "key": "TopicArn", "op": "glob", "value": "*:{name}"}],
    }
    ours = fleet.sweep([policy, USERS])
    assert ours.code == 0, ours.errors
    stock = cli(
        *("c7n-org", "run", "-c", "accounts.yml", "-u", "policies.yml", "-s", "stock"),
        *("--cache-period", "0"),
        account="999999999999",
        HOME=str(fleet.folder),
    )
    assert stock.returncode == 0, stock.stderr

    def tree(folder: Path) -> dict[str, Any]:
        return {
            str(file.relative_to(folder)): len(json.loads(file.read_text()))
            if file.name == "resources.json"
            else None
            for file in folder.rglob("*")
            if file.is_file() and ".ledger" not in file.parts and file.name != "sweep.json"
        }

    found = tree(ours.output)
    assert found == tree(fleet.folder / "stock")
    assert found[f"{name_of(accounts[0])}/eu-west-1/tag/resources.json"] == 1
    metadata = "us-east-1/tag/metadata.json"
    mine, theirs = (
        json.loads((folder / name_of(accounts[0]) / metadata).read_text())
        for folder in (ours.output, fleet.folder / "stock")
    )
    assert mine["policy"] == theirs["policy"]
    assert mine["api-stats"] == theirs["api-stats"]
