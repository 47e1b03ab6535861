"""Asks the operating system, through Systems Manager, before the instance is cut off."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from c7n_secops import deadline
from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES, RefusedError
from c7n_secops_response.containment import identity
from c7n_secops_response.containment.surroundings import Surroundings
from c7n_secops_response.evidence.case import Case, Entry, StepError
from c7n_secops_ssm import agents, commands
from c7n_secops_ssm.commands import Ending, Sender

DOCUMENTS = {"Linux": "AWS-RunShellScript", "Windows": "AWS-RunPowerShellScript"}
DEFAULT_WAIT = 120
HISTORY = timedelta(days=30)
"""How long Systems Manager remembers what a command printed."""

LONGEST_OUTPUT = 24000
"""Characters that GetCommandInvocation returns at most."""


class Gathering:
    """Runs ``gather.commands`` under ``gather.profile``, for at most ``gather.max-wait`` seconds.

    Without options it does nothing.
    """

    def __init__(
        self,
        ec2: Any,
        client: Callable[..., Any],
        surroundings: Surroundings,
        options: dict[str, Any],
        purpose: str,
    ):
        """``client`` makes the clients of other services, where they are needed."""
        self.ec2, self._client, self.surroundings = ec2, client, surroundings
        self.options, self.purpose = options, purpose
        self.swapped: set[str] = set()
        self._agents: dict[str, dict[str, Any]] = {}
        self._refused: RefusedError | None = None
        self._sent: dict[str, dict[str, str]] = defaultdict(dict)
        self._problems: dict[str, list[str]] = defaultdict(list)
        self._endings: dict[tuple[str, str], Ending] = {}

    @property
    def client(self) -> Any:
        return self._client("ssm")

    def look_up(self, cases: Sequence[Case], is_cut_off: Callable[[Case], bool]) -> None:
        """Read which instances can be asked, and the profile that they get for it."""
        self._cut_off = {case.id for case in cases if is_cut_off(case)}
        if not self.options or not cases:
            return
        try:
            answer = calls.read(
                self._client("iam").get_instance_profile,
                InstanceProfileName=self.options["profile"],
            )
            self.profile = answer["InstanceProfile"]["Arn"]
            for rows in agents.read(self.client, [case.id for case in cases]):
                if rows.refused:
                    raise rows.refused
                self._agents.update(rows.rows)
        except FAILURES as error:
            self._refused = RefusedError("gather", *calls.failure(error))

    def run(self, cases: Sequence[Case], each: Any) -> None:
        """Do the whole step for the instances that can be asked; the outputs come later."""
        if not self.options:
            return
        ready = [case for case in cases if self._is_ready(case)]
        end = deadline.after(self.options.get("max-wait", DEFAULT_WAIT))
        if end <= time.monotonic():
            for case in ready:
                case.note("gather", Entry("failed", reason="the Lambda has no time left for it"))
            return
        each(ready, self._swap)
        ready = [case for case in ready if "gather" not in case.steps]
        since = datetime.now(timezone.utc) - HISTORY if self._sent else None
        for command in self.options["commands"] if ready else ():
            sent = self._send(command, ready)
            since = min(since or sent, sent)
        each(ready, self._remember)
        if since:
            self._wait(since, end)

    def _remember(self, case: Case) -> None:
        """Keep the ids of the commands, so that a later run can still read what they printed."""
        if case.id in self._sent:
            case.note("gather", Entry("pending", None, {"commands": dict(self._sent[case.id])}))

    def _is_ready(self, case: Case) -> bool:
        """Whether to ask an instance; where not, its step says why, or what was sent earlier."""
        record = case.ledger.get("gather", {})
        if record.get("status") == "done":
            case.steps["gather"] = Entry("done", record["before"], record["after"])
            return False
        sent = (record.get("after") or {}).get("commands")
        if sent and case.id in self._cut_off:
            self._sent[case.id] = sent
            return False
        row = self._agents.get(case.id)
        if self._refused:
            case.note("gather", Entry("failed", reason=str(self._refused)))
        elif case.id in self._cut_off:
            case.note("gather", Entry("skipped", reason="the instance is contained already"))
        elif case.ledger.get("profile", {}).get("status") == "done":
            case.note("gather", Entry("skipped", reason="its profile was taken away already"))
        elif row is None:
            case.note("gather", Entry("skipped", reason="Systems Manager does not manage it"))
        elif row["PingStatus"] != "Online":
            case.note("gather", Entry("skipped", reason=f"its agent is {row['PingStatus']}"))
        else:
            return True
        return False

    def _swap(self, case: Case) -> None:
        """Give the instance the profile of the gathering, in place of its own."""
        try:
            case.before("profile")
            current = self.surroundings.profile(case)
            self.swapped.add(case.id)
            identity.set_profile(case, self.ec2, current, self.profile)
        except (*FAILURES, StepError) as error:
            case.note("gather", Entry("failed", reason=f"no profile to ask it with: {error}"))

    def _send(self, command: dict[str, Any], cases: Sequence[Case]) -> Any:
        """Send one command to the instances of its platform; when it was sent at the earliest."""
        platform = command.get("platform", "Linux")
        request: dict[str, Any] = {"DocumentName": DOCUMENTS[platform]}
        if "output" in self.options:
            request["OutputS3BucketName"] = self.options["output"]["bucket"]
            request["OutputS3KeyPrefix"] = self.options["output"].get("prefix", "")
        sender = Sender(self._client("ssm", retry=False), self.client, request, self.purpose)
        ids = [case.id for case in cases if self._agents[case.id]["PlatformType"] == platform]
        for delivery in sender.send({"commands": [command["run"]]}, ids):
            for name in delivery.instance_ids:
                if delivery.command_id:
                    self._sent[name][command["name"]] = delivery.command_id
                elif delivery.obstacle:
                    self._problems[name].append(f"{command['name']}: {delivery.obstacle.reason}")
        return sender.since

    def _wait(self, since: Any, end: float) -> None:
        """Poll until all have ended or the time is over."""
        platforms = {command.get("platform", "Linux") for command in self.options["commands"]}
        for platform in sorted(platforms):
            names = {
                command["name"]
                for command in self.options["commands"]
                if command.get("platform", "Linux") == platform
            }
            ids = {
                command_id
                for sent in self._sent.values()
                for name, command_id in sent.items()
                if name in names
            }
            if not ids:
                continue
            left = max(end - time.monotonic(), 0)
            try:
                self._endings.update(
                    commands.results(self.client, DOCUMENTS[platform], since, sorted(ids), left)
                )
            except RefusedError as refused:
                for name in self._sent:
                    self._problems[name].append(f"results not read: {refused}")

    def keep(self, case: Case) -> None:
        """Put what the commands printed into the evidence, and record the step."""
        if case.id not in self._sent and case.id not in self._problems:
            return
        outputs = {}
        problems = list(self._problems.get(case.id, ()))
        for name, command_id in self._sent.get(case.id, {}).items():
            ending = self._endings.get((command_id, case.id))
            if ending is None or ending.outcome == "running":
                problems.append(f"{name}: no result when the time was over")
                continue
            try:
                outputs[name] = self._keep_one(case, name, command_id)
            except FAILURES as error:
                problems.append(f"{name}: {calls.failure(error)[1]}")
            if ending.outcome == "failed":
                problems.append(f"{name}: {ending.reason}")
        status = "failed" if problems else "done"
        after = {"commands": dict(self._sent.get(case.id, {})), "outputs": outputs}
        case.note("gather", Entry(status, None, after, "; ".join(problems) or None))

    def _keep_one(self, case: Case, name: str, command_id: str) -> dict[str, Any]:
        file = f"evidence/os/{name}.txt"
        if file not in case.folder.objects:
            answer = case.ask(
                self.client.get_command_invocation, CommandId=command_id, InstanceId=case.id
            )
            output = answer.get("StandardOutputContent", "")
            errors = answer.get("StandardErrorContent", "")
            if len(output) >= LONGEST_OUTPUT:
                case.notes.append(f"what {name} printed is cut at {LONGEST_OUTPUT} characters")
            text = output if not errors else f"{output}\n--- standard error ---\n{errors}"
            case.folder.put(file, text.encode(), "text/plain")
        return case.folder.objects[file].to_dict()
