"""Collects what an instance can tell from outside: metadata, attributes, console, screenshot."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from c7n.utils import dumps

from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES
from c7n_secops_response.evidence.case import Case, Entry

ATTRIBUTES = {
    "DisableApiTermination": "disableApiTermination",
    "DisableApiStop": "disableApiStop",
    "InstanceInitiatedShutdownBehavior": "instanceInitiatedShutdownBehavior",
}
INSTANCE, CONSOLE, SCREENSHOT = "instance.json", "console.txt", "screenshot.jpg"


class NothingThereError(Exception):
    """AWS has nothing of the kind for this instance."""


def attributes(case: Case, client: Any) -> dict[str, Any]:
    """The attributes that containment changes; raises one of FAILURES."""
    found = {}
    for member, attribute in ATTRIBUTES.items():
        answer = case.ask(
            client.describe_instance_attribute, InstanceId=case.id, Attribute=attribute
        )
        found[member] = answer[member].get("Value")
    return found


class Capture:
    """Collects some of PIECES for each case; ``described`` is what shared reads have told."""

    def __init__(self, client: Any, pieces: list[str]):
        self.client, self.pieces = client, pieces

    def collect(
        self, case: Case, described: dict[str, Any], attributes: Callable[[], dict[str, Any]]
    ) -> Entry:
        """Put what is not there yet; a piece that fails does not stop the others.

        ``attributes`` gives the instance's attributes, or raises.
        """
        tasks: dict[str, Callable[[], bytes]] = {}
        if {"metadata", "attributes", "user-data"} & set(self.pieces):
            tasks[INSTANCE] = lambda: self._instance(case, described, attributes)
        if "console" in self.pieces:
            tasks[CONSOLE] = lambda: self._console(case)
        if "screenshot" in self.pieces:
            tasks[SCREENSHOT] = lambda: self._screenshot(case)
        after: dict[str, Any] = {}
        failures = []
        for name, read in tasks.items():
            file = f"evidence/{name}"
            if file not in case.folder.objects:
                try:
                    body = read()
                    case.folder.put(file, body, CONTENT[name])
                except NothingThereError as absent:
                    after[name] = str(absent)
                    continue
                except FAILURES as error:
                    failures.append(f"{name}: {calls.failure(error)[1]}")
                    continue
            after[name] = case.folder.objects[file].to_dict()
        reason = "; ".join(failures) or None
        return Entry("failed" if failures else "done", after=after, reason=reason)

    def _instance(
        self, case: Case, described: dict[str, Any], attributes: Callable[[], dict[str, Any]]
    ) -> bytes:
        found: dict[str, Any] = {}
        if "metadata" in self.pieces:
            found.update(described)
        if "attributes" in self.pieces:
            found["Attributes"] = attributes()
        if "user-data" in self.pieces:
            answer = case.ask(
                self.client.describe_instance_attribute, InstanceId=case.id, Attribute="userData"
            )
            found["UserData"] = answer.get("UserData", {}).get("Value")
        return str(dumps(found, indent=2)).encode()

    def _console(self, case: Case) -> bytes:
        answer = case.ask(self.client.get_console_output, InstanceId=case.id)
        if not answer.get("Output"):
            raise NothingThereError("AWS holds no console output")
        return str(answer["Output"]).encode()

    def _screenshot(self, case: Case) -> bytes:
        state = case.instance["State"]["Name"]
        if state != "running":
            raise NothingThereError(f"the instance is {state}")
        answer = case.ask(self.client.get_console_screenshot, InstanceId=case.id)
        return base64.b64decode(answer["ImageData"])


CONTENT = {INSTANCE: "application/json", CONSOLE: "text/plain", SCREENSHOT: "image/jpeg"}
