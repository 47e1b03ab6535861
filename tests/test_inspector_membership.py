"""Inspector across accounts: switched on, associated, delegated, and what it covers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from c7n.config import Config
from c7n.exceptions import PolicyExecutionError, PolicyValidationError

from c7n_secops_tools.testing.runs import Run, load_policy
from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION, Custodian
from tests.inspector_data import launch, policy

MANAGEMENT, PRODUCTION, STAGING = "999999999999", "222222222222", "333333333333"
VARS = {"security_account": ACCOUNT, "management_account": MANAGEMENT}
MUTATING = (
    "Enable",
    "AssociateMember",
    "EnableDelegatedAdminAccount",
    "UpdateOrganizationConfiguration",
)


@pytest.fixture(autouse=True)
def accounts_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An accounts.yml with two workload accounts, where the shipped policies look for it."""
    write_accounts(tmp_path / "accounts.yml", PRODUCTION, STAGING)
    monkeypatch.chdir(tmp_path)


def write_accounts(path: Path, *workloads: str) -> None:
    rows = [{"account_id": ACCOUNT, "name": "security", "email": "security@example.com"}]
    rows += [
        {
            "account_id": account,
            "name": f"workload-{account}",
            "email": f"aws+{account}@example.com",
            "tags": ["type:workload"],
        }
        for account in workloads
    ]
    path.write_text(yaml.safe_dump({"accounts": rows}))


def changes(emulator: Emulator) -> list[str]:
    return [call.operation for call in emulator.calls("inspector2") if call.operation in MUTATING]


def said(run: Run, action: str) -> dict[str, tuple[str, str]]:
    return {
        row["AccountId"]: (row["outcome"], row.get("code", ""))
        for row in run.action(action)["results"]
    }


def off(emulator: Emulator, account: str, **statuses: str) -> None:
    every = {"ec2": "DISABLED", "ecr": "DISABLED", "lambda_": "DISABLED"}
    emulator.set_inspector_status(account, REGION, **{**every, **statuses})


def scans(emulator: Emulator, account: str) -> dict[str, str]:
    answer = emulator.client("inspector2", account, REGION).batch_get_account_status()
    state = answer["accounts"][0]["resourceState"]
    return {kind: row["status"] for kind, row in state.items() if kind != "codeRepository"}


def associate(emulator: Emulator, *accounts: str) -> Any:
    inspector = emulator.client("inspector2", ACCOUNT, REGION)
    for account in accounts:
        inspector.associate_member(accountId=account)
    return inspector


def action(**block: Any) -> dict[str, Any]:
    return policy(resource="aws.account", actions=[block])


def loaded(data: dict[str, Any], account: str = ACCOUNT) -> None:
    load_policy(data, Config.empty(regions=[REGION], account_id=account), VARS)


# --- inspector-enable ----------------------------------------------------------------------------


def test_what_is_off_is_switched_on_and_nothing_else(emulator, custodian):
    off(emulator, ACCOUNT, ecr="ENABLED")
    run = custodian("inspector-enable")
    assert said(run, "inspector-enable") == {ACCOUNT: ("changed", "Enabled")}
    assert scans(emulator, ACCOUNT) == {
        "ec2": "ENABLED",
        "ecr": "ENABLED",
        "lambda": "ENABLED",
        "lambdaCode": "DISABLED",
    }
    (call,) = emulator.calls("inspector2", "Enable")
    assert call.params["resourceTypes"] == ["EC2", "LAMBDA"]
    assert len(call.params["clientToken"]) == 64


def test_switching_on_again_changes_nothing(emulator, custodian):
    off(emulator, ACCOUNT)
    custodian("inspector-enable")
    emulator.clear_calls()
    run = custodian("inspector-enable")
    assert said(run, "inspector-enable") == {ACCOUNT: ("skipped", "AlreadyEnabled")}
    assert changes(emulator) == []


def test_a_dry_run_says_what_would_be_switched_on(emulator, custodian):
    off(emulator, ACCOUNT, ec2="ENABLED")
    run = custodian("inspector-enable", dryrun=True)
    (row,) = run._json("plan.json", [])
    assert (row["AccountId"], row["enable"]) == (ACCOUNT, ["ECR", "LAMBDA"])
    assert changes(emulator) == []


