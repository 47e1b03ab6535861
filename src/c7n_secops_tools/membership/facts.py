"""What the runs of an output tree say of memberships, an account and region each.

A cell of the table is what a run said, or "not evaluated" with the reason: a place that no run
looked at, or that AWS did not let one look at, is not a place without members.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

from c7n_secops_tools.report.tree import Row, Run

GUARDDUTY, INSPECTOR, MEMBER = "guardduty", "inspector", "inspector_member"
SERVICES = {GUARDDUTY: "GuardDuty", INSPECTOR: "Inspector", MEMBER: "Inspector member"}
"""The columns of the table: what a service says of an account."""

ASKED_BY = {
    "guardduty-member": GUARDDUTY,
    "inspector-coverage": INSPECTOR,
    "inspector-member": MEMBER,
}
"""The filters whose runs are read; inspector-coverage only where it is of accounts."""
NARROWING = ("from-event", "invited-age", "reason", "scan-type", "status", "switched-off")
"""Keys with which a filter leaves out accounts, so that its silence says nothing."""

NOT_EVALUATED = "not evaluated"
ADMINISTRATOR = "administrator"
ENABLED = "Enabled"
WELL = frozenset({"enabled", ADMINISTRATOR})
OWN_WORD = frozenset({"no-detector", "other-administrator"})
"""What an account says of itself and its administrator cannot know."""
MAIN_SCANS = ("EC2", "ECR", "LAMBDA")
EVERY = ""
"""Stands for every account of a region that its administrator could not list."""
START = datetime.min.replace(tzinfo=timezone.utc)


class Cell(NamedTuple):
    """What is said of one account, region and service; ``detail`` is empty where all is well."""

    status: str
    detail: str = ""

    @property
    def is_well(self) -> bool:
        """Whether the account is watched over, or watches over others."""
        return self.status.lower() in WELL


class Line(NamedTuple):
    """One row of the table; ``cells`` are by service."""

    account: str
    name: str
    region: str
    cells: dict[str, Cell]


class Fact(NamedTuple):
    """A cell as one run saw it, from the account's own side or its administrator's."""

    cell: Cell
    at: datetime


class Place(NamedTuple):
    """One cell's key."""

    service: str
    account: str
    region: str


@dataclass
class Memberships:
    """Takes in runs one at a time, and makes the table of them.

    ``expected`` are the accounts and regions that must be in the table, whether or not a run
    looked there; without any, every account that was seen is expected in every region that was.
    """

    expected: set[tuple[str, str]] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    _places: set[tuple[str, str]] = field(default_factory=set)
    _own: dict[Place, Fact] = field(default_factory=dict)
    _told: dict[Place, Fact] = field(default_factory=dict)

    @property
    def services(self) -> list[str]:
        """The services that some run asked of, in the order of the columns."""
        return [service for service in SERVICES if service in self.asked]

    def take(self, run: Run, resources: Iterable[Row] | None, records: Iterable[Row]) -> None:
        """Take in a run: its resources, None where it has none, and what it did not evaluate."""
        blocks = list(_blocks(run))
        if not blocks:
            return
        if run.account_name:
            self.names.setdefault(run.account, run.account_name)
        refused = {
            str(row.get("element", "")).removeprefix(
                "filter:"
            ): f"{row.get('code')}: {row.get('reason')}"
            for row in records
        }
        for block in blocks:
            service = ASKED_BY[block["type"]]
            self.asked.add(service)
            self._places.add((run.account, run.region))
            if unknown := run.error or refused.get(block["type"]):
                self._not_known(run, block, service, unknown)
            elif resources is not None:
                self._read(run, block, service, list(resources))

    def lines(self) -> list[Line]:
        """The table, by account and region."""
        places = self.expected | self._places
        if not self.expected:
            accounts, regions = {a for a, _ in places}, {r for _, r in places}
            places = {(account, region) for account in accounts for region in regions}
        return [
            Line(
                account,
                self.names.get(account, ""),
                region,
                {service: self._cell(Place(service, account, region)) for service in self.services},
            )
            for account, region in sorted(places)
        ]

    def _cell(self, place: Place) -> Cell:
        """What the account's administrator says, unless only the account can know; or nothing."""
        own = self._own.get(place)
        facts = [self._told.get(place), self._told.get(place._replace(account=EVERY))]
        told = max((fact for fact in facts if fact), key=lambda fact: fact.at, default=None)
        if own and own.cell.status in OWN_WORD:
            return own.cell
        known = [fact.cell for fact in (told, own) if fact]
        said = [cell for cell in known if cell.status != NOT_EVALUATED]
        return (*said, *known, Cell(NOT_EVALUATED, "no run looked there"))[0]

    def _not_known(self, run: Run, block: Row, service: str, reason: str) -> None:
        cell = Cell(NOT_EVALUATED, reason)
        self._keep(self._own, Place(service, run.account, run.region), cell, run)
        if block.get("administrator") == run.account:
            self._keep(self._told, Place(service, EVERY, run.region), cell, run)

    def _read(self, run: Run, block: Row, service: str, resources: list[Row]) -> None:
        seen = False
        for resource in resources:
            for account, region, cell in READERS[service](resource):
                place = Place(service, account, region or run.region)
                is_own = account == run.account
                seen = seen or is_own
                self._places.add((account, place.region))
                self._keep(self._own if is_own else self._told, place, cell, run)
            self._name(resource)
        is_administrator = block.get("administrator") == run.account
        if is_administrator and not seen and not set(NARROWING) & block.keys():
            place = Place(service, run.account, run.region)
            self._keep(self._own, place, Cell(ADMINISTRATOR), run)

    def _keep(self, facts: dict[Place, Fact], place: Place, cell: Cell, run: Run) -> None:
        fact = Fact(cell, run.started or START)
        if place not in facts or facts[place].at <= fact.at:
            facts[place] = fact

    def _name(self, resource: Row) -> None:
        for key in ("c7n:GuardDutyMembers", "c7n:InspectorMembers"):
            for row in _rows(resource, key):
                if row.get("Name"):
                    self.names.setdefault(row["AccountId"], str(row["Name"]))


