"""What the actions that send Systems Manager commands share: whom to send to, and the results."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, ClassVar

from c7n.actions import Action

from c7n_secops.aws import calls
from c7n_secops.aws.calls import RefusedError
from c7n_secops.element import SecOpsElement
from c7n_secops_ssm import agents, commands
from c7n_secops_ssm.commands import Obstacle, Operation

DEFAULT_TIMEOUT = 3600
"""Seconds that Systems Manager tries to deliver a command, unless it is told otherwise."""

HISTORY = timedelta(days=30)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
MOST_NAMES = 100

SCHEMA: dict[str, Any] = {
    "platforms": {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_NAMES,
        "uniqueItems": True,
        "items": {"type": "string", "minLength": 1, "maxLength": 128},
    },
    "min-agent": agents.VERSION,
    "cooldown": {"type": "string", "pattern": "^[0-9]{1,7}[smhd]$"},
    "max-concurrency": {
        "type": "string",
        "maxLength": 7,
        "pattern": "^([1-9][0-9]*|[1-9][0-9]%|[1-9]%|100%)$",
    },
    "max-errors": {
        "type": "string",
        "maxLength": 7,
        "pattern": "^([1-9][0-9]*|[0]|[1-9][0-9]%|[0-9]%|100%)$",
    },
    "timeout": {"type": "integer", "minimum": 30, "maximum": 2592000},
    "output": {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "dependencies": {"prefix": ["bucket"]},
        "properties": {
            "bucket": {"type": "string", "pattern": "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"},
            "prefix": {"type": "string", "pattern": "^[A-Za-z0-9._/-]{1,100}$"},
            "log-group": {"type": "string", "pattern": "^[A-Za-z0-9._/#-]{1,512}$"},
        },
    },
    "wait": {"type": "integer", "minimum": 0, "maximum": 86400},
}
"""The schema properties that every action of this kind has; :data:`OPTIONS` explains them."""

OPTIONS = """\
    ``platforms`` narrows to platform names as Systems Manager reports them, ``min-agent`` to
    agents of that version or later. ``cooldown`` (12h unless set; s, m, h or d) is how long an
    instance is left alone after a command of the same kind, whoever sent it and however it ended;
    an instance on which one is still running is left alone in any case. ``max-concurrency``,
    ``max-errors`` (numbers or percentages, each of one command of at most 50 instances) and
    ``timeout`` (seconds to deliver the command) are Systems Manager's. ``output`` keeps what the
    commands print, in a bucket or a log group. ``wait`` is how many seconds to wait for the
    results; 0, the default, only sends. In a Lambda function the wait ends two minutes before the
    function does.

    Returns ``{"results": [...], "counts": {outcome: number}}``, with one result for each instance
    and operation: ``InstanceId``, ``operation``, ``outcome`` (``sent``, ``succeeded``, ``failed``,
    ``running``, ``skipped`` or ``not-evaluated``), ``code``, ``reason`` and ``CommandId``.
"""


@dataclass
class Result:
    """What became of one instance; AWS's spelling where AWS names the same thing."""

    InstanceId: str
    operation: str | None
    outcome: str
    code: str | None = None
    reason: str | None = None
    CommandId: str | None = None


@dataclass(frozen=True)
class Target:
    """An instance to which a command may go: Custodian's resource and the agent's row."""

    instance: dict[str, Any]
    agent: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.instance["InstanceId"])