def test_members_are_switched_on_in_one_call_and_the_others_are_named(emulator, custodian):
    associate(emulator, PRODUCTION)
    for account in (PRODUCTION, STAGING):
        off(emulator, account)
    run = custodian("inspector-enable-members", vars=VARS)
    assert said(run, "inspector-enable") == {
        PRODUCTION: ("changed", "Enabled"),
        STAGING: ("failed", "ACCESS_DENIED"),
    }
    assert scans(emulator, PRODUCTION)["ec2"] == "ENABLED"
    assert scans(emulator, STAGING)["ec2"] == "DISABLED"


def test_elsewhere_than_in_the_administrator_members_are_left_alone(emulator, custodian):
    off(emulator, STAGING)
    run = custodian("inspector-enable-members", account=PRODUCTION, vars=VARS)
    assert said(run, "inspector-enable") == {PRODUCTION: ("skipped", "NotAdministrator")}
    assert emulator.calls("inspector2") == []


def test_a_hundred_accounts_go_into_one_call(emulator, custodian, tmp_path):
    members = [f"{number:012d}" for number in range(1, 131)]
    write_accounts(tmp_path / "accounts.yml", *members)
    associate(emulator, *members)
    for number, account in enumerate(members):
        off(emulator, account, ecr="ENABLED" if number < 10 else "DISABLED")
    emulator.clear_calls()
    run = custodian("inspector-enable-members", vars=VARS)
    assert run.action("inspector-enable")["counts"] == {"changed": 130}
    asked = [call.params for call in emulator.calls("inspector2", "Enable")]
    assert sorted(len(call["accountIds"]) for call in asked) == [10, 20, 100]
    assert len({call["clientToken"] for call in asked}) == 3
    assert len(emulator.calls("inspector2", "BatchGetAccountStatus")) == 2


def test_a_call_that_fails_does_not_stop_the_others(emulator, custodian, tmp_path):
    members = [f"{number:012d}" for number in range(1, 103)]
    write_accounts(tmp_path / "accounts.yml", *members)
    associate(emulator, *members)
    for account in members:
        off(emulator, account)
    emulator.fault("inspector2", "Enable", code="ValidationException", times=1)
    run = custodian("inspector-enable-members", vars=VARS)
    assert run.action("inspector-enable")["counts"] == {"failed": 100, "changed": 2}
    codes = {row["code"] for row in run.action("inspector-enable")["results"]}
    assert codes == {"ValidationException", "Enabled"}


@pytest.mark.parametrize("status", ["DISABLING", "SUSPENDED", "SUSPENDING"])
def test_a_scan_in_another_state_is_reported_and_left(emulator, custodian, status):
    off(emulator, ACCOUNT, ecr=status)
    run = custodian("inspector-enable")
    assert said(run, "inspector-enable") == {ACCOUNT: ("skipped", status)}
    assert changes(emulator) == []


def test_a_refused_status_is_not_evaluated_and_switches_nothing_on(emulator, custodian):
    off(emulator, ACCOUNT)
    denied = {"code": "AccessDeniedException", "status": 403, "times": None}
    emulator.fault("inspector2", "BatchGetAccountStatus", **denied)
    run = custodian("inspector-enable")
    assert said(run, "inspector-enable") == {ACCOUNT: ("not-evaluated", "AccessDeniedException")}
    assert [row["resource"] for row in run.not_evaluated] == [ACCOUNT]
    assert changes(emulator) == []


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"scan": ["LAMBDA_CODE"]}, "LAMBDA_CODE needs LAMBDA"),
        ({"members": {"organization": True}}, "set both, or neither"),
        ({"administrator": ACCOUNT}, "set both, or neither"),
    ],
)
def test_what_cannot_be_switched_on_is_refused_at_once(block, message):
    with pytest.raises(PolicyValidationError, match=message):
        loaded(action(type="inspector-enable", **block))


# --- inspector-associate -------------------------------------------------------------------------


def test_accounts_become_members_once(emulator, custodian):
    run = custodian("inspector-associate", vars=VARS)
    assert said(run, "inspector-associate") == {
        PRODUCTION: ("changed", "Associated"),
        STAGING: ("changed", "Associated"),
    }
    emulator.clear_calls()
    run = custodian("inspector-associate", vars=VARS)
    assert set(said(run, "inspector-associate").values()) == {("skipped", "AlreadyAssociated")}
    assert changes(emulator) == []
    assert len(emulator.calls("inspector2", "ListMembers")) == 1


