"""AWS Lambda: functions really run, in a process of their own, with their role's credentials.

Finished invocations are kept and can be read through the control interface.  An asynchronous
invocation is not retried.  Layers, container images and concurrency limits are not emulated.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import tempfile
import threading
import time
import zipfile
from typing import Any
from urllib.parse import unquote

from moto.awslambda.responses import LambdaResponse
from moto.awslambda_simple.models import LambdaSimpleBackend, lambda_simple_backends
from moto.sts.models import sts_backends

from tests.emulator.identity import find_role
from tests.emulator.kit import Settings, fail
from tests.emulator.lambda_runtime import Result, run_handler

LOG_TAIL = 4096


class History:
    """Finished invocations and unpacked archives; cleared by ``forget``."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.finished: list[dict[str, Any]] = []
        self.folders: dict[str, str] = {}
        self.generation = 0

    def record(self, generation: int, row: dict[str, Any]) -> None:
        with self.lock:
            if generation == self.generation:  # not one that a reset has made stale
                self.finished.append(row)

    def folder(self, code: bytes, digest: str) -> str:
        with self.lock:
            if digest not in self.folders:
                folder = tempfile.mkdtemp(prefix="lambda-code-")
                with zipfile.ZipFile(io.BytesIO(code)) as archive:
                    archive.extractall(folder)
                self.folders[digest] = folder
            return self.folders[digest]


HISTORY = History()


def forget() -> None:
    """Forgets the invocations, including those that are still running."""
    with HISTORY.lock:
        HISTORY.generation += 1
        HISTORY.finished = []
        for folder in HISTORY.folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        HISTORY.folders = {}


def results(account: str, region: str, function: str | None) -> list[dict[str, Any]]:
    with HISTORY.lock:
        rows = list(HISTORY.finished)
    return [
        row
        for row in rows
        if row["account"] == account
        and row["region"] == region
        and function in (None, row["function"])
    ]


def role_credentials(role_arn: str, function_name: str, region: str) -> dict[str, str]:
    account = role_arn.split(":")[4]
    session = sts_backends[account]["aws"].assume_role(
        region_name=region,
        role_session_name=function_name[:64],
        role_arn=role_arn,
        policy="",
        duration=3600,
        external_id="",
    )
    return {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
    }


def execute(account: str, region: str, function: Any, event: Any) -> Result:
    """Runs one function and keep what it gave."""
    generation = HISTORY.generation
    environ = {
        **{key: str(value) for key, value in function.environment_vars.items()},
        "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL": Settings.url,
        **role_credentials(function.role, function.function_name, region),
    }
    result = run_handler(
        HISTORY.folder(function.code_bytes, function.code_digest),
        function.handler,
        event,
        environ,
        float(function.timeout),
        python=Settings.lambda_python or None,
        context={
            "function_name": function.function_name,
            "function_version": str(function.version),
            "invoked_function_arn": function.function_arn,
            "memory_limit_in_mb": function.memory_size,
            "log_group_name": f"/aws/lambda/{function.function_name}",
        },
    )
    HISTORY.record(
        generation,
        {
            "account": account,
            "region": region,
            "function": function.function_name,
            "event": event,
            "payload": result.payload,
            "error": result.error,
            "log": result.log,
            "duration": result.duration,
            "request_id": result.request_id,
            "at": time.time(),
        },
    )
    return result


def start(account: str, region: str, name: str, event: Any, qualifier: str | None = None) -> None:
    """Invokes a function asynchronously."""
    function = lambda_simple_backends[account][region].get_function(name, qualifier)
    thread = threading.Thread(target=execute, args=(account, region, function, event), daemon=True)
    thread.start()


def invoke(
    self: LambdaSimpleBackend,
    function_name: str,
    qualifier: str | None,
    body: Any,
    headers: Any,
    response_headers: Any,
) -> bytes:
    """Replaces moto's echo of the payload."""
    function = self.get_function(function_name, qualifier)
    text = body.decode() if isinstance(body, bytes) else body
    try:
        event = json.loads(text or "{}")
    except ValueError:
        fail("InvalidRequestContentException", "Could not parse request body into json")
    result = execute(self.account_id, self.region_name, function, event)
    tail = base64.b64encode(result.log.encode()[-LOG_TAIL:]).decode()
    response_headers["x-amz-log-result"] = tail
    response_headers["x-amz-executed-version"] = str(function.version)
    if result.error:
        response_headers["x-amz-function-error"] = "Unhandled"
        return json.dumps(result.error).encode()
    return json.dumps(result.payload).encode()


moto_invoke = LambdaResponse.invoke


def invoke_response(self: LambdaResponse) -> Any:
    """Answers an asynchronous or dry-run invocation without waiting for the function."""
    kind = self.headers.get("X-Amz-Invocation-Type")
    if kind not in ("Event", "DryRun"):
        return moto_invoke(self)
    name = unquote(self.path.rsplit("/", 2)[-2])
    function = self.backend.get_function(name, self._get_param("Qualifier"))
    if kind == "DryRun":
        return 204, {"status": 204}, ""
    event = json.loads(self.body or "{}")
    start(self.current_account, self.region, function.function_name, event)
    return 202, {"status": 202}, ""


def check_role(role_arn: str) -> None:
    if find_role(role_arn) is None:
        fail(
            "InvalidParameterValueException",
            "The role defined for the function cannot be assumed by Lambda.",
        )


def install() -> None:
    LambdaSimpleBackend.invoke = invoke
    LambdaResponse.invoke = invoke_response
