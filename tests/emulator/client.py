"""The client side: start the server, act as any account, control it, read what it saw."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import os
import select
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.loaders import create_loader

ROOT = Path(__file__).resolve().parents[2]
READY = "emulator ready at "
FIRST_ACCOUNT = "111111111111"
FIRST_REGION = "us-east-1"
NOT_INHERITED = (
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_PROFILE",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)


@dataclass(frozen=True)
class Call:
    """One AWS request that the emulator received."""

    service: str
    operation: str
    account: str
    region: str
    status: int
    error_code: str
    at: float
    params: dict[str, Any] = field(default_factory=dict, hash=False, compare=False)
    role: str = ""
    needed: list[str] = field(default_factory=list, hash=False, compare=False)
    """The IAM actions that were looked up for it, where policies are enforced."""


class ControlError(Exception):
    """The emulator refused a control call."""


MODELS = create_loader()


def share_models(session: boto3.Session) -> boto3.Session:
    """Lets all sessions of this process share the parsed service models, which are slow."""
    session._session.register_component("data_loader", MODELS)
    return session


def plain(value: Any) -> Any:
    """Makes a value fit for JSON: datetimes become ISO texts; naive ones are UTC."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.timezone.utc)
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be sent to the emulator")


class Emulator:
    """A running emulator."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._sessions: dict[tuple[str, str], boto3.Session] = {}
        self._lock = threading.Lock()

    # --- acting as an account -------------------------------------------------------------------

    def credentials(self, account: str = FIRST_ACCOUNT) -> dict[str, str]:
        """Returns the key of an account's bootstrap administrator; any account id works."""
        if len(account) != 12 or not account.isdigit():
            raise ValueError(f"an account id has 12 digits, not {account!r}")
        return {
            "aws_access_key_id": f"AKIABOOT{account}",
            "aws_secret_access_key": "bootstrap-administrator",
        }

    def environ(self, account: str = FIRST_ACCOUNT, region: str = FIRST_REGION) -> dict[str, str]:
        """Returns a whole environment for a subprocess that acts in an account."""
        key = self.credentials(account)
        kept = {k: v for k, v in os.environ.items() if k not in NOT_INHERITED}
        return {
            **kept,
            "AWS_ACCESS_KEY_ID": key["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def session(self, account: str = FIRST_ACCOUNT, region: str = FIRST_REGION) -> boto3.Session:
        """Returns a session of the bootstrap administrator.

        Its clients reach the emulator when AWS_ENDPOINT_URL is set or ``endpoint_url`` is given;
        ``client`` needs neither.
        """
        key = account, region
        with self._lock:
            if key not in self._sessions:
                session = boto3.Session(region_name=region, **self.credentials(account))
                self._sessions[key] = share_models(session)
            return self._sessions[key]

    def client(self, service: str, account: str = FIRST_ACCOUNT, region: str = FIRST_REGION) -> Any:
        """Returns a client of the bootstrap administrator, made once for its arguments."""
        key = service, account, region
        session = self.session(account, region)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = session.client(
                    service,
                    endpoint_url=self.url,
                    config=Config(
                        retries={"total_max_attempts": 1, "mode": "standard"},
                        max_pool_connections=32,
                        parameter_validation=True,
                        s3={"addressing_style": "path"},
                    ),
                )
            return self._clients[key]

    def call_api(
        self,
        url: str,
        body: str,
        *,
        signer: boto3.Session | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """POSTs to a deployed API; ``url`` is the one that AWS would give it.

        ``signer`` signs the request; without one it is not signed. Returns status and answer.
        """
        given = {"Content-Type": "application/json", **(headers or {})}
        request = AWSRequest("POST", url, data=body, headers=given)
        if signer is not None:
            region = str(signer.region_name)
            SigV4Auth(signer.get_credentials(), "execute-api", region).add_auth(request)
        place = urlsplit(url)
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        connection.request("POST", place.path, body, {**request.headers, "Host": place.netloc})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    # --- control --------------------------------------------------------------------------------

    def control(self, name: str, /, **arguments: Any) -> Any:
        """Calls a function of the control interface."""
        request = urllib.request.Request(  # noqa: S310  our own server
            f"{self.url}/_emulator/{name}",
            data=json.dumps(arguments, default=plain).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ControlError(f"{name}: {json.load(error)['error']}") from None

    def reset(self) -> None:
        """Forgets everything: resources, findings, faults, delay and the call log."""
        self.control("reset")

    def calls(
        self,
        service: str | None = None,
        operation: str | None = None,
        account: str | None = None,
    ) -> list[Call]:
        """Finds the AWS requests that the server received, oldest first.

        ``status`` is 0 for a request whose answer was withheld by a fault.
        """
        rows = self.control("calls", service=service, operation=operation, account=account)
        return [Call(**row) for row in rows]

    def clear_calls(self) -> None:
        self.control("clear_calls")

    def fault(
        self,
        service: str,
        operation: str,
        *,
        code: str = "ThrottlingException",
        status: int = 400,
        message: str = "Rate exceeded",
        times: int | None = 1,
        after: int = 0,
        kind: str = "error",
        probability: float = 1.0,
        seed: int = 0,
        when: str = "before",
        account: str | None = None,
        region: str | None = None,
        contains: str | None = None,
        seconds: float = 60.0,
    ) -> None:
        """Makes matching calls fail.

        ``service`` is botocore's name of it; ``*`` matches any service or operation.  The first
        ``after`` matching calls pass, then each of them fails with ``probability``, ``times``
        times in all (None: for ever).  ``contains`` must appear in the body of the request.

        ``kind`` is ``error`` (answer ``code``), ``timeout`` (no answer until the client gives up,
        for ``seconds`` at most and until ``clear_faults``) or ``crash`` (the connection closes
        without an answer).  With ``when='after'`` the call takes effect and only its answer is
        lost.
        """
        self.control(
            "fault",
            service=service,
            operation=operation,
            code=code,
            status=status,
            message=message,
            times=times,
            after=after,
            kind=kind,
            probability=probability,
            seed=seed,
            when=when,
            account=account,
            region=region,
            contains=contains,
            seconds=seconds,
        )

    def faults(self) -> list[dict[str, Any]]:
        """Lists the faults, with how often each matched (``seen``) and struck (``used``)."""
        found: list[dict[str, Any]] = self.control("faults")
        return found

    def clear_faults(self) -> None:
        self.control("clear_faults")

    def delay(self, ms: float) -> None:
        """Makes every AWS call wait so long before it is answered."""
        self.control("delay", ms=ms)

    def seed(self, service: str, account: str, region: str, key: str, items: Any) -> None:
        """Merges items into a piece of extension state (see each service's module)."""
        self.control("seed", service=service, account=account, region=region, key=key, items=items)

    def form_organization(self, management: str, accounts: list[dict[str, str]]) -> None:
        """Makes an organization, or lets more accounts join it.

        An account has ``id``, ``name``, ``email`` and, where it is not ACTIVE, ``status``.
        """
        self.control("form_organization", management=management, accounts=accounts)

    # --- Inspector ------------------------------------------------------------------------------

    def add_findings(self, account: str, region: str, findings: list[dict[str, Any]]) -> int:
        """Adds or replace findings (by ARN), in the shape of ListFindings; returns how many
        there are.  Timestamps are datetimes, ISO texts or epoch seconds."""
        return int(self.control("add_findings", account=account, region=region, findings=findings))

    def add_classic_findings(
        self, account: str, region: str, findings: list[dict[str, Any]]
    ) -> None:
        """Adds or replaces findings of Inspector Classic, in the shape of DescribeFindings."""
        self.control("add_classic_findings", account=account, region=region, findings=findings)

    def remove_findings(self, account: str, region: str, arns: list[str]) -> None:
        self.control("remove_findings", account=account, region=region, arns=arns)

    def set_coverage(self, account: str, region: str, rows: list[dict[str, Any]]) -> None:
        """Overrides or add rows of ListCoverage by resourceId and scanType.

        A row replaces only the members it has; without ``scanType`` it is set for PACKAGE and
        NETWORK; ``absent=True`` removes it.
        """
        self.control("set_coverage", account=account, region=region, rows=rows)

    def set_inspector_status(
        self,
        account: str,
        region: str,
        ec2: str | None = None,
        ecr: str | None = None,
        lambda_: str | None = None,
        lambda_code: str | None = None,
    ) -> None:
        statuses = {"ec2": ec2, "ecr": ecr, "lambda": lambda_, "lambdaCode": lambda_code}
        self.control(
            "set_inspector_status",
            account=account,
            region=region,
            statuses={k: v for k, v in statuses.items() if v is not None},
        )

    # --- Systems Manager ------------------------------------------------------------------------

    def set_agent(self, account: str, region: str, instance_id: str, **fields: Any) -> None:
        """Overrides members of DescribeInstanceInformation for one instance.

        Any field makes the instance managed, ``absent=True`` makes it unmanaged.
        """
        self.control(
            "set_agent", account=account, region=region, instance_id=instance_id, fields=fields
        )

    def set_patch_state(self, account: str, region: str, instance_id: str, **fields: Any) -> None:
        """Sets members of DescribeInstancePatchStates for one instance."""
        self.control(
            "set_patch_state",
            account=account,
            region=region,
            instance_id=instance_id,
            fields=fields,
        )

    def set_command_behaviour(
        self,
        account: str,
        region: str,
        status: str = "Success",
        per_instance: dict[str, str] | None = None,
    ) -> None:
        """Chooses the status that the next commands reach at once, e.g. InProgress."""
        self.control(
            "set_command_behaviour",
            account=account,
            region=region,
            status=status,
            per_instance=per_instance,
        )

    def finish_commands(
        self,
        account: str,
        region: str,
        status: str = "Success",
        instance_ids: list[str] | None = None,
    ) -> int:
        """Ends running invocations, with their effects; returns how many."""
        return int(
            self.control(
                "finish_commands",
                account=account,
                region=region,
                status=status,
                instance_ids=instance_ids,
            )
        )

    # --- events and Lambda ----------------------------------------------------------------------

    def deliver_event(
        self, account: str, region: str, event: dict[str, Any], bus: str = "default"
    ) -> int:
        """Puts an event on a bus as an AWS service would; returns how many rules matched.

        The event has EventBridge's form (``source``, ``detail-type``, ``detail``...); missing
        members are filled in.
        """
        return int(
            self.control("deliver_event", account=account, region=region, event=event, bus=bus)
        )

    def poll_queue(self, account: str, region: str, queue: str, batches: int | None = None) -> int:
        """Delivers a queue's messages to the function that takes them, as Lambda's pollers do.

        Goes on until none is visible, or for so many batches; returns how many there were.
        """
        return int(
            self.control("poll_queue", account=account, region=region, queue=queue, batches=batches)
        )

    def fire_schedule(self, account: str, region: str, rule_name: str, bus: str = "default") -> int:
        """Runs the targets of a schedule rule now; returns how many."""
        return int(
            self.control(
                "fire_schedule", account=account, region=region, rule_name=rule_name, bus=bus
            )
        )

    def lambda_results(
        self, account: str, region: str, function: str | None = None
    ) -> list[dict[str, Any]]:
        """Finds finished invocations: function, event, payload or error, log, duration, at."""
        found: list[dict[str, Any]] = self.control(
            "lambda_results", account=account, region=region, function=function
        )
        return found

    def wait_for_lambda(
        self, account: str, region: str, function: str, count: int = 1, timeout: float = 60
    ) -> list[dict[str, Any]]:
        """Waits until a function was invoked so often; raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while True:
            found = self.lambda_results(account, region, function)
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{function} was invoked {len(found)} of {count} times in {timeout} s"
                )
            time.sleep(0.05)


@contextlib.contextmanager
def running(
    iam: bool = False,
    delay_ms: float = 0,
    validate: bool = True,
    port: int = 0,
    lambda_python: str | None = None,
) -> Iterator[Emulator]:
    """Starts a server in a process of its own, and end it afterwards."""
    command = [sys.executable, "-m", "tests.emulator", "--port", str(port)]
    command += ["--iam"] if iam else []
    command += ["--delay-ms", str(delay_ms)] if delay_ms else []
    command += [] if validate else ["--no-validate"]
    command += ["--lambda-python", lambda_python] if lambda_python else []
    dropped = (*NOT_INHERITED, "AWS_ENDPOINT_URL", "MOTO_ACCOUNT_ID")
    environ = {k: v for k, v in os.environ.items() if k not in dropped}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield Emulator(wait_until_ready(process, 60))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def wait_until_ready(process: subprocess.Popen[str], seconds: float) -> str:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], seconds)[0]:
        raise TimeoutError(f"the emulator was not ready in {seconds} s")
    line = process.stdout.readline().strip()
    if not line.startswith(READY):
        raise RuntimeError(f"the emulator did not start (exit {process.poll()}): {line!r}")
    return line.removeprefix(READY)
