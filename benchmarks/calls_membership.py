"""Calls to join accounts to GuardDuty and Inspector, and to find them joined: beside formulas.

The formulas, for A members and R regions, with p = ceil(A / 50) and q = ceil(A / 100):

GuardDuty, enrol    4 A R + R (1 + 3 p)   a member: list detectors, create one, list invitations,
                                          accept; the administrator: p pages, p creations, p
                                          invitations
GuardDuty, steady   R (1 + p) + 1         the administrator: the detector, p pages of members
Inspector, enrol    R (1 + A + 2 q)       one page, A associations, q statuses, q times switched on
Inspector, steady   R (p + q)             p pages of members, q statuses

The shipped policies run in process; the calls of the two services are counted. What members do is
counted on 50 accounts in one region, where each makes as many calls, and multiplied. The peer does
for one account and region at a time what scripts do: it looks up the administrator's detector and
all pages of its members, and then acts on the one. It is counted on ten accounts in one region, and
multiplied.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.result import Result, report
from benchmarks.runs import ACCOUNT, counted, emulator
from c7n_secops_tools.testing.runs import find_policy
from tests.emulator import Emulator
from tests.harness import POLICIES

REGIONS = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
    *("eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1", "ap-south-1"),
    *("ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
)
SIZES = ((50, 3), (50, 17), (500, 3), (500, 17))
SAMPLE, PEERS = 50, 10
VARIABLES = {"security_account": ACCOUNT}


def members(number: int) -> list[str]:
    return [f"{200_000_000_000 + n}" for n in range(number)]


def email(account: str) -> str:
    return f"aws+{account}@example.com"


@contextmanager
def operator(accounts: Sequence[str]) -> Iterator[None]:
    """A folder with an accounts.yml, in which the policies run."""
    rows = [
        {"account_id": name, "name": name, "email": email(name), "tags": ["type:workload"]}
        for name in accounts
    ]
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "accounts.yml").write_text(yaml.safe_dump({"accounts": rows}))
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def calls(server: Emulator, name: str, account: str, region: str) -> int:
    """The calls of GuardDuty and Inspector that a shipped policy makes in an account and region."""
    os.environ.update(server.environ(account, region))
    run = counted(find_policy(POLICIES, name), account, region, VARIABLES)
    for results in run.actions.values():
        assert not {"failed", "not-evaluated"} & results["counts"].keys(), results["counts"]
    return run.of("guardduty", "inspector2")


def administrators(server: Emulator, names: Sequence[str], regions: Sequence[str]) -> int:
    return sum(calls(server, name, ACCOUNT, region) for region in regions for name in names)


def switch_off(server: Emulator, accounts: Sequence[str], regions: Sequence[str]) -> None:
    """Inspector as it is in a new account."""
    for region in regions:
        for account in accounts:
            server.set_inspector_status(
                account, region, ec2="DISABLED", ecr="DISABLED", lambda_="DISABLED"
            )


def enabled(server: Emulator, accounts: Sequence[str], regions: Sequence[str]) -> None:
    """Let the administrator see every member as Enabled."""
    moment = "2026-01-31T12:00:00.000Z"
    for region in regions:
        rows = {
            account: {
                "AccountId": account,
                "Email": email(account),
                "MasterId": ACCOUNT,
                "AdministratorId": ACCOUNT,
                "RelationshipStatus": "Enabled",
                "UpdatedAt": moment,
            }
            for account in accounts
        }
        server.seed("guardduty", ACCOUNT, region, "members", rows)


def a_member_s_calls(server: Emulator) -> int:
    """What one member of fifty costs, each of which must cost the same."""
    server.reset()
    accounts = members(SAMPLE)
    with operator(accounts):
        administrators(server, ("guardduty-enable", "guardduty-invite"), REGIONS[:1])
        each = {calls(server, "guardduty-accept", name, REGIONS[0]) for name in accounts}
    (number,) = each
    return number


def one_at_a_time(server: Emulator, number: int) -> tuple[int, int]:
    """Calls for one account and region that joins, and for one that has joined, of so many."""
    server.reset()
    accounts = members(number)
    region = REGIONS[0]
    sent: Counter[str] = Counter()

    def client(account: str) -> Any:
        made = server.session(account, region).client("guardduty", endpoint_url=server.url)
        made.meta.events.register(
            "request-created.guardduty.*", lambda operation_name, **_: sent.update([operation_name])
        )
        return made

    administrator = client(ACCOUNT)
    administrator.create_detector(Enable=True)
    enabled(server, accounts[PEERS:], [region])
    found = []
    for _ in ("enrol", "steady"):
        sent.clear()
        for account in accounts[:PEERS]:
            (detector,) = administrator.list_detectors()["DetectorIds"]
            pages = administrator.get_paginator("list_members").paginate(
                DetectorId=detector, OnlyAssociated="false"
            )
            known = {row["AccountId"] for page in pages for row in page["Members"]}
            if account in known:
                continue
            details = [{"AccountId": account, "Email": email(account)}]
            administrator.create_members(DetectorId=detector, AccountDetails=details)
            administrator.invite_members(DetectorId=detector, AccountIds=[account])
            member = client(account)
            theirs = (
                member.list_detectors()["DetectorIds"]
                or [member.create_detector(Enable=True)["DetectorId"]]
            )[0]
            (invitation,) = member.list_invitations()["Invitations"]
            member.accept_administrator_invitation(
                DetectorId=theirs,
                AdministratorId=ACCOUNT,
                InvitationId=invitation["InvitationId"],
            )
        found.append(round(sent.total() / PEERS))
    return found[0], found[1]


def main() -> Result:
    rows = []
    with emulator() as server:
        each = a_member_s_calls(server)
        peers = {number: one_at_a_time(server, number) for number in (50, 500)}
        for number, width in SIZES:
            server.reset()
            accounts, regions = members(number), REGIONS[:width]
            pages, hundreds = -(-number // 50), -(-number // 100)
            switch_off(server, accounts, regions)
            with operator(accounts):
                guardduty = ("guardduty-enable", "guardduty-invite")
                enrol = administrators(server, guardduty, regions) + each * number * width
                enabled(server, accounts, regions)
                steady = administrators(server, ["guardduty-invite"], regions)
                inspector = ("inspector-associate", "inspector-enable-members")
                associate = administrators(server, inspector, regions)
                associated = administrators(server, inspector, regions)
            size = f"{number} x {width}"
            peer_enrol, peer_steady = (one * number * width for one in peers[number])
            least = 4 * number * width + width * (1 + 3 * pages)
            rows += [
                (f"GuardDuty, enrol {size}", enrol, least, peer_enrol),
                (f"GuardDuty, steady {size}", steady, width * (1 + pages) + 1, peer_steady),
                (
                    f"Inspector, enrol {size}",
                    associate,
                    width * (1 + number + 2 * hundreds),
                    "-",
                ),
                (f"Inspector, steady {size}", associated, width * (pages + hundreds), "-"),
            ]
    steady_of_all = rows[-3]
    return report(
        Result(
            "calls-membership",
            steady_of_all[1],
            steady_of_all[3],
            steady_of_all[2],
            round(max(ours / formula for _, ours, formula, _ in rows), 3),
            1.05,
        ),
        "members x regions",
        ("pass", "ours", "formula", "one at a time"),
        rows,
    )


if __name__ == "__main__":
    main()
