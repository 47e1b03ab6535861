"""Which accounts should be members: from accounts.yml, a CSV file or AWS Organizations.

The files are on the machine that runs Custodian. They are read before AWS is asked anything, and
what is wrong with them is an error that names the file and the line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from c7n_secops.aws import calls
from c7n_secops_membership.accounts import ACCOUNT_ID, AccountElement

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        "accounts-file": {"type": "string", "minLength": 1, "maxLength": 1024},
        "tags": {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "string", "minLength": 1, "maxLength": 256},
        },
        "csv": {"type": "string", "minLength": 1, "maxLength": 1024},
        "organization": {"const": True},
    },
}
"""Where members come from; several sources add up."""

DOC = """\
``members`` says who should be a member: ``accounts-file`` is the accounts.yml of c7n-org, of
    which ``tags`` may select entries as its ``-t`` does and the administrator's own entry is left
    out; ``csv`` is a file of account id, e-mail and, if wanted, name; ``organization: true`` takes
    the active accounts of AWS Organizations. Several add up. Files are read where Custodian runs,
    before any call; a mistake in them is an error that names file and line."""

PERMISSION = "organizations:ListAccounts"
FILES = ("accounts-file", "csv")
HEADER = "account_id"
MAX_FILE = 16 * 1024 * 1024
EMAIL = re.compile(r"[^\s@,;<>\"]+@[^\s@,;<>\"]+\.[^\s@,;<>\"]+")
MAX_EMAIL = 64
"""The most characters that GuardDuty takes of an e-mail address."""
PAGE = 20
"""The most accounts that ListAccounts answers at a time."""


class MembersError(ValueError):
    """A members' source cannot be used; the message names the file and the line."""


class Member(NamedTuple):
    """An account that should be a member; ``origin`` is where that was read (``file:line``)."""

    account: str
    email: str
    name: str
    origin: str


class MembersElement(AccountElement):
    """An element with the keys ``administrator`` and ``members``.

    ``most`` is how many members an administrator can have, and ``emails`` says whether each needs
    an e-mail address.
    """

    most = 50000
    emails = False

    def get_permissions(self) -> tuple[str, ...]:
        """Only ``organization: true`` asks AWS Organizations."""
        asks = not self.data or self.data.get("members", {}).get("organization")
        own = tuple(name for name in self.permissions if name != PERMISSION)
        return (*own, PERMISSION) if asks else own

    def validate(self) -> Any:
        super().validate()
        source = self.data.get("members", {})
        if "tags" in source and "accounts-file" not in source:
            raise self.invalid("members.tags select from accounts-file; set it, or remove tags")
        files = [source[key] for key in FILES if key in source]
        in_lambda = self.manager.data.get("mode", {}).get("type", "pull") != "pull"
        if files and in_lambda:
            raise self.invalid(f"cannot read {files[0]} in Lambda; use organization: true")
        elsewhere = ACCOUNT_ID.fullmatch(self.account) and self.account != self.administrator
        if all(Path(file).is_file() for file in files) and not elsewhere:
            _ = self.file_members
        return self

    @property
    def administrator(self) -> str:
        """The account that the members belong to."""
        return str(self.data["administrator"])

    @cached_property
    def file_members(self) -> dict[str, Member]:
        """The members that files name; a mistake in them is a PolicyValidationError."""
        try:
            return from_files(
                self.data.get("members", {}), self.administrator, self.most, self.emails
            )
        except MembersError as error:
            raise self.invalid(f"members {error}") from error

    def members(self) -> dict[str, Member]:
        """All that should be members, by account. Raises RefusedError; files are read first."""
        members = self.file_members
        if self.data.get("members", {}).get("organization"):
            try:
                return with_organization(self, members, self.administrator, self.most)
            except MembersError as error:
                raise self.invalid(f"members {error}") from error
        return members


def from_files(
    source: dict[str, Any], administrator: str, limit: int, emails: bool = False
) -> dict[str, Member]:
    """The members that the files of a :data:`SCHEMA` block name, by account.

    ``administrator`` cannot be a member of itself, ``limit`` is the most members that it can have,
    and with ``emails`` each needs an e-mail address. Raises :class:`MembersError`.
    """
    members: dict[str, Member] = {}
    if "accounts-file" in source:
        path = source["accounts-file"]
        listed = _of_accounts_file(path, frozenset(source.get("tags", ())))
        _add(members, (member for member in listed if member.account != administrator))
        if not members:
            raise MembersError(f"{path}: no account beside {administrator} is selected")
    if "csv" in source:
        _add(members, _of_csv(source["csv"], administrator))
    for member in members.values():
        if emails and not member.email:
            raise MembersError(f"{member.origin}: account {member.account} needs an email")
    return within(members, limit)