def test_a_removed_member_comes_back_only_where_the_policy_says_so(emulator, custodian):
    associate(emulator, PRODUCTION).disassociate_member(accountId=PRODUCTION)
    emulator.clear_calls()
    run = custodian("inspector-associate", vars=VARS)
    assert said(run, "inspector-associate")[PRODUCTION] == ("skipped", "REMOVED")
    block = {
        "type": "inspector-associate",
        "administrator": ACCOUNT,
        "members": {"accounts-file": "accounts.yml", "tags": ["type:workload"]},
    }
    run = custodian(action(**block, reassociate=["REMOVED"]))
    assert said(run, "inspector-associate")[PRODUCTION] == ("changed", "Associated")


def test_an_account_that_cannot_be_associated_does_not_stop_the_others(emulator, custodian):
    other = emulator.client("inspector2", "444444444444", REGION)
    other.associate_member(accountId=PRODUCTION)
    run = custodian("inspector-associate", vars=VARS)
    assert said(run, "inspector-associate") == {
        PRODUCTION: ("failed", "AccessDeniedException"),
        STAGING: ("changed", "Associated"),
    }


@pytest.mark.parametrize("status", ["INVITED", "REGION_DISABLED", "ACCOUNT_SUSPENDED"])
def test_a_member_in_another_state_is_reported_and_left(emulator, custodian, status):
    row = {"accountId": PRODUCTION, "relationshipStatus": status}
    emulator.seed("inspector2", ACCOUNT, REGION, "members", {PRODUCTION: row})
    run = custodian("inspector-associate", vars=VARS)
    assert said(run, "inspector-associate")[PRODUCTION] == ("skipped", status)


def test_a_dry_run_says_who_would_be_associated(emulator, custodian):
    associate(emulator, STAGING)
    emulator.clear_calls()
    run = custodian("inspector-associate", vars=VARS, dryrun=True)
    rows = {row["AccountId"]: row for row in run._json("plan.json", [])}
    assert rows[PRODUCTION]["associate"] == "absent"
    assert rows[STAGING]["skipped"] == "it is a member"
    assert changes(emulator) == []


def test_members_of_the_organization_are_associated(emulator, custodian):
    delegate(emulator)
    block = {"type": "inspector-associate", "administrator": ACCOUNT}
    run = custodian(action(**block, members={"organization": True}))
    assert said(run, "inspector-associate") == {
        MANAGEMENT: ("changed", "Associated"),
        PRODUCTION: ("changed", "Associated"),
    }


def test_a_variable_that_nothing_expanded_ends_the_run(emulator, custodian):
    with pytest.raises(PolicyExecutionError, match=r"administrator is \{security_account\}"):
        custodian("inspector-members", vars={})


# --- inspector-organization ----------------------------------------------------------------------


def form(emulator: Emulator) -> None:
    emulator.form_organization(
        MANAGEMENT,
        [
            {"id": ACCOUNT, "name": "security", "email": "security@example.com"},
            {"id": PRODUCTION, "name": "production", "email": "production@example.com"},
        ],
    )


def delegate(emulator: Emulator) -> None:
    form(emulator)
    management = emulator.client("inspector2", MANAGEMENT, REGION)
    management.enable_delegated_admin_account(delegatedAdminAccountId=ACCOUNT)


def test_the_organization_is_set_up_in_two_runs_and_stays_so(emulator, custodian):
    form(emulator)
    for expected in (("changed", "Delegated"), ("skipped", "AlreadyDelegated")):
        run = custodian("inspector-organization", account=MANAGEMENT, vars=VARS)
        assert said(run, "inspector-organization") == {MANAGEMENT: expected}
    for expected in (("changed", "Configured"), ("skipped", "AlreadyConfigured")):
        run = custodian("inspector-organization", vars=VARS)
        assert said(run, "inspector-organization") == {ACCOUNT: expected}
    inspector = emulator.client("inspector2", ACCOUNT, REGION)
    assert inspector.describe_organization_configuration()["autoEnable"] == {
        "ec2": True,
        "ecr": True,
        "lambda": True,
        "lambdaCode": False,
        "codeRepository": False,
    }
    run = custodian("inspector-organization", account=PRODUCTION, vars=VARS)
    assert said(run, "inspector-organization") == {PRODUCTION: ("skipped", "NotConcerned")}
    assert (
        changes(emulator)
        == [
            "EnableDelegatedAdminAccount",
            "EnableDelegatedAdminAccount",
            "UpdateOrganizationConfiguration",
        ][1:]
    )