def counts(lines: Iterable[Line]) -> Counter[str]:
    """How many cells are enabled, not enabled and not evaluated."""
    return Counter(
        "enabled"
        if cell.is_well
        else cell.status
        if cell.status == NOT_EVALUATED
        else "not enabled"
        for line in lines
        for cell in line.cells.values()
    )


def _blocks(run: Run) -> Iterator[Row]:
    """The filters of a run's policy that are read here, wherever they stand in it."""
    policy = run.metadata.get("policy")
    waiting = [policy.get("filters") if isinstance(policy, dict) else None]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, str):
            waiting.append({"type": item})
        elif isinstance(item, dict):
            waiting += [item[operator] for operator in ("and", "or", "not") if operator in item]
            if item.get("type") in ASKED_BY and run.resource == "aws.account":
                yield item


def _rows(resource: Row, key: str) -> Iterator[Row]:
    listed = resource.get(key)
    for row in listed if isinstance(listed, list) else ():
        if isinstance(row, dict) and isinstance(row.get("AccountId"), str):
            yield row


def _of_members(key: str) -> Any:
    def read(resource: Row) -> Iterator[tuple[str, str, Cell]]:
        for row in _rows(resource, key):
            since = next((row[k] for k in ("UpdatedAt", "InvitedAt") if row.get(k)), "")
            cell = Cell(str(row.get("Status", "")), f"since {since}" if since else "")
            yield row["AccountId"], str(row.get("Region") or ""), cell

    return read


def _of_account(resource: Row) -> Iterator[tuple[str, str, Cell]]:
    found = resource.get("c7n:InspectorAccount")
    scans = found.get("Scans") if isinstance(found, dict) else None
    if not isinstance(scans, dict):
        return
    on = [scan for scan, status in scans.items() if status == "ENABLED"]
    others = ", ".join(f"{scan} {status}" for scan, status in scans.items() if scan not in on)
    status = "Partly enabled" if on else "Disabled"
    if set(MAIN_SCANS) <= set(on):
        status = ENABLED
    yield str(resource.get("account_id", "")), "", Cell(status, others)


READERS = {
    GUARDDUTY: _of_members("c7n:GuardDutyMembers"),
    INSPECTOR: _of_account,
    MEMBER: _of_members("c7n:InspectorMembers"),
}
