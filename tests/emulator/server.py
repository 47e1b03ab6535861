"""The WSGI application: control interface, log, faults, identity, then moto."""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from moto.core.config import default_user_config
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)

from tests.emulator import accessanalyzer, apigateway, cloudtrail, identity, inspector
from tests.emulator.wire import Answer, Asked, error_answer, error_code, parameters, understand

LOG = logging.getLogger(__name__)
CONTROL = "/_emulator/"
LOG_SIZE = 200_000
LOGGED_BODY = 16_384

App = Callable[[dict[str, Any], Any], Iterable[bytes]]


@dataclass
class Record:
    """One AWS request that the server received."""

    asked: Asked
    at: float
    status: int = 0
    error_code: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "service": self.asked.service,
            "operation": self.asked.operation,
            "account": self.asked.account,
            "region": self.asked.region,
            "status": self.status,
            "error_code": self.error_code,
            "at": self.at,
            "params": parameters(self.asked),
            "role": self.asked.role,
            "needed": self.asked.needed,
        }


@dataclass
class Fault:
    """A failure to inject; see ``Emulator.fault`` for what each field means."""

    service: str
    operation: str
    code: str = "ThrottlingException"
    status: int = 400
    message: str = "Rate exceeded"
    times: int | None = 1
    after: int = 0
    kind: str = "error"
    probability: float = 1.0
    seed: int = 0
    when: str = "before"
    account: str | None = None
    region: str | None = None
    contains: str | None = None
    seconds: float = 60.0
    seen: int = 0
    used: int = 0
    dice: random.Random = field(default_factory=random.Random, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in ("error", "timeout", "crash"):
            raise ValueError(f"kind must be error, timeout or crash, not {self.kind!r}")
        if self.when not in ("before", "after"):
            raise ValueError(f"when must be before or after, not {self.when!r}")
        self.dice.seed(self.seed)

    def strikes(self, asked: Asked) -> bool:
        if self.service not in ("*", asked.service):
            return False
        if self.operation not in ("*", asked.operation):
            return False
        if self.account is not None and self.account != asked.account:
            return False
        if self.region is not None and self.region != asked.region:
            return False
        if self.contains is not None and self.contains.encode() not in asked.body:
            return False
        if self.times is not None and self.used >= self.times:
            return False
        self.seen += 1
        if self.seen <= self.after:
            return False
        if self.dice.random() >= self.probability:
            return False
        self.used += 1
        return True

    def to_dict(self) -> dict[str, Any]:
        return {k: v for k, v in asdict(self).items() if k != "dice"}


class DroppedError(ConnectionError):
    """The connection was closed on purpose; werkzeug ignores connection errors."""


class Emulator:
    """The outermost application."""

    def __init__(self, iam: bool = False, delay_ms: float = 0) -> None:
        default_user_config["lambda"]["use_docker"] = False
        default_user_config["batch"]["use_docker"] = False
        default_user_config["stepfunctions"]["execute_state_machine"] = True
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.first_delay = delay_ms
        self.delay_ms = delay_ms
        self.log: collections.deque[Record] = collections.deque(maxlen=LOG_SIZE)
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        self.enforce: Callable[[Asked, identity.Caller], Answer | None] | None = None
        if iam:
            from tests.emulator.iam import enforce

            self.enforce = enforce

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(CONTROL):
            return self.control(path[len(CONTROL) :], environ, start_response)
        if path.startswith("/moto-api"):
            return self.moto(environ, start_response)
        return self.serve(environ, start_response)

    # --- AWS requests ---------------------------------------------------------------------------

    def serve(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        # Only a key of ours decides the account; moto would trust this header from anybody.
        environ.pop("HTTP_X_MOTO_ACCOUNT_ID", None)
        asked = understand(environ)
        if apigateway.is_endpoint(environ):
            asked.service, asked.operation = "execute-api", "Invoke"
        caller = identity.identify(asked)
        if isinstance(caller, identity.Caller):
            asked.account = caller.account
            asked.role = caller.session.role_arn if caller.kind == "role" else ""
            environ["HTTP_X_MOTO_ACCOUNT_ID"] = caller.account
        record = Record(asked, time.time())
        self.log.append(record)
        if self.delay_ms:
            time.sleep(self.delay_ms / 1000)
        fault = self.next_fault(asked)
        if fault and fault.when == "before":
            return self.strike(fault, record, start_response)
        answer = self.answer(asked, caller)
        if fault:
            return self.strike(fault, record, start_response)
        record.status = answer.status
        record.error_code = error_code(answer.status, answer.headers, answer.body)
        cloudtrail.record(asked, caller, record.error_code)
        if len(asked.body) > LOGGED_BODY:
            asked.body = b""
        asked.environ = {"CONTENT_TYPE": environ.get("CONTENT_TYPE", "")}
        return answer.send(start_response)

    def answer(self, asked: Asked, caller: identity.Caller | Answer | None) -> Answer:
        to_api = asked.service == "execute-api"
        if isinstance(caller, Answer) and not to_api:
            return caller
        try:
            if self.enforce and isinstance(caller, identity.Caller):
                refused = self.enforce(asked, caller)
                if refused:
                    return refused
            if to_api:
                return apigateway.invoke(asked, caller, functools.partial(run, self))
            if asked.service == inspector.SERVICE:
                return inspector.answer(asked)
            if asked.service == accessanalyzer.SERVICE:
                return accessanalyzer.answer(asked)
            return run(self.moto, asked.environ)
        except Exception as error:  # a defect of moto or of ours: say so, and do not be retried
            LOG.exception("%s %s", asked.service, asked.operation)
            message = f"{type(error).__name__}: {error}"
            return error_answer(asked, "EmulatorError", message, 501)

    def next_fault(self, asked: Asked) -> Fault | None:
        if not self.faults:
            return None
        with self.lock:
            return next((fault for fault in self.faults if fault.strikes(asked)), None)

    def strike(self, fault: Fault, record: Record, start_response: Any) -> Iterable[bytes]:
        asked = record.asked
        if fault.kind == "error":
            answer = error_answer(asked, fault.code, fault.message, fault.status)
            record.status, record.error_code = answer.status, fault.code
            asked.environ = {"CONTENT_TYPE": asked.environ.get("CONTENT_TYPE", "")}
            return answer.send(start_response)
        record.error_code = "Timeout" if fault.kind == "timeout" else "Crash"
        if fault.kind == "timeout":
            wait_for_hang_up(
                asked.environ.get("werkzeug.socket"),
                fault.seconds,
                lambda: any(other is fault for other in self.faults),
            )
        hang_up(asked.environ.get("werkzeug.socket"))
        asked.environ = {"CONTENT_TYPE": asked.environ.get("CONTENT_TYPE", "")}
        raise DroppedError("closed on purpose")

    # --- control --------------------------------------------------------------------------------

    def control(self, name: str, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        from tests.emulator import control

        length = int(environ.get("CONTENT_LENGTH") or 0)
        arguments = json.loads(environ["wsgi.input"].read(length) or b"{}")
        try:
            result: Any = control.call(self, name, arguments)
            status = 200
        except Exception as error:  # noqa: BLE001  told to the client, which raises it
            result, status = {"error": f"{type(error).__name__}: {error}"}, 400
        body = json.dumps(result, default=str).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        return Answer(status, headers, body).send(start_response)


def run(app: App, environ: dict[str, Any]) -> Answer:
    """Runs an application and collect its answer."""
    started: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        started.update(status=int(status.split()[0]), headers=headers)
        return lambda _data: None

    answer = app(environ, start_response)
    try:
        body = b"".join(answer)
    finally:
        close = getattr(answer, "close", None)
        if close:
            close()
    return Answer(started["status"], started["headers"], body)


def wait_for_hang_up(
    connection: socket.socket | None, seconds: float, holds: Callable[[], bool]
) -> None:
    """Waits until the client closes the connection, at most so long and while ``holds()``."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and holds():
        if connection is None:
            time.sleep(0.05)
            continue
        connection.settimeout(min(left, 0.5))
        try:
            if connection.recv(1, socket.MSG_PEEK) == b"":
                return
            time.sleep(0.05)
        except TimeoutError:
            continue
        except OSError:
            return


def hang_up(connection: socket.socket | None) -> None:
    if connection is None:
        return
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Handler(MotoRequestHandler):
    """Keeps connections open, sends small answers at once, and is silent."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        pass

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002
        pass