def test_what_is_not_listed_is_switched_off_for_new_accounts(emulator, custodian):
    delegate(emulator)
    block = {"type": "inspector-organization", "management": MANAGEMENT, "administrator": ACCOUNT}
    custodian(action(**block, **{"auto-enable": ["EC2", "LAMBDA", "LAMBDA_CODE"]}))
    run = custodian(action(**block, **{"auto-enable": ["EC2"]}))
    assert said(run, "inspector-organization") == {ACCOUNT: ("changed", "Configured")}
    inspector = emulator.client("inspector2", ACCOUNT, REGION)
    on = inspector.describe_organization_configuration()["autoEnable"]
    assert [name for name, value in on.items() if value] == ["ec2"]
    with pytest.raises(PolicyValidationError, match="LAMBDA_CODE needs LAMBDA"):
        loaded(action(**block, **{"auto-enable": ["LAMBDA_CODE"]}))


def test_another_delegated_administrator_is_reported_and_left(emulator, custodian):
    form(emulator)
    management = emulator.client("inspector2", MANAGEMENT, REGION)
    management.enable_delegated_admin_account(delegatedAdminAccountId=PRODUCTION)
    emulator.clear_calls()
    run = custodian("inspector-organization", account=MANAGEMENT, vars=VARS)
    assert said(run, "inspector-organization") == {MANAGEMENT: ("failed", "OtherAdministrator")}
    assert changes(emulator) == []


def test_a_dry_run_says_who_would_be_the_administrator(emulator, custodian):
    form(emulator)
    run = custodian("inspector-organization", account=MANAGEMENT, vars=VARS, dryrun=True)
    (row,) = run._json("plan.json", [])
    assert row["change"] == f"{ACCOUNT} as delegated administrator"
    run = custodian("inspector-organization", account=PRODUCTION, vars=VARS, dryrun=True)
    (row,) = run._json("plan.json", [])
    assert row["skipped"] == "it is neither the management account nor the administrator"
    assert changes(emulator) == []


def test_a_refused_read_of_the_organization_changes_nothing(emulator, custodian):
    delegate(emulator)
    emulator.clear_calls()
    denied = {"code": "AccessDeniedException", "status": 403, "times": None}
    emulator.fault("inspector2", "DescribeOrganizationConfiguration", **denied)
    run = custodian("inspector-organization", vars=VARS)
    code = "AccessDeniedException"
    assert said(run, "inspector-organization") == {ACCOUNT: ("not-evaluated", code)}
    assert changes(emulator) == []


# --- inspector-member ----------------------------------------------------------------------------


def member_rows(run: Run) -> dict[str, str]:
    return {
        row["AccountId"]: row["Status"]
        for resource in run.resources
        for row in resource["c7n:InspectorMembers"]
    }


def test_every_member_is_listed_with_its_status(emulator, custodian):
    associate(emulator, PRODUCTION)
    assert member_rows(custodian("inspector-members", vars=VARS)) == {
        PRODUCTION: "ENABLED",
        STAGING: "absent",
    }


def test_only_members_that_are_missing_match(emulator, custodian):
    inspector = associate(emulator, PRODUCTION, STAGING)
    assert custodian("inspector-members-missing", vars=VARS).resources == []
    inspector.disassociate_member(accountId=STAGING)
    assert member_rows(custodian("inspector-members-missing", vars=VARS)) == {STAGING: "REMOVED"}
    run = custodian("inspector-members-missing", account=PRODUCTION, vars=VARS)
    assert run.resources == run.not_evaluated == []


def test_accounts_of_the_organization_that_never_joined_are_created(emulator, custodian):
    delegate(emulator)
    block = {"type": "inspector-member", "administrator": ACCOUNT, "status": ["CREATED"]}
    run = custodian(policy(block, resource="aws.account"))
    assert member_rows(run) == {MANAGEMENT: "CREATED", PRODUCTION: "CREATED"}


def test_a_refused_list_of_members_is_reported_and_proves_no_absence(emulator, custodian):
    denied = {"code": "AccessDeniedException", "status": 403, "times": None}
    emulator.fault("inspector2", "ListMembers", **denied)
    run = custodian("inspector-members-missing", vars=VARS)
    assert run.resources == []
    assert [row["code"] for row in run.not_evaluated] == ["AccessDeniedException"]


def test_absence_needs_to_know_who_should_be_there():
    block = {"type": "inspector-member", "administrator": ACCOUNT, "status": ["absent"]}
    with pytest.raises(PolicyValidationError, match="status absent needs members"):
        loaded(policy(block, resource="aws.account"))
    with pytest.raises(PolicyValidationError, match="cannot be inside not"):
        inside = {"not": [{**block, "status": ["ENABLED"]}]}
        loaded(policy(inside, resource="aws.account"))