class CommandAction(SecOpsElement, Action):
    """Sends a Systems Manager document to the instances that can take it, in the fewest calls.

    For 1,000 instances: one ListCommands, 20 DescribeInstanceInformation and 20 SendCommand.
    """

    document: ClassVar[str]
    execution: ClassVar[timedelta] = timedelta(hours=1)
    """How long the document may run once it was delivered."""

    min_agent: ClassVar[str | None] = None
    permissions: ClassVar[tuple[str, ...]] = (
        "ssm:DescribeInstanceInformation",
        "ssm:ListCommandInvocations",
        "ssm:ListCommands",
        "ssm:SendCommand",
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__doc__ = (cls.__doc__ or "").replace("{options}", OPTIONS.strip())

    @abstractmethod
    def operations(self) -> list[Operation]:
        """What to do on every instance."""

    def unfit(self, instance: dict[str, Any]) -> Obstacle | None:
        """Why this action has nothing to do on an instance, as far as the resource says."""
        return None

    def unable(self, operation: Operation, target: Target) -> Obstacle | None:
        """Why an operation cannot be done on an instance, as far as its agent says."""
        return None

    def groups(
        self, operation: Operation, targets: Sequence[Target]
    ) -> Iterator[tuple[dict[str, list[str]] | Obstacle, list[Target]]]:
        """Divide the instances by the parameters that they need, or by what prevents them."""
        yield operation.parameters, list(targets)

    def validate(self) -> Any:
        super().validate()
        if self.cooldown > HISTORY:
            raise self.invalid(
                f"cooldown {self.data['cooldown']} is longer than the 30 days for which Systems "
                "Manager remembers commands; set at most 30d"
            )
        return self

    @property
    def cooldown(self) -> timedelta:
        text = self.data.get("cooldown", "12h")
        return timedelta(**{UNITS[text[-1]]: int(text[:-1])})

    def plan(self, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What would be sent, as far as the resources say: agents and cooldowns are not asked."""
        would = {
            "document": self.document,
            "operations": [operation.label for operation in self.operations()],
        }
        rows = []
        for instance in resources:
            obstacle = self._not_running(instance) or self.unfit(instance)
            said = {"skipped": obstacle.reason} if obstacle else would
            rows.append({"InstanceId": instance["InstanceId"], **said})
        return rows

    def process(self, resources: list[dict[str, Any]]) -> dict[str, Any]:
        self.report: list[Result] = []
        fit = []
        for instance in resources:
            obstacle = self._not_running(instance) or self.unfit(instance)
            if obstacle:
                self._skip(None, [instance], obstacle)
            else:
                fit.append(instance)
        if fit:
            self._command(fit)
        counts = dict(Counter(result.outcome for result in self.report))
        summary = " ".join(f"{outcome}:{count}" for outcome, count in sorted(counts.items()))
        self.log.info("policy:%s %s %s", self.manager.ctx.policy.name, self.label, summary)
        results = [
            {key: value for key, value in asdict(result).items() if value is not None}
            for result in self.report
        ]
        return {"results": results, "counts": counts}

    def _command(self, instances: list[dict[str, Any]]) -> None:
        """Find out who can take a command, send it, and wait if the policy says so."""
        client = calls.client(self, "ssm")
        operations = self.operations()
        try:
            open_by_operation = self._without_recent_command(client, operations, instances)
        except RefusedError as refused:
            self._not_known(instances, refused)
            return
        asked = {name: True for ids in open_by_operation for name in ids}
        by_id = {instance["InstanceId"]: instance for instance in instances}
        targets = self._targets(client, [by_id[name] for name in asked])
        sender = commands.Sender(
            calls.client(self, "ssm", retry=False),
            client,
            self.request(),
            self.manager.ctx.policy.name,
        )
        for operation, open_ids in zip(operations, open_by_operation, strict=True):
            chosen = [targets[name] for name in open_ids if name in targets]
            self._send(sender, operation, self._able(operation, chosen))
        if self.data.get("wait"):
            self._await(client, sender)

    def _without_recent_command(
        self, client: Any, operations: list[Operation], instances: list[dict[str, Any]]
    ) -> list[list[str]]:
        """For each operation, the ids to which it was not sent lately; raises RefusedError."""
        delivery = timedelta(seconds=max(self.data.get("timeout", 0), DEFAULT_TIMEOUT))
        history = commands.History(client, self.document, self.cooldown, delivery + self.execution)
        by_id = {instance["InstanceId"]: instance for instance in instances}
        obstacles = [history.obstacles(operation, by_id) for operation in operations]
        for operation, found in zip(operations, obstacles, strict=True):
            for name, obstacle in found.items():
                self._skip(operation, [by_id[name]], obstacle)
        return [[name for name in by_id if name not in found] for found in obstacles]

    def _targets(self, client: Any, instances: list[dict[str, Any]]) -> dict[str, Target]:
        """Those whose agent is there, online, of a listed platform and recent enough, by id."""
        by_id = {instance["InstanceId"]: instance for instance in instances}
        targets = {}
        for answer in agents.read(client, list(by_id)):
            batch = [by_id[name] for name in answer.instance_ids]
            if answer.refused:
                self._not_known(batch, answer.refused)
                continue
            for instance in batch:
                agent = answer.rows.get(instance["InstanceId"])
                obstacle = self._no_agent(agent)
                if obstacle:
                    self._skip(None, [instance], obstacle)
                elif agent:
                    targets[instance["InstanceId"]] = Target(instance, agent)
        return targets

    def _able(self, operation: Operation, targets: list[Target]) -> list[Target]:
        able = []
        for target in targets:
            obstacle = self.unable(operation, target)
            if obstacle:
                self._skip(operation, [target.instance], obstacle)
            else:
                able.append(target)
        return able

    def _send(self, sender: commands.Sender, operation: Operation, targets: list[Target]) -> None:
        for parameters, group in self.groups(operation, targets) if targets else ():
            ids = [target.id for target in group]
            if isinstance(parameters, Obstacle):
                self._add(operation, ids, "failed", parameters)
                continue
            for delivery in sender.send(parameters, ids):
                outcome = "failed" if delivery.obstacle else "sent"
                self._add(
                    operation,
                    delivery.instance_ids,
                    outcome,
                    delivery.obstacle,
                    delivery.command_id,
                )

    def _await(self, client: Any, sender: commands.Sender) -> None:
        """Replace what was sent by how it ended, as far as AWS says within the wait."""
        sent = [result for result in self.report if result.CommandId]
        ids = list(dict.fromkeys(str(result.CommandId) for result in sent))
        if not ids:
            return
        try:
            endings = commands.results(client, self.document, sender.since, ids, self.data["wait"])
        except RefusedError as refused:
            for result in sent:
                result.code, result.reason = refused.code, f"result not read: {refused}"
            return
        for result in sent:
            ending = endings.get((str(result.CommandId), result.InstanceId))
            if ending:
                result.outcome, result.reason = ending

    def request(self) -> dict[str, Any]:
        """What all commands of this run share, as SendCommand takes it."""
        output = self.data.get("output", {})
        request = {
            "DocumentName": self.document,
            "MaxConcurrency": self.data.get("max-concurrency"),
            "MaxErrors": self.data.get("max-errors"),
            "TimeoutSeconds": self.data.get("timeout"),
            "OutputS3BucketName": output.get("bucket"),
            "OutputS3KeyPrefix": output.get("prefix"),
        }
        if "log-group" in output:
            request["CloudWatchOutputConfig"] = {
                "CloudWatchLogGroupName": output["log-group"],
                "CloudWatchOutputEnabled": True,
            }
        return {name: value for name, value in request.items() if value is not None}

    def _not_running(self, instance: dict[str, Any]) -> Obstacle | None:
        state = instance.get("State", {}).get("Name", "running")
        return None if state == "running" else Obstacle("NotRunning", f"the instance is {state}")

    def _no_agent(self, agent: dict[str, Any] | None) -> Obstacle | None:
        if agent is None:
            return Obstacle("NoAgent", "no Systems Manager agent has registered")
        if agent["PingStatus"] != "Online":
            return Obstacle("AgentOffline", f"the agent is {agent['PingStatus']}")
        platforms = self.data.get("platforms")
        if platforms and agent.get("PlatformName") not in platforms:
            return Obstacle("Platform", f"{agent.get('PlatformName')} is not among platforms")
        least, running = self.data.get("min-agent", self.min_agent), agent["AgentVersion"]
        if least and agents.version(running) < agents.version(least):
            return Obstacle("AgentTooOld", f"agent {running} is older than {least}")
        return None

    def _not_known(self, instances: list[dict[str, Any]], refused: RefusedError) -> None:
        self.not_evaluated(instances, refused.code, str(refused))
        ids = [instance["InstanceId"] for instance in instances]
        self._add(None, ids, "not-evaluated", Obstacle(refused.code, str(refused)))

    def _skip(
        self, operation: Operation | None, instances: list[dict[str, Any]], obstacle: Obstacle
    ) -> None:
        ids = [instance["InstanceId"] for instance in instances]
        self._add(operation, ids, "skipped", obstacle)

    def _add(
        self,
        operation: Operation | None,
        instance_ids: Sequence[str],
        outcome: str,
        obstacle: Obstacle | None = None,
        command_id: str | None = None,
    ) -> None:
        label = operation.label if operation else None
        code, reason = obstacle or (None, None)
        self.report += [
            Result(name, label, outcome, code, reason, command_id) for name in instance_ids
        ]