def with_organization(
    element: AccountElement, members: dict[str, Member], administrator: str, limit: int
) -> dict[str, Member]:
    """The members and the other active accounts of the organisation.

    Raises :class:`MembersError`, and :class:`c7n_secops.aws.calls.RefusedError` where AWS does not
    let this account read the organisation.
    """
    client = calls.client(element, "organizations")
    found = dict(members)
    for page in calls.pages(client, "list_accounts", "Accounts", PAGE):
        for row in page:
            if row.get("Status") == "ACTIVE" and row["Id"] != administrator:
                member = Member(row["Id"], row["Email"], row.get("Name", ""), "AWS Organizations")
                found.setdefault(member.account, member)
    return within(found, limit)


def within(members: dict[str, Member], limit: int) -> dict[str, Member]:
    """The members themselves; raises :class:`MembersError` where they are more than the limit."""
    if len(members) > limit:
        excess = list(members.values())[limit]
        raise MembersError(
            f"{excess.origin}: account {excess.account} is one more than the {limit} members that "
            "an administrator can have"
        )
    return members


def _add(members: dict[str, Member], more: Iterable[Member]) -> None:
    """Take in one more file, which may name an account of another file again, but not its own."""
    here = set()
    for member in more:
        before = members.setdefault(member.account, member)
        if member.account in here:
            raise MembersError(
                f"{member.origin}: account {member.account} is at {before.origin} already; "
                "remove one of them"
            )
        if before.email and member.email and before.email.lower() != member.email.lower():
            raise MembersError(
                f"{member.origin}: account {member.account} has another email at {before.origin}; "
                "correct one of them"
            )
        if not before.email:
            members[member.account] = member
        here.add(member.account)


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise MembersError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE:
        raise MembersError(f"{path}: has more than {MAX_FILE} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise MembersError(f"{path}:{line}: is not UTF-8; save it as such") from error


def _of_csv(path: str, administrator: str) -> Iterator[Member]:
    rows = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    empty = True
    try:
        for row in rows:
            origin = f"{path}:{rows.line_num}"
            cells = [cell.strip() for cell in row]
            if not any(cells) or (empty and cells[0].lower() == HEADER):
                continue
            if len(cells) not in (2, 3):
                raise MembersError(
                    f"{origin}: has {len(cells)} fields; write account id, e-mail and, if wanted, "
                    "name"
                )
            empty = False
            member = _member(cells[0], cells[1], cells[2] if len(cells) > 2 else "", origin)
            if not member.email:
                raise MembersError(f"{origin}: account {member.account} needs an email")
            if member.account == administrator:
                raise MembersError(
                    f"{origin}: account {administrator} is the administrator and cannot be a "
                    "member of itself; remove it"
                )
            yield member
    except csv.Error as error:
        raise MembersError(f"{path}:{rows.line_num}: is not CSV: {error}") from error
    if empty:
        raise MembersError(f"{path}: names no account")


def _of_accounts_file(path: str, tags: frozenset[str]) -> Iterator[Member]:
    import yaml  # files are read where Custodian runs, never in Lambda

    constructor = yaml.constructor.SafeConstructor()
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, and faster
        root = yaml.compose(_text(path), Loader=loader)
        pairs = root.value if isinstance(root, yaml.MappingNode) else ()
        listed = next((value for key, value in pairs if key.value == "accounts"), None)
        nodes = listed.value if isinstance(listed, yaml.SequenceNode) else ()
        entries = [
            (node.start_mark.line + 1, constructor.construct_document(node)) for node in nodes
        ]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else path
        raise MembersError(f"{where}: is not YAML: {getattr(error, 'problem', error)}") from error
    if not entries:
        raise MembersError(f"{path}: has no list named accounts; see c7n-org's documentation")
    for line, entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("tags", []), list):
            raise MembersError(f"{path}:{line}: is no account with account_id and a list of tags")
        if tags <= {tag for tag in entry.get("tags", ()) if isinstance(tag, str)}:
            yield _member(
                entry.get("account_id"),
                entry.get("email", ""),
                entry.get("name", ""),
                f"{path}:{line}",
            )


def _member(account: Any, email: Any, name: Any, origin: str) -> Member:
    if not (isinstance(account, str) and ACCOUNT_ID.fullmatch(account)):
        raise MembersError(
            f"{origin}: account id {str(account)[:40]!r} is not 12 digits in quotes; a spreadsheet "
            "or YAML may have dropped a leading zero"
        )
    if email != "" and not (
        isinstance(email, str) and len(email) <= MAX_EMAIL and EMAIL.fullmatch(email)
    ):
        raise MembersError(
            f"{origin}: account {account} has no valid email; write one of at most {MAX_EMAIL} "
            "characters"
        )
    return Member(account, email, str(name)[:256], origin)