# --- inspector-coverage of an account ------------------------------------------------------------


def test_an_account_is_summed_up_in_three_reads(emulator, custodian):
    launch(emulator, 2)
    launch(emulator, managed=False)
    off(emulator, ACCOUNT, ec2="ENABLED")
    emulator.clear_calls()
    (resource,) = custodian("inspector-accounts").resources
    assert resource["c7n:InspectorAccount"] == {
        "Scans": {
            "EC2": "ENABLED",
            "ECR": "DISABLED",
            "LAMBDA": "DISABLED",
            "LAMBDA_CODE": "DISABLED",
        },
        "Statuses": {"ACTIVE": 5, "INACTIVE": 1},
        "Reasons": {"SUCCESSFUL": 5, "UNMANAGED_EC2_INSTANCE": 1},
    }
    assert len(emulator.calls("inspector2")) == 3


def test_more_reasons_than_a_page_are_all_counted(emulator, custodian):
    reasons = ["NO_INVENTORY", "STALE_INVENTORY", "EXCLUDED_BY_TAG", "UNSUPPORTED_OS"]
    reasons += ["PENDING_INITIAL_SCAN", "INTERNAL_ERROR", "NO_RESOURCES_FOUND"]
    rows = [
        {
            "resourceId": f"i-{number:017x}",
            "scanType": "PACKAGE",
            "scanStatus": {"statusCode": "INACTIVE", "reason": reason},
        }
        for number, reason in enumerate(reasons)
    ]
    emulator.set_coverage(ACCOUNT, REGION, rows)
    (resource,) = custodian("inspector-accounts").resources
    assert resource["c7n:InspectorAccount"]["Reasons"] == dict.fromkeys(reasons, 1)


@pytest.mark.parametrize(
    ("keys", "matched"),
    [
        ({"switched-off": ["LAMBDA_CODE"]}, True),
        ({"switched-off": ["EC2", "ECR"]}, False),
        ({"status": ["INACTIVE"]}, True),
        ({"status": ["INACTIVE"], "scan-type": ["NETWORK"]}, False),
        ({"reason": ["UNMANAGED_EC2_INSTANCE"]}, True),
        ({"reason": ["NO_INVENTORY"]}, False),
        ({"status": ["ACTIVE"], "reason": ["UNMANAGED_EC2_INSTANCE"]}, False),
        ({"status": ["INACTIVE"], "switched-off": ["EC2"]}, False),
    ],
)
def test_every_key_that_is_given_must_hold_for_the_account(emulator, custodian, keys, matched):
    launch(emulator, managed=False)
    data = policy({"type": "inspector-coverage", **keys}, resource="aws.account")
    assert bool(custodian(data).resources) is matched


def test_where_inspector_is_off_nothing_is_counted(emulator, custodian):
    launch(emulator)
    off(emulator, ACCOUNT)
    emulator.clear_calls()
    run = custodian("inspector-switched-off")
    (resource,) = run.resources
    assert resource["c7n:InspectorAccount"]["Statuses"] == {}
    assert len(emulator.calls("inspector2")) == 1


@pytest.mark.parametrize("operation", ["BatchGetAccountStatus", "ListCoverageStatistics"])
def test_an_account_that_may_not_be_read_is_not_evaluated(emulator, custodian, operation):
    denied = {"code": "AccessDeniedException", "status": 403, "times": None}
    emulator.fault("inspector2", operation, **denied)
    run = custodian("inspector-accounts")
    assert run.resources == []
    assert [row["code"] for row in run.not_evaluated] == ["AccessDeniedException"]


@pytest.mark.parametrize(
    ("resource", "keys", "message"),
    [
        ("aws.account", {"absent": True}, "absent is of one resource"),
        ("aws.account", {"last-scanned": {"days": 3}}, "last-scanned is of one resource"),
        ("aws.ec2", {"switched-off": ["EC2"], "absent": True}, "use resource: aws.account"),
    ],
)
def test_keys_of_the_other_kind_of_resource_are_refused(resource, keys, message):
    with pytest.raises(PolicyValidationError, match=message):
        loaded(policy({"type": "inspector-coverage", **keys}, resource=resource))


def test_inside_not_an_account_is_refused(custodian: Custodian):
    block = {"not": [{"type": "inspector-coverage", "status": ["ACTIVE"]}]}
    with pytest.raises(PolicyValidationError, match="cannot be inside not"):
        loaded(policy(block, resource="aws.account"))
