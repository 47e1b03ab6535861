"""The handshake: the administrator invites, the members accept, and the check tells who did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from c7n.exceptions import PolicyExecutionError, PolicyValidationError

from c7n_secops_tools.report.totals import Report
from tests.guardduty_fleet import (
    ADMIN,
    ANNA,
    BERT,
    CARA,
    DORA,
    STRANGER,
    Fleet,
    accounts_file,
    email,
    fleet,
    outcomes,
    plan,
    rows,
)
from tests.harness import ACCOUNT, REGION, Custodian

__all__ = ["fleet"]


def inviting(**options: Any) -> dict[str, Any]:
    action = {
        "type": "guardduty-invite",
        "administrator": ADMIN,
        "members": {"accounts-file": "accounts.yml"},
        **options,
    }
    return {"name": "under-test", "resource": "aws.account", "actions": [action]}


def accepting(**options: Any) -> dict[str, Any]:
    action = {"type": "guardduty-accept", "administrator": ADMIN, **options}
    return {"name": "under-test", "resource": "aws.account", "actions": [action]}


# --- the whole ----------------------------------------------------------------------------------


def test_three_passes_join_the_accounts_and_again_they_change_nothing(fleet: Fleet) -> None:
    accounts_file(ANNA, BERT)
    fleet.run("guardduty-enable")
    invited = fleet.run("guardduty-invite")
    assert outcomes(invited, "guardduty-invite") == {
        ANNA: ("invited", "absent"),
        BERT: ("invited", "absent"),
    }
    for account in (ANNA, BERT):
        accepted = fleet.run("guardduty-accept", account)
        assert outcomes(accepted, "guardduty-accept") == {account: ("accepted", "Accepted")}
    assert rows(fleet.run("guardduty-members")) == {ANNA: "Enabled", BERT: "Enabled"}
    assert fleet.run("guardduty-members-lost").resources == []

    fleet.emulator.clear_calls()
    fleet.run("guardduty-enable")
    assert outcomes(fleet.run("guardduty-invite"), "guardduty-invite") == {
        ANNA: ("skipped", "Enabled"),
        BERT: ("skipped", "Enabled"),
    }
    for account in (ANNA, BERT):
        again = fleet.run("guardduty-accept", account)
        assert outcomes(again, "guardduty-accept") == {account: ("skipped", "Enabled")}
    assert fleet.changes() == []


def test_inviting_and_accepting_take_the_fewest_calls(fleet: Fleet) -> None:
    accounts = [f"{number:012d}" for number in range(200000000000, 200000000101)]
    accounts_file(*accounts)
    fleet.detector(ADMIN)
    fleet.emulator.clear_calls()
    fleet.run("guardduty-invite")
    fleet.run("guardduty-accept", accounts[100])
    made = [call.operation for call in fleet.emulator.calls("guardduty")]
    admin = ["ListDetectors", "ListMembers", *["CreateMembers"] * 3, *["InviteMembers"] * 3]
    member = ["ListDetectors", "ListInvitations", "CreateDetector", "AcceptAdministratorInvitation"]
    assert made == [*admin, *member]
    sizes = [
        len(call.params["accountIds"])
        for call in fleet.emulator.calls("guardduty", "InviteMembers")
    ]
    assert sizes == [50, 50, 1]

    fleet.emulator.clear_calls()
    assert len(rows(fleet.run("guardduty-members"))) == 101
    made = [call.operation for call in fleet.emulator.calls("guardduty")]
    assert made == ["ListDetectors", *["ListMembers"] * 3]


def test_elsewhere_than_in_the_administrator_nobody_is_invited(fleet: Fleet) -> None:
    accounts_file(ANNA)
    run = fleet.run("guardduty-invite", ANNA)
    assert outcomes(run, "guardduty-invite") == {ANNA: ("skipped", "NotAdministrator")}
    assert fleet.emulator.calls("guardduty") == []


def test_the_administrator_does_not_join_itself(fleet: Fleet) -> None:
    fleet.detector(ADMIN)
    run = fleet.run("guardduty-accept", ADMIN)
    assert outcomes(run, "guardduty-accept") == {ADMIN: ("skipped", "IsAdministrator")}
    assert fleet.changes() == ["CreateDetector"]


def test_a_variable_that_nothing_expanded_ends_the_run_before_any_call(
    fleet: Fleet, custodian: Custodian
) -> None:
    accounts_file(ANNA)
    for name in ("guardduty-invite", "guardduty-accept", "guardduty-members"):
        with pytest.raises(PolicyExecutionError, match=r"administrator is \{security_account\}"):
            custodian(name)
    assert fleet.emulator.calls("guardduty") == []


def test_a_report_counts_who_was_invited_and_who_accepted_as_changes(
    fleet: Fleet,
) -> None:
    accounts_file(ANNA, BERT)
    fleet.detector(ADMIN)
    runs = [fleet.run("guardduty-invite"), fleet.run("guardduty-accept", ANNA)]
    report = Report([run.output for run in runs])
    totals = [report.total(column) for column in ("changed", "skipped", "failed", "not_evaluated")]
    assert totals == [3, 0, 0, 0]


# --- inviting -----------------------------------------------------------------------------------


def test_members_come_from_accounts_a_csv_file_and_the_organization(fleet: Fleet) -> None:
    accounts_file(ANNA)
    Path("more.csv").write_text(f"account_id,email,name\n{BERT},{email(BERT)},bert\n")
    fleet.organization(ANNA, CARA, DORA, suspended=DORA)
    fleet.delegated()
    sources = {
        "accounts-file": "accounts.yml",
        "tags": ["type:workload"],
        "csv": "more.csv",
        "organization": True,
    }
    run = fleet.run(inviting(members=sources))
    assert outcomes(run, "guardduty-invite") == {
        ANNA: ("changed", "Enabled"),
        BERT: ("invited", "absent"),
        CARA: ("changed", "Enabled"),
        STRANGER: ("failed", "Unprocessed"),
    }
    reasons = {
        row["AccountId"]: row.get("reason") for row in run.action("guardduty-invite")["results"]
    }
    assert "not enabled in the management account" in reasons[STRANGER]
    assert fleet.statuses() == {ANNA: "Enabled", BERT: "Invited", CARA: "Enabled"}

    fleet.emulator.clear_calls()
    again = fleet.run(inviting(members=sources))
    assert again.action("guardduty-invite")["counts"] == {"failed": 1, "skipped": 3}
    fleet.detector(STRANGER)
    last = fleet.run(inviting(members=sources))
    assert outcomes(last, "guardduty-invite")[STRANGER] == ("changed", "Enabled")


def test_e_mail_is_not_sent_unless_it_is_asked_for(fleet: Fleet) -> None:
    accounts_file(ANNA)
    fleet.detector(ADMIN)
    fleet.run(inviting(message="Please accept."))
    accounts_file(BERT)
    fleet.run(inviting(**{"email-notification": True}))
    first, second = fleet.emulator.calls("guardduty", "InviteMembers")
    assert first.params["disableEmailNotification"] is True
    assert first.params["message"] == "Please accept."
    assert second.params["disableEmailNotification"] is False
    assert "message" not in second.params


def test_a_member_that_was_only_created_is_only_invited(fleet: Fleet) -> None:
    accounts_file(ANNA)
    fleet.seeded(ANNA, RelationshipStatus="Created")
    fleet.emulator.clear_calls()
    run = fleet.run("guardduty-invite")
    assert outcomes(run, "guardduty-invite") == {ANNA: ("invited", "Created")}
    assert fleet.changes() == ["InviteMembers"]


@pytest.mark.parametrize("status", ["Resigned", "Removed"])
def test_who_left_is_reported_and_invited_again_only_on_request(fleet: Fleet, status: str) -> None:
    accounts_file(ANNA, BERT)
    fleet.joined(ANNA)
    if status == "Resigned":
        fleet.resigned(ANNA)
    else:
        fleet.client(ADMIN).disassociate_members(
            DetectorId=fleet.detector(ADMIN), AccountIds=[ANNA]
        )
    assert fleet.statuses() == {ANNA: status}
    run = fleet.run("guardduty-invite")
    assert outcomes(run, "guardduty-invite") == {
        ANNA: ("skipped", status),
        BERT: ("invited", "absent"),
    }
    assert f"list {status} under reinvite" in run.log
    other = {"Resigned": "Removed", "Removed": "Resigned"}[status]
    fleet.run(inviting(reinvite=[other]))
    assert fleet.statuses()[ANNA] == status
    run = fleet.run(inviting(reinvite=[status]))
    assert outcomes(run, "guardduty-invite")[ANNA] == ("invited", status)
    assert fleet.statuses() == {ANNA: "Invited", BERT: "Invited"}


def test_a_wrong_e_mail_is_reported_once_and_recreated_when_it_was_corrected(fleet: Fleet) -> None:
    accounts_file(ANNA, BERT, a222222222222={"email": "wrong@example.com"})
    fleet.emulator.seed("guardduty", ANNA, REGION, "root", {"email": email(ANNA)})
    fleet.detector(ADMIN)
    fleet.run("guardduty-invite")
    assert fleet.statuses() == {ANNA: "EmailVerificationFailed", BERT: "Invited"}

    fleet.emulator.clear_calls()
    run = fleet.run("guardduty-invite")
    assert outcomes(run, "guardduty-invite")[ANNA] == ("skipped", "EmailVerificationFailed")
    (reason,) = (r["reason"] for r in run.action("guardduty-invite")["results"] if "2222" in str(r))
    assert "accounts.yml:" in reason
    assert fleet.changes() == []

    accounts_file(ANNA, BERT)
    run = fleet.run("guardduty-invite")
    assert outcomes(run, "guardduty-invite")[ANNA] == ("invited", "EmailVerificationFailed")
    assert fleet.changes() == ["DeleteMembers", "CreateMembers", "InviteMembers"]
    assert fleet.statuses() == {ANNA: "Invited", BERT: "Invited"}


def test_a_status_that_is_not_known_is_reported_and_left_alone(fleet: Fleet) -> None:
    accounts_file(ANNA, BERT)
    fleet.seeded(ANNA, RelationshipStatus="AccountSuspended")
    run = fleet.run("guardduty-invite")
    assert outcomes(run, "guardduty-invite") == {
        ANNA: ("skipped", "unknown"),
        BERT: ("invited", "absent"),
    }
    assert "AccountSuspended, which is not known" in run.log
    assert rows(fleet.run("guardduty-members-lost")) == {ANNA: "AccountSuspended"}


@pytest.mark.parametrize("status", ["Invited", "EmailVerificationInProgress", "Disabled"])
def test_who_is_on_the_way_or_stopped_is_left_alone(fleet: Fleet, status: str) -> None:
    accounts_file(ANNA)
    fleet.seeded(ANNA, RelationshipStatus=status)
    fleet.emulator.clear_calls()
    run = fleet.run("guardduty-invite")
    assert outcomes(run, "guardduty-invite") == {ANNA: ("skipped", status)}
    assert fleet.changes() == []


def test_a_member_that_aws_does_not_process_does_not_stop_the_others(fleet: Fleet) -> None:
    accounts = [f"{number:012d}" for number in range(200000000000, 200000000060)]
    accounts_file(*accounts)
    fleet.detector(ADMIN)
    bad = accounts[3]
    # CreateMembers refuses the whole call that holds this account, and no other
    fleet.emulator.fault(
        "guardduty", "CreateMembers", code="BadRequestException", contains=bad, times=None
    )
    run = fleet.run("guardduty-invite")
    assert run.action("guardduty-invite")["counts"] == {"failed": 1, "invited": 59}
    assert outcomes(run, "guardduty-invite")[bad] == ("failed", "BadRequestException")
    assert fleet.statuses().keys() == set(accounts) - {bad}


def test_a_throttled_batch_fails_and_the_next_goes_on(fleet: Fleet) -> None:
    accounts = [f"{number:012d}" for number in range(200000000000, 200000000060)]
    accounts_file(*accounts)
    fleet.detector(ADMIN)
    fleet.emulator.fault("guardduty", "InviteMembers", times=2)  # both attempts of the first batch
    run = fleet.run("guardduty-invite")
    assert run.action("guardduty-invite")["counts"] == {"failed": 50, "invited": 10}
    assert set(outcomes(run, "guardduty-invite").values()) == {
        ("failed", "ThrottlingException"),
        ("invited", "absent"),
    }
    again = fleet.run("guardduty-invite")
    assert again.action("guardduty-invite")["counts"] == {"invited": 50, "skipped": 10}


def test_a_refused_list_of_members_invites_nobody_and_is_reported(fleet: Fleet) -> None:
    accounts_file(ANNA)
    fleet.detector(ADMIN)
    fleet.emulator.clear_calls()
    fleet.emulator.fault(
        "guardduty", "ListMembers", code="AccessDeniedException", status=403, times=None
    )
    run = fleet.run("guardduty-invite")
    assert outcomes(run, "guardduty-invite") == {ANNA: ("not-evaluated", "AccessDeniedException")}
    assert [row["resource"] for row in run.not_evaluated] == [ANNA]
    assert fleet.changes() == []


def test_without_a_detector_nobody_is_invited(fleet: Fleet) -> None:
    accounts_file(ANNA)
    run = fleet.run("guardduty-invite")
    assert outcomes(run, "guardduty-invite") == {ANNA: ("skipped", "no-detector")}
    assert fleet.changes() == []


def test_a_dry_run_says_which_calls_each_member_needs(fleet: Fleet) -> None:
    accounts_file(ANNA, BERT)
    fleet.seeded(ANNA, RelationshipStatus="Created")
    fleet.emulator.clear_calls()
    shown = plan(fleet.run("guardduty-invite", dryrun=True))
    assert [(row["AccountId"], row["would"]) for row in shown] == [
        (ANNA, ["invite_members"]),
        (BERT, ["create_members", "invite_members"]),
    ]
    assert plan(fleet.run("guardduty-invite", ANNA, dryrun=True))[0]["would"] == []
    fleet.emulator.fault("guardduty", "ListMembers", code="AccessDeniedException", times=None)
    assert plan(fleet.run("guardduty-invite", dryrun=True))[0]["code"] == "AccessDeniedException"
    assert fleet.changes() == []


# --- accepting ----------------------------------------------------------------------------------


def test_only_the_pinned_administrator_is_accepted(fleet: Fleet) -> None:
    fleet.invited(ANNA, by=STRANGER)
    run = fleet.run("guardduty-accept", ANNA)
    assert outcomes(run, "guardduty-accept") == {ANNA: ("changed", "NotInvited")}
    assert run.action("guardduty-accept")["results"][0]["others"] == [STRANGER]
    assert f"invitations of {STRANGER} are left alone" in run.log

    fleet.invited(ANNA)
    run = fleet.run("guardduty-accept", ANNA)
    assert outcomes(run, "guardduty-accept") == {ANNA: ("accepted", "Accepted")}
    assert run.action("guardduty-accept")["results"][0]["others"] == [STRANGER]
    detector = fleet.detector(ANNA)
    joined = fleet.client(ANNA).get_administrator_account(DetectorId=detector)["Administrator"]
    assert joined["AccountId"] == ADMIN
    assert fleet.statuses() == {ANNA: "Enabled"}


def test_an_account_of_another_administrator_stays_there(fleet: Fleet) -> None:
    fleet.joined(ANNA, by=STRANGER)
    fleet.invited(ANNA)
    fleet.run(accepting(), ANNA)
    fleet.emulator.clear_calls()
    run = fleet.run(accepting(), ANNA)
    assert outcomes(run, "guardduty-accept") == {ANNA: ("skipped", "OtherAdministrator")}
    assert STRANGER in run.action("guardduty-accept")["results"][0]["reason"]
    assert fleet.changes() == []
    assert fleet.statuses() == {ANNA: "Invited"}
    assert rows(fleet.run("guardduty-members", ANNA)) == {ANNA: "other-administrator"}


def test_a_suspended_detector_is_enabled_before_joining(fleet: Fleet) -> None:
    fleet.invited(ANNA)
    detector, client = fleet.detector(ANNA), fleet.client(ANNA)
    client.update_detector(DetectorId=detector, Enable=False)
    run = fleet.run(accepting(features={"RDS_LOGIN_EVENTS": "DISABLED"}), ANNA)
    (result,) = run.action("guardduty-accept")["results"]
    assert result["done"] == ["update_detector", "accept_administrator_invitation"]
    now = client.get_detector(DetectorId=detector)
    assert now["Status"] == "ENABLED"
    features = {row["Name"]: row["Status"] for row in now["Features"]}
    assert features["RDS_LOGIN_EVENTS"] == "DISABLED"
    assert features["S3_DATA_EVENTS"] == "ENABLED"


def test_who_resigned_joins_again_after_a_new_invitation(fleet: Fleet) -> None:
    fleet.joined(ANNA)
    fleet.resigned(ANNA)
    run = fleet.run(accepting(), ANNA)
    assert outcomes(run, "guardduty-accept") == {ANNA: ("skipped", "NotInvited")}
    fleet.client(ADMIN).invite_members(DetectorId=fleet.detector(ADMIN), AccountIds=[ANNA])
    run = fleet.run(accepting(), ANNA)
    assert outcomes(run, "guardduty-accept") == {ANNA: ("accepted", "Accepted")}


def test_an_acceptance_that_aws_refuses_is_a_failure_with_what_was_done_before(
    fleet: Fleet,
) -> None:
    fleet.invited(ANNA)
    fleet.emulator.fault(
        "guardduty", "AcceptAdministratorInvitation", code="BadRequestException", times=None
    )
    run = fleet.run("guardduty-accept", ANNA)
    assert outcomes(run, "guardduty-accept") == {ANNA: ("failed", "BadRequestException")}
    assert run.action("guardduty-accept")["results"][0]["done"] == ["create_detector"]


def test_a_refused_list_of_invitations_changes_nothing(fleet: Fleet) -> None:
    fleet.invited(ANNA)
    fleet.emulator.clear_calls()
    fleet.emulator.fault("guardduty", "ListInvitations", code="AccessDeniedException", times=None)
    run = fleet.run("guardduty-accept", ANNA)
    assert outcomes(run, "guardduty-accept") == {ANNA: ("not-evaluated", "AccessDeniedException")}
    assert [row["resource"] for row in run.not_evaluated] == [ANNA]
    assert fleet.changes() == []


def test_a_dry_run_of_accepting_says_what_would_be_called(fleet: Fleet) -> None:
    fleet.invited(ANNA)
    fleet.emulator.clear_calls()
    (row,) = plan(fleet.run("guardduty-accept", ANNA, dryrun=True))
    assert [step["call"] for step in row["would"]] == [
        "create_detector",
        "accept_administrator_invitation",
    ]
    assert row["would"][1]["AdministratorId"] == ADMIN
    fleet.emulator.fault("guardduty", "ListDetectors", code="AccessDeniedException", times=None)
    (row,) = plan(fleet.run("guardduty-accept", ANNA, dryrun=True))
    assert row["code"] == "AccessDeniedException"
    assert fleet.changes() == []


# --- the check ----------------------------------------------------------------------------------


def finding(**options: Any) -> dict[str, Any]:
    data = {"type": "guardduty-member", "administrator": ADMIN, **options}
    return {"name": "under-test", "resource": "aws.account", "filters": [data]}


def test_every_status_can_be_asked_for(fleet: Fleet) -> None:
    accounts_file(ANNA, BERT)
    for number, status in enumerate(("Created", "Invited", "Enabled", "Resigned", "Removed")):
        fleet.seeded(f"60000000000{number}", RelationshipStatus=status)
    fleet.seeded(ANNA, RelationshipStatus="Enabled")
    wanted = {"members": {"accounts-file": "accounts.yml"}}
    assert rows(fleet.run(finding(status=["Resigned", "Removed"]))) == {
        "600000000003": "Resigned",
        "600000000004": "Removed",
    }
    assert rows(fleet.run(finding(status=["absent"], **wanted))) == {BERT: "absent"}
    assert fleet.run(finding(status=["absent"])).resources == []
    assert fleet.run(finding(status=["Disabled"], **wanted)).resources == []
    everybody = rows(fleet.run(finding(**wanted)))
    assert (everybody[BERT], everybody[ANNA], len(everybody)) == ("absent", "Enabled", 7)


def test_the_annotation_says_who_it_is_and_since_when(fleet: Fleet) -> None:
    accounts_file(ANNA, BERT)
    fleet.invited(ANNA)
    run = fleet.run("guardduty-members")
    first, second = run.resources[0]["c7n:GuardDutyMembers"]
    assert {key: first[key] for key in ("AccountId", "AdministratorId", "Name", "Email")} == {
        "AccountId": ANNA,
        "AdministratorId": ADMIN,
        "Name": "account-2",
        "Email": email(ANNA),
    }
    assert first["Status"] == "Invited"
    assert first["InvitedAt"] <= first["UpdatedAt"]
    assert second == {
        "AccountId": BERT,
        "AdministratorId": ADMIN,
        "Name": "account-3",
        "Email": email(BERT),
        "Status": "absent",
    }


def test_an_old_invitation_is_found_and_a_new_one_is_not(fleet: Fleet) -> None:
    fleet.seeded(ANNA, RelationshipStatus="Invited", InvitedAt="2020-01-01T00:00:00Z")
    fleet.invited(BERT)
    fleet.seeded(CARA, RelationshipStatus="Enabled", InvitedAt="2020-01-01T00:00:00Z")
    fleet.seeded(DORA, RelationshipStatus="EmailVerificationFailed")
    fleet.seeded("600000000001", RelationshipStatus="Invited", InvitedAt="no date")
    assert rows(fleet.run("guardduty-invitations-open")) == {
        ANNA: "Invited",
        DORA: "EmailVerificationFailed",
    }
    assert rows(fleet.run(finding(**{"invited-age": {"days": 7}}))) == {ANNA: "Invited"}


def test_a_region_without_a_detector_is_found_in_the_administrator_and_in_a_member(
    fleet: Fleet,
) -> None:
    accounts_file(ANNA)
    assert rows(fleet.run("guardduty-off")) == {ADMIN: "no-detector"}
    assert rows(fleet.run("guardduty-off", ANNA)) == {ANNA: "no-detector"}
    assert rows(fleet.run("guardduty-members")) == {ADMIN: "no-detector", ANNA: "absent"}
    fleet.detector(ANNA)
    fleet.detector(ADMIN)
    assert fleet.run("guardduty-off").resources == []
    assert fleet.run("guardduty-off", ANNA).resources == []


def test_a_member_sees_its_own_side(fleet: Fleet) -> None:
    accounts_file(ANNA)
    fleet.detector(ANNA)
    assert rows(fleet.run("guardduty-members", ANNA)) == {ANNA: "absent"}
    fleet.joined(ANNA)
    assert rows(fleet.run("guardduty-members", ANNA)) == {ANNA: "Enabled"}
    fleet.client(ADMIN).stop_monitoring_members(DetectorId=fleet.detector(ADMIN), AccountIds=[ANNA])
    assert rows(fleet.run("guardduty-members-lost", ANNA)) == {ANNA: "Disabled"}
    assert rows(fleet.run("guardduty-members-lost")) == {ANNA: "Disabled"}


def test_the_opposite_is_asked_by_status_and_not_by_not(fleet: Fleet) -> None:
    data = {**finding(), "filters": [{"not": finding()["filters"]}]}
    with pytest.raises(PolicyValidationError, match="cannot be inside not"):
        fleet.run(data)


@pytest.mark.parametrize("status", ["Resigned", "Removed"])
def test_an_administrator_of_before_counts_as_none(fleet: Fleet, status: str) -> None:
    fleet.detector(ANNA)
    former = {"AccountId": ADMIN, "RelationshipStatus": status}
    fleet.emulator.seed("guardduty", ANNA, REGION, "administrator", former)
    assert rows(fleet.run("guardduty-members", ANNA)) == {ANNA: "absent"}
    run = fleet.run(accepting(), ANNA)
    assert outcomes(run, "guardduty-accept") == {ANNA: ("skipped", "NotInvited")}


@pytest.mark.parametrize("operation", ["ListDetectors", "ListMembers"])
def test_a_refused_read_is_reported_and_neither_lost_nor_joined(
    fleet: Fleet, operation: str
) -> None:
    accounts_file(ANNA)
    fleet.detector(ADMIN)
    fleet.emulator.fault(
        "guardduty", operation, code="AccessDeniedException", status=403, times=None
    )
    run = fleet.run("guardduty-members-lost")
    assert run.resources == []
    assert [(row["resource"], row["code"]) for row in run.not_evaluated] == [
        (ACCOUNT, "AccessDeniedException")
    ]


def test_a_second_page_that_is_refused_leaves_nothing_to_say(fleet: Fleet) -> None:
    accounts = [f"{number:012d}" for number in range(200000000000, 200000000060)]
    accounts_file(*accounts)
    fleet.joined(*accounts[:2])
    fleet.invited(*accounts[2:50])
    fleet.invited(*accounts[50:])
    fleet.emulator.fault("guardduty", "ListMembers", after=1, times=None)
    run = fleet.run("guardduty-members-lost")
    assert (run.resources, [row["code"] for row in run.not_evaluated]) == (
        [],
        ["ThrottlingException"],
    )


def test_the_organization_that_does_not_answer_leaves_nothing_to_say(fleet: Fleet) -> None:
    fleet.detector(ADMIN)
    fleet.emulator.fault("organizations", "ListAccounts", code="AccessDeniedException", times=None)
    run = fleet.run(finding(status=["absent"], members={"organization": True}))
    assert (run.resources, [row["code"] for row in run.not_evaluated]) == (
        [],
        ["AccessDeniedException"],
    )
