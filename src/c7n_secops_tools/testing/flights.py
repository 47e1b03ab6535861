"""Flights: AWS's answers to one policy run, recorded once, scrubbed, and replayed without AWS.

Give a :class:`Recording` or a :class:`Replay` to ``run_policy`` as one of ``on_session``. The
files are placebo's, as in Custodian's own tests: ``service.Operation_1.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from placebo.pill import Pill

ACCOUNTS = ("123456789012", "111122223333", "444455556666", "777788889999")
"""What real account ids become, in the order in which they appear."""

ACCOUNT_ID = re.compile(r"(?<![0-9A-Za-z])\d{12}(?![0-9A-Za-z])")
KEY_ID = re.compile(r"\b(AKIA|ASIA|AROA|AIDA|AGPA|ANPA)[A-Z0-9]{16,17}\b")
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
SECRET_MEMBER = re.compile(r"secret|password|token$|privatekey|userdata|credential", re.IGNORECASE)
PAGE_TOKEN = re.compile(r"(next|continuation|pagination)_?-?(page)?token$|^marker$", re.IGNORECASE)


class Recording:
    """Writes the answers that sessions get into a folder, until :meth:`finish` scrubs them."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._pills: WeakKeyDictionary[Any, Pill] = WeakKeyDictionary()

    def __call__(self, session: Any) -> None:
        if session not in self._pills:
            self._pills[session] = _pill(session, self.folder)
            self._pills[session].record()

    def finish(self) -> list[Path]:
        """Stop recording, scrub what was recorded and return its files."""
        for pill in self._pills.values():
            pill.stop()
        return scrub(self.folder)


class Replay:
    """Answers every call of a session from a folder; a call that has no file is an OSError.

    The answers of one operation are given in the order of their numbers, then again from the
    first.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._pills: WeakKeyDictionary[Any, Pill] = WeakKeyDictionary()

    def __call__(self, session: Any) -> None:
        if session not in self._pills:
            self._pills[session] = _pill(session, self.folder)
            self._pills[session].playback()


def scrub(folder: Path) -> list[Path]:
    """Remove from every file what should not be published; return the files.

    Account ids become those of AWS's documentation, the same one everywhere in the folder; key
    ids, secrets, e-mail addresses and response metadata go. Names, tags and addresses of the
    network stay: read the result before you publish it.
    """
    accounts: dict[str, str] = {}

    def account(found: re.Match[str]) -> str:
        number = len(accounts)
        substitute = ACCOUNTS[number] if number < len(ACCOUNTS) else f"{number:012d}"
        return accounts.setdefault(found[0], substitute)

    files = sorted(folder.glob("*.json"))
    for file in files:
        recorded = json.loads(file.read_text())
        recorded["data"].pop("ResponseMetadata", None)
        recorded["data"] = _without_secrets(recorded["data"])
        text = json.dumps(recorded, indent=2, sort_keys=True)
        text = ACCOUNT_ID.sub(account, text)
        text = KEY_ID.sub(lambda found: f"{found[1]}IOSFODNN7EXAMPLE", text)
        file.write_text(EMAIL.sub("user@example.com", text) + "\n")
    return files


def left_behind(file: Path) -> Iterator[str]:
    """What a file still holds that :func:`scrub` removes."""
    text = file.read_text()
    known = {*ACCOUNTS, "user@example.com"}
    for form in (ACCOUNT_ID, KEY_ID, EMAIL):
        for found in form.finditer(text):
            if found[0] not in known and not found[0].endswith("EXAMPLE"):
                yield found[0]
    if "ResponseMetadata" in text:
        yield "ResponseMetadata"


def _without_secrets(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: "scrubbed"
        if isinstance(item, str) and SECRET_MEMBER.search(key) and not PAGE_TOKEN.search(key)
        else _without_secrets(item)
        for key, item in value.items()
    }


def _pill(session: Any, folder: Path) -> Pill:
    from placebo import attach  # only who records or replays needs it

    return attach(session, data_path=str(folder))
